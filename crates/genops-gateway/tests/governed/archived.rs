//! A gateway whose ledger has let old entries leave for an archive: what was there is gone, and is said to be.

use std::collections::BTreeSet;

use genops::ledger::retention::{Through, retire};
use genops_gateway::stand_in::StandIn;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::described::{is_at, operations};
use crate::house::{ADMINISTRATOR_KEY, Answer, House, JOBS_KEY, KEY, OPERATOR_KEY};

const COMPUTE: &str = "
budgets:
  - {name: compute, unit: compute_seconds, limit: 4000, each: feature}
";

/// What has left, as callers name it, and the last entry of it.
struct Left {
    awu: String,
    grant: u64,
    through: u64,
}

impl Left {
    fn named(&self, text: &str) -> String {
        text.replace("AWU", &self.awu).replace("GRANT", &self.grant.to_string())
    }
}

fn job() -> Value {
    json!({
        "operation": { "name": "tune", "type": "training" },
        "project": "tuning",
        "bound": { "quantities": { "compute_seconds": "1000" } },
        "accounting_unit": "compute_seconds",
        "starts": true,
    })
}

/// Proposes a job and settles it; gives its AWU.
async fn settled(house: &House) -> String {
    let proposed = house.act("/awus", &[], job().to_string()).await;
    assert_eq!(proposed.status, StatusCode::CREATED, "{}", proposed.json());
    let awu = proposed.json()["awu"]["id"].as_str().unwrap().to_owned();
    let told = house.act(&format!("/awus/{awu}/settle"), &[], r#"{"end":"never_sent"}"#).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json());
    awu
}

/// A house from whose ledger an AWU has left, and a grant with its revocation; another AWU is there.
async fn house() -> (House, Left, String) {
    let house = House::with(StandIn::default(), COMPUTE).await;
    let awu = settled(&house).await;
    let administer = async |path: &str, body: Value| {
        let told = house.tell(&format!("/genops/v1{path}"), ADMINISTRATOR_KEY, &body.to_string()).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.json());
        told.json()
    };
    let grant = json!({ "budget": "compute", "each": [null], "amount": 1, "until": "2100-01-01T00:00:00Z", "reason": "r" });
    let grant = administer("/grants", grant).await["number"].as_u64().unwrap();
    let revoked = administer(&format!("/grants/{grant}/revoke"), json!({ "reason": "r" })).await;
    let through = revoked["sequence"].as_u64().unwrap();
    let stays = settled(&house).await;
    let directory = house.close().await;
    let (ledger, archive) = (directory.path().join("genops.db"), directory.path().join("archive.jsonl"));
    let head = retire(&ledger, Through::Entry(through), "a test".into(), &archive).unwrap();
    assert_eq!(head.sequence, through);
    (House::again(directory, COMPUTE).await, Left { awu, grant, through }, stays)
}

async fn ask(house: &House, method: &Method, path: &str, body: &str) -> Answer {
    let path = format!("/genops/v1{path}");
    let is_asked = |template: &str| is_at(template, path.split('?').next().unwrap());
    let operation =
        operations().into_iter().find(|(known, template, _)| known == method && is_asked(template));
    let (_, _, operation) = operation.unwrap();
    let key = match operation["security"][0]["key"][0].as_str().unwrap() {
        "operate" => OPERATOR_KEY,
        "administer" => ADMINISTRATOR_KEY,
        _ => KEY,
    };
    match *method {
        Method::POST => house.tell(&path, key, body).await,
        _ => house.get(&path, key).await,
    }
}

