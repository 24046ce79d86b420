//! `genops verify`: recomputes the chain and every invariant of a journal, entry by entry, and holds it against what was
//! noted of it.

use genops::ledger::frame::BadFrame;
use genops::ledger::recover::OpenError;
use genops::ledger::source::{Source, Sources};
use genops::ledger::store::StoreError;
use genops::ledger::verify::{Failure, Verified, verify};
use genops::ledger::witness::Witness;
use genops_core::Digest;
use serde::Serialize;

use crate::arguments::{Format, Recorded, Verification};
use crate::output::{named, say};
use crate::{Trouble, read};

/// What was verified.
#[derive(Serialize)]
struct Holds {
    holds: bool,
    first: u64,
    entries: u64,
    frames: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_awus: Option<usize>,
    /// Entries that newer rules decided; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    newer: Option<u64>,
    heads: usize,
    head: Digest,
}

/// What does not hold, or cannot be judged.
#[derive(Serialize)]
struct Fails<'a> {
    /// Nothing where that is not known.
    holds: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    what: &'a str,
}

/// Verifies ledger files and exports.
pub fn run(verification: &Verification) -> Result<(), Trouble> {
    let Verification { recorded, head, head_file } = verification;
    let sources = open(recorded)?;
    let export = match head_file.as_ref().map(|path| Source::open(path)).transpose() {
        Ok(export) => export,
        Err(error @ StoreError::Export(_)) => {
            return Err(failed(recorded, None, &Failure::Witness(error.into()).to_string())?);
        }
        Err(error) => return Err(unusable(recorded, &error.to_string())?),
    };
    let heads = head.len() + usize::from(export.is_some());
    let export = export.map(|source| {
        let begins = source.begins();
        (Box::new(source) as Box<_>, begins)
    });
    let snapshots = match sources.snapshots() {
        Ok(snapshots) => snapshots,
        Err(error) => return Err(unusable(recorded, &error.to_string())?),
    };
    let mut witness = Witness::new(head.clone(), export).with_snapshots(snapshots);
    match verify(sources.begins(), sources, &mut witness) {
        Ok(verified) => tell(recorded, &verified, heads),
        Err(Failure::Journal(error) | Failure::Witness(error)) if is_unreadable(&error) => {
            Err(unusable(recorded, &error.to_string())?)
        }
        Err(failure) => Err(failed(recorded, failure.entry(), &failure.to_string())?),
    }
}

/// Opens the files. One that is there and is a damaged export does not hold; any other trouble is with the arguments.
pub fn open(recorded: &Recorded) -> Result<Sources, Trouble> {
    Sources::open(&recorded.ledger).or_else(|error| {
        Err(match &error {
            StoreError::Export(bad) => failed(recorded, bad.entry, &error.to_string())?,
            _ => unusable(recorded, &error.to_string())?,
        })
    })
}

/// Whether the trouble is with reading, so that nothing is known of the journal.
pub const fn is_unreadable(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Store(StoreError::Failed { .. } | StoreError::Missing { .. })
            | OpenError::Frame(BadFrame::Newer { .. })
    )
}

/// The trouble that it is when a journal does not hold; programs are told on standard output too.
pub fn failed(recorded: &Recorded, entry: Option<u64>, what: &str) -> Result<Trouble, Trouble> {
    if recorded.format == Format::Json {
        read::print_json(&Fails { holds: Some(false), entry, what })?;
    }
    Ok(Trouble::failed(what))
}

/// The trouble that it is when nothing can be said of a journal; programs are told on standard output too.
pub fn unusable(recorded: &Recorded, what: &str) -> Result<Trouble, Trouble> {
    if recorded.format == Format::Json {
        read::print_json(&Fails { holds: None, entry: None, what })?;
    }
    Ok(Trouble::unusable(what))
}

fn tell(recorded: &Recorded, verified: &Verified, heads: usize) -> Result<(), Trouble> {
    let Verified { first, last, frames, head, newer, ref books } = *verified;
    let entries = (last + 1).saturating_sub(first);
    let cells = books.as_ref().map(|books| books.cells().len());
    let open_awus = books.as_ref().map(|books| books.open_awus().len());
    if recorded.format == Format::Json {
        return read::print_json(&Holds {
            holds: true,
            first,
            entries,
            frames,
            cells,
            open_awus,
            newer: (newer > 0).then_some(newer),
            heads,
            head,
        });
    }
    say!("{} holds", named(&recorded.ledger));
    say!(
        "  entries     {entries} in {frames} frames, {first} to {last}, each following from those before it"
    );
    say!("  chain       intact; head {head}");
    match (cells, open_awus) {
        (Some(cells), Some(open)) => {
            say!("  invariants  I1 to I6 hold after every entry, over {cells} cells");
            say!("  open AWUs   {open}");
        }
        _ => say!("  invariants  not checked: that takes every entry from the first on"),
    }
    if newer > 0 {
        say!(
            "  newer       {newer} entries were decided by newer rules than those of this program: what follows from them \
             was computed, and whether they were decided so is not known here"
        );
    }
    match heads {
        0 => say!(
            "  heads       none was given; an end that was cut off, or a chain made anew, would not show"
        ),
        heads => say!("  heads       {heads} given, and the journal has what was noted"),
    }
    Ok(())
}
