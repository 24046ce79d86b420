//! The record of one AWU: its journal entries, folded into what can be told about it.
//!
//! Telemetry, query tables and the commands for people are made from records. A record decides nothing
//! and is never read back into the books.

use std::sync::Arc;

use crate::admit::{Admitted, Refused, Reservation, Ruling};
use crate::amount::Amount;
use crate::awu::{AwuId, Execution, State};
use crate::digest::Digest;
use crate::ledger::{Act, Admit, Command, Correction, Entry, Outcome, Settled};
use crate::spec::Decision;
use crate::time::Timestamp;

/// An entry, and the chain hash of the frame that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled {
    /// The entry.
    pub entry: Entry,
    /// The hash that commits to it and to everything before it.
    pub chain: Digest,
}

/// What is known of one AWU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwuRecord {
    /// The entry that decided it.
    pub sequence: u64,
    /// The chain hash of that entry.
    pub chain: Digest,
    /// When it was decided.
    pub at: Timestamp,
    /// What it asked.
    pub request: Arc<Admit>,
    /// What was decided.
    pub verdict: Verdict,
    /// When it was started, if it was.
    pub started: Option<Timestamp>,
    /// How it ended, if it has. What is told of it in telemetry rests on this for good.
    pub ending: Option<Ending>,
    /// What was learned of it afterwards, in order.
    pub later: Vec<Later>,
}

/// An entry about an AWU that had been told as ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// The entry's place in the journal.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub news: News,
}

/// What was learned of an AWU after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "late news are few, and a record holds hardly ever any")]
pub enum News {
    /// It was in doubt, and is settled now.
    Settled {
        /// What was executed.
        execution: Execution,
        /// What is charged now.
        settled: Settled,
        /// The operator who resolved it; `None` where its holder did.
        act: Option<Act>,
    },
    /// What it was charged was wrong.
    Corrected(Arc<Correction>),
}

/// The decision, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted.
    Admitted(Arc<Admitted>),
    /// Refused.
    Refused(Arc<Refused>),
}

/// The entry that ended an AWU, or that gave it up for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The entry's place in the journal.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// In which way.
    pub how: How,
}

/// The ways in which an admitted AWU ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every AWU settles: a box would cost each of them an allocation"
)]
pub enum How {
    /// Accounted for.
    Settled {
        /// What was executed.
        execution: Execution,
        /// What was charged.
        settled: Settled,
    },
    /// Never executed; its reservation was given back.
    Released,
    /// Its process died while it ran; its reservation is charged.
    InDoubt,
}

impl AwuRecord {
    /// Begins a record; `None` where the entry admits or refuses nothing.
    #[must_use]
    pub fn begin(journaled: Journaled) -> Option<Self> {
        let Entry { sequence, at, command: Command::Admit(request), outcome } = journaled.entry else {
            return None;
        };
        let (verdict, started) = match outcome {
            Outcome::Admitted(admitted) => {
                let started = admitted.started().then_some(at);
                (Verdict::Admitted(admitted), started)
            }
            Outcome::Refused(refused) => (Verdict::Refused(refused), None),
            _ => return None,
        };
        Some(Self {
            sequence,
            chain: journaled.chain,
            at,
            request,
            verdict,
            started,
            ending: None,
            later: Vec::new(),
        })
    }

    /// Takes in a later entry about the same AWU.
    pub fn follow(&mut self, entry: Entry) {
        let Entry { sequence, at, command, outcome } = entry;
        let was_ended = self.ending.is_some();
        let how = match (command, outcome) {
            (_, Outcome::Started) => {
                self.started = Some(at);
                return;
            }
            (Command::Settle { execution, .. }, Outcome::Settled(settled)) if !was_ended => {
                How::Settled { execution, settled }
            }
            (Command::Settle { execution, .. }, Outcome::Settled(settled)) => {
                let news = News::Settled { execution, settled, act: None };
                return self.later.push(Later { sequence, at, news });
            }
            (Command::Resolve { execution, act, .. }, Outcome::Settled(settled)) => {
                let news = News::Settled { execution, settled, act: Some(act) };
                return self.later.push(Later { sequence, at, news });
            }
            (Command::Correct(correction), Outcome::Corrected { .. }) => {
                return self.later.push(Later { sequence, at, news: News::Corrected(correction) });
            }
            (_, Outcome::Released) => How::Released,
            (_, Outcome::InDoubt { .. }) => How::InDoubt,
            _ => return,
        };
        self.ending = Some(Ending { sequence, at, how });
    }

    /// The AWU that an entry is about.
    #[must_use]
    pub fn subject(command: &Command) -> Option<AwuId> {
        match command {
            Command::AdoptPolicy(_) | Command::Grant(_) | Command::Revoke { .. } | Command::Erase { .. } => {
                None
            }
            Command::Admit(request) => Some(request.awu),
            Command::Correct(correction) => Some(correction.awu),
            Command::Report(note) => Some(note.awu),
            Command::Start { awu }
            | Command::Extend { awu, .. }
            | Command::Release { awu }
            | Command::Settle { awu, .. }
            | Command::Orphan { awu }
            | Command::Expire { awu }
            | Command::Resolve { awu, .. } => Some(*awu),
        }
    }

    /// The AWU's identity.
    #[must_use]
    pub fn id(&self) -> AwuId {
        self.request.awu
    }

    /// What was decided, and what that rests on.
    #[must_use]
    pub fn ruling(&self) -> &Ruling {
        match &self.verdict {
            Verdict::Admitted(admitted) => admitted.ruling(),
            Verdict::Refused(refused) => &refused.ruling,
        }
    }

