//! `genops explain AWU`: what it says of a decision of every kind, from a ledger file and from a server alike.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use genops::core::awu::{AwuId, End, Execution, Labels, Proposal, TraceContext, Used};
use genops::core::budget::{Budget, OnInsufficient};
use genops::core::circuit::CircuitRule;
use genops::core::finding::Mode;
use genops::core::ledger::Admit;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops::core::rule::{
    Assessment, ConditionRule, ContentKind, ContentRule, Effect, Found, ListRule, OnError,
};
use genops::core::selector::{Facet, Selector};
use genops::core::sla::{ExpectedMiss, SlaRule};
use genops::core::{Amount, Attribution, Digest, Name, Timestamp, Unit};
use genops::report::{AssessmentReport, Explanation, RateStateReport, Recorded};
use genops::{Admission, Governor, Settings};
use genops_gateway::identity::hash;
use genops_gateway::{Config, Gateway};
use serde_json::Value;
use tokio::net::TcpListener;

const KEY: &str = "gk-of-the-test";

/// 2026-11-18T11:06:40Z.
const START: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);

const MILLI: u64 = 1_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn team(team: &str) -> Selector {
    Selector::default().with(Facet::Team, vec![name(team)])
}

/// A rule of every kind, each for a team of its own.
fn policy() -> Policy {
    let list = |called: &str, of: &str, allow: &str, mode| ListRule {
        name: name(called),
        selector: team(of),
        allow: vec![name(allow)],
        mode,
    };
    let condition = ConditionRule {
        name: name("night"),
        selector: team("nightly"),
        expression: "…".to_owned(),
        effect: Effect::Deny("x_night".parse().unwrap()),
        on_error: OnError::Refuse,
        mode: Mode::Enforce,
    };
    let content = ContentRule {
        name: name("cards"),
        selector: team("nightly"),
        keywords: Vec::new(),
        patterns: Vec::new(),
        detect: vec![ContentKind::PaymentCard],
        effect: Effect::Warn("x_cards".parse().unwrap()),
        mode: Mode::Enforce,
    };
    let whole = Amount::from_whole;
    let flow = Flow { measure: Measure::Requests, amount: whole(60), per: Per::Hour, burst: whole(1) };
    let budget = |called: &str, limit: &str, on_insufficient| Budget {
        selector: team(called),
        on_insufficient,
        ..Budget::new(name(called), Unit::Usd, limit.parse().unwrap())
    };
    Policy {
        models: vec![list("small-only", "restricted", "small*", Mode::Enforce)],
        regions: vec![list("in-europe", "watched", "eu-*", Mode::Observe)],
        conditions: vec![condition],
        contents: vec![content],
        circuits: vec![CircuitRule {
            provider: name("upstream"),
            failures: 3,
            open_for_ns: 30_000 * MILLI,
            mode: Mode::Enforce,
        }],
        rates: vec![RateRule {
            name: name("per-customer"),
            selector: team("hasty"),
            each: vec![Facet::CustomerId],
            limit: RateLimit::Flow(flow),
            mode: Mode::Enforce,
        }],
        slas: vec![SlaRule {
            name: name("gold"),
            selector: team("urgent"),
            target_ms: 500,
            first_token_target_ms: Some(100),
            expected_miss: ExpectedMiss::Warn,
            mode: Mode::Enforce,
        }],
        budgets: vec![
            budget("restricted", "1", OnInsufficient::Refuse),
            budget("poor", "0.0005", OnInsufficient::Cap { minimum_output_tokens: 100 }),
            budget("urgent", "1", OnInsufficient::Refuse),
        ],
        ..Policy::unrestricted()
    }
}

/// At most 0.00075 US dollars.
fn proposal(team: &str) -> Proposal {
    let attribution = Attribution::new(Some(team), Some("ranking"), Some("test")).unwrap();
    Proposal {
        labels: Labels { customer_id: Some(name("acme")), ..Labels::default() },
        key: Some(name("caller")),
        region: Some(name("us-east")),
        bound: Tokens::new(1_000, 1_000),
        price: Some(Price::flat(name("built in: small"), "0.15".parse().unwrap(), "0.6".parse().unwrap())),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("upstream"), name("large"))
    }
}

