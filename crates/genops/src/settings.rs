//! What a governor needs to know before it opens. How it is written down by people is not known here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genops_core::Timestamp;
use genops_core::policy::Policy;
use genops_telemetry::Destination;

use crate::clock;

/// How a governor is set up.
#[derive(Clone)]
pub struct Settings {
    /// Where the ledger is kept.
    pub ledger: LedgerPlace,
    /// The policy that is in force once the governor is open.
    pub policy: Arc<Policy>,
    /// By which rule old entries leave a ledger in a file for archives; `None` for none.
    pub retention: Option<Retention>,
    /// Where telemetry goes; every destination gets everything.
    pub destinations: Vec<Destination>,
    /// Attributes of the telemetry's resource, beside or in the place of `service.name` and `service.version`.
    pub resource: Vec<(String, String)>,
    /// Tells the time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Makes trace and span identifiers.
    pub ids: Arc<dyn Fn() -> ([u8; 16], [u8; 8]) + Send + Sync>,
    /// Takes notices for people: a collector that is down, records that were rejected.
    pub report: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The rule by which old entries leave the ledger for archives by themselves: once a day at most, as far as nobody needs
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Entries that are younger stay.
    pub keep: Duration,
    /// The folder that archives are written to. It is never made: where it is missing, nothing leaves.
    pub archive_to: PathBuf,
}

impl Retention {
    /// For how many whole days entries stay.
    #[must_use]
    pub const fn days(&self) -> u64 {
        self.keep.as_secs() / 86_400
    }
}

/// Where a ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerPlace {
    /// In an SQLite file; made if it does not exist.
    File(PathBuf),
    /// In memory: gone with the process.
    Memory,
}

impl Settings {
    /// A ledger in a file.
    #[must_use]
    pub fn in_file(path: impl Into<PathBuf>, policy: impl Into<Arc<Policy>>) -> Self {
        Self::at(LedgerPlace::File(path.into()), policy)
    }

    /// A ledger in memory, gone with the process.
    #[must_use]
    pub fn in_memory(policy: impl Into<Arc<Policy>>) -> Self {
        Self::at(LedgerPlace::Memory, policy)
    }

    /// A ledger at `ledger`, no telemetry, the system's clock ([`clock::steady`]).
    #[must_use]
    pub fn at(ledger: LedgerPlace, policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            ledger,
            policy: policy.into(),
            retention: None,
            destinations: Vec::new(),
            resource: Vec::new(),
            clock: Arc::new(clock::steady),
            ids: Arc::new(clock::random_ids),
            report: Arc::new(|_| ()),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
