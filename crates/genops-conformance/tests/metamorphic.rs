//! What is said does not depend on how it is told: the same telemetry, cut, ordered, repeated, encoded and decorated in
//! another way, comes to the same verdicts and the same level.
//!
//! Whether the verdicts are right is for `golden.rs` and `mutants/`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod common;
#[path = "common/goldens.rs"]
mod goldens;
#[path = "../examples/generate/traffic.rs"]
mod traffic;

use common::{How, PARTIAL, Said, signal_of};
use genops_conformance::Checker;
use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::level::{Claim, Level};
use genops_conformance::otlp::request::{Encoding, Signal};
use goldens::FULL;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use traffic::Traffic;

/// A request with a single record.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    lists: [&'static str; 3],
    resource: Value,
    scope: Value,
    record: Value,
}

const TRACES: [&str; 3] = ["resourceSpans", "scopeSpans", "spans"];
const LOGS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];

/// Everything in one capture: conforming AWUs of every state, and some that do not conform.
fn everything() -> Vec<Record> {
    let names: Vec<&str> = FULL.iter().copied().chain([PARTIAL]).collect();
    let mut records = records(&goldens::together(&names).documents);
    // A broken AWU more, so that failures are among the verdicts that may not change.
    let mut broken = records.first().expect("a record").clone();
    broken.record = json!({
        "traceId": "ffffffff798038103d269b633813fc60", "spanId": "ffffffffffffffff", "name": "broken", "kind": 1,
        "startTimeUnixNano": "1772442845120000000", "endTimeUnixNano": "1772442846120000000",
        "attributes": [
            { "key": "genops.policy.result", "value": { "stringValue": "allow" } },
            { "key": "genops.team", "value": { "stringValue": "TBD" } },
            { "key": "genops.accounting.reserved", "value": { "intValue": "4" } }
        ]
    });
    records.push(broken);
    records
}

fn records(documents: &[Value]) -> Vec<Record> {
    let mut records = Vec::new();
    for document in documents {
        let lists = if signal_of(document) == Signal::Logs { LOGS } else { TRACES };
        let [resources, scopes, leaves] = lists;
        for resource in document[resources].as_array().unwrap() {
            for scope in resource[scopes].as_array().unwrap() {
                for record in scope[leaves].as_array().unwrap() {
                    let (resource, scope) = (resource["resource"].clone(), scope["scope"].clone());
                    records.push(Record { lists, resource, scope, record: record.clone() });
                }
            }
        }
    }
    records
}

impl Record {
    fn document(&self) -> Value {
        let [resources, scopes, leaves] = self.lists;
        json!({ resources: [{
            "resource": self.resource,
            scopes: [{ "scope": self.scope, leaves: [self.record] }]
        }] })
    }
}

/// Records in documents: neighbours of one signal go into one document, as long as `cut` lets them.
fn batched(records: &[Record], mut cut: impl FnMut(usize) -> bool) -> Vec<Value> {
    let mut documents: Vec<Value> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let [resources, ..] = record.lists;
        let document = record.document();
        match documents.last_mut().and_then(|last| last.get_mut(resources)).and_then(Value::as_array_mut) {
            Some(last) if !cut(place) => last.extend(document[resources].as_array().unwrap().iter().cloned()),
            _ => documents.push(document),
        }
    }
    documents
}

fn how() -> How {
    How::claiming(Claim::Full)
}

/// How often something came again may change; nothing else may.
fn without_counts(said: Said) -> Said {
    Said { resent: 0, ..said }
}

fn said(documents: &[Value]) -> Said {
    without_counts(how().judge(documents))
}

/// Nothing else is said, of no AWU; what differs is told by name.
fn same(said: &Said, as_before: &Said) {
    same_but_for("", said, as_before);
}

/// Nothing else is said, but that one requirement may have been seen to hold on more AWUs, or on fewer.
fn same_but_for(id: &str, said: &Said, as_before: &Said) {
    let pairs = said.tallies.iter().zip(&as_before.tallies);
    let differences: Vec<_> = pairs.filter(|(one, other)| one != other && one.0 != id).collect();
    assert!(differences.is_empty(), "told in another way, and as before: {differences:?}");
    assert_eq!(
        Said { tallies: Vec::new(), ..said.clone() },
        Said { tallies: Vec::new(), ..as_before.clone() }
    );
}

fn as_it_stands() -> Said {
    said(&batched(&everything(), |_| false))
}

