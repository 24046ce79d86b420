//! An export that is read from any place, as a ledger is: where the line of each frame begins is noted when it is opened, and
//! a line is read again, and held against itself, when its frame is asked for.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use super::{BadExport, End, ExportReader, Header};
use crate::frame::Frame;
use crate::store::{FrameReader, StoreError};

/// The frames of an export.
#[derive(Debug)]
pub struct ExportFrames {
    file: File,
    reader: ExportReader,
    places: Vec<Place>,
    end: End,
    /// The place of the frame that `reader` gives next, where that is known.
    next: Option<usize>,
}

/// Where a frame stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its last entry.
    last: u64,
    /// The byte at which its line begins.
    offset: u64,
}

impl ExportFrames {
    /// Reads the file once, to its end. Whether the frames are a chain is for whoever verifies it to say.
    ///
    /// # Errors
    ///
    /// It cannot be read, or does not agree with itself.
    pub fn open(file: File) -> Result<Self, StoreError> {
        let mut reader = ExportReader::new(lines_from(&file, 0)?)?;
        let mut due = reader.header.first;
        let mut places = Vec::new();
        loop {
            let offset = reader.offset;
            let Some(frame) = reader.next().transpose()? else { break };
            if frame.first != due || frame.count == 0 {
                let what = format!("entry {due} is due here, and is not in this frame");
                return Err(BadExport { entry: Some(due), ..reader.bad(what) }.into());
            }
            places.push(Place { last: frame.last(), offset });
            due = frame.last().saturating_add(1);
        }
        let end = reader.so_far;
        Ok(Self { file, reader, places, end, next: None })
    }

    /// The first line.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.reader.header
    }

    /// The last line.
    #[must_use]
    pub const fn end(&self) -> End {
        self.end
    }
}

impl FrameReader for ExportFrames {
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        let number = self.places.partition_point(|place| place.last < sequence);
        let Some(place) = self.places.get(number) else { return Ok(None) };
        if self.next.take() != Some(number) {
            let lines = lines_from(&self.file, place.offset)?;
            self.reader.go_to(lines, number);
        }
        let frame = self.reader.next().transpose()?;
        self.next = Some(number.saturating_add(1));
        Ok(frame)
    }
}

impl ExportReader {
    /// Goes on with the line of a frame, by its place among all of them.
    fn go_to(&mut self, lines: Box<dyn BufRead + Send>, number: usize) {
        // The first line is no frame's.
        self.line = (number as u64).saturating_add(1);
        (self.lines, self.ended) = (lines, false);
    }
}

/// The lines from a byte on. They share where they are with others of the same file, of which only the last are read.
fn lines_from(mut file: &File, offset: u64) -> Result<Box<dyn BufRead + Send>, StoreError> {
    let failed =
        |error: std::io::Error| StoreError::Failed { what: format!("cannot read the export: {error}") };
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    Ok(Box::new(BufReader::new(file.try_clone().map_err(failed)?)))
}
