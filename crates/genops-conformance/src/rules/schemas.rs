//! Section 8: what stands on each event, and when each may happen.
//!
//! Whether an event is there at all is the subject of section 7.2, in [`events`](super::events): nothing is observed
//! here where it is not.

use genops_spec::DecisionState;
use genops_spec::event::{BUDGET_ALERT, COST_CALCULATED, EVALUATION_COMPLETE};

use super::look::{Place, all_typed, each, is_post_hoc, required_on, worst};
use super::time::{Timing, after_execution, before_execution};
use super::words::is_currency;
use super::{OfAwu, Strictness, optional};
use crate::awu::{Awu, number};
use crate::catalogue::{Id, id};
use crate::key::{
    ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, ACCOUNTING_UNIT, BUDGET_ALLOCATED, BUDGET_CONSUMED, BUDGET_NAME,
    BUDGET_REMAINING, COST_CURRENCY, COST_MODEL, COST_PROVIDER, COST_TOTAL, EVAL_METRIC, EVAL_PASSED,
    EVAL_SCORE, EVAL_THRESHOLD, Key, POLICY_NAME, POLICY_REASON, POLICY_REASON_CODE, POLICY_RESULT,
    RECONCILIATION_DELTA,
};
use crate::otlp::record::Event;
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::SCH_8_1_1, sch_8_1_1),
    (id::SCH_8_1_2, sch_8_1_2),
    (id::SCH_8_1_3, sch_8_1_3),
    (id::SCH_8_1_4, sch_8_1_4),
    (id::SCH_8_1_5, sch_8_1_5),
    (id::SCH_8_2_1, sch_8_2_1),
    (id::SCH_8_2_2, sch_8_2_2),
    (id::SCH_8_2_3, sch_8_2_3),
    (id::SCH_8_2_4, sch_8_2_4),
    (id::SCH_8_3_1, sch_8_3_1),
    (id::SCH_8_3_2, sch_8_3_2),
    (id::SCH_8_3_3, sch_8_3_3),
    (id::SCH_8_3_4, sch_8_3_4),
    (id::SCH_8_3_5, sch_8_3_5),
    (id::SCH_8_4_1, sch_8_4_1),
    (id::SCH_8_4_2, sch_8_4_2),
    (id::SCH_8_4_3, sch_8_4_3),
    (id::SCH_8_4_4, sch_8_4_4),
    (id::SCH_8_4_5, sch_8_4_5),
    (id::SCH_8_4_6, sch_8_4_6),
    (id::SCH_8_4_7, sch_8_4_7),
    (id::SCH_8_4_8, sch_8_4_8),
    (id::SCH_8_4_9, sch_8_4_9),
];

const NOT_RUN: &str = "it did not run";
const ALLOWED: &str = "the result is ALLOWED";

/// A decision event carries its result.
fn sch_8_1_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.decisions(), |event| required_on(awu, event, POLICY_RESULT, strictness))
}

/// A decision event other than ALLOWED carries its reason code.
fn sch_8_1_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.decisions(), |event| match event.attributes.text(POLICY_RESULT) {
        None => Outcome::NotObserved,
        Some(result) if is(result, DecisionState::Allowed) => Outcome::NotApplicable(ALLOWED),
        Some(_) => required_on(awu, event, POLICY_REASON_CODE, strictness),
    })
}

/// A decision event that says ALLOWED carries no reason code.
fn sch_8_1_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    each(awu.decisions(), |event| {
        let result = event.attributes.text(POLICY_RESULT);
        match (result, event.attributes.get(POLICY_REASON_CODE)) {
            (None, _) => Outcome::NotObserved,
            (Some(result), _) if !is(result, DecisionState::Allowed) => {
                Outcome::NotApplicable("the result is not ALLOWED")
            }
            (Some(_), None) => awu.gaps.events.map_or(Outcome::Pass, Outcome::Inconclusive),
            (Some(_), Some(value)) => {
                let place = Place::Event(event.name);
                Evidence::new(
                    place,
                    POLICY_REASON_CODE.name(),
                    value.to_string(),
                    "absent, since the result is ALLOWED",
                )
                .mend("leave the key out; an empty text is not absent")
                .fails()
            }
        }
    })
}

