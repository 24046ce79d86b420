//! Changing the configuration of a running `genops serve`, and what `genops config diff` says of a change.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[path = "common/process.rs"]
mod process;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use genops_gateway::identity::hash;
use genops_gateway::stand_in::StandIn;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use process::{PATIENCE, PROGRAM, Process};

const KEY: &str = "gk-of-the-test";

/// A folder with a configuration, as Kubernetes mounts it: the file is a link through a link, which is replaced.
struct Site {
    folder: TempDir,
    upstream: u16,
    written: u32,
}

impl Site {
    async fn new(limit: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let upstream = listener.local_addr().unwrap().port();
        tokio::spawn(StandIn::default().serve(listener));
        let mut site = Self { folder: tempfile::tempdir().unwrap(), upstream, written: 0 };
        std::fs::write(site.path("secret"), "sk-the-first").unwrap();
        symlink("data/genops.yaml", site.path("genops.yaml")).unwrap();
        site.write(&site.text(limit));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, limit: &str) -> String {
        let sha256: String = hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
        let (place, upstream) = (self.folder.path().display(), self.upstream);
        format!(
            "listen: 127.0.0.1:0
ledger: '{place}/genops.db'
telemetry: {{otlp: []}}
providers:
  - {{name: upstream, base_url: 'http://127.0.0.1:{upstream}/v1', api_key: 'file:{place}/secret'}}
models:
  - {{name: small, provider: upstream, max_output_tokens: 100, price: {{input: 1, output: 2}}}}
budgets:
  - {{name: all, unit: USD, limit: {limit}}}
keys:
  - {{name: test, sha256: {sha256}, team: a, project: b, environment: c, roles: [read]}}
"
        )
    }

    /// Puts another version in the place of the one before, at once.
    fn write(&mut self, text: &str) {
        self.put(|path| std::fs::write(path, text).unwrap());
    }

    /// Puts a pipe there, which keeps whoever reads it waiting for what is written; gives its path.
    fn write_for_one_look(&mut self) -> PathBuf {
        self.put(|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()))
    }

    fn put(&mut self, make: impl FnOnce(&Path)) -> PathBuf {
        self.written += 1;
        let version = format!("version-{}", self.written);
        std::fs::create_dir(self.path(&version)).unwrap();
        let path = self.path(&version).join("genops.yaml");
        make(&path);
        symlink(&version, self.path("next")).unwrap();
        std::fs::rename(self.path("next"), self.path("data")).unwrap();
        path
    }
}

/// A running gateway.
struct Gateway {
    process: Process,
    /// How many of its lines were waited for.
    read: usize,
    url: String,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
}

