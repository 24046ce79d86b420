//! What a ledger's files hold of persons who were erased, or were about to be, once a new process has opened them.

use std::collections::HashSet;
use std::path::Path;

use genops_core::ledger::Command;
use genops_core::{Name, person};
use genops_ledger::source::Source;
use genops_ledger::sqlite::SqliteStore;
use genops_ledger::store::PersonReader;

/// A customer whom nobody names any more, and who is erased.
pub struct Gone {
    pub customer: String,
    pub pseudonym: Name,
}

/// Opens the files as a new process does. Each of these customers has to be there whole, as its entries say, or to have left
/// nothing. Gives the pseudonyms of those who are erased.
pub fn check(folder: &Path, gone: &[Gone]) -> HashSet<Name> {
    let path = folder.join("genops.db");
    drop(SqliteStore::open(&path).unwrap());
    let (mut named, mut erased) = (HashSet::new(), HashSet::new());
    for entry in Source::open(&path).unwrap().flat_map(|frame| frame.unwrap().entries().unwrap()) {
        match entry.command {
            Command::Admit(request) => named.extend(request.proposal.labels.customer_id.clone()),
            Command::Erase { pseudonym, .. } => drop(erased.insert(pseudonym)),
            _ => {}
        }
    }
    let mut kept = SqliteStore::read_persons(&path).unwrap();
    for Gone { customer, pseudonym } in gone {
        let is_known = named.contains(pseudonym) && !erased.contains(pseudonym);
        let number = person::number(pseudonym).unwrap();
        assert_eq!(kept.of_number(number).unwrap().is_some(), is_known, "{customer}, {pseudonym}");
        assert_eq!(stands_in(folder, customer), is_known, "{customer}, {pseudonym}");
    }
    erased
}

/// Whether a text stands in a file of the folder.
fn stands_in(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| holds(&bytes, text.as_bytes()))
}

/// Whether bytes hold others. Most of what a ledger reserves is zeros, which are passed over.
pub fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    const CHUNK: usize = 4096;
    (0..bytes.len()).step_by(CHUNK).any(|from| {
        let chunk = &bytes[from..bytes.len().min(from + CHUNK)];
        let with_next = &bytes[from..bytes.len().min(from + CHUNK + wanted.len() - 1)];
        *chunk != [0; CHUNK][..chunk.len()] && with_next.windows(wanted.len()).any(|window| window == wanted)
    })
}
