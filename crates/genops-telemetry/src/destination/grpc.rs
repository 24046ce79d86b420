//! An OTLP collector over gRPC: one unary call a request.
//!
//! A unary call is an HTTP/2 POST whose body is the message behind five bytes, and whose outcome stands in
//! the trailers. That is all that OTLP needs of gRPC, so that is all there is: no streams, no channels, no
//! balancing.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode;

use super::{ANSWER_BYTES_MAX, Compression, Delivery, Otlp, Reason, later};
use crate::http_client::{self, HttpClient};
use crate::protobuf;
use crate::signal::Signal;
use crate::wire::{Field, fields};

/// A collector, for one signal.
#[derive(Debug)]
pub struct Collector {
    client: HttpClient,
    url: String,
    headers: Vec<(String, String)>,
}

/// The marks before a message: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;

/// gRPC allows eight digits.
const TIMEOUT_MS_MAX: u128 = 99_999_999;

impl Collector {
    /// The way to the collector; nothing is connected yet.
    pub fn new(otlp: &Otlp, signal: Signal) -> Self {
        let timeout = otlp.timeout.as_millis().min(TIMEOUT_MS_MAX);
        let mut headers = vec![
            ("content-type".to_owned(), "application/grpc".to_owned()),
            ("te".to_owned(), "trailers".to_owned()),
            ("grpc-timeout".to_owned(), format!("{timeout}m")),
        ];
        if otlp.compression == Compression::Gzip {
            headers.push(("grpc-encoding".to_owned(), "gzip".to_owned()));
        }
        headers.extend(otlp.headers.iter().cloned());
        Self { client: http_client::http2(), url: otlp.url(signal), headers }
    }

    /// Connects anew at the next request. One HTTP/2 connection serves all requests: where a peer has gone
    /// without a word, a request that is given up would leave the connection in place for the next.
    pub fn disconnect(&mut self) {
        self.client = http_client::http2();
    }

    /// Sends a request and reads the answer.
    pub async fn post(&self, payload: Bytes) -> Delivery {
        let request = match http_client::post(&self.url, &self.headers, payload) {
            Ok(request) => request,
            Err(reason) => return later(reason),
        };
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) => return later(Reason::of_client(&error)),
        };
        let (head, body) = answer.into_parts();
        // An outcome that is known at once stands in the headers, and there is nothing behind them.
        if let Some(status) = Status::read(&head.headers) {
            return classify(&status, &[]);
        }
        if head.status != StatusCode::OK {
            return classify(&Status::of_http(head.status), &[]);
        }
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body,
            Err(error) => return later(Reason::broken(&*error)),
        };
        match body.trailers().and_then(Status::read) {
            Some(status) => classify(&status, &body.to_bytes()),
            None => later("what answers at this endpoint does not speak gRPC".to_owned()),
        }
    }
}

/// A message with its prefix, as it stands in the body.
pub fn framed(message: &[u8], compression: Compression) -> Result<Bytes, String> {
    let length = u32::try_from(message.len())
        .map_err(|_| format!("a request of {} bytes does not fit into a gRPC message", message.len()))?;
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    body.put_u8(u8::from(compression == Compression::Gzip));
    body.put_u32(length);
    body.put_slice(message);
    Ok(body.freeze())
}

/// The outcome of a call.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    code: u16,
    message: String,
    /// `RetryInfo`, if the details have one: the pause that the collector asks for.
    retry: Option<Duration>,
}

/// The codes by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Status {
    /// The outcome that stands in headers or trailers; `None` where there is none.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let message = headers.get("grpc-message").map(|value| percent_decode(value.as_bytes()));
        let message = message.map(|message| message.decode_utf8_lossy().into_owned()).unwrap_or_default();
        let details = headers.get("grpc-status-details-bin").and_then(|value| base64(value.as_bytes()));
        Some(Self { code, message, retry: details.as_deref().and_then(retry_info) })
    }

    /// What gRPC makes of an answer that does not come from a gRPC server but from something before it.
    fn of_http(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::BAD_REQUEST => 13,
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::FORBIDDEN => 7,
            StatusCode::NOT_FOUND => 12,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => 14,
            _ => 2,
        };
        Self { code, message: format!("HTTP {status}"), retry: None }
    }

    fn name(&self) -> &'static str {
        CODES.get(usize::from(self.code)).copied().unwrap_or("a code that gRPC does not have")
    }

    /// Whether the message says that the request is too large. The codes do not tell: most servers use
    /// RESOURCE_EXHAUSTED for it, tonic OUT_OF_RANGE.
    fn is_about_size(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["larger than max", "length too large", "exceeds maximum size", "exceeds the maximum"]
            .iter()
            .any(|words| message.contains(words))
    }
}

