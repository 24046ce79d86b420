//! From frames back to books: the chain is verified, every entry is applied, the invariants are checked,
//! and what a dead process left open is resolved.
//!
//! Opening a ledger begins with the latest snapshot of its books that can be used, and so does whoever only reads;
//! [`replay`] begins with nothing, and is what verifies. Recovery only evolves. No rule is asked about what was
//! acknowledged.

use std::path::Path;

use genops_core::audit::{Auditor, Breach};
use genops_core::awu::State;
use genops_core::ledger::{self, Books, Command, ENGINE_VERSION, Entry, Mismatch};
use genops_core::{Digest, Timestamp};

use crate::frame::{BadFrame, Frame};
use crate::ledger::{Ledger, LedgerError};
use crate::snapshots::{PassedOver, Snapshot, Snapshots};
use crate::sqlite::SqliteStore;
use crate::store::{FrameReader, Store, StoreError};
use crate::witness::Head;

/// Opens a ledger over `store` and resolves what the last process held and left behind: AWUs that were executing
/// are in doubt, those that had not started are released. `wall` is the time of those entries.
///
/// # Errors
///
/// The journal is damaged, breaks an invariant, or the store does not take the resolutions.
pub async fn open(store: impl Store, wall: Timestamp) -> Result<(Ledger, Recovered), OpenError> {
    let replayed = resume(&mut *store.readers()()?, u64::MAX)?;
    let mut recovered = Recovered {
        entries: replayed.books.sequence(),
        snapshot: replayed.snapshot,
        passed_over: replayed.passed_over,
        ..Recovered::default()
    };
    // What has a deadline is held by somebody else, who may be alive.
    let ours = replayed.books.open_awus().into_iter().filter(|(_, open)| open.deadline.is_none());
    let orphans: Vec<_> = ours.map(|(id, open)| (id, open.state)).collect();
    let ledger = Ledger::start(store, replayed.books, replayed.head)?;
    let mut last = None;
    for (awu, state) in orphans {
        match state {
            State::Reserved => recovered.released += 1,
            State::Executing => recovered.in_doubt += 1,
            State::InDoubt => continue,
        }
        last = Some(ledger.submit(wall, Command::Orphan { awu })?);
    }
    if let Some(posted) = last {
        posted.durable().await?;
    }
    Ok((ledger, recovered))
}

/// What was found when a ledger was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Entries that the journal held.
    pub entries: u64,
    /// Of them, those that a snapshot stood for, so that they were not read; 0 without one.
    pub snapshot: u64,
    /// A later snapshot that cannot be used: somebody should hear of it.
    pub passed_over: Option<PassedOver>,
    /// AWUs that had been admitted and not started: released.
    pub released: usize,
    /// AWUs that were executing: in doubt, charged their reservation.
    pub in_doubt: usize,
}

/// The books that a journal comes to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The books after the last entry.
    pub books: Books,
    /// The hash of the last frame.
    pub head: Digest,
    /// How many frames were read.
    pub frames: u64,
    /// The newest version of the rules that decided any of it.
    pub engine: u16,
    /// The last entry that a snapshot stood for; 0 where every entry was read.
    pub snapshot: u64,
    /// A later snapshot that cannot be used.
    pub passed_over: Option<PassedOver>,
    auditor: Auditor,
}

impl Replayed {
    /// Begins after the entry that `head` is of, with the books of a snapshot.
    fn after(head: Head, books: Books) -> Self {
        let auditor = Auditor::over(&books);
        Self {
            books,
            head: head.hash,
            frames: 0,
            engine: 0,
            snapshot: head.sequence,
            passed_over: None,
            auditor,
        }
    }

    /// Takes in the next frame: verifies the chain, applies the entries, and checks the invariants after each.
    /// `before` sees each entry with the books that it was decided with.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, or what `before` says.
    pub fn follow<E: From<OpenError>>(
        &mut self,
        frame: &Frame,
        mut before: impl FnMut(&Books, &Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in frame.check(self.head, self.books.sequence() + 1).map_err(OpenError::from)? {
            before(&self.books, &entry)?;
            ledger::evolve(&mut self.books, &entry).map_err(OpenError::from)?;
            self.auditor.follow(&entry, &self.books).map_err(OpenError::from)?;
        }
        self.head = frame.hash;
        self.frames += 1;
        self.engine = self.engine.max(frame.engine);
        Ok(())
    }

    /// Checks every cell at the end.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn conclude(&self) -> Result<(), OpenError> {
        Ok(self.auditor.conclude(&self.books)?)
    }
}

/// Reads a whole journal: verifies the chain, applies every entry, and checks every invariant after each.
///
/// # Errors
///
/// The first thing that does not fit, or that some entries are archived.
pub fn replay(frames: &mut dyn FrameReader) -> Result<Replayed, OpenError> {
    match frames.archived()? {
        Some(head) => Err(OpenError::Archived { through: head.sequence }),
        None => follow_from(Replayed::default(), frames, None, u64::MAX),
    }
}

/// The same books without reading all of it: from the latest snapshot on that can be used, through the end of the frame
/// that holds the entry `through`. What the snapshot stands for is not verified again.
///
/// # Errors
///
/// The first thing that does not fit, or that some entries are archived and no snapshot stands for them.
pub fn resume(frames: &mut dyn FrameReader, through: u64) -> Result<Replayed, OpenError> {
    loop {
        let archived = frames.archived()?;
        match resume_once(frames, through) {
            // What was being read has left for an archive meanwhile, behind a later snapshot.
            Err(_) if frames.archived()? != archived => {}
            resumed => return resumed,
        }
    }
}

