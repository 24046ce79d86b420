//! What a change of the configuration means, in words: a line for each thing that will be otherwise.
//!
//! Two configurations are compared by what they mean, not by how they are written. Every field of a configuration is
//! taken apart by name here, so that a new one does not compile until it has been given words. Secrets are compared,
//! and never shown. Whether and how a change is made is not known here.

mod budgets;
mod callers;
mod models;
mod rules;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use genops::telemetry::{Compression, Otlp, Protocol, Signal, Signals, Webhook};
use genops::{Destination, LedgerPlace, Retention};
use serde::Serialize;

use super::Config;

/// One thing that is otherwise in another configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of thing.
    pub section: Section,
    /// Its name; `None` where the section is one thing, or the change concerns all of it.
    pub name: Option<String>,
    /// What is otherwise, for people.
    pub change: String,
    /// From when on.
    pub takes_effect: TakesEffect,
}

/// What kind of thing a change is about, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `listen`
    Listen,
    /// `ledger`
    Ledger,
    /// `retention`
    Retention,
    /// `telemetry`, and OpenTelemetry's variables of the environment
    Telemetry,
    /// `providers`
    Provider,
    /// `models`
    Model,
    /// `other_models`
    OtherModels,
    /// `mode`
    Mode,
    /// `allowed_models`
    ModelRule,
    /// `allowed_regions`
    RegionRule,
    /// `condition_headers`
    ConditionHeaders,
    /// `conditions`
    Condition,
    /// `content_rules`
    ContentRule,
    /// `rates`
    Rate,
    /// `tiers`
    Tier,
    /// `budgets`
    Budget,
    /// `keys`
    Key,
    /// `limits`
    Limits,
    /// `receipts`
    Receipts,
}

/// From when on a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TakesEffect {
    /// For every call that is decided after the change.
    AtOnce,
    /// Once the gateway is started anew.
    AtNextStart,
}

/// What is otherwise in `new` than in `old`, in the order of the file, and by name within a section. Empty where they
/// mean the same.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let Config {
        listen,
        ledger,
        retention,
        destinations,
        resource,
        policy,
        assessor,
        providers: _, // Each of these with what else is said of it.
        models: _,
        keys,
        body_bytes_max,
        in_flight_max,
        drain_within,
        receipt_key,
        inference: _, // Nobody can configure it.
    } = old;
    let mut changes = Changes::default();
    changes.one(Section::Listen, None, |it| {
        it.at_next_start().field("", listen, &new.listen, ToString::to_string, "");
    });
    changes.one(Section::Ledger, None, |it| {
        it.at_next_start().field("", ledger, &new.ledger, place, "");
    });
    changes.one(Section::Retention, None, |it| {
        it.at_next_start().field("", retention, &new.retention, kept, "");
    });
    telemetry(&mut changes, destinations, &new.destinations);
    changes.one(Section::Telemetry, None, |it| {
        if *resource != new.resource {
            it.at_next_start().say("what it is about (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) changed");
        }
    });
    models::compare(&mut changes, old, new);
    rules::compare(&mut changes, policy, &new.policy);
    changes.one(Section::ConditionHeaders, None, |it| {
        let [old, new] = [assessor, &new.assessor].map(|of| of.headers().iter().map(String::as_str));
        it.items("", old, new);
    });
    callers::compare(&mut changes, keys, &new.keys);
    changes.one(Section::Limits, None, |it| {
        it.field("the largest body", body_bytes_max, &new.body_bytes_max, bytes, "");
        it.at_next_start().field("calls at a time", in_flight_max, &new.in_flight_max, usize::to_string, "");
        let seconds = |time: &std::time::Duration| format!("{} s", time.as_secs());
        it.at_next_start().field("time to end when it stops", drain_within, &new.drain_within, seconds, "");
    });
    changes.one(Section::Receipts, None, |it| {
        let [old, new] = [receipt_key, &new.receipt_key].map(|key| key.as_ref().map(|key| key.public().id()));
        it.field("the key that signs", &old, &new, or("none"), "");
    });
    changes.sorted()
}

/// As [`diff`], for a process that was started with `started` and goes by `old` by now: what counts at its next start is
/// compared with what it was started with. What was told of that when `old` came is not told again.
#[must_use]
pub fn diff_of_running(started: &Config, old: &Config, new: &Config) -> Vec<Change> {
    let at_once = |change: &Change| change.takes_effect == TakesEffect::AtOnce;
    let told: Vec<_> = diff(started, old);
    let is_news = |change: &Change| !at_once(change) && !told.contains(change);
    let mut changes: Vec<_> = diff(old, new).into_iter().filter(at_once).collect();
    changes.extend(diff(started, new).into_iter().filter(is_news));
    Changes(changes).sorted()
}

