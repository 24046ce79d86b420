//! Retention: old entries leave the ledger's file for an archive, which is an export.
//!
//! Nothing is forgotten that anybody still needs, and nothing before the archive has been read back and found to be what
//! the ledger has. Whoever keeps archives and ledger has the whole journal: together they are verified as one.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genops_core::ledger::{Act, Command, Outcome, Rejection, decide};
use genops_core::policy::Policy;
use genops_core::{Digest, Name, Timestamp};

use crate::export::{self, ExportError, ExportReader, Wanted};
use crate::followers::Followers;
use crate::journal::Journal;
use crate::ledger::LedgerError;
use crate::recover::{self, OpenError, Replayed, resume, take_snapshot};
use crate::snapshots::{Snapshot, Snapshots};
use crate::source::{Frames, Sources};
use crate::sqlite::SqliteStore;
use crate::store::{FrameReader, StoreError};
use crate::verify::{Failure, verify};
use crate::views::Views;
use crate::witness::{Head, Witness};

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
    take_snapshot(ledger, u64::MAX, KEPT)?;
    let mut snapshots = Snapshots::open(ledger)?;
    // Where the last time was interrupted, some of what it archived is here yet.
    snapshots.forget_archived()?;
    let replayed = resume(&mut SqliteStore::read(ledger)?, u64::MAX)?;
    let mut journal = Journal::new(Box::new(SqliteStore::read(ledger)?));
    let through = last_of(&mut journal, through, replayed.books.sequence())?;
    Needs::of(&replayed, &Followers::beside(ledger)?).allow(through)?;
    Views::take_in(ledger, &mut journal, replayed.books.sequence())?;
    let name = ledger.display().to_string();
    let wanted = |from, through| Wanted { written_by, ledger: name, from, through };
    let head = archive(SqliteStore::read(ledger)?, through, wanted, to)?;
    let adopted = adopted_last(SqliteStore::read(ledger)?, head.sequence)?;
    let file = to.file_name().unwrap_or(to.as_os_str()).to_string_lossy();
    snapshots.forget(head, &file, adopted.as_deref())?;
    Ok(head)
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
    let through = journal.archived()?;
    if through == 0 {
        return Ok(0);
    }
    let oldest = journal.entry(through.saturating_add(1))?;
    let books = resume(&mut SqliteStore::read(ledger)?, u64::MAX)?.books;
    let before = oldest.map_or(books.at(), |oldest| oldest.entry.at);
    let reason = Name::nearest(&format!("the entries through {through} are archived"));
    let command = Command::CloseCells { before, act: Act { author, reason } };
    if decide(&books, books.at(), &command) == Err(Rejection::NothingToClose) {
        return Ok(0);
    }
    drop(books);
    let (opened, _) = recover::open(store, wall).await?;
    let entry = opened.submit(wall, command)?.durable().await?;
    // The latest one has them yet.
    take_snapshot(ledger, u64::MAX, KEPT)?;
    Ok(match &entry.outcome {
        Outcome::CellsClosed { cells } => cells.iter().map(|range| u64::from(range.count)).sum(),
        _ => 0,
    })
}

