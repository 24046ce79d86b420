//! Reports: they say what was judged, the JSON meets its schema, and nothing that a capture says gets out of its
//! place.
#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use genops_conformance::catalogue::{Id, REQUIREMENTS, id};
use genops_conformance::input::{Format as InputFormat, Input, Inputs, Notes};
use genops_conformance::judge::Judgement;
use genops_conformance::level::{Claim, Terms, sum_up};
use genops_conformance::otlp::record::Span;
use genops_conformance::report::{Format, Report, schema};
use genops_conformance::verdict::{Evidence, Outcome};
use genops_conformance::{Checker, Strictness};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

const FORMATS: [Format; 5] = [Format::Text, Format::Json, Format::Junit, Format::Markdown, Format::Html];

fn awu(number: u8) -> [u8; 24] {
    [number; 24]
}

/// What a rule says of an AWU.
fn say(judgement: &mut Judgement, id: Id, number: u8, outcome: Outcome) {
    let bytes = awu(number);
    let (trace_id, span_id) = bytes.split_at(16);
    judgement.take(id, Some(&Span { trace_id, span_id, ..Span::default() }), outcome);
}

fn file(name: &str) -> Inputs {
    let mut input = Input::new(name, InputFormat::JsonLines);
    (input.bytes, input.messages, input.sha256) = (1_234_567, 12, "ab".repeat(32));
    Inputs { all: vec![input], ..Inputs::default() }
}

fn report(judgement: &mut Judgement, terms: &Terms, inputs: &Inputs) -> Report {
    let standing = sum_up(judgement, terms);
    Report::new(judgement, &standing, inputs, terms, "genops check capture.jsonl")
}

/// Three AWUs: one attribute is missing on all of them, one breaks a SHOULD, and all else is not observed.
fn small() -> Report {
    let mut judgement = Judgement::new(Strictness::default());
    judgement.counts.awus = 3;
    judgement.counts.states = [1, 0, 2, 0, 0];
    (judgement.counts.spans, judgement.counts.logs, judgement.counts.resent) = (1_500, 4, 2);
    judgement.counts.window = Some((1_772_442_845_120_000_000, 1_772_442_846_000_000_001));
    for number in 1..=3 {
        let missing =
            || Evidence::new("AWU span", "genops.team", "absent", "a stringValue").mend("set it").fails();
        say(&mut judgement, id::AWU_2_3_1, number, missing());
        say(&mut judgement, id::ATT_7_1_1, number, missing());
        say(&mut judgement, id::ATT_7_1_2, number, Outcome::Pass);
        say(&mut judgement, id::ATT_7_1_6, number, Outcome::NotApplicable("it was refused"));
    }
    let retry = Evidence::new("AWU span", "links", "none", "a link to the first try");
    say(&mut judgement, id::DEC_4_3_3, 3, retry.advises());
    say(&mut judgement, id::EVT_7_2_1, 1, Outcome::Inconclusive("a sampler leaves spans out"));
    report(&mut judgement, &Terms::default(), &file("capture.jsonl"))
}

#[test]
fn people_read_the_verdict_then_what_is_broken_then_the_rest() {
    let text = small().render(Format::Text);
    let begin = "\
none: 2 requirements are broken on which even partial compliance rests

Broken: 2 requirements

  AWU-2.3-1  MUST, section 2.3; full and partial compliance rest on it
    Every AWU carries genops.team as a string.
    AWU span, genops.team
      observed  absent
      expected  a stringValue
      mend      set it
      AWU       01010101010101010101010101010101-0101010101010101
      AWU       02020202020202020202020202020202-0202020202020202
      AWU       03030303030303030303030303030303-0303030303030303

  ATT-7.1-1  MUST, section 7.1; full and partial compliance rest on it
    genops.team on every AWU (same duty as AWU-2.3-1, no exception).
    the same as found at AWU-2.3-1

Worth a look: 1 requirement

  DEC-4.3-3  SHOULD, section 4.3; no level rests on it
    A retry is better shown as a new AWU.
    AWU span, links
      observed  none
      expected  a link to the first try
      AWU       03030303030303030303030303030303-0303030303030303

Section 9.1, item by item: how many of its requirements were seen to hold
  1  fail             1 of 21  Required attributes on every AWU, with the 7.1 exceptions. Broken: AWU-2.3-1,
                               ATT-7.1-1. Not exercised: 19.
  2  not observed     0 of 11  ";
    assert!(text.starts_with(begin), "{text}");
    let end = format!(
        "
What was read
  capture.jsonl: OTLP JSON lines, 1,234,567 bytes, 12 messages
    sha256    {}
  AWUs      3: 1 refused before reservation, 2 executed
  records   1,500 spans, 4 log records, 2 came again
  window    2026-03-02T09:14:05.12Z to 2026-03-02T09:14:06.000000001Z

Held against
  spec      GenOps Governance Specification 0.1.0 (bd0fce8)
  by        catalogue 1 of 167 statements, checker {}
  again     genops check capture.jsonl
  26 statements cannot be decided by telemetry; docs/conformance.md lists them
",
        "ab".repeat(32),
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.ends_with(&end), "{text}");
    assert!(text.contains("\n  EVT-7.2-1    inconclusive    "), "{text}");
    let words: Vec<_> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("for each decision. (a sampler leaves spans out) EVT-7.2-2"), "{text}");
}

