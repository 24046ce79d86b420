//! Sections 1.3 and 2: what telemetry is made of, and what an AWU is: its identity, its attribution, its phases.
//!
//! Attributes and events that are required by name are in section 7; here they matter as far as the life of an AWU
//! shows in them.

use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION, POLICY_EVALUATED};

use super::look::{self, Place, is_post_hoc, missing_event, places, required, worst};
use super::time::{Timing, before_execution, in_order};
use crate::across::{Across, Orphan};
use crate::awu::{Awu, State, Told};
use crate::catalogue::{Id, id};
use crate::judge::hex;
use crate::key::{ACCOUNTING_ACTUAL, ENVIRONMENT, Key, POLICY_REASON_CODE, PROJECT, TEAM};
use crate::otlp::record::{Event, Span};
use crate::otlp::value::Value;
use crate::rules::{OfAwu, OfCapture, OfOrphan, Strictness};
use crate::verdict::{Evidence, Outcome};

/// The rules of these sections that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::GEN_1_3_1, gen_1_3_1),
    (id::GEN_1_3_2, gen_1_3_2),
    (id::AWU_2_1_1, awu_2_1_1),
    (id::AWU_2_1_3, awu_2_1_3),
    (id::AWU_2_2_1, awu_2_2_1),
    (id::AWU_2_2_2, awu_2_2_2),
    (id::AWU_2_2_3, awu_2_2_3),
    (id::AWU_2_2_4, awu_2_2_4),
    (id::AWU_2_2_5, awu_2_2_5),
    (id::AWU_2_3_1, awu_2_3_1),
    (id::AWU_2_3_2, awu_2_3_2),
    (id::AWU_2_3_3, awu_2_3_3),
    (id::AWU_2_3_4, awu_2_3_4),
    (id::AWU_2_3_5, awu_2_3_5),
    (id::AWU_2_4_1, awu_2_4_1),
    (id::AWU_2_4_2, awu_2_4_2),
    (id::AWU_2_4_3, awu_2_4_3),
    (id::AWU_2_4_4, awu_2_4_4),
];

/// The rules of these sections that look at log records whose AWU's span is not in the capture.
pub const OF_ORPHAN: &[(Id, OfOrphan)] =
    &[(id::AWU_2_1_1, orphan_awu_2_1_1), (id::AWU_2_2_3, orphan_awu_2_2_3)];

/// The rules of these sections that look at the capture as a whole.
pub const OF_CAPTURE: &[(Id, OfCapture)] = &[
    (id::AWU_2_1_3, capture_awu_2_1_3),
    (id::AWU_2_2_1, capture_awu_2_2_1),
    (id::AWU_2_2_3, capture_awu_2_2_3),
    (id::AWU_2_2_5, capture_awu_2_2_5),
];

/// Governance telemetry fits an ordinary signal: what arrived could be decoded, value by value.
fn gen_1_3_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    for (place, attributes) in places(awu).filter(|(_, attributes)| attributes.has_genops()) {
        let lost = |(_, value): &(&str, Value<'_>)| matches!(value, Value::Empty | Value::Malformed);
        if let Some((key, value)) = attributes.genops().find(lost) {
            let evidence = Evidence::new(place, key.to_owned(), value.to_string(), "a value of an OTLP kind");
            return evidence
                .mend("send a string, a double, an integer or a boolean, or leave the key out")
                .fails();
        }
    }
    match awu.span.is_broken {
        true => Outcome::Inconclusive("a part of the span could not be read"),
        false => Outcome::Pass,
    }
}

/// Existing OpenTelemetry conventions keep their meaning: their attributes keep their types.
fn gen_1_3_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let calls = awu.calls.iter().map(|call| ("model call span", &call.span.attributes));
    let spans = std::iter::once(("AWU span", &awu.span.attributes)).chain(calls);
    worst(spans.flat_map(|(place, attributes)| {
        let known =
            attributes.all().iter().filter_map(|(key, value)| Some((key, value, conventional_kind(key)?)));
        known.map(move |(key, value, kind)| match value.kind() == kind {
            true => Outcome::Pass,
            false => Evidence::new(place, (*key).to_owned(), value.to_string(), kind)
                .mend("use the attribute as OpenTelemetry defines it, or another name")
                .fails(),
        })
    }))
}

/// An AWU has a span. This one was found by its span.
const fn awu_2_1_1(_: &Awu<'_>, _: Strictness) -> Outcome {
    Outcome::Pass
}

