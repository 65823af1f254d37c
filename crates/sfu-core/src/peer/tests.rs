use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use super::*;
use crate::config::{Bounds, LocalCandidate};
use crate::send::Sender;
use crate::srtp::Session;
use crate::subscription::Subscription;
use crate::test_time::epoch;

fn peer() -> Peer {
    let local = SocketAddr::from(([10, 0, 0, 1], 7882));
    let candidates = vec![LocalCandidate { advertised: local, bound: local }];
    let crypto = keys::tap(&crate::default_crypto());
    let certificate = crypto.dtls_provider.generate_certificate().expect("certificate");
    let config = EngineConfig { candidates, seed: [7; 32], crypto: Arc::clone(&crypto), bounds: Bounds::default() };
    let id = (PeerId(1), ConferenceId(1), ParticipantId(1));
    Peer::new(epoch(), id, &config, &crypto, &certificate, IceCreds::new())
}

/// What an answer says of SSRCs, m-line by m-line.
fn ssrcs(sdp: &str) -> Vec<String> {
    let of = |section: &str| section.lines().filter(|line| line.starts_with("a=ssrc")).collect::<Vec<_>>().join("\n");
    sdp.split("\r\nm=").skip(1).map(of).collect()
}

/// str0m keeps no outgoing stream between answers, and yet tells the client the same SSRCs in each.
#[test]
fn ssrcs_stay_while_str0m_forgets_its_streams() {
    let mut peer = peer();
    let mut client = RtcConfig::new().set_crypto_provider(crate::default_crypto()).build(epoch());
    let (mut mids, mut before) = (Vec::new(), Vec::new());
    for round in 1..4 {
        let mut api = client.sdp_api();
        let kinds = [MediaKind::Audio, MediaKind::Video];
        mids.extend(kinds.map(|kind| api.add_media(kind, Direction::RecvOnly, None, None, None)));
        let (offer, pending) = api.apply().expect("changes");
        let offer = offer.to_sdp_string();
        let lines = crate::sdp::scan(&offer, &Bounds::default()).expect("offer");
        let answer = peer.accept_offer(epoch(), &offer, &lines).expect("answer");
        let told = ssrcs(&answer);
        assert!(told.len() == 2 * round && told.iter().all(|ssrcs| !ssrcs.is_empty()), "{answer}");
        assert_eq!(told[..before.len()], before[..]);
        before = told;
        for mid in &mids {
            assert!(peer.rtc.direct_api().stream_tx_by_mid(*mid, None).is_none(), "str0m has a stream");
        }
        let answer = SdpAnswer::from_sdp_string(&answer).expect("answer");
        client.sdp_api().accept_answer(pending, answer).expect("accepted");
    }
}

/// What each peer and each subscription has of ours. Most of a peer is str0m's `Rtc`: 10 KB here, and more elsewhere.
#[test]
fn peers_and_subscriptions_are_small() {
    let sizes = [
        ("a peer beside its Rtc", size_of::<Peer>() - size_of::<Rtc>(), 1280),
        ("an SRTP session", size_of::<Session>(), 320),
        ("a sender", size_of::<Sender>(), 192),
        ("a subscription", size_of::<Subscription>(), 512),
    ];
    for (name, size, bound) in sizes {
        assert!(size <= bound, "{name} has {size} bytes of {bound}");
    }
}