/// A decision event happens before execution; only what is found out afterwards comes later (AMB-05).
fn sch_8_1_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    const MEND: &str = "decide before anything runs, and emit the event at that time";
    let Some((first, event)) = awu.decisions().next() else { return Outcome::NotObserved };
    if !awu.executed() {
        return Outcome::NotApplicable(NOT_RUN);
    }
    match (before_execution(awu, first), awu.gaps.events) {
        (Timing::Broken(_), Some(why)) => Outcome::Inconclusive(why),
        (Timing::Kept, _) => worst(awu.decisions().map(|(place, event)| further_decision(awu, place, event))),
        (timing, _) => {
            timing.outcome(event.name, "not later than the first model call, or the reconciliation", MEND)
        }
    }
}

/// A decision event may name its policy and a reason, both as text.
fn sch_8_1_5(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    typed_on(awu.decisions(), &[POLICY_NAME, POLICY_REASON], strictness)
}

/// A reservation event carries the amount.
fn sch_8_2_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.reservations(), |event| required_on(awu, event, ACCOUNTING_RESERVED, strictness))
}

/// A reservation event carries the unit.
fn sch_8_2_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.reservations(), |event| required_on(awu, event, ACCOUNTING_UNIT, strictness))
}

/// A reservation event happens before execution.
fn sch_8_2_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let Some((first, event)) = awu.reservations().next() else { return Outcome::NotObserved };
    if !awu.executed() {
        return Outcome::NotApplicable(NOT_RUN);
    }
    match (before_execution(awu, first), awu.gaps.events) {
        (Timing::Broken(_), Some(why)) => Outcome::Inconclusive(why),
        (timing, _) => {
            let expected = "not later than the first model call, or the reconciliation";
            timing.outcome(
                event.name,
                expected,
                "reserve before anything runs, and emit the event at that time",
            )
        }
    }
}

/// A reservation event may name the budget and what remains of it.
fn sch_8_2_4(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    typed_on(awu.reservations(), &[BUDGET_NAME, BUDGET_REMAINING], strictness)
}

/// A reconciliation event carries the actual amount.
fn sch_8_3_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.reconciliations(), |event| required_on(awu, event, ACCOUNTING_ACTUAL, strictness))
}

/// A reconciliation event carries the amount that the reservation event states.
fn sch_8_3_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    as_reserved(awu, ACCOUNTING_RESERVED, strictness)
}

/// A reconciliation event carries the unit that the reservation event states.
fn sch_8_3_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    as_reserved(awu, ACCOUNTING_UNIT, strictness)
}

/// A reconciliation event happens after execution.
fn sch_8_3_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let Some((last, event)) = awu.reconciliations().last() else { return Outcome::NotObserved };
    let expected = "not earlier than the end of the last model call, or the reservation";
    after_execution(awu, last).outcome(
        event.name,
        expected,
        "reconcile when the work is done, and emit the event at that time",
    )
}

/// A reconciliation event may carry the delta and name the budget.
fn sch_8_3_5(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    let deltas = each(awu.reconciliations(), |event| {
        optional::delta(awu, Place::Event(event.name), &event.attributes, strictness)
    });
    let typed = typed_on(awu.reconciliations(), &[RECONCILIATION_DELTA, BUDGET_NAME], strictness);
    worst([deltas, typed].into_iter())
}

/// A cost event carries the total.
fn sch_8_4_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(COST_CALCULATED.name), |event| required_on(awu, event, COST_TOTAL, strictness))
}

/// A cost event carries its currency, as a code of ISO 4217.
fn sch_8_4_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(COST_CALCULATED.name), |event| match event.attributes.text(COST_CURRENCY) {
        Some(text) if !is_currency(text) => {
            let place = Place::Event(event.name);
            Evidence::new(place, COST_CURRENCY.name(), format!("{text:?}"), "an alphabetic code of ISO 4217")
                .mend("write the code in capitals, such as USD; tokens are no currency")
                .fails()
        }
        _ => required_on(awu, event, COST_CURRENCY, strictness),
    })
}

/// A cost event may name provider and model.
fn sch_8_4_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    typed_on(awu.events_named(COST_CALCULATED.name), &[COST_PROVIDER, COST_MODEL], strictness)
}

/// A budget alert names the budget.
fn sch_8_4_4(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(BUDGET_ALERT.name), |event| required_on(awu, event, BUDGET_NAME, strictness))
}

/// A budget alert states what was consumed.
fn sch_8_4_5(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(BUDGET_ALERT.name), |event| required_on(awu, event, BUDGET_CONSUMED, strictness))
}

