//! What rules ask of the order of events and model calls.
//!
//! No rule stands here. Times of one clock are compared as they are; between the clocks of two resources a small
//! difference decides nothing.

use crate::awu::{Awu, Told};
use crate::verdict::{Evidence, Outcome};

/// How an event stands to the execution of its AWU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// On the right side of it.
    Kept,
    /// On the wrong side, by so many nanoseconds.
    Broken(u64),
    /// On the wrong side, by no more than two clocks, or two readings of one, may differ.
    Unclear(&'static str),
    /// Nothing says when the AWU ran.
    Unseen,
}

/// The clocks of two resources may differ by so much.
const SKEW_NS: u64 = 5_000_000_000;
const SKEW: &str = "the wrong order is within what the clocks of two resources may differ";

/// The times of two spans of one process may differ by less than this though their order is right: some SDKs start
/// the clock of each span at a whole millisecond.
const GRAIN_NS: u64 = 1_000_000;
const GRAIN: &str = "the wrong order is within the millisecond to which clocks of spans are set";

impl Timing {
    /// As the outcome of a rule about an event of this name.
    pub fn outcome(self, event: &str, expected: &'static str, mend: &'static str) -> Outcome {
        match self {
            Self::Kept => Outcome::Pass,
            Self::Unseen => Outcome::NotObserved,
            Self::Unclear(why) => Outcome::Inconclusive(why),
            Self::Broken(nanos) => {
                let observed = format!("off by {}.{:06} ms", nanos / 1_000_000, nanos % 1_000_000);
                Evidence::new(format!("event {event}"), "time", observed, expected).mend(mend).fails()
            }
        }
    }

