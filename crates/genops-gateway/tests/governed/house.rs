//! A gateway with everything behind it, for the tests: a stand-in upstream, a ledger on the disk, a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genops::receipt::key::SigningKey;
use genops::{Governor, Settings};
use genops_gateway::identity::hash;
use genops_gateway::stand_in::StandIn;
use genops_gateway::{Config, Gateway};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::described;

pub const KEY: &str = "gk-the-callers-secret";
pub const OPEN_KEY: &str = "gk-leaves-the-project-open";
pub const ADMINISTRATOR_KEY: &str = "gk-administers-and-does-not-read";
pub const OPERATOR_KEY: &str = "gk-operates-a-trainer";
pub const JOBS_KEY: &str = "gk-runs-the-examples";
pub const UPSTREAM_SECRET: &str = "sk-the-upstream-secret";

pub struct House {
    pub directory: TempDir,
    pub governor: Governor,
    pub reached: Arc<AtomicU64>,
    pub url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, the error's code and the field that it names.
    pub fn error(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |pointer| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (self.status.as_u16(), text("/error/code"), text("/error/param"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A port where nobody listens.
pub async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// The schema of configurations: it has to accept every one that the tests use.
fn schema() -> &'static jsonschema::Validator {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| jsonschema::validator_for(&genops_gateway::config::schema()).unwrap())
}

impl House {
    /// With a stand-in that behaves like `stand_in`, and more lines of configuration.
    pub async fn with(stand_in: StandIn, more: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        let reached = Arc::clone(&stand_in.reached);
        tokio::spawn(stand_in.serve(upstream));
        Self::at(port, reached, more).await
    }

    /// Over the ledger that another house had, once that is closed.
    pub async fn again(directory: TempDir, more: &str) -> Self {
        Self::within(directory, nobody().await, Arc::default(), more).await
    }

    /// With an upstream at a port.
    pub async fn at(port: u16, reached: Arc<AtomicU64>, more: &str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), port, reached, more).await
    }

    async fn within(directory: TempDir, port: u16, reached: Arc<AtomicU64>, more: &str) -> Self {
        let hex = |key: &str| hash(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let limits = if more.contains("limits:") { "" } else { "limits: {body_bytes: 4096}" };
        let receipts = if more.contains("receipts:") { "" } else { "receipts: {signing_key: env:SIGNING}" };
        let (key, open_key, administrator) = (hex(KEY), hex(OPEN_KEY), hex(ADMINISTRATOR_KEY));
        let (operator, jobs) = (hex(OPERATOR_KEY), hex(JOBS_KEY));
        let place = directory.path().display();
        let text = format!(
            "
ledger: '{place}/genops.db'
telemetry: {{directory: '{place}/telemetry'}}
providers:
  - {{name: upstream, base_url: 'http://127.0.0.1:{port}/v1', api_key: env:UPSTREAM, timeout_seconds: 60, prices: openai, region: us-east-1}}
  - {{name: hasty, base_url: 'http://127.0.0.1:{port}/v1', timeout_seconds: 1}}
  - {{name: counting, base_url: 'http://127.0.0.1:{port}/v1', without_usage: counted, reports_usage_in_streams: false}}
  - {{name: traced, base_url: 'http://127.0.0.1:{port}/v1', sends_traceparent: true}}
  - {{name: fragile, base_url: 'http://127.0.0.1:{port}/v1', circuit: {{failures: 2, open_seconds: 3600}}}}
models:
  - {{name: small, provider: upstream, max_output_tokens: 1000, price: {{input: 1, output: 2}}}}
  - {{name: hasty, provider: hasty, max_output_tokens: 1000, price: {{input: 1, output: 2}}}}
  - {{name: gpt-4o-mini, provider: upstream, max_output_tokens: 1000}}
  - {{name: unpriced, provider: upstream, max_output_tokens: 1000}}
  - {{name: denied, provider: upstream, max_output_tokens: 1000, price: {{input: 1, output: 2}}}}
  - {{name: fragile, provider: fragile, max_output_tokens: 1000, price: {{input: 1, output: 2}}}}
  - {{name: patient, provider: fragile, max_output_tokens: 1000, price: {{input: 1, output: 2}}, retries: 1, fallbacks: [denied, small]}}
  - {{name: chatty, provider: upstream, max_output_tokens: 1000, price: {{input: 1, output: 2}}, bound: {{encoding: o200k_base, expected_output_tokens: 5}}}}
  - {{name: priceless, provider: upstream, max_output_tokens: 1000, price: {{input: 99999999999999999999999999, output: 0}}}}
allowed_models:
  - {{name: no-denied, allow: [small, hasty, gpt-4o-mini, unpriced, other, fragile, patient, priceless, chatty]}}
keys:
  - {{name: caller, sha256: {key}, team: search, project: ranking, environment: staging, roles: [read]}}
  - {{name: administrator, sha256: {administrator}, team: house, project: house, environment: staging, roles: [administer]}}
  - {{name: trainer, sha256: {operator}, team: research, environment: production, roles: [operate]}}
  - {{name: jobs, sha256: {jobs}, team: research, project: tuning, environment: production, roles: [operate]}}
  - {{name: open, sha256: {open_key}, team: search, environment: staging, trusts_trace_context: true}}
{limits}
{receipts}
{more}"
        );
        let written: Value = serde_saphyr::from_str(&text).unwrap();
        let refused: Vec<_> = schema().iter_errors(&written).map(|error| error.to_string()).collect();
        assert!(refused.is_empty(), "the schema refuses a configuration that is used: {refused:#?}");
        let env = |name: &str| match name {
            "UPSTREAM" => Some(UPSTREAM_SECRET.to_owned()),
            "SIGNING" => Some(SigningKey::text(&[7; 32])),
            _ => None,
        };
        let config = Config::read("test", &text, &env, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let settings = Settings {
            destinations: config.destinations.clone(),
            retention: config.retention.clone(),
            resource: config.resource.clone(),
            ..Settings::at(config.ledger.clone(), config.policy.clone())
        };
        let (governor, _) = Governor::open(settings).await.unwrap();
        let gateway = Gateway::new(governor.clone(), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            gateway.serve(listener, async { drop(stopped.await) }).await;
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { directory, governor, reached, url, client, stop, serving }
    }

    pub async fn chat(&self, body: &str) -> Answer {
        self.post(body.to_owned().into(), &[("authorization", &format!("Bearer {KEY}"))]).await
    }

    /// As the caller, on behalf of a feature.
    pub async fn chat_for(&self, feature: &str, body: &str) -> Answer {
        let headers = [("authorization", &*format!("Bearer {KEY}")), ("x-genops-feature", feature)];
        self.post(body.to_owned().into(), &headers).await
    }

    pub async fn post(&self, body: Bytes, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(format!("{}/v1/chat/completions", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    pub async fn tell(&self, path: &str, key: &str, body: &str) -> Answer {
        let request = Request::post(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {key}"))
            .body(Full::from(body.to_owned()));
        self.send(request.unwrap()).await
    }

    /// Does something as the operator, with more headers.
    pub async fn act(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(format!("{}/genops/v1{path}", self.url))
            .header("authorization", format!("Bearer {OPERATOR_KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    /// Proposes something as the operator, under a name for the request.
    pub async fn act_named(&self, key: &str, body: String) -> Answer {
        self.act("/awus", &[("idempotency-key", key)], body).await
    }

    /// Asks with a method that nobody takes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(format!("{}{path}", self.url)).body(Full::default()).unwrap()).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        let request =
            Request::get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {key}"));
        self.send(request.body(Full::default()).unwrap()).await
    }

    /// Asks, and gives the answer as it comes.
    pub async fn open(&self, body: &str) -> Response<Incoming> {
        let request = Request::post(format!("{}/v1/chat/completions", self.url));
        let request = request.header("authorization", format!("Bearer {KEY}"));
        self.client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let asked = request.body().clone().collect().await.unwrap().to_bytes();
        let answer = self.client.request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        described::check(&method, &path, &asked, &answer);
        answer
    }

    /// What has been used of the budgets, all of them.
    pub async fn budgets(&self) -> Vec<genops::report::BudgetReport> {
        let all = genops::report::BudgetFilter::default();
        self.governor.budgets(&all, 1_000).await.unwrap().budgets
    }

    /// Sends a call and hangs up once it has reached the upstream.
    pub async fn hang_up_while_it_runs(&self, body: &str) {
        let before = self.reached.load(Ordering::Relaxed);
        let call = self.chat(body);
        let reached = async {
            while self.reached.load(Ordering::Relaxed) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = call => panic!("the call was answered before the caller hung up"),
            () = reached => {}
        }
    }

    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// The AWU that an answer is about, once it has ended.
    pub async fn ended(&self, answer: &Answer) -> genops::report::AwuReport {
        let id = answer.header("x-genops-awu").parse().unwrap();
        // Before the first look, so that no change goes by between a look and the wait.
        let mut durable = self.governor.durable();
        loop {
            let awu = self.governor.awu(id).unwrap().unwrap();
            if awu.ended_at.is_some() {
                return awu;
            }
            durable.changed().await.unwrap();
        }
    }

    /// Stops the gateway. The ledger stays open as long as somebody has its governor.
    pub async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        drop(self.client);
        self.serving.await.unwrap();
        self.directory
    }

    /// Stops the gateway and closes the ledger, once everything in it has been told.
    pub async fn close(self) -> TempDir {
        let governor = self.governor.clone();
        let directory = self.stop().await;
        close(governor).await;
        directory
    }
}

/// Closes a ledger once everything in it has been told: closing itself waits a few seconds for that, and no longer.
pub async fn close(governor: Governor) {
    // In this order: what is on its way to the disk waits afterwards.
    let is_told = || {
        governor.status().unwrap().pending == 0
            && governor.telemetry().unwrap().followers.iter().all(|follower| follower.waiting == 0)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_told() {
        assert!(Instant::now() < deadline, "{:?}", governor.telemetry().unwrap());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    governor.close().await.unwrap();
}
