//! Reading the journal behind the writer, entry by entry, from any place.
//!
//! What is read is durable. Nothing here waits; see [`Ledger::watch`](crate::Ledger::watch) for that.

use std::sync::Arc;

use genops_core::Digest;
use genops_core::policy::Policy;
use genops_core::record::Journaled;

use crate::frame::Frame;
use crate::store::{FrameReader, Readers, StoreError};
use crate::tail::Tail;

/// Opens readers of one ledger's journal.
#[derive(Clone)]
pub struct Journals {
    readers: Readers,
    tail: Tail,
}

impl Journals {
    /// Journals of the store that `readers` opens, whose last entries are also in `tail`.
    #[must_use]
    pub const fn new(readers: Readers, tail: Tail) -> Self {
        Self { readers, tail }
    }

    /// A reader of its own.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn open(&self) -> Result<Journal, StoreError> {
        Ok(Journal { frames: (self.readers)()?, tail: Some(self.tail.clone()) })
    }
}

impl std::fmt::Debug for Journals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journals")
    }
}

/// A reader of entries.
pub struct Journal {
    frames: Box<dyn FrameReader>,
    /// Of the ledger that this process has open; `None` where another process may have it.
    tail: Option<Tail>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// Reads what `frames` has, and nothing else.
    #[must_use]
    pub fn new(frames: Box<dyn FrameReader>) -> Self {
        Self { frames, tail: None }
    }

    /// The entries after `sequence` that one frame holds; empty at the end of the journal.
    ///
    /// # Errors
    ///
    /// The store cannot be read, a frame cannot be decoded, or the entry is archived.
    pub fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, StoreError> {
        let entry = sequence.saturating_add(1);
        if let Some(tail) = &self.tail {
            // Frames that have left go in pieces: those that are here yet have left all the same.
            let through = tail.archived();
            if through >= entry {
                return Err(StoreError::Archived { entry, through });
            }
            if let Some(entries) = tail.after(sequence) {
                return Ok(entries);
            }
        }
        let frame = self.frames.holding(entry)?;
        if frame.as_ref().is_none_or(|frame| frame.first > entry) {
            let through = self.archived()?;
            if through >= entry {
                return Err(StoreError::Archived { entry, through });
            }
        }
        let Some(frame) = frame else { return Ok(Vec::new()) };
        let damaged = |what: String| StoreError::Damaged { path: "journal".into(), what };
        if frame.first > entry {
            return Err(damaged(format!("entry {entry} is missing")));
        }
        let entries = frame.entries().map_err(|bad| damaged(bad.to_string()))?;
        let chain = frame.hash;
        let later = entries.into_iter().filter(|entry| entry.sequence > sequence);
        Ok(later.map(|entry| Journaled { entry, chain }).collect())
    }

    /// The frame that holds the entry `sequence`; `None` where the journal does not have it.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn frame(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        let frame = self.frames.holding(sequence)?;
        Ok(frame.filter(|frame| (frame.first..=frame.last()).contains(&sequence)))
    }

    /// One entry; `None` where the journal does not have it.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    pub fn entry(&mut self, sequence: u64) -> Result<Option<Journaled>, StoreError> {
        let Some(before) = sequence.checked_sub(1) else { return Ok(None) };
        Ok(self.after(before)?.into_iter().next())
    }

    /// The last entry that has left for an archive; 0 where none has.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn archived(&mut self) -> Result<u64, StoreError> {
        match &self.tail {
            Some(tail) => Ok(tail.archived()),
            None => Ok(self.frames.archived()?.map_or(0, |head| head.sequence)),
        }
    }

    /// The last entry of each archive that was made, and what its file was called, the oldest first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn archives(&self) -> Result<Vec<(u64, String)>, StoreError> {
        self.frames.snapshots()?.map_or(Ok(Vec::new()), |kept| kept.archives())
    }

    /// The policy of this version, where it was in force after the last entry that has left for an archive.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn archived_policy(&self, version: Digest) -> Result<Option<Arc<Policy>>, StoreError> {
        let kept = self.frames.snapshots()?.map_or(Ok(None), |kept| kept.archived_policy())?;
        Ok(kept.filter(|policy| policy.version() == version))
    }

    /// The hash of the first frame, by which a journal is known; `None` where it is empty.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn genesis(&mut self) -> Result<Option<Digest>, StoreError> {
        match self.entry(1) {
            Err(StoreError::Archived { .. }) => {
                self.frames.snapshots()?.map_or(Ok(None), |kept| kept.genesis())
            }
            first => Ok(first?.map(|first| first.chain)),
        }
    }
}
