//! The proxy: HTTP in, HTTP out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use matrix_sdk::reqwest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{HOLD_MAX, Weather};

const SYNC: &str = "/_matrix/client/v3/sync";
const SEND: &str = "/_matrix/client/v3/sendToDevice/";

/// For as long as the run lasts.
pub async fn serve(listener: TcpListener, homeserver: String, weather: Arc<Weather>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (homeserver, weather) = (homeserver.clone(), weather.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (homeserver, weather) = (homeserver.clone(), weather.clone());
                async move { Ok::<_, Infallible>(answer(request, &homeserver, &weather).await) }
            });
            // A client that goes away is no mistake.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, homeserver: &str, weather: &Weather) -> Response<Full<Bytes>> {
    pass(request, homeserver, weather).await.unwrap_or_else(|_| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

async fn pass(request: Request<Incoming>, homeserver: &str, weather: &Weather) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path_and_query().context("no path")?.as_str();
    let token = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let token = token.unwrap_or_default();
    let forward =
        |path: &str| outgoing(&weather.http, &head.method, format!("{homeserver}{path}"), &head.headers, &body);
    if head.uri.path() == SYNC {
        let response = forward(&held_shortly(path)).send().await?;
        let (status, bytes) = (response.status(), response.bytes().await?);
        let Some(bytes) = rewritten(&bytes, token, weather) else { return Ok(json_response(status, bytes)) };
        return Ok(json_response(status, bytes.into()));
    }
    if head.method == Method::PUT && path.starts_with(SEND) {
        let message = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(times) = weather.going_up(token, &message) {
            for (number, after) in times.into_iter().enumerate() {
                // Under another transaction id: to the homeserver it is another message.
                let request = forward(&format!("{path}.{number}"));
                match after.is_zero() {
                    true => drop(request.send().await?),
                    false => drop(tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        let _ = request.send().await;
                    })),
                }
            }
            return Ok(json_response(StatusCode::OK, "{}".into()));
        }
    }
    let response = forward(path).send().await?;
    let status = response.status();
    Ok(json_response(status, response.bytes().await?))
}

fn outgoing(
    http: &reqwest::Client,
    method: &Method,
    url: String,
    headers: &HeaderMap,
    body: &Bytes,
) -> reqwest::RequestBuilder {
    let mut request = http.request(method.clone(), url).body(body.clone());
    for name in [AUTHORIZATION, CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    request
}

fn json_response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// A sync that comes back soon.
fn held_shortly(path: &str) -> String {
    let Some((before, query)) = path.split_once('?') else { return path.to_owned() };
    let words = query.split('&').map(|word| match word.strip_prefix("timeout=").and_then(|ms| ms.parse().ok()) {
        Some(ms) => format!("timeout={}", HOLD_MAX.as_millis().min(ms)),
        None => word.to_owned(),
    });
    format!("{before}?{}", words.collect::<Vec<_>>().join("&"))
}

fn rewritten(bytes: &[u8], token: &str, weather: &Weather) -> Option<Vec<u8>> {
    let mut sync: Value = serde_json::from_slice(bytes).ok()?;
    sync.get("next_batch")?;
    let events = sync["to_device"]["events"].as_array_mut().map(std::mem::take).unwrap_or_default();
    sync["to_device"] = json!({"events": weather.coming_down(token, Instant::now(), events)});
    serde_json::to_vec(&sync).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_come_back_soon() {
        assert_eq!(held_shortly("/sync?since=s1&timeout=30000"), "/sync?since=s1&timeout=300");
        assert_eq!(held_shortly("/sync?timeout=0&filter=%7B%7D"), "/sync?timeout=0&filter=%7B%7D");
        assert_eq!(held_shortly("/sync"), "/sync");
    }
}
