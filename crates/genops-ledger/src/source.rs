//! Where a journal is read from by whoever has nothing but files: a ledger, or an export of one, told apart by how it
//! begins. Several files one after the other are one journal, which is read from its beginning to its end here, and from any
//! place in [`whole`].

mod whole;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genops_core::Digest;
use genops_core::ledger::Entry;
use genops_core::policy::Policy;

use crate::export::{BEGINNING, BadExport, ExportReader};
use crate::frame::Frame;
use crate::memory::MemoryStore;
use crate::recover::OpenError;
use crate::snapshots::{Snapshot, Snapshots};
use crate::sqlite::{SqliteReader, SqliteStore};
use crate::store::{FrameReader, PersonReader, StoreError};
use crate::witness::Head;

pub use whole::open_whole;

/// One file with a journal, or with a part of one. Gives every frame in it, as it stands.
#[derive(Debug)]
pub enum Source {
    /// A ledger, and what has left it for an archive.
    Ledger(Box<Frames<SqliteReader>>, Option<Head>),
    /// An export.
    Export(Box<ExportReader>),
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is neither a ledger nor an export.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(file) = export_at(path)? {
            return Ok(Self::Export(Box::new(ExportReader::new(Box::new(BufReader::new(file)))?)));
        }
        let archived = Snapshots::read(path)?.archived()?;
        let through = archived.map_or(0, |head| head.sequence);
        Ok(Self::Ledger(Box::new(Frames::after(SqliteStore::read(path)?, through)), archived))
    }

    /// The snapshots of the books in a ledger at `path` that this version could use; none in an export.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn snapshots(&self, path: &Path) -> Result<Vec<Snapshot>, StoreError> {
        match self {
            Self::Export(_) => Ok(Vec::new()),
            Self::Ledger(..) => {
                let kept = Snapshots::read(path)?;
                let snapshots = kept.list()?.into_iter().filter_map(|sequence| kept.get(sequence));
                Ok(snapshots.filter(Snapshot::is_of_this_version).collect())
            }
        }
    }

    /// The last entry of each archive that entries have left for from a ledger at `path`, and what its file was called, the
    /// oldest first; none of an export.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn archives(&self, path: &Path) -> Result<Vec<(u64, String)>, StoreError> {
        match self {
            Self::Export(_) => Ok(Vec::new()),
            Self::Ledger(..) => Snapshots::read(path)?.archives(),
        }
    }

    /// The first entry that the file is said to have, and the hash of the frame before it.
    #[must_use]
    pub fn begins(&self) -> (u64, Digest) {
        match self {
            Self::Ledger(_, archived) => {
                archived.map_or((1, Digest::ZERO), |head| (head.sequence.saturating_add(1), head.hash))
            }
            Self::Export(export) => (export.header().first, export.header().previous),
        }
    }
}

impl Iterator for Source {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Ledger(frames, _) => frames.next(),
            Self::Export(export) => export.next(),
        }
    }
}

/// Opens a file with a journal to look up whom its pseudonyms stand for. An export knows nobody.
///
/// # Errors
///
/// The file cannot be read.
pub fn open_persons(path: &Path) -> Result<Box<dyn PersonReader>, StoreError> {
    Ok(match export_at(path)? {
        Some(_) => Box::new(MemoryStore::default()),
        None => Box::new(SqliteStore::read_persons(path)?),
    })
}

/// The file, if it begins as an export does.
pub(crate) fn export_at(path: &Path) -> Result<Option<File>, StoreError> {
    let failed = |error: std::io::Error| StoreError::Failed {
        what: format!("cannot read `{}`: {error}", path.display()),
    };
    if !path.exists() {
        return Err(StoreError::Missing { path: path.display().to_string() });
    }
    let mut beginning = Vec::new();
    let mut file = File::open(path).map_err(failed)?;
    (&mut file).take(BEGINNING.len() as u64).read_to_end(&mut beginning).map_err(failed)?;
    if beginning != BEGINNING {
        return Ok(None);
    }
    file.rewind().map_err(failed)?;
    Ok(Some(file))
}

/// Every frame that a reader has, one behind the other.
#[derive(Debug)]
pub struct Frames<R> {
    reader: R,
    last: Option<Frame>,
    /// Frames that end here or before are not given.
    through: u64,
    failed: bool,
}

impl<R: FrameReader> Frames<R> {
    /// From the first frame on.
    pub const fn of(reader: R) -> Self {
        Self::after(reader, 0)
    }

    /// From the first frame on that ends after `through`.
    pub const fn after(reader: R, through: u64) -> Self {
        Self { reader, last: None, through, failed: false }
    }

    /// Looks whether what is missing behind the entry `before` has left for an archive since the reading began.
    fn missed(&self, before: u64, frame: Option<Frame>) -> Result<Option<Frame>, StoreError> {
        let entry = before.saturating_add(1);
        if frame.as_ref().is_none_or(|frame| frame.first > entry)
            && let Some(Head { sequence: through, .. }) = self.reader.archived()?
            && through > self.through.max(before)
        {
            return Err(StoreError::Archived { entry, through });
        }
        Ok(frame)
    }
}

impl<R: FrameReader> Iterator for Frames<R> {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            let before = self.last.as_ref().map_or(self.through, Frame::last);
            let frame = self.reader.behind(self.last.as_ref()).and_then(|frame| self.missed(before, frame));
            let frame = frame.transpose()?;
            match &frame {
                Ok(frame) => self.last = Some(frame.clone()),
                Err(_) => self.failed = true,
            }
            if !frame.as_ref().is_ok_and(|frame| is_left(frame, self.through)) {
                return Some(frame);
            }
        }
    }
}

