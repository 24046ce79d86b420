//! One request: where it goes, how it is written, its body. A unary gRPC call is a POST as well, with five bytes
//! before its message.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::answer::{self, Code, Transport};
use super::judging::{Arrival, Delivery, Refusal};
use super::{Body, Receiver};
use crate::input::MESSAGE_BYTES_MAX;
use crate::otlp::request::{Encoding, Signal};

/// How long a sender may take for a body, and wait for a turn to send it.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The bytes before a message of gRPC: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// Why a request is not taken.
pub struct Refused(pub Code, pub String);

/// Takes a request, and answers it.
pub async fn serve(receiver: &Receiver, request: Request<Incoming>) -> Response<answer::Body> {
    let (head, body) = request.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let transport = Transport::of(content_type.unwrap_or_default());
    let outcome = match (transport, route(head.uri.path())) {
        (None, None) => {
            Err(Refused(Code::NotFound, format!("there is nothing at `{}`: {ROUTES}", head.uri.path())))
        }
        (Some(_), None) => Err(Refused(Code::NotFound, format!("there is no `{}` here", head.uri.path()))),
        (_, Some(_)) if head.method != Method::POST => {
            Err(Refused(Code::NotAllowed, format!("{} is not taken here, but POST", head.method)))
        }
        (Some(Transport::Grpc), Some((true, signal))) => match head.version {
            Version::HTTP_2 => grpc(receiver, &head.headers, signal, body).await,
            _ => Err(Refused(Code::Invalid, "gRPC needs HTTP/2".to_owned())),
        },
        (Some(Transport::Http(encoding)), Some((false, signal))) => {
            http(receiver, &head.headers, encoding, signal, body).await
        }
        (_, Some((is_grpc, _))) => {
            let expected =
                if is_grpc { "application/grpc" } else { "application/x-protobuf or application/json" };
            Err(Refused(Code::MediaType, format!("a content type of {expected} is expected here")))
        }
    };
    match outcome {
        Ok(()) => answer::taken(transport),
        Err(Refused(code, what)) => {
            if !matches!(code, Code::NotFound | Code::NotAllowed | Code::Unavailable) {
                // A judge that has gone needs to know nothing more.
                drop(receiver.judge.send(Arrival::Refused(what.clone())).await);
            }
            answer::refused(transport, code, &what)
        }
    }
}

const ROUTES: &str = "OTLP goes to /v1/traces, /v1/logs and /v1/metrics over HTTP, and to the services of \
                      opentelemetry.proto.collector over gRPC";

/// Where a path leads: whether it is gRPC's, and to which signal.
fn route(path: &str) -> Option<(bool, Signal)> {
    Some(match path {
        "/v1/traces" => (false, Signal::Traces),
        "/v1/logs" => (false, Signal::Logs),
        "/v1/metrics" => (false, Signal::Metrics),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => (true, Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => (true, Signal::Logs),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => (true, Signal::Metrics),
        _ => return None,
    })
}

async fn http(
    receiver: &Receiver,
    headers: &HeaderMap,
    encoding: Encoding,
    signal: Signal,
    body: Incoming,
) -> Result<(), Refused> {
    let is_gzip = is_gzip(headers, header::CONTENT_ENCODING.as_str()).map_err(|other| {
        Refused(Code::MediaType, format!("a content encoding of `{other}` is not taken; gzip is, or none"))
    })?;
    let unwrap = |bytes| Ok(Body { bytes, is_gzip });
    receiver.receive(body, MESSAGE_BYTES_MAX, unwrap, encoding, signal).await
}

async fn grpc(
    receiver: &Receiver,
    headers: &HeaderMap,
    signal: Signal,
    body: Incoming,
) -> Result<(), Refused> {
    let is_gzip = is_gzip(headers, "grpc-encoding").map_err(|other| {
        Refused(
            Code::Unimplemented,
            format!("messages compressed with `{other}` are not taken; gzip is, or none"),
        )
    })?;
    let unwrap = |bytes: Bytes| unframe(&bytes, is_gzip);
    receiver.receive(body, PREFIX + MESSAGE_BYTES_MAX, unwrap, Encoding::Protobuf, signal).await
}

/// Whether a header announces gzip; an error for any other compression.
fn is_gzip<'h>(headers: &'h HeaderMap, name: &str) -> Result<bool, &'h str> {
    match headers.get(name).map(|value| value.to_str().unwrap_or("something that is no text").trim()) {
        None | Some("" | "identity") => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(other) => Err(other),
    }
}

/// The one message of a unary call.
fn unframe(bytes: &Bytes, is_gzip: bool) -> Result<Body, Refused> {
    let invalid = |what: &str| Refused(Code::Invalid, what.to_owned());
    let Some(([mark, length @ ..], message)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(invalid("the call carries no message"));
    };
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(message.len()) {
        return Err(invalid("the call does not carry exactly one message of the length that it announces"));
    }
    let is_gzip = match mark {
        0 => false,
        1 if is_gzip => true,
        _ => {
            return Err(invalid(
                "the message is marked as compressed, and `grpc-encoding` names no compression",
            ));
        }
    };
    Ok(Body { bytes: bytes.slice(PREFIX..), is_gzip })
}

impl Receiver {
    /// Receives a body, and has it judged.
    async fn receive(
        &self,
        body: Incoming,
        bytes_max: usize,
        unwrap: impl FnOnce(Bytes) -> Result<Body, Refused>,
        encoding: Encoding,
        signal: Signal,
    ) -> Result<(), Refused> {
        let too_large = || Refused(Code::TooLarge, Refusal::TooLarge.what());
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large());
        }
        let in_turn = async {
            // The semaphore is never closed.
            let turn = self.bodies.acquire().await.ok();
            (Limited::new(body, bytes_max).collect().await, turn)
        };
        let (bytes, turn) = match tokio::time::timeout(BODY_WITHIN, in_turn).await {
            Ok((Ok(body), turn)) => (body.to_bytes(), turn),
            Ok((Err(error), _)) if error.is::<LengthLimitError>() => return Err(too_large()),
            // The sender went away while sending; nobody reads this.
            Ok((Err(error), _)) => {
                return Err(Refused(Code::Invalid, format!("the body breaks off: {error}")));
            }
            Err(_) => {
                let what = format!("the body did not come within {} seconds", BODY_WITHIN.as_secs());
                return Err(Refused(Code::TooSlow, what));
            }
        };
        self.received.send_replace(());
        let (answer, outcome) = oneshot::channel();
        let delivery = Delivery { body: unwrap(bytes)?, encoding, signal, answer };
        let gone = || Refused(Code::Unavailable, "listening has ended".to_owned());
        self.judge.send(Arrival::Request(delivery)).await.map_err(|_| gone())?;
        let outcome = outcome.await.map_err(|_| gone())?;
        drop(turn);
        outcome.map_err(|refusal| match refusal {
            Refusal::TooLarge => too_large(),
            Refusal::Unreadable(what) => Refused(Code::Invalid, what),
        })
    }
}
