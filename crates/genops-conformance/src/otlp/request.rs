//! What one OTLP request holds, told record by record: resources, scopes, spans, log records, metrics.
//!
//! A part that cannot be read costs no other part that can still be told apart from it. Records themselves are not
//! read here, except to find out what they are where nobody says so.

use super::json;
use super::value::{ATTRIBUTES_MAX, Attributes};
use super::wire::{Broken, Field, Fields};

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol Buffers.
    Protobuf,
    /// JSON.
    Json,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

/// Whoever is told what a request holds. Messages are Protocol Buffers, whatever the request was written in.
pub trait Records {
    /// The resource that what follows came from: a `Resource` message, empty where there is none.
    fn resource(&mut self, message: &[u8]);
    /// The attributes of an instrumentation scope, each a `KeyValue` message.
    fn scope(&mut self, pairs: &[&[u8]]);
    /// A `Span` message. `is_flawed` says that a part of it, or of its resource, was lost in reading it.
    fn span(&mut self, message: &[u8], is_flawed: bool);
    /// A `LogRecord` message.
    fn log(&mut self, message: &[u8], is_flawed: bool);
    /// A `Metric` message.
    fn metric(&mut self, message: &[u8]);
    /// Something that should have been a record and is none.
    fn unreadable(&mut self);
}

/// A request cannot be read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unreadable {
    /// What is wrong with it.
    pub what: String,
    /// Where, by line and column from 1, if it is JSON.
    pub at: Option<(usize, usize)>,
    /// Nothing in it looks like OTLP.
    pub is_foreign: bool,
    /// Records that stand before the place were handed on.
    pub was_begun: bool,
}

/// Tells what a request holds. `signal` is what it is said to be about; where nobody says, its content shows.
/// JSON says it itself.
///
/// # Errors
///
/// It cannot be read, or not to its end. What was told before stays told.
pub fn read(
    bytes: &[u8],
    encoding: Encoding,
    signal: Option<Signal>,
    records: &mut impl Records,
) -> Result<(), Unreadable> {
    match encoding {
        Encoding::Protobuf => read_protobuf(bytes, signal, records),
        Encoding::Json => json::read(bytes, records),
    }
}

/// So many data points of one metric are handed on.
const POINTS_MAX: usize = 4096;

/// The attributes of the data points of a metric, as far as they name anything of the specification.
#[must_use]
pub fn data_points(metric: &[u8]) -> Vec<Attributes<'_>> {
    let mut points = Vec::new();
    for field in Fields::of(metric) {
        let Ok((kind, Field::Bytes(data))) = field else { continue };
        let pairs = match kind {
            // Gauge, sum, summary.
            5 | 7 | 11 => 7,
            // Histogram.
            9 => 9,
            // Exponential histogram.
            10 => 1,
            _ => continue,
        };
        for point in messages(data, 1) {
            let mut attributes = Attributes::default();
            for pair in messages(point, pairs).take(ATTRIBUTES_MAX) {
                attributes.add(pair);
            }
            if attributes.has_genops() {
                points.push(attributes);
            }
            if points.len() == POINTS_MAX {
                return points;
            }
        }
    }
    points
}

/// Tells the attributes of an `InstrumentationScope` message.
pub fn tell_scope(message: &[u8], records: &mut impl Records) {
    let pairs: Vec<&[u8]> = messages(message, 3).take(ATTRIBUTES_MAX).collect();
    if !pairs.is_empty() {
        records.scope(&pairs);
    }
}

/// Tells a record of a signal. A metric has no flaws: its attributes are looked at as far as they are there.
pub fn tell_record(signal: Signal, message: &[u8], is_flawed: bool, records: &mut impl Records) {
    match signal {
        Signal::Traces => records.span(message, is_flawed),
        Signal::Logs => records.log(message, is_flawed),
        Signal::Metrics => records.metric(message),
    }
}

fn read_protobuf(bytes: &[u8], signal: Option<Signal>, records: &mut impl Records) -> Result<(), Unreadable> {
    let signal = signal.unwrap_or_else(|| recognise(bytes));
    let (mut broken, mut is_readable) = (0_u64, bytes.is_empty());
    for field in Fields::of(bytes) {
        match field {
            Ok((1, Field::Bytes(message))) => is_readable |= read_resource(message, signal, records),
            Ok((1, _)) | Err(Broken) => broken += 1,
            Ok(_) => {}
        }
    }
    if !is_readable {
        let what = "the bytes are no OTLP message in Protocol Buffers, or break off in its first part";
        return Err(Unreadable { what: what.to_owned(), at: None, is_foreign: true, was_begun: false });
    }
    (0..broken).for_each(|_| records.unreadable());
    Ok(())
}

