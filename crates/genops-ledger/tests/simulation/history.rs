//! What a ledger has to remember: the entries that were applied, in their order, and up to where callers were told.
//!
//! It checks each entry when it is applied, each answer when it is told, and after each restart what came back.

use genops_core::audit::Auditor;
use genops_core::ledger::{Books, Entry, decide, evolve};
use genops_core::person::Person;
use genops_core::{Digest, Timestamp};
use genops_ledger::Journal;
use genops_ledger::recover::Replayed;
use genops_ledger::store::Store;

use crate::disk::Disk;
use crate::persons;

/// The history of one ledger, through all lives of its process.
#[derive(Debug, Default)]
pub struct History {
    applied: Vec<Entry>,
    /// Who was first named by which entry.
    kept: Vec<(u64, Person)>,
    told: Vec<u64>,
    told_through: u64,
    fold: Fold,
}

/// What the entries come to, worked out beside the ledger.
#[derive(Debug, Default)]
struct Fold {
    books: Books,
    auditor: Auditor,
}

impl Fold {
    /// I1 to I6 by the auditor, I7 here.
    fn follow(&mut self, entry: &Entry) -> Result<(), String> {
        let decided = decide(&self.books, entry.at, &entry.command);
        if decided.as_ref() != Ok(&entry.outcome) {
            return Err(format!("I7: entry {} would be decided {decided:?}", entry.sequence));
        }
        evolve(&mut self.books, entry).map_err(|mismatch| format!("I7: {mismatch}"))?;
        self.auditor.follow(entry, &self.books).map_err(|breach| breach.to_string())
    }
}

impl History {
    /// Every entry that has its place.
    pub fn applied(&self) -> &[Entry] {
        &self.applied
    }

    /// An entry has its place, which is the first to name these persons.
    pub fn apply(&mut self, entry: &Entry, wall: Timestamp, new: &[Person]) -> Result<(), String> {
        let place = self.applied.len() as u64 + 1;
        if entry.sequence != place {
            return Err(format!("entry {} came in the place {place}", entry.sequence));
        }
        let last = self.applied.last().map_or(Timestamp::default(), |last| last.at);
        if entry.at != wall.max(last) {
            return Err(format!("entry {place} is of {:?}, after {last:?}, at {wall:?}", entry.at));
        }
        self.fold.follow(entry)?;
        self.applied.push(entry.clone());
        self.kept.extend(new.iter().map(|person| (place, person.clone())));
        Ok(())
    }

    /// Somebody was told that an entry is durable, while the disk has those through `durable`.
    pub fn tell(&mut self, sequence: u64, durable: u64) -> Result<(), String> {
        if sequence > durable {
            return Err(format!("I8: entry {sequence} was told while {durable} was the last durable one"));
        }
        self.told.push(sequence);
        self.told_through = self.told_through.max(sequence);
        Ok(())
    }

    /// The books of a running ledger are the fold of what it applied.
    pub fn check_books(&self, books: &Books) -> Result<(), String> {
        if *books == self.fold.books {
            Ok(())
        } else {
            Err("I7: the books are not the fold of the entries".to_owned())
        }
    }

    /// What came back after a restart: every entry that was told, byte for byte, and nothing that was never applied.
    /// What was applied and never told may have come back or not. Of persons there is what these entries say.
    pub fn restart(&mut self, disk: &Disk, replayed: &Replayed) -> Result<(), String> {
        let through = replayed.books.sequence();
        if through < self.told_through {
            return Err(format!("I8: entry {} was told, and only {through} came back", self.told_through));
        }
        let journal = read(disk)?;
        if journal.len() as u64 != through || journal.len() > self.applied.len() {
            return Err(format!("{} entries came back of {}", journal.len(), self.applied.len()));
        }
        for (ours, theirs) in self.applied.iter().zip(&journal) {
            if bytes(ours) != bytes(theirs) {
                return Err(format!("entry {} came back as {theirs:?}, was {ours:?}", ours.sequence));
            }
        }
        if journal.len() < self.applied.len() {
            self.applied.truncate(journal.len());
            self.kept.retain(|(sequence, _)| *sequence <= through);
            self.fold = Fold::default();
            self.applied.iter().try_for_each(|entry| self.fold.follow(entry))?;
        }
        persons::check(disk, &self.applied, &self.kept)?;
        self.fold.auditor.conclude(&self.fold.books).map_err(|breach| breach.to_string())?;
        self.check_books(&replayed.books)
    }

    /// How many were kept, and how many were erased, in the entries that are there.
    pub fn persons(&self) -> (u64, u64) {
        let erased = self.applied.iter().filter(|entry| persons::erased_by(entry).is_some()).count();
        (self.kept.len() as u64, erased as u64)
    }

    /// Commits to everything that happened.
    pub fn digest(&self, disk: &Disk) -> Digest {
        let frames = disk.frames();
        let told: Vec<_> = self.told.iter().flat_map(|sequence| sequence.to_be_bytes()).collect();
        let mut parts: Vec<&[u8]> = frames.iter().map(|frame| frame.hash.bytes().as_slice()).collect();
        parts.push(&told);
        Digest::of("simulation", &parts)
    }
}

fn bytes(entry: &Entry) -> Vec<u8> {
    postcard::to_allocvec(entry).unwrap()
}

/// The journal, in the way in which whoever follows it reads it.
fn read(disk: &Disk) -> Result<Vec<Entry>, String> {
    let told = |error: genops_ledger::StoreError| format!("the journal cannot be read: {error}");
    let mut journal = Journal::new(disk.readers()().map_err(told)?);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let more = journal.after(entries.len() as u64).map_err(told)?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more.into_iter().map(|journaled| journaled.entry));
    }
}
