//! Answers, in the encoding of the request: everything was taken, or why nothing was.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::otlp::request::Encoding;
use crate::otlp::wire::{put_bytes, put_uint};

/// The body of an answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// How a request came, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A unary call of gRPC.
    Grpc,
    /// A POST.
    Http(Encoding),
}

/// What is wrong, as HTTP and gRPC number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Invalid,
    NotFound,
    NotAllowed,
    MediaType,
    TooLarge,
    TooSlow,
    Unimplemented,
    Unavailable,
}

impl Transport {
    /// The transport that a content type belongs to.
    pub fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        [
            ("application/grpc", Self::Grpc),
            ("application/grpc+proto", Self::Grpc),
            ("application/x-protobuf", Self::Http(Encoding::Protobuf)),
            ("application/protobuf", Self::Http(Encoding::Protobuf)),
            ("application/json", Self::Http(Encoding::Json)),
        ]
        .into_iter()
        .find_map(|(known, transport)| known.eq_ignore_ascii_case(name).then_some(transport))
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::Http(Encoding::Protobuf) => "application/x-protobuf",
            Self::Http(Encoding::Json) => "application/json",
        }
    }
}

impl Code {
    const fn http(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType | Self::Unimplemented => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn grpc(self) -> u8 {
        match self {
            Self::Invalid | Self::MediaType => 3,
            Self::TooSlow => 4,
            Self::TooLarge => 8,
            Self::NotFound | Self::NotAllowed | Self::Unimplemented => 12,
            Self::Unavailable => 14,
        }
    }
}

/// Everything was taken: the empty answer, which says that nothing was rejected.
pub fn taken(transport: Option<Transport>) -> Response<Body> {
    let mut response = match transport {
        Some(Transport::Grpc) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let message = Full::new(Bytes::from_static(&[0; 5]));
            Response::new(message.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed())
        }
        Some(Transport::Http(Encoding::Json)) => Response::new(Full::new(Bytes::from_static(b"{}")).boxed()),
        Some(Transport::Http(Encoding::Protobuf)) | None => Response::new(Full::default().boxed()),
    };
    set_type(&mut response, transport);
    response
}

/// Nothing was taken: a `google.rpc.Status` over HTTP, the outcome of a call over gRPC.
pub fn refused(transport: Option<Transport>, code: Code, what: &str) -> Response<Body> {
    let content = match transport {
        Some(Transport::Grpc) => Vec::new(),
        Some(Transport::Http(Encoding::Protobuf)) => {
            let mut status = Vec::new();
            put_uint(&mut status, 1, u64::from(code.grpc()));
            put_bytes(&mut status, 2, what.as_bytes());
            status
        }
        Some(Transport::Http(Encoding::Json)) => {
            serde_json::json!({ "code": code.grpc(), "message": what }).to_string().into_bytes()
        }
        None => format!("{what}\n").into_bytes(),
    };
    let mut response = Response::new(Full::new(Bytes::from(content)).boxed());
    set_type(&mut response, transport);
    if transport == Some(Transport::Grpc) {
        let headers = response.headers_mut();
        headers.insert("grpc-status", HeaderValue::from(u16::from(code.grpc())));
        if let Ok(message) = HeaderValue::try_from(utf8_percent_encode(what, ENCODED).to_string()) {
            headers.insert("grpc-message", message);
        }
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    } else {
        *response.status_mut() = code.http();
    }
    if code == Code::NotAllowed {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// What a message of gRPC may not carry as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

fn set_type(response: &mut Response<Body>, transport: Option<Transport>) {
    let content_type = transport.map_or("text/plain; charset=utf-8", Transport::content_type);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}
