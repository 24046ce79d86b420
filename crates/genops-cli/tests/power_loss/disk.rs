//! What a disk holds at each point of a recorder's log, had the power failed there (the log's format is in
//! `recorder.c`).
//!
//! What was synced is there, under a name that was synced with its folder. Of everything else nothing is
//! there, or any part: both are images to be looked at. What the bytes mean is not known here.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// Every record of a log, in order. A record that the end of the process cut off counts as not done.
pub fn records(log: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = log;
    std::iter::from_fn(move || {
        let (record, after) = record(rest)?;
        rest = after;
        Some(record)
    })
}

/// One operation of the process.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub kind: Kind,
    path: &'a str,
    /// An offset, a length or a count: the format says which.
    number: u64,
    pub data: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Write,
    Truncate,
    Sync,
    Unlink,
    Send,
    Rename,
}

fn record(log: &[u8]) -> Option<(Record<'_>, &[u8])> {
    const KINDS: [Kind; 6] =
        [Kind::Write, Kind::Truncate, Kind::Sync, Kind::Unlink, Kind::Send, Kind::Rename];
    let (kind, rest) = log.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let (number, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().unwrap())?;
    let kind = KINDS[usize::from(*kind) - 1];
    let path = std::str::from_utf8(path).unwrap();
    Some((Record { kind, path, number: u64::from_le_bytes(*number), data }, rest))
}

/// A folder with the ledger's files. The query tables beside it are left out: they can be built anew.
pub struct Disk {
    folder: String,
    files: BTreeMap<String, Contents>,
    /// Grows whenever what is sure to be there changes.
    pub version: u64,
}

#[derive(Default)]
struct Contents {
    /// What was synced.
    durable: Vec<u8>,
    /// What was not, in order.
    pending: VecDeque<Change>,
    /// How many changes have left `pending`.
    synced: u64,
    /// Whether the name was synced with the folder.
    is_named: bool,
    /// Whether the name was removed since the folder was synced.
    is_unlinked: bool,
}

/// A change of a file, which a disk may do sector by sector.
#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { length: usize },
}

const SECTOR: usize = 512;

impl Disk {
    /// A folder that is empty.
    pub fn empty(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap().to_str().unwrap().to_owned();
        Self { folder, files: BTreeMap::new(), version: 0 }
    }

    /// Follows the process one operation further.
    pub fn follow(&mut self, record: Record<'_>) {
        if record.kind == Kind::Sync && record.path == self.folder {
            return self.sync_names();
        }
        let Some(name) = record.path.strip_prefix(&self.folder).and_then(|name| name.strip_prefix('/'))
        else {
            return;
        };
        if name.contains(".views") || name.ends_with(".lock") {
            return;
        }
        let number = usize::try_from(record.number).unwrap();
        match record.kind {
            Kind::Write => self.change(name, Change::Write { offset: number, data: record.data.to_vec() }),
            Kind::Truncate => self.change(name, Change::Truncate { length: number }),
            Kind::Sync => self.sync(name, record.number),
            Kind::Unlink => self.file(name).is_unlinked = true,
            Kind::Rename => panic!("a rename of `{name}` is not understood"),
            Kind::Send => {}
        }
    }

    fn file(&mut self, name: &str) -> &mut Contents {
        self.files.entry(name.to_owned()).or_default()
    }

    fn change(&mut self, name: &str, change: Change) {
        let file = self.file(name);
        assert!(!file.is_unlinked, "`{name}` made again before its folder was synced: not understood");
        file.pending.push_back(change);
    }

    fn sync(&mut self, name: &str, changes: u64) {
        let file = self.file(name);
        while file.synced < changes {
            file.pending.pop_front().unwrap().apply(&mut file.durable, &mut || true);
            file.synced += 1;
        }
        self.version += 1;
    }

    fn sync_names(&mut self) {
        for file in self.files.values_mut().filter(|file| !file.is_named || file.is_unlinked) {
            if file.is_unlinked {
                // The log goes on counting the changes of this path.
                let synced = file.synced + file.pending.len() as u64;
                *file = Contents { synced, ..Contents::default() };
            } else {
                file.is_named = true;
            }
            self.version += 1;
        }
    }

    /// Whether there is anything that may or may not be there.
    pub fn is_in_between(&self) -> bool {
        self.files.values().any(|file| file.is_unlinked || !file.pending.is_empty())
    }

    /// Writes the files as they may be there: what is sure, and of the rest what `keeps` says, asked once
    /// for each sector, length and name.
    pub fn write_image(&self, folder: &Path, mut keeps: impl FnMut() -> bool) {
        for (name, file) in self.files.iter().filter(|(_, file)| file.is_named) {
            if file.is_unlinked && keeps() {
                continue;
            }
            let mut bytes = file.durable.clone();
            for change in &file.pending {
                change.clone().apply(&mut bytes, &mut keeps);
            }
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>, keeps: &mut dyn FnMut() -> bool) {
        match self {
            Self::Write { mut offset, data } => {
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let to_boundary = SECTOR - offset % SECTOR;
                    let (part, after) = rest.split_at(rest.len().min(to_boundary));
                    if keeps() {
                        bytes.resize(bytes.len().max(offset + part.len()), 0);
                        bytes[offset..offset + part.len()].copy_from_slice(part);
                    }
                    offset += part.len();
                    rest = after;
                }
            }
            Self::Truncate { length } if keeps() => bytes.resize(length, 0),
            Self::Truncate { .. } => {}
        }
    }
}
