//! What is told of an AWU beside its decision and its end: alerts, reports, corrections, and late settlements. An honest ledger
//! matches with all of them, and an edit of any is found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use genops::core::amount::Quantity;
use genops::core::awu::{AwuId, End, Execution, Labels, Proposal, Used};
use genops::core::budget::Budget;
use genops::core::finding::Mode;
use genops::core::ledger::{Act, Admit, Grant, Reported};
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::selector::Facet;
use genops::core::{Attribution, Timestamp, Unit};
use genops::report::{EntryFilter, EntryKind};
use genops::{Governor, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Folder, WITHOUT_AWU, found, only, read};
use crate::recorded::{PATIENCE, name, open_with, until_told};

/// A ledger with its telemetry, and its AWUs by what came of them.
struct Told {
    folder: TempDir,
    traces: String,
    logs: String,
    /// Settled with a report; then reported of, evaluated, and corrected to 0.000099.
    corrected: String,
    /// Settled without a report, and corrected to 0.00002.
    measured: String,
    /// In doubt, and resolved with 40 tokens in and 2 out.
    resolved: String,
    /// In doubt, and resolved as never sent.
    never_sent: String,
}

fn recorded(unit: Unit) -> Told {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(record(unit))
    })
    .join()
    .unwrap()
}

static TOLD: LazyLock<Told> = LazyLock::new(|| recorded(Unit::Usd));

fn act() -> Act {
    Act { author: name("operator"), reason: name("the bill says so") }
}

fn quantity(unit: Unit, amount: &str) -> [Quantity; 1] {
    [Quantity { unit, amount: amount.parse().unwrap() }]
}

fn execution(end: End, used: Used) -> Execution {
    let response_model = (end == End::Completed).then(|| name("small-2026"));
    Execution { end, used, response_model, ..Execution::abandoned(1_000) }
}

/// Counted in US dollars where that is the unit; where nothing has a price, in tokens alone.
async fn started(governor: &Governor, unit: Unit, within_ns: Option<u64>) -> AwuId {
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
    let price = Price::flat(name("list"), "0.15".parse().unwrap(), "0.6".parse().unwrap());
    let proposal = Proposal {
        bound: Tokens::new(100, 100),
        price: (unit == Unit::Usd).then_some(price),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("small"))
    };
    let request = Admit { within_ns, starts: true, ..Admit::new(governor.new_id(), proposal) };
    governor.propose(request).await.unwrap().what.id()
}

/// One that ran out of time, and is resolved.
async fn late(governor: &Governor, unit: Unit, execution: Execution) -> String {
    let awu = started(governor, unit, Some(1)).await;
    let deadline = Instant::now() + PATIENCE;
    while governor.known(awu).await.unwrap().state() != "IN_DOUBT" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    governor.resolve(awu, execution, act()).await.unwrap();
    awu.to_string()
}

async fn record(unit: Unit) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = folder.path().join("telemetry");
    // What is charged reaches a hundredth of this, and no nine tenths.
    let allocated = if unit == Unit::Usd { "0.005" } else { "5000" };
    let budget = Budget { alerts: vec![1, 90], ..Budget::new(name("all"), unit, allocated.parse().unwrap()) };
    // A model without a price is refused, unless that is only observed.
    let mode = if unit == Unit::Usd { Mode::Enforce } else { Mode::Observe };
    let policy = Policy { accounting_unit: unit, mode, budgets: vec![budget], ..Policy::unrestricted() };
    let governor = open_with(Settings::in_file(folder.path().join("genops.db"), policy), &telemetry).await;
    let corrected = started(&governor, unit, None).await;
    let used = Used::Reported(Tokens::new(100, 100));
    governor.settle(corrected, execution(End::Completed, used)).await.unwrap();
    let measured = started(&governor, unit, None).await;
    governor.settle(measured, execution(End::Cancelled, Used::Unknown)).await.unwrap();
    if unit == Unit::Usd {
        let score = Reported::Evaluation {
            metric: name("quality"),
            score: "0.75".parse().unwrap(),
            threshold: Some("0.5".parse().unwrap()),
            passed: Some(true),
        };
        governor.record(corrected, score).await.unwrap();
        let (total, currency) = ("0.0001".parse().unwrap(), name("EUR"));
        let cost = Reported::Cost { total, currency, provider: None, model: None };
        governor.record(corrected, cost).await.unwrap();
        governor.correct(corrected, &[], &quantity(unit, "0.000099"), act()).await.unwrap();
        governor.correct(measured, &[], &quantity(unit, "0.00002"), act()).await.unwrap();
    }
    let resolved = late(&governor, unit, execution(End::Completed, Used::Reported(Tokens::new(40, 2)))).await;
    let never_sent = late(&governor, unit, execution(End::NeverSent, Used::Nothing)).await;
    until_told(&governor).await;
    governor.close().await.unwrap();
    let read = |file: &str| std::fs::read_to_string(telemetry.join(file)).unwrap();
    let (traces, logs) = (read("traces.jsonl"), read("logs.jsonl"));
    let (corrected, measured) = (corrected.to_string(), measured.to_string());
    Told { folder, traces, logs, corrected, measured, resolved, never_sent }
}

