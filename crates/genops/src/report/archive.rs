//! A ledger file that no governor needs to have open: for the commands that only read.

use std::path::Path;

use genops_core::ledger::Books;
use genops_core::{AwuId, Timestamp};
use genops_ledger::Journal;
use genops_ledger::recover;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::views::{Filter, Views};

use super::{
    AwuPage, AwuReport, BudgetFilter, BudgetList, EstimateList, ReportError, awu_page, budgets,
    found_or_archived,
};
use crate::persons::Persons;

/// A ledger file. What is told of AWUs is gathered once somebody asks for it.
#[derive(Debug)]
pub struct Archive {
    books: Books,
    views: Views,
    journal: Journal,
    persons: Persons,
}

impl Archive {
    /// Reads a ledger file from the latest snapshot of its books on, or whole where there is none, and verifies chain and
    /// invariants of what it reads.
    ///
    /// # Errors
    ///
    /// There is no ledger, or it is damaged; the error says where.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let replayed = recover::resume(&mut SqliteStore::read(path)?, u64::MAX)?;
        let journal = Journal::new(Box::new(SqliteStore::read(path)?));
        let (views, persons) = (Views::in_memory()?, Persons::of_file(path)?);
        Ok(Self { books: replayed.books, views, journal, persons })
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
    /// The journal cannot be read.
    pub fn estimates(&mut self) -> Result<EstimateList, ReportError> {
        self.views.catch_up(&mut self.journal)?;
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
        self.views.catch_up(&mut self.journal)?;
        awu_page(&mut self.views, &mut self.journal, &self.persons, filter, limit)
    }

    /// One AWU.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn awu(&mut self, id: AwuId) -> Result<Option<AwuReport>, ReportError> {
        self.views.catch_up(&mut self.journal)?;
        let found = self.views.awu(id, &mut self.journal)?;
        let found = found.map(|record| self.persons.record(record)).transpose()?;
        found_or_archived(id, found.as_ref().map(AwuReport::of), &mut self.journal)
    }
}
