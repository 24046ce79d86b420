//! A load of streamed calls, for benchmarks: `stream_load PORT CONNECTIONS SECONDS PAUSE_MS`, with the key in
//! `STREAM_LOAD_KEY`. Each connection makes one call after the other and reads each stream to its end.
//!
//! It measures when an answer's first byte and its first event come, how long the words of a stamping
//! stand-in are on their way, and by how much the gaps between events exceed the pause. One thread, one line
//! of numbers at the end; the times in it are nanoseconds. It judges nothing.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::{memchr, memchr_iter, memmem};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The caller does not ask for usage, as most do: a gateway that needs it has to ask, and to leave it out.
const BODY: &str = r#"{"model":"stand-in","stream":true,"max_tokens":64,"temperature":0.2,"messages":[{"role":"system","content":"You answer in one short sentence."},{"role":"user","content":"Which of the two reports should I read first, and what is the shorter one about?"}]}"#;

/// What stands before the time at which a word was sent.
const BEFORE_STAMP: &[u8] = b"\"content\":\"";

/// Room for as many times as a run has, so that none is moved while others are taken.
const ROOM: usize = 1 << 17;

/// What is measured.
#[derive(Clone)]
struct Load {
    port: u16,
    pause: Duration,
    deadline: Instant,
    key: String,
}

/// What one connection has measured.
#[derive(Default)]
struct Measured {
    streams: u64,
    events: u64,
    refused: u64,
    broken: u64,
    first_byte: Vec<u64>,
    first_event: Vec<u64>,
    delay: Vec<u64>,
    gap: Vec<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        || arguments.next().ok_or("a number is missing")?.parse::<u32>().map_err(Box::<dyn Error>::from);
    let port = u16::try_from(number()?)?;
    let connections = number()?;
    let seconds = number()?;
    let pause = Duration::from_millis(number()?.into());
    let started = Instant::now();
    let deadline = started + Duration::from_secs(seconds.into());
    let load = Load { port, pause, deadline, key: std::env::var("STREAM_LOAD_KEY").unwrap_or_default() };
    let mut running: JoinSet<_> = (0..connections).map(|_| connection(load.clone())).collect();
    let mut all = Measured::default();
    while let Some(measured) = running.join_next().await {
        all.add(measured?);
    }
    let took = started.elapsed();
    println!("{}", all.told(took));
    Ok(())
}

/// Makes calls until the deadline; what has begun is read to its end. Who cannot connect gives up.
async fn connection(load: Load) -> Measured {
    let mut measured =
        Measured { delay: Vec::with_capacity(ROOM), gap: Vec::with_capacity(ROOM), ..Measured::default() };
    let mut open = None;
    while Instant::now() < load.deadline {
        // A server may end a connection between two calls.
        let ready = match open.take() {
            Some(sender) => still_open(sender).await,
            None => None,
        };
        let mut sender = match ready {
            Some(sender) => sender,
            None => match connect(load.port).await {
                Ok(sender) => sender,
                Err(_) => {
                    measured.broken += 1;
                    break;
                }
            },
        };
        match call(&load, &mut sender, &mut measured).await {
            Ok(()) => open = Some(sender),
            Err(_) => measured.broken += 1,
        }
    }
    measured
}

async fn still_open(mut sender: SendRequest<Full<Bytes>>) -> Option<SendRequest<Full<Bytes>>> {
    sender.ready().await.ok().map(|()| sender)
}

async fn connect(port: u16) -> Result<SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.ready().await?;
    Ok(sender)
}

async fn call(
    load: &Load,
    sender: &mut SendRequest<Full<Bytes>>,
    measured: &mut Measured,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", load.key))
        .body(Full::from(BODY))?;
    let sent = Instant::now();
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let first_byte = sent.elapsed();
    if head.status != StatusCode::OK {
        measured.refused += 1;
        body.collect().await?;
        return Ok(());
    }
    if read(load, &mut body, sent, measured).await? == 0 {
        return Err("a stream without events".into());
    }
    measured.streams += 1;
    measured.first_byte.push(nanoseconds(first_byte));
    Ok(())
}

/// Reads a stream, and gives how many events it had. A stream that is cut off is an error of the body.
async fn read(
    load: &Load,
    body: &mut Incoming,
    sent: Instant,
    measured: &mut Measured,
) -> Result<u64, hyper::Error> {
    let mut last_event = None;
    let mut after_line_end = false;
    let mut events = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let (now, wall) = (Instant::now(), wall());
        measured.delay.extend(stamps(&data).map(|stamp| wall.saturating_sub(stamp)));
        for _ in 0..events_ended(&data, &mut after_line_end) {
            events += 1;
            match last_event.replace(now) {
                None => measured.first_event.push(nanoseconds(now - sent)),
                Some(last) => measured.gap.push(nanoseconds((now - last).saturating_sub(load.pause))),
            }
        }
    }
    measured.events += events;
    Ok(events)
}

/// How many events end in a piece. An end may be cut in two.
fn events_ended(data: &[u8], after_line_end: &mut bool) -> usize {
    let ends = memchr_iter(b'\n', data).filter(|at| match at.checked_sub(1) {
        Some(before) => data.get(before) == Some(&b'\n'),
        None => *after_line_end,
    });
    let count = ends.count();
    *after_line_end = data.last().map_or(*after_line_end, |last| *last == b'\n');
    count
}

/// The times at which the words of a piece were sent; a time that is cut in two is left out.
fn stamps(data: &[u8]) -> impl Iterator<Item = u64> {
    memmem::find_iter(data, BEFORE_STAMP).filter_map(|at| {
        let rest = data.get(at + BEFORE_STAMP.len()..)?;
        let digits = rest.get(..memchr(b'"', rest)?)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

impl Measured {
    fn add(&mut self, other: Self) {
        let Self { streams, events, refused, broken, first_byte, first_event, delay, gap } = other;
        self.streams += streams;
        self.events += events;
        self.refused += refused;
        self.broken += broken;
        self.first_byte.extend(first_byte);
        self.first_event.extend(first_event);
        self.delay.extend(delay);
        self.gap.extend(gap);
    }

    fn told(mut self, took: Duration) -> String {
        let Self { streams, events, refused, broken, .. } = self;
        let took = nanoseconds(took);
        let mut told = format!("measured {streams} {events} {refused} {broken} {took}");
        for times in [&mut self.first_byte, &mut self.first_event, &mut self.delay, &mut self.gap] {
            times.sort_unstable();
            for percent in [50, 99] {
                // Nothing was measured: a zero, beside a number of streams that is zero as well.
                let time = times.get(times.len().saturating_sub(1) * percent / 100).unwrap_or(&0);
                told.push_str(&format!(" {time}"));
            }
        }
        told
    }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanoseconds)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
