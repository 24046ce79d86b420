//! What snapshots and archives promise: a snapshot changes no result, and nothing leaves a ledger that is needed or lost.

mod closing;
mod interrupted;

use std::path::{Path, PathBuf};

use genops_core::cursor::Cursor;
use genops_core::ledger::{self, Books};
use genops_core::policy::Policy;
use genops_core::record::AwuRecord;
use genops_core::{Digest, Timestamp};
use genops_ledger::export::Wanted;
use genops_ledger::frame::Frame;
use genops_ledger::retention::{ArchiveError, Needs, Through, archive, restore, retire};
use genops_ledger::snapshots::{Snapshot, Snapshots};
use genops_ledger::source::Sources;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{Store, StoreError};
use genops_ledger::verify::{Verified, verify};
use genops_ledger::views::{Filter, Views};
use genops_ledger::witness::{Head, Witness};
use genops_ledger::{Journal, OpenError, recover};

use crate::work::{admit, admit_and_start, awu, budget_of, orphan, settle, wall};
use crate::{OnDisk, Place, open};

/// A ledger of ten frames with two entries each, closed.
struct Closed {
    folder: tempfile::TempDir,
    frames: Vec<Frame>,
}

impl Closed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("genops.db")).unwrap();
        let mut books = Books::default();
        let (mut head, mut frames) = (Digest::ZERO, Vec::new());
        for number in 0..10 {
            let mut entry = |command| ledger::apply(&mut books, wall(), command).unwrap();
            let entries = [entry(admit_and_start(number)), entry(settle(number))];
            let (mut payload, mut ends) = (Vec::new(), Vec::new());
            for entry in &entries {
                payload = postcard::to_extend(entry, payload).unwrap();
                ends.push(payload.len());
            }
            let frame = Frame::seal(head, entries[0].sequence, payload, &ends);
            store.append(&frame, &[]).unwrap();
            head = frame.hash;
            frames.push(frame);
        }
        drop(store);
        Self { folder, frames }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("genops.db")
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::open(&self.path()).unwrap()
    }

    /// The head of one of the frames.
    fn head(&self, frame: usize) -> Head {
        Head { sequence: self.frames[frame].last(), hash: self.frames[frame].hash }
    }

    /// The snapshot that would be used.
    fn latest(&self) -> Option<u64> {
        let mut frames = SqliteStore::read(&self.path()).unwrap();
        let restore = |snapshot: &Snapshot| (snapshot.format == 1).then_some(snapshot.bytes.len());
        let (found, _) = Snapshots::read(&self.path()).unwrap().latest(&mut frames, restore).unwrap();
        found.map(|(head, _)| head.sequence)
    }

    fn spoil(&self, statement: &str) {
        let changed = rusqlite::Connection::open(self.path()).unwrap().execute(statement, []).unwrap();
        assert!(changed > 0, "{statement}");
    }

    fn frames_left(&self) -> i64 {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        file.query_row("SELECT count(*) FROM frames", [], |row| row.get(0)).unwrap()
    }

    fn verify(&self, files: &[&Path]) -> Verified {
        let files: Vec<_> = files.iter().map(|file| self.folder.path().join(file)).collect();
        let sources = Sources::open(&files).unwrap();
        verify(sources.begins(), sources, &mut Witness::new(vec![self.head(9)], None)).unwrap()
    }

    fn archive(&self, through: u64, to: &str) -> Result<Head, ArchiveError> {
        let wanted =
            |from, through| Wanted { written_by: "a test".into(), ledger: "genops.db".into(), from, through };
        archive(SqliteStore::read(&self.path()).unwrap(), through, wanted, &self.folder.path().join(to))
    }
}

/// Notes what is archived, and forgets it.
pub fn forget(
    snapshots: &mut Snapshots,
    head: Head,
    file: &str,
    adopted: Option<&Policy>,
) -> Result<(), StoreError> {
    snapshots.note_archived(head, file, adopted)?;
    snapshots.forget_archived(&|_| true).map(|is_done| assert!(is_done))
}

/// Of more than one part.
fn bytes() -> Vec<u8> {
    (0..600_000_u32).map(|number| (number % 251) as u8).collect()
}

