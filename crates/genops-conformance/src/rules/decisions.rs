//! Section 4: the enforcement decision. Its states, its fields, that it stays as it was recorded, and whose it is.
//!
//! What a reason code may be is in section 5.

use genops_spec::DecisionState;
use genops_spec::event::POLICY_EVALUATED;

use super::look::{
    Decided, Place, decided, each, has_valid_ids, kept_from_running, misuse, required_on, worst,
};
use crate::across::Orphan;
use crate::awu::{Awu, Told};
use crate::catalogue::{Id, id};
use crate::judge::hex;
use crate::key::{
    ENVIRONMENT, Key, POLICY_NAME, POLICY_REASON, POLICY_REASON_CODE, POLICY_RESULT, POLICY_TIMESTAMP,
    PROJECT, TEAM,
};
use crate::otlp::record::{Event, Span};
use crate::otlp::value::Value;
use crate::rules::{OfAwu, OfOrphan, Strictness};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::DEC_4_1_1, dec_4_1_1),
    (id::DEC_4_1_2, dec_4_1_2),
    (id::DEC_4_1_4, dec_4_1_4),
    (id::DEC_4_1_5, dec_4_1_5),
    (id::DEC_4_2_1, dec_4_2_1),
    (id::DEC_4_2_2, dec_4_2_2),
    (id::DEC_4_3_1, dec_4_3_1),
    (id::DEC_4_3_2, dec_4_3_2),
    (id::DEC_4_3_3, dec_4_3_3),
    (id::DEC_4_4_1, dec_4_4_1),
    (id::DEC_4_4_2, dec_4_4_2),
];

/// The rules of this section that look at log records whose AWU's span is not in the capture.
pub const OF_ORPHAN: &[(Id, OfOrphan)] = &[(id::DEC_4_4_2, orphan_dec_4_4_2)];

const ALLOWED: &str = DecisionState::Allowed.as_str();
const BLOCKED: &str = DecisionState::Blocked.as_str();
const RATE_LIMITED: &str = DecisionState::RateLimited.as_str();

/// A governance evaluation gives one and only one state.
fn dec_4_1_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let one = |place: Place<'_>, observed: String| {
        Evidence::new(place, POLICY_RESULT.name(), observed, "one string")
            .mend("state one result for each decision, and a further evaluation as a further decision event")
            .fails()
    };
    let events = each(awu.decisions(), |event| {
        let place = Place::Event(event.name);
        let mut results = event.attributes.stated(POLICY_RESULT);
        match (results.next(), results.next()) {
            (Some(Value::Text(_)), None) => Outcome::Pass,
            (Some(first), Some(second)) => one(place, format!("the key given twice: {first}, {second}")),
            (Some(other), None) => one(place, other.to_string()),
            (None, _) => {
                awu.gaps.events.map_or_else(|| one(place, "absent".to_owned()), Outcome::Inconclusive)
            }
        }
    });
    let twice = awu.span.attributes.stated(POLICY_RESULT).nth(1);
    let span = twice.map(|second| one(Place::Span, format!("the key given twice, the second time {second}")));
    worst(std::iter::once(events).chain(span))
}

/// A BLOCKED AWU does not go on to execute.
fn dec_4_1_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.admission.result {
        Some(BLOCKED) => kept_from_running(awu, "no sign of execution: it was BLOCKED"),
        Some(_) => Outcome::NotApplicable("it was not BLOCKED"),
        None => Outcome::NotObserved,
    }
}

/// A RATE_LIMITED AWU has not executed, unless a later decision authorised it.
fn dec_4_1_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_later = |place: usize| awu.admission.event.is_none_or(|admission| place > admission);
    let authorises = |event: &Event<'_>| {
        let result = event.attributes.text(POLICY_RESULT);
        DecisionState::ALL.iter().any(|state| state.proceeds() && Some(state.as_str()) == result)
    };
    match awu.admission.result {
        Some(RATE_LIMITED) if awu.decisions().any(|(place, event)| is_later(place) && authorises(event)) => {
            Outcome::NotApplicable("a later decision authorised it")
        }
        Some(RATE_LIMITED) => kept_from_running(awu, "no sign of execution: it was RATE_LIMITED"),
        Some(_) => Outcome::NotApplicable("it was not RATE_LIMITED"),
        None => Outcome::NotObserved,
    }
}

