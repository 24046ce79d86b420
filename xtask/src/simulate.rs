//! Runs the ledger through many lives over a disk and a clock that fail, each run from one seed.
//!
//! The simulation is the test `simulation` of genops-ledger, here optimised and with the seeds that are asked for. What
//! it checks is said there.

use std::path::Path;

use clap::Args;

use crate::children;

/// Which seeds are run.
#[derive(Args)]
pub struct Options {
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This one alone, and print everything that happens
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

const TEST: &str = "what_was_told_outlives_every_fault_and_the_books_are_right";

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let (from, count) = match options.seed {
        Some(seed) => (seed, 1),
        None => (options.from, options.seeds),
    };
    let mut command = children::cargo(root);
    command.args(["test", "--profile", "profiling", "-p", "genops-ledger", "--test", "simulation"]);
    command.args(["--", "--nocapture", "--exact", TEST]);
    command.env("GENOPS_SEEDS", format!("{from}..{}", from.saturating_add(count)));
    children::run(&mut command)
}
