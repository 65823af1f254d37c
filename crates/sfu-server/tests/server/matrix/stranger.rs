//! A homeserver that nobody configured: it is found by its name, over TLS, and says whose its OpenID tokens are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

const TOKEN: &str = "a-strangers-token";

pub struct Stranger {
    name: String,
    pub user: String,
    pub certificate: PathBuf,
}

impl Stranger {
    pub async fn start(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = folder.join("stranger.pem");
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = config.with_no_client_auth().with_single_cert(chain, key).expect("they fit");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let name = listener.local_addr().expect("bound").to_string();
        let user = format!("@zoe:{name}");
        let (acceptor, sub) = (TlsAcceptor::from(Arc::new(config)), user.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, sub) = (acceptor.clone(), sub.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = format!("GET /_matrix/federation/v1/openid/userinfo?access_token={TOKEN} ");
                    let (status, body) = match head.starts_with(&path) {
                        true => ("200 OK", json!({ "sub": sub })),
                        false => ("401 Unauthorized", json!({ "errcode": "M_UNKNOWN_TOKEN" })),
                    };
                    let body = body.to_string();
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { name, user, certificate }
    }

    pub fn openid_token(&self) -> Value {
        json!({ "access_token": TOKEN, "token_type": "Bearer", "matrix_server_name": self.name, "expires_in": 3600 })
    }
}
