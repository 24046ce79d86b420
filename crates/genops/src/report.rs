//! What can be asked afterwards: budgets and AWUs, as plain data that serialises to the JSON of the read
//! API and of the commands. Amounts are decimal text; every list says as of which entry it holds.
//!
//! A running ledger is asked through the [`Governor`], a ledger file through an [`Archive`], and of one AWU also the files that
//! old entries have left for, through [`Recorded`]. What is told of one AWU is an
//! [`AwuReport`], why it was decided so an [`Explanation`]; a budget is a [`BudgetReport`], a cell a [`CellBalance`], an
//! entry of the journal an [`EntryReport`]; how the ledger stands is a [`StatusReport`].

mod archive;
mod awu;
mod budgets;
mod cells;
mod explanation;
mod grants;
mod journal;
mod recorded;
mod status;

use std::sync::Arc;

use genops_core::budget::CellKey;
use genops_core::ledger::Books;
use genops_core::naming::OfAny;
use genops_core::policy::{InForce, Policy};
use genops_core::record::AwuRecord;
use genops_core::{AwuId, Digest};
use genops_ledger::recover::OpenError;
use genops_ledger::source::listed;
use genops_ledger::views::{Estimate, Filter, Found, Views};
use genops_ledger::{Journal, LedgerError, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::governor::Governor;
use crate::persons::Persons;

pub use archive::Archive;
pub use awu::{AwuReport, CellReport, ChangeReport, LabelReport, LaterReport, SlaReport, TokenReport};
pub use budgets::{BudgetCursor, BudgetFilter, BudgetList, BudgetReport};
pub use cells::{CellBalance, CellFilter, CellPage};
pub use explanation::{
    AskedReport, AssessmentReport, CallerReport, CircuitReport, CircuitStateReport, Explanation, RateReport,
    RateStateReport,
};
pub use grants::{GrantList, GrantReport};
pub use journal::{EntryFilter, EntryKind, EntryPage, EntryReport, PolicyReport};
pub use recorded::Recorded;
pub use status::{OpenAwuCounts, StatusReport};

/// A page of AWUs, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwuPage {
    /// The AWUs.
    pub awus: Vec<AwuReport>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
    /// Where the next page begins: give it as `before`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// On the last page, the last entry that has left the ledger for an archive: AWUs that were decided by then are on no
    /// page. Absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
}

/// How good the bounds were, by provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EstimateList {
    /// One for each provider and model with a usage report.
    pub estimates: Vec<Estimate>,
    /// The last entry that the answer takes into account.
    pub as_of: u64,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger has failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A decision rests on a policy that nobody adopted.
    #[error(
        "policy {0} is not in the journal, so nobody can say which of its rules were asked: if there are archives from \
         before, give them as well, and verify the ledger if there are none"
    )]
    NoPolicy(Digest),
    /// An AWU is not in the ledger, and may be in what has left it.
    #[error(
        "no AWU {awu} is in this ledger, but the entries through {through} are archived: look into the archive \
         that `genops archive` has made of them"
    )]
    PerhapsArchived {
        /// The AWU.
        awu: AwuId,
        /// The last entry that has left.
        through: u64,
    },
    /// An AWU is not in the files that were given.
    #[error("no AWU {awu} is in {}", looked_in(*.first, *.end, .archives))]
    NotRecorded {
        /// The AWU.
        awu: AwuId,
        /// The first entry that they have.
        first: u64,
        /// The last entry that they have, where the last file is no ledger.
        end: Option<u64>,
        /// The last entry of each archive from before, and what its file was called.
        archives: Vec<(u64, String)>,
    },
    /// A cell has been closed.
    #[error(
        "cell {number} has been closed: it is over and archived, and its account is in the archive that holds what was \
         charged in it"
    )]
    CellClosed {
        /// Its number.
        number: u32,
    },
    /// A page of budgets goes on in a policy that is not in force any more.
    #[error(
        "another policy is in force since the page before, with other budgets; begin anew, without `from`"
    )]
    AnotherPolicy,
    /// There is no follower of telemetry of this name.
    #[error("there is no follower `{name}`; there is: {known}")]
    NoFollower {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A task that reads has ended without an answer.
    #[error("the question could not be worked on: {0}")]
    Task(String),
}

