//! What a holder says of the AWUs of its key: that they begin, need more time, have ended, and what is reckoned of them.
//!
//! Proposing is in [`proposing`](super::proposing). Calls through this gateway are held by it, and nobody else ends them.

use std::sync::Arc;

use axum::Json;
use genops::LedgerError;
use genops::held::{HeldError, Told, settled_with};
use genops::ledger::StoreError;
use genops::report::{AwuReport, ReportError};
use genops_core::awu::{AwuId, Execution};
use genops_core::ledger::{Rejection, Reported};
use genops_core::record::AwuRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bodies::{Currency, Decimal, EndWord, Named, Usage, Within, used};
use super::code::Code;
use super::reading::{OneAwu, not_found};
use super::route::{Asker, Nothing, Problem};

use crate::server::Gateway;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// An AWU, and whether it had been told before.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AwuTold {
    /// How it stands now.
    pub awu: AwuReport,
    /// Whether the same was said before. Then nothing has changed.
    pub repeated: bool,
}

/// Until when a holder may be silent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deadline {
    /// When the AWU is taken for lost, RFC 3339.
    deadline: String,
}

/// An entry that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Made {
    /// Its sequence number.
    pub sequence: u64,
    /// Whether the same was said before, and this is the entry of that. Then nothing has changed.
    pub repeated: bool,
}

impl AwuTold {
    pub(super) fn of(told: &Told<AwuRecord>) -> Self {
        Self { awu: AwuReport::of(&told.what), repeated: told.is_repeated }
    }
}

/// More time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreTime {
    /// For how long the holder may be silent from now on, in seconds.
    within_seconds: Within,
}

/// How work ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// In which way.
    end: EndWord,
    /// What it used. Left out where nobody knows: then its reservation is charged.
    #[serde(default)]
    usage: Option<Usage>,
    /// How long it took. Default: since it was started.
    #[serde(default)]
    latency_ms: Option<u64>,
    /// How long it took until the first of a streamed answer; left out where none was streamed.
    #[serde(default)]
    first_token_ms: Option<u64>,
    /// The model that the provider says it used.
    #[serde(default)]
    model: Option<Named>,
}

/// The result of an evaluation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// What was measured.
    metric: Named,
    /// The result.
    score: Decimal,
    /// What it had to reach.
    #[serde(default)]
    threshold: Option<Decimal>,
    /// Whether it did.
    #[serde(default)]
    passed: Option<bool>,
}

/// What somebody reckons that work cost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// How much.
    total: Decimal,
    /// In which currency.
    currency: Currency,
    /// The provider that charges it.
    #[serde(default)]
    provider: Option<Named>,
    /// The model that it was charged for.
    #[serde(default)]
    model: Option<Named>,
}

/// `POST /awus/{id}/start`.
pub async fn start(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    _: Nothing,
) -> Result<Json<AwuTold>, Problem> {
    let mut before = held(&gateway, &asker, &one).await?;
    let awu = before.id();
    let told = gateway.governor.start(awu).await?;
    // Where it cannot be read how it stands now, it executes all the same, and its holder has to be told.
    let record = gateway.governor.known(awu).await.unwrap_or_else(|_| {
        before.started = before.started.or(told.what);
        before
    });
    Ok(Json(AwuTold { awu: AwuReport::of(&record), repeated: told.is_repeated }))
}

/// `POST /awus/{id}/extend`.
pub async fn extend(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    more: MoreTime,
) -> Result<Json<Deadline>, Problem> {
    let awu = held(&gateway, &asker, &one).await?.id();
    let deadline = gateway.governor.extend(awu, more.within_seconds.nanos()).await?;
    Ok(Json(Deadline { deadline: deadline.to_string() }))
}

/// `POST /awus/{id}/release`.
pub async fn release(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    _: Nothing,
) -> Result<Json<AwuTold>, Problem> {
    let awu = held(&gateway, &asker, &one).await?.id();
    Ok(Json(AwuTold::of(&gateway.governor.release(awu).await?)))
}

/// `POST /awus/{id}/settle`.
pub async fn settle(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    ended: Ended,
) -> Result<Json<AwuTold>, Problem> {
    let record = held(&gateway, &asker, &one).await?;
    let awu = record.id();
    let told = match gateway.governor.settle(awu, execution(&gateway, &record, &ended)?).await {
        // Somebody else may have said the same meanwhile, where nobody says how long it took.
        Err(HeldError::Conflict { .. }) if ended.latency_ms.is_none() => {
            let record = gateway.governor.known(awu).await?;
            gateway.governor.settle(awu, execution(&gateway, &record, &ended)?).await?
        }
        told => told?,
    };
    Ok(Json(AwuTold::of(&told)))
}

