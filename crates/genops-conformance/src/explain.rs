//! `genops explain`: what a requirement, an ambiguity, a reason code, a decision state, an attribute or an event is,
//! so that nobody needs the specification open beside it.
//!
//! All of it comes from `spec/requirements.yaml` and `spec/vocabulary.yaml`; nothing is said of a capture.

use std::fmt;

use serde::Serialize;

use crate::catalogue::{self, Ambiguity, Checkable, Id, REQUIREMENTS, Requirement, Subject, id};
use crate::report::page::Page;

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its name.
    pub name: &'static str,
    /// Of what sort it is: a requirement, a reason code, …
    pub sort: &'static str,
    /// What is known of it, each with a label.
    pub facts: Vec<Fact>,
}

/// Something that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub label: &'static str,
    /// What is so.
    pub text: String,
}

/// There is nothing of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing is known as `{name}`; {}", nearest_words(nearest))]
pub struct Unknown {
    name: String,
    nearest: Vec<&'static str>,
}

/// A word of the vocabulary.
struct Word {
    name: &'static str,
    sort: &'static str,
    facts: &'static [(&'static str, &'static str)],
}

include!(concat!(env!("OUT_DIR"), "/words.rs"));

/// Says what something is. The case of letters does not matter where only one thing has the name.
///
/// # Errors
///
/// There is nothing of this name. The error names what comes nearest.
pub fn explain(name: &str) -> Result<Vec<Explanation>, Unknown> {
    let exact: Vec<_> = named(|known| known == name).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let alike: Vec<_> = named(|known| known.eq_ignore_ascii_case(name)).collect();
    if alike.is_empty() { Err(unknown(name)) } else { Ok(alike) }
}

/// Everything that can be explained.
pub fn names() -> impl Iterator<Item = &'static str> {
    let requirements = REQUIREMENTS.iter().map(|requirement| requirement.id);
    let ambiguities = catalogue::AMBIGUITIES.iter().map(|ambiguity| ambiguity.id);
    requirements.chain(ambiguities).chain(WORDS.iter().map(|word| word.name))
}

/// One name may stand for two things: `RATE_LIMITED` is a decision state and a reason code.
fn named(is_meant: impl Fn(&str) -> bool + Copy) -> impl Iterator<Item = Explanation> {
    let requirements = REQUIREMENTS.iter().filter(move |one| is_meant(one.id)).map(of_requirement);
    let ambiguities = catalogue::AMBIGUITIES.iter().filter(move |one| is_meant(one.id)).map(of_ambiguity);
    let words = WORDS.iter().filter(move |one| is_meant(one.name)).map(of_word);
    requirements.chain(ambiguities).chain(words)
}

// === Each sort ===

fn of_requirement(requirement: &Requirement) -> Explanation {
    let Requirement { id: name, section, level, item, text, applies_when, how, signal, pass, fail, .. } =
        requirement;
    let item = if *item == 0 { String::new() } else { format!("; item {item} of section 9.1") };
    let checkable = match requirement.checkable {
        Checkable::Yes => "decides it, for what was observed",
        Checkable::Partially => "can refute it, but not prove it",
        Checkable::No => "cannot decide it",
    };
    let mut facts = vec![
        fact("says", *text),
        fact("level", format!("{}; {}", level.as_str(), weight(requirement))),
        fact("section", format!("{section}{item}")),
        fact("binds", subject(requirement.subject)),
    ];
    facts.extend(applies_when.map(|when| fact("applies", when)));
    facts.push(fact("telemetry", checkable));
    facts.extend([fact("how", *how), fact("look at", *signal), fact("passes", *pass), fact("fails", *fail)]);
    let ambiguities = catalogue::AMBIGUITIES.iter();
    let concerned =
        ambiguities.filter(|one| how.contains(one.id) || has_word(one.resolution, name)).map(|one| one.id);
    facts.extend(list("read as", concerned));
    Explanation { name, sort: "requirement", facts }
}

fn of_ambiguity(ambiguity: &Ambiguity) -> Explanation {
    let Ambiguity { id: name, sections, problem, resolution } = ambiguity;
    let mut facts =
        vec![fact("unclear", *problem), fact("read as", *resolution), fact("sections", sections.join(", "))];
    facts.extend(list("see", REQUIREMENTS.iter().filter(|one| concerns(one, name)).map(|one| one.id)));
    Explanation { name, sort: "ambiguity", facts }
}

