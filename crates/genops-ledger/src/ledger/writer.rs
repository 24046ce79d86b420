//! What the writer does with a batch: one frame, one append, and the end of the journal in memory.
//!
//! It knows neither who waits nor when to write; it is the same for the writer's thread and for the simulator.

use genops_core::Digest;

use super::FREE_BYTES_MIN;
use super::pipeline::Batch;
use crate::frame::Frame;
use crate::store::{Store, StoreError};
use crate::tail::Tail;

/// Writes batch after batch, each chained to the one before.
#[derive(Debug)]
pub struct Writer<S> {
    store: S,
    tail: Tail,
    head: Digest,
}

impl<S: Store> Writer<S> {
    /// A writer over a store whose frames end in the hash `head`.
    #[must_use]
    pub const fn new(store: S, tail: Tail, head: Digest) -> Self {
        Self { store, tail, head }
    }

    /// Writes a batch. When this returns, it is durable. The memory of its bytes is given back, for the next.
    ///
    /// # Errors
    ///
    /// It may or may not be durable, and nothing more may be written.
    pub fn write(&mut self, batch: Batch) -> Result<Vec<u8>, StoreError> {
        let frame = Frame::seal(self.head, batch.first, batch.payload, &batch.ends);
        self.store.append(&frame, &batch.persons)?;
        self.head = frame.hash;
        self.tail.push(frame.hash, batch.entries, frame.payload.len());
        let mut spare = frame.payload;
        spare.clear();
        Ok(spare)
    }

    /// Whether the store has too little space left for anything new.
    pub fn is_short_of_space(&self) -> bool {
        self.store.free_bytes().is_some_and(|free| free < FREE_BYTES_MIN)
    }
}
