//! The gateway's throughput, latency and processor time, beside nginx and beside no proxy at all.
//!
//! The three take turns, so that each ratio is of neighbours in time. For the gateway, the time that counts
//! ends when the telemetry of every call has been delivered, not when the last call is answered.

use std::env;
use std::path::Path;
use std::thread;

use clap::Args;

use super::servers::{Servers, Subject};
use super::statistics::{median, spread};
use super::wrk::Wrk;
use super::{disk, sink, streams};
use crate::table::Table;
use crate::{children, process};

pub const WARM_UP_SECONDS: u32 = 1;

const PROGRAMS: [&str; 2] = ["nginx", "wrk"];
const INSTALL: &str = "apt-get install -y nginx-light wrk";

const HEADINGS: [&str; 9] = [
    ">c",
    "subject",
    ">runs",
    ">rps median [min..max]",
    ">ratio to nginx",
    ">p50 ms",
    ">p99 ms",
    ">CPU s/1k",
    ">errors",
];

/// How long and how often is measured.
#[derive(Args)]
pub struct Options {
    /// Seconds of each measurement, after a second of warm-up
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// How often the three subjects take turns
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub pairs: u32,
    /// Numbers of connections, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: Vec<u32>,
    /// Streamed calls instead: what passes them on adds to each event, and how many streams pass
    #[arg(long)]
    streams: bool,
}

/// One measurement of one subject.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rps: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_per_1k: f64,
    /// Until the telemetry was delivered, after the last call.
    drain_seconds: f64,
    errors: u64,
}

pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    require_programs()?;
    let target = children::target_folder(root)?;
    let folder = target.join("bench").join("gateway");
    children::make_empty(&folder)?;
    disk::require_real(&folder)?;
    println!("== building");
    children::run(children::cargo(root).args(["build", "--release"]))?;
    let examples = ["build", "--release", "-p", "genops-gateway", "--example", "stand_in"];
    let more = ["--example", "otlp_sink", "--example", "stream_load"];
    children::run(children::cargo(root).args(examples).args(more))?;
    if options.streams {
        return streams::run(&target, &folder, options);
    }

    let sync_before = disk::sync_ms(&folder)?;
    let load = load_average();
    let servers = Servers::start(&target, &folder, None)?;
    let wrk = Wrk::new(&folder, &servers.secret)?;
    let mut table = Table::new(&HEADINGS);
    let mut notes = vec![about(options, &load)];
    for connections in &options.connections {
        let turns = turns(&servers, &wrk, options, *connections)?;
        notes.push(drain_note(*connections, &turns));
        Subject::ALL.iter().for_each(|subject| table.row(row(*connections, *subject, &turns)));
    }
    drop(servers);
    let sync_after = disk::sync_ms(&folder)?;
    notes.push(format!("fdatasync of 4 KiB, p50: {sync_before:.3} ms before, {sync_after:.3} ms after"));

    println!("\n{}\n{}", table.plain(), notes.join("\n"));
    let report = target.join("bench").join("gateway.md");
    let list: String = notes.iter().map(|note| format!("- {note}\n")).collect();
    children::write(&report, &format!("{}\n{list}", table.markdown()))?;
    println!("as Markdown: {}", report.display());
    Ok(())
}

fn require_programs() -> Result<(), String> {
    let folders: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let is_missing = |program: &&str| !folders.iter().any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("missing programs: {}; to install them: {INSTALL}", missing.join(", ")))
}

pub fn load_average() -> String {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split(' ').next().unwrap_or_default().to_owned()
}

pub fn about(options: &Options, load: &str) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let Options { seconds, pairs, .. } = options;
    format!(
        "{pairs} turns of {seconds} s on {cores} cores; load average before: {load}; ratios are medians over the \
         turns; CPU is that of the subject's own process, for direct the stand-in's"
    )
}

// === Measuring ===

/// All subjects in turn, as often as asked: for each turn the samples in the order of [`Subject::ALL`].
fn turns(
    servers: &Servers,
    wrk: &Wrk,
    options: &Options,
    connections: u32,
) -> Result<Vec<[Sample; 3]>, String> {
    let mut turns = Vec::new();
    for turn in 1..=options.pairs {
        let measured = |subject| {
            let sample = measure(servers, wrk, subject, connections, options.seconds)?;
            let Sample { rps, p50_ms, p99_ms, cpu_per_1k, errors, .. } = sample;
            println!(
                "c {connections}, turn {turn}: {:<7} {rps:>9.0} rps, p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, \
                 {cpu_per_1k:.4} CPU s/1k, {errors} errors",
                subject.name()
            );
            Ok::<_, String>(sample)
        };
        let [direct, nginx, genops] = Subject::ALL;
        turns.push([measured(direct)?, measured(nginx)?, measured(genops)?]);
    }
    Ok(turns)
}

