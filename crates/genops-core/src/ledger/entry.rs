//! What the journal holds: commands, their outcomes, and the entry that joins the two.
//!
//! The encoding is `postcard`, field after field in the order written here. Changing a type in this file,
//! or one that it names, changes the bytes: that needs a new [`FORMAT_VERSION`] and a reader for the old.

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::act::{Act, Alert, Correction, Grant, Note, Revision};
use super::cell::CellId;
use super::cells::CellRange;
use crate::admit::{Admitted, Refused};
use crate::amount::{Amount, Unit};
use crate::awu::{AwuId, Execution, Proposal, State, TraceContext};
use crate::circuit::CircuitStep;
use crate::digest::Digest;
use crate::name::Name;
use crate::policy::{Policy, PolicyProblem};
use crate::rate::RateShift;
use crate::time::Timestamp;

/// The version of the bytes of an entry, and of what the hash of a frame covers.
pub const FORMAT_VERSION: u16 = 7;

/// The version of the rules in [`decide`](super::decide). It rises when the same books and command come
/// to another outcome.
pub const ENGINE_VERSION: u16 = 7;

/// The version of the bytes of the books. It rises when the same books have other bytes, or the same journal comes to
/// other books.
pub const BOOKS_VERSION: u16 = 2;

/// One line of the journal. Cloning is cheap: what is large in it is shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the order, from 1, without gaps.
    pub sequence: u64,
    /// When: never before the entry in front of it.
    pub at: Timestamp,
    /// What was asked.
    pub command: Command,
    /// What came of it.
    pub outcome: Outcome,
}

/// What can be asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Go by this policy from now on.
    AdoptPolicy(Arc<Policy>),
    /// Decide whether an AWU may run, and reserve for it if it may.
    Admit(Arc<Admit>),
    /// Record that an admitted AWU begins to execute.
    Start {
        /// Which.
        awu: AwuId,
    },
    /// Give the holder of an AWU more time.
    Extend {
        /// Which.
        awu: AwuId,
        /// How long from now, in nanoseconds.
        within_ns: u64,
    },
    /// Give back the reservation of an AWU that will not run.
    Release {
        /// Which.
        awu: AwuId,
    },
    /// Record what an execution used, and release the rest. Where the AWU is in doubt by now, that is late news.
    Settle {
        /// Which.
        awu: AwuId,
        /// How it went.
        execution: Execution,
    },
    /// Resolve an AWU whose process died.
    Orphan {
        /// Which.
        awu: AwuId,
    },
    /// Resolve an AWU whose holder has not been heard of in time.
    Expire {
        /// Which.
        awu: AwuId,
    },
    /// An operator says what an AWU used that is in doubt.
    Resolve {
        /// Which.
        awu: AwuId,
        /// How it went, as far as the operator knows.
        execution: Execution,
        /// Who says so, and why.
        act: Act,
    },
    /// Correct what an AWU was charged that has been settled.
    Correct(Arc<Correction>),
    /// Grant a budget more, for some time.
    Grant(Arc<Grant>),
    /// End a grant before its time.
    Revoke {
        /// The entry that made it.
        grant: u64,
        /// Who ends it, and why.
        act: Act,
    },
    /// Let go of a grant whose time is over.
    Lapse {
        /// The entry that made it.
        grant: u64,
    },
    /// Keep what a workload reports of an AWU.
    Report(Arc<Note>),
    /// Note that a person's identifier has been erased. The entry holds only the digest that stood for it.
    Erase {
        /// What stood for the identifier in entries.
        pseudonym: Name,
        /// Who erased it, and why.
        act: Act,
    },
    /// Close the cells in which nothing counts any more, nothing was reserved or charged since some time and nothing is open:
    /// they leave the books. Those are of windows that were over by then, or move and have left everything.
    CloseCells {
        /// The time. What was decided before it has left for an archive.
        before: Timestamp,
        /// Who closes them, and why.
        act: Act,
    },
}

/// A request for admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The AWU's identity, assigned before admission.
    pub awu: AwuId,
    /// How its span hangs together with what called it.
    pub trace: TraceContext,
    /// The AWU that this one tries again for, or in the place of: the first of its attempts.
    pub attempt_of: Option<AwuId>,
    /// The policy that the facts of the proposal were worked out under. Where another is in force by now, the command
    /// does not fit, and they have to be worked out again; `None` where no fact depends on the policy.
    pub assessed_under: Option<Digest>,
    /// Whether the admission records the start as well: nothing stands between the two.
    pub starts: bool,
    /// How long its holder may be silent, in nanoseconds; then it is released, or in doubt once it has been started.
    /// `None` where this process holds it, and its end is the holder's.
    pub within_ns: Option<u64>,
    /// The caller's name for this request: the same one again is answered by what came of it the first time.
    pub idempotency: Option<Idempotency>,
    /// What it asks to do.
    pub proposal: Proposal,
}

