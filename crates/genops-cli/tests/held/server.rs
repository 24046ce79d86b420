//! The server as a process of its own, over one ledger.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use genops_gateway::identity;
use tempfile::TempDir;

use crate::request::ROUND_LIMIT;

const PROGRAM: &str = env!("CARGO_BIN_EXE_genops");

/// The key that every caller shows.
pub const KEY: &str = "gk-of-the-test";

/// How long anything may take that is waited for. Reached only where something is broken.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What outlives a server: its files.
pub struct Site(TempDir);

impl Site {
    /// Sets a site up.
    pub fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let sha256: String = identity::hash(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
        let config = format!(
            "listen: 127.0.0.1:0
ledger: '{ledger}'
providers:
  - {{name: stand-in, base_url: 'http://127.0.0.1:9/v1'}}
models:
  - {{name: small, provider: stand-in, max_output_tokens: 10000, price: {{input: 1, output: 2}}}}
budgets:
  - {{name: round, each: customer_id, unit: USD, limit: {ROUND_LIMIT}, period: none}}
  - {{name: forbidden, for: {{feature: forbidden}}, unit: USD, limit: 0.001, period: none}}
  - {{name: machines, each: feature, unit: compute_seconds, limit: 1000000000, period: none}}
  - {{name: jobs, unit: requests, limit: 1000000, period: none}}
keys:
  - {{name: test, sha256: {sha256}, team: research, project: held, environment: test, roles: [operate, read]}}
",
            ledger = site.ledger().display(),
        );
        std::fs::write(site.config(), config).unwrap();
        site
    }

    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.0.path().join("genops.db")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("genops.yaml")
    }

    /// Runs a command that looks at the ledger. It must find it well.
    pub fn runs(&self, command: &str) {
        let output = Command::new(PROGRAM).arg(command).arg("--ledger").arg(self.ledger()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// A running server. Dropping it is `kill -9`.
pub struct Server {
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    listens: mpsc::Receiver<String>,
}

impl Server {
    /// Starts the process, and waits for nothing.
    pub fn start(site: &Site) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(site.config());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::<Mutex<Vec<String>>>::default();
        let (tell, listens) = mpsc::channel();
        read_lines(child.stdout.take().unwrap(), &output, move |line| {
            if let Some((_, at)) = line.split_once(" listens on ") {
                // Nobody waits for a server that is killed while it starts.
                let _ = tell.send(at.to_owned());
            }
        });
        read_lines(child.stderr.take().unwrap(), &output, |_| ());
        Self { child, output, listens }
    }

    /// Waits until callers are answered, and says where.
    pub fn origin(&self) -> String {
        let Ok(origin) = self.listens.recv_timeout(PATIENCE) else {
            panic!("the server does not listen:\n{}", self.output());
        };
        origin
    }

    /// Tells the process to stop, and waits until it has: it must end well.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not stop:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "the server ended with {status}:\n{}", self.output());
    }

    fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what a process prints, and shows each line to `look`.
fn read_lines(
    from: impl Read + Send + 'static,
    output: &Arc<Mutex<Vec<String>>>,
    mut look: impl FnMut(&str) + Send + 'static,
) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            look(&line);
            output.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