/// The most AWUs, cells or entries on one page.
pub const PAGE_MAX: u32 = 1_000;

/// How many stretches of the journal are looked through for one page of AWUs.
const STRETCHES_MAX: u32 = 64;

impl Governor {
    /// AWUs, the latest first. Blocks for as long as a disk does. A page may have fewer AWUs than asked for and go on
    /// all the same, where few of the last sixteen million entries are about such AWUs. Customer and session are asked for
    /// by what callers say, or by their pseudonyms.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn awus(&self, filter: &Filter, limit: u32) -> Result<AwuPage, ReportError> {
        let mut journal = self.ledger().journal()?;
        let as_of = *self.durable().borrow();
        // Of whom nobody knew then, no entry was there.
        let Some(filter) = self.persons().asked(filter)? else {
            return AwuPage::none(as_of).ended(&mut journal);
        };
        // Whoever else wants the tables has them between the stretches.
        let page = awu_page_by(self.persons(), &filter, limit, STRETCHES_MAX, |filter, limit| {
            self.with_views_now(&mut journal, |views, journal| {
                Ok((views.awus(filter, limit, journal)?, views.as_of()))
            })
        })?;
        page.ended(&mut journal)
    }

    /// How good the bounds were. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn estimates(&self) -> Result<EstimateList, ReportError> {
        let mut journal = self.ledger().journal()?;
        self.with_views_now(&mut journal, |views, _| {
            Ok(EstimateList { estimates: views.estimates()?, as_of: views.as_of() })
        })
    }

    /// One AWU. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn awu(&self, id: AwuId) -> Result<Option<AwuReport>, ReportError> {
        let mut journal = self.ledger().journal()?;
        let found = self.with_views_now(&mut journal, |views, journal| views.awu(id, journal))?;
        let found = found.map(|record| self.persons().record(record)).transpose()?;
        found_or_archived(id, found.as_ref().map(AwuReport::of), &mut journal)
    }

    /// Why one AWU was decided as it was. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The journal or its tables cannot be read.
    pub fn explain(&self, id: AwuId) -> Result<Option<Explanation>, ReportError> {
        let mut journal = self.ledger().journal()?;
        let in_force = self.ledger().read(Books::shared_in_force)?;
        let found = self.with_views_now(&mut journal, |views, journal| {
            explain(views, &in_force, journal, self.persons(), id)
        })?;
        found_or_archived(id, found, &mut journal)
    }
}

/// Where an AWU was looked for in files, and where else it may be.
fn looked_in(first: u64, end: Option<u64>, archives: &[(u64, String)]) -> String {
    let through = end.map(|end| format!("goes through entry {end}"));
    let after =
        "what was decided after that is elsewhere, so give what comes after it as well, the ledger last";
    match (first, &through) {
        (1, None) => return "this ledger".to_owned(),
        (1, Some(through)) => return format!("what was given, which {through}; {after}"),
        _ => {}
    }
    let through = through.map(|through| format!(" and {through}; {after}")).unwrap_or_default();
    let files = match listed(archives, 1) {
        files if files.is_empty() => files,
        files => format!(": {files}"),
    };
    format!(
        "what was given, which begins with entry {first}{through}; what was decided before is archived, so give the archives as well, \
         in their order and before the ledger, `--ledger ARCHIVE... LEDGER`{files}"
    )
}

/// Where an AWU is not there, says that it may be archived: tables that were made since know nothing of what has left.
pub(crate) fn found_or_archived<T>(
    awu: AwuId,
    found: Option<T>,
    journal: &mut Journal,
) -> Result<Option<T>, ReportError> {
    match (found, journal.archived()?) {
        (None, through) if through > 0 => Err(ReportError::PerhapsArchived { awu, through }),
        (found, _) => Ok(found),
    }
}

