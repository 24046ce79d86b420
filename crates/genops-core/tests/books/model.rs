//! A model of the ledger that is too simple to be wrong: the whole history in a list, every sum made anew,
//! every decision re-derived from the sums. It shares no arithmetic with the books.

use std::collections::BTreeMap;

use genops_core::Unit;
use genops_core::awu::{AwuId, Proposal, Used};
use genops_core::ledger::{Books, Command, Entry, Outcome};
use genops_core::policy::Policy;
use genops_core::spec::ReasonCode;

#[derive(Default)]
pub struct Model {
    policy: Option<Policy>,
    history: Vec<Work>,
}

struct Work {
    awu: AwuId,
    /// When it was admitted, and whose it was.
    at: i128,
    team: String,
    project: String,
    /// Whether there were rates then.
    is_rated: bool,
    /// Budget, unit, window, reserved atoms.
    path: Vec<(String, Unit, String, i128)>,
    state: &'static str,
    /// Actual atoms, along the path.
    actual: Vec<i128>,
}

/// Dollars per million tokens, in 1e-12 dollars.
const INPUT: i128 = 150_000_000_000;
const OUTPUT: i128 = 600_000_000_000;

fn atoms(unit: Unit, input: u64, output: u64) -> Option<i128> {
    let (input, output) = (i128::from(input), i128::from(output));
    match unit {
        Unit::Usd => Some((input * INPUT + output * OUTPUT + 999_999) / 1_000_000),
        Unit::Tokens => {
            (input + output <= i128::from(u64::MAX)).then_some((input + output) * 1_000_000_000_000)
        }
    }
}

impl Model {
    pub fn follow(&mut self, entry: &Entry) {
        match (&entry.command, &entry.outcome) {
            (Command::AdoptPolicy(policy), _) => self.policy = Some(policy.clone()),
            (Command::Admit(request), outcome) => {
                let (path, refusal) = self.expect(&request.proposal, entry);
                match (outcome, refusal) {
                    (Outcome::Admitted(admitted), None) => {
                        let reserved = admitted.path().iter().map(|step| {
                            let budget = step.key.budget_name().to_owned();
                            (budget, step.key.unit, step.key.window.to_string(), step.amount.atoms())
                        });
                        assert_eq!(reserved.collect::<Vec<_>>(), path);
                        let state = if request.starts { "executing" } else { "reserved" };
                        let attribution = &request.proposal.attribution;
                        self.history.push(Work {
                            awu: request.awu,
                            at: i128::from(entry.at.nanos()),
                            team: attribution.team().to_string(),
                            project: attribution.project().to_string(),
                            is_rated: self.policy.is_some(),
                            path,
                            state,
                            actual: Vec::new(),
                        });
                    }
                    (Outcome::Refused(refused), Some(code)) => {
                        assert_eq!(refused.decision.reason_code(), Some(&code), "at {}", entry.sequence);
                    }
                    (outcome, refusal) => panic!("expected refusal {refusal:?}, got {outcome:?}"),
                }
            }
            (Command::Start { awu }, _) => self.work(*awu).state = "executing",
            (Command::Settle { awu, execution }, _) => {
                let work = self.work(*awu);
                assert_eq!(work.state, "executing");
                work.state = "settled";
                work.actual = match execution.used {
                    Used::Nothing => work.path.iter().map(|_| 0).collect(),
                    Used::Unknown => work.path.iter().map(|step| step.3).collect(),
                    Used::Reported(tokens) | Used::Counted(tokens) => {
                        let amounts = work.path.iter().map(|step| atoms(step.1, tokens.input, tokens.output));
                        amounts
                            .collect::<Option<_>>()
                            .unwrap_or(work.path.iter().map(|step| step.3).collect())
                    }
                };
            }
            (Command::Release { awu } | Command::Orphan { awu }, Outcome::Released) => {
                assert_eq!(self.work(*awu).state, "reserved");
                self.work(*awu).state = "released";
            }
            (Command::Orphan { awu }, _) => {
                assert_eq!(self.work(*awu).state, "executing");
                self.work(*awu).state = "in doubt";
            }
            (command, outcome) => panic!("{command:?} came to {outcome:?}"),
        }
    }

    fn work(&mut self, awu: AwuId) -> &mut Work {
        self.history.iter_mut().find(|work| work.awu == awu).unwrap()
    }

