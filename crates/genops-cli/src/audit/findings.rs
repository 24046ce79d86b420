//! What an audit finds: of which kind it is, what it is about, and why. How it is shown is not known here.

use std::collections::BTreeMap;

use genops::core::{Amount, AwuId, Name};
use serde::Serialize;

use super::facts::Difference;

/// In which way journal, telemetry and usage do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Charged in the journal, and not in the provider's usage.
    Unbilled,
    /// The provider bills a call that the journal does not know.
    Unaccounted,
    /// Both know it, and say different tokens or costs.
    Mispriced,
    /// Over in the journal, and its span or an event was not delivered.
    Missing,
    /// Telemetry says something else than the journal, or knows an AWU that the journal does not.
    Rewritten,
    /// Nobody knew what was used, and the provider says it: no failure, but worth a correction.
    Correction,
}

/// Something that does not match.
#[derive(Debug, Clone)]
pub struct Finding {
    /// In which way.
    pub kind: Kind,
    /// What it is about.
    pub about: About,
    /// Why, in a sentence for people.
    pub what: String,
    /// Where telemetry is not the journal.
    pub differences: Vec<Difference>,
}

/// What a finding is about.
#[derive(Debug, Clone)]
pub enum About {
    /// An AWU of the journal, by its place in the index.
    Awu(usize),
    /// An AWU that telemetry alone knows, if it says which.
    Stranger(Option<AwuId>),
    /// An entry of the journal that is about no AWU.
    Entry(u64),
    /// A row of the usage export, by its place.
    Row(usize),
    /// Everything of one model, and one day where rows say when.
    Sums(Box<Sums>),
}

/// What journal and provider have of one model.
#[derive(Debug, Clone)]
pub struct Sums {
    /// The day in UTC, where rows say when.
    pub day: Option<String>,
    /// The model.
    pub model: Name,
    /// What the journal has.
    pub journal: Billed,
    /// What the provider has.
    pub usage: Billed,
}

/// Tokens and cost, of one call or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Billed {
    /// How many calls; of usage, how many rows.
    pub calls: u64,
    /// Read by the model.
    pub input_tokens: u64,
    /// Of these, out of the provider's cache; absent where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Written by the model.
    pub output_tokens: u64,
    /// US dollars.
    #[serde(serialize_with = "as_text")]
    pub cost: Amount,
}

fn as_text<S: serde::Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// All findings, or so many that more would help nobody.
#[derive(Debug, Default)]
pub struct Findings {
    /// Those that are kept.
    pub all: Vec<Finding>,
    /// How many there are, of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// How many are counted and not kept.
    pub left_out: u64,
}

/// So many findings are kept. With more, somebody has audited what does not belong together.
const KEPT_MAX: usize = 100_000;

impl Kind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Unbilled,
        Self::Unaccounted,
        Self::Mispriced,
        Self::Missing,
        Self::Rewritten,
        Self::Correction,
    ];

    /// The code word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unbilled => "unbilled",
            Self::Unaccounted => "unaccounted",
            Self::Mispriced => "mispriced",
            Self::Missing => "missing",
            Self::Rewritten => "rewritten",
            Self::Correction => "correction",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unbilled => "charged in the journal, not in the provider's usage",
            Self::Unaccounted => "billed by the provider, and no call in the journal",
            Self::Mispriced => "tokens or cost differ",
            Self::Missing => "over in the journal, not delivered as telemetry",
            Self::Rewritten => "telemetry says something else than the journal",
            Self::Correction => "no failure: the provider knows what the journal could not",
        }
    }

    /// Whether something is wrong.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Correction)
    }
}

impl Findings {
    /// Adds a finding without differences.
    pub fn add(&mut self, kind: Kind, about: About, what: String) {
        self.keep(Finding { kind, about, what, differences: Vec::new() });
    }

    /// Adds a finding, or counts it.
    pub fn keep(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.all.len() < KEPT_MAX {
            self.all.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Whether anything is wrong.
    pub fn has_failures(&self) -> bool {
        Kind::ALL.iter().any(|kind| kind.is_failure() && self.count(*kind) > 0)
    }
}

impl Billed {
    /// With another one added.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost = self.cost.checked_add(other.cost).unwrap_or(Amount::MAX);
        // Of some is not of all.
        self.cached_input_tokens = match (self.calls > other.calls, self.cached_input_tokens) {
            (false, _) => other.cached_input_tokens,
            (true, Some(known)) => other.cached_input_tokens.map(|more| known.saturating_add(more)),
            (true, None) => None,
        };
    }

    /// Whether nothing was used.
    pub fn is_nothing(&self) -> bool {
        self.input_tokens == 0 && self.output_tokens == 0 && self.cost == Amount::ZERO
    }
}
