//! The corridor: what is asked before an AWU may run, in order, and what comes of it.
//!
//! [`admit`] is a total function of the books, the time and the proposal. It changes nothing; what an
//! admission changes is worked out by [`evolve`](crate::ledger::evolve) from the outcome. The answer is one
//! decision with at most one reason code (section 4).

use genops_spec::{Decision, ReasonCode};
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::awu::Proposal;
use crate::budget::CellKey;
use crate::digest::Digest;
use crate::ledger::{Books, CellId, Standing};
use crate::name::Name;
use crate::rate::RateStep;
use crate::time::Timestamp;

/// Decides whether a proposal may run at the time `at`.
///
/// The questions, in order: may this model be used; can what it costs be bounded; is its price known; does it come
/// too soon; is there room in every budget that covers it. The first refusal is the answer. `starts` says that
/// admission records the start too.
#[must_use]
pub fn admit(books: &Books, at: Timestamp, proposal: &Proposal, starts: bool) -> Verdict {
    let refusal = model(books, proposal).or_else(|| bound(proposal)).or_else(|| price(proposal));
    if let Some(refusal) = refusal {
        return Verdict::Refused(refusal.after_reading(books, Vec::new(), Vec::new()));
    }
    let rates = match rate(books, at, proposal) {
        Ok(rates) => rates,
        Err((refusal, rates)) => return Verdict::Refused(refusal.after_reading(books, rates, Vec::new())),
    };
    match room(books, at, proposal) {
        Ok(path) => Verdict::Admitted(Admitted {
            decision: Decision::Allowed,
            policy: books.policy_version(),
            unit: books.policy().accounting_unit,
            path,
            rates,
            started: starts,
        }),
        Err((refusal, read)) => Verdict::Refused(refusal.after_reading(books, rates, read)),
    }
}

/// May this model be used? Every rule that concerns the AWU has to allow it.
fn model(books: &Books, proposal: &Proposal) -> Option<Refusal> {
    let rules = books.policy().models.iter();
    let mut concerned = rules.filter(|rule| rule.selector.matches(&proposal.attribution));
    let denied = concerned.find(|rule| !rule.allows(&proposal.model))?;
    Some(Refusal::blocked(ReasonCode::PolicyDenyModel, Some(&denied.name)))
}

/// Can what it costs be bounded? Without a bound there is nothing to reserve.
fn bound(proposal: &Proposal) -> Option<Refusal> {
    proposal.unbounded.is_some().then(|| Refusal::blocked(ReasonCode::unbounded_request(), None))
}

/// Is the price known? What cannot be priced cannot be reserved.
fn price(proposal: &Proposal) -> Option<Refusal> {
    proposal.price.is_none().then(|| Refusal::blocked(ReasonCode::unpriced_model(), None))
}

/// Does it come too soon, by any rate that counts it? Gives what the rates come to if it is admitted, or the first
/// refusal and the rates that were asked up to it.
fn rate(
    books: &Books,
    at: Timestamp,
    proposal: &Proposal,
) -> Result<Vec<RateStep>, (Refusal, Vec<RateStep>)> {
    let rules = books.policy().rates.iter();
    let mut steps = Vec::new();
    for rule in rules.filter(|rule| rule.selector.matches(&proposal.attribution)) {
        let before = books.arrival(&rule.name);
        let asked = rule.admit(at, before);
        let (Ok(after) | Err(after)) = asked;
        steps.push(RateStep { rule: rule.name.clone(), before, after });
        if asked.is_err() {
            return Err((Refusal::rate_limited(&rule.name), steps));
        }
    }
    Ok(steps)
}

/// Is there room in every budget on the path? Gives the reservations, all or nothing, or the first
/// refusal and the cells that were read up to it.
fn room(
    books: &Books,
    at: Timestamp,
    proposal: &Proposal,
) -> Result<Vec<Reservation>, (Refusal, Vec<Reservation>)> {
    let mut path = Vec::new();
    let mut unopened = books.next_cell();
    for (key, limit) in cells_of(books, at, proposal) {
        let found = books.find(&key);
        let cell = found.map_or(unopened, |(id, _)| id);
        let before = found.map_or(Standing::empty(limit), |(_, cell)| cell.standing);
        if found.is_none() {
            unopened = unopened.next();
        }
        let budget = key.budget.clone();
        let amount = bound_in(key.unit, proposal);
        path.push(Reservation { cell, key, amount: amount.unwrap_or_default(), before });
        let countable = amount.filter(|amount| found.is_none_or(|(_, cell)| cell.can_admit(*amount)));
        let verdict = match countable {
            Some(amount) => before.takes(amount),
            None => Err(ReasonCode::AccountingInvariantViolation),
        };
        if let Err(code) = verdict {
            return Err((Refusal::blocked(code, budget.as_ref()), path));
        }
    }
    Ok(path)
}

