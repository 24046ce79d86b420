//! A model of the ledger that is too simple to be wrong: the whole history in a list, every sum, bucket and state made
//! anew from it, every decision derived again. It shares no arithmetic with the books.

mod corridor;
mod traffic;

use std::collections::BTreeSet;
use std::sync::Arc;

use genops_core::awu::{AwuId, Execution, Proposal, Used};
use genops_core::ledger::{Books, Command, Entry, Outcome};
use genops_core::policy::Policy;
use genops_core::price::Tokens;
use genops_core::spec::Decision;
use genops_core::{Timestamp, Unit};

pub use corridor::Ruled;

pub struct Model {
    policy: Arc<Policy>,
    works: Vec<Work>,
    history: Vec<(i128, Event)>,
}

/// What happened; the numbers are places in the list of works.
enum Event {
    Adopted(Arc<Policy>),
    Admitted(usize),
    Started,
    Released(usize),
    Settled(usize, Execution),
    Doubted,
}

struct Work {
    awu: AwuId,
    proposal: Proposal,
    at: i128,
    ruled: Ruled,
    state: &'static str,
    /// Actual atoms, along the path.
    actual: Vec<i128>,
}

/// What is reserved in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    budget: String,
    unit: Unit,
    window: String,
    atoms: i128,
}

/// Dollars per million tokens, in 1e-12 dollars.
const INPUT: i128 = 150_000_000_000;
const OUTPUT: i128 = 600_000_000_000;

/// What tokens cost; `None` beyond 64 bits of tokens.
fn atoms(unit: Unit, input: u64, output: u64) -> Option<i128> {
    let (input, output) = (i128::from(input), i128::from(output));
    match unit {
        Unit::Usd => Some((input * INPUT + output * OUTPUT + 999_999) / 1_000_000),
        Unit::Tokens => {
            (input + output <= i128::from(u64::MAX)).then_some((input + output) * 1_000_000_000_000)
        }
    }
}

/// What the call asks for at most, in atoms; without a price that is no money.
fn bound(unit: Unit, proposal: &Proposal, output: u64) -> Option<i128> {
    if unit == Unit::Usd && proposal.price.is_none() {
        return Some(0);
    }
    atoms(unit, proposal.bound.input, output)
}

impl Default for Model {
    fn default() -> Self {
        Self { policy: Arc::new(Policy::unrestricted()), works: Vec::new(), history: Vec::new() }
    }
}

impl Model {
    /// Whether the command fits.
    pub fn accepts(&self, command: &Command) -> bool {
        let state = |awu: &AwuId| self.works.iter().find(|work| work.awu == *awu).map(|work| work.state);
        match command {
            Command::AdoptPolicy(_) => true,
            Command::Admit(request) => {
                let policy = &self.policy;
                let is_fresh = match request.assessed_under {
                    Some(version) => version == policy.version(),
                    None => policy.conditions.is_empty() && policy.contents.is_empty(),
                };
                is_fresh && !matches!(state(&request.awu), Some("reserved" | "executing" | "in doubt"))
            }
            Command::Start { awu } | Command::Release { awu } => state(awu) == Some("reserved"),
            Command::Settle { awu, .. } => state(awu) == Some("executing"),
            Command::Orphan { awu } => matches!(state(awu), Some("reserved" | "executing")),
        }
    }

    /// Takes in an entry, and holds its outcome against what it had to be.
    pub fn follow(&mut self, entry: &Entry) {
        let at = i128::from(entry.at.nanos());
        let event = match (&entry.command, &entry.outcome) {
            (Command::AdoptPolicy(policy), Outcome::PolicyAdopted { .. }) => {
                self.policy = Arc::clone(policy);
                Event::Adopted(Arc::clone(policy))
            }
            (Command::Admit(request), outcome) => {
                let ruled = self.ruled(&request.proposal, entry.at);
                let is_admitted = ruled.matches(outcome, entry);
                if !is_admitted {
                    return;
                }
                let (awu, proposal) = (request.awu, request.proposal.clone());
                let state = if request.starts { "executing" } else { "reserved" };
                self.works.push(Work { awu, proposal, at, ruled, state, actual: Vec::new() });
                Event::Admitted(self.works.len() - 1)
            }
            (Command::Start { awu }, Outcome::Started) => {
                self.move_on(*awu, "reserved", "executing");
                Event::Started
            }
            (Command::Settle { awu, execution }, Outcome::Settled(settled)) => {
                let place = self.move_on(*awu, "executing", "settled");
                let (actual, incomplete) = self.works[place].charge(execution);
                let told: Vec<_> = settled.actual.iter().map(|amount| amount.atoms()).collect();
                assert_eq!((&told, settled.incomplete), (&actual, incomplete), "at {}", entry.sequence);
                self.works[place].actual = actual;
                Event::Settled(place, execution.clone())
            }
            (Command::Release { awu } | Command::Orphan { awu }, Outcome::Released) => {
                Event::Released(self.move_on(*awu, "reserved", "released"))
            }
            (Command::Orphan { awu }, Outcome::InDoubt) => {
                self.move_on(*awu, "executing", "in doubt");
                Event::Doubted
            }
            (command, outcome) => panic!("{command:?} came to {outcome:?}"),
        };
        self.history.push((at, event));
        if let Some((_, Event::Admitted(place))) = self.history.last() {
            self.check_windows(*place);
        }
    }

