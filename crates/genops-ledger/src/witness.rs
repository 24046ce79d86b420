//! What was noted of a journal elsewhere: heads, as telemetry carries them away, and exports. A journal that somebody
//! has written anew, with hashes that fit, holds by itself; against a witness it does not.

use std::str::FromStr;

use genops_core::Digest;
use genops_core::ledger::{Books, Entry};

use crate::differ;
use crate::frame::{BadFrame, Frame};
use crate::recover::OpenError;
use crate::snapshots::Snapshot;
use crate::store::StoreError;
use crate::verify::Failure;

/// An entry, and the hash of the frame that holds it. Its text is `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The entry.
    pub sequence: u64,
    /// The hash that commits to it and to everything before it.
    pub hash: Digest,
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, hash) = text.split_once(':').ok_or(InvalidHead)?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0).ok_or(InvalidHead)?;
        Ok(Self { sequence, hash: hash.parse().map_err(|_| InvalidHead)? })
    }
}

/// The text is not `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is the number of an entry, `:`, and a chain hash of 64 hexadecimal digits")]
pub struct InvalidHead;

/// Everything that is known of a journal from elsewhere. The default knows nothing.
#[derive(Default)]
pub struct Witness {
    heads: Vec<Head>,
    export: Option<Noted>,
    snapshots: Vec<Snapshot>,
}

impl Witness {
    /// Knows heads, and the frames of an export that begins as `begins` says.
    #[must_use]
    pub fn new(mut heads: Vec<Head>, export: Option<(NotedFrames, (u64, Digest))>) -> Self {
        heads.sort_by_key(|head| head.sequence);
        let export = export.map(|(frames, (first, previous))| Noted {
            frames,
            last: first.saturating_sub(1),
            head: previous,
            next: None,
        });
        Self { heads, export, snapshots: Vec::new() }
    }

    /// Knows snapshots of the books as well: opening a ledger relies on them.
    #[must_use]
    pub fn with_snapshots(self, snapshots: Vec<Snapshot>) -> Self {
        Self { snapshots, ..self }
    }

    /// Compares the books after the frame that `head` is of.
    ///
    /// # Errors
    ///
    /// A snapshot says that they are others.
    pub fn compare_books(&self, head: Head, books: &Books) -> Result<(), Failure> {
        for noted in self.snapshots.iter().filter(|noted| noted.sequence == head.sequence) {
            if *noted != Snapshot::of(head, books).map_err(OpenError::from)? {
                return Err(Contradiction::Snapshot { sequence: head.sequence }.into());
            }
        }
        Ok(())
    }

    /// Compares the place where the journal begins: with its entry `first`, behind a frame with the hash `previous`.
    ///
    /// # Errors
    ///
    /// It is not what was noted, what was noted is damaged itself, or nothing of it could be compared.
    pub fn begin(&mut self, first: u64, previous: Digest) -> Result<(), Failure> {
        if let Some(noted) = &mut self.export {
            self.heads.extend(noted.begin(first)?);
            self.heads.sort_by_key(|head| head.sequence);
        }
        let before = first.saturating_sub(1);
        while let Some(head) = self.heads.first().filter(|head| head.sequence <= before) {
            let (sequence, noted) = (head.sequence, head.hash);
            if sequence < before {
                return Err(Contradiction::Before { sequence, first }.into());
            }
            if noted != previous {
                return Err(Contradiction::Head { sequence, noted, found: previous }.into());
            }
            self.heads.remove(0);
        }
        Ok(())
    }

    /// Compares the next frame of the journal; `following` are those behind it.
    ///
    /// # Errors
    ///
    /// The frame is not what was noted, or what was noted is damaged itself.
    pub fn compare(
        &mut self,
        frame: &Frame,
        following: &mut impl Iterator<Item = Result<Frame, StoreError>>,
    ) -> Result<(), Failure> {
        if let Some(noted) = &mut self.export {
            noted.compare(frame, following)?;
        }
        while let Some(head) = self.heads.first().filter(|head| head.sequence <= frame.last()) {
            let (sequence, noted) = (head.sequence, head.hash);
            if noted != frame.hash {
                return Err(Contradiction::Head { sequence, noted, found: frame.hash }.into());
            }
            self.heads.remove(0);
        }
        Ok(())
    }

