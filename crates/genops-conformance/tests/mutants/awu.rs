//! Sections 1.3 and 2: OpenTelemetry signals, the AWU, its identity, its attribution, its phases.

use crate::common::Capture;
use crate::edit::{
    ACTUAL, Node, POLICY, REASON_CODE, RECONCILIATION, RESERVATION, RESERVED, RESULT, UNIT, double, int,
    list, null, text,
};
use crate::mutant::{BESIDE_DROPPED_ATTRIBUTES, Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [signals(), one_awu(), identity(), attribution(), immutability(), phases(), retries()]
        .into_iter()
        .flatten()
        .collect()
}

/// Section 1.3.
fn signals() -> Vec<Mutant> {
    vec![
        mutant("allowed", "an attribute of `genops.` has a value of no kind", |c| {
            c.awu().set("genops.note", null());
        })
        .fails("GEN-1.3-1")
        .advises("VER-11-1"),
        mutant("allowed", "an optional attribute has a value of no kind", |c| {
            c.awu().set("genops.feature", null());
        })
        .fails("GEN-1.3-1 OPT-7.3-9 VER-11-1"),
        mutant("allowed", "tokens of the GenAI conventions are told as an amount of money", |c| {
            c.awu().set("gen_ai.usage.input_tokens", double(0.0127));
        })
        .fails("GEN-1.3-2"),
    ]
}

/// Section 2.1.
fn one_awu() -> Vec<Mutant> {
    let orphan = |c: &mut Capture| {
        let mut log = c.log(POLICY).0.clone();
        Node(&mut log).field("spanId", "1111111111111111").remove("acme.decision.id");
        c.add_log(log);
    };
    vec![
        mutant("warning", "a decision's log record names a span that is not there", orphan)
            .unclear("AWU-2.1-1 AWU-2.2-3 DEC-4.4-2"),
        mutant(
            "warning",
            "a decision's log record names a span that is not there, and everything is",
            orphan,
        )
        .complete()
        .fails("AWU-2.1-1 AWU-2.2-3 DEC-4.4-2"),
        mutant(
            "warning",
            "a reservation's log record names a span that is not there, and everything is",
            |c| {
                let mut log = c.log(RESERVATION).0.clone();
                let other = "22222222222222222222222222222222";
                Node(&mut log).field("traceId", other).remove("acme.reservation.id");
                c.add_log(log);
            },
        )
        .complete()
        .fails("AWU-2.1-1 AWU-2.2-3"),
        mutant("retry", "one decision belongs to two AWUs", |c| {
            c.awu_at(0).event(POLICY).set("acme.decision.id", text("dec-01hq43a0wz"));
        })
        .fails("AWU-2.1-3"),
        mutant("retry", "one reservation is made on one AWU and reconciled on another", |c| {
            let other = c.awu_at(1).event(RESERVATION).0.clone();
            c.awu_at(1).event(RESERVATION).set("acme.reservation.id", text("res-01hq43a001"));
            let mut stopped = other;
            Node(&mut stopped).remove("genops.budget.name");
            let mut first = c.awu_at(0);
            first.set_all(&[(RESERVED, double(0.002)), (UNIT, text("USD"))]);
            list(&mut first.0["events"]).push(stopped);
            first.move_event(RESERVATION, 0);
        })
        .fails("AWU-2.1-3 AWU-2.2-3"),
    ]
}

