//! What the ledger promises, over every store.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

mod afterwards;
mod persons;
mod proof;
mod retention;
mod space;
mod tables;
mod waiting;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use genops_core::cursor::{Cursor, DeadLetter};
use genops_core::ledger::{Command, Outcome};
use genops_core::policy::Policy;
use genops_core::{Amount, Digest, Timestamp};
use genops_ledger::followers::Followers;
use genops_ledger::memory::MemoryStore;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{FrameReader, Store};
use genops_ledger::views::{Filter, Views};
use genops_ledger::{Ledger, LedgerError, OpenError, StoreError, recover};
use work::{admit, admit_and_start, awu, budget_of, orphan, release, settle, start, wall};

/// A place where the same store can be opened again and again.
trait Place {
    type Store: Store;
    fn store(&self) -> Self::Store;
}

struct OnDisk(tempfile::TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("genops.db")
    }
}

impl Place for OnDisk {
    type Store = SqliteStore;
    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).unwrap()
    }
}

impl Place for MemoryStore {
    type Store = Self;
    fn store(&self) -> Self {
        self.clone()
    }
}

/// Runs a promise over every store.
macro_rules! over_every_store {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $promise() { super::$promise(&super::OnDisk::new()).await; })+ }
        mod memory { $(#[tokio::test] async fn $promise() { super::$promise(&super::MemoryStore::default()).await; })+ }
    };
}

over_every_store!(
    what_was_acknowledged_is_there_after_reopening,
    many_callers_get_one_order_without_gaps,
    what_a_dead_process_left_is_resolved,
    entries_that_nobody_waits_for_become_durable_all_the_same,
    the_tables_agree_with_the_journal_however_they_were_built,
);

async fn open(place: &impl Place) -> Ledger {
    recover::open(place.store(), wall()).await.unwrap().0
}

async fn what_was_acknowledged_is_there_after_reopening(place: &impl Place) {
    let ledger = open(place).await;
    let mut told = Vec::new();
    told.push(ledger.submit(wall(), budget_of("0.0008")).unwrap().durable().await.unwrap());
    for number in 0..20 {
        told.push(ledger.submit(wall(), admit_and_start(number)).unwrap().durable().await.unwrap());
        if matches!(told.last().unwrap().outcome, Outcome::Admitted(_)) {
            told.push(ledger.submit(wall(), settle(number)).unwrap().durable().await.unwrap());
        }
    }
    assert!(told.iter().any(|entry| matches!(entry.outcome, Outcome::Refused(_))), "no refusal was tried");
    let books = ledger.read(Clone::clone).unwrap();
    drop(ledger);

    let reopened = open(place).await;
    assert_eq!(reopened.read(Clone::clone).unwrap(), books);
    let mut journal = reopened.journal().unwrap();
    for entry in told {
        assert_eq!(journal.entry(entry.sequence).unwrap().unwrap().entry, entry);
    }
}

async fn many_callers_get_one_order_without_gaps(place: &impl Place) {
    let ledger = Arc::new(open(place).await);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..32_u32 {
        let ledger = Arc::clone(&ledger);
        callers.spawn(async move {
            let mut told = Vec::new();
            for call in 0..20 {
                let number = caller * 100 + call;
                let admission = ledger.submit(wall(), admit_and_start(number)).unwrap();
                told.push(admission.durable().await.unwrap().sequence);
                told.push(ledger.submit(wall(), settle(number)).unwrap().entry.sequence);
            }
            assert!(told.is_sorted(), "a caller's own entries are in its order");
            told
        });
    }
    let mut told = callers.join_all().await.concat();
    told.sort_unstable();
    assert_eq!(told, (1..=1280).collect::<Vec<_>>());
    drop(ledger);
    let replayed = recover::replay(&mut *place.store().readers()().unwrap()).unwrap();
    assert_eq!(replayed.books.sequence(), 1280);
    assert!(replayed.frames < 1280, "entries share commits");
}

