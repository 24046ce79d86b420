//! OTLP in Protocol Buffers, appended straight to the request's bytes.
//!
//! The field numbers are those of OTLP 1.x. Tests decode the result with the published definitions.

use std::borrow::Cow;

use genops_core::event::{Event, Fact, Value};

use crate::signal::{Link, LogRecord, Span};
use crate::wire::{Field, Writer, field_len, fields, varint_len};

/// A request that is being filled with spans or log records.
#[derive(Debug)]
pub struct Request {
    /// The records, each a field 2 of the scope's message.
    records: Writer,
    count: u64,
}

/// What the telemetry comes from, for the resource: pairs of keys and values.
pub type Resource = [(String, String)];

/// The name under which the spans and log records are told.
const SCOPE: &str = "genops";

impl Request {
    /// An empty request with room for so many bytes, and a record more.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { records: Writer::with_capacity(bytes + RECORD_BYTES), count: 0 }
    }

    /// Adds a span.
    pub fn span(&mut self, span: &Span<'_>) {
        self.records.long_message(2, |m| {
            m.bytes(1, &span.trace_id);
            m.bytes(2, &span.span_id);
            if let Some(parent) = &span.parent_span_id {
                m.bytes(4, parent);
            }
            m.bytes(5, span.name.as_bytes());
            m.uint(6, span.kind as u64);
            m.fixed64(7, span.start.nanos());
            m.fixed64(8, span.end.nanos());
            span.facts.iter().for_each(|fact| attribute(m, 9, fact));
            span.events.iter().for_each(|event| span_event(m, event));
            for Link { trace_id, span_id } in &span.links {
                m.message(13, |link| {
                    link.bytes(1, trace_id);
                    link.bytes(2, span_id);
                });
            }
            if let Some(error) = span.error {
                m.message(15, |status| {
                    status.bytes(2, error.as_bytes());
                    status.uint(3, STATUS_ERROR);
                });
            }
            m.fixed32(16, FLAG_SAMPLED);
        });
        self.count += 1;
    }

    /// Adds a log record.
    pub fn log(&mut self, log: &LogRecord<'_>) {
        self.records.long_message(2, |m| {
            m.fixed64(1, log.event.at.nanos());
            m.uint(2, SEVERITY_INFO);
            log.event.facts.iter().for_each(|fact| attribute(m, 6, fact));
            if let Some(awu) = log.awu {
                m.fixed32(8, FLAG_SAMPLED);
                m.bytes(9, &awu.trace_id);
                m.bytes(10, &awu.span_id);
            }
            m.fixed64(11, log.event.at.nanos());
            m.bytes(12, log.event.name.as_bytes());
        });
        self.count += 1;
    }

    /// How many spans or log records it holds.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes the records take.
    #[must_use]
    pub fn records_len(&self) -> usize {
        self.records.len()
    }

    /// The whole message: `ExportTraceServiceRequest` or `ExportLogsServiceRequest`.
    #[must_use]
    pub fn into_bytes(self, resource: &Resource) -> Vec<u8> {
        let mut of_resource = Writer::default();
        of_resource.message(1, |m| {
            for (key, value) in resource {
                pair(m, 1, key, &Value::Text(value.as_str().into()));
            }
        });
        let mut of_scope = Writer::default();
        of_scope.message(1, |scope| {
            scope.bytes(1, SCOPE.as_bytes());
            scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        let mut request = self.records.into_bytes();
        of_resource.message_head(2, of_scope.len() + request.len());
        of_resource.append(&of_scope.into_bytes());
        let mut head = Writer::default();
        head.message_head(1, of_resource.len() + request.len());
        head.append(&of_resource.into_bytes());
        // The records may be megabytes: they make room for their head where they are.
        drop(request.splice(..0, head.into_bytes()));
        request
    }
}

/// More than most records take.
const RECORD_BYTES: usize = 16 << 10;

const STATUS_ERROR: u64 = 2;
const SEVERITY_INFO: u64 = 9;
const FLAG_SAMPLED: u32 = 1;

fn span_event(m: &mut Writer, event: &Event<'_>) {
    m.long_message(11, |m| {
        m.fixed64(1, event.at.nanos());
        m.bytes(2, event.name.as_bytes());
        event.facts.iter().for_each(|fact| attribute(m, 3, fact));
    });
}

fn attribute(m: &mut Writer, field: u32, (key, value): &Fact<'_>) {
    pair(m, field, key, value);
}

fn pair(m: &mut Writer, field: u32, key: &str, value: &Value<'_>) {
    let Some(length) = any_value_len(value) else {
        return m.message(field, |m| {
            m.bytes(1, key.as_bytes());
            m.message(2, |m| any_value(m, value));
        });
    };
    m.message_head(field, field_len(key.len()) + field_len(length));
    m.bytes(1, key.as_bytes());
    m.message_head(2, length);
    any_value(m, value);
}

/// How many bytes a value takes; `None` for those whose length is found out by writing them.
const fn any_value_len(value: &Value<'_>) -> Option<usize> {
    Some(match value {
        Value::Text(Cow::Borrowed(text)) => field_len(text.len()),
        Value::Text(Cow::Owned(text)) => field_len(text.len()),
        Value::Bool(_) => 2,
        Value::Int(int) => 1 + varint_len(int.cast_unsigned()),
        Value::Double(_) => 9,
        Value::Texts(_) => return None,
    })
}

fn any_value(m: &mut Writer, value: &Value<'_>) {
    match value {
        Value::Text(text) => m.bytes(1, text.as_bytes()),
        Value::Bool(bool) => m.uint(2, u64::from(*bool)),
        Value::Int(int) => m.int64(3, *int),
        Value::Double(double) => m.double(4, *double),
        Value::Texts(texts) => m.message(5, |m| {
            for text in texts {
                m.message(1, |m| m.bytes(1, text.as_bytes()));
            }
        }),
    }
}

/// What a collector says it did not take: how many records, and why (`partial_success`).
#[must_use]
pub fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let (_, Field::Bytes(partial)) = fields(answer)?.into_iter().find(|(number, _)| *number == 1)? else {
        return None;
    };
    let mut count = 0;
    let mut message = String::new();
    for field in fields(partial)? {
        match field {
            (1, Field::Varint(rejected)) => count = rejected,
            (2, Field::Bytes(text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (count > 0).then_some((count, message))
}