/// A ledger with one AWU of each kind, by the name of its team.
struct Ledger {
    directory: tempfile::TempDir,
    governor: Governor,
    policy: Digest,
}

impl Ledger {
    async fn new(policy: Policy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let version = policy.version();
        let ids = AtomicU8::new(1);
        let settings = Settings {
            clock: Arc::new(|| START),
            ids: Arc::new(move || {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                ([id; 16], [id; 8])
            }),
            ..Settings::in_file(directory.path().join("genops.db"), policy)
        };
        let (governor, _) = Governor::open(settings).await.unwrap();
        Self { directory, governor, policy: version }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("genops.db")
    }

    fn explained(&self, id: AwuId) -> Explanation {
        Recorded::find(&[self.path()], id).unwrap().explanation().unwrap()
    }

    /// Admits, and settles where it may run; the call takes 812 ms, the first of the answer comes after 90.
    async fn call(&self, proposal: Proposal) -> AwuId {
        let awu = self.governor.new_id();
        let request = Admit {
            trace: TraceContext::Linked { trace_id: [0xaa; 16], span_id: [0xbb; 8] },
            assessed_under: Some(self.policy),
            starts: true,
            ..Admit::new(awu, proposal)
        };
        if let Admission::Admitted(admitted) = self.governor.admit_as(request).await.unwrap() {
            let execution = Execution {
                end: End::Completed,
                used: Used::Reported(Tokens::new(12, 20)),
                first_token_ns: Some(90 * MILLI),
                ..Execution::abandoned(812 * MILLI)
            };
            admitted.start().await.unwrap().settle(execution).unwrap().durable().await.unwrap();
        }
        awu
    }

    /// The AWUs that the tests ask about.
    async fn filled() -> (Self, Cases) {
        let ledger = Self::new(policy()).await;
        let found = |rule: &str, found| Assessment { rule: name(rule), found };
        let cards = Found::Content { kind: ContentKind::PaymentCard, count: 2 };
        let assessed = vec![found("night", Found::Holds), found("cards", cards)];
        let model = ledger.call(proposal("restricted")).await;
        let observed = ledger.call(proposal("watched")).await;
        let capped = ledger.call(proposal("poor")).await;
        ledger.call(proposal("hasty")).await;
        let rate = ledger.call(proposal("hasty")).await;
        for _ in 0..4 {
            ledger.call(proposal("urgent")).await;
        }
        let tier = ledger.call(proposal("urgent")).await;
        let condition = ledger.call(Proposal { assessed, ..proposal("nightly") }).await;
        (ledger, Cases { model, observed, capped, rate, tier, condition })
    }
}

struct Cases {
    model: AwuId,
    observed: AwuId,
    capped: AwuId,
    rate: AwuId,
    tier: AwuId,
    condition: AwuId,
}

