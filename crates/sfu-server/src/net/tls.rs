//! TLS for the HTTP listener, from two PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("tls.cert {path}: {error}")]
    Certificate { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("tls.cert {path}: no certificate in it")]
    NoCertificate { path: PathBuf },
    #[error("tls.key {path}: {error}")]
    Key { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("tls.cert and tls.key do not work together: {0}")]
    Pair(#[from] rustls::Error),
}

/// `None`: TLS is not configured.
pub(crate) fn acceptor(tls: &Tls) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return Ok(None) };
    let chain = chain(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key { path: key.clone(), error })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private)?;
    // A WebSocket over HTTP/2 (RFC 8441) would gain nothing here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::Certificate { path: path.to_owned(), error };
    let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().map_err(failed)?;
    match chain.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(chain),
    }
}
