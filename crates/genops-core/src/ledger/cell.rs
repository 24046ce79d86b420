//! Cells: one budget, share and window each, what may be used of it and what has been.
//!
//! Arithmetic alone. Which cells there are is known to the [`books`](super::books).

use genops_spec::ReasonCode;
use serde::{Deserialize, Serialize};

use super::aging::Aging;
use crate::amount::Amount;
use crate::budget::{CellKey, Overdraft};
use crate::period::Window;
use crate::time::Timestamp;

/// A cell's number: cells are counted from 0 in the order in which they were opened. The number of one that was closed is
/// not given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellId(u32);

/// One budget in one window, and what has been done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What it is for.
    pub key: CellKey,
    /// Limit, outstanding and used as of the last entry about the cell, without grants. What holds at some time is told
    /// by [`Books::standing`](super::Books::standing).
    pub standing: Standing,
    /// Running totals, for the conservation of I6.
    pub totals: Totals,
    /// Where the window moves: what was used in each part of it.
    aging: Aging,
    /// When something was reserved or charged last.
    touched_at: Timestamp,
    /// The highest threshold that people were told of, in percent.
    alerted: u16,
}

/// How a reservation fits into a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Within the limit.
    Within,
    /// By passing the limit, which the budget lends.
    Beyond,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// The sum by which admissions passed the limit where the budget is only observed, or lends.
    pub excess: Amount,
    /// The sum of corrections; below nothing where they took more away than they added.
    pub corrected: Amount,
    /// The sum of the corrections that added.
    pub corrected_up: Amount,
    /// The sum of the grants that the cell has had, ended ones too.
    pub granted: Amount,
    /// What was used so long ago that the window has left it.
    pub aged: Amount,
}

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
    pub(super) fn beyond(&self) -> Amount {
        match self.remaining() {
            Some(remaining) if remaining < Amount::ZERO => {
                Amount::ZERO.checked_sub(remaining).unwrap_or(Amount::MAX)
            }
            _ => Amount::ZERO,
        }
    }

    /// Whether a reservation of `amount` fits into a budget with this overdraft, and if it does, whether only by passing
    /// the limit. Nothing fits into a cell that is used up, except nothing.
    ///
    /// # Errors
    ///
    /// The reason code of the refusal.
    pub fn takes(&self, amount: Amount, overdraft: Overdraft) -> Result<Fit, ReasonCode> {
        let counted = self.out.checked_add(amount).and_then(|out| out.checked_add(self.used));
        if counted.is_none() || amount < Amount::ZERO {
            return Err(ReasonCode::AccountingInvariantViolation);
        }
        if self.allocated.is_none() || amount == Amount::ZERO {
            return Ok(Fit::Within);
        }
        let remaining = self.remaining().ok_or(ReasonCode::AccountingInvariantViolation)?;
        if amount <= remaining {
            return Ok(Fit::Within);
        }
        let lent = match overdraft {
            Overdraft::None => Amount::ZERO,
            Overdraft::UpTo(lent) => lent,
            Overdraft::Unbounded => return Ok(Fit::Beyond),
        };
        match remaining.checked_add(lent) {
            None => Err(ReasonCode::AccountingInvariantViolation),
            Some(left) if left <= Amount::ZERO => Err(ReasonCode::BudgetExceeded),
            Some(left) if amount > left => Err(ReasonCode::BudgetReservationFailed),
            Some(_) => Ok(Fit::Beyond),
        }
    }
}

impl Cell {
    /// A cell that is opened with this limit, and with the grants that hold then.
    #[must_use]
    pub fn opened(key: CellKey, limit: Option<Amount>, granted: Amount) -> Self {
        Self {
            key,
            standing: Standing::empty(limit),
            totals: Totals { granted, ..Totals::default() },
            aging: Aging::default(),
            touched_at: Timestamp::default(),
            alerted: 0,
        }
    }

