//! Parts of a journal, and what was noted of it elsewhere: each has to fit where it begins and where it ends.

use std::path::PathBuf;

use genops_core::Digest;
use genops_ledger::export;
use genops_ledger::frame::Frame;
use genops_ledger::recover;
use genops_ledger::snapshots::Snapshots;
use genops_ledger::source::{Source, Sources, open_whole};
use genops_ledger::verify::{Failure, Verified, verify};
use genops_ledger::witness::{Head, Witness};

use super::{START, exported, given, nobody, three, verify_text, wanted, write_file};

/// Where a journal begins whose first frames are these.
fn behind(frames: &[Frame]) -> (u64, Digest) {
    frames.last().map_or(START, |frame| (frame.last() + 1, frame.hash))
}

/// A witness that noted the frames of a part, which begins so.
fn part(begins: (u64, Digest), frames: &[Frame]) -> Witness {
    Witness::new(vec![], Some((Box::new(given(frames)), begins)))
}

/// What is verified, in words: where it begins, and its frames; what was noted; and whether that shows that it holds.
type Case<'a> = (&'a str, (u64, Digest), &'a [Frame], Witness, bool);

#[test]
fn a_witness_of_what_came_before_or_of_no_frame_is_compared_or_said_to_show_nothing() {
    let frames = three();
    let other = Digest::of("other", &[]);
    let one = behind(&frames[..1]);
    let two = behind(&frames[..2]);
    let noted = |sequence, hash| Witness::new(vec![Head { sequence, hash }], None);
    let cases: [Case<'_>; 16] = [
        ("the part before", two, &frames[2..], part(START, &frames[..2]), true),
        ("the part before, with an end that is another", (3, other), &[], part(START, &frames[..2]), false),
        ("a part that ends far before", two, &frames[2..], part(START, &frames[..1]), false),
        ("a part that overlaps", one, &frames[1..], part(START, &frames), true),
        ("a part that overlaps and goes on", one, &frames[1..2], part(START, &frames), false),
        ("an empty part within", START, &frames, part(one, &[]), true),
        ("an empty part within, of another journal", START, &frames, part((2, other), &[]), false),
        ("an empty part at the beginning", one, &frames[1..], part(one, &[]), true),
        ("an empty part at the beginning, of another", one, &frames[1..], part((2, other), &[]), false),
        ("an empty part far before", two, &frames[2..], part(one, &[]), false),
        ("an empty part behind the end", START, &frames[..1], part(two, &[]), false),
        ("an empty journal, which shows nothing", START, &frames, part(START, &[]), false),
        ("a head, of an empty part", two, &[], noted(2, two.1), true),
        ("a head that is another, of an empty part", two, &[], noted(2, other), false),
        ("a head far before, of an empty part", two, &[], noted(1, one.1), false),
        ("a head behind, of an empty part", two, &[], noted(3, other), false),
    ];
    for (what, begins, frames, mut witness, holds) in cases {
        let verified = verify(begins, given(frames), &mut witness);
        match verified {
            Ok(_) => assert!(holds, "{what} passes"),
            Err(failure) => {
                assert!(!holds && matches!(failure, Failure::Contradicted(_)), "{what}: {failure}");
            }
        }
    }
}

#[test]
fn a_ledger_whose_beginning_was_removed_is_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genops.db");
    write_file(&path, &three());
    let file = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(file.execute("DELETE FROM frames WHERE first = 1", []).unwrap(), 1);
    drop(file);
    for from in [1, 2, 3] {
        let source = Source::open(&path).unwrap();
        let mut text = Vec::new();
        let refused = export::write(source.begins(), source, &wanted(from, u64::MAX), &mut text).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the journal is damaged: entry 1 is missing: the next frame begins with entry 2"
        );
        assert_eq!(text, b"");
    }
}