    /// Of two comparisons, the one that counts.
    fn or_worse(self, other: Self) -> Self {
        let rank = |timing: Self| match timing {
            Self::Unseen => 0,
            Self::Kept => 1,
            Self::Unclear(_) => 2,
            Self::Broken(nanos) => 3_u64.saturating_add(nanos),
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Whether the event at this place is not later than the first sign of execution that has a time: the start of a
/// model call, or where there is none, the reconciliation.
pub fn before_execution(awu: &Awu<'_>, place: usize) -> Timing {
    let Some(time) = time_of(awu, place) else { return Timing::Unseen };
    let calls = awu.calls.iter().filter(|call| call.span.start != 0);
    let timings = calls.map(|call| compare(time, call.span.start, call.other_clock));
    match timings.reduce(Timing::or_worse) {
        Some(timing) => timing,
        None => match awu.reconciliations().next() {
            Some((reconciliation, _)) => in_order(awu, place, reconciliation),
            None => Timing::Unseen,
        },
    }
}

/// Whether the event at this place is not earlier than the end of the last model call, or where there is none, than
/// the last reservation.
pub fn after_execution(awu: &Awu<'_>, place: usize) -> Timing {
    let Some(time) = time_of(awu, place) else { return Timing::Unseen };
    let calls = awu.calls.iter().filter(|call| call.span.end != 0);
    let timings = calls.map(|call| compare(call.span.end, time, call.other_clock));
    match timings.reduce(Timing::or_worse) {
        Some(timing) => timing,
        None => match awu.reservations().last() {
            Some((reservation, _)) => in_order(awu, reservation, place),
            None => Timing::Unseen,
        },
    }
}

/// Whether one event of an AWU is not later than another. Equal times are told apart by the list on the span; log
/// records have none.
pub fn in_order(awu: &Awu<'_>, earlier: usize, later: usize) -> Timing {
    let (Some(one), Some(other)) = (time_of(awu, earlier), time_of(awu, later)) else {
        return Timing::Unseen;
    };
    let on_span = |place: usize| awu.events.get(place).is_some_and(|told| told.told != Told::Log);
    if one == other && earlier > later && on_span(earlier) && on_span(later) {
        return Timing::Broken(0);
    }
    match one.saturating_sub(other) {
        0 => Timing::Kept,
        off => Timing::Broken(off),
    }
}

fn time_of(awu: &Awu<'_>, place: usize) -> Option<u64> {
    awu.events.get(place).map(|told| told.event.time).filter(|time| *time != 0)
}

/// The order of an event and another span.
fn compare(earlier: u64, later: u64, other_clock: bool) -> Timing {
    match earlier.saturating_sub(later) {
        0 => Timing::Kept,
        off if other_clock && off <= SKEW_NS => Timing::Unclear(SKEW),
        off if off < GRAIN_NS => Timing::Unclear(GRAIN),
        off => Timing::Broken(off),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{DECISION, MS, RECONCILIATION, RESERVATION, allowed};
    use crate::verdict::Verdict;

    fn place(awu: &Awu<'_>, name: &str) -> usize {
        awu.events.iter().position(|told| told.event.name == name).unwrap()
    }

    #[test]
    fn what_comes_before_execution_is_held_against_the_first_call() {
        let call = 1_003;
        for (time, other_clock, expected) in [
            (call, false, Timing::Kept),
            (call + 1, false, Timing::Broken(MS)),
            (call + 5_000, true, Timing::Unclear(SKEW)),
            (call + 5_001, true, Timing::Broken(5_001 * MS)),
            (0, false, Timing::Unseen),
        ] {
            let sample = allowed().call(1_050, 1_060).at(DECISION, time);
            let sample = if other_clock { sample.other_clock() } else { sample };
            sample.with(|awu| assert_eq!(before_execution(awu, place(awu, DECISION)), expected, "{time}"));
        }
    }

    #[test]
    fn without_a_call_the_reconciliation_is_the_first_sign_of_execution() {
        let sample = allowed().without_calls();
        sample.with(|awu| assert_eq!(before_execution(awu, place(awu, DECISION)), Timing::Kept));
        sample.clone().at(DECISION, 1_096).with(|awu| {
            assert_eq!(before_execution(awu, place(awu, DECISION)), Timing::Broken(MS));
        });
        sample.without_event(RECONCILIATION).with(|awu| {
            assert_eq!(before_execution(awu, place(awu, DECISION)), Timing::Unseen);
        });
    }

    #[test]
    fn what_comes_after_execution_is_held_against_the_last_call_that_ended() {
        for (time, expected) in [(1_090, Timing::Kept), (1_089, Timing::Broken(MS))] {
            allowed().call(1_004, 0).at(RECONCILIATION, time).with(|awu| {
                assert_eq!(after_execution(awu, place(awu, RECONCILIATION)), expected, "{time}");
            });
        }
        let sample = allowed().without_calls();
        for (time, expected) in [(1_002, Timing::Kept), (1_001, Timing::Broken(MS))] {
            sample.clone().at(RECONCILIATION, time).with(|awu| {
                assert_eq!(after_execution(awu, place(awu, RECONCILIATION)), expected, "{time}");
            });
        }
        sample.without_event(RESERVATION).with(|awu| {
            assert_eq!(after_execution(awu, place(awu, RECONCILIATION)), Timing::Unseen);
        });
    }

    #[test]
    fn equal_times_are_told_apart_by_the_list_on_the_span_and_not_between_log_records() {
        let reversed = allowed().without_event(DECISION).event(DECISION, 1_095, &[]);
        reversed.with(|awu| {
            assert_eq!(in_order(awu, place(awu, DECISION), place(awu, RECONCILIATION)), Timing::Broken(0));
        });
        reversed.told(DECISION, Told::Log).with(|awu| {
            assert_eq!(in_order(awu, place(awu, DECISION), place(awu, RECONCILIATION)), Timing::Kept);
        });
    }

    #[test]
    fn less_than_the_grain_of_a_clock_decides_nothing() {
        let cases = [
            (0, Timing::Kept),
            (1, Timing::Unclear(GRAIN)),
            (GRAIN_NS - 1, Timing::Unclear(GRAIN)),
            (GRAIN_NS, Timing::Broken(GRAIN_NS)),
        ];
        for (off, expected) in cases {
            assert_eq!(compare(1_000 + off, 1_000, false), expected, "{off} ns");
        }
    }

    #[test]
    fn a_wrong_order_says_by_how_much() {
        let outcome = Timing::Broken(1_500_000).outcome(DECISION, "earlier", "mend");
        let Outcome::Fail(evidence) = outcome else { panic!("{outcome:?}") };
        assert_eq!(evidence.observed, "off by 1.500000 ms");
        assert_eq!(
            crate::rules::sample::verdict(&Timing::Unclear(SKEW).outcome("", "", "")),
            Verdict::Inconclusive
        );
    }
}