/// Whether a frame is in the archive that ends with `through`, and was left here when that was interrupted.
fn is_left(frame: &Frame, through: u64) -> bool {
    (1..=through).contains(&frame.first) && frame.last() <= through
}

/// Files that are one journal, one after the other. Each has to begin where the one before it ended.
#[derive(Debug)]
pub struct Sources {
    /// The last one first.
    files: Vec<(PathBuf, Source)>,
    begins: (u64, Digest),
    /// The entry that is due, and the hash before it.
    due: (u64, Digest),
}

impl Sources {
    /// Opens the files, which are given in the order of the journal.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn open(paths: &[PathBuf]) -> Result<Self, StoreError> {
        let opened =
            |path: &PathBuf| Ok((path.clone(), Source::open(path).map_err(|error| named(path, error))?));
        let mut files = paths.iter().map(opened).collect::<Result<Vec<_>, StoreError>>()?;
        let begins = files.first().map_or((1, Digest::ZERO), |(_, source)| source.begins());
        files.reverse();
        Ok(Self { files, begins, due: begins })
    }

    /// The snapshots of the books in those that are ledgers, which the journal has to come to.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        let each = self.files.iter().map(|(path, source)| source.snapshots(path));
        Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Whether the last file is a ledger.
    #[must_use]
    pub fn end_in_a_ledger(&self) -> bool {
        matches!(self.files.first(), Some((_, Source::Ledger(..))))
    }

    /// The policies that were in force where files begin: each with the first entry of its file, as far as the file says that.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn policies(&self) -> Result<Vec<(u64, Arc<Policy>)>, StoreError> {
        let empty = || Arc::new(Policy::unrestricted());
        let mut policies = Vec::new();
        for (path, source) in &self.files {
            let (first, _) = source.begins();
            if matches!(source, Source::Ledger(..)) {
                policies.push((first, Snapshots::read(path)?.archived_policy()?.unwrap_or_else(empty)));
            } else if first == 1 {
                policies.push((first, empty()));
            }
        }
        Ok(policies)
    }

    /// The archives that the entries before the first have left for, as far as the first file is a ledger and says so.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn archives(&self) -> Result<Vec<(u64, String)>, StoreError> {
        self.files.last().map_or(Ok(Vec::new()), |(path, first)| first.archives(path))
    }

    /// Gives the entries of each frame, once it is verified that it continues the chain. Gives the last entry there is.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, or what `take` says.
    pub fn walk<E: From<OpenError>>(
        self,
        mut take: impl FnMut(&Frame, Vec<Entry>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let (mut due, mut head) = self.begins;
        for frame in self {
            let frame = frame.map_err(OpenError::from)?;
            let entries = frame.check(head, due).map_err(OpenError::from)?;
            (due, head) = (frame.last().saturating_add(1), frame.hash);
            take(&frame, entries)?;
        }
        Ok(due.saturating_sub(1))
    }

    /// The first entry that there should be, and the hash of the frame before it.
    #[must_use]
    pub const fn begins(&self) -> (u64, Digest) {
        self.begins
    }

    /// Goes on to the next file, and holds what it says of its beginning against what is due.
    fn go_on(&mut self) -> Result<(), StoreError> {
        drop(self.files.pop());
        match self.files.last() {
            Some((path, source)) => follows(path, source.begins(), self.due, || source.archives(path)),
            None => Ok(()),
        }
    }
}

/// Archives for people, by the names that their files had: from the one that has an entry on.
#[must_use]
pub fn listed(archives: &[(u64, String)], from: u64) -> String {
    let wanted = archives.iter().filter(|(through, _)| *through >= from);
    let names = wanted.map(|(through, file)| format!("`{file}` (through entry {through})"));
    names.collect::<Vec<_>>().join(", ")
}

/// Whether a file that begins so can stand where something is due: an entry, and the hash before it. What is missing may be in
/// `archives`.
fn follows(
    path: &Path,
    begins: (u64, Digest),
    due: (u64, Digest),
    archives: impl FnOnce() -> Result<Vec<(u64, String)>, StoreError>,
) -> Result<(), StoreError> {
    let ((first, previous), (due, head)) = (begins, due);
    let what = if first > due {
        let missing = match first.saturating_sub(1) {
            last if last == due => format!("entry {due}"),
            last => format!("the entries {due} to {last}"),
        };
        let files = match listed(&archives()?, due) {
            files if files.is_empty() => files,
            files => format!(": {files}"),
        };
        format!(
            "begins with entry {first} where entry {due} is due: give what has {missing} before it{files}"
        )
    } else if first < due {
        format!(
            "begins with entry {first} where entry {due} is due: give the files in the order of their entries, and no \
             entry twice"
        )
    } else if previous != head {
        format!(
            "is of another journal: it begins behind the hash {previous}, and what is before it ends with {head}"
        )
    } else {
        return Ok(());
    };
    Err(StoreError::Apart { path: path.display().to_string(), due, what })
}

/// Says which file an export that cannot be relied on is.
fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Export(bad) => {
            BadExport { what: format!("`{}`: {}", path.display(), bad.what), ..bad }.into()
        }
        error => error,
    }
}

impl Iterator for Sources {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, source) = self.files.last_mut()?;
            match source.next() {
                None => {
                    if let Err(apart) = self.go_on() {
                        self.files.clear();
                        return Some(Err(apart));
                    }
                }
                Some(Ok(frame)) => {
                    self.due = (frame.last().saturating_add(1), frame.hash);
                    return Some(Ok(frame));
                }
                Some(Err(error)) => return Some(Err(named(path, error))),
            }
        }
    }
}
