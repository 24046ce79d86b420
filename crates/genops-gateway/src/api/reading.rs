//! Lists and reads. Nothing here changes anything.
//!
//! Every list says the last entry that it takes into account, and where its next page begins.

use std::sync::Arc;

use genops::Governor;
use genops::ledger::views::Filter;
use genops::receipt::{Receipt, ReceiptError};
use genops::report::{
    AwuPage, AwuReport, BudgetCursor, BudgetFilter, BudgetList, CellBalance, CellFilter, CellPage,
    EntryFilter, EntryKind, EntryPage, EntryReport, EstimateList, Explanation, GrantList, PolicyReport,
    ReportError, StatusReport,
};
use genops_core::{AwuId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::route::{Nothing, Parameters, Problem, blocking};
use super::words::{CodeWord, ResultWord, StateWord};
use crate::server::Gateway;

/// How many a page has where nobody says.
const PAGE: u32 = 50;

/// Names the parameters of a query: those that are listed, and the entry that the answer has to take into account.
macro_rules! parameters {
    ($(#[$about:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($fields)*
            /// The answer takes this entry into account. Where it is not durable yet, the answer waits for it, for at
            /// most 5 s.
            at_least: Option<u64>,
        }

        impl Parameters for $name {
            fn at_least(&self) -> Option<u64> {
                self.at_least
            }
        }
    };
}

parameters! {
    /// What every question about the ledger can say.
    AsOf {}
}

parameters! {
    /// Which budgets.
    OfBudgets {
        /// With this name.
        name: Option<String>,
        /// Counting this: `USD` or `tokens`.
        unit: Option<String>,
        /// Whether they are of the policy in force, in a window that is not over.
        current: Option<bool>,
        /// Where the page begins: what the page before gave as `next`.
        from: Option<Cursor>,
        /// How many at most. Default: 50; more than 1000 are not given.
        #[schemars(range(min = 1))]
        limit: Option<u32>,
    }
}

parameters! {
    /// Which cells.
    OfCells {
        /// Of this budget.
        budget: Option<String>,
        /// Counting this: `USD` or `tokens`.
        unit: Option<String>,
        /// In this window: `2026-11`, `2026-11-22`, `none`.
        window: Option<String>,
        /// Whether they are of the policy in force, in a window that is not over.
        current: Option<bool>,
        /// The number where the page begins: what the page before gave as `next`.
        from: Option<u32>,
        /// How many at most. Default: 50; more than 1000 are not given.
        #[schemars(range(min = 1))]
        limit: Option<u32>,
    }
}

parameters! {
    /// Which AWUs.
    OfAwus {
        /// Of this team.
        team: Option<String>,
        /// Of this project.
        project: Option<String>,
        /// Of this environment.
        environment: Option<String>,
        /// For this feature.
        feature: Option<String>,
        /// Paid by this cost centre.
        cost_center: Option<String>,
        /// For this customer, as callers say it; or by the pseudonym, as one who was erased has it alone.
        customer_id: Option<String>,
        /// In this session, likewise.
        session_id: Option<String>,
        /// Of the key with this name.
        key: Option<String>,
        /// Of this `genops.operation.type`.
        operation_type: Option<String>,
        /// At this provider.
        provider: Option<String>,
        /// With this model.
        model: Option<String>,
        /// Decided so.
        result: Option<ResultWord>,
        /// With this reason code: one of the specification's nine, or an organisation's own.
        #[serde(default)]
        #[schemars(with = "CodeWord")]
        reason_code: Option<CodeWord>,
        /// In this state.
        state: Option<StateWord>,
        /// Decided then or later, RFC 3339.
        from: Option<Moment>,
        /// Decided earlier, RFC 3339.
        until: Option<Moment>,
        /// Decided before this entry: what the page before gave as `next`.
        before: Option<u64>,
        /// How many at most. Default: 50; more than 1000 are not given. A page may have fewer and go on all the same.
        #[schemars(range(min = 1))]
        limit: Option<u32>,
    }
}

parameters! {
    /// Which entries.
    OfEntries {
        /// The sequence number where the page begins. Default: the first that has not left for an archive.
        from: Option<u64>,
        /// About this AWU: `trace_id-span_id`.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        awu: Option<AwuId>,
        /// What came of the command.
        #[serde(rename = "type", default)]
        #[schemars(with = "EntryKind")]
        kind: Option<EntryKind>,
        /// How many at most. Default: 50; more than 1000 are not given. A page may have fewer and go on all the same.
        #[schemars(range(min = 1))]
        limit: Option<u32>,
    }
}

/// Which AWU.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneAwu {
    /// Its identity: `trace_id-span_id`.
    id: String,
}

