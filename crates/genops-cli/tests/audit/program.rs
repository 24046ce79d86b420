//! The program, with files that were edited, and what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use genops::report::AwuReport;
use serde_json::Value;
use tempfile::TempDir;

use crate::recorded::RECORDED;

/// A folder with telemetry and a usage export that match the ledger, to be edited.
pub struct Folder(TempDir);

/// The first line of the usage export, behind `awu,`.
pub const WITHOUT_AWU: &str = "model,input_tokens,cached_input_tokens,output_tokens,cost,timestamp";

/// The row that a provider writes for an AWU.
pub fn row(awu: &AwuReport) -> String {
    format!("{},{}", awu.id, row_without_awu(awu))
}

/// The same without its first column.
pub fn row_without_awu(awu: &AwuReport) -> String {
    let tokens = awu.tokens.unwrap();
    let (input, cached, output) = (tokens.input, tokens.cached_input, tokens.output);
    format!("small-2026,{input},{cached},{output},{},{}", awu.actual.as_ref().unwrap(), awu.at)
}

/// The rows of all calls that the provider bills.
pub fn rows() -> Vec<String> {
    RECORDED.awus.iter().filter(|awu| awu.tokens.is_some()).map(row).collect()
}

pub fn export(rows: &[String]) -> String {
    format!("awu,{WITHOUT_AWU}\n{}\n", rows.join("\n"))
}

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("traces.jsonl", &RECORDED.traces);
        folder.write("logs.jsonl", &RECORDED.logs);
        folder.write("usage.csv", export(&rows()));
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn audit_of(&self, ledger: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
        command.current_dir(self.0.path()).arg("audit").arg("--ledger").arg(ledger);
        command.args(arguments).output().unwrap()
    }

    pub fn audit(&self, arguments: &[&str]) -> Output {
        self.audit_of(&RECORDED.ledger(), arguments)
    }

    /// The JSON report of all three, and the exit code.
    pub fn report(&self, more: &[&str]) -> (Value, i32) {
        let all = ["--otlp", "traces.jsonl", "logs.jsonl", "--usage", "usage.csv"];
        self.json(&[&all, more].concat())
    }

    /// A JSON report, and the exit code.
    pub fn json(&self, arguments: &[&str]) -> (Value, i32) {
        read(&self.audit(&[arguments, &["--format", "json"]].concat()))
    }

    /// What is complained about where nothing can be compared.
    pub fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.audit(arguments);
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A JSON report, and the exit code.
pub fn read(output: &Output) -> (Value, i32) {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

/// The kinds of all findings, and what each is about.
pub fn found(report: &Value) -> Vec<(&str, &str)> {
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|one| (one["kind"].as_str().unwrap(), one["awu"].as_str().unwrap_or_default())).collect()
}

/// Asserts that there is exactly one finding, and gives it.
pub fn only<'r>(report: &'r (Value, i32), kind: &str, awu: &str) -> &'r Value {
    assert_eq!((found(&report.0), report.1), (vec![(kind, awu)], 1), "{:#}", report.0);
    assert_eq!(report.0["counts"][kind], 1);
    &report.0["findings"][0]
}
