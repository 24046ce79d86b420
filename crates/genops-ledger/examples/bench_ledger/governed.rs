//! The ledger as it is measured: a new one in an SQLite file, under one house's policy, its commits counted.

use std::path::Path;
use std::sync::Arc;

use genops_core::ledger::Outcome;
use genops_ledger::frame::Frame;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{PersonStep, Persons, Readers, Store};
use genops_ledger::{Ledger, Posted, StoreError};
use tokio::runtime::Runtime;

use super::Trouble;
use super::closed_loop::{Subject, Written};
use super::house::{Calls, House, wall};

/// As many commands are posted before one is waited for, where nobody measures.
const BATCH: u64 = 1_024;

pub struct OnLedger {
    pub ledger: Ledger,
    pub calls: Calls,
    written: Arc<Written>,
}

/// An SQLite store that counts its commits.
struct Counted {
    store: SqliteStore,
    written: Arc<Written>,
}

impl OnLedger {
    /// A new ledger at `path`.
    pub fn begin(path: &Path, house: House) -> Result<Self, Trouble> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let file = format!("{}{suffix}", path.display());
            if Path::new(&file).exists() {
                std::fs::remove_file(file)?;
            }
        }
        let written = Arc::new(Written::default());
        let store = Counted { store: SqliteStore::open(path)?, written: Arc::clone(&written) };
        let calls = Calls::new(house)?;
        let ledger = runtime()?.block_on(async {
            let (ledger, _) = genops_ledger::open(store, wall()).await?;
            ledger.submit(wall(), house.policy()?)?.durable().await?;
            Ok::<_, Trouble>(ledger)
        })?;
        Ok(Self { ledger, calls, written })
    }

    /// One call of every team, so that every cell is open.
    pub fn open_cells(&self, teams: u64) -> Result<(), Trouble> {
        runtime()?.block_on(async {
            for number in 0..teams {
                let admission = self.calls.admission_of(number, number)?;
                self.admitted(self.ledger.submit(wall(), admission)?, number).await?;
            }
            Ok(())
        })
    }

    /// So many pairs, one after the other, of which only the last of a batch is waited for.
    pub fn write(&self, pairs: u64) -> Result<(), Trouble> {
        runtime()?.block_on(async {
            for number in 1..=pairs {
                let admission = self.calls.admission(number)?;
                self.admitted(self.ledger.submit(wall(), admission)?, number).await?;
            }
            let last = self.ledger.read(|books| books.sequence())?;
            Ok(self.ledger.durable(last).await?)
        })
    }

    async fn admitted(&self, posted: Posted, number: u64) -> Result<(), Trouble> {
        expect_admitted(&posted.entry.outcome)?;
        let settled = self.ledger.submit(wall(), self.calls.settlement(number))?;
        if number.is_multiple_of(BATCH / 2) {
            settled.durable().await?;
        }
        Ok(())
    }
}

pub fn runtime() -> Result<Runtime, Trouble> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}

pub fn expect_admitted(outcome: &Outcome) -> Result<(), Trouble> {
    match outcome {
        Outcome::Admitted(_) => Ok(()),
        _ => Err("an admission was refused".into()),
    }
}

impl Subject for OnLedger {
    async fn pair(&self, number: u64) -> Result<(), Trouble> {
        let admitted = self.ledger.submit(wall(), self.calls.admission(number)?)?.durable().await?;
        expect_admitted(&admitted.outcome)?;
        self.ledger.submit(wall(), self.calls.settlement(number))?.durable().await?;
        Ok(())
    }

    fn written(&self) -> &Written {
        &self.written
    }
}

impl Store for Counted {
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError> {
        self.store.append(frame, persons)?;
        self.written.add(u64::from(frame.count));
        Ok(())
    }

    fn readers(&self) -> Readers {
        self.store.readers()
    }

    fn persons(&self) -> Persons {
        self.store.persons()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.store.free_bytes()
    }
}
