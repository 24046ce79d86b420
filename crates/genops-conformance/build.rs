//! Turns `spec/requirements.yaml` into Rust: the catalogue as a table, and one constant for each id, so that a
//! rule for a requirement that does not exist does not compile.
//!
//! Nothing is judged here and nothing is left out: the table has every statement, in the file's order.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use serde::Deserialize;

#[path = "build/vocabulary.rs"]
mod vocabulary;

const SOURCE: &str = "../../spec/requirements.yaml";
const WORDS: &str = "../../spec/vocabulary.yaml";

#[derive(Deserialize)]
struct Catalogue {
    spec: Spec,
    catalogue_version: u32,
    requirements: Vec<Requirement>,
    ambiguities: Vec<Ambiguity>,
}

#[derive(Deserialize)]
struct Spec {
    version: String,
    commit: String,
    source: String,
}

#[derive(Deserialize)]
struct Requirement {
    id: String,
    section: String,
    level: String,
    subject: String,
    profiles: Vec<String>,
    item: u8,
    text: String,
    applies_when: Option<String>,
    checkable: String,
    how: String,
    signal: String,
    pass: String,
    fail: String,
}

#[derive(Deserialize)]
struct Ambiguity {
    id: String,
    sections: Vec<String>,
    problem: String,
    resolution: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={WORDS}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let source = fs::read_to_string(SOURCE)?;
    let catalogue: Catalogue = serde_saphyr::from_str(&source)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("catalogue.rs"), rust(&catalogue)?)?;
    fs::write(out.join("words.rs"), vocabulary::rust(&fs::read_to_string(WORDS)?, &source)?)?;
    Ok(())
}

fn rust(catalogue: &Catalogue) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let Spec { version, commit, source } = &catalogue.spec;
    writeln!(text, "/// The version of the specification that the catalogue is about.")?;
    writeln!(text, "pub const SPEC_VERSION: &str = {version:?};")?;
    writeln!(text, "/// The commit of the specification that was read.")?;
    writeln!(text, "pub const SPEC_COMMIT: &str = {commit:?};")?;
    writeln!(text, "/// Where the specification stands.")?;
    writeln!(text, "pub const SPEC_SOURCE: &str = {source:?};")?;
    writeln!(text, "/// The version of the catalogue.")?;
    writeln!(text, "pub const VERSION: u32 = {};", catalogue.catalogue_version)?;
    writeln!(text, "/// Every statement, in the order of the specification.")?;
    writeln!(text, "pub static REQUIREMENTS: [Requirement; {}] = [", catalogue.requirements.len())?;
    for requirement in &catalogue.requirements {
        writeln!(text, "{},", row(requirement)?)?;
    }
    writeln!(text, "];")?;
    writeln!(text, "/// Every ambiguity of the specification, and how it is resolved.")?;
    writeln!(text, "pub static AMBIGUITIES: [Ambiguity; {}] = [", catalogue.ambiguities.len())?;
    for Ambiguity { id, sections, problem, resolution } in &catalogue.ambiguities {
        writeln!(
            text,
            "Ambiguity {{ id: {id:?}, sections: &{sections:?}, problem: {problem:?}, resolution: {resolution:?} }},"
        )?;
    }
    writeln!(text, "];")?;
    writeln!(text, "/// The ids, as constants.\npub mod id {{\n    use super::Id;")?;
    for (place, requirement) in catalogue.requirements.iter().enumerate() {
        let name = requirement.id.replace(['-', '.'], "_");
        writeln!(text, "    /// {}: {}", requirement.id, requirement.text.replace('\n', " "))?;
        writeln!(text, "    pub const {name}: Id = Id({place});")?;
    }
    writeln!(text, "}}")?;
    Ok(text)
}

fn row(requirement: &Requirement) -> Result<String, Box<dyn Error>> {
    let Requirement { id, section, subject, item, text, applies_when, how, signal, pass, fail, .. } =
        requirement;
    let level = match requirement.level.as_str() {
        "MUST" => "Must",
        "MUST NOT" => "MustNot",
        "REQUIRED" => "Required",
        "SHOULD" => "Should",
        "MAY" => "May",
        "OPTIONAL" => "Optional",
        other => return Err(format!("{id}: no such level: {other}").into()),
    };
    let subject = match subject.as_str() {
        "runtime" => "Runtime",
        "claim" => "Claim",
        "consumer" => "Consumer",
        "spec-editors" => "SpecEditors",
        "suite" => "Suite",
        other => return Err(format!("{id}: no such subject: {other}").into()),
    };
    let checkable = match requirement.checkable.as_str() {
        "yes" => "Yes",
        "partially" => "Partially",
        "no" => "No",
        other => return Err(format!("{id}: no such checkability: {other}").into()),
    };
    let counts = |profile: &str| requirement.profiles.iter().any(|counted| counted == profile);
    Ok(format!(
        "    Requirement {{ id: {id:?}, section: {section:?}, level: Keyword::{level}, subject: Subject::{subject}, \
         full: {}, partial: {}, item: {item}, text: {text:?}, applies_when: {applies_when:?}, \
         checkable: Checkable::{checkable}, how: {how:?}, signal: {signal:?}, pass: {pass:?}, fail: {fail:?} }}",
        counts("full"),
        counts("partial"),
    ))
}
