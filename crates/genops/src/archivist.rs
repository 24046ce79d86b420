//! The archivist: lets old entries leave the ledger's file for archives while the ledger decides, when somebody says so and
//! by the rule of [`Retention`]. Behind them the cells leave the books that only they were charged in.
//!
//! It reads what is durable, as everybody behind the writer does, and forgets in pieces, between which it waits longer than
//! the writer may have waited for it. What it is interrupted in, it goes on with at the next start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use genops_core::{Name, Timestamp};
use genops_ledger::background::step_back;
use genops_ledger::followers::Followers;
use genops_ledger::retention::{ArchiveError, Retiring, Through, close_cells_of};
use genops_ledger::views::Views;
use genops_ledger::witness::Head;
use genops_ledger::{Ledger, Posted, StoreError};
use tokio::sync::oneshot;

use crate::background::LET_OTHERS;
use crate::settings::Retention;

/// How often it looks whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it looks for what is too old, in nanoseconds.
const HOUR_NS: u64 = 3_600_000_000_000;

/// Who closes cells where the rule lets entries leave.
const AUTHOR: &str = "retention";

/// Which program archives say they were written by.
const WRITTEN_BY: &str = concat!("genops ", env!("CARGO_PKG_VERSION"));

/// After a piece, it waits so many times as long as that took.
const REST: u32 = 4;

/// It waits at least and at most so long.
const RESTS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));

type Report = Arc<dyn Fn(&str) + Send + Sync>;
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Those who write to the ledger's file beside the writer take turns: what one of them has begun would look to another like
/// what a crash has left.
pub type Turn = Arc<Mutex<()>>;

/// The thread. Dropping it stops it where it stands.
#[derive(Debug)]
pub struct Archivist {
    asks: Option<Sender<Ask>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopping: AtomicBool,
    /// Why nothing leaves by the rule.
    trouble: Mutex<Option<String>>,
}

/// What somebody wants to leave.
#[derive(Debug)]
struct Ask {
    through: Through,
    to: PathBuf,
    author: Name,
    answer: oneshot::Sender<Left>,
}

/// What an archive ends with, and the entry that closes cells, where there are any.
type Left = Result<(Head, Option<Posted>), ArchiveError>;

impl Archivist {
    /// Begins to look after the ledger, whose file only this process writes.
    pub fn start(ledger: Arc<Ledger>, work: Work) -> Result<Self, StoreError> {
        let (asks, asked) = mpsc::channel::<Ask>();
        let shared = Arc::<Shared>::default();
        let mut running =
            Running { ledger, work, shared: Arc::clone(&shared), looked: None, owes_closing: true };
        let run = move || {
            step_back();
            while !running.is_stopping() {
                running.look();
                match asked.recv_timeout(LOOK_EVERY) {
                    // Who does not wait any more has it all the same.
                    Ok(ask) => drop(ask.answer.send(running.archive(ask.through, &ask.to, ask.author))),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("genops-archive".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { asks: Some(asks), shared, thread: Some(thread) })
    }

    /// Lets entries leave for the new file `to`.
    pub async fn archive(&self, through: Through, to: PathBuf, author: Name) -> Left {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { through, to, author, answer };
        match &self.asks {
            Some(asks) if asks.send(ask).is_ok() => answered.await.unwrap_or(Err(ArchiveError::BrokenOff)),
            _ => Err(ArchiveError::BrokenOff),
        }
    }

    /// Why nothing leaves by the rule, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Archivist {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        drop(self.asks.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; what it has left undone is done after the next start.
            let _ = thread.join();
        }
    }
}

/// What the archivist works with.
pub struct Work {
    /// The ledger's file.
    pub path: PathBuf,
    /// The query tables, and what the followers of the journal have left.
    pub views: Arc<Mutex<Views>>,
    /// By which rule entries leave by themselves.
    pub retention: Option<Retention>,
    /// With whom it takes turns.
    pub turn: Turn,
    /// Tells the time.
    pub clock: Clock,
    /// Takes notices for people.
    pub report: Report,
}

struct Running {
    ledger: Arc<Ledger>,
    work: Work,
    shared: Arc<Shared>,
    /// When it looked last for what is too old.
    looked: Option<Timestamp>,
    /// Whether there may be cells of entries that have left.
    owes_closing: bool,
}

impl Running {
    /// Forgets what the last time was interrupted in forgetting, by whatever rule.
    fn go_on_forgetting(&self) {
        if self.ledger.archived() == 0 {
            return;
        }
        match self.retiring(|retiring| retiring.forget()) {
            Ok(()) | Err(ArchiveError::BrokenOff) => {}
            Err(error) => (self.work.report)(&format!(
                "what has left for an archive before takes up space in the ledger's file; it is tried again every hour: {error}"
            )),
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::SeqCst)
    }

