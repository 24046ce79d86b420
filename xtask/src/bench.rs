//! Measurements, for a machine that does nothing else: `cargo xtask bench gateway`, `bench ledger`, `bench check`,
//! `bench admit`.
//!
//! What counts is the ratio to something everybody knows, measured in the same minute on the same machine:
//! nginx for the gateway, raw synced appends for the ledger, others' decoders for the checker. A decision is measured
//! beside itself, with other numbers of budgets. Nothing here passes or fails.

mod admit;
mod check;
mod disk;
mod gateway;
mod ledger;
mod servers;
mod sink;
mod statistics;
mod stream_load;
mod streams;
mod wrk;

use std::path::Path;

use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// The gateway between wrk and a stand-in model, beside nginx and no proxy at all
    Gateway(gateway::Options),
    /// Durable admissions and settlements, beside raw synced appends of the same bytes
    Ledger(ledger::Options),
    /// The conformance checker, beside decoders of the same telemetry
    Check(check::Options),
    /// The pure part of a decision, with 10 to 100,000 budgets that do not match
    Admit(admit::Options),
}

pub fn run(root: &Path, what: &Bench) -> Result<(), String> {
    match what {
        Bench::Gateway(options) => gateway::run(root, options),
        Bench::Ledger(options) => ledger::run(root, options),
        Bench::Check(options) => check::run(root, options),
        Bench::Admit(options) => admit::run(root, options),
    }
}
