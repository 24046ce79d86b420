//! The ledger: an ordered journal of entries, and the books that follow from it.
//!
//! [`decide`] holds all the rules and changes nothing. [`evolve`] is arithmetic alone and knows no rule, so
//! that a recovered ledger says what was acknowledged, whatever the rules have become since. How entries
//! are kept on a disk is not known here.

mod books;
mod entry;

pub use books::{Books, Cell, CellId, Mismatch, OpenAwu, Standing, Totals, evolve};
pub use entry::{
    Admit, Command, ENGINE_VERSION, Entry, FORMAT_VERSION, Outcome, Reallocation, Rejection, Settled,
};

use std::sync::Arc;

use crate::admit::{self, Verdict};
use crate::amount::{Amount, Unit};
use crate::awu::{AwuId, Execution, State, Used};
use crate::budget::CellKey;
use crate::policy::Policy;
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
            None => Ok(adopt_policy(books, at, policy)),
        },
        Command::Admit(request) => {
            if books.open_awu(request.awu).is_some() {
                return Err(Rejection::AlreadyOpen { awu: request.awu });
            }
            Ok(match admit::admit(books, at, &request.proposal, request.starts) {
                Verdict::Admitted(admitted) => Outcome::Admitted(Arc::new(admitted)),
                Verdict::Refused(refused) => Outcome::Refused(Arc::new(refused)),
            })
        }
        Command::Start { awu } => {
            expect_state(books, *awu, State::Reserved)?;
            Ok(Outcome::Started)
        }
        Command::Release { awu } => {
            expect_state(books, *awu, State::Reserved)?;
            Ok(Outcome::Released)
        }
        Command::Settle { awu, execution } => {
            let open = expect_state(books, *awu, State::Executing)?;
            Ok(Outcome::Settled(settle(books, open, execution)))
        }
        Command::Orphan { awu } => {
            let open = books.open_awu(*awu).ok_or(Rejection::NotOpen { awu: *awu })?;
            match open.state {
                State::Reserved => Ok(Outcome::Released),
                State::Executing => Ok(Outcome::InDoubt),
                State::InDoubt => Err(Rejection::WrongState { awu: *awu, state: State::InDoubt }),
            }
        }
    }
}

fn expect_state(books: &Books, awu: AwuId, expected: State) -> Result<&OpenAwu, Rejection> {
    let open = books.open_awu(awu).ok_or(Rejection::NotOpen { awu })?;
    if open.state == expected { Ok(open) } else { Err(Rejection::WrongState { awu, state: open.state }) }
}

/// A new policy takes effect at once: the cells of windows that are not over get its limits.
fn adopt_policy(books: &Books, at: Timestamp, policy: &Policy) -> Outcome {
    let mut reallocated = Vec::new();
    for budget in &policy.budgets {
        let key = CellKey::of(budget, at);
        if let Some((id, cell)) = books.find(&key)
            && cell.standing.allocated != Some(budget.limit)
        {
            reallocated.push(Reallocation { cell: id, allocated: budget.limit });
        }
    }
    Outcome::PolicyAdopted { version: policy.version(), reallocated }
}

/// What the execution is charged in each cell of the AWU's path. Where its use is not known, or does not
/// fit into the books, that is the reservation, and the record is incomplete.
fn settle(books: &Books, open: &OpenAwu, execution: &Execution) -> Settled {
    // What was never sent has used nothing, whatever else is said of it.
    let used = if execution.end.was_sent() { execution.used } else { Used::Nothing };
    match measured(books, open, used) {
        Some(actual) => Settled { actual, incomplete: matches!(used, Used::Counted(_)) },
        None => {
            let reserved = open.path.iter().map(|(_, amount)| *amount).collect();
            Settled { actual: reserved, incomplete: true }
        }
    }
}

/// The actual amounts by what was reported; `None` if one of them cannot be counted.
fn measured(books: &Books, open: &OpenAwu, used: Used) -> Option<Vec<Amount>> {
    let tokens = match used {
        Used::Reported(tokens) | Used::Counted(tokens) => tokens,
        Used::Nothing => return Some(vec![Amount::ZERO; open.path.len()]),
        Used::Unknown => return None,
    };
    let in_unit = |unit| match unit {
        Unit::Usd => open.price.as_ref()?.cost(tokens),
        Unit::Tokens => tokens.total().map(Amount::from_whole),
    };
    let mut actual = Vec::with_capacity(open.path.len());
    for (cell, reserved) in &open.path {
        let cell = books.cell(*cell)?;
        let amount = in_unit(cell.key.unit).filter(|amount| *amount >= Amount::ZERO)?;
        cell.can_settle(*reserved, amount).then_some(())?;
        actual.push(amount);
    }
    Some(actual)
}
