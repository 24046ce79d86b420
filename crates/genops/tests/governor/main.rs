//! What the library promises to whoever embeds it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod archived;
mod cells;
#[path = "../common/mod.rs"]
mod common;
mod retained;

use std::time::Duration;

use common::{admitted, executing, execution, policy, proposal};
use genops::core::Name;
use genops::core::ledger::Admit;
use genops::core::policy::Policy;
use genops::ledger::recover;
use genops::ledger::sqlite::SqliteStore;
use genops::ledger::views::Filter;
use genops::report::{BudgetFilter, BudgetReport};
use genops::{Admission, Governor, Settings};

async fn budget_of(governor: &Governor) -> BudgetReport {
    governor.budgets(&BudgetFilter::default(), 1).await.unwrap().budgets.remove(0)
}

async fn governor(limit: &str) -> Governor {
    Governor::open(Settings::in_memory(policy(limit))).await.unwrap().0
}

#[tokio::test]
async fn work_that_is_dropped_before_it_starts_gives_its_reservation_back() {
    let governor = governor("1").await;
    drop(admitted(&governor).await);
    let budget = budget_of(&governor).await;
    assert_eq!((budget.outstanding.as_str(), budget.used.as_str()), ("0", "0"));
    admitted(&governor).await.release().unwrap();
    assert_eq!(budget_of(&governor).await.outstanding, "0");
}

#[tokio::test]
async fn work_that_is_dropped_while_it_runs_is_charged_its_reservation_and_marked() {
    let governor = governor("1").await;
    drop(executing(&governor).await);
    let budget = budget_of(&governor).await;
    assert_eq!((budget.outstanding.as_str(), budget.used.as_str()), ("0", "0.00075"));
    let page = governor.awus(&Filter::default(), 10).unwrap();
    let awu = page.awus.first().unwrap();
    assert!(awu.incomplete);
    assert_eq!((awu.state.as_str(), awu.end.as_deref()), ("SETTLED", Some("abandoned")));
}

#[tokio::test]
async fn an_admission_that_started_and_was_never_handed_out_used_nothing() {
    let governor = governor("1").await;
    let request = Admit { starts: true, ..Admit::new(governor.new_id(), proposal()) };
    let Admission::Admitted(awu) = governor.admit_as(request).await.unwrap() else { panic!("refused") };
    drop(awu);
    let budget = budget_of(&governor).await;
    assert_eq!((budget.outstanding.as_str(), budget.used.as_str()), ("0", "0"));
}

#[tokio::test]
async fn whoever_stops_waiting_for_an_admission_leaves_nothing_reserved() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::in_file(directory.path().join("genops.db"), policy("1"));
    let (governor, _) = Governor::open(settings).await.unwrap();
    for _ in 0..50 {
        // The timeout lets the admission begin, and gives up before the disk has answered.
        drop(tokio::time::timeout(Duration::ZERO, governor.admit(proposal())).await);
    }
    let budget = budget_of(&governor).await;
    assert_eq!((budget.outstanding.as_str(), budget.used.as_str()), ("0", "0"));
    let page = governor.awus(&Filter::default(), 100).unwrap();
    assert!(page.awus.iter().all(|awu| awu.state == "RELEASED"), "{page:?}");
    assert!(!page.awus.is_empty(), "no admission began");
}

#[tokio::test]
async fn a_settlement_posts_what_was_used_and_releases_the_rest() {
    let governor = governor("0.00075").await;
    let awu = executing(&governor).await;
    let Admission::Refused(refusal) = governor.admit(proposal()).await.unwrap() else { panic!("overspent") };
    assert_eq!(refusal.decision().reason_code().unwrap().as_str(), "BUDGET_EXCEEDED");
    awu.settle(execution()).unwrap().durable().await.unwrap();
    let budget = budget_of(&governor).await;
    assert_eq!((budget.outstanding.as_str(), budget.used.as_str()), ("0", "0.0000138"));
    let Admission::Refused(refusal) = governor.admit(proposal()).await.unwrap() else { panic!("overspent") };
    assert_eq!(refusal.decision().reason_code().unwrap().as_str(), "BUDGET_RESERVATION_FAILED");
}

#[tokio::test]
async fn a_new_policy_counts_on_in_the_same_cells() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    for (limit, remaining) in [("1", "0.9999862"), ("2", "1.9999724"), ("0.00002", "-0.0000076")] {
        let (governor, _) = Governor::open(Settings::in_file(&path, policy(limit))).await.unwrap();
        match governor.admit(proposal()).await.unwrap() {
            Admission::Admitted(awu) => {
                let awu = awu.start().await.unwrap();
                awu.settle(execution()).unwrap().durable().await.unwrap();
            }
            Admission::Refused(refusal) => {
                assert_eq!(refusal.decision().reason_code().unwrap().as_str(), "BUDGET_EXCEEDED");
            }
        }
        assert_eq!(budget_of(&governor).await.remaining.as_deref(), Some(remaining), "{limit}");
        governor.close().await.unwrap();
    }
}

/// Periods begin by the clocks of the edition that decides, so which one it is stands in the journal.
#[tokio::test]
async fn a_program_with_another_edition_of_time_zones_adopts_the_policy_anew_and_the_same_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let current = policy("1");
    let before = Policy { zone_rules: Name::new("2019a").unwrap(), ..current.clone() };
    for (policy, entries) in [(&before, 1), (&current, 2), (&current, 2)] {
        let (governor, _) = Governor::open(Settings::in_file(path.clone(), policy.clone())).await.unwrap();
        governor.close().await.unwrap();
        let books = recover::replay(&mut SqliteStore::read(&path).unwrap()).unwrap().books;
        assert_eq!((books.sequence(), books.policy()), (entries, policy));
    }
}