fn measure(
    servers: &Servers,
    wrk: &Wrk,
    subject: Subject,
    connections: u32,
    seconds: u32,
) -> Result<Sample, String> {
    let (process, port) = servers.of(subject);
    let drained = |before, calls| match subject {
        Subject::Genops => sink::drained(servers.sink_port(), before, calls).map(|time| time.as_secs_f64()),
        Subject::Direct | Subject::Nginx => Ok(0.0),
    };
    let before = sink::count(servers.sink_port())?;
    let warm_up = wrk.run(port, connections, WARM_UP_SECONDS)?;
    drained(before, warm_up.answered())?;

    let before = sink::count(servers.sink_port())?;
    let cpu_before = process::processor_seconds(process)?;
    let measured = wrk.run(port, connections, seconds)?;
    if measured.answered() == 0 {
        return Err(format!("{} answered nothing", subject.name()));
    }
    let drain_seconds = drained(before, measured.answered())?;
    let cpu = process::processor_seconds(process)? - cpu_before;
    let answered = measured.answered() as f64;
    Ok(Sample {
        rps: answered / (measured.seconds + drain_seconds),
        p50_ms: measured.p50_ms,
        p99_ms: measured.p99_ms,
        cpu_per_1k: cpu / (answered / 1_000.0),
        drain_seconds,
        errors: measured.refused + measured.broken,
    })
}

// === Telling ===

fn of(turn: &[Sample; 3], subject: Subject) -> Sample {
    let [direct, nginx, genops] = *turn;
    match subject {
        Subject::Direct => direct,
        Subject::Nginx => nginx,
        Subject::Genops => genops,
    }
}

fn row(connections: u32, subject: Subject, turns: &[[Sample; 3]]) -> Vec<String> {
    let each = |value: fn(Sample) -> f64| -> Vec<f64> {
        turns.iter().map(|turn| value(of(turn, subject))).collect()
    };
    let ratios: Vec<f64> =
        turns.iter().map(|turn| of(turn, subject).rps / of(turn, Subject::Nginx).rps).collect();
    let errors: u64 = turns.iter().map(|turn| of(turn, subject).errors).sum();
    vec![
        connections.to_string(),
        subject.name().to_owned(),
        turns.len().to_string(),
        spread(&each(|sample| sample.rps)),
        format!("{:.3}", median(&ratios)),
        format!("{:.3}", median(&each(|sample| sample.p50_ms))),
        format!("{:.3}", median(&each(|sample| sample.p99_ms))),
        format!("{:.4}", median(&each(|sample| sample.cpu_per_1k))),
        errors.to_string(),
    ]
}

fn drain_note(connections: u32, turns: &[[Sample; 3]]) -> String {
    let drains: Vec<f64> = turns.iter().map(|turn| of(turn, Subject::Genops).drain_seconds).collect();
    format!(
        "at {connections} connections the time of genops includes delivering the telemetry: {:.2} s (median) \
         after the last call",
        median(&drains)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rps: f64) -> Sample {
        Sample { rps, p50_ms: 0.1, p99_ms: 0.2, cpu_per_1k: 0.0123, drain_seconds: 0.25, errors: 1 }
    }

    #[test]
    fn ratios_are_of_neighbours() {
        // The machine is twice as fast in the second turn; the ratio does not see it.
        let turns = [
            [sample(200.0), sample(100.0), sample(50.0)],
            [sample(400.0), sample(200.0), sample(100.0)],
            [sample(200.0), sample(100.0), sample(60.0)],
        ];
        let expected = ["16", "genops", "3", "60 [50..100]", "0.500", "0.100", "0.200", "0.0123", "3"];
        assert_eq!(row(16, Subject::Genops, &turns), expected);
        assert_eq!(row(16, Subject::Nginx, &turns).get(4).map(String::as_str), Some("1.000"));
        assert!(drain_note(16, &turns).contains("0.25 s"));
    }
}
