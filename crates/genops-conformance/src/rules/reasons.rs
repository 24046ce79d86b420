//! Section 5: the taxonomy of reason codes. Which codes there are, and when one is stated.
//!
//! Every rule looks at the span and at every decision event, and heeds the case of letters.

use genops_spec::{DecisionState, ReasonCode};

use super::look::{Decided, decided, worst};
use crate::awu::{Awu, number};
use crate::catalogue::{Id, id};
use crate::key::{ACCOUNTING_RESERVED, BUDGET_REMAINING, POLICY_REASON_CODE, SLA_MET};
use crate::otlp::value::Value;
use crate::rules::{OfAwu, Strictness};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::RSN_5_1_1, rsn_5_1_1),
    (id::RSN_5_2_1, rsn_5_2_1),
    (id::RSN_5_3_1, rsn_5_3_1),
    (id::RSN_5_3_2, rsn_5_3_2),
    (id::RSN_5_4_1, rsn_5_4_1),
    (id::RSN_5_5_1, rsn_5_5_1),
    (id::RSN_5_5_2, rsn_5_5_2),
    (id::RSN_5_5_3, rsn_5_5_3),
];

const ALLOWED: &str = DecisionState::Allowed.as_str();

/// The nine listed codes are all there are, beside extensions.
fn rsn_5_1_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    every_code(awu, listed)
}

/// Each code is used with its meaning: it fits the result and what stands beside it.
fn rsn_5_2_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let about = |decided: Decided<'_, '_>| {
        let text = decided.attributes.text(POLICY_REASON_CODE)?;
        let code: ReasonCode = text.parse().ok()?;
        Some(match mismatch(awu, &decided, &code) {
            Some(expected) => {
                Evidence::new(decided.place, POLICY_REASON_CODE.name(), format!("{text:?}"), expected)
                    .mend("use each code with the meaning that section 5.2 gives it")
                    .advises()
            }
            None if matches!(code, ReasonCode::Extension(_)) => {
                Outcome::NotApplicable("the meaning of an extension code is not defined")
            }
            None => Outcome::Pass,
        })
    };
    or_no_code(awu, worst(decided(awu).filter_map(about)))
}

/// For any result but ALLOWED there is exactly one code.
fn rsn_5_3_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    worst(decided(awu).map(|decided| {
        match decided.result {
            None => return Outcome::NotObserved,
            Some(ALLOWED) => return Outcome::NotApplicable("the result is ALLOWED"),
            Some(_) => {}
        }
        let mut codes = decided.attributes.stated(POLICY_REASON_CODE);
        let observed = match (codes.next(), codes.next()) {
            (Some(Value::Text(text)), None) if !is_list(text) => return Outcome::Pass,
            (Some(first), Some(second)) => format!("the key given twice: {first}, {second}"),
            (Some(other), None) => other.to_string(),
            (None, _) => match decided.gap {
                Some(why) => return Outcome::Inconclusive(why),
                None => "absent".to_owned(),
            },
        };
        Evidence::new(decided.place, POLICY_REASON_CODE.name(), observed, "exactly one code, as a string")
            .mend("state the code that decided, once")
            .fails()
    }))
}

/// With the result ALLOWED there is no code at all.
fn rsn_5_3_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    worst(decided(awu).map(|decided| {
        match (decided.result, decided.attributes.stated(POLICY_REASON_CODE).next()) {
            (None, _) => Outcome::NotObserved,
            (Some(ALLOWED), Some(code)) => Evidence::new(
                decided.place,
                POLICY_REASON_CODE.name(),
                code.to_string(),
                "absent, as the result is ALLOWED",
            )
            .mend("leave the key out; an empty value is a value too")
            .fails(),
            (Some(ALLOWED), None) => decided.gap.map_or(Outcome::Pass, Outcome::Inconclusive),
            (Some(_), _) => Outcome::NotApplicable("the result is not ALLOWED"),
        }
    }))
}

/// A code is a listed one or a valid extension, never free text.
fn rsn_5_4_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    every_code(awu, |code| Some(code.parse::<ReasonCode>().is_ok()))
}

