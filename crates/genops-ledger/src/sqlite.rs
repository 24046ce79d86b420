//! The embedded default: one SQLite file in WAL mode with `synchronous=FULL`, one row a frame. Persons stand in a table beside
//! ([`persons`](crate::persons)).
//!
//! A lock file beside it keeps a second writer out; readers may come and go. No SQL looks into a frame.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use genops_core::Digest;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::frame::Frame;
use crate::ledger::FREE_BYTES_MIN;
use crate::persons::{self, SqlitePersons};
use crate::snapshots::{Snapshots, last_archived};
use crate::source::export_at;
use crate::store::{FrameReader, PersonStep, Persons, Readers, Store, StoreError};
use crate::witness::Head;

/// Tells SQLite and people what the file is: "GnOp".
const APPLICATION_ID: i32 = 0x476e_4f70;

/// WAL pages before SQLite copies them back into the file: 8 MiB. A checkpoint is the one pause that a commit can
/// meet, so it is neither frequent nor long.
const CHECKPOINT_PAGES: u32 = 2_048;

/// So long is the write-ahead log from the beginning: a page and its head for every one before a checkpoint, and
/// some that may come while readers put that off. In a file that does not grow, a sync has the data to write and
/// nothing to note about the file.
const LOG_BYTES: u64 = 10 << 20;

/// How long an erasure waits for those who read meanwhile, before it leaves the log to the next commit.
const READERS_WITHIN: Duration = Duration::from_secs(1);

/// How often what an erasure had to leave in the log is tried again, at a commit.
const SCRUB_EVERY: Duration = Duration::from_secs(1);

/// How long anything else waits for another connection. A commit that gives up is the end of the ledger until it is opened
/// anew, so it is patient.
const BUSY_WITHIN: Duration = Duration::from_secs(30);

/// A ledger file, open for writing.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// What was erased may still stand in the write-ahead log; since when that has not been tried again.
    owes_scrub: Option<Instant>,
    _lock: File,
}

impl SqliteStore {
    /// Opens the ledger at `path`, or begins one there.
    ///
    /// # Errors
    ///
    /// Another process holds it, it is not a ledger, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let connection = Connection::open(path).map_err(|error| told(path, &error))?;
        prepare(&connection, path).map_err(|error| told(path, &error))??;
        let mut store = Self { connection, path: path.to_owned(), owes_scrub: None, _lock: lock };
        // A process that died after an erasure may have left it in the log.
        store.scrub(READERS_WITHIN).map_err(|error| told(path, &error))?;
        Ok(store)
    }

    /// Empties the write-ahead log into the file, so that nothing stands there any more that was overwritten. Where somebody
    /// reads all the time, a later commit tries again.
    fn scrub(&mut self, within: Duration) -> rusqlite::Result<()> {
        self.connection.busy_timeout(within)?;
        let emptied =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(BUSY_WITHIN)?;
        self.owes_scrub = (emptied? != 0).then(Instant::now);
        // Where that cannot be had, the log grows as it is written.
        if self.free_bytes().is_some_and(|free| free > FREE_BYTES_MIN + LOG_BYTES) {
            self.reserve_log()?;
        }
        Ok(())
    }

    /// Makes the write-ahead log as long as it will be, while no other connection can write to it: whatever that had written
    /// would be overwritten.
    fn reserve_log(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        // A shorter log is none the worse.
        drop(self.lengthen_log());
        self.connection.execute_batch("ROLLBACK")
    }

    /// Adds zeros to the log, which SQLite takes for what they are: no frames. The log is where SQLite has made it, which may
    /// be behind a link.
    fn lengthen_log(&self) -> std::io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let name = format!("{}-wal", self.connection.path().unwrap_or_default());
        let log = File::options().write(true).open(name)?;
        // It was emptied before: if zeros came to the disk sooner than that, what stood there would be read up to them, and
        // older pages with it than those in the file.
        log.sync_all()?;
        let mut length = log.metadata()?.len();
        while length < LOG_BYTES {
            log.write_all_at(&ZEROS, length)?;
            length += ZEROS.len() as u64;
        }
        log.sync_all()
    }

    /// Opens the ledger at `path` for reading alone; a running writer is not disturbed.
    ///
    /// # Errors
    ///
    /// There is no such file, it is not a ledger, or the disk refuses.
    pub fn read(path: &Path) -> Result<SqliteReader, StoreError> {
        Ok(SqliteReader { connection: connect_to_read(path)?, path: path.to_owned() })
    }

    /// Opens the ledger at `path` for looking persons up; a running writer is not disturbed.
    ///
    /// # Errors
    ///
    /// There is no such file, it is not a ledger, or the disk refuses.
    pub fn read_persons(path: &Path) -> Result<SqlitePersons, StoreError> {
        SqlitePersons::new(connect_to_read(path)?, path)
    }
}

fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.display().to_string() });
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| told(path, &error))?;
    check_application(&connection, path).map_err(|error| told(path, &error))??;
    Ok(connection)
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(&name).map_err(|error| StoreError::Failed {
        what: format!("cannot create `{}`: {error}", Path::new(&name).display()),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(StoreError::Failed { what: error.to_string() }),
    }
}

