//! Budgets as plain data: those of the policy in force with what has been used of them, and the cells of the others.
//!
//! A page is of one moment. What it holds is found first, by names, which never change; only then are the books looked
//! at, once and not for long.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use genops_core::budget::{Budget, CellKey};
use genops_core::ledger::{Books, Cell, CellId, Standing};
use genops_core::policy::InForce;
use genops_core::{Amount, Timestamp};
use genops_ledger::{Ledger, LedgerError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cells::numbers;
use super::{PAGE_MAX, ReportError, blocking, share, text};
use crate::governor::Governor;
use crate::persons::Persons;

/// Every budget of the policy in force, and every cell that has been used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetList {
    /// The budgets' cells, those of the policy in force first.
    pub budgets: Vec<BudgetReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `from`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One budget in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetReport {
    /// Its name; `unbudgeted` for the AWUs that no budget covers.
    pub name: String,
    /// Whose share of it, by the values of its `each`; absent where it has one cell for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// What it counts.
    pub unit: String,
    /// Which occurrence of its period: `2026-11`, `2026-11-22`, `none`.
    pub window: String,
    /// Whether the policy in force has this budget, and the window is not over.
    pub current: bool,
    /// What may be used; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated: Option<String>,
    /// What may still be reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// Reserved by AWUs that are RESERVED or EXECUTING.
    pub outstanding: String,
    /// Charged.
    pub used: String,
    /// The part of `used` that is charged for AWUs in doubt.
    pub in_doubt: String,
    /// By how much AWUs used more than they had reserved.
    pub overrun: String,
}

/// Which budgets a listing wants: those of which everything holds that is said.
#[derive(Debug, Clone, Default)]
pub struct BudgetFilter {
    /// With this name.
    pub name: Option<String>,
    /// Counting this.
    pub unit: Option<String>,
    /// Whether they are of the policy in force and their window is not over.
    pub current: Option<bool>,
    /// Where the page begins.
    pub from: Option<BudgetCursor>,
}

/// Where a page of budgets begins. Its text is for giving back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetCursor {
    /// At a position in the policy that has this address.
    Policy {
        /// The address, as text.
        version: String,
        /// From 0.
        position: usize,
    },
    /// At the cell with this number, after all of the policy.
    Cell(u32),
}

impl fmt::Display for BudgetCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { version, position } => write!(f, "policy-{position}-{version}"),
            Self::Cell(number) => write!(f, "cell-{number}"),
        }
    }
}

impl FromStr for BudgetCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNKNOWN: &str = "is not what a page of budgets gave as `next`";
        match (text.strip_prefix("policy-").and_then(|rest| rest.split_once('-')), text.strip_prefix("cell-"))
        {
            (Some((position, version)), _) => {
                let position = position.parse().map_err(|_| UNKNOWN)?;
                Ok(Self::Policy { version: version.to_owned(), position })
            }
            (None, Some(number)) => Ok(Self::Cell(number.parse().map_err(|_| UNKNOWN)?)),
            (None, None) => Err(UNKNOWN),
        }
    }
}

impl Governor {
    /// A page of budgets, as of the last durable entry.
    ///
    /// # Errors
    ///
    /// The ledger has failed, or the page goes on in a policy that is not in force any more.
    pub async fn budgets(&self, filter: &BudgetFilter, limit: u32) -> Result<BudgetList, ReportError> {
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(usize::MAX);
        let (this, filter) = (self.clone(), filter.clone());
        let list = blocking(move || list(this.ledger(), this.persons(), &filter, limit, this.now())).await?;
        self.ledger().durable(list.as_of).await?;
        Ok(list)
    }
}

/// Books to look at: those of a running ledger under its lock, or those of a file.
pub(super) trait Look {
    /// Looks at them.
    fn look<T>(&self, look: impl FnOnce(&Books) -> T) -> Result<T, LedgerError>;
}

impl Look for Ledger {
    fn look<T>(&self, look: impl FnOnce(&Books) -> T) -> Result<T, LedgerError> {
        self.read(look)
    }
}

impl Look for Books {
    fn look<T>(&self, look: impl FnOnce(&Books) -> T) -> Result<T, LedgerError> {
        Ok(look(self))
    }
}

/// The policy in force, and the time: what says which cells are current.
pub(super) struct Current {
    pub in_force: Arc<InForce>,
    pub at: Timestamp,
}

impl Current {
    pub fn of(books: &impl Look, now: Timestamp) -> Result<Self, ReportError> {
        let (in_force, at) = books.look(|books| (books.shared_in_force(), books.at()))?;
        Ok(Self { in_force, at: now.max(at) })
    }

    /// The one cell of a budget; `None` where it has a cell for each share, or its only period is not running.
    fn key(&self, budget: &Budget) -> Option<CellKey> {
        let window = self.in_force.budget(&budget.name, self.at)?.1?;
        let key =
            CellKey { budget: Some(budget.name.clone()), each: Box::default(), unit: budget.unit, window };
        budget.each.is_empty().then_some(key)
    }

