//! Pairs a second at some numbers of callers: the ledger, raw appends, PostgreSQL and Redis, taking turns.
//!
//! A pair is an admission into two cells and its settlement, two calls one after the other, each answered when it is
//! durable. All callers use the same two cells, but where it says otherwise.

use std::path::{Path, PathBuf};

use super::example::Example;
use super::postgres::{self, Cells, Postgres};
use super::redis::{self, Sync};
use super::{Options, Report, Sizes, ratio, whole};
use crate::bench::statistics::{median, spread};
use crate::children;
use crate::table::Table;

const HEADINGS: [&str; 7] = [
    ">callers",
    "subject",
    ">pairs/s median [min..max]",
    ">ratio to raw",
    ">p50 ms",
    ">p99 ms",
    ">entries a commit",
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Ledger,
    Raw,
    Postgres(Cells),
    Redis(Sync),
}

impl Subject {
    /// In the order in which they take turns.
    const ALL: [Self; 6] = [
        Self::Ledger,
        Self::Raw,
        Self::Postgres(Cells::Same),
        Self::Postgres(Cells::Apart),
        Self::Redis(Sync::Always),
        Self::Redis(Sync::EverySecond),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Raw => "raw",
            Self::Postgres(Cells::Same) => "PostgreSQL",
            Self::Postgres(Cells::Apart) => "PostgreSQL, cells apart",
            Self::Redis(Sync::Always) => "Redis, synced",
            Self::Redis(Sync::EverySecond) => "Redis, not durable",
        }
    }
}

/// What is measured, and what it needs.
struct Bench<'a> {
    example: &'a Example,
    sizes: Sizes,
    postgres: Option<Postgres>,
    redis: Option<PathBuf>,
}

/// What one subject came to in each turn.
#[derive(Default)]
struct Samples {
    pairs: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    entries_a_commit: Vec<f64>,
}

pub fn run(example: &Example, folder: &Path, options: &Options, report: &mut Report) -> Result<(), String> {
    let bench = Bench::start(example, folder, options)?;
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(|subject| bench.has(*subject)).collect();
    let mut table = Table::new(&HEADINGS);
    for callers in &options.callers {
        let mut measured: Vec<(Subject, Samples)> =
            subjects.iter().map(|subject| (*subject, Samples::default())).collect();
        for turn in 1..=options.turns {
            for (subject, samples) in &mut measured {
                bench.measure(*subject, *callers, options.seconds, samples)?;
                let pairs = samples.pairs.last().copied().unwrap_or(f64::NAN);
                println!("== {callers} callers, turn {turn}: {}: {pairs:.0} pairs/s", subject.name());
            }
            measured.reverse();
        }
        measured.sort_by_key(|(subject, _)| Subject::ALL.iter().position(|one| one == subject));
        let raw = measured.iter().find(|(subject, _)| *subject == Subject::Raw);
        let raw = raw.map(|(_, samples)| samples.pairs.clone()).unwrap_or_default();
        for (subject, samples) in &measured {
            table.row(samples.row(*callers, *subject, &raw));
        }
    }
    report.tables.push(table);
    report.notes.extend(bench.notes());
    Ok(())
}

impl<'a> Bench<'a> {
    fn start(example: &'a Example, folder: &Path, options: &Options) -> Result<Self, String> {
        let [admission, settlement] = example.figures("sizes", &[])?;
        let sizes = Sizes { admission: whole(admission)?, settlement: whole(settlement)? };
        let most = options.callers.iter().copied().max().unwrap_or(1);
        let postgres = match postgres::programs() {
            Some(programs) => {
                println!("== starting PostgreSQL");
                Some(Postgres::start(programs, &folder.join("postgres"), most, &sizes)?)
            }
            None => None,
        };
        let redis =
            redis::PROGRAMS.iter().all(|name| children::is_installed(name)).then(|| folder.join("redis"));
        Ok(Self { example, sizes, postgres, redis })
    }

    const fn has(&self, subject: Subject) -> bool {
        match subject {
            Subject::Ledger | Subject::Raw => true,
            Subject::Postgres(_) => self.postgres.is_some(),
            Subject::Redis(_) => self.redis.is_some(),
        }
    }

    fn measure(
        &self,
        subject: Subject,
        callers: u32,
        seconds: u32,
        samples: &mut Samples,
    ) -> Result<(), String> {
        match (subject, &self.postgres, &self.redis) {
            (Subject::Ledger | Subject::Raw, ..) => {
                let arguments = [subject.name().to_owned(), callers.to_string(), seconds.to_string()];
                let [pairs, p50, p99, entries] = self.example.figures("pairs", &arguments)?;
                samples.pairs.push(pairs);
                samples.p50_ms.push(p50);
                samples.p99_ms.push(p99);
                samples.entries_a_commit.push(entries);
            }
            (Subject::Postgres(cells), Some(postgres), _) => {
                samples.pairs.push(postgres.measure(cells, callers, seconds)?);
            }
            (Subject::Redis(sync), _, Some(folder)) => {
                samples.pairs.push(redis::measure(folder, sync, callers, seconds, &self.sizes)?);
            }
            // Not installed, and so not asked.
            (Subject::Postgres(_), None, _) | (Subject::Redis(_), _, None) => {}
        }
        Ok(())
    }

    /// What is not equal, and what is missing.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "a pair is an admission into two cells ({} bytes in the journal) and its settlement ({} bytes): two calls, \
             each answered when it is durable; the ledger and raw appends are called in their own process, the \
             servers over loopback",
            self.sizes.admission, self.sizes.settlement
        )];
        if self.postgres.is_some() {
            notes.push(
                "PostgreSQL: defaults but for max_connections, two prepared statements a pair, integers of 64 bits; a \
                 call holds the rows of its cells until its commit is synced, so that callers of the same cells \
                 commit one after the other; `cells apart` gives each caller two of its own, which the ledger is not \
                 given"
                    .to_owned(),
            );
        } else {
            notes.push(missing("PostgreSQL", "postgresql"));
        }
        if self.redis.is_some() {
            notes.push(
                "Redis: numbers are doubles in Lua, exact up to 2^53; the journal is a stream that stays in memory; a \
                 call settles the AWU that it names if it is open, or else admits it, so that two calls are a pair; \
                 `not durable` syncs once a second and loses what was answered since"
                    .to_owned(),
            );
        } else {
            notes.push(missing("Redis", "redis-server redis-tools"));
        }
        notes
    }
}

fn missing(what: &str, packages: &str) -> String {
    format!("{what} is not installed and was left out; to install it: apt-get install -y {packages}")
}

impl Samples {
    fn row(&self, callers: u32, subject: Subject, raw: &[f64]) -> Vec<String> {
        let figure = |values: &[f64], digits: usize| match values {
            [] => String::new(),
            values => format!("{:.digits$}", median(values)),
        };
        vec![
            callers.to_string(),
            subject.name().to_owned(),
            spread(&self.pairs),
            format!("{:.3}", ratio(&self.pairs, raw)),
            figure(&self.p50_ms, 3),
            figure(&self.p99_ms, 3),
            figure(&self.entries_a_commit, 1),
        ]
    }
}
