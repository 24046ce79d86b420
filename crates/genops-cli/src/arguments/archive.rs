//! Arguments of `genops archive`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use genops_core::{Name, Timestamp};

use crate::audit;

/// Arguments of `archive`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["through", "before", "restore"])),
    after_help = ARCHIVED
)]
pub struct Archiving {
    /// The ledger
    #[arg(long, value_name = "FILE", default_value = "genops.db")]
    pub ledger: PathBuf,
    /// Move the entries through this one, as far as whole frames go
    #[arg(long, value_name = "SEQUENCE", requires = "to", value_parser = clap::value_parser!(u64).range(1..))]
    pub through: Option<u64>,
    /// Move the entries that are older: 2026-11-01 (in UTC), or with a time
    #[arg(long, value_name = "TIME", requires = "to", value_parser = audit::time)]
    pub before: Option<Timestamp>,
    /// The file to write, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Who archives: the entry says so that closes the cells that are over
    #[arg(long, value_name = "NAME", default_value = "operator", value_parser = super::name)]
    pub author: Name,
    /// Make the snapshot that the ledger needs from its archives, all of them in their order
    #[arg(long, value_name = "ARCHIVE", num_args = 1.., conflicts_with = "to")]
    pub restore: Vec<PathBuf>,
}

/// What leaves, and what stays.
const ARCHIVED: &str = "\
An archive is an export. It is read back before anything leaves the ledger. Entries stay that somebody needs: an AWU that is
open, an idempotency key that is remembered, telemetry that is not delivered, and what no snapshot of the books stands for.
The ledger's file does not become smaller; what is free in it is used again. Cells leave the books that nothing which stays
was charged in: those of periods that were over when the oldest entry that stays was written.

Exit codes: 0 done, 1 it could not be, 2 an argument cannot be used.";
