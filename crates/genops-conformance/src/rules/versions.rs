//! Section 11: what the specification's names mean, and which version of it a runtime declares.
//!
//! What is said of a claim is in [`claims`](super::claims).

use std::borrow::Cow;

use genops_spec::attribute::When;
use genops_spec::{SPEC_VERSION, event};

use super::look::{Place, misuse, places, required, typed};
use super::{OfAwu, OfCapture, Strictness};
use crate::across::Across;
use crate::awu::Awu;
use crate::catalogue::{Id, id};
use crate::key::{self, Key, POLICY_REASON_CODE, VERSION};
use crate::otlp::value::{Attributes, NAMESPACE, Value};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::VER_11_1, ver_11_1),
    (id::VER_11_1_2, ver_11_1_2),
    (id::VER_11_3_1, ver_11_3_1),
    (id::VER_11_3_2, ver_11_3_2),
    (id::VER_11_4_4, ver_11_4_4),
    (id::VER_11_4_5, ver_11_4_5),
];

/// The rules of this section that look at the capture as a whole.
pub const OF_CAPTURE: &[(Id, OfCapture)] =
    &[(id::VER_11_3_5, ver_11_3_5), (id::VER_11_4_5, ver_11_4_5_elsewhere)];

/// Names, states and codes keep their meaning; a name under `genops.` that the specification does not have is worth
/// a look.
fn ver_11_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    let mut unknown = None;
    for (place, attributes) in places(awu) {
        for (key, value) in attributes.genops() {
            match Key::named(key) {
                Some(known) => match redefined(place, known, &value, strictness) {
                    Outcome::Pass => {}
                    outcome @ Outcome::Fail(_) => return outcome,
                    outcome => unknown = unknown.or(Some(outcome)),
                },
                None => unknown = unknown.or_else(|| Some(squats(place, key, value.to_string()))),
            }
        }
    }
    let is_known = |name: &str| event::ALL.iter().any(|event| event.name == name);
    let stranger = awu.events.iter().map(|told| told.event.name).find(|name| !is_known(name));
    let unknown =
        unknown.or_else(|| stranger.map(|name| squats(Place::Event(name), name, "emitted".to_owned())));
    unknown.unwrap_or(Outcome::Pass)
}

/// The version that is implemented is declared exactly.
fn ver_11_1_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match (required(awu, VERSION, strictness), awu.text(VERSION)) {
        (Outcome::Pass, Some(SPEC_VERSION)) => Outcome::Pass,
        (Outcome::Pass, Some(text)) if is_version(text) => Outcome::Inconclusive("unsupported version"),
        (Outcome::Pass, _) => form(awu),
        (outcome, _) => outcome,
    }
}

/// The declared version is three numbers.
fn ver_11_3_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match awu.get(VERSION).map(|value| typed(Place::Span, VERSION, &value, strictness)) {
        None => Outcome::NotObserved,
        Some(Outcome::Pass) => form(awu),
        Some(outcome) => outcome,
    }
}

/// The version is declared where a machine looks for it: on the AWU's span.
fn ver_11_3_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, VERSION, strictness)
}

/// One runtime declares one version.
fn ver_11_3_5(across: &Across, _: Strictness) -> Outcome {
    match &across.versions {
        Some(evidence) => evidence.clone().advises(),
        None if across.versioned > 0 => Outcome::Pass,
        None => Outcome::NotObserved,
    }
}

/// Other attributes, optional ones, experimental events and extension codes may be added.
fn ver_11_4_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_extra = |key: &str| match Key::named(key) {
        Some(known) => known.attribute().when == When::Optional,
        None => !key.starts_with(NAMESPACE),
    };
    let is_extension = |attributes: &Attributes<'_>| {
        attributes.text(POLICY_REASON_CODE).is_some_and(|code| code.starts_with("x_"))
    };
    let adds = |attributes: &Attributes<'_>| {
        attributes.all().iter().any(|(key, _)| is_extra(key)) || is_extension(attributes)
    };
    let is_experimental = || event::ALL.iter().any(|event| !event.required && awu.has_event(event));
    match places(awu).any(|(_, attributes)| adds(attributes)) || is_experimental() {
        true => Outcome::Pass,
        false => Outcome::NotObserved,
    }
}

/// What stands beside the AWU's own telemetry does not redefine the specification's names: its resource, and events
/// of other names on its span.
fn ver_11_4_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let others = awu.span.events.iter().filter(|event| !event.name.starts_with(NAMESPACE));
    let beside = others.map(|event| (Some(event.name), &event.attributes)).chain([(None, awu.resource)]);
    for (event, attributes) in beside.filter(|(_, attributes)| attributes.has_genops()) {
        let mut known = key::all().filter_map(|key| Some((key, attributes.get(key)?)));
        if let Some((key, value, expected)) =
            known.find_map(|(key, value)| Some((key, value, misuse(key, &value)?)))
        {
            let place = event.map_or(Cow::Borrowed("resource"), |name| Place::Event(name).into());
            let evidence = Evidence::new(place, key.name(), value.to_string(), expected);
            return evidence
                .mend("use the name as the specification defines it, or a name of your own")
                .fails();
        }
    }
    Outcome::Pass
}

