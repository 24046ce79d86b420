//! The gateway from outside: a real upstream over HTTP, a ledger on the disk, callers that behave badly.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod api;
mod archived;
mod attempts;
mod bodies;
mod certified;
mod corrected;
mod described;
mod examples;
mod house;
mod necessity;
mod operated;
mod priced;
mod rates;
mod reload;
mod room;
mod rules;
mod status;
mod streams;
mod traced;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genops_gateway::stand_in::StandIn;
use house::{ADMINISTRATOR_KEY, House, KEY, OPEN_KEY, UPSTREAM_SECRET, nobody};
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

const BODY: &str = r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}"#;

/// 500 calls, 64 at a time; the number of answers by status and code.
async fn five_hundred_calls(house: House, body: &'static str) -> (House, BTreeMap<(u16, String), usize>) {
    let house = Arc::new(house);
    let mut answers = BTreeMap::new();
    let mut calls = JoinSet::new();
    for call in 0..500 + 64 {
        if call < 500 {
            let house = Arc::clone(&house);
            calls.spawn(async move {
                let answer = house.chat(body).await;
                match answer.status {
                    StatusCode::OK => (200, String::new()),
                    _ => (answer.error().0, answer.error().1),
                }
            });
        }
        if call >= 64 {
            *answers.entry(calls.join_next().await.unwrap().unwrap()).or_default() += 1;
        }
    }
    (Arc::into_inner(house).unwrap(), answers)
}

/// A stand-in that uses exactly what the call reserves.
fn uses_its_bound() -> StandIn {
    StandIn {
        delay: Duration::from_millis(200),
        prompt_tokens: Some(BODY.len() as u64),
        completion_tokens: 20,
        ..StandIn::default()
    }
}

/// Budgets that afford exactly fifty calls of `BODY`: (tokens in + 2 * tokens out) / 1,000,000 dollars.
fn fifty_calls(count: usize) -> String {
    let atoms = 50 * (BODY.len() + 2 * 20);
    let usd = format!("0.{atoms:06}");
    let tokens = 50 * (BODY.len() + 20);
    let budgets = [
        format!("  - {{name: team-day, for: {{team: search}}, unit: USD, limit: {usd}, period: day}}\n"),
        format!("  - {{name: all-ever, unit: USD, limit: {usd}}}\n"),
        format!(
            "  - {{name: tokens-month, for: {{project: ranking}}, unit: tokens, limit: {tokens}, period: month}}\n"
        ),
        format!(
            "  - {{name: env-month, for: {{environment: [staging, dev]}}, unit: USD, limit: {usd}, period: month}}\n"
        ),
    ];
    format!("budgets:\n{}", budgets.iter().take(count).map(String::as_str).collect::<String>())
}