/// What of what has left is asked for, with the name of the operation.
const GONE: &[(&str, Method, &str, &str)] = &[
    ("getAwu", Method::GET, "/awus/AWU", ""),
    ("explainAwu", Method::GET, "/awus/AWU/explanation", ""),
    ("getReceipt", Method::GET, "/awus/AWU/receipt", ""),
    (
        "proposeAwu",
        Method::POST,
        "/awus",
        r#"{"operation":{"name":"a","type":"agent"},"project":"p","attempt_of":"AWU"}"#,
    ),
    ("startAwu", Method::POST, "/awus/AWU/start", ""),
    ("extendAwu", Method::POST, "/awus/AWU/extend", r#"{"within_seconds":60}"#),
    ("settleAwu", Method::POST, "/awus/AWU/settle", r#"{"end":"never_sent"}"#),
    ("releaseAwu", Method::POST, "/awus/AWU/release", ""),
    ("evaluateAwu", Method::POST, "/awus/AWU/evaluations", r#"{"metric":"loss","score":1}"#),
    ("costAwu", Method::POST, "/awus/AWU/costs", r#"{"total":1,"currency":"EUR"}"#),
    ("resolveAwu", Method::POST, "/awus/AWU/resolve", r#"{"end":"never_sent","reason":"r"}"#),
    (
        "correctAwu",
        Method::POST,
        "/awus/AWU/corrections",
        r#"{"charged":{"compute_seconds":"1"},"reason":"r"}"#,
    ),
    ("revokeGrant", Method::POST, "/grants/GRANT/revoke", r#"{"reason":"r"}"#),
    ("listEntries", Method::GET, "/entries?from=1", ""),
    ("listEntries", Method::GET, "/entries?awu=AWU", ""),
    ("getEntry", Method::GET, "/entries/1", ""),
];

/// Every answer is held against the description, so each of these also finds whether 410 stands there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_left_is_gone_wherever_it_is_asked_for_and_nothing_else_is_described_to_be() {
    let (house, left, stays) = house().await;
    for (name, method, path, body) in GONE {
        let answer = ask(&house, method, &left.named(path), &left.named(body)).await;
        assert_eq!(answer.error(), (410, "archived".to_owned(), String::new()), "{name}: {}", answer.json());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&format!("through {}", left.through)), "{message}");
    }
    let described =
        operations().into_iter().filter(|(_, _, operation)| operation["responses"].get("410").is_some());
    let described: BTreeSet<_> =
        described.map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(described, GONE.iter().map(|(name, ..)| *name).collect());
    assert_eq!(house.get(&format!("/genops/v1/awus/{stays}"), KEY).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_begin_with_the_first_that_is_there_where_nobody_says_from_which() {
    let (house, left, _) = house().await;
    let page = house.get("/genops/v1/entries?limit=2", KEY).await.json();
    let sequences: Vec<_> =
        page["entries"].as_array().unwrap().iter().map(|entry| &entry["sequence"]).collect();
    assert_eq!(sequences, [&json!(left.through + 1), &json!(left.through + 2)]);
    assert_eq!(
        (&page["archived"], &page["next"]),
        (&json!(left.through), &json!(left.through + 3)),
        "{page:#}"
    );
    let kind = house.get("/genops/v1/entries?type=settled", KEY).await.json();
    assert_eq!(kind["entries"].as_array().unwrap().len(), 1);
    let first = format!("/genops/v1/entries?from={}&limit=2", left.through + 1);
    assert_eq!(house.get(&first, KEY).await.json(), page);
    let gone = format!("/genops/v1/entries?from={}", left.through);
    assert_eq!(house.get(&gone, KEY).await.error().0, 410);
}

/// Of AWUs of other keys, nobody who operates learns whether they were there; and where the tables were made since, nobody
/// knows of whom it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_awu_is_gone_for_the_key_that_proposed_it_as_far_as_the_tables_remember_and_for_no_other()
{
    let (house, left, stays) = house().await;
    let start = |awu: &str| format!("/genops/v1/awus/{awu}/start");
    let never = format!("{}-{}", "ab".repeat(16), "cd".repeat(8));
    let mut told = Vec::new();
    for awu in [&left.awu, &stays, &never] {
        let answer = house.tell(&start(awu), JOBS_KEY, "").await;
        assert_eq!(answer.error(), (404, String::new(), "id".to_owned()));
        told.push(answer.json()["error"]["message"].as_str().unwrap().replace(awu.as_str(), "AWU"));
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:#?}");

    let directory = house.close().await;
    std::fs::remove_file(directory.path().join("genops.db.views")).unwrap();
    let house = House::again(directory, COMPUTE).await;
    let answer = house.tell(&start(&left.awu), OPERATOR_KEY, "").await;
    assert_eq!(answer.error(), (404, String::new(), "id".to_owned()), "{}", answer.json());
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("archive"), "{message}");
    let resolution = r#"{"end":"never_sent","reason":"r"}"#;
    let answer =
        house.tell(&format!("/genops/v1/awus/{}/resolve", left.awu), ADMINISTRATOR_KEY, resolution).await;
    assert_eq!(answer.error(), (404, String::new(), "id".to_owned()));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("through {} are archived", left.through)), "{message}");
}
