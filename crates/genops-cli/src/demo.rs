//! `genops serve --demo`: the whole thing without configuration, key or network.
//!
//! A stand-in for a model answers; it is labelled as such in what is printed and in the telemetry. Two
//! teams have small budgets, and a few calls are made, so that there is something to look at. Everything is
//! kept in a temporary directory, which stays when the demo ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use genops_gateway::stand_in::StandIn;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::output::say;
use crate::{Trouble, client, keys, serve};

/// The keys of the demonstration.
struct DemoKeys {
    search: (String, String),
    support: (String, String),
}

/// Runs the demonstration until it is told to stop.
pub async fn run() -> Result<(), Trouble> {
    let directory =
        tempfile::Builder::new().prefix("genops-demo-").tempdir().map_err(Trouble::failed)?.keep();
    let model = start_stand_in().await?;
    let listener = listen().await?;
    let address = listener.local_addr().map_err(Trouble::failed)?;
    let keys = DemoKeys { search: keys::make(), support: keys::make() };
    let file = write_config(&directory, address, model, &keys)?;
    let config = serve::read(&file)?;
    let (governor, _) =
        serve::open(&config, vec![("genops_runtime.demo".to_owned(), "true".to_owned())]).await?;
    say!("genops {} demonstration on http://{address}", env!("CARGO_PKG_VERSION"));
    say!("  model      a stand-in inside this process, not a model: it answers the same to everything");
    say!("  config     {}", file.display());
    serve::lines_of(&config, governor.now()).iter().for_each(|line| say!("{line}"));
    let serving = tokio::spawn(serve::serve(governor, config, listener, None));
    make_calls(address, &keys).await?;
    say_what_to_try(address, &keys, &directory);
    serving.await.map_err(Trouble::failed)?
}

async fn start_stand_in() -> Result<SocketAddr, Trouble> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Trouble::failed)?;
    let address = listener.local_addr().map_err(Trouble::failed)?;
    tokio::spawn(StandIn { prompt_tokens: None, ..StandIn::default() }.serve(listener));
    Ok(address)
}

/// The usual port, or any other if that is taken.
async fn listen() -> Result<TcpListener, Trouble> {
    match TcpListener::bind(("127.0.0.1", 4100)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await.map_err(Trouble::failed),
    }
}

fn write_config(
    directory: &Path,
    address: SocketAddr,
    model: SocketAddr,
    keys: &DemoKeys,
) -> Result<PathBuf, Trouble> {
    let (search, support) = (&keys.search.1, &keys.support.1);
    let place = directory.display();
    let text = format!(
        "# Written by `genops serve --demo`.
listen: {address}
ledger: '{place}/genops.db'
telemetry:
  directory: '{place}/telemetry'
providers:
  - name: demo-stand-in
    base_url: http://{model}/v1
models:
  - name: small
    provider: demo-stand-in
    max_output_tokens: 256
    price: {{input: 0.15, output: 0.60}}   # US dollars for a million tokens
  - name: large
    provider: demo-stand-in
    max_output_tokens: 256
    price: {{input: 3, output: 15}}
allowed_models:
  - name: search-uses-small
    for: {{team: search}}
    allow: [small]
budgets:
  - name: search-day
    for: {{team: search}}
    unit: USD
    limit: 0.00017
    period: day
  - name: support-month
    for: {{team: support}}
    unit: tokens
    limit: 20000
    period: month
keys:
  - {{name: search-demo, sha256: {search}, team: search, project: ranking, environment: demo, roles: [read]}}
  - {{name: support-demo, sha256: {support}, team: support, project: chat, environment: demo}}
"
    );
    let file = directory.join("genops.yaml");
    std::fs::write(&file, text).map_err(Trouble::failed)?;
    Ok(file)
}

async fn make_calls(address: SocketAddr, keys: &DemoKeys) -> Result<(), Trouble> {
    say!();
    let calls = [
        ("search", &keys.search.0, "small", "fits into the budget"),
        ("support", &keys.support.0, "large", "counts tokens, not dollars"),
        ("search", &keys.search.0, "large", "is not allowed to this team"),
        ("search", &keys.search.0, "small", "could use more than is left"),
    ];
    for (team, key, model, what) in calls {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#);
        let url = format!("http://{address}/v1/chat/completions");
        let (status, body) = client::send(&url, key, Some(body)).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let told = match answer.pointer("/error/code").and_then(Value::as_str) {
            Some(code) => {
                let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
                format!("{code}\n           {message}")
            }
            None => "ALLOWED".to_owned(),
        };
        say!("  {team:<8} a call to `{model}` {what}: {} {told}", status.as_u16());
    }
    Ok(())
}

fn say_what_to_try(address: SocketAddr, keys: &DemoKeys, directory: &Path) {
    let key = &keys.search.0;
    let place = directory.display();
    say!();
    say!("Try it with curl:");
    say!("  curl http://{address}/v1/chat/completions -H 'authorization: Bearer {key}' \\");
    say!("    -H 'content-type: application/json' \\");
    say!(
        "    -d '{{\"model\": \"small\", \"max_tokens\": 20, \"messages\": [{{\"role\": \"user\", \"content\": \"hi\"}}]}}'"
    );
    say!("or with the OpenAI SDK for Python:");
    say!("  client = openai.OpenAI(base_url=\"http://{address}/v1\", api_key=\"{key}\")");
    say!("Then look at what happened:");
    let program = std::env::args().next().unwrap_or_else(|| "genops".to_owned());
    for command in ["budgets", "awus", "verify"] {
        say!("  {program} {command} --ledger {place}/genops.db");
    }
    say!("  less {place}/telemetry/traces.jsonl");
    say!("Stop with Ctrl-C.");
}
