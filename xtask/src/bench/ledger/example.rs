//! The example `bench_ledger` of genops-ledger, which measures the ledger and raw appends in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Scratch;
use crate::children;

/// The example, built, and a folder on the disk for it.
pub struct Example {
    program: PathBuf,
    scratch: Scratch,
}

impl Example {
    pub fn build(root: &Path, target: &Path, profile: &str, folder: &Path) -> Result<Self, String> {
        println!("== building with the profile `{profile}`");
        let mut build = children::cargo(root);
        build.args(["build", "--profile", profile, "-p", "genops-ledger", "--example", "bench_ledger"]);
        children::run(&mut build)?;
        let program = target.join(profile).join("examples").join("bench_ledger");
        Ok(Self { program, scratch: Scratch::new(folder.join("example"))? })
    }

    /// Runs one part, and gives the numbers of each of its lines that begin with `figures`. All lines are shown as
    /// they come.
    pub fn run(&self, part: &str, arguments: &[String]) -> Result<Vec<Vec<f64>>, String> {
        let mut command = Command::new(&self.program);
        command.arg(&self.scratch.0).arg(part).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let cannot = |error| format!("cannot run `bench_ledger {part}`: {error}");
        let mut child = command.spawn().map_err(cannot)?;
        let mut figures = Vec::new();
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                println!("   {part}: {line}");
                figures.extend(line.strip_prefix("figures ").map(numbers));
            }
        }
        let status = child.wait().map_err(cannot)?;
        if status.success() { Ok(figures) } else { Err(format!("`bench_ledger {part}` ended with {status}")) }
    }

    /// A part that prints one line of so many figures.
    pub fn figures<const N: usize>(&self, part: &str, arguments: &[String]) -> Result<[f64; N], String> {
        let lines = self.run(part, arguments)?;
        let figures = lines.first().and_then(|line| line.as_slice().try_into().ok());
        figures.ok_or_else(|| format!("`bench_ledger {part}` printed no {N} figures"))
    }
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(' ').filter_map(|number| number.parse().ok()).collect()
}
