//! The ledger: an ordered journal of entries, and the books that follow from it.
//!
//! [`decide`] holds all the rules and changes nothing. [`evolve`] is arithmetic alone and knows no rule, so
//! that a recovered ledger says what was acknowledged, whatever the rules have become since. How entries
//! are kept on a disk is not known here.

mod books;
mod entry;
mod traffic;

pub use books::{Books, Cell, CellId, Mismatch, OpenAwu, Standing, Totals, evolve};
pub use entry::{
    Admit, Command, ENGINE_VERSION, Entry, FORMAT_VERSION, Outcome, Reallocation, Rejection, Settled,
};

use std::sync::Arc;

use crate::admit::{self, Reservation, Verdict};
use crate::amount::{Amount, Unit};
use crate::awu::{AwuId, End, Execution, State, Used};
use crate::budget::CellKey;
use crate::circuit::CircuitStep;
use crate::policy::Policy;
use crate::price::Tokens;
use crate::rate::{RateLimit, RateShift};
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
            expect_assessed(books, request)?;
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
            Ok(Outcome::Settled(settle(books, at, open, execution)))
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

/// What was found about conditions and content holds for the policy that it was found under.
fn expect_assessed(books: &Books, request: &Admit) -> Result<(), Rejection> {
    let policy = books.policy();
    let is_fresh = match request.assessed_under {
        Some(version) => version == books.policy_version(),
        None => policy.conditions.is_empty() && policy.contents.is_empty(),
    };
    if is_fresh { Ok(()) } else { Err(Rejection::AssessedUnderAnotherPolicy) }
}

/// What the execution is charged in each cell of the AWU's path. Where its use is not known, has no price, or does not
/// fit into the books, that is the cell's reservation, and the record is incomplete.
fn settle(books: &Books, at: Timestamp, open: &OpenAwu, execution: &Execution) -> Settled {
    // What was never sent has used nothing, whatever else is said of it.
    let used = if execution.end.was_sent() { execution.used } else { Used::Nothing };
    let tokens = match used {
        Used::Reported(tokens) | Used::Counted(tokens) => Some(tokens),
        Used::Nothing => Some(Tokens::default()),
        Used::Unknown => None,
    };
    let measured: Vec<_> = open.path().iter().map(|step| measured(books, open, step, tokens?)).collect();
    let is_whole = measured.iter().all(Option::is_some);
    let charged = measured.into_iter().zip(open.path()).map(|(actual, step)| actual.unwrap_or(step.amount));
    Settled {
        actual: charged.collect(),
        incomplete: !is_whole || matches!(used, Used::Counted(_)),
        rates: tokens.map(|tokens| shifts(books, at, open, tokens)).unwrap_or_default(),
        circuit: circuit(books, at, open, execution.end),
    }
}

/// The actual amount in one cell by what was reported; `None` if it cannot be counted.
fn measured(books: &Books, open: &OpenAwu, step: &Reservation, tokens: Tokens) -> Option<Amount> {
    let amount = used_in(step.key.unit, open, tokens).filter(|amount| *amount >= Amount::ZERO)?;
    books.cell(step.cell)?.can_settle(step.amount, amount).then_some(amount)
}

fn used_in(unit: Unit, open: &OpenAwu, tokens: Tokens) -> Option<Amount> {
    match unit {
        // What was nothing costs nothing, also where no price is known.
        Unit::Usd if tokens == Tokens::default() => Some(Amount::ZERO),
        Unit::Usd => open.proposal().price.as_ref()?.cost(tokens),
        Unit::Tokens => tokens.total().map(Amount::from_whole),
    }
}

/// By how much the rates move that the AWU took a stretch of, now that it is known what it used.
fn shifts(books: &Books, at: Timestamp, open: &OpenAwu, tokens: Tokens) -> Vec<RateShift> {
    let mut shifts = Vec::new();
    for (key, stretch) in books.stretches(open) {
        let Some(RateLimit::Flow(flow)) = books.in_force().rate(&key.rule).map(|rule| &rule.limit) else {
            continue;
        };
        let reserved = admit::cost_of(flow.measure, open.proposal(), open.proposal().bound);
        let actual = flow.measure.unit().and_then(|unit| used_in(unit, open, tokens));
        if let (Some(reserved), Some(actual)) = (reserved, actual) {
            let nanos =
                flow.shift(at, stretch, reserved, actual).min(flow.debt_left(at, books.flow_until(key)));
            shifts.push(RateShift { key: key.clone(), nanos });
        }
    }
    shifts
}

/// What the end of an execution does to the circuit of its provider, where there is one and it changes.
fn circuit(books: &Books, at: Timestamp, open: &OpenAwu, end: End) -> Option<CircuitStep> {
    let provider = &open.proposal().provider;
    let rule = books.in_force().circuit(provider)?;
    let before = books.circuit(provider);
    let after = rule.after(at, before, end);
    (after != before).then(|| CircuitStep { provider: provider.clone(), before, after, tries_again: None })
}