async fn exactly_fifty_run(budgets: usize) {
    let house = House::with(uses_its_bound(), &fifty_calls(budgets)).await;
    let (house, answers) = five_hundred_calls(house, BODY).await;
    assert_eq!(answers.get(&(200, String::new())), Some(&50), "{answers:?}");
    let refused = answers.get(&(429, "BUDGET_EXCEEDED".to_owned()));
    assert_eq!(refused, Some(&450), "{answers:?}");
    assert_eq!(house.reached(), 50);
    for budget in house.budgets().await.iter().take(budgets) {
        assert_eq!(budget.allocated.as_ref(), Some(&budget.used), "{budget:?}");
        assert_eq!(
            (budget.outstanding.as_str(), budget.remaining.as_deref()),
            ("0", Some("0")),
            "{budget:?}"
        );
    }
    necessity::check(&house.close().await.path().join("genops.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_for_fifty_calls_lets_exactly_fifty_of_five_hundred_reach_the_upstream() {
    exactly_fifty_run(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_budgets_at_once_let_exactly_fifty_of_five_hundred_reach_the_upstream() {
    exactly_fifty_run(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_calls_overspend_no_more_than_others() {
    const STREAMED: &str = r#"{"model":"small","max_tokens":20,"messages":[{"content":"hi"}],"stream":true}"#;
    assert_eq!(STREAMED.len(), BODY.len(), "so that the budgets afford as many of these");
    let house = House::with(uses_its_bound(), &fifty_calls(4)).await;
    let (house, answers) = five_hundred_calls(house, STREAMED).await;
    assert_eq!(answers.get(&(200, String::new())), Some(&50), "{answers:?}");
    assert_eq!(answers.get(&(429, "BUDGET_EXCEEDED".to_owned())), Some(&450), "{answers:?}");
    assert_eq!(house.reached(), 50);
    necessity::check(&house.close().await.path().join("genops.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_random_actuals_every_admission_ran_and_every_refusal_was_necessary() {
    let stand_in = StandIn { varies: true, delay: Duration::from_millis(5), ..uses_its_bound() };
    let house = House::with(stand_in, &fifty_calls(4)).await;
    let (house, answers) = five_hundred_calls(house, BODY).await;
    let admitted = answers.get(&(200, String::new())).copied().unwrap();
    assert!((50..500).contains(&admitted), "{answers:?}");
    assert_eq!(house.reached(), admitted as u64);
    let seen = necessity::check(&house.close().await.path().join("genops.db"));
    assert_eq!((seen.admitted, seen.refused), (admitted, 500 - admitted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_governed_answer_is_the_providers_answer_with_headers_about_its_awu() {
    let house = House::with(StandIn::default(), "").await;
    let answer = house.chat(BODY).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json().pointer("/usage/total_tokens").unwrap(), 32);
    assert_eq!(answer.header("x-genops-result"), "ALLOWED");
    assert_eq!(answer.header("x-genops-unit"), "USD");
    assert_eq!(answer.header("x-genops-reserved"), format!("0.000{}", BODY.len() + 40));
    let awu = house.ended(&answer).await;
    assert_eq!((awu.state.as_str(), awu.actual.as_deref()), ("SETTLED", Some("0.000052")));
    assert_eq!(awu.tokens.map(|tokens| (tokens.input, tokens.output)), Some((12, 20)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_answered_with_the_field_and_creates_no_awu() {
    let house = House::with(StandIn::default(), "").await;
    let bearer = format!("Bearer {KEY}");
    let open = format!("Bearer {OPEN_KEY}");
    let huge = format!(r#"{{"model":"small","messages":["{}"]}}"#, "x".repeat(5_000));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], (u16, &'a str, &'a str));
    let cases: [Case<'_>; 13] = [
        ("{", &[("authorization", &bearer)], (400, "", "")),
        ("\u{0}", &[("authorization", &bearer)], (400, "", "")),
        ("{}", &[("authorization", &bearer)], (400, "", "model")),
        (r#"{"model":"small"}"#, &[("authorization", &bearer)], (400, "", "messages")),
        (
            r#"{"model":"small","messages":[],"max_tokens":-1}"#,
            &[("authorization", &bearer)],
            (400, "", "max_tokens"),
        ),
        (r#"{"model":"small","messages":[],"n":1e9}"#, &[("authorization", &bearer)], (400, "", "n")),
        (
            r#"{"model":"small","messages":[],"stream":"yes"}"#,
            &[("authorization", &bearer)],
            (400, "", "stream"),
        ),
        (
            r#"{"model":"other","messages":[]}"#,
            &[("authorization", &bearer)],
            (404, "model_not_found", "model"),
        ),
        (&huge, &[("authorization", &bearer)], (413, "", "")),
        (BODY, &[], (401, "invalid_api_key", "")),
        (BODY, &[("authorization", "Bearer wrong")], (401, "invalid_api_key", "")),
        (BODY, &[("authorization", &open)], (400, "attribution", "x-genops-project")),
        (
            BODY,
            &[("authorization", &bearer), ("x-genops-team", "other")],
            (400, "attribution", "x-genops-team"),
        ),
    ];
    for (body, headers, (status, code, field)) in cases {
        let answer = house.post(Bytes::copy_from_slice(body.as_bytes()), headers).await;
        assert_eq!(answer.error(), (status, code.to_owned(), field.to_owned()), "{body}");
        assert!(!answer.json().pointer("/error/message").unwrap().as_str().unwrap().is_empty(), "{body}");
        assert_eq!(answer.header("x-genops-awu"), "", "{body}");
    }
    assert_eq!(house.governor.awus(&genops::ledger::views::Filter::default(), 10).unwrap().awus, []);
    assert_eq!(house.reached(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_carry_their_reason_code_and_are_remembered() {
    let house =
        House::with(StandIn::default(), "budgets:\n  - {name: tiny, unit: USD, limit: 0.0001}\n").await;
    let call =
        |model: &str| format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
    for (model, status, code) in [
        ("denied", 403, "POLICY_DENY_MODEL"),
        ("unpriced", 403, "x_unpriced_model"),
        ("small", 429, "BUDGET_RESERVATION_FAILED"),
    ] {
        let answer = house.chat(&call(model)).await;
        assert_eq!(answer.error(), (status, code.to_owned(), String::new()), "{model}");
        assert_eq!(answer.header("x-genops-result"), "BLOCKED");
        assert_eq!(answer.header("x-genops-reason-code"), code);
        assert_eq!(answer.header("x-should-retry"), "false");
        let awu = house.ended(&answer).await;
        assert_eq!((awu.state.as_str(), awu.reason_code.as_deref()), ("REFUSED", Some(code)));
    }
    let unbounded = r#"{"model":"small","max_tokens":9,"messages":[],"prediction":{"type":"content"}}"#;
    let answer = house.chat(unbounded).await;
    assert_eq!(answer.error(), (403, "x_unbounded_request".to_owned(), String::new()));
    assert!(answer.json().pointer("/error/message").unwrap().as_str().unwrap().contains("`prediction`"));
    assert_eq!(house.reached(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_provider_does_the_call_is_settled() {
    let says = |status: u16, says| StandIn {
        status: StatusCode::from_u16(status).unwrap(),
        says: Some(says),
        ..StandIn::default()
    };
    let slow = StandIn { delay: Duration::from_secs(30), ..StandIn::default() };
    let reserved = format!("0.000{}", BODY.len() + 40);
    // The model, the provider, the status for the caller, the actual, whether it is incomplete, how it ended.
    let cases = [
        ("small", says(401, "{}"), 502, "0", false, Some("provider_error")),
        ("small", says(429, "slow down"), 429, "0", false, Some("provider_error")),
        ("small", says(500, "oops"), 500, "0", false, Some("provider_error")),
        ("small", says(504, ""), 504, reserved.as_str(), true, Some("provider_error")),
        ("small", says(200, "garbage"), 200, reserved.as_str(), true, None),
        ("small", says(200, "{}"), 200, reserved.as_str(), true, None),
        ("hasty", slow, 504, reserved.as_str(), true, Some("provider_error")),
    ];
    for (model, stand_in, status, actual, incomplete, end) in cases {
        let what = format!("{stand_in:?}");
        let house = House::with(stand_in, "").await;
        let answer = house.chat(&BODY.replace("small", model)).await;
        assert_eq!(answer.status.as_u16(), status, "{what}");
        let awu = house.ended(&answer).await;
        assert_eq!(awu.actual.as_deref(), Some(actual), "{what}");
        assert_eq!((awu.incomplete, awu.end.as_deref()), (incomplete, end), "{what}");
        assert_eq!(house.budgets().await.first().unwrap().outstanding, "0", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_costs_nothing() {
    let house = House::at(nobody().await, Arc::default(), "").await;
    let answer = house.chat(BODY).await;
    assert_eq!(answer.error(), (502, "PROVIDER_ERROR_UPSTREAM".to_owned(), String::new()));
    let awu = house.ended(&answer).await;
    assert_eq!((awu.actual.as_deref(), awu.end.as_deref()), (Some("0"), Some("unreachable")));
    assert!(!awu.incomplete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_is_charged_what_the_provider_reports() {
    let stand_in = StandIn { delay: Duration::from_millis(200), ..StandIn::default() };
    let house = House::with(stand_in, "").await;
    house.hang_up_while_it_runs(BODY).await;
    let mut durable = house.governor.durable();
    let settled = loop {
        let page = house.governor.awus(&genops::ledger::views::Filter::default(), 1).unwrap();
        match page.awus.first() {
            Some(awu) if awu.ended_at.is_some() => break awu.clone(),
            _ => durable.changed().await.unwrap(),
        }
    };
    assert_eq!((settled.actual.as_deref(), settled.incomplete), (Some("0.000052"), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_read_api_answers_those_who_may_read() {
    let house = House::with(StandIn::default(), "budgets:\n  - {name: all, unit: USD, limit: 1}\n").await;
    let answer = house.chat(BODY).await;
    let awu = answer.header("x-genops-awu");
    house.ended(&answer).await;
    let one = house.get(&format!("/genops/v1/awus/{awu}"), KEY).await.json();
    assert_eq!(one.pointer("/state").unwrap(), "SETTLED");
    let page = house.get("/genops/v1/awus?team=search&limit=1", KEY).await.json();
    assert_eq!(page.pointer("/awus/0/id").unwrap(), awu);
    assert!(page.pointer("/as_of").unwrap().as_u64().unwrap() >= 2);
    assert_eq!(house.get("/genops/v1/awus?team=other", KEY).await.json().pointer("/awus/0"), None);
    let budgets = house.get("/genops/v1/budgets", KEY).await.json();
    assert_eq!(budgets.pointer("/budgets/0/used").unwrap(), "0.000052");
    let models = house.get("/v1/models", OPEN_KEY).await.json();
    let listed = models.pointer("/data").and_then(Value::as_array).unwrap();
    assert!(listed.iter().any(|model| model["id"] == "small"), "{models:#}");

    assert_eq!(house.get("/genops/v1/budgets", OPEN_KEY).await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.get("/genops/v1/awus", "wrong").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(house.get("/genops/v1/awus?tem=x", KEY).await.status, StatusCode::BAD_REQUEST);
    for of in ["", "/explanation"] {
        let asked = format!("/genops/v1/awus/zz{of}");
        assert_eq!(house.get(&asked, KEY).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(house.get(&asked, OPEN_KEY).await.status, StatusCode::FORBIDDEN);
    }
    let explained = house.get(&format!("/genops/v1/awus/{awu}/explanation"), KEY).await.json();
    assert_eq!(explained.pointer("/awu").unwrap(), &one);
    let nobody = format!("/genops/v1/awus/{}-{}", "a".repeat(32), "b".repeat(16));
    assert_eq!(house.get(&nobody, KEY).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.get("/nowhere", KEY).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.get("/readyz", "").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_telemetry_stands_is_told_and_sending_again_is_done_for_those_who_administer() {
    let house = House::with(StandIn::default(), "").await;
    house.ended(&house.chat(BODY).await).await;
    let status = house.get("/genops/v1/telemetry", KEY).await.json();
    let names: Vec<_> = status["followers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(names.iter().all(|name| name.as_str().unwrap().starts_with("directory ")), "{status}");
    assert_eq!((names.len(), &status["followers"][0]["configured"]), (2, &true.into()), "{status}");

    let resend = "/genops/v1/telemetry/resend";
    let known = serde_json::json!({ "follower": names[0] }).to_string();
    for body in [r#"{"all": true}"#, &known] {
        let marked = house.tell(resend, ADMINISTRATOR_KEY, body).await.json();
        assert_eq!(marked, serde_json::json!({ "dead_letters": 0, "records": 0 }), "{body}");
    }
    let unknown = house.tell(resend, ADMINISTRATOR_KEY, r#"{"follower": "nobody"}"#).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let error = &unknown.json()["error"];
    let message = error["message"].as_str().unwrap();
    assert_eq!(error["param"], "follower");
    assert!(message.starts_with("there is no follower `nobody`; there is: "), "{message}");
    assert!(names.iter().all(|name| message.contains(name.as_str().unwrap())), "{message}");
    for (key, body, status) in [
        (ADMINISTRATOR_KEY, "", 400),
        (ADMINISTRATOR_KEY, "{}", 400),
        (ADMINISTRATOR_KEY, r#"{"all": true, "follower": "one"}"#, 400),
        (ADMINISTRATOR_KEY, r#"{"al": true}"#, 400),
        (KEY, r#"{"all": true}"#, 403),
        (OPEN_KEY, r#"{"all": true}"#, 403),
        ("wrong", r#"{"all": true}"#, 401),
    ] {
        assert_eq!(house.tell(resend, key, body).await.status.as_u16(), status, "{body}");
    }
    assert_eq!(house.get("/genops/v1/telemetry", OPEN_KEY).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_prompts_and_completions_are_nowhere() {
    let house = House::with(StandIn::default(), "").await;
    let prompt = "a-prompt-that-nobody-may-keep";
    let body = format!(r#"{{"model":"small","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    house.ended(&house.chat(&body).await).await;
    let directory = house.close().await;
    let mut files = Vec::new();
    collect(directory.path(), &mut files);
    assert!(files.iter().any(|(name, _)| name.ends_with("traces.jsonl")), "telemetry was written");
    for (name, content) in files {
        for hidden in [prompt, KEY, UPSTREAM_SECRET, "I am a stand-in"] {
            let found = content.windows(hidden.len()).any(|window| window == hidden.as_bytes());
            assert!(!found, "{hidden} stands in {name}");
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}
