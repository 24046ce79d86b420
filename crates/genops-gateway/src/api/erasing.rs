//! Erasing persons: a customer or a session, by what callers say. An act of operators like the
//! [others](super::administering).
//!
//! No answer and no message says the value.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use genops::persons::EraseError;
use genops_core::ledger::Act;
use genops_core::selector::Facet;
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bodies::Named;
use super::code::Code;
use super::reading::not_found;
use super::route::{Asker, Done, Nothing, Problem};
use crate::server::Gateway;

/// Who is erased: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The customer.
    #[serde(default)]
    customer_id: Option<Named>,
    /// The session.
    #[serde(default)]
    session_id: Option<Named>,
    /// Why. It stays in the journal for good, so it should name nobody.
    reason: Named,
}

/// Somebody who was erased.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersonErased {
    /// What stands for the person in entries and reports from now on.
    pseudonym: String,
    /// The entry that says so.
    sequence: u64,
}

/// The same as an answer: there may be nobody to erase.
#[derive(Debug)]
pub struct Told(PersonErased);

impl Done for Told {
    type Body = PersonErased;
    const STATUSES: &'static [&'static str] = &["200"];
    const ERRORS: &'static [&'static str] = &["404", "409"];
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// `POST /erasures`.
pub async fn erase(
    gateway: Arc<Gateway>,
    asker: Asker,
    _: Nothing,
    erasure: Erasure,
) -> Result<Told, Problem> {
    let Erasure { customer_id, session_id, reason: Named(reason) } = erasure;
    let (facet, Named(value)) = match (customer_id, session_id) {
        (Some(value), None) => (Facet::CustomerId, value),
        (None, Some(value)) => (Facet::SessionId, value),
        _ => {
            let message = "the body has to name one of `customer_id` and `session_id`".to_owned();
            return Err(Problem::Bad { field: None, message });
        }
    };
    let act = Act { author: asker.key.name.clone(), reason };
    match gateway.governor.erase(facet, &value, act).await {
        Ok(erased) => {
            Ok(Told(PersonErased { pseudonym: erased.pseudonym.to_string(), sequence: erased.sequence }))
        }
        Err(error) => Err(problem(&error, facet)),
    }
}

fn problem(error: &EraseError, facet: Facet) -> Problem {
    let message = error.to_string();
    match error {
        EraseError::Unknown(_) => not_found(facet.as_str(), message),
        EraseError::Named(_) => Problem::Conflict { code: Code::NamedByPolicy, message },
        EraseError::InReason(_) => Problem::Bad { field: Some("reason".to_owned()), message },
        EraseError::InAuthor(_) => Problem::Bad { field: Some(header::AUTHORIZATION.to_string()), message },
        EraseError::NotPersonal(_) => Problem::Bad { field: Some(facet.as_str().to_owned()), message },
        EraseError::Ledger(_) => Problem::Unavailable(message),
    }
}
