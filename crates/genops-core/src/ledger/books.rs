//! The books: every cell, every open AWU, the policy in force. What [`evolve`] makes of the journal.
//!
//! No rule is applied here. What an entry says happened, happened.

use std::collections::HashMap;
use std::sync::Arc;

use genops_spec::ReasonCode;
use serde::{Deserialize, Serialize};

use super::entry::{Admit, Command, Entry, Outcome, Reallocation, Settled};
use super::traffic::Traffic;
use crate::admit::{Admitted, Reservation};
use crate::amount::Amount;
use crate::awu::{AwuId, Execution, Proposal, State};
use crate::budget::CellKey;
use crate::circuit::Circuit;
use crate::digest::Digest;
use crate::name::Name;
use crate::policy::{InForce, Policy};
use crate::rate::{RateKey, Stretch};
use crate::sla::{Latencies, LatencyClass};
use crate::time::Timestamp;

/// The state of the ledger after some entry.
///
/// The hash maps are looked into and never walked where order could be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    sequence: u64,
    at: Timestamp,
    in_force: Arc<InForce>,
    cells: Vec<Cell>,
    cell_of: HashMap<CellKey, CellId>,
    open: HashMap<AwuId, OpenAwu>,
    traffic: Traffic,
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
    /// The sum by which admissions passed the limit where the budget is only observed.
    pub excess: Amount,
}

/// An AWU that has been admitted and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAwu {
    /// Where it stands.
    pub state: State,
    /// What it asked for.
    pub request: Arc<Admit>,
    /// What it was granted.
    pub granted: Arc<Admitted>,
    /// The entry that admitted it.
    pub admitted: u64,
}

impl OpenAwu {
    /// What it reserved, cell by cell.
    #[must_use]
    pub fn path(&self) -> &[Reservation] {
        self.granted.path()
    }

