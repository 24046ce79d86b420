//! `genops check` and `genops explain` as programs: exit codes, formats, listening, and an answer for every id.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn genops() -> Command {
    Command::new(env!("CARGO_BIN_EXE_genops"))
}

/// Exit code, standard output, standard error.
fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn check(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    told(genops().current_dir(folder).arg("check").args(arguments).output().unwrap())
}

fn texts(pairs: &[(&str, &str)]) -> Vec<Value> {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn double(key: &str, value: f64) -> Value {
    json!({"key": key, "value": {"doubleValue": value}})
}

/// An AWU that was allowed, ran, and tells its amounts; the events are told too where `is_full`.
fn capture(is_full: bool) -> Value {
    let accounting = |keys: &[&str]| -> Vec<Value> {
        let amounts = keys.iter().map(|key| double(&format!("genops.accounting.{key}"), 0.5));
        amounts.chain(texts(&[("genops.accounting.unit", "USD")])).collect()
    };
    let mut attributes = texts(&[
        ("genops.team", "search"),
        ("genops.project", "ranking"),
        ("genops.environment", "production"),
        ("genops.operation.name", "answer-question"),
        ("genops.operation.type", "inference"),
        ("genops.spec.version", "0.1.0"),
        ("genops.policy.result", "ALLOWED"),
    ]);
    attributes.extend(accounting(&["reserved", "actual"]));
    let event = |name: &str, time: &str, attributes: Vec<Value>| json!({"name": name, "timeUnixNano": time, "attributes": attributes});
    let events = match is_full {
        true => vec![
            event("genops.policy.evaluated", "1001", texts(&[("genops.policy.result", "ALLOWED")])),
            event("genops.budget.reservation", "1002", accounting(&["reserved"])),
            event("genops.budget.reconciliation", "1009", accounting(&["reserved", "actual"])),
        ],
        false => Vec::new(),
    };
    let awu = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "govern",
        "kind": 1, "startTimeUnixNano": "1000", "endTimeUnixNano": "1010", "attributes": attributes,
        "events": events});
    let call = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7",
        "parentSpanId": "b7ad6b7169203331", "name": "chat", "kind": 3, "startTimeUnixNano": "1003",
        "endTimeUnixNano": "1008", "attributes": texts(&[("gen_ai.operation.name", "chat")])});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [awu, call]}]}]})
}

/// A folder with captures of every outcome.
fn captures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("full.json", capture(true).to_string());
    write("partial.json", capture(false).to_string());
    let mut none = capture(true);
    none["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][0]["value"]["stringValue"] =
        json!("");
    write("none.json", none.to_string());
    write(
        "foreign.json",
        json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}).to_string(),
    );
    write("noise", "this is no telemetry".to_owned());
    folder
}

#[test]
fn the_exit_code_says_what_became_of_the_claim() {
    let folder = captures();
    for (arguments, code, begins) in [
        (&["full.json", "--claim", "full"][..], 0, "full, not refuted: "),
        (&["full.json", "--claim", "partial"], 0, "full, not refuted: "),
        (&["full.json"], 0, "full, not refuted: "),
        (&["partial.json", "--claim", "full"], 1, "partial, not refuted: "),
        (&["partial.json", "--claim", "partial"], 0, "partial, not refuted: "),
        (&["partial.json"], 0, "partial, not refuted: "),
        (&["none.json", "--claim", "partial"], 1, "none: "),
        (&["none.json"], 1, "none: "),
        (&["foreign.json"], 3, "nothing observed: "),
        (&["foreign.json", "--claim", "full"], 3, "nothing observed: "),
    ] {
        let (exit, said, _) = check(folder.path(), arguments);
        assert!(exit == code && said.starts_with(begins), "{arguments:?}: {exit} and not {code}\n{said}");
    }
}

#[test]
fn what_cannot_be_read_is_told_to_people_and_to_programs() {
    let folder = captures();
    for path in ["noise", "absent"] {
        let (code, said, told) = check(folder.path(), &[path]);
        assert_eq!((code, said.as_str()), (2, ""), "{path}");
        assert!(told.starts_with("genops: ") && told.contains(&format!("`{path}`")), "{told}");
        let (code, said, _) = check(folder.path(), &[path, "--format", "json", "--claim", "full"]);
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &report["level"], &report["claim"]["holds"]), (2, &Value::Null, &json!(false)));
    }
}