/// Section 2.2.
fn identity() -> Vec<Mutant> {
    vec![
        mutant("blocked", "two spans share an identity and differ in name", |c| {
            c.report_again(|span| {
                span.field("name", "another");
            });
        })
        .fails("AWU-2.2-1 AWU-2.2-5"),
        mutant("allowed", "two spans share an identity and differ in their times", |c| {
            c.report_again(|span| {
                span.start_earlier(60_000);
            });
        })
        .fails("AWU-2.2-1 AWU-2.2-5"),
        mutant("allowed", "two spans share an identity and differ in an attribute", |c| {
            c.report_again(|span| {
                span.set("genops.feature", text("refunds"));
            });
        })
        .fails("AWU-2.2-1 AWU-2.2-5"),
        mutant("blocked", "an identity is used again after its AWU has been judged", |c| {
            let mut again = c.clone();
            again.awu().start_earlier(-3_600_000).move_event(POLICY, 1);
            for between in ["allowed", "sla_met", "sla_missed", "optional_events"] {
                c.documents.extend(Capture::golden(between).documents);
            }
            c.documents.extend(again.documents);
        })
        // Room for any of them, and not for all: the first is judged before it comes again.
        .in_bytes(16 << 10)
        .fails("AWU-2.2-1 AWU-2.2-5"),
        mutant("blocked", "the span id is all zero", |c| {
            c.awu().field("spanId", "0000000000000000");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
        mutant("blocked", "the trace id is all zero", |c| {
            c.awu().field("traceId", "00000000000000000000000000000000");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
        mutant("blocked", "the span id is too short", |c| {
            c.awu().field("spanId", "00f067aa");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
        mutant("blocked", "the trace id is too long", |c| {
            c.awu().field("traceId", "b7ad6b7169203331a4f5c0d1e2b3a495ff");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
        mutant("blocked", "there is no trace id", |c| {
            c.awu().field("traceId", "");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
        mutant("blocked", "there is no span id", |c| {
            c.awu().field("spanId", "");
        })
        .fails("AWU-2.2-2 AWU-2.2-4"),
    ]
}

/// Section 2.3: present, as a string, on the span.
fn attribution() -> Vec<Mutant> {
    let duties = [
        ("genops.team", "AWU-2.3-1 ATT-7.1-1"),
        ("genops.project", "AWU-2.3-2 ATT-7.1-2"),
        ("genops.environment", "AWU-2.3-3 ATT-7.1-3"),
    ];
    let mut mutants = Vec::new();
    for (key, absent) in duties {
        for golden in ["allowed", "blocked"] {
            mutants.push(
                mutant(golden, format!("the span has no {key}"), move |c| {
                    c.awu().remove(key);
                })
                .fails(absent)
                // What the decision repeats can be held against nothing.
                .unclear("DEC-4.4-1"),
            );
        }
        mutants.push(
            mutant("allowed", format!("{key} stands on the resource only"), move |c| {
                c.awu().remove(key);
                c.resource().set(key, text("payments"));
            })
            .fails(absent)
            .unclear("DEC-4.4-1"),
        );
        mutants.push(
            mutant("allowed", format!("{key} is an integer"), move |c| {
                c.awu().set(key, int(7));
            })
            .fails(absent)
            .fails("VER-11-1 AWU-2.3-4 AWU-2.3-5 DEC-4.4-1"),
        );
        mutants.push(
            mutant("allowed", format!("{key} may be among the attributes that were left out"), move |c| {
                c.awu().remove(key).field("droppedAttributesCount", 1);
            })
            .unclear(absent)
            .unclear("DEC-4.4-1")
            .unclear(BESIDE_DROPPED_ATTRIBUTES),
        );
    }
    mutants
}

/// Section 2.3: it does not change.
fn immutability() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for key in ["genops.team", "genops.project", "genops.environment"] {
        mutants.push(
            mutant("allowed", format!("the decision says another {key}"), move |c| {
                c.awu().event(POLICY).set(key, text("another"));
            })
            .fails("AWU-2.3-4 AWU-2.3-5 DEC-4.4-1"),
        );
        mutants.push(
            mutant("allowed", format!("the reconciliation says another {key}"), move |c| {
                c.awu().event(RECONCILIATION).set(key, text("another"));
            })
            .fails("AWU-2.3-4 AWU-2.3-5"),
        );
    }
    mutants.extend([
        mutant("allowed", "genops.team stands twice on the span, with two values", |c| {
            c.awu().also("genops.team", text("search"));
        })
        .fails("AWU-2.3-4 AWU-2.3-5"),
        mutant("rate_limited", "the decision's log record says another team", |c| {
            c.log(POLICY).set("genops.team", text("payments"));
        })
        .fails("AWU-2.3-4 AWU-2.3-5 DEC-4.4-1"),
        mutant("allowed", "the open span said another environment than the finished one", |c| {
            c.report_again(|span| {
                span.field("endTimeUnixNano", "0").set("genops.environment", text("staging"));
            });
        })
        .fails("AWU-2.3-4 AWU-2.3-5"),
    ]);
    mutants
}

/// Section 2.4.
fn phases() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the reservation comes after the model call began", |c| {
            c.awu().move_event(RESERVATION, 100);
        })
        .fails("AWU-2.4-1 ACC-3.3-1 SCH-8.2-3"),
        mutant("allowed", "the decision comes after the model call began", |c| {
            c.awu().move_event(POLICY, 100);
        })
        .fails("AWU-2.4-1 EVT-7.2-1 SCH-8.1-4"),
        mutant("allowed", "the decision comes after the reconciliation", |c| {
            c.awu().move_event(POLICY, 1_209);
        })
        .fails("AWU-2.4-1 AWU-2.4-2 EVT-7.2-1 SCH-8.1-4"),
        mutant("allowed", "the reconciliation comes before the reservation", |c| {
            c.awu().move_event(RECONCILIATION, 1);
        })
        .fails("AWU-2.4-2 ACC-3.3-3 EVT-7.2-3 SCH-8.3-4"),
        mutant("optional_events", "the reservation comes after the reconciliation, and no model call is told", |c| {
            c.awu().move_event(RESERVATION, 5_399_990);
        })
        .fails("AWU-2.4-1 AWU-2.4-2 ACC-3.3-1 ACC-3.3-3 EVT-7.2-3 SCH-8.2-3 SCH-8.3-4"),
        mutant("optional_events", "reservation and reconciliation have one time and the wrong order", |c| {
            let mut awu = c.awu();
            let reservation = awu.event(RESERVATION).0.clone();
            awu.drop_event(RESERVATION).move_event(RECONCILIATION, 5);
            list(&mut awu.0["events"]).push(reservation);
        })
        .fails("AWU-2.4-1 AWU-2.4-2 ACC-3.3-1 ACC-3.3-3 EVT-7.2-3 SCH-8.2-3 SCH-8.3-4"),
        mutant("extension_reason_code", "by another machine's clock the call began a little too early", |c| {
            c.call().start_earlier(3_000);
        })
        .unclear("AWU-2.4-1 ACC-3.3-1 SCH-8.2-3 EVT-7.2-1 SCH-8.1-4"),
        mutant("extension_reason_code", "by another machine's clock the call began much too early", |c| {
            c.call().start_earlier(10_000);
        })
        .fails("AWU-2.4-1 ACC-3.3-1 SCH-8.2-3 EVT-7.2-1 SCH-8.1-4"),
        mutant("allowed", "an AWU that was allowed shows nothing else", |c| {
            c.drop_call();
            c.awu().drop_event(RESERVATION).drop_event(RECONCILIATION);
            for key in [RESERVED, ACTUAL, UNIT, "genops.tokens.output"] {
                c.awu().remove(key);
            }
        })
        .fails("ATT-7.1-6 ATT-7.1-8")
        .unclear(
            "AWU-2.4-3 ACC-3.3-1 ACC-3.3-2 ACC-3.3-3 ACC-3.3-5 ACC-3.3-6 ATT-7.1-7 ATT-7.1-14 EVT-7.2-2 EVT-7.2-3 \
             EVT-7.2.1-2 EVT-7.2.1-4",
        ),
    ]
}

/// Sections 2.5 and 4.3: a retry is an AWU of its own.
fn retries() -> Vec<Mutant> {
    vec![
        mutant("retry", "a retry follows a refusal on one AWU", |c| {
            let refused = [(RESULT, text("RATE_LIMITED")), (REASON_CODE, text("RATE_LIMITED"))];
            c.awu_at(1).add_event(POLICY, 0, &refused);
        })
        .advises("DEC-4.3-3"),
        mutant("retry", "a retry follows a refusal on one AWU, strictly", |c| {
            let refused = [(RESULT, text("RATE_LIMITED")), (REASON_CODE, text("RATE_LIMITED"))];
            c.awu_at(1).add_event(POLICY, 0, &refused);
        })
        .strict()
        .fails("DEC-4.3-3"),
    ]
}
