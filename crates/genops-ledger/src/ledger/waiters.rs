//! Those who wait for a batch, and how they are told.
//!
//! The first of a batch brings a teller: a task on its runtime that tells the others who wait there, so that the writer
//! wakes one thread and not each of them. Who waits elsewhere is told by the writer.

use tokio::sync::oneshot;

use crate::sync::RuntimeId;

/// One who waits, and where.
#[derive(Debug)]
pub struct Waiter {
    /// The runtime that drives the one who waits, where there is one.
    pub runtime: Option<RuntimeId>,
    /// Tells the one who waits.
    pub tell: oneshot::Sender<()>,
    /// The task on the same runtime that tells the others there, where this one is the first of its batch.
    pub teller: Option<oneshot::Sender<Vec<Waiter>>>,
}

/// Tells everybody who has waited for a batch, in the order in which they came.
pub fn tell_batch(mut all: Vec<Waiter>) {
    let Some((runtime, teller)) = all.first_mut().and_then(|first| first.runtime.zip(first.teller.take()))
    else {
        return tell(all);
    };
    let mut elsewhere = all.extract_if(.., |waiter| waiter.runtime != Some(runtime)).collect::<Vec<_>>();
    // The first is told by the writer as well: where nobody drives its runtime's tasks, it waits by itself.
    if !all.is_empty() {
        elsewhere.push(all.swap_remove(0));
    }
    tell(elsewhere);
    // A teller whose runtime has ended gives them back.
    if !all.is_empty() {
        teller.send(all).unwrap_or_else(tell);
    }
}

/// Tells each of them.
pub fn tell(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // Whoever has stopped waiting does not want to know.
        let _ = waiter.tell.send(());
    }
}
