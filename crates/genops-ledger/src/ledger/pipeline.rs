//! Group commit, step by step: what has been applied, what is being written, what is durable, and who waits.
//!
//! Every step is a method that returns at once. There is no lock here, no thread, no clock and no disk: the shell
//! ([`Ledger`](super::Ledger)) takes the steps under its mutex, and the simulator takes the same steps in an order that
//! a seed chooses.

use genops_core::Timestamp;
use genops_core::ledger::{self, ApplyError, Books, Command, Entry};
use genops_core::person::Person;

use super::LedgerError;
use crate::store::{PersonStep, StoreError};

/// More than this much in memory, and nothing new is admitted.
const GATHERED_BYTES_MAX: usize = 64 << 20;

/// The books, and the entries on their way to the disk. `W` is one who waits for an entry to be durable.
#[derive(Debug)]
pub struct Pipeline<W> {
    books: Books,
    gathering: Gathering<W>,
    writing: Writing<W>,
    durable: u64,
    writer_sleeps: bool,
    short_of_space: bool,
    closing: bool,
    failure: Option<StoreError>,
}

/// Entries that have been applied and not yet handed to the writer.
#[derive(Debug)]
struct Gathering<W> {
    entries: Vec<Entry>,
    payload: Vec<u8>,
    /// Where each entry ends in the payload.
    ends: Vec<usize>,
    /// What they do to persons, in their order.
    persons: Vec<PersonStep>,
    waiters: Vec<W>,
    /// Somebody waits, and whoever else could join has had the time to.
    is_due: bool,
}

/// The batch that is being written: its last entry, and who waits for it.
#[derive(Debug)]
struct Writing<W> {
    last: u64,
    waiters: Vec<W>,
}

/// Entries in a row, for one frame.
#[derive(Debug)]
pub struct Batch {
    /// The sequence number of the first entry.
    pub first: u64,
    /// The entries; at least one.
    pub entries: Vec<Entry>,
    /// The same as bytes.
    pub payload: Vec<u8>,
    /// Where each entry ends among them.
    pub ends: Vec<usize>,
    /// What they do to persons, in their order.
    pub persons: Vec<PersonStep>,
}

/// What the writer has to do now.
#[derive(Debug)]
pub enum Next {
    /// Write this, and say what came of it.
    Write(Batch),
    /// Wait a moment: who brings or awaits an entry may call, and what nobody waits for gathers.
    Linger,
    /// Sleep until somebody calls.
    Sleep,
    /// Sleep until somebody calls, but look now and then whether there is space again.
    Measure,
    /// End: everything is written, or nothing may be written any more.
    End,
}

/// Why a command has no entry.
#[derive(Debug)]
pub enum NotSubmitted {
    /// The ledger does not take it. Nothing has changed.
    Refused(LedgerError),
    /// The books contradict themselves: [`Pipeline::fail`] with this, and tell everybody. Nothing more is taken already.
    Broken(StoreError),
}

impl<W> Pipeline<W> {
    /// A pipeline behind books of which every entry is durable.
    #[must_use]
    pub fn new(books: Books, short_of_space: bool) -> Self {
        let durable = books.sequence();
        Self {
            books,
            gathering: Gathering::with(Vec::new()),
            writing: Writing { last: durable, waiters: Vec::new() },
            durable,
            writer_sleeps: false,
            short_of_space,
            closing: false,
            failure: None,
        }
    }

    // === the callers' side ===

    /// Applies a command and lets its entry join the batch that is being gathered. Where the [writer
    /// sleeps](Self::writer_sleeps), call it. What is said of an AWU that has ended is not held against anything
    /// here: [`Ledger::submit_of`](crate::Ledger::submit_of) does that before.
    ///
    /// # Errors
    ///
    /// The command does not fit, or the ledger takes nothing.
    pub fn submit(&mut self, wall: Timestamp, command: Command) -> Result<Entry, NotSubmitted> {
        self.submit_with(wall, command, Vec::new())
    }