/// An AWU has a span, to which every record of it leads.
fn orphan_awu_2_1_1(orphan: &Orphan<'_>, strictness: Strictness) -> Outcome {
    without_span(orphan, strictness)
}

/// Each event belongs to one AWU: it lies on its span, or names it.
fn awu_2_1_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if awu.events.is_empty() { Outcome::NotObserved } else { Outcome::Pass }
}

/// No reservation and no decision stands on two AWUs.
fn capture_awu_2_1_3(across: &Across, _: Strictness) -> Outcome {
    match &across.shared {
        None if across.identified > 0 => Outcome::Pass,
        shared => refuted_by(shared.as_ref()),
    }
}

/// Each AWU has its own identifier: no two reports under it differ.
fn awu_2_2_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    identity_once(awu)
}

/// Each AWU has its own identifier, over the whole capture.
fn capture_awu_2_2_1(across: &Across, _: Strictness) -> Outcome {
    refuted_by(across.reused.as_ref())
}

/// The identifier is opaque: valid as W3C Trace Context has it.
fn awu_2_2_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    identity_well_formed(awu)
}

/// The identifier stays the same: what refers to the AWU names the span that was exported.
fn awu_2_2_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let is_named = !awu.calls.is_empty() || awu.events.iter().any(|told| told.told != Told::Span);
    if is_named { Outcome::Pass } else { Outcome::NotObserved }
}

/// The identifier stays the same: no record names one that was never exported.
fn orphan_awu_2_2_3(orphan: &Orphan<'_>, strictness: Strictness) -> Outcome {
    match orphan.trace_id.is_empty() && orphan.span_id.is_empty() {
        true => Outcome::NotObserved,
        false => without_span(orphan, strictness),
    }
}

/// The identifier stays the same from the reservation to its reconciliation.
fn capture_awu_2_2_3(across: &Across, _: Strictness) -> Outcome {
    refuted_by(across.moved.as_ref())
}

/// An AWU's identity is the pair of trace id and span id, both there and well formed.
fn awu_2_2_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    identity_well_formed(awu)
}

/// An identifier is not used again.
fn awu_2_2_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    identity_once(awu)
}

/// An identifier is not used again, later in the capture either.
fn capture_awu_2_2_5(across: &Across, _: Strictness) -> Outcome {
    refuted_by(across.reused.as_ref())
}

/// Every AWU carries its team.
fn awu_2_3_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, TEAM, strictness)
}

/// Every AWU carries its project.
fn awu_2_3_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, PROJECT, strictness)
}

/// Every AWU carries its environment.
fn awu_2_3_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    required(awu, ENVIRONMENT, strictness)
}

/// Attribution is fixed for the whole life of the AWU.
fn awu_2_3_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    attribution_kept(awu)
}

/// An attribution value, once set, is not replaced.
fn awu_2_3_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    attribution_kept(awu)
}

/// Decision and reservation come before governed resources are consumed.
fn awu_2_4_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if !awu.executed() && awu.state != State::Indeterminate && !awu.has_event(&BUDGET_RECONCILIATION) {
        return Outcome::NotApplicable("it did not run");
    }
    let before = |place: usize, name: &'static str| {
        let mend = "decide and reserve first, then call the model; record each event when it happens";
        before_execution(awu, place).outcome(name, "not later than the first sign of execution", mend)
    };
    let is_early = |place: usize| before_execution(awu, place) == Timing::Kept;
    let has_early = awu.decisions().any(|(place, _)| is_early(place));
    let decisions = awu.decisions().filter(|(_, event)| !(has_early && may_come_late(event)));
    let decisions = decisions.map(|(place, _)| before(place, POLICY_EVALUATED.name));
    // A later reservation tops the first one up (AMB-06).
    let reservation = awu.reservations().next().map(|(place, _)| before(place, BUDGET_RESERVATION.name));
    worst(decisions.chain(reservation))
}

