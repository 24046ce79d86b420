//! What holds over HTTP holds over gRPC, with a server that is not ours; and every answer that such a server
//! can give is read by OTLP's retry table.

use std::time::Duration;

use genops::Destination;
use genops::telemetry::{Compression, Otlp, Protocol, Signal};
use genops_telemetry::destination::{Delivery, Reason, Way};
use genops_telemetry::protobuf::Request;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use tokio::io::AsyncReadExt;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::common::{executing, execution};
use super::grpc::{self, Scripted};
use super::receiver::Mode;
use super::{awus, open_to, otlp, work};

const USUAL_BYTES_MAX: usize = 4 << 20;

fn over_grpc(port: u16) -> Otlp {
    Otlp { protocol: Protocol::Grpc, ..otlp(port) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_packed_or_not() {
    for compression in [Compression::None, Compression::Gzip] {
        let directory = tempfile::tempdir().unwrap();
        let receiver = grpc::down().await;
        let _running = grpc::up(&receiver, USUAL_BYTES_MAX).await;
        let to = Otlp { compression, ..over_grpc(receiver.port) };
        let governor = open_to(&directory.path().join("genops.db"), to).await;
        work(&governor, 10).await;
        receiver.wait_for(&awus(&governor)).await;
        receiver.wait_for_logs(10 * 3).await;
        receiver.assert_one_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_or_busy_and_comes_back_gets_everything() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = grpc::down().await;
    let governor = open_to(&directory.path().join("genops.db"), over_grpc(receiver.port)).await;
    work(&governor, 5).await;
    let running = grpc::up(&receiver, USUAL_BYTES_MAX).await;
    receiver.wait_for(&awus(&governor)).await;

    // The connection goes, and with it the port.
    running.stop().await;
    work(&governor, 5).await;
    let _running = grpc::up(&receiver, USUAL_BYTES_MAX).await;
    receiver.wait_for(&awus(&governor)).await;

    receiver.set(Mode::Unavailable);
    executing(&governor).await.settle(execution()).unwrap();
    receiver.wait_for_refusals(1).await;
    receiver.set(Mode::Takes);
    receiver.wait_for(&awus(&governor)).await;
    receiver.assert_one_content();
    assert!(governor.telemetry().unwrap().followers.iter().all(|follower| follower.dead_letters.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_with_a_small_limit_gets_smaller_messages() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = grpc::down().await;
    let governor = open_to(&directory.path().join("genops.db"), over_grpc(receiver.port)).await;
    work(&governor, 150).await;
    let _running = grpc::up(&receiver, 200_000).await;
    receiver.wait_for(&awus(&governor)).await;
    receiver.assert_one_content();
    assert!(governor.telemetry().unwrap().followers.iter().all(|follower| follower.dead_letters.is_empty()));
}

/// A way to a collector, and a request with nothing in it but a resource.
fn way(port: u16, compression: Compression) -> (Way, bytes::Bytes) {
    let headers = vec![("Authorization".to_owned(), "Bearer of-the-test".to_owned())];
    let to = Destination::Otlp(Otlp { compression, headers, ..over_grpc(port) });
    let way = to.open(Signal::Traces).unwrap();
    let resource = [("service.name".to_owned(), "genops ".repeat(100))];
    let payload = way.payload(way.batch(0), &resource).unwrap();
    (way, payload)
}

#[tokio::test]
async fn every_status_is_read_by_the_retry_table() {
    let (scripted, port) = Scripted::start().await;
    let (mut way, payload) = way(port, Compression::None);
    let pause = |seconds| ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
    let later = |after: Option<u64>, said: &str| Delivery::Later {
        after: after.map(Duration::from_secs),
        reason: Reason::with(format!("the collector answered {said}"), "h\u{e9}"),
    };
    let never = |said: &str| Delivery::Never {
        reason: Reason::with(format!("the collector answered {said}"), "h\u{e9}"),
    };
    let plain = |code| Status::new(code, "h\u{e9}");
    let detailed = |code, details| Status::with_error_details(code, "h\u{e9}", details);
    let cases = [
        (plain(Code::Cancelled), later(None, "CANCELLED")),
        (plain(Code::Unknown), never("UNKNOWN")),
        (plain(Code::InvalidArgument), never("INVALID_ARGUMENT")),
        (plain(Code::DeadlineExceeded), later(None, "DEADLINE_EXCEEDED")),
        (plain(Code::NotFound), never("NOT_FOUND")),
        (plain(Code::AlreadyExists), never("ALREADY_EXISTS")),
        (plain(Code::PermissionDenied), later(None, "PERMISSION_DENIED")),
        (plain(Code::ResourceExhausted), never("RESOURCE_EXHAUSTED")),
        (plain(Code::FailedPrecondition), never("FAILED_PRECONDITION")),
        (plain(Code::Aborted), later(None, "ABORTED")),
        (plain(Code::OutOfRange), later(None, "OUT_OF_RANGE")),
        (plain(Code::Unimplemented), later(None, "UNIMPLEMENTED")),
        (plain(Code::Internal), never("INTERNAL")),
        (plain(Code::Unavailable), later(None, "UNAVAILABLE")),
        (plain(Code::DataLoss), later(None, "DATA_LOSS")),
        (plain(Code::Unauthenticated), later(None, "UNAUTHENTICATED")),
        (detailed(Code::ResourceExhausted, pause(7)), later(Some(7), "RESOURCE_EXHAUSTED")),
        (detailed(Code::ResourceExhausted, pause(0)), later(Some(0), "RESOURCE_EXHAUSTED")),
        (detailed(Code::Unavailable, pause(90)), later(Some(90), "UNAVAILABLE")),
        (
            detailed(Code::ResourceExhausted, ErrorDetails::with_debug_info(vec![], "no pause")),
            never("RESOURCE_EXHAUSTED"),
        ),
    ];
    for (status, expected) in cases {
        *scripted.answer.lock().unwrap() = Err(status.clone());
        assert_eq!(way.deliver(&payload).await, expected, "{status:?}");
    }
}

#[tokio::test]
async fn success_is_read_with_what_was_rejected() {
    let (scripted, port) = Scripted::start().await;
    let (mut way, payload) = way(port, Compression::None);
    let partial = |rejected_spans, message: &str| ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.to_owned(),
        }),
    };
    for (answer, expected) in [
        (ExportTraceServiceResponse::default(), Delivery::Taken),
        (partial(0, "only a warning"), Delivery::Taken),
        (
            partial(3, "too old"),
            Delivery::TakenInPart { rejected: 3, reason: Reason::with("the rest was taken", "too old") },
        ),
    ] {
        *scripted.answer.lock().unwrap() = Ok(answer);
        assert_eq!(way.deliver(&payload).await, expected);
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_was_with_the_headers_that_are_set() {
    let (scripted, port) = Scripted::start().await;
    let mut arrived = Vec::new();
    for compression in [Compression::None, Compression::Gzip] {
        let (mut way, payload) = way(port, compression);
        assert_eq!(way.deliver(&payload).await, Delivery::Taken);
        let (metadata, message) = scripted.asked.lock().unwrap().take().unwrap();
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer of-the-test");
        assert_eq!(metadata.get("grpc-timeout").unwrap(), "10000m");
        arrived.push((payload.len(), message));
    }
    let [(plain_bytes, plain), (packed_bytes, packed)] = &arrived[..] else { panic!("two messages") };
    assert_eq!(plain, packed);
    assert!(packed_bytes * 4 < *plain_bytes, "{packed_bytes} of {plain_bytes} bytes");
    let resource = [("service.name".to_owned(), "genops ".repeat(100))];
    let sent = Request::with_capacity(0).into_bytes(&resource);
    assert_eq!(prost::Message::encode_to_vec(plain), sent);
}

#[tokio::test]
async fn what_does_not_speak_grpc_or_does_not_answer_delays() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let to = Destination::Otlp(Otlp { timeout: Duration::from_millis(50), ..over_grpc(port) });
    let mut way = to.open(Signal::Traces).unwrap();
    let payload = way.payload(way.batch(0), &[]).unwrap();
    let expected = Delivery::Later { after: None, reason: "no answer within 0.05 s".to_owned().into() };
    assert_eq!(way.deliver(&payload).await, expected);
    drop(silent);
    assert!(matches!(way.deliver(&payload).await, Delivery::Later { .. }), "nobody listens");

    let over_http = super::Receiver::start().await;
    let (mut way, payload) = self::way(over_http.port, Compression::None);
    assert!(matches!(way.deliver(&payload).await, Delivery::Later { .. }), "HTTP/1.1 only");
}

#[tokio::test]
async fn tls_offers_http2_and_nothing_else() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let to = Destination::Otlp(Otlp { protocol: Protocol::Grpc, ..Otlp::at(endpoint.parse().unwrap()) });
    let mut way = to.open(Signal::Logs).unwrap();
    let payload = way.payload(way.batch(0), &[]).unwrap();
    let hello = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        hello
    };
    let (delivery, hello) = tokio::join!(way.deliver(&payload), hello);
    // Application-layer protocols: the extension 16, a list of one name.
    let offered = [0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
    assert!(hello.windows(offered.len()).any(|window| window == offered), "{hello:?}");
    assert!(matches!(delivery, Delivery::Later { .. }), "nobody shook hands");
}
