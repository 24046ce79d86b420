//! How the caller is told: the provider's answer passed on, or an error in the caller's own protocol.
//!
//! Nothing is decided here. Messages say what happened, why, and what to do.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use genops::Refusal;
use genops::report::AwuReport;
use genops_core::admit::Admitted;
use genops_core::attribution::InvalidAttribution;
use genops_core::awu::AwuId;
use genops_core::{Timestamp, Unit};
use genops_spec::{Decision, DecisionState, ReasonCode};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::BadCall;
use crate::identity::Unidentified;
use crate::provider::Answered;
use crate::stream::GovernedStream;

/// When it is worth asking again whether work in flight has ended; nobody knows when it does.
const WORK_MAY_END_WITHIN: Duration = Duration::from_secs(1);

/// What a governed answer says of its AWU, in headers.
#[derive(Debug)]
pub struct Told {
    awu: AwuId,
    decision: Decision,
    reserved: Option<(String, Unit)>,
    output_limit: Option<u64>,
}

impl Told {
    /// About an admission.
    #[must_use]
    pub fn of(awu: AwuId, admitted: &Admitted) -> Self {
        let accounting = admitted.accounting();
        let reserved = accounting.map(|(_, step)| (step.amount.to_string(), step.key.unit));
        let output_limit = admitted.output_limit();
        Self { awu, decision: admitted.decision().clone(), reserved, output_limit }
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        add(headers, "x-genops-awu", &self.awu.to_string());
        add(headers, "x-genops-result", self.decision.state().as_str());
        if let Some(code) = self.decision.reason_code() {
            add(headers, "x-genops-reason-code", code.as_str());
        }
        if let Some((amount, unit)) = &self.reserved {
            add(headers, "x-genops-reserved", amount);
            add(headers, "x-genops-unit", unit.as_str());
        }
        if let Some(limit) = self.output_limit {
            add(headers, "x-genops-output-limit", &limit.to_string());
        }
    }
}

/// Says how many attempts an answer took, where it was more than one.
#[must_use]
pub fn after_attempts(mut response: Response, attempts: u32) -> Response {
    if attempts > 1 {
        add(response.headers_mut(), "x-genops-attempts", &attempts.to_string());
    }
    response
}

fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Passes the provider's answer on, or says that there is none.
#[must_use]
pub fn of_provider(answered: Answered, told: &Told) -> Response {
    let mut response = match answered {
        Answered::Provider { status, headers, body } => {
            let mut response = Response::new(body.into());
            *response.status_mut() = status;
            *response.headers_mut() = passed_on(headers);
            response
        }
        Answered::Failed { status, message } => {
            let code = ReasonCode::ProviderErrorUpstream;
            error(status, "upstream_error", Some(code.as_str()), None, &message)
        }
    };
    told.add_to(response.headers_mut());
    response
}

/// Passes the provider's answer on as it comes.
#[must_use]
pub fn streamed(head: Parts, body: GovernedStream, told: &Told) -> Response {
    let mut response = Response::new(axum::body::Body::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = passed_on(head.headers);
    told.add_to(response.headers_mut());
    response
}

/// Everything that is about the answer, nothing that is about the provider's connection.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let of_connection = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::PROXY_AUTHENTICATE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        // About the provider's site, not about the answer.
        header::SET_COOKIE,
        header::ALT_SVC,
        header::STRICT_TRANSPORT_SECURITY,
    ];
    for name in of_connection.into_iter().chain(named) {
        headers.remove(name);
    }
    // Another gateway of this kind may stand behind this one: what it says of its AWU is not said of ours.
    let others: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("x-genops-")).cloned().collect();
    others.into_iter().for_each(|name| drop(headers.remove(name)));
    headers
}

/// A refusal, with the reason code as the error's code, told at `now`; with the report of its AWU for who asked for one.
#[must_use]
pub fn refused(refusal: &Refusal, awu: Option<&AwuReport>, now: Timestamp) -> Response {
    let decision = refusal.decision();
    let code = decision.reason_code().map_or("", ReasonCode::as_str);
    let (status, kind, retry_helps) = match decision.reason_code() {
        Some(ReasonCode::BudgetExceeded | ReasonCode::BudgetReservationFailed) => {
            (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", refusal.waits_for_work())
        }
        Some(ReasonCode::RateLimited) => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", refusal.may_pass_later())
        }
        Some(ReasonCode::SlaLatencyViolation) => (StatusCode::SERVICE_UNAVAILABLE, "sla_error", true),
        Some(ReasonCode::ProviderErrorUpstream) => (StatusCode::SERVICE_UNAVAILABLE, "upstream_error", true),
        Some(ReasonCode::AccountingInvariantViolation) => {
            (StatusCode::SERVICE_UNAVAILABLE, "accounting_error", false)
        }
        Some(code) if *code == ReasonCode::too_many_shares() => {
            (StatusCode::SERVICE_UNAVAILABLE, "capacity_error", false)
        }
        _ => (StatusCode::FORBIDDEN, "policy_error", false),
    };
    let mut message = format!("{}: {}", word(decision.state()), refusal.reason());
    if retry_helps && refusal.is_remembered() {
        message += "; ask again with another idempotency key: this one is answered so from now on";
    }
    let detail = ErrorDetail { message: &message, kind, param: None, code: Some(code) };
    let mut response = (status, axum::Json(ErrorBody { error: detail, awu })).into_response();
    let told = Told { awu: refusal.id(), decision: decision.clone(), reserved: None, output_limit: None };
    told.add_to(response.headers_mut());
    let waits_for_work = refusal.waits_for_work();
    if let Some(wait) = refusal.wait(now).or_else(|| waits_for_work.then_some(WORK_MAY_END_WITHIN)) {
        // Rounded up, since earlier does not help. The header has whole seconds; the official SDKs read the one in
        // milliseconds first.
        let millis = wait.as_nanos().div_ceil(1_000_000);
        add(response.headers_mut(), "retry-after", &millis.div_ceil(1_000).to_string());
        add(response.headers_mut(), "retry-after-ms", &millis.to_string());
    }
    // The official SDKs read this. Where it is absent, they go by the status.
    // The same key is told the same.
    if !retry_helps || refusal.is_remembered() {
        add(response.headers_mut(), "x-should-retry", "false");
    } else if waits_for_work {
        add(response.headers_mut(), "x-should-retry", "true");
    }
    response
}

