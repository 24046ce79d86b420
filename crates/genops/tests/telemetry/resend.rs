//! What a collector rejected is seen, and is sent again when somebody wants it: once it is taken it is gone
//! from the list, and if it is rejected again it stays, with the new reason.

use std::path::Path;
use std::time::Duration;

use genops::Governor;
use genops::core::cursor::DeadLetter;
use genops::ledger::StoreError;
use genops::ledger::views::Views;
use genops::report::ReportError;
use genops::telemetry::{DeadLetterReport, TelemetryReport, resend_in_file, telemetry_of_file};

use super::common::{executing, execution};
use super::receiver::{Mode, PATIENCE, Receiver};
use super::{awus, open, work};

/// Waits until telemetry stands as it should.
async fn until_it_stands(governor: &Governor, is_so: impl Fn(&TelemetryReport) -> bool) {
    let waited = async {
        while !is_so(&governor.telemetry().unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waited).await.is_err() {
        panic!("telemetry does not come to stand as it should: {:?}", governor.telemetry().unwrap());
    }
}

/// Waits until what is dead is as it should be.
pub async fn until(governor: &Governor, is_so: impl Fn(&[DeadLetterReport]) -> bool) {
    until_it_stands(governor, |report| is_so(&dead_letters(report))).await;
}

/// Waits until every follower has told everything.
async fn until_idle(governor: &Governor) {
    until_it_stands(governor, |report| report.followers.iter().all(|follower| follower.waiting == 0)).await;
}

pub fn dead_letters(report: &TelemetryReport) -> Vec<DeadLetterReport> {
    report.followers.iter().flat_map(|follower| follower.dead_letters.clone()).collect()
}

pub fn records(letters: &[DeadLetterReport]) -> u64 {
    letters.iter().map(|letter| letter.records).sum()
}

/// A governor with three AWUs, all of whose telemetry has been rejected.
async fn rejected(path: &Path, receiver: &Receiver) -> Governor {
    receiver.set(Mode::Rejects);
    let governor = open(path, receiver).await;
    work(&governor, 3).await;
    until(&governor, |letters| records(letters) == 3 * 2 + 3 * 3).await;
    governor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_taken_is_gone_and_only_its_entries_are_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = rejected(&directory.path().join("genops.db"), &receiver).await;
    let dead = awus(&governor);
    receiver.set(Mode::Takes);
    work(&governor, 3).await;
    let alive = awus(&governor).difference(&dead).cloned().collect();
    receiver.wait_for(&alive).await;
    assert!(!receiver.has(&dead));

    let marked = governor.resend(None).unwrap();
    assert_eq!(marked.records, 3 * 2 + 3 * 3);
    receiver.wait_for(&dead).await;
    receiver.wait_for_logs(6 * 3).await;
    until(&governor, <[_]>::is_empty).await;
    receiver.assert_one_content();
    assert!(alive.iter().all(|awu| receiver.times(awu) == 1), "what was taken is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_began_before_the_dead_entries_is_told_whole() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = open(&directory.path().join("genops.db"), &receiver).await;
    work(&governor, 2).await;
    let long = executing(&governor).await;
    receiver.wait_for_logs(2 * 3 + 2).await;
    until_idle(&governor).await;
    receiver.set(Mode::Rejects);
    long.settle(execution()).unwrap();
    // Two spans, and the log record of the end.
    until(&governor, |letters| records(letters) == 2 + 1).await;
    receiver.set(Mode::Takes);
    governor.resend(None).unwrap();
    receiver.wait_for(&awus(&governor)).await;
    receiver.wait_for_logs(3 * 3).await;
    until(&governor, <[_]>::is_empty).await;
    receiver.assert_one_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_rejected_again_stays_with_the_new_reason() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = rejected(&directory.path().join("genops.db"), &receiver).await;
    receiver.set(Mode::RejectsOtherwise);
    let traces = governor.telemetry().unwrap().followers.remove(1).name;
    assert!(traces.ends_with(" traces"), "{traces}");
    let marked = governor.resend(Some(&traces)).unwrap();
    assert_eq!(marked.records, 3 * 2);
    until(&governor, |letters| {
        letters
            .iter()
            .filter(|letter| letter.reason.contains("422"))
            .map(|letter| letter.records)
            .sum::<u64>()
            == 3 * 2
    })
    .await;
    until(&governor, |letters| {
        records(letters) == 3 * 2 + 3 * 3 && letters.iter().all(|letter| !letter.to_be_sent)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_delays_a_resend_and_the_resend_delays_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = rejected(&directory.path().join("genops.db"), &receiver).await;
    let dead = awus(&governor);
    receiver.set(Mode::Unavailable);
    governor.resend(None).unwrap();
    let report = governor.telemetry().unwrap();
    assert!(report.followers.iter().flat_map(|one| &one.dead_letters).all(|letter| letter.to_be_sent));
    work(&governor, 2).await;
    receiver.set(Mode::Takes);
    receiver.wait_for(&dead).await;
    receiver.wait_for(&awus(&governor)).await;
    until(&governor, <[_]>::is_empty).await;
    receiver.assert_one_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_marked_in_a_file_is_sent_when_the_ledger_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let receiver = Receiver::start().await;
    let governor = rejected(&path, &receiver).await;
    let dead = awus(&governor);
    let held = resend_in_file(&path, None).unwrap_err();
    assert!(matches!(held, ReportError::Store(StoreError::Held { .. })), "{held}");
    let of_server = governor.telemetry().unwrap();
    let of_file = telemetry_of_file(&path, governor.now()).unwrap();
    assert_eq!(of_file.as_of, of_server.as_of);
    for (one, other) in of_file.followers.iter().zip(&of_server.followers) {
        assert_eq!((&one.name, &one.dead_letters), (&other.name, &other.dead_letters));
        assert_eq!((one.configured, other.configured), (None, Some(true)));
    }
    governor.close().await.unwrap();

    let unknown = resend_in_file(&path, Some("nobody")).unwrap_err();
    assert!(
        matches!(&unknown, ReportError::NoFollower { known, .. } if known.contains("otlp ")),
        "{unknown}"
    );
    assert_eq!(resend_in_file(&path, None).unwrap().records, 3 * 2 + 3 * 3);
    receiver.set(Mode::Takes);
    let governor = open(&path, &receiver).await;
    receiver.wait_for(&dead).await;
    until(&governor, <[_]>::is_empty).await;
    assert!(resend_in_file(&directory.path().join("none.db"), None).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_the_same_entries_are_sent_again_together_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let receiver = Receiver::start().await;
    let governor = rejected(&path, &receiver).await;
    let dead = awus(&governor);
    governor.close().await.unwrap();
    // As of an entry that was too much for a request: a letter for each part, and the last goes beyond it.
    let views = Views::beside(&path).unwrap();
    for letter in views.dead_letters().unwrap() {
        views.bury(&letter).unwrap();
        views.bury(&DeadLetter { through: letter.after + 1, ..letter }).unwrap();
    }
    let letters = views.dead_letters().unwrap().len() as u64;
    drop(views);
    assert_eq!(resend_in_file(&path, None).unwrap().dead_letters, letters);
    receiver.set(Mode::Takes);
    let governor = open(&path, &receiver).await;
    until(&governor, <[_]>::is_empty).await;
    assert!(dead.iter().all(|awu| receiver.times(awu) == 1), "each was told once");
    assert_eq!(receiver.logs(), 3 * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_counted_and_has_an_age() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.set(Mode::Unavailable);
    let governor = open(&directory.path().join("genops.db"), &receiver).await;
    work(&governor, 3).await;
    receiver.wait_for_refusals(2).await;
    let waiting = governor.telemetry().unwrap();
    assert_eq!(waiting.followers.len(), 2);
    for follower in &waiting.followers {
        assert_eq!(follower.delivered_through + follower.waiting, waiting.as_of, "{follower:?}");
        assert!(follower.waiting > 0 && follower.oldest_waiting_at.is_some(), "{follower:?}");
        assert!(follower.oldest_waiting_seconds.is_some(), "{follower:?}");
    }
    receiver.set(Mode::Takes);
    receiver.wait_for(&awus(&governor)).await;
    receiver.wait_for_logs(3 * 3).await;
    until_idle(&governor).await;
}
