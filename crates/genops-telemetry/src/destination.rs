//! Where telemetry goes: OTLP collectors over HTTP or gRPC, a directory of JSON lines, or a webhook for alerts.
//!
//! A destination is handed a whole request and says what became of it, by OTLP's retry tables. It keeps no
//! state about the journal; the outbox does. How each kind is reached is in `http`, `grpc`, `file` and [`webhook`].

mod file;
mod grpc;
mod http;
mod reason;
pub mod webhook;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;
use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::batch::Batch;
use crate::protobuf::{Request, Resource};
use crate::signal::Signal;

pub use reason::Reason;
pub use webhook::Webhook;

/// A place that takes telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An OTLP collector.
    Otlp(Otlp),
    /// A directory: `traces.jsonl` and `logs.jsonl` in it.
    Directory {
        /// The directory; it is made if need be.
        path: PathBuf,
    },
    /// A webhook for alerts.
    Webhook(Webhook),
}

/// An OTLP collector, and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct Otlp {
    /// The collector.
    pub endpoint: Uri,
    /// What is sent there.
    pub signals: Signals,
    /// How.
    pub protocol: Protocol,
    /// Headers for every request. They may be secret.
    pub headers: Vec<(String, String)>,
    /// Whether requests are compressed.
    pub compression: Compression,
    /// A collector that does not answer within this time is tried again later.
    pub timeout: Duration,
}

/// Which signals a collector is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// Both. Over HTTP, `/v1/traces` and `/v1/logs` are added to the endpoint.
    Both,
    /// This one, and over HTTP to the endpoint as it is.
    Only(Signal),
}

/// How a collector is spoken to, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
    /// `grpc`
    Grpc,
}

/// Whether requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// `none`
    #[default]
    None,
    /// `gzip`
    Gzip,
}

impl Otlp {
    /// OpenTelemetry's default for how long a collector may take to answer.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// A collector that takes both signals over HTTP, without headers and uncompressed.
    #[must_use]
    pub const fn at(endpoint: Uri) -> Self {
        Self {
            endpoint,
            signals: Signals::Both,
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Self::TIMEOUT,
        }
    }

    /// The address that a signal is sent to.
    #[must_use]
    pub fn url(&self, signal: Signal) -> String {
        let endpoint = self.endpoint.to_string();
        let base = endpoint.trim_end_matches('/');
        match (self.protocol, self.signals, signal) {
            (Protocol::Grpc, _, Signal::Traces) => {
                format!("{base}/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            }
            (Protocol::Grpc, _, Signal::Logs) => {
                format!("{base}/opentelemetry.proto.collector.logs.v1.LogsService/Export")
            }
            // Alerts are no signal of OTLP, and no collector is opened for them.
            (Protocol::Grpc, _, Signal::Alerts) => endpoint,
            (Protocol::HttpProtobuf, Signals::Both, signal) => format!("{base}/v1/{}", signal.as_str()),
            (Protocol::HttpProtobuf, Signals::Only(_), _) => endpoint,
        }
    }
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp")
            .field("endpoint", &self.endpoint)
            .field("signals", &self.signals)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Destination {
    /// The signals that are sent there.
    #[must_use]
    pub fn signals(&self) -> &'static [Signal] {
        match self {
            Self::Otlp(Otlp { signals: Signals::Only(Signal::Traces), .. }) => &[Signal::Traces],
            Self::Otlp(Otlp { signals: Signals::Only(Signal::Logs), .. }) => &[Signal::Logs],
            Self::Otlp(_) | Self::Directory { .. } => &Signal::OTLP,
            Self::Webhook(_) => &[Signal::Alerts],
        }
    }

    /// The name under which the outbox keeps its cursor. It holds no secret.
    #[must_use]
    pub fn follower(&self, signal: Signal) -> String {
        match self {
            Self::Otlp(Otlp { endpoint, .. }) => format!("otlp {endpoint} {}", signal.as_str()),
            Self::Directory { path } => format!("directory {} {}", path.display(), signal.as_str()),
            Self::Webhook(webhook) => format!("webhook {} {}", webhook.place(), signal.as_str()),
        }
    }

    /// Whether this one and the other send something to the same place: then each would send what the other
    /// has sent already.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let common = self.signals().iter().filter(|signal| other.signals().contains(signal));
        common.into_iter().any(|signal| match (self, other) {
            (Self::Otlp(this), Self::Otlp(other)) => {
                // One endpoint is one collector, whatever it is spoken to in, and has one cursor.
                let place = |otlp: &Otlp| otlp.url(*signal).parse::<Uri>().ok();
                this.endpoint == other.endpoint || place(this) == place(other)
            }
            (Self::Directory { path: this }, Self::Directory { path: other }) => this == other,
            (Self::Webhook(this), Self::Webhook(other)) => this.place() == other.place(),
            _ => false,
        })
    }

    /// Opens the way to the destination for one signal.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or written. A collector that is down is no error here.
    pub fn open(&self, signal: Signal) -> Result<Way, std::io::Error> {
        Ok(match self {
            Self::Otlp(otlp) => {
                let to = match otlp.protocol {
                    Protocol::HttpProtobuf => To::Http(Box::new(http::Collector::new(otlp, signal))),
                    Protocol::Grpc => To::Grpc(Box::new(grpc::Collector::new(otlp, signal))),
                };
                Way { to, signal, compression: otlp.compression, timeout: otlp.timeout }
            }
            Self::Directory { path } => {
                std::fs::create_dir_all(path)?;
                let lines = file::Lines::open(&path.join(format!("{}.jsonl", signal.as_str())))?;
                Way { to: To::File(lines), signal, compression: Compression::None, timeout: Duration::MAX }
            }
            Self::Webhook(webhook) => {
                let to = To::Http(Box::new(http::Collector::of_webhook(webhook)));
                Way { to, signal, compression: Compression::None, timeout: webhook.timeout }
            }
        })
    }
}

/// An open way to a destination, for one signal.
#[derive(Debug)]
pub struct Way {
    to: To,
    signal: Signal,
    compression: Compression,
    timeout: Duration,
}

#[derive(Debug)]
enum To {
    Http(Box<http::Collector>),
    Grpc(Box<grpc::Collector>),
    File(file::Lines),
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
        reason: Reason,
    },
    /// None of it was taken; it may be later.
    Later {
        /// Not before so long.
        after: Option<Duration>,
        /// What happened.
        reason: Reason,
    },
    /// It was too large; smaller ones may be taken.
    TooLarge,
    /// None of it will ever be taken.
    Never {
        /// Why.
        reason: Reason,
    },
}

