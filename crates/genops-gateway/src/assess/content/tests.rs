//! The rules as a whole: on bodies of calls, well-formed and not.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Rule 0: keywords; 1: a pattern; 2: all detectors; 3: a detector, a keyword and a pattern.
static RULES: LazyLock<ContentRules> = LazyLock::new(|| {
    let rules = [
        LookedFor { keywords: strings(&["project nightingale", "größe"]), ..LookedFor::default() },
        LookedFor { patterns: strings(&[r"EMP-\d{4}"]), ..LookedFor::default() },
        LookedFor { detect: Detector::ALL.to_vec(), ..LookedFor::default() },
        LookedFor {
            keywords: strings(&["nightingale"]),
            patterns: strings(&["^internal:"]),
            detect: vec![Detector::Email],
        },
    ];
    ContentRules::compile(&rules).unwrap()
});

fn found(body: &[u8]) -> Vec<(usize, ContentKind, u64)> {
    let matches = RULES.scan(body, |_| true);
    matches.into_iter().map(|Match { rule, kind, count }| (rule, kind, count)).collect()
}

fn call(content: &Value) -> Vec<u8> {
    json!({ "model": "small", "messages": [{ "role": "user", "content": content }] }).to_string().into_bytes()
}

const EVERYTHING: &str = "Internal matter of Project\nNightingale, EMP-1234 and EMP-5678: ann@example.com, \
    4111 1111 1111 1111, AKIAIOSFODNN7EXAMPLE -----BEGIN PRIVATE KEY-----, Größe";

#[test]
fn each_rule_finds_what_it_looks_for_and_says_how_often() {
    let expected = [
        (0, ContentKind::Keyword, 2),
        (1, ContentKind::Pattern, 2),
        (2, ContentKind::Email, 1),
        (2, ContentKind::PaymentCard, 1),
        (2, ContentKind::ApiKey, 1),
        (2, ContentKind::PrivateKey, 1),
        (3, ContentKind::Keyword, 1),
        (3, ContentKind::Email, 1),
    ];
    assert_eq!(found(&call(&json!(EVERYTHING))), expected);
    assert_eq!(found(&call(&json!("Nothing of the kind."))), []);
    let parts = json!([{ "type": "text", "text": EVERYTHING }, { "type": "text", "text": EVERYTHING }]);
    assert_eq!(found(&call(&parts)), expected.map(|(rule, kind, count)| (rule, kind, 2 * count)));
}

#[test]
fn only_rules_that_apply_are_looked_for() {
    let body = call(&json!(EVERYTHING));
    for applying in 0..4 {
        let all = RULES.scan(&body, |_| true).into_iter().filter(|found| found.rule == applying);
        assert_eq!(RULES.scan(&body, |rule| rule == applying), all.collect::<Vec<_>>());
    }
    assert_eq!(RULES.scan(&body, |_| false), []);
}

#[test]
fn a_match_does_not_reach_from_one_text_into_the_next() {
    for (first, second) in [("4111 1111", " 1111 1111"), ("project", "nightingale"), ("ann@", "example.com")]
    {
        let parts = json!([{ "type": "text", "text": first }, { "type": "text", "text": second }]);
        let without_names = found(&call(&parts)).into_iter().filter(|(rule, ..)| *rule != 3);
        assert_eq!(without_names.count(), 0, "{first}{second}");
    }
    // Each text begins and ends for itself.
    let parts = json!([{ "type": "text", "text": "x" }, { "type": "text", "text": "internal: y" }]);
    assert_eq!(found(&call(&parts)), [(3, ContentKind::Pattern, 1)]);
}

#[test]
fn every_place_of_a_prompt_is_looked_through() {
    let bodies = [
        json!({ "messages": [{ "role": "system", "content": "ann@example.com" }] }),
        json!({ "messages": [{ "role": "user", "name": "ann@example.com", "content": "x" }] }),
        json!({ "messages": [{ "role": "tool", "tool_call_id": "c", "content": "{\"to\": \"ann@example.com\"}" }] }),
        json!({ "messages": [{ "role": "assistant", "refusal": "ann@example.com" }] }),
        json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function",
            "function": { "name": "send", "arguments": "{\"to\":\"ann@example.com\"}" } }] }] }),
        json!({ "messages": [{ "role": "assistant", "function_call": { "name": "f", "arguments": "ann@example.com" } }] }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f", "description": "ann@example.com" } }] }),
        json!({ "tools": [{ "type": "function", "function": { "parameters": { "properties": {
            "to": { "enum": ["ann@example.com"] } } } } }] }),
        json!({ "functions": [{ "name": "f", "description": "ann@example.com" }] }),
        json!({ "response_format": { "json_schema": { "description": "ann@example.com" } } }),
        json!({ "prediction": { "type": "content", "content": "ann@example.com" } }),
        json!({ "user": "ann@example.com" }),
        json!({ "metadata": { "who": "ann@example.com" } }),
        json!({ "safety_identifier": "ann@example.com" }),
        json!({ "prompt_cache_key": "ann@example.com" }),
        json!({ "documents": [{ "nobody": { "knows": "ann@example.com" } }] }),
    ];
    for body in bodies {
        let expected = [(2, ContentKind::Email, 1), (3, ContentKind::Email, 1)];
        assert_eq!(found(body.to_string().as_bytes()), expected, "{body}");
    }
}

