//! `genops export`, `verify` and `replay`, as somebody runs them who was given files.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use genops::core::awu::{AwuId, Execution, Proposal};
use genops::core::budget::Budget;
use genops::core::ledger::{self, Admit, Books, Entry, Outcome};
use genops::core::period::{Period, Span};
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Amount, Attribution, Digest, Name, Timestamp, Unit};
use genops::ledger::retention::{Through, retire};
use genops_ledger::frame::Frame;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::Store;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a ledger of four entries in two frames, `genops.db`.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("genops.db", &entries());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, entries: &[Entry]) {
        let mut store = SqliteStore::open(&self.path(name)).unwrap();
        let mut head = Digest::ZERO;
        for batch in entries.chunks(2) {
            let (mut payload, mut ends) = (Vec::new(), Vec::new());
            for entry in batch {
                payload = postcard::to_extend(entry, payload).unwrap();
                ends.push(payload.len());
            }
            let frame = Frame::seal(head, batch.first().unwrap().sequence, payload, &ends);
            store.append(&frame, &[]).unwrap();
            head = frame.hash;
        }
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
        command.current_dir(self.0.path()).args(arguments.split(' ')).output().unwrap()
    }

    fn text(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{arguments} --format json"))).unwrap()
    }

    /// The exit code, and what is complained about.
    fn complaint(&self, arguments: &str) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn entries() -> Vec<Entry> {
    entries_upon(Books::default(), 1)
}

/// Two calls with so many nanoseconds between them.
fn entries_upon(mut books: Books, apart: u64) -> Vec<Entry> {
    let attribution = Attribution::new(Some("search"), Some("index"), Some("test")).unwrap();
    let mut entries = Vec::new();
    for number in 1..=2 {
        let proposal = Proposal {
            bound: Tokens::new(10, 10),
            price: Some(Price::flat(name("row"), Amount::from_whole(1), Amount::from_whole(2))),
            ..Proposal::new(
                attribution.clone(),
                name("chat"),
                name("inference"),
                name("provider"),
                name("model"),
            )
        };
        let awu = AwuId { trace_id: [number; 16], span_id: [7; 8] };
        let admit = Admit { starts: true, ..Admit::new(awu, proposal) };
        let at = Timestamp::from_nanos(1_795_000_000_000_000_000 + u64::from(number) * apart);
        let settle = ledger::Command::Settle { awu, execution: Execution::abandoned(1) };
        for command in [ledger::Command::Admit(admit.into()), settle] {
            entries.push(ledger::apply(&mut books, at, command).unwrap());
        }
    }
    entries
}

#[test]
fn an_export_is_verified_and_replayed_where_there_is_no_ledger() {
    let folder = Folder::new();
    let told = folder.text("export --to journal.jsonl");
    assert!(told.starts_with("journal.jsonl has the journal through entry 4\n"), "{told}");
    assert_eq!(folder.text("export"), std::fs::read_to_string(folder.path("journal.jsonl")).unwrap());
    let of_ledger = folder.json("verify");
    std::fs::remove_file(folder.path("genops.db")).unwrap();
    let of_export = folder.json("verify --ledger journal.jsonl");
    assert_eq!(of_ledger, of_export);
    assert_eq!((&of_export["holds"], &of_export["entries"]), (&true.into(), &4.into()));
    let head = format!("4:{}", of_export["head"].as_str().unwrap());
    folder.text(&format!("verify --ledger journal.jsonl --head {head}"));
    let replayed = folder.json("replay --ledger journal.jsonl");
    assert_eq!((&replayed["decided"], &replayed["evolved"]), (&4.into(), &0.into()));
    let (code, told) = folder.complaint("export --ledger journal.jsonl --to journal.jsonl");
    assert_eq!(code, 1, "what is there is not written over: {told}");
}

