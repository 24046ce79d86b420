//! Whether the books have a place for something new, by the ceilings of the policy in force; and how much of what is there
//! one key of a caller has.

use std::collections::HashMap;

use super::Books;
use crate::ledger::entry::Whose;
use crate::name::Name;
use crate::policy::Policy;
use crate::rate::RateKey;
use crate::time::Timestamp;

impl Books {
    /// Whose idempotency keys are as many at `at` as may be remembered, and how many that is.
    pub(in crate::ledger) fn full_of_keys(
        &self,
        caller: Option<&Name>,
        at: Timestamp,
    ) -> Option<(u64, Whose)> {
        let Policy { remember_ns, ceilings, .. } = self.policy();
        let since = at.minus_nanos(*remember_ns);
        let (most, of_one) = (ceilings.idempotency_keys, ceilings.of_one_key(ceilings.idempotency_keys));
        if self.remembered.is_full(since, most) {
            return Some((most, Whose::Everybodys));
        }
        let is_full = caller.is_some_and(|caller| self.remembered.is_full_of(caller, since, of_one));
        is_full.then_some((of_one, Whose::OneKeys))
    }

    /// Whose AWUs are as many as may be open, and how many that is.
    pub(in crate::ledger) fn full_of_awus(&self, caller: Option<&Name>) -> Option<(u64, Whose)> {
        let ceilings = &self.policy().ceilings;
        let (most, of_one) = (ceilings.open_awus, ceilings.of_one_key(ceilings.open_awus));
        if self.open_count() >= most {
            return Some((most, Whose::Everybodys));
        }
        let open = caller.and_then(|caller| self.open_of.get(caller)).copied().unwrap_or_default();
        (caller.is_some() && open >= of_one).then_some((of_one, Whose::OneKeys))
    }

    /// How many AWUs are open.
    #[must_use]
    pub fn open_count(&self) -> u64 {
        u64::try_from(self.open.len()).unwrap_or(u64::MAX)
    }

    /// The key of a caller that has most AWUs open, and how many; `None` where none of those is of a key.
    #[must_use]
    pub fn most_open_of_one_key(&self) -> Option<(&Name, u64)> {
        let open = self.open_of.iter().map(|(key, open)| (key, *open));
        open.max_by(|(key, open), (other, others)| open.cmp(others).then_with(|| other.cmp(key)))
    }

    /// How many idempotency keys are remembered at `at` of the caller's key of which most are; 0 where none is of a key.
    #[must_use]
    pub fn most_remembered_of_one_key(&self, at: Timestamp) -> usize {
        self.remembered.most_used(at.minus_nanos(self.policy().remember_ns))
    }

    /// How many shares of rates are kept, or classes of latencies where those are more. Some may have flowed off: they are let
    /// go of with the entries to come, before there are as many as may be.
    #[must_use]
    pub fn kept_shares(&self) -> usize {
        self.traffic.kept()
    }

    /// Whether there is a place for another cell of a divided budget, behind `before` that are about to be opened.
    pub(crate) fn has_place_for_cell(&self, before: usize) -> bool {
        let cells = u64::try_from(self.cells.len().saturating_add(before)).unwrap_or(u64::MAX);
        cells < self.policy().ceilings.cells
    }

    /// Whether a share of a flow is kept, or there is a place for it.
    pub(crate) fn has_place_for_flow(&self, key: &RateKey) -> bool {
        self.traffic.has_place_for_flow(key, self.policy().ceilings.rate_shares)
    }
}

/// One more of a key.
pub fn count_one(counts: &mut HashMap<Name, u64>, key: &Name) {
    match counts.get_mut(key) {
        Some(count) => *count = count.saturating_add(1),
        None => drop(counts.insert(key.clone(), 1)),
    }
}

/// One less of a key.
pub fn count_one_less(counts: &mut HashMap<Name, u64>, key: &Name) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
