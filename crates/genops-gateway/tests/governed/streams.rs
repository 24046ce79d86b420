//! Streams through the gateway: recorded ones of many servers, callers who hang up, providers that break off,
//! readers who are slow.

use genops_gateway::stand_in::StandIn;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genops::Governor;
use genops::report::AwuReport;
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::house::House;

const ASKED: &str = r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
const NOT_ASKED: &str =
    r#"{"model":"small","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// A stream that some server sent, and what is to be read from it.
#[derive(Deserialize)]
struct Recorded {
    file: String,
    choices: u64,
    usage: Option<Usage>,
    done: bool,
    error: bool,
}

#[derive(Deserialize)]
struct Usage {
    input: u64,
    output: u64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streams")
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_slice(&std::fs::read(folder().join("streams.json")).unwrap()).unwrap()
}

fn bytes_of(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap()
}

/// The stream's events, each with its empty line.
fn events(stream: &[u8]) -> Vec<&[u8]> {
    let mut events = Vec::new();
    let mut rest = stream;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\n\n") {
        let (event, after) = rest.split_at(at + 2);
        events.push(event);
        rest = after;
    }
    if !rest.is_empty() {
        events.push(rest);
    }
    events
}

/// What the upstream does with one call.
#[derive(Clone)]
struct Script {
    /// Sent one after the other, each as a chunk of its own.
    chunks: Vec<Vec<u8>>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Ends the answer as HTTP wants it.
    End,
    /// Closes the connection in the middle.
    BreakOff,
    /// Sends nothing more, and waits until the gateway hangs up.
    Wait,
}

/// An upstream that follows a script, and tells when the gateway has hung up on it.
struct Upstream {
    port: u16,
    hung_up: mpsc::UnboundedReceiver<()>,
    written: Arc<AtomicU64>,
}

impl Upstream {
    async fn with(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, hung_up) = mpsc::unbounded_channel();
        let written = Arc::new(AtomicU64::new(0));
        let of_task = Arc::clone(&written);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, tell, written) = (script.clone(), tell.clone(), Arc::clone(&of_task));
                tokio::spawn(async move {
                    if script.play(stream, &written).await.is_none() {
                        tell.send(()).unwrap();
                    }
                });
            }
        });
        Self { port, hung_up, written }
    }

    async fn house(&self, more: &str) -> House {
        House::at(self.port, Arc::default(), more).await
    }
}

impl Script {
    /// `None` where the gateway hung up.
    async fn play(self, mut stream: TcpStream, written: &AtomicU64) -> Option<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
            request.extend_from_slice(&part[..length]);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok()?;
        for chunk in &self.chunks {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.ok()?;
            stream.write_all(chunk).await.ok()?;
            stream.write_all(b"\r\n").await.ok()?;
            written.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        match self.then {
            Then::End => stream.write_all(b"0\r\n\r\n").await.ok(),
            Then::BreakOff => Some(()),
            Then::Wait => {
                let read = stream.read(&mut [0; 1]).await;
                read.is_ok_and(|length| length > 0).then_some(())
            }
        }
    }
}

/// The last AWU of a house, once it has ended.
async fn last_ended(governor: &Governor) -> AwuReport {
    let mut durable = governor.durable();
    loop {
        let page = governor.awus(&genops::ledger::views::Filter::default(), 1).unwrap();
        match page.awus.into_iter().next() {
            Some(awu) if awu.ended_at.is_some() => return awu,
            _ => durable.changed().await.unwrap(),
        }
    }
}

async fn nothing_is_outstanding(house: &House) {
    for budget in house.budgets().await {
        assert_eq!(budget.outstanding, "0", "{budget:?}");
    }
}

