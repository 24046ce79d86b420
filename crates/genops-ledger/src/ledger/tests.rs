//! The lock, the thread and the wake-ups of group commit under a scheduler that tries the orders in which threads can go
//! on. What batches hold and what recovery makes of them is for the simulation to check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use genops_core::budget::Budget;
use genops_core::policy::Policy;
use genops_core::{Name, Unit};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use super::*;
use crate::frame::Frame;
use crate::memory::MemoryStore;
use crate::store::{PersonStep, Persons, Readers};
use crate::sync::Clock;

/// So many orders of each kind are tried, unless the environment says `GENOPS_ORDERS`.
const ORDERS: usize = 200;

/// A store that takes its time, so that others can go on meanwhile, and fails at one append.
#[derive(Clone)]
struct SlowStore {
    kept: MemoryStore,
    appends: Arc<AtomicU64>,
    fails_at: Option<u64>,
}

impl SlowStore {
    fn new(fails_at: Option<u64>) -> Self {
        Self { kept: MemoryStore::default(), appends: Arc::default(), fails_at }
    }

    fn through(&self) -> u64 {
        self.kept.with_frames(|frames| frames.last().map_or(0, Frame::last))
    }
}

impl Store for SlowStore {
    fn append(&mut self, frame: &Frame, persons: &[PersonStep]) -> Result<(), StoreError> {
        thread::yield_now();
        if self.fails_at == Some(self.appends.fetch_add(1, Ordering::Relaxed)) {
            return Err(StoreError::Full);
        }
        self.kept.append(frame, persons)?;
        thread::yield_now();
        Ok(())
    }

    fn readers(&self) -> Readers {
        self.kept.readers()
    }

