//! The journal and delivered telemetry: what comes of an edit of what was delivered.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use genops::report::AwuReport;
use serde_json::{Value, json};

use crate::program::{Folder, export, found, only, read, row};
use crate::recorded::RECORDED;

/// The requests of a file.
fn requests(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(requests: &[Value]) -> String {
    requests.iter().map(|request| format!("{request}\n")).collect()
}

fn records<'r>(request: &'r mut Value, signal: &str) -> &'r mut Vec<Value> {
    let path = match signal {
        "traces" => "/resourceSpans/0/scopeSpans/0/spans",
        _ => "/resourceLogs/0/scopeLogs/0/logRecords",
    };
    request.pointer_mut(path).unwrap().as_array_mut().unwrap()
}

fn is_of(record: &Value, awu: &AwuReport) -> bool {
    format!("{}-{}", record["traceId"].as_str().unwrap(), record["spanId"].as_str().unwrap()) == awu.id
}

/// A file with the records of an AWU edited; `None` removes one.
fn edited(signal: &str, awu: &AwuReport, edit: impl Fn(Value) -> Option<Value>) -> String {
    let all = if signal == "traces" { &RECORDED.traces } else { &RECORDED.logs };
    let mut requests = requests(all);
    for request in &mut requests {
        let kept = records(request, signal);
        *kept = std::mem::take(kept)
            .into_iter()
            .filter_map(|record| if is_of(&record, awu) { edit(record) } else { Some(record) })
            .collect();
    }
    text(&requests)
}

/// Sets an attribute of a record that has it.
fn set(mut record: Value, key: &str, value: &Value) -> Value {
    if let Some(all) = record["attributes"].as_array_mut() {
        all.iter_mut().filter(|one| one["key"] == key).for_each(|one| one["value"] = value.clone());
    }
    record
}

fn awu() -> &'static AwuReport {
    RECORDED.in_state("SETTLED")[1]
}

#[test]
fn a_span_that_says_something_else_is_rewritten_and_nothing_is_missing() {
    let folder = Folder::new();
    for (key, value) in [
        ("genops.accounting.reserved", json!({"doubleValue": 0.5})),
        ("genops.accounting.actual", json!({"doubleValue": 0.5})),
        ("genops.accounting.unit", json!({"stringValue": "tokens"})),
        ("genops.policy.result", json!({"stringValue": "WARNING"})),
        ("genops.team", json!({"stringValue": "ads"})),
        ("genops.environment", json!({"stringValue": "\u{1b}[31m"})),
        ("genops.tokens.input", json!({"intValue": "201"})),
        ("genops_runtime.ledger.sequence", json!({"intValue": "1"})),
        ("genops_runtime.ledger.sequence", json!({"stringValue": "2"})),
    ] {
        folder.write("traces.jsonl", edited("traces", awu(), |span| Some(set(span, key, &value))));
        let report = folder.report(&[]);
        let finding = only(&report, "rewritten", &awu().id);
        assert_eq!(finding["differences"][0]["what"], key);
        assert_eq!(
            (&finding["telemetry"], finding["differences"].as_array().unwrap().len()),
            (&json!("different"), 1)
        );
    }
    let text = folder.audit(&["--otlp", "."]).stdout;
    assert!(String::from_utf8(text).unwrap().starts_with("not all match: 1 rewritten\n"));
}

#[test]
fn a_time_or_an_attribute_that_is_gone_is_rewritten() {
    let folder = Folder::new();
    let later = |mut span: Value| {
        span["endTimeUnixNano"] = json!("1");
        Some(span)
    };
    folder.write("traces.jsonl", edited("traces", awu(), later));
    assert_eq!(only(&folder.report(&[]), "rewritten", &awu().id)["differences"][0]["what"], "end");
    let less = |mut span: Value| {
        span["attributes"].as_array_mut().unwrap().retain(|one| one["key"] != "genops.accounting.actual");
        Some(span)
    };
    folder.write("traces.jsonl", edited("traces", awu(), less));
    let report = folder.report(&[]);
    let difference = &only(&report, "rewritten", &awu().id)["differences"][0];
    assert_eq!((&difference["journal"], &difference["telemetry"]), (&json!("0.0000384"), &Value::Null));
}

