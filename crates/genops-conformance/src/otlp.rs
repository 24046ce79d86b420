//! OTLP as it comes: requests in Protocol Buffers and JSON, down to the single record.
//!
//! Nothing is judged here, and one record that cannot be read costs no other. In reading order: [`request`] (what a
//! request holds), [`json`] (turned into the other encoding), [`record`] (spans and log records), [`value`]
//! (attributes), [`wire`] (bytes).

pub mod request;

pub mod json;

pub mod record;
pub mod value;
pub mod wire;
