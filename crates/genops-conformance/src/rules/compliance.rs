//! Section 9.1: values that mean something, looked at on each AWU, and the eight items, summed up from the rules of
//! the other sections.
//!
//! What is said of a claim is in [`claims`](super::claims).

use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION, POLICY_EVALUATED};

use super::look::{Place, worst};
use super::words::{is_doubtful, is_placeholder, trimmed};
use super::{OfAwu, OfCapture, OfVerdicts, Strictness};
use crate::across::{Across, Variety};
use crate::awu::{Awu, number};
use crate::catalogue::{Checkable, Id, Requirement, Subject, id};
use crate::key::{
    ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, ACCOUNTING_UNIT, ENVIRONMENT, Key, OPERATION_NAME,
    OPERATION_TYPE, POLICY_REASON_CODE, POLICY_RESULT, PROJECT, TEAM, VERSION,
};
use crate::level::Verdicts;
use crate::otlp::record::Event;
use crate::otlp::value::{Attributes, Value};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[(id::CMP_9_1_8, cmp_9_1_8), (id::CMP_9_1_9, cmp_9_1_9)];

/// The rules of this section that look at the capture as a whole.
pub const OF_CAPTURE: &[(Id, OfCapture)] = &[(id::CMP_9_1_8, cmp_9_1_8_variety)];

/// The rules that sum up others.
pub const OF_VERDICTS: &[(Id, OfVerdicts)] = &[
    (id::CMP_9_1_1, cmp_9_1_1),
    (id::CMP_9_1_2, cmp_9_1_2),
    (id::CMP_9_1_3, cmp_9_1_3),
    (id::CMP_9_1_4, cmp_9_1_4),
    (id::CMP_9_1_5, cmp_9_1_5),
    (id::CMP_9_1_6, cmp_9_1_6),
    (id::CMP_9_1_7, cmp_9_1_7),
    (id::CMP_9_4_1, cmp_9_4_1),
];

/// From so many measured AWUs up it is suspicious that each used exactly what was reserved.
const COPIES_FROM: u64 = 20;

/// From so many measured AWUs up it is suspicious that all used the same, though unlike amounts were reserved.
const CONSTANT_FROM: u64 = 100;

/// Every attribute that is not optional.
const REQUIRED: &[Key] = &[
    TEAM,
    PROJECT,
    ENVIRONMENT,
    OPERATION_NAME,
    OPERATION_TYPE,
    VERSION,
    POLICY_RESULT,
    POLICY_REASON_CODE,
    ACCOUNTING_RESERVED,
    ACCOUNTING_UNIT,
    ACCOUNTING_ACTUAL,
];

/// Item 1: every AWU carries the attributes of section 7.1.
fn cmp_9_1_1(verdicts: &Verdicts<'_>) -> Outcome {
    verdicts.roll_up(members(|it| it.id.starts_with("ATT-7.1-")))
}

/// Item 2: reservation comes before execution.
fn cmp_9_1_2(verdicts: &Verdicts<'_>) -> Outcome {
    const OTHERS: &[&str] = &["AWU-2.4-1", "AWU-2.4-2", "DEC-4.1-2", "DEC-4.1-4"];
    let is_member = |it: &Requirement| {
        it.id.starts_with("ACC-3.3-") || it.id.starts_with("ACC-3.5-") || OTHERS.contains(&it.id)
    };
    match verdicts.roll_up(members(is_member)) {
        // Without a model call nobody sees what the reservation came before.
        Outcome::Pass if verdicts.variety.called == 0 => Outcome::NotObserved,
        outcome => outcome,
    }
}

/// Item 3: the events of section 7.2 come at their points of the lifecycle, as section 8 has them.
fn cmp_9_1_3(verdicts: &Verdicts<'_>) -> Outcome {
    let is_schema = |it: &Requirement| {
        it.item == 3 && ["SCH-8.1-", "SCH-8.2-", "SCH-8.3-"].iter().any(|schema| it.id.starts_with(schema))
    };
    verdicts.roll_up(members(|it| it.id.starts_with("EVT-7.2") || is_schema(it)))
}

/// Item 4: results are of the four states.
fn cmp_9_1_4(verdicts: &Verdicts<'_>) -> Outcome {
    const MEMBERS: &[&str] = &["DEC-4.1-1", "DEC-4.1-5", "DEC-4.2-1", "SCH-8.1-1"];
    verdicts.roll_up(members(|it| MEMBERS.contains(&it.id)))
}

/// Item 5: reason codes are listed ones or extensions.
fn cmp_9_1_5(verdicts: &Verdicts<'_>) -> Outcome {
    const OTHERS: &[&str] = &["DEC-4.2-2", "SCH-8.1-2", "SCH-8.1-3"];
    verdicts.roll_up(members(|it| it.id.starts_with("RSN-5.") || OTHERS.contains(&it.id)))
}

