//! What a record says in OpenTelemetry's terms: one INTERNAL span for the AWU with its events, one CLIENT
//! span below it for the model call, and the same events as log records.
//!
//! How these are encoded is not known here.

use std::borrow::Cow;

use genops_core::awu::{End, Execution, TraceContext, Used};
use genops_core::event::{Event, Fact, Value};
use genops_core::ledger::Entry;
use genops_core::news;
use genops_core::record::{AwuRecord, How};
use genops_core::{AwuId, Timestamp};

/// What a follower of the journal tells: one of OTLP's signals, or alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans, told when the AWU has ended.
    Traces,
    /// Events as log records, told at once.
    Logs,
    /// The thresholds of budgets that were reached, for a webhook.
    Alerts,
}

impl Signal {
    /// The signals of OTLP.
    pub const OTLP: [Self; 2] = [Self::Traces, Self::Logs];

    /// The word in paths and names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Alerts => "alerts",
        }
    }
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span<'a> {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its own identifier.
    pub span_id: [u8; 8],
    /// The span that it is below.
    pub parent_span_id: Option<[u8; 8]>,
    /// Its name.
    pub name: Cow<'a, str>,
    /// INTERNAL or CLIENT.
    pub kind: Kind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its attributes.
    pub facts: Vec<Fact<'a>>,
    /// Its events.
    pub events: Vec<Event<'a>>,
    /// The spans that it is linked to.
    pub links: Vec<Link>,
    /// What went wrong; sets the status ERROR.
    pub error: Option<&'static str>,
}

/// A span's kind, by OTLP's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside this process.
    Internal = 1,
    /// A call to somebody else.
    Client = 3,
}

/// A span that another is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its identifier.
    pub span_id: [u8; 8],
}

/// An event as a log record.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord<'a> {
    /// The AWU it belongs to; `None` where it belongs to none, as where a new policy reaches the threshold of a budget.
    pub awu: Option<AwuId>,
    /// What happened.
    pub event: Event<'a>,
}

/// The spans of an AWU that is over: its own first. Empty while it is open.
#[must_use]
pub fn spans(record: &AwuRecord) -> Vec<Span<'_>> {
    let Some(end) = record.ended_at() else { return Vec::new() };
    let mut spans = vec![awu_span(record, end)];
    spans.extend(call_span(record, end));
    spans
}

/// Log records for the events of the decision.
#[must_use]
pub fn admission_logs(record: &AwuRecord) -> Vec<LogRecord<'_>> {
    logs(Some(record.id()), record.admission_events())
}

/// Log records for the events of the end.
#[must_use]
pub fn ending_logs(record: &AwuRecord) -> Vec<LogRecord<'_>> {
    logs(Some(record.id()), record.ending_events())
}

/// Log records for what an entry says beside decisions and ends.
#[must_use]
pub fn news_logs(entry: &Entry) -> Vec<LogRecord<'_>> {
    logs(AwuRecord::subject(&entry.command), news::events(entry))
}

fn logs(awu: Option<AwuId>, events: Vec<Event<'_>>) -> Vec<LogRecord<'_>> {
    events.into_iter().map(|event| LogRecord { awu, event }).collect()
}

fn awu_span(record: &AwuRecord, end: Timestamp) -> Span<'_> {
    let id = record.id();
    let (parent_span_id, caller) = match record.request.trace {
        TraceContext::Root => (None, None),
        TraceContext::Child { parent_span_id } => (Some(parent_span_id), None),
        TraceContext::Linked { trace_id, span_id } => (None, Some(Link { trace_id, span_id })),
    };
    // A retry or a fallback is linked to the first attempt.
    let first = record.request.attempt_of.map(|AwuId { trace_id, span_id }| Link { trace_id, span_id });
    Span {
        trace_id: id.trace_id,
        span_id: id.span_id,
        parent_span_id,
        name: Cow::Borrowed("genops.awu"),
        kind: Kind::Internal,
        start: record.at,
        end,
        facts: record.span_facts(),
        events: record.events(),
        links: caller.into_iter().chain(first).collect(),
        error: error_of(record),
    }
}

