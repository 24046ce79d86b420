//! What an input holds, by its content: JSON documents, one Protocol Buffers message, or many with their lengths.
//!
//! Reading goes on behind a line or a message that cannot be read, as long as it is clear where the next one begins.

use memchr::{memchr, memchr_iter, memmem};

use super::window::Window;
use super::{Format, MESSAGE_BYTES_MAX, Reading};

use crate::otlp::request::{Encoding, Records};

/// So much of an input is looked at to find out what it is.
const LOOKED_AT: usize = 64 << 10;

/// Reads everything.
pub fn read(window: &mut Window<'_>, reading: &mut Reading, records: &mut impl Records) {
    window.want(LOOKED_AT);
    if window.rest().starts_with(BYTE_ORDER_MARK) {
        window.skip(BYTE_ORDER_MARK.len());
    }
    match recognise(window.rest()) {
        Ok(format) => {
            reading.input.format = format;
            match format {
                Format::JsonLines => read_documents(window, reading, records),
                Format::Protobuf => read_message(window, reading, records),
                Format::LengthPrefixed => read_messages(window, reading, records),
                _ => {}
            }
        }
        Err(what) if window.error().is_none() => reading.input.problems.add(what.to_owned()),
        Err(_) => {}
    }
    if let Some(error) = window.error() {
        let unpacked = if reading.input.is_gzip { " of what is compressed in it" } else { "" };
        let problem = format!("it cannot be read beyond byte {}{unpacked}: {error}", window.reached());
        // It is the reason for what else is wrong.
        reading.input.problems.put_first(problem);
        reading.is_known |= reading.input.is_gzip;
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const ZSTANDARD: &[u8] = b"\x28\xb5\x2f\xfd";

/// The bytes before a message that say how long it is.
const PREFIX: usize = 4;

/// The format, by how an input begins; or what it is instead.
fn recognise(begin: &[u8]) -> Result<Format, &'static str> {
    let prefixed = begin.split_first_chunk::<PREFIX>().filter(|(length, _)| length.first() < Some(&0x08));
    match prefixed {
        _ if begin.trim_ascii().is_empty() => Ok(Format::Empty),
        Some((_, message)) if message.starts_with(ZSTANDARD) => {
            Err("its messages are compressed with zstd: write them without compression, or with gzip")
        }
        Some((_, message)) if begins_message(message) => Ok(Format::LengthPrefixed),
        _ if begin.starts_with(ZSTANDARD) => Err("it is compressed with zstd: unpack it, or use gzip"),
        _ if begin.starts_with(b"\xff\xfe") || begin.starts_with(b"\xfe\xff") => {
            Err("it is written in UTF-16: save it as UTF-8")
        }
        _ if begins_json(begin) => Ok(Format::JsonLines),
        _ if begins_message(begin) => Ok(Format::Protobuf),
        // Other lines may stand before, as where a program's whole output was kept.
        _ if names_otlp(begin) => Ok(Format::JsonLines),
        _ => Err("it is neither OTLP in JSON nor in Protocol Buffers"),
    }
}

/// Whether a JSON document begins here. The byte of a line's end may also be the first one of a message.
fn begins_json(bytes: &[u8]) -> bool {
    match bytes.trim_ascii_start().split_first() {
        Some((b'{', inside)) => matches!(inside.trim_ascii_start().first(), Some(b'"' | b'}') | None),
        Some((b'[', inside)) => matches!(inside.trim_ascii_start().first(), Some(b'{' | b']') | None),
        _ => false,
    }
}

/// Whether a message begins here: a first field whose content begins with a field that a `ResourceSpans` has.
fn begins_message(bytes: &[u8]) -> bool {
    let Some(length) = bytes.strip_prefix(b"\x0a") else { return false };
    let end = length.iter().take(5).position(|byte| *byte < 0x80);
    let content = end.and_then(|end| length.get(end + 1..)).unwrap_or_default();
    length.first() == Some(&0) || matches!(content.first(), Some(0x0a | 0x12 | 0x1a | 0xc2))
}

/// Whether any of the names that a request begins with occurs.
fn names_otlp(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, b"\"resource").any(|at| bytes.get(at..).is_some_and(is_request_name))
}

/// Whether this is the name of a part of a request: `"resourceSpans` and its like.
fn is_request_name(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(b"\"resource").unwrap_or_default();
    matches!(rest.first(), Some(b'S' | b'L' | b'M' | b'_'))
}

/// Reads the one message that the input is.
fn read_message(window: &mut Window<'_>, reading: &mut Reading, records: &mut impl Records) {
    reading.is_known = true;
    if window.want(MESSAGE_BYTES_MAX + 1) {
        reading
            .input
            .problems
            .add(too_long("the message", "write several messages, each with its length before it"));
        return;
    }
    reading.take(records, window.rest(), Encoding::Protobuf, |_| "byte 0".to_owned());
}

