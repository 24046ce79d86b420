//! Deciding every entry anew: whether the rules of this program, given the same books and commands, come to the same
//! outcomes, byte for byte.
//!
//! Entries that another version of the rules decided are applied and not decided: what was acknowledged then holds,
//! whatever the rules have become since.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use genops_core::Name;
use genops_core::budget::Budget;
use genops_core::ledger::{self, Books, Command, ENGINE_VERSION, Entry, FORMAT_VERSION, Outcome, Rejection};
use genops_core::period::{Period, TZDB_VERSION};

use crate::differ::{self, Difference};
use crate::frame::Frame;
use crate::recover::{OpenError, Replayed};
use crate::store::StoreError;

/// The versions of the rules that have decided entries of the format that is read. Another has no honest origin: somebody
/// says so who does not want the entries to be decided anew.
const ENGINES: RangeInclusive<u16> = 7..=ENGINE_VERSION;

const _: () = assert!(FORMAT_VERSION == 7, "a new format has engines of its own: say above which");

/// What deciding anew came to: what was decided anew agrees.
#[derive(Debug, Default)]
pub struct Redecided {
    /// Entries that were decided anew, and agree.
    pub decided: u64,
    /// Entries of other versions of the rules: evolved, not decided.
    pub evolved: u64,
    /// Entries that come to another outcome here, and whose policy counts periods by another edition of the rules of time
    /// zones than this program has: which window they were in cannot be judged here, and so neither can they.
    pub unjudged: u64,
    /// The other editions.
    pub editions: BTreeSet<Name>,
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
        let Redecided { decided, evolved, unjudged, editions, replayed } = &mut redecided;
        replayed.follow(&frame, |books, entry| {
            match engine {
                ENGINE_VERSION => match (agree(books, entry), other_edition(books, entry)) {
                    (Ok(()), _) => *decided += 1,
                    (Err(_), Some(edition)) => {
                        *unjudged += 1;
                        editions.insert(edition);
                    }
                    (Err(disagreement), None) => return Err(disagreement),
                },
                engine if ENGINES.contains(&engine) => *evolved += 1,
                engine if engine > ENGINE_VERSION => {
                    return Err(Disagreement::Newer { sequence: entry.sequence, engine });
                }
                engine => return Err(Disagreement::Engine { sequence: entry.sequence, engine }),
            }
            Ok(())
        })?;
    }
    redecided.replayed.conclude()?;
    Ok(redecided)
}

/// The edition of the rules of time zones that the policy an entry was decided under counts by, where it is not the one
/// here and any of its budgets goes by the clocks of a zone that has rules.
fn other_edition(books: &Books, entry: &Entry) -> Option<Name> {
    let policy = match &entry.command {
        Command::AdoptPolicy(policy) => policy,
        _ => books.policy(),
    };
    let has_rules = |budget: &Budget| match &budget.period {
        Period::Calendar { zone, .. } => zone.as_str() != "UTC",
        Period::None | Period::Between { .. } | Period::Rolling { .. } => false,
    };
    let is_other = policy.zone_rules.as_str() != TZDB_VERSION && policy.budgets.iter().any(has_rules);
    is_other.then(|| policy.zone_rules.clone())
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
    /// Newer rules are said to have decided it.
    #[error(
        "entry {sequence} is said to be decided by version {engine} of the rules, which is newer than version \
         {ENGINE_VERSION} of this program: nothing is shown of it, or of what follows; replay it with the version of genops \
         that wrote it, or a later one"
    )]
    Newer {
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
            | Self::Newer { sequence, .. }
            | Self::Rejected { sequence, .. }
            | Self::Differs { sequence, .. } => Some(*sequence),
        }
    }
}
