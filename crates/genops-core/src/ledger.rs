//! The ledger: an ordered journal of entries, and the books that follow from it.
//!
//! [`decide`] holds all the rules and changes nothing. [`evolve`] is arithmetic alone and knows no rule, so
//! that a recovered ledger says what was acknowledged, whatever the rules have become since. How entries
//! are kept on a disk is not known here.

mod act;
mod aging;
mod alerts;
mod books;
mod cell;
mod cells;
mod entry;
mod idempotency;
mod kept;
mod settle;
mod traffic;

pub use act::{Act, Alert, Correction, Grant, Note, Posting, Reported, Revision};
pub use books::{Books, Mismatch, OpenAwu, evolve};
pub use cell::{Cell, CellId, Fit, Standing, Totals};
pub use cells::CellRange;
pub use entry::{
    Admit, BOOKS_VERSION, Command, ENGINE_VERSION, Entry, FORMAT_VERSION, Idempotency, Outcome, Reallocation,
    Rejection, Settled, Whose,
};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::admit::{self, Verdict};
use crate::amount::{Amount, Quantity};
use crate::awu::{AwuId, State};
use crate::policy::{InForce, Policy};
use crate::time::Timestamp;

/// Decides a command at the later of `wall` and the books' own time, and takes the outcome into the books.
/// The entry is what has to be kept.
///
/// # Errors
///
/// The command does not fit, and nothing has changed; or the books do not follow their own rules, which is
/// a bug: then nothing may be acknowledged any more.
pub fn apply(books: &mut Books, wall: Timestamp, command: Command) -> Result<Entry, ApplyError> {
    let at = wall.max(books.at());
    let outcome = decide(books, at, &command)?;
    let entry = Entry { sequence: books.sequence() + 1, at, command, outcome };
    evolve(books, &entry)?;
    Ok(entry)
}

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The command does not fit.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The books contradict themselves.
    #[error(transparent)]
    Broken(#[from] Mismatch),
}

/// What comes of a command, given the books and the time. Pure.
///
/// # Errors
///
/// A command that does not fit the AWU's state is rejected. A rejection is no outcome: it changes nothing
/// and no entry is written.
pub fn decide(books: &Books, at: Timestamp, command: &Command) -> Result<Outcome, Rejection> {
    match command {
        Command::AdoptPolicy(policy) => match policy.problem() {
            Some(problem) => Err(problem.into()),
            None if strands_a_grant(books, at, policy) => Err(Rejection::GrantHolds),
            None => Ok(adopt_policy(books, at, policy)),
        },
        Command::Admit(request) => {
            expect_new(books, at, request)?;
            Ok(match admit::admit(books, at, &request.proposal, request.starts) {
                Verdict::Admitted(admitted) => Outcome::Admitted(Arc::new(admitted)),
                Verdict::Refused(refused) => Outcome::Refused(Arc::new(refused)),
            })
        }
        Command::Start { awu } => {
            expect_state(books, *awu, State::Reserved)?;
            Ok(Outcome::Started)
        }
        Command::Extend { awu, within_ns } => {
            // Nobody loses time by being given more.
            let deadline = expect_deadline(books, *awu)?.max(at.plus_nanos(*within_ns));
            Ok(Outcome::Extended { deadline })
        }
        Command::Release { awu } => {
            expect_state(books, *awu, State::Reserved)?;
            Ok(Outcome::Released)
        }
        Command::Settle { awu, execution } => {
            expect_units(&execution.quantities)?;
            expect_steps(&execution.quantities)?;
            match expect_open(books, *awu)? {
                open if open.state == State::Reserved => {
                    Err(Rejection::WrongState { awu: *awu, state: open.state })
                }
                open => Ok(Outcome::Settled(settle::settle(books, at, open, execution))),
            }
        }
        Command::Resolve { awu, execution, act: _ } => {
            expect_units(&execution.quantities)?;
            expect_steps(&execution.quantities)?;
            let open = expect_state(books, *awu, State::InDoubt)?;
            Ok(Outcome::Settled(settle::settle(books, at, open, execution)))
        }
        Command::Orphan { awu } => give_up(books, at, *awu),
        Command::Expire { awu } => {
            let deadline = expect_deadline(books, *awu)?;
            if deadline <= at { give_up(books, at, *awu) } else { Err(Rejection::NotDue { awu: *awu }) }
        }
        Command::Correct(correction) => correct(books, at, correction),
        Command::Grant(grant) => expect_grant(books, at, grant).map(|()| Outcome::Granted),
        Command::Revoke { grant, act: _ } => match books.grant(*grant) {
            Some(found) if found.until > at => Ok(end_grant(books, at, *grant, found)),
            _ => Err(Rejection::NoGrant { number: *grant }),
        },
        Command::Lapse { grant } => match books.grant(*grant) {
            Some(found) if found.until <= at => Ok(end_grant(books, at, *grant, found)),
            Some(_) => Err(Rejection::GrantNotOver { number: *grant }),
            None => Err(Rejection::NoGrant { number: *grant }),
        },
        Command::Report(note) => report(books, note),
        Command::Erase { .. } => Ok(Outcome::Noted),
        Command::CloseCells { before, act: _ } => close_cells(books, at, *before),
    }
}

