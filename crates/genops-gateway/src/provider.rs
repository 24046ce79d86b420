//! Asking a provider: one OpenAI-compatible server, reached over HTTP.
//!
//! Only an [`Awu<Executing>`] can be executed. Whatever happens comes back as an [`Execution`] beside the
//! answer for the caller; there is no error that would leave a call unsettled.

mod connections;
mod outgoing;

use std::time::{Duration, Instant};

use bytes::Bytes;
use genops::{Awu, Executing};
use genops_core::awu::{End, Execution, Failure, Used};
use genops_core::hex;
use genops_core::{AwuId, Name};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::ProviderConfig;
use crate::usage;

pub use connections::AnswerBody;
use connections::{Connections, NoAnswer};
use outgoing::Outgoing;
pub use outgoing::Sent;

/// A provider, and the way to it.
#[derive(Debug)]
pub struct Provider {
    /// Its name, for telemetry and for people.
    pub name: Name,
    /// Where it does the work.
    pub region: Option<Name>,
    url: Uri,
    authorization: Option<HeaderValue>,
    /// How long a whole answer, the head of a streamed one, or a gap in it may take.
    pub timeout: Duration,
    /// Whether a stream without a usage report is charged what was counted.
    pub charges_what_was_counted: bool,
    sends_traceparent: bool,
    connections: Connections,
}

/// What the caller is answered.
#[derive(Debug)]
pub enum Answered {
    /// What the provider said.
    Provider {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: Bytes,
    },
    /// There is no answer of the provider's to pass on.
    Failed {
        /// The status for the caller.
        status: StatusCode,
        /// What happened.
        message: String,
    },
}

/// As much of an answer as is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

impl Provider {
    /// Prepares the way to a provider. Nothing is sent.
    ///
    /// # Errors
    ///
    /// The provider's address is not one.
    pub fn new(config: &ProviderConfig) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self {
            name: config.name.clone(),
            region: config.region.clone(),
            url: format!("{}/chat/completions", config.base_url.trim_end_matches('/')).parse()?,
            authorization: config.authorization.clone(),
            timeout: config.timeout,
            charges_what_was_counted: config.charges_what_was_counted,
            sends_traceparent: config.sends_traceparent,
            connections: Connections::new(config.http2),
        })
    }

    /// Makes the call, and says what became of it and what the caller is to be answered.
    pub async fn execute(&self, permit: &Awu<Executing>, body: Bytes) -> (Execution, Answered) {
        let (begun, sent) = (Instant::now(), Sent::default());
        let exchange = async {
            match self.send(permit, body, &sent).await {
                Ok(response) => Outcome::read(response).await,
                Err(outcome) => outcome,
            }
        };
        match self.within_time(begun, &sent, exchange).await {
            Ok(mut outcome) => {
                outcome.execution.latency_ns = nanos_since(begun);
                outcome.into_parts()
            }
            Err(late) => late,
        }
    }

    /// Makes a call whose answer is to be streamed, up to the head of the answer. What is no stream is read to
    /// its end. `sent` tells, also to whoever gives up waiting, whether anything may have been sent.
    pub async fn open(&self, permit: &Awu<Executing>, body: Bytes, sent: &Sent) -> Opened {
        let begun = Instant::now();
        let exchange = async {
            match self.send(permit, body, sent).await {
                Ok(response) if is_stream(&response) => Ok(response),
                Ok(response) => Err(Outcome::read(response).await),
                Err(outcome) => Err(outcome),
            }
        };
        match self.within_time(begun, sent, exchange).await {
            Ok(Ok(response)) => Opened::Stream(response),
            Ok(Err(mut outcome)) => {
                outcome.execution.latency_ns = nanos_since(begun);
                let (execution, answered) = outcome.into_parts();
                Opened::Whole(execution, answered)
            }
            Err((execution, answered)) => Opened::Whole(execution, answered),
        }
    }

    /// The exchange, or what it means that it takes too long.
    async fn within_time<T>(
        &self,
        begun: Instant,
        sent: &Sent,
        exchange: impl Future<Output = T>,
    ) -> Result<T, (Execution, Answered)> {
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| {
            let message = format!("the provider did not answer within {} s", self.timeout.as_secs());
            let mut late = match sent.maybe() {
                true => Outcome::lost(StatusCode::GATEWAY_TIMEOUT, Failure::Timeout, message),
                false => Outcome::unreachable(message),
            };
            late.execution.latency_ns = nanos_since(begun);
            late.into_parts()
        })
    }

    /// Sends the request, and waits for the head of the answer.
    async fn send(
        &self,
        permit: &Awu<Executing>,
        body: Bytes,
        sent: &Sent,
    ) -> Result<Response<AnswerBody>, Outcome> {
        let mut request = Request::new(Outgoing::new(body, sent.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A compressed answer would hide its usage report.
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        if self.sends_traceparent {
            request.headers_mut().extend(traceparent(permit.id()).map(|value| (TRACEPARENT, value)));
        }
        self.connections.send(request).await.map_err(|NoAnswer| {
            if !sent.maybe() {
                return Outcome::unreachable("the provider cannot be reached".to_owned());
            }
            let message = "the connection to the provider broke before it answered".to_owned();
            Outcome::lost(StatusCode::BAD_GATEWAY, Failure::Connection, message)
        })
    }
}

/// What came of a call whose answer was to be streamed.
#[derive(Debug)]
pub enum Opened {
    /// The answer comes.
    Stream(Response<AnswerBody>),
    /// It is no stream, and it is here.
    Whole(Execution, Answered),
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The W3C trace context below which the provider's spans belong: the model call's span, which telemetry tells
/// once the call has ended. Every one of them is told, so the flag says that it is sampled.
fn traceparent(awu: AwuId) -> Option<HeaderValue> {
    let (trace, span) = (hex::text(&awu.trace_id), hex::text(&awu.call_span_id()));
    HeaderValue::try_from(format!("00-{trace}-{span}-01")).ok()
}

fn is_stream(response: &Response<AnswerBody>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status().is_success() && kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

fn nanos_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What became of the call, and what the caller is answered.
struct Outcome {
    execution: Execution,
    answered: Answered,
}

/// What matters of a provider's answer; each field is read by itself.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    model: Option<&'a RawValue>,
}

impl Outcome {
    /// Reads the answer to its end.
    async fn read(response: Response<AnswerBody>) -> Self {
        let (head, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Self::answered(head.status, head.headers, body.to_bytes()),
            Err(_) => {
                let message = "the provider's answer broke off, or is too large".to_owned();
                Self::lost(StatusCode::BAD_GATEWAY, Failure::Answer, message)
            }
        }
    }

    fn into_parts(self) -> (Execution, Answered) {
        (self.execution, self.answered)
    }

    /// The provider answered, with whatever status.
    fn answered(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let fields = serde_json::from_slice::<Fields<'_>>(&body).ok();
        let usage = fields.as_ref().and_then(|fields| fields.usage);
        let reported = usage.and_then(usage::read).map(Used::Reported);
        let model = fields.as_ref().and_then(|fields| fields.model);
        let model = model.and_then(|model| serde_json::from_str::<String>(model.get()).ok());
        let response_model = model.and_then(|model| Name::new(&model).ok());
        let (end, used) = if status.is_success() {
            (End::Completed, reported.unwrap_or(Used::Unknown))
        } else {
            let failure = Failure::Status(status.as_u16());
            (End::ProviderError(failure), reported.unwrap_or(without_usage(status)))
        };
        let execution = Execution { end, used, response_model, ..Execution::abandoned(0) };
        let answered = match withheld(status) {
            Some(message) => {
                Answered::Failed { status: StatusCode::BAD_GATEWAY, message: message.to_owned() }
            }
            None => Answered::Provider { status, headers, body },
        };
        Self { execution, answered }
    }

    /// The request may have been sent, and there is no answer.
    fn lost(status: StatusCode, failure: Failure, message: String) -> Self {
        let execution = Execution { end: End::ProviderError(failure), ..Execution::abandoned(0) };
        Self { execution, answered: Answered::Failed { status, message } }
    }

    /// No byte of the request was sent.
    fn unreachable(message: String) -> Self {
        let end = End::ProviderError(Failure::Unreachable);
        let execution = Execution { end, used: Used::Nothing, ..Execution::abandoned(0) };
        Self { execution, answered: Answered::Failed { status: StatusCode::BAD_GATEWAY, message } }
    }
}

/// Answers that are about the gateway's own standing with the provider, and not for the caller: they may hold
/// parts of its key, or send the caller round the gateway.
fn withheld(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some("the provider does not accept the gateway's key; whoever runs the gateway has to mend that")
        }
        status if status.is_redirection() => Some("the provider answered with a redirection"),
        _ => None,
    }
}

