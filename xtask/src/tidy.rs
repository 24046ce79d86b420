//! Checks habits no compiler checks: file headers, lengths, leftovers, panics, the map in ARCHITECTURE.md.
//!
//! It reads text by line and indentation; it does not parse Rust and relies on `cargo fmt` having run.
//! The lints of the root Cargo.toml remain the real ban on panics: this one knows no exceptions.

mod promised;
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use source::{Source, is_word};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// A line number, and what is wrong there.
type Finding = (usize, String);

pub fn run(root: &Path) -> Result<(), String> {
    let mut found = Vec::new();
    for path in rust_files(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        found.extend(findings(&shown, &read(&path)?));
    }
    let manifest = read(&root.join("Cargo.toml"))?;
    match read(&root.join("ARCHITECTURE.md")) {
        Ok(architecture) => found.extend(map_findings(&manifest, &architecture)),
        Err(trouble) => found.push(trouble),
    }
    found.extend(promised::findings(&read(&root.join("docs").join("ledger.md"))?, &test_names(root)?));
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

// === The files ===

/// The name of every function in the sources and tests of our crates.
fn test_names(root: &Path) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        for path in rust_files_in(root, folder)? {
            names.extend(promised::functions(&read(&path)?));
        }
    }
    Ok(names)
}

/// Every `.rs` file below `crates/*/src` and `xtask/src`, in a stable order.
fn rust_files(root: &Path) -> Result<Vec<PathBuf>, String> {
    rust_files_in(root, "src")
}

/// Every `.rs` file below this folder of our crates and of xtask, in a stable order.
fn rust_files_in(root: &Path, folder: &str) -> Result<Vec<PathBuf>, String> {
    let crates = entries(&root.join("crates"))?.into_iter().chain([root.join("xtask")]);
    let mut folders: Vec<_> = crates.map(|one| one.join(folder)).filter(|path| path.is_dir()).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                files.push(entry);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let trouble = |error: io::Error| format!("cannot list `{}`: {error}", folder.display());
    let listing = fs::read_dir(folder).map_err(trouble)?;
    listing.map(|entry| entry.map(|entry| entry.path()).map_err(trouble)).collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

// === One file ===

/// What is wrong with one file, each finding as `path:line: what`.
fn findings(path: &str, text: &str) -> Vec<String> {
    let source = Source::of(text);
    let code: Vec<&str> = source.code.lines().collect();
    let production = code.get(..production_lines(path, &code)).unwrap_or(&code);
    let mut found: Vec<Finding> = Vec::new();
    found.extend(missing_purpose(text));
    found.extend(long_file(production));
    found.extend(long_functions(production));
    found.extend(mentions(
        &code,
        &["todo!", "unimplemented!", "dbg!"],
        "is a leftover: finish it or remove it",
    ));
    found.extend(mentions(
        &source.prose.lines().collect::<Vec<_>>(),
        &["TODO", "FIXME"],
        "belongs in an issue: finish it or say plainly what is absent",
    ));
    found.extend(mentions(
        production,
        &[".unwrap()", ".expect("],
        "can panic: return an error, or make the state impossible",
    ));
    found.sort_by_key(|(line, _)| *line);
    found.into_iter().map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

/// How many lines of the file are production code: those above its test module, none in a file of tests.
///
/// A declaration (`mod tests;`) ends nothing, so no production code can hide below it.
fn production_lines(path: &str, code: &[&str]) -> usize {
    if path.split(['/', '\\']).any(|part| part == "tests.rs" || part == "tests") {
        return 0;
    }
    let test_module = (0..code.len()).find(|at| code.get(*at..).is_some_and(opens_test_module));
    test_module.unwrap_or(code.len())
}

/// Whether the lines begin with `#[cfg(test)]` and the item below it, past other attributes, is a module.
fn opens_test_module(lines: &[&str]) -> bool {
    let Some((first, below)) = lines.split_first() else { return false };
    let is_item = |line: &&&str| !line.trim().is_empty() && !line.starts_with([' ', '#', ')']);
    first.trim_end() == "#[cfg(test)]" && below.iter().find(is_item).is_some_and(|item| opens_module(item))
}

fn opens_module(item: &str) -> bool {
    item.trim_end().ends_with('{') && item.split_whitespace().any(|word| word == "mod")
}

fn missing_purpose(text: &str) -> Option<Finding> {
    let advice = "the first line must begin with `//!` and say what the file is for and what it does not do";
    (!text.starts_with("//!")).then(|| (1, advice.to_owned()))
}

fn long_file(production: &[&str]) -> Option<Finding> {
    let length = production.len();
    let what = || format!("{length} lines of production code, at most {FILE_LINES_MAX}: split it by subject");
    (length > FILE_LINES_MAX).then(|| (FILE_LINES_MAX + 1, what()))
}

fn long_functions(production: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in production.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let length = production.get(at..).map_or(0, function_length);
        if length > FUNCTION_LINES_MAX {
            let what =
                format!("function `{name}` has {length} lines, at most {FUNCTION_LINES_MAX}: split it");
            found.push((at + 1, what));
        }
    }
    found
}

/// The name in `fn name`, where only words such as `pub(crate)` and `async` stand before it.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let (name, _) = after.split_once(['(', '<'])?;
    before.split_whitespace().all(is_qualifier).then_some(name)
}

