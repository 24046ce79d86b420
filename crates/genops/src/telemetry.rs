//! How far telemetry has come, what was rejected for good, and sending that again: as plain data that
//! serialises to the JSON of the API and of the commands.
//!
//! Nothing is sent here; the outbox does that.

use std::collections::BTreeSet;
use std::path::Path;

use genops_core::Timestamp;
use genops_core::cursor::{Cursor, DeadLetter};
use genops_ledger::followers::Followers;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::views::Views;
use genops_ledger::{Journal, StoreError};
pub use genops_telemetry::{Compression, Otlp, Protocol, Signal, Signals, Webhook};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::governor::Governor;
use crate::report::{Archive, ReportError};

/// Where every follower of the journal stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryReport {
    /// The followers: one for each destination and signal.
    pub followers: Vec<FollowerReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// One destination and signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowerReport {
    /// Its name: kind, place and signal.
    pub name: String,
    /// Whether the running server sends there. Absent in what is read from a file, which does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<bool>,
    /// Everything up to this entry has been delivered, or is among the dead letters.
    pub delivered_through: u64,
    /// How many entries wait to be told.
    pub waiting: u64,
    /// When the oldest of them was written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_at: Option<String>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_seconds: Option<u64>,
    /// What was rejected for good.
    pub dead_letters: Vec<DeadLetterReport>,
}

/// A request of which records were rejected for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterReport {
    /// It told from this entry …
    pub from: u64,
    /// … to this one.
    pub through: u64,
    /// How many records were rejected.
    pub records: u64,
    /// Why: in our words, and in the destination's where the request named no customer and no session.
    pub reason: String,
    /// Whether it is to be sent again.
    pub to_be_sent: bool,
}

/// What will be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResendReport {
    /// So many dead letters.
    pub dead_letters: u64,
    /// With so many rejected records. What was taken of the same requests is sent with them, identically.
    pub records: u64,
}

/// A follower of which nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForgetReport {
    /// Its name.
    pub follower: String,
    /// Everything up to this entry had been delivered there, or was among the dead letters.
    pub delivered_through: u64,
    /// So many entries after that were never told there.
    pub waiting: u64,
    /// So many requests were rejected there.
    pub dead_letters: u64,
    /// With so many rejected records.
    pub records: u64,
}

impl Governor {
    /// Where telemetry stands. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn telemetry(&self) -> Result<TelemetryReport, ReportError> {
        let mut followers = self.with_views(|views| views.followers())?;
        let configured = self.followers();
        for name in &configured {
            if !followers.cursors.iter().any(|(known, _)| known == name) {
                followers.cursors.push((name.clone(), Cursor::default()));
            }
        }
        let as_of = *self.durable().borrow();
        let mut report = report(followers, &mut self.ledger().journal()?, as_of, self.now())?;
        for follower in &mut report.followers {
            follower.configured = Some(configured.contains(&follower.name));
        }
        Ok(report)
    }

    /// Sends dead letters again: those of one follower, or all. Blocks for as long as a disk does; what comes
    /// of it stands in [`telemetry`](Self::telemetry). Those of a follower that is not set up wait for it.
    ///
    /// # Errors
    ///
    /// There is no such follower, or the tables cannot be written.
    pub fn resend(&self, follower: Option<&str>) -> Result<ResendReport, ReportError> {
        known(follower, &self.with_views(|views| views.followers())?, &self.followers())?;
        let marked = self.with_views(|views| views.mark_dead_letters(follower))?;
        if let Some(outbox) = self.outbox() {
            outbox.resend();
        }
        Ok(resend_report(&marked))
    }

    fn followers(&self) -> Vec<String> {
        let names = |to: &genops_telemetry::Destination| -> Vec<String> {
            to.signals().iter().map(|signal| to.follower(*signal)).collect()
        };
        self.settings().destinations.iter().flat_map(names).collect()
    }
}

/// Where telemetry stands, from a ledger file that a server may have open.
///
/// # Errors
///
/// There is no ledger, or it is damaged.
pub fn telemetry_of_file(path: &Path, now: Timestamp) -> Result<TelemetryReport, ReportError> {
    // The followers first: so none of them can be ahead of the journal.
    let followers = Followers::beside(path)?;
    let as_of = Archive::open(path)?.books().sequence();
    report(followers, &mut Journal::new(Box::new(SqliteStore::read(path)?)), as_of, now)
}

