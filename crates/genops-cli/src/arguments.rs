//! What the program can be asked: its commands and their arguments.

mod archive;
mod listing;
mod proof;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use genops_conformance::level;
use genops_conformance::report;
use genops_core::name::InvalidName;
use genops_core::{AwuId, Name};
use jiff::SignedDuration;

use crate::simulate::recorded::spans::Mapped;

pub use archive::Archiving;
pub use listing::{Listing, word};
pub use proof::{
    Auditing, Exporting, ReceiptCommand, ReceiptVerification, Receipting, Recorded, Verification,
};

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
    /// Hold the telemetry of any runtime against the GenOps Governance Specification
    Check(Checking),
    /// Say why an AWU was decided as it was; or what a requirement, a reason code, an attribute or an event is
    Explain(Naming),
    /// Show the budgets, and what is reserved and used
    Budgets(Source),
    /// Show how good the bounds were: what calls could have used, and what they did
    Estimates(Source),
    /// List AWUs, the latest first
    Awus(Listing),
    /// Show one AWU
    Show(Showing),
    /// Say what a policy would have done with calls of the past
    Simulate(Simulating),
    /// Write the journal as text that anybody can read and verify
    Export(Exporting),
    /// Move old entries out of a ledger that no server holds, into a file; exit code 0: the file is there, 1: it says why
    /// not, or what is left to do
    Archive(Archiving),
    /// Verify a ledger: the hash chain, every invariant after every entry, and heads that were noted
    Verify(Verification),
    /// Hold the journal, delivered telemetry and a provider's usage against each other
    Audit(Auditing),
    /// Decide every entry anew, and compare the outcomes byte for byte; exit code 0: they agree, 1: they do not,
    /// 2: a file cannot be read
    Replay(Recorded),
    /// Give a signed receipt of the decision about an AWU, or verify one
    Receipt(Receipting),
    /// Erase a customer or a session: nobody can tell any more whom its pseudonym in the journal stands for
    Erase(Erasing),
    /// See how far telemetry has come, and send again what a collector rejected
    Telemetry {
        /// What to do.
        #[command(subcommand)]
        command: TelemetryCommand,
    },
    /// Look at a configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at the table of prices, work a cost out, make a new table
    Prices {
        /// What to do.
        #[command(subcommand)]
        command: PricesCommand,
    },
    /// Make keys: for callers, and for signing receipts
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

/// Arguments of `simulate`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("calls").required(true).multiple(true).args(["ledger", "trace", "otlp"])),
    after_help = SIMULATED
)]
pub struct Simulating {
    /// The configuration that is tried
    #[arg(long, value_name = "FILE", default_value = "genops.yaml")]
    pub config: PathBuf,
    /// The configuration in force, to compare with; a ledger has what it decided
    #[arg(long, value_name = "FILE")]
    pub current: Option<PathBuf>,
    /// The calls that a ledger has recorded
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "otlp"])]
    pub ledger: Option<PathBuf>,
    /// A table (CSV): TIMESTAMP, ContextTokens, GeneratedTokens, and any of model, team, project, environment, …
    #[arg(long, value_name = "FILE")]
    pub trace: Vec<PathBuf>,
    /// Traces with the spans of model calls: OTLP as JSON or Protocol Buffers, files or directories
    #[arg(long, value_name = "PATH")]
    pub otlp: Vec<PathBuf>,
    /// Take a label from an attribute of the spans or their resource: team=service.namespace
    #[arg(long, value_name = "LABEL=ATTRIBUTE", requires = "otlp")]
    pub map: Vec<Mapped>,
    /// The team of calls that do not say theirs
    #[arg(long, value_name = "NAME", default_value = "recorded")]
    pub team: String,
    /// The project of calls that do not say theirs
    #[arg(long, value_name = "NAME", default_value = "recorded")]
    pub project: String,
    /// The environment of calls that do not say theirs
    #[arg(long, value_name = "NAME", default_value = "recorded")]
    pub environment: String,
    /// The model of calls that do not name one [default: the first that is set up]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Write a picture (SVG): what budgets spend in the course of time, and what is refused
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Write a line of JSON for each call: what is decided about it, by which rule, and what is reserved
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// What is simulated, and what is not.
const SIMULATED: &str = "\
Calls come in the order in which they were recorded. Rules and books are those of the gateway; prices, providers and
regions are those of the configuration that is tried. A call that is admitted settles after the time that it took, before
another one that comes at that very moment.

Not simulated: retries and fallbacks (of a ledger, those that were made then come again as calls of their own); the limits
of the process (in_flight, body_bytes); whose key it is. Content rules, and conditions that look at headers or at
streaming, are not asked: prompts and headers are not recorded. Of a ledger, what was found then holds as long as the rule
is the same. What is assumed of calls, such as the use of one that was refused, stands at the end of the report.