/// Runs the program; it may talk to this process meanwhile.
async fn genops(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.args(arguments).env("GENOPS_KEY", KEY);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn explained(id: AwuId, ledger: &Path, format: &str) -> String {
    let output =
        genops(&["explain", &id.to_string(), "--ledger", ledger.to_str().unwrap(), "--format", format]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A digest depends on every byte of what it is of, and says nothing to a reader of the test.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 64 && word.chars().all(|letter| letter.is_ascii_hexdigit());
    let words = |line: &str| {
        line.split(' ').map(|word| if is_digest(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(|line| words(line) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_which_rule_and_nothing_of_what_was_not_asked() {
    let (ledger, cases) = Ledger::filled().await;
    let text = explained(cases.rate, &ledger.path(), "text").await;
    assert_eq!(without_digests(&text), RATE_LIMITED, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ran_says_what_was_expected_reserved_and_what_became_of_it() {
    let (ledger, cases) = Ledger::filled().await;
    let text = explained(cases.tier, &ledger.path(), "table").await;
    assert_eq!(without_digests(&text), EXPECTED_MISS, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_decision_names_the_rule_that_made_it() {
    let (ledger, cases) = Ledger::filled().await;
    // The decision; the question and the rule that made it, and what it said; how many rules were asked.
    let cases = [
        (cases.model, "BLOCKED POLICY_DENY_MODEL", "model small-only BLOCKED", 1),
        (cases.observed, "WARNING POLICY_DENY_REGION", "region in-europe BLOCKED observed", 5),
        (cases.capped, "WARNING x_output_capped", "budget poor WARNING", 4),
        (cases.rate, "RATE_LIMITED RATE_LIMITED", "rate per-customer RATE_LIMITED", 4),
        (cases.tier, "WARNING SLA_LATENCY_VIOLATION", "sla gold WARNING", 5),
        (cases.condition, "BLOCKED x_night", "condition night BLOCKED", 1),
    ];
    for (id, decision, by, count) in cases {
        let explanation = ledger.explained(id);
        let awu = &explanation.awu;
        assert_eq!(format!("{} {}", awu.result, awu.reason_code.as_ref().unwrap()), decision);
        let decided: Vec<_> = explanation.asked.iter().filter(|asked| asked.decided).collect();
        let [one] = decided.as_slice() else { panic!("{decided:?}") };
        let observed = if one.observed { " observed" } else { "" };
        assert_eq!(format!("{} {} {}{observed}", one.question, one.rule.as_ref().unwrap(), one.said), by);
        assert_eq!((&one.rule, one.observed, Some(&one.why)), (&awu.rule, awu.observed, awu.reason.as_ref()));
        assert_eq!(explanation.asked.len(), count, "{by}: {:#?}", explanation.asked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_is_told_is_what_the_decision_rests_on() {
    let (ledger, cases) = Ledger::filled().await;
    let explain = |id| ledger.explained(id);

    let capped = explain(cases.capped);
    // 1,000 tokens in cost 0.00015, which leaves 0.00035 for tokens at 0.6 a million.
    assert_eq!(capped.awu.output_limit, Some(583));
    let cell = &capped.awu.cells[0];
    let amounts = [&cell.allocated, &cell.remaining_before, &cell.remaining_after, &cell.actual];
    let amounts = amounts.map(|amount| amount.as_deref().unwrap());
    assert_eq!(amounts, ["0.0005", "0.0005", "0.0000002", "0.0000138"]);
    assert_eq!(cell.reserved, "0.0004998");

    let rate = explain(cases.rate).rates.remove(0);
    let minute = RateStateReport::TakenMs(60_000);
    assert_eq!((rate.rate.as_str(), rate.limit.as_str()), ("per-customer (acme)", "60 requests per hour"));
    assert_eq!((rate.before, rate.after), (minute.clone(), minute), "a refused call takes nothing");
    assert_eq!(rate.earliest.as_deref(), Some("2026-11-18T11:07:40.000Z"));

    let tier = explain(cases.tier);
    let sla = tier.awu.sla.as_ref().unwrap();
    assert_eq!((sla.tier.as_str(), sla.target_ms, sla.expected_ms), ("gold", 500, Some(812)));
    assert_eq!((sla.actual_ms, sla.met, sla.first_token_ms), (Some(812), Some(false), Some(90)));
    assert_eq!(tier.awu.findings.last(), tier.end_findings.last());
    assert_eq!(tier.awu.findings.len(), 2, "expected, and observed");

    let condition = explain(cases.condition);
    let told = |found: &AssessmentReport| (found.rule.clone(), found.found.clone(), found.count);
    let assessed: Vec<_> = condition.assessed.iter().map(told).collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(assessed, [(text("night"), text("holds"), None), (text("cards"), text("content"), Some(2))]);
    assert_eq!(condition.awu.cells, [], "a budget was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_the_same_as_the_ledger_file() {
    let (ledger, cases) = Ledger::filled().await;
    let sha256: String = hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = format!(
        "keys: [{{name: test, sha256: {sha256}, team: a, project: b, environment: c, roles: [read]}}]"
    );
    let rest = "
providers: [{name: upstream, base_url: 'http://127.0.0.1:9/v1'}]
models: [{name: large, provider: upstream, max_output_tokens: 10, price: {input: 1, output: 2}}]
";
    let text = format!("{keys}{rest}");
    let config = Config::read("test", &text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let gateway = Gateway::new(ledger.governor.clone(), config.unwrap()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { gateway.serve(listener, std::future::pending()).await });

    let all = [cases.model, cases.observed, cases.capped, cases.rate, cases.tier, cases.condition];
    for id in all {
        let told = genops(&["explain", &id.to_string(), "--server", &url, "--format", "json"]).await;
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let read: Value = serde_json::from_str(&explained(id, &ledger.path(), "json").await).unwrap();
        assert_eq!(told, read);
        let explanation: Explanation = serde_json::from_value(read.clone()).unwrap();
        assert_eq!(serde_json::to_value(explanation).unwrap(), read, "nothing is lost on the way");
    }
    let nobody = format!("{}-{}", "e".repeat(32), "f".repeat(16));
    let output = genops(&["explain", &nobody, "--server", &url]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("no AWU {nobody} is in this ledger")), "{error}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_explained_is_said_clearly() {
    let ledger = Ledger::new(Policy::unrestricted()).await;
    let path = ledger.path();
    let file = path.to_str().unwrap();
    let good = format!("{}-{}", "e".repeat(32), "f".repeat(16));
    let zero = format!("{}-{}", "0".repeat(32), "f".repeat(16));
    let trace = "e".repeat(32);
    ledger.call(proposal("anybody")).await;
    let cases: [(&[&str], i32, &str); 6] = [
        (&[&good], 1, "no AWU eeee"),
        (&[&zero], 2, "neither part all zero"),
        (&[&trace], 2, "32 hexadecimal digits, `-`, and 16"),
        (&[&good, "AMB-03"], 2, "an AWU is explained by itself"),
        (&["AMB-03", &trace], 2, "is not an AWU"),
        (&["ATT-7.1.6"], 2, "did you mean `ATT-7.1-6`"),
    ];
    for (names, code, said) in cases {
        let output = genops(&[&["explain"], names, &["--ledger", file]].concat()).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && error.contains(said), "{names:?}: {error}");
    }
    let output = genops(&["explain", &good, "--ledger", "/nowhere/genops.db"]).await;
    assert_eq!(output.status.code(), Some(1), "there is no ledger");
    for command in ["explain", "show", "receipt"] {
        let output = genops(&[command, "--ledger", file, &good]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("it is an AWU, and no file: name it before `--ledger`"), "{command}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_of_the_empty_policy_is_explained_though_nobody_adopted_it() {
    let ledger = Ledger::new(Policy::unrestricted()).await;
    let awu = ledger.call(proposal("anybody")).await;
    let explanation = ledger.governor.explain(awu).unwrap().unwrap();
    assert_eq!(explanation.awu.sequence, 1, "no policy stands before it");
    let questions: Vec<_> = explanation.asked.iter().map(|asked| asked.question.as_str()).collect();
    assert_eq!(questions, ["bound", "price", "budget"], "the last is the unlimited one");
    assert_eq!(explanation.awu.cells[0].remaining_after, None, "unlimited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn show_tells_the_rule_the_tier_and_what_else_was_found() {
    let (ledger, cases) = Ledger::filled().await;
    let show = async |id: AwuId| {
        let output = genops(&["show", &id.to_string(), "--ledger", ledger.path().to_str().unwrap()]).await;
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = [
        (cases.tier, "rule        gold\n"),
        (cases.tier, "labels      customer acme\n"),
        (cases.tier, "tier        gold: at most 500 ms; 812 ms were expected; took 812 ms, missed;"),
        (cases.tier, "found       SLA_LATENCY_VIOLATION: tier `gold`: the call took 812 ms"),
        (cases.capped, "capped      583 tokens out for each choice\n"),
        (cases.observed, "result      WARNING POLICY_DENY_REGION (observed)\n"),
        (cases.observed, "region      us-east\n"),
    ];
    for (id, line) in shown {
        let text = show(id).await;
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!show(cases.capped).await.contains("\nfound"), "the reason says it");
}

const RATE_LIMITED: &str = "\
AWU 05050505050505050505050505050505-0505050505050505

What it asked
 attribution   hasty/ranking/test
 labels        customer acme
 key           caller
 operation     rank (inference)
 model         large at upstream
 region        us-east
 bound         1000 tokens in, 1000 out
 price         built in: small
 caller        linked to span bbbbbbbbbbbbbbbb of trace
               aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa

The rules that were asked, in order
 QUESTION  RULE          SAID          WHY
 provider  upstream      ALLOWED       is not known to be down
 bound                   ALLOWED       what it can cost is bounded
 price                   ALLOWED       its price is known
 rate      per-customer  RATE_LIMITED  RATE_LIMITED: rate `per-customer (acme)`
                                       has no room for 60000 ms

The decision
 decision      RATE_LIMITED RATE_LIMITED
 by            per-customer (rate)
 because       rate `per-customer (acme)` has no room for 60000 ms
 at            2026-11-18T11:06:40.000Z

The rates
 per-customer (acme)  60 requests per hour; before: taken for 60000 ms; no room
                      before 2026-11-18T11:07:40.000Z; after: taken for 60000
                      ms

The provider and the tier
 circuit       closed

What became of it
 state         REFUSED
 ended         2026-11-18T11:06:40.000Z

What proves it
 policy        …
 entry         9
 chain         …
 input digest  …
 state digest  …
";

const EXPECTED_MISS: &str = "\
AWU 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-0a0a0a0a0a0a0a0a

What it asked
 attribution   urgent/ranking/test
 labels        customer acme
 key           caller
 operation     rank (inference)
 model         large at upstream
 region        us-east
 bound         1000 tokens in, 1000 out
 price         built in: small
 caller        linked to span bbbbbbbbbbbbbbbb of trace
               aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa

The rules that were asked, in order
 QUESTION  RULE      SAID     WHY
 provider  upstream  ALLOWED  is not known to be down
 bound               ALLOWED  what it can cost is bounded
 price               ALLOWED  its price is known
 sla       gold      WARNING  SLA_LATENCY_VIOLATION: tier `gold`: calls like
                              this take 812 ms by now, the target is 500 ms
 budget    urgent    ALLOWED  has 0.9999448 USD left, the call reserves 0.00075

The decision
 decision      WARNING SLA_LATENCY_VIOLATION
 by            gold (sla)
 because       tier `gold`: calls like this take 812 ms by now, the target is
               500 ms
 at            2026-11-18T11:06:40.000Z

The budgets
 BUDGET  WINDOW  UNIT  ALLOCATED  LEFT BEFORE  RESERVED  LEFT AFTER     ACTUAL
 urgent  none    USD           1    0.9999448   0.00075   0.9991948  0.0000138

The provider and the tier
 circuit       closed
 tier          gold: at most 500 ms; 812 ms were expected; took 812 ms, missed;
               the first of the answer within 100 ms, came after 90 ms

What became of it
 state         SETTLED
 ended         2026-11-18T11:06:40.000Z
 latency       812 ms
 tokens        12 in, 20 out
 charged       0.0000138 USD
 found         SLA_LATENCY_VIOLATION: tier `gold`: the call took 812 ms, the
               target is 500 ms

What proves it
 policy        …
 entry         18
 chain         …
 input digest  …
 state digest  …
";
