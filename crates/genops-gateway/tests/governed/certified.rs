//! The gateway certifies itself: what it tells of every way in which an AWU can go is judged by the conformance suite,
//! which knows nothing of it but the specification.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genops::core::awu::{End, Execution, Proposal, Used};
use genops::core::budget::Budget;
use genops::core::ledger::{Act, Admit, Grant};
use genops::core::news;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Amount, Attribution, Name, Timestamp, Unit};
use genops::report::{EntryFilter, EntryKind};
use genops::spec::event;
use genops::{Admission, Awu, Destination, Governor, Reserved, Settings};
use genops_conformance::awu::State;
use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::judge::Judgement;
use genops_conformance::level::{self, Claim, Level, Standing, Terms};
use genops_conformance::{Checker, Strictness, input};
use genops_gateway::stand_in::StandIn;
use http::StatusCode;

use crate::BODY;
use crate::house::{House, close, nobody};

const STREAM: &str =
    r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// Judges the telemetry in these directories as one complete capture.
pub fn judged(directories: &[tempfile::TempDir]) -> (Judgement, Standing) {
    let strictness = Strictness { is_complete: true, ..Strictness::default() };
    let mut checker = Checker::new(strictness, OPEN_BYTES_MAX);
    let telemetry: Vec<_> = directories.iter().map(|directory| directory.path().join("telemetry")).collect();
    input::read(&telemetry, &mut checker).unwrap();
    let mut judgement = checker.finish();
    let terms = Terms { claim: Some(Claim::Full), ..Terms::default() };
    let standing = level::sum_up(&mut judgement, &terms);
    (judgement, standing)
}

