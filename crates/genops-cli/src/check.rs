//! `genops check`: holds telemetry against the specification, and says in the exit code what became of the claim.
//!
//! Reading, judging and telling are the crate `genops-conformance`'s; here are arguments, signals and files.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;

use genops_conformance::catalogue::{Checkable, REQUIREMENTS, Requirement};
use genops_conformance::input::{self, Input, Inputs};
use genops_conformance::level::{self, Level, Terms};
use genops_conformance::listen::{self, Listener, Until};
use genops_conformance::report::{Format, Report, schema};
use genops_conformance::{Checker, Strictness};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Checking, MEMORY_MIB, ReportFormat};
use crate::output::{print_all, say};
use crate::{Trouble, output, read, table};

/// Judges what is read or received; or lists requirements, or prints the schema.
pub async fn run(checking: &Checking) -> Result<ExitCode, Trouble> {
    if checking.list {
        return list(checking.format).map(|()| ExitCode::SUCCESS);
    }
    if checking.schema {
        return read::print_json(&schema()).map(|()| ExitCode::SUCCESS);
    }
    let (checker, inputs, unreadable) = match checking.listen {
        true => receive(checking).await?,
        false => read_paths(checking),
    };
    let report = judge(checking, checker, &inputs);
    // A person is told what cannot be read and why; a program gets the report all the same.
    if unreadable.is_none() || checking.format != ReportFormat::Text {
        tell(checking, &report)?;
    }
    match unreadable {
        Some(trouble) => Err(trouble),
        None => Ok(ExitCode::from(exit_code(&report))),
    }
}

/// The checker, what it was given, and why it was not given all of it.
type Taken = (Checker, Inputs, Option<Trouble>);

fn checker(checking: &Checking) -> Checker {
    let strictness = Strictness { lenient_numeric: checking.lenient_numeric, is_complete: checking.complete };
    let bytes = u64::from(checking.memory) << 20;
    Checker::new(strictness, usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn read_paths(checking: &Checking) -> Taken {
    say_what_takes_long(&checking.paths);
    let mut judging = checker(checking);
    match input::read(&checking.paths, &mut judging) {
        Ok(inputs) => (judging, inputs, None),
        Err(error) => {
            // What was read before it is not reported: a part would pass for the whole.
            let mut unread = Input::new("input", input::Format::Unknown);
            unread.problems.add(error.to_string());
            let inputs = Inputs { all: vec![unread], ..Inputs::default() };
            (checker(checking), inputs, Some(Trouble::unusable(error)))
        }
    }
}

/// A file of this size is read in less time than it takes to wonder.
const LONG_BYTES: u64 = 64 << 20;

fn say_what_takes_long(paths: &[impl AsRef<Path>]) {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bytes: u64 = paths.iter().map(|path| length(path.as_ref())).sum();
    if bytes > LONG_BYTES && stderr().is_terminal() {
        eprintln!("genops: reading {} MiB", bytes >> 20);
    }
}

async fn receive(checking: &Checking) -> Result<Taken, Trouble> {
    let mut addresses = vec![checking.grpc, checking.http];
    addresses.dedup();
    let listener = Listener::bind(&addresses).await.map_err(Trouble::unusable)?;
    let shown: Vec<_> = listener.addresses().iter().map(ToString::to_string).collect();
    eprintln!("genops: listening on {}; Ctrl-C ends it and shows the report", shown.join(" and "));
    let until = Until { for_: checking.for_, idle: checking.idle };
    let (checker, inputs) = listen::listen(listener, checker(checking), until, told_to_stop()?).await;
    Ok((checker, inputs, None))
}

fn told_to_stop() -> Result<impl Future<Output = ()>, Trouble> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Trouble::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Trouble::failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn judge(checking: &Checking, checker: Checker, inputs: &Inputs) -> Report {
    let terms = Terms {
        claim: checking.claim.map(Into::into),
        declaration: checking.declaration.clone(),
        strict: checking.strict,
    };
    let mut judgement = checker.finish();
    let standing = level::sum_up(&mut judgement, &terms);
    Report::new(&judgement, &standing, inputs, &terms, &command(checking))
}

fn tell(checking: &Checking, report: &Report) -> Result<(), Trouble> {
    let text = report.render(Format::from(checking.format));
    let Some(file) = &checking.out else { return print_all(&text) };
    let shown = file.display();
    std::fs::write(file, text)
        .map_err(|error| Trouble::unusable(format!("cannot write `{shown}`: {error}")))?;
    output::line(&report.summary);
    say!("wrote {shown}");
    Ok(())
}

fn exit_code(report: &Report) -> u8 {
    match report.level {
        None => 2,
        Some(Level::NothingObserved) => 3,
        Some(_) if report.holds() => 0,
        Some(_) => 1,
    }
}

// === The command that reproduces it ===

/// The command line without what only says how the report is written and where.
fn command(checking: &Checking) -> String {
    let mut words = vec!["genops".to_owned(), "check".to_owned()];
    if checking.listen {
        words.push("--listen".to_owned());
        words.extend(["--grpc".to_owned(), checking.grpc.to_string()]);
        words.extend(["--http".to_owned(), checking.http.to_string()]);
    }
    if let Some(claim) = checking.claim {
        words.extend(["--claim".to_owned(), level::Claim::from(claim).as_str().to_owned()]);
    }
    if let Some(declaration) = &checking.declaration {
        words.extend(["--declaration".to_owned(), quoted(declaration)]);
    }
    let flags = [
        (checking.complete, "--complete"),
        (checking.strict, "--strict"),
        (checking.lenient_numeric, "--lenient-numeric"),
    ];
    words.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned()));
    if checking.memory != MEMORY_MIB {
        words.extend(["--memory".to_owned(), checking.memory.to_string()]);
    }
    words.extend(checking.paths.iter().map(|path| quoted(&path.display().to_string())));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@%+,".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

// === The list ===

fn list(format: ReportFormat) -> Result<(), Trouble> {
    match format {
        ReportFormat::Text => {
            let headings = ["REQUIREMENT", "LEVEL", "COUNTS FOR", "TELEMETRY", "WHAT IT SAYS"];
            table::print(&headings, REQUIREMENTS.iter().map(row).collect());
            Ok(())
        }
        ReportFormat::Json => read::print_json(&REQUIREMENTS.as_slice()),
        _ => Err(Trouble::unusable("`--list` is written as text or as json")),
    }
}

fn row(requirement: &Requirement) -> Vec<String> {
    let counts = match (requirement.gates(false), requirement.gates(true)) {
        (_, true) => "full, partial",
        (true, false) => "full",
        (false, false) => "",
    };
    let telemetry = match requirement.checkable {
        Checkable::Yes => "decides",
        Checkable::Partially => "can refute",
        Checkable::No => "cannot say",
    };
    [requirement.id, requirement.level.as_str(), counts, telemetry, requirement.text]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("captures/one-2.jsonl"), "captures/one-2.jsonl");
        assert_eq!(quoted("GenOps v0.1 — partial"), "'GenOps v0.1 — partial'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
