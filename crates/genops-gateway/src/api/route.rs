//! What every route of the governance API has in common: who may ask, its parameters and body, waiting for an entry, and
//! how an error is told.
//!
//! A route is made from a handler, and what it describes of itself from the handler's types: so neither can say what the
//! other does not.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use genops::ledger::StoreError;
use genops::report::{AwuReport, ReportError};
use genops::{Governor, Refusal};
use genops_core::Timestamp;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::code::Code;
use super::form::{self, Misshapen};
use super::openapi;
use crate::answer;
use crate::identity::{Key, Role, Unidentified};
use crate::server::Gateway;
use crate::setup::Setup;

/// Where the governance API is.
pub const BASE: &str = "/genops/v1";

/// How long an answer waits for the entry that it has to take into account.
const ENTRY_WITHIN: Duration = Duration::from_secs(5);

/// The largest body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a caller may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The shape of something, as JSON Schema.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method at one path.
#[derive(Debug)]
pub struct Route {
    /// What programs call it.
    pub name: &'static str,
    /// How it is asked.
    pub method: Method,
    /// Where, below [`BASE`].
    pub path: &'static str,
    /// What it gives or does.
    pub summary: &'static str,
    /// The role that a key needs for it; without one, everybody may ask.
    pub needs: Option<Role>,
    /// The parameters in the path, as properties.
    pub in_path: Shape,
    /// The parameters in the query, as properties.
    pub in_query: Shape,
    /// Headers that it reads beside the key, each with what it is for.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body, where it takes one.
    pub body: Option<Shape>,
    /// What it answers where nothing is wrong.
    pub answer: Shape,
    /// The statuses of that.
    pub statuses: &'static [&'static str],
    /// The statuses of errors that not every route has.
    pub errors: Vec<&'static str>,
    /// Who answers.
    pub handler: MethodRouter<Arc<Gateway>>,
}

/// A query's parameters. Every one of them may be left out.
pub trait Parameters: DeserializeOwned + JsonSchema + Send + 'static {
    /// The entry that the answer has to take into account.
    fn at_least(&self) -> Option<u64>;
}

/// No parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Parameters for Nothing {
    fn at_least(&self) -> Option<u64> {
        None
    }
}

/// Who does something, and what that is governed by.
#[derive(Debug)]
pub struct Asker {
    /// The setup that knows the key.
    pub setup: Arc<Setup>,
    /// The key.
    pub key: Arc<Key>,
    /// The request's headers.
    pub headers: HeaderMap,
}

/// What a route that does something answers.
pub trait Done: IntoResponse {
    /// Its body.
    type Body: Serialize + JsonSchema;
    /// The statuses that it may have.
    const STATUSES: &'static [&'static str];
    /// The statuses of its errors, beside those that every route has.
    const ERRORS: &'static [&'static str];
}

impl<T: Serialize + JsonSchema> Done for Json<T> {
    type Body = T;
    const STATUSES: &'static [&'static str] = &["200"];
    const ERRORS: &'static [&'static str] = &["409"];
}

/// What has been decided now, or was before.
#[derive(Debug)]
pub struct Decided<T> {
    /// What is told of it.
    pub what: T,
    /// Whether it was decided before.
    pub is_repeated: bool,
}

impl<T: Serialize + JsonSchema> Done for Decided<T> {
    type Body = T;
    const STATUSES: &'static [&'static str] = &["200", "201"];
    const ERRORS: &'static [&'static str] = &["404", "409", "429"];
}

