//! The pure part of a decision: how long it takes, and whether it takes longer the more budgets there are.
//!
//! The example `bench_admit` of genops-core decides, under one policy in a process of its own; this puts the policies
//! beside one another. Instructions and allocations are counted by valgrind over two lengths of run, so that what comes
//! before the first decision falls out. They do not depend on what else the machine does.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::statistics::median;
use crate::children;
use crate::table::Table;

const HEADINGS: [&str; 6] = [
    "budgets that do not match",
    ">how many",
    ">decide µs median [min..max]",
    ">beside the first",
    ">apply µs",
    ">put in force ms",
];

/// How much is measured.
#[derive(Args)]
pub struct Options {
    /// How often the policies take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Rounds of 1,024 calls in each turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Shapes of budgets that do not match, by the example's word and ours, and how many there are. The first is what the
/// others are compared with.
const POLICIES: [(&str, &str, u32); 9] = [
    ("mixed", MIXED, 10),
    ("mixed", MIXED, 100),
    ("mixed", MIXED, TYPICAL),
    ("mixed", MIXED, 1_000),
    ("mixed", MIXED, 10_000),
    ("mixed", MIXED, 100_000),
    ("shared", "one environment, a customer each", 100_000),
    ("grid", "333 teams by 300 projects", 99_900),
    ("cube", "50 teams by 45 projects by 44 environments", 99_000),
];

const MIXED: &str = "customers, teams, projects, keys";

/// With the 8 that match, a thousand.
const TYPICAL: u32 = 992;

/// Decisions in the shorter run that is counted; the longer has twice as many.
const COUNTED: u32 = 2_048;

const ABOUT: &str = "every policy has 100 rules, of which half cover the call, and 8 more budgets, which match; every budget \
                     has been used; apply: decide and take into the books";

struct Bench {
    program: PathBuf,
    folder: PathBuf,
}

/// What one policy came to: in each round, nanoseconds for one decision, for one that is taken into the books, and for
/// putting the policy in force.
#[derive(Clone, Default)]
struct Rounds {
    decide: Vec<f64>,
    apply: Vec<f64>,
    in_force: Vec<f64>,
}

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    if !children::is_installed("valgrind") {
        return Err("missing programs: valgrind; to install them: apt-get install -y valgrind".to_owned());
    }
    let target = children::target_folder(root)?;
    let folder = target.join("bench").join("admit");
    children::make_empty(&folder)?;
    println!("== building");
    let mut build = children::cargo(root);
    children::run(build.args(["build", "--release", "-p", "genops-core", "--example", "bench_admit"]))?;
    let program = target.join("release").join("examples").join("bench_admit");
    let bench = Bench { program, folder };
    let mut measured = vec![Rounds::default(); POLICIES.len()];
    for turn in 1..=options.turns {
        for ((shape, _, budgets), rounds) in POLICIES.iter().zip(&mut measured) {
            println!("== turn {turn}: {shape}, {budgets}");
            bench.measure(shape, *budgets, options.rounds, rounds)?;
        }
    }
    let table = table(&measured);
    let notes = format!("{}\n{ABOUT}", bench.counted()?);
    println!("\n{}\n{notes}", table.plain());
    let report = target.join("bench").join("admit.md");
    children::write(&report, &format!("{}\n{notes}\n", table.markdown()))?;
    println!("as Markdown: {}", report.display());
    Ok(())
}

fn table(measured: &[Rounds]) -> Table {
    let mut table = Table::new(&HEADINGS);
    let first = measured.first().map_or(f64::NAN, |rounds| median(&rounds.decide));
    for ((_, shape, budgets), rounds) in POLICIES.iter().zip(measured) {
        table.row(vec![
            (*shape).to_owned(),
            budgets.to_string(),
            micros(&rounds.decide),
            format!("{:.2}", median(&rounds.decide) / first),
            micros(&rounds.apply),
            format!("{:.2}", median(&rounds.in_force) / 1e6),
        ]);
    }
    table
}

