//! A frame: the entries of one commit as bytes, chained by hash to the frame before it.
//!
//! The chain shows that a journal is consistent with a head that somebody noted earlier. It does not show
//! that the owner of the file is honest; the hashes that telemetry carries away are the witness for that.
//!
//! A frame's hash covers the digest of each entry, not the entries themselves. So one entry and the digests of those
//! beside it show that it is in the chain, and whoever is shown that learns nothing of the others.

use genops_core::Digest;
use genops_core::ledger::{ENGINE_VERSION, Entry, FORMAT_VERSION};

/// Some entries in a row, encoded, and the hash that commits to them and to everything before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The sequence number of the first entry.
    pub first: u64,
    /// How many entries.
    pub count: u32,
    /// The version of the entries' bytes.
    pub format: u16,
    /// The version of the rules that decided them.
    pub engine: u16,
    /// The hash of the frame before; all zero for the first.
    pub previous: Digest,
    /// The hash of this frame.
    pub hash: Digest,
    /// The entries, one after the other.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Closes a batch whose entries end at `ends` in the payload.
    #[must_use]
    pub fn seal(previous: Digest, first: u64, payload: Vec<u8>, ends: &[usize]) -> Self {
        let mut frame = Self {
            first,
            count: u32::try_from(ends.len()).unwrap_or(u32::MAX),
            format: FORMAT_VERSION,
            engine: ENGINE_VERSION,
            previous,
            hash: Digest::ZERO,
            payload,
        };
        let begins = std::iter::once(&0).chain(ends);
        let pieces = begins.zip(ends).map(|(begin, end)| frame.payload.get(*begin..*end).unwrap_or_default());
        frame.hash = frame.hash_over(&pieces.map(entry_digest).collect::<Vec<_>>());
        frame
    }

    /// The sequence number of the last entry.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.first.saturating_add(self.count as u64).saturating_sub(1)
    }

    /// Checks that the frame follows `previous` at the place `first`, and that its hash is its own. Gives the entries,
    /// which it has to tell apart for that.
    ///
    /// # Errors
    ///
    /// Says what does not fit.
    pub fn check(&self, previous: Digest, first: u64) -> Result<Vec<Entry>, BadFrame> {
        let bad = |what| Err(self.bad(what));
        if self.first > first {
            Err(BadFrame::Gap { due: first, first: self.first })
        } else if self.first < first {
            Err(BadFrame::OutOfPlace { due: first, first: self.first })
        } else if self.count == 0 {
            bad("holds no entry")
        } else if self.format > FORMAT_VERSION {
            Err(BadFrame::Newer { first: self.first, count: self.count, format: self.format })
        } else if self.format < FORMAT_VERSION {
            bad(
                "has a format that was never released: a version of genops from before its first release wrote it, and \
                 only that version reads it",
            )
        } else if self.previous != previous {
            bad("does not continue the chain")
        } else {
            let (mut entries, mut digests) = (Vec::new(), Vec::new());
            self.walk(|entry, bytes| {
                entries.push(entry);
                digests.push(entry_digest(bytes));
            })?;
            if self.hash == self.hash_over(&digests) {
                Ok(entries)
            } else {
                bad("has been changed: its hash is not that of its content")
            }
        }
    }

    /// The entries.
    ///
    /// # Errors
    ///
    /// The bytes are not so many entries.
    pub fn entries(&self) -> Result<Vec<Entry>, BadFrame> {
        let mut entries = Vec::new();
        self.walk(|entry, _| entries.push(entry))?;
        Ok(entries)
    }

    /// Visits the entries in order, each with its bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not so many entries.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(Entry, &'a [u8])) -> Result<(), BadFrame> {
        let bad = |what| self.bad(what);
        let mut rest = self.payload.as_slice();
        for place in 0..self.count {
            let (entry, after) = postcard::take_from_bytes::<Entry>(rest)
                .map_err(|_| bad("holds bytes that are not an entry"))?;
            if Some(entry.sequence) != self.first.checked_add(place.into()) {
                return Err(bad("holds an entry that says it is another"));
            }
            let length = rest.len().saturating_sub(after.len());
            visit(entry, rest.get(..length).unwrap_or_default());
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(bad("holds more bytes than its entries")) }
    }

    const fn bad(&self, what: &'static str) -> BadFrame {
        BadFrame::Bad { first: self.first, count: self.count, what }
    }

    fn hash_over(&self, entries: &[Digest]) -> Digest {
        hash(self.previous, self.first, self.format, self.engine, entries)
    }
}

/// The hash of a frame whose entries have these digests, in order. It is the SHA-256 of the name, a zero, and the
/// fields in this order, integers with the highest byte first: previous, first, count (32 bits), format, engine, digests.
#[must_use]
pub fn hash(previous: Digest, first: u64, format: u16, engine: u16, entries: &[Digest]) -> Digest {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let digests: Vec<u8> = entries.iter().flat_map(Digest::bytes).copied().collect();
    let parts: [&[u8]; 6] = [
        previous.bytes(),
        &first.to_be_bytes(),
        &count.to_be_bytes(),
        &format.to_be_bytes(),
        &engine.to_be_bytes(),
        &digests,
    ];
    Digest::of("genops frame 2", &parts)
}

