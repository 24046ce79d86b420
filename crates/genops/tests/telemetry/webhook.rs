//! Alerts arrive at a webhook at least once, whatever it answers and whenever this process ends, and each with one
//! content.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genops::core::budget::Budget;
use genops::core::ledger::{Act, Grant};
use genops::core::policy::Policy;
use genops::core::selector::Facet;
use genops::core::{Amount, Name};
use genops::telemetry::Webhook;
use genops::{Destination, Governor, Settings};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

use super::common::policy;
use super::erased::{erase, work_of};
use super::receiver::{PATIENCE, Running, serve};
use super::resend::until;
use super::work;

/// A receiver that answers the statuses that it was given, and then takes everything.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: Vec<StatusCode>,
    /// Every request, taken or not.
    bodies: Vec<String>,
    /// Every content of an alert that was taken, by its id.
    taken: BTreeMap<String, Vec<Value>>,
    tokens: Vec<String>,
}

impl Hook {
    async fn start(&self) -> u16 {
        self.listen(0).await.0
    }

    async fn listen(&self, port: u16) -> (u16, Running) {
        let hook = self.clone();
        serve(port, move |request| {
            let hook = hook.clone();
            async move { hook.take(request).await }
        })
        .await
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let token = request.headers().get("x-token").map(|token| token.to_str().unwrap().to_owned());
        let body: Value = serde_json::from_slice(&request.collect().await.unwrap().to_bytes()).unwrap();
        let mut state = self.0.lock().unwrap();
        state.bodies.push(body.to_string());
        state.tokens.extend(token);
        let status = if state.answers.is_empty() { StatusCode::OK } else { state.answers.remove(0) };
        if status == StatusCode::OK {
            for alert in body.get("alerts").and_then(Value::as_array).unwrap() {
                let id = alert.get("id").and_then(Value::as_str).unwrap().to_owned();
                state.taken.entry(id).or_default().push(alert.clone());
            }
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    }

    fn answers(&self, answers: &[u16]) {
        self.0.lock().unwrap().answers =
            answers.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect();
    }

    /// Waits until what has come is as it should be.
    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.0.lock().unwrap()) {
            assert!(Instant::now() < deadline, "{:?}", self.0.lock().unwrap().bodies);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The percentages that have arrived, once there are so many.
    async fn percentages(&self, count: usize) -> Vec<u64> {
        self.until(|state| state.taken.len() >= count).await;
        let state = self.0.lock().unwrap();
        let alerts = state.taken.values().flat_map(|contents| contents.first());
        let mut percentages: Vec<_> =
            alerts.map(|alert| alert.get("percent").and_then(Value::as_u64).unwrap()).collect();
        percentages.sort_unstable();
        percentages
    }
}

async fn open(path: &Path, port: u16) -> Governor {
    open_each(path, port, Vec::new()).await
}

/// Calls use 0.0000138 each; two of them reach one percent, four two percent.
async fn open_each(path: &Path, port: u16, each: Vec<Facet>) -> Governor {
    let headers = vec![("x-token".to_owned(), "secret".to_owned())];
    let url = format!("http://127.0.0.1:{port}/services/secret?token=secret").parse().unwrap();
    let webhook = Webhook { headers, ..Webhook::at(url) };
    let budgets = policy("0.002").budgets.into_iter().map(|all| Budget {
        alerts: vec![1, 2, 90],
        each: each.clone(),
        ..all
    });
    let budgets = budgets.collect();
    let policy = Policy { budgets, ..policy("1") };
    let settings =
        Settings { destinations: vec![Destination::Webhook(webhook)], ..Settings::in_file(path, policy) };
    Governor::open(settings).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_threshold_arrives_through_failures_and_restarts_with_one_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genops.db");
    let hook = Hook::default();
    let port = hook.start().await;
    hook.answers(&[503, 500]);
    let governor = open(&path, port).await;
    // 0.0000138 of 0.002 is below one percent, twice that above it.
    work(&governor, 2).await;
    assert_eq!(hook.percentages(1).await, [1]);
    governor.close().await.unwrap();

    hook.answers(&[503]);
    let governor = open(&path, port).await;
    work(&governor, 3).await;
    assert_eq!(hook.percentages(2).await, [1, 2]);
    work(&governor, 3).await;
    let report = governor.telemetry().unwrap();
    governor.close().await.unwrap();
    let state = hook.0.lock().unwrap();
    for contents in state.taken.values() {
        assert!(contents.iter().all(|content| *content == contents[0]), "{contents:?}");
    }
    let alert = state.taken.values().map(|all| &all[0]).find(|alert| alert["percent"] == 1).unwrap();
    assert_eq!(
        (&alert["budget"], &alert["used"], &alert["unit"]),
        (&"all".into(), &"0.0000276".into(), &"USD".into())
    );
    assert_eq!(state.taken.len(), 2, "a threshold fires once for a cell");
    assert!(state.tokens.iter().all(|token| token == "secret") && !state.tokens.is_empty());
    assert!(!format!("{report:?}").contains("secret"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_or_the_end_of_a_grant_reaches_arrives_and_is_of_no_awu() {
    let directory = tempfile::tempdir().unwrap();
    let hook = Hook::default();
    let port = hook.start().await;
    let governor = open(&directory.path().join("genops.db"), port).await;
    let name = |text: &str| Name::new(text).unwrap();
    let act = || Act { author: name("ops"), reason: name("more") };
    let until = governor.now().plus_nanos(3_600_000_000_000);
    let amount = Amount::from_whole(1);
    let grant = Grant { budget: name("all"), each: Box::default(), amount, until, act: act() };
    let granted = governor.grant(grant).await.unwrap().what.number;
    work(&governor, 2).await;
    governor.revoke(granted, act()).await.unwrap();
    assert_eq!(hook.percentages(1).await, [1]);
    let of = |limit| {
        let budgets = policy(limit).budgets.into_iter();
        let budgets = budgets.map(|all| Budget { alerts: vec![1, 2, 90], ..all }).collect();
        Arc::new(Policy { budgets, ..policy("1") })
    };
    governor.adopt(of("0.001")).await.unwrap();
    assert_eq!(hook.percentages(2).await, [1, 2]);
    let state = hook.0.lock().unwrap();
    let mut told: Vec<_> = state.taken.values().flat_map(|all| all.first()).collect();
    told.sort_unstable_by_key(|alert| alert["sequence"].as_u64());
    let told: Vec<_> = told.into_iter().map(|alert| (&alert["awu"], &alert["allocated"])).collect();
    assert_eq!(told, [(&Value::Null, &"0.002".into()), (&Value::Null, &"0.001".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_rejected_is_a_dead_letter_and_is_sent_again_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let hook = Hook::default();
    let port = hook.start().await;
    hook.answers(&[400]);
    let governor = open(&directory.path().join("genops.db"), port).await;
    work(&governor, 2).await;
    until(&governor, |letters| letters.len() == 1).await;
    governor.resend(None).unwrap();
    assert_eq!(hook.percentages(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_waits_says_nobody_who_was_erased_meanwhile() {
    const ACME: &str = "acme-of-springfield";
    let directory = tempfile::tempdir().unwrap();
    let hook = Hook::default();
    let (port, running) = hook.listen(0).await;
    hook.answers(&[503; 1_000]);
    let governor = open_each(&directory.path().join("genops.db"), port, vec![Facet::CustomerId]).await;
    work_of(&governor, ACME).await;
    work_of(&governor, ACME).await;
    hook.until(|state| !state.bodies.is_empty()).await;
    // So what was sent before the erasure is not heard after it.
    running.stop().await;
    let bodies = || hook.0.lock().unwrap().bodies.concat();
    assert!(bodies().contains(ACME), "it was offered while it was known");
    let pseudonym = erase(&governor, ACME).await;
    hook.0.lock().unwrap().bodies.clear();
    hook.answers(&[]);
    let _running = hook.listen(port).await;
    assert_eq!(hook.percentages(1).await, [1]);
    assert!(!bodies().contains(ACME) && bodies().contains(&pseudonym), "{}", bodies());
    assert_eq!(hook.0.lock().unwrap().taken.values().map(Vec::len).sum::<usize>(), 1);
}
