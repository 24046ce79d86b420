//! Every statement that telemetry can decide or refute has a rule, and no other has one.

use std::collections::BTreeSet;

use genops_conformance::catalogue::{Checkable, Id};
use genops_conformance::rules;

fn named(is_meant: impl Fn(Checkable) -> bool) -> BTreeSet<&'static str> {
    let meant = Id::all().filter(|id| is_meant(id.requirement().checkable));
    meant.map(|id| id.requirement().id).collect()
}

fn judged() -> BTreeSet<&'static str> {
    rules::judged().map(|id| id.requirement().id).collect()
}

#[test]
fn every_statement_that_telemetry_can_show_has_a_rule() {
    let checkable = named(|checkable| checkable != Checkable::No);
    assert_eq!(checkable.len(), 141);
    let missing: Vec<_> = checkable.difference(&judged()).copied().collect();
    assert!(missing.is_empty(), "without a rule: {missing:?}");
}

#[test]
fn no_statement_that_telemetry_cannot_show_has_a_rule() {
    let unchecked = named(|checkable| checkable == Checkable::No);
    let superfluous: Vec<_> = unchecked.intersection(&judged()).copied().collect();
    assert!(superfluous.is_empty(), "with a rule: {superfluous:?}");
}
