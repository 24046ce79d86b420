//! Re-derives every decision of a journal from sums of its own: each admission fitted, each refusal had to
//! be, at its place in the order.

use std::collections::BTreeMap;
use std::path::Path;

use genops_core::Unit;
use genops_core::ledger::{Command, Outcome};
use genops_core::price::Tokens;
use genops_ledger::Journal;
use genops_ledger::sqlite::SqliteStore;

/// How many decisions were re-derived.
pub struct Seen {
    pub admitted: usize,
    pub refused: usize,
}

/// In millionths of a dollar, or in tokens: one in, two out for a million each.
fn cost(unit: Unit, tokens: Tokens) -> i128 {
    let (input, output) = (i128::from(tokens.input), i128::from(tokens.output));
    match unit {
        Unit::Usd => (input + 2 * output) * 1_000_000,
        Unit::Tokens => (input + output) * 1_000_000_000_000,
        Unit::Requests => 1_000_000_000_000,
        Unit::Declared(_) => 0,
    }
}

pub fn check(ledger: &Path) -> Seen {
    let mut journal = Journal::new(Box::new(SqliteStore::read(ledger).unwrap()));
    let mut limits: BTreeMap<String, (Unit, i128)> = BTreeMap::new();
    let mut held: BTreeMap<String, i128> = BTreeMap::new();
    let mut open: BTreeMap<genops_core::AwuId, Tokens> = BTreeMap::new();
    let mut seen = Seen { admitted: 0, refused: 0 };
    let mut sequence = 0;
    loop {
        let entries = journal.after(sequence).unwrap();
        if entries.is_empty() {
            return seen;
        }
        for entry in entries.into_iter().map(|journaled| journaled.entry) {
            sequence = entry.sequence;
            match (entry.command, entry.outcome) {
                (Command::AdoptPolicy(policy), _) => {
                    let limit = |budget: &genops_core::budget::Budget| {
                        (budget.name.to_string(), (budget.unit, budget.limit.atoms()))
                    };
                    limits = policy.budgets.iter().map(limit).collect();
                }
                (Command::Admit(request), outcome) => {
                    let bound = request.proposal.bound;
                    let fits = limits.iter().all(|(name, (unit, limit))| {
                        held.get(name).copied().unwrap_or_default() + cost(*unit, bound) <= *limit
                    });
                    match outcome {
                        Outcome::Admitted(_) => {
                            assert!(fits, "entry {sequence} admits what does not fit");
                            for (name, (unit, _)) in &limits {
                                *held.entry(name.clone()).or_default() += cost(*unit, bound);
                            }
                            open.insert(request.awu, bound);
                            seen.admitted += 1;
                        }
                        Outcome::Refused(_) => {
                            assert!(!fits, "entry {sequence} refuses what fits");
                            seen.refused += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                (Command::Settle { awu, execution }, _) => {
                    let genops_core::awu::Used::Reported(used) = execution.used else {
                        panic!("{execution:?}")
                    };
                    let bound = open.remove(&awu).unwrap();
                    for (name, (unit, _)) in &limits {
                        *held.entry(name.clone()).or_default() += cost(*unit, used) - cost(*unit, bound);
                    }
                }
                (command, _) => panic!("{command:?}"),
            }
        }
    }
}