impl Told {
    /// The report of a folder's telemetry and of rows, and the exit code.
    fn audit(&self, folder: &Folder, arguments: &[&str]) -> (Value, i32) {
        let arguments = [arguments, &["--format", "json"]].concat();
        read(&folder.audit_of(&self.folder.path().join("genops.db"), &arguments))
    }

    fn audit_logs(&self, logs: &str) -> (Value, i32) {
        let folder = Folder::new();
        folder.write("traces.jsonl", &self.traces);
        folder.write("logs.jsonl", logs);
        self.audit(&folder, &["--otlp", "traces.jsonl", "logs.jsonl"])
    }

    fn audit_rows(&self, columns: &str, rows: &[String]) -> (Value, i32) {
        let folder = Folder::new();
        folder.write("usage.csv", format!("{columns}\n{}\n", rows.join("\n")));
        self.audit(&folder, &["--usage", "usage.csv"])
    }

    /// The log records, with those of a name edited; `None` leaves one out.
    fn edited(&self, event: &str, edit: impl Fn(Value) -> Option<Value>) -> String {
        let mut text = String::new();
        for line in self.logs.lines() {
            let mut request: Value = serde_json::from_str(line).unwrap();
            let records = request.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords").unwrap();
            let records = records.as_array_mut().unwrap();
            *records = std::mem::take(records)
                .into_iter()
                .filter_map(|record| if record["eventName"] == event { edit(record) } else { Some(record) })
                .collect();
            text.push_str(&format!("{request}\n"));
        }
        text
    }
}

/// Rows as the provider would write them; the cost of the first was corrected to what it is here.
fn rows(told: &Told) -> Vec<String> {
    vec![
        format!("{},small-2026,100,,100,0.000099,", told.corrected),
        format!("{},small-2026,30,,5,0.00002,", told.measured),
        format!("{},small-2026,40,,2,0.0000072,", told.resolved),
    ]
}

#[test]
fn alerts_reports_and_corrections_that_were_delivered_match() {
    for news in
        ["budget.alert\"", "evaluation.complete\"", "cost.calculated\"", "genops_runtime.correction\""]
    {
        assert!(TOLD.logs.contains(news), "{news}");
    }
    let (report, code) = TOLD.audit_logs(&TOLD.logs);
    assert_eq!((found(&report), code), (vec![], 0), "{report:#}");
    let (report, code) = TOLD.audit_logs(&TOLD.logs.repeat(2));
    assert_eq!((found(&report), code), (vec![], 0), "{report:#}");
}

#[test]
fn news_that_say_something_else_are_rewritten() {
    for (event, key, value) in [
        ("genops.budget.alert", "genops.budget.consumed", json!({"doubleValue": 0.5})),
        ("genops.budget.alert", "genops_runtime.budget.alert_percent", json!({"intValue": "50"})),
        ("genops.evaluation.complete", "genops.eval.score", json!({"doubleValue": 1.0})),
        ("genops.evaluation.complete", "genops.eval.passed", json!({"boolValue": false})),
        ("genops.cost.calculated", "genops.cost.total", json!({"doubleValue": 1.0})),
        ("genops_runtime.correction", "genops_runtime.accounting.actual_before", json!({"stringValue": "9"})),
        ("genops_runtime.correction", "genops_runtime.act.author", json!({"stringValue": "nobody"})),
        ("genops_runtime.correction", "genops_runtime.act.reason", json!({"stringValue": "none"})),
    ] {
        let edit = |mut record: Value| {
            let all = record["attributes"].as_array_mut().unwrap();
            all.iter_mut().filter(|one| one["key"] == key).for_each(|one| one["value"] = value.clone());
            Some(record)
        };
        let (report, code) = TOLD.audit_logs(&TOLD.edited(event, edit));
        let findings = report["findings"].as_array().unwrap();
        assert!(code == 1 && !findings.is_empty(), "{key}: {report:#}");
        for finding in findings {
            assert_eq!(
                (&finding["kind"], &finding["differences"][0]["what"]),
                (&json!("rewritten"), &json!(key))
            );
        }
    }
}