/// Item 6: no two AWUs share an identity.
fn cmp_9_1_6(verdicts: &Verdicts<'_>) -> Outcome {
    verdicts.roll_up(members(|it| it.id.starts_with("AWU-2.2-")))
}

/// Item 7: attribution does not change.
fn cmp_9_1_7(verdicts: &Verdicts<'_>) -> Outcome {
    const MEMBERS: &[&str] = &["AWU-2.3-4", "AWU-2.3-5", "DEC-4.4-1"];
    verdicts.roll_up(members(|it| MEMBERS.contains(&it.id)))
}

/// Item 8: required values mean something. Worth a look: an operation that is named by its type, nothing reserved
/// for an AWU that ran, a unit of one character, one word for team, project and environment.
fn cmp_9_1_8(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match required_meaning(awu) {
        Outcome::Pass | Outcome::Advisory(_) => suspicion(awu).map_or(Outcome::Pass, Evidence::advises),
        outcome => outcome.clone(),
    }
}

/// Item 8 over the capture. Worth a look: an actual amount above 0 that equals the reserved one on every one of at
/// least 20 measured AWUs; one actual amount on at least 100 measured AWUs for which unlike amounts were reserved.
/// What is constant otherwise may well be so: a capture of one operation has one name.
fn cmp_9_1_8_variety(across: &Across, _: Strictness) -> Outcome {
    let Variety { awus, measured, equal, reserved_varies, actual_varies, .. } = across.variety;
    let evidence = |observed: String| {
        Evidence::new("capture", ACCOUNTING_ACTUAL.name(), observed, "amounts that were measured")
            .mend("record what was used, not what was reserved or assumed")
            .advises()
    };
    match awus {
        0 => Outcome::NotObserved,
        _ if measured >= COPIES_FROM && equal == measured => {
            evidence(format!("equal to what was reserved, on all {measured} measured AWUs"))
        }
        _ if measured >= CONSTANT_FROM && reserved_varies && !actual_varies => {
            evidence(format!("the same on all {measured} measured AWUs, though unlike amounts were reserved"))
        }
        _ => Outcome::NotApplicable("nothing about the amounts of the capture is suspicious"),
    }
}

/// Item 8: no required attribute, on the span or on a required event, is null, empty, a placeholder or no possible
/// amount.
fn cmp_9_1_9(awu: &Awu<'_>, _: Strictness) -> Outcome {
    required_meaning(awu).clone()
}

/// The gating statements of full compliance are all seen in the telemetry.
fn cmp_9_4_1(verdicts: &Verdicts<'_>) -> Outcome {
    match verdicts.awus > 0 && verdicts.unseen(false).next().is_none() {
        true => Outcome::Pass,
        false => Outcome::NotObserved,
    }
}

/// The members of a roll-up: of those that are meant, the statements that bind a runtime and that telemetry can show.
fn members(is_meant: impl Fn(&Requirement) -> bool) -> impl Iterator<Item = Id> {
    Id::all().filter(move |id| {
        let it = id.requirement();
        is_meant(it) && it.subject == Subject::Runtime && it.level.binds() && it.checkable != Checkable::No
    })
}

/// Whether the required values of an AWU mean something, wherever they stand.
fn required_meaning<'l>(awu: &'l Awu<'_>) -> &'l Outcome {
    awu.meaning.get_or_init(|| {
        let on_span = meanings(Place::Span, &awu.span.attributes, REQUIRED.iter().copied());
        let on_events = awu.events.iter().flat_map(|told| {
            let Event { name, attributes, .. } = told.event;
            meanings(Place::Event(name), attributes, required_on(name).iter().copied())
        });
        worst(on_span.chain(on_events))
    })
}

/// The attributes that each of the required events has to carry.
fn required_on(event: &str) -> &'static [Key] {
    match event {
        _ if event == POLICY_EVALUATED.name => &[POLICY_RESULT, POLICY_REASON_CODE],
        _ if event == BUDGET_RESERVATION.name => &[ACCOUNTING_RESERVED, ACCOUNTING_UNIT],
        _ if event == BUDGET_RECONCILIATION.name => {
            &[ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, ACCOUNTING_UNIT]
        }
        _ => &[],
    }
}

fn meanings<'a>(
    place: Place<'a>,
    attributes: &'a Attributes<'_>,
    keys: impl Iterator<Item = Key> + 'a,
) -> impl Iterator<Item = Outcome> + 'a {
    keys.filter_map(move |key| attributes.get(key).map(|value| meaning(place, key, &value)))
}

