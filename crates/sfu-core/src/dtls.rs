//! DTLS for all associations of a process, with one configuration.
//!
//! str0m's own adapter builds dimpl's configuration anew for each association, and dimpl examines the whole crypto library
//! whenever it builds one: known answers, signatures on two curves, a key exchange on three. That took a third of a
//! millisecond of each join (`docs/performance.md`). Here it is done once.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};

/// dimpl on aws-lc-rs. str0m wants a `'static` one.
pub(crate) static PROVIDER: Provider = Provider { shared: OnceLock::new() };

pub(crate) struct Provider {
    /// The first configuration, and the MTU that it is for: all associations of a process have the same.
    shared: OnceLock<(Option<usize>, Arc<Config>)>,
}

impl Provider {
    fn config(&self, mtu: Option<usize>) -> Result<Arc<Config>, CryptoError> {
        if let Some((_, config)) = self.shared.get().filter(|(of, _)| *of == mtu) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(mtu)?);
        let _ = self.shared.set((mtu, Arc::clone(&config)));
        Ok(config)
    }
}

fn build(mtu: Option<usize>) -> Result<Config, CryptoError> {
    // ICE has verified that the peer is where it says, before the first DTLS packet: cookies would add a round trip.
    let mut builder = Config::builder().use_server_cookie(false);
    if let Some(mtu) = mtu {
        builder = builder.mtu(mtu);
    }
    builder.build().map_err(|error| CryptoError::Other(format!("DTLS configuration: {error}")))
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let DtlsCertificate { certificate, private_key } =
            dimpl::certificate::generate_self_signed_certificate().ok()?;
        Some(DtlsCert { certificate, private_key })
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = self.config(mtu)?;
        let DtlsCert { certificate, private_key } = certificate.clone();
        let certificate = DtlsCertificate { certificate, private_key };
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => Dtls::new_auto(config, certificate, now),
            other => return Err(CryptoError::Other(format!("no DTLS version {other}"))),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

struct Instance(Dtls);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests;
