//! The project's own checks, run as `cargo xtask <task>`: one file a task, in the order of [`Task`].
//!
//! Nothing here is part of the product: xtask depends on none of our crates, and none depends on it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask speaks to the person at the terminal: progress on stdout, findings on stderr"
)]

mod acceptance;
mod bench;
mod layers;
mod sabotage;
mod simulate;
mod test;
mod tidy;

mod children;
mod key;
mod process;
mod table;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::Bench;

/// The project's own checks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// Each task is one file with one `run(root) -> Result<(), String>`.
#[derive(Subcommand)]
enum Task {
    /// Run what the quick CI runs, in its order, up to the first failure
    Test,
    /// Compare the dependencies between our crates with the table of allowed edges
    Layers,
    /// Check the habits no compiler checks: file headers, lengths, leftovers, the map in ARCHITECTURE.md
    Tidy,
    /// Run the released program between the official client and a real model, and compare what all say
    Acceptance,
    /// Measure; it takes minutes and a machine that does nothing else
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Put faults into the sources, one at a time, and require that the tests notice; sources are restored
    Sabotage {
        /// Only this fault
        name: Option<String>,
    },
    /// Run the ledger through many lives over a disk and a clock that fail, each from a seed
    Simulate(simulate::Options),
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    match run(&task) {
        Ok(()) => {
            println!("{}", if matches!(task, Task::Bench { .. }) { "done" } else { "passed" });
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<(), String> {
    let root = repository_root()?;
    match task {
        Task::Test => test::run(&root),
        Task::Layers => layers::run(&root),
        Task::Tidy => tidy::run(&root),
        Task::Acceptance => acceptance::run(&root),
        Task::Bench { what } => bench::run(&root, what),
        Task::Sabotage { name } => sabotage::run(&root, name.as_deref()),
        Task::Simulate(options) => simulate::run(&root, options),
    }
}

/// The folder above xtask's own. Cargo names it at run time; the built-in path serves a binary run by hand.
fn repository_root() -> Result<PathBuf, String> {
    let own_folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own_folder)
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("`{}` has no parent folder, so it is not xtask's", own_folder.display()))
}
