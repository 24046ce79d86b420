//! A request that is being filled with records, in the encoding of its destination.

use bytes::Bytes;
use genops_core::ledger::Entry;

use crate::destination::webhook;
use crate::json;
use crate::protobuf::{Request, Resource};
use crate::signal::{LogRecord, Signal, Span};

/// A request that is being filled, in the destination's encoding.
#[derive(Debug)]
pub enum Batch {
    /// For a collector.
    Protobuf(Request),
    /// For a file or a webhook: the signal, the records, and about how many bytes they will take.
    Json(Signal, Vec<serde_json::Value>, usize),
}

impl Batch {
    /// Adds spans.
    pub fn spans(&mut self, spans: &[Span<'_>]) {
        for span in spans {
            match self {
                Self::Protobuf(request) => request.span(span),
                Self::Json(_, records, bytes) => push(records, bytes, json::span(span)),
            }
        }
    }

    /// Adds log records.
    pub fn logs(&mut self, logs: &[LogRecord<'_>]) {
        for log in logs {
            match self {
                Self::Protobuf(request) => request.log(log),
                Self::Json(_, records, bytes) => push(records, bytes, json::log(log)),
            }
        }
    }

    /// Adds log records until the request holds about so many bytes. Gives how many it added.
    pub fn logs_until(&mut self, logs: &[LogRecord<'_>], bytes_max: usize) -> usize {
        let fitting = logs.iter().take_while(|log| {
            let has_room = self.len() < bytes_max;
            if has_room {
                self.logs(std::slice::from_ref(*log));
            }
            has_room
        });
        fitting.count()
    }

    /// Adds the alerts of an entry, without so many of the first, until the request holds about so many bytes. Gives how many
    /// it added.
    pub fn alerts(&mut self, entry: &Entry, without: usize, bytes_max: usize) -> usize {
        let Self::Json(_, records, bytes) = self else { return 0 };
        let before = records.len();
        for alert in webhook::alerts(entry, without) {
            if *bytes >= bytes_max {
                break;
            }
            push(records, bytes, alert);
        }
        records.len() - before
    }

    /// About how many bytes the request will take before it is compressed.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Protobuf(request) => request.records_len(),
            Self::Json(_, _, bytes) => *bytes,
        }
    }

    /// How many records it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Protobuf(request) => request.count(),
            Self::Json(_, records, _) => records.len() as u64,
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The request, whole.
    #[must_use]
    pub fn into_bytes(self, resource: &Resource) -> Bytes {
        match self {
            Self::Protobuf(request) => request.into_bytes(resource).into(),
            Self::Json(signal, records, _) => {
                let line = match signal {
                    Signal::Traces => json::traces(resource, &records),
                    Signal::Logs => json::logs(resource, &records),
                    Signal::Alerts => webhook::body(&records),
                };
                format!("{line}\n").into()
            }
        }
    }
}

fn push(records: &mut Vec<serde_json::Value>, bytes: &mut usize, record: serde_json::Value) {
    *bytes += record.to_string().len();
    records.push(record);
}
