//! The messages of OTLP, by those of their fields that somebody reads.

/// A message, by the fields of it that are read.
pub struct Shape(&'static [Member]);

/// A field: its name in JSON, its number, and what it holds.
pub struct Member(pub &'static str, pub u64, pub Kind);

/// What a field holds, and how that is written in JSON.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// Bytes in hexadecimal.
    Id,
    /// Bytes in base64.
    Bytes,
    Bool,
    /// Also an enumeration.
    Uint,
    Int,
    Double,
    Fixed64,
    Fixed32,
    Message(&'static Shape),
    /// An array of messages.
    Each(&'static Shape),
}

pub static SPAN: Shape = Shape(&[
    Member("traceId", 1, Kind::Id),
    Member("spanId", 2, Kind::Id),
    Member("traceState", 3, Kind::Text),
    Member("parentSpanId", 4, Kind::Id),
    Member("name", 5, Kind::Text),
    Member("kind", 6, Kind::Uint),
    Member("startTimeUnixNano", 7, Kind::Fixed64),
    Member("endTimeUnixNano", 8, Kind::Fixed64),
    Member("attributes", 9, Kind::Each(&KEY_VALUE)),
    Member("droppedAttributesCount", 10, Kind::Uint),
    Member("events", 11, Kind::Each(&EVENT)),
    Member("droppedEventsCount", 12, Kind::Uint),
    Member("links", 13, Kind::Each(&LINK)),
    Member("droppedLinksCount", 14, Kind::Uint),
    Member("status", 15, Kind::Message(&STATUS)),
    Member("flags", 16, Kind::Fixed32),
]);

static EVENT: Shape = Shape(&[
    Member("timeUnixNano", 1, Kind::Fixed64),
    Member("name", 2, Kind::Text),
    Member("attributes", 3, Kind::Each(&KEY_VALUE)),
    Member("droppedAttributesCount", 4, Kind::Uint),
]);

static LINK: Shape = Shape(&[Member("traceId", 1, Kind::Id), Member("spanId", 2, Kind::Id)]);

static STATUS: Shape = Shape(&[Member("code", 3, Kind::Uint)]);

pub static LOG_RECORD: Shape = Shape(&[
    Member("timeUnixNano", 1, Kind::Fixed64),
    Member("severityNumber", 2, Kind::Uint),
    Member("attributes", 6, Kind::Each(&KEY_VALUE)),
    Member("droppedAttributesCount", 7, Kind::Uint),
    Member("traceId", 9, Kind::Id),
    Member("spanId", 10, Kind::Id),
    Member("observedTimeUnixNano", 11, Kind::Fixed64),
    Member("eventName", 12, Kind::Text),
]);

pub static METRIC: Shape = Shape(&[
    Member("name", 1, Kind::Text),
    Member("gauge", 5, Kind::Message(&NUMBERS)),
    Member("sum", 7, Kind::Message(&NUMBERS)),
    Member("histogram", 9, Kind::Message(&HISTOGRAM)),
    Member("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL)),
    Member("summary", 11, Kind::Message(&NUMBERS)),
]);

static NUMBERS: Shape = Shape(&[Member("dataPoints", 1, Kind::Each(&NUMBER_POINT))]);
static NUMBER_POINT: Shape = Shape(&[Member("attributes", 7, Kind::Each(&KEY_VALUE))]);
static HISTOGRAM: Shape = Shape(&[Member("dataPoints", 1, Kind::Each(&HISTOGRAM_POINT))]);
static HISTOGRAM_POINT: Shape = Shape(&[Member("attributes", 9, Kind::Each(&KEY_VALUE))]);
static EXPONENTIAL: Shape = Shape(&[Member("dataPoints", 1, Kind::Each(&EXPONENTIAL_POINT))]);
static EXPONENTIAL_POINT: Shape = Shape(&[Member("attributes", 1, Kind::Each(&KEY_VALUE))]);

pub static RESOURCE: Shape = Shape(&[
    Member("attributes", 1, Kind::Each(&KEY_VALUE)),
    Member("droppedAttributesCount", 2, Kind::Uint),
]);

pub static SCOPE: Shape = Shape(&[
    Member("name", 1, Kind::Text),
    Member("version", 2, Kind::Text),
    Member("attributes", 3, Kind::Each(&KEY_VALUE)),
]);

static KEY_VALUE: Shape =
    Shape(&[Member("key", 1, Kind::Text), Member("value", 2, Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Shape = Shape(&[
    Member("stringValue", 1, Kind::Text),
    Member("boolValue", 2, Kind::Bool),
    Member("intValue", 3, Kind::Int),
    Member("doubleValue", 4, Kind::Double),
    Member("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    Member("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    Member("bytesValue", 7, Kind::Bytes),
]);

static ARRAY_VALUE: Shape = Shape(&[Member("values", 1, Kind::Each(&ANY_VALUE))]);
static KEY_VALUE_LIST: Shape = Shape(&[Member("values", 1, Kind::Each(&KEY_VALUE))]);

impl Shape {
    /// The field of a name.
    pub fn member(&self, name: &str) -> Option<&'static Member> {
        let as_written = self.0.iter().find(|Member(known, ..)| *known == name);
        as_written.or_else(|| {
            // Looked for once, not beside each of them.
            let is_snake = name.as_bytes().contains(&b'_');
            is_snake.then(|| self.0.iter().find(|Member(known, ..)| is_named(known, name))).flatten()
        })
    }
}

/// Whether a name is this one, also as it is written in the definitions of Protocol Buffers.
pub fn is_named(known: &str, name: &str) -> bool {
    if known == name {
        return true;
    }
    if !name.as_bytes().contains(&b'_') {
        return false;
    }
    let mut rest = name.bytes();
    let is_same = known.bytes().all(|byte| match rest.next() {
        Some(b'_') => rest.next().is_some_and(|next| next.to_ascii_uppercase() == byte),
        found => found == Some(byte),
    });
    is_same && rest.next().is_none()
}
