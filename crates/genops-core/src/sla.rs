//! Latency targets (section 6): tiers, and what is expected of a call by what calls like it took.
//!
//! Calls are alike that ask the same provider for the same model and may use about as many tokens. The books keep the
//! last few latencies of each such class, with the time of the entry that brought them; what is old says nothing any
//! more. The expectation is their median.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::awu::{End, Execution, Failure, Proposal};
use crate::finding::Mode;
use crate::index::Selective;
use crate::name::Name;
use crate::selector::Selector;
use crate::time::Timestamp;

/// A tier: how fast the AWUs that a selector chooses have to be. The first tier that covers an AWU is its tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaRule {
    /// `genops.sla.tier`.
    pub name: Name,
    /// Whom it concerns.
    pub selector: Selector,
    /// `genops.sla.latency_target_ms`: from sending the request to the end of the answer, in milliseconds; at least 1.
    pub target_ms: u64,
    /// From sending the request to the first of the answer, in milliseconds. The specification has no name for it.
    pub first_token_target_ms: Option<u64>,
    /// What happens where the target is expected to be missed.
    pub expected_miss: ExpectedMiss,
    /// Whether it refuses or only warns.
    pub mode: Mode,
}

/// What a tier does where its target is expected to be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ExpectedMiss {
    /// The AWU runs and SLA_LATENCY_VIOLATION is noted.
    #[default]
    Warn,
    /// The AWU is refused with SLA_LATENCY_VIOLATION; now and then one is let through with a warning, so that a
    /// provider that has become fast again is seen to be.
    Refuse,
}

/// Calls that are expected to take about the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LatencyClass {
    /// The provider that is asked.
    pub provider: Option<Name>,
    /// The model that is asked for.
    pub model: Option<Name>,
    /// The magnitude of the tokens that the call may use: classes of size differ by a factor of four.
    pub size: u8,
}

/// The last latencies of a class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// When they became known, and what they were, in nanoseconds; the oldest first.
    samples: VecDeque<(Timestamp, u64)>,
    /// When an AWU of the class was last admitted.
    last_admitted: Timestamp,
}

/// What a tier found when an AWU was admitted or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaStep {
    /// The tier.
    pub tier: Name,
    /// Its target.
    pub target_ms: u64,
    /// Its target for the first of the answer.
    pub first_token_target_ms: Option<u64>,
    /// The class of the AWU.
    pub class: LatencyClass,
    /// The latency that was expected, in nanoseconds; `None` where too little is known.
    pub expected_ns: Option<u64>,
    /// When an AWU of the class was admitted before.
    pub last_admitted: Timestamp,
}

/// So many latencies of a class are kept.
const SAMPLES_MAX: usize = 16;

/// With fewer, nothing is expected.
const SAMPLES_MIN: usize = 4;

/// Older ones say nothing any more.
const AGE_MAX_NS: u64 = 600 * 1_000_000_000;

/// Where a tier refuses, one AWU of the class is let through in this time.
const PROBE_EVERY_NS: u64 = 10 * 1_000_000_000;

const NANOS_PER_MILLI: u64 = 1_000_000;

impl LatencyClass {
    /// The class of a proposal.
    #[must_use]
    pub fn of(proposal: &Proposal) -> Self {
        let tokens = proposal.bound.total().unwrap_or(u64::MAX);
        let magnitude = tokens.checked_ilog2().map_or(0, |log| log / 2 + 1);
        Self {
            provider: proposal.provider.clone(),
            model: proposal.model.clone(),
            size: u8::try_from(magnitude).unwrap_or(u8::MAX),
        }
    }
}

impl Latencies {
    /// The latency that is expected at `at`, in nanoseconds; `None` where too little is known.
    #[must_use]
    pub fn expected(&self, at: Timestamp) -> Option<u64> {
        let fresh = self.samples.iter().filter(|(seen, _)| at.nanos_since(*seen) <= AGE_MAX_NS);
        let mut fresh: Vec<u64> = fresh.map(|(_, latency)| *latency).collect();
        if fresh.len() < SAMPLES_MIN {
            return None;
        }
        fresh.sort_unstable();
        fresh.get((fresh.len() - 1) / 2).copied()
    }