/// No other state than the four is emitted.
fn dec_4_1_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let member = |place: Place<'_>, result: Value<'_>| match misuse(POLICY_RESULT, &result) {
        None => Outcome::Pass,
        Some(expected) => Evidence::new(place, POLICY_RESULT.name(), result.to_string(), expected)
            .mend("map your own states to the four of section 4.1, in capitals")
            .fails(),
    };
    // What is no string is no state; the rules about types tell.
    let texts = decided(awu).flat_map(|Decided { place, attributes, .. }| {
        attributes
            .stated(POLICY_RESULT)
            .filter(|result| result.text().is_some())
            .map(move |result| (place, result))
    });
    worst(texts.map(|(place, result)| member(place, result)))
}

/// Each decision states its result.
fn dec_4_2_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    each(awu.decisions(), |event| required_on(awu, event, POLICY_RESULT, strictness))
}

/// A decision other than ALLOWED states a reason code, on the event and on the span.
fn dec_4_2_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    worst(decided(awu).map(|decided| match decided.result {
        None => Outcome::NotObserved,
        Some(ALLOWED) => Outcome::NotApplicable("the result is ALLOWED"),
        Some(_) if decided.attributes.has(POLICY_REASON_CODE) => Outcome::Pass,
        Some(result) => match decided.gap {
            Some(why) => Outcome::Inconclusive(why),
            None => {
                let observed = format!("absent, with the result {result:?}");
                Evidence::new(decided.place, POLICY_REASON_CODE.name(), observed, "a reason code")
                    .mend("set the reason code on the decision event and on the AWU span")
                    .fails()
            }
        },
    }))
}

/// A decision that was recorded stays as it is.
fn dec_4_3_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    worst([span_agrees(awu), copies_agree(awu), reports_agree(awu)].into_iter())
}

/// A later evaluation with another outcome is a further decision event.
fn dec_4_3_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let Some(first) = results(awu).next() else { return Outcome::NotObserved };
    let span = awu.text(POLICY_RESULT).unwrap_or(first);
    if span != first && !results(awu).any(|result| result == span) {
        return awu.gaps.events.or(awu.gaps.later).map_or_else(|| unrecorded(span), Outcome::Inconclusive);
    }
    match results(awu).any(|result| result != first) {
        true => Outcome::Pass,
        false => Outcome::NotApplicable("no later evaluation came to another result"),
    }
}

/// A retry is better shown as a new AWU.
fn dec_4_3_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let mut after = results(awu).skip_while(|result| *result != RATE_LIMITED).skip(1);
    match after.next() {
        None => Outcome::NotObserved,
        Some(next) => {
            let observed = format!("RATE_LIMITED, then {next:?}, on one AWU");
            Evidence::new(
                Place::Event(POLICY_EVALUATED.name),
                POLICY_RESULT.name(),
                observed,
                "a new AWU for the retry",
            )
            .mend("make a retry an AWU of its own, linked to the one that was limited")
            .advises()
        }
    }
}

/// A decision takes on the attribution of its AWU: what it repeats is the same.
fn dec_4_4_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    each(awu.decisions(), |event| {
        let keys = [TEAM, PROJECT, ENVIRONMENT].into_iter();
        let values = keys.flat_map(|key| event.attributes.stated(key).map(move |value| (key, value)));
        let echoes = values.map(|(key, value)| match awu.get(key) {
            Some(own) if own.is_same(&value) => Outcome::Pass,
            Some(own) => Evidence::new(
                Place::Event(event.name),
                key.name(),
                value.to_string(),
                format!("{own}, as on the span"),
            )
            .mend("leave attribution out of the event, or repeat that of the AWU")
            .fails(),
            None => {
                Outcome::Inconclusive("the span does not state the attribution that its decision repeats")
            }
        });
        // A decision that repeats none has that of its AWU.
        worst(echoes.chain([Outcome::Pass]))
    })
}

/// No decision is emitted without an AWU. This AWU's were found by its ids.
fn dec_4_4_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_decision = |name: &str| name == POLICY_EVALUATED.name;
    let mut decisions = awu.events.iter().filter(|told| is_decision(told.event.name)).peekable();
    if decisions.peek().is_none() {
        return Outcome::NotObserved;
    }
    match decisions.any(|told| told.told != Told::Span) && !has_valid_ids(awu.span.trace_id, awu.span.span_id)
    {
        true => nameless(awu.span.trace_id, awu.span.span_id),
        false => Outcome::Pass,
    }
}

