//! A snapshot changes no result: whatever snapshots stand in a ledger's file, true, damaged, foreign or none, books, head
//! and later decisions are those of the journal.

use std::path::Path;

use genops_core::ledger::{self, BOOKS_VERSION, Books};
use genops_core::{Digest, Timestamp};
use genops_ledger::frame::Frame;
use genops_ledger::recover::{self, Replayed};
use genops_ledger::snapshots::{Snapshot, Snapshots};
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::Store;
use genops_ledger::witness::Head;

use crate::random::Random;
use crate::{runtime, work};

/// So many journals are tried.
const JOURNALS: u64 = 24;

/// A ledger's file with a random journal, and the books after each of its frames.
struct Journal {
    folder: tempfile::TempDir,
    after: Vec<(Head, Books)>,
    entries: Vec<ledger::Entry>,
    now: u64,
    number: u64,
}

impl Journal {
    fn new(random: &mut Random) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("genops.db")).unwrap();
        let now = 1_795_000_000_000_000_000;
        let mut journal = Self { folder, after: Vec::new(), entries: Vec::new(), now, number: 0 };
        let (mut books, mut head) = (Books::default(), Digest::ZERO);
        for _ in 0..10 + random.below(30) {
            let (mut payload, mut ends) = (Vec::new(), Vec::new());
            let first = books.sequence() + 1;
            let size = 1 + random.below(12);
            while (ends.len() as u64) < size {
                if let Some(entry) = journal.apply(random, &mut books) {
                    payload = postcard::to_extend(&entry, payload).unwrap();
                    ends.push(payload.len());
                }
            }
            let frame = Frame::seal(head, first, payload, &ends);
            store.append(&frame, &[]).unwrap();
            head = frame.hash;
            journal.after.push((Head { sequence: frame.last(), hash: head }, books.clone()));
        }
        journal
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("genops.db")
    }

    /// A random command; `None` where it did not fit.
    fn apply(&mut self, random: &mut Random, books: &mut Books) -> Option<ledger::Entry> {
        self.now += random.below(3_000_000_000);
        self.number += 1;
        let command = work::command(random, books, &self.entries, self.number);
        let entry = ledger::apply(books, Timestamp::from_nanos(self.now), command).ok()?;
        self.entries.push(entry.clone());
        Some(entry)
    }

    /// What comes next, by these books.
    fn decide_on(&self, mut books: Books, seed: u64) -> (Vec<ledger::Entry>, Books) {
        let mut random = Random::new(seed);
        let mut next = Self {
            folder: tempfile::tempdir().unwrap(),
            after: Vec::new(),
            entries: self.entries.clone(),
            now: self.now,
            number: self.number,
        };
        let entries = (0..40).filter_map(|_| next.apply(&mut random, &mut books)).collect();
        (entries, books)
    }

    /// Puts the true snapshot of a frame there, or something that is none.
    fn put_any(&self, random: &mut Random, snapshots: &mut Snapshots) {
        let (head, books) = random.pick(&self.after);
        let mut snapshot = Snapshot::of(head, &books).unwrap();
        match random.below(9) {
            0 => {
                let at = random.place(snapshot.bytes.len()).unwrap();
                snapshot.bytes[at] ^= 1 << random.below(8);
            }
            1 => snapshot.bytes.truncate(random.place(snapshot.bytes.len()).unwrap()),
            2 => snapshot.sequence += 1,
            3 => snapshot.engine -= 1,
            4 => snapshot = Snapshot::seal(head, BOOKS_VERSION + 1, snapshot.bytes),
            5 => {
                let other = Head { hash: Digest::of("other", &[]), ..head };
                snapshot = Snapshot::seal(other, BOOKS_VERSION, snapshot.bytes);
            }
            // The books of one entry under the head of another, and bytes that are no books, or more than books.
            6 => snapshot = Snapshot::seal(self.another(random, head), BOOKS_VERSION, snapshot.bytes),
            7 => snapshot = Snapshot::seal(head, BOOKS_VERSION, vec![255; 100]),
            8 => snapshot = Snapshot::seal(head, BOOKS_VERSION, [snapshot.bytes.as_slice(), &[0]].concat()),
            _ => {}
        }
        snapshots.put(&snapshot).unwrap();
    }

    fn another(&self, random: &mut Random, than: Head) -> Head {
        let others: Vec<_> = self.after.iter().map(|(head, _)| *head).filter(|head| *head != than).collect();
        random.pick(&others)
    }
}

fn resumed(path: &Path) -> Replayed {
    recover::resume(&mut SqliteStore::read(path).unwrap(), u64::MAX).unwrap()
}

