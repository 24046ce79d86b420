//! The load generator for streams, the example `stream_load` of genops-gateway: how it is run, and what it
//! measured. wrk reads an answer as a whole, so it cannot tell when its parts came.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::children;

/// The generator, ready to make calls with one key.
#[derive(Debug)]
pub struct StreamLoad {
    program: PathBuf,
    secret: String,
}

/// The median and the 99th percentile, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// What one run measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Read to their end.
    pub streams: u64,
    pub events: u64,
    /// Answers with another status than 200.
    pub refused: u64,
    /// Connections that failed, and streams that were cut off.
    pub broken: u64,
    pub seconds: f64,
    /// From the request to the answer's head.
    pub first_byte: Times,
    /// From the request to the end of the first event; it includes the stand-in's pause before it.
    pub first_event: Times,
    /// From the stand-in to the caller, of each word.
    pub delay: Times,
    /// Between two events, beyond the pause.
    pub gap: Times,
}

impl StreamLoad {
    pub fn new(target: &Path, secret: &str) -> Self {
        let program = target.join("release").join("examples").join("stream_load");
        Self { program, secret: secret.to_owned() }
    }

    /// Makes calls to `port` for some seconds, each connection one after the other.
    pub fn run(&self, port: u16, connections: u32, seconds: u32, pause_ms: u32) -> Result<Measured, String> {
        let mut load = Command::new(&self.program);
        load.arg(port.to_string()).args([connections, seconds, pause_ms].map(|number| number.to_string()));
        let printed = children::output(load.env("STREAM_LOAD_KEY", &self.secret))?;
        parse(&printed).ok_or_else(|| format!("stream_load does not tell what it measured:\n{printed}"))
    }
}

/// The line of the generator; its times are in nanoseconds.
fn parse(printed: &str) -> Option<Measured> {
    let line = printed.lines().find_map(|line| line.strip_prefix("measured "))?;
    let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (streams, events) = (next()?, next()?);
    let (refused, broken, took) = (next()?, next()?, next()?);
    let mut times = || Some(Times { p50_ms: next()? as f64 / 1e6, p99_ms: next()? as f64 / 1e6 });
    Some(Measured {
        streams,
        events,
        refused,
        broken,
        seconds: took as f64 / 1e9,
        first_byte: times()?,
        first_event: times()?,
        delay: times()?,
        gap: times()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_read() {
        let printed = "measured 10 540 1 2 4000000000 250000 1999000 3 4 5 6 7 8000000\n";
        let measured = parse(printed).unwrap();
        assert_eq!((measured.streams, measured.events, measured.refused, measured.broken), (10, 540, 1, 2));
        assert_eq!(measured.seconds, 4.0);
        assert_eq!(measured.first_byte, Times { p50_ms: 0.25, p99_ms: 1.999 });
        assert_eq!(measured.gap.p99_ms, 8.0);
        for bad in ["", "measured 10 540", "streams 10"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
