//! What a usage export is not of: work that names no provider, other providers, and other exports beside it.

use std::sync::LazyLock;

use genops::core::amount::Quantity;
use genops::core::awu::{AwuId, End, Execution, Proposal, Used};
use genops::core::ledger::Admit;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Unit};
use genops::{Governor, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Folder, WITHOUT_AWU, found, only, read};
use crate::recorded::name;

/// A ledger with calls of two providers, and with work that asks none.
struct Mixed {
    folder: TempDir,
    /// 100 tokens in and 10 out, and 200 and 20; at `east`.
    east: [String; 2],
    /// 300 and 30, at `west`.
    west: String,
    /// A quarter of a dollar, as its holder said; nobody was asked.
    paid: String,
}

static MIXED: LazyLock<Mixed> = LazyLock::new(|| {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(record())
    })
    .join()
    .unwrap()
});

fn attribution() -> Attribution {
    Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap()
}

async fn settled(governor: &Governor, proposal: Proposal, used: Tokens, quantities: Vec<Quantity>) -> String {
    let request = Admit { starts: true, ..Admit::new(governor.new_id(), proposal) };
    let awu: AwuId = governor.propose(request).await.unwrap().what.id();
    let used = Used::Reported(used);
    let execution = Execution { end: End::Completed, used, quantities, ..Execution::abandoned(1_000) };
    governor.settle(awu, execution).await.unwrap();
    awu.to_string()
}

async fn call(governor: &Governor, provider: &str, tokens: Tokens) -> String {
    let price = Price::flat(name("list"), "0.15".parse().unwrap(), "0.6".parse().unwrap());
    let proposal = Proposal {
        bound: Tokens::new(1_000, 100),
        price: Some(price),
        ..Proposal::new(attribution(), name("rank"), name("inference"), name(provider), name("small"))
    };
    settled(governor, proposal, tokens, Vec::new()).await
}

async fn job(governor: &Governor, unit: Unit, most: &str, used: &str) -> String {
    let quantities = |amount: &str| vec![Quantity { unit, amount: amount.parse().unwrap() }];
    let proposal = Proposal {
        quantities: quantities(most),
        accounting_unit: Some(unit),
        ..Proposal::work(attribution(), name("tune"), name("training"))
    };
    settled(governor, proposal, Tokens::default(), quantities(used)).await
}

async fn record() -> Mixed {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::in_file(folder.path().join("genops.db"), Policy::unrestricted());
    let (governor, _) = Governor::open(settings).await.unwrap();
    let east = [
        call(&governor, "east", Tokens::new(100, 10)).await,
        call(&governor, "east", Tokens::new(200, 20)).await,
    ];
    let west = call(&governor, "west", Tokens::new(300, 30)).await;
    job(&governor, "compute_seconds".parse().unwrap(), "3600", "1234.5").await;
    let paid = job(&governor, Unit::Usd, "1", "0.25").await;
    governor.close().await.unwrap();
    Mixed { folder, east, west, paid }
}

impl Mixed {
    /// A folder with an export of each provider, that names AWUs; and of each one that does not.
    fn folder(&self) -> Folder {
        let folder = Folder::new();
        let [first, second] = &self.east;
        let east = ["small,100,,10,0.000021,", "small,200,,20,0.000042,"];
        let west = ["small,300,,30,0.000063,"];
        folder.write("east.csv", named(&[(first, east[0]), (second, east[1])]));
        folder.write("west.csv", named(&[(&self.west, west[0])]));
        folder.write("east-sums.csv", format!("{WITHOUT_AWU}\n{}\n", east.join("\n")));
        folder.write("west-sums.csv", format!("{WITHOUT_AWU}\n{}\n", west.join("\n")));
        folder
    }

    /// The report of a usage, and the exit code.
    fn audit(&self, folder: &Folder, arguments: &str) -> (Value, i32) {
        read(&folder.audit_of(&self.ledger(), &words(&format!("{arguments} --format json"))))
    }

