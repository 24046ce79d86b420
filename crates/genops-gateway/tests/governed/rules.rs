//! Every rule that a configuration can hold, end to end: what the caller is told, what the upstream sees, what the
//! ledger remembers; and every reason code and state, judged by the conformance suite.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use genops_gateway::stand_in::StandIn;
use serde_json::Value;

use crate::BODY;
use crate::certified::{assert_full_and_verified, judged, never_sent};
use crate::house::{Answer, House, KEY};

const RULES: &str = r#"
allowed_regions:
  - {name: europe, for: {feature: europe}, allow: ["eu-*"]}
condition_headers: [x-tier]
conditions:
  - {name: no-gold, for: {feature: gold}, when: 'headers["x-tier"] == "gold"', code: x_no_gold}
  - {name: short, for: {feature: short}, when: max_output_tokens > 10, effect: warn, code: x_long}
content_rules:
  - {name: no-cards, for: {feature: cards}, detect: [payment_card]}
  - {name: falcon, for: {feature: falcon}, keywords: [project falcon], effect: warn}
rates:
  - {name: once, for: {feature: once}, each: customer_id, requests: 1, per: day}
  - {name: tokens, for: {feature: tokens}, tokens: 200, per: day}
  - {name: watched-rate, for: {feature: watched-rate}, requests: 1, per: day, mode: observe}
tiers:
  - {name: fast, for: {feature: fast}, latency_ms: 1}
  - {name: strict, for: {feature: strict}, latency_ms: 1, expected_miss: refuse}
budgets:
  - {name: nothing, for: {feature: nothing}, unit: USD, limit: 0}
  - {name: little, for: {feature: little}, unit: USD, limit: 0.00005}
  - {name: capped, for: {feature: capped}, unit: tokens, limit: 150, on_insufficient: cap, minimum_output_tokens: 5}
  - {name: watched, for: {feature: watched}, unit: tokens, limit: 10, mode: observe}
"#;

const CARD: &str = r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"pay with 4111 1111 1111 1111"}]}"#;
const FALCON: &str =
    r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"what is Project Falcon?"}]}"#;
const LONG: &str = r#"{"model":"small","max_tokens":900,"messages":[{"role":"user","content":"hi"}]}"#;

/// What the caller was told: status, result and reason code.
fn told(answer: &Answer) -> (u16, &str, &str) {
    let header = |name| answer.header(name);
    (answer.status.as_u16(), header("x-genops-result"), header("x-genops-reason-code"))
}

