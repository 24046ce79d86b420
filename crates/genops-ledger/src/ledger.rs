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

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use genops_core::ledger::{self, ApplyError, Books, Command, Entry, Rejection};
use genops_core::{Digest, Timestamp};
use tokio::runtime::{self, Handle};
use tokio::sync::{oneshot, watch};

use crate::frame::Frame;
use crate::journal::{Journal, Journals};
use crate::store::{Store, StoreError};
use crate::tail::Tail;

/// How long an entry that nobody waits for may stay in memory.
const LINGER: Duration = Duration::from_millis(5);

/// How often free space is measured while there is too little of it and nothing is written.
const MEASURE: Duration = Duration::from_secs(1);

/// Below this much free space, nothing new is admitted; what has been admitted can still settle.
pub const FREE_BYTES_MIN: u64 = 64 << 20;

/// More than this much in memory, and nothing new is admitted.
const GATHERED_BYTES_MAX: usize = 64 << 20;

/// A ledger, open for writing. Dropping it writes what has gathered.
pub struct Ledger {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    journals: Journals,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    durable: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    books: Books,
    gathering: Batch,
    writing: Writing,
    durable: u64,
    writer_sleeps: bool,
    short_of_space: bool,
    closing: bool,
    failure: Option<StoreError>,
}

/// Entries that have been applied and not yet handed to the writer.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    payload: Vec<u8>,
    waiters: Waiters,
    /// Somebody waits, and whoever else could join has had the time to.
    is_due: bool,
}

/// The batch that is being written: its last entry, and who waits for it.
#[derive(Debug)]
struct Writing {
    last: u64,
    waiters: Waiters,
}

/// Those who wait for a batch.
#[derive(Debug, Default)]
struct Waiters {
    all: Vec<Waiter>,
    /// The task that tells them, where the first of them waits: so the writer wakes one thread there and not each of
    /// them. It is their own runtime that runs it; whoever waits elsewhere is told by the writer.
    teller: Option<(runtime::Id, oneshot::Sender<Vec<Waiter>>)>,
}

/// One who waits, and where.
#[derive(Debug)]
struct Waiter {
    runtime: Option<runtime::Id>,
    tell: oneshot::Sender<()>,
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
    pub(crate) fn start(mut store: impl Store, books: Books, head: Digest) -> Result<Self, StoreError> {
        let tail = Tail::default();
        let journals = Journals::new(store.readers(), tail.clone());
        let durable = books.sequence();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                books,
                gathering: Batch::default(),
                writing: Writing { last: durable, waiters: Waiters::default() },
                durable,
                writer_sleeps: false,
                short_of_space: is_short_of_space(&store),
                closing: false,
                failure: None,
            }),
            work: Condvar::new(),
            durable: watch::Sender::new(durable),
        });
        let of_writer = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name("genops-ledger".to_owned())
            .spawn(move || write(&of_writer, &mut store, &tail, head));
        let writer = spawned.map_err(|error| StoreError::Failed { what: error.to_string() })?;
        Ok(Self { shared, writer: Some(writer), journals })
    }

    /// Applies a command. Its entry has its place in the order when this returns, and is on its way to the
    /// disk; wait for [`Posted::durable`] before acting on it.
    ///
    /// # Errors
    ///
    /// The command does not fit, or the ledger takes nothing. Either way nothing has changed.
    pub fn submit(&self, wall: Timestamp, command: Command) -> Result<Posted, LedgerError> {
        let mut state = self.shared.lock()?;
        state.accepts(&command)?;
        let entry = match ledger::apply(&mut state.books, wall, command) {
            Ok(entry) => entry,
            Err(ApplyError::Rejected(rejection)) => return Err(rejection.into()),
            Err(ApplyError::Broken(mismatch)) => {
                drop(state);
                return Err(self.shared.failed(StoreError::Failed { what: mismatch.to_string() }));
            }
        };
        if let Err(what) = state.gather(&entry) {
            drop(state);
            return Err(self.shared.failed(StoreError::Failed { what }));
        }
        if state.writer_sleeps {
            self.shared.work.notify_one();
        }
        drop(state);
        Ok(Posted { entry, shared: Arc::clone(&self.shared) })
    }

    /// Looks at the books. They may be ahead of the disk: wait for [`durable`](Self::durable) of their
    /// sequence number before telling anybody.
    pub fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> Result<T, LedgerError> {
        Ok(look(&self.shared.lock()?.books))
    }

    /// Waits until the entry `sequence`, and so every entry before it, is durable.
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

    /// Why the ledger takes nothing any more, if so.
    #[must_use]
    pub fn failure(&self) -> Option<LedgerError> {
        match self.shared.lock() {
            Ok(state) => state.failure.clone().map(LedgerError::Failed),
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
            state.closing = true;
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
fn write(shared: &Shared, store: &mut impl Store, tail: &Tail, mut head: Digest) {
    let _watch = Watch(shared);
    let mut spare = Vec::new();
    while let Some((entries, payload)) = shared.next_batch(spare, &|| is_short_of_space(store)) {
        let Some(first) = entries.first().map(|entry| entry.sequence) else { return };
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let frame = Frame::seal(head, first, count, payload);
        if let Err(error) = store.append(&frame) {
            shared.failed(error);
            return;
        }
        head = frame.hash;
        tail.push(frame.hash, entries, frame.payload.len());
        shared.committed(frame.last(), is_short_of_space(store));
        spare = frame.payload;
        spare.clear();
    }
}

/// Tells those who wait if the writer should ever panic.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed(StoreError::Failed { what: "its writer has stopped".to_owned() });
        }
    }
}

