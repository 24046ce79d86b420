//! What a follower does where the journal or the disk refuses, and where it begins.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Mutex;

use genops_core::awu::{AwuId, Proposal};
use genops_core::ledger::{self, Admit, Books, Command};
use genops_core::policy::Policy;
use genops_core::{Attribution, Digest, Name, Timestamp};

use super::*;

type Reads = Arc<Mutex<VecDeque<Result<Vec<Journaled>, String>>>>;

/// A journal whose reads come out as they are listed, and beside it what of a follower is kept.
#[derive(Default)]
struct Scripted {
    reads: Reads,
    /// Where the follower stood.
    stood: Cursor,
    archived: u64,
    /// So many more times the disk refuses to keep anything.
    refusals: Mutex<u32>,
    /// What it was told to keep, in that order.
    told: Mutex<Vec<Told>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Refused,
    Moved(Cursor),
    /// So many records after an entry and up to another.
    Buried(u64, u64, u64),
}

impl Scripted {
    fn keep(&self, told: Told) -> Result<(), String> {
        let mut refusals = self.refusals.lock().unwrap();
        let is_refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        self.told.lock().unwrap().push(if is_refused { Told::Refused } else { told });
        if is_refused { Err("the disk is full".to_owned()) } else { Ok(()) }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

struct Reading(Reads);

impl Entries for Reading {
    fn after(&mut self, _: u64) -> Result<Vec<Journaled>, String> {
        self.0.lock().unwrap().pop_front().unwrap_or(Ok(Vec::new()))
    }

    fn person(&mut self, _: &Name) -> Result<Option<Name>, String> {
        Ok(None)
    }
}

impl Source for Scripted {
    fn entries(&self) -> Result<Box<dyn Entries>, String> {
        Ok(Box::new(Reading(Arc::clone(&self.reads))))
    }

    fn cursor(&self, _: &str) -> Result<Cursor, String> {
        Ok(self.stood)
    }

    fn archived(&self) -> Result<u64, String> {
        Ok(self.archived)
    }

    fn move_cursor(&self, _: &str, cursor: Cursor) -> Result<(), String> {
        self.keep(Told::Moved(cursor))
    }

    fn bury(&self, letter: &DeadLetter) -> Result<(), String> {
        self.keep(Told::Buried(letter.records, letter.after, letter.through))
    }

    fn to_resend(&self, _: &str) -> Result<Vec<(u64, DeadLetter)>, String> {
        Ok(Vec::new())
    }

    fn resent(&self, _: &[u64], _: &[DeadLetter]) -> Result<(), String> {
        Ok(())
    }

    fn erasures(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn report(&self, _: &str) {}
}

/// A follower of log records that nobody closes.
fn follower(source: &Arc<Scripted>, destination: &Destination) -> Follower {
    let hears = Hears {
        durable: watch::channel(2).1,
        resends: watch::channel(()).1,
        closes: watch::channel(false).1,
    };
    let source: Arc<dyn Source> = Arc::<Scripted>::clone(source);
    Follower::new(source, destination, Signal::Logs, Arc::new([]), hears).unwrap()
}

/// An entry that refuses an AWU: an event to tell, and it is over.
fn refusal() -> Journaled {
    let name = |text: &str| Name::new(text).unwrap();
    let attribution = Attribution::new(Some("a"), Some("b"), Some("c")).unwrap();
    // Nobody knows what it costs: it is refused.
    let proposal = Proposal::new(attribution, name("o"), name("inference"), name("p"), name("m"));
    let request = Admit::new(AwuId { trace_id: [1; 16], span_id: [1; 8] }, proposal);
    let mut books = Books::default();
    let at = Timestamp::from_nanos(1_795_000_000_000_000_000);
    ledger::apply(&mut books, at, Command::AdoptPolicy(Arc::new(Policy::unrestricted()))).unwrap();
    let entry = ledger::apply(&mut books, at, Command::Admit(Arc::new(request))).unwrap();
    Journaled { entry, chain: Digest::ZERO }
}

#[test]
fn a_read_that_fails_in_the_middle_of_a_request_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let reads = [Ok(vec![refusal()]), Err("the disk is away".to_owned()), Ok(vec![refusal()])];
    let source = Arc::new(Scripted { reads: Arc::new(Mutex::new(reads.into())), ..Scripted::default() });
    let destination = Destination::Directory { path: directory.path().to_owned() };
    let mut follower = follower(&source, &destination);
    assert_eq!(follower.gather().err().as_deref(), Some("the disk is away"));
    assert_eq!(follower.walk.position, 0, "it is read again");
    let parcel = follower.gather().unwrap().unwrap();
    assert_eq!((parcel.records, parcel.cursor.through), (1, 2));
}

/// A collector that rejects one request for good, and answers no other.
fn rejects_once() -> Destination {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 4_096]).unwrap();
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        // It stays open until the follower goes.
        let _ = stream.read(&mut [0; 4_096]);
    });
    Destination::Otlp(crate::Otlp::at(url.parse().unwrap()))
}

