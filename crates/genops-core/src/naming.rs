//! Other names in the places where those of persons can stand: in what is proposed, in policies and grants, and in what
//! entries and records say.
//!
//! Whoever knows persons puts pseudonyms there on the way in, and values on the way out. Whom a name stands for is not
//! known here, and nothing is decided by it.

use std::sync::Arc;

use crate::admit::Ruling;
use crate::attribution::Attribution;
use crate::awu::Proposal;
use crate::budget::CellKey;
use crate::ledger::{Alert, Command, Entry, Outcome, Settled};
use crate::name::Name;
use crate::person;
use crate::policy::Policy;
use crate::rate::RateKey;
use crate::record::{AwuRecord, Verdict};
use crate::selector::{Facet, Selector, Share};

/// Gives the name of a facet's value another one in its place; `None` where it stays.
pub type OfFacet<'a> = dyn FnMut(Facet, &Name) -> Option<Name> + 'a;

/// The same where nobody knows the facet.
pub type OfAny<'a> = dyn FnMut(&Name) -> Option<Name> + 'a;

impl Proposal {
    /// Puts other names in the place of its facets' values.
    pub fn rename(&mut self, other: &mut OfFacet<'_>) {
        self.attribution.rename(other);
        let labels = &mut self.labels;
        let said = [
            (Facet::CustomerId, &mut labels.customer_id),
            (Facet::Feature, &mut labels.feature),
            (Facet::CostCenter, &mut labels.cost_center),
            (Facet::SessionId, &mut labels.session_id),
            (Facet::Key, &mut self.key),
            (Facet::Provider, &mut self.provider),
            (Facet::Model, &mut self.model),
        ];
        for (facet, name) in said {
            name.iter_mut().for_each(|name| put(name, |name| other(facet, name)));
        }
        put(&mut self.operation_type, |name| other(Facet::OperationType, name));
    }
}

impl Policy {
    /// Puts other names in the place of the values that its selectors take.
    pub fn rename(&mut self, other: &mut OfFacet<'_>) {
        let lists = self.models.iter_mut().chain(&mut self.regions).map(|rule| &mut rule.selector);
        let selectors = lists
            .chain(self.conditions.iter_mut().map(|rule| &mut rule.selector))
            .chain(self.contents.iter_mut().map(|rule| &mut rule.selector))
            .chain(self.rates.iter_mut().map(|rule| &mut rule.selector))
            .chain(self.slas.iter_mut().map(|rule| &mut rule.selector))
            .chain(self.budgets.iter_mut().map(|rule| &mut rule.selector));
        selectors.for_each(|selector| selector.rename(other));
    }

    /// Whether one of its selectors takes `name` for a value of `facet`.
    #[must_use]
    pub fn names(&self, facet: Facet, name: &Name) -> bool {
        let mut is_named = false;
        self.clone().rename(&mut |of, value| {
            is_named |= of == facet && value == name;
            None
        });
        is_named
    }
}

impl Selector {
    fn rename(&mut self, other: &mut OfFacet<'_>) {
        for clause in self.clauses_mut() {
            let facet = clause.facet;
            clause.values.iter_mut().for_each(|value| put(value, |name| other(facet, name)));
        }
    }
}

