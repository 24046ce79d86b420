//! An export of the journal in place of the ledger.

use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{Folder, export, read, rows};
use crate::recorded::RECORDED;

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.current_dir(folder.path(".")).args(arguments).output().unwrap()
}

fn written(name: &str, more: &[&str]) -> Folder {
    let folder = Folder::new();
    let ledger = RECORDED.ledger();
    let ledger = ledger.to_str().unwrap();
    let output = run(&folder, &[&["export", "--ledger", ledger, "--to", name], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[test]
fn an_export_is_audited_as_its_ledger_is() {
    let folder = written("journal.jsonl", &[]);
    // Once as it was; then with much to look up again, in no order.
    let others = RECORDED.traces.replace("ranking", "others");
    for (traces, until) in
        [(&RECORDED.traces, "2100-01-01"), (&others, "2100-01-01"), (&others, "1999-01-01")]
    {
        folder.write("traces.jsonl", traces);
        folder.write("usage.csv", export(&rows()).replace(",0.0000576,", ",0.0000587,"));
        let all = [
            "--otlp",
            "traces.jsonl",
            "logs.jsonl",
            "--usage",
            "usage.csv",
            "--until",
            until,
            "--format",
            "json",
        ];
        let [of_ledger, of_export] = [RECORDED.ledger(), folder.path("journal.jsonl")].map(|ledger| {
            let (mut report, code) = read(&folder.audit_of(&ledger, &all));
            assert_eq!(report["journal"]["file"], ledger.to_str().unwrap());
            report["journal"]["file"] = Value::Null;
            (report, code)
        });
        assert!(of_ledger.1 > 0, "{:#}", of_ledger.0);
        assert_eq!(of_export, of_ledger);
    }
}

#[test]
fn a_part_of_a_journal_or_an_export_that_was_cut_off_or_edited_is_no_ground_for_a_comparison() {
    let folder = written("part.jsonl", &["--from", "5"]);
    let complaint = |name: &str| {
        let output = folder.audit_of(&folder.path(name), &["--usage", "usage.csv"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = complaint("part.jsonl");
    assert!(told.contains("begins with entry 5 where entry 1 is due"), "{told}");
    let whole = written("whole.jsonl", &[]);
    let whole = std::fs::read_to_string(whole.path("whole.jsonl")).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    folder.write("cut.jsonl", format!("{}\n", lines[..lines.len() - 1].join("\n")));
    assert!(complaint("cut.jsonl").contains("it is cut off"));
    folder.write("gap.jsonl", format!("{}\n", [&lines[..2], &lines[3..]].concat().join("\n")));
    let told = complaint("gap.jsonl");
    assert!(told.contains("is due here"), "{told}");
    folder.write("edited.jsonl", whole.replacen("ranking", "others", 1));
    assert!(complaint("edited.jsonl").contains("something else"));
}

#[test]
fn archives_and_ledger_are_audited_as_the_ledger_was_before() {
    let folder = Folder::new();
    let others = RECORDED.traces.replace("ranking", "others");
    folder.write("traces.jsonl", others);
    folder.write("usage.csv", export(&rows()).replace(",0.0000576,", ",0.0000587,"));
    for (of, name) in [("db", "genops.db"), ("db-wal", "genops.db-wal")] {
        let of = RECORDED.ledger().with_extension(of);
        if of.exists() {
            std::fs::copy(of, folder.path(name)).unwrap();
        }
    }
    let audit = |files: &[&str]| {
        let all = ["--otlp", "traces.jsonl", "logs.jsonl", "--usage", "usage.csv", "--format", "json"];
        let (mut report, code) = read(&run(&folder, &[&["audit", "--ledger"], files, &all].concat()));
        assert_eq!(report["journal"]["file"], files.join(", "));
        report["journal"]["file"] = Value::Null;
        (report, code)
    };
    let before = audit(&["genops.db"]);
    assert!(before.1 > 0, "{:#}", before.0);
    for (through, to) in [("3", "one.jsonl"), ("9", "two.jsonl")] {
        let output = run(&folder, &["archive", "--through", through, "--to", to]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(audit(&["one.jsonl", "two.jsonl", "genops.db"]), before);
    let told = |files: &[&str]| {
        let output = run(&folder, &[&["audit", "--ledger"], files, &["--usage", "usage.csv"]].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    for (files, expected) in [
        (vec!["genops.db"], "`genops.db` begins with entry"),
        (vec!["one.jsonl", "genops.db"], " before it: `two.jsonl` (through entry "),
        (vec!["two.jsonl", "one.jsonl", "genops.db"], "`two.jsonl` begins with entry"),
        (vec!["genops.db", "one.jsonl"], "`genops.db` begins with entry"),
        (vec!["one.jsonl", "one.jsonl", "genops.db"], "and no entry twice"),
    ] {
        let told = told(&files);
        assert!(told.contains(expected), "{files:?}: {told}");
    }
    let damaged = std::fs::read_to_string(folder.path("two.jsonl")).unwrap().replacen("ranking", "others", 1);
    folder.write("two.jsonl", damaged);
    let told = told(&["one.jsonl", "two.jsonl", "genops.db"]);
    assert!(
        told.contains(" of the export, at entry ") && told.contains(": `two.jsonl`: what is written"),
        "{told}"
    );
}
