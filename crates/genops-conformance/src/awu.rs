//! One AWU as the rules see it: its span, its events, the model calls below it, and how far its life came.
//!
//! All of that is derived from evidence in the capture, never from a flag (`definitions` in
//! `spec/requirements.yaml`). Nothing is judged here.

use std::cell::OnceCell;

use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION, POLICY_EVALUATED};
use genops_spec::{DecisionState, event};

use crate::key::{ACCOUNTING_ACTUAL, Key, POLICY_RESULT, TOKENS_OUTPUT};
use crate::otlp::record::{CLIENT, Event, Span};
use crate::otlp::value::{Attributes, Value};
use crate::verdict::Outcome;

/// One AWU.
#[derive(Debug, Clone)]
pub struct Awu<'a> {
    /// Its span.
    pub span: &'a Span<'a>,
    /// The attributes of the resource that its span came from.
    pub resource: &'a Attributes<'a>,
    /// Its events whose names begin with `genops.`, span events and log records merged, in order of time; equal
    /// times in the order in which they were recorded.
    pub events: Vec<AwuEvent<'a>>,
    /// The model calls below it, in order of their start.
    pub calls: Vec<Call<'a>>,
    /// Other reports of the same span that say something else: a second AWU under its identity, or an open span
    /// before its end. Identical ones have been dropped.
    pub others: Vec<&'a Span<'a>>,
    /// What its exporter left out, or the trace was cut short by.
    pub gaps: Gaps,
    /// The decision that admitted or refused it.
    pub admission: Admission<'a>,
    /// How far its life came.
    pub state: State,
    /// Something beside the accounting shows that it ran.
    pub has_independent_evidence: bool,
    /// What its required values come to, once one of the two statements about them has asked (section 9.1, item 8).
    pub meaning: OnceCell<Outcome>,
}

/// An event of an AWU.
#[derive(Debug, Clone, Copy)]
pub struct AwuEvent<'a> {
    /// What happened.
    pub event: &'a Event<'a>,
    /// How it was told.
    pub told: Told,
}

/// How an event was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// On the span.
    Span,
    /// As a log record.
    Log,
    /// Both ways, with one content.
    Both,
}

/// A model call: a CLIENT span with `gen_ai.` attributes below the AWU, and below no other AWU in between.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its span.
    pub span: &'a Span<'a>,
    /// It came from another resource, whose clock may differ.
    pub other_clock: bool,
}

/// Why the absence of something proves nothing here; `None` where it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaps {
    /// About attributes of the span.
    pub attributes: Option<&'static str>,
    /// About events, and attributes of events.
    pub events: Option<&'static str>,
    /// About the spans below it.
    pub spans: Option<&'static str>,
    /// About whole events: they may have come later.
    pub later: Option<&'static str>,
}

/// The decision that admitted or refused an AWU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Admission<'a> {
    /// Its result as it was told, if it was told.
    pub result: Option<&'a str>,
    /// When, if an event told it.
    pub time: Option<u64>,
    /// The place of that event among the AWU's events.
    pub event: Option<usize>,
}

/// How far an AWU's life came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Refused, nothing reserved, nothing run.
    RefusedBeforeReservation,
    /// Something was reserved, nothing run.
    StoppedAfterReservation,
    /// It ran, and was measured or reconciled.
    ExecutedComplete,
    /// It ran, and nothing says what that came to.
    ExecutedIncomplete,
    /// Neither refused nor reserved, and nothing shows that it ran (AMB-03).
    Indeterminate,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::RefusedBeforeReservation,
        Self::StoppedAfterReservation,
        Self::ExecutedComplete,
        Self::ExecutedIncomplete,
        Self::Indeterminate,
    ];

    /// The word in the catalogue and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefusedBeforeReservation => "refused_before_reservation",
            Self::StoppedAfterReservation => "stopped_after_reservation",
            Self::ExecutedComplete => "executed_complete",
            Self::ExecutedIncomplete => "executed_incomplete",
            Self::Indeterminate => "indeterminate",
        }
    }

    /// Whether it ran.
    #[must_use]
    pub const fn executed(self) -> bool {
        matches!(self, Self::ExecutedComplete | Self::ExecutedIncomplete)
    }
}

impl<'a> Awu<'a> {
    /// Puts an AWU together. `events` and `calls` may come in any order.
    #[must_use]
    pub fn new(
        span: &'a Span<'a>,
        resource: &'a Attributes<'a>,
        mut events: Vec<AwuEvent<'a>>,
        mut calls: Vec<Call<'a>>,
        others: Vec<&'a Span<'a>>,
        gaps: Gaps,
    ) -> Self {
        // Stable: equal times keep the order of their list.
        events.sort_by_key(|told| told.event.time);
        calls.sort_by_key(|call| call.span.start);
        let mut awu = Self {
            span,
            resource,
            events,
            calls,
            others,
            gaps,
            admission: Admission::default(),
            state: State::Indeterminate,
            has_independent_evidence: false,
            meaning: OnceCell::new(),
        };
        awu.admission = awu.admission_decision();
        awu.has_independent_evidence = awu.independent_evidence();
        awu.state = awu.lifecycle();
        awu
    }

