//! AWUs that somebody else holds: a workload in another process, on another machine. It knows them by their identity, says
//! what becomes of them, and is taken for lost where it stays silent beyond its deadline.
//!
//! Every step may be said again: where the answer to the first was lost, the second is told the same. What is said
//! differently the second time is a conflict. How this is spoken over HTTP is not known here.
//!
//! ```
//! use genops::core::amount::Quantity;
//! use genops::core::awu::{End, Execution, Proposal, Used};
//! use genops::core::ledger::Admit;
//! use genops::core::policy::Policy;
//! use genops::core::{Attribution, Name, Unit};
//! use genops::{Governor, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (governor, _) = Governor::open(Settings::in_memory(Policy::unrestricted())).await?;
//! let seconds = |amount: &str| -> Result<_, Box<dyn std::error::Error>> {
//!     Ok(vec![Quantity { unit: "compute_seconds".parse::<Unit>()?, amount: amount.parse()? }])
//! };
//! // A fine-tuning job that may take an hour, and says so: nothing is asked of a model.
//! let attribution = Attribution::new(Some("research"), Some("tuning"), Some("production"))?;
//! let proposal = Proposal {
//!     quantities: seconds("3600")?,
//!     accounting_unit: Some("compute_seconds".parse()?),
//!     ..Proposal::work(attribution, Name::new("tune")?, Name::new("training")?)
//! };
//! let told = governor.propose(Admit::new(governor.new_id(), proposal)).await?;
//! let awu = told.what.id();
//! governor.start(awu).await?;
//!
//! // ... in another process, within its deadline ...
//!
//! let execution = Execution {
//!     end: End::Completed,
//!     used: Used::Reported(Default::default()),
//!     quantities: seconds("1234.5")?,
//!     ..Execution::abandoned(0)
//! };
//! let settled = governor.settle(awu, execution).await?;
//! assert_eq!(settled.what.charged_now(0).map(|(amount, _)| amount.to_string()), Some("1234.5".to_owned()));
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use genops_core::awu::{AwuId, Execution, State};
use genops_core::ledger::{Admit, Books, Command, Entry, Note, Outcome, Rejection, Reported};
use genops_core::record::{AwuRecord, Ending, How, Journaled, Later, News};
use genops_core::{Amount, Digest, Name, Timestamp, Unit};
use genops_ledger::{LedgerError, StoreError};

use crate::governor::Governor;
use crate::report::{ReportError, blocking, found_or_archived};

/// How long a holder may be silent where nobody says.
pub const WITHIN_NS: u64 = 600 * 1_000_000_000;

/// What came of a request, and whether it had been made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What came of it.
    pub what: T,
    /// Whether this repeats what was told before.
    pub is_repeated: bool,
}

/// Why a step was not taken. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// The ledger did not take it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What was said before cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Nobody knows the AWU.
    #[error("no AWU {0} is in this ledger")]
    Unknown(AwuId),
    /// A grant for a budget in a fixed range of time, of which it has nothing.
    #[error("the grant helps nobody: the budget's range of time is over, or begins once the grant has ended")]
    HelpsNobody,
    /// A correction rests on a charge that is not the one in force.
    #[error("AWU {awu} is charged {charged} {unit} now, and not {before}: nothing was corrected")]
    ChargedOtherwise {
        /// The AWU.
        awu: AwuId,
        /// The unit.
        unit: Unit,
        /// What it is charged.
        charged: Amount,
        /// What the correction takes it to be charged.
        before: Amount,
    },
    /// The AWU stands where this step cannot be taken, or something else was said of it before.
    #[error("AWU {awu} {what}")]
    Conflict {
        /// The AWU.
        awu: AwuId,
        /// What does not fit.
        what: String,
    },
}

impl Governor {
    /// Decides a request of a holder, who is silent for [`WITHIN_NS`] at most where the request does not say how long. The
    /// decision is durable when this returns. A request with an idempotency key that was made before is told what came of
    /// it the first time.
    ///
    /// # Errors
    ///
    /// The ledger takes nothing, or the request does not fit: another one was made with its key, or the key is too old.
    pub async fn propose(&self, request: Admit) -> Result<Told<AwuRecord>, HeldError> {
        let within_ns = request.within_ns.or(Some(WITHIN_NS));
        let (entry, is_repeated) = match self.decide(Admit { within_ns, ..request }).await {
            // Whoever asks is told nothing of the chain, which is not known yet.
            Ok(entry) => (Journaled { entry, chain: Digest::ZERO }, false),
            Err(LedgerError::Rejected(Rejection::Remembered { sequence })) => {
                self.ledger().durable(sequence).await?;
                (self.journaled(sequence).await?, true)
            }
            Err(error) => return Err(error.into()),
        };
        let sequence = entry.entry.sequence;
        let what = AwuRecord::begin(entry).ok_or_else(|| missing(sequence))?;
        let what = self.persons().record(what).map_err(ReportError::from)?;
        Ok(Told { what, is_repeated })
    }

