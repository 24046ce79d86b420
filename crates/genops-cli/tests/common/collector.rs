//! A collector: takes OTLP over HTTP, decodes it with the published definitions, and keeps all of it. It
//! can be told to behave badly.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use genops::report::AwuReport;
use genops::spec::event;
use genops_core::AwuId;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::process::PATIENCE;

/// A collector, at work for as long as the test runs.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    telling: Mutex<Telling>,
    manner: Mutex<Manner>,
    arrivals: watch::Sender<u64>,
}

/// Everything that arrived, resends included, by the span that it is or belongs to.
#[derive(Debug, Default)]
pub struct Telling {
    /// Spans.
    pub spans: HashMap<AwuId, Vec<Span>>,
    /// Log records.
    pub logs: HashMap<AwuId, Vec<LogRecord>>,
}

/// How a collector behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Whether it keeps what it is sent.
    pub keeps: bool,
    /// What it answers. It may keep something and say that it did not.
    pub status: StatusCode,
}

impl Manner {
    /// As it should be.
    pub const GOOD: Self = Self { keeps: true, status: StatusCode::OK };
}

impl Collector {
    /// Starts a collector that behaves well.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            telling: Mutex::default(),
            manner: Mutex::new(Manner::GOOD),
            arrivals: watch::Sender::new(0),
        });
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        let collector = Self { address, shared };
        collector.behave(Manner::GOOD);
        collector
    }

    /// Behaves like this from now on.
    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// What has arrived so far.
    pub fn telling(&self) -> MutexGuard<'_, Telling> {
        self.shared.telling()
    }

    /// Waits until what has arrived is enough.
    pub async fn until(&self, is_enough: impl Fn(&Telling) -> bool) {
        let mut arrivals = self.shared.arrivals.subscribe();
        let enough = async {
            while !is_enough(&self.telling()) {
                arrivals.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, enough).await.is_err() {
            let telling = self.telling();
            panic!("waited in vain; arrived are {} spans, {} logs", telling.spans.len(), telling.logs.len());
        }
    }
}

impl Telling {
    /// The events that an AWU in this state has been through.
    pub fn events_of(awu: &AwuReport) -> &'static [&'static str] {
        let all = &[
            event::POLICY_EVALUATED.name,
            event::BUDGET_RESERVATION.name,
            event::BUDGET_RECONCILIATION.name,
        ];
        match awu.state.as_str() {
            "REFUSED" => &all[..1],
            "RELEASED" => &all[..2],
            _ => all,
        }
    }

    /// Whether everything about these AWUs is there.
    pub fn has_all_of(&self, awus: &[AwuReport]) -> bool {
        awus.iter().all(|awu| {
            let id: AwuId = awu.id.parse().unwrap();
            let logs = self.logs.get(&id).map_or(&[][..], Vec::as_slice);
            let is_logged = |name: &&str| logs.iter().any(|log| log.event_name == **name);
            self.spans.contains_key(&id) && Self::events_of(awu).iter().all(is_logged)
        })
    }
}

impl Shared {
    fn telling(&self) -> MutexGuard<'_, Telling> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let manner = *self.manner.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.uri().path().to_owned();
        // A gateway that was killed did not send all of it, and did not hear an answer.
        if let (true, Ok(body)) = (manner.keeps, request.into_body().collect().await) {
            self.keep(&path, body.to_bytes());
            self.arrivals.send_modify(|count| *count += 1);
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = manner.status;
        response
    }

    fn keep(&self, path: &str, body: Bytes) {
        let mut telling = self.telling();
        match path {
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(body).unwrap();
                let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
                for span in scopes.flat_map(|scope| scope.spans) {
                    let id = awu_id(&span.trace_id, &span.span_id);
                    telling.spans.entry(id).or_default().push(span);
                }
            }
            "/v1/logs" => {
                let request = ExportLogsServiceRequest::decode(body).unwrap();
                let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
                for log in scopes.flat_map(|scope| scope.log_records) {
                    let id = awu_id(&log.trace_id, &log.span_id);
                    telling.logs.entry(id).or_default().push(log);
                }
            }
            _ => panic!("nothing of OTLP is sent to `{path}`"),
        }
    }
}

fn awu_id(trace_id: &[u8], span_id: &[u8]) -> AwuId {
    AwuId { trace_id: trace_id.try_into().unwrap(), span_id: span_id.try_into().unwrap() }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.take(request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
