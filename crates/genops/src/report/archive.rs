//! A ledger file that no governor needs to have open: for the commands that only read.

use std::path::Path;

use genops_core::ledger::Books;
use genops_core::{AwuId, Timestamp};
use genops_ledger::Journal;
use genops_ledger::recover;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::views::{Filter, Views};

use super::{
    AwuPage, AwuReport, BudgetFilter, BudgetList, EstimateList, Explanation, ReportError, awu_page, budgets,
    explain,
};
use crate::persons::Persons;

/// A ledger file, read whole.
#[derive(Debug)]
pub struct Archive {
    books: Books,
    views: Views,
    journal: Journal,
    persons: Persons,
}

impl Archive {
    /// Reads a ledger file whole, and verifies its chain and invariants on the way.
    ///
    /// # Errors
    ///
    /// There is no ledger, or it is damaged; the error says where.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let replayed = recover::replay(&mut SqliteStore::read(path)?)?;
        let mut journal = Journal::new(Box::new(SqliteStore::read(path)?));
        let mut views = Views::in_memory()?;
        views.catch_up(&mut journal)?;
        Ok(Self { books: replayed.books, views, journal, persons: Persons::of_file(path)? })
    }

    /// The books after the last entry.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// How good the bounds were.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn estimates(&self) -> Result<EstimateList, ReportError> {
        Ok(EstimateList { estimates: self.views.estimates()?, as_of: self.views.as_of() })
    }

    /// The budgets, all of them.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read any more.
    pub fn budgets(&self, now: Timestamp) -> Result<BudgetList, ReportError> {
        budgets::list(&self.books, &self.persons, &BudgetFilter::default(), usize::MAX, now)
    }

    /// AWUs, the latest first.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn awus(&mut self, filter: &Filter, limit: u32) -> Result<AwuPage, ReportError> {
        awu_page(&mut self.views, &mut self.journal, &self.persons, filter, limit)
    }

    /// One AWU.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn awu(&mut self, id: AwuId) -> Result<Option<AwuReport>, ReportError> {
        let Some(record) = self.views.awu(id, &mut self.journal)? else { return Ok(None) };
        Ok(Some(AwuReport::of(&self.persons.record(record)?)))
    }

    /// Why one AWU was decided as it was.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn explain(&mut self, id: AwuId) -> Result<Option<Explanation>, ReportError> {
        explain(&self.views, &mut self.journal, &self.persons, id)
    }

    /// What is read from: the tables, which are as far as the journal, and the journal.
    pub(crate) const fn parts(&mut self) -> (&Views, &mut Journal) {
        (&self.views, &mut self.journal)
    }
}