#[test]
fn escapes_within_the_text_hide_nothing_and_nothing_counts_twice() {
    // Once the text of a tool's arguments, once JSON in that.
    let inner =
        json!({ "size": "größe\nann@example.com\t4111 1111 1111 1111" }).to_string().replace('ö', "\\u00f6");
    for text in [inner.clone(), json!({ "again": inner }).to_string()] {
        let expected = [
            (0, ContentKind::Keyword, 1),
            (2, ContentKind::Email, 1),
            (2, ContentKind::PaymentCard, 1),
            (3, ContentKind::Email, 1),
        ];
        assert_eq!(found(&call(&json!(text))), expected, "{text}");
    }
    assert_eq!(found(&call(&json!(r"C:\nightingale"))), [(3, ContentKind::Keyword, 1)]);
}

#[test]
fn all_that_cannot_be_looked_for_is_told_at_once() {
    let rules = [
        LookedFor { keywords: strings(&["fine", " "]), patterns: strings(&["(", "fine"]), detect: vec![] },
        LookedFor::default(),
        LookedFor { patterns: strings(&["fine", "x*"]), ..LookedFor::default() },
    ];
    let problems = ContentRules::compile(&rules).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| problem.place).collect();
    assert_eq!(places, [Place::Rule(1), Place::Keyword(0, 1), Place::Pattern(0, 0), Place::Pattern(2, 1)]);
    assert!(ContentRules::compile(&[]).unwrap().scan(&call(&json!(EVERYTHING)), |_| true).is_empty());
}

/// Text with every character written as an escape.
fn escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut out, unit| {
        write!(out, "\\u{unit:04x}").unwrap();
        out
    })
}

/// Text of pieces that mean something here.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "4111 1111 1111 1111",
            "5555555555554444",
            "1111",
            "ann@example.com",
            "@",
            ".com",
            "AKIAIOSFODNN7EXAMPLE",
            "sk-",
            "eyJ",
            "-----BEGIN ",
            "PRIVATE KEY-----",
            "Nightingale",
            "project ",
            "GRÖSSE",
            "größe",
            "EMP-0007",
            " ",
            "\n",
            "\\n",
            "\\u0034",
            "\\",
            "\"",
            "internal:",
            "😀",
            "机密",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,4}",
        "[0-9 -]{0,24}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The texts of a value: every string that is no name of a field.
fn strings_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings_of(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| strings_of(value, texts)),
        _ => {}
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<f64>().prop_map(Value::from), text().prop_map(Value::from)];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map("[\\PC\"\\\\:]{0,5}", inner, 0..5)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_the_bytes_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = RULES.scan(&bytes, |_| true);
    }

    #[test]
    fn whatever_is_cut_off_nothing_panics(text in text(), cut in 0_usize..400) {
        let body = call(&json!([{ "type": "text", "text": text }]));
        let _ = RULES.scan(body.get(..cut).unwrap_or(&body), |_| true);
    }

    #[test]
    fn how_a_text_is_escaped_makes_no_difference(text in text()) {
        let plain = found(&call(&json!(text)));
        let body = format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, escaped(&text));
        prop_assert_eq!(found(body.as_bytes()), plain);
    }

    #[test]
    fn the_texts_are_the_strings_that_another_reader_finds(value in value(), pretty in any::<bool>()) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        texts::each(body.as_bytes(), |text| ours.push(text.to_owned()));
        // As it was written, whose order of fields is that of the map.
        strings_of(&serde_json::from_str(&body).unwrap(), &mut theirs);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn two_texts_hold_what_each_holds(first in text(), second in text()) {
        let count = |content: &Value| found(&call(content)).iter().map(|(.., count)| count).sum::<u64>();
        let both = json!([{ "type": "text", "text": first }, { "type": "text", "text": second }]);
        prop_assert_eq!(count(&both), count(&json!(first)) + count(&json!(second)));
    }
}