/// Full, verified, and nothing worth a look.
pub fn assert_full_and_verified(judgement: &Judgement, standing: &Standing) {
    let worth_a_look: Vec<_> = judgement.findings.iter().collect();
    assert!(worth_a_look.is_empty(), "{worth_a_look:#?}");
    let unseen: Vec<_> =
        standing.unseen.iter().map(|id| (id.requirement().id, id.requirement().text)).collect();
    assert_eq!((standing.level, standing.verified), (Level::Full, true), "{unseen:#?}");
    assert_eq!(standing.claim_holds, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_an_awu_can_go_is_told_so_that_full_compliance_is_verified() {
    let mut directories = vec![answered_and_refused().await, never_sent().await];
    let reports_nothing = StandIn { says: Some("{}"), ..StandIn::default() };
    directories.push(one_call(reports_nothing, StatusCode::OK).await);
    let fails =
        StandIn { status: StatusCode::INTERNAL_SERVER_ERROR, says: Some("oops"), ..StandIn::default() };
    directories.push(one_call(fails, StatusCode::INTERNAL_SERVER_ERROR).await);
    directories.push(released_and_in_doubt().await);
    directories.push(limits_that_come_down().await);

    let (judgement, standing) = judged(&directories);
    assert_full_and_verified(&judgement, &standing);
    let states = State::ALL.into_iter().zip(judgement.counts.states);
    for (state, count) in states {
        // What runs without an account, or leaves no trace, is what this runtime never does.
        let never = matches!(state, State::ExecutedIncomplete | State::Indeterminate);
        assert_eq!(count == 0, never, "{state:?}: {count}");
    }
}

/// Whole calls and streams, one that is hung up on, and every refusal.
async fn answered_and_refused() -> tempfile::TempDir {
    let stand_in = StandIn { delay: Duration::from_millis(20), ..StandIn::default() };
    let house = House::with(
        stand_in,
        "budgets:
  - {name: search-month, for: {team: search}, unit: USD, limit: 0.0005, period: month}
rates:
  - {name: search-day, for: {team: search}, requests: 4, per: day}
",
    )
    .await;
    let answer = house.chat(BODY).await;
    assert_eq!(answer.header("x-genops-result"), "ALLOWED");
    house.ended(&answer).await;
    let streamed = house.chat(STREAM).await;
    assert_eq!(streamed.status, StatusCode::OK);
    house.ended(&streamed).await;
    house.hang_up_while_it_runs(STREAM).await;
    for (model, code) in [("denied", "POLICY_DENY_MODEL"), ("unpriced", "x_unpriced_model")] {
        let body = format!(r#"{{"model":"{model}","max_tokens":20,"messages":[]}}"#);
        assert_eq!(house.chat(&body).await.header("x-genops-reason-code"), code);
    }
    let large = r#"{"model":"small","max_tokens":900,"messages":[]}"#;
    assert_eq!(house.chat(large).await.header("x-genops-reason-code"), "BUDGET_RESERVATION_FAILED");
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(house.chat(BODY).await.header("x-genops-reason-code").to_owned());
    }
    assert!(codes.iter().any(|code| code == "RATE_LIMITED"), "{codes:?}");
    house.close().await
}

/// A provider that cannot be reached: the AWU is stopped after its reservation.
pub async fn never_sent() -> tempfile::TempDir {
    let house = House::at(nobody().await, Arc::default(), "").await;
    house.ended(&house.chat(BODY).await).await;
    house.close().await
}

async fn one_call(stand_in: StandIn, status: StatusCode) -> tempfile::TempDir {
    let house = House::with(stand_in, "").await;
    let answer = house.chat(BODY).await;
    assert_eq!(answer.status, status);
    house.ended(&answer).await;
    house.close().await
}

/// One AWU that was reserved and given back, and one whose process died while it ran: the ledger goes on from a copy
/// that was made meanwhile, as after a power cut.
async fn released_and_in_doubt() -> tempfile::TempDir {
    let before = tempfile::tempdir().unwrap();
    let governor = open(before.path()).await;
    admitted(&governor).await.release().unwrap();
    let running = admitted(&governor).await.start().await.unwrap();
    let after = tempfile::tempdir().unwrap();
    for file in ["genops.db", "genops.db-wal"] {
        std::fs::copy(before.path().join(file), after.path().join(file)).unwrap();
    }
    drop(running);
    close(governor).await;
    close(open(after.path()).await).await;
    after
}

/// One alert by the end of a grant, and one by a policy that cuts the limit: neither is about an AWU.
async fn limits_that_come_down() -> tempfile::TempDir {
    const START: u64 = 1_795_000_000_000_000_000;
    const LATER: u64 = START + 30_000_000_000;
    let directory = tempfile::tempdir().unwrap();
    let name = |text: &str| Name::new(text).unwrap();
    let policy = |limit: &str| {
        let all = Budget::new(name("all"), Unit::Usd, limit.parse().unwrap());
        Policy { budgets: vec![Budget { alerts: vec![10, 90], ..all }], ..Policy::unrestricted() }
    };
    let now = Arc::new(AtomicU64::new(START));
    let hand = Arc::clone(&now);
    let governor = opened(Settings {
        clock: Arc::new(move || Timestamp::from_nanos(hand.load(Ordering::SeqCst))),
        ..settings(directory.path(), policy("0.0005"))
    })
    .await;
    let act = Act { author: name("operator"), reason: name("a launch") };
    let until = Timestamp::from_nanos(LATER);
    let grant =
        Grant { budget: name("all"), each: Box::default(), amount: Amount::from_whole(1), until, act };
    governor.grant(grant).await.unwrap();
    let used = Used::Reported(Tokens::new(100, 20));
    let execution = Execution { end: End::Completed, used, ..Execution::abandoned(1_000) };
    admitted(&governor).await.start().await.unwrap().settle(execution).unwrap();
    now.store(LATER, Ordering::SeqCst);
    let lapsed = EntryFilter { kind: Some(EntryKind::Lapsed), ..EntryFilter::default() };
    tokio::time::timeout(Duration::from_secs(60), async {
        while governor.entries(lapsed, 1).unwrap().entries.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    governor.adopt(Arc::new(policy("0.00015"))).await.unwrap();
    close(governor).await;
    let logs = std::fs::read_to_string(directory.path().join("telemetry/logs.jsonl")).unwrap();
    let told =
        [news::BUDGET_ALERT, event::BUDGET_ALERT.name].map(|name| logs.matches(&format!("{name}\"")).count());
    assert_eq!(told, [2, 0]);
    directory
}

async fn admitted(governor: &Governor) -> Awu<Reserved> {
    match governor.admit_as(proposal(governor)).await.unwrap() {
        Admission::Admitted(awu) => awu,
        Admission::Refused(refusal) => panic!("nothing limits it: {}", refusal.reason()),
    }
}

async fn open(directory: &Path) -> Governor {
    opened(settings(directory, Policy::unrestricted())).await
}

async fn opened(settings: Settings) -> Governor {
    Governor::open(settings).await.unwrap().0
}

fn settings(directory: &Path, policy: Policy) -> Settings {
    Settings {
        destinations: vec![Destination::Directory { path: directory.join("telemetry") }],
        ..Settings::in_file(directory.join("genops.db"), policy)
    }
}

fn proposal(governor: &Governor) -> Admit {
    let name = |text: &str| Name::new(text).unwrap();
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("staging")).unwrap();
    let proposal = Proposal {
        bound: Tokens::new(100, 20),
        price: Some(Price::flat(name("row"), "1".parse().unwrap(), "2".parse().unwrap())),
        ..Proposal::new(attribution, name("rerank"), name("inference"), name("in-process"), name("small"))
    };
    Admit::new(governor.new_id(), proposal)
}
