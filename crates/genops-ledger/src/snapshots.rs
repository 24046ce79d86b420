//! Snapshots: the books after some entry, as bytes, so that opening a ledger reads only what came after it.
//!
//! They stand in the ledger's file, in tables of their own, and are a copy of what follows from the journal: one that is
//! damaged or gone changes no result. A snapshot is written in small parts, each a short transaction, so that a commit
//! of the ledger never waits for all of it; it counts once its last row is there. That the books follow from the journal
//! is not checked here: whoever can write the file can put books there that nobody ever had, and verifying shows that.
//!
//! Beside them stands what has been archived: entries that are not in this file any more, which a snapshot stands for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use genops_core::Digest;
use genops_core::ledger::{BOOKS_VERSION, Books, ENGINE_VERSION};
use genops_core::policy::Policy;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::sqlite::{check_application, told};
use crate::store::{FrameReader, StoreError};
use crate::witness::Head;

/// What is written in one transaction: well below a millisecond on any disk that takes a ledger.
const PART_BYTES: usize = 256 << 10;

/// How many frames are forgotten in one transaction, where they are small.
const FORGET_FRAMES: u32 = 256;

/// How many bytes of frames are forgotten in one transaction, or one frame.
const FORGET_BYTES: i64 = 256 << 10;

/// The books after an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that they contain; the last of its frame.
    pub sequence: u64,
    /// The hash of that frame.
    pub head: Digest,
    /// The version of the bytes.
    pub format: u16,
    /// The version of the rules that folded them.
    pub engine: u16,
    /// Covers everything here.
    pub digest: Digest,
    /// The books.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// The books after `head`, in the version `format` of their bytes.
    #[must_use]
    pub fn seal(head: Head, format: u16, bytes: Vec<u8>) -> Self {
        let Head { sequence, hash: head } = head;
        let mut snapshot =
            Self { sequence, head, format, engine: ENGINE_VERSION, digest: Digest::ZERO, bytes };
        snapshot.digest = snapshot.expected_digest();
        snapshot
    }

    /// The books after `head`.
    ///
    /// # Errors
    ///
    /// They cannot be said as bytes.
    pub fn of(head: Head, books: &Books) -> Result<Self, StoreError> {
        let bytes = postcard::to_stdvec(books);
        let bytes =
            bytes.map_err(|error| StoreError::Failed { what: format!("the books as bytes: {error}") })?;
        Ok(Self::seal(head, BOOKS_VERSION, bytes))
    }

    /// The books; `None` where they are of another version, or of another entry than they should be. What other rules
    /// have folded is of another version: a journal that is read again has to come to the same.
    #[must_use]
    pub fn books(&self) -> Option<Books> {
        if !self.is_of_this_version() {
            return None;
        }
        let (books, rest) = postcard::take_from_bytes::<Books>(&self.bytes).ok()?;
        (rest.is_empty() && books.sequence() == self.sequence).then_some(books)
    }

    /// Whether this version's rules have folded the books, and its bytes are these.
    #[must_use]
    pub fn is_of_this_version(&self) -> bool {
        (self.format, self.engine) == (BOOKS_VERSION, ENGINE_VERSION)
    }

    /// Whether nothing in it has been changed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.digest == self.expected_digest()
    }

    /// Whether it stands on the journal of `frames`, of which `archived` is not there any more.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn stands_on(
        &self,
        frames: &mut dyn FrameReader,
        archived: Option<Head>,
    ) -> Result<bool, StoreError> {
        let here = Head { sequence: self.sequence, hash: self.head };
        Ok(match frames.holding(self.sequence)? {
            Some(frame) if frame.first <= self.sequence => {
                frame.last() == self.sequence && frame.hash == self.head
            }
            // Its own frame is archived; the one behind it says what its hash was.
            Some(frame) => frame.first == self.sequence.saturating_add(1) && frame.previous == self.head,
            None => archived == Some(here),
        })
    }

    fn expected_digest(&self) -> Digest {
        let parts: [&[u8]; 5] = [
            &self.sequence.to_be_bytes(),
            self.head.bytes(),
            &self.format.to_be_bytes(),
            &self.engine.to_be_bytes(),
            &self.bytes,
        ];
        Digest::of("genops snapshot 1", &parts)
    }
}

/// What was made of the latest snapshot that can be used, and a later one that cannot.
pub type Latest<T> = (Option<(Head, T)>, Option<PassedOver>);