#[test]
fn what_takes_no_export_says_that_it_is_one_and_what_does_take_it() {
    let folder = Folder::new();
    folder.text("export --to journal.jsonl");
    for arguments in
        ["awus".to_owned(), "budgets".to_owned(), "estimates".to_owned(), "telemetry status".to_owned()]
    {
        folder.text(&arguments);
        let (_, told) = folder.complaint(&format!("{arguments} --ledger journal.jsonl"));
        let expected = "`journal.jsonl` is an export of a journal, and not a ledger; `genops verify`, `replay`, `audit`, \
                        `export`, `show`, `explain` and `receipt` take exports";
        assert!(told.contains(expected), "{arguments}: {told}");
    }
    let (code, told) = folder.complaint("audit --ledger journal.jsonl --usage absent.csv");
    assert!(code == 2 && told.contains("cannot read `absent.csv`"), "{told}");
    let awu = format!("{}-{}", "01".repeat(16), "07".repeat(8));
    folder.text("keys new --signing --out signing.key");
    for command in ["show", "explain", "receipt"] {
        let key = if command == "receipt" { " --signing-key signing.key" } else { "" };
        let [of_ledger, of_export] = ["genops.db", "journal.jsonl"]
            .map(|file| folder.text(&format!("{command} {awu}{key} --ledger {file}")));
        let (same, end) = of_export.split_at(of_ledger.len());
        assert_eq!(same, of_ledger);
        assert_eq!(end.contains("as of entry 4, the last one there"), command != "receipt", "{end}");
    }
    // A program reads the same JSON of both, and people are told of the end beside it.
    for command in ["show", "explain"] {
        let [of_ledger, of_export] = ["genops.db", "journal.jsonl"]
            .map(|file| folder.run(&format!("{command} {awu} --format json --ledger {file}")));
        assert_eq!(of_ledger.stdout, of_export.stdout);
        let told = [of_ledger, of_export].map(|output| String::from_utf8(output.stderr).unwrap());
        assert!(
            told[0].is_empty() && told[1].starts_with("genops: as of entry 4, the last one there"),
            "{told:?}"
        );
    }
}

#[test]
fn parts_are_one_journal_and_a_part_says_that_it_is_one() {
    let folder = Folder::new();
    folder.text("export --through 2 --to one.jsonl");
    folder.text("export --from 3 --to two.jsonl");
    assert_eq!(folder.json("verify --ledger one.jsonl two.jsonl"), folder.json("verify"));
    folder.text("replay --ledger one.jsonl two.jsonl");
    let part = folder.text("verify --ledger two.jsonl");
    assert!(part.contains("invariants  not checked"), "{part}");
    let (code, told) = folder.complaint("replay --ledger two.jsonl");
    assert_eq!(code, 2, "{told}");
    let (code, told) = folder.complaint("verify --ledger two.jsonl one.jsonl");
    assert!(code == 1 && told.contains("`one.jsonl` begins with entry 1 where entry 5 is due"), "{told}");
}

#[test]
fn a_ledger_that_was_written_anew_holds_until_it_is_replayed_or_compared() {
    let folder = Folder::new();
    folder.text("export --to then.jsonl");
    let head = folder.json("verify")["head"].as_str().unwrap().to_owned();
    let mut entries = entries();
    let forged = entries.get_mut(1).unwrap();
    assert!(matches!(forged.outcome, Outcome::Settled(_)));
    if let Outcome::Settled(settled) = &mut forged.outcome {
        settled.incomplete = false;
    }
    folder.write("forged.db", &entries);
    folder.text("verify --ledger forged.db");
    let cases = [
        (
            "replay --ledger forged.db".to_owned(),
            "entry 2 is decided otherwise by these rules: in its outcome, /Settled/incomplete is false, not true",
        ),
        (format!("verify --ledger forged.db --head 4:{head}"), "entry 4 has the chain hash "),
        (
            "verify --ledger forged.db --head-file then.jsonl".to_owned(),
            "entry 2 has been changed: /outcome/Settled/incomplete is false, not true",
        ),
    ];
    for (arguments, expected) in cases {
        let (code, told) = folder.complaint(&arguments);
        assert!(code == 1 && told.contains(expected), "{arguments}: {told}");
        let output = folder.run(&format!("{arguments} --format json"));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["holds"], false, "{arguments}");
        assert!(told["what"].as_str().unwrap().contains(expected), "{arguments}: {told}");
    }
}

