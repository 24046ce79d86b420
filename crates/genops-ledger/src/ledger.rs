//! The books behind a mutex, and group commit: many callers, one order, one thread that writes.
//!
//! A caller applies its command to the books under a short lock, and its entry joins the batch that is
//! being gathered. The writer takes the whole batch while the disk syncs the one before; so one sync
//! carries whatever gathered meanwhile, and no timer holds a caller up. On a runtime of one
//! thread the first who waits lets the others that can run join before it calls the writer. An outcome may be told once its
//! entry is durable ([`Posted::durable`]); an entry that nobody waits for rides along with the next batch.
//!
//! After a failed commit nothing is acknowledged any more: the books in memory are ahead of the disk, and
//! only opening the ledger anew brings the two together.
//!
//! What may happen when is decided in [`pipeline`], what is written in [`writer`]. Here are the lock, the thread and the
//! wake-ups.

pub mod pipeline;
pub mod writer;

mod waiters;

#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use genops_core::audit::hold;
use genops_core::ledger::{Books, Command, Entry, Rejection};
use genops_core::person::Person;
use genops_core::record::AwuRecord;
use genops_core::{Digest, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::journal::{Journal, Journals};
use crate::store::{PersonReader, Persons, Store, StoreError};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard, Runtime};
use crate::tail::Tail;
use pipeline::{Batch, Next, NotSubmitted, Pipeline};
use waiters::{Handed, Others, Teller, Waiter, tell_batch};
use writer::Writer;

/// How long an entry that nobody waits for may stay in memory.
const LINGER: Duration = Duration::from_millis(5);

/// How often free space is measured while there is too little of it and nothing is written.
const MEASURE: Duration = Duration::from_secs(1);

/// Below this much free space, nothing new is admitted; what has been admitted can still settle.
pub const FREE_BYTES_MIN: u64 = 64 << 20;

/// A ledger, open for writing. Dropping it writes what has gathered.
pub struct Ledger {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    journals: Journals,
    persons: Persons,
    tail: Tail,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Pipeline<Waiter>>,
    work: Condvar,
    durable: watch::Sender<u64>,
}

/// An entry that has its place in the order, and is on its way to the disk.
#[derive(Debug)]
pub struct Posted {
    /// The entry. Nobody may be told of it before it is [durable](Self::durable).
    pub entry: Entry,
    shared: Arc<Shared>,
}

/// Why the ledger did not take a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The command does not fit the AWU's state. Nothing has changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// What is said of an AWU is not so, or nobody has held it against the AWU's record. Nothing has changed.
    #[error("what is said of the AWU is not so: {what}")]
    NotSo {
        /// What is not.
        what: String,
    },
    /// The disk is nearly full: nothing new is admitted, so that what runs can still be settled.
    #[error("the ledger's disk is nearly full; nothing new is admitted until there is space")]
    ShortOfSpace,
    /// The disk does not keep up.
    #[error("the ledger's disk does not keep up; try again in a moment")]
    Overloaded,
    /// The ledger has failed and has to be opened anew.
    #[error("the ledger cannot be written: {0}")]
    Failed(StoreError),
}

