//! The books: every cell, every open AWU, the policy in force. What [`evolve`] makes of the journal.
//!
//! No rule is applied here. What an entry says happened, happened.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use genops_spec::ReasonCode;
use serde::{Deserialize, Serialize};

use super::entry::{Command, Entry, Outcome, Reallocation, Settled};
use crate::admit::{Admitted, Reservation};
use crate::amount::Amount;
use crate::awu::{AwuId, State};
use crate::budget::CellKey;
use crate::digest::Digest;
use crate::name::Name;
use crate::policy::Policy;
use crate::price::Price;
use crate::time::Timestamp;

/// The state of the ledger after some entry.
///
/// The hash maps are looked into and never walked where order could be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    sequence: u64,
    at: Timestamp,
    policy: Arc<Policy>,
    policy_version: Digest,
    cells: Vec<Cell>,
    cell_of: HashMap<CellKey, CellId>,
    open: HashMap<AwuId, OpenAwu>,
    /// When the next AWU arrives if all come evenly, by the name of the rate.
    arrivals: BTreeMap<Name, Timestamp>,
}

/// A cell's number: cells are counted from 0 in the order in which they were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellId(u32);

/// One budget in one window, and what has been done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it is for.
    pub key: CellKey,
    /// Limit, outstanding and used.
    pub standing: Standing,
    /// Running totals, for the conservation of I6.
    pub totals: Totals,
}

/// A cell's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What may be used; `None` is unlimited.
    pub allocated: Option<Amount>,
    /// Reserved by AWUs that are RESERVED or EXECUTING.
    pub out: Amount,
    /// Charged: the actual of settled AWUs and the reservation of those in doubt.
    pub used: Amount,
}

/// What has passed through a cell, in reserved amounts; and by how much the limit may honestly be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Reserved by admissions.
    pub admitted: Amount,
    /// Reserved by AWUs that have settled.
    pub settled: Amount,
    /// Reserved by AWUs that were released.
    pub released: Amount,
    /// Reserved by AWUs that are in doubt.
    pub in_doubt: Amount,
    /// The sum of what AWUs used above their reservation.
    pub overrun: Amount,
    /// The sum by which a new policy lowered the limit.
    pub cut: Amount,
}

/// An AWU that has been admitted and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAwu {
    /// Where it stands.
    pub state: State,
    /// What it reserved, cell by cell.
    pub path: Vec<(CellId, Amount)>,
    /// The price row that it was admitted with.
    pub price: Option<Price>,
    /// The entry that admitted it.
    pub admitted: u64,
}

/// Applies an entry to the books: arithmetic only.
///
/// # Errors
///
/// The entry does not follow from these books: a gap, an AWU that is not open, a sum that does not fit.
/// In a journal whose chain is intact that is a bug, and nothing may be acknowledged any more.
pub fn evolve(books: &mut Books, entry: &Entry) -> Result<(), Mismatch> {
    if entry.sequence != books.sequence + 1 || entry.at < books.at {
        return Err(Mismatch { sequence: entry.sequence, what: "is out of order" });
    }
    let change = match (&entry.command, &entry.outcome) {
        (Command::AdoptPolicy(policy), Outcome::PolicyAdopted { version, reallocated }) => {
            books.adopt(policy, *version, reallocated)
        }
        (Command::Admit(request), Outcome::Admitted(admitted)) => {
            books.admit(request.awu, request.proposal.price.as_ref(), admitted, entry.sequence)
        }
        (Command::Admit(_), Outcome::Refused(_)) => Some(()),
        (Command::Start { awu }, Outcome::Started) => books.start(*awu),
        (Command::Release { awu } | Command::Orphan { awu }, Outcome::Released) => books.release(*awu),
        (Command::Settle { awu, .. }, Outcome::Settled(settled)) => books.settle(*awu, settled),
        (Command::Orphan { awu }, Outcome::InDoubt) => books.doubt(*awu),
        _ => None,
    };
    change
        .ok_or(Mismatch { sequence: entry.sequence, what: "does not follow from the entries before it" })?;
    books.sequence = entry.sequence;
    books.at = entry.at;
    Ok(())
}

