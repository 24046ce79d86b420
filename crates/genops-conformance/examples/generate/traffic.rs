//! AWUs of every state, as a gateway would emit them, one after the other; the same seed gives the same ones.
//!
//! Every AWU conforms and is complete in its request. How requests are written is not known here.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// AWUs, one after the other, as time goes by.
pub struct Traffic {
    dice: Dice,
    now: u64,
}

impl Traffic {
    /// Traffic that follows from a seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice(seed), now: 1_772_442_845_000_000_000 }
    }

    /// A request with the next so many traces.
    pub fn request(&mut self, traces: u64) -> ExportTraceServiceRequest {
        request_of((0..traces).flat_map(|_| self.trace()).collect())
    }

    fn trace(&mut self) -> Vec<Span> {
        self.now += self.dice.between(1, 40) * MS;
        let case = self.case();
        let (trace_id, awu, call) = (self.dice.id::<16>(), self.dice.id::<8>(), self.dice.id::<8>());
        let mut spans = vec![self.awu_span(&case, trace_id.clone(), awu.clone())];
        if case.way.runs() {
            spans.push(self.call_span(&case, trace_id, call, awu));
        }
        spans
    }

    fn case(&mut self) -> Case {
        let way = match self.dice.between(0, 100) {
            0..78 => Way::Allowed,
            78..84 => Way::Warning,
            84..89 => Way::Blocked,
            89..94 => Way::RateLimited,
            94..96 => Way::Stopped,
            96..99 => Way::FailedUpstream,
            _ => Way::Unmeasured,
        };
        let team = self.dice.one_of(&["payments", "support", "search", "growth", "legal", "data"]);
        let project = self.dice.one_of(&["checkout-bot", "ticket-triage", "rewriter", "review"]);
        let reserved = micros(self.dice.between(2_000, 90_000));
        let actual = match way {
            Way::FailedUpstream => 0.0,
            Way::Unmeasured => reserved,
            _ => reserved * micros(self.dice.between(300_000, 1_050_000)),
        };
        Case {
            way,
            attribution: vec![
                text("genops.team", team),
                text("genops.project", project),
                text("genops.environment", "production"),
            ],
            decision: way.decision(),
            budget: format!("{team}-2026-03"),
            reserved,
            actual,
            start: self.now,
            reconciled: self.now + self.dice.between(200, 9_000) * MS,
        }
    }

    fn awu_span(&mut self, case: &Case, trace_id: Vec<u8>, span_id: Vec<u8>) -> Span {
        let mut attributes = case.attribution.clone();
        attributes.extend(case.decision.iter().cloned());
        attributes.extend([
            text("genops.operation.name", self.dice.one_of(&["answer question", "classify ticket", "draft"])),
            text("genops.operation.type", "inference"),
            text("genops.spec.version", "0.1.0"),
        ]);
        if case.way.reserves() {
            attributes.extend(case.amounts(case.way.runs()));
            attributes.push(text("genops.budget.name", &case.budget));
        }
        let is_odd = matches!(case.way, Way::FailedUpstream | Way::Unmeasured);
        let retried = case.way == Way::Allowed && self.dice.between(0, 50) == 0;
        let link =
            || Link { trace_id: self.dice.id::<16>(), span_id: self.dice.id::<8>(), ..Link::default() };
        Span {
            trace_id,
            span_id,
            flags: 1,
            name: "genops.awu".to_owned(),
            kind: 1,
            start_time_unix_nano: case.start,
            end_time_unix_nano: case.end(),
            attributes,
            links: retried.then(link).into_iter().collect(),
            status: is_odd.then(|| Status { code: 2, message: "the call failed".to_owned() }),
            events: case.events(),
            ..Span::default()
        }
    }

    fn call_span(
        &mut self,
        case: &Case,
        trace_id: Vec<u8>,
        span_id: Vec<u8>,
        parent_span_id: Vec<u8>,
    ) -> Span {
        let mut attributes = vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.request.model", "gpt-4o-mini"),
        ];
        if matches!(case.way, Way::Allowed | Way::Warning) {
            let mut count = |key, end| number(key, self.dice.between(1, end));
            attributes.push(count("gen_ai.usage.input_tokens", 9_000));
            attributes.push(count("gen_ai.usage.output_tokens", 900));
        }
        Span {
            trace_id,
            span_id,
            parent_span_id,
            flags: 1,
            name: "chat gpt-4o-mini".to_owned(),
            kind: 3,
            start_time_unix_nano: case.start + 3 * MS,
            end_time_unix_nano: case.reconciled - MS,
            attributes,
            ..Span::default()
        }
    }
}