/// What a frame's hash covers of an entry.
#[must_use]
pub fn entry_digest(bytes: &[u8]) -> Digest {
    Digest::of("genops entry 1", &[bytes])
}

/// The one entry that `bytes` are; `None` where they are something else.
#[must_use]
pub fn entry(bytes: &[u8]) -> Option<Entry> {
    let (entry, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(entry)
}

/// A frame that does not belong where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Something has been removed, or the number of a frame has been changed.
    #[error("entry {due} is missing: the next frame begins with entry {first}")]
    Gap {
        /// The entry that is due.
        due: u64,
        /// The entry that comes in its place.
        first: u64,
    },
    /// Something has been inserted, or stands in another order.
    #[error("a frame that begins with entry {first} stands where entry {due} is due")]
    OutOfPlace {
        /// The entry that is due.
        due: u64,
        /// The entry that comes in its place.
        first: u64,
    },
    /// Nobody here can read it.
    #[error(
        "the frame at entry {first} ({count} entries) was written by a newer version of genops, in format {format}, and this \
         one reads format {FORMAT_VERSION}: open it with that version, or a later one"
    )]
    Newer {
        /// The first entry of the frame.
        first: u64,
        /// How many entries it says it has.
        count: u32,
        /// The version of its bytes.
        format: u16,
    },
    /// A frame stands in its place and is not what it should be.
    #[error("the frame at entry {first} ({count} entries) {what}")]
    Bad {
        /// The first entry of the frame.
        first: u64,
        /// How many entries it says it has.
        count: u32,
        /// What is wrong.
        what: &'static str,
    },
}

impl BadFrame {
    /// The first entry that cannot be relied on.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        match self {
            Self::Gap { due, .. } | Self::OutOfPlace { due, .. } => *due,
            Self::Newer { first, .. } | Self::Bad { first, .. } => *first,
        }
    }
}

#[cfg(test)]
mod tests {
    use genops_core::Timestamp;
    use genops_core::awu::AwuId;
    use genops_core::ledger::{Command, Outcome};

    use super::*;

    /// The frame of so many entries from the seventh on.
    fn sealed(count: u64) -> Frame {
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for sequence in 7..7 + count {
            let command = Command::Start { awu: AwuId { trace_id: [1; 16], span_id: [1; 8] } };
            let entry = Entry { sequence, at: Timestamp::default(), command, outcome: Outcome::Started };
            payload = postcard::to_extend(&entry, payload).unwrap();
            ends.push(payload.len());
        }
        Frame::seal(Digest::ZERO, 7, payload, &ends)
    }

    #[test]
    fn any_changed_field_is_noticed() {
        let good = sealed(2);
        assert_eq!(good.check(Digest::ZERO, 7), good.entries());
        assert_eq!(good.entries().unwrap().len(), 2);
        assert_eq!(good.last(), 8);
        assert!(good.check(Digest::of("other", &[]), 7).is_err(), "another chain");
        assert!(good.check(Digest::ZERO, 8).is_err(), "another place");
        let other = Digest::of("other", &[]);
        let bad = [
            Frame { first: 8, ..good.clone() },
            Frame { count: 3, ..good.clone() },
            Frame { count: 1, ..good.clone() },
            Frame { engine: 9, ..good.clone() },
            Frame { format: 0, ..good.clone() },
            Frame { previous: other, ..good.clone() },
            Frame { hash: other, ..good },
        ];
        for frame in bad {
            assert!(frame.check(Digest::ZERO, 7).is_err(), "{frame:?}");
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let good = sealed(2);
        for at in 0..good.payload.len() {
            let mut changed = good.clone();
            changed.payload[at] ^= 1;
            assert!(changed.check(Digest::ZERO, 7).is_err(), "byte {at}");
        }
        let payload = [good.payload.as_slice(), &[0]].concat();
        assert!(Frame { payload, ..good }.check(Digest::ZERO, 7).is_err(), "a byte more");
    }

    #[test]
    fn the_digests_of_its_entries_come_to_its_hash() {
        let frame = sealed(3);
        let mut digests = Vec::new();
        frame.walk(|_, bytes| digests.push(entry_digest(bytes))).unwrap();
        let with =
            |digests: &[Digest]| hash(frame.previous, frame.first, frame.format, frame.engine, digests);
        assert_eq!(with(&digests), frame.hash);
        digests.swap(0, 1);
        assert_ne!(with(&digests), frame.hash, "in another order");
        digests.swap(0, 1);
        digests.pop();
        assert_ne!(with(&digests), frame.hash, "one less");
    }
}