/// Room for the facts of a model call's span, as most have them.
const CALL_FACTS: usize = 8;

fn text<'a>(key: &'static str, value: impl Into<Cow<'a, str>>) -> Fact<'a> {
    (key, Value::Text(value.into()))
}

/// The model call. None where no model was asked, nothing was sent, or nobody knows whether anything was.
fn call_span(record: &AwuRecord, end: Timestamp) -> Option<Span<'_>> {
    let execution = record.execution()?;
    if !execution.end.was_sent() {
        return None;
    }
    let id = record.id();
    let proposal = &record.request.proposal;
    let (provider, model) = (proposal.provider.as_ref()?, proposal.model.as_ref()?);
    let mut facts = Vec::with_capacity(CALL_FACTS);
    facts.push(text("gen_ai.operation.name", "chat"));
    facts.push(text("gen_ai.provider.name", provider.as_str()));
    facts.push(text("gen_ai.request.model", model.as_str()));
    facts
        .extend(execution.response_model.as_ref().map(|model| text("gen_ai.response.model", model.as_str())));
    if let Some(tokens) = record.reported_tokens() {
        let count = |tokens| Value::Int(i64::try_from(tokens).unwrap_or(i64::MAX));
        facts.push(("gen_ai.usage.input_tokens", count(tokens.input)));
        facts.push(("gen_ai.usage.output_tokens", count(tokens.output)));
        // Most calls have none of these, and none is what leaving them out says.
        let parts = [
            ("gen_ai.usage.cache_read.input_tokens", tokens.cached_input),
            ("gen_ai.usage.cache_creation.input_tokens", tokens.cache_write),
            ("gen_ai.usage.reasoning.output_tokens", tokens.reasoning),
        ];
        facts.extend(parts.into_iter().filter(|(_, some)| *some > 0).map(|(key, some)| (key, count(some))));
    }
    match &execution.end {
        End::ProviderError(failure) => facts.push(text("error.type", failure.to_string())),
        End::Abandoned => facts.push(text("error.type", "abandoned")),
        End::Cancelled => facts.push(text("error.type", "cancelled")),
        End::Failed => facts.push(text("error.type", "failed")),
        End::Completed | End::AtReservation | End::NeverSent => {}
    }
    Some(Span {
        trace_id: id.trace_id,
        span_id: id.call_span_id(),
        parent_span_id: Some(id.span_id),
        name: Cow::Owned(format!("chat {model}")),
        kind: Kind::Client,
        // The call began after the decision: by the journal's clock, so that the order can be seen.
        start: end.minus_nanos(execution.latency_ns).max(record.at),
        end,
        facts,
        events: Vec::new(),
        links: Vec::new(),
        error: match execution.end {
            End::ProviderError(_) | End::Abandoned => Some("the provider call failed"),
            End::Cancelled => Some("the caller went away"),
            End::Failed => Some("the work failed"),
            End::Completed | End::AtReservation | End::NeverSent => None,
        },
    })
}

fn error_of(record: &AwuRecord) -> Option<&'static str> {
    match &record.ending.as_ref()?.how {
        How::InDoubt => Some("the process died while the call ran; its reservation is charged"),
        // We ended it ourselves: that nothing was reported is no trouble of the provider's.
        How::Settled { execution: Execution { end: End::AtReservation, .. }, .. } => None,
        How::Settled { execution: Execution { used: Used::Counted(_), .. }, .. } => {
            Some("the provider reported no usage; what was counted on the way is charged")
        }
        How::Settled { execution: Execution { used: Used::Unknown, .. }, .. } => {
            Some("the provider reported no usage; the reservation is charged")
        }
        How::Settled { settled, .. } if settled.incomplete => Some(
            "what was used cannot be counted in every budget; where it cannot, the reservation is charged",
        ),
        How::Settled { execution, .. } if matches!(execution.end, End::ProviderError(_)) => {
            Some("the provider call failed")
        }
        How::Settled { execution: Execution { end: End::Failed, .. }, .. } => Some("the work failed"),
        How::Settled { .. } | How::Released => None,
    }
}
