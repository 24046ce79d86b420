//! Telemetry received over the network, as real clients send it: what was sent is judged, and told to be taken.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod sample;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use genops_conformance::Checker;
use genops_conformance::input::{Inputs, MESSAGE_BYTES_MAX};
use genops_conformance::listen::{Listener, Until, listen};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use sample::{Messages, checker, comparable, gzip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Listening {
    addresses: Vec<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Checker, Inputs)>,
    http1: Client<HttpConnector, Full<Bytes>>,
    http2: Client<HttpConnector, Full<Bytes>>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Listening {
    async fn begin(until: Until) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(&[any, any]).await.unwrap();
        let addresses = listener.addresses().to_vec();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(listen(listener, checker(), until, async { drop(stopped.await) }));
        let client = || Client::builder(TokioExecutor::new());
        Self {
            addresses,
            stop,
            task,
            http1: client().build_http(),
            http2: client().http2_only(true).build_http(),
        }
    }

    async fn send(&self, request: http::request::Builder, is_http2: bool, body: impl Into<Bytes>) -> Answer {
        let request = request.body(Full::new(body.into())).unwrap();
        let client = if is_http2 { &self.http2 } else { &self.http1 };
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
    }

    /// A POST to one of the ports.
    fn post(&self, port: usize, path: &str, content_type: &str) -> http::request::Builder {
        Request::post(format!("http://{}{path}", self.addresses[port])).header("content-type", content_type)
    }

    async fn grpc(&self, port: usize, service: &str, encoding: &str, body: Vec<u8>) -> Answer {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let request = self.post(port, &path, "application/grpc").header("te", "trailers");
        self.send(request.header("grpc-encoding", encoding), true, body).await
    }

    async fn end(self) -> (Checker, Inputs) {
        drop(self.stop);
        self.task.await.unwrap()
    }
}

fn framed(is_gzip: bool, message: &[u8]) -> Vec<u8> {
    [&[u8::from(is_gzip)][..], &sample::prefixed(message)].concat()
}

