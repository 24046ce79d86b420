//! Holds the words in code and the words in `spec/vocabulary.yaml` together, in both directions.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use genops_spec::attribute::{self, Kind, When};
use genops_spec::{DecisionState, ReasonCode, SPEC_VERSION, event};
use serde_json::Value;

fn vocabulary() -> Value {
    serde_saphyr::from_str(include_str!("../../../spec/vocabulary.yaml")).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn version_and_decision_states_are_those_of_the_vocabulary() {
    let words = vocabulary();
    assert_eq!(words["spec_version"], SPEC_VERSION);
    assert_eq!(
        keys(&words["decisions"]),
        DecisionState::ALL.map(DecisionState::as_str).into_iter().collect()
    );
    for state in DecisionState::ALL {
        let told = &words["decisions"][state.as_str()];
        assert_eq!(told["proceeds"], state.proceeds(), "{state}");
        let forbidden = told["reason_code"] == "forbidden";
        assert_eq!(forbidden, state == DecisionState::Allowed, "{state}");
    }
}

#[test]
fn reason_codes_are_those_of_the_vocabulary() {
    let words = vocabulary();
    let ours: BTreeSet<String> = ReasonCode::DEFINED.iter().map(ToString::to_string).collect();
    let theirs: BTreeSet<String> = keys(&words["reason_codes"]).into_iter().map(str::to_owned).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn attributes_have_the_type_and_condition_of_the_vocabulary() {
    let words = vocabulary();
    let mut theirs = BTreeMap::new();
    for (group, required) in [("required_attributes", true), ("optional_attributes", false)] {
        for (key, told) in words[group].as_object().unwrap() {
            theirs.insert(key.as_str(), (told, required));
        }
    }
    let ours: BTreeMap<&str, &attribute::Attribute> = attribute::ALL.iter().map(|a| (a.key, a)).collect();
    assert_eq!(ours.len(), attribute::ALL.len(), "a key stands twice");
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (key, (told, required)) in theirs {
        let ours = ours[key];
        assert_eq!(told["type"], kind_word(ours.kind), "{key}");
        assert_eq!(ours.when == When::Optional, !required, "{key}");
        if required {
            assert!(told["when"].as_str().unwrap().starts_with(condition_words(ours.when)), "{key}");
        }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Double => "double",
        Kind::Int64 => "int64",
        Kind::Boolean => "boolean",
    }
}

fn condition_words(when: When) -> &'static str {
    match when {
        When::Always => "always",
        When::Refused => "result is not ALLOWED",
        When::Reserved => "always, except on an AWU that a pre-execution decision",
        When::Executed => "the AWU completed execution",
        When::Optional => "",
    }
}

#[test]
fn events_carry_what_the_vocabulary_says() {
    let words = vocabulary();
    let ours: BTreeSet<&str> = event::ALL.iter().map(|e| e.name).collect();
    assert_eq!(ours, keys(&words["events"]));
    for event in event::ALL {
        let told = &words["events"][event.name];
        assert_eq!(told["required"], event.required, "{}", event.name);
        let mut carries = BTreeSet::new();
        let mut may_carry = BTreeSet::new();
        for (key, rule) in told["attributes"].as_object().unwrap() {
            let always = rule == "required";
            if always {
                carries.insert(key.as_str())
            } else {
                may_carry.insert(key.as_str())
            };
        }
        assert_eq!(event.carries.iter().map(|a| a.key).collect::<BTreeSet<_>>(), carries, "{}", event.name);
        assert_eq!(
            event.may_carry.iter().map(|a| a.key).collect::<BTreeSet<_>>(),
            may_carry,
            "{}",
            event.name
        );
    }
}

/// A constant that stands in the module but not in `ALL` would escape the comparison above.
#[test]
fn every_constant_is_listed() {
    for (source, listed) in [
        (include_str!("../src/attribute.rs"), attribute::ALL.len()),
        (include_str!("../src/event.rs"), event::ALL.len()),
    ] {
        let written = source.lines().filter(|l| l.starts_with("pub const ") && !l.contains(" ALL:")).count();
        assert_eq!(written, listed);
    }
}