#[test]
fn one_input_that_cannot_be_read_leaves_no_report_of_the_others() {
    let folder = captures();
    let (code, said, _) = check(folder.path(), &["full.json", "absent", "--format", "json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["level"], &report["counts"]["awus"]), (2, &Value::Null, &json!(0)));
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let folder = captures();
    for arguments in [
        &[][..],
        &["full.json", "--listen"],
        &["full.json", "--for", "3s"],
        &["--listen", "--for", "soon"],
        &["--listen", "--idle", "-3s"],
        &["full.json", "--claim", "complete"],
        &["full.json", "--memory", "0"],
        &["--list", "--format", "junit"],
    ] {
        let (code, _, told) = check(folder.path(), arguments);
        assert!(code == 2 && !told.is_empty(), "{arguments:?}: {code} {told}");
    }
}

#[test]
fn every_format_is_written_to_a_file_or_to_standard_output() {
    let folder = captures();
    for (format, begins) in [
        ("text", "full, not refuted: "),
        ("json", "{\n  \"level\": \"full\","),
        ("junit", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "),
        ("markdown", "# GenOps conformance\n"),
        ("html", "<!DOCTYPE html><html lang=\"en\">"),
    ] {
        let (_, printed, _) = check(folder.path(), &["full.json", "--format", format]);
        assert!(printed.starts_with(begins), "{format}: {printed}");
        let (code, said, _) = check(folder.path(), &["full.json", "--format", format, "--out", "report"]);
        assert_eq!(code, 0);
        assert!(said.starts_with("full, not refuted: ") && said.ends_with("\nwrote report\n"), "{said}");
        assert_eq!(std::fs::read_to_string(folder.path().join("report")).unwrap(), printed);
    }
}

#[test]
fn the_command_in_a_report_reproduces_it() {
    let folder = captures();
    let arguments = ["full.json", "--claim", "full", "--complete", "--strict", "--declaration", "it's ours"];
    let (_, said, _) =
        check(folder.path(), &[&arguments[..], &["--format", "json", "--memory", "64"]].concat());
    let report: Value = serde_json::from_str(&said).unwrap();
    let command =
        r"genops check --claim full --declaration 'it'\''s ours' --complete --strict --memory 64 full.json";
    assert_eq!(report["command"], command);
    let program = env!("CARGO_BIN_EXE_genops");
    let again = format!("{program} {} --format json", command.strip_prefix("genops ").unwrap());
    let again = told(Command::new("sh").current_dir(folder.path()).args(["-c", &again]).output().unwrap());
    assert_eq!(again.1, said);
}

#[test]
fn standard_input_is_read_like_a_file() {
    let mut child =
        genops().args(["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(capture(true).to_string().as_bytes()).unwrap();
    let (code, said, _) = told(child.wait_with_output().unwrap());
    assert!(code == 0 && said.contains("  standard input: OTLP JSON"), "{said}");
}

/// Starts listening on a port that the system chooses, and gives the address.
fn listening(arguments: &[&str]) -> (Child, String, BufReader<std::process::ChildStderr>) {
    let mut command = genops();
    command.args(["check", "--listen", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.strip_prefix("genops: listening on ").unwrap().split([' ', ';']).next().unwrap();
    (child, address.to_owned(), lines)
}

fn send(address: &str) {
    let body = capture(true).to_string();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn what_is_received_is_judged_once_nothing_more_comes() {
    let (child, address, _lines) = listening(&["--idle", "300ms", "--claim", "full"]);
    send(&address);
    let (code, said, _) = told(child.wait_with_output().unwrap());
    assert!(code == 0 && said.starts_with("full, not refuted: "), "{said}");
    assert!(said.contains("OTLP requests, ") && said.contains(" 1 message\n"), "{said}");
}

#[test]
fn an_interrupt_ends_listening_and_shows_the_report() {
    let (child, address, _lines) = listening(&["--format", "json"]);
    send(&address);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let (code, said, _) = told(child.wait_with_output().unwrap());
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["counts"]["awus"]), (0, &json!(1)));
}

#[test]
fn listening_ends_after_its_time_whatever_came() {
    let (child, _, _lines) = listening(&["--for", "200ms"]);
    let (code, said, _) = told(child.wait_with_output().unwrap());
    assert!(code == 3 && said.starts_with("nothing observed: "), "{said}");
}

#[test]
fn every_id_of_the_list_is_explained() {
    let folder = captures();
    let (code, said, _) = check(folder.path(), &["--list", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!((code, list.len()), (0, 167));
    let ids: Vec<&str> = list.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let (code, table, _) = check(folder.path(), &["--list"]);
    assert!(code == 0 && ids.iter().all(|id| table.contains(id)));
    let (code, said, _) = told(genops().arg("explain").args(&ids).output().unwrap());
    assert_eq!(code, 0);
    for id in &ids {
        assert!(said.contains(&format!("{id}: requirement\n  says      ")), "{id}");
    }
}

#[test]
fn words_are_explained_to_people_and_to_programs() {
    let words =
        ["AMB-03", "budget_exceeded", "WARNING", "genops.accounting.actual", "genops.policy.evaluated"];
    let (code, said, _) = told(genops().arg("explain").args(words).output().unwrap());
    assert_eq!(code, 0);
    for sort in ["ambiguity", "reason code", "decision state", "attribute", "event"] {
        assert!(said.contains(&format!(": {sort}\n")), "{sort} in {said}");
    }
    let (_, said, _) = told(genops().arg("explain").args(words).args(["--format", "json"]).output().unwrap());
    let found: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(found.iter().map(|one| &one["name"]).filter(|name| *name == "BUDGET_EXCEEDED").count(), 1);
    let (code, said, told) = told(genops().args(["explain", "AMB-03", "BUDGET_EXEEDED"]).output().unwrap());
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(told.contains("did you mean `BUDGET_EXCEEDED`"), "{told}");
}

#[test]
fn the_schema_is_printed_and_names_the_level() {
    let (code, said, _) = check(Path::new("."), &["--schema"]);
    let schema: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &schema["title"]), (0, &json!("Report")));
    assert!(schema["required"].as_array().unwrap().contains(&json!("level")));
}
