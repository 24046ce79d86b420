//! A ledger whose old entries have left for an archive: it goes on, and says of what has left where it is.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use genops::core::amount::Quantity;
use genops::core::budget::Budget;
use genops::core::ledger::Act;
use genops::core::period::{Period, Span};
use genops::core::policy::Policy;
use genops::core::{AwuId, Digest, Timestamp, Unit};
use genops::held::HeldError;
use genops::ledger::StoreError;
use genops::ledger::retention::{Through, close_cells, retire};
use genops::ledger::snapshots::{Snapshot, Snapshots};
use genops::ledger::views::{Filter, Views};
use genops::ledger::witness::Head;
use genops::report::{Archive, BudgetFilter, CellFilter, EntryFilter, EntryKind, Recorded, ReportError};
use genops::{Governor, Settings};

use crate::common::{admitted, executing, execution, name, policy};

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
async fn the_query_tables_have_everything_when_a_ledger_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genops.db");
    let governor = open(&path, "1").await;
    settled(&governor).await;
    governor.close().await.unwrap();
    let last = Archive::open(&path).unwrap().books().sequence();
    assert_eq!(Views::beside(&path).unwrap().as_of(), last);
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
    let left = admitted(&governor).await;
    let last = left.id();
    drop(left);
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
    // Given with that archive, which adopts no policy, the ledger still says what was in force where it begins.
    let [of_all, of_two, of_one] = [&all[..], &all[1..], &all[2..]]
        .map(|files| Recorded::find(files, last).unwrap().explanation().unwrap());
    assert_eq!((&of_two, &of_one), (&of_all, &of_all));
}

const DAY: u64 = 86_400_000_000_000;

/// Opens a ledger with a budget for each day, on one of the days.
async fn on_day(path: &Path, day: u64) -> Governor {
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    let daily = Budget { period, ..Budget::new(name("day"), Unit::Usd, "1".parse().unwrap()) };
    let policy = Policy { budgets: vec![daily], ..Policy::unrestricted() };
    let hand = AtomicU64::new(1_795_000_000_000_000_000 + day * DAY);
    let clock = Arc::new(move || Timestamp::from_nanos(hand.fetch_add(1, Ordering::SeqCst)));
    Governor::open(Settings { clock, ..Settings::in_file(path, policy) }).await.unwrap().0
}

#[tokio::test]
async fn a_cell_that_was_closed_is_on_no_page_and_what_was_charged_in_it_is_archived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genops.db");
    let mut awus = Vec::new();
    for day in 0..3 {
        let governor = on_day(&path, day).await;
        awus.push(settled(&governor).await);
        governor.close().await.unwrap();
    }
    // Entry 1 adopts the policy; each AWU has three entries.
    retire(&path, Through::Entry(7), "a test".into(), &folder.path().join("a.jsonl")).unwrap();
    let at = Timestamp::from_nanos(1_795_000_000_000_000_000 + 3 * DAY);
    assert_eq!(close_cells(&path, name("operator"), at).await.unwrap(), 2);

    let governor = on_day(&path, 4).await;
    let page = governor.cells(&CellFilter::default(), 9).await.unwrap();
    let numbers: Vec<_> = page.cells.iter().map(|cell| cell.number).collect();
    assert_eq!((numbers, page.as_of, page.next), (vec![2], 11, None));
    assert_eq!(governor.cell(2).await.unwrap().as_ref(), page.cells.first());
    for closed in 0..2 {
        let told = governor.cell(closed).await.unwrap_err();
        assert!(matches!(told, ReportError::CellClosed { number } if number == closed), "{told}");
    }
    assert_eq!(governor.cell(3).await.unwrap(), None, "it has not been opened");
    let past = BudgetFilter { current: Some(false), ..BudgetFilter::default() };
    assert_eq!(governor.budgets(&past, 9).await.unwrap().budgets.len(), 1);
    assert_eq!(governor.status().unwrap().cells, 1);
    let entries = EntryFilter { from: Some(8), kind: Some(EntryKind::CellsClosed), ..EntryFilter::default() };
    let entries = governor.entries(entries, 9).unwrap().entries;
    assert_eq!((entries.len(), entries[0].sequence), (1, 11));

    // What was charged in them has left with them; the rest is corrected as before.
    let act = Act { author: name("operator"), reason: name("as the invoice says") };
    let nothing = [Quantity { unit: Unit::Usd, amount: "0".parse().unwrap() }];
    let told = governor.correct(awus[0], &[], &nothing, act.clone()).await.unwrap_err();
    assert!(matches!(told, HeldError::Report(ReportError::Store(StoreError::Archived { .. }))), "{told}");
    let unknown = AwuId { trace_id: [7; 16], span_id: [7; 8] };
    let told = governor.correct(unknown, &[], &nothing, act.clone()).await.unwrap_err();
    assert!(matches!(told, HeldError::Report(ReportError::PerhapsArchived { .. })), "{told}");
    governor.correct(awus[2], &[], &nothing, act.clone()).await.unwrap();
    assert!(governor.cell(2).await.unwrap().unwrap().corrected.starts_with('-'));
    // The new day has a number that nobody had.
    settled(&governor).await;
    assert_eq!(governor.cell(3).await.unwrap().unwrap().window, "2026-11-22");
    governor.close().await.unwrap();
}