    /// The events of one name, each with its place among all.
    pub fn events_named(&self, name: &'static str) -> impl Iterator<Item = (usize, &'a Event<'a>)> + '_ {
        let events = self.events.iter().enumerate();
        events.filter(move |(_, told)| told.event.name == name).map(|(place, told)| (place, told.event))
    }

    /// The decisions (`genops.policy.evaluated`).
    pub fn decisions(&self) -> impl Iterator<Item = (usize, &'a Event<'a>)> + '_ {
        self.events_named(POLICY_EVALUATED.name)
    }

    /// The reservations (`genops.budget.reservation`).
    pub fn reservations(&self) -> impl Iterator<Item = (usize, &'a Event<'a>)> + '_ {
        self.events_named(BUDGET_RESERVATION.name)
    }

    /// The reconciliations (`genops.budget.reconciliation`).
    pub fn reconciliations(&self) -> impl Iterator<Item = (usize, &'a Event<'a>)> + '_ {
        self.events_named(BUDGET_RECONCILIATION.name)
    }

    /// Whether it has an event of this name.
    #[must_use]
    pub fn has_event(&self, event: &event::Event) -> bool {
        self.events_named(event.name).next().is_some()
    }

    /// An attribute of its span.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Value<'a>> {
        self.span.attributes.get(key)
    }

    /// The text of an attribute of its span.
    #[must_use]
    pub fn text(&self, key: Key) -> Option<&'a str> {
        self.span.attributes.text(key)
    }

    /// Whether the decision that counts refused it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let refusals = [DecisionState::Blocked, DecisionState::RateLimited];
        self.admission.result.is_some_and(|result| refusals.iter().any(|state| state.as_str() == result))
    }

    /// Whether something shows that it ran (`execution_evidence` of the catalogue).
    #[must_use]
    pub fn executed(&self) -> bool {
        self.state.executed()
    }

    /// Whether it has a reservation event.
    #[must_use]
    pub fn has_reservation(&self) -> bool {
        self.has_event(&BUDGET_RESERVATION)
    }

    /// `admission_decision` of the catalogue.
    fn admission_decision(&self) -> Admission<'a> {
        let first_call = self.calls.first().map(|call| call.span.start);
        let until = first_call.or_else(|| self.reconciliations().map(|(_, event)| event.time).min());
        let in_time = self.decisions().filter(|(_, event)| until.is_none_or(|until| event.time <= until));
        if let Some((place, event)) = in_time.last()
            && let Some(result) = event.attributes.text(POLICY_RESULT)
        {
            return Admission { result: Some(result), time: Some(event.time), event: Some(place) };
        }
        Admission { result: self.text(POLICY_RESULT), time: None, event: None }
    }

    /// `independent_evidence` of the catalogue.
    fn independent_evidence(&self) -> bool {
        let begun = |call: &Call<'_>| self.admission.time.is_none_or(|time| call.span.start >= time);
        let charged = || self.get(ACCOUNTING_ACTUAL).and_then(number).is_some_and(|actual| actual > 0.0);
        self.span.attributes.all().iter().any(|(key, value)| tells_of_an_answer(key, *value))
            || self.calls.iter().any(begun)
            || (self.is_refused() && charged())
    }

    fn lifecycle(&self) -> State {
        let measured = self.has_event(&BUDGET_RECONCILIATION) || self.span.attributes.has(ACCOUNTING_ACTUAL);
        let executed = self.has_independent_evidence || (!self.is_refused() && measured);
        match (executed, measured) {
            (true, true) => State::ExecutedComplete,
            (true, false) => State::ExecutedIncomplete,
            _ if self.has_reservation() => State::StoppedAfterReservation,
            _ if self.is_refused() => State::RefusedBeforeReservation,
            _ => State::Indeterminate,
        }
    }
}

/// The attributes of a span that a model's answer leaves. No tokens at all are what a refused AWU has as well.
fn tells_of_an_answer(key: &str, value: Value<'_>) -> bool {
    let counts = key == "gen_ai.usage.output_tokens" || key == TOKENS_OUTPUT.name();
    (counts && number(value) != Some(0.0)) || key.starts_with("gen_ai.response.")
}

/// Whether a span is a model call.
#[must_use]
pub fn is_call(span: &Span<'_>) -> bool {
    span.kind == CLIENT && span.attributes.all().iter().any(|(key, _)| key.starts_with("gen_ai."))
}

/// A number, whether it came as a double or as an integer.
#[must_use]
pub fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Double(double) => Some(double),
        // An amount beyond 2^53 would lose digits; here it is compared with others of its kind.
        #[expect(
            clippy::cast_precision_loss,
            reason = "a whole number in place of a double is compared as one"
        )]
        Value::Int(int) => Some(int as f64),
        _ => None,
    }
}
