//! The acceptance run: the released program between the official clients and a real model, judged from
//! outside by what the clients saw, what arrived as telemetry, and what the ledger says afterwards.
//!
//! The judging is done by the programs in `xtask/acceptance`, which share no code with the product. This
//! starts and stops what they need; the packages of `requirements.txt` and `package.json` come from the
//! network once. Where there is no Node.js, its client is left out, and the run says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::children::{self, Running};
use crate::key::Key;

const MODEL: &str = "gemma-3-270m";
const DENIED_MODEL: &str = "denied-model";
const CALLS: &str = "30";

/// US dollars for a million tokens.
const INPUT_PRICE: &str = "0.15";
const OUTPUT_PRICE: &str = "0.60";

const NODE_PROGRAMS: [&str; 2] = ["node", "npm"];
const NODE_FILES: [&str; 3] = ["package.json", "package-lock.json", "client.mjs"];
const NO_NODE: &str =
    "its client was not run, as there are no `node` and `npm` here: apt-get install -y nodejs npm";

/// The weights are put together and loaded first.
const MODEL_WITHIN: Duration = Duration::from_secs(120);
const GATEWAY_WITHIN: Duration = Duration::from_secs(20);

/// Where things are, and on which ports.
struct Place {
    scripts: PathBuf,
    python: PathBuf,
    /// The client for Node.js with its package; `None` where there is no Node.js.
    node_client: Option<PathBuf>,
    program: PathBuf,
    weights: PathBuf,
    /// Emptied before each run.
    run: PathBuf,
    model: u16,
    gateway: u16,
    telemetry: u16,
}

/// What was looked at, and what was wrong with it.
#[derive(Default)]
struct Findings(Vec<(&'static str, Finding)>);

enum Finding {
    Good(String),
    /// It could not be looked at on this machine.
    Skipped(&'static str),
    Bad(String),
}

pub fn run(root: &Path) -> Result<(), String> {
    let target = children::target_folder(root)?;
    let folder = target.join("acceptance");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    let scripts = root.join("xtask").join("acceptance");
    let python = python_with_packages(&scripts, &folder)?;
    let node_client = node_client_with_package(&scripts.join("node"), &folder.join("node"))?;
    println!("== the program");
    children::run(children::cargo(root).args(["build", "--release"]))?;
    let [model, gateway, telemetry] = children::free_ports()?;
    let place = Place {
        scripts,
        python,
        node_client,
        program: target.join("release").join("genops"),
        weights: folder.join("model"),
        run: folder.join("run"),
        model,
        gateway,
        telemetry,
    };
    children::make_empty(&place.run)?;
    let started = Instant::now();
    let findings = judge(&place)?;
    println!("\n== acceptance, in {:.0} s", started.elapsed().as_secs_f64());
    findings.conclude(&place)
}

// === What is needed ===

/// A virtual environment with the packages; made anew when the requirements have changed.
fn python_with_packages(scripts: &Path, folder: &Path) -> Result<PathBuf, String> {
    let requirements = scripts.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("cannot read `{}`: {error}", requirements.display()))?;
    let environment = folder.join("venv");
    let stamp = environment.join("installed-requirements.txt");
    let python = environment.join("bin").join("python");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("== the Python packages");
    children::make_empty(&environment)?;
    children::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]).arg(&requirements);
    children::run(&mut install)?;
    children::write(&stamp, &wanted)?;
    Ok(python)
}

/// A folder with the client for Node.js and its package; installed anew when the lock file has changed.
fn node_client_with_package(sources: &Path, folder: &Path) -> Result<Option<PathBuf>, String> {
    if !NODE_PROGRAMS.into_iter().all(children::is_installed) {
        println!("== Node.js: {NO_NODE}");
        return Ok(None);
    }
    let cannot = |what: &Path, error| format!("cannot copy `{}`: {error}", what.display());
    let lock = sources.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).map_err(|error| cannot(&lock, error))?;
    let stamp = folder.join("installed-package-lock.json");
    let is_installed = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if !is_installed {
        children::make_empty(folder)?;
    }
    for name in NODE_FILES {
        let source = sources.join(name);
        fs::copy(&source, folder.join(name)).map_err(|error| cannot(&source, error))?;
    }
    if !is_installed {
        println!("== the package for Node.js");
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(folder);
        children::run(&mut install)?;
        children::write(&stamp, &wanted)?;
    }
    Ok(Some(folder.join("client.mjs")))
}

fn configuration(place: &Place, key: &Key) -> String {
    let Place { model, gateway, telemetry, .. } = place;
    let ledger = place.ledger();
    let ledger = ledger.display();
    let sha256 = &key.sha256;
    format!(
        "# Written by `cargo xtask acceptance`.
listen: 127.0.0.1:{gateway}
ledger: '{ledger}'
telemetry:
  otlp:
    - endpoint: http://127.0.0.1:{telemetry}
providers:
  - name: local-model
    base_url: http://127.0.0.1:{model}/v1
    output_limit_field: max_tokens
models:
  - name: {MODEL}
    provider: local-model
    max_output_tokens: 64
    price: {{input: {INPUT_PRICE}, output: {OUTPUT_PRICE}}}
  - name: {DENIED_MODEL}
    provider: local-model
    max_output_tokens: 64
    price: {{input: {INPUT_PRICE}, output: {OUTPUT_PRICE}}}
allowed_models:
  - name: only-the-small-model
    allow: [{MODEL}]
budgets:
  - name: everybody-day
    unit: USD
    limit: 5
    period: day
keys:
  - {{name: acceptance, sha256: {sha256}, team: quality, project: acceptance, environment: test, roles: [read]}}
"
    )
}