/// The last policy that the frames through the entry `through` adopt, of those that are not archived.
fn adopted_last<R: FrameReader>(reader: R, through: u64) -> Result<Option<Arc<Policy>>, ArchiveError> {
    let archived = reader.archived()?.map_or(0, |head| head.sequence);
    let mut adopted = None;
    for frame in Frames::after(reader, archived) {
        let frame = frame?;
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

/// What is needed of the journal yet.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// The entry of the latest snapshot that can be used: opening the ledger begins after it.
    pub snapshot: Option<u64>,
    /// The entry that admitted the oldest AWU that is open.
    pub oldest_open: Option<u64>,
    /// The oldest entry whose idempotency key is remembered: whoever asks again is told what it says.
    pub oldest_remembered: Option<u64>,
    /// The first entry that each follower reads yet, for what is new or for a dead letter.
    pub followers: Vec<(String, u64)>,
}

impl Needs {
    /// What is needed where the journal comes to this, with a snapshot of it, and followers have come so far.
    #[must_use]
    pub fn of(replayed: &Replayed, followers: &Followers) -> Self {
        let first = |from: u64, through: u64| if from == 0 { through.saturating_add(1) } else { from };
        let cursors = followers.cursors.iter();
        let cursors = cursors.map(|(name, cursor)| (name.clone(), first(cursor.from, cursor.through)));
        let letters = followers.dead_letters.iter();
        let letters = letters.map(|letter| (letter.follower.clone(), first(letter.from, letter.after)));
        let books = &replayed.books;
        Self {
            snapshot: Some(replayed.snapshot).filter(|entry| *entry > 0),
            oldest_open: books.open_awus().first().map(|(_, open)| open.admitted),
            oldest_remembered: books.oldest_remembered(books.at()),
            followers: cursors.chain(letters).collect(),
        }
    }

    /// The last entry that nobody needs; 0 where every one is needed.
    #[must_use]
    pub fn spare(&self) -> u64 {
        let followers = self.followers.iter().map(|(_, first)| first.saturating_sub(1));
        let entries = [self.oldest_open, self.oldest_remembered].into_iter().flatten();
        let entries = entries.map(|first| first.saturating_sub(1));
        followers.chain(entries).fold(self.snapshot.unwrap_or_default(), u64::min)
    }

    /// Says whether the entries through `through` may leave.
    ///
    /// # Errors
    ///
    /// Who needs one of them, and how far it may go.
    pub fn allow(&self, through: u64) -> Result<(), Needed> {
        let spare = self.spare();
        let needed = |by| Err(Needed { through, by, spare });
        if let Some(admitted) = self.oldest_open.filter(|admitted| *admitted <= through) {
            return needed(format!("an AWU is open that entry {admitted} admitted"));
        }
        if let Some(first) = self.oldest_remembered.filter(|first| *first <= through) {
            return needed(format!("the idempotency key of entry {first} is remembered"));
        }
        if let Some((name, first)) = self.followers.iter().find(|(_, first)| *first <= through) {
            return needed(format!(
                "`{name}` has delivered what comes before entry {first} and no more; if nothing is sent there any more, let go \
                 of it with `genops telemetry forget --follower \"{name}\"`"
            ));
        }
        match self.snapshot {
            Some(snapshot) if snapshot >= through => Ok(()),
            Some(snapshot) => needed(format!("the latest snapshot is of entry {snapshot}")),
            None => needed("there is no snapshot".into()),
        }
    }
}

/// Somebody needs the entries yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entries through {through} are needed yet: {by}; {}", self.advice())]
pub struct Needed {
    /// What was to leave.
    pub through: u64,
    /// Who needs it.
    pub by: String,
    /// The last entry that may leave; 0 for none.
    pub spare: u64,
}

impl Needed {
    fn advice(&self) -> String {
        match self.spare {
            0 => "none may leave now".to_owned(),
            spare => format!("those through {spare} may leave"),
        }
    }
}

/// Writes the frames that end at or before `through` into the new file `to`, reads them back, and says what the archive
/// ends with. Nothing is forgotten here. `ledger` is its name, for people.
///
/// # Errors
///
/// No frame ends there, the journal is damaged, the file is there already or cannot be written, or it does not come back
/// as it was written.
pub fn archive<R: FrameReader>(
    mut reader: R,
    through: u64,
    wanted: impl FnOnce(u64, u64) -> Wanted,
    to: &Path,
) -> Result<Head, ArchiveError> {
    let through = match reader.holding(through)? {
        Some(frame) if frame.last() == through => through,
        Some(frame) => frame.first.saturating_sub(1),
        None => return Err(ArchiveError::Nothing { through }),
    };
    let archived = reader.archived()?.unwrap_or(Head { sequence: 0, hash: Digest::ZERO });
    if through <= archived.sequence {
        return Err(ArchiveError::Nothing { through });
    }
    let begins = (archived.sequence.saturating_add(1), archived.hash);
    let frames = Frames::after(reader, archived.sequence);
    if to.exists() {
        return Err(ArchiveError::File(format!("`{}` is there already", to.display())));
    }
    // Under another name until it is whole. One of that name was left where this was interrupted.
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).map_err(|error| failed(&part, &error))?;
    let kept = keep(begins, frames, &wanted(begins.0, through), file, &part);
    let named =
        kept.and_then(|head| std::fs::rename(&part, to).map(|()| head).map_err(|error| failed(to, &error)));
    match named {
        Ok(head) => sync_folder(to).map(|()| head),
        Err(error) => {
            // It was made here, and is none.
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// A file's name has to survive as well before anything is forgotten.
fn sync_folder(file: &Path) -> Result<(), ArchiveError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(file, &error))
}

/// Writes the archive, makes sure of it, and reads it back.
fn keep<R: FrameReader>(
    begins: (u64, Digest),
    frames: Frames<R>,
    wanted: &Wanted,
    mut file: File,
    to: &Path,
) -> Result<Head, ArchiveError> {
    let failed = |error: std::io::Error| failed(to, &error);
    let end = export::write(begins, frames, wanted, &mut BufWriter::new(&mut file))?;
    file.sync_all().map_err(failed)?;
    let head = Head { sequence: end.last, hash: end.head };
    let back = ExportReader::new(Box::new(BufReader::new(File::open(to).map_err(failed)?)));
    let back = back.map_err(StoreError::from)?;
    verify(begins, back, &mut Witness::new(vec![head], None)).map_err(ArchiveError::ReadBack)?;
    Ok(head)
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
