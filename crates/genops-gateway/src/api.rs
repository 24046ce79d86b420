//! The read API: models for callers, budgets and AWUs for those who may read the ledger.
//!
//! Everything here only reads. What is said and done about telemetry is in [`telemetry`].

pub mod telemetry;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use genops::Governor;
use genops::ledger::views::Filter;
use genops::report::ReportError;
use genops_core::AwuId;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer;
use crate::server::Gateway;

/// `GET /v1/models`: the models that are set up, as the OpenAI protocol lists them.
pub async fn models(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Err(problem) = gateway.setups.current().config.keys.shown(&headers) {
        return answer::unidentified(&problem);
    }
    let model = |(name, provider): (&str, &str)| json!({ "id": name, "object": "model", "created": 0, "owned_by": provider });
    let listed: Vec<_> = gateway.setups.current().config.listed_models().map(model).collect();
    Json(json!({ "object": "list", "data": listed })).into_response()
}

/// `GET /genops/v1/budgets`.
pub async fn budgets(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Some(refused) = may_not_read(&gateway, &headers) {
        return refused;
    }
    reply(gateway.governor.budgets().await)
}

/// `GET /genops/v1/estimates`.
pub async fn estimates(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Some(refused) = may_not_read(&gateway, &headers) {
        return refused;
    }
    let governor = gateway.governor.clone();
    reply(blocking(move || governor.estimates()).await)
}

/// What `GET /genops/v1/awus` can be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    team: Option<String>,
    project: Option<String>,
    environment: Option<String>,
    result: Option<String>,
    state: Option<String>,
    before: Option<u64>,
    limit: Option<u32>,
}

/// `GET /genops/v1/awus`.
pub async fn awus(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    if let Some(refused) = may_not_read(&gateway, &headers) {
        return refused;
    }
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(problem) => {
            let message = problem.body_text();
            return answer::error(StatusCode::BAD_REQUEST, "invalid_request_error", None, None, &message);
        }
    };
    let limit = asked.limit.unwrap_or(50);
    let filter = Filter {
        team: asked.team,
        project: asked.project,
        environment: asked.environment,
        result: asked.result,
        state: asked.state,
        before: asked.before,
    };
    let governor = gateway.governor.clone();
    reply(blocking(move || governor.awus(&filter, limit)).await)
}

/// `GET /genops/v1/awus/{id}`.
pub async fn awu(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    about_one(&gateway, &headers, &id, Governor::awu).await
}

/// `GET /genops/v1/awus/{id}/explanation`.
pub async fn explanation(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    about_one(&gateway, &headers, &id, Governor::explain).await
}

/// What `ask` gives for the AWU of this identity.
async fn about_one<T: Serialize + Send + 'static>(
    gateway: &Gateway,
    headers: &HeaderMap,
    id: &str,
    ask: fn(&Governor, AwuId) -> Result<Option<T>, ReportError>,
) -> Response {
    if let Some(refused) = may_not_read(gateway, headers) {
        return refused;
    }
    let id: AwuId = match id.parse() {
        Ok(id) => id,
        Err(problem) => {
            let message = format!("{problem}");
            return answer::error(
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                None,
                Some("id"),
                &message,
            );
        }
    };
    let governor = gateway.governor.clone();
    match blocking(move || ask(&governor, id)).await {
        Ok(None) => {
            let message = format!("no AWU {id} is in this ledger");
            answer::error(StatusCode::NOT_FOUND, "invalid_request_error", None, Some("id"), &message)
        }
        found => reply(found),
    }
}

/// The answer for a caller who may not read the ledger.
fn may_not_read(gateway: &Gateway, headers: &HeaderMap) -> Option<Response> {
    match gateway.setups.current().config.keys.shown(headers) {
        Ok(key) if key.reads_ledger => None,
        Ok(_) => {
            let message = "this key may not read the ledger; it takes one with `reads_ledger: true`";
            Some(answer::error(StatusCode::FORBIDDEN, "permission_error", None, None, message))
        }
        Err(problem) => Some(answer::unidentified(&problem)),
    }
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer,
        Err(error) => Err(ReportError::Store(genops::ledger::StoreError::Failed { what: error.to_string() })),
    }
}

fn reply<T: Serialize>(answer: Result<T, ReportError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => answer::unavailable(&problem.to_string()),
    }
}
