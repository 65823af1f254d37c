//! The homeservers that the operator named, at the addresses that he gave.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Url, header, redirect};
use serde_json::Value;

use super::exchange::AGENT;
use super::{Answer, CONNECT_TIMEOUT, FetchError, Refused, TOTAL_TIMEOUT};

/// The members of a large room are some megabytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
}

pub(crate) struct Configured {
    client: Client,
    /// By server name in lower case.
    homeservers: BTreeMap<String, Url>,
}

impl Configured {
    pub(super) fn new(homeservers: BTreeMap<String, Url>, tls: rustls::ClientConfig) -> Result<Self, FetchError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(AGENT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .build()?;
        let homeservers = homeservers.into_iter().map(|(name, url)| (name.to_ascii_lowercase(), url)).collect();
        Ok(Self { client, homeservers })
    }

    pub(crate) fn knows(&self, server_name: &str) -> bool {
        self.homeservers.contains_key(&server_name.to_ascii_lowercase())
    }

    /// One request. `path` begins with a slash and may have a query; what comes from others in it is percent-encoded
    /// ([`segment`]). `bearer`: goes into `Authorization`.
    pub(crate) async fn call(
        &self,
        server_name: &str,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Refused> {
        let base = self.homeservers.get(&server_name.to_ascii_lowercase()).ok_or(Refused::Name)?;
        let url = Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/'))).map_err(|_| Refused::Name)?;
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let mut request = self.client.request(method, url);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| reason(&error))?;
        let status = response.status().as_u16();
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(Refused::BadAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: Bytes::from(body), retry_after: seconds.map(Duration::from_secs) })
    }
}

fn reason(error: &reqwest::Error) -> Refused {
    if error.is_timeout() {
        Refused::Timeout
    } else if error.is_connect() {
        Refused::Unreachable
    } else {
        Refused::BadAnswer
    }
}

/// One segment of a path, or one value of a query: everything that is not unreserved (RFC 3986 §2.3) is encoded.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    // A dot segment would climb, encoded as well (<https://url.spec.whatwg.org/#double-dot-path-segment>). No id is one, so
    // that it may become something that is not found.
    match encoded.as_str() {
        "." | ".." => encoded.replace('.', "%252E"),
        _ => encoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("!r:hs/../x?y#z%"), "%21r%3Ahs%2F..%2Fx%3Fy%23z%25");
        assert_eq!(segment("ä"), "%C3%A4");
        let url = |id| Url::parse(&format!("https://hs/a/{}/b", segment(id))).expect("a URL").path().to_owned();
        assert_eq!((url(".."), url(".")), ("/a/%252E%252E/b".into(), "/a/%252E/b".into()));
    }
}
