//! Section 4: decision states, the fields of a decision, that it stays as it is, and whose it is.

use crate::edit::{
    ACTUAL, Node, POLICY, REASON_CODE, RECONCILIATION, RESULT, UNIT, double, int, text, texts,
};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [states(), refused(), fields(), immutability(), parents()].into_iter().flatten().collect()
}

/// Section 4.1: one of four.
fn states() -> Vec<Mutant> {
    let mut mutants = vec![
        mutant("allowed", "the decision has two results in a list", |c| {
            c.awu().event(POLICY).set(RESULT, texts(&["ALLOWED", "WARNING"]));
        })
        .fails("DEC-4.1-1 DEC-4.2-1 SCH-8.1-1 CMP-9.1-9 VER-11-1"),
        mutant("allowed", "the decision has its result twice", |c| {
            c.awu().event(POLICY).also(RESULT, text("WARNING"));
        })
        .fails("DEC-4.1-1"),
        mutant("allowed", "only the event says a state that there is not", |c| {
            c.awu().event(POLICY).set(RESULT, text("allow"));
        })
        .fails("DEC-4.1-5 DEC-4.2-2 DEC-4.3-1 DEC-4.3-2 RSN-5.3-1 SCH-8.1-2 VER-11-1"),
        mutant("allowed", "only the span says a state that there is not", |c| {
            c.awu().set(RESULT, text("Allowed"));
        })
        .fails("ATT-7.1-10 DEC-4.1-5 DEC-4.2-2 DEC-4.3-1 DEC-4.3-2 RSN-5.3-1 VER-11-1"),
    ];
    for state in ["Warning", "warning", "WARN", "WARNING ", "DENIED", "THROTTLED"] {
        mutants.push(
            mutant("warning", format!("the state is {state:?}"), move |c| {
                c.set_everywhere(RESULT, &text(state));
            })
            .fails("DEC-4.1-5 VER-11-1"),
        );
    }
    mutants
}

/// Section 4.1: who was refused does not run.
fn refused() -> Vec<Mutant> {
    let blocked = [(RESULT, text("BLOCKED")), (REASON_CODE, text("POLICY_DENY_MODEL"))];
    let limited = [(RESULT, text("RATE_LIMITED")), (REASON_CODE, text("RATE_LIMITED"))];
    vec![
        mutant("sla_met", "a blocked AWU runs", move |c| {
            c.awu().set_all(&blocked).event(POLICY).set_all(&blocked);
        })
        .fails("DEC-4.1-2 EVT-7.2.1-4"),
        mutant("sla_met", "a rate-limited AWU runs", move |c| {
            c.awu().set_all(&limited).event(POLICY).set_all(&limited);
        })
        .fails("DEC-4.1-4 EVT-7.2.1-4"),
        mutant("stopped_after_reservation", "a blocked AWU is charged", |c| {
            c.awu().set(ACTUAL, double(0.09));
        })
        .fails("DEC-4.1-2 AWU-2.4-3 ACC-3.3-6 EVT-7.2-3")
        .unclear("ACC-3.5-3"),
        mutant("stopped_after_reservation", "a blocked AWU is charged nothing", |c| {
            c.awu().set(ACTUAL, double(0.0));
        })
        .advises("ATT-7.1-7"),
        mutant("stopped_after_reservation", "a blocked AWU has an answer", |c| {
            c.awu().set("gen_ai.response.model", text("gpt-4o-mini-2024-07-18"));
        })
        .fails("DEC-4.1-2 AWU-2.4-3 ACC-3.3-3 ACC-3.3-6 EVT-7.2-3")
        // An answer shows that it ran; that it ran to the end only a call, or a reconciliation, shows.
        .unclear("ACC-3.5-3 ATT-7.1-7 ATT-7.1-14"),
    ]
}

