//! Holds the registry under `semconv/` and the words in `spec/vocabulary.yaml` together, in both directions.
//!
//! Whether the registry has the form that Weaver reads is for `weaver registry check` to say.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// Key to rule, as one of the requirement levels that the registry knows.
type Levels<'a> = BTreeMap<&'a str, &'static str>;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[expect(clippy::disallowed_methods, reason = "a file of the registry that nobody listed counts too")]
fn read(path: &Path) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn vocabulary() -> Value {
    read(&root().join("spec/vocabulary.yaml"))
}

/// Every definition file of the registry: all that Weaver would read, the manifest apart.
fn definitions() -> Vec<Value> {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("semconv")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    files.retain(|path| path.file_name().is_some_and(|name| name != "manifest.yaml"));
    files.iter().map(|path| read(path)).collect()
}

/// The entries of one kind over all files, by what names them. A name that stands twice is an error.
fn entries<'a>(files: &'a [Value], kind: &str, name: &str) -> BTreeMap<&'a str, &'a Value> {
    let mut found = BTreeMap::new();
    for entry in files.iter().filter_map(|file| file[kind].as_array()).flatten() {
        let name = text(&entry[name]);
        assert!(found.insert(name, entry).is_none(), "{name} is defined twice");
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn the_files_are_definitions_of_the_version_of_the_vocabulary() {
    let version = vocabulary()["spec_version"].clone();
    let manifest = read(&root().join("semconv/manifest.yaml"));
    assert_eq!(text(&manifest["schema_url"]).rsplit('/').next().unwrap(), text(&version));
    assert!(manifest.get("file_format").is_none(), "a manifest with a file_format is that of a publication");

    let files = definitions();
    assert!(!files.is_empty());
    for file in &files {
        assert_eq!(file["file_format"], "definition/2");
        for kind in keys(file) {
            assert!(
                ["file_format", "attributes", "spans", "events"].contains(&kind),
                "{kind} is not compared"
            );
        }
    }
}

#[test]
fn attributes_have_the_names_and_types_of_the_vocabulary() {
    let words = vocabulary();
    let files = definitions();
    let ours = entries(&files, "attributes", "key");
    let mut theirs = BTreeMap::new();
    for group in ["required_attributes", "optional_attributes"] {
        theirs.extend(words[group].as_object().unwrap().iter().map(|(key, told)| (key.as_str(), told)));
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (key, told) in theirs {
        let ours = ours[key];
        let kind = match text(&told["type"]) {
            "int64" => "int",
            other => other,
        };
        match ours["type"].get("members") {
            Some(_) => assert_eq!(kind, "string", "{key} has members, and those are strings"),
            None => assert_eq!(text(&ours["type"]), kind, "{key}"),
        }
        for example in told["examples"].as_array().into_iter().flatten() {
            assert!(
                ours["examples"].as_array().unwrap().contains(example),
                "{key} lacks the example {example}"
            );
        }
    }
}

#[test]
fn enums_have_the_members_of_the_vocabulary() {
    let words = vocabulary();
    let files = definitions();
    let sets = [("genops.policy.result", "decisions"), ("genops.policy.reason_code", "reason_codes")];
    for (key, attribute) in entries(&files, "attributes", "key") {
        let Some(members) = attribute["type"].get("members") else {
            assert!(sets.iter().all(|(closed, _)| *closed != key), "{key} is no enum");
            continue;
        };
        let (_, set) = sets.iter().find(|(closed, _)| *closed == key).unwrap();
        let mut ours: Vec<_> = members.as_array().unwrap().iter().map(|m| text(&m["value"])).collect();
        ours.sort_unstable();
        assert_eq!(ours, keys(&words[*set]), "{key}");
    }
}

#[test]
fn the_span_demands_what_the_vocabulary_demands() {
    let words = vocabulary();
    let files = definitions();
    let spans = entries(&files, "spans", "type");
    assert_eq!(spans.keys().collect::<Vec<_>>(), [&"genops.awu"]);
    let mut theirs = Levels::new();
    for (key, told) in words["required_attributes"].as_object().unwrap() {
        theirs.insert(key, if told["when"] == "always" { "required" } else { "conditionally_required" });
    }
    theirs
        .extend(words["optional_attributes"].as_object().unwrap().keys().map(|key| (key.as_str(), "opt_in")));
    assert_eq!(levels(spans["genops.awu"]), theirs);
}

#[test]
fn events_demand_what_the_vocabulary_demands() {
    let words = vocabulary();
    let files = definitions();
    let ours = entries(&files, "events", "name");
    assert_eq!(ours.keys().copied().collect::<Vec<_>>(), keys(&words["events"]));
    for (name, event) in ours {
        let told = &words["events"][name];
        let emitted = if told["required"] == true { "recommended" } else { "opt_in" };
        assert_eq!(event["requirement_level"], emitted, "{name}");
        let mut theirs = Levels::new();
        for (key, rule) in told["attributes"].as_object().unwrap() {
            theirs.insert(key, level_of(text(rule)));
        }
        assert_eq!(levels(event), theirs, "{name}");
    }
}

fn level_of(rule: &str) -> &'static str {
    match rule {
        "required" => "required",
        _ if rule.starts_with("required when ") => "conditionally_required",
        _ if rule.starts_with("optional") => "opt_in",
        _ => panic!("the vocabulary has a new kind of rule: {rule}"),
    }
}

/// What a span or an event asks of each attribute. The condition in prose is there for people.
fn levels(signal: &Value) -> Levels<'_> {
    let mut found = Levels::new();
    for reference in signal["attributes"].as_array().unwrap() {
        let key = text(&reference["ref"]);
        assert!(found.insert(key, level(&reference["requirement_level"])).is_none(), "{key} stands twice");
    }
    found
}

fn level(written: &Value) -> &'static str {
    let word = match written.as_object() {
        Some(with_prose) => {
            assert_eq!(with_prose.len(), 1);
            assert!(with_prose.values().all(|prose| !text(prose).is_empty()));
            *keys(written).first().unwrap()
        }
        None => text(written),
    };
    ["required", "conditionally_required", "opt_in"].into_iter().find(|known| *known == word).unwrap()
}

/// Before 1.0.0 the specification promises nothing (section 11.1), so the registry does not either.
#[test]
fn nothing_is_called_stable() {
    let mut files = definitions();
    files.push(read(&root().join("semconv/manifest.yaml")));
    let mut open: Vec<&Value> = files.iter().collect();
    let mut seen = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                if let Some(stability) = fields.get("stability") {
                    assert_eq!(*stability, json!("development"));
                    seen += 1;
                }
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    assert!(seen > 1);
}