#[test]
fn a_part_of_a_part_begins_where_that_begins() {
    let frames = three();
    let begins = behind(&frames[..1]);
    let mut text = Vec::new();
    export::write(begins, given(&frames[1..]), &wanted(1, u64::MAX), &mut text).unwrap();
    let verified = verify_text(&text, &mut nobody()).unwrap();
    assert_eq!((verified.first, verified.last), (2, 3));
    text.clear();
    export::write(begins, given(&[]), &wanted(1, u64::MAX), &mut text).unwrap();
    let verified = verify_text(&text, &mut nobody()).unwrap();
    assert_eq!((verified.first, verified.last, verified.head), (2, 1, begins.1));
}

#[test]
fn an_entry_beside_a_payload_that_reads_otherwise_to_other_readers_is_found() {
    let text = String::from_utf8(exported(&three())).unwrap();
    let entry = r#"{"sequence":2,"#;
    assert!(text.contains(entry), "{text}");
    for other in [r#"{"sequence":7,"sequence":2,"#, r#"{"sequence": 2,"#, r#"{"sequenc\u0065":2,"#] {
        let failure = verify_text(text.replacen(entry, other, 1).as_bytes(), &mut nobody()).unwrap_err();
        assert_eq!(failure.entry(), Some(2), "{other}: {failure}");
        assert!(failure.to_string().contains("is not written as an export writes it"), "{other}: {failure}");
    }
}

/// Exports of parts, in files of their own.
struct Parts(tempfile::TempDir);

impl Parts {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, begins: (u64, Digest), frames: &[Frame]) {
        let mut text = Vec::new();
        export::write(begins, given(frames), &wanted(1, u64::MAX), &mut text).unwrap();
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn verify(&self, names: &str) -> Result<Verified, Failure> {
        let paths: Vec<PathBuf> = names.split(' ').map(|name| self.0.path().join(name)).collect();
        let sources = Sources::open(&paths).unwrap();
        verify(sources.begins(), sources, &mut nobody())
    }
}

#[test]
fn every_part_has_to_begin_where_the_one_before_it_ended() {
    let (frames, parts, other) = (three(), Parts::new(), Digest::of("other", &[]));
    parts.add("one", START, &frames[..1]);
    parts.add("two", behind(&frames[..1]), &frames[1..]);
    parts.add("nothing", behind(&frames), &[]);
    parts.add("other-nothing", (4, other), &[]);
    parts.add("late-nothing", (5, frames[2].hash), &[]);
    // A part whose first line says something else than its frames.
    let two = std::fs::read_to_string(parts.0.path().join("two")).unwrap();
    let said = two.replacen(&frames[0].hash.to_string(), &other.to_string(), 1);
    std::fs::write(parts.0.path().join("said"), said).unwrap();
    let said = two.replacen("\"first\":2", "\"first\":1", 1);
    let said = said.replacen(&frames[0].hash.to_string(), &Digest::ZERO.to_string(), 1);
    std::fs::write(parts.0.path().join("first-said"), said).unwrap();

    for good in ["one two", "one two nothing", "one two nothing nothing", "nothing nothing", "two nothing"] {
        parts.verify(good).unwrap();
    }
    let bad = [
        ("two one", 4),
        ("one one", 2),
        ("one nothing", 2),
        ("one said", 2),
        ("one first-said", 2),
        ("first-said", 1),
        ("one two other-nothing", 4),
        ("one two late-nothing", 4),
        ("nothing other-nothing", 4),
        ("nothing two", 4),
    ];
    for (names, due) in bad {
        let failure = parts.verify(names).map(drop).unwrap_err();
        assert_eq!(failure.entry(), Some(due), "{names}: {failure}");
    }
}

