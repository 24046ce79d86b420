//! Retention: old entries leave the ledger's file for an archive, which is an export.
//!
//! Nothing is forgotten that anybody still needs, and nothing before the archive has been read back and found to be what
//! the ledger has. Whoever keeps archives and ledger has the whole journal: together they are verified as one.
//!
//! Only the process that holds a ledger lets entries leave: one that does nothing else ([`retire`]), or one that decides
//! meanwhile ([`Retiring`]). What somebody needs is in [`needs`], and by which rule entries leave by themselves in [`by_age`].

pub mod by_age;
pub mod needs;

use std::fs::{File, TryLockError};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use genops_core::ledger::{Act, Command, Entry, Outcome, Rejection, decide};
use genops_core::policy::Policy;
use genops_core::{Digest, Name, Timestamp};

use crate::export::{self, ExportError, ExportReader, Wanted};
use crate::followers::Followers;
use crate::frame::Frame;
use crate::journal::Journal;
use crate::ledger::{Ledger, LedgerError, Posted};
use crate::recover::{self, OpenError, resume, take_snapshot};
use crate::snapshots::{Snapshot, Snapshots};
use crate::source::{Frames, Sources};
use crate::sqlite::SqliteStore;
use crate::store::{FrameReader, StoreError};
use crate::verify::{Failure, verify};
use crate::views::Views;
use crate::witness::{Head, Witness};

pub use needs::{Needed, Needs};

/// So many snapshots are kept, as while a ledger runs.
const KEPT: usize = 2;

/// Moves the entries through the end of the last frame that ends at or before `through` out of the ledger at `ledger`,
/// into the new file `to`. A snapshot is made first, so that one stands for them.
///
/// # Errors
///
/// A process holds the ledger, somebody needs the entries yet, or the archive cannot be made: then nothing is forgotten.
pub fn retire(ledger: &Path, through: Through, written_by: String, to: &Path) -> Result<Head, ArchiveError> {
    let _held = hold(ledger)?;
    let retiring = Retiring {
        ledger,
        durable: u64::MAX,
        followers: &Followers::beside(ledger)?,
        tables: None,
        written_by,
        go_on: &|_| true,
        noted: &|_| (),
    };
    retiring.retire(through, to)
}

/// A ledger that this process holds, and lets entries leave. Nobody else may make snapshots in it meanwhile.
pub struct Retiring<'a> {
    /// The ledger's file.
    pub ledger: &'a Path,
    /// The last entry of it that is durable.
    pub durable: u64,
    /// Who follows it, and what could not be delivered.
    pub followers: &'a Followers,
    /// The first entry that the query tables read yet, where they follow; `None` where they take in now what they lack.
    pub tables: Option<u64>,
    /// Which program writes.
    pub written_by: String,
    /// Asked now and then whether to go on, with how long nobody else could write to the file: whoever decides meanwhile
    /// waits a multiple of that. What is broken off leaves one journal, and the next time goes on.
    pub go_on: &'a dyn Fn(Duration) -> bool,
    /// Told through which entry they have left: once that is noted, and before the first is forgotten.
    pub noted: &'a dyn Fn(u64),
}

