//! Section 3: the deterministic accounting invariant. Reserved before, measured after, compared, and the same
//! everywhere.
//!
//! Which attributes and events are required by name is in sections 7 and 8.

use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION};
use genops_spec::{DecisionState, ReasonCode};

use super::look::{
    Decided, Place, RAN_OR_NOT, decided, each, has_completed_call, is_incomplete_mark, kept_from_running,
    missing_event, missing_reconciliation, places, required, typed, unmeasured, worst,
};
use super::time::{Timing, after_execution, before_execution};
use crate::awu::{Awu, State, number};
use crate::catalogue::{Id, id};
use crate::key::{
    ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, ACCOUNTING_UNIT, Key, POLICY_REASON_CODE, POLICY_RESULT,
    TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_TOTAL,
};
use crate::otlp::record::{ERROR, Event, Span};
use crate::otlp::value::{Attributes, Value};
use crate::rules::{OfAwu, Strictness};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::ACC_3_2_2, acc_3_2_2),
    (id::ACC_3_3_1, acc_3_3_1),
    (id::ACC_3_3_2, acc_3_3_2),
    (id::ACC_3_3_3, acc_3_3_3),
    (id::ACC_3_3_5, acc_3_3_5),
    (id::ACC_3_3_6, acc_3_3_6),
    (id::ACC_3_3_7, acc_3_3_7),
    (id::ACC_3_4_1, acc_3_4_1),
    (id::ACC_3_4_2, acc_3_4_2),
    (id::ACC_3_4_3, acc_3_4_3),
    (id::ACC_3_5_1, acc_3_5_1),
    (id::ACC_3_5_2, acc_3_5_2),
    (id::ACC_3_5_3, acc_3_5_3),
    (id::ACC_3_5_4, acc_3_5_4),
    (id::ACC_3_5_5, acc_3_5_5),
];

const DID_NOT_RUN: &str = "it did not run";
const BLOCKED: &str = DecisionState::Blocked.as_str();

/// An AWU that reaches its reservation declares its unit.
fn acc_3_2_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match awu.has_reservation() || awu.span.attributes.has(ACCOUNTING_RESERVED) {
        true => required(awu, ACCOUNTING_UNIT, strictness),
        false if awu.state == State::RefusedBeforeReservation => {
            Outcome::NotApplicable("it was refused before anything was reserved")
        }
        false => Outcome::NotObserved,
    }
}

/// A reservation is recorded before execution begins.
fn acc_3_3_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if let Some(outcome) = unless_executed(awu) {
        return outcome;
    }
    let Some((place, _)) = awu.reservations().next() else {
        return missing_event(
            awu,
            BUDGET_RESERVATION.name,
            "reserve, and record it as an event, before the work runs",
        );
    };
    let mend = "reserve first, then call the model; record the event when it happens";
    before_execution(awu, place).outcome(
        BUDGET_RESERVATION.name,
        "not later than the first sign of execution",
        mend,
    )
}

/// The reservation event is emitted when the reservation is made.
fn acc_3_3_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let reserved = awu.get(ACCOUNTING_RESERVED).and_then(number).is_some_and(|reserved| reserved > 0.0);
    match awu.reservations().count() {
        0 if awu.executed() || (awu.is_refused() && reserved) => {
            missing_event(awu, BUDGET_RESERVATION.name, "record the reservation as an event when it is made")
        }
        0 if awu.state == State::Indeterminate => Outcome::Inconclusive(RAN_OR_NOT),
        0 => Outcome::NotApplicable("nothing was reserved"),
        1 => Outcome::Pass,
        several => too_many(several, BUDGET_RESERVATION.name),
    }
}

