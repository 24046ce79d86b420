//! Nine calls, two budgets, a rate, a cap and a rule that only observes: every figure follows from what stands here.
//!
//! A token that is read costs 0.00001 US dollars, one that is written 0.00002; at most 100 are written, for 0.002.

use serde_json::{Value, json};

use crate::program::{Folder, lines, texts};

fn config(search_day: &str) -> String {
    format!(
        "
providers: [{{name: upstream, base_url: 'http://127.0.0.1:1/v1'}}]
models: [{{name: small, provider: upstream, max_output_tokens: 100, price: {{input: 10, output: 20}}}}]
allowed_models: [{{name: beta-elsewhere, for: {{team: beta}}, allow: [large], mode: observe}}]
rates: [{{name: ads-minute, for: {{team: ads}}, requests: 2, per: minute, burst: 1}}]
budgets:
  - {{name: search-day, for: {{team: search}}, unit: USD, limit: {search_day}, period: day}}
  - {{name: ads, for: {{team: ads}}, unit: tokens, limit: 400, on_insufficient: cap, minimum_output_tokens: 20}}
"
    )
}

/// Rows need not be in order: the second call is the last one here.
const CALLS: &str = "TIMESTAMP,ContextTokens,GeneratedTokens,latency_ms,model,team,project,environment
2026-11-18 10:00:00.0,100,50,1000,small,search,ranking,production
2026-11-18 10:00:01.0,100,100,1000,small,search,ranking,production
2026-11-18 10:00:02.5,100,20,1000,small,search,ranking,production
2026-11-18 10:01:00.0,200,100,500,small,ads,bidding,production
2026-11-18 10:01:10.0,10,10,500,small,ads,bidding,production
2026-11-18 10:01:30.0,50,80,500,small,ads,bidding,production
2026-11-18 10:02:00.0,10,10,500,small,ads,bidding,production
2026-11-18 10:03:00.0,100,10,500,small,beta,trial,production
2026-11-18 10:00:00.5,100,10,1000,small,search,ranking,production
";

/// In the order in which the calls come, under a `search-day` of 0.005: the line, the decision, its code, its rule, and
/// what is reserved where: in the cell of a budget, or of none.
#[rustfmt::skip]
const DECIDED: [(&str, &str, &str, &str, &[(&str, &str)]); 9] = [
    // 100 in, at most 100 out: 0.001 + 0.002. It uses 0.001 + 0.001, known at 10:00:01.
    ("2", "ALLOWED", "", "", &[("search-day", "0.003")]),
    // 0.005 - 0.003 leaves 0.002.
    ("10", "BLOCKED", "BUDGET_RESERVATION_FAILED", "search-day", &[]),
    // At this very moment the first call has ended: 0.005 - 0.002 is just enough. It uses all of it.
    ("3", "ALLOWED", "", "", &[("search-day", "0.003")]),
    // 0.002 + 0.003 are used.
    ("4", "BLOCKED", "BUDGET_EXCEEDED", "search-day", &[]),
    // 200 + 100 of 400 tokens, all of which it uses; in dollars no budget covers it: 0.002 + 0.002.
    ("5", "ALLOWED", "", "", &[("ads", "300"), ("unbudgeted", "0.004")]),
    // Two a minute and one at once: the next has room at 10:01:30.
    ("6", "RATE_LIMITED", "RATE_LIMITED", "ads-minute", &[]),
    // 100 tokens are left: 50 in, and 50 out instead of 100, of which it would have written 80. 0.0005 + 0.001.
    ("7", "WARNING", "x_output_capped", "ads", &[("ads", "100"), ("unbudgeted", "0.0015")]),
    // Nothing is left to lower a limit to.
    ("8", "BLOCKED", "BUDGET_EXCEEDED", "ads", &[]),
    // The rule only observes. 0.001 + 0.002 are reserved, 0.001 + 0.0002 used.
    ("9", "WARNING", "POLICY_DENY_MODEL", "beta-elsewhere", &[("unbudgeted", "0.003")]),
];

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("calls.csv", CALLS);
    folder.write("new.yaml", &config("0.005"));
    folder.write("current.yaml", &config("0.01"));
    folder
}

const NEW: [&str; 4] = ["--config", "new.yaml", "--trace", "calls.csv"];

