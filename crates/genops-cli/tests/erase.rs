//! `genops erase`, and what the commands that read say of a person before and after it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

use genops::core::awu::{End, Execution, Labels, Proposal, Used};
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Name};
use genops::{Admission, Destination, Governor, Settings};
use serde_json::{Value, json};

const ACME: &str = "acme-of-springfield";

/// Denies every call of the customer.
const CONFIG: &str = "
providers: [{name: upstream, base_url: 'http://127.0.0.1:1/v1'}]
models: [{name: small, provider: upstream, max_output_tokens: 1000, price: {input: 1, output: 2}}]
allowed_models: [{name: not-them, for: {customer_id: acme-of-springfield}, allow: [other]}]
";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Two calls of a customer, and one of another, told in files.
async fn ledger(folder: &Path) {
    let told = Destination::Directory { path: folder.join("told") };
    let settings = Settings {
        destinations: vec![told],
        ..Settings::in_file(folder.join("genops.db"), Policy::unrestricted())
    };
    std::fs::create_dir_all(folder.join("told")).unwrap();
    let governor = Governor::open(settings).await.unwrap().0;
    for customer in [ACME, ACME, "another"] {
        let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
        let proposal = Proposal {
            bound: Tokens::new(1_000, 1_000),
            price: Some(Price::flat(name("r"), "1".parse().unwrap(), "2".parse().unwrap())),
            labels: Labels { customer_id: Some(name(customer)), ..Labels::default() },
            ..Proposal::new(attribution, name("rank"), name("inference"), name("upstream"), name("small"))
        };
        let Admission::Admitted(awu) = governor.admit(proposal).await.unwrap() else { panic!("refused") };
        let used = Used::Reported(Tokens::new(12, 20));
        let execution = Execution { end: End::Completed, used, ..Execution::abandoned(1_000) };
        awu.start().await.unwrap().settle(execution).unwrap().durable().await.unwrap();
    }
    governor.close().await.unwrap();
}

fn genops(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    let (text, trouble) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}{trouble}", String::from_utf8_lossy(text)))
}

#[tokio::test]
async fn somebody_is_erased_and_every_command_goes_on_with_the_pseudonym() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ledger(folder).await;
    std::fs::write(folder.join("genops.yaml"), CONFIG).unwrap();
    let awus = || json_of(&genops(folder, &["awus", "--format", "json"]))["awus"].clone();
    let audited = || {
        let output = genops(folder, &["audit", "--otlp", "told", "--format", "json"]);
        (output.status.code(), json_of(&output))
    };
    // Of whom a rule speaks that is tried, the recorded calls say by name.
    let refused = || {
        let report = json_of(&genops(folder, &["simulate", "--ledger", "genops.db", "--format", "json"]));
        report["policies"][0]["blocked"].as_u64().unwrap()
    };
    assert_eq!(awus()[1]["labels"]["customer_id"], ACME);
    let (code, report) = audited();
    assert_eq!((code, &report["journal"]["unnamed"]), (Some(0), &json!(0)), "{report:#}");
    assert_eq!(refused(), 2);

    let erase = |who: &str, value: &str| {
        let arguments =
            ["erase", who, value, "--reason", "they asked", "--author", "dpo", "--format", "json"];
        genops(folder, &arguments)
    };
    let unknown = erase("--session", ACME);
    assert_eq!(unknown.status.code(), Some(1));
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(told.contains("knows nobody by this session_id") && !told.contains(ACME), "{told}");
    let erased = erase("--customer", ACME);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let erased = json_of(&erased);
    assert!(erased["sequence"].as_u64().unwrap() > 6 && !erased.to_string().contains(ACME), "{erased}");
    assert_eq!(erase("--customer", ACME).status.code(), Some(1), "nobody is erased twice");

    let awus = awus();
    assert_eq!(awus[1]["labels"]["customer_id"], erased["pseudonym"]);
    assert_eq!(awus[0]["labels"]["customer_id"], "another");
    // What was delivered before has the name, and matches all the same.
    let (code, report) = audited();
    assert_eq!((code, &report["journal"]["unnamed"]), (Some(0), &json!(2)), "{report:#}");
    let told = String::from_utf8(genops(folder, &["audit", "--otlp", "told"]).stdout).unwrap();
    let told: Vec<_> = told.split_whitespace().collect();
    assert!(
        told.join(" ").contains("; 2 are of persons whose names are not known, and not compared"),
        "{told:?}"
    );
    // An export knows nobody.
    assert!(genops(folder, &["export", "--to", "journal.jsonl"]).status.success());
    let output =
        genops(folder, &["audit", "--ledger", "journal.jsonl", "--otlp", "told", "--format", "json"]);
    assert_eq!((output.status.code(), &json_of(&output)["journal"]["unnamed"]), (Some(0), &json!(3)));
    assert_eq!(refused(), 0, "nobody knows any more that the rule is about them");
    for command in [["verify"], ["replay"]] {
        assert!(genops(folder, &command).status.success(), "{command:?}");
    }
    let both = genops(folder, &["erase", "--customer", "a", "--session", "b", "--reason", "r"]);
    assert_eq!(both.status.code(), Some(2));
}
