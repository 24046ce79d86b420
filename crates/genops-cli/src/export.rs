//! `genops export`: writes a journal as text, one line a frame.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use genops::ledger::export::{self, End, ExportError, Wanted};
use genops::ledger::source::Source;
use genops_core::Digest;
use tempfile::NamedTempFile;

use crate::Trouble;
use crate::arguments::Exporting;
use crate::output::say;

/// Writes what is wanted.
pub fn run(exporting: &Exporting) -> Result<(), Trouble> {
    let source = Source::open(&exporting.ledger).map_err(Trouble::unusable)?;
    let begins = source.begins();
    let wanted = Wanted {
        written_by: format!("genops {}", env!("CARGO_PKG_VERSION")),
        ledger: exporting.ledger.display().to_string(),
        from: exporting.from,
        through: exporting.through.unwrap_or(u64::MAX),
    };
    if exporting.to == Path::new("-") {
        let written = export::write(begins, source, &wanted, &mut BufWriter::new(std::io::stdout().lock()));
        return match written {
            // Who closes it early has read enough.
            Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map(drop).map_err(refused),
        };
    }
    let end = to_file(begins, source, &wanted, &exporting.to)?;
    say!("{} has the journal through entry {}", exporting.to.display(), end.last);
    say!("  head  {}:{}", end.last, end.head);
    Ok(())
}

/// Writes a file that is there whole or not at all.
fn to_file(begins: (u64, Digest), source: Source, wanted: &Wanted, to: &Path) -> Result<End, Trouble> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| Trouble::failed(format!("cannot write `{}`: {error}", to.display()));
    let mut out = BufWriter::new(NamedTempFile::new_in(folder).map_err(failed)?);
    let end = export::write(begins, source, wanted, &mut out).map_err(refused)?;
    out.flush().map_err(failed)?;
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(to).map_err(|error| failed(error.error))?;
    Ok(end)
}

/// Entries that are not there were asked for in vain; anything else went wrong.
fn refused(error: ExportError) -> Trouble {
    match error {
        ExportError::Backwards { .. } | ExportError::Beyond { .. } => Trouble::unusable(error),
        error => Trouble::failed(error),
    }
}
