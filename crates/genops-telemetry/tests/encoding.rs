//! Both encodings, decoded with the published definitions of OTLP: they say the same, and they say what
//! the specification requires for every way in which an AWU can go.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use genops_core::awu::{AwuId, End, Execution, Failure, Proposal, TraceContext, Used};
use genops_core::budget::Budget;
use genops_core::finding::Mode;
use genops_core::ledger::{self, Admit, Books, Command};
use genops_core::period::{Period, Span as PeriodSpan};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::rule::ListRule;
use genops_core::selector::{Facet, Selector};
use genops_core::{Amount, Attribution, Digest, Name, Timestamp, Unit};
use genops_spec::attribute::{self, Kind, When};
use genops_spec::event;
use genops_telemetry::json;
use genops_telemetry::protobuf::Request;
use genops_telemetry::signal::{admission_logs, ending_logs, spans};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn policy() -> Policy {
    let team = |team: &str| Selector::default().with(Facet::Team, vec![name(team)]);
    Policy {
        rates: vec![RateRule {
            name: name("e-hour"),
            selector: team("e"),
            each: Vec::new(),
            limit: RateLimit::Flow(Flow {
                measure: Measure::Requests,
                amount: Amount::from_whole(1),
                per: Per::Hour,
                burst: Amount::from_whole(1),
            }),
            mode: Mode::Enforce,
        }],
        models: vec![ListRule {
            name: name("small only"),
            selector: team("b"),
            allow: vec![name("small")],
            mode: Mode::Enforce,
        }],
        budgets: vec![
            Budget {
                selector: team("a"),
                period: Period::Calendar { span: PeriodSpan::Month, zone: name("UTC") },
                // More digits than a double holds: the exact text has to stand beside it.
                ..Budget::new(name("a-month"), Unit::Usd, "123456.123456789012".parse().unwrap())
            },
            Budget {
                selector: team("c"),
                ..Budget::new(name("c-ever"), Unit::Usd, "0.0001".parse().unwrap())
            },
        ],
        ..Policy::unrestricted()
    }
}

fn admit(number: u8, team: &str, starts: bool, trace: TraceContext) -> Command {
    let attribution = Attribution::new(Some(team), Some("ranking"), Some("test")).unwrap();
    let proposal = Proposal {
        key: Some(name("key")),
        bound: Tokens::new(1_000, 1_000),
        price: Some(Price::flat(name("r"), "0.15".parse().unwrap(), "0.6".parse().unwrap())),
        ..Proposal::new(attribution, name("answer"), name("inference"), name("provider"), name("large"))
    };
    Command::Admit(Arc::new(Admit { trace, starts, ..Admit::new(id(number), proposal) }))
}

fn id(number: u8) -> AwuId {
    AwuId { trace_id: [number; 16], span_id: [number; 8] }
}

fn settle(number: u8, end: End, used: Used) -> Command {
    let response_model = Some(name("large-2"));
    Command::Settle {
        awu: id(number),
        execution: Execution { end, used, response_model, ..Execution::abandoned(2_000) },
    }
}

/// One AWU for each way to go, by name.
fn records() -> BTreeMap<&'static str, AwuRecord> {
    let reported = Used::Reported(Tokens::new(12, 20));
    let in_parts = Tokens { cached_input: 8, cache_write: 3, reasoning: 5, ..Tokens::new(12, 20) };
    let in_parts = Used::Reported(in_parts);
    let failed = End::ProviderError(Failure::Status(500));
    let child = TraceContext::Child { parent_span_id: [9; 8] };
    let linked = TraceContext::Linked { trace_id: [8; 16], span_id: [8; 8] };
    let cases: Vec<(&str, Vec<Command>)> = vec![
        ("settled", vec![admit(1, "a", true, child), settle(1, End::Completed, reported)]),
        ("unbudgeted", vec![admit(2, "d", true, linked), settle(2, End::Completed, in_parts)]),
        ("no usage", vec![admit(3, "a", true, TraceContext::Root), settle(3, End::Completed, Used::Unknown)]),
        ("provider error", vec![admit(4, "a", true, TraceContext::Root), settle(4, failed, Used::Nothing)]),
        (
            "never sent",
            vec![admit(5, "a", true, TraceContext::Root), settle(5, End::NeverSent, Used::Nothing)],
        ),
        (
            "unreachable",
            vec![
                admit(10, "a", true, TraceContext::Root),
                settle(10, End::ProviderError(Failure::Unreachable), Used::Nothing),
            ],
        ),
        (
            "cancelled",
            vec![
                admit(11, "a", true, TraceContext::Root),
                settle(11, End::Cancelled, Used::Counted(Tokens::new(12, 20))),
            ],
        ),
        ("in doubt", vec![admit(6, "a", true, TraceContext::Root), Command::Orphan { awu: id(6) }]),
        ("released", vec![admit(7, "a", false, TraceContext::Root), Command::Release { awu: id(7) }]),
        ("model refused", vec![admit(8, "b", true, TraceContext::Root)]),
        ("budget refused", vec![admit(9, "c", true, TraceContext::Root)]),
        ("in time", vec![admit(12, "e", true, TraceContext::Root), settle(12, End::Completed, reported)]),
        ("rate refused", vec![admit(13, "e", true, TraceContext::Root)]),
    ];
    let mut books = Books::default();
    let mut clock = 1_795_000_000_000_000_000;
    let mut journaled = |command| {
        clock += 1_000_000;
        let entry = ledger::apply(&mut books, Timestamp::from_nanos(clock), command).unwrap();
        Journaled { entry, chain: Digest::of("test", &[]) }
    };
    journaled(Command::AdoptPolicy(Arc::new(policy())));
    let mut records = BTreeMap::new();
    for (way, commands) in cases {
        let mut commands = commands.into_iter();
        let mut record = AwuRecord::begin(journaled(commands.next().unwrap())).unwrap();
        commands.for_each(|command| record.follow(journaled(command).entry));
        records.insert(way, record);
    }
    records
}