/// The phases come in order: decision and reservation before the reconciliation.
fn awu_2_4_2(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let (Some((first, _)), Some((last, _))) = (awu.reconciliations().next(), awu.reconciliations().last())
    else {
        return match awu.state {
            State::RefusedBeforeReservation | State::StoppedAfterReservation => {
                Outcome::NotApplicable("it did not run")
            }
            _ => Outcome::NotObserved,
        };
    };
    let ordered = |place: usize, reconciliation: usize, name: &'static str| {
        let mend = "decide, reserve, run, then reconcile; record each event when it happens";
        in_order(awu, place, reconciliation).outcome(name, "not later than the reconciliation", mend)
    };
    // Where there are several of a kind (AMB-06), the first come before the first, and the last before the last.
    let is_due = |(place, event): &(usize, &Event<'_>)| *place < first || !may_come_late(event);
    let (decision, reservation) = (POLICY_EVALUATED.name, BUDGET_RESERVATION.name);
    let pairs = [
        (awu.decisions().next(), first, decision),
        (awu.decisions().filter(is_due).last(), last, decision),
        (awu.reservations().next(), first, reservation),
        (awu.reservations().last(), last, reservation),
    ];
    let seen =
        pairs.into_iter().filter_map(|(event, reconciliation, name)| Some((event?.0, reconciliation, name)));
    worst(seen.map(|(place, reconciliation, name)| ordered(place, reconciliation, name)))
}

/// An AWU that runs is told of in all three phases.
fn awu_2_4_3(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match awu.state {
        State::Indeterminate => return Outcome::Inconclusive(look::RAN_OR_NOT),
        state if !state.executed() => return Outcome::NotApplicable("it did not run"),
        _ => {}
    }
    let decision = || missing_event(awu, POLICY_EVALUATED.name, "record every decision as an event");
    let reservation = || missing_event(awu, BUDGET_RESERVATION.name, "record the reservation as an event");
    let decision = if awu.has_event(&POLICY_EVALUATED) { Outcome::Pass } else { decision() };
    let reservation = if awu.has_event(&BUDGET_RESERVATION) { Outcome::Pass } else { reservation() };
    let actual =
        if awu.span.attributes.has(ACCOUNTING_ACTUAL) { Outcome::Pass } else { look::unmeasured(awu) };
    let reconciliation =
        if awu.has_event(&BUDGET_RECONCILIATION) { Outcome::Pass } else { look::missing_reconciliation(awu) };
    worst([decision, reservation, actual, reconciliation].into_iter())
}

/// An AWU that a decision stopped needs no telemetry of the later phases.
fn awu_2_4_4(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let tells_more = awu.has_event(&BUDGET_RECONCILIATION) || awu.span.attributes.has(ACCOUNTING_ACTUAL);
    match awu.is_refused() && !awu.executed() {
        true if !tells_more => Outcome::Pass,
        true => Outcome::NotApplicable("it tells of a later phase, though a decision stopped it"),
        false => Outcome::NotApplicable("no decision stopped it"),
    }
}

/// What a capture-wide finding comes to. Where there is none, the AWUs have answered one by one.
fn refuted_by(finding: Option<&Evidence>) -> Outcome {
    finding.map_or(Outcome::NotObserved, |evidence| evidence.clone().fails())
}

fn without_span(orphan: &Orphan<'_>, strictness: Strictness) -> Outcome {
    if !strictness.is_complete {
        return Outcome::Inconclusive("the span that log records name is not in the capture");
    }
    let name = orphan.logs.first().map_or("", |log| log.event.name);
    let named = format!("trace {:?}, span {:?}", hex(orphan.trace_id), hex(orphan.span_id));
    Evidence::new(format!("log record {name}"), "span_id", named, "the ids of an AWU span in the capture")
        .mend("export the span of every AWU, and log within its context")
        .fails()
}

fn identity_well_formed(awu: &Awu<'_>) -> Outcome {
    if look::has_valid_ids(awu.span.trace_id, awu.span.span_id) {
        return Outcome::Pass;
    }
    let observed = format!("trace {:?}, span {:?}", hex(awu.span.trace_id), hex(awu.span.span_id));
    let expected = "16 bytes and 8 bytes, neither all zero";
    Evidence::new("AWU span", "trace_id, span_id", observed, expected)
        .mend("let the OpenTelemetry SDK make the ids")
        .fails()
}

