//! The policy in force: budgets and rules, compiled, free of secrets, addressed by content.
//!
//! A policy becomes a journal entry when it is adopted. How it is written down by people (YAML) is not
//! known here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::budget::{Budget, Selector, UNBUDGETED};
use crate::digest::Digest;
use crate::name::Name;
use crate::rate::RateRule;

/// Everything that admission goes by, apart from the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The unit in which every AWU states its reservation and its actual consumption (section 3.2).
    pub accounting_unit: Unit,
    /// Which models may be used, asked in this order.
    pub models: Vec<ModelRule>,
    /// How often AWUs may be admitted, asked in this order; names are unique.
    pub rates: Vec<RateRule>,
    /// The budgets, reserved in this order; names are unique.
    pub budgets: Vec<Budget>,
}

/// Restricts the AWUs that a selector chooses to a list of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRule {
    /// The rule's name, for `genops.policy.name`.
    pub name: Name,
    /// Whom it concerns.
    pub selector: Selector,
    /// The models that they may use; an entry that ends in `*` allows every model with that beginning.
    pub allow: Vec<Name>,
}

impl Policy {
    /// A policy that asks nothing and limits nothing; it accounts in US dollars.
    #[must_use]
    pub const fn unrestricted() -> Self {
        Self { accounting_unit: Unit::Usd, models: Vec::new(), rates: Vec::new(), budgets: Vec::new() }
    }

    /// What makes the policy unusable, if anything does: a name that stands twice or means something else, a limit
    /// below nothing, a rate that admits nothing.
    #[must_use]
    pub fn problem(&self) -> Option<PolicyProblem> {
        let mut names = BTreeSet::new();
        let bad_rate = self.rates.iter().find_map(|rate| {
            if rate.requests == 0 || rate.burst == 0 {
                Some(PolicyProblem::EmptyRate)
            } else if rate.refill().is_none_or(|nanos| nanos > REFILL_NANOS_MAX) {
                Some(PolicyProblem::EndlessBurst)
            } else if !names.insert(&rate.name) {
                Some(PolicyProblem::RateTwice)
            } else {
                None
            }
        });
        if bad_rate.is_some() {
            return bad_rate;
        }
        let mut names = BTreeSet::new();
        self.budgets.iter().find_map(|budget| {
            if budget.name.as_str() == UNBUDGETED {
                Some(PolicyProblem::ReservedName)
            } else if budget.limit < Amount::ZERO {
                Some(PolicyProblem::NegativeLimit)
            } else if !names.insert(&budget.name) {
                Some(PolicyProblem::NameTwice)
            } else {
                None
            }
        })
    }

    /// The policy's address: the digest of its content.
    #[must_use]
    pub fn version(&self) -> Digest {
        Digest::of_value("genops policy 2", self)
    }
}

/// A burst that takes longer to be there again is no rate: ten years, far from what a point in time can hold.
const REFILL_NANOS_MAX: u64 = 10 * 366 * 86_400 * 1_000_000_000;

/// Why a policy cannot be adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Two budgets have one name.
    #[error("two budgets of the policy have the same name")]
    NameTwice,
    /// A budget has the name of the cell for work that no budget covers.
    #[error("no budget may be called `unbudgeted`")]
    ReservedName,
    /// A budget allows less than nothing.
    #[error("a budget's limit is negative")]
    NegativeLimit,
    /// Two rates have one name.
    #[error("two rates of the policy have the same name")]
    RateTwice,
    /// A rate would never admit anything.
    #[error("a rate of no requests, or without a burst, would admit nothing")]
    EmptyRate,
    /// A rate's burst takes years to be there again.
    #[error("a rate's burst would take more than ten years to be there again")]
    EndlessBurst,
}

impl ModelRule {
    /// Whether the rule's list contains `model`.
    #[must_use]
    pub fn allows(&self, model: &Name) -> bool {
        self.allow.iter().any(|entry| match entry.as_str().strip_suffix('*') {
            Some(beginning) => model.as_str().starts_with(beginning),
            None => entry == model,
        })
    }
}
