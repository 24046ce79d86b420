//! Retries and fallbacks: every attempt is an AWU of its own, and the first that gives an answer is the answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use genops::ledger::views::Filter;
use genops_conformance::level::Level;
use genops_gateway::stand_in::StandIn;
use serde_json::Value;

use crate::certified::judged;
use crate::house::House;

const PATIENT: &str = r#"{"model":"patient","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}"#;
const STREAMED: &str =
    r#"{"model":"patient","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// A stand-in of whose calls so many fail, and the house in front of it.
async fn house(failing: u64) -> House {
    let stand_in = StandIn::default();
    Arc::clone(&stand_in.failing).store(failing, Ordering::Relaxed);
    House::with(stand_in, "").await
}

/// The AWUs, the first first: model, state, result and code.
fn awus(house: &House) -> Vec<(String, String, String)> {
    let page = house.governor.awus(&Filter::default(), 50).unwrap();
    let line = |awu: &genops::report::AwuReport| {
        (
            awu.model.clone().unwrap_or_default(),
            awu.state.clone(),
            awu.reason_code.clone().unwrap_or_default(),
        )
    };
    page.awus.iter().rev().map(line).collect()
}

fn rows(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_failed_is_tried_again_as_an_awu_of_its_own() {
    for body in [PATIENT, STREAMED] {
        let house = house(1).await;
        let answer = house.chat(body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-genops-attempts")), (200, "2"));
        assert_eq!(house.reached(), 2);
        house.ended(&answer).await;
        assert_eq!(awus(&house), rows(&[("patient", "SETTLED", ""), ("patient", "SETTLED", "")]));
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_keeps_failing_is_replaced_and_a_refused_fallback_is_a_refused_awu() {
    let house = house(2).await;
    let answer = house.chat(PATIENT).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-genops-attempts")), (200, "4"));
    house.ended(&answer).await;
    let expected = rows(&[
        ("patient", "SETTLED", ""),
        ("patient", "SETTLED", ""),
        ("denied", "REFUSED", "POLICY_DENY_MODEL"),
        ("small", "SETTLED", ""),
    ]);
    assert_eq!(awus(&house), expected);
    // Two failures in a row have opened the circuit: the next goes to the substitutes at once.
    let answer = house.chat(PATIENT).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-genops-attempts")), (200, "3"));
    let expected = [
        ("patient", "REFUSED", "PROVIDER_ERROR_UPSTREAM"),
        ("denied", "REFUSED", "POLICY_DENY_MODEL"),
        ("small", "SETTLED", ""),
    ];
    house.ended(&answer).await;
    assert_eq!(awus(&house)[4..], rows(&expected));
    let directory = house.close().await;
    linked_to_the_first(directory.path());
    let (judgement, standing) = judged(&[directory]);
    assert!(judgement.findings.is_empty(), "{:#?}", judgement.findings);
    assert_eq!(standing.level, Level::Full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_helps_the_answer_is_the_providers() {
    let house = house(3).await;
    let answer = house.chat(PATIENT).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-genops-attempts")), (503, "4"));
    assert!(String::from_utf8_lossy(&answer.body).contains("overloaded"), "the provider's own words");
    house.close().await;
}

/// The spans of the attempts after the first have a link to it.
fn linked_to_the_first(directory: &std::path::Path) {
    let text = std::fs::read_to_string(directory.join("telemetry/traces.jsonl")).unwrap();
    let mut spans = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let all = value.pointer("/resourceSpans/0/scopeSpans/0/spans").and_then(Value::as_array).unwrap();
        spans.extend(all.iter().filter(|span| span["name"] == "genops.awu").cloned());
    }
    spans.sort_by_key(|span| span["startTimeUnixNano"].as_str().unwrap().to_owned());
    let first = &spans[0];
    assert!(first.get("links").is_none(), "{first:#}");
    for attempt in &spans[1..4] {
        assert_eq!(attempt["links"][0]["traceId"], first["traceId"]);
        assert_eq!(attempt["links"][0]["spanId"], first["spanId"]);
    }
}
