//! What the questions of an admission find, and how findings are put together to one decision (section 4).
//!
//! Who asks, and in which order, is in [`admit`](crate::admit).

use core::fmt;

use genops_spec::{Decision, ReasonCode};
use serde::{Deserialize, Serialize};

use crate::name::Name;

/// Whether a rule refuses, or only says that it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// It refuses.
    #[default]
    Enforce,
    /// It warns where it would refuse, and the AWU runs.
    Observe,
}

/// A question of an admission. They are asked in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Question {
    /// May this model be used?
    Model,
    /// May the work be done in this region?
    Region,
    /// Does a condition speak against it?
    Condition,
    /// May this be sent?
    Content,
    /// Is the provider known to be down?
    Provider,
    /// Can what it costs be bounded?
    Bound,
    /// Is its price known?
    Price,
    /// Does it come too soon, or beside too many others?
    Rate,
    /// Will it be in time?
    Sla,
    /// Is there room in every budget?
    Room,
}

impl Question {
    /// The word for it in answers and telemetry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Region => "region",
            Self::Condition => "condition",
            Self::Content => "content",
            Self::Provider => "provider",
            Self::Bound => "bound",
            Self::Price => "price",
            Self::Rate => "rate",
            Self::Sla => "sla",
            Self::Room => "budget",
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that did not simply allow the AWU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was asked.
    pub question: Question,
    /// The rule or budget that answered; `None` where nobody can write a rule about it.
    pub rule: Option<Name>,
    /// What it said: BLOCKED, RATE_LIMITED or WARNING, with the reason code.
    pub said: Decision,
    /// Whether it was only observed: a refusal that became a warning.
    pub is_observed: bool,
}

impl Finding {
    /// Whether the AWU may not run because of it.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        !self.is_observed && matches!(self.said, Decision::Blocked(_) | Decision::RateLimited(_))
    }

    /// What it comes to. A refusal that is only observed is a warning with the same code; but a budget that would not
    /// have held the reservation warns as exceeded, since its reservation was made after all, and
    /// BUDGET_RESERVATION_FAILED always means BLOCKED (section 3.5).
    #[must_use]
    pub fn decision(&self) -> Decision {
        match (&self.said, self.is_observed) {
            (Decision::Blocked(ReasonCode::BudgetReservationFailed), true) => {
                Decision::Warning(ReasonCode::BudgetExceeded)
            }
            (Decision::Blocked(code) | Decision::RateLimited(code), true) => Decision::Warning(code.clone()),
            (said, _) => said.clone(),
        }
    }
}

/// Puts findings together: a refusal that is enforced dominates, the first in order; then the first warning; without
/// findings the AWU is allowed.
#[must_use]
pub fn combined(findings: &[Finding]) -> Decision {
    decisive(findings).map_or(Decision::Allowed, Finding::decision)
}

/// The finding that makes the decision; `None` where it is ALLOWED.
#[must_use]
pub fn decisive(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.refuses()).or_else(|| findings.first())
}
