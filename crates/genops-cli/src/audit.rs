//! `genops audit`: holds the journal, the telemetry that was delivered and the provider's usage against each other, AWU by
//! AWU, and says in the exit code whether they match.
//!
//! In reading order: [`journal`] (what was decided and charged), [`facts`] and [`telemetry`] (what was delivered),
//! [`usage`] and [`matching`] (what is billed), [`findings`], [`report`], [`text`]. Nothing is corrected here.

mod facts;
mod findings;
mod journal;
mod matching;
mod progress;
mod report;
mod telemetry;
mod text;
mod usage;

use std::ops::Range;
use std::process::ExitCode;

use genops::core::{Amount, Name, Timestamp};

use crate::arguments::{Auditing, Format};
use crate::output::{named, print_all};
use crate::simulate::recorded::rows;
use crate::{Trouble, read};
use findings::Findings;
use journal::Index;
use matching::Terms;
use report::{Audited, Report, Verdict};
use usage::Usage;

/// Compares, and says what does not match.
pub fn run(auditing: &Auditing) -> Result<ExitCode, Trouble> {
    let providers = auditing.provider.clone();
    let terms = Terms { times: times(auditing)?, tolerance: auditing.tolerance, providers };
    let mut index = Index::read(&auditing.ledger, &terms.times)?;
    let mut findings = Findings::default();
    let telemetry = match auditing.otlp.as_slice() {
        [] => None,
        paths => Some(telemetry::compare(paths, &mut index, &mut findings)?),
    };
    let usage = match auditing.usage.as_slice() {
        [] => None,
        paths => {
            let usage = Usage::read(paths, &mut index.models)?;
            let matched =
                matching::compare(&usage, &terms, &mut index, &mut findings).map_err(Trouble::unusable)?;
            Some((usage, matched))
        }
    };
    let ledger = named(&auditing.ledger);
    let providers = terms.providers;
    let report = Report::new(Audited { ledger, index: &index, telemetry, usage, providers, findings });
    match auditing.format {
        Format::Json => read::print_json(&report)?,
        Format::Table => print_all(&report.text(auditing.limit))?,
    }
    Ok(ExitCode::from(match report.verdict {
        Verdict::Match => 0,
        Verdict::Findings => 1,
        Verdict::Unread => 2,
        Verdict::Nothing => 3,
    }))
}

fn times(auditing: &Auditing) -> Result<Range<Timestamp>, Trouble> {
    let start = auditing.since.unwrap_or_default();
    let end = auditing.until.unwrap_or(Timestamp::from_nanos(u64::MAX));
    if start >= end {
        return Err(Trouble::unusable("--until has to be later than --since"));
    }
    Ok(start..end)
}

/// A time of `--since` and `--until`.
///
/// # Errors
///
/// It is none.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let what = "a day or a time is expected, such as 2026-11-01 or 2026-11-01T08:00:00Z; without an offset it is UTC";
    rows::time(text.as_bytes()).ok_or_else(|| what.to_owned())
}

/// A name of `--provider`.
///
/// # Errors
///
/// It is none.
pub fn provider(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|problem| format!("it {problem}"))
}

/// A number of US dollars of `--tolerance`.
///
/// # Errors
///
/// It is none, or less than nothing.
pub fn dollars(text: &str) -> Result<Amount, String> {
    match text.parse::<Amount>() {
        Ok(amount) if amount < Amount::ZERO => Err("it must not be less than 0".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(format!("it {error}")),
    }
}
