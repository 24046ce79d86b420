//! A model of the ledger that is too simple to be wrong: the whole history in a list, every sum, bucket and state made
//! anew from it, every decision derived again. It shares no arithmetic with the books.

mod cells;
mod corridor;
mod fitting;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use genops_core::awu::{AwuId, Execution, Proposal, Used};
use genops_core::budget::CellKey;
use genops_core::ledger::{Admit, Books, CellId, Command, Entry, Grant, Idempotency, Outcome, Settled};
use genops_core::period::{Window, Windows};
use genops_core::policy::Policy;
use genops_core::price::Tokens;
use genops_core::spec::Decision;
use genops_core::{Name, Timestamp, Unit};

use cells::Post;
pub use corridor::Ruled;

pub struct Model {
    policy: Arc<Policy>,
    /// Of the budgets of the policy, in their order.
    windows: Vec<Windows>,
    works: Vec<Work>,
    history: Vec<(i128, Event)>,
    /// Everything that was ever charged, or taken away again.
    posts: Vec<Post>,
    /// Every number that a cell has had.
    numbers: BTreeMap<CellId, CellKey>,
    /// The numbers of those that were closed.
    closed: BTreeSet<CellId>,
    /// Of what was closed last in a cell's place: how many works and how much history there was.
    begun: BTreeMap<CellKey, Begun>,
}

/// Where the cell begins that may have come into the place of another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Begun {
    works: usize,
    history: usize,
}

/// What happened; the numbers are places in the list of works.
enum Event {
    /// And the windows that its budgets had then.
    Adopted(Arc<Policy>, Vec<Option<Window>>),
    Admitted(usize),
    Refused,
    Started,
    Extended,
    Released(usize),
    Settled(usize, Execution),
    SettledLate,
    Doubted,
    Corrected(Vec<(CellKey, i128)>),
    Granted(u64, Arc<Grant>),
    Ended(u64),
    /// Of the alerts, the cell and the percents.
    Told(CellKey, u16),
    Noted,
    /// A caller's key was used: the caller, and the key with what was asked.
    Used(u64, Option<Name>, Idempotency),
}

struct Work {
    awu: AwuId,
    proposal: Proposal,
    at: i128,
    sequence: u64,
    ruled: Ruled,
    state: &'static str,
    deadline: Option<i128>,
    doubted_at: Option<i128>,
    /// Actual atoms, along the path.
    actual: Vec<i128>,
}

/// What is reserved in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    key: CellKey,
    atoms: i128,
}

/// Dollars per million tokens, in 1e-12 dollars.
const INPUT: i128 = 150_000_000_000;
const OUTPUT: i128 = 600_000_000_000;
/// One of a unit.
const ONE: i128 = 1_000_000_000_000;

/// What tokens cost; `None` beyond 64 bits of tokens.
fn atoms(unit: Unit, input: u64, output: u64) -> Option<i128> {
    let (input, output) = (i128::from(input), i128::from(output));
    match unit {
        Unit::Usd => Some((input * INPUT + output * OUTPUT + 999_999) / 1_000_000),
        Unit::Tokens => (input + output <= i128::from(u64::MAX)).then_some((input + output) * ONE),
        Unit::Requests => Some(ONE),
        Unit::Declared(_) => Some(0),
    }
}

/// The most that the call asks for, in atoms; without a price or a word about it that is no money.
fn bound(unit: Unit, proposal: &Proposal, output: u64) -> Option<i128> {
    let said = proposal.quantities.iter().find(|quantity| quantity.unit == unit);
    match (unit, said) {
        (_, Some(quantity)) => Some(quantity.amount.atoms()),
        (Unit::Usd, None) if proposal.price.is_none() => Some(0),
        _ => atoms(unit, proposal.bound.input, output),
    }
}

