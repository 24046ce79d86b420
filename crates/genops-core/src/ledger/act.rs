//! What is added to the journal beside the lives of AWUs: administrative acts, each with who did it and why, and what
//! workloads report of AWUs that have been decided.
//!
//! What they change is worked out in [`books`](super::books); here is only what they say.

use serde::{Deserialize, Serialize};

use super::cell::CellId;
use crate::amount::{Amount, Unit};
use crate::attribution::Attribution;
use crate::awu::AwuId;
use crate::budget::CellKey;
use crate::name::Name;
use crate::selector::Share;
use crate::time::Timestamp;

/// Who did it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The key that was shown, by name, or whoever else is responsible.
    pub author: Name,
    /// The reason, in their words.
    pub reason: Name,
}

/// More for a budget, for some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The budget's name.
    pub budget: Name,
    /// Whose share of the budget, as its `each` divides it; empty for every cell of it.
    pub each: Box<[Share]>,
    /// How much more may be used in each of its cells.
    pub amount: Amount,
    /// Until when.
    pub until: Timestamp,
    /// Who grants it, and why.
    pub act: Act,
}

/// A posting to the cells of an AWU that has been settled: what it was charged was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The AWU.
    pub awu: AwuId,
    /// The entry that admitted it.
    pub admitted: u64,
    /// By how much each cell's charge changes: by one posting that adds, or by some that take away, each what was charged
    /// at another time.
    pub postings: Vec<Posting>,
    /// What that means in the AWU's accounting unit.
    pub revision: Revision,
    /// Who corrects it, and why.
    pub act: Act,
}

/// An amount for one cell; less than nothing takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The cell.
    pub cell: CellId,
    /// How much is added to what has been used there.
    pub amount: Amount,
    /// Where it takes away: when that was charged. What it adds is charged when it is posted.
    pub charged_at: Timestamp,
}

/// What an AWU was charged, and what it is charged now, in its accounting unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Whom it belongs to.
    pub attribution: Attribution,
    /// The unit.
    pub unit: Unit,
    /// What it had reserved.
    pub reserved: Amount,
    /// What it was charged until now.
    pub before: Amount,
    /// What it is charged from now on.
    pub actual: Amount,
}

/// Something that a workload reports of an AWU (section 8.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The AWU.
    pub awu: AwuId,
    /// The entry that decided it.
    pub decided: u64,
    /// Whom it belongs to.
    pub attribution: Attribution,
    /// What is reported.
    pub what: Reported,
}

/// What is reported of an AWU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reported {
    /// `genops.evaluation.complete`: the result of a quality or safety evaluation.
    Evaluation {
        /// What was measured.
        metric: Name,
        /// The result, at the scale of amounts.
        score: Amount,
        /// What it had to reach.
        threshold: Option<Amount>,
        /// Whether it did.
        passed: Option<bool>,
    },
    /// `genops.cost.calculated`: what somebody reckons that it cost. It changes no balance.
    Cost {
        /// How much.
        total: Amount,
        /// In which currency, as ISO 4217 writes it.
        currency: Name,
        /// The provider that charges it.
        provider: Option<Name>,
        /// The model that it was charged for.
        model: Option<Name>,
    },
}

/// So much of what is allocated to a cell has been used that people want to know (`genops.budget.alert`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The cell.
    pub cell: CellId,
    /// What it is for.
    pub key: CellKey,
    /// The threshold that was reached, in percent of what is allocated.
    pub percent: u16,
    /// What has been used.
    pub used: Amount,
    /// What is allocated.
    pub allocated: Amount,
}