Exit codes: 0 it was simulated, 1 something cannot be read to its end or written, 2 an argument, a configuration or a
recording cannot be used.";

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["paths", "listen", "list", "schema"])),
    after_help = "Exit codes: 0 the claim stands (or, without --claim, a level is reached), 1 it does not, \
                  2 the telemetry cannot be read, 3 there is no AWU in it."
)]
pub struct Checking {
    /// OTLP as JSON or Protocol Buffers, also gzipped: files, directories, or - for standard input
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Receive OTLP instead, gRPC and HTTP, until Ctrl-C; everything is taken, nothing rejected
    #[arg(long)]
    pub listen: bool,
    /// Where gRPC is received
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4317", conflicts_with_all = NOT_LISTENING)]
    pub grpc: SocketAddr,
    /// Where HTTP is received
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318", conflicts_with_all = NOT_LISTENING)]
    pub http: SocketAddr,
    /// Listen for so long: 30s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with_all = NOT_LISTENING)]
    pub for_: Option<Duration>,
    /// Listen until nothing has come for so long
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = NOT_LISTENING)]
    pub idle: Option<Duration>,
    /// What is claimed of the runtime; it sets the exit code
    #[arg(long, value_enum)]
    pub claim: Option<Claim>,
    /// The words in which compliance is declared, to be judged too (section 9.2)
    #[arg(long, value_name = "TEXT")]
    pub declaration: Option<String>,
    /// Everything that was emitted is in the capture, so what is missing was not emitted
    #[arg(long)]
    pub complete: bool,
    /// Let a SHOULD that is not met break the claim
    #[arg(long)]
    pub strict: bool,
    /// Take whole numbers in place of doubles for a thing worth a look, not for a failure
    #[arg(long)]
    pub lenient_numeric: bool,
    /// The most memory that traces may take which are not complete yet, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB, value_parser = clap::value_parser!(u32).range(1..))]
    pub memory: u32,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// Write the report to a file, and only the verdict to standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "schema"])]
    pub out: Option<PathBuf>,
    /// List every requirement instead (text or json)
    #[arg(long)]
    pub list: bool,
    /// Print the JSON Schema of the JSON report instead
    #[arg(long)]
    pub schema: bool,
}

/// What leaves nothing to listen for.
const NOT_LISTENING: [&str; 3] = ["paths", "list", "schema"];

/// As the checker has it.
pub const MEMORY_MIB: u32 = 256;

/// What can be claimed of a runtime (section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Claim {
    /// Full compliance
    Full,
    /// Partial compliance
    Partial,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Text,
    /// For programs; --schema describes it
    Json,
    /// For continuous integration: one test case a requirement
    Junit,
    /// For a comment or a wiki
    Markdown,
    /// One page that stands by itself
    Html,
}

impl From<Claim> for level::Claim {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Full => Self::Full,
            Claim::Partial => Self::Partial,
        }
    }
}

impl From<ReportFormat> for report::Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Text => Self::Text,
            ReportFormat::Json => Self::Json,
            ReportFormat::Junit => Self::Junit,
            ReportFormat::Markdown => Self::Markdown,
            ReportFormat::Html => Self::Html,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    let duration = parsed.ok().and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a time such as `30s` or `5m` is expected".to_owned())
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Naming {
    /// One AWU (`trace_id-span_id`, as in the header `x-genops-awu`); or names of the specification: a
    /// requirement (ATT-7.1-6), an ambiguity (AMB-03), a reason code (BUDGET_EXCEEDED), a decision state,
    /// an attribute (genops.accounting.actual), an event (genops.policy.evaluated)
    #[arg(value_name = "ID", required = true)]
    pub names: Vec<String>,
    /// Where an AWU is looked for.
    #[command(flatten)]
    pub place: Place,
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
    /// Say in words what it means to change from one configuration to another; exit code 0: nothing, 1: something,
    /// 2: one of them cannot be used
    Diff {
        /// The configuration in force
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The other
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// For people or for programs
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Print a configuration to begin with, every field explained
    Sample,
    /// Print the JSON Schema of configurations, for editors
    Schema,
}

/// Commands of `telemetry`.
#[derive(Debug, Subcommand)]
pub enum TelemetryCommand {
    /// Show what has been delivered to each destination, what waits, and what was rejected
    Status(Source),
    /// Send what was rejected again: at once with --server, otherwise when a server opens the ledger
    Resend(Resending),
    /// Let go of a destination that nothing is sent to any more, in a ledger that no server holds
    Forget(Forgetting),
}

/// Arguments of `telemetry forget`.
#[derive(Debug, Args)]
#[command(after_help = FORGOTTEN)]
pub struct Forgetting {
    /// The follower, by the name that `status` shows
    #[arg(long, value_name = "NAME")]
    pub follower: String,
    /// The ledger, which no server may have open
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// Do it; without this, only what would be lost is told
    #[arg(long)]
    pub yes: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// What is forgotten, and what follows.
const FORGOTTEN: &str = "\
Its place in the journal and its dead letters are forgotten, so that it keeps no entry from being archived; nothing else of
the ledger changes. Take the destination out of the configuration first: a server that still sends there begins anew, with the
first entry that the ledger has; a webhook is told of the alerts that come.

Exit codes: 0 done, 1 it could not be, 2 an argument cannot be used, or --yes is missing.";

/// Arguments of `telemetry resend`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["follower", "all"])))]
pub struct Resending {
    /// The dead letters of this follower, by the name that `status` shows
    #[arg(long, value_name = "NAME")]
    pub follower: Option<String>,
    /// All dead letters
    #[arg(long)]
    pub all: bool,
    /// Have a running server send them; the key comes from the environment variable GENOPS_KEY
    #[arg(long, value_name = "URL", conflicts_with = "ledger")]
    pub server: Option<String>,
    /// Mark them in a ledger file that no server has open; the next one that opens it sends them
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Arguments of `erase`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["customer", "session"])), after_help = ERASED)]
pub struct Erasing {
    /// The customer, as callers say it
    #[arg(long, value_name = "VALUE", value_parser = name)]
    pub customer: Option<Name>,
    /// The session, as callers say it
    #[arg(long, value_name = "VALUE", value_parser = name)]
    pub session: Option<Name>,
    /// Why; it stays in the journal for good, so it should name nobody
    #[arg(long, value_name = "TEXT", value_parser = name)]
    pub reason: Name,
    /// Have a running server do it; the key comes from the environment variable GENOPS_KEY
    #[arg(long, value_name = "URL", conflicts_with_all = ["ledger", "author"])]
    pub server: Option<String>,
    /// Do it in a ledger file that no server has open
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// Who does it, in a file; of a server it is the key
    #[arg(long, value_name = "NAME", default_value = "operator", value_parser = name)]
    pub author: Name,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// What is erased, and what is not.
const ERASED: &str = "\
The value is removed from the ledger's files. Not removed: what was exported elsewhere before, such as telemetry, reports and
copies of the file; and what stands in the configuration.";

fn name(text: &str) -> Result<Name, InvalidName> {
    Name::new(text)
}

/// Commands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key for a caller, and show the lines for the configuration; or one that signs receipts
    New(NewKey),
}

