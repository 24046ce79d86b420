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
    assert!(told.contains("begins with entry") && told.contains("every entry before"), "{told}");
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