impl Entry {
    /// Puts other names in the place of those that can be a person's.
    pub fn rename(&mut self, other: &mut OfAny<'_>) {
        match &mut self.command {
            Command::AdoptPolicy(policy) => Arc::make_mut(policy).rename(&mut |_, name| other(name)),
            Command::Admit(request) => Arc::make_mut(request).proposal.rename(&mut |_, name| other(name)),
            Command::Correct(correction) => {
                Arc::make_mut(correction).revision.attribution.rename(&mut |_, name| other(name));
            }
            Command::Grant(grant) => rename_each(&mut Arc::make_mut(grant).each, other),
            Command::Report(note) => Arc::make_mut(note).attribution.rename(&mut |_, name| other(name)),
            // What was erased stays what it is.
            Command::Erase { .. }
            | Command::Start { .. }
            | Command::Extend { .. }
            | Command::Release { .. }
            | Command::Settle { .. }
            | Command::Orphan { .. }
            | Command::Expire { .. }
            | Command::Resolve { .. }
            | Command::Revoke { .. }
            | Command::Lapse { .. }
            | Command::CloseCells { .. } => {}
        }
        match &mut self.outcome {
            Outcome::Admitted(admitted) => Arc::make_mut(admitted).rename(other),
            Outcome::Refused(refused) => Arc::make_mut(refused).ruling.rename(other),
            Outcome::Settled(settled) => settled.rename(other),
            Outcome::InDoubt { alerts }
            | Outcome::Corrected { alerts }
            | Outcome::GrantEnded { alerts }
            | Outcome::PolicyAdopted { alerts, .. } => rename_alerts(alerts, other),
            Outcome::Started
            | Outcome::Extended { .. }
            | Outcome::Released
            | Outcome::Granted
            | Outcome::Noted
            | Outcome::CellsClosed { .. } => {}
        }
    }
}

impl Settled {
    fn rename(&mut self, other: &mut OfAny<'_>) {
        rename_alerts(&mut self.alerts, other);
        self.rates.iter_mut().for_each(|shift| shift.key.rename(other));
        if let Some(late) = &mut self.late {
            late.attribution.rename(&mut |_, name| other(name));
        }
    }
}

impl AwuRecord {
    /// Whether a name stands in it that has the form of a pseudonym.
    #[must_use]
    pub fn names_persons(&self) -> bool {
        let is_one = |name: &Name| person::number(name).is_some();
        let ruling = self.ruling();
        let each = ruling.cells.iter().map(|step| &step.key.each);
        let each = each.chain(ruling.rates.iter().map(|step| &step.key.each));
        let proposal = &self.request.proposal;
        Facet::ALL.iter().any(|facet| proposal.facet(*facet).is_some_and(is_one))
            || each.flatten().filter_map(|share| share.value.as_ref()).any(is_one)
    }

    /// The record with other names in the place of those that can be a person's. Its digests stay those of the journal:
    /// one over what a person is called could be found again by trying.
    #[must_use]
    pub fn renamed(&self, other: &mut OfAny<'_>) -> Self {
        let mut record = self.clone();
        record.digests = Some((self.input_digest(), self.state_digest()));
        Arc::make_mut(&mut record.request).proposal.rename(&mut |_, name| other(name));
        match &mut record.verdict {
            Verdict::Admitted(admitted) => Arc::make_mut(admitted).rename(other),
            Verdict::Refused(refused) => Arc::make_mut(refused).ruling.rename(other),
        }
        record
    }
}

impl Ruling {
    /// Puts other names in the place of whose share a cell or a rate is.
    pub(crate) fn rename(&mut self, other: &mut OfAny<'_>) {
        self.cells.iter_mut().for_each(|step| step.key.rename(other));
        self.rates.iter_mut().for_each(|step| step.key.rename(other));
    }
}

impl CellKey {
    /// Puts other names in the place of whose share it is.
    pub fn rename(&mut self, other: &mut OfAny<'_>) {
        rename_each(&mut self.each, other);
    }
}

impl RateKey {
    fn rename(&mut self, other: &mut OfAny<'_>) {
        rename_each(&mut self.each, other);
    }
}

impl Attribution {
    fn rename(&mut self, other: &mut OfFacet<'_>) {
        for (facet, name) in self.names_mut() {
            put(name, |name| other(facet, name));
        }
    }
}

fn rename_alerts(alerts: &mut [Alert], other: &mut OfAny<'_>) {
    alerts.iter_mut().for_each(|alert| alert.key.rename(other));
}

fn rename_each(each: &mut [Share], other: &mut OfAny<'_>) {
    each.iter_mut().filter_map(|share| share.value.as_mut()).for_each(|name| put(name, &mut *other));
}

fn put(name: &mut Name, other: impl FnOnce(&Name) -> Option<Name>) {
    if let Some(other) = other(name) {
        *name = other;
    }
}
