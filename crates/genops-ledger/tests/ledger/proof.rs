//! What a journal proves: whatever is changed in it, removed, put in or moved is found, and the entry named.

mod parts;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use genops_core::budget::Budget;
use genops_core::ledger::{self, Books, Command, ENGINE_VERSION, Entry, Outcome};
use genops_core::period::{Period, Span, TZDB_VERSION};
use genops_core::policy::Policy;
use genops_core::{Digest, Name, Timestamp, Unit};
use genops_ledger::export::{self, ExportError, ExportReader, Wanted};
use genops_ledger::frame::Frame;
use genops_ledger::memory::MemoryStore;
use genops_ledger::redecide::{Disagreement, redecide};
use genops_ledger::source::{Sources, open_whole};
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::{Store, StoreError};
use genops_ledger::verify::{Failure, Verified, verify};
use genops_ledger::witness::{Contradiction, Head, Witness};
use genops_ledger::{OpenError, recover};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::work::{admit, admit_and_start, budget_of, settle, wall};

// === Random journals ===

/// One step of a random journal: what is done, to which of the open AWUs, and whether it is committed after it.
type Step = (u8, Index, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..8_u8, any::<Index>(), any::<bool>()), 3..30)
}

/// The entries that the steps come to, in the batches in which they are committed.
fn batches(steps: &[Step]) -> Vec<Vec<Entry>> {
    let mut books = Books::default();
    let mut batches = vec![Vec::new()];
    for (number, (what, which, is_commit)) in (1..).zip(steps) {
        let open = books.open_awus();
        let awu = (!open.is_empty()).then(|| open[which.index(open.len())].0);
        let command = match (what, awu) {
            (0, _) => budget_of(["0.001", "0.01", "1"][which.index(3)]),
            (3, Some(awu)) => Command::Start { awu },
            (4, Some(awu)) => Command::Release { awu },
            (5, Some(awu)) => match settle(0) {
                Command::Settle { execution, .. } => Command::Settle { awu, execution },
                other => other,
            },
            (6, Some(awu)) => Command::Orphan { awu },
            (1, _) => admit(number),
            _ => admit_and_start(number),
        };
        let at = Timestamp::from_nanos(wall().nanos() + u64::from(number));
        if let Ok(entry) = ledger::apply(&mut books, at, command) {
            batches.last_mut().unwrap().push(entry);
        }
        if *is_commit {
            batches.push(Vec::new());
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// The frames of batches, chained as a ledger does it.
pub fn sealed(batches: &[Vec<Entry>]) -> Vec<Frame> {
    let mut head = Digest::ZERO;
    let mut frames = Vec::new();
    for batch in batches {
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for entry in batch {
            payload = postcard::to_extend(entry, payload).unwrap();
            ends.push(payload.len());
        }
        let frame = Frame::seal(head, batch[0].sequence, payload, &ends);
        head = frame.hash;
        frames.push(frame);
    }
    frames
}

fn journals() -> impl Strategy<Value = Vec<Frame>> {
    steps().prop_map(|steps| sealed(&batches(&steps)))
}

/// The journal with something done to its entries, and numbered, framed and chained anew, so that it fits together.
fn forged(frames: &[Frame], forge: impl FnOnce(&mut Vec<Entry>)) -> Vec<Frame> {
    let mut entries: Vec<_> = frames.iter().flat_map(|frame| frame.entries().unwrap()).collect();
    forge(&mut entries);
    let mut entries = (1..).zip(entries).map(|(sequence, entry)| Entry { sequence, ..entry });
    let mut batches: Vec<Vec<_>> =
        frames.iter().map(|frame| entries.by_ref().take(frame.count as usize).collect()).collect();
    batches.last_mut().unwrap().extend(entries);
    batches.retain(|batch| !batch.is_empty());
    sealed(&batches)
}

/// Three frames of one entry each.
fn three() -> Vec<Frame> {
    let mut books = Books::default();
    let entry = |number| ledger::apply(&mut books, wall(), admit(number)).unwrap();
    sealed(&[1, 2, 3].map(entry).map(|entry| vec![entry]))
}

fn last(frames: &[Frame]) -> u64 {
    frames.last().unwrap().last()
}

pub fn given(frames: &[Frame]) -> impl Iterator<Item = Result<Frame, StoreError>> + use<> {
    Vec::from(frames).into_iter().map(Ok)
}

// === Exports and files ===

fn wanted(from: u64, through: u64) -> Wanted {
    Wanted { written_by: "a test".into(), ledger: "genops.db".into(), from, through }
}

fn exported(frames: &[Frame]) -> Vec<u8> {
    let mut text = Vec::new();
    export::write(START, given(frames), &wanted(1, u64::MAX), &mut text).unwrap();
    text
}

fn verify_text(text: &[u8], witness: &mut Witness) -> Result<Verified, Failure> {
    let export = ExportReader::new(Box::new(Cursor::new(text.to_vec())));
    let export = export.map_err(|bad| Failure::Journal(StoreError::from(bad).into()))?;
    verify((export.header().first, export.header().previous), export, witness)
}

fn write_file(path: &Path, frames: &[Frame]) {
    let mut store = SqliteStore::open(path).unwrap();
    frames.iter().for_each(|frame| store.append(frame, &[]).unwrap());
}

fn verify_file(path: &Path, witness: &mut Witness) -> Result<Verified, Failure> {
    let sources = Sources::open(&[path.to_owned()]).map_err(|error| Failure::Journal(error.into()))?;
    verify(sources.begins(), sources, witness)
}

fn head(frames: &[Frame]) -> Witness {
    let frame = frames.last().unwrap();
    Witness::new(vec![Head { sequence: frame.last(), hash: frame.hash }], None)
}

fn whole(frames: &[Frame]) -> Witness {
    Witness::new(vec![], Some((Box::new(given(frames)), (1, Digest::ZERO))))
}

fn nobody() -> Witness {
    Witness::default()
}

// === The promises ===

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, max_shrink_iters: 256, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn an_export_says_what_the_ledger_says_from_wherever_it_begins(frames in journals(), from: Index) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genops.db");
        write_file(&path, &frames);
        let of_file = verify_file(&path, &mut whole(&frames)).unwrap();
        let of_text = verify_text(&exported(&frames), &mut head(&frames)).unwrap();
        prop_assert_eq!(of_file.books.as_ref().map(Books::sequence), Some(last(&frames)));
        prop_assert_eq!((of_file.books, of_file.head), (of_text.books, of_text.head));

        let from = from.index(last(&frames) as usize) as u64 + 1;
        let mut part = Vec::new();
        let end = export::write(START, given(&frames), &wanted(from, from), &mut part).unwrap();
        prop_assert_eq!(end.frames, 1, "one frame holds it");
        let reader = ExportReader::new(Box::new(Cursor::new(part.clone()))).unwrap();
        let frame = frames.iter().find(|frame| frame.last() >= from).unwrap();
        prop_assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), std::slice::from_ref(frame));
        let verified = verify_text(&part, &mut Witness::new(vec![], None)).unwrap();
        prop_assert_eq!((verified.first, verified.books.is_some()), (frame.first, frame.first == 1));
    }

    #[test]
    fn every_changed_byte_of_an_export_is_found_and_its_entry_named(
        frames in journals(), changes in prop::collection::vec((any::<Index>(), 1..=255_u8), 64),
    ) {
        let good = exported(&frames);
        let header_ends = good.iter().position(|byte| *byte == b'\n').unwrap();
        let described = good.windows(8).position(|window| window == b"\"first\":").unwrap();
        for (place, mask) in changes {
            let place = place.index(good.len());
            let mut text = good.clone();
            text[place] ^= mask;
            // Words for people prove nothing, and a digest in capitals is the same one.
            if place < described || text[place].eq_ignore_ascii_case(&good[place]) {
                continue;
            }
            let failure = verify_text(&text, &mut nobody()).err();
            let Some(failure) = failure else { panic!("byte {place} ^ {mask} is not noticed") };
            let line = good[..place].iter().filter(|byte| **byte == b'\n').count();
            if let Some(frame) = frames.get(line.wrapping_sub(1)).filter(|_| place > header_ends) {
                let named = failure.entry().unwrap();
                prop_assert!((frame.first..=frame.last() + 1).contains(&named), "{named}: {failure}");
            }
        }
    }

    #[test]
    fn lines_of_an_export_that_are_removed_repeated_or_moved_are_found(frames in journals(), place: Index, to: Index) {
        let good = exported(&frames);
        let good: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        let (place, to) = (place.index(frames.len()) + 1, to.index(frames.len()) + 1);
        let mut removed = good.clone();
        removed.remove(place);
        let failure = verify_text(&removed.concat(), &mut nobody()).unwrap_err();
        prop_assert_eq!(failure.entry(), Some(frames[place - 1].first), "{}", failure);

        let mut repeated = good.clone();
        repeated.insert(to, good[place]);
        let failure = verify_text(&repeated.concat(), &mut nobody()).unwrap_err();
        let due = if place == to { frames[to - 1].last() + 1 } else { frames[to - 1].first };
        prop_assert_eq!(failure.entry(), Some(due), "{}", failure);

        if place != to {
            let mut moved = good.clone();
            moved.swap(place, to);
            let failure = verify_text(&moved.concat(), &mut nobody()).unwrap_err();
            prop_assert_eq!(failure.entry(), Some(frames[place.min(to) - 1].first), "{}", failure);
        }

        let mut cut = good;
        cut.truncate(place);
        let failure = verify_text(&cut.concat(), &mut nobody()).unwrap_err();
        prop_assert_eq!(failure.entry(), Some(frames[place - 1].first), "{}", failure);
    }

    #[test]
    fn whatever_is_done_to_the_rows_of_a_ledger_is_found_and_the_entry_named(frames in journals(), place: Index, byte: Index) {
        let frame = &frames[place.index(frames.len())];
        let first = frame.first;
        let far = last(&frames) + 9;
        let byte_of = |length: usize| byte.index(length) + 1;
        let changed = |column: &str, length: usize| {
            let byte = byte_of(length);
            format!(
                "UPDATE frames SET {column} = CAST(substr({column}, 1, {}) || CASE substr({column}, {byte}, 1) \
                 WHEN x'00' THEN x'01' ELSE x'00' END || substr({column}, {}) AS BLOB) \
                 WHERE first = {first}",
                byte - 1, byte + 1
            )
        };
        let damages = [
            changed("payload", frame.payload.len()),
            changed("previous", 32),
            changed("hash", 32),
            format!("UPDATE frames SET hash = x'00' WHERE first = {first}"),
            format!("UPDATE frames SET count = count + 1 WHERE first = {first}"),
            format!("UPDATE frames SET count = -1 WHERE first = {first}"),
            format!("UPDATE frames SET engine = engine + 1 WHERE first = {first}"),
            format!("UPDATE frames SET format = format + 1 WHERE first = {first}"),
            format!("UPDATE frames SET first = {far} WHERE first = {first}"),
            format!("UPDATE frames SET first = -first WHERE first = {first}"),
            format!("INSERT INTO frames SELECT {far}, count, format, engine, previous, hash, payload FROM frames WHERE first = {first}"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let (whole, path) = (folder.path().join("whole.db"), folder.path().join("genops.db"));
        write_file(&whole, &frames);
        for damage in damages {
            std::fs::copy(&whole, &path).unwrap();
            let file = rusqlite::Connection::open(&path).unwrap();
            prop_assert_eq!(file.execute(&damage, []).unwrap(), 1);
            drop(file);
            let failure = verify_file(&path, &mut nobody()).err();
            let Some(failure) = failure else { panic!("{damage} is not noticed") };
            let told = failure.to_string();
            let named = failure.entry();
            // A row that is moved in front of all others stands where the first is due.
            let due = if damage.contains("-first") { 1 } else if damage.contains("INSERT") { last(&frames) + 1 } else { first };
            prop_assert!(named == Some(due) || told.contains(&format!("the frame at entry {due} ")), "{damage}: {told}");
        }
    }

    #[test]
    fn a_frame_that_is_put_between_the_entries_of_another_is_seen(steps in steps()) {
        let all = batches(&steps).concat();
        prop_assume!(all.len() > 1);
        let frames = sealed(&[all]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genops.db");
        write_file(&path, &frames);
        let file = rusqlite::Connection::open(&path).unwrap();
        let insert = "INSERT INTO frames SELECT 2, count, format, engine, previous, hash, payload FROM frames";
        prop_assert_eq!(file.execute(insert, []).unwrap(), 1);
        drop(file);
        let failure = verify_file(&path, &mut nobody()).unwrap_err();
        prop_assert_eq!(failure.entry(), Some(last(&frames) + 1), "{}", failure);
    }

    #[test]
    fn a_changed_byte_of_a_ledger_file_is_found_or_changes_nothing(
        frames in journals(), changes in prop::collection::vec((any::<Index>(), 1..=255_u8), 16),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genops.db");
        write_file(&path, &frames);
        let file = rusqlite::Connection::open(&path).unwrap();
        file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;").unwrap();
        drop(file);
        let good = std::fs::read(&path).unwrap();
        for (place, mask) in changes {
            let mut bytes = good.clone();
            let place = place.index(bytes.len());
            bytes[place] ^= mask;
            std::fs::write(&path, bytes).unwrap();
            if let Ok(verified) = verify_file(&path, &mut head(&frames)) {
                prop_assert_eq!(verified.head, frames.last().unwrap().hash);
                prop_assert_eq!(verified.last, last(&frames));
            }
        }
    }

    #[test]
    fn a_forged_outcome_in_a_chain_made_anew_is_seen_by_replay_and_by_every_witness(frames in journals(), which: Index) {
        let is_settlement = |entry: &Entry| matches!(entry.outcome, Outcome::Settled(_));
        let entries = frames.iter().flat_map(|frame| frame.entries().unwrap());
        let settlements: Vec<_> = entries.filter(is_settlement).map(|entry| entry.sequence).collect();
        prop_assume!(!settlements.is_empty());
        let sequence = settlements[which.index(settlements.len())];
        let forged = forged(&frames, |entries| {
            if let Outcome::Settled(settled) = &mut entries[sequence as usize - 1].outcome {
                settled.incomplete ^= true;
            }
        });
        verify(START, given(&forged), &mut nobody()).unwrap();
        match redecide(given(&forged)).unwrap_err() {
            Disagreement::Differs { sequence: named, difference } => {
                prop_assert_eq!(named, sequence);
                prop_assert_eq!(difference.place, "/Settled/incomplete");
            }
            other => panic!("{other}"),
        }
        let by_head = verify(START, given(&forged), &mut head(&frames)).unwrap_err();
        prop_assert!(matches!(by_head, Failure::Contradicted(Contradiction::Head { .. })), "{}", by_head);
        let by_export = verify(START, given(&forged), &mut whole(&frames)).unwrap_err();
        prop_assert!(matches!(by_export, Failure::Contradicted(Contradiction::Changed { .. })), "{}", by_export);
        prop_assert_eq!(by_export.entry(), Some(sequence));
    }

    #[test]
    fn entries_that_are_removed_or_put_in_and_chained_anew_are_named_by_an_export(frames in journals(), place: Index) {
        let place = place.index(last(&frames) as usize);
        let sequence = place as u64 + 1;
        let removed = forged(&frames, |entries| drop(entries.remove(place)));
        prop_assume!(!removed.is_empty());
        let failure = verify(START, given(&removed), &mut whole(&frames)).unwrap_err();
        prop_assert_eq!(failure.entry(), Some(sequence), "{}", failure);
        let put_in = forged(&frames, |entries| {
            let at = entries[place].at;
            let mut books = Books::default();
            let entry = ledger::apply(&mut books, at, admit(u32::MAX)).unwrap();
            entries.insert(place, entry);
        });
        let failure = verify(START, given(&put_in), &mut whole(&frames)).unwrap_err();
        prop_assert_eq!(failure.entry(), Some(sequence), "{}", failure);
        prop_assert!(matches!(failure, Failure::Contradicted(Contradiction::Inserted { .. })), "{}", failure);
    }

    #[test]
    fn an_end_that_was_cut_off_is_named_by_every_witness_and_what_came_later_is_not_held_against_it(
        frames in journals(), place: Index,
    ) {
        let keep = place.index(frames.len());
        let (kept, missing) = frames.split_at(keep);
        let due = missing[0].first;
        for mut witness in [head(&frames), whole(&frames)] {
            let failure = verify(START, given(kept), &mut witness).unwrap_err();
            prop_assert!(matches!(failure, Failure::Contradicted(Contradiction::CutOff { .. })), "{}", failure);
            prop_assert_eq!(failure.entry(), Some(due));
        }
        if !kept.is_empty() {
            for mut witness in [head(kept), whole(kept)] {
                prop_assert_eq!(verify(START, given(&frames), &mut witness).unwrap().last, last(&frames));
            }
        }
    }

    #[test]
    fn what_was_decided_is_decided_so_again_and_rules_that_never_were_do_not_get_around_that(
        frames in journals(), which: Index, engine: u16,
    ) {
        let redecided = redecide(given(&frames)).unwrap();
        prop_assert_eq!((redecided.decided, redecided.evolved), (last(&frames), 0));
        prop_assume!(engine != ENGINE_VERSION);
        let place = which.index(frames.len());
        for engine in [engine, 0, ENGINE_VERSION - 1, ENGINE_VERSION + 1] {
            let mut frames = frames.clone();
            frames[place].engine = engine;
            rechain(&mut frames);
            verify(START, given(&frames), &mut nobody()).unwrap();
            let failure = redecide(given(&frames)).unwrap_err();
            let sequence = frames[place].first;
            let due = if engine > ENGINE_VERSION {
                Disagreement::Newer { sequence, engine }
            } else {
                Disagreement::Engine { sequence, engine }
            };
            prop_assert_eq!(failure, due);
        }
    }
}

/// What newer rules decided holds; it is said that they did, and nothing is decided on top of it.
#[tokio::test]
async fn a_ledger_of_newer_rules_is_verified_and_not_opened() {
    let mut books = Books::default();
    let entry = |number| vec![ledger::apply(&mut books, wall(), admit(number)).unwrap()];
    let mut frames = sealed(&[1, 2, 3].map(entry));
    assert_eq!(verify(START, given(&frames), &mut nobody()).unwrap().newer, 0);
    frames[1].engine = ENGINE_VERSION + 1;
    rechain(&mut frames);
    let verified = verify(START, given(&frames), &mut nobody()).unwrap();
    assert_eq!((verified.last, verified.newer), (3, 1));
    assert!(verified.books.is_some());
    let mut store = MemoryStore::default();
    frames.iter().for_each(|frame| store.append(frame, &[]).unwrap());
    let refused = recover::open(store.clone(), wall()).await.unwrap_err();
    assert_eq!(refused, OpenError::NewerRules { sequence: 3, engine: ENGINE_VERSION + 1 });
    let told = refused.to_string();
    assert!(told.ends_with("open it with the version that wrote it, or a later one"), "{told}");
    store.with_frames(|kept| assert_eq!(kept, &frames, "nothing was written"));
}

/// A policy that counts a day by Berlin's clocks, as they are by this edition.
fn policy(edition: &str, zone: &str) -> Arc<Policy> {
    let period = Period::Calendar { span: Span::Day, zone: Name::new(zone).unwrap() };
    let budget = Budget::new(Name::new("day").unwrap(), Unit::Usd, "1".parse().unwrap());
    let zone_rules = Name::new(edition).unwrap();
    Arc::new(Policy { zone_rules, budgets: vec![Budget { period, ..budget }], ..Policy::unrestricted() })
}

/// A journal of one admission, in the window that the clocks of `there` say, under a policy that says another zone.
fn decided_by_other_clocks(edition: &str, zone: &str, there: &str) -> Vec<Frame> {
    let mut books = Books::default();
    let said = policy(edition, there);
    let adopted = ledger::apply(&mut books, wall(), Command::AdoptPolicy(Arc::clone(&said))).unwrap();
    let mut admitted = ledger::apply(&mut books, wall(), admit_and_start(1)).unwrap();
    // What the ruling says of its policy.
    let (old, new) = (said.version(), policy(edition, zone).version());
    let text = serde_json::to_string(&admitted.outcome).unwrap();
    let [old, new] = [old, new].map(|version| serde_json::to_string(&version).unwrap());
    assert!(text.contains(&old));
    admitted.outcome = serde_json::from_str(&text.replace(&old, &new)).unwrap();
    let command = Command::AdoptPolicy(policy(edition, zone));
    let outcome = Outcome::PolicyAdopted {
        version: policy(edition, zone).version(),
        reallocated: Vec::new(),
        alerts: Vec::new(),
    };
    sealed(&[vec![Entry { command, outcome, ..adopted }, admitted]])
}

#[test]
fn what_differs_by_another_edition_of_time_zones_is_not_judged_and_everything_else_is() {
    let judged = |edition: &str, zone: &str, there: &str| {
        redecide(given(&decided_by_other_clocks(edition, zone, there)))
    };
    let same = judged("1999z", "Europe/Berlin", "Europe/Berlin").unwrap();
    assert_eq!((same.decided, same.unjudged), (2, 0), "the clocks were the same then");
    let other = judged("1999z", "Europe/Berlin", "Asia/Tokyo").unwrap();
    assert_eq!((other.decided, other.unjudged), (1, 1));
    assert_eq!(other.editions, [Name::new("1999z").unwrap()].into());
    let forged = |edition: &str, zone: &str| judged(edition, zone, "Asia/Tokyo").unwrap_err();
    assert!(matches!(forged(TZDB_VERSION, "Europe/Berlin"), Disagreement::Differs { sequence: 2, .. }));
    assert!(matches!(forged("1999z", "UTC"), Disagreement::Differs { sequence: 2, .. }));
}

pub const START: (u64, Digest) = (1, Digest::ZERO);

/// Makes the chain anew, over what the frames are now.
fn rechain(frames: &mut [Frame]) {
    let mut head = Digest::ZERO;
    for frame in frames {
        frame.previous = head;
        frame.hash = hash(frame);
        head = frame.hash;
    }
}

/// As `docs/journal.md` says.
fn hash(frame: &Frame) -> Digest {
    let mut digests = Vec::new();
    frame.walk(|_, bytes| digests.push(bytes)).unwrap();
    hash_of(frame, &digests)
}

fn hash_of(frame: &Frame, entries: &[&[u8]]) -> Digest {
    let mut bytes = frame.previous.bytes().to_vec();
    bytes.extend(frame.first.to_be_bytes());
    bytes.extend(frame.count.to_be_bytes());
    bytes.extend(frame.format.to_be_bytes());
    bytes.extend(frame.engine.to_be_bytes());
    entries.iter().for_each(|entry| bytes.extend(Digest::of("genops entry 1", &[entry]).bytes()));
    Digest::of("genops frame 2", &[&bytes])
}

/// Worked out by hand, with another program, from `docs/journal.md`.
#[test]
fn the_hash_of_a_frame_is_the_one_that_is_documented() {
    let frame = Frame {
        first: 7,
        count: 2,
        format: 5,
        engine: 5,
        previous: Digest::from_bytes([0xab; 32]),
        hash: Digest::ZERO,
        payload: b"onetwo".to_vec(),
    };
    let hash = hash_of(&frame, &[b"one", b"two"]);
    let documented = include_str!("../../../../docs/journal.md");
    assert!(documented.contains(&hash.to_string()), "{hash}");
}

#[test]
fn what_stands_beside_a_payload_has_to_be_what_it_says() {
    let mut books = Books::default();
    let commands = [budget_of("1"), admit_and_start(1), settle(1)];
    let entries = commands.map(|command| ledger::apply(&mut books, wall(), command).unwrap());
    let text = String::from_utf8(exported(&sealed(&[entries.to_vec()]))).unwrap();
    assert!(text.contains("\"incomplete\":false") && text.contains("\"limit\":\"1\""), "{text}");
    let changed = text.replacen("\"incomplete\":false", "\"incomplete\":true", 1);
    let failure = verify_text(changed.as_bytes(), &mut nobody()).unwrap_err();
    assert_eq!(failure.entry(), Some(3));
    assert_eq!(
        failure.to_string(),
        "line 2 of the export, at entry 3: what is written beside the payload is something else: \
         /outcome/Settled/incomplete is true, not false"
    );
}

#[test]
fn a_part_that_is_not_there_is_not_exported_and_an_empty_journal_is() {
    let mut text = Vec::new();
    let frames = three();
    let refused = export::write(START, given(&[]), &wanted(2, 3), &mut text);
    assert!(matches!(refused, Err(ExportError::Beyond { last: 0, from: 2 })), "{refused:?}");
    let refused = export::write(START, given(&frames), &wanted(4, 9), &mut text);
    assert!(matches!(refused, Err(ExportError::Beyond { last: 3, from: 4 })), "{refused:?}");
    let refused = export::write(START, given(&frames), &wanted(3, 2), &mut text);
    assert!(matches!(refused, Err(ExportError::Backwards { from: 3, through: 2 })), "{refused:?}");
    assert_eq!(text, b"", "nothing is written of what is refused");
    export::write(START, given(&[]), &wanted(1, u64::MAX), &mut text).unwrap();
    let verified = verify_text(&text, &mut nobody()).unwrap();
    assert_eq!((verified.last, verified.frames, verified.head), (0, 0, Digest::ZERO));
}

#[test]
fn a_witness_that_is_damaged_itself_is_said_so() {
    let frames = three();
    let mut damaged = frames.clone();
    damaged[1].payload[0] ^= 1;
    let failure = verify(START, given(&frames), &mut whole(&damaged)).unwrap_err();
    assert!(matches!(failure, Failure::Witness(_)), "{failure}");
}

#[test]
fn an_export_is_read_from_any_place_as_its_ledger_is() {
    let folder = tempfile::tempdir().unwrap();
    let [ledger, text] = ["genops.db", "journal.jsonl"].map(|name| folder.path().join(name));
    let frames = three();
    write_file(&ledger, &frames);
    std::fs::write(&text, exported(&frames)).unwrap();
    let [mut ledger, mut export] = [ledger, text].map(|path| open_whole(&[path]).unwrap());
    assert_eq!(recover::replay(&mut *export).unwrap().head, recover::replay(&mut *ledger).unwrap().head);
    // On and back, the same again, and beyond the end.
    for entry in [1, 2, 3, 4, 2, 2, 1, 3, 0, 1, 4, 3] {
        assert_eq!(export.holding(entry).unwrap(), ledger.holding(entry).unwrap(), "{entry}");
    }
}

#[test]
fn an_export_that_is_no_whole_journal_is_not_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let frames = three();
    let mut part = Vec::new();
    export::write(START, given(&frames), &wanted(2, 3), &mut part).unwrap();
    let whole = String::from_utf8(exported(&frames)).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let without = |line: usize| {
        let others = lines.iter().enumerate().filter(|(number, _)| *number != line);
        others.map(|(_, line)| format!("{line}\n")).collect::<String>().into_bytes()
    };
    for (text, expected) in [
        (part, "begins with entry 2"),
        (without(2), "entry 2 is due here"),
        (without(4), "cut off"),
        (whole.replacen("\"count\":1", "\"count\":0", 1).into_bytes(), "entry 1 is due here"),
    ] {
        std::fs::write(&path, text).unwrap();
        let told = open_whole(std::slice::from_ref(&path)).err().unwrap().to_string();
        assert!(told.contains(expected), "{told}");
    }
    for refused in [SqliteStore::read(&path).err(), SqliteStore::open(&path).err()] {
        assert!(matches!(refused, Some(StoreError::Exported { .. })), "{refused:?}");
    }
}
