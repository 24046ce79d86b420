//! One AWU in files: archives, and the ledger that they have left; for the commands that only read. Of the journal nothing is
//! held beyond what is told of the AWU.

use std::path::PathBuf;
use std::sync::Arc;

use genops_core::AwuId;
use genops_core::ledger::Command;
use genops_core::policy::Policy;
use genops_core::record::{AwuRecord, Journaled};
use genops_ledger::frame::Frame;
use genops_ledger::source::Sources;

use super::{AwuReport, Explanation, ReportError, explained};
use crate::persons::Persons;

/// What files say of one AWU.
#[derive(Debug)]
pub struct Recorded {
    record: AwuRecord,
    decided: Decided,
    /// The last entry, where the last file is no ledger.
    end: Option<u64>,
    persons: Persons,
}

/// What an AWU was decided by, and where that stands.
#[derive(Debug)]
struct Decided {
    /// The policy that was in force; `None` where a file that was not given says that.
    policy: Option<Arc<Policy>>,
    frame: Frame,
}

impl Recorded {
    /// Looks for an AWU in files that are one journal, in the order of its entries, or a part of one. Its chain is verified on
    /// the way. An identity may be used again once its AWU has ended: the latest is meant.
    ///
    /// # Errors
    ///
    /// The AWU is not there, or the files cannot be read or are damaged.
    pub fn find(files: &[PathBuf], awu: AwuId) -> Result<Self, ReportError> {
        let sources = Sources::open(files)?;
        let persons = Persons::of_files(files)?;
        let (policies, archives, (first, _)) = (sources.policies()?, sources.archives()?, sources.begins());
        let (mut policy, mut record, mut decided): (_, Option<AwuRecord>, _) = (None, None, None);
        let is_ledger = sources.end_in_a_ledger();
        let last = sources.walk(|frame, entries| {
            for entry in entries {
                // Archives before may adopt none, so that only the ledger says which was in force.
                if policy.is_none() {
                    let here = policies.iter().find(|(first, _)| *first == entry.sequence);
                    policy = here.map(|(_, policy)| Arc::clone(policy));
                }
                match &entry.command {
                    Command::AdoptPolicy(adopted) => policy = Some(Arc::clone(adopted)),
                    command if AwuRecord::subject(command) != Some(awu) => {}
                    _ => {
                        let sequence = entry.sequence;
                        AwuRecord::take(&mut record, Journaled { entry, chain: frame.hash });
                        if record.as_ref().is_some_and(|record| record.sequence == sequence) {
                            decided = Some(Decided { policy: policy.clone(), frame: frame.clone() });
                        }
                    }
                }
            }
            Ok::<_, ReportError>(())
        })?;
        let end = (!is_ledger).then_some(last);
        let (record, decided) =
            record.zip(decided).ok_or(ReportError::NotRecorded { awu, first, end, archives })?;
        Ok(Self { record, decided, end, persons })
    }

    /// The AWU.
    #[must_use]
    pub fn awu(&self) -> AwuId {
        self.record.id()
    }

    /// The last entry of the files, where that is not the ledger's: nothing is known of what was learned later, nor whom
    /// pseudonyms stand for.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.end
    }

    /// What is told of the AWU.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read any more.
    pub fn report(&self) -> Result<AwuReport, ReportError> {
        Ok(AwuReport::of(&self.persons.record(self.record.clone())?))
    }

    /// Why it was decided so.
    ///
    /// # Errors
    ///
    /// The policy that decided is in a file that was not given, or the ledger cannot be read any more.
    pub fn explanation(&self) -> Result<Explanation, ReportError> {
        let version = self.record.ruling().policy;
        let policy = self.decided.policy.clone().filter(|policy| policy.version() == version);
        explained(self.record.clone(), policy.ok_or(ReportError::NoPolicy(version))?, &self.persons)
    }

    /// The entry that decided it, and the frame that holds that.
    pub(crate) const fn decided(&self) -> (u64, &Frame) {
        (self.record.sequence, &self.decided.frame)
    }
}
