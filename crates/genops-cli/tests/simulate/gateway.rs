//! Calls through a running gateway whose clock is set by hand, and the same calls simulated: from a table of them, and from
//! the ledger that the gateway wrote. Every decision, every reservation and every balance has to be the same.
//!
//! Calls overlap: each begins and ends at its own time, one event after the other.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use genops::core::Timestamp;
use genops::report::{Archive, AwuReport, BudgetList};
use genops::{Governor, Settings};
use genops_gateway::identity::hash;
use genops_gateway::{Config, Gateway};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::program::{Folder, lines};

const KEY: &str = "gk-of-the-test";

/// 2026-11-17T22:00:00Z: two hours later a day begins.
const START: u64 = 1_794_952_800_000;

const MILLI: u64 = 1_000_000;

/// Rules and budgets of every kind that a table of calls says enough for; few calls are allowed without more ado.
const POLICY: &str = "
allowed_models:
  - {name: ads-small, for: {team: ads}, allow: [small, tiny]}
  - {name: tiny-watched, for: {team: search}, allow: [small, large], mode: observe}
allowed_regions:
  - {name: tiny-in-europe, for: {model: tiny, team: ops}, allow: ['eu-*']}
conditions:
  - {name: late-large, when: 'model == \"large\" && time.getMinutes() >= 40', effect: deny, code: x_late}
  - {name: customer-watched, for: {customer_id: c1, team: ads}, when: max_output_tokens > 200, effect: warn, code: x_long}
rates:
  - {name: at-once, each: team, in_flight: 2}
  - {name: customer-requests, each: customer_id, requests: 60, per: hour, burst: 2}
  - {name: tokens, tokens: 100000, per: hour, burst: 2500}
  - {name: dollars, for: {team: ads}, usd: 1, per: day, mode: observe}
budgets:
  - {name: search-day, for: {team: search}, unit: USD, limit: 0.4, period: day}
  - {name: cap-c0, for: {customer_id: c0, model: small}, unit: tokens, limit: 8000, period: day, on_insufficient: cap, minimum_output_tokens: 20}
  - {name: cap-c1, for: {customer_id: c1, model: small}, unit: tokens, limit: 9000, period: day, on_insufficient: cap, minimum_output_tokens: 20}
  - {name: cap-c2, for: {customer_id: c2, model: small}, unit: tokens, limit: 9000, period: day, on_insufficient: cap, minimum_output_tokens: 20}
  - {name: ads-watched, for: {team: ads}, unit: tokens, limit: 4000, period: month, mode: observe}
  - {name: ops-once, for: {team: ops}, unit: USD, limit: 0.4}
";

/// What only a ledger says enough for: prompts, headers, failures, real latencies.
const MORE: &str = "
condition_headers: [x-tier]
content_rules:
  - {name: no-falcon, keywords: [falcon], effect: deny}
  - {name: mail-watched, for: {team: [ops, ads]}, detect: [email], effect: warn}
tiers:
  - {name: quick, for: {model: small}, latency_ms: 1, expected_miss: refuse}
";

const MORE_CONDITIONS: &str = "  - {name: tiered, for: {team: search}, when: 'headers[\"x-tier\"] == \"free\"', effect: deny, code: x_tier}
";

fn config(folder: &Folder, port: u16, is_full: bool) -> String {
    let place = folder.0.path().display();
    let sha256: String = hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let (more, circuit) =
        if is_full { (MORE, ", circuit: {failures: 2, open_seconds: 60}") } else { ("", "") };
    let policy = if is_full {
        POLICY.replace("conditions:\n", &format!("conditions:\n{MORE_CONDITIONS}"))
    } else {
        POLICY.to_owned()
    };
    format!(
        "
ledger: '{place}/genops.db'
telemetry: {{otlp: []}}
providers:
  - {{name: upstream, base_url: 'http://127.0.0.1:{port}/v1'{circuit}}}
  - {{name: european, base_url: 'http://127.0.0.1:{port}/v1', region: eu-west-1}}
models:
  - {{name: small, provider: upstream, max_output_tokens: 400, price: {{input: 10, output: 20}}}}
  - {{name: large, provider: european, max_output_tokens: 800, price: {{input: 20, output: 60}}}}
  - {{name: tiny, provider: upstream, max_output_tokens: 100, price: {{input: 1, output: 2}}}}
keys:
  - {{name: caller, sha256: {sha256}, project: ranking, environment: production}}
{policy}{more}"
    )
}

