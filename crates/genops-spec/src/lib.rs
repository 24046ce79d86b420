//! The words of the GenOps Governance Specification v0.1.0, as Rust items.
//!
//! This crate names things and decides nothing: no arithmetic, no input or output, no clock. The judge
//! (the conformance suite) and the judged (the runtime) share these words and nothing else. A test holds
//! every name here against `spec/vocabulary.yaml`, in both directions.
//!
//! In reading order: [`decision`] (the four states), [`reason`] (why), [`attribute`] (keys on the wire),
//! [`event`] (what is told, and when).

pub mod decision;
pub mod reason;

pub mod attribute;
pub mod event;

pub use decision::{Decision, DecisionState};
pub use reason::{InvalidReasonCode, ReasonCode};

/// The exact version of the specification that this runtime implements (sections 7.1 and 11.3).
pub const SPEC_VERSION: &str = "0.1.0";
