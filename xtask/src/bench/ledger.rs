//! The ledger's throughput, beside raw synced appends of the same bytes.
//!
//! The measuring is done by the example `bench_ledger` of genops-ledger, in a process of its own; this gives
//! it a folder on the disk.

use std::path::Path;

use clap::Args;

use super::disk;
use crate::children;

/// How long and how often is measured.
#[derive(Args)]
pub struct Options {
    /// Seconds of each measurement, after half a second of warm-up
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How often ledger and raw appends take turns
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Numbers of callers, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u32).range(1..))]
    callers: Vec<u32>,
}

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let folder = children::target_folder(root)?.join("bench").join("ledger");
    children::make_empty(&folder)?;
    disk::require_real(&folder)?;
    let callers: Vec<String> = options.callers.iter().map(u32::to_string).collect();
    let mut command = children::cargo(root);
    command.args(["run", "--release", "-p", "genops-ledger", "--example", "bench_ledger", "--"]);
    command.args(["--seconds", &options.seconds.to_string(), "--pairs", &options.pairs.to_string()]);
    command.args(["--callers", &callers.join(",")]).arg("--folder").arg(&folder);
    children::run(&mut command)
}
