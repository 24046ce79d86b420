//! The sink that takes the gateway's telemetry: how much has arrived, and since when nothing more comes.
//!
//! The sink itself is the example `otlp_sink` of genops-gateway.

use std::thread;
use std::time::{Duration, Instant};

use crate::children;

/// So long without anything new means that everything has arrived.
const QUIET: Duration = Duration::from_millis(300);

/// A gateway that has not delivered by then will not.
const DELIVERED_WITHIN: Duration = Duration::from_secs(120);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Each call that was answered has its own span and one of the model call below it.
const SPANS_OF_A_CALL: u64 = 2;

/// What has arrived so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    bytes: u64,
    spans: u64,
}

pub fn count(port: u16) -> Result<Count, String> {
    let answer = children::get(port, "/count")?;
    parse(&answer.body).ok_or_else(|| format!("the sink does not tell its counts: {:?}", answer.body))
}

/// Waits until the spans of `calls` more calls than `before` have arrived and nothing more comes. Gives how
/// long that took until the last byte, without the quiet time that shows it.
pub fn drained(port: u16, before: Count, calls: u64) -> Result<Duration, String> {
    let started = Instant::now();
    let mut last = count(port)?;
    let mut changed = started;
    loop {
        thread::sleep(LOOK_EVERY);
        let now = count(port)?;
        if now != last {
            last = now;
            changed = Instant::now();
        }
        let arrived = last.spans.saturating_sub(before.spans);
        if arrived >= calls * SPANS_OF_A_CALL && changed.elapsed() >= QUIET {
            return Ok(changed - started);
        }
        if started.elapsed() > DELIVERED_WITHIN {
            let within = DELIVERED_WITHIN.as_secs();
            return Err(format!("{arrived} spans of {calls} calls were delivered within {within} s"));
        }
    }
}

/// Lines such as `bytes 123`.
fn parse(told: &str) -> Option<Count> {
    let number = |name: &str| {
        let mut pairs = told.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(what, _)| *what == name)?.1.parse().ok()
    };
    Some(Count { bytes: number("bytes")?, spans: number("spans")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let told = "requests 3\nbytes 4096\nspans 12\nlogs 18\n";
        assert_eq!(parse(told), Some(Count { bytes: 4096, spans: 12 }));
        assert_eq!(parse("bytes x\nspans 1\n"), None);
        assert_eq!(parse(""), None);
    }
}