fn expect_open(books: &Books, awu: AwuId) -> Result<&OpenAwu, Rejection> {
    books.open_awu(awu).ok_or(Rejection::NotOpen { awu })
}

fn expect_state(books: &Books, awu: AwuId, expected: State) -> Result<&OpenAwu, Rejection> {
    let open = expect_open(books, awu)?;
    if open.state == expected { Ok(open) } else { Err(Rejection::WrongState { awu, state: open.state }) }
}

/// The deadline of an AWU that is reserved or executes.
fn expect_deadline(books: &Books, awu: AwuId) -> Result<Timestamp, Rejection> {
    let open = expect_open(books, awu)?;
    match open.state {
        State::InDoubt => Err(Rejection::WrongState { awu, state: State::InDoubt }),
        State::Reserved | State::Executing => open.deadline.ok_or(Rejection::NoDeadline { awu }),
    }
}

/// A request that has not been made before, whose facts hold.
fn expect_new(books: &Books, at: Timestamp, request: &Admit) -> Result<(), Rejection> {
    let caller = request.proposal.key.as_ref();
    if let Some(Idempotency { key, payload }) = &request.idempotency {
        let horizon = books.policy().remember_ns;
        match books.remembered(caller, key, at) {
            Some((sequence, known)) if known == *payload => return Err(Rejection::Remembered { sequence }),
            Some((sequence, _)) => return Err(Rejection::KeyConflict { sequence }),
            None if idempotency::made_at(key).is_some_and(|made| at.nanos_since(made) > horizon) => {
                return Err(Rejection::KeyTooOld);
            }
            None => {
                if let Some((most, whose)) = books.full_of_keys(caller, at) {
                    return Err(Rejection::TooManyKeys { most, whose });
                }
            }
        }
    }
    if books.open_awu(request.awu).is_some() {
        return Err(Rejection::AlreadyOpen { awu: request.awu });
    }
    if let Some((most, whose)) = books.full_of_awus(caller) {
        return Err(Rejection::TooManyOpen { most, whose });
    }
    expect_units(&request.proposal.quantities)?;
    expect_assessed(books, request)
}

fn expect_units(quantities: &[Quantity]) -> Result<(), Rejection> {
    let is_twice = |(place, quantity): (usize, &Quantity)| {
        let mut before = quantities.iter().take(place);
        before.any(|other| other.unit == quantity.unit).then_some(quantity.unit)
    };
    quantities.iter().enumerate().find_map(is_twice).map_or(Ok(()), |unit| Err(Rejection::UnitTwice(unit)))
}

/// What somebody says to have used has to be something that can be charged. Too much in a proposal is refused instead.
fn expect_steps(quantities: &[Quantity]) -> Result<(), Rejection> {
    let too_much = quantities.iter().find(|quantity| !quantity.amount.is_step());
    too_much.map_or(Ok(()), |quantity| Err(Rejection::TooMuch(quantity.unit)))
}

