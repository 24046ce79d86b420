//! Recorded traffic in a table: CSV with a row a call, as the public traces of providers have it.
//!
//! The first line names the columns. Names are compared without regard to case and underscores; columns with other
//! names are passed over. A row that cannot be read is a problem of its source, told by line and column and never by
//! content, and costs no other row. Rows need not be in order. A time without an offset is UTC.

use foldhash::{HashMap, HashMapExt as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use genops_core::name::InvalidName;
use genops_core::{Name, Timestamp};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::{At, Facet, Labels, LabelsId, ReadError, Recorded, Source, Traffic};

/// So long may one row be, in bytes.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// Adds the calls in a file to `traffic`.
///
/// # Errors
///
/// The file cannot be read to its end, lacks a column, holds no row that can be used, or holds more than is kept.
pub fn read(path: &Path, traffic: &mut Traffic) -> Result<(), ReadError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_from(&name, file, traffic),
        Err(error) => Err(ReadError::System { name, error }),
    }
}

/// So much is read at once.
const CHUNK: usize = 256 << 10;

/// Adds the calls that `source` holds to `traffic`. `name` is what it is called in messages.
///
/// # Errors
///
/// As [`read`].
pub fn read_from(name: &str, source: impl Read, traffic: &mut Traffic) -> Result<(), ReadError> {
    let mut kept = Source { name: name.to_owned(), ..Source::default() };
    let mut reader = reader(source);
    let mut row = ByteRecord::new();
    next(&mut reader, &mut row, name)?;
    let columns =
        Columns::find(&row).map_err(|problem| ReadError::Columns { name: name.to_owned(), problem })?;
    let mut table = Table { columns, known: HashMap::new(), key: Vec::new() };
    while next(&mut reader, &mut row, name)? {
        if row.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        // It ends on the line before the one that comes next.
        let line = reader.position().line().saturating_sub(1);
        match table.take(&row, line, traffic) {
            Ok(()) => kept.calls += 1,
            Err(Fault::Row(bad)) => kept.problems.add(format!("line {line}: {bad}")),
            Err(Fault::All(error)) => return Err(error),
        }
    }
    traffic.keep(kept)
}

/// A reader of rows, the first line among them.
pub fn reader<R: Read>(source: R) -> Reader<Lines<R>> {
    // What stands before the end of a line in other systems' files is white space.
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(CHUNK)
        .from_reader(Lines { source, since_row: 0, last: b'\n' })
}

/// Reads the next row. Says whether there was one.
///
/// # Errors
///
/// The source `name` cannot be read on, or a row does not end.
pub fn next<R: Read>(
    reader: &mut Reader<Lines<R>>,
    row: &mut ByteRecord,
    name: &str,
) -> Result<bool, ReadError> {
    reader.get_mut().since_row = 0;
    reader.read_byte_record(row).map_err(|error| {
        let (line, error) = (reader.position().line(), io::Error::from(error));
        let error = io::Error::new(error.kind(), format!("line {line}: {error}"));
        ReadError::System { name: name.to_owned(), error }
    })
}

/// A source that ends its last line, and fails where a row does not end.
pub struct Lines<R> {
    source: R,
    /// So much was read since a row was asked for.
    since_row: usize,
    /// The last byte that was read.
    last: u8,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.since_row > ROW_BYTES_MAX {
            let what = "a row that is longer than 1 MiB begins here; perhaps a quotation mark is not closed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let length = match (self.source.read(space)?, space.first_mut()) {
            (0, Some(first)) if self.last != b'\n' => {
                *first = b'\n';
                1
            }
            (length, _) => length,
        };
        self.since_row += length;
        self.last = space.get(..length).and_then(<[u8]>::last).copied().unwrap_or(self.last);
        Ok(length)
    }
}

/// Which columns a table has, by their places.
struct Columns {
    count: usize,
    at: usize,
    context_tokens: usize,
    generated_tokens: usize,
    latency_ms: Option<usize>,
    output_limit: Option<usize>,
    labels: Vec<(Facet, usize)>,
}

