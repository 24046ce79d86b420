//! The one place that asks the operating system for the time, and for randomness.
//!
//! Everybody else takes both as arguments; a test or a simulation brings its own.

mod pace;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use genops_core::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use pace::Pace;

/// How long the machine runs, its sleep included where the system counts that.
#[cfg(target_os = "linux")]
const PASSED: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const PASSED: ClockId = ClockId::Monotonic;

/// There is one wall clock, and so one pace.
static PACE: Mutex<Pace> = Mutex::new(Pace::new());

/// The wall clock, in nanoseconds since the Unix epoch.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The wall clock, held where it is set forward by more than an hour while the process runs: then time goes on from where
/// it was, as fast as it passes, until the wall clock is right again or the process starts anew. So a mistake of the
/// clock begins no budget anew, and lets no idempotency key be forgotten.
#[must_use]
pub fn steady() -> Timestamp {
    let passed = clock_gettime(PASSED);
    let seconds = Duration::from_secs(u64::try_from(passed.tv_sec).unwrap_or_default());
    let passed =
        seconds.saturating_add(Duration::from_nanos(u64::try_from(passed.tv_nsec).unwrap_or_default()));
    pace().tell(wall(), passed)
}

/// By how much the wall clock is ahead of the time that [`steady`] tells; zero where it is followed.
#[must_use]
pub fn held_back() -> Duration {
    pace().held_back()
}

/// What is to be told where the wall clock is held back by so much.
pub(crate) fn told_ahead(held_back: Duration) -> String {
    format!(
        "the clock has been set {} s ahead of the time that has passed, and is not followed: no budget begins anew and no \
         idempotency key is forgotten by it; set it right, or start genops again if it is",
        held_back.as_secs()
    )
}

/// What is to be told where the wall clock is behind the ledger by so much.
pub(crate) fn told_behind(behind: Duration) -> String {
    format!(
        "the clock is {} s behind the ledger: its time stands still until then, no budget begins anew, and no rate has room \
         again",
        behind.as_secs()
    )
}

fn pace() -> MutexGuard<'static, Pace> {
    PACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sixteen and eight random bytes, neither all zero: a trace and a span identifier.
#[must_use]
pub fn random_ids() -> ([u8; 16], [u8; 8]) {
    let trace: u128 = rand::random();
    let span: u64 = rand::random();
    (trace.max(1).to_be_bytes(), span.max(1).to_be_bytes())
}

/// Sixteen random bytes, for one person.
#[must_use]
pub fn random_salt() -> [u8; 16] {
    rand::random()
}
