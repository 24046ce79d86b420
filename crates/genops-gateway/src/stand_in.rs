//! A stand-in for a model: an OpenAI-compatible server that answers at once, with a usage report, and
//! understands nothing. For demonstrations, tests and benchmarks; it calls itself a stand-in in every answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// How the stand-in behaves.
#[derive(Debug, Clone)]
pub struct StandIn {
    /// How long it thinks.
    pub delay: Duration,
    /// What it says it read; `None` is a token for every four bytes of the body.
    pub prompt_tokens: Option<u64>,
    /// What it says it wrote.
    pub completion_tokens: u64,
    /// Whether it says another number with each call, from 0 to `completion_tokens`.
    pub varies: bool,
    /// The status that it answers with.
    pub status: StatusCode,
    /// What it answers instead of a completion.
    pub says: Option<&'static str>,
    /// How many calls have reached it.
    pub reached: Arc<AtomicU64>,
}

impl Default for StandIn {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            prompt_tokens: Some(12),
            completion_tokens: 20,
            varies: false,
            says: None,
            status: StatusCode::OK,
            reached: Arc::default(),
        }
    }
}

impl StandIn {
    /// Answers on `listener` for as long as it is polled.
    pub async fn serve(self, listener: TcpListener) {
        let stand_in = Arc::new(self);
        loop {
            // A connection that cannot be accepted is the caller's to try again.
            let Ok((stream, _)) = listener.accept().await else { continue };
            drop(stream.set_nodelay(true));
            let stand_in = Arc::clone(&stand_in);
            let service = service_fn(move |request| {
                let stand_in = Arc::clone(&stand_in);
                async move { Ok::<_, Infallible>(stand_in.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_call = request.uri().path().ends_with("/chat/completions");
        let length = match request.into_body().collect().await {
            Ok(body) => body.to_bytes().len() as u64,
            Err(_) => 0,
        };
        if !is_call {
            return json(
                StatusCode::OK,
                r#"{"object":"list","data":[{"id":"stand-in","object":"model"}]}"#.into(),
            );
        }
        let call = self.reached.fetch_add(1, Ordering::Relaxed);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(says) = self.says {
            return json(self.status, says.to_owned());
        }
        let prompt = self.prompt_tokens.unwrap_or(length / 4);
        // A multiplication by a large odd number scatters the calls over the range, always the same way.
        let scattered = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let completion = match self.varies {
            true => scattered % self.completion_tokens.saturating_add(1),
            false => self.completion_tokens,
        };
        json(
            self.status,
            format!(
                "{{\"id\":\"stand-in\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"stand-in\",\
                 \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"I am a stand-in, \
                 not a model.\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{prompt},\
                 \"completion_tokens\":{completion},\"total_tokens\":{}}}}}",
                prompt.saturating_add(completion)
            ),
        )
    }
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
