//! The SQLite file: opened so that nothing in it can act, read once, written in whole transactions.
//!
//! Everything here is ciphertext or public; no key comes near it. The journal is a rollback journal in mode TRUNCATE with
//! `synchronous=FULL`: the old pages are synced to the journal before the file is touched, and a transaction is over at the
//! moment the journal is cut to nothing, which is one synced step. A kill or a power cut before it gives the old state at the
//! next opening, after it the new one. A write-ahead log was not taken: it would keep earlier pages (an old wrap of the key
//! among them) beside the file until some checkpoint, and brings two more files that can be planted.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kv_model::VaultId;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::attempts::Attempts;
use crate::error::{Damage, StorageError};
use crate::format::{Header, RecordId, parse_header};
use crate::place::Place;
use crate::state::{MAX_RECORDS, MAX_SEALED_BYTES};

/// An open file. Blocking; one user at a time.
pub(crate) struct Store {
    pub(crate) id: VaultId,
    /// Rises with every change to secrets, through all unlocks of this process.
    pub(crate) generation: AtomicU64,
    /// One key derivation at a time, so that many callers cannot multiply its memory.
    pub(crate) deriving: Mutex<()>,
    connection: Mutex<Connection>,
    uncertain: AtomicBool,
    /// After the connection, so that the lock outlives it.
    _place: Place,
}

/// A row as it lies in the file.
pub(crate) struct Row {
    pub(crate) id: RecordId,
    pub(crate) sealed: Vec<u8>,
}

/// Everything that an unlock reads.
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) root: Vec<u8>,
    pub(crate) rows: Vec<Row>,
}

/// What one transaction does.
pub(crate) struct Change<'a> {
    /// The root that must be there: the writer's view is the newest one.
    pub(crate) expected_root: &'a [u8],
    pub(crate) root: &'a [u8],
    pub(crate) header: Option<&'a Header>,
    pub(crate) put: &'a [Row],
    pub(crate) remove: &'a [RecordId],
}

/// Why a transaction was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a change was not carried out.
#[derive(Debug)]
pub(crate) enum CommitError {
    Store(StoreError),
    /// The root in the file is not the expected one.
    Superseded,
}

impl Store {
    pub(crate) fn new(place: Place, connection: Connection, id: VaultId) -> Self {
        Self {
            id,
            generation: AtomicU64::new(0),
            deriving: Mutex::new(()),
            connection: Mutex::new(connection),
            uncertain: AtomicBool::new(false),
            _place: place,
        }
    }

    pub(crate) fn header(&self) -> Result<Header, StoreError> {
        self.read(|connection| {
            let header = read_header(connection)?;
            if header.vault == self.id { Ok(header) } else { Err(Damage::HeaderExchanged.into()) }
        })
    }

    pub(crate) fn contents(&self) -> Result<Contents, StoreError> {
        self.read(|connection| {
            let contents = read_contents(connection)?;
            if contents.header.vault == self.id { Ok(contents) } else { Err(Damage::HeaderExchanged.into()) }
        })
    }