impl Admit {
    /// A request that stands for itself: no caller's trace, no other attempt, and a start of its own.
    #[must_use]
    pub const fn new(awu: AwuId, proposal: Proposal) -> Self {
        let trace = TraceContext::Root;
        Self {
            awu,
            trace,
            attempt_of: None,
            assessed_under: None,
            starts: false,
            within_ns: None,
            idempotency: None,
            proposal,
        }
    }
}

/// A caller's name for a request. Keys of callers are apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The name.
    pub key: Name,
    /// The digest of what was asked, as the caller wrote it.
    pub payload: Digest,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The policy is in force.
    PolicyAdopted {
        /// Its address.
        version: Digest,
        /// Cells that have a new limit.
        reallocated: Vec<Reallocation>,
        /// Thresholds that are reached under it.
        alerts: Vec<Alert>,
    },
    /// The AWU may run.
    Admitted(Arc<Admitted>),
    /// The AWU may not run. Final.
    Refused(Arc<Refused>),
    /// The AWU executes.
    Started,
    /// The holder has time until then.
    Extended {
        /// When it is taken for lost.
        deadline: Timestamp,
    },
    /// The reservation was given back. Final.
    Released,
    /// The AWU is accounted for. Final.
    Settled(Settled),
    /// Nobody knows what the AWU used; it is charged its reservation.
    InDoubt {
        /// Thresholds that this reached.
        alerts: Vec<Alert>,
    },
    /// The charge was corrected.
    Corrected {
        /// Thresholds that this reached.
        alerts: Vec<Alert>,
    },
    /// The grant holds.
    Granted,
    /// The grant has ended.
    GrantEnded {
        /// Thresholds that are reached without it.
        alerts: Vec<Alert>,
    },
    /// It has been noted.
    Noted,
    /// The cells are not in the books any more.
    CellsClosed {
        /// Which, in the order of their numbers.
        cells: Vec<CellRange>,
    },
}

/// A cell's new limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reallocation {
    /// The cell.
    pub cell: CellId,
    /// What it may hold from now on.
    pub allocated: Amount,
}

/// What an AWU was charged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settled {
    /// The actual amount in each cell, in the order of the AWU's path.
    pub actual: Vec<Amount>,
    /// Whether the actual is the reservation, or what was counted here, for want of a report (section 3.5).
    pub incomplete: bool,
    /// What rates get back, or have to wait longer for.
    pub rates: Vec<RateShift>,
    /// What it says of the provider.
    pub circuit: Option<CircuitStep>,
    /// Thresholds that this reached.
    pub alerts: Vec<Alert>,
    /// Where the AWU was in doubt: what it was charged, and is charged now.
    pub late: Option<Box<Revision>>,
}