/// A caller who hangs up once these events have come, from a provider that then hears it: the house, and the
/// AWU as it ended.
async fn hung_up_after(events: &[&[u8]]) -> (House, AwuReport) {
    let chunks = events.iter().map(|event| event.to_vec()).collect();
    let mut upstream = Upstream::with(Script { chunks, then: Then::Wait }).await;
    let house = upstream.house("").await;
    let mut body = house.open(ASKED).await.into_body();
    let mut heard = 0;
    while heard < events.concat().len() {
        heard += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    drop(body);
    upstream.hung_up.recv().await.unwrap();
    let awu = last_ended(&house.governor).await;
    (house, awu)
}

/// Whether the last event is a usage report alone, which is left out for those who did not ask.
fn is_report(event: &[u8]) -> bool {
    let text = String::from_utf8_lossy(event);
    let Some(data) = text.lines().find_map(|line| line.strip_prefix("data:")) else { return false };
    let Ok(json) = serde_json::from_str::<serde_json::Value>(data) else { return false };
    json["choices"].as_array().is_some_and(Vec::is_empty) && json["usage"].is_object()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_stream_is_passed_on_byte_for_byte_and_settled_by_its_report() {
    let all = recorded();
    assert!(all.len() > 40);
    for (number, recorded) in all.iter().enumerate() {
        let stream = bytes_of(&recorded.file);
        // Pieces of every size, which split lines, characters and line ends.
        let chunks: Vec<_> = stream.chunks(1 + number * 7 % 97).map(<[u8]>::to_vec).collect();
        let upstream = Upstream::with(Script { chunks, then: Then::End }).await;
        let house = upstream.house("").await;
        let choices = format!(r#"{{"n":{},"#, recorded.choices);
        let asked = house.chat(&ASKED.replacen('{', &choices, 1)).await;
        assert_eq!(asked.body, stream, "{}", recorded.file);
        let not_asked = house.chat(&NOT_ASKED.replacen('{', &choices, 1)).await;
        if recorded.file.contains("crlf") {
            assert_eq!(not_asked.body, stream, "{}", recorded.file);
        } else {
            let without: Vec<_> = events(&stream).into_iter().filter(|event| !is_report(event)).collect();
            assert_eq!(not_asked.body, without.concat(), "{}", recorded.file);
        }
        for answer in [asked, not_asked] {
            let awu = house.ended(&answer).await;
            let tokens = awu.tokens.as_ref().map(|tokens| (tokens.input, tokens.output));
            let expected = recorded.usage.as_ref().map(|usage| (usage.input, usage.output));
            assert_eq!(tokens, expected, "{}", recorded.file);
            assert_eq!(awu.incomplete, expected.is_none(), "{}", recorded.file);
            if recorded.error {
                assert_eq!(awu.end.as_deref(), Some("provider_error"), "{}", recorded.file);
            } else if recorded.done {
                assert_eq!(awu.end, None, "{}", recorded.file);
            }
        }
        nothing_is_outstanding(&house).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_after_any_event_hangs_up_on_the_provider_and_is_charged_the_reservation() {
    let stream = bytes_of("llamacpp-usage.sse");
    let all = events(&stream);
    // Before the first byte, and after each event but those that tell the usage and the end.
    for heard in 0..all.len() - 2 {
        let (house, awu) = hung_up_after(&all[..heard]).await;
        assert_eq!((awu.end.as_deref(), awu.incomplete), (Some("cancelled"), true), "after {heard} events");
        assert_eq!(awu.actual, awu.reserved, "after {heard} events");
        nothing_is_outstanding(&house).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_has_heard_the_report_is_charged_by_it_whenever_they_hang_up() {
    let stream = bytes_of("llamacpp-usage.sse");
    let all = events(&stream);
    for (heard, end) in [(all.len() - 1, Some("cancelled")), (all.len(), None)] {
        let (_house, awu) = hung_up_after(&all[..heard]).await;
        assert_eq!((awu.end.as_deref(), awu.incomplete), (end, false), "{heard}");
        assert_eq!(awu.tokens.map(|tokens| (tokens.input, tokens.output)), Some((30, 24)), "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_while_the_provider_thinks_hangs_up_on_the_provider() {
    // It reads the request and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::at(listener.local_addr().unwrap().port(), Arc::default(), "").await;
    let mut body = String::new();
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut part = [0; 4096];
        while !body.ends_with('}') {
            let length = stream.read(&mut part).await.unwrap();
            body.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        stream
    };
    let mut upstream = tokio::select! {
        _ = house.chat(ASKED) => panic!("nobody answered"),
        stream = accepted => stream,
    };
    assert_eq!(upstream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the gateway hangs up");
    let awu = last_ended(&house.governor).await;
    assert_eq!((awu.end.as_deref(), awu.incomplete), (Some("cancelled"), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_breaks_off_anywhere_breaks_the_answer_off_and_the_call_is_settled() {
    let stream = bytes_of("llamacpp-usage.sse");
    let report_ends = stream.len() - events(&stream).last().unwrap().len();
    // At the ends of events, and in the middle of them.
    let mut cuts: Vec<_> = (0..stream.len()).step_by(331).collect();
    let mut end = 0;
    for event in events(&stream) {
        end += event.len();
        cuts.push(end);
    }
    for cut in cuts {
        for then in [Then::BreakOff, Then::Wait] {
            // The gap that is waited for is a second, with one model: one of them is enough.
            if then == Then::Wait && cut != 331 {
                continue;
            }
            let model = if then == Then::Wait { "hasty" } else { "small" };
            let upstream = Upstream::with(Script { chunks: vec![stream[..cut].to_vec()], then }).await;
            if cut == 0 {
                continue;
            }
            let house = upstream.house("").await;
            let mut body = house.open(&ASKED.replace("small", model)).await.into_body();
            let mut heard = Vec::new();
            let broken = loop {
                match body.frame().await {
                    Some(Ok(frame)) => heard.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert_eq!((heard.len(), broken), (cut, true), "cut at {cut}");
            let awu = last_ended(&house.governor).await;
            assert_eq!(awu.end.as_deref(), Some("provider_error"), "cut at {cut}");
            assert_eq!(awu.incomplete, cut < report_ends, "cut at {cut}");
            if awu.incomplete {
                assert_eq!(awu.actual, awu.reserved, "cut at {cut}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_ask_for_usage_gets_what_was_held_back_before_the_answer_breaks_off() {
    let begun = b"data: {\"choices\":[{\"delta\":{\"content\":\"half an ev".to_vec();
    let upstream = Upstream::with(Script { chunks: vec![begun.clone()], then: Then::BreakOff }).await;
    let house = upstream.house("").await;
    let mut body = house.open(NOT_ASKED).await.into_body();
    let mut heard = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        heard.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(heard, begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_choices_report_among_several_is_not_the_last_word() {
    let stream = bytes_of("llamacpp-n2.sse");
    let first = events(&stream).iter().position(|event| is_report(event)).unwrap();
    let chunks = events(&stream)[..=first].iter().map(|event| event.to_vec()).collect();
    let upstream = Upstream::with(Script { chunks, then: Then::BreakOff }).await;
    let house = upstream.house("").await;
    let mut body = house.open(&ASKED.replacen('{', r#"{"n":2,"#, 1)).await.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let awu = last_ended(&house.governor).await;
    assert_eq!((awu.incomplete, awu.actual), (true, awu.reserved));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_says_why_it_ended_is_whole_without_any_other_end() {
    let stream = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
                  data: {\"model\":\"m\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let upstream = Upstream::with(Script { chunks: vec![stream.into()], then: Then::End }).await;
    let house = upstream.house("").await;
    let answer = house.chat(ASKED).await;
    let awu = house.ended(&answer).await;
    assert_eq!((awu.end, awu.incomplete), (None, true), "it told no usage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_caller_goes_before_the_provider_is_connected_costs_nothing() {
    // Nobody accepts: once its queue is full, the system answers no connection any more.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(stream);
    }
    let house = House::at(address.port(), Arc::default(), "").await;
    let admitted = async {
        while house.governor.awus(&genops::ledger::views::Filter::default(), 1).unwrap().awus.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = house.chat(ASKED) => panic!("nobody answered"),
        () = admitted => {}
    }
    let awu = last_ended(&house.governor).await;
    assert_eq!((awu.actual.as_deref(), awu.end.as_deref()), (Some("0"), Some("never_sent")));
    assert!(!awu.incomplete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_charged_where_the_provider_is_configured_so() {
    let stream = bytes_of("llamacpp-no-usage.sse");
    let text: usize = events(&stream)
        .iter()
        .filter_map(|event| serde_json::from_slice::<serde_json::Value>(event.strip_prefix(b"data: ")?).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .map(|content| serde_json::to_string(&content).unwrap().len() - 2)
        .sum();
    let upstream = Upstream::with(Script { chunks: vec![stream], then: Then::End }).await;
    let other = "other_models: {provider: counting, max_output_tokens: 1000, price: {input: 1, output: 2}}";
    let house = upstream.house(other).await;
    let body = NOT_ASKED.replace("small", "other");
    let answer = house.chat(&body).await;
    let awu = house.ended(&answer).await;
    let atoms = body.len() + 2 * text;
    assert_eq!(awu.actual.as_deref(), Some(&*format!("0.{atoms:06}").trim_end_matches('0').to_owned()));
    assert!(awu.incomplete, "it was not reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_provider_and_fills_no_memory() {
    // 64 MiB in events of 64 KiB.
    let event = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(64 << 10)).into_bytes();
    let total = (event.len() * 1_024) as u64;
    let upstream = Upstream::with(Script { chunks: vec![event; 1_024], then: Then::End }).await;
    let house = upstream.house("").await;
    let mut body = house.open(NOT_ASKED).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
    // Until the provider can write no more: what it has written is the same for two seconds.
    let (mut before, mut looks) = (0, 0);
    while looks < 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = upstream.written.load(Ordering::Relaxed);
        looks = if now == before && now > 0 { looks + 1 } else { 0 };
        before = now;
    }
    assert!(before < total / 4, "{before} bytes lie between the provider and a reader who does not read");
    let mut heard = first;
    while let Some(frame) = body.frame().await {
        heard += frame.unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(heard, total);
    assert_eq!(last_ended(&house.governor).await.end.as_deref(), Some("provider_error"), "it told no end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_lets_streams_end_and_cuts_off_and_settles_those_that_do_not() {
    let stream = bytes_of("llamacpp-usage.sse");
    let first = events(&stream)[0].to_vec();
    let pieces: Vec<_> = events(&stream).iter().map(|event| event.to_vec()).collect();
    for (script, seconds, end, incomplete) in [
        (Script { chunks: vec![first], then: Then::Wait }, 0, Some("cancelled"), true),
        (Script { chunks: pieces, then: Then::End }, 30, None, false),
    ] {
        let upstream = Upstream::with(script).await;
        let house = upstream.house(&format!("limits: {{drain_seconds: {seconds}}}")).await;
        let mut body = house.open(ASKED).await.into_body();
        body.frame().await.unwrap().unwrap();
        let governor = house.governor.clone();
        let reader = tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        let folder = house.stop().await;
        reader.await.unwrap();
        let awu = last_ended(&governor).await;
        assert_eq!((awu.end.as_deref(), awu.incomplete), (end, incomplete));
        governor.close().await.unwrap();
        drop(folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_reaches_what_was_expected_of_it_is_ended_in_the_protocols_own_way() {
    let house = House::with(StandIn::default(), "").await;
    let chatty = |limit: u64| {
        let messages = r#"[{"role":"user","content":"hi"}]"#;
        format!(r#"{{"model":"chatty","max_tokens":{limit},"messages":{messages},"stream":true}}"#)
    };
    // Five tokens are reserved for a limit of a hundred; the stand-in writes twenty words.
    let ended = house.chat(&chatty(100)).await;
    let text = String::from_utf8(ended.body.to_vec()).unwrap();
    let events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.last(), Some(&"data: [DONE]"), "{text}");
    let event =
        |at: usize| -> Value { serde_json::from_str(events[at].strip_prefix("data: ").unwrap()).unwrap() };
    let (finish, first) = (event(events.len() - 2), event(0));
    assert_eq!(finish["choices"][0]["finish_reason"], "length", "{text}");
    for same in ["id", "created", "model"] {
        assert_eq!(finish[same], first[same], "{same}");
    }
    assert!(events.len() < 15, "it ended early: {text}");
    let awu = house.ended(&ended).await;
    assert_eq!((awu.end.as_deref(), awu.bound.output, awu.incomplete), (Some("at_reservation"), 5, true));
    assert_eq!(awu.actual, awu.reserved, "what is not reported is charged its reservation");
    // A limit that is not more than what is expected is the provider's to keep.
    let whole = house.chat(&chatty(4)).await;
    let awu = house.ended(&whole).await;
    assert_eq!((awu.end, awu.bound.output), (None, 4));
    house.close().await;
}
