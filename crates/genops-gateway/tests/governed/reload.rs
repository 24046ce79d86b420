//! Changing the setup while calls run: every call is decided once, by one configuration alone, and finishes under it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use genops::persons::Persons;
use genops::report::AwuReport;
use genops::{Governor, Settings};
use genops_core::Name;
use genops_core::admit::Ruling;
use genops_core::awu::Proposal;
use genops_core::ledger::{Admit, Command, Entry, Outcome};
use genops_core::{AwuId, Digest};
use genops_gateway::identity::hash;
use genops_gateway::setup::ChangeError;
use genops_gateway::stand_in::StandIn;
use genops_gateway::{Config, Gateway};
use genops_ledger::Journal;
use genops_ledger::sqlite::SqliteStore;
use genops_spec::Decision;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::BODY;
use crate::house::KEY;

const CALLERS: usize = 16;
const CHANGES: usize = 1_000;

/// So many configurations take turns: each comes back many times.
const CONFIGS: usize = 25;

/// A gateway whose setup the test changes.
struct Changing {
    directory: TempDir,
    upstream: u16,
    gateway: Arc<Gateway>,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// What a caller was answered.
struct Told {
    session: String,
    status: u16,
    awu: AwuId,
    code: String,
}

impl Changing {
    /// With the configuration of number 0, in memory where the machine has a place for that: a thousand changes are a
    /// thousand syncs.
    async fn start(stand_in: StandIn) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap().port();
        tokio::spawn(stand_in.serve(listener));
        Self::at(upstream).await
    }

