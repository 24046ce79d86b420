//! A ledger from which old entries leave while it decides: nothing is held up, nothing that somebody needs leaves, and
//! whatever has left is known to have left at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genops::core::budget::Budget;
use genops::core::ledger::Books;
use genops::core::period::{Period, Span};
use genops::core::policy::Policy;
use genops::core::{AwuId, Timestamp, Unit};
use genops::ledger::export::Wanted;
use genops::ledger::retention::{ArchiveError, Through, archive};
use genops::ledger::snapshots::Snapshots;
use genops::ledger::source::Sources;
use genops::ledger::sqlite::SqliteStore;
use genops::ledger::store::FrameReader;
use genops::ledger::verify::verify;
use genops::ledger::views::Filter;
use genops::ledger::witness::Witness;
use genops::ledger::{StoreError, recover};
use genops::report::{Archive, CellFilter, EntryFilter, EntryKind, ReportError};
use genops::telemetry::{Otlp, forget_in_file, telemetry_of_file};
use genops::{Destination, Governor, LedgerPlace, Retention, Settings};

use crate::common::{admitted, executing, execution, name, policy};

const START: u64 = 1_795_000_000_000_000_000;
const DAY: u64 = 86_400_000_000_000;

/// A ledger with a budget for each day, on whatever day a test puts it, and a folder for its archives.
struct Place {
    folder: tempfile::TempDir,
    now: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("archive")).unwrap();
        Self { folder, now: Arc::new(AtomicU64::new(START)), told: Arc::default() }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("genops.db")
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// Moves the clock to so many hours after the start.
    fn at_hour(&self, hour: u64) {
        self.now.store(START + hour * DAY / 24, Ordering::SeqCst);
    }

    fn settings(&self) -> Settings {
        let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
        let daily = Budget { period, ..Budget::new(name("day"), Unit::Usd, "1".parse().unwrap()) };
        let policy = Policy { budgets: vec![daily], ..Policy::unrestricted() };
        let (now, told) = (Arc::clone(&self.now), Arc::clone(&self.told));
        Settings {
            clock: Arc::new(move || Timestamp::from_nanos(now.fetch_add(1, Ordering::SeqCst))),
            report: Arc::new(move |notice| told.lock().unwrap().push(notice.to_owned())),
            ..Settings::in_file(self.ledger(), policy)
        }
    }

    async fn open(&self) -> Governor {
        Governor::open(self.settings()).await.unwrap().0
    }

    /// Opens it with the rule that entries leave that are older than a day.
    async fn open_keeping_a_day(&self) -> Governor {
        let retention = Some(Retention { keep: Duration::from_nanos(DAY), archive_to: self.archive() });
        Governor::open(Settings { retention, ..self.settings() }).await.unwrap().0
    }

    /// What archives there are, in the order of their entries.
    fn archives(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.archive()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Archives and the ledger, which nobody holds, as one journal that holds; gives what it comes to.
    fn verified(&self) -> Books {
        let mut files = self.archives();
        files.push(self.ledger());
        let sources = Sources::open(&files).unwrap();
        assert_eq!(sources.begins().0, 1);
        let verified = verify(sources.begins(), sources, &mut Witness::default()).unwrap();
        let books = verified.books.unwrap();
        let resumed = recover::resume(&mut SqliteStore::read(&self.ledger()).unwrap(), u64::MAX).unwrap();
        assert_eq!(resumed.books, books);
        books
    }

    /// Writes an archive through an entry, of a ledger that nobody holds.
    fn archive_through(&self, through: u64, to: &str) -> genops::ledger::witness::Head {
        let wanted =
            |from, through| Wanted { written_by: "a test".into(), ledger: "l".into(), from, through };
        archive(SqliteStore::read(&self.ledger()).unwrap(), through, wanted, &self.archive().join(to))
            .unwrap()
    }
}

async fn settled(governor: &Governor) -> AwuId {
    let awu = executing(governor).await;
    let id = awu.id();
    awu.settle(execution()).unwrap().durable().await.unwrap();
    id
}

/// Waits until something is so.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..600 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come about");
}

fn is_archived(told: &ReportError, awu_through: u64) -> bool {
    matches!(told, ReportError::Store(StoreError::Archived { through, .. }) if *through == awu_through)
}

