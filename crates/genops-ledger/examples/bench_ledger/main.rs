//! What `cargo xtask bench ledger` measures of the ledger, one part a process. It prints lines of figures for xtask.
//!
//!     bench_ledger FOLDER sizes
//!     bench_ledger FOLDER pairs (ledger|raw) CALLERS SECONDS
//!     bench_ledger FOLDER (cells|budgets) CALLERS SECONDS TURNS COUNT...
//!     bench_ledger FOLDER write ENTRIES
//!     bench_ledger FOLDER snapshot THROUGH
//!     bench_ledger FOLDER open
//!
//! A pair is an admission (the start is recorded with it) and the settlement of it, each waited for until it is
//! durable. The figures are for a machine that does nothing else.

mod closed_loop;
mod governed;
mod growth;
mod house;
mod raw;
mod recovery;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use closed_loop::measure;
use governed::OnLedger;
use house::{Calls, House};
use raw::RawAppends;

/// That of the program: raw appends have it as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Trouble = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Trouble> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = next(&mut arguments)?;
    let what: String = next(&mut arguments)?;
    match what.as_str() {
        "sizes" => {
            let sizes = Calls::new(House::Two)?.sizes()?;
            say(&format!("figures {} {}", sizes.admission, sizes.settlement))
        }
        "pairs" => {
            let subject: String = next(&mut arguments)?;
            pairs(&folder, &subject, next(&mut arguments)?, seconds(&mut arguments)?)
        }
        "cells" | "budgets" => {
            let callers = next(&mut arguments)?;
            let duration = seconds(&mut arguments)?;
            let turns = next(&mut arguments)?;
            let house = if what == "cells" { House::Teams } else { House::Path };
            let sizes =
                arguments.map(|count| Ok(house(count.parse()?))).collect::<Result<Vec<_>, Trouble>>()?;
            growth::run(&folder, &sizes, callers, duration, turns)
        }
        "write" => recovery::write(&folder, next(&mut arguments)?),
        "snapshot" => recovery::snapshot(&folder, next(&mut arguments)?),
        "open" => recovery::open(&folder),
        _ => Err(format!("`{what}` is not known").into()),
    }
}

/// Prints `figures PAIRS_PER_SECOND P50_MS P99_MS ENTRIES_PER_COMMIT`.
fn pairs(folder: &Path, subject: &str, callers: u64, duration: Duration) -> Result<(), Trouble> {
    let sample = match subject {
        "ledger" => {
            let ledger = OnLedger::begin(&folder.join("bench.db"), House::Two)?;
            measure(&Arc::new(ledger), callers, duration)?
        }
        "raw" => {
            let raw = RawAppends::open(&folder.join("raw.log"), &Calls::new(House::Two)?.sizes()?)?;
            measure(&Arc::new(raw), callers, duration)?
        }
        _ => return Err(format!("`{subject}` cannot be measured").into()),
    };
    let [pairs, commit] = [sample.pairs_per_second, sample.entries_per_commit];
    say(&format!("figures {pairs} {} {} {commit}", sample.p50_ms, sample.p99_ms))
}

fn next<T: FromStr<Err: Into<Trouble>>>(arguments: &mut impl Iterator<Item = String>) -> Result<T, Trouble> {
    arguments.next().ok_or("an argument is missing")?.parse().map_err(Into::into)
}

fn seconds(arguments: &mut impl Iterator<Item = String>) -> Result<Duration, Trouble> {
    Ok(Duration::from_secs(next(arguments)?))
}

/// A line for xtask, at once.
fn say(line: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
