//! The governance API, `/genops/v1`: one table of routes, from which the router and the description are made.
//!
//! What every route has in common is in [`route`]: who may ask, parameters, waiting for an entry, errors. What lists and
//! reads is in [`reading`], what is about telemetry in [`telemetry`]; the description is made in [`openapi`].
//! Calls of models are not part of it.

pub mod openapi;
pub mod reading;
pub mod route;
pub mod telemetry;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;

use crate::answer;
use crate::identity::Role::{Administer, Read};
use crate::server::Gateway;
use route::Route;

/// Every route of the governance API.
#[must_use]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("listBudgets", "/budgets", Read, "Budgets, those of the policy in force first, with what is used of them", reading::budgets),
        Route::get("listCells", "/cells", Read, "Cells: every budget in every window that was used, with its whole account", reading::cells),
        Route::get("getCell", "/cells/{number}", Read, "One cell", reading::cell),
        Route::get("listAwus", "/awus", Read, "AWUs, the latest first", reading::awus),
        Route::get("getAwu", "/awus/{id}", Read, "One AWU: its decision, its reservations and its end", reading::awu),
        Route::get("explainAwu", "/awus/{id}/explanation", Read, "Why an AWU was decided as it was", reading::explanation),
        Route::get("listEntries", "/entries", Read, "Entries of the journal, in their order", reading::entries),
        Route::get("getEntry", "/entries/{sequence}", Read, "One entry of the journal", reading::entry),
        Route::get("getPolicy", "/policy", Read, "The policy in force", reading::policy),
        Route::get("listEstimates", "/estimates", Read, "How good the bounds of calls were, by provider and model", reading::estimates),
        Route::get("getTelemetry", "/telemetry", Read, "How far telemetry has come, and what was rejected for good", telemetry::status),
        Route::post("resendTelemetry", "/telemetry/resend", Administer, "Send again what was rejected for good", telemetry::resend),
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