/// Reads a `ResourceSpans`, or what it is called for other signals. Says whether anything was to be told from it.
fn read_resource(message: &[u8], signal: Signal, records: &mut impl Records) -> bool {
    // It counts for all scopes, those before it too.
    let resource = messages(message, 1).last().unwrap_or_default();
    records.resource(resource);
    let is_flawed = !is_whole(resource);
    let mut is_readable = message.is_empty();
    for field in Fields::of(message) {
        match field {
            Ok((2, Field::Bytes(scope))) => {
                is_readable = true;
                read_scope(scope, signal, is_flawed, records);
            }
            Ok((1 | 3, Field::Bytes(_))) => is_readable = true,
            Ok((1 | 2, _)) | Err(Broken) => records.unreadable(),
            // Also field 1000: how scopes were called before there were any.
            Ok(_) => {}
        }
    }
    is_readable
}

fn read_scope(message: &[u8], signal: Signal, is_flawed: bool, records: &mut impl Records) {
    for field in Fields::of(message) {
        match field {
            Ok((1, Field::Bytes(scope))) => tell_scope(scope, records),
            Ok((2, Field::Bytes(record))) => tell_record(signal, record, is_flawed, records),
            Ok((1 | 2, _)) | Err(Broken) => records.unreadable(),
            Ok(_) => {}
        }
    }
}

/// Whether a resource and its attributes can be told apart to the end.
fn is_whole(resource: &[u8]) -> bool {
    Fields::of(resource).all(|field| match field {
        Ok((1, Field::Bytes(pair))) => Fields::of(pair).all(|field| field.is_ok()),
        Ok((1, _)) | Err(Broken) => false,
        Ok(_) => true,
    })
}

/// The messages in a field, as far as they can be framed.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((found, Field::Bytes(content))) if found == number => Some(content),
        _ => None,
    })
}

/// So many records are asked what they are.
const ASKED_MAX: usize = 64;

/// So far ahead has a signal to be.
const LEAD: u32 = 3;

/// What a message is about, by the wire types of its records: no one field decides, since any one may be broken.
fn recognise(bytes: &[u8]) -> Signal {
    let scopes = messages(bytes, 1).flat_map(|resource| messages(resource, 2));
    let records = scopes.flat_map(|scope| messages(scope, 2)).take(ASKED_MAX);
    let (mut spans, mut logs, mut metrics) = (0_u32, 0_u32, 0_u32);
    'records: for record in records {
        for field in Fields::of(record) {
            match field.ok().and_then(|(number, field)| sign_of(number, field)) {
                Some(Signal::Traces) => spans += 1,
                Some(Signal::Logs) => logs += 1,
                Some(Signal::Metrics) => metrics += 1,
                None => continue,
            }
            if spans.abs_diff(logs.max(metrics)) >= LEAD {
                break 'records;
            }
        }
    }
    if logs > spans && logs >= metrics {
        Signal::Logs
    } else if metrics > spans {
        Signal::Metrics
    } else {
        Signal::Traces
    }
}

/// The one signal whose records have such a field.
fn sign_of(number: u64, field: Field<'_>) -> Option<Signal> {
    match (number, field) {
        (7 | 8, Field::Fixed64(_))
        | (6 | 10 | 12 | 14, Field::Varint(_))
        | (13 | 15, Field::Bytes(_))
        | (16, Field::Fixed32(_)) => Some(Signal::Traces),
        (1 | 11, Field::Fixed64(_))
        | (2 | 7, Field::Varint(_))
        | (8, Field::Fixed32(_))
        | (6, Field::Bytes(_)) => Some(Signal::Logs),
        (7, Field::Bytes(_)) => Some(Signal::Metrics),
        (5 | 9 | 10 | 11, Field::Bytes(content)) if has_points(content) => Some(Signal::Metrics),
        _ => None,
    }
}

