//! Streamed calls through the gateway, beside nginx without buffering and beside no proxy at all: when the
//! first byte comes, how long each word is on its way, and how many streams pass.
//!
//! The three take turns, so that each difference and each ratio is of neighbours in time. The callers do not
//! ask for usage, so genops asks on their behalf and leaves the report out.

use std::path::Path;

use super::gateway::{Options, WARM_UP_SECONDS, about, load_average};
use super::servers::{Servers, Streams, Subject};
use super::statistics::{median, spread};
use super::stream_load::{Measured, StreamLoad};
use super::{disk, sink};
use crate::table::Table;
use crate::{children, process};

/// A pause as of a fast model, for the delays; none, for the throughput.
const PAUSES_MS: [u32; 2] = [2, 0];

const WORDS: u32 = 50;

/// A first byte may come later than through nginx by one fdatasync and this.
const FIRST_BYTE_OVER_MS: f64 = 0.3;

const HEADINGS: [&str; 13] = [
    ">pause ms",
    ">c",
    "subject",
    ">streams/s median [min..max]",
    ">ratio to nginx",
    ">first byte p50 ms",
    ">p99",
    ">first event p50 ms",
    ">word p50 ms",
    ">p99",
    ">gap p99 ms",
    ">CPU ms/stream",
    ">errors",
];

/// One measurement of one subject.
#[derive(Debug, Clone, Copy)]
struct Sample {
    measured: Measured,
    cpu_ms: f64,
}

/// One turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// In the order of [`Subject::ALL`].
    samples: [Sample; 3],
    /// What the disk took for an fdatasync beside it. On a disk that others use it differs from turn to turn.
    sync_ms: f64,
}

/// What is held fixed during some turns.
#[derive(Debug, Clone, Copy)]
struct Setting {
    pause_ms: u32,
    connections: u32,
    seconds: u32,
}

pub fn run(target: &Path, folder: &Path, options: &Options) -> Result<(), String> {
    let mut table = Table::new(&HEADINGS);
    let mut notes = vec![about(options, &load_average())];
    for pause_ms in PAUSES_MS {
        let folder = folder.join(format!("pause-{pause_ms}"));
        children::make_empty(&folder)?;
        let servers = Servers::start(target, &folder, Some(Streams { pause_ms, words: WORDS }))?;
        let load = StreamLoad::new(target, &servers.secret);
        for connections in &options.connections {
            let setting = Setting { pause_ms, connections: *connections, seconds: options.seconds };
            let mut turns = Vec::new();
            for _ in 0..options.pairs {
                turns.push(turn(&servers, &load, &folder, setting)?);
            }
            Subject::ALL.iter().for_each(|subject| table.row(row(setting, *subject, &turns)));
            notes.push(judged(setting, &turns));
        }
    }

    println!("\n{}\n{}", table.plain(), notes.join("\n"));
    let report = target.join("bench").join("streams.md");
    let list: String = notes.iter().map(|note| format!("- {note}\n")).collect();
    children::write(&report, &format!("{}\n{list}", table.markdown()))?;
    println!("as Markdown: {}", report.display());
    Ok(())
}

// === Measuring ===

fn turn(servers: &Servers, load: &StreamLoad, folder: &Path, setting: Setting) -> Result<Turn, String> {
    let sync_ms = disk::sync_ms(folder)?;
    let told = |subject: Subject| {
        let sample = measure(servers, load, subject, setting)?;
        let Measured { first_byte, delay, .. } = sample.measured;
        println!(
            "pause {} ms, c {}: {:<7} {:>7.0} streams/s, first byte {:.3} ms, word {:.3} ms",
            setting.pause_ms,
            setting.connections,
            subject.name(),
            rate(sample),
            first_byte.p50_ms,
            delay.p50_ms,
        );
        Ok::<_, String>(sample)
    };
    let [direct, nginx, genops] = Subject::ALL;
    Ok(Turn { samples: [told(direct)?, told(nginx)?, told(genops)?], sync_ms })
}

/// The telemetry of one measurement has been delivered before the next begins. That time is the gateway's
/// processor time too, but not the streams'.
fn measure(
    servers: &Servers,
    load: &StreamLoad,
    subject: Subject,
    setting: Setting,
) -> Result<Sample, String> {
    let Setting { pause_ms, connections, seconds } = setting;
    let (process, port) = servers.of(subject);
    let run = |seconds| {
        let before = sink::count(servers.sink_port())?;
        let measured = load.run(port, connections, seconds, pause_ms)?;
        if subject == Subject::Genops {
            sink::drained(servers.sink_port(), before, measured.streams)?;
        }
        Ok::<_, String>(measured)
    };
    run(WARM_UP_SECONDS)?;
    let cpu_before = process::processor_seconds(process)?;
    let measured = run(seconds)?;
    if measured.streams == 0 {
        return Err(format!("{} streamed nothing", subject.name()));
    }
    let cpu = process::processor_seconds(process)? - cpu_before;
    Ok(Sample { measured, cpu_ms: cpu * 1e3 / measured.streams as f64 })
}