    /// What it proposed to do.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.request.proposal
    }
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
        (Command::Admit(request), Outcome::Admitted(admitted)) => books.admit(entry, request, admitted),
        (Command::Admit(_), Outcome::Refused(_)) => Some(()),
        (Command::Start { awu }, Outcome::Started) => books.start(*awu),
        (Command::Release { awu } | Command::Orphan { awu }, Outcome::Released) => {
            books.release(entry.at, *awu)
        }
        (Command::Settle { awu, execution }, Outcome::Settled(settled)) => {
            books.settle(entry.at, *awu, execution, settled)
        }
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
        Self {
            sequence: 0,
            at: Timestamp::default(),
            in_force: Arc::new(InForce::new(Policy::unrestricted())),
            cells: Vec::new(),
            cell_of: HashMap::new(),
            open: HashMap::new(),
            traffic: Traffic::default(),
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

    /// The policy in force, with its address and what finds its rules.
    #[must_use]
    pub fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.in_force.policy()
    }

    /// The address of the policy in force.
    #[must_use]
    pub fn policy_version(&self) -> Digest {
        self.in_force.version()
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

    /// Where the stretches end that have been taken of a flow; the beginning of time where none has.
    #[must_use]
    pub fn flow_until(&self, key: &RateKey) -> Timestamp {
        self.traffic.flow_until(key)
    }

    /// How many calls are in flight that a rate counts.
    #[must_use]
    pub fn calls_in_flight(&self, key: &RateKey) -> u64 {
        self.traffic.in_flight(key)
    }

    /// The stretches that an open AWU holds of flows that give back what is not used.
    #[must_use]
    pub fn stretches<'a>(&self, open: &'a OpenAwu) -> Vec<(&'a RateKey, Stretch)> {
        self.traffic.stretches(&open.granted, open.admitted)
    }

    /// The last latencies of a class; `None` where none is known.
    #[must_use]
    pub fn latencies(&self, class: &LatencyClass) -> Option<&Latencies> {
        self.traffic.latencies(class)
    }

    /// The circuit of a provider.
    #[must_use]
    pub fn circuit(&self, provider: &Name) -> Circuit {
        self.traffic.circuit(provider)
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
    fn adopt(&mut self, policy: &Arc<Policy>, version: Digest, reallocated: &[Reallocation]) -> Option<()> {
        for Reallocation { cell, allocated } in reallocated {
            let cell = self.cells.get_mut(cell.index())?;
            let before = cell.standing.allocated?;
            let cut = before.checked_sub(*allocated).unwrap_or(Amount::MAX).max(Amount::ZERO);
            cell.totals.cut = cell.totals.cut.checked_add(cut).unwrap_or(Amount::MAX);
            cell.standing.allocated = Some(*allocated);
        }
        self.traffic.keep_to(self.in_force.policy(), policy);
        self.in_force = Arc::new(InForce::new(Arc::clone(policy)));
        (self.in_force.version() == version).then_some(())
    }

    fn admit(&mut self, entry: &Entry, request: &Arc<Admit>, admitted: &Arc<Admitted>) -> Option<()> {
        for step in admitted.path() {
            let cell = self.cell_or_open(step)?;
            let beyond = cell.standing.beyond();
            cell.standing.out = cell.standing.out.checked_add(step.amount)?;
            cell.totals.admitted = cell.totals.admitted.checked_add(step.amount)?;
            let excess = cell.standing.beyond().checked_sub(beyond)?;
            cell.totals.excess = cell.totals.excess.checked_add(excess)?;
        }
        self.traffic.admit(entry.at, entry.sequence, admitted);
        let state = if admitted.started() { State::Executing } else { State::Reserved };
        let (request, granted) = (Arc::clone(request), Arc::clone(admitted));
        let awu = request.awu;
        let open = OpenAwu { state, request, granted, admitted: entry.sequence };
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

    fn release(&mut self, at: Timestamp, awu: AwuId) -> Option<()> {
        let open = self.open.remove(&awu).filter(|open| open.state == State::Reserved)?;
        for step in open.path() {
            let cell = self.cells.get_mut(step.cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
            cell.totals.released = cell.totals.released.checked_add(step.amount)?;
        }
        self.traffic.release(at, open.admitted, &open.granted);
        Some(())
    }

    fn settle(&mut self, at: Timestamp, awu: AwuId, execution: &Execution, settled: &Settled) -> Option<()> {
        let open = self.open.remove(&awu).filter(|open| open.state == State::Executing)?;
        if settled.actual.len() != open.path().len() {
            return None;
        }
        for (step, actual) in open.path().iter().zip(&settled.actual) {
            let cell = self.cells.get_mut(step.cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
            cell.standing.used = cell.standing.used.checked_add(*actual)?;
            cell.totals.settled = cell.totals.settled.checked_add(step.amount)?;
            let overrun = actual.checked_sub(step.amount)?.max(Amount::ZERO);
            cell.totals.overrun = cell.totals.overrun.checked_add(overrun)?;
        }
        self.traffic.settle(at, open.admitted, &open.granted, execution, settled);
        Some(())
    }

    fn doubt(&mut self, awu: AwuId) -> Option<()> {
        let open = self.open.get_mut(&awu).filter(|open| open.state == State::Executing)?;
        open.state = State::InDoubt;
        for step in open.granted.path() {
            let cell = self.cells.get_mut(step.cell.index())?;
            cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
            cell.standing.used = cell.standing.used.checked_add(step.amount)?;
            cell.totals.in_doubt = cell.totals.in_doubt.checked_add(step.amount)?;
        }
        self.traffic.doubt(open.admitted, &open.granted);
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

    /// By how much outstanding and used together are beyond the limit.
    fn beyond(&self) -> Amount {
        match self.remaining() {
            Some(remaining) if remaining < Amount::ZERO => {
                Amount::ZERO.checked_sub(remaining).unwrap_or(Amount::MAX)
            }
            _ => Amount::ZERO,
        }
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
