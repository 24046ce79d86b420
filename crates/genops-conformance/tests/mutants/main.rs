//! Every requirement that telemetry can refute is broken on purpose, and exactly what is broken has to be found.
//!
//! Each mutant is a golden capture with one edit, and declares what has to fail, be worth a look, or be left open by
//! it: the whole set, not a part of it. The tables read as a second telling of the specification, in the order of
//! its sections. Statements that sum up others are derived ([`rollups`]).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/rollups.rs"]
mod rollups;

mod edit;
mod mutant;

mod accounting;
mod attributes;
mod awu;
mod claims;
mod decisions;
mod events;
mod optional;
mod reasons;
mod sla;
mod values;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs};

use genops_conformance::catalogue::{Checkable, Id, Keyword, Requirement, Subject};
use mutant::Mutant;

fn mutants() -> Vec<Mutant> {
    let tables = [
        awu::mutants(),
        accounting::mutants(),
        decisions::mutants(),
        reasons::mutants(),
        sla::mutants(),
        attributes::mutants(),
        events::mutants(),
        optional::mutants(),
        values::mutants(),
        versions::mutants(),
        claims::mutants(),
    ];
    tables.into_iter().flatten().collect()
}

#[test]
fn exactly_what_is_broken_is_found() {
    let mut wrong = String::new();
    for mutant in mutants() {
        if let Err(difference) = mutant.prove() {
            write!(wrong, "\n{}: {}{difference}", mutant.golden, mutant.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "the checker and the declarations differ:{wrong}");
}

#[test]
fn what_is_found_does_not_depend_on_order_or_repetition() {
    // Where there is no room for everything, what comes late is late.
    for mutant in mutants().into_iter().filter(|mutant| !mutant.is_judged_in_pieces()) {
        let (once, twice) = (mutant.judge(), mutant.judge_twice_and_backwards());
        let verdicts = |said: &common::Said| (said.fails.clone(), said.advises.clone(), said.unclear.clone());
        assert_eq!(verdicts(&twice), verdicts(&once), "{}: {}", mutant.golden, mutant.name);
        assert_eq!(twice.standing, once.standing, "{}: {}", mutant.golden, mutant.name);
    }
}

#[test]
fn no_two_mutants_have_one_name() {
    let mut names = BTreeSet::new();
    for mutant in mutants() {
        assert!(names.insert((mutant.golden, mutant.name.clone())), "{} stands twice", mutant.name);
    }
}

/// A requirement that telemetry can refute and no mutant breaks is one of which nobody knows whether it is checked.
#[test]
fn every_requirement_that_can_be_refuted_is_broken_by_a_mutant() {
    let mutants = mutants();
    let fails: BTreeSet<&str> = mutants.iter().flat_map(Mutant::must_fail).collect();
    let advises: BTreeSet<&str> = mutants.iter().flat_map(|mutant| mutant.advises.iter().copied()).collect();
    let missing: Vec<&str> = Id::all()
        .map(Id::requirement)
        .filter(|requirement| match refuted(requirement) {
            Refuted::ByFailure => !fails.contains(requirement.id),
            Refuted::ByAdvisory => !advises.contains(requirement.id),
            Refuted::Never => false,
        })
        .map(|requirement| requirement.id)
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "no mutant breaks these");
}

/// The table stands in the repository, so that what is proved can be read without running it.
/// `MUTANTS_TABLE=write cargo test -p genops-conformance --test mutants` writes it anew.
#[test]
fn the_table_of_mutants_is_current() {
    let table = table(&mutants());
    println!("{table}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutants/table.md");
    if env::var_os("MUTANTS_TABLE").is_some() {
        fs::write(path, &table).unwrap();
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == table, "{path} is not current: run the test with MUTANTS_TABLE=write");
}

/// How the catalogue says that a statement is refuted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refuted {
    /// It fails.
    ByFailure,
    /// It is worth a look, never a failure (`fail` says "advisory").
    ByAdvisory,
    /// It is a permission, reported as coverage, or out of the reach of telemetry.
    Never,
}

fn refuted(requirement: &Requirement) -> Refuted {
    let demands = requirement.level.binds() || requirement.level == Keyword::Should;
    let is_judged = matches!(requirement.subject, Subject::Runtime | Subject::Claim);
    if !demands || !is_judged || requirement.checkable == Checkable::No || requirement.fail.starts_with("n/a")
    {
        Refuted::Never
    } else if requirement.level.binds() && requirement.fail.contains("(advisory)") {
        Refuted::ByAdvisory
    } else {
        Refuted::ByFailure
    }
}

fn table(mutants: &[Mutant]) -> String {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for mutant in mutants {
        let said = mutant.judge();
        for id in mutant.must_fail() {
            let row = rows.entry(id).or_default();
            row[0] += 1;
            row[1] += usize::from(said.fails.contains(id));
        }
        for id in &mutant.advises {
            rows.entry(id).or_default()[2] += usize::from(said.advises.contains(id));
        }
    }
    let killed = mutants.iter().filter(|mutant| mutant.prove().is_ok()).count();
    let mut table = format!(
        "# Mutants\n\nWritten by `MUTANTS_TABLE=write cargo test -p genops-conformance --test mutants`; a test holds \
         it current.\n\n{} mutants, {killed} killed: exactly the declared requirements failed.\nFor each requirement: \
         the mutants that break it, those in which it failed, and those in which it was worth a look.\n\n\
         | requirement | keyword | mutants | killed | advised | what it says |\n|---|---|--:|--:|--:|---|\n",
        mutants.len()
    );
    for id in Id::all() {
        let requirement = id.requirement();
        let row = rows.get(requirement.id).copied().unwrap_or_default();
        if refuted(requirement) != Refuted::Never || row != [0; 3] {
            let Requirement { id, level, text, .. } = requirement;
            let [all, killed, advised] = row;
            let keyword = level.as_str();
            writeln!(table, "| {id} | {keyword} | {all} | {killed} | {advised} | {text} |").unwrap();
        }
    }
    table
}
