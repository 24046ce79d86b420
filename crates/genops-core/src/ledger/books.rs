//! The books: every cell, every open AWU, the policy in force. What [`evolve`] makes of the journal.
//!
//! No rule is applied here. What an entry says happened, happened.

pub(in crate::ledger) mod grants;
mod places;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::act::{Alert, Correction, Grant, Posting};
use super::cell::{Cell, CellId, Standing};
use super::cells::Cells;
use super::entry::{Admit, Command, Entry, Outcome, Reallocation, Settled};
use super::idempotency::Remembered;
use super::kept::Kept;
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
    cells: Cells,
    open: HashMap<AwuId, OpenAwu>,
    /// How many of them each key of a caller has. It follows from the rest.
    open_of: HashMap<Name, u64>,
    /// When the holders of open AWUs are taken for lost.
    deadlines: BTreeSet<(Timestamp, AwuId)>,
    traffic: Traffic,
    remembered: Remembered,
    /// The grants whose end is not in the journal yet, by the entry that made them.
    grants: BTreeMap<u64, Arc<Grant>>,
}

/// An AWU that has been admitted and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAwu {
    /// Where it stands.
    pub state: State,
    /// What it asked for.
    pub request: Arc<Admit>,
    /// What it was granted.
    pub granted: Arc<Admitted>,
    /// The entry that admitted it.
    pub admitted: u64,
    /// When its holder is taken for lost; `None` where this process holds it.
    pub deadline: Option<Timestamp>,
    /// When it was charged its reservation, in doubt.
    pub doubted_at: Option<Timestamp>,
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
        (Command::AdoptPolicy(policy), Outcome::PolicyAdopted { version, reallocated, alerts }) => {
            books.adopt(policy, *version, reallocated, alerts)
        }
        (Command::Admit(request), Outcome::Admitted(admitted)) => books.admit(entry, request, admitted),
        (Command::Admit(request), Outcome::Refused(_)) => {
            books.remember(entry, request);
            books.traffic.forget(entry.at, books.in_force.policy().ceilings.rate_shares);
            Some(())
        }
        (Command::Start { awu }, Outcome::Started) => books.start(*awu),
        (Command::Extend { awu, .. }, Outcome::Extended { deadline }) => books.extend(*awu, *deadline),
        (Command::Release { awu } | Command::Orphan { awu } | Command::Expire { awu }, Outcome::Released) => {
            books.release(entry.at, *awu)
        }
        (
            Command::Settle { awu, execution } | Command::Resolve { awu, execution, .. },
            Outcome::Settled(settled),
        ) => books.settle(entry.at, *awu, execution, settled),
        (Command::Orphan { awu } | Command::Expire { awu }, Outcome::InDoubt { alerts }) => {
            books.doubt(entry.at, *awu, alerts)
        }
        (Command::Correct(correction), Outcome::Corrected { alerts }) => {
            books.correct(entry.at, correction, alerts)
        }
        (Command::Grant(grant), Outcome::Granted) => books.take_grant(entry, grant),
        (Command::Revoke { grant, .. } | Command::Lapse { grant }, Outcome::GrantEnded { alerts }) => {
            books.end_grant(*grant, alerts)
        }
        (Command::Report(_) | Command::Erase { .. }, Outcome::Noted) => Some(()),
        (Command::CloseCells { .. }, Outcome::CellsClosed { cells }) => books.cells.close(cells, entry.at),
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
            cells: Cells::default(),
            open: HashMap::new(),
            open_of: HashMap::new(),
            deadlines: BTreeSet::new(),
            traffic: Traffic::default(),
            remembered: Remembered::default(),
            grants: BTreeMap::new(),
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

    /// The same, for whoever looks at it once the books are let go.
    #[must_use]
    pub fn shared_in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force)
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

    /// Every cell that has not been closed, in the order in which they were opened.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        self.cells.all()
    }

    /// The same from a number on, each with its own.
    pub fn cells_from(&self, first: CellId) -> impl Iterator<Item = (CellId, &Cell)> {
        self.cells.from(first)
    }

    /// One cell; `None` where it has not been opened, or has been closed.
    #[must_use]
    pub fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.get(id)
    }

    /// Whether a cell has been opened and closed.
    #[must_use]
    pub fn is_closed(&self, id: CellId) -> bool {
        id < self.next_cell() && self.cell(id).is_none()
    }

    /// The cell for `key`, if it has been opened and not closed.
    #[must_use]
    pub fn find(&self, key: &CellKey) -> Option<(CellId, &Cell)> {
        let id = self.cells.find(key)?;
        Some((id, self.cell(id)?))
    }

    /// What holds in a cell at `at`: with the grants that hold then, and without what its window has left. Where its period is
    /// over, with everything that it was granted.
    #[must_use]
    pub fn standing(&self, cell: &Cell, at: Timestamp) -> Standing {
        let Standing { allocated, out, .. } = cell.standing;
        Standing {
            allocated: allocated.map(|limit| self.limit_with_grants(cell, limit, at)),
            out,
            used: cell.used_at(at),
        }
    }

    /// The entry that an idempotency key was used in by a caller, and the digest of what it asked; `None` where it is not
    /// remembered at `at`.
    #[must_use]
    pub fn remembered(&self, caller: Option<&Name>, key: &Name, at: Timestamp) -> Option<(u64, Digest)> {
        self.remembered.find(caller, key, at.minus_nanos(self.policy().remember_ns))
    }

    /// The oldest entry that an idempotency key was used in which is remembered at `at`.
    #[must_use]
    pub fn oldest_remembered(&self, at: Timestamp) -> Option<u64> {
        self.remembered.oldest(at.minus_nanos(self.policy().remember_ns))
    }

    /// How many idempotency keys are remembered at `at`.
    #[must_use]
    pub fn remembered_keys(&self, at: Timestamp) -> usize {
        self.remembered.used(at.minus_nanos(self.policy().remember_ns))
    }

    /// Where each open AWU stands, in no order.
    pub fn open_states(&self) -> impl Iterator<Item = State> {
        self.open.values().map(|open| open.state)
    }

    /// The AWUs whose holders are taken for lost at `at`, the longest lost first, at most `most`.
    #[must_use]
    pub fn overdue(&self, at: Timestamp, most: usize) -> Vec<AwuId> {
        self.deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= at)
            .take(most)
            .map(|(_, awu)| *awu)
            .collect()
    }

    /// The number that the next cell will have.
    #[must_use]
    pub const fn next_cell(&self) -> CellId {
        self.cells.next()
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

// === impl Books: as plain data ===

impl Books {
    pub(super) fn keep(&self) -> Kept {
        let open = self.open_awus().into_iter().map(|(id, open)| (id, open.clone())).collect();
        Kept {
            sequence: self.sequence,
            at: self.at,
            policy: self.in_force.shared(),
            cells: self.cells().to_vec(),
            numbers: self.cells.numbers(),
            next_cell: self.next_cell(),
            open,
            traffic: self.traffic.clone(),
            remembered: self.remembered.clone(),
            grants: self.grants.iter().map(|(sequence, grant)| (*sequence, Arc::clone(grant))).collect(),
        }
    }
}

impl From<Kept> for Books {
    fn from(kept: Kept) -> Self {
        let Kept { sequence, at, policy, cells, numbers, next_cell, open, traffic, remembered, grants } =
            kept;
        let deadlines = open.iter().filter_map(|(id, open)| Some((open.deadline?, *id))).collect();
        let mut open_of = HashMap::new();
        for key in open.iter().filter_map(|(_, open)| open.proposal().key.as_ref()) {
            places::count_one(&mut open_of, key);
        }
        Self {
            sequence,
            at,
            in_force: Arc::new(InForce::new(policy)),
            cells: Cells::kept(cells, &numbers, next_cell),
            open: open.into_iter().collect(),
            open_of,
            deadlines,
            traffic,
            remembered,
            grants: grants.into_iter().collect(),
        }
    }
}

// === impl Books: evolving; `None` where the entry does not fit ===

impl Books {
    fn adopt(
        &mut self,
        policy: &Arc<Policy>,
        version: Digest,
        reallocated: &[Reallocation],
        alerts: &[Alert],
    ) -> Option<()> {
        for Reallocation { cell, allocated } in reallocated {
            let cell = self.cells.get_mut(*cell)?;
            let before = cell.standing.allocated?;
            let cut = before.checked_sub(*allocated).unwrap_or(Amount::MAX).max(Amount::ZERO);
            cell.totals.cut = cell.totals.cut.checked_add(cut).unwrap_or(Amount::MAX);
            cell.standing.allocated = Some(*allocated);
        }
        self.traffic.keep_to(self.in_force.policy(), policy);
        self.in_force = Arc::new(InForce::new(Arc::clone(policy)));
        self.note_alerts(alerts)?;
        (self.in_force.version() == version).then_some(())
    }

    fn admit(&mut self, entry: &Entry, request: &Arc<Admit>, admitted: &Arc<Admitted>) -> Option<()> {
        for step in admitted.path() {
            let standing = self.cell_or_open(step, entry.at)?;
            let cell = self.cells.get_mut(step.cell)?;
            cell.age(entry.at);
            cell.touch(entry.at);
            let beyond = standing.beyond();
            cell.standing.out = cell.standing.out.checked_add(step.amount)?;
            cell.totals.admitted = cell.totals.admitted.checked_add(step.amount)?;
            let after = Standing { out: cell.standing.out, ..standing };
            let excess = after.beyond().checked_sub(beyond)?;
            cell.totals.excess = cell.totals.excess.checked_add(excess)?;
        }
        let most = self.policy().ceilings.rate_shares;
        self.traffic.admit(entry.at, entry.sequence, admitted, most);
        self.remember(entry, request);
        let state = if admitted.started() { State::Executing } else { State::Reserved };
        let deadline = request.within_ns.map(|within| entry.at.plus_nanos(within));
        self.deadlines.extend(deadline.map(|deadline| (deadline, request.awu)));
        if let Some(key) = &request.proposal.key {
            places::count_one(&mut self.open_of, key);
        }
        let open = OpenAwu {
            state,
            request: Arc::clone(request),
            granted: Arc::clone(admitted),
            admitted: entry.sequence,
            deadline,
            doubted_at: None,
        };
        self.open.insert(request.awu, open).is_none().then_some(())
    }

    /// What holds in the cell of a reservation, which is opened if it is new.
    fn cell_or_open(&mut self, step: &Reservation, at: Timestamp) -> Option<Standing> {
        if step.cell == self.next_cell() {
            let granted = self.with_grants(&step.key, Amount::ZERO, at);
            let limit = step.before.allocated.map(|allocated| allocated.checked_sub(granted));
            let limit = match limit {
                Some(limit) => Some(limit?),
                None => None,
            };
            self.cells.open(Cell::opened(step.key.clone(), limit, granted));
        }
        self.cell(step.cell).map(|cell| self.standing(cell, at))
    }

    fn remember(&mut self, entry: &Entry, request: &Admit) {
        let since = entry.at.minus_nanos(self.policy().remember_ns);
        self.remembered.take(entry.sequence, entry.at, request, since);
    }

    fn start(&mut self, awu: AwuId) -> Option<()> {
        let open = self.open.get_mut(&awu).filter(|open| open.state == State::Reserved)?;
        open.state = State::Executing;
        Some(())
    }

    fn extend(&mut self, awu: AwuId, deadline: Timestamp) -> Option<()> {
        let open = self.open.get_mut(&awu)?;
        let before = open.deadline.replace(deadline)?;
        self.deadlines.remove(&(before, awu));
        self.deadlines.insert((deadline, awu));
        Some(())
    }

    fn close(&mut self, awu: AwuId) -> Option<OpenAwu> {
        let open = self.open.remove(&awu)?;
        if let Some(deadline) = open.deadline {
            self.deadlines.remove(&(deadline, awu));
        }
        if let Some(key) = &open.proposal().key {
            places::count_one_less(&mut self.open_of, key);
        }
        Some(open)
    }

    fn release(&mut self, at: Timestamp, awu: AwuId) -> Option<()> {
        let open = self.close(awu).filter(|open| open.state == State::Reserved)?;
        for step in open.path() {
            let cell = self.cells.get_mut(step.cell)?;
            cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
            cell.totals.released = cell.totals.released.checked_add(step.amount)?;
        }
        self.traffic.release(at, open.admitted, &open.granted);
        Some(())
    }

    fn settle(&mut self, at: Timestamp, awu: AwuId, execution: &Execution, settled: &Settled) -> Option<()> {
        let open = self.close(awu).filter(|open| open.state != State::Reserved)?;
        if settled.actual.len() != open.path().len() {
            return None;
        }
        for (step, actual) in open.path().iter().zip(&settled.actual) {
            let cell = self.cells.get_mut(step.cell)?;
            match open.doubted_at {
                None => {
                    cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
                    cell.post(at, at, *actual)?;
                }
                Some(doubted_at) => {
                    cell.totals.in_doubt = cell.totals.in_doubt.checked_sub(step.amount)?;
                    cell.post(at, doubted_at, actual.checked_sub(step.amount)?)?;
                }
            }
            cell.totals.settled = cell.totals.settled.checked_add(step.amount)?;
            let overrun = actual.checked_sub(step.amount)?.max(Amount::ZERO);
            cell.totals.overrun = cell.totals.overrun.checked_add(overrun)?;
        }
        self.note_alerts(&settled.alerts)?;
        if open.doubted_at.is_none() {
            let most = self.policy().ceilings.rate_shares;
            self.traffic.settle(at, open.admitted, &open.granted, execution, settled, most);
        }
        Some(())
    }

    fn doubt(&mut self, at: Timestamp, awu: AwuId, alerts: &[Alert]) -> Option<()> {
        let open = self.open.get_mut(&awu).filter(|open| open.state == State::Executing)?;
        open.state = State::InDoubt;
        open.doubted_at = Some(at);
        if let Some(deadline) = open.deadline.take() {
            self.deadlines.remove(&(deadline, awu));
        }
        for step in open.granted.path() {
            let cell = self.cells.get_mut(step.cell)?;
            cell.standing.out = cell.standing.out.checked_sub(step.amount)?;
            cell.post(at, at, step.amount)?;
            cell.totals.in_doubt = cell.totals.in_doubt.checked_add(step.amount)?;
        }
        self.traffic.doubt(open.admitted, &open.granted);
        self.note_alerts(alerts)
    }

    fn correct(&mut self, at: Timestamp, correction: &Correction, alerts: &[Alert]) -> Option<()> {
        for Posting { cell, amount, charged_at } in &correction.postings {
            let cell = self.cells.get_mut(*cell)?;
            cell.post(at, *charged_at, *amount)?;
            cell.totals.corrected = cell.totals.corrected.checked_add(*amount)?;
            let up = (*amount).max(Amount::ZERO);
            cell.totals.corrected_up = cell.totals.corrected_up.checked_add(up)?;
        }
        self.note_alerts(alerts)
    }

    fn note_alerts(&mut self, alerts: &[Alert]) -> Option<()> {
        for alert in alerts {
            let cell = self.cells.get_mut(alert.cell)?;
            cell.alert(alert.percent);
        }
        Some(())
    }

    fn take_grant(&mut self, entry: &Entry, grant: &Arc<Grant>) -> Option<()> {
        let of_budget = |cell: &&mut Cell| {
            cell.key.is_of(&grant.budget, &grant.each) && !cell.key.window.is_over(entry.at)
        };
        for cell in self.cells.iter_mut().filter(of_budget) {
            cell.totals.granted = cell.totals.granted.checked_add(grant.amount)?;
        }
        self.grants.insert(entry.sequence, Arc::clone(grant));
        Some(())
    }

    fn end_grant(&mut self, number: u64, alerts: &[Alert]) -> Option<()> {
        self.grants.remove(&number)?;
        self.note_alerts(alerts)
    }
}
