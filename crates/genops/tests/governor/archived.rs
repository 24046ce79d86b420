//! A ledger whose old entries have left for an archive: it goes on, and says of what has left where it is.

use std::path::Path;

use genops::core::AwuId;
use genops::ledger::StoreError;
use genops::ledger::retention::{Through, retire};
use genops::ledger::views::Filter;
use genops::report::{Archive, BudgetFilter, ReportError};
use genops::{Governor, Settings};

use crate::common::{admitted, executing, execution, policy};

async fn open(path: &Path, limit: &str) -> Governor {
    Governor::open(Settings::in_file(path, policy(limit))).await.unwrap().0
}

async fn settled(governor: &Governor) -> AwuId {
    let awu = executing(governor).await;
    let id = awu.id();
    awu.settle(execution()).unwrap().durable().await.unwrap();
    id
}

#[tokio::test]
async fn what_has_left_the_ledger_is_said_to_be_archived_and_everything_else_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genops.db");
    let governor = open(&path, "1").await;
    let first = settled(&governor).await;
    governor.close().await.unwrap();
    // Entry 5 adopts the second policy, and the AWU after it is the last to leave: 6, 7, 8.
    let governor = open(&path, "2").await;
    let second = settled(&governor).await;
    let third = settled(&governor).await;
    let under_both = governor.budgets(&BudgetFilter::default(), 1).await.unwrap();
    // The tables know all of them.
    assert_eq!(governor.awus(&Filter::default(), 9).unwrap().archived, None);
    governor.close().await.unwrap();
    retire(&path, Through::Entry(8), "a test".into(), &folder.path().join("a.jsonl")).unwrap();

    let governor = open(&path, "2").await;
    assert_eq!(governor.budgets(&BudgetFilter::default(), 1).await.unwrap(), under_both);
    for archived in [first, second] {
        let told = governor.explain(archived).unwrap_err();
        assert!(matches!(told, ReportError::Store(StoreError::Archived { through: 8, .. })), "{told}");
        assert!(governor.awu(archived).is_err());
    }
    let page = governor.awus(&Filter::default(), 9).unwrap();
    assert_eq!((page.awus.len(), page.next, page.archived), (1, None, Some(8)));
    // Its policy was adopted in an entry that has left, and is in force.
    assert!(governor.explain(third).unwrap().is_some());
    drop(admitted(&governor).await);
    governor.close().await.unwrap();

    // Once another is in force, nobody here knows it any more.
    let governor = open(&path, "3").await;
    let told = governor.explain(third).unwrap_err();
    assert!(matches!(told, ReportError::PolicyArchived { through: 8, .. }), "{told}");
    governor.close().await.unwrap();
    let mut file = Archive::open(&path).unwrap();
    assert!(matches!(file.explain(third), Err(ReportError::PolicyArchived { through: 8, .. })));
    assert!(matches!(file.awu(first), Err(ReportError::PerhapsArchived { through: 8, .. })));
    assert_eq!(file.awus(&Filter::default(), 9).unwrap().archived, Some(8));
}