/// `median [min..max]` of nanoseconds, in microseconds.
fn micros(nanos: &[f64]) -> String {
    let min = nanos.iter().copied().fold(f64::INFINITY, f64::min);
    let max = nanos.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.1} [{:.1}..{:.1}]", median(nanos) / 1e3, min / 1e3, max / 1e3)
}

impl Bench {
    fn measure(&self, shape: &str, budgets: u32, rounds: u32, into: &mut Rounds) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        let told = children::output(command.args([shape, &budgets.to_string(), &rounds.to_string()]))?;
        for line in told.lines() {
            let figures: Vec<f64> = line.split(' ').filter_map(|figure| figure.parse().ok()).collect();
            let [decide, apply, in_force] = figures.as_slice() else {
                return Err(format!("`bench_admit {shape}` printed no figures: {line}"));
            };
            into.decide.push(*decide);
            into.apply.push(*apply);
            into.in_force.push(*in_force);
        }
        Ok(())
    }

    /// What another decision costs with a thousand budgets: the difference between two lengths of run.
    fn counted(&self) -> Result<String, String> {
        println!("== counting instructions and allocations");
        let short = self.count(COUNTED)?;
        let long = self.count(2 * COUNTED)?;
        let each = |count: fn(&Count) -> f64| (count(&long) - count(&short)) / f64::from(COUNTED);
        Ok(format!(
            "a decision with {TYPICAL} that do not match: {:.0} instructions, {:.1} allocations",
            each(|count| count.instructions),
            each(|count| count.allocations),
        ))
    }

    fn count(&self, decisions: u32) -> Result<Count, String> {
        let (log, profile) = (self.folder.join("valgrind.log"), self.folder.join("dhat.json"));
        let mut command = Command::new("valgrind");
        command.arg("--tool=dhat").arg(format!("--log-file={}", log.display()));
        command.arg(format!("--dhat-out-file={}", profile.display())).arg(&self.program);
        children::output(command.args(["mixed", &TYPICAL.to_string(), "decide", &decisions.to_string()]))?;
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))
        };
        let (log, profile) = (read(&log)?, read(&profile)?);
        Count::read(&log, &profile).ok_or_else(|| format!("valgrind counted nothing:\n{log}"))
    }
}

/// What valgrind counted in one run.
#[derive(Debug, PartialEq)]
struct Count {
    instructions: f64,
    allocations: f64,
}

impl Count {
    /// From the line `==1== Total:     1,234 bytes in 56 blocks` of the log and the line `,"te":7890` of the profile,
    /// which is the time at the end, in instructions.
    fn read(log: &str, profile: &str) -> Option<Self> {
        let (_, total) = log.lines().find_map(|line| line.split_once("Total:"))?;
        let (_, blocks) = total.split_once(" bytes in ")?;
        let number = |text: &str| text.trim().replace(',', "").parse::<f64>().ok();
        let instructions = profile.lines().find_map(|line| line.strip_prefix(",\"te\":"))?;
        Some(Self {
            instructions: number(instructions)?,
            allocations: number(blocks.trim().strip_suffix(" blocks")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_in_what_valgrind_writes() {
        let log = "==9== DHAT\n==9== \n==9== Total:     1,234 bytes in 56 blocks\n==9== At t-end:  0 bytes in 0 blocks\n";
        let profile = "{\"dhatFileVersion\":2\n,\"te\":7890\n,\"tg\":12\n";
        assert_eq!(Count::read(log, profile), Some(Count { instructions: 7_890.0, allocations: 56.0 }));
        assert_eq!(Count::read("==9== nothing", profile), None);
        assert_eq!(Count::read(log, "{}"), None);
    }

    #[test]
    fn nanoseconds_are_written_as_microseconds() {
        assert_eq!(micros(&[14_040.0, 9_960.0, 20_000.0]), "14.0 [10.0..20.0]");
    }
}
