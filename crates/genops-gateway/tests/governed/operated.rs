//! Work that is no call through the gateway: what its holder may say of it, and what operators do.

use std::time::{Duration, SystemTime};

use genops_gateway::stand_in::StandIn;
use http::StatusCode;
use serde_json::{Value, json};

use crate::BODY;
use crate::house::{ADMINISTRATOR_KEY, House, KEY, OPERATOR_KEY};

const COMPUTE: &str = "
budgets:
  - {name: compute, for: {team: research}, unit: compute_seconds, limit: 4000, each: key}
";

fn job(seconds: &Value, more: &Value) -> String {
    let mut body = json!({
        "operation": { "name": "tune", "type": "training" },
        "project": "tuning",
        "bound": { "quantities": { "compute_seconds": seconds } },
        "accounting_unit": "compute_seconds",
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    body.to_string()
}

async fn house() -> House {
    House::with(StandIn::default(), COMPUTE).await
}

/// Proposes a job of 1000 s; gives its AWU.
async fn proposed(house: &House, more: &Value) -> String {
    let answer = house.act("/awus", &[], job(&json!("1000"), more)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    answer.json()["awu"]["id"].as_str().unwrap().to_owned()
}

/// Says something of an AWU that is taken.
async fn say(house: &House, awu: &str, step: &str, body: &str) -> Value {
    let answer = house.act(&format!("/awus/{awu}/{step}"), &[], body.to_owned()).await;
    assert_eq!(answer.status, StatusCode::OK, "{step}: {}", answer.json());
    answer.json()
}

/// Says something of an AWU that is a conflict; gives the code.
async fn conflict(house: &House, awu: &str, step: &str, body: &str) -> String {
    let answer = house.act(&format!("/awus/{awu}/{step}"), &[], body.to_owned()).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{step}: {}", answer.json());
    answer.error().1
}

async fn used(house: &House) -> (String, String) {
    let budgets = house.budgets().await;
    let budget = budgets.iter().find(|budget| budget.each == [Some("trainer".to_owned())]).unwrap();
    (budget.used.clone(), budget.outstanding.clone())
}

/// Waits until an AWU is in this state.
async fn until(house: &House, awu: &str, state: &str) {
    let mut durable = house.governor.durable();
    let id = awu.parse().unwrap();
    let is_so = async {
        while house.governor.awu(id).unwrap().unwrap().state != state {
            durable.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_so).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_proposed_started_extended_settled_and_evaluated_and_each_step_may_be_said_twice() {
    let house = house().await;
    let awu = proposed(&house, &json!({ "customer_id": "acme" })).await;
    assert_eq!(used(&house).await, ("0".to_owned(), "1000".to_owned()));
    assert_eq!(conflict(&house, &awu, "settle", r#"{"end":"completed"}"#).await, "awu_state");
    for repeated in [false, true] {
        let told = say(&house, &awu, "start", "").await;
        assert_eq!((&told["repeated"], &told["awu"]["state"]), (&json!(repeated), &json!("EXECUTING")));
    }
    let deadline = say(&house, &awu, "extend", r#"{"within_seconds":604800}"#).await;
    assert!(deadline["deadline"].as_str().unwrap() > "2026", "{deadline}");
    assert_eq!(conflict(&house, &awu, "release", "{}").await, "awu_state");
    // A number and decimal text are the same amount, and nobody says how long it took.
    for (repeated, amount) in
        [(false, r#""812.250000000001""#), (true, "812.250000000001"), (true, "8122.50000000001e-1")]
    {
        let usage =
            format!(r#"{{"end":"completed","usage":{{"quantities":{{"compute_seconds":{amount}}}}}}}"#);
        let told = say(&house, &awu, "settle", &usage).await;
        assert_eq!(
            (&told["repeated"], &told["awu"]["actual"]),
            (&json!(repeated), &json!("812.250000000001"))
        );
        assert_eq!(told["awu"].get("incomplete"), None);
    }
    assert_eq!(conflict(&house, &awu, "settle", r#"{"end":"completed"}"#).await, "awu_state");
    assert_eq!(conflict(&house, &awu, "start", "").await, "awu_state");
    assert_eq!(conflict(&house, &awu, "extend", r#"{"within_seconds":60}"#).await, "awu_state");
    assert_eq!(used(&house).await, ("812.250000000001".to_owned(), "0".to_owned()));
    let evaluation = r#"{"metric":"loss","score":-0.25,"threshold":"0.3","passed":true}"#;
    let evaluated = say(&house, &awu, "evaluations", evaluation).await["sequence"].as_u64().unwrap();
    let cost = r#"{"total":"3.10","currency":"EUR","provider":"cluster"}"#;
    let reckoned = say(&house, &awu, "costs", cost).await["sequence"].as_u64().unwrap();
    assert_eq!(reckoned, evaluated + 1);
    assert_eq!(used(&house).await.0, "812.250000000001", "what is reckoned changes no balance");
    let told = house.get(&format!("/genops/v1/awus/{awu}"), KEY).await.json();
    assert_eq!((&told["key"], &told["labels"]["customer_id"]), (&json!("trainer"), &json!("acme")));

    let other = proposed(&house, &json!({ "attempt_of": awu })).await;
    for repeated in [false, true] {
        assert_eq!(say(&house, &other, "release", "").await["repeated"], repeated);
    }
    let never = proposed(&house, &json!({ "starts": true })).await;
    let told = say(&house, &never, "settle", r#"{"end":"never_sent"}"#).await;
    assert_eq!((&told["awu"]["actual"], told["awu"].get("incomplete")), (&json!("0"), None));
    let unknown = proposed(&house, &json!({ "starts": true })).await;
    let told = say(&house, &unknown, "settle", r#"{"end":"failed"}"#).await;
    assert_eq!((&told["awu"]["actual"], &told["awu"]["incomplete"]), (&json!("1000"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_answered_the_same_whether_admitted_or_refused_and_another_request_is_a_conflict() {
    let house = house().await;
    let named = |key: &'static str, body: String| house.act_named(key, body);
    let first = named("one", job(&json!("3000"), &json!({}))).await;
    assert_eq!((first.status, &first.json()["repeated"]), (StatusCode::CREATED, &json!(false)));
    // White space, the order of fields and how a number is written are no other request.
    let spaced = r#" { "accounting_unit": "compute_seconds", "project": "tuning",
        "bound": { "quantities": { "compute_seconds": 3.0e3 } }, "within_seconds": 600,
        "operation": { "type": "training", "name": "tune" } } "#;
    let again = named("one", spaced.to_owned()).await;
    assert_eq!((again.status, &again.json()["repeated"]), (StatusCode::OK, &json!(true)));
    assert_eq!(again.json()["awu"], first.json()["awu"]);
    let other = named("one", job(&json!("3001"), &json!({}))).await;
    assert_eq!(other.error(), (409, "idempotency_key_reused".to_owned(), String::new()));

    let refused = named("two", job(&json!("3000"), &json!({}))).await;
    let repeated = named("two", job(&json!("3000"), &json!({}))).await;
    for refused in [&refused, &repeated] {
        assert_eq!(
            refused.error(),
            (429, "BUDGET_RESERVATION_FAILED".to_owned(), String::new()),
            "{}",
            refused.json()
        );
        // What is missing is reserved by running work; but this key is answered so from now on.
        assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), ("false", "1"));
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.ends_with("ask again with another idempotency key: this one is answered so from now on"),
            "{message}"
        );
        assert_eq!(refused.header("x-genops-reason-code"), "BUDGET_RESERVATION_FAILED");
        assert_eq!(refused.json()["awu"]["state"], "REFUSED");
    }
    assert_eq!(refused.json(), repeated.json());
    // A UUID of version 7 says when it was made: this one in 2020.
    let old = house.act_named("016f5e66-e800-7000-8000-000000000000", job(&json!("1"), &json!({}))).await;
    assert_eq!(old.error().1, "idempotency_key_too_old");
    let same_under_another_header = [("idempotency-key", "one"), ("x-genops-feature", "nightly")];
    let other = house.act("/awus", &same_under_another_header, job(&json!("3000"), &json!({}))).await;
    assert_eq!(other.error().1, "idempotency_key_reused");
    assert_eq!(used(&house).await, ("0".to_owned(), "3000".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_awu_of_another_key_is_not_there_and_a_call_through_the_gateway_is_not_ended_by_others() {
    let house = house().await;
    let of_another = house.ended(&house.chat(BODY).await).await.id;
    let bearer = format!("Bearer {OPERATOR_KEY}");
    let headers = [("authorization", bearer.as_str()), ("x-genops-project", "tuning")];
    let call = house.ended(&house.post(BODY.into(), &headers).await).await.id;
    let steps = [
        ("start", "{}"),
        ("extend", r#"{"within_seconds":60}"#),
        ("settle", r#"{"end":"completed","usage":{}}"#),
        ("release", "{}"),
        ("evaluations", r#"{"metric":"m","score":1}"#),
        ("costs", r#"{"total":0,"currency":"USD"}"#),
    ];
    let nobody = format!("{}-{}", "a".repeat(32), "b".repeat(16));
    for (step, body) in steps {
        for awu in [&of_another, &nobody] {
            let answer = house.act(&format!("/awus/{awu}/{step}"), &[], body).await;
            assert_eq!(answer.error(), (404, String::new(), "id".to_owned()), "{step}");
        }
        let answer = house.act(&format!("/awus/{call}/{step}"), &[], body).await;
        if ["evaluations", "costs"].contains(&step) {
            assert_eq!(answer.status, StatusCode::OK, "{step}");
        } else {
            assert_eq!(answer.error().1, "held_by_the_gateway", "{step}");
        }
    }
    let of_another = house.act("/awus", &[], job(&json!(1), &json!({ "attempt_of": of_another }))).await;
    assert_eq!(of_another.error(), (404, String::new(), "attempt_of".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_told_with_its_place_and_changes_nothing() {
    let house = house().await;
    let with = |field: &str, value: Value| job(&json!("1"), &json!({ field: value }));
    let bound = |text: &str| job(&json!("1"), &json!({})).replace(r#""1""#, text);
    let many: String = (0..17).map(|unit| format!(r#","u{unit}":1"#)).collect();
    let cases = [
        ("{".to_owned(), ""),
        ("[]".to_owned(), ""),
        (String::new(), "operation"),
        ("{} {}".to_owned(), "operation"),
        (job(&json!("1"), &json!({})) + "x", ""),
        (with("tema", json!("x")), "tema"),
        (with("operation", json!({ "name": "x" })), "operation.type"),
        (with("operation", json!({ "type": "training" })), "operation.name"),
        (with("operation", json!({ "name": "", "type": "training" })), "operation.name"),
        (with("operation", json!({ "name": "x", "type": "a\nb" })), "operation.type"),
        (with("operation", json!({ "name": "unknown", "type": "training" })), "operation.name"),
        (with("project", json!("")), "project"),
        (job(&json!("1"), &json!({})).replace(r#","project":"tuning""#, ""), "project"),
        (with("team", json!("other")), "team"),
        (with("customer_id", json!("x".repeat(257))), "customer_id"),
        (with("model", json!("x".repeat(257))), "model"),
        (with("provider", json!(7)), "provider"),
        (with("accounting_unit", json!("Compute Seconds")), "accounting_unit"),
        (with("within_seconds", json!(0)), "within_seconds"),
        (with("within_seconds", json!(604_801)), "within_seconds"),
        (with("within_seconds", json!(1.5)), "within_seconds"),
        (with("attempt_of", json!("0-0")), "attempt_of"),
        (with("bound", json!({ "input_tokens": -1 })), "bound.input_tokens"),
        (with("bound", json!({ "output_tokens": 1e30 })), "bound.output_tokens"),
        (with("bound", json!({ "tokens": 1 })), "bound.tokens"),
        (with("bound", json!({ "quantities": { "tokens": "1" } })), "bound.quantities.tokens"),
        (with("bound", json!({ "quantities": { "requests": "1" } })), "bound.quantities.requests"),
        (with("bound", json!({ "quantities": { "EUR": "1" } })), "bound.quantities.EUR"),
        (with("bound", json!({ "quantities": ["1"] })), "bound.quantities"),
        (bound("-1"), "bound.quantities"),
        (bound(r#""-0.5""#), "bound.quantities"),
        (bound("1e400"), "bound.quantities.compute_seconds"),
        (bound("1e-400"), "bound.quantities.compute_seconds"),
        (bound(r#""1e3""#), "bound.quantities.compute_seconds"),
        (bound("true"), "bound.quantities.compute_seconds"),
        (bound(&"9".repeat(40)), "bound.quantities.compute_seconds"),
        (bound(r#"1,"compute_seconds":2"#), "bound.quantities"),
        (bound(&format!("1{many}")), "bound.quantities"),
    ];
    let before = *house.governor.durable().borrow();
    let mut misplaced = Vec::new();
    for (body, field) in cases {
        let answer = house.act("/awus", &[], body.clone()).await;
        let (status, code, told) = answer.error();
        assert!(status == 400 && ["", "attribution"].contains(&code.as_str()), "{body}: {}", answer.json());
        misplaced.extend((told != field).then(|| format!("{body}: {told}, not {field}")));
    }
    assert!(misplaced.is_empty(), "{misplaced:#?}");
    let without_project = job(&json!("1"), &json!({})).replace(r#","project":"tuning""#, "");
    let told = house.act("/awus", &[], without_project).await.json()["error"]["message"].to_string();
    assert!(told.contains("in the body, as `project`") && told.contains("`x-genops-project`"), "{told}");
    for key in ["x".repeat(300), " ".to_owned(), String::new()] {
        let answer = house.act("/awus", &[("idempotency-key", &key)], job(&json!(1), &json!({}))).await;
        assert_eq!(answer.error(), (400, String::new(), "idempotency-key".to_owned()), "{key:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(house.act("/awus", &twice, job(&json!(1), &json!({}))).await.error().2, "idempotency-key");
    let contradicted = [("x-genops-project", "other")];
    assert_eq!(
        house.act("/awus", &contradicted, job(&json!(1), &json!({}))).await.error().2,
        "x-genops-project"
    );
    assert_eq!(house.act("/awus", &[], "x".repeat(1 << 20)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let zipped = house.act("/awus", &[("content-encoding", "gzip")], "x").await;
    assert_eq!(zipped.error().2, "content-encoding");
    assert_eq!(*house.governor.durable().borrow(), before, "nothing is in the journal");

    let awu = proposed(&house, &json!({ "starts": true })).await;
    let cases = [
        ("settle", r#"{}"#, "end"),
        ("settle", r#"{"end":"done"}"#, "end"),
        ("settle", r#"{"end":"never_sent","usage":{}}"#, "usage"),
        (
            "settle",
            r#"{"end":"completed","usage":{"input_tokens":1,"cached_input_tokens":2}}"#,
            "usage.input_tokens",
        ),
        ("settle", r#"{"end":"completed","usage":{"reasoning_tokens":1}}"#, "usage.output_tokens"),
        ("settle", r#"{"end":"completed","usage":{"quantities":{"tokens":1}}}"#, "usage.quantities.tokens"),
        (
            "settle",
            r#"{"end":"completed","usage":{"quantities":{"compute_seconds":-1}}}"#,
            "usage.quantities",
        ),
        ("settle", r#"{"end":"completed","latency_ms":-1}"#, "latency_ms"),
        ("start", r#"{"now":true}"#, "now"),
        ("extend", "", "within_seconds"),
        ("evaluations", r#"{"metric":"m","score":"much"}"#, "score"),
        ("evaluations", r#"{"metric":"m"}"#, "score"),
        ("costs", r#"{"total":1,"currency":"usd"}"#, "currency"),
        ("costs", r#"{"total":-1,"currency":"USD"}"#, "total"),
    ];
    let mut misplaced = Vec::new();
    for (step, body, field) in cases {
        let answer = house.act(&format!("/awus/{awu}/{step}"), &[], body).await;
        let told = answer.error();
        let is_right = told == (400, String::new(), field.to_owned());
        misplaced.extend((!is_right).then(|| format!("{step} {body}: {told:?}, not {field}")));
    }
    assert!(misplaced.is_empty(), "{misplaced:#?}");
    assert_eq!(used(&house).await, ("0".to_owned(), "1000".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_asks_a_model_is_priced_by_the_configuration_and_governed_by_its_rules() {
    let more = "
budgets:
  - {name: all, unit: USD, limit: 1}
condition_headers: [x-shift]
conditions:
  - {name: no-nights, for: {feature: shifts}, when: 'headers[\"x-shift\"] == \"night\"', code: x_no_nights}
content_rules:
  - {name: no-cards, detect: [payment_card]}
";
    let house = House::with(StandIn::default(), more).await;
    let body = |model: &str, more: &str| {
        format!(
            r#"{{"operation":{{"name":"step","type":"agent"}},"project":"agents","model":"{model}","starts":true,"bound":{{"input_tokens":1000,"output_tokens":500}}{more}}}"#
        )
    };
    let answer = house.act("/awus", &[], body("small", "")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    let awu = answer.json()["awu"].clone();
    assert_eq!((&awu["provider"], &awu["region"]), (&json!("upstream"), &json!("us-east-1")));
    assert_eq!((&awu["reserved"], &awu["unit"]), (&json!("0.002"), &json!("USD")));
    let usage = r#"{"end":"completed","usage":{"input_tokens":100,"output_tokens":50},"latency_ms":1200,"model":"small-2026"}"#;
    let told = say(&house, awu["id"].as_str().unwrap(), "settle", usage).await;
    assert_eq!((&told["awu"]["actual"], &told["awu"]["latency_ms"]), (&json!("0.0002"), &json!(1200)));

    for (model, more, code) in [
        ("denied", "", "POLICY_DENY_MODEL"),
        // The price of a model at one provider is none at another.
        ("small", r#","provider":"elsewhere""#, "x_unpriced_model"),
    ] {
        let answer = house.act("/awus", &[], body(model, more)).await;
        assert_eq!(answer.error(), (403, code.to_owned(), String::new()), "{}", answer.json());
        assert_eq!(answer.json()["awu"]["state"], "REFUSED");
    }
    for (shift, status) in [("night", 403), ("day", 201)] {
        let headers = [("x-shift", shift), ("x-genops-feature", "shifts")];
        let answer = house.act("/awus", &headers, body("small", "")).await;
        assert_eq!(answer.status.as_u16(), status, "{shift}: {}", answer.json());
    }
    // Where tokens were bound and nobody says how many were used, the reservation is charged.
    let answer = house.act("/awus", &[], body("small", "")).await.json();
    let told =
        say(&house, answer["awu"]["id"].as_str().unwrap(), "settle", r#"{"end":"completed","usage":{}}"#)
            .await;
    assert_eq!((&told["awu"]["actual"], &told["awu"]["incomplete"]), (&json!("0.002"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_resolve_correct_and_grant() {
    let house = house().await;
    let awu = proposed(&house, &json!({ "starts": true, "within_seconds": 1 })).await;
    let administer = async |path: &str, body: &str| {
        house.tell(&format!("/genops/v1{path}"), ADMINISTRATOR_KEY, body).await
    };
    let resolution = r#"{"end":"completed","usage":{"quantities":{"compute_seconds":"700"}},"reason":"the cluster's log"}"#;
    let early = administer(&format!("/awus/{awu}/resolve"), resolution).await;
    assert_eq!(early.error(), (409, "awu_state".to_owned(), String::new()));
    until(&house, &awu, "IN_DOUBT").await;
    for repeated in [false, true] {
        let told = administer(&format!("/awus/{awu}/resolve"), resolution).await.json();
        assert_eq!(told["repeated"], repeated, "{told:#}");
        let resolved = &told["awu"];
        assert_eq!((&resolved["state"], &resolved["actual"]), (&json!("SETTLED"), &json!("700")));
        let [later] = resolved["later"].as_array().unwrap().as_slice() else { panic!("{resolved:#}") };
        assert_eq!([&later["author"], &later["end"]], ["administrator", "completed"]);
        assert_eq!([&later["before"], &later["actual"]], ["1000", "700"]);
    }
    for (said, instead) in [("700", "701"), ("the cluster's log", "another log"), ("completed", "failed")] {
        let other = administer(&format!("/awus/{awu}/resolve"), &resolution.replace(said, instead)).await;
        assert_eq!(other.error().1, "awu_state", "{instead}");
    }

    let correct = |charged: &str| format!(r#"{{"charged":{charged},"reason":"invoice 4711"}}"#);
    let path = format!("/awus/{awu}/corrections");
    for repeated in [false, true] {
        let told = administer(&path, &correct(r#"{"compute_seconds":"650.5"}"#)).await.json();
        assert_eq!((&told["repeated"], &told["awu"]["actual"]), (&json!(repeated), &json!("650.5")));
        let changed = json!([{
            "budget": "compute", "each": ["trainer"], "unit": "compute_seconds", "before": "700", "actual": "650.5",
        }]);
        assert_eq!(told["awu"]["later"][1]["cells"], changed);
        assert_eq!(told["awu"]["later"].as_array().unwrap().len(), 2, "one entry");
    }
    assert_eq!(used(&house).await.0, "650.5");
    for (charged, status, field) in
        [(r#"{}"#, 400, "charged"), (r#"{"compute_seconds":-1}"#, 400, "charged"), (r#"{"USD":1}"#, 409, "")]
    {
        let answer = administer(&path, &correct(charged)).await;
        assert_eq!((answer.error().0, answer.error().2), (status, field.to_owned()), "{charged}");
    }

    assert_eq!(house.act("/awus", &[], job(&json!(5000), &json!({}))).await.error().0, 429);
    let until = "2100-01-01T00:00:00Z";
    let grant = format!(
        r#"{{"budget":"compute","each":["trainer"],"amount":"2000","until":"{until}","reason":"a deadline"}}"#
    );
    let made = administer("/grants", &grant).await.json();
    let number = made["number"].clone();
    assert_eq!(made, json!({ "number": number, "cells": 1, "repeated": false }));
    let again = administer("/grants", &grant).await.json();
    assert_eq!(again, json!({ "number": number, "cells": 1, "repeated": true }));
    let listed = house.get("/genops/v1/grants", KEY).await.json();
    let expected = json!({
        "number": number, "budget": "compute", "each": ["trainer"], "unit": "compute_seconds", "amount": "2000",
        "until": "2100-01-01T00:00:00.000Z", "author": "administrator", "reason": "a deadline",
    });
    assert_eq!(listed["grants"], json!([expected]));
    assert_eq!(house.act("/awus", &[], job(&json!(5000), &json!({}))).await.status, StatusCode::CREATED);
    let reason = r#"{"reason":"it is over"}"#;
    let path = format!("/grants/{number}/revoke");
    let revoked = administer(&path, reason).await.json();
    assert_eq!(revoked["repeated"], false);
    assert_eq!(house.get("/genops/v1/grants", KEY).await.json()["grants"], json!([]));
    let again = administer(&path, reason).await.json();
    assert_eq!(again, json!({ "sequence": revoked["sequence"], "repeated": true }));
    let other = administer(&path, r#"{"reason":"another"}"#).await;
    assert_eq!(other.error(), (404, String::new(), "number".to_owned()));
    let never = administer("/grants/1/revoke", reason).await;
    assert_eq!(never.error(), (404, String::new(), "number".to_owned()));
    for (wrong, by, field) in [
        ("\"2000\"", "\"-1\"", ""),
        ("compute", "nobody", ""),
        (until, "2020-01-01T00:00:00Z", ""),
        (until, "tomorrow", "until"),
        ("a deadline", "", "reason"),
    ] {
        let answer = administer("/grants", &grant.replace(wrong, by)).await;
        assert_eq!(answer.error(), (400, String::new(), field.to_owned()), "{by}: {}", answer.json());
    }
    assert!(
        SystemTime::now() < SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800),
        "the grant holds"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_erased_and_told_by_a_pseudonym_from_then_on() {
    let more = "
budgets:
  - {name: compute, unit: compute_seconds, limit: 4000, each: customer_id}
  - {name: big, for: {customer_id: big}, unit: compute_seconds, limit: 4000}
";
    let house = House::with(StandIn::default(), more).await;
    let erase = async |body: &str| house.tell("/genops/v1/erasures", ADMINISTRATOR_KEY, body).await;
    let body = job(&json!("1"), &json!({ "customer_id": "acme", "session_id": "s-1" }));
    let first = house.act_named("one", body.clone()).await.json();
    let awu = first["awu"]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.act_named("one", body.clone()).await.json()["repeated"], true);
    // Whom it is about may as well be said in headers.
    let in_headers =
        [("idempotency-key", "one"), ("x-genops-customer-id", "acme"), ("x-genops-session-id", "s-1")];
    assert_eq!(house.act("/awus", &in_headers, job(&json!("1"), &json!({}))).await.json()["repeated"], true);
    let other = [("idempotency-key", "one"), ("x-genops-customer-id", "another")];
    let other = house.act("/awus", &other, job(&json!("1"), &json!({}))).await;
    assert_eq!(other.error().1, "idempotency_key_reused");

    let erased = erase(r#"{"customer_id":"acme","reason":"they asked"}"#).await;
    assert_eq!(erased.status, StatusCode::OK, "{}", erased.json());
    let (pseudonym, sequence) = (erased.json()["pseudonym"].clone(), erased.json()["sequence"].clone());
    let entry = house.get(&format!("/genops/v1/entries/{sequence}"), KEY).await.json();
    assert_eq!(entry["type"], "erased");
    let act = json!({ "author": "administrator", "reason": "they asked" });
    assert_eq!(entry["command"]["Erase"], json!({ "pseudonym": pseudonym, "act": act }));
    let told = say(&house, &awu, "release", "").await;
    let labels = json!({ "customer_id": pseudonym, "session_id": "s-1" });
    assert_eq!((&told["awu"]["labels"], &told["awu"]["cells"][0]["each"][0]), (&labels, &pseudonym));
    assert_eq!(house.act_named("one", body).await.error().1, "idempotency_key_reused");

    for (body, status, field) in [
        (r#"{"customer_id":"acme","reason":"r"}"#, 404, "customer_id"),
        (r#"{"session_id":"acme","reason":"r"}"#, 404, "session_id"),
        (r#"{"customer_id":"big","reason":"r"}"#, 409, ""),
        (r#"{"session_id":"s-1","reason":"s-1 asked for it"}"#, 400, "reason"),
        (r#"{"reason":"r"}"#, 400, ""),
        (r#"{"customer_id":"a","session_id":"b","reason":"r"}"#, 400, ""),
        (r#"{"customer_id":"a"}"#, 400, "reason"),
        (r#"{"team":"a","reason":"r"}"#, 400, "team"),
    ] {
        let answer = erase(body).await;
        assert_eq!((answer.error().0, answer.error().2), (status, field.to_owned()), "{body}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(!message.contains("acme") && !message.contains("big"), "{message}");
    }
    // The name of the key would stay as well.
    let by_namesake = erase(r#"{"session_id":"administrator","reason":"r"}"#).await;
    assert_eq!(by_namesake.error(), (400, String::new(), "authorization".to_owned()));
    let message = by_namesake.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a key with another name") && !message.contains("administrator"), "{message}");
    let reader = house.tell("/genops/v1/erasures", KEY, r#"{"session_id":"s-1","reason":"r"}"#).await;
    assert_eq!(reader.error().0, 403);
}

/// A caller's own failure says nothing of a provider that others ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_failure_that_is_said_to_be_the_providers_counts_for_its_circuit() {
    let house = House::with(StandIn::default(), "").await;
    let body = r#"{"operation":{"name":"step","type":"agent"},"project":"agents","model":"fragile","starts":true,"bound":{"input_tokens":1000,"output_tokens":500}}"#;
    for (end, findings, next) in [
        ("failed", false, 201),
        ("failed", false, 201),
        ("failed", false, 201),
        ("provider_error", true, 201),
        ("provider_error", true, 503),
    ] {
        let answer = house.act("/awus", &[], body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        let awu = answer.json()["awu"]["id"].as_str().unwrap().to_owned();
        let settle = json!({ "end": end, "usage": { "input_tokens": 10, "output_tokens": 0 } }).to_string();
        let told = say(&house, &awu, "settle", &settle).await;
        assert_eq!(told["awu"]["end"], end);
        let found = told["awu"]["findings"].as_array().into_iter().flatten();
        let mut found = found.filter(|finding| finding.as_str().unwrap().contains("PROVIDER_ERROR_UPSTREAM"));
        assert_eq!(found.next().is_some(), findings, "{told}");
        let answer = house.act("/awus", &[], body).await;
        assert_eq!(answer.status.as_u16(), next, "after {end}: {}", answer.json());
        if next == 201 {
            let awu = answer.json()["awu"]["id"].as_str().unwrap().to_owned();
            say(&house, &awu, "settle", r#"{"end":"never_sent"}"#).await;
        }
    }
}

/// Whoever may name customers and keys as they like makes the books grow up to the limits, and no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_books_hold_as_much_as_they_may_it_is_said_with_what_to_do_and_nothing_grows() {
    let more = "
budgets:
  - {name: each-customer, unit: USD, limit: 1, each: customer_id}
limits: {cells: 2, idempotency_keys: 2, one_key_percent: 100}
";
    let house = House::with(StandIn::default(), more).await;
    let body = r#"{"operation":{"name":"step","type":"agent"},"project":"agents","model":"small","bound":{"input_tokens":1000,"output_tokens":500}}"#;
    let ask = async |customer: &str| house.act("/awus", &[("x-genops-customer-id", customer)], body).await;
    for (customer, status) in [("one", 201), ("two", 201), ("three", 503), ("one", 201), ("four", 503)] {
        let answer = ask(customer).await;
        assert_eq!(answer.status.as_u16(), status, "{customer}: {}", answer.json());
        if status == 503 {
            assert_eq!(answer.json()["error"]["code"], "x_too_many_shares");
            assert_eq!(answer.header("x-should-retry"), "false");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("can raise `limits.cells`"), "{message}");
        }
    }
    let named = async |key: &str| {
        let headers = [("x-genops-customer-id", "one"), ("idempotency-key", key)];
        house.act("/awus", &headers, body).await
    };
    for (key, status) in [("a", 201), ("b", 201), ("c", 503), ("a", 200)] {
        let answer = named(key).await;
        assert_eq!(answer.status.as_u16(), status, "{key}: {}", answer.json());
        if status == 503 {
            let error = answer.json()["error"].clone();
            assert_eq!(error["code"], "too_many_idempotency_keys");
            assert!(error["message"].as_str().unwrap().contains("nothing was decided"), "{error}");
            assert_eq!(answer.json().get("awu"), None);
        }
    }
}

/// Calls and proposals count alike; what ends makes room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_as_many_awus_are_open_as_may_be_calls_and_proposals_are_told_so_and_what_is_open_ends() {
    let house = House::with(StandIn::default(), "limits: {open_awus: 2, one_key_percent: 100}").await;
    let body = r#"{"operation":{"name":"step","type":"agent"},"project":"agents","model":"small","bound":{"input_tokens":1000,"output_tokens":500}}"#;
    let ask = async || house.act("/awus", &[], body).await;
    let mut open = Vec::new();
    for status in [201, 201, 503] {
        let answer = ask().await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.json());
        if status == 201 {
            open.push(answer.json()["awu"]["id"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(answer.json()["error"]["code"], "too_many_open_awus");
            assert_eq!(answer.json().get("awu"), None);
        }
    }
    let call = house.chat(BODY).await;
    assert_eq!((call.status.as_u16(), &call.json()["error"]["code"]), (503, &json!("too_many_open_awus")));
    let ready = house.get("/readyz", "").await;
    let told = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(ready.status.is_success() && told.contains("2 of 2 AWUs are open"), "{told}");
    say(&house, &open[0], "release", "").await;
    assert_eq!(house.chat(BODY).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_helps_nobody_is_refused_and_others_say_how_many_cells_they_reach() {
    const RANGES: &str = "
budgets:
  - {name: past, unit: USD, limit: 1, from: 2020-01-01T00:00:00Z, until: 2021-01-01T00:00:00Z}
  - {name: future, unit: USD, limit: 1, from: 2099-01-01T00:00:00Z, until: 2100-01-01T00:00:00Z}
  - {name: shares, unit: USD, limit: 1, each: feature}
";
    let house = House::with(StandIn::default(), RANGES).await;
    for feature in ["a", "b", "a"] {
        house.ended(&house.chat_for(feature, BODY).await).await;
    }
    let grant = async |budget: &str, each: Option<&str>, until: &str| {
        let each: Vec<_> = each.into_iter().collect();
        let body =
            json!({ "budget": budget, "each": each, "amount": 1, "until": until, "reason": "a deadline" });
        house.tell("/genops/v1/grants", ADMINISTRATOR_KEY, &body.to_string()).await
    };
    let (soon, late) = ("2098-01-01T00:00:00Z", "2099-06-01T00:00:00Z");
    for (budget, until) in [("past", soon), ("past", late), ("future", soon)] {
        let refused = grant(budget, None, until).await;
        assert_eq!(refused.error(), (400, String::new(), "budget".to_owned()), "{budget}");
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("helps nobody"), "{budget}");
    }
    for (budget, each, cells) in
        [("future", None, 0), ("shares", None, 2), ("shares", Some("a"), 1), ("shares", Some("c"), 0)]
    {
        let made = grant(budget, each, late).await;
        assert_eq!(made.json()["cells"], cells, "{budget} {each:?}: {}", made.json());
    }
}
