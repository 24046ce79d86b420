//! The report for continuous integration: JUnit XML, one test case a requirement.
//!
//! A test case tells the verdict on its requirement, whatever was claimed; the exit code tells what became of the
//! claim.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::Report;
use super::sum::{Case, Group};
use super::text::words;
use crate::verdict::Verdict;

type Xml = Writer<Vec<u8>>;

pub(super) fn render(report: &Report) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Memory takes what is written to it, and quick-xml makes UTF-8 of UTF-8.
    drop(write(&mut xml, report));
    String::from_utf8(xml.into_inner()).unwrap_or_default() + "\n"
}

fn write(xml: &mut Xml, report: &Report) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let of = |verdicts: &[Verdict]| {
        report.requirements.iter().filter(|row| verdicts.contains(&row.verdict)).count().to_string()
    };
    let tests = report.requirements.len().to_string();
    let failures = of(&[Verdict::Fail]);
    let skipped = of(&[Verdict::NotObserved, Verdict::Inconclusive, Verdict::NotApplicable]);
    let errors = u8::from(report.level.is_none()).to_string();
    let counts = [("tests", tests.as_str()), ("failures", failures.as_str()), ("errors", errors.as_str())];
    let name = format!("GenOps Governance Specification {}", report.spec.version);
    xml.create_element("testsuites")
        .with_attribute(("name", "genops check"))
        .with_attributes(counts)
        .write_inner_content(|xml| {
            let suite = xml.create_element("testsuite").with_attribute(("name", name.as_str()));
            let suite = suite.with_attributes(counts).with_attribute(("skipped", skipped.as_str()));
            suite.write_inner_content(|xml| suite_content(xml, report))?;
            Ok(())
        })?;
    Ok(())
}

fn suite_content(xml: &mut Xml, report: &Report) -> io::Result<()> {
    properties(xml, report)?;
    if report.level.is_none() {
        let case = xml.create_element("testcase").with_attribute(("classname", "genops.input"));
        case.with_attribute(("name", "input")).write_inner_content(|xml| {
            let problems = report
                .inputs
                .iter()
                .flat_map(|input| input.problems.iter().map(|problem| format!("{}: {problem}", input.name)));
            let text = problems.collect::<Vec<_>>().join("\n");
            let error = xml.create_element("error").with_attribute(("message", report.summary.as_str()));
            error.write_text_content(BytesText::new(&text))?;
            Ok(())
        })?;
    }
    report.requirements.iter().try_for_each(|row| test_case(xml, &report.group(row)))
}

fn properties(xml: &mut Xml, report: &Report) -> io::Result<()> {
    let catalogue = report.catalogue_version.to_string();
    let properties = [
        ("summary", report.summary.as_str()),
        ("level", report.level.map_or("", crate::level::Level::as_str)),
        ("verified", if report.verified { "true" } else { "false" }),
        ("spec.version", report.spec.version),
        ("spec.commit", report.spec.commit),
        ("catalogue.version", catalogue.as_str()),
        ("checker.version", report.checker_version),
        ("command", report.command.as_str()),
    ];
    let inputs =
        report.inputs.iter().filter_map(|input| Some((input.name.as_str(), input.sha256.as_deref()?)));
    xml.create_element("properties").write_inner_content(|xml| {
        for (name, value) in properties {
            xml.create_element("property")
                .with_attributes([("name", name), ("value", value)])
                .write_empty()?;
        }
        for (name, digest) in inputs {
            let name = format!("input.sha256 {name}");
            let property = [("name", name.as_str()), ("value", digest)];
            xml.create_element("property").with_attributes(property).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn test_case(xml: &mut Xml, group: &Group<'_>) -> io::Result<()> {
    let row = group.row;
    let (class, name) = (format!("genops.{}", row.section), format!("{} {}", row.id, row.text));
    let case = xml.create_element("testcase").with_attribute(("classname", class.as_str()));
    let case = case.with_attribute(("name", name.as_str()));
    match row.verdict {
        Verdict::Pass => case.write_empty()?,
        Verdict::Fail => case.write_inner_content(|xml| {
            let message = format!("{}: {}", row.id, row.text);
            let failure = xml.create_element("failure").with_attribute(("message", message.as_str()));
            let failure = failure.with_attribute(("type", row.level.as_str()));
            failure.write_text_content(BytesText::new(&found(group)))?;
            Ok(())
        })?,
        Verdict::Advisory => case.write_inner_content(|xml| {
            let text = found(group);
            xml.create_element("system-out").write_text_content(BytesText::new(&text))?;
            Ok(())
        })?,
        Verdict::Inconclusive | Verdict::NotObserved | Verdict::NotApplicable => {
            case.write_inner_content(|xml| {
                let why = row.why.map_or_else(String::new, |why| format!(": {why}"));
                let message = format!("{}{why}", words(row.verdict));
                xml.create_element("skipped").with_attribute(("message", message.as_str())).write_empty()?;
                Ok(())
            })?
        }
    };
    Ok(())
}

/// What was found, in plain lines.
fn found(group: &Group<'_>) -> String {
    let case = |case: &Case<'_>| {
        let example = case.example;
        let awus = if case.awus.is_empty() {
            "none: it is about the capture".to_owned()
        } else {
            case.awus.join(", ")
        };
        format!(
            "{}, {}\nobserved  {}\nexpected  {}\nmend      {}\nAWU       {awus}\n",
            example.place, example.key, example.observed, example.expected, example.mend
        )
    };
    let mut text: String = group.cases.iter().map(case).collect::<Vec<_>>().join("\n");
    if group.more > 0 {
        text.push_str(&format!("and {} more\n", group.more));
    }
    format!("{}\n\n{text}", group.row.weight())
}