    pub(crate) fn commit(&self, change: &Change) -> Result<(), CommitError> {
        let newest = self.write(|connection| {
            if read_root(connection)? != change.expected_root {
                return Ok(false);
            }
            for id in change.remove {
                one(connection.execute("DELETE FROM records WHERE id = ?1", [&id.0[..]])?)?;
            }
            for row in change.put {
                one(connection.execute(UPSERT, (&row.id.0[..], &row.sealed))?)?;
            }
            if let Some(header) = change.header {
                one(connection.execute("UPDATE header SET bytes = ?1 WHERE id = 1", [&header.encode()[..]])?)?;
            }
            one(connection.execute("UPDATE root SET sealed = ?1 WHERE id = 1", [change.root])?)?;
            Ok(true)
        });
        match newest {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommitError::Superseded),
            Err(error) => Err(CommitError::Store(error)),
        }
    }

    pub(crate) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Reads the counters and stores what `judge` makes of them, in one transaction.
    pub(crate) fn attempts<T>(&self, judge: impl FnOnce(Attempts) -> (Attempts, T)) -> Result<T, StoreError> {
        self.write(|connection| {
            let now = read_attempts(connection)?;
            let (next, out) = judge(now);
            if next != now {
                let last = i64::try_from(next.last_ms).unwrap_or(i64::MAX);
                one(connection
                    .execute("UPDATE attempts SET failed = ?1, last_ms = ?2 WHERE id = 1", (next.failed, last))?)?;
            }
            Ok(out)
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.certain()?;
        work(&self.lock())
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut connection = self.lock();
        // Asked under the lock: a writer that failed has said so before it let go.
        self.certain()?;
        let done = transact(&mut connection, work);
        if let Err(StoreError::Storage(error)) = &done
            && !(matches!(error, StorageError::Busy | StorageError::Full) && connection.is_autocommit())
        {
            self.uncertain.store(true, Ordering::Release);
        }
        done
    }

    fn certain(&self) -> Result<(), StorageError> {
        if self.uncertain.load(Ordering::Acquire) { Err(StorageError::Uncertain) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn sql(&self, sql: &str) {
        self.lock().execute_batch(sql).unwrap();
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let out = work(&transaction)?;
    transaction.commit()?;
    Ok(out)
}

/// Opens a file that has been looked at, and makes SQLite believe nothing that stands in it.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    confine(&connection)?;
    Ok(connection)
}

/// Settings of the connection; none of them is stored in the file.
pub(crate) fn confine(connection: &Connection) -> Result<(), StoreError> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    for (limit, most) in [
        // The largest sealed document with SQLite's own overhead, twice over.
        (Limit::SQLITE_LIMIT_LENGTH, 1024 * 1024),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 4096),
        (Limit::SQLITE_LIMIT_COLUMN, 16),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.execute_batch(
        "PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;
         PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA synchronous = FULL;",
    )?;
    // What could not be opened again is not written.
    let most_pages = MAX_FILE_BYTES / u64::from(PAGE_BYTES);
    connection.execute_batch(&format!("PRAGMA max_page_count = {most_pages}"))?;
    // The answer says what the mode is, and it is not always the one that was asked for.
    let mode: String = connection.query_row("PRAGMA journal_mode = TRUNCATE", [], |row| row.get(0))?;
    match mode.as_str() {
        "truncate" => Ok(()),
        // Images that tests open without a file.
        "memory" if cfg!(test) => Ok(()),
        _ => Err(Damage::Structure(format!("its journal is in mode `{mode}`")).into()),
    }
}

/// Lays out an empty file. `page_size` and `application_id` go into it with the first table.
pub(crate) fn lay_out(connection: &mut Connection, header: &Header, root: &[u8]) -> Result<(), StoreError> {
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {USER_VERSION};"
    ))?;
    transact(connection, |connection| {
        for (_, sql) in SCHEMA {
            connection.execute_batch(sql)?;
        }
        connection.execute("INSERT INTO header (id, bytes) VALUES (1, ?1)", [&header.encode()[..]])?;
        connection.execute("INSERT INTO attempts (id, failed, last_ms) VALUES (1, 0, 0)", [])?;
        connection.execute("INSERT INTO root (id, sealed) VALUES (1, ?1)", [root])?;
        Ok(())
    })
}

/// The first 100 bytes, before SQLite sees them: only what this version writes, so no other page size, no write-ahead log.
pub(crate) fn check_front(front: &[u8]) -> Result<(), Damage> {
    let at = |from: usize, bytes: usize| front.get(from..from + bytes);
    let holds = |from: usize, wanted: &[u8]| at(from, wanted.len()) == Some(wanted);
    for (from, wanted, what) in [
        (0, &b"SQLite format 3\0"[..], "it does not begin as one"),
        (16, &PAGE_BYTES.to_be_bytes(), "its pages have another size"),
        (18, &[1, 1], "it keeps a write-ahead log"),
        (20, &[0, 64, 32, 32], "its pages are laid out otherwise"),
        (52, &[0; 4], "it is vacuumed by itself"),
        (56, &[0, 0, 0, 1], "its texts are not UTF-8"),
        (60, &USER_VERSION.to_be_bytes(), "its format version is not known to this version of kv"),
        (68, &APPLICATION_ID.to_be_bytes(), "it belongs to another program"),
    ] {
        if !holds(from, wanted) {
            return Err(Damage::Structure(what.to_owned()));
        }
    }
    Ok(())
}

/// Only our four tables, to the letter; then whether the pages hang together.
pub(crate) fn check_structure(connection: &Connection) -> Result<(), StoreError> {
    // Rolls back what a kill left half-way, and takes SQLite's own lock for as long as the connection lives.
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let sql: Option<String> = row.get(1)?;
        if SCHEMA.get(found).is_none_or(|(known, wanted)| *known != name || Some(*wanted) != sql.as_deref()) {
            return Err(Damage::Schema(name.chars().filter(|c| !c.is_control()).take(40).collect()).into());
        }
        found += 1;
    }
    if found != SCHEMA.len() {
        return Err(Damage::Structure("a table is missing".to_owned()).into());
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Damage::Structure(verdict.chars().take(80).collect()).into()) }
}