/// No decision is emitted without an AWU: a log record names its span, and the span is there.
fn orphan_dec_4_4_2(orphan: &Orphan<'_>, strictness: Strictness) -> Outcome {
    if !orphan.logs.iter().any(|log| log.event.name == POLICY_EVALUATED.name) {
        return Outcome::NotObserved;
    }
    if !has_valid_ids(orphan.trace_id, orphan.span_id) {
        return nameless(orphan.trace_id, orphan.span_id);
    }
    if !strictness.is_complete {
        return Outcome::Inconclusive("the span that log records name is not in the capture");
    }
    let named = format!("trace {:?}, span {:?}", hex(orphan.trace_id), hex(orphan.span_id));
    Evidence::new(
        format!("log record {}", POLICY_EVALUATED.name),
        "span_id",
        named,
        "the ids of an AWU span in the capture",
    )
    .mend("export the span of every AWU, and log within its context")
    .fails()
}

fn nameless(trace_id: &[u8], span_id: &[u8]) -> Outcome {
    let named = format!("trace {:?}, span {:?}", hex(trace_id), hex(span_id));
    Evidence::new(
        format!("log record {}", POLICY_EVALUATED.name),
        "trace_id, span_id",
        named,
        "the ids of an AWU's span",
    )
    .mend("log decisions within the context of the AWU's span")
    .fails()
}

/// The results that decision events state, in their order.
fn results<'l, 'a>(awu: &'l Awu<'a>) -> impl Iterator<Item = &'a str> + 'l {
    awu.decisions().filter_map(|(_, event)| event.attributes.text(POLICY_RESULT))
}

fn unrecorded(span: &str) -> Outcome {
    let observed = format!("{span:?}, which no decision event states");
    Evidence::new(
        Place::Span,
        POLICY_RESULT.name(),
        observed,
        "the result of a decision event, best of the admission",
    )
    .mend("record a later evaluation as a further decision event, and never change one")
    .fails()
}

/// The span states the result of one of its decisions; of several, the one that admitted it (AMB-04).
fn span_agrees(awu: &Awu<'_>) -> Outcome {
    let Some(span) = awu.text(POLICY_RESULT) else { return Outcome::NotObserved };
    if results(awu).next().is_none() {
        return Outcome::NotObserved;
    }
    let admission = awu.admission.event.and(awu.admission.result);
    match (results(awu).any(|result| result == span), admission) {
        (true, Some(admission)) if admission != span => Evidence::new(
            Place::Span,
            POLICY_RESULT.name(),
            format!("{span:?}"),
            format!("{admission:?}, the admission decision (AMB-04)"),
        )
        .mend("let the span state the decision that admitted or refused the AWU")
        .advises(),
        (true, _) => Outcome::Pass,
        (false, _) => {
            let gap = awu.gaps.events.or(awu.gaps.later);
            gap.map_or_else(|| unrecorded(span), Outcome::Inconclusive)
        }
    }
}

/// So far apart in time, two events told two ways may be one (AMB-18).
const SAME_TIME_NS: u64 = 1_000_000;

/// Of the tellings of one decision, so many are looked at.
const TELLINGS_MAX: usize = 64;

/// A decision that was told on the span and as a log record says the same in both.
fn copies_agree(awu: &Awu<'_>) -> Outcome {
    let told = |how: Told| {
        let decisions = awu.events.iter().filter(|told| told.event.name == POLICY_EVALUATED.name);
        decisions.filter(move |told| told.told == how).map(|told| told.event)
    };
    let logs: Vec<&Event<'_>> = told(Told::Log).collect();
    worst(told(Told::Span).map(|event| {
        let from = logs.partition_point(|log| log.time < event.time.saturating_sub(SAME_TIME_NS));
        let near =
            logs.iter().skip(from).take_while(|log| log.time <= event.time.saturating_add(SAME_TIME_NS));
        retold(event, near.copied(), "the log record of the same decision")
    }))
}

/// A decision event says the same in every report of its span.
fn reports_agree(awu: &Awu<'_>) -> Outcome {
    worst(awu.others.iter().map(|other| report_agrees(awu.span, other)))
}

