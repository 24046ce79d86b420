//! What the disk takes for making 4 KiB durable. The ratios of a ledger mean something only beside it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::statistics::median;
use crate::children;

const APPENDS: usize = 200;
const APPENDED: [u8; 4096] = [0x5a; 4096];

/// The median of some appends with fdatasync, in milliseconds.
pub fn sync_ms(folder: &Path) -> Result<f64, String> {
    let path = folder.join("sync.probe");
    let cannot = |error| format!("cannot write `{}`: {error}", path.display());
    let mut file = File::create(&path).map_err(cannot)?;
    let mut times = Vec::with_capacity(APPENDS);
    for _ in 0..APPENDS {
        let started = Instant::now();
        file.write_all(&APPENDED).and_then(|()| file.sync_data()).map_err(cannot)?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    fs::remove_file(&path).map_err(cannot)?;
    Ok(median(&times))
}

/// Refuses a folder that is kept in memory, where durability costs nothing.
pub fn require_real(folder: &Path) -> Result<(), String> {
    let kind = children::output(Command::new("stat").args(["-f", "-c", "%T"]).arg(folder))?;
    match kind.trim() {
        memory @ ("tmpfs" | "ramfs") => {
            Err(format!("`{}` is on {memory}, where nothing is durable", folder.display()))
        }
        _ => Ok(()),
    }
}
