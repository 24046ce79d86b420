//! Whether a receipt holds: who signed it, whether its entry is what the chain's hash covers, and whether every field
//! that people read is what that entry says. Nothing is asked but the document and the public key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genops_core::ledger::FORMAT_VERSION;
use genops_core::{Digest, hex};
use genops_ledger::{differ, frame};
use serde::Deserialize;

use super::key::{ALGORITHM, PublicKey};
use super::{Chain, FORMAT, Link, Receipt, Statement, VERSION};

/// Why a receipt does not hold, or cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no receipt.
    #[error("it is not a receipt: {0}")]
    NotAReceipt(String),
    /// Of another version.
    #[error("it is a receipt of version {0}; this version of genops reads version {VERSION}")]
    OtherVersion(u32),
    /// Its entry is of another version.
    #[error(
        "its entry has the format {0}; this version of genops reads format {FORMAT_VERSION}: use one of the same time"
    )]
    OtherEntryFormat(u16),
    /// Signed in another way.
    #[error("it is signed by {0:?}; a receipt is signed by {ALGORITHM}")]
    Algorithm(String),
    /// It names another key.
    #[error("it names the key {named:?}, and you trust the key `{trusted}`")]
    OtherKey {
        /// The key that it names.
        named: String,
        /// The key that was given.
        trusted: String,
    },
    /// The signature is not that of these words.
    #[error(
        "the signature is not one of key {key_id} over what stands here: it was changed after it was signed, or somebody else signed it{}",
        besides(also)
    )]
    Signature {
        /// The key.
        key_id: String,
        /// What else does not hold, which may say what was changed.
        also: Option<Box<Self>>,
    },
    /// The entry and the digests beside it do not come to the hash.
    #[error("the entry is not in the frame: {0}")]
    Chain(&'static str),
    /// What a frame has is not the decision about an AWU.
    #[error("the entry {0}")]
    Entry(&'static str),
    /// A field does not say what the entry says.
    #[error("`{field}` says {says}, and the entry says {entry}")]
    Field {
        /// Which, from the statement on.
        field: String,
        /// What stands there.
        says: String,
        /// What follows from the entry.
        entry: String,
    },
}

impl Refused {
    /// Whether it could not be judged, rather than that it does not hold.
    #[must_use]
    pub const fn is_unreadable(&self) -> bool {
        matches!(self, Self::NotAReceipt(_) | Self::OtherVersion(_) | Self::OtherEntryFormat(_))
    }
}

fn besides(also: &Option<Box<Refused>>) -> String {
    also.as_ref().map(|also| format!("; besides, {also}")).unwrap_or_default()
}

/// Verifies a receipt with the public key of whoever is trusted to give it. What is returned holds in every field.
///
/// # Errors
///
/// The first thing that does not hold.
pub fn verify(document: &[u8], trusted: &PublicKey) -> Result<Receipt, Refused> {
    let receipt = read(document)?;
    let statement = &receipt.receipt;
    signer(statement, trusted)?;
    let content = content(statement, trusted);
    let signature = hex::parse::<64>(&receipt.signature);
    if !signature.is_some_and(|signature| trusted.has_signed(&statement.bytes(), &signature)) {
        return Err(Refused::Signature { key_id: trusted.id(), also: content.err().map(Box::new) });
    }
    content.map(|()| receipt)
}

/// What has to be known of a document before it can be read.
#[derive(Deserialize)]
struct Heading {
    receipt: Title,
}

#[derive(Deserialize)]
struct Title {
    format: String,
    version: u32,
}

fn read(document: &[u8]) -> Result<Receipt, Refused> {
    let not = |error: serde_json::Error| Refused::NotAReceipt(error.to_string());
    let Title { format, version } = serde_json::from_slice::<Heading>(document).map_err(not)?.receipt;
    if format != FORMAT {
        return Err(Refused::NotAReceipt(format!("it calls itself {format:?}, not `{FORMAT}`")));
    }
    if version != VERSION {
        return Err(Refused::OtherVersion(version));
    }
    serde_json::from_slice(document).map_err(not)
}

fn signer(statement: &Statement, trusted: &PublicKey) -> Result<(), Refused> {
    let signer = &statement.signer;
    if signer.algorithm != ALGORITHM {
        return Err(Refused::Algorithm(signer.algorithm.clone()));
    }
    if signer.public_key != trusted.to_string() {
        let named = signer.public_key.clone();
        return Err(Refused::OtherKey { named, trusted: trusted.to_string() });
    }
    if signer.key_id != trusted.id() {
        return Err(Refused::OtherKey { named: signer.key_id.clone(), trusted: trusted.id() });
    }
    Ok(())
}

/// Whether the statement agrees with itself: the entry with the chain, and every other field with the entry.
fn content(statement: &Statement, signer: &PublicKey) -> Result<(), Refused> {
    let bytes = STANDARD.decode(&statement.entry).map_err(|_| Refused::Entry("is not base64"))?;
    let link = link(&statement.chain, frame::entry_digest(&bytes))?;
    if link.format != FORMAT_VERSION {
        return Err(Refused::OtherEntryFormat(link.format));
    }
    let entry = frame::entry(&bytes).ok_or(Refused::Entry("cannot be decoded"))?;
    if link.sequence() != Some(entry.sequence) {
        return Err(Refused::Entry("does not stand at the place in the journal that it says"));
    }
    let due = Statement::of(entry, &bytes, &link, signer).ok_or(Refused::Entry("decides about no AWU"))?;
    let value = |statement: &Statement| serde_json::to_value(statement).unwrap_or_default();
    match differ::first(&value(&due), &value(statement)) {
        Some(differ::Difference { place, expected, found }) => {
            let field = place.trim_start_matches('/').replace('/', ".");
            Err(Refused::Field { field, says: found, entry: expected })
        }
        // Whatever is compared above, this is the question.
        None if *statement != due => Err(Refused::Entry("does not say the same")),
        None => Ok(()),
    }
}

fn link(chain: &Chain, own: Digest) -> Result<Link, Refused> {
    let broken = || Refused::Chain("what stands in its place is no digest");
    let digest = |text: &String| hex::parse(text).map(Digest::from_bytes).ok_or_else(broken);
    let digests = |texts: &[String]| texts.iter().map(digest).collect::<Result<Vec<_>, _>>();
    let link = Link {
        first: chain.first,
        format: chain.format,
        engine: chain.engine,
        previous: digest(&chain.previous)?,
        before: digests(&chain.before)?,
        own,
        after: digests(&chain.after)?,
    };
    if usize::try_from(chain.count).ok() != Some(link.count()) {
        return Err(Refused::Chain("the frame has another number of entries"));
    }
    if link.hash() != digest(&chain.hash)? {
        return Err(Refused::Chain("with the digests beside it, it does not come to the frame's hash"));
    }
    Ok(link)
}
