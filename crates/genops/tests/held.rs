//! What the library promises to whoever holds an AWU from elsewhere, and to operators.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[expect(dead_code, reason = "permits are for those who hold work in process")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{execution, policy, proposal};
use genops::core::amount::Quantity;
use genops::core::awu::{AwuId, End, Execution, Used};
use genops::core::budget::Budget;
use genops::core::ledger::{Act, Admit, Command, Grant, Idempotency};
use genops::core::news;
use genops::core::policy::Policy;
use genops::core::{Amount, Digest, Name, Timestamp, Unit};
use genops::held::{HeldError, Told};
use genops::operate::Granted;
use genops::report::{BudgetFilter, BudgetReport, EntryFilter, EntryKind};
use genops::{Governor, Settings};

const START: u64 = 1_795_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// How long anything may take that is waited for. Reached only where something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that stands where a test puts it, and knows how often the keeper has looked at it.
#[derive(Clone)]
struct Hand {
    at: Arc<AtomicU64>,
    looks: Arc<AtomicU64>,
}

impl Hand {
    fn at_start() -> Self {
        Self { at: Arc::new(AtomicU64::new(START)), looks: Arc::default() }
    }

    fn put(&self, nanos: u64) {
        self.at.store(nanos, Ordering::SeqCst);
    }

    fn settings(&self, settings: Settings) -> Settings {
        let Self { at, looks } = self.clone();
        let clock = move || {
            if std::thread::current().name() == Some("genops-keeper") {
                looks.fetch_add(1, Ordering::SeqCst);
            }
            Timestamp::from_nanos(at.load(Ordering::SeqCst))
        };
        Settings { clock: Arc::new(clock), ..settings }
    }

    /// Waits until the keeper has looked once more from beginning to end: it asks for the time first, and again only once it
    /// has done what there was to do.
    async fn looked_at(&self) {
        let before = self.looks.load(Ordering::SeqCst);
        wait_for("the keeper to look", async || self.looks.load(Ordering::SeqCst) >= before + 2).await;
    }
}

async fn wait_for(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "waited for {what}");
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn act() -> Act {
    Act { author: name("ops"), reason: name("invoice 4711") }
}

fn keyed(governor: &Governor, key: &str, payload: &str) -> Admit {
    let payload = Digest::of("test", &[payload.as_bytes()]);
    let idempotency = Some(Idempotency { key: name(key), payload });
    Admit { idempotency, ..Admit::new(governor.new_id(), proposal()) }
}

async fn budget(governor: &Governor) -> BudgetReport {
    governor.budgets(&BudgetFilter::default(), 10).await.unwrap().budgets.remove(0)
}

async fn open(limit: &str) -> Governor {
    Governor::open(Settings::in_memory(policy(limit))).await.unwrap().0
}

/// An AWU that executes.
async fn started(governor: &Governor) -> AwuId {
    let told = governor.propose(Admit::new(governor.new_id(), proposal())).await.unwrap();
    governor.start(told.what.id()).await.unwrap();
    told.what.id()
}

async fn until(governor: &Governor, awu: AwuId, state: &str) {
    wait_for(state, async || governor.known(awu).await.unwrap().state() == state).await;
}

#[tokio::test]
async fn the_same_key_is_told_the_same_and_another_request_is_a_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::in_file(directory.path().join("genops.db"), policy("0.001"));
    let (governor, _) = Governor::open(settings()).await.unwrap();
    let first = governor.propose(keyed(&governor, "a", "1")).await.unwrap();
    let again = governor.propose(keyed(&governor, "a", "1")).await.unwrap();
    assert_eq!((again.what.id(), again.is_repeated), (first.what.id(), true));
    let refused = governor.propose(keyed(&governor, "b", "1")).await.unwrap();
    assert_eq!(refused.what.state(), "REFUSED");
    assert!(
        governor
            .propose(keyed(&governor, "a", "2"))
            .await
            .unwrap_err()
            .to_string()
            .contains("another request")
    );
    governor.close().await.unwrap();

    // A refusal is remembered too, and everything by the next process.
    let (governor, _) = Governor::open(settings()).await.unwrap();
    let again = governor.propose(keyed(&governor, "b", "1")).await.unwrap();
    assert_eq!((again.what.id(), again.is_repeated), (refused.what.id(), true));
    let first_again = governor.propose(keyed(&governor, "a", "1")).await.unwrap();
    assert_eq!(first_again.what.decision(), first.what.decision());
}

