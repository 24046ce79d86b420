//! What many rules ask of attributes and events: is it there, is it of its type.
//!
//! No rule stands here.

use std::borrow::Cow;

use genops_spec::attribute::Kind;
use genops_spec::event::BUDGET_RECONCILIATION;
use genops_spec::{DecisionState, ReasonCode};

use crate::awu::Awu;
use crate::judge::hex;
use crate::key::{ACCOUNTING_ACTUAL, Key, POLICY_REASON_CODE, POLICY_RESULT};
use crate::otlp::record::{ERROR, Event};
use crate::otlp::value::{Attributes, NAMESPACE, Value};
use crate::rules::Strictness;
use crate::verdict::{Evidence, Outcome};

/// Where something stands, for findings.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// On the AWU's span itself.
    Span,
    /// On an event of this name.
    Event(&'a str),
}

impl From<Place<'_>> for Cow<'static, str> {
    fn from(place: Place<'_>) -> Self {
        match place {
            Place::Span => Cow::Borrowed("AWU span"),
            Place::Event(name) => Cow::Owned(format!("event {name}")),
        }
    }
}

/// The kind that OTLP has for a type of the specification.
pub const fn otlp_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "stringValue",
        Kind::Double => "doubleValue",
        Kind::Int64 => "intValue",
        Kind::Boolean => "boolValue",
    }
}

/// Whether a value is of a type of the specification.
pub const fn is_of(value: &Value<'_>, kind: Kind) -> bool {
    matches!(
        (value, kind),
        (Value::Text(_), Kind::String)
            | (Value::Double(_), Kind::Double)
            | (Value::Int(_), Kind::Int64)
            | (Value::Bool(_), Kind::Boolean)
    )
}

/// An attribute that is there is of its type.
pub fn typed(place: Place<'_>, key: Key, value: &Value<'_>, strictness: Strictness) -> Outcome {
    if is_of(value, key.kind()) {
        return Outcome::Pass;
    }
    let evidence = Evidence::new(place, key.name(), value.to_string(), otlp_kind(key.kind()));
    match (value, key.kind()) {
        (Value::Int(_), Kind::Double) if strictness.lenient_numeric => evidence.mend(WHOLE_NUMBER).advises(),
        (Value::Int(_), Kind::Double) => evidence.mend(WHOLE_NUMBER).fails(),
        _ => evidence.mend(format!("set `{}` with a value of this kind", key.name())).fails(),
    }
}

const WHOLE_NUMBER: &str = "the SDK wrote a whole number as an integer: convert it to a floating-point number before \
                            setting it, or check with --lenient-numeric";

/// An attribute has to stand on the AWU's span, of its type.
pub fn required(awu: &Awu<'_>, key: Key, strictness: Strictness) -> Outcome {
    match awu.get(key) {
        Some(value) => typed(Place::Span, key, &value, strictness),
        None => missing(awu, key),
    }
}

/// An attribute that should stand on the AWU's span does not.
pub fn missing(awu: &Awu<'_>, key: Key) -> Outcome {
    if let Some(why) = awu.gaps.attributes {
        return Outcome::Inconclusive(why);
    }
    let evidence = Evidence::new(Place::Span, key.name(), "absent", format!("a {}", otlp_kind(key.kind())));
    let on_resource = awu.resource.has(key);
    match on_resource {
        true => evidence.mend("it stands on the resource only: set it on every AWU span (AMB-08)").fails(),
        false => evidence.mend(format!("set `{}` on the AWU span", key.name())).fails(),
    }
}

/// An attribute that should stand on an event, of its type.
pub fn required_on(awu: &Awu<'_>, event: &Event<'_>, key: Key, strictness: Strictness) -> Outcome {
    match event.attributes.get(key) {
        Some(value) => typed(Place::Event(event.name), key, &value, strictness),
        None if let Some(why) = awu.gaps.events => Outcome::Inconclusive(why),
        None => Evidence::new(
            Place::Event(event.name),
            key.name(),
            "absent",
            format!("a {}", otlp_kind(key.kind())),
        )
        .mend(format!("set `{}` on the event itself, not only on the span", key.name()))
        .fails(),
    }
}