/// An entry that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} {what}")]
pub struct Mismatch {
    /// The entry.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

// === impl Books: reading ===

impl Default for Books {
    fn default() -> Self {
        let policy = Policy::unrestricted();
        Self {
            sequence: 0,
            at: Timestamp::default(),
            policy_version: policy.version(),
            policy: Arc::new(policy),
            cells: Vec::new(),
            cell_of: HashMap::new(),
            open: HashMap::new(),
            arrivals: BTreeMap::new(),
        }
    }
}

impl Books {
    /// The last entry that these books contain; 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The time of the last entry.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The address of the policy in force.
    #[must_use]
    pub const fn policy_version(&self) -> Digest {
        self.policy_version
    }

    /// Every cell, in the order in which they were opened.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// One cell.
    #[must_use]
    pub fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.get(id.index())
    }

    /// The cell for `key`, if it has been opened.
    #[must_use]
    pub fn find(&self, key: &CellKey) -> Option<(CellId, &Cell)> {
        let id = *self.cell_of.get(key)?;
        Some((id, self.cell(id)?))
    }

    /// The number that the next cell will have.
    #[must_use]
    pub fn next_cell(&self) -> CellId {
        CellId(u32::try_from(self.cells.len()).unwrap_or(u32::MAX))
    }

    /// When the next AWU is to arrive by a rate; the beginning of time where none has.
    #[must_use]
    pub fn arrival(&self, rate: &Name) -> Timestamp {
        self.arrivals.get(rate).copied().unwrap_or_default()
    }

    /// An open AWU.
    #[must_use]
    pub fn open_awu(&self, awu: AwuId) -> Option<&OpenAwu> {
        self.open.get(&awu)
    }

    /// Every open AWU, in the order of admission.
    #[must_use]
    pub fn open_awus(&self) -> Vec<(AwuId, &OpenAwu)> {
        let mut open: Vec<_> = self.open.iter().map(|(id, awu)| (*id, awu)).collect();
        open.sort_unstable_by_key(|(_, awu)| awu.admitted);
        open
    }
}

// === impl Books: evolving; `None` where the entry does not fit ===

impl Books {
    fn adopt(&mut self, policy: &Policy, version: Digest, reallocated: &[Reallocation]) -> Option<()> {
        for Reallocation { cell, allocated } in reallocated {
            let cell = self.cells.get_mut(cell.index())?;
            let before = cell.standing.allocated?;
            let cut = before.checked_sub(*allocated).unwrap_or(Amount::MAX).max(Amount::ZERO);
            cell.totals.cut = cell.totals.cut.checked_add(cut).unwrap_or(Amount::MAX);
            cell.standing.allocated = Some(*allocated);
        }
        // A rate that is gone is forgotten; one that has changed goes on, as far as that means anything to it.
        self.arrivals.retain(|name, _| policy.rates.iter().any(|rate| rate.name == *name));
        self.policy = Arc::new(policy.clone());
        self.policy_version = version;
        Some(())
    }

    fn admit(&mut self, awu: AwuId, price: Option<&Price>, admitted: &Admitted, sequence: u64) -> Option<()> {
        for step in admitted.path() {
            let cell = self.cell_or_open(step)?;
            cell.standing.out = cell.standing.out.checked_add(step.amount)?;
            cell.totals.admitted = cell.totals.admitted.checked_add(step.amount)?;
        }
        for step in admitted.rates() {
            match self.arrivals.get_mut(&step.rule) {
                Some(arrival) => *arrival = step.after,
                None => drop(self.arrivals.insert(step.rule.clone(), step.after)),
            }
        }
        let state = if admitted.started() { State::Executing } else { State::Reserved };
        let path = admitted.path().iter().map(|step| (step.cell, step.amount)).collect();
        let open = OpenAwu { state, path, price: price.cloned(), admitted: sequence };
        self.open.insert(awu, open).is_none().then_some(())
    }

    fn cell_or_open(&mut self, step: &Reservation) -> Option<&mut Cell> {
        if step.cell == self.next_cell() {
            let standing = Standing::empty(step.before.allocated);
            self.cells.push(Cell { key: step.key.clone(), standing, totals: Totals::default() });
            self.cell_of.insert(step.key.clone(), step.cell);
        }
        self.cells.get_mut(step.cell.index())
    }

