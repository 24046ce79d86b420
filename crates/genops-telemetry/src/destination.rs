//! Where telemetry goes: an OTLP collector over HTTP, or a directory of JSON lines.
//!
//! A destination is handed a whole request and says what became of it, by OTLP's retry table. It keeps no
//! state about the journal; the outbox does.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request as HttpRequest, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};

use crate::http_client::{HttpClient, client};
use crate::json;
use crate::protobuf::{self, Request, Resource};
use crate::signal::{LogRecord, Signal, Span};

/// A place that takes telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An OTLP/HTTP collector, such as `http://127.0.0.1:4318`: `/v1/traces` and `/v1/logs` are added.
    Otlp {
        /// The collector.
        endpoint: Uri,
        /// Headers for every request. They may be secret.
        headers: Vec<(String, String)>,
    },
    /// A directory: `traces.jsonl` and `logs.jsonl` in it.
    Directory {
        /// The directory; it is made if need be.
        path: PathBuf,
    },
}

impl Destination {
    /// The name under which the outbox keeps its cursor. It holds no secret.
    #[must_use]
    pub fn follower(&self, signal: Signal) -> String {
        match self {
            Self::Otlp { endpoint, .. } => format!("otlp {endpoint} {}", signal.as_str()),
            Self::Directory { path } => format!("directory {} {}", path.display(), signal.as_str()),
        }
    }

    /// Opens the way to the destination for one signal.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or written. A collector that is down is no error here.
    pub fn open(&self, signal: Signal) -> Result<Way, std::io::Error> {
        Ok(match self {
            Self::Otlp { endpoint, headers } => Way::Otlp(Box::new(Collector {
                client: client(),
                url: format!("{}/v1/{}", endpoint.to_string().trim_end_matches('/'), signal.as_str()),
                headers: headers.clone(),
            })),
            Self::Directory { path } => {
                std::fs::create_dir_all(path)?;
                Way::File(open_lines(&path.join(format!("{}.jsonl", signal.as_str())))?)
            }
        })
    }
}

/// An open way to a destination, for one signal.
#[derive(Debug)]
pub enum Way {
    /// To a collector.
    Otlp(Box<Collector>),
    /// To a file.
    File(File),
}

/// A collector, for one signal.
#[derive(Debug)]
pub struct Collector {
    client: HttpClient,
    url: String,
    headers: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// All of it was taken.
    Taken,
    /// Some records were rejected for good, the rest taken.
    TakenInPart {
        /// How many were rejected.
        rejected: u64,
        /// Why.
        reason: String,
    },
    /// None of it was taken; it may be later.
    Later {
        /// Not before so long.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// It was too large; smaller ones may be taken.
    TooLarge,
    /// None of it will ever be taken.
    Never {
        /// Why.
        reason: String,
    },
}

/// A request that is being filled, in the destination's encoding.
#[derive(Debug)]
pub enum Batch {
    /// For a collector.
    Protobuf(Request),
    /// For a file: the signal, the records, and about how many bytes they will take.
    Json(Signal, Vec<serde_json::Value>, usize),
}

/// A collector that does not answer within this time is tried again later.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// As much of a collector's answer as is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

impl Way {
    /// An empty request that will hold about so many bytes at most.
    #[must_use]
    pub fn batch(&self, signal: Signal, bytes: usize) -> Batch {
        match self {
            Self::Otlp(_) => Batch::Protobuf(Request::with_capacity(bytes)),
            Self::File(_) => Batch::Json(signal, Vec::new(), 0),
        }
    }

