//! AWU records as OTLP, and the outbox that delivers them: at least once, with one content.
//!
//! What is told comes from the journal alone, so that a resend is identical, but for persons who were erased meanwhile.
//! Nothing here decides, and
//! nothing is dropped silently: what a destination cannot take now is sent later, from the journal; what
//! it rejects for good is noted as a dead letter and blocks nothing.
//!
//! In reading order: [`signal`] (a record's spans and log records), [`protobuf`] and [`json`] (the two
//! encodings of OTLP), [`batch`] (a request that is being filled), [`destination`] (where they go), [`outbox`]
//! (who walks the journal and sends).

pub mod signal;

pub mod protobuf;

pub mod json;

pub mod batch;

pub mod destination;

pub mod outbox;

mod http_client;
mod parcel;
mod walk;
mod wire;

pub use destination::{Compression, Destination, Otlp, Protocol, Signals, Webhook};
pub use outbox::{Outbox, Source};
pub use signal::Signal;
