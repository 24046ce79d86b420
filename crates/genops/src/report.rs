//! What can be asked afterwards: budgets and AWUs, as plain data that serialises to the JSON of the read
//! API and of the commands. Amounts are decimal text; every answer says as of which entry it holds.

use std::path::Path;

use genops_core::budget::CellKey;
use genops_core::ledger::{Books, Standing, Totals};
use genops_core::price::Tokens;
use genops_core::record::AwuRecord;
use genops_core::{AwuId, Timestamp};
use genops_ledger::recover::{self, OpenError};
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::views::{Estimate, Filter, Views};
use genops_ledger::{Journal, LedgerError, StoreError};
use serde::{Deserialize, Serialize};

use crate::governor::Governor;

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

/// One AWU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwuReport {
    /// `trace_id-span_id`.
    pub id: String,
    /// The entry that decided it.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Its team.
    pub team: String,
    /// Its project.
    pub project: String,
    /// Its environment.
    pub environment: String,
    /// The key that the caller showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the work is called.
    pub operation: String,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// RESERVED, EXECUTING, SETTLED, IN_DOUBT, RELEASED or REFUSED.
    pub state: String,
    /// ALLOWED, WARNING, BLOCKED or RATE_LIMITED.
    pub result: String,
    /// Why not ALLOWED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The accounting unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What was reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Whether the charge is the reservation, or what was counted, for want of a report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The price row that it is charged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_row: Option<String>,
    /// The most tokens that the call could use.
    pub bound: TokenReport,
    /// The tokens that the provider reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenReport>,
    /// How the execution ended, where not by completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long the provider took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// What was reserved and charged, cell by cell; for a refusal, the cells that it read.
    pub cells: Vec<CellReport>,
    /// The policy that decided.
    pub policy_version: String,
    /// The chain hash of the frame that carries the decision.
    pub chain: String,
}

/// Tokens, in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// Read by the model.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
    /// Of the input, read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input: u64,
    /// Of the input, written to the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Of the output, what the model thought.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What an AWU did in one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellReport {
    /// The budget.
    pub budget: String,
    /// The occurrence of its period.
    pub window: String,
    /// What it counts.
    pub unit: String,
    /// What was reserved, or for a refusal wanted.
    pub reserved: String,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// What remained before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_before: Option<String>,
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
            Ok(views.awu(id, &mut journal)?.map(|record| awu_report(&record)))
        })
    }
}

/// A ledger file that no governor needs to have open: for the commands that only read.
#[derive(Debug)]
pub struct Archive {
    books: Books,
    views: Views,
    journal: Journal,
    frames: u64,
    head: String,
}

impl Archive {
    /// Reads a ledger file whole, and verifies its chain and invariants on the way.
    ///
    /// # Errors
    ///
    /// There is no ledger, or it is damaged; the error says where.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let replayed = recover::replay(&mut SqliteStore::read(path)?)?;
        let mut journal = Journal::new(Box::new(SqliteStore::read(path)?));
        let mut views = Views::in_memory()?;
        views.catch_up(&mut journal)?;
        let head = replayed.head.to_string();
        Ok(Self { books: replayed.books, views, journal, frames: replayed.frames, head })
    }

    /// The books after the last entry.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// How good the bounds were.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn estimates(&self) -> Result<EstimateList, ReportError> {
        Ok(EstimateList { estimates: self.views.estimates()?, as_of: self.views.as_of() })
    }

    /// How many frames the journal has.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// The hash of the last frame, which commits to the whole journal.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The budgets.
    #[must_use]
    pub fn budgets(&self, now: Timestamp) -> BudgetList {
        budget_list(&self.books, now)
    }

    /// AWUs, the latest first.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn awus(&mut self, filter: &Filter, limit: u32) -> Result<AwuPage, ReportError> {
        awu_page(&mut self.views, &mut self.journal, filter, limit)
    }

    /// One AWU.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn awu(&mut self, id: AwuId) -> Result<Option<AwuReport>, ReportError> {
        Ok(self.views.awu(id, &mut self.journal)?.map(|record| awu_report(&record)))
    }
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
    Ok(AwuPage { awus: records.iter().map(awu_report).collect(), as_of: views.as_of(), next })
}

