//! Making a snapshot and archiving, interrupted wherever that can be, and snapshots that cannot be used: nothing is lost,
//! and nothing comes out otherwise.
//!
//! Each is made of transactions and one file, so what a crash leaves is what some of them have done.

use std::path::Path;

use genops_core::Digest;
use genops_core::ledger::BOOKS_VERSION;
use genops_ledger::recover::{self, Replayed};
use genops_ledger::snapshots::{PassedOver, Snapshot, Unusable};
use genops_ledger::source::Sources;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::Store;
use genops_ledger::verify::verify;
use genops_ledger::witness::{Head, Witness};

use super::{Closed, bytes, forget};

fn resumed(closed: &Closed) -> Replayed {
    recover::resume(&mut SqliteStore::read(&closed.path()).unwrap(), u64::MAX).unwrap()
}

/// The ledger with true snapshots after the fourth and after the last frame, and what it comes to.
fn with_snapshots() -> (Closed, Replayed) {
    let closed = Closed::new();
    let whole = recover::replay(&mut SqliteStore::read(&closed.path()).unwrap()).unwrap();
    for through in [8, 20] {
        recover::take_snapshot(&closed.path(), through, 2).unwrap();
    }
    (closed, whole)
}

#[test]
fn wherever_making_a_snapshot_is_interrupted_the_one_before_is_used() {
    let closed = Closed::new();
    let whole = recover::replay(&mut SqliteStore::read(&closed.path()).unwrap()).unwrap();
    recover::take_snapshot(&closed.path(), 8, 2).unwrap();
    closed.snapshots().put(&Snapshot::seal(closed.head(9), 1, bytes())).unwrap();
    closed.spoil("DELETE FROM snapshots WHERE sequence = 20");
    for part in (0..3).rev() {
        let found = resumed(&closed);
        // Nobody has to hear of what never counted.
        assert_eq!((found.snapshot, found.passed_over), (8, None), "{part}");
        assert_eq!((found.books, found.head), (whole.books.clone(), whole.head), "{part}");
        closed.spoil(&format!("DELETE FROM snapshot_parts WHERE sequence = 20 AND part = {part}"));
    }
    // It is made again over what is left.
    closed.snapshots().put(&Snapshot::seal(closed.head(9), 1, bytes())).unwrap();
    closed.spoil("DELETE FROM snapshots WHERE sequence = 20");
    assert_eq!(recover::take_snapshot(&closed.path(), u64::MAX, 2).unwrap().sequence, 20);
    let found = resumed(&closed);
    assert_eq!((found.snapshot, found.books), (20, whole.books));
}

#[test]
fn a_snapshot_that_cannot_be_used_is_told_of_and_the_journal_is_read_instead() {
    let (closed, whole) = with_snapshots();
    let good = closed.snapshots().get(20).unwrap();
    let foreign = Head { sequence: 20, hash: Digest::of("another journal", &[]) };
    let cases = [
        ("UPDATE snapshot_parts SET bytes = zeroblob(length(bytes)) WHERE sequence = 20", Unusable::Damaged),
        ("UPDATE snapshot_parts SET bytes = substr(bytes, 1, 9) WHERE sequence = 20", Unusable::Damaged),
        ("UPDATE snapshots SET digest = zeroblob(32) WHERE sequence = 20", Unusable::Damaged),
    ];
    for (damage, why) in cases {
        closed.snapshots().put(&good).unwrap();
        assert_eq!((resumed(&closed).snapshot, resumed(&closed).passed_over), (20, None));
        closed.spoil(damage);
        passes_over(&closed, &whole, why);
    }
    closed.snapshots().put(&Snapshot::of(foreign, &whole.books).unwrap()).unwrap();
    passes_over(&closed, &whole, Unusable::OfAnotherJournal);
    closed.snapshots().put(&Snapshot::seal(closed.head(9), BOOKS_VERSION + 1, good.bytes)).unwrap();
    passes_over(&closed, &whole, Unusable::OfAnotherVersion);
    // Where none is left, everything is read.
    closed.spoil("UPDATE snapshots SET digest = zeroblob(32)");
    let found = resumed(&closed);
    assert_eq!((found.snapshot, found.frames, &found.books), (0, 10, &whole.books));
    let told = found.passed_over.unwrap().to_string();
    assert!(
        told.starts_with("the snapshot of the books after entry 20 is damaged and was passed over"),
        "{told}"
    );
}

fn passes_over(closed: &Closed, whole: &Replayed, why: Unusable) {
    let found = resumed(closed);
    assert_eq!((found.snapshot, found.passed_over), (8, Some(PassedOver { sequence: 20, why })));
    assert_eq!((&found.books, found.head), (&whole.books, whole.head), "{why:?}");
}

#[test]
fn wherever_archiving_is_interrupted_nothing_is_lost() {
    // While the archive was written: the ledger has everything, and a part of an archive does not pass for one.
    let (closed, whole) = with_snapshots();
    closed.archive(12, "whole.jsonl").unwrap();
    let archive = std::fs::read(closed.folder.path().join("whole.jsonl")).unwrap();
    for length in (0..archive.len()).step_by(archive.len() / 40) {
        std::fs::write(closed.folder.path().join("part.jsonl"), &archive[..length]).unwrap();
        let files = ["part.jsonl", "genops.db"].map(|file| closed.folder.path().join(file));
        let refused = Sources::open(&files)
            .map(|sources| verify(sources.begins(), sources, &mut Witness::default()).is_err());
        assert_ne!(refused, Ok(false), "{length} bytes");
    }
    holds(&closed, &["genops.db"], 1, &whole);

    // While it was forgotten: some of the frames are gone, the oldest first.
    for gone in 0..=6 {
        let (closed, whole) = with_snapshots();
        let head = closed.archive(12, "a.jsonl").unwrap();
        forget(&mut closed.snapshots(), head, "a.jsonl", None).unwrap();
        let mut store = SqliteStore::open(&closed.path()).unwrap();
        closed.frames[gone..6].iter().for_each(|frame| store.append(frame, &[]).unwrap());
        drop(store);
        holds(&closed, &["genops.db"], 13, &whole);
        holds(&closed, &["a.jsonl", "genops.db"], 1, &whole);
        // It can be ended, and gone on with.
        closed.snapshots().forget_archived(&|_| true).unwrap();
        assert_eq!(closed.frames_left(), 4, "{gone} were gone");
        let head = closed.archive(16, "b.jsonl").unwrap();
        forget(&mut closed.snapshots(), head, "b.jsonl", None).unwrap();
        holds(&closed, &["a.jsonl", "b.jsonl", "genops.db"], 1, &whole);
        let archives = [(12, "a.jsonl".to_owned()), (16, "b.jsonl".to_owned())];
        assert_eq!(closed.snapshots().archives(), Ok(archives.into()));
    }
}

/// The files hold from the entry `first` on, and the ledger opens to the same books.
fn holds(closed: &Closed, files: &[&str], first: u64, whole: &Replayed) {
    let files: Vec<_> = files.iter().map(Path::new).collect();
    let verified = closed.verify(&files);
    assert_eq!((verified.first, verified.last, verified.head), (first, 20, whole.head));
    let books = (first == 1).then_some(&whole.books);
    assert_eq!(verified.books.as_ref(), books);
    let found = resumed(closed);
    assert_eq!((&found.books, found.head), (&whole.books, whole.head));
}
