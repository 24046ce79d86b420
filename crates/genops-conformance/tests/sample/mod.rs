//! A small capture, made with the published definitions of OTLP, in every form in which it may come.
//!
//! Whether it conforms does not matter here, but that it is judged alike whatever way it came.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "not every test needs all of it; and it may stop at the first surprise"
)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::judge::{Counts, Finding, Judgement};
use genops_conformance::otlp::request::{Encoding, Signal};
use genops_conformance::verdict::Tally;
use genops_conformance::{Checker, Strictness};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

/// A checker as it is by default.
pub fn checker() -> Checker {
    Checker::new(Strictness::default(), OPEN_BYTES_MAX)
}

/// What a capture comes to, as far as two captures can be compared.
pub type Comparable = (Vec<Tally>, Vec<Finding>, Counts);

pub fn comparable(checker: Checker) -> Comparable {
    let Judgement { tallies, findings, counts, .. } = checker.finish();
    (tallies.to_vec(), findings, counts)
}

/// The messages of the capture, each in both encodings.
pub struct Messages {
    pub traces: Vec<Pair>,
    pub logs: Pair,
    pub metrics: Pair,
}

/// One message in both encodings.
pub struct Pair {
    pub protobuf: Vec<u8>,
    pub json: String,
}

impl Pair {
    fn of<M: Message + serde::Serialize>(message: &M) -> Self {
        Self { protobuf: message.encode_to_vec(), json: serde_json::to_string(message).unwrap() }
    }

    /// The JSON over many lines.
    pub fn pretty(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.json).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    }
}

impl Messages {
    pub fn new() -> Self {
        Self {
            traces: vec![Pair::of(&traces(1)), Pair::of(&traces(2))],
            logs: Pair::of(&logs()),
            metrics: Pair::of(&metrics()),
        }
    }

    pub fn all(&self) -> Vec<&Pair> {
        self.traces.iter().chain([&self.logs, &self.metrics]).collect()
    }

    /// What they come to if they are handed in one by one.
    pub fn expected(&self) -> Comparable {
        let mut checker = checker();
        let mut take =
            |pair: &Pair, signal| checker.take(&pair.protobuf, Encoding::Protobuf, Some(signal)).unwrap();
        self.traces.iter().for_each(|pair| take(pair, Signal::Traces));
        take(&self.logs, Signal::Logs);
        take(&self.metrics, Signal::Metrics);
        comparable(checker)
    }

    pub fn json_lines(&self) -> Vec<u8> {
        self.all().iter().flat_map(|pair| format!("{}\n", pair.json).into_bytes()).collect()
    }

    pub fn length_prefixed(&self) -> Vec<u8> {
        self.all().iter().flat_map(|pair| prefixed(&pair.protobuf)).collect()
    }
}

pub fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", "sample")], ..Resource::default() })
}

pub fn traces(trace: u8) -> ExportTraceServiceRequest {
    let array = ArrayValue { values: vec![AnyValue { value: Some(Value::IntValue(7)) }] };
    let begin = 1_700_000_000_000_000_000;
    let event = span::Event {
        time_unix_nano: begin + 5,
        name: "genops.policy.evaluated".to_owned(),
        attributes: vec![text("genops.policy.result", "allowed"), text("genops.team", "a team")],
        dropped_attributes_count: 0,
    };
    let awu = |id: u8| Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: "an AWU".to_owned(),
        kind: 1,
        start_time_unix_nano: begin,
        end_time_unix_nano: begin + 1_000_000,
        attributes: vec![
            text("genops.spec.version", "0.1.0"),
            text("genops.team", "a team"),
            text("genops.operation.name", "summarise"),
            attribute("genops.accounting.reserved", Value::DoubleValue(4096.0)),
            attribute("genops.accounting.actual", Value::DoubleValue(0.1)),
            attribute("other.list", Value::ArrayValue(array.clone())),
            attribute("other.bytes", Value::BytesValue(vec![0, 255, 7])),
            attribute("other.int", Value::IntValue(-1)),
            attribute("other.bool", Value::BoolValue(false)),
        ],
        events: vec![event.clone()],
        status: Some(Status { code: 2, message: "no".to_owned() }),
        flags: 257,
        ..Span::default()
    };
    let call =
        Span { parent_span_id: vec![1; 8], kind: 3, attributes: Vec::new(), events: Vec::new(), ..awu(9) };
    let scope = InstrumentationScope { name: "sample".to_owned(), ..InstrumentationScope::default() };
    let scope_spans =
        ScopeSpans { scope: Some(scope), spans: vec![awu(1), call, awu(2)], ..ScopeSpans::default() };
    let resource_spans =
        ResourceSpans { resource: resource(), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_009,
        observed_time_unix_nano: 1_700_000_000_000_000_010,
        severity_number: 9,
        event_name: "genops.budget.reservation".to_owned(),
        attributes: vec![attribute("genops.budget.reserved", Value::DoubleValue(1.0))],
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..LogRecord::default()
    };
    let scope_logs = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
    let resource_logs =
        ResourceLogs { resource: resource(), scope_logs: vec![scope_logs], ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

fn metrics() -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        attributes: vec![attribute("genops.team", Value::IntValue(3))],
        time_unix_nano: 5,
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let data = metric::Data::Gauge(Gauge { data_points: vec![point] });
    let metric = Metric { name: "m".to_owned(), data: Some(data), ..Metric::default() };
    let scope_metrics = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource_metrics =
        ResourceMetrics { resource: resource(), scope_metrics: vec![scope_metrics], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}
