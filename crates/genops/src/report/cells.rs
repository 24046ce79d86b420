//! Cells as plain data: every budget in every window that has been used, with its whole account.
//!
//! Cells are numbered in the order in which they were opened, and no number is given again: so a page begins at a number.

use genops_core::budget::CellKey;
use genops_core::ledger::{Cell, CellId, Standing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budgets::{Current, Look};
use super::{PAGE_MAX, ReportError, blocking, share, text};
use crate::governor::Governor;
use crate::persons::Persons;

/// A page of cells, in the order in which they were opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellPage {
    /// The cells.
    pub cells: Vec<CellBalance>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `from`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// One cell. Amounts are decimal text, in its unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellBalance {
    /// Its number, from 0 in the order in which cells were opened.
    pub number: u32,
    /// The budget; `unbudgeted` for the AWUs that no budget covers.
    pub budget: String,
    /// Whose share of it, by the values of its `each`; absent where it has one cell for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// What it counts.
    pub unit: String,
    /// Which occurrence of the budget's period: `2026-11`, `2026-11-22`, `none`.
    pub window: String,
    /// Whether the policy in force has this budget, and the window is not over.
    pub current: bool,
    /// What may be used; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<String>,
    /// What may still be reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// Reserved by AWUs that are RESERVED or EXECUTING.
    pub outstanding: String,
    /// Charged.
    pub used: String,
    /// Reserved by all admissions: the sum of the next three and `outstanding`.
    pub admitted: String,
    /// Reserved by AWUs that have settled.
    pub settled: String,
    /// Reserved by AWUs that were released.
    pub released: String,
    /// Reserved by AWUs that are in doubt, and charged for them.
    pub in_doubt: String,
    /// By how much AWUs used more than they had reserved.
    pub overrun: String,
    /// By how much new policies lowered the limit.
    pub cut: String,
    /// By how much admissions passed the limit where the budget is only observed, or lends.
    pub excess: String,
    /// The grants that it has had, ended ones too.
    pub granted: String,
    /// The sum of corrections; below nothing where they took more away than they added.
    pub corrected: String,
    /// What was used so long ago that a rolling window has left it.
    pub aged: String,
}

/// Which cells a listing wants: those of which everything holds that is said.
#[derive(Debug, Clone, Default)]
pub struct CellFilter {
    /// Of this budget.
    pub budget: Option<String>,
    /// Counting this.
    pub unit: Option<String>,
    /// In this window.
    pub window: Option<String>,
    /// Whether they are of the policy in force and their window is not over.
    pub current: Option<bool>,
    /// The number where the page begins.
    pub from: u32,
}

/// How many cells are looked at before the books are let go.
const STRETCH: usize = 4_096;

impl Governor {
    /// A page of cells, as of the last durable entry.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub async fn cells(&self, filter: &CellFilter, limit: u32) -> Result<CellPage, ReportError> {
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(usize::MAX);
        let (this, filter) = (self.clone(), filter.clone());
        let page = blocking(move || {
            let current = Current::of(this.ledger(), this.now())?;
            let wanted = |key: &CellKey| filter.wants(key, &current);
            let (numbers, next) = numbers(this.ledger(), filter.from, limit, wanted)?;
            let (cells, as_of) = balances(this.ledger(), this.persons(), &numbers, &current)?;
            Ok(CellPage { cells, as_of, next })
        });
        let page = page.await?;
        self.ledger().durable(page.as_of).await?;
        Ok(page)
    }

    /// One cell, as of the last durable entry; `None` where none has had this number.
    ///
    /// # Errors
    ///
    /// The ledger has failed, or the cell has been closed.
    pub async fn cell(&self, number: u32) -> Result<Option<CellBalance>, ReportError> {
        let this = self.clone();
        let looked = blocking(move || {
            let current = Current::of(this.ledger(), this.now())?;
            let looked = balances(this.ledger(), this.persons(), &[number], &current)?;
            Ok((looked, this.ledger().read(|books| books.is_closed(CellId::new(number)))?))
        });
        let ((mut cells, as_of), is_closed) = looked.await?;
        self.ledger().durable(as_of).await?;
        match cells.pop() {
            None if is_closed => Err(ReportError::CellClosed { number }),
            found => Ok(found),
        }
    }
}

impl CellFilter {
    fn wants(&self, key: &CellKey, current: &Current) -> bool {
        self.budget.as_ref().is_none_or(|wanted| wanted == key.budget_name())
            && self.unit.as_ref().is_none_or(|wanted| wanted == key.unit.as_str())
            && self.window.as_ref().is_none_or(|wanted| *wanted == key.window.to_string())
            && self.current.is_none_or(|wanted| wanted == current.is_current(key))
    }
}

/// The numbers of cells from one on, and where the next page begins. What is asked of a cell never changes, so the
/// books need not stand still meanwhile.
pub(super) fn numbers(
    books: &impl Look,
    from: u32,
    limit: usize,
    wanted: impl Fn(&CellKey) -> bool,
) -> Result<(Vec<u32>, Option<u32>), ReportError> {
    let mut found = Vec::new();
    let mut from = CellId::new(from);
    loop {
        let is_end = books.look(|books| {
            let (mut looked_at, mut last) = (0, None);
            for (number, cell) in books.cells_from(from).take(STRETCH) {
                (looked_at, last) = (looked_at + 1, Some(number));
                // One more than fits says where the next page begins.
                if found.len() <= limit && wanted(&cell.key) {
                    found.push(number.number());
                }
            }
            from = last.map_or(from, CellId::next);
            looked_at < STRETCH
        })?;
        if found.len() > limit {
            let next = found.pop();
            return Ok((found, next));
        }
        if is_end {
            return Ok((found, None));
        }
    }
}

/// The cells with these numbers at one moment, and the entry that it is after.
fn balances(
    books: &impl Look,
    persons: &Persons,
    numbers: &[u32],
    current: &Current,
) -> Result<(Vec<CellBalance>, u64), ReportError> {
    let (mut cells, as_of) = books.look(|books| {
        let cell = |number: &u32| {
            let cell = books.cell(CellId::new(*number))?;
            Some((*number, cell.clone(), books.standing(cell, current.at)))
        };
        (numbers.iter().filter_map(cell).collect::<Vec<_>>(), books.sequence())
    })?;
    // What is current goes by the budget and its window, not by whose share it is.
    persons.reveal(|other| cells.iter_mut().for_each(|(_, cell, _)| cell.key.rename(other)))?;
    let balance = |(number, cell, standing): &(u32, Cell, Standing)| {
        CellBalance::of(*number, cell, standing, current.is_current(&cell.key))
    };
    Ok((cells.iter().map(balance).collect(), as_of))
}

impl CellBalance {
    fn of(number: u32, cell: &Cell, standing: &Standing, current: bool) -> Self {
        let Cell { key, totals, .. } = cell;
        Self {
            number,
            budget: key.budget_name().to_owned(),
            each: share(key),
            unit: key.unit.to_string(),
            window: key.window.to_string(),
            current,
            allocated: standing.allocated.map(text),
            remaining: standing.remaining().map(text),
            outstanding: text(standing.out),
            used: text(standing.used),
            admitted: text(totals.admitted),
            settled: text(totals.settled),
            released: text(totals.released),
            in_doubt: text(totals.in_doubt),
            overrun: text(totals.overrun),
            cut: text(totals.cut),
            excess: text(totals.excess),
            granted: text(totals.granted),
            corrected: text(totals.corrected),
            aged: text(totals.aged),
        }
    }
}