/// Arguments of `keys new`.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Make a key that signs receipts, and show the public key that verifies them
    #[arg(long)]
    pub signing: bool,
    /// The file for the signing key, which only its owner can read; it must not exist
    #[arg(long, value_name = "FILE", default_value = "genops-signing.key", requires = "signing")]
    pub out: PathBuf,
}

/// Commands of `prices`.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// List the rows of the table
    List {
        /// Only of this provider
        #[arg(long)]
        provider: Option<String>,
        /// Which table.
        #[command(flatten)]
        table: PriceTable,
    },
    /// List the rows that have a text in their provider or in one of their names
    Search {
        /// The text; the case of its letters does not matter
        text: String,
        /// Which table.
        #[command(flatten)]
        table: PriceTable,
    },
    /// Show the row of a model, its source and date, and how a cost comes about
    Explain(Explaining),
    /// Make a table from a file: genai-prices' data.json or LiteLLM's
    /// model_prices_and_context_window.json
    Update(Updating),
}

/// Which table of prices, and how it is shown.
#[derive(Debug, Args)]
pub struct PriceTable {
    /// A table that `prices update` wrote; without it, the one that is built in
    #[arg(long = "prices-file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Arguments of `prices explain`.
#[derive(Debug, Args)]
pub struct Explaining {
    /// The provider, as the table calls it
    pub provider: String,
    /// The model, as callers ask for it
    pub model: String,
    /// So many input tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000)]
    pub input: u64,
    /// Of them, so many from the provider's cache
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub cached: u64,
    /// So many output tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000)]
    pub output: u64,
    /// Which table.
    #[command(flatten)]
    pub table: PriceTable,
}

/// Arguments of `prices update`.
#[derive(Debug, Args)]
pub struct Updating {
    /// The file to read
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The table to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The day whose prices are taken; today, if left out
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<String>,
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

/// Where one AWU is looked for.
#[derive(Debug, Args)]
pub struct Place {
    /// Ask a running server; the key comes from the environment variable GENOPS_KEY
    #[arg(long, value_name = "URL", conflicts_with = "ledger")]
    pub server: Option<String>,
    /// Read a ledger file, whether a server has it open or not; of one that has archives, these in their order, and it behind
    /// them
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "genops.db", value_parser = file)]
    pub ledger: Vec<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// A file of several behind `--ledger`, which takes what stands behind them as well.
fn file(text: &str) -> Result<PathBuf, String> {
    match text.parse::<AwuId>() {
        Ok(_) => {
            Err("it is an AWU, and no file: name it before `--ledger`, which takes every file behind it"
                .to_owned())
        }
        Err(_) => Ok(text.into()),
    }
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Laid out, for people
    #[value(alias = "text")]
    Table,
    /// Stable, for programs
    Json,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Showing {
    /// The AWU: `trace_id-span_id`, as in the header `x-genops-awu`
    pub awu: String,
    /// Where from.
    #[command(flatten)]
    pub place: Place,
}
