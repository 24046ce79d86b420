//! The one place that asks the operating system for the time, and for randomness.
//!
//! Everybody else takes both as arguments; a test or a simulation brings its own.

use std::time::{SystemTime, UNIX_EPOCH};

use genops_core::Timestamp;

/// The wall clock, in nanoseconds since the Unix epoch.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Sixteen and eight random bytes, neither all zero: a trace and a span identifier.
#[must_use]
pub fn random_ids() -> ([u8; 16], [u8; 8]) {
    let trace: u128 = rand::random();
    let span: u64 = rand::random();
    (trace.max(1).to_be_bytes(), span.max(1).to_be_bytes())
}

/// Sixteen random bytes, for one person.
#[must_use]
pub fn random_salt() -> [u8; 16] {
    rand::random()
}