/// A call that will be made.
#[derive(Debug, Clone)]
struct Planned {
    /// In milliseconds after the start.
    at: u64,
    latency: u64,
    team: &'static str,
    customer: String,
    model: &'static str,
    /// The length of its body, which is also what the model says that it read.
    bytes: usize,
    generated: u64,
    /// What stands in its prompt beside its number.
    says: &'static str,
    tier: Option<&'static str>,
    fails: bool,
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn plan(calls: u64, numbers: &mut Numbers) -> Vec<Planned> {
    let mut at = 0;
    let planned = |_| {
        // Bursts, and pauses in which rates recover.
        at += numbers.one_of(&[1, 500, 2_000, 8_000, 20_000, 120_000]) * (1 + numbers.below(3));
        Planned {
            at,
            latency: numbers.one_of(&[1, 700, 9_000, 30_000]) + numbers.below(50),
            team: numbers.one_of(&["search", "search", "ads", "ops"]),
            customer: format!("c{}", numbers.below(3)),
            model: numbers.one_of(&["small", "small", "large", "tiny"]),
            bytes: usize::try_from(150 + numbers.below(350)).unwrap(),
            generated: numbers.below(900),
            says: numbers.one_of(&["", "", "", "", "", "", "falcon", "a@example.com"]),
            tier: numbers.one_of(&[
                None,
                Some("free"),
                Some("paid"),
                Some("paid"),
                Some("paid"),
                Some("paid"),
            ]),
            fails: numbers.below(4) == 0,
        }
    };
    (0..calls).map(planned).collect()
}

impl Planned {
    fn body(&self, number: usize) -> String {
        let body = |padding: &str| {
            format!(
                r#"{{"model":"{}","messages":[{{"role":"user","content":"<{number}> {} {padding}"}}]}}"#,
                self.model, self.says
            )
        };
        let padding = self.bytes - body("").len();
        body(&"x".repeat(padding))
    }

    /// As a row of a table.
    fn row(&self) -> String {
        let at = Timestamp::from_nanos((START + self.at) * MILLI);
        let Self { bytes, generated, latency, model, team, customer, .. } = self;
        format!("{at},{bytes},{generated},{latency},{model},{team},ranking,production,{customer},caller\n")
    }
}

const HEADINGS: &str =
    "TIMESTAMP,ContextTokens,GeneratedTokens,latency_ms,model,team,project,environment,customer_id,key\n";

// === A model that answers when it is told to ===

#[derive(Clone)]
struct Model {
    arrived: mpsc::UnboundedSender<usize>,
    answers: Arc<Mutex<HashMap<usize, oneshot::Receiver<Planned>>>>,
}

impl Model {
    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let model = self.clone();
            let service = service_fn(move |request| {
                let model = model.clone();
                async move { Ok::<_, Infallible>(model.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    /// Waits until it is told what to answer. It keeps to the output limit.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let content = body["messages"][0]["content"].as_str().unwrap();
        let number = content.split(['<', '>']).nth(1).unwrap().parse().unwrap();
        let answer = self.answers.lock().unwrap().remove(&number).unwrap();
        self.arrived.send(number).unwrap();
        let planned = answer.await.unwrap();
        // Longer than the target of the tier `quick`, whatever else takes time.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let written = planned.generated.min(body["max_completion_tokens"].as_u64().unwrap());
        let (status, text) = match planned.fails {
            true => (StatusCode::SERVICE_UNAVAILABLE, "{}".to_owned()),
            false => (
                StatusCode::OK,
                format!(
                    r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{},"completion_tokens":{written}}}}}"#,
                    planned.bytes
                ),
            ),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    }
}

// === The gateway ===

/// A call that was made: its AWU, once there is an answer.
type Answering = JoinHandle<String>;

struct House {
    clock: Arc<AtomicU64>,
    governor: Governor,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    arrived: mpsc::UnboundedReceiver<usize>,
    answers: Arc<Mutex<HashMap<usize, oneshot::Receiver<Planned>>>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl House {
    async fn new(folder: &Folder, is_full: bool) -> Self {
        let (sender, arrived) = mpsc::unbounded_channel();
        let answers = Arc::default();
        let upstream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let text = config(folder, upstream.local_addr().unwrap().port(), is_full);
        tokio::spawn(Model { arrived: sender, answers: Arc::clone(&answers) }.serve(upstream));
        folder.write("genops.yaml", &text);
        let config = Config::read("test", &text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let clock = Arc::new(AtomicU64::new(START * MILLI));
        let told = Arc::clone(&clock);
        let settings = Settings {
            clock: Arc::new(move || Timestamp::from_nanos(told.load(Ordering::SeqCst))),
            ..Settings::at(config.ledger.clone(), config.policy.clone())
        };
        let (governor, _) = Governor::open(settings).await.unwrap();
        let gateway = Gateway::new(governor.clone(), config).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            gateway.serve(listener, async { drop(stopped.await) }).await;
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { clock, governor, url, client, arrived, answers, stop, serving }
    }

    fn set_clock(&self, millis: u64) {
        self.clock.store((START + millis) * MILLI, Ordering::SeqCst);
    }

    /// Makes every call, each at its time, and lets it end at its time. Gives their AWUs, in the order of the plan.
    async fn make(&mut self, plan: &[Planned]) -> Vec<String> {
        let begins = plan.iter().enumerate().map(|(number, call)| (call.at, true, number));
        let ends = plan.iter().enumerate().map(|(number, call)| (call.at + call.latency, false, number));
        let mut events: Vec<_> = begins.chain(ends).collect();
        // What ends comes before what begins at the same time.
        events.sort_unstable();
        let mut awus = BTreeMap::new();
        let mut running: HashMap<usize, (oneshot::Sender<Planned>, Answering)> = HashMap::new();
        for (at, is_begin, number) in events {
            self.set_clock(at);
            if is_begin {
                let (answer, mut answering) = self.ask(number, &plan[number]);
                tokio::select! {
                    arrived = self.arrived.recv() => {
                        assert_eq!(arrived, Some(number));
                        running.insert(number, (answer, answering));
                    }
                    refused = &mut answering => { awus.insert(number, refused.unwrap()); }
                }
            } else if let Some((answer, answering)) = running.remove(&number) {
                answer.send(plan[number].clone()).unwrap();
                awus.insert(number, answering.await.unwrap());
            }
        }
        awus.into_values().collect()
    }

    fn ask(&self, number: usize, call: &Planned) -> (oneshot::Sender<Planned>, Answering) {
        let (answer, answered) = oneshot::channel();
        self.answers.lock().unwrap().insert(number, answered);
        let mut request = Request::post(&self.url)
            .header("authorization", format!("Bearer {KEY}"))
            .header("x-genops-team", call.team)
            .header("x-genops-customer-id", &call.customer);
        if let Some(tier) = call.tier {
            request = request.header("x-tier", tier);
        }
        let request = request.body(Full::from(call.body(number))).unwrap();
        let client = self.client.clone();
        let answering = tokio::spawn(async move {
            let response = client.request(request).await.unwrap();
            let awu = response.headers().get("x-genops-awu").map(|awu| awu.to_str().unwrap().to_owned());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            awu.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&body)))
        });
        (answer, answering)
    }

