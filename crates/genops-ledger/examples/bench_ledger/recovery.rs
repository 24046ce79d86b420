//! How long it takes to open a ledger: the journal is read, its chain verified, every entry applied and audited; or only
//! what came after a snapshot of the books.

use std::path::Path;
use std::time::Instant;

use genops_ledger::recover::take_snapshot;
use genops_ledger::sqlite::SqliteStore;

use super::governed::{OnLedger, runtime};
use super::house::{House, wall};
use super::{Trouble, say};

const FILE: &str = "recovery.db";

/// Writes a ledger of so many entries in pairs, after the one that adopts the policy.
pub fn write(folder: &Path, entries: u64) -> Result<(), Trouble> {
    OnLedger::begin(&folder.join(FILE), House::Two)?.write(entries / 2)
}

/// Makes a snapshot of the books after an entry, and prints `figures ENTRY SECONDS`.
pub fn snapshot(folder: &Path, through: u64) -> Result<(), Trouble> {
    let started = Instant::now();
    let head = take_snapshot(&folder.join(FILE), through, 1)?;
    say(&format!("figures {} {}", head.sequence, started.elapsed().as_secs_f64()))
}

/// Opens the ledger, and prints `figures ENTRIES SECONDS`.
pub fn open(folder: &Path) -> Result<(), Trouble> {
    let started = Instant::now();
    let store = SqliteStore::open(&folder.join(FILE))?;
    let (ledger, recovered) = runtime()?.block_on(genops_ledger::open(store, wall()))?;
    let seconds = started.elapsed().as_secs_f64();
    drop(ledger);
    say(&format!("figures {} {seconds}", recovered.entries))
}
