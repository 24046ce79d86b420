//! `genops audit`: a ledger, the telemetry that its outbox wrote, and a usage export made from it match; every kind of
//! finding comes of one edit in one of the three, and nothing else does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise, and tables stand as they are read"
)]

mod beside;
mod exported;
mod later;
mod program;
mod recorded;
mod telemetry;
mod usage;
