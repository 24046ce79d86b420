//! The grants in the books: which hold, what they make of a limit, and which are to end. Reading alone.

use std::sync::Arc;

use super::Books;
use crate::amount::Amount;
use crate::budget::CellKey;
use crate::ledger::{Cell, Grant};
use crate::name::Name;
use crate::time::Timestamp;

impl Books {
    /// The limit of a cell that may not have been opened yet, with the grants that hold at `at`.
    #[must_use]
    pub fn with_grants(&self, key: &CellKey, limit: Amount, at: Timestamp) -> Amount {
        let holding = self.grants.values().filter(|grant| grant.until > at);
        with_each_of(holding.map(Arc::as_ref), key, limit, at)
    }

    /// A limit of a cell with the grants that hold at `at`; of one whose period is over, with all that it ever had: which of
    /// them held to its end is not remembered.
    pub(in crate::ledger) fn limit_with_grants(&self, cell: &Cell, limit: Amount, at: Timestamp) -> Amount {
        cell.limit_after(limit, at).unwrap_or_else(|| self.with_grants(&cell.key, limit, at))
    }

    /// The same, but with the grants whose end is not in the journal.
    pub(in crate::ledger) fn limit_with_kept_grants(
        &self,
        cell: &Cell,
        limit: Amount,
        at: Timestamp,
    ) -> Amount {
        let kept = || with_each_of(self.grants.values().map(Arc::as_ref), &cell.key, limit, at);
        cell.limit_after(limit, at).unwrap_or_else(kept)
    }

    /// The grants of a budget whose end is not in the journal, each with the entry that made it.
    pub(in crate::ledger) fn kept_grants_of(&self, budget: &Name) -> Vec<(u64, &Grant)> {
        let kept = self.grants.iter().filter(|(_, grant)| grant.budget == *budget);
        kept.map(|(number, grant)| (*number, grant.as_ref())).collect()
    }

    /// The grants whose time is over at `at` and whose end is not in the journal, the oldest first, at most `most`.
    #[must_use]
    pub fn lapsing(&self, at: Timestamp, most: usize) -> Vec<u64> {
        let over = self.grants.iter().filter(|(_, grant)| grant.until <= at);
        over.map(|(number, _)| *number).take(most).collect()
    }

    /// A grant whose end is not in the journal, by the entry that made it.
    #[must_use]
    pub fn grant(&self, sequence: u64) -> Option<&Grant> {
        self.grants.get(&sequence).map(Arc::as_ref)
    }

    /// The grants that hold at `at`, each with the entry that made it.
    pub fn grants(&self, at: Timestamp) -> impl Iterator<Item = (u64, &Grant)> {
        let grants = self.grants.iter().filter(move |(_, grant)| grant.until > at);
        grants.map(|(sequence, grant)| (*sequence, grant.as_ref()))
    }

    /// How many of the cells that have been opened a grant reaches at `at`.
    #[must_use]
    pub fn reached_by(&self, grant: &Grant, at: Timestamp) -> usize {
        let keys = self.cells().iter().map(|cell| &cell.key);
        keys.filter(|key| key.is_of(&grant.budget, &grant.each) && !key.window.is_over(at)).count()
    }

    /// Every grant whose end is not in the journal.
    pub(crate) fn all_grants(&self) -> impl Iterator<Item = (u64, &Arc<Grant>)> {
        self.grants.iter().map(|(sequence, grant)| (*sequence, grant))
    }

    /// Whether every cell of the budget can hold the grant, those too that have not been opened, which get `limit`.
    pub(in crate::ledger) fn can_grant(&self, grant: &Grant, limit: Amount) -> bool {
        let mut others = self.grants.values().filter(|other| other.budget == grant.budget);
        let most = limit.checked_add(grant.amount);
        if others.try_fold(most, |most, other| Some(most?.checked_add(other.amount))).flatten().is_none() {
            return false;
        }
        let granted = |cell: &Cell| {
            cell.totals.granted.checked_add(grant.amount)?.checked_add(cell.standing.allocated?)
        };
        self.cells()
            .iter()
            .filter(|cell| cell.key.is_of(&grant.budget, &grant.each))
            .all(|cell| granted(cell).is_some())
    }
}

/// The limit of a cell with those of these grants that are for it.
pub(in crate::ledger) fn with_each_of<'a>(
    grants: impl Iterator<Item = &'a Grant>,
    key: &CellKey,
    limit: Amount,
    at: Timestamp,
) -> Amount {
    // A grant is for what goes on, not for what is over.
    if key.window.is_over(at) {
        return limit;
    }
    let of_cell = grants.filter(|grant| key.is_of(&grant.budget, &grant.each));
    of_cell.fold(limit, |limit, grant| limit.checked_add(grant.amount).unwrap_or(Amount::MAX))
}
