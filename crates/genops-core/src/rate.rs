//! Rates: how often AWUs may be admitted, by the generic cell rate algorithm.
//!
//! A rule and a point in time give the next point in time, or the refusal; nothing is stored here. The books hold,
//! for each rule, when the next AWU would arrive if all came evenly; a refused AWU moves nothing.

use serde::{Deserialize, Serialize};

use crate::budget::Selector;
use crate::name::Name;
use crate::time::Timestamp;

/// Limits how many AWUs may be admitted in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRule {
    /// Its name; unique among the rates of a policy.
    pub name: Name,
    /// Whose AWUs it counts.
    pub selector: Selector,
    /// So many AWUs …
    pub requests: u64,
    /// … in this time.
    pub per: Per,
    /// As many may come at once after a pause; at least 1. In no time `per` are there more than `requests` and
    /// `burst` less one.
    pub burst: u64,
}

/// A span of time that rates are stated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Per {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// 24 hours.
    Day,
}

/// What a rule was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStep {
    /// The rule's name.
    pub rule: Name,
    /// When the next AWU was to arrive, by the books, before it was asked.
    pub before: Timestamp,
    /// When the next AWU is to arrive, once this one has been admitted; for the rule that refused, the earliest
    /// admission if nothing else arrives.
    pub after: Timestamp,
}

impl Per {
    /// Its length in nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        };
        seconds * 1_000_000_000
    }
}

impl RateRule {
    /// Asks whether an AWU may be admitted at `at`, where the next one was to arrive at `arrival`.
    ///
    /// # Errors
    ///
    /// It may not: gives the earliest time at which it could, if nothing else arrives.
    pub fn admit(&self, at: Timestamp, arrival: Timestamp) -> Result<Timestamp, Timestamp> {
        let interval = self.interval();
        let tolerance = interval.saturating_mul(self.burst.saturating_sub(1));
        // While a rule stays as it is, no arrival is later than that. One that is has been left by another rule of this
        // name, whose times mean nothing here.
        let latest = at.nanos().saturating_add(tolerance).saturating_add(interval);
        let arrival = arrival.max(at).min(Timestamp::from_nanos(latest));
        let earliest = arrival.minus_nanos(tolerance);
        if at < earliest {
            return Err(earliest);
        }
        Ok(Timestamp::from_nanos(arrival.nanos().saturating_add(interval)))
    }

    /// How long it takes until a burst that was used is there again, in nanoseconds; `None` where that cannot be
    /// counted.
    #[must_use]
    pub const fn refill(&self) -> Option<u64> {
        self.interval().checked_mul(self.burst)
    }

    /// The time between two AWUs that come evenly, rounded up: rounding never admits more than the rule says. A
    /// policy with a rate of no requests is not adopted.
    const fn interval(&self) -> u64 {
        match self.requests {
            0 => u64::MAX,
            requests => self.per.nanos().div_ceil(requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_000_000_000_000_000;

    fn rule(requests: u64, per: Per, burst: u64) -> RateRule {
        RateRule { name: Name::new("r").unwrap(), selector: Selector::default(), requests, per, burst }
    }

    /// Which of the AWUs at these times, in nanoseconds after the start, are admitted; for the others, the wait.
    fn run(rule: &RateRule, times: &[u64]) -> Vec<Result<(), u64>> {
        let mut arrival = Timestamp::default();
        let ask = |time: &u64| {
            let at = Timestamp::from_nanos(START + time);
            match rule.admit(at, arrival) {
                Ok(next) => {
                    arrival = next;
                    Ok(())
                }
                Err(earliest) => Err(earliest.nanos() - at.nanos()),
            }
        };
        times.iter().map(ask).collect()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_as_many_as_the_rate_says() {
        const S: u64 = 1_000_000_000;
        type Case = (RateRule, &'static [u64], Vec<Result<(), u64>>);
        let cases: [Case; 5] = [
            (rule(1, Per::Second, 1), &[0, 1, S - 1, S], vec![Ok(()), Err(S - 1), Err(1), Ok(())]),
            (rule(2, Per::Second, 2), &[0, 0, 0, S / 2, S], vec![Ok(()), Ok(()), Err(S / 2), Ok(()), Ok(())]),
            (rule(60, Per::Minute, 3), &[0, 0, 0, 0], vec![Ok(()), Ok(()), Ok(()), Err(S)]),
            // A third of a second is no whole number of nanoseconds: it is rounded against the caller.
            (rule(3, Per::Second, 1), &[0, 333_333_333, 333_333_334], vec![Ok(()), Err(1), Ok(())]),
            // A long pause is no credit beyond the burst.
            (rule(1, Per::Second, 2), &[0, 100 * S, 100 * S, 100 * S], vec![Ok(()), Ok(()), Ok(()), Err(S)]),
        ];
        for (rule, times, expected) in cases {
            assert_eq!(run(&rule, times), expected, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_that_has_changed_does_not_keep_the_debt_of_the_old_one() {
        let at = Timestamp::from_nanos(START);
        let owed = Timestamp::from_nanos(START + Per::Day.nanos());
        let changed = rule(600, Per::Minute, 20);
        assert_eq!(changed.admit(at, owed), Err(Timestamp::from_nanos(START + 100_000_000)), "one interval");
    }

    #[test]
    fn no_window_of_any_place_holds_more_than_burst_and_rate_allow() {
        let rule = rule(10, Per::Second, 4);
        let mut arrival = Timestamp::default();
        let mut admitted: Vec<u64> = Vec::new();
        for step in 0..400_u64 {
            // Uneven, and far too fast.
            let at = START + step * 17_000_000 + (step % 7) * 3_000_000;
            if let Ok(next) = rule.admit(Timestamp::from_nanos(at), arrival) {
                arrival = next;
                admitted.push(at);
            }
        }
        for (place, from) in admitted.iter().enumerate() {
            for (count, until) in admitted.iter().skip(place).enumerate() {
                let more_allowed = 3 + (until - from) / 100_000_000;
                assert!(count as u64 <= more_allowed, "{} in {} ns", count + 1, until - from);
            }
        }
        assert!(admitted.len() > 60, "it admits what it may: {}", admitted.len());
    }
}
