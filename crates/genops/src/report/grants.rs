//! The grants that hold: what operators gave to budgets for some time.

use genops_core::Name;
use genops_core::ledger::{Books, Grant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReportError, blocking, text};
use crate::governor::Governor;

/// The grants that hold, in the order in which they were made. There are never more than a thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantList {
    /// The grants.
    pub grants: Vec<GrantReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantReport {
    /// Its number: that of the entry that made it.
    pub number: u64,
    /// The budget.
    pub budget: String,
    /// The share of it, by the values of its `each`; absent where every cell of the budget has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// What the budget counts; absent where no policy in force has it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How much more may be used in each of its cells.
    pub amount: String,
    /// Until when, RFC 3339.
    pub until: String,
    /// Who granted it.
    pub author: String,
    /// Why.
    pub reason: String,
}

impl Governor {
    /// The grants that hold now. All that is told is durable.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub async fn grants(&self) -> Result<GrantList, ReportError> {
        let now = self.now();
        let mut list = self.ledger().read(|books| {
            let at = now.max(books.at());
            let unit = |grant: &Grant| Some(text(books.in_force().budget(&grant.budget, at)?.0.unit));
            let grants = books.grants(at).map(|(number, grant)| GrantReport::of(number, grant, unit(grant)));
            GrantList { grants: grants.collect(), as_of: Books::sequence(books) }
        })?;
        self.ledger().durable(list.as_of).await?;
        let this = self.clone();
        let revealing = move || {
            let told = list.grants.iter_mut().flat_map(|grant| grant.each.iter_mut().flatten());
            this.persons().reveal(|other| {
                told.for_each(|value| {
                    let name = other(&Name::nearest(value));
                    *value = name.map_or_else(|| std::mem::take(value), text);
                });
            })?;
            Ok(list)
        };
        blocking(revealing).await
    }
}

impl GrantReport {
    fn of(number: u64, grant: &Grant, unit: Option<String>) -> Self {
        Self {
            number,
            budget: text(&grant.budget),
            each: grant.each.iter().map(|share| share.value.as_ref().map(text)).collect(),
            unit,
            amount: text(grant.amount),
            until: text(grant.until),
            author: text(&grant.act.author),
            reason: text(&grant.act.reason),
        }
    }
}
