//! Section 7 and 7.1: the namespace, and the attributes that every AWU's span has to carry.
//!
//! The exemptions of 7.1 hang on how far the AWU's life came, and on nothing that it says of itself.

use genops_spec::DecisionState;
use genops_spec::attribute::When;
use genops_spec::event::BUDGET_RECONCILIATION;

use super::look::{Place, STILL_OPEN, has_completed_call, missing, places, required, worst};
use super::{OfAwu, Strictness, versions};
use crate::awu::{Awu, State, number};
use crate::catalogue::{Id, id};
use crate::key::{
    ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, ACCOUNTING_UNIT, ENVIRONMENT, Key, OPERATION_NAME,
    OPERATION_TYPE, POLICY_REASON_CODE, POLICY_RESULT, PROJECT, TEAM, VERSION,
};
use crate::otlp::value::{NAMESPACE, Value};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::NS_7_1, ns_7_1),
    (id::NS_7_2, ns_7_2),
    (id::ATT_7_1_1, att_7_1_1),
    (id::ATT_7_1_2, att_7_1_2),
    (id::ATT_7_1_3, att_7_1_3),
    (id::ATT_7_1_4, att_7_1_4),
    (id::ATT_7_1_5, att_7_1_5),
    (id::ATT_7_1_6, att_7_1_6),
    (id::ATT_7_1_7, att_7_1_7),
    (id::ATT_7_1_8, att_7_1_8),
    (id::ATT_7_1_9, att_7_1_9),
    (id::ATT_7_1_10, att_7_1_10),
    (id::ATT_7_1_11, att_7_1_11),
    (id::ATT_7_1_12, att_7_1_12),
    (id::ATT_7_1_13, att_7_1_13),
    (id::ATT_7_1_14, att_7_1_14),
];

const REFUSED: &str = "a decision refused it before reservation";
const STOPPED: &str = "it was stopped before execution (AMB-02)";
/// Why what is due after execution is not certain to be due.
pub const UNCERTAIN: &str = "nothing shows whether its execution was completed";

/// The specification's attributes stand under `genops.`, in exactly its letters.
fn ns_7_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let mut is_seen = false;
    for (place, attributes) in places(awu) {
        // Mostly all names of the namespace are known already.
        let is_plain = attributes.has_genops() && !attributes.has_strangers();
        is_seen |= is_plain;
        let is_open = |(key, _): &&(&str, Value<'_>)| !is_plain || !key.starts_with(NAMESPACE);
        for (key, value) in attributes.all().iter().filter(is_open) {
            match nearly_named(key) {
                Some(meant) if meant.name() != *key => {
                    let evidence = Evidence::new(place, (*key).to_owned(), value.to_string(), meant.name());
                    return evidence.mend(format!("write the key as `{}`", meant.name())).fails();
                }
                meant => is_seen |= meant.is_some(),
            }
        }
    }
    if is_seen { Outcome::Pass } else { Outcome::NotObserved }
}

/// What the specification defines is not told under another namespace: in place of an attribute that is due that
/// breaks it, beside one it is worth a look.
fn ns_7_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let shadows =
        awu.span.attributes.all().iter().filter_map(|(key, value)| Some((*key, value, shadowed(key)?)));
    let outcomes = shadows.map(|(key, value, meant)| {
        let evidence = Evidence::new(Place::Span, key.to_owned(), value.to_string(), meant.name());
        match awu.get(meant) {
            None if is_due(awu, meant) => match awu.gaps.attributes {
                Some(why) => Outcome::Inconclusive(why),
                None => evidence.mend(format!("tell it as `{}`", meant.name())).fails(),
            },
            _ => evidence.mend(format!("let `{}` alone tell it", meant.name())).advises(),
        }
    });
    match worst(outcomes) {
        Outcome::NotObserved => Outcome::Pass,
        outcome => outcome,
    }
}

/// `genops.team` stands on every AWU.
fn att_7_1_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, TEAM, strictness)
}

