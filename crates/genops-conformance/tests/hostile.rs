//! Input that means harm, or has come to it: every decoder gives a finding, a problem or an error, never a panic, and
//! never keeps more than it was given.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod sample;

use std::fs;

use genops_conformance::input::{self, Input, MESSAGE_BYTES_MAX};
use genops_conformance::judge::Judgement;
use genops_conformance::otlp::record::{Log, PARTS_MAX, Span};
use genops_conformance::otlp::request::{self, Encoding, Records, Signal};
use genops_conformance::otlp::value::{ATTRIBUTES_MAX, Value};
use genops_conformance::otlp::wire::{put_bytes, put_varint};
use genops_conformance::{Checker, Strictness};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sample::{Messages, checker, gzip, prefixed};
use tempfile::NamedTempFile;

/// Counts what is told, and reads every part of it.
#[derive(Default)]
struct Told {
    records: usize,
    unreadable: usize,
    /// The length of everything that was told.
    bytes: usize,
}

impl Records for Told {
    fn resource(&mut self, message: &[u8]) {
        self.bytes += message.len();
    }
    fn scope(&mut self, pairs: &[&[u8]]) {
        assert!(pairs.len() <= 1024);
        self.bytes += pairs.iter().map(|pair| pair.len()).sum::<usize>();
    }
    fn span(&mut self, message: &[u8], _: bool) {
        drop(Span::read(message));
        self.records += 1;
        self.bytes += message.len();
    }
    fn log(&mut self, message: &[u8], _: bool) {
        drop(Log::read(message));
        self.records += 1;
        self.bytes += message.len();
    }
    fn metric(&mut self, message: &[u8]) {
        assert!(request::data_points(message).len() <= 4096);
        self.records += 1;
        self.bytes += message.len();
    }
    fn unreadable(&mut self) {
        self.unreadable += 1;
    }
}

fn told(bytes: &[u8], encoding: Encoding, signal: Option<Signal>) -> (Told, bool) {
    let mut told = Told::default();
    let outcome = request::read(bytes, encoding, signal, &mut told);
    (told, outcome.is_ok())
}

/// Hands bytes to everything that takes bytes.
fn survive(bytes: &[u8]) {
    for signal in [None, Some(Signal::Traces), Some(Signal::Logs), Some(Signal::Metrics)] {
        let (told, _) = told(bytes, Encoding::Protobuf, signal);
        assert!(told.bytes <= bytes.len());
    }
    let (told, _) = told(bytes, Encoding::Json, None);
    // A double is written in nine bytes, and its name alone is longer.
    assert!(told.bytes <= bytes.len());
    for content in [bytes.to_vec(), prefixed(bytes), gzip(bytes)] {
        drop(read(&content));
    }
}

/// What reading a file of these bytes comes to.
fn read(bytes: &[u8]) -> (Result<Input, String>, Judgement) {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let mut checker = Checker::new(Strictness::default(), 1 << 20);
    let inputs = input::read(&[file.path().to_path_buf()], &mut checker);
    let outcome = inputs.map(|mut inputs| inputs.all.remove(0)).map_err(|error| error.to_string());
    if let Ok(input) = &outcome {
        assert_eq!(input.bytes, bytes.len() as u64);
        assert!(input.problems.first.len() <= 20);
    }
    (outcome, checker.finish())
}

/// A way to harm bytes.
#[derive(Debug, Clone)]
enum Harm {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        (any::<Index>(), select(&b"{}[]\",:\\0-e\n\0\xff"[..])).prop_map(|(at, byte)| Harm::Set(at, byte)),
        any::<Index>().prop_map(Harm::Cut),
        (any::<Index>(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Harm::Remove(at, count)),
        (any::<Index>(), 1..400_usize).prop_map(|(at, count)| Harm::Repeat(at, count)),
    ]
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match harm {
            Harm::Set(at, byte) => bytes[at.index(length)] = *byte,
            Harm::Cut(at) => bytes.truncate(at.index(length)),
            Harm::Insert(at, new) => {
                drop(bytes.splice(at.index(length)..at.index(length), new.iter().copied()));
            }
            Harm::Remove(at, count) => {
                drop(bytes.drain(at.index(length)..length.min(at.index(length) + count)));
            }
            Harm::Repeat(at, count) => {
                let piece = bytes[at.index(length)..length.min(at.index(length) + count)].to_vec();
                drop(bytes.splice(at.index(length)..at.index(length), piece));
            }
        }
    }
    bytes
}

const NAMES: &[&str] = &[
    "resourceSpans",
    "scopeSpans",
    "spans",
    "resource",
    "attributes",
    "key",
    "value",
    "stringValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "values",
    "events",
    "traceId",
    "startTimeUnixNano",
    "status",
    "x",
];

