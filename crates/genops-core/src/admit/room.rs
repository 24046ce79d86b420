//! The last question: is there room in every budget on the path? All of them are reserved in, or none.
//!
//! Where a budget says so, the output limit of a call that does not fit is lowered to what every budget affords.

use core::ops::ControlFlow;

use genops_spec::{Decision, ReasonCode};

use super::{Asking, Reservation, bound_in};
use crate::amount::Amount;
use crate::awu::Proposal;
use crate::budget::{Budget, CellKey, OnInsufficient, Overdraft};
use crate::finding::{Finding, Mode, Question, decisive};
use crate::ledger::{CellId, Fit, Standing};
use crate::price::Tokens;

impl<'a> Asking<'a> {
    /// Is there room in every budget on the path?
    pub(super) fn room(&mut self) -> ControlFlow<()> {
        let mut caps: Vec<Cap<'_>> = Vec::new();
        for (budget, key) in self.cells_of() {
            let wanted = bound_in(key.unit, self.proposal, self.proposal.bound);
            let reservation = self.reservation(budget, key, wanted.unwrap_or_default());
            let before = reservation.before;
            let counted = wanted.filter(|amount| self.can_count(&reservation, *amount));
            let has_place = self.has_place(&reservation);
            self.cells.push(reservation);
            if !has_place {
                // What has no cell cannot be counted, whoever only observes.
                let (name, said) = (budget.map(|budget| &budget.name), ReasonCode::too_many_shares());
                return self.found(Question::Room, name, Decision::Blocked(said), Mode::Enforce);
            }
            let overdraft = budget.map(|budget| budget.overdraft).unwrap_or_default();
            let code = match counted.ok_or(CANNOT_COUNT).and_then(|amount| before.takes(amount, overdraft)) {
                Ok(Fit::Within) => continue,
                Ok(Fit::Beyond) => {
                    let name = budget.map(|budget| &budget.name);
                    self.found(
                        Question::Room,
                        name,
                        Decision::Warning(ReasonCode::BudgetExceeded),
                        Mode::Enforce,
                    )?;
                    continue;
                }
                Err(code) => code,
            };
            let Some(budget) = budget.filter(|_| code != CANNOT_COUNT) else {
                // What cannot be counted is refused, whoever only observes.
                let name = budget.map(|budget| &budget.name);
                return self.found(Question::Room, name, Decision::Blocked(code), Mode::Enforce);
            };
            match affordable(budget, self.proposal, before) {
                Some(limit) => caps.push(Cap { limit, budget, place: self.findings.len() }),
                None => {
                    self.found(Question::Room, Some(&budget.name), Decision::Blocked(code), budget.mode)?;
                }
            }
        }
        self.cap(&caps)
    }

    /// The cells that the AWU reserves in: one for each budget that covers it, in the policy's order, and the
    /// unlimited cell where no budget of the accounting unit does, so that every AWU has a reservation in that unit.
    fn cells_of(&self) -> Vec<(Option<&'a Budget>, CellKey)> {
        let covering = self.in_force.budgets_for(self.proposal, self.at).into_iter();
        let mut cells: Vec<_> = covering
            .map(|(budget, window)| (Some(budget), CellKey::of(budget, self.proposal, window)))
            .collect();
        let unit = self.unit();
        if !cells.iter().any(|(_, key)| key.unit == unit) {
            cells.push((None, CellKey::unbudgeted(unit)));
        }
        cells
    }

    /// A reservation of `amount` in the cell of `key`. Cells that do not exist yet are numbered as they come.
    fn reservation(&self, budget: Option<&Budget>, key: CellKey, amount: Amount) -> Reservation {
        let next = self.books.next_cell();
        let (cell, before) = match self.books.find(&key) {
            Some((id, cell)) => (id, self.books.standing(cell, self.at)),
            None => {
                let unopened = self.cells.iter().filter(|step| step.cell >= next).count();
                let limit = budget.map(|budget| self.books.with_grants(&key, budget.limit, self.at));
                ((0..unopened).fold(next, |cell, _| cell.next()), Standing::empty(limit))
            }
        };
        Reservation { cell, key, amount, before }
    }