const fn word(state: DecisionState) -> &'static str {
    match state {
        DecisionState::RateLimited => "rate limited",
        _ => "blocked",
    }
}

/// A caller who is not let in, or whose work cannot be attributed.
#[must_use]
pub fn unidentified(problem: &Unidentified) -> Response {
    let message = problem.to_string();
    match problem {
        Unidentified::NoKey | Unidentified::UnknownKey => {
            error(StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"), None, &message)
        }
        Unidentified::Attribution(InvalidAttribution { field, .. }) => {
            let field = format!("x-genops-{field}");
            let (status, code) = (StatusCode::BAD_REQUEST, Some("attribution"));
            error(status, "invalid_request_error", code, Some(&field), &message)
        }
        Unidentified::AttributionOfBody(InvalidAttribution { field, .. }) => {
            let (status, code) = (StatusCode::BAD_REQUEST, Some("attribution"));
            error(status, "invalid_request_error", code, Some(&field.to_string()), &message)
        }
        Unidentified::Contradiction(_, place) => {
            let (status, code) = (StatusCode::BAD_REQUEST, Some("attribution"));
            error(status, "invalid_request_error", code, Some(place), &message)
        }
        Unidentified::LabelContradiction(_, place)
        | Unidentified::TwoAnswers(place, _)
        | Unidentified::Label(place, _)
        | Unidentified::Operation(place, _)
        | Unidentified::NoOperation(place) => {
            error(StatusCode::BAD_REQUEST, "invalid_request_error", None, Some(place), &message)
        }
    }
}

/// A body that cannot be governed.
#[must_use]
pub fn bad_call(problem: &BadCall) -> Response {
    let (status, code) = if problem.no_such_model {
        (StatusCode::NOT_FOUND, Some("model_not_found"))
    } else {
        (StatusCode::BAD_REQUEST, None)
    };
    error(status, "invalid_request_error", code, problem.field, &problem.message)
}

/// A body over the limit.
#[must_use]
pub fn too_large(bytes_max: usize) -> Response {
    let message = format!("the body is larger than the {bytes_max} bytes that this gateway takes");
    error(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", None, None, &message)
}

/// A body that did not come in time.
#[must_use]
pub fn too_slow(seconds: u64) -> Response {
    let message = format!("the body did not arrive within {seconds} s");
    error(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", None, None, &message)
}

/// A body in an encoding that nobody here reads.
#[must_use]
pub fn encoded(encoding: &HeaderValue) -> Response {
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let message = format!("the body is encoded as `{encoding}`; send it as it is");
    let field = Some("content-encoding");
    error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", None, field, &message)
}

/// The gateway cannot do its part; nothing was sent to the provider.
#[must_use]
pub fn unavailable(message: &str) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "gateway_error", None, None, message)
}

/// The code where as many AWUs are open as may be.
pub const TOO_MANY_OPEN: &str = "too_many_open_awus";

/// The books hold as much of something as they may; nothing was decided.
#[must_use]
pub fn full(code: &str, message: &str) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "capacity_error", Some(code), None, message)
}

/// An error as the OpenAI protocol writes it, and the governance API as well.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorBody<'a> {
    /// The error.
    error: ErrorDetail<'a>,
    /// What was proposed, where that is what was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    awu: Option<&'a AwuReport>,
}

/// What is wrong.
#[derive(Debug, Serialize, JsonSchema)]
struct ErrorDetail<'a> {
    /// What happened, why, and what to do.
    message: &'a str,
    /// The kind of error, for programs.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The field or parameter that is wrong, where one is.
    param: Option<&'a str>,
    /// More exactly what is wrong, where there is a word for it.
    code: Option<&'a str>,
}

/// An error.
#[must_use]
pub fn error(
    status: StatusCode,
    kind: &str,
    code: Option<&str>,
    field: Option<&str>,
    message: &str,
) -> Response {
    let body = ErrorBody { error: ErrorDetail { message, kind, param: field, code }, awu: None };
    (status, axum::Json(body)).into_response()
}
