//! Writes a capture of many complete traces, as a gateway would emit them: `cargo xtask bench check` measures the
//! checker on it. The same seed gives the same bytes.
//!
//! Nothing is judged or measured here. Every AWU conforms; the states are mixed as in a busy day.
#![expect(clippy::print_stderr, reason = "a program for the terminal: trouble goes to standard error")]

mod traffic;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::{env, io};

use prost::Message;
use traffic::Traffic;

const USAGE: &str = "usage: generate --form protobuf|json --traces N --out FILE [--seed N]";

/// So many traces go into one request.
const BATCH: u64 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(order) = Order::read(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match order.write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write `{}`: {error}", order.out);
            ExitCode::FAILURE
        }
    }
}

/// What is to be written.
struct Order {
    is_json: bool,
    traces: u64,
    out: String,
    seed: u64,
}

impl Order {
    fn read(arguments: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).map(String::as_str)
        };
        let is_json = match value("--form")? {
            "json" => true,
            "protobuf" => false,
            _ => return None,
        };
        let seed = value("--seed").map_or(Some(1), |seed| seed.parse().ok())?;
        Some(Self {
            is_json,
            traces: value("--traces")?.parse().ok()?,
            out: value("--out")?.to_owned(),
            seed,
        })
    }

    /// Writes lines of JSON, or Protocol Buffers messages with their lengths in four bytes before them.
    fn write(&self) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&self.out)?);
        let mut traffic = Traffic::new(self.seed);
        let mut left = self.traces;
        while left > 0 {
            let count = left.min(BATCH);
            left -= count;
            let request = traffic.request(count);
            if self.is_json {
                serde_json::to_writer(&mut out, &request)?;
                out.write_all(b"\n")?;
            } else {
                let message = request.encode_to_vec();
                let length = u32::try_from(message.len()).map_err(io::Error::other)?;
                out.write_all(&length.to_be_bytes())?;
                out.write_all(&message)?;
            }
        }
        out.flush()
    }
}