#[test]
fn programs_read_the_level_and_each_requirement_by_its_id() {
    let json: Value = serde_json::from_str(&small().render(Format::Json)).unwrap();
    assert_eq!(json["level"], "none");
    assert_eq!(json["verified"], false);
    assert_eq!(json["spec"]["version"], "0.1.0");
    assert_eq!(json["catalogue_version"], 1);
    assert_eq!(json["counts"]["states"]["executed_complete"], 2);
    assert_eq!(json["window"]["to_unix_nano"], "1772442846000000001");
    let requirements = json["requirements"].as_array().unwrap();
    assert_eq!(requirements.len(), REQUIREMENTS.len());
    let of = |id: &str| requirements.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(of("ATT-7.1-1")["verdict"], "fail");
    assert_eq!(of("ATT-7.1-1")["awus"]["fail"], 3);
    assert_eq!(of("ATT-7.1-2")["verdict"], "pass");
    assert_eq!(of("ATT-7.1-6")["why"], "it was refused");
    assert_eq!(of("DEC-4.3-3")["verdict"], "advisory");
    assert_eq!(of("ACC-3.3-1")["verdict"], "not_observed");
    assert_eq!(json["items"].as_array().unwrap().len(), 8);
    assert_eq!(json["not_decidable"].as_array().unwrap().len(), 26);
    let findings = json["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["id"] == "ATT-7.1-1").unwrap();
    assert_eq!(found["awu"], "01010101010101010101010101010101-0101010101010101");
    assert_eq!((&found["key"], &found["mend"]), (&Value::from("genops.team"), &Value::from("set it")));
}

#[test]
fn the_json_report_meets_its_published_schema() {
    let schema = serde_json::to_value(schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let nothing = report(&mut Judgement::new(Strictness::default()), &Terms::default(), &Inputs::default());
    for report in [small(), nothing, hostile(), unread()] {
        let json: Value = serde_json::from_str(&report.render(Format::Json)).unwrap();
        let problems: Vec<_> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new());
    }
    let mut wrong: Value = serde_json::from_str(&small().render(Format::Json)).unwrap();
    wrong["level"] = Value::from("perfect");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn every_property_of_the_schema_is_described() {
    let schema = serde_json::to_value(schema()).unwrap();
    let mut objects = vec![&schema];
    objects.extend(schema["$defs"].as_object().unwrap().values());
    let properties = objects.iter().filter_map(|object| object["properties"].as_object()).flatten();
    let bare: Vec<_> = properties.filter(|(_, property)| property["description"].is_null()).collect();
    assert!(bare.is_empty(), "{bare:?}");
}

const HOSTILE: &str =
    "</code><script>alert(1)</script>]]>&\"'`|``` **b** \u{1b}[31m\r\n# heading\u{0}\u{202e}\u{ffff}";

/// A report in which everything that comes from outside is hostile.
fn hostile() -> Report {
    let mut judgement = Judgement::new(Strictness::default());
    judgement.counts.awus = 1;
    for (id, is_broken) in [(id::ATT_7_1_1, true), (id::DEC_4_3_3, false)] {
        let evidence = Evidence::new(HOSTILE, HOSTILE, HOSTILE, HOSTILE).mend(HOSTILE);
        say(&mut judgement, id, 1, if is_broken { evidence.fails() } else { evidence.advises() });
    }
    let mut inputs = file(HOSTILE);
    inputs.all[0].problems.add(HOSTILE.to_owned());
    inputs.notes.add(HOSTILE.to_owned());
    let terms = Terms { claim: Some(Claim::Full), declaration: Some(HOSTILE.to_owned()), strict: true };
    let standing = sum_up(&mut judgement, &terms);
    Report::new(&judgement, &standing, &inputs, &terms, HOSTILE)
}

#[test]
fn no_character_that_steers_gets_into_a_report() {
    for format in FORMATS {
        let text = hostile().render(format);
        let steers =
            |char: &char| (char.is_control() && *char != '\n') || ['\u{202e}', '\u{ffff}'].contains(char);
        assert_eq!(text.chars().find(steers), None, "{format:?}");
        assert!(!text.contains("\n# heading"), "{format:?}");
        assert!(text.contains("alert(1)"), "{format:?}: what was seen is shown");
    }
}

#[test]
fn a_page_has_one_script_which_is_its_own() {
    for report in [hostile(), small()] {
        let page = report.render(Format::Html);
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</code><script").count(), 0);
        for outside in ["src=", "http://", "https://", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(REQUIREMENTS.iter().all(|one| page.contains(&format!("<tr id=\"{}\"", one.id))));
    }
}

#[test]
fn a_test_case_stands_for_each_requirement_and_the_xml_reads_back() {
    for report in [hostile(), small(), unread()] {
        let xml = report.render(Format::Junit);
        let mut reader = Reader::from_str(&xml);
        reader.config_mut().check_end_names = true;
        let (mut cases, mut failures, mut skipped, mut depth) = (0, 0, 0, 0_i32);
        loop {
            let event = reader.read_event().unwrap();
            let (name, attributes) = match &event {
                Event::Start(start) | Event::Empty(start) => {
                    (start.name().as_ref().to_owned(), start.attributes())
                }
                Event::End(_) => {
                    depth -= 1;
                    continue;
                }
                Event::Eof => break,
                _ => continue,
            };
            attributes.for_each(|attribute| drop(attribute.unwrap()));
            depth += i32::from(matches!(event, Event::Start(_)));
            cases += u32::from(name == "testcase");
            failures += u32::from(name == "failure");
            skipped += u32::from(name == "skipped");
        }
        assert_eq!(depth, 0);
        let unreadable = u32::from(report.level.is_none());
        assert_eq!(cases, u32::try_from(REQUIREMENTS.len()).unwrap() + unreadable);
        let head = format!("failures=\"{failures}\" errors=\"{unreadable}\" skipped=\"{skipped}\"");
        assert!(xml.contains(&head), "{head} in {}", xml.lines().nth(2).unwrap());
    }
}

/// A report of an input of which nothing could be read.
fn unread() -> Report {
    let mut inputs = file("noise");
    inputs.all[0].messages = 0;
    inputs.all[0].problems = Notes { first: vec!["it is no OTLP".to_owned()], more: 3 };
    let terms = Terms { claim: Some(Claim::Partial), ..Terms::default() };
    report(&mut Checker::new(Strictness::default(), 1 << 20).finish(), &terms, &inputs)
}

#[test]
fn what_cannot_be_read_has_no_level_and_keeps_no_claim() {
    let report = unread();
    assert_eq!(report.level, None);
    assert!(!report.verified && !report.holds());
    assert_eq!(report.claim.holds, Some(false));
    let json: Value = serde_json::from_str(&report.render(Format::Json)).unwrap();
    assert!(json["level"].is_null());
    assert_eq!(json["inputs"][0]["problems"], serde_json::json!(["it is no OTLP", "and 3 more"]));
    assert!(report.render(Format::Junit).contains("<error message=\"not readable"));
}

#[test]
fn a_report_is_the_same_to_the_last_byte_whenever_it_is_made() {
    for format in FORMATS {
        assert_eq!(small().render(format), small().render(format));
    }
}

#[test]
fn the_counts_are_whole_where_examples_end() {
    let mut judgement = Judgement::new(Strictness::default());
    judgement.counts.awus = 60;
    for number in 0..60 {
        let evidence = || Evidence::new("AWU span", "genops.team", "absent", "a stringValue");
        let outcome = if number < 30 { evidence().advises() } else { evidence().fails() };
        say(&mut judgement, id::ATT_7_1_1, number, outcome);
    }
    let report = report(&mut judgement, &Terms::default(), &file("capture.jsonl"));
    // What is broken has its examples, whatever was worth a look before.
    let number_30 =
        report.findings.iter().find(|one| one.awu.as_deref().is_some_and(|awu| awu.starts_with("1e")));
    assert!(number_30.is_some());
    assert!(
        report.render(Format::Text).contains("    and 27 more AWUs\n"),
        "{}",
        report.render(Format::Text)
    );
    assert!(report.render(Format::Html).contains("and 10 more AWUs"));
    assert!(report.render(Format::Markdown).contains("- and 10 more AWUs"));
}
