//! Rates: how many AWUs, tokens or dollars may be admitted in a span of time, and how many calls may run at once.
//!
//! What flows is limited by the generic cell rate algorithm: each admission takes a stretch of time that is as long as
//! its cost takes to flow, the stretches stand one behind the other, and the last may end no later than the burst
//! allows. A refused AWU takes nothing. Tokens and dollars take what is reserved, and what was not used of it is given
//! back at settlement, as far as it has not flowed by then. A rule and the state of the books give the answer; nothing
//! is stored here.

use core::fmt;

use genops_spec::{Decision, ReasonCode};
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::awu::Proposal;
use crate::finding::Mode;
use crate::index::Selective;
use crate::name::Name;
use crate::selector::{Facet, Selector, Share};
use crate::time::Timestamp;

/// Limits the traffic of the AWUs that a selector chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRule {
    /// Its name; unique among the rates of a policy.
    pub name: Name,
    /// Whose AWUs it counts.
    pub selector: Selector,
    /// Each combination of values of these facets has the limit for itself. Those without a value share one.
    pub each: Vec<Facet>,
    /// How much.
    pub limit: RateLimit,
    /// Whether it refuses or only warns.
    pub mode: Mode,
}

/// How much traffic there may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateLimit {
    /// So much in a span of time.
    Flow(Flow),
    /// So many calls at once: AWUs that have been admitted and have not ended.
    InFlight {
        /// At least 1.
        calls: u64,
    },
}

/// So much in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// What is counted.
    pub measure: Measure,
    /// So much of it …
    pub amount: Amount,
    /// … in this time.
    pub per: Per,
    /// As much may come at once after a pause. In no time `per` is there more than `amount` and `burst`, of what AWUs
    /// that began in that time used or hold, but for what they used beyond their reservation.
    pub burst: Amount,
}

/// What a flow counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// AWUs.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// US dollars.
    Usd,
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

/// What a rate is kept under in the books: the rule, and the values that have its limit for themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RateKey {
    /// The rule's name.
    pub rule: Name,
    /// The facets of the rule's `each` with their values, in its order.
    pub each: Box<[Share]>,
}

/// What a rate was asked, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStep {
    /// Which rate.
    pub key: RateKey,
    /// The state that it was asked in.
    pub before: RateState,
    /// What it answered.
    pub answer: RateAnswer,
    /// Whether it refuses where it has no room, or only warns.
    pub mode: Mode,
}

/// The state of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateState {
    /// Where the stretches that have been taken end.
    Until(Timestamp),
    /// So many calls are in flight.
    InFlight(u64),
}

/// What a rate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateAnswer {
    /// There is room; the AWU takes this stretch.
    Takes(Stretch),
    /// There is room; the AWU takes one of the calls in flight.
    TakesPlace,
    /// There is no room before this time, if nothing else arrives.
    Wait(Timestamp),
    /// There is no room before a call ends.
    Full,
    /// It asks for more than the burst holds: there never is room.
    TooMuch,
    /// As many shares of rates are kept as may be, and this one is new.
    NoPlace,
}

/// A stretch of time that an AWU takes of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Where it begins.
    pub from: Timestamp,
    /// Where it ends.
    pub until: Timestamp,
    /// Whether what is not used of it is given back at settlement.
    pub is_given_back: bool,
}

/// By how much a settlement moves the end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateShift {
    /// Which rate.
    pub key: RateKey,
    /// So many nanoseconds earlier, where it is negative; later, where more was used than reserved.
    pub nanos: i64,
}

impl Measure {
    /// The word that people write and read for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Usd => "USD",
        }
    }

    /// The unit of the amounts that it counts; `None` for AWUs themselves.
    #[must_use]
    pub const fn unit(self) -> Option<Unit> {
        match self {
            Self::Requests => None,
            Self::Tokens => Some(Unit::Tokens),
            Self::Usd => Some(Unit::Usd),
        }
    }
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

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl RateRule {
    /// What the rate of `proposal` is kept under.
    #[must_use]
    pub fn key(&self, proposal: &Proposal) -> RateKey {
        RateKey { rule: self.name.clone(), each: proposal.each(&self.each) }
    }
}

impl RateAnswer {
    /// Whether there is room.
    #[must_use]
    pub const fn has_room(self) -> bool {
        matches!(self, Self::Takes(_) | Self::TakesPlace)
    }

    /// The decision that it comes to.
    #[must_use]
    pub fn says(self) -> Decision {
        match self {
            Self::Takes(_) | Self::TakesPlace => Decision::Allowed,
            Self::Wait(_) | Self::Full | Self::TooMuch => Decision::RateLimited(ReasonCode::RateLimited),
            Self::NoPlace => Decision::Blocked(ReasonCode::too_many_shares()),
        }
    }
}

