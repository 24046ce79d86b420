//! Idempotency keys that have been used, for as long as the policy says.
//!
//! What is remembered is where the outcome stands, not the outcome.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::entry::Admit;
use crate::digest::Digest;
use crate::hex;
use crate::name::Name;
use crate::time::Timestamp;

/// The keys that have been used, by the caller's key and theirs. The map is never walked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    known: HashMap<Use, Known>,
    /// The same uses in their order, the oldest first.
    order: VecDeque<Use>,
    /// When each caller used those, the oldest first. It follows from the rest.
    of_caller: HashMap<Name, VecDeque<Timestamp>>,
}

/// Whose key, and the key.
type Use = (Option<Name>, Name);

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    sequence: u64,
    at: Timestamp,
    payload: Digest,
}

impl Remembered {
    /// The entry that a key was used in, and the digest of what it asked; `None` where it has not been used since `since`.
    pub fn find(&self, caller: Option<&Name>, key: &Name, since: Timestamp) -> Option<(u64, Digest)> {
        let known = self.known.get(&(caller.cloned(), key.clone()))?;
        (known.at >= since).then_some((known.sequence, known.payload))
    }

    /// Whether `most` keys have been used since `since`.
    pub fn is_full(&self, since: Timestamp, most: u64) -> bool {
        u64::try_from(self.used(since)).unwrap_or(u64::MAX) >= most
    }

    /// Whether a caller has used `most` keys since `since`.
    pub fn is_full_of(&self, caller: &Name, since: Timestamp, most: u64) -> bool {
        let Some(uses) = self.of_caller.get(caller) else { return most == 0 };
        u64::try_from(used_of(uses, since)).unwrap_or(u64::MAX) >= most
    }

    /// How many keys have been used since `since`.
    pub fn used(&self, since: Timestamp) -> usize {
        let is_older = |of: &Use| self.known.get(of).is_none_or(|known| known.at < since);
        self.order.len().saturating_sub(self.order.partition_point(is_older))
    }

    /// How many keys the caller has used since `since` that has used most; 0 where none has used any.
    pub fn most_used(&self, since: Timestamp) -> usize {
        self.of_caller.values().map(|uses| used_of(uses, since)).max().unwrap_or_default()
    }

    /// The oldest entry whose key has been used since `since`.
    pub fn oldest(&self, since: Timestamp) -> Option<u64> {
        let known = self.order.iter().filter_map(|of| self.known.get(of));
        known.filter(|known| known.at >= since).map(|known| known.sequence).min()
    }

    /// Takes in an admission, whatever came of it, and forgets what is older than `since`.
    pub fn take(&mut self, sequence: u64, at: Timestamp, request: &Admit, since: Timestamp) {
        while let Some(oldest) = self.order.front()
            && self.known.get(oldest).is_none_or(|known| known.at < since)
        {
            self.known.remove(oldest);
            if let Some((Some(caller), _)) = self.order.pop_front() {
                self.forget_use(caller);
            }
        }
        let Some(idempotency) = &request.idempotency else { return };
        let of = (request.proposal.key.clone(), idempotency.key.clone());
        if let Some(caller) = &of.0 {
            self.of_caller.entry(caller.clone()).or_default().push_back(at);
        }
        self.order.push_back(of.clone());
        self.known.insert(of, Known { sequence, at, payload: idempotency.payload });
    }

    /// The oldest use of a caller is forgotten.
    fn forget_use(&mut self, caller: Name) {
        if let Entry::Occupied(mut uses) = self.of_caller.entry(caller) {
            uses.get_mut().pop_front();
            if uses.get().is_empty() {
                uses.remove();
            }
        }
    }
}

/// How many of a caller's uses are of `since` or later.
fn used_of(uses: &VecDeque<Timestamp>, since: Timestamp) -> usize {
    uses.len().saturating_sub(uses.partition_point(|at| *at < since))
}

/// When a key was made, where it says so itself: as a UUID of version 7.
pub fn made_at(key: &Name) -> Option<Timestamp> {
    const NANOS_PER_MILLI: u64 = 1_000_000;
    let text = key.as_str();
    let dashes = [8, 13, 18, 23].map(|place| text.as_bytes().get(place) == Some(&b'-'));
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes: [u8; 16] = hex::parse(&digits.to_ascii_lowercase())?;
    let [a, b, c, d, e, f, version, _, variant, ..] = bytes;
    let is_uuid = text.len() == 36 && dashes == [true; 4] && version >> 4 == 7 && variant >> 6 == 0b10;
    let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    is_uuid.then_some(Timestamp::from_nanos(millis.checked_mul(NANOS_PER_MILLI)?))
}

// === as plain data, in an order of its own ===

impl Serialize for Remembered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.order.iter().map(|of| (of, self.known.get(of))))
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listed = Vec::<(Use, Option<Known>)>::deserialize(deserializer)?;
        let order = listed.iter().map(|(of, _)| of.clone()).collect();
        let mut of_caller: HashMap<_, VecDeque<_>> = HashMap::new();
        for ((caller, _), known) in &listed {
            if let (Some(caller), Some(known)) = (caller, known) {
                of_caller.entry(caller.clone()).or_default().push_back(known.at);
            }
        }
        let known = listed.into_iter().filter_map(|(of, known)| Some((of, known?))).collect();
        Ok(Self { known, order, of_caller })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_of_version_7_says_when_it_was_made() {
        let made = |text: &str| made_at(&Name::new(text).unwrap()).map(Timestamp::nanos);
        // The example of RFC 9562: 2022-02-22T19:22:22.000Z.
        assert_eq!(made("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), Some(1_645_557_742_000_000_000));
        let others = [
            "017f22e279b07cc398c4dc0c0c07398f",
            "017F22E2-79B0-4CC3-98C4-DC0C0C07398F",
            "017F22E2-79B0-7CC3-18C4-DC0C0C07398F",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398",
            "order 4711",
            "ä17F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        ];
        for other in others {
            assert_eq!(made(other), None, "{other}");
        }
    }
}