/// A command that does not fit: the caller's mistake, not a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyProblem),
    /// A grant holds for a budget that the policy does not have any more, or that counts something else there; or for a
    /// share of one that is divided otherwise there.
    #[error(
        "a grant holds for a budget that the new policy does not have, or counts in another unit, or for a share of one that \
         it divides by other facets (`each`); revoke the grant first, or wait until it has ended"
    )]
    GrantHolds,
    /// The facts of a proposal were worked out under another policy, or not at all though the policy in force has
    /// conditions or content rules.
    #[error("the facts of the call were not worked out under the policy in force; work them out again")]
    AssessedUnderAnotherPolicy,
    /// An AWU of this identity is open already.
    #[error("AWU {awu} is open already; take a new identity")]
    AlreadyOpen {
        /// Which.
        awu: AwuId,
    },
    /// The caller's key was used for this request before.
    #[error(
        "the idempotency key was used for the same request before; its outcome is that of entry {sequence}"
    )]
    Remembered {
        /// The entry with the outcome.
        sequence: u64,
    },
    /// The caller's key was used for another request.
    #[error("the idempotency key was used for another request, decided by entry {sequence}; take a new key")]
    KeyConflict {
        /// The entry that decided the other request.
        sequence: u64,
    },
    /// The caller's key is so old that nobody remembers whether it was used.
    #[error(
        "the idempotency key is older than what is remembered, so nobody can say whether it was used; take a new key"
    )]
    KeyTooOld,
    /// As many keys are remembered as may be.
    #[error(
        "{most} idempotency keys{whose} are remembered, which is as many as may be, so another could not be held to; \
         nothing was decided: ask again with the same key later, or without one, or let whoever runs the ledger raise the \
         limit"
    )]
    TooManyKeys {
        /// So many.
        most: u64,
        /// Whose they are.
        whose: Whose,
    },
    /// As many AWUs are open as may be.
    #[error(
        "{most} AWUs{whose} are open, which is as many as may be; nothing was decided: ask again once some have ended or \
         those in doubt are resolved, or let whoever runs the ledger raise the limit"
    )]
    TooManyOpen {
        /// So many.
        most: u64,
        /// Whose they are.
        whose: Whose,
    },
    /// A unit stands twice among the quantities of a proposal or an execution.
    #[error("`{0}` stands twice among the quantities; each unit has one amount")]
    UnitTwice(Unit),
    /// More is said to have been used than one AWU can be charged.
    #[error("more of `{0}` is said to have been used than can be charged: at most 1000000000000000")]
    TooMuch(Unit),
    /// The deadline has not come.
    #[error("AWU {awu} still has time")]
    NotDue {
        /// Which.
        awu: AwuId,
    },
    /// The AWU has no deadline: its process holds it.
    #[error("AWU {awu} has no deadline: the process that runs it holds it")]
    NoDeadline {
        /// Which.
        awu: AwuId,
    },
    /// The AWU is open: what it used is told by settling it.
    #[error("AWU {awu} has not been settled; settle or resolve it instead of correcting it")]
    StillOpen {
        /// Which.
        awu: AwuId,
    },
    /// A correction that the books cannot hold.
    #[error(
        "the correction does not fit: it contradicts itself, or a cell would come to less than nothing, or to more than \
         can be counted"
    )]
    CorrectionMisfits,
    /// A report says that an open AWU belongs to somebody else than it does.
    #[error("AWU {awu} belongs to somebody else than the report says")]
    OfSomebodyElse {
        /// Which.
        awu: AwuId,
    },
    /// A correction of what was charged in a cell that has been closed.
    #[error(
        "the correction is about cell {}, which is over and archived: it has been closed, and nothing is charged in it any \
         more", cell.index()
    )]
    CellClosed {
        /// Which.
        cell: CellId,
    },
    /// Cells were to be closed by a time that has not come.
    #[error("cells are closed that are over by a time that has come, and {before} has not")]
    ClosesAhead {
        /// The time.
        before: Timestamp,
    },
    /// There are no cells to close.
    #[error("no cell is there that was over by then and in which nothing is open")]
    NothingToClose,
    /// The same grant holds already.
    #[error("the same grant holds already, with the same end and reason: number {sequence}")]
    GrantHeld {
        /// The entry that made it, which is its number.
        sequence: u64,
    },
    /// No grant of this number holds.
    #[error("no grant {number} holds")]
    NoGrant {
        /// The number.
        number: u64,
    },
    /// The grant's time is not over.
    #[error("grant {number} still holds")]
    GrantNotOver {
        /// The number.
        number: u64,
    },
    /// A grant of nothing, or for no time, or for a budget that nobody has.
    #[error("the grant does not fit: {0}")]
    GrantMisfits(&'static str),
    /// The grant is for a budget that there is not.
    #[error("the grant does not fit: the policy in force has no budget of this name")]
    GrantOfNoBudget,
    /// The grant is for a share that its budget does not have: it is divided otherwise.
    #[error(
        "the grant does not fit: it has to name one value for each facet of the budget's `each`, or none"
    )]
    GrantOfNoShare,
    /// No AWU of this identity is open.
    #[error("AWU {awu} is not open: it was never admitted here, or has ended")]
    NotOpen {
        /// Which.
        awu: AwuId,
    },
    /// The AWU is open, but not where the command expects it.
    #[error("AWU {awu} is {}, which does not allow this step", state.as_str())]
    WrongState {
        /// Which.
        awu: AwuId,
        /// Where it stands.
        state: State,
    },
}

/// Whose things are counted that are as many as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of all callers together.
    Everybodys,
    /// Those of the caller's key.
    OneKeys,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everybodys => "",
            Self::OneKeys => " of this caller's key",
        })
    }
}
