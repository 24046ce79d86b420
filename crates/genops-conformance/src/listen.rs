//! Where telemetry is received: OTLP over gRPC and over HTTP, both on every port.
//!
//! Whoever sends is always told that everything was taken, as long as it could be read: that something does not
//! conform is a finding, never a rejection. Connections, bodies and requests that wait are bounded. Nothing is
//! judged here, and nothing is encrypted: it listens for a test, beside the program that it listens to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use crate::checker::Checker;
use crate::input::{Format, Input, Inputs};
use judging::Arrival;

mod answer;
mod judging;
mod request;

/// What listens, and does not take anything yet.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// When listening ends, if nobody ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Until {
    /// After so long.
    pub for_: Option<Duration>,
    /// Once nothing has come for so long after the last request. It waits for a first one without end.
    pub idle: Option<Duration>,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

impl Listener {
    /// Binds addresses. Port 0 is one that the system chooses.
    ///
    /// # Errors
    ///
    /// One of them cannot be listened on.
    pub async fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let (mut sockets, mut bound) = (Vec::new(), Vec::new());
        for address in addresses {
            let cannot = |error| BindError { address: *address, error };
            let socket = TcpListener::bind(address).await.map_err(cannot)?;
            bound.push(socket.local_addr().map_err(cannot)?);
            sockets.push(socket);
        }
        Ok(Self { sockets, addresses: bound })
    }

    /// The addresses that it is bound to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// So many connections are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;

/// So many requests of one connection are served at once.
const STREAMS_MAX: u32 = 16;

/// So many bodies are received and judged at once. Each of them may be as long as a message may be.
const BODIES_MAX: usize = 8;

/// How long a sender may take for the head of a request, and how long a connection may be silent.
const SILENT_MAX: Duration = Duration::from_secs(75);

/// How long what is in flight may take when listening ends.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How long it takes until a connection is accepted again after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Takes what is sent until `stop` is ready or [`Until`] says so, and then what is in flight. Gives the checker back,
/// and what was received.
///
/// # Panics
///
/// If judging does, which is a defect.
pub async fn listen(
    listener: Listener,
    checker: Checker,
    until: Until,
    stop: impl Future<Output = ()>,
) -> (Checker, Inputs) {
    let names: Vec<String> = listener.addresses.iter().map(SocketAddr::to_string).collect();
    let input = Input::new(&names.join(", "), Format::Requests);
    let (judge, deliveries) = mpsc::channel(BODIES_MAX);
    let judging = tokio::task::spawn_blocking(move || judging::judge(checker, input, deliveries));
    let (received, came) = watch::channel(());
    let receiver = Receiver { judge, received, bodies: Arc::new(Semaphore::new(BODIES_MAX)) };
    let end = async {
        tokio::select! {
            () = stop => {}
            () = after(until.for_) => {}
            () = quiet(came, until.idle) => {}
        }
    };
    serve(listener.sockets, Arc::new(receiver), end).await;
    match judging.await {
        Ok((checker, input)) => (checker, Inputs { all: vec![input], ..Inputs::default() }),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What every request needs.
struct Receiver {
    judge: mpsc::Sender<Arrival>,
    /// Told of every request that was received.
    received: watch::Sender<()>,
    /// Turns to receive a body.
    bodies: Arc<Semaphore>,
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Waits for a first request, and then until none has come for so long.
async fn quiet(mut came: watch::Receiver<()>, idle: Option<Duration>) {
    if let Some(idle) = idle
        && came.changed().await.is_ok()
    {
        while let Ok(Ok(())) = tokio::time::timeout(idle, came.changed()).await {}
    } else {
        std::future::pending::<()>().await;
    }
}

/// Serves connections until `end`, and lets what is in flight come to its end.
async fn serve(sockets: Vec<TcpListener>, receiver: Arc<Receiver>, end: impl Future<Output = ()>) {
    let builder = connections();
    let watched = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut serving = JoinSet::new();
    let mut end = std::pin::pin!(end);
    while let Some((stream, place)) = tokio::select! {
        accepted = accept(&sockets, &places) => Some(accepted),
        () = &mut end => None,
    } {
        let receiver = Arc::clone(&receiver);
        let service = service_fn(move |asked| {
            let receiver = Arc::clone(&receiver);
            async move { Ok::<_, std::convert::Infallible>(request::serve(&receiver, asked).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned();
        let connection = watched.watch(connection);
        while serving.try_join_next().is_some() {}
        serving.spawn(async move {
            // A connection that breaks is its sender's affair.
            drop(connection.await);
            drop(place);
        });
    }
    drop(sockets);
    if tokio::time::timeout(END_WITHIN, watched.shutdown()).await.is_err() {
        serving.shutdown().await;
    }
}

fn connections() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(SILENT_MAX);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    builder
}

/// The next connection to any socket, once there is a place for it.
async fn accept(
    sockets: &[TcpListener],
    places: &Arc<Semaphore>,
) -> (TimeoutStream<TcpStream>, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        let next = std::future::poll_fn(|context| {
            let ready =
                sockets.iter().map(|socket| socket.poll_accept(context)).find(std::task::Poll::is_ready);
            ready.unwrap_or(std::task::Poll::Pending)
        });
        match next.await {
            Ok((stream, _)) => {
                // Small answers leave at once; a failure to set this costs latency, nothing else.
                drop(stream.set_nodelay(true));
                let mut stream = TimeoutStream::new(stream);
                stream.set_read_timeout(Some(SILENT_MAX));
                stream.set_write_timeout(Some(SILENT_MAX));
                return (stream, place);
            }
            // The sender went away meanwhile, or there are too many open files: that passes.
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// A body that was received.
struct Body {
    bytes: Bytes,
    is_gzip: bool,
}
