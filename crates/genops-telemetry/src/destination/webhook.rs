//! Webhooks: the alerts of budgets as JSON, one POST for those that come together.
//!
//! The body is `{"alerts": [...]}`. Each alert has an `id` that it keeps when it is sent again, so that a receiver can drop
//! what it has seen. How a request is sent, and when again, is the same as for collectors.

use std::time::Duration;

use genops_core::ledger::{Alert, Entry};
use genops_core::news;
use genops_core::record::AwuRecord;
use genops_core::{Digest, Name, hex};
use http::Uri;
use serde_json::{Value as Json, json};

/// An address that is told of alerts.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The address. Its path and what stands behind it may be secret, as those of chat services are.
    pub url: Uri,
    /// Headers for every request. They may be secret.
    pub headers: Vec<(String, String)>,
    /// A receiver that does not answer within this time is tried again later.
    pub timeout: Duration,
}

impl Webhook {
    /// A webhook without headers.
    #[must_use]
    pub const fn at(url: Uri) -> Self {
        Self { url, headers: Vec::new(), timeout: Duration::from_secs(10) }
    }

    /// Where it is, without what may be secret: the server, and a mark of its own for the rest.
    #[must_use]
    pub fn place(&self) -> String {
        const MARK: usize = 8;
        let scheme = self.url.scheme_str().unwrap_or("http");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let digest = Digest::of("genops webhook", &[self.url.to_string().as_bytes()]);
        let mark: String = hex::text(digest.bytes()).chars().take(MARK).collect();
        format!("{scheme}://{host}{port} #{mark}")
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// The alerts of an entry, without so many of the first.
pub fn alerts(entry: &Entry, without: usize) -> impl Iterator<Item = Json> {
    let awu = AwuRecord::subject(&entry.command).map(|awu| awu.to_string());
    let alert = move |(place, alert): (usize, &Alert)| {
        let Alert { cell: _, key, percent, used, allocated } = alert;
        let (window, unit) = (key.window.to_string(), key.unit.to_string());
        json!({
            "id": format!("{}-{}", entry.sequence, place + 1),
            "sequence": entry.sequence,
            "at": entry.at.to_string(),
            "budget": key.budget_name(),
            "each": key.each.iter().map(|share| share.value.as_ref().map(Name::as_str)).collect::<Vec<_>>(),
            "window": window,
            "unit": unit,
            "percent": percent,
            "used": used.to_string(),
            "allocated": allocated.to_string(),
            "awu": awu,
            "text": format!("Budget {key}, {window}: {used} of {allocated} {unit} used, {percent} % reached."),
        })
    };
    news::alerts(&entry.outcome).iter().enumerate().skip(without).map(alert)
}

/// The body of a request.
pub fn body(alerts: &[Json]) -> Json {
    json!({ "alerts": alerts })
}
