use std::path::PathBuf;
use std::sync::Arc;

use sfu_server::node::Node;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::harness::{config, exchange, within};

struct Files {
    cert: PathBuf,
    key: PathBuf,
    root: RootCertStore,
}

fn files(name: &str) -> Files {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let at = |what: &str| std::env::temp_dir().join(format!("sfu-tls-{name}-{}-{what}.pem", std::process::id()));
    let (cert, key) = (at("cert"), at("key"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let mut root = RootCertStore::empty();
    root.add(made.cert.der().clone()).expect("a root");
    Files { cert, key, root }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.cert);
        let _ = std::fs::remove_file(&self.key);
    }
}

#[tokio::test]
async fn with_a_certificate_the_page_is_served_over_tls() {
    let files = files("good");
    let mut config = config(true);
    (config.tls.cert, config.tls.key) = (Some(files.cert.clone()), Some(files.key.clone()));
    let node = Node::start(config).await.expect("started");
    assert!(node.call_page().expect("a page").starts_with("https://localhost:"));
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let connector =
        TlsConnector::from(Arc::new(client.with_root_certificates(files.root.clone()).with_no_client_auth()));
    let stream = TcpStream::connect(node.http_addr()).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = within("a handshake", connector.connect(name, stream)).await.expect("trusted");
    let response = exchange(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(response.status, 200);
    node.stop().await;
}

#[tokio::test]
async fn files_that_do_not_fit_are_named() {
    let (one, other) = (files("one"), files("other"));
    let missing = PathBuf::from("/nonexistent/cert.pem");
    for (cert, key, start) in [
        (&missing, &one.key, "tls.cert /nonexistent/cert.pem: "),
        (&one.key, &one.key, "tls.cert "),
        (&one.cert, &one.cert, "tls.key "),
        (&one.cert, &other.key, "tls.cert and tls.key do not work together: "),
    ] {
        let mut config = config(true);
        (config.tls.cert, config.tls.key) = (Some(cert.clone()), Some(key.clone()));
        let error = Node::start(config).await.map(|_| ()).expect_err("refused").to_string();
        assert!(error.starts_with(start) && !error.contains('\n'), "{error}");
    }
}
