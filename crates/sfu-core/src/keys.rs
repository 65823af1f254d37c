//! SRTP keys out of str0m, without a fork: a `DtlsProvider` that hands everything through and keeps the keying material
//! that the handshake exports (RFC 5764 §4.2). str0m itself never gets it: RTP and RTCP do not reach it, and without keys it
//! sends none. So its SRTP contexts do not exist, nor is there a second place where nonces are used.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider};

use crate::srtp::{KeyingError, Profile, Session};

/// What one handshake exported.
struct Material {
    bytes: Vec<u8>,
    profile: SrtpProfile,
    /// We were the DTLS client.
    client: bool,
}

/// Where the keys of one association appear once its handshake is through.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<OnceLock<Material>>);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", if self.0.get().is_some() { "keyed" } else { "empty" })
    }
}

impl Slot {
    /// The session that the material makes; `None` while there is none.
    pub(crate) fn session(&self) -> Option<Result<Session, KeyingError>> {
        let material = self.0.get()?;
        let profile = match material.profile {
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1_80,
            _ => return Some(Err(KeyingError::Refused)),
        };
        Some(Session::new(profile, &material.bytes, material.client))
    }
}

thread_local! {
    /// The slot of the instance made last on this thread: str0m makes it inside `RtcConfig::build`, and takes no argument
    /// through to it.
    static LATEST: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// The slot of the association that was built just now.
pub(crate) fn take_latest() -> Slot {
    LATEST.take().unwrap_or_default()
}

/// `crypto` with its DTLS tapped. str0m wants `'static` providers, so each call leaks some 16 bytes: once per engine.
pub(crate) fn tap(crypto: &CryptoProvider) -> Arc<CryptoProvider> {
    let tap: &'static Tap = Box::leak(Box::new(Tap { inner: crypto.dtls_provider }));
    Arc::new(CryptoProvider { dtls_provider: tap, ..crypto.clone() })
}

#[derive(Debug)]
struct Tap {
    inner: &'static dyn DtlsProvider,
}

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.inner.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = self.inner.new_dtls(certificate, now, version, mtu)?;
        let slot = Slot::default();
        LATEST.set(Some(slot.clone()));
        Ok(Box::new(Tapped { inner, slot }))
    }
}

#[derive(Debug)]
struct Tapped {
    inner: Box<dyn DtlsInstance>,
    slot: Slot,
}

impl DtlsInstance for Tapped {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let client = self.inner.is_active();
                // A second handshake on one association does not exist in WebRTC.
                let _ = self.slot.0.set(Material { bytes: material.to_vec(), profile, client });
                // Some output has to stand in its place. str0m takes note of the first of these, and tells of it when it
                // has seen the certificate too.
                DtlsOutput::Connected
            }
            output => output,
        }
    }

    fn set_active(&mut self, active: bool) {
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

#[cfg(test)]
mod tests;
