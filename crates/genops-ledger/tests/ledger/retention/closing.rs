//! Cells of periods that are over leave the books once the entries have left that were charged in them, wherever that is
//! interrupted; archives and ledger stay one journal.

use std::path::PathBuf;
use std::sync::Arc;

use genops_core::budget::Budget;
use genops_core::ledger::{Books, CellId, Command};
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::{Amount, Name, Timestamp, Unit};
use genops_ledger::frame::Frame;
use genops_ledger::recover::{self, Replayed};
use genops_ledger::redecide::redecide;
use genops_ledger::retention::{ArchiveError, Through, close_cells, retire};
use genops_ledger::snapshots::Snapshots;
use genops_ledger::source::Sources;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{FrameReader, Store, StoreError};
use genops_ledger::verify::{Verified, verify};
use genops_ledger::witness::Witness;

use crate::work::{admit, admit_and_start, settle, wall};
use crate::{OnDisk, Place};

const DAY: u64 = 86_400_000_000_000;

fn day(number: u64) -> Timestamp {
    wall().plus_nanos(number * DAY)
}

fn author() -> Name {
    Name::new("operator").unwrap()
}

/// A budget for each day, and one for good.
fn policy() -> Command {
    let ever = Budget::new(Name::new("ever").unwrap(), Unit::Usd, "9".parse().unwrap());
    let period = Period::Calendar { span: Span::Day, zone: Name::new("UTC").unwrap() };
    let daily = Budget { period, name: Name::new("day").unwrap(), ..ever.clone() };
    Command::AdoptPolicy(Arc::new(Policy { budgets: vec![ever, daily], ..Policy::unrestricted() }))
}

/// A ledger of one AWU a day, closed. Entry 1 adopts the policy; 2 and 3 are of the first day, 4 and 5 of the next.
async fn of_days(days: u64) -> (OnDisk, Books) {
    let place = OnDisk::new();
    let (ledger, _) = recover::open(place.store(), day(0)).await.unwrap();
    ledger.submit(day(0), policy()).unwrap();
    for number in 0..days {
        let awu = u32::try_from(number).unwrap();
        ledger.submit(day(number), admit_and_start(awu)).unwrap();
        ledger.submit(day(number), settle(awu)).unwrap().durable().await.unwrap();
    }
    let books = ledger.read(Clone::clone).unwrap();
    (place, books)
}

impl OnDisk {
    fn file(&self, name: &str) -> PathBuf {
        self.path().with_file_name(name)
    }

    fn retire(&self, through: u64, to: &str) {
        retire(&self.path(), Through::Entry(through), "a test".into(), &self.file(to)).unwrap();
    }

    async fn close(&self, wall: Timestamp) -> Result<u64, ArchiveError> {
        close_cells(&self.path(), author(), wall).await
    }

    fn resumed(&self) -> Replayed {
        recover::resume(&mut SqliteStore::read(&self.path()).unwrap(), u64::MAX).unwrap()
    }

    fn sources(&self, archives: &[&str]) -> Sources {
        let archives = archives.iter().map(|name| self.file(name));
        Sources::open(&archives.chain([self.path()]).collect::<Vec<_>>()).unwrap()
    }

    /// Verified with its snapshots, and decided anew.
    fn verified(&self, archives: &[&str]) -> Verified {
        let sources = self.sources(archives);
        let mut witness = Witness::default().with_snapshots(sources.snapshots().unwrap());
        let verified = verify(sources.begins(), sources, &mut witness).unwrap();
        let redecided = redecide(self.sources(archives)).unwrap();
        assert_eq!((redecided.decided, redecided.evolved), (verified.last, 0));
        assert_eq!(Some(&redecided.replayed.books), verified.books.as_ref());
        verified
    }
}

fn numbers(books: &Books) -> Vec<u32> {
    books.cells_from(CellId::default()).map(|(id, _)| id.number()).collect()
}

#[tokio::test]
async fn cells_leave_with_the_entries_that_were_charged_in_them_and_both_are_one_journal() {
    let (place, before) = of_days(5).await;
    assert_eq!(numbers(&before), [0, 1, 2, 3, 4, 5]);
    assert_eq!(place.close(day(5)).await.unwrap(), 0, "nothing is archived, so everything can be corrected");
    // Three days leave; of the third the frame is cut before it ends, so it stays.
    place.retire(6, "a.jsonl");
    assert_eq!(place.close(day(5)).await.unwrap(), 2);
    assert_eq!(place.close(day(5)).await.unwrap(), 0, "done again, it closes no more");
    let verified = place.verified(&["a.jsonl"]);
    assert_eq!((verified.first, verified.last), (1, before.sequence() + 1));
    let after = place.resumed();
    assert_eq!((numbers(&after.books), after.snapshot), (vec![0, 3, 4, 5], before.sequence() + 1));
    assert_eq!(after.books.cells()[0], before.cells()[0]);
    assert_eq!(after.books.cells()[1..], before.cells()[3..]);
    assert_eq!(Some(after.books), verified.books);

    // It goes on from there, with numbers that nobody had.
    let (ledger, _) = recover::open(place.store(), day(6)).await.unwrap();
    ledger.submit(day(6), admit_and_start(9)).unwrap();
    ledger.submit(day(6), settle(9)).unwrap().durable().await.unwrap();
    assert_eq!(ledger.read(numbers).unwrap(), [0, 3, 4, 5, 6]);
    drop(ledger);
    place.retire(14, "b.jsonl");
    assert_eq!(
        place.close(day(9)).await.unwrap(),
        3,
        "the last day was not over when the last entry was written"
    );
    let books = place.verified(&["a.jsonl", "b.jsonl"]).books.unwrap();
    let one = before.cells()[1].totals.admitted;
    let six = (0..6).fold(Amount::ZERO, |sum, _| sum.checked_add(one).unwrap());
    assert_eq!((numbers(&books), books.cells()[0].totals.admitted), (vec![0, 6], six));
}

