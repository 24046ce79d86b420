//! Where telemetry stands, and sending again what a collector rejected.
//!
//! Sending again changes nothing in the ledger, and says nothing that was not to be said.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use genops::telemetry::{ResendReport, TelemetryReport};
use schemars::JsonSchema;
use serde::Deserialize;

use super::reading::AsOf;
use super::route::{Asker, Done, Nothing, Problem, blocking};
use crate::server::Gateway;

/// `GET /telemetry`.
pub async fn status(gateway: Arc<Gateway>, _: Nothing, _: AsOf) -> Result<TelemetryReport, Problem> {
    let governor = gateway.governor.clone();
    blocking(move || governor.telemetry()).await
}

/// What is to be sent again: `{"follower": "..."}` or `{"all": true}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The dead letters of this follower, as `GET /telemetry` names it.
    #[serde(default)]
    follower: Option<String>,
    /// All dead letters.
    #[serde(default)]
    all: bool,
}

/// What is sent again.
#[derive(Debug)]
pub struct Resent(ResendReport);

impl Done for Resent {
    type Body = ResendReport;
    const STATUSES: &'static [&'static str] = &["200"];
    // There is no such follower.
    const ERRORS: &'static [&'static str] = &["404"];
}

impl IntoResponse for Resent {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// `POST /telemetry/resend`.
pub async fn resend(gateway: Arc<Gateway>, _: Asker, _: Nothing, wanted: Wanted) -> Result<Resent, Problem> {
    let follower = match wanted {
        Wanted { follower: Some(follower), all: false } => Some(follower),
        Wanted { follower: None, all: true } => None,
        _ => {
            let message = "the body has to be `{\"follower\": \"...\"}`, with a name that \
                           `/genops/v1/telemetry` shows, or `{\"all\": true}`";
            return Err(Problem::Bad { field: None, message: message.to_owned() });
        }
    };
    let governor = gateway.governor.clone();
    Ok(Resent(blocking(move || governor.resend(follower.as_deref())).await?))
}