/// The cells that the AWU reserves in, with their limits: one for each budget that covers it, in the
/// policy's order, and the unlimited cell where no budget of the accounting unit does, so that every AWU
/// has a reservation in that unit.
fn cells_of(books: &Books, at: Timestamp, proposal: &Proposal) -> Vec<(CellKey, Option<Amount>)> {
    let policy = books.policy();
    let covering = policy.budgets.iter().filter(|budget| budget.selector.matches(&proposal.attribution));
    let mut cells: Vec<_> = covering.map(|budget| (CellKey::of(budget, at), Some(budget.limit))).collect();
    if !cells.iter().any(|(key, _)| key.unit == policy.accounting_unit) {
        cells.push((CellKey::unbudgeted(policy.accounting_unit), None));
    }
    cells
}

/// The most that the AWU can use, in `unit`; `None` on overflow.
fn bound_in(unit: Unit, proposal: &Proposal) -> Option<Amount> {
    match unit {
        Unit::Usd => proposal.price.as_ref()?.bound(proposal.bound),
        Unit::Tokens => proposal.bound.total().map(Amount::from_whole),
    }
}

/// What admission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Admitted(Admitted),
    /// It may not.
    Refused(Refused),
}

/// An admission: the decision and everything that was reserved for it. Only [`admit`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    decision: Decision,
    policy: Digest,
    unit: Unit,
    path: Vec<Reservation>,
    rates: Vec<RateStep>,
    started: bool,
}

/// What an AWU reserved in one cell, or found there when it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The cell. One that does not exist yet has the next free number and is opened by the admission.
    pub cell: CellId,
    /// What the cell is for.
    pub key: CellKey,
    /// How much.
    pub amount: Amount,
    /// The cell as it stood before.
    pub before: Standing,
}

impl Reservation {
    /// What remains in the cell after the reservation; `None` in an unlimited cell.
    #[must_use]
    pub fn remaining_after(&self) -> Option<Amount> {
        self.before.remaining()?.checked_sub(self.amount)
    }
}

impl Admitted {
    /// ALLOWED, or WARNING with its reason code.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The policy that decided.
    #[must_use]
    pub const fn policy(&self) -> Digest {
        self.policy
    }

    /// The reservations, one a cell.
    #[must_use]
    pub fn path(&self) -> &[Reservation] {
        &self.path
    }

    /// What the rates that count it come to.
    #[must_use]
    pub fn rates(&self) -> &[RateStep] {
        &self.rates
    }

    /// Whether the admission recorded the start as well.
    #[must_use]
    pub const fn started(&self) -> bool {
        self.started
    }

    /// The accounting unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The place on the path of the one reservation that section 8.2 tells: in the accounting unit, in the
    /// tightest budget (the least remains there afterwards).
    #[must_use]
    pub fn accounting(&self) -> Option<(usize, &Reservation)> {
        let counted = self.path.iter().enumerate().filter(|(_, step)| step.key.unit == self.unit);
        counted.min_by_key(|(_, step)| {
            let remaining = step.remaining_after();
            (remaining.is_none(), remaining)
        })
    }
}

/// A refusal, remembered: the decision, the rule that made it, and the cells that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// BLOCKED or RATE_LIMITED, with its reason code.
    pub decision: Decision,
    /// The rule or budget that refused.
    pub rule: Option<Name>,
    /// The policy that decided.
    pub policy: Digest,
    /// The rates that were asked; the last one refused, where a rate did.
    pub rates: Vec<RateStep>,
    /// The cells that were read; the last one refused, where a budget did.
    pub read: Vec<Reservation>,
}

impl Refused {
    /// The earliest time at which a rate would admit it, if nothing else arrives; `None` where no rate refused.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        match self.decision {
            Decision::RateLimited(_) => self.rates.last().map(|step| step.after),
            _ => None,
        }
    }
}

/// One question's "no".
struct Refusal {
    decision: Decision,
    rule: Option<Name>,
}

impl Refusal {
    fn blocked(code: ReasonCode, rule: Option<&Name>) -> Self {
        Self { decision: Decision::Blocked(code), rule: rule.cloned() }
    }

    fn rate_limited(rule: &Name) -> Self {
        Self { decision: Decision::RateLimited(ReasonCode::RateLimited), rule: Some(rule.clone()) }
    }

    fn after_reading(self, books: &Books, rates: Vec<RateStep>, read: Vec<Reservation>) -> Refused {
        Refused { decision: self.decision, rule: self.rule, policy: books.policy_version(), rates, read }
    }
}
