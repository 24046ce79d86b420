//! An OTLP collector over HTTP: one POST a request, Protocol Buffers in both directions. A webhook is posted to alike, in
//! JSON.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::{ANSWER_BYTES_MAX, Compression, Delivery, Otlp, Reason, Webhook, later};
use crate::http_client::{self, HttpClient};
use crate::protobuf;
use crate::signal::Signal;

/// A collector, for one signal.
#[derive(Debug)]
pub struct Collector {
    client: HttpClient,
    url: String,
    headers: Vec<(String, String)>,
    /// Whether the body of an answer says what was rejected.
    is_otlp: bool,
}

impl Collector {
    /// The way to the collector; nothing is connected yet.
    pub fn new(otlp: &Otlp, signal: Signal) -> Self {
        let mut headers =
            vec![(header::CONTENT_TYPE.as_str().to_owned(), "application/x-protobuf".to_owned())];
        if otlp.compression == Compression::Gzip {
            headers.push((header::CONTENT_ENCODING.as_str().to_owned(), "gzip".to_owned()));
        }
        headers.extend(otlp.headers.iter().cloned());
        Self { client: http_client::http1(), url: otlp.url(signal), headers, is_otlp: true }
    }

    /// The way to a webhook.
    pub fn of_webhook(webhook: &Webhook) -> Self {
        let mut headers = vec![(header::CONTENT_TYPE.as_str().to_owned(), "application/json".to_owned())];
        headers.extend(webhook.headers.iter().cloned());
        Self { client: http_client::http1(), url: webhook.url.to_string(), headers, is_otlp: false }
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
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if head.status.is_success() => return later(Reason::broken(&*error)),
            Err(_) => Bytes::new(),
        };
        let rejected = if self.is_otlp { body } else { Bytes::new() };
        match classify(head.status, retry_after(&head.headers), &rejected) {
            // OTLP's table knows servers that will never take a request; a webhook's has trouble that passes.
            Delivery::Never { reason } if !self.is_otlp && head.status.is_server_error() => later(reason),
            delivery => delivery,
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// OTLP's retry table for HTTP, but for a collector that is misconfigured.
fn classify(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Delivery {
    match status {
        status if status.is_success() => Delivery::taken(protobuf::rejected(body)),
        // The first three are the fault of the way there, not of the records: they wait until it is mended.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Delivery::Later { after: retry_after, reason: format!("the receiver answered {status}").into() }
        }
        StatusCode::PAYLOAD_TOO_LARGE => Delivery::TooLarge,
        status => Delivery::Never { reason: format!("the receiver answered {status}").into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_by_the_retry_table() {
        let later = |status: u16| matches!(answer(status), Delivery::Later { .. });
        fn answer(status: u16) -> Delivery {
            classify(StatusCode::from_u16(status).unwrap(), None, b"")
        }
        for status in [401, 403, 404, 429, 502, 503, 504] {
            assert!(later(status), "{status}");
        }
        for status in [400, 405, 422, 500, 501] {
            assert!(matches!(answer(status), Delivery::Never { .. }), "{status}");
        }
        assert_eq!(answer(200), Delivery::Taken);
        assert_eq!(answer(413), Delivery::TooLarge);
        let partial = [0x0a, 0x06, 0x08, 0x02, 0x12, 0x02, b'n', b'o'];
        assert_eq!(
            classify(StatusCode::OK, None, &partial),
            Delivery::TakenInPart { rejected: 2, reason: Reason::with("the rest was taken", "no") }
        );
    }
}