/// Nothing else in the capture redefines the specification's names: no scope, metric or log record, and no resource
/// says other than its AWU.
fn ver_11_4_5_elsewhere(across: &Across, _: Strictness) -> Outcome {
    match &across.clash {
        Some(evidence) => evidence.clone().fails(),
        None if across.variety.awus > 0 => Outcome::Pass,
        None => Outcome::NotObserved,
    }
}

/// Whether the declared version has the form of three numbers; not observed where it is no text.
pub fn form(awu: &Awu<'_>) -> Outcome {
    let Some(text) = awu.text(VERSION) else { return Outcome::NotObserved };
    if is_version(text) {
        return Outcome::Pass;
    }
    let observed = Value::Text(text).to_string();
    let evidence = Evidence::new(Place::Span, VERSION.name(), observed, "MAJOR.MINOR.PATCH, such as 0.1.0");
    evidence.mend("write three numbers and nothing beside them: no `v`, no suffix, no blank (AMB-07)").fails()
}

/// Whether a text is MAJOR.MINOR.PATCH of SemVer, without suffixes: three numbers without leading zeros.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let mut parts = text.split('.');
    let mut next = || parts.next().is_some_and(is_number);
    let has_three = next() && next() && next();
    has_three && parts.next().is_none()
}

/// An attribute of the specification whose value is not one of those that it can have.
fn redefined(place: Place<'_>, known: Key, value: &Value<'_>, strictness: Strictness) -> Outcome {
    let Some(expected) = misuse(known, value) else { return Outcome::Pass };
    match typed(place, known, value, strictness) {
        Outcome::Pass => Evidence::new(place, known.name(), value.to_string(), expected)
            .mend("use the name as the specification defines it, or a name of your own")
            .fails(),
        outcome => outcome,
    }
}