#[test]
fn every_call_is_decided_as_by_hand() {
    let folder = folder();
    folder.text(&[&NEW[..], &["--decisions", "decisions.jsonl"]].concat());
    let lines = lines(&folder.read("decisions.jsonl"));
    assert_eq!(lines.len(), DECIDED.len());
    for (line, (row, result, code, rule, cells)) in lines.iter().zip(DECIDED) {
        assert_eq!(line["call"], format!("calls.csv, line {row}"));
        assert_eq!(texts(line, &["result", "reason_code", "rule"]), [result, code, rule], "{row}");
        let reserved: Vec<_> = line["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| texts(cell, &["budget", "reserved"]))
            .collect();
        let expected: Vec<_> = cells.iter().map(|(budget, amount)| vec![*budget, *amount]).collect();
        assert_eq!(reserved, expected, "{row}");
        assert_eq!(line["output_limit"], if row == "7" { json!(50) } else { Value::Null }, "{row}");
        assert_eq!(line["before"], Value::Null);
    }
}

#[test]
fn the_report_for_programs_sums_up_what_was_decided() {
    let report = folder().json(&NEW);
    let under = &report["policies"][0];
    let counts = ["allowed", "warned", "blocked", "rate_limited", "not_set_up"]
        .map(|state| under[state].as_u64().unwrap());
    assert_eq!((report["calls"].as_u64(), counts), (Some(9), [3, 2, 3, 1, 0]));
    // search 0.002 + 0.003, ads 0.004 + 0.0015, beta 0.0012.
    assert_eq!(under["cost_usd"], "0.0117");
    let shares: Vec<_> = under["by_team_and_model"].as_array().unwrap().iter().collect();
    let share = |team, calls, refused, cost| json!({"team": team, "model": "small", "calls": calls, "refused": refused, "cost_usd": cost});
    assert_eq!(
        shares,
        [&share("ads", 4, 2, "0.0055"), &share("beta", 1, 0, "0.0012"), &share("search", 4, 2, "0.005")]
    );
    let budgets = under["budgets"].as_array().unwrap();
    assert_eq!(
        budgets,
        &[
            json!({"budget": "ads", "window": "none", "unit": "tokens", "limit": "400", "used": "400",
                   "first_short_at": "2026-11-18T10:01:30.000Z", "short_for": 2}),
            json!({"budget": "search-day", "window": "2026-11-18", "unit": "USD", "limit": "0.005", "used": "0.005",
                   "first_short_at": "2026-11-18T10:00:00.500Z", "short_for": 2}),
            json!({"budget": "unbudgeted", "window": "none", "unit": "USD", "used": "0.0067", "short_for": 0}),
        ]
    );
    assert_eq!(report["changed"], Value::Null, "there is nothing to compare with");
    let assumed: Vec<_> = report["assumed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["assumption"].as_str().unwrap(), one["calls"].as_u64().unwrap()))
        .collect();
    assert_eq!(assumed, [("bound", 9), ("output_limit", 9), ("shortened", 1)]);
}

/// With twice the budget, all four calls of search run: the second uses 0.001 + 0.0002, the fourth 0.001 + 0.0004.
#[test]
fn beside_the_policy_in_force_it_says_what_is_decided_differently() {
    let folder = folder();
    let report = folder.json(&[&NEW[..], &["--current", "current.yaml"]].concat());
    let change = |after| json!({"before": "ALLOWED", "after": after, "calls": 1});
    let changed = [
        change("BLOCKED BUDGET_EXCEEDED (search-day)"),
        change("BLOCKED BUDGET_RESERVATION_FAILED (search-day)"),
    ];
    assert_eq!(report["changed"], json!(changed));
    let costs = [0, 1].map(|place| report["policies"][place]["cost_usd"].as_str().unwrap());
    assert_eq!(costs, ["0.0143", "0.0117"]);
    let text = folder.text(&[&NEW[..], &["--current", "current.yaml"]].concat());
    assert_eq!(without_versions(&text), TEXT, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
    let same = folder.json(&[&NEW[..], &["--current", "new.yaml"]].concat());
    assert_eq!(same["changed"], json!([]));
}

/// A gateway decides nothing about such a call; and neither does a simulation end with it. The first call runs for a second.
#[test]
fn a_call_that_comes_while_as_many_are_open_as_may_be_is_counted_and_the_others_are_decided() {
    let folder = folder();
    folder.write("one.yaml", &format!("{}limits: {{open_awus: 1}}\n", config("0.005")));
    let one = ["--config", "one.yaml", "--trace", "calls.csv", "--current", "new.yaml"];
    let report = folder.json(&[&one[..], &["--decisions", "decisions.jsonl"]].concat());
    let counts = |under: &Value| {
        ["allowed", "warned", "blocked", "rate_limited", "too_many_open"]
            .map(|of| under[of].as_u64().unwrap())
    };
    let [without, with] = [0, 1].map(|place| &report["policies"][place]);
    assert_eq!((counts(without), counts(with)), ([3, 2, 3, 1, 0], [3, 2, 2, 1, 1]));
    assert_eq!(without["by_team_and_model"], with["by_team_and_model"], "it is refused either way");
    let before = "BLOCKED BUDGET_RESERVATION_FAILED (search-day)";
    assert_eq!(report["changed"], json!([{"before": before, "after": "503 too many open", "calls": 1}]));
    let line = &lines(&folder.read("decisions.jsonl"))[1];
    assert_eq!(
        texts(line, &["call", "team", "not_decided", "result"]),
        ["calls.csv, line 10", "search", "too_many_open_awus", ""]
    );
    let text = folder.text(&one);
    let told = "  1 answered 503, since as many were open as `limits` (open_awus, one_key_percent) allows\n";
    assert!(text.contains(told), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// The address of a policy depends on every byte of it.
fn without_versions(text: &str) -> String {
    let line = |line: &str| match line.split_once(" (policy ") {
        Some((before, _)) => format!("{before} (policy …)\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

const TEXT: &str = "\
9 calls from 2026-11-18T10:00:00.000Z to 2026-11-18T10:03:00.000Z
  9 calls of calls.csv

Under current.yaml (policy …)
  5 ALLOWED, 2 WARNING, 1 BLOCKED, 1 RATE_LIMITED
  what ran costs 0.0143 USD

 CALLS  RESULT        REASON CODE        QUESTION  RULE
     1  BLOCKED       BUDGET_EXCEEDED    budget    ads
     1  WARNING       POLICY_DENY_MODEL  model     beta-elsewhere
     1  RATE_LIMITED  RATE_LIMITED       rate      ads-minute
     1  WARNING       x_output_capped    budget    ads

 TEAM    MODEL  CALLS  REFUSED  COST USD
 ads     small      4        2    0.0055
 beta    small      1        0    0.0012
 search  small      4        0    0.0076

 BUDGET      WINDOW      UNIT      USED  LIMIT  TOO LITTLE LEFT SINCE     FOR CALLS
 ads         none        tokens     400    400  2026-11-18T10:01:30.000Z          2
 search-day  2026-11-18  USD     0.0076   0.01  never                             0
 unbudgeted  none        USD     0.0067      -  never                             0

Under new.yaml (policy …)
  3 ALLOWED, 2 WARNING, 3 BLOCKED, 1 RATE_LIMITED
  what ran costs 0.0117 USD

 CALLS  RESULT        REASON CODE                QUESTION  RULE
     1  BLOCKED       BUDGET_EXCEEDED            budget    ads
     1  BLOCKED       BUDGET_EXCEEDED            budget    search-day
     1  BLOCKED       BUDGET_RESERVATION_FAILED  budget    search-day
     1  WARNING       POLICY_DENY_MODEL          model     beta-elsewhere
     1  RATE_LIMITED  RATE_LIMITED               rate      ads-minute
     1  WARNING       x_output_capped            budget    ads

 TEAM    MODEL  CALLS  REFUSED  COST USD
 ads     small      4        2    0.0055
 beta    small      1        0    0.0012
 search  small      4        2     0.005

 BUDGET      WINDOW      UNIT      USED  LIMIT  TOO LITTLE LEFT SINCE     FOR CALLS
 ads         none        tokens     400    400  2026-11-18T10:01:30.000Z          2
 search-day  2026-11-18  USD      0.005  0.005  2026-11-18T10:00:00.500Z          2
 unbudgeted  none        USD     0.0067      -  never                             0

Decided differently: 2 calls

 CALLS  BEFORE   AFTER
     1  ALLOWED  BLOCKED BUDGET_EXCEEDED (search-day)
     1  ALLOWED  BLOCKED BUDGET_RESERVATION_FAILED (search-day)

Assumed
 CALLS  WHAT IS ASSUMED OF THEM
     9  nobody recorded how long the body was: the tokens that were read are
        taken as the bound of what is read; a gateway bounds by bytes, which
        are several times as many, unless the model has `bound.encoding`
     9  no output limit was recorded: the model's `max_output_tokens` is
        reserved
     1  it wrote more than it may now: it is charged for what it may write
";
