//! The thread that makes snapshots of the books behind the writer, so that the next start reads little.
//!
//! It folds the journal into books of its own, from the latest snapshot on, and never takes the writer's lock; between
//! two snapshots it holds no books. What does not hold together is not made a snapshot of.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use genops_ledger::background::step_back;
use genops_ledger::recover::{Recovered, take_snapshot};
use genops_ledger::{OpenError, StoreError};
use tokio::sync::watch;

use crate::archivist::Turn;

/// How often it looks how far the journal has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many snapshots are kept: where the latest is damaged, there is one more.
const KEPT: usize = 2;

type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// After how many entries a snapshot is made.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// While the ledger is open: some seconds of reading at the next start.
    pub running: u64,
    /// When it is closed: less would be read in no time.
    pub closing: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { running: 200_000, closing: 5_000 }
    }
}

/// The thread. Dropping it makes a last snapshot, where there is enough to make one of, and stops it.
#[derive(Debug)]
pub struct Snapshotter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Snapshotter {
    /// Follows the ledger at `path`, of which `recovered` was found and `durable` is the last durable entry.
    pub fn start(
        path: &Path,
        recovered: Recovered,
        durable: watch::Receiver<u64>,
        pace: Pace,
        turn: Turn,
        report: Report,
    ) -> Result<Self, StoreError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut made = Made { path: path.to_owned(), through: recovered.snapshot, turn, report };
        let work = move || {
            step_back();
            while matches!(stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
                made.keep_up(*durable.borrow(), pace.running);
            }
            made.keep_up(*durable.borrow(), pace.closing);
        };
        let thread = std::thread::Builder::new().name("genops-books".to_owned()).spawn(work);
        let thread = thread.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; without a snapshot the next start reads more.
            let _ = thread.join();
        }
    }
}

/// The latest snapshot that was made, or could not be.
struct Made {
    path: PathBuf,
    through: u64,
    turn: Turn,
    report: Report,
}

impl Made {
    fn keep_up(&mut self, durable: u64, every: u64) {
        if durable.saturating_sub(self.through) < every {
            return;
        }
        self.through = durable;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match take_snapshot(&self.path, durable, KEPT) {
            Ok(_) => {}
            // A disk that is full says so at every commit, too; what is wrong with the journal nobody else has seen.
            Err(error) => (self.report)(&told(&error)),
        }
    }
}

fn told(error: &OpenError) -> String {
    match error {
        OpenError::Store(error) => format!(
            "no snapshot of the books could be made, so the next start will take longer; it is tried again later: {error}"
        ),
        error => format!("the ledger on the disk does not hold; run `genops verify`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use genops_core::Timestamp;
    use genops_core::ledger::{Books, Command};
    use genops_core::policy::Policy;
    use genops_ledger::recover;
    use genops_ledger::snapshots::Snapshots;
    use genops_ledger::sqlite::SqliteStore;

    use super::*;

    async fn entry(ledger: &genops_ledger::Ledger, remember_ns: u64) {
        let policy = Policy { remember_ns, ..Policy::unrestricted() };
        let posted = ledger.submit(Timestamp::default(), Command::AdoptPolicy(Arc::new(policy))).unwrap();
        posted.durable().await.unwrap();
    }

    #[tokio::test]
    async fn snapshots_are_made_while_it_runs_and_when_it_is_closed_and_the_next_start_uses_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genops.db");
        let open =
            async || recover::open(SqliteStore::open(&path).unwrap(), Timestamp::default()).await.unwrap();
        let start = |ledger: &genops_ledger::Ledger, recovered, running| {
            let report: Report = Arc::new(|notice| panic!("{notice}"));
            let pace = Pace { running, closing: 3 };
            Snapshotter::start(&path, recovered, ledger.watch(), pace, Turn::default(), report).unwrap()
        };
        let list = || Snapshots::read(&path).unwrap().list().unwrap();

        let (ledger, recovered) = open().await;
        let snapshotter = start(&ledger, recovered, 4);
        for number in 1..=4 {
            entry(&ledger, number).await;
        }
        while list() != [4] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        entry(&ledger, 5).await;
        drop(snapshotter);
        assert_eq!(list(), [4], "one more entry is not worth a snapshot");
        drop(ledger);

        let (ledger, recovered) = open().await;
        assert_eq!((recovered.entries, recovered.snapshot), (5, 4));
        for (through, kept) in [(7, vec![7, 4]), (10, vec![10, 7])] {
            let snapshotter = start(&ledger, recovered, u64::MAX);
            while ledger.read(Books::sequence).unwrap() < through {
                entry(&ledger, 100 + ledger.read(Books::sequence).unwrap()).await;
            }
            drop(snapshotter);
            assert_eq!(list(), kept);
        }
        let books = ledger.read(Books::clone).unwrap();
        drop(ledger);
        let (ledger, recovered) = open().await;
        assert_eq!((recovered.entries, recovered.snapshot), (10, 10));
        assert_eq!(ledger.read(Books::clone).unwrap(), books);
    }
}
