//! `genops serve` and `genops config check`: from a configuration to a running gateway.

use std::path::Path;
use std::sync::Arc;

use genops::ledger::recover::Recovered;
use genops::telemetry::{Protocol, Signal, Signals};
use genops::{Destination, Governor, LedgerPlace, Settings};
use genops_gateway::{Config, Gateway};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::Trouble;
use crate::output::say;
use crate::watch::Watch;

/// Runs the gateway until it is told to stop. Its configuration is watched.
pub async fn run(path: &Path) -> Result<(), Trouble> {
    let text = text_of(path)?;
    let config = meaning_of(path, &text)?;
    let listener = listen(&config).await?;
    let (governor, recovered) = open(&config, Vec::new()).await?;
    let watch = Watch::new(path, text)?;
    say_what_is_set_up(&config, &listener, &governor, recovered);
    serve(governor, config, listener, Some(watch)).await
}

/// Says whether a configuration is good.
pub fn check(path: &Path) -> Result<(), Trouble> {
    let config = read(path)?;
    say!("{} is good", path.display());
    lines_of(&config, genops::clock::wall()).iter().for_each(|line| say!("{line}"));
    Ok(())
}

/// Reads a configuration file.
pub fn read(path: &Path) -> Result<Config, Trouble> {
    meaning_of(path, &text_of(path)?)
}

fn text_of(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|error| {
        let hint = "; try `genops serve --demo` to see it without a configuration";
        Trouble::unusable(format!("cannot read the configuration `{}`: {error}{hint}", path.display()))
    })
}

/// What the text of a configuration file means, by the environment and the files that it refers to.
pub fn meaning_of(path: &Path, text: &str) -> Result<Config, Trouble> {
    let file = path.display().to_string();
    Config::read(&file, text, &|name| std::env::var(name).ok(), &|path| std::fs::read_to_string(path))
        .map_err(|problems| Trouble::unusable(format!("the configuration cannot be used\n{problems}")))
}

/// Takes the address.
pub async fn listen(config: &Config) -> Result<TcpListener, Trouble> {
    TcpListener::bind(config.listen).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another program listens there: stop it, or set `listen` to another port"
            }
            _ => "",
        };
        Trouble::failed(format!("cannot listen on {}: {error}{hint}", config.listen))
    })
}

/// Opens the ledger and starts telemetry.
pub async fn open(
    config: &Config,
    resource: Vec<(String, String)>,
) -> Result<(Governor, Recovered), Trouble> {
    let settings = Settings {
        destinations: config.destinations.clone(),
        retention: config.retention.clone(),
        resource: config.resource.iter().cloned().chain(resource).collect(),
        report: Arc::new(|notice| eprintln!("genops: {notice}")),
        ..Settings::at(config.ledger.clone(), config.policy.clone())
    };
    Governor::open(settings).await.map_err(Trouble::failed)
}

/// Serves until SIGINT, SIGTERM or a failed ledger, then closes in order. Meanwhile the configuration is changed as
/// `watch` sees it change.
pub async fn serve(
    governor: Governor,
    config: Config,
    listener: TcpListener,
    watch: Option<Watch>,
) -> Result<(), Trouble> {
    let gateway = Gateway::new(governor.clone(), config).map_err(Trouble::unusable)?;
    let stop = told_to_stop(governor.clone())?;
    let watching = async {
        match watch {
            Some(watch) => watch.forever(&gateway).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = Arc::clone(&gateway).serve(listener, stop) => {}
        never = watching => match never {},
    }
    // It has a governor of its own, which keeps the ledger open.
    drop(gateway);
    let failure = governor.failure();
    let closed = governor.close().await;
    match failure {
        Some(failure) => Err(Trouble::failed(failure)),
        None => closed.map_err(Trouble::failed),
    }
}

/// Ready when somebody says stop, or when the ledger has failed: then nothing may be acknowledged any more,
/// and only a new start brings books and disk together.
fn told_to_stop(governor: Governor) -> Result<impl Future<Output = ()> + Send + 'static, Trouble> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Trouble::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Trouble::failed)?;
    let mut durable = governor.durable();
    Ok(async move {
        let failed = async { while governor.failure().is_none() && durable.changed().await.is_ok() {} };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = failed => {}
        }
    })
}

fn say_what_is_set_up(config: &Config, listener: &TcpListener, governor: &Governor, recovered: Recovered) {
    if let Ok(address) = listener.local_addr() {
        say!("genops {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
    }
    lines_of(config, governor.now()).iter().for_each(|line| say!("{line}"));
    let Recovered { entries, snapshot, .. } = recovered;
    match snapshot {
        _ if entries == 0 => {}
        0 => say!("  recovered  {entries} entries; chain and invariants hold"),
        _ => say!(
            "  recovered  {entries} entries: a snapshot of the books stands for the first {snapshot}; chain and \
             invariants hold behind it"
        ),
    }
    if recovered.released + recovered.in_doubt > 0 {
        say!(
            "  resolved   {} AWUs in doubt (their process died while they ran; their reservation is charged), \
             {} released (they had not started)",
            recovered.in_doubt,
            recovered.released
        );
    }
}

/// Ledger, providers, budgets and telemetry, a line each.
pub fn lines_of(config: &Config, now: genops_core::Timestamp) -> Vec<String> {
    let ledger = match &config.ledger {
        LedgerPlace::File(path) => path.display().to_string(),
        LedgerPlace::Memory => "in memory: gone with this process".to_owned(),
    };
    let mut lines = vec![format!("  ledger     {ledger}")];
    lines.extend(config.retention.as_ref().map(|retention| {
        let (days, folder) = (retention.days(), retention.archive_to.display());
        format!("  retention  {days} days; what is older leaves for {folder}")
    }));
    let providers = config.providers.iter().map(|p| format!("  provider   {}: {}", p.name, p.base_url));
    lines.extend(providers);
    lines.extend(config.price_lines().iter().map(|line| format!("  model      {line}")));
    lines.extend(config.budget_lines(now).iter().map(|line| format!("  budget     {line}")));
    if config.destinations.is_empty() {
        lines.push(
            "  telemetry  nowhere: set `telemetry`, or OTEL_EXPORTER_OTLP_ENDPOINT, to send it somewhere"
                .to_owned(),
        );
    }
    lines.extend(config.destinations.iter().map(|destination| match destination {
        Destination::Otlp(otlp) => {
            let what = match otlp.signals {
                Signals::Both => "OTLP",
                Signals::Only(Signal::Traces) => "OTLP traces",
                Signals::Only(Signal::Logs) => "OTLP log records",
                Signals::Only(Signal::Alerts) => "OTLP alerts",
            };
            let how = match otlp.protocol {
                Protocol::HttpProtobuf => "HTTP",
                Protocol::Grpc => "gRPC",
            };
            format!("  telemetry  {what} over {how} to {}", otlp.endpoint)
        }
        Destination::Directory { path } => format!("  telemetry  JSON lines in {}", path.display()),
        Destination::Webhook(webhook) => format!("  telemetry  alerts to {}", webhook.place()),
    }));
    lines
}