impl OneAwu {
    /// The identity, read.
    pub(super) fn read(&self) -> Result<AwuId, Problem> {
        self.id
            .parse()
            .map_err(|problem| Problem::Bad { field: Some("id".to_owned()), message: format!("{problem}") })
    }
}

/// Which cell.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneCell {
    /// Its number.
    number: u32,
}

/// Which entry.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneEntry {
    /// Its sequence number.
    sequence: u64,
}

/// A point in time, as RFC 3339.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("format" = "date-time"))]
pub(super) struct Moment(pub(super) Timestamp);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let at: jiff::Timestamp =
            text.parse().map_err(|_| format!("`{text}` is no time as RFC 3339 writes it"))?;
        let nanos = u64::try_from(at.as_nanosecond().max(0)).map_err(|_| format!("`{text}` is too late"))?;
        Ok(Self(Timestamp::from_nanos(nanos)))
    }
}

/// Where a page of budgets begins.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String")]
struct Cursor(BudgetCursor);

impl TryFrom<String> for Cursor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|problem| format!("`{text}` {problem}"))
    }
}

/// `GET /budgets`.
pub async fn budgets(gateway: Arc<Gateway>, _: Nothing, asked: OfBudgets) -> Result<BudgetList, Problem> {
    let OfBudgets { name, unit, current, from, limit, .. } = asked;
    let filter = BudgetFilter { name, unit, current, from: from.map(|Cursor(from)| from) };
    Ok(gateway.governor.budgets(&filter, limit.unwrap_or(PAGE)).await?)
}

/// `GET /cells`.
pub async fn cells(gateway: Arc<Gateway>, _: Nothing, asked: OfCells) -> Result<CellPage, Problem> {
    let OfCells { budget, unit, window, current, from, limit, .. } = asked;
    let filter = CellFilter { budget, unit, window, current, from: from.unwrap_or_default() };
    Ok(gateway.governor.cells(&filter, limit.unwrap_or(PAGE)).await?)
}

/// `GET /cells/{number}`.
pub async fn cell(gateway: Arc<Gateway>, one: OneCell, _: AsOf) -> Result<CellBalance, Problem> {
    let OneCell { number } = one;
    let found = gateway.governor.cell(number).await?;
    found.ok_or_else(|| not_found("number", format!("no cell {number} has been opened in this ledger")))
}

/// `GET /awus`.
pub async fn awus(gateway: Arc<Gateway>, _: Nothing, asked: OfAwus) -> Result<AwuPage, Problem> {
    let limit = asked.limit.unwrap_or(PAGE);
    let filter = Filter {
        team: asked.team,
        project: asked.project,
        environment: asked.environment,
        feature: asked.feature,
        cost_center: asked.cost_center,
        customer_id: asked.customer_id,
        session_id: asked.session_id,
        key: asked.key,
        operation_type: asked.operation_type,
        provider: asked.provider,
        model: asked.model,
        result: asked.result.map(|ResultWord(result)| result),
        reason_code: asked.reason_code.map(|CodeWord(code)| code),
        state: asked.state.map(|StateWord(state)| state),
        from: asked.from.map(|Moment(from)| from),
        until: asked.until.map(|Moment(until)| until),
        before: asked.before,
    };
    let governor = gateway.governor.clone();
    blocking(move || governor.awus(&filter, limit)).await
}

