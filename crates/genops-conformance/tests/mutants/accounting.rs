//! Section 3: the unit, the reservation, the actual, the reconciliation, and what happens when they fail.

use crate::edit::{
    ACTUAL, POLICY, REASON_CODE, RECONCILIATION, RESERVATION, RESERVED, RESULT, UNIT, double, int, text,
};
use crate::mutant::{BESIDE_DROPPED_EVENTS, Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [presence(), types(), agreement(), cardinality(), refusals(), failures(), gaps()]
        .into_iter()
        .flatten()
        .collect()
}

/// Sections 3.2 and 3.3: all three records are there.
fn presence() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the span has no unit", |c| {
            c.awu().remove(UNIT);
        })
        .fails("ACC-3.2-2 ATT-7.1-8 ATT-7.1-13"),
        mutant("allowed", "the span has no reserved amount", |c| {
            c.awu().remove(RESERVED);
        })
        .fails("ATT-7.1-6 ATT-7.1-13"),
        mutant("stopped_after_reservation", "a stopped AWU has no unit", |c| {
            c.awu().remove(UNIT);
        })
        .fails("ACC-3.2-2 ATT-7.1-8 ATT-7.1-13"),
        mutant("stopped_after_reservation", "a stopped AWU has no reserved amount", |c| {
            c.awu().remove(RESERVED);
        })
        .fails("ATT-7.1-6 ATT-7.1-13"),
        mutant("allowed", "the span has no actual amount", |c| {
            c.awu().remove(ACTUAL);
        })
        .fails("AWU-2.4-3 ACC-3.3-3 ATT-7.1-7 ATT-7.1-14"),
        mutant("allowed", "no reservation is told", |c| {
            c.awu().drop_event(RESERVATION);
        })
        .fails("AWU-2.4-3 ACC-3.3-1 ACC-3.3-2 EVT-7.2-2"),
        mutant("allowed", "no reconciliation is told", |c| {
            c.awu().drop_event(RECONCILIATION);
        })
        .fails("AWU-2.4-3 ACC-3.3-6 EVT-7.2-3")
        .unclear("ACC-3.5-3"),
        mutant("allowed", "no reconciliation is told, and everything is in the capture", |c| {
            c.awu().drop_event(RECONCILIATION);
        })
        .complete()
        .fails("AWU-2.4-3 ACC-3.3-6 ACC-3.5-3 EVT-7.2-3"),
        mutant("allowed", "a completed call is neither measured nor reconciled", |c| {
            c.awu().remove(ACTUAL).drop_event(RECONCILIATION);
        })
        .fails("AWU-2.4-3 ACC-3.3-3 ACC-3.3-6 ATT-7.1-7 ATT-7.1-14 EVT-7.2-3")
        .unclear("ACC-3.5-3"),
        mutant("sla_met", "the reconciliation has no actual amount", |c| {
            c.awu().event(RECONCILIATION).remove(ACTUAL);
        })
        .fails("ACC-3.3-5 SCH-8.3-1"),
        mutant("sla_met", "the reconciliation has no reserved amount", |c| {
            c.awu().event(RECONCILIATION).remove(RESERVED);
        })
        .fails("ACC-3.3-5 SCH-8.3-2"),
        mutant("sla_met", "the reconciliation comes before the model call has ended", |c| {
            c.awu().move_event(RECONCILIATION, 1_000);
        })
        .fails("ACC-3.3-3 EVT-7.2-3 SCH-8.3-4"),
    ]
}

/// Section 3.4: doubles and a string.
fn types() -> Vec<Mutant> {
    let whole = |c: &mut crate::common::Capture| {
        c.awu().set(RESERVED, int(4096));
    };
    vec![
        mutant("sla_met", "the reserved amount is an integer", whole).fails("ACC-3.4-1 ATT-7.1-6 VER-11-1"),
        mutant("sla_met", "the reserved amount is an integer, which is let pass", whole)
            .lenient()
            .advises("ACC-3.4-1 ATT-7.1-6 VER-11-1"),
        mutant("sla_met", "the reserved amount is text", |c| {
            c.awu().set(RESERVED, text("4096"));
        })
        .fails("ACC-3.4-1 ATT-7.1-6 VER-11-1"),
        mutant("sla_met", "the actual amount is an integer", |c| {
            c.awu().set(ACTUAL, int(3120));
        })
        .fails("ACC-3.4-2 ATT-7.1-7 VER-11-1"),
        mutant("sla_met", "the actual amount is text", |c| {
            c.awu().set(ACTUAL, text("3120"));
        })
        .lenient()
        .fails("ACC-3.4-2 ATT-7.1-7 VER-11-1"),
        mutant("sla_met", "the unit is an integer", |c| {
            c.awu().set(UNIT, int(1));
        })
        .fails("ACC-3.2-2 ACC-3.4-3 ATT-7.1-8 VER-11-1"),
    ]
}

