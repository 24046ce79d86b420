//! Section 7.2: the events that a fully compliant runtime emits, and the AWUs that need not emit all of them.
//!
//! What stands on the events is the subject of section 8, in [`schemas`](super::schemas).

use genops_spec::DecisionState;
use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION, POLICY_EVALUATED};

use super::look::{Place, RAN_OR_NOT, is_post_hoc, missing_event, missing_reconciliation};
use super::time::{Timing, after_execution, before_execution, in_order};
use super::{OfAwu, Strictness};
use crate::awu::{Awu, State, number};
use crate::catalogue::{Id, id};
use crate::key::{ACCOUNTING_RESERVED, POLICY_REASON_CODE, POLICY_RESULT};
use crate::otlp::record::Event;
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::EVT_7_2_1, evt_7_2_1),
    (id::EVT_7_2_2, evt_7_2_2),
    (id::EVT_7_2_3, evt_7_2_3),
    (id::EVT_7_2_1_1, evt_7_2_1_1),
    (id::EVT_7_2_1_2, evt_7_2_1_2),
    (id::EVT_7_2_1_3, evt_7_2_1_3),
    (id::EVT_7_2_1_4, evt_7_2_1_4),
];

const REFUSED: &str = "a decision refused it before reservation";
const STOPPED: &str = "it was stopped before execution";

const EMIT_DECISION: &str = "emit `genops.policy.evaluated` when the decision is made, before anything runs";
const EMIT_RESERVATION: &str = "emit `genops.budget.reservation` when the reservation is recorded";
const EMIT_RECONCILIATION: &str = "emit `genops.budget.reconciliation` when the last model call has ended";
const ONCE: &str =
    "one AWU has one reservation and one reconciliation: make a further step an AWU of its own";

/// Each AWU has a decision event, not later than the first sign of execution.
fn evt_7_2_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let Some((first, _)) = awu.decisions().next() else {
        return missing_event(awu, POLICY_EVALUATED.name, EMIT_DECISION);
    };
    match (before_execution(awu, first), awu.gaps.events) {
        (Timing::Broken(_), Some(why)) => Outcome::Inconclusive(why),
        // Where nothing is timed that would show execution, the event stands before whatever follows.
        (Timing::Unseen, _) => Outcome::Pass,
        (timing, _) => {
            let expected = "not later than the first model call, or the reconciliation";
            timing.outcome(POLICY_EVALUATED.name, expected, EMIT_DECISION)
        }
    }
}

/// Each AWU that was reserved for has its reservation event.
fn evt_7_2_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let count = awu.reservations().count();
    match awu.state {
        State::RefusedBeforeReservation => Outcome::NotApplicable(REFUSED),
        State::Indeterminate => Outcome::Inconclusive(RAN_OR_NOT),
        _ if count == 0 => missing_event(awu, BUDGET_RESERVATION.name, EMIT_RESERVATION),
        _ => at_most_one(count, BUDGET_RESERVATION.name),
    }
}

/// Each AWU that ran has its reconciliation event, not earlier than the end of the last model call.
fn evt_7_2_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.state {
        State::RefusedBeforeReservation => return Outcome::NotApplicable(REFUSED),
        State::StoppedAfterReservation => return Outcome::NotApplicable(STOPPED),
        State::Indeterminate => return Outcome::Inconclusive(RAN_OR_NOT),
        State::ExecutedComplete | State::ExecutedIncomplete => {}
    }
    let Some((last, _)) = awu.reconciliations().last() else { return missing_reconciliation(awu) };
    match after_execution(awu, last) {
        Timing::Kept | Timing::Unseen => {
            at_most_one(awu.reconciliations().count(), BUDGET_RECONCILIATION.name)
        }
        timing => {
            let expected = "not earlier than the end of the last model call, or the reservation";
            timing.outcome(BUDGET_RECONCILIATION.name, expected, EMIT_RECONCILIATION)
        }
    }
}

/// An AWU that was refused before reservation needs its decision event, and no other.
fn evt_7_2_1_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.state {
        State::RefusedBeforeReservation if awu.has_event(&POLICY_EVALUATED) => Outcome::Pass,
        State::RefusedBeforeReservation => missing_event(awu, POLICY_EVALUATED.name, EMIT_DECISION),
        _ => Outcome::NotApplicable("it was not refused before reservation"),
    }
}