#[test]
fn a_snapshot_comes_back_as_it_was_and_only_the_latest_are_kept() {
    let closed = Closed::new();
    assert_eq!(closed.latest(), None, "a ledger without the tables has none");
    let mut snapshots = closed.snapshots();
    for frame in 0..4 {
        snapshots.put(&Snapshot::seal(closed.head(frame), 1, bytes())).unwrap();
        snapshots.keep(2).unwrap();
    }
    assert_eq!(snapshots.list().unwrap(), [8, 6]);
    assert_eq!(snapshots.get(8).unwrap().bytes, bytes());
    assert_eq!(closed.latest(), Some(8));
    // The same again is no more than once.
    snapshots.put(&Snapshot::seal(closed.head(3), 1, vec![1])).unwrap();
    assert_eq!(snapshots.get(8).unwrap().bytes, [1]);
}

#[test]
fn a_snapshot_that_is_damaged_or_stands_on_another_journal_is_passed_over() {
    let damages = [
        "DELETE FROM snapshots WHERE sequence = 8",
        "DELETE FROM snapshot_parts WHERE sequence = 8 AND part = 1",
        "UPDATE snapshot_parts SET bytes = x'00' WHERE sequence = 8 AND part = 2",
        "UPDATE snapshots SET digest = x'00' WHERE sequence = 8",
        "UPDATE snapshots SET engine = engine + 1 WHERE sequence = 8",
        "UPDATE snapshots SET head = zeroblob(32) WHERE sequence = 8",
        "UPDATE snapshots SET sequence = 10 WHERE sequence = 8",
        "UPDATE frames SET hash = zeroblob(32) WHERE first = 7",
        "DELETE FROM frames WHERE first >= 7",
    ];
    for damage in damages {
        let closed = Closed::new();
        let mut snapshots = closed.snapshots();
        for frame in [1, 3] {
            snapshots.put(&Snapshot::seal(closed.head(frame), 1, bytes())).unwrap();
        }
        assert_eq!(closed.latest(), Some(8));
        closed.spoil(damage);
        assert_eq!(closed.latest(), Some(4), "{damage}");
    }
    let closed = Closed::new();
    let mut snapshots = closed.snapshots();
    // In the middle of a frame, of another journal, and of a version that is not known.
    let middle = Head { sequence: 7, ..closed.head(3) };
    let other = Head { hash: Digest::of("other", &[]), ..closed.head(4) };
    for (head, format) in [(middle, 1), (other, 1), (closed.head(5), 2)] {
        snapshots.put(&Snapshot::seal(head, format, bytes())).unwrap();
    }
    assert_eq!(closed.latest(), None);
}

#[test]
fn what_leaves_a_ledger_is_in_the_archive_and_both_are_one_journal() {
    let closed = Closed::new();
    let before = closed.verify(&["genops.db".as_ref()]);
    let mut snapshots = closed.snapshots();
    snapshots.put(&Snapshot::seal(closed.head(5), 1, bytes())).unwrap();
    let head = closed.archive(9, "one.jsonl").unwrap();
    assert_eq!(head, closed.head(3), "the frame of entry 9 ends with entry 10, so it stays");
    let wrong = Head { hash: Digest::ZERO, ..head };
    assert!(matches!(forget(&mut snapshots, wrong, "a.jsonl", None), Err(StoreError::Failed { .. })));
    forget(&mut snapshots, head, "a.jsonl", None).unwrap();
    forget(&mut snapshots, head, "a.jsonl", None).unwrap();
    assert_eq!(snapshots.archived().unwrap(), Some(head));
    let head = closed.archive(12, "two.jsonl").unwrap();
    forget(&mut snapshots, head, "a.jsonl", None).unwrap();
    assert_eq!(closed.latest(), Some(12), "the frame behind it says that it stands");

    let after = closed.verify(&["one.jsonl".as_ref(), "two.jsonl".as_ref(), "genops.db".as_ref()]);
    assert_eq!((after.head, after.books), (before.head, before.books));
    let rest = closed.verify(&["genops.db".as_ref()]);
    assert_eq!((rest.first, rest.last, rest.books.is_none()), (13, 20, true));
    assert!(matches!(closed.archive(12, "three.jsonl"), Err(ArchiveError::Nothing { .. })));
    assert!(
        matches!(closed.archive(20, "two.jsonl"), Err(ArchiveError::File(_))),
        "an archive is never written over"
    );
}