    fn move_on(&mut self, awu: AwuId, from: &str, to: &'static str) -> usize {
        let place = self.works.iter().position(|work| work.awu == awu).unwrap();
        assert_eq!(self.works[place].state, from);
        self.works[place].state = to;
        place
    }

    /// Outstanding and used in a cell, summed over the whole history.
    fn held(&self, budget: &str, unit: Unit, window: &str) -> i128 {
        let [out, used, ..] = self.sums(budget, unit, window);
        out + used
    }

    /// Outstanding, used, admitted, settled, released, in doubt.
    fn sums(&self, budget: &str, unit: Unit, window: &str) -> [i128; 6] {
        let mut sums = [0; 6];
        for work in &self.works {
            for (at, step) in work.ruled.path.iter().enumerate() {
                if (step.budget.as_str(), step.unit, step.window.as_str()) != (budget, unit, window) {
                    continue;
                }
                sums[2] += step.atoms;
                match work.state {
                    "reserved" | "executing" => sums[0] += step.atoms,
                    "settled" => {
                        sums[1] += work.actual[at];
                        sums[3] += step.atoms;
                    }
                    "released" => sums[4] += step.atoms,
                    _ => {
                        sums[1] += step.atoms;
                        sums[5] += step.atoms;
                    }
                }
            }
        }
        sums
    }

    /// Holds the books against the history: every cell, and the traffic that the policy in force asks about.
    pub fn compare(&self, books: &Books) {
        let mut seen = BTreeSet::new();
        for cell in books.cells() {
            let key = &cell.key;
            let sums = self.sums(key.budget_name(), key.unit, &key.window.to_string());
            let [out, used, admitted, settled, released, in_doubt] = sums;
            let standing = cell.standing;
            assert_eq!((standing.out.atoms(), standing.used.atoms()), (out, used), "{key:?}");
            let totals =
                [cell.totals.admitted, cell.totals.settled, cell.totals.released, cell.totals.in_doubt];
            assert_eq!(totals.map(|total| total.atoms()), [admitted, settled, released, in_doubt], "{key:?}");
            assert!(seen.insert(key.clone()), "two cells for {key:?}");
            if let Some(budget) =
                self.policy.budgets.iter().find(|budget| Some(&budget.name) == key.budget.as_ref())
                && key.window == budget.period.window(books.at())
            {
                assert_eq!(standing.allocated, Some(budget.limit), "{key:?}");
            }
        }
        let open = self.works.iter().filter(|work| !matches!(work.state, "settled" | "released")).count();
        assert_eq!(books.open_awus().len(), open);
        self.compare_traffic(books);
    }
}

impl Work {
    /// The actual atoms along the path, and whether that is no report.
    fn charge(&self, execution: &Execution) -> (Vec<i128>, bool) {
        let path = &self.ruled.path;
        let reserved = || path.iter().map(|step| step.atoms).collect();
        match (execution.end.was_sent(), execution.used) {
            (false, _) | (_, Used::Nothing) => (path.iter().map(|_| 0).collect(), false),
            (_, Used::Unknown) => (reserved(), true),
            (_, Used::Reported(tokens) | Used::Counted(tokens)) => {
                // Prices are by the token: no tokens cost nothing, also where no price is known.
                let amounts = path.iter().map(|step| match (step.unit, &self.proposal.price) {
                    (Unit::Usd, None) if tokens == Tokens::default() => Some(0),
                    (Unit::Usd, None) => None,
                    (unit, _) => atoms(unit, tokens.input, tokens.output),
                });
                // What cannot be measured in one cell is charged its reservation there, and nowhere else.
                let amounts: Vec<Option<i128>> = amounts.collect();
                let incomplete = matches!(execution.used, Used::Counted(_)) || amounts.contains(&None);
                let actual = amounts.into_iter().zip(path).map(|(actual, step)| actual.unwrap_or(step.atoms));
                (actual.collect(), incomplete)
            }
        }
    }
}

/// The decision that findings come to, by section 4: the first refusal that is enforced, else the first
/// of what is left, as a warning.
fn decision_of(findings: &[corridor::Note]) -> Decision {
    if let Some(refusal) = findings.iter().find(|note| note.refuses()) {
        return refusal.said.clone();
    }
    match findings.first().map(|note| &note.said) {
        None => Decision::Allowed,
        Some(said) => {
            let code = said.reason_code().unwrap();
            let code =
                if code.as_str() == "BUDGET_RESERVATION_FAILED" { "BUDGET_EXCEEDED" } else { code.as_str() };
            Decision::Warning(code.parse().unwrap())
        }
    }
}

/// Nanoseconds since the epoch, as the model counts.
fn nanos(at: Timestamp) -> i128 {
    i128::from(at.nanos())
}
