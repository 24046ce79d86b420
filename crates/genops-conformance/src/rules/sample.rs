//! Small AWUs for the tests of the rules, each built from a short list of attributes, events and calls.
//!
//! For tests alone. Everything is written as OTLP and read back, so that rules see what they would see of a capture.

use crate::awu::{Awu, AwuEvent, Call, Gaps, Told};
use crate::otlp::record::{CLIENT, Span};
use crate::otlp::value::Attributes;
use crate::otlp::wire::{put_bytes, put_fixed64, put_uint};
use crate::rules::{OfAwu, Strictness};
use crate::verdict::{Outcome, Verdict};

/// A millisecond, in which samples count.
pub const MS: u64 = 1_000_000;

/// A value to be written.
#[derive(Debug, Clone, Copy)]
pub enum Given {
    Text(&'static str),
    Double(f64),
    Int(u64),
    Bool(bool),
    List(&'static [&'static str]),
    /// A value without a kind.
    Empty,
    /// Text that is not UTF-8.
    Malformed,
}

/// A key and its value.
pub type Pair = (&'static str, Given);

/// An AWU to be.
#[derive(Debug, Clone)]
pub struct Sample {
    pub trace_id: Vec<u8>,
    pub span_id: Vec<u8>,
    pub pairs: Vec<Pair>,
    pub resource: Vec<Pair>,
    pub events: Vec<SampleEvent>,
    pub calls: Vec<SampleCall>,
    /// Other reports of the same span.
    pub others: Vec<Sample>,
    pub gaps: Gaps,
    pub name: &'static str,
    pub start: u64,
    pub end: u64,
    pub status: u64,
}

/// An event to be.
#[derive(Debug, Clone)]
pub struct SampleEvent {
    pub name: &'static str,
    pub time: u64,
    pub pairs: Vec<Pair>,
    pub told: Told,
}

/// A model call to be.
#[derive(Debug, Clone)]
pub struct SampleCall {
    pub start: u64,
    pub end: u64,
    pub pairs: Vec<Pair>,
    pub status: u64,
    pub other_clock: bool,
}

pub const DECISION: &str = "genops.policy.evaluated";
pub const RESERVATION: &str = "genops.budget.reservation";
pub const RECONCILIATION: &str = "genops.budget.reconciliation";
pub const RESULT: &str = "genops.policy.result";
pub const CODE: &str = "genops.policy.reason_code";
pub const RESERVED: &str = "genops.accounting.reserved";
pub const ACTUAL: &str = "genops.accounting.actual";
pub const UNIT: &str = "genops.accounting.unit";

/// A span that says nothing, from 1,000 to 1,100 ms.
pub fn bare() -> Sample {
    Sample {
        trace_id: vec![0xa1; 16],
        span_id: vec![0xb2; 8],
        pairs: Vec::new(),
        resource: Vec::new(),
        events: Vec::new(),
        calls: Vec::new(),
        others: Vec::new(),
        gaps: Gaps::default(),
        name: "summarize",
        start: 1_000 * MS,
        end: 1_100 * MS,
        status: 0,
    }
}

/// Attribution, operation and version, which every AWU carries.
fn attributed() -> Sample {
    bare()
        .set("genops.team", Given::Text("payments"))
        .set("genops.project", Given::Text("checkout"))
        .set("genops.environment", Given::Text("production"))
        .set("genops.operation.name", Given::Text("summarize ticket"))
        .set("genops.operation.type", Given::Text("inference"))
        .set("genops.spec.version", Given::Text("0.1.0"))
}

/// An AWU that was allowed, reserved, ran and was reconciled, and breaks nothing: decided at 1,001 ms, reserved at
/// 1,002 ms, run from 1,003 to 1,090 ms, reconciled at 1,095 ms.
pub fn allowed() -> Sample {
    let (reserved, actual) = (Given::Double(0.02), Given::Double(0.013));
    let unit = (UNIT, Given::Text("USD"));
    let team = ("genops.team", Given::Text("payments"));
    attributed()
        .set(RESULT, Given::Text("ALLOWED"))
        .set(RESERVED, reserved)
        .set(ACTUAL, actual)
        .set(UNIT, unit.1)
        .event(DECISION, 1_001, &[(RESULT, Given::Text("ALLOWED")), team])
        .event(RESERVATION, 1_002, &[(RESERVED, reserved), unit, team])
        .event(RECONCILIATION, 1_095, &[(RESERVED, reserved), (ACTUAL, actual), unit, team])
        .call(1_003, 1_090)
}

/// An AWU that was refused before anything was reserved, at 1,001 ms.
pub fn refused(result: &'static str, code: &'static str) -> Sample {
    attributed().set(RESULT, Given::Text(result)).set(CODE, Given::Text(code)).decision(1_001, result, code)
}

impl Sample {
    /// Sets an attribute of the span.
    pub fn set(mut self, key: &'static str, value: Given) -> Self {
        self.pairs.retain(|pair| pair.0 != key);
        self.add(key, value)
    }

    /// Adds an attribute to the span, though it be there already.
    pub fn add(mut self, key: &'static str, value: Given) -> Self {
        self.pairs.push((key, value));
        self
    }

    /// Takes an attribute from the span.
    pub fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|pair| pair.0 != key);
        self
    }

    /// Adds a span event, at a time in milliseconds.
    pub fn event(mut self, name: &'static str, ms: u64, pairs: &[Pair]) -> Self {
        self.events.push(SampleEvent { name, time: ms * MS, pairs: pairs.to_vec(), told: Told::Span });
        self
    }

    /// Adds a log record, at a time in milliseconds.
    pub fn log(mut self, name: &'static str, ms: u64, pairs: &[Pair]) -> Self {
        self.events.push(SampleEvent { name, time: ms * MS, pairs: pairs.to_vec(), told: Told::Log });
        self
    }

    /// Adds a decision as a span event; an empty code is left out.
    pub fn decision(self, ms: u64, result: &'static str, code: &'static str) -> Self {
        match code {
            "" => self.event(DECISION, ms, &[(RESULT, Given::Text(result))]),
            code => self.event(DECISION, ms, &[(RESULT, Given::Text(result)), (CODE, Given::Text(code))]),
        }
    }

    /// Sets an attribute of every event of a name.
    pub fn set_on(self, name: &str, key: &'static str, value: Given) -> Self {
        self.without_on(name, key).add_on(name, key, value)
    }

    /// Adds an attribute to every event of a name, though it be there already.
    pub fn add_on(self, name: &str, key: &'static str, value: Given) -> Self {
        self.each(name, |event| event.pairs.push((key, value)))
    }

    /// Takes an attribute from every event of a name.
    pub fn without_on(self, name: &str, key: &str) -> Self {
        self.each(name, |event| event.pairs.retain(|pair| pair.0 != key))
    }

    /// Moves every event of a name to a time in milliseconds.
    pub fn at(self, name: &str, ms: u64) -> Self {
        self.each(name, |event| event.time = ms * MS)
    }

    /// Tells every event of a name so.
    pub fn told(self, name: &str, told: Told) -> Self {
        self.each(name, |event| event.told = told)
    }

    /// Takes every event of a name away.
    pub fn without_event(mut self, name: &str) -> Self {
        self.events.retain(|event| event.name != name);
        self
    }

    /// Adds a model call, from and until a time in milliseconds.
    pub fn call(mut self, start: u64, end: u64) -> Self {
        let pairs = vec![("gen_ai.operation.name", Given::Text("chat"))];
        self.calls.push(SampleCall {
            start: start * MS,
            end: end * MS,
            pairs,
            status: 0,
            other_clock: false,
        });
        self
    }

    /// Adds an attribute to every model call.
    pub fn on_calls(mut self, key: &'static str, value: Given) -> Self {
        self.calls.iter_mut().for_each(|call| call.pairs.push((key, value)));
        self
    }

    /// The model calls come from another resource.
    pub fn other_clock(mut self) -> Self {
        self.calls.iter_mut().for_each(|call| call.other_clock = true);
        self
    }

    /// Takes the model calls away.
    pub fn without_calls(mut self) -> Self {
        self.calls.clear();
        self
    }

    /// The span ended in an error.
    pub fn failed(mut self) -> Self {
        self.status = crate::otlp::record::ERROR;
        self
    }

    /// The span has not ended.
    pub fn open(mut self) -> Self {
        self.end = 0;
        self
    }

    /// Adds another report of the same span.
    pub fn other(mut self, other: Self) -> Self {
        self.others.push(other);
        self
    }

    /// Something of everything was left out.
    pub fn with_gaps(mut self) -> Self {
        self.gaps = Gaps {
            attributes: Some("left out"),
            events: Some("left out"),
            spans: Some("left out"),
            ..Gaps::default()
        };
        self
    }

    /// What a rule comes to.
    pub fn ask(&self, rule: OfAwu) -> Verdict {
        self.ask_strictly(rule, Strictness::default())
    }

    /// What a rule comes to, judged so strictly.
    pub fn ask_strictly(&self, rule: OfAwu, strictness: Strictness) -> Verdict {
        verdict(&self.outcome(rule, strictness))
    }

    /// What a rule answers.
    pub fn outcome(&self, rule: OfAwu, strictness: Strictness) -> Outcome {
        self.with(|awu| rule(awu, strictness))
    }

    /// Hands the AWU over.
    pub fn with<T>(&self, take: impl FnOnce(&Awu<'_>) -> T) -> T {
        let own = self.message(|event| event.told != Told::Log);
        let all = self.message(|_| true);
        let (span, whole) = (Span::read(&own), Span::read(&all));
        let resource: Vec<Vec<u8>> = self.resource.iter().map(pair).collect();
        let mut on_resource = Attributes::default();
        resource.iter().for_each(|pair| assert!(on_resource.add(pair)));
        // Events of the span first, then log records, each in the order in which they were added.
        let told = |is_log: bool| {
            let given = self
                .events
                .iter()
                .zip(&whole.events)
                .filter(move |(given, _)| (given.told == Told::Log) == is_log);
            given.map(|(given, event)| AwuEvent { event, told: given.told })
        };
        let governance = told(false).chain(told(true)).filter(|told| told.event.name.starts_with("genops."));
        let messages: Vec<Vec<u8>> = self.calls.iter().map(SampleCall::message).collect();
        let spans: Vec<Span<'_>> = messages.iter().map(|message| Span::read(message)).collect();
        let calls =
            spans.iter().zip(&self.calls).map(|(span, call)| Call { span, other_clock: call.other_clock });
        let others: Vec<Vec<u8>> =
            self.others.iter().map(|other| other.message(|event| event.told != Told::Log)).collect();
        let others: Vec<Span<'_>> = others.iter().map(|message| Span::read(message)).collect();
        let awu = Awu::new(
            &span,
            &on_resource,
            governance.collect(),
            calls.collect(),
            others.iter().collect(),
            self.gaps,
        );
        take(&awu)
    }

    fn each(mut self, name: &str, change: impl FnMut(&mut SampleEvent)) -> Self {
        self.events.iter_mut().filter(|event| event.name == name).for_each(change);
        self
    }

    fn message(&self, is_shown: impl Fn(&SampleEvent) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.trace_id);
        put_bytes(&mut out, 2, &self.span_id);
        put_bytes(&mut out, 5, self.name.as_bytes());
        put_fixed64(&mut out, 7, self.start);
        put_fixed64(&mut out, 8, self.end);
        self.pairs.iter().for_each(|given| put_bytes(&mut out, 9, &pair(given)));
        for event in self.events.iter().filter(|event| is_shown(event)) {
            put_bytes(&mut out, 11, &event.message());
        }
        put_status(&mut out, self.status);
        out
    }
}