impl Flow {
    /// Asks whether an AWU that costs `cost` may be admitted at `at`, where the stretches that have been taken end at
    /// `taken`.
    #[must_use]
    pub fn ask(&self, at: Timestamp, cost: Amount, taken: Timestamp) -> RateAnswer {
        let (Some(length), Some(burst)) = (self.nanos(cost), self.burst_nanos()) else {
            return RateAnswer::TooMuch;
        };
        let from = taken.max(at);
        let until = from.plus_nanos(length);
        if until <= at.plus_nanos(burst) {
            RateAnswer::Takes(Stretch { from, until, is_given_back: self.measure != Measure::Requests })
        } else if length > burst {
            RateAnswer::TooMuch
        } else {
            RateAnswer::Wait(until.minus_nanos(burst))
        }
    }

    /// By how much the end of the flow moves when an AWU settles at `at` that took `stretch` and used less, or more,
    /// than it had reserved. What has flowed by then is not given back.
    #[must_use]
    pub fn shift(&self, at: Timestamp, stretch: Stretch, reserved: Amount, actual: Amount) -> i64 {
        let (Some(reserved), Some(actual)) = (self.nanos(reserved), self.nanos(actual)) else { return 0 };
        match reserved.checked_sub(actual) {
            Some(unused) => i64::try_from(unused.min(stretch.remains(at)))
                .ok()
                .and_then(i64::checked_neg)
                .unwrap_or_default(),
            None => i64::try_from(actual - reserved).unwrap_or(i64::MAX),
        }
    }

    /// By how much the end of a flow that has been taken until `taken` may move later, in nanoseconds. What is used beyond
    /// reservations flows as well, but no more than a burst and one time `per`: a single wrong report keeps nobody out
    /// for years.
    #[must_use]
    pub fn debt_left(&self, at: Timestamp, taken: Timestamp) -> i64 {
        let most = at.plus_nanos(self.burst_nanos().unwrap_or_default()).plus_nanos(self.per.nanos());
        i64::try_from(most.nanos_since(taken)).unwrap_or(i64::MAX)
    }

    /// How long it takes until a burst that was used is there again, in nanoseconds; `None` where that cannot be
    /// counted.
    #[must_use]
    pub fn burst_nanos(&self) -> Option<u64> {
        match self.measure {
            // A burst of requests holds as many as it says, whatever is rounded.
            Measure::Requests => {
                let one = Amount::from_whole(1);
                let requests = u64::try_from(self.burst.atoms() / one.atoms()).ok()?;
                self.nanos(one)?.checked_mul(requests)
            }
            Measure::Tokens | Measure::Usd => self.nanos(self.burst),
        }
    }

    /// How long `amount` takes to flow, in nanoseconds, rounded up: rounding never admits more than the rule says.
    fn nanos(&self, amount: Amount) -> Option<u64> {
        let per = i128::from(self.per.nanos());
        let product = amount.atoms().checked_mul(per)?;
        let divisor = self.amount.atoms();
        let whole = product.checked_div(divisor)?;
        let up = i128::from(product.checked_rem(divisor)? > 0);
        u64::try_from(whole.checked_add(up)?).ok()
    }
}

impl Stretch {
    /// How much of it has not flowed at `at`, in nanoseconds.
    #[must_use]
    pub fn remains(&self, at: Timestamp) -> u64 {
        self.until.nanos_since(self.from.max(at))
    }
}

impl Selective for RateRule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}

/// For people: `600 requests per minute`, `10 calls in flight`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(Flow { measure, amount, per, .. }) => {
                write!(f, "{amount} {} per {}", measure.as_str(), per.as_str())
            }
            Self::InFlight { calls } => write!(f, "{calls} calls in flight"),
        }
    }
}