/// Measured consumption is recorded once execution has ended.
fn acc_3_3_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if let Some(outcome) = unless_executed(awu) {
        return outcome;
    }
    if !awu.span.attributes.has(ACCOUNTING_ACTUAL) {
        let is_cut_short =
            awu.state == State::ExecutedIncomplete && !awu.calls.is_empty() && !has_completed_call(awu);
        return match is_cut_short {
            true => Outcome::Inconclusive("no model call shows that its execution was completed"),
            false => unmeasured(awu),
        };
    }
    let timing =
        awu.reconciliations().last().map_or(Timing::Unseen, |(place, _)| after_execution(awu, place));
    let mend = "reconcile when the last model call has ended; record the event when it happens";
    match timing {
        // That it was recorded is seen; when, is not.
        Timing::Unseen => Outcome::Pass,
        timing => timing.outcome(BUDGET_RECONCILIATION.name, "not earlier than the end of execution", mend),
    }
}

/// Reserved and actual are compared: the reconciliation carries both.
fn acc_3_3_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if !awu.has_event(&BUDGET_RECONCILIATION) {
        return unless_executed(awu).unwrap_or(Outcome::NotObserved);
    }
    let carries = |event: &Event<'_>, key: Key| match (event.attributes.has(key), awu.gaps.events) {
        (true, _) => Outcome::Pass,
        (false, Some(why)) => Outcome::Inconclusive(why),
        (false, None) => Evidence::new(Place::Event(event.name), key.name(), "absent", "both amounts")
            .mend("put the reserved and the actual amount on every reconciliation event")
            .fails(),
    };
    let both = |event| [carries(event, ACCOUNTING_RESERVED), carries(event, ACCOUNTING_ACTUAL)];
    each(awu.reconciliations(), |event| worst(both(event).into_iter()))
}

/// The reconciliation event is emitted when reconciling.
fn acc_3_3_6(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if let Some(outcome) = unless_executed(awu) {
        return outcome;
    }
    match awu.reconciliations().count() {
        0 => missing_reconciliation(awu),
        1 => Outcome::Pass,
        several => too_many(several, BUDGET_RECONCILIATION.name),
    }
}

/// The amounts and the unit are the same wherever the AWU states them.
fn acc_3_3_7(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let span = (Place::Span, &awu.span.attributes);
    // Of several amounts the last counts (AMB-06); a unit never changes.
    let (reservation, reconciliation) =
        (awu.reservations().last().map(on), awu.reconciliations().last().map(on));
    let reserved = same(ACCOUNTING_RESERVED, [Some(span), reservation, reconciliation].into_iter().flatten());
    let actual = same(ACCOUNTING_ACTUAL, [Some(span), reconciliation].into_iter().flatten());
    let is_accounting = |name: &str| name == BUDGET_RESERVATION.name || name == BUDGET_RECONCILIATION.name;
    let accounting = places(awu).filter(|(place, _)| match place {
        Place::Span => true,
        Place::Event(name) => is_accounting(name),
    });
    let outcome = worst([reserved, actual, same(ACCOUNTING_UNIT, accounting)].into_iter());
    match outcome {
        Outcome::NotObserved if awu.state == State::RefusedBeforeReservation => {
            Outcome::NotApplicable("it was refused before anything was reserved")
        }
        outcome => outcome,
    }
}

/// `genops.accounting.reserved` is a double.
fn acc_3_4_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    of_its_type(awu, ACCOUNTING_RESERVED, strictness)
}

/// `genops.accounting.actual` is a double.
fn acc_3_4_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    of_its_type(awu, ACCOUNTING_ACTUAL, strictness)
}

/// `genops.accounting.unit` is a string.
fn acc_3_4_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    of_its_type(awu, ACCOUNTING_UNIT, strictness)
}

/// An AWU whose reservation could not be met does not run.
fn acc_3_5_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let admission = awu.admission.event.and_then(|place| awu.events.get(place));
    let attributes = admission.map_or(&awu.span.attributes, |told| &told.event.attributes);
    let is_budget = attributes.stated(POLICY_REASON_CODE).any(|code| is_code(&code, &BUDGET));
    if awu.admission.result != Some(BLOCKED) || !is_budget {
        return Outcome::NotApplicable("its reservation did not fail");
    }
    kept_from_running(awu, "no sign of execution: its reservation failed")
}

