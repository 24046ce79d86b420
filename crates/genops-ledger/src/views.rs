//! Tables for queries, and the cursors of whoever else follows the journal.
//!
//! Everything here is derived, but for the cursors and the dead letters of the telemetry outbox, whose
//! loss means that telemetry is sent again, identically. The tables say *where* in the journal an AWU
//! stands; what is told about it is read from the journal itself. They live in a file of their own, so
//! that they never get in the way of a commit.
//!
//! Rows are appended in the order of the journal. Identities are random, and an index over all of them would write a page for
//! each AWU: so it is one for each range of entries, of which only the latest is written to, and a look-up asks each range.

mod estimates;
mod gathered;
mod listing;
mod policies;
mod revocations;
mod standing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genops_core::cursor::Cursor;
use genops_core::ledger::Command;
use genops_core::policy::Policy;
use genops_core::record::AwuRecord;
use genops_core::{AwuId, Digest, Name};
use rusqlite::{Connection, OptionalExtension};

use crate::followers::{cursor, set_cursor};
use crate::journal::Journal;
use crate::sqlite::told;
use crate::store::StoreError;

use gathered::Gathered;

pub use estimates::Estimate;
pub use listing::{Filter, Found};
pub use standing::Standing;

/// The version of the tables; another one means: build them anew.
pub(crate) const VERSION: i64 = 10;

/// From version 3: dead letters that know from where they are read again, and whether they are.
const FROM_3: &str = "
    BEGIN;
    ALTER TABLE dead_letters ADD COLUMN reread INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letters ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 5;
    COMMIT;";

/// From version 5 on: what is derived from the journal is derived anew; the cursors of others and their dead letters stay.
const FROM_5: &str = "
    BEGIN;
    DROP TABLE IF EXISTS awus;
    DROP TABLE IF EXISTS later;
    DROP TABLE IF EXISTS estimates;
    DROP TABLE IF EXISTS policies;
    DROP TABLE IF EXISTS revocations;
    DELETE FROM cursors WHERE follower = 'views';
    COMMIT;";

/// The cursor of the tables themselves, among those of the other followers.
pub(crate) const VIEWS: &str = "views";

/// How many entries are taken in at once, but for the rest of a frame.
const STRETCH: usize = 8_192;