#[test]
fn news_that_were_not_delivered_are_missing() {
    for event in [
        "genops.budget.alert",
        "genops.evaluation.complete",
        "genops.cost.calculated",
        "genops_runtime.correction",
    ] {
        let (report, code) = TOLD.audit_logs(&TOLD.edited(event, |_| None));
        let findings = report["findings"].as_array().unwrap();
        assert!(code == 1 && !findings.is_empty(), "{event}: {report:#}");
        for finding in findings {
            assert_eq!(finding["kind"], "missing");
            assert!(finding["what"].as_str().unwrap().ends_with(event), "{finding:#}");
        }
    }
}

/// One alert by the end of a grant, and one by a policy that cuts the limit.
async fn record_limits_that_come_down() -> Told {
    const START: u64 = 1_795_000_000_000_000_000;
    let now = Arc::new(AtomicU64::new(START));
    let folder = tempfile::tempdir().unwrap();
    let telemetry = folder.path().join("telemetry");
    let policy = |limit: &str| {
        let all = Budget::new(name("all"), Unit::Usd, limit.parse().unwrap());
        Policy { budgets: vec![Budget { alerts: vec![10, 90], ..all }], ..Policy::unrestricted() }
    };
    let settings = Settings::in_file(folder.path().join("genops.db"), policy("0.0005"));
    let hand = Arc::clone(&now);
    let clock = Arc::new(move || Timestamp::from_nanos(hand.load(Ordering::SeqCst)));
    let governor = open_with(Settings { clock, ..settings }, &telemetry).await;
    let until = Timestamp::from_nanos(START + 30_000_000_000);
    let amount = "1".parse().unwrap();
    let grant = Grant { budget: name("all"), each: Box::default(), amount, until, act: act() };
    governor.grant(grant).await.unwrap();
    let awu = started(&governor, Unit::Usd, None).await;
    governor.settle(awu, execution(End::Completed, Used::Reported(Tokens::new(100, 100)))).await.unwrap();
    now.store(START + 30_000_000_000, Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    let filter = EntryFilter { kind: Some(EntryKind::Lapsed), ..EntryFilter::default() };
    while governor.entries(filter, 1).unwrap().entries.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    told_of_a_cut(governor, policy("0.00008"), folder).await
}

/// Adopts a policy with a lower limit, and gives what was told when all of it has been.
async fn told_of_a_cut(governor: Governor, policy: Policy, folder: tempfile::TempDir) -> Told {
    governor.adopt(Arc::new(policy)).await.unwrap();
    until_told(&governor).await;
    governor.close().await.unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.path().join("telemetry").join(file)).unwrap();
    let (traces, logs) = (read("traces.jsonl"), read("logs.jsonl"));
    let [corrected, measured, resolved, never_sent] = [const { String::new() }; 4];
    Told { folder, traces, logs, corrected, measured, resolved, never_sent }
}

#[test]
fn alerts_that_are_about_no_awu_are_told_and_held_against_the_journal() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(record_limits_that_come_down());
    let alone = std::cell::RefCell::new(Vec::new());
    told.edited("genops_runtime.budget_alert", |record| {
        assert_eq!((&record["traceId"], &record["spanId"]), (&Value::Null, &Value::Null), "{record:#}");
        let attributes = record["attributes"].as_array().unwrap().iter();
        let percent = attributes.filter(|one| one["key"] == "genops_runtime.budget.alert_percent");
        alone.borrow_mut().extend(percent.map(|one| one["value"]["intValue"].clone()));
        Some(record)
    });
    assert_eq!(alone.into_inner(), [json!("10"), json!("90")]);
    let kinds = |logs: &str| {
        let (report, code) = told.audit_logs(logs);
        let findings = report["findings"].as_array().unwrap().iter();
        (findings.map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), code)
    };
    assert_eq!(kinds(&told.logs), (vec![], 0));
    let twice = format!("{0}{0}", told.logs);
    assert_eq!(kinds(&twice), (vec![], 0));
    let dropped = told.edited("genops_runtime.budget_alert", |_| None);
    assert_eq!(kinds(&dropped), (vec!["missing".to_owned(); 2], 1));
    let later = told.edited("genops_runtime.budget_alert", |mut record| {
        record["timeUnixNano"] = json!("1795000000000000001");
        Some(record)
    });
    assert_eq!(
        kinds(&later),
        (["missing", "missing", "rewritten", "rewritten"].map(str::to_owned).to_vec(), 1)
    );
}

