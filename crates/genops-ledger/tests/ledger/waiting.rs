//! Whoever waits is told, whatever becomes of the runtime that the first of a batch waits on, and of the books.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use genops_ledger::memory::MemoryStore;

use super::open;
use super::work::{admit, wall};

/// Long enough for whoever is told at all.
const SOON: Duration = Duration::from_secs(20);

/// A runtime of one thread that nobody drives, as `Handle::block_on` leaves it: whoever waits there is driven by a thread of
/// their own, and the runtime's tasks by nobody.
#[test]
fn callers_on_a_runtime_that_nobody_drives_are_told_all_the_same() {
    let undriven = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ledger = Arc::new(undriven.block_on(open(&MemoryStore::default())));
    let (told, tells) = std::sync::mpsc::channel();
    for caller in 0..4 {
        let (handle, ledger, told) = (undriven.handle().clone(), Arc::clone(&ledger), told.clone());
        std::thread::spawn(move || {
            for number in 0..25 {
                let posted = ledger.submit(wall(), admit(caller * 25 + number)).unwrap();
                told.send(handle.block_on(posted.durable()).is_ok()).unwrap();
            }
        });
    }
    for number in 0..100 {
        assert_eq!(tells.recv_timeout(SOON), Ok(true), "the {number}th is told");
    }
}

/// The first who waits is on a runtime that nobody drives, so the writer is not called, and waits itself; somebody else waits
/// with it. Then a thread panics at the books.
#[test]
fn whoever_waits_is_told_of_a_panic_at_the_books_though_the_writer_waits_too() {
    let undriven = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut failed = 0;
    for _ in 0..200 {
        let ledger = Arc::new(undriven.block_on(open(&MemoryStore::default())));
        let mut first = Box::pin(ledger.submit(wall(), admit(1)).unwrap().durable());
        let second = ledger.submit(wall(), admit(2)).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let inside = undriven.enter();
        let is_told = first.as_mut().poll(&mut context).is_ready();
        drop(inside);
        let (waits, waiting) = std::sync::mpsc::channel();
        let (told, tells) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut second = Box::pin(second.durable());
                let at_once =
                    std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
                waits.send(()).unwrap();
                let answer = match at_once {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => second.await,
                };
                told.send(answer.is_err()).unwrap();
            });
        });
        waiting.recv().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ledger.read(|_| std::panic::resume_unwind(Box::new("on purpose")))
        }));
        assert!(panicked.is_err());
        // Whether the writer was before it or not: the other is told.
        failed += usize::from(tells.recv_timeout(SOON).expect("nobody tells who waits") && !is_told);
        if failed > 2 {
            break;
        }
    }
    assert!(failed > 2, "the writer was never waiting when it happened");
}
