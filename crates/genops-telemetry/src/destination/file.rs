//! A file of JSON lines. It is appended to, and what a crash left of a line is cut off.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file of lines, open for appending.
#[derive(Debug)]
pub struct Lines {
    file: File,
}

impl Lines {
    /// Opens a file of lines. A last line without an end is what a crash left: it is cut off, and the cursor,
    /// which has not moved past it, brings it again.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        cut_off(&mut file)?;
        Ok(Self { file })
    }

    /// Appends lines; they are on the disk when this returns. The error is in words for people.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), String> {
        self.file.write_all(lines).and_then(|()| self.file.sync_data()).map_err(|error| {
            // What was half written is cut off, so that the next try writes the line anew.
            let mended =
                cut_off(&mut self.file).map_or_else(|error| format!("; {error}"), |()| String::new());
            format!("{error}{mended}")
        })
    }
}

fn cut_off(file: &mut File) -> Result<(), Error> {
    let end = end_of_lines(file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

fn end_of_lines(file: &mut File) -> Result<u64, Error> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let length = usize::try_from(end - start).unwrap_or(chunk.len());
        let Some(part) = chunk.get_mut(..length) else { break };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_short_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\n"), ("torn", "")] {
            std::fs::write(&path, before).unwrap();
            drop(Lines::open(&path).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        let long = format!("{}\n{}", "x".repeat(10_000), "y".repeat(9_000));
        std::fs::write(&path, &long).unwrap();
        drop(Lines::open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10_001);
    }
}
