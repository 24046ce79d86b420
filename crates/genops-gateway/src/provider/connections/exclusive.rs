//! HTTP/1.1 connections to one server: each carries a call at a time, and is kept for the next once the answer
//! has been read to its end.
//!
//! A connection is driven by the call that it carries, where that call is waited for: no task of its own, no queue
//! between the two, and whoever drops the call or its answer closes it. Between calls nobody drives it, so it is
//! looked at before it is used again.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::Service;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

use super::{IDLE, NoAnswer};
use crate::provider::outgoing::Outgoing;

type Connector = TowerToHyperService<HttpsConnector<HttpConnector>>;
type Connection = http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Outgoing>;

/// The connections to one server.
#[derive(Debug)]
pub struct Exclusive {
    connector: Connector,
    idle: Arc<IdleLinks>,
}

/// A connection, and the way to give it a request.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Outgoing>,
    /// `None` once it has come to its end.
    connection: Option<Connection>,
}

impl Exclusive {
    /// None is opened.
    pub fn new(connector: HttpsConnector<HttpConnector>) -> Self {
        Self { connector: TowerToHyperService::new(connector), idle: Arc::default() }
    }

    /// Sends a request, and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// There is no connection, or it broke.
    pub async fn send(&self, mut request: Request<Outgoing>) -> Result<Response<Answer>, NoAnswer> {
        let server = request.uri().clone();
        for_one_server(&mut request)?;
        while let Some(mut link) = self.idle.latest() {
            match link.exchange(request).await {
                Ok(response) => return Ok(self.answer(response, link)),
                // The server closed it before anything was written: the request is as it was.
                Err(Some(unsent)) => request = unsent,
                Err(None) => return Err(NoAnswer),
            }
        }
        let mut link = self.connect(server).await?;
        let response = link.exchange(request).await.map_err(|_| NoAnswer)?;
        Ok(self.answer(response, link))
    }

    async fn connect(&self, server: Uri) -> Result<Box<Link>, NoAnswer> {
        let stream = self.connector.call(server).await.map_err(|_| NoAnswer)?;
        let (sender, connection) = http1::handshake(stream).await.map_err(|_| NoAnswer)?;
        Ok(Box::new(Link { sender, connection: Some(connection) }))
    }

    fn answer(&self, response: Response<Incoming>, link: Box<Link>) -> Response<Answer> {
        let (head, body) = response.into_parts();
        let mut answer = Answer { body, link: Some(link), idle: Arc::clone(&self.idle) };
        if answer.body.is_end_stream() {
            answer.keep_link();
        }
        Response::from_parts(head, answer)
    }
}

/// As a server is asked that is no proxy: by path, with its name in a header.
fn for_one_server(request: &mut Request<Outgoing>) -> Result<(), NoAnswer> {
    let uri = request.uri();
    let host = uri.host().ok_or(NoAnswer)?;
    let usual = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
    let host = match uri.port_u16() {
        Some(port) if port != usual => HeaderValue::try_from(format!("{host}:{port}")),
        _ => HeaderValue::from_str(host),
    };
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    request.headers_mut().insert(header::HOST, host.map_err(|_| NoAnswer)?);
    *request.uri_mut() = path.into();
    Ok(())
}

impl Link {
    /// Goes as far as it can, and wakes the task once it can go further; `true` once the connection has come to its end.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
        self.connection.is_none()
    }

    /// Sends a request, and waits for the head of the answer. Where nothing was written, the error is the request.
    async fn exchange(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Option<Request<Outgoing>>> {
        // What the answer waits for is done by the connection, which wakes this task for itself. So the answer
        // wakes nobody, and must not be put off by tokio to a later turn, which it would ask for by waking.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let answered = std::future::poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        answered.await.map_err(|mut error| error.take_message())
    }

    /// Whether it can carry a call. What the server has done meanwhile, closing it above all, is seen now.
    fn is_ready(&mut self) -> bool {
        let look = std::future::poll_fn(|cx| Poll::Ready(self.drive(cx)));
        let looked = pin!(unconstrained(look)).poll(&mut Context::from_waker(Waker::noop()));
        looked == Poll::Ready(false) && self.sender.is_ready()
    }
}

/// The body of an answer. Once it has been read to its end, its connection is kept; dropping it earlier closes
/// the connection.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    link: Option<Box<Link>>,
    idle: Arc<IdleLinks>,
}

impl Answer {
    fn keep_link(&mut self) {
        if let Some(mut link) = self.link.take()
            && link.is_ready()
        {
            self.idle.keep(link);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.link.as_mut().is_some_and(|link| link.drive(cx)) {
            self.link = None;
        }
        let polled = match self.link {
            // The connection wakes this task: it has been driven as far as it goes.
            Some(_) => Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop())),
            None => Pin::new(&mut self.body).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(None) => self.keep_link(),
            Poll::Ready(Some(Err(_))) => self.link = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Connections that no call uses, the latest last.
#[derive(Debug, Default)]
struct IdleLinks(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    links: Vec<(Box<Link>, Instant)>,
    is_swept: bool,
}

impl IdleLinks {
    /// The one that was used last, if it can still be used.
    fn latest(&self) -> Option<Box<Link>> {
        loop {
            let popped = self.0.lock().unwrap_or_else(PoisonError::into_inner).links.pop();
            let (mut link, since) = popped?;
            if since.elapsed() < IDLE && link.is_ready() {
                return Some(link);
            }
        }
    }

    fn keep(self: &Arc<Self>, link: Box<Link>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.links.push((link, Instant::now()));
        if !idle.is_swept {
            idle.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that have not been used for a while, or that the server has closed, until there are none.
async fn sweep(idle: Weak<IdleLinks>) {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.links.retain_mut(|(link, since)| since.elapsed() < IDLE && link.is_ready());
        if idle.links.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests;