#[test]
fn old_entries_leave_for_an_archive_and_both_are_verified_together() {
    let folder = Folder::new();
    let (code, told) = folder.complaint("archive --through 2");
    assert_eq!(code, 2, "{told}");
    let (code, told) = folder.complaint("archive --through 9 --to a.jsonl");
    assert!(code == 1 && told.contains("9"), "{told}");
    folder.text("keys new --signing --out signing.key");
    let asked = |command: &str, number: u8, files: &str| {
        let key = if command == "receipt" { " --signing-key signing.key" } else { "" };
        let awu = format!("{}-{}", format!("{number:02}").repeat(16), "07".repeat(8));
        format!("{command} {awu}{key} --ledger {files}")
    };
    let before: BTreeMap<_, _> = ["show", "explain", "receipt"]
        .map(|command| (command, [1, 2].map(|number| folder.text(&asked(command, number, "genops.db")))))
        .into();
    let told = folder.text("archive --through 2 --to a.jsonl");
    assert!(told.starts_with("a.jsonl has the entries through 2, and genops.db no more\n"), "{told}");
    let both = folder.json("verify --ledger a.jsonl genops.db");
    assert_eq!((&both["first"], &both["entries"], both["cells"].is_null()), (&1.into(), &4.into(), false));
    let rest = folder.json("verify --ledger genops.db");
    assert_eq!((&rest["first"], &rest["entries"], rest["cells"].is_null()), (&3.into(), &2.into(), true));
    let (code, told) = folder.complaint("replay --ledger genops.db");
    assert!(code == 2 && told.contains("begins with entry 3"), "{told}");
    assert_eq!(folder.json("awus --ledger genops.db")["archived"], 2);
    for command in ["show", "explain", "receipt"] {
        let (code, told) = folder.complaint(&asked(command, 1, "genops.db"));
        assert!(
            code == 1 && told.contains("`--ledger ARCHIVE... LEDGER`: `a.jsonl` (through entry 2)"),
            "{told}"
        );
        folder.text(&asked(command, 2, "genops.db"));
        for (number, before) in [1, 2].into_iter().zip(&before[command]) {
            assert_eq!(&folder.text(&asked(command, number, "a.jsonl genops.db")), before, "{command}");
        }
        for (files, expected) in [
            ("a.jsonl", "is in what was given, which goes through entry 2; what was decided after"),
            ("genops.db a.jsonl", "`a.jsonl` begins with entry 1 where entry 5 is due"),
            ("a.jsonl a.jsonl genops.db", "`a.jsonl` begins with entry 1 where entry 3 is due"),
            ("signing.key genops.db", "signing.key` cannot be read"),
        ] {
            let (code, told) = folder.complaint(&asked(command, 2, files));
            assert!(code == 1 && told.contains(expected), "{command} {files}: {told}");
        }
    }
    let text = folder.text("archive --restore a.jsonl");
    assert!(text.contains("a snapshot of its books after entry 4"), "{text}");
}

#[test]
fn cells_of_periods_that_are_over_leave_with_their_entries_also_where_that_was_interrupted() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let daily = Budget {
        period: Period::Calendar { span: Span::Day, zone: name("UTC") },
        ..Budget::new(name("day"), Unit::Usd, Amount::from_whole(1))
    };
    let policy = Policy { budgets: vec![daily], ..Policy::unrestricted() };
    let mut books = Books::default();
    let adopt = |books: &mut Books| {
        let at = Timestamp::from_nanos(1_795_000_000_000_000_000);
        ledger::apply(books, at, ledger::Command::AdoptPolicy(policy.clone().into())).unwrap()
    };
    let mut entries = vec![adopt(&mut books), adopt(&mut books)];
    entries.extend(entries_upon(books, 86_400_000_000_000));
    folder.write("genops.db", &entries);
    // The entries of the first day have left, and then it was interrupted.
    retire(&folder.path("genops.db"), Through::Entry(4), "a test".into(), &folder.path("a.jsonl")).unwrap();
    // It goes on, and no script takes it for done: the file that it was to write is not there.
    let output = folder.run("archive --through 4 --to b.jsonl --author ops");
    let told = [&output.stdout, &output.stderr].map(|told| String::from_utf8(told.clone()).unwrap());
    assert_eq!(told[0], "  cells   1 that are over left the books\n");
    assert!(told[1].contains("no archive was written: the entries through 4 have left already"), "{told:?}");
    assert_eq!((output.status.code(), folder.path("b.jsonl").exists()), (Some(1), false));
    for again in ["--through 4", "--before 2026-11-19T00:00:00Z"] {
        let (code, told) = folder.complaint(&format!("archive {again} --to a.jsonl"));
        assert!(code == 1 && told.contains("left already"), "{told}");
    }
    let both = folder.json("verify --ledger a.jsonl genops.db");
    assert_eq!((&both["entries"], &both["cells"]), (&7.into(), &1.into()));
    assert_eq!(folder.json("replay --ledger a.jsonl genops.db")["decided"], 7);
    let journal = folder.text("export");
    assert!(
        journal.contains("\"author\":\"ops\",\"reason\":\"the entries through 4 are archived\""),
        "{journal}"
    );
}

