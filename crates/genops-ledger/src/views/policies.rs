//! Where in the journal each policy was adopted: whoever explains a decision needs the policy that made it.
//!
//! A policy is addressed by its content, so one adoption stands for all: the last, which leaves for an archive last.

use genops_core::Digest;
use genops_core::ledger::Outcome;
use genops_core::record::Journaled;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::stored;

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS policies (
        version BLOB PRIMARY KEY,
        sequence INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// What a stretch of the journal adds.
#[derive(Debug, Default)]
pub struct Gathered(Vec<(Digest, u64)>);

impl Gathered {
    /// Takes in an entry; one that adopts no policy adds nothing.
    pub fn take(&mut self, journaled: &Journaled) {
        if let Outcome::PolicyAdopted { version, .. } = &journaled.entry.outcome {
            self.0.push((*version, journaled.entry.sequence));
        }
    }

    pub fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut add = transaction.prepare_cached("INSERT OR REPLACE INTO policies VALUES (?1, ?2)")?;
        for (version, sequence) in &self.0 {
            add.execute(params![version.bytes(), stored(*sequence)])?;
        }
        Ok(())
    }
}

/// The entry that last adopted the policy.
pub fn adopted(connection: &Connection, version: Digest) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT sequence FROM policies WHERE version = ?1")?;
    let found: Option<i64> = statement.query_row([version.bytes()], |row| row.get(0)).optional()?;
    Ok(found.and_then(|sequence| u64::try_from(sequence).ok()))
}