/// Section 4.2.
fn fields() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the decision has no result", |c| {
            c.awu().event(POLICY).remove(RESULT);
        })
        .fails("DEC-4.1-1 DEC-4.2-1 SCH-8.1-1"),
        mutant("allowed", "the decision's result is an integer", |c| {
            c.awu().event(POLICY).set(RESULT, int(0));
        })
        .fails("DEC-4.1-1 DEC-4.2-1 SCH-8.1-1 VER-11-1"),
        mutant("warning", "neither span nor event says a reason code", |c| c.remove_everywhere(REASON_CODE))
            .fails("ATT-7.1-10 DEC-4.2-2 RSN-5.3-1 SCH-8.1-2"),
        mutant("blocked", "the event says no reason code", |c| {
            c.awu().event(POLICY).remove(REASON_CODE);
        })
        .fails("DEC-4.2-2 RSN-5.3-1 SCH-8.1-2"),
        mutant("blocked", "the span says no reason code", |c| {
            c.awu().remove(REASON_CODE);
        })
        .fails("ATT-7.1-10 DEC-4.2-2 RSN-5.3-1"),
    ]
}

/// Section 4.3 and AMB-04.
fn immutability() -> Vec<Mutant> {
    let warning = [(RESULT, text("WARNING")), (REASON_CODE, text("x_spend_anomaly"))];
    let late = [(RESULT, text("WARNING")), (REASON_CODE, text("SLA_LATENCY_VIOLATION"))];
    vec![
        mutant("allowed", "the span says another result than its only decision", move |c| {
            c.awu().event(POLICY).set_all(&warning);
        })
        .fails("DEC-4.3-1 DEC-4.3-2"),
        mutant("sla_missed", "the span says the result of a later decision", move |c| {
            c.awu().set_all(&late);
        })
        .advises("DEC-4.3-1"),
        mutant("warning", "the decision's log record gives another reason", |c| {
            c.log(POLICY).set(REASON_CODE, text("x_spend_anomaly"));
        })
        .fails("DEC-4.3-1"),
        mutant("optional_events", "the open span told another decision than the finished one", |c| {
            c.report_again(|span| {
                span.field("endTimeUnixNano", "0").event(POLICY).set("genops.policy.name", text("another"));
            });
        })
        .fails("DEC-4.3-1"),
    ]
}

/// Section 4.4: a decision belongs to an AWU.
fn parents() -> Vec<Mutant> {
    vec![
        mutant("warning", "a decision's log record names no span", |c| {
            let mut log = c.log(POLICY).0.clone();
            Node(&mut log).field("spanId", "").remove("acme.decision.id");
            c.add_log(log);
        })
        .fails("DEC-4.4-2")
        .unclear("AWU-2.1-1 AWU-2.2-3"),
        mutant("warning", "a decision's log record names neither trace nor span", |c| {
            let mut log = c.log(POLICY).0.clone();
            Node(&mut log).field("traceId", "").field("spanId", "").remove("acme.decision.id");
            c.add_log(log);
        })
        .fails("DEC-4.4-2")
        .unclear("AWU-2.1-1"),
        mutant("rate_limited", "the only telling of a decision names no span", |c| {
            c.log(POLICY).field("traceId", "").field("spanId", "");
        })
        .fails("DEC-4.4-2 EVT-7.2-1 EVT-7.2.1-1")
        .unclear("AWU-2.1-1"),
        mutant("blocked", "an AWU that never ran is reconciled", |c| {
            let nothing =
                [(ACTUAL, double(0.0)), ("genops.accounting.reserved", double(0.0)), (UNIT, text("USD"))];
            c.awu().add_event(RECONCILIATION, 2, &nothing);
        })
        .fails("EVT-7.2.1-4")
        // It may have run against the decision, or not have run and been reconciled (AMB-15).
        .unclear("ACC-3.5-1 DEC-4.1-2"),
        mutant("stopped_after_reservation", "an AWU that was stopped is reconciled", |c| {
            let reserved =
                [(ACTUAL, double(0.0)), ("genops.accounting.reserved", double(0.12)), (UNIT, text("USD"))];
            c.awu().add_event(RECONCILIATION, 15, &reserved);
        })
        .fails("EVT-7.2.1-4")
        .unclear("DEC-4.1-2"),
    ]
}