/// OTLP's retry table for gRPC, but for a collector that is misconfigured.
fn classify(status: &Status, answer: &[u8]) -> Delivery {
    let reason = || Reason::with(format!("the collector answered {}", status.name()), &*status.message);
    match status.name() {
        "OK" => Delivery::taken(answer.get(PREFIX_BYTES..).and_then(protobuf::rejected)),
        "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE" if status.is_about_size() => Delivery::TooLarge,
        "RESOURCE_EXHAUSTED" if status.retry.is_none() => Delivery::Never { reason: reason() },
        // The last three are the fault of the way there, not of the records: they wait until it is mended.
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS"
        | "RESOURCE_EXHAUSTED" | "UNAUTHENTICATED" | "PERMISSION_DENIED" | "UNIMPLEMENTED" => {
            Delivery::Later { after: status.retry, reason: reason() }
        }
        _ => Delivery::Never { reason: reason() },
    }
}

/// The pause in a `google.rpc.Status` that has a `RetryInfo` among its details; zero where it names none.
fn retry_info(status: &[u8]) -> Option<Duration> {
    fields(status)?.into_iter().find_map(|field| {
        let (3, Field::Bytes(any)) = field else { return None };
        let any = fields(any)?;
        let is_retry_info = any
            .iter()
            .any(|field| matches!(field, (1, Field::Bytes(url)) if url.ends_with(b"/google.rpc.RetryInfo")));
        if !is_retry_info {
            return None;
        }
        let info = message_in(&any, 2).and_then(fields).unwrap_or_default();
        let delay = message_in(&info, 1).and_then(fields).unwrap_or_default();
        let number = |wanted: u64| {
            delay.iter().find_map(|field| match field {
                (number, Field::Varint(value)) if *number == wanted => Some(*value),
                _ => None,
            })
        };
        // A negative pause is a huge number here: it is none.
        let seconds = number(1).filter(|seconds| i64::try_from(*seconds).is_ok()).unwrap_or(0);
        let nanos = number(2).and_then(|nanos| u32::try_from(nanos).ok()).unwrap_or(0);
        Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())))
    })
}

fn message_in<'a>(all: &[(u64, Field<'a>)], wanted: u64) -> Option<&'a [u8]> {
    all.iter().find_map(|field| match field {
        (number, Field::Bytes(bytes)) if *number == wanted => Some(*bytes),
        _ => None,
    })
}

/// Base64 as binary headers have it, with or without padding; `None` where it is not that.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len().checked_sub(padding)?)?;
    let mut bytes = Vec::with_capacity(digits.len());
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            bits = bits << 6 | group.get(place).map_or(Some(0), |digit| sextet(*digit))?;
        }
        let [_, group_bytes @ ..] = bits.to_be_bytes();
        bytes.extend(group_bytes.iter().take(group.len().checked_sub(1)?));
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str, retry: Option<u64>) -> Status {
        Status { code, message: message.to_owned(), retry: retry.map(Duration::from_secs) }
    }

    #[test]
    fn answers_are_read_by_the_retry_table() {
        let said = |code| classify(&status(code, "", None), &[]);
        for code in [1, 4, 7, 10, 11, 12, 14, 15, 16] {
            assert!(matches!(said(code), Delivery::Later { after: None, .. }), "{code}");
        }
        for code in [2, 3, 5, 6, 8, 9, 13, 17, 99] {
            assert!(matches!(said(code), Delivery::Never { .. }), "{code}");
        }
        assert_eq!(said(0), Delivery::Taken);
        for code in [8, 14] {
            let later = classify(&status(code, "", Some(3)), &[]);
            assert!(matches!(later, Delivery::Later { after: Some(three), .. } if three.as_secs() == 3));
        }
        for (code, message) in [
            (8, "grpc: received message larger than max (5000000 vs. 4194304)"),
            (8, "gRPC message exceeds maximum size 4194304: 5000000"),
            (11, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
        ] {
            assert_eq!(classify(&status(code, message, None), &[]), Delivery::TooLarge, "{message}");
        }
    }

    #[test]
    fn what_is_no_grpc_server_is_read_as_grpc_says() {
        for (http, name) in [
            (400, "INTERNAL"),
            (401, "UNAUTHENTICATED"),
            (403, "PERMISSION_DENIED"),
            (404, "UNIMPLEMENTED"),
            (429, "UNAVAILABLE"),
            (503, "UNAVAILABLE"),
            (500, "UNKNOWN"),
        ] {
            assert_eq!(Status::of_http(StatusCode::from_u16(http).unwrap()).name(), name, "{http}");
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmE=", Some("fooba")),
            ("Z", Some("")),
            ("Zm9*", None),
        ] {
            let found = base64(text.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
        assert_eq!(base64(b"+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn details_that_are_damaged_hold_no_pause() {
        for bad in [&[0x1a_u8, 0x05, 0x01][..], &[0xff; 11], b""] {
            assert_eq!(retry_info(bad), None, "{bad:?}");
        }
    }
}