    /// What of `used` the window has not left by `at`.
    pub(super) fn used_at(&self, at: Timestamp) -> Amount {
        let used = self.standing.used;
        used.checked_sub(self.aging.left_by(self.key.window, at)).unwrap_or(used)
    }

    /// A limit with everything that the cell was ever granted, where its period is over by `at`.
    pub(super) fn limit_after(&self, limit: Amount, at: Timestamp) -> Option<Amount> {
        let all = || limit.checked_add(self.totals.granted).unwrap_or(Amount::MAX);
        self.key.window.is_over(at).then(all)
    }

    /// Notes that something is reserved or charged.
    pub(super) fn touch(&mut self, at: Timestamp) {
        self.touched_at = self.touched_at.max(at);
    }

    /// When something was reserved or charged last.
    pub(crate) const fn touched_at(&self) -> Timestamp {
        self.touched_at
    }

    /// Whether nothing counts in it any more at `at`, and nothing was reserved or charged in it since `before`: its period was
    /// over by then, or its window has left all that there was. What is for good is never so.
    pub(super) fn is_over(&self, before: Timestamp, at: Timestamp) -> bool {
        let is_empty = || self.touched_at < before && self.used_at(at) == Amount::ZERO;
        self.key.window.is_over(before) || (self.moves() && is_empty())
    }

    /// Notes that people are told of a threshold.
    pub(super) fn alert(&mut self, percent: u16) {
        self.alerted = self.alerted.max(percent);
    }

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
        actual.is_step() && sums.iter().all(Option::is_some)
    }

    /// Whether the sums can hold a correction of this size, and the cell does not come to less than nothing by it.
    pub(super) fn can_correct(&self, amount: Amount) -> bool {
        let Totals { corrected, corrected_up, aged, .. } = self.totals;
        let sums = [
            self.standing.used.checked_add(amount).and_then(|used| used.checked_add(self.standing.out)),
            corrected.checked_add(amount),
            corrected_up.checked_add(amount),
        ];
        let after = self.standing.used.checked_add(aged).and_then(|ever| ever.checked_add(amount));
        amount.is_step()
            && sums.iter().all(Option::is_some)
            && after.is_some_and(|after| after >= Amount::ZERO)
    }

    /// Whether people have been told of a threshold, or of a higher one.
    pub(super) const fn was_told(&self, percent: u16) -> bool {
        percent <= self.alerted
    }

    /// Whether the window moves with time.
    pub(super) const fn moves(&self) -> bool {
        matches!(self.key.window, Window::Rolling { .. })
    }

    /// Where the window moves: what was used, each with the time at which the window has left it, in nanoseconds.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = (u64, Amount)> {
        self.aging.leaving(self.key.window)
    }

    /// Lets go of what the window has left by `at`.
    pub(super) fn age(&mut self, at: Timestamp) {
        let aged = self.aging.leave(self.key.window, at);
        // What leaves was posted before, so both sums hold it.
        self.standing.used = self.standing.used.checked_sub(aged).unwrap_or(self.standing.used);
        self.totals.aged = self.totals.aged.checked_add(aged).unwrap_or(self.totals.aged);
    }

    /// Adds to what was used, at `at`. What is taken away again is taken from where it was charged, at `charged_at`:
    /// where the window has left that, nothing is left to take away.
    pub(super) fn post(&mut self, at: Timestamp, charged_at: Timestamp, amount: Amount) -> Option<()> {
        self.age(at);
        self.touch(if amount.is_negative() { charged_at } else { at });
        let left = if amount.is_negative() {
            self.aging.take_away(self.key.window, charged_at, amount.checked_neg()?)
        } else {
            self.aging.add(self.key.window, at, amount)?;
            Amount::ZERO
        };
        self.totals.aged = self.totals.aged.checked_sub(left)?;
        self.standing.used = self.standing.used.checked_add(amount)?.checked_add(left)?;
        Some(())
    }
}

impl CellId {
    /// The number that no cell has, since there is none behind it.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The cell with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

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