impl<T: Serialize> IntoResponse for Decided<T> {
    fn into_response(self) -> Response {
        let status = if self.is_repeated { StatusCode::OK } else { StatusCode::CREATED };
        (status, Json(self.what)).into_response()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Problem {
    /// Who asks is not known.
    Unidentified(Unidentified),
    /// The key does not have the role.
    NotAllowed(Role),
    /// A parameter, or the body, is not what it has to be.
    Bad {
        /// Which parameter, where it is one.
        field: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// There is no such thing.
    NotFound {
        /// The parameter that names it.
        field: &'static str,
        /// What there is not.
        message: String,
    },
    /// It was there, and has left the ledger for an archive.
    Gone(String),
    /// The body is too large.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// It does not fit what was said or done before.
    Conflict {
        /// What does not fit, for programs.
        code: Code,
        /// The same for people.
        message: String,
    },
    /// What was proposed may not run.
    Refused(Box<Refused>),
    /// The ledger cannot answer, or not yet.
    Unavailable(String),
    /// The books hold as much of something as they may.
    Full {
        /// Of what, for programs.
        code: Code,
        /// The same for people, and what to do.
        message: String,
    },
}

/// A refusal, and how it is told.
#[derive(Debug)]
pub struct Refused {
    /// The refusal.
    pub refusal: Refusal,
    /// What is told of its AWU.
    pub awu: AwuReport,
    /// The time by the governor's clock.
    pub now: Timestamp,
}

impl Route {
    /// A route that reads.
    pub fn get<P, Q, A, F, Fut>(
        name: &'static str,
        path: &'static str,
        needs: Role,
        summary: &'static str,
        ask: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        Q: Parameters,
        A: Serialize + JsonSchema,
        F: Fn(Arc<Gateway>, P, Q) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let handler = get(move |State(gateway): State<Arc<Gateway>>, request: Request| async move {
            let (mut head, _) = request.into_parts();
            told(async {
                may(&gateway.setups.current(), needs, &head.headers)?;
                let (path, query) = (in_path(&mut head).await?, in_query::<Q>(&head)?);
                wait_for(&gateway.governor, query.at_least()).await?;
                ask(gateway, path, query).await
            })
            .await
        });
        Self {
            name,
            method: Method::GET,
            path,
            summary,
            needs: Some(needs),
            in_path: SchemaGenerator::subschema_for::<P>,
            in_query: SchemaGenerator::subschema_for::<Q>,
            headers: &[],
            body: None,
            answer: SchemaGenerator::subschema_for::<A>,
            statuses: &["200"],
            errors: Vec::new(),
            handler,
        }
    }

    /// A route that does something.
    pub fn act<P, B, D, F, Fut>(
        name: &'static str,
        path: &'static str,
        needs: Role,
        summary: &'static str,
        ask: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        B: DeserializeOwned + JsonSchema + Send + 'static,
        D: Done,
        F: Fn(Arc<Gateway>, Asker, P, B) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<D, Problem>> + Send + 'static,
    {
        let schema = Arc::new(openapi::asked_for(SchemaGenerator::subschema_for::<B>));
        let handler = post(move |State(gateway): State<Arc<Gateway>>, request: Request| async move {
            let (mut head, body) = request.into_parts();
            let answer = async {
                // Who may not do it sends no body.
                let setup = gateway.setups.current();
                let key = may(&setup, needs, &head.headers)?;
                let path = in_path(&mut head).await?;
                let Nothing {} = in_query(&head)?;
                let body = in_body(&head, body, &schema).await?;
                ask(gateway, Asker { setup, key, headers: head.headers }, path, body).await
            };
            answer.await.map_or_else(Problem::into_response, D::into_response)
        });
        Self {
            name,
            method: Method::POST,
            path,
            summary,
            needs: Some(needs),
            in_path: SchemaGenerator::subschema_for::<P>,
            in_query: SchemaGenerator::subschema_for::<Nothing>,
            headers: &[],
            body: Some(SchemaGenerator::subschema_for::<B>),
            answer: SchemaGenerator::subschema_for::<D::Body>,
            statuses: D::STATUSES,
            errors: D::ERRORS.to_vec(),
            handler,
        }
    }

    /// A route that tells everybody the same.
    pub fn open<A: Serialize + JsonSchema + 'static>(
        name: &'static str,
        path: &'static str,
        summary: &'static str,
        tell: fn() -> A,
    ) -> Self {
        Self {
            name,
            method: Method::GET,
            path,
            summary,
            needs: None,
            in_path: SchemaGenerator::subschema_for::<Nothing>,
            in_query: SchemaGenerator::subschema_for::<Nothing>,
            headers: &[],
            body: None,
            answer: SchemaGenerator::subschema_for::<A>,
            statuses: &["200"],
            errors: Vec::new(),
            handler: get(move |request: Request| async move {
                let (head, _) = request.into_parts();
                told(async { in_query::<Nothing>(&head).map(|Nothing {}| tell()) }).await
            }),
        }
    }

    /// The same, reading these headers as well.
    #[must_use]
    pub fn with_headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// The same, which may answer these errors as well.
    #[must_use]
    pub fn with_errors(mut self, errors: &'static [&'static str]) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Where it is.
    #[must_use]
    pub fn full_path(&self) -> String {
        format!("{BASE}{}", self.path)
    }
}

// === what is asked ===

/// The key, where it has the role.
pub(super) fn may(setup: &Setup, needs: Role, headers: &HeaderMap) -> Result<Arc<Key>, Problem> {
    let key = setup.config.keys.shown(headers).map_err(Problem::Unidentified)?;
    if key.roles.contains(&needs) { Ok(key) } else { Err(Problem::NotAllowed(needs)) }
}

async fn in_path<P: DeserializeOwned + Send>(head: &mut Parts) -> Result<P, Problem> {
    match Path::from_request_parts(head, &()).await {
        Ok(Path(path)) => Ok(path),
        Err(problem) => {
            let message = problem.body_text();
            Err(Problem::Bad { field: quoted(&message), message })
        }
    }
}

fn in_query<Q: DeserializeOwned>(head: &Parts) -> Result<Q, Problem> {
    match Query::try_from_uri(&head.uri) {
        Ok(Query(query)) => Ok(query),
        Err(problem) => {
            let text = problem.body_text();
            // Before the first colon stands what is being read; behind it the parameter, where it has been reached.
            let what = text.split_once(": ").map_or(text.as_str(), |(_, what)| what);
            let reached = what.split_once(": ").map(|(field, _)| field.to_owned());
            let field = reached.filter(|field| !field.contains(' ')).or_else(|| quoted(what));
            Err(Problem::Bad { field, message: format!("the query cannot be read: {what}") })
        }
    }
}

/// The first thing that a message names.
fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(str::to_owned)
}

async fn in_body<B: DeserializeOwned>(head: &Parts, body: Body, schema: &Value) -> Result<B, Problem> {
    if let Some(encoding) =
        head.headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity")
    {
        let field = Some(header::CONTENT_ENCODING.to_string());
        let message = format!("the body is encoded as {encoding:?}; send it as it is");
        return Err(Problem::Bad { field, message });
    }
    let body = match tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Problem::TooLarge),
        // The caller went away while sending; nobody reads this.
        Ok(Err(error)) => return Err(Problem::Bad { field: None, message: error.to_string() }),
        Err(_) => return Err(Problem::TooSlow),
    };
    // Where everything may be left out, so may the body.
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    if let Some(Misshapen { place, what }) = form::misshapen(body, schema) {
        let (subject, field) = match place.as_str() {
            "" => ("it".to_owned(), None),
            place => (format!("`{place}`"), Some(place.to_owned())),
        };
        return Err(Problem::Bad { field, message: format!("the body cannot be read: {subject} {what}") });
    }
    read_body(body)
}

