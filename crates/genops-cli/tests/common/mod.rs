//! What a gateway runs in: a model that a stand-in plays, a collector of telemetry, callers; the process itself is in
//! [`process`]. What is promised stands in the tests.

pub mod collector;
pub mod process;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use genops::report::{AwuPage, AwuReport};
use genops_core::AwuId;
use genops_gateway::identity;
use genops_gateway::stand_in::StandIn;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use tokio::net::TcpListener;

use collector::Collector;
use process::PROGRAM;

/// The key that every caller shows. It leaves the team open: a header says it.
const KEY: &str = "gk-of-the-test";

/// Why somebody is erased. It stands in the journal, and marks the entry.
pub const REASON: &str = "the test asks for it";

/// How long the stand-in thinks, so that there is always something in flight.
const DELAY: Duration = Duration::from_millis(5);

/// How long it pauses before each event of a stream, so that a stream has a middle.
const PAUSE: Duration = Duration::from_millis(1);

/// Everything that outlives a gateway: its files, the model that it asks, the collector that it tells.
pub struct Site {
    /// Where telemetry goes.
    pub collector: Collector,
    folder: TempDir,
    reached: Arc<AtomicU64>,
}

impl Site {
    /// Sets a site up with a budget in US dollars for each of the teams.
    pub async fn new(budgets: &[(String, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let collector = Collector::start().await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let model = listener.local_addr().unwrap();
        let stand_in = StandIn { delay: DELAY, pause: PAUSE, ..StandIn::default() };
        let reached = Arc::clone(&stand_in.reached);
        tokio::spawn(stand_in.serve(listener));
        std::fs::create_dir(folder.path().join("ledger")).unwrap();
        let site = Self { collector, folder, reached };
        std::fs::write(site.config(), site.configuration(model, budgets)).unwrap();
        site
    }

    fn configuration(&self, model: SocketAddr, budgets: &[(String, &str)]) -> String {
        let sha256: String = identity::hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
        let budgets: String = budgets
            .iter()
            .map(|(team, limit)| {
                format!("  - {{name: {team}-day, for: {{team: {team}}}, unit: USD, limit: {limit}, period: day}}\n")
            })
            .collect();
        format!(
            "listen: 127.0.0.1:0
ledger: '{ledger}'
telemetry:
  otlp:
    - endpoint: http://{collector}
providers:
  - {{name: stand-in, base_url: 'http://{model}/v1'}}
models:
  - {{name: small, provider: stand-in, max_output_tokens: 256, price: {{input: 1, output: 2}}}}
budgets:
{budgets}keys:
  - {{name: test, sha256: {sha256}, project: crash, environment: test, roles: [read, administer]}}
",
            ledger = self.ledger().display(),
            collector = self.collector.address,
        )
    }

    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger").join("genops.db")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("genops.yaml")
    }

    /// The command that runs a gateway here.
    pub fn serve(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(self.config());
        command
    }

    /// How many calls have reached the stand-in.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

// === The callers ===

/// A way to call a gateway. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    origin: String,
    customer: Option<String>,
}

/// What a caller was told of an AWU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The AWU.
    pub awu: AwuId,
    /// The status of the answer.
    pub status: u16,
    /// The decision's state.
    pub result: String,
    /// The decision's reason code.
    pub reason_code: Option<String>,
    /// What was reserved.
    pub reserved: Option<String>,
}

impl Client {
    /// Calls whoever listens at `origin`: `http://127.0.0.1:4100`.
    pub fn to(origin: String) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, origin, customer: None }
    }

    /// The same for calls of this customer.
    pub fn of(&self, customer: &str) -> Self {
        Self { customer: Some(customer.to_owned()), ..self.clone() }
    }

    /// Erases a customer, and gives what stands for it; `None` where the connection breaks.
    pub async fn erase(&self, customer: &str) -> Option<String> {
        let request = Request::post(format!("{}/genops/v1/erasures", self.origin))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(format!(r#"{{"customer_id":"{customer}","reason":"{REASON}"}}"#)))
            .unwrap();
        let (head, body) = self.http.request(request).await.ok()?.into_parts();
        let answer = body.collect().await.ok()?.to_bytes();
        assert_eq!(head.status, 200, "{customer} is not erased: {answer:?}");
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        answer.get("pseudonym").and_then(serde_json::Value::as_str).map(str::to_owned)
    }

    /// Makes a call, which stands in the journal under the operation's name; the name is in the prompt too.
    /// An error is a broken connection.
    pub async fn call(&self, team: &str, operation: &str) -> Result<Told, legacy::Error> {
        let (told, body) = self.ask(team, operation, "").await?;
        // The headers tell the decision. A kill may cut the body off; that takes nothing back.
        drop(body.collect().await);
        Ok(told)
    }

    /// Makes a call and gives what its caller is told at once, and the answer's body unread. `fields` stand
    /// at the beginning of the request.
    pub async fn ask(
        &self,
        team: &str,
        operation: &str,
        fields: &str,
    ) -> Result<(Told, Incoming), legacy::Error> {
        let body = format!(
            r#"{{{fields}"model":"small","messages":[{{"role":"user","content":"<{operation}>"}}]}}"#
        );
        let mut request = Request::post(format!("{}/v1/chat/completions", self.origin))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-genops-team", team)
            .header("x-genops-operation", operation);
        if let Some(customer) = &self.customer {
            request = request.header("x-genops-customer-id", customer);
        }
        let request = request.body(Full::from(body)).unwrap();
        let (head, body) = self.http.request(request).await?.into_parts();
        let value = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let Some(told) = Told::read(head.status.as_u16(), value) else {
            panic!("an ungoverned answer: {head:?} {:?}", body.collect().await);
        };
        Ok((told, body))
    }

    /// Every AWU of the ledger, the latest first.
    pub async fn awus(&self) -> Vec<AwuReport> {
        let mut awus = Vec::new();
        let mut before = String::new();
        loop {
            let request = Request::get(format!("{}/genops/v1/awus?limit=1000{before}", self.origin))
                .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
                .body(Full::default())
                .unwrap();
            let answer = self.http.request(request).await.unwrap().into_body();
            let page: AwuPage = serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap();
            awus.extend(page.awus);
            match page.next {
                Some(next) => before = format!("&before={next}"),
                None => return awus,
            }
        }
    }
}

impl Told {
    /// What an answer's head says; `None` where it is about no AWU.
    pub fn read(status: u16, value: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self {
            awu: value("x-genops-awu")?.parse().unwrap(),
            status,
            result: value("x-genops-result").unwrap(),
            reason_code: value("x-genops-reason-code"),
            reserved: value("x-genops-reserved"),
        })
    }

    /// Whether the call was let through.
    pub fn is_admission(&self) -> bool {
        self.status == 200
    }

    /// Fails where the journal says something else.
    pub fn check(&self, journal: Option<&AwuReport>) {
        let Some(report) = journal else { panic!("the journal does not know what was told: {self:?}") };
        let written = Self {
            awu: report.id.parse().unwrap(),
            status: if is_admitted(report) { 200 } else { 429 },
            result: report.result.clone(),
            reason_code: report.reason_code.clone(),
            reserved: report.reserved.clone(),
        };
        assert_eq!(*self, written, "told, and in the journal");
    }
}

/// Whether an AWU was let through.
pub fn is_admitted(report: &AwuReport) -> bool {
    report.state != "REFUSED"
}