    /// The same, with an upstream at a port.
    async fn at(upstream: u16) -> Self {
        let fast = Path::new("/dev/shm");
        let place = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::tempdir_in(place).unwrap();
        let config = config(0, &directory.path().join("genops.db"), upstream);
        let settings = Settings::at(config.ledger.clone(), config.policy.clone());
        let (governor, _) = Governor::open(settings).await.unwrap();
        let gateway = Gateway::new(governor, config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(Arc::clone(&gateway).serve(listener, async { drop(stopped.await) }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { directory, upstream, gateway, url, client, stop, serving }
    }

    fn config(&self, number: usize) -> Config {
        config(number, &self.ledger(), self.upstream)
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join("genops.db")
    }

    async fn change(&self, config: Config) -> Result<(), ChangeError> {
        self.gateway.setups.change(&self.gateway.governor, config).await
    }

    /// A call that is known by its session.
    fn call(&self, session: String) -> impl Future<Output = Told> + Send + 'static {
        let request = Request::post(&self.url)
            .header("authorization", format!("Bearer {KEY}"))
            .header("x-genops-session-id", &session)
            .body(Full::from(BODY))
            .unwrap();
        let answer = self.client.request(request);
        async move {
            let (head, body) = answer.await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
            let awu = header("x-genops-awu").parse();
            let awu = awu.unwrap_or_else(|_| panic!("{}: {}", head.status, String::from_utf8_lossy(&body)));
            Told {
                session,
                status: head.status.as_u16(),
                awu,
                code: header("x-genops-reason-code").to_owned(),
            }
        }
    }

    async fn ended(&self, awu: AwuId) -> AwuReport {
        let mut durable = self.gateway.governor.durable();
        loop {
            let report = self.gateway.governor.awu(awu).unwrap().unwrap();
            if report.ended_at.is_some() {
                return report;
            }
            durable.changed().await.unwrap();
        }
    }

    /// Stops the gateway, and gives the journal, with what callers said in the place of pseudonyms.
    async fn close(self) -> Vec<Entry> {
        let (governor, ledger) = (self.gateway.governor.clone(), self.ledger());
        self.stop.send(()).unwrap();
        drop((self.client, self.gateway));
        self.serving.await.unwrap();
        governor.close().await.unwrap();
        let mut journal = Journal::new(Box::new(SqliteStore::read(&ledger).unwrap()));
        let persons = Persons::of_file(&ledger).unwrap();
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let entries = journal.after(all.last().map_or(0, |entry| entry.sequence)).unwrap();
            if entries.is_empty() {
                return all;
            }
            all.extend(entries.into_iter().map(|journaled| persons.entry(journaled.entry).unwrap()));
        }
    }
}

/// A configuration in which everything has the number in its name, and amounts that give it away. In turn it lets calls
/// run, and refuses them by a budget, by a list of models, by a condition, and by a rate.
fn config(number: usize, ledger: &Path, upstream: u16) -> Config {
    let n = number;
    let turn = number % 5;
    let ledger = ledger.display();
    let sha256: String = hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let provider = |at: usize| {
        format!("  - {{name: p-{at}, base_url: 'http://127.0.0.1:{upstream}/v1', region: r-{at}}}\n")
    };
    let providers: String = (0..4).map(provider).collect();
    let (at, most, input) = (number % 4, 100 + number, 1 + number);
    let limit = if turn == 1 { "0" } else { "1000" };
    let allow = if turn == 2 { "other" } else { "small" };
    let effect = if turn == 3 { "deny" } else { "warn" };
    let requests = if turn == 4 { "1" } else { "1000000000" };
    let text = format!(
        "ledger: '{ledger}'
telemetry: {{otlp: []}}
providers:
{providers}models:
  - {{name: small, provider: p-{at}, max_output_tokens: {most}, price: {{input: {input}, output: 2}}}}
allowed_models: [{{name: m-{n}, for: {{team: t-{n}}}, allow: [{allow}]}}]
allowed_regions: [{{name: g-{n}, allow: [r-{at}]}}]
conditions: [{{name: c-{n}, when: 'team == \"t-{n}\"', effect: {effect}, code: x_{n}}}]
content_rules: [{{name: w-{n}, keywords: [hi], effect: warn}}]
rates: [{{name: q-{n}, requests: {requests}, per: day}}]
tiers: [{{name: s-{n}, latency_ms: 86400000}}]
budgets: [{{name: b-{n}, for: {{key: k-{n}}}, unit: USD, limit: {limit}}}]
keys:
  - {{name: k-{n}, sha256: {sha256}, team: t-{n}, project: j-{n}, environment: e-{n}, operation: o-{n},
     customer_id: u-{n}, feature: f-{n}, cost_center: v-{n}}}
"
    );
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Config::read("test", &text, &|_| None, &nothing).unwrap_or_else(|problems| panic!("{problems}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_thousand_changes_every_call_has_one_decision_by_one_configuration_alone() {
    let house = Arc::new(Changing::start(StandIn::default()).await);
    let configs: Vec<_> = (0..CONFIGS).map(|number| house.config(number)).collect();
    let numbers: HashMap<Digest, usize> =
        configs.iter().enumerate().map(|(number, config)| (config.policy.version(), number)).collect();
    let (answered, another) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (house, answered, another) = (Arc::clone(&house), Arc::clone(&answered), Arc::clone(&another));
        let done = Arc::clone(&done);
        callers.spawn(async move {
            let mut told = Vec::new();
            while !done.load(Ordering::Relaxed) {
                told.push(house.call(format!("{caller}-{}", told.len())).await);
                answered.fetch_add(1, Ordering::Relaxed);
                another.notify_one();
            }
            told
        });
    }
    for change in 1..=CHANGES {
        house.change(configs[change % CONFIGS].clone()).await.unwrap();
        // Two changes in a row, then a few answers: both happen to every step of a call.
        let enough = answered.load(Ordering::Relaxed) + 4;
        while change % 2 == 0 && answered.load(Ordering::Relaxed) < enough {
            another.notified().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    let told: Vec<Told> = callers.join_all().await.into_iter().flatten().collect();
    let house = Arc::into_inner(house).unwrap();
    let journal = house.close().await;
    let decided = decisions(&journal, &numbers);
    assert_eq!(decided.len(), told.len(), "a decision for each call, and no other");
    let mut seen = HashMap::<u16, usize>::new();
    for told in &told {
        let (awu, decision) = &decided[&told.session];
        let status = match decision {
            Decision::Allowed | Decision::Warning(_) => 200,
            Decision::RateLimited(_) => 429,
            Decision::Blocked(genops_spec::ReasonCode::BudgetExceeded) => 429,
            Decision::Blocked(_) => 403,
        };
        let code = decision.reason_code().map(ToString::to_string).unwrap_or_default();
        assert_eq!((told.awu, told.status, &told.code), (*awu, status, &code));
        *seen.entry(status).or_default() += 1;
    }
    assert!(told.len() > CHANGES, "{}", told.len());
    assert!(
        [200, 403, 429].iter().all(|status| seen.get(status).is_some_and(|count| *count > 50)),
        "{seen:?}"
    );
}

/// The decisions of a journal by the session of their calls; each is checked to be of one configuration.
fn decisions(journal: &[Entry], numbers: &HashMap<Digest, usize>) -> HashMap<String, (AwuId, Decision)> {
    let mut in_force = Digest::ZERO;
    let mut adopted = 0;
    let mut decided = HashMap::new();
    for entry in journal {
        let (request, ruling) = match (&entry.command, &entry.outcome) {
            (Command::AdoptPolicy(policy), _) => {
                in_force = policy.version();
                adopted += 1;
                continue;
            }
            (Command::Admit(request), Outcome::Admitted(admitted)) => (request, admitted.ruling()),
            (Command::Admit(request), Outcome::Refused(refused)) => (request, &refused.ruling),
            _ => continue,
        };
        assert_eq!((ruling.policy, request.assessed_under), (in_force, Some(in_force)), "the one in force");
        is_of_one_configuration(numbers[&in_force], request, ruling);
        let session = request.proposal.labels.session_id.as_ref().unwrap().to_string();
        let before = decided.insert(session, (request.awu, ruling.decision.clone()));
        assert_eq!(before, None, "a second decision of one call");
    }
    assert_eq!(adopted, CHANGES + 1, "every change is an entry");
    decided
}

fn is_of_one_configuration(number: usize, request: &Admit, ruling: &Ruling) {
    let of = |kind: &str| format!("{kind}-{number}");
    let proposal = &request.proposal;
    assert_eq!(facts(proposal), ["t", "j", "e", "o", "k", "u", "f", "v"].map(of));
    let at = number % 4;
    assert_eq!(proposal.provider.as_ref().map(Name::as_str), Some(&*format!("p-{at}")));
    assert_eq!(proposal.region.as_ref().map(Name::as_str), Some(&*format!("r-{at}")));
    let price = proposal.price.as_ref().unwrap();
    assert_eq!(price.rates.input.to_string(), (1 + number).to_string());
    let assessed: Vec<_> = proposal.assessed.iter().map(|assessment| assessment.rule.to_string()).collect();
    assert_eq!(assessed, ["c", "w"].map(of));
    let found = ruling.findings.iter().map(|finding| finding.rule.as_ref().unwrap().as_str());
    let rates = ruling.rates.iter().map(|rate| rate.key.rule.as_str());
    let tiers = ruling.sla.iter().map(|step| step.tier.as_str());
    let cells = ruling.cells.iter().map(|cell| cell.key.budget_name());
    for rule in found.chain(rates).chain(tiers).chain(cells) {
        assert_eq!(rule.split_once('-').unwrap().1, number.to_string(), "{ruling:?}");
    }
    let refused_by = ruling.findings.iter().find(|finding| finding.refuses());
    let refused_by = refused_by.map(|finding| finding.rule.as_ref().unwrap().to_string());
    match number % 5 {
        0 => assert_eq!(refused_by, None),
        1 => assert_eq!(refused_by, Some(of("b"))),
        2 => assert_eq!(refused_by, Some(of("m"))),
        3 => assert_eq!(refused_by, Some(of("c"))),
        // The first call of the day is let through.
        _ => assert!(refused_by.is_none() || refused_by == Some(of("q")), "{refused_by:?}"),
    }
}

fn facts(proposal: &Proposal) -> [String; 8] {
    let label = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
    [
        proposal.attribution.team().to_string(),
        proposal.attribution.project().to_string(),
        proposal.attribution.environment().to_string(),
        proposal.operation_name.to_string(),
        label(&proposal.key),
        label(&proposal.labels.customer_id),
        label(&proposal.labels.feature),
        label(&proposal.labels.cost_center),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_finishes_under_the_policy_that_admitted_it() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = Changing::at(upstream.local_addr().unwrap().port()).await;
    let first = house.gateway.setups.current().in_force.version();
    let running = tokio::spawn(house.call("slow".to_owned()));
    // It was admitted, and waits for an answer until the change is made.
    let (mut taken, _) = upstream.accept().await.unwrap();
    house.change(house.config(5)).await.unwrap();
    let stand_in = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stand_in.local_addr().unwrap();
    tokio::spawn(StandIn::default().serve(stand_in));
    tokio::spawn(async move {
        loop {
            let mut passed_on = TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut taken, &mut passed_on).await });
            (taken, _) = upstream.accept().await.unwrap();
        }
    });
    let told = running.await.unwrap();
    let slow = house.ended(told.awu).await;
    let after = house.ended(house.call("after".to_owned()).await.awu).await;
    // 12 tokens in, 20 out at 2 dollars a million: in at 1 dollar by the first, at 6 by the second.
    for (awu, number, cost, version) in [
        (slow, 0, "0.000052", first),
        (after, 5, "0.000112", house.gateway.setups.current().in_force.version()),
    ] {
        assert_eq!((awu.state.as_str(), awu.actual.as_deref()), ("SETTLED", Some(cost)));
        assert_eq!((awu.team.as_str(), awu.policy_version), (&*format!("t-{number}"), version.to_string()));
        let cells: Vec<_> =
            awu.cells.iter().map(|cell| (cell.budget.as_str(), cell.actual.as_deref())).collect();
        assert_eq!(cells, [(&*format!("b-{number}"), Some(cost))]);
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_cannot_be_made_changes_nothing() {
    let house = Changing::start(StandIn::default()).await;
    let before = house.gateway.setups.current();
    let mut no_address = house.config(5);
    no_address.providers[0].base_url = "http://[".to_owned();
    assert!(matches!(house.change(no_address).await, Err(ChangeError::Provider(_))));
    let mut contradiction = house.config(5);
    let policy = Arc::make_mut(&mut contradiction.policy);
    policy.budgets.push(policy.budgets[0].clone());
    assert!(matches!(house.change(contradiction).await, Err(ChangeError::Ledger(_))));
    assert!(Arc::ptr_eq(&before, &house.gateway.setups.current()));
    let awu = house.ended(house.call("after".to_owned()).await.awu).await;
    assert_eq!((awu.team.as_str(), awu.policy_version), ("t-0", before.in_force.version().to_string()));
    let journal = house.close().await;
    let adopted = journal.iter().filter(|entry| matches!(entry.command, Command::AdoptPolicy(_))).count();
    assert_eq!(adopted, 1);
}
