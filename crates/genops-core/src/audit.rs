//! The invariants I1 to I6, computed a second time and in another way than the books do.
//!
//! An [`Auditor`] follows the journal beside the books: it keeps its own list of AWUs, sums from the list,
//! and holds the result against the cells that the entry touched. It corrects nothing. What it keeps grows
//! with the open AWUs and the cells, not with the history.

use std::collections::{BTreeMap, HashMap};

use crate::admit::{Admitted, Reservation};
use crate::amount::Amount;
use crate::awu::{AwuId, State};
use crate::finding::Question;
use crate::ledger::{Books, CellId, Command, Entry, Outcome, Settled};

/// Follows a journal and says where it breaks an invariant.
#[derive(Debug, Default)]
pub struct Auditor {
    open: HashMap<AwuId, Life>,
    cells: HashMap<CellId, Tally>,
}

/// An invariant does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} does not hold at entry {sequence}: {what}")]
pub struct Breach {
    /// `I1` to `I6`.
    pub invariant: &'static str,
    /// The entry after which it does not hold.
    pub sequence: u64,
    /// What was expected and what was found.
    pub what: String,
}

#[derive(Debug)]
struct Life {
    state: State,
    path: Vec<(CellId, Amount)>,
}

/// What the auditor knows of one cell: the open AWUs one by one and as sums, the ended ones as sums.
#[derive(Debug, Default)]
struct Tally {
    outstanding: BTreeMap<AwuId, Amount>,
    out: Amount,
    doubted: BTreeMap<AwuId, Amount>,
    doubt: Amount,
    settled: Amount,
    actual: Amount,
    released: Amount,
    overrun: Amount,
    admitted: Amount,
    /// By how much admissions passed the limit that were only observed.
    excess: Amount,
}

impl Auditor {
    /// Takes in `entry` and checks every cell that it touched against `books`, which have evolved by it.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn follow(&mut self, entry: &Entry, books: &Books) -> Result<(), Breach> {
        let breach = |invariant, what: String| Breach { invariant, sequence: entry.sequence, what };
        let touched = match (&entry.command, &entry.outcome) {
            (Command::Admit(request), Outcome::Admitted(admitted)) => {
                self.admitted(request.awu, admitted).map_err(|(invariant, what)| breach(invariant, what))?
            }
            (Command::Admit(_), _) => Vec::new(),
            (Command::AdoptPolicy(_), Outcome::PolicyAdopted { reallocated, .. }) => {
                reallocated.iter().map(|change| change.cell).collect()
            }
            (Command::AdoptPolicy(_), _) => Vec::new(),
            (
                Command::Start { awu }
                | Command::Release { awu }
                | Command::Settle { awu, .. }
                | Command::Orphan { awu },
                outcome,
            ) => self.moved(*awu, outcome).map_err(|what| breach("I5", what))?,
        };
        touched
            .into_iter()
            .try_for_each(|cell| self.check(cell, books).map_err(|(invariant, what)| breach(invariant, what)))
    }

    /// Checks every cell of the books, touched or not.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn conclude(&self, books: &Books) -> Result<(), Breach> {
        let breach = |invariant, what: String| Breach { invariant, sequence: books.sequence(), what };
        let mut id = Books::default().next_cell();
        for _ in books.cells() {
            self.check(id, books).map_err(|(invariant, what)| breach(invariant, what))?;
            if self.cells.get(&id).is_some_and(|tally| !tally.adds_up()) {
                return Err(breach("I1", format!("cell {}: the open AWUs do not add up", id.index())));
            }
            id = id.next();
        }
        let open = books.open_awus().len();
        if open == self.open.len() {
            Ok(())
        } else {
            Err(breach("I5", format!("the books have {open} open AWUs, the journal {}", self.open.len())))
        }
    }

    fn admitted(&mut self, awu: AwuId, admitted: &Admitted) -> Result<Vec<CellId>, Finding> {
        if self.open.contains_key(&awu) {
            return Err(("I5", format!("AWU {awu} is admitted while it is open")));
        }
        for step in admitted.path() {
            let cell = self.cells.entry(step.cell).or_default();
            if let Some(allocated) = step.before.allocated {
                let after = sum([Some(cell.out), cell.used(), Some(step.amount)]);
                if step.amount > Amount::ZERO && after.is_none_or(|after| after > allocated) {
                    if !is_observed(admitted, step) {
                        let what = format!("AWU {awu} reserves {} beyond the limit {allocated}", step.amount);
                        return Err(("I3", what));
                    }
                    cell.pass(allocated, after, step.amount)
                        .ok_or_else(|| ("I4", format!("AWU {awu}: no sum")))?;
                }
            }
            cell.admit(awu, step.amount).ok_or_else(|| ("I6", format!("AWU {awu}: no sum")))?;
        }
        let path: Vec<_> = admitted.path().iter().map(|step| (step.cell, step.amount)).collect();
        let touched = path.iter().map(|(cell, _)| *cell).collect();
        let state = if admitted.started() { State::Executing } else { State::Reserved };
        self.open.insert(awu, Life { state, path });
        Ok(touched)
    }

    fn moved(&mut self, awu: AwuId, outcome: &Outcome) -> Result<Vec<CellId>, String> {
        let life = self.open.get_mut(&awu).ok_or_else(|| format!("AWU {awu} is not open"))?;
        let touched = life.path.iter().map(|(cell, _)| *cell).collect();
        let (from, to) = match outcome {
            Outcome::Started => (State::Reserved, Some(State::Executing)),
            Outcome::Released => (State::Reserved, None),
            Outcome::Settled(_) => (State::Executing, None),
            Outcome::InDoubt => (State::Executing, Some(State::InDoubt)),
            _ => return Err(format!("AWU {awu} cannot come to this outcome")),
        };
        if life.state != from {
            return Err(format!("AWU {awu} leaves {} but stands in {}", from.as_str(), life.state.as_str()));
        }
        for (position, (cell, reserved)) in life.path.iter().enumerate() {
            let tally = self.cells.entry(*cell).or_default();
            tally.follow(awu, *reserved, outcome, position).ok_or_else(|| format!("AWU {awu}: no sum"))?;
        }
        match to {
            Some(state) => life.state = state,
            None => drop(self.open.remove(&awu)),
        }
        Ok(touched)
    }

    fn check(&self, id: CellId, books: &Books) -> Result<(), Finding> {
        let none = Tally::default();
        let tally = self.cells.get(&id).unwrap_or(&none);
        let cell =
            books.cell(id).ok_or_else(|| ("I1", format!("cell {} is not in the books", id.index())))?;
        let same = |invariant, what: &str, books: Amount, journal: Option<Amount>| {
            if Some(books) == journal {
                Ok(())
            } else {
                let name = format!("{} {}", cell.key.budget_name(), cell.key.window);
                let journal = journal.map_or("no sum".to_owned(), |sum| sum.to_string());
                Err((invariant, format!("{name}: {what} is {books} in the books, {journal} by the journal")))
            }
        };
        same("I1", "outstanding", cell.standing.out, Some(tally.out))?;
        same("I2", "used", cell.standing.used, tally.used())?;
        same("I4", "excess", cell.totals.excess, Some(tally.excess))?;
        same("I6", "admitted", cell.totals.admitted, Some(tally.admitted))?;
        let parts = [tally.settled, tally.released, tally.doubt, tally.out].map(Some);
        same("I6", "settled + released + in doubt + outstanding", cell.totals.admitted, sum(parts))?;
        let Some(allocated) = cell.standing.allocated else { return Ok(()) };
        // A bound that cannot be counted is above everything that can.
        let Some(bound) = sum([allocated, tally.overrun, cell.totals.cut, tally.excess].map(Some)) else {
            return Ok(());
        };
        match sum([Some(tally.out), tally.used()]) {
            Some(held) if held <= bound => Ok(()),
            _ => {
                let name = cell.key.budget_name();
                Err(("I4", format!("{name}: more than {allocated} is held, beyond every overrun and cut")))
            }
        }
    }
}