#[tokio::test]
async fn every_step_may_be_said_again_and_not_otherwise() {
    let governor = open("1").await;
    let awu = started(&governor).await;
    assert!(governor.start(awu).await.unwrap().is_repeated);
    assert!(matches!(governor.release(awu).await, Err(HeldError::Conflict { .. })));
    let settled = governor.settle(awu, execution()).await.unwrap();
    let again = governor.settle(awu, execution()).await.unwrap();
    assert_eq!((settled.what, settled.is_repeated, again.is_repeated), (again.what, false, true));
    let other = Execution { used: Used::Nothing, ..execution() };
    assert!(matches!(governor.settle(awu, other).await, Err(HeldError::Conflict { .. })));
    assert!(matches!(governor.start(awu).await, Err(HeldError::Conflict { .. })));
    let unknown = governor.new_id();
    assert!(matches!(governor.settle(unknown, execution()).await, Err(HeldError::Unknown(_))));
    assert_eq!(budget(&governor).await.used, "0.0000138");
}

#[tokio::test]
async fn a_holder_who_is_silent_is_in_doubt_and_late_news_settle_it() {
    let hand = Hand::at_start();
    let (governor, _) = Governor::open(hand.settings(Settings::in_memory(policy("1")))).await.unwrap();
    // Its first look gives everybody who is there their time again.
    hand.looked_at().await;
    let request = Admit { within_ns: Some(MINUTE / 2), ..Admit::new(governor.new_id(), proposal()) };
    let reserved = governor.propose(request).await.unwrap().what.id();
    let request =
        Admit { within_ns: Some(MINUTE / 2), starts: true, ..Admit::new(governor.new_id(), proposal()) };
    let executing = governor.propose(request).await.unwrap().what.id();
    // Half a minute is no jump.
    hand.put(START + MINUTE / 2 + 1);
    until(&governor, reserved, "RELEASED").await;
    until(&governor, executing, "IN_DOUBT").await;
    assert_eq!(
        (budget(&governor).await.used, budget(&governor).await.in_doubt),
        ("0.00075".into(), "0.00075".into())
    );
    let settled = governor.settle(executing, execution()).await.unwrap();
    assert_eq!((settled.what.state(), settled.is_repeated), ("SETTLED", false));
    assert!(governor.settle(executing, execution()).await.unwrap().is_repeated);
    assert_eq!(
        (budget(&governor).await.used, budget(&governor).await.in_doubt),
        ("0.0000138".into(), "0".into())
    );
}

#[tokio::test]
async fn the_keeper_lets_go_of_a_grant_whose_time_is_over_and_tells_of_what_is_reached_without_it() {
    let hand = Hand::at_start();
    let limited = policy("0.00002");
    let budgets = limited.budgets.iter().map(|all| Budget { alerts: vec![50], ..all.clone() }).collect();
    let settings = Settings::in_memory(Policy { budgets, ..limited });
    let (governor, _) = Governor::open(hand.settings(settings)).await.unwrap();
    let until = Timestamp::from_nanos(START + MINUTE / 2);
    let grant =
        Grant { budget: name("all"), each: Box::default(), amount: Amount::from_whole(1), until, act: act() };
    let number = governor.grant(grant).await.unwrap().what.number;
    let awu = started(&governor).await;
    governor.settle(awu, execution()).await.unwrap();
    let lapsed = || {
        let filter = EntryFilter { kind: Some(EntryKind::Lapsed), ..EntryFilter::default() };
        governor.entries(filter, 10).unwrap().entries
    };
    hand.looked_at().await;
    // What it has done is durable once this is told.
    governor.known(awu).await.unwrap();
    assert_eq!(lapsed(), []);
    hand.put(START + MINUTE / 2);
    wait_for("the grant to lapse", async || !lapsed().is_empty()).await;
    let [entry] = &*lapsed() else { panic!("{:?}", lapsed()) };
    assert_eq!(entry.command, Command::Lapse { grant: number });
    let told: Vec<_> = news::alerts(&entry.outcome)
        .iter()
        .map(|alert| (alert.percent, alert.used.to_string(), alert.allocated.to_string()))
        .collect();
    assert_eq!(told, [(50, "0.0000138".to_owned(), "0.00002".to_owned())]);
}

#[tokio::test]
async fn a_clock_that_jumps_forward_expires_nobody() {
    let hand = Hand::at_start();
    let notices: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&notices);
    let report: Arc<dyn Fn(&str) + Send + Sync> =
        Arc::new(move |notice| told.lock().unwrap().push(notice.to_owned()));
    let settings = Settings { report, ..Settings::in_memory(policy("1")) };
    let (governor, _) = Governor::open(hand.settings(settings)).await.unwrap();
    let awu = started(&governor).await;
    let is_told = |what: &str| notices.lock().unwrap().iter().any(|notice| notice.contains(what));
    // One look of the keeper has to have seen the clock before.
    hand.looked_at().await;
    hand.put(START + 24 * 60 * MINUTE);
    wait_for("the jump to be told", async || is_told("jumped 86")).await;
    hand.looked_at().await;
    assert_eq!(governor.known(awu).await.unwrap().state(), "EXECUTING");
    // Back again: the ledger's time stands still, and somebody is told.
    hand.put(START);
    wait_for("the clock to be told behind", async || is_told("behind")).await;
}

