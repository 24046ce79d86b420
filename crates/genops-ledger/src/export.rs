//! A journal as text: one line of JSON a frame, for people and programs, verified without a database.
//!
//! The format is described in `docs/journal.md`. A frame's payload is the authority: the entries beside it are what it
//! says, in JSON, and a reader holds them against it. Nothing is decided here, and no invariant is checked.

mod frames;

use std::io::{BufRead, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genops_core::Digest;
use genops_core::ledger::Entry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::differ;
use crate::frame::{BadFrame, Frame};
use crate::store::StoreError;

pub use frames::ExportFrames;

/// The version of the text format.
pub const EXPORT_VERSION: u32 = 1;

/// With this an export begins. A database never does.
pub const BEGINNING: &[u8] = b"{\"journal\"";

/// More than the JSON of the largest frame takes that a ledger writes (64 MiB of entries gather at most).
const LINE_BYTES_MAX: u64 = 1 << 30;

/// One line of an export.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line<F> {
    Journal(Header),
    Frame(F),
    End(End),
}

/// The first line: what this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the text format.
    pub export: u32,
    /// Which program wrote it.
    pub written_by: String,
    /// Which ledger it was, in words for people: they prove nothing.
    pub ledger: String,
    /// The first entry.
    pub first: u64,
    /// The hash of the frame before it; all zero where it is the first of the journal.
    pub previous: Digest,
}

/// The last line: nothing was cut off, and what everything comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The last entry; one less than `first` where there is none.
    pub last: u64,
    /// How many frames there are.
    pub frames: u64,
    /// The hash of the last frame.
    pub head: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameLine<E> {
    first: u64,
    count: u32,
    format: u16,
    engine: u16,
    previous: Digest,
    hash: Digest,
    payload: String,
    /// How many bytes of the payload each entry has.
    lengths: Vec<usize>,
    entries: Vec<E>,
}

/// What is written, and which frames.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which program writes.
    pub written_by: String,
    /// Which ledger it is, in words for people.
    pub ledger: String,
    /// Begin with the frame that holds this entry.
    pub from: u64,
    /// End with the frame that holds this entry.
    pub through: u64,
}

/// Writes the frames that are wanted, of a journal that has to begin with an entry, behind a hash, as `begins` says. Each
/// frame is verified on the way, so that what is written holds together.
///
/// # Errors
///
/// A frame is damaged, the entries that are wanted are not there, or the text cannot be written.
pub fn write(
    begins: (u64, Digest),
    frames: impl IntoIterator<Item = Result<Frame, StoreError>>,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> Result<End, ExportError> {
    let Wanted { from, through, .. } = *wanted;
    if through < from {
        return Err(ExportError::Backwards { from, through });
    }
    let (first, head) = begins;
    let mut end = End { last: first.saturating_sub(1), frames: 0, head };
    for frame in frames {
        let frame = frame?;
        frame.check(end.head, end.last + 1)?;
        if frame.last() >= from {
            if end.frames == 0 {
                write_line(&header(wanted, end), out)?;
            }
            write_line(&line_of(&frame)?, out)?;
            end.frames += 1;
        }
        (end.last, end.head) = (frame.last(), frame.hash);
        if end.last >= through {
            break;
        }
    }
    if end.frames == 0 {
        // Of a journal without entries there is an export all the same.
        if from > end.last.max(1) {
            return Err(ExportError::Beyond { last: end.last, from });
        }
        write_line(&header(wanted, end), out)?;
    }
    write_line(&Line::<()>::End(end), out)?;
    out.flush()?;
    Ok(end)
}

fn header(wanted: &Wanted, before: End) -> Line<()> {
    Line::Journal(Header {
        export: EXPORT_VERSION,
        written_by: wanted.written_by.clone(),
        ledger: wanted.ledger.clone(),
        first: before.last + 1,
        previous: before.head,
    })
}

fn line_of(frame: &Frame) -> Result<Line<FrameLine<Entry>>, BadFrame> {
    let (entries, lengths) = told_apart(frame)?;
    Ok(Line::Frame(FrameLine {
        first: frame.first,
        count: frame.count,
        format: frame.format,
        engine: frame.engine,
        previous: frame.previous,
        hash: frame.hash,
        payload: STANDARD.encode(&frame.payload),
        lengths,
        entries,
    }))
}

/// The entries of a frame, and how many bytes each has.
fn told_apart(frame: &Frame) -> Result<(Vec<Entry>, Vec<usize>), BadFrame> {
    let (mut entries, mut lengths) = (Vec::new(), Vec::new());
    frame.walk(|entry, bytes| {
        entries.push(entry);
        lengths.push(bytes.len());
    })?;
    Ok((entries, lengths))
}

fn write_line<F: Serialize>(line: &Line<F>, out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Why no export was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal is damaged.
    #[error("the journal is damaged: {0}")]
    Frame(#[from] BadFrame),
    /// The journal ends before.
    #[error("the journal ends with entry {last}; there is no entry {from} to begin with")]
    Beyond {
        /// The last entry.
        last: u64,
        /// The entry that was asked for.
        from: u64,
    },
    /// The end that was asked for lies before the beginning.
    #[error(
        "entry {through} to end with comes before entry {from} to begin with: what is between them is nothing"
    )]
    Backwards {
        /// The entry to begin with.
        from: u64,
        /// The entry to end with.
        through: u64,
    },
    /// The text cannot be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] std::io::Error),
}