/// A reservation that fails is recorded as BLOCKED, with a fitting code.
fn acc_3_5_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let about = |decided: Decided<'_, '_>| {
        let is = |codes: &[ReasonCode]| {
            decided.attributes.stated(POLICY_REASON_CODE).any(|code| is_code(&code, codes))
        };
        let is_other = |result: &Value<'_>| result.text().is_some_and(|text| text != BLOCKED);
        match decided.attributes.stated(POLICY_RESULT).find(is_other) {
            Some(result) if is(&[ReasonCode::BudgetReservationFailed]) => Evidence::new(
                decided.place,
                POLICY_RESULT.name(),
                result.to_string(),
                "BLOCKED: the reservation failed",
            )
            .mend("record BLOCKED; for a budget that only warns, use BUDGET_EXCEEDED")
            .fails(),
            None if decided.result == Some(BLOCKED) && is(&BUDGET) => Outcome::Pass,
            _ => Outcome::NotApplicable("its reservation did not fail"),
        }
    };
    worst(decided(awu).map(about))
}

/// Where reconciliation is impossible, the record is not dropped without a trace.
fn acc_3_5_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    if !awu.has_reservation() {
        return Outcome::NotApplicable("nothing was reserved");
    }
    if let Some(outcome) = unless_executed(awu) {
        return outcome;
    }
    let is_marked = || places(awu).any(|(_, attributes)| attributes.all().iter().any(is_incomplete_mark));
    match awu.has_event(&BUDGET_RECONCILIATION) || is_marked() {
        true => Outcome::Pass,
        false if awu.span.end == 0 => Outcome::Inconclusive("the span has not ended"),
        false if !strictness.is_complete => Outcome::Inconclusive(
            "the reconciliation may be elsewhere: the capture was not declared complete",
        ),
        false => {
            let mend = "reconcile with the best data at hand, and mark the record as incomplete";
            missing_event(awu, BUDGET_RECONCILIATION.name, mend)
        }
    }
}

/// A failed AWU is reconciled with the best figures at hand.
fn acc_3_5_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if awu.span.status != ERROR {
        return Outcome::NotApplicable("its status is not ERROR");
    }
    if awu.state == State::StoppedAfterReservation && !awu.is_refused() {
        return Outcome::Inconclusive("nothing shows whether it ran before its error");
    }
    if let Some(outcome) = unless_executed(awu) {
        return outcome;
    }
    match (awu.has_event(&BUDGET_RECONCILIATION), awu.gaps.events) {
        (true, _) => Outcome::Pass,
        (false, Some(why)) => Outcome::Inconclusive(why),
        (false, None) => {
            Evidence::new(Place::Span, BUDGET_RECONCILIATION.name, "none, on an AWU that failed", "one event")
                .mend("reconcile failed AWUs too, with the best data at hand, and mark them as incomplete")
                .advises()
        }
    }
}

/// A reconciliation with the best figures at hand is marked as incomplete.
fn acc_3_5_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_marked = |event: &Event<'_>| event.attributes.all().iter().any(is_incomplete_mark);
    let Some((_, last)) = awu.reconciliations().last() else {
        return Outcome::NotApplicable("it was not reconciled");
    };
    if awu.reconciliations().any(|(_, event)| is_marked(event)) {
        return Outcome::Pass;
    }
    if awu.span.status != ERROR || !is_guess(awu, last) {
        return Outcome::NotApplicable("nothing shows that it was reconciled without a measurement");
    }
    match awu.gaps.events {
        Some(why) => Outcome::Inconclusive(why),
        None => Evidence::new(Place::Event(last.name), "incomplete", "no mark", "a vendor's boolean that ends so, true")
            .mend("mark a reconciliation without a measurement, such as `acme.accounting.incomplete` = true (AMB-10)")
            .advises(),
    }
}

