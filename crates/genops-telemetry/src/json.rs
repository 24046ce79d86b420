//! OTLP in JSON, one request a line, as the file exporter of OpenTelemetry writes it.
//!
//! Identifiers are hexadecimal, 64-bit integers are text, enumerations are numbers.

use genops_core::event::{Event, Fact, Value};
use genops_core::hex;
use serde_json::{Value as Json, json};

use crate::protobuf::Resource;
use crate::signal::{Link, LogRecord, Span};

/// A line with these spans.
#[must_use]
pub fn traces(resource: &Resource, spans: &[Json]) -> Json {
    json!({ "resourceSpans": [{ "resource": resource_json(resource), "scopeSpans": [{
        "scope": scope(), "spans": spans,
    }] }] })
}

/// A line with these log records.
#[must_use]
pub fn logs(resource: &Resource, records: &[Json]) -> Json {
    json!({ "resourceLogs": [{ "resource": resource_json(resource), "scopeLogs": [{
        "scope": scope(), "logRecords": records,
    }] }] })
}

/// One span.
#[must_use]
pub fn span(span: &Span<'_>) -> Json {
    let mut object = json!({
        "traceId": hex::text(&span.trace_id),
        "spanId": hex::text(&span.span_id),
        "name": span.name,
        "kind": span.kind as i32,
        "startTimeUnixNano": span.start.nanos().to_string(),
        "endTimeUnixNano": span.end.nanos().to_string(),
        "attributes": attributes(&span.facts),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "flags": 1,
    });
    if let Some(fields) = object.as_object_mut() {
        let mut add = |key: &str, value| drop(fields.insert(key.to_owned(), value));
        if let Some(parent) = &span.parent_span_id {
            add("parentSpanId", hex::text(parent).into());
        }
        if !span.links.is_empty() {
            let link = |link: &Link| json!({ "traceId": hex::text(&link.trace_id), "spanId": hex::text(&link.span_id) });
            add("links", span.links.iter().map(link).collect::<Vec<_>>().into());
        }
        if let Some(error) = span.error {
            add("status", json!({ "code": 2, "message": error }));
        }
    }
    object
}

/// One log record.
#[must_use]
pub fn log(log: &LogRecord<'_>) -> Json {
    let mut object = json!({
        "timeUnixNano": log.event.at.nanos().to_string(),
        "observedTimeUnixNano": log.event.at.nanos().to_string(),
        "severityNumber": 9,
        "attributes": attributes(&log.event.facts),
        "eventName": log.event.name,
    });
    if let (Some(awu), Some(fields)) = (log.awu, object.as_object_mut()) {
        fields.insert("flags".to_owned(), json!(1));
        fields.insert("traceId".to_owned(), json!(hex::text(&awu.trace_id)));
        fields.insert("spanId".to_owned(), json!(hex::text(&awu.span_id)));
    }
    object
}

fn event(event: &Event<'_>) -> Json {
    json!({
        "timeUnixNano": event.at.nanos().to_string(),
        "name": event.name,
        "attributes": attributes(&event.facts),
    })
}

fn resource_json(resource: &Resource) -> Json {
    let pair = |(key, value): &(String, String)| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "attributes": resource.iter().map(pair).collect::<Vec<_>>() })
}

fn scope() -> Json {
    json!({ "name": "genops", "version": env!("CARGO_PKG_VERSION") })
}

fn attributes(facts: &[Fact<'_>]) -> Vec<Json> {
    facts.iter().map(|(key, value)| json!({ "key": key, "value": any_value(value) })).collect()
}

fn any_value(value: &Value<'_>) -> Json {
    match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Bool(bool) => json!({ "boolValue": bool }),
        Value::Int(int) => json!({ "intValue": int.to_string() }),
        Value::Double(double) => json!({ "doubleValue": double }),
        Value::Texts(texts) => {
            let values: Vec<_> = texts.iter().map(|text| json!({ "stringValue": text })).collect();
            json!({ "arrayValue": { "values": values } })
        }
    }
}
