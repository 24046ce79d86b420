//! What operators do: resolve what is in doubt, correct what was charged, grant more for some time, erase persons, let old
//! entries leave. Each act is an entry with who did it and why.
//!
//! Who may do so is not known here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use genops_core::amount::Quantity;
use genops_core::awu::{AwuId, Execution};
use genops_core::ledger::{Act, Command, Correction, Grant, Rejection, Revision};
use genops_core::period::Period;
use genops_core::record::{AwuRecord, Later, News};
use genops_core::selector::{Facet, Share};
use genops_core::{Name, Timestamp};
use genops_ledger::recover::{self, OpenError};
use genops_ledger::retention::{ArchiveError, Through, closed_in};
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::witness::Head;
use genops_ledger::{LedgerError, StoreError};

use crate::governor::Governor;
use crate::held::{HeldError, Told, conflict};
use crate::persons::{EraseError, Erased, Persons};
use crate::report::ReportError;

/// A grant that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Its number: that of the entry that made it.
    pub number: u64,
    /// How many cells it reaches now; those that are opened while it holds have it as well.
    pub cells: usize,
}

/// Entries that have left the ledger's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// What the archive ends with.
    pub head: Head,
    /// How many cells that are over left the books with them.
    pub cells: u64,
}

impl Governor {
    /// Says what an AWU used that is in doubt. Said again with the same reason, it changes nothing.
    ///
    /// # Errors
    ///
    /// The AWU is not known, or not in doubt, and nobody has resolved it so before.
    pub async fn resolve(
        &self,
        awu: AwuId,
        execution: Execution,
        act: Act,
    ) -> Result<Told<AwuRecord>, HeldError> {
        let command = Command::Resolve { awu, execution: execution.clone(), act: act.clone() };
        let is_repeated = match self.take(command).await {
            Ok(_) => false,
            Err(LedgerError::Rejected(Rejection::NotOpen { .. })) => true,
            Err(error) => return Err(self.explain_misfit(awu, error).await),
        };
        let what = self.known(awu).await?;
        let was_said = |later: &Later| {
            let News::Settled { execution: resolved, act: by, .. } = &later.news else { return false };
            *resolved == execution && by.as_ref() == Some(&act)
        };
        if is_repeated && !what.later.iter().any(was_said) {
            return Err(conflict(awu, format!("is {}, so it cannot be resolved", what.state())));
        }
        Ok(Told { what, is_repeated })
    }

    /// Corrects what an AWU was charged that has been settled: `charged` is what it should have been in each unit that is
    /// named. Cells of other units stay as they are. Where nothing changes, there is no entry; it is a repetition where it
    /// was corrected before by the same author for the same reason.
    ///
    /// `before` is what it is charged now, in the units that are named there: where that is not so, nothing is corrected.
    /// Then nobody corrects what somebody else has corrected meanwhile, and nothing that is said again corrects again, not
    /// even where that was taken back.
    ///
    /// # Errors
    ///
    /// The AWU is not known, has not been settled, has no cell in one of the units, or is charged otherwise than `before`
    /// says; or a cell would come to less than nothing.
    pub async fn correct(
        &self,
        awu: AwuId,
        before: &[Quantity],
        charged: &[Quantity],
        act: Act,
    ) -> Result<Told<AwuRecord>, HeldError> {
        // What the difference is depends on the corrections before.
        let _turn = self.corrections().await;
        let record = self.known_by_pseudonyms(awu).await?;
        if record.state() != "SETTLED" {
            let what = format!("is {}; only what was settled is corrected", record.state());
            return Err(conflict(awu, what));
        }
        let was_said = |later: &Later| matches!(&later.news, News::Corrected(before) if before.act == act);
        let is_repeated = record.later.iter().any(was_said);
        let was_made = !before.is_empty() && was_made(&record, before, charged, &act);
        let correction = correction(&record, charged, act)?;
        if correction.is_some() || !is_repeated {
            is_charged(&record, before)?;
        }
        if correction.is_some() && was_made {
            let what =
                "was corrected so before for this reason, and back since; give another reason to do it again";
            return Err(conflict(awu, what.to_owned()));
        }
        let Some(correction) = correction else {
            return Ok(Told { what: self.known(awu).await?, is_repeated });
        };
        match self.take_of(Command::Correct(Arc::new(correction)), &record).await {
            Ok(_) => Ok(Told { what: self.known(awu).await?, is_repeated: false }),
            Err(error) => Err(self.explain_misfit(awu, error).await),
        }
    }

    /// Grants a budget more, for some time. Where the same grant holds already, it is told again.
    ///
    /// # Errors
    ///
    /// The grant does not fit, or nobody could use it.
    pub async fn grant(&self, grant: Grant) -> Result<Told<Granted>, HeldError> {
        if self.helps_nobody(&grant)? {
            return Err(HeldError::HelpsNobody);
        }
        let (number, is_repeated) = match self.persons().grant(self.ledger(), self.now(), grant) {
            Ok(posted) => (posted.durable().await?.sequence, false),
            Err(LedgerError::Rejected(Rejection::GrantHeld { sequence })) => {
                self.ledger().durable(sequence).await?;
                (sequence, true)
            }
            Err(error) => return Err(error.into()),
        };
        let now = self.now();
        let cells = self.ledger().read(|books| {
            let at = now.max(books.at());
            books.grant(number).map_or(0, |grant| books.reached_by(grant, at))
        })?;
        Ok(Told { what: Granted { number, cells }, is_repeated })
    }