fn on<'a>((_, event): (usize, &'a Event<'a>)) -> (Place<'a>, &'a Attributes<'a>) {
    (Place::Event(event.name), &event.attributes)
}

/// What is said of an AWU that did not run, or of which nothing shows that it did, where only those that ran count.
fn unless_executed(awu: &Awu<'_>) -> Option<Outcome> {
    match awu.state {
        State::ExecutedComplete | State::ExecutedIncomplete => None,
        State::Indeterminate => Some(Outcome::Inconclusive(RAN_OR_NOT)),
        State::RefusedBeforeReservation | State::StoppedAfterReservation => {
            Some(Outcome::NotApplicable(DID_NOT_RUN))
        }
    }
}

/// More events of a kind than the one that is expected (AMB-06).
fn too_many(count: usize, name: &'static str) -> Outcome {
    Evidence::new(Place::Span, name, format!("{count} events"), "one event")
        .mend("emit one for each AWU; of several the last counts (AMB-06)")
        .advises()
}

/// The statements of one attribute at several places agree.
fn same<'a>(key: Key, places: impl Iterator<Item = (Place<'a>, &'a Attributes<'a>)>) -> Outcome {
    let places = places.filter(|(_, attributes)| attributes.has(key));
    let values =
        places.flat_map(|(place, attributes)| attributes.stated(key).map(move |value| (place, value)));
    // A value of another type states nothing; the rules about types tell.
    let mut values =
        values.filter(
            |(_, value)| {
                if key == ACCOUNTING_UNIT { value.text().is_some() } else { number(*value).is_some() }
            },
        );
    let Some((_, first)) = values.next() else { return Outcome::NotObserved };
    let mut outcome = Outcome::NotObserved;
    for (place, value) in values {
        if !is_equal(value, first) {
            return Evidence::new(
                place,
                key.name(),
                value.to_string(),
                format!("{first}, as elsewhere on the AWU"),
            )
            .mend("take the amounts and the unit from one record of the AWU")
            .fails();
        }
        outcome = Outcome::Pass;
    }
    outcome
}

fn is_equal(one: Value<'_>, other: Value<'_>) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other || one.to_bits() == other.to_bits(),
        _ => one.is_same(&other),
    }
}

/// An attribute of the span is of its type, wherever it is stated.
fn of_its_type(awu: &Awu<'_>, key: Key, strictness: Strictness) -> Outcome {
    let values = awu.span.attributes.stated(key);
    match worst(values.map(|value| typed(Place::Span, key, &value, strictness))) {
        Outcome::NotObserved if awu.state == State::RefusedBeforeReservation => {
            Outcome::NotApplicable("it was refused before anything was reserved")
        }
        Outcome::NotObserved if awu.state == State::StoppedAfterReservation && key == ACCOUNTING_ACTUAL => {
            Outcome::NotApplicable(DID_NOT_RUN)
        }
        outcome => outcome,
    }
}

/// The codes of a reservation that could not be met.
const BUDGET: [ReasonCode; 2] = [ReasonCode::BudgetReservationFailed, ReasonCode::BudgetExceeded];

fn is_code(value: &Value<'_>, codes: &[ReasonCode]) -> bool {
    value.text().is_some_and(|text| codes.iter().any(|code| code.as_str() == text))
}