#[test]
fn a_correction_that_the_journal_does_not_have_is_rewritten() {
    let forged = |mut record: Value| {
        record["eventName"] = json!("genops_runtime.correction");
        Some(record)
    };
    let (report, code) =
        TOLD.audit_logs(&format!("{}{}", TOLD.logs, TOLD.edited("genops.cost.calculated", forged)));
    assert_eq!((found(&report), code), (vec![("rewritten", TOLD.corrected.as_str())], 1), "{report:#}");
}

#[test]
fn what_was_corrected_or_settled_late_is_held_against_the_bill_as_it_is_charged_now() {
    let columns = format!("awu,{WITHOUT_AWU}");
    let audit = |rows: &[String]| TOLD.audit_rows(&columns, rows);
    let (report, code) = audit(&rows(&TOLD));
    assert_eq!((found(&report), code, &report["corrections"]), (vec![], 0, &json!([])), "{report:#}");
    // As it was charged at first.
    let before = rows(&TOLD).iter().map(|row| row.replace("0.000099", "0.000075")).collect::<Vec<_>>();
    let report = audit(&before);
    assert_eq!(
        only(&report, "mispriced", &TOLD.corrected)["what"],
        "cost: journal 0.000099 USD, provider 0.000075 USD"
    );
    // What nobody had reported is corrected by what the correction before it has left.
    let other = rows(&TOLD).iter().map(|row| row.replace("0.00002,", "0.00003,")).collect::<Vec<_>>();
    let what = "the provider bills 30 tokens in, 5 out, 0.00003 USD: correct its charge of 0.00002 USD by +0.00001 USD";
    assert_eq!(audit(&other).0["corrections"][0]["what"], what);
    let other = rows(&TOLD).iter().map(|row| row.replace(",40,,2,", ",400,,2,")).collect::<Vec<_>>();
    let report = audit(&other);
    assert_eq!(only(&report, "mispriced", &TOLD.resolved)["what"], "input tokens: journal 40, provider 400");
    let report = audit(rows(&TOLD).get(..2).unwrap());
    only(&report, "unbilled", &TOLD.resolved);
    let sent = [rows(&TOLD), vec![format!("{},small-2026,1,,1,0.5,", TOLD.never_sent)]].concat();
    only(&audit(&sent), "unaccounted", &TOLD.never_sent);
}

#[test]
fn a_call_without_a_report_does_not_excuse_an_overcharge_of_the_others() {
    let kind = |row: &str| {
        let (report, code) = TOLD.audit_rows(WITHOUT_AWU, &[row.to_owned()]);
        let one = |list: &Value| list[0]["kind"].as_str().map(str::to_owned);
        (one(&report["findings"]), one(&report["corrections"]), code)
    };
    // With reports: 140 in, 102 out, 0.0001062; without one: 0.00002.
    let correction = (None, Some("correction".to_owned()), 0);
    assert_eq!(kind("small-2026,170,,107,0.0001262,"), correction);
    assert_eq!(kind("small-2026,140,,102,0.0001062,"), correction);
    assert_eq!(kind("small-2026,140,,102,0.0001162,"), correction);
    assert_eq!(kind("small-2026,140,,102,0.00005,"), (Some("mispriced".to_owned()), None, 1));
    assert_eq!(kind("small-2026,140,,102,0.5,"), (Some("mispriced".to_owned()), None, 1));
}

#[test]
fn where_the_journal_has_no_costs_tokens_alone_are_compared() {
    let told = recorded(Unit::Tokens);
    // With reports: 140 in, 102 out; one has none.
    for (row, kind, code) in [
        ("small-2026,140,,102,0.5,", "corrections", 0),
        ("small-2026,170,,107,0.5,", "corrections", 0),
        ("small-2026,139,,102,0.5,", "findings", 1),
    ] {
        let (report, exit) = told.audit_rows(WITHOUT_AWU, &[row.to_owned()]);
        assert_eq!((report[kind].as_array().unwrap().len(), exit), (1, code), "{report:#}");
        assert!(!report[kind][0]["what"].as_str().unwrap().contains("USD"), "{report:#}");
    }
}

