//! HTTP/2 with a server of the tests' own, over TLS.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Version;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;
use crate::provider::Sent;

/// What a server does with a call.
#[derive(Clone)]
enum Does {
    /// Answers once so many calls are there.
    AnswersTogether(Arc<Barrier>),
    /// Begins a body, ends it never, and says when the other side has hung up.
    StreamsForever(mpsc::UnboundedSender<()>),
    /// Answers never, and says when it has the call and when the other side has hung up.
    SaysNothing(mpsc::UnboundedSender<()>),
    /// Answers `/full` with as much as it may send and more, and anything else with a word.
    FillsWindows,
}

struct Server {
    url: String,
    certificate: tokio_rustls::rustls::pki_types::CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
}

/// Says that it was dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A body that never ends.
struct Endless {
    first: Option<Bytes>,
    _dropped: Dropped,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.first.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

impl Does {
    async fn answer(self, path: String) -> BoxBody<Bytes, Infallible> {
        match self {
            Self::AnswersTogether(barrier) => {
                barrier.wait().await;
            }
            Self::StreamsForever(dropped) => {
                let first = Some(Bytes::from_static(b"data: "));
                return BoxBody::new(Endless { first, _dropped: Dropped(dropped) });
            }
            Self::SaysNothing(dropped) => {
                let _ = dropped.send(());
                let _dropped = Dropped(dropped);
                std::future::pending::<()>().await;
            }
            Self::FillsWindows if path == "/full" => {
                return BoxBody::new(Full::new(Bytes::from(vec![b'x'; 8 << 20])));
            }
            Self::FillsWindows => {}
        }
        BoxBody::new(Full::new(Bytes::from_static(b"word")))
    }
}

/// Speaks what the other side chooses, HTTP/2 rather than HTTP/1.1, with up to 100 streams on a connection.
async fn serve(does: Does) -> Server {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, does, count) = (acceptor.clone(), does.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request: Request<Incoming>| {
                    let does = does.clone();
                    let path = request.uri().path().to_owned();
                    async move { Ok::<_, Infallible>(Response::new(does.answer(path).await)) }
                });
                count.fetch_add(1, Ordering::Relaxed);
                let stream = TokioIo::new(stream);
                let _ = match is_http2 {
                    true => {
                        let mut server = http2::Builder::new(TokioExecutor::new());
                        server.max_concurrent_streams(100).serve_connection(stream, service).await
                    }
                    false => http1::Builder::new().serve_connection(stream, service).await,
                };
            });
        }
    });
    Server { url, certificate: cert.der().clone(), connections }
}

impl Server {
    fn connect(&self, http2: Http2) -> Connections {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Connections::over(HttpsConnectorBuilder::new().with_tls_config(tls), http2)
    }

    fn request(&self, path: &str) -> Request<Outgoing> {
        Request::post(format!("{}{path}", self.url))
            .body(Outgoing::new(Bytes::from_static(b"{}"), Sent::default()))
            .unwrap()
    }
}

async fn within_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("something waits for what never comes")
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered_unless_it_never_may_be() {
    for (http2, expected) in [(Http2::Auto, Version::HTTP_2), (Http2::Never, Version::HTTP_11)] {
        let server = serve(Does::FillsWindows).await;
        let connections = server.connect(http2);
        for _ in 0..2 {
            let answer = within_time(connections.send(server.request("/word"))).await.unwrap();
            assert_eq!(answer.version(), expected, "{http2:?}");
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "word");
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), 1, "a connection is used again: {http2:?}");
    }
}

#[tokio::test]
async fn hanging_up_is_seen_by_the_provider_over_either_version() {
    for http2 in [Http2::Auto, Http2::Never] {
        let (dropped, mut seen) = mpsc::unbounded_channel();
        let server = serve(Does::StreamsForever(dropped)).await;
        let connections = server.connect(http2);
        let mut answer = within_time(connections.send(server.request("/"))).await.unwrap();
        assert!(within_time(answer.body_mut().frame()).await.unwrap().is_ok());
        assert!(seen.try_recv().is_err(), "{http2:?}");
        drop(answer);
        within_time(seen.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn hanging_up_before_the_answer_is_seen_by_the_provider() {
    for http2 in [Http2::Auto, Http2::Never] {
        let (dropped, mut seen) = mpsc::unbounded_channel();
        let server = serve(Does::SaysNothing(dropped)).await;
        let connections = server.connect(http2);
        tokio::select! {
            _ = connections.send(server.request("/")) => panic!("nobody answered: {http2:?}"),
            there = within_time(seen.recv()) => there.unwrap(),
        }
        within_time(seen.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn more_calls_than_a_connection_carries_run_at_once() {
    const CALLS: usize = 250;
    let server = serve(Does::AnswersTogether(Arc::new(Barrier::new(CALLS)))).await;
    let connections = server.connect(Http2::Auto);
    let calls = (0..CALLS).map(|_| connections.send(server.request("/")));
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let all = std::future::poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                assert_eq!(answer.unwrap().version(), Version::HTTP_2);
                false
            }
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    within_time(all).await;
    assert!(connections.lanes.lock().unwrap().iter().all(|lane| Arc::strong_count(&lane.calls) == 1));
}

#[tokio::test]
async fn callers_who_do_not_read_leave_room_to_the_others() {
    let server = serve(Does::FillsWindows).await;
    let connections = server.connect(Http2::Auto);
    let mut unread = Vec::new();
    for _ in 0..CALLS_PER_LANE - 1 {
        unread.push(within_time(connections.send(server.request("/full"))).await.unwrap());
    }
    let answer = within_time(connections.send(server.request("/word"))).await.unwrap();
    assert_eq!(within_time(answer.into_body().collect()).await.unwrap().to_bytes(), "word");
    assert_eq!(connections.lanes.lock().unwrap().len(), 1, "all of it on one connection");
}