/// An AWU that was stopped between reservation and execution has its reservation event.
fn evt_7_2_1_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let reserved = awu.get(ACCOUNTING_RESERVED).and_then(number);
    match awu.state {
        State::StoppedAfterReservation => Outcome::Pass,
        State::RefusedBeforeReservation if reserved.is_some_and(|reserved| reserved > 0.0) => {
            missing_event(awu, BUDGET_RESERVATION.name, EMIT_RESERVATION)
        }
        State::RefusedBeforeReservation => {
            Outcome::NotApplicable("nothing shows that something was reserved for it")
        }
        State::Indeterminate => Outcome::Inconclusive(RAN_OR_NOT),
        State::ExecutedComplete | State::ExecutedIncomplete => Outcome::NotApplicable("it ran"),
    }
}

/// An AWU that was stopped between reservation and execution needs no reconciliation event.
fn evt_7_2_1_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.state {
        State::StoppedAfterReservation if !awu.has_event(&BUDGET_RECONCILIATION) => Outcome::Pass,
        _ => Outcome::NotApplicable("it was not stopped between reservation and execution"),
    }
}

/// An AWU that never ran has no reconciliation event.
fn evt_7_2_1_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.reconciliations().next() {
        Some((place, event)) if awu.is_refused() && !is_authorised_later(awu, place) => {
            let observed =
                format!("emitted, although the decision was {}", awu.admission.result.unwrap_or_default());
            let evidence = Evidence::new(
                Place::Event(event.name),
                BUDGET_RECONCILIATION.name,
                observed,
                "no such event",
            );
            evidence.mend("emit it for an AWU that ran; what was refused has nothing to reconcile").fails()
        }
        Some(_) => Outcome::NotApplicable("it was authorised"),
        None if awu.executed() => Outcome::NotApplicable("it ran"),
        None if awu.state == State::Indeterminate => Outcome::Inconclusive(RAN_OR_NOT),
        None => awu.gaps.events.map_or(Outcome::Pass, Outcome::Inconclusive),
    }
}

/// Whether a decision after the one that refused it authorised an AWU, before the event at this place. What is found
/// out after execution authorises nothing.
fn is_authorised_later(awu: &Awu<'_>, place: usize) -> bool {
    let authorises = |event: &Event<'_>| match event.attributes.text(POLICY_RESULT) {
        Some(result) if result == DecisionState::Allowed.as_str() => true,
        Some(result) if result == DecisionState::Warning.as_str() => {
            !event.attributes.text(POLICY_REASON_CODE).is_some_and(is_post_hoc)
        }
        _ => false,
    };
    let after = |decision: usize| awu.admission.event.is_none_or(|refusal| decision > refusal);
    let later = awu.decisions().filter(|(decision, _)| after(*decision));
    later
        .into_iter()
        .any(|(decision, event)| in_order(awu, decision, place) == Timing::Kept && authorises(event))
}