    /// Whether the cell is one of a budget of the policy, and its window is not over.
    fn is_of_policy(&self, key: &CellKey) -> bool {
        let budget = key.budget.as_ref().and_then(|name| self.in_force.budget(name, self.at));
        budget.is_some_and(|(budget, window)| window.is_some_and(|window| key.is_current(budget, window)))
    }

    /// The same, and the cell that no budget covers is always current.
    pub fn is_current(&self, key: &CellKey) -> bool {
        key.budget.is_none() || self.is_of_policy(key)
    }

    /// Whether this is still the policy in force.
    fn holds(&self, books: &Books) -> bool {
        std::ptr::eq(books.in_force(), &*self.in_force)
    }
}

/// A page of budgets.
pub(super) fn list(
    books: &impl Look,
    persons: &Persons,
    filter: &BudgetFilter,
    limit: usize,
    now: Timestamp,
) -> Result<BudgetList, ReportError> {
    loop {
        // Where another policy is adopted between the two looks, the page would be of neither.
        if let Some(list) = list_under(&Current::of(books, now)?, books, persons, filter, limit)? {
            return Ok(list);
        }
    }
}

fn list_under(
    current: &Current,
    books: &impl Look,
    persons: &Persons,
    filter: &BudgetFilter,
    limit: usize,
) -> Result<Option<BudgetList>, ReportError> {
    let (mut keys, mut next) = of_policy(current, filter, limit)?;
    let mut cells = Vec::new();
    if next.is_none() {
        let from = match filter.from {
            Some(BudgetCursor::Cell(number)) => number,
            _ => 0,
        };
        // The cells of the policy's budgets are among those above, but for shares.
        let wanted = |key: &CellKey| {
            !(current.is_of_policy(key) && key.each.is_empty())
                && is_wanted(filter, key.budget_name(), key.unit.as_str(), current.is_current(key))
        };
        let found = numbers(books, from, limit.saturating_sub(keys.len()), wanted)?;
        (cells, next) = (found.0, found.1.map(BudgetCursor::Cell));
    }
    let looked = books.look(|books| {
        let others = cells.iter().filter_map(|number| books.cell(CellId::new(*number)));
        let of_policy = keys.drain(..).map(|(key, limit)| match books.find(&key) {
            Some((_, cell)) => (true, cell.clone(), books.standing(cell, current.at)),
            None => {
                let standing = Standing::empty(Some(books.with_grants(&key, limit, current.at)));
                (true, Cell::opened(key, Some(limit), Amount::ZERO), standing)
            }
        });
        let standing =
            |cell: &Cell| (current.is_current(&cell.key), cell.clone(), books.standing(cell, current.at));
        let all: Vec<_> = of_policy.chain(others.map(standing)).collect();
        current.holds(books).then(|| (all, books.sequence()))
    })?;
    let Some((mut cells, as_of)) = looked else { return Ok(None) };
    persons.reveal(|other| cells.iter_mut().for_each(|(_, cell, _)| cell.key.rename(other)))?;
    Ok(Some(BudgetList {
        budgets: cells
            .iter()
            .map(|(current, cell, standing)| BudgetReport::of(cell, standing, *current))
            .collect(),
        as_of,
        next: next.map(text),
    }))
}

/// Cells of the policy's budgets, each with its limit.
type Keys = Vec<(CellKey, Amount)>;

/// The budgets of the policy that the page has, and where the next begins if they fill it.
fn of_policy(
    current: &Current,
    filter: &BudgetFilter,
    limit: usize,
) -> Result<(Keys, Option<BudgetCursor>), ReportError> {
    let from = match &filter.from {
        Some(BudgetCursor::Cell(_)) => return Ok((Vec::new(), None)),
        Some(BudgetCursor::Policy { version, .. }) if *version != current.in_force.version().to_string() => {
            return Err(ReportError::AnotherPolicy);
        }
        Some(BudgetCursor::Policy { position, .. }) => *position,
        None => 0,
    };
    let mut keys = Vec::new();
    for (position, budget) in current.in_force.policy().budgets.iter().enumerate().skip(from) {
        let Some(key) = current.key(budget) else { continue };
        if !is_wanted(filter, budget.name.as_str(), budget.unit.as_str(), true) {
            continue;
        }
        if keys.len() == limit {
            let version = current.in_force.version().to_string();
            return Ok((keys, Some(BudgetCursor::Policy { version, position })));
        }
        keys.push((key, budget.limit));
    }
    Ok((keys, None))
}

fn is_wanted(filter: &BudgetFilter, name: &str, unit: &str, current: bool) -> bool {
    filter.name.as_ref().is_none_or(|wanted| wanted == name)
        && filter.unit.as_ref().is_none_or(|wanted| wanted == unit)
        && filter.current.is_none_or(|wanted| wanted == current)
}

impl BudgetReport {
    fn of(cell: &Cell, standing: &Standing, current: bool) -> Self {
        let Cell { key, totals, .. } = cell;
        Self {
            name: key.budget_name().to_owned(),
            each: share(key),
            unit: key.unit.to_string(),
            window: key.window.to_string(),
            current,
            allocated: standing.allocated.map(text),
            remaining: standing.remaining().map(text),
            outstanding: text(standing.out),
            used: text(standing.used),
            in_doubt: text(totals.in_doubt),
            overrun: text(totals.overrun),
        }
    }
}
