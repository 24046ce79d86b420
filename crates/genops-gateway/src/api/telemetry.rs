//! Where telemetry stands, and sending again what a collector rejected.
//!
//! Sending again changes nothing in the ledger, and says nothing that was not to be said: it takes the same
//! key as reading.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use super::{blocking, may_not_read, reply};
use crate::answer;
use crate::server::Gateway;

/// More than a follower's name takes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How long a caller may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// `GET /genops/v1/telemetry`.
pub async fn status(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if let Some(refused) = may_not_read(&gateway, &headers) {
        return refused;
    }
    let governor = gateway.governor.clone();
    reply(blocking(move || governor.telemetry()).await)
}

/// What is to be sent again: `{"follower": "..."}` or `{"all": true}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    follower: Option<String>,
    #[serde(default)]
    all: bool,
}

/// `POST /genops/v1/telemetry/resend`.
pub async fn resend(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(refused) = may_not_read(&gateway, &head.headers) {
        return refused;
    }
    let follower = match wanted(body).await {
        Some(Wanted { follower: Some(follower), all: false }) => Some(follower),
        Some(Wanted { follower: None, all: true }) => None,
        _ => {
            let message = "the body has to be `{\"follower\": \"...\"}`, with a name that \
                           `/genops/v1/telemetry` shows, or `{\"all\": true}`";
            return answer::error(StatusCode::BAD_REQUEST, "invalid_request_error", None, None, message);
        }
    };
    let governor = gateway.governor.clone();
    reply(blocking(move || governor.resend(follower.as_deref())).await)
}

async fn wanted(body: Body) -> Option<Wanted> {
    let body = tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    serde_json::from_slice(&body.ok()?.ok()?.to_bytes()).ok()
}
