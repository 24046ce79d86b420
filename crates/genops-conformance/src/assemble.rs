//! Traces that are still being put together: their spans and log records may come in any order, in any request.
//!
//! A trace is handed on when the input ends, or when the memory for open traces is used up and it is the one that has
//! been quiet for longest. Order is counted in records, not by a clock, so that the same input is judged alike.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::otlp::value::Attributes;
use crate::otlp::wire::{Field, Fields};

/// The records of one trace.
#[derive(Debug, Default)]
pub struct Trace {
    records: Vec<u8>,
    resources: Vec<Arc<[u8]>>,
    touched: u64,
    /// What it takes, once it is judged.
    bytes: usize,
    /// It was handed on before the input ended, to make room: something of it may be missing.
    pub was_cut: bool,
}

/// A span or a log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A span.
    Span,
    /// A log record.
    Log,
}

/// A record, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its resource, by its place in [`Trace::resources`].
    pub resource: usize,
    /// Something of it was lost when it was read.
    pub is_flawed: bool,
    /// The message.
    pub message: &'a [u8],
}

/// The traces that are open.
#[derive(Debug)]
pub struct Open {
    traces: HashMap<[u8; 16], Trace>,
    /// Every open trace once, the one that was touched first, or was put back, in front.
    queue: VecDeque<([u8; 16], u64)>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
    /// The traces that were handed on, as far as they are remembered, by the hash of their identifiers.
    cut: HashSet<u64>,
    hasher: RandomState,
}

/// Kind, flaw, resource and length stand before each record.
const HEAD: usize = 8;

/// What a record takes beside its message: its head here, and once it is judged, what it is read into.
const RECORD: usize = 512;

/// What an open trace takes beside its records.
const OVERHEAD: usize = 256;

/// So many traces are remembered as handed on.
const CUT_MAX: usize = 1 << 20;

/// One trace may take this part of all memory; what it is read into, when it is judged, takes several times that.
const TRACE_PART: usize = 8;
const TRACE_MIN: usize = 1 << 20;

/// Among so many of the last resources of a trace one is looked for.
const RESOURCES_LOOKED_AT: usize = 16;

impl Open {
    /// No trace; they may take `bytes_max` together.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            traces: HashMap::new(),
            queue: VecDeque::new(),
            clock: 0,
            bytes: 0,
            bytes_max,
            cut: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Adds a record to its trace. Gives the traces that have to go.
    pub fn add(&mut self, trace_id: [u8; 16], resource: &Arc<[u8]>, record: Record<'_>) -> Vec<Trace> {
        self.clock += 1;
        let trace = self.traces.entry(trace_id).or_insert_with(|| {
            self.queue.push_back((trace_id, self.clock));
            self.bytes += OVERHEAD;
            Trace {
                bytes: OVERHEAD,
                was_cut: self.cut.contains(&self.hasher.hash_one(trace_id)),
                ..Trace::default()
            }
        });
        trace.touched = self.clock;
        self.bytes += trace.push(resource, record);
        let is_too_large = trace.bytes > (self.bytes_max / TRACE_PART).max(TRACE_MIN);
        let mut gone = Vec::new();
        if is_too_large && let Some(trace) = self.hand_on(&trace_id) {
            gone.push(trace);
        }
        while self.bytes > self.bytes_max
            && let Some(trace) = self.quietest()
        {
            gone.push(trace);
        }
        gone
    }

    /// Every trace that is still open.
    pub fn drain(&mut self) -> impl Iterator<Item = Trace> + use<> {
        self.bytes = 0;
        let mut traces = std::mem::take(&mut self.traces);
        let queue = std::mem::take(&mut self.queue);
        // In the order in which they began, so that the same input gives the same report.
        queue.into_iter().filter_map(move |(trace_id, _)| traces.remove(&trace_id))
    }

    fn quietest(&mut self) -> Option<Trace> {
        while let Some((trace_id, touched)) = self.queue.pop_front() {
            let Some(trace) = self.traces.get(&trace_id) else { continue };
            if trace.touched > touched && self.queue.len() > 1 {
                let touched = trace.touched;
                self.queue.push_back((trace_id, touched));
                continue;
            }
            return self.hand_on(&trace_id);
        }
        None
    }

    fn hand_on(&mut self, trace_id: &[u8; 16]) -> Option<Trace> {
        let mut trace = self.traces.remove(trace_id)?;
        self.bytes = self.bytes.saturating_sub(trace.bytes);
        trace.was_cut = true;
        if self.cut.len() < CUT_MAX {
            self.cut.insert(self.hasher.hash_one(trace_id));
        }
        Some(trace)
    }
}

impl Trace {
    /// A record that names no trace, by itself.
    #[must_use]
    pub fn of_one(resource: &Arc<[u8]>, record: Record<'_>) -> Self {
        let mut trace = Self::default();
        trace.push(resource, record);
        trace
    }