impl Section {
    /// The words for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Ledger => "ledger",
            Self::Retention => "retention",
            Self::Telemetry => "telemetry",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::OtherModels => "other models",
            Self::Mode => "mode",
            Self::ModelRule => "model rule",
            Self::RegionRule => "region rule",
            Self::ConditionHeaders => "condition headers",
            Self::Condition => "condition",
            Self::ContentRule => "content rule",
            Self::Rate => "rate",
            Self::Tier => "tier",
            Self::Budget => "budget",
            Self::Key => "key",
            Self::Limits => "limits",
            Self::Receipts => "receipts",
        }
    }
}

/// For people: `budget search-month: limit 250 -> 300 USD: 50 more for team search`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section.as_str())?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, ": {}", self.change)?;
        match self.takes_effect {
            TakesEffect::AtOnce => Ok(()),
            TakesEffect::AtNextStart => f.write_str("; takes effect at the next start"),
        }
    }
}

// === how lines are put together ===

/// The changes that were found.
#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    /// Looks at one thing.
    fn one(&mut self, section: Section, name: Option<&str>, look: impl FnOnce(&mut Comparing<'_>)) {
        look(&mut Comparing { changes: self, section, name, takes_effect: TakesEffect::AtOnce });
    }

    /// Looks at things of a kind that have names: what is added, what is removed, what is otherwise.
    fn each<T: Entry>(&mut self, section: Section, old: &[T], new: &[T]) {
        let before: BTreeMap<_, _> = old.iter().map(|entry| (entry.name(), entry)).collect();
        let after: BTreeSet<_> = new.iter().map(Entry::name).collect();
        for entry in old.iter().filter(|entry| !after.contains(entry.name())) {
            self.one(section, Some(entry.name()), |it| it.say(format!("removed; {}", entry.removed())));
        }
        for entry in new {
            self.one(section, Some(entry.name()), |it| match before.get(entry.name()) {
                None => it.say(format!("added: {}", entry.added())),
                Some(before) => before.compare(entry, it),
            });
        }
    }

    /// As [`each`](Self::each), for things that are asked in order; `matters` says what the order is for.
    fn each_in_order<T: Entry>(&mut self, section: Section, old: &[T], new: &[T], matters: &str) {
        self.each(section, old, new);
        let names = |of: &[T], beside: &[T]| -> Vec<String> {
            let known: BTreeSet<_> = beside.iter().map(Entry::name).collect();
            of.iter().map(Entry::name).filter(|name| known.contains(name)).map(str::to_owned).collect()
        };
        let (before, after) = (names(old, new), names(new, old));
        if before != after {
            let order = listed(&after);
            self.one(section, None, |it| it.say(format!("the order is now {order}: {matters}")));
        }
    }

    fn sorted(mut self) -> Vec<Change> {
        // Stable: the lines about one thing stay in their order.
        self.0.sort_by(|one, other| (one.section, &one.name).cmp(&(other.section, &other.name)));
        self.0
    }
}

/// One of several things of a kind.
trait Entry {
    /// Its name, by which it is the same thing before and after.
    fn name(&self) -> &str;

    /// What it means that it is there now.
    fn added(&self) -> String;

    /// What it means that it is gone.
    fn removed(&self) -> String;

    /// What is otherwise.
    fn compare(&self, new: &Self, it: &mut Comparing<'_>);
}

/// One thing while it is being compared.
struct Comparing<'a> {
    changes: &'a mut Changes,
    section: Section,
    name: Option<&'a str>,
    takes_effect: TakesEffect,
}

impl Comparing<'_> {
    /// What is said from here on cannot change while the gateway runs.
    const fn at_next_start(&mut self) -> &mut Self {
        self.takes_effect = TakesEffect::AtNextStart;
        self
    }

    /// Says that something is otherwise.
    fn say(&mut self, change: impl Into<String>) {
        let (section, name) = (self.section, self.name.map(str::to_owned));
        let change = Change { section, name, change: change.into(), takes_effect: self.takes_effect };
        self.changes.0.push(change);
    }

    /// A field that has a value: says what it was and is, and what that means.
    fn field<T: PartialEq>(
        &mut self,
        field: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
        means: &str,
    ) {
        if old == new {
            return;
        }
        let space = if field.is_empty() { "" } else { " " };
        let colon = if means.is_empty() { "" } else { ": " };
        self.say(format!("{field}{space}{} -> {}{colon}{means}", show(old), show(new)));
    }

    /// A field that says yes or no: says what holds now.
    fn flag(&mut self, old: bool, new: bool, on: &str, off: &str) {
        if old != new {
            self.say(if new { on } else { off });
        }
    }

    /// A field that holds several things in no order: says which came and went.
    fn items<'b>(
        &mut self,
        field: &str,
        old: impl Iterator<Item = &'b str>,
        new: impl Iterator<Item = &'b str>,
    ) {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.collect(), new.collect());
        let space = if field.is_empty() { "" } else { " " };
        let parts = [("added", new.difference(&old)), ("removed", old.difference(&new))];
        let parts = parts.map(|(what, items)| {
            let items: Vec<_> = items.map(|item| one_line(item)).collect();
            (!items.is_empty()).then(|| format!("{what} {}", listed(&items)))
        });
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            self.say(format!("{field}{space}{}", parts.join(", ")));
        }
    }
}

