//! What is told where a budget has no room: what is used and reserved of what, and whether waiting helps.

use genops_gateway::stand_in::StandIn;
use http::StatusCode;
use serde_json::json;

use crate::house::{Answer, House, KEY};

const BUDGET: &str = "
budgets:
  - {name: compute, unit: compute_seconds, limit: 4000}
";

async fn propose(house: &House, seconds: u64) -> Answer {
    let body = json!({
        "operation": { "name": "tune", "type": "training" },
        "project": "tuning",
        "bound": { "quantities": { "compute_seconds": seconds } },
        "accounting_unit": "compute_seconds",
        "starts": true,
    });
    house.act("/awus", &[], body.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_helps_where_the_budget_lends_what_is_missing_once_work_in_flight_has_ended() {
    let lends = BUDGET.replace("limit: 4000", "limit: 4000, overdraft: 500");
    let house = House::with(StandIn::default(), &lends).await;
    assert_eq!(propose(&house, 2_000).await.status, StatusCode::CREATED);
    for (wanted, waits) in [(4_500, "true"), (4_501, "false")] {
        let refused = propose(&house, wanted).await;
        assert_eq!(refused.error().0, 429);
        assert_eq!(refused.header("x-should-retry"), waits, "{wanted}: {}", refused.json());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(
            message.contains("it fits, by what the budget lends or lowers, once enough"),
            waits == "true",
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_helps_where_work_in_flight_holds_what_is_missing_and_nowhere_else() {
    let house = House::with(StandIn::default(), BUDGET).await;
    let running = propose(&house, 4_000).await;
    assert_eq!(running.status, StatusCode::CREATED);
    let settle = async |used: u64| {
        let id = running.json()["awu"]["id"].as_str().unwrap().to_owned();
        let usage = json!({ "end": "completed", "usage": { "quantities": { "compute_seconds": used } } });
        let told = house.act(&format!("/awus/{id}/settle"), &[], usage.to_string()).await;
        assert_eq!(told.status, StatusCode::OK);
    };
    let held = propose(&house, 3_000).await;
    assert_eq!(held.error(), (429, "BUDGET_EXCEEDED".to_owned(), String::new()));
    assert_eq!(
        ["x-should-retry", "retry-after", "retry-after-ms"].map(|name| held.header(name)),
        ["true", "1", "1000"]
    );
    let told = held.json();
    let why = "budget `compute` has 0 of 4000 compute_seconds left beside work in flight, which holds 4000 (0 used), the \
               call can use up to 3000; it fits once enough of that work has ended";
    assert_eq!(told["error"]["message"], format!("blocked: {why}"));
    assert_eq!(told["awu"]["reason"], why);
    let cell = &told["awu"]["cells"][0];
    let [allocated, used, outstanding] =
        ["allocated", "used_before", "outstanding_before"].map(|field| &cell[field]);
    assert_eq!([allocated, used, outstanding], [&json!("4000"), &json!("0"), &json!("4000")]);
    let explained = format!("/genops/v1/awus/{}/explanation", told["awu"]["id"].as_str().unwrap());
    let asked = house.get(&explained, KEY).await.json()["asked"].clone();
    assert_eq!(asked.as_array().unwrap().last().unwrap()["why"], why);

    let larger = propose(&house, 4_001).await;
    assert_eq!(larger.header("x-should-retry"), "false", "it is larger than all of the budget");
    assert_eq!(larger.header("retry-after"), "");

    settle(1_500).await;
    for (wanted, code, why) in [
        (3_000, "BUDGET_RESERVATION_FAILED", "has 2500 of 4000 compute_seconds left (1500 used, 0 reserved)"),
        (2_500, "", ""),
    ] {
        let answer = propose(&house, wanted).await;
        assert_eq!(answer.error().1, code, "{wanted}");
        if !code.is_empty() {
            assert_eq!(answer.header("x-should-retry"), "false");
            assert_eq!(answer.header("retry-after"), "");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(why), "{message}");
        }
    }
}

/// A caller without an idempotency key would not know its AWU, and would not know that it was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_is_told_also_where_the_ledger_cannot_be_read() {
    let house = House::with(StandIn::default(), BUDGET).await;
    let ledger = house.directory.path().join("genops.db");
    let away = house.directory.path().join("away.db");
    // Who writes has it open; nobody opens it to read.
    std::fs::rename(&ledger, &away).unwrap();
    let admitted = propose(&house, 3_000).await;
    assert_eq!(admitted.status, StatusCode::CREATED, "{}", admitted.json());
    assert_eq!(admitted.json()["awu"]["state"], "EXECUTING");
    let refused = propose(&house, 3_000).await;
    assert_eq!(refused.error().0, 429, "{}", refused.json());
    let settle = format!("/awus/{}/settle", admitted.json()["awu"]["id"].as_str().unwrap());
    let settled = async || house.act(&settle, &[], r#"{"end":"never_sent"}"#).await;
    assert_eq!(settled().await.error().0, 503, "it cannot be read, or this shows nothing");
    std::fs::rename(&away, &ledger).unwrap();
    let settled = settled().await;
    assert_eq!(settled.status, StatusCode::OK, "{}", settled.json());
    assert_eq!(settled.json()["awu"]["state"], "SETTLED");
}
