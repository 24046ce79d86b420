//! A stand-in for a model: an OpenAI-compatible server that answers at once, with a usage report, and
//! understands nothing. For demonstrations, tests and benchmarks; it calls itself a stand-in in every answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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
    /// How long it pauses before each event of a stream.
    pub pause: Duration,
    /// Whether each word of a stream is the time at which it is sent, in nanoseconds since 1970: who reads
    /// it on the same machine knows how long it was on its way.
    pub stamps: bool,
    /// So many calls fail from now on, with 503.
    pub failing: Arc<AtomicU64>,
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
            pause: Duration::ZERO,
            stamps: false,
            failing: Arc::default(),
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

    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let is_call = request.uri().path().ends_with("/chat/completions");
        let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
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
        let fails =
            self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if fails.is_ok() {
            return json(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":{"message":"overloaded"}}"#.to_owned());
        }
        if let Some(says) = self.says {
            return json(self.status, says.to_owned());
        }
        let prompt = self.prompt_tokens.unwrap_or(body.len() as u64 / 4);
        // A multiplication by a large odd number scatters the calls over the range, always the same way.
        let scattered = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let completion = match self.varies {
            true => scattered % self.completion_tokens.saturating_add(1),
            false => self.completion_tokens,
        };
        let total = prompt.saturating_add(completion);
        let usage = format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}"
        );
        match serde_json::from_slice(&body) {
            Ok(Asked { stream: true, stream_options }) => {
                let reports = stream_options.is_some_and(|options| options.include_usage);
                self.stream(completion, reports.then_some(usage))
            }
            _ => json(self.status, whole(&usage)),
        }
    }

    /// A stream of as many words as it says that it wrote, up to a hundred.
    fn stream(&self, completion: u64, usage: Option<String>) -> Response<BoxBody<Bytes, Infallible>> {
        let words = (0..completion.min(100)).map(|_| delta(&format!("{{\"content\":\"{WORD}\"}}"), "null"));
        let mut events: Vec<String> = words.collect();
        events.insert(0, delta("{\"role\":\"assistant\",\"content\":\"\"}", "null"));
        events.push(delta("{}", "\"stop\""));
        events.extend(usage.map(|usage| event(&format!("\"choices\":[],\"usage\":{usage}"))));
        events.push("data: [DONE]\n\n".to_owned());
        let (pause, stamps) = (self.pause, self.stamps);
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            for event in events {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let event = if stamps { event.replace(WORD, &now()) } else { event };
                // The caller has gone.
                if send.send(event).await.is_err() {
                    return;
                }
            }
        });
        let mut response = Response::new(BoxBody::new(Events(receive)));
        *response.status_mut() = self.status;
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

/// What it writes, again and again.
const WORD: &str = "word ";

/// The time in nanoseconds since 1970.
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}

/// What it understands of a call.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A body of events as they come.
struct Events(mpsc::Receiver<String>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(Bytes::from(event)))))
    }
}

fn event(fields: &str) -> String {
    format!(
        "data: {{\"id\":\"stand-in\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"stand-in\",{fields}}}\n\n"
    )
}

fn delta(delta: &str, finish: &str) -> String {
    event(&format!("\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]"))
}

fn whole(usage: &str) -> String {
    format!(
        "{{\"id\":\"stand-in\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"stand-in\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"I am a stand-in, \
         not a model.\"}},\"finish_reason\":\"stop\"}}],\"usage\":{usage}}}"
    )
}

fn json(status: StatusCode, body: String) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(BoxBody::new(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
