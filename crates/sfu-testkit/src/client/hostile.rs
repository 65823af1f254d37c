//! What a hostile client may do, and no browser does.

use std::time::Instant;

use focus_signaling::wire::{Kind, Source};
use sfu_core::srtp::{Profile, Session};

use super::Client;
use super::call::Stray;

impl Client {
    /// A PLI for every video that it receives.
    pub fn ask_for_keyframes(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        call.ask_for_keyframes();
        call.flush(now);
        self.drain(now);
    }

    /// RTP of its own making, properly encrypted.
    pub fn write_stray(&mut self, now: Instant, stray: &Stray) {
        let Some(call) = &mut self.call else { return };
        call.write_stray(now, stray);
        call.flush(now);
        self.drain(now);
    }

    /// Seals RTCP with the keys of its association, beside what its stack sends: under an SSRC that is not its stack's.
    pub fn seal_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut out = vec![0; packet.len() + Profile::AeadAes128Gcm.rtcp_overhead()];
        let sealed = self.session().outbound.seal_rtcp(packet, &mut out);
        out.truncate(sealed.expect("at least a header"));
        out
    }

    /// Seals RTP, in the same way.
    pub fn seal_rtp(&mut self, header: &[u8], sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = header.to_vec();
        out.resize(header.len() + payload.len() + Profile::AeadAes128Gcm.rtp_overhead(), 0);
        let ssrc = header.get(8..12).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes);
        self.session().outbound.seal_rtp(ssrc, sequence, header.len(), payload, &mut out);
        out
    }

    fn session(&mut self) -> &mut Session {
        if let Some(material) = self.keys.try_iter().last() {
            // The client offers `setup:actpass` and the focus is passive: it is the DTLS client.
            self.srtp = Session::new(Profile::AeadAes128Gcm, &material, true).ok();
        }
        self.srtp.as_mut().expect("a handshake")
    }

    /// Under which payload type it sends and gets media of a kind.
    pub fn payload_type(&self, kind: Kind) -> u8 {
        let number = self.call.as_ref().and_then(|call| call.payload_type(kind));
        *number.expect("a peer connection with a codec of each kind")
    }

    /// Its encoder begins anew, as when a browser replaces its sender: other SSRCs, other numbers.
    pub fn restart_ssrcs(&mut self, source: Source) {
        let Some(call) = &mut self.call else { return };
        for publisher in self.publishers.iter_mut().filter(|publisher| publisher.source == source) {
            publisher.restart(call, &mut self.random);
        }
    }
}