/// `genops.project` stands on every AWU.
fn att_7_1_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, PROJECT, strictness)
}

/// `genops.environment` stands on every AWU.
fn att_7_1_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, ENVIRONMENT, strictness)
}

/// `genops.operation.name` stands on every AWU.
fn att_7_1_4(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, OPERATION_NAME, strictness)
}

/// `genops.operation.type` stands on every AWU, with whatever category.
fn att_7_1_5(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, OPERATION_TYPE, strictness)
}

/// `genops.accounting.reserved` stands on every AWU that was not refused before reservation.
fn att_7_1_6(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    unless_refused(awu, ACCOUNTING_RESERVED, strictness)
}

/// `genops.accounting.actual` stands on every AWU that was neither refused nor stopped.
fn att_7_1_7(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match awu.state {
        State::RefusedBeforeReservation => Outcome::NotApplicable(REFUSED),
        State::StoppedAfterReservation => actual_of_stopped(awu),
        State::ExecutedComplete => actual_of_completed(awu, strictness),
        State::ExecutedIncomplete if has_completed_call(awu) => actual_of_completed(awu, strictness),
        State::ExecutedIncomplete | State::Indeterminate => Outcome::Inconclusive(UNCERTAIN),
    }
}

/// `genops.accounting.unit` stands on every AWU that was not refused before reservation.
fn att_7_1_8(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    unless_refused(awu, ACCOUNTING_UNIT, strictness)
}

/// `genops.policy.result` stands on every AWU.
fn att_7_1_9(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, POLICY_RESULT, strictness)
}

/// `genops.policy.reason_code` stands on every AWU whose result is not ALLOWED.
fn att_7_1_10(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match result(awu) {
        None => Outcome::NotObserved,
        Some(result) if result == DecisionState::Allowed.as_str() => {
            Outcome::NotApplicable("the result is ALLOWED")
        }
        Some(_) => required(awu, POLICY_REASON_CODE, strictness),
    }
}

/// `genops.spec.version` stands on every AWU, whatever its state, as three numbers.
fn att_7_1_11(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match required(awu, VERSION, strictness) {
        Outcome::Pass => versions::form(awu),
        outcome => outcome,
    }
}

/// An AWU that was refused before reservation may leave out what is accounted.
fn att_7_1_12(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let accounting = [ACCOUNTING_RESERVED, ACCOUNTING_ACTUAL, ACCOUNTING_UNIT];
    match awu.state {
        State::RefusedBeforeReservation if accounting.iter().any(|key| awu.get(*key).is_none()) => {
            Outcome::Pass
        }
        State::RefusedBeforeReservation => Outcome::NotApplicable("it leaves nothing out"),
        _ => Outcome::NotApplicable("it was not refused before reservation"),
    }
}

/// Once there is a reservation, amount and unit stand on the AWU, even if it is then stopped.
fn att_7_1_13(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if awu.has_reservation() {
        return worst([ACCOUNTING_RESERVED, ACCOUNTING_UNIT].into_iter().map(|key| present(awu, key)));
    }
    match awu.state {
        State::RefusedBeforeReservation => Outcome::NotApplicable(REFUSED),
        _ => Outcome::NotObserved,
    }
}

/// Once execution is complete, the actual amount stands on the AWU.
fn att_7_1_14(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_reconciled = !awu.is_refused() && awu.has_event(&BUDGET_RECONCILIATION);
    match awu.state {
        _ if is_reconciled || has_completed_call(awu) => match awu.get(ACCOUNTING_ACTUAL) {
            None if awu.span.end == 0 => Outcome::Inconclusive(STILL_OPEN),
            _ => present(awu, ACCOUNTING_ACTUAL),
        },
        State::RefusedBeforeReservation => Outcome::NotApplicable(REFUSED),
        State::StoppedAfterReservation => Outcome::NotApplicable(STOPPED),
        _ if awu.get(ACCOUNTING_ACTUAL).is_some() => Outcome::Pass,
        _ => Outcome::Inconclusive(UNCERTAIN),
    }
}