    fn text(&self, folder: &Folder, arguments: &str) -> String {
        String::from_utf8(folder.audit_of(&self.ledger(), &words(arguments)).stdout).unwrap()
    }

    fn complaint(&self, folder: &Folder, arguments: &str) -> String {
        let output = folder.audit_of(&self.ledger(), &words(arguments));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.folder.path().join("genops.db")
    }
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split(' ').collect()
}

fn named(rows: &[(&String, &str)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(awu, row)| format!("{awu},{row}\n")).collect();
    format!("awu,{WITHOUT_AWU}\n{}", rows.concat())
}

#[test]
fn work_that_asks_no_provider_is_not_held_against_the_usage_and_is_counted() {
    let folder = MIXED.folder();
    for usage in ["east.csv west.csv", "east-sums.csv west-sums.csv"] {
        let (report, code) = MIXED.audit(&folder, &format!("--usage {usage}"));
        assert_eq!((found(&report), code), (vec![], 0), "{report:#}");
        assert_eq!(report["usage"]["without_provider"], 2);
        assert_eq!((&report["usage"]["compared"], &report["journal"]["awus"]), (&json!(3), &json!(5)));
        assert_eq!(report["usage"]["journal"]["cost"], "0.000126", "a sum is of what is compared");
        let text = MIXED.text(&folder, &format!("--usage {usage}"));
        assert!(text.starts_with("all match: 3 of 5 AWUs of the journal, with usage\n"), "{text}");
        assert!(text.contains("2 AWUs that name no provider are not compared"), "{text}");
    }
}

#[test]
fn a_row_that_names_work_without_a_provider_is_held_against_it() {
    let folder = MIXED.folder();
    for (row, what) in
        [("tuned,0,,0,0.25,", None), ("tuned,0,,0,0.5,", Some("cost: journal 0.25 USD, provider 0.5 USD"))]
    {
        folder.write("jobs.csv", named(&[(&MIXED.paid, row)]));
        let report = MIXED.audit(&folder, "--usage east.csv west.csv jobs.csv");
        assert_eq!(report.0["usage"]["without_provider"], 1);
        match what {
            Some(what) => assert_eq!(only(&report, "mispriced", &MIXED.paid)["what"], what),
            None => assert_eq!((found(&report.0), report.1), (vec![], 0), "{:#}", report.0),
        }
    }
}

#[test]
fn only_the_providers_that_are_asked_for_are_held_against_the_usage() {
    let folder = MIXED.folder();
    only(&MIXED.audit(&folder, "--usage east.csv"), "unbilled", &MIXED.west);
    for usage in ["east.csv", "east-sums.csv"] {
        let (report, code) = MIXED.audit(&folder, &format!("--usage {usage} --provider east"));
        assert_eq!((found(&report), code), (vec![], 0), "{report:#}");
        assert_eq!(report["usage"]["providers"], json!([{"name": "east", "awus": 2}]));
        assert_eq!(
            (&report["usage"]["compared"], &report["usage"]["other_providers"]),
            (&json!(2), &json!(1))
        );
        let text = MIXED.text(&folder, &format!("--usage {usage} --provider east"));
        assert!(text.contains(" 1 AWUs of other providers than east are not compared"), "{text}");
    }
    // What is compared is found.
    folder.write("one.csv", named(&[(&MIXED.east[0], "small,100,,10,0.000021,")]));
    only(&MIXED.audit(&folder, "--usage one.csv --provider east"), "unbilled", &MIXED.east[1]);
    for both in ["--provider east --provider west", "--provider west --provider east"] {
        let (report, code) = MIXED.audit(&folder, &format!("--usage east.csv west.csv {both}"));
        assert_eq!((found(&report), code, &report["usage"]["other_providers"]), (vec![], 0, &json!(0)));
        only(&MIXED.audit(&folder, &format!("--usage east.csv {both}")), "unbilled", &MIXED.west);
    }
    // An export of both: rows that name the other's AWUs are left out too.
    let (report, code) = MIXED.audit(&folder, "--usage east.csv west.csv --provider east");
    assert_eq!((found(&report), code, &report["usage"]["of_others"]), (vec![], 0, &json!(1)), "{report:#}");
    assert_eq!(report["usage"]["billed"]["calls"], 2);
}

