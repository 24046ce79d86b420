//! PostgreSQL doing what the ledger does: a cluster of its own with its defaults, asked by pgbench over loopback.
//!
//! A pair is two calls, each a function and a transaction of its own: `reserve`, then `settle` (`postgres.sql`).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ACTUAL, RESERVED, Scratch, Sizes, wait_until};
use crate::children::{self, Running};

/// Whose clusters Debian's are. The server refuses to run as root.
const USER: &str = "postgres";

/// How many callers connect in a second, on a machine that is slow at it.
const CONNECTS_A_SECOND: u32 = 64;

/// Every call goes to the same two cells, or every caller has two of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    Same,
    Apart,
}

/// A running cluster. It stops when this is dropped.
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    script: PathBuf,
    // The server stops before its folder goes.
    _running: Running,
    _scratch: Scratch,
}

/// The folder of the newest server's programs, which Debian keeps off the path.
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry)));
    let (_, newest) = numbered.max_by_key(|(number, _)| *number)?;
    let programs = newest.path().join("bin");
    ["initdb", "postgres", "pg_isready", "pgbench", "psql"]
        .iter()
        .all(|program| programs.join(program).exists())
        .then_some(programs)
}

impl Postgres {
    /// Makes a cluster in `folder`, which has to be empty, starts it and waits until it answers. `callers` are the
    /// connections that it has to take.
    pub fn start(programs: PathBuf, folder: &Path, callers: u32, sizes: &Sizes) -> Result<Self, String> {
        let [port] = children::free_ports()?;
        let user = if is_root()? { Some(User::named(USER)?) } else { None };
        let data = folder.join("data");
        let scratch = Scratch::new(folder.to_owned())?;
        if let Some(User { id, group }) = &user {
            let cannot = |error| format!("cannot give `{}` to the user {USER}: {error}", folder.display());
            std::os::unix::fs::chown(folder, Some(*id), Some(*group)).map_err(cannot)?;
        }
        let as_user = |program: &str| {
            let mut command = Command::new(programs.join(program));
            // A folder that the user may be in.
            command.current_dir("/");
            if let Some(User { id, group }) = &user {
                command.uid(*id).gid(*group);
            }
            command
        };
        let mut init = as_user("initdb");
        init.args(["-A", "trust", "-E", "UTF8", "--no-locale", "-U", USER]).arg("-D").arg(&data);
        children::output(&mut init).map_err(|error| {
            format!("{error}; the user {USER} has to be able to reach `{}`", folder.display())
        })?;
        let mut server = as_user("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        // Some are kept for the superuser, which pgbench is here, and psql comes beside it.
        server.args(["-c", &format!("max_connections={}", callers.max(100) + 10)]);
        let mut running = Running::start("postgres", &mut server, &folder.with_extension("log"))?;
        let mut is_ready = Command::new(programs.join("pg_isready"));
        is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        wait_until(&mut running, "postgres", || is_ready.status().is_ok_and(|status| status.success()))?;

        let (schema, script) = (folder.join("postgres.sql"), folder.join("pair.sql"));
        children::write(&schema, include_str!("postgres.sql"))?;
        children::write(&script, &pair(sizes))?;
        let postgres = Self { programs, port, script, _running: running, _scratch: scratch };
        children::output(postgres.psql().arg("-f").arg(&schema))?;
        Ok(postgres)
    }

    /// Pairs a second, in tables that have just been emptied.
    pub fn measure(&self, cells: Cells, callers: u32, seconds: u32) -> Result<f64, String> {
        let (apart, count) = match cells {
            Cells::Same => (0, 2),
            Cells::Apart => (1, 2 * callers),
        };
        self.ask(&format!("SELECT begin_anew({count})"))?;
        let mut bench = Command::new(self.programs.join("pgbench"));
        self.address(&mut bench).args(["-n", "-M", "prepared", "-c", &callers.to_string()]);
        // Its time begins before it connects, which it leaves out of the rate.
        let time = seconds + 1 + callers / CONNECTS_A_SECOND;
        bench.args(["-j", &callers.min(2).to_string(), "-T", &time.to_string()]);
        bench.args(["-D", &format!("apart={apart}")]).arg("-f").arg(&self.script).arg(USER);
        let told = children::output(&mut bench)?;
        if self.ask(&format!("SELECT adds_up({})", ACTUAL.iter().sum::<u32>()))?.trim() != "t" {
            return Err(format!("PostgreSQL's cells are not what its entries say, after:\n{told}"));
        }
        tps(&told).filter(|tps| tps.is_finite()).ok_or_else(|| format!("pgbench told no tps:\n{told}"))
    }

    fn ask(&self, sql: &str) -> Result<String, String> {
        children::output(self.psql().args(["-At", "-c", sql]))
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        self.address(&mut command).args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", USER]);
        command
    }

    fn address<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER])
    }
}

/// What pgbench does over and over: a pair, with entries as long as the ledger's.
fn pair(sizes: &Sizes) -> String {
    let ([reserved, reserved_2], [actual, actual_2]) = (RESERVED, ACTUAL);
    format!(
        "\\set awu random(1, 9223372036854775806)
\\set first 1 + 2 * :apart * :client_id
\\set second :first + 1
SELECT reserve(:awu, ARRAY[:first, :second]::integer[], ARRAY[{reserved}, {reserved_2}]::bigint[], '{}');
SELECT settle(:awu, ARRAY[{actual}, {actual_2}]::bigint[], '{}');
",
        "a".repeat(sizes.admission),
        "s".repeat(sizes.settlement),
    )
}

/// From the line `tps = 1234.5 (without initial connection time)`.
fn tps(told: &str) -> Option<f64> {
    told.lines().find_map(|line| line.strip_prefix("tps = "))?.split(' ').next()?.parse().ok()
}

// === Users ===

struct User {
    id: u32,
    group: u32,
}

impl User {
    fn named(name: &str) -> Result<Self, String> {
        Ok(Self { id: id(&["-u", name])?, group: id(&["-g", name])? })
    }
}

fn is_root() -> Result<bool, String> {
    Ok(id(&["-u"])? == 0)
}

fn id(arguments: &[&str]) -> Result<u32, String> {
    let told = children::output(Command::new("id").args(arguments))?;
    told.trim().parse().map_err(|_| format!("`id` told no number: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_pgbench_prints() {
        let told = "latency average = 1.2 ms\ntps = 823.25 (without initial connection time)\n";
        assert_eq!(tps(told), Some(823.25));
        assert_eq!(tps("pgbench: error"), None);
    }
}