/// What an execution used of a unit; `None` where nobody knows.
fn used(unit: Unit, proposal: &Proposal, execution: &Execution) -> Option<i128> {
    let is_of_unit = |quantity: &&genops_core::Quantity| quantity.unit == unit;
    let said = execution.quantities.iter().find(is_of_unit).map(|quantity| quantity.amount.atoms());
    let may_be_said = proposal.quantities.iter().any(|quantity| quantity.unit == unit);
    match (execution.end.was_sent(), unit, execution.used) {
        (false, ..) => Some(0),
        (true, Unit::Requests, _) => Some(ONE),
        _ if said.is_some() => said,
        (true, _, Used::Nothing) => Some(0),
        _ if may_be_said => None,
        (true, Unit::Declared(_), _) => Some(0),
        (true, _, Used::Unknown) => None,
        // Prices are by the token: no tokens cost nothing, also where no price is known.
        (true, Unit::Usd, Used::Reported(tokens) | Used::Counted(tokens)) if proposal.price.is_none() => {
            (tokens == Tokens::default()).then_some(0)
        }
        (true, _, Used::Reported(tokens) | Used::Counted(tokens)) => atoms(unit, tokens.input, tokens.output),
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            policy: Arc::new(Policy::unrestricted()),
            windows: Vec::new(),
            works: Vec::new(),
            history: Vec::new(),
            posts: Vec::new(),
            numbers: BTreeMap::new(),
            closed: BTreeSet::new(),
            begun: BTreeMap::new(),
        }
    }
}