impl Gateway {
    fn start(site: &Site) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(site.path("genops.yaml"));
        let process = Process::start(command);
        let url = process.origin();
        Self { process, read: 0, url, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Waits for a line that holds this; gives it and those before it.
    fn says(&mut self, part: &str) -> (String, Vec<String>) {
        let mut before = tokio::task::block_in_place(|| self.process.says(part, self.read));
        self.read += before.len();
        (before.pop().unwrap(), before)
    }

    async fn ask(&self, request: Request<Full<bytes::Bytes>>) -> (u16, Value) {
        let answer = self.client.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Makes a call: its status, and the policy that decided it.
    async fn call(&self) -> (u16, String) {
        let body = r#"{"model":"small","messages":[{"role":"user","content":"hi"}]}"#;
        let bearer = format!("Bearer {KEY}");
        let request = Request::post(format!("{}/v1/chat/completions", self.url));
        let request = request.header("authorization", &bearer).body(Full::from(body)).unwrap();
        let (status, _) = self.ask(request).await;
        let request = Request::get(format!("{}/genops/v1/awus?limit=1", self.url));
        let request = request.header("authorization", &bearer).body(Full::default()).unwrap();
        let (_, page) = self.ask(request).await;
        (status, page.pointer("/awus/0/policy_version").and_then(Value::as_str).unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_file_takes_effect_while_the_gateway_runs_and_is_said_in_words() {
    let mut site = Site::new("1").await;
    let mut gateway = Gateway::start(&site);
    let (status, first) = gateway.call().await;
    assert_eq!(status, 200);

    let changed = site.text("0").replace("127.0.0.1:0", "127.0.0.1:4");
    site.write(&changed);
    let (said, _) = gateway.says("has changed; policy ");
    let policy = said.split_once("policy ").unwrap().1.to_owned();
    gateway.says("  listen: 127.0.0.1:0 -> 127.0.0.1:4; takes effect at the next start");
    gateway.says("  budget all: limit 1 -> 0 USD: 1 less for all calls");
    let (status, second) = gateway.call().await;
    assert_eq!((status, second.starts_with(&policy), policy.len()), (429, true, 12));
    assert_ne!(first, second);

    site.write(&site.text("1"));
    let (_, before) = gateway.says("  budget all: limit 0 -> 1 USD: 1 more for all calls");
    assert!(before.iter().all(|line| !line.contains("listen")), "it was taken back: {before:?}");
    let (status, third) = gateway.call().await;
    assert_eq!((status, third), (200, first), "the same text is the same policy");
    tokio::task::block_in_place(|| gateway.process.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_reported_once_and_changes_nothing() {
    let mut site = Site::new("0").await;
    let mut gateway = Gateway::start(&site);
    let (_, policy) = gateway.call().await;
    let bad = site.text("100").replace("unit: USD", "unit: EUR");
    for (text, problem) in [
        (Some(bad.as_str()), "genops.yaml:9:23: `unit`: a unit is `USD`"),
        (Some("\n"), "it is empty"),
        (None, "No such file"),
    ] {
        match text {
            Some(text) => site.write(text),
            None => std::fs::remove_file(site.path("data")).unwrap(),
        }
        gateway.says(problem);
        gateway.says("nothing has changed");
        assert_eq!(gateway.call().await, (429, policy.clone()), "{problem}");
    }
    site.write(&bad);
    gateway.says("`unit`: a unit is `USD`");
    gateway.says("nothing has changed");
    // The same is looked at again, and again after whatever was made of that.
    let first = opened(site.write_for_one_look()).await;
    let second = site.write_for_one_look();
    finish(first, bad.clone()).await;
    let second = opened(second).await;
    site.write(&site.text("1"));
    finish(second, bad).await;
    let (_, before) = gateway.says("budget all: limit 0 -> 1 USD");
    assert_eq!(before.len(), 1, "only that it has changed: {before:?}");
    assert_eq!(gateway.call().await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_hangup_the_file_is_read_at_once_and_with_it_the_secrets_that_it_refers_to() {
    let mut site = Site::new("1").await;
    let mut gateway = Gateway::start(&site);
    let (_, policy) = gateway.call().await;
    gateway.process.signal("-HUP");
    let (said, _) = gateway.says("genops.yaml means what it meant; policy ");
    assert!(policy.starts_with(said.rsplit_once(' ').unwrap().1), "{said}");

    std::fs::write(site.path("secret"), "sk-the-second").unwrap();
    gateway.process.signal("-HUP");
    let (_, before) = gateway.says("  provider upstream: the key changed that is sent to it");
    assert!(before.iter().all(|line| !line.contains("sk-the")), "{before:?}");
    assert_eq!(gateway.call().await, (200, policy), "a secret is no part of the policy");

    std::fs::remove_file(site.path("secret")).unwrap();
    gateway.process.signal("-HUP");
    gateway.says("`api_key` cannot be fetched");
    gateway.says("nothing has changed");
    assert_eq!(gateway.call().await.0, 200);

    std::fs::write(site.path("secret"), "sk-the-second").unwrap();
    site.write(&site.text("2"));
    gateway.process.signal("-HUP");
    gateway.says("budget all: limit 1 -> 2 USD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_hangup_too_a_file_that_is_being_written_is_waited_for() {
    let mut site = Site::new("1").await;
    let mut gateway = Gateway::start(&site);
    let whole = site.text("2");
    // The beginning is a configuration as well: one that limits nothing, and lets nobody in.
    let beginning = whole.split_once("budgets:").unwrap().0.to_owned();
    let first = site.write_for_one_look();
    gateway.process.signal("-HUP");
    let first = opened(first).await;
    let second = site.write_for_one_look();
    finish(first, beginning).await;
    let second = opened(second).await;
    site.write(&whole);
    finish(second, whole).await;
    let (_, before) = gateway.says("  budget all: limit 1 -> 2 USD");
    let changes = before.iter().filter(|line| line.contains("has changed"));
    assert_eq!(changes.count(), 1, "the beginning was taken for the whole: {before:#?}");
    assert_eq!(gateway.call().await.0, 200);
}

/// A pipe, once somebody reads it.
async fn opened(pipe: PathBuf) -> File {
    let opening = tokio::task::spawn_blocking(|| File::options().write(true).open(pipe));
    tokio::time::timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap()
}

/// Writes what the reader gets to see.
async fn finish(mut pipe: File, text: String) {
    tokio::task::spawn_blocking(move || pipe.write_all(text.as_bytes())).await.unwrap().unwrap();
}

// === genops config diff ===

fn compared(old: &Path, new: &Path, more: &[&str]) -> Output {
    Command::new(PROGRAM).args(["config", "diff"]).arg(old).arg(new).args(more).output().unwrap()
}

#[test]
fn a_difference_is_told_to_people_and_to_programs_and_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let old = file("old.yaml", "budgets: [{name: all, unit: USD, limit: 250}]");
    let new = file("new.yaml", "listen: 127.0.0.1:1\nbudgets: [{name: all, unit: USD, limit: 300}]");
    let bad = file("bad.yaml", "budgets: [{name: all, unit: EUR, limit: 300}]");
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();

    let output = compared(&old, &old, &[]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), "both mean the same\n"));
    let output = compared(&old, &new, &["--format", "text"]);
    let expected = "listen: 127.0.0.1:4100 -> 127.0.0.1:1; takes effect at the next start\n\
                    budget all: limit 250 -> 300 USD: 50 more for all calls\n";
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(1), expected));

    let output = compared(&old, &new, &["--format", "json"]);
    let told: Value = serde_json::from_str(&said(&output)).unwrap();
    let expected = serde_json::json!({"same": false, "changes": [
        {"section": "listen", "name": null, "change": "127.0.0.1:4100 -> 127.0.0.1:1", "takes_effect": "at_next_start"},
        {"section": "budget", "name": "all", "change": "limit 250 -> 300 USD: 50 more for all calls",
         "takes_effect": "at_once"},
    ]});
    assert_eq!((output.status.code(), told), (Some(1), expected));

    let help = Command::new(PROGRAM).args(["config", "diff", "--help"]).output().unwrap();
    assert!(said(&help).contains("[default: table]"), "the default is one of those that are listed");

    for (old, new) in [(&bad, &new), (&old, &folder.path().join("none.yaml"))] {
        let output = compared(old, new, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}
