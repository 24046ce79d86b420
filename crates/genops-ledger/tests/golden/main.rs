//! The journals of every format that was released: each is read, verified and decided as it was, for good.
//!
//! A type of the journal that is changed without a new [`FORMAT_VERSION`] turns this red, as does a rule that is changed
//! without a new `ENGINE_VERSION`. For a new format: raise the version, let [`story`] tell what is new, and have the
//! journal of the new format written:
//!
//!     cargo test -p genops-ledger --test golden -- --ignored write
//!
//! The journals of older formats stay as they are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod policies;
mod story;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use genops_core::Digest;
use genops_core::ledger::{Command, Entry, FORMAT_VERSION, Outcome};
use genops_ledger::export::{self, Wanted};
use genops_ledger::frame::Frame;
use genops_ledger::memory::MemoryStore;
use genops_ledger::recover;
use genops_ledger::redecide::redecide;
use genops_ledger::source::Source;
use genops_ledger::store::Store;
use genops_ledger::verify::verify;
use genops_ledger::witness::Witness;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn current() -> PathBuf {
    folder().join(format!("journal-v{FORMAT_VERSION}.jsonl"))
}

/// Every golden journal.
fn journals() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let journals: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).collect();
    assert!(
        journals.contains(&current()),
        "format {FORMAT_VERSION} has no golden journal: read the top of this file"
    );
    journals
}

fn frames(path: &Path) -> Vec<Frame> {
    let frames: Result<Vec<_>, _> = Source::open(path).unwrap().collect();
    frames.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_journal_of_every_format_is_read_verified_and_decided_as_it_was() {
    for path in journals() {
        let frames = frames(&path);
        let count: u64 = frames.iter().map(|frame| u64::from(frame.count)).sum();
        let mut none = Witness::default();
        let verified = verify((1, Digest::ZERO), frames.iter().cloned().map(Ok), &mut none);
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!((verified.first, verified.last), (1, count));
        let redecided = redecide(frames.into_iter().map(Ok));
        let redecided = redecided.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(redecided.decided + redecided.evolved, count);
        assert_eq!(redecided.replayed.books, verified.books.unwrap());
    }
}

#[test]
fn every_entry_of_this_format_comes_to_the_same_bytes_again() {
    let (mut all, mut entries) = (Vec::new(), Vec::new());
    for frame in frames(&current()) {
        frame
            .walk(|entry, bytes| {
                assert_eq!(postcard::to_stdvec(&entry).unwrap(), bytes, "{entry:?}");
                all.extend_from_slice(bytes);
                entries.push(entry);
            })
            .unwrap();
    }
    let told = story::entries();
    for (golden, told) in entries.iter().zip(&told) {
        assert_eq!(golden, told);
    }
    let told: Vec<u8> = told.iter().flat_map(|entry| postcard::to_stdvec(entry).unwrap()).collect();
    assert_eq!(all, told, "the story is another");
}

#[tokio::test]
async fn a_ledger_over_a_journal_of_this_format_opens_and_resolves_nothing_anew() {
    let mut store = MemoryStore::default();
    let frames = frames(&current());
    for frame in &frames {
        store.append(frame, &[]).unwrap();
    }
    let (ledger, recovered) = recover::open(store, story::entries().last().unwrap().at).await.unwrap();
    assert_eq!(recovered.entries, frames.last().unwrap().last());
    assert_eq!((recovered.released, recovered.in_doubt), (0, 0));
    assert_eq!(ledger.read(|books| books.open_awus().len()).unwrap(), 1, "one is in doubt, for an operator");
}

#[tokio::test]
async fn a_frame_of_another_format_is_refused_with_what_to_do() {
    let first = frames(&current()).remove(0);
    let at = story::entries()[0].at;
    let refused = async |format| {
        let mut store = MemoryStore::default();
        store.append(&Frame { format, ..first.clone() }, &[]).unwrap();
        recover::open(store, at).await.unwrap_err().to_string()
    };
    let newer = refused(FORMAT_VERSION + 1).await;
    let due = format!("was written by a newer version of genops, in format {}", FORMAT_VERSION + 1);
    assert!(newer.contains(&due) && newer.ends_with("open it with that version, or a later one"), "{newer}");
    assert!(!newer.contains("damaged"), "{newer}");
    for older in 0..FORMAT_VERSION {
        let older = refused(older).await;
        assert!(older.contains("has a format that was never released"), "{older}");
    }
}

// === what the golden journal of this format has to hold ===

/// The word for a command. A new command does not compile until it has one, and has to be told by the story.
const fn command(command: &Command) -> &'static str {
    match command {
        Command::AdoptPolicy(_) => "AdoptPolicy",
        Command::Admit(_) => "Admit",
        Command::Start { .. } => "Start",
        Command::Extend { .. } => "Extend",
        Command::Release { .. } => "Release",
        Command::Settle { .. } => "Settle",
        Command::Orphan { .. } => "Orphan",
        Command::Expire { .. } => "Expire",
        Command::Resolve { .. } => "Resolve",
        Command::Correct(_) => "Correct",
        Command::Grant(_) => "Grant",
        Command::Revoke { .. } => "Revoke",
        Command::Lapse { .. } => "Lapse",
        Command::Report(_) => "Report",
        Command::Erase { .. } => "Erase",
    }
}

