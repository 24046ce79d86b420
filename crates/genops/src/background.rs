//! What runs behind the writer: the feed that the outbox reads from, which knows persons, and the indexer of the query tables.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use genops_core::Name;
use genops_core::cursor::{Cursor, DeadLetter};
use genops_core::record::Journaled;
use genops_ledger::background::step_back;
use genops_ledger::views::Views;
use genops_ledger::{Journal, Journals, StoreError};
use genops_telemetry::outbox::{Entries, Source};
use tokio::sync::watch;

use crate::persons::Persons;

/// How often the query tables are brought up to date when nobody asks.
const INDEX_EVERY: Duration = Duration::from_secs(1);

/// Between two stretches. A lock that is let go and taken again at once is had by nobody else.
pub const LET_OTHERS: Duration = Duration::from_millis(1);

/// How long it takes its last steps when it is stopped.
const LAST_STEPS: Duration = Duration::from_secs(2);

type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// The journal, the cursors and the dead letters, as the outbox wants them.
pub struct Feed {
    journals: Journals,
    persons: Arc<Persons>,
    views: Arc<Mutex<Views>>,
    report: Report,
}

impl Feed {
    pub fn new(journals: Journals, persons: Arc<Persons>, views: Arc<Mutex<Views>>, report: Report) -> Self {
        Self { journals, persons, views, report }
    }

    fn with_views<T>(&self, look: impl FnOnce(&mut Views) -> Result<T, StoreError>) -> Result<T, String> {
        look(&mut self.views.lock().unwrap_or_else(PoisonError::into_inner))
            .map_err(|error| error.to_string())
    }
}

impl Source for Feed {
    fn entries(&self) -> Result<Box<dyn Entries>, String> {
        let journal = self.journals.open().map_err(|error| error.to_string())?;
        Ok(Box::new(Reading(journal, Arc::clone(&self.persons))))
    }

    fn cursor(&self, follower: &str) -> Result<Cursor, String> {
        self.with_views(|views| views.cursor(follower))
    }

    fn archived(&self) -> Result<u64, String> {
        let archived = self.journals.open().and_then(|mut journal| journal.archived());
        archived.map_err(|error| error.to_string())
    }

    fn move_cursor(&self, follower: &str, cursor: Cursor) -> Result<(), String> {
        self.with_views(|views| views.move_cursor(follower, cursor))
    }

    fn bury(&self, letter: &DeadLetter) -> Result<(), String> {
        self.with_views(|views| views.bury(letter))
    }

    fn to_resend(&self, follower: &str) -> Result<Vec<(u64, DeadLetter)>, String> {
        self.with_views(|views| views.marked_dead_letters(follower))
    }

    fn resent(&self, numbers: &[u64], rejected: &[DeadLetter]) -> Result<(), String> {
        self.with_views(|views| views.replace_dead_letters(numbers, rejected))
    }

    fn erasures(&self) -> watch::Receiver<u64> {
        self.persons.erasures()
    }

    fn report(&self, notice: &str) {
        (self.report)(notice);
    }
}

struct Reading(Journal, Arc<Persons>);

impl Entries for Reading {
    fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, String> {
        self.0.after(sequence).map_err(|error| error.to_string())
    }

    fn person(&mut self, pseudonym: &Name) -> Result<Option<Name>, String> {
        self.1.value(pseudonym).map_err(|error| error.to_string())
    }
}

/// Keeps the query tables near the end of the journal, a stretch at a time, so that nobody who asks, and no
/// cursor that moves, waits for long.
#[derive(Debug)]
pub struct Indexer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    pub fn start(journals: &Journals, views: Arc<Mutex<Views>>, report: Report) -> Result<Self, StoreError> {
        let mut journal = journals.open()?;
        let (stop, stopped) = mpsc::channel::<()>();
        let work = move || {
            step_back();
            follow(&stopped, &report, || {
                // The lock is let go before anybody is told anything.
                views.lock().unwrap_or_else(PoisonError::into_inner).step(&mut journal)
            });
        };
        let thread = std::thread::Builder::new().name("genops-views".to_owned()).spawn(work);
        let thread = thread.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Steps to the end of the journal again and again, and once more when it is stopped: what the tables lack then they may not
/// have the time to take in before it leaves for an archive.
fn follow(stopped: &Receiver<()>, report: &Report, mut step: impl FnMut() -> Result<bool, StoreError>) {
    let mut until = None;
    while until.is_none() {
        if !matches!(stopped.recv_timeout(INDEX_EVERY), Err(RecvTimeoutError::Timeout)) {
            until = Some(Instant::now() + LAST_STEPS);
        }
        loop {
            match step() {
                Ok(true) => std::thread::sleep(LET_OTHERS),
                Ok(false) => break,
                Err(error) => {
                    report(&format!("the query tables cannot follow the journal: {error}"));
                    break;
                }
            }
            if until.is_none() && !matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
                until = Some(Instant::now() + LAST_STEPS);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The indexer does not panic; its tables can be built anew.
            let _ = thread.join();
        }
    }
}
