//! How a gateway and its ledger stand, at a glance.

use genops_gateway::stand_in::StandIn;
use http::StatusCode;
use serde_json::json;

use crate::BODY;
use crate::house::{House, KEY};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_how_far_the_ledger_is_and_what_is_open() {
    let house = House::with(StandIn::default(), "budgets: [{name: all, unit: USD, limit: 1}]").await;
    house.ended(&house.chat(BODY).await).await;
    let job = |starts: bool| {
        let work = json!({ "operation": { "name": "tune", "type": "training" }, "project": "tuning", "starts": starts,
                           "bound": { "quantities": { "compute_seconds": 1 } }, "accounting_unit": "requests" });
        work.to_string()
    };
    for (key, starts) in [("one", true), ("two", false), ("three", false)] {
        let answer = house.act_named(key, job(starts)).await;
        assert_eq!(answer.error().0, 403, "without a price: {}", answer.json());
    }
    for starts in [true, false, false] {
        let priced = job(starts).replace(r#"{"compute_seconds":1}"#, r#"{"compute_seconds":1,"USD":"0.01"}"#);
        assert_eq!(house.act("/awus", &[], priced).await.status, StatusCode::CREATED);
    }
    let status = house.get("/genops/v1/status", KEY).await.json();
    let policy = house.get("/genops/v1/policy", KEY).await.json();
    let last = *house.governor.durable().borrow();
    assert_eq!((&status["as_of"], &status["pending"]), (&json!(last), &json!(0)));
    assert_eq!((&status["takes_work"], &status["short_of_space"]), (&json!(true), &json!(false)));
    assert_eq!(status.get("troubles"), None, "{status}");
    assert_eq!(status["open_awus"], json!({ "reserved": 2, "executing": 1, "in_doubt": 0 }));
    assert_eq!((&status["cells"], &status["remembered_keys"]), (&json!(2), &json!(3)));
    assert_eq!(status["policy_version"], policy["version"]);
    let entry = house.get(&format!("/genops/v1/entries/{last}"), KEY).await.json();
    assert_eq!(status["ledger_time"], entry["at"]);
    let ahead = status["clock_ahead_ms"].as_i64().unwrap();
    assert!((0..60_000).contains(&ahead), "{status}");

    let ready = house.get("/readyz", "").await;
    assert_eq!((ready.status, &*ready.body), (StatusCode::OK, b"ready\n".as_slice()));
}
