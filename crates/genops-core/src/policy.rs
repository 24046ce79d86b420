//! The policy in force: budgets and rules, compiled, free of secrets, addressed by content.
//!
//! A policy becomes a journal entry when it is adopted. How it is written down by people (YAML) is not
//! known here.

use serde::{Deserialize, Serialize};

use crate::amount::Unit;
use crate::budget::{Budget, Selector};
use crate::digest::Digest;
use crate::name::Name;

/// Everything that admission goes by, apart from the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The unit in which every AWU states its reservation and its actual consumption (section 3.2).
    pub accounting_unit: Unit,
    /// Which models may be used, asked in this order.
    pub models: Vec<ModelRule>,
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
        Self { accounting_unit: Unit::Usd, models: Vec::new(), budgets: Vec::new() }
    }

    /// The policy's address: the digest of its content.
    #[must_use]
    pub fn version(&self) -> Digest {
        Digest::of_value("genops policy 1", self)
    }
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