impl Retiring<'_> {
    /// As [`retire`].
    ///
    /// # Errors
    ///
    /// As [`retire`]; or it was broken off.
    pub fn retire(&self, through: Through, to: &Path) -> Result<Head, ArchiveError> {
        let (needs, last) = self.prepare()?;
        let mut journal = self.journal()?;
        let through = last_of(&mut journal, through, last)?;
        needs.allow(through)?;
        if self.tables.is_none() {
            Views::take_in(self.ledger, &mut journal, last)?;
        }
        self.leave(through, to)
    }

    /// Forgets what the last time was interrupted in forgetting.
    ///
    /// # Errors
    ///
    /// The disk refuses, or it was broken off.
    pub fn forget(&self) -> Result<(), ArchiveError> {
        let is_done = Snapshots::open(self.ledger)?.forget_archived(self.go_on)?;
        if is_done { Ok(()) } else { Err(ArchiveError::BrokenOff) }
    }

    /// Makes the snapshot that stands for what leaves. Gives what is needed yet, and the last entry.
    fn prepare(&self) -> Result<(Needs, u64), ArchiveError> {
        take_snapshot(self.ledger, self.durable, KEPT)?;
        // Where the last time was interrupted, some of what it archived is here yet.
        self.forget()?;
        let replayed = resume(&mut SqliteStore::read(self.ledger)?, self.durable)?;
        let needs = Needs { tables: self.tables, ..Needs::of(&replayed, self.followers) };
        Ok((needs, replayed.books.sequence()))
    }

    /// Archives the entries through `through`, which nobody needs, and forgets them.
    fn leave(&self, through: u64, to: &Path) -> Result<Head, ArchiveError> {
        let ledger = self.ledger.display().to_string();
        let wanted = |from, through| Wanted { written_by: self.written_by.clone(), ledger, from, through };
        let head = archive_unless(&|| self.is_broken_off(), self.read()?, through, wanted, to)?;
        self.note(head, to)?;
        Ok(head)
    }

    /// Notes what is in an archive, and forgets it.
    fn note(&self, head: Head, archive: &Path) -> Result<(), ArchiveError> {
        let adopted = adopted_last(&|| self.is_broken_off(), self.read()?, head.sequence)?;
        let file = archive.file_name().unwrap_or(archive.as_os_str()).to_string_lossy();
        Snapshots::open(self.ledger)?.note_archived(head, &file, adopted.as_deref())?;
        (self.noted)(head.sequence);
        self.forget()
    }

    fn is_broken_off(&self) -> bool {
        !(self.go_on)(Duration::ZERO)
    }

    fn read(&self) -> Result<crate::sqlite::SqliteReader, StoreError> {
        SqliteStore::read(self.ledger)
    }

    fn journal(&self) -> Result<Journal, StoreError> {
        Ok(Journal::new(Box::new(self.read()?)))
    }
}

/// Closes the cells whose periods were over when the oldest entry was written that is still in the ledger at `ledger`: only
/// AWUs that have left were charged in them. Gives how many. Where there are some, what the last server left is resolved, as
/// at the next start.
///
/// That is an entry of its own, behind all others, and done again it closes no more: so it may come after the entries have
/// left, whenever that was.
///
/// # Errors
///
/// A process holds the ledger, it does not hold, or the disk refuses.
pub async fn close_cells(ledger: &Path, author: Name, wall: Timestamp) -> Result<u64, ArchiveError> {
    let store = hold(ledger)?;
    let mut journal = Journal::new(Box::new(SqliteStore::read(ledger)?));
    if journal.archived()? == 0 {
        return Ok(0);
    }
    let books = resume(&mut SqliteStore::read(ledger)?, u64::MAX)?.books;
    let Some(command) = closing(&mut journal, author, books.sequence(), books.at())? else { return Ok(0) };
    if decide(&books, books.at(), &command) == Err(Rejection::NothingToClose) {
        return Ok(0);
    }
    drop(books);
    let (opened, _) = recover::open(store, wall).await?;
    let entry = opened.submit(wall, command)?.durable().await?;
    // The latest one has them yet.
    take_snapshot(ledger, u64::MAX, KEPT)?;
    Ok(closed_in(&entry))
}