/// `GET /awus/{id}`.
pub async fn awu(gateway: Arc<Gateway>, one: OneAwu, _: AsOf) -> Result<AwuReport, Problem> {
    about_one(&gateway, &one, Governor::awu).await
}

/// `GET /awus/{id}/explanation`.
pub async fn explanation(gateway: Arc<Gateway>, one: OneAwu, _: AsOf) -> Result<Explanation, Problem> {
    about_one(&gateway, &one, Governor::explain).await
}

/// `GET /awus/{id}/receipt`.
pub async fn receipt(gateway: Arc<Gateway>, one: OneAwu, _: AsOf) -> Result<Receipt, Problem> {
    let id = one.read()?;
    let Some(key) = gateway.setups.current().config.receipt_key.clone() else {
        let message =
            "nobody signs receipts here: whoever runs the gateway names a key in `receipts.signing_key`";
        return Err(Problem::Conflict { code: Code::NoSigningKey, message: message.to_owned() });
    };
    let governor = gateway.governor.clone();
    blocking(move || Ok(governor.receipt(id, &key))).await?.map_err(|error| match error {
        ReceiptError::NotFound { .. } => no_awu(id),
        ReceiptError::Store(error) => ReportError::from(error).into(),
        ReceiptError::Report(error) => error.into(),
        error => Problem::Unavailable(error.to_string()),
    })
}

/// `GET /entries`.
pub async fn entries(gateway: Arc<Gateway>, _: Nothing, asked: OfEntries) -> Result<EntryPage, Problem> {
    let filter = EntryFilter { from: asked.from, awu: asked.awu, kind: asked.kind };
    let governor = gateway.governor.clone();
    blocking(move || governor.entries(filter, asked.limit.unwrap_or(PAGE))).await
}

/// `GET /entries/{sequence}`.
pub async fn entry(gateway: Arc<Gateway>, one: OneEntry, _: AsOf) -> Result<EntryReport, Problem> {
    let (governor, OneEntry { sequence }) = (gateway.governor.clone(), one);
    let found = blocking(move || governor.entry(sequence)).await?;
    found.ok_or_else(|| not_found("sequence", format!("no entry {sequence} is in this ledger yet")))
}

/// `GET /status`.
pub async fn status(gateway: Arc<Gateway>, _: Nothing, _: AsOf) -> Result<StatusReport, Problem> {
    Ok(gateway.governor.status()?)
}

/// `GET /policy`.
pub async fn policy(gateway: Arc<Gateway>, _: Nothing, _: AsOf) -> Result<PolicyReport, Problem> {
    Ok(gateway.governor.policy().await?)
}

/// `GET /grants`.
pub async fn grants(gateway: Arc<Gateway>, _: Nothing, _: AsOf) -> Result<GrantList, Problem> {
    Ok(gateway.governor.grants().await?)
}

/// `GET /estimates`.
pub async fn estimates(gateway: Arc<Gateway>, _: Nothing, _: AsOf) -> Result<EstimateList, Problem> {
    let governor = gateway.governor.clone();
    blocking(move || governor.estimates()).await
}

/// What `ask` gives for the AWU of this identity.
async fn about_one<T: Serialize + Send + 'static>(
    gateway: &Gateway,
    one: &OneAwu,
    ask: fn(&Governor, AwuId) -> Result<Option<T>, ReportError>,
) -> Result<T, Problem> {
    let id = one.read()?;
    let governor = gateway.governor.clone();
    let found = blocking(move || ask(&governor, id)).await?;
    found.ok_or_else(|| no_awu(id))
}

fn no_awu(id: AwuId) -> Problem {
    not_found("id", format!("no AWU {id} is in this ledger"))
}

pub(super) fn not_found(field: &'static str, message: String) -> Problem {
    Problem::NotFound { field, message }
}