fn is_qualifier(word: &str) -> bool {
    word.starts_with("pub")
        || word.ends_with(')')
        || ["async", "const", "default", "extern", "unsafe"].contains(&word)
}

/// From `fn` to the closing brace at the same indentation, or to the semicolon of a bare signature.
fn function_length(lines: &[&str]) -> usize {
    let Some((first, below)) = lines.split_first() else { return 0 };
    if first.trim_end().ends_with(['}', ';']) {
        return 1;
    }
    let ends = |line: &&str| {
        let inner = line.trim();
        indentation(line) == indentation(first) && (inner.starts_with('}') || inner.ends_with(';'))
    };
    below.iter().position(ends).map_or(0, |end| end + 2)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn mentions(lines: &[&str], words: &[&str], advice: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        for word in words.iter().filter(|word| has_word(line, word)) {
            found.push((at + 1, format!("`{word}` {advice}")));
        }
    }
    found
}

/// Whether the line has the word, and not merely as the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_end_of_longer = |at: usize| {
        word.starts_with(is_word) && line.get(..at).is_some_and(|before| before.ends_with(is_word))
    };
    line.match_indices(word).any(|(at, _)| !is_end_of_longer(at))
}

// === The map ===

/// What ARCHITECTURE.md leaves out of what the root Cargo.toml names.
fn map_findings(manifest: &str, architecture: &str) -> Vec<String> {
    let crates = member_names(manifest);
    if crates.is_empty() {
        return vec![
            "Cargo.toml: the list `members = [...]` was not found, so the map cannot be checked".to_owned(),
        ];
    }
    let is_absent = |name: &&&str| !architecture.contains(&format!("`{name}`"));
    let of_crates = crates.iter().filter(is_absent).map(|name| {
        format!("ARCHITECTURE.md: no paragraph names the crate `{name}` in backticks: say what it may touch")
    });
    let outside = outside_dependencies(manifest, &crates);
    let of_dependencies = outside.iter().filter(is_absent).map(|name| {
        format!("ARCHITECTURE.md: the dependency `{name}` is not named in backticks: say what it is for")
    });
    of_crates.chain(of_dependencies).collect()
}

/// The last part of each path in `members = [...]`: a crate's folder has the crate's name.
fn member_names(manifest: &str) -> Vec<&str> {
    let after = manifest.split_once("\nmembers").map_or("", |(_, after)| after);
    let list = after.split_once(']').map_or("", |(list, _)| list);
    let paths = list.split('"').skip(1).step_by(2);
    paths.filter_map(|path| path.split('/').next_back()).collect()
}

/// The names `[workspace.dependencies]` gives to crates that are not ours; one line each, not indented.
fn outside_dependencies<'a>(manifest: &'a str, crates: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line.starts_with("[workspace.dependencies]");
        } else if is_inside
            && line.starts_with(is_word)
            && let Some((name, _)) = line.split_once([' ', '.', '='])
            && !crates.contains(&name)
        {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/sample/src/sample.rs";

    const GOOD: &str = r##"//! Adds. It does not subtract.

/// Words such as .unwrap() and todo!() may stand in a comment.
pub fn add(a: u8) -> Option<&'static str> {
    let text = "TODO: .unwrap() } fn a() {";
    let raw = r#"dbg!(".expect(")"#;
    methodtodo!(a).unwrap_or(text) // .expect(
}