/// Nobody holds the AWU any more: what was not started is released, what was may be owed for.
fn give_up(books: &Books, at: Timestamp, awu: AwuId) -> Result<Outcome, Rejection> {
    let open = expect_open(books, awu)?;
    match open.state {
        State::Reserved => Ok(Outcome::Released),
        State::Executing => {
            let postings: Vec<_> = open.path().iter().map(|step| (step.cell, step.amount)).collect();
            Ok(Outcome::InDoubt { alerts: alerts::of_postings(books, at, &postings) })
        }
        State::InDoubt => Err(Rejection::WrongState { awu, state: State::InDoubt }),
    }
}

/// Of AWUs that have ended the books know nothing: see [`hold`](crate::audit::hold).
fn report(books: &Books, Note { awu, decided, attribution, .. }: &Note) -> Result<Outcome, Rejection> {
    match books.open_awu(*awu).filter(|open| open.admitted == *decided) {
        Some(open) if open.proposal().attribution != *attribution => {
            Err(Rejection::OfSomebodyElse { awu: *awu })
        }
        _ => Ok(Outcome::Noted),
    }
}

fn correct(books: &Books, at: Timestamp, correction: &Correction) -> Result<Outcome, Rejection> {
    if books.open_awu(correction.awu).is_some() {
        return Err(Rejection::StillOpen { awu: correction.awu });
    }
    let postings = &correction.postings;
    let mut sums: Vec<(CellId, Amount)> = Vec::new();
    for (place, posting) in postings.iter().enumerate() {
        let mut before = postings.iter().take(place).filter(|other| other.cell == posting.cell);
        let is_apart = |other: &Posting| {
            let take_away = posting.amount.is_negative() && other.amount.is_negative();
            take_away && other.charged_at != posting.charged_at
        };
        if !before.all(is_apart) {
            return Err(Rejection::CorrectionMisfits);
        }
        match sums.iter_mut().find(|(cell, _)| *cell == posting.cell) {
            None => sums.push((posting.cell, posting.amount)),
            Some((_, sum)) => {
                *sum = sum.checked_add(posting.amount).ok_or(Rejection::CorrectionMisfits)?;
            }
        }
    }
    if let Some((cell, _)) = sums.iter().find(|(cell, _)| books.is_closed(*cell)) {
        return Err(Rejection::CellClosed { cell: *cell });
    }
    let fits =
        |(cell, amount): &(CellId, Amount)| books.cell(*cell).is_some_and(|cell| cell.can_correct(*amount));
    if sums.is_empty() || !sums.iter().all(fits) || contradicts_itself(books, correction, &sums) {
        return Err(Rejection::CorrectionMisfits);
    }
    Ok(Outcome::Corrected { alerts: alerts::of_postings(books, at, &sums) })
}

/// Whether a correction says something else of the accounting unit than it posts there, or what nobody can be charged, or
/// that it is of an AWU which was not admitted yet. The books know nothing of AWUs that have ended: whether the rest is so
/// is held against the AWU's record before ([`hold`](crate::audit::hold)), and seen by who follows the journal
/// ([`crate::audit`]).
fn contradicts_itself(books: &Books, correction: &Correction, sums: &[(CellId, Amount)]) -> bool {
    let Revision { unit, before, actual, .. } = correction.revision;
    let change = actual.checked_sub(before);
    let of_unit = |cell: CellId| books.cell(cell).is_some_and(|cell| cell.key.unit == unit);
    let is_posted = |(cell, sum): &(CellId, Amount)| of_unit(*cell) && Some(*sum) == change;
    let is_told = change == Some(Amount::ZERO) || sums.iter().any(is_posted);
    let is_charge = !before.is_negative() && !actual.is_negative();
    !is_told || !is_charge || !(1..=books.sequence()).contains(&correction.admitted)
}

/// Every admission looks at the grants that are kept.
const GRANTS_MAX: usize = 1_000;