#[test]
fn a_ledger_from_which_everything_left_still_says_where_it_stands() {
    let closed = Closed::new();
    let mut snapshots = closed.snapshots();
    snapshots.put(&Snapshot::seal(closed.head(9), 1, bytes())).unwrap();
    let head = closed.archive(20, "all.jsonl").unwrap();
    forget(&mut snapshots, head, "a.jsonl", None).unwrap();
    assert_eq!(closed.latest(), Some(20));
    let all = closed.verify(&["all.jsonl".as_ref(), "genops.db".as_ref()]);
    assert_eq!(all.last, 20);
}

#[test]
fn an_archive_that_was_interrupted_while_it_forgot_leaves_one_journal() {
    let closed = Closed::new();
    let mut snapshots = closed.snapshots();
    snapshots.put(&Snapshot::seal(closed.head(5), 1, bytes())).unwrap();
    let left = closed.frames[2].clone();
    let head = closed.archive(8, "one.jsonl").unwrap();
    forget(&mut snapshots, head, "a.jsonl", None).unwrap();
    SqliteStore::open(&closed.path()).unwrap().append(&left, &[]).unwrap();
    let all = closed.verify(&["one.jsonl".as_ref(), "genops.db".as_ref()]);
    assert_eq!((all.first, all.last), (1, 20));
    assert_eq!(closed.verify(&["genops.db".as_ref()]).first, 9);
}

#[test]
fn what_is_needed_stays_and_who_needs_it_is_named() {
    let needs = |snapshot, oldest_open, follower| Needs {
        snapshot,
        oldest_open,
        oldest_remembered: None,
        tables: None,
        followers: Vec::from([("otlp".to_owned(), follower)]),
    };
    let cases = [
        (needs(Some(50), None, 90), None),
        (needs(Some(50), Some(51), 51), None),
        (needs(None, None, 90), Some("there is no snapshot; none may leave now")),
        (needs(Some(40), None, 90), Some("the latest snapshot is of entry 40; those through 40 may leave")),
        (
            needs(Some(60), Some(50), 90),
            Some("an AWU is open that entry 50 admitted; those through 49 may leave"),
        ),
        (
            needs(Some(60), Some(55), 31),
            Some(
                "`otlp` has delivered what comes before entry 31 and no more; if nothing is sent there any more, let go of \
                 it with `genops telemetry forget --follower \"otlp\"`; those through 30 may leave",
            ),
        ),
    ];
    for (needs, expected) in cases {
        let told = needs.allow(50).err().map(|needed| needed.to_string());
        let expected = expected.map(|why| format!("the entries through 50 are needed yet: {why}"));
        assert_eq!(told, expected, "{needs:?}");
    }
}

/// A ledger of two AWUs that have ended, one that is open, and one more, with its tables.
async fn with_an_open_awu(place: &OnDisk) -> (Books, Views) {
    let ledger = open(place).await;
    let commands = [
        budget_of("9"),
        admit_and_start(1),
        settle(1),
        admit_and_start(2),
        settle(2),
        admit(3),
        budget_of("8"),
        admit_and_start(4),
        settle(4),
    ];
    for command in commands {
        ledger.submit(wall(), command).unwrap().durable().await.unwrap();
    }
    let mut views = Views::beside(&place.path()).unwrap();
    views.catch_up(&mut ledger.journal().unwrap()).unwrap();
    (ledger.read(Clone::clone).unwrap(), views)
}

fn retired(place: &OnDisk, through: Through, to: &str) -> Result<u64, String> {
    let to = place.path().with_file_name(to);
    let head = retire(&place.path(), through, "a test".into(), &to).map_err(|error| error.to_string())?;
    Ok(head.sequence)
}

/// Two ledgers, or one script twice, that archive into one file of one folder.
#[tokio::test]
async fn an_archive_that_somebody_else_writes_or_has_written_is_not_touched() {
    let place = OnDisk::new();
    with_an_open_awu(&place).await;
    let part = place.path().with_file_name("a.jsonl.part");
    std::fs::write(&part, "theirs").unwrap();
    let theirs = std::fs::File::options().write(true).open(&part).unwrap();
    theirs.lock().unwrap();
    let told = retired(&place, Through::Entry(2), "a.jsonl").unwrap_err();
    assert!(told.contains("somebody writes `") && told.contains("a.jsonl.part`"), "{told}");
    assert_eq!(std::fs::read(&part).unwrap(), b"theirs");
    // It has its own name, and they still hold it.
    let whole = place.path().with_file_name("a.jsonl");
    std::fs::rename(&part, &whole).unwrap();
    let told = retired(&place, Through::Entry(2), "a.jsonl").unwrap_err();
    assert!(told.contains("a.jsonl` is there already"), "{told}");
    assert_eq!((std::fs::read(&whole).unwrap(), part.exists()), (b"theirs".to_vec(), false));
}

