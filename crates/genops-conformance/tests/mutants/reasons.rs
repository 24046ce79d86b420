//! Section 5: reason codes.

use crate::common::Capture;
use crate::edit::{POLICY, REASON_CODE, RESULT, double, int, text, texts};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [codes(), exactly_one(), meanings()].into_iter().flatten().collect()
}

/// Sections 5.1, 5.4 and 5.5: from the list, or an extension.
fn codes() -> Vec<Mutant> {
    let not_listed = "RSN-5.1-1 RSN-5.4-1 RSN-5.5-3 VER-11-1";
    let no_extension = "RSN-5.4-1 RSN-5.5-2 VER-11-1";
    let neither = "RSN-5.1-1 RSN-5.4-1 RSN-5.5-2 RSN-5.5-3 VER-11-1";
    let cases = [
        ("QUOTA_EXCEEDED", not_listed),
        ("budget_exceeded", not_listed),
        ("BUDGET_EXCEEDED ", not_listed),
        ("Budget exceeded for team support", not_listed),
        ("guard_max_tokens", not_listed),
        ("x_", no_extension),
        ("x_Quota", no_extension),
        ("x_soft-limit", no_extension),
        ("x_soft limit", no_extension),
        ("x_quota\n", no_extension),
        ("x_größe", no_extension),
        ("x_\u{ff11}", no_extension),
        ("x-quota", neither),
        ("X_quota", neither),
    ];
    let mutant = |(code, ids): (&'static str, &'static str)| {
        mutant("warning", format!("the reason code is {code:?}"), move |c| {
            c.set_everywhere(REASON_CODE, &text(code));
        })
        .fails(ids)
    };
    cases.into_iter().map(mutant).collect()
}

/// Section 5.3.
fn exactly_one() -> Vec<Mutant> {
    vec![
        mutant("warning", "two reason codes are joined by a comma", |c| {
            c.set_everywhere(REASON_CODE, &text("BUDGET_EXCEEDED,RATE_LIMITED"));
        })
        .fails("RSN-5.1-1 RSN-5.3-1 RSN-5.4-1 RSN-5.5-3 VER-11-1"),
        mutant("blocked", "two reason codes stand in a list on the event", |c| {
            c.awu().event(POLICY).set(REASON_CODE, texts(&["BUDGET_RESERVATION_FAILED", "RATE_LIMITED"]));
        })
        .fails("RSN-5.3-1 SCH-8.1-2 CMP-9.1-9 VER-11-1"),
        mutant("blocked", "the reason code stands twice on the event", |c| {
            c.awu().event(POLICY).also(REASON_CODE, text("POLICY_DENY_MODEL"));
        })
        .fails("RSN-5.3-1"),
        mutant("blocked", "the reason code on the span is an integer", |c| {
            c.awu().set(REASON_CODE, int(2));
        })
        .fails("ATT-7.1-10 RSN-5.3-1 VER-11-1"),
        mutant("allowed", "an allowed AWU's span has a reason code", |c| {
            c.awu().set(REASON_CODE, text("x_none"));
        })
        .fails("RSN-5.3-2"),
        mutant("allowed", "an allowed AWU's decision has a reason code", |c| {
            c.awu().event(POLICY).set(REASON_CODE, text("x_none"));
        })
        .fails("RSN-5.3-2 SCH-8.1-3"),
        mutant("allowed", "an allowed AWU's decision has an empty reason code", |c| {
            c.awu().event(POLICY).set(REASON_CODE, text(""));
        })
        .fails("RSN-5.1-1 RSN-5.3-2 RSN-5.4-1 RSN-5.5-3 SCH-8.1-3 CMP-9.1-9 VER-11-1"),
    ]
}

/// Section 5.2 and AMB-21: cross-checks, never a failure.
fn meanings() -> Vec<Mutant> {
    let late = |c: &mut Capture| {
        let missed = [(RESULT, text("WARNING")), (REASON_CODE, text("SLA_LATENCY_VIOLATION"))];
        c.awu().add_event(POLICY, 1_869, &missed);
    };
    vec![
        mutant("blocked", "a blocked AWU gives the rate as its reason", |c| {
            c.set_everywhere(REASON_CODE, &text("RATE_LIMITED"));
        })
        .advises("RSN-5.2-1"),
        mutant("rate_limited", "a rate-limited AWU gives another reason", |c| {
            c.set_everywhere(REASON_CODE, &text("POLICY_DENY_MODEL"));
        })
        .advises("RSN-5.2-1"),
        mutant("sla_met", "an AWU within its target tells of a violation", late).advises("RSN-5.2-1"),
        mutant("stopped_after_reservation", "a budget with room is given as the reason", |c| {
            c.set_everywhere(REASON_CODE, &text("BUDGET_EXCEEDED"));
            c.awu().set("genops.budget.remaining", double(61.88));
        })
        .advises("RSN-5.2-1"),
    ]
}
