//! A small HTTP client for talking to a genops server.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::Trouble;

/// Sends a request with a key, and gives status and body.
pub async fn send(url: &str, key: &str, body: Option<String>) -> Result<(StatusCode, Bytes), Trouble> {
    let request = match &body {
        Some(_) => Request::post(url).header(header::CONTENT_TYPE, "application/json"),
        None => Request::get(url),
    };
    let request = request
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| Trouble::unusable(format!("cannot ask `{url}`: {error}")))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client
        .request(request)
        .await
        .map_err(|error| Trouble::failed(format!("no genops server answers at `{url}`: {error}")))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(Trouble::failed)?.to_bytes();
    Ok((status, body))
}

/// A value as it may stand in a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