#[tokio::test]
async fn entries_leave_a_ledger_that_nobody_holds_as_far_as_nobody_needs_them() {
    let place = OnDisk::new();
    let before = with_an_open_awu(&place).await.0;
    let held = place.store();
    assert!(retired(&place, Through::Entry(3), "a.jsonl").unwrap_err().contains("held by another process"));
    drop(held);
    let refused = retired(&place, Through::Entry(6), "a.jsonl").unwrap_err();
    assert!(refused.contains("entry 6 admitted; those through 5 may leave"), "{refused}");
    let views = Views::beside(&place.path()).unwrap();
    views.move_cursor("otlp", Cursor { through: 4, from: 4 }).unwrap();
    let refused = retired(&place, Through::Entry(5), "a.jsonl").unwrap_err();
    assert!(refused.contains("`otlp`") && refused.contains("those through 3 may leave"), "{refused}");
    assert!(!place.path().with_file_name("a.jsonl").exists(), "nothing is left of what was refused");
    assert_eq!(retired(&place, Through::Entry(3), "a.jsonl"), Ok(3));
    let refused = retired(&place, Through::Before(wall()), "b.jsonl").unwrap_err();
    assert_eq!(
        refused,
        format!(
            "nothing is older than {0} and still here: the ledger begins with entry 4, of {0}; those through 3 have left already",
            wall()
        )
    );
    let refused = retired(&place, Through::Entry(2), "b.jsonl").unwrap_err();
    assert!(
        refused.starts_with("the entries through 2 have left already: the ledger begins with entry 4"),
        "{refused}"
    );
    let refused = retired(&place, Through::Entry(10), "b.jsonl").unwrap_err();
    assert_eq!(refused, "there is no entry 10: the ledger ends with entry 9");
    let later = Timestamp::from_nanos(wall().nanos() + 1);
    let refused = retired(&place, Through::Before(later), "b.jsonl").unwrap_err();
    assert!(refused.contains("entries through 9"), "all are older: {refused}");
    let reopened = recover::resume(&mut SqliteStore::read(&place.path()).unwrap(), u64::MAX).unwrap();
    assert_eq!(reopened.books, before);
    // It goes on from there, and archives and ledger are one journal.
    open(&place).await.submit(wall(), admit_and_start(5)).unwrap().durable().await.unwrap();
    let sources = Sources::open(&[place.path().with_file_name("a.jsonl"), place.path()]).unwrap();
    let verified = verify(sources.begins(), sources, &mut Witness::default()).unwrap();
    assert_eq!((verified.first, verified.books.is_some()), (1, true));
    // From nothing it cannot be read any more, and says so.
    let refused = recover::replay(&mut SqliteStore::read(&place.path()).unwrap()).err();
    assert_eq!(refused, Some(OpenError::Archived { through: 3 }));
}

#[tokio::test]
async fn what_asks_for_an_archived_entry_is_told_where_it_is_and_the_rest_is_answered() {
    let place = OnDisk::new();
    let (books, kept) = with_an_open_awu(&place).await;
    let genesis = Journal::new(place.store().readers()().unwrap()).genesis().unwrap();
    retired(&place, Through::Entry(5), "a.jsonl").unwrap();
    let mut journal = Journal::new(Box::new(SqliteStore::read(&place.path()).unwrap()));
    let archived = Err(StoreError::Archived { entry: 2, through: 5 });
    assert_eq!(journal.entry(2), archived);
    assert_eq!((journal.archived(), journal.genesis()), (Ok(5), Ok(genesis)));
    assert_eq!(journal.entry(6).unwrap().unwrap().entry.sequence, 6);
    // Tables that knew them, and tables that are made anew.
    assert_eq!(kept.awu(awu(1), &mut journal), Err(StoreError::Archived { entry: 2, through: 5 }));
    let mut anew = Views::in_memory().unwrap();
    anew.catch_up(&mut journal).unwrap();
    assert_eq!(anew.awu(awu(1), &mut journal), Ok(None));
    for views in [kept, anew] {
        let found = views.awus(&Filter::default(), 9, &mut journal).unwrap();
        let found: Vec<_> = found.records.iter().map(AwuRecord::id).collect();
        assert_eq!((found, views.as_of()), (vec![awu(4), awu(3)], 9));
        assert!(views.policy(books.policy_version(), &mut journal).unwrap().is_some());
    }
}