impl Columns {
    /// Finds the columns in the first row, or says what is wrong with it.
    fn find(header: &ByteRecord) -> Result<Self, String> {
        let needed = [AT, CONTEXT, GENERATED];
        let places = [find(header, AT)?, find(header, CONTEXT)?, find(header, GENERATED)?];
        let [Some(at), Some(context_tokens), Some(generated_tokens)] = places else {
            let is_missing = |(name, place): (&'static str, Option<usize>)| place.is_none().then_some(name);
            let missing: Vec<_> = needed.into_iter().zip(places).filter_map(is_missing).collect();
            return Err(format!("it has no column {}", missing.join(", ")));
        };
        let mut labels = Vec::new();
        for label in Facet::ALL {
            labels.extend(find(header, label.as_str())?.map(|place| (label, place)));
        }
        let (latency_ms, output_limit) = (find(header, LATENCY)?, find(header, OUTPUT_LIMIT)?);
        let count = header.len();
        Ok(Self { count, at, context_tokens, generated_tokens, latency_ms, output_limit, labels })
    }
}

const AT: &str = "TIMESTAMP";
const CONTEXT: &str = "ContextTokens";
const GENERATED: &str = "GeneratedTokens";
const LATENCY: &str = "latency_ms";
const OUTPUT_LIMIT: &str = "output_limit";

/// The place of a column. Which of two with one name is meant, nobody can know.
fn find(header: &ByteRecord, name: &str) -> Result<Option<usize>, String> {
    let mut places = header.iter().enumerate().filter(|(_, column)| is_called(column, name));
    match (places.next(), places.next()) {
        (_, Some(_)) => Err(format!("it has two columns {name}")),
        (place, None) => Ok(place.map(|(place, _)| place)),
    }
}

fn is_called(column: &[u8], name: &str) -> bool {
    let letters = |text: &[u8]| text.to_ascii_lowercase().into_iter().filter(|byte| *byte != b'_');
    letters(column.trim_ascii()).eq(letters(name.as_bytes()))
}

/// A table while it is read.
struct Table {
    columns: Columns,
    /// The labels by the fields that they were made of, since most rows have those of another one.
    known: HashMap<Vec<u8>, LabelsId>,
    key: Vec<u8>,
}

/// Why a row is not taken.
enum Fault {
    /// It is at fault itself.
    Row(BadRow),
    /// There is no room for any other.
    All(ReadError),
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
enum BadRow {
    #[error("it has {has} fields, and the first line names {count} columns")]
    Fields { has: usize, count: usize },
    #[error(
        "{AT} is no point in time since 1970, such as 2023-11-16 18:17:03.9799600 or 2023-11-16T18:17:03Z"
    )]
    At,
    #[error("{0} is no whole number from 0 to 4294967295")]
    Count(&'static str),
    #[error("{LATENCY} is no number of milliseconds")]
    Latency,
    #[error("{0} is not UTF-8")]
    NoText(Facet),
    #[error("{0} {1}")]
    Facet(Facet, InvalidName),
}

impl Table {
    /// Adds the call in a row.
    fn take(&mut self, row: &ByteRecord, line: u64, traffic: &mut Traffic) -> Result<(), Fault> {
        let columns = &self.columns;
        if row.len() != columns.count {
            return Err(BadRow::Fields { has: row.len(), count: columns.count }.into());
        }
        let call = Recorded {
            at: time(field(row, columns.at)).ok_or(BadRow::At)?,
            context_tokens: Some(whole(field(row, columns.context_tokens), CONTEXT)?),
            generated_tokens: Some(whole(field(row, columns.generated_tokens), GENERATED)?),
            cached_tokens: 0,
            cache_write_tokens: 0,
            latency_ns: said(row, columns.latency_ms).map(nanos).transpose()?,
            output_limit: said(row, columns.output_limit)
                .map(|text| whole(text, OUTPUT_LIMIT))
                .transpose()?,
            failed: false,
            labels: self.label(row, traffic)?,
            place: traffic.here(At::Line(line)),
        };
        Ok(traffic.add(call)?)
    }

    fn label(&mut self, row: &ByteRecord, traffic: &mut Traffic) -> Result<LabelsId, Fault> {
        self.key.clear();
        for (_, place) in &self.columns.labels {
            let text = field(row, *place);
            self.key.extend_from_slice(&text.len().to_le_bytes());
            self.key.extend_from_slice(text);
        }
        if let Some(id) = self.known.get(&self.key) {
            return Ok(*id);
        }
        let mut labels = Labels::default();
        for (label, place) in &self.columns.labels {
            let Some(text) = said(row, Some(*place)) else { continue };
            let text = str::from_utf8(text).map_err(|_| BadRow::NoText(*label))?;
            labels.set(*label, Name::new(text).map_err(|error| BadRow::Facet(*label, error))?);
        }
        let id = traffic.label(labels)?;
        self.known.insert(self.key.clone(), id);
        Ok(id)
    }
}

impl From<BadRow> for Fault {
    fn from(bad: BadRow) -> Self {
        Self::Row(bad)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::All(error)
    }
}

fn field(row: &ByteRecord, place: usize) -> &[u8] {
    row.get(place).unwrap_or_default().trim_ascii()
}

/// What stands in a column that need not be there, if anything does.
fn said(row: &ByteRecord, place: Option<usize>) -> Option<&[u8]> {
    Some(field(row, place?)).filter(|text| !text.is_empty())
}

/// The point in time that a text says; in UTC, unless it says an offset.
pub fn time(text: &[u8]) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    // An offset stands behind the date, which has the same signs in it.
    let clock = text.get(DATE.len()..).unwrap_or_default();
    let has_offset = clock.iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let at = if has_offset {
        PARSER.parse_timestamp(text).ok()?
    } else {
        TimeZone::UTC.to_timestamp(PARSER.parse_datetime(text).ok()?).ok()?
    };
    u64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

const DATE: &str = "2023-11-16";

fn whole(text: &[u8], column: &'static str) -> Result<u32, BadRow> {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(BadRow::Count(column))
}

/// Milliseconds, perhaps with a fraction, in nanoseconds.
fn nanos(text: &[u8]) -> Result<u64, BadRow> {
    let millis = str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let duration = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1_000.0).ok());
    duration.and_then(|duration| u64::try_from(duration.as_nanos()).ok()).ok_or(BadRow::Latency)
}

#[cfg(test)]
mod tests;