impl SampleEvent {
    fn message(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_fixed64(&mut out, 1, self.time);
        put_bytes(&mut out, 2, self.name.as_bytes());
        self.pairs.iter().for_each(|given| put_bytes(&mut out, 3, &pair(given)));
        out
    }
}

impl SampleCall {
    fn message(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 6, CLIENT);
        put_fixed64(&mut out, 7, self.start);
        put_fixed64(&mut out, 8, self.end);
        self.pairs.iter().for_each(|given| put_bytes(&mut out, 9, &pair(given)));
        put_status(&mut out, self.status);
        out
    }
}

/// The verdict that an outcome counts toward.
pub const fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Pass => Verdict::Pass,
        Outcome::Fail(_) => Verdict::Fail,
        Outcome::Advisory(_) => Verdict::Advisory,
        Outcome::NotObserved => Verdict::NotObserved,
        Outcome::Inconclusive(_) => Verdict::Inconclusive,
        Outcome::NotApplicable(_) => Verdict::NotApplicable,
    }
}

/// Holds one rule against a table: what is said of each sample.
#[track_caller]
pub fn hold(rule: OfAwu, table: &[(&str, Sample, Verdict)]) {
    for (what, sample, expected) in table {
        let outcome = sample.outcome(rule, Strictness::default());
        assert_eq!(verdict(&outcome), *expected, "{what}: {outcome:?}");
    }
}

