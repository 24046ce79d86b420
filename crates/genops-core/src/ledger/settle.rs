//! What an execution is charged, cell by cell.
//!
//! Pure: it reads the books and changes nothing.

use super::act::Revision;
use super::alerts;
use super::books::{Books, OpenAwu};
use super::entry::Settled;
use crate::admit::{self, Reservation};
use crate::amount::{Amount, Unit};
use crate::awu::{End, Execution, State, Used};
use crate::circuit::CircuitStep;
use crate::price::Tokens;
use crate::rate::{RateLimit, RateShift};
use crate::time::Timestamp;

/// What the execution is charged in each cell of the AWU's path. Where its use is not known, has no price, or does not
/// fit into the books, that is the cell's reservation, and the record is incomplete.
pub fn settle(books: &Books, at: Timestamp, open: &OpenAwu, execution: &Execution) -> Settled {
    // What was never sent has used nothing, whatever else is said of it.
    let used = if execution.end.was_sent() { execution.used } else { Used::Nothing };
    let measure = |step: &Reservation| {
        let amount = used_in(step.key.unit, open, execution, used)?;
        let fits = books.cell(step.cell)?.can_settle(step.amount, amount);
        (amount >= Amount::ZERO && fits).then_some(amount)
    };
    let measured: Vec<_> = open.path().iter().map(measure).collect();
    let is_whole = measured.iter().all(Option::is_some);
    let charged = measured.into_iter().zip(open.path()).map(|(actual, step)| actual.unwrap_or(step.amount));
    let actual: Vec<_> = charged.collect();
    let is_late = open.state == State::InDoubt;
    let change = |(step, actual): (&Reservation, &Amount)| {
        // In doubt, its reservation has been charged already.
        let before = if is_late { step.amount } else { Amount::ZERO };
        (step.cell, actual.checked_sub(before).unwrap_or_default())
    };
    let postings: Vec<_> = open.path().iter().zip(&actual).map(change).collect();
    Settled {
        alerts: alerts::of_postings(books, at, &postings),
        late: if is_late { revision(open, &actual).map(Box::new) } else { None },
        actual,
        incomplete: !is_whole || matches!(used, Used::Counted(_)),
        // It has left the traffic when it came into doubt.
        rates: if is_late { Vec::new() } else { shifts(books, at, open, execution, used) },
        circuit: if is_late { None } else { circuit(books, at, open, execution.end) },
    }
}

/// What an execution used of `unit`; `None` where nobody knows.
fn used_in(unit: Unit, open: &OpenAwu, execution: &Execution, used: Used) -> Option<Amount> {
    if unit == Unit::Requests {
        // What was sent counts one, whatever is said.
        return Some(Amount::from_whole(u64::from(execution.end.was_sent())));
    }
    if !execution.end.was_sent() {
        return Some(Amount::ZERO);
    }
    if let Some(amount) = execution.quantity(unit) {
        return Some(amount);
    }
    // No tokens, and nothing else is said.
    if used == Used::Nothing {
        return Some(Amount::ZERO);
    }
    if open.proposal().quantity(unit).is_some() {
        // It said that it may use some, and does not say how much it did.
        return None;
    }
    let tokens = match used {
        Used::Reported(tokens) | Used::Counted(tokens) => Some(tokens),
        Used::Nothing | Used::Unknown => None,
    };
    match unit {
        // Prices are by the token: no tokens cost nothing, also where no price is known.
        Unit::Usd if tokens? == Tokens::default() => Some(Amount::ZERO),
        Unit::Usd => open.proposal().price.as_ref()?.cost(tokens?),
        Unit::Tokens => tokens?.total().map(Amount::from_whole),
        Unit::Requests | Unit::Declared(_) => Some(Amount::ZERO),
    }
}

/// What an AWU in doubt was charged, and is charged now.
fn revision(open: &OpenAwu, actual: &[Amount]) -> Option<Revision> {
    let (position, step) = open.granted.accounting()?;
    Some(Revision {
        attribution: open.proposal().attribution.clone(),
        unit: step.key.unit,
        reserved: step.amount,
        before: step.amount,
        actual: *actual.get(position)?,
    })
}

/// By how much the rates move that the AWU took a stretch of, now that it is known what it used.
fn shifts(books: &Books, at: Timestamp, open: &OpenAwu, execution: &Execution, used: Used) -> Vec<RateShift> {
    let mut shifts = Vec::new();
    for (key, stretch) in books.stretches(open) {
        let Some(RateLimit::Flow(flow)) = books.in_force().rate(&key.rule).map(|rule| &rule.limit) else {
            continue;
        };
        let reserved = admit::cost_of(flow.measure, open.proposal(), open.proposal().bound);
        let actual = flow.measure.unit().and_then(|unit| used_in(unit, open, execution, used));
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
    let provider = open.proposal().provider.as_ref()?;
    let rule = books.in_force().circuit(provider)?;
    let before = books.circuit(provider);
    let after = rule.after(at, before, end);
    (after != before).then(|| CircuitStep { provider: provider.clone(), before, after, tries_again: None })
}
