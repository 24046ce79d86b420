//! Spans and log records of OTLP, borrowed from the message that they stand in, as far as they can be read.
//!
//! A record that breaks off is kept up to there and marked. Identifiers are kept as they are, of whatever length.

use super::value::Attributes;
use super::wire::{Broken, Field, Fields};

/// A span.
#[derive(Debug, Clone, Default)]
pub struct Span<'a> {
    /// Its trace: 16 bytes, if it is well formed.
    pub trace_id: &'a [u8],
    /// Its own identifier: 8 bytes, if it is well formed.
    pub span_id: &'a [u8],
    /// The identifier of the span that it is below; empty for a root.
    pub parent_span_id: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// Its kind by OTLP's number; 3 is CLIENT.
    pub kind: u64,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970; 0 while it is open.
    pub end: u64,
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// Its events, in the order in which they were recorded.
    pub events: Vec<Event<'a>>,
    /// The spans that it is linked to: trace and span.
    pub links: Vec<(&'a [u8], &'a [u8])>,
    /// Its status by OTLP's number; 2 is ERROR.
    pub status: u64,
    /// How many attributes, events and links its exporter left out.
    pub dropped: Dropped,
    /// The trace state, in which a sampler may say how much it leaves out.
    pub trace_state: &'a str,
    /// The flags; bit 0 says that it was sampled.
    pub flags: u32,
    /// Something of it could not be read.
    pub is_broken: bool,
}

/// An event of a span.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it happened, in nanoseconds since 1970.
    pub time: u64,
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// How many attributes its exporter left out.
    pub dropped_attributes: u64,
}

/// A log record.
#[derive(Debug, Clone, Default)]
pub struct Log<'a> {
    /// The trace that it belongs to; empty if it names none.
    pub trace_id: &'a [u8],
    /// The span that it belongs to; empty if it names none.
    pub span_id: &'a [u8],
    /// What happened: name, time, attributes. A record without a time counts at its observation.
    pub event: Event<'a>,
    /// Something of it could not be read.
    pub is_broken: bool,
}

/// What an exporter left out, by its own account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Attributes.
    pub attributes: u64,
    /// Events.
    pub events: u64,
    /// Links.
    pub links: u64,
}

/// A span with more events or links than this is broken: each of them takes more room here than on the wire.
pub const PARTS_MAX: usize = 1_024;

/// The kind of a span that calls somebody else.
pub const CLIENT: u64 = 3;

/// The status of a span that failed.
pub const ERROR: u64 = 2;

impl<'a> Span<'a> {
    /// Reads a span, as far as that goes.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Self {
        let mut span = Self::default();
        for field in Fields::of(message) {
            if !field.is_ok_and(|(number, field)| span.take(number, field)) {
                span.is_broken = true;
            }
        }
        span
    }

    fn take(&mut self, number: u64, field: Field<'a>) -> bool {
        match (number, field) {
            (1, Field::Bytes(id)) => self.trace_id = id,
            (2, Field::Bytes(id)) => self.span_id = id,
            (3, Field::Bytes(text)) => return set_text(&mut self.trace_state, text),
            (4, Field::Bytes(id)) => self.parent_span_id = id,
            (5, Field::Bytes(text)) => return set_text(&mut self.name, text),
            (6, Field::Varint(kind)) => self.kind = kind,
            (7, Field::Fixed64(time)) => self.start = time,
            (8, Field::Fixed64(time)) => self.end = time,
            (9, Field::Bytes(message)) => return self.attributes.add(message),
            (10, Field::Varint(count)) => self.dropped.attributes = count,
            (11, Field::Bytes(_)) if self.events.len() == PARTS_MAX => return false,
            (13, Field::Bytes(_)) if self.links.len() == PARTS_MAX => return false,
            (11, Field::Bytes(message)) => {
                let (event, is_whole) = Event::read(message);
                self.events.push(event);
                return is_whole;
            }
            (12, Field::Varint(count)) => self.dropped.events = count,
            (13, Field::Bytes(message)) => {
                let (trace, span, is_whole) = read_link(message);
                self.links.push((trace, span));
                return is_whole;
            }
            (14, Field::Varint(count)) => self.dropped.links = count,
            (15, Field::Bytes(message)) => match read_status(message) {
                Some(status) => self.status = status,
                None => return false,
            },
            (16, Field::Fixed32(flags)) => self.flags = flags,
            (1..=16, _) => return false,
            _ => {}
        }
        true
    }

    /// Whether two reports of one span say the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.parent_span_id == other.parent_span_id
            && self.name == other.name
            && self.kind == other.kind
            && self.start == other.start
            && self.end == other.end
            && self.status == other.status
            && self.links == other.links
            && self.events.len() == other.events.len()
            && self.events.iter().zip(&other.events).all(|(one, another)| one.is_same(another))
            && self.attributes.is_same(&other.attributes)
    }

    /// The trace of a span, without reading the rest: its first field on every known exporter's wire.
    #[must_use]
    pub fn trace_of(message: &'a [u8]) -> &'a [u8] {
        let ids = Fields::of(message).filter_map(|field| match field {
            Ok((1, Field::Bytes(id))) => Some(id),
            _ => None,
        });
        ids.last().unwrap_or_default()
    }
}