/// A budget alert states what was allocated.
fn sch_8_4_6(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(BUDGET_ALERT.name), |event| required_on(awu, event, BUDGET_ALLOCATED, strictness))
}

/// An evaluation names its metric.
fn sch_8_4_7(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(EVALUATION_COMPLETE.name), |event| required_on(awu, event, EVAL_METRIC, strictness))
}

/// An evaluation states its score.
fn sch_8_4_8(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.events_named(EVALUATION_COMPLETE.name), |event| required_on(awu, event, EVAL_SCORE, strictness))
}

/// An evaluation may state its threshold and whether it passed.
fn sch_8_4_9(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    typed_on(awu.events_named(EVALUATION_COMPLETE.name), &[EVAL_THRESHOLD, EVAL_PASSED], strictness)
}

fn is(result: &str, state: DecisionState) -> bool {
    result == state.as_str()
}

/// A decision after execution began tells what could not be known before: by its reason code, and as a warning.
fn further_decision(awu: &Awu<'_>, place: usize, event: &Event<'_>) -> Outcome {
    match before_execution(awu, place) {
        Timing::Broken(_) => {}
        timing => return timing.outcome(event.name, "", ""),
    }
    let (result, code) = (event.attributes.get(POLICY_RESULT), event.attributes.text(POLICY_REASON_CODE));
    let observed = |what: &str| format!("{what}, after execution began");
    if !code.is_some_and(is_post_hoc) {
        let expected =
            "SLA_LATENCY_VIOLATION, PROVIDER_ERROR_UPSTREAM, ACCOUNTING_INVARIANT_VIOLATION or x_…";
        let observed = observed(code.unwrap_or("no reason code"));
        return Evidence::new(Place::Event(event.name), POLICY_REASON_CODE.name(), observed, expected)
            .mend("decide before anything runs; a further step of the work is an AWU of its own")
            .fails();
    }
    let refusals = [DecisionState::Blocked, DecisionState::RateLimited];
    match result.and_then(|value| value.text()) {
        Some(result) if refusals.iter().any(|state| is(result, *state)) => Evidence::new(
            Place::Event(event.name),
            POLICY_RESULT.name(),
            observed(result),
            "WARNING (AMB-05)",
        )
        .mend("what has run can no longer be refused: tell the finding as a WARNING")
        .advises(),
        _ => Outcome::Pass,
    }
}

/// Attributes that events may carry are of their types.
fn typed_on<'a>(
    events: impl Iterator<Item = (usize, &'a Event<'a>)>,
    keys: &[Key],
    strictness: Strictness,
) -> Outcome {
    each(events, |event| all_typed(Place::Event(event.name), &event.attributes, keys, strictness))
}