/// The attributes that are there are of their types.
pub fn all_typed(
    place: Place<'_>,
    attributes: &Attributes<'_>,
    keys: &[Key],
    strictness: Strictness,
) -> Outcome {
    let present = keys.iter().filter_map(|key| attributes.get(*key).map(|value| (*key, value)));
    worst(present.map(|(key, value)| typed(place, key, &value, strictness)))
}

/// An event that should be there is not.
pub fn missing_event(awu: &Awu<'_>, name: &'static str, mend: &'static str) -> Outcome {
    match awu.gaps.events.or(awu.gaps.later) {
        Some(why) => Outcome::Inconclusive(why),
        None => {
            Evidence::new(Place::Span, name, "no such event, on the span or as a log record", "one event")
                .mend(mend)
                .fails()
        }
    }
}

/// The same question asked of every event of a name; not observed where there is none.
pub fn each<'a>(
    events: impl Iterator<Item = (usize, &'a Event<'a>)>,
    ask: impl Fn(&'a Event<'a>) -> Outcome,
) -> Outcome {
    worst(events.map(|(_, event)| ask(event)))
}

/// The outcome that counts of several: a failure before an advisory, before what is not certain, before a pass.
/// Not observed, where there is none.
pub fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Fail(_) => 5,
        Outcome::Advisory(_) => 4,
        Outcome::Inconclusive(_) => 3,
        Outcome::Pass => 2,
        Outcome::NotApplicable(_) => 1,
        Outcome::NotObserved => 0,
    };
    // The first of equals is the one that is told.
    outcomes.fold(Outcome::NotObserved, |worst, next| if rank(&next) > rank(&worst) { next } else { worst })
}

/// Everywhere on an AWU where attributes of the specification stand: its span, and its events.
pub fn places<'a>(awu: &'a Awu<'_>) -> impl Iterator<Item = (Place<'a>, &'a Attributes<'a>)> {
    let events = awu.events.iter().map(|told| (Place::Event(told.event.name), &told.event.attributes));
    std::iter::once((Place::Span, &awu.span.attributes)).chain(events)
}

/// A place where a decision stands: the span of its AWU, or an event.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'l, 'a> {
    /// Which.
    pub place: Place<'a>,
    /// What it says.
    pub attributes: &'l Attributes<'a>,
    /// The result that what stands here is about: its own, and for a span without one that of its admission.
    pub result: Option<&'a str>,
    /// Why what is absent here proves nothing.
    pub gap: Option<&'static str>,
}

/// Everywhere on an AWU where a decision stands: its span, and every decision event.
pub fn decided<'l, 'a>(awu: &'l Awu<'a>) -> impl Iterator<Item = Decided<'l, 'a>> {
    let span = Decided {
        place: Place::Span,
        attributes: &awu.span.attributes,
        result: awu.text(POLICY_RESULT).or(awu.admission.result),
        gap: awu.gaps.attributes,
    };
    let events = awu.decisions().map(|(_, event)| Decided {
        place: Place::Event(event.name),
        attributes: &event.attributes,
        result: event.attributes.text(POLICY_RESULT),
        gap: awu.gaps.events,
    });
    std::iter::once(span).chain(events)
}

/// Whether a model call below the AWU ended, and not with an error: then its execution was completed.
pub fn has_completed_call(awu: &Awu<'_>) -> bool {
    awu.calls.iter().any(|call| call.span.end != 0 && call.span.status != ERROR)
}

