//! One of the processes: it uses the keys in its own order, says each step again until it is answered, and prints what it
//! was told, a line an answer. What it is to do it reads from its input; where that ends, nobody wants it any more.

use std::collections::HashSet;

use bytes::Bytes;
use genops::report::{AwuReport, CellReport};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::request::{KEYS, Key};
use crate::site::KEY;

/// What every process is to do now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Order {
    /// The number of the server: another one, once it was killed.
    pub server: u64,
    /// Where it listens.
    pub origin: String,
    /// The round whose keys are used.
    pub round: u64,
    /// No round, and no kill: what has been left of the keys of the rounds before is to be done.
    pub is_last: bool,
}

/// A step of an AWU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Decide and reserve.
    Propose,
    /// The work begins.
    Start,
    /// What it came to, or that it will not begin.
    End,
    /// Another request with the same key.
    Contradict,
}

/// What a process was told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// The key's number.
    pub key: u64,
    /// What it had asked for.
    pub step: Step,
    /// The status.
    pub status: u16,
    /// Whether it was said to be the first answer, or a repetition; nothing is said of what was not done.
    pub repeated: Option<bool>,
    /// How often it had to ask again.
    pub retries: u64,
    /// The AWU, as far as everybody has to be told the same of it.
    pub awu: Option<AwuReport>,
}

/// Does what is ordered until everything is done.
pub fn run(number: u64) {
    // The line that the harness has begun is none of ours.
    println!();
    let (tell, orders) = watch::channel(Order::default());
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            tell.send_replace(serde_json::from_str(&line.unwrap()).unwrap());
        }
        // Whoever gave the orders is gone.
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut caller = Caller { http, orders, rng: StdRng::seed_from_u64(number), done: HashSet::new() };
    // Half of them go through the keys in one order: they are at the same key at the same time.
    runtime.block_on(caller.work(number.is_multiple_of(2)));
}

struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
    orders: watch::Receiver<Order>,
    rng: StdRng,
    done: HashSet<u64>,
}

impl Caller {
    async fn work(&mut self, in_order: bool) {
        self.orders.changed().await.unwrap();
        let (mut round, mut left) = (None, Vec::new());
        loop {
            let order = self.orders.borrow().clone();
            if order.is_last {
                break;
            }
            if round != Some(order.round) || left.is_empty() {
                round = Some(order.round);
                left = (order.round * KEYS..(order.round + 1) * KEYS).rev().collect();
                if !in_order {
                    left.shuffle(&mut self.rng);
                }
            }
            if let Some(key) = left.pop() {
                self.use_key(Key(key)).await;
            }
        }
        let rounds = self.orders.borrow().round;
        let mut left: Vec<u64> = (0..rounds * KEYS).filter(|key| !self.done.contains(key)).collect();
        left.shuffle(&mut self.rng);
        for key in left {
            self.use_key(Key(key)).await;
        }
    }

    /// All the steps of a key.
    async fn use_key(&mut self, key: Key) {
        let proposed = self.say(key, Step::Propose, "/awus", &key.proposal()).await;
        let Some(AwuReport { id, .. }) = proposed.awu.filter(|awu| awu.state != "REFUSED") else {
            self.done.insert(key.0);
            return;
        };
        let ended = match key.settlement() {
            None => self.say(key, Step::End, &format!("/awus/{id}/release"), &json!({})).await,
            Some(settlement) => {
                let started = self.say(key, Step::Start, &format!("/awus/{id}/start"), &json!({})).await;
                let ended = self.say(key, Step::End, &format!("/awus/{id}/settle"), &settlement).await;
                // It cannot begin only where somebody else has ended it.
                assert!(
                    started.status == 200 || ended.repeated == Some(true),
                    "{key:?}: {started:?} {ended:?}"
                );
                ended
            }
        };
        assert_eq!(ended.status, 200, "{key:?}: {ended:?}");
        if key.0.is_multiple_of(4) {
            self.say(key, Step::Contradict, "/awus", &key.other_proposal()).await;
        }
        self.done.insert(key.0);
    }

    /// Says one step until it is answered, and prints the answer.
    async fn say(&mut self, key: Key, step: Step, path: &str, body: &Value) -> Told {
        let mut retries = 0;
        let (status, mut answer) = loop {
            let order = self.orders.borrow().clone();
            match self.post(&order.origin, key, path, body).await {
                // Not even refused: it was not decided.
                Some((StatusCode::SERVICE_UNAVAILABLE, answer)) if answer["awu"].is_null() => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                Some(answered) => break answered,
                None => drop(self.orders.wait_for(|now| now.server != order.server).await.unwrap()),
            }
            retries += 1;
        };
        let is_foreseen = match step {
            Step::Propose => answer["awu"].is_object(),
            Step::Start => matches!(status, StatusCode::OK | StatusCode::CONFLICT),
            Step::End => status == StatusCode::OK,
            Step::Contradict => status == StatusCode::CONFLICT,
        };
        assert!(is_foreseen, "{step:?} of {key:?} was answered {status}: {answer}");
        let mut whole = || serde_json::from_value(answer["awu"].take()).unwrap();
        let awu = match step {
            // Another process may have gone further already.
            Step::Propose => Some(as_decided(whole())),
            Step::Start | Step::Contradict => None,
            Step::End => Some(whole()),
        };
        let told = Told {
            key: key.0,
            step,
            status: status.as_u16(),
            repeated: answer["repeated"].as_bool(),
            retries,
            awu,
        };
        println!("{}", serde_json::to_string(&told).unwrap());
        told
    }

    /// `None` where the connection broke before everything was told.
    async fn post(&self, origin: &str, key: Key, path: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let mut request = Request::post(format!("{origin}/genops/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json");
        if path == "/awus" {
            request = request.header("idempotency-key", key.text());
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let (head, body) = self.http.request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let Ok(answer) = serde_json::from_slice(&body) else {
            panic!("no JSON was answered: {head:?} {body:?}");
        };
        Some((head.status, answer))
    }
}

/// What was decided of an AWU, without what became of it afterwards.
pub fn as_decided(awu: AwuReport) -> AwuReport {
    if awu.state == "REFUSED" {
        return awu;
    }
    AwuReport {
        state: "RESERVED".to_owned(),
        cells: awu.cells.into_iter().map(|cell| CellReport { actual: None, ..cell }).collect(),
        // Those of the end: no rule of the test's gives an admission a warning.
        findings: Vec::new(),
        actual: None,
        incomplete: false,
        tokens: None,
        end: None,
        ended_at: None,
        latency_ms: None,
        ..awu
    }
}
