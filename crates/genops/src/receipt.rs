//! Receipts: what was decided about one AWU, signed, and to be verified by whoever has the public key and nothing else.
//!
//! A receipt says the decision, the facts that it rests on and its place in the journal, carries the entry as the
//! journal has it, and the digests of the entries beside it, from which the hash of their frame follows. Of those
//! others it says nothing else. `docs/receipts.md` describes the document.
//!
//! In reading order: [`key`] (who signs), [`facts`] (what is told of an entry), [`verify`] (whether a receipt holds).

pub mod key;

pub mod facts;

pub mod verify;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genops_core::ledger::Entry;
use genops_core::record::{AwuRecord, Journaled};
use genops_core::{AwuId, Digest, hex};
use genops_ledger::frame::{self, BadFrame, Frame};
use genops_ledger::views::Views;
use genops_ledger::{Journal, LedgerError, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::governor::Governor;
use crate::report::{Recorded, ReportError, found_or_archived};

use facts::{Cell, Decision, Facts};
use key::{PublicKey, SigningKey};

/// What a receipt calls itself.
pub const FORMAT: &str = "genops receipt";

/// The version of the document that is described here.
pub const VERSION: u32 = 1;

/// A receipt: a statement, and the signature over its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What is stated.
    pub receipt: Statement,
    /// The signature over [`Statement::bytes`], in hexadecimal.
    pub signature: String,
}

/// What a receipt states. The order of the fields belongs to the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The AWU: `trace_id-span_id`.
    pub awu: String,
    /// The entry that decided it.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The same in nanoseconds since 1970, as decimal text: not every reader of JSON counts so far.
    pub at_unix_nano: String,
    /// What was decided.
    pub decision: Decision,
    /// What it asked to do.
    pub facts: Facts,
    /// What was reserved, cell by cell; for a refusal, the cells that were read and what was wanted there.
    pub cells: Vec<Cell>,
    /// The address of the policy that decided.
    pub policy_version: String,
    /// The digest of what was asked.
    pub input_digest: String,
    /// The digest of the state that was read.
    pub state_digest: String,
    /// The entry as the journal has it, in base64. Everything above follows from it.
    pub entry: String,
    /// Where the entry stands in the chain.
    pub chain: Chain,
    /// Who signs.
    pub signer: Signer,
}

/// The frame that carries an entry: all that its hash covers. Digests are in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The first entry of the frame.
    pub first: u64,
    /// How many entries it has.
    pub count: u32,
    /// The version of the entries' bytes.
    pub format: u16,
    /// The version of the rules that decided them.
    pub engine: u16,
    /// The hash of the frame before.
    pub previous: String,
    /// The digests of the entries that stand before this one.
    pub before: Vec<String>,
    /// The digests of those that stand behind it.
    pub after: Vec<String>,
    /// The hash of the frame, which commits to all of that and to every frame before.
    pub hash: String,
}