fn read_body<B: DeserializeOwned>(body: &[u8]) -> Result<B, Problem> {
    let mut text = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let place = error.path().to_string();
        (place, error.into_inner().to_string())
    });
    let read = read.and_then(|read| match text.end() {
        Ok(()) => Ok(read),
        Err(error) => Err((".".to_owned(), error.to_string())),
    });
    read.map_err(|(place, what)| {
        // What is missing has no place of its own.
        let missing = if what.starts_with("missing field") { quoted(&what) } else { None };
        // What has no name is written as `.` or `?`.
        let place = Some(place.trim_end_matches(['.', '?'])).filter(|place| !place.is_empty());
        let field = match (place, missing) {
            (Some(place), Some(missing)) => Some(format!("{place}.{missing}")),
            (place, missing) => place.map(str::to_owned).or(missing),
        };
        Problem::Bad { field, message: format!("the body cannot be read: {what}") }
    })
}

/// Waits until the ledger has an entry on its disk, so that an answer can take it into account.
async fn wait_for(governor: &Governor, at_least: Option<u64>) -> Result<(), Problem> {
    let Some(sequence) = at_least else { return Ok(()) };
    let mut durable = governor.durable();
    match tokio::time::timeout(ENTRY_WITHIN, durable.wait_for(|through| *through >= sequence)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            let (last, within) = (*governor.durable().borrow(), ENTRY_WITHIN.as_secs());
            Err(Problem::Unavailable(format!(
                "entry {sequence} is not there after {within} s: the last one on the ledger's disk is {last}; ask again, \
                 or without `at_least`"
            )))
        }
    }
}