    /// When an AWU of the class was last admitted.
    #[must_use]
    pub const fn last_admitted(&self) -> Timestamp {
        self.last_admitted
    }

    /// Whether it says nothing any more at `at`.
    #[must_use]
    pub fn is_forgotten(&self, at: Timestamp) -> bool {
        let is_old = |seen: Timestamp| at.nanos_since(seen) > AGE_MAX_NS;
        is_old(self.last_admitted) && self.samples.back().is_none_or(|(seen, _)| is_old(*seen))
    }

    pub(crate) const fn admitted(&mut self, at: Timestamp) {
        self.last_admitted = at;
    }

    pub(crate) fn took(&mut self, at: Timestamp, latency_ns: u64) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((at, latency_ns));
    }
}

/// What an execution says about how long such calls take; `None` where it says nothing, since it was cut short.
#[must_use]
pub const fn sample(execution: &Execution) -> Option<u64> {
    match execution.end {
        // One that came too late took at least so long.
        End::Completed | End::ProviderError(Failure::Timeout) => Some(execution.latency_ns),
        _ => None,
    }
}

impl SlaRule {
    /// What the tier finds, given the latencies of the AWU's class.
    #[must_use]
    pub fn step(&self, at: Timestamp, class: LatencyClass, latencies: Option<&Latencies>) -> SlaStep {
        SlaStep {
            tier: self.name.clone(),
            target_ms: self.target_ms,
            first_token_target_ms: self.first_token_target_ms,
            class,
            expected_ns: latencies.and_then(|latencies| latencies.expected(at)),
            last_admitted: latencies.map(Latencies::last_admitted).unwrap_or_default(),
        }
    }
}

impl SlaStep {
    /// Whether the target is expected to be missed.
    #[must_use]
    pub fn expects_miss(&self) -> bool {
        self.expected_ns.is_some_and(|expected| !self.is_met_by(expected))
    }

    /// Whether an AWU that comes at `at` may be let through to see how long such calls take now.
    #[must_use]
    pub const fn is_due_a_probe(&self, at: Timestamp) -> bool {
        at.nanos_since(self.last_admitted) >= PROBE_EVERY_NS
    }

    /// Whether a latency, in nanoseconds, meets the target (section 6.3), as it is told: in whole milliseconds.
    #[must_use]
    pub const fn is_met_by(&self, latency_ns: u64) -> bool {
        latency_ns / NANOS_PER_MILLI <= self.target_ms
    }
}

impl Selective for SlaRule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);
    const SECOND: u64 = 1_000_000_000;

    fn after(latencies: &[u64]) -> Latencies {
        let mut all = Latencies::default();
        latencies.iter().for_each(|latency| all.took(START, *latency));
        all
    }

    #[test]
    fn the_expectation_is_the_median_of_the_last_sixteen() {
        let cases: [(&[u64], Option<u64>); 5] = [
            (&[], None),
            (&[1, 1, 1], None),
            (&[4, 1, 3, 2], Some(2)),
            (&[9, 9, 9, 1, 1], Some(9)),
            (&[9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1], Some(1)),
        ];
        for (latencies, expected) in cases {
            assert_eq!(after(latencies).expected(START), expected, "{latencies:?}");
        }
    }

    #[test]
    fn what_is_older_than_ten_minutes_says_nothing() {
        let latencies = after(&[7; 8]);
        assert_eq!(latencies.expected(START.plus_nanos(600 * SECOND)), Some(7));
        assert_eq!(latencies.expected(START.plus_nanos(600 * SECOND + 1)), None);
        assert!(latencies.is_forgotten(START.plus_nanos(601 * SECOND)));
        assert!(!latencies.is_forgotten(START.plus_nanos(600 * SECOND)));
    }
}