#[tokio::test]
async fn a_holder_outlives_the_process_that_admitted_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::in_file(directory.path().join("genops.db"), policy("1"));
    let (governor, _) = Governor::open(settings()).await.unwrap();
    let awu = started(&governor).await;
    governor.close().await.unwrap();
    let (governor, recovered) = Governor::open(settings()).await.unwrap();
    assert_eq!((recovered.in_doubt, recovered.released), (0, 0));
    assert_eq!(governor.settle(awu, execution()).await.unwrap().what.state(), "SETTLED");
}

#[tokio::test]
async fn operators_resolve_correct_and_grant_and_each_act_is_an_entry() {
    let hand = Hand::at_start();
    let (governor, _) = Governor::open(hand.settings(Settings::in_memory(policy("0.001")))).await.unwrap();
    hand.looked_at().await;
    let request = Admit { within_ns: Some(1), starts: true, ..Admit::new(governor.new_id(), proposal()) };
    let awu = governor.propose(request).await.unwrap().what.id();
    hand.put(START + MINUTE / 2);
    until(&governor, awu, "IN_DOUBT").await;
    let cost = |text: &str| vec![Quantity { unit: Unit::Usd, amount: text.parse().unwrap() }];
    let execution = Execution { end: End::Completed, quantities: cost("0.0005"), ..Execution::abandoned(0) };
    let told = governor.resolve(awu, execution.clone(), act()).await.unwrap();
    assert_eq!(
        governor.resolve(awu, execution, act()).await.unwrap(),
        Told { is_repeated: true, ..told.clone() }
    );
    let record = told.what;
    assert_eq!(
        (record.state(), record.charged_now(0)),
        ("SETTLED", Some(("0.0005".parse().unwrap(), false)))
    );
    let record = governor.correct(awu, &[], &cost("0.0007"), act()).await.unwrap().what;
    assert_eq!(record.charged_now(0), Some(("0.0007".parse().unwrap(), false)));
    // Said again, it changes nothing, and there is no entry.
    let again = governor.correct(awu, &[], &cost("0.0007"), act()).await.unwrap();
    assert_eq!((again.what.later.len(), again.is_repeated), (2, true));
    let charges: Vec<_> =
        (0..4).map(|news| again.what.charged_after(0, news).unwrap().0.to_string()).collect();
    assert_eq!(charges, ["0.00075", "0.0005", "0.0007", "0.0007"]);
    let tokens = [Quantity { unit: Unit::Tokens, amount: Amount::ZERO }];
    assert!(matches!(governor.correct(awu, &[], &tokens, act()).await, Err(HeldError::Conflict { .. })));
    assert_eq!(budget(&governor).await.used, "0.0007");

    let refused = governor.propose(Admit::new(governor.new_id(), proposal())).await.unwrap();
    assert_eq!(refused.what.state(), "REFUSED");
    let grant = Grant {
        budget: name("all"),
        each: Box::default(),
        amount: Amount::from_whole(1),
        until: Timestamp::from_nanos(START + 2 * MINUTE),
        act: act(),
    };
    let told = governor.grant(grant.clone()).await.unwrap();
    assert_eq!(governor.grant(grant).await.unwrap(), Told { is_repeated: true, ..told });
    let Granted { number, cells } = told.what;
    assert_eq!(cells, 1);
    assert_eq!(budget(&governor).await.allocated.as_deref(), Some("1.001"));
    let admitted = governor.propose(Admit::new(governor.new_id(), proposal())).await.unwrap();
    assert_eq!(admitted.what.state(), "RESERVED");
    let listed = governor.grants().await.unwrap().grants;
    let listed: Vec<_> = listed.iter().map(|grant| (grant.number, &*grant.amount, &*grant.author)).collect();
    assert_eq!(listed, [(number, "1", "ops")]);
    let revoked = governor.revoke(number, act()).await.unwrap();
    assert_eq!(governor.grants().await.unwrap().grants, []);
    assert_eq!(budget(&governor).await.allocated.as_deref(), Some("0.001"));
    assert_eq!(governor.revoke(number, act()).await.unwrap(), Told { is_repeated: true, ..revoked });
    let for_another_reason = Act { reason: name("another"), ..act() };
    assert!(governor.revoke(number, for_another_reason).await.is_err());
}
