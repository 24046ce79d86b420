//! Section 9.1, item 8: values that mean something.

use serde_json::Value;

use crate::common::Capture;
use crate::edit::{
    ACTUAL, POLICY, RECONCILIATION, RESERVATION, RESERVED, UNIT, bytes, double, map, no_number, null, text,
    texts,
};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [nothing(), placeholders(), no_scalars(), numbers(), suspicions()].into_iter().flatten().collect()
}

/// Empty, or nothing but space in Unicode's sense.
fn nothing() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for empty in ["", "   ", "\t\n", "\u{a0}\u{2003}"] {
        mutants.push(
            mutant("allowed", format!("the operation's name is {empty:?}"), move |c| {
                c.awu().set("genops.operation.name", text(empty));
            })
            .fails("CMP-9.1-9"),
        );
    }
    mutants.push(
        mutant("sla_met", "the unit is empty everywhere", |c| c.set_everywhere(UNIT, &text("")))
            .fails("CMP-9.1-9"),
    );
    mutants.push(
        mutant("sla_met", "the unit of the reservation is empty", |c| {
            c.awu().event(RESERVATION).set(UNIT, text(""));
        })
        .fails("CMP-9.1-9 ACC-3.3-7 SCH-8.3-3"),
    );
    mutants
}

/// Words that stand for a value, in whatever case, with whatever space around them.
fn placeholders() -> Vec<Mutant> {
    let words = [
        "null",
        "None",
        "nil",
        "undefined",
        "UNKNOWN",
        "n/a",
        "NA",
        "TBD",
        "todo",
        "FIXME",
        "placeholder",
        "changeme",
        "xxx",
        "string",
        "<team>",
        "${TEAM}",
        "{{ team }}",
        "?",
        "-",
        " unknown ",
    ];
    let mut mutants: Vec<Mutant> = words
        .into_iter()
        .map(|word| {
            mutant("allowed", format!("the team is {word:?} everywhere"), move |c| {
                c.set_everywhere("genops.team", &text(word));
            })
            .fails("CMP-9.1-9")
        })
        .collect();
    for key in ["genops.project", "genops.environment", "genops.operation.name", "genops.operation.type"] {
        mutants.push(
            mutant("allowed", format!("{key} is a placeholder everywhere"), move |c| {
                c.set_everywhere(key, &text("TBD"));
            })
            .fails("CMP-9.1-9"),
        );
    }
    mutants
}

/// Nothing, or no scalar, where a scalar is expected.
fn no_scalars() -> Vec<Mutant> {
    let lists = [("a list", texts(&["answer", "question"])), ("a map", map()), ("bytes", bytes())];
    let mut mutants: Vec<Mutant> = lists
        .into_iter()
        .map(|(name, value)| {
            mutant("allowed", format!("the operation's name is {name}"), move |c| {
                c.awu().set("genops.operation.name", value.clone());
            })
            .fails("CMP-9.1-9 ATT-7.1-4 VER-11-1")
        })
        .collect();
    mutants.push(
        mutant("allowed", "the operation's name is null", |c| {
            c.awu().set("genops.operation.name", null());
        })
        .fails("CMP-9.1-9 ATT-7.1-4 GEN-1.3-1 VER-11-1"),
    );
    mutants.push(
        mutant("allowed", "the operation's name is JSON's null", |c| {
            c.awu().set("genops.operation.name", Value::Null);
        })
        .fails("CMP-9.1-9 ATT-7.1-4 GEN-1.3-1 VER-11-1"),
    );
    mutants.push(
        mutant("sla_met", "the reservation's amount is null", |c| {
            c.awu().event(RESERVATION).set(RESERVED, null());
        })
        .fails("CMP-9.1-9 SCH-8.2-1 GEN-1.3-1 VER-11-1"),
    );
    mutants
}

/// No number, or one that no amount can be.
fn numbers() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for name in ["NaN", "Infinity", "-Infinity"] {
        mutants.push(
            mutant("partial_runtime", format!("the reserved amount is {name}"), move |c| {
                c.awu().set(RESERVED, no_number(name));
            })
            .fails("CMP-9.1-9"),
        );
    }
    mutants.extend([
        mutant("sla_met", "the actual amount is below zero", |c| c.set_everywhere(ACTUAL, &double(-1.0)))
            .fails("CMP-9.1-9"),
        mutant("sla_met", "the reserved amount is below zero", |c| c.set_everywhere(RESERVED, &double(-0.5)))
            .fails("CMP-9.1-9"),
        mutant("sla_met", "the reconciliation's actual amount is no number", |c| {
            c.awu().event(RECONCILIATION).set(ACTUAL, no_number("NaN"));
        })
        .fails("CMP-9.1-9 ACC-3.3-7"),
    ]);
    mutants
}

/// Worth a look, never a failure.
fn suspicions() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for word in ["default", "Test"] {
        mutants.push(
            mutant("allowed", format!("the team is {word:?} everywhere"), move |c| {
                c.set_everywhere("genops.team", &text(word));
            })
            .advises("CMP-9.1-9"),
        );
    }
    mutants.extend([
        mutant("allowed", "the operation's name is its type", |c| {
            c.awu().set("genops.operation.name", text("inference"));
        })
        .advises("CMP-9.1-8"),
        mutant("sla_met", "an AWU that ran had nothing reserved", |c| {
            c.set_everywhere(RESERVED, &double(0.0));
        })
        .advises("CMP-9.1-8"),
        mutant("sla_met", "the unit is one character", |c| c.set_everywhere(UNIT, &text("t")))
            .advises("CMP-9.1-8"),
        mutant("blocked", "team, project and environment are one word", |c| {
            for key in ["genops.team", "genops.project", "genops.environment"] {
                c.awu().set(key, text("production")).event(POLICY).set(key, text("production"));
            }
        })
        .advises("CMP-9.1-8"),
        mutant("sla_met", "forty AWUs used exactly what was reserved", |c| {
            c.set_everywhere(ACTUAL, &double(4096.0));
            for number in 0..39 {
                let mut another = Capture::golden("sla_met");
                another.set_everywhere(ACTUAL, &double(4096.0));
                another.rename_trace(number);
                c.documents.extend(another.documents);
            }
        })
        .advises("CMP-9.1-8"),
    ]);
    mutants
}