/// Why a reconciliation that is missing is no failure: the AWU ended in an error, or is marked as incomplete, and
/// shows its reservation (AMB-16).
pub fn unreconciled(awu: &Awu<'_>) -> Option<&'static str> {
    let is_marked = || places(awu).any(|(_, attributes)| attributes.all().iter().any(is_incomplete_mark));
    let is_excused = awu.has_reservation() && (awu.span.status == ERROR || is_marked());
    is_excused.then_some(
        "it ended in an error, or is marked incomplete, so that a reconciliation may have been impossible",
    )
}

/// Why what depends on execution cannot be judged: see [`State::Indeterminate`](crate::awu::State).
pub const RAN_OR_NOT: &str = "nothing shows whether it ran (AMB-03)";

/// Why what comes after execution may still come.
pub const STILL_OPEN: &str = "the span has not ended";

/// An AWU that ran has no reconciliation.
pub fn missing_reconciliation(awu: &Awu<'_>) -> Outcome {
    match unreconciled(awu) {
        Some(why) => Outcome::Inconclusive(why),
        None if awu.span.end == 0 => Outcome::Inconclusive(STILL_OPEN),
        None => missing_event(
            awu,
            BUDGET_RECONCILIATION.name,
            "reconcile every AWU that ran, failed ones included",
        ),
    }
}

/// An AWU that ran does not say on its span what it came to.
pub fn unmeasured(awu: &Awu<'_>) -> Outcome {
    match unreconciled(awu).filter(|_| !awu.has_event(&BUDGET_RECONCILIATION)) {
        Some(why) => Outcome::Inconclusive(why),
        None if awu.span.end == 0 => Outcome::Inconclusive(STILL_OPEN),
        None => missing(awu, ACCOUNTING_ACTUAL),
    }
}

/// Nothing shows that an AWU ran that was not to run. Only what is independent of its accounting refutes that (AMB-15).
pub fn kept_from_running(awu: &Awu<'_>, expected: &'static str) -> Outcome {
    if awu.has_independent_evidence {
        let (key, observed) = match awu.calls.first() {
            Some(call) => ("model call", format!("a model call, span {:?}", hex(call.span.span_id))),
            None => ("execution", "what an answer leaves, or an actual above 0".to_owned()),
        };
        let evidence = Evidence::new(Place::Span, key, observed, expected);
        return evidence
            .mend("stop refused work before it runs; record a later authorisation as its own decision")
            .fails();
    }
    if awu.has_event(&BUDGET_RECONCILIATION) {
        return Outcome::Inconclusive("a reconciliation alone does not show that it ran (AMB-15)");
    }
    awu.gaps.spans.or(awu.gaps.attributes).map_or(Outcome::Pass, Outcome::Inconclusive)
}

/// Whether both ids of a span are valid as W3C Trace Context has it.
pub fn has_valid_ids(trace_id: &[u8], span_id: &[u8]) -> bool {
    let is_valid = |id: &[u8], length: usize| id.len() == length && id.iter().any(|byte| *byte != 0);
    is_valid(trace_id, 16) && is_valid(span_id, 8)
}

/// The mark of an incomplete record: a vendor's boolean, since the specification has none (AMB-10).
pub fn is_incomplete_mark((key, value): &(&str, Value<'_>)) -> bool {
    !key.starts_with(NAMESPACE) && key.ends_with("incomplete") && value.bool() == Some(true)
}

/// Whether a reason code may be known only after execution, so that its decision may come then (AMB-05).
pub fn is_post_hoc(code: &str) -> bool {
    match code.parse() {
        Ok(
            ReasonCode::SlaLatencyViolation
            | ReasonCode::ProviderErrorUpstream
            | ReasonCode::AccountingInvariantViolation
            | ReasonCode::Extension(_),
        ) => true,
        Ok(_) | Err(_) => false,
    }
}

/// Whether a value cannot stand for an attribute of the specification, wherever it stands; gives what could.
pub fn misuse(key: Key, value: &Value<'_>) -> Option<String> {
    if !is_of(value, key.kind()) {
        return Some(format!("a {}", otlp_kind(key.kind())));
    }
    let is_state = |text: &str| DecisionState::ALL.iter().any(|state| state.as_str() == text);
    match value {
        Value::Text(text) if key == POLICY_RESULT && !is_state(text) => {
            Some("ALLOWED, BLOCKED, WARNING or RATE_LIMITED".to_owned())
        }
        Value::Text(text) if key == POLICY_REASON_CODE && text.parse::<ReasonCode>().is_err() => {
            Some("a code of section 5.2, or an extension `x_…`".to_owned())
        }
        _ => None,
    }
}