/// The file is as long as its pages, not a byte more.
pub(crate) fn check_size(connection: &Connection, found: u64) -> Result<(), StoreError> {
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    match u64::try_from(pages).unwrap_or(0) * u64::from(PAGE_BYTES) {
        wanted if wanted == found => Ok(()),
        wanted => Err(Damage::FileSize { found, wanted }.into()),
    }
}

pub(crate) fn read_contents(connection: &Connection) -> Result<Contents, StoreError> {
    Ok(Contents { header: read_header(connection)?, root: read_root(connection)?, rows: read_rows(connection)? })
}

pub(crate) fn read_header(connection: &Connection) -> Result<Header, StoreError> {
    let bytes: Vec<u8> = single(connection, "SELECT bytes FROM header", |row| row.get(0))?;
    Ok(parse_header(&bytes).map_err(Damage::Header)?)
}

fn read_root(connection: &Connection) -> Result<Vec<u8>, StoreError> {
    single(connection, "SELECT sealed FROM root", |row| row.get(0))
}

fn read_attempts(connection: &Connection) -> Result<Attempts, StoreError> {
    let (failed, last_ms): (i64, i64) =
        single(connection, "SELECT failed, last_ms FROM attempts", |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Nonsense counts as many failures, long ago: a wait, and no way in.
    Ok(Attempts { failed: u32::try_from(failed).unwrap_or(u32::MAX), last_ms: u64::try_from(last_ms).unwrap_or(0) })
}

fn read_rows(connection: &Connection) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare("SELECT id, sealed FROM records")?;
    let mut rows = statement.query([])?;
    let (mut read, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let id = <[u8; 16]>::try_from(row.get_ref(0)?.as_blob().map_err(wrong_type)?)
            .map_err(|_| Damage::Structure("a record's id has another length".to_owned()))?;
        let sealed = row.get_ref(1)?.as_blob().map_err(wrong_type)?.to_vec();
        bytes += sealed.len();
        if read.len() >= MAX_RECORDS || bytes > MAX_SEALED_BYTES {
            return Err(Damage::TooMuch.into());
        }
        read.push(Row { id: RecordId(id), sealed });
    }
    Ok(read)
}

fn single<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnOnce(&rusqlite::Row) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let first = match rows.next()? {
        Some(row) => read(row)?,
        None => return Err(Damage::Structure("a row is missing".to_owned()).into()),
    };
    match rows.next()? {
        None => Ok(first),
        Some(_) => Err(Damage::Structure("there is a row too many".to_owned()).into()),
    }
}

/// A statement that should have met one row and did not has met a broken tree.
fn one(changed: usize) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(Damage::Structure(format!("a write met {changed} rows")).into()) }
}

fn wrong_type(error: rusqlite::types::FromSqlError) -> Damage {
    Damage::Structure(error.to_string())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..) = error
        {
            return Damage::Structure("a column holds another type".to_owned()).into();
        }
        // SQLite's plainest code. Our statements are right for our tables, so it is the file that is not.
        if error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_ERROR) {
            return Damage::Structure(error.to_string()).into();
        }
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::TooBig
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch,
            ) => Damage::Structure(error.to_string()).into(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StorageError::Busy.into(),
            Some(ErrorCode::DiskFull) => StorageError::Full.into(),
            _ => StorageError::Sqlite(error).into(),
        }
    }
}

/// In the order of their names. The texts are compared with what the file says, byte for byte.
const SCHEMA: [(&str, &str); 4] = [
    (
        "attempts",
        "CREATE TABLE attempts (id INTEGER PRIMARY KEY CHECK (id = 1), failed INTEGER NOT NULL, last_ms INTEGER NOT NULL) STRICT",
    ),
    ("header", "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL) STRICT"),
    ("records", "CREATE TABLE records (id BLOB NOT NULL PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID"),
    ("root", "CREATE TABLE root (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT"),
];
const UPSERT: &str =
    "INSERT INTO records (id, sealed) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed";
/// SQLite's own header.
pub(crate) const FRONT_BYTES: u64 = 100;
/// A file system's usual block, so that a page is written in one piece.
const PAGE_BYTES: u16 = 4096;
/// "kvlt".
const APPLICATION_ID: i32 = 0x6b76_6c74;
const USER_VERSION: i32 = 1;
/// Sealed records at their most, SQLite's overhead and the free pages that removed ones left.
pub(crate) const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
