//! What an admission came to: the decision, every finding, and exactly what of the books was read for it.

use genops_spec::Decision;
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::budget::CellKey;
use crate::circuit::CircuitStep;
use crate::digest::Digest;
use crate::finding::{Finding, Mode, Question, decisive};
use crate::ledger::{CellId, Standing};
use crate::naming::OfAny;
use crate::rate::{RateAnswer, RateStep};
use crate::sla::SlaStep;
use crate::time::Timestamp;

/// A decision and what it rests on. The same ruling follows again from the policy, the time, the proposal and what was
/// read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// One decision with at most one reason code (section 4).
    pub decision: Decision,
    /// Every rule that did not simply allow it, in the order in which they were asked.
    pub findings: Vec<Finding>,
    /// The policy that decided.
    pub policy: Digest,
    /// The circuit of the provider, where it was asked.
    pub circuit: Option<CircuitStep>,
    /// The rates that were asked.
    pub rates: Vec<RateStep>,
    /// The tier, where it was asked.
    pub sla: Option<SlaStep>,
    /// What was reserved, cell by cell; for a refusal, the cells that were read and what was wanted there.
    pub cells: Vec<Reservation>,
}

/// What an AWU reserved in one cell, or found there when it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The cell. One that does not exist yet has the next free number and is opened by the admission.
    pub cell: CellId,
    /// What the cell is for.
    pub key: CellKey,
    /// How much.
    pub amount: Amount,
    /// The cell as it stood before.
    pub before: Standing,
}

/// What admission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Admitted(Admitted),
    /// It may not.
    Refused(Refused),
}

/// An admission: the ruling and everything that was reserved by it. Only [`admit`](super::admit) makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    pub(super) ruling: Ruling,
    pub(super) unit: Unit,
    pub(super) output_limit: Option<u64>,
    pub(super) started: bool,
}

/// A refusal, remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// BLOCKED or RATE_LIMITED, with its reason code, and what that rests on.
    pub ruling: Ruling,
    /// Whether only work in flight kept it out, whose reservations come back: then it fits, with what the budget lends,
    /// once enough of that work has ended.
    pub waits_for_work: bool,
}

impl Ruling {
    /// The finding that made the decision; `None` where it is ALLOWED.
    #[must_use]
    pub fn decisive(&self) -> Option<&Finding> {
        decisive(&self.findings)
    }
}

impl Reservation {
    /// What remains in the cell after the reservation; `None` in an unlimited cell.
    #[must_use]
    pub fn remaining_after(&self) -> Option<Amount> {
        self.before.remaining()?.checked_sub(self.amount)
    }
}

impl Admitted {
    /// Puts other names in the place of whose share a cell or a rate is.
    pub(crate) fn rename(&mut self, other: &mut OfAny<'_>) {
        self.ruling.rename(other);
    }

    /// The ruling.
    #[must_use]
    pub const fn ruling(&self) -> &Ruling {
        &self.ruling
    }

    /// ALLOWED, or WARNING with its reason code.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.ruling.decision
    }

    /// The reservations, one a cell.
    #[must_use]
    pub fn path(&self) -> &[Reservation] {
        &self.ruling.cells
    }

    /// Whether the admission recorded the start as well.
    #[must_use]
    pub const fn started(&self) -> bool {
        self.started
    }

    /// The output limit of each choice, in tokens, where it was lowered to what the budgets afford. Whoever executes
    /// has to keep to it.
    #[must_use]
    pub const fn output_limit(&self) -> Option<u64> {
        self.output_limit
    }

    /// The accounting unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The place on the path of the one reservation that section 8.2 tells: in the accounting unit, in the
    /// tightest budget (the least remains there afterwards).
    #[must_use]
    pub fn accounting(&self) -> Option<(usize, &Reservation)> {
        let counted = self.path().iter().enumerate().filter(|(_, step)| step.key.unit == self.unit);
        counted.min_by_key(|(_, step)| {
            let remaining = step.remaining_after();
            (remaining.is_none(), remaining)
        })
    }
}

impl Refused {
    /// The earliest time at which what refused it would not any more, if nothing else arrives: every rate, or the circuit
    /// of its provider; `None` where neither refused, or waiting alone does not help.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        match self.ruling.decisive()?.question {
            Question::Provider => self.ruling.circuit.as_ref()?.tries_again,
            Question::Rate => self.earliest_of_rates(),
            _ => None,
        }
    }

    fn earliest_of_rates(&self) -> Option<Timestamp> {
        let mut latest = None;
        for step in self.ruling.rates.iter().filter(|step| step.mode == Mode::Enforce) {
            match step.answer {
                RateAnswer::Takes(_) | RateAnswer::TakesPlace => {}
                RateAnswer::Wait(until) => latest = latest.max(Some(until)),
                RateAnswer::Full | RateAnswer::TooMuch | RateAnswer::NoPlace => return None,
            }
        }
        latest
    }
}