/// As [`close_cells`], in a ledger that is open. Gives the entry on its way to the disk; `None` where there is nothing to
/// close.
///
/// # Errors
///
/// The journal cannot be read, or the ledger takes nothing.
pub fn close_cells_of(
    ledger: &Ledger,
    author: Name,
    wall: Timestamp,
) -> Result<Option<Posted>, ArchiveError> {
    let (last, at) = ledger.read(|books| (books.sequence(), books.at()))?;
    let Some(command) = closing(&mut ledger.journal()?, author, last, at)? else { return Ok(None) };
    match ledger.submit(wall, command) {
        Ok(posted) => Ok(Some(posted)),
        Err(LedgerError::Rejected(Rejection::NothingToClose)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How many cells an entry has closed.
#[must_use]
pub fn closed_in(entry: &Entry) -> u64 {
    match &entry.outcome {
        Outcome::CellsClosed { cells } => cells.iter().map(|range| u64::from(range.count)).sum(),
        _ => 0,
    }
}

/// What closes the cells that only what has left was charged in, of a journal whose last entry is `last`, of `at`. `None`
/// where nothing has left, or the oldest entry that stays is not on the disk yet.
fn closing(
    journal: &mut Journal,
    author: Name,
    last: u64,
    at: Timestamp,
) -> Result<Option<Command>, StoreError> {
    let through = journal.archived()?;
    let oldest = journal.entry(through.saturating_add(1))?.map(|oldest| oldest.entry.at);
    let before = if last == through { Some(at) } else { oldest };
    let reason = Name::nearest(&format!("the entries through {through} are archived"));
    let command = |before| Command::CloseCells { before, act: Act { author, reason } };
    Ok(before.filter(|_| through > 0).map(command))
}

/// The last policy that the frames through the entry `through` adopt, of those that are not archived.
fn adopted_last<R: FrameReader>(
    is_broken_off: &dyn Fn() -> bool,
    reader: R,
    through: u64,
) -> Result<Option<Arc<Policy>>, ArchiveError> {
    let archived = reader.archived()?.map_or(0, |head| head.sequence);
    let mut adopted = None;
    for frame in Frames::after(reader, archived) {
        let frame = frame?;
        if is_broken_off() {
            return Err(ArchiveError::BrokenOff);
        }
        if frame.first > through {
            break;
        }
        for entry in frame.entries().map_err(OpenError::from)? {
            if let Command::AdoptPolicy(policy) = entry.command {
                adopted = Some(policy);
            }
        }
    }
    Ok(adopted)
}

/// How far entries leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// Through this entry.
    Entry(u64),
    /// All that are older.
    Before(Timestamp),
}

/// Makes a snapshot of the books where there is none any more, from the archives and the ledger, which are verified on
/// the way. Gives the entry that it is of.
///
/// # Errors
///
/// A process holds the ledger, the files are not one whole journal, or the disk refuses.
pub fn restore(archives: &[PathBuf], ledger: &Path) -> Result<Head, ArchiveError> {
    let _held = hold(ledger)?;
    let files: Vec<_> = archives.iter().cloned().chain([ledger.to_owned()]).collect();
    let sources = Sources::open(&files)?;
    let verified =
        verify(sources.begins(), sources, &mut Witness::default()).map_err(ArchiveError::Restore)?;
    let head = Head { sequence: verified.last, hash: verified.head };
    let books = verified.books.ok_or(ArchiveError::NotWhole { first: verified.first })?;
    Snapshots::open(ledger)?.put(&Snapshot::of(head, &books)?)?;
    Ok(head)
}

/// Keeps other processes out of a ledger that is there.
fn hold(ledger: &Path) -> Result<SqliteStore, StoreError> {
    if ledger.exists() {
        SqliteStore::open(ledger)
    } else {
        Err(StoreError::Missing { path: ledger.display().to_string() })
    }
}

/// The entry through which entries leave, of those that are here, which end with `last`.
fn last_of(journal: &mut Journal, through: Through, last: u64) -> Result<u64, ArchiveError> {
    let archived = journal.archived()?;
    let first = archived.saturating_add(1);
    if last < first {
        return Err(ArchiveError::Empty { archived });
    }
    match through {
        Through::Entry(through) if through > last => Err(ArchiveError::Beyond { through, last }),
        Through::Entry(through) if through < first => Err(ArchiveError::Left { through, first }),
        Through::Entry(through) => Ok(through),
        Through::Before(time) => {
            let through = last_before(journal, time, archived, last)?;
            if through > archived {
                return Ok(through);
            }
            let at = journal.entry(first)?.map_or(time, |journaled| journaled.entry.at);
            Err(ArchiveError::NotOlder { time, first, at })
        }
    }
}

/// The last entry before `time`, found by halving between what is archived and the last: time never goes back in a journal.
/// That which is archived where there is none.
fn last_before(journal: &mut Journal, time: Timestamp, archived: u64, last: u64) -> Result<u64, StoreError> {
    let (mut before, mut after) = (archived, last.saturating_add(1));
    while after.saturating_sub(before) > 1 {
        let middle = before.midpoint(after);
        match journal.entry(middle)? {
            Some(journaled) if journaled.entry.at < time => before = middle,
            _ => after = middle,
        }
    }
    Ok(before)
}

/// Writes the frames that end at or before `through` into the new file `to`, reads them back, and says what the archive
/// ends with. Nothing is forgotten here. `ledger` is its name, for people.
///
/// # Errors
///
/// No frame ends there, the journal is damaged, the file is there already or cannot be written, or it does not come back
/// as it was written.
pub fn archive<R: FrameReader>(
    reader: R,
    through: u64,
    wanted: impl FnOnce(u64, u64) -> Wanted,
    to: &Path,
) -> Result<Head, ArchiveError> {
    archive_unless(&|| false, reader, through, wanted, to)
}

/// As [`archive`], unless it is broken off.
fn archive_unless<R: FrameReader>(
    is_broken_off: &dyn Fn() -> bool,
    mut reader: R,
    through: u64,
    wanted: impl FnOnce(u64, u64) -> Wanted,
    to: &Path,
) -> Result<Head, ArchiveError> {
    let through = frame_end(&mut reader, through)?.ok_or(ArchiveError::Nothing { through })?;
    let begins = begins(&reader)?;
    if through < begins.0 {
        return Err(ArchiveError::Nothing { through });
    }
    let frames = Frames::after(reader, begins.0.saturating_sub(1));
    let (part, file) = begin_part(to)?;
    let frames = unless(is_broken_off, frames);
    let kept = keep(begins, frames, &wanted(begins.0, through), &file, &part);
    let kept = kept.and_then(|head| read_back(is_broken_off, begins, head, &part).map(|()| head));
    let named =
        kept.and_then(|head| std::fs::rename(&part, to).map(|()| head).map_err(|error| failed(to, &error)));
    match named {
        Ok(head) => sync_folder(to).map(|()| head),
        Err(error) => {
            // It was made here, and is none.
            let _ = std::fs::remove_file(&part);
            Err(if is_broken_off() { ArchiveError::BrokenOff } else { error })
        }
    }
}

/// Begins an archive under another name, which it has until it is whole. One of that name may have been left where this was
/// interrupted; one that somebody writes is theirs, until it has its own name.
fn begin_part(to: &Path) -> Result<(PathBuf, File), ArchiveError> {
    let mut part = to.as_os_str().to_owned();
    part.push(PART);
    let part = PathBuf::from(part);
    let told = |error: std::io::Error| failed(&part, &error);
    let is_there = || ArchiveError::File(format!("`{}` is there already", to.display()));
    if to.exists() {
        return Err(is_there());
    }
    let file = File::options().write(true).create(true).truncate(false).open(&part).map_err(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ArchiveError::File(format!("somebody writes `{}`", part.display())));
        }
        Err(TryLockError::Error(error)) => return Err(told(error)),
    }
    // Asked again now that nobody else can give it that name: what was opened may be it.
    if to.exists() {
        return Err(is_there());
    }
    file.set_len(0).map_err(told)?;
    Ok((part, file))
}