/// A reconciliation carries what was reserved, and says of it what the last reservation says (AMB-06).
fn as_reserved(awu: &Awu<'_>, key: Key, strictness: Strictness) -> Outcome {
    let reserved = awu.reservations().last().and_then(|(_, event)| event.attributes.get(key));
    each(awu.reconciliations(), |event| {
        let outcome = required_on(awu, event, key, strictness);
        let (Some(reconciled), Some(reserved)) = (event.attributes.get(key), reserved) else {
            return outcome;
        };
        let is_same = match (number(reconciled), number(reserved)) {
            // Two reports of one double are equal, so that no tolerance is due.
            (Some(one), Some(other)) => one == other || (one.is_nan() && other.is_nan()),
            // What states no amount, or no unit, is the reservation's own fault.
            _ => reconciled.text().zip(reserved.text()).is_none_or(|(one, other)| one == other),
        };
        if is_same || matches!(outcome, Outcome::Fail(_)) {
            return outcome;
        }
        let expected = format!("{reserved}, as on the reservation event");
        Evidence::new(Place::Event(event.name), key.name(), reconciled.to_string(), expected)
            .mend("reconcile with the reservation that was recorded")
            .fails()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, RECONCILIATION, RESERVATION, RESERVED, RESULT, Sample, UNIT, allowed,
        hold, refused,
    };
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    fn blocked() -> Sample {
        refused("BLOCKED", "BUDGET_EXCEEDED")
    }

    #[test]
    fn events_carry_what_they_have_to() {
        let cost = (
            "genops.cost.calculated",
            [("genops.cost.total", Given::Double(1.0)), ("genops.cost.currency", Given::Text("EUR"))],
        );
        let alert = [
            ("genops.budget.name", Given::Text("team")),
            ("genops.budget.consumed", Given::Double(1.0)),
            ("genops.budget.allocated", Given::Double(2.0)),
        ];
        let evaluation =
            [("genops.eval.metric", Given::Text("faithfulness")), ("genops.eval.score", Given::Double(0.9))];
        let full = allowed().event(cost.0, 1_096, &cost.1).event("genops.budget.alert", 1_096, &alert).event(
            "genops.evaluation.complete",
            1_097,
            &evaluation,
        );
        let rules: &[(OfAwu, &str, &'static str)] = &[
            (sch_8_1_1, DECISION, RESULT),
            (sch_8_2_1, RESERVATION, RESERVED),
            (sch_8_2_2, RESERVATION, UNIT),
            (sch_8_3_1, RECONCILIATION, ACTUAL),
            (sch_8_3_2, RECONCILIATION, RESERVED),
            (sch_8_3_3, RECONCILIATION, UNIT),
            (sch_8_4_1, "genops.cost.calculated", "genops.cost.total"),
            (sch_8_4_2, "genops.cost.calculated", "genops.cost.currency"),
            (sch_8_4_4, "genops.budget.alert", "genops.budget.name"),
            (sch_8_4_5, "genops.budget.alert", "genops.budget.consumed"),
            (sch_8_4_6, "genops.budget.alert", "genops.budget.allocated"),
            (sch_8_4_7, "genops.evaluation.complete", "genops.eval.metric"),
            (sch_8_4_8, "genops.evaluation.complete", "genops.eval.score"),
        ];
        for (rule, event, key) in rules {
            hold(
                *rule,
                &[
                    ("present", full.clone(), Pass),
                    ("absent", full.clone().without_on(event, key), Fail),
                    ("absent, left out", full.clone().without_on(event, key).with_gaps(), Inconclusive),
                    ("of another type", full.clone().set_on(event, key, Given::Bool(true)), Fail),
                    ("no such event", full.clone().without_event(event), NotObserved),
                ],
            );
        }
        hold(
            sch_8_4_2,
            &[("no currency", full.set_on(cost.0, "genops.cost.currency", Given::Text("tokens")), Fail)],
        );
    }

    #[test]
    fn what_events_may_carry_is_of_its_type() {
        let rules: &[(OfAwu, &'static str, &'static str, Given)] = &[
            (sch_8_1_5, DECISION, "genops.policy.name", Given::Text("models")),
            (sch_8_1_5, DECISION, "genops.policy.reason", Given::Text("not permitted")),
            (sch_8_2_4, RESERVATION, "genops.budget.name", Given::Text("team")),
            (sch_8_2_4, RESERVATION, "genops.budget.remaining", Given::Double(1.0)),
            (sch_8_3_5, RECONCILIATION, "genops.budget.name", Given::Text("team")),
            (sch_8_3_5, RECONCILIATION, "genops.accounting.reconciliation_delta", Given::Double(-0.007)),
            (sch_8_4_3, "genops.cost.calculated", "genops.cost.provider", Given::Text("acme")),
            (sch_8_4_3, "genops.cost.calculated", "genops.cost.model", Given::Text("large")),
            (sch_8_4_9, "genops.evaluation.complete", "genops.eval.threshold", Given::Double(0.8)),
            (sch_8_4_9, "genops.evaluation.complete", "genops.eval.passed", Given::Bool(true)),
        ];
        let full = allowed().event("genops.cost.calculated", 1_096, &[]).event(
            "genops.evaluation.complete",
            1_097,
            &[],
        );
        for (rule, event, key, value) in rules {
            hold(
                *rule,
                &[
                    ("absent", full.clone(), NotObserved),
                    (key, full.clone().set_on(event, key, *value), Pass),
                    (key, full.clone().set_on(event, key, Given::List(&[])), Fail),
                ],
            );
        }
        let reversed =
            full.set_on(RECONCILIATION, "genops.accounting.reconciliation_delta", Given::Double(0.007));
        hold(sch_8_3_5, &[("sign reversed", reversed, Fail)]);
    }

    #[test]
    fn a_reason_code_stands_on_the_event_exactly_where_the_result_is_not_allowed() {
        hold(
            sch_8_1_2,
            &[
                ("blocked", blocked(), Pass),
                ("blocked, on the span alone", blocked().without_on(DECISION, CODE), Fail),
                ("an integer", blocked().set_on(DECISION, CODE, Given::Int(1)), Fail),
                ("allowed", allowed(), NotApplicable),
                ("no result", allowed().without_on(DECISION, RESULT), NotObserved),
            ],
        );
        hold(
            sch_8_1_3,
            &[
                ("allowed", allowed(), Pass),
                ("allowed, empty", allowed().set_on(DECISION, CODE, Given::Text("")), Fail),
                ("allowed, null", allowed().set_on(DECISION, CODE, Given::Empty), Fail),
                ("allowed, left out", allowed().with_gaps(), Inconclusive),
                ("blocked", blocked(), NotApplicable),
                ("no event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn only_what_is_found_out_later_is_decided_later() {
        let later = |result, code| allowed().decision(1_096, result, code);
        hold(
            sch_8_1_4,
            &[
                ("before", allowed(), Pass),
                ("refused", blocked(), NotApplicable),
                ("no event", allowed().without_event(DECISION), NotObserved),
                ("after the call began", allowed().at(DECISION, 1_004), Fail),
                ("after it, by another clock", allowed().at(DECISION, 1_004).other_clock(), Inconclusive),
                ("nothing is timed", allowed().without_calls().without_event(RECONCILIATION), NotObserved),
                ("a warning of the SLA", later("WARNING", "SLA_LATENCY_VIOLATION"), Pass),
                ("a warning of the provider", later("WARNING", "PROVIDER_ERROR_UPSTREAM"), Pass),
                ("a warning of the books", later("WARNING", "ACCOUNTING_INVARIANT_VIOLATION"), Pass),
                ("a warning of its own", later("WARNING", "x_quality"), Pass),
                ("blocked too late", later("BLOCKED", "PROVIDER_ERROR_UPSTREAM"), Advisory),
                ("limited too late", later("RATE_LIMITED", "x_late"), Advisory),
                ("a budget too late", later("WARNING", "BUDGET_EXCEEDED"), Fail),
                ("no code", later("ALLOWED", ""), Fail),
                (
                    "only afterwards, with such a code",
                    later("WARNING", "SLA_LATENCY_VIOLATION").without_event(DECISION).decision(
                        1_096,
                        "WARNING",
                        "SLA_LATENCY_VIOLATION",
                    ),
                    Fail,
                ),
            ],
        );
    }

    #[test]
    fn reservations_come_before_execution_and_reconciliations_after_it() {
        hold(
            sch_8_2_3,
            &[
                ("before", allowed(), Pass),
                ("after the call began", allowed().at(RESERVATION, 1_004), Fail),
                (
                    "after it, another one left out",
                    allowed().at(RESERVATION, 1_004).with_gaps(),
                    Inconclusive,
                ),
                ("after the reconciliation", allowed().without_calls().at(RESERVATION, 1_096), Fail),
                (
                    "stopped",
                    allowed().without(ACTUAL).without_event(RECONCILIATION).without_calls(),
                    NotApplicable,
                ),
                ("no event", allowed().without_event(RESERVATION), NotObserved),
            ],
        );
        hold(
            sch_8_3_4,
            &[
                ("after", allowed(), Pass),
                ("before the call ended", allowed().at(RECONCILIATION, 1_089), Fail),
                ("before the reservation", allowed().without_calls().at(RECONCILIATION, 1_000), Fail),
                ("no event", allowed().without_event(RECONCILIATION), NotObserved),
            ],
        );
    }

    #[test]
    fn a_reconciliation_repeats_what_was_reserved_last() {
        let again = allowed().without_event(RESERVATION).event(
            RESERVATION,
            1_001,
            &[(RESERVED, Given::Double(0.01))],
        );
        let again = again.event(RESERVATION, 1_002, &[(RESERVED, Given::Double(0.02))]);
        hold(
            sch_8_3_2,
            &[
                ("another amount", allowed().set_on(RESERVATION, RESERVED, Given::Double(0.03)), Fail),
                (
                    "an amount that differs in its last digit",
                    allowed().set_on(RESERVATION, RESERVED, Given::Double(0.02_f64.next_up())),
                    Fail,
                ),
                ("the last of two", again, Pass),
                ("no reservation event", allowed().without_event(RESERVATION), Pass),
                (
                    "a reservation without an amount",
                    allowed().set_on(RESERVATION, RESERVED, Given::Empty),
                    Pass,
                ),
            ],
        );
        hold(
            sch_8_3_3,
            &[("another unit", allowed().set_on(RESERVATION, UNIT, Given::Text("tokens")), Fail)],
        );
    }
}
