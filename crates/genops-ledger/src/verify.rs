//! Verifying a journal: the chain, every invariant after every entry, and what was noted of it elsewhere.
//!
//! Of a part that does not begin with the first entry only the chain can be verified: no books follow from it.

use genops_core::Digest;
use genops_core::ledger::{Books, ENGINE_VERSION};

use crate::frame::{BadFrame, Frame};
use crate::recover::{OpenError, Replayed};
use crate::store::StoreError;
use crate::witness::{Contradiction, Head, Witness};

/// What was verified.
#[derive(Debug)]
pub struct Verified {
    /// The first entry.
    pub first: u64,
    /// The last entry; one less than `first` where there is none.
    pub last: u64,
    /// How many frames there are.
    pub frames: u64,
    /// The hash of the last frame.
    pub head: Digest,
    /// How many entries newer rules than those here decided: what follows from them was computed, and that is all that can
    /// be said of them here.
    pub newer: u64,
    /// What the journal comes to; `None` where it does not begin with the first entry, so that no invariant was checked.
    pub books: Option<Books>,
}

/// Verifies frames, which should begin with an entry and continue a hash as `begins` says.
///
/// # Errors
///
/// The first thing that does not fit.
pub fn verify(
    begins: (u64, Digest),
    mut frames: impl Iterator<Item = Result<Frame, StoreError>>,
    witness: &mut Witness,
) -> Result<Verified, Failure> {
    let (first, head) = begins;
    let mut replayed = (first == 1).then(Replayed::default);
    witness.begin(first, head)?;
    let mut verified =
        Verified { first, last: first.saturating_sub(1), frames: 0, head, newer: 0, books: None };
    while let Some(frame) = frames.next() {
        let frame = frame.map_err(OpenError::from)?;
        let checked = frame.check(verified.head, verified.last.saturating_add(1));
        // A frame that stands in the wrong place is not the one that a witness has noted for it.
        if let Err(bad @ (BadFrame::Gap { .. } | BadFrame::OutOfPlace { .. })) = checked {
            return Err(OpenError::from(bad).into());
        }
        witness.compare(&frame, &mut frames)?;
        match &mut replayed {
            Some(replayed) => {
                replayed.follow(&frame, |_, _| Ok::<_, OpenError>(()))?;
                let head = Head { sequence: frame.last(), hash: frame.hash };
                witness.compare_books(head, &replayed.books)?;
            }
            None => drop(checked.map_err(OpenError::from)?),
        }
        (verified.last, verified.head) = (frame.last(), frame.hash);
        verified.frames += 1;
        if frame.engine > ENGINE_VERSION {
            verified.newer += u64::from(frame.count);
        }
    }
    witness.conclude(verified.last)?;
    if let Some(replayed) = replayed {
        replayed.conclude()?;
        verified.books = Some(replayed.books);
    }
    Ok(verified)
}

/// Why a journal does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It contradicts itself.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// It is not what was noted of it.
    #[error(transparent)]
    Contradicted(#[from] Contradiction),
    /// What was noted is damaged itself, and shows nothing.
    #[error("the export to compare with cannot be relied on: {0}")]
    Witness(OpenError),
}

impl Failure {
    /// The first entry that cannot be relied on, where that is known.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Journal(error) => error.entry(),
            Self::Contradicted(contradiction) => Some(contradiction.entry()),
            Self::Witness(_) => None,
        }
    }
}