    /// Whether the cell has been opened, or may be. Only shares can be made more by whoever calls.
    fn has_place(&self, reservation: &Reservation) -> bool {
        let next = self.books.next_cell();
        let before = self.cells.iter().filter(|step| step.cell >= next).count();
        let has_place = || reservation.key.each.is_empty() || self.books.has_place_for_cell(before);
        // Numbers are given once, so there may be none left for anybody.
        reservation.cell < next || (reservation.cell < CellId::NONE && has_place())
    }

    /// Whether it is no more than a step may be, and the running totals of the cell can hold it.
    fn can_count(&self, reservation: &Reservation, amount: Amount) -> bool {
        amount.is_step() && self.books.cell(reservation.cell).is_none_or(|cell| cell.can_admit(amount))
    }

    /// Lowers the output limit of each choice to what every budget affords, and with it every reservation. A budget for
    /// which that is below its minimum refuses.
    fn cap(&mut self, caps: &[Cap<'_>]) -> ControlFlow<()> {
        let Some(tightest) = caps.iter().min_by_key(|cap| cap.limit) else {
            return ControlFlow::Continue(());
        };
        let refuses = |cap: &&Cap<'_>| minimum(cap.budget).is_some_and(|minimum| tightest.limit < minimum);
        if let Some(Cap { budget, .. }) = caps.iter().find(refuses) {
            let said = Decision::Blocked(ReasonCode::BudgetReservationFailed);
            return self.found(Question::Room, Some(&budget.name), said, budget.mode);
        }
        let tokens = capped(self.proposal, tightest.limit);
        for reservation in &mut self.cells {
            // Less than what could be counted above.
            reservation.amount =
                bound_in(reservation.key.unit, self.proposal, tokens).unwrap_or(reservation.amount);
        }
        self.output_limit = Some(tightest.limit);
        // From the last, so that the places in front of it stay what they are.
        for cap in caps.iter().rev() {
            if self.lends(cap.budget) {
                self.warn(cap, ReasonCode::BudgetExceeded);
            }
            if cap.budget.name == tightest.budget.name {
                self.warn(cap, ReasonCode::output_capped());
            }
        }
        self.drop_what_fits();
        ControlFlow::Continue(())
    }

    /// Whether the budget that refused the AWU would let it in, by the same rules, if nothing was reserved there: then
    /// only work in flight keeps it out.
    pub(super) fn waits_for_work(&self) -> bool {
        let is_short = |finding: &&Finding| {
            let code = finding.said.reason_code();
            finding.question == Question::Room
                && matches!(code, Some(ReasonCode::BudgetExceeded | ReasonCode::BudgetReservationFailed))
        };
        let Some(finding) = decisive(&self.findings).filter(is_short) else { return false };
        let step = self.cells.iter().find(|step| step.key.budget == finding.rule);
        let budget = finding.rule.as_ref().and_then(|name| self.in_force.budget(name, self.at));
        let Some((step, (budget, _))) = step.zip(budget) else { return false };
        let least = minimum(budget).unwrap_or_default();
        // What other budgets lower the call to has to be enough for this one.
        self.limit_once_ended(step, budget).is_some()
            && self
                .cells
                .iter()
                .filter_map(|step| Some((step, self.budget_that_caps(step)?)))
                .all(|(step, other)| self.limit_once_ended(step, other).is_some_and(|limit| limit >= least))
    }

    /// The output limit that a budget would allow each choice if nothing was reserved there; `None` where it would refuse.
    fn limit_once_ended(&self, step: &Reservation, budget: &Budget) -> Option<u64> {
        let once_ended = Standing { out: Amount::ZERO, ..step.before };
        match once_ended.takes(step.amount, budget.overdraft) {
            Ok(_) => Some(u64::MAX),
            Err(_) => affordable(budget, self.proposal, once_ended),
        }
    }

    fn budget_that_caps(&self, step: &Reservation) -> Option<&'a Budget> {
        let (budget, _) = self.in_force.budget(step.key.budget.as_ref()?, self.at)?;
        (budget.mode == Mode::Enforce && minimum(budget).is_some()).then_some(budget)
    }