async fn what_a_dead_process_left_is_resolved(place: &impl Place) {
    let ledger = open(place).await;
    ledger.submit(wall(), budget_of("1")).unwrap();
    for number in 0..4 {
        ledger.submit(wall(), admit(number)).unwrap().durable().await.unwrap();
    }
    ledger.submit(wall(), start(1)).unwrap().durable().await.unwrap();
    ledger.submit(wall(), start(2)).unwrap().durable().await.unwrap();
    ledger.submit(wall(), settle(2)).unwrap().durable().await.unwrap();
    ledger.submit(wall(), release(3)).unwrap().durable().await.unwrap();
    drop(ledger);

    let (ledger, recovered) = recover::open(place.store(), wall()).await.unwrap();
    assert_eq!((recovered.released, recovered.in_doubt), (1, 1), "0 had not started, 1 was executing");
    let cell = ledger.read(|books| books.cells()[0].clone()).unwrap();
    assert_eq!(cell.standing.out, Amount::ZERO);
    assert_eq!(cell.totals.in_doubt, work::reserved(), "what is in doubt is charged");
    assert_eq!(cell.standing.used, work::reserved().checked_add(work::actual()).unwrap());
    drop(ledger);

    let (_, again) = recover::open(place.store(), wall()).await.unwrap();
    assert_eq!((again.released, again.in_doubt), (0, 0), "nothing is resolved twice");
}

async fn entries_that_nobody_waits_for_become_durable_all_the_same(place: &impl Place) {
    let ledger = open(place).await;
    let mut durable = ledger.watch();
    let sequence = ledger.submit(wall(), admit(1)).unwrap().entry.sequence;
    durable.wait_for(|through| *through >= sequence).await.unwrap();
    assert!(ledger.journal().unwrap().entry(sequence).unwrap().is_some());
}

async fn the_tables_agree_with_the_journal_however_they_were_built(place: &impl Place) {
    let ledger = open(place).await;
    let mut stepwise = Views::in_memory().unwrap();
    for number in 0..12 {
        for command in [admit(number), start(number), settle(number)] {
            if number % 3 == 0 || !matches!(command, Command::Settle { .. }) {
                ledger.submit(wall(), command).unwrap().durable().await.unwrap();
            }
            if number % 2 == 0 {
                stepwise.catch_up(&mut ledger.journal().unwrap()).unwrap();
            }
        }
    }
    let mut journal = ledger.journal().unwrap();
    stepwise.catch_up(&mut journal).unwrap();
    let mut at_once = Views::in_memory().unwrap();
    at_once.catch_up(&mut journal).unwrap();
    let all = Filter::default();
    let listed = stepwise.awus(&all, 100, &mut journal).unwrap().records;
    assert_eq!(listed, at_once.awus(&all, 100, &mut journal).unwrap().records);
    assert_eq!(listed.len(), 12);
    assert!(listed.windows(2).all(|pair| pair[0].sequence > pair[1].sequence), "the latest first");
    let settled = Filter { state: Some("SETTLED".into()), ..Filter::default() };
    assert_eq!(stepwise.awus(&settled, 100, &mut journal).unwrap().records.len(), 4);
    let page = Filter { before: Some(listed[3].sequence), ..Filter::default() };
    assert_eq!(stepwise.awus(&page, 2, &mut journal).unwrap().records, listed[4..6]);
    let one = stepwise.awu(awu(3), &mut journal).unwrap().unwrap();
    assert_eq!((one.id(), one.state()), (awu(3), "SETTLED"));
    assert_eq!(stepwise.awu(awu(99), &mut journal).unwrap(), None);
    // However far the tables are behind.
    let mut behind = Views::in_memory().unwrap();
    for number in [0, 3, 4, 99] {
        let known = at_once.awu(awu(number), &mut journal).unwrap();
        assert_eq!(behind.standing(awu(number), None).unwrap().now(&mut journal).unwrap(), known);
        assert_eq!(stepwise.standing(awu(number), None).unwrap().now(&mut journal).unwrap(), known);
    }
    assert_eq!(behind.as_of(), 0, "nothing was written");
    behind.catch_up(&mut journal).unwrap();
    let estimates = stepwise.estimates().unwrap();
    assert_eq!(estimates, at_once.estimates().unwrap());
    let sums: Vec<_> =
        estimates.iter().map(|e| (e.calls, e.bound_input, e.input, e.output, e.exceeded)).collect();
    assert_eq!(sums, [(4, 4_000, 48, 80, 0)]);
}

// === faults ===