#[tokio::test]
async fn tables_that_were_behind_know_what_has_left_and_those_of_another_ledger_stay_as_they_are() {
    let place = OnDisk::new();
    drop(with_an_open_awu(&place).await);
    let tables = place.path().with_file_name("genops.db.views");
    std::fs::remove_file(&tables).unwrap();
    Views::beside(&place.path()).unwrap().belong_to(Digest::of("another journal", &[]), 9).unwrap();
    let refused = retired(&place, Through::Entry(3), "a.jsonl").unwrap_err();
    assert!(refused.contains("is of another ledger"), "{refused}");
    std::fs::remove_file(&tables).unwrap();
    retired(&place, Through::Entry(5), "a.jsonl").unwrap();
    let views = Views::beside(&place.path()).unwrap();
    let mut journal = Journal::new(Box::new(SqliteStore::read(&place.path()).unwrap()));
    assert_eq!(views.as_of(), 9);
    assert_eq!(views.awu(awu(1), &mut journal), Err(StoreError::Archived { entry: 2, through: 5 }));
    assert_eq!(views.awu(awu(9), &mut journal), Ok(None));
}

#[tokio::test]
async fn tables_go_on_where_an_admission_left_before_they_had_its_settlement() {
    // The first admission; the second, and the first settlement; both AWUs, whole.
    for (through, calls) in [(2, 2), (4, 1), (5, 1)] {
        let place = OnDisk::new();
        let mut behind = Views::in_memory().unwrap();
        let ledger = open(&place).await;
        for command in [budget_of("9"), admit_and_start(1), admit_and_start(2)] {
            ledger.submit(wall(), command).unwrap().durable().await.unwrap();
        }
        behind.catch_up(&mut ledger.journal().unwrap()).unwrap();
        for command in [settle(1), settle(2), admit_and_start(3), settle(3)] {
            ledger.submit(wall(), command).unwrap().durable().await.unwrap();
        }
        drop(ledger);
        retired(&place, Through::Entry(through), "a.jsonl").unwrap();
        let mut journal = Journal::new(Box::new(SqliteStore::read(&place.path()).unwrap()));
        behind.catch_up(&mut journal).unwrap();
        let found = behind.awus(&Filter::default(), 9, &mut journal).unwrap().records;
        assert_eq!((behind.as_of(), found.first().map(AwuRecord::id)), (7, Some(awu(3))), "{through}");
        let told: Vec<_> = behind.estimates().unwrap().iter().map(|estimate| estimate.calls).collect();
        assert_eq!(told, [calls], "of what has left nothing can be said any more: {through}");
    }
}