/// Two reports under one identity differ only where one was made before the span had ended.
fn identity_once(awu: &Awu<'_>) -> Outcome {
    let span = awu.span;
    let is_another = |other: &&&Span<'_>| other.start != span.start || (other.end != 0 && span.end != 0);
    let Some(other) = awu.others.iter().find(is_another) else { return Outcome::Pass };
    if span.is_broken || other.is_broken {
        return Outcome::Inconclusive("one of two reports of the span could not be read whole");
    }
    let told = |span: &Span<'_>| format!("{:?} from {} to {}", shown(span.name), span.start, span.end);
    let observed = format!("{}, and {}, under one identity", told(span), told(other));
    Evidence::new("AWU span", "trace_id, span_id", observed, "one span, or the same one again")
        .mend("make new ids for every AWU, and export each span once, with one content")
        .fails()
}

fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Every statement of an attribution value agrees with the others: on the span, on its events, in other reports.
fn attribution_kept(awu: &Awu<'_>) -> Outcome {
    worst([TEAM, PROJECT, ENVIRONMENT].into_iter().map(|key| stated_alike(awu, key)))
}

fn stated_alike(awu: &Awu<'_>, key: Key) -> Outcome {
    let others = awu.others.iter().map(|other| (Place::Span, &other.attributes));
    let (mut first, mut outcome) = (None, Outcome::NotObserved);
    for (place, attributes) in places(awu).chain(others).filter(|(_, attributes)| attributes.has(key)) {
        let mut is_echo = first.is_some();
        for value in attributes.stated(key) {
            let known = *first.get_or_insert(value);
            if !value.is_same(&known) {
                return Evidence::new(place, key.name(), value.to_string(), format!("{known}, as elsewhere"))
                    .mend("take attribution over once, when the AWU is created, and never change it")
                    .fails();
            }
            if std::mem::take(&mut is_echo) {
                outcome = Outcome::Pass;
            }
        }
    }
    outcome
}

/// Whether a decision may be made after execution, beside one that was made before it (AMB-05).
fn may_come_late(event: &Event<'_>) -> bool {
    event.attributes.text(POLICY_REASON_CODE).is_some_and(is_post_hoc)
}

