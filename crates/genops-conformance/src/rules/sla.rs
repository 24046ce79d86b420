//! Section 6: the SLA boundary of an AWU.
//!
//! Enforcement counts as active where any `genops.sla.` attribute stands on the span, or a decision gives the reason
//! code SLA_LATENCY_VIOLATION. Enforcement that leaves neither cannot be seen.

use genops_spec::ReasonCode;

use super::attributes::UNCERTAIN;
use super::look::{Place, has_completed_call, missing, required, typed};
use super::{OfAwu, Strictness};
use crate::awu::{Awu, State};
use crate::catalogue::{Id, id};
use crate::key::{Key, POLICY_REASON_CODE, SLA_ACTUAL_LATENCY_MS, SLA_LATENCY_TARGET_MS, SLA_MET, SLA_TIER};
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::SLA_6_2_1, sla_6_2_1),
    (id::SLA_6_3_1, sla_6_3_1),
    (id::SLA_6_3_2, sla_6_3_2),
    (id::SLA_6_3_3, sla_6_3_3),
    (id::SLA_6_3_4, sla_6_3_4),
    (id::SLA_6_3_5, sla_6_3_5),
    (id::SLA_6_3_6, sla_6_3_6),
];

/// The namespace of the SLA's attributes.
const PREFIX: &str = "genops.sla.";

const INACTIVE: &str = "no SLA enforcement is active on it";
const NOT_COMPLETED: &str = "it did not complete execution (AMB-11)";

/// Latency is the only dimension of an SLA in v0.1: another `genops.sla.` attribute is worth a look.
fn sla_6_2_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let mut keys = awu.span.attributes.genops().filter(|(key, _)| key.starts_with(PREFIX)).peekable();
    if keys.peek().is_none() {
        return Outcome::NotApplicable("no SLA attribute stands on it");
    }
    match keys.find(|(key, _)| Key::named(key).is_none()) {
        Some((key, value)) => {
            let expected = "the four SLA attributes of section 6.3";
            let evidence = Evidence::new(Place::Span, key.to_owned(), value.to_string(), expected);
            evidence.mend("keep attributes of your own under a name of your own").advises()
        }
        None => Outcome::Pass,
    }
}

/// While SLA enforcement is active, the tier is there.
fn sla_6_3_1(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match is_active(awu) {
        true => required(awu, SLA_TIER, strictness),
        false => Outcome::NotApplicable(INACTIVE),
    }
}

/// While SLA enforcement is active, the latency target is there, above 0.
fn sla_6_3_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    match is_active(awu) {
        true => required_from(awu, SLA_LATENCY_TARGET_MS, 1, strictness),
        false => Outcome::NotApplicable(INACTIVE),
    }
}

/// While SLA enforcement is active, the measured latency of a completed AWU is there, at least 0, and near to the
/// duration of the span.
fn sla_6_3_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    if let Some(outcome) = not_due(awu, SLA_ACTUAL_LATENCY_MS) {
        return outcome;
    }
    match required_from(awu, SLA_ACTUAL_LATENCY_MS, 0, strictness) {
        Outcome::Pass => near_to_duration(awu),
        outcome => outcome,
    }
}

/// While SLA enforcement is active, a completed AWU says whether the target was met.
fn sla_6_3_4(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    not_due(awu, SLA_MET).unwrap_or_else(|| required(awu, SLA_MET, strictness))
}

/// The target was met if the measured latency is at most the target.
fn sla_6_3_5(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let int = |key| awu.get(key).and_then(|value| value.int());
    let met = awu.get(SLA_MET).and_then(|value| value.bool());
    let (Some(target), Some(actual), Some(met)) =
        (int(SLA_LATENCY_TARGET_MS), int(SLA_ACTUAL_LATENCY_MS), met)
    else {
        return not_due(awu, SLA_MET).unwrap_or(Outcome::NotObserved);
    };
    if met == (actual <= target) {
        return Outcome::Pass;
    }
    let observed = format!("boolValue {met}, with {actual} ms measured and a target of {target} ms");
    let evidence = Evidence::new(Place::Span, SLA_MET.name(), observed, format!("boolValue {}", !met));
    evidence.mend("set it to whether the measured latency is at most the target").fails()
}

