//! What an auditor knows of one cell, from the journal alone: amounts and times, added up in another way than in the books.
//!
//! Which entries touch the cell, and what has to hold of it, is known to the [`Auditor`](super::Auditor).

use std::collections::BTreeMap;

use crate::amount::Amount;
use crate::awu::AwuId;
use crate::ledger::{Cell, Outcome, Settled, Totals};
use crate::period::Window;
use crate::time::Timestamp;

/// What the auditor knows of one cell: the open AWUs one by one and as sums, the ended ones as sums.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) outstanding: BTreeMap<AwuId, Amount>,
    pub(super) out: Amount,
    pub(super) doubted: BTreeMap<AwuId, Amount>,
    pub(super) doubt: Amount,
    pub(super) settled: Amount,
    pub(super) actual: Amount,
    pub(super) released: Amount,
    pub(super) overrun: Amount,
    pub(super) admitted: Amount,
    /// By how much admissions passed the limit that were only observed, or lent.
    pub(super) excess: Amount,
    pub(super) corrected: Amount,
    pub(super) corrected_up: Amount,
    pub(super) granted: Amount,
    pub(super) window: Option<Window>,
    /// When something was reserved or charged last.
    pub(super) touched_at: Timestamp,
    /// Where the window moves: what was used, by the time at which the window has left it.
    pub(super) leaving: BTreeMap<u64, Amount>,
    pub(super) left: Amount,
}

/// A step in the life of an AWU, as one of its cells sees it.
pub struct Moved {
    pub(super) awu: AwuId,
    pub(super) at: Timestamp,
    pub(super) doubted_at: Option<Timestamp>,
    pub(super) reserved: Amount,
    pub(super) position: usize,
}

impl Tally {
    pub fn of(cell: &Cell) -> Self {
        let Totals { admitted, settled, released, in_doubt, overrun, excess, .. } = cell.totals;
        let Totals { corrected, corrected_up, granted, aged, .. } = cell.totals;
        let charged =
            sum([Some(cell.standing.used), Some(aged), corrected.checked_neg(), in_doubt.checked_neg()]);
        Self {
            out: cell.standing.out,
            doubt: in_doubt,
            settled,
            actual: charged.unwrap_or_default(),
            released,
            overrun,
            admitted,
            excess,
            corrected,
            corrected_up,
            granted,
            window: Some(cell.key.window),
            touched_at: cell.touched_at(),
            leaving: cell.leaving().collect(),
            left: aged,
            ..Self::default()
        }
    }

    /// Lets go of what the window has left at `at`.
    pub fn pass_time(&mut self, at: Timestamp) {
        while let Some(first) = self.leaving.first_entry()
            && *first.key() <= at.nanos()
        {
            let amount = first.remove();
            self.left = self.left.checked_add(amount).unwrap_or(Amount::MAX);
        }
    }

    /// Adds to what was used, in a window that may move.
    pub fn post(&mut self, at: Timestamp, charged_at: Timestamp, amount: Amount) -> Option<()> {
        self.pass_time(at);
        let counts_at = if amount.is_negative() { charged_at } else { at };
        self.touched_at = self.touched_at.max(counts_at);
        let Some(Window::Rolling { length_ns, part_ns }) = self.window else { return Some(()) };
        let part = counts_at.nanos().checked_div(part_ns)?;
        let at = part.saturating_add(1).saturating_mul(part_ns).saturating_add(length_ns);
        if !amount.is_negative() {
            let sum = self.leaving.entry(at).or_default();
            *sum = sum.checked_add(amount)?;
            return Some(());
        }
        // What has left cannot be taken away from what is still there.
        let mut rest = amount;
        if let Some(sum) = self.leaving.get_mut(&at) {
            rest = sum.checked_add(amount)?.min(Amount::ZERO);
            *sum = sum.checked_add(amount)?.max(Amount::ZERO);
        }
        self.left = self.left.checked_add(rest)?;
        Some(())
    }

    /// Counts by how much a reservation of `amount`, with which `after` is held, passes the limit.
    pub fn pass(&mut self, allocated: Amount, after: Option<Amount>, amount: Amount) -> Option<()> {
        let beyond = after?.checked_sub(allocated)?.min(amount);
        self.excess = self.excess.checked_add(beyond)?;
        Some(())
    }

    pub fn admit(&mut self, awu: AwuId, amount: Amount) -> Option<()> {
        self.outstanding.insert(awu, amount);
        self.out = self.out.checked_add(amount)?;
        self.admitted = self.admitted.checked_add(amount)?;
        Some(())
    }

    pub fn resolve(&mut self, awu: AwuId) -> Option<()> {
        let amount = self.outstanding.remove(&awu)?;
        self.out = self.out.checked_sub(amount)?;
        Some(())
    }

    pub fn follow(&mut self, moved: &Moved, outcome: &Outcome) -> Option<()> {
        let Moved { awu, at, doubted_at, reserved, position } = *moved;
        match outcome {
            Outcome::Released => {
                self.resolve(awu)?;
                self.released = self.released.checked_add(reserved)?;
            }
            Outcome::Settled(Settled { actual, .. }) => {
                let actual = *actual.get(position)?;
                match doubted_at {
                    None => {
                        self.resolve(awu)?;
                        self.post(at, at, actual)?;
                    }
                    Some(doubted_at) => {
                        let doubted = self.doubted.remove(&awu)?;
                        self.doubt = self.doubt.checked_sub(doubted)?;
                        self.post(at, doubted_at, actual.checked_sub(doubted)?)?;
                    }
                }
                self.settled = self.settled.checked_add(reserved)?;
                self.actual = self.actual.checked_add(actual)?;
                let over = actual.checked_sub(reserved)?.max(Amount::ZERO);
                self.overrun = self.overrun.checked_add(over)?;
            }
            Outcome::InDoubt { .. } => {
                self.resolve(awu)?;
                self.doubted.insert(awu, reserved);
                self.doubt = self.doubt.checked_add(reserved)?;
                self.post(at, at, reserved)?;
            }
            _ => {}
        }
        Some(())
    }

    pub fn used(&self) -> Option<Amount> {
        self.actual.checked_add(self.doubt)?.checked_add(self.corrected)?.checked_sub(self.left)
    }

    /// Whether the sums over the open AWUs are what the AWUs come to one by one.
    pub fn adds_up(&self) -> bool {
        let total = |amounts: &BTreeMap<AwuId, Amount>| sum(amounts.values().copied().map(Some));
        total(&self.outstanding) == Some(self.out) && total(&self.doubted) == Some(self.doubt)
    }
}

pub fn sum(amounts: impl IntoIterator<Item = Option<Amount>>) -> Option<Amount> {
    amounts.into_iter().try_fold(Amount::ZERO, |sum, amount| sum.checked_add(amount?))
}
