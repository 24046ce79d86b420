//! What a server needs, and what outlives it: its files.

use std::path::PathBuf;
use std::process::Command;

use genops_gateway::identity;
use tempfile::TempDir;

use crate::process::PROGRAM;
use crate::request::ROUND_LIMIT;

/// The key that every caller shows.
pub const KEY: &str = "gk-of-the-test";

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

    /// The command that runs a server here.
    pub fn serve(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(self.config());
        command
    }

    /// Runs a command that looks at the ledger. It must find it well.
    pub fn runs(&self, command: &str) {
        let output = Command::new(PROGRAM).arg(command).arg("--ledger").arg(self.ledger()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
