//! A disk that fills up: nothing new is admitted, and what runs can settle.

use std::time::{Duration, Instant};

use genops_ledger::LedgerError;
use genops_ledger::memory::MemoryStore;

use crate::open;
use crate::work::{admit, settle, start, wall};

#[tokio::test]
async fn short_of_space_admits_nothing_and_settles_everything() {
    let store = MemoryStore::default();
    let ledger = open(&store).await;
    ledger.submit(wall(), admit(1)).unwrap().durable().await.unwrap();
    ledger.submit(wall(), start(1)).unwrap().durable().await.unwrap();
    store.set_free_bytes(Some(1 << 20));
    ledger.submit(wall(), admit(2)).unwrap().durable().await.unwrap();
    assert_eq!(ledger.submit(wall(), admit(3)).err(), Some(LedgerError::ShortOfSpace));
    ledger.submit(wall(), settle(1)).unwrap().durable().await.unwrap();
    store.set_free_bytes(Some(1 << 40));
    // Nothing is written meanwhile: the ledger measures by itself.
    let admitted = loop {
        match ledger.submit(wall(), admit(3)) {
            Err(LedgerError::ShortOfSpace) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    admitted.durable().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_others_filled_is_found_before_the_next_admission() {
    let store = MemoryStore::default();
    let ledger = open(&store).await;
    store.set_free_bytes(Some(1 << 20));
    // As its owner does from time to time; nothing is written meanwhile.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ledger.is_short_of_space().unwrap() {
        ledger.measure();
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(ledger.submit(wall(), admit(1)).err(), Some(LedgerError::ShortOfSpace));
}
