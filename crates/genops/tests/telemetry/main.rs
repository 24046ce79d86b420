//! What the outbox promises: everything arrives, each thing with one content, whatever the collector does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[path = "../common/mod.rs"]
mod common;
mod erased;
mod grpc;
mod over_grpc;
mod receiver;
mod resend;
mod webhook;

use std::collections::BTreeSet;
use std::path::Path;

use common::{executing, execution, policy, proposal};
use genops::ledger::retention::{Through, retire};
use genops::ledger::views::Filter;
use genops::telemetry::{Compression, Otlp, telemetry_of_file};
use genops::{Destination, Governor, Settings};
use receiver::{Mode, Receiver};

/// A collector at this port, spoken to in the usual way.
fn otlp(port: u16) -> Otlp {
    Otlp::at(format!("http://127.0.0.1:{port}").parse().unwrap())
}

async fn open_to(path: &Path, otlp: Otlp) -> Governor {
    let settings =
        Settings { destinations: vec![Destination::Otlp(otlp)], ..Settings::in_file(path, policy("1")) };
    Governor::open(settings).await.unwrap().0
}

async fn open(path: &Path, receiver: &Receiver) -> Governor {
    open_to(path, otlp(receiver.port)).await
}

async fn work(governor: &Governor, calls: usize) {
    for _ in 0..calls {
        executing(governor).await.settle(execution()).unwrap();
    }
}

/// Has a closed ledger told from the beginning again.
fn forget_cursors(path: &Path) {
    std::fs::remove_file(path.with_extension("db.views")).unwrap();
    for suffix in ["db.views-wal", "db.views-shm"] {
        std::fs::remove_file(path.with_extension(suffix)).ok();
    }
}

/// Every AWU of the ledger, by its identity in text.
fn awus(governor: &Governor) -> BTreeSet<String> {
    governor.awus(&Filter::default(), 1_000).unwrap().awus.into_iter().map(|awu| awu.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_awu_arrives_as_a_span_and_its_events_as_log_records() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = open(&directory.path().join("genops.db"), &receiver).await;
    work(&governor, 30).await;
    drop(governor.admit(proposal()).await.unwrap());
    receiver.wait_for(&awus(&governor)).await;
    receiver.wait_for_logs(31 * 2 + 30).await;
    receiver.assert_one_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_loses_nothing_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let receiver = Receiver::start().await;
    let governor = open(&path, &receiver).await;
    work(&governor, 10).await;
    receiver.wait_for(&awus(&governor)).await;

    receiver.set(Mode::Unavailable);
    work(&governor, 10).await;
    let open_over_the_restart = executing(&governor).await;
    receiver.wait_for_refusals(1).await;
    // As a crash leaves it: the AWU is not settled.
    std::mem::forget(open_over_the_restart);
    let before = awus(&governor);
    assert!(!receiver.has(&before), "the collector was down");
    drop(governor);

    receiver.set(Mode::Takes);
    let copy = directory.path().join("restarted.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    std::fs::copy(path.with_extension("db.views"), copy.with_extension("db.views")).unwrap();
    std::fs::copy(path.with_extension("db.views-wal"), copy.with_extension("db.views-wal")).ok();
    let governor = open(&copy, &receiver).await;
    work(&governor, 5).await;
    receiver.wait_for(&awus(&governor)).await;
    receiver.assert_one_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collector_rejects_for_good_is_noted_and_blocks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let receiver = Receiver::start().await;
    receiver.set(Mode::Rejects);
    let governor = open(&path, &receiver).await;
    work(&governor, 3).await;
    let rejected = awus(&governor);
    // Both signals have moved on before the collector takes anything again.
    resend::until(&governor, |letters| resend::records(letters) == 3 * 2 + 3 * 3).await;
    receiver.set(Mode::Takes);
    work(&governor, 3).await;
    let taken = awus(&governor).difference(&rejected).cloned().collect();
    receiver.wait_for(&taken).await;
    assert!(rejected.iter().all(|awu| receiver.times(awu) == 0), "what was rejected is not sent again");
    let letters = resend::dead_letters(&governor.telemetry().unwrap());
    assert_eq!(resend::records(&letters), 3 * 2 + 3 * 3);
    assert!(letters.iter().all(|letter| letter.reason.contains("400")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_with_a_small_limit_gets_smaller_requests() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.set(Mode::Unavailable);
    let governor = open(&directory.path().join("genops.db"), &receiver).await;
    work(&governor, 150).await;
    receiver.wait_for_refusals(2).await;
    receiver.set(Mode::TakesAtMost(200_000));
    receiver.wait_for(&awus(&governor)).await;
    receiver.assert_one_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compressed_inflates_to_the_same_records() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let path = directory.path().join("genops.db");
    let packed = Otlp { compression: Compression::Gzip, ..otlp(receiver.port) };
    let governor = open_to(&path, packed).await;
    work(&governor, 5).await;
    receiver.wait_for(&awus(&governor)).await;
    receiver.wait_for_logs(5 * 3).await;
    governor.close().await.unwrap();
    let packed = receiver.packed();
    assert!(packed >= 2, "traces and log records came compressed");
    // Without its cursors a ledger is told from the beginning, and this time uncompressed.
    forget_cursors(&path);
    let governor = open(&path, &receiver).await;
    receiver.wait_for_contents(2).await;
    receiver.assert_one_content();
    assert_eq!(receiver.packed(), packed, "the second time nothing came compressed");
    drop(governor);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_new_destination_has_not_been_told_stays_though_it_never_took_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let without = Settings::in_file(&path, policy("1"));
    let governor = Governor::open(without).await.unwrap().0;
    for _ in 0..3 {
        executing(&governor).await.settle(execution()).unwrap().durable().await.unwrap();
    }
    governor.close().await.unwrap();
    // Entry 1 adopts the policy; each AWU has three entries.
    let to = |name: &str| directory.path().join(name);
    retire(&path, Through::Entry(4), "a test".into(), &to("a.jsonl")).unwrap();

    let down = grpc::down().await;
    let governor = open(&path, &down).await;
    for report in [governor.telemetry().unwrap(), telemetry_of_file(&path, governor.now()).unwrap()] {
        assert_eq!(report.followers.len(), 2, "{report:?}");
        for follower in report.followers {
            assert_eq!((follower.delivered_through, follower.waiting), (4, 6), "{follower:?}");
            assert!(follower.oldest_waiting_at.is_some(), "{follower:?}");
        }
    }
    governor.close().await.unwrap();
    let refused = retire(&path, Through::Entry(7), "a test".into(), &to("b.jsonl")).unwrap_err().to_string();
    assert!(refused.contains("has delivered what comes before entry 5 and no more"), "{refused}");
}

#[tokio::test]
async fn two_destinations_that_are_one_are_refused() {
    let destinations = vec![Destination::Otlp(otlp(4318)), Destination::Otlp(otlp(4318))];
    let settings = Settings { destinations, ..Settings::in_memory(policy("1")) };
    let refused = Governor::open(settings).await.unwrap_err().to_string();
    assert!(refused.contains("two destinations of telemetry are the same"), "{refused}");
}
