//! A collector for the tests: takes OTLP over HTTP, or over gRPC by means of [`grpc`](super::grpc), decodes it
//! with the published definitions, and can be told to behave badly.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Far longer than anything takes that will come at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub enum Mode {
    Takes,
    TakesAtMost(usize),
    Unavailable,
    /// Reads the request and never answers.
    Silent,
    Rejects,
    RejectsOtherwise,
}

pub struct Receiver {
    pub port: u16,
    pub shared: Arc<Shared>,
}

/// A server, until it is stopped, or else for as long as the test.
pub struct Running {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    /// A server that ends once what it is given does.
    pub fn until_stopped<S: Future<Output = ()> + Send + 'static>(
        serve: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> S,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Self { stop, served: tokio::spawn(serve(Box::pin(stopped))) }
    }

    /// Stops it, and waits until its port is free. What it has not heard by then, it never hears.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }
}

/// Serves HTTP at a port, or at any where it is 0; gives the port.
pub async fn serve<A>(
    port: u16,
    answer: impl Fn(Request<Incoming>) -> A + Clone + Send + 'static,
) -> (u16, Running)
where
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = Running::until_stopped(|mut stopped| async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = &mut stopped => break,
            };
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            connections.spawn(http.serve_connection(TokioIo::new(stream), service));
        }
        drop(listener);
        connections.shutdown().await;
    });
    (port, running)
}

pub struct Shared {
    mode: Mutex<Mode>,
    got: Mutex<Got>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Got {
    /// Every content in which an AWU's span has come, by its identity.
    spans: BTreeMap<String, Vec<Span>>,
    /// Identity, event and time of each log record.
    logs: BTreeSet<(String, String, u64)>,
    /// Every request over HTTP, taken or not.
    bodies: Vec<Vec<u8>>,
    refusals: usize,
    packed: usize,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_to_stop().await.0
    }

    /// Starts one that can be stopped.
    pub async fn start_to_stop() -> (Self, Running) {
        let shared = Shared::new();
        let (port, running) = Self::listen(0, &shared).await;
        (Self { port, shared }, running)
    }

    /// Has one that was stopped listen again.
    pub async fn start_again(&self) -> Running {
        Self::listen(self.port, &self.shared).await.1
    }

    async fn listen(port: u16, shared: &Arc<Shared>) -> (u16, Running) {
        let shared = Arc::clone(shared);
        serve(port, move |request| {
            let shared = Arc::clone(&shared);
            async move { shared.take(request).await }
        })
        .await
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub fn has(&self, awus: &BTreeSet<String>) -> bool {
        let got = self.shared.got.lock().unwrap();
        awus.iter().any(|awu| got.spans.contains_key(awu))
            && awus.iter().all(|awu| got.spans.contains_key(awu))
    }

    /// How many requests have come compressed.
    pub fn packed(&self) -> usize {
        self.shared.got.lock().unwrap().packed
    }

    /// Whether a text stood in any request over HTTP.
    pub fn has_seen(&self, text: &str) -> bool {
        self.shared.got.lock().unwrap().has_seen(text)
    }

    pub async fn wait_until_seen(&self, text: &str) {
        self.wait(|got| got.has_seen(text)).await;
    }

    /// Keeps no request of before.
    pub fn forget_requests(&self) {
        self.shared.got.lock().unwrap().bodies.clear();
    }

    /// How many log records have come, each counted once.
    pub fn logs(&self) -> usize {
        self.shared.got.lock().unwrap().logs.len()
    }

    /// How many times an AWU's span has come.
    pub fn times(&self, awu: &str) -> usize {
        self.shared.got.lock().unwrap().spans.get(awu).map_or(0, Vec::len)
    }

    pub async fn wait_for(&self, awus: &BTreeSet<String>) {
        assert!(!awus.is_empty());
        self.wait(|got| awus.iter().all(|awu| got.spans.contains_key(awu))).await;
    }

    pub async fn wait_for_logs(&self, count: usize) {
        self.wait(|got| got.logs.len() >= count).await;
    }

    /// Until every span that has come has come so many times.
    pub async fn wait_for_contents(&self, times: usize) {
        self.wait(|got| got.spans.values().all(|contents| contents.len() >= times)).await;
    }

    pub async fn wait_for_refusals(&self, count: usize) {
        self.wait(|got| got.refusals >= count).await;
    }

    async fn wait(&self, until: impl Fn(&Got) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let awaited = async {
            while !until(&self.shared.got.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, awaited).await.is_err() {
            panic!("what was waited for did not come within {} s", PATIENCE.as_secs());
        }
    }

    pub fn assert_one_content(&self) {
        for (awu, contents) in &self.shared.got.lock().unwrap().spans {
            assert!(contents.windows(2).all(|two| two.first() == two.last()), "{awu} came with two contents");
        }
    }
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            mode: Mutex::new(Mode::Takes),
            got: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    pub fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    /// Keeps a request, or counts it as refused.
    pub fn note(&self, path: &str, body: Option<&[u8]>) {
        let mut got = self.got.lock().unwrap();
        match body {
            Some(body) => got.keep(path, body),
            None => got.refusals += 1,
        }
        drop(got);
        self.changed.send_modify(|count| *count += 1);
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let is_packed = request.headers().get("content-encoding").is_some_and(|value| value == "gzip");
        let mut body = request.into_body().collect().await.unwrap().to_bytes();
        if is_packed {
            let mut unpacked = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut unpacked).unwrap();
            body = unpacked.into();
            self.got.lock().unwrap().packed += 1;
        }
        assert!(body.len() < 4 << 20, "a request of {} bytes", body.len());
        let mode = self.mode();
        let status = match mode {
            Mode::Takes => StatusCode::OK,
            Mode::TakesAtMost(bytes) if body.len() <= bytes => StatusCode::OK,
            Mode::TakesAtMost(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Mode::Unavailable | Mode::Silent => StatusCode::SERVICE_UNAVAILABLE,
            Mode::Rejects => StatusCode::BAD_REQUEST,
            Mode::RejectsOtherwise => StatusCode::UNPROCESSABLE_ENTITY,
        };
        self.got.lock().unwrap().bodies.push(body.to_vec());
        self.note(&path, (status == StatusCode::OK).then_some(&*body));
        if matches!(mode, Mode::Silent) {
            std::future::pending::<()>().await;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    }
}

impl Got {
    fn has_seen(&self, text: &str) -> bool {
        self.bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    fn keep(&mut self, path: &str, body: &[u8]) {
        match path {
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(body).unwrap();
                let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
                for span in scopes.flat_map(|scope| scope.spans).filter(|span| span.name == "genops.awu") {
                    self.spans.entry(id(&span.trace_id, &span.span_id)).or_default().push(span);
                }
            }
            "/v1/logs" => {
                let request = ExportLogsServiceRequest::decode(body).unwrap();
                let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
                for log in scopes.flat_map(|scope| scope.log_records) {
                    self.logs.insert((id(&log.trace_id, &log.span_id), log.event_name, log.time_unix_nano));
                }
            }
            other => panic!("nothing is sent to {other}"),
        }
    }
}

fn id(trace_id: &[u8], span_id: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}", hex(trace_id), hex(span_id))
}