fn expect_grant(books: &Books, at: Timestamp, grant: &Grant) -> Result<(), Rejection> {
    let misfits = |what| Err(Rejection::GrantMisfits(what));
    if let Some((sequence, _)) = books.grants(at).find(|(_, holding)| *holding == grant) {
        return Err(Rejection::GrantHeld { sequence });
    }
    match books.in_force().budget(&grant.budget, at) {
        None => Err(Rejection::GrantOfNoBudget),
        Some(_) if grant.amount <= Amount::ZERO => misfits("it has to be more than nothing"),
        Some(_) if !grant.amount.is_step() => misfits("it has to be at most 1000000000000000"),
        Some(_) if grant.until <= at => misfits("it has ended before it begins"),
        Some((budget, _)) if !grant.each.is_empty() && !budget.is_divided_as(&grant.each) => {
            Err(Rejection::GrantOfNoShare)
        }
        Some(_) if books.all_grants().count() >= GRANTS_MAX => {
            misfits("a thousand grants hold already; let some of them end first")
        }
        Some((budget, _)) if !books.can_grant(grant, budget.limit) => {
            misfits("a cell would have more than can be counted")
        }
        Some(_) => Ok(()),
    }
}

/// Whether a grant holds for a budget that the policy does not have, or counts in another unit, or for a share of one that
/// it divides by other facets: what was granted in the one would be had in the other.
fn strands_a_grant(books: &Books, at: Timestamp, new: &Policy) -> bool {
    let of_name: HashMap<_, _> = new.budgets.iter().map(|budget| (&budget.name, budget)).collect();
    let goes_on = |grant: &Grant| {
        let old = books.in_force().budget(&grant.budget, at).map(|(budget, _)| budget);
        match (old, of_name.get(&grant.budget)) {
            (Some(old), Some(new)) => old.unit == new.unit && (grant.each.is_empty() || old.each == new.each),
            (old, new) => old.is_none() && new.is_none(),
        }
    };
    !books.grants(at).all(|(_, grant)| goes_on(grant))
}

/// A new policy takes effect at once: the cells of windows that are not over get its limits.
fn adopt_policy(books: &Books, at: Timestamp, policy: &Arc<Policy>) -> Outcome {
    let in_force = InForce::new(Arc::clone(policy));
    let (mut reallocated, mut alerts) = (Vec::new(), Vec::new());
    // There may be a million cells, and nobody decides meanwhile: what is of a budget is worked out once.
    let with_grants = |(name, running)| (name, (running, books.kept_grants_of(name)));
    let running: HashMap<_, _> = in_force.running(at).into_iter().map(with_grants).collect();
    for (id, cell) in books.cells_from(CellId::default()) {
        let Some(((budget, window), grants)) = cell.key.budget.as_ref().and_then(|name| running.get(name))
        else {
            continue;
        };
        if !cell.key.is_current(budget, *window) {
            continue;
        }
        if cell.standing.allocated != Some(budget.limit) {
            reallocated.push(Reallocation { cell: id, allocated: budget.limit });
        }
        alerts::of_policy(&mut alerts, at, (id, cell), budget, grants);
    }
    Outcome::PolicyAdopted { version: in_force.version(), reallocated, alerts }
}

/// A grant ends, by its time or before.
fn end_grant(books: &Books, at: Timestamp, number: u64, grant: &Grant) -> Outcome {
    Outcome::GrantEnded { alerts: alerts::of_end(books, at, number, grant) }
}

/// Which cells are closed in which nothing counts any more and nothing was reserved or charged since `before`. An open AWU
/// will be charged in the cells of its path, also where it has reserved nothing in one.
fn close_cells(books: &Books, at: Timestamp, before: Timestamp) -> Result<Outcome, Rejection> {
    if before > at {
        return Err(Rejection::ClosesAhead { before });
    }
    let open = books.open_awus();
    let held: HashSet<_> = open.iter().flat_map(|(_, open)| open.path()).map(|step| step.cell).collect();
    let is_left = |(id, cell): &(CellId, &Cell)| cell.is_over(before, at) && !held.contains(id);
    let left = books.cells_from(CellId::default()).filter(is_left);
    let cells = CellRange::of(left.map(|(id, _)| id));
    if cells.is_empty() { Err(Rejection::NothingToClose) } else { Ok(Outcome::CellsClosed { cells }) }
}

/// What was found about conditions and content holds for the policy that it was found under.
fn expect_assessed(books: &Books, request: &Admit) -> Result<(), Rejection> {
    let policy = books.policy();
    let is_fresh = match request.assessed_under {
        Some(version) => version == books.policy_version(),
        None => policy.conditions.is_empty() && policy.contents.is_empty(),
    };
    if is_fresh { Ok(()) } else { Err(Rejection::AssessedUnderAnotherPolicy) }
}
