//! `genops telemetry`: what is shown of a ledger and of a server, and how what was rejected is sent again.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::convert::Infallible;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use genops::telemetry::TelemetryReport;
use genops::{Governor, Settings};
use genops_gateway::identity::hash;
use genops_gateway::stand_in::StandIn;
use genops_gateway::{Config, Gateway};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const KEY: &str = "gk-of-the-test";

/// Far longer than anything takes that will come at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector that answers with a status; gives its port.
async fn collector(status: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let status = Arc::clone(&status);
            let service = service_fn(move |request: Request<Incoming>| {
                let status = status.load(Ordering::Relaxed);
                async move {
                    drop(request.into_body().collect().await);
                    let answer = Response::builder().status(status).body(Full::<Bytes>::default());
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn config(place: &Path, collector: u16) -> Config {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let model = listener.local_addr().unwrap();
    tokio::spawn(StandIn::default().serve(listener));
    let sha256: String = hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "
ledger: '{}/genops.db'
telemetry: {{otlp: [{{endpoint: 'http://127.0.0.1:{collector}'}}]}}
providers: [{{name: stand-in, base_url: 'http://{model}/v1'}}]
models: [{{name: small, provider: stand-in, max_output_tokens: 10, price: {{input: 1, output: 2}}}}]
keys:
  - {{name: test, sha256: {sha256}, team: a, project: b, environment: c, roles: [read, administer]}}
",
        place.display()
    );
    Config::read("test", &text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

async fn open(config: &Config) -> Governor {
    let settings = Settings {
        destinations: config.destinations.clone(),
        ..Settings::at(config.ledger.clone(), config.policy.clone())
    };
    Governor::open(settings).await.unwrap().0
}

/// Runs the program; it may talk to this process meanwhile.
async fn genops(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genops"));
    command.args(arguments).env("GENOPS_KEY", KEY);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn status(of: &[&str; 2]) -> TelemetryReport {
    let output = genops(&["telemetry", "status", of[0], of[1], "--format", "json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many records are dead.
fn dead(report: &TelemetryReport) -> u64 {
    report.followers.iter().flat_map(|follower| &follower.dead_letters).map(|letter| letter.records).sum()
}

/// Waits until so many records are dead, and nothing waits.
async fn until_dead(governor: &Governor, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = governor.telemetry().unwrap();
        if dead(&report) == count && report.followers.iter().all(|follower| follower.waiting == 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{report:?}");
        tokio::task::yield_now().await;
    }
}

/// A server over the governor: where it is, what stops it, and its end.
async fn serve(governor: &Governor, config: &Config) -> (String, oneshot::Sender<()>, JoinHandle<()>) {
    let gateway = Gateway::new(governor.clone(), config.clone()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move { gateway.serve(listener, async { drop(stopped.await) }).await });
    (url, stop, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rejected_is_shown_and_sent_again_by_a_server_and_after_it() {
    let place = tempfile::tempdir().unwrap();
    let answers = Arc::new(AtomicU16::new(400));
    let config = config(place.path(), collector(Arc::clone(&answers)).await).await;
    let governor = open(&config).await;
    let (url, stop, serving) = serve(&governor, &config).await;
    call(&url).await;
    // Three log records and two spans.
    until_dead(&governor, 3 + 2).await;

    let path = place.path().join("genops.db");
    let file = ["--ledger", path.to_str().unwrap()];
    let server = ["--server", url.as_str()];
    assert_eq!(status(&server).await.followers.len(), 2);
    assert_eq!((dead(&status(&server).await), dead(&status(&file).await)), (5, 5));
    let shown = genops(&["telemetry", "status", server[0], server[1]]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("400 Bad Request") && shown.contains("DEAD LETTER OF"), "{shown}");

    for (arguments, code, said) in [
        (vec!["telemetry", "resend", file[0], file[1]], 2, "<--follower <NAME>|--all>"),
        (vec!["telemetry", "resend", "--all", file[0], file[1]], 1, "a server holds the ledger"),
    ] {
        let output = genops(&arguments).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && error.contains(said), "{error}");
    }

    // By the server: the log records are taken now.
    answers.store(200, Ordering::Relaxed);
    let name = status(&server).await.followers.remove(0).name;
    assert!(name.ends_with(" logs"), "{name}");
    let output = genops(&["telemetry", "resend", "--follower", &name, server[0], server[1]]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until_dead(&governor, 2).await;
    stop.send(()).unwrap();
    serving.await.unwrap();
    governor.close().await.unwrap();

    // In the file: the others are taken by the next server.
    let output = genops(&["telemetry", "resend", "--all", file[0], file[1]]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(", records: 2;") && told.contains("when a server opens"), "{told}");
    let governor = open(&config).await;
    until_dead(&governor, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_nothing_is_sent_to_any_more_keeps_entries_until_it_is_let_go_of() {
    let place = tempfile::tempdir().unwrap();
    let config = config(place.path(), collector(Arc::new(AtomicU16::new(400))).await).await;
    let path = place.path().join("genops.db");
    let governor = open(&config).await;
    let (url, stop, serving) = serve(&governor, &config).await;
    call(&url).await;
    until_dead(&governor, 3 + 2).await;
    let names: Vec<_> =
        governor.telemetry().unwrap().followers.into_iter().map(|follower| follower.name).collect();
    let file = path.to_str().unwrap();
    let to = place.path().join("a.jsonl");
    let archive = ["archive", "--ledger", file, "--through", "2", "--to", to.to_str().unwrap()];
    let forget = ["telemetry", "forget", "--ledger", file, "--follower"];
    let said = async |arguments: &[&str], code: i32| {
        let output = genops(arguments).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    };
    let told = said(&[&forget[..], &[&names[0], "--yes"]].concat(), 1).await;
    assert!(told.contains("a server holds the ledger") && told.contains("stop it first"), "{told}");
    stop.send(()).unwrap();
    serving.await.unwrap();
    governor.close().await.unwrap();

    let told = said(&[&forget[..], &["views", "--yes"]].concat(), 1).await;
    assert!(told.contains("there is no follower `views`; there is: ") && told.contains(&names[1]), "{told}");
    for _ in &names {
        let told = said(&archive, 1).await;
        let advice =
            |name: &&String| told.contains(&format!("genops telemetry forget --follower \"{name}\""));
        let name = names.iter().find(advice).unwrap();
        // In one letter or several: as they were gathered.
        let lost = format!(", records: {}", if name.ends_with(" logs") { 3 } else { 2 });
        let told = said(&[&forget[..], &[name]].concat(), 2).await;
        assert!(
            told.contains("would be forgotten") && told.contains("--yes") && told.contains(&lost),
            "{told}"
        );
        let told = said(&[&forget[..], &[name, "--yes"]].concat(), 0).await;
        assert!(told.contains(&format!("`{name}` is forgotten")) && told.contains(&lost), "{told}");
    }
    assert_eq!(status(&["--ledger", file]).await.followers, []);
    let told = said(&[&forget[..], &[&names[0], "--yes"]].concat(), 1).await;
    assert!(told.contains("there is: none"), "{told}");
    said(&archive, 0).await;
}

async fn call(url: &str) {
    let body = r#"{"model":"small","messages":[{"role":"user","content":"hello"}]}"#;
    let request = Request::post(format!("{url}/v1/chat/completions"))
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    assert!(client.request(request).await.unwrap().status().is_success());
}