    /// The shares of a budget with these values, one for each facet that the policy in force divides it by, or none for all
    /// of it.
    ///
    /// # Errors
    ///
    /// There is no such budget, there are more values or fewer, or the ledger has failed.
    pub fn shares(&self, budget: &Name, values: Vec<Option<Name>>) -> Result<Box<[Share]>, HeldError> {
        let shares = self.ledger().read(|books| {
            let mut budgets = books.policy().budgets.iter();
            let known = budgets.find(|known| known.name == *budget).ok_or(Rejection::GrantOfNoBudget)?;
            known.shares(values).ok_or(Rejection::GrantOfNoShare)
        })?;
        Ok(shares.map_err(LedgerError::Rejected)?)
    }

    /// Whether a grant is new, and for a fixed range of time that it never meets. That is no rule of the ledger: a journal
    /// may have such grants, and they are as good as none.
    fn helps_nobody(&self, grant: &Grant) -> Result<bool, LedgerError> {
        let now = self.now();
        self.ledger().read(|books| {
            let at = now.max(books.at());
            let period = books.in_force().budget(&grant.budget, at).map(|(budget, _)| &budget.period);
            let misses = |period: &Period| {
                matches!(period, Period::Between { from, until } if *until <= at || *from >= grant.until)
            };
            // Whose share it is stands in the books by a pseudonym, so it is not looked at.
            let is_said_again = books.grants(at).any(|(_, holding)| {
                (&holding.budget, holding.amount, holding.until, &holding.act)
                    == (&grant.budget, grant.amount, grant.until, &grant.act)
            });
            period.is_some_and(misses) && !is_said_again
        })
    }

    /// Ends a grant before its time. Gives the entry. Said again with the same reason, it gives the same.
    ///
    /// # Errors
    ///
    /// No grant of this number holds, and nobody has ended it so before.
    pub async fn revoke(&self, grant: u64, act: Act) -> Result<Told<u64>, HeldError> {
        match self.take(Command::Revoke { grant, act: act.clone() }).await {
            Ok(entry) => Ok(Told { what: entry.sequence, is_repeated: false }),
            Err(LedgerError::Rejected(rejection @ Rejection::NoGrant { .. })) => {
                let (said, sequence) = self.revocation(grant).await?.unzip();
                match sequence.filter(|_| said == Some(act)) {
                    Some(what) => Ok(Told { what, is_repeated: true }),
                    None => Err(LedgerError::Rejected(rejection).into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Who ended a grant before its time, and why; and the entry.
    async fn revocation(&self, grant: u64) -> Result<Option<(Act, u64)>, HeldError> {
        self.settled_order().await?;
        let governor = self.clone();
        let find = move || {
            let mut journal = governor.ledger().journal()?;
            let sequence = governor.with_views_now(&mut journal, |views, _| views.revocation(grant))?;
            let Some(sequence) = sequence else { return Ok(None) };
            let said = journal.entry(sequence)?.map(|journaled| journaled.entry.command);
            match said {
                Some(Command::Revoke { act, .. }) => Ok(Some((act, sequence))),
                _ => Ok::<_, StoreError>(None),
            }
        };
        let found = tokio::task::spawn_blocking(find).await;
        let found = found.map_err(|error| ReportError::Task(error.to_string()))?;
        Ok(found.map_err(ReportError::from)?)
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

    /// Lets the entries through `through` leave the ledger's file for the new file `to`, which has been read back before the
    /// first is forgotten, and then closes the cells that only they were charged in, by an entry of `author`. Decisions go on
    /// meanwhile. It comes to its end also where this is dropped.
    ///
    /// # Errors
    ///
    /// The ledger is in memory, somebody needs the entries yet, or the archive cannot be made: then nothing is forgotten. Or the
    /// governor closes before everything is forgotten, or the entry that closes cells does not become durable: what has been
    /// noted as archived has left.
    pub async fn archive(
        &self,
        through: Through,
        to: PathBuf,
        author: Name,
    ) -> Result<Archived, ArchiveError> {
        let archivist = self.archivist().ok_or(ArchiveError::InMemory)?;
        let (head, closing) = archivist.archive(through, to, author).await?;
        let cells = match closing {
            Some(posted) => closed_in(&posted.durable().await?),
            None => 0,
        };
        Ok(Archived { head, cells })
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

/// Whether this very correction was made, at whatever time.
fn was_made(record: &AwuRecord, before: &[Quantity], charged: &[Quantity], act: &Act) -> bool {
    let was_charged = |wanted: &[Quantity], news: usize| {
        wanted.iter().all(|Quantity { unit, amount }| {
            let mut cells = record.cells().iter().enumerate().filter(|(_, step)| step.key.unit == *unit);
            cells.all(|(position, _)| {
                record.charged_after(position, news).is_some_and(|(then, _)| then == *amount)
            })
        })
    };
    record.later.iter().enumerate().any(|(news, later)| {
        matches!(&later.news, News::Corrected(made) if made.act == *act)
            && was_charged(before, news)
            && was_charged(charged, news.saturating_add(1))
    })
}

/// Says that a record is charged so in every cell of these units.
fn is_charged(record: &AwuRecord, before: &[Quantity]) -> Result<(), HeldError> {
    let awu = record.id();
    for Quantity { unit, amount } in before {
        let mut cells =
            record.cells().iter().enumerate().filter(|(_, step)| step.key.unit == *unit).peekable();
        if cells.peek().is_none() {
            return Err(conflict(awu, format!("was charged nothing in {unit}; name a unit of its cells")));
        }
        let mut charges = cells.filter_map(|(position, _)| record.charged_now(position));
        if let Some((charged, _)) = charges.find(|(charged, _)| charged != amount) {
            return Err(HeldError::ChargedOtherwise { awu, unit: *unit, charged, before: *amount });
        }
    }
    Ok(())
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
