//! A walk over the journal: entries are folded into records, and records into what a signal tells. Persons are told by name
//! as long as they are known when it is told.
//!
//! It sends nothing and keeps no cursor; the outbox does.

use std::borrow::Cow;
use std::collections::HashMap;

use genops_core::cursor::Cursor;
use genops_core::ledger::Entry;
use genops_core::naming::OfAny;
use genops_core::record::{AwuRecord, Journaled};
use genops_core::{AwuId, news};

use crate::batch::Batch;
use crate::outbox::Entries;
use crate::signal::{Signal, admission_logs, ending_logs, news_logs, spans};

/// Where a walk stands, and the AWUs that are not over there.
pub struct Walk {
    signal: Signal,
    /// What has been acknowledged. Entries up to there are read only to know what is open.
    pub cursor: Cursor,
    /// How many alerts of the entry after that have been acknowledged too, where they are too many for a request. Nothing keeps
    /// this: after a restart they are told again.
    pub part: usize,
    /// The last entry taken in.
    pub position: u64,
    /// How many alerts of the entry after that have been taken in too.
    taken: usize,
    open: HashMap<AwuId, AwuRecord>,
}

impl Walk {
    /// A walk that goes on from a cursor.
    pub fn from(signal: Signal, cursor: Cursor) -> Self {
        let position = cursor.from.saturating_sub(1);
        Self { signal, cursor, part: 0, position, taken: 0, open: HashMap::new() }
    }

    /// Goes back to what has been acknowledged.
    pub fn go_back(&mut self) {
        let part = self.part;
        *self = Self { part, taken: part, ..Self::from(self.signal, self.cursor) };
    }

    /// Fills a request from the journal, with about so many bytes, and with nothing beyond `through`.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn fill(
        &mut self,
        batch: &mut Batch,
        entries: &mut dyn Entries,
        bytes_max: usize,
        through: u64,
    ) -> Result<(), String> {
        while batch.len() < bytes_max && self.position < through {
            let after = self.position;
            for journaled in entries.after(after)? {
                // One frame may hold more than a request: what is left of it is read again.
                if batch.len() >= bytes_max || journaled.entry.sequence > through {
                    break;
                }
                self.take(journaled, batch, entries, bytes_max)?;
            }
            if self.position == after {
                break;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        journaled: Journaled,
        batch: &mut Batch,
        entries: &mut dyn Entries,
        bytes_max: usize,
    ) -> Result<(), String> {
        let sequence = journaled.entry.sequence;
        let is_new = sequence > self.cursor.through;
        if self.signal == Signal::Alerts {
            let count = news::alerts(&journaled.entry.outcome).len();
            if is_new && count > 0 {
                self.taken += batch.alerts(&entry_told(journaled.entry, entries)?, self.taken, bytes_max);
                if self.taken < count {
                    return Ok(());
                }
            }
            (self.position, self.taken) = (sequence, 0);
            return Ok(());
        }
        self.position = sequence;
        let is_log = is_new && self.signal == Signal::Logs;
        if is_log && !news::events(&journaled.entry).is_empty() {
            batch.logs(&news_logs(&entry_told(journaled.entry.clone(), entries)?));
        }
        let Some(awu) = AwuRecord::subject(&journaled.entry.command) else { return Ok(()) };
        let record = match self.open.remove(&awu) {
            Some(mut record) => {
                record.follow(journaled.entry);
                if is_log {
                    batch.logs(&ending_logs(&*told(&record, entries)?));
                }
                record
            }
            None => {
                let Some(record) = AwuRecord::begin(journaled) else { return Ok(()) };
                if is_log {
                    batch.logs(&admission_logs(&*told(&record, entries)?));
                }
                record
            }
        };
        if !record.is_complete() {
            self.open.insert(awu, record);
        } else if is_new && self.signal == Signal::Traces {
            batch.spans(&spans(&*told(&record, entries)?));
        }
        Ok(())
    }

    /// How many alerts of the entry after [`Walk::standing`] have been taken in.
    pub const fn standing_part(&self) -> usize {
        self.taken
    }

    /// The cursor, once everything taken in so far has been acknowledged.
    pub fn standing(&self) -> Cursor {
        let oldest = self.open.values().map(|record| record.sequence).min();
        Cursor { through: self.position.max(self.cursor.through), from: oldest.unwrap_or(self.position + 1) }
    }
}

/// A record that says whom its pseudonyms stand for, as far as anybody knows by now.
fn told<'a>(record: &'a AwuRecord, entries: &mut dyn Entries) -> Result<Cow<'a, AwuRecord>, String> {
    if !record.names_persons() {
        return Ok(Cow::Borrowed(record));
    }
    naming(entries, |other| Cow::Owned(record.renamed(other)))
}