/// JSON of any shape, with names that OTLP uses.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((select(NAMES), inner), 0..4).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Value>()
            }),
        ]
    })
}

/// Every place of a JSON document.
fn places(value: &serde_json::Value, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    match value {
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| places(item, &format!("{path}/{at}"), all));
        }
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(member, &format!("{path}/{name}"), all));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn any_fields_are_survived(fields in vec((1..17_u64, 0..8_u64, vec(any::<u8>(), 0..24)), 0..24)) {
        let mut bytes = Vec::new();
        for (number, kind, content) in fields {
            put_varint(&mut bytes, number << 3 | kind);
            if kind == 2 {
                put_varint(&mut bytes, content.len() as u64);
            }
            bytes.extend_from_slice(&content);
        }
        survive(&bytes);
        let mut request = bytes;
        for number in [2, 2, 1] {
            let mut outer = Vec::new();
            put_bytes(&mut outer, number, &request);
            request = outer;
        }
        survive(&request);
    }

    #[test]
    fn harmed_messages_are_survived(which in 0..4_usize, is_json: bool, harms in vec(harm(), 1..6)) {
        let messages = Messages::new();
        let pair = messages.all()[which];
        let bytes = if is_json { pair.json.clone().into_bytes() } else { pair.protobuf.clone() };
        survive(&harmed(bytes, &harms));
    }

    #[test]
    fn harmed_files_are_survived(form in 0..4_usize, harms in vec(harm(), 1..6)) {
        let messages = Messages::new();
        let pretty: String = messages.all().iter().map(|pair| pair.pretty() + "\n").collect();
        let bytes = match form {
            0 => messages.json_lines(),
            1 => messages.length_prefixed(),
            2 => gzip(&messages.json_lines()),
            _ => pretty.into_bytes(),
        };
        drop(read(&harmed(bytes, &harms)));
    }

    #[test]
    fn any_json_anywhere_costs_no_other_record(place in any::<Index>(), value in any_json()) {
        let mut request: serde_json::Value = serde_json::from_str(&Messages::new().traces[0].json).unwrap();
        let mut all = Vec::new();
        places(&request, "", &mut all);
        let place = place.get(&all);
        *request.pointer_mut(place).unwrap() = value;
        let json = request.to_string();
        let (told, is_readable) = told(json.as_bytes(), Encoding::Json, None);
        // Three spans stand in it; whatever is put in the place of one, or of a part of one, leaves the others.
        if place.matches('/').count() >= 7 {
            prop_assert!(is_readable);
            prop_assert!(told.records >= 2 && told.records + told.unreadable == 3, "{place}: {}", told.records);
        }
        drop(read(json.as_bytes()));
    }

    #[test]
    fn a_harmed_line_costs_no_other_line(harms in vec(harm(), 1..4)) {
        let messages = Messages::new();
        let bad: Vec<u8> = harmed(messages.traces[0].json.clone().into_bytes(), &harms);
        prop_assume!(!bad.contains(&b'\n') && bad.contains(&b'}'));
        let good = &messages.traces[1].json;
        let lines = [good.as_bytes(), b"\n", &bad, b"\n", good.as_bytes(), b"\n", good.as_bytes(), b"\n"].concat();
        let (input, judgement) = read(&lines);
        prop_assert!(input.unwrap().messages >= 3);
        prop_assert!(judgement.counts.resent >= 2, "{:?}", judgement.counts);
    }
}

