//! The journal itself, entry by entry, and the policy in force: as they are, for whoever follows or audits.
//!
//! Everything else that is told is made from these entries. What stands in them is not explained here.

use std::borrow::Cow;
use std::sync::Arc;

use genops_core::AwuId;
use genops_core::ledger::{Command, Entry, Outcome};
use genops_core::policy::Policy;
use genops_core::record::{AwuRecord, Journaled};
use genops_ledger::{Journal, StoreError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{PAGE_MAX, ReportError, blocking, policy_renamed, text};
use crate::governor::Governor;
use crate::persons::Persons;

/// A page of entries, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<EntryReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `from`. Absent where nothing more is durable by now; whoever follows the
    /// journal goes on after `as_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The last entry that has left the ledger for an archive: the first that is here is the one after it. Absent where
    /// none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryReport {
    /// Its place in the order, from 1, without gaps.
    pub sequence: u64,
    /// When, RFC 3339: never before the entry in front of it.
    pub at: String,
    /// What came of the command, in a word.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// The AWU that it is about; absent where it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awu: Option<String>,
    /// What was asked: an object with the command's name.
    #[schemars(with = "Whole")]
    pub command: Command,
    /// What came of it: the outcome's name, or an object with it.
    #[schemars(with = "Whole")]
    pub outcome: Outcome,
    /// The chain hash of the frame that carries it.
    pub chain: String,
}

/// What an entry's command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A policy is in force.
    PolicyAdopted,
    /// An AWU may run.
    Admitted,
    /// An AWU may not run.
    Refused,
    /// An AWU executes.
    Started,
    /// A reservation was given back.
    Released,
    /// An AWU is accounted for.
    Settled,
    /// Nobody knows what an AWU used.
    InDoubt,
    /// Its holder has more time.
    Extended,
    /// What an AWU was charged was corrected.
    Corrected,
    /// A budget was granted more for some time.
    Granted,
    /// A grant was ended before its time.
    Revoked,
    /// A grant's time was over.
    Lapsed,
    /// A workload reported something of an AWU.
    Reported,
    /// A person's identifier was erased.
    Erased,
    /// Cells that are over left the books.
    CellsClosed,
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReport {
    /// Its address: the digest of its content, with pseudonyms in the place of customers and sessions.
    pub version: String,
    /// All of it, as the journal has it: compiled, and free of secrets; but customers and sessions as callers say them.
    #[schemars(with = "Whole")]
    pub policy: Arc<Policy>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// What is shown whole, in the shape that the journal's format gives it.
struct Whole;

impl JsonSchema for Whole {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Whole")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "string"] })
    }
}

/// Which entries a listing wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct EntryFilter {
    /// The sequence number where the page begins; `None` for the first that is there.
    pub from: Option<u64>,
    /// About this AWU.
    pub awu: Option<AwuId>,
    /// Of this kind.
    pub kind: Option<EntryKind>,
}

/// How many entries are looked at for one page.
const LOOKED_AT_MAX: u64 = 100_000;

