//! Budgets: an amount of one unit, for whom, how often it begins anew, and how strict it is.
//!
//! A budget says what is allowed. What has been reserved and used stands in the cells of the
//! [`ledger`](crate::ledger): one cell for each budget, share of it and window.
//!
//! ```
//! use genops_core::budget::{Budget, Overdraft};
//! use genops_core::period::{Period, Span};
//! use genops_core::selector::{Facet, Selector};
//! use genops_core::{Name, Unit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // 3,600 compute seconds a month for each project of team `research`, by Berlin's clocks. Up to 600 more are lent, with
//! // a warning, and people are told at 80 percent.
//! let budget = Budget {
//!     selector: Selector::default().with(Facet::Team, vec![Name::new("research")?]),
//!     each: vec![Facet::Project],
//!     period: Period::Calendar { span: Span::Month, zone: Name::new("Europe/Berlin")? },
//!     overdraft: Overdraft::UpTo("600".parse()?),
//!     alerts: vec![80],
//!     ..Budget::new(Name::new("gpu")?, "compute_seconds".parse::<Unit>()?, "3600".parse()?)
//! };
//! assert_eq!(budget.unit.to_string(), "compute_seconds");
//! # Ok(())
//! # }
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::awu::Proposal;
use crate::finding::Mode;
use crate::index::Selective;
use crate::name::Name;
use crate::period::{Period, Window};
use crate::selector::{Facet, Selector, Share};

/// A limit on what a part of the organisation may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its name; unique in a policy.
    pub name: Name,
    /// Whose AWUs count against it.
    pub selector: Selector,
    /// The facets whose values have the limit for themselves, each combination of them.
    pub each: Vec<Facet>,
    /// What it counts.
    pub unit: Unit,
    /// How much may be used in each period.
    pub limit: Amount,
    /// How often it begins anew.
    pub period: Period,
    /// How far reservations may pass the limit; where they do, that is a warning.
    pub overdraft: Overdraft,
    /// What happens where a reservation does not fit, overdraft included.
    pub on_insufficient: OnInsufficient,
    /// When people are told, in percent of what is allocated that has been used: each once for a cell.
    pub alerts: Vec<u16>,
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
            each: Vec::new(),
            unit,
            limit,
            period: Period::None,
            overdraft: Overdraft::None,
            on_insufficient: OnInsufficient::Refuse,
            alerts: Vec::new(),
            mode: Mode::Enforce,
        }
    }

    /// Whether it is divided by the facets of these shares, in this order.
    #[must_use]
    pub fn is_divided_as(&self, shares: &[Share]) -> bool {
        shares.iter().map(|share| &share.facet).eq(&self.each)
    }

    /// The shares with these values, one for each facet that it is divided by; of no values none. `None` where there are
    /// more or fewer values.
    #[must_use]
    pub fn shares(&self, values: Vec<Option<Name>>) -> Option<Box<[Share]>> {
        let fits = values.is_empty() || values.len() == self.each.len();
        let shares = self.each.iter().zip(values).map(|(facet, value)| Share { facet: *facet, value });
        fits.then(|| shares.collect())
    }
}

/// How far reservations may pass a budget's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Overdraft {
    /// Not at all: a hard limit.
    #[default]
    None,
    /// By at most so much.
    UpTo(Amount),
    /// However far: a soft limit.
    Unbounded,
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

/// What a cell is for: a budget, whose share of it, its unit and one occurrence of its period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// The budget's name; `None` is the unlimited cell of AWUs that no budget covers.
    pub budget: Option<Name>,
    /// The facets of the budget's `each` with their values, in its order.
    pub each: Box<[Share]>,
    /// What the cell counts.
    pub unit: Unit,
    /// The occurrence of the period.
    pub window: Window,
}

/// What the cell without a budget is called.
pub const UNBUDGETED: &str = "unbudgeted";

impl CellKey {
    /// The cell of `budget` that `proposal` reserves in, in `window`.
    #[must_use]
    pub fn of(budget: &Budget, proposal: &Proposal, window: Window) -> Self {
        Self {
            budget: Some(budget.name.clone()),
            each: proposal.each(&budget.each),
            unit: budget.unit,
            window,
        }
    }

    /// The unlimited cell for AWUs that no budget of this unit covers.
    #[must_use]
    pub fn unbudgeted(unit: Unit) -> Self {
        Self { budget: None, each: Box::default(), unit, window: Window::Always }
    }

    /// The budget's name, or `unbudgeted`.
    #[must_use]
    pub fn budget_name(&self) -> &str {
        self.budget.as_ref().map_or(UNBUDGETED, Name::as_str)
    }

    /// Whether the cell is a part of the budget called `budget`: of all of it, or of the share that `each` names.
    #[must_use]
    pub fn is_of(&self, budget: &Name, each: &[Share]) -> bool {
        self.budget.as_ref() == Some(budget) && (each.is_empty() || *self.each == *each)
    }

    /// Whether it is the cell of a share of `budget` in `window`: divided, and counted, as the budget is.
    #[must_use]
    pub fn is_current(&self, budget: &Budget, window: Window) -> bool {
        self.budget.as_ref() == Some(&budget.name)
            && self.unit == budget.unit
            && self.window == window
            && budget.is_divided_as(&self.each)
    }
}

/// For people: `team-month`, `per-customer (acme)`.
impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.budget_name())?;
        if self.each.is_empty() {
            return Ok(());
        }
        let each: Vec<_> = self.each.iter().map(Share::to_string).collect();
        write!(f, " ({})", each.join(", "))
    }
}