#[test]
fn whatever_snapshots_are_there_books_head_and_later_decisions_are_those_of_the_journal() {
    let mut used = 0;
    for seed in 0..JOURNALS {
        let mut random = Random::new(seed);
        let journal = Journal::new(&mut random);
        let whole = recover::replay(&mut SqliteStore::read(&journal.path()).unwrap()).unwrap();
        let later = journal.decide_on(whole.books.clone(), seed);
        let mut snapshots = Snapshots::open(&journal.path()).unwrap();
        for round in 0..6 {
            let resumed = resumed(&journal.path());
            used += u64::from(resumed.snapshot > 0);
            assert_eq!(
                (&resumed.books, resumed.head),
                (&whole.books, whole.head),
                "seed {seed}, round {round}"
            );
            assert_eq!(journal.decide_on(resumed.books, seed), later, "seed {seed}, round {round}");
            // Now and then only a true one, so that one is used.
            if random.one_in(3) {
                let (head, books) = random.pick(&journal.after);
                snapshots.put(&Snapshot::of(head, &books).unwrap()).unwrap();
            } else {
                journal.put_any(&mut random, &mut snapshots);
            }
            if random.one_in(4) {
                snapshots.keep(1).unwrap();
            }
        }
    }
    assert!(used > JOURNALS, "only {used} were used");
}

#[test]
fn opening_reads_only_what_came_after_a_snapshot() {
    let mut random = Random::new(1);
    let journal = Journal::new(&mut random);
    let (head, books) = journal.after[journal.after.len() - 3].clone();
    Snapshots::open(&journal.path()).unwrap().put(&Snapshot::of(head, &books).unwrap()).unwrap();
    let resumed = resumed(&journal.path());
    assert_eq!((resumed.snapshot, resumed.frames), (head.sequence, 2));
    // As far as somebody wants it.
    let there = recover::resume(&mut SqliteStore::read(&journal.path()).unwrap(), head.sequence).unwrap();
    assert_eq!((there.books, there.head, there.frames), (books, head.hash, 0));
    // The real opening, which resolves what is open, with the snapshot and without.
    let wall = Timestamp::from_nanos(journal.now);
    let opened = || {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("genops.db");
        std::fs::copy(journal.path(), &path).unwrap();
        let opened = runtime().block_on(recover::open(SqliteStore::open(&path).unwrap(), wall));
        let (ledger, recovered) = opened.unwrap();
        (ledger.read(Books::clone).unwrap(), recovered)
    };
    let with = opened();
    assert_eq!((with.1.entries, with.1.snapshot), (resumed.books.sequence(), head.sequence));
    Snapshots::open(&journal.path()).unwrap().keep(0).unwrap();
    let without = opened();
    assert_eq!(without.1.snapshot, 0);
    assert_eq!(with.0, without.0);
    assert_eq!((with.1.released, with.1.in_doubt), (without.1.released, without.1.in_doubt));
}

#[test]
fn an_entry_that_is_damaged_after_the_snapshot_is_noticed() {
    let mut random = Random::new(2);
    let journal = Journal::new(&mut random);
    let (head, books) = journal.after[3].clone();
    Snapshots::open(&journal.path()).unwrap().put(&Snapshot::of(head, &books).unwrap()).unwrap();
    let file = rusqlite::Connection::open(journal.path()).unwrap();
    let next = i64::try_from(head.sequence + 1).unwrap();
    for damage in [
        "UPDATE frames SET payload = zeroblob(length(payload)) WHERE first = ?1",
        "UPDATE frames SET hash = zeroblob(32) WHERE first = ?1",
        "DELETE FROM frames WHERE first = ?1",
    ] {
        assert_eq!(file.execute(damage, [next]).unwrap(), 1);
        let refused = recover::resume(&mut SqliteStore::read(&journal.path()).unwrap(), u64::MAX).err();
        assert_eq!(refused.and_then(|error| error.entry()), Some(head.sequence + 1), "{damage}");
    }
}

#[test]
fn the_bytes_of_the_books_are_those_of_their_version() {
    let mut random = Random::new(3);
    let journal = Journal::new(&mut random);
    let (_, books) = journal.after.last().unwrap();
    let digest = Digest::of("books", &[&postcard::to_stdvec(books).unwrap()]).to_string();
    let known = (BOOKS_VERSION, digest.as_str());
    // Where only the journal's commands have changed, the digest is put here anew; otherwise the version rises too.
    assert_eq!(known, (2, "35443e36ca71197202db2270b6883210fb4ffc800eb74774ff00fc484ce2763a"));
}