fn resume_once(frames: &mut dyn FrameReader, through: u64) -> Result<Replayed, OpenError> {
    let mut replayed = begin(frames)?;
    let begins = replayed.snapshot;
    let own = if begins == 0 { None } else { frames.holding(begins)? };
    let own = own.filter(|frame| frame.last() == begins);
    replayed.engine = own.as_ref().map_or(0, |frame| frame.engine);
    let replayed = follow_from(replayed, frames, own, through)?;
    if replayed.engine > ENGINE_VERSION {
        return Err(OpenError::NewerRules { sequence: replayed.books.sequence(), engine: replayed.engine });
    }
    Ok(replayed)
}

/// Makes a snapshot of the books after the frame that holds the entry `through`, which is durable, and keeps the latest
/// `kept`. The books are worked out anew, from the snapshot before; only the process that holds the ledger may.
///
/// # Errors
///
/// The journal does not hold, or the disk refuses.
pub fn take_snapshot(path: &Path, through: u64, kept: usize) -> Result<Head, OpenError> {
    let replayed = resume(&mut SqliteStore::read(path)?, through)?;
    let head = Head { sequence: replayed.books.sequence(), hash: replayed.head };
    let mut snapshots = Snapshots::open(path)?;
    if replayed.snapshot != head.sequence {
        snapshots.put(&Snapshot::of(head, &replayed.books)?)?;
    }
    snapshots.keep(kept)?;
    Ok(head)
}

fn begin(frames: &mut dyn FrameReader) -> Result<Replayed, OpenError> {
    let (latest, passed_over) = match frames.snapshots()? {
        Some(snapshots) => snapshots.latest(frames, Snapshot::books)?,
        None => (None, None),
    };
    let begun = match (latest, frames.archived()?) {
        (Some((head, books)), _) => Replayed::after(head, books),
        (None, Some(head)) => return Err(OpenError::NoSnapshot { through: head.sequence }),
        (None, None) => Replayed::default(),
    };
    Ok(Replayed { passed_over, ..begun })
}

/// Reads on behind the frame `last`. Where the snapshot's own frame is archived, so is every older one: the oldest leave
/// first.
fn follow_from(
    mut replayed: Replayed,
    frames: &mut dyn FrameReader,
    mut last: Option<Frame>,
    through: u64,
) -> Result<Replayed, OpenError> {
    while replayed.books.sequence() < through
        && let Some(frame) = frames.behind(last.as_ref())?
    {
        replayed.follow(&frame, |_, _| Ok::<_, OpenError>(()))?;
        last = Some(frame);
    }
    replayed.conclude()?;
    Ok(replayed)
}

/// Why a ledger cannot be opened or verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain of frames is broken, or nobody here can read it.
    #[error("{damage}{0}", damage = damage(.0))]
    Frame(#[from] BadFrame),
    /// What was decided holds, and nothing may be decided on top of it by older rules.
    #[error(
        "the ledger's entries up to {sequence} were decided by version {engine} of the rules, and this version of genops \
         decides by version {ENGINE_VERSION}: open it with the version that wrote it, or a later one"
    )]
    NewerRules {
        /// The last entry.
        sequence: u64,
        /// The newest version of the rules that decided any of them.
        engine: u16,
    },
    /// An entry does not follow from those before it.
    #[error("the journal contradicts itself: {0}")]
    Mismatch(#[from] Mismatch),
    /// An invariant does not hold.
    #[error("the books are wrong: {0}")]
    Breach(#[from] Breach),
    /// Entries are not in the ledger's file any more, and what was to be done takes every one.
    #[error(
        "the entries through {through} are archived, and this takes every entry from the first on; \
         `genops verify --ledger ARCHIVE... LEDGER` verifies archives and ledger together"
    )]
    Archived {
        /// The last of them.
        through: u64,
    },
    /// Entries are not in the ledger's file any more, and no snapshot stands for them.
    #[error(
        "the entries through {through} are archived, and no snapshot of the books after them can be used; \
         make one from the archives: `genops archive --restore ARCHIVE... --ledger LEDGER`"
    )]
    NoSnapshot {
        /// The last of them.
        through: u64,
    },
    /// The ledger failed while it was being opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl OpenError {
    /// The first entry that cannot be relied on, where that is known.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Frame(bad) => Some(bad.entry()),
            Self::Mismatch(mismatch) => Some(mismatch.sequence),
            Self::Breach(breach) => Some(breach.sequence),
            Self::Store(StoreError::Export(bad)) => bad.entry,
            Self::Store(StoreError::Apart { due, .. }) => Some(*due),
            Self::Store(_)
            | Self::Archived { .. }
            | Self::NoSnapshot { .. }
            | Self::Ledger(_)
            | Self::NewerRules { .. } => None,
        }
    }
}

/// What a frame says that it does not itself: what is newer is not damaged.
const fn damage(bad: &BadFrame) -> &'static str {
    match bad {
        BadFrame::Newer { .. } => "",
        BadFrame::Gap { .. } | BadFrame::OutOfPlace { .. } | BadFrame::Bad { .. } => {
            "the journal is damaged: "
        }
    }
}
