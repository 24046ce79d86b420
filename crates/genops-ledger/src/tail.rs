//! The end of the journal in memory: the last entries that have become durable, for readers who keep up.
//!
//! Several readers follow the writer closely, and all read the same entries. What stands here need not be
//! read from the disk and decoded by each. It holds a fixed amount and is never the only copy. Beside it stands how far
//! entries have left for an archive: all readers know that at once, also of what is in memory or on the disk yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use genops_core::Digest;
use genops_core::ledger::Entry;
use genops_core::record::Journaled;

/// So much stays in memory, in bytes as the store keeps them; entries take about three times that.
const BYTES_MAX: usize = 8 << 20;

/// The last frames, shared between the writer and its readers.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    frames: Arc<Mutex<Frames>>,
    archived: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Arc<Kept>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    last: u64,
    chain: Digest,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Tail {
    /// Adds the entries of a frame that is durable. Frames come in order and without gaps.
    pub fn push(&self, chain: Digest, entries: Vec<Entry>, bytes: usize) {
        let Some(last) = entries.last().map(|entry| entry.sequence) else { return };
        let kept = Arc::new(Kept { last, chain, entries, bytes });
        let mut dropped = Vec::new();
        let mut tail = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        tail.frames.push_back(kept);
        tail.bytes += bytes;
        while tail.bytes > BYTES_MAX
            && let Some(oldest) = tail.frames.pop_front()
        {
            tail.bytes -= oldest.bytes;
            dropped.push(oldest);
        }
        // Whoever reads does not wait until what has gone is taken apart.
        drop(tail);
    }

    /// Notes that the entries through this one have left for an archive. The number only rises.
    pub fn leave(&self, through: u64) {
        self.archived.fetch_max(through, Ordering::SeqCst);
        let mut tail = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let left = tail.frames.partition_point(|kept| kept.last <= through);
        let dropped: Vec<_> = tail.frames.drain(..left).collect();
        tail.bytes -= dropped.iter().map(|kept| kept.bytes).sum::<usize>();
        drop(tail);
    }

    /// The last entry that has left for an archive, as far as it has been noted here; 0 for none.
    #[must_use]
    pub fn archived(&self) -> u64 {
        self.archived.load(Ordering::SeqCst)
    }

    /// The entries after `sequence` that one frame holds; `None` where that frame is not here.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Option<Vec<Journaled>> {
        let kept = {
            let tail = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let at = tail.frames.partition_point(|kept| kept.last <= sequence);
            Arc::clone(tail.frames.get(at)?)
        };
        let is_here = kept.entries.first().is_some_and(|first| first.sequence <= sequence.saturating_add(1));
        let later = kept.entries.iter().filter(|entry| entry.sequence > sequence).cloned();
        is_here.then(|| later.map(|entry| Journaled { entry, chain: kept.chain }).collect())
    }
}

#[cfg(test)]
mod tests {
    use genops_core::Timestamp;
    use genops_core::awu::AwuId;
    use genops_core::ledger::{Command, Outcome};

    use super::*;

    fn entries(sequences: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let command = Command::Start { awu: AwuId { trace_id: [1; 16], span_id: [1; 8] } };
        let at = Timestamp::default();
        let entry = |sequence| Entry { sequence, at, command: command.clone(), outcome: Outcome::Started };
        sequences.map(entry).collect()
    }

    fn sequences(tail: &Tail, after: u64) -> Option<Vec<u64>> {
        let found = tail.after(after)?;
        Some(found.iter().map(|journaled| journaled.entry.sequence).collect())
    }

    #[test]
    fn it_gives_the_rest_of_the_frame_asked_for_and_nothing_that_it_does_not_hold() {
        let tail = Tail::default();
        assert_eq!(sequences(&tail, 0), None, "empty");
        tail.push(Digest::ZERO, entries(4..=6), 10);
        tail.push(Digest::ZERO, entries(7..=7), 10);
        let cases = [
            (0, None),
            (2, None),
            (3, Some(vec![4, 5, 6])),
            (4, Some(vec![5, 6])),
            (6, Some(vec![7])),
            (7, None),
            (u64::MAX, None),
        ];
        for (after, expected) in cases {
            assert_eq!(sequences(&tail, after), expected, "after {after}");
        }
    }

    #[test]
    fn what_has_left_is_not_here_any_more() {
        let tail = Tail::default();
        (1..=4).for_each(|sequence| tail.push(Digest::ZERO, entries(sequence..=sequence), 10));
        let other = tail.clone();
        tail.leave(2);
        other.leave(1);
        assert_eq!((other.archived(), sequences(&other, 1)), (2, None));
        assert_eq!(sequences(&other, 2), Some(vec![3]));
        tail.leave(9);
        tail.push(Digest::ZERO, entries(10..=10), 10);
        assert_eq!((sequences(&tail, 3), sequences(&tail, 9)), (None, Some(vec![10])));
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let tail = Tail::default();
        for sequence in 1..=9 {
            tail.push(Digest::ZERO, entries(sequence..=sequence), BYTES_MAX / 4);
        }
        assert_eq!(sequences(&tail, 4), None);
        assert_eq!(sequences(&tail, 5), Some(vec![6]));
        tail.push(Digest::ZERO, entries(10..=10), BYTES_MAX + 1);
        assert_eq!(sequences(&tail, 9), None, "one that is too large for all does not stay");
    }
}