#[cfg(test)]
#[expect(
    clippy::sample,
    reason = "a sample"
)]
mod tests {
    fn add_adds() {
        super::add(1).unwrap();
    }
}
"##;

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(findings(PATH, GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_bad_habit_is_found_at_its_line() {
        let cases: &[(&str, &str)] = &[
            ("", "1: the first line"),
            ("fn a() {}\n", "1: the first line"),
            ("// An ordinary comment.\n", "1: the first line"),
            ("//! A.\n// TODO: later\n", "2: `TODO`"),
            ("//! A.\n/* FIXME */\n", "2: `FIXME`"),
            ("//! A.\nfn a() {\n    todo!()\n}\n", "3: `todo!`"),
            ("//! A.\nfn a() {\n    unimplemented!()\n}\n", "3: `unimplemented!`"),
            ("//! A.\n#[cfg(test)]\nmod tests {\n    fn a() {\n        dbg!(1);\n    }\n}\n", "5: `dbg!`"),
            ("//! A.\nfn a() {\n    b().unwrap();\n}\n", "3: `.unwrap()`"),
            ("//! A.\nfn a() {\n    b()\n        .expect(\"c\");\n}\n", "4: `.expect(`"),
            ("//! A.\n#[cfg(test)]\nmod tests;\nfn a() {\n    b().unwrap();\n}\n", "5: `.unwrap()`"),
            ("//! A.\n#[cfg(test)]\nfn a() {\n    b().unwrap();\n}\n", "4: `.unwrap()`"),
        ];
        for (text, expected) in cases {
            let found = findings(PATH, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(&format!("{PATH}:{expected}")), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_file_of_tests_may_unwrap_and_be_long() {
        let text = format!("//! A.\nfn a() {{\n{}}}\n", "    b().unwrap();\n".repeat(FILE_LINES_MAX));
        assert_eq!(findings("crates/sample/src/sample/tests.rs", &text), Vec::<String>::new());
    }

    #[test]
    fn a_file_may_reach_its_limit_and_not_pass_it() {
        let file =
            |lines: usize| format!("//! A.\n{}#[cfg(test)]\nmod tests {{\n}}\n", "// b\n".repeat(lines - 1));
        assert_eq!(findings(PATH, &file(FILE_LINES_MAX)), Vec::<String>::new());
        let found = findings(PATH, &file(FILE_LINES_MAX + 1));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(":601: 601 lines"), "{found:?}");
    }

    #[test]
    fn a_function_may_reach_its_limit_and_not_pass_it() {
        let opening =
            "    pub(crate) async fn long<T>(\n        a: T,\n    ) -> A\n    where\n        T: B,\n    {\n";
        let file = |lines: usize| {
            format!("//! A.\nimpl B {{\n{opening}{}    }}\n}}\n", "        c();\n".repeat(lines - 7))
        };
        assert_eq!(findings(PATH, &file(FUNCTION_LINES_MAX)), Vec::<String>::new());
        let found = findings(PATH, &file(FUNCTION_LINES_MAX + 1));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(":3: function `long` has 71 lines"), "{found:?}");
    }

    #[test]
    fn functions_are_recognised_and_other_lines_are_not() {
        let cases = [
            ("fn a() {", Some("a")),
            ("    pub(in crate::b) const unsafe extern     fn a<T>(", Some("a")),
            ("    let f: fn (u8) = a;", None),
            ("    call(fn a(", None),
            ("type A = fn(u8);", None),
        ];
        for (line, name) in cases {
            assert_eq!(function_name(line), name, "{line}");
        }
    }

    #[test]
    fn a_function_without_a_body_ends_at_its_semicolon() {
        assert_eq!(function_length(&["    fn a();", "    fn b() {", "    }"]), 1);
        assert_eq!(function_length(&["    fn a(", "        b: u8,", "    ) -> u8;", "    fn c() {}"]), 3);
        assert_eq!(function_length(&["fn a() {", "    b();"]), 0);
    }

    const MANIFEST: &str = r#"[workspace]
members = [
    "crates/one",
    "tool",
]
default-members = ["crates/one"]

[workspace.dependencies]
one = { path = "crates/one" }
# a comment = nothing
far-away = "1"
near.version = "2"
wide = { version = "3", features = [
    "a",
] }

[workspace.lints.rust]
unsafe_code = "forbid"
"#;

    #[test]
    fn the_map_names_every_crate_and_every_outside_dependency() {
        let whole = "`one` and `tool` stand on `far-away`, `near` and `wide`.";
        assert_eq!(map_findings(MANIFEST, whole), Vec::<String>::new());
        for name in ["`one`", "`tool`", "`far-away`", "`near`", "`wide`"] {
            let found = map_findings(MANIFEST, &whole.replace(name, "something"));
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(name), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_manifest_without_members_is_a_finding() {
        assert_eq!(map_findings("[package]\nname = \"a\"\n", "").len(), 1);
    }
}
