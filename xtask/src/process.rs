//! What Linux tells about a process in `/proc`: its descendants, and the processor time it has used.
//!
//! It reads, and starts nothing but `getconf`.

use std::fs;
use std::process::Command;

/// One line of `/proc/PID/stat`, as far as it is needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    /// In user and system mode together.
    ticks: u64,
}

/// Every process below `id`, children before grandchildren.
pub fn descendants(id: u32) -> Vec<u32> {
    below(id, &all()).iter().map(|stat| stat.id).collect()
}

/// The seconds of processor time that a process and everything below it have used so far.
///
/// A child that has ended is not counted; the servers measured here keep theirs.
pub fn processor_seconds(id: u32) -> Result<f64, String> {
    let all = all();
    let own = all.iter().find(|stat| stat.id == id).ok_or_else(|| format!("process {id} is gone"))?;
    let ticks: u64 = own.ticks + below(id, &all).iter().map(|stat| stat.ticks).sum::<u64>();
    Ok(ticks as f64 / ticks_per_second())
}

fn below(id: u32, all: &[Stat]) -> Vec<Stat> {
    let mut found = Vec::new();
    let mut parents = vec![id];
    while !parents.is_empty() {
        let children = all.iter().filter(|stat| parents.contains(&stat.parent));
        let children: Vec<Stat> = children.copied().collect();
        parents = children.iter().map(|stat| stat.id).collect();
        found.extend(children);
    }
    found
}

/// A process that ends while this looks is left out.
fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)).collect()
}

/// `PID (name) state parent ...`; the name may hold anything, so it ends at the last parenthesis.
fn parse(line: &str) -> Option<Stat> {
    let (before, after) = line.rsplit_once(')')?;
    let id = before.split_once(' ')?.0.parse().ok()?;
    let mut fields = after.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    // The parent is the fourth field of the line; user and system time are the fourteenth and fifteenth.
    let mut times = fields.skip(9);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(Stat { id, parent, ticks: user + system })
}

fn ticks_per_second() -> f64 {
    let told = Command::new("getconf").arg("CLK_TCK").output().ok();
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    told.unwrap_or(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_is() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 100 200\n";
        assert_eq!(parse(line), Some(Stat { id: 42, parent: 7, ticks: 175 }));
        assert_eq!(parse("42 (a) S 7"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let stat = |id, parent| Stat { id, parent, ticks: 1 };
        let all = [stat(1, 0), stat(5, 1), stat(6, 5), stat(7, 5), stat(8, 2)];
        let ids = |id| below(id, &all).iter().map(|stat| stat.id).collect::<Vec<_>>();
        assert_eq!(ids(1), [5, 6, 7]);
        assert_eq!(ids(8), Vec::<u32>::new());
    }

    #[test]
    fn this_process_has_used_some_time() {
        assert!(processor_seconds(std::process::id()).is_ok_and(|seconds| seconds >= 0.0));
    }
}
