//! Which web pages may open a socket here. A browser lets any page open a WebSocket to any host and only tells the
//! server where the page came from (RFC 6455 §10.2), so the server has to look.

use axum::http::Uri;

/// Whether `text` is an origin as browsers write it (RFC 6454 §6.2): scheme, host, perhaps a port, nothing after.
pub(crate) fn is_origin(text: &str) -> bool {
    parse(text).is_some()
}

/// Whether a page of `origin` may connect to `host`. Programs that are no browser send no origin and may.
pub(crate) fn may_connect(origin: Option<&str>, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    if allowed.iter().any(|a| a.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let (Some((scheme, origin_host)), Some(host)) = (parse(origin), host) else { return false };
    // A proxy may have ended TLS before us: the page's scheme decides what the default port is, on both sides.
    with_port(&origin_host, &scheme).eq_ignore_ascii_case(&with_port(host, &scheme))
}

/// Whether `host` (a `Host` header) names this machine's loopback. A name that an attacker owns can resolve to
/// 127.0.0.1 as well (DNS rebinding): its page would then count as one of the same host.
pub(crate) fn is_loopback(host: Option<&str>) -> bool {
    let Some(Ok(authority)) = host.map(str::parse::<axum::http::uri::Authority>) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn parse(origin: &str) -> Option<(String, String)> {
    let (scheme, rest) = origin.split_once("://")?;
    if !matches!(scheme, "http" | "https") || rest.contains(['/', '?', '#', '@']) {
        return None;
    }
    let uri: Uri = origin.parse().ok()?;
    Some((scheme.to_owned(), uri.authority()?.as_str().to_owned()))
}

fn with_port(authority: &str, scheme: &str) -> String {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_a_host_and_no_path() {
        for good in ["https://a.example", "http://localhost:8080", "https://[::1]:1"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in
            ["a.example", "https://", "https://a.example/", "https://u@a.example", "ftp://a.example", "null", "*"]
        {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn pages_of_the_same_host_and_listed_ones_may_connect() {
        let allowed = ["https://call.example".to_owned()];
        let may = |origin, host| may_connect(origin, host, &allowed);
        assert!(may(None, Some("sfu.example")));
        assert!(may(Some("https://sfu.example"), Some("sfu.example")));
        assert!(may(Some("https://SFU.example"), Some("sfu.example:443")));
        assert!(may(Some("http://localhost:8080"), Some("localhost:8080")));
        assert!(may(Some("http://[::1]:8080"), Some("[::1]:8080")));
        assert!(may(Some("http://[::1]"), Some("[::1]:80")));
        assert!(may(Some("https://call.example"), Some("sfu.example")));
        assert!(!may(Some("https://evil.example"), Some("sfu.example")));
        assert!(!may(Some("http://localhost:3000"), Some("localhost:8080")));
        assert!(!may(Some("null"), Some("sfu.example")));
        assert!(!may(Some("https://sfu.example"), None));
    }

    #[test]
    fn loopback_has_few_names() {
        for yes in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "x.localhost"] {
            assert!(is_loopback(Some(yes)), "{yes}");
        }
        for no in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", ""] {
            assert!(!is_loopback(Some(no)), "{no}");
        }
        assert!(!is_loopback(None));
    }
}
