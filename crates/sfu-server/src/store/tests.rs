use std::os::unix::fs::PermissionsExt as _;

use super::keeper::WAITING_MAX;
use super::*;

/// A directory of its own for each test, gone with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sfu-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn denial(identity: &str, until_ms: u64) -> Denial {
    Denial { conference: "room".into(), identity: identity.into(), until_ms }
}

fn delegation(identity: &str, delay_id: &str) -> Delegation {
    Delegation {
        conference: "room".into(),
        identity: identity.into(),
        server_name: "hs.example".into(),
        delay_id: delay_id.into(),
        delay_ms: 3_600_000,
        on_leave: true,
        restarted_ms: 12,
    }
}

const FUTURE: u64 = i64::MAX as u64;

/// Writes, and waits until the keeper has let go of the file.
async fn write_all(dir: &Path, writes: Vec<Write>) {
    let (store, _) = Store::open(Some(dir)).expect("opened");
    writes.into_iter().for_each(|write| store.write(write));
    assert!(store.flush().await);
}

#[tokio::test]
async fn what_was_written_is_there_for_the_next_process() {
    let dir = Dir::new("survives");
    write_all(
        &dir.0,
        vec![
            Write::Deny(denial("ada", FUTURE)),
            Write::Deny(denial("long ago", 1)),
            Write::Delegate(delegation("ada", "first")),
            Write::Delegate(delegation("bob", "gone")),
            Write::Delegate(delegation("ada", "second")),
            Write::EndDelegation { conference: "room".into(), identity: "bob".into() },
        ],
    )
    .await;
    let (_store, saved) = Store::open(Some(&dir.0)).expect("opened again");
    assert!(saved.denials == [denial("ada", FUTURE)]);
    assert!(saved.delegations == [delegation("ada", "second")]);
}

#[tokio::test]
async fn it_is_for_the_owner_only_and_for_one_process() {
    let dir = Dir::new("owner");
    let (store, _) = Store::open(Some(&dir.0)).expect("opened");
    store.write(Write::Deny(denial("ada", FUTURE)));
    assert!(store.flush().await);
    assert_eq!(std::fs::metadata(&dir.0).expect("there").permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&dir.0).expect("readable") {
        let file = file.expect("readable");
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    let second = Store::open(Some(&dir.0)).map(|_| ()).expect_err("refused");
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
}

#[tokio::test]
async fn in_memory_nothing_survives_and_nothing_fails() {
    let (store, saved) = Store::open(None).expect("opened");
    store.write(Write::Deny(denial("ada", FUTURE)));
    assert!(store.flush().await && saved.denials.is_empty());
    assert!(!store.health().is_degraded());
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let dir = Dir::new("full");
    make_dir(&dir.0).expect("made");
    let mut keeper = Keeper::new(Db::open(&dir.0.join(FILE)).expect("opened"), Arc::default());
    keeper.db.limit_pages(1);
    // Larger than the pages that it has.
    keeper.take(Write::Delegate(delegation("ada", &"7".repeat(100_000))));
    keeper.take(Write::Deny(denial("ada", FUTURE)));
    keeper.write();
    assert!(keeper.health.is_degraded());
    assert_eq!(keeper.health.failures(), 1);
    keeper.db.limit_pages(1_000_000);
    keeper.take(Write::Delegate(delegation("ada", &"8".repeat(100_000))));
    keeper.write();
    assert!(!keeper.health.is_degraded());
    drop(keeper);
    let (_, saved) = Store::open(Some(&dir.0)).expect("opened again");
    assert!(saved.delegations == [delegation("ada", &"8".repeat(100_000))]);
    assert!(saved.denials == [denial("ada", FUTURE)]);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let mut keeper = Keeper::new(Db::in_memory().expect("opened"), Arc::default());
    for n in 0..WAITING_MAX + 3 {
        keeper.take(Write::Deny(denial(&n.to_string(), FUTURE)));
    }
    keeper.take(Write::Deny(denial("0", 1)));
    assert_eq!(keeper.health.dropped(), 3, "a row that waits already needs no more room");
}

#[test]
fn a_newer_file_is_refused_but_not_one_of_the_next_versions() {
    let dir = Dir::new("newer");
    make_dir(&dir.0).expect("made");
    let path = dir.0.join(FILE);
    let set = |version: i64| {
        drop(Db::open(&path).expect("opened"));
        let connection = rusqlite::Connection::open(&path).expect("opened");
        connection.pragma_update(None, "user_version", version).expect("set");
    };
    set(3);
    drop(Db::open(&path).expect("readable"));
    set(4);
    let error = Db::open(&path).map(|_| ()).expect_err("refused");
    assert!(matches!(error, StoreError::TooNew { found: 4, .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named_in_one_line() {
    let error = Store::open(Some(Path::new("/dev/null/state"))).map(|_| ()).expect_err("refused").to_string();
    assert!(error.starts_with("state.dir /dev/null/state: ") && !error.contains('\n'), "{error}");
    let dir = Dir::new("junk");
    make_dir(&dir.0).expect("made");
    std::fs::write(dir.0.join(FILE), "this is no database, and long enough to be told from one".repeat(4)).expect("w");
    let error = Store::open(Some(&dir.0)).map(|_| ()).expect_err("refused").to_string();
    assert!(error.starts_with("state.dir ") && !error.contains('\n'), "{error}");
}