impl Governor {
    /// A page of durable entries. Blocks for as long as a disk does. A page may have fewer entries than asked for and go
    /// on all the same, where few are of the kind that is wanted.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn entries(&self, filter: EntryFilter, limit: u32) -> Result<EntryPage, ReportError> {
        let mut journal = self.ledger().journal()?;
        loop {
            let archived = journal.archived()?;
            let page = self.entries_here(filter, limit, &mut journal);
            // Whoever begins with what is there does so also where it leaves meanwhile.
            let has_left =
                filter.from.is_none() && matches!(page, Err(ReportError::Store(StoreError::Archived { .. })));
            if !has_left || journal.archived()? == archived {
                return page;
            }
        }
    }

    fn entries_here(
        &self,
        filter: EntryFilter,
        limit: u32,
        journal: &mut Journal,
    ) -> Result<EntryPage, ReportError> {
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(usize::MAX);
        let as_of = *self.durable().borrow();
        let archived = Some(journal.archived()?).filter(|through| *through > 0);
        let mut entries = Vec::new();
        let Some(first) = self.first_about(filter.awu, journal)? else {
            return Ok(EntryPage { entries, as_of, next: None, archived });
        };
        let first_here = archived.unwrap_or_default().saturating_add(1);
        let first = filter.from.unwrap_or(first_here).max(first);
        let last = as_of.min(first.saturating_add(LOOKED_AT_MAX - 1));
        let mut from = first;
        while from <= last && entries.len() < limit {
            let stretch = journal.after(from - 1)?;
            let Some(end) = stretch.last().map(|journaled| journaled.entry.sequence) else { break };
            from = end.saturating_add(1);
            for journaled in stretch {
                let sequence = journaled.entry.sequence;
                if sequence > last || entries.len() == limit {
                    from = sequence;
                    break;
                }
                if filter.wants(&journaled.entry) {
                    entries.push(EntryReport::of(journaled, self.persons())?);
                }
            }
        }
        Ok(EntryPage { entries, as_of, next: (from <= as_of).then_some(from), archived })
    }

    /// The entry from which on there may be some about an AWU, or about anything; `None` where nobody knows it.
    fn first_about(&self, awu: Option<AwuId>, journal: &mut Journal) -> Result<Option<u64>, ReportError> {
        let Some(awu) = awu else { return Ok(Some(1)) };
        self.with_views_now(journal, |views, journal| {
            Ok(views.awu(awu, journal)?.map(|record| record.sequence))
        })
    }

    /// One durable entry; `None` where there is none by now. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn entry(&self, sequence: u64) -> Result<Option<EntryReport>, ReportError> {
        let journaled = self.ledger().journal()?.entry(sequence)?;
        journaled.map(|journaled| EntryReport::of(journaled, self.persons())).transpose()
    }

    /// The policy in force, as of the last durable entry.
    ///
    /// # Errors
    ///
    /// The ledger has failed.
    pub async fn policy(&self) -> Result<PolicyReport, ReportError> {
        let (policy, version, as_of) = self
            .ledger()
            .read(|books| (books.in_force().shared(), books.policy_version(), books.sequence()))?;
        self.ledger().durable(as_of).await?;
        let this = self.clone();
        let policy =
            blocking(move || Ok(this.persons().reveal(|other| policy_renamed(policy, other))?)).await?;
        Ok(PolicyReport { version: text(version), policy, as_of })
    }
}

impl EntryFilter {
    fn wants(&self, entry: &Entry) -> bool {
        self.awu.is_none_or(|awu| AwuRecord::subject(&entry.command) == Some(awu))
            && self.kind.is_none_or(|kind| kind == EntryKind::of(entry))
    }
}

impl EntryReport {
    fn of(journaled: Journaled, persons: &Persons) -> Result<Self, ReportError> {
        let Journaled { entry, chain } = journaled;
        let entry = persons.entry(entry)?;
        Ok(Self {
            sequence: entry.sequence,
            at: text(entry.at),
            kind: EntryKind::of(&entry),
            awu: AwuRecord::subject(&entry.command).map(text),
            command: entry.command,
            outcome: entry.outcome,
            chain: text(chain),
        })
    }
}

impl EntryKind {
    const fn of(entry: &Entry) -> Self {
        match (&entry.outcome, &entry.command) {
            (Outcome::PolicyAdopted { .. }, _) => Self::PolicyAdopted,
            (Outcome::Admitted(_), _) => Self::Admitted,
            (Outcome::Refused(_), _) => Self::Refused,
            (Outcome::Started, _) => Self::Started,
            (Outcome::Extended { .. }, _) => Self::Extended,
            (Outcome::Released, _) => Self::Released,
            (Outcome::Settled(_), _) => Self::Settled,
            (Outcome::InDoubt { .. }, _) => Self::InDoubt,
            (Outcome::Corrected { .. }, _) => Self::Corrected,
            (Outcome::Granted, _) => Self::Granted,
            (Outcome::GrantEnded { .. }, Command::Revoke { .. }) => Self::Revoked,
            (Outcome::GrantEnded { .. }, _) => Self::Lapsed,
            (Outcome::Noted, Command::Erase { .. }) => Self::Erased,
            (Outcome::Noted, _) => Self::Reported,
            (Outcome::CellsClosed { .. }, _) => Self::CellsClosed,
        }
    }
}