    async fn close(self) {
        self.stop.send(()).unwrap();
        drop(self.client);
        self.serving.await.unwrap();
        self.governor.close().await.unwrap();
    }
}

/// Makes the calls of a plan, and gives what the ledger says of each.
async fn made(folder: &Folder, plan: &[Planned], is_full: bool) -> (Vec<AwuReport>, BudgetList) {
    let mut house = House::new(folder, is_full).await;
    let awus = house.make(plan).await;
    house.close().await;
    assert_eq!(awus.len(), plan.len());
    let mut archive = Archive::open(&folder.path("genops.db")).unwrap();
    let awus = awus.iter().map(|awu| archive.awu(awu.parse().unwrap()).unwrap().unwrap()).collect();
    (awus, archive.budgets(Timestamp::from_nanos(START * MILLI)).unwrap())
}

// === The comparison ===

/// A decision, the rule that made it, and what it reserved.
type Fact = (String, String, String, Vec<[String; 4]>);

fn fact_of_ledger(awu: &AwuReport) -> Fact {
    let cells = awu.cells.iter().filter(|_| awu.state != "REFUSED");
    let cell = |cell: &genops::report::CellReport| {
        [&cell.budget, &cell.window, &cell.unit, &cell.reserved].map(ToString::to_string)
    };
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    (awu.result.clone(), or_nothing(&awu.reason_code), or_nothing(&awu.rule), cells.map(cell).collect())
}

fn fact_of_line(line: &Value) -> Fact {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cell = |cell: &Value| [&cell["budget"], &cell["window"], &cell["unit"], &cell["reserved"]].map(text);
    let cells = line["cells"].as_array().unwrap().iter().map(cell).collect();
    (text(&line["result"]), text(&line["reason_code"]), text(&line["rule"]), cells)
}

/// What the cells have used: budget, window and amount.
fn used(report: &Value) -> Vec<[String; 3]> {
    let cells = report["policies"][0]["budgets"].as_array().unwrap().iter();
    let cells =
        cells.map(|cell| ["budget", "window", "used"].map(|field| cell[field].as_str().unwrap().to_owned()));
    let mut cells: Vec<_> = cells.filter(|[_, _, used]| used != "0").collect();
    cells.sort();
    cells
}

fn used_in_ledger(budgets: &BudgetList) -> Vec<[String; 3]> {
    let cells = budgets.budgets.iter();
    let cells = cells.map(|cell| [cell.name.clone(), cell.window.clone(), cell.used.clone()]);
    let mut cells: Vec<_> = cells.filter(|[_, _, used]| used != "0").collect();
    cells.sort();
    cells
}

