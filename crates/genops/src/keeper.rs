//! The keeper: looks every moment for holders who are silent beyond their deadline, for grants whose time is over, and at
//! the clock.
//!
//! Deadlines are kept by how much time has really passed. Where the wall clock jumps forward, or this process was not
//! there to hear them, the holders get their time again; a clock that goes back is told of, and the ledger's time stands
//! still until it has caught up.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use genops_core::Timestamp;
use genops_core::awu::AwuId;
use genops_core::ledger::{Books, Command};
use genops_ledger::background::step_back;
use genops_ledger::{Ledger, StoreError};

use crate::clock;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many AWUs are expired at a time, so that the books are not held for long.
const AT_A_TIME: usize = 256;

/// So many grants are let go of at a time: the end of one may look at every cell.
const LAPSES_AT_A_TIME: usize = 32;

/// A wall clock that is so far from the time that has passed has been set.
const JUMP_NS: u64 = 60_000_000_000;

/// A wall clock that is so far behind the ledger is told of.
const BEHIND_NS: u64 = 1_000_000_000;

type Report = Arc<dyn Fn(&str) + Send + Sync>;
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The thread that keeps deadlines. Dropping it stops it.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(ledger: Arc<Ledger>, clock: Clock, report: Report) -> Result<Self, StoreError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut watch = Watch::default();
        let work = move || {
            step_back();
            let begun = Instant::now();
            loop {
                let (wall, passed) = (clock(), begun.elapsed());
                ledger.measure();
                let looked = ledger.read(|books| watch.look(books, wall, passed));
                // A ledger that has failed keeps no deadlines; its owner has been told.
                let Ok(mut look) = looked else { return };
                look.notices.extend(watch.look_ahead(clock::held_back()));
                look.notices.iter().for_each(|notice| report(notice));
                for command in look.commands {
                    // What has been settled meanwhile does not fit any more.
                    let _ = ledger.submit(wall, command);
                }
                if !matches!(stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("genops-keeper".to_owned()).spawn(work);
        let thread = thread.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; what it would have expired is expired after the next start.
            let _ = thread.join();
        }
    }
}

/// What the keeper knows from one look to the next.
#[derive(Debug, Default)]
struct Watch {
    /// The wall clock at the last look, and how long the keeper had run.
    last: Option<(Timestamp, Duration)>,
    /// Whether somebody was told that the clock is behind.
    told_behind: bool,
    /// Whether somebody was told that the wall clock is held back.
    told_held: bool,
}

/// What one look comes to.
#[derive(Debug, Default)]
struct Look {
    commands: Vec<Command>,
    notices: Vec<String>,
}

impl Watch {
    fn look(&mut self, books: &Books, wall: Timestamp, passed: Duration) -> Look {
        let mut look = Look::default();
        let last = self.last.replace((wall, passed));
        self.look_back(books, wall, &mut look);
        let lapsing = books.lapsing(wall.max(books.at()), LAPSES_AT_A_TIME);
        look.commands.extend(lapsing.into_iter().map(|grant| Command::Lapse { grant }));
        let held = || books.overdue(Timestamp::from_nanos(u64::MAX), usize::MAX).into_iter();
        let Some((last_wall, last_passed)) = last else {
            // Nobody could be heard before this process was there. More time never takes any away.
            look.commands.extend(held().filter_map(|awu| again(books, awu)));
            return look;
        };
        let really = u64::try_from(passed.saturating_sub(last_passed).as_nanos()).unwrap_or(u64::MAX);
        let jump = wall.nanos_since(last_wall).saturating_sub(really);
        if jump > JUMP_NS {
            look.notices.push(format!(
                "the clock has jumped {} s forward: holders of AWUs get the time that they had left; budgets and \
                 rates go by the new time",
                jump / 1_000_000_000
            ));
            look.commands.extend(held().filter_map(|awu| left(books, awu, last_wall)));
            return look;
        }
        let late = books.overdue(wall, AT_A_TIME);
        look.commands.extend(late.into_iter().map(|awu| Command::Expire { awu }));
        look
    }

    /// What is to be told where the wall clock is held back.
    fn look_ahead(&mut self, held_back: Duration) -> Option<String> {
        let is_held = !held_back.is_zero();
        let is_news = is_held && !self.told_held;
        self.told_held = is_held;
        is_news.then(|| clock::told_ahead(held_back))
    }

    fn look_back(&mut self, books: &Books, wall: Timestamp, look: &mut Look) {
        let behind = books.at().nanos_since(wall);
        if behind > BEHIND_NS && !self.told_behind {
            look.notices.push(clock::told_behind(Duration::from_nanos(behind)));
        }
        self.told_behind = behind > BEHIND_NS;
    }
}

/// Gives a holder all of its time again.
fn again(books: &Books, awu: AwuId) -> Option<Command> {
    let within_ns = books.open_awu(awu)?.request.within_ns?;
    Some(Command::Extend { awu, within_ns })
}

/// Gives a holder the time that it had left at `at`.
fn left(books: &Books, awu: AwuId, at: Timestamp) -> Option<Command> {
    let within_ns = books.open_awu(awu)?.deadline?.nanos_since(at);
    Some(Command::Extend { awu, within_ns })
}