    /// Sends a request; the same bytes may be sent again.
    pub async fn deliver(&mut self, payload: &Bytes) -> Delivery {
        match self {
            Self::Otlp(collector) => {
                match tokio::time::timeout(ANSWER_WITHIN, collector.post(payload.clone())).await {
                    Ok(delivery) => delivery,
                    Err(_) => later(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
                }
            }
            Self::File(file) => match file.write_all(payload).and_then(|()| file.sync_data()) {
                Ok(()) => Delivery::Taken,
                Err(error) => {
                    // What was half written is cut off, so that the next try writes the line anew.
                    let mended = end_of_lines(file).and_then(|end| {
                        file.set_len(end)?;
                        file.seek(SeekFrom::End(0))
                    });
                    let mended = mended.map_or_else(|error| format!("; {error}"), |_| String::new());
                    later(format!("{error}{mended}"))
                }
            },
        }
    }
}

impl Batch {
    /// Adds spans.
    pub fn spans(&mut self, spans: &[Span<'_>]) {
        for span in spans {
            match self {
                Self::Protobuf(request) => request.span(span),
                Self::Json(_, records, bytes) => push(records, bytes, json::span(span)),
            }
        }
    }

    /// Adds log records.
    pub fn logs(&mut self, logs: &[LogRecord<'_>]) {
        for log in logs {
            match self {
                Self::Protobuf(request) => request.log(log),
                Self::Json(_, records, bytes) => push(records, bytes, json::log(log)),
            }
        }
    }

    /// About how many bytes the request will take.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Protobuf(request) => request.records_len(),
            Self::Json(_, _, bytes) => *bytes,
        }
    }

    /// How many records it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Protobuf(request) => request.count(),
            Self::Json(_, records, _) => records.len() as u64,
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The bytes to send.
    #[must_use]
    pub fn into_payload(self, resource: &Resource) -> Bytes {
        match self {
            Self::Protobuf(request) => request.into_bytes(resource).into(),
            Self::Json(signal, records, _) => {
                let line = match signal {
                    Signal::Traces => json::traces(resource, &records),
                    Signal::Logs => json::logs(resource, &records),
                };
                format!("{line}\n").into()
            }
        }
    }
}

fn push(records: &mut Vec<serde_json::Value>, bytes: &mut usize, record: serde_json::Value) {
    *bytes += record.to_string().len();
    records.push(record);
}

impl Collector {
    async fn post(&self, payload: Bytes) -> Delivery {
        let mut request = HttpRequest::post(&self.url).header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = match request.body(Full::new(payload)) {
            Ok(request) => request,
            Err(error) => return later(format!("the endpoint or its headers cannot be used: {error}")),
        };
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) => return later(reason_of(&error)),
        };
        let (head, body) = answer.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if head.status.is_success() => return later(error.to_string()),
            Err(_) => Bytes::new(),
        };
        let seconds =
            head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        classify(head.status, seconds.map(Duration::from_secs), &body)
    }
}

/// OTLP's retry table for HTTP, but for a collector that is misconfigured.
fn classify(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Delivery {
    match status {
        status if status.is_success() => match protobuf::rejected(body) {
            None => Delivery::Taken,
            Some((rejected, reason)) => Delivery::TakenInPart { rejected, reason },
        },
        // The first three are the fault of the way there, not of the records: they wait until it is mended.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Delivery::Later { after: retry_after, reason: format!("the collector answered {status}") }
        }
        StatusCode::PAYLOAD_TOO_LARGE => Delivery::TooLarge,
        status => Delivery::Never { reason: format!("the collector answered {status}") },
    }
}

fn later(reason: String) -> Delivery {
    Delivery::Later { after: None, reason }
}

/// An error and what caused it, in one line.
fn reason_of(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    reason
}

/// Opens a file of lines for appending. A last line without an end is what a crash left: it is cut off,
/// and the cursor, which has not moved past it, brings it again.
fn open_lines(path: &Path) -> Result<File, std::io::Error> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let end = end_of_lines(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

fn end_of_lines(file: &mut File) -> Result<u64, std::io::Error> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let length = usize::try_from(end - start).unwrap_or(chunk.len());
        let Some(part) = chunk.get_mut(..length) else { break };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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
            Delivery::TakenInPart { rejected: 2, reason: "no".to_owned() }
        );
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("traces.jsonl");
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\n"), ("torn", "")] {
            std::fs::write(&path, before).unwrap();
            drop(open_lines(&path).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        let long = format!("{}\n{}", "x".repeat(10_000), "y".repeat(9_000));
        std::fs::write(&path, &long).unwrap();
        drop(open_lines(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10_001);
    }
}
