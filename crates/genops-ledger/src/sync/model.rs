//! The same under a scheduler that a seed decides: each lock, wake-up and thread is a place where others may go on.
//!
//! Time does not pass by itself: a wait with a limit ends when it is called, or when a test lets the [`Clock`] advance.
//! So a wake-up that is forgotten is a deadlock, which the scheduler reports, and no timeout hides it. What is not used
//! here (several waiters at one condition, lengths of time) is not modelled.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LockResult, PoisonError, Weak};
use std::time::Duration;

pub use shuttle::sync::{Mutex, MutexGuard};
pub use shuttle::thread;

// All threads of an execution are run by one thread of the operating system.
thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static CONDITIONS: RefCell<Vec<Weak<Condition>>> = const { RefCell::new(Vec::new()) };
}

shuttle::thread_local! {
    static RUNTIME: Cell<Option<Runtime>> = const { Cell::new(None) };
}

/// The time of all waits that have a limit. Whatever the limit is, it has passed when the clock advances.
#[derive(Debug)]
pub struct Clock;

impl Clock {
    /// A new execution begins.
    pub fn reset() {
        NOW.set(0);
        CONDITIONS.take();
    }

    /// Ends the waits that have a limit.
    pub fn advance() {
        NOW.set(NOW.get() + 1);
        let all = CONDITIONS.with_borrow(|all| all.iter().filter_map(Weak::upgrade).collect::<Vec<_>>());
        for condition in all {
            // Not those without a limit: that would hide that nobody calls them.
            if condition.has_limit.load(Ordering::Relaxed) {
                condition.inner.notify_all();
            }
        }
    }
}

/// A condition that one thread waits for.
#[derive(Debug)]
pub struct Condvar(Arc<Condition>);

#[derive(Debug)]
struct Condition {
    inner: shuttle::sync::Condvar,
    /// Whether the wait has a limit.
    has_limit: AtomicBool,
}

/// Whether a wait has come to its limit.
#[derive(Debug)]
pub struct TimedOut(bool);

impl TimedOut {
    /// Whether it has.
    pub const fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition for which nobody waits.
    pub fn new() -> Self {
        let condition =
            Arc::new(Condition { inner: shuttle::sync::Condvar::new(), has_limit: AtomicBool::new(false) });
        CONDITIONS.with_borrow_mut(|all| all.push(Arc::downgrade(&condition)));
        Self(condition)
    }

    /// Waits until it is called.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.inner.wait(guard)
    }

    /// Waits until it is called or the clock advances.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, TimedOut)> {
        let began = NOW.get();
        self.0.has_limit.store(true, Ordering::Relaxed);
        let woken = self.0.inner.wait(guard);
        self.0.has_limit.store(false, Ordering::Relaxed);
        let timed_out = TimedOut(NOW.get() > began);
        match woken {
            Ok(guard) => Ok((guard, timed_out)),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), timed_out))),
        }
    }

    /// Calls the one who waits.
    pub fn notify_one(&self) {
        self.0.inner.notify_one();
    }
}

/// Tells a runtime from others.
pub type RuntimeId = u32;

/// A runtime, as far as the ledger uses it: whether a task that is left there runs.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    /// Tells it from others.
    pub id: RuntimeId,
    /// It runs no tasks any more, and drops them.
    pub has_ended: bool,
    /// Somebody drives the tasks that are left there. If not, they stay, and whoever waits there is driven by others.
    pub is_driven: bool,
}

impl Runtime {
    /// From now on the thread runs on this runtime.
    pub fn enter(self) {
        RUNTIME.with(|here| here.set(Some(self)));
    }

    /// `None` where the thread has entered none.
    pub fn current() -> Option<Self> {
        RUNTIME.with(Cell::get)
    }

    /// Tells it from others.
    pub const fn id(&self) -> RuntimeId {
        self.id
    }

    /// Leaves a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.has_ended {
            drop(task);
        } else if !self.is_driven {
            std::mem::forget(task);
        } else {
            drop(shuttle::future::spawn(task));
        }
    }
}