/// What is said of the end of an AWU. Where nobody says how long it took, that is until it was said first.
fn execution(gateway: &Gateway, record: &AwuRecord, ended: &Ended) -> Result<Execution, Problem> {
    let Ended { end, usage, latency_ms, first_token_ms, model } = ended;
    let (used, quantities) = used(*end, usage.as_ref(), record.request.proposal.bound)?;
    let nanos = |millis: &u64| millis.saturating_mul(NANOS_PER_MILLI);
    let until_now =
        || gateway.governor.now().nanos().saturating_sub(record.started.unwrap_or(record.at).nanos());
    let measured = || settled_with(record).map_or_else(until_now, |settled| settled.latency_ns);
    Ok(Execution {
        end: end.end(),
        used,
        quantities,
        latency_ns: latency_ms.as_ref().map_or_else(measured, nanos),
        first_token_ns: first_token_ms.as_ref().map(nanos),
        response_model: model.as_ref().map(|Named(model)| model.clone()),
    })
}

/// `POST /awus/{id}/evaluations`.
pub async fn evaluate(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    evaluation: Evaluation,
) -> Result<Json<Made>, Problem> {
    let Evaluation { metric: Named(metric), score: Decimal(score), threshold, passed } = evaluation;
    let threshold = threshold.map(|Decimal(threshold)| threshold);
    let what = Reported::Evaluation { metric, score, threshold, passed };
    record(&gateway, &asker, &one, what).await
}

/// `POST /awus/{id}/costs`.
pub async fn cost(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    cost: Cost,
) -> Result<Json<Made>, Problem> {
    let Cost { total: Decimal(total), currency: Currency(currency), provider, model } = cost;
    if total.is_negative() {
        let message = "`total` must not be less than nothing".to_owned();
        return Err(Problem::Bad { field: Some("total".to_owned()), message });
    }
    let [provider, model] = [provider, model].map(|name| name.map(|Named(name)| name));
    record(&gateway, &asker, &one, Reported::Cost { total, currency, provider, model }).await
}

async fn record(
    gateway: &Gateway,
    asker: &Asker,
    one: &OneAwu,
    what: Reported,
) -> Result<Json<Made>, Problem> {
    let awu = one.read()?;
    own(gateway, asker, awu, "id").await?;
    Ok(Json(Made { sequence: gateway.governor.record(awu, what).await?, repeated: false }))
}

/// An AWU of the caller's key. Of others it is not said whether they are there, nor whether they were.
pub(super) async fn own(
    gateway: &Gateway,
    asker: &Asker,
    awu: AwuId,
    field: &'static str,
) -> Result<AwuRecord, Problem> {
    let key = &asker.key.name;
    let none = || {
        let what = "that is in the ledger; of one that is in an archive, nothing more can be said";
        not_found(field, format!("the key `{key}` has proposed no AWU {awu} {what}"))
    };
    match gateway.governor.known(awu).await {
        Ok(record) if record.request.proposal.key.as_ref() == Some(key) => Ok(record),
        Ok(_) | Err(HeldError::Unknown(_) | HeldError::Report(ReportError::PerhapsArchived { .. })) => {
            Err(none())
        }
        Err(HeldError::Report(ReportError::Store(error @ StoreError::Archived { .. }))) => {
            let proposed_by = gateway.governor.key_of_archived(awu).await?;
            if proposed_by.as_ref() == Some(key) { Err(ReportError::from(error).into()) } else { Err(none()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// An AWU of the caller's key that is not held by this gateway.
async fn held(gateway: &Gateway, asker: &Asker, one: &OneAwu) -> Result<AwuRecord, Problem> {
    let awu = one.read()?;
    let record = own(gateway, asker, awu, "id").await?;
    if record.request.within_ns.is_some() {
        return Ok(record);
    }
    let message = format!("AWU {awu} is a call through the gateway, which alone says what becomes of it");
    Err(Problem::Conflict { code: Code::HeldByTheGateway, message })
}

impl From<HeldError> for Problem {
    fn from(error: HeldError) -> Self {
        let message = error.to_string();
        match error {
            HeldError::Unknown(_) => not_found("id", message),
            HeldError::HelpsNobody => Self::Bad { field: Some("budget".to_owned()), message },
            HeldError::ChargedOtherwise { .. } => Self::Conflict { code: Code::ChargedOtherwise, message },
            HeldError::Conflict { .. } => Self::Conflict { code: Code::AwuState, message },
            HeldError::Ledger(LedgerError::Rejected(rejection)) => match rejection {
                Rejection::KeyConflict { .. } => Self::Conflict { code: Code::IdempotencyKeyReused, message },
                Rejection::KeyTooOld => Self::Conflict { code: Code::IdempotencyKeyTooOld, message },
                Rejection::NoGrant { .. } => not_found("number", message),
                Rejection::CellClosed { .. } => Self::Gone(message),
                Rejection::TooManyKeys { .. } => Self::Full { code: Code::TooManyIdempotencyKeys, message },
                Rejection::TooManyOpen { .. } => Self::Full { code: Code::TooManyOpenAwus, message },
                Rejection::GrantMisfits(_)
                | Rejection::GrantOfNoBudget
                | Rejection::GrantOfNoShare
                | Rejection::UnitTwice(_)
                | Rejection::TooMuch(_) => Self::Bad { field: None, message },
                _ => Self::Conflict { code: Code::AwuState, message },
            },
            HeldError::Report(error) => error.into(),
            HeldError::Ledger(LedgerError::NotSo { .. }) => Self::Conflict { code: Code::AwuState, message },
            HeldError::Ledger(_) => Self::Unavailable(message),
        }
    }
}