/// A `KeyValue` message.
pub fn pair((key, value): &Pair) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, key.as_bytes());
    put_bytes(&mut out, 2, &value.message());
    out
}

impl Given {
    fn message(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Text(text) => put_bytes(&mut out, 1, text.as_bytes()),
            Self::Bool(bool) => put_uint(&mut out, 2, u64::from(bool)),
            Self::Int(int) => put_uint(&mut out, 3, int),
            Self::Double(double) => put_fixed64(&mut out, 4, double.to_bits()),
            Self::List(texts) => {
                let mut list = Vec::new();
                texts.iter().for_each(|text| put_bytes(&mut list, 1, &Self::Text(text).message()));
                put_bytes(&mut out, 5, &list);
            }
            Self::Empty => {}
            Self::Malformed => put_bytes(&mut out, 1, &[0xff]),
        }
        out
    }
}

fn put_status(out: &mut Vec<u8>, status: u64) {
    let mut message = Vec::new();
    put_uint(&mut message, 3, status);
    put_bytes(out, 15, &message);
}

/// The samples that others start from break nothing, by any rule.
#[test]
fn a_sample_that_is_whole_breaks_no_rule() {
    for sample in
        [allowed(), refused("BLOCKED", "POLICY_DENY_MODEL"), refused("RATE_LIMITED", "RATE_LIMITED")]
    {
        for (id, rule) in crate::rules::OF_AWU.iter().copied().flatten() {
            let outcome = sample.outcome(*rule, Strictness::default());
            let is_bad = matches!(outcome, Outcome::Fail(_) | Outcome::Advisory(_));
            assert!(!is_bad, "{}: {outcome:?}", id.requirement().id);
        }
    }
}

/// Nothing here tests a rule; this one holds the samples themselves against what they say of themselves.
#[test]
fn a_sample_is_what_it_says() {
    use crate::awu::State;
    let state = |sample: Sample| sample.with(|awu| (awu.state, awu.admission.result.map(str::to_owned)));
    assert_eq!(state(allowed()), (State::ExecutedComplete, Some("ALLOWED".to_owned())));
    let refusal = refused("BLOCKED", "POLICY_DENY_MODEL");
    assert_eq!(state(refusal), (State::RefusedBeforeReservation, Some("BLOCKED".to_owned())));
    allowed().log(DECISION, 1_001, &[]).with(|awu| {
        let names: Vec<_> = awu.events.iter().map(|told| (told.event.name, told.told)).collect();
        assert_eq!(names[..2], [(DECISION, Told::Span), (DECISION, Told::Log)]);
        assert_eq!(awu.span.events.len(), 3);
    });
}
