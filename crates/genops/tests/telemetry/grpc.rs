//! Collectors over gRPC for the tests, by tonic: somebody else's gRPC, and somebody else's definitions of
//! OTLP. One keeps what it is sent, one answers what it is told to.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status};

use super::erased::ACME;
use super::receiver::{Mode, Receiver, Running, Shared};

fn serve(router: Router, listener: TcpListener) -> Running {
    Running::until_stopped(|stopped| async {
        router.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await.unwrap();
    })
}

/// A port where nothing listens, and a collector that has got nothing yet.
pub async fn down() -> Receiver {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    Receiver { port: listener.local_addr().unwrap().port(), shared: Shared::new() }
}

/// Has the collector listen. It takes messages of so many bytes at most.
pub async fn up(receiver: &Receiver, bytes_max: usize) -> Running {
    let listener = TcpListener::bind(("127.0.0.1", receiver.port)).await.unwrap();
    let keeper = || Keeper(Arc::clone(&receiver.shared));
    let router = Server::builder()
        .add_service(
            TraceServiceServer::new(keeper())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(bytes_max),
        )
        .add_service(
            LogsServiceServer::new(keeper())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(bytes_max),
        );
    serve(router, listener)
}

struct Keeper(Arc<Shared>);

impl Keeper {
    fn keep(&self, path: &str, message: &impl Message) -> Result<(), Status> {
        let outcome = match self.0.mode() {
            Mode::Takes | Mode::TakesAtMost(_) => Ok(()),
            Mode::Unavailable | Mode::Silent => Err(Status::unavailable("busy")),
            Mode::Rejects | Mode::RejectsOtherwise => Err(Status::invalid_argument(echo(message))),
        };
        self.0.note(path, outcome.is_ok().then_some(&message.encode_to_vec()));
        outcome
    }
}

/// Refuses a request, and repeats what it says of a customer.
fn echo(message: &impl Message) -> String {
    let text = String::from_utf8_lossy(&message.encode_to_vec()).into_owned();
    format!("not this, of {}", if text.contains(ACME) { ACME } else { "nobody" })
}

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep("/v1/traces", request.get_ref())?;
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Keeper {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.keep("/v1/logs", request.get_ref())?;
        Ok(Response::new(Default::default()))
    }
}

/// What a collector answers, and what it was last asked.
#[derive(Clone)]
pub struct Scripted {
    pub answer: Arc<Mutex<Result<ExportTraceServiceResponse, Status>>>,
    pub asked: Arc<Mutex<Option<(tonic::metadata::MetadataMap, ExportTraceServiceRequest)>>>,
}

impl Scripted {
    /// Starts it; gives its port too.
    pub async fn start() -> (Self, u16) {
        let scripted = Self { answer: Arc::new(Mutex::new(Ok(Default::default()))), asked: Arc::default() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = TraceServiceServer::new(scripted.clone()).accept_compressed(CompressionEncoding::Gzip);
        serve(Server::builder().add_service(service), listener);
        (scripted, port)
    }
}

#[tonic::async_trait]
impl TraceService for Scripted {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        *self.asked.lock().unwrap() = Some((metadata, message));
        self.answer.lock().unwrap().clone().map(Response::new)
    }
}
