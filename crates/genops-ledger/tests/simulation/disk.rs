//! A store that fails as it is told to.
//!
//! It is transactional, as the real one is: a frame is there whole or not at all, unless it is told to tear one. Then a
//! part of the last frame is there, and it is for the journal to notice. What a frame does to persons is there with it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use genops_ledger::StoreError;
use genops_ledger::frame::Frame;
use genops_ledger::memory::MemoryStore;
use genops_ledger::snapshots::Snapshots;
use genops_ledger::store::{FrameReader, PersonStep, Persons, Readers, Store};

use crate::random::Random;

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is durable, and says so.
    Kept,
    /// There is no space; nothing is kept, and it says so.
    Full,
    /// The sync fails. Whether the frame is there, nobody knows.
    SyncFails { kept: bool },
    /// The process dies on the way. Nobody hears anything.
    Dies { kept: bool },
    /// The process dies, and a part of the frame is there.
    Tears,
    /// It says that it is durable, and forgets it when the process dies: what no store may do.
    Lies,
}

/// The disk outlives the processes that write to it. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    frames: Vec<Frame>,
    /// What each of the frames does to persons.
    steps: Vec<Vec<PersonStep>>,
    /// Frames from here on are only said to be durable.
    forgets_from: Option<usize>,
    /// The last frame is there in part.
    torn: Option<u64>,
    fate: Option<Fate>,
    appends: u64,
    dead: bool,
    fails_to_read_after: Option<u64>,
    free_bytes: Option<u64>,
    snapshots: Option<PathBuf>,
}

impl Disk {
    /// What becomes of the next append.
    pub fn set_fate(&self, fate: Fate) {
        self.with(|disk| disk.fate = Some(fate));
    }