#[tokio::test]
async fn late_news_of_awus_that_have_left_leave_the_tables_and_the_awus_are_known_to_have_been_there() {
    let place = OnDisk::new();
    let ledger = open(&place).await;
    for number in [1, 2] {
        for say in [admit_and_start, orphan, settle] {
            ledger.submit(wall(), say(number)).unwrap().durable().await.unwrap();
        }
    }
    drop(ledger);
    let file = place.path().with_file_name("genops.db.views");
    let late_news = || {
        let tables = rusqlite::Connection::open(&file).unwrap();
        tables.query_row("SELECT count(*) FROM later", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    retired(&place, Through::Entry(3), "a.jsonl").unwrap();
    assert_eq!(late_news(), 2);
    let ledger = open(&place).await;
    ledger.submit(wall(), admit(3)).unwrap().durable().await.unwrap();
    let (mut journal, mut views) = (ledger.journal().unwrap(), Views::beside(&place.path()).unwrap());
    views.catch_up(&mut journal).unwrap();
    assert_eq!(late_news(), 1);
    let told = views.awu(awu(2), &mut journal).unwrap().unwrap();
    assert_eq!((told.state(), told.later.len()), ("SETTLED", 1));
    assert_eq!(views.awu(awu(1), &mut journal), Err(StoreError::Archived { entry: 1, through: 3 }));
}

#[tokio::test]
async fn without_a_snapshot_a_ledger_says_what_is_missing_and_is_restored_from_its_archives() {
    let place = OnDisk::new();
    let before = with_an_open_awu(&place).await.0;
    retired(&place, Through::Entry(2), "a.jsonl").unwrap();
    retired(&place, Through::Entry(5), "b.jsonl").unwrap();
    Snapshots::open(&place.path()).unwrap().keep(0).unwrap();
    let resume = || recover::resume(&mut SqliteStore::read(&place.path()).unwrap(), u64::MAX);
    assert_eq!(resume().err(), Some(OpenError::NoSnapshot { through: 5 }));
    let [a, b] = ["a.jsonl", "b.jsonl"].map(|name| place.path().with_file_name(name));
    assert!(matches!(
        restore(std::slice::from_ref(&b), &place.path()),
        Err(ArchiveError::NotWhole { first: 3 })
    ));
    assert!(matches!(restore(&[b.clone(), a.clone()], &place.path()), Err(ArchiveError::Restore(_))));
    assert!(resume().is_err());
    assert_eq!(restore(&[a, b], &place.path()).unwrap().sequence, 9);
    assert_eq!(resume().unwrap().books, before);
}

#[test]
fn a_time_is_found_by_halving() {
    let place = OnDisk::new();
    let mut store = place.store();
    let mut books = Books::default();
    let mut head = Digest::ZERO;
    for number in 0..9_u32 {
        // Two frames at each time, the first at 10.
        let at = Timestamp::from_nanos(10 + u64::from(number / 2));
        let entry = ledger::apply(&mut books, at, budget_of(&(number + 1).to_string())).unwrap();
        let payload = postcard::to_stdvec(&entry).unwrap();
        let ends = [payload.len()];
        let frame = Frame::seal(head, entry.sequence, payload, &ends);
        store.append(&frame, &[]).unwrap();
        head = frame.hash;
    }
    drop(store);
    let before = |time| Through::Before(Timestamp::from_nanos(time));
    let refused = retired(&place, before(10), "none.jsonl").unwrap_err();
    assert!(refused.ends_with("the ledger begins with entry 1, of 1970-01-01T00:00:00.000Z"), "{refused}");
    assert_eq!(retired(&place, before(11), "a.jsonl"), Ok(2));
    let refused = retired(&place, before(11), "b.jsonl").unwrap_err();
    assert!(
        refused.contains("the ledger begins with entry 3, of ")
            && refused.ends_with("those through 2 have left already"),
        "{refused}"
    );
    assert_eq!(retired(&place, before(13), "c.jsonl"), Ok(6));
    assert_eq!(retired(&place, before(99), "d.jsonl"), Ok(9));
    let refused = retired(&place, before(99), "e.jsonl").unwrap_err();
    assert_eq!(
        refused,
        "nothing can be archived: the ledger has no entry; those through 9 have left already"
    );
}

#[tokio::test]
async fn verifying_finds_a_snapshot_of_books_that_nobody_ever_had() {
    let place = OnDisk::new();
    with_an_open_awu(&place).await;
    let head = recover::take_snapshot(&place.path(), 5, 2).unwrap();
    let verified = || {
        let sources = Sources::open(&[place.path()]).unwrap();
        let mut witness = Witness::default().with_snapshots(sources.snapshots().unwrap());
        verify(sources.begins(), sources, &mut witness)
    };
    assert_eq!((head.sequence, verified().unwrap().last), (5, 9));
    // Whole, in its place, and of as many entries: opening cannot tell.
    let mut books = Books::default();
    for number in 1..=5_u32 {
        ledger::apply(&mut books, wall(), budget_of(&number.to_string())).unwrap();
    }
    Snapshots::open(&place.path()).unwrap().put(&Snapshot::of(head, &books).unwrap()).unwrap();
    let told = verified().unwrap_err();
    assert_eq!(told.entry(), Some(6), "{told}");
}

/// So what they read stays, where entries leave meanwhile.
#[tokio::test]
async fn the_tables_read_from_the_oldest_awu_on_that_is_open_to_them() {
    let place = OnDisk::new();
    let ledger = open(&place).await;
    let submit = async |command| ledger.submit(wall(), command).unwrap().durable().await.unwrap();
    submit(admit_and_start(1)).await;
    let mut views = Views::beside(&place.path()).unwrap();
    assert_eq!(views.reads_from(), 1);
    views.catch_up(&mut ledger.journal().unwrap()).unwrap();
    assert_eq!((views.as_of(), views.reads_from()), (1, 1), "what is open is read again");
    submit(settle(1)).await;
    submit(admit_and_start(2)).await;
    views.catch_up(&mut ledger.journal().unwrap()).unwrap();
    assert_eq!((views.as_of(), views.reads_from()), (3, 3));
}