fn report_agrees(span: &Span<'_>, other: &Span<'_>) -> Outcome {
    let is_decision = |event: &&Event<'_>| event.name == POLICY_EVALUATED.name;
    let mut told: Vec<_> = other.events.iter().filter(is_decision).collect();
    told.sort_by_key(|event| event.time);
    worst(span.events.iter().filter(is_decision).map(|event| {
        let from = told.partition_point(|other| other.time < event.time);
        let same_time = told.iter().skip(from).take_while(|other| other.time == event.time);
        retold(event, same_time.copied(), "another report of the span")
    }))
}

/// One telling that agrees is the copy of a decision; where none does, the first is a copy that was changed.
fn retold<'e>(
    event: &Event<'_>,
    tellings: impl Iterator<Item = &'e Event<'e>>,
    place: &'static str,
) -> Outcome {
    let mut change = None;
    for telling in tellings.take(TELLINGS_MAX) {
        match changed(event, telling) {
            Some(found) => change = change.or(Some(found)),
            None => return Outcome::Pass,
        }
    }
    let Some((key, own, other)) = change else { return Outcome::NotObserved };
    Evidence::new(place, key.name(), other.to_string(), format!("{own}, as in the span's event"))
        .mend("record a decision once, and every copy of it from that record")
        .fails()
}

