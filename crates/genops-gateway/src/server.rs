//! Routes, limits and the listener. What happens behind a route is elsewhere.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use genops::Governor;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use crate::config::Config;
use crate::describe::Asked;
use crate::governed;
use crate::setup::Setups;
use crate::{answer, api, identity};

/// Everything that a request needs.
#[derive(Debug)]
pub struct Gateway {
    /// Decides and accounts.
    pub governor: Governor,
    /// What calls are governed by.
    pub setups: Setups,
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
    drain_within: Duration,
    /// Turns to read a large body.
    pub(crate) reading: Arc<Semaphore>,
}

const CHAT_COMPLETIONS: &str = "/v1/chat/completions";

/// So many connections are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;

/// How long it takes until a connection is accepted again after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// How long a caller may take to send a request's head, and how long a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// A caller who takes nothing of an answer for so long has gone.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// How long a caller may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(60);

impl Gateway {
    /// Puts a gateway together. Nothing listens yet.
    ///
    /// # Errors
    ///
    /// A provider's address is not one.
    pub fn new(governor: Governor, config: Config) -> Result<Arc<Self>, http::uri::InvalidUri> {
        let (in_flight_max, drain_within) = (config.in_flight_max, config.drain_within);
        let in_flight = Arc::new(Semaphore::new(in_flight_max));
        let setups = Setups::new(config)?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let reading = Arc::new(Semaphore::new(processors));
        Ok(Arc::new(Self { governor, setups, in_flight, in_flight_max, drain_within, reading }))
    }

    /// Serves until `stop` is ready, then lets what is in flight come to its end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let routes = TowerToHyperService::new(Arc::clone(&self).router());
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = std::pin::pin!(stop);
        let mut serving = JoinSet::new();
        while let Some((stream, place)) = tokio::select! {
            accepted = accept(&listener, &places) => Some(accepted),
            () = &mut stop => None,
        } {
            let (gateway, routes) = (Arc::clone(&self), routes.clone());
            let service = service_fn(move |request| Arc::clone(&gateway).answer(routes.clone(), request));
            let connection = http1().serve_connection(TokioIo::new(Box::pin(stream)), service);
            let connection = connections.watch(connection);
            while serving.try_join_next().is_some() {}
            serving.spawn(async move {
                // A connection that breaks is its caller's affair: calls in flight settle by themselves.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        let all = u32::try_from(self.in_flight_max).unwrap_or(u32::MAX);
        let drained = async {
            connections.shutdown().await;
            // Calls whose caller has hung up still run; they settle before the ledger closes.
            drop(self.in_flight.acquire_many(all).await);
        };
        if tokio::time::timeout(self.drain_within, drained).await.is_err() {
            // Streams that still run are cut off, which settles them before the ledger closes. A call whose
            // caller has hung up is settled as abandoned by its guard, or in doubt at the next start.
            serving.shutdown().await;
        }
    }

    /// Calls go straight to where they are governed; everything else to its route.
    async fn answer(
        self: Arc<Self>,
        routes: TowerToHyperService<Router>,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        if request.method() == Method::POST && request.uri().path() == CHAT_COMPLETIONS {
            return Ok(chat_completion(self, request).await);
        }
        Box::pin(routes.call(request)).await
    }

    fn router(self: Arc<Self>) -> Router {
        api::routes()
            .into_iter()
            .fold(Router::new(), |router, route| router.route(&route.full_path(), route.handler))
            .route(
                CHAT_COMPLETIONS,
                post(|State(gateway), request: Request<_>| chat_completion(gateway, request)),
            )
            .route("/v1/models", get(api::models))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .method_not_allowed_fallback(no_such_method)
            .fallback(no_such_route)
            .with_state(self)
    }
}

/// The next connection, once there is a place for it: until then callers wait in the system's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TimeoutStream<TcpStream>, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers leave at once; a failure to set this costs latency, nothing else.
                drop(stream.set_nodelay(true));
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(READ_WITHIN));
                return (stream, place);
            }
            // The caller went away meanwhile, or there are too many open files: that passes.
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder
}

async fn chat_completion<B>(gateway: Arc<Gateway>, request: Request<B>) -> Response
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let (head, body) = request.into_parts();
    // Who is not known takes no place, and no body is read for them.
    let setup = gateway.setups.current();
    let caller = match identity::of(&setup.config.keys, &head.headers) {
        Ok(caller) => caller,
        Err(problem) => return answer::unidentified(&problem),
    };
    if let Some(encoding) =
        head.headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity")
    {
        return answer::encoded(encoding);
    }
    let Ok(place) = Arc::clone(&gateway.in_flight).try_acquire_owned() else {
        return answer::unavailable(
            "as many calls are in flight as this gateway takes; try again in a moment",
        );
    };
    let bytes_max = setup.config.body_bytes_max;
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => {
            let gateway = Arc::clone(&gateway);
            let (headers, body) = (Arc::new(head.headers), body.to_bytes());
            governed::chat_completion(gateway, Asked { setup, caller, headers, body }, place).await
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => answer::too_large(bytes_max),
        // The caller went away while sending; nobody reads this.
        Ok(Err(_)) => StatusCode::BAD_REQUEST.into_response(),
        Err(_) => answer::too_slow(BODY_WITHIN.as_secs()),
    }
}

/// Whether it can do its part. Where it only admits nothing new, what runs still has to be settled here: so it is ready, and
/// says what is wrong.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let troubles = match (gateway.governor.failure(), gateway.governor.troubles()) {
        (None, Ok(troubles)) => troubles,
        (Some(failure), _) => return not_ready(&failure.to_string()),
        (None, Err(error)) => return not_ready(&error.to_string()),
    };
    let lines = std::iter::once("ready".to_owned()).chain(troubles);
    lines.map(|line| line + "\n").collect::<String>().into_response()
}

fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{why}\n")).into_response()
}

async fn no_such_route(request: Request<Body>) -> Response {
    let message = format!("there is no `{} {}` in this gateway", request.method(), request.uri().path());
    answer::error(StatusCode::NOT_FOUND, "invalid_request_error", None, None, &message)
}

async fn no_such_method(request: Request<Body>) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("`{path}` does not take `{method}`");
    answer::error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", None, None, &message)
}