#[tokio::test]
async fn what_was_rejected_for_good_counts_as_delivered_only_once_it_is_noted() {
    let reads = [Ok(vec![refusal()])];
    let source = Arc::new(Scripted { reads: Arc::new(Mutex::new(reads.into())), ..Scripted::default() });
    let mut follower = follower(&source, &rejects_once());
    let parcel = follower.gather().unwrap().unwrap();
    let (before, cursor) = (source.told().len(), parcel.cursor);
    *source.refusals.lock().unwrap() = 2;
    follower.deliver(parcel).await;
    let noted = Told::Buried(1, 0, cursor.through);
    assert_eq!(source.told()[before..], [Told::Refused, Told::Refused, noted, Told::Moved(cursor)]);
}

#[test]
fn a_follower_goes_on_after_what_has_been_archived_and_a_new_one_of_alerts_with_what_comes() {
    let at = |through, from| Cursor { through, from };
    let new = Cursor::default();
    // Where it stood, how much has been archived, and where it goes on in a journal of 9 entries: for logs, for alerts.
    for (stood, archived, logs, alerts) in [
        (new, 0, at(0, 1), at(9, 10)),
        (new, 5, at(5, 6), at(9, 10)),
        (at(0, 1), 0, at(0, 1), at(0, 1)),
        (at(3, 2), 0, at(3, 2), at(3, 2)),
        (at(3, 2), 5, at(5, 6), at(5, 6)),
        (at(7, 6), 5, at(7, 6), at(7, 6)),
        (at(7, 8), 5, at(7, 8), at(7, 8)),
    ] {
        for (signal, goes_on) in [(Signal::Logs, logs), (Signal::Alerts, alerts)] {
            let source = Scripted { stood, archived, ..Scripted::default() };
            let what = format!("{signal:?} {stood:?} {archived}");
            assert_eq!(beginning(&source, "f", signal, 9), Ok((goes_on, stood == new)), "{what}");
        }
    }
}

/// What it has not told must not be archived.
#[tokio::test]
async fn the_place_of_a_new_follower_is_noted_at_once_or_as_soon_as_that_can_be() {
    let place = Told::Moved(Cursor { through: 0, from: 1 });
    for refusals in [0, 1, 3] {
        let source = Arc::new(Scripted { refusals: Mutex::new(refusals), ..Scripted::default() });
        let mut follower = follower(&source, &rejects_once());
        let refused = |count: u32| vec![Told::Refused; usize::try_from(count).unwrap()];
        let mut expected = refused(refusals.min(1));
        if refusals == 0 {
            expected.push(place.clone());
        }
        assert_eq!(source.told(), expected);
        for _ in 0..4 {
            let _ = follower.note_place();
        }
        assert_eq!(source.told(), [refused(refusals), vec![place.clone()]].concat());
    }
    let known = Arc::new(Scripted { stood: Cursor { through: 3, from: 4 }, ..Scripted::default() });
    follower(&known, &rejects_once());
    assert_eq!(known.told(), [], "it stands there");
}
