//! The checker's speed, its instructions and its memory, beside decoders of the same bytes.
//!
//! The example `generate` of genops-conformance writes the captures; the example `bench_check` goes through one in a
//! process of its own. Instructions are counted by valgrind over two lengths of capture, so that what a process costs
//! at its start falls out. They do not depend on what else the machine does.
//!
//! Two ways judge. `judge` hands each message to the checker, as the listener does; it is what the decoders are to be
//! compared with. `check` goes the way of the program, which also takes the SHA-256 of what it reads. Processors have
//! instructions for that and valgrind emulates none that has, so its count is far above what really runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::statistics::{median, spread};
use crate::children;
use crate::table::Table;

const HEADINGS: [&str; 6] =
    ["capture", "way", ">spans/s median [min..max]", ">instructions a span", ">beside prost", ">peak MiB"];

/// How much is measured.
#[derive(Args)]
pub struct Options {
    /// Traces in the capture whose time is taken
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    traces: u32,
    /// How often the ways take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Traces in the shorter capture whose instructions are counted; the longer has twice as many
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..))]
    counted: u32,
}

/// A form of capture, and the ways through it: the first is what the others are compared with.
const FORMS: [(&str, [&str; 4]); 2] =
    [("protobuf", ["prost", "borrow", "judge", "check"]), ("json", ["serde", "borrow", "judge", "check"])];

/// Why two ways judge.
const DIGEST: &str = "judge: messages handed to the checker, as the listener does; check: the program's way, with the \
                      SHA-256 of its input, which is counted as if the processor had no instructions for it";

struct Bench {
    program: PathBuf,
    folder: PathBuf,
}

/// What one way through one capture came to.
struct Walk {
    spans: f64,
    seconds: f64,
    peak_mib: f64,
}

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    if !children::is_installed("valgrind") {
        return Err("missing programs: valgrind; to install them: apt-get install -y valgrind".to_owned());
    }
    let target = children::target_folder(root)?;
    let folder = target.join("bench").join("check");
    children::make_empty(&folder)?;
    println!("== building");
    let examples = ["--example", "bench_check", "--example", "generate"];
    children::run(
        children::cargo(root).args(["build", "--release", "-p", "genops-conformance"]).args(examples),
    )?;
    let programs = target.join("release").join("examples");
    let bench = Bench { program: programs.join("bench_check"), folder };
    let lengths = [options.counted, 2 * options.counted, options.traces, 4 * options.traces];
    for (form, _) in FORMS {
        for traces in lengths {
            let file = bench.capture(form, traces);
            let mut generate = Command::new(programs.join("generate"));
            generate.args(["--form", form, "--traces", &traces.to_string(), "--out"]).arg(file);
            children::run(&mut generate)?;
        }
    }
    let mut table = Table::new(&HEADINGS);
    let mut notes = Vec::new();
    for (form, ways) in FORMS {
        let mut first = f64::NAN;
        for way in ways {
            println!("== {form}, {way}");
            let walks = (0..options.turns).map(|_| bench.walk(way, form, options.traces));
            let walks = walks.collect::<Result<Vec<_>, _>>()?;
            let instructions = bench.instructions_a_span(way, form, options.counted)?;
            first = if first.is_nan() { instructions } else { first };
            table.row(row(form, way, &walks, instructions, instructions / first));
        }
        let longer = bench.walk("check", form, 4 * options.traces)?;
        notes.push(format!("{form}: four times the capture, peak {:.1} MiB", longer.peak_mib));
    }
    notes.push(DIGEST.to_owned());
    println!("\n{}\n{}", table.plain(), notes.join("\n"));
    let report = target.join("bench").join("check.md");
    children::write(&report, &format!("{}\n{}\n", table.markdown(), notes.join("\n")))?;
    println!("as Markdown: {}", report.display());
    Ok(())
}

fn row(form: &str, way: &str, walks: &[Walk], instructions: f64, ratio: f64) -> Vec<String> {
    let speeds: Vec<f64> = walks.iter().map(|walk| walk.spans / walk.seconds).collect();
    let peaks: Vec<f64> = walks.iter().map(|walk| walk.peak_mib).collect();
    vec![
        form.to_owned(),
        way.to_owned(),
        spread(&speeds),
        format!("{instructions:.0}"),
        format!("{ratio:.3}"),
        format!("{:.1}", median(&peaks)),
    ]
}

impl Bench {
    fn capture(&self, form: &str, traces: u32) -> PathBuf {
        self.folder.join(format!("{traces}.{form}"))
    }

    fn walk(&self, way: &str, form: &str, traces: u32) -> Result<Walk, String> {
        let told = children::output(Command::new(&self.program).arg(way).arg(self.capture(form, traces)))?;
        let figures: Vec<f64> = told.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        match figures.as_slice() {
            [spans, seconds, peak_kib] => {
                Ok(Walk { spans: *spans, seconds: *seconds, peak_mib: peak_kib / 1_024.0 })
            }
            _ => Err(format!("`bench_check {way}` printed no figures: {told}")),
        }
    }

    /// What another span costs: the difference between two lengths, by the difference of their spans.
    fn instructions_a_span(&self, way: &str, form: &str, traces: u32) -> Result<f64, String> {
        let (short, short_spans) = self.instructions(way, form, traces)?;
        let (long, long_spans) = self.instructions(way, form, 2 * traces)?;
        Ok((long - short) / (long_spans - short_spans))
    }

    fn instructions(&self, way: &str, form: &str, traces: u32) -> Result<(f64, f64), String> {
        let log = self.folder.join("valgrind.log");
        let mut command = Command::new("valgrind");
        command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        command.arg(format!("--log-file={}", log.display()));
        let told = children::output(command.arg(&self.program).arg(way).arg(self.capture(form, traces)))?;
        let spans = told.split_whitespace().next().and_then(|spans| spans.parse().ok());
        let report =
            std::fs::read_to_string(&log).map_err(|error| format!("`{}`: {error}", log.display()))?;
        let counted = counted(&report);
        counted.zip(spans).ok_or_else(|| format!("valgrind counted no instructions:\n{report}"))
    }
}

/// The line `==1== I   refs:      1,234` of valgrind's report.
fn counted(report: &str) -> Option<f64> {
    let line = report.lines().find(|line| line.contains("refs:") && line.contains(" I "))?;
    line.rsplit_once(':')?.1.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_the_report() {
        let report = "==9== Cachegrind\n==9== \n==9== I   refs:      1,234,567\n";
        assert_eq!(counted(report), Some(1_234_567.0));
        assert_eq!(counted("==9== nothing"), None);
    }
}
