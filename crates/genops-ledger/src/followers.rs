//! The followers of the journal that keep their place here, beside the query tables: how far each has come,
//! and what it could not deliver.
//!
//! Nothing here follows anything; the telemetry outbox does.

use std::path::Path;

use genops_core::cursor::{Cursor, DeadLetter};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::sqlite::told;
use crate::store::StoreError;
use crate::views::{VERSION, VIEWS, Views, path_beside, stored};

/// What the followers of a journal have left, and the tables' own cursor not among it.
#[derive(Debug, Clone, Default)]
pub struct Followers {
    /// How far each has come, by name.
    pub cursors: Vec<(String, Cursor)>,
    /// What was rejected, the latest last.
    pub dead_letters: Vec<DeadLetter>,
}

impl Followers {
    /// Reads what stands beside the ledger at `ledger`, whether a process has it open or not. There is nothing
    /// where no telemetry was ever sent.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn beside(ledger: &Path) -> Result<Self, StoreError> {
        let path = path_beside(ledger);
        if !path.exists() {
            return Ok(Self::default());
        }
        let read = || {
            let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(if version == VERSION { Some(Self::read(&connection)?) } else { None })
        };
        read().map_err(|error| told(&path, &error))?.ok_or_else(|| StoreError::Failed {
            what: format!(
                "`{}` is of another version of genops; a server of this version brings it up to date",
                path.display()
            ),
        })
    }

    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare(
            "SELECT through, reread, follower FROM cursors WHERE follower <> ?1 ORDER BY follower",
        )?;
        let rows = statement.query_map([VIEWS], |row| Ok((row.get(2)?, cursor_of(row)?)))?;
        Ok(Self { cursors: rows.collect::<rusqlite::Result<_>>()?, dead_letters: dead_letters(connection)? })
    }
}

impl Views {
    /// What the followers have left.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn followers(&self) -> Result<Followers, StoreError> {
        self.told(Followers::read(&self.connection))
    }

    /// Where a follower of the journal stands.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn cursor(&self, follower: &str) -> Result<Cursor, StoreError> {
        self.told(cursor(&self.connection, follower))
    }

    /// Moves a follower's cursor.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn move_cursor(&self, follower: &str, cursor: Cursor) -> Result<(), StoreError> {
        self.told(set_cursor(&self.connection, follower, cursor))
    }

    /// Keeps a note of records that a destination would not take.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn bury(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        self.told(bury(&self.connection, letter))
    }

    /// What destinations would not take, the latest last.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.told(dead_letters(&self.connection))
    }

    /// Marks the dead letters of a follower, or of all, to be sent again. Gives those that are marked now.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn mark_dead_letters(&self, follower: Option<&str>) -> Result<Vec<DeadLetter>, StoreError> {
        let mark = || {
            self.connection
                .execute("UPDATE dead_letters SET again = 1 WHERE ?1 IS NULL OR follower = ?1", [follower])?;
            dead_letters(&self.connection)
        };
        let mut letters = self.told(mark())?;
        letters.retain(|letter| follower.is_none_or(|follower| letter.follower == follower));
        Ok(letters)
    }

    /// The dead letters of a follower that are to be sent again, each with the number that it has here.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn marked_dead_letters(&self, follower: &str) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let mut letters = self.told(numbered_dead_letters(&self.connection))?;
        letters.retain(|(_, letter)| letter.again && letter.follower == follower);
        Ok(letters)
    }

    /// Puts what of some dead letters was rejected again in their place, all at once. They have the numbers that
    /// [`marked_dead_letters`](Self::marked_dead_letters) gave: several may tell of the same entries.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn replace_dead_letters(&mut self, numbers: &[u64], with: &[DeadLetter]) -> Result<(), StoreError> {
        let replace = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for number in numbers {
                transaction.execute("DELETE FROM dead_letters WHERE rowid = ?1", [stored(*number)])?;
            }
            with.iter().try_for_each(|letter| bury(&transaction, letter))?;
            transaction.commit()
        };
        replace(&mut self.connection).map_err(|error| told(&self.path, &error))
    }

    /// Forgets where a follower stands, and its dead letters, all at once. If it comes again, it begins anew.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn forget(&mut self, follower: &str) -> Result<(), StoreError> {
        let forget = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM dead_letters WHERE follower = ?1", [follower])?;
            transaction.execute("DELETE FROM cursors WHERE follower = ?1", [follower])?;
            transaction.commit()
        };
        forget(&mut self.connection).map_err(|error| told(&self.path, &error))
    }

    fn told<T>(&self, answer: rusqlite::Result<T>) -> Result<T, StoreError> {
        answer.map_err(|error| told(&self.path, &error))
    }
}

fn bury(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    let insert = connection.execute(
        "INSERT INTO dead_letters (follower, after, through, records, reason, reread, again)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            letter.follower,
            stored(letter.after),
            stored(letter.through),
            stored(letter.records),
            letter.reason,
            stored(letter.from),
            letter.again,
        ],
    );
    insert.map(drop)
}

fn dead_letters(connection: &Connection) -> rusqlite::Result<Vec<DeadLetter>> {
    Ok(numbered_dead_letters(connection)?.into_iter().map(|(_, letter)| letter).collect())
}

fn numbered_dead_letters(connection: &Connection) -> rusqlite::Result<Vec<(u64, DeadLetter)>> {
    let mut statement = connection.prepare(
        "SELECT follower, after, through, records, reason, reread, again, rowid FROM dead_letters ORDER BY rowid",
    )?;
    let rows = statement.query_map([], |row| {
        let letter = DeadLetter {
            follower: row.get(0)?,
            after: number(row.get(1)?),
            through: number(row.get(2)?),
            records: number(row.get(3)?),
            reason: row.get(4)?,
            from: number(row.get(5)?),
            again: row.get(6)?,
        };
        Ok((number(row.get(7)?), letter))
    })?;
    rows.collect()
}

/// Where a follower stands; at the beginning if it has left nothing.
pub(crate) fn cursor(connection: &Connection, follower: &str) -> rusqlite::Result<Cursor> {
    let mut statement =
        connection.prepare_cached("SELECT through, reread FROM cursors WHERE follower = ?1")?;
    statement.query_row([follower], cursor_of).optional().map(Option::unwrap_or_default)
}

pub(crate) fn set_cursor(connection: &Connection, follower: &str, cursor: Cursor) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO cursors (follower, through, reread) VALUES (?1, ?2, ?3)
         ON CONFLICT (follower) DO UPDATE SET through = excluded.through, reread = excluded.reread",
    )?;
    statement.execute(params![follower, stored(cursor.through), stored(cursor.from)])?;
    Ok(())
}

fn cursor_of(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    Ok(Cursor { through: number(row.get(0)?), from: number(row.get(1)?) })
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}
