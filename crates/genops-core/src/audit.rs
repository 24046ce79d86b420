//! The invariants I1 to I6, computed a second time and in another way than the books do.
//!
//! An [`Auditor`] follows the journal beside the books: it keeps its own list of AWUs, sums from the list,
//! and holds the result against the cells that the entry touched. It corrects nothing. What it keeps grows
//! with the open AWUs and the cells, and by about 100 bytes for each AWU that has ended: what is said of it later has to
//! be so (`audit/ended.rs`).

mod ended;
mod tally;

use std::collections::HashMap;
use std::sync::Arc;

use genops_spec::{Decision, ReasonCode};

use crate::admit::{Admitted, Reservation};
use crate::amount::Amount;
use crate::awu::{AwuId, State};
use crate::budget::CellKey;
use crate::finding::Question;
use crate::ledger::{
    Admit, Books, CellId, CellRange, Command, Correction, Entry, Grant, Note, Outcome, Posting, Revision,
    Settled,
};
use crate::period::Window;
use crate::time::Timestamp;
use ended::{Ended, Remains, Settlement};
use tally::{Moved, Tally, sum};

pub use ended::hold;

/// Follows a journal and says where it breaks an invariant.
#[derive(Debug, Default)]
pub struct Auditor {
    open: HashMap<AwuId, Life>,
    ended: Ended,
    cells: HashMap<CellId, Tally>,
    grants: HashMap<u64, Arc<Grant>>,
    /// The last entry that was not followed: of AWUs that ended by then nothing is known.
    unknown_through: u64,
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
    request: Arc<Admit>,
    admitted: Arc<Admitted>,
    /// The entry that admitted it.
    sequence: u64,
    doubted_at: Option<Timestamp>,
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
            (Command::Admit(request), Outcome::Admitted(admitted)) => self
                .admitted(entry, request, admitted, books)
                .map_err(|(invariant, what)| breach(invariant, what))?,
            (Command::Admit(request), _) => {
                self.expect_new(request.awu).map_err(|(invariant, what)| breach(invariant, what))?;
                self.ended.put(entry.sequence, Remains::uncharged(request));
                Vec::new()
            }
            (Command::AdoptPolicy(_), Outcome::PolicyAdopted { reallocated, .. }) => {
                reallocated.iter().map(|change| change.cell).collect()
            }
            (Command::AdoptPolicy(_), _) => Vec::new(),
            (Command::Correct(correction), Outcome::Corrected { .. }) => {
                self.check_correction(entry.at, correction)
                    .map_err(|(invariant, what)| breach(invariant, what))?;
                let no_sum = || breach("I2", "the correction has no sum".to_owned());
                self.corrected(entry.at, correction).ok_or_else(no_sum)?
            }
            (Command::Grant(grant), Outcome::Granted) => self
                .granted(entry, grant, books)
                .ok_or_else(|| breach("I4", "the grants have no sum".to_owned()))?,
            (Command::Revoke { grant, .. } | Command::Lapse { grant }, _) => {
                self.grants.remove(grant);
                Vec::new()
            }
            (Command::Report(note), _) => {
                self.check_report(note).map_err(|what| breach("I5", what))?;
                Vec::new()
            }
            (Command::CloseCells { before, .. }, Outcome::CellsClosed { cells }) => {
                self.closed(entry.at, *before, cells, books).map_err(|what| breach("I6", what))?;
                Vec::new()
            }
            (
                Command::CloseCells { .. } | Command::Correct(_) | Command::Grant(_) | Command::Erase { .. },
                _,
            ) => Vec::new(),
            (
                Command::Start { awu }
                | Command::Extend { awu, .. }
                | Command::Release { awu }
                | Command::Settle { awu, .. }
                | Command::Orphan { awu }
                | Command::Expire { awu }
                | Command::Resolve { awu, .. },
                outcome,
            ) => self.moved(entry.at, *awu, outcome).map_err(|(invariant, what)| breach(invariant, what))?,
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
        for (id, _) in books.cells_from(CellId::default()) {
            self.check(id, books).map_err(|(invariant, what)| breach(invariant, what))?;
            if self.cells.get(&id).is_some_and(|tally| !tally.adds_up()) {
                return Err(breach("I1", format!("cell {}: the open AWUs do not add up", id.index())));
            }
        }
        let cells = books.cells().len();
        if cells != self.cells.len() {
            return Err(breach(
                "I1",
                format!("the books have {cells} cells, the journal {}", self.cells.len()),
            ));
        }
        let open = books.open_awus().len();
        if open == self.open.len() {
            Ok(())
        } else {
            Err(breach("I5", format!("the books have {open} open AWUs, the journal {}", self.open.len())))
        }
    }

    /// An audit that begins with books that are known to be right: those of a snapshot.
    #[must_use]
    pub fn over(books: &Books) -> Self {
        let mut auditor = Self { unknown_through: books.sequence(), ..Self::default() };
        for (id, cell) in books.cells_from(CellId::default()) {
            auditor.cells.insert(id, Tally::of(cell));
        }
        for (awu, open) in books.open_awus() {
            for step in open.path() {
                let tally = auditor.cells.entry(step.cell).or_default();
                let amounts =
                    if open.state == State::InDoubt { &mut tally.doubted } else { &mut tally.outstanding };
                amounts.insert(awu, step.amount);
            }
            let life = Life {
                state: open.state,
                request: Arc::clone(&open.request),
                admitted: Arc::clone(&open.granted),
                sequence: open.admitted,
                doubted_at: open.doubted_at,
            };
            auditor.open.insert(awu, life);
        }
        auditor.grants = books.all_grants().map(|(sequence, grant)| (sequence, Arc::clone(grant))).collect();
        auditor
    }

    /// An identity is of one AWU at a time. Once that has ended, whoever chooses identities may use it again.
    fn expect_new(&self, awu: AwuId) -> Result<(), Finding> {
        if self.open.contains_key(&awu) {
            return Err(("I5", format!("AWU {awu} is decided while it is open")));
        }
        Ok(())
    }

    fn admitted(
        &mut self,
        entry: &Entry,
        request: &Arc<Admit>,
        admitted: &Arc<Admitted>,
        books: &Books,
    ) -> Result<Vec<CellId>, Finding> {
        let (at, awu) = (entry.at, request.awu);
        self.expect_new(awu)?;
        for step in admitted.path() {
            let lent = self.lent(at, &step.key);
            let is_new = !self.cells.contains_key(&step.cell);
            let cell = self.cells.entry(step.cell).or_default();
            if is_new {
                cell.granted = lent.ok_or_else(|| ("I4", format!("AWU {awu}: no sum")))?;
                cell.window = Some(step.key.window);
            }
            cell.pass_time(at);
            cell.touched_at = cell.touched_at.max(at);
            if let Some(allocated) = step.before.allocated {
                let limit = books.cell(step.cell).and_then(|cell| cell.standing.allocated);
                if sum([limit, lent]).unwrap_or(Amount::MAX) != allocated {
                    let what =
                        format!("AWU {awu} was given {allocated}, which is not the limit and the grants");
                    return Err(("I3", what));
                }
                let after = sum([Some(cell.out), cell.used(), Some(step.amount)]);
                if step.amount > Amount::ZERO && after.is_none_or(|after| after > allocated) {
                    if !passes_on_purpose(admitted, step) {
                        let what = format!("AWU {awu} reserves {} beyond the limit {allocated}", step.amount);
                        return Err(("I3", what));
                    }
                    cell.pass(allocated, after, step.amount)
                        .ok_or_else(|| ("I4", format!("AWU {awu}: no sum")))?;
                }
            }
            cell.admit(awu, step.amount).ok_or_else(|| ("I6", format!("AWU {awu}: no sum")))?;
        }
        let life = Life {
            state: if admitted.started() { State::Executing } else { State::Reserved },
            request: Arc::clone(request),
            admitted: Arc::clone(admitted),
            sequence: entry.sequence,
            doubted_at: None,
        };
        self.open.insert(awu, life);
        Ok(admitted.path().iter().map(|step| step.cell).collect())
    }

    /// The sum of the grants that a cell has at `at`.
    fn lent(&self, at: Timestamp, key: &CellKey) -> Option<Amount> {
        let holding = self.grants.values().filter(|grant| {
            grant.until > at && key.is_of(&grant.budget, &grant.each) && !key.window.is_over(at)
        });
        sum(holding.map(|grant| Some(grant.amount)))
    }

    fn granted(&mut self, entry: &Entry, grant: &Arc<Grant>, books: &Books) -> Option<Vec<CellId>> {
        let mut touched = Vec::new();
        for (id, cell) in books.cells_from(CellId::default()) {
            if cell.key.is_of(&grant.budget, &grant.each) && !cell.key.window.is_over(entry.at) {
                let tally = self.cells.entry(id).or_default();
                tally.granted = tally.granted.checked_add(grant.amount)?;
                touched.push(id);
            }
        }
        self.grants.insert(entry.sequence, Arc::clone(grant));
        Some(touched)
    }

    /// What a correction says has to be true of the AWU. Of one that ended before what was followed, nobody can tell.
    fn check_correction(&mut self, at: Timestamp, correction: &Correction) -> Result<(), Finding> {
        let Correction { awu, admitted, .. } = correction;
        if self.open.contains_key(awu) {
            return Err(("I5", format!("AWU {awu} is corrected while it is open")));
        }
        match self.ended.correct(at, correction) {
            Some(checked) => checked,
            None if *admitted <= self.unknown_through => Ok(()),
            None => Err(("I5", format!("AWU {awu} is corrected, and entry {admitted} did not admit it"))),
        }
    }

    /// A report is of an AWU that was decided, and of whom it belongs to.
    fn check_report(&self, Note { awu, decided, attribution, .. }: &Note) -> Result<(), String> {
        let open = self.open.get(awu).filter(|life| life.sequence == *decided);
        let of_open = open.map(|life| life.request.proposal.attribution == *attribution);
        match of_open.or_else(|| self.ended.is_of(*decided, *awu, attribution)) {
            Some(true) => Ok(()),
            Some(false) => Err(format!(
                "a report is of AWU {awu}, and entry {decided} decided another one, or for others"
            )),
            None if *decided <= self.unknown_through => Ok(()),
            None => Err(format!("AWU {awu} is reported of, and entry {decided} did not decide it")),
        }
    }

    fn corrected(&mut self, at: Timestamp, correction: &Correction) -> Option<Vec<CellId>> {
        for Posting { cell, amount, charged_at } in &correction.postings {
            let tally = self.cells.get_mut(cell)?;
            tally.corrected = tally.corrected.checked_add(*amount)?;
            tally.corrected_up = tally.corrected_up.checked_add((*amount).max(Amount::ZERO))?;
            tally.post(at, *charged_at, *amount)?;
        }
        Some(correction.postings.iter().map(|posting| posting.cell).collect())
    }

    /// Drops what is known of cells that were closed. They were held against the books when they were last touched.
    fn closed(
        &mut self,
        at: Timestamp,
        before: Timestamp,
        cells: &[CellRange],
        books: &Books,
    ) -> Result<(), String> {
        for id in cells.iter().flat_map(|range| range.numbers()) {
            let number = id.index();
            let mut tally =
                self.cells.remove(&id).ok_or_else(|| format!("cell {number} is closed, and is none"))?;
            tally.pass_time(at);
            if sum(tally.leaving.values().copied().map(Some)) != Some(Amount::ZERO) {
                return Err(format!("cell {number} is closed while its window counts something"));
            }
            let is_over = match tally.window {
                Some(Window::Rolling { .. }) => tally.touched_at < before,
                window => window.is_some_and(|window| window.is_over(before)),
            };
            if !is_over {
                return Err(format!("cell {number} is closed by {before}, and was not over then"));
            }
            if !tally.outstanding.is_empty() || !tally.doubted.is_empty() {
                return Err(format!("cell {number} is closed while an AWU is open in it"));
            }
            if books.cell(id).is_some() {
                return Err(format!("cell {number} is closed and still in the books"));
            }
        }
        Ok(())
    }

    fn moved(&mut self, at: Timestamp, awu: AwuId, outcome: &Outcome) -> Result<Vec<CellId>, Finding> {
        let of_life = |what: String| ("I5", format!("AWU {awu} {what}"));
        let life = self.open.get_mut(&awu).ok_or_else(|| of_life("is not open".to_owned()))?;
        let (from, to): (&[State], _) = match outcome {
            Outcome::Started => (&[State::Reserved], Some(State::Executing)),
            Outcome::Extended { .. } => (&[State::Reserved, State::Executing], Some(life.state)),
            Outcome::Released => (&[State::Reserved], None),
            Outcome::Settled(_) => (&[State::Executing, State::InDoubt], None),
            Outcome::InDoubt { .. } => (&[State::Executing], Some(State::InDoubt)),
            _ => return Err(of_life("cannot come to this outcome".to_owned())),
        };
        if !from.contains(&life.state) {
            return Err(of_life(format!("cannot come to this from {}", life.state.as_str())));
        }
        let no_sum = || of_life("has no sum".to_owned());
        let path = life.admitted.path();
        for (position, step) in path.iter().enumerate() {
            let tally = self.cells.entry(step.cell).or_default();
            let doubted_at = life.doubted_at;
            let moved = Moved { awu, at, doubted_at, reserved: step.amount, position };
            tally.follow(&moved, outcome).ok_or_else(no_sum)?;
        }
        let touched = path.iter().map(|step| step.cell).collect();
        if let Some(state) = to {
            life.state = state;
            life.doubted_at = (state == State::InDoubt).then_some(at);
            return Ok(touched);
        }
        let remains = match outcome {
            Outcome::Settled(settled) => life.settled(at, awu, settled)?.ok_or_else(no_sum)?,
            _ => Remains::uncharged(&life.request),
        };
        let decided = life.sequence;
        self.open.remove(&awu);
        self.ended.put(decided, remains);
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
        same("I2", "what the window has left", cell.totals.aged, Some(tally.left))?;
        same("I2", "corrections", cell.totals.corrected, Some(tally.corrected))?;
        same("I4", "excess", cell.totals.excess, Some(tally.excess))?;
        same("I4", "granted", cell.totals.granted, Some(tally.granted))?;
        same("I6", "admitted", cell.totals.admitted, Some(tally.admitted))?;
        let parts = [tally.settled, tally.released, tally.doubt, tally.out].map(Some);
        same("I6", "settled + released + in doubt + outstanding", cell.totals.admitted, sum(parts))?;
        let Some(allocated) = cell.standing.allocated else { return Ok(()) };
        // A bound that cannot be counted is above everything that can.
        let more = [tally.overrun, cell.totals.cut, tally.excess, tally.granted, tally.corrected_up];
        let Some(bound) = sum([allocated].into_iter().chain(more).map(Some)) else { return Ok(()) };
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

impl Life {
    /// What remains of it once it is settled; `None` where that has no sum.
    fn settled(&self, at: Timestamp, awu: AwuId, settled: &Settled) -> Result<Option<Remains>, Finding> {
        let revision = || {
            let (position, step) = self.admitted.accounting()?;
            Some(Revision {
                attribution: self.request.proposal.attribution.clone(),
                unit: step.key.unit,
                reserved: step.amount,
                before: step.amount,
                actual: *settled.actual.get(position)?,
            })
        };
        let doubted_at = self.doubted_at;
        if settled.late.as_deref() != doubted_at.and_then(|_| revision()).as_ref() {
            let what = "what the settlement says that it was charged before is not so";
            return Err(("I2", format!("AWU {awu}: {what}")));
        }
        let settlement = Settlement { at, doubted_at, actual: &settled.actual };
        Ok(Remains::settled(&self.request, &self.admitted, &settlement))
    }
}

/// Whether the limit of a reservation was passed on purpose: a finding says that the budget is only observed, or lends.
fn passes_on_purpose(admitted: &Admitted, step: &Reservation) -> bool {
    let mut findings = admitted.ruling().findings.iter();
    findings.any(|finding| {
        let is_passed = finding.is_observed || finding.said == Decision::Warning(ReasonCode::BudgetExceeded);
        finding.question == Question::Room && is_passed && finding.rule == step.key.budget
    })
}