fn of_word(word: &Word) -> Explanation {
    let mut facts: Vec<Fact> = word.facts.iter().map(|(label, text)| fact(label, *text)).collect();
    // Texts leave the namespace out where the rest of the name is a name still.
    let short = word.name.strip_prefix("genops.").filter(|short| short.contains('.'));
    let about_all_alike = about_all_alike(word);
    let speaks = |requirement: &&Requirement| {
        concerns(requirement, word.name)
            || short.is_some_and(|short| concerns(requirement, short))
            || about_all_alike.iter().any(|id| id.requirement().id == requirement.id)
    };
    let speaking: Vec<&Requirement> = REQUIREMENTS.iter().filter(speaks).collect();
    if let Some(example) = example(&speaking, word) {
        facts.push(fact("passes", format!("{} ({})", example.pass, example.id)));
        facts.push(fact("fails", format!("{} ({})", example.fail, example.id)));
    }
    facts.extend(list("see", speaking.iter().map(|requirement| requirement.id)));
    Explanation { name: word.name, sort: word.sort, facts }
}

/// The requirements that speak of a word without naming it, because they speak of all words of its sort.
fn about_all_alike(word: &Word) -> &'static [Id] {
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| word.name.starts_with(beginning));
    match word.sort {
        "decision state" => &[id::DEC_4_1_1, id::DEC_4_1_5],
        "reason code" => &[id::RSN_5_1_1, id::RSN_5_2_1],
        "optional attribute" if begins(&["genops.budget."]) => &[id::OPT_7_3_3],
        "optional attribute" if begins(&["genops.policy."]) => &[id::OPT_7_3_4],
        "optional attribute" if begins(&["genops.cost."]) => &[id::OPT_7_3_5],
        "optional attribute" if begins(&["genops.tokens."]) => &[id::OPT_7_3_6],
        "optional attribute" if begins(&["genops.eval."]) => &[id::OPT_7_3_7],
        "optional attribute" if begins(&["genops.sla."]) => &[id::OPT_7_3_8],
        "optional attribute" if !begins(&["genops.accounting."]) => &[id::OPT_7_3_9],
        _ => &[],
    }
}

/// Of the requirements that speak of a word, the one whose examples show it best: it is about the word, and binds.
fn example<'a>(speaking: &[&'a Requirement], word: &Word) -> Option<&'a Requirement> {
    let short = word.name.strip_prefix("genops.").unwrap_or(word.name);
    let shows = |requirement: &Requirement| {
        let says = |text: &str| has_word(text, word.name) || has_word(text, short);
        let binds = requirement.level.binds() && requirement.checkable != Checkable::No;
        let is_about = requirement.text.starts_with(word.name) || requirement.text.starts_with(short);
        (binds, is_about, says(requirement.pass) && says(requirement.fail), says(requirement.text))
    };
    // Of equals, the first.
    speaking.iter().rev().copied().max_by_key(|requirement| shows(requirement))
}

const fn weight(requirement: &Requirement) -> &'static str {
    match (requirement.gates(false), requirement.gates(true)) {
        (_, true) => "full and partial compliance rest on it",
        (true, false) => "full compliance rests on it",
        (false, false) => "no level rests on it",
    }
}

const fn subject(subject: Subject) -> &'static str {
    match subject {
        Subject::Runtime => "the runtime",
        Subject::Claim => "whoever claims compliance",
        Subject::Consumer => "whoever reads the telemetry",
        Subject::SpecEditors => "the editors of the specification",
        Subject::Suite => "whoever publishes a test suite",
    }
}

fn fact(label: &'static str, text: impl Into<String>) -> Fact {
    Fact { label, text: text.into() }
}

fn list(label: &'static str, names: impl Iterator<Item = &'static str>) -> Option<Fact> {
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| fact(label, names.join(", ")))
}

/// Whether a requirement speaks of something.
fn concerns(requirement: &Requirement, name: &str) -> bool {
    let Requirement { text, applies_when, how, signal, pass, fail, .. } = requirement;
    [*text, applies_when.unwrap_or_default(), how, signal, pass, fail].iter().any(|text| has_word(text, name))
}

