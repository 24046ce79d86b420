//! What snapshots and archives promise: a snapshot changes no result, and nothing leaves a ledger that is needed or lost.

use std::path::{Path, PathBuf};

use genops_core::Digest;
use genops_core::ledger::{self, Books};
use genops_ledger::export::Wanted;
use genops_ledger::frame::Frame;
use genops_ledger::retention::{ArchiveError, Needs, archive};
use genops_ledger::snapshots::{Snapshot, Snapshots};
use genops_ledger::source::Sources;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{Store, StoreError};
use genops_ledger::verify::{Verified, verify};
use genops_ledger::witness::{Head, Witness};

use crate::work::{admit_and_start, settle, wall};

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
            store.append(&frame).unwrap();
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
        let found = Snapshots::read(&self.path()).unwrap().latest(&mut frames, restore).unwrap();
        found.map(|(head, _)| head.sequence)
    }

    fn spoil(&self, statement: &str) {
        let changed = rusqlite::Connection::open(self.path()).unwrap().execute(statement, []).unwrap();
        assert!(changed > 0, "{statement}");
    }

    fn verify(&self, files: &[&Path]) -> Verified {
        let files: Vec<_> = files.iter().map(|file| self.folder.path().join(file)).collect();
        let sources = Sources::open(&files).unwrap();
        verify(sources.begins(), sources, &mut Witness::new(vec![self.head(9)], None)).unwrap()
    }

    fn archive(&self, through: u64, to: &str) -> Result<Head, ArchiveError> {
        let wanted =
            |through| Wanted { written_by: "a test".into(), ledger: "genops.db".into(), from: 1, through };
        archive(SqliteStore::read(&self.path()).unwrap(), through, wanted, &self.folder.path().join(to))
    }
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
    assert!(matches!(snapshots.forget(wrong), Err(StoreError::Failed { .. })));
    snapshots.forget(head).unwrap();
    snapshots.forget(head).unwrap();
    assert_eq!(snapshots.archived().unwrap(), Some(head));
    let head = closed.archive(12, "two.jsonl").unwrap();
    snapshots.forget(head).unwrap();
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
    snapshots.forget(head).unwrap();
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
    snapshots.forget(head).unwrap();
    SqliteStore::open(&closed.path()).unwrap().append(&left).unwrap();
    let all = closed.verify(&["one.jsonl".as_ref(), "genops.db".as_ref()]);
    assert_eq!((all.first, all.last), (1, 20));
    assert_eq!(closed.verify(&["genops.db".as_ref()]).first, 9);
}

#[test]
fn what_is_needed_stays_and_who_needs_it_is_named() {
    let needs = |snapshot, oldest_open, follower| Needs {
        snapshot,
        oldest_open,
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
            Some("`otlp` has delivered what comes before entry 31 and no more; those through 30 may leave"),
        ),
    ];
    for (needs, expected) in cases {
        let told = needs.allow(50).err().map(|needed| needed.to_string());
        let expected = expected.map(|why| format!("the entries through 50 are needed yet: {why}"));
        assert_eq!(told, expected, "{needs:?}");
    }
}