/// It is there, of whatever type: that is the subject of section 3.4.
fn present(awu: &Awu<'_>, key: Key) -> Outcome {
    if awu.get(key).is_some() { Outcome::Pass } else { missing(awu, key) }
}

fn unless_refused(awu: &Awu<'_>, key: Key, strictness: Strictness) -> Outcome {
    match awu.state {
        State::RefusedBeforeReservation => Outcome::NotApplicable(REFUSED),
        _ => required(awu, key, strictness),
    }
}

/// What is measured is there once execution is complete, if the span is.
fn actual_of_completed(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match awu.get(ACCOUNTING_ACTUAL) {
        None if awu.span.end == 0 => Outcome::Inconclusive(STILL_OPEN),
        _ => required(awu, ACCOUNTING_ACTUAL, strictness),
    }
}

/// An AWU that was stopped after reservation has nothing to measure; a zero says that it was measured.
fn actual_of_stopped(awu: &Awu<'_>) -> Outcome {
    match awu.get(ACCOUNTING_ACTUAL) {
        Some(value) if number(value) == Some(0.0) => {
            let expected = "no actual on an AWU that was stopped after reservation (AMB-02)";
            let evidence = Evidence::new(Place::Span, ACCOUNTING_ACTUAL.name(), value.to_string(), expected);
            evidence.mend("leave it out: nothing ran, so nothing was measured").advises()
        }
        _ => Outcome::NotApplicable(STOPPED),
    }
}

/// The result that an AWU was given: on its span, or else by its admission.
fn result<'a>(awu: &Awu<'a>) -> Option<&'a str> {
    awu.text(POLICY_RESULT).or(awu.admission.result)
}

/// Whether section 7.1 asks for an attribute on this AWU.
fn is_due(awu: &Awu<'_>, key: Key) -> bool {
    match key.attribute().when {
        When::Always => true,
        When::Refused => result(awu).is_some_and(|result| result != DecisionState::Allowed.as_str()),
        When::Reserved => awu.state != State::RefusedBeforeReservation,
        When::Executed => awu.state == State::ExecutedComplete || (awu.executed() && has_completed_call(awu)),
        When::Optional => false,
    }
}

/// The attribute of the specification that a key is, but for the case of its letters.
fn nearly_named(key: &str) -> Option<Key> {
    if key.starts_with(NAMESPACE)
        && let Some(named) = Key::named(key)
    {
        return Some(named);
    }
    let is_near = key.get(..NAMESPACE.len()).is_some_and(|head| head.eq_ignore_ascii_case(NAMESPACE));
    if is_near { Key::named(&key.to_ascii_lowercase()) } else { None }
}

/// Where OpenTelemetry itself has attributes whose names end alike, such as `gen_ai.operation.name`. They mean what
/// it says (section 1.3), and shadow nothing.
const OPENTELEMETRY: [&str; 5] = ["db.", "deployment.", "gen_ai.", "graphql.", "messaging."];

