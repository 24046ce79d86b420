//! Connections to one provider: HTTP/1.1, or HTTP/2 where TLS negotiates it. What is asked, and what an answer
//! means, is not known here.
//!
//! Calls over HTTP/2 share a connection, and must not wait for one another there. So a connection carries no
//! more of them than providers allow, and each has a window of its own: a caller who reads slowly fills that,
//! and leaves the connection's room to the others.

mod exclusive;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::outgoing::Outgoing;
use crate::config::Http2;
use exclusive::Exclusive;

type HttpClient = Client<HttpsConnector<HttpConnector>, Outgoing>;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// As few streams as this a server may allow on one connection (RFC 9113, 6.5.2, recommends no fewer, and many
/// allow no more). A call beyond what it allows would wait for another to end.
const CALLS_PER_LANE: usize = 100;

/// How much of an answer may wait for its caller on an HTTP/2 connection, as it would in the buffers of one of
/// its own.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// Room for every stream of a connection.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * 100;

/// A connection that many calls share is asked whether it still lives: where it is dead, they need not wait for
/// their timeout.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// The connections to a provider, which is one server.
#[derive(Debug)]
pub struct Connections {
    http2: Http2,
    connector: HttpsConnector<HttpConnector>,
    /// Where HTTP/2 may be spoken: that is known once a connection stands.
    lanes: Mutex<Vec<Lane>>,
    /// Where it is not.
    exclusive: Exclusive,
}

/// There is no connection, or it broke before the head of the answer had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection, or it broke")]
pub struct NoAnswer;

/// Connections that carry up to [`CALLS_PER_LANE`] calls: over HTTP/2, one connection.
#[derive(Debug)]
struct Lane {
    client: HttpClient,
    /// Every call that runs has a share of it.
    calls: Arc<()>,
}

impl Connections {
    /// Prepares connections. None is opened.
    #[must_use]
    pub fn new(http2: Http2) -> Self {
        let tls = match HttpsConnectorBuilder::new().with_native_roots() {
            Ok(tls) => tls,
            Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
        };
        Self::over(tls, http2)
    }

    fn over(tls: HttpsConnectorBuilder<WantsSchemes>, http2: Http2) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        let http1 = tls.https_or_http().enable_http1();
        let connector = match http2 {
            Http2::Auto => http1.enable_http2().wrap_connector(tcp),
            Http2::Never => http1.wrap_connector(tcp),
        };
        Self { http2, exclusive: Exclusive::new(connector.clone()), connector, lanes: Mutex::default() }
    }

    /// Sends a request, and waits for the head of the answer. Dropping the answer's body, or this, hangs up: it
    /// closes the connection, or over HTTP/2 resets the stream.
    ///
    /// # Errors
    ///
    /// There is no connection, or it broke.
    pub async fn send(&self, request: Request<Outgoing>) -> Result<Response<AnswerBody>, NoAnswer> {
        // Only over TLS can a server say that it speaks HTTP/2.
        if self.http2 == Http2::Never || request.uri().scheme() != Some(&Scheme::HTTPS) {
            let response = self.exclusive.send(request).await?;
            return Ok(response.map(AnswerBody::Exclusive));
        }
        let (client, call) = self.lane();
        let response = client.request(request).await.map_err(|_| NoAnswer)?;
        Ok(response.map(|body| AnswerBody::OfLane { body, _call: call }))
    }

    /// The first lane that has room. Filled from the first, so that the others fall idle.
    fn lane(&self) -> (HttpClient, Arc<()>) {
        // Nothing below can leave the list half changed.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // The lane has a share of its own.
        if let Some(lane) = lanes.iter().find(|lane| Arc::strong_count(&lane.calls) <= CALLS_PER_LANE) {
            return (lane.client.clone(), Arc::clone(&lane.calls));
        }
        let lane = Lane { client: client(self.connector.clone()), calls: Arc::default() };
        let (client, call) = (lane.client.clone(), Arc::clone(&lane.calls));
        lanes.push(lane);
        (client, call)
    }
}

fn client(connector: HttpsConnector<HttpConnector>) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PONG_WITHIN)
        .build(connector)
}

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// Over a connection of its own.
    Exclusive(exclusive::Answer),
    /// Over a lane. Until it is dropped, its call has its place there.
    OfLane {
        /// What comes.
        body: Incoming,
        /// The place.
        _call: Arc<()>,
    },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Exclusive(answer) => Pin::new(answer).poll_frame(cx),
            Self::OfLane { body, .. } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Exclusive(answer) => answer.is_end_stream(),
            Self::OfLane { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Exclusive(answer) => answer.size_hint(),
            Self::OfLane { body, .. } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
