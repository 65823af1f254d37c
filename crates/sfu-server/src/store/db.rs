//! The file: how it is opened, its schema, and one row at a time.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};
use tracing::warn;

use super::{Delegation, Denial, Saved, StoreError, Write};

/// Version `n` of the schema is what the first `n` of these make. They only add, so that an older version can still read.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE denied (
        conference TEXT NOT NULL, identity TEXT NOT NULL, until_ms INTEGER NOT NULL,
        PRIMARY KEY (conference, identity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE delegation (
        conference TEXT NOT NULL, identity TEXT NOT NULL, server_name TEXT NOT NULL, delay_id TEXT NOT NULL,
        delay_ms INTEGER NOT NULL, on_leave INTEGER NOT NULL, restarted_ms INTEGER NOT NULL,
        PRIMARY KEY (conference, identity)
    ) STRICT, WITHOUT ROWID;
"];
/// The schema that this version writes.
const VERSION: i64 = MIGRATIONS.len() as i64;
/// Schemas up to this one will be understood: an operator can go back by as many versions.
const READABLE: i64 = VERSION + 2;
/// A process before us may still be closing its file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Db {
    connection: Connection,
    /// `None`: in memory.
    path: Option<PathBuf>,
    read_only: bool,
}

impl Db {
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from("in memory");
        let failed = |error| StoreError::Sqlite { path: path.clone(), error };
        let mut connection = Connection::open_in_memory().map_err(failed)?;
        migrate(&mut connection, &path)?;
        Ok(Self { connection, path: None, read_only: false })
    }

    /// To write if that is possible; else what is there is read, and nothing is kept until it can be written.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        match open_to_write(path) {
            Ok(connection) => Ok(Self { connection, path: Some(path.to_owned()), read_only: false }),
            Err(error @ (StoreError::InUse { .. } | StoreError::TooNew { .. })) => Err(error),
            Err(error) if path.exists() => {
                let Ok(connection) = open_to_read(path) else { return Err(error) };
                warn!(%error, "state.dir cannot be written: what happens now is lost with the process");
                Ok(Self { connection, path: Some(path.to_owned()), read_only: true })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(super) fn load(&self) -> Result<Saved, StoreError> {
        self.try_load().map_err(|error| self.failed(error))
    }

    fn try_load(&self) -> rusqlite::Result<Saved> {
        let mut saved = Saved::default();
        let mut denied =
            self.connection.prepare("SELECT conference, identity, until_ms FROM denied WHERE until_ms > ?")?;
        let rows = denied.query_map([now_ms() as i64], |row| {
            Ok(Denial { conference: row.get(0)?, identity: row.get(1)?, until_ms: number(row.get(2)?) })
        })?;
        saved.denials = rows.collect::<Result<_, _>>()?;
        let mut delegations = self.connection.prepare(
            "SELECT conference, identity, server_name, delay_id, delay_ms, on_leave, restarted_ms FROM delegation",
        )?;
        let rows = delegations.query_map([], |row| {
            Ok(Delegation {
                conference: row.get(0)?,
                identity: row.get(1)?,
                server_name: row.get(2)?,
                delay_id: row.get(3)?,
                delay_ms: number(row.get(4)?),
                on_leave: row.get(5)?,
                restarted_ms: number(row.get(6)?),
            })
        })?;
        saved.delegations = rows.collect::<Result<_, _>>()?;
        Ok(saved)
    }

    /// All of them, or none.
    pub(super) fn write<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<(), StoreError> {
        if self.read_only
            && let Some(path) = &self.path
        {
            self.connection = open_to_write(path)?;
            self.read_only = false;
        }
        let all = || {
            let transaction = self.connection.transaction()?;
            for write in writes {
                apply(&transaction, write)?;
            }
            transaction.commit()
        };
        all().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { path: self.path.clone().unwrap_or_else(|| "in memory".into()), error }
    }

    /// The file may not grow beyond so many pages: a disk that is full.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        let set = self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        set.expect("a pragma");
    }
}

fn apply(to: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Deny(d) => {
            to.prepare_cached("DELETE FROM denied WHERE until_ms <= ?")?.execute([now_ms() as i64])?;
            let mut insert = to.prepare_cached("INSERT OR REPLACE INTO denied VALUES (?, ?, ?)")?;
            insert.execute(params![d.conference, d.identity, integer(d.until_ms)])?;
        }
        Write::Delegate(d) => {
            let mut insert = to.prepare_cached("INSERT OR REPLACE INTO delegation VALUES (?, ?, ?, ?, ?, ?, ?)")?;
            let (delay, restarted) = (integer(d.delay_ms), integer(d.restarted_ms));
            let row = params![d.conference, d.identity, d.server_name, d.delay_id, delay, d.on_leave, restarted];
            insert.execute(row)?;
        }
        Write::EndDelegation { conference, identity } => {
            let mut delete = to.prepare_cached("DELETE FROM delegation WHERE conference = ? AND identity = ?")?;
            delete.execute([conference, identity])?;
        }
    }
    Ok(())
}

fn open_to_write(path: &Path) -> Result<Connection, StoreError> {
    let io = |error| StoreError::File { path: path.to_owned(), error };
    // SQLite gives its other files the permissions of this one.
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| refused(path, error))?;
    let set_up = |connection: &Connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Nobody else may use the file, and no shared memory is needed beside it.
        connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // Each transaction is on the disk when it has ended.
        connection.pragma_update(None, "synchronous", "FULL")
    };
    set_up(&connection).map_err(|error| refused(path, error))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// From a file system that is read-only.
fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let name: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
    connection.query_row("SELECT count(*) FROM denied", [], |_| Ok(()))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| refused(path, error);
    // Immediately: whoever else has the file is found out here.
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > READABLE {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known: READABLE });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path: path.to_owned() },
        _ => StoreError::Sqlite { path: path.to_owned(), error },
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}