/// Reads messages, each with its length before it, as the file exporter of the OpenTelemetry Collector writes them.
fn read_messages(window: &mut Window<'_>, reading: &mut Reading, records: &mut impl Records) {
    reading.is_known = true;
    loop {
        window.want(PREFIX);
        let at = window.offset();
        let Some((length, _)) = window.rest().split_first_chunk::<PREFIX>() else {
            if !window.rest().is_empty() {
                reading
                    .input
                    .problems
                    .add(format!("byte {at}: the input ends within the length of a message"));
            }
            return;
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 {
            reading
                .input
                .problems
                .add(format!("byte {at}: a message of no bytes; it was not read on from there"));
            return;
        }
        if length > MESSAGE_BYTES_MAX {
            let what = too_long(&format!("byte {at}: the message"), "write smaller batches");
            reading.input.problems.add(what);
            return;
        }
        if !window.want(PREFIX + length) {
            let there = window.rest().len().saturating_sub(PREFIX);
            let what = format!(
                "byte {at}: a message of {length} bytes is announced, and the input ends after {there}"
            );
            reading.input.problems.add(what);
            return;
        }
        window.skip(PREFIX);
        let message = window.rest().get(..length).unwrap_or_default();
        reading.take(records, message, Encoding::Protobuf, |_| format!("byte {at}"));
        window.skip(length);
    }
}

/// Reads JSON documents: a line each, or over several lines.
fn read_documents(window: &mut Window<'_>, reading: &mut Reading, records: &mut impl Records) {
    let mut line = 1;
    loop {
        line += skip_blank(window);
        if window.rest().is_empty() {
            return;
        }
        let Some(length) = document(window) else {
            let what = too_long(
                &format!("line {line}: the document"),
                "write a request a line (`jq -c`), or smaller ones",
            );
            reading.input.problems.add(what);
            return;
        };
        let document = window.rest().get(..length).unwrap_or_default();
        let lines = memchr_iter(b'\n', document).count();
        if lines > 0 {
            reading.input.format = Format::JsonDocuments;
        }
        reading.take(records, document, Encoding::Json, |error| match error.at {
            Some((down, column)) => format!("line {}, column {column}", line + down.saturating_sub(1)),
            None => format!("line {line}"),
        });
        line += lines;
        window.skip(length);
    }
}

/// Goes past white space, and says how many lines that were.
fn skip_blank(window: &mut Window<'_>) -> usize {
    let mut lines = 0;
    loop {
        let rest = window.rest();
        let length = rest.len() - rest.trim_ascii_start().len();
        lines += memchr_iter(b'\n', rest.get(..length).unwrap_or_default()).count();
        let is_all = length == rest.len();
        window.skip(length);
        if !is_all || !window.more() {
            return lines;
        }
    }
}

/// The length of the document that begins here; of a line, if it is none. `None` if that is too long.
fn document(window: &mut Window<'_>) -> Option<usize> {
    let end = line(window)?;
    let line = window.rest().get(..end).unwrap_or_default().trim_ascii_end();
    match (line.first(), line.last()) {
        // Mostly it is one line; whether it really is one document, its reader will see.
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => Some(end),
        (Some(b'{' | b'['), _) => over_lines(window),
        _ => Some(end),
    }
}

/// The length of the line that begins here.
fn line(window: &mut Window<'_>) -> Option<usize> {
    let mut searched = 0;
    loop {
        let rest = window.rest();
        if let Some(at) = memchr(b'\n', rest.get(searched..).unwrap_or_default()) {
            return Some(searched + at).filter(|length| *length <= MESSAGE_BYTES_MAX);
        }
        searched = rest.len();
        if searched > MESSAGE_BYTES_MAX {
            return None;
        }
        if !window.more() {
            return Some(searched);
        }
    }
}

/// The length of a document over several lines. One that breaks off ends where the next one clearly begins.
fn over_lines(window: &mut Window<'_>) -> Option<usize> {
    let mut scan = Scan::default();
    loop {
        if let Some(length) = scan.run(window.rest(), window.is_done()) {
            return Some(length).filter(|length| *length <= MESSAGE_BYTES_MAX);
        }
        if window.rest().len() > MESSAGE_BYTES_MAX {
            return None;
        }
        if !window.more() && scan.at == window.rest().len() {
            return Some(scan.at);
        }
    }
}

/// Looks for the end of a document by its brackets.
#[derive(Default)]
struct Scan {
    at: usize,
    depth: usize,
    is_array: bool,
    in_text: bool,
    is_escaped: bool,
}

/// So many bytes show that a line begins a request.
const BEGIN: usize = 32;

impl Scan {
    /// Goes on. Gives the length once the end is found.
    fn run(&mut self, bytes: &[u8], is_done: bool) -> Option<usize> {
        while let Some(byte) = bytes.get(self.at) {
            if *byte == b'\n' {
                let next = bytes.get(self.at + 1..).unwrap_or_default();
                if next.len() < BEGIN && !is_done {
                    return None;
                }
                // No text goes over lines, and no request stands in another one, but for an array of them.
                if self.in_text || (self.depth > usize::from(self.is_array) && begins_request(next)) {
                    return Some(self.at);
                }
            }
            self.at += 1;
            if self.take(*byte) {
                return Some(self.at);
            }
        }
        None
    }

    /// Whether this was the last byte.
    const fn take(&mut self, byte: u8) -> bool {
        match (self.in_text, byte) {
            (true, _) if self.is_escaped => self.is_escaped = false,
            (true, b'\\') => self.is_escaped = true,
            (_, b'"') => self.in_text = !self.in_text,
            (false, b'{' | b'[') => {
                self.is_array |= self.depth == 0 && byte == b'[';
                self.depth += 1;
            }
            (false, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// Whether a request begins here, at the beginning of a line.
fn begins_request(line: &[u8]) -> bool {
    let object = line.strip_prefix(b"[").unwrap_or(line);
    object.strip_prefix(b"{").is_some_and(|inside| is_request_name(inside.trim_ascii_start()))
}

fn too_long(what: &str, instead: &str) -> String {
    format!("{what} is longer than {} MiB; {instead}", MESSAGE_BYTES_MAX >> 20)
}