fn squats(place: Place<'_>, name: &str, observed: String) -> Outcome {
    Evidence::new(place, name.to_owned(), observed, "a name that the specification defines")
        .mend("a later version may give this name another meaning: use a name of your own, outside `genops.`")
        .advises()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::value::Attributes;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, RESERVED, RESULT, Sample, allowed, bare, hold, pair, refused, verdict,
    };
    use crate::verdict::Verdict::{self, Advisory, Fail, Inconclusive, NotObserved, Pass};

    #[test]
    fn names_keep_their_types_and_values() {
        let lenient = Strictness { lenient_numeric: true, ..Strictness::default() };
        hold(
            ver_11_1,
            &[
                ("as defined", allowed(), Pass),
                ("another type", allowed().set(RESULT, Given::Int(1)), Fail),
                ("another type on an event", allowed().set_on(DECISION, RESULT, Given::Bool(true)), Fail),
                ("another type of something optional", allowed().set("genops.feature", Given::Int(1)), Fail),
                ("another state", allowed().set(RESULT, Given::Text("allow")), Fail),
                ("another code", refused("BLOCKED", "quota"), Fail),
                ("an extension code", refused("BLOCKED", "x_quota"), Pass),
                ("a name of its own", allowed().set("genops.colour", Given::Text("red")), Advisory),
                (
                    "a name of its own on an event",
                    allowed().set_on(DECISION, "genops.colour", Given::Text("red")),
                    Advisory,
                ),
                ("an event of its own", allowed().event("genops.policy.appealed", 1_050, &[]), Advisory),
                ("a foreign event", allowed().event("acme.policy.appealed", 1_050, &[]), Pass),
                (
                    "both a name of its own and another type",
                    allowed().set("genops.a", Given::Int(1)).set(RESULT, Given::Int(1)),
                    Fail,
                ),
            ],
        );
        assert_eq!(allowed().set(RESERVED, Given::Int(1)).ask_strictly(ver_11_1, lenient), Advisory);
    }

    #[test]
    fn a_version_is_three_numbers_and_nothing_else() {
        for text in ["0.1.0", "1.0.0", "10.20.30", "0.0.0"] {
            assert!(is_version(text), "{text}");
        }
        for text in [
            "",
            "0.1",
            "0.1.0.0",
            "v0.1.0",
            "00.1.0",
            "0.01.0",
            "0.1.0 ",
            " 0.1.0",
            "0.1.0\n",
            "0.1.0-rc.1",
            "0.1.0+b",
            "0..0",
            "0.1.",
            ".1.0",
            "0.1.x",
            "٠.١.٠",
            "-1.0.0",
            "+0.1.0",
        ] {
            assert!(!is_version(text), "{text:?}");
        }
    }

    #[test]
    fn the_version_is_declared_on_the_span() {
        let version = |text| allowed().set("genops.spec.version", Given::Text(text));
        let absent = || allowed().without("genops.spec.version");
        let on_resource =
            || Sample { resource: vec![("genops.spec.version", Given::Text("0.1.0"))], ..absent() };
        let rows: &[(Sample, [Verdict; 3])] = &[
            (version("0.1.0"), [Pass, Pass, Pass]),
            (version("0.2.0"), [Inconclusive, Pass, Pass]),
            (version("0.1"), [Fail, Fail, Pass]),
            (absent(), [Fail, NotObserved, Fail]),
            (on_resource(), [Fail, NotObserved, Fail]),
            (absent().with_gaps(), [Inconclusive, NotObserved, Inconclusive]),
            (allowed().set("genops.spec.version", Given::Double(0.1)), [Fail, Fail, Fail]),
        ];
        for (sample, [exact, formed, placed]) in rows {
            hold(ver_11_1_2, &[("exact", sample.clone(), *exact)]);
            hold(ver_11_3_1, &[("form", sample.clone(), *formed)]);
            hold(ver_11_3_2, &[("place", sample.clone(), *placed)]);
        }
        assert_eq!(
            version("0.2.0").outcome(ver_11_1_2, Strictness::default()),
            Outcome::Inconclusive("unsupported version")
        );
    }

    #[test]
    fn one_resource_that_declares_two_versions_is_worth_a_look() {
        let across = |samples: &[Sample]| {
            let mut across = Across::default();
            samples.iter().for_each(|sample| sample.with(|awu| across.note(awu)));
            verdict(&ver_11_3_5(&across, Strictness::default()))
        };
        let other = || allowed().set("genops.spec.version", Given::Text("0.2.0"));
        assert_eq!(across(&[]), NotObserved);
        assert_eq!(across(&[allowed(), allowed()]), Pass);
        assert_eq!(across(&[allowed(), other()]), Advisory);
    }

    #[test]
    fn other_telemetry_may_be_added() {
        hold(
            ver_11_4_4,
            &[
                ("nothing", bare().set(ACTUAL, Given::Double(1.0)), NotObserved),
                ("a foreign key", allowed().set("acme.colour", Given::Text("red")), Pass),
                ("an optional one", allowed().set("genops.feature", Given::Text("search")), Pass),
                ("an extension code", refused("BLOCKED", "x_quota"), Pass),
                ("an experimental event", allowed().event("genops.cost.calculated", 1_096, &[]), Pass),
                ("a listed code", refused("BLOCKED", "BUDGET_EXCEEDED"), NotObserved),
            ],
        );
    }

    #[test]
    fn other_telemetry_does_not_redefine_names() {
        let on_resource = |key, value| Sample { resource: vec![(key, value)], ..allowed() };
        hold(
            ver_11_4_5,
            &[
                ("nothing", allowed(), Pass),
                ("a resource that says the same", on_resource("genops.team", Given::Text("payments")), Pass),
                ("a resource that says it in another type", on_resource("genops.team", Given::Int(1)), Fail),
                (
                    "a foreign event with another state",
                    allowed().event("acme.decided", 1_001, &[(RESULT, Given::Text("deny"))]),
                    Fail,
                ),
                (
                    "a foreign event with a state",
                    allowed().event(
                        "acme.decided",
                        1_001,
                        &[(RESULT, Given::Text("BLOCKED")), (CODE, Given::Text("x_a"))],
                    ),
                    Pass,
                ),
            ],
        );
        let clash = |given: &[crate::rules::sample::Pair], team: &'static str| {
            let pairs: Vec<Vec<u8>> = given.iter().map(pair).collect();
            let mut attributes = Attributes::default();
            pairs.iter().for_each(|pair| assert!(attributes.add(pair)));
            let mut across = Across::default();
            across.note_elsewhere("metric data point", &attributes);
            on_resource("genops.team", Given::Text(team)).with(|awu| across.note(awu));
            verdict(&ver_11_4_5_elsewhere(&across, Strictness::default()))
        };
        assert_eq!(clash(&[], "payments"), Pass);
        assert_eq!(clash(&[], "search"), Fail);
        assert_eq!(clash(&[(RESULT, Given::Text("deny"))], "payments"), Fail);
        assert_eq!(clash(&[(RESULT, Given::Text("BLOCKED"))], "payments"), Pass);
        assert_eq!(verdict(&ver_11_4_5_elsewhere(&Across::default(), Strictness::default())), NotObserved);
    }
}