/// What an archive is called by until it is whole, behind its name.
const PART: &str = ".part";

/// The last entry of the last frame that ends at or before `through`, or what is archived; `None` where the journal ends
/// before.
fn frame_end(reader: &mut impl FrameReader, through: u64) -> Result<Option<u64>, StoreError> {
    let frame = reader.holding(through)?;
    Ok(frame.map(|frame| if frame.last() == through { through } else { frame.first.saturating_sub(1) }))
}

/// The first entry that has not been archived, and the hash of the frame before it.
fn begins(reader: &impl FrameReader) -> Result<(u64, Digest), StoreError> {
    let archived = reader.archived()?.unwrap_or(Head { sequence: 0, hash: Digest::ZERO });
    Ok((archived.sequence.saturating_add(1), archived.hash))
}

/// The frames, until it is broken off: that is an error in the place of the next.
fn unless(
    is_broken_off: &dyn Fn() -> bool,
    frames: impl Iterator<Item = Result<Frame, StoreError>>,
) -> impl Iterator<Item = Result<Frame, StoreError>> {
    frames.map(|frame| match is_broken_off() {
        true => Err(StoreError::Failed { what: ArchiveError::BrokenOff.to_string() }),
        false => frame,
    })
}

/// A file's name has to survive as well before anything is forgotten.
fn sync_folder(file: &Path) -> Result<(), ArchiveError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(file, &error))
}

