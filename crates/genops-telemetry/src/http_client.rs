//! The HTTP clients of the outbox, plain or TLS: HTTP/1.1 for OTLP over HTTP, HTTP/2 for gRPC.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client that keeps connections open.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const USER_AGENT: &str = concat!("genops/", env!("CARGO_PKG_VERSION"));

/// Makes a client for HTTP/1.1.
pub fn http1() -> HttpClient {
    Client::builder(TokioExecutor::new()).build(connector().enable_http1().build())
}

/// Makes a client for HTTP/2: agreed on in the TLS handshake, or taken as known where there is none.
pub fn http2() -> HttpClient {
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector().enable_http2().build())
}

/// Trusts the system's certificates, or Mozilla's where the system has none.
fn connector() -> HttpsConnectorBuilder<WantsProtocols1> {
    let builder = match HttpsConnectorBuilder::new().with_native_roots() {
        Ok(builder) => builder,
        Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
    };
    builder.https_or_http()
}

/// A request with these headers; the error is in words for people.
pub fn post(url: &str, headers: &[(String, String)], payload: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::post(url).header(header::USER_AGENT, USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let unusable = |error| format!("the endpoint or its headers cannot be used: {error}");
    request.body(Full::new(payload)).map_err(unusable)
}