// === Telling ===

fn of(turn: &Turn, subject: Subject) -> Sample {
    let [direct, nginx, genops] = turn.samples;
    match subject {
        Subject::Direct => direct,
        Subject::Nginx => nginx,
        Subject::Genops => genops,
    }
}

fn rate(sample: Sample) -> f64 {
    sample.measured.streams as f64 / sample.measured.seconds
}

fn row(setting: Setting, subject: Subject, turns: &[Turn]) -> Vec<String> {
    let each =
        |value: fn(Sample) -> f64| turns.iter().map(|turn| value(of(turn, subject))).collect::<Vec<f64>>();
    let ms = |value: fn(Measured) -> f64| {
        let values: Vec<f64> = turns.iter().map(|turn| value(of(turn, subject).measured)).collect();
        format!("{:.3}", median(&values))
    };
    let ratios: Vec<f64> =
        turns.iter().map(|turn| rate(of(turn, subject)) / rate(of(turn, Subject::Nginx))).collect();
    let errors = |turn| {
        let Measured { refused, broken, .. } = of(turn, subject).measured;
        refused + broken
    };
    vec![
        setting.pause_ms.to_string(),
        setting.connections.to_string(),
        subject.name().to_owned(),
        spread(&each(rate)),
        format!("{:.3}", median(&ratios)),
        ms(|measured| measured.first_byte.p50_ms),
        ms(|measured| measured.first_byte.p99_ms),
        ms(|measured| measured.first_event.p50_ms),
        ms(|measured| measured.delay.p50_ms),
        ms(|measured| measured.delay.p99_ms),
        ms(|measured| measured.gap.p99_ms),
        format!("{:.3}", median(&each(|sample| sample.cpu_ms))),
        turns.iter().map(errors).sum::<u64>().to_string(),
    ]
}

/// By how much the first byte through genops comes later than through nginx, and whether it may.
fn judged(setting: Setting, turns: &[Turn]) -> String {
    let first_byte = |turn, subject| of(turn, subject).measured.first_byte.p50_ms;
    let over = |turn| first_byte(turn, Subject::Genops) - first_byte(turn, Subject::Nginx);
    let over = median(&turns.iter().map(over).collect::<Vec<f64>>());
    let sync = median(&turns.iter().map(|turn| turn.sync_ms).collect::<Vec<f64>>());
    let target = sync + FIRST_BYTE_OVER_MS;
    let verdict = if over <= target { "met" } else { "MISSED" };
    let Setting { pause_ms, connections, .. } = setting;
    format!(
        "pause {pause_ms} ms, {connections} connections: the first byte {over:+.3} ms to nginx; the target of one \
         fdatasync ({sync:.3} ms, p50 in these turns) and {FIRST_BYTE_OVER_MS} ms is {verdict}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::stream_load::Times;
    use super::*;

    fn sample(streams: u64, first_byte_ms: f64) -> Sample {
        let times = |p50_ms| Times { p50_ms, p99_ms: p50_ms * 2.0 };
        let measured = Measured {
            streams,
            events: streams * 54,
            refused: 0,
            broken: 1,
            seconds: 2.0,
            first_byte: times(first_byte_ms),
            first_event: times(3.0),
            delay: times(0.1),
            gap: times(0.4),
        };
        Sample { measured, cpu_ms: 0.5 }
    }

    #[test]
    fn ratios_and_differences_are_of_neighbours() {
        // The machine is twice as fast in the second turn; neither sees it.
        let turn = |samples| Turn { samples, sync_ms: 0.15 };
        let turns = [
            turn([sample(800, 0.1), sample(400, 0.2), sample(200, 0.6)]),
            turn([sample(1600, 0.1), sample(800, 0.1), sample(400, 0.5)]),
            turn([sample(800, 0.1), sample(400, 0.2), sample(200, 0.7)]),
        ];
        let setting = Setting { pause_ms: 2, connections: 16, seconds: 2 };
        let expected = [
            "2",
            "16",
            "genops",
            "100 [100..200]",
            "0.500",
            "0.600",
            "1.200",
            "3.000",
            "0.100",
            "0.200",
            "0.800",
            "0.500",
            "3",
        ];
        assert_eq!(row(setting, Subject::Genops, &turns), expected);
        let told = judged(setting, &turns);
        assert!(told.contains("+0.400 ms") && told.ends_with("is met"), "{told}");
        let told = judged(setting, &turns.map(|turn| Turn { sync_ms: 0.05, ..turn }));
        assert!(told.ends_with("is MISSED"), "{told}");
    }
}
