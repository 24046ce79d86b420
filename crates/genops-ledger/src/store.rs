//! What a place to keep frames has to promise.
//!
//! A store keeps opaque frames in order and reads them back, and beside them the persons whom the frames know by
//! pseudonyms. It never compares, adds or refuses.
//!
//! After a crash, the frame whose `append` had not returned is there whole or not at all. A store that could leave a part
//! of it has to take that away by itself, before it lets anybody read: it alone knows where it was writing. To whoever
//! reads, a last frame that is torn and one that was acknowledged and then damaged look the same; so recovery takes
//! neither away. It refuses and names the frame.

use std::sync::Arc;

use genops_core::Name;
use genops_core::person::Person;
use genops_core::selector::Facet;

use crate::export::BadExport;
use crate::frame::Frame;
use crate::snapshots::Snapshots;
use crate::witness::Head;

/// Keeps frames. There is one writer.
pub trait Store: Send + 'static {
    /// Appends a frame, and keeps and erases persons with it: all of that, or nothing. When this returns, the frame
    /// survives the loss of power, and of the persons who were erased only their numbers are left.
    ///
    /// # Errors
    ///
    /// The frame may or may not have been kept; nothing more may be appended until the store has been
    /// opened anew.
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError>;

    /// Opens readers of this store, for other threads. They see every frame whose `append` has returned.
    fn readers(&self) -> Readers;

    /// Opens readers of the persons in this store, for other threads. They see what every `append` that has returned did.
    fn persons(&self) -> Persons;

    /// How many bytes the store can still take; `None` where nobody can say.
    fn free_bytes(&self) -> Option<u64>;
}

/// What an entry does to the persons who are kept beside the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonStep {
    /// It is the first that names this one. Their numbers only rise.
    Keep(Person),
    /// It says that the one behind this pseudonym was erased. Its number is not given again.
    Erase(Name),
}

/// Opens readers of the persons in one store.
pub type Persons = Arc<dyn Fn() -> Result<Box<dyn PersonReader>, StoreError> + Send + Sync>;

/// Finds persons who were kept and not erased.
pub trait PersonReader: Send {
    /// The one whose facet has this value.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn of_value(&mut self, facet: Facet, value: &Name) -> Result<Option<Person>, StoreError>;

    /// The one with this number.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn of_number(&mut self, number: u64) -> Result<Option<Person>, StoreError>;

    /// The highest number that was ever given; 0 where none was.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn last(&mut self) -> Result<u64, StoreError>;
}

/// Opens readers of one store.
pub type Readers = Arc<dyn Fn() -> Result<Box<dyn FrameReader>, StoreError> + Send + Sync>;

/// Reads frames in order.
pub trait FrameReader: Send {
    /// The frame that holds the entry `sequence`; `None` where the journal ends before it. Where a frame is
    /// missing, the next one: whoever reads has to check that it holds what was asked for.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError>;

    /// The frame that stands behind another in the store, the first for `None`; for whoever has to see every frame. A
    /// store in which frames could overlap has to say it in its own way: `holding` does not show all of them.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn behind(&mut self, frame: Option<&Frame>) -> Result<Option<Frame>, StoreError> {
        self.holding(frame.map_or(1, |frame| frame.last().saturating_add(1)))
    }

    /// The snapshots of the books that stand beside the frames; `None` where the store keeps none.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn snapshots(&self) -> Result<Option<Snapshots>, StoreError> {
        Ok(None)
    }

    /// The last entry that has left the store for an archive, with the hash of its frame.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn archived(&self) -> Result<Option<Head>, StoreError> {
        self.snapshots()?.map_or(Ok(None), |snapshots| snapshots.archived())
    }
}

/// Trouble with a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the ledger open.
    #[error("the ledger `{path}` is held by another process; one process writes a ledger at a time")]
    Held {
        /// The ledger's file.
        path: String,
    },
    /// There is no ledger.
    #[error("there is no ledger at `{path}`")]
    Missing {
        /// The ledger's file.
        path: String,
    },
    /// A text that should be an export of a journal is none, or has been changed.
    #[error(transparent)]
    Export(#[from] BadExport),
    /// A file does not follow those that were given before it.
    #[error("`{path}` {what}")]
    Apart {
        /// The file.
        path: String,
        /// The entry that is due.
        due: u64,
        /// What it is instead, and what to give.
        what: String,
    },
    /// An entry has left the ledger.
    #[error(
        "entry {entry} is archived, as are all through {through}: look into the archive that \
         `genops archive` has made of them"
    )]
    Archived {
        /// The entry.
        entry: u64,
        /// The last entry that has left.
        through: u64,
    },
    /// What should be a ledger is an export of one.
    #[error(
        "`{path}` is an export of a journal, and not a ledger; `genops verify`, `replay`, `audit`, `export`, `show`, \
         `explain` and `receipt` take exports"
    )]
    Exported {
        /// The export's file.
        path: String,
    },
    /// The disk is full.
    #[error(
        "no space is left for the ledger; free some and start again: nothing that was acknowledged is lost"
    )]
    Full,
    /// The file is not a ledger, or has been damaged.
    #[error(
        "the ledger `{path}` cannot be read: {what}; restore it from a copy, or move it away to begin anew"
    )]
    Damaged {
        /// The ledger's file.
        path: String,
        /// What was found.
        what: String,
    },
    /// Anything else that the disk or its driver says.
    #[error("the ledger's store failed: {what}")]
    Failed {
        /// In the driver's words.
        what: String,
    },
}
