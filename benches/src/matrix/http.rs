//! Requests to a homeserver or a focus whose types `matrix-sdk` does not have, or of users that need no client.

use anyhow::{Context as _, Result};
use matrix_sdk::reqwest::{self, Method};
use serde_json::Value;
use thiserror::Error;

/// Why there is no answer to use.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("{status} {errcode}: {error}")]
    Answer { status: u16, errcode: String, error: String },
    #[error("no answer")]
    Lost(#[from] reqwest::Error),
}

impl Refused {
    /// Of HTTP, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            Self::Lost(_) => None,
        }
    }

    /// The other side knows no such thing: another way may be tried.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Answer { status, errcode, .. } if *status == 404 || errcode == "M_UNRECOGNIZED")
    }
}

/// One server, and who asks.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    /// Without a slash at the end.
    pub base: String,
    token: Option<String>,
}

impl Api {
    pub fn new(client: &reqwest::Client, base: &str) -> Self {
        Self { client: client.clone(), base: base.trim_end_matches('/').to_owned(), token: None }
    }

    /// The same with an access token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Result<Value, Refused> {
        self.request(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.request(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.request(Method::PUT, path, Some(body)).await
    }

    /// A request whose answer somebody else reads: status, `Retry-After`, body.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        query: &[(&'static str, String)],
        body: Option<&Value>,
    ) -> Result<(u16, Option<String>, Vec<u8>), Refused> {
        let mut url = format!("{}{path}", self.base);
        for (number, (name, value)) in query.iter().enumerate() {
            let mark = if number == 0 { '?' } else { '&' };
            url.push_str(&format!("{mark}{name}={}", segment(value)));
        }
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((status, retry_after, response.bytes().await?.to_vec()))
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refused> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        Err(Refused::Answer { status: status.as_u16(), errcode: text("errcode"), error: text("error") })
    }
}

/// One component of a path.
pub fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A field that has to be there.
pub fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str> {
    body[field].as_str().with_context(|| format!("the answer has no `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_into_a_path() {
        assert_eq!(segment("!a/b:c.d"), "%21a%2Fb%3Ac.d");
        assert_eq!(segment("_@u:h_DEV_m.call"), "_%40u%3Ah_DEV_m.call");
    }

    #[test]
    fn what_is_not_known_may_be_elsewhere() {
        let refused =
            |status, errcode: &str| Refused::Answer { status, errcode: errcode.to_owned(), error: String::new() };
        assert!(refused(404, "M_NOT_FOUND").is_unknown());
        assert!(refused(400, "M_UNRECOGNIZED").is_unknown());
        assert!(!refused(403, "M_FORBIDDEN").is_unknown());
    }
}
