//! A gateway whose ledger has let old entries leave for an archive, or does so while it runs: what was there is gone, and is
//! said to be.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genops::ledger::retention::{Through, close_cells, retire};
use genops::{Governor, Settings};
use genops_core::awu::{Execution, Proposal};
use genops_core::budget::Budget;
use genops_core::ledger::Admit;
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::{Amount, Attribution, Name, Timestamp, Unit};
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
    // A cell is closed by more than this ledger has seen; that is in the test below.
    let gone = GONE.iter().map(|(name, ..)| *name).chain(["getCell"]).collect();
    assert_eq!(described, gone);
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
    let asked = format!("/genops/v1/awus/{}", left.awu);
    let answers = [house.get(&asked, KEY).await, house.get(&format!("{asked}/receipt"), KEY).await];
    for answer in &answers {
        assert_eq!(answer.error(), (404, String::new(), "id".to_owned()), "{}", answer.json());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&format!("through {} are archived", left.through)), "{message}");
    }
    assert_eq!(answers[0].json(), answers[1].json(), "a receipt is asked for as the AWU is");
    let resolution = r#"{"end":"never_sent","reason":"r"}"#;
    let answer =
        house.tell(&format!("/genops/v1/awus/{}/resolve", left.awu), ADMINISTRATOR_KEY, resolution).await;
    assert_eq!(answer.error(), (404, String::new(), "id".to_owned()));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("through {} are archived", left.through)), "{message}");
}

/// A second of a day in 2025, and the days after it.
fn on_day(day: u64) -> Timestamp {
    Timestamp::from_nanos((1_760_000_000 + day * 86_400) * 1_000_000_000)
}

/// Work on one day, over a budget for each.
async fn work_on_day(ledger: &Path, day: u64) {
    let name = |text: &str| Name::new(text).unwrap();
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    let daily = Budget { period, ..Budget::new(name("day"), Unit::Requests, Amount::from_whole(9)) };
    let policy = Policy { accounting_unit: Unit::Requests, budgets: vec![daily], ..Policy::unrestricted() };
    let settings = Settings { clock: Arc::new(move || on_day(day)), ..Settings::in_file(ledger, policy) };
    let (governor, _) = Governor::open(settings).await.unwrap();
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("staging")).unwrap();
    let proposal = Proposal::work(attribution, name("step"), name("agent"));
    let request = Admit { starts: true, ..Admit::new(governor.new_id(), proposal) };
    let awu = governor.propose(request).await.unwrap().what.id();
    governor.settle(awu, Execution::abandoned(0)).await.unwrap();
    governor.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_was_closed_is_gone_and_one_that_was_never_opened_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("genops.db");
    for day in 0..2 {
        work_on_day(&ledger, day).await;
    }
    let archive = directory.path().join("archive.jsonl");
    retire(&ledger, Through::Before(on_day(1)), "a test".into(), &archive).unwrap();
    assert_eq!(close_cells(&ledger, Name::new("a test").unwrap(), on_day(2)).await.unwrap(), 1);
    let house = House::again(directory, "").await;
    let gone = house.get("/genops/v1/cells/0", KEY).await;
    assert_eq!(gone.error(), (410, "archived".to_owned(), String::new()), "{}", gone.json());
    assert_eq!(house.get("/genops/v1/cells/1", KEY).await.json()["used"], "1");
    let never = house.get("/genops/v1/cells/99", KEY).await;
    assert_eq!(never.error(), (404, String::new(), "number".to_owned()));
}

const DAY_NS: u64 = 86_400_000_000_000;

/// A ledger with two AWUs, of ten days ago and of five, and the last entry of the first day.
async fn of_old() -> (tempfile::TempDir, [String; 2], u64) {
    let directory = tempfile::tempdir().unwrap();
    let (mut awus, mut last) = (Vec::new(), Vec::new());
    for days in [10, 5] {
        let at = genops::clock::wall().minus_nanos(days * DAY_NS);
        let policy = Policy { accounting_unit: Unit::Requests, ..Policy::unrestricted() };
        let settings = Settings {
            clock: Arc::new(move || at),
            ..Settings::in_file(directory.path().join("genops.db"), policy)
        };
        let (governor, _) = Governor::open(settings).await.unwrap();
        let attribution = Attribution::new(Some("research"), Some("tuning"), Some("production")).unwrap();
        let [name, kind] = ["tune", "training"].map(|text| Name::new(text).unwrap());
        let request = Admit::new(governor.new_id(), Proposal::work(attribution, name, kind));
        let awu = governor.propose(request).await.unwrap().what.id();
        governor.release(awu).await.unwrap();
        awus.push(awu.to_string());
        // The tables know of it.
        governor.awu(awu).unwrap().unwrap();
        last.push(*governor.durable().borrow());
        governor.close().await.unwrap();
    }
    (directory, awus.try_into().unwrap(), *last.first().unwrap())
}

async fn until(house: &House, what: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let status = house.get("/genops/v1/status", KEY).await.json();
        if what(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_rule_old_entries_leave_at_a_start_and_the_status_says_how_far() {
    let (directory, [first, second], through) = of_old().await;
    let folder = directory.path().join("archive");
    let rule = |days: u64| format!("retention: {{keep_days: {days}, archive_to: '{}'}}", folder.display());
    // The folder is missing: that is told, and nothing else is otherwise.
    let house = House::again(directory, &rule(7)).await;
    let status = until(&house, |status| status.get("troubles").is_some()).await;
    let trouble = status["troubles"][0].as_str().unwrap();
    assert!(trouble.contains("No such file or directory") && status.get("archived").is_none(), "{status}");
    let ready = house.get("/readyz", "").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(String::from_utf8_lossy(&ready.body), format!("ready\n{trouble}\n"));
    assert_eq!(house.get(&format!("/genops/v1/awus/{first}"), KEY).await.status, StatusCode::OK);

    let directory = house.close().await;
    std::fs::create_dir(&folder).unwrap();
    let house = House::again(directory, &rule(7)).await;
    let status = until(&house, |status| status.get("archived").is_some()).await;
    assert_eq!((&status["archived"], status.get("troubles")), (&json!(through), None), "{status}");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [format!("genops-000000000001-{through:012}.jsonl").as_str()]);
    let gone = house.get(&format!("/genops/v1/awus/{first}"), KEY).await;
    assert_eq!(gone.error(), (410, "archived".to_owned(), String::new()));
    assert_eq!(house.get(&format!("/genops/v1/awus/{second}"), KEY).await.status, StatusCode::OK);
    let page = house.get("/genops/v1/entries?limit=1", KEY).await.json();
    assert_eq!((&page["entries"][0]["sequence"], &page["archived"]), (&json!(through + 1), &json!(through)));
    assert_eq!(house.get("/readyz", "").await.body, b"ready\n".as_slice());
}
