//! First-byte demultiplexing, and the look into STUN for its receiver.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sfu_core::demux::{Class, classify, is_binding_request, stun_local_ufrag};

fuzz_target!(|datagram: &[u8]| {
    let class = classify(datagram);
    // RFC 7983 §7.
    match datagram.first() {
        Some(0..=3) => assert!(matches!(class, Class::Stun | Class::Junk)),
        Some(20..=63) => assert!(matches!(class, Class::Dtls | Class::Junk)),
        Some(128..=191) => assert!(matches!(class, Class::Rtp | Class::Rtcp | Class::Junk)),
        _ => assert_eq!(class, Class::Junk),
    }
    if let Some(ufrag) = stun_local_ufrag(datagram) {
        assert!(class == Class::Stun && is_binding_request(datagram));
        assert!(!ufrag.contains(':'));
        let mut named = ufrag.as_bytes().to_vec();
        named.push(b':');
        assert!(datagram.windows(named.len()).any(|window| window == named));
    }
});