const RESOURCE: &[(&str, &str)] = &[("service.name", "genops")];

fn resource() -> Vec<(String, String)> {
    RESOURCE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn decoded_spans(record: &AwuRecord) -> Vec<Span> {
    let mut request = Request::with_capacity(1);
    let ours = spans(record);
    ours.iter().for_each(|span| request.span(span));
    let protobuf = ExportTraceServiceRequest::decode(request.into_bytes(&resource()).as_slice()).unwrap();
    let lines: Vec<_> = ours.iter().map(json::span).collect();
    let json = json::traces(&resource(), &lines).to_string();
    assert_eq!(serde_json::from_str::<ExportTraceServiceRequest>(&json).unwrap(), protobuf);
    protobuf.resource_spans[0].scope_spans[0].spans.clone()
}

fn values(attributes: &[KeyValue]) -> BTreeMap<&str, &Value> {
    let pairs = attributes
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_ref().unwrap().value.as_ref().unwrap()));
    let values: BTreeMap<_, _> = pairs.collect();
    assert_eq!(values.len(), attributes.len(), "a key stands twice");
    values
}

fn text(value: &Value) -> &str {
    match value {
        Value::StringValue(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn protobuf_and_json_say_the_same_and_carry_what_the_specification_requires() {
    for (way, record) in records() {
        let spans = decoded_spans(&record);
        let awu = values(&spans[0].attributes);
        let refused = record.state() == "REFUSED";
        let executed = matches!(
            way,
            "settled" | "in time" | "unbudgeted" | "no usage" | "cancelled" | "provider error" | "in doubt"
        );
        for required in attribute::ALL {
            let due = match required.when {
                When::Always => true,
                When::Refused => text(awu["genops.policy.result"]) != "ALLOWED",
                When::Reserved => !refused,
                When::Executed => executed,
                When::Optional => continue,
            };
            assert_eq!(awu.contains_key(required.key), due, "{way}: {}", required.key);
        }
        for known in attribute::ALL {
            if let Some(value) = awu.get(known.key) {
                let right = match known.kind {
                    Kind::String => matches!(value, Value::StringValue(text) if !text.is_empty()),
                    Kind::Double => matches!(value, Value::DoubleValue(_)),
                    Kind::Int64 => matches!(value, Value::IntValue(_)),
                    Kind::Boolean => matches!(value, Value::BoolValue(_)),
                };
                assert!(right, "{way}: {} is {value:?}", known.key);
            }
        }
        for key in awu.keys().filter(|key| key.starts_with("genops.")) {
            assert!(attribute::ALL.iter().any(|known| known.key == *key), "{way}: {key} is nobody's word");
        }
        assert_eq!(spans[0].kind, 1, "{way}");
        assert!(spans[0].end_time_unix_nano >= spans[0].start_time_unix_nano, "{way}");
    }
}

#[test]
fn each_way_to_go_has_its_events_in_order() {
    let decided = event::POLICY_EVALUATED.name;
    let reserved = event::BUDGET_RESERVATION.name;
    let reconciled = event::BUDGET_RECONCILIATION.name;
    let expected: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("settled", vec![decided, reserved, reconciled]),
        ("in time", vec![decided, reserved, reconciled]),
        ("rate refused", vec![decided]),
        ("unbudgeted", vec![decided, reserved, reconciled]),
        ("no usage", vec![decided, reserved, reconciled]),
        ("cancelled", vec![decided, reserved, reconciled]),
        // A decision after the fact follows what it is about.
        ("provider error", vec![decided, reserved, reconciled, decided]),
        ("never sent", vec![decided, reserved]),
        ("unreachable", vec![decided, reserved]),
        ("in doubt", vec![decided, reserved, reconciled]),
        ("released", vec![decided, reserved]),
        ("model refused", vec![decided]),
        ("budget refused", vec![decided]),
    ]);
    for (way, record) in records() {
        let span = &decoded_spans(&record)[0];
        let names: Vec<_> = span.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, expected[way], "{way}");
        assert!(span.events.windows(2).all(|two| two[0].time_unix_nano <= two[1].time_unix_nano), "{way}");
        for event in &span.events {
            let carried = values(&event.attributes);
            let known = event::ALL.iter().find(|known| known.name == event.name).unwrap();
            for due in known.carries {
                assert!(carried.contains_key(due.key), "{way}: {} lacks {}", event.name, due.key);
            }
            for echoed in ["genops.team", "genops.project", "genops.environment"] {
                assert!(carried.contains_key(echoed), "{way}: {} lacks {echoed}", event.name);
            }
        }
    }
}