/// As much of a collector's answer as is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

impl Way {
    /// An empty request that will hold about so many bytes at most.
    #[must_use]
    pub fn batch(&self, bytes: usize) -> Batch {
        match (&self.to, self.signal) {
            (To::File(_), _) | (_, Signal::Alerts) => Batch::Json(self.signal, Vec::new(), 0),
            (To::Http(_) | To::Grpc(_), _) => Batch::Protobuf(Request::with_capacity(bytes)),
        }
    }

    /// The bytes to send.
    ///
    /// # Errors
    ///
    /// In words for people: the request cannot be compressed, or is larger than gRPC allows.
    pub fn payload(&self, batch: Batch, resource: &Resource) -> Result<Bytes, String> {
        let bytes = batch.into_bytes(resource);
        let bytes = match self.compression {
            Compression::None => bytes,
            Compression::Gzip => {
                gzip(&bytes).map_err(|error| format!("a request cannot be compressed: {error}"))?
            }
        };
        match self.to {
            To::Http(_) | To::File(_) => Ok(bytes),
            To::Grpc(_) => grpc::framed(&bytes, self.compression),
        }
    }

    /// Sends a request; the same bytes may be sent again.
    pub async fn deliver(&mut self, payload: &Bytes) -> Delivery {
        let delivered = match &mut self.to {
            To::Http(collector) => tokio::time::timeout(self.timeout, collector.post(payload.clone())).await,
            To::Grpc(collector) => {
                let delivered = tokio::time::timeout(self.timeout, collector.post(payload.clone())).await;
                if delivered.is_err() {
                    collector.disconnect();
                }
                delivered
            }
            To::File(lines) => Ok(lines.append(payload).map_or_else(later, |()| Delivery::Taken)),
        };
        delivered.unwrap_or_else(|_| later(format!("no answer within {} s", self.timeout.as_secs_f64())))
    }
}

impl Delivery {
    /// Taken, but for what the collector says that it rejected.
    fn taken(rejected: Option<(u64, String)>) -> Self {
        match rejected {
            None => Self::Taken,
            Some((rejected, said)) => {
                Self::TakenInPart { rejected, reason: Reason::with("the rest was taken", said) }
            }
        }
    }
}

/// The same bytes give the same result, so that a resend is identical.
fn gzip(bytes: &[u8]) -> Result<Bytes, std::io::Error> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

fn later(reason: impl Into<Reason>) -> Delivery {
    Delivery::Later { after: None, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otlp(endpoint: &str, protocol: Protocol, signals: Signals) -> Otlp {
        Otlp { protocol, signals, ..Otlp::at(endpoint.parse().unwrap()) }
    }

    #[test]
    fn a_base_gets_the_path_of_the_signal_and_an_endpoint_of_one_signal_is_left_as_it_is() {
        let (http, grpc) = (Protocol::HttpProtobuf, Protocol::Grpc);
        let only = Signals::Only(Signal::Traces);
        for (endpoint, protocol, signals, url) in [
            ("http://h:4318", http, Signals::Both, "http://h:4318/v1/traces"),
            ("http://h:4318/", http, Signals::Both, "http://h:4318/v1/traces"),
            ("http://h/base/", http, Signals::Both, "http://h/base/v1/traces"),
            ("http://h:4318", http, only, "http://h:4318/"),
            ("http://h/custom", http, only, "http://h/custom"),
            (
                "https://h:4317",
                grpc,
                Signals::Both,
                "https://h:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ),
        ] {
            assert_eq!(otlp(endpoint, protocol, signals).url(Signal::Traces), url, "{endpoint}");
        }
    }

    #[test]
    fn two_destinations_overlap_where_both_send_a_signal_to_one_place() {
        let to = |endpoint, signals| Destination::Otlp(otlp(endpoint, Protocol::HttpProtobuf, signals));
        let (traces, logs) = (Signals::Only(Signal::Traces), Signals::Only(Signal::Logs));
        for (one, other, expected) in [
            (to("http://h:1", Signals::Both), to("http://H:1/", Signals::Both), true),
            (to("http://h:1", Signals::Both), to("http://h:2", Signals::Both), false),
            (to("http://h:1", Signals::Both), to("http://h:1/v1/logs", logs), true),
            (to("http://h:1/x", traces), to("http://h:1/x", logs), false),
        ] {
            assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn headers_are_not_shown() {
        let secret = Otlp {
            headers: vec![("authorization".to_owned(), "secret".to_owned())],
            ..Otlp::at(Uri::from_static("http://h"))
        };
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
