//! The rule by which entries leave by themselves: those that are older than so long, as far as nobody needs them, in files
//! of a day of the journal at least, which are named by the ledger and their first and last entry.
//!
//! When that is looked at is not known here. A file that was made whole, and not noted because the process died between the
//! two, is taken up: it stands for what it holds, and no second one is made of that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use genops_core::Timestamp;

use super::{ArchiveError, PART, Retiring, begins, failed, frame_end, last_before, read_back, sync_folder};
use crate::store::FrameReader;
use crate::witness::Head;

/// So much of the journal is in a file at least, in nanoseconds: there is one a day at most.
const DAY_NS: u64 = 86_400_000_000_000;

impl Retiring<'_> {
    /// Moves the entries that are older than `keep` at `now` into a new file in `folder`, as far as nobody needs them, or
    /// takes up the file that was made of them before. `None` where that would be less than a day of the journal.
    ///
    /// # Errors
    ///
    /// Less than a day may leave because somebody needs the rest; the archive cannot be made; or it was broken off. What has
    /// not been noted as archived is not forgotten.
    pub fn retire_older(
        &self,
        keep: Duration,
        folder: &Path,
        now: Timestamp,
    ) -> Result<Option<Head>, ArchiveError> {
        let mut journal = self.journal()?;
        let (first, _) = begins(&self.read()?)?;
        let Some(oldest) = journal.entry(first)?.map(|oldest| oldest.entry.at) else { return Ok(None) };
        let Some(before) = due(oldest, keep, now) else { return Ok(None) };
        let names = Names { folder, stem: self.stem(), first };
        let made = names.made()?;
        let (needs, last) = self.prepare()?;
        if let Some(through) = made {
            needs.allow(through)?;
            return self.take_up(through, &names.whole(through)).map(Some);
        }
        let wanted = last_before(&mut journal, before, first.saturating_sub(1), last)?;
        let through = frame_end(&mut self.read()?, wanted.min(needs.spare()))?.unwrap_or_default();
        let stays =
            journal.entry(through.max(first).saturating_add(1))?.map_or(before, |stays| stays.entry.at);
        if through < first || stays < oldest.plus_nanos(DAY_NS) {
            needs.allow(wanted)?;
            return Ok(None);
        }
        self.leave(through, &names.whole(through)).map(Some)
    }

    /// Notes what a whole archive has that nobody noted, once it is read back.
    fn take_up(&self, through: u64, archive: &Path) -> Result<Head, ArchiveError> {
        let mut reader = self.read()?;
        let frame = reader.holding(through)?.filter(|frame| frame.last() == through);
        let head = frame.map(|frame| Head { sequence: through, hash: frame.hash });
        let is_it = match head {
            Some(head) => read_back(&|| self.is_broken_off(), begins(&reader)?, head, archive),
            None => Err(ArchiveError::Nothing { through }),
        };
        match (head, is_it) {
            (Some(head), Ok(())) => {
                sync_folder(archive)?;
                self.note(head, archive)?;
                Ok(head)
            }
            _ if self.is_broken_off() => Err(ArchiveError::BrokenOff),
            _ => Err(ArchiveError::File(format!(
                "`{}` is there, and does not have what the ledger has; see what it is, and move it away",
                archive.display()
            ))),
        }
    }

    /// What the ledger's file is called, without its ending.
    fn stem(&self) -> String {
        self.ledger.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The time before which entries leave, where the oldest is older by a day at least.
fn due(oldest: Timestamp, keep: Duration, now: Timestamp) -> Option<Timestamp> {
    let before = now.minus_nanos(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX));
    (oldest.plus_nanos(DAY_NS) <= before).then_some(before)
}

/// What archives of a ledger are called that begin with an entry.
struct Names<'a> {
    folder: &'a Path,
    stem: String,
    first: u64,
}

impl Names<'_> {
    fn beginning(&self) -> String {
        format!("{}-{:012}-", self.stem, self.first)
    }

    fn whole(&self, through: u64) -> PathBuf {
        self.folder.join(format!("{}{through:012}.jsonl", self.beginning()))
    }

    /// The last entry of the archive that was made, and not noted; one that was not made to its end is removed.
    fn made(&self) -> Result<Option<u64>, ArchiveError> {
        let told = |error| failed(self.folder, &error);
        let mut made = None;
        for entry in std::fs::read_dir(self.folder).map_err(told)? {
            let path = entry.map_err(told)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(rest) = name.strip_prefix(&self.beginning()) else { continue };
            let through = |rest: &str| rest.strip_suffix(".jsonl")?.parse::<u64>().ok();
            match rest.strip_suffix(PART) {
                Some(part) if through(part).is_some() => std::fs::remove_file(&path).map_err(told)?,
                _ => made = made.max(through(rest)),
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_due_a_day_after_they_are_too_old() {
        let day = |days: u64| Timestamp::from_nanos(days * DAY_NS);
        let keep = Duration::from_nanos(90 * DAY_NS);
        assert_eq!(due(day(100), keep, day(190)), None);
        assert_eq!(due(day(100), keep, Timestamp::from_nanos(191 * DAY_NS - 1)), None);
        assert_eq!(due(day(100), keep, day(191)), Some(day(101)));
        assert_eq!(due(day(100), Duration::MAX, day(191)), None);
        assert_eq!(due(day(1), keep, day(0)), None, "a clock that has gone back");
    }

    #[test]
    fn archives_are_named_by_their_ledger_and_entries_and_found_by_their_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names { folder: folder.path(), stem: "genops".to_owned(), first: 4_712 };
        assert_eq!(names.whole(9_999), folder.path().join("genops-000000004712-000000009999.jsonl"));
        assert_eq!(names.made().unwrap(), None);
        let others = [
            "genops-000000000001-000000004711.jsonl",
            "other-000000004712-000000009999.jsonl",
            "genops-000000004712-000000009999.jsonl.gz",
            "genops-000000004712-notes.jsonl.part",
        ];
        let part = "genops-000000004712-000000008888.jsonl.part";
        others.iter().chain([&part]).for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        assert_eq!(names.made().unwrap(), None);
        assert!(!folder.path().join(part).exists());
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
        std::fs::write(names.whole(9_999), "").unwrap();
        assert_eq!(names.made().unwrap(), Some(9_999));
        let names = Names { folder: &folder.path().join("missing"), ..names };
        assert!(names.made().unwrap_err().to_string().contains("missing"));
    }
}
