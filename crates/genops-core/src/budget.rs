//! Budgets: an amount of one unit, for whom, and how often it begins anew.
//!
//! A budget says what is allowed. What has been reserved and used stands in the cells of the
//! [`ledger`](crate::ledger): one cell for each budget and window.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::finding::Mode;
use crate::index::Selective;
use crate::name::Name;
use crate::selector::Selector;
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
    /// What happens where a reservation does not fit.
    pub on_insufficient: OnInsufficient,
    /// Whether it refuses, or warns and is passed.
    pub mode: Mode,
}

impl Budget {
    /// A budget for every AWU and for good, which refuses what does not fit.
    #[must_use]
    pub fn new(name: Name, unit: Unit, limit: Amount) -> Self {
        Self {
            name,
            selector: Selector::default(),
            unit,
            limit,
            period: Period::None,
            on_insufficient: OnInsufficient::Refuse,
            mode: Mode::Enforce,
        }
    }
}

/// What happens where a reservation does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnInsufficient {
    /// The AWU is refused.
    #[default]
    Refuse,
    /// The AWU's output limit is lowered to what every budget affords that lowers it, for each of its choices; below this
    /// many tokens it is refused. A budget that refuses has to hold the whole call.
    Cap {
        /// At least 1.
        minimum_output_tokens: u64,
    },
}

impl Selective for Budget {
    fn selector(&self) -> &Selector {
        &self.selector
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