/// The SLA attributes as a group may be left out.
fn sla_6_3_6(awu: &Awu<'_>, _: Strictness) -> Outcome {
    match has_attribute(awu) {
        true => Outcome::Pass,
        false => Outcome::NotApplicable("no SLA attribute stands on it"),
    }
}

/// The SLA attributes that are due on an AWU and are not there.
pub fn missing_of_group(awu: &Awu<'_>) -> impl Iterator<Item = Key> {
    let after_completion = [SLA_ACTUAL_LATENCY_MS, SLA_MET];
    let keys = [SLA_TIER, SLA_LATENCY_TARGET_MS].into_iter().chain(after_completion);
    keys.filter(move |key| {
        let is_due = !after_completion.contains(key) || not_due(awu, *key).is_none();
        is_due && awu.get(*key).is_none()
    })
}

/// Whether an attribute of the SLA stands on the span.
pub fn has_attribute(awu: &Awu<'_>) -> bool {
    awu.span.attributes.all().iter().any(|(key, _)| key.starts_with(PREFIX))
}

fn is_active(awu: &Awu<'_>) -> bool {
    let code = ReasonCode::SlaLatencyViolation;
    let is_of_sla = |text: Option<&str>| text == Some(code.as_str());
    has_attribute(awu)
        || is_of_sla(awu.text(POLICY_REASON_CODE))
        || awu.decisions().any(|(_, event)| is_of_sla(event.attributes.text(POLICY_REASON_CODE)))
}

/// Why what is measured after execution need not be there (AMB-11); `None` if it has to be, or is.
fn not_due(awu: &Awu<'_>, key: Key) -> Option<Outcome> {
    match awu.state {
        _ if !is_active(awu) => Some(Outcome::NotApplicable(INACTIVE)),
        State::RefusedBeforeReservation | State::StoppedAfterReservation => {
            Some(Outcome::NotApplicable(NOT_COMPLETED))
        }
        State::ExecutedComplete => None,
        State::ExecutedIncomplete if has_completed_call(awu) => None,
        State::ExecutedIncomplete | State::Indeterminate => {
            awu.get(key).is_none().then_some(Outcome::Inconclusive(UNCERTAIN))
        }
    }
}

/// An integer has to stand on the span, no less than `least`.
fn required_from(awu: &Awu<'_>, key: Key, least: i64, strictness: Strictness) -> Outcome {
    let Some(value) = awu.get(key) else { return missing(awu, key) };
    match value.int() {
        Some(int) if int < least => {
            let evidence =
                Evidence::new(Place::Span, key.name(), value.to_string(), format!("at least {least}"));
            evidence.mend("give milliseconds, as a whole number").fails()
        }
        _ => typed(Place::Span, key, &value, strictness),
    }
}

