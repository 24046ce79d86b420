//! `kill -9` at random moments while a server lets old entries leave for an archive, again and again over the same ledger:
//! in the end there is one archive, and it and the ledger are one journal, of which nothing is missing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[path = "common/process.rs"]
#[expect(dead_code, reason = "every server is killed here, and none is told to stop")]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use genops::clock;
use genops::core::awu::Proposal;
use genops::core::budget::Budget;
use genops::core::ledger::Admit;
use genops::core::period::{Period, Span};
use genops::core::policy::Policy;
use genops::core::{Attribution, Name, Timestamp, Unit};
use genops::ledger::recover;
use genops::ledger::source::Sources;
use genops::ledger::sqlite::SqliteStore;
use genops::ledger::store::FrameReader;
use genops::ledger::verify::verify;
use genops::ledger::witness::{Head, Witness};
use genops::{Governor, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use process::{PATIENCE, PROGRAM, Process};

const DAY_NS: u64 = 86_400_000_000_000;
const DAYS: u64 = 9;
const AWUS_A_DAY: u64 = 30;

/// Writes what somebody did in the last days, and gives the end of it.
async fn of_nine_days(ledger: &Path) -> Head {
    let now = Arc::new(AtomicU64::new(0));
    let hand = Arc::clone(&now);
    let name = |text: &str| Name::new(text).unwrap();
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    let daily = Budget { period, ..Budget::new(name("day"), Unit::Requests, "1000".parse().unwrap()) };
    let policy = Policy { budgets: vec![daily], accounting_unit: Unit::Requests, ..Policy::unrestricted() };
    let today = clock::wall();
    now.store(today.minus_nanos(DAYS * DAY_NS).nanos(), Ordering::SeqCst);
    let clock = Arc::new(move || Timestamp::from_nanos(hand.fetch_add(1, Ordering::SeqCst)));
    let (governor, _) =
        Governor::open(Settings { clock, ..Settings::in_file(ledger, policy) }).await.unwrap();
    for day in (0..DAYS).rev() {
        now.store(today.minus_nanos((day + 1) * DAY_NS).nanos(), Ordering::SeqCst);
        for _ in 0..AWUS_A_DAY {
            let attribution = Attribution::new(Some("a"), Some("b"), Some("c")).unwrap();
            let proposal = Proposal::work(attribution, name("tune"), name("training"));
            let told = governor.propose(Admit::new(governor.new_id(), proposal)).await.unwrap();
            governor.release(told.what.id()).await.unwrap();
        }
    }
    governor.close().await.unwrap();
    let replayed = recover::replay(&mut SqliteStore::read(ledger).unwrap()).unwrap();
    Head { sequence: replayed.books.sequence(), hash: replayed.head }
}

fn archives(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Whether entries have left, and none of them is here yet.
fn has_left(ledger: &Path) -> bool {
    let mut reader = SqliteStore::read(ledger).unwrap();
    let archived = reader.archived().unwrap();
    archived.is_some_and(|head| reader.behind(None).unwrap().unwrap().first > head.sequence)
}

fn cells(ledger: &Path) -> usize {
    recover::resume(&mut SqliteStore::read(ledger).unwrap(), u64::MAX).unwrap().books.cells().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_while_old_entries_leave_loses_any_of_them() {
    let seed: u64 = std::env::var("GENOPS_CRASH_SEED").map_or(rand::random(), |seed| seed.parse().unwrap());
    println!("GENOPS_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let place = tempfile::tempdir().unwrap();
    let [ledger, folder, config] =
        ["genops.db", "archive", "genops.yaml"].map(|name| place.path().join(name));
    let head = of_nine_days(&ledger).await;
    std::fs::create_dir(&folder).unwrap();
    let written = format!(
        "{{listen: 127.0.0.1:0, ledger: '{}', telemetry: {{otlp: []}}, retention: {{keep_days: 3, archive_to: '{}'}}}}",
        ledger.display(),
        folder.display()
    );
    std::fs::write(&config, written).unwrap();
    let serve = || {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(&config);
        Process::start(command)
    };
    let mut kills = 0;
    while !has_left(&ledger) && kills < 40 {
        let server = serve();
        server.origin();
        // Longer and longer, so that some find it further than the ones before, also where it is slow.
        std::thread::sleep(Duration::from_millis(rng.random_range(0..100 + 60 * kills)));
        drop(server);
        kills += 1;
    }
    println!("{kills} kills, {:?} archived", SqliteStore::read(&ledger).unwrap().archived().unwrap());
    let server = serve();
    let deadline = Instant::now() + PATIENCE;
    // Of nine days the last three and what is left of a fourth have cells.
    while !has_left(&ledger) || cells(&ledger) > 4 {
        assert!(Instant::now() < deadline, "entries or cells are here that should have left");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(server);

    let mut files = archives(&folder);
    assert_eq!(files.len(), 1, "{files:?}");
    files.push(ledger.clone());
    let sources = Sources::open(&files).unwrap();
    let verified = verify(sources.begins(), sources, &mut Witness::new(vec![head], None)).unwrap();
    assert_eq!(verified.first, 1);
    let books = verified.books.unwrap();
    assert_eq!(recover::resume(&mut SqliteStore::read(&ledger).unwrap(), u64::MAX).unwrap().books, books);
}