// === Reading ===

/// Reads an export, line by line, and gives its frames as they stand. What is read beside them has to agree.
pub struct ExportReader {
    lines: Box<dyn BufRead + Send>,
    /// The number of the line that was read last.
    line: u64,
    /// How many bytes the lines have that were read.
    offset: u64,
    header: Header,
    /// What the last line has to say.
    so_far: End,
    ended: bool,
}

impl std::fmt::Debug for ExportReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportReader").field("header", &self.header).field("line", &self.line).finish()
    }
}

impl ExportReader {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// It is no export, or one of a version that is not known.
    pub fn new(lines: Box<dyn BufRead + Send>) -> Result<Self, BadExport> {
        let header = Header {
            export: 0,
            written_by: String::new(),
            ledger: String::new(),
            first: 1,
            previous: Digest::ZERO,
        };
        let so_far = End { last: 0, frames: 0, head: Digest::ZERO };
        let mut reader = Self { lines, line: 0, offset: 0, header, so_far, ended: false };
        reader.header = match reader.line()? {
            Some(Line::Journal(header)) => header,
            _ => return Err(reader.bad("an export begins with a line `journal`".into())),
        };
        if reader.header.export != EXPORT_VERSION {
            let version = reader.header.export;
            return Err(reader.bad(format!("it has version {version}; this program reads {EXPORT_VERSION}")));
        }
        let Some(last) = reader.header.first.checked_sub(1) else {
            return Err(reader.bad("entries are counted from 1".into()));
        };
        if last == 0 && reader.header.previous != Digest::ZERO {
            return Err(reader.bad("nothing comes before entry 1, so `previous` has to be all zero".into()));
        }
        reader.so_far = End { last, frames: 0, head: reader.header.previous };
        Ok(reader)
    }