#[test]
fn the_capture_that_is_told_in_other_ways_has_something_of_everything() {
    let said = as_it_stands();
    assert!(said.states.iter().filter(|count| **count > 0).count() >= 3, "{:?}", said.states);
    assert!(!said.fails.is_empty() && said.tallies.iter().any(|(_, [passed, ..])| *passed > 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn cutting_ordering_and_resending_change_nothing(
        order in Just((0..everything().len()).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        cuts in prop::collection::vec(any::<bool>(), 128),
    ) {
        let all = everything();
        let mut records: Vec<Record> = order.iter().map(|at| all[*at].clone()).collect();
        for index in again {
            let record = index.get(&all).clone();
            records.insert(index.index(records.len()), record);
        }
        let documents = batched(&records, |place| cuts[place % cuts.len()]);
        same(&said(&documents), &as_it_stands());
    }

    #[test]
    fn the_order_of_attributes_changes_nothing(seed in any::<u64>()) {
        let mut records = everything();
        let mut turn = seed;
        for record in &mut records {
            each_list_of_attributes(&mut record.record, &mut |attributes| {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let by = usize::try_from(turn >> 33).unwrap_or_default() % attributes.len().max(1);
                attributes.rotate_left(by);
            });
        }
        same(&said(&batched(&records, |_| false)), &as_it_stands());
    }
}

#[test]
fn a_record_alone_in_each_document_changes_nothing() {
    let documents: Vec<Value> = everything().iter().map(Record::document).collect();
    same(&said(&documents), &as_it_stands());
}

#[test]
fn the_other_way_round_changes_nothing() {
    let mut records = everything();
    records.reverse();
    same(&said(&batched(&records, |_| false)), &as_it_stands());
}

#[test]
fn what_is_sent_twice_is_counted_and_changes_nothing() {
    let mut documents = batched(&everything(), |_| false);
    documents.extend(documents.clone());
    let twice = how().judge(&documents);
    assert!(twice.resent > 0, "resends are counted");
    same(&without_counts(twice), &as_it_stands());
}

/// The other side's types write the Protocol Buffers, from the JSON that they read themselves.
#[test]
fn json_and_protocol_buffers_say_the_same() {
    for is_signal_told in [true, false] {
        let mut checker = Checker::new(how().strictness, how().open_bytes_max);
        for document in batched(&everything(), |_| false) {
            let signal = signal_of(&document);
            let bytes = match signal {
                Signal::Logs => {
                    serde_json::from_value::<ExportLogsServiceRequest>(document).unwrap().encode_to_vec()
                }
                _ => serde_json::from_value::<ExportTraceServiceRequest>(document).unwrap().encode_to_vec(),
            };
            checker.take(&bytes, Encoding::Protobuf, is_signal_told.then_some(signal)).unwrap();
        }
        same(&without_counts(how().sum_up(checker)), &as_it_stands());
    }
}

/// And what they write as JSON, from the Protocol Buffers, is read alike.
#[test]
fn json_that_went_through_the_official_types_says_the_same() {
    let there_and_back = |document: Value| match signal_of(&document) {
        Signal::Logs => {
            let request: ExportLogsServiceRequest = serde_json::from_value(document).unwrap();
            let request = ExportLogsServiceRequest::decode(request.encode_to_vec().as_slice()).unwrap();
            serde_json::to_value(request).unwrap()
        }
        _ => {
            let request: ExportTraceServiceRequest = serde_json::from_value(document).unwrap();
            let request = ExportTraceServiceRequest::decode(request.encode_to_vec().as_slice()).unwrap();
            serde_json::to_value(request).unwrap()
        }
    };
    let documents: Vec<Value> = batched(&everything(), |_| false).into_iter().map(there_and_back).collect();
    same(&said(&documents), &as_it_stands());
}

#[test]
fn span_events_told_as_log_records_say_the_same() {
    let mut told = Vec::new();
    for mut record in everything() {
        if let Some(Value::Array(events)) =
            record.record.as_object_mut().and_then(|span| span.remove("events"))
        {
            told.extend(events.iter().map(|event| as_log(&record, event)));
        }
        told.push(record);
    }
    // That a log record names its AWU is seen where there is one.
    same_but_for("AWU-2.2-3", &said(&batched(&told, |_| false)), &as_it_stands());
}

#[test]
fn log_records_told_as_span_events_say_the_same() {
    let (mut logs, mut spans): (Vec<Record>, Vec<Record>) =
        everything().into_iter().partition(|record| record.lists == LOGS);
    logs.sort_by_key(|log| log.record["timeUnixNano"].to_string());
    for log in logs {
        let owner = spans
            .iter_mut()
            .find(|span| ["traceId", "spanId"].iter().all(|id| span.record[*id] == log.record[*id]));
        let span = &mut owner.expect("the span of a log record").record;
        let event = json!({
            "timeUnixNano": log.record["timeUnixNano"],
            "name": log.record["eventName"],
            "attributes": log.record["attributes"],
        });
        if !span["events"].is_array() {
            span["events"] = json!([]);
        }
        let events = span["events"].as_array_mut().unwrap();
        if !events.contains(&event) {
            events.push(event);
        }
    }
    // That a log record names its AWU is seen where there is one.
    same_but_for("AWU-2.2-3", &said(&batched(&spans, |_| false)), &as_it_stands());
}

#[test]
fn copies_of_span_events_as_log_records_say_the_same() {
    let mut told = everything();
    for record in everything() {
        let events = record.record["events"].as_array().cloned().unwrap_or_default();
        told.extend(events.iter().map(|event| as_log(&record, event)));
    }
    // That a log record names its AWU is seen where there is one.
    same_but_for("AWU-2.2-3", &said(&batched(&told, |_| false)), &as_it_stands());
}

#[test]
fn foreign_attributes_events_and_fields_change_nothing() {
    let mut records = everything();
    for record in &mut records {
        each_list_of_attributes(&mut record.record, &mut |attributes| {
            attributes.insert(0, json!({ "key": "acme.tenant.shard", "value": { "intValue": "12" } }));
            attributes.push(json!({ "key": "k8s.pod.name", "value": { "stringValue": "gw-7f9c-1" } }));
            attributes.push(json!({ "key": "acme.flags", "value": { "arrayValue": { "values": [
                { "boolValue": true }, { "doubleValue": "NaN" }, { "bytesValue": "AAE=" }
            ] } } }));
        });
        if record.lists == TRACES {
            let mut events = record.record["events"].as_array().cloned().unwrap_or_default();
            events.insert(0, json!({ "timeUnixNano": "1", "name": "exception", "attributes": [] }));
            record.record["events"] = json!(events);
        }
        record.record["acmeUnknownField"] = json!({ "deep": [[["x"]], 1, null] });
        record.scope["acmeUnknownField"] = json!("x");
    }
    // It is a permission, which more AWUs use now.
    same_but_for("VER-11.4-4", &said(&batched(&records, |_| false)), &as_it_stands());
}

#[test]
fn foreign_spans_and_log_records_change_nothing() {
    let mut records = everything();
    let first = records[0].clone();
    for (place, kind) in [1, 2, 3, 4, 5].into_iter().enumerate() {
        let mut span = first.clone();
        span.record = json!({
            "traceId": first.record["traceId"], "spanId": format!("aaaaaaaaaaaaaaa{place}"), "name": "GET /", "kind": kind,
            "startTimeUnixNano": "1772442845120000000", "endTimeUnixNano": "1772442846120000000",
            "attributes": [{ "key": "http.route", "value": { "stringValue": "/" } }]
        });
        records.insert(place, span);
    }
    let log = json!({
        "timeUnixNano": "1772442845120000000", "traceId": first.record["traceId"], "spanId": first.record["spanId"],
        "eventName": "exception", "body": { "stringValue": "no" }, "attributes": []
    });
    records.push(Record { lists: LOGS, record: log, ..first });
    same(&said(&batched(&records, |_| false)), &as_it_stands());
}

#[test]
fn other_names_of_resources_change_nothing() {
    let mut records = everything();
    for record in &mut records {
        let instance = record.resource["attributes"].as_array_mut().unwrap();
        for pair in instance.iter_mut().filter(|pair| pair["key"].as_str().unwrap().starts_with("service.")) {
            let name = format!("renamed-{}", pair["value"]["stringValue"].as_str().unwrap());
            pair["value"] = json!({ "stringValue": name });
        }
    }
    same(&said(&batched(&records, |_| false)), &as_it_stands());
}

/// With so little memory that every trace goes when the next one begins.
#[test]
fn traces_that_are_complete_one_after_the_other_need_no_memory() {
    let mut records = everything();
    records.sort_by_key(|record| record.record["traceId"].to_string());
    let documents = batched(&records, |_| false);
    // Room for the largest trace, and not for all of them.
    let little = How { open_bytes_max: 64 << 10, ..how() };
    same(&without_counts(little.judge(&documents)), &as_it_stands());
}

/// The traffic that the checker's speed is measured on.
fn of_generated_traffic(open_bytes_max: usize) -> Said {
    let how = How { open_bytes_max, ..how() };
    let mut checker = Checker::new(how.strictness, how.open_bytes_max);
    let mut traffic = Traffic::new(1);
    for _ in 0..20 {
        let message = traffic.request(64).encode_to_vec();
        checker.take(&message, Encoding::Protobuf, Some(Signal::Traces)).unwrap();
    }
    how.sum_up(checker)
}

#[test]
fn a_stream_of_complete_traces_is_judged_alike_in_little_memory() {
    let said = of_generated_traffic(OPEN_BYTES_MAX);
    assert_eq!((said.standing.level, said.fails.len(), said.advises.len()), (Level::Full, 0, 0));
    same(&of_generated_traffic(64 << 10), &said);
}

fn as_log(owner: &Record, event: &Value) -> Record {
    let record = json!({
        "timeUnixNano": event["timeUnixNano"], "observedTimeUnixNano": event["timeUnixNano"],
        "severityNumber": 9, "eventName": event["name"], "attributes": event["attributes"],
        "traceId": owner.record["traceId"], "spanId": owner.record["spanId"],
    });
    Record { lists: LOGS, record, ..owner.clone() }
}

/// The attributes of a record, of its events and of its links.
fn each_list_of_attributes(record: &mut Value, change: &mut impl FnMut(&mut Vec<Value>)) {
    if let Some(Value::Array(attributes)) = record.get_mut("attributes") {
        change(attributes);
    }
    for list in ["events", "links"] {
        for part in record.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::Array(attributes)) = part.get_mut("attributes") {
                change(attributes);
            }
        }
    }
}
