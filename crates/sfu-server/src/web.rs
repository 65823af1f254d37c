//! The call page: embedded in release builds, read from disk in debug builds. What is served is what `make web` built,
//! nothing else; a request's path is looked up, never joined to a directory.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Path relative to the page's build, and content. Empty in debug builds.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Where a debug build looks.
#[cfg(debug_assertions)]
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/web/dist");

const PLACEHOLDER: &str = include_str!("web/placeholder.html");

/// Scripts, styles, workers and sockets of this page only; nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     media-src 'self' blob: mediastream:; connect-src 'self' ws: wss:; worker-src 'self' blob:; frame-ancestors 'none'; \
     base-uri 'none'";

/// In Matrix mode the page talks to its user's homeserver, wherever that is, and runs the cryptography of the Matrix SDK.
const CONTENT_SECURITY_POLICY_MATRIX: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src 'self' ws: wss: http: https:; \
     worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'";

/// File name of the page in Matrix mode.
const MATRIX_PAGE: &str = "matrix.html";

/// Hex or base-36 digits that a bundler puts into a file's name when it is made from the content.
const HASH_DIGITS: usize = 8;

/// The call page.
pub(crate) fn index() -> Response {
    let page = find("index.html").unwrap_or(Cow::Borrowed(PLACEHOLDER.as_bytes()));
    file("index.html", page)
}

/// The call page in Matrix mode. Its address holds a login, in the fragment, which never gets here.
pub(crate) fn matrix() -> Response {
    let page = find(MATRIX_PAGE).unwrap_or(Cow::Borrowed(PLACEHOLDER.as_bytes()));
    file(MATRIX_PAGE, page)
}

/// A file of the page, if there is one of this name.
pub(crate) fn asset(path: &str) -> Option<Response> {
    find(path).map(|content| file(path, content))
}

fn find(path: &str) -> Option<Cow<'static, [u8]>> {
    let embedded = EMBEDDED.iter().find(|(name, _)| *name == path).map(|(_, content)| Cow::Borrowed(*content));
    #[cfg(debug_assertions)]
    let embedded = embedded.or_else(|| on_disk(path).map(Cow::Owned));
    embedded
}

/// Debug builds only. No path that leaves the directory gets through.
#[cfg(debug_assertions)]
fn on_disk(path: &str) -> Option<Vec<u8>> {
    use std::path::{Component, Path};
    let relative = Path::new(path);
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_)));
    inside.then(|| std::fs::read(Path::new(DIST).join(relative)).ok()).flatten()
}

fn file(path: &str, content: Cow<'static, [u8]>) -> Response {
    let body = match content {
        Cow::Borrowed(content) => Body::from(content),
        Cow::Owned(content) => Body::from(content),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, content_type(path));
    set(header::CACHE_CONTROL, if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" });
    let policy = if path == MATRIX_PAGE { CONTENT_SECURITY_POLICY_MATRIX } else { CONTENT_SECURITY_POLICY };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // The path names the call.
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        header::HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self)",
    );
    *response.status_mut() = StatusCode::OK;
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// `name-0a1b2c3d.js`: the name changes with the content, so it can be kept for ever.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut parts = name.split(['-', '.']).skip(1);
    parts.any(|part| {
        part.len() >= HASH_DIGITS
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.bytes().any(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_from_content_are_kept_for_ever() {
        for yes in ["assets/main-0A1B2C3D.js", "app.1a2b3c4d.css", "x-QWERTY12.js.map"] {
            assert!(is_hashed(yes), "{yes}");
        }
        for no in ["index.html", "assets/e2ee-worker.js", "main.js", "a-b.css", "12345678"] {
            assert!(!is_hashed(no), "{no}");
        }
    }

    #[test]
    fn no_path_leaves_the_page() {
        for path in
            ["../package.json", "assets/../../package.json", "/etc/hostname", "", "nothing.js", "./index.html/.."]
        {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_the_matrix_page_reaches_other_servers_and_runs_wasm() {
        let policy = |response: &Response| {
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ascii").to_owned()
        };
        for word in ["'wasm-unsafe-eval'", " https: "] {
            assert!(policy(&matrix()).replace(';', " ").contains(word), "{word}");
            assert!(!policy(&index()).replace(';', " ").contains(word), "{word}");
        }
        assert!(policy(&matrix()).contains("frame-ancestors 'none'"));
        assert_eq!(content_type("assets/matrix-crypto-0a1b2c3d.wasm"), "application/wasm");
        assert!(is_hashed("assets/matrix-crypto-0a1b2c3d.wasm"));
    }

    #[test]
    fn a_page_is_served_even_before_one_is_built() {
        let response = index();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(
            response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("ascii")
                .contains("frame-ancestors 'none'")
        );
        assert!(PLACEHOLDER.contains("make web"));
    }
}