    /// The decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.ruling().decision
    }

    /// The cells that the decision read, in order.
    #[must_use]
    pub fn cells(&self) -> &[Reservation] {
        &self.ruling().cells
    }

    /// Whether nothing more can be told about it, but for late news.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.ending.is_some() || matches!(self.verdict, Verdict::Refused(_))
    }

    /// When it was complete.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match (&self.ending, &self.verdict) {
            (Some(ending), _) => Some(ending.at),
            (None, Verdict::Refused(_)) => Some(self.at),
            (None, Verdict::Admitted(_)) => None,
        }
    }

    /// The word for where it stands: a state of the ledger's diagram, or REFUSED.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.later.iter().any(|later| matches!(later.news, News::Settled { .. })) {
            return "SETTLED";
        }
        match (&self.verdict, &self.ending) {
            (Verdict::Refused(_), _) => "REFUSED",
            (_, Some(Ending { how: How::Settled { .. }, .. })) => "SETTLED",
            (_, Some(Ending { how: How::Released, .. })) => "RELEASED",
            (_, Some(Ending { how: How::InDoubt, .. })) => State::InDoubt.as_str(),
            (_, None) if self.started.is_some() => State::Executing.as_str(),
            (_, None) => State::Reserved.as_str(),
        }
    }

    /// Whether work may have run: it was started, and not provably never sent. Only then is there something to
    /// reconcile (section 7.2.1).
    #[must_use]
    pub fn executed(&self) -> bool {
        match self.ending.as_ref().map(|ending| &ending.how) {
            Some(How::Settled { execution, .. }) => execution.end.was_sent(),
            Some(How::InDoubt) => true,
            Some(How::Released) | None => false,
        }
    }

    /// What was charged in the cell at `position` of the path, and whether for want of a measurement.
    #[must_use]
    pub fn charged(&self, position: usize) -> Option<(Amount, bool)> {
        match &self.ending.as_ref()?.how {
            How::Settled { settled, .. } => Some((*settled.actual.get(position)?, settled.incomplete)),
            How::InDoubt => Some((self.cells().get(position)?.amount, true)),
            How::Released => None,
        }
    }

    /// What is charged in the cell at `position` of the path by now, and whether for want of a measurement: with what was
    /// learned after its end.
    #[must_use]
    pub fn charged_now(&self, position: usize) -> Option<(Amount, bool)> {
        self.charged_after(position, self.later.len())
    }

    /// The same with the first `news` of what was learned after its end.
    #[must_use]
    pub fn charged_after(&self, position: usize, news: usize) -> Option<(Amount, bool)> {
        let cell = self.cells().get(position)?.cell;
        let first = self.charged(position)?;
        self.later.iter().take(news).try_fold(first, |(charged, incomplete), later| match &later.news {
            News::Settled { settled, .. } => Some((*settled.actual.get(position)?, settled.incomplete)),
            News::Corrected(correction) => {
                let mut postings = correction.postings.iter();
                match postings.find(|posting| posting.cell == cell) {
                    Some(posting) => Some((charged.checked_add(posting.amount)?, false)),
                    None => Some((charged, incomplete)),
                }
            }
        })
    }

    /// When it was first charged: its end, or when it came into doubt. A late settlement that came to less took away from
    /// there, and one that came to more added later; so what is taken away there is never missed where others were charged.
    #[must_use]
    pub fn charged_at(&self) -> Option<Timestamp> {
        self.ending.as_ref().map(|ending| ending.at)
    }

    /// The latency that is told of the AWU (section 6.3), in nanoseconds; `None` where it did not execute. Where its
    /// process died, it is the time until that was noticed.
    #[must_use]
    pub fn latency_ns(&self) -> Option<u64> {
        let ending = self.ending.as_ref().filter(|_| self.executed())?;
        match &ending.how {
            How::Settled { execution, .. } => Some(execution.latency_ns),
            How::InDoubt => Some(ending.at.nanos_since(self.started?)),
            How::Released => None,
        }
    }

    /// Whether its latency met the target of its tier (section 6.3); `None` where it has no tier, or did not execute.
    #[must_use]
    pub fn met_target(&self) -> Option<bool> {
        Some(self.ruling().sla.as_ref()?.is_met_by(self.latency_ns()?))
    }

    /// The digest of everything that the decision was asked: equal for equal questions (section 3.5).
    #[must_use]
    pub fn input_digest(&self) -> Digest {
        Digest::of_value("genops input 3", &self.request.proposal)
    }

    /// The digest of exactly the state that the decision read: policy, time, circuit, rates, latencies and cells
    /// (section 3.5). Only a decision that asked one of the first four depends on the time beyond the windows of its
    /// cells.
    #[must_use]
    pub fn state_digest(&self) -> Digest {
        let ruling = self.ruling();
        let circuit = ruling.circuit.as_ref().map(|step| (&step.provider, step.before));
        let rates: Vec<_> = ruling.rates.iter().map(|step| (&step.key, step.before)).collect();
        let sla = ruling.sla.as_ref().map(|step| (&step.class, step.expected_ns, step.last_admitted));
        let cells: Vec<_> = ruling.cells.iter().map(|step| (&step.key, step.before)).collect();
        let asked_at = (circuit.is_some() || !rates.is_empty() || sla.is_some()).then_some(self.at);
        Digest::of_value("genops state 4", &(ruling.policy, asked_at, circuit, rates, sla, cells))
    }
}