fn is_short_of_space(store: &impl Store) -> bool {
    store.free_bytes().is_some_and(|free| free < FREE_BYTES_MIN)
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        self.state.lock().map_err(|poisoned| {
            // It holds the lock, which telling everybody takes.
            drop(poisoned);
            self.failed(StoreError::Failed { what: "a thread panicked at the books".to_owned() })
        })
    }

    /// Waits for something to write and takes it: at once if somebody waits for it, after a moment if not.
    /// `None` when the ledger is closed and everything is written.
    /// `None` also when the ledger has failed: what has gathered does not follow from what is on the disk.
    fn next_batch(
        &self,
        spare: Vec<u8>,
        is_short_of_space: &dyn Fn() -> bool,
    ) -> Option<(Vec<Entry>, Vec<u8>)> {
        let mut state = self.lock().ok()?;
        let mut lingered = false;
        loop {
            if state.failure.is_some() {
                return None;
            }
            let is_due = lingered || state.closing || state.gathering.is_due;
            if !state.gathering.entries.is_empty() && is_due {
                break;
            }
            if state.closing {
                return None;
            }
            // Awake, the writer looks again by itself; asleep, it has to be woken by whoever brings work.
            let sleep = state.gathering.entries.is_empty() && lingered;
            state.writer_sleeps = sleep;
            if sleep && state.short_of_space {
                state = self.work.wait_timeout(state, MEASURE).ok()?.0;
                state.short_of_space = is_short_of_space();
            } else if sleep {
                state = self.work.wait(state).ok()?;
                lingered = false;
            } else {
                let (woken, timeout) = self.work.wait_timeout(state, LINGER).ok()?;
                state = woken;
                lingered = timeout.timed_out();
            }
            state.writer_sleeps = false;
        }
        let batch = std::mem::replace(&mut state.gathering, Batch { payload: spare, ..Batch::default() });
        state.writing = Writing { last: state.books.sequence(), waiters: batch.waiters };
        Some((batch.entries, batch.payload))
    }

    fn committed(&self, last: u64, short_of_space: bool) {
        let Ok(mut state) = self.lock() else { return };
        state.durable = last;
        state.short_of_space = short_of_space;
        let waiters = std::mem::take(&mut state.writing.waiters);
        drop(state);
        self.durable.send_replace(last);
        waiters.tell();
    }

    /// From now on nothing is acknowledged. The first failure is the one that is told.
    fn failed(&self, error: StoreError) -> LedgerError {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = state.failure.get_or_insert(error).clone();
        // Dropping the senders tells the waiters.
        state.writing.waiters = Waiters::default();
        state.gathering.waiters = Waiters::default();
        drop(state);
        self.work.notify_one();
        // Wakes those who watch, so that they see the failure; the number does not change.
        self.durable.send_modify(|_| ());
        LedgerError::Failed(failure)
    }

    async fn durable(self: &Arc<Self>, sequence: u64) -> Result<(), LedgerError> {
        let mut first = None;
        let told = {
            let mut state = self.lock()?;
            if sequence <= state.durable {
                return Ok(());
            }
            if let Some(failure) = &state.failure {
                return Err(LedgerError::Failed(failure.clone()));
            }
            let (tell, told) = oneshot::channel();
            let here = Handle::try_current().ok();
            let waiter = Waiter { runtime: here.as_ref().map(Handle::id), tell };
            if sequence <= state.writing.last {
                state.writing.waiters.all.push(waiter);
            } else {
                let waiters = &mut state.gathering.waiters;
                if waiters.all.is_empty() {
                    let (teller, told) = oneshot::channel();
                    waiters.teller = waiter.runtime.map(|runtime| (runtime, teller));
                    first = Some((here, told));
                }
                waiters.all.push(waiter);
            }
            told
        };
        // Not under the lock, which the call for the writer takes.
        if let Some((here, told)) = first {
            self.call_for_writer(here, told);
        }
        match told.await {
            Ok(()) => Ok(()),
            Err(_) => {
                let state = self.lock()?;
                match state.failure.clone() {
                    Some(failure) => Err(LedgerError::Failed(failure)),
                    // Who should have told it has gone.
                    None if state.durable >= sequence => Ok(()),
                    None => Err(LedgerError::Failed(StoreError::Failed { what: "it was closed".to_owned() })),
                }
            }
        }
    }

    /// Calls the writer for the batch that is being gathered, which now has one who waits for it. It is called by a
    /// task behind those that can run now: they share one sync instead of queueing for the next.
    fn call_for_writer(self: &Arc<Self>, here: Option<Handle>, told: oneshot::Receiver<Vec<Waiter>>) {
        let call = CallForWriter(Arc::clone(self));
        // Without a runtime the writer is called at once, and tells for itself.
        if let Some(runtime) = here {
            drop(runtime.spawn(async move {
                drop(call);
                if let Ok(waiters) = told.await {
                    tell(waiters);
                }
            }));
        }
    }
}

