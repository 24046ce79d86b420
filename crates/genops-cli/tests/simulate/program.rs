//! The program in a folder of its own, and what it says.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder to simulate in. Names of files are relative to it.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `genops simulate`.
    pub fn simulate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
        command.current_dir(self.0.path()).arg("simulate").args(arguments).output().unwrap()
    }

    /// What it prints where it ends well.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.simulate(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON report.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// The exit code, and what is complained about.
    pub fn complaint(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.simulate(arguments);
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// One line for each call.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Texts at some places of a value.
pub fn texts<'a>(value: &'a Value, fields: &[&str]) -> Vec<&'a str> {
    fields.iter().map(|field| value[*field].as_str().unwrap_or_default()).collect()
}
