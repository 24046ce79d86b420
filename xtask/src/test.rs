//! What the quick CI runs, in order, up to the first failure; each step is printed with its duration.
//!
//! It installs nothing and keeps nothing: what it needs is checked first, and each step starts afresh.
//! The slow checks are tasks of their own.

use std::path::Path;
use std::time::Instant;

use crate::{children, layers, tidy};

/// In order of price: what fails in a second comes before what builds for minutes.
///
/// The tests run under plain `cargo test`, so that doc tests run and nothing must be installed.
const STEPS: &[Step] = &[
    Step::Cargo(&["fmt", "--all", "--check"]),
    Step::Task("layers", layers::run),
    Step::Task("tidy", tidy::run),
    Step::Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    Step::Cargo(&["test", "--workspace", "--locked"]),
];

/// `cc` builds the bundled SQLite and the crash recorder; the tests call `python3`.
const PROGRAMS: &[&str] = &["cc", "python3"];

const INSTALL: &str = "apt-get install -y build-essential python3";

enum Step {
    Cargo(&'static [&'static str]),
    Task(&'static str, fn(&Path) -> Result<(), String>),
}

pub fn run(root: &Path) -> Result<(), String> {
    let missing: Vec<&str> =
        PROGRAMS.iter().copied().filter(|program| !children::is_installed(program)).collect();
    require_none(&missing)?;
    STEPS.iter().try_for_each(|step| run_timed(root, step))
}

fn require_none(missing: &[&str]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("missing programs: {}; to install them: {INSTALL}", missing.join(", ")))
}

fn run_timed(root: &Path, step: &Step) -> Result<(), String> {
    let name = step.name();
    println!("== {name}");
    let started = Instant::now();
    let outcome = step.run(root);
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            println!("== {name}: passed in {seconds:.1} s");
            Ok(())
        }
        Err(trouble) => Err(format!("{trouble}\n== {name}: failed after {seconds:.1} s")),
    }
}

impl Step {
    fn name(&self) -> String {
        match self {
            Self::Cargo(arguments) => format!("cargo {}", arguments.join(" ")),
            Self::Task(name, _) => (*name).to_owned(),
        }
    }

    fn run(&self, root: &Path) -> Result<(), String> {
        match self {
            Self::Cargo(arguments) => children::run(children::cargo(root).args(*arguments)),
            Self::Task(_, task) => task(root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_come_with_the_line_that_installs_them() {
        assert_eq!(require_none(&[]), Ok(()));
        let trouble = require_none(&["cc", "python3"]).unwrap_err();
        assert!(trouble.contains("cc, python3"), "{trouble}");
        assert!(trouble.ends_with("apt-get install -y build-essential python3"), "{trouble}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_not_installed() {
        assert!(!children::is_installed("a-program-nobody-has-written"));
    }

    #[test]
    fn a_failing_step_says_its_name_and_why() {
        let step = Step::Task("sample", |_| Err("the reason".to_owned()));
        let trouble = run_timed(Path::new("."), &step).unwrap_err();
        assert!(trouble.starts_with("the reason\n== sample: failed after "), "{trouble}");
    }
}
