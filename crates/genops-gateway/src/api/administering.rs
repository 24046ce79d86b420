//! Acts of operators: what is in doubt is resolved, what was charged is corrected, and budgets are granted more for some
//! time. Each act is an entry with the key that was shown, and the reason.

use std::sync::Arc;

use axum::Json;
use genops::LedgerError;
use genops::held::HeldError;
use genops::report::AwuReport;
use genops_core::awu::Execution;
use genops_core::ledger::{Act, Grant, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bodies::{Decimal, EndWord, Named, Quantities, Usage, used};
use super::operating::Made;
use super::reading::{Moment, OneAwu, not_found};
use super::route::{Asker, Nothing, Problem};
use crate::server::Gateway;

/// How work ended that is in doubt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// In which way.
    end: EndWord,
    /// What it used. Left out where nobody knows: then its reservation stays charged.
    #[serde(default)]
    usage: Option<Usage>,
    /// Why it is said.
    reason: Named,
}

/// What an AWU should have been charged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Charged {
    /// How much, by the unit. Other units stay as they are.
    charged: Quantities,
    /// Why.
    reason: Named,
}

/// More for a budget, for some time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// The budget's name.
    budget: Named,
    /// The share of the budget, by the values of its `each`. Default: every cell of it.
    #[serde(default)]
    each: Vec<Option<Named>>,
    /// How much more may be used in each of its cells.
    amount: Decimal,
    /// Until when, RFC 3339.
    until: Moment,
    /// Why.
    reason: Named,
}

/// Why something is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The reason.
    reason: Named,
}

/// Which grant.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneGrant {
    /// Its number.
    number: u64,
}

/// A grant that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GrantMade {
    /// Its number.
    number: u64,
}

/// `POST /awus/{id}/resolve`.
pub async fn resolve(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    resolution: Resolution,
) -> Result<Json<AwuReport>, Problem> {
    let (awu, Resolution { end, usage, reason }) = (one.read()?, resolution);
    let known = gateway.governor.known(awu).await?;
    let (used, quantities) = used(end, usage.as_ref(), known.request.proposal.bound)?;
    // Nobody knows how long it took.
    let execution = Execution { end: end.end(), used, quantities, ..Execution::abandoned(0) };
    let record = gateway.governor.resolve(awu, execution, act(&asker, reason)).await?;
    Ok(Json(AwuReport::of(&record)))
}

/// `POST /awus/{id}/corrections`.
pub async fn correct(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    wanted: Charged,
) -> Result<Json<AwuReport>, Problem> {
    let (awu, Charged { charged, reason }) = (one.read()?, wanted);
    let charged = charged.all();
    if charged.is_empty() {
        let message = "`charged` has to name at least one unit, as in `{\"USD\": \"0.37\"}`".to_owned();
        return Err(Problem::Bad { field: Some("charged".to_owned()), message });
    }
    let record = gateway.governor.correct(awu, &charged, act(&asker, reason)).await?;
    Ok(Json(AwuReport::of(&record)))
}

/// `POST /grants`.
pub async fn grant(
    gateway: Arc<Gateway>,
    asker: Asker,
    _: Nothing,
    granted: Granted,
) -> Result<Json<GrantMade>, Problem> {
    let Granted { budget, each, amount: Decimal(amount), until: Moment(until), reason } = granted;
    let each = each.into_iter().map(|value| value.map(|Named(value)| value)).collect();
    let grant = Grant { budget: budget.0, each, amount, until, act: act(&asker, reason) };
    Ok(Json(GrantMade { number: gateway.governor.grant(grant).await? }))
}

/// `POST /grants/{number}/revoke`.
pub async fn revoke(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneGrant,
    reason: Reason,
) -> Result<Json<Made>, Problem> {
    let (OneGrant { number }, Reason { reason }) = (one, reason);
    match gateway.governor.revoke(number, act(&asker, reason)).await {
        Ok(sequence) => Ok(Json(Made { sequence })),
        Err(HeldError::Ledger(LedgerError::Rejected(Rejection::GrantMisfits(_)))) => {
            Err(not_found("number", format!("no grant {number} holds")))
        }
        Err(error) => Err(error.into()),
    }
}

fn act(asker: &Asker, Named(reason): Named) -> Act {
    Act { author: asker.key.name.clone(), reason }
}
