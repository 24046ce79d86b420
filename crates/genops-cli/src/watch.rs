//! Watching the configuration while the gateway runs, and changing it without a restart.
//!
//! The file is known by its content, which is looked at once a second, and at once on SIGHUP: so it does not matter how
//! an editor writes it, or whether it is a link to one that is replaced. What a change means is worked out elsewhere, and
//! made elsewhere; here people are told. What cannot be used is reported once, and changes nothing.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use genops_gateway::config::{Change, diff_of_running};
use genops_gateway::{Config, Gateway};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output::print_all;
use crate::{Trouble, complain, serve};

/// A configuration file that is watched.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    /// What stood there when something was last made of it.
    seen: Look,
    told: Signal,
}

/// What stands in the file, or why that cannot be said.
type Look = Result<String, String>;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A file that has changed is looked at again after this time, and nothing is made of it until it stays as it is: the
/// beginning of a configuration that is still being written may be one as well, with fewer rules.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// So many digits tell policies apart.
const VERSION_DIGITS: usize = 12;

impl Watch {
    /// Watches the file at `path`, of which `text` is in force. From now on SIGHUP does not end the process.
    pub fn new(path: &Path, text: String) -> Result<Self, Trouble> {
        let told = signal(SignalKind::hangup()).map_err(Trouble::failed)?;
        Ok(Self { path: path.to_owned(), seen: Ok(text), told })
    }

    /// Looks, and changes the gateway, until this is dropped.
    pub async fn forever(mut self, gateway: &Gateway) -> Infallible {
        let started = gateway.setups.current().config.clone();
        loop {
            let told = tokio::select! {
                Some(()) = self.told.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let look = self.settled().await;
            if look == self.seen && !told {
                continue;
            }
            match self.change(gateway, &started, look.clone()).await {
                // Who has closed standard output does not want to know.
                Ok(lines) => drop(print_all(&lines)),
                Err(trouble) => complain(&format!("{}\n{UNCHANGED}", trouble.message)),
            }
            self.seen = look;
        }
    }

    /// What stands in the file once it stays there. What was seen last needs no second look.
    async fn settled(&self) -> Look {
        let mut look = self.look().await;
        while look != self.seen {
            tokio::time::sleep(SETTLED_AFTER).await;
            let before = std::mem::replace(&mut look, self.look().await);
            if look == before {
                break;
            }
        }
        look
    }

    /// Reads the file on a thread of its own: a disk may be slow.
    async fn look(&self) -> Look {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
        let read = reading.await.map_err(|error| error.to_string())?;
        read.map_err(|error| error.to_string())
    }

    /// Changes the gateway to what stands in the file, and says what that means; the process was started with `started`.
    async fn change(&self, gateway: &Gateway, started: &Config, look: Look) -> Result<String, Trouble> {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || meant(&path, look));
        let config = reading.await.map_err(Trouble::failed)??;
        let changes = diff_of_running(started, &gateway.setups.current().config, &config);
        let changed = gateway.setups.change(&gateway.governor, config).await;
        changed.map_err(|error| {
            Trouble::failed(format!(
                "the configuration cannot be changed: {error}; SIGHUP has it tried again"
            ))
        })?;
        let version = gateway.setups.current().in_force.version().to_string();
        Ok(self.in_words(&changes, &version))
    }

    fn in_words(&self, changes: &[Change], version: &str) -> String {
        let (file, version) = (self.path.display(), version.get(..VERSION_DIGITS).unwrap_or(version));
        if changes.is_empty() {
            return format!("{file} means what it meant; policy {version}\n");
        }
        let lines: String = changes.iter().map(|change| format!("  {change}\n")).collect();
        format!("{file} has changed; policy {version}\n{lines}")
    }
}

const UNCHANGED: &str = "nothing has changed: the gateway goes on as it is set up";

/// What stands in the file, read.
fn meant(path: &Path, look: Look) -> Result<Config, Trouble> {
    let cannot =
        |why: &str| Trouble::failed(format!("cannot read the configuration `{}`: {why}", path.display()));
    let text = look.map_err(|error| cannot(&error))?;
    if text.trim().is_empty() {
        // It would mean a gateway without keys and without limits. Nobody wants that; it happens.
        return Err(cannot("it is empty"));
    }
    serve::meaning_of(path, &text)
}
