//! Trace context on its way to the provider.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::house::{House, KEY, OPEN_KEY};

const OTHERS: &str = "other_models: {provider: traced, max_output_tokens: 20, price: {input: 1, output: 2}}";
const CALLERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// An upstream that keeps the headers of every call.
async fn upstream() -> (u16, Arc<Mutex<Vec<HeaderMap>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let keep = Arc::clone(&keep);
            let service = service_fn(move |request: Request<Incoming>| {
                keep.lock().unwrap().push(request.headers().clone());
                async move {
                    drop(request.into_body().collect().await);
                    let usage = r#"{"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(usage.as_bytes()))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, seen)
}

/// Trace and span identifier of every exported span of this name.
fn exported(directory: &std::path::Path, name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(directory.join("telemetry").join("traces.jsonl")).unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap() {
            if span["name"] == name {
                let text = |field: &str| span[field].as_str().unwrap().to_owned();
                found.push((text("traceId"), text("spanId")));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_provider_is_told_the_very_span_that_telemetry_exports() {
    let (port, seen) = upstream().await;
    let house = House::at(port, Arc::default(), OTHERS).await;
    let callers = format!("00-{CALLERS_TRACE}-{CALLERS_SPAN}-01");
    for (model, key) in [("other", KEY), ("other", OPEN_KEY), ("small", KEY)] {
        let body = format!(r#"{{"model":"{model}","max_tokens":20,"messages":[]}}"#);
        let headers = [
            ("authorization", &*format!("Bearer {key}")),
            ("x-genops-project", "ranking"),
            ("traceparent", &callers),
            ("tracestate", "vendor=secret"),
        ];
        let answer = house.post(body.into(), &headers).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        house.ended(&answer).await;
    }
    let directory = house.close().await;
    let seen = seen.lock().unwrap();
    let told: Vec<Option<&str>> =
        seen.iter().map(|headers| headers.get("traceparent").map(|value| value.to_str().unwrap())).collect();
    let exported: Vec<Option<String>> = exported(directory.path(), "chat other")
        .iter()
        .map(|(trace, span)| Some(format!("00-{trace}-{span}-01")))
        .chain([None])
        .collect();
    assert_eq!(told, exported.iter().map(Option::as_deref).collect::<Vec<_>>());
    assert!(!told[0].unwrap().contains(CALLERS_TRACE), "an untrusted caller's trace is not joined");
    assert!(told[1].unwrap().contains(CALLERS_TRACE), "a trusted caller's trace is joined");
    assert!(seen.iter().all(|headers| !headers.contains_key("tracestate")));
}
