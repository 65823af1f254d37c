//! The few plain HTTP requests that a client makes before its WebSocket.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What `POST /dev/token` answers.
#[derive(Debug, Deserialize)]
pub struct Access {
    pub token: String,
    /// Path of the signalling socket.
    pub url: String,
}

/// A token for anybody, from a server with `--dev`.
pub async fn dev_token(server: SocketAddr, conference: &str, name: &str) -> Result<Access> {
    dev_token_over(connect(server).await?, &server.to_string(), conference, name).await
}

/// The same over any stream to a server that calls itself `host`.
pub async fn dev_token_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    conference: &str,
    name: &str,
) -> Result<Access> {
    let body = serde_json::json!({ "conference": conference, "name": name }).to_string();
    let (status, body) = request(stream, host, Method::POST, "/dev/token", body).await?;
    if status != StatusCode::OK {
        bail!("no token: {status} {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).context("what came was no token")
}

/// The status of a `GET`.
pub fn get_status(server: SocketAddr, path: &str) -> Result<u16> {
    Ok(blocking(server, Method::GET, path, String::new())?.0.as_u16())
}

/// What a `GET` answers, as text.
pub fn get(server: SocketAddr, path: &str) -> Result<String> {
    text(path, blocking(server, Method::GET, path, String::new())?)
}

/// What a `POST` of JSON answers, as text.
pub fn post(server: SocketAddr, path: &str, body: String) -> Result<String> {
    text(path, blocking(server, Method::POST, path, body)?)
}

fn text(path: &str, (status, body): (StatusCode, Bytes)) -> Result<String> {
    let body = String::from_utf8_lossy(&body).into_owned();
    if status != StatusCode::OK {
        bail!("{path}: {status} {body}");
    }
    Ok(body)
}

fn blocking(server: SocketAddr, method: Method, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { request(connect(server).await?, &server.to_string(), method, path, body).await })
}

async fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        drop(sender);
        Ok::<_, hyper::Error>((status, body))
    };
    let (answer, _) = tokio::join!(exchange, connection);
    Ok(answer?)
}