    /// Says whether the journal, which ends with the entry `last`, has everything that was noted.
    ///
    /// # Errors
    ///
    /// Something was cut off, or what was noted is damaged itself.
    pub fn conclude(&mut self, last: u64) -> Result<(), Failure> {
        let mut through = self.heads.last().map(|head| head.sequence);
        if let Some(noted) = &mut self.export {
            while let Some(frame) = noted.take()? {
                through = through.max(Some(frame.last()));
            }
        }
        match through.filter(|through| *through > last) {
            Some(through) => Err(Contradiction::CutOff { last, through }.into()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("heads", &self.heads).finish_non_exhaustive()
    }
}

/// Frames that were noted.
pub type NotedFrames = Box<dyn Iterator<Item = Result<Frame, StoreError>>>;

/// An export that is read beside the journal.
struct Noted {
    frames: NotedFrames,
    last: u64,
    head: Digest,
    next: Option<Frame>,
}

impl Noted {
    /// The next frame, which has to hold by itself.
    fn take(&mut self) -> Result<Option<Frame>, Failure> {
        if let Some(frame) = self.next.take() {
            return Ok(Some(frame));
        }
        let damaged = |error: OpenError| Failure::Witness(error);
        let Some(frame) = self.frames.next().transpose().map_err(|error| damaged(error.into()))? else {
            return Ok(None);
        };
        frame.check(self.head, self.last.saturating_add(1)).map_err(|bad| damaged(bad.into()))?;
        (self.last, self.head) = (frame.last(), frame.hash);
        Ok(Some(frame))
    }

    /// Goes to the first frame that has an entry from `first` on. Gives the head that was noted before it, unless that
    /// lies before `first` and the frame itself is there to be compared.
    fn begin(&mut self, first: u64) -> Result<Option<Head>, Failure> {
        loop {
            let head = Head { sequence: self.last, hash: self.head };
            self.next = self.take()?;
            match &self.next {
                Some(frame) if frame.last() < first => self.next = None,
                // Before the first entry of all there is no head.
                Some(_) => {
                    return Ok(Some(head).filter(|head| head.sequence > 0 && head.sequence + 1 >= first));
                }
                None if head.sequence == 0 => return Err(Contradiction::Nothing.into()),
                None => return Ok(Some(head)),
            }
        }
    }

    fn compare(
        &mut self,
        frame: &Frame,
        following: &mut impl Iterator<Item = Result<Frame, StoreError>>,
    ) -> Result<(), Failure> {
        let Some(noted) = self.take()? else { return Ok(()) };
        if frame.last() < noted.first {
            self.next = Some(noted);
        } else if noted != *frame {
            // The frame behind each, as far as there is one, tells a removal and an insertion from a change.
            let after = [self.take()?, following.next().and_then(Result::ok)];
            return Err(difference(&noted, frame, after));
        }
        Ok(())
    }
}

/// Says what was done to the journal between `noted` and `found`.
fn difference(noted: &Frame, found: &Frame, after: [Option<Frame>; 2]) -> Failure {
    let [noted_after, found_after] = after;
    let bad = found.check(noted.previous, noted.first).err();
    let (was, is) = match (entries(noted, noted_after), entries(found, found_after)) {
        (Ok(was), Ok(is)) => (was, is),
        (Err(error), _) => return Failure::Witness(error.into()),
        (_, Err(error)) => return OpenError::from(bad.unwrap_or(error)).into(),
    };
    let same = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let command = |entries: &[Entry], place: usize| entries.get(place).map(|entry| entry.command.clone());
    let (Some(first_was), Some(first_is)) = (was.get(same), is.get(same)) else {
        return match (bad, was.get(same)) {
            (Some(bad), _) => OpenError::from(bad).into(),
            (None, Some(entry)) => {
                let through = was.last().map_or(entry.sequence, |last| last.sequence);
                Contradiction::CutOff { last: entry.sequence.saturating_sub(1), through }.into()
            }
            (None, None) => Contradiction::Frame { first: found.first }.into(),
        };
    };
    let sequence = first_was.sequence;
    let is_same_command = first_was.command == first_is.command;
    let found = if !is_same_command && command(&was, same + 1).as_ref() == Some(&first_is.command) {
        Contradiction::Removed { sequence }
    } else if !is_same_command && command(&is, same + 1).as_ref() == Some(&first_was.command) {
        Contradiction::Inserted { sequence }
    } else {
        Contradiction::Changed { sequence, what: told(first_was, first_is) }
    };
    found.into()
}

/// The entries of a frame and, as far as they can be read, of the one after it.
fn entries(frame: &Frame, after: Option<Frame>) -> Result<Vec<Entry>, BadFrame> {
    let mut entries = frame.entries()?;
    entries.extend(after.and_then(|after| after.entries().ok()).unwrap_or_default());
    Ok(entries)
}

fn told(was: &Entry, is: &Entry) -> String {
    let json = |entry: &Entry| serde_json::to_value(entry).unwrap_or_default();
    differ::first(&json(was), &json(is)).map_or_else(String::new, |difference| difference.to_string())
}

/// A journal that is not what was noted of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The chain hash of an entry is another one.
    #[error(
        "entry {sequence} has the chain hash {found}, and {noted} was noted: it, or an entry before it, is not what it \
         was; compare with an export of then to learn which"
    )]
    Head {
        /// The entry.
        sequence: u64,
        /// The hash that was noted.
        noted: Digest,
        /// The hash that the journal has.
        found: Digest,
    },
    /// What was noted lies before what was given of the journal, and does not touch it.
    #[error(
        "what was noted ends with entry {sequence}, and what was given begins with entry {first}: the two cannot be \
         compared"
    )]
    Before {
        /// The last entry that was noted.
        sequence: u64,
        /// The first entry that was given.
        first: u64,
    },
    /// What was noted has no entry and no head.
    #[error("the export to compare with is of a journal that had no entry yet, and shows nothing")]
    Nothing,
    /// The journal ends before what was noted.
    #[error("entry {} is missing: the journal ends with entry {last}, and entry {through} was noted", .last + 1)]
    CutOff {
        /// The last entry of the journal.
        last: u64,
        /// The last entry that was noted.
        through: u64,
    },
    /// An entry is not what was noted.
    #[error("entry {sequence} has been changed: {what}, as was noted")]
    Changed {
        /// The entry.
        sequence: u64,
        /// Where, and how.
        what: String,
    },
    /// An entry that was noted is not there; those after it have moved up.
    #[error("entry {sequence} has been removed")]
    Removed {
        /// The number that it had.
        sequence: u64,
    },
    /// An entry is there that was not noted; those after it have moved down.
    #[error("entry {sequence} has been inserted")]
    Inserted {
        /// The number that it has.
        sequence: u64,
    },
    /// A snapshot is of other books than the journal comes to.
    #[error(
        "the snapshot of the books after entry {sequence} is not what the journal comes to: a ledger that was opened \
         with it may have decided by it since"
    )]
    Snapshot {
        /// The entry.
        sequence: u64,
    },
    /// The entries are the same, but were committed otherwise.
    #[error(
        "the frame at entry {first} has been made anew: its entries are those that were noted, its frame is not"
    )]
    Frame {
        /// The first entry of the frame.
        first: u64,
    },
}

impl Contradiction {
    /// The first entry that cannot be relied on.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        match self {
            Self::Head { sequence, .. }
            | Self::Before { sequence, .. }
            | Self::Changed { sequence, .. }
            | Self::Removed { sequence }
            | Self::Inserted { sequence } => *sequence,
            // Up to it everything holds; what came after may have been decided by it.
            Self::Snapshot { sequence } => sequence.saturating_add(1),
            Self::CutOff { last, .. } => last.saturating_add(1),
            Self::Frame { first } => *first,
            Self::Nothing => 1,
        }
    }
}
