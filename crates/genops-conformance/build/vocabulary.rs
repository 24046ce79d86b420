//! Turns `spec/vocabulary.yaml`, and the definitions of `spec/requirements.yaml`, into a table of words for
//! `genops explain`.
//!
//! Names and types for judging are those of `genops-spec`; these are for reading.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use serde::Deserialize;

#[derive(Deserialize)]
struct Vocabulary {
    decisions: BTreeMap<String, Decision>,
    reason_codes: BTreeMap<String, ReasonCode>,
    required_attributes: BTreeMap<String, Attribute>,
    optional_attributes: BTreeMap<String, Attribute>,
    groups: BTreeMap<String, String>,
    events: BTreeMap<String, Event>,
}

#[derive(Deserialize)]
struct Decision {
    proceeds: bool,
    reason_code: String,
    meaning: String,
}

#[derive(Deserialize)]
struct ReasonCode {
    category: String,
    meaning: String,
}

#[derive(Deserialize)]
struct Attribute {
    r#type: String,
    when: Option<String>,
    section: Option<String>,
    format: Option<String>,
    unit: Option<String>,
    rule: Option<String>,
    group: Option<String>,
    note: Option<String>,
    #[serde(default)]
    examples: Vec<String>,
}

#[derive(Deserialize)]
struct Event {
    phase: Option<String>,
    required: bool,
    when: String,
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Catalogue {
    definitions: BTreeMap<String, Definition>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Definition {
    Text(String),
    Words(BTreeMap<String, String>),
}

/// Facts about a word, each with its label.
type Facts = Vec<(&'static str, String)>;

/// The table of words.
pub fn rust(vocabulary: &str, catalogue: &str) -> Result<String, Box<dyn Error>> {
    let vocabulary: Vocabulary = serde_saphyr::from_str(vocabulary)?;
    let catalogue: Catalogue = serde_saphyr::from_str(catalogue)?;
    let mut text = String::from("static WORDS: &[Word] = &[\n");
    let mut add = |name: &str, sort: &str, facts: Facts| {
        writeln!(text, "    Word {{ name: {name:?}, sort: {sort:?}, facts: &{facts:?} }},")
    };
    for (name, decision) in &vocabulary.decisions {
        add(name, "decision state", of_decision(decision))?;
    }
    for (name, code) in &vocabulary.reason_codes {
        let facts =
            vec![("means", code.meaning.clone()), ("category", code.category.clone()), section("5.2")];
        add(name, "reason code", facts)?;
    }
    for (name, attribute) in &vocabulary.required_attributes {
        add(name, "attribute", of_attribute(attribute, &vocabulary.groups))?;
    }
    for (name, attribute) in &vocabulary.optional_attributes {
        add(name, "optional attribute", of_attribute(attribute, &vocabulary.groups))?;
    }
    for (name, event) in &vocabulary.events {
        add(name, if event.required { "event" } else { "optional event" }, of_event(event))?;
    }
    for (name, definition) in &catalogue.definitions {
        match definition {
            Definition::Text(meaning) => add(name, "definition", vec![("means", meaning.clone())])?,
            Definition::Words(words) => {
                for (name, meaning) in words {
                    add(name, "state of an AWU's life", vec![("means", meaning.clone())])?;
                }
            }
        }
    }
    text.push_str("];\n");
    Ok(text)
}

fn section(section: &str) -> (&'static str, String) {
    ("section", section.to_owned())
}

fn of_decision(decision: &Decision) -> Facts {
    let Decision { proceeds, reason_code, meaning } = decision;
    let goes_on = if *proceeds { "the work goes on" } else { "the work does not run" };
    let code = format!("a reason code is {reason_code}");
    vec![("means", meaning.clone()), ("then", goes_on.to_owned()), ("with", code), section("4.1")]
}

fn of_attribute(attribute: &Attribute, groups: &BTreeMap<String, String>) -> Facts {
    let due = attribute.when.clone().unwrap_or_else(|| "never; the runtime may say it".to_owned());
    let mut facts = vec![("type", attribute.r#type.clone()), ("due", due)];
    let examples = (!attribute.examples.is_empty()).then(|| attribute.examples.join(", "));
    let more = [
        ("unit", attribute.unit.clone()),
        ("format", attribute.format.clone()),
        ("rule", attribute.rule.clone()),
        ("note", attribute.note.clone()),
        ("such as", examples),
        ("together", attribute.group.as_ref().and_then(|group| groups.get(group)).cloned()),
    ];
    facts.extend(more.into_iter().filter_map(|(label, fact)| Some((label, fact?))));
    let by_group = if attribute.group.is_some() { "6.3" } else { "7.3" };
    facts.push(section(attribute.section.as_deref().unwrap_or(by_group)));
    facts
}

fn of_event(event: &Event) -> Facts {
    let mut facts = vec![("due", event.when.clone())];
    facts.extend(event.phase.clone().map(|phase| ("phase", phase)));
    facts.extend(event.attributes.iter().map(|(key, when)| ("carries", format!("{key}: {when}"))));
    facts
}
