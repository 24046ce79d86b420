//! The golden captures by name, and together.
//!
//! What each of them comes to stands in `golden.rs`.

use crate::common::Capture;

/// The golden captures that reach full compliance.
pub const FULL: &[&str] = &[
    "allowed",
    "warning",
    "blocked",
    "rate_limited",
    "stopped_after_reservation",
    "failed_upstream",
    "settled_without_measurement",
    "sla_met",
    "sla_missed",
    "retry",
    "optional_events",
    "extension_reason_code",
];

/// Several golden captures, one after the other.
pub fn together(names: &[&str]) -> Capture {
    Capture { documents: names.iter().flat_map(|name| Capture::golden(name).documents).collect() }
}
