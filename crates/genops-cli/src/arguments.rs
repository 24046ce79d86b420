//! What the program can be asked: its commands and their arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Governance for AI workloads: decide, reserve, settle, prove.
#[derive(Debug, Parser)]
#[command(name = "genops", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(Serve),
    /// Show the budgets, and what is reserved and used
    Budgets(Source),
    /// List AWUs, the latest first
    Awus(Listing),
    /// Show one AWU
    Show(Showing),
    /// Verify a ledger: the hash chain, and every invariant after every entry
    Verify(Verification),
    /// Look at a configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make keys for callers
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "genops.yaml")]
    pub config: PathBuf,
    /// Try it out: no configuration, no key, no network; a stand-in for a model, two teams, a few calls
    #[arg(long, conflicts_with = "config")]
    pub demo: bool,
}

/// Commands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration is good, and what it means
    Check {
        /// The configuration
        #[arg(value_name = "FILE", default_value = "genops.yaml")]
        config: PathBuf,
    },
    /// Print a configuration to begin with, every field explained
    Sample,
    /// Print the JSON Schema of configurations, for editors
    Schema,
}

/// Commands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key, and show the lines for the configuration
    New,
}

/// Where answers come from.
#[derive(Debug, Args)]
pub struct Source {
    /// Ask a running server; the key comes from the environment variable GENOPS_KEY
    #[arg(long, value_name = "URL", conflicts_with = "ledger")]
    pub server: Option<String>,
    /// Read a ledger file, whether a server has it open or not
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Laid out, for people
    Table,
    /// Stable, for programs
    Json,
}

/// Arguments of `awus`.
#[derive(Debug, Args)]
pub struct Listing {
    /// Where from.
    #[command(flatten)]
    pub source: Source,
    /// Only of this team
    #[arg(long)]
    pub team: Option<String>,
    /// Only of this project
    #[arg(long)]
    pub project: Option<String>,
    /// Only of this environment
    #[arg(long)]
    pub environment: Option<String>,
    /// Only with this result: ALLOWED, WARNING, BLOCKED or RATE_LIMITED
    #[arg(long)]
    pub result: Option<String>,
    /// Only in this state: RESERVED, EXECUTING, SETTLED, IN_DOUBT, RELEASED or REFUSED
    #[arg(long)]
    pub state: Option<String>,
    /// Only decided before this entry: the `next` of the page before
    #[arg(long, value_name = "SEQUENCE")]
    pub before: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Showing {
    /// The AWU: `trace_id-span_id`, as in the header `x-genops-awu`
    pub awu: String,
    /// Where from.
    #[command(flatten)]
    pub source: Source,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verification {
    /// The ledger
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}
