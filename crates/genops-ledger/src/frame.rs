//! A frame: the entries of one commit as bytes, chained by hash to the frame before it.
//!
//! The chain shows that a journal is consistent with a head that somebody noted earlier. It does not show
//! that the owner of the file is honest; the hashes that telemetry carries away are the witness for that.

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
    /// Closes a batch.
    #[must_use]
    pub fn seal(previous: Digest, first: u64, count: u32, payload: Vec<u8>) -> Self {
        let mut frame = Self {
            first,
            count,
            format: FORMAT_VERSION,
            engine: ENGINE_VERSION,
            previous,
            hash: Digest::ZERO,
            payload,
        };
        frame.hash = frame.expected_hash();
        frame
    }

    /// The sequence number of the last entry.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.first.saturating_add(self.count as u64).saturating_sub(1)
    }

    /// Checks that the frame follows `previous` at the place `first`, and that its hash is its own.
    ///
    /// # Errors
    ///
    /// Says what does not fit.
    pub fn check(&self, previous: Digest, first: u64) -> Result<(), BadFrame> {
        let bad = |what| Err(self.bad(what));
        if self.first > first {
            Err(BadFrame::Gap { due: first, first: self.first })
        } else if self.first < first {
            Err(BadFrame::OutOfPlace { due: first, first: self.first })
        } else if self.count == 0 {
            bad("holds no entry")
        } else if self.format > FORMAT_VERSION {
            bad("was written by a newer version of genops")
        } else if self.format < FORMAT_VERSION {
            bad(
                "was written by a version of genops from before its first release, which cannot be read any more",
            )
        } else if self.previous != previous {
            bad("does not continue the chain")
        } else if self.hash != self.expected_hash() {
            bad("has been changed: its hash is not that of its content")
        } else {
            Ok(())
        }
    }

    /// The entries.
    ///
    /// # Errors
    ///
    /// The bytes are not so many entries.
    pub fn entries(&self) -> Result<Vec<Entry>, BadFrame> {
        let bad = |what| self.bad(what);
        let mut rest = self.payload.as_slice();
        let mut entries = Vec::new();
        for place in 0..self.count {
            let (entry, after) = postcard::take_from_bytes::<Entry>(rest)
                .map_err(|_| bad("holds bytes that are not an entry"))?;
            if Some(entry.sequence) != self.first.checked_add(place.into()) {
                return Err(bad("holds an entry that says it is another"));
            }
            entries.push(entry);
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(bad("holds more bytes than its entries")) }
    }

    const fn bad(&self, what: &'static str) -> BadFrame {
        BadFrame::Bad { first: self.first, count: self.count, what }
    }

    fn expected_hash(&self) -> Digest {
        let parts: [&[u8]; 6] = [
            self.previous.bytes(),
            &self.first.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.format.to_be_bytes(),
            &self.engine.to_be_bytes(),
            &self.payload,
        ];
        Digest::of("genops frame 1", &parts)
    }
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
            Self::Bad { first, .. } => *first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_field_is_noticed() {
        let good = Frame::seal(Digest::ZERO, 7, 2, vec![1, 2, 3]);
        assert_eq!(good.check(Digest::ZERO, 7), Ok(()));
        assert_eq!(good.last(), 8);
        assert!(good.check(Digest::of("other", &[]), 7).is_err(), "another chain");
        assert!(good.check(Digest::ZERO, 8).is_err(), "another place");
        let other = Digest::of("other", &[]);
        let bad = [
            Frame { first: 8, ..good.clone() },
            Frame { count: 3, ..good.clone() },
            Frame { engine: 9, ..good.clone() },
            Frame { format: 0, ..good.clone() },
            Frame { previous: other, ..good.clone() },
            Frame { hash: other, ..good.clone() },
            Frame { payload: vec![1, 2, 4], ..good },
        ];
        for frame in bad {
            assert!(frame.check(Digest::ZERO, 7).is_err(), "{frame:?}");
        }
    }
}
