//! What the ledger says in the end, against what was told: each key once, each AWU as it was told, each balance the sum.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use genops::persons::Persons;
use genops::report::Archive;
use genops_core::ledger::{Command, Outcome as Decided};
use genops_core::{Amount, Name};
use genops_ledger::Journal;
use genops_ledger::sqlite::SqliteStore;

use crate::request::Kind;
use crate::tally::Outcome;

/// A cell: its budget, and whose share.
type Share = (String, Vec<Option<String>>);

/// What has to be in a cell.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Balance {
    admitted: Amount,
    released: Amount,
    used: Amount,
    outstanding: Amount,
    in_doubt: Amount,
    overrun: Amount,
}

/// Fails where the ledger does not say what was told.
pub fn check(ledger: &Path, outcomes: &[Outcome]) {
    let mut archive = Archive::open(ledger).unwrap();
    for outcome in outcomes {
        check_outcome(&mut archive, outcome);
    }
    check_journal(ledger, outcomes);
    check_balances(&archive, &Persons::of_file(ledger).unwrap(), outcomes);
    let count = |state: &str| outcomes.iter().filter(|outcome| outcome.awu.state == state).count();
    let contested = outcomes
        .iter()
        .filter(|outcome| outcome.awu.state == "REFUSED" && outcome.key.kind() != Kind::Refused);
    let (settled, released, contested) = (count("SETTLED"), count("RELEASED"), contested.count());
    assert!(
        settled > 0 && released > 0 && contested > 0,
        "{settled}, {released}, {contested}: that was no load"
    );
    println!(
        "{settled} settled, {released} released, {} refused, {contested} of them for want of what others had",
        count("REFUSED")
    );
}

/// An AWU stands in the ledger as everybody was told, and came to what its key says.
fn check_outcome(archive: &mut Archive, Outcome { key, awu }: &Outcome) {
    let written = archive.awu(awu.id.parse().unwrap()).unwrap();
    assert_eq!(written.as_ref(), Some(awu), "in the ledger, and told");
    let amount = |text: &Option<String>| text.as_ref().map(|text| text.parse::<Amount>().unwrap());
    let foreseen = |text: String| Some(text.parse::<Amount>().unwrap());
    match (awu.state.as_str(), key.kind()) {
        ("REFUSED", _) => {}
        ("RELEASED", Kind::GivenBack) => {
            assert_eq!(amount(&awu.reserved), foreseen(key.reserved()), "{awu:?}");
        }
        ("SETTLED", kind) if kind != Kind::GivenBack && kind != Kind::Refused => {
            assert_eq!(amount(&awu.reserved), foreseen(key.reserved()), "{awu:?}");
            assert_eq!(amount(&awu.actual), foreseen(key.charged()), "{awu:?}");
            assert_eq!(awu.incomplete, kind == Kind::Unknown, "{awu:?}");
        }
        _ => panic!("no such end was said: {awu:?}"),
    }
}

/// Every key was decided once, started once at most and ended once, and nothing else was decided.
fn check_journal(ledger: &Path, outcomes: &[Outcome]) {
    let mut journal = Journal::new(Box::new(SqliteStore::read(ledger).unwrap()));
    let (mut keys, mut decided) = (HashSet::new(), HashSet::new());
    let mut steps: HashMap<_, u32> = HashMap::new();
    let mut sequence = 0;
    loop {
        let stretch = journal.after(sequence).unwrap();
        let Some(last) = stretch.last() else { break };
        sequence = last.entry.sequence;
        for entry in stretch.into_iter().map(|journaled| journaled.entry) {
            let (awu, step) = match (&entry.command, &entry.outcome) {
                (Command::Admit(request), Decided::Admitted(_) | Decided::Refused(_)) => {
                    let key = request.idempotency.as_ref().unwrap().key.clone();
                    assert!(keys.insert(key), "a key was decided twice: {entry:?}");
                    decided.insert(request.awu.to_string());
                    continue;
                }
                (Command::Start { awu }, Decided::Started) => (awu, "start"),
                (Command::Settle { awu, .. }, Decided::Settled(_))
                | (Command::Release { awu }, Decided::Released) => (awu, "end"),
                // Who was held when a server came back is given its whole time anew.
                (Command::AdoptPolicy(_) | Command::Extend { .. }, _) => continue,
                _ => panic!("nobody said so: {entry:?}"),
            };
            *steps.entry((*awu, step)).or_default() += 1;
        }
    }
    let told: HashSet<String> = outcomes.iter().map(|outcome| outcome.awu.id.clone()).collect();
    assert_eq!((told.len(), keys.len()), (outcomes.len(), outcomes.len()), "AWUs told, and keys decided");
    assert_eq!(told, decided, "told, and decided");
    for (step, times) in steps {
        assert_eq!(times, 1, "{step:?}");
    }
}

/// Every cell has what follows from what was told, and no budget is overspent.
fn check_balances(archive: &Archive, persons: &Persons, outcomes: &[Outcome]) {
    let mut model: BTreeMap<Share, Balance> = BTreeMap::new();
    for Outcome { awu, .. } in outcomes.iter().filter(|outcome| outcome.awu.state != "REFUSED") {
        for cell in &awu.cells {
            let balance = model.entry((cell.budget.clone(), cell.each.clone())).or_default();
            let reserved = cell.reserved.parse().unwrap();
            add(&mut balance.admitted, reserved);
            match &cell.actual {
                Some(actual) => add(&mut balance.used, actual.parse().unwrap()),
                None => add(&mut balance.released, reserved),
            }
        }
    }
    let mut written = BTreeMap::new();
    for cell in archive.books().cells() {
        let (standing, totals) = (&cell.standing, &cell.totals);
        let is_within = standing.allocated.is_none_or(|allocated| standing.used <= allocated);
        assert!(is_within, "overspent: {cell:?}");
        let revealed = |name: &Name| persons.value(name).unwrap().unwrap_or_else(|| name.clone()).to_string();
        let each = cell.key.each.iter().map(|share| share.value.as_ref().map(revealed)).collect();
        let balance = Balance {
            admitted: totals.admitted,
            released: totals.released,
            used: standing.used,
            outstanding: standing.out,
            in_doubt: totals.in_doubt,
            overrun: totals.overrun,
        };
        written.insert((cell.key.budget_name().to_owned(), each), balance);
    }
    // Where everybody was refused, the cell may be there, and is empty.
    written.retain(|share, balance| model.contains_key(share) || *balance != Balance::default());
    assert_eq!(written, model, "in the ledger, and what follows from what was told");
}

fn add(sum: &mut Amount, amount: Amount) {
    *sum = sum.checked_add(amount).unwrap();
}
