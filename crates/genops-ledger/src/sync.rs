//! What the ledger shares between threads: the standard library's locks and threads, and tokio's runtimes.
//!
//! The unit tests have others in their place, whose scheduler decides at every step who goes on (`sync/model.rs`).
//! Nothing is decided here.

#[cfg(test)]
mod model;

#[cfg(test)]
pub use model::{Clock, Condvar, Mutex, MutexGuard, Runtime, RuntimeId, thread};

#[cfg(not(test))]
pub use real::{Runtime, RuntimeId};
#[cfg(not(test))]
pub use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(test))]
pub use std::thread;

#[cfg(not(test))]
mod real {
    use tokio::runtime::Handle;

    pub use tokio::runtime::Id as RuntimeId;

    /// The runtime that drives the caller.
    #[derive(Debug)]
    pub struct Runtime(Handle);

    impl Runtime {
        /// `None` where the caller runs on no runtime.
        pub fn current() -> Option<Self> {
            Handle::try_current().ok().map(Self)
        }

        /// Tells it from others.
        pub fn id(&self) -> RuntimeId {
            self.0.id()
        }

        /// Leaves a task behind those that can run. Where the runtime has ended, the task is dropped.
        pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            drop(self.0.spawn(task));
        }
    }
}