/// Section 3.3: the same amounts and unit, wherever they are told.
fn agreement() -> Vec<Mutant> {
    vec![
        mutant("sla_met", "the span says another reserved amount", |c| {
            c.awu().set(RESERVED, double(4097.0));
        })
        .fails("ACC-3.3-7"),
        mutant("sla_met", "the reservation says another reserved amount", |c| {
            c.awu().event(RESERVATION).set(RESERVED, double(4096.0_f64.next_up()));
        })
        .fails("ACC-3.3-7 SCH-8.3-2"),
        mutant("sla_met", "the reconciliation says another reserved amount", |c| {
            c.awu().event(RECONCILIATION).set(RESERVED, double(5000.0));
        })
        .fails("ACC-3.3-7 SCH-8.3-2"),
        mutant("sla_met", "the span says another actual amount", |c| {
            c.awu().set(ACTUAL, double(3119.0));
        })
        .fails("ACC-3.3-7"),
        mutant("sla_met", "the reconciliation says another actual amount", |c| {
            c.awu().event(RECONCILIATION).set(ACTUAL, double(3121.0));
        })
        .fails("ACC-3.3-7"),
        mutant("sla_met", "the span says another unit", |c| {
            c.awu().set(UNIT, text("USD"));
        })
        .fails("ACC-3.3-7"),
        mutant("sla_met", "the reservation says another unit", |c| {
            c.awu().event(RESERVATION).set(UNIT, text("USD"));
        })
        .fails("ACC-3.3-7 SCH-8.3-3"),
        mutant("sla_met", "the reconciliation says another unit", |c| {
            c.awu().event(RECONCILIATION).set(UNIT, text("USD"));
        })
        .fails("ACC-3.3-7 SCH-8.3-3"),
        mutant("stopped_after_reservation", "a stopped AWU says two reserved amounts", |c| {
            c.awu().set(RESERVED, double(0.13));
        })
        .fails("ACC-3.3-7"),
    ]
}

/// AMB-06: one reservation and one reconciliation are expected, and the last one counts.
fn cardinality() -> Vec<Mutant> {
    let first = || [(RESERVED, double(1024.0)), (UNIT, text("tokens"))];
    vec![
        mutant("sla_met", "a reservation is topped up", move |c| {
            c.awu().add_event(RESERVATION, 1, &first());
        })
        .advises("ACC-3.3-2 EVT-7.2-2"),
        mutant("sla_met", "a reservation is topped up, and the span says the first amount", move |c| {
            c.awu().add_event(RESERVATION, 1, &first()).set(RESERVED, double(1024.0));
        })
        .fails("ACC-3.3-7")
        .advises("ACC-3.3-2 EVT-7.2-2"),
        mutant("sla_met", "an AWU is reconciled twice", |c| {
            let part = [(ACTUAL, double(3000.0)), (RESERVED, double(4096.0)), (UNIT, text("tokens"))];
            c.awu().add_event(RECONCILIATION, 1_867, &part);
        })
        .advises("ACC-3.3-6 EVT-7.2-3"),
    ]
}

