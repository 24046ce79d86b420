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
    /// How much of what the entry after that tells by itself, alerts for the most part, has been acknowledged too, where it is
    /// too much for a request. Nothing keeps this: after a restart it is told again.
    pub part: usize,
    /// The last entry taken in.
    pub position: u64,
    /// How much of what the first new entry after that tells by itself has been taken in too.
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
        if is_new {
            // What is left of it is told with the next request, and until then it has not been taken in.
            let is_told = self.tell_news(&journaled.entry, batch, entries, bytes_max)?;
            if !is_told {
                return Ok(());
            }
            self.taken = 0;
        }
        self.position = sequence;
        if self.signal == Signal::Alerts {
            return Ok(());
        }
        let is_log = is_new && self.signal == Signal::Logs;
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

    /// Tells what an entry says by itself, beside decisions and ends, until the request holds about so many bytes. Gives whether
    /// that is all of it: one entry may have a thousand alerts.
    fn tell_news(
        &mut self,
        entry: &Entry,
        batch: &mut Batch,
        entries: &mut dyn Entries,
        bytes_max: usize,
    ) -> Result<bool, String> {
        let count = match self.signal {
            Signal::Traces => 0,
            Signal::Logs => news::events(entry).len(),
            Signal::Alerts => news::alerts(&entry.outcome).len(),
        };
        if count == 0 {
            return Ok(true);
        }
        let entry = entry_told(entry.clone(), entries)?;
        self.taken += match self.signal {
            Signal::Alerts => batch.alerts(&entry, self.taken, bytes_max),
            _ => batch.logs_until(news_logs(&entry).get(self.taken..).unwrap_or_default(), bytes_max),
        };
        Ok(self.taken >= count)
    }

    /// How much of what the entry after [`Walk::standing`] tells by itself has been taken in.
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
    use std::sync::Arc;

    use genops_core::attribution::Attribution;
    use genops_core::awu::Proposal;
    use genops_core::budget::CellKey;
    use genops_core::ledger::{self, Admit, Alert, Books, CellId, Command, Outcome};
    use genops_core::period::Window;
    use genops_core::policy::Policy;
    use genops_core::price::{Price, Tokens};
    use genops_core::{Amount, Digest, Name, Timestamp, Unit};

    use super::*;
    use crate::protobuf::Request;

    /// A journal of two entries with a hundred alerts each. An AWU that is open is there before them.
    struct Many;

    const COUNT: usize = 100;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// The third and the fourth entry are those with alerts.
    fn entries() -> Vec<Entry> {
        let attribution = Attribution::new(Some("a"), Some("b"), Some("c")).unwrap();
        let proposal = Proposal {
            bound: Tokens::new(1, 1),
            price: Some(Price::flat(name("p"), Amount::from_whole(1), Amount::from_whole(1))),
            ..Proposal::new(attribution, name("o"), name("inference"), name("p"), name("m"))
        };
        let mut books = Books::default();
        let at = Timestamp::from_nanos(1);
        let adopts = Command::AdoptPolicy(Arc::new(Policy::unrestricted()));
        let asks = Admit::new(AwuId { trace_id: [1; 16], span_id: [1; 8] }, proposal);
        let mut entries: Vec<_> = [adopts, Command::Admit(Arc::new(asks))]
            .map(|command| ledger::apply(&mut books, at, command).unwrap())
            .into();
        let key = CellKey {
            budget: Some(name("b")),
            each: Box::default(),
            unit: Unit::Usd,
            window: Window::Always,
        };
        let (cell, used, allocated) = (CellId::default(), Amount::from_whole(2), Amount::from_whole(1));
        let alert = |percent| Alert { cell, key: key.clone(), percent, used, allocated };
        let outcome = || Outcome::GrantEnded { alerts: (1..=100).map(alert).collect() };
        let command = Command::Lapse { grant: 1 };
        entries.extend((3..=4).map(|sequence| Entry {
            sequence,
            at,
            command: command.clone(),
            outcome: outcome(),
        }));
        entries
    }

    impl Entries for Many {
        fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, String> {
            let later = entries().into_iter().filter(|entry| entry.sequence > sequence);
            Ok(later.map(|entry| Journaled { entry, chain: Digest::ZERO }).collect())
        }

        fn person(&mut self, _: &Name) -> Result<Option<Name>, String> {
            Ok(None)
        }
    }

    /// What the next request of about so many bytes tells: each alert by its percentage, and 0 for the admission.
    fn told(walk: &mut Walk, bytes_max: usize) -> Vec<u64> {
        let mut batch = Batch::Json(walk.signal, Vec::new(), 0);
        walk.fill(&mut batch, &mut Many, bytes_max, u64::MAX).unwrap();
        assert!(batch.len() < bytes_max + 3_000, "a request of {} bytes", batch.len());
        let Batch::Json(_, records, _) = batch else { panic!("it is JSON") };
        records.iter().map(percent).collect()
    }

    fn percent(record: &serde_json::Value) -> u64 {
        if let Some(percent) = record["percent"].as_u64() {
            return percent;
        }
        let attributes = record["attributes"].as_array().unwrap();
        let is_percent = |fact: &&serde_json::Value| fact["key"] == "genops_runtime.budget.alert_percent";
        let percent =
            attributes.iter().find(is_percent).map(|fact| fact["value"]["intValue"].as_str().unwrap());
        percent.map_or(0, |percent| percent.parse().unwrap())
    }

    #[test]
    fn what_one_entry_tells_that_is_too_much_for_a_request_is_told_in_several_each_once() {
        for signal in [Signal::Alerts, Signal::Logs] {
            for bytes_max in [1, 4_000, 20_000, 1 << 20] {
                let mut walk = Walk::from(signal, Cursor::default());
                let (mut seen, mut requests) = (Vec::new(), 0);
                loop {
                    let now = told(&mut walk, bytes_max);
                    let (cursor, part) = (walk.standing(), walk.standing_part());
                    // What is not acknowledged is told again, and nothing else is.
                    walk.go_back();
                    assert_eq!(told(&mut walk, bytes_max), now, "{signal:?} {bytes_max}");
                    assert_eq!((walk.standing(), walk.standing_part()), (cursor, part));
                    (walk.cursor, walk.part) = (cursor, part);
                    if now.is_empty() {
                        break;
                    }
                    requests += 1;
                    seen.extend(now.into_iter().filter(|percent| *percent > 0));
                    // An entry counts as delivered once all of it is.
                    assert_eq!(part, seen.len() % COUNT, "{signal:?} {bytes_max}");
                    assert_eq!(cursor.through, 2 + (seen.len() / COUNT) as u64, "{signal:?} {bytes_max}");
                }
                let all = 1..=COUNT as u64;
                assert!(seen.into_iter().eq(all.clone().chain(all)), "{signal:?} {bytes_max}");
                assert_eq!(requests == 1, bytes_max == 1 << 20, "{signal:?} {bytes_max}: {requests}");
            }
        }
    }

    /// For a collector as well.
    #[test]
    fn a_request_in_protocol_buffers_holds_no_more_of_one_entry_than_fits() {
        let mut walk = Walk::from(Signal::Logs, Cursor::default());
        let mut batch = Batch::Protobuf(Request::with_capacity(4_000));
        walk.fill(&mut batch, &mut Many, 4_000, u64::MAX).unwrap();
        assert!((4_000..6_000).contains(&batch.len()), "{}", batch.len());
        assert!(walk.standing_part() > 0);
    }
}