const TABLES: &str = "
    BEGIN;
    CREATE TABLE IF NOT EXISTS awus (
        admitted INTEGER PRIMARY KEY,
        id BLOB NOT NULL,
        started INTEGER,
        ended INTEGER,
        at INTEGER NOT NULL,
        team TEXT NOT NULL,
        project TEXT NOT NULL,
        environment TEXT NOT NULL,
        feature TEXT,
        cost_center TEXT,
        customer INTEGER,
        session INTEGER,
        key TEXT,
        operation_type TEXT NOT NULL,
        provider TEXT,
        model TEXT,
        result TEXT NOT NULL,
        reason_code TEXT,
        state TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS open_awus ON awus (admitted) WHERE state IN ('RESERVED', 'EXECUTING', 'IN_DOUBT');
    CREATE INDEX IF NOT EXISTS awus_by_id ON awus (admitted >> 16, id);
    CREATE TABLE IF NOT EXISTS later (
        admitted INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (admitted, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS journal (
        genesis BLOB PRIMARY KEY
    ) STRICT;
    CREATE TABLE IF NOT EXISTS cursors (
        follower TEXT PRIMARY KEY,
        through INTEGER NOT NULL,
        reread INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS dead_letters (
        follower TEXT NOT NULL,
        after INTEGER NOT NULL,
        through INTEGER NOT NULL,
        records INTEGER NOT NULL,
        reason TEXT NOT NULL,
        reread INTEGER NOT NULL DEFAULT 0,
        again INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    COMMIT;";

/// Tables over the journal, as of some entry.
#[derive(Debug)]
pub struct Views {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    through: u64,
    /// The rows of AWUs that have not ended, or are in doubt.
    open: HashMap<AwuId, u64>,
}

/// Where an AWU's entries stand.
struct Place {
    id: AwuId,
    admitted: u64,
    started: Option<u64>,
    ended: Option<u64>,
}

impl Views {
    /// Opens the tables beside the ledger at `ledger`, or makes new ones.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn beside(ledger: &Path) -> Result<Self, StoreError> {
        let path = path_beside(ledger);
        match Self::at(&path) {
            // Everything here can be derived again, so damage here keeps nobody out.
            Err(StoreError::Damaged { .. }) => {
                for suffix in ["", "-wal", "-shm"] {
                    let mut part = path.clone().into_os_string();
                    part.push(suffix);
                    // A part that is not there need not be removed; one that stays fails below.
                    let _ = std::fs::remove_file(part);
                }
                Self::at(&path)
            }
            opened => opened,
        }
    }

    /// Takes in whatever `journal`, of the ledger at `ledger` that no process holds, has beyond the tables beside it, before
    /// entries leave it for good: so what leaves is known to have been there. The tables are closed with that, and so on
    /// the disk.
    ///
    /// # Errors
    ///
    /// The tables are not of this journal, or cannot be written.
    pub(crate) fn take_in(ledger: &Path, journal: &mut Journal, last: u64) -> Result<(), StoreError> {
        let mut views = Self::beside(ledger)?;
        let genesis = journal.genesis()?.unwrap_or(Digest::ZERO);
        if !views.belong(genesis, last).map_err(|error| told(&views.path, &error))? {
            return Err(StoreError::Failed {
                what: format!(
                    "`{}` is of another ledger, or of a later state of this one; a server makes it anew when it starts",
                    views.path.display()
                ),
            });
        }
        views.catch_up(journal)
    }

    fn at(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|error| told(path, &error))?;
        Self::over(connection, path.to_owned())
    }

    /// Tables in memory.
    ///
    /// # Errors
    ///
    /// SQLite refuses.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| told(&path, &error))?;
        Self::over(connection, path)
    }

    fn over(connection: Connection, path: PathBuf) -> Result<Self, StoreError> {
        let mut views = Self { connection, path, through: 0, open: HashMap::new() };
        views.prepare().map_err(|error| told(&views.path, &error))?;
        views.through = cursor(&views.connection, VIEWS).map_err(|error| told(&views.path, &error))?.through;
        views.open = views.open_rows().map_err(|error| told(&views.path, &error))?;
        Ok(views)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            VERSION => {}
            3 => {
                self.connection.execute_batch(FROM_3)?;
                self.connection.execute_batch(FROM_5)?;
            }
            5..=9 => self.connection.execute_batch(FROM_5)?,
            _ => self.connection.execute_batch(
                "DROP TABLE IF EXISTS awus; DROP TABLE IF EXISTS cursors; DROP TABLE IF EXISTS dead_letters;
                 DROP TABLE IF EXISTS journal; DROP TABLE IF EXISTS estimates; DROP TABLE IF EXISTS policies;
                 DROP TABLE IF EXISTS later; DROP TABLE IF EXISTS revocations;",
            )?,
        }
        self.connection.execute_batch(TABLES)?;
        self.connection.execute_batch(estimates::TABLE)?;
        self.connection.execute_batch(policies::TABLE)?;
        self.connection.execute_batch(revocations::TABLE)?;
        self.connection.pragma_update(None, "user_version", VERSION)
    }

    /// Makes sure that tables and cursors are about this journal: the one whose first frame has the hash
    /// `genesis`, and which had `entries` when it was opened. Those of another journal, or of a later state
    /// of one that was restored from a copy, are dropped; `false` says so. Otherwise a follower would pass
    /// over entries that it has never seen.
    ///
    /// # Errors
    ///
    /// The tables cannot be read or written.
    pub fn belong_to(&mut self, genesis: Digest, entries: u64) -> Result<bool, StoreError> {
        let check = || {
            let belong = self.belong(genesis, entries)?;
            if !belong {
                self.connection.execute_batch(
                    "DELETE FROM awus; DELETE FROM cursors; DELETE FROM dead_letters; DELETE FROM journal;
                     DELETE FROM estimates; DELETE FROM policies; DELETE FROM later; DELETE FROM revocations;",
                )?;
            }
            let note = "INSERT OR IGNORE INTO journal (genesis) VALUES (?1)";
            self.connection.execute(note, [genesis.bytes()])?;
            Ok::<_, rusqlite::Error>(belong)
        };
        let belong = check().map_err(|error| told(&self.path, &error))?;
        if !belong {
            self.through = 0;
            self.open.clear();
        }
        Ok(belong)
    }

    /// Whether tables and cursors are about the journal whose first frame has the hash `genesis`, and which has `entries`.
    fn belong(&self, genesis: Digest, entries: u64) -> rusqlite::Result<bool> {
        let known =
            self.connection.query_row("SELECT genesis FROM journal", [], |row| row.get(0)).optional()?;
        let ahead: bool = self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM cursors WHERE through > ?1)",
            [stored(entries)],
            |row| row.get(0),
        )?;
        Ok(known.is_none_or(|known: [u8; 32]| known == *genesis.bytes()) && !ahead)
    }

    fn open_rows(&self) -> rusqlite::Result<HashMap<AwuId, u64>> {
        let mut statement = self.connection.prepare(
            "SELECT id, admitted, started, ended FROM awus WHERE state IN ('RESERVED', 'EXECUTING', 'IN_DOUBT')",
        )?;
        let rows = statement.query_map([], place_of)?;
        rows.map(|place| place.map(|place| (place.id, place.admitted))).collect()
    }

    /// The last entry that the tables contain.
    #[must_use]
    pub const fn as_of(&self) -> u64 {
        self.through
    }

    /// The first entry that the tables are made from yet: what they have not taken in, and what began and has not ended.
    #[must_use]
    pub fn reads_from(&self) -> u64 {
        let next = self.through.saturating_add(1);
        self.open.values().copied().fold(next, u64::min)
    }

    /// Takes in everything that the journal has beyond the tables.
    ///
    /// # Errors
    ///
    /// The journal or the tables cannot be read or written.
    pub fn catch_up(&mut self, journal: &mut Journal) -> Result<(), StoreError> {
        while self.step(journal)? {}
        Ok(())
    }

    /// Takes in a stretch of the journal; `false` where there is none left.
    ///
    /// # Errors
    ///
    /// The journal or the tables cannot be read or written.
    pub fn step(&mut self, journal: &mut Journal) -> Result<bool, StoreError> {
        let mut gathered = Gathered::default();
        let (mut through, mut taken) = (self.through, 0);
        while taken < STRETCH {
            let entries = match journal.after(through) {
                // What the tables do not have of it they will not have.
                Err(StoreError::Archived { through: archived, .. }) => {
                    through = archived;
                    continue;
                }
                entries => entries?,
            };
            let Some(last) = entries.last() else { break };
            through = last.entry.sequence;
            taken += entries.len();
            entries.into_iter().for_each(|journaled| gathered.take(journaled, &self.open));
        }
        if through == self.through {
            return Ok(false);
        }
        estimate(&mut gathered, journal)?;
        self.keep(gathered, through, journal.archived()?).map_err(|error| told(&self.path, &error))?;
        Ok(true)
    }

    /// How good the bounds were, by provider and model.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn estimates(&self) -> Result<Vec<Estimate>, StoreError> {
        estimates::all(&self.connection).map_err(|error| told(&self.path, &error))
    }

    /// The policy of this version, read from the journal; `None` where it never was in force. The empty policy is in
    /// force before any is adopted.
    ///
    /// # Errors
    ///
    /// The tables or the journal cannot be read.
    pub fn policy(&self, version: Digest, journal: &mut Journal) -> Result<Option<Arc<Policy>>, StoreError> {
        let adopted =
            policies::adopted(&self.connection, version).map_err(|error| told(&self.path, &error))?;
        let entry = match adopted {
            Some(sequence) => journal.entry(sequence)?,
            None => None,
        };
        if let Some(Command::AdoptPolicy(policy)) = entry.map(|journaled| journaled.entry.command) {
            return Ok(Some(policy));
        }
        let empty = Policy::unrestricted();
        Ok((empty.version() == version).then(|| Arc::new(empty)))
    }

    /// The entry that ended a grant before its time; `None` where none did.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn revocation(&self, grant: u64) -> Result<Option<u64>, StoreError> {
        revocations::of_grant(&self.connection, grant).map_err(|error| told(&self.path, &error))
    }

    /// Writes a stretch. Of AWUs that have left for an archive, news are not kept: whoever asks is told that they have left.
    fn keep(&mut self, gathered: Gathered, through: u64, archived: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let changes = gathered.write(&transaction)?;
        transaction.execute("DELETE FROM later WHERE admitted <= ?1", [stored(archived)])?;
        set_cursor(&transaction, VIEWS, Cursor { through, from: through })?;
        transaction.commit()?;
        self.through = through;
        for (id, row) in changes {
            match row {
                Some(row) => self.open.insert(id, row),
                None => self.open.remove(&id),
            };
        }
        Ok(())
    }

    /// One AWU as of the tables, read from the journal.
    ///
    /// # Errors
    ///
    /// The tables or the journal cannot be read.
    pub fn awu(&self, id: AwuId, journal: &mut Journal) -> Result<Option<AwuRecord>, StoreError> {
        self.standing(id, None)?.read(journal)
    }

    /// The key that an AWU was proposed with, as the journal has it: known here of those as well whose entries have left
    /// for an archive, unless the tables were made since. `None` where nobody knows.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn key_of(&self, id: AwuId) -> Result<Option<Name>, StoreError> {
        let look = || {
            let Some(place) = self.place(id)? else { return Ok(None) };
            let mut statement = self.connection.prepare_cached("SELECT key FROM awus WHERE admitted = ?1")?;
            statement.query_row([stored(place.admitted)], |row| row.get::<_, Option<String>>(0)).optional()
        };
        let key = look().map_err(|error| told(&self.path, &error))?.flatten();
        Ok(key.and_then(|key| Name::new(&key).ok()))
    }

    /// AWUs, the latest first, at most `limit`, read from the journal. One call looks through a stretch of the journal
    /// and no more, so that nobody waits long for the tables; the answer says where to go on.
    ///
    /// # Errors
    ///
    /// The tables or the journal cannot be read.
    pub fn awus(&self, filter: &Filter, limit: u32, journal: &mut Journal) -> Result<Found, StoreError> {
        let looked = listing::places(&self.connection, filter, limit, self.through);
        let (places, next) = looked.map_err(|error| told(&self.path, &error))?;
        let mut records = Vec::with_capacity(places.len());
        for place in &places {
            let entries = self.entries_of(place).map_err(|error| told(&self.path, &error))?;
            match standing::read(place.id, &entries, journal) {
                // What is older is archived as well.
                Err(StoreError::Archived { .. }) => return Ok(Found { records, next: None }),
                record => records.extend(record?.filter(|record| filter.is_about(record))),
            }
        }
        Ok(Found { records, next })
    }
}

