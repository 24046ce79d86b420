//! Acts of operators: what is in doubt is resolved, what was charged is corrected, and budgets are granted more for some
//! time. Each act is an entry with the key that was shown, and the reason.

use std::sync::Arc;

use axum::Json;
use genops::held::Told;
use genops_core::awu::Execution;
use genops_core::ledger::{Act, Grant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bodies::{Decimal, EndWord, Named, Quantities, Usage, used};
use super::operating::{AwuTold, Made};
use super::reading::{Moment, OneAwu};
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
    /// What it is charged now, by the unit. Where that is not so, nothing is corrected: so what is said again never
    /// corrects again, and nobody corrects what somebody else has corrected meanwhile. Units may be left out.
    #[serde(default)]
    before: Quantities,
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
    /// How many cells of the budget it reaches now. Those that are opened while it holds have it as well.
    cells: usize,
    /// Whether the same grant was made before, and still holds. Then nothing has changed.
    repeated: bool,
}

/// `POST /awus/{id}/resolve`.
pub async fn resolve(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    resolution: Resolution,
) -> Result<Json<AwuTold>, Problem> {
    let (awu, Resolution { end, usage, reason }) = (one.read()?, resolution);
    let known = gateway.governor.known(awu).await?;
    let (used, quantities) = used(end, usage.as_ref(), known.request.proposal.bound)?;
    // Nobody knows how long it took.
    let execution = Execution { end: end.end(), used, quantities, ..Execution::abandoned(0) };
    Ok(Json(AwuTold::of(&gateway.governor.resolve(awu, execution, act(&asker, reason)).await?)))
}

/// `POST /awus/{id}/corrections`.
pub async fn correct(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneAwu,
    wanted: Charged,
) -> Result<Json<AwuTold>, Problem> {
    let (awu, Charged { charged, before, reason }) = (one.read()?, wanted);
    let charged = charged.all();
    if charged.is_empty() {
        let message = "`charged` has to name at least one unit, as in `{\"USD\": \"0.37\"}`".to_owned();
        return Err(Problem::Bad { field: Some("charged".to_owned()), message });
    }
    let (before, act) = (before.all(), act(&asker, reason));
    Ok(Json(AwuTold::of(&gateway.governor.correct(awu, &before, &charged, act).await?)))
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
    let each = gateway.governor.shares(&budget.0, each)?;
    let grant = Grant { budget: budget.0, each, amount, until, act: act(&asker, reason) };
    let Told { what: genops::operate::Granted { number, cells }, is_repeated } =
        gateway.governor.grant(grant).await?;
    Ok(Json(GrantMade { number, cells, repeated: is_repeated }))
}

/// `POST /grants/{number}/revoke`.
pub async fn revoke(
    gateway: Arc<Gateway>,
    asker: Asker,
    one: OneGrant,
    reason: Reason,
) -> Result<Json<Made>, Problem> {
    let (OneGrant { number }, Reason { reason }) = (one, reason);
    let told = gateway.governor.revoke(number, act(&asker, reason)).await?;
    Ok(Json(Made { sequence: told.what, repeated: told.is_repeated }))
}

fn act(asker: &Asker, Named(reason): Named) -> Act {
    Act { author: asker.key.name.clone(), reason }
}
