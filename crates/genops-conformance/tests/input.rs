//! Files and directories: the same capture comes to the same in every form, and what is wrong with an input is told.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use genops_conformance::input::{self, Format, Inputs};
use sample::{Comparable, Messages, checker, comparable, gzip};
use tempfile::TempDir;

fn file(directory: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path) -> (Inputs, Comparable) {
    let mut checker = checker();
    let inputs = input::read(&[path.to_path_buf()], &mut checker).unwrap();
    (inputs, comparable(checker))
}

fn error_of(path: &Path) -> String {
    input::read(&[path.to_path_buf()], &mut checker()).unwrap_err().to_string()
}

/// The capture in every form that holds all of it: name, bytes, format and number of messages.
fn forms(messages: &Messages) -> Vec<(&'static str, Vec<u8>, Format, u64)> {
    let all = messages.all();
    let lines = String::from_utf8(messages.json_lines()).unwrap();
    let pretty: Vec<String> = all.iter().map(|pair| pair.pretty()).collect();
    let json: Vec<&str> = all.iter().map(|pair| pair.json.as_str()).collect();
    let mixed = format!("{}\n{}{}\n{}", json[0], pretty[1], json[2], pretty[3]);
    let (line, over_lines) = (Format::JsonLines, Format::JsonDocuments);
    vec![
        ("lines", lines.clone().into_bytes(), line, 4),
        ("lines without a last end", lines.trim_end().as_bytes().to_vec(), line, 4),
        ("lines as Windows ends them", lines.replace('\n', "\r\n").into_bytes(), line, 4),
        ("lines with empty ones", format!("\n \n{}", lines.replace('\n', "\n\n")).into_bytes(), line, 4),
        ("lines behind a byte order mark", format!("\u{feff}{lines}").into_bytes(), line, 4),
        ("documents over several lines", pretty.join("\n").into_bytes(), over_lines, 4),
        ("documents with nothing between them", pretty.concat().into_bytes(), over_lines, 4),
        ("documents of both kinds", mixed.into_bytes(), over_lines, 4),
        ("an array", format!("[\n{}\n]", json.join(",\n")).into_bytes(), over_lines, 1),
        ("an array in one line", format!("[{}]", json.join(",")).into_bytes(), line, 1),
        ("documents in one line", lines.replace('\n', " ").into_bytes(), line, 1),
        ("messages with their lengths", messages.length_prefixed(), Format::LengthPrefixed, 4),
    ]
}

#[test]
fn the_same_capture_comes_to_the_same_in_every_form() {
    let messages = Messages::new();
    let expected = messages.expected();
    assert!(expected.2.awus > 0 && expected.2.logs > 0 && expected.2.broken == 0);
    let directory = TempDir::new().unwrap();
    for (name, bytes, format, count) in forms(&messages) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let members = [gzip(first), gzip(second)].concat();
        for (is_gzip, bytes) in [(false, bytes.clone()), (true, gzip(&bytes)), (true, members)] {
            let (inputs, came_to) = read(&file(&directory, "capture", &bytes));
            let input = &inputs.all[0];
            assert_eq!(input.problems.first, [""; 0], "{name}");
            assert_eq!((input.format, input.is_gzip, input.messages), (format, is_gzip, count), "{name}");
            assert_eq!(input.bytes, bytes.len() as u64, "{name}");
            assert_eq!(came_to, expected, "{name}");
        }
    }
}

#[test]
fn one_bare_message_comes_to_the_same_as_its_json() {
    let messages = Messages::new();
    let directory = TempDir::new().unwrap();
    for pair in messages.all() {
        let (json, from_json) = read(&file(&directory, "json", &pair.json));
        let (protobuf, from_protobuf) = read(&file(&directory, "protobuf", &pair.protobuf));
        assert_eq!((json.all[0].format, protobuf.all[0].format), (Format::JsonLines, Format::Protobuf));
        assert_eq!(from_json, from_protobuf);
    }
}

#[test]
fn a_message_whose_length_looks_like_the_beginning_of_json_is_still_a_message() {
    // Field 1, 123 bytes: a line's end and a curly bracket.
    let mut request = sample::traces(1);
    let resource_spans = &mut request.resource_spans[0];
    resource_spans.scope_spans[0].spans.truncate(1);
    let span = &mut resource_spans.scope_spans[0].spans[0];
    span.attributes.clear();
    span.events.clear();
    span.name.clear();
    let missing = 123 - (prost::Message::encoded_len(&request) - 2);
    request.resource_spans[0].scope_spans[0].spans[0].name = "n".repeat(missing - 2);
    let bytes = prost::Message::encode_to_vec(&request);
    assert!(bytes.starts_with(b"\n{"));
    let (inputs, came_to) = read(&file(&TempDir::new().unwrap(), "capture", &bytes));
    assert_eq!((inputs.all[0].format, came_to.2.spans), (Format::Protobuf, 1));
}

