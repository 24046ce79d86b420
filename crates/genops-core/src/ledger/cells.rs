//! The cells that are there, found by number and by what they are for.
//!
//! A number is given once. A cell that is closed costs nothing any more: what is kept of numbers are those that are there,
//! each row of them without a gap as one. Which cells are closed is decided elsewhere.

use std::collections::HashMap;
use std::mem;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, CellId};
use crate::amount::Amount;
use crate::budget::CellKey;
use crate::time::Timestamp;

/// Cells whose numbers follow one another without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRange {
    /// The first of them.
    pub first: CellId,
    /// How many.
    pub count: u32,
}

/// Every cell that has been opened and not closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cells {
    /// In the order in which they were opened, which is that of their numbers.
    cells: Vec<Cell>,
    /// The numbers that they have.
    rows: Vec<Row>,
    /// The number that the next one will have.
    next: CellId,
    by_key: HashMap<CellKey, CellId>,
}

/// Cells with numbers in a row, and the place of the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    numbers: CellRange,
    place: usize,
}

impl CellRange {
    /// The fewest ranges that have these numbers, which are in order.
    pub(super) fn of(numbers: impl Iterator<Item = CellId>) -> Vec<Self> {
        let mut ranges: Vec<Self> = Vec::new();
        for first in numbers {
            match ranges.last_mut() {
                Some(range) if range.end() == first => range.count = range.count.saturating_add(1),
                _ => ranges.push(Self { first, count: 1 }),
            }
        }
        ranges
    }

    /// Each number.
    pub fn numbers(self) -> impl Iterator<Item = CellId> {
        self.numbers_from(self.first)
    }

    /// Each number that is not before `from`.
    fn numbers_from(self, from: CellId) -> impl Iterator<Item = CellId> {
        (self.first.max(from).number()..self.end().number()).map(CellId::new)
    }

    /// The number behind the last.
    const fn end(self) -> CellId {
        CellId::new(self.first.number().saturating_add(self.count))
    }
}

impl Cells {
    /// Cells with their numbers, and the number that the next one will have.
    pub fn kept(cells: Vec<Cell>, numbers: &[CellRange], next: CellId) -> Self {
        let mut these = Self { next, ..Self::default() };
        for (number, cell) in numbers.iter().flat_map(|range| range.numbers()).zip(cells) {
            these.by_key.insert(cell.key.clone(), number);
            these.put(number, cell);
        }
        these
    }

    /// All of them, in the order in which they were opened.
    pub fn all(&self) -> &[Cell] {
        &self.cells
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.cells.len()
    }

    /// Each of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.cells.iter_mut()
    }

    /// The numbers that they have.
    pub fn numbers(&self) -> Vec<CellRange> {
        self.rows.iter().map(|row| row.numbers).collect()
    }

    /// The number that the next one will have.
    pub const fn next(&self) -> CellId {
        self.next
    }

    /// One cell.
    pub fn get(&self, number: CellId) -> Option<&Cell> {
        self.cells.get(self.place(number)?)
    }

    /// One cell, to be changed.
    pub fn get_mut(&mut self, number: CellId) -> Option<&mut Cell> {
        let place = self.place(number)?;
        self.cells.get_mut(place)
    }

    /// The number of the cell for `key`.
    pub fn find(&self, key: &CellKey) -> Option<CellId> {
        self.by_key.get(key).copied()
    }

    /// The cells from a number on, each with its own.
    pub fn from(&self, first: CellId) -> impl Iterator<Item = (CellId, &Cell)> {
        let rows = self.rows.partition_point(|row| row.numbers.end() <= first);
        let rows = self.rows.get(rows..).unwrap_or_default();
        let place = rows.first().map_or(0, |row| row.place_of(row.numbers.first.max(first)));
        let numbers = rows.iter().flat_map(move |row| row.numbers.numbers_from(first));
        numbers.zip(self.cells.get(place..).unwrap_or_default())
    }

    /// Opens a cell, which gets the next number.
    pub fn open(&mut self, cell: Cell) {
        self.by_key.insert(cell.key.clone(), self.next);
        self.put(self.next, cell);
        self.next = self.next.next();
    }

    /// Closes cells in which nothing counts any more at `at`, and nothing is outstanding or in doubt; `None` where one is not
    /// so, or is not there.
    pub fn close(&mut self, closed: &[CellRange], at: Timestamp) -> Option<()> {
        let may_go = |cell: &Cell| {
            cell.is_over(at, at) && cell.standing.out == Amount::ZERO && cell.totals.in_doubt == Amount::ZERO
        };
        let mut closed = closed.iter().flat_map(|range| range.numbers()).peekable();
        let rows = mem::take(&mut self.rows);
        let numbers = rows.iter().flat_map(|row| row.numbers.numbers());
        for (number, cell) in numbers.zip(mem::take(&mut self.cells)) {
            if closed.next_if_eq(&number).is_none() {
                self.put(number, cell);
            } else if may_go(&cell) {
                self.by_key.remove(&cell.key);
            } else {
                return None;
            }
        }
        self.cells.shrink_to_fit();
        self.by_key.shrink_to_fit();
        closed.next().is_none().then_some(())
    }

    fn put(&mut self, number: CellId, cell: Cell) {
        match self.rows.last_mut() {
            Some(Row { numbers, .. }) if numbers.end() == number => {
                numbers.count = numbers.count.saturating_add(1);
            }
            _ => {
                let numbers = CellRange { first: number, count: 1 };
                self.rows.push(Row { numbers, place: self.cells.len() });
            }
        }
        self.cells.push(cell);
    }

    fn place(&self, number: CellId) -> Option<usize> {
        // Most are in the last row: every cell where none has been closed, and every one that was opened since.
        let row = match self.rows.last()? {
            last if last.numbers.first <= number => last,
            _ => {
                let rows = self.rows.partition_point(|row| row.numbers.first <= number);
                self.rows.get(rows.checked_sub(1)?)?
            }
        };
        (number < row.numbers.end()).then(|| row.place_of(number))
    }
}

impl Row {
    /// The place of a number that is in the row.
    const fn place_of(self, number: CellId) -> usize {
        self.place.saturating_add(number.index().saturating_sub(self.numbers.first.index()))
    }
}