/// Sets the file up. The outer error is SQLite's, the inner one ours.
fn prepare(connection: &Connection, path: &Path) -> rusqlite::Result<Result<(), StoreError>> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    // What is sorted is sorted in memory, and comes to no other files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(persons::STATEMENTS);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        if let Err(other) = check_application(connection, path)? {
            return Ok(Err(other));
        }
        return connection.execute_batch(&format!("BEGIN; {} COMMIT;", persons::tables())).map(Ok);
    }
    connection.execute_batch(&format!(
        "BEGIN;
         PRAGMA application_id = {APPLICATION_ID};
         CREATE TABLE frames (
             first INTEGER PRIMARY KEY,
             count INTEGER NOT NULL,
             format INTEGER NOT NULL,
             engine INTEGER NOT NULL,
             previous BLOB NOT NULL,
             hash BLOB NOT NULL,
             payload BLOB NOT NULL
         ) STRICT;
         {}
         COMMIT;",
        persons::tables()
    ))?;
    Ok(Ok(()))
}

/// The outer error is SQLite's, the inner one ours.
pub(crate) fn check_application(
    connection: &Connection,
    path: &Path,
) -> rusqlite::Result<Result<(), StoreError>> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(Ok(()));
    }
    let what = "it is an SQLite file, but not a genops ledger".to_owned();
    Ok(Err(StoreError::Damaged { path: path.display().to_string(), what }))
}

impl Store for SqliteStore {
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError> {
        let appended = if persons.is_empty() {
            // One statement outside a transaction is one transaction: a write to the WAL and a sync.
            insert(&self.connection, frame)
        } else {
            self.append_with(frame, persons)
        };
        appended.map_err(|error| told(&self.path, &error))?;
        // Whoever reads for long is waited for in the commit that erases, and in no other.
        if self.owes_scrub.is_some_and(|since| since.elapsed() >= SCRUB_EVERY) {
            self.scrub(Duration::ZERO).map_err(|error| told(&self.path, &error))?;
        }
        Ok(())
    }

    fn readers(&self) -> Readers {
        let path = self.path.clone();
        Arc::new(move || Ok(Box::new(Self::read(&path)?)))
    }

    fn persons(&self) -> Persons {
        let path = self.path.clone();
        Arc::new(move || Ok(Box::new(Self::read_persons(&path)?)))
    }

    fn free_bytes(&self) -> Option<u64> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let volume = rustix::fs::statvfs(directory.unwrap_or(Path::new("."))).ok()?;
        volume.f_bavail.checked_mul(volume.f_frsize)
    }
}

impl SqliteStore {
    fn append_with(&mut self, frame: &Frame, persons: &[PersonStep]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        insert(&transaction, frame)?;
        let is_erased = persons::write(&transaction, persons)?;
        transaction.commit()?;
        if is_erased { self.scrub(READERS_WITHIN) } else { Ok(()) }
    }
}

fn insert(connection: &Connection, frame: &Frame) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO frames (first, count, format, engine, previous, hash, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        i64::try_from(frame.first).unwrap_or(i64::MAX),
        frame.count,
        frame.format,
        frame.engine,
        frame.previous.bytes(),
        frame.hash.bytes(),
        frame.payload,
    ])?;
    Ok(())
}

/// A ledger file, open for reading.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    path: PathBuf,
}

impl FrameReader for SqliteReader {
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        // One statement sees one state of the file: the frame at or before the entry, and the one after it,
        // which is no answer, but shows that there is a gap and not the end.
        let find = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT first, count, format, engine, previous, hash, payload FROM frames
                 WHERE first >= coalesce((SELECT max(first) FROM frames WHERE first <= ?1), 0)
                 ORDER BY first LIMIT 2",
            )?;
            let mut rows = statement.query([i64::try_from(sequence).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let frame = frame_of(row)?;
                if frame.count == 0 || frame.last() >= sequence {
                    return Ok(Some(frame));
                }
            }
            Ok(None)
        };
        find().map_err(|error| told(&self.path, &error))
    }

    fn behind(&mut self, frame: Option<&Frame>) -> Result<Option<Frame>, StoreError> {
        // No frame has a number below 1; one that was put there is given all the same, so that it is seen.
        let after = frame.map_or(i64::MIN, |frame| i64::try_from(frame.first).unwrap_or(i64::MAX));
        let find = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT first, count, format, engine, previous, hash, payload FROM frames
                 WHERE first > ?1 ORDER BY first LIMIT 1",
            )?;
            let mut rows = statement.query([after])?;
            rows.next()?.map(frame_of).transpose()
        };
        find().map_err(|error| told(&self.path, &error))
    }

    fn snapshots(&self) -> Result<Option<Snapshots>, StoreError> {
        Snapshots::read(&self.path).map(Some)
    }

    fn archived(&self) -> Result<Option<Head>, StoreError> {
        last_archived(&self.connection).map_err(|error| told(&self.path, &error))
    }
}

/// A row as a frame. What stands in a column and cannot be in a frame is an error that names the row.
fn frame_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Frame> {
    let first: i64 = row.get(0)?;
    columns_of(row, first).map_err(|error| {
        let what = format!("the frame at entry {first} holds what no frame holds: {error}");
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what))
    })
}

fn columns_of(row: &rusqlite::Row<'_>, first: i64) -> rusqlite::Result<Frame> {
    Ok(Frame {
        first: u64::try_from(first).unwrap_or_default(),
        count: row.get(1)?,
        format: row.get(2)?,
        engine: row.get(3)?,
        previous: Digest::from_bytes(row.get(4)?),
        hash: Digest::from_bytes(row.get(5)?),
        payload: row.get(6)?,
    })
}

/// Says SQLite's error in our words.
pub(crate) fn told(path: &Path, error: &rusqlite::Error) -> StoreError {
    let what = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::NotADatabase) if matches!(export_at(path), Ok(Some(_))) => {
            StoreError::Exported { path: path.display().to_string() }
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.display().to_string(), what }
        }
        _ => StoreError::Failed { what: format!("`{}`: {what}", path.display()) },
    }
}
