//! A ledger whose old entries have left for an archive: it goes on, and says of what has left where it is.

use std::path::Path;
use std::sync::{Arc, Mutex};

use genops::core::{AwuId, Digest};
use genops::ledger::StoreError;
use genops::ledger::retention::{Through, retire};
use genops::ledger::snapshots::{Snapshot, Snapshots};
use genops::ledger::views::Filter;
use genops::ledger::witness::Head;
use genops::report::{Archive, BudgetFilter, Recorded, ReportError};
use genops::{Governor, Settings};

use crate::common::{admitted, executing, execution, policy};

async fn open(path: &Path, limit: &str) -> Governor {
    Governor::open(Settings::in_file(path, policy(limit))).await.unwrap().0
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_used_is_told_of_when_the_ledger_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genops.db");
    let governor = open(&path, "1").await;
    settled(&governor).await;
    governor.close().await.unwrap();
    let books = Archive::open(&path).unwrap().books().clone();
    let foreign = Head { sequence: books.sequence(), hash: Digest::of("another journal", &[]) };
    Snapshots::open(&path).unwrap().put(&Snapshot::of(foreign, &books).unwrap()).unwrap();

    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let report = Arc::new(move |notice: &str| hear.lock().unwrap().push(notice.to_owned()));
    let settings = Settings { report, ..Settings::in_file(&path, policy("1")) };
    let (governor, recovered) = Governor::open(settings).await.unwrap();
    assert_eq!((recovered.entries, recovered.snapshot), (books.sequence(), 0));
    assert_eq!(told.lock().unwrap().len(), 1);
    assert!(told.lock().unwrap()[0].contains("is not of this journal and was passed over"), "{told:?}");
    governor.close().await.unwrap();
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
    let told = |awu| (governor.awu(awu).unwrap().unwrap(), governor.explain(awu).unwrap().unwrap());
    let told = [first, second, third].map(|awu| (awu, told(awu)));
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
    let explained = governor.explain(third).unwrap();
    assert!(explained.is_some());
    drop(admitted(&governor).await);
    governor.close().await.unwrap();

    // It stays known when another is in force.
    let governor = open(&path, "3").await;
    assert_eq!(governor.explain(third).unwrap(), explained);
    let (AwuId { trace_id, .. }, unknown) = (third, [7; 8]);
    let unknown = AwuId { trace_id, span_id: unknown };
    assert!(matches!(governor.awu(unknown), Err(ReportError::PerhapsArchived { through: 8, .. })));
    governor.close().await.unwrap();
    // One that was adopted before, too, is found where it was adopted last.
    let governor = open(&path, "1").await;
    let fourth = settled(&governor).await;
    governor.close().await.unwrap();
    let governor = open(&path, "2").await;
    assert!(governor.explain(fourth).unwrap().is_some());
    governor.close().await.unwrap();
    let mut file = Archive::open(&path).unwrap();
    assert!(matches!(file.awu(first), Err(ReportError::PerhapsArchived { through: 8, .. })));
    assert_eq!(file.awus(&Filter::default(), 9).unwrap().archived, Some(8));

    // Of one AWU the files are asked as well: the ledger alone, and with what has left it.
    let both = [folder.path().join("a.jsonl"), path];
    for (awu, (report, explanation)) in told {
        let found = Recorded::find(&both, awu).unwrap();
        assert_eq!(
            (found.report().unwrap(), found.explanation().unwrap(), found.end()),
            (report, explanation, None)
        );
        let alone = Recorded::find(&both[1..], awu);
        match alone {
            Ok(alone) => assert_eq!((awu, Some(alone.explanation().unwrap())), (third, explained.clone())),
            Err(ReportError::NotRecorded { first, archives, .. }) => {
                assert_eq!((first, archives), (9, vec![(8, "a.jsonl".to_owned())]));
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Another archive alone does not have what its AWUs were decided by.
    retire(&both[1], Through::Entry(11), "a test".into(), &folder.path().join("b.jsonl")).unwrap();
    let found = Recorded::find(&[folder.path().join("b.jsonl")], third).unwrap();
    assert_eq!(found.end(), Some(11));
    assert!(matches!(found.explanation(), Err(ReportError::NoPolicy(_))));
    let all = ["a.jsonl", "b.jsonl", "genops.db"].map(|name| folder.path().join(name));
    assert_eq!(Recorded::find(&all, third).unwrap().explanation().ok(), explained);
}
