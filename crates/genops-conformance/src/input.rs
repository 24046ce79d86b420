//! Where telemetry is read from: files, directories and standard input, and what is remembered of each.
//!
//! What an input is, its content says, never its name. A line or a message that cannot be read is a problem of its
//! input, which is told in the report; what is readable in it is judged. Only an input of which nothing can be read
//! ends the reading. In a directory, files that are no telemetry at all are passed over with a note. Nothing is
//! judged here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::judge::hex;
use crate::otlp::request::{self, Encoding, Records, Unreadable};
use window::Window;

mod content;
mod window;

/// So long may one message be, also when it was compressed.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The path that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Everything that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What telemetry came from, in the order in which it was read.
    pub all: Vec<Input>,
    /// What was passed over.
    pub notes: Notes,
}

/// Something that telemetry came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The path as it was given, or the addresses that were listened on.
    pub name: String,
    /// How the telemetry in it is written.
    pub format: Format,
    /// It is compressed with gzip.
    pub is_gzip: bool,
    /// Its length in bytes, as it was read.
    pub bytes: u64,
    /// The SHA-256 of these bytes, in hexadecimal.
    pub sha256: String,
    /// How many messages it holds that could be read.
    pub messages: u64,
    /// What of it could not be read, and why.
    pub problems: Notes,
}

/// How telemetry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// There is nothing in it.
    Empty,
    /// A message a line, in JSON.
    JsonLines,
    /// JSON documents that take several lines each.
    JsonDocuments,
    /// One message in Protocol Buffers.
    Protobuf,
    /// Messages in Protocol Buffers, each with its length in four bytes before it.
    LengthPrefixed,
    /// Requests that were received over the network.
    Requests,
    /// It could not be found out.
    Unknown,
}

/// A list for people that does not grow without end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first of them.
    pub first: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

/// Telemetry cannot be read, so nothing can be said about it.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system does not let it be read.
    #[error("cannot read `{name}`: {error}")]
    System {
        /// The path.
        name: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Nothing of it can be read.
    #[error("nothing of `{name}` can be read: {problem}")]
    Nothing {
        /// The path.
        name: String,
        /// Why.
        problem: String,
    },
    /// A directory in which no file is telemetry.
    #[error(
        "there is no telemetry in `{name}`: none of its {files} files is OTLP (JSON or Protocol Buffers)"
    )]
    NoTelemetry {
        /// The path.
        name: String,
        /// How many files there are.
        files: u64,
    },
}

/// Reads files, directories and standard input (`-`), one after the other.
///
/// # Errors
///
/// One of them cannot be read at all. What was read before it stays judged.
pub fn read(paths: &[PathBuf], records: &mut impl Records) -> Result<Inputs, InputError> {
    let mut inputs = Inputs::default();
    for path in paths {
        let name = path.display().to_string();
        let system = |error| InputError::System { name: name.clone(), error };
        if path.as_os_str() == STANDARD_INPUT {
            inputs.keep(read_from("standard input", io::stdin().lock(), records))?;
        } else if fs::metadata(path).map_err(system)?.is_dir() {
            let (before, mut files) = (inputs.all.len(), 0);
            directory(path, records, &mut inputs, &mut files)?;
            if inputs.all.len() == before {
                return Err(InputError::NoTelemetry { name, files });
            }
        } else {
            let file = fs::File::open(path).map_err(system)?;
            inputs.keep(read_from(&name, file, records))?;
        }
    }
    Ok(inputs)
}