impl Ledger {
    /// Starts the writer over a store whose frames come to `books` and end in the hash `head`.
    pub(crate) fn start(store: impl Store, books: Books, head: Digest) -> Result<Self, StoreError> {
        let (tail, readers) = (Tail::default(), store.readers());
        tail.leave(readers()?.archived()?.map_or(0, |head| head.sequence));
        let journals = Journals::new(readers, tail.clone());
        let persons = store.persons();
        let mut writer = Writer::new(store, tail.clone(), head);
        let durable = books.sequence();
        let shared = Arc::new(Shared {
            state: Mutex::new(Pipeline::new(books, writer.is_short_of_space())),
            work: Condvar::new(),
            durable: watch::Sender::new(durable),
        });
        let of_writer = Arc::clone(&shared);
        let spawned = thread::Builder::new()
            .name("genops-ledger".to_owned())
            .spawn(move || write(&of_writer, &mut writer));
        let writer = spawned.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { shared, writer: Some(writer), journals, persons, tail })
    }

    /// Applies a command. Its entry has its place in the order when this returns, and is on its way to the
    /// disk; wait for [`Posted::durable`] before acting on it.
    ///
    /// # Errors
    ///
    /// The command does not fit, or the ledger takes nothing. Either way nothing has changed. A correction or a report does not
    /// fit here: see [`submit_of`](Self::submit_of).
    pub fn submit(&self, wall: Timestamp, command: Command) -> Result<Posted, LedgerError> {
        self.submit_with(wall, command, Vec::new())
    }

    /// As [`submit`](Self::submit), for a command that is the first to name these persons: they are kept with its entry,
    /// or not at all. Whoever gives them numbers sees to it that they rise from one command that is taken to the next.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_with(
        &self,
        wall: Timestamp,
        command: Command,
        persons: Vec<Person>,
    ) -> Result<Posted, LedgerError> {
        if matches!(command, Command::Correct(_) | Command::Report(_)) {
            let what = "it was not held against the AWU's record (`Ledger::submit_of`)".to_owned();
            return Err(LedgerError::NotSo { what });
        }
        self.post(wall, command, persons)
    }

    /// As [`submit`](Self::submit), for what is said of an AWU that may have ended: a correction or a report. The books know
    /// nothing of those, so it is held against `record`, as [the journal has it](crate::views::Views::standing) by now. Whoever
    /// corrects takes turns: a record from before another correction says what is not so any more.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); or what is said is not so.
    pub fn submit_of(
        &self,
        wall: Timestamp,
        command: Command,
        record: &AwuRecord,
    ) -> Result<Posted, LedgerError> {
        let at = self.read(|books| wall.max(books.at()))?;
        hold(&command, at, record).map_err(|what| LedgerError::NotSo { what })?;
        self.post(wall, command, Vec::new())
    }

    fn post(&self, wall: Timestamp, command: Command, persons: Vec<Person>) -> Result<Posted, LedgerError> {
        let mut state = self.shared.lock()?;
        let submitted = state.submit_with(wall, command, persons);
        let calls = state.writer_sleeps();
        drop(state);
        match submitted {
            Ok(entry) => {
                if calls {
                    self.shared.work.notify_one();
                }
                Ok(Posted { entry, shared: Arc::clone(&self.shared) })
            }
            Err(NotSubmitted::Refused(error)) => Err(error),
            Err(NotSubmitted::Broken(error)) => Err(self.shared.failed(error)),
        }
    }

    /// Whether the disk was nearly full when free space was measured last.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub fn is_short_of_space(&self) -> Result<bool, LedgerError> {
        Ok(self.shared.lock()?.is_short_of_space())
    }

    /// Has free space measured where the writer sleeps. Whoever calls this now and then finds a disk that others have filled
    /// before the next admission does.
    pub fn measure(&self) {
        self.shared.work.notify_one();
    }

    /// Looks at the books. They may be ahead of the disk: wait for [`durable`](Self::durable) of their
    /// sequence number before telling anybody.
    pub fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> Result<T, LedgerError> {
        Ok(look(self.shared.lock()?.books()))
    }

    /// Waits until the entry `sequence`, which has been submitted, and so every entry before it, is durable.
    ///
    /// # Errors
    ///
    /// The ledger has failed; the entry may or may not be on the disk.
    pub async fn durable(&self, sequence: u64) -> Result<(), LedgerError> {
        self.shared.durable(sequence).await
    }

    /// The sequence number of the last durable entry, and its changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// A reader of the journal, for another thread.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        self.journals.open()
    }

    /// Opens readers of the journal, for whoever outlives a borrow of the ledger.
    #[must_use]
    pub fn journals(&self) -> Journals {
        self.journals.clone()
    }

    /// The last entry that has left for an archive; 0 where none has. Nothing is read from the disk for it.
    #[must_use]
    pub fn archived(&self) -> u64 {
        self.tail.archived()
    }

    /// Has every reader of the journal know that the entries through this one have left for an archive, which whoever let
    /// them leave has noted in the store.
    pub fn leave(&self, through: u64) {
        self.tail.leave(through);
    }

    /// A reader of the persons who are kept beside the journal. It sees those of durable entries.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn persons(&self) -> Result<Box<dyn PersonReader>, StoreError> {
        (self.persons)()
    }

    /// Whether new work is taken.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admits(&self) -> Result<(), LedgerError> {
        self.shared.lock()?.admits()
    }

    /// Why the ledger takes nothing any more, if so.
    #[must_use]
    pub fn failure(&self) -> Option<LedgerError> {
        match self.shared.lock() {
            Ok(state) => state.failure().cloned().map(LedgerError::Failed),
            Err(error) => Some(error),
        }
    }
}

