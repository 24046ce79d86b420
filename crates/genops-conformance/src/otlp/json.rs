//! OTLP in JSON, turned record by record into the messages of Protocol Buffers that everything behind it reads.
//!
//! It is lenient: a value that does not fit flaws its record and nothing else, what is unknown is passed over, and
//! a list that stands twice counts twice. Only what somebody reads is turned: bodies of log records, exemplars and
//! the numbers of metrics are not. What is no JSON at all ends the reading; what stood before it stays told.

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::request::{Records, Signal, Unreadable, tell_record, tell_scope};
use any::{Any, Name, Reader, Scalar, pass_items, pass_members};
use shape::{LOG_RECORD, METRIC, RESOURCE, SCOPE, SPAN, is_named};
use write::{Out, Whole};

mod any;
mod shape;
mod write;

/// Tells what a request holds, or several, one after the other or in an array.
///
/// # Errors
///
/// It is no JSON, or not to its end, or it is no OTLP.
pub fn read<R: Records>(bytes: &[u8], records: &mut R) -> Result<(), Unreadable> {
    // Text is looked at for being text once, as a whole. Where it is none, what stands before that is still read.
    match std::str::from_utf8(bytes) {
        Ok(text) => read_from(serde_json::Deserializer::from_str(text), records),
        Err(_) => read_from(serde_json::Deserializer::from_slice(bytes), records),
    }
}

fn read_from<'de, R: Records>(
    mut json: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
    records: &mut R,
) -> Result<(), Unreadable> {
    let mut teller =
        Teller { records, out: Out::default(), told: 0, is_known: false, is_resource_flawed: false };
    let mut outcome = Ok(());
    while outcome.is_ok() && json.end().is_err() {
        let part = Part::Request { is_top: true };
        outcome = Any(Walk { teller: &mut teller, part }).deserialize(&mut json);
    }
    let (what, at) = match outcome {
        Ok(()) if teller.is_known => return Ok(()),
        Ok(()) => (NO_OTLP.to_owned(), None),
        Err(error) => {
            (format!("it is no JSON: {}", without_place(&error)), Some((error.line(), error.column())))
        }
    };
    Err(Unreadable { what, at, is_foreign: !teller.is_known, was_begun: teller.told > 0 })
}

const NO_OTLP: &str =
    "it is no OTLP: an object with resourceSpans, resourceLogs or resourceMetrics is expected";

/// What is wrong, without the place, which is told apart.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// What walks from the request down to its records.
struct Teller<'r, R> {
    records: &'r mut R,
    out: Out,
    /// How many records were told.
    told: u64,
    /// A part of OTLP was met.
    is_known: bool,
    is_resource_flawed: bool,
}

struct Walk<'w, 'r, R> {
    teller: &'w mut Teller<'r, R>,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    /// Where it is the whole document, an array of requests will do.
    Request {
        is_top: bool,
    },
    Resources(Signal),
    Resource(Signal),
    Scopes(Signal),
    Scope(Signal),
    Records(Signal),
}

impl<'de, R: Records> Reader<'de> for Walk<'_, '_, R> {
    fn object<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        match self.part {
            Part::Request { .. } => self.request(members),
            Part::Resource(signal) => self.resource(signal, members),
            Part::Scope(signal) => self.scope(signal, members),
            Part::Resources(_) | Part::Scopes(_) | Part::Records(_) => {
                self.teller.records.unreadable();
                pass_members(members)
            }
        }
    }

    fn array<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let part = match self.part {
            Part::Request { is_top: true } => Part::Request { is_top: false },
            Part::Resources(signal) => Part::Resource(signal),
            Part::Scopes(signal) => Part::Scope(signal),
            Part::Records(signal) => return self.records(signal, items),
            Part::Request { .. } | Part::Resource(_) | Part::Scope(_) => {
                self.teller.records.unreadable();
                return pass_items(items);
            }
        };
        while items.next_element_seed(Any(Walk { teller: &mut *self.teller, part }))?.is_some() {}
        Ok(())
    }

    fn scalar(self, scalar: Scalar<'_>) {
        let is_absent = matches!(self.part, Part::Resources(_) | Part::Scopes(_) | Part::Records(_))
            && matches!(scalar, Scalar::Null);
        if !is_absent {
            self.teller.records.unreadable();
        }
    }
}

