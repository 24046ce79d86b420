//! `genops export`, `verify` and `replay`, as somebody runs them who was given files.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;
use std::process::{Command, Output};

use genops::core::awu::{AwuId, Execution, Proposal};
use genops::core::ledger::{self, Admit, Books, Entry, Outcome};
use genops::core::price::{Price, Tokens};
use genops::core::{Amount, Attribution, Digest, Name, Timestamp};
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
            store.append(&frame).unwrap();
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

fn entries() -> Vec<Entry> {
    let mut books = Books::default();
    let name = |text: &str| Name::new(text).unwrap();
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
        let at = Timestamp::from_nanos(1_795_000_000_000_000_000 + u64::from(number));
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
    assert!(code == 1 && told.contains("begins with entry 1 stands where entry 5 is due"), "{told}");
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
    let told = folder.text("archive --through 2 --to a.jsonl");
    assert!(told.starts_with("a.jsonl has the entries through 2, and genops.db no more\n"), "{told}");
    let both = folder.json("verify --ledger a.jsonl genops.db");
    assert_eq!((&both["first"], &both["entries"], both["cells"].is_null()), (&1.into(), &4.into(), false));
    let rest = folder.json("verify --ledger genops.db");
    assert_eq!((&rest["first"], &rest["entries"], rest["cells"].is_null()), (&3.into(), &2.into(), true));
    let (code, told) = folder.complaint("replay --ledger genops.db");
    assert!(code == 2 && told.contains("begins with entry 3"), "{told}");
    assert_eq!(folder.json("awus --ledger genops.db")["archived"], 2);
    let text = folder.text("archive --restore a.jsonl");
    assert!(text.contains("a snapshot of its books after entry 4"), "{text}");
}