// === what is told ===

async fn told<A: Serialize>(answer: impl Future<Output = Result<A, Problem>>) -> Response {
    match answer.await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Asks what blocks away from the tasks that serve.
///
/// # Errors
///
/// The question has no answer.
pub async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(Problem::from),
        Err(error) => Err(Problem::Unavailable(error.to_string())),
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::AnotherPolicy => {
                Self::Bad { field: Some("from".to_owned()), message: error.to_string() }
            }
            ReportError::Store(StoreError::Archived { .. }) | ReportError::CellClosed { .. } => {
                Self::Gone(error.to_string())
            }
            ReportError::PerhapsArchived { .. } => Self::NotFound { field: "id", message: error.to_string() },
            ReportError::NoFollower { .. } => {
                Self::NotFound { field: "follower", message: error.to_string() }
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::Unidentified(problem) => answer::unidentified(&problem),
            Self::NotAllowed(role) => {
                let message = format!(
                    "this takes a key with the role `{role}`: whoever runs the gateway adds it to the key's `roles`"
                );
                answer::error(StatusCode::FORBIDDEN, "permission_error", None, None, &message)
            }
            Self::Bad { field, message } => {
                answer::error(StatusCode::BAD_REQUEST, INVALID, None, field.as_deref(), &message)
            }
            Self::NotFound { field, message } => {
                answer::error(StatusCode::NOT_FOUND, INVALID, None, Some(field), &message)
            }
            Self::Gone(message) => {
                answer::error(StatusCode::GONE, INVALID, Some(Code::Archived.as_str()), None, &message)
            }
            Self::Conflict { code, message } => {
                answer::error(StatusCode::CONFLICT, INVALID, Some(code.as_str()), None, &message)
            }
            Self::Refused(refused) => answer::refused(&refused.refusal, Some(&refused.awu), refused.now),
            Self::TooLarge => answer::too_large(BODY_BYTES_MAX),
            Self::TooSlow => answer::too_slow(BODY_WITHIN.as_secs()),
            Self::Unavailable(message) => answer::unavailable(&message),
            Self::Full { code, message } => answer::full(code, &message),
        }
    }
}

#[cfg(test)]
mod tests {
    use genops::Settings;
    use genops_core::AwuId;
    use genops_core::policy::Policy;

    use super::*;

    #[tokio::test]
    async fn what_has_left_for_an_archive_is_gone_and_what_may_have_is_not_there() {
        let awu = AwuId { trace_id: [1; 16], span_id: [2; 8] };
        let cases = [
            (StoreError::Archived { entry: 2, through: 5 }.into(), StatusCode::GONE, "archived"),
            (ReportError::CellClosed { number: 17 }, StatusCode::GONE, "archived"),
            (ReportError::PerhapsArchived { awu, through: 5 }, StatusCode::NOT_FOUND, ""),
        ];
        for (error, status, code) in cases {
            let told = Problem::from(error).into_response();
            assert_eq!(told.status(), status);
            let told = told.into_body().collect().await.unwrap().to_bytes();
            let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
            assert_eq!(told["error"]["code"].as_str().unwrap_or_default(), code, "{told}");
            assert!(told["error"]["message"].as_str().unwrap().contains("archived"), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_entry_that_does_not_come_is_told_so() {
        let (governor, _) = Governor::open(Settings::in_memory(Policy::unrestricted())).await.unwrap();
        assert!(wait_for(&governor, None).await.is_ok());
        let last = *governor.durable().borrow();
        assert!(wait_for(&governor, Some(last)).await.is_ok());
        let begun = tokio::time::Instant::now();
        let told = wait_for(&governor, Some(last + 1)).await;
        assert!(
            matches!(told, Err(Problem::Unavailable(message)) if message.contains("is not there after 5 s"))
        );
        assert_eq!(begun.elapsed().as_secs(), ENTRY_WITHIN.as_secs());
    }
}
