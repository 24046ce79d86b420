//! The record of one AWU: its journal entries, folded into what can be told about it.
//!
//! Telemetry, query tables and the commands for people are made from records. A record decides nothing
//! and is never read back into the books.

use std::sync::Arc;

use crate::admit::{Admitted, Refused, Reservation, Ruling};
use crate::amount::Amount;
use crate::awu::{AwuId, Execution, State};
use crate::digest::Digest;
use crate::ledger::{Act, Admit, Command, Correction, Entry, Outcome, Posting, Settled};
use crate::spec::{Decision, ReasonCode};
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
    /// The digests of what was asked and of what was read, where other names stand here than in the journal.
    pub(crate) digests: Option<(Digest, Digest)>,
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
            digests: None,
        })
    }

    /// Takes in an entry about an AWU of which `record` is known so far. An identity may be used again once its AWU has ended:
    /// the latest is meant.
    pub fn take(record: &mut Option<Self>, journaled: Journaled) {
        let is_new = matches!(journaled.entry.command, Command::Admit(_));
        match record {
            Some(known) if !is_new => known.follow(journaled.entry),
            known => *known = Self::begin(journaled).or_else(|| known.take()),
        }
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
            // Another AWU may have had the identity before.
            (Command::Correct(correction), Outcome::Corrected { .. })
                if correction.admitted == self.sequence =>
            {
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
            Command::AdoptPolicy(_)
            | Command::Grant(_)
            | Command::Revoke { .. }
            | Command::Lapse { .. }
            | Command::Erase { .. }
            | Command::CloseCells { .. } => None,
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
                let postings = correction.postings.iter().filter(|posting| posting.cell == cell);
                postings
                    .map(|posting| posting.amount)
                    .try_fold((charged, incomplete), |(charged, _), amount| {
                        Some((charged.checked_add(amount)?, false))
                    })
            }
        })
    }

    /// The postings that change the charge in the cell at `position` of the path by `amount`; `None` where it has no
    /// charge, or not so much. What is added is charged when it is posted. What is taken away is taken from what was
    /// charged last: so a correction gives back what one before it took, and nothing of what others were charged; and what
    /// is left counts from when the AWU was first charged, which is never later than anything else of it.
    #[must_use]
    pub fn postings(&self, position: usize, amount: Amount) -> Option<Vec<Posting>> {
        let cell = self.cells().get(position)?.cell;
        let charges = self.charges(position)?;
        if !amount.is_negative() {
            return Some(vec![Posting { cell, amount, charged_at: charges.first()?.0 }]);
        }
        let mut rest = amount.checked_neg()?;
        let mut postings = Vec::new();
        for (charged_at, charge) in charges.into_iter().rev() {
            let taken = rest.min(charge);
            if taken > Amount::ZERO {
                rest = rest.checked_sub(taken)?;
                postings.push(Posting { cell, amount: taken.checked_neg()?, charged_at });
            }
        }
        (rest == Amount::ZERO).then_some(postings)
    }

    /// What it is charged in the cell at `position` of the path, by when it was charged, the first time first.
    fn charges(&self, position: usize) -> Option<Vec<(Timestamp, Amount)>> {
        let cell = self.cells().get(position)?.cell;
        let mut charges = vec![(self.ending.as_ref()?.at, self.charged(position)?.0)];
        for Later { at, news, .. } in &self.later {
            match news {
                // It takes away from, or adds to, the one charge that there is.
                News::Settled { settled, .. } => {
                    let charged = sum(&charges)?;
                    let more = settled.actual.get(position)?.checked_sub(charged)?;
                    let first = charges.first()?.0;
                    charge(&mut charges, if more.is_negative() { first } else { *at }, more)?;
                }
                News::Corrected(correction) => {
                    for posting in correction.postings.iter().filter(|posting| posting.cell == cell) {
                        let is_less = posting.amount.is_negative();
                        let of = if is_less { posting.charged_at } else { *at };
                        charge(&mut charges, of, posting.amount)?;
                    }
                }
            }
        }
        Some(charges)
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
        let computed = || Digest::of_value("genops input 3", &self.request.proposal);
        self.digests.map_or_else(computed, |(input, _)| input)
    }

    /// The digest of exactly the state that the decision read: policy, time, circuit, rates, latencies and cells
    /// (section 3.5), and whether the books had a place for what was new. Only a decision that asked one of the first four depends on the time beyond the windows of its
    /// cells.
    #[must_use]
    pub fn state_digest(&self) -> Digest {
        if let Some((_, state)) = self.digests {
            return state;
        }
        let ruling = self.ruling();
        let circuit = ruling.circuit.as_ref().map(|step| (&step.provider, step.before));
        let rates: Vec<_> = ruling.rates.iter().map(|step| (&step.key, step.before)).collect();
        let sla = ruling.sla.as_ref().map(|step| (&step.class, step.expected_ns, step.last_admitted));
        let cells: Vec<_> = ruling.cells.iter().map(|step| (&step.key, step.before)).collect();
        let asked_at = (circuit.is_some() || !rates.is_empty() || sla.is_some()).then_some(self.at);
        let is_full = ruling.findings.iter().any(|finding| {
            finding.said.reason_code().is_some_and(|code| *code == ReasonCode::too_many_shares())
        });
        Digest::of_value("genops state 4", &(ruling.policy, asked_at, circuit, rates, sla, cells, is_full))
    }
}

/// Adds to what was charged at `at`.
fn charge(charges: &mut Vec<(Timestamp, Amount)>, at: Timestamp, amount: Amount) -> Option<()> {
    match charges.iter_mut().find(|(charged_at, _)| *charged_at == at) {
        Some((_, charged)) => *charged = charged.checked_add(amount)?,
        None => charges.push((at, amount)),
    }
    Some(())
}

fn sum(charges: &[(Timestamp, Amount)]) -> Option<Amount> {
    charges.iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.checked_add(*amount))
}
