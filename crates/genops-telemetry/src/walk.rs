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
    /// The last entry taken in.
    pub position: u64,
    open: HashMap<AwuId, AwuRecord>,
}

impl Walk {
    /// A walk that goes on from a cursor.
    pub fn from(signal: Signal, cursor: Cursor) -> Self {
        Self { signal, cursor, position: cursor.from.saturating_sub(1), open: HashMap::new() }
    }

    /// Goes back to what has been acknowledged.
    pub fn go_back(&mut self) {
        *self = Self::from(self.signal, self.cursor);
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
                self.take(journaled, batch, entries)?;
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
    ) -> Result<(), String> {
        self.position = journaled.entry.sequence;
        let is_new = self.position > self.cursor.through;
        if self.signal == Signal::Alerts {
            if is_new && !news::alerts(&journaled.entry.outcome).is_empty() {
                batch.alerts(&entry_told(journaled.entry, entries)?);
            }
            return Ok(());
        }
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
