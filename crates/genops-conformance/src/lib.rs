//! Telemetry in, findings out: judges any runtime against the GenOps Governance Specification v0.1.0.
//!
//! The judge shares the words of the specification with the judged ([`genops_spec`]), and nothing else. It decides
//! nothing about work, keeps no books, and is not the specification's own suite, of which there is none.
//!
//! In the order in which telemetry passes: [`input`] and [`listen`] (where it comes from), [`otlp`] (what it is),
//! [`assemble`] (what belongs together), [`awu`] (what an AWU is), [`rules`] (one function a requirement), [`judge`]
//! (every AWU asked every rule), [`across`] (what no single AWU can answer), [`level`] (what it all comes to),
//! [`report`] (told to people and programs). [`catalogue`] has what is required.

pub mod input;
pub mod listen;

pub mod otlp;

pub mod assemble;
pub mod checker;
pub mod judge;

pub mod awu;
pub mod key;
pub mod rules;

pub mod across;
pub mod level;
pub mod verdict;

pub mod catalogue;
pub mod explain;
pub mod report;

pub use checker::Checker;
pub use rules::Strictness;