#[tokio::test]
async fn wherever_closing_cells_is_interrupted_it_can_be_done_again_and_nothing_is_lost() {
    // Before the entry, or while entries were forgotten: some of those that left are here yet.
    for left in 0..=3 {
        let (place, before) = of_days(4).await;
        let frames = frames(&place);
        place.retire(5, "a.jsonl");
        let mut store = place.store();
        frames
            .iter()
            .filter(|frame| frame.last() <= 5)
            .rev()
            .take(left)
            .for_each(|frame| store.append(frame, &[]).unwrap());
        drop(store);
        assert_eq!(place.resumed().books, before, "{left} were left");
        assert_eq!(place.close(day(4)).await.unwrap(), 2, "{left} were left");
        place.verified(&["a.jsonl"]);
    }
    // After the entry: there is no snapshot of it, or none at all but the one from before.
    let (place, _) = of_days(4).await;
    place.retire(5, "a.jsonl");
    assert_eq!(place.close(day(4)).await.unwrap(), 2);
    let whole = place.resumed();
    let file = rusqlite::Connection::open(place.path()).unwrap();
    file.execute("DELETE FROM snapshots WHERE sequence = 10", []).unwrap();
    drop(file);
    let found = place.resumed();
    assert_eq!((found.snapshot, &found.books, found.head), (9, &whole.books, whole.head));
    assert_eq!(place.close(day(4)).await.unwrap(), 0);
    assert_eq!(place.verified(&["a.jsonl"]).books, Some(whole.books));
}

fn frames(place: &OnDisk) -> Vec<Frame> {
    let mut reader = SqliteStore::read(&place.path()).unwrap();
    let mut frames: Vec<Frame> = Vec::new();
    while let Some(frame) = reader.behind(frames.last()).unwrap() {
        frames.push(frame);
    }
    frames
}

#[tokio::test]
async fn a_cell_in_which_an_awu_is_open_stays_however_old_it_is() {
    let (place, _) = of_days(2).await;
    let (ledger, _) = recover::open(place.store(), day(2)).await.unwrap();
    ledger.submit(day(2), admit_and_start(7)).unwrap().durable().await.unwrap();
    drop(ledger);
    // At the next start it is in doubt, and the entries from its admission on stay.
    place.retire(5, "a.jsonl");
    assert_eq!(place.close(day(30)).await.unwrap(), 2);
    let books = place.resumed().books;
    assert_eq!((numbers(&books), books.open_awus().len()), (vec![0, 3], 1));
    assert!(books.cells()[1].totals.in_doubt > Amount::ZERO);
    place.verified(&["a.jsonl"]);
}

#[tokio::test]
async fn a_ledger_that_somebody_holds_keeps_its_cells() {
    let (place, before) = of_days(3).await;
    place.retire(5, "a.jsonl");
    let held = place.store();
    let refused = place.close(day(3)).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Store(StoreError::Held { .. })), "{refused}");
    drop(held);
    assert_eq!(place.resumed().books, before);
    assert!(matches!(
        close_cells(&place.file("nowhere.db"), author(), day(3)).await,
        Err(ArchiveError::Store(StoreError::Missing { .. }))
    ));
}

#[tokio::test]
async fn snapshots_do_not_grow_with_cells_that_were_closed() {
    let sizes = |place: &OnDisk| {
        let snapshots = Snapshots::read(&place.path()).unwrap();
        snapshots.get(snapshots.list().unwrap()[0]).unwrap().bytes.len()
    };
    let (place, _) = of_days(3).await;
    place.retire(6, "first.jsonl");
    place.close(day(3)).await.unwrap();
    let small = sizes(&place);
    // What is reserved and given back leaves nothing but cells.
    let (ledger, _) = recover::open(place.store(), day(3)).await.unwrap();
    for number in 10..110 {
        let wall = day(u64::from(number));
        ledger.submit(wall, admit(number)).unwrap();
        ledger.submit(wall, crate::work::release(number)).unwrap().durable().await.unwrap();
    }
    let cells = ledger.read(|books| books.cells().len()).unwrap();
    drop(ledger);
    recover::take_snapshot(&place.path(), u64::MAX, 2).unwrap();
    let large = sizes(&place);
    assert!(cells > 100 && large > 10 * small, "{cells} cells in {large} bytes, before {small}");
    let last = place.resumed().books.sequence();
    place.retire(last, "second.jsonl");
    assert_eq!(place.close(day(200)).await.unwrap() + 2, u64::try_from(cells).unwrap());
    let again = sizes(&place);
    assert!(again < small + 20, "{again} bytes, before {small}");
    assert_eq!(place.resumed().books.cells().len(), 2);
    place.verified(&["first.jsonl", "second.jsonl"]);
}
