//! Deciding every entry anew: whether the rules of this program, given the same books and commands, come to the same
//! outcomes, byte for byte.
//!
//! Entries that another version of the rules decided are applied and not decided: what was acknowledged then holds,
//! whatever the rules have become since.

use std::ops::RangeInclusive;

use genops_core::ledger::{self, Books, ENGINE_VERSION, Entry, FORMAT_VERSION, Outcome, Rejection};

use crate::differ::{self, Difference};
use crate::frame::Frame;
use crate::recover::{OpenError, Replayed};
use crate::store::StoreError;

/// The versions of the rules that have decided entries of the format that is read. Another has no honest origin: somebody
/// says so who does not want the entries to be decided anew.
const ENGINES: RangeInclusive<u16> = 5..=ENGINE_VERSION;

const _: () = assert!(FORMAT_VERSION == 5, "a new format has engines of its own: say above which");

/// What deciding anew came to: what was decided anew agrees.
#[derive(Debug, Default)]
pub struct Redecided {
    /// Entries that were decided anew, and agree.
    pub decided: u64,
    /// Entries of other versions of the rules: evolved, not decided.
    pub evolved: u64,
    /// What the journal comes to.
    pub replayed: Replayed,
}

/// Decides every entry anew, from the first one on.
///
/// # Errors
///
/// The journal does not hold, or the first entry whose outcome is another.
pub fn redecide(frames: impl Iterator<Item = Result<Frame, StoreError>>) -> Result<Redecided, Disagreement> {
    let mut redecided = Redecided::default();
    for frame in frames {
        let frame = frame.map_err(OpenError::from)?;
        let engine = frame.engine;
        redecided.replayed.follow(&frame, |books, entry| match engine {
            ENGINE_VERSION => agree(books, entry),
            engine if ENGINES.contains(&engine) => Ok(()),
            engine => Err(Disagreement::Engine { sequence: entry.sequence, engine }),
        })?;
        let count = if engine == ENGINE_VERSION { &mut redecided.decided } else { &mut redecided.evolved };
        *count += u64::from(frame.count);
    }
    redecided.replayed.conclude()?;
    Ok(redecided)
}

fn agree(books: &Books, entry: &Entry) -> Result<(), Disagreement> {
    let sequence = entry.sequence;
    let outcome = ledger::decide(books, entry.at, &entry.command)
        .map_err(|rejection| Disagreement::Rejected { sequence, rejection })?;
    match (postcard::to_stdvec(&entry.outcome), postcard::to_stdvec(&outcome)) {
        (Ok(recorded), Ok(decided)) if recorded == decided => Ok(()),
        _ => Err(Disagreement::Differs { sequence, difference: difference(&outcome, &entry.outcome) }),
    }
}

fn difference(decided: &Outcome, recorded: &Outcome) -> Difference {
    let json = |outcome: &Outcome| serde_json::to_value(outcome).unwrap_or_default();
    differ::first(&json(decided), &json(recorded)).unwrap_or_else(|| Difference {
        place: String::new(),
        expected: "those of the rules".into(),
        found: "other bytes".into(),
    })
}

/// An entry whose outcome the rules do not come to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The journal does not hold by itself.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Rules are said to have decided it that never decided entries of this format.
    #[error(
        "entry {sequence} is said to be decided by version {engine} of the rules, which never decided entries of this \
         format; this program decides by version {ENGINE_VERSION}"
    )]
    Engine {
        /// The entry.
        sequence: u64,
        /// The version that is said.
        engine: u16,
    },
    /// The rules reject the command.
    #[error(
        "entry {sequence} was never decided so: its command does not fit the books before it: {rejection}"
    )]
    Rejected {
        /// The entry.
        sequence: u64,
        /// Why.
        rejection: Rejection,
    },
    /// The rules come to another outcome.
    #[error("entry {sequence} is decided otherwise by these rules: in its outcome, {difference}")]
    Differs {
        /// The entry.
        sequence: u64,
        /// Where, what the rules say, and what is recorded.
        difference: Difference,
    },
}

impl Disagreement {
    /// The first entry that cannot be relied on, where that is known.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Journal(error) => error.entry(),
            Self::Engine { sequence, .. }
            | Self::Rejected { sequence, .. }
            | Self::Differs { sequence, .. } => Some(*sequence),
        }
    }
}
