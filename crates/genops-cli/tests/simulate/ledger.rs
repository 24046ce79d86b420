//! Ledgers that no gateway wrote: AWUs that are reserved first and started later, given back, left behind by a process
//! that died; policies that changed; and what is assumed of calls that were refused.

use std::sync::Arc;

use genops::core::amount::Quantity;
use genops::core::awu::{AwuId, End, Execution, Failure, Proposal, Used};
use genops::core::ledger::{Admit, Command, Outcome};
use genops::core::price::Tokens;
use genops::core::rule::{Assessment, ContentKind, Found};
use genops::core::{Amount, Attribution, Name, Timestamp, Unit};
use genops_gateway::Config;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::{Ledger, StoreError, recover};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::program::Folder;

const START: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);
const SECOND: u64 = 1_000_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A token costs a millionth of a dollar to read, and twice that to write.
fn config(rules: &str) -> String {
    format!(
        "
providers: [{{name: upstream, base_url: 'http://127.0.0.1:1/v1', circuit: {{failures: 2, open_seconds: 20}}}}]
models: [{{name: small, provider: upstream, max_output_tokens: 1000, price: {{input: 1, output: 2}}}}]
{rules}"
    )
}

fn read(text: &str) -> Config {
    let config = Config::read("test", text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    config.unwrap_or_else(|problems| panic!("{problems}"))
}

/// A ledger while it is written.
struct Writing {
    folder: Folder,
    config: Config,
    ledger: Option<Ledger>,
    at: Timestamp,
    awus: u64,
}

impl Writing {
    async fn new(text: &str) -> Self {
        let folder = Folder::new();
        folder.write("genops.yaml", text);
        let mut writing = Self { folder, config: read(text), ledger: None, at: START, awus: 0 };
        writing.open().await;
        writing.adopt(text).await;
        writing
    }

    /// As after a crash: what was left is resolved.
    async fn open(&mut self) {
        self.ledger = None;
        let store = loop {
            match SqliteStore::open(&self.folder.path("genops.db")) {
                // A program that another test starts just now has the lock as well, until it is another program.
                Err(StoreError::Held { .. }) => tokio::task::yield_now().await,
                store => break store.unwrap(),
            }
        };
        self.ledger = Some(recover::open(store, self.at).await.unwrap().0);
    }

    async fn submit(&self, command: Command) -> Outcome {
        let posted = self.ledger.as_ref().unwrap().submit(self.at, command).unwrap();
        posted.durable().await.unwrap().outcome
    }

    async fn adopt(&mut self, text: &str) {
        self.config = read(text);
        self.submit(Command::AdoptPolicy(Arc::clone(&self.config.policy))).await;
    }

    /// Admits a call. Gives its AWU if it may run.
    async fn admit(
        &mut self,
        team: &str,
        bound: Tokens,
        starts: bool,
        assessed: Vec<Assessment>,
    ) -> Option<AwuId> {
        self.awus += 1;
        let awu = AwuId { trace_id: u128::from(self.awus).to_be_bytes(), span_id: self.awus.to_be_bytes() };
        let attribution = Attribution::new(Some(team), Some("ranking"), Some("production")).unwrap();
        let model = name("small");
        let proposal = Proposal {
            bound,
            price: self.config.models.price(&model),
            assessed,
            ..Proposal::new(attribution, name("rank"), name("inference"), name("upstream"), model)
        };
        let assessed_under = Some(self.config.policy.version());
        let admit = Admit { assessed_under, starts, ..Admit::new(awu, proposal) };
        let outcome = self.submit(Command::Admit(Arc::new(admit))).await;
        matches!(outcome, Outcome::Admitted(_)).then_some(awu)
    }

    async fn settle(&self, awu: AwuId, used: Used, end: End) {
        let execution = Execution { end, used, ..Execution::abandoned(SECOND) };
        self.submit(Command::Settle { awu, execution }).await;
    }

    /// What the JSON report says under a configuration.
    fn simulated(&self, text: &str) -> Value {
        self.folder.write("new.yaml", text);
        self.folder.json(&["--config", "new.yaml", "--ledger", "genops.db"])
    }
}

fn assumed(report: &Value) -> Vec<(&str, u64)> {
    let all = report["assumed"].as_array().unwrap().iter();
    all.map(|one| (one["assumption"].as_str().unwrap(), one["calls"].as_u64().unwrap())).collect()
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Admit {
        team: &'static str,
        input: u64,
        output: u64,
        starts: bool,
    },
    /// Start, settle or give back one of those that are open.
    GoOn {
        which: usize,
        used: Option<u64>,
        end: u8,
    },
    Pass {
        seconds: u64,
    },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let team = prop_oneof![Just("search"), Just("ads")];
    prop_oneof![
        6 => (team, 1..400_u64, 1..900_u64, any::<bool>())
            .prop_map(|(team, input, output, starts)| Step::Admit { team, input, output, starts }),
        6 => (0..9_usize, prop::option::of(0..700_u64), 0..6_u8)
            .prop_map(|(which, used, end)| Step::GoOn { which, used, end }),
        4 => (0..40_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Crash),
    ]
}

const RULES: &str = "
rates:
  - {name: tokens, each: team, tokens: 60000, per: hour, burst: 3000}
  - {name: at-once, in_flight: 3}
  - {name: dollars, usd: 0.02, per: minute, burst: 0.004, mode: observe}
budgets:
  - {name: search, for: {team: search}, unit: USD, limit: 0.006, period: day}
  - {name: ads, for: {team: ads}, unit: tokens, limit: 6000, on_insufficient: cap, minimum_output_tokens: 10}
";

async fn take(writing: &mut Writing, open: &mut Vec<(AwuId, bool)>, step: Step) {
    match step {
        Step::Admit { team, input, output, starts } => {
            let awu = writing.admit(team, Tokens::new(input, output), starts, Vec::new()).await;
            open.extend(awu.map(|awu| (awu, starts)));
        }
        Step::GoOn { which, used, end } => {
            if open.is_empty() {
                return;
            }
            let (awu, runs) = open.remove(which % open.len());
            match (runs, end) {
                (false, 0) => drop(writing.submit(Command::Release { awu }).await),
                (false, _) => {
                    writing.submit(Command::Start { awu }).await;
                    open.push((awu, true));
                }
                (true, _) => {
                    let used = used.map_or(Used::Unknown, |used| Used::Reported(Tokens::new(used, used)));
                    let end = match end {
                        0 => End::ProviderError(Failure::Timeout),
                        1 => End::NeverSent,
                        2 => End::Cancelled,
                        _ => End::Completed,
                    };
                    writing.settle(awu, used, end).await;
                }
            }
        }
        Step::Pass { seconds } => writing.at = writing.at.plus_nanos(seconds * SECOND),
        Step::Crash => {
            open.clear();
            writing.open().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_became_of_awus_the_same_configuration_decides_the_same(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = config(RULES);
        let writing = runtime.block_on(async {
            let mut writing = Writing::new(&text).await;
            let mut open = Vec::new();
            writing.admit("search", Tokens::new(1, 1), true, Vec::new()).await;
            for step in steps {
                take(&mut writing, &mut open, step).await;
            }
            writing
        });
        let report = writing.simulated(&text);
        prop_assert_eq!(&report["calls"], &json!(writing.awus));
        prop_assert_eq!(&report["changed"], &json!([]));
    }
}

const ONE_BUDGET: &str = "budgets: [{name: all, unit: tokens, limit: LIMIT}]";

/// Two calls run, with 100 and 300 tokens in, 20 and 40 out, in a second each. Two more were refused: now they run, and
/// are taken to use 200 and 30, or the bound where that is less.
#[tokio::test]
async fn calls_that_were_refused_use_what_others_did_on_average_within_their_bound() {
    let mut writing = Writing::new(&config(&ONE_BUDGET.replace("LIMIT", "500"))).await;
    for (input, output) in [(100, 20), (300, 40)] {
        let awu = writing.admit("search", Tokens::new(input, 40), true, Vec::new()).await.unwrap();
        writing.at = writing.at.plus_nanos(SECOND);
        writing.settle(awu, Used::Reported(Tokens::new(input, output)), End::Completed).await;
    }
    for input in [250, 50] {
        assert_eq!(writing.admit("search", Tokens::new(input, 40), true, Vec::new()).await, None);
    }
    let report = writing.simulated(&config(&ONE_BUDGET.replace("LIMIT", "5000")));
    let change = |before| json!({"before": before, "after": "ALLOWED", "calls": 2});
    assert_eq!(report["changed"], json!([change("BLOCKED BUDGET_RESERVATION_FAILED (all)")]));
    assert_eq!(assumed(&report), [("refused_then", 2)]);
    // 120 + 340, and 230 + 80.
    assert_eq!(report["policies"][0]["budgets"][0]["used"], "770");
}

#[tokio::test]
async fn a_lowered_limit_an_open_end_and_an_unused_model_are_told() {
    let cap =
        "budgets: [{name: all, unit: tokens, limit: 100, on_insufficient: cap, minimum_output_tokens: 10}]";
    let mut writing = Writing::new(&config(cap)).await;
    let awu = writing.admit("search", Tokens::new(40, 100), true, Vec::new()).await.unwrap();
    writing.settle(awu, Used::Reported(Tokens::new(40, 60)), End::Cancelled).await;
    assert_eq!(writing.admit("search", Tokens::new(40, 100), true, Vec::new()).await, None, "used up");
    let report = writing.simulated(&config(&ONE_BUDGET.replace("LIMIT", "1000")));
    // The first wrote all that it might; the second has nothing to go by, and is charged 140.
    assert_eq!(assumed(&report), [("refused_then_and_model_unused", 1), ("capped_then", 1)]);
    assert_eq!(report["policies"][0]["budgets"][0]["used"], "240");

    let mut writing = Writing::new(&config("")).await;
    writing.admit("search", Tokens::new(40, 100), true, Vec::new()).await.unwrap();
    let report = writing.simulated(&config(&ONE_BUDGET.replace("LIMIT", "1000")));
    assert_eq!(assumed(&report), [("open", 1)]);
    assert_eq!(report["policies"][0]["budgets"][0]["used"], "140");
}

/// One call was in doubt after a crash, and it is known by now what it used; of the other nobody knows.
#[tokio::test]
async fn a_call_that_was_in_doubt_uses_what_is_known_of_it_by_now() {
    let mut writing = Writing::new(&config("")).await;
    let known = writing.admit("search", Tokens::new(40, 100), true, Vec::new()).await.unwrap();
    writing.admit("ads", Tokens::new(40, 100), true, Vec::new()).await.unwrap();
    writing.open().await;
    writing.settle(known, Used::Reported(Tokens::new(40, 5)), End::Completed).await;
    let each = "budgets: [{name: all, each: team, unit: tokens, limit: 1000}]";
    let report = writing.simulated(&config(each));
    assert_eq!(assumed(&report), []);
    let cells = report["policies"][0]["budgets"].as_array().unwrap().iter();
    let used: Vec<_> =
        cells.map(|cell| (cell["budget"].clone(), cell["each"].clone(), cell["used"].clone())).collect();
    let share = |team: &str, used: &str| (json!("all"), json!([team]), json!(used));
    assert_eq!(used[..2], [share("ads", "140"), share("search", "45")]);
}

#[tokio::test]
async fn work_that_asks_no_model_needs_none_that_is_set_up() {
    let writing = Writing::new(&config("")).await;
    let attribution = Attribution::new(Some("batch"), Some("ranking"), Some("production")).unwrap();
    let unit: Unit = "compute_seconds".parse().unwrap();
    let quantities = vec![Quantity { unit, amount: Amount::from_whole(90) }];
    let work = Proposal {
        quantities,
        accounting_unit: Some(unit),
        ..Proposal::work(attribution, name("index"), name("job"))
    };
    let awu = AwuId { trace_id: [7; 16], span_id: [7; 8] };
    let assessed_under = Some(writing.config.policy.version());
    let admit = Admit { assessed_under, starts: true, ..Admit::new(awu, work) };
    writing.submit(Command::Admit(Arc::new(admit))).await;
    let quantities = vec![Quantity { unit, amount: Amount::from_whole(60) }];
    let execution = Execution { end: End::Completed, quantities, ..Execution::abandoned(SECOND) };
    writing.submit(Command::Settle { awu, execution }).await;
    let report = writing.simulated(&config("budgets: [{name: compute, unit: compute_seconds, limit: 100}]"));
    let policy = &report["policies"][0];
    assert_eq!((&policy["allowed"], &policy["not_set_up"]), (&json!(1), &json!(0)), "{report:#}");
    let share = json!({"team": "batch", "calls": 1, "refused": 0, "cost_usd": "0"});
    assert_eq!(policy["by_team_and_model"], json!([share]));
    let compute = policy["budgets"].as_array().unwrap().iter().find(|cell| cell["budget"] == "compute");
    assert_eq!(compute.unwrap()["used"], "60");
}

fn content(keyword: &str) -> String {
    config(&format!(
        "content_rules: [{{name: no-falcon, for: {{team: search}}, keywords: [{keyword}], effect: deny}}]"
    ))
}

/// The first call comes before the rule, the second under another rule of this name, the rest under the rule itself; the
/// last one is not covered by it.
#[tokio::test]
async fn a_content_rule_holds_as_it_was_found_then_as_long_as_it_is_the_same() {
    let found = || {
        let found = Found::Content { kind: ContentKind::Keyword, count: 1 };
        vec![Assessment { rule: name("no-falcon"), found }]
    };
    let mut writing = Writing::new(&config("")).await;
    let bound = Tokens::new(40, 100);
    writing.admit("search", bound, true, Vec::new()).await.unwrap();
    writing.adopt(&content("hawk")).await;
    assert_eq!(writing.admit("search", bound, true, found()).await, None);
    writing.adopt(&content("falcon")).await;
    assert_eq!(writing.admit("search", bound, true, found()).await, None);
    writing.admit("search", bound, true, Vec::new()).await.unwrap();
    writing.admit("ads", bound, true, Vec::new()).await.unwrap();
    let report = writing.simulated(&content("falcon"));
    let change = json!({"before": "BLOCKED POLICY_DENY_CONTENT (no-falcon)", "after": "ALLOWED", "calls": 1});
    assert_eq!(report["changed"], json!([change]), "what was found of a hawk says nothing of a falcon");
    let not_asked = json!({"kind": "content rule", "rule": "no-falcon", "calls": 2,
                           "why": "it looks at prompts, which are not recorded"});
    assert_eq!(report["policies"][0]["not_asked"], json!([not_asked]));
}