impl Posted {
    /// Waits until the entry is durable.
    ///
    /// # Errors
    ///
    /// The ledger has failed; the entry may or may not be on the disk.
    pub async fn durable(self) -> Result<Entry, LedgerError> {
        self.shared.durable(self.entry.sequence).await?;
        Ok(self.entry)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.lock() {
            state.close();
        }
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            // The writer does not panic; if it did, there is nothing left to write with.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

// === the writer's side ===

/// Writes batch after batch until the ledger is closed or the store fails.
fn write(shared: &Shared, writer: &mut Writer<impl Store>) {
    let _watch = Watch(shared);
    let mut spare = Vec::new();
    let mut handed = Handed::default();
    while let Some(batch) = shared.next_batch(&mut spare, &mut handed, &|| writer.is_short_of_space()) {
        match writer.write(batch) {
            Ok(bytes) => spare = bytes,
            Err(error) => {
                shared.failed(error);
                return;
            }
        }
        handed.keep(shared.committed(writer.is_short_of_space()));
    }
}

/// Tells those who wait if the writer should ever panic.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed(StoreError::Failed { what: "its writer has stopped".to_owned() });
        }
    }
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, Pipeline<Waiter>>, LedgerError> {
        self.state.lock().map_err(|poisoned| self.panicked(poisoned))
    }

    /// A thread has panicked at the books: nothing follows from them any more, and everybody is told.
    fn panicked<T>(&self, poisoned: PoisonError<T>) -> LedgerError {
        // It holds the lock, which telling everybody takes.
        drop(poisoned);
        self.failed(StoreError::Failed { what: "a thread panicked at the books".to_owned() })
    }

    /// Waits for something to write and takes it. `None` when the ledger is closed and everything is written, or when it
    /// has failed.
    fn next_batch(
        &self,
        spare: &mut Vec<u8>,
        handed: &mut Handed,
        is_short_of_space: &dyn Fn() -> bool,
    ) -> Option<Batch> {
        let mut state = self.lock().ok()?;
        let mut lingered = false;
        loop {
            match state.next(lingered, spare) {
                Next::Write(batch) => return Some(batch),
                Next::End => return None,
                Next::Linger => {
                    let waited = self.work.wait_timeout(state, LINGER);
                    let (woken, timeout) = waited.map_err(|poisoned| self.panicked(poisoned)).ok()?;
                    state = woken;
                    lingered = timeout.timed_out();
                    if lingered {
                        // Whoever drives their runtime has had the time to.
                        handed.tell();
                    }
                }
                Next::Sleep => {
                    let waited = self.work.wait(state);
                    state = waited.map_err(|poisoned| self.panicked(poisoned)).ok()?;
                    lingered = false;
                    // It may have slept for long.
                    state.measured(is_short_of_space());
                }
                Next::Measure => {
                    let waited = self.work.wait_timeout(state, MEASURE);
                    state = waited.map_err(|poisoned| self.panicked(poisoned)).ok()?.0;
                    state.measured(is_short_of_space());
                }
            }
            state.awake();
        }
    }

    /// The batch is durable, and everybody who waits for it is told, or handed over to a teller.
    fn committed(&self, short_of_space: bool) -> Option<Others> {
        let mut state = self.lock().ok()?;
        let waiters = state.committed(short_of_space);
        let durable = state.durable();
        drop(state);
        self.durable.send_replace(durable);
        tell_batch(waiters)
    }

    /// From now on nothing is acknowledged. The first failure is the one that is told.
    fn failed(&self, error: StoreError) -> LedgerError {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (failure, waiters) = state.fail(error);
        drop(state);
        // That nobody tells them any more tells them.
        drop(waiters);
        self.work.notify_one();
        // Wakes those who watch, so that they see the failure; the number does not change.
        self.durable.send_modify(|_| ());
        LedgerError::Failed(failure)
    }

    async fn durable(self: &Arc<Self>, sequence: u64) -> Result<(), LedgerError> {
        let (tell, told) = oneshot::channel();
        let here = Runtime::current();
        let mut first = None;
        let is_durable = self.lock()?.wait(sequence, |is_first| {
            let runtime = here.as_ref().map(Runtime::id);
            let mut teller = None;
            if is_first {
                let (call, called) = oneshot::channel();
                let others = Others::nobody();
                teller = Some(Teller { call, others: others.clone() });
                first = Some((called, others));
            }
            Waiter { runtime, tell, teller }
        })?;
        if is_durable {
            return Ok(());
        }
        // Not under the lock, which the call for the writer takes.
        if let Some((called, others)) = first {
            self.call_for_writer(here, called, others);
        }
        match told.await {
            Ok(()) => Ok(()),
            Err(_) => {
                let state = self.lock()?;
                match state.failure() {
                    Some(failure) => Err(LedgerError::Failed(failure.clone())),
                    // Who should have told it has gone.
                    None if state.durable() >= sequence => Ok(()),
                    None => Err(LedgerError::Failed(StoreError::Failed { what: "it was closed".to_owned() })),
                }
            }
        }
    }

    /// Calls the writer for the batch that is being gathered, which now has one who waits for it. It is called by a
    /// task behind those that can run now: they share one sync instead of queueing for the next.
    fn call_for_writer(
        self: &Arc<Self>,
        here: Option<Runtime>,
        called: oneshot::Receiver<()>,
        others: Others,
    ) {
        let call = CallForWriter(Arc::clone(self));
        // Without a runtime the writer is called at once, and tells for itself.
        if let Some(runtime) = here {
            runtime.spawn(async move {
                drop(call);
                if called.await.is_ok() {
                    others.tell();
                }
            });
        }
    }
}

/// Makes the batch that is being gathered due when it is dropped: also where the runtime that would have done so
/// has ended.
struct CallForWriter(Arc<Shared>);

impl Drop for CallForWriter {
    fn drop(&mut self) {
        // A ledger that cannot be locked has failed, and everybody is told.
        if let Ok(mut state) = self.0.lock() {
            state.call();
            drop(state);
            self.0.work.notify_one();
        }
    }
}