/// Somebody who wants all of a long list looks into the file.
const LISTED_MAX: usize = 10;

/// Names in a row; of many, the first.
pub(super) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<_> = items.iter().take(LISTED_MAX).map(AsRef::as_ref).collect();
    let more = items.len().saturating_sub(LISTED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

/// As much of a text as is shown of it.
const SHOWN_CHARS_MAX: usize = 100;

/// A text that may be long and have several lines, as far as it is shown.
fn one_line(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value that may be absent; `otherwise` says what that means.
fn or<T: ToString>(otherwise: &str) -> impl Fn(&Option<T>) -> String {
    move |value| value.as_ref().map_or_else(|| otherwise.to_owned(), ToString::to_string)
}

fn kept(retention: &Option<Retention>) -> String {
    retention.as_ref().map_or_else(
        || "entries stay".to_owned(),
        |retention| {
            let (days, folder) = (retention.days(), retention.archive_to.display());
            format!("entries older than {days} days leave for `{folder}`")
        },
    )
}

fn place(ledger: &LedgerPlace) -> String {
    match ledger {
        LedgerPlace::File(path) => path.display().to_string(),
        LedgerPlace::Memory => "in memory".to_owned(),
    }
}

fn bytes(bytes: &usize) -> String {
    format!("{bytes} bytes")
}

// === telemetry ===

fn telemetry(changes: &mut Changes, old: &[Destination], new: &[Destination]) {
    let named = |destinations: &[Destination]| -> BTreeMap<String, Destination> {
        destinations.iter().map(|destination| (label(destination), destination.clone())).collect()
    };
    let (old, new) = (named(old), named(new));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        changes.one(Section::Telemetry, Some(name), |it| {
            let it = it.at_next_start();
            match (old.get(name), new.get(name)) {
                (None, Some(Destination::Webhook(_))) => {
                    it.say("added: every alert from then on is told there");
                }
                (None, _) => it.say("added: everything from then on is sent there"),
                (Some(Destination::Webhook(_)), None) => it.say("removed; no alert is told there any more"),
                (_, None) => it.say("removed; nothing is sent there any more"),
                (Some(Destination::Otlp(old)), Some(Destination::Otlp(new))) => collector(it, old, new),
                (Some(Destination::Webhook(old)), Some(Destination::Webhook(new))) => webhook(it, old, new),
                // A directory is its path.
                _ => {}
            }
        });
    }
}

/// What a destination is known by.
fn label(destination: &Destination) -> String {
    match destination {
        Destination::Otlp(otlp) => match otlp.signals {
            Signals::Both => otlp.endpoint.to_string(),
            Signals::Only(Signal::Traces) => format!("{} (traces)", otlp.endpoint),
            Signals::Only(Signal::Logs) => format!("{} (log records)", otlp.endpoint),
            Signals::Only(Signal::Alerts) => format!("{} (alerts)", otlp.endpoint),
        },
        Destination::Directory { path } => format!("directory {}", path.display()),
        Destination::Webhook(webhook) => format!("webhook {}", webhook.place()),
    }
}

/// They may be secret.
const HEADERS_CHANGED: &str = "the headers that are sent to it changed";

fn collector(it: &mut Comparing<'_>, old: &Otlp, new: &Otlp) {
    let Otlp { endpoint: _, signals: _, protocol, headers, compression, timeout } = old;
    let how = |protocol: &Protocol| match protocol {
        Protocol::HttpProtobuf => "http/protobuf".to_owned(),
        Protocol::Grpc => "grpc".to_owned(),
    };
    it.field("protocol", protocol, &new.protocol, how, "");
    let compressed = |compression: &Compression| match compression {
        Compression::None => "none".to_owned(),
        Compression::Gzip => "gzip".to_owned(),
    };
    it.field("compression", compression, &new.compression, compressed, "");
    it.field("timeout", timeout, &new.timeout, |timeout| format!("{} ms", timeout.as_millis()), "");
    if *headers != new.headers {
        it.say(HEADERS_CHANGED);
    }
}

fn webhook(it: &mut Comparing<'_>, old: &Webhook, new: &Webhook) {
    // Its address is what it is known by.
    let Webhook { url: _, headers, timeout } = old;
    it.field("timeout", timeout, &new.timeout, |timeout| format!("{} ms", timeout.as_millis()), "");
    if *headers != new.headers {
        it.say(HEADERS_CHANGED);
    }
}