    /// What the first line says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    fn frame(&mut self) -> Result<Option<Frame>, BadExport> {
        match self.line()? {
            Some(Line::Frame(line)) => {
                let frame = self.frame_of(line)?;
                let End { frames, .. } = self.so_far;
                self.so_far = End { last: frame.last(), frames: frames.saturating_add(1), head: frame.hash };
                Ok(Some(frame))
            }
            Some(Line::End(end)) if end == self.so_far => {
                self.ended = true;
                match self.line()? {
                    None => Ok(None),
                    Some(_) => Err(self.bad("something follows the last line".into())),
                }
            }
            Some(Line::End(_)) => Err(self.bad(format!(
                "the last line does not say what stands before it: the last entry is {}, the head {}",
                self.so_far.last, self.so_far.head
            ))),
            Some(Line::Journal(_)) => Err(self.bad("a second line `journal`".into())),
            None => {
                let what = "it is cut off: the last line, `end`, is missing";
                Err(BadExport { entry: Some(self.so_far.last.saturating_add(1)), ..self.bad(what.into()) })
            }
        }
    }

    /// The frame of a line, whose entries have to be what the payload says.
    fn frame_of(&self, line: FrameLine<Box<RawValue>>) -> Result<Frame, BadExport> {
        let bad = |entry, what| BadExport { entry: Some(entry), ..self.bad(what) };
        let FrameLine { first, count, format, engine, previous, hash, payload, lengths, entries } = line;
        let payload = STANDARD.decode(payload);
        let payload = payload.map_err(|error| bad(first, format!("the payload is no base64: {error}")))?;
        let frame = Frame { first, count, format, engine, previous, hash, payload };
        // What cannot be decoded, or does not have its own hash, is for whoever verifies the chain to say.
        let Ok((decoded, meant)) = told_apart(&frame) else { return Ok(frame) };
        if frame.check(previous, first).is_err() {
            return Ok(frame);
        }
        if lengths != meant {
            return Err(bad(first, "the lengths beside the payload are not those of its entries".to_owned()));
        }
        for (place, entry) in decoded.iter().enumerate() {
            let said = entries.get(place).map_or("null", |said| said.get());
            // The text itself, since readers differ in what they take of a name that stands there twice.
            let meant =
                serde_json::to_string(entry).map_err(|error| bad(entry.sequence, error.to_string()))?;
            if said != meant {
                return Err(bad(entry.sequence, otherwise(&meant, said)));
            }
        }
        if entries.len() > decoded.len() {
            let what = "more is written beside the payload than stands in it";
            return Err(bad(frame.last().saturating_add(1), what.into()));
        }
        Ok(frame)
    }

    /// The next line; `None` at the end of the text.
    fn line(&mut self) -> Result<Option<Line<FrameLine<Box<RawValue>>>>, BadExport> {
        let mut text = Vec::new();
        self.line += 1;
        let read = (&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        match read {
            Ok(length) => self.offset = self.offset.saturating_add(length as u64),
            Err(error) => return Err(self.bad(format!("it cannot be read: {error}"))),
        }
        if text.is_empty() {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') {
            return Err(
                self.bad("the line has no end: it is cut off, or longer than any that is written".into())
            );
        }
        match serde_json::from_slice(&text) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(self.bad(format!("it is no line of an export: {error}"))),
        }
    }

    fn bad(&self, what: String) -> BadExport {
        let entry = (self.line > 1).then(|| self.so_far.last.saturating_add(1));
        BadExport { line: self.line, entry, what }
    }
}

/// Says how an entry is written that should be `meant`.
fn otherwise(meant: &str, said: &str) -> String {
    let value = |text| serde_json::from_str(text).unwrap_or(Value::Null);
    match differ::first(&value(meant), &value(said)) {
        Some(difference) => format!("what is written beside the payload is something else: {difference}"),
        None => "what is written beside the payload is not written as an export writes it: a name stands there twice, \
                 or spaces or letters are others"
            .to_owned(),
    }
}

impl Iterator for ExportReader {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = self.frame().transpose()?;
        self.ended |= frame.is_err();
        Some(frame.map_err(StoreError::from))
    }
}

/// An export that cannot be read, or does not agree with itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the export{}: {what}", .entry.map(|entry| format!(", at entry {entry}")).unwrap_or_default())]
pub struct BadExport {
    /// The line, from 1.
    pub line: u64,
    /// The first entry that cannot be relied on, where that is known.
    pub entry: Option<u64>,
    /// What is wrong.
    pub what: String,
}
