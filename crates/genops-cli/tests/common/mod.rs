//! The gateway as a process of its own, and around it, in this process: a stand-in for a model, a collector
//! of telemetry, and callers. What is promised stands in the tests.

pub mod collector;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
use tokio::sync::oneshot;

use collector::Collector;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_genops");

/// The key that every caller shows. It leaves the team open: a header says it.
const KEY: &str = "gk-of-the-test";

/// How long anything may take that is waited for. Reached only where something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

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
  - {{name: test, sha256: {sha256}, project: crash, environment: test, roles: [read]}}
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

// === The process ===

/// A running gateway. Dropping it is `kill -9`.
pub struct Gateway {
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    address: oneshot::Receiver<SocketAddr>,
}

impl Gateway {
    /// Starts the process, and waits for nothing.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::<Mutex<Vec<String>>>::default();
        let (tell, address) = oneshot::channel();
        let mut tell = Some(tell);
        read_lines(child.stdout.take().unwrap(), &output, move |line| {
            if let Some((_, origin)) = line.split_once(" listens on http://") {
                tell.take().unwrap().send(origin.parse().unwrap()).unwrap_or_default();
            }
        });
        read_lines(child.stderr.take().unwrap(), &output, |_| ());
        Self { child, output, address }
    }

    /// Waits until callers are answered, and gives a way to call.
    pub async fn listens(&mut self) -> Client {
        match tokio::time::timeout(PATIENCE, &mut self.address).await {
            Ok(Ok(address)) => Client::to(address),
            _ => panic!("the gateway does not listen:\n{}", self.output()),
        }
    }

    /// Tells the process to stop, and waits until it has: it must end well.
    pub async fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the gateway does not stop:\n{}", self.output());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(status.success(), "the gateway ended with {status}:\n{}", self.output());
    }

    fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what a process prints, and shows each line to `look`.
fn read_lines(
    from: impl Read + Send + 'static,
    output: &Arc<Mutex<Vec<String>>>,
    mut look: impl FnMut(&str) + Send + 'static,
) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            look(&line);
            output.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

// === The callers ===

/// A way to call a gateway. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    origin: String,
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
    fn to(address: SocketAddr) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, origin: format!("http://{address}") }
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
        let request = Request::post(format!("{}/v1/chat/completions", self.origin))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-genops-team", team)
            .header("x-genops-operation", operation)
            .body(Full::from(body))
            .unwrap();
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