/// For people: `per-customer`, `per-customer (acme)`.
impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule.as_str())?;
        if self.each.is_empty() {
            return Ok(());
        }
        let each: Vec<_> = self.each.iter().map(Share::to_string).collect();
        write!(f, " ({})", each.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_795_000_000_000_000_000;

    fn requests(amount: u64, per: Per, burst: u64) -> Flow {
        let (amount, burst) = (Amount::from_whole(amount), Amount::from_whole(burst));
        Flow { measure: Measure::Requests, amount, per, burst }
    }

    /// Which of the AWUs at these times, in nanoseconds after the start, are admitted; for the others, the wait.
    fn run(flow: &Flow, times: &[u64]) -> Vec<Result<(), u64>> {
        let mut taken = Timestamp::default();
        let ask = |time: &u64| {
            let at = Timestamp::from_nanos(START + time);
            match flow.ask(at, Amount::from_whole(1), taken) {
                RateAnswer::Takes(stretch) => {
                    taken = stretch.until;
                    Ok(())
                }
                RateAnswer::Wait(earliest) => Err(earliest.nanos() - at.nanos()),
                answer => panic!("{answer:?}"),
            }
        };
        times.iter().map(ask).collect()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_as_many_as_the_rate_says() {
        const S: u64 = 1_000_000_000;
        type Case = (Flow, &'static [u64], Vec<Result<(), u64>>);
        let cases: [Case; 5] = [
            (requests(1, Per::Second, 1), &[0, 1, S - 1, S], vec![Ok(()), Err(S - 1), Err(1), Ok(())]),
            (
                requests(2, Per::Second, 2),
                &[0, 0, 0, S / 2, S],
                vec![Ok(()), Ok(()), Err(S / 2), Ok(()), Ok(())],
            ),
            (requests(60, Per::Minute, 3), &[0, 0, 0, 0], vec![Ok(()), Ok(()), Ok(()), Err(S)]),
            // A third of a second is no whole number of nanoseconds: it is rounded against the caller.
            (requests(3, Per::Second, 1), &[0, 333_333_333, 333_333_334], vec![Ok(()), Err(1), Ok(())]),
            // A long pause is no credit beyond the burst.
            (
                requests(1, Per::Second, 2),
                &[0, 100 * S, 100 * S, 100 * S],
                vec![Ok(()), Ok(()), Ok(()), Err(S)],
            ),
        ];
        for (flow, times, expected) in cases {
            assert_eq!(run(&flow, times), expected, "{flow:?}");
        }
    }

    #[test]
    fn more_than_the_burst_is_never_admitted_and_exactly_the_burst_is() {
        let whole = Amount::from_whole;
        let flow = Flow { measure: Measure::Tokens, amount: whole(7), per: Per::Minute, burst: whole(3) };
        let at = Timestamp::from_nanos(START);
        assert!(flow.ask(at, whole(3), Timestamp::default()).has_room());
        assert_eq!(flow.ask(at, whole(4), Timestamp::default()), RateAnswer::TooMuch);
        assert_eq!(flow.ask(at, Amount::MAX, Timestamp::default()), RateAnswer::TooMuch, "beyond counting");
    }

    /// One call of random traffic: how long after the one before it comes, what it reserves, what it uses, and how
    /// many calls later it settles.
    type Call = (u64, u64, u64, usize);

    proptest! {
        /// With tokens given back in whatever order: in no window do the AWUs that began in it use or hold more than
        /// burst and rate allow. A naive sum over every window is the judge.
        #[test]
        fn no_window_holds_more_than_burst_and_rate_allow_whatever_is_given_back(
            calls in prop::collection::vec((0_u64..3_000_000_000, 1_u64..60, 0_u64..60, 0_usize..12), 1..120),
        ) {
            let (rate, burst) = (10_u64, 60_u64);
            let whole = Amount::from_whole;
            let flow = Flow { measure: Measure::Tokens, amount: whole(rate), per: Per::Second, burst: whole(burst) };
            // When each admitted call began, and what it uses or holds.
            let mut held: Vec<(u64, u64)> = Vec::new();
            let mut open: Vec<(usize, usize, Call, Stretch)> = Vec::new();
            let (mut now, mut taken) = (START, Timestamp::default());
            for (place, call) in calls.iter().enumerate() {
                now += call.0;
                let at = Timestamp::from_nanos(now);
                while let Some(due) = open.iter().position(|(due, ..)| *due <= place) {
                    let (_, which, (_, reserved, used, _), stretch) = open.remove(due);
                    let shift = flow.shift(at, stretch, whole(reserved), whole(used.min(reserved)));
                    prop_assert!(shift <= 0);
                    taken = taken.minus_nanos(shift.unsigned_abs());
                    for later in open.iter_mut().filter(|(_, at, ..)| *at > which) {
                        later.3.from = later.3.from.minus_nanos(shift.unsigned_abs());
                        later.3.until = later.3.until.minus_nanos(shift.unsigned_abs());
                    }
                    held[which].1 = used.min(reserved);
                }
                if let RateAnswer::Takes(stretch) = flow.ask(at, whole(call.1), taken) {
                    taken = stretch.until;
                    open.push((place + call.3, held.len(), *call, stretch));
                    held.push((now, call.1));
                }
                for (first, (from, _)) in held.iter().enumerate() {
                    let sum: u64 = held[first..].iter().map(|(_, held)| held).sum();
                    // A nanosecond's worth for each rounding.
                    let allowed = (burst as f64) + (rate as f64) * ((now - from) as f64 / 1e9) + 1e-6;
                    prop_assert!(sum as f64 <= allowed, "{sum} since {from}, {allowed} allowed");
                }
            }
        }
    }
}