/// What a bad input comes to.
enum Comes {
    /// Nothing of it can be read, for this reason.
    Nothing(&'static str),
    /// So many messages are read, and so many spans are in it; the first problem is this.
    InPart(u64, u64, &'static str),
    /// So many messages are read, and so many records are broken.
    Broken(u64, u64),
}
use Comes::{Broken, InPart, Nothing};

fn nested(depth: usize) -> Vec<u8> {
    let mut value = b"\x18\x01".to_vec();
    for _ in 0..depth {
        let (mut array, mut outer) = (Vec::new(), Vec::new());
        put_bytes(&mut array, 1, &value);
        put_bytes(&mut outer, 5, &array);
        value = outer;
    }
    value
}

fn with_attribute(value: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    put_bytes(&mut request, 1, b"genops.team");
    put_bytes(&mut request, 2, value);
    for number in [9, 2, 2, 1] {
        let mut outer = Vec::new();
        put_bytes(&mut outer, number, &request);
        request = outer;
    }
    request
}

#[test]
fn every_bad_input_has_its_outcome() {
    let messages = Messages::new();
    let (json, protobuf) = (messages.traces[0].json.as_bytes(), &messages.traces[0].protobuf[..]);
    let cut = |bytes: &[u8]| bytes[..bytes.len() * 2 / 3].to_vec();
    let join = |parts: &[&[u8]]| parts.concat();
    let huge = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes();
    let packed = gzip(&messages.json_lines());
    let mut spoiled = packed.clone();
    let checksum = spoiled.len() - 8;
    spoiled[checksum] ^= 0xff;
    let cases: Vec<(&str, Vec<u8>, Comes)> = vec![
        ("text", b"How they were made.".to_vec(), Nothing("neither OTLP")),
        ("zeros", vec![0; 64], Nothing("neither OTLP")),
        ("other JSON", b"{\"a\":1}".to_vec(), Nothing("no OTLP")),
        ("other JSON over lines", b"[\n{\n\"a\":1}\n]\n".to_vec(), Nothing("no OTLP")),
        ("an ini file", b"[section]\nkey=value\n".to_vec(), Nothing("neither OTLP")),
        ("UTF-16", b"\xff\xfe{\0\"\0".to_vec(), Nothing("UTF-16")),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00".to_vec(), Nothing("zstd")),
        ("messages in zstd", prefixed(b"\x28\xb5\x2f\xfd\x04\x00"), Nothing("zstd")),
        (
            "a document that breaks off",
            b"{\"resourceSpans\":[".to_vec(),
            Nothing("line 1, column 18: it is no JSON: EOF"),
        ),
        ("a message that breaks off", cut(protobuf), Nothing("no OTLP message in Protocol Buffers")),
        ("a message that breaks off, with its length", cut(&prefixed(protobuf)), Nothing("is announced")),
        ("the head of gzip", packed[..10].to_vec(), Nothing("cannot be read beyond byte 0")),
        (
            "no gzip behind its mark",
            b"\x1f\x8bnonsense and more".to_vec(),
            Nothing("cannot be read beyond byte 0"),
        ),
        (
            "a huge length",
            join(&[&huge, b"\x0a\x02\x0a\x00"]),
            Nothing("longer than 64 MiB; write smaller batches"),
        ),
        ("broken UTF-8", b"{\"resourceSpans\":[\"\xff\"]}".to_vec(), Nothing("unicode")),
        ("broken UTF-8 in a name", b"{\"resourceSpans\":[{\"\xff\":1}]}".to_vec(), Nothing("unicode")),
        (
            "half a surrogate",
            br#"{"resourceSpans":[{"scopeSpans":["\ud800"]}]}"#.to_vec(),
            Nothing("unexpected end of hex"),
        ),
        ("a number without end", b"{\"resourceSpans\":[1e999]}".to_vec(), Nothing("number out of range")),
        (
            "wrong types",
            br#"{"resourceSpans":{"a":[1]},"resourceLogs":"x","resourceMetrics":[[],1]}"#.to_vec(),
            Broken(1, 4),
        ),
        ("a byte of 0 in front", join(&[b"\0", json]), Nothing("line 1, column 1: it is no JSON")),
        (
            "a torn line and others",
            join(&[&cut(json), b"\n", json, b"\n", json]),
            InPart(2, 3, "line 1, column"),
        ),
        (
            "a torn document over lines",
            join(&[&cut(messages.traces[0].pretty().as_bytes()), b"\n", json]),
            InPart(1, 3, "EOF"),
        ),
        ("a torn end", join(&[json, b"\n", &cut(json)]), InPart(1, 3, "line 2, column")),
        (
            "a line of something else",
            join(&[json, b"\n{\"a\":1}\n", json]),
            InPart(2, 3, "line 2: it is no OTLP"),
        ),
        ("other lines in front", join(&[b"listening on 4317\n", json]), InPart(1, 3, "line 1, column 1")),
        ("a comma between documents", join(&[json, b",", json]), InPart(0, 3, "line 1, column")),
        (
            "gzip that is torn",
            packed[..packed.len() - 12].to_vec(),
            InPart(3, 6, "cannot be read beyond byte"),
        ),
        (
            "gzip without its end",
            packed[..packed.len() - 4].to_vec(),
            InPart(4, 6, "cannot be read beyond byte"),
        ),
        ("gzip with a wrong sum", spoiled, InPart(4, 6, "cannot be read beyond byte")),
        ("something behind gzip", join(&[&packed, b"nonsense"]), InPart(4, 6, "cannot be read beyond byte")),
        (
            "a torn last message",
            join(&[&prefixed(protobuf), &cut(&prefixed(protobuf))]),
            InPart(1, 3, "is announced"),
        ),
        ("a torn last length", join(&[&prefixed(protobuf), b"\0\0"]), InPart(1, 3, "within the length")),
        ("zeros at the end", join(&[&prefixed(protobuf), &[0; 64]]), InPart(1, 3, "a message of no bytes")),
        (
            "a huge length at the end",
            join(&[&prefixed(protobuf), &[0xff; 4]]),
            InPart(1, 3, "longer than 64 MiB"),
        ),
        (
            "nonsense between messages",
            join(&[&prefixed(protobuf), &prefixed(b"hello"), &prefixed(protobuf)]),
            InPart(2, 3, "byte "),
        ),
        ("deep values", with_attribute(&nested(20_000)), Broken(1, 0)),
        ("a value that is none", with_attribute(b"\xff"), Broken(1, 0)),
        ("a span that is none", b"\x0a\x06\x12\x04\x12\x02\xff\xff".to_vec(), Broken(1, 1)),
        ("a scope that is none", b"\x0a\x06\x12\x04\x12\x7f\x00\x00".to_vec(), Broken(1, 1)),
    ];
    let wrong: Vec<String> =
        cases.iter().filter_map(|(name, bytes, comes)| differs(name, bytes, comes)).collect();
    assert_eq!(wrong, [""; 0]);
}

/// What an input comes to, where that is not what is expected.
fn differs(name: &str, bytes: &[u8], comes: &Comes) -> Option<String> {
    let (outcome, judgement) = read(bytes);
    let is_expected = match (comes, &outcome) {
        (Nothing(why), Err(error)) => error.contains(why),
        (InPart(count, spans, why), Ok(input)) => {
            input.problems.first.first().is_some_and(|problem| problem.contains(why))
                && (input.messages, judgement.counts.spans) == (*count, *spans)
        }
        (Broken(count, broken), Ok(input)) => (input.messages, judgement.counts.broken) == (*count, *broken),
        _ => false,
    };
    (!is_expected).then(|| format!("{name}: {outcome:?}, {:?}", judgement.counts))
}

/// A gzip bomb: what stands before it, then more of a byte than a message may have, in few bytes.
fn bomb(before: &[u8], filling: &[u8]) -> Vec<u8> {
    let member = gzip(&filling.repeat((1 << 20) / filling.len()));
    [gzip(before), member.repeat((MESSAGE_BYTES_MAX >> 20) + 1)].concat()
}

#[test]
fn what_is_too_long_is_told_and_what_stood_before_it_stays() {
    let line = &Messages::new().traces[0].json;
    for (filling, expected) in [
        (&b" "[..], "line 2: the document is longer than 64 MiB"),
        (b"               \n", "line 2: the document is longer than 64 MiB"),
    ] {
        let bomb = bomb(format!("{line}\n{{\"resourceSpans\":[").as_bytes(), filling);
        assert!(bomb.len() < 1 << 20);
        let (outcome, judgement) = read(&bomb);
        let input = outcome.unwrap();
        assert!(input.problems.first[0].starts_with(expected), "{:?}", input.problems);
        assert_eq!((input.messages, judgement.counts.spans), (1, 3));
    }
    let message = bomb(b"\x0a\x80\x80\x80\x40", &[0x0a]);
    assert!(read(&message).0.unwrap_err().contains("the message is longer than 64 MiB"));
}

#[test]
fn a_record_keeps_no_more_parts_than_it_may() {
    for (number, filling) in [(9, &b"\x4a\x00"[..]), (11, b"\x5a\x00"), (13, b"\x6a\x00")] {
        for (count, is_broken) in [(ATTRIBUTES_MAX, false), (100_000, true)] {
            let message = filling.repeat(count);
            let span = Span::read(&message);
            assert_eq!(span.is_broken, is_broken, "{number}: {count}");
            assert!(span.attributes.all().len() <= ATTRIBUTES_MAX);
            assert!(span.events.len() <= PARTS_MAX && span.links.len() <= PARTS_MAX);
        }
    }
}

#[test]
fn deep_values_of_any_depth_are_one_value() {
    for depth in [1, 100, 20_000] {
        let request = with_attribute(&nested(depth));
        let (told, is_readable) = told(&request, Encoding::Protobuf, Some(Signal::Traces));
        assert_eq!((told.records, is_readable), (1, true));
        assert!(matches!(Value::read(&nested(depth)), Value::Array(_)));
    }
}

#[test]
fn a_long_stream_is_read_and_judged_without_a_problem() {
    let messages = Messages::new();
    let lines: Vec<u8> = messages.json_lines().repeat(200);
    let (input, judgement) = read(&gzip(&lines));
    assert_eq!(input.unwrap().messages, 800);
    assert_eq!(judgement.counts.broken, 0);
    let mut checker = checker();
    let mut counts = Told::default();
    for pair in messages.all() {
        checker.take(&pair.protobuf, Encoding::Protobuf, None).unwrap();
        request::read(&pair.protobuf, Encoding::Protobuf, None, &mut counts).unwrap();
    }
    assert_eq!((counts.records, counts.unreadable), (8, 0));
}