    fn push(&mut self, resource: &Arc<[u8]>, record: Record<'_>) -> usize {
        let mut last = self.resources.iter().enumerate().rev().take(RESOURCES_LOOKED_AT);
        let known = last.find(|(_, known)| Arc::ptr_eq(known, resource) || *known == resource);
        let known = known.map(|(place, _)| place);
        let (place, new) = match known {
            Some(place) => (place, 0),
            None => {
                self.resources.push(Arc::clone(resource));
                (self.resources.len() - 1, resource.len())
            }
        };
        let kind = u8::from(record.kind == Kind::Log) | u8::from(record.is_flawed) << 1;
        // A trace of more resources than this keeps the first ones apart.
        let [_, high, middle, low] = u32::try_from(place).unwrap_or(0).min(0x00ff_ffff).to_be_bytes();
        let length = u32::try_from(record.message.len()).unwrap_or(u32::MAX);
        self.records.reserve(HEAD + record.message.len());
        self.records.extend_from_slice(&[kind, high, middle, low]);
        self.records.extend_from_slice(&length.to_be_bytes());
        self.records.extend_from_slice(record.message);
        let taken = RECORD + record.message.len() + new;
        self.bytes += taken;
        taken
    }

    /// The records, in the order in which they came.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.records.as_slice();
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<HEAD>()?;
            let [kind, high, middle, low, length @ ..] = *head;
            let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
            let (message, after) = after.split_at_checked(length)?;
            rest = after;
            let resource = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
            let kind_of = if kind & 1 == 1 { Kind::Log } else { Kind::Span };
            Some(Record { kind: kind_of, resource, is_flawed: kind & 2 == 2, message })
        })
    }

    /// The attributes of its resources.
    pub fn resources(&self) -> impl Iterator<Item = Attributes<'_>> {
        self.resources.iter().map(|message| resource_attributes(message))
    }
}

/// The attributes of a resource or a scope; `field` 1 of one, 3 of the other, both holding `KeyValue` messages.
#[must_use]
pub fn resource_attributes(message: &[u8]) -> Attributes<'_> {
    let mut attributes = Attributes::default();
    for field in Fields::of(message) {
        if let Ok((1, Field::Bytes(pair))) = field {
            attributes.add(pair);
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(open: &mut Open, trace: u8, message: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let record = Record { kind: Kind::Span, resource: 0, is_flawed: false, message };
        let gone = open.add([trace; 16], &Arc::from(&b""[..]), record);
        gone.iter().map(messages).collect()
    }

    fn messages(trace: &Trace) -> Vec<Vec<u8>> {
        trace.records().map(|record| record.message.to_vec()).collect()
    }

    #[test]
    fn records_come_back_as_they_were_put() {
        let mut open = Open::new(1 << 20);
        assert!(add(&mut open, 1, b"one").is_empty());
        assert!(add(&mut open, 2, b"other").is_empty());
        assert!(add(&mut open, 1, b"").is_empty());
        let all: Vec<_> = open.drain().map(|trace| messages(&trace)).collect();
        assert_eq!(all, [vec![b"one".to_vec(), b"".to_vec()], vec![b"other".to_vec()]]);
        assert_eq!(open.drain().count(), 0);
    }

    #[test]
    fn the_quietest_goes_when_there_is_no_more_room() {
        let mut open = Open::new(2 * (OVERHEAD + RECORD + 3) + RECORD + 3);
        assert!(add(&mut open, 1, b"a-1").is_empty());
        assert!(add(&mut open, 2, b"b-1").is_empty());
        assert!(add(&mut open, 1, b"a-2").is_empty());
        assert_eq!(add(&mut open, 3, b"c-1"), [vec![b"b-1".to_vec()]]);
    }

    #[test]
    fn one_trace_that_is_too_large_goes_by_itself() {
        let mut open = Open::new(OVERHEAD);
        let record = |message| Record { kind: Kind::Span, resource: 0, is_flawed: false, message };
        for message in [b"x", b"y"] {
            let gone = open.add([1; 16], &Arc::from(&b""[..]), record(message));
            let pieces: Vec<_> = gone.iter().map(|trace| (messages(trace), trace.was_cut)).collect();
            assert_eq!(pieces, [(vec![message.to_vec()], true)]);
            assert_eq!(open.bytes, 0);
        }
    }

    #[test]
    fn a_trace_that_was_handed_on_may_lack_something_and_one_that_stayed_does_not() {
        let mut open = Open::new(OVERHEAD + RECORD + 1);
        let record = Record { kind: Kind::Span, resource: 0, is_flawed: false, message: b"x" };
        for trace in 1..=3 {
            let gone = open.add([trace; 16], &Arc::from(&b""[..]), record);
            assert!(gone.iter().all(|trace| trace.was_cut));
            assert_eq!(gone.len(), usize::from(trace > 1));
        }
        assert!(open.drain().all(|trace| !trace.was_cut));
    }
}
