//! Those who wait for a batch, and how they are told.
//!
//! The first of a batch brings a teller: a task on its runtime that tells the others who wait there, so that the writer
//! wakes one thread and not each of them. Who waits elsewhere is told by the writer. A runtime may not be driven when the
//! task is due, or never again, while those who wait on it are driven by others (`Handle::block_on`): so the writer keeps
//! what it has handed over, and tells whomever it still finds there when it has nothing else to do.

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use crate::sync::{Mutex, RuntimeId};

/// One who waits, and where.
#[derive(Debug)]
pub struct Waiter {
    /// The runtime that drives the one who waits, where there is one.
    pub runtime: Option<RuntimeId>,
    /// Tells the one who waits.
    pub tell: oneshot::Sender<()>,
    /// The task on the same runtime that tells the others there, where this one is the first of its batch.
    pub teller: Option<Teller>,
}

/// How a task is called that tells others.
#[derive(Debug)]
pub struct Teller {
    /// Calls it.
    pub call: oneshot::Sender<()>,
    /// Those whom it tells.
    pub others: Others,
}

/// Waiters that are told by whoever comes first.
#[derive(Debug, Clone)]
pub struct Others(Arc<Mutex<Vec<Waiter>>>);

impl Others {
    /// Nobody so far.
    pub fn nobody() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    /// Tells everybody who has not been told.
    pub fn tell(&self) {
        tell(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn put(&self, waiters: Vec<Waiter>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiters;
    }
}

/// Those whom the writer has handed over to a teller. Who has not been told is told at the latest when this goes.
#[derive(Debug, Default)]
pub struct Handed(Option<Others>);

impl Handed {
    /// Tells whoever has not been told.
    pub fn tell(&mut self) {
        if let Some(others) = self.0.take() {
            others.tell();
        }
    }

    /// Keeps those who have been handed over now; whoever is left of those before is told.
    pub fn keep(&mut self, others: Option<Others>) {
        self.tell();
        self.0 = others;
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Tells everybody who has waited for a batch, in the order in which they came. Gives those whom a teller has been called to
/// tell.
pub fn tell_batch(mut all: Vec<Waiter>) -> Option<Others> {
    let Some((runtime, teller)) = all.first_mut().and_then(|first| first.runtime.zip(first.teller.take()))
    else {
        tell(all);
        return None;
    };
    let mut elsewhere = all.extract_if(.., |waiter| waiter.runtime != Some(runtime)).collect::<Vec<_>>();
    // The first is told by the writer as well: it wakes the thread that drives its runtime.
    if !all.is_empty() {
        elsewhere.push(all.swap_remove(0));
    }
    tell(elsewhere);
    if all.is_empty() {
        return None;
    }
    let Teller { call, others } = teller;
    others.put(all);
    // Where its runtime has ended, nobody comes.
    if call.send(()).is_err() {
        others.tell();
        return None;
    }
    Some(others)
}

/// Tells each of them.
fn tell(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // Whoever has stopped waiting does not want to know.
        let _ = waiter.tell.send(());
    }
}
