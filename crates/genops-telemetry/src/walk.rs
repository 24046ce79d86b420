//! A walk over the journal: entries are folded into records, and records into what a signal tells.
//!
//! It sends nothing and keeps no cursor; the outbox does.

use std::collections::HashMap;

use genops_core::AwuId;
use genops_core::cursor::Cursor;
use genops_core::record::{AwuRecord, Journaled};

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
                self.take(journaled, batch);
            }
            if self.position == after {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, journaled: Journaled, batch: &mut Batch) {
        self.position = journaled.entry.sequence;
        if self.signal == Signal::Alerts {
            if self.position > self.cursor.through {
                batch.alerts(&journaled.entry);
            }
            return;
        }
        let Some(awu) = AwuRecord::subject(&journaled.entry.command) else { return };
        let is_new = self.position > self.cursor.through;
        if is_new && self.signal == Signal::Logs {
            batch.logs(&news_logs(&journaled.entry));
        }
        let record = match self.open.remove(&awu) {
            Some(mut record) => {
                record.follow(journaled.entry);
                if is_new && self.signal == Signal::Logs {
                    batch.logs(&ending_logs(&record));
                }
                record
            }
            None => {
                let Some(record) = AwuRecord::begin(journaled) else { return };
                if is_new && self.signal == Signal::Logs {
                    batch.logs(&admission_logs(&record));
                }
                record
            }
        };
        if !record.is_complete() {
            self.open.insert(awu, record);
        } else if is_new && self.signal == Signal::Traces {
            batch.spans(&spans(&record));
        }
    }

    /// The cursor, once everything taken in so far has been acknowledged.
    pub fn standing(&self) -> Cursor {
        let oldest = self.open.values().map(|record| record.sequence).min();
        Cursor { through: self.position.max(self.cursor.through), from: oldest.unwrap_or(self.position + 1) }
    }
}