    /// As [`submit`](Self::submit), for a command that is the first to name these persons: they are kept with its entry,
    /// or not at all. The numbers of those that are taken in rise.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_with(
        &mut self,
        wall: Timestamp,
        command: Command,
        persons: Vec<Person>,
    ) -> Result<Entry, NotSubmitted> {
        self.accepts(&command).map_err(NotSubmitted::Refused)?;
        match ledger::apply(&mut self.books, wall, command) {
            Ok(entry) => match self.gathering.take_in(&entry, persons) {
                Ok(()) => Ok(entry),
                Err(what) => Err(self.broken(what)),
            },
            Err(ApplyError::Rejected(rejection)) => Err(NotSubmitted::Refused(rejection.into())),
            Err(ApplyError::Broken(mismatch)) => Err(self.broken(mismatch.to_string())),
        }
    }

    /// Takes in who waits for the entry `sequence`, which has been submitted; `waiter` is told whether it is the first
    /// of its batch, who has to see that the writer [is called](Self::call). Returns whether the entry is durable, so
    /// that there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// The ledger has failed; the entry may or may not be on the disk.
    pub fn wait(&mut self, sequence: u64, waiter: impl FnOnce(bool) -> W) -> Result<bool, LedgerError> {
        if sequence <= self.durable {
            return Ok(true);
        }
        if let Some(failure) = &self.failure {
            return Err(LedgerError::Failed(failure.clone()));
        }
        if sequence <= self.writing.last {
            self.writing.waiters.push(waiter(false));
        } else {
            let is_first = self.gathering.waiters.is_empty();
            self.gathering.waiters.push(waiter(is_first));
        }
        Ok(false)
    }

    /// Makes the batch that is being gathered due, if somebody waits for it. It may have been taken meanwhile; the one
    /// after it has a caller of its own.
    pub fn call(&mut self) {
        self.gathering.is_due |= !self.gathering.waiters.is_empty();
    }

    /// From now on the writer writes what there is and ends.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    // === the writer's side ===

    /// What the writer has to do: write at once if somebody waits for it, after a moment (`lingered`) if not. A batch is
    /// gathered in the place of the one that is taken, and may have `spare` for its bytes.
    pub fn next(&mut self, lingered: bool, spare: &mut Vec<u8>) -> Next {
        if self.failure.is_some() {
            // What has gathered does not follow from what is on the disk.
            return Next::End;
        }
        let is_empty = self.gathering.entries.is_empty();
        if !is_empty && (lingered || self.closing || self.gathering.is_due) {
            return Next::Write(self.take(std::mem::take(spare)));
        }
        if self.closing {
            return Next::End;
        }
        // Awake, the writer looks again by itself; asleep, it has to be called by whoever brings work.
        self.writer_sleeps = is_empty && lingered;
        match (self.writer_sleeps, self.short_of_space) {
            (false, _) => Next::Linger,
            (true, false) => Next::Sleep,
            (true, true) => Next::Measure,
        }
    }

    fn take(&mut self, spare: Vec<u8>) -> Batch {
        let Gathering { entries, payload, ends, persons, waiters, .. } =
            std::mem::replace(&mut self.gathering, Gathering::with(spare));
        self.writing = Writing { last: self.books.sequence(), waiters };
        Batch { first: self.durable.saturating_add(1), entries, payload, ends, persons }
    }

    /// The writer has waited as it was told to.
    pub const fn awake(&mut self) {
        self.writer_sleeps = false;
    }

    /// Whether there was too little free space when it was measured last.
    pub const fn is_short_of_space(&self) -> bool {
        self.short_of_space
    }

    /// Free space has been measured.
    pub const fn measured(&mut self, short_of_space: bool) {
        self.short_of_space = short_of_space;
    }

    /// The batch that was taken is durable. Those who are returned have waited for it and may be told.
    pub fn committed(&mut self, short_of_space: bool) -> Vec<W> {
        self.durable = self.writing.last;
        self.short_of_space = short_of_space;
        std::mem::take(&mut self.writing.waiters)
    }

    /// From now on nothing is acknowledged. Returns the first failure, which is the one that is told, and everybody who
    /// waits.
    pub fn fail(&mut self, error: StoreError) -> (StoreError, Vec<W>) {
        let failure = self.failure.get_or_insert(error).clone();
        let mut waiters = std::mem::take(&mut self.writing.waiters);
        waiters.append(&mut self.gathering.waiters);
        (failure, waiters)
    }

    // === looking ===

    /// The books. They may be ahead of the disk.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// The sequence number of the last durable entry.
    #[must_use]
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether the writer sleeps and has to be called by whoever brings work.
    #[must_use]
    pub const fn writer_sleeps(&self) -> bool {
        self.writer_sleeps
    }

    /// Why nothing is taken any more, if so.
    #[must_use]
    pub const fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    fn accepts(&self, command: &Command) -> Result<(), LedgerError> {
        let is_new = matches!(command, Command::Admit(_) | Command::Report(_));
        match self.admits() {
            // What runs can always be settled; only what is new waits for space.
            Err(LedgerError::ShortOfSpace | LedgerError::Overloaded) if !is_new => Ok(()),
            answer => answer,
        }
    }

    /// Whether new work is taken.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admits(&self) -> Result<(), LedgerError> {
        if let Some(failure) = &self.failure {
            return Err(LedgerError::Failed(failure.clone()));
        }
        if self.short_of_space {
            return Err(LedgerError::ShortOfSpace);
        }
        if self.gathering.payload.len() > GATHERED_BYTES_MAX {
            return Err(LedgerError::Overloaded);
        }
        Ok(())
    }

    /// In the same step: nobody may decide anything by these books.
    fn broken(&mut self, what: String) -> NotSubmitted {
        NotSubmitted::Broken(self.failure.get_or_insert(StoreError::Failed { what }).clone())
    }
}

impl<W> Gathering<W> {
    const fn with(payload: Vec<u8>) -> Self {
        Self {
            entries: Vec::new(),
            payload,
            ends: Vec::new(),
            persons: Vec::new(),
            waiters: Vec::new(),
            is_due: false,
        }
    }

    fn take_in(&mut self, entry: &Entry, persons: Vec<Person>) -> Result<(), String> {
        let payload = std::mem::take(&mut self.payload);
        self.payload = postcard::to_extend(entry, payload)
            .map_err(|error| format!("an entry cannot be encoded: {error}"))?;
        self.ends.push(self.payload.len());
        self.persons.extend(persons.into_iter().map(PersonStep::Keep));
        if let Command::Erase { pseudonym, .. } = &entry.command {
            self.persons.push(PersonStep::Erase(pseudonym.clone()));
        }
        self.entries.push(entry.clone());
        Ok(())
    }
}
