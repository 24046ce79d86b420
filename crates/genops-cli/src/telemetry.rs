//! `genops telemetry`: how far telemetry has come, sending again what a collector rejected, at a running server or in a ledger
//! file, and letting go of a destination in a file.

use genops::ledger::StoreError;
use genops::report::ReportError;
use genops::telemetry::{
    ForgetReport, ResendReport, TelemetryReport, forget_in_file, resend_in_file, telemetry_of_file,
};
use serde_json::json;

use crate::arguments::{Forgetting, Format, Resending, Source};
use crate::output::{print_all, say};
use crate::read::{ask, print_json};
use crate::{Trouble, table};

/// A collector that rejects everything for a day leaves more than anybody reads.
const DEAD_LETTERS_SHOWN: usize = 20;

/// Shows where every follower stands.
pub async fn status(source: &Source) -> Result<(), Trouble> {
    let report: TelemetryReport = match &source.server {
        Some(server) => ask(server, "/genops/v1/telemetry", None).await?,
        None => telemetry_of_file(&source.ledger, genops::clock::wall()).map_err(Trouble::failed)?,
    };
    if source.format == Format::Json {
        return print_json(&report);
    }
    if report.followers.is_empty() {
        say!("nothing has been sent anywhere");
        return Ok(());
    }
    let rows = report.followers.iter().map(|follower| {
        let age = follower.oldest_waiting_seconds.map(|seconds| format!("{seconds} s"));
        let note = if follower.configured == Some(false) { "not configured any more" } else { "" };
        vec![
            follower.name.clone(),
            follower.delivered_through.to_string(),
            follower.waiting.to_string(),
            age.unwrap_or_default(),
            follower.dead_letters.len().to_string(),
            note.to_owned(),
        ]
    });
    let headings = ["FOLLOWER", ">DELIVERED THROUGH", ">WAITING", ">OLDEST", ">DEAD LETTERS", "NOTE"];
    table::print(&headings, rows.collect());
    print_dead_letters(&report);
    say!("as of entry {}", report.as_of);
    Ok(())
}

fn print_dead_letters(report: &TelemetryReport) {
    let letters = report.followers.iter().flat_map(|follower| {
        follower.dead_letters.iter().map(|letter| {
            vec![
                follower.name.clone(),
                format!("{} to {}", letter.from, letter.through),
                letter.records.to_string(),
                if letter.to_be_sent { "to be sent again" } else { "" }.to_owned(),
                letter.reason.clone(),
            ]
        })
    });
    let mut rows: Vec<_> = letters.collect();
    if rows.is_empty() {
        return;
    }
    let more = rows.len().saturating_sub(DEAD_LETTERS_SHOWN);
    rows.truncate(DEAD_LETTERS_SHOWN);
    say!();
    table::print(&["DEAD LETTER OF", "ENTRIES", ">RECORDS", "STATE", "REASON"], rows);
    if more > 0 {
        say!("and {more} more; `--format json` shows all");
    }
}

/// Has dead letters sent again.
pub async fn resend(resending: &Resending) -> Result<(), Trouble> {
    let Resending { follower, server, ledger, format, .. } = resending;
    let (report, when): (ResendReport, _) = match server {
        Some(server) => {
            let wanted = follower.as_ref().map_or(json!({ "all": true }), |name| json!({ "follower": name }));
            let report = ask(server, "/genops/v1/telemetry/resend", Some(wanted.to_string())).await?;
            (report, "now; `genops telemetry status` shows what comes of it")
        }
        None => {
            let report = resend_in_file(ledger, follower.as_deref()).map_err(in_words)?;
            (report, "when a server opens the ledger")
        }
    };
    if *format == Format::Json {
        return print_json(&report);
    }
    let told = match (report.dead_letters, follower) {
        (0, None) => "there is no dead letter".to_owned(),
        (0, Some(name)) => {
            format!("there is no dead letter of `{name}`; `genops telemetry status` shows all")
        }
        (count, _) => {
            format!("dead letters: {count}, records: {}; they are sent again {when}", report.records)
        }
    };
    say!("{told}");
    Ok(())
}

/// Lets go of a follower.
pub fn forget(forgetting: &Forgetting) -> Result<(), Trouble> {
    let Forgetting { follower, ledger, yes, format } = forgetting;
    let forgotten = forget_in_file(ledger, follower, *yes).map_err(|error| match error {
        ReportError::Store(StoreError::Held { path }) => {
            Trouble::failed(format!("a server holds the ledger `{path}`; stop it first"))
        }
        error => Trouble::failed(error),
    })?;
    let ForgetReport { delivered_through, waiting, dead_letters, records, .. } = forgotten;
    let lost = format!(
        "it had delivered what stands through entry {delivered_through}; entries that were never told there: {waiting}; dead \
         letters: {dead_letters}, records: {records}"
    );
    if !yes {
        return Err(Trouble::unusable(format!(
            "`{follower}` would be forgotten: {lost}. Say --yes if that is meant"
        )));
    }
    match format {
        Format::Json => print_json(&forgotten),
        Format::Table => print_all(&format!("`{follower}` is forgotten: {lost}\n")),
    }
}

fn in_words(error: ReportError) -> Trouble {
    match error {
        ReportError::Store(StoreError::Held { path }) => Trouble::failed(format!(
            "a server holds the ledger `{path}`; ask it with `--server URL`, or stop it first"
        )),
        error => Trouble::failed(error),
    }
}