    /// Whether what is reserved in the budget passes its limit.
    fn lends(&self, budget: &Budget) -> bool {
        let mut cells = self.cells.iter().filter(|step| step.key.budget.as_ref() == Some(&budget.name));
        cells.any(|step| step.before.takes(step.amount, budget.overdraft) == Ok(Fit::Beyond))
    }

    /// Adds a warning where the budget of a cap was asked.
    fn warn(&mut self, cap: &Cap<'_>, code: ReasonCode) {
        let (rule, said) = (Some(cap.budget.name.clone()), Decision::Warning(code));
        let finding = Finding { question: Question::Room, rule, said, is_observed: false };
        self.findings.insert(cap.place.min(self.findings.len()), finding);
    }

    /// A budget that only observes, or lends, was asked with the whole call; with the lowered one it may not be passed.
    fn drop_what_fits(&mut self) {
        let cells = &self.cells;
        let fits = |finding: &Finding| {
            let mut cells = cells.iter();
            let cell = cells.find(|step| step.key.budget.is_some() && step.key.budget == finding.rule);
            cell.is_some_and(|step| step.before.takes(step.amount, Overdraft::None).is_ok())
        };
        self.findings.retain(|finding| {
            !(finding.question == Question::Room && is_about_passing(finding) && fits(finding))
        });
    }
}

/// Whether a finding says that a budget is passed: one that only observes, or lends.
fn is_about_passing(finding: &Finding) -> bool {
    finding.is_observed || finding.said == Decision::Warning(ReasonCode::BudgetExceeded)
}

/// A budget that a call does not fit into, and the output limit with which it would.
struct Cap<'a> {
    limit: u64,
    budget: &'a Budget,
    /// Where its finding stands among the others: where the budget was asked.
    place: usize,
}

/// The least output limit that a budget lowers calls to; `None` where it does not.
const fn minimum(budget: &Budget) -> Option<u64> {
    match budget.on_insufficient {
        OnInsufficient::Refuse => None,
        OnInsufficient::Cap { minimum_output_tokens } => Some(minimum_output_tokens),
    }
}

const CANNOT_COUNT: ReasonCode = ReasonCode::AccountingInvariantViolation;

/// The highest output limit of each choice with which the AWU fits into a cell of `budget`; `None` where the budget does
/// not lower limits, or would have to below its minimum.
fn affordable(budget: &Budget, proposal: &Proposal, standing: Standing) -> Option<u64> {
    let minimum = minimum(budget).filter(|_| budget.mode == Mode::Enforce)?;
    let fits = |limit: u64| {
        let amount = bound_in(budget.unit, proposal, capped(proposal, limit));
        amount.is_some_and(|amount| standing.takes(amount, budget.overdraft).is_ok())
    };
    // What a limit costs rises with it: the highest that fits is found by halving.
    let asked = proposal.bound.output.checked_div(proposal.choices)?;
    let (mut fitting, mut too_high) = (minimum.max(1), asked);
    if fitting >= too_high || !fits(fitting) {
        return None;
    }
    while too_high - fitting > 1 {
        let middle = fitting + (too_high - fitting) / 2;
        *(if fits(middle) { &mut fitting } else { &mut too_high }) = middle;
    }
    Some(fitting)
}

/// What the call can use at most with this output limit for each of its choices.
const fn capped(proposal: &Proposal, limit: u64) -> Tokens {
    Tokens { output: limit.saturating_mul(proposal.choices), ..proposal.bound }
}
