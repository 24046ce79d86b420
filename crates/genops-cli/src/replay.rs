//! `genops replay`: decides every entry of a journal anew, and compares.

use genops::ledger::redecide::redecide;
use genops::ledger::source::Sources;
use genops_core::Digest;
use genops_core::ledger::ENGINE_VERSION;
use serde::Serialize;

use crate::arguments::{Format, Recorded};
use crate::{Trouble, read, verify};

/// What agrees.
#[derive(Serialize)]
struct Agrees {
    holds: bool,
    entries: u64,
    /// Decided anew, with the same outcome.
    decided: u64,
    /// Decided by another version of the rules: evolved, not decided anew.
    evolved: u64,
    engine: u16,
    head: Digest,
}

/// Replays ledger files and exports.
pub fn run(recorded: &Recorded) -> Result<(), Trouble> {
    let sources = Sources::open(&recorded.ledger).map_err(Trouble::failed)?;
    let (first, _) = sources.begins();
    if first > 1 {
        return Err(Trouble::unusable(format!(
            "{} begins with entry {first}; what was decided follows only from every entry before it",
            verify::named(recorded)
        )));
    }
    let redecided = match redecide(sources) {
        Ok(redecided) => redecided,
        Err(failure) => return Err(verify::failed(recorded, failure.entry(), &failure.to_string())?),
    };
    let (decided, evolved) = (redecided.decided, redecided.evolved);
    let (entries, head) = (redecided.replayed.books.sequence(), redecided.replayed.head);
    if recorded.format == Format::Json {
        let engine = ENGINE_VERSION;
        return read::print_json(&Agrees { holds: true, entries, decided, evolved, engine, head });
    }
    println!("{} was decided by these rules, as it stands", verify::named(recorded));
    println!("  decided  {decided} entries anew; every outcome is the same, byte for byte");
    if evolved > 0 {
        println!("  evolved  {evolved} entries that another version of the rules decided; not decided anew");
    }
    println!("  head     {head} at entry {entries}");
    Ok(())
}
