//! One way through a capture, in a process of its own, for `cargo xtask bench check`: judged by the checker, or only
//! decoded, by others' decoders and by the checker's own.
//!
//! It prints how many spans it met, how long that took, and the most memory that it held. Nothing is compared here.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal: figures on standard output, trouble on standard error"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use genops_conformance::checker::OPEN_BYTES_MAX;
use genops_conformance::otlp::record::Span;
use genops_conformance::otlp::request::{self, Encoding, Records};
use genops_conformance::{Checker, Strictness, input};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: bench_check check|judge|borrow|prost|serde FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [way, file] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let begun = Instant::now();
    match walk(way, &PathBuf::from(file)) {
        Ok(spans) => {
            println!("{spans} {:.6} {}", begun.elapsed().as_secs_f64(), peak_kib());
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn walk(way: &str, file: &Path) -> Result<u64, String> {
    match way {
        "check" => check(file),
        "judge" => judge(file),
        "borrow" => messages(file, |message| {
            let mut spans = Spans::default();
            request::read(message, encoding(message), None, &mut spans).map_err(|error| error.to_string())?;
            Ok(spans.count)
        }),
        "prost" => messages(file, |message| {
            let request = ExportTraceServiceRequest::decode(message).map_err(|error| error.to_string())?;
            Ok(count(&black_box(request)))
        }),
        "serde" => messages(file, |message| {
            let request: ExportTraceServiceRequest =
                serde_json::from_slice(message).map_err(|error| error.to_string())?;
            Ok(count(&black_box(request)))
        }),
        _ => Err(USAGE.to_owned()),
    }
}

fn check(file: &Path) -> Result<u64, String> {
    let mut checker = Checker::new(Strictness::default(), OPEN_BYTES_MAX);
    input::read(&[file.to_path_buf()], &mut checker).map_err(|error| error.to_string())?;
    Ok(checker.finish().counts.spans)
}

/// What `check` does to each message, without what it does to a file: no digest of it, which the processor has
/// instructions for and valgrind emulates without them.
fn judge(file: &Path) -> Result<u64, String> {
    let mut checker = Checker::new(Strictness::default(), OPEN_BYTES_MAX);
    messages(file, |message| {
        checker.take(message, encoding(message), None).map_err(|error| error.to_string())?;
        Ok(0)
    })?;
    Ok(checker.finish().counts.spans)
}

/// Every message of a file: lines of JSON, or Protocol Buffers messages, each with its length in four bytes before it.
fn messages(file: &Path, mut take: impl FnMut(&[u8]) -> Result<u64, String>) -> Result<u64, String> {
    let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", file.display());
    let mut reader = BufReader::with_capacity(1 << 20, fs::File::open(file).map_err(cannot)?);
    let is_json = reader.fill_buf().map_err(cannot)?.first() == Some(&b'{');
    let (mut spans, mut message) = (0, Vec::new());
    loop {
        message.clear();
        if is_json {
            if reader.read_until(b'\n', &mut message).map_err(cannot)? == 0 {
                return Ok(spans);
            }
        } else {
            let mut length = [0; 4];
            if reader.fill_buf().map_err(cannot)?.is_empty() {
                return Ok(spans);
            }
            reader.read_exact(&mut length).map_err(cannot)?;
            let bytes = u64::from(u32::from_be_bytes(length));
            reader.by_ref().take(bytes).read_to_end(&mut message).map_err(cannot)?;
        }
        spans += take(&message)?;
    }
}

fn encoding(message: &[u8]) -> Encoding {
    if message.first() == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf }
}

/// Decodes every span without copying, and drops it.
#[derive(Default)]
struct Spans {
    count: u64,
}

impl Records for Spans {
    fn resource(&mut self, _: &[u8]) {}
    fn scope(&mut self, _: &[&[u8]]) {}
    fn span(&mut self, message: &[u8], _: bool) {
        black_box(Span::read(message));
        self.count += 1;
    }
    fn log(&mut self, _: &[u8], _: bool) {}
    fn metric(&mut self, _: &[u8]) {}
    fn unreadable(&mut self) {}
}

fn count(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

/// The most memory that this process held, in KiB, as Linux tells it.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
