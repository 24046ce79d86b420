//! Sections 7.2 and 8.1 to 8.3: the required events and what they carry.

use crate::edit::{
    ACTUAL, POLICY, REASON_CODE, RECONCILIATION, RESERVATION, RESERVED, RESULT, UNIT, int, text,
};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [lifecycle(), later_decisions(), schemas()].into_iter().flatten().collect()
}

/// Section 7.2: at the points of the lifecycle.
fn lifecycle() -> Vec<Mutant> {
    vec![
        mutant("allowed", "no decision is told", |c| {
            c.awu().drop_event(POLICY);
        })
        .fails("AWU-2.4-3 EVT-7.2-1"),
        mutant("blocked", "no refusal is told", |c| {
            c.awu().drop_event(POLICY);
        })
        .fails("EVT-7.2-1 EVT-7.2.1-1"),
        mutant("rate_limited", "no refusal is told, as a log record either", |c| {
            c.documents.pop();
        })
        .fails("EVT-7.2-1 EVT-7.2.1-1"),
        mutant("stopped_after_reservation", "an AWU was stopped after a reservation that is not told", |c| {
            c.awu().drop_event(RESERVATION);
        })
        .fails("EVT-7.2.1-2 ACC-3.3-2"),
        mutant("stopped_after_reservation", "the decision that stopped it is not told", |c| {
            c.awu().drop_event(POLICY);
        })
        .fails("EVT-7.2-1"),
    ]
}

/// AMB-05: what can be known only afterwards.
fn later_decisions() -> Vec<Mutant> {
    vec![
        mutant("sla_missed", "a later decision gives a reason that was known before", |c| {
            c.awu().last_event(POLICY).set(REASON_CODE, text("POLICY_DENY_REGION"));
        })
        .fails("SCH-8.1-4 AWU-2.4-1 AWU-2.4-2"),
        mutant("failed_upstream", "a later decision blocks what has run", |c| {
            c.awu().last_event(POLICY).set(RESULT, text("BLOCKED"));
        })
        .advises("SCH-8.1-4"),
    ]
}

/// Sections 8.1 to 8.3: on the event itself, of its type.
fn schemas() -> Vec<Mutant> {
    vec![
        mutant("sla_met", "the reservation has no amount", |c| {
            c.awu().event(RESERVATION).remove(RESERVED);
        })
        .fails("SCH-8.2-1"),
        mutant("sla_met", "the reservation's amount is an integer", |c| {
            c.awu().event(RESERVATION).set(RESERVED, int(4096));
        })
        .fails("SCH-8.2-1 VER-11-1"),
        mutant("sla_met", "the reservation has no unit", |c| {
            c.awu().event(RESERVATION).remove(UNIT);
        })
        .fails("SCH-8.2-2"),
        mutant("sla_met", "the reconciliation's actual amount is an integer", |c| {
            c.awu().event(RECONCILIATION).set(ACTUAL, int(3120));
        })
        .fails("SCH-8.3-1 VER-11-1"),
        mutant("sla_met", "the reconciliation's reserved amount is an integer", |c| {
            c.awu().event(RECONCILIATION).set(RESERVED, int(4096));
        })
        .fails("SCH-8.3-2 VER-11-1"),
        mutant("sla_met", "the reconciliation has no unit", |c| {
            c.awu().event(RECONCILIATION).remove(UNIT);
        })
        .fails("SCH-8.3-3"),
        mutant("optional_events", "the policy's name on the decision is an integer", |c| {
            c.awu().event(POLICY).set("genops.policy.name", int(4));
        })
        .fails("SCH-8.1-5 OPT-7.3-4 VER-11-1"),
        mutant("allowed", "what remains, on the reservation, is text", |c| {
            c.awu().event(RESERVATION).set("genops.budget.remaining", text("412.48"));
        })
        .fails("SCH-8.2-4 OPT-7.3-3 VER-11-1"),
    ]
}
