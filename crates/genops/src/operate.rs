//! What operators do: resolve what is in doubt, correct what was charged, grant more for some time, erase persons. Each act
//! is an entry with who did it and why.
//!
//! Who may do so is not known here.

use std::path::Path;
use std::sync::Arc;

use genops_core::amount::Quantity;
use genops_core::awu::{AwuId, Execution};
use genops_core::ledger::{Act, Command, Correction, Grant, Revision};
use genops_core::record::AwuRecord;
use genops_core::selector::Facet;
use genops_core::{Name, Timestamp};
use genops_ledger::StoreError;
use genops_ledger::recover::{self, OpenError};
use genops_ledger::sqlite::SqliteStore;

use crate::governor::Governor;
use crate::held::{HeldError, conflict};
use crate::persons::{EraseError, Erased, Persons};

impl Governor {
    /// Says what an AWU used that is in doubt.
    ///
    /// # Errors
    ///
    /// The AWU is not known, or not in doubt.
    pub async fn resolve(&self, awu: AwuId, execution: Execution, act: Act) -> Result<AwuRecord, HeldError> {
        match self.take(Command::Resolve { awu, execution, act }).await {
            Ok(_) => self.known(awu).await,
            Err(error) => Err(self.explain_misfit(awu, error).await),
        }
    }

    /// Corrects what an AWU was charged that has been settled: `charged` is what it should have been in each unit that is
    /// named. Cells of other units stay as they are. Where nothing changes, there is no entry.
    ///
    /// # Errors
    ///
    /// The AWU is not known, has not been settled, or has no cell in one of the units; or a cell would come to less than
    /// nothing.
    pub async fn correct(&self, awu: AwuId, charged: &[Quantity], act: Act) -> Result<AwuRecord, HeldError> {
        // What the difference is depends on the corrections before.
        let _turn = self.corrections().await;
        let record = self.known_by_pseudonyms(awu).await?;
        if record.state() != "SETTLED" {
            let what = format!("is {}; only what was settled is corrected", record.state());
            return Err(conflict(awu, what));
        }
        let Some(correction) = correction(&record, charged, act)? else { return self.known(awu).await };
        match self.take(Command::Correct(Arc::new(correction))).await {
            Ok(_) => self.known(awu).await,
            Err(error) => Err(self.explain_misfit(awu, error).await),
        }
    }

    /// Grants a budget more, for some time. Gives the entry, which is the grant's number.
    ///
    /// # Errors
    ///
    /// The grant does not fit.
    pub async fn grant(&self, grant: Grant) -> Result<u64, HeldError> {
        let posted = self.persons().grant(self.ledger(), self.now(), grant)?;
        Ok(posted.durable().await?.sequence)
    }

    /// Ends a grant before its time. Gives the entry.
    ///
    /// # Errors
    ///
    /// No grant of this number holds.
    pub async fn revoke(&self, grant: u64, act: Act) -> Result<u64, HeldError> {
        Ok(self.take(Command::Revoke { grant, act }).await?.sequence)
    }

    /// Erases a person: a customer or a session, by what callers say. From now on nobody can tell whom its pseudonym in
    /// the journal stood for. Its AWUs go on under that, and if the same value comes again, it is somebody else's.
    ///
    /// # Errors
    ///
    /// The ledger knows nobody by this value, or the policy in force names it.
    pub async fn erase(&self, facet: Facet, value: &Name, act: Act) -> Result<Erased, EraseError> {
        let (pseudonym, posted) = self.persons().erase(self.ledger(), self.now(), facet, value, act)?;
        Ok(Erased { pseudonym, sequence: posted.durable().await?.sequence })
    }
}

/// Erases a person in a ledger file that no server has open. What the last server left behind is resolved, as at the next
/// start.
///
/// # Errors
///
/// There is no ledger, a server holds it, or it is damaged; or as [`Governor::erase`].
pub async fn erase_in_file(
    path: &Path,
    facet: Facet,
    value: &Name,
    act: Act,
    now: Timestamp,
) -> Result<Erased, EraseInFileError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.display().to_string() }.into());
    }
    let (ledger, _) = recover::open(SqliteStore::open(path)?, now).await?;
    let (pseudonym, posted) = Persons::of(&ledger)?.erase(&ledger, now, facet, value, act)?;
    Ok(Erased { pseudonym, sequence: posted.durable().await.map_err(EraseError::from)?.sequence })
}

/// Why nobody was erased in a ledger file.
#[derive(Debug, thiserror::Error)]
pub enum EraseInFileError {
    /// There is no ledger, or a server holds it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was not done.
    #[error(transparent)]
    Erase(#[from] EraseError),
}

/// The correction that makes `charged` of what a record says; `None` where nothing changes.
fn correction(record: &AwuRecord, charged: &[Quantity], act: Act) -> Result<Option<Correction>, HeldError> {
    let awu = record.id();
    let misfits = |what: &str| conflict(awu, what.to_owned());
    for (place, Quantity { unit, amount }) in charged.iter().enumerate() {
        if amount.is_negative() || charged.iter().take(place).any(|other| other.unit == *unit) {
            let what = format!("cannot be charged so: {unit} stands twice, or is less than nothing");
            return Err(conflict(awu, what));
        }
        if !record.cells().iter().any(|step| step.key.unit == *unit) {
            return Err(conflict(awu, format!("was charged nothing in {unit}; name a unit of its cells")));
        }
    }
    let mut postings = Vec::new();
    for (position, step) in record.cells().iter().enumerate() {
        let Some(quantity) = charged.iter().find(|quantity| quantity.unit == step.key.unit) else { continue };
        let (now, _) = record.charged_now(position).ok_or_else(|| misfits("has no charge to correct"))?;
        let amount = quantity.amount.checked_sub(now).ok_or_else(|| misfits("cannot be charged so much"))?;
        if amount.atoms() != 0 {
            let of_cell = record.postings(position, amount);
            postings.extend(of_cell.ok_or_else(|| misfits("is not charged so much"))?);
        }
    }
    if postings.is_empty() {
        return Ok(None);
    }
    let (position, step) = record.accounting().ok_or_else(|| misfits("has no accounting unit"))?;
    let (before, _) = record.charged_now(position).ok_or_else(|| misfits("has no charge to correct"))?;
    let now = charged.iter().find(|quantity| quantity.unit == step.key.unit);
    Ok(Some(Correction {
        awu,
        admitted: record.sequence,
        postings,
        revision: Revision {
            attribution: record.request.proposal.attribution.clone(),
            unit: step.key.unit,
            reserved: step.amount,
            before,
            actual: now.map_or(before, |quantity| quantity.amount),
        },
        act,
    }))
}