/// Whoever follows the journal is not at an end that has left.
fn assert_begins_after(governor: &Governor, through: u64, gone: AwuId) {
    assert_eq!(governor.status().unwrap().archived, Some(through));
    let page = governor.entries(EntryFilter::default(), 3).unwrap();
    assert_eq!((page.entries.first().unwrap().sequence, page.archived), (through + 1, Some(through)));
    for sequence in [1, through] {
        assert!(is_archived(&governor.entry(sequence).unwrap_err(), through), "{sequence}");
    }
    assert!(governor.entry(through + 1).unwrap().is_some());
    assert!(is_archived(&governor.awu(gone).unwrap_err(), through));
    assert!(is_archived(&governor.explain(gone).unwrap_err(), through));
    let awus = governor.awus(&Filter::default(), 1_000).unwrap();
    assert!(awus.next.is_some() || awus.archived == Some(through));
    assert!(awus.awus.iter().all(|awu| awu.id != gone.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_leave_while_callers_propose_and_settle_and_the_journal_stays_one() {
    let place = Place::new();
    let governor = place.open().await;
    let mut first = Vec::new();
    for day in 0..4 {
        place.at_hour(24 * day);
        first.push(settled(&governor).await);
        for _ in 0..20 {
            settled(&governor).await;
        }
    }
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (governor, stop, done) = (governor.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    settled(&governor).await;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut closed = 0;
    for day in 1..4 {
        let before = Timestamp::from_nanos(START + day * DAY);
        let to = place.archive().join(format!("{day}.jsonl"));
        let archived = governor.archive(Through::Before(before), to, name("ops")).await.unwrap();
        closed += archived.cells;
        let gone = first[usize::try_from(day).unwrap() - 1];
        assert_begins_after(&governor, archived.head.sequence, gone);
        let here = first[usize::try_from(day).unwrap()];
        assert!(governor.awu(here).unwrap().is_some() && governor.explain(here).unwrap().is_some());
        let so_far = done.load(Ordering::SeqCst);
        until(|| done.load(Ordering::SeqCst) > so_far + 8).await;
    }
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    // Of the four days the first three are over, and nothing that is here was charged in them.
    assert_eq!((closed, governor.status().unwrap().cells), (3, 1));
    let entries = EntryFilter { kind: Some(EntryKind::CellsClosed), ..EntryFilter::default() };
    assert_eq!(governor.entries(entries, 9).unwrap().entries.len(), 3);
    let cells = governor.cells(&CellFilter::default(), 9).await.unwrap().cells;
    governor.close().await.unwrap();

    let books = place.verified();
    let governor = place.open().await;
    assert_eq!(governor.cells(&CellFilter::default(), 9).await.unwrap().cells, cells);
    governor.close().await.unwrap();
    assert_eq!(Archive::open(&place.ledger()).unwrap().books(), &books);
}

#[tokio::test]
async fn what_somebody_needs_stays_also_what_a_destination_has_not_had_at_all() {
    let place = Place::new();
    let governor = place.open().await;
    settled(&governor).await;
    let open = executing(&governor).await;
    settled(&governor).await;
    let to = place.archive().join("a.jsonl");
    let archive = async |governor: &Governor, through| {
        let told = governor.archive(Through::Entry(through), to.clone(), name("ops")).await;
        told.map(|archived| archived.head.sequence).map_err(|error| error.to_string())
    };
    let told = archive(&governor, 6).await.unwrap_err();
    assert!(told.contains("an AWU is open that entry 5 admitted; those through 4 may leave"), "{told}");
    open.settle(execution()).unwrap().durable().await.unwrap();
    governor.close().await.unwrap();

    // Nobody listens there, so its cursor was never moved.
    let to_nobody = Destination::Otlp(Otlp::at("http://127.0.0.1:1".parse().unwrap()));
    let settings = Settings { destinations: vec![to_nobody], ..place.settings() };
    let (governor, _) = Governor::open(settings).await.unwrap();
    let told = archive(&governor, 4).await.unwrap_err();
    assert!(told.contains("has delivered what comes before entry 1 and no more"), "{told}");
    assert_eq!((place.archives().len(), governor.status().unwrap().archived), (0, None));
    assert!(governor.entry(1).unwrap().is_some());
    governor.close().await.unwrap();

    // Also where it is not there any more, until somebody lets go of it.
    let governor = place.open().await;
    let told = archive(&governor, 6).await.unwrap_err();
    assert!(told.contains("genops telemetry forget"), "{told}");
    governor.close().await.unwrap();
    for follower in telemetry_of_file(&place.ledger(), genops::clock::wall()).unwrap().followers {
        forget_in_file(&place.ledger(), &follower.name, true).unwrap();
    }

    let governor = place.open().await;
    assert_eq!(archive(&governor, 6).await, Ok(6));
    let told = archive(&governor, 7).await.unwrap_err();
    assert!(told.contains("is there already"), "{told}");
    governor.close().await.unwrap();
    let in_memory = Governor::open(Settings::at(LedgerPlace::Memory, policy("1"))).await.unwrap().0;
    let told = in_memory.archive(Through::Entry(1), to, name("ops")).await;
    assert!(matches!(told, Err(ArchiveError::InMemory)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_rule_what_is_too_old_leaves_by_itself_a_day_or_more_at_a_time() {
    let place = Place::new();
    let governor = place.open_keeping_a_day().await;
    let first = settled(&governor).await;
    let archived = || governor.status().unwrap().archived;
    place.at_hour(20);
    settled(&governor).await;
    place.at_hour(30);
    settled(&governor).await;
    // The oldest is a day too old, and so is what is older than a day: the entries of the first 30 hours but the last.
    place.at_hour(50);
    until(|| archived() == Some(7)).await;
    assert_begins_after(&governor, 7, first);
    assert_eq!(place.archives(), [place.archive().join("genops-000000000001-000000000007.jsonl")]);
    // Those of hour 30 are too old an hour later, and would be a file of less than a day.
    place.at_hour(60);
    let held = admitted(&governor).await;
    place.at_hour(79);
    // Entry 11 has closed the cell of the first day, and goes with them.
    until(|| archived() == Some(11)).await;
    let status = || governor.status().unwrap();
    until(|| status().cells == 1).await;
    assert_eq!(status().troubles, Vec::<String>::new());

    // What is open stays, however old it is, and somebody is told.
    place.at_hour(120);
    until(|| !status().troubles.is_empty()).await;
    let told = status().troubles.remove(0);
    assert!(told.contains("an AWU is open that entry"), "{told}");
    assert_eq!(place.told.lock().unwrap().iter().filter(|notice| **notice == told).count(), 1);
    drop(held);
    place.at_hour(122);
    until(|| status().troubles.is_empty()).await;
    assert_eq!(place.archives().len(), 3);
    governor.close().await.unwrap();
    place.verified();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_missing_is_told_of_and_changes_nothing() {
    let place = Place::new();
    std::fs::remove_dir(place.archive()).unwrap();
    let governor = place.open_keeping_a_day().await;
    let first = settled(&governor).await;
    place.at_hour(100);
    let status = || governor.status().unwrap();
    until(|| !status().troubles.is_empty()).await;
    assert!(status().troubles[0].contains("archive`: No such file or directory"), "{:?}", status());
    assert!(governor.awu(first).unwrap().is_some() && governor.entry(1).unwrap().is_some());
    assert_eq!((status().archived, status().takes_work), (None, true));
    settled(&governor).await;

    std::fs::create_dir(place.archive()).unwrap();
    place.at_hour(102);
    until(|| status().archived == Some(4)).await;
    until(|| status().troubles.is_empty()).await;
    governor.close().await.unwrap();
    place.verified();
}

/// A ledger of a day that is long over, closed: entry 1 adopts the policy, each of three AWUs has three.
async fn of_old() -> (Place, AwuId) {
    let place = Place::new();
    let governor = place.open().await;
    let first = settled(&governor).await;
    settled(&governor).await;
    place.at_hour(240);
    settled(&governor).await;
    // The tables know all of them.
    governor.awus(&Filter::default(), 9).unwrap();
    governor.close().await.unwrap();
    recover::take_snapshot(&place.ledger(), u64::MAX, 2).unwrap();
    (place, first)
}

fn frames_begin_with(place: &Place) -> u64 {
    SqliteStore::read(&place.ledger()).unwrap().behind(None).unwrap().unwrap().first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_noted_as_archived_and_not_forgotten_has_left_and_is_forgotten_at_the_next_start() {
    let (place, first) = of_old().await;
    let head = place.archive_through(7, "genops-000000000001-000000000007.jsonl");
    Snapshots::open(&place.ledger())
        .unwrap()
        .note_archived(head, "genops-000000000001-000000000007.jsonl", None)
        .unwrap();
    assert_eq!(frames_begin_with(&place), 1);
    // By whatever rule they left. Their cells leave by one.
    let governor = place.open().await;
    assert_begins_after(&governor, 7, first);
    until(|| frames_begin_with(&place) == 8).await;
    assert_eq!(governor.status().unwrap().cells, 2);
    governor.close().await.unwrap();

    let governor = place.open_keeping_a_day().await;
    until(|| governor.status().unwrap().cells == 1).await;
    assert_begins_after(&governor, 7, first);
    governor.close().await.unwrap();
    assert_eq!((frames_begin_with(&place), place.archives().len()), (8, 1));
    place.verified();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_was_made_and_not_noted_is_taken_up_and_a_part_of_one_is_not() {
    let (place, first) = of_old().await;
    std::fs::write(place.archive().join("genops-000000000001-000000000004.jsonl.part"), "{").unwrap();
    place.archive_through(4, "genops-000000000001-000000000004.jsonl");
    let governor = place.open_keeping_a_day().await;
    until(|| governor.status().unwrap().archived == Some(4)).await;
    assert_begins_after(&governor, 4, first);
    assert_eq!(place.archives(), [place.archive().join("genops-000000000001-000000000004.jsonl")]);
    governor.close().await.unwrap();
    place.verified();

    // What only looks like one is nobody's, and stays.
    let (place, first) = of_old().await;
    place.archive_through(4, "genops-000000000001-000000000004.jsonl");
    std::fs::rename(&place.archives()[0], place.archive().join("genops-000000000001-000000000007.jsonl"))
        .unwrap();
    let governor = place.open_keeping_a_day().await;
    until(|| !governor.status().unwrap().troubles.is_empty()).await;
    let told = governor.status().unwrap().troubles.remove(0);
    assert!(told.contains("does not have what the ledger has"), "{told}");
    assert!(governor.awu(first).unwrap().is_some() && place.archives().len() == 1);
    governor.close().await.unwrap();
}

/// How long one caller waits for decisions, and how many were made, until something is so.
async fn waits(governor: &Governor, is_over: impl Fn() -> bool) -> String {
    let mut waits = Vec::new();
    while !is_over() {
        let begun = std::time::Instant::now();
        let awu = admitted(governor).await;
        waits.push(begun.elapsed());
        awu.release().unwrap();
    }
    waits.sort_unstable();
    let at = |percent: usize| *waits.get((waits.len() - 1) * percent / 100).unwrap();
    format!("{} decisions, median {:?}, 99 % {:?}, longest {:?}", waits.len(), at(50), at(99), at(100))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement, of 60,000 entries"]
async fn decisions_while_many_entries_leave() {
    let place = Place::new();
    let governor = place.open().await;
    let callers = (0..64).map(|_| {
        let governor = governor.clone();
        tokio::spawn(async move {
            for _ in 0..300 {
                settled(&governor).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    place.at_hour(48);
    let begun = std::time::Instant::now();
    println!("alone: {}", waits(&governor, || begun.elapsed() > Duration::from_secs(5)).await);
    let (other, to) = (governor.clone(), place.archive().join("a.jsonl"));
    let before = Through::Before(Timestamp::from_nanos(START + DAY));
    let begun = std::time::Instant::now();
    let archiving = tokio::spawn(async move { other.archive(before, to, name("ops")).await.unwrap() });
    let told = waits(&governor, || archiving.is_finished()).await;
    let head = archiving.await.unwrap().head;
    println!("while {} entries leave, {:?}: {told}", head.sequence, begun.elapsed());
    governor.close().await.unwrap();
}
