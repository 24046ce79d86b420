//! The ledger: its throughput beside raw synced appends of the same bytes and beside what a team would otherwise put
//! there, how it grows with cells and budgets, and how long it takes to open.
//!
//! What is measured of the ledger itself is done by the example `bench_ledger` of genops-ledger, in a process of its
//! own. PostgreSQL and Redis are started here, and left out where they are not installed.

mod example;
mod growth;
mod pairs;
mod postgres;
mod recovery;
mod redis;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::disk;
use super::statistics::median;
use crate::children::{self, Running};
use crate::table::Table;
use example::Example;

/// How long and how often is measured.
#[derive(Args)]
pub struct Options {
    /// Seconds of each measurement, after half a second of warm-up
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How often the subjects take turns, every other turn backwards
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Numbers of callers, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u32).range(1..))]
    callers: Vec<u32>,
    /// Numbers of cells, the smallest first
    #[arg(long, value_delimiter = ',', default_value = "10,1000,100000,1000000", value_parser = clap::value_parser!(u32).range(1..))]
    cells: Vec<u32>,
    /// Numbers of budgets on a path, the smallest first
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16", value_parser = clap::value_parser!(u32).range(1..))]
    budgets: Vec<u32>,
    /// Entries of the ledger that is opened
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(2..))]
    entries: u32,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "callers,cells,budgets,recovery")]
    parts: Vec<Part>,
    /// Whether everything runs at all: one short turn of the smaller sizes
    #[arg(long, conflicts_with_all = ["seconds", "turns", "callers", "cells", "budgets", "entries"])]
    quick: bool,
    /// The cargo profile that the ledger is built with
    #[arg(long, default_value = "release")]
    profile: String,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Pairs a second at some numbers of callers, beside others
    Callers,
    /// With more and more cells
    Cells,
    /// With more and more budgets on a path
    Budgets,
    /// Opening a ledger
    Recovery,
}

/// Callers where cells and budgets are measured.
const CALLERS_OF_GROWTH: u32 = 64;

/// What a call reserves and uses in each of its two cells, in PostgreSQL and Redis: millionths of a dollar, and tokens.
const RESERVED: [u32; 2] = [76, 314];
const ACTUAL: [u32; 2] = [14, 32];

const READY_WITHIN: Duration = Duration::from_secs(20);

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The bytes that a pair takes in the journal, without the frame around them.
struct Sizes {
    admission: usize,
    settlement: usize,
}

impl Options {
    fn quick(&self) -> Self {
        Self {
            seconds: 1,
            turns: 1,
            callers: vec![1, 64],
            cells: vec![10, 10_000],
            budgets: vec![1, 16],
            entries: 100_000,
            parts: self.parts.clone(),
            quick: true,
            profile: self.profile.clone(),
        }
    }
}

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let quick = options.quick.then(|| options.quick());
    let options = quick.as_ref().unwrap_or(options);
    let target = children::target_folder(root)?;
    let folder = target.join("bench").join("ledger");
    children::make_empty(&folder)?;
    disk::require_real(&folder)?;
    let example = Example::build(root, &target, &options.profile, &folder)?;
    let sync_before = disk::sync_ms(&folder)?;

    let mut report = Report::default();
    for part in &options.parts {
        match part {
            Part::Callers => pairs::run(&example, &folder, options, &mut report)?,
            Part::Cells => growth::run(&example, options, &growth::CELLS, &mut report)?,
            Part::Budgets => growth::run(&example, options, &growth::BUDGETS, &mut report)?,
            Part::Recovery => recovery::run(&example, options, &mut report)?,
        }
    }
    let sync_after = disk::sync_ms(&folder)?;
    report.notes.push(format!(
        "fdatasync of 4 KiB, p50: {sync_before:.3} ms before, {sync_after:.3} ms after; profile `{}`, {} turns of {} s",
        options.profile, options.turns, options.seconds
    ));
    report.print(&target.join("bench").join("ledger.md"))
}

// === What all parts use ===

/// Tables, and what has to be known to read them.
#[derive(Default)]
struct Report {
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Report {
    fn print(&self, file: &Path) -> Result<(), String> {
        for table in &self.tables {
            println!("\n{}", table.plain());
        }
        let notes: String = self.notes.iter().map(|note| format!("- {note}\n")).collect();
        println!("{notes}");
        let tables: String = self.tables.iter().map(|table| format!("{}\n", table.markdown())).collect();
        children::write(file, &format!("{tables}{notes}"))?;
        println!("as Markdown: {}", file.display());
        Ok(())
    }
}

/// A folder that is empty at first, and goes away with this, on failure too.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: PathBuf) -> Result<Self, String> {
        children::make_empty(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the way of nobody: the next run begins with an empty folder.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A figure that has to be a whole number.
fn whole<T: FromStr>(figure: f64) -> Result<T, String> {
    format!("{figure:.0}").parse().map_err(|_| format!("{figure} is no whole number of the expected size"))
}

/// Each value beside the one measured in the same turn, and of these the median.
fn ratio(values: &[f64], beside: &[f64]) -> f64 {
    median(&values.iter().zip(beside).map(|(value, beside)| value / beside).collect::<Vec<_>>())
}

/// Waits until a server is ready. It is an error if it ends, or takes too long.
fn wait_until(running: &mut Running, name: &str, mut is_ready: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    while !is_ready() {
        if let Some(status) = running.wait_until_it_ends(LOOK_EVERY)? {
            return Err(format!(
                "{name} ended with {status} before it was ready; see its log in `bench/ledger`"
            ));
        }
        if Instant::now() > deadline {
            return Err(format!("{name} was not ready within {} s", READY_WITHIN.as_secs()));
        }
    }
    Ok(())
}