/// Whether a reconciliation states no measurement: no actual, or what was reserved, and no tokens were counted.
fn is_guess(awu: &Awu<'_>, reconciliation: &Event<'_>) -> bool {
    let reserved =
        reconciliation.attributes.get(ACCOUNTING_RESERVED).or_else(|| awu.get(ACCOUNTING_RESERVED));
    let is_copy = match reconciliation.attributes.get(ACCOUNTING_ACTUAL) {
        Some(actual) => reserved.is_some_and(|reserved| is_equal(actual, reserved)),
        None => true,
    };
    let is_counted = |span: &Span<'_>| {
        [TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_TOTAL].iter().any(|key| span.attributes.has(*key))
            || span.attributes.all().iter().any(|(key, _)| key.starts_with("gen_ai.usage."))
    };
    is_copy && !is_counted(awu.span) && !awu.calls.iter().any(|call| is_counted(call.span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, RECONCILIATION, RESERVATION, RESERVED, RESULT, Sample, UNIT, allowed,
        bare, hold, refused,
    };
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    fn blocked() -> Sample {
        refused("BLOCKED", "BUDGET_RESERVATION_FAILED")
    }

    /// Reserved, then stopped before anything ran.
    fn stopped() -> Sample {
        allowed().without_calls().without_event(RECONCILIATION).without(ACTUAL)
    }

    /// Allowed, and nothing more is known.
    fn unknown() -> Sample {
        stopped().without_event(RESERVATION).without(RESERVED).without(UNIT)
    }

    #[test]
    fn what_reserves_declares_its_unit() {
        hold(
            acc_3_2_2,
            &[
                ("declared", allowed(), Pass),
                ("missing beside a reservation", stopped().without(UNIT), Fail),
                (
                    "missing beside a reserved amount",
                    stopped().without_event(RESERVATION).without(UNIT),
                    Fail,
                ),
                ("missing, only the event tells", stopped().without(RESERVED).without(UNIT), Fail),
                ("as a number", allowed().set(UNIT, Given::Int(1)), Fail),
                ("refused before", blocked(), NotApplicable),
                ("allowed, and nothing reserved", unknown(), NotObserved),
                ("left out", allowed().without(UNIT).with_gaps(), Inconclusive),
            ],
        );
    }

    #[test]
    fn the_reservation_comes_before_execution() {
        hold(
            acc_3_3_1,
            &[
                ("in order", allowed(), Pass),
                ("at the same time", allowed().at(RESERVATION, 1_003), Pass),
                ("late", allowed().at(RESERVATION, 1_004), Fail),
                ("late by another clock", allowed().other_clock().at(RESERVATION, 1_004), Inconclusive),
                ("missing", allowed().without_event(RESERVATION), Fail),
                ("missing, events left out", allowed().without_event(RESERVATION).with_gaps(), Inconclusive),
                ("without a call, before the reconciliation", allowed().without_calls(), Pass),
                ("without a call, after it", allowed().without_calls().at(RESERVATION, 1_096), Fail),
                ("stopped", stopped(), NotApplicable),
                ("refused", blocked(), NotApplicable),
                ("unknown", unknown(), Inconclusive),
            ],
        );
    }

    #[test]
    fn a_reservation_is_told_once() {
        let attribute_alone =
            |amount| blocked().set(RESERVED, Given::Double(amount)).set(UNIT, Given::Text("USD"));
        hold(
            acc_3_3_2,
            &[
                ("once", allowed(), Pass),
                ("once, then stopped", stopped(), Pass),
                ("never, and ran", allowed().without_event(RESERVATION), Fail),
                ("twice", allowed().event(RESERVATION, 1_002, &[]), Advisory),
                ("refused", blocked(), NotApplicable),
                ("refused, with an amount", attribute_alone(0.02), Fail),
                ("refused, with nothing reserved", attribute_alone(0.0), NotApplicable),
                ("unknown", unknown(), Inconclusive),
                ("unknown, with an amount", unknown().set(RESERVED, Given::Double(0.02)), Inconclusive),
            ],
        );
    }

    #[test]
    fn what_was_measured_is_recorded_after_execution() {
        let calls_failed = |mut sample: Sample| {
            sample.calls.iter_mut().for_each(|call| call.status = ERROR);
            sample
        };
        let unreconciled = || allowed().without_event(RECONCILIATION).without(ACTUAL);
        hold(
            acc_3_3_3,
            &[
                ("afterwards", allowed(), Pass),
                ("at the end of the call", allowed().at(RECONCILIATION, 1_090), Pass),
                ("before the end of the call", allowed().at(RECONCILIATION, 1_089), Fail),
                ("before, by another clock", allowed().other_clock().at(RECONCILIATION, 1_089), Inconclusive),
                ("no actual on the span", allowed().without(ACTUAL), Fail),
                ("neither", unreconciled(), Fail),
                ("neither, failed", unreconciled().failed(), Inconclusive),
                ("neither, and the call failed", calls_failed(unreconciled()), Inconclusive),
                ("neither, still open", unreconciled().open(), Inconclusive),
                ("only the attribute", allowed().without_event(RECONCILIATION), Pass),
                ("stopped", stopped(), NotApplicable),
                ("unknown", unknown(), Inconclusive),
            ],
        );
    }

    #[test]
    fn a_reconciliation_carries_both_amounts() {
        hold(
            acc_3_3_5,
            &[
                ("both", allowed(), Pass),
                ("only the actual", allowed().without_on(RECONCILIATION, RESERVED), Fail),
                ("only the reserved", allowed().without_on(RECONCILIATION, ACTUAL), Fail),
                ("left out", allowed().without_on(RECONCILIATION, ACTUAL).with_gaps(), Inconclusive),
                ("none, though it ran", allowed().without_event(RECONCILIATION), NotObserved),
                ("refused", blocked(), NotApplicable),
            ],
        );
    }

    #[test]
    fn what_ran_is_reconciled_once() {
        let unreconciled = || allowed().without_event(RECONCILIATION);
        hold(
            acc_3_3_6,
            &[
                ("once", allowed(), Pass),
                ("twice", allowed().event(RECONCILIATION, 1_096, &[]), Advisory),
                ("never", unreconciled(), Fail),
                ("never, failed", unreconciled().failed(), Inconclusive),
                (
                    "never, failed, and nothing reserved",
                    unreconciled().without_event(RESERVATION).failed(),
                    Fail,
                ),
                ("never, marked", unreconciled().add("acme.incomplete", Given::Bool(true)), Inconclusive),
                (
                    "never, marked as complete",
                    unreconciled().add("acme.incomplete", Given::Bool(false)),
                    Fail,
                ),
                ("never, events left out", unreconciled().with_gaps(), Inconclusive),
                ("stopped", stopped(), NotApplicable),
                ("refused", blocked(), NotApplicable),
                ("unknown", unknown(), Inconclusive),
            ],
        );
    }

    #[test]
    fn amounts_and_unit_are_the_same_everywhere() {
        let amount = |amount| (RESERVED, Given::Double(amount));
        let topped_up = || allowed().event(RESERVATION, 1_003, &[amount(0.03)]);
        hold(
            acc_3_3_7,
            &[
                ("the same", allowed(), Pass),
                (
                    "reserved differs on the reconciliation",
                    allowed().set_on(RECONCILIATION, RESERVED, amount(0.03).1),
                    Fail,
                ),
                ("reserved differs on the span", allowed().set(RESERVED, amount(0.03).1), Fail),
                (
                    "reserved differs by one bit",
                    allowed().set(RESERVED, Given::Double(0.020_000_000_000_000_004)),
                    Fail,
                ),
                ("actual differs", allowed().set(ACTUAL, Given::Double(0.014)), Fail),
                ("unit differs", allowed().set_on(RESERVATION, UNIT, Given::Text("tokens")), Fail),
                ("unit differs in case", allowed().set(UNIT, Given::Text("usd")), Fail),
                ("twice on the span, differing", allowed().add(RESERVED, amount(0.03).1), Fail),
                ("topped up, and the span has the first", topped_up(), Fail),
                (
                    "topped up, and all have the last",
                    topped_up().set(RESERVED, amount(0.03).1).set_on(
                        RECONCILIATION,
                        RESERVED,
                        amount(0.03).1,
                    ),
                    Pass,
                ),
                ("as text", allowed().set(RESERVED, Given::Text("0.02")), Pass),
                (
                    "whole numbers",
                    stopped().set(RESERVED, Given::Int(2)).set_on(RESERVATION, RESERVED, Given::Double(2.0)),
                    Pass,
                ),
                (
                    "only the span",
                    allowed().without_event(RESERVATION).without_event(RECONCILIATION),
                    NotObserved,
                ),
                ("refused", blocked(), NotApplicable),
            ],
        );
    }

    #[test]
    fn amounts_are_doubles_and_the_unit_is_a_string() {
        hold(
            acc_3_4_1,
            &[
                ("a double", allowed(), Pass),
                ("text", allowed().set(RESERVED, Given::Text("0.02")), Fail),
                ("a whole number", allowed().set(RESERVED, Given::Int(1)), Fail),
                ("twice, the second as text", allowed().add(RESERVED, Given::Text("0.02")), Fail),
                ("absent", allowed().without(RESERVED), NotObserved),
                ("refused", blocked(), NotApplicable),
            ],
        );
        let lenient = Strictness { lenient_numeric: true, ..Strictness::default() };
        assert_eq!(allowed().set(RESERVED, Given::Int(1)).ask_strictly(acc_3_4_1, lenient), Advisory);
        hold(
            acc_3_4_2,
            &[
                ("a double", allowed(), Pass),
                ("a whole number", allowed().set(ACTUAL, Given::Int(350)), Fail),
                ("a zero on a refused one", blocked().set(ACTUAL, Given::Double(0.0)), Pass),
                ("more than zero on a refused one", blocked().set(ACTUAL, Given::Double(0.5)), Pass),
                ("a zero on an allowed one", allowed().set(ACTUAL, Given::Double(0.0)), Pass),
                ("stopped", stopped(), NotApplicable),
                ("absent", allowed().without(ACTUAL), NotObserved),
            ],
        );
        hold(
            acc_3_4_3,
            &[("a string", allowed(), Pass), ("a number", allowed().set(UNIT, Given::Int(1)), Fail)],
        );
    }

    #[test]
    fn what_could_not_be_reserved_does_not_run() {
        let late = allowed().decision(1_096, "BLOCKED", "BUDGET_EXCEEDED");
        let second_try = blocked().decision(1_002, "ALLOWED", "").call(1_003, 1_004);
        hold(
            acc_3_5_1,
            &[
                ("refused", blocked(), Pass),
                ("refused as exceeded", refused("BLOCKED", "BUDGET_EXCEEDED"), Pass),
                ("refused, and a call", blocked().call(1_002, 1_003), Fail),
                ("refused, and a call before the decision", blocked().call(1_000, 1_003), Fail),
                ("refused, and an answer", blocked().set("genops.tokens.output", Given::Int(9)), Fail),
                ("refused, and an actual", blocked().set(ACTUAL, Given::Double(0.1)), Fail),
                ("refused, and an actual of zero", blocked().set(ACTUAL, Given::Double(0.0)), Pass),
                (
                    "refused, and a reconciliation alone",
                    blocked().event(RECONCILIATION, 1_009, &[]),
                    Inconclusive,
                ),
                ("refused, spans left out", blocked().with_gaps(), Inconclusive),
                (
                    "refused for another reason, and a call",
                    refused("BLOCKED", "POLICY_DENY_MODEL").call(1_002, 1_003),
                    NotApplicable,
                ),
                ("allowed at the second try", second_try, NotApplicable),
                ("blocked only afterwards", late, NotApplicable),
                ("allowed", allowed(), NotApplicable),
            ],
        );
    }

    #[test]
    fn a_failed_reservation_is_blocked() {
        let failed = "BUDGET_RESERVATION_FAILED";
        hold(
            acc_3_5_2,
            &[
                ("blocked", blocked(), Pass),
                ("blocked as exceeded", refused("BLOCKED", "BUDGET_EXCEEDED"), Pass),
                ("rate limited", refused("RATE_LIMITED", failed), Fail),
                ("a warning, and ran", allowed().decision(1_001, "WARNING", failed), Fail),
                (
                    "a warning on the span only",
                    bare().set(RESULT, Given::Text("WARNING")).set(CODE, Given::Text(failed)),
                    Fail,
                ),
                (
                    "a soft budget warns",
                    allowed().decision(1_001, "WARNING", "BUDGET_EXCEEDED"),
                    NotApplicable,
                ),
                ("a result in small letters", refused("blocked", failed), Fail),
                ("no result", bare().event(DECISION, 1_001, &[(CODE, Given::Text(failed))]), NotApplicable),
                ("allowed", allowed(), NotApplicable),
            ],
        );
    }

    #[test]
    fn a_record_is_not_dropped_without_a_trace() {
        let complete = Strictness { is_complete: true, ..Strictness::default() };
        let unreconciled = || allowed().without_event(RECONCILIATION).without(ACTUAL);
        hold(
            acc_3_5_3,
            &[
                ("reconciled", allowed(), Pass),
                ("not reconciled", unreconciled(), Inconclusive),
                ("marked", unreconciled().add_on(RESERVATION, "acme.incomplete", Given::Bool(true)), Pass),
                ("stopped", stopped(), NotApplicable),
                ("nothing reserved", unknown(), NotApplicable),
            ],
        );
        assert_eq!(unreconciled().ask_strictly(acc_3_5_3, complete), Fail);
        assert_eq!(unreconciled().with_gaps().ask_strictly(acc_3_5_3, complete), Inconclusive);
        assert_eq!(unreconciled().open().ask_strictly(acc_3_5_3, complete), Inconclusive);
    }

    #[test]
    fn a_failed_awu_is_reconciled_too() {
        let unreconciled = || allowed().without_event(RECONCILIATION).without(ACTUAL);
        hold(
            acc_3_5_4,
            &[
                ("reconciled", allowed().failed(), Pass),
                ("reservation only", unreconciled().failed(), Advisory),
                ("reservation only, events left out", unreconciled().failed().with_gaps(), Inconclusive),
                ("reservation only, and nothing shows that it ran", stopped().failed(), Inconclusive),
                (
                    "refused after its reservation",
                    blocked().event(RESERVATION, 1_001, &[]).failed(),
                    NotApplicable,
                ),
                ("did not fail", unreconciled(), NotApplicable),
                ("refused", blocked().failed(), NotApplicable),
            ],
        );
    }

    #[test]
    fn a_guess_is_marked_as_one() {
        let amount = Given::Double(0.02);
        let guess = || allowed().failed().set(ACTUAL, amount).set_on(RECONCILIATION, ACTUAL, amount);
        let mark = |key, value| guess().add_on(RECONCILIATION, key, value);
        hold(
            acc_3_5_5,
            &[
                ("marked", mark("acme.accounting.incomplete", Given::Bool(true)), Pass),
                ("not marked", guess(), Advisory),
                ("marked as text", mark("acme.accounting.incomplete", Given::Text("true")), Advisory),
                ("marked as complete", mark("acme.accounting.incomplete", Given::Bool(false)), Advisory),
                (
                    "marked under a name of the specification",
                    mark("genops.incomplete", Given::Bool(true)),
                    Advisory,
                ),
                ("no actual", allowed().failed().without_on(RECONCILIATION, ACTUAL), Advisory),
                ("measured", allowed().failed(), NotApplicable),
                (
                    "counted on the call",
                    guess().on_calls("gen_ai.usage.output_tokens", Given::Int(9)),
                    NotApplicable,
                ),
                ("counted on the span", guess().set("genops.tokens.output", Given::Int(9)), NotApplicable),
                ("did not fail", allowed().set_on(RECONCILIATION, ACTUAL, amount), NotApplicable),
                (
                    "marked, though it did not fail",
                    allowed().add_on(RECONCILIATION, "acme.incomplete", Given::Bool(true)),
                    Pass,
                ),
                ("not reconciled", stopped().failed(), NotApplicable),
            ],
        );
    }
}
