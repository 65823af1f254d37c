//! SRTP keys out of str0m: a `DtlsProvider` that hands everything through and keeps the keying material.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider};
use str0m::{Rtc, RtcConfig};

/// What DTLS exported (RFC 5764 §4.2): two master keys and two salts, the client's first.
#[derive(Debug, Clone)]
pub struct Material {
    pub bytes: Vec<u8>,
    pub profile: SrtpProfile,
    /// This end was the DTLS client.
    pub active: bool,
}

/// Where the material appears once the handshake is through.
pub type Slot = Arc<OnceLock<Material>>;

thread_local! {
    /// The slot of the instance made last on this thread: str0m makes it inside `RtcConfig::build`.
    static LATEST: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Builds an `Rtc` whose keys can be had.
pub fn build(config: RtcConfig, now: Instant) -> (Rtc, Slot) {
    static CRYPTO: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let crypto = CRYPTO
        .get_or_init(|| Arc::new(CryptoProvider { dtls_provider: &Tap, ..(*sfu_core::default_crypto()).clone() }));
    let rtc = config.set_crypto_provider(Arc::clone(crypto)).build(now);
    let slot = LATEST.take().unwrap_or_default();
    (rtc, slot)
}

fn real() -> &'static dyn DtlsProvider {
    // One configuration for all clients, as the server has it: the load's core must not be the one that is full.
    static REAL: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    REAL.get_or_init(sfu_core::default_crypto).dtls_provider
}

#[derive(Debug)]
struct Tap;

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        real().generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = real().new_dtls(cert, now, version, mtu)?;
        let slot = Slot::default();
        LATEST.set(Some(Arc::clone(&slot)));
        Ok(Box::new(Tapped { inner, slot, active: false }))
    }
}

#[derive(Debug)]
struct Tapped {
    inner: Box<dyn DtlsInstance>,
    slot: Slot,
    active: bool,
}

impl DtlsInstance for Tapped {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            // A second handshake on one association does not exist in WebRTC.
            let _ = self.slot.set(Material { bytes: material.to_vec(), profile: *profile, active: self.active });
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.active = active;
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