/// The word for an outcome.
const fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::PolicyAdopted { .. } => "PolicyAdopted",
        Outcome::Admitted(_) => "Admitted",
        Outcome::Refused(_) => "Refused",
        Outcome::Started => "Started",
        Outcome::Extended { .. } => "Extended",
        Outcome::Released => "Released",
        Outcome::Settled(settled) if settled.late.is_some() => "Settled late",
        Outcome::Settled(_) => "Settled",
        Outcome::InDoubt { .. } => "InDoubt",
        Outcome::Corrected { .. } => "Corrected",
        Outcome::Granted => "Granted",
        Outcome::GrantEnded { .. } => "GrantEnded",
        Outcome::Noted => "Noted",
    }
}

/// Every pair of a command and its outcome that an entry can be.
const PAIRS: [(&str, &str); 19] = [
    ("AdoptPolicy", "PolicyAdopted"),
    ("Admit", "Admitted"),
    ("Admit", "Refused"),
    ("Correct", "Corrected"),
    ("Erase", "Noted"),
    ("Expire", "InDoubt"),
    ("Expire", "Released"),
    ("Extend", "Extended"),
    ("Grant", "Granted"),
    ("Lapse", "GrantEnded"),
    ("Orphan", "InDoubt"),
    ("Orphan", "Released"),
    ("Release", "Released"),
    ("Report", "Noted"),
    ("Resolve", "Settled late"),
    ("Revoke", "GrantEnded"),
    ("Settle", "Settled"),
    ("Settle", "Settled late"),
    ("Start", "Started"),
];

/// The words of what stands inside entries: each has to be in the text of the journal.
const WORDS: &str = "\
    Root Child Linked \
    Completed ProviderError NeverSent Abandoned Cancelled AtReservation \
    Status Timeout Connection Answer Unreachable \
    Reported Nothing Unknown Counted \
    Evaluation Cost \
    Always Between Calendar Rolling None Hour Day Week Month Quarter Year \
    UpTo Unbounded Refuse Cap Enforce Observe Deny Warn \
    Flow InFlight Requests Tokens Usd Second Minute \
    Takes TakesPlace Wait Full TooMuch NoPlace Until \
    Keyword Pattern Email PaymentCard ApiKey PrivateKey Holds Failed Content \
    Model Region Condition Provider Bound Price Rate Sla Room \
    Project CustomerId Team Key \
    BUDGET_EXCEEDED BUDGET_RESERVATION_FAILED POLICY_DENY_MODEL POLICY_DENY_REGION POLICY_DENY_CONTENT RATE_LIMITED \
    SLA_LATENCY_VIOLATION PROVIDER_ERROR_UPSTREAM ACCOUNTING_INVARIANT_VIOLATION x_too_many_shares x_night compute_seconds";

#[test]
fn the_journal_of_this_format_tells_everything_that_a_journal_can() {
    let entries: Vec<Entry> = frames(&current()).iter().flat_map(|frame| frame.entries().unwrap()).collect();
    let pairs: BTreeSet<_> =
        entries.iter().map(|entry| (command(&entry.command), outcome(&entry.outcome))).collect();
    assert_eq!(pairs, PAIRS.into_iter().collect());
    let text = serde_json::to_string(&entries).unwrap();
    let missing: Vec<_> =
        WORDS.split_whitespace().filter(|word| !text.contains(&format!("\"{word}\""))).collect();
    assert_eq!(missing, Vec::<&str>::new());
    let alerts = |outcome: &Outcome| !genops_core::news::alerts(outcome).is_empty();
    for word in ["PolicyAdopted", "GrantEnded", "Settled"] {
        let told = entries.iter().filter(|entry| outcome(&entry.outcome) == word);
        assert!(
            told.into_iter().any(|entry| alerts(&entry.outcome)),
            "{word}: nobody is told of a threshold"
        );
    }
    let reallocates = |outcome: &Outcome| matches!(outcome, Outcome::PolicyAdopted { reallocated, .. } if !reallocated.is_empty());
    assert!(entries.iter().any(|entry| reallocates(&entry.outcome)), "no cell gets a new limit");
}

// === writing it ===

/// How many entries share a frame: one, then two, then three.
const TOGETHER: [usize; 3] = [1, 2, 3];

#[test]
#[ignore = "writes the golden journal of a new format; run on purpose"]
fn write_the_journal_of_this_format() {
    let (mut frames, mut previous) = (Vec::new(), Digest::ZERO);
    let entries = story::entries();
    let mut rest = entries.as_slice();
    for together in TOGETHER.into_iter().cycle() {
        let (now, later) = rest.split_at(together.min(rest.len()));
        let Some(first) = now.first() else { break };
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for entry in now {
            payload = postcard::to_extend(entry, payload).unwrap();
            ends.push(payload.len());
        }
        let frame = Frame::seal(previous, first.sequence, payload, &ends);
        previous = frame.hash;
        frames.push(Ok(frame));
        rest = later;
    }
    let wanted = Wanted {
        written_by: "genops-ledger/tests/golden".to_owned(),
        ledger: "golden".to_owned(),
        from: 1,
        through: u64::MAX,
    };
    let mut text = Vec::new();
    export::write((1, Digest::ZERO), frames, &wanted, &mut text).unwrap();
    // One that was released is never written again.
    let mut file = File::create_new(current()).unwrap();
    file.write_all(&text).unwrap();
}