/// The OTLP kind that OpenTelemetry's own conventions give an attribute, of those that stand on model calls.
fn conventional_kind(key: &str) -> Option<&'static str> {
    match key {
        "gen_ai.operation.name"
        | "gen_ai.provider.name"
        | "gen_ai.system"
        | "gen_ai.conversation.id"
        | "gen_ai.output.type"
        | "gen_ai.request.model"
        | "gen_ai.response.id"
        | "gen_ai.response.model"
        | "error.type"
        | "server.address" => Some("stringValue"),
        "gen_ai.usage.input_tokens"
        | "gen_ai.usage.output_tokens"
        | "gen_ai.usage.cache_read.input_tokens"
        | "gen_ai.usage.cache_creation.input_tokens"
        | "gen_ai.usage.reasoning.output_tokens"
        | "gen_ai.request.choice.count"
        | "gen_ai.request.max_tokens"
        | "gen_ai.request.seed"
        | "server.port" => Some("intValue"),
        "gen_ai.request.stop_sequences" | "gen_ai.response.finish_reasons" => Some("arrayValue"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::record::Log;
    use crate::rules::sample::{
        ACTUAL, CODE, DECISION, Given, MS, RECONCILIATION, RESERVATION, RESULT, Sample, allowed, bare, hold,
        refused, verdict,
    };
    use crate::verdict::Verdict::{self, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    const TEAM_KEY: &str = "genops.team";
    const SEARCH: Given = Given::Text("search");

    fn blocked() -> Sample {
        refused("BLOCKED", "BUDGET_EXCEEDED")
    }

    #[test]
    fn what_cannot_be_decoded_is_no_telemetry() {
        hold(
            gen_1_3_1,
            &[
                ("a whole one", allowed(), Pass),
                ("an empty value", allowed().add("genops.note", Given::Empty), Fail),
                ("text that is not UTF-8", allowed().set(TEAM_KEY, Given::Malformed), Fail),
                ("an empty value on an event", allowed().add_on(DECISION, "genops.note", Given::Empty), Fail),
                ("an empty value of somebody else", allowed().add("acme.note", Given::Empty), Pass),
            ],
        );
    }

    #[test]
    fn conventions_of_opentelemetry_keep_their_types() {
        let tokens = "gen_ai.usage.input_tokens";
        hold(
            gen_1_3_2,
            &[
                ("an integer", bare().set(tokens, Given::Int(9)), Pass),
                ("a price", bare().set(tokens, Given::Double(0.02)), Fail),
                ("a price on a call", allowed().on_calls(tokens, Given::Double(0.02)), Fail),
                ("a call that is well described", allowed(), Pass),
                (
                    "a list of reasons",
                    bare().set("gen_ai.response.finish_reasons", Given::List(&["stop"])),
                    Pass,
                ),
                ("one reason", bare().set("gen_ai.response.finish_reasons", Given::Text("stop")), Fail),
                ("nothing of them", bare().set("acme.usage.input_tokens", Given::Double(0.02)), NotObserved),
            ],
        );
    }

    #[test]
    fn an_identity_is_used_once() {
        let later = |mut sample: Sample| {
            sample.start += MS;
            sample
        };
        let table = [
            ("one report", allowed(), Pass),
            ("open, then ended", allowed().other(bare().open()), Pass),
            ("open twice", bare().open().other(allowed().open()), Pass),
            ("two ends", allowed().other(allowed().set(TEAM_KEY, SEARCH)), Fail),
            ("another start", allowed().other(later(allowed())), Fail),
            ("another start, still open", allowed().other(later(allowed().open())), Fail),
        ];
        hold(awu_2_2_1, &table);
        hold(awu_2_2_5, &table);
    }

    #[test]
    fn ids_are_those_of_w3c() {
        let ids = |trace: &[u8], span: &[u8]| {
            let mut sample = allowed();
            (sample.trace_id, sample.span_id) = (trace.to_vec(), span.to_vec());
            sample
        };
        let last = |length: usize| [vec![0; length - 1], vec![1]].concat();
        let table = [
            ("whole", ids(&[7; 16], &[7; 8]), Pass),
            ("all but zero", ids(&last(16), &last(8)), Pass),
            ("no trace", ids(&[], &[7; 8]), Fail),
            ("a trace of zeroes", ids(&[0; 16], &[7; 8]), Fail),
            ("a span of zeroes", ids(&[7; 16], &[0; 8]), Fail),
            ("a short trace", ids(&[7; 15], &[7; 8]), Fail),
            ("a long span", ids(&[7; 16], &[7; 9]), Fail),
        ];
        hold(awu_2_2_2, &table);
        hold(awu_2_2_4, &table);
    }

    #[test]
    fn calls_and_log_records_show_that_the_identity_stayed() {
        hold(
            awu_2_2_3,
            &[
                ("a call", allowed(), Pass),
                ("only span events", blocked(), NotObserved),
                ("a log record", blocked().told(DECISION, Told::Log), Pass),
                ("told both ways", blocked().told(DECISION, Told::Both), Pass),
            ],
        );
    }

    #[test]
    fn attribution_is_on_the_span_as_a_string() {
        hold(
            awu_2_3_1,
            &[
                ("there", allowed(), Pass),
                ("of a refused one", blocked().without(TEAM_KEY), Fail),
                ("as a number", allowed().set(TEAM_KEY, Given::Int(4)), Fail),
                ("left out", allowed().without(TEAM_KEY).with_gaps(), Inconclusive),
            ],
        );
        assert_eq!(allowed().without("genops.project").ask(awu_2_3_2), Fail);
        assert_eq!(allowed().without("genops.environment").ask(awu_2_3_3), Fail);
        let mut on_resource = allowed().without(TEAM_KEY);
        on_resource.resource.push((TEAM_KEY, SEARCH));
        let Outcome::Fail(evidence) = on_resource.outcome(awu_2_3_1, Strictness::default()) else { panic!() };
        assert!(evidence.mend.contains("AMB-08"));
    }

    #[test]
    fn attribution_that_is_repeated_is_the_same() {
        let silent = || allowed().without_on(DECISION, TEAM_KEY).without_on(RESERVATION, TEAM_KEY);
        let silent = || silent().without_on(RECONCILIATION, TEAM_KEY);
        let environment = "genops.environment";
        let table = [
            ("events repeat it", allowed(), Pass),
            ("no event repeats it", silent(), NotObserved),
            ("a decision says another", silent().set_on(DECISION, TEAM_KEY, SEARCH), Fail),
            ("a reconciliation says another", silent().set_on(RECONCILIATION, TEAM_KEY, SEARCH), Fail),
            ("twice on the span, differing", silent().add(TEAM_KEY, SEARCH), Fail),
            ("twice on the span, the same", silent().add(TEAM_KEY, Given::Text("payments")), NotObserved),
            ("twice on an event, the second differing", allowed().add_on(DECISION, TEAM_KEY, SEARCH), Fail),
            ("an open report that agrees", silent().other(allowed().open()), Pass),
            ("an open report with another", silent().other(allowed().open().set(environment, SEARCH)), Fail),
            ("an open report without", silent().other(bare().open()), NotObserved),
            ("of another type", allowed().set(TEAM_KEY, Given::Int(4)), Fail),
        ];
        hold(awu_2_3_4, &table);
        hold(awu_2_3_5, &table);
    }

    #[test]
    fn decision_and_reservation_come_before_the_first_call() {
        let late_warning = |code| allowed().decision(1_092, "WARNING", code);
        hold(
            awu_2_4_1,
            &[
                ("in order", allowed(), Pass),
                ("at the same time", allowed().at(RESERVATION, 1_003), Pass),
                ("reserved late", allowed().at(RESERVATION, 1_004), Fail),
                ("decided late", allowed().at(DECISION, 1_004), Fail),
                ("reserved before it was decided", allowed().at(RESERVATION, 1_000), Pass),
                ("late by another clock", allowed().other_clock().at(RESERVATION, 6_003), Inconclusive),
                ("too late by another clock", allowed().other_clock().at(RESERVATION, 6_004), Fail),
                ("without a call, before the reconciliation", allowed().without_calls(), Pass),
                ("without a call, after it", allowed().without_calls().at(RESERVATION, 1_096), Fail),
                ("no event", allowed().without_event(DECISION).without_event(RESERVATION), NotObserved),
                ("refused", blocked(), NotApplicable),
                ("a warning of what was seen afterwards", late_warning("SLA_LATENCY_VIOLATION"), Pass),
                ("an own code of what was seen afterwards", late_warning("x_slow"), Pass),
                ("a warning of what is known beforehand", late_warning("BUDGET_EXCEEDED"), Fail),
                ("only a late one", late_warning("x_slow").at(DECISION, 1_092), Fail),
                ("a later reservation tops it up", allowed().event(RESERVATION, 1_050, &[]), Pass),
            ],
        );
    }

    #[test]
    fn the_phases_come_in_order() {
        let swapped = || {
            let mut sample = allowed().at(RECONCILIATION, 1_002);
            sample.events.reverse();
            sample
        };
        hold(
            awu_2_4_2,
            &[
                ("in order", allowed(), Pass),
                ("reconciled before it was reserved", allowed().at(RECONCILIATION, 1_001), Fail),
                ("decided after it was reconciled", allowed().at(DECISION, 1_096), Fail),
                ("at the same time, listed in order", allowed().at(RECONCILIATION, 1_002), Pass),
                ("at the same time, listed the wrong way", swapped(), Fail),
                ("at the same time, as log records", swapped().told(RESERVATION, Told::Log), Pass),
                ("not reconciled", allowed().without_event(RECONCILIATION), NotObserved),
                ("refused", blocked(), NotApplicable),
                ("nothing but the reconciliation", bare().event(RECONCILIATION, 1_000, &[]), NotObserved),
                ("a late warning", allowed().decision(1_096, "WARNING", "SLA_LATENCY_VIOLATION"), Pass),
                ("a late permission", allowed().decision(1_096, "ALLOWED", ""), Fail),
                ("a late reservation", allowed().event(RESERVATION, 1_096, &[]), Fail),
            ],
        );
    }

    #[test]
    fn what_runs_is_told_of_in_all_three_phases() {
        let unreconciled = || allowed().without_event(RECONCILIATION);
        let marked = unreconciled().add("acme.incomplete", Given::Bool(true));
        let unmeasured = || unreconciled().without(ACTUAL);
        hold(
            awu_2_4_3,
            &[
                ("all of it", allowed(), Pass),
                ("no decision", allowed().without_event(DECISION), Fail),
                ("no reservation", allowed().without_event(RESERVATION), Fail),
                ("no actual", allowed().without(ACTUAL), Fail),
                ("no reconciliation", unreconciled(), Fail),
                ("no reconciliation, failed", unreconciled().failed(), Inconclusive),
                ("nothing afterwards, failed", unmeasured().failed(), Inconclusive),
                (
                    "nothing afterwards, nor a reservation, failed",
                    unmeasured().without_event(RESERVATION).failed(),
                    Fail,
                ),
                ("no reconciliation, marked", marked, Inconclusive),
                ("no reconciliation yet", unmeasured().open(), Inconclusive),
                ("no reconciliation, events left out", unreconciled().with_gaps(), Inconclusive),
                ("refused", blocked(), NotApplicable),
                ("stopped after its reservation", unmeasured().without_calls(), NotApplicable),
                ("nothing shows it", unmeasured().without_calls().without_event(RESERVATION), Inconclusive),
            ],
        );
    }

    #[test]
    fn what_a_decision_stopped_needs_no_more() {
        let table = [
            ("refused", blocked(), Pass),
            ("refused after its reservation", blocked().event(RESERVATION, 1_001, &[]), Pass),
            ("refused, with an actual", blocked().set(ACTUAL, Given::Double(0.0)), NotApplicable),
            ("refused, and ran", blocked().call(1_002, 1_003), NotApplicable),
            ("allowed", allowed(), NotApplicable),
        ];
        hold(awu_2_4_4, &table);
    }

    #[test]
    fn a_record_without_a_span_counts_only_in_a_complete_capture() {
        let complete = Strictness { is_complete: true, ..Strictness::default() };
        let log = Log::default();
        let ask = |ids: (&[u8], &[u8]), strictness: Strictness| {
            let orphan = Orphan { trace_id: ids.0, span_id: ids.1, logs: &[&log] };
            let rules = [orphan_awu_2_1_1, orphan_awu_2_2_3];
            rules.map(|rule| verdict(&rule(&orphan, strictness)))
        };
        assert_eq!(ask((&[1; 16], &[1; 8]), Strictness::default()), [Inconclusive, Inconclusive]);
        assert_eq!(ask((&[1; 16], &[1; 8]), complete), [Fail, Fail]);
        assert_eq!(ask((&[], &[]), Strictness::default()), [Inconclusive, NotObserved]);
        assert_eq!(ask((&[], &[]), complete), [Fail, NotObserved]);
    }

    #[test]
    fn the_two_ends_of_a_reservation_stand_on_one_awu() {
        let named = |sample: Sample| {
            let id = ("acme.reservation_id", Given::Text("r-1"));
            sample.set_on(RESERVATION, id.0, id.1).set_on(RECONCILIATION, id.0, id.1)
        };
        let renamed = |mut sample: Sample| {
            sample.span_id = vec![0xc3; 8];
            sample
        };
        let begun = || named(allowed().without_event(RECONCILIATION));
        let ended = || renamed(named(allowed().without_event(RESERVATION)));
        let table: [(&str, [Sample; 2], [Verdict; 2]); 4] = [
            ("one AWU, another without", [named(allowed()), renamed(allowed())], [Pass, NotObserved]),
            ("both ends on both", [named(allowed()), renamed(named(allowed()))], [Fail, NotObserved]),
            ("begun here, ended there", [begun(), ended()], [Fail, Fail]),
            ("ended there, begun here", [ended(), begun()], [Fail, Fail]),
        ];
        for (what, samples, expected) in table {
            let mut across = Across::default();
            samples.iter().for_each(|sample| sample.with(|awu| across.note(awu)));
            let outcomes =
                [capture_awu_2_1_3, capture_awu_2_2_3].map(|rule| rule(&across, Strictness::default()));
            assert_eq!(outcomes.map(|outcome| verdict(&outcome)), expected, "{what}");
        }
    }

    #[test]
    fn an_identity_that_came_again_fails_both_rules_about_it() {
        let mut across = Across::default();
        let rules = [capture_awu_2_2_1, capture_awu_2_2_5];
        let ask = |across: &Across| rules.map(|rule| verdict(&rule(across, Strictness::default())));
        assert_eq!(ask(&across), [NotObserved, NotObserved]);
        across.reused = Some(Evidence::new("AWU span", "span_id", "again", "new"));
        assert_eq!(ask(&across), [Fail, Fail]);
    }

    #[test]
    fn every_awu_has_a_span_and_its_events_belong_to_it() {
        assert_eq!(bare().ask(awu_2_1_1), Pass);
        assert_eq!(bare().ask(awu_2_1_3), NotObserved);
        assert_eq!(bare().event(DECISION, 1_000, &[(RESULT, Given::Text("ALLOWED"))]).ask(awu_2_1_3), Pass);
        assert_eq!(
            bare().event("acme.done", 1_000, &[(CODE, Given::Text("x_a"))]).ask(awu_2_1_3),
            NotObserved
        );
    }
}
