//! A store in memory, for tests and demonstrations: nothing survives the process. Faults can be injected.

use std::sync::{Arc, Mutex, PoisonError};

use crate::frame::Frame;
use crate::store::{FrameReader, Readers, Store, StoreError};

/// Keeps frames in memory. Clones share the frames, so that a test can open the same store again, as after
/// a crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    frames: Vec<Frame>,
    fault: Option<StoreError>,
    free_bytes: Option<u64>,
}

impl MemoryStore {
    /// From now on every append fails with this error and keeps nothing; `None` ends it.
    pub fn set_fault(&self, fault: Option<StoreError>) {
        self.with(|shared| shared.fault = fault);
    }

    /// Sets what the store says of its free space.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.with(|shared| shared.free_bytes = bytes);
    }

    /// Lets a test look at the frames, and damage them.
    pub fn with_frames<T>(&self, look: impl FnOnce(&mut Vec<Frame>) -> T) -> T {
        self.with(|shared| look(&mut shared.frames))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Shared) -> T) -> T {
        f(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for MemoryStore {
    fn append(&mut self, frame: &Frame) -> Result<(), StoreError> {
        self.with(|shared| match &shared.fault {
            Some(fault) => Err(fault.clone()),
            None => {
                shared.frames.push(frame.clone());
                Ok(())
            }
        })
    }

    fn readers(&self) -> Readers {
        let store = self.clone();
        Arc::new(move || Ok(Box::new(store.clone())))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.with(|shared| shared.free_bytes)
    }
}

impl FrameReader for MemoryStore {
    fn holding(&mut self, sequence: u64) -> Result<Option<Frame>, StoreError> {
        Ok(self.with(|shared| {
            let at = shared.frames.partition_point(|frame| frame.last() < sequence);
            shared.frames.get(at).cloned()
        }))
    }
}