/// Who signs a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// [`key::ALGORITHM`].
    pub algorithm: String,
    /// The short name of the key.
    pub key_id: String,
    /// The public key, in hexadecimal.
    pub public_key: String,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// No decision to sign.
    #[error(
        "there is no AWU {awu} in the ledger, or its decision is not on the disk yet; a receipt is only given for what is"
    )]
    NotFound {
        /// Which.
        awu: AwuId,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger has failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The AWU cannot be told of, since it may be in an archive.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// What the journal holds there cannot be signed.
    #[error("no receipt is given, since the journal is damaged: {0}; verify the ledger")]
    Frame(#[from] BadFrame),
}

impl Governor {
    /// The receipt of the decision about an AWU. Blocks for as long as a disk does.
    ///
    /// # Errors
    ///
    /// The decision is not in the journal, or not durable, or the journal cannot be read.
    pub fn receipt(&self, awu: AwuId, key: &SigningKey) -> Result<Receipt, ReceiptError> {
        let mut journal = self.ledger().journal()?;
        self.with_views_now(&mut journal, |views, journal| issue(views, journal, awu, key))
    }
}

impl Recorded {
    /// The receipt of the decision.
    ///
    /// # Errors
    ///
    /// What the journal holds there cannot be signed.
    pub fn receipt(&self, key: &SigningKey) -> Result<Receipt, ReceiptError> {
        let (sequence, frame) = self.decided();
        signed(frame, sequence, key)?.ok_or(ReceiptError::NotFound { awu: self.awu() })
    }
}

fn issue(
    views: &Views,
    journal: &mut Journal,
    awu: AwuId,
    key: &SigningKey,
) -> Result<Receipt, ReceiptError> {
    let missing = || ReceiptError::NotFound { awu };
    let found = views.awu(awu, journal)?;
    let sequence = found_or_archived(awu, found, journal)?.ok_or_else(missing)?.sequence;
    let frame = journal.frame(sequence)?.ok_or_else(missing)?;
    frame.check(frame.previous, frame.first)?;
    signed(&frame, sequence, key)?.ok_or_else(missing)
}

/// The receipt of an entry; `None` where the frame does not have it, or it decides about no AWU.
fn signed(frame: &Frame, sequence: u64, key: &SigningKey) -> Result<Option<Receipt>, BadFrame> {
    let Some((link, (entry, bytes))) = Link::of(frame, sequence)? else { return Ok(None) };
    let statement = Statement::of(entry, bytes, &link, &key.public());
    Ok(statement.map(|statement| Receipt::signed(statement, key)))
}

impl Receipt {
    fn signed(statement: Statement, key: &SigningKey) -> Self {
        let signature = hex::text(&key.sign(&statement.bytes()));
        Self { receipt: statement, signature }
    }

    /// The document, laid out so that people can read it too.
    #[must_use]
    pub fn document(&self) -> String {
        // Texts and whole numbers are always JSON.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Statement {
    /// What is stated of an entry; `None` where it decides about no AWU.
    fn of(entry: Entry, bytes: &[u8], link: &Link, signer: &PublicKey) -> Option<Self> {
        let record = AwuRecord::begin(Journaled { entry, chain: link.hash() })?;
        Some(Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            awu: record.id().to_string(),
            sequence: record.sequence,
            at: record.at.to_string(),
            at_unix_nano: record.at.nanos().to_string(),
            decision: Decision::of(&record),
            facts: Facts::of(&record),
            cells: Cell::all(&record),
            policy_version: record.ruling().policy.to_string(),
            input_digest: record.input_digest().to_string(),
            state_digest: record.state_digest().to_string(),
            entry: STANDARD.encode(bytes),
            chain: Chain::of(link),
            signer: Signer::of(signer),
        })
    }

    /// What is signed: the statement as JSON without white space, its fields in order.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // Texts and whole numbers are always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Signer {
    fn of(key: &PublicKey) -> Self {
        Self { algorithm: key::ALGORITHM.to_owned(), key_id: key.id(), public_key: key.to_string() }
    }
}

/// A place in a frame, and everything that the frame's hash covers.
#[derive(Debug)]
struct Link {
    first: u64,
    format: u16,
    engine: u16,
    previous: Digest,
    before: Vec<Digest>,
    own: Digest,
    after: Vec<Digest>,
}

/// An entry, and its bytes.
type Encoded<'a> = (Entry, &'a [u8]);

impl Link {
    /// The place of an entry in its frame, and the entry; `None` where the frame does not have it.
    fn of(frame: &Frame, sequence: u64) -> Result<Option<(Self, Encoded<'_>)>, BadFrame> {
        let Frame { first, format, engine, previous, .. } = *frame;
        let (before, own, after) = (Vec::new(), Digest::ZERO, Vec::new());
        let mut link = Self { first, format, engine, previous, before, own, after };
        let mut found = None;
        frame.walk(|entry, bytes| {
            let digest = frame::entry_digest(bytes);
            if entry.sequence == sequence {
                link.own = digest;
                found = Some((entry, bytes));
            } else if found.is_none() {
                link.before.push(digest);
            } else {
                link.after.push(digest);
            }
        })?;
        Ok(found.map(|entry| (link, entry)))
    }

    /// The hash that the frame has if this is true of it.
    fn hash(&self) -> Digest {
        let entries = [self.before.as_slice(), &[self.own], self.after.as_slice()].concat();
        frame::hash(self.previous, self.first, self.format, self.engine, &entries)
    }

    fn count(&self) -> usize {
        self.before.len().saturating_add(1).saturating_add(self.after.len())
    }

    /// The sequence number of the entry at this place.
    fn sequence(&self) -> Option<u64> {
        self.first.checked_add(u64::try_from(self.before.len()).ok()?)
    }
}

impl Chain {
    fn of(link: &Link) -> Self {
        let texts = |digests: &[Digest]| digests.iter().map(Digest::to_string).collect();
        Self {
            first: link.first,
            count: u32::try_from(link.count()).unwrap_or(u32::MAX),
            format: link.format,
            engine: link.engine,
            previous: link.previous.to_string(),
            before: texts(&link.before),
            after: texts(&link.after),
            hash: link.hash().to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
