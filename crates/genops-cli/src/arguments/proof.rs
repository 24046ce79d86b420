//! The arguments of what proves something: `verify`, `replay`, `export`, `audit` and `receipt`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use genops::ledger::witness::Head;
use genops_core::{Amount, Name, Timestamp};

use super::{Format, file};
use crate::audit;

/// The files that a journal is read from.
#[derive(Debug, Args)]
pub struct Recorded {
    /// A ledger, or an export of one; several are one journal, in the order of its entries
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "genops.db")]
    pub ledger: Vec<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("with").required(true).multiple(true).args(["otlp", "usage"])), after_help = AUDITED)]
pub struct Auditing {
    /// The ledger, or an export of all of it; of a ledger that has archives, these in their order, and it behind them
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "genops.db")]
    pub ledger: Vec<PathBuf>,
    /// Delivered telemetry: OTLP as JSON or Protocol Buffers, also gzipped; files, directories, or - for standard input
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub otlp: Vec<PathBuf>,
    /// What providers bill, as CSV or JSON lines: model, input_tokens, output_tokens, cost, and any of awu,
    /// trace_id and span_id, request_id, cached_input_tokens, timestamp; several files are one usage
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub usage: Vec<PathBuf>,
    /// Hold only AWUs of this provider against the usage, as the journal calls it; may be given again for others
    #[arg(long, value_name = "NAME", requires = "usage", value_parser = audit::provider)]
    pub provider: Vec<Name>,
    /// So many US dollars of a call are no difference, since exports are rounded
    #[arg(long, value_name = "USD", default_value = "0.000001", value_parser = audit::dollars)]
    pub tolerance: Amount,
    /// Only AWUs that were decided then or later: 2026-11-01 (in UTC), or with a time
    #[arg(long, value_name = "TIME", value_parser = audit::time)]
    pub since: Option<Timestamp>,
    /// Only AWUs that were decided before
    #[arg(long, value_name = "TIME", value_parser = audit::time)]
    pub until: Option<Timestamp>,
    /// Show so many findings; JSON has all
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// What is found, and what the exit codes mean.
const AUDITED: &str = "\
Findings: unbilled (charged in the journal, not in the usage), unaccounted (billed, and no call in the journal), mispriced
(tokens or cost differ), missing (not delivered as telemetry), rewritten (telemetry says something else than the journal).
Corrections are no failures: the provider knows what the journal could not. Rows of usage that name no AWU are compared as
sums of model and day. AWUs that name no provider are not compared with usage. docs/audit.md says how to get an export with
AWUs in it.

Exit codes: 0 all match, 1 something does not, 2 something cannot be read, 3 there is nothing to compare.";

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFIED)]
pub struct Verification {
    /// What is verified.
    #[command(flatten)]
    pub recorded: Recorded,
    /// A chain hash that was noted: of any decision, its telemetry has both
    #[arg(long, value_name = "SEQUENCE:HASH")]
    pub head: Vec<Head>,
    /// An export that was made earlier; the journal has to have the same frames, or to go on from the last of them
    #[arg(long, value_name = "EXPORT")]
    pub head_file: Option<PathBuf>,
}

/// What a verification shows, and what it does not.
const VERIFIED: &str = "\
By itself a journal shows that it is consistent. Whoever can write the file can write it anew from some entry on, with
hashes that fit, or cut off its end. A head that was noted elsewhere shows that; an export names the entry.

Exit codes: 0 it holds, 1 it does not, 2 an argument cannot be used, or a file cannot be read.";

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct Exporting {
    /// The ledger, whether a server has it open or not
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// The file to write, which must not be there yet; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub to: PathBuf,
    /// Begin with the frame that holds this entry
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// End with the frame that holds this entry [default: the last]
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    pub through: Option<u64>,
}

/// Arguments of `receipt`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = RECEIVED
)]
pub struct Receipting {
    /// What else to do with receipts.
    #[command(subcommand)]
    pub command: Option<ReceiptCommand>,
    /// The AWU: `trace_id-span_id`, as in the header `x-genops-awu`
    #[arg(required = true)]
    pub awu: Option<String>,
    /// The ledger, whether a server has it open or not; of one that has archives, these in their order, and it behind them
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "genops.db", value_parser = file)]
    pub ledger: Vec<PathBuf>,
    /// The key that signs, as `keys new --signing` makes it: a file, or env:VARIABLE
    #[arg(long, value_name = "FILE", required = true)]
    pub signing_key: Option<String>,
}

/// What exit codes mean.
const RECEIVED: &str = "\
The receipt is written to standard output, as JSON. Whoever has it can verify it without the ledger.

Exit codes: 0 it was given, or holds; 1 there is no such decision, or the receipt does not hold; 2 an argument, a key or
a receipt cannot be read.";

/// Commands of `receipt`.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Verify a receipt: who signed it, that its entry is in the chain, and that every field is what the entry says
    Verify(ReceiptVerification),
}

/// Arguments of `receipt verify`.
#[derive(Debug, Args)]
pub struct ReceiptVerification {
    /// The receipt
    #[arg(value_name = "FILE")]
    pub receipt: PathBuf,
    /// The key of whom you trust to give it: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "HEX|FILE")]
    pub public_key: String,
}