fn request_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![
        text("service.name", "acme-gateway"),
        text("service.version", "2.7.1"),
        text("service.instance.id", "gw-7f9c-1"),
        text("deployment.environment.name", "production"),
        text("telemetry.sdk.language", "go"),
    ];
    let scope =
        InstrumentationScope { name: "acme.governance".to_owned(), ..InstrumentationScope::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let resource = Resource { attributes, ..Resource::default() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// SplitMix64: numbers that look random and follow from the seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, and at least `start`.
    fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.next() % (end - start)
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.next() % all.len() as u64).unwrap_or_default();
        all.get(at).copied().unwrap_or_default()
    }

    fn id<const N: usize>(&mut self) -> Vec<u8> {
        let bytes = [self.next().to_be_bytes(), self.next().to_be_bytes()].concat();
        bytes.into_iter().take(N).collect()
    }
}

/// How an AWU goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Allowed,
    Warning,
    Blocked,
    RateLimited,
    Stopped,
    FailedUpstream,
    Unmeasured,
}

/// What is said of an AWU in more than one place.
struct Case {
    way: Way,
    attribution: Vec<KeyValue>,
    decision: Vec<KeyValue>,
    budget: String,
    reserved: f64,
    actual: f64,
    start: u64,
    reconciled: u64,
}

const MS: u64 = 1_000_000;

impl Way {
    const fn runs(self) -> bool {
        matches!(self, Self::Allowed | Self::Warning | Self::FailedUpstream | Self::Unmeasured)
    }

    const fn reserves(self) -> bool {
        self.runs() || matches!(self, Self::Stopped)
    }

    fn decision(self) -> Vec<KeyValue> {
        let (result, code) = match self {
            Self::Allowed | Self::FailedUpstream | Self::Unmeasured => ("ALLOWED", None),
            Self::Warning => ("WARNING", Some("x_spend_anomaly")),
            Self::Blocked => ("BLOCKED", Some("BUDGET_RESERVATION_FAILED")),
            Self::RateLimited => ("RATE_LIMITED", Some("RATE_LIMITED")),
            Self::Stopped => ("BLOCKED", Some("POLICY_DENY_CONTENT")),
        };
        let mut pairs = vec![text("genops.policy.result", result)];
        pairs.extend(code.map(|code| text("genops.policy.reason_code", code)));
        pairs
    }
}

impl Case {
    fn end(&self) -> u64 {
        if self.way.runs() { self.reconciled + MS } else { self.start + 3 * MS }
    }

    fn amounts(&self, is_measured: bool) -> Vec<KeyValue> {
        let mut pairs = vec![double("genops.accounting.reserved", self.reserved)];
        pairs.push(text("genops.accounting.unit", "USD"));
        if is_measured {
            pairs.push(double("genops.accounting.actual", self.actual));
        }
        pairs
    }

    fn events(&self) -> Vec<Event> {
        let event = |name: &str, time: u64, pairs: Vec<KeyValue>| {
            let attributes = pairs.into_iter().chain(self.attribution.iter().cloned()).collect();
            Event { name: name.to_owned(), time_unix_nano: time, attributes, ..Event::default() }
        };
        let mut events = vec![event("genops.policy.evaluated", self.start + MS, self.decision.clone())];
        if self.way.reserves() {
            let mut pairs = self.amounts(false);
            pairs.push(text("genops.budget.name", &self.budget));
            events.push(event("genops.budget.reservation", self.start + 2 * MS, pairs));
        }
        if self.way.runs() {
            let mut pairs = self.amounts(true);
            if self.way == Way::Unmeasured {
                pairs.push(pair("acme.accounting.incomplete", Value::BoolValue(true)));
            }
            events.push(event("genops.budget.reconciliation", self.reconciled, pairs));
        }
        events
    }
}

/// Millionths, as a double.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn micros(count: u64) -> f64 {
    count as f64 / 1e6
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, text: &str) -> KeyValue {
    pair(key, Value::StringValue(text.to_owned()))
}

fn double(key: &str, double: f64) -> KeyValue {
    pair(key, Value::DoubleValue(double))
}

fn number(key: &str, number: u64) -> KeyValue {
    pair(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)))
}