#[tokio::test]
async fn after_a_failed_commit_nothing_is_acknowledged_any_more() {
    let store = MemoryStore::default();
    let ledger = open(&store).await;
    ledger.submit(wall(), admit(1)).unwrap().durable().await.unwrap();
    store.set_fault(Some(StoreError::Full));
    let failed = ledger.submit(wall(), admit(2)).unwrap().durable().await;
    assert_eq!(failed, Err(LedgerError::Failed(StoreError::Full)));
    store.set_fault(None);
    let later = ledger.submit(wall(), settle(1)).err();
    assert_eq!(later, Some(LedgerError::Failed(StoreError::Full)), "the disk came back; the books did not");
    assert_eq!(ledger.durable(1).await, Ok(()), "what was durable still is");
    drop(ledger);
    let books = open(&store).await.read(Clone::clone).unwrap();
    assert_eq!(books.open_awu(awu(2)), None, "what was not acknowledged is not there");
}

#[test]
fn who_waits_on_a_runtime_whose_tasks_nobody_runs_is_told_all_the_same() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (idle, busy) = (runtime(), runtime());
    let ledger = busy.block_on(open(&MemoryStore::default()));
    // The handle of a runtime of one thread runs the future, and none of the runtime's tasks.
    idle.handle().block_on(ledger.submit(wall(), budget_of("1")).unwrap().durable()).unwrap();
    // The first waits there, and does not come back for its answer; another joins the same batch elsewhere.
    let first = ledger.submit(wall(), admit(1)).unwrap();
    let second = ledger.submit(wall(), admit(2)).unwrap();
    let mut first = Box::pin(first.durable());
    idle.handle().block_on(async {
        std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_ready())).await;
    });
    busy.block_on(second.durable()).unwrap();
}