    async fn decide(&self, request: Admit) -> Result<Entry, LedgerError> {
        self.persons().admit(self.ledger(), self.now(), request)?.durable().await
    }

    /// Records that the work begins. It must not begin before this returns. Gives when, unless it had begun before.
    ///
    /// # Errors
    ///
    /// The AWU is not known, or is over.
    pub async fn start(&self, awu: AwuId) -> Result<Told<Option<Timestamp>>, HeldError> {
        match self.take(Command::Start { awu }).await {
            Ok(entry) => Ok(Told { what: Some(entry.at), is_repeated: false }),
            Err(LedgerError::Rejected(Rejection::WrongState { state: State::Executing, .. })) => {
                self.settled_order().await?;
                Ok(Told { what: None, is_repeated: true })
            }
            Err(error) => Err(self.explain_misfit(awu, error).await),
        }
    }

    /// Gives the holder more time: `within_ns` nanoseconds from now. Gives the new deadline.
    ///
    /// # Errors
    ///
    /// The AWU is not known, or is over, or has no deadline.
    pub async fn extend(&self, awu: AwuId, within_ns: u64) -> Result<Timestamp, HeldError> {
        match self.take(Command::Extend { awu, within_ns }).await {
            Ok(Entry { outcome: Outcome::Extended { deadline }, .. }) => Ok(deadline),
            Ok(entry) => Err(missing(entry.sequence).into()),
            Err(error) => Err(self.explain_misfit(awu, error).await),
        }
    }

    /// Gives the reservation back: the work will not begin.
    ///
    /// # Errors
    ///
    /// The AWU is not known, or has begun.
    pub async fn release(&self, awu: AwuId) -> Result<Told<AwuRecord>, HeldError> {
        let is_repeated = match self.take(Command::Release { awu }).await {
            Ok(_) => false,
            Err(LedgerError::Rejected(Rejection::NotOpen { .. })) => true,
            Err(error) => return Err(self.explain_misfit(awu, error).await),
        };
        let what = self.known(awu).await?;
        match &what.ending {
            Some(Ending { how: How::Released, .. }) => Ok(Told { what, is_repeated }),
            _ => Err(conflict(awu, format!("is {}, so it cannot be released", what.state()))),
        }
    }

    /// Records what the work came to. An AWU that is in doubt by now is settled late.
    ///
    /// # Errors
    ///
    /// The AWU is not known, has not begun, was released, or was settled with something else.
    pub async fn settle(&self, awu: AwuId, execution: Execution) -> Result<Told<AwuRecord>, HeldError> {
        let command = Command::Settle { awu, execution: execution.clone() };
        let is_repeated = match self.take(command).await {
            Ok(_) => false,
            Err(LedgerError::Rejected(Rejection::NotOpen { .. })) => true,
            Err(error) => return Err(self.explain_misfit(awu, error).await),
        };
        let what = self.known(awu).await?;
        match settled_with(&what) {
            Some(settled) if *settled == execution => Ok(Told { what, is_repeated }),
            Some(_) => {
                let what = "was settled with something else before; correct it instead".to_owned();
                Err(conflict(awu, what))
            }
            None => Err(conflict(awu, format!("is {}, so it cannot be settled", what.state()))),
        }
    }

    /// Keeps what is reported of an AWU, whether it is over or not. Gives the entry.
    ///
    /// # Errors
    ///
    /// The AWU is not known.
    pub async fn record(&self, awu: AwuId, what: Reported) -> Result<u64, HeldError> {
        let known = self.known_by_pseudonyms(awu).await?;
        let attribution = known.request.proposal.attribution.clone();
        let note = Note { awu, decided: known.sequence, attribution, what };
        Ok(self.take_of(Command::Report(Arc::new(note)), &known).await?.sequence)
    }

    /// What is known of an AWU, as of everything that has happened by now.
    ///
    /// # Errors
    ///
    /// Nobody knows it, or the journal cannot be read.
    pub async fn known(&self, awu: AwuId) -> Result<AwuRecord, HeldError> {
        let record = self.known_by_pseudonyms(awu).await?;
        self.revealed(record).await
    }