// === The run ===

/// Runs everything. An error means that it could not be carried through; what is wrong with the product is
/// a finding.
fn judge(place: &Place) -> Result<Findings, String> {
    println!("== the model");
    let mut model = Command::new(&place.python);
    model.arg(place.scripts.join("model.py")).arg("--port").arg(place.model.to_string());
    model.arg("--home").arg(&place.weights);
    let mut model = Running::start("the model", &mut model, &place.run.join("model.log"))?;
    model.wait_until_it_answers(place.model, "/health", MODEL_WITHIN)?;

    println!("== the gateway");
    let key = Key::random()?;
    let written = place.run.join("genops.yaml");
    children::write(&written, &configuration(place, &key))?;
    let mut gateway = Command::new(&place.program);
    gateway.arg("serve").arg("--config").arg(&written);
    let mut gateway = Running::start("genops", &mut gateway, &place.run.join("genops.log"))?;
    gateway.wait_until_it_answers(place.gateway, "/readyz", GATEWAY_WITHIN)?;

    let mut findings = Findings::default();
    println!("== the calls");
    findings.add("calls and telemetry", drive(place, &key));
    if place.node_client.is_none() {
        findings.0.push(("Node.js", Finding::Skipped(NO_NODE)));
    }
    println!("\n== the books");
    findings.add("books", compare_books(place, &key));
    findings.add("end", stop(gateway));
    findings.add("ledger", verify(place));
    Ok(findings)
}

/// The official clients make calls, and what arrives as telemetry is judged.
fn drive(place: &Place, key: &Key) -> Result<String, String> {
    let mut drive = Command::new(&place.python);
    drive.arg(place.scripts.join("drive.py"));
    drive.arg("--base-url").arg(format!("http://127.0.0.1:{}/v1", place.gateway));
    drive.args(["--key", &key.secret, "--model", MODEL, "--denied-model", DENIED_MODEL, "--calls", CALLS]);
    drive.arg("--otlp-port").arg(place.telemetry.to_string()).arg("--out").arg(place.summary());
    if let Some(client) = &place.node_client {
        drive.arg("--node-client").arg(client);
    }
    children::run(&mut drive).map_err(|trouble| format!("drive.py has problems, see above: {trouble}"))?;
    Ok("what the clients saw and what arrived as telemetry agree".to_owned())
}

/// The ledger, asked through the running gateway, against what the calls came to.
fn compare_books(place: &Place, key: &Key) -> Result<String, String> {
    let server = format!("http://127.0.0.1:{}", place.gateway);
    let mut ask = Command::new(&place.program);
    ask.args(["awus", "--server", &server, "--format", "json", "--limit", "1000"]);
    let page = children::output(ask.env("GENOPS_KEY", &key.secret))?;
    let awus = place.run.join("awus.json");
    children::write(&awus, &page)?;
    let mut compare = Command::new(&place.python);
    compare.arg(place.scripts.join("books.py")).arg("--awus").arg(&awus);
    compare.arg("--summary").arg(place.summary());
    compare.args(["--input-price", INPUT_PRICE, "--output-price", OUTPUT_PRICE]);
    children::run(&mut compare).map_err(|trouble| format!("books.py has problems, see above: {trouble}"))?;
    Ok("the ledger has the clients' tokens and their exact cost, AWU by AWU, and no AWU was over its bound"
        .to_owned())
}

fn stop(gateway: Running) -> Result<String, String> {
    let status = gateway.stop()?;
    if status.success() {
        Ok("the gateway ends on SIGTERM with success".to_owned())
    } else {
        Err(format!("the gateway ended with {status} on SIGTERM"))
    }
}

fn verify(place: &Place) -> Result<String, String> {
    let mut verify = Command::new(&place.program);
    let told = children::output(verify.arg("verify").arg("--ledger").arg(place.ledger()))?;
    print!("\n{told}");
    Ok("the chain is intact, and every invariant holds after every entry".to_owned())
}

impl Place {
    fn ledger(&self) -> PathBuf {
        self.run.join("genops.db")
    }

    fn summary(&self) -> PathBuf {
        self.run.join("summary.json")
    }
}

impl Findings {
    fn add(&mut self, what: &'static str, finding: Result<String, String>) {
        self.0.push((what, finding.map_or_else(Finding::Bad, Finding::Good)));
    }

    fn conclude(&self, place: &Place) -> Result<(), String> {
        for (what, finding) in &self.0 {
            match finding {
                Finding::Good(good) => println!("  {what:<20} good: {good}"),
                Finding::Skipped(why) => println!("  {what:<20} SKIPPED: {why}"),
                Finding::Bad(trouble) => println!("  {what:<20} BAD: {trouble}"),
            }
        }
        match self.0.iter().filter(|(_, finding)| matches!(finding, Finding::Bad(_))).count() {
            0 => Ok(()),
            bad => Err(format!(
                "{bad} of {} findings are bad; logs and summary are in `{}`",
                self.0.len(),
                place.run.display()
            )),
        }
    }
}