/// What the settlements of a stretch say of the bounds of AWUs that began before it: their admissions are read again. Of one
/// that has left for an archive nothing can be said any more.
fn estimate(gathered: &mut Gathered, journal: &mut Journal) -> Result<(), StoreError> {
    for (admitted, execution) in std::mem::take(&mut gathered.settled_later) {
        let admission = match journal.entry(admitted) {
            Err(StoreError::Archived { .. }) => continue,
            admission => admission?.map(|journaled| journaled.entry.command),
        };
        if let Some(Command::Admit(request)) = admission {
            gathered.estimates.take(&request.proposal, &execution);
        }
    }
    Ok(())
}

/// Where the tables of a ledger are.
pub(crate) fn path_beside(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".views");
    PathBuf::from(name)
}

/// A number as SQLite keeps it.
pub(crate) fn stored(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

fn place_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Place> {
    let number = |stored: i64| u64::try_from(stored).unwrap_or_default();
    let id: [u8; 24] = row.get(0)?;
    let (trace, span) = id.split_at(16);
    Ok(Place {
        id: AwuId {
            trace_id: trace.try_into().unwrap_or_default(),
            span_id: span.try_into().unwrap_or_default(),
        },
        admitted: number(row.get(1)?),
        started: row.get::<_, Option<i64>>(2)?.map(number),
        ended: row.get::<_, Option<i64>>(3)?.map(number),
    })
}

fn bytes(id: AwuId) -> [u8; 24] {
    let mut bytes = [0; 24];
    let (trace, span) = bytes.split_at_mut(16);
    trace.copy_from_slice(&id.trace_id);
    span.copy_from_slice(&id.span_id);
    bytes
}