#[test]
fn an_event_that_says_something_else_is_rewritten_wherever_it_stands() {
    let folder = Folder::new();
    let zeros = json!({"stringValue": "00".repeat(32)});
    let chain = "genops_runtime.ledger.chain";
    let in_span = |mut span: Value| {
        let event = span["events"][0].take();
        span["events"][0] = set(event, chain, &zeros);
        Some(span)
    };
    folder.write("traces.jsonl", edited("traces", awu(), in_span));
    assert_eq!(only(&folder.report(&[]), "rewritten", &awu().id)["differences"][0]["what"], chain);
    // Also where the log records are not there to tell it.
    let (report, code) = folder.json(&["--otlp", "traces.jsonl"]);
    assert_eq!((found(&report), code), (vec![("rewritten", awu().id.as_str())], 1));

    folder.write("traces.jsonl", &RECORDED.traces);
    folder.write("logs.jsonl", edited("logs", awu(), |log| Some(set(log, chain, &zeros))));
    assert_eq!(only(&folder.report(&[]), "rewritten", &awu().id)["differences"][0]["what"], chain);
    let renamed = |mut log: Value| {
        if log["eventName"] == "genops.budget.reservation" {
            log["eventName"] = json!("genops.budget.\u{1b}[31m");
        }
        Some(log)
    };
    folder.write("logs.jsonl", edited("logs", awu(), renamed));
    let report = folder.report(&[]);
    let what = only(&report, "rewritten", &awu().id)["what"].as_str().unwrap();
    assert!(what.contains("the journal has none such") && !what.contains('\u{1b}'), "{what}");
}

#[test]
fn what_was_not_delivered_is_missing() {
    let folder = Folder::new();
    let nothing = |_| None;
    folder.write("traces.jsonl", edited("traces", awu(), nothing));
    assert_eq!(only(&folder.report(&[]), "missing", &awu().id)["what"], "its span was not delivered");
    folder.write("logs.jsonl", edited("logs", awu(), nothing));
    let report = folder.report(&[]);
    let finding = only(&report, "missing", &awu().id);
    assert_eq!(
        (&finding["what"], &finding["telemetry"]),
        (&json!("nothing of it was delivered"), &json!("nothing"))
    );
    let fewer = |mut span: Value| {
        span["events"].as_array_mut().unwrap().pop();
        Some(span)
    };
    folder.write("traces.jsonl", edited("traces", awu(), fewer));
    let report = folder.report(&[]);
    let what = only(&report, "missing", &awu().id)["what"].as_str().unwrap();
    assert!(what.ends_with("genops.budget.reconciliation"), "{what}");
    // The log record tells it.
    folder.write("logs.jsonl", &RECORDED.logs);
    assert_eq!(folder.report(&[]).1, 0);
}

#[test]
fn what_is_delivered_twice_has_to_say_the_same() {
    let folder = Folder::new();
    folder.write("traces.jsonl", RECORDED.traces.repeat(2));
    folder.write("logs.jsonl", RECORDED.logs.repeat(3));
    assert_eq!(folder.report(&[]).1, 0);
    let other =
        edited("traces", awu(), |span| Some(set(span, "genops.team", &json!({"stringValue": "ads"}))));
    for both in [format!("{other}{}", RECORDED.traces), format!("{}{other}", RECORDED.traces)] {
        folder.write("traces.jsonl", both);
        assert_eq!(only(&folder.report(&[]), "rewritten", &awu().id)["telemetry"], "both");
    }
}