/// Reads the files of a directory and of those in it, by name. Links are not followed: they may go in circles.
fn directory(
    path: &Path,
    records: &mut impl Records,
    inputs: &mut Inputs,
    files: &mut u64,
) -> Result<(), InputError> {
    let system = |path: &Path| {
        let name = path.display().to_string();
        move |error| InputError::System { name, error }
    };
    let entries = fs::read_dir(path).map_err(system(path))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(system(path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(system(&path))?;
        let name = path.display().to_string();
        if kind.is_dir() {
            directory(&path, records, inputs, files)?;
        } else if kind.is_file() {
            *files += 1;
            let file = fs::File::open(&path).map_err(system(&path))?;
            let reading = read_from(&name, file, records);
            if reading.is_foreign() {
                let why = reading.input.problems.first.first().map_or("no telemetry", String::as_str);
                inputs.notes.add(format!("`{name}` was passed over: {why}"));
            } else {
                inputs.keep(reading)?;
            }
        } else {
            inputs.notes.add(format!("`{name}` was passed over: it is neither a file nor a directory"));
        }
    }
    Ok(())
}

/// What a file that is compressed with gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An input, and what decides whether it is one.
struct Reading {
    input: Input,
    /// Something in it looked like telemetry.
    is_known: bool,
    /// Records of a message were judged that could not be read to its end.
    was_begun: bool,
}

/// Reads one input to its end. What goes wrong is a problem of it.
fn read_from(name: &str, source: impl Read, records: &mut impl Records) -> Reading {
    let mut source = Counted { source, bytes: 0, digest: Sha256::new() };
    let mut reading = Reading::new(name);
    let mut head = Vec::new();
    let outcome = source.by_ref().take(GZIP.len() as u64).read_to_end(&mut head);
    reading.input.is_gzip = head == GZIP;
    let mut all = head.as_slice().chain(&mut source);
    let mut window = match (outcome, reading.input.is_gzip) {
        (Err(error), _) => Window::broken(error),
        (Ok(_), true) => Window::new(Box::new(MultiGzDecoder::new(&mut all))),
        (Ok(_), false) => Window::new(Box::new(&mut all)),
    };
    content::read(&mut window, &mut reading, records);
    drop(window);
    // The digest is of the whole, also where the reading ended before.
    if let Err(error) = io::copy(&mut source, &mut io::sink())
        && reading.input.problems.first.is_empty()
    {
        reading.input.problems.add(format!("cannot read on: {error}"));
    }
    reading.input.bytes = source.bytes;
    reading.input.sha256 = hex(&source.digest.finalize());
    reading
}

impl Reading {
    fn new(name: &str) -> Self {
        Self { input: Input::new(name, Format::Unknown), is_known: false, was_begun: false }
    }

    /// It has nothing to do with telemetry.
    const fn is_foreign(&self) -> bool {
        !self.is_known && !self.input.problems.is_empty()
    }

    /// Takes in a message, or notes why not. `place` says where it is, by what is wrong with it.
    fn take(
        &mut self,
        records: &mut impl Records,
        message: &[u8],
        encoding: Encoding,
        place: impl FnOnce(&Unreadable) -> String,
    ) {
        match request::read(message, encoding, None, records) {
            Ok(()) => {
                self.is_known = true;
                self.input.messages += 1;
            }
            Err(error) => {
                self.is_known |= !error.is_foreign;
                self.was_begun |= error.was_begun;
                self.input.problems.add(format!("{}: {error}", place(&error)));
            }
        }
    }
}

impl Input {
    /// An input of which nothing has been read yet.
    #[must_use]
    pub fn new(name: &str, format: Format) -> Self {
        let (sha256, problems) = (String::new(), Notes::default());
        Self { name: name.to_owned(), format, is_gzip: false, bytes: 0, sha256, messages: 0, problems }
    }
}

impl Inputs {
    /// Keeps an input, unless nothing of it could be read.
    fn keep(&mut self, reading: Reading) -> Result<(), InputError> {
        let Reading { input, was_begun, .. } = reading;
        match input.problems.first.first() {
            Some(problem) if input.messages == 0 && !was_begun => {
                Err(InputError::Nothing { name: input.name, problem: problem.clone() })
            }
            _ => {
                self.all.push(input);
                Ok(())
            }
        }
    }
}

impl Format {
    /// The format in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::JsonLines => "OTLP JSON lines",
            Self::JsonDocuments => "OTLP JSON",
            Self::Protobuf => "OTLP protobuf",
            Self::LengthPrefixed => "OTLP protobuf, length-prefixed",
            Self::Requests => "OTLP requests",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// So many notes are kept.
const NOTES_MAX: usize = 20;

impl Notes {
    /// Adds a note, or counts it.
    pub fn add(&mut self, note: String) {
        if self.first.len() < NOTES_MAX {
            self.first.push(note);
        } else {
            self.more += 1;
        }
    }

    /// Adds a note before the others.
    fn put_first(&mut self, note: String) {
        self.first.insert(0, note);
        if self.first.len() > NOTES_MAX {
            self.first.pop();
            self.more += 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// Counts what is read, and makes the digest of it.
struct Counted<R> {
    source: R,
    bytes: u64,
    digest: Sha256,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(space)?;
        self.bytes += length as u64;
        self.digest.update(space.get(..length).unwrap_or_default());
        Ok(length)
    }
}