/// Whether the value of a required attribute means something.
fn meaning(place: Place<'_>, key: Key, value: &Value<'_>) -> Outcome {
    let left = value.text().map_or("", trimmed);
    let what = match value {
        Value::Empty | Value::Malformed => "null",
        Value::Array(_) | Value::Map(_) | Value::Bytes(_) => "not a single value",
        Value::Text(_) if left.is_empty() => "empty",
        Value::Text(_) if is_placeholder(left) => "a placeholder",
        Value::Text(_) if is_doubtful(left) => {
            let evidence = Evidence::new(place, key.name(), value.to_string(), "a name that says which one");
            return evidence.mend("make sure that somebody chose this value").advises();
        }
        Value::Double(double) if !double.is_finite() => "no number",
        Value::Double(double) if *double < 0.0 => "negative",
        Value::Int(int) if *int < 0 => "negative",
        Value::Text(_) | Value::Double(_) | Value::Int(_) | Value::Bool(_) => return Outcome::Pass,
    };
    let evidence =
        Evidence::new(place, key.name(), format!("{value}: {what}"), "a value that means something");
    evidence.mend("set the real value, or do not begin the AWU before it is known").fails()
}

/// What may well be meant, and mostly is not.
fn suspicion(awu: &Awu<'_>) -> Option<Evidence> {
    let on_span = |key: Key, observed: String, expected: &'static str| {
        Some(Evidence::new(Place::Span, key.name(), observed, expected).mend("make sure that this is meant"))
    };
    let equal = |one: Key, other: Key| match (awu.text(one), awu.text(other)) {
        (Some(one), Some(other)) => trimmed(one).eq_ignore_ascii_case(trimmed(other)),
        _ => false,
    };
    let shown = |key: Key| awu.get(key).map_or_else(String::new, |value| value.to_string());
    if equal(OPERATION_NAME, OPERATION_TYPE) {
        return on_span(
            OPERATION_NAME,
            shown(OPERATION_NAME),
            "a name that says more than the operation's type",
        );
    }
    if awu.executed() && awu.get(ACCOUNTING_RESERVED).and_then(number) == Some(0.0) {
        return on_span(ACCOUNTING_RESERVED, shown(ACCOUNTING_RESERVED), "above 0 on an AWU that ran");
    }
    if awu.text(ACCOUNTING_UNIT).is_some_and(|unit| trimmed(unit).chars().nth(1).is_none()) {
        return on_span(
            ACCOUNTING_UNIT,
            shown(ACCOUNTING_UNIT),
            "a unit that everybody reads alike, such as USD",
        );
    }
    if equal(TEAM, PROJECT) && equal(PROJECT, ENVIRONMENT) {
        return on_span(TEAM, shown(TEAM), "unlike words for team, project and environment");
    }
    None
}

#[cfg(test)]
mod tests {
    use genops_spec::attribute::When;