#[test]
fn what_cannot_be_read_is_no_journal_that_does_not_hold() {
    let folder = Folder::new();
    folder.text("export --to good.jsonl");
    std::fs::write(folder.path("text.db"), "this is neither a ledger nor an export").unwrap();
    std::fs::create_dir(folder.path("folder")).unwrap();
    let header =
        std::fs::read_to_string(folder.path("good.jsonl")).unwrap().replacen("\"first\":1", "\"first\":0", 1);
    std::fs::write(folder.path("damaged.jsonl"), header).unwrap();
    folder.text("export --from 3 --to two.jsonl");
    let cases = [
        ("verify --ledger nowhere.db", 2),
        ("verify --ledger text.db", 2),
        ("verify --ledger folder", 2),
        ("verify --ledger good.jsonl nowhere.jsonl", 2),
        ("verify --head-file nowhere.jsonl", 2),
        ("verify --head-file folder", 2),
        ("replay --ledger nowhere.db", 2),
        ("replay --ledger text.db", 2),
        ("replay --ledger folder", 2),
        ("replay --ledger two.jsonl", 2),
        ("verify --ledger damaged.jsonl", 1),
        ("replay --ledger damaged.jsonl", 1),
        ("verify --head-file damaged.jsonl", 1),
    ];
    for (arguments, code) in cases {
        let (found, complaint) = folder.complaint(arguments);
        assert_eq!(found, code, "{arguments}: {complaint}");
        let output = folder.run(&format!("{arguments} --format json"));
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let holds = if code == 2 { Value::Null } else { false.into() };
        assert_eq!(told["holds"], holds, "{arguments}: {told}");
        assert!(complaint.contains(told["what"].as_str().unwrap()), "{arguments}: {told}");
    }
}

#[test]
fn a_witness_from_before_a_part_is_compared_with_its_beginning() {
    let folder = Folder::new();
    folder.text("export --through 2 --to one.jsonl");
    folder.text("export --from 3 --to two.jsonl");
    folder.text("verify --ledger two.jsonl --head-file one.jsonl");
    let mut entries = entries();
    entries.get_mut(0).unwrap().at = Timestamp::from_nanos(1);
    folder.write("other.db", &entries);
    folder.text("export --ledger other.db --through 2 --to other.jsonl");
    let (code, told) = folder.complaint("verify --ledger two.jsonl --head-file other.jsonl");
    assert!(code == 1 && told.contains("entry 2 has the chain hash "), "{told}");
}

#[test]
fn entries_that_are_not_there_are_not_exported() {
    let folder = Folder::new();
    let cases = [
        ("export --from 3 --through 2", "entry 2 to end with comes before entry 3 to begin with"),
        ("export --from 9 --through 5", "entry 5 to end with comes before entry 9 to begin with"),
        ("export --from 5", "the journal ends with entry 4; there is no entry 5 to begin with"),
        ("export --from 9", "the journal ends with entry 4; there is no entry 9 to begin with"),
        ("export --ledger nowhere.db", "there is no ledger at `nowhere.db`"),
    ];
    for (arguments, expected) in cases {
        let (code, told) = folder.complaint(arguments);
        assert!(code == 2 && told.contains(expected), "{arguments}: {code}: {told}");
        folder.complaint(&format!("{arguments} --to never.jsonl"));
        assert!(!folder.path("never.jsonl").exists(), "{arguments}");
        assert_eq!(folder.run(arguments).stdout, b"", "{arguments}");
    }
}
