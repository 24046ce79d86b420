//! `genops archive`: moves old entries out of a ledger into an export, or makes from such exports the snapshot that a ledger
//! without them needs.

use genops::ledger::StoreError;
use genops::ledger::retention::{self, ArchiveError, Through};

use crate::Trouble;
use crate::arguments::Archiving;
use crate::output::say;

/// Archives, or restores from archives.
pub async fn run(archiving: &Archiving) -> Result<(), Trouble> {
    let ledger = &archiving.ledger;
    if !archiving.restore.is_empty() {
        let head = retention::restore(&archiving.restore, ledger).map_err(in_words)?;
        say!("{} has a snapshot of its books after entry {}", ledger.display(), head.sequence);
        return Ok(());
    }
    let through = archiving.through.map(Through::Entry).or(archiving.before.map(Through::Before));
    let (Some(through), Some(to)) = (through, &archiving.to) else {
        return Err(Trouble::unusable("say how far with --through or --before, and where with --to"));
    };
    let written_by = format!("genops {}", env!("CARGO_PKG_VERSION"));
    let retired = match retention::retire(ledger, through, written_by, to) {
        Ok(head) => {
            say!(
                "{} has the entries through {}, and {} no more",
                to.display(),
                head.sequence,
                ledger.display()
            );
            say!("  head    {}:{}", head.sequence, head.hash);
            say!("  verify  genops verify --ledger {} {}", to.display(), ledger.display());
            say!("  keep    the file; the ledger alone cannot be verified from its first entry any more");
            Ok(())
        }
        // Where the last time was interrupted, the entries may have left and their cells may not.
        Err(
            error @ (ArchiveError::Nothing { .. }
            | ArchiveError::Left { .. }
            | ArchiveError::NotOlder { .. }
            | ArchiveError::Empty { .. }),
        ) => Err(error),
        Err(error) => return Err(in_words(error)),
    };
    let closed = retention::close_cells(ledger, archiving.author.clone(), genops::clock::wall()).await;
    match closed {
        Ok(0) => retired.map_err(in_words),
        Ok(cells) => {
            say!("  cells   {cells} that are over left the books");
            // Whoever asked for a file has none.
            retired.map_err(|error| Trouble::failed(format!("no archive was written: {}", words(error))))
        }
        Err(error) if retired.is_ok() => {
            let left = "the entries have left; the cells of their periods have not, and the next `genops archive` sees to that";
            Err(Trouble::failed(format!("{left}: {}", words(error))))
        }
        Err(error) => Err(in_words(error)),
    }
}

fn in_words(error: ArchiveError) -> Trouble {
    Trouble::failed(words(error))
}

fn words(error: ArchiveError) -> String {
    match error {
        ArchiveError::Store(StoreError::Held { path }) => {
            format!("a server holds the ledger `{path}`; stop it first")
        }
        error => error.to_string(),
    }
}