/// The attribute of the specification that a key of another namespace ends in: all of its name behind `genops.`.
fn shadowed(key: &str) -> Option<Key> {
    if key.starts_with(NAMESPACE) || OPENTELEMETRY.iter().any(|head| key.starts_with(head)) {
        return None;
    }
    let rests = key.match_indices('.').filter_map(|(at, dot)| key.get(at + dot.len()..));
    rests.filter_map(Key::within).next()
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

    fn stopped() -> Sample {
        allowed().without(ACTUAL).without_event(RECONCILIATION).without_calls()
    }

    fn indeterminate() -> Sample {
        stopped().without_event(RESERVATION)
    }

    fn with_resource(sample: Sample, key: &'static str, value: Given) -> Sample {
        Sample { resource: vec![(key, value)], ..sample }
    }

    #[test]
    fn a_key_in_other_letters_is_another_key() {
        let text = Given::Text("payments");
        hold(
            ns_7_1,
            &[
                ("as it is", allowed(), Pass),
                ("capital", allowed().set("Genops.team", text), Fail),
                ("capital behind the dot", allowed().set("genops.Team", text), Fail),
                ("on an event", allowed().set_on(DECISION, "GENOPS.TEAM", text), Fail),
                ("an unknown key", allowed().set("genops.Teams", text), Pass),
                ("foreign keys", allowed().set("Acme.team", text).set("genopsé.team", text), Pass),
                ("none", crate::rules::sample::bare().set("genops.x", text), NotObserved),
            ],
        );
    }

    #[test]
    fn a_concept_under_another_namespace_fails_in_place_of_what_is_due() {
        let text = Given::Text("payments");
        let moved = |key: &'static str, to: &'static str| allowed().without(key).set(to, text);
        hold(
            ns_7_2,
            &[
                ("none", allowed(), Pass),
                ("OpenTelemetry's own", moved("genops.operation.name", "gen_ai.operation.name"), Pass),
                ("in place of the result", moved(RESULT, "acme.policy.result"), Fail),
                ("in place of the team", moved("genops.team", "acme.team"), Fail),
                ("deep", moved("genops.team", "a.b.c.team"), Fail),
                ("beside it", allowed().set("acme.team", text), Advisory),
                ("in place of something optional", allowed().set("acme.session_id", text), Advisory),
                ("a code on an ALLOWED one", allowed().set("acme.policy.reason_code", text), Advisory),
                (
                    "a code on a refused one",
                    blocked().without(CODE).set("acme.policy.reason_code", text),
                    Fail,
                ),
                ("an amount on a refused one", blocked().set("acme.accounting.reserved", text), Advisory),
                ("left out", moved("genops.team", "acme.team").with_gaps(), Inconclusive),
                ("no dot before it", moved("genops.team", "acme_team"), Pass),
                (
                    "a part of a name",
                    allowed().without("genops.spec.version").set("acme.version", text),
                    Pass,
                ),
                ("of this project", allowed().set("genops_runtime.policy.version", text), Pass),
                ("of this project, too", allowed().set("genops_runtime.key", text), Pass),
            ],
        );
    }

    #[test]
    fn six_attributes_stand_on_every_awu_whatever_became_of_it() {
        let rules: &[(OfAwu, &'static str)] = &[
            (att_7_1_1, "genops.team"),
            (att_7_1_2, "genops.project"),
            (att_7_1_3, "genops.environment"),
            (att_7_1_4, "genops.operation.name"),
            (att_7_1_5, "genops.operation.type"),
            (att_7_1_9, RESULT),
            (att_7_1_11, "genops.spec.version"),
        ];
        for (rule, key) in rules {
            hold(
                *rule,
                &[
                    ("present", allowed(), Pass),
                    ("present on a refused one", blocked(), Pass),
                    ("absent", allowed().without(key), Fail),
                    ("absent on a refused one", blocked().without(key), Fail),
                    (
                        "on the resource alone",
                        with_resource(allowed().without(key), key, Given::Text("x")),
                        Fail,
                    ),
                    ("an integer", allowed().set(key, Given::Int(1)), Fail),
                    ("left out", allowed().without(key).with_gaps(), Inconclusive),
                ],
            );
        }
    }

    #[test]
    fn a_version_that_is_not_three_numbers_fails() {
        let version = |text| allowed().set("genops.spec.version", Given::Text(text));
        hold(att_7_1_11, &[("0.1", version("0.1"), Fail), ("0.2.0", version("0.2.0"), Pass)]);
    }

    #[test]
    fn only_a_refusal_before_reservation_excuses_amount_and_unit() {
        for (rule, key) in [(att_7_1_6 as OfAwu, RESERVED), (att_7_1_8, UNIT)] {
            hold(
                rule,
                &[
                    ("completed", allowed(), Pass),
                    ("completed, absent", allowed().without(key), Fail),
                    ("blocked, absent", blocked(), NotApplicable),
                    ("rate limited, absent", refused("RATE_LIMITED", "RATE_LIMITED"), NotApplicable),
                    ("stopped, absent", stopped().without(key), Fail),
                    ("indeterminate, absent", indeterminate().without(key), Fail),
                    ("blocked, and ran", blocked().call(1_010, 1_020), Fail),
                    ("of another type", allowed().set(key, Given::Int(1)), Fail),
                ],
            );
        }
    }

    #[test]
    fn the_actual_amount_is_due_where_execution_was_completed() {
        let unmeasured = allowed().without(ACTUAL);
        let unreconciled = unmeasured.clone().without_event(RECONCILIATION);
        for rule in [att_7_1_7 as OfAwu, att_7_1_14] {
            hold(
                rule,
                &[
                    ("completed", allowed(), Pass),
                    ("reconciled, absent", unmeasured.clone(), Fail),
                    ("called to the end, absent", unreconciled.clone(), Fail),
                    (
                        "an open call, absent",
                        unreconciled.clone().without_calls().call(1_003, 0),
                        Inconclusive,
                    ),
                    ("answered, absent", stopped().set("genops.tokens.output", Given::Int(1)), Inconclusive),
                    ("not ended, absent", unmeasured.clone().open(), Inconclusive),
                    ("blocked", blocked(), NotApplicable),
                    ("stopped", stopped(), NotApplicable),
                    ("indeterminate", indeterminate(), Inconclusive),
                    ("measured, no event", indeterminate().set(ACTUAL, Given::Double(1.0)), Pass),
                ],
            );
        }
        let integer = || allowed().set(ACTUAL, Given::Int(1));
        hold(att_7_1_7, &[("an integer", integer(), Fail)]);
        hold(att_7_1_14, &[("an integer, but there", integer(), Pass)]);
        let zero = blocked().event(RESERVATION, 1_002, &[]).set(ACTUAL, Given::Double(0.0));
        hold(att_7_1_7, &[("stopped, a zero", zero, Advisory)]);
    }

    #[test]
    fn an_integer_for_a_double_is_worth_a_look_if_the_judge_is_lenient() {
        let lenient = Strictness { lenient_numeric: true, ..Strictness::default() };
        let sample = allowed().set(RESERVED, Given::Int(1));
        assert_eq!(sample.ask_strictly(att_7_1_6, lenient), Advisory);
        assert_eq!(sample.ask(att_7_1_6), Fail);
    }

    #[test]
    fn a_reason_code_is_due_where_the_result_is_not_allowed() {
        hold(
            att_7_1_10,
            &[
                ("allowed", allowed(), NotApplicable),
                ("blocked", blocked(), Pass),
                ("blocked, on the event alone", blocked().without(CODE), Fail),
                ("a result on the event alone", blocked().without(RESULT).without(CODE), Fail),
                ("no result", allowed().without(RESULT).without_event(DECISION), NotObserved),
                ("a list", blocked().set(CODE, Given::List(&["BUDGET_EXCEEDED"])), Fail),
            ],
        );
    }

    #[test]
    fn a_refused_awu_needs_no_amounts() {
        let told = [(RESERVED, Given::Double(0.0)), (ACTUAL, Given::Double(0.0)), (UNIT, Given::Text("USD"))];
        let all = told.into_iter().fold(blocked(), |sample, (key, value)| sample.set(key, value));
        hold(
            att_7_1_12,
            &[
                ("blocked", blocked(), Pass),
                ("blocked, with all", all, NotApplicable),
                ("allowed", allowed().without(RESERVED), NotApplicable),
                ("stopped", stopped(), NotApplicable),
            ],
        );
    }

    #[test]
    fn a_reservation_puts_amount_and_unit_on_the_span() {
        hold(
            att_7_1_13,
            &[
                ("completed", allowed(), Pass),
                ("stopped", stopped(), Pass),
                ("stopped, no unit", stopped().without(UNIT), Fail),
                ("stopped, no amount", stopped().without(RESERVED), Fail),
                ("blocked", blocked(), NotApplicable),
                ("no event", indeterminate(), NotObserved),
            ],
        );
    }
}
