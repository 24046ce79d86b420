//! HTTP/1.1 with a server of the tests' own, byte by byte.

use http_body_util::BodyExt;
use hyper_rustls::HttpsConnectorBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::provider::Sent;

const WORD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nword";

struct Server {
    listener: TcpListener,
    connections: Exclusive,
}

/// A call that was taken, and the connection that it came over.
struct Taken {
    stream: TcpStream,
    head: String,
}

impl Server {
    async fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, connections: Exclusive::new(tls.wrap_connector(tcp)) }
    }

    async fn send(&self) -> Result<Response<Answer>, NoAnswer> {
        let uri = format!("http://{}/v1/chat?a=b", self.listener.local_addr().unwrap());
        let body = Outgoing::new(Bytes::from_static(b"{}"), Sent::default());
        within_time(self.connections.send(Request::post(uri).body(body).unwrap())).await
    }

    async fn accept(&self) -> TcpStream {
        within_time(self.listener.accept()).await.unwrap().0
    }

    fn idle(&self) -> usize {
        self.connections.idle.0.lock().unwrap().links.len()
    }
}

impl Taken {
    /// Reads a request to its end.
    async fn from(mut stream: TcpStream) -> Self {
        let mut read = Vec::new();
        while !read.ends_with(b"{}") {
            assert!(within_time(stream.read_buf(&mut read)).await.unwrap() > 0, "hung up");
        }
        Self { stream, head: String::from_utf8(read).unwrap() }
    }

    async fn answer(mut self, text: &str) -> TcpStream {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream
    }
}

async fn within_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("something waits for what never comes")
}

async fn read(answer: Result<Response<Answer>, NoAnswer>) -> Bytes {
    within_time(answer.unwrap().into_body().collect()).await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_is_read() {
    let server = Server::new().await;
    let serving = async {
        let first = Taken::from(server.accept().await).await;
        assert!(first.head.starts_with("POST /v1/chat?a=b HTTP/1.1\r\n"), "{}", first.head);
        let host = format!("host: {}\r\n", server.listener.local_addr().unwrap());
        assert!(first.head.contains(&host), "{}", first.head);
        let stream = first.answer(WORD).await;
        // In pieces, of which the last is its own.
        let stream =
            Taken::from(stream).await.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut stream = stream;
        for part in ["4\r\nword\r\n", "5\r\n, two\r\n", "0\r\n\r\n"] {
            stream.write_all(part.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        Taken::from(stream).await.answer("HTTP/1.1 204 No Content\r\n\r\n").await
    };
    let calling = async {
        assert_eq!(read(server.send().await).await, "word");
        assert_eq!(server.idle(), 1);
        assert_eq!(read(server.send().await).await, "word, two");
        assert_eq!(server.idle(), 1);
        // One that nobody reads, since there is nothing to read.
        drop(server.send().await.unwrap());
        assert_eq!(server.idle(), 1);
    };
    tokio::join!(serving, calling);
}

#[tokio::test]
async fn calls_at_once_have_a_connection_each_and_an_unread_answer_keeps_its_own() {
    let server = Server::new().await;
    let serving = async {
        let first = Taken::from(server.accept().await).await;
        let second = Taken::from(server.accept().await).await;
        let mut second = second.answer(WORD).await;
        let first = first.answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nword").await;
        // Hung up on: its answer was dropped before its end.
        assert_eq!(within_time(second.read(&mut [0; 1])).await.unwrap(), 0);
        first
    };
    let calling = async {
        let (first, second) = tokio::join!(server.send(), server.send());
        assert_eq!(server.idle(), 0);
        drop((first, second));
        assert_eq!(server.idle(), 0);
    };
    tokio::join!(serving, calling);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_not_used_again() {
    let server = Server::new().await;
    let serving = async {
        drop(Taken::from(server.accept().await).await.answer(WORD).await);
        Taken::from(server.accept().await).await.answer(WORD).await
    };
    let calling = async {
        assert_eq!(read(server.send().await).await, "word");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(read(server.send().await).await, "word");
    };
    tokio::join!(serving, calling);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_so_is_none() {
    let server = Server::new().await;
    let serving = async {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nword";
        drop(Taken::from(server.accept().await).await.answer(half).await);
        drop(Taken::from(server.accept().await).await);
    };
    let calling = async {
        let answer = server.send().await.unwrap();
        assert!(within_time(answer.into_body().collect()).await.is_err());
        assert!(server.send().await.is_err());
        assert_eq!(server.idle(), 0);
    };
    tokio::join!(serving, calling);
}