impl<R: Records> Walk<'_, '_, R> {
    fn request<'de, A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let signal_of = |name: &str| {
            [
                ("resourceSpans", Signal::Traces),
                ("resourceLogs", Signal::Logs),
                ("resourceMetrics", Signal::Metrics),
            ]
            .into_iter()
            .find_map(|(known, signal)| is_named(known, name).then_some(signal))
        };
        let mut is_empty = true;
        while let Some(signal) = members.next_key_seed(Name(signal_of))? {
            is_empty = false;
            match signal {
                Some(signal) => {
                    self.teller.is_known = true;
                    let part = Part::Resources(signal);
                    members.next_value_seed(Any(Walk { teller: &mut *self.teller, part }))?;
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        // An empty request is one.
        self.teller.is_known |= is_empty;
        Ok(())
    }

    fn resource<'de, A: MapAccess<'de>>(self, signal: Signal, mut members: A) -> Result<(), A::Error> {
        let teller = self.teller;
        let scopes = match signal {
            Signal::Traces => "scopeSpans",
            Signal::Logs => "scopeLogs",
            Signal::Metrics => "scopeMetrics",
        };
        let is_resource_of = |name: &str| match name {
            "resource" => Some(true),
            _ => is_named(scopes, name).then_some(false),
        };
        // The resource counts for all scopes: those that stand before it wait.
        let mut waiting: Vec<&RawValue> = Vec::new();
        let mut has_resource = false;
        teller.out.clear();
        while let Some(is_resource) = members.next_key_seed(Name(is_resource_of))? {
            match is_resource {
                Some(true) => {
                    has_resource = true;
                    teller.out.clear();
                    members.next_value_seed(Any(Whole { shape: &RESOURCE, out: &mut teller.out }))?;
                    teller.tell_resource();
                }
                Some(false) if has_resource => {
                    members
                        .next_value_seed(Any(Walk { teller: &mut *teller, part: Part::Scopes(signal) }))?;
                }
                Some(false) => waiting.push(members.next_value()?),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        if !has_resource {
            teller.tell_resource();
        }
        for scopes in waiting {
            let mut json = serde_json::Deserializer::from_str(scopes.get());
            let walk = Walk { teller: &mut *teller, part: Part::Scopes(signal) };
            // Its place is told from the whole document: this is the end of the part.
            Any(walk).deserialize(&mut json).map_err(|error| A::Error::custom(without_place(&error)))?;
        }
        Ok(())
    }

    fn scope<'de, A: MapAccess<'de>>(self, signal: Signal, mut members: A) -> Result<(), A::Error> {
        let teller = self.teller;
        let records = match signal {
            Signal::Traces => "spans",
            Signal::Logs => "logRecords",
            Signal::Metrics => "metrics",
        };
        let is_scope_of = |name: &str| match name {
            "scope" => Some(true),
            _ => is_named(records, name).then_some(false),
        };
        while let Some(is_scope) = members.next_key_seed(Name(is_scope_of))? {
            match is_scope {
                Some(true) => {
                    teller.out.clear();
                    members.next_value_seed(Any(Whole { shape: &SCOPE, out: &mut teller.out }))?;
                    tell_scope(&teller.out.bytes, teller.records);
                }
                Some(false) => {
                    members
                        .next_value_seed(Any(Walk { teller: &mut *teller, part: Part::Records(signal) }))?;
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn records<'de, A: SeqAccess<'de>>(self, signal: Signal, mut items: A) -> Result<(), A::Error> {
        let teller = self.teller;
        let shape = match signal {
            Signal::Traces => &SPAN,
            Signal::Logs => &LOG_RECORD,
            Signal::Metrics => &METRIC,
        };
        loop {
            teller.out.clear();
            if items.next_element_seed(Any(Whole { shape, out: &mut teller.out }))?.is_none() {
                return Ok(());
            }
            if teller.out.is_object {
                let is_flawed = teller.out.is_flawed || teller.is_resource_flawed;
                tell_record(signal, &teller.out.bytes, is_flawed, teller.records);
                teller.told += 1;
            } else {
                teller.records.unreadable();
            }
        }
    }
}

impl<R: Records> Teller<'_, R> {
    fn tell_resource(&mut self) {
        self.is_resource_flawed = self.out.is_flawed;
        self.records.resource(&self.out.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::record::{Log, Span};
    use crate::otlp::request::data_points;
    use crate::otlp::value::{Attributes, Value};

    /// What was told, with the messages as they were written.
    #[derive(Default)]
    struct Told {
        resources: Vec<Vec<u8>>,
        scopes: Vec<usize>,
        spans: Vec<(Vec<u8>, bool)>,
        logs: Vec<(Vec<u8>, bool)>,
        metrics: Vec<Vec<u8>>,
        unreadable: usize,
    }

    impl Records for Told {
        fn resource(&mut self, message: &[u8]) {
            self.resources.push(message.to_vec());
        }
        fn scope(&mut self, pairs: &[&[u8]]) {
            self.scopes.push(pairs.len());
        }
        fn span(&mut self, message: &[u8], is_flawed: bool) {
            self.spans.push((message.to_vec(), is_flawed));
        }
        fn log(&mut self, message: &[u8], is_flawed: bool) {
            self.logs.push((message.to_vec(), is_flawed));
        }
        fn metric(&mut self, message: &[u8]) {
            self.metrics.push(message.to_vec());
        }
        fn unreadable(&mut self) {
            self.unreadable += 1;
        }
    }

    fn told(json: &str) -> (Told, Result<(), Unreadable>) {
        let mut told = Told::default();
        let outcome = read(json.as_bytes(), &mut told);
        (told, outcome)
    }

    fn spans(spans: &str) -> Told {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":{spans}}}]}}]}}"#);
        let (told, outcome) = told(&json);
        assert_eq!(outcome, Ok(()), "{json}");
        told
    }

    /// The message of the one span that has this value in an attribute, and whether it is flawed.
    fn with_value(value: &str) -> (Vec<u8>, bool) {
        spans(&format!(r#"[{{"attributes":[{{"key":"k","value":{value}}}]}}]"#)).spans.remove(0)
    }

    fn the_value(message: &[u8]) -> Value<'_> {
        Span::read(message).attributes.all()[0].1
    }

    #[test]
    fn every_field_of_a_span_is_turned() {
        let json = r#"[{
            "traceId":"0102030405060708090A0b0c0d0e0f10","spanId":"1112131415161718","parentSpanId":"2112131415161718",
            "traceState":"ot=th:8","name":"chat \u00e9","kind":3,"startTimeUnixNano":"1700000000000000001",
            "endTimeUnixNano":1700000000000000002,"attributes":[{"key":"a","value":{"stringValue":"x"}}],
            "droppedAttributesCount":1,"droppedEventsCount":2,"droppedLinksCount":3,"flags":257,
            "events":[{"timeUnixNano":"5","name":"e","attributes":[{"key":"b","value":{"boolValue":true}}],
                       "droppedAttributesCount":4}],
            "links":[{"traceId":"aa","spanId":"bb"}],"status":{"code":2,"message":"no"},"later":{"x":[1,{}]}}]"#;
        let told = spans(json);
        let (message, is_flawed) = &told.spans[0];
        let span = Span::read(message);
        assert!(!is_flawed && !span.is_broken);
        assert_eq!(span.trace_id, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!((span.span_id[0], span.parent_span_id[0]), (0x11, 0x21));
        assert_eq!((span.name, span.kind, span.status, span.flags), ("chat é", 3, 2, 257));
        assert_eq!((span.start, span.end), (1_700_000_000_000_000_001, 1_700_000_000_000_000_002));
        assert_eq!((span.dropped.attributes, span.dropped.events, span.dropped.links), (1, 2, 3));
        assert_eq!(span.attributes.all(), [("a", Value::Text("x"))]);
        assert_eq!(
            (span.events[0].time, span.events[0].name, span.events[0].dropped_attributes),
            (5, "e", 4)
        );
        assert_eq!(span.events[0].attributes.all(), [("b", Value::Bool(true))]);
        assert_eq!(span.links, [(&[0xaa][..], &[0xbb][..])]);
        assert_eq!(span.trace_state, "ot=th:8");
    }

    #[test]
    fn names_may_be_written_as_in_the_definitions() {
        let json = r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"01","start_time_unix_nano":7}]}]}],
                       "resource_logs":[{"scope_logs":[{"log_records":[{"event_name":"e"}]}]}]}"#;
        let (told, outcome) = told(json);
        assert_eq!(outcome, Ok(()));
        let span = Span::read(&told.spans[0].0);
        assert_eq!((span.trace_id, span.start), (&[1][..], 7));
        assert_eq!(Log::read(&told.logs[0].0).event.name, "e");
        for (name, is_it) in [
            ("traceId", true),
            ("trace_id", true),
            ("traceid", false),
            ("trace_id_", false),
            ("trace__id", false),
        ] {
            assert_eq!(is_named("traceId", name), is_it, "{name}");
        }
    }

    #[test]
    fn values_keep_their_kind_and_what_does_not_fit_flaws_the_record() {
        let long = "x".repeat(300);
        let fits: &[(&str, Value<'_>)] = &[
            (r#"{"stringValue":""}"#, Value::Text("")),
            (&format!(r#"{{"stringValue":"{long}"}}"#), Value::Text(&long)),
            (r#"{"boolValue":false}"#, Value::Bool(false)),
            (r#"{"intValue":"-9223372036854775808"}"#, Value::Int(i64::MIN)),
            (r#"{"intValue":9223372036854775807}"#, Value::Int(i64::MAX)),
            (r#"{"intValue":4096}"#, Value::Int(4096)),
            (r#"{"intValue":1e3}"#, Value::Int(1000)),
            (r#"{"doubleValue":4096}"#, Value::Double(4096.0)),
            (r#"{"doubleValue":-1}"#, Value::Double(-1.0)),
            (r#"{"doubleValue":0.1}"#, Value::Double(0.1)),
            (r#"{"doubleValue":"0.25"}"#, Value::Double(0.25)),
            (r#"{"doubleValue":"Infinity"}"#, Value::Double(f64::INFINITY)),
            (r#"{"doubleValue":"-Infinity"}"#, Value::Double(f64::NEG_INFINITY)),
            (r#"{"arrayValue":{}}"#, Value::Array(b"")),
            (r#"{"arrayValue":{"values":[{"intValue":1}]}}"#, Value::Array(b"\x0a\x02\x18\x01")),
            (r#"{"kvlistValue":{"values":[]}}"#, Value::Map(b"")),
            (r#"{"bytesValue":"AP8="}"#, Value::Bytes(b"\x00\xff")),
            (r#"{"bytesValue":"AP8"}"#, Value::Bytes(b"\x00\xff")),
            (r#"{"bytesValue":"_w"}"#, Value::Bytes(b"\xff")),
            (r#"{"stringValue":null}"#, Value::Empty),
            (r#"{"laterValue":{"a":1}}"#, Value::Empty),
            ("{}", Value::Empty),
            ("null", Value::Empty),
        ];
        for (json, expected) in fits {
            let (message, is_flawed) = with_value(json);
            assert_eq!((the_value(&message), is_flawed), (*expected, false), "{json}");
        }
        let (message, is_flawed) = with_value(r#"{"doubleValue":"NaN"}"#);
        assert!(the_value(&message).double().is_some_and(f64::is_nan) && !is_flawed);
        for json in [
            r#"{"stringValue":1}"#,
            r#"{"stringValue":{}}"#,
            r#"{"boolValue":"true"}"#,
            r#"{"intValue":9223372036854775808}"#,
            r#"{"intValue":"9223372036854775808"}"#,
            r#"{"intValue":1.5}"#,
            r#"{"intValue":1e19}"#,
            r#"{"intValue":""}"#,
            r#"{"doubleValue":"inf"}"#,
            r#"{"doubleValue":"nan"}"#,
            r#"{"doubleValue":""}"#,
            r#"{"arrayValue":[]}"#,
            r#"{"arrayValue":{"values":{}}}"#,
            r#"{"arrayValue":{"values":[null]}}"#,
            r#"{"bytesValue":"*"}"#,
            "[]",
            "7",
        ] {
            assert!(with_value(json).1, "{json}");
        }
    }

    #[test]
    fn an_identifier_is_never_silently_empty_nor_by_chance_of_the_right_length() {
        let id = |text: &str| {
            Span::read(&spans(&format!(r#"[{{"traceId":"{text}"}}]"#)).spans[0].0).trace_id.to_vec()
        };
        assert_eq!(id(""), b"");
        assert_eq!(id("aAbB"), b"\xaa\xbb");
        assert_eq!(id("abc"), b"\"abc\"");
        assert_eq!(id("AAAAAAAAAAAAAAAAAAAAAA=="), b"\"AAAAAAAAAAAAAAAAAAAAAA==\"");
        for length in 1..40 {
            assert!(!matches!(id(&"z".repeat(length)).len(), 0 | 8 | 16), "{length}");
        }
        let number = spans(r#"[{"traceId":12}]"#);
        assert!(number.spans[0].1);
    }

    #[test]
    fn a_resource_counts_for_the_scopes_before_it_and_its_flaws_for_their_records() {
        let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}],"scope":{"name":"s","attributes":
            [{"key":"x"},{"key":"y"}]}}],"resource":{"attributes":[{"key":"k","value":{"intValue":"x"}}]}},{}]}"#;
        let (told, outcome) = told(json);
        assert_eq!(outcome, Ok(()));
        assert_eq!(told.resources.len(), 2);
        assert_eq!(told.resources[1], b"");
        assert!(told.resources[0].ends_with(b"\x0a\x01k\x12\x00"));
        assert!(told.spans[0].1);
        assert_eq!(told.scopes, [2]);
    }

    #[test]
    fn lists_that_stand_twice_count_twice() {
        let told =
            spans(r#"[{"attributes":[{"key":"a"}],"name":"1","attributes":[{"key":"a"},{"key":"b"}]}]"#);
        let span = Span::read(&told.spans[0].0);
        let keys: Vec<&str> = span.attributes.all().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["a", "a", "b"]);
    }

    #[test]
    fn one_bad_record_costs_no_other() {
        let told =
            spans(r#"[{"name":"a"},null,7,[],{"name":[]},{"kind":-1},{"attributes":null,"events":null},{}]"#);
        assert_eq!(told.unreadable, 3);
        let flaws: Vec<bool> = told.spans.iter().map(|(_, is_flawed)| *is_flawed).collect();
        assert_eq!(flaws, [false, true, true, false, false]);
    }

    #[test]
    fn too_deep_a_value_flaws_its_record_and_costs_no_other() {
        let depth = 5000;
        let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
        let told = spans(&format!(r#"[{{"attributes":[{{"key":"k","value":{deep}}}]}},{{"name":"next"}}]"#));
        assert_eq!(told.spans.len(), 2);
        assert!(told.spans[0].1 && !told.spans[1].1);
        let shallow = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(20), "]}}".repeat(20));
        assert!(!with_value(&shallow).1);
        let unknown = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!spans(&format!(r#"[{{"later":{unknown}}}]"#)).spans[0].1);
    }

    #[test]
    fn requests_come_alone_in_arrays_and_one_after_the_other() {
        let one = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}"#;
        for (json, count) in [
            (one.to_owned(), 1),
            (format!("[{one}, {one}]"), 2),
            (format!("{one}\n{one} {one}"), 3),
            (format!("{one}[]"), 1),
            ("{}".to_owned(), 0),
            ("[]".to_owned(), 0),
        ] {
            let (told, outcome) = told(&json);
            assert_eq!((told.spans.len(), outcome.is_ok()), (count, count > 0 || json == "{}"), "{json}");
        }
    }

    #[test]
    fn what_is_no_otlp_is_told_from_what_breaks_off() {
        for (json, is_foreign, was_begun, at) in [
            (r#"{"name":"package","version":"1"}"#, true, false, None),
            ("7", true, false, None),
            ("", true, false, None),
            ("{", true, false, Some((1, 1))),
            ("hello", true, false, Some((1, 1))),
            (r#"{"resourceSpans":[{"#, false, false, Some((1, 19))),
            (
                "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"spans\":[{},\n{\"name\":",
                false,
                true,
                Some((2, 8)),
            ),
        ] {
            let (told, outcome) = told(json);
            let error = outcome.expect_err(json);
            assert_eq!(
                (error.is_foreign, error.was_begun, error.at),
                (is_foreign, was_begun, at),
                "{json}: {error}"
            );
            assert_eq!(told.spans.len(), usize::from(was_begun), "{json}");
        }
    }

    #[test]
    fn metrics_show_the_attributes_of_their_points() {
        for (kind, name) in [
            ("gauge", "a"),
            ("sum", "b"),
            ("histogram", "c"),
            ("exponentialHistogram", "d"),
            ("summary", "e"),
        ] {
            let json = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{name}","{kind}":{{"dataPoints":
                [{{"asInt":"1","attributes":[{{"key":"genops.team","value":{{"stringValue":"x"}}}}]}}]}}}}]}}]}}]}}"#
            );
            let (told, outcome) = told(&json);
            assert_eq!(outcome, Ok(()));
            let points: Vec<Attributes<'_>> = data_points(&told.metrics[0]);
            assert_eq!(points[0].all(), [("genops.team", Value::Text("x"))], "{kind}");
        }
    }
}