#[test]
fn late_news_of_an_awu_of_another_time_are_passed_over_and_nothing_else_is() {
    let folder = Folder::new();
    folder.write("traces.jsonl", &TOLD.traces);
    folder.write("logs.jsonl", &TOLD.logs);
    folder.write("usage.csv", format!("awu,{WITHOUT_AWU}\n{}\n", rows(&TOLD).join("\n")));
    let all = ["--otlp", "traces.jsonl", "logs.jsonl", "--usage", "usage.csv", "--until", "1999-01-01"];
    let (report, _) = TOLD.audit(&folder, &all);
    assert_eq!((found(&report), &report["usage"]["outside"]), (vec![], &json!(3)), "{report:#}");
    assert!(
        report["telemetry"]["outside"].as_u64().unwrap() > 4 && report["telemetry"]["foreign"] == 0,
        "{report:#}"
    );
    // Of an AWU that no time knows.
    let stranger = format!("{}-{}", "ab".repeat(16), "cd".repeat(8));
    let elsewhere = |mut record: Value| {
        (record["traceId"], record["spanId"]) = (json!("ab".repeat(16)), json!("cd".repeat(8)));
        Some(record)
    };
    folder.write("logs.jsonl", TOLD.edited("genops_runtime.correction", elsewhere));
    let (report, code) = TOLD.audit(&folder, &all);
    assert_eq!((found(&report), code), (vec![("rewritten", stranger.as_str())], 1), "{report:#}");
}

/// Alerts of two customers by a policy that cuts the limit of each, which differ in nothing but the customer.
async fn record_customers_whose_limit_comes_down() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = folder.path().join("telemetry");
    let policy = |limit: &str| {
        let each = Budget::new(name("each"), Unit::Usd, limit.parse().unwrap());
        let each = Budget { each: vec![Facet::CustomerId], alerts: vec![90], ..each };
        Policy { budgets: vec![each], ..Policy::unrestricted() }
    };
    let settings = Settings::in_file(folder.path().join("genops.db"), policy("1"));
    let governor = open_with(settings, &telemetry).await;
    for customer in ["acme", "globex"] {
        let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
        let price = Price::flat(name("list"), "0.15".parse().unwrap(), "0.6".parse().unwrap());
        let proposal = Proposal {
            bound: Tokens::new(100, 100),
            price: Some(price),
            labels: Labels { customer_id: Some(name(customer)), ..Labels::default() },
            ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("small"))
        };
        let request = Admit { starts: true, ..Admit::new(governor.new_id(), proposal) };
        let awu = governor.propose(request).await.unwrap().what.id();
        let used = Used::Reported(Tokens::new(100, 100));
        governor.settle(awu, execution(End::Completed, used)).await.unwrap();
    }
    told_of_a_cut(governor, policy("0.00008"), folder).await
}

#[test]
fn of_alerts_that_differ_in_a_person_whom_nobody_knows_each_that_is_missing_is_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(record_customers_whose_limit_comes_down());
    // An export knows nobody, as a ledger that has erased all of them.
    let journal = told.folder.path().join("journal.jsonl");
    let mut export = std::process::Command::new(env!("CARGO_BIN_EXE_genops"));
    export.current_dir(told.folder.path()).args(["export", "--to", "journal.jsonl"]);
    assert!(export.status().unwrap().success());
    // How many are missing without those of so many customers.
    let missing = |without: &[&str], times: usize| {
        let of_one = |record: &str| without.iter().any(|customer| record.contains(customer));
        let mut logs = String::new();
        for line in told.logs.lines() {
            let mut request: Value = serde_json::from_str(line).unwrap();
            let records = request.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords").unwrap();
            let is_alone = |record: &Value| record["traceId"].is_null();
            records.as_array_mut().unwrap().retain(|one| !is_alone(one) || !of_one(&one.to_string()));
            logs.push_str(&format!("{request}\n").repeat(times));
        }
        let folder = Folder::new();
        folder.write("traces.jsonl", &told.traces);
        folder.write("logs.jsonl", logs);
        let arguments = ["--otlp", "traces.jsonl", "logs.jsonl", "--format", "json"];
        let (report, _) = read(&folder.audit_of(&journal, &arguments));
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| finding["kind"] == "missing"), "{report:#}");
        findings.len()
    };
    for times in [1, 3] {
        let counts = [&[][..], &["acme"], &["globex"], &["acme", "globex"]].map(|gone| missing(gone, times));
        assert_eq!(counts, [0, 1, 1, 2], "each record delivered {times} times");
    }
}