/// Own codes may be added under the prefix `x_`.
fn rsn_5_5_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_extension = |code: &str| matches!(code.parse(), Ok(ReasonCode::Extension(_)));
    match codes(awu).any(|(_, code)| is_extension(code)) {
        true => Outcome::Pass,
        false => Outcome::NotApplicable(NO_EXTENSION),
    }
}

/// An extension code is `x_` and at least one lower-case letter, digit or underscore, and nothing else.
fn rsn_5_5_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let well_formed = |code: &str| is_meant_as_extension(code).then(|| code.parse::<ReasonCode>().is_ok());
    match every_code(awu, well_formed) {
        Outcome::NotObserved => Outcome::NotApplicable(NO_EXTENSION),
        outcome => outcome,
    }
}

/// Codes without the prefix are not invented.
fn rsn_5_5_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    every_code(awu, listed)
}

const NO_EXTENSION: &str = "no extension code is used";

/// The codes that are stated as strings, on the span and on every decision event. The rule about exactly one code
/// tells of what is no string.
fn codes<'l, 'a>(awu: &'l Awu<'a>) -> impl Iterator<Item = (Decided<'l, 'a>, &'a str)> {
    decided(awu).flat_map(|decided| {
        let values = decided.attributes.stated(POLICY_REASON_CODE);
        values.filter_map(move |value| Some((decided, value.text()?)))
    })
}

/// Holds every code against a test, which gives nothing where it does not concern the code.
fn every_code(awu: &Awu<'_>, is_right: impl Fn(&str) -> Option<bool>) -> Outcome {
    let judged = codes(awu).map(|(decided, code)| match is_right(code) {
        Some(true) => Outcome::Pass,
        Some(false) => {
            let expected = "a code of section 5.2, or `x_` and lower-case letters, digits and underscores";
            Evidence::new(decided.place, POLICY_REASON_CODE.name(), Value::Text(code).to_string(), expected)
                .mend("use a listed code or an extension; put the explanation into `genops.policy.reason`")
                .fails()
        }
        None => Outcome::NotObserved,
    });
    or_no_code(awu, worst(judged))
}

/// Where no code was looked at, an AWU that was simply allowed has none to show.
fn or_no_code(awu: &Awu<'_>, outcome: Outcome) -> Outcome {
    let is_allowed = || decided(awu).all(|decided| matches!(decided.result, None | Some(ALLOWED)));
    match outcome {
        Outcome::NotObserved if awu.admission.result.is_some() && is_allowed() => {
            Outcome::NotApplicable("the result is ALLOWED")
        }
        outcome => outcome,
    }
}

/// Whether a code is one of the nine; nothing of one with the prefix.
fn listed(code: &str) -> Option<bool> {
    let is_listed = || ReasonCode::DEFINED.iter().any(|defined| defined.as_str() == code);
    (!code.starts_with("x_")).then(is_listed)
}

/// Whether a code has the prefix, or was meant to.
fn is_meant_as_extension(code: &str) -> bool {
    let mut begin = code.trim_start().bytes();
    matches!((begin.next(), begin.next()), (Some(b'x' | b'X'), Some(b'_' | b'-')))
}

/// Whether a text is a list of codes, joined by whatever no code contains.
fn is_list(text: &str) -> bool {
    let is_separator = |c: char| !(c.is_alphanumeric() || c == '_');
    let mut parts = text.split(is_separator).filter(|part| !part.is_empty());
    let is_code = |part: &str| part.parse::<ReasonCode>().is_ok();
    parts.next().is_some_and(is_code) && parts.next().is_some_and(is_code) && parts.all(is_code)
}

/// "Far above": a refusal for want of budget beside so many times what it wanted.
const FAR: f64 = 10.0;

