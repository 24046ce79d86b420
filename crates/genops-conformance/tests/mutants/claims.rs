//! Sections 9.2, 9.3 and 11.4: what may be claimed, and in which words.

use genops_conformance::level::Claim;

use crate::common::PARTIAL;
use crate::edit::text;
use crate::mutant::{Mutant, mutant};

pub fn mutants() -> Vec<Mutant> {
    let mut mutants = vec![
        // What is broken of a claim is derived from claim and level, so nothing is declared.
        mutant(PARTIAL, "a partial runtime claims full compliance", |_| {}).claiming(Claim::Full),
        mutant("allowed", "a runtime that reaches no level claims partial compliance", |c| {
            c.awu().remove("genops.operation.name");
        })
        .claiming(Claim::Partial)
        .fails("ATT-7.1-4"),
    ];
    for declaration in
        ["GenOps v0.1 - partial", "GenOps v0.1 \u{2013} partial", "partial", "GenOps v0.1 — Partial", ""]
    {
        mutants.push(
            mutant(PARTIAL, format!("the level is declared as {declaration:?}"), |_| {})
                .declared(declaration)
                .fails("CMP-9.2-3 VER-11.4-9"),
        );
    }
    mutants.push(
        mutant(PARTIAL, "the level is declared, and spans declare no exact version", |c| {
            c.awu().set("genops.spec.version", text("0.1"));
        })
        .declared("GenOps v0.1 — partial")
        .fails("ATT-7.1-11 VER-11.1-2 VER-11.3-1 VER-11.4-9"),
    );
    mutants
}
