//! Section 7, and the attributes of section 7.1 that no earlier section defines.

use crate::edit::{POLICY, RECONCILIATION, RESERVATION, RESERVED, RESULT, int, text};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [namespace(), operation(), result()].into_iter().flatten().collect()
}

/// Section 7: one namespace, by its exact name.
fn namespace() -> Vec<Mutant> {
    vec![
        mutant("allowed", "a key is written with a capital", |c| {
            c.awu().rename("genops.team", "Genops.team");
        })
        .fails("NS-7-1 NS-7-2 AWU-2.3-1 ATT-7.1-1")
        .unclear("DEC-4.4-1"),
        mutant("allowed", "an optional key is written with a capital", |c| {
            c.awu().rename("genops.cost_center", "GenOps.cost_center");
        })
        .fails("NS-7-1")
        .advises("NS-7-2"),
        mutant("allowed", "a key is written with a capital after the dot", |c| {
            c.awu().rename("genops.operation.type", "genops.operation.Type");
        })
        .fails("NS-7-1 ATT-7.1-5")
        .advises("VER-11-1"),
        mutant("allowed", "another namespace says the result", |c| {
            c.awu().rename(RESULT, "acme.policy.result");
        })
        .fails("NS-7-2 ATT-7.1-9"),
        mutant("allowed", "another namespace says the operation", |c| {
            c.awu().rename("genops.operation.name", "governance.operation.name");
        })
        .fails("NS-7-2 ATT-7.1-4"),
        mutant("allowed", "another namespace says the team, too", |c| {
            c.awu().set("acme.team", text("payments"));
        })
        .advises("NS-7-2"),
        mutant("allowed", "another namespace says an optional attribute", |c| {
            c.awu().set("acme.sla.tier", text("premium"));
        })
        .advises("NS-7-2"),
    ]
}

fn operation() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the operation has no name", |c| {
            c.awu().remove("genops.operation.name");
        })
        .fails("ATT-7.1-4"),
        mutant("allowed", "the operation's name is an integer", |c| {
            c.awu().set("genops.operation.name", int(3));
        })
        .fails("ATT-7.1-4 VER-11-1"),
        mutant("blocked", "the operation has no type", |c| {
            c.awu().remove("genops.operation.type");
        })
        .fails("ATT-7.1-5"),
        mutant("allowed", "the operation's type is an integer", |c| {
            c.awu().set("genops.operation.type", int(3));
        })
        .fails("ATT-7.1-5 VER-11-1"),
    ]
}

fn result() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the span has no result", |c| {
            c.awu().remove(RESULT);
        })
        .fails("ATT-7.1-9"),
        mutant("allowed", "the span's result is an integer", |c| {
            c.awu().set(RESULT, int(0));
        })
        .fails("ATT-7.1-9 VER-11-1"),
        mutant("partial_runtime", "a runtime without reservations leaves out what it would reserve", |c| {
            c.awu().remove(RESERVED);
        })
        .fails("ATT-7.1-6"),
        mutant("warning", "a warning does not excuse from reservation", |c| {
            c.remove_everywhere(RESERVED);
            assert!(c.awu().event(POLICY).0.is_object() && c.awu().event(RESERVATION).0.is_object());
            c.awu().event(RECONCILIATION).remove("genops.accounting.reconciliation_delta");
            c.log(RECONCILIATION).remove("genops.accounting.reconciliation_delta");
        })
        .fails("ATT-7.1-6 ATT-7.1-13 ACC-3.3-5 SCH-8.2-1 SCH-8.3-2"),
    ]
}
