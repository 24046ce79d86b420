//! What `docs/conformance.md` says of the catalogue is what the catalogue says.

use genops_conformance::catalogue::{Checkable, REQUIREMENTS};

const PAGE: &str = include_str!("../../../docs/conformance.md");

#[test]
fn every_statement_that_telemetry_cannot_decide_is_listed_with_its_reason() {
    let undecidable = REQUIREMENTS.iter().filter(|one| one.checkable == Checkable::No);
    let table: String =
        undecidable.map(|one| format!("| {} | {} | {} |\n", one.id, cell(one.text), cell(one.how))).collect();
    assert!(PAGE.contains(&table), "docs/conformance.md does not have this table:\n{table}");
}

#[test]
fn the_numbers_are_those_of_the_catalogue() {
    let count = |checkable| REQUIREMENTS.iter().filter(|one| one.checkable == checkable).count();
    let line = format!(
        "Of the {} statements telemetry can decide {}, refute {} more, and say nothing of {}.",
        REQUIREMENTS.len(),
        count(Checkable::Yes),
        count(Checkable::Partially),
        count(Checkable::No)
    );
    assert!(PAGE.replace('\n', " ").contains(&line), "{line}");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}