impl Waiters {
    fn tell(self) {
        let Self { mut all, teller } = self;
        let Some((runtime, teller)) = teller else { return tell(all) };
        let mut elsewhere = all.extract_if(.., |waiter| waiter.runtime != Some(runtime)).collect::<Vec<_>>();
        // The first is told by the writer as well: where nobody drives its runtime's tasks, it waits by itself.
        if !all.is_empty() {
            elsewhere.push(all.swap_remove(0));
        }
        tell(elsewhere);
        // A teller whose runtime has ended gives them back.
        if !all.is_empty() {
            teller.send(all).unwrap_or_else(tell);
        }
    }
}

fn tell(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // Whoever has stopped waiting does not want to know.
        let _ = waiter.tell.send(());
    }
}

/// Makes the batch that is being gathered due when it is dropped: also where the runtime that would have done so
/// has ended.
struct CallForWriter(Arc<Shared>);

impl Drop for CallForWriter {
    fn drop(&mut self) {
        // A ledger that cannot be locked has failed, and everybody is told.
        if let Ok(mut state) = self.0.lock() {
            // The batch may have been taken meanwhile; the one after it has a caller of its own.
            state.gathering.is_due |= !state.gathering.waiters.all.is_empty();
            drop(state);
            self.0.work.notify_one();
        }
    }
}

impl State {
    fn accepts(&self, command: &Command) -> Result<(), LedgerError> {
        if let Some(failure) = &self.failure {
            return Err(LedgerError::Failed(failure.clone()));
        }
        // What runs can always be settled; only what is new waits for space.
        if !matches!(command, Command::Admit(_)) {
            return Ok(());
        }
        if self.short_of_space {
            return Err(LedgerError::ShortOfSpace);
        }
        if self.gathering.payload.len() > GATHERED_BYTES_MAX {
            return Err(LedgerError::Overloaded);
        }
        Ok(())
    }

    fn gather(&mut self, entry: &Entry) -> Result<(), String> {
        let payload = std::mem::take(&mut self.gathering.payload);
        self.gathering.payload = postcard::to_extend(entry, payload)
            .map_err(|error| format!("an entry cannot be encoded: {error}"))?;
        self.gathering.entries.push(entry.clone());
        Ok(())
    }
}
