//! Redis doing what the ledger does in Lua: a server of its own with an append-only file, asked by redis-benchmark.
//!
//! redis-benchmark sends one command over and over, so one script does both halves: it settles the AWU that it is
//! given if that is open, and admits it if not (`redis.lua`). Two calls are a pair.

use std::path::Path;
use std::process::Command;

use super::{ACTUAL, RESERVED, Scratch, Sizes, wait_until, whole};
use crate::children::{self, Running};

/// When the append-only file is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before each answer.
    Always,
    /// Once a second: what was answered before may be lost.
    EverySecond,
}

/// AWUs that the calls choose from; half of them are open. Few, so that a run admits about as often as it settles.
const AWUS: u32 = 100;

/// Calls of each caller before the measurement.
const WARM_UP: u32 = 50;

const CELLS: [&str; 2] = ["cell:1", "cell:2"];

/// The programs that are needed.
pub const PROGRAMS: [&str; 3] = ["redis-server", "redis-cli", "redis-benchmark"];

struct Redis {
    port: u16,
    script: String,
    content: String,
    // The server stops before its folder goes.
    _running: Running,
    _scratch: Scratch,
}

/// Pairs a second of a new server in `folder`, which goes away with it: its journal stays in memory as well.
pub fn measure(folder: &Path, sync: Sync, callers: u32, seconds: u32, sizes: &Sizes) -> Result<f64, String> {
    let redis = Redis::start(folder, sync, sizes)?;
    let calls_a_second = redis.bench(callers, (WARM_UP * callers).max(500))?;
    // It counts calls, not seconds.
    let calls = whole(calls_a_second * f64::from(seconds))?;
    let pairs_a_second = redis.bench(callers, calls)? / 2.0;
    redis.expect_to_add_up()?;
    Ok(pairs_a_second)
}

impl Redis {
    fn start(folder: &Path, sync: Sync, sizes: &Sizes) -> Result<Self, String> {
        let scratch = Scratch::new(folder.to_owned())?;
        let [port] = children::free_ports()?;
        let sync = match sync {
            Sync::Always => "always",
            Sync::EverySecond => "everysec",
        };
        let mut server = Command::new("redis-server");
        server.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]).arg("--dir").arg(folder);
        server.args(["--save", "", "--appendonly", "yes", "--appendfsync", sync]);
        // Within the few seconds of a measurement it would write the whole file anew.
        server.args(["--auto-aof-rewrite-percentage", "0"]);
        let log = folder.with_extension("log");
        let mut running = Running::start("redis-server", &mut server, &log)?;
        let answers = || cli(port, &["ping"]).is_ok_and(|answer| answer.trim() == "PONG");
        wait_until(&mut running, "redis-server", answers)?;
        for cell in CELLS {
            cli(port, &["hset", cell, "allocated", "1000000000000000", "held", "0", "used", "0"])?;
        }
        let script = cli(port, &["script", "load", include_str!("redis.lua")])?.trim().to_owned();
        // Each call carries half of what a pair writes.
        let content = "c".repeat(sizes.admission.midpoint(sizes.settlement));
        Ok(Self { port, script, content, _running: running, _scratch: scratch })
    }

    /// Calls a second.
    fn bench(&self, callers: u32, calls: u32) -> Result<f64, String> {
        let mut bench = Command::new("redis-benchmark");
        bench.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--csv", "-r", &AWUS.to_string()]);
        bench.args(["-c", &callers.to_string(), "-n", &calls.to_string(), "evalsha", &self.script]);
        bench.arg("4").args(CELLS).args(["open", "journal", "__rand_int__", &self.content]);
        for (reserved, actual) in RESERVED.iter().zip(ACTUAL) {
            bench.args([reserved.to_string(), actual.to_string()]);
        }
        let told = children::output(&mut bench)?;
        rate(&told).ok_or_else(|| format!("redis-benchmark told no rate:\n{told}"))
    }

    /// Whether what stands in a cell is what the journal says.
    fn expect_to_add_up(&self) -> Result<(), String> {
        let ask = |arguments: &[&str]| {
            let told = cli(self.port, arguments)?;
            told.trim().parse::<u64>().map_err(|_| format!("Redis told no number: {told}"))
        };
        let (entries, open) = (ask(&["xlen", "journal"])?, ask(&["hlen", "open"])?);
        let (held, used) = (ask(&["hget", "cell:1", "held"])?, ask(&["hget", "cell:1", "used"])?);
        let [reserved, _] = RESERVED.map(u64::from);
        let [actual, _] = ACTUAL.map(u64::from);
        // Every entry is an admission or a settlement, and what was admitted is settled or open.
        let settled = used / actual;
        if used > 0 && held == open * reserved && entries == 2 * settled + open {
            return Ok(());
        }
        Err(format!(
            "Redis' cell is not what its journal says: {entries} entries, {open} open, {held} held, {used} used"
        ))
    }
}

fn cli(port: u16, arguments: &[&str]) -> Result<String, String> {
    children::output(Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments))
}

/// From the last line of its table, `"evalsha ...","rate","average","min","p50","p95","p99","max"`.
fn rate(told: &str) -> Option<f64> {
    let line = told.lines().rfind(|line| line.starts_with('"'))?;
    line.rsplit("\",\"").nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_redis_benchmark_prints() {
        let told = "\"test\",\"rps\",\"avg\",\"min\",\"p50\",\"p95\",\"p99\",\"max\"\n\
                    \"evalsha a 4\",\"1234.50\",\"0.1\",\"0.1\",\"0.1\",\"0.2\",\"0.3\",\"0.4\"\n";
        assert_eq!(rate(told), Some(1234.5));
        assert_eq!(rate("Could not connect"), None);
    }
}