fn budget_list(books: &Books, now: Timestamp) -> BudgetList {
    let mut current: Vec<CellKey> = Vec::new();
    let mut budgets = Vec::new();
    for budget in &books.policy().budgets {
        let key = CellKey::of(budget, now.max(books.at()));
        let cell = books.find(&key).map(|(_, cell)| cell);
        let standing = cell.map_or(Standing::empty(Some(budget.limit)), |cell| cell.standing);
        let totals = cell.map_or(Totals::default(), |cell| cell.totals);
        budgets.push(budget_report(&key, standing, totals, true));
        current.push(key);
    }
    for cell in books.cells().iter().filter(|cell| !current.contains(&cell.key)) {
        budgets.push(budget_report(&cell.key, cell.standing, cell.totals, cell.key.budget.is_none()));
    }
    BudgetList { budgets, as_of: books.sequence() }
}

fn budget_report(key: &CellKey, standing: Standing, totals: Totals, current: bool) -> BudgetReport {
    BudgetReport {
        name: key.budget_name().to_owned(),
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

fn awu_report(record: &AwuRecord) -> AwuReport {
    let proposal = &record.request.proposal;
    let attribution = &proposal.attribution;
    let accounting = record.accounting();
    let charged = accounting.and_then(|(position, _)| record.charged(position));
    AwuReport {
        id: record.id().to_string(),
        sequence: record.sequence,
        at: record.at.to_string(),
        team: attribution.team().to_string(),
        project: attribution.project().to_string(),
        environment: attribution.environment().to_string(),
        key: proposal.key.as_ref().map(ToString::to_string),
        operation: proposal.operation_name.to_string(),
        provider: proposal.provider.to_string(),
        model: proposal.model.to_string(),
        state: record.state().to_owned(),
        result: record.decision().state().to_string(),
        reason_code: record.decision().reason_code().map(ToString::to_string),
        reason: record.refusal_reason(),
        unit: accounting.map(|(_, reservation)| reservation.key.unit.to_string()),
        reserved: accounting.map(|(_, reservation)| text(reservation.amount)),
        actual: charged.map(|(actual, _)| text(actual)),
        incomplete: charged.is_some_and(|(_, incomplete)| incomplete),
        price_row: proposal.price.as_ref().map(|price| price.row.to_string()),
        bound: token_report(proposal.bound),
        tokens: record.reported_tokens().map(token_report),
        end: record.unusual_end().map(str::to_owned),
        ended_at: record.ended_at().map(text),
        latency_ms: record.execution().map(|execution| execution.latency_ns / 1_000_000),
        cells: cell_reports(record),
        policy_version: record.policy().to_string(),
        chain: record.chain.to_string(),
    }
}

fn cell_reports(record: &AwuRecord) -> Vec<CellReport> {
    let report = |(position, step): (usize, &genops_core::admit::Reservation)| CellReport {
        budget: step.key.budget_name().to_owned(),
        window: step.key.window.to_string(),
        unit: step.key.unit.to_string(),
        reserved: text(step.amount),
        actual: record.charged(position).map(|(actual, _)| text(actual)),
        remaining_before: step.before.remaining().map(text),
    };
    record.cells().iter().enumerate().map(report).collect()
}

fn token_report(tokens: Tokens) -> TokenReport {
    TokenReport {
        input: tokens.input,
        output: tokens.output,
        cached_input: tokens.cached_input,
        cache_write: tokens.cache_write,
        reasoning: tokens.reasoning,
    }
}

fn text(value: impl ToString + Copy) -> String {
    value.to_string()
}
