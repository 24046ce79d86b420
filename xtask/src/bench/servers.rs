//! The servers of the gateway's benchmark: stand-in model, telemetry sink, nginx and genops, each with its
//! configuration. All stop when this is dropped.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::children::{self, Running};
use crate::key::Key;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// Whom wrk asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The stand-in itself.
    Direct,
    /// nginx with one worker before the stand-in.
    Nginx,
    /// The gateway, governed and durable, before the stand-in.
    Genops,
}

impl Subject {
    /// In the order in which they take turns.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Nginx, Self::Genops];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Genops => "genops",
        }
    }
}

/// How the stand-in streams.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Before each event.
    pub pause_ms: u32,
    /// In each answer, one an event.
    pub words: u32,
}

/// A server and its port. The proxies are stopped before what they need.
pub struct Servers {
    genops: (Running, u16),
    nginx: (Running, u16),
    stand_in: (Running, u16),
    sink: (Running, u16),
    /// What the callers show to the gateway.
    pub secret: String,
}

impl Servers {
    /// Starts all of them, with a new key and a new ledger. `folder` has to be empty.
    pub fn start(target: &Path, folder: &Path, streams: Option<Streams>) -> Result<Self, String> {
        let [model, telemetry, proxy, gateway] = children::free_ports()?;
        let examples = target.join("release").join("examples");
        let start = |name: &str, command: &mut Command, port, path: &str| {
            let mut running = Running::start(name, command, &folder.join(format!("{name}.log")))?;
            running.wait_until_it_answers(port, path, READY_WITHIN)?;
            Ok::<_, String>((running, port))
        };
        let mut command = Command::new(examples.join("stand_in"));
        command.arg(model.to_string());
        if let Some(Streams { pause_ms, words }) = streams {
            command.args(["0", &pause_ms.to_string(), &words.to_string()]);
        }
        let stand_in = start("stand_in", &mut command, model, "/v1/models")?;
        let mut command = Command::new(examples.join("otlp_sink"));
        let sink = start("otlp_sink", command.arg(telemetry.to_string()), telemetry, "/count")?;

        let written = folder.join("nginx.conf");
        children::write(&written, &nginx(folder, proxy, model, streams.is_some()))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&written).arg("-e").arg(folder.join("nginx-error.log"));
        let nginx = start("nginx", &mut command, proxy, "/v1/models")?;

        let key = Key::random()?;
        let written = folder.join("genops.yaml");
        let ports = GatewayPorts { gateway, model, telemetry };
        children::write(&written, &genops(folder, &ports, &key))?;
        let mut command = Command::new(target.join("release").join("genops"));
        command.arg("serve").arg("--config").arg(&written);
        let genops = start("genops", &mut command, gateway, "/readyz")?;
        Ok(Self { genops, nginx, stand_in, sink, secret: key.secret })
    }

    /// The process of a subject, and its port.
    pub fn of(&self, subject: Subject) -> (u32, u16) {
        let (running, port) = match subject {
            Subject::Direct => &self.stand_in,
            Subject::Nginx => &self.nginx,
            Subject::Genops => &self.genops,
        };
        (running.id(), *port)
    }

    pub fn sink_port(&self) -> u16 {
        self.sink.1
    }
}

/// Streams are passed on without buffering, as nginx has to be told.
fn nginx(folder: &Path, port: u16, model: u16, streams: bool) -> String {
    let folder = folder.display();
    let buffering = if streams { "off" } else { "on" };
    format!(
        "# Written by `cargo xtask bench gateway`.
worker_processes 1;
daemon off;
pid '{folder}/nginx.pid';
error_log '{folder}/nginx-error.log';
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    client_body_temp_path '{folder}/nginx-body';
    proxy_temp_path '{folder}/nginx-proxy';
    upstream stand_in {{
        server 127.0.0.1:{model};
        keepalive 128;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://stand_in;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering {buffering};
        }}
    }}
}}
"
    )
}

struct GatewayPorts {
    gateway: u16,
    model: u16,
    telemetry: u16,
}

/// Two budgets that are never used up, so that each call reserves and settles in two cells.
fn genops(folder: &Path, ports: &GatewayPorts, key: &Key) -> String {
    let GatewayPorts { gateway, model, telemetry } = ports;
    let folder = folder.display();
    let sha256 = &key.sha256;
    format!(
        "# Written by `cargo xtask bench gateway`.
listen: 127.0.0.1:{gateway}
ledger: '{folder}/genops.db'
telemetry:
  otlp:
    - endpoint: http://127.0.0.1:{telemetry}
providers:
  - name: stand-in
    base_url: http://127.0.0.1:{model}/v1
    output_limit_field: max_tokens
models:
  - name: stand-in
    provider: stand-in
    max_output_tokens: 256
    price: {{input: 0.15, output: 0.60}}
budgets:
  - {{name: dollars-month, unit: USD, limit: 1000000000, period: month}}
  - {{name: tokens-day, unit: tokens, limit: 1000000000000000, period: day}}
keys:
  - {{name: bench, sha256: {sha256}, team: platform, project: gateway, environment: benchmark}}
"
    )
}