/// How often each decision was made, so that a test that exercises nothing fails.
fn kinds(facts: &[Fact]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for (result, code, rule, _) in facts {
        *kinds.entry(format!("{result} {code} {rule}")).or_default() += 1;
    }
    kinds
}

const FROM_TABLE: [&str; 5] =
    ["--config", "genops.yaml", "--trace", "calls.csv", "--decisions=decisions.jsonl"];
const FROM_LEDGER: [&str; 5] =
    ["--config", "genops.yaml", "--ledger", "genops.db", "--decisions=decisions.jsonl"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_calls_is_decided_as_the_running_gateway_decided_them() {
    let folder = Folder::new();
    let plan: Vec<_> =
        plan(400, &mut Numbers(1)).into_iter().map(|call| Planned { fails: false, ..call }).collect();
    let (awus, budgets) = made(&folder, &plan, false).await;
    let rows: String = plan.iter().map(Planned::row).collect();
    folder.write("calls.csv", &format!("{HEADINGS}{rows}"));
    let report = folder.json(&FROM_TABLE);
    let facts: Vec<_> = lines(&folder.read("decisions.jsonl")).iter().map(fact_of_line).collect();
    for (place, (awu, fact)) in awus.iter().zip(&facts).enumerate() {
        assert_eq!(fact_of_ledger(awu), *fact, "call {place}: {:?}", plan[place]);
    }
    assert_eq!(used_in_ledger(&budgets), used(&report));
    let kinds = kinds(&facts);
    for kind in [
        "ALLOWED  ",
        "BLOCKED POLICY_DENY_MODEL ads-small",
        "BLOCKED POLICY_DENY_REGION tiny-in-europe",
        "BLOCKED x_late late-large",
        "BLOCKED BUDGET_RESERVATION_FAILED search-day",
        "WARNING x_long customer-watched",
        "WARNING POLICY_DENY_MODEL tiny-watched",
        "WARNING BUDGET_EXCEEDED ads-watched",
        "WARNING x_output_capped cap-c1",
        "RATE_LIMITED RATE_LIMITED customer-requests",
        "RATE_LIMITED RATE_LIMITED tokens",
        "RATE_LIMITED RATE_LIMITED at-once",
    ] {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:#?}");
    }
    from_the_ledger_nothing_is_decided_differently(&folder, &facts, &budgets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_knows_of_content_headers_failures_and_latencies_too() {
    for seed in [2, 3] {
        let folder = Folder::new();
        let (awus, budgets) = made(&folder, &plan(300, &mut Numbers(seed)), true).await;
        let facts: Vec<_> = awus.iter().map(fact_of_ledger).collect();
        let kinds = kinds(&facts);
        for kind in [
            "ALLOWED  ",
            "BLOCKED POLICY_DENY_CONTENT no-falcon",
            "BLOCKED x_tier tiered",
            "BLOCKED PROVIDER_ERROR_UPSTREAM upstream",
            "WARNING POLICY_DENY_CONTENT mail-watched",
            "WARNING SLA_LATENCY_VIOLATION quick",
        ] {
            assert!(kinds.contains_key(kind), "{kind}: {kinds:#?}");
        }
        from_the_ledger_nothing_is_decided_differently(&folder, &facts, &budgets);
    }
}

/// Under the same configuration; and the same comes of it twice, byte for byte, whatever the seeds of the hashes.
fn from_the_ledger_nothing_is_decided_differently(folder: &Folder, facts: &[Fact], budgets: &BudgetList) {
    let text = folder.text(&FROM_LEDGER);
    assert!(text.contains("\nDecided differently: 0 calls\n"), "{text}");
    let first = folder.read("decisions.jsonl");
    let lines = lines(&first);
    assert_eq!(lines.iter().map(fact_of_line).collect::<Vec<_>>(), facts);
    for line in &lines {
        let fields = ["result", "reason_code", "question", "rule"];
        fields.iter().for_each(|field| assert_eq!(line[*field], line["before"][*field], "{line}"));
    }
    let arguments = [&FROM_LEDGER[..], &["--plot", "plot.svg", "--format", "json"]].concat();
    let reports =
        [0, 1].map(|_| (folder.text(&arguments), folder.read("plot.svg"), folder.read("decisions.jsonl")));
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0].2, first);
    let report: Value = serde_json::from_str(&reports[0].0).unwrap();
    assert_eq!(report["changed"], serde_json::json!([]));
    assert_eq!(report["policies"][0]["not_asked"], serde_json::json!([]), "what was found then holds");
    assert_eq!(used_in_ledger(budgets), used(&report));
}
