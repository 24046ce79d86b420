//! Snapshots in the lives of a process: they stand in a file as in a ledger's, and are of the journal on the simulated
//! disk. A process may die while it makes one, and what was kept may be damaged.

use std::path::{Path, PathBuf};

use genops_ledger::recover;
use genops_ledger::snapshots::{Snapshot, Snapshots};
use genops_ledger::store::Store;
use genops_ledger::witness::Head;
use rusqlite::Connection;

use crate::disk::Disk;
use crate::random::Random;

/// As many as a ledger keeps.
const KEPT: usize = 2;

/// The file, which outlives the processes. It has snapshots and no frames.
pub struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // What a ledger's file is known by, without the log that a ledger reserves.
        let file = Connection::open(file_in(folder.path())).unwrap();
        file.pragma_update(None, "journal_mode", "WAL").unwrap();
        file.pragma_update(None, "application_id", 0x476e_4f70).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        file_in(self.folder.path())
    }

    /// Makes a snapshot of what is on the disk; `false` where the process dies on the way.
    pub fn make(&self, disk: &Disk, random: &mut Random) -> Result<bool, String> {
        let reader = disk.readers()();
        let replayed =
            reader.map_err(Into::into).and_then(|mut reader| recover::resume(&mut *reader, u64::MAX));
        let replayed = replayed.map_err(|error| format!("no snapshot: {error}"))?;
        let head = Head { sequence: replayed.books.sequence(), hash: replayed.head };
        if head.sequence == replayed.snapshot {
            return Ok(true);
        }
        let mut snapshots = Snapshots::open(&self.path()).unwrap();
        snapshots.put(&Snapshot::of(head, &replayed.books).unwrap()).unwrap();
        if random.one_in(5) {
            // The last row had not been written yet, and the parts had, or not all of them.
            self.change("DELETE FROM snapshots WHERE sequence = ?1", head.sequence);
            if random.one_in(2) {
                self.change("DELETE FROM snapshot_parts WHERE sequence = ?1", head.sequence);
            }
            return Ok(false);
        }
        snapshots.keep(KEPT).unwrap();
        Ok(true)
    }

    /// Damages the latest snapshot; `None` where there is none. Gives its entry.
    pub fn damage(&self, random: &mut Random) -> Option<u64> {
        let latest = *Snapshots::read(&self.path()).unwrap().list().unwrap().first()?;
        let damages = [
            "UPDATE snapshot_parts SET bytes = substr(bytes, 2) WHERE sequence = ?1",
            "UPDATE snapshot_parts SET bytes = zeroblob(length(bytes)) WHERE sequence = ?1",
            "UPDATE snapshots SET head = zeroblob(32) WHERE sequence = ?1",
            "DELETE FROM snapshot_parts WHERE sequence = ?1",
        ];
        self.change(damages[random.place(damages.len()).unwrap()], latest);
        Some(latest)
    }

    fn change(&self, statement: &str, sequence: u64) {
        let file = Connection::open(self.path()).unwrap();
        file.execute(statement, [i64::try_from(sequence).unwrap()]).unwrap();
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("snapshots.db")
}
