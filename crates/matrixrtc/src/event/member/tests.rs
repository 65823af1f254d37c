use ruma::{owned_device_id, owned_user_id};

use super::*;
use crate::event::Sticky;
use crate::transport::RustSfu;

fn alice() -> Join {
    let rust_sfu = Transport::RustSfu(RustSfu::at_url("wss://sfu.example.org/rtc/v1"));
    let livekit = Transport::parse(&json!({"type": "livekit", "livekit_service_url": "https://rtc.example.org"}));
    Join {
        intent: Some("audio".to_owned()),
        created_at: Some(Timestamp::from_millis(500)),
        ..Join::new(
            owned_user_id!("@alice:example.org"),
            owned_device_id!("AAAAAAA"),
            "xyzABC",
            vec![rust_sfu, livekit.expect("a transport")],
        )
    }
}

fn event(outgoing: Outgoing, encrypted_by: Option<&Join>) -> RoomEvent {
    RoomEvent {
        kind: outgoing.kind.to_owned(),
        event_id: ruma::event_id!("$a").to_owned(),
        sender: alice().user,
        sent_at: Timestamp::from_millis(1_000),
        state_key: outgoing.state_key,
        content: outgoing.content,
        sticky: outgoing.sticky.map(|duration| Sticky { duration, left: None }),
        redacts: None,
        is_redacted: false,
        encrypted_by: encrypted_by.map(|join| join.device.clone()),
    }
}

fn joined(event: &RoomEvent) -> Membership {
    match parse(event, Timestamp::from_millis(1_000)) {
        Ok(Claim::Joined(membership)) => membership,
        other => panic!("{other:?}"),
    }
}

#[test]
fn read_as_written() {
    let alice = alice();
    for (profile, form) in [(Profile::Interop, Form::Transports), (Profile::Pure, Form::Spec)] {
        let membership = joined(&event(join(&alice, profile), Some(&alice)));
        assert_eq!(membership.form, form);
        assert_eq!(membership.device_from, DeviceFrom::Encryption);
        assert_eq!(membership.key.device, alice.device);
        assert_eq!(membership.key.member_id, alice.member_id);
        assert_eq!(membership.transports, alice.transports);
        assert_eq!(membership.can_subscribe, alice.can_subscribe);
        assert_eq!(membership.intent, alice.intent);
        assert_eq!(membership.created_at, Timestamp::from_millis(500));
        assert_eq!(membership.expires_at, Timestamp::from_millis(1_000).plus(STICKY_MAX));
    }
}

/// The oldest shape is in there as well: a reader that looks for it finds the same.
#[test]
fn the_interop_profile_has_all_shapes() {
    let alice = alice();
    let mut content = join(&alice, Profile::Interop).content;
    content.remove("transports");
    let membership = joined(&event(Outgoing { content, ..join(&alice, Profile::Interop) }, Some(&alice)));
    assert_eq!(membership.form, Form::RtcTransports);
    assert_eq!(membership.transports, alice.transports);
}

#[test]
fn leaves() {
    let reason = Leave { code: Some("transport_error".to_owned()), reason: Some("no route".to_owned()) };
    for profile in [Profile::Interop, Profile::Pure] {
        let event = event(leave(&alice(), profile, &reason), None);
        let expected = if profile == Profile::Pure { reason.clone() } else { Leave::default() };
        assert_eq!(parse(&event, Timestamp::default()), Ok(Claim::Left(expected)));
        assert_eq!(sticky_key(&event), Ok("xyzABC"), "of the event that it undoes");
    }
}
