//! The usage that providers, or proxies before them, bill: a row a call or a sum, as CSV or as JSON lines; in one file or in
//! several, which are one usage.
//!
//! Every row counts, so one that cannot be read spoils its file: it is named by its line, and nothing is compared. What
//! rows mean for AWUs is not known here.

mod columns;
mod row;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use genops::core::{AwuId, Timestamp};

use super::findings::Billed;
use super::journal::Names;
use super::progress::Progress;
use crate::Trouble;

/// So many rows are held against the journal at a time.
pub const ROWS_MAX: usize = 2_000_000;

/// So many of the rows that cannot be read are named.
const NAMED_MAX: usize = 10;

/// What providers bill.
pub struct Usage {
    /// What the files are called.
    pub files: Vec<String>,
    /// Their rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The place of its file.
    pub file: usize,
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
    /// The place of the file that is read.
    file: usize,
    models: &'a mut Names,
    bad: Vec<String>,
    more_bad: u64,
    progress: Progress,
}

impl Usage {
    /// Reads files. What each is, its first byte says.
    ///
    /// # Errors
    ///
    /// One cannot be read, lacks a column, or has a row that cannot be read; or some name AWUs and others do not.
    pub fn read(paths: &[PathBuf], models: &mut Names) -> Result<Self, Trouble> {
        let mut rows = Rows {
            rows: Vec::new(),
            file: 0,
            models,
            bad: Vec::new(),
            more_bad: 0,
            progress: Progress::new("rows of usage"),
        };
        let mut files = Vec::new();
        for (file, path) in paths.iter().enumerate() {
            rows.file = file;
            files.push(rows.read(path)?);
        }
        let usage = Self { files, rows: rows.rows };
        usage.check_kind()?;
        Ok(usage)
    }

    /// A file whose rows name AWUs and one whose rows do not cannot be compared in one way.
    fn check_kind(&self) -> Result<(), Trouble> {
        // Of a file without rows it is not known.
        let mut names_awus = vec![None; self.files.len()];
        for row in &self.rows {
            if let Some(file) = names_awus.get_mut(row.file) {
                *file = Some(file.unwrap_or(false) || row.awu.is_some());
            }
        }
        let kinds = self.files.iter().zip(names_awus);
        let first = |kind: bool| kinds.clone().find(|(_, names_awus)| *names_awus == Some(kind));
        let (Some((with, _)), Some((without, _))) = (first(true), first(false)) else { return Ok(()) };
        Err(Trouble::unusable(format!(
            "no row of `{without}` names an AWU, and rows of `{with}` do, so they are compared in different ways: audit one \
             after the other, each with --provider"
        )))
    }
}

impl Rows<'_> {
    /// Reads a file, and says what it is called.
    fn read(&mut self, path: &Path) -> Result<String, Trouble> {
        let name = path.display().to_string();
        let system = |error| Trouble::unusable(format!("cannot read `{name}`: {error}"));
        let mut source = BufReader::with_capacity(256 << 10, File::open(path).map_err(system)?);
        let begin = source.fill_buf().map_err(system)?;
        match begin.trim_ascii_start().first() {
            Some(b'{') => table::read_objects(&name, source, self)?,
            Some(b'[') => {
                return Err(Trouble::unusable(format!(
                    "`{name}` is one JSON array: write an object a line (`jq -c '.[]'`)"
                )));
            }
            _ if begin.starts_with(&[0x1f, 0x8b]) => {
                return Err(Trouble::unusable(format!("`{name}` is compressed: unpack it (`gunzip`)")));
            }
            _ => table::read_csv(&name, source, self)?,
        }
        self.check(&name)?;
        Ok(name)
    }

    /// Keeps a row, or why there is none.
    fn take(&mut self, line: u64, row: Result<Row, BadRow>) -> Result<(), Trouble> {
        match row {
            Ok(_) if self.rows.len() == ROWS_MAX => {
                return Err(Trouble::unusable(format!(
                    "there are more than {ROWS_MAX} rows of usage: audit a shorter time, with an export of it"
                )));
            }
            Ok(row) => self.rows.push(Row { file: self.file, ..row }),
            Err(bad) if self.bad.len() < NAMED_MAX => self.bad.push(format!("line {line}: {bad}")),
            Err(_) => self.more_bad += 1,
        }
        self.progress.reached(self.rows.len() as u64);
        Ok(())
    }

    /// Whether all rows of a file can be read.
    fn check(&mut self, name: &str) -> Result<(), Trouble> {
        if self.bad.is_empty() {
            return Ok(());
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