/// Marks dead letters in a ledger file to be sent again by the next server that opens it: those of one
/// follower, or all.
///
/// # Errors
///
/// There is no ledger, or no such follower, a server holds the ledger, or the tables cannot be written.
pub fn resend_in_file(path: &Path, follower: Option<&str>) -> Result<ResendReport, ReportError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.display().to_string() }.into());
    }
    let held = SqliteStore::open(path)?;
    let views = Views::beside(path)?;
    known(follower, &views.followers()?, &[])?;
    let marked = views.mark_dead_letters(follower)?;
    drop(held);
    Ok(resend_report(&marked))
}

/// Forgets a follower in a ledger file: its place in the journal, and its dead letters. So it keeps no entry from being
/// archived any more. If a server sends there again, it begins with the first entry that is there, or, where it
/// tells a webhook of alerts, with what comes. Without `is_meant`, nothing is done, and what would be forgotten is told.
///
/// # Errors
///
/// There is no ledger, or no such follower, a server holds the ledger, or the tables cannot be written.
pub fn forget_in_file(path: &Path, follower: &str, is_meant: bool) -> Result<ForgetReport, ReportError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.display().to_string() }.into());
    }
    let _held = SqliteStore::open(path)?;
    let mut views = Views::beside(path)?;
    let left = views.followers()?;
    known(Some(follower), &left, &[])?;
    let through =
        left.cursors.iter().find(|(name, _)| name == follower).map_or(0, |(_, place)| place.through);
    let letters: Vec<_> = left.dead_letters.iter().filter(|letter| letter.follower == follower).collect();
    let report = ForgetReport {
        follower: follower.to_owned(),
        delivered_through: through,
        waiting: Archive::open(path)?.books().sequence().saturating_sub(through),
        dead_letters: letters.len() as u64,
        records: letters.iter().map(|letter| letter.records).sum(),
    };
    if is_meant {
        views.forget(follower)?;
    }
    Ok(report)
}

/// Whether there is a follower of this name: one that has left something, or is set up.
fn known(name: Option<&str>, left: &Followers, configured: &[String]) -> Result<(), ReportError> {
    let Some(name) = name else { return Ok(()) };
    let cursors = left.cursors.iter().map(|(name, _)| name);
    let letters = left.dead_letters.iter().map(|letter| &letter.follower);
    let all: BTreeSet<_> = cursors.chain(letters).chain(configured).map(String::as_str).collect();
    if all.contains(name) {
        return Ok(());
    }
    let known = if all.is_empty() { "none".to_owned() } else { Vec::from_iter(all).join(", ") };
    Err(ReportError::NoFollower { name: name.to_owned(), known })
}

fn resend_report(marked: &[DeadLetter]) -> ResendReport {
    ResendReport {
        dead_letters: marked.len() as u64,
        records: marked.iter().map(|letter| letter.records).sum(),
    }
}

fn report(
    followers: Followers,
    journal: &mut Journal,
    as_of: u64,
    now: Timestamp,
) -> Result<TelemetryReport, ReportError> {
    let Followers { mut cursors, dead_letters } = followers;
    for letter in &dead_letters {
        // A dead letter is noted before the cursor moves for the first time.
        if !cursors.iter().any(|(name, _)| *name == letter.follower) {
            cursors.push((letter.follower.clone(), Cursor::default()));
        }
    }
    cursors.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let archived = journal.archived()?;
    let mut reports = Vec::with_capacity(cursors.len());
    for (name, cursor) in cursors {
        // Whoever has no place yet begins with what is there.
        let through = cursor.through.max(archived);
        let waiting = as_of.saturating_sub(through);
        let oldest = if waiting > 0 { journal.entry(through.saturating_add(1))? } else { None };
        let oldest = oldest.map(|journaled| journaled.entry.at);
        let dead_letters = dead_letters.iter().filter(|letter| letter.follower == name);
        reports.push(FollowerReport {
            configured: None,
            delivered_through: through,
            waiting,
            oldest_waiting_at: oldest.map(|at| at.to_string()),
            oldest_waiting_seconds: oldest.map(|at| now.nanos().saturating_sub(at.nanos()) / 1_000_000_000),
            dead_letters: dead_letters.map(dead_letter_report).collect(),
            name,
        });
    }
    Ok(TelemetryReport { followers: reports, as_of })
}

fn dead_letter_report(letter: &DeadLetter) -> DeadLetterReport {
    DeadLetterReport {
        from: letter.after.saturating_add(1),
        through: letter.through,
        records: letter.records,
        reason: letter.reason.clone(),
        to_be_sent: letter.again,
    }
}