/// Whether this is the data of a metric: messages that have a time.
fn has_points(data: &[u8]) -> bool {
    let is_timed = |point: &[u8]| {
        let mut fields = Fields::of(point);
        fields.any(|field| matches!(field, Ok((2 | 3, Field::Fixed64(_)))))
    };
    Fields::of(data).all(|field| field.is_ok()) && messages(data, 1).next().is_some_and(is_timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::wire::{put_bytes, put_fixed64, put_uint};

    /// Everything that was told, a word each.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Records for Told {
        fn resource(&mut self, message: &[u8]) {
            self.0.push(format!("resource {}", message.len()));
        }
        fn scope(&mut self, pairs: &[&[u8]]) {
            self.0.push(format!("scope {}", pairs.len()));
        }
        fn span(&mut self, message: &[u8], is_flawed: bool) {
            self.0.push(format!("span {}{}", message.len(), if is_flawed { " flawed" } else { "" }));
        }
        fn log(&mut self, message: &[u8], _: bool) {
            self.0.push(format!("log {}", message.len()));
        }
        fn metric(&mut self, message: &[u8]) {
            self.0.push(format!("metric {}", message.len()));
        }
        fn unreadable(&mut self) {
            self.0.push("unreadable".to_owned());
        }
    }

    fn told(bytes: &[u8], signal: Option<Signal>) -> (Vec<String>, bool) {
        let mut told = Told::default();
        let outcome = read(bytes, Encoding::Protobuf, signal, &mut told);
        (told.0, outcome.is_ok())
    }

    fn message(parts: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        parts.iter().for_each(|(number, content)| put_bytes(&mut out, *number, content));
        out
    }

    fn request_of(record: &[u8]) -> Vec<u8> {
        message(&[(1, &message(&[(2, &message(&[(2, record)]))]))])
    }

    fn key_value(key: &str) -> Vec<u8> {
        message(&[(1, key.as_bytes()), (2, &message(&[(1, b"v")]))])
    }

    #[test]
    fn a_resource_counts_for_the_scopes_before_it() {
        let scope = message(&[(2, b"\x0a\x00")]);
        let bytes = message(&[(1, &message(&[(2, &scope), (1, b"\x10\x01")]))]);
        assert_eq!(told(&bytes, Some(Signal::Traces)), (vec!["resource 2".into(), "span 2".into()], true));
    }

    #[test]
    fn a_broken_part_costs_no_other_part() {
        let scope = message(&[(2, b"\x0a\x00")]);
        let good = message(&[(2, &scope)]);
        let torn_resource = message(&[(1, b"\x0a\x7f"), (2, &scope)]);
        let torn_scope = [&message(&[(2, &scope), (2, b"\x12\x7f")])[..], b"\xff"].concat();
        let mut bytes = message(&[(1, &torn_resource), (1, b"\xff\xff"), (1, &torn_scope), (1, &good)]);
        put_uint(&mut bytes, 1, 7);
        bytes.push(0xff);
        let expected = [
            "resource 2",
            "span 2 flawed",
            "resource 0",
            "unreadable",
            "resource 0",
            "span 2",
            "unreadable",
            "unreadable",
            "resource 0",
            "span 2",
            "unreadable",
            "unreadable",
        ];
        assert_eq!(told(&bytes, Some(Signal::Traces)), (expected.map(str::to_owned).to_vec(), true));
    }

    #[test]
    fn what_holds_nothing_that_can_be_told_apart_is_unreadable() {
        for (bytes, is_readable) in [
            (&b""[..], true),
            (b"\x0a\x00", true),
            (b"\x0a\x02\x12\x00", true),
            (b"\x0a\x04\x12\x00", false),
            (b"\x0a\x02\xff\xff", false),
            (b"hello", false),
            (b"\x10\x01", false),
        ] {
            assert_eq!(told(bytes, None).1, is_readable, "{bytes:?}");
        }
    }

    #[test]
    fn records_are_recognised_by_their_content() {
        let mut span = message(&[(1, &[7; 16]), (2, &[9; 8]), (5, b"chat")]);
        put_uint(&mut span, 6, 3);
        put_fixed64(&mut span, 7, 1);
        put_fixed64(&mut span, 8, 2);
        let mut bare_span = message(&[(1, &[7; 16]), (2, &[9; 8]), (5, b"chat"), (9, &key_value("a"))]);
        put_fixed64(&mut bare_span, 8, 2);
        let mut log = Vec::new();
        put_fixed64(&mut log, 1, 5);
        log.extend(message(&[(6, &key_value("a")), (9, &[7; 16]), (10, &[9; 8]), (12, b"name")]));
        let mut point = message(&[(7, &key_value("a"))]);
        put_fixed64(&mut point, 3, 5);
        let metrics = [5, 7, 9, 10, 11].map(|kind| message(&[(1, b"m"), (kind, &message(&[(1, &point)]))]));
        let first = |record: &[u8]| told(&request_of(record), None).0.swap_remove(1);
        assert_eq!(first(&span), format!("span {}", span.len()));
        assert_eq!(first(&bare_span), format!("span {}", bare_span.len()));
        assert_eq!(first(&log), format!("log {}", log.len()));
        for metric in metrics {
            assert_eq!(first(&metric), format!("metric {}", metric.len()));
        }
        // An identifier of the wrong wire type does not make a log record of a span.
        let mut odd = Vec::new();
        put_fixed64(&mut odd, 1, 5);
        odd.extend_from_slice(&span);
        assert_eq!(first(&odd), format!("span {}", odd.len()));
        // The first scopes may be empty.
        let empty = message(&[(1, &message(&[(2, b"")]))]);
        let both = [empty, request_of(&log)].concat();
        assert_eq!(told(&both, None).0, ["resource 0", "resource 0", &format!("log {}", log.len())]);
    }

    #[test]
    fn data_points_of_every_kind_show_their_attributes() {
        for (kind, pairs) in [(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)] {
            let point = message(&[(pairs, &key_value("genops.team"))]);
            let other = message(&[(pairs, &key_value("http.route"))]);
            let metric = message(&[(1, b"m"), (kind, &message(&[(1, &point), (1, &other), (1, &point)]))]);
            assert_eq!(data_points(&metric).len(), 2, "{kind}");
        }
        assert!(data_points(b"\xff").is_empty());
    }

    #[test]
    fn no_metric_gives_more_than_a_bounded_number_of_points() {
        let point = message(&[(7, &key_value("genops.team"))]);
        let data: Vec<u8> = (0..POINTS_MAX + 5).flat_map(|_| message(&[(1, &point)])).collect();
        assert_eq!(data_points(&message(&[(5, &data)])).len(), POINTS_MAX);
    }
}