    /// Goes on with what was interrupted, and lets leave what is too old, where it is time to look.
    fn look(&mut self) {
        let now = (self.work.clock)();
        if !is_time(self.looked, now) || self.ledger.failure().is_some() {
            return;
        }
        self.looked = Some(now);
        self.go_on_forgetting();
        let Some(Retention { keep, archive_to }) = self.work.retention.clone() else { return };
        let folder = archive_to.display();
        match self.by_age(keep, &archive_to, now) {
            Ok(left) => {
                if let Some(Head { sequence, .. }) = left {
                    (self.work.report)(&format!("the entries through {sequence} have left for an archive in `{folder}`"));
                }
                let closed = self.close(Name::nearest(AUTHOR));
                self.told(closed.err().map(|error| {
                    format!("the cells of what has left stay in the books; it is tried again every hour: {error}")
                }));
            }
            Err(ArchiveError::BrokenOff) => {}
            Err(error) => self.told(Some(format!(
                "what is too old does not leave the ledger for `{folder}`, and it grows; it is tried again every hour: {error}"
            ))),
        }
    }

    fn by_age(
        &mut self,
        keep: Duration,
        folder: &Path,
        now: Timestamp,
    ) -> Result<Option<Head>, ArchiveError> {
        let left = self.retiring(|retiring| retiring.retire_older(keep, folder, now))?;
        self.owes_closing |= left.is_some();
        Ok(left)
    }

    fn archive(&mut self, through: Through, to: &Path, author: Name) -> Left {
        let head = self.retiring(|retiring| retiring.retire(through, to))?;
        self.owes_closing = true;
        let closed = self.close(author).unwrap_or_else(|error| {
            let what = "the entries have left, and their cells stay in the books until the next archive";
            (self.work.report)(&format!("{what}: {error}"));
            None
        });
        Ok((head, closed))
    }

    fn close(&mut self, author: Name) -> Result<Option<Posted>, ArchiveError> {
        if !self.owes_closing {
            return Ok(None);
        }
        let closed = close_cells_of(&self.ledger, author, (self.work.clock)())?;
        // Where everything that is durable has left, nobody can say yet what stays.
        let is_known = *self.ledger.watch().borrow() > self.ledger.archived();
        self.owes_closing = closed.is_none() && !is_known;
        Ok(closed)
    }

    fn retiring<T>(
        &self,
        work: impl FnOnce(Retiring<'_>) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let _turn = self.work.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopping() {
            return Err(ArchiveError::BrokenOff);
        }
        let durable = *self.ledger.watch().borrow();
        let (followers, tables) = self.followers()?;
        work(Retiring {
            ledger: &self.work.path,
            durable,
            followers: &followers,
            tables: Some(tables),
            written_by: WRITTEN_BY.to_owned(),
            go_on: &|held| self.go_on(held),
            noted: &|through| self.ledger.leave(through),
        })
    }

    /// What the followers of the journal have left, and the first entry that the tables read yet.
    fn followers(&self) -> Result<(Followers, u64), ArchiveError> {
        let mut journal = self.ledger.journal()?;
        let views = || self.work.views.lock().unwrap_or_else(PoisonError::into_inner);
        // What they cannot take in now stays.
        while matches!(views().step(&mut journal), Ok(true)) {
            if !self.go_on(Duration::ZERO) {
                return Err(ArchiveError::BrokenOff);
            }
            std::thread::sleep(LET_OTHERS);
        }
        let views = views();
        Ok((views.followers()?, views.reads_from()))
    }

    /// Waits until whoever writes has had more of the file than was taken from them; `false` where it is to stop.
    fn go_on(&self, held: Duration) -> bool {
        if !held.is_zero() && !self.is_stopping() {
            std::thread::sleep(held.saturating_mul(REST).clamp(RESTS.0, RESTS.1));
        }
        !self.is_stopping()
    }

    /// Keeps what is wrong for whoever asks, and tells it where it is news.
    fn told(&self, trouble: Option<String>) {
        let mut known = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let news = trouble.clone().filter(|_| *known != trouble);
        *known = trouble;
        drop(known);
        if let Some(news) = news {
            (self.work.report)(&news);
        }
    }
}

/// Whether it is time to look: at a start, every hour, and where the clock has gone back.
fn is_time(looked: Option<Timestamp>, now: Timestamp) -> bool {
    looked.is_none_or(|looked| now < looked || now.nanos_since(looked) >= HOUR_NS)
}