/// Whether a name stands in a text, and not as a part of a longer one.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
        let mut after = after.chars();
        let goes_on = match after.next() {
            // A dot ends a sentence, or goes on with the name.
            Some('.' | '-') => after.next().is_some_and(is_part),
            next => next.is_some_and(is_part),
        };
        !before.ends_with(is_part) && !goes_on
    })
}

// === Names that are not known ===

/// So many names are offered.
const OFFERED: usize = 4;

fn unknown(name: &str) -> Unknown {
    // A name is short; nobody waits for the distance to a whole text.
    let shown: String = name.chars().take(80).collect();
    let asked = shown.to_ascii_lowercase();
    let mut near: Vec<(u64, &'static str)> = names().map(|known| (distance(&asked, known), known)).collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.dedup();
    let nearest =
        near.into_iter().filter(|(distance, _)| *distance <= FAR).take(OFFERED).map(|(_, known)| known);
    Unknown { name: shown, nearest: nearest.collect() }
}

/// Thousandths of likeness that a name may lack.
const FAR: u64 = 300;

/// How far a name is from what was asked, in thousandths; one that begins or ends with it is near.
fn distance(asked: &str, known: &str) -> u64 {
    let known = known.to_ascii_lowercase();
    if asked.len() > 2 && (known.starts_with(asked) || known.ends_with(asked)) {
        return 0;
    }
    let likeness =
        strsim::jaro_winkler(asked, &known).max(strsim::normalized_damerau_levenshtein(asked, &known));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a likeness is from 0 to 1")]
    let distance = ((1.0 - likeness) * 1_000.0) as u64;
    distance
}

fn nearest_words(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        return "ask for a requirement (`ATT-7.1-6`), an ambiguity (`AMB-03`), a reason code, a decision state, an \
                attribute or an event"
            .to_owned();
    }
    format!("did you mean `{}`?", nearest.join("`, `"))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page::default();
        page.line(0, &format!("{}: {}", self.name, self.sort));
        for Fact { label, text } in &self.facts {
            page.pair(2, label, text);
        }
        f.write_str(&page.into_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(name: &str) -> String {
        explain(name).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_with_a_name_is_explained() {
        assert!(names().count() > REQUIREMENTS.len() + catalogue::AMBIGUITIES.len() + 55);
        for name in names() {
            let found = explain(name).unwrap();
            assert!(found.iter().all(|one| one.name == name && !one.facts.is_empty()), "{name}");
        }
    }

    #[test]
    fn every_word_of_the_specification_is_spoken_of_in_a_requirement() {
        for word in WORDS.iter().filter(|word| word.sort != "definition") {
            let explanation = of_word(word);
            let has = |label| explanation.facts.iter().any(|fact| fact.label == label);
            assert!(has("see") || word.sort.starts_with("state of"), "{}", word.name);
        }
    }

    #[test]
    fn a_name_that_means_two_things_is_explained_twice() {
        let found = explain("rate_limited").unwrap();
        assert_eq!(found.iter().map(|one| one.sort).collect::<Vec<_>>(), ["decision state", "reason code"]);
    }

    #[test]
    fn an_attribute_tells_its_type_and_when_it_is_due() {
        let text = text_of("genops.accounting.actual");
        for part in
            ["type      double", "due       the AWU completed execution", "ATT-7.1-7", "passes", "fails"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_longer_name_is_not_the_shorter_one() {
        assert!(has_word("carries genops.policy.reason.", "genops.policy.reason"));
        assert!(!has_word("carries genops.policy.reason_code.", "genops.policy.reason"));
        assert!(!has_word("ATT-7.1-12", "ATT-7.1-1"));
        assert!(!has_word("x genops.policy.reason.y", "genops.policy.reason"));
    }

    #[test]
    fn what_is_not_known_names_what_comes_nearest() {
        for (asked, offered) in [
            ("ATT-7.1.6", "ATT-7.1-6"),
            ("BUDGET_EXEEDED", "BUDGET_EXCEEDED"),
            ("accounting.actual", "genops.accounting.actual"),
            ("genops.acounting.unit", "genops.accounting.unit"),
            ("AMB-3", "AMB-03"),
        ] {
            let unknown = explain(asked).unwrap_err().to_string();
            assert!(unknown.contains(&format!("`{offered}`")), "{unknown}");
        }
        assert!(explain("%").unwrap_err().to_string().contains("ask for a requirement"));
    }
}