#[tokio::test]
async fn a_panic_at_the_books_is_told_to_everybody() {
    let ledger = open(&MemoryStore::default()).await;
    let panics = || ledger.read(|_| panic!("on purpose"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    let refused = ledger.submit(wall(), budget_of("1"));
    assert!(matches!(refused, Err(LedgerError::Failed(_))), "{refused:?}");
    assert!(matches!(ledger.failure(), Some(LedgerError::Failed(_))));
}

#[tokio::test]
async fn a_command_that_does_not_fit_changes_nothing() {
    let ledger = open(&MemoryStore::default()).await;
    ledger.submit(wall(), admit(1)).unwrap();
    let before = ledger.read(Clone::clone).unwrap();
    for command in [admit(1), settle(1), settle(2), start(2), release(2), orphan(2)] {
        let refused = ledger.submit(wall(), command.clone()).err();
        assert!(matches!(refused, Some(LedgerError::Rejected(_))), "{command:?}: {refused:?}");
    }
    assert_eq!(ledger.read(Clone::clone).unwrap(), before);
}

#[tokio::test]
async fn a_clock_that_runs_backward_stands_still_in_the_journal() {
    let ledger = open(&MemoryStore::default()).await;
    let first = ledger.submit(wall(), admit(1)).unwrap().entry;
    let second = ledger.submit(Timestamp::from_nanos(1), admit(2)).unwrap().entry;
    assert_eq!(second.at, first.at);
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_the_place_named() {
    let store = MemoryStore::default();
    let ledger = open(&store).await;
    for number in 0..5 {
        ledger.submit(wall(), admit(number)).unwrap().durable().await.unwrap();
    }
    drop(ledger);
    let good = store.with_frames(|frames| frames.clone());
    type Damage = fn(&mut Vec<genops_ledger::frame::Frame>);
    let damages: [(&str, Damage); 4] = [
        ("a changed byte", |frames| *frames[2].payload.last_mut().unwrap() ^= 1),
        ("a removed frame", |frames| drop(frames.remove(2))),
        ("two frames exchanged", |frames| frames.swap(1, 2)),
        ("a newer format", |frames| frames[4].format += 1),
    ];
    for (what, damage) in damages {
        store.with_frames(|frames| {
            *frames = good.clone();
            damage(frames);
        });
        let refused = recover::open(store.clone(), wall()).await.err();
        assert!(matches!(refused, Some(OpenError::Frame(_))), "{what}: {refused:?}");
    }
}

#[tokio::test]
async fn a_frame_that_was_removed_from_the_file_is_missed() {
    for (removed, what) in [("first = 1", "the first"), ("first = 2", "one in the middle")] {
        let place = OnDisk::new();
        let ledger = open(&place).await;
        for number in 0..4 {
            ledger.submit(wall(), admit(number)).unwrap().durable().await.unwrap();
        }
        drop(ledger);
        let file = rusqlite::Connection::open(place.path()).unwrap();
        assert_eq!(file.execute(&format!("DELETE FROM frames WHERE {removed}"), []).unwrap(), 1);
        drop(file);
        let refused = recover::replay(&mut SqliteStore::read(&place.path()).unwrap()).err();
        assert!(matches!(refused, Some(OpenError::Frame(_))), "{what}: {refused:?}");
        let mut journal = genops_ledger::Journal::new(place.store().readers()().unwrap());
        let after = if removed == "first = 1" { 0 } else { 1 };
        assert!(journal.after(after).is_err(), "{what}");
    }
}

#[tokio::test]
async fn tables_and_cursors_of_another_or_a_later_journal_are_dropped() {
    let (ours, theirs) = (Digest::of("ours", &[]), Digest::of("theirs", &[]));
    let cases = [(ours, 9, true), (ours, 7, true), (ours, 6, false), (theirs, 9, false)];
    for (genesis, entries, belong) in cases {
        let mut views = Views::in_memory().unwrap();
        assert!(views.belong_to(ours, 0).unwrap(), "new tables belong to whatever they are opened for");
        views.move_cursor("otlp", Cursor { through: 7, from: 3 }).unwrap();
        assert_eq!(views.belong_to(genesis, entries).unwrap(), belong, "{genesis} {entries}");
        let expected = if belong { Cursor { through: 7, from: 3 } } else { Cursor::default() };
        assert_eq!(views.cursor("otlp").unwrap(), expected);
        assert!(views.belong_to(genesis, entries).unwrap(), "dropped once");
    }
}

#[test]
fn damaged_tables_are_made_anew() {
    let place = OnDisk::new();
    let views = format!("{}.views", place.path().display());
    std::fs::write(
        &views,
        "no table at all, but more than a hundred bytes of text, so that nobody takes it for an \
                            empty file that could become one",
    )
    .unwrap();
    assert_eq!(Views::beside(&place.path()).unwrap().as_of(), 0);
}

#[test]
fn a_file_that_is_no_ledger_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    assert!(matches!(SqliteStore::read(&path).err(), Some(StoreError::Missing { .. })));
    std::fs::write(
        &path,
        "this is not a database, it is a text of more than a hundred bytes, as one finds them \
                           lying about where a ledger should be",
    )
    .unwrap();
    assert!(matches!(SqliteStore::open(&path).err(), Some(StoreError::Damaged { .. })));
}

#[test]
fn a_second_writer_is_told_that_the_ledger_is_held() {
    let place = OnDisk::new();
    let first = place.store();
    assert!(matches!(SqliteStore::open(&place.path()).err(), Some(StoreError::Held { .. })));
    assert!(SqliteStore::read(&place.path()).is_ok(), "a reader may come");
    drop(first);
    place.store();
}

/// Where the frames of a write-ahead log end that was never written anew; the zeros behind them are reserved.
fn end_of_frames(log: &[u8]) -> usize {
    const HEAD: usize = 32;
    const FRAME: usize = 24 + 4_096;
    let last = log.iter().rposition(|byte| *byte != 0).unwrap();
    HEAD + (last - HEAD + 1).div_ceil(FRAME) * FRAME
}

#[tokio::test]
async fn the_log_is_reserved_and_what_a_dead_process_left_in_it_is_kept() {
    let place = OnDisk::new();
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    let ledger = open(&place).await;
    let reserved = std::fs::metadata(wal(&place.path())).unwrap().len();
    for number in 0..10 {
        ledger.submit(wall(), admit(number)).unwrap().durable().await.unwrap();
    }
    assert_eq!(std::fs::metadata(wal(&place.path())).unwrap().len(), reserved, "nothing grows");
    // As a dead process leaves it; and cut off behind the last frame, as before logs were reserved.
    let mut log = std::fs::read(wal(&place.path())).unwrap();
    for length in [log.len(), end_of_frames(&log)] {
        let copy = OnDisk::new();
        std::fs::copy(place.path(), copy.path()).unwrap();
        log.truncate(length);
        std::fs::write(wal(&copy.path()), &log).unwrap();
        let (reopened, recovered) = recover::open(copy.store(), wall()).await.unwrap();
        assert_eq!(recovered.entries, 10);
        reopened.submit(wall(), admit(99)).unwrap().durable().await.unwrap();
        assert!(std::fs::metadata(wal(&copy.path())).unwrap().len() >= reserved);
    }
}

#[tokio::test]
async fn a_torn_write_costs_nothing_that_was_acknowledged() {
    let place = OnDisk::new();
    let ledger = open(&place).await;
    for number in 0..10 {
        ledger.submit(wall(), admit(number)).unwrap().durable().await.unwrap();
    }
    // A copy as power loss leaves it: the write-ahead log ends in the middle of a frame.
    let copy = OnDisk::new();
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(place.path(), copy.path()).unwrap();
    let mut log = std::fs::read(wal(&place.path())).unwrap();
    let written = end_of_frames(&log);
    log[written..written + 5_000].fill(0x5a);
    std::fs::write(wal(&copy.path()), log).unwrap();
    let replayed = recover::replay(&mut SqliteStore::read(&copy.path()).unwrap()).unwrap();
    assert_eq!(replayed.books.sequence(), 10);
}

#[test]
fn cursors_and_dead_letters_survive() {
    let place = OnDisk::new();
    let letter = DeadLetter {
        follower: "otlp".into(),
        after: 3,
        through: 9,
        from: 2,
        records: 4,
        reason: "400 Bad Request".into(),
        again: false,
    };
    let views = Views::beside(&place.path()).unwrap();
    assert_eq!(views.cursor("otlp").unwrap(), Cursor::default());
    views.move_cursor("otlp", Cursor { through: 7, from: 3 }).unwrap();
    views.move_cursor("otlp", Cursor { through: 9, from: 8 }).unwrap();
    views.bury(&letter).unwrap();
    drop(views);
    let views = Views::beside(&place.path()).unwrap();
    assert_eq!(views.cursor("otlp").unwrap(), Cursor { through: 9, from: 8 });
    assert_eq!(views.dead_letters().unwrap(), std::slice::from_ref(&letter));
    drop(views);
    let followers = Followers::beside(&place.path()).unwrap();
    assert_eq!(followers.cursors, [("otlp".to_owned(), Cursor { through: 9, from: 8 })]);
    assert_eq!(followers.dead_letters, [letter]);
}

#[test]
fn a_dead_letter_is_marked_by_its_follower_and_replaced_by_what_is_left_of_it() {
    let mut views = Views::in_memory().unwrap();
    let letter = |follower: &str, after, through| DeadLetter {
        follower: follower.into(),
        after,
        through,
        from: after,
        records: 1,
        reason: "no".into(),
        again: false,
    };
    let (one, other) = (letter("one", 0, 9), letter("other", 0, 9));
    views.bury(&one).unwrap();
    views.bury(&other).unwrap();
    let marked = |letter: &DeadLetter| DeadLetter { again: true, ..letter.clone() };
    assert_eq!(views.mark_dead_letters(Some("nobody")).unwrap(), []);
    assert_eq!(views.mark_dead_letters(Some("one")).unwrap(), [marked(&one)]);
    assert_eq!(views.dead_letters().unwrap(), [marked(&one), other.clone()]);
    let to_resend = |views: &Views, follower| views.marked_dead_letters(follower).unwrap();
    assert_eq!(to_resend(&views, "other"), []);
    let [(number, found)] = &to_resend(&views, "one")[..] else { panic!("one letter") };
    assert_eq!(*found, marked(&one));
    // Of those that tell of the same entries only the one that is meant is replaced.
    views.bury(&one).unwrap();
    views.replace_dead_letters(&[*number], &[letter("one", 5, 9)]).unwrap();
    assert_eq!(views.dead_letters().unwrap(), [other.clone(), one, letter("one", 5, 9)]);
    assert_eq!(views.mark_dead_letters(None).unwrap().len(), 3);
    let [(first, _), (second, _)] = &to_resend(&views, "one")[..] else { panic!("two letters") };
    views.replace_dead_letters(&[*first, *second], &[]).unwrap();
    assert_eq!(views.dead_letters().unwrap(), [marked(&other)]);
}

#[tokio::test]
async fn tables_of_a_version_before_are_built_anew_and_keep_cursors_and_dead_letters() {
    let cases = [
        (
            3,
            "ALTER TABLE dead_letters DROP COLUMN reread; ALTER TABLE dead_letters DROP COLUMN again;
             DROP TABLE policies;",
            "'no'",
        ),
        (5, "DROP TABLE policies;", "'no', 0, 0"),
        (6, "", "'no', 0, 0"),
    ];
    for (version, as_before, letter) in cases {
        let place = OnDisk::new();
        let ledger = open(&place).await;
        for command in [budget_of("1"), admit(1)] {
            ledger.submit(wall(), command).unwrap().durable().await.unwrap();
        }
        let mut journal = ledger.journal().unwrap();
        let mut views = Views::beside(&place.path()).unwrap();
        views.catch_up(&mut journal).unwrap();
        drop(views);
        let mut path = place.path().into_os_string();
        path.push(".views");
        let connection = rusqlite::Connection::open(path).unwrap();
        let as_before = format!(
            "{as_before} ALTER TABLE awus DROP COLUMN provider;
            INSERT INTO cursors VALUES ('otlp', 9, 8); INSERT INTO dead_letters VALUES ('otlp', 3, 9, 4, {letter});
            PRAGMA user_version = {version};"
        );
        connection.execute_batch(&as_before).unwrap();
        drop(connection);
        assert!(Followers::beside(&place.path()).is_err(), "not before they are brought up to date");
        let mut views = Views::beside(&place.path()).unwrap();
        assert_eq!(views.cursor("otlp").unwrap(), Cursor { through: 9, from: 8 }, "{version}");
        let letter = views.dead_letters().unwrap().remove(0);
        assert_eq!((letter.after, letter.through, letter.from, letter.again), (3, 9, 0, false), "{version}");
        views.catch_up(&mut journal).unwrap();
        let decided = views.awus(&Filter::default(), 9, &mut journal).unwrap().records;
        assert_eq!(decided.len(), 1, "{version}");
        let policy = views.policy(decided[0].ruling().policy, &mut journal).unwrap();
        assert_eq!(policy.map(|policy| policy.version()), Some(decided[0].ruling().policy), "{version}");
    }
}

#[tokio::test]
async fn a_policy_is_found_by_its_version_and_the_empty_one_without_an_entry() {
    let ledger = open(&MemoryStore::default()).await;
    let mut views = Views::in_memory().unwrap();
    // The second comes in a stretch of its own, and the first once more.
    for limits in [["1", "2"], ["3", "1"]] {
        for limit in limits {
            ledger.submit(wall(), budget_of(limit)).unwrap().durable().await.unwrap();
        }
        views.catch_up(&mut ledger.journal().unwrap()).unwrap();
    }
    let mut journal = ledger.journal().unwrap();
    let mut found = |version| views.policy(version, &mut journal).unwrap().map(|policy| policy.version());
    for limit in ["1", "2", "3"] {
        let version = match budget_of(limit) {
            Command::AdoptPolicy(policy) => Some(policy.version()),
            _ => None,
        };
        assert_eq!(found(version.unwrap()), version, "{limit}");
    }
    let empty = Policy::unrestricted().version();
    assert_eq!(found(empty), Some(empty));
    assert_eq!(found(Digest::of("no policy", &[])), None);
}

#[test]
fn a_reader_sees_frames_in_the_middle_and_nothing_beyond_the_end() {
    let mut store = MemoryStore::default();
    let frame = genops_ledger::frame::Frame::seal(genops_core::Digest::ZERO, 1, vec![], &[0, 0, 0]);
    store.append(&frame, &[]).unwrap();
    let mut reader = store.clone();
    assert_eq!(reader.holding(2).unwrap(), Some(frame));
    assert_eq!(reader.holding(4).unwrap(), None);
}

#[test]
fn a_reader_at_the_end_never_takes_a_new_frame_for_a_gap() {
    // More threads than processors, so that the writer commits while a reader is held up between two steps.
    const READERS: usize = 6;
    const FRAMES: u64 = 2_000;
    let place = OnDisk::new();
    let mut store = place.store();
    let read = || {
        let mut reader = SqliteStore::read(&place.path()).unwrap();
        let mut next = 1;
        while next <= FRAMES {
            if let Some(frame) = reader.holding(next).unwrap() {
                assert_eq!(frame.first, next, "a later frame was given");
                next += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        (0..READERS).for_each(|_| drop(scope.spawn(read)));
        let mut head = Digest::ZERO;
        for first in 1..=FRAMES {
            let frame = genops_ledger::frame::Frame::seal(head, first, vec![0], &[1]);
            store.append(&frame, &[]).unwrap();
            head = frame.hash;
        }
    });
}