impl Model {
    /// Takes in an entry, and holds its outcome against what it had to be.
    pub fn follow(&mut self, entry: &Entry, books: &Books) {
        let at = i128::from(entry.at.nanos());
        let told = genops_core::news::alerts(&entry.outcome);
        let told: Vec<_> = told
            .iter()
            .map(|alert| (alert.key.clone(), alert.percent, alert.used.atoms(), alert.allocated.atoms()))
            .collect();
        let (mut expected, mut levels) = (Vec::new(), Vec::new());
        let event = match (&entry.command, &entry.outcome) {
            (Command::AdoptPolicy(policy), Outcome::PolicyAdopted { .. }) => {
                levels = self.levels(books, at);
                self.policy = Arc::clone(policy);
                self.windows = policy.budgets.iter().map(|budget| Windows::of(&budget.period)).collect();
                let windows = self.windows.iter().map(|windows| windows.at(entry.at));
                Event::Adopted(Arc::clone(policy), windows.collect())
            }
            (Command::Admit(request), outcome) => self.admit(entry, request, outcome),
            (Command::Start { awu }, Outcome::Started) => {
                self.move_on(*awu, &["reserved"], "executing");
                Event::Started
            }
            (Command::Extend { awu, within_ns }, Outcome::Extended { deadline }) => {
                let place = self.open(*awu).unwrap();
                // Nobody loses time by being given more.
                let until = (at + i128::from(*within_ns)).min(i128::from(u64::MAX));
                let until = until.max(self.works[place].deadline.unwrap());
                assert_eq!(nanos(*deadline), until);
                self.works[place].deadline = Some(until);
                Event::Extended
            }
            (
                Command::Settle { awu, execution } | Command::Resolve { awu, execution, .. },
                Outcome::Settled(settled),
            ) => {
                let place = self.move_on(*awu, &["executing", "in doubt"], "settled");
                let (event, alerts) = self.settle(place, at, execution, settled);
                expected = alerts;
                event
            }
            (
                Command::Release { awu } | Command::Orphan { awu } | Command::Expire { awu },
                Outcome::Released,
            ) => Event::Released(self.move_on(*awu, &["reserved"], "released")),
            (Command::Orphan { awu } | Command::Expire { awu }, Outcome::InDoubt { .. }) => {
                let place = self.move_on(*awu, &["executing"], "in doubt");
                self.works[place].doubted_at = Some(at);
                let steps = self.works[place].ruled.path.clone();
                let postings: Vec<_> = steps.into_iter().map(|step| (step.key, step.atoms)).collect();
                expected = self.post(place, at, &postings);
                Event::Doubted
            }
            (Command::Correct(correction), Outcome::Corrected { .. }) => {
                let key = |cell: CellId| books.cell(cell).unwrap().key.clone();
                let mut postings: Vec<(CellKey, i128)> = Vec::new();
                for posting in &correction.postings {
                    let (key, atoms) = (key(posting.cell), posting.amount.atoms());
                    match postings.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, sum)) => *sum += atoms,
                        None => postings.push((key, atoms)),
                    }
                }
                let place = self.works.iter().position(|work| work.awu == correction.awu).unwrap();
                expected = self.post(place, at, &postings);
                Event::Corrected(postings)
            }
            (Command::Grant(grant), Outcome::Granted) => Event::Granted(entry.sequence, Arc::clone(grant)),
            (Command::Revoke { grant, .. } | Command::Lapse { grant }, Outcome::GrantEnded { .. }) => {
                levels = self.levels(books, at);
                Event::Ended(*grant)
            }
            (Command::Report(_) | Command::Erase { .. }, Outcome::Noted) => Event::Noted,
            (Command::CloseCells { before, .. }, Outcome::CellsClosed { cells }) => {
                let told: Vec<_> = cells.iter().flat_map(|range| range.numbers()).collect();
                let closed: BTreeSet<_> = told.iter().map(|number| self.numbers[number].clone()).collect();
                assert_eq!((closed.len(), &closed), (told.len(), &self.closable(*before, at)));
                let begun = Begun { works: self.works.len(), history: self.history.len() };
                self.begun.extend(closed.into_iter().map(|key| (key, begun)));
                self.closed.extend(told);
                Event::Noted
            }
            (command, outcome) => panic!("{command:?} came to {outcome:?}"),
        };
        self.history.push((at, event));
        expected.extend(self.brought_down(&levels, entry.at));
        assert_eq!(told, expected, "alerts at {}", entry.sequence);
        if let Some((_, Event::Admitted(place))) = self.history.last() {
            self.check_windows(*place);
            self.check_rolling(*place);
        }
        self.history.extend(told.into_iter().map(|(key, percent, ..)| (at, Event::Told(key, percent))));
        if let Command::Admit(request) = &entry.command
            && let Some(key) = &request.idempotency
        {
            let caller = request.proposal.key.clone();
            self.history.push((at, Event::Used(entry.sequence, caller, key.clone())));
        }
    }

    fn admit(&mut self, entry: &Entry, request: &Admit, outcome: &Outcome) -> Event {
        let at = i128::from(entry.at.nanos());
        let ruled = self.ruled(&request.proposal, entry.at);
        if !ruled.matches(outcome, entry) {
            return Event::Refused;
        }
        if let Outcome::Admitted(admitted) = outcome {
            for step in admitted.path() {
                let before = self.numbers.insert(step.cell, step.key.clone());
                assert!(before.is_none_or(|key| key == step.key), "{:?} is two cells", step.cell);
                assert!(!self.closed.contains(&step.cell), "{:?} was closed", step.key);
            }
        }
        let deadline = request.within_ns.map(|within| (at + i128::from(within)).min(i128::from(u64::MAX)));
        self.works.push(Work {
            awu: request.awu,
            proposal: request.proposal.clone(),
            at,
            sequence: entry.sequence,
            ruled,
            state: if request.starts { "executing" } else { "reserved" },
            deadline,
            doubted_at: None,
            actual: Vec::new(),
        });
        Event::Admitted(self.works.len() - 1)
    }

    fn settle(
        &mut self,
        place: usize,
        at: i128,
        execution: &Execution,
        settled: &Settled,
    ) -> (Event, Vec<cells::Told>) {
        let (actual, incomplete) = self.works[place].charge(execution);
        let told: Vec<_> = settled.actual.iter().map(|amount| amount.atoms()).collect();
        assert_eq!((&told, settled.incomplete), (&actual, incomplete));
        let work = &mut self.works[place];
        work.actual = actual;
        let doubted_at = work.doubted_at;
        let steps = work.ruled.path.iter().zip(&work.actual);
        let change = |(step, actual): (&Step, &i128)| {
            (step.key.clone(), if doubted_at.is_some() { actual - step.atoms } else { *actual })
        };
        let postings: Vec<_> = steps.map(change).collect();
        assert_eq!(settled.late.is_some(), doubted_at.is_some());
        if let Some(late) = &settled.late {
            let mut steps = work.ruled.path.iter().zip(&work.actual);
            let is_told = |(step, actual): (&Step, &i128)| {
                (step.key.unit, step.atoms, step.atoms, *actual)
                    == (late.unit, late.reserved.atoms(), late.before.atoms(), late.actual.atoms())
            };
            assert!(steps.any(is_told), "{late:?}");
        }
        let alerts = self.post(place, at, &postings);
        let event = match doubted_at {
            None => Event::Settled(place, execution.clone()),
            Some(_) => Event::SettledLate,
        };
        (event, alerts)
    }

    /// The AWU of this identity that is open.
    fn open(&self, awu: AwuId) -> Option<usize> {
        let is_open = |work: &Work| work.awu == awu && !matches!(work.state, "settled" | "released");
        self.works.iter().position(is_open)
    }

    fn move_on(&mut self, awu: AwuId, from: &[&str], to: &'static str) -> usize {
        let place = self.open(awu).unwrap();
        assert!(from.contains(&self.works[place].state), "{awu} is {}", self.works[place].state);
        self.works[place].state = to;
        place
    }

    /// What an AWU is charged in its cells by now.
    pub fn charged(&self, awu: AwuId, sequence: u64) -> Vec<(CellKey, i128)> {
        let is_it = |work: &Work| work.awu == awu && work.sequence == sequence;
        let Some(place) = self.works.iter().position(is_it) else { return Vec::new() };
        let work = &self.works[place];
        let first = |at: usize| match work.state {
            "settled" => work.actual[at],
            "in doubt" => work.ruled.path[at].atoms,
            _ => 0,
        };
        let corrected = |key: &CellKey| -> i128 {
            let posts = self.posts.iter().filter(|post| post.work == place && post.key == *key);
            posts.map(|post| post.asked).sum()
        };
        let steps = work.ruled.path.iter().enumerate();
        steps
            .map(|(at, step)| {
                assert!(work.state == "settled" || corrected(&step.key) == first(at));
                (step.key.clone(), corrected(&step.key))
            })
            .collect()
    }

    /// Holds the books against the history: every cell, and the traffic that the policy in force asks about.
    pub fn compare(&self, books: &Books) {
        self.compare_cells(books);
        let open = |work: &&Work| !matches!(work.state, "settled" | "released");
        assert_eq!(books.open_awus().len(), self.works.iter().filter(open).count());
        let at = i128::from(books.at().nanos());
        let overdue =
            self.works.iter().filter(open).filter(|work| work.state != "in doubt").filter_map(|work| {
                let deadline = work.deadline.filter(|deadline| *deadline <= at)?;
                Some((deadline, work.awu))
            });
        let overdue: BTreeSet<_> = overdue.collect();
        let overdue: Vec<_> = overdue.into_iter().map(|(_, awu)| awu).collect();
        assert_eq!(books.overdue(books.at(), usize::MAX), overdue);
        self.compare_traffic(books);
    }
}

impl Work {
    /// The actual atoms along the path, and whether that is no report. What cannot be measured in one cell is charged
    /// its reservation there, and nowhere else.
    fn charge(&self, execution: &Execution) -> (Vec<i128>, bool) {
        let path = &self.ruled.path;
        let amounts: Vec<_> =
            path.iter().map(|step| used(step.key.unit, &self.proposal, execution).filter(is_step)).collect();
        let is_counted = execution.end.was_sent() && matches!(execution.used, Used::Counted(_));
        let incomplete = is_counted || amounts.contains(&None);
        let actual = amounts.into_iter().zip(path).map(|(actual, step)| actual.unwrap_or(step.atoms));
        (actual.collect(), incomplete)
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

/// The most atoms that one step may come to: 1e15 units.
const STEP_MAX: i128 = 1_000_000_000_000_000_000_000_000_000;

fn is_step(atoms: &i128) -> bool {
    *atoms <= STEP_MAX
}

/// Nanoseconds since the epoch, as the model counts.
fn nanos(at: Timestamp) -> i128 {
    i128::from(at.nanos())
}
