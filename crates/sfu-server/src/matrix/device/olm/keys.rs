//! The database of the device's keys. Strangers write to it: of every Olm message the machine keeps something before we see what
//! is in it. So what the focus has no use for is not kept, and of the rest so many rows of so many bytes, the oldest giving way.
//! Who loses its session that way is not lost: its next message cannot be opened, and it or we make a new session.
//!
//! Triggers in the database do it, whatever the machine means to write. They are made anew at each start, since
//! the store's own migrations may replace a table.

use std::path::Path;
use std::time::Duration;

use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::UserId;
use rusqlite::{Connection, params};

/// As the store names it.
const FILE: &str = "matrix-sdk-crypto.sqlite3";
/// The store's own connection may be writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Of one sending device: the one in use, one that both ends began at once, and what was broken.
const SESSIONS_PER_DEVICE_MAX: usize = 4;
/// Devices that negotiate within the minutes that it takes: more than the focus has participants. A test fills them.
pub(super) const SESSIONS_MAX: usize = if cfg!(test) { 64 } else { 2048 };
const DEVICES_MAX: usize = SESSIONS_MAX;
/// By these a message that comes again is told from one of a broken session.
pub(super) const HASHES_MAX: usize = SESSIONS_MAX;
/// Nobody but the focus's own user.
const USERS_MAX: usize = 16;
/// Of one session or device. An Olm session with all the keys that it may keep for messages that are late has some 25 KiB.
const ROW_BYTES_MAX: usize = 32 * 1024;
/// What there can be altogether, on the disk.
const _: () = assert!((SESSIONS_MAX + DEVICES_MAX + 2 * USERS_MAX) * ROW_BYTES_MAX <= 160 << 20);

/// Tables that stay empty: keys of rooms, and what belongs to them. The focus reads no room, asks nobody for a secret.
const UNWANTED: [&str; 9] = [
    "direct_withheld_info",
    "inbound_group_session",
    "key_requests",
    "outbound_group_session",
    "received_room_key_bundle",
    "room_key_backups_fully_downloaded",
    "room_settings",
    "rooms_pending_key_bundle",
    "secrets_inbox",
];
/// Tables of which the newest rows are kept, how many, and the column that is large.
const BOUNDED: [(&str, usize, &str); 5] = [
    ("session", SESSIONS_MAX, "data"),
    ("device", DEVICES_MAX, "data"),
    ("olm_hash", HASHES_MAX, "data"),
    ("identity", USERS_MAX, "data"),
    ("tracked_user", USERS_MAX, "data"),
];

#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("{0}")]
    Open(#[from] matrix_sdk_sqlite::OpenStoreError),
    #[error("cannot bound what is kept: {0}")]
    Bound(#[from] rusqlite::Error),
}

/// The keys in `dir`, of a device of `own`.
pub(super) async fn open(dir: &Path, own: &UserId) -> Result<SqliteCryptoStore, KeysError> {
    let store = SqliteCryptoStore::open(dir, None).await?;
    // The same library as the store's, in the same process: there is one SQLite here.
    let mut connection = Connection::open(dir.join(FILE))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    bound(&mut connection, own)?;
    Ok(store)
}

fn bound(connection: &mut Connection, own: &UserId) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in UNWANTED {
        transaction.execute_batch(&format!(
            "DELETE FROM {table};
             DROP TRIGGER IF EXISTS focus_no_{table};
             CREATE TRIGGER focus_no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END;"
        ))?;
    }
    for (table, rows, column) in BOUNDED {
        // Our own device is the oldest, and must stay. The store keeps names as they are, since it has no passphrase.
        let spared = match table {
            "device" | "identity" | "tracked_user" => {
                let own: String = own.as_str().bytes().map(|byte| format!("{byte:02x}")).collect();
                format!("CAST(user_id AS BLOB) <> X'{own}'")
            }
            _ => "TRUE".to_owned(),
        };
        transaction.execute(
            &format!("DELETE FROM {table} WHERE {spared} AND rowid NOT IN (SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT ?)"),
            params![rows],
        )?;
        transaction.execute_batch(&format!(
            "DROP TRIGGER IF EXISTS focus_few_{table};
             CREATE TRIGGER focus_few_{table} AFTER INSERT ON {table} WHEN (SELECT count(*) FROM {table}) > {rows} BEGIN
                 DELETE FROM {table} WHERE rowid = (SELECT rowid FROM {table} WHERE {spared} ORDER BY rowid LIMIT 1);
             END;
             DROP TRIGGER IF EXISTS focus_small_{table};
             CREATE TRIGGER focus_small_{table} BEFORE INSERT ON {table} WHEN length(NEW.{column}) > {ROW_BYTES_MAX} BEGIN
                 SELECT RAISE(IGNORE);
             END;
             DROP TRIGGER IF EXISTS focus_still_small_{table};
             CREATE TRIGGER focus_still_small_{table} BEFORE UPDATE OF {column} ON {table} WHEN length(NEW.{column}) > {ROW_BYTES_MAX} BEGIN
                 SELECT RAISE(IGNORE);
             END;"
        ))?;
    }
    // A session that is used is as good as new.
    transaction.execute_batch(&format!(
        "DROP TRIGGER IF EXISTS focus_session_used;
         CREATE TRIGGER focus_session_used AFTER UPDATE OF data ON session
         WHEN NEW.rowid < (SELECT max(rowid) FROM session) BEGIN
             UPDATE session SET rowid = (SELECT max(rowid) + 1 FROM session) WHERE rowid = NEW.rowid;
         END;
         DROP TRIGGER IF EXISTS focus_session_of_device;
         CREATE TRIGGER focus_session_of_device AFTER INSERT ON session BEGIN
             DELETE FROM session WHERE rowid IN (
                 SELECT rowid FROM session WHERE sender_key = NEW.sender_key
                 ORDER BY rowid DESC LIMIT -1 OFFSET {SESSIONS_PER_DEVICE_MAX});
         END;"
    ))?;
    transaction.commit()
}

#[cfg(test)]
mod tests;
