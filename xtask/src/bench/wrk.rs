//! wrk, which makes the calls: its script, and what it measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::children;

/// A chat completion of about 250 bytes.
const BODY: &str = r#"{"model":"stand-in","max_tokens":64,"temperature":0.2,"messages":[{"role":"system","content":"You answer in one short sentence."},{"role":"user","content":"Which of the two reports should I read first, and what is the shorter one about?"}]}"#;

/// wrk, ready to make calls with one key.
#[derive(Debug)]
pub struct Wrk {
    script: PathBuf,
}

/// What one run of wrk measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub requests: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Answers with a status of 400 and above.
    pub refused: u64,
    /// Connections, reads and writes that failed, and answers that did not come in time.
    pub broken: u64,
}

impl Wrk {
    /// Writes the script. It prints a line for programs at the end, since what wrk prints is for people.
    pub fn new(folder: &Path, secret: &str) -> Result<Self, String> {
        let script = folder.join("calls.lua");
        let text = format!(
            "wrk.method = 'POST'
wrk.body = '{BODY}'
wrk.headers['Content-Type'] = 'application/json'
wrk.headers['Authorization'] = 'Bearer {secret}'

function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('measured %d %d %d %d %d %d\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status, broken))
end
"
        );
        children::write(&script, &text)?;
        Ok(Self { script })
    }

    /// Makes calls to `port` for some seconds, each connection one after the other.
    pub fn run(&self, port: u16, connections: u32, seconds: u32) -> Result<Measured, String> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency", "-s"]);
        wrk.arg(&self.script).arg(format!("http://127.0.0.1:{port}/v1/chat/completions"));
        let printed = children::output(&mut wrk)?;
        parse(&printed).ok_or_else(|| format!("wrk does not tell what it measured:\n{printed}"))
    }
}

impl Measured {
    pub fn answered(&self) -> u64 {
        self.requests.saturating_sub(self.refused)
    }
}

/// The line of the script; its times are in microseconds.
fn parse(printed: &str) -> Option<Measured> {
    let line = printed.lines().find_map(|line| line.strip_prefix("measured "))?;
    let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (requests, duration) = (next()?, next()?);
    let (p50, p99) = (next()?, next()?);
    Some(Measured {
        requests,
        seconds: duration as f64 / 1e6,
        p50_ms: p50 as f64 / 1e3,
        p99_ms: p99 as f64 / 1e3,
        refused: next()?,
        broken: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_of_the_size_that_is_claimed() {
        assert!((230..=270).contains(&BODY.len()), "{}", BODY.len());
        assert!(!BODY.contains('\''), "it stands in single quotes");
    }

    #[test]
    fn what_was_measured_is_read() {
        let printed = "Running 4s test @ http://a\nRequests/sec: 5\nmeasured 1000 4000000 250 1999 3 0\n";
        let measured = parse(printed).unwrap();
        assert_eq!((measured.requests, measured.answered()), (1000, 997));
        assert_eq!((measured.seconds, measured.p50_ms, measured.p99_ms), (4.0, 0.25, 1.999));
        assert_eq!((measured.refused, measured.broken), (3, 0));
        assert_eq!(parse("measured 1000 4000000"), None);
        assert_eq!(parse("unable to connect"), None);
    }
}