    /// The key that an AWU was proposed with that is in an archive, as far as anybody remembers.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn key_of_archived(&self, awu: AwuId) -> Result<Option<Name>, HeldError> {
        let governor = self.clone();
        let look = move || {
            let Some(key) = governor.with_views(|views| views.key_of(awu))? else { return Ok(None) };
            let said = governor.persons().value(&key)?;
            Ok(said.or(Some(key)))
        };
        Ok(blocking(look).await?)
    }

    /// The same of the AWU that was decided as `decided` says, whoever has its identity by now.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn as_it_stands(&self, decided: &AwuRecord) -> Result<AwuRecord, HeldError> {
        self.settled_order().await?;
        let record = self.found(decided.id(), Some(decided.sequence)).await?;
        self.revealed(record).await
    }

    /// A record of the journal with the names that pseudonyms stand for.
    async fn revealed(&self, record: AwuRecord) -> Result<AwuRecord, HeldError> {
        if !record.names_persons() {
            return Ok(record);
        }
        let governor = self.clone();
        Ok(blocking(move || Ok(governor.persons().record(record)?)).await?)
    }

    /// The same as the journal has it, for whoever says more of it there.
    pub(crate) async fn known_by_pseudonyms(&self, awu: AwuId) -> Result<AwuRecord, HeldError> {
        let look = |books: &Books| (books.sequence(), books.open_awu(awu).map(|open| open.admitted));
        let (sequence, admitted) = self.ledger().read(look)?;
        self.ledger().durable(sequence).await?;
        self.found(awu, admitted).await
    }

    async fn found(&self, awu: AwuId, decided: Option<u64>) -> Result<AwuRecord, HeldError> {
        let governor = self.clone();
        let found = blocking(move || governor.find(awu, decided)).await?;
        found.ok_or(HeldError::Unknown(awu))
    }

    fn find(&self, awu: AwuId, decided: Option<u64>) -> Result<Option<AwuRecord>, ReportError> {
        // The tables are not caught up with: whoever ends work has to be able to where they cannot be written.
        let standing = self.with_views(|views| views.standing(awu, decided))?;
        let mut journal = self.ledger().journal()?;
        let found = standing.now(&mut journal)?;
        found_or_archived(awu, found, &mut journal)
    }

    /// Takes a command, and waits until it is durable.
    pub(crate) async fn take(&self, command: Command) -> Result<Entry, LedgerError> {
        self.ledger().submit(self.now(), command)?.durable().await
    }

    /// Takes what is said of an AWU that may have ended, and waits until it is durable. `record` is of the journal, by
    /// pseudonyms.
    pub(crate) async fn take_of(&self, command: Command, record: &AwuRecord) -> Result<Entry, LedgerError> {
        self.ledger().submit_of(self.now(), command, record)?.durable().await
    }

    /// Waits until everything that has its place in the order is durable: what is told next may rest on any of it.
    pub(crate) async fn settled_order(&self) -> Result<(), LedgerError> {
        let sequence = self.ledger().read(Books::sequence)?;
        self.ledger().durable(sequence).await
    }

    async fn journaled(&self, sequence: u64) -> Result<Journaled, HeldError> {
        let governor = self.clone();
        let read = move || governor.ledger().journal()?.entry(sequence);
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| failed(error.to_string()))?;
        Ok(read.map_err(ReportError::from)?.ok_or_else(|| missing(sequence))?)
    }

    /// Why a step does not fit, with where the AWU stands.
    pub(crate) async fn explain_misfit(&self, awu: AwuId, error: LedgerError) -> HeldError {
        match error {
            LedgerError::Rejected(Rejection::WrongState { state, .. }) => {
                conflict(awu, format!("is {}, which does not allow this step", state.as_str()))
            }
            LedgerError::Rejected(Rejection::NotOpen { .. }) => match self.known(awu).await {
                Ok(known) => conflict(awu, format!("is {}, which does not allow this step", known.state())),
                Err(error) => error,
            },
            error => error.into(),
        }
    }
}

/// What an AWU was settled with by now, if it was.
#[must_use]
pub fn settled_with(record: &AwuRecord) -> Option<&Execution> {
    let late = record.later.iter().find_map(|Later { news, .. }| match news {
        News::Settled { execution, .. } => Some(execution),
        News::Corrected(_) => None,
    });
    late.or_else(|| record.execution())
}

pub(crate) fn conflict(awu: AwuId, what: String) -> HeldError {
    HeldError::Conflict { awu, what }
}

fn failed(what: String) -> LedgerError {
    LedgerError::Failed(StoreError::Failed { what })
}

fn missing(sequence: u64) -> LedgerError {
    failed(format!("entry {sequence} cannot be told"))
}