/// The invariant and what was found.
type Finding = (&'static str, String);

/// Whether the budget of a reservation was passed on purpose: its finding says that it is only observed.
fn is_observed(admitted: &Admitted, step: &Reservation) -> bool {
    let mut findings = admitted.ruling().findings.iter();
    findings.any(|finding| {
        finding.question == Question::Room && finding.is_observed && finding.rule == step.key.budget
    })
}

impl Tally {
    /// Counts by how much a reservation of `amount`, with which `after` is held, passes the limit.
    fn pass(&mut self, allocated: Amount, after: Option<Amount>, amount: Amount) -> Option<()> {
        let beyond = after?.checked_sub(allocated)?.min(amount);
        self.excess = self.excess.checked_add(beyond)?;
        Some(())
    }

    fn admit(&mut self, awu: AwuId, amount: Amount) -> Option<()> {
        self.outstanding.insert(awu, amount);
        self.out = self.out.checked_add(amount)?;
        self.admitted = self.admitted.checked_add(amount)?;
        Some(())
    }

    fn resolve(&mut self, awu: AwuId) -> Option<()> {
        let amount = self.outstanding.remove(&awu)?;
        self.out = self.out.checked_sub(amount)?;
        Some(())
    }

    fn follow(&mut self, awu: AwuId, reserved: Amount, outcome: &Outcome, position: usize) -> Option<()> {
        match outcome {
            Outcome::Released => {
                self.resolve(awu)?;
                self.released = self.released.checked_add(reserved)?;
            }
            Outcome::Settled(Settled { actual, .. }) => {
                let actual = *actual.get(position)?;
                self.resolve(awu)?;
                self.settled = self.settled.checked_add(reserved)?;
                self.actual = self.actual.checked_add(actual)?;
                let over = actual.checked_sub(reserved)?.max(Amount::ZERO);
                self.overrun = self.overrun.checked_add(over)?;
            }
            Outcome::InDoubt => {
                self.resolve(awu)?;
                self.doubted.insert(awu, reserved);
                self.doubt = self.doubt.checked_add(reserved)?;
            }
            _ => {}
        }
        Some(())
    }

    fn used(&self) -> Option<Amount> {
        self.actual.checked_add(self.doubt)
    }

    /// Whether the sums over the open AWUs are what the AWUs come to one by one.
    fn adds_up(&self) -> bool {
        let total = |amounts: &BTreeMap<AwuId, Amount>| sum(amounts.values().copied().map(Some));
        total(&self.outstanding) == Some(self.out) && total(&self.doubted) == Some(self.doubt)
    }
}

fn sum(amounts: impl IntoIterator<Item = Option<Amount>>) -> Option<Amount> {
    amounts.into_iter().try_fold(Amount::ZERO, |sum, amount| sum.checked_add(amount?))
}