    /// The next reader fails once it has read so many frames.
    pub fn fail_to_read_after(&self, frames: Option<u64>) {
        self.with(|disk| disk.fails_to_read_after = frames);
    }

    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.with(|disk| disk.free_bytes = bytes);
    }

    /// How many appends there were, in all lives.
    pub fn appends(&self) -> u64 {
        self.with(|disk| disk.appends)
    }

    /// Whether the process that wrote has died.
    pub fn is_dead(&self) -> bool {
        self.with(|disk| disk.dead)
    }

    /// The process has ended, in whatever way: what was only said to be durable is gone.
    pub fn restart(&self) {
        self.with(|disk| {
            if let Some(from) = disk.forgets_from.take() {
                disk.frames.truncate(from);
                disk.steps.truncate(from);
            }
            disk.dead = false;
        });
    }

    /// The first entry of the frame that is there in part.
    pub fn torn(&self) -> Option<u64> {
        self.with(|disk| disk.torn)
    }

    /// What a store that can tear has to do by itself before it lets anybody read.
    pub fn cut_torn_tail(&self) {
        self.with(|disk| {
            if disk.torn.take().is_some() {
                disk.frames.pop();
                disk.steps.pop();
            }
        });
    }

    /// The last entry that is durable.
    pub fn through(&self) -> u64 {
        self.with(|disk| disk.frames.last().map_or(0, Frame::last))
    }

    pub fn frames(&self) -> Vec<Frame> {
        self.with(|disk| disk.frames.clone())
    }

    /// Snapshots of the books stand in this file.
    pub fn keep_snapshots_at(&self, file: PathBuf) {
        self.with(|disk| disk.snapshots = Some(file));
    }

    /// Another disk with the same frames, persons and snapshots.
    pub fn copy(&self) -> Self {
        let copy = Self::of(self.frames());
        let (steps, snapshots) = self.with(|disk| (disk.steps.clone(), disk.snapshots.clone()));
        copy.with(|inner| (inner.steps, inner.snapshots) = (steps, snapshots));
        copy
    }

    /// Another disk with these frames.
    pub fn of(frames: Vec<Frame>) -> Self {
        let disk = Self::default();
        disk.with(|inner| inner.frames = frames);
        disk
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Disk {
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError> {
        let failed = |what: &str| Err(StoreError::Failed { what: what.to_owned() });
        self.with(|disk| {
            disk.appends += 1;
            if disk.dead {
                return failed("a dead process writes");
            }
            let fate = disk.fate.take().unwrap_or(Fate::Kept);
            match fate {
                Fate::Kept | Fate::SyncFails { kept: true } | Fate::Dies { kept: true } => {
                    disk.push(frame.clone(), persons);
                }
                Fate::Lies => {
                    disk.forgets_from.get_or_insert(disk.frames.len());
                    disk.push(frame.clone(), persons);
                }
                Fate::Tears => {
                    disk.torn = Some(frame.first);
                    disk.push(tear(frame, disk.appends), persons);
                }
                Fate::Full | Fate::SyncFails { kept: false } | Fate::Dies { kept: false } => {}
            }
            match fate {
                Fate::Kept | Fate::Lies => Ok(()),
                Fate::Full => Err(StoreError::Full),
                Fate::SyncFails { .. } => failed("the sync failed"),
                Fate::Dies { .. } | Fate::Tears => {
                    disk.dead = true;
                    failed("the process has died")
                }
            }
        })
    }

    fn readers(&self) -> Readers {
        let disk = self.clone();
        Arc::new(move || Ok(Box::new(Reader { disk: disk.clone(), read: 0 })))
    }

    /// Those that are there now.
    fn persons(&self) -> Persons {
        let mut store = MemoryStore::default();
        self.with(|disk| {
            disk.frames
                .iter()
                .zip(&disk.steps)
                .for_each(|(frame, steps)| store.append(frame, steps).unwrap());
        });
        store.persons()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.with(|disk| disk.free_bytes)
    }
}

impl Inner {
    fn push(&mut self, frame: Frame, persons: &[PersonStep]) {
        self.frames.push(frame);
        self.steps.push(persons.to_vec());
    }
}

/// A part of a frame, as a disk that writes sector by sector can leave it.
fn tear(frame: &Frame, seed: u64) -> Frame {
    let mut random = Random::new(seed);
    let mut torn = frame.clone();
    let from = random.place(torn.payload.len()).unwrap_or(0);
    match random.below(3) {
        // The end is missing.
        0 => torn.payload.truncate(from),
        // The end was allocated and not written.
        1 => torn.payload[from..].fill(0),
        // A sector in the middle is what was there before.
        _ => torn.payload[from..].iter_mut().take(512).for_each(|byte| *byte = byte.wrapping_add(1)),
    }
    if torn == *frame {
        torn.payload.pop();
    }
    torn
}

struct Reader {
    disk: Disk,
    read: u64,
}

impl FrameReader for Reader {
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        self.disk.with(|disk| {
            if disk.fails_to_read_after.is_some_and(|frames| self.read >= frames) {
                return Err(StoreError::Failed { what: "the disk cannot be read".to_owned() });
            }
            self.read += 1;
            let at = disk.frames.partition_point(|frame| frame.last() < sequence);
            Ok(disk.frames.get(at).cloned())
        })
    }

    fn snapshots(&self) -> Result<Option<Snapshots>, StoreError> {
        let file = self.disk.with(|disk| disk.snapshots.clone());
        file.map(|file| Snapshots::read(&file)).transpose()
    }
}

/// Damages a journal in one place, and says which frames may be named for it; `None` where there is nothing to damage.
pub fn damage(frames: &mut Vec<Frame>, random: &mut Random) -> Option<[u64; 2]> {
    let place = random.place(frames.len())?;
    let here = frames[place].first;
    // Whether the last frame is missing can only be told by who has noted its hash.
    let next = frames.get(place + 1).map(|frame| frame.first);
    match (random.below(5), next) {
        (0, Some(next)) => {
            frames.remove(place);
            return Some([here, next]);
        }
        (1, Some(next)) => {
            frames.swap(place, place + 1);
            return Some([here, next]);
        }
        (2, _) => frames[place].hash = genops_core::Digest::of("damage", &[]),
        (3, _) => frames[place].previous = genops_core::Digest::of("damage", &[]),
        _ => {
            let at = random.place(frames[place].payload.len())?;
            frames[place].payload[at] ^= 1 << random.below(8);
        }
    }
    Some([here, here])
}