/// What an error without a usage report used. A provider that refuses has done no work. Whatever stands in
/// between and gave up waiting does not know, so neither do we, and the reservation is charged.
fn without_usage(status: StatusCode) -> Used {
    match status.as_u16() {
        408 | 499 => Used::Unknown,
        400..=499 | 500 | 501 | 503 | 529 => Used::Nothing,
        _ => Used::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use genops_core::price::Tokens;

    use super::*;

    fn used(status: u16, body: &'static str) -> Used {
        let status = StatusCode::from_u16(status).unwrap();
        Outcome::answered(status, HeaderMap::new(), Bytes::from_static(body.as_bytes())).execution.used
    }

    #[test]
    fn every_answer_says_what_was_used_or_that_nobody_knows() {
        let reported = Used::Reported(Tokens::new(12, 20));
        let usage = r#"{"usage":{"prompt_tokens":12,"completion_tokens":20,"total_tokens":32}}"#;
        let cases = [
            (200, usage, reported),
            (500, usage, reported),
            (200, r#"{"model":5,"usage":{"prompt_tokens":12,"completion_tokens":20}}"#, reported),
            (200, r#"{"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":32}}"#, reported),
            (200, "{}", Used::Unknown),
            (200, "not json", Used::Unknown),
            (200, r#"{"usage":null}"#, Used::Unknown),
            (200, r#"{"usage":{"prompt_tokens":-1,"completion_tokens":2}}"#, Used::Unknown),
            (200, "", Used::Unknown),
            (302, "", Used::Unknown),
            (400, "", Used::Nothing),
            (401, "{}", Used::Nothing),
            (429, "slow down", Used::Nothing),
            (500, "oops", Used::Nothing),
            (503, "", Used::Nothing),
            (408, "", Used::Unknown),
            (502, "", Used::Unknown),
            (504, "", Used::Unknown),
            (524, "", Used::Unknown),
        ];
        for (status, body, expected) in cases {
            assert_eq!(used(status, body), expected, "{status} {body}");
        }
    }
}
