//! Where in the journal each grant was ended before its time: whoever says it again is told so.

use genops_core::ledger::{Command, Outcome};
use genops_core::record::Journaled;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::stored;

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS revocations (
        number INTEGER PRIMARY KEY,
        sequence INTEGER NOT NULL
    ) STRICT;";

/// What a stretch of the journal adds: the grant, and the entry that ended it.
#[derive(Debug, Default)]
pub struct Gathered(Vec<(u64, u64)>);

impl Gathered {
    /// Takes in an entry; one that ends no grant adds nothing.
    pub fn take(&mut self, journaled: &Journaled) {
        if let (Command::Revoke { grant, .. }, Outcome::GrantEnded { .. }) =
            (&journaled.entry.command, &journaled.entry.outcome)
        {
            self.0.push((*grant, journaled.entry.sequence));
        }
    }

    pub fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut add = transaction.prepare_cached("INSERT OR IGNORE INTO revocations VALUES (?1, ?2)")?;
        for (number, sequence) in &self.0 {
            add.execute(params![stored(*number), stored(*sequence)])?;
        }
        Ok(())
    }
}

/// The entry that ended a grant before its time.
pub fn of_grant(connection: &Connection, number: u64) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT sequence FROM revocations WHERE number = ?1")?;
    let found: Option<i64> = statement.query_row([stored(number)], |row| row.get(0)).optional()?;
    Ok(found.and_then(|sequence| u64::try_from(sequence).ok()))
}