/// More than one of an event is worth a look (AMB-06).
fn at_most_one(count: usize, name: &'static str) -> Outcome {
    if count <= 1 {
        return Outcome::Pass;
    }
    Evidence::new(Place::Span, name, format!("{count} of them"), "one").mend(ONCE).advises()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{
        ACTUAL, DECISION, Given, RECONCILIATION, RESERVATION, RESERVED, Sample, allowed, hold, refused,
    };
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, Pass};

    fn blocked() -> Sample {
        refused("BLOCKED", "BUDGET_EXCEEDED")
    }

    fn stopped() -> Sample {
        allowed().without(ACTUAL).without_event(RECONCILIATION).without_calls()
    }

    fn unreconciled() -> Sample {
        allowed().without_event(RECONCILIATION)
    }

    #[test]
    fn each_awu_is_decided_before_it_runs() {
        hold(
            evt_7_2_1,
            &[
                ("before the call", allowed(), Pass),
                ("refused", blocked(), Pass),
                ("none", allowed().without_event(DECISION), Fail),
                ("none, left out", allowed().without_event(DECISION).with_gaps(), Inconclusive),
                ("at the call", allowed().at(DECISION, 1_003), Pass),
                ("after the call began", allowed().at(DECISION, 1_004), Fail),
                (
                    "after it, another one before left out",
                    allowed().at(DECISION, 1_004).with_gaps(),
                    Inconclusive,
                ),
                ("after it, by another clock", allowed().at(DECISION, 1_004).other_clock(), Inconclusive),
                ("after the reconciliation", allowed().without_calls().at(DECISION, 1_096), Fail),
                ("a further one after it", allowed().decision(1_050, "ALLOWED", ""), Pass),
            ],
        );
    }

    #[test]
    fn what_was_reserved_has_its_reservation_event() {
        let none = |sample: Sample| sample.without_event(RESERVATION);
        hold(
            evt_7_2_2,
            &[
                ("completed", allowed(), Pass),
                ("stopped", stopped(), Pass),
                ("completed, none", none(allowed()), Fail),
                ("completed, none, left out", none(allowed()).with_gaps(), Inconclusive),
                ("refused", blocked(), NotApplicable),
                ("indeterminate", none(stopped()), Inconclusive),
                ("twice", allowed().event(RESERVATION, 1_002, &[]), Advisory),
            ],
        );
    }

    #[test]
    fn what_ran_is_reconciled_after_its_last_call() {
        let mark = ("acme.accounting.incomplete", Given::Bool(true));
        hold(
            evt_7_2_3,
            &[
                ("after the call", allowed(), Pass),
                ("at its end", allowed().at(RECONCILIATION, 1_090), Pass),
                ("before its end", allowed().at(RECONCILIATION, 1_089), Fail),
                (
                    "before its end, by another clock",
                    allowed().at(RECONCILIATION, 1_089).other_clock(),
                    Inconclusive,
                ),
                ("none", unreconciled(), Fail),
                ("none, after an error", unreconciled().failed(), Inconclusive),
                ("none, marked", unreconciled().set(mark.0, mark.1), Inconclusive),
                (
                    "none, no reservation, after an error",
                    unreconciled().without_event(RESERVATION).failed(),
                    Fail,
                ),
                ("none, left out", unreconciled().with_gaps(), Inconclusive),
                ("none, not ended", unreconciled().open(), Inconclusive),
                ("twice", allowed().event(RECONCILIATION, 1_096, &[]), Advisory),
                ("refused", blocked(), NotApplicable),
                ("stopped", stopped(), NotApplicable),
                ("indeterminate", stopped().without_event(RESERVATION), Inconclusive),
            ],
        );
    }

    #[test]
    fn a_refused_awu_needs_its_decision_event_alone() {
        hold(
            evt_7_2_1_1,
            &[
                ("refused", blocked(), Pass),
                ("refused, none", blocked().without_event(DECISION), Fail),
                ("refused, none, left out", blocked().without_event(DECISION).with_gaps(), Inconclusive),
                ("allowed", allowed(), NotApplicable),
                ("stopped", stopped(), NotApplicable),
            ],
        );
    }

    #[test]
    fn what_was_stopped_after_reservation_shows_the_reservation() {
        hold(
            evt_7_2_1_2,
            &[
                ("stopped", stopped(), Pass),
                ("refused after it", blocked().event(RESERVATION, 1_000, &[]), Pass),
                ("an amount without the event", blocked().set(RESERVED, Given::Double(0.02)), Fail),
                (
                    "an amount, left out",
                    blocked().set(RESERVED, Given::Double(0.02)).with_gaps(),
                    Inconclusive,
                ),
                ("a zero", blocked().set(RESERVED, Given::Double(0.0)), NotApplicable),
                ("refused", blocked(), NotApplicable),
                ("ran", allowed(), NotApplicable),
            ],
        );
        hold(
            evt_7_2_1_3,
            &[
                ("stopped", stopped(), Pass),
                ("ran", allowed(), NotApplicable),
                ("refused", blocked(), NotApplicable),
            ],
        );
    }

    #[test]
    fn what_never_ran_is_not_reconciled() {
        let reconciled = blocked().event(RECONCILIATION, 1_095, &[(ACTUAL, Given::Double(0.0))]);
        let ran = reconciled.clone().call(1_010, 1_020);
        hold(
            evt_7_2_1_4,
            &[
                ("refused", blocked(), Pass),
                ("stopped", stopped(), Pass),
                ("refused, reconciled", reconciled, Fail),
                ("refused, ran, reconciled", ran.clone(), Fail),
                ("authorised in between", ran.clone().decision(1_015, "ALLOWED", ""), NotApplicable),
                (
                    "warned of an error in between",
                    ran.clone().decision(1_015, "WARNING", "PROVIDER_ERROR_UPSTREAM"),
                    Fail,
                ),
                ("authorised too late", ran.decision(1_096, "ALLOWED", ""), Fail),
                ("refused, something left out", blocked().with_gaps(), Inconclusive),
                ("allowed", allowed(), NotApplicable),
                ("indeterminate", stopped().without_event(RESERVATION), Inconclusive),
            ],
        );
    }
}
