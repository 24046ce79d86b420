//! Faults put into the sources on purpose, one at a time: each has to turn its test red.
//!
//! A test that no fault can turn red protects nothing. The faults are in [`faults`]; this puts one in, runs
//! its test, and takes it out again, whatever happens. It refuses to touch a file that has changes of its
//! own. It does not run the tests without a fault: that they are green is for `cargo xtask test` to say.

mod faults;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::children::{self, Running};
use crate::table::Table;
use faults::Fault;

const BUILD_WITHIN: Duration = Duration::from_secs(30 * 60);

/// A test that waits for something the fault prevents does not end by itself.
const TEST_WITHIN: Duration = Duration::from_secs(10 * 60);

/// What came of a fault.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The tests that failed, or why they have no name.
    Red(String),
    StillGreen,
    /// With the fault, the test does not compile: the fault is no fault.
    NotBuilt,
}

pub fn run(root: &Path, name: Option<&str>) -> Result<(), String> {
    let faults = chosen(name)?;
    let logs = children::target_folder(root)?.join("sabotage");
    children::make_empty(&logs)?;
    for fault in &faults {
        require_clean(root, fault)?;
        faulty(fault, &read(&root.join(fault.file))?)?;
    }
    let mut table = Table::new(&["fault", "test", "outcome", ">seconds"]);
    let mut unnoticed = Vec::new();
    for fault in faults {
        println!("== {}: {}", fault.name, fault.what);
        let started = Instant::now();
        let outcome = try_out(root, fault, &logs)?;
        let seconds = started.elapsed().as_secs_f64();
        println!("== {}: {} after {seconds:.0} s", fault.name, outcome.words());
        if !matches!(outcome, Outcome::Red(_)) {
            unnoticed.push(fault.name);
        }
        let test = fault.test.join(" ");
        table.row(vec![fault.name.to_owned(), test, outcome.words(), format!("{seconds:.0}")]);
    }
    println!("\n{}", table.plain());
    if unnoticed.is_empty() {
        return Ok(());
    }
    Err(format!("not noticed: {}; what was printed is in `{}`", unnoticed.join(", "), logs.display()))
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static Fault>, String> {
    let chosen: Vec<&Fault> =
        faults::all().filter(|fault| name.is_none_or(|name| name == fault.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = faults::all().map(|fault| fault.name).collect();
        return Err(format!("there is no such fault; there is: {}", names.join(", ")));
    }
    Ok(chosen)
}

/// Somebody's work must not be lost in a restored file.
fn require_clean(root: &Path, fault: &Fault) -> Result<(), String> {
    let mut status = Command::new("git");
    status.current_dir(root).args(["status", "--porcelain", "--untracked-files=all", "--", fault.file]);
    if children::output(&mut status)?.is_empty() {
        return Ok(());
    }
    let file = fault.file;
    Err(format!(
        "`{file}` has changes: commit them first; if they are what an interrupted sabotage left, \
         take them back by `git checkout -- {file}`"
    ))
}

/// The text with the fault in it.
fn faulty(fault: &Fault, text: &str) -> Result<String, String> {
    match text.matches(fault.find).count() {
        1 => Ok(text.replacen(fault.find, fault.put, 1)),
        count => Err(format!(
            "{}: the line to change is {count} times in `{}`, must be once; adapt xtask/src/sabotage/faults.rs:\n{}",
            fault.name, fault.file, fault.find
        )),
    }
}

/// Puts the fault in, runs its test, and takes the fault out again.
fn try_out(root: &Path, fault: &Fault, logs: &Path) -> Result<Outcome, String> {
    let sabotaged = Sabotaged::put(root.join(fault.file), fault)?;
    let built = cargo_test(root, fault, &["--no-run"], &logs.join(format!("{}.build.log", fault.name)));
    let outcome = match built.and_then(|mut build| build.wait_until_it_ends(BUILD_WITHIN)) {
        Ok(Some(status)) if status.success() => {
            run_test(root, fault, &logs.join(format!("{}.log", fault.name)))
        }
        Ok(_) => Ok(Outcome::NotBuilt),
        Err(trouble) => Err(trouble),
    };
    sabotaged.restore()?;
    outcome
}

fn run_test(root: &Path, fault: &Fault, log: &Path) -> Result<Outcome, String> {
    let mut test = cargo_test(root, fault, &[], log)?;
    match test.wait_until_it_ends(TEST_WITHIN)? {
        Some(status) if status.success() => Ok(Outcome::StillGreen),
        Some(_) => Ok(Outcome::Red(failed_tests(&fs::read_to_string(log).unwrap_or_default()))),
        None => {
            test.stop_descendants();
            Ok(Outcome::Red(format!("did not end within {} s", TEST_WITHIN.as_secs())))
        }
    }
}

/// Property tests neither shrink what they find nor keep it: only the colour counts here, and a kept case
/// would be a new file in the sources.
fn cargo_test(root: &Path, fault: &Fault, first: &[&str], log: &Path) -> Result<Running, String> {
    let mut command = children::cargo(root);
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    Running::start("cargo test", command.arg("test").args(first).args(fault.test), log)
}

/// The names in lines such as `test books::conserve ... FAILED`.
fn failed_tests(log: &str) -> String {
    let name = |line: &str| line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::to_owned);
    let names: Vec<String> = log.lines().filter_map(name).collect();
    if names.is_empty() { "the test program failed".to_owned() } else { names.join(", ") }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

impl Outcome {
    fn words(&self) -> String {
        match self {
            Self::Red(by) => format!("red: {by}"),
            Self::StillGreen => "STILL GREEN".to_owned(),
            Self::NotBuilt => "DOES NOT COMPILE".to_owned(),
        }
    }
}

/// A file with a fault in it. Restored at the latest when this is dropped.
#[derive(Debug)]
struct Sabotaged {
    path: PathBuf,
    /// What has to stand in the file again; `None` once it does.
    original: Option<String>,
}

impl Sabotaged {
    fn put(path: PathBuf, fault: &Fault) -> Result<Self, String> {
        let original = read(&path)?;
        let faulty = faulty(fault, &original)?;
        // The guard comes first: a write that fails half-way is restored as well.
        let sabotaged = Self { path, original: Some(original) };
        children::write(&sabotaged.path, &faulty)?;
        Ok(sabotaged)
    }

    fn restore(mut self) -> Result<(), String> {
        match self.original.take() {
            Some(original) => children::write(&self.path, &original),
            None => Ok(()),
        }
    }
}

impl Drop for Sabotaged {
    fn drop(&mut self) {
        if let Some(original) = self.original.take()
            && let Err(trouble) = children::write(&self.path, &original)
        {
            eprintln!("{trouble}; it still has a fault in it: `git checkout -- {}`", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Fault = Fault {
        name: "sample",
        what: "a sample",
        file: "sample.rs",
        find: "a + b",
        put: "a - b",
        test: &["-p", "sample"],
    };

    #[test]
    fn every_fault_fits_the_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for fault in faults::all() {
            let text = read(&root.join(fault.file)).unwrap();
            assert_ne!(faulty(fault, &text).unwrap(), text, "{}", fault.name);
        }
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for fault in faults::all() {
            if let ["-p", package, "--test", name] = fault.test {
                let tests = root.join("crates").join(package).join("tests");
                let places = [tests.join(format!("{name}.rs")), tests.join(name).join("main.rs")];
                assert!(places.iter().any(|place| place.exists()), "{}: {package} {name}", fault.name);
            }
        }
    }

    #[test]
    fn a_line_has_to_be_there_exactly_once() {
        assert_eq!(faulty(&SAMPLE, "let c = a + b;").as_deref(), Ok("let c = a - b;"));
        assert!(faulty(&SAMPLE, "let c = a * b;").unwrap_err().contains("0 times"));
        assert!(faulty(&SAMPLE, "a + b; a + b").unwrap_err().contains("2 times"));
    }

    #[test]
    fn a_file_is_restored_however_it_ends() {
        let path = std::env::temp_dir().join(format!("xtask-sabotage-{}.rs", std::process::id()));
        fs::write(&path, "a + b").unwrap();
        drop(Sabotaged::put(path.clone(), &SAMPLE).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a + b");
        let sabotaged = Sabotaged::put(path.clone(), &SAMPLE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a - b");
        sabotaged.restore().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a + b");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn names_are_unique_and_a_wrong_one_shows_them() {
        for fault in faults::all() {
            assert_eq!(chosen(Some(fault.name)).unwrap().len(), 1, "{}", fault.name);
        }
        assert_eq!(chosen(None).unwrap().len(), faults::all().count());
        assert!(chosen(Some("none")).unwrap_err().contains("skip-the-sync"));
    }

    #[test]
    fn failed_tests_are_named() {
        let log = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d::e ... FAILED\n";
        assert_eq!(failed_tests(log), "c, d::e");
        assert_eq!(failed_tests("signal: 6"), "the test program failed");
    }
}