#[test]
fn log_records_are_the_same_events() {
    for (way, record) in records() {
        let mut request = Request::with_capacity(1);
        let ours: Vec<_> = admission_logs(&record).into_iter().chain(ending_logs(&record)).collect();
        ours.iter().for_each(|log| request.log(log));
        let protobuf = ExportLogsServiceRequest::decode(request.into_bytes(&resource()).as_slice()).unwrap();
        let lines: Vec<_> = ours.iter().map(json::log).collect();
        let json = json::logs(&resource(), &lines).to_string();
        assert_eq!(serde_json::from_str::<ExportLogsServiceRequest>(&json).unwrap(), protobuf, "{way}");

        let span = &decoded_spans(&record)[0];
        let logs = &protobuf.resource_logs[0].scope_logs[0].log_records;
        assert_eq!(logs.len(), span.events.len(), "{way}");
        for (log, event) in logs.iter().zip(&span.events) {
            assert_eq!(log.event_name, event.name, "{way}");
            assert_eq!(log.time_unix_nano, event.time_unix_nano, "{way}");
            assert_eq!(log.attributes, event.attributes, "{way}");
            assert_eq!((&log.trace_id, &log.span_id), (&span.trace_id, &span.span_id), "{way}");
        }
    }
}

#[test]
fn the_model_call_is_a_child_that_begins_after_the_decision() {
    for (way, record) in records() {
        let spans = decoded_spans(&record);
        let called =
            matches!(way, "settled" | "in time" | "unbudgeted" | "no usage" | "cancelled" | "provider error");
        assert_eq!(spans.len(), if called { 2 } else { 1 }, "{way}");
        let Some(call) = spans.get(1) else { continue };
        assert_eq!((call.kind, &call.parent_span_id), (3, &spans[0].span_id), "{way}");
        assert!(call.start_time_unix_nano >= spans[0].events[1].time_unix_nano, "{way}");
        assert!(call.end_time_unix_nano <= spans[0].end_time_unix_nano, "{way}");
        let facts = values(&call.attributes);
        assert_eq!(text(facts["gen_ai.operation.name"]), "chat", "{way}");
        assert_eq!(
            facts.contains_key("gen_ai.usage.input_tokens"),
            matches!(way, "settled" | "in time" | "unbudgeted")
        );
        for (key, expected) in [
            ("gen_ai.usage.cache_read.input_tokens", 8),
            ("gen_ai.usage.cache_creation.input_tokens", 3),
            ("gen_ai.usage.reasoning.output_tokens", 5),
        ] {
            let expected = (way == "unbudgeted").then_some(Value::IntValue(expected));
            assert_eq!(facts.get(key).copied(), expected.as_ref(), "{way} {key}");
        }
        assert_eq!(facts.contains_key("error.type"), matches!(way, "provider error" | "cancelled"));
    }
}

#[test]
fn what_is_not_measured_is_marked_and_what_a_double_blurs_stands_beside_it() {
    let records = records();
    for (way, incomplete) in [
        ("settled", false),
        ("no usage", true),
        ("cancelled", true),
        ("in doubt", true),
        ("never sent", false),
    ] {
        let span = &decoded_spans(&records[way])[0];
        let facts = values(&span.attributes);
        assert_eq!(facts.contains_key("genops_runtime.accounting.incomplete"), incomplete, "{way}");
        assert_eq!(span.status.is_some(), incomplete, "{way}");
    }
    let span = &decoded_spans(&records["settled"])[0];
    let facts = values(&span.attributes);
    // By hand: the budget less 1,000 tokens in at 0.15 and 1,000 out at 0.60 dollars a million.
    assert_eq!(text(facts["genops_runtime.budget.remaining_exact"]), "123456.122706789012");
    assert_eq!(facts["genops.accounting.reserved"], &Value::DoubleValue(0.00075));
    assert_eq!(facts["genops.accounting.actual"], &Value::DoubleValue(0.0000138));
    assert_eq!(facts["genops.accounting.reconciliation_delta"], &Value::DoubleValue(-0.0007362));
    assert_eq!(span.parent_span_id, [9; 8]);
    let linked = &decoded_spans(&records["unbudgeted"])[0];
    assert_eq!((&linked.links[0].trace_id[..], &linked.links[0].span_id[..]), (&[8; 16][..], &[8; 8][..]));
}
