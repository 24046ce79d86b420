//! The door: telemetry goes in, request by request, and what it comes to comes out.
//!
//! It reads no file and no network, and knows no clock; [`input`](crate::input) and [`listen`](crate::listen) do.

use std::sync::Arc;

use crate::assemble::{Kind, Open, Record, Trace};
use crate::judge::Judgement;
use crate::otlp::record::{Log, Span};
use crate::otlp::request::{self, Encoding, Records, Signal, Unreadable};
use crate::otlp::value::{Attributes, NAMESPACE};
use crate::rules::Strictness;

/// Judges telemetry while it comes.
#[derive(Debug)]
pub struct Checker {
    open: Open,
    judgement: Judgement,
    resource: Arc<[u8]>,
}

/// So much memory open traces may take, unless it is set.
pub const OPEN_BYTES_MAX: usize = 256 << 20;

impl Checker {
    /// A checker that has seen nothing. `open_bytes_max` bounds the traces that are not complete yet.
    #[must_use]
    pub fn new(strictness: Strictness, open_bytes_max: usize) -> Self {
        Self {
            open: Open::new(open_bytes_max),
            judgement: Judgement::new(strictness),
            resource: Arc::from(&[][..]),
        }
    }

    /// Takes in one request, or what a file holds of one. `signal` is what it is said to be about, where somebody
    /// says so.
    ///
    /// # Errors
    ///
    /// Nothing of it could be read. What could be read before stays.
    pub fn take(
        &mut self,
        bytes: &[u8],
        encoding: Encoding,
        signal: Option<Signal>,
    ) -> Result<(), Unreadable> {
        request::read(bytes, encoding, signal, self)
    }

    /// Judges what is still open, and the capture as a whole.
    #[must_use]
    pub fn finish(mut self) -> Judgement {
        for trace in self.open.drain() {
            self.judgement.trace(&trace);
        }
        self.judgement.capture();
        self.judgement
    }

    fn add(&mut self, trace_id: &[u8], record: Record<'_>) {
        let Ok(trace_id) = <[u8; 16]>::try_from(trace_id) else {
            // It belongs to no trace, so nothing that is still to come belongs to it.
            self.judgement.trace(&Trace::of_one(&self.resource, record));
            return;
        };
        for trace in self.open.add(trace_id, &self.resource, record) {
            self.judgement.trace(&trace);
        }
    }
}

impl Records for Checker {
    fn resource(&mut self, message: &[u8]) {
        if *self.resource != *message {
            self.resource = Arc::from(message);
        }
    }

    fn scope(&mut self, pairs: &[&[u8]]) {
        let mut attributes = Attributes::default();
        for pair in pairs {
            attributes.add(pair);
        }
        self.judgement.across.note_elsewhere("instrumentation scope", &attributes);
    }

    fn span(&mut self, message: &[u8], is_flawed: bool) {
        self.add(Span::trace_of(message), Record { kind: Kind::Span, resource: 0, is_flawed, message });
    }

    fn log(&mut self, message: &[u8], is_flawed: bool) {
        let (trace_id, event_name) = Log::head_of(message);
        if event_name.starts_with(NAMESPACE.as_bytes()) {
            self.add(trace_id, Record { kind: Kind::Log, resource: 0, is_flawed, message });
        } else {
            let log = Log::read(message);
            self.judgement.across.note_elsewhere("log record", &log.event.attributes);
        }
    }

    fn metric(&mut self, message: &[u8]) {
        for point in request::data_points(message) {
            self.judgement.across.note_elsewhere("metric data point", &point);
        }
    }

    fn unreadable(&mut self) {
        self.judgement.counts.broken += 1;
    }
}