#[test]
fn an_awu_that_telemetry_alone_knows_is_rewritten_once() {
    let folder = Folder::new();
    let other = |mut record: Value| {
        record["spanId"] = json!("ab".repeat(8));
        Some(record)
    };
    let stranger = format!("{}-{}", awu().id.split_once('-').unwrap().0, "ab".repeat(8));
    folder.write("traces.jsonl", RECORDED.traces.clone() + &edited("traces", awu(), other));
    folder.write("logs.jsonl", RECORDED.logs.clone() + &edited("logs", awu(), other));
    let report = folder.report(&[]);
    assert_eq!(only(&report, "rewritten", &stranger)["telemetry"], "alone");
}

#[test]
fn a_ledger_that_knows_less_shows_what_came_later() {
    let folder = Folder::new();
    let arguments = ["--otlp", "traces.jsonl", "logs.jsonl", "--usage", "usage.csv", "--format", "json"];
    let (report, code) = read(&folder.audit_of(&RECORDED.before, &arguments));
    let (runs, last) = (RECORDED.ended("in_doubt"), RECORDED.awus.last().unwrap());
    let mut findings = found(&report);
    findings.dedup();
    let expected = [("unaccounted", last), ("rewritten", runs), ("rewritten", last)];
    assert_eq!(
        (findings, code),
        (expected.map(|(kind, awu)| (kind, awu.id.as_str())).to_vec(), 1),
        "{report:#}"
    );
}

#[test]
fn what_collectors_add_and_other_runtimes_tell_is_passed_over() {
    let folder = Folder::new();
    let more = |mut span: Value| {
        let extra = json!({"key": "k8s.pod.name", "value": {"stringValue": "gateway-1"}});
        span["attributes"].as_array_mut().unwrap().push(extra);
        span["name"] = json!("renamed");
        Some(span)
    };
    let foreign = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "ab".repeat(16), "spanId": "cd".repeat(8),
        "name": "govern", "startTimeUnixNano": "1", "endTimeUnixNano": "2",
        "attributes": [{"key": "genops.team", "value": {"stringValue": "search"}}]}]}]}]});
    folder.write("traces.jsonl", format!("{}{foreign}\n", edited("traces", awu(), more)));
    let (report, code) = folder.report(&[]);
    assert_eq!((code, &report["telemetry"]["foreign"]), (0, &json!(1)), "{report:#}");
}

#[test]
fn telemetry_is_read_in_every_way_that_check_reads_it() {
    let folder = Folder::new();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(RECORDED.traces.as_bytes()).unwrap();
    folder.write("traces.jsonl", packed.finish().unwrap());
    assert_eq!(folder.report(&[]).1, 0);
    folder.write("traces.jsonl", format!("{}{{\"resourceSpans\": [", RECORDED.traces));
    let (report, code) = folder.report(&[]);
    assert_eq!((code, &report["verdict"]), (2, &json!("unread")), "{report:#}");
    let problem = report["telemetry"]["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("traces.jsonl: line "), "{problem}");
    folder.write("noise", "this is no telemetry");
    assert!(folder.complaint(&["--otlp", "noise"]).contains("`noise`"));
}

#[test]
fn a_ledger_that_cannot_be_read_or_was_edited_is_no_ground_for_a_comparison() {
    let folder = Folder::new();
    let output = folder.audit_of(&folder.path("absent.db"), &["--usage", "usage.csv"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let mut bytes = std::fs::read(RECORDED.ledger()).unwrap();
    let needle = b"ranking";
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] = b'R');
    folder.write("edited.db", bytes);
    let output = folder.audit_of(&folder.path("edited.db"), &["--usage", "usage.csv"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn as_many_findings_are_shown_as_are_asked_for() {
    let folder = Folder::new();
    folder.write("usage.csv", export(&[row(awu())]));
    let text = |limit: &str| {
        String::from_utf8(folder.audit(&["--usage", "usage.csv", "--limit", limit]).stdout).unwrap()
    };
    assert!(text("2").contains("\nand 2 more: --limit 4, or --format json\n"), "{}", text("2"));
    assert!(!text("4").contains(" more: "), "{}", text("4"));
}
