//! What can be asked afterwards: budgets and AWUs, as plain data that serialises to the JSON of the read
//! API and of the commands. Amounts are decimal text; every list says as of which entry it holds.
//!
//! What is told of one AWU is in [`awu`], why it was decided so in [`explanation`]; [`archive`] answers from a ledger file.

mod archive;
mod awu;
mod explanation;

use genops_core::budget::CellKey;
use genops_core::ledger::{Books, Standing, Totals};
use genops_core::policy::InForce;
use genops_core::{AwuId, Digest, Timestamp};
use genops_ledger::recover::OpenError;
use genops_ledger::views::{Estimate, Filter, Views};
use genops_ledger::{Journal, LedgerError, StoreError};
use serde::{Deserialize, Serialize};

use crate::governor::Governor;

pub use archive::Archive;
pub use awu::{AwuReport, CellReport, LabelReport, LaterReport, SlaReport, TokenReport};
pub use explanation::{
    AskedReport, AssessmentReport, CallerReport, CircuitReport, CircuitStateReport, Explanation, RateReport,
    RateStateReport,
};

/// A page of AWUs, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwuPage {
    /// The AWUs.
    pub awus: Vec<AwuReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `before`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Every budget of the policy in force, and every cell that has been used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetList {
    /// The budgets' cells, those of the policy in force first.
    pub budgets: Vec<BudgetReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// How good the bounds were, by provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstimateList {
    /// One for each provider and model with a usage report.
    pub estimates: Vec<Estimate>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// One budget in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger has failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A decision rests on a policy that nobody adopted.
    #[error(
        "policy {0} is not in the journal, so nobody can say which of its rules were asked; verify the ledger"
    )]
    NoPolicy(Digest),
}

/// The most AWUs on one page.
pub const PAGE_MAX: u32 = 1_000;

impl Governor {
    /// The budgets as of the last durable entry.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub async fn budgets(&self) -> Result<BudgetList, ReportError> {
        let now = self.now();
        let list = self.ledger().read(|books| budget_list(books, now))?;
        self.ledger().durable(list.as_of).await?;
        Ok(list)
    }

    /// AWUs, the latest first. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn awus(&self, filter: &Filter, limit: u32) -> Result<AwuPage, ReportError> {
        let mut journal = self.ledger().journal()?;
        self.with_views(|views| awu_page(views, &mut journal, filter, limit))
    }

    /// How good the bounds were. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn estimates(&self) -> Result<EstimateList, ReportError> {
        let mut journal = self.ledger().journal()?;
        self.with_views(|views| {
            views.catch_up(&mut journal)?;
            Ok(EstimateList { estimates: views.estimates()?, as_of: views.as_of() })
        })
    }

    /// One AWU. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn awu(&self, id: AwuId) -> Result<Option<AwuReport>, ReportError> {
        let mut journal = self.ledger().journal()?;
        self.with_views(|views| {
            views.catch_up(&mut journal)?;
            Ok(views.awu(id, &mut journal)?.map(|record| AwuReport::of(&record)))
        })
    }

    /// Why one AWU was decided as it was. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn explain(&self, id: AwuId) -> Result<Option<Explanation>, ReportError> {
        let mut journal = self.ledger().journal()?;
        self.with_views(|views| {
            views.catch_up(&mut journal)?;
            explain(views, &mut journal, id)
        })
    }
}

fn explain(views: &Views, journal: &mut Journal, id: AwuId) -> Result<Option<Explanation>, ReportError> {
    let Some(record) = views.awu(id, journal)? else { return Ok(None) };
    let version = record.ruling().policy;
    let policy = views.policy(version, journal)?.ok_or(ReportError::NoPolicy(version))?;
    let in_force = InForce::new(policy);
    Ok(Some(Explanation::of(&record, &in_force)))
}

fn awu_page(
    views: &mut Views,
    journal: &mut Journal,
    filter: &Filter,
    limit: u32,
) -> Result<AwuPage, ReportError> {
    views.catch_up(journal)?;
    let limit = limit.clamp(1, PAGE_MAX);
    let records = views.awus(filter, limit, journal)?;
    let is_full = u32::try_from(records.len()).is_ok_and(|count| count == limit);
    let next = records.last().filter(|_| is_full).map(|record| record.sequence);
    Ok(AwuPage { awus: records.iter().map(AwuReport::of).collect(), as_of: views.as_of(), next })
}

fn budget_list(books: &Books, now: Timestamp) -> BudgetList {
    let now = now.max(books.at());
    let mut budgets = Vec::new();
    for budget in books.policy().budgets.iter().filter(|budget| budget.each.is_empty()) {
        let window = books.in_force().budget(&budget.name, now).and_then(|(_, window)| window);
        let Some(window) = window else { continue };
        let key = CellKey { budget: Some(budget.name.clone()), each: Vec::new(), unit: budget.unit, window };
        if books.find(&key).is_none() {
            let standing = Standing::empty(Some(books.with_grants(&key, budget.limit, now)));
            budgets.push(budget_report(&key, standing, Totals::default(), true));
        }
    }
    for cell in books.cells() {
        let budget = cell.key.budget.as_ref().and_then(|name| books.in_force().budget(name, now));
        let current = match budget {
            Some((budget, window)) => cell.key.unit == budget.unit && Some(cell.key.window) == window,
            None => cell.key.budget.is_none(),
        };
        budgets.push(budget_report(&cell.key, books.standing(cell, now), cell.totals, current));
    }
    budgets.sort_by(|a, b| b.current.cmp(&a.current));
    BudgetList { budgets, as_of: books.sequence() }
}

fn budget_report(key: &CellKey, standing: Standing, totals: Totals, current: bool) -> BudgetReport {
    BudgetReport {
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

/// The share that a cell is.
fn share(key: &CellKey) -> Vec<Option<String>> {
    key.each.iter().map(|value| value.as_ref().map(text)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map`, which gives the value away")]
fn text(value: impl ToString) -> String {
    value.to_string()
}