impl AwuPage {
    fn none(as_of: u64) -> Self {
        Self { as_of, ..Self::default() }
    }

    /// Says on the last page what is on none.
    fn ended(mut self, journal: &mut Journal) -> Result<Self, ReportError> {
        if self.next.is_none() {
            self.archived = Some(journal.archived()?).filter(|through| *through > 0);
        }
        Ok(self)
    }
}

fn explain(
    views: &Views,
    in_force: &InForce,
    journal: &mut Journal,
    persons: &Persons,
    id: AwuId,
) -> Result<Option<Explanation>, ReportError> {
    let Some(record) = views.awu(id, journal)? else { return Ok(None) };
    let version = record.ruling().policy;
    // The one in force is known even where its adoption is archived.
    let policy = if version == in_force.version() {
        Some(in_force.shared())
    } else {
        match views.policy(version, journal) {
            // Its adoption is archived. It is the one that was kept, or the AWU would have left as well.
            Ok(None) | Err(StoreError::Archived { .. }) => journal.archived_policy(version)?,
            policy => policy?,
        }
    };
    explained(record, policy.ok_or(ReportError::NoPolicy(version))?, persons).map(Some)
}

/// Explains a record by the policy that decided.
fn explained(record: AwuRecord, policy: Arc<Policy>, persons: &Persons) -> Result<Explanation, ReportError> {
    // Both say the same of whom they know.
    let (record, policy) = (persons.record(record)?, persons.reveal(|other| policy_renamed(policy, other))?);
    Ok(Explanation::of(&record, &InForce::new(policy)))
}

fn policy_renamed(mut policy: Arc<Policy>, other: &mut OfAny<'_>) -> Arc<Policy> {
    Arc::make_mut(&mut policy).rename(&mut |_, name| other(name));
    policy
}

fn awu_page(
    views: &mut Views,
    journal: &mut Journal,
    persons: &Persons,
    filter: &Filter,
    limit: u32,
) -> Result<AwuPage, ReportError> {
    let Some(filter) = persons.asked(filter)? else { return AwuPage::none(views.as_of()).ended(journal) };
    let page = awu_page_by(persons, &filter, limit, u32::MAX, |filter, limit| {
        Ok((views.awus(filter, limit, journal)?, views.as_of()))
    })?;
    page.ended(journal)
}

/// A page, put together from at most so many stretches, which `look` finds together with the last entry that it takes
/// into account.
fn awu_page_by(
    persons: &Persons,
    filter: &Filter,
    limit: u32,
    stretches_max: u32,
    mut look: impl FnMut(&Filter, u32) -> Result<(Found, u64), ReportError>,
) -> Result<AwuPage, ReportError> {
    let mut filter = filter.clone();
    let mut missing = limit.clamp(1, PAGE_MAX);
    let mut page: Option<AwuPage> = None;
    for _ in 0..stretches_max {
        let (found, as_of) = look(&filter, missing)?;
        // What the first look takes into account, the later ones do as well: they look further back.
        let page = page.get_or_insert(AwuPage { as_of, ..AwuPage::default() });
        missing = missing.saturating_sub(u32::try_from(found.records.len()).unwrap_or(u32::MAX));
        for record in found.records {
            page.awus.push(AwuReport::of(&persons.record(record)?));
        }
        page.next = found.next;
        filter.before = found.next;
        if missing == 0 || found.next.is_none() {
            break;
        }
    }
    Ok(page.unwrap_or_default())
}

/// The share that a cell is.
fn share(key: &CellKey) -> Vec<Option<String>> {
    key.each.iter().map(|share| share.value.as_ref().map(text)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map`, which gives the value away")]
fn text(value: impl ToString) -> String {
    value.to_string()
}

/// Does what blocks away from the tasks that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.unwrap_or_else(|error| Err(ReportError::Task(error.to_string())))
}