/// The first field of a decision that two tellings of it both state, and state differently.
fn changed<'o, 't>(one: &Event<'o>, other: &Event<'t>) -> Option<(Key, Value<'o>, Value<'t>)> {
    let fields = [POLICY_RESULT, POLICY_REASON_CODE, POLICY_NAME, POLICY_REASON, POLICY_TIMESTAMP];
    fields.into_iter().find_map(|key| match (one.attributes.get(key), other.attributes.get(key)) {
        (Some(value), Some(another)) if !value.is_same(&another) => Some((key, value, another)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::record::Log;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, RECONCILIATION, RESERVATION, RESULT, Sample, allowed, bare, hold,
        refused, verdict,
    };
    use crate::verdict::Verdict::{self, Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    fn blocked() -> Sample {
        refused("BLOCKED", "POLICY_DENY_MODEL")
    }

    fn limited() -> Sample {
        refused("RATE_LIMITED", "RATE_LIMITED")
    }

    #[test]
    fn a_decision_has_one_result() {
        let two = Given::List(&["ALLOWED", "WARNING"]);
        hold(
            dec_4_1_1,
            &[
                ("one", allowed(), Pass),
                ("a list", allowed().set_on(DECISION, RESULT, two), Fail),
                ("the key twice", allowed().add_on(DECISION, RESULT, Given::Text("WARNING")), Fail),
                ("the key twice on the span", allowed().add(RESULT, Given::Text("WARNING")), Fail),
                ("none", allowed().without_on(DECISION, RESULT), Fail),
                (
                    "none, attributes left out",
                    allowed().without_on(DECISION, RESULT).with_gaps(),
                    Inconclusive,
                ),
                ("a number", allowed().set_on(DECISION, RESULT, Given::Int(1)), Fail),
                ("no decision event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn what_is_blocked_does_not_run() {
        hold(
            dec_4_1_2,
            &[
                ("nothing after", blocked(), Pass),
                ("a call", blocked().call(1_002, 1_003), Fail),
                ("an answer", blocked().set("gen_ai.response.model", Given::Text("m")), Fail),
                ("an actual above zero", blocked().set(ACTUAL, Given::Double(0.1)), Fail),
                ("a reconciliation alone", blocked().event(RECONCILIATION, 1_009, &[]), Inconclusive),
                ("spans left out", blocked().with_gaps(), Inconclusive),
                (
                    "blocked, then allowed, then run",
                    blocked().decision(1_002, "ALLOWED", "").call(1_003, 1_004),
                    NotApplicable,
                ),
                (
                    "blocked by the span alone",
                    bare().set(RESULT, Given::Text("BLOCKED")).call(1_002, 1_003),
                    Fail,
                ),
                ("blocked after it ran", allowed().decision(1_096, "BLOCKED", "x_audit"), NotApplicable),
                ("allowed", allowed(), NotApplicable),
                ("no result", bare(), NotObserved),
            ],
        );
    }

    #[test]
    fn what_is_rate_limited_does_not_run() {
        let output = |sample: Sample| sample.set("genops.tokens.output", Given::Int(9));
        hold(
            dec_4_1_4,
            &[
                ("nothing after", limited(), Pass),
                ("output", output(limited()), Fail),
                ("authorised later", output(limited().decision(1_005, "ALLOWED", "")), NotApplicable),
                (
                    "authorised too late",
                    limited().call(1_002, 1_009).decision(1_005, "WARNING", "x_a"),
                    NotApplicable,
                ),
                (
                    "limited again later",
                    limited().call(1_002, 1_009).decision(1_005, "RATE_LIMITED", "x_a"),
                    Fail,
                ),
                ("blocked", blocked().call(1_002, 1_003), NotApplicable),
                ("no result", bare(), NotObserved),
            ],
        );
    }

    #[test]
    fn there_are_four_states_in_capitals() {
        for state in ["ALLOWED", "BLOCKED", "WARNING", "RATE_LIMITED"] {
            assert_eq!(bare().set(RESULT, Given::Text(state)).ask(dec_4_1_5), Pass);
        }
        for state in ["allow", "Allowed", "DENIED", "", "ALLOWED ", "RATE-LIMITED"] {
            assert_eq!(allowed().set(RESULT, Given::Text(state)).ask(dec_4_1_5), Fail, "{state:?}");
            assert_eq!(
                allowed().set_on(DECISION, RESULT, Given::Text(state)).ask(dec_4_1_5),
                Fail,
                "{state:?}"
            );
        }
        hold(
            dec_4_1_5,
            &[
                ("the second of two", allowed().add(RESULT, Given::Text("DENIED")), Fail),
                ("a later event", allowed().decision(1_096, "Warning", "x_a"), Fail),
                ("none", bare(), NotObserved),
                ("no string", bare().set(RESULT, Given::Int(1)), NotObserved),
            ],
        );
    }

    #[test]
    fn a_decision_states_its_result_itself() {
        hold(
            dec_4_2_1,
            &[
                ("there", allowed(), Pass),
                ("only on the span", allowed().without_on(DECISION, RESULT), Fail),
                ("a list", allowed().set_on(DECISION, RESULT, Given::List(&["ALLOWED"])), Fail),
                ("no decision event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn a_refusal_says_why_on_the_event_and_on_the_span() {
        hold(
            dec_4_2_2,
            &[
                ("both", blocked(), Pass),
                ("only the span", blocked().without_on(DECISION, CODE), Fail),
                ("only the event", blocked().without(CODE), Fail),
                ("only the event, the span without a result", blocked().without(CODE).without(RESULT), Fail),
                ("a warning without", allowed().decision(1_096, "WARNING", ""), Fail),
                ("left out", blocked().without(CODE).with_gaps(), Inconclusive),
                ("allowed", allowed(), NotApplicable),
                ("no result", bare(), NotObserved),
            ],
        );
    }

    #[test]
    fn a_recorded_decision_stays() {
        let both = || limited().decision(1_002, "ALLOWED", "");
        let rewritten = |sample: Sample, result| sample.open().set_on(DECISION, RESULT, Given::Text(result));
        hold(
            dec_4_3_1,
            &[
                ("the span says the same", allowed(), Pass),
                ("the span says another", allowed().set_on(DECISION, RESULT, Given::Text("BLOCKED")), Fail),
                (
                    "the span says another, events left out",
                    allowed().set(RESULT, Given::Text("WARNING")).with_gaps(),
                    Inconclusive,
                ),
                ("the span has the admission of two", both().set(RESULT, Given::Text("ALLOWED")), Pass),
                ("the span has the other of two", both(), Advisory),
                ("no event states a result", allowed().without_on(DECISION, RESULT), NotObserved),
                ("the span states none", allowed().without(RESULT), NotObserved),
                (
                    "a log record says another",
                    blocked().log(DECISION, 1_001, &[(RESULT, Given::Text("WARNING"))]),
                    Fail,
                ),
                (
                    "a log record says another code",
                    blocked().log(DECISION, 1_001, &[(CODE, Given::Text("x_a"))]),
                    Fail,
                ),
                (
                    "a log record says more",
                    blocked().log(DECISION, 1_001, &[("acme.host", Given::Text("a"))]),
                    Pass,
                ),
                (
                    "a log record of another decision",
                    blocked().log(DECISION, 1_003, &[(RESULT, Given::Text("WARNING"))]),
                    Advisory,
                ),
                ("another report says the same", blocked().other(blocked().open()), Pass),
                ("another report says another", blocked().other(rewritten(blocked(), "WARNING")), Fail),
                (
                    "another report, at another time",
                    blocked().other(rewritten(blocked(), "WARNING").at(DECISION, 1_000)),
                    Pass,
                ),
            ],
        );
    }

    #[test]
    fn decisions_close_together_are_not_taken_for_one() {
        let more = ("acme.host", Given::Text("a"));
        let (one, other) = ((RESULT, Given::Text("RATE_LIMITED")), (RESULT, Given::Text("ALLOWED")));
        let twice =
            bare().set(RESULT, other.1).event(DECISION, 1_001, &[one]).event(DECISION, 1_001, &[other]);
        let told = twice.log(DECISION, 1_001, &[one, more]).log(DECISION, 1_001, &[other, more]);
        assert_eq!(told.ask(dec_4_3_1), Pass);
    }

    #[test]
    fn a_later_evaluation_is_a_further_event() {
        hold(
            dec_4_3_2,
            &[
                (
                    "two events",
                    limited().decision(1_002, "ALLOWED", "").set(RESULT, Given::Text("ALLOWED")),
                    Pass,
                ),
                ("the span alone tells", limited().set(RESULT, Given::Text("ALLOWED")), Fail),
                (
                    "the span alone tells, events left out",
                    limited().set(RESULT, Given::Text("ALLOWED")).with_gaps(),
                    Inconclusive,
                ),
                ("a later warning", allowed().decision(1_096, "WARNING", "SLA_LATENCY_VIOLATION"), Pass),
                ("one decision", allowed(), NotApplicable),
                ("no decision event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn a_retry_is_a_new_awu() {
        hold(
            dec_4_3_3,
            &[
                ("limited, then allowed", limited().decision(1_002, "ALLOWED", ""), Advisory),
                ("limited twice", limited().decision(1_002, "RATE_LIMITED", "RATE_LIMITED"), Advisory),
                (
                    "allowed, then limited",
                    allowed().decision(1_096, "RATE_LIMITED", "RATE_LIMITED"),
                    NotObserved,
                ),
                ("limited", limited(), NotObserved),
                ("allowed", allowed(), NotObserved),
            ],
        );
    }

    #[test]
    fn a_decision_has_the_attribution_of_its_awu() {
        let team = "genops.team";
        hold(
            dec_4_4_1,
            &[
                ("repeated", allowed(), Pass),
                ("not repeated", allowed().without_on(DECISION, team), Pass),
                ("another", allowed().set_on(DECISION, team, Given::Text("search")), Fail),
                (
                    "another environment",
                    allowed().add_on(DECISION, "genops.environment", Given::Text("test")),
                    Fail,
                ),
                (
                    "another on a reservation",
                    allowed().set_on(RESERVATION, team, Given::Text("search")),
                    Pass,
                ),
                ("the span has none", allowed().without(team), Inconclusive),
                ("no decision event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn a_decision_has_an_awu() {
        let nameless = |mut sample: Sample| {
            sample.span_id.clear();
            sample
        };
        hold(
            dec_4_4_2,
            &[
                ("on the span", blocked(), Pass),
                ("as a log record", blocked().told(DECISION, Told::Log), Pass),
                ("as a log record without a span", nameless(blocked().told(DECISION, Told::Log)), Fail),
                ("no decision event", allowed().without_event(DECISION), NotObserved),
            ],
        );
    }

    #[test]
    fn a_logged_decision_names_an_awu() {
        let complete = Strictness { is_complete: true, ..Strictness::default() };
        let ask = |name: &'static str, ids: (&[u8], &[u8]), strictness: Strictness| -> Verdict {
            let log = Log { event: Event { name, ..Event::default() }, ..Log::default() };
            verdict(&orphan_dec_4_4_2(&Orphan { trace_id: ids.0, span_id: ids.1, logs: &[&log] }, strictness))
        };
        let known: (&[u8], &[u8]) = (&[1; 16], &[1; 8]);
        assert_eq!(ask(DECISION, known, Strictness::default()), Inconclusive);
        assert_eq!(ask(DECISION, known, complete), Fail);
        assert_eq!(ask(RESERVATION, known, complete), NotObserved);
        for ids in
            [(&[1; 16][..], &[][..]), (&[], &[1; 8]), (&[], &[]), (&[0; 16], &[1; 8]), (&[1; 16], &[0; 8])]
        {
            assert_eq!(ask(DECISION, ids, Strictness::default()), Fail, "{ids:?}");
        }
    }
}