/// A latency is near to the duration of the span if they differ by at most a second, or a tenth of the duration.
fn near_to_duration(awu: &Awu<'_>) -> Outcome {
    const NANOS: u64 = 1_000_000;
    let actual = awu.get(SLA_ACTUAL_LATENCY_MS).and_then(|value| value.int());
    let duration = awu.span.end.checked_sub(awu.span.start).filter(|_| awu.span.start != 0);
    let (Some(actual), Some(duration)) = (actual.and_then(|int| u64::try_from(int).ok()), duration) else {
        return Outcome::Pass;
    };
    let duration = duration / NANOS;
    if actual.abs_diff(duration) <= (duration / 10).max(1_000) {
        return Outcome::Pass;
    }
    let (observed, expected) =
        (format!("intValue {actual}"), format!("about the {duration} ms that the span took"));
    let evidence = Evidence::new(Place::Span, SLA_ACTUAL_LATENCY_MS.name(), observed, expected);
    evidence.mend("measure the same stretch that the span covers, in milliseconds").advises()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{DECISION, Given, Sample, allowed, hold, refused};
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    const TIER: &str = "genops.sla.tier";
    const TARGET: &str = "genops.sla.latency_target_ms";
    const LATENCY: &str = "genops.sla.actual_latency_ms";
    const MET: &str = "genops.sla.met";

    /// With an SLA: 100 ms measured, as long as the span takes.
    fn measured(target: u64, actual: u64, met: bool) -> Sample {
        let sample = allowed().set(TIER, Given::Text("premium")).set(TARGET, Given::Int(target));
        sample.set(LATENCY, Given::Int(actual)).set(MET, Given::Bool(met))
    }

    /// Refused since the latency was predicted to be too long.
    fn predicted() -> Sample {
        let sample = refused("BLOCKED", "SLA_LATENCY_VIOLATION");
        sample.set(TIER, Given::Text("premium")).set(TARGET, Given::Int(2_000))
    }

    #[test]
    fn only_the_four_attributes_are_known() {
        let other = measured(100, 100, true).set("genops.sla.throughput_target", Given::Int(1));
        hold(
            sla_6_2_1,
            &[
                ("four", measured(100, 100, true), Pass),
                ("none", allowed(), NotApplicable),
                ("a fifth", other, Advisory),
            ],
        );
    }

    #[test]
    fn tier_and_target_are_due_once_anything_shows_that_enforcement_is_active() {
        let full = measured(100, 100, true);
        for (rule, key) in [(sla_6_3_1 as OfAwu, TIER), (sla_6_3_2, TARGET)] {
            hold(
                rule,
                &[
                    ("present", full.clone(), Pass),
                    ("absent beside others", full.clone().without(key), Fail),
                    ("absent, and left out", full.clone().without(key).with_gaps(), Inconclusive),
                    ("inactive", allowed(), NotApplicable),
                    ("of another type", full.clone().set(key, Given::Bool(true)), Fail),
                    ("predicted", predicted(), Pass),
                    ("predicted, absent", predicted().without(key), Fail),
                    ("code alone", refused("BLOCKED", "SLA_LATENCY_VIOLATION"), Fail),
                    (
                        "code on an event alone",
                        allowed().decision(1_096, "WARNING", "SLA_LATENCY_VIOLATION"),
                        Fail,
                    ),
                ],
            );
        }
        hold(sla_6_3_2, &[("a target of 0", full.set(TARGET, Given::Int(0)), Fail)]);
    }

    #[test]
    fn what_is_measured_is_due_on_completed_awus_only() {
        let full = measured(100, 100, true);
        let incomplete = |key: &str| full.clone().without("genops.accounting.actual").without(key);
        for (rule, key) in [(sla_6_3_3 as OfAwu, LATENCY), (sla_6_3_4, MET)] {
            let undone = incomplete(key).without_event("genops.budget.reconciliation").without_calls();
            hold(
                rule,
                &[
                    ("present", full.clone(), Pass),
                    ("absent", full.clone().without(key), Fail),
                    ("refused", predicted(), NotApplicable),
                    ("stopped", undone.clone(), NotApplicable),
                    ("answered, no more", undone.set("genops.tokens.output", Given::Int(3)), Inconclusive),
                    ("inactive", allowed(), NotApplicable),
                    ("text", full.clone().set(key, Given::Text("true")), Fail),
                    (
                        "called to the end",
                        incomplete(key).without_event("genops.budget.reconciliation"),
                        Fail,
                    ),
                ],
            );
        }
    }

    #[test]
    fn a_latency_far_from_the_span_is_worth_a_look() {
        for (latency, expected) in [(0, Pass), (1_100, Pass), (1_101, Advisory), (u64::MAX, Fail)] {
            hold(sla_6_3_3, &[("latency", measured(100, latency, true), expected)]);
        }
        hold(sla_6_3_3, &[("an open span", measured(100, 9_999, true).open(), Pass)]);
    }

    #[test]
    fn met_is_what_the_two_latencies_say() {
        hold(
            sla_6_3_5,
            &[
                ("at the target", measured(2_000, 2_000, true), Pass),
                ("beyond it", measured(2_000, 2_001, false), Pass),
                ("beyond it, met", measured(2_000, 2_001, true), Fail),
                ("at the target, missed", measured(2_000, 2_000, false), Fail),
                ("no target", measured(2_000, 2_000, false).without(TARGET), NotObserved),
                ("refused", predicted(), NotApplicable),
                ("inactive", allowed(), NotApplicable),
            ],
        );
    }

    #[test]
    fn the_group_is_optional() {
        let code = allowed().without_event(DECISION).decision(1_001, "WARNING", "SLA_LATENCY_VIOLATION");
        hold(sla_6_3_6, &[("none", code, NotApplicable), ("all", measured(1, 1, true), Pass)]);
    }
}
