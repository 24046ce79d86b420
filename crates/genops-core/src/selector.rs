//! Selectors: which AWUs a rule or a budget is about, by what is known of them before they run.
//!
//! A [`Facet`] is one thing that is known of every proposal, or of some; a [`Selector`] lists the values of facets
//! that it takes. How rules are found without asking each of them is in [`index`](crate::index).

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::awu::Proposal;
use crate::name::Name;

/// A thing that is known of a proposal and that has a name as its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Facet {
    /// `genops.team`.
    Team,
    /// `genops.project`.
    Project,
    /// `genops.environment`.
    Environment,
    /// `genops.customer_id`.
    CustomerId,
    /// `genops.feature`.
    Feature,
    /// `genops.cost_center`.
    CostCenter,
    /// `genops.session_id`.
    SessionId,
    /// The key that the caller showed, by name.
    Key,
    /// The provider that will be asked.
    Provider,
    /// The model that will be asked for.
    Model,
    /// `genops.operation.type`.
    OperationType,
}

impl Facet {
    /// Every facet.
    pub const ALL: [Self; 11] = [
        Self::Team,
        Self::Project,
        Self::Environment,
        Self::CustomerId,
        Self::Feature,
        Self::CostCenter,
        Self::SessionId,
        Self::Key,
        Self::Provider,
        Self::Model,
        Self::OperationType,
    ];

    /// The word that people write for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::CustomerId => "customer_id",
            Self::Feature => "feature",
            Self::CostCenter => "cost_center",
            Self::SessionId => "session_id",
            Self::Key => "key",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::OperationType => "operation_type",
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose share of something divided it is: a facet, and its value. The same value of another facet is another share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Share {
    /// What it is divided by.
    pub facet: Facet,
    /// Its value; `None` for AWUs without one.
    pub value: Option<Name>,
}

/// For people: the value, or `-`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.value.as_ref().map_or("-", Name::as_str))
    }
}

impl Proposal {
    /// What is known of the proposal under each of `facets`, in their order.
    #[must_use]
    pub fn each(&self, facets: &[Facet]) -> Box<[Share]> {
        facets.iter().map(|facet| Share { facet: *facet, value: self.facet(*facet).cloned() }).collect()
    }

    /// What is known of the proposal under `facet`; `None` where nobody said.
    #[must_use]
    pub const fn facet(&self, facet: Facet) -> Option<&Name> {
        match facet {
            Facet::Team => Some(self.attribution.team()),
            Facet::Project => Some(self.attribution.project()),
            Facet::Environment => Some(self.attribution.environment()),
            Facet::CustomerId => self.labels.customer_id.as_ref(),
            Facet::Feature => self.labels.feature.as_ref(),
            Facet::CostCenter => self.labels.cost_center.as_ref(),
            Facet::SessionId => self.labels.session_id.as_ref(),
            Facet::Key => self.key.as_ref(),
            Facet::Provider => self.provider.as_ref(),
            Facet::Model => self.model.as_ref(),
            Facet::OperationType => Some(&self.operation_type),
        }
    }
}

/// Chooses AWUs by their facets: each clause has to take the AWU. Without clauses it chooses every AWU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    clauses: Vec<Clause>,
}

/// One condition of a selector: a facet has one of these values. An AWU without the facet is not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// What is looked at.
    pub facet: Facet,
    /// The values that it takes; never empty.
    pub values: Vec<Name>,
}

impl Selector {
    /// Narrows the selector to AWUs whose `facet` is one of `values`. No values narrow nothing.
    #[must_use]
    pub fn with(mut self, facet: Facet, values: Vec<Name>) -> Self {
        if !values.is_empty() {
            self.clauses.push(Clause { facet, values });
        }
        self
    }

    /// Its clauses, in the order in which they were written.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// The same, to put other values in their places.
    pub(crate) fn clauses_mut(&mut self) -> &mut [Clause] {
        &mut self.clauses
    }

    /// Whether the selector chooses this proposal.
    #[must_use]
    pub fn matches(&self, proposal: &Proposal) -> bool {
        self.clauses
            .iter()
            .all(|clause| proposal.facet(clause.facet).is_some_and(|value| clause.values.contains(value)))
    }
}

/// For people: `team search or ads, environment production`; `every call` where nothing narrows it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clauses.is_empty() {
            return f.write_str("every call");
        }
        for (place, clause) in self.clauses.iter().enumerate() {
            let values: Vec<_> = clause.values.iter().map(Name::as_str).collect();
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", clause.facet, values.join(" or "))?;
        }
        Ok(())
    }
}
