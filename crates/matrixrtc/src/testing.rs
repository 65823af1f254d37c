//! What the tests of this crate share.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::de::DeserializeOwned;

/// The one reading of a clock: time in tests is this plus what the test says.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; its value never matters")]
pub fn epoch() -> Instant {
    Instant::now()
}

/// The golden cases of a folder, with their files' names. Clients in other languages read the same files.
pub fn goldens<T: DeserializeOwned>(folder: &str) -> Vec<(String, T)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let entries = fs::read_dir(folder).expect("golden").map(|entry| entry.expect("an entry").path());
    let files: BTreeSet<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    assert!(!files.is_empty(), "no golden cases");
    let read = |path: &Path| fs::read_to_string(path).expect("a golden file");
    files.iter().map(|path| (path.display().to_string(), serde_json::from_str(&read(path)).expect("a case"))).collect()
}

/// A member that joined at the epoch, can receive over what it publishes to, and whose device is `D`.
pub fn member(user: &str, transports: &[serde_json::Value]) -> crate::Membership {
    let transports = crate::transport::parse_list(transports).expect("transports");
    let mut can_subscribe: Vec<_> = transports.iter().map(|transport| transport.kind().to_owned()).collect();
    can_subscribe.dedup();
    crate::Membership {
        key: crate::MemberKey {
            user: ruma::UserId::parse(user).expect("a user id"),
            device: "D".into(),
            member_id: format!("{user}:D"),
        },
        device_from: crate::DeviceFrom::Content,
        slot: crate::SlotId::default(),
        application: "m.call".to_owned(),
        intent: None,
        capabilities: Vec::new(),
        created_at: crate::Timestamp::default(),
        expires_at: crate::Timestamp::from_millis(u64::MAX),
        transports,
        can_subscribe,
        selection: crate::FocusSelection::MultiSfu,
        event_id: ruma::EventId::parse("$event").expect("an event id"),
        sent_at: crate::Timestamp::default(),
        form: crate::Form::Legacy,
    }
}