    fn start(&mut self, awu: AwuId) -> Option<()> {
        let open = self.open.get_mut(&awu).filter(|open| open.state == State::Reserved)?;
        open.state = State::Executing;
        Some(())
    }

    fn release(&mut self, awu: AwuId) -> Option<()> {
        let open = self.open.remove(&awu).filter(|open| open.state == State::Reserved)?;
        for (cell, reserved) in open.path {
            let cell = self.cells.get_mut(cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(reserved)?;
            cell.totals.released = cell.totals.released.checked_add(reserved)?;
        }
        Some(())
    }

    fn settle(&mut self, awu: AwuId, settled: &Settled) -> Option<()> {
        let open = self.open.remove(&awu).filter(|open| open.state == State::Executing)?;
        if settled.actual.len() != open.path.len() {
            return None;
        }
        for ((cell, reserved), actual) in open.path.into_iter().zip(&settled.actual) {
            let cell = self.cells.get_mut(cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(reserved)?;
            cell.standing.used = cell.standing.used.checked_add(*actual)?;
            cell.totals.settled = cell.totals.settled.checked_add(reserved)?;
            let overrun = actual.checked_sub(reserved)?.max(Amount::ZERO);
            cell.totals.overrun = cell.totals.overrun.checked_add(overrun)?;
        }
        Some(())
    }

    fn doubt(&mut self, awu: AwuId) -> Option<()> {
        let open = self.open.get_mut(&awu).filter(|open| open.state == State::Executing)?;
        open.state = State::InDoubt;
        for (cell, reserved) in &open.path {
            let cell = self.cells.get_mut(cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(*reserved)?;
            cell.standing.used = cell.standing.used.checked_add(*reserved)?;
            cell.totals.in_doubt = cell.totals.in_doubt.checked_add(*reserved)?;
        }
        Some(())
    }
}

// === impl Standing, Cell, CellId ===

impl Standing {
    /// A cell that nobody has used.
    #[must_use]
    pub const fn empty(allocated: Option<Amount>) -> Self {
        Self { allocated, out: Amount::ZERO, used: Amount::ZERO }
    }

    /// What may still be reserved: allocated less outstanding and used. Negative after an overrun or a
    /// cut; `None` where there is no limit, or the difference cannot be counted.
    #[must_use]
    pub fn remaining(&self) -> Option<Amount> {
        self.allocated?.checked_sub(self.out)?.checked_sub(self.used)
    }

    /// Whether a reservation of `amount` fits. Nothing fits into a cell that is used up, except nothing.
    ///
    /// # Errors
    ///
    /// The reason code of the refusal.
    pub fn takes(&self, amount: Amount) -> Result<(), ReasonCode> {
        let counted = self.out.checked_add(amount).and_then(|out| out.checked_add(self.used));
        if counted.is_none() || amount < Amount::ZERO {
            return Err(ReasonCode::AccountingInvariantViolation);
        }
        if self.allocated.is_none() || amount == Amount::ZERO {
            return Ok(());
        }
        match self.remaining() {
            None => Err(ReasonCode::AccountingInvariantViolation),
            Some(remaining) if remaining <= Amount::ZERO => Err(ReasonCode::BudgetExceeded),
            Some(remaining) if amount > remaining => Err(ReasonCode::BudgetReservationFailed),
            Some(_) => Ok(()),
        }
    }
}

impl Cell {
    /// Whether the running totals can hold a reservation of this size.
    pub(crate) const fn can_admit(&self, amount: Amount) -> bool {
        self.totals.admitted.checked_add(amount).is_some()
    }

    /// Whether the sums can hold an actual of this size.
    pub(crate) fn can_settle(&self, reserved: Amount, actual: Amount) -> bool {
        let sums = [
            self.standing.used.checked_add(actual).and_then(|used| used.checked_add(self.standing.out)),
            actual.checked_sub(reserved).and_then(|over| self.totals.overrun.checked_add(over)),
        ];
        sums.iter().all(Option::is_some)
    }
}

impl CellId {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number as a position.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
