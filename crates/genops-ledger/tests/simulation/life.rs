//! One life of the process that holds a ledger: callers, the writer and the clock take their steps in an order that the
//! seed chooses, and some of the steps fail. It ends when the process dies, fails, or is closed.
//!
//! What the shell does with a lock, a thread and wake-ups is done here by hand, over the same pipeline and writer.

use std::collections::VecDeque;

use genops_core::Timestamp;
use genops_core::ledger::Command;
use genops_ledger::LedgerError;
use genops_ledger::ledger::pipeline::{Batch, Next, NotSubmitted, Pipeline};
use genops_ledger::ledger::writer::Writer;
use genops_ledger::recover::Replayed;
use genops_ledger::tail::Tail;

use crate::disk::{Disk, Fate};
use crate::persons::Persons;
use crate::{World, work};

const CALLERS: usize = 6;

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Died,
    Failed,
    Closed,
}

/// One who waits for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket {
    caller: usize,
    sequence: u64,
}

/// What the writer's thread is at.
enum Hand {
    Looks,
    Sleeps,
    Measures,
    Holds(Batch),
    Wrote,
    Ended,
}

pub struct Life<'a> {
    world: &'a mut World,
    pipeline: Pipeline<Ticket>,
    writer: Writer<Disk>,
    persons: Persons,
    hand: Hand,
    lingered: bool,
    /// Somebody has called the writer while it slept.
    called: bool,
    /// So many tasks have still to call the writer for its batch.
    calls: u32,
    spare: Vec<u8>,
    /// The entry that each caller waits for.
    waiting: [Option<u64>; CALLERS],
    /// What the last process left open, before anybody may ask for more.
    resolutions: VecDeque<Command>,
}

impl<'a> Life<'a> {
    /// A process has read the journal.
    pub fn new(world: &'a mut World, replayed: Replayed) -> Self {
        let open = replayed.books.open_awus();
        let resolutions = open.iter().filter_map(|(awu, open)| work::resolution(*awu, open)).collect();
        let writer = Writer::new(world.disk.clone(), Tail::default(), replayed.head);
        let pipeline = Pipeline::new(replayed.books, writer.is_short_of_space());
        let persons = Persons::found(&world.disk);
        Self {
            world,
            pipeline,
            writer,
            persons,
            hand: Hand::Looks,
            lingered: false,
            called: false,
            calls: 0,
            spare: Vec::new(),
            waiting: [None; CALLERS],
            resolutions,
        }
    }

    /// Lives for so many steps at most.
    pub fn run(mut self, steps: u64) -> Result<Ended, String> {
        for _ in 0..steps {
            if let Some(ended) = self.step()? {
                self.world.history.check_books(self.pipeline.books())?;
                return Ok(ended);
            }
        }
        self.close()
    }

    fn step(&mut self) -> Result<Option<Ended>, String> {
        match self.world.random.below(32) {
            0..=11 => self.submit()?,
            12..=13 => self.ask_for_an_earlier_one()?,
            14..=18 => self.call(),
            19..=28 => return self.write(),
            29 => self.world.pass_time(),
            30 if self.world.plan.is_calm || !self.world.random.one_in(6) => self.world.pass_time(),
            30 => {
                if !self.world.snapshot()? {
                    self.world.say(|| "the process dies while it makes a snapshot".to_owned());
                    self.world.counts.killed += 1;
                    return Ok(Some(Ended::Died));
                }
            }
            _ => {
                if !self.world.plan.is_calm && self.world.random.one_in(24) {
                    self.world.say(|| "the process is killed".to_owned());
                    self.world.counts.killed += 1;
                    return Ok(Some(Ended::Died));
                }
            }
        }
        Ok(None)
    }

    /// Writes what there is, with whatever befalls that, and ends.
    fn close(mut self) -> Result<Ended, String> {
        self.world.say(|| "closes".to_owned());
        self.pipeline.close();
        self.notify();
        let ended = loop {
            if let Some(ended) = self.write()? {
                break ended;
            }
        };
        self.world.history.check_books(self.pipeline.books())?;
        let (submitted, durable) = (self.pipeline.books().sequence(), self.world.disk.through());
        if ended == Ended::Closed && (submitted != durable || self.waiting.iter().any(Option::is_some)) {
            return Err(format!("closed at {durable} of {submitted}; waiting: {:?}", self.waiting));
        }
        Ok(ended)
    }

    // === callers ===

