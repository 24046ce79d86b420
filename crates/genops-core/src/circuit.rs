//! Circuits: when a provider counts as down, and how it comes back.
//!
//! A circuit is closed while calls succeed. After so many failures in a row it opens: the provider counts as down, and
//! for a while nothing is sent to it. Then one call is let through to try; each such try closes the door behind it for
//! as long again. The first sign of life closes the circuit. The state of a circuit is in the books; the functions here
//! give the next state and change nothing.

use genops_spec::{Decision, ReasonCode};
use serde::{Deserialize, Serialize};

use crate::awu::{End, Failure};
use crate::finding::Mode;
use crate::name::Name;
use crate::time::Timestamp;

/// When a provider counts as down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitRule {
    /// The provider; it has one circuit.
    pub provider: Name,
    /// So many failures in a row open the circuit; at least 1.
    pub failures: u32,
    /// How long it stays open before one call is let through to try, in nanoseconds.
    pub open_for_ns: u64,
    /// Whether calls are refused meanwhile, or only warned about.
    pub mode: Mode,
}

/// The state of a provider's circuit. The default is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Circuit {
    /// Failures in a row.
    pub failures: u32,
    /// Since when it is open, or when the last call was let through to try.
    pub open_since: Option<Timestamp>,
}

/// What an entry does to the circuit of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitStep {
    /// The provider.
    pub provider: Name,
    /// Its circuit, by the books.
    pub before: Circuit,
    /// Its circuit from now on.
    pub after: Circuit,
    /// When the next call is let through to try, at the earliest, where this one was not.
    pub tries_again: Option<Timestamp>,
}

impl CircuitRule {
    /// Asks whether a call may be sent at `at`.
    ///
    /// # Errors
    ///
    /// It may not: the provider counts as down.
    pub fn admit(&self, at: Timestamp, circuit: Circuit) -> Result<Circuit, Decision> {
        match circuit.open_since {
            None => Ok(circuit),
            Some(since) if at.nanos_since(since) >= self.open_for_ns => {
                Ok(Circuit { open_since: Some(at), ..circuit })
            }
            Some(_) => Err(Decision::Blocked(ReasonCode::ProviderErrorUpstream)),
        }
    }

    /// When the next call is let through to try, at the earliest.
    #[must_use]
    pub fn tries_again(&self, circuit: Circuit) -> Option<Timestamp> {
        circuit.open_since.map(|since| since.plus_nanos(self.open_for_ns))
    }

    /// What an execution that ended so at `at` does to the circuit.
    #[must_use]
    pub fn after(&self, at: Timestamp, circuit: Circuit, end: End) -> Circuit {
        match sign(end) {
            Some(Sign::OfLife) => Circuit::default(),
            Some(Sign::OfFailure) => {
                let failures = circuit.failures.saturating_add(1);
                let opens = circuit.open_since.is_some() || failures >= self.failures;
                Circuit { failures, open_since: opens.then_some(at) }
            }
            None => circuit,
        }
    }
}

/// What an execution says of its provider.
enum Sign {
    OfLife,
    OfFailure,
}

/// An answer is a sign of life, one that says "not this way" too. A server's error, an answer that broke off and none at
/// all are failures. Being told to slow down, a caller who went away, or work that failed by itself, say neither.
const fn sign(end: End) -> Option<Sign> {
    match end {
        End::Completed | End::AtReservation => Some(Sign::OfLife),
        End::ProviderError(Failure::Status(408 | 429)) => None,
        End::ProviderError(Failure::Status(..500)) => Some(Sign::OfLife),
        End::ProviderError(_) => Some(Sign::OfFailure),
        End::NeverSent | End::Abandoned | End::Cancelled | End::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);
    const SECOND: u64 = 1_000_000_000;

    fn rule() -> CircuitRule {
        let provider = Name::new("upstream").unwrap();
        CircuitRule { provider, failures: 3, open_for_ns: 30 * SECOND, mode: Mode::Enforce }
    }

    fn later(seconds: u64) -> Timestamp {
        START.plus_nanos(seconds * SECOND)
    }

    fn after(ends: &[End]) -> Circuit {
        ends.iter().fold(Circuit::default(), |circuit, end| rule().after(START, circuit, *end))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_any_sign_of_life_closes_it() {
        let failure = End::ProviderError(Failure::Timeout);
        let cases: [(&[End], bool); 12] = [
            (&[], false),
            (&[failure; 2], false),
            (&[failure; 3], true),
            (&[failure, failure, End::Completed, failure], false),
            (&[failure, failure, End::ProviderError(Failure::Status(400)), failure], false),
            (&[failure, failure, End::ProviderError(Failure::Status(429)), failure], true),
            (&[failure, failure, End::Cancelled, failure], true),
            (&[End::Failed, End::Failed, End::Failed, End::Failed], false),
            (&[failure, failure, End::Failed, failure], true),
            (&[failure, failure, End::ProviderError(Failure::Status(503))], true),
            (&[failure, failure, End::ProviderError(Failure::Unreachable)], true),
            (&[failure, failure, failure, End::Completed], false),
        ];
        for (ends, is_open) in cases {
            assert_eq!(after(ends).open_since.is_some(), is_open, "{ends:?}");
            assert_eq!(rule().admit(START, after(ends)).is_err(), is_open, "{ends:?}");
        }
    }

    #[test]
    fn while_it_is_open_one_call_is_let_through_in_each_stretch_of_time() {
        let open = after(&[End::ProviderError(Failure::Connection); 3]);
        assert!(rule().admit(later(29), open).is_err());
        assert_eq!(rule().tries_again(open), Some(later(30)));
        let tried = rule().admit(later(30), open).unwrap();
        assert!(rule().admit(later(31), tried).is_err(), "one at a time");
        assert!(rule().admit(later(59), tried).is_err(), "also where the one never ends");
        assert!(rule().admit(later(60), tried).is_ok());
        let failed = rule().after(later(40), tried, End::ProviderError(Failure::Answer));
        assert!(rule().admit(later(69), failed).is_err(), "a try that fails opens it anew");
        let healed = rule().after(later(40), tried, End::Completed);
        assert_eq!(healed, Circuit::default());
    }
}