/// Writes the archive, and makes sure of it.
fn keep(
    begins: (u64, Digest),
    frames: impl Iterator<Item = Result<Frame, StoreError>>,
    wanted: &Wanted,
    file: &File,
    to: &Path,
) -> Result<Head, ArchiveError> {
    let mut out = BufWriter::new(Steady { file, unsynced: 0 });
    let end = export::write(begins, frames, wanted, &mut out)?;
    file.sync_all().map_err(|error| failed(to, &error))?;
    Ok(Head { sequence: end.last, hash: end.head })
}

/// Reads an archive back, and holds it against what it should begin and end with.
fn read_back(
    is_broken_off: &dyn Fn() -> bool,
    begins: (u64, Digest),
    head: Head,
    archive: &Path,
) -> Result<(), ArchiveError> {
    let file = File::open(archive).map_err(|error| failed(archive, &error))?;
    let back = ExportReader::new(Box::new(BufReader::new(file))).map_err(StoreError::from)?;
    let back = unless(is_broken_off, back);
    verify(begins, back, &mut Witness::new(vec![head], None)).map(drop).map_err(ArchiveError::ReadBack)
}

/// So much is written between two syncs: who commits to the same disk meanwhile waits for that much and no more.
const STEADY_BYTES: usize = 4 << 20;

/// A file that is brought to the disk as it is written.
struct Steady<'a> {
    file: &'a File,
    unsynced: usize,
}

impl Write for Steady<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced = self.unsynced.saturating_add(written);
        if self.unsynced > STEADY_BYTES {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn failed(to: &Path, error: &std::io::Error) -> ArchiveError {
    ArchiveError::File(format!("`{}`: {error}", to.display()))
}

/// What has left before, where anything has.
fn left_before(archived: u64) -> String {
    if archived == 0 {
        return String::new();
    }
    format!("; those through {archived} have left already")
}

/// Why nothing was archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No frame ends there.
    #[error("no frame of the journal ends at or before entry {through}, so nothing can be archived")]
    Nothing {
        /// The entry.
        through: u64,
    },
    /// There is no entry here.
    #[error("nothing can be archived: the ledger has no entry{}", left_before(*archived))]
    Empty {
        /// The last that has left; 0 where none has.
        archived: u64,
    },
    /// It ends before.
    #[error("there is no entry {through}: the ledger ends with entry {last}")]
    Beyond {
        /// The entry.
        through: u64,
        /// The last entry.
        last: u64,
    },
    /// They have left already.
    #[error(
        "the entries through {through} have left already: the ledger begins with entry {first}; say a later one, if more is to leave"
    )]
    Left {
        /// The entry.
        through: u64,
        /// The first entry that is here.
        first: u64,
    },
    /// Nothing that is here is so old.
    #[error(
        "nothing is older than {time} and still here: the ledger begins with entry {first}, of {at}{}",
        left_before(first.saturating_sub(1))
    )]
    NotOlder {
        /// What entries should be older than.
        time: Timestamp,
        /// The first entry that is here.
        first: u64,
        /// When it was written.
        at: Timestamp,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The archive's file.
    #[error("cannot keep the archive: {0}")]
    File(String),
    /// What was written did not come back.
    #[error("the archive did not come back as it was written, and nothing was forgotten: {0}")]
    ReadBack(Failure),
    /// Whoever had it done wanted no more of it.
    #[error("it was broken off; the next time goes on")]
    BrokenOff,
    /// There is no file that entries could leave.
    #[error("the ledger is in memory, so nothing can leave it for an archive")]
    InMemory,
    /// Somebody needs the entries.
    #[error(transparent)]
    Needed(#[from] Needed),
    /// The ledger does not hold.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger took no entry.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Archives and ledger do not hold.
    #[error("archives and ledger are not one journal that holds: {0}")]
    Restore(Failure),
    /// The first archive is missing.
    #[error("the archives begin with entry {first}; give all of them, in their order")]
    NotWhole {
        /// The first entry that there is.
        first: u64,
    },
}
