//! A sink for telemetry as a program of its own, for benchmarks: `otlp_sink PORT`.
//!
//! It takes what is sent to `/v1/traces` and `/v1/logs`, counts requests, bytes and records, and answers 200
//! with an empty body. `GET /count` tells the counts. It looks into no record and keeps none.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What has come so far.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    spans: AtomicU64,
    logs: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(4318);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let counts = Arc::new(Counts::default());
    loop {
        // A connection that cannot be accepted is the sender's to try again.
        let Ok((stream, _)) = listener.accept().await else { continue };
        drop(stream.set_nodelay(true));
        let counts = Arc::clone(&counts);
        let service = service_fn(move |request| {
            let counts = Arc::clone(&counts);
            async move { Ok::<_, Infallible>(counts.answer(request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Counts {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let records = match (request.method(), request.uri().path()) {
            (&Method::GET, "/count") => return reply(StatusCode::OK, self.told()),
            (&Method::POST, "/v1/traces") => &self.spans,
            (&Method::POST, "/v1/logs") => &self.logs,
            _ => return reply(StatusCode::NOT_FOUND, String::new()),
        };
        let Ok(body) = request.into_body().collect().await else {
            return reply(StatusCode::BAD_REQUEST, String::new());
        };
        let body = body.to_bytes();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        records.fetch_add(count_records(&body), Ordering::Relaxed);
        reply(StatusCode::OK, String::new())
    }

    fn told(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (requests, bytes) = (of(&self.requests), of(&self.bytes));
        let (spans, logs) = (of(&self.spans), of(&self.logs));
        format!("requests {requests}\nbytes {bytes}\nspans {spans}\nlogs {logs}\n")
    }
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// How many spans or log records an export request holds: in both, the resource's messages are field 1 of
/// the request, the scope's field 2 of those, and the records field 2 of these.
fn count_records(request: &[u8]) -> u64 {
    let scopes = messages(request, 1).flat_map(|resource| messages(resource, 2));
    scopes.map(|scope| messages(scope, 2).count() as u64).sum()
}

/// The length-delimited fields of this number. What is not protobuf ends the message.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    let all = std::iter::from_fn(move || field(&mut rest));
    all.filter(move |(found, _)| *found == number).map(|(_, bytes)| bytes)
}

/// The next field's number and, where it is length-delimited, its bytes.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let tag = varint(rest)?;
    let length = match tag & 7 {
        0 => {
            varint(rest)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((tag >> 3, bytes))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}
