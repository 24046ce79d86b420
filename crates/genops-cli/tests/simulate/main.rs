//! `genops simulate`: a small case worked out by hand, the same calls through a running gateway, ledgers of every kind of
//! ending, and what is said where something cannot be used.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test may stop at the first surprise, and tables stand as they are read"
)]

mod by_hand;
mod gateway;
mod ledger;
mod messages;
mod program;
