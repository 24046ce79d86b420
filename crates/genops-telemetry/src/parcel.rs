//! A request that is ready to be sent, and whom it names.
//!
//! It is gathered from the journal in one go. Sending it, and what comes of that, is the outbox's.

use std::collections::HashSet;

use bytes::Bytes;
use genops_core::Name;
use genops_core::cursor::Cursor;
use genops_core::record::Journaled;
use tokio::sync::watch;

use crate::destination::Way;
use crate::outbox::Entries;
use crate::protobuf::Resource;
use crate::walk::Walk;

/// A request that is ready to be sent.
pub struct Parcel {
    pub payload: Bytes,
    pub records: u64,
    pub is_small: bool,
    /// The cursor before …
    pub before: Cursor,
    /// … and the one once it has been acknowledged.
    pub cursor: Cursor,
    /// How much of what the entry after that tells by itself has been told with it, where it is too much for a request.
    pub part: usize,
    /// How many had been erased before it was gathered.
    pub erasures: u64,
    /// The pseudonyms of those whom it names by value.
    named: HashSet<Name>,
}

impl Parcel {
    /// Fills a request from the journal; `None` where there is nothing to tell.
    ///
    /// # Errors
    ///
    /// The journal cannot be read, or the request cannot be made.
    pub fn gather(
        walk: &mut Walk,
        way: &Way,
        entries: &mut dyn Entries,
        erasures: &watch::Receiver<u64>,
        resource: &Resource,
        bytes_max: usize,
        through: u64,
    ) -> Result<Option<Self>, String> {
        let (before, erasures) = (walk.cursor, *erasures.borrow());
        let mut batch = way.batch(bytes_max);
        let mut naming = Naming { entries, named: HashSet::new() };
        walk.fill(&mut batch, &mut naming, bytes_max, through)?;
        if batch.is_empty() {
            return Ok(None);
        }
        let named = naming.named;
        let (records, is_small) = (batch.count(), batch.len() < bytes_max / 2);
        let payload = way.payload(batch, resource)?;
        let (cursor, part) = (walk.standing(), walk.standing_part());
        Ok(Some(Self { payload, records, is_small, before, cursor, part, erasures, named }))
    }

    /// The last entry that it tells of.
    pub fn through(&self) -> u64 {
        self.cursor.through.saturating_add(u64::from(self.part > 0))
    }

    /// Whether it names anybody by value.
    pub fn names_persons(&self) -> bool {
        !self.named.is_empty()
    }

    /// Whether it names somebody whom nobody knows any more.
    ///
    /// # Errors
    ///
    /// Nobody can tell.
    pub fn names_erased(&self, entries: &mut dyn Entries) -> Result<bool, String> {
        for pseudonym in &self.named {
            if entries.person(pseudonym)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A reader that remembers whom it was asked for and knew.
struct Naming<'a> {
    entries: &'a mut dyn Entries,
    named: HashSet<Name>,
}

impl Entries for Naming<'_> {
    fn after(&mut self, sequence: u64) -> Result<Vec<Journaled>, String> {
        self.entries.after(sequence)
    }

    fn person(&mut self, pseudonym: &Name) -> Result<Option<Name>, String> {
        let person = self.entries.person(pseudonym)?;
        if person.is_some() && !self.named.contains(pseudonym) {
            self.named.insert(pseudonym.clone());
        }
        Ok(person)
    }
}
