//! `genops verify`: reads a ledger whole and recomputes the chain and every invariant, entry by entry.

use genops::report::Archive;
use serde::Serialize;

use crate::arguments::{Format, Verification};
use crate::{Trouble, read};

/// What was verified.
#[derive(Serialize)]
struct Verified<'a> {
    entries: u64,
    frames: u64,
    cells: usize,
    open_awus: usize,
    head: &'a str,
}

/// Verifies a ledger file.
pub fn run(verification: &Verification) -> Result<(), Trouble> {
    let archive = Archive::open(&verification.ledger).map_err(Trouble::failed)?;
    let verified = Verified {
        entries: archive.books().sequence(),
        frames: archive.frames(),
        cells: archive.books().cells().len(),
        open_awus: archive.books().open_awus().len(),
        head: archive.head(),
    };
    if verification.format == Format::Json {
        return read::print_json(&verified);
    }
    let Verified { entries, frames, cells, open_awus, head } = verified;
    println!("{} holds", verification.ledger.display());
    println!("  entries     {entries} in {frames} frames, each following from those before it");
    println!("  chain       intact; head {head}");
    println!("  invariants  I1 to I6 hold after every entry, over {cells} cells");
    println!("  open AWUs   {open_awus}");
    Ok(())
}