/// The same of an entry.
fn entry_told(mut entry: Entry, entries: &mut dyn Entries) -> Result<Entry, String> {
    naming(entries, |other| {
        entry.rename(other);
        entry
    })
}

fn naming<T>(entries: &mut dyn Entries, rename: impl FnOnce(&mut OfAny<'_>) -> T) -> Result<T, String> {
    let mut failed = None;
    let renamed = rename(&mut |name| match entries.person(name) {
        Ok(person) => person,
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    failed.map_or(Ok(renamed), Err)
}

#[cfg(test)]
mod tests {
    use genops_core::budget::CellKey;
    use genops_core::ledger::{Alert, CellId, Command, Outcome};
    use genops_core::period::Window;
    use genops_core::{Amount, Digest, Name, Timestamp, Unit};

    use super::*;

    /// A journal of two entries with a hundred alerts each.
    struct Many;

    const COUNT: usize = 100;

    impl Entries for Many {
        fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, String> {
            let key = CellKey {
                budget: Some(Name::new("b").unwrap()),
                each: Box::default(),
                unit: Unit::Usd,
                window: Window::Always,
            };
            let (cell, used, allocated) = (CellId::default(), Amount::from_whole(2), Amount::from_whole(1));
            let alert = |percent| Alert { cell, key: key.clone(), percent, used, allocated };
            let outcome = || Outcome::GrantEnded { alerts: (1..=100).map(alert).collect() };
            let (at, command) = (Timestamp::from_nanos(1), Command::Lapse { grant: 1 });
            let entry = |sequence| Entry { sequence, at, command: command.clone(), outcome: outcome() };
            let journaled = |sequence| Journaled { entry: entry(sequence), chain: Digest::ZERO };
            Ok((sequence + 1..=2).map(journaled).collect())
        }

        fn person(&mut self, _: &Name) -> Result<Option<Name>, String> {
            Ok(None)
        }
    }

    /// The ids of the alerts of the next request of about so many bytes.
    fn told(walk: &mut Walk, bytes_max: usize) -> Vec<String> {
        let mut batch = Batch::Json(Signal::Alerts, Vec::new(), 0);
        walk.fill(&mut batch, &mut Many, bytes_max, u64::MAX).unwrap();
        assert!(batch.len() < bytes_max + 1_000, "a request of {} bytes", batch.len());
        let Batch::Json(_, records, _) = batch else { panic!("it is JSON") };
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn alerts_of_one_entry_that_are_too_many_for_a_request_are_told_in_several_each_once() {
        let all = |sequence: u64| (1..=COUNT).map(move |place| format!("{sequence}-{place}"));
        for bytes_max in [1, 4_000, 20_000, 1 << 20] {
            let mut walk = Walk::from(Signal::Alerts, Cursor::default());
            let mut seen = Vec::new();
            loop {
                let ids = told(&mut walk, bytes_max);
                let (cursor, part) = (walk.standing(), walk.standing_part());
                // What is not acknowledged is told again, and nothing else is.
                walk.go_back();
                assert_eq!(told(&mut walk, bytes_max), ids, "{bytes_max}");
                assert_eq!((walk.standing(), walk.standing_part()), (cursor, part));
                (walk.cursor, walk.part) = (cursor, part);
                seen.extend(ids.clone());
                // An entry counts as delivered once all of it is.
                let whole = |last: &String| last.ends_with(&format!("-{COUNT}"));
                assert_eq!(part == 0, ids.last().is_none_or(whole), "{bytes_max}");
                assert_eq!(cursor.through, (seen.len() / COUNT) as u64, "{bytes_max}");
                if ids.is_empty() {
                    break;
                }
            }
            assert!(seen.into_iter().eq(all(1).chain(all(2))), "{bytes_max}");
        }
    }
}
