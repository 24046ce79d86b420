//! Recorded traffic: model calls of the past, from wherever somebody kept them, in the order of time.
//!
//! A [`Recorded`] is one call, kept small: what it was labelled with is kept once for all calls with the same
//! [`Labels`]. [`rows`] reads tables (CSV), [`spans`] reads traces (OTLP). Both give what was recorded and nothing
//! else: what is not there is `None`, never guessed. Nothing is priced or decided here.
//!
//! Everything stays in memory, since calls are sorted by time: about 100 bytes a call, and no more than
//! [`CALLS_MAX`] calls.

use core::fmt;
use std::collections::BTreeMap;
use std::io;

use genops_conformance::input::{InputError, Notes};
use genops_core::selector::Facet;
use genops_core::{Name, Timestamp};

use distinct::Distinct;

pub mod distinct;
pub mod rows;
pub mod spans;

/// So many calls are kept.
pub const CALLS_MAX: usize = 10_000_000;

/// So many different [`Labels`] are kept.
pub const LABELS_MAX: usize = 1_000_000;

/// One model call of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// When it began.
    pub at: Timestamp,
    /// What it was labelled with; [`Traffic::labels`] has it.
    pub labels: LabelsId,
    /// Tokens that it read, those from a cache among them.
    pub context_tokens: Option<u32>,
    /// Of these, how many were read from the provider's cache; 0 where nobody says.
    pub cached_tokens: u32,
    /// Of these, how many were written to the provider's cache; 0 where nobody says.
    pub cache_write_tokens: u32,
    /// Tokens that it wrote.
    pub generated_tokens: Option<u32>,
    /// How many tokens it was allowed to write, where the caller said so.
    pub output_limit: Option<u32>,
    /// How long it took, in nanoseconds.
    pub latency_ns: Option<u64>,
    /// It failed.
    pub failed: bool,
    /// Where it was recorded; [`Traffic::place`] has it in words.
    pub place: Place,
}

/// What a call was labelled with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels([Option<Name>; Facet::ALL.len()]);

/// [`Labels`] by number: the first are 0, the next 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelsId(u32);

/// Where a call was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    source: u32,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A line, from 1.
    Line(u64),
    /// A span, by its identifier.
    Span(u64),
}

/// Recorded calls in the order in which they began; those of one instant in the order in which they were read.
#[derive(Debug, Default)]
pub struct Traffic {
    calls: Vec<Recorded>,
    labels: Distinct<Labels>,
    sources: Vec<Source>,
}

/// What one source of calls gave, and what it did not.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Its path, as it was given.
    pub name: String,
    /// How many calls it gave.
    pub calls: u64,
    /// How many things it holds were passed over because they are no calls of their own, by what they are.
    pub passed_over: BTreeMap<PassedOver, u64>,
    /// How many calls have a label, by the label and the column or attribute that it came from.
    pub origins: BTreeMap<(Facet, String), u64>,
    /// What could not be read, and why.
    pub problems: Notes,
}

/// Why something in a trace is no call of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassedOver {
    /// A span of other work.
    OtherWork,
    /// A span that was told before.
    Repeated,
    /// A span around another one of the same call, or in it.
    SameCall,
    /// An AWU without a model call: one that was refused, or released. What it would have used is not known.
    AwuWithoutCall,
}

/// Traffic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system does not let it be read.
    #[error("cannot read `{name}`: {error}")]
    System {
        /// The path.
        name: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A table without the columns that it needs, or with one of them twice.
    #[error(
        "`{name}` cannot be used: {problem}. Its first line has to name the columns, separated by commas: TIMESTAMP, \
         ContextTokens and GeneratedTokens, and any of latency_ms, output_limit, {}",
        all_labels()
    )]
    Columns {
        /// The path.
        name: String,
        /// Which columns are missing, or stand there twice.
        problem: String,
    },
    /// Telemetry of which nothing can be read.
    #[error(transparent)]
    Telemetry(#[from] InputError),
    /// No call in it.
    #[error("there is no model call in `{name}`{}", because(problem.as_deref()))]
    Nothing {
        /// The path.
        name: String,
        /// The first thing that is wrong with it.
        problem: Option<String>,
    },
    /// More than is kept.
    #[error("there are more than {max} {what}: simulate a shorter time, or a part of the traffic")]
    TooMany {
        /// How many are kept.
        max: usize,
        /// Of what.
        what: &'static str,
    },
}

fn because(problem: Option<&str>) -> String {
    problem.map(|problem| format!(": {problem}")).unwrap_or_default()
}

/// Every label in words.
pub(crate) fn all_labels() -> String {
    Facet::ALL.map(Facet::as_str).join(", ")
}

impl Labels {
    /// What a call has for a label.
    #[must_use]
    pub fn get(&self, label: Facet) -> Option<&Name> {
        self.0.get(label as usize)?.as_ref()
    }

    fn set(&mut self, label: Facet, name: Name) {
        if let Some(place) = self.0.get_mut(label as usize) {
            *place = Some(name);
        }
    }
}

impl LabelsId {
    /// The number, for a list with something for each of the different labels.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

impl PassedOver {
    /// What it is, in words, for more than one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherWork => "spans of other work",
            Self::Repeated => "spans that were told before",
            Self::SameCall => "spans of a call that is told by another span",
            Self::AwuWithoutCall => "AWUs without a model call (what they would have used is not known)",
        }
    }
}

impl Traffic {
    /// The calls, in order.
    #[must_use]
    pub fn calls(&self) -> &[Recorded] {
        &self.calls
    }

    /// What a call of this traffic was labelled with.
    #[must_use]
    pub fn labels(&self, call: &Recorded) -> Option<&Labels> {
        self.labels.get(call.labels.0)
    }

    /// A place of this traffic, for people.
    #[must_use]
    pub fn place(&self, place: Place) -> String {
        let source = usize::try_from(place.source).ok().and_then(|source| self.sources.get(source));
        let name = source.map_or("", |source| source.name.as_str());
        format!("{name}, {}", place.at)
    }

    /// What every source gave.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Where something stands in the source that is being read, which is the next one to be kept.
    fn here(&self, at: At) -> Place {
        Place { source: u32::try_from(self.sources.len()).unwrap_or(u32::MAX), at }
    }

    fn add(&mut self, call: Recorded) -> Result<(), ReadError> {
        if self.calls.len() == CALLS_MAX {
            return Err(ReadError::TooMany { max: CALLS_MAX, what: "calls" });
        }
        self.calls.push(call);
        Ok(())
    }

    fn label(&mut self, labels: Labels) -> Result<LabelsId, ReadError> {
        let too_many = ReadError::TooMany { max: LABELS_MAX, what: "different combinations of labels" };
        self.labels.place_of(labels, LABELS_MAX).map(LabelsId).ok_or(too_many)
    }

    /// Keeps a source that was read to its end, and brings the calls into order.
    fn keep(&mut self, source: Source) -> Result<(), ReadError> {
        if source.calls == 0 {
            let problem = source.problems.first.first().cloned();
            return Err(ReadError::Nothing { name: source.name, problem });
        }
        self.sources.push(source);
        self.calls.sort_by_key(|call| call.at);
        Ok(())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Span(id) => write!(f, "span {id:016x}"),
        }
    }
}
