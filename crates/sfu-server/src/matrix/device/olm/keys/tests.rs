use ruma::user_id;

use super::super::tests::Folder;
use super::*;

async fn opened(folder: &Folder) -> (SqliteCryptoStore, Connection) {
    let store = open(folder.path(), user_id!("@focus:one")).await.expect("a store");
    (store, Connection::open(folder.path().join(FILE)).expect("the same"))
}

fn rows(connection: &Connection, table: &str) -> usize {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a table")
}

fn device(connection: &Connection, user: &str, device: &str, bytes: usize) {
    let row = (user.as_bytes(), device.as_bytes(), vec![7; bytes]);
    // As the store writes it.
    let insert = "INSERT INTO device (user_id, device_id, data) VALUES (?1, ?2, ?3)
                  ON CONFLICT (user_id, device_id) DO UPDATE SET data = ?3";
    connection.execute(insert, row).expect("written, or not");
}

/// A table that a later version of the store adds must be thought about here.
#[tokio::test]
async fn every_table_is_bounded() {
    let folder = Folder::default();
    let (_store, connection) = opened(&folder).await;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = connection.prepare(tables).expect("tables");
    let mut found: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("names").collect::<Result<_, _>>().expect("names");
    // Single values by fixed names, and locks between processes, of which there is one.
    let mut known = vec!["kv", "lease_locks"];
    known.extend(UNWANTED);
    known.extend(BOUNDED.map(|(table, ..)| table));
    found.sort_unstable();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[tokio::test]
async fn the_oldest_give_way_but_never_our_own() {
    let folder = Folder::default();
    let (_store, connection) = opened(&folder).await;
    device(&connection, "@focus:one", "FOCUS", 100);
    for n in 0..3 * DEVICES_MAX {
        device(&connection, "@mallory:evil", &n.to_string(), 100);
    }
    assert_eq!(rows(&connection, "device"), DEVICES_MAX);
    assert_eq!(rows(&connection, "device WHERE CAST(user_id AS TEXT) = '@focus:one'"), 1);
    assert_eq!(rows(&connection, "device WHERE CAST(device_id AS TEXT) = '1'"), 0);
    // What an earlier version let in goes at the start.
    connection.execute_batch("DROP TRIGGER focus_few_device").expect("dropped");
    for n in 0..3 * DEVICES_MAX {
        device(&connection, "@trudy:evil", &n.to_string(), 100);
    }
    assert!(rows(&connection, "device") > DEVICES_MAX);
    let (_store, connection) = opened(&folder).await;
    assert!(rows(&connection, "device") <= DEVICES_MAX + 1);
    assert_eq!(rows(&connection, "device WHERE CAST(user_id AS TEXT) = '@focus:one'"), 1);
}

#[tokio::test]
async fn large_rows_are_not_kept() {
    let folder = Folder::default();
    let (_store, connection) = opened(&folder).await;
    device(&connection, "@mallory:evil", "LARGE", ROW_BYTES_MAX + 1);
    assert_eq!(rows(&connection, "device"), 0);
    device(&connection, "@mallory:evil", "GROWS", ROW_BYTES_MAX);
    device(&connection, "@mallory:evil", "GROWS", ROW_BYTES_MAX + 1);
    assert_eq!(rows(&connection, &format!("device WHERE length(data) = {ROW_BYTES_MAX}")), 1);
}

fn session(connection: &Connection, id: usize, key: usize) {
    let insert = "INSERT INTO session (session_id, sender_key, data) VALUES (?1, ?2, ?3)
                  ON CONFLICT (session_id) DO UPDATE SET data = ?3";
    connection.execute(insert, (id.to_string(), key.to_string(), vec![7; 2000])).expect("written");
}

#[tokio::test]
async fn a_session_in_use_stays() {
    let folder = Folder::default();
    let (_store, connection) = opened(&folder).await;
    session(&connection, 0, 0);
    session(&connection, 1, 1);
    for n in 2..4 * SESSIONS_MAX {
        session(&connection, n, n);
        if n % (SESSIONS_MAX / 2) == 0 {
            session(&connection, 0, 0);
        }
    }
    assert_eq!(rows(&connection, "session"), SESSIONS_MAX);
    assert_eq!(rows(&connection, "session WHERE session_id = '0'"), 1, "used now and then");
    assert_eq!(rows(&connection, "session WHERE session_id = '1'"), 0);
    // Of one device the newest few, and hardly anybody else's for them.
    for n in 1000..1100 {
        session(&connection, n, 7);
    }
    assert_eq!(rows(&connection, "session WHERE sender_key = '7'"), SESSIONS_PER_DEVICE_MAX);
    assert_eq!(rows(&connection, "session"), SESSIONS_MAX);
    assert_eq!(rows(&connection, "session WHERE session_id = '1099'"), 1);
}
