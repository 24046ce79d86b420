//! The golden captures as JSON documents, and what the checker says of a capture, as sets of requirements.
//!
//! What it should say stands in the tests. Nothing is judged here.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use genops_conformance::awu::State;
use genops_conformance::catalogue::Id;
use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::judge::Judgement;
use genops_conformance::level::{self, Claim, Standing, Terms};
use genops_conformance::otlp::request::{Encoding, Signal};
use genops_conformance::verdict::Tally;
use genops_conformance::{Checker, Strictness};
use serde_json::Value;

/// The golden capture of a runtime that keeps no reservations.
pub const PARTIAL: &str = "partial_runtime";

/// A capture: OTLP JSON documents, each of one signal.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// The documents, in the order in which they are read.
    pub documents: Vec<Value>,
}

/// How a capture is judged.
#[derive(Debug, Clone)]
pub struct How {
    /// How strictly.
    pub strictness: Strictness,
    /// What is claimed.
    pub terms: Terms,
    /// What open traces may take, in bytes.
    pub open_bytes_max: usize,
}

/// What the checker says of a capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The requirements that fail.
    pub fails: BTreeSet<&'static str>,
    /// The requirements with something worth a look, and no failure.
    pub advises: BTreeSet<&'static str>,
    /// The requirements that some AWU could not decide.
    pub unclear: BTreeSet<&'static str>,
    /// For each requirement, on how many AWUs it came to which outcome.
    pub tallies: Vec<(&'static str, [u64; 6])>,
    /// What it all comes to.
    pub standing: Standing,
    /// How many AWUs there were in each state, in the order of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Records that came again.
    pub resent: u64,
}

impl Capture {
    /// A golden capture.
    pub fn golden(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
        let read = |signal: &str| fs::read(folder.join(format!("{name}.{signal}.json"))).ok();
        let documents: Vec<Value> = ["traces", "logs"]
            .iter()
            .filter_map(|signal| read(signal))
            .map(|text| serde_json::from_slice(&text).expect("a golden capture is JSON"))
            .collect();
        assert!(!documents.is_empty(), "there is no golden capture {name}");
        Self { documents }
    }
}

impl How {
    /// With a claim, and nothing else out of the ordinary.
    pub fn claiming(claim: Claim) -> Self {
        Self {
            strictness: Strictness::default(),
            terms: Terms { claim: Some(claim), ..Terms::default() },
            open_bytes_max: OPEN_BYTES_MAX,
        }
    }

    /// Judges JSON documents.
    pub fn judge(&self, documents: &[Value]) -> Said {
        let mut checker = Checker::new(self.strictness, self.open_bytes_max);
        for document in documents {
            take(&mut checker, document);
        }
        self.sum_up(checker)
    }

    /// Lets a checker that has seen everything say what it says.
    pub fn sum_up(&self, checker: Checker) -> Said {
        let mut judgement = checker.finish();
        let standing = level::sum_up(&mut judgement, &self.terms);
        Said::of(&judgement, standing)
    }
}

impl Said {
    fn of(judgement: &Judgement, standing: Standing) -> Self {
        let tally = |id: &Id| judgement.tallies.get(id.place()).copied().unwrap_or_default();
        let ids = |is_in: fn(&Tally) -> bool| -> BTreeSet<&'static str> {
            Id::all().filter(|id| is_in(&tally(id))).map(|id| id.requirement().id).collect()
        };
        Self {
            fails: ids(|tally| tally.failed > 0),
            advises: ids(|tally| tally.advised > 0 && tally.failed == 0),
            unclear: ids(|tally| tally.inconclusive > 0),
            tallies: Id::all().map(|id| (id.requirement().id, outcomes(&tally(&id)))).collect(),
            standing,
            states: judgement.counts.states,
            resent: judgement.counts.resent,
        }
    }
}

fn outcomes(tally: &Tally) -> [u64; 6] {
    let Tally { passed, failed, advised, inconclusive, not_observed, not_applicable, .. } = *tally;
    [passed, failed, advised, inconclusive, not_observed, not_applicable]
}

/// Gives a checker a JSON document.
pub fn take(checker: &mut Checker, document: &Value) {
    let bytes = serde_json::to_vec(document).unwrap();
    checker.take(&bytes, Encoding::Json, Some(signal_of(document))).expect("the document can be read");
}

/// What a JSON document is about.
pub fn signal_of(document: &Value) -> Signal {
    let signals = [
        ("resourceSpans", Signal::Traces),
        ("resourceLogs", Signal::Logs),
        ("resourceMetrics", Signal::Metrics),
    ];
    let known = signals.iter().find(|(key, _)| document.get(key).is_some());
    known.map_or_else(|| panic!("a document of no signal: {document}"), |(_, signal)| *signal)
}