/// What a code would fit, where it does not fit what stands beside it.
fn mismatch(awu: &Awu<'_>, decided: &Decided<'_, '_>, code: &ReasonCode) -> Option<&'static str> {
    let result = DecisionState::ALL.into_iter().find(|state| Some(state.as_str()) == decided.result);
    let amount = |key| decided.attributes.get(key).or_else(|| awu.get(key)).and_then(number);
    match (result, code) {
        (Some(DecisionState::RateLimited), ReasonCode::RateLimited) => None,
        (Some(DecisionState::RateLimited), _) => Some("RATE_LIMITED, as the result is (AMB-21)"),
        (Some(DecisionState::Blocked), ReasonCode::RateLimited) => Some("the result RATE_LIMITED (AMB-21)"),
        (_, ReasonCode::SlaLatencyViolation) if awu.get(SLA_MET) == Some(Value::Bool(true)) => {
            Some("`genops.sla.met` = false beside it")
        }
        (_, ReasonCode::BudgetExceeded | ReasonCode::BudgetReservationFailed) => {
            let (remaining, reserved) = (amount(BUDGET_REMAINING)?, amount(ACCOUNTING_RESERVED)?);
            (reserved > 0.0 && remaining > FAR * reserved)
                .then_some("a budget that cannot meet the reservation")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{CODE, DECISION, Given, RESULT, Sample, allowed, bare, hold, refused};
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    fn blocked(code: &'static str) -> Sample {
        refused("BLOCKED", code)
    }

    /// A code on the event that is not that of the span.
    fn told(code: &'static str) -> Sample {
        blocked("POLICY_DENY_MODEL").set_on(DECISION, CODE, Given::Text(code))
    }

    #[test]
    fn each_code_is_held_against_each_rule_about_its_form() {
        let rules = [rsn_5_1_1, rsn_5_4_1, rsn_5_5_1, rsn_5_5_2, rsn_5_5_3];
        let (none, other) = (NotObserved, NotApplicable);
        let table = [
            ("POLICY_DENY_REGION", [Pass, Pass, other, other, Pass]),
            ("QUOTA_EXCEEDED", [Fail, Fail, other, other, Fail]),
            ("budget_exceeded", [Fail, Fail, other, other, Fail]),
            ("budget_exhausted_throttle", [Fail, Fail, other, other, Fail]),
            ("Budget exceeded for team", [Fail, Fail, other, other, Fail]),
            ("", [Fail, Fail, other, other, Fail]),
            ("BUDGET_EXCEEDED\n", [Fail, Fail, other, other, Fail]),
            ("x_internal_quota", [none, Pass, Pass, Pass, none]),
            ("x_1", [none, Pass, Pass, Pass, none]),
            ("x__", [none, Pass, Pass, Pass, none]),
            ("x_", [none, Fail, other, Fail, none]),
            ("x_Quota", [none, Fail, other, Fail, none]),
            ("x_quota\n", [none, Fail, other, Fail, none]),
            ("x_a\nx_b", [none, Fail, other, Fail, none]),
            ("x_quöta", [none, Fail, other, Fail, none]),
            ("x_q٣", [none, Fail, other, Fail, none]),
            ("x-quota", [Fail, Fail, other, Fail, Fail]),
            ("X_quota", [Fail, Fail, other, Fail, Fail]),
            (" x_quota", [Fail, Fail, other, Fail, Fail]),
        ];
        for (code, expected) in table {
            assert_eq!(rules.map(|rule| blocked(code).ask(rule)), expected, "{code:?}");
        }
    }

    #[test]
    fn the_span_and_every_event_are_looked_at() {
        for rule in [rsn_5_1_1, rsn_5_4_1, rsn_5_5_3] {
            hold(
                rule,
                &[
                    ("both right", told("BUDGET_EXCEEDED"), Pass),
                    ("the event wrong", told("QUOTA"), Fail),
                    ("the span wrong", blocked("POLICY_DENY_MODEL").set(CODE, Given::Text("QUOTA")), Fail),
                    (
                        "a later event wrong",
                        blocked("POLICY_DENY_MODEL").decision(1_009, "WARNING", "QUOTA"),
                        Fail,
                    ),
                    ("the second of two", blocked("POLICY_DENY_MODEL").add(CODE, Given::Text("QUOTA")), Fail),
                    (
                        "another event",
                        allowed().event("genops.budget.alert", 1_009, &[(CODE, Given::Text("QUOTA"))]),
                        NotApplicable,
                    ),
                    ("no string", bare().set(CODE, Given::Int(1)), NotObserved),
                    ("allowed", allowed(), NotApplicable),
                    ("refused without a code", refused("BLOCKED", "").without(CODE), NotObserved),
                ],
            );
        }
        assert_eq!(told("x_Quota").ask(rsn_5_5_2), Fail);
        assert_eq!(told("x_quota").ask(rsn_5_5_1), Pass);
    }

    #[test]
    fn a_code_that_does_not_fit_is_worth_a_look() {
        let slow = |met| blocked("SLA_LATENCY_VIOLATION").set("genops.sla.met", Given::Bool(met));
        let budget = |remaining: f64| {
            let sample =
                blocked("BUDGET_RESERVATION_FAILED").set("genops.accounting.reserved", Given::Double(1.0));
            sample.set("genops.budget.remaining", Given::Double(remaining))
        };
        hold(
            rsn_5_2_1,
            &[
                ("its own state", refused("RATE_LIMITED", "RATE_LIMITED"), Pass),
                ("blocked by its rate", blocked("RATE_LIMITED"), Advisory),
                ("a warning of its rate", refused("WARNING", "RATE_LIMITED"), Pass),
                ("rate limited by a budget", refused("RATE_LIMITED", "BUDGET_EXCEEDED"), Advisory),
                ("rate limited by an own code", refused("RATE_LIMITED", "x_quota"), Advisory),
                ("a latency that was missed", slow(false), Pass),
                ("a latency that was met", slow(true), Advisory),
                ("a budget that is short", budget(0.5), Pass),
                ("a budget at the boundary", budget(10.0), Pass),
                ("a budget with plenty left", budget(10.1), Advisory),
                ("only the event does not fit", told("RATE_LIMITED"), Advisory),
                ("an own code", blocked("x_quota"), NotApplicable),
                ("free text", blocked("no quota"), NotObserved),
                ("allowed", allowed(), NotApplicable),
            ],
        );
    }

    #[test]
    fn there_is_exactly_one_code() {
        let second = Given::Text("RATE_LIMITED");
        hold(
            rsn_5_3_1,
            &[
                ("one", blocked("BUDGET_EXCEEDED"), Pass),
                ("one of the nine or not", blocked("QUOTA"), Pass),
                ("free text", blocked("Budget exceeded for team"), Pass),
                ("joined by a comma", blocked("BUDGET_EXCEEDED,RATE_LIMITED"), Fail),
                ("joined by a bar and blanks", blocked("BUDGET_EXCEEDED | x_quota"), Fail),
                ("joined by a line break", blocked("x_a\nx_b"), Fail),
                ("written as a list", blocked("[\"BUDGET_EXCEEDED\",\"RATE_LIMITED\"]"), Fail),
                ("joined on the event only", told("BUDGET_EXCEEDED;RATE_LIMITED"), Fail),
                ("a list", blocked("BUDGET_EXCEEDED").set(CODE, Given::List(&["BUDGET_EXCEEDED"])), Fail),
                ("the key twice", blocked("BUDGET_EXCEEDED").add(CODE, second), Fail),
                (
                    "the key twice on the event",
                    blocked("BUDGET_EXCEEDED").add_on(DECISION, CODE, second),
                    Fail,
                ),
                ("none", blocked("BUDGET_EXCEEDED").without(CODE), Fail),
                ("none on the event", blocked("BUDGET_EXCEEDED").without_on(DECISION, CODE), Fail),
                ("left out", blocked("BUDGET_EXCEEDED").without(CODE).with_gaps(), Inconclusive),
                ("allowed", allowed(), NotApplicable),
                ("no result", bare().set(CODE, second), NotObserved),
            ],
        );
    }

    #[test]
    fn what_is_allowed_has_no_code() {
        hold(
            rsn_5_3_2,
            &[
                ("none", allowed(), Pass),
                ("one on the span", allowed().set(CODE, Given::Text("BUDGET_EXCEEDED")), Fail),
                ("one on the event", allowed().set_on(DECISION, CODE, Given::Text("BUDGET_EXCEEDED")), Fail),
                ("an empty one", allowed().set(CODE, Given::Text("")), Fail),
                ("an empty value", allowed().set(CODE, Given::Empty), Fail),
                (
                    "one on the span, which has no result",
                    allowed().without(RESULT).set(CODE, Given::Text("x_a")),
                    Fail,
                ),
                ("a later warning has its own", allowed().decision(1_096, "WARNING", "x_a"), Pass),
                ("left out", allowed().with_gaps(), Inconclusive),
                ("blocked", blocked("BUDGET_EXCEEDED"), NotApplicable),
                ("no result", bare(), NotObserved),
            ],
        );
    }
}