#[test]
fn a_provider_that_nothing_is_of_is_nothing_to_compare() {
    let folder = MIXED.folder();
    let (report, code) = MIXED.audit(&folder, "--usage east.csv --provider esat");
    assert_eq!((code, &report["verdict"]), (3, &json!("nothing")), "{report:#}");
    let text = MIXED.text(&folder, "--usage east.csv --provider esat");
    assert!(
        text.starts_with("nothing to compare: no AWU of that time asks esat, and no row is of one\n"),
        "{text}"
    );
    let text = MIXED.text(&folder, "--usage east.csv --provider east --provider esat");
    assert!(
        text.starts_with("all match: 2 of 5 AWUs") && text.contains("no AWU of that time asks esat\n"),
        "{text}"
    );
    // Rows that may be of it are billed all the same.
    let (report, code) = MIXED.audit(&folder, "--usage east-sums.csv --provider esat");
    assert_eq!((found(&report), code), (vec![("unaccounted", "")], 1), "{report:#}");
    let told = MIXED.complaint(&folder, "--otlp traces.jsonl --provider east");
    assert!(told.contains("--usage"), "{told}");
}

#[test]
fn several_exports_are_one_usage_and_rows_are_told_by_file_and_line() {
    let folder = MIXED.folder();
    let stranger = format!("{}-{}", "ab".repeat(16), "cd".repeat(8));
    folder
        .write("more.csv", named(&[(&MIXED.west, "small,300,,30,0.000063,"), (&stranger, "small,1,,1,1,")]));
    let report = MIXED.audit(&folder, "--usage east.csv more.csv");
    let usage = &only(&report, "unaccounted", &stranger)["usage"];
    assert_eq!((&usage["file"], &usage["line"]), (&json!("more.csv"), &json!(3)));
    assert_eq!(
        (&report.0["usage"]["files"], &report.0["usage"]["rows"]),
        (&json!(["east.csv", "more.csv"]), &json!(4))
    );
    let text = MIXED.text(&folder, "--usage east.csv more.csv");
    assert!(text.contains("more.csv, line 3: 1 tokens in, 1 out"), "{text}");
    let text = MIXED.text(&folder, "--usage more.csv --provider west");
    assert!(text.contains(" line 3: 1 tokens in, 1 out") && !text.contains("more.csv, line"), "{text}");
    folder.write("bad.csv", named(&[(&stranger, "small,1,,1,x,")]));
    let told = MIXED.complaint(&folder, "--usage east.csv bad.csv");
    assert!(
        told.contains("`bad.csv` has rows that cannot be read") && told.contains("line 2: cost"),
        "{told}"
    );
}

#[test]
fn exports_with_and_without_awus_are_not_taken_for_one_usage() {
    let folder = MIXED.folder();
    for usage in ["east.csv west-sums.csv", "west-sums.csv east.csv"] {
        let told = MIXED.complaint(&folder, &format!("--usage {usage}"));
        assert!(told.contains("no row of `west-sums.csv` names an AWU, and rows of `east.csv` do"), "{told}");
        assert!(told.contains("--provider"), "{told}");
    }
    // An export without rows is of either kind.
    folder.write("none.csv", format!("{WITHOUT_AWU}\n"));
    let (report, code) = MIXED.audit(&folder, "--usage none.csv east.csv west.csv");
    assert_eq!((found(&report), code), (vec![], 0), "{report:#}");
}
