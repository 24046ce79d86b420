//! How a running ledger stands, at a glance, for whoever watches over it. Nothing is read from the disk for it.

use std::time::Duration;

use genops_core::Timestamp;
use genops_core::awu::State;
use genops_core::ledger::Books;
use genops_ledger::LedgerError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReportError, text};
use crate::archivist::Archivist;
use crate::clock;
use crate::governor::Governor;

/// How a ledger stands. What is counted is counted in the books, which are ahead of the disk by `pending` entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// The last entry on the ledger's disk.
    pub as_of: u64,
    /// How many entries are on their way there.
    pub pending: u64,
    /// Whether new work is taken.
    pub takes_work: bool,
    /// Whether the ledger's disk is nearly full: nothing new is admitted then, and what runs is still settled.
    pub short_of_space: bool,
    /// What is not as it should be, each in a sentence that says what follows from it; absent where nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// The ledger's time: that of its last entry, RFC 3339; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_time: Option<String>,
    /// By how many milliseconds the clock is ahead of it; below nothing where the clock is behind, and the ledger's time
    /// stands still until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// AWUs that have been admitted and have not ended, by state.
    pub open_awus: OpenAwuCounts,
    /// The last entry that has left the ledger for an archive: the first that is here is the one after it. Absent where
    /// none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<u64>,
    /// How many cells have been opened.
    pub cells: usize,
    /// How many idempotency keys are remembered.
    pub remembered_keys: usize,
    /// The policy in force.
    pub policy_version: String,
}

/// How many AWUs are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenAwuCounts {
    /// RESERVED.
    pub reserved: usize,
    /// EXECUTING.
    pub executing: usize,
    /// IN_DOUBT: somebody has to resolve them.
    pub in_doubt: usize,
}

/// A clock that is behind by less is set right in a moment.
const BEHIND_MS: i64 = -1_000;

impl Governor {
    /// How the ledger stands, whether it takes work or not.
    ///
    /// # Errors
    ///
    /// A thread has panicked at the books.
    pub fn status(&self) -> Result<StatusReport, ReportError> {
        let (admits, troubles) = (self.ledger().admits(), self.troubles()?);
        let (now, as_of) = (self.now(), *self.durable().borrow());
        let archived = Some(self.ledger().archived()).filter(|through| *through > 0);
        Ok(self.ledger().read(|books| {
            let time = (books.sequence() > 0).then(|| books.at());
            let clock_ahead_ms = time.map(|time| milliseconds_between(time, now));
            StatusReport {
                as_of,
                pending: books.sequence().saturating_sub(as_of),
                takes_work: admits.is_ok(),
                short_of_space: admits == Err(LedgerError::ShortOfSpace),
                troubles,
                ledger_time: time.map(text),
                clock_ahead_ms,
                open_awus: OpenAwuCounts::of(books),
                archived,
                cells: books.cells().len(),
                remembered_keys: books.remembered_keys(),
                policy_version: text(books.policy_version()),
            }
        })?)
    }

    /// What is not as it should be, each in a sentence that says what follows from it; empty where nothing is. Whoever may
    /// ask may ask often.
    ///
    /// # Errors
    ///
    /// A thread has panicked at the books.
    pub fn troubles(&self) -> Result<Vec<String>, ReportError> {
        let now = self.now();
        let (time, crowding) = self.ledger().read(|books| {
            let time = (books.sequence() > 0).then(|| books.at());
            (time, Crowding::of(books))
        })?;
        let clock_ahead_ms = time.map(|time| milliseconds_between(time, now));
        let mut troubles =
            troubles(self.ledger().admits().err(), clock_ahead_ms, clock::held_back(), &crowding);
        troubles.extend(self.archivist().and_then(Archivist::trouble));
        Ok(troubles)
    }
}