    /// What admission has to say: the path, and the refusal if there has to be one.
    #[expect(clippy::type_complexity, reason = "a model says everything in one place")]
    fn expect(
        &self,
        proposal: &Proposal,
        entry: &Entry,
    ) -> (Vec<(String, Unit, String, i128)>, Option<ReasonCode>) {
        let unbounded = proposal.unbounded.is_some().then(ReasonCode::unbounded_request);
        let Some(policy) = &self.policy else {
            let bound = atoms(Unit::Usd, proposal.bound.input, proposal.bound.output);
            let code = unbounded.or_else(|| proposal.price.is_none().then(ReasonCode::unpriced_model));
            return (vec![("unbudgeted".into(), Unit::Usd, "none".into(), bound.unwrap())], code);
        };
        let mut path = Vec::new();
        for rule in &policy.models {
            let denied = rule.allow[0].as_str() != "*" && proposal.attribution.team().as_str() == "b";
            if denied {
                return (path, Some(ReasonCode::PolicyDenyModel));
            }
        }
        if unbounded.is_some() {
            return (path, unbounded);
        }
        if proposal.price.is_none() {
            return (path, Some(ReasonCode::unpriced_model()));
        }
        let attribution = &proposal.attribution;
        let at = i128::from(entry.at.nanos());
        let (of_a, of_p) = (attribution.team().as_str() == "a", attribution.project().as_str() == "p");
        let a_is_empty = of_a && self.is_empty(7, 3, at, |work| work.team == "a");
        if a_is_empty || (of_p && self.is_empty(11, 2, at, |work| work.project == "p")) {
            return (path, Some(ReasonCode::RateLimited));
        }
        for budget in &policy.budgets {
            let covers = match budget.name.as_str() {
                "a-ever" => proposal.attribution.team().as_str() == "a",
                "b-day" => proposal.attribution.team().as_str() == "b",
                "p-day" => proposal.attribution.project().as_str() == "p",
                _ => true,
            };
            if !covers {
                continue;
            }
            let window = budget.period.window(entry.at).to_string();
            let Some(bound) = atoms(budget.unit, proposal.bound.input, proposal.bound.output) else {
                return (path, Some(ReasonCode::AccountingInvariantViolation));
            };
            let held: i128 = self.held(budget.name.as_str(), budget.unit, &window);
            let left = budget.limit.atoms() - held;
            if bound > 0 && left <= 0 {
                return (path, Some(ReasonCode::BudgetExceeded));
            }
            if bound > 0 && bound > left {
                return (path, Some(ReasonCode::BudgetReservationFailed));
            }
            path.push((budget.name.to_string(), budget.unit, window, bound));
        }
        if !path.iter().any(|step| step.1 == Unit::Usd) {
            let bound = atoms(Unit::Usd, proposal.bound.input, proposal.bound.output).unwrap();
            path.push(("unbudgeted".into(), Unit::Usd, "none".into(), bound));
        }
        (path, None)
    }

    /// Whether a bucket that holds `burst` and is filled evenly, `requests` a day, has nothing left for one more.
    /// In nanoseconds of filling; the history is poured through it from the beginning.
    fn is_empty(&self, requests: i128, burst: i128, now: i128, of: impl Fn(&Work) -> bool) -> bool {
        const DAY: i128 = 86_400_000_000_000;
        let one = (DAY + requests - 1) / requests;
        let (mut held, mut last) = (burst * one, 0);
        for work in self.history.iter().filter(|work| work.is_rated && of(work)) {
            held = (held + work.at - last).min(burst * one) - one;
            last = work.at;
        }
        (held + now - last).min(burst * one) < one
    }

    /// Outstanding and used in a cell, summed over the whole history.
    fn held(&self, budget: &str, unit: Unit, window: &str) -> i128 {
        let [out, used, ..] = self.sums(budget, unit, window);
        out + used
    }

    /// Outstanding, used, admitted, settled, released, in doubt.
    fn sums(&self, budget: &str, unit: Unit, window: &str) -> [i128; 6] {
        let mut sums = [0; 6];
        for work in &self.history {
            for (at, step) in work.path.iter().enumerate() {
                if (step.0.as_str(), step.1, step.2.as_str()) != (budget, unit, window) {
                    continue;
                }
                sums[2] += step.3;
                match work.state {
                    "reserved" | "executing" => sums[0] += step.3,
                    "settled" => {
                        sums[1] += work.actual[at];
                        sums[3] += step.3;
                    }
                    "released" => sums[4] += step.3,
                    _ => {
                        sums[1] += step.3;
                        sums[5] += step.3;
                    }
                }
            }
        }
        sums
    }

    pub fn compare(&self, books: &Books) {
        let mut seen = BTreeMap::new();
        for cell in books.cells() {
            let key = &cell.key;
            let sums = self.sums(key.budget_name(), key.unit, &key.window.to_string());
            let [out, used, admitted, settled, released, in_doubt] = sums;
            let standing = cell.standing;
            assert_eq!((standing.out.atoms(), standing.used.atoms()), (out, used), "{key:?}");
            let totals =
                [cell.totals.admitted, cell.totals.settled, cell.totals.released, cell.totals.in_doubt];
            assert_eq!(totals.map(|total| total.atoms()), [admitted, settled, released, in_doubt], "{key:?}");
            assert!(seen.insert(key.clone(), ()).is_none(), "two cells for {key:?}");
        }
        let open = self.history.iter().filter(|work| !matches!(work.state, "settled" | "released")).count();
        assert_eq!(books.open_awus().len(), open);
    }
}
