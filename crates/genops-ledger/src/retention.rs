//! Retention: old entries leave the ledger's file for an archive, which is an export.
//!
//! Nothing is forgotten that anybody still needs, and nothing before the archive has been read back and found to be what
//! the ledger has. Whoever keeps archives and ledger has the whole journal: together they are verified as one.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::export::{self, ExportError, ExportReader, Wanted};
use crate::source::Frames;
use crate::store::{FrameReader, StoreError};
use crate::verify::{Failure, verify};
use crate::witness::{Head, Witness};

/// What is needed of the journal yet.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// The entry of the latest snapshot that can be used: opening the ledger begins after it.
    pub snapshot: Option<u64>,
    /// The entry that admitted the oldest AWU that is open.
    pub oldest_open: Option<u64>,
    /// The first entry that each follower reads yet, for what is new or for a dead letter.
    pub followers: Vec<(String, u64)>,
}

impl Needs {
    /// The last entry that nobody needs; 0 where every one is needed.
    #[must_use]
    pub fn spare(&self) -> u64 {
        let followers = self.followers.iter().map(|(_, first)| first.saturating_sub(1));
        let open = self.oldest_open.map(|first| first.saturating_sub(1));
        let snapshot = self.snapshot.unwrap_or_default();
        followers.chain(open).fold(snapshot, u64::min)
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
        if let Some((name, first)) = self.followers.iter().find(|(_, first)| *first <= through) {
            return needed(format!("`{name}` has delivered what comes before entry {first} and no more"));
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
    wanted: impl FnOnce(u64) -> Wanted,
    to: &Path,
) -> Result<Head, ArchiveError> {
    let through = match reader.holding(through)? {
        Some(frame) if frame.last() == through => through,
        Some(frame) => frame.first.saturating_sub(1),
        None => return Err(ArchiveError::Nothing { through }),
    };
    let first = reader.behind(None)?.map_or(1, |frame| frame.first);
    if through < first {
        return Err(ArchiveError::Nothing { through });
    }
    let failed = |error: std::io::Error| ArchiveError::File(format!("`{}`: {error}", to.display()));
    let mut file = File::create_new(to).map_err(failed)?;
    let end = export::write(Frames::of(reader), &wanted(through), &mut std::io::BufWriter::new(&mut file))?;
    file.sync_all().map_err(failed)?;
    let head = Head { sequence: end.last, hash: end.head };
    let back = ExportReader::new(Box::new(BufReader::new(File::open(to).map_err(failed)?)));
    let back = back.map_err(StoreError::from)?;
    let begins = (back.header().first, back.header().previous);
    verify(begins, back, &mut Witness::new(vec![head], None))?;
    Ok(head)
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
    ReadBack(#[from] Failure),
}
