//! Sections 7.3 and 8.4: what is optional, and typed where it is there. None of it lowers a level.

use crate::edit::{RECONCILIATION, double, int, text};
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    [delta(), types(), values(), events(), event_types()].into_iter().flatten().collect()
}

fn delta() -> Vec<Mutant> {
    const DELTA: &str = "genops.accounting.reconciliation_delta";
    vec![
        mutant("allowed", "the delta has the wrong sign", |c| {
            c.awu().event(RECONCILIATION).set(DELTA, double(0.0057));
        })
        .fails("OPT-7.3-2 SCH-8.3-5"),
        mutant("sla_met", "the delta on the span is not actual minus reserved", |c| {
            c.awu().set(DELTA, double(-975.0));
        })
        .fails("OPT-7.3-2"),
        mutant("allowed", "the delta is text", |c| {
            c.awu().event(RECONCILIATION).set(DELTA, text("-0.0057"));
        })
        .fails("OPT-7.3-2 SCH-8.3-5 VER-11-1"),
    ]
}

fn types() -> Vec<Mutant> {
    let cases = [
        ("genops.budget.name", "OPT-7.3-3 VER-11-1"),
        ("genops.budget.allocated", "OPT-7.3-3 VER-11-1"),
        ("genops.budget.period", "OPT-7.3-3 VER-11-1"),
        ("genops.policy.reason", "OPT-7.3-4 VER-11-1"),
        ("genops.cost.total", "OPT-7.3-5 VER-11-1"),
        ("genops.cost.provider", "OPT-7.3-5 VER-11-1"),
        ("genops.eval.metric", "OPT-7.3-7 VER-11-1"),
        ("genops.eval.score", "OPT-7.3-7 VER-11-1"),
        ("genops.eval.passed", "OPT-7.3-7 VER-11-1"),
        ("genops.customer_id", "OPT-7.3-9 VER-11-1"),
        ("genops.feature", "OPT-7.3-9 VER-11-1"),
        ("genops.session_id", "OPT-7.3-9 VER-11-1"),
        ("genops.cost_center", "OPT-7.3-9 VER-11-1"),
    ];
    let mut mutants: Vec<Mutant> = cases
        .into_iter()
        .map(|(key, ids)| {
            mutant("allowed", format!("{key} is an integer"), move |c| {
                c.awu().set(key, int(1));
            })
            .fails(ids)
        })
        .collect();
    mutants.extend([
        mutant("allowed", "the decision's time is text", |c| {
            c.awu().set("genops.policy.timestamp", text("2026-03-02T09:14:05Z"));
        })
        .fails("OPT-7.3-4 VER-11-1"),
        mutant("allowed", "a count of tokens is a double", |c| {
            c.awu().set("genops.tokens.input", double(1840.0));
        })
        .fails("OPT-7.3-6 VER-11-1"),
        mutant("allowed", "a double is an integer, which is let pass", |c| {
            c.awu().set("genops.budget.allocated", int(500));
        })
        .lenient()
        .advises("OPT-7.3-3 VER-11-1"),
    ]);
    mutants
}

fn values() -> Vec<Mutant> {
    vec![
        mutant("allowed", "the currency is a word", |c| {
            c.awu().set("genops.cost.currency", text("dollars"));
        })
        .fails("OPT-7.3-5"),
        mutant("allowed", "the currency is in small letters", |c| {
            c.awu().set("genops.cost.currency", text("usd"));
        })
        .fails("OPT-7.3-5"),
        mutant("allowed", "a count of tokens is below zero", |c| {
            c.awu().set("genops.tokens.output", int(-1)).remove("genops.tokens.total");
        })
        .fails("OPT-7.3-6"),
        mutant("allowed", "the tokens do not add up", |c| {
            c.awu().set("genops.tokens.total", int(9_999));
        })
        .advises("OPT-7.3-6"),
        mutant("allowed", "the budget does not add up", |c| {
            c.awu().set("genops.budget.consumed", double(1.0));
        })
        .advises("OPT-7.3-3"),
        mutant("allowed", "the decision's time is in seconds", |c| {
            c.awu().set("genops.policy.timestamp", int(1_772_442_845));
        })
        .advises("OPT-7.3-4"),
    ]
}

const COST: &str = "genops.cost.calculated";
const ALERT: &str = "genops.budget.alert";
const EVALUATION: &str = "genops.evaluation.complete";

fn events() -> Vec<Mutant> {
    let cases = [
        (COST, "genops.cost.total", "SCH-8.4-1"),
        (COST, "genops.cost.currency", "SCH-8.4-2"),
        (ALERT, "genops.budget.name", "SCH-8.4-4"),
        (ALERT, "genops.budget.consumed", "SCH-8.4-5"),
        (ALERT, "genops.budget.allocated", "SCH-8.4-6"),
        (EVALUATION, "genops.eval.metric", "SCH-8.4-7"),
        (EVALUATION, "genops.eval.score", "SCH-8.4-8"),
    ];
    let mutant = |(event, key, id): (&'static str, &'static str, &'static str)| {
        mutant("optional_events", format!("{event} has no {key}"), move |c| {
            c.awu().event(event).remove(key);
        })
        .fails(id)
    };
    cases.into_iter().map(mutant).collect()
}

fn event_types() -> Vec<Mutant> {
    let cases = [
        (COST, "genops.cost.total", "SCH-8.4-1 OPT-7.3-5 VER-11-1"),
        (COST, "genops.cost.model", "SCH-8.4-3 OPT-7.3-5 VER-11-1"),
        (ALERT, "genops.budget.consumed", "SCH-8.4-5 OPT-7.3-3 VER-11-1"),
        (ALERT, "genops.budget.allocated", "SCH-8.4-6 OPT-7.3-3 VER-11-1"),
        (EVALUATION, "genops.eval.score", "SCH-8.4-8 OPT-7.3-7 VER-11-1"),
        (EVALUATION, "genops.eval.passed", "SCH-8.4-9 OPT-7.3-7 VER-11-1"),
    ];
    let mut mutants: Vec<Mutant> = cases
        .into_iter()
        .map(|(event, key, ids)| {
            mutant("optional_events", format!("{key} on {event} is text"), move |c| {
                let wrong = if key == "genops.cost.model" { int(7) } else { text("4.19") };
                c.awu().event(event).set(key, wrong);
            })
            .fails(ids)
        })
        .collect();
    mutants.push(
        mutant("optional_events", "the event's currency is a unit", |c| {
            c.awu().event(COST).set("genops.cost.currency", text("tokens"));
        })
        .fails("SCH-8.4-2 OPT-7.3-5"),
    );
    mutants
}
