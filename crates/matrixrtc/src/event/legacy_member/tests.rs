//! Written events, read by ourselves and by ruma, whose idea of a member Element X and others have.

use ruma::events::call::member::CallMemberEventContent;
use ruma::{device_id, owned_device_id, owned_user_id, room_version_id, user_id};

use super::*;

fn rust_sfu() -> Transport {
    Transport::RustSfu(RustSfu {
        sfu_id: Some("abc".to_owned()),
        service_url: Some("https://sfu.example.org".to_owned()),
        ..RustSfu::at_url("wss://sfu.example.org/rtc/v1")
    })
}

fn livekit() -> Transport {
    Transport::Livekit(Livekit {
        service_url: Some("https://rtc.example.org".to_owned()),
        alias: Some("!room:example.org".to_owned()),
        ..Livekit::default()
    })
}

fn alice(transports: Vec<Transport>) -> Join {
    Join {
        intent: Some("video".to_owned()),
        capabilities: vec!["audio".to_owned()],
        ..Join::new(owned_user_id!("@alice:example.org"), owned_device_id!("AAAAAAA"), "xyzABC", transports)
    }
}

fn read_back(join: &Join, profile: Profile) -> Membership {
    let outgoing = super::join(join, profile, &RoomVersionId::V11);
    let event = RoomEvent {
        kind: outgoing.kind.to_owned(),
        event_id: ruma::event_id!("$a").to_owned(),
        sender: join.user.clone(),
        sent_at: Timestamp::from_millis(1_000),
        state_key: outgoing.state_key,
        content: outgoing.content,
        sticky: None,
        redacts: None,
        is_redacted: false,
        encrypted_by: None,
    };
    match parse(&event) {
        Ok(Claim::Joined(membership)) => membership,
        other => panic!("{other:?}"),
    }
}

fn ruma(content: &Map<String, Value>) -> Option<CallMemberEventContent> {
    serde_json::from_value(Value::Object(content.clone())).ok()
}

fn ruma_sees_a_member(content: &Map<String, Value>) -> bool {
    matches!(ruma(content), Some(CallMemberEventContent::SessionContent(_)))
}

#[test]
fn read_as_written() {
    for profile in [Profile::Interop, Profile::Pure] {
        for transports in [vec![rust_sfu()], vec![rust_sfu(), livekit()], vec![]] {
            let join = Join { created_at: Some(Timestamp::from_millis(500)), ..alice(transports) };
            let membership = read_back(&join, profile);
            assert_eq!(membership.key.user, join.user);
            assert_eq!(membership.key.device, join.device);
            assert_eq!(membership.key.member_id, join.member_id);
            assert_eq!(membership.slot, join.slot);
            assert_eq!(membership.transports, join.transports);
            assert_eq!(membership.can_subscribe, join.can_subscribe);
            assert_eq!(membership.intent, join.intent);
            assert_eq!(membership.capabilities, join.capabilities);
            assert_eq!(membership.selection, join.selection);
            assert_eq!(membership.created_at, Timestamp::from_millis(500));
            assert_eq!(membership.expires_at, Timestamp::from_millis(500).plus(join.expires));
        }
    }
}

/// The point of the interop profile. Whatever transports there are, clients built on ruma see a member.
#[test]
fn ruma_sees_a_member_of_the_interop_profile() {
    let pigeons = Transport::parse(&json!({"type": "org.example.pigeons"})).expect("a transport");
    let no_alias = Transport::Livekit(Livekit { alias: None, ..as_livekit() });
    let device = Transport::RustSfu(RustSfu::at_device(owned_user_id!("@sfu:example.org"), owned_device_id!("SFU1")));
    let mesh = Transport::parse(&json!({"type": "full_mesh"})).expect("a transport");
    let all = [rust_sfu(), livekit(), no_alias, device, mesh, pigeons];
    for set in 0..1_u32 << all.len() {
        let transports: Vec<_> = (0..all.len()).filter(|i| set >> i & 1 == 1).map(|i| all[i].clone()).collect();
        let join = Join { created_at: Some(Timestamp::from_millis(500)), ..alice(transports) };
        let outgoing = super::join(&join, Profile::Interop, &RoomVersionId::V11);
        assert!(ruma_sees_a_member(&outgoing.content), "{:?}", outgoing.content);
    }
    let slot = SlotId::parse("m.call#stage").expect("a slot");
    for selection in [FocusSelection::OldestMembership, FocusSelection::Unknown("by_lot".to_owned())] {
        let join = Join { selection, slot: slot.clone(), ..alice(vec![rust_sfu()]) };
        assert!(ruma_sees_a_member(&super::join(&join, Profile::Interop, &RoomVersionId::V11).content));
    }
}

fn as_livekit() -> Livekit {
    match livekit() {
        Transport::Livekit(livekit) => livekit,
        _ => Livekit::default(),
    }
}

/// Why there are two profiles: the oracle does say no.
#[test]
fn ruma_takes_the_pure_profile_for_a_leave() {
    let outgoing = super::join(&alice(vec![rust_sfu()]), Profile::Pure, &RoomVersionId::V11);
    assert!(matches!(ruma(&outgoing.content), Some(CallMemberEventContent::Empty(_))));
    let mut one_entry = super::join(&alice(vec![livekit()]), Profile::Interop, &RoomVersionId::V11).content;
    assert!(ruma_sees_a_member(&one_entry));
    one_entry.insert("foci_preferred".to_owned(), json!([livekit(), rust_sfu()]));
    assert!(!ruma_sees_a_member(&one_entry), "one entry is enough");
}

#[test]
fn ruma_reads_leaves() {
    for code in [None, Some("delayed_leave".to_owned())] {
        let content = super::leave(&Leave { code, reason: Some("never written".to_owned()) });
        assert!(matches!(ruma(&content), Some(CallMemberEventContent::Empty(_))));
    }
}

#[test]
fn state_keys() {
    let (user, device) = (user_id!("@alice:example.org"), device_id!("AAAAAAA"));
    let key =
        |version: &RoomVersionId, slot: &str| state_key(version, user, device, &SlotId::parse(slot).expect("slot"));
    let v11 = room_version_id!("11");
    assert_eq!(key(&v11, "m.call#ROOM"), "_@alice:example.org_AAAAAAA_m.call");
    assert_eq!(key(&v11, "m.call#custom"), "_@alice:example.org_AAAAAAA_m.callcustom");
    let owned = room_version_id!("org.matrix.msc3757.11");
    assert_eq!(key(&owned, "m.call#ROOM"), "@alice:example.org_AAAAAAA_m.call");
    for (state_key, is_hers) in [
        ("_@alice:example.org_AAAAAAA_m.call", true),
        ("@alice:example.org_AAAAAAA_m.call", true),
        ("@alice:example.org", true),
        ("", false),
        ("_", false),
        ("__@alice:example.org_AAAAAAA_m.call", false),
        ("_@alice:example.organic_AAAAAAA_m.call", false),
        ("_@bob:example.org_AAAAAAA_m.call", false),
        ("_@alice:example.org:8448_AAAAAAA_m.call", false),
    ] {
        assert_eq!(owns(user, state_key), is_hers, "{state_key}");
    }
}