/// The outcome of a call: in the headers, if it was known at once.
fn grpc_status(answer: &Answer) -> (u16, String) {
    let headers = if answer.headers.contains_key("grpc-status") { &answer.headers } else { &answer.trailers };
    let status = headers["grpc-status"].to_str().unwrap().parse().unwrap();
    (status, headers.get("grpc-message").map(|text| text.to_str().unwrap().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn every_way_of_sending_is_taken_on_every_port_and_comes_to_the_same() {
    let messages = Messages::new();
    for way in ["grpc", "grpc gzip", "protobuf", "protobuf gzip", "json", "json gzip", "json over HTTP/2"] {
        let listening = Listening::begin(Until::default()).await;
        let signals = ["traces", "traces", "logs", "metrics"];
        let services = [
            "trace.v1.TraceService",
            "trace.v1.TraceService",
            "logs.v1.LogsService",
            "metrics.v1.MetricsService",
        ];
        for (at, pair) in messages.all().into_iter().enumerate() {
            let (port, is_gzip) = (at % 2, way.ends_with("gzip"));
            let pack = |bytes: &[u8]| if is_gzip { gzip(bytes) } else { bytes.to_vec() };
            if way.starts_with("grpc") {
                let body = framed(is_gzip, &pack(&pair.protobuf));
                let encoding = if is_gzip { "gzip" } else { "identity" };
                let answer = listening.grpc(port, services[at], encoding, body).await;
                assert_eq!((answer.status, grpc_status(&answer).0), (StatusCode::OK, 0), "{way}");
                let message = ExportTraceServiceResponse::decode(&answer.body[5..]).unwrap();
                assert_eq!((answer.body[0], message.partial_success), (0, None));
            } else {
                let (content_type, bytes, expected) = match way.starts_with("json") {
                    true => ("application/json; charset=utf-8", pair.json.as_bytes(), "{}"),
                    false => ("application/x-protobuf", &pair.protobuf[..], ""),
                };
                let mut request = listening.post(port, &format!("/v1/{}", signals[at]), content_type);
                if is_gzip {
                    request = request.header("content-encoding", "gzip");
                }
                let answer = listening.send(request, way.ends_with("HTTP/2"), pack(bytes)).await;
                assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, expected.as_bytes()), "{way}");
                assert!(content_type.starts_with(answer.headers["content-type"].to_str().unwrap()));
            }
        }
        let addresses = listening.addresses.clone();
        let (checker, inputs) = listening.end().await;
        assert_eq!(comparable(checker), messages.expected(), "{way}");
        let input = &inputs.all[0];
        assert_eq!((input.messages, input.problems.is_empty()), (4, true));
        assert_eq!(input.name, format!("{}, {}", addresses[0], addresses[1]));
        assert_eq!(input.sha256.len(), 64);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_the_reason() {
    let listening = Listening::begin(Until::default()).await;
    let bomb = gzip(&vec![b' '; MESSAGE_BYTES_MAX + 1]);
    let long = vec![b' '; MESSAGE_BYTES_MAX + 1];
    let (json, protobuf) = ("application/json", "application/x-protobuf");
    let cases: [([&str; 4], &[u8], StatusCode, &str); 13] = [
        (["POST", "/v1/traces", json, ""], b"{\"resourceSpans\":[", StatusCode::BAD_REQUEST, "line 1"),
        (["POST", "/v1/traces", json, ""], b"{\"a\":1}", StatusCode::BAD_REQUEST, "no OTLP"),
        (["POST", "/v1/traces", protobuf, ""], b"hello", StatusCode::BAD_REQUEST, "no OTLP"),
        (["POST", "/v1/traces", json, "gzip"], b"hello", StatusCode::BAD_REQUEST, "gzip"),
        (["POST", "/v1/traces", json, "gzip"], &gzip(b"{}")[..10], StatusCode::BAD_REQUEST, "gzip"),
        (["POST", "/v1/traces", json, "zstd"], b"{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "zstd"),
        (
            ["POST", "/v1/traces", "text/plain", ""],
            b"{}",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/json",
        ),
        (["POST", "/v1/traces", "application/grpc", ""], b"", StatusCode::OK, ""),
        (["POST", "/v1/traces", json, "gzip"], &bomb, StatusCode::PAYLOAD_TOO_LARGE, "64 MiB"),
        (["POST", "/v1/traces", protobuf, ""], &long, StatusCode::PAYLOAD_TOO_LARGE, "64 MiB"),
        (["POST", "/v1/profiles", json, ""], b"{}", StatusCode::NOT_FOUND, "/v1/profiles"),
        (["GET", "/", "", ""], b"", StatusCode::NOT_FOUND, "/v1/traces"),
        (["GET", "/v1/traces", json, ""], b"", StatusCode::METHOD_NOT_ALLOWED, "POST"),
    ];
    for ([method, path, content_type, encoding], body, status, reason) in cases {
        let mut request =
            listening.post(0, path, content_type).method(Method::from_bytes(method.as_bytes()).unwrap());
        if !encoding.is_empty() {
            request = request.header("content-encoding", encoding);
        }
        let answer = listening.send(request, false, body.to_vec()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{path} {content_type} {encoding}: {text}");
        assert!(text.contains(reason), "{path} {content_type} {encoding}: {text}");
        assert_eq!(answer.headers.contains_key("allow"), status == StatusCode::METHOD_NOT_ALLOWED);
    }
    let (checker, inputs) = listening.end().await;
    assert_eq!((comparable(checker).2.spans, inputs.all[0].messages), (0, 0));
    // All but those that went nowhere: what they held is missing, and the report says so.
    assert_eq!(inputs.all[0].problems.first.len(), 10);
}

#[tokio::test]
async fn calls_that_cannot_be_taken_end_with_their_code() {
    let listening = Listening::begin(Until::default()).await;
    let good = &Messages::new().traces[0].protobuf;
    let (traces, nothing) = ("trace.v1.TraceService", "profiles.v1.ProfilesService");
    let bomb = framed(true, &gzip(&vec![0x0a; MESSAGE_BYTES_MAX + 1]));
    let cases: [(&str, &str, Vec<u8>, u16, &str); 9] = [
        (traces, "identity", framed(false, b"hello"), 3, "no OTLP"),
        (traces, "identity", Vec::new(), 3, "no message"),
        (traces, "identity", framed(false, good)[..20].to_vec(), 3, "exactly one message"),
        (traces, "identity", [framed(false, good), framed(false, good)].concat(), 3, "exactly one message"),
        (traces, "identity", framed(true, &gzip(good)), 3, "grpc-encoding"),
        (traces, "snappy", framed(true, good), 12, "snappy"),
        (traces, "gzip", framed(true, good), 3, "gzip"),
        (traces, "gzip", bomb, 8, "64 MiB"),
        (nothing, "identity", framed(false, good), 12, "profiles"),
    ];
    for (service, encoding, body, code, reason) in cases {
        let answer = listening.grpc(1, service, encoding, body).await;
        let (status, message) = grpc_status(&answer);
        assert_eq!((answer.status, status), (StatusCode::OK, code), "{reason}: {message}");
        assert!(message.contains(reason), "{message}");
    }
    // Compression that is announced need not be used.
    let answer = listening.grpc(1, traces, "gzip", framed(false, good)).await;
    assert_eq!(grpc_status(&answer).0, 0);
    let answer = listening.send(
        listening.post(0, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "application/grpc"),
        false,
        framed(false, good),
    );
    assert!(grpc_status(&answer.await).1.contains("HTTP/2"));
    assert_eq!(listening.end().await.1.all[0].messages, 1);
}

#[tokio::test]
async fn it_ends_when_it_is_idle_but_not_before_anything_has_come() {
    let until = Until { for_: None, idle: Some(Duration::from_millis(300)) };
    let listening = Listening::begin(until).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!listening.task.is_finished());
    let messages = Messages::new();
    for pair in &messages.traces {
        let request = listening.post(0, "/v1/traces", "application/json");
        assert_eq!(listening.send(request, false, pair.json.clone()).await.status, StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!listening.task.is_finished());
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), listening.task).await;
    assert_eq!(ended.unwrap().unwrap().1.all[0].messages, 2);
    drop(listening.stop);
}

#[tokio::test]
async fn it_ends_after_its_time_also_with_a_silent_connection() {
    let until = Until { for_: Some(Duration::from_millis(300)), idle: None };
    let listening = Listening::begin(until).await;
    let mut silent = TcpStream::connect(listening.addresses[0]).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), listening.task).await;
    assert_eq!(ended.unwrap().unwrap().1.all[0].messages, 0);
    assert_eq!(silent.read(&mut [0]).await.unwrap_or_default(), 0);
    drop(listening.stop);
}

#[tokio::test]
async fn a_request_that_is_under_way_when_it_ends_is_still_taken() {
    let listening = Listening::begin(Until::default()).await;
    let body = &Messages::new().traces[0].json;
    let mut slow = TcpStream::connect(listening.addresses[0]).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..50]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ending = tokio::spawn(listening.end());
    tokio::time::sleep(Duration::from_millis(200)).await;
    slow.write_all(&body.as_bytes()[50..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(ending.await.unwrap().1.all[0].messages, 1);
}

#[tokio::test]
async fn what_is_no_http_costs_nobody_else_anything() {
    let listening = Listening::begin(Until::default()).await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxx",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(listening.addresses[0]).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
    }
    let request = listening.post(0, "/v1/traces", "application/json");
    let body = Messages::new().traces[0].json.clone();
    assert_eq!(listening.send(request, false, body).await.status, StatusCode::OK);
    assert_eq!(listening.end().await.1.all[0].messages, 1);
}