fn of_model(model: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":20,"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

fn message(answer: &Answer) -> String {
    answer.json().pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_and_state_comes_from_a_rule_and_is_judged_full_and_verified() {
    let stand_in = StandIn { delay: Duration::from_millis(15), ..StandIn::default() };
    let failing = Arc::clone(&stand_in.failing);
    let house = House::with(stand_in, RULES).await;
    let mut seen = BTreeSet::new();
    let mut expect = |answer: Answer, expected: (u16, &str, &str)| {
        assert_eq!(told(&answer), expected, "{}", message(&answer));
        seen.insert((expected.1.to_owned(), expected.2.to_owned()));
        answer
    };
    expect(house.chat(BODY).await, (200, "ALLOWED", ""));
    expect(house.chat(&of_model("denied")).await, (403, "BLOCKED", "POLICY_DENY_MODEL"));
    expect(house.chat(&of_model("unpriced")).await, (403, "BLOCKED", "x_unpriced_model"));
    expect(house.chat_for("europe", BODY).await, (403, "BLOCKED", "POLICY_DENY_REGION"));
    expect(house.chat_for("cards", CARD).await, (403, "BLOCKED", "POLICY_DENY_CONTENT"));
    expect(house.chat_for("falcon", FALCON).await, (200, "WARNING", "POLICY_DENY_CONTENT"));
    expect(house.chat_for("short", BODY).await, (200, "WARNING", "x_long"));
    expect(house.chat_for("nothing", BODY).await, (429, "BLOCKED", "BUDGET_EXCEEDED"));
    expect(house.chat_for("little", BODY).await, (429, "BLOCKED", "BUDGET_RESERVATION_FAILED"));
    expect(house.chat_for("watched", BODY).await, (200, "WARNING", "BUDGET_EXCEEDED"));
    let priceless = house.chat(&of_model("priceless")).await;
    expect(priceless, (503, "BLOCKED", "ACCOUNTING_INVARIANT_VIOLATION"));
    expect(house.chat_for("once", BODY).await, (200, "ALLOWED", ""));
    expect(house.chat_for("once", BODY).await, (429, "RATE_LIMITED", "RATE_LIMITED"));
    expect(house.chat_for("watched-rate", BODY).await, (200, "ALLOWED", ""));
    expect(house.chat_for("watched-rate", BODY).await, (200, "WARNING", "RATE_LIMITED"));
    expect(house.chat_for("capped", LONG).await, (200, "WARNING", "x_output_capped"));
    // Four that miss the target, and from then on the fifth is expected to.
    for _ in 0..4 {
        let answer = house.chat_for("fast", BODY).await;
        house.ended(&answer).await;
    }
    expect(house.chat_for("fast", BODY).await, (200, "WARNING", "SLA_LATENCY_VIOLATION"));
    expect(house.chat_for("strict", BODY).await, (503, "BLOCKED", "SLA_LATENCY_VIOLATION"));
    failing.store(2, Ordering::Relaxed);
    for _ in 0..2 {
        let failed = house.chat(&of_model("fragile")).await;
        assert_eq!(failed.status.as_u16(), 503, "the provider's own");
        house.ended(&failed).await;
    }
    let open = house.chat(&of_model("fragile")).await;
    expect(open, (503, "BLOCKED", "PROVIDER_ERROR_UPSTREAM"));

    let codes = genops_spec::ReasonCode::DEFINED.map(|code| code.to_string());
    for code in codes {
        assert!(seen.iter().any(|(_, said)| *said == code), "no rule gave {code}");
    }
    for state in genops_spec::DecisionState::ALL {
        assert!(seen.iter().any(|(said, _)| said == state.as_str()), "nothing was {state}");
    }
    // And a provider that cannot be reached, which stops an AWU between its reservation and its execution.
    let directories = [house.close().await, never_sent().await];
    let (judgement, standing) = judged(&directories);
    assert_full_and_verified(&judgement, &standing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matched_is_told_by_rule_kind_and_count_and_never_by_its_text() {
    let house = House::with(StandIn::default(), RULES).await;
    let refused = house.chat_for("cards", CARD).await;
    assert!(message(&refused).contains("rule `no-cards` found 1 payment_card"), "{}", message(&refused));
    assert!(!message(&refused).contains("4111"));
    house.ended(&house.chat_for("falcon", FALCON).await).await;
    let directory = house.close().await;
    for file in walk(directory.path()) {
        let bytes = std::fs::read(&file).unwrap();
        for text in ["4111", "Project Falcon?"] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{text} stands in {}", file.display());
        }
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_looks_at_admitted_headers_and_never_passes_in_silence_where_it_fails() {
    let house = House::with(StandIn::default(), RULES).await;
    let key = format!("Bearer {KEY}");
    let ask = async |tier: Option<&str>| {
        let mut headers = vec![("authorization", &*key), ("x-genops-feature", "gold")];
        headers.extend(tier.map(|tier| ("x-tier", tier)));
        let answer = house.post(BODY.into(), &headers).await;
        (told(&answer).0, message(&answer))
    };
    assert_eq!(ask(Some("silver")).await, (200, String::new()));
    assert_eq!(ask(Some("gold")).await, (403, "blocked: condition `no-gold` holds".to_owned()));
    let failed = "blocked: condition `no-gold` could not be worked out for this call".to_owned();
    assert_eq!(ask(None).await, (403, failed), "the header is missing");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_does_not_fit_is_capped_to_what_every_budget_affords_and_says_so() {
    let house = House::with(StandIn::default(), RULES).await;
    let capped = house.chat_for("capped", LONG).await;
    assert_eq!(told(&capped), (200, "WARNING", "x_output_capped"));
    // What is left of 150 tokens beyond a token for each byte of the body.
    let limit = 150 - LONG.len();
    assert_eq!(capped.header("x-genops-output-limit"), limit.to_string());
    let awu = house.ended(&capped).await;
    let tokens = awu.cells.iter().find(|cell| cell.budget == "capped").unwrap();
    assert_eq!(tokens.reserved, "150");
    // 32 tokens have been used: the next has 118, of which its body takes what it takes.
    let again = house.chat_for("capped", LONG).await;
    assert_eq!(again.header("x-genops-output-limit"), (118 - LONG.len()).to_string());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unused_tokens_are_given_back_to_a_rate_when_a_call_has_ended() {
    let house = House::with(StandIn::default(), RULES).await;
    // Each may use about 90 tokens and uses 32 of the 200: without giving back the third would not fit.
    for call in 0..4 {
        let answer = house.chat_for("tokens", BODY).await;
        assert_eq!(told(&answer).0, 200, "call {call}: {}", message(&answer));
        house.ended(&answer).await;
    }
    let mut last = house.chat_for("tokens", BODY).await;
    while last.status.as_u16() == 200 {
        house.ended(&last).await;
        last = house.chat_for("tokens", BODY).await;
    }
    assert_eq!(told(&last), (429, "RATE_LIMITED", "RATE_LIMITED"));
    let large = house.chat_for("tokens", LONG).await;
    assert_eq!(large.header("retry-after"), "", "waiting does not help");
    assert!(message(&large).contains("never has room for a call of this size"), "{}", message(&large));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_customer_has_a_rate_for_itself_without_being_listed() {
    let house = House::with(StandIn::default(), RULES).await;
    let key = format!("Bearer {KEY}");
    let ask = async |customer: Option<&str>| {
        let mut headers = vec![("authorization", &*key), ("x-genops-feature", "once")];
        headers.extend(customer.map(|customer| ("x-genops-customer-id", customer)));
        house.post(BODY.into(), &headers).await
    };
    for customer in [Some("acme"), Some("globex"), None] {
        assert_eq!(ask(customer).await.status.as_u16(), 200, "{customer:?}");
        let second = ask(customer).await;
        assert_eq!(told(&second), (429, "RATE_LIMITED", "RATE_LIMITED"), "{customer:?}");
        let who = customer.map_or("(-)".to_owned(), |customer| format!("({customer})"));
        assert!(message(&second).contains(&format!("rate `once {who}`")), "{}", message(&second));
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observing_everything_refuses_nothing_and_says_what_would_have_been() {
    let more = format!("mode: observe\n{RULES}");
    let house = House::with(StandIn::default(), &more).await;
    let cases = [
        (house.chat(&of_model("denied")).await, "POLICY_DENY_MODEL"),
        (house.chat(&of_model("unpriced")).await, "x_unpriced_model"),
        (house.chat_for("europe", BODY).await, "POLICY_DENY_REGION"),
        (house.chat_for("cards", CARD).await, "POLICY_DENY_CONTENT"),
        (house.chat_for("nothing", BODY).await, "BUDGET_EXCEEDED"),
        (house.chat_for("little", BODY).await, "BUDGET_EXCEEDED"),
        (house.chat_for("capped", LONG).await, "BUDGET_EXCEEDED"),
    ];
    for (answer, code) in &cases {
        assert_eq!(told(answer), (200, "WARNING", *code), "{}", message(answer));
    }
    let directory = house.close().await;
    let (judgement, standing) = judged(&[directory]);
    assert_eq!(standing.level, genops_conformance::level::Level::Full, "{:#?}", judgement.findings);
}