    fn persons(&self) -> Persons {
        self.kept.persons()
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

fn start(store: &SlowStore) -> Arc<Ledger> {
    Clock::reset();
    Arc::new(Ledger::start(store.clone(), Books::default(), Digest::ZERO).unwrap())
}

fn wall() -> Timestamp {
    Timestamp::from_nanos(1_795_000_000_000_000_000)
}

/// A small command that always fits.
fn command() -> Command {
    let budget = Budget::new(Name::new("all").unwrap(), Unit::Usd, "1".parse().unwrap());
    Command::AdoptPolicy(Arc::new(Policy { budgets: vec![budget], ..Policy::unrestricted() }))
}

fn try_orders(promise: impl Fn() + Send + Sync + Clone + 'static) {
    let orders = std::env::var("GENOPS_ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(ORDERS);
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(20_000);
    Runner::new(RandomScheduler::new(orders), config.clone()).run(promise.clone());
    Runner::new(PctScheduler::new(3, orders), config).run(promise);
}

/// On each of these a caller may run: on none, with others on a runtime, and on one that has ended.
const RUNTIMES: [Option<Runtime>; 5] = [
    None,
    Some(Runtime { id: 1, has_ended: false, is_driven: true }),
    Some(Runtime { id: 1, has_ended: false, is_driven: true }),
    Some(Runtime { id: 2, has_ended: false, is_driven: true }),
    Some(Runtime { id: 3, has_ended: true, is_driven: false }),
];

/// Nobody drives the tasks of the first two.
const UNDRIVEN: [Option<Runtime>; 3] = [
    Some(Runtime { id: 1, has_ended: false, is_driven: false }),
    Some(Runtime { id: 1, has_ended: false, is_driven: false }),
    Some(Runtime { id: 2, has_ended: false, is_driven: true }),
];

/// Each caller submits and waits, some times. Every answer goes through `check`.
fn callers(
    ledger: &Arc<Ledger>,
    runtimes: &[Option<Runtime>],
    check: impl Fn(u64, Result<Entry, LedgerError>) + Clone + Send + 'static,
) -> Vec<JoinHandle<()>> {
    let spawn = |runtime: &Option<Runtime>| {
        let (ledger, check, runtime) = (Arc::clone(ledger), check.clone(), *runtime);
        thread::spawn(move || {
            if let Some(runtime) = runtime {
                runtime.enter();
            }
            for _ in 0..2 {
                let Ok(posted) = ledger.submit(wall(), command()) else { return };
                let sequence = posted.entry.sequence;
                check(sequence, block_on(posted.durable()));
            }
        })
    };
    runtimes.iter().map(spawn).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The time passes so often, and then stands still.
fn clock(times: u32) -> JoinHandle<()> {
    thread::spawn(move || {
        for _ in 0..times {
            Clock::advance();
            thread::yield_now();
        }
    })
}

#[test]
fn whoever_waits_is_told_without_any_timeout_and_not_before_the_store_has_it() {
    for runtimes in [&RUNTIMES[..3], &RUNTIMES[2..]] {
        let runtimes = runtimes.to_vec();
        try_orders(move || {
            let store = SlowStore::new(None);
            let ledger = start(&store);
            let kept = store.clone();
            let threads = callers(&ledger, &runtimes, move |sequence, told| {
                assert_eq!(told.unwrap().sequence, sequence);
                assert!(kept.through() >= sequence, "told before it was durable");
            });
            join(threads);
            assert_eq!(store.through(), 6);
        });
    }
}

/// A task that is left on such a runtime is never run: neither the one that calls the writer, nor the one that tells others.
#[test]
fn whoever_waits_on_a_runtime_that_nobody_drives_is_told_when_time_passes_and_keeps_nobody_else_waiting() {
    try_orders(|| {
        let store = SlowStore::new(None);
        let ledger = start(&store);
        let is_over = Arc::new(AtomicBool::new(false));
        let passing = {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    Clock::advance();
                    thread::yield_now();
                }
            })
        };
        let kept = store.clone();
        join(callers(&ledger, &UNDRIVEN, move |sequence, told| {
            assert!(told.is_ok() && kept.through() >= sequence);
        }));
        is_over.store(true, Ordering::Relaxed);
        passing.join().unwrap();
        assert_eq!(store.through(), 6);
    });
}

#[test]
fn a_writer_that_sleeps_is_called_by_whoever_brings_work() {
    try_orders(|| {
        let store = SlowStore::new(None);
        let ledger = start(&store);
        let clock = clock(3);
        join(callers(&ledger, &RUNTIMES[..2], move |sequence, told| {
            assert!(told.is_ok() && store.through() >= sequence);
        }));
        clock.join().unwrap();
        // Whether the writer sleeps by now or not, it takes this without the clock.
        block_on(ledger.submit(wall(), command()).unwrap().durable()).unwrap();
    });
}

#[test]
fn what_nobody_waits_for_is_written_when_time_passes_and_its_watchers_see_it() {
    try_orders(|| {
        let store = SlowStore::new(None);
        let ledger = start(&store);
        let mut durable = ledger.watch();
        // The writer may sleep by then, or linger, or not have begun.
        clock(3).join().unwrap();
        let sequence = ledger.submit(wall(), command()).unwrap().entry.sequence;
        // Long enough for it to linger once more.
        clock(30).join().unwrap();
        block_on(durable.wait_for(|through| *through >= sequence)).unwrap();
        assert!(store.through() >= sequence);
    });
}

#[test]
fn after_a_failed_append_nobody_is_told_success_and_everybody_is_told() {
    for fails_at in 0..3 {
        try_orders(move || {
            let store = SlowStore::new(Some(fails_at));
            let ledger = start(&store);
            let clock = clock(3);
            let kept = store.clone();
            let mut threads = callers(&ledger, &RUNTIMES[..2], move |sequence, told| match told {
                Ok(_) => assert!(kept.through() >= sequence, "told, and not kept"),
                Err(error) => assert_eq!(error, LedgerError::Failed(StoreError::Full)),
            });
            threads.push(clock);
            join(threads);
            // The disk has come back; the books have not.
            if ledger.failure().is_some() {
                let refused = ledger.submit(wall(), command()).err();
                assert_eq!(refused, Some(LedgerError::Failed(StoreError::Full)));
            }
            drop(ledger);
            let appends = store.appends.load(Ordering::Relaxed);
            assert!(appends <= fails_at + 1, "written after a failure");
        });
    }
}

#[test]
fn what_was_submitted_is_written_before_a_ledger_is_gone() {
    try_orders(|| {
        let store = SlowStore::new(None);
        let ledger = start(&store);
        let clock = clock(3);
        let submit = |ledger: &Arc<Ledger>| {
            let ledger = Arc::clone(ledger);
            thread::spawn(move || {
                drop(ledger.submit(wall(), command()).unwrap());
                let waits = ledger.submit(wall(), command()).unwrap();
                drop(ledger);
                // It waits for its entry, and not for the ledger.
                assert!(block_on(waits.durable()).is_ok());
            })
        };
        let mut threads = vec![submit(&ledger), submit(&ledger), clock];
        threads.push(thread::spawn(move || drop(ledger)));
        join(threads);
        assert_eq!(store.through(), 4);
    });
}
