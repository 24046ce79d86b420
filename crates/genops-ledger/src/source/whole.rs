//! A whole journal that is read from any place, in one file or in several: archives, and last the ledger that they have left.
//!
//! What the files say of their beginnings and ends is held against each other when they are opened. Whether the frames are a
//! chain is for whoever verifies it to say.

use std::path::{Path, PathBuf};

use genops_core::Digest;

use super::{export_at, follows, is_left, named};
use crate::export::ExportFrames;
use crate::frame::Frame;
use crate::sqlite::SqliteStore;
use crate::store::{FrameReader, StoreError};
use crate::witness::Head;

/// Opens files that are one whole journal, in the order of its entries. A ledger is the last of them.
///
/// # Errors
///
/// One of them cannot be read, or is not what is due there; of exports, that one cannot be read to its end.
pub fn open_whole(paths: &[PathBuf]) -> Result<Box<dyn FrameReader>, StoreError> {
    let mut parts = Vec::with_capacity(paths.len());
    let mut due = (1, Digest::ZERO);
    for path in paths {
        let (begins, ends, part) = Part::open(path).map_err(|error| named(path, error))?;
        follows(path, begins, due, || {
            part.frames.snapshots()?.map_or(Ok(Vec::new()), |kept| kept.archives())
        })?;
        if parts.last().is_some_and(|before: &Part| before.last.is_none()) {
            let (path, due) = (path.display().to_string(), due.0);
            let what =
                "stands behind a ledger: give the archives first, in their order, and the ledger last".into();
            return Err(StoreError::Apart { path, due, what });
        }
        due = ends.map_or(due, |end| (end.sequence.saturating_add(1), end.hash));
        parts.push(part);
    }
    Ok(Box::new(Whole { parts }))
}

/// The parts of a journal, which follow one another.
struct Whole {
    parts: Vec<Part>,
}

/// One file.
struct Part {
    /// The first entry that it is there for.
    first: u64,
    /// The last one; `None` for a ledger, which may grow.
    last: Option<u64>,
    frames: Box<dyn FrameReader>,
}

/// What is due where a file begins, what it ends with, and the file.
type Opened = ((u64, Digest), Option<Head>, Part);

impl Part {
    fn open(path: &Path) -> Result<Opened, StoreError> {
        if let Some(file) = export_at(path)? {
            let frames = ExportFrames::open(file)?;
            let (begins, end) = ((frames.header().first, frames.header().previous), frames.end());
            let part = Self { first: begins.0, last: Some(end.last), frames: Box::new(frames) };
            return Ok((begins, Some(Head { sequence: end.last, hash: end.head }), part));
        }
        let frames = SqliteStore::read(path)?;
        let archived = frames.archived()?.unwrap_or(Head { sequence: 0, hash: Digest::ZERO });
        let first = archived.sequence.saturating_add(1);
        Ok(((first, archived.hash), None, Self { first, last: None, frames: Box::new(frames) }))
    }

    /// Its first frame.
    fn begin(&mut self) -> Result<Option<Frame>, StoreError> {
        let mut frame = self.frames.behind(None)?;
        while frame.as_ref().is_some_and(|frame| is_left(frame, self.first.saturating_sub(1))) {
            frame = self.frames.behind(frame.as_ref())?;
        }
        Ok(frame)
    }
}

impl Whole {
    /// The parts from the one on that an entry is in.
    fn from(&mut self, sequence: u64) -> &mut [Part] {
        let place = self.parts.partition_point(|part| part.last.is_some_and(|last| last < sequence));
        self.parts.get_mut(place..).unwrap_or_default()
    }
}

impl FrameReader for Whole {
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        match self.from(sequence) {
            [part, ..] => part.frames.holding(sequence),
            [] => Ok(None),
        }
    }

    fn behind(&mut self, frame: Option<&Frame>) -> Result<Option<Frame>, StoreError> {
        let mut parts = self.from(frame.map_or(0, Frame::last)).iter_mut();
        if let Some(frame) = frame
            && let Some(part) = parts.next()
            && let Some(next) = part.frames.behind(Some(frame))?
        {
            return Ok(Some(next));
        }
        for part in parts {
            if let Some(first) = part.begin()? {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}