/// Section 3.5: a reservation that fails stops the AWU.
fn refusals() -> Vec<Mutant> {
    let exceeded = [(RESULT, text("BLOCKED")), (REASON_CODE, text("BUDGET_EXCEEDED"))];
    vec![
        mutant("sla_met", "an AWU runs although its budget is used up", move |c| {
            c.awu().set_all(&exceeded).event(POLICY).set_all(&exceeded);
            c.awu().event(RESERVATION).remove("genops.budget.remaining");
        })
        .fails("ACC-3.5-1 DEC-4.1-2 EVT-7.2.1-4"),
        mutant("blocked", "an AWU runs although its reservation failed", |c| {
            let awu = c.awu().0.clone();
            let mut call = crate::common::Capture::golden("allowed").call().0.clone();
            for key in ["traceId", "startTimeUnixNano", "endTimeUnixNano"] {
                call[key] = awu[key].clone();
            }
            call["parentSpanId"] = awu["spanId"].clone();
            call["startTimeUnixNano"] = awu["endTimeUnixNano"].clone();
            c.add_span(call);
        })
        .fails(
            "ACC-3.5-1 DEC-4.1-2 AWU-2.4-3 ACC-3.3-1 ACC-3.3-2 ACC-3.3-3 ACC-3.3-6 EVT-7.2-2 EVT-7.2-3 \
             ATT-7.1-6 ATT-7.1-7 ATT-7.1-8 ATT-7.1-14",
        ),
        mutant("warning", "a reservation that failed is only warned of", |c| {
            c.set_everywhere(REASON_CODE, &text("BUDGET_RESERVATION_FAILED"));
        })
        .fails("ACC-3.5-2"),
        mutant("rate_limited", "a reservation that failed is told as a rate limit", |c| {
            c.set_everywhere(REASON_CODE, &text("BUDGET_RESERVATION_FAILED"));
        })
        .fails("ACC-3.5-2")
        .advises("RSN-5.2-1"),
    ]
}

/// Section 3.5 and AMB-16: a reconciliation that fails is not passed over in silence.
fn failures() -> Vec<Mutant> {
    let drop = |c: &mut crate::common::Capture| {
        c.awu().drop_event(RECONCILIATION);
    };
    let unmark = |c: &mut crate::common::Capture| {
        c.awu().event(RECONCILIATION).remove("acme.accounting.incomplete");
    };
    vec![
        mutant("failed_upstream", "a failed AWU is not reconciled", drop)
            .advises("ACC-3.5-4")
            .unclear("AWU-2.4-3 ACC-3.3-6 ACC-3.5-3 EVT-7.2-3"),
        mutant("failed_upstream", "a failed AWU is not reconciled, strictly", drop)
            .strict()
            .fails("ACC-3.5-4")
            .unclear("AWU-2.4-3 ACC-3.3-6 ACC-3.5-3 EVT-7.2-3"),
        mutant("failed_upstream", "a failed AWU is not reconciled, and everything is in the capture", drop)
            .complete()
            .fails("ACC-3.5-3")
            .advises("ACC-3.5-4")
            .unclear("AWU-2.4-3 ACC-3.3-6 EVT-7.2-3"),
        mutant("settled_without_measurement", "a charge without a measurement is not marked", unmark)
            .advises("ACC-3.5-5"),
        mutant(
            "settled_without_measurement",
            "a charge without a measurement is not marked, strictly",
            unmark,
        )
        .strict()
        .fails("ACC-3.5-5"),
    ]
}

/// What an exporter left out, or a sampler, is not held against the runtime.
fn gaps() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the reconciliation may be among the events that were left out", |c| {
            c.awu().drop_event(RECONCILIATION).field("droppedEventsCount", 1);
        })
        .unclear("AWU-2.4-3 ACC-3.3-6 ACC-3.5-3 EVT-7.2-3")
        .unclear(BESIDE_DROPPED_EVENTS),
        mutant("allowed", "the reservation may be among the events that were left out", |c| {
            c.awu().drop_event(RESERVATION).field("droppedEventsCount", 2);
        })
        .unclear("AWU-2.4-3 ACC-3.3-1 ACC-3.3-2 EVT-7.2-2")
        .unclear(BESIDE_DROPPED_EVENTS),
        mutant("allowed", "the reservation's amount may be among the attributes that were left out", |c| {
            c.awu().event(RESERVATION).remove(RESERVED).field("droppedAttributesCount", 1);
        })
        .unclear("SCH-8.2-1")
        .unclear(BESIDE_DROPPED_EVENTS),
        mutant("allowed", "the decision is missing, and a sampler leaves spans out", |c| {
            c.awu().drop_event(POLICY).field("traceState", "ot=th:8");
        })
        .unclear("AWU-2.4-3 EVT-7.2-1"),
        mutant(
            "allowed",
            "the decision is missing, and the flags do not say that the span was sampled",
            |c| {
                c.awu().drop_event(POLICY).field("flags", 256);
            },
        )
        .fails("AWU-2.4-3 EVT-7.2-1"),
    ]
}
