//! The governance API, `/genops/v1`: one table of routes, from which the router and the description are made.
//!
//! What every route has in common is in [`route`]: who may ask, parameters, waiting for an entry, errors. What lists and
//! reads is in [`reading`], and the words that it knows in `words`; what holders of AWUs say in [`proposing`] and
//! [`operating`], what operators do in [`administering`] and [`erasing`]; what their bodies consist of in [`bodies`], whose
//! form is looked at in `form`; what is about telemetry in [`telemetry`]; the codes of errors in [`code`]. The
//! description is made in [`openapi`]. Calls of models are not part of it.

pub mod administering;
pub mod bodies;
pub mod code;
pub mod erasing;
mod form;
pub mod openapi;
pub mod operating;
pub mod proposing;
pub mod reading;
pub mod route;
pub mod telemetry;
mod words;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;

use crate::answer;
use crate::identity::Role::{Administer, Operate, Read};
use crate::server::Gateway;
use route::Route;

/// What stands in the journal may have left it for an archive.
const ARCHIVED: &[&str] = &["410"];

/// Every route of the governance API.
#[must_use]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("listBudgets", "/budgets", Read, "Budgets, those of the policy in force first, with what is used of them", reading::budgets),
        Route::get("listCells", "/cells", Read, "Cells: every budget in every window that was used and has not left for an archive, with its whole account", reading::cells),
        Route::get("getCell", "/cells/{number}", Read, "One cell", reading::cell).with_errors(ARCHIVED),
        Route::get("listAwus", "/awus", Read, "AWUs, the latest first", reading::awus),
        Route::get("getAwu", "/awus/{id}", Read, "One AWU: its decision, its reservations and its end", reading::awu).with_errors(ARCHIVED),
        Route::get("explainAwu", "/awus/{id}/explanation", Read, "Why an AWU was decided as it was", reading::explanation).with_errors(ARCHIVED),
        Route::get("getReceipt", "/awus/{id}/receipt", Read, "A signed receipt of the decision about an AWU", reading::receipt).with_errors(&["409", "410"]),
        Route::act("proposeAwu", "/awus", Operate, "Propose work: it is decided, and reserved for if it may run", proposing::propose).with_headers(proposing::HEADERS).with_errors(ARCHIVED),
        Route::act("startAwu", "/awus/{id}/start", Operate, "Say that the work begins", operating::start).with_errors(ARCHIVED),
        Route::act("extendAwu", "/awus/{id}/extend", Operate, "Say that the work goes on, and have more time", operating::extend).with_errors(ARCHIVED),
        Route::act("settleAwu", "/awus/{id}/settle", Operate, "Say what the work came to", operating::settle).with_errors(ARCHIVED),
        Route::act("releaseAwu", "/awus/{id}/release", Operate, "Give the reservation back: the work will not begin", operating::release).with_errors(ARCHIVED),
        Route::act("evaluateAwu", "/awus/{id}/evaluations", Operate, "Report the result of an evaluation", operating::evaluate).with_errors(ARCHIVED),
        Route::act("costAwu", "/awus/{id}/costs", Operate, "Report what the work cost by somebody's reckoning; it changes no balance", operating::cost).with_errors(ARCHIVED),
        Route::act("resolveAwu", "/awus/{id}/resolve", Administer, "Say what an AWU in doubt came to", administering::resolve).with_errors(ARCHIVED),
        Route::act("correctAwu", "/awus/{id}/corrections", Administer, "Correct what a settled AWU was charged", administering::correct).with_errors(ARCHIVED),
        Route::get("listGrants", "/grants", Read, "The grants that hold", reading::grants),
        Route::act("makeGrant", "/grants", Administer, "Grant a budget more, for some time", administering::grant),
        Route::act("revokeGrant", "/grants/{number}/revoke", Administer, "End a grant before its time", administering::revoke).with_errors(ARCHIVED),
        Route::act("erasePerson", "/erasures", Administer, "Erase a customer or a session: nobody can tell any more whom its pseudonym stands for", erasing::erase),
        Route::get("listEntries", "/entries", Read, "Entries of the journal, in their order", reading::entries).with_errors(ARCHIVED),
        Route::get("getEntry", "/entries/{sequence}", Read, "One entry of the journal", reading::entry).with_errors(ARCHIVED),
        Route::get("getStatus", "/status", Read, "How the ledger stands: whether it takes work, how far it is, what is open", reading::status),
        Route::get("getPolicy", "/policy", Read, "The policy in force", reading::policy),
        Route::get("listEstimates", "/estimates", Read, "How good the bounds of calls were, by provider and model", reading::estimates),
        Route::get("getTelemetry", "/telemetry", Read, "How far telemetry has come, and what was rejected for good", telemetry::status),
        Route::act("resendTelemetry", "/telemetry/resend", Administer, "Send again, identically, what was rejected for good; that changes nothing in the ledger and is no entry of it", telemetry::resend),
        Route::open("describe", "/openapi.json", "This description", openapi::document),
    ]
}

/// `GET /v1/models`: the models that are set up, as the OpenAI protocol lists them.
pub async fn models(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Err(problem) = gateway.setups.current().config.keys.shown(&headers) {
        return answer::unidentified(&problem);
    }
    let model = |(name, provider): (&str, &str)| json!({ "id": name, "object": "model", "created": 0, "owned_by": provider });
    let listed: Vec<_> = gateway.setups.current().config.listed_models().map(model).collect();
    Json(json!({ "object": "list", "data": listed })).into_response()
}