#[test]
fn an_input_is_remembered_with_the_digest_of_its_bytes() {
    let directory = TempDir::new().unwrap();
    let (inputs, _) = read(&file(&directory, "empty", b""));
    let empty = &inputs.all[0];
    assert_eq!(
        (empty.format, empty.bytes, empty.messages, empty.problems.is_empty()),
        (Format::Empty, 0, 0, true)
    );
    assert_eq!(empty.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let (inputs, _) = read(&file(&directory, "abc", b"{}\n"));
    assert_eq!(inputs.all[0].sha256, "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
    // Also what stands behind the place where the reading ended belongs to it.
    let torn = [&Messages::new().length_prefixed()[..], &[0, 0, 0, 0], &[7; 100_000]].concat();
    let (inputs, _) = read(&file(&directory, "torn", &torn));
    assert_eq!(inputs.all[0].bytes, torn.len() as u64);
}

#[test]
fn a_directory_is_read_by_name_and_what_is_foreign_in_it_is_passed_over() {
    let messages = Messages::new();
    let directory = TempDir::new().unwrap();
    file(&directory, "b/2.pb", &messages.traces[1].protobuf);
    file(&directory, "b/1.json", &messages.traces[0].json);
    file(&directory, "c.bin", messages.length_prefixed());
    file(&directory, "a.jsonl.gz", gzip(messages.logs.json.as_bytes()));
    file(&directory, "README.md", "# Captures\n\nHow they were made.\n");
    file(&directory, "b/package.json", "{\n  \"name\": \"captures\"\n}\n");
    file(&directory, "logo.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
    file(&directory, "none", "");
    #[cfg(unix)]
    std::os::unix::fs::symlink(directory.path(), directory.path().join("circle")).unwrap();
    let (inputs, _) = read(directory.path());
    let names: Vec<String> = inputs.all.iter().map(|input| input.name.clone()).collect();
    let expected = ["a.jsonl.gz", "b/1.json", "b/2.pb", "c.bin", "none"];
    assert_eq!(names, expected.map(|name| directory.path().join(name).display().to_string()));
    let noted = |name: &str| inputs.notes.first.iter().filter(|note| note.contains(name)).count();
    assert_eq!(inputs.notes.first.len(), 3 + usize::from(cfg!(unix)));
    assert_eq!((noted("README.md"), noted("package.json"), noted("logo.png")), (1, 1, 1));
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_that_names_it() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    assert!(error_of(&missing).starts_with(&format!("cannot read `{}`: ", missing.display())));
    let readme = file(&directory, "README", "How they were made.");
    assert!(error_of(&readme).contains("neither OTLP in JSON nor in Protocol Buffers"));
    let none = error_of(directory.path());
    assert!(none.contains("none of its 1 files is OTLP"), "{none}");
    // Compressed content that is torn was a capture once: in a directory it is no note.
    file(&directory, "torn.gz", &gzip(b"{\"resourceSpans\":[]}")[..12]);
    assert!(error_of(directory.path()).contains("torn.gz"));
}

#[test]
fn what_was_read_before_an_unreadable_input_stays_judged() {
    let messages = Messages::new();
    let directory = TempDir::new().unwrap();
    let paths = [file(&directory, "good", messages.json_lines()), directory.path().join("missing")];
    let mut checker = checker();
    assert!(input::read(&paths, &mut checker).is_err());
    assert_eq!(comparable(checker), messages.expected());
}

#[test]
fn notes_are_bounded() {
    let messages = Messages::new();
    let lines = [&b"nonsense\n".repeat(1000)[..], messages.traces[0].json.as_bytes()].concat();
    let (inputs, _) = read(&file(&TempDir::new().unwrap(), "capture", lines));
    let problems = &inputs.all[0].problems;
    assert_eq!((problems.first.len() as u64 + problems.more, problems.first.len() < 100), (1000, true));
    assert_eq!(problems.first[1], "line 2, column 2: it is no JSON: expected ident");
}