/// A folder with the exports `one.jsonl` to `three.jsonl` of a frame each, the ledger `genops.db`, and in `rest.db` what is
/// left of it after the second frame was archived.
fn parted() -> (tempfile::TempDir, Vec<Frame>) {
    let folder = tempfile::tempdir().unwrap();
    let frames = three();
    for (name, entry) in [("one.jsonl", 1), ("two.jsonl", 2), ("three.jsonl", 3)] {
        let mut text = Vec::new();
        export::write(START, given(&frames), &wanted(entry, entry), &mut text).unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    write_file(&folder.path().join("genops.db"), &frames);
    let rest = folder.path().join("rest.db");
    write_file(&rest, &frames);
    let head = Head { sequence: 2, hash: frames[1].hash };
    crate::retention::forget(&mut Snapshots::open(&rest).unwrap(), head, "two.jsonl", None).unwrap();
    (folder, frames)
}

#[test]
fn files_that_are_one_journal_are_read_from_any_place_as_the_ledger_is() {
    let (folder, frames) = parted();
    let paths = |names: &[&str]| names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>();
    let mut ledger = open_whole(&paths(&["genops.db"])).unwrap();
    // As it is where an archive was interrupted.
    write_file(&folder.path().join("left.db"), &frames);
    let left = rusqlite::Connection::open(folder.path().join("left.db")).unwrap();
    drop(Snapshots::open(&folder.path().join("left.db")).unwrap());
    left.execute(
        "INSERT INTO archived (through, head, file, genesis) VALUES (2, ?1, 'two.jsonl', ?2)",
        [frames[1].hash.bytes(), frames[0].hash.bytes()],
    )
    .unwrap();
    for last in ["three.jsonl", "rest.db", "left.db"] {
        let mut files = open_whole(&paths(&["one.jsonl", "two.jsonl", last])).unwrap();
        assert_eq!(recover::replay(&mut *files).unwrap().head, frames[2].hash, "{last}");
        for entry in [1, 2, 3, 4, 2, 2, 1, 3, 0, 1, 4, 3] {
            assert_eq!(files.holding(entry).unwrap(), ledger.holding(entry).unwrap(), "{last}: {entry}");
        }
        let (mut all, mut at) = (Vec::new(), None);
        while let Some(frame) = files.behind(at.as_ref()).unwrap() {
            all.push(frame.clone());
            at = Some(frame);
        }
        assert_eq!(all, frames, "{last}");
    }
}

#[test]
fn files_that_are_no_whole_journal_in_their_order_say_which_and_what_to_give() {
    let (folder, frames) = parted();
    std::fs::write(folder.path().join("cut.jsonl"), &exported(&frames)[..600]).unwrap();
    std::fs::write(folder.path().join("text.db"), "neither a ledger nor an export").unwrap();
    for (names, expected) in [
        (
            "rest.db",
            "`rest.db` begins with entry 3 where entry 1 is due: give what has the entries 1 to 2 before it: `two.jsonl` (through \
             entry 2)",
        ),
        (
            "two.jsonl rest.db",
            "`two.jsonl` begins with entry 2 where entry 1 is due: give what has entry 1 before it",
        ),
        ("one.jsonl rest.db", "`rest.db` begins with entry 3 where entry 2 is due: give what has"),
        ("one.jsonl three.jsonl", "`three.jsonl` begins with entry 3 where entry 2 is due: give what has"),
        (
            "one.jsonl one.jsonl",
            "`one.jsonl` begins with entry 1 where entry 2 is due: give the files in the order",
        ),
        (
            "one.jsonl genops.db",
            "`genops.db` begins with entry 1 where entry 2 is due: give the files in the order",
        ),
        ("genops.db one.jsonl", "`one.jsonl` stands behind a ledger"),
        ("genops.db genops.db", "`genops.db` stands behind a ledger"),
        ("cut.jsonl", "`cut.jsonl`: "),
        ("one.jsonl text.db", "text.db` cannot be read"),
        ("one.jsonl absent.jsonl", "there is no ledger at "),
    ] {
        let paths: Vec<_> = names.split(' ').map(|name| folder.path().join(name)).collect();
        let told = open_whole(&paths)
            .err()
            .unwrap()
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "");
        assert!(told.contains(expected), "{names}: {told}");
        // Whoever reads them from the first on finds that something is wrong too.
        let verified = Sources::open(&paths).map(|sources| verify(START, sources, &mut nobody()));
        assert!(!matches!(verified, Ok(Ok(_))), "{names}: {verified:?}");
    }
}
