//! A store in memory, for tests and demonstrations: nothing survives the process. Faults can be injected.

use std::sync::{Arc, Mutex, PoisonError};

use genops_core::Name;
use genops_core::person::{self, Person};
use genops_core::selector::Facet;

use crate::frame::Frame;
use crate::store::{FrameReader, PersonReader, PersonStep, Persons, Readers, Store, StoreError};

/// Keeps frames in memory. Clones share the frames, so that a test can open the same store again, as after
/// a crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    frames: Vec<Frame>,
    /// By their numbers, from 1; `None` where one was erased.
    persons: Vec<Option<Person>>,
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
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError> {
        self.with(|shared| match &shared.fault {
            Some(fault) => Err(fault.clone()),
            None => {
                shared.frames.push(frame.clone());
                persons.iter().for_each(|step| shared.take(step));
                Ok(())
            }
        })
    }

    fn readers(&self) -> Readers {
        let store = self.clone();
        Arc::new(move || Ok(Box::new(store.clone())))
    }

    fn persons(&self) -> Persons {
        let store = self.clone();
        Arc::new(move || Ok(Box::new(store.clone())))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.with(|shared| shared.free_bytes)
    }
}

impl Shared {
    fn take(&mut self, step: &PersonStep) {
        match step {
            PersonStep::Keep(person) => {
                // Numbers may be left out.
                let place = usize::try_from(person.number).unwrap_or_default().saturating_sub(1);
                self.persons.resize(place.max(self.persons.len()), None);
                self.persons.push(Some(person.clone()));
            }
            PersonStep::Erase(pseudonym) => {
                let place = person::number(pseudonym).and_then(place_of);
                let kept = place.and_then(|place| self.persons.get_mut(place));
                if let Some(kept) = kept
                    && kept.as_ref().is_some_and(|person| person.pseudonym() == *pseudonym)
                {
                    *kept = None;
                }
            }
        }
    }
}

fn place_of(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}

impl PersonReader for MemoryStore {
    fn of_value(&mut self, facet: Facet, value: &Name) -> Result<Option<Person>, StoreError> {
        Ok(self.with(|shared| {
            let mut persons = shared.persons.iter().flatten();
            persons.find(|person| person.facet == facet && person.value == *value).cloned()
        }))
    }

    fn of_number(&mut self, number: u64) -> Result<Option<Person>, StoreError> {
        Ok(self.with(|shared| shared.persons.get(place_of(number)?).cloned().flatten()))
    }

    fn last(&mut self) -> Result<u64, StoreError> {
        Ok(self.with(|shared| u64::try_from(shared.persons.len()).unwrap_or(u64::MAX)))
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