    fn submit(&mut self) -> Result<(), String> {
        let Some(caller) = self.idle() else { return Ok(()) };
        let (command, new, is_resolution) = match self.resolutions.pop_front() {
            Some(command) => (command, Vec::new(), true),
            None => {
                self.world.number += 1;
                let number = self.world.number;
                let (books, journal) = (self.pipeline.books(), self.world.history.applied());
                let command = work::command(&mut self.world.random, books, journal, number);
                let (command, new) = self.persons.enter(&mut self.world.random, command);
                (command, new, false)
            }
        };
        let (wall, is_new) = (self.world.wall(), work::is_new(&command));
        let before = self.pipeline.books().sequence();
        match self.pipeline.submit_with(wall, command, new.clone()) {
            Ok(entry) => {
                self.world.history.apply(&entry, wall, &new)?;
                self.persons.entered(&entry, new);
                self.world.counts.entries += 1;
                if self.pipeline.writer_sleeps() {
                    self.notify();
                }
                self.world.say(|| format!("caller {caller}: entry {}: {:?}", entry.sequence, entry.outcome));
                // Who resolves waits for the last of them; others for most.
                let waits =
                    if is_resolution { self.resolutions.is_empty() } else { !self.world.random.one_in(4) };
                if waits { self.wait(caller, entry.sequence) } else { Ok(()) }
            }
            Err(NotSubmitted::Broken(error)) => Err(format!("the books are broken: {error}")),
            Err(NotSubmitted::Refused(error)) => {
                self.world.counts.not_taken += 1;
                let is_right = match (&error, self.pipeline.failure()) {
                    (LedgerError::Failed(why), Some(failure)) => why == failure,
                    (LedgerError::Rejected(_), None) => !is_resolution,
                    (LedgerError::ShortOfSpace, None) => is_new,
                    _ => false,
                };
                let changed = self.pipeline.books().sequence() != before;
                if is_right && !changed { Ok(()) } else { Err(format!("not taken: {error} ({wall:?})")) }
            }
        }
    }

    /// Somebody who has read the books waits until what they rest on is durable.
    fn ask_for_an_earlier_one(&mut self) -> Result<(), String> {
        let through = self.pipeline.books().sequence();
        let back = self.world.random.below(6);
        match self.idle() {
            Some(caller) if through > back => self.wait(caller, through - back),
            _ => Ok(()),
        }
    }

    fn wait(&mut self, caller: usize, sequence: u64) -> Result<(), String> {
        let mut calls = 0;
        let waited = self.pipeline.wait(sequence, |is_first| {
            calls = u32::from(is_first);
            Ticket { caller, sequence }
        });
        self.calls += calls;
        match (waited, self.pipeline.failure()) {
            (Ok(true), _) => self.world.tell(sequence),
            (Ok(false), None) => {
                self.waiting[caller] = Some(sequence);
                Ok(())
            }
            (Err(LedgerError::Failed(why)), Some(failure)) if why == *failure => Ok(()),
            (other, _) => Err(format!("who waits for entry {sequence} hears {other:?}")),
        }
    }

    fn call(&mut self) {
        if self.calls > 0 {
            self.calls -= 1;
            self.pipeline.call();
            self.notify();
        }
    }

    fn notify(&mut self) {
        // Nobody hears it who does not sleep.
        self.called |= matches!(self.hand, Hand::Sleeps | Hand::Measures);
    }

    fn idle(&mut self) -> Option<usize> {
        let caller = self.world.random.place(CALLERS)?;
        self.waiting[caller].is_none().then_some(caller)
    }

    // === the writer ===

    fn write(&mut self) -> Result<Option<Ended>, String> {
        match std::mem::replace(&mut self.hand, Hand::Looks) {
            Hand::Looks => self.look(),
            Hand::Sleeps if self.called => {
                self.called = false;
                self.lingered = false;
                self.pipeline.measured(self.writer.is_short_of_space());
                self.pipeline.awake();
            }
            Hand::Sleeps => {
                self.hand = Hand::Sleeps;
                self.check_that_it_may_sleep()?;
            }
            Hand::Measures => {
                self.called = false;
                self.pipeline.awake();
                self.pipeline.measured(self.writer.is_short_of_space());
            }
            Hand::Holds(batch) => return self.append(batch),
            Hand::Wrote => {
                let told = self.pipeline.committed(self.writer.is_short_of_space());
                self.told(&told)?;
            }
            Hand::Ended => {
                self.hand = Hand::Ended;
                return Ok(Some(if self.pipeline.failure().is_some() {
                    Ended::Failed
                } else {
                    Ended::Closed
                }));
            }
        }
        Ok(None)
    }