impl<'a> Event<'a> {
    /// Reads an event of a span, and says whether all of it could be read.
    fn read(message: &'a [u8]) -> (Self, bool) {
        let (mut event, mut is_whole) = (Self::default(), true);
        for field in Fields::of(message) {
            is_whole &= match field {
                Ok((1, Field::Fixed64(time))) => {
                    event.time = time;
                    true
                }
                Ok((2, Field::Bytes(text))) => set_text(&mut event.name, text),
                Ok((3, Field::Bytes(message))) => event.attributes.add(message),
                Ok((4, Field::Varint(count))) => {
                    event.dropped_attributes = count;
                    true
                }
                Ok((1..=4, _)) | Err(Broken) => false,
                Ok(_) => true,
            };
        }
        (event, is_whole)
    }

    /// Whether two events say the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.time == other.time && self.attributes.is_same(&other.attributes)
    }
}

impl<'a> Log<'a> {
    /// Reads a log record, as far as that goes.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Self {
        let (mut log, mut observed) = (Self::default(), 0);
        for field in Fields::of(message) {
            let is_whole = match field {
                Ok((1, Field::Fixed64(time))) => {
                    log.event.time = time;
                    true
                }
                Ok((6, Field::Bytes(message))) => log.event.attributes.add(message),
                Ok((7, Field::Varint(count))) => {
                    log.event.dropped_attributes = count;
                    true
                }
                Ok((9, Field::Bytes(id))) => {
                    log.trace_id = id;
                    true
                }
                Ok((10, Field::Bytes(id))) => {
                    log.span_id = id;
                    true
                }
                Ok((11, Field::Fixed64(time))) => {
                    observed = time;
                    true
                }
                Ok((12, Field::Bytes(text))) => set_text(&mut log.event.name, text),
                Ok((1 | 6 | 7 | 9..=12, _)) | Err(Broken) => false,
                Ok(_) => true,
            };
            log.is_broken |= !is_whole;
        }
        if log.event.time == 0 {
            log.event.time = observed;
        }
        log
    }

    /// The trace of a log record and the name of its event, without reading the rest.
    #[must_use]
    pub fn head_of(message: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (mut trace_id, mut event_name) = (&[][..], &[][..]);
        for field in Fields::of(message) {
            match field {
                Ok((9, Field::Bytes(id))) => trace_id = id,
                Ok((12, Field::Bytes(name))) => event_name = name,
                _ => {}
            }
        }
        (trace_id, event_name)
    }
}

fn set_text<'a>(place: &mut &'a str, bytes: &'a [u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            *place = text;
            true
        }
        Err(_) => false,
    }
}

fn read_link(message: &[u8]) -> (&[u8], &[u8], bool) {
    let (mut trace, mut span, mut is_whole) = (&[][..], &[][..], true);
    for field in Fields::of(message) {
        match field {
            Ok((1, Field::Bytes(id))) => trace = id,
            Ok((2, Field::Bytes(id))) => span = id,
            Ok((1 | 2, _)) | Err(Broken) => is_whole = false,
            Ok(_) => {}
        }
    }
    (trace, span, is_whole)
}

fn read_status(message: &[u8]) -> Option<u64> {
    let mut status = 0;
    for field in Fields::of(message) {
        match field.ok()? {
            (3, Field::Varint(code)) => status = code,
            (3, _) => return None,
            _ => {}
        }
    }
    Some(status)
}