/// A snapshot that stands in the file and cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// The entry that it should be of.
    pub sequence: u64,
    /// Why it cannot.
    pub why: Unusable,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It is not what was written.
    Damaged,
    /// The journal has no such entry, or it is another one.
    OfAnotherJournal,
    /// Another version has written it.
    OfAnotherVersion,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Unusable::Damaged => "is damaged",
            Unusable::OfAnotherJournal => "is not of this journal",
            Unusable::OfAnotherVersion => "is of another version of the program",
        };
        write!(
            f,
            "the snapshot of the books after entry {} {why} and was passed over: the journal was read instead, which \
             takes longer and comes to the same; the next snapshot takes its place",
            self.sequence
        )
    }
}

/// The snapshots in a ledger's file.
#[derive(Debug)]
pub struct Snapshots {
    connection: Connection,
    path: PathBuf,
}

impl Snapshots {
    /// Opens them for writing, beside the ledger's writer. Only the process that holds the ledger may.
    ///
    /// # Errors
    ///
    /// There is no ledger, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let snapshots = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A part that is lost with the power is part of a snapshot that does not count.
        let set_up = "PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS snapshots (
                 sequence INTEGER PRIMARY KEY,
                 head BLOB NOT NULL,
                 format INTEGER NOT NULL,
                 engine INTEGER NOT NULL,
                 digest BLOB NOT NULL
             ) STRICT;
             CREATE TABLE IF NOT EXISTS snapshot_parts (
                 sequence INTEGER NOT NULL,
                 part INTEGER NOT NULL,
                 bytes BLOB NOT NULL,
                 PRIMARY KEY (sequence, part)
             ) STRICT;
             CREATE TABLE IF NOT EXISTS archived (
                 through INTEGER PRIMARY KEY,
                 head BLOB NOT NULL,
                 file TEXT NOT NULL,
                 genesis BLOB NOT NULL,
                 policy BLOB
             ) STRICT;";
        snapshots.told(snapshots.connection.execute_batch(set_up))?;
        Ok(snapshots)
    }

    /// Opens them for reading alone.
    ///
    /// # Errors
    ///
    /// There is no ledger, or the disk refuses.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.display().to_string() });
        }
        let connection = Connection::open_with_flags(path, flags).map_err(|error| told(path, &error))?;
        check_application(&connection, path).map_err(|error| told(path, &error))??;
        Ok(Self { connection, path: path.to_owned() })
    }

    fn told<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| told(&self.path, &error))
    }

    /// Whether a ledger from before there were snapshots has got their tables.
    fn are_there(&self) -> Result<bool, StoreError> {
        self.told(self.connection.table_exists(None, "archived"))
    }

    /// Keeps a snapshot. When this returns it survives the loss of power.
    ///
    /// # Errors
    ///
    /// The disk refuses; what was written of it does not count.
    pub fn put(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.delete(snapshot.sequence)?;
        let sequence = number(snapshot.sequence);
        for (part, bytes) in (0_i64..).zip(snapshot.bytes.chunks(PART_BYTES)) {
            let insert = "INSERT INTO snapshot_parts (sequence, part, bytes) VALUES (?1, ?2, ?3)";
            self.told(self.connection.execute(insert, params![sequence, part, bytes]))?;
        }
        let Snapshot { head, format, engine, digest, .. } = snapshot;
        let row = params![sequence, head.bytes(), format, engine, digest.bytes()];
        let insert =
            "INSERT INTO snapshots (sequence, head, format, engine, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.synced(|connection| connection.execute(insert, row).map(drop))
    }

    /// Does one thing that the log has to be synced for, and with it everything before.
    fn synced(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), StoreError> {
        self.told(self.connection.pragma_update(None, "synchronous", "FULL"))?;
        let done = self.told(work(&self.connection));
        self.told(self.connection.pragma_update(None, "synchronous", "NORMAL"))?;
        done
    }

    /// The entries that there are snapshots of, the latest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn list(&self) -> Result<Vec<u64>, StoreError> {
        if !self.are_there()? {
            return Ok(Vec::new());
        }
        let list = || {
            let mut statement =
                self.connection.prepare_cached("SELECT sequence FROM snapshots ORDER BY sequence DESC")?;
            let rows = statement.query_map([], |row| row.get::<_, i64>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let numbers = self.told(list())?;
        Ok(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
    }

    /// One snapshot; `None` where it is not there, not complete, or not what it was.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<Snapshot> {
        let row = "SELECT head, format, engine, digest FROM snapshots WHERE sequence = ?1";
        let find = |row: &rusqlite::Row<'_>| {
            Ok(Snapshot {
                sequence,
                head: Digest::from_bytes(row.get(0)?),
                format: row.get(1)?,
                engine: row.get(2)?,
                digest: Digest::from_bytes(row.get(3)?),
                bytes: Vec::new(),
            })
        };
        // Whatever is wrong with it, a snapshot that cannot be read is none: the journal is there.
        let mut snapshot = self.connection.query_row(row, [number(sequence)], find).ok()?;
        let parts = "SELECT bytes FROM snapshot_parts WHERE sequence = ?1 ORDER BY part";
        let mut statement = self.connection.prepare_cached(parts).ok()?;
        let mut rows = statement.query([number(sequence)]).ok()?;
        while let Some(row) = rows.next().ok()? {
            snapshot.bytes.extend_from_slice(row.get_ref(0).ok()?.as_blob().ok()?);
        }
        snapshot.is_whole().then_some(snapshot)
    }

    /// The latest snapshot that can be used: it is whole, stands on the journal, and `restore` makes something of it. Beside
    /// it the latest of those that cannot, where that one is later.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn latest<T>(
        &self,
        frames: &mut dyn FrameReader,
        mut restore: impl FnMut(&Snapshot) -> Option<T>,
    ) -> Result<Latest<T>, StoreError> {
        let archived = self.archived()?;
        let mut passed_over = None;
        for sequence in self.list()? {
            let why = match self.get(sequence) {
                None => Unusable::Damaged,
                Some(snapshot) if !snapshot.stands_on(frames, archived)? => Unusable::OfAnotherJournal,
                Some(snapshot) => match restore(&snapshot) {
                    Some(restored) => {
                        return Ok((Some((Head { sequence, hash: snapshot.head }, restored)), passed_over));
                    }
                    None => Unusable::OfAnotherVersion,
                },
            };
            passed_over.get_or_insert(PassedOver { sequence, why });
        }
        Ok((None, passed_over))
    }

    /// Deletes all but the latest `count`, and what is left of those that never counted.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn keep(&mut self, count: usize) -> Result<(), StoreError> {
        for sequence in self.list()?.into_iter().skip(count) {
            self.delete(sequence)?;
        }
        let orphan = "SELECT sequence FROM snapshot_parts WHERE sequence NOT IN (SELECT sequence FROM snapshots) LIMIT 1";
        while let Some(sequence) =
            self.told(self.connection.query_row(orphan, [], |row| row.get::<_, i64>(0)).optional())?
        {
            self.delete_parts(sequence)?;
        }
        Ok(())
    }

    fn delete(&mut self, sequence: u64) -> Result<(), StoreError> {
        // First the row that makes it count.
        let delete = "DELETE FROM snapshots WHERE sequence = ?1";
        self.told(self.connection.execute(delete, [number(sequence)]))?;
        self.delete_parts(number(sequence))
    }

    /// One part after the other, so that a commit comes between two.
    fn delete_parts(&mut self, sequence: i64) -> Result<(), StoreError> {
        let delete = "DELETE FROM snapshot_parts WHERE sequence = ?1 AND part =
             (SELECT part FROM snapshot_parts WHERE sequence = ?1 ORDER BY part LIMIT 1)";
        while self.told(self.connection.execute(delete, [sequence]))? > 0 {}
        Ok(())
    }

    /// The last entry that has been archived, with the hash of its frame; `None` where every entry is in the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn archived(&self) -> Result<Option<Head>, StoreError> {
        self.told(last_archived(&self.connection))
    }

    /// The hash of the journal's first frame, where that has been archived.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn genesis(&self) -> Result<Option<Digest>, StoreError> {
        if !self.are_there()? {
            return Ok(None);
        }
        let query = "SELECT genesis FROM archived ORDER BY through DESC LIMIT 1";
        let found = self.connection.query_row(query, [], |row| row.get(0).map(Digest::from_bytes));
        self.told(found.optional())
    }

    /// The policy that was in force after the last entry that has been archived: an AWU that is still here, and was decided
    /// by a policy whose adoption is not, was decided by this one. `None` where that is the one from before any adoption,
    /// or nothing has been archived.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn archived_policy(&self) -> Result<Option<Arc<Policy>>, StoreError> {
        if !self.are_there()? {
            return Ok(None);
        }
        let query = "SELECT policy FROM archived ORDER BY through DESC LIMIT 1";
        let found = self.connection.query_row(query, [], |row| row.get::<_, Option<Vec<u8>>>(0));
        let bytes = self.told(found.optional())?.flatten();
        // What cannot be read is no policy; whoever asks says that it is missing.
        Ok(bytes.and_then(|bytes| postcard::from_bytes(&bytes).ok()).map(Arc::new))
    }

    /// The last entry of each archive that was made, and what its file was called, the oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn archives(&self) -> Result<Vec<(u64, String)>, StoreError> {
        if !self.are_there()? {
            return Ok(Vec::new());
        }
        let list = || {
            let query = "SELECT through, file FROM archived ORDER BY through";
            let mut statement = self.connection.prepare(query)?;
            let rows = statement.query_map([], |row| {
                let through: i64 = row.get(0)?;
                Ok((u64::try_from(through).unwrap_or_default(), row.get(1)?))
            })?;
            rows.collect()
        };
        self.told(list())
    }

    /// Notes that the frames through `head` are archived, which somebody has made sure of in an archive whose file is called
    /// `file`, and of what they say keeps the policy that they leave in force, where they adopt one. None of them goes before
    /// that, and each may go from then on ([`forget_archived`](Self::forget_archived)).
    ///
    /// # Errors
    ///
    /// No frame ends there with this hash, or the disk refuses.
    pub fn note_archived(
        &mut self,
        head: Head,
        file: &str,
        adopted: Option<&Policy>,
    ) -> Result<(), StoreError> {
        if self.archived()? != Some(head) && !self.told(self.has_frame(head))? {
            let what =
                format!("no frame ends with entry {} and that hash; nothing was forgotten", head.sequence);
            return Err(StoreError::Failed { what });
        }
        let policy = adopted.map(postcard::to_stdvec).transpose();
        let policy =
            policy.map_err(|error| StoreError::Failed { what: format!("a policy as bytes: {error}") })?;
        let insert = "INSERT OR IGNORE INTO archived (through, head, file, genesis, policy) VALUES (?1, ?2, ?3,
            coalesce((SELECT genesis FROM archived LIMIT 1), (SELECT hash FROM frames ORDER BY first LIMIT 1)),
            coalesce(?4, (SELECT policy FROM archived ORDER BY through DESC LIMIT 1)))";
        let row = params![number(head.sequence), head.hash.bytes(), file, policy];
        self.synced(|connection| connection.execute(insert, row).map(drop))
    }

    /// Forgets the frames that are noted as archived, the oldest first and a few at a time: wherever it is interrupted, the
    /// rest is whole, and it can be done again. After each piece `go_on` is asked, with how long that took, during which
    /// nobody else could write; gives whether everything is forgotten.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn forget_archived(&mut self, go_on: &dyn Fn(Duration) -> bool) -> Result<bool, StoreError> {
        let Some(head) = self.archived()? else { return Ok(true) };
        while let Some(last) = self.told(self.piece(head.sequence))? {
            let begun = Instant::now();
            self.told(self.connection.execute("DELETE FROM frames WHERE first <= ?1", [last]))?;
            if !go_on(begun.elapsed()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The last of the oldest frames that are forgotten together, of those through an entry; `None` where none is left.
    fn piece(&self, through: u64) -> rusqlite::Result<Option<i64>> {
        let find = "SELECT first, length(payload) FROM frames WHERE first <= ?1 ORDER BY first LIMIT ?2";
        let mut statement = self.connection.prepare_cached(find)?;
        let mut rows = statement.query(params![number(through), FORGET_FRAMES])?;
        let (mut last, mut bytes) = (None, 0_i64);
        while let Some(row) = rows.next()? {
            bytes = bytes.saturating_add(row.get(1)?);
            if last.is_some() && bytes > FORGET_BYTES {
                break;
            }
            last = Some(row.get(0)?);
        }
        Ok(last)
    }

    fn has_frame(&self, head: Head) -> rusqlite::Result<bool> {
        let query = "SELECT 1 FROM frames WHERE first + count - 1 = ?1 AND hash = ?2";
        let found =
            self.connection.query_row(query, params![number(head.sequence), head.hash.bytes()], |_| Ok(()));
        Ok(found.optional()?.is_some())
    }
}

/// The last entry that a ledger's file notes as archived, with the hash of its frame.
pub(crate) fn last_archived(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    // A ledger from before there were archives has no such table.
    if !connection.table_exists(None, "archived")? {
        return Ok(None);
    }
    let query = "SELECT through, head FROM archived ORDER BY through DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_row([], |row| {
        let through: i64 = row.get(0)?;
        let hash = Digest::from_bytes(row.get(1)?);
        Ok(Head { sequence: u64::try_from(through).unwrap_or_default(), hash })
    });
    found.optional()
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
