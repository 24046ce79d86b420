//! The usage that a provider, or a proxy before it, bills: a row a call or a sum, as CSV or as JSON lines.
//!
//! Every row counts, so one that cannot be read spoils the file: it is named by its line, and nothing is compared. What
//! rows mean for AWUs is not known here.

mod columns;
mod row;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use genops::core::{AwuId, Timestamp};

use super::findings::Billed;
use super::journal::Models;
use super::progress::Progress;
use crate::Trouble;

/// So many rows are held against the journal at a time.
pub const ROWS_MAX: usize = 2_000_000;

/// So many of the rows that cannot be read are named.
const NAMED_MAX: usize = 10;

/// What a provider bills.
pub struct Usage {
    /// What the file is called.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line that it ends on.
    pub line: u64,
    /// The AWU or the model call that it names, if it names one.
    pub awu: Option<AwuId>,
    /// The number of the model.
    pub model: u32,
    /// When, if it says so.
    pub at: Option<Timestamp>,
    /// What is billed.
    pub billed: Billed,
}

/// A row cannot be read, or the file not beyond it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum BadRow {
    #[error("it has {has} fields, and the first line names {count} columns")]
    Fields { has: usize, count: usize },
    #[error("{0} is not UTF-8")]
    NoText(&'static str),
    #[error("it is no JSON object: {0}")]
    NoObject(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is neither a text nor a number")]
    NoScalar(&'static str),
    #[error("{0}")]
    Bad(String),
}

/// Rows while they are read.
struct Rows<'a> {
    rows: Vec<Row>,
    models: &'a mut Models,
    bad: Vec<String>,
    more_bad: u64,
    progress: Progress,
}

impl Usage {
    /// Reads a file. What it is, its first byte says.
    ///
    /// # Errors
    ///
    /// It cannot be read, lacks a column, or has a row that cannot be read.
    pub fn read(path: &Path, models: &mut Models) -> Result<Self, Trouble> {
        let name = path.display().to_string();
        let system = |error| Trouble::unusable(format!("cannot read `{name}`: {error}"));
        let mut source = BufReader::with_capacity(256 << 10, File::open(path).map_err(system)?);
        let mut rows = Rows {
            rows: Vec::new(),
            models,
            bad: Vec::new(),
            more_bad: 0,
            progress: Progress::new("rows of usage"),
        };
        let begin = source.fill_buf().map_err(system)?;
        match begin.trim_ascii_start().first() {
            Some(b'{') => table::read_objects(&name, source, &mut rows)?,
            Some(b'[') => {
                return Err(Trouble::unusable(format!(
                    "`{name}` is one JSON array: write an object a line (`jq -c '.[]'`)"
                )));
            }
            _ if begin.starts_with(&[0x1f, 0x8b]) => {
                return Err(Trouble::unusable(format!("`{name}` is compressed: unpack it (`gunzip`)")));
            }
            _ => table::read_csv(&name, source, &mut rows)?,
        }
        rows.finish(name)
    }
}

impl Rows<'_> {
    /// Keeps a row, or why there is none.
    fn take(&mut self, line: u64, row: Result<Row, BadRow>) -> Result<(), Trouble> {
        match row {
            Ok(_) if self.rows.len() == ROWS_MAX => {
                return Err(Trouble::unusable(format!(
                    "there are more than {ROWS_MAX} rows of usage: audit a shorter time, with an export of it"
                )));
            }
            Ok(row) => self.rows.push(row),
            Err(bad) if self.bad.len() < NAMED_MAX => self.bad.push(format!("line {line}: {bad}")),
            Err(_) => self.more_bad += 1,
        }
        self.progress.reached(self.rows.len() as u64);
        Ok(())
    }

    fn finish(mut self, name: String) -> Result<Usage, Trouble> {
        if self.bad.is_empty() {
            return Ok(Usage { name, rows: self.rows });
        }
        if self.more_bad > 0 {
            self.bad.push(format!("and {} more", self.more_bad));
        }
        Err(Trouble::unusable(format!(
            "`{name}` has rows that cannot be read, and nothing is compared without them:\n  {}",
            self.bad.join("\n  ")
        )))
    }
}
