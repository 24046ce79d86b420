//! Budgets: an amount of one unit, for whom, and how often it begins anew.
//!
//! A budget says what is allowed. What has been reserved and used stands in the cells of the
//! [`ledger`](crate::ledger): one cell for each budget and window.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::attribution::Attribution;
use crate::name::Name;
use crate::time::{Period, Timestamp, Window};

/// A limit on what a part of the organisation may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its name; unique in a policy.
    pub name: Name,
    /// Whose AWUs count against it.
    pub selector: Selector,
    /// What it counts.
    pub unit: Unit,
    /// How much may be used in each period.
    pub limit: Amount,
    /// How often it begins anew.
    pub period: Period,
}

/// Chooses AWUs by their attribution. A field that lists nothing matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    /// One of these teams.
    pub team: Vec<Name>,
    /// One of these projects.
    pub project: Vec<Name>,
    /// One of these environments.
    pub environment: Vec<Name>,
}

impl Selector {
    /// Whether the selector chooses this attribution.
    #[must_use]
    pub fn matches(&self, attribution: &Attribution) -> bool {
        let one_of = |names: &[Name], name: &Name| names.is_empty() || names.contains(name);
        one_of(&self.team, attribution.team())
            && one_of(&self.project, attribution.project())
            && one_of(&self.environment, attribution.environment())
    }
}

/// What a cell is for: a budget, its unit and one occurrence of its period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// The budget's name; `None` is the unlimited cell of AWUs that no budget covers.
    pub budget: Option<Name>,
    /// What the cell counts.
    pub unit: Unit,
    /// The occurrence of the period.
    pub window: Window,
}

/// What the cell without a budget is called.
pub const UNBUDGETED: &str = "unbudgeted";

impl CellKey {
    /// The cell of `budget` at the time `at`.
    #[must_use]
    pub fn of(budget: &Budget, at: Timestamp) -> Self {
        Self { budget: Some(budget.name.clone()), unit: budget.unit, window: budget.period.window(at) }
    }

    /// The unlimited cell for AWUs that no budget of this unit covers.
    #[must_use]
    pub const fn unbudgeted(unit: Unit) -> Self {
        Self { budget: None, unit, window: Window::Always }
    }

    /// The budget's name, or `unbudgeted`.
    #[must_use]
    pub fn budget_name(&self) -> &str {
        self.budget.as_ref().map_or(UNBUDGETED, Name::as_str)
    }
}
