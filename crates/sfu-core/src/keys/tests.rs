use str0m::crypto::dtls::KeyingMaterial;

use super::*;

/// A handshake that is through: it says so, and exports its keys.
#[derive(Debug)]
struct Done(Vec<DtlsOutput<'static>>);

impl DtlsInstance for Done {
    fn poll_output<'a>(&mut self, _: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.remove(0)
    }

    fn set_active(&mut self, _: bool) {}

    fn handle_packet(&mut self, _: &[u8]) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        false
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn is_closing(&self) -> bool {
        false
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        Ok(())
    }
}

#[test]
fn keying_material_is_ours_alone() {
    let profile = SrtpProfile::AEAD_AES_128_GCM;
    let material = KeyingMaterial::new(&[7; 56]);
    let outputs = vec![DtlsOutput::Connected, DtlsOutput::KeyingMaterial(material, profile), DtlsOutput::CloseNotify];
    let slot = Slot::default();
    let mut tapped = Tapped { inner: Box::new(Done(outputs)), slot: slot.clone() };
    let mut buf = [0; 64];
    assert!(matches!(tapped.poll_output(&mut buf), DtlsOutput::Connected));
    assert!(slot.session().is_none());
    assert!(matches!(tapped.poll_output(&mut buf), DtlsOutput::Connected));
    assert!(slot.session().is_some_and(|session| session.is_ok()));
    assert!(matches!(tapped.poll_output(&mut buf), DtlsOutput::CloseNotify));
}