    fn look(&mut self) {
        self.hand = match self.pipeline.next(self.lingered, &mut self.spare) {
            Next::Write(batch) => {
                self.lingered = false;
                Hand::Holds(batch)
            }
            Next::Linger => {
                self.pipeline.awake();
                self.lingered = self.world.random.one_in(2);
                Hand::Looks
            }
            Next::Sleep => Hand::Sleeps,
            Next::Measure => Hand::Measures,
            Next::End => Hand::Ended,
        };
    }

    fn append(&mut self, batch: Batch) -> Result<Option<Ended>, String> {
        let fate = self.world.fate();
        self.world.say(|| format!("appends {} entries from {}: {fate:?}", batch.entries.len(), batch.first));
        self.world.disk.set_fate(fate);
        match self.writer.write(batch) {
            Ok(spare) => {
                self.spare = spare;
                self.hand = Hand::Wrote;
                Ok(None)
            }
            Err(_) if self.world.disk.is_dead() => Ok(Some(Ended::Died)),
            Err(error) => {
                let (first, told) = self.pipeline.fail(error.clone());
                self.hand = Hand::Looks;
                let mut tickets: Vec<_> = told.iter().map(|ticket| ticket.caller).collect();
                tickets.sort_unstable();
                let waiting: Vec<_> = (0..CALLERS).filter(|caller| self.waiting[*caller].is_some()).collect();
                self.waiting = [None; CALLERS];
                if first == error && tickets == waiting {
                    Ok(None)
                } else {
                    Err(format!("{waiting:?} wait; {tickets:?} are told of the failure {first}"))
                }
            }
        }
    }

    /// The batch is durable, and these are told.
    fn told(&mut self, tickets: &[Ticket]) -> Result<(), String> {
        for ticket in tickets {
            if self.waiting[ticket.caller].take() != Some(ticket.sequence) {
                return Err(format!("{ticket:?} is told, and does not wait"));
            }
            self.world.tell(ticket.sequence)?;
        }
        let durable = self.pipeline.durable();
        if durable != self.world.disk.through() {
            return Err(format!("the ledger takes {durable} for durable"));
        }
        match self.waiting.iter().flatten().find(|sequence| **sequence <= durable) {
            Some(forgotten) => Err(format!("entry {forgotten} is durable, and who waits is not told")),
            None => Ok(()),
        }
    }

    /// A writer that sleeps without being called has nothing to do, and nobody waits.
    fn check_that_it_may_sleep(&self) -> Result<(), String> {
        let waits = self.waiting.iter().any(Option::is_some) && self.calls == 0;
        if waits || self.pipeline.durable() != self.pipeline.books().sequence() {
            return Err(format!("the writer sleeps, and {:?} wait", self.waiting));
        }
        Ok(())
    }
}

/// What befalls an append.
impl World {
    fn fate(&mut self) -> Fate {
        let kept = self.random.one_in(2);
        let fate = match self.random.below(160) {
            0 => Fate::Full,
            1..=2 => Fate::SyncFails { kept },
            3..=5 => Fate::Dies { kept },
            6 => Fate::Tears,
            7..=16 if self.plan.lies => Fate::Lies,
            _ => Fate::Kept,
        };
        match self.plan.fate_of {
            Some((append, planned)) if append == self.disk.appends() => planned,
            _ if self.plan.is_calm => Fate::Kept,
            _ => fate,
        }
    }

    fn tell(&mut self, sequence: u64) -> Result<(), String> {
        self.counts.told += 1;
        self.history.tell(sequence, self.disk.through())
    }

    /// What the clock of the wall says.
    fn wall(&mut self) -> Timestamp {
        self.now = self.now.saturating_add(self.random.below(50_000_000));
        Timestamp::from_nanos(self.now)
    }

    /// The clock jumps, or the free space changes.
    fn pass_time(&mut self) {
        const DAY: u64 = 86_400_000_000_000;
        match self.random.below(6) {
            0 => self.now = self.now.saturating_sub(self.random.below(3 * DAY)),
            1 => self.now = self.now.saturating_add(self.random.below(40 * DAY)),
            2..=3 => self.now = self.now.saturating_add(self.random.below(DAY / 86_400 * 20)),
            4 if self.random.one_in(4) => self.disk.set_free_bytes(Some(1 << 20)),
            _ => self.disk.set_free_bytes(Some(1 << 40)),
        }
        let now = self.now;
        self.say(|| format!("the clock says {now}, or the free space is another"));
    }
}
