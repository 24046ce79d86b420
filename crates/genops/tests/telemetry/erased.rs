//! Once a person is erased, nobody is told its value any more: not by what waited for a collector that was down, nor by what
//! was under way, nor by dead letters that are sent again. All of it arrives all the same, under the pseudonym.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genops::core::awu::{Labels, Proposal};
use genops::core::ledger::Act;
use genops::core::selector::Facet;
use genops::telemetry::{Otlp, Protocol};
use genops::{Admission, Destination, Governor, Settings};

use super::common::{execution, name, policy, proposal};
use super::receiver::{Mode, Receiver};
use super::resend::{dead_letters, records, until};
use super::{awus, forget_cursors, grpc, open, otlp, work};

pub const ACME: &str = "acme-of-springfield";
const OTHER: &str = "somebody-else-entirely";

/// One AWU of a customer.
pub async fn work_of(governor: &Governor, customer: &str) {
    let labels = Labels { customer_id: Some(name(customer)), ..Labels::default() };
    let Admission::Admitted(awu) = governor.admit(Proposal { labels, ..proposal() }).await.unwrap() else {
        panic!("refused")
    };
    let posted = awu.start().await.unwrap().settle(execution()).unwrap();
    posted.durable().await.unwrap();
}

/// Erases a customer; gives its pseudonym.
pub async fn erase(governor: &Governor, customer: &str) -> String {
    let act = Act { author: name("ops"), reason: name("they asked for it") };
    governor.erase(Facet::CustomerId, &name(customer), act).await.unwrap().pseudonym.to_string()
}

/// One AWU of each of two customers, whose telemetry the collector has been offered and has not taken.
async fn offered(path: &Path, receiver: &Receiver, mode: Mode) -> Governor {
    receiver.set(mode);
    // Nobody is given up for being slow.
    let to = Otlp { timeout: Duration::from_secs(3_600), ..otlp(receiver.port) };
    let settings =
        Settings { destinations: vec![Destination::Otlp(to)], ..Settings::in_file(path, policy("1")) };
    let governor = Governor::open(settings).await.unwrap().0;
    work_of(&governor, ACME).await;
    work_of(&governor, OTHER).await;
    receiver.wait_until_seen(ACME).await;
    receiver.wait_for_refusals(2).await;
    governor
}

async fn until_rejected(governor: &Governor, expected: u64) {
    until(governor, |letters| records(letters) == expected).await;
}

/// Everything arrives, once each, and says the pseudonym.
async fn arrives_without_the_value(governor: &Governor, receiver: &Receiver, pseudonym: &str) {
    receiver.wait_for(&awus(governor)).await;
    receiver.wait_for_logs(2 * 3).await;
    assert!(!receiver.has_seen(ACME), "it was told after it had been erased");
    assert!(receiver.has_seen(pseudonym) && receiver.has_seen(OTHER));
    assert!(awus(governor).iter().all(|awu| receiver.times(awu) == 1), "each was taken once");
    assert_eq!(receiver.logs(), 2 * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_collector_that_is_down_says_nobody_who_was_erased_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (receiver, running) = Receiver::start_to_stop().await;
    let governor = offered(&directory.path().join("genops.db"), &receiver, Mode::Unavailable).await;
    // So what was sent before the erasure is not heard after it.
    running.stop().await;
    let pseudonym = erase(&governor, ACME).await;
    receiver.forget_requests();
    let _running = receiver.start_again().await;
    // It is offered again and still not taken: already under the pseudonym.
    receiver.wait_until_seen(&pseudonym).await;
    assert!(!receiver.has_seen(ACME));
    receiver.set(Mode::Takes);
    arrives_without_the_value(&governor, &receiver, &pseudonym).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_somebody_is_erased_is_given_up_and_told_by_the_pseudonym() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let governor = offered(&directory.path().join("genops.db"), &receiver, Mode::Silent).await;
    receiver.set(Mode::Takes);
    receiver.forget_requests();
    let pseudonym = erase(&governor, ACME).await;
    arrives_without_the_value(&governor, &receiver, &pseudonym).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_sent_again_says_nobody_who_was_erased_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let receiver = Receiver::start().await;
    let governor = offered(&path, &receiver, Mode::Rejects).await;
    until_rejected(&governor, 2 * 2 + 2 * 3).await;
    let pseudonym = erase(&governor, ACME).await;
    receiver.forget_requests();
    receiver.set(Mode::Takes);
    governor.resend(None).unwrap();
    arrives_without_the_value(&governor, &receiver, &pseudonym).await;
    until(&governor, <[_]>::is_empty).await;
    // The same of a new process that tells everything again.
    governor.close().await.unwrap();
    forget_cursors(&path);
    let _governor = open(&path, &receiver).await;
    receiver.wait_for_contents(2).await;
    assert!(!receiver.has_seen(ACME));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collector_says_of_a_request_that_names_somebody_is_nowhere_kept() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = grpc::down().await;
    let _running = grpc::up(&receiver, 4 << 20).await;
    receiver.set(Mode::Rejects);
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    let settings = Settings {
        destinations: vec![Destination::Otlp(Otlp { protocol: Protocol::Grpc, ..otlp(receiver.port) })],
        report: Arc::new(move |notice| heard.lock().unwrap().push_str(notice)),
        ..Settings::in_file(directory.path().join("genops.db"), policy("1"))
    };
    let governor = Governor::open(settings).await.unwrap().0;
    work(&governor, 1).await;
    until_rejected(&governor, 2 + 3).await;
    let reasons = |governor: &Governor| {
        dead_letters(&governor.telemetry().unwrap())
            .into_iter()
            .map(|letter| letter.reason)
            .collect::<String>()
    };
    assert!(reasons(&governor).contains("not this, of nobody"), "{}", reasons(&governor));
    work_of(&governor, ACME).await;
    until_rejected(&governor, 2 * 2 + 2 * 3).await;
    assert!(reasons(&governor).contains("INVALID_ARGUMENT (its words"), "{}", reasons(&governor));
    erase(&governor, ACME).await;
    assert!(!reasons(&governor).contains(ACME) && !said.lock().unwrap().contains(ACME));
    governor.close().await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(ACME.len()).any(|window| window == ACME.as_bytes()));
    }
}