impl OpenAwuCounts {
    fn of(books: &Books) -> Self {
        let mut counts = Self::default();
        for state in books.open_states() {
            let count = match state {
                State::Reserved => &mut counts.reserved,
                State::Executing => &mut counts.executing,
                State::InDoubt => &mut counts.in_doubt,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// How much there is of what has a ceiling, and how much there may be.
#[derive(Debug, Default)]
struct Crowding {
    cells: (u64, u64),
    open: (u64, u64),
    /// Of the key that has most open.
    open_of_one: Option<(u64, u64)>,
}

impl Crowding {
    fn of(books: &Books) -> Self {
        let ceilings = &books.policy().ceilings;
        let of_one = books.most_open_of_one_key().map(|(_, open)| open);
        Self {
            cells: (u64::try_from(books.cells().len()).unwrap_or(u64::MAX), ceilings.cells),
            open: (books.open_count(), ceilings.open_awus),
            open_of_one: of_one.map(|open| (open, ceilings.of_one_key(ceilings.open_awus))),
        }
    }

    /// What is used up to four fifths. Anybody may be told, so no key is named.
    fn told(&self) -> impl Iterator<Item = String> {
        let is_crowded = |(is, most): (u64, u64)| u128::from(is) * 5 >= u128::from(most) * 4;
        let (cells, cells_most) = self.cells;
        let cells = is_crowded(self.cells).then(|| {
            format!(
                "{cells} of {cells_most} cells are used: where none is left, whoever needs a new one is refused, also for \
                 a new period; archive periods that are over (`retention`, or `genops archive`), or raise `limits.cells`"
            )
        });
        let (open, open_most) = self.open;
        let open = is_crowded(self.open).then(|| {
            format!(
                "{open} of {open_most} AWUs are open: where none is left, nothing new is decided until some end; resolve \
                 those in doubt, or raise `limits.open_awus`"
            )
        });
        let of_one = self.open_of_one.filter(|of_one| is_crowded(*of_one));
        let of_one = of_one.map(|(open, most)| {
            format!(
                "one key of a caller has {open} AWUs open of the {most} that one key may have: beyond that nothing of it is \
                 decided until some end; see whose AWUs are open, or raise `limits.one_key_percent`"
            )
        });
        cells.into_iter().chain(open).chain(of_one)
    }
}

fn troubles(
    admits: Option<LedgerError>,
    clock_ahead_ms: Option<i64>,
    held_back: Duration,
    crowding: &Crowding,
) -> Vec<String> {
    let behind = clock_ahead_ms.filter(|ahead| *ahead <= BEHIND_MS);
    let behind = behind.map(|ahead| clock::told_behind(Duration::from_millis(ahead.unsigned_abs())));
    let held = (!held_back.is_zero()).then(|| clock::told_ahead(held_back));
    admits.map(text).into_iter().chain(behind).chain(held).chain(crowding.told()).collect()
}

fn milliseconds_between(from: Timestamp, until: Timestamp) -> i64 {
    let millis = |nanos: u64| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
    millis(until.nanos_since(from)).saturating_sub(millis(from.nanos_since(until)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use genops_core::Unit;
    use genops_core::policy::Policy;
    use genops_ledger::StoreError;

    use super::*;
    use crate::Settings;

    const START: u64 = 1_795_000_000_000_000_000;

    #[tokio::test]
    async fn a_clock_that_is_behind_is_told_with_what_follows() {
        let hand = Arc::new(AtomicU64::new(START));
        let at = Arc::clone(&hand);
        let clock = Arc::new(move || Timestamp::from_nanos(at.load(Ordering::SeqCst)));
        let policy = Policy { accounting_unit: Unit::Requests, ..Policy::unrestricted() };
        let settings = Settings { clock, ..Settings::in_memory(policy) };
        let (governor, _) = Governor::open(settings).await.unwrap();
        for (moved_ms, is_told) in
            [(0, false), (60_000, false), (-999, false), (-1_000, true), (-86_400_000, true)]
        {
            hand.store(START.saturating_add_signed(moved_ms * 1_000_000), Ordering::SeqCst);
            let status = governor.status().unwrap();
            assert_eq!((status.clock_ahead_ms, status.takes_work), (Some(moved_ms), true));
            assert_eq!(!status.troubles.is_empty(), is_told, "{status:?}");
            let what = format!("the clock is {} s behind the ledger", -moved_ms / 1_000);
            assert!(status.troubles.iter().all(|trouble| trouble.starts_with(&what)), "{status:?}");
        }
    }

    #[test]
    fn whatever_keeps_the_ledger_from_taking_work_is_told() {
        let failed = LedgerError::Failed(StoreError::Failed { what: "the disk is gone".to_owned() });
        for (error, what) in [(LedgerError::ShortOfSpace, "nearly full"), (failed, "the disk is gone")] {
            let crowded = crowding(9, 90, 45);
            let told = troubles(Some(error), Some(-5_000), Duration::from_secs(90_000), &crowded);
            assert!(told.len() == 6 && told[0].contains(what), "{told:?}");
            assert!(told[2].contains("90000 s ahead") && told[3].starts_with("9 of 10 cells"), "{told:?}");
            assert!(told[4].starts_with("90 of 100 AWUs are open"), "{told:?}");
            assert!(told[5].starts_with("one key of a caller has 45 AWUs open of the 50"), "{told:?}");
        }
        assert_eq!(troubles(None, Some(0), Duration::ZERO, &crowding(7, 79, 39)), Vec::<String>::new());
        assert_eq!(
            troubles(None, Some(0), Duration::ZERO, &crowding(8, 80, 40)).len(),
            3,
            "from four fifths on"
        );
    }

    fn crowding(cells: u64, open: u64, of_one: u64) -> Crowding {
        Crowding { cells: (cells, 10), open: (open, 100), open_of_one: Some((of_one, 50)) }
    }
}
