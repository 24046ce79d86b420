//! The faults, each with the line that it changes and the test that has to notice.
//!
//! Each is a mistake that a person could make in one line, and breaks one promise of the design.

mod rules;
mod shell;

/// One fault.
#[derive(Debug)]
pub struct Fault {
    pub name: &'static str,
    /// What is wrong with it, for people.
    pub what: &'static str,
    pub file: &'static str,
    /// Stands exactly once in the file.
    pub find: &'static str,
    pub put: &'static str,
    /// Arguments of `cargo test`.
    pub test: &'static [&'static str],
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    rules::FAULTS.iter().chain(shell::FAULTS)
}