    use super::*;
    use crate::key;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, RECONCILIATION, RESERVATION, RESERVED, RESULT, UNIT, allowed, bare,
        hold, refused, verdict,
    };
    use crate::verdict::Verdict::{self, Advisory, Fail, NotApplicable, NotObserved, Pass};

    #[test]
    fn required_is_what_is_not_optional() {
        let required = key::all().filter(|key| key.attribute().when != When::Optional);
        assert_eq!(required.collect::<Vec<_>>(), REQUIRED);
    }

    const TEXTS: &[&str] = &[
        "genops.team",
        "genops.project",
        "genops.environment",
        "genops.operation.name",
        "genops.operation.type",
        "genops.spec.version",
        RESULT,
        UNIT,
    ];

    #[test]
    fn one_of_each_class_of_empty_values_fails_in_both_statements() {
        let values = [
            Given::Text(""),
            Given::Text(" \u{a0}\t"),
            Given::Empty,
            Given::Text("TBD"),
            Given::Text("<team>"),
            Given::List(&["a"]),
        ];
        for key in TEXTS {
            for value in values {
                let sample = allowed().set(key, value);
                hold(cmp_9_1_9, &[(key, sample.clone(), Fail)]);
                hold(cmp_9_1_8, &[(key, sample, Fail)]);
            }
        }
        let numbers = [
            Given::Double(f64::NAN),
            Given::Double(f64::INFINITY),
            Given::Double(-1.0),
            Given::Int(u64::MAX),
            Given::Empty,
            Given::Text("unknown"),
        ];
        for key in [RESERVED, ACTUAL] {
            for value in numbers {
                hold(cmp_9_1_9, &[(key, allowed().set(key, value), Fail)]);
            }
        }
    }

    #[test]
    fn required_values_on_required_events_count_and_others_do_not() {
        let empty = Given::Text("");
        let blocked = || refused("BLOCKED", "BUDGET_EXCEEDED");
        hold(
            cmp_9_1_9,
            &[
                ("well", allowed(), Pass),
                ("a result", allowed().set_on(DECISION, RESULT, empty), Fail),
                ("a code", blocked().set_on(DECISION, CODE, Given::Text("none")), Fail),
                ("a reserved amount", allowed().set_on(RESERVATION, RESERVED, Given::Double(-0.1)), Fail),
                ("a unit", allowed().set_on(RECONCILIATION, UNIT, Given::Text("?")), Fail),
                ("an actual amount", allowed().set_on(RECONCILIATION, ACTUAL, Given::Double(f64::NAN)), Fail),
                ("an optional attribute", allowed().set("genops.feature", empty), Pass),
                (
                    "an optional attribute of an event",
                    allowed().set_on(DECISION, "genops.policy.name", empty),
                    Pass,
                ),
                (
                    "an optional event",
                    allowed().event("genops.budget.alert", 1_050, &[("genops.budget.name", empty)]),
                    Pass,
                ),
                ("a zero", allowed().set(ACTUAL, Given::Double(0.0)), Pass),
                ("nothing required", bare().set("genops.feature", empty), NotObserved),
            ],
        );
    }

    #[test]
    fn default_and_test_are_worth_a_look() {
        for text in ["default", "Test"] {
            hold(cmp_9_1_9, &[(text, allowed().set("genops.team", Given::Text(text)), Advisory)]);
            hold(cmp_9_1_8, &[(text, allowed().set("genops.team", Given::Text(text)), Pass)]);
        }
    }

    #[test]
    fn suspicious_values_are_worth_a_look() {
        let text = |text| Given::Text(text);
        let same = allowed().set("genops.team", text("core")).set("genops.project", text("core"));
        hold(
            cmp_9_1_8,
            &[
                ("well", allowed(), Pass),
                ("named by its type", allowed().set("genops.operation.name", text("Inference")), Advisory),
                ("nothing reserved", allowed().set(RESERVED, Given::Double(0.0)), Advisory),
                (
                    "nothing reserved for what was refused",
                    refused("BLOCKED", "x_a").set(RESERVED, Given::Double(0.0)),
                    Pass,
                ),
                ("a unit of one character", allowed().set(UNIT, text("$")), Advisory),
                ("team and project alike", same.clone(), Pass),
                ("environment alike, too", same.set("genops.environment", text("core")), Advisory),
            ],
        );
    }

    fn variety(count: u32, awu: impl Fn(f64) -> (f64, f64)) -> Verdict {
        let mut across = Across::default();
        for number in 0..count {
            let (reserved, actual) = awu(f64::from(number));
            let sample = allowed().set(RESERVED, Given::Double(reserved)).set(ACTUAL, Given::Double(actual));
            sample.with(|awu| across.note(awu));
        }
        verdict(&cmp_9_1_8_variety(&across, Strictness::default()))
    }

    #[test]
    fn copies_and_constants_are_suspicious_only_in_numbers() {
        assert_eq!(variety(0, |_| (1.0, 1.0)), NotObserved);
        assert_eq!(variety(19, |_| (1.0, 1.0)), NotApplicable);
        assert_eq!(variety(20, |_| (1.0, 1.0)), Advisory);
        assert_eq!(variety(20, |number| (number + 1.0, number + 1.0)), Advisory);
        assert_eq!(variety(20, |number| (1.0, if number == 7.0 { 0.5 } else { 1.0 })), NotApplicable);
        assert_eq!(variety(20, |_| (0.0, 0.0)), NotApplicable);
        assert_eq!(variety(99, |number| (number + 2.0, 1.0)), NotApplicable);
        assert_eq!(variety(100, |number| (number + 2.0, 1.0)), Advisory);
        assert_eq!(variety(100, |_| (2.0, 1.0)), NotApplicable);
        assert_eq!(variety(100, |number| (number + 2.0, number)), NotApplicable);
    }

    #[test]
    fn the_items_are_made_of_the_statements_that_the_catalogue_names() {
        let names = |is_meant: fn(&Requirement) -> bool| {
            members(is_meant).map(|id| id.requirement().id).collect::<Vec<_>>()
        };
        let attributes = names(|it| it.id.starts_with("ATT-7.1-"));
        assert_eq!(attributes.len(), 13, "all but the permission: {attributes:?}");
        let reservation = names(|it| it.id.starts_with("ACC-3.5-"));
        assert_eq!(
            reservation,
            ["ACC-3.5-1", "ACC-3.5-2", "ACC-3.5-3"],
            "what binds, and telemetry can show"
        );
    }
}
