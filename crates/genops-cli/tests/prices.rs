//! `genops prices` as a program: from somebody's data to a table, from the table to a cost, and what is said
//! where that cannot be.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::Command;

const DATA: &str = r#"[{"id":"p","pricing_urls":["https://p/pricing"],"models":[
    {"id":"large","match":{"equals":"large"},
     "prices":{"input_mtok":1.5e-1,"cache_read_mtok":0.075,"output_mtok":0.6}},
    {"id":"embed","match":{"equals":"embed"},"prices":{"input_mtok":1}}]}]"#;

const LITELLM: &str = r#"{"large":{"litellm_provider":"p","mode":"chat","input_cost_per_token":1.5e-07,
    "cache_read_input_token_cost":7.5e-08,"output_cost_per_token":6e-07,"source":"https://p/pricing"}}"#;

/// Exit code, standard output, standard error.
fn genops(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    let output = command.current_dir(folder).arg("prices").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_table_is_made_from_either_form_and_explains_a_cost_to_the_last_digit() {
    for (data, source) in [(DATA, "genai-prices"), (LITELLM, "litellm")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.json"), data).unwrap();
        let update = ["update", "--from", "data.json", "--out", "prices.json", "--date", "2026-11-22"];
        let (code, said, _) = genops(folder.path(), &update);
        assert_eq!(code, 0);
        assert!(said.starts_with("read 1 rows of 1 providers from "), "{said}");
        let left_out = "no price for input or none for output: p/embed";
        assert_eq!(said.contains(left_out), source == "genai-prices", "{said}");
        let explain = ["explain", "p", "Large", "--input", "1000", "--cached", "400", "--output", "20"];
        let (code, said, _) =
            genops(folder.path(), &[&explain[..], &["--prices-file", "prices.json"]].concat());
        assert_eq!(code, 0);
        for line in [
            format!("row         {source} 2026-11-22 p/large\n"),
            "published   https://p/pricing\n".to_owned(),
            // 600 x 0.15 + 400 x 0.075 + 20 x 0.6 = 90 + 30 + 12 = 132
            "input               600 x 0.15 = 90\n".to_owned(),
            "read from cache     400 x 0.075 = 30\n".to_owned(),
            "output              20 x 0.6 = 12\n".to_owned(),
            "cost                0.000132 USD ".to_owned(),
        ] {
            assert!(said.contains(&line), "{line}: {said}");
        }
    }
}

#[test]
fn rows_are_listed_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said, _) = genops(folder.path(), &["list", "--provider", "openai"]);
    assert!(code == 0 && said.contains(" gpt-4o-mini ") && !said.contains("anthropic"), "{said}");
    let (code, said, _) = genops(folder.path(), &["search", "GPT-4o-mini", "--format", "json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 0);
    assert!(rows.iter().any(|row| row["provider"] == "openai" && row["input"] == "0.15"), "{said}");
}

#[test]
fn what_cannot_be_answered_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.json"), "{}").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["explain", "openai", "no-such-model"], 1, "has no price for model `no-such-model` of `openai`"),
        (&["explain", "openai", "tts-1"], 1, "(it is charged by more than tokens of text)"),
        (&["explain", "nobody", "m"], 2, "the table has no provider `nobody`; it has: anthropic, "),
        (&["list", "--prices-file", "absent.json"], 2, "cannot read `absent.json`"),
        (&["update", "--from", "bad.json", "--out", "x.json"], 2, "cannot use `bad.json`"),
        (
            &["update", "--from", "bad.json", "--out", "x.json", "--date", "now"],
            2,
            "`--date` has to be a day",
        ),
    ];
    for (arguments, expected, message) in cases {
        let (code, _, said) = genops(folder.path(), arguments);
        assert_eq!(code, expected, "{said}");
        assert!(said.contains(message), "{arguments:?}: {said}");
    }
}
