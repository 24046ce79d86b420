//! Corrections that say what they rest on: they correct once, and nothing that somebody else has corrected meanwhile.

use genops_gateway::stand_in::StandIn;
use http::StatusCode;
use serde_json::{Value, json};

use crate::house::{ADMINISTRATOR_KEY, Answer, House};

const COMPUTE: &str = "
budgets:
  - {name: compute, unit: compute_seconds, limit: 4000}
  - {name: each-key, unit: compute_seconds, limit: 4000, each: key}
";

/// An AWU that was charged 700.
async fn settled(house: &House) -> String {
    let work = json!({
        "operation": { "name": "tune", "type": "training" },
        "project": "tuning",
        "bound": { "quantities": { "compute_seconds": 1000 } },
        "accounting_unit": "compute_seconds",
        "starts": true,
    });
    let told = house.act("/awus", &[], work.to_string()).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.json());
    let awu = told.json()["awu"]["id"].as_str().unwrap().to_owned();
    let usage = r#"{"end":"completed","usage":{"quantities":{"compute_seconds":700}}}"#;
    let told = house.act(&format!("/awus/{awu}/settle"), &[], usage).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json());
    awu
}

async fn correct(house: &House, awu: &str, before: &Value, charged: &Value, reason: &str) -> Answer {
    let body = json!({ "before": before, "charged": charged, "reason": reason });
    house.tell(&format!("/genops/v1/awus/{awu}/corrections"), ADMINISTRATOR_KEY, &body.to_string()).await
}

fn seconds(amount: &str) -> Value {
    json!({ "compute_seconds": amount })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_that_says_what_it_rests_on_corrects_once_whoever_corrects_in_between() {
    let house = House::with(StandIn::default(), COMPUTE).await;
    let awu = settled(&house).await;
    for (before, charged, reason, status, repeated, now) in [
        ("701", "600", "one", 409, false, "700"),
        ("700", "600", "one", 200, false, "600"),
        // Its answer was lost.
        ("700", "600", "one", 200, true, "600"),
        ("600.0", "620", "another", 200, false, "620"),
        ("700", "600", "one", 409, false, "620"),
        // It is so already, for a reason that nobody gave before.
        ("700", "620", "a third", 409, false, "620"),
        ("620", "620", "a third", 200, false, "620"),
    ] {
        let told = correct(&house, &awu, &seconds(before), &seconds(charged), reason).await;
        let case = format!("{before} to {charged}, {reason}: {}", told.json());
        assert_eq!(told.status.as_u16(), status, "{case}");
        if status == 409 {
            assert_eq!(told.error(), (409, "charged_otherwise".to_owned(), String::new()));
            let is_now = format!("charged {now} compute_seconds now, and not {before}");
            assert!(told.json()["error"]["message"].as_str().unwrap().contains(&is_now), "{case}");
        } else {
            let told = told.json();
            assert_eq!(
                (&told["repeated"], &told["awu"]["actual"]),
                (&json!(repeated), &json!(now)),
                "{case}"
            );
        }
        assert!(
            house
                .budgets()
                .await
                .iter()
                .all(|budget| budget.used == if status == 409 { now } else { charged })
        );
    }
    // What was taken back is not done again.
    let back = correct(&house, &awu, &seconds("620"), &seconds("700"), "another").await;
    assert_eq!(back.json()["awu"]["actual"], "700");
    let again = correct(&house, &awu, &seconds("700"), &seconds("600"), "one").await;
    assert_eq!(again.error().1, "awu_state", "{}", again.json());
    assert!(again.json()["error"]["message"].as_str().unwrap().contains("give another reason"));
    // Without it, what is said again after another one corrects again.
    let told = correct(&house, &awu, &json!({}), &seconds("600"), "one").await.json();
    assert_eq!((&told["repeated"], &told["awu"]["actual"]), (&json!(false), &json!("600")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_correction_rests_on_is_read_strictly() {
    let house = House::with(StandIn::default(), COMPUTE).await;
    let awu = settled(&house).await;
    for (before, expected) in [
        (json!({ "USD": 1 }), (409, "awu_state", "")),
        (json!({ "compute_seconds": -1 }), (400, "", "before")),
        (json!({ "compute seconds": 1 }), (400, "", "before.compute seconds")),
        (json!({ "compute_seconds": "much" }), (400, "", "before.compute_seconds")),
        (json!("700"), (400, "", "before")),
        (json!([700]), (400, "", "before")),
    ] {
        let told = correct(&house, &awu, &before, &seconds("1"), "r").await;
        let (status, code, field) = expected;
        assert_eq!(told.error(), (status, code.to_owned(), field.to_owned()), "{before}: {}", told.json());
    }
    assert!(house.budgets().await.iter().all(|budget| budget.used == "700"));
}
