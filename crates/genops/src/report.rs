//! What can be asked afterwards: budgets and AWUs, as plain data that serialises to the JSON of the read
//! API and of the commands. Amounts are decimal text; every list says as of which entry it holds.
//!
//! A running ledger is asked through the [`Governor`], a ledger file through an [`Archive`]. What is told of one AWU is an
//! [`AwuReport`], why it was decided so an [`Explanation`]; a budget is a [`BudgetReport`], a cell a [`CellBalance`], an
//! entry of the journal an [`EntryReport`]; how the ledger stands is a [`StatusReport`].

mod archive;
mod awu;
mod budgets;
mod cells;
mod explanation;
mod grants;
mod journal;
mod status;

use genops_core::budget::CellKey;
use genops_core::policy::InForce;
use genops_core::{AwuId, Digest};
use genops_ledger::recover::OpenError;
use genops_ledger::views::{Estimate, Filter, Found, Views};
use genops_ledger::{Journal, LedgerError, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::governor::Governor;

pub use archive::Archive;
pub use awu::{AwuReport, CellReport, ChangeReport, LabelReport, LaterReport, SlaReport, TokenReport};
pub use budgets::{BudgetCursor, BudgetFilter, BudgetList, BudgetReport};
pub use cells::{CellBalance, CellFilter, CellPage};
pub use explanation::{
    AskedReport, AssessmentReport, CallerReport, CircuitReport, CircuitStateReport, Explanation, RateReport,
    RateStateReport,
};
pub use grants::{GrantList, GrantReport};
pub use journal::{EntryFilter, EntryKind, EntryPage, EntryReport, PolicyReport};
pub use status::{OpenAwuCounts, StatusReport};

/// A page of AWUs, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwuPage {
    /// The AWUs.
    pub awus: Vec<AwuReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `before`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// How good the bounds were, by provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EstimateList {
    /// One for each provider and model with a usage report.
    pub estimates: Vec<Estimate>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
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
    /// A page of budgets goes on in a policy that is not in force any more.
    #[error(
        "another policy is in force since the page before, with other budgets; begin anew, without `from`"
    )]
    AnotherPolicy,
    /// A task that reads has ended without an answer.
    #[error("the question could not be worked on: {0}")]
    Task(String),
}

/// The most AWUs, cells or entries on one page.
pub const PAGE_MAX: u32 = 1_000;

/// How many stretches of the journal are looked through for one page of AWUs.
const STRETCHES_MAX: u32 = 64;

impl Governor {
    /// AWUs, the latest first. Blocks for as long as a disk does. A page may have fewer AWUs than asked for and go on
    /// all the same, where few of the last sixteen million entries are about such AWUs.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn awus(&self, filter: &Filter, limit: u32) -> Result<AwuPage, ReportError> {
        let mut journal = self.ledger().journal()?;
        // Whoever else wants the tables has them between the stretches.
        awu_page_by(filter, limit, STRETCHES_MAX, |filter, limit| {
            self.with_views(|views| {
                views.catch_up(&mut journal)?;
                Ok((views.awus(filter, limit, &mut journal)?, views.as_of()))
            })
        })
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
    awu_page_by(filter, limit, u32::MAX, |filter, limit| {
        Ok((views.awus(filter, limit, journal)?, views.as_of()))
    })
}

/// A page, put together from at most so many stretches, which `look` finds together with the last entry that it takes
/// into account.
fn awu_page_by(
    filter: &Filter,
    limit: u32,
    stretches_max: u32,
    mut look: impl FnMut(&Filter, u32) -> Result<(Found, u64), ReportError>,
) -> Result<AwuPage, ReportError> {
    let mut filter = filter.clone();
    let mut missing = limit.clamp(1, PAGE_MAX);
    let mut page: Option<AwuPage> = None;
    for _ in 0..stretches_max {
        let (found, as_of) = look(&filter, missing)?;
        // What the first look takes into account, the later ones do as well: they look further back.
        let page = page.get_or_insert(AwuPage { awus: Vec::new(), as_of, next: None });
        missing = missing.saturating_sub(u32::try_from(found.records.len()).unwrap_or(u32::MAX));
        page.awus.extend(found.records.iter().map(AwuReport::of));
        page.next = found.next;
        filter.before = found.next;
        if missing == 0 || found.next.is_none() {
            break;
        }
    }
    Ok(page.unwrap_or_default())
}

/// The share that a cell is.
fn share(key: &CellKey) -> Vec<Option<String>> {
    key.each.iter().map(|value| value.as_ref().map(text)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map`, which gives the value away")]
fn text(value: impl ToString) -> String {
    value.to_string()
}

/// Does what blocks away from the tasks that serve.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.unwrap_or_else(|error| Err(ReportError::Task(error.to_string())))
}
