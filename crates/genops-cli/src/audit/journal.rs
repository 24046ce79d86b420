//! What the journal says of each AWU, as far as an audit compares it: a few hundred bytes for each, found by its identity
//! or by that of its model call.
//!
//! Digests stand for what telemetry is to say; where it says something else, the record is read again. Nothing is compared
//! here.

use std::ops::Range;
use std::path::Path;

use foldhash::{HashMap, HashMapExt as _};
use genops::core::awu::Used;
use genops::core::price::Tokens;
use genops::core::record::{AwuRecord, How, Journaled};
use genops::core::{Amount, AwuId, Name, Timestamp, Unit};
use genops::ledger::sqlite::SqliteStore;
use genops::ledger::{Journal, StoreError, recover};

use super::facts::{Facts, Print};
use super::progress::Progress;
use crate::Trouble;

/// So many AWUs are held against each other at a time.
pub const AWUS_MAX: usize = 2_000_000;

/// The AWUs of a journal that are audited.
pub struct Index {
    /// What is known of each, in the order in which they were decided or ended.
    pub awus: Vec<Known>,
    /// Where an identity leads: of an AWU, or of its model call.
    places: HashMap<AwuId, u32>,
    /// The models, by the numbers that AWUs and rows have instead.
    pub models: Models,
    /// How many AWUs were decided at other times than those that are audited.
    pub outside: u64,
    /// How many entries the journal has.
    pub entries: u64,
    /// The hash of its last frame.
    pub head: String,
    journal: Journal,
}

/// Where an identity leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// To an AWU that is audited.
    Awu(usize),
    /// To the model call of one.
    Call(usize),
    /// To an AWU that was decided at another time.
    Outside,
}

/// What is known of one AWU.
pub struct Known {
    /// Its identity.
    pub id: AwuId,
    /// The entries that decided it, started it where that is one of its own, and ended it; 0 where there is none.
    entries: [u64; 3],
    /// When it was decided.
    pub at: Timestamp,
    /// Where it stands.
    pub state: &'static str,
    /// What its span has to say, once it is over.
    pub span: Option<Print>,
    /// What its events have to say.
    pub events: Box<[Print]>,
    /// The model that was asked for, and the one that the provider says it used.
    pub models: (u32, u32),
    /// What came of it.
    pub ran: Ran,
    /// The tokens that were reported.
    pub tokens: Option<Tokens>,
    /// What was charged in US dollars; `None` where that is not what it is counted in.
    pub cost: Option<Amount>,
    /// Whether its span was delivered as the journal has it.
    pub span_is_same: bool,
    /// Whether its span was delivered as something else, too or instead.
    pub span_differs: bool,
    /// Which of its events were delivered, a bit each.
    events_told: u32,
    /// Whether an event was delivered that the journal does not have so.
    pub event_differs: bool,
}

/// Whether a provider has anything to bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Nothing was sent: refused, given back, not started, or not reached.
    No,
    /// It runs, as far as the journal knows.
    Still,
    /// It ran, and what it used is known.
    Known,
    /// It may have run; what is charged is the reservation, or what was counted, for want of a report.
    Unsure,
}

/// Names by numbers.
#[derive(Default)]
pub struct Models {
    names: Vec<Name>,
    numbers: HashMap<Name, u32>,
}

/// An AWU while its entries are read.
struct Life {
    record: AwuRecord,
    started: u64,
}

/// The place of AWUs of other times.
const OUTSIDE: u32 = u32::MAX;

impl Index {
    /// Reads a ledger and verifies it on the way. AWUs that were decided within `times` are audited.
    ///
    /// # Errors
    ///
    /// There is no ledger, it is damaged, or it has more AWUs than are held.
    pub fn read(path: &Path, times: &Range<Timestamp>) -> Result<Self, Trouble> {
        let open = || SqliteStore::read(path).map_err(Trouble::unusable);
        let verified = recover::replay(&mut open()?).map_err(Trouble::unusable)?;
        let mut index = Self {
            awus: Vec::new(),
            places: HashMap::new(),
            models: Models::default(),
            outside: 0,
            entries: verified.books.sequence(),
            head: verified.head.to_string(),
            journal: Journal::new(Box::new(open()?)),
        };
        let mut lives: HashMap<AwuId, Life> = HashMap::new();
        let mut progress = Progress::new("entries of the journal");
        let mut read = 0;
        let through = index.entries;
        while read < through {
            let entries = index.journal.after(read).map_err(Trouble::unusable)?;
            let Some(last) = entries.last() else { break };
            read = last.entry.sequence;
            progress.reached(read);
            for journaled in entries.into_iter().filter(|one| one.entry.sequence <= through) {
                index.take(journaled, &mut lives, times)?;
            }
        }
        // In the order of their decisions, whatever the order of the map.
        let mut open: Vec<_> = lives.into_values().collect();
        open.sort_unstable_by_key(|life| life.record.sequence);
        open.iter().try_for_each(|life| index.keep(life))?;
        Ok(index)
    }

    fn take(
        &mut self,
        journaled: Journaled,
        lives: &mut HashMap<AwuId, Life>,
        times: &Range<Timestamp>,
    ) -> Result<(), Trouble> {
        let Some(awu) = AwuRecord::subject(&journaled.entry.command) else { return Ok(()) };
        let sequence = journaled.entry.sequence;
        let life = match lives.remove(&awu) {
            Some(mut life) => {
                let was_started = life.record.started.is_some();
                life.record.follow(journaled.entry);
                if life.record.started.is_some() && !was_started {
                    life.started = sequence;
                }
                life
            }
            None => match AwuRecord::begin(journaled) {
                Some(record) if times.contains(&record.at) => Life { record, started: 0 },
                Some(record) => {
                    self.outside += 1;
                    self.places.insert(record.id(), OUTSIDE);
                    self.places.insert(call_of(record.id()), OUTSIDE);
                    return Ok(());
                }
                // The end of one that is outside.
                None => return Ok(()),
            },
        };
        let is_in_doubt = life.record.ending.as_ref().is_some_and(|ending| ending.how == How::InDoubt);
        // Somebody may know better later of what is in doubt.
        if life.record.is_complete() && !is_in_doubt {
            self.keep(&life)?;
        } else {
            lives.insert(awu, life);
        }
        Ok(())
    }

    fn keep(&mut self, Life { record, started }: &Life) -> Result<(), Trouble> {
        let place = u32::try_from(self.awus.len()).ok().filter(|_| self.awus.len() < AWUS_MAX);
        let place = place.ok_or_else(|| {
            Trouble::unusable(format!(
                "there are more than {AWUS_MAX} AWUs: audit a shorter time, with --since and --until"
            ))
        })?;
        let (ran, tokens, cost) = charge(record);
        let proposal = &record.request.proposal;
        // Work that asks no model goes by its name.
        let asked = self.models.number(proposal.model.as_ref().unwrap_or(&proposal.operation_name));
        let answered = record.execution().and_then(|execution| execution.response_model.as_ref());
        let answered = answered.map_or(asked, |model| self.models.number(model));
        let ended = record.ending.as_ref().map_or(0, |ending| ending.sequence);
        self.places.insert(record.id(), place);
        self.places.insert(call_of(record.id()), place);
        self.awus.push(Known {
            id: record.id(),
            entries: [record.sequence, *started, ended],
            at: record.at,
            state: record.state(),
            span: record.is_complete().then(|| Facts::of_record(record).print()),
            events: record.events().iter().map(|event| Facts::of_event(event).print()).collect(),
            models: (asked, answered),
            ran,
            tokens,
            cost,
            span_is_same: false,
            span_differs: false,
            events_told: 0,
            event_differs: false,
        });
        Ok(())
    }

    /// Where an identity leads, if it is known.
    pub fn find(&self, id: AwuId) -> Option<Found> {
        match *self.places.get(&id)? {
            OUTSIDE => Some(Found::Outside),
            place => {
                let place = usize::try_from(place).ok()?;
                let is_awu = self.awus.get(place)?.id == id;
                Some(if is_awu { Found::Awu(place) } else { Found::Call(place) })
            }
        }
    }

    /// Reads the record of an AWU again.
    ///
    /// # Errors
    ///
    /// The journal cannot be read any more.
    pub fn record(&mut self, place: usize) -> Result<Option<AwuRecord>, StoreError> {
        let Some(known) = self.awus.get(place) else { return Ok(None) };
        let [decided, later @ ..] = known.entries;
        let Some(begin) = self.journal.entry(decided)? else { return Ok(None) };
        let Some(mut record) = AwuRecord::begin(begin) else { return Ok(None) };
        for sequence in later {
            if let Some(journaled) = self.journal.entry(sequence)? {
                record.follow(journaled.entry);
            }
        }
        Ok(Some(record))
    }
}

impl Known {
    /// The entry that decided it.
    pub const fn sequence(&self) -> u64 {
        self.entries[0]
    }

    /// Whether its span was delivered, as whatever.
    pub const fn span_is_told(&self) -> bool {
        self.span_is_same || self.span_differs
    }

    /// Whether every event was delivered.
    pub fn all_events_are_told(&self) -> bool {
        (0..self.events.len()).all(|place| self.event_is_told(place))
    }

    /// Whether nothing of it was delivered.
    pub const fn is_untold(&self) -> bool {
        !self.span_is_told() && !self.event_differs && self.events_told == 0
    }

    /// Whether an event was delivered.
    pub fn event_is_told(&self, place: usize) -> bool {
        bit(place) & self.events_told != 0
    }

    /// An event was delivered.
    pub fn tell_event(&mut self, place: usize) {
        self.events_told |= bit(place);
    }
}

/// AWUs have five events at most.
const fn bit(place: usize) -> u32 {
    if place < 32 { 1 << place } else { 0 }
}

impl Models {
    /// The number of a name.
    pub fn number(&mut self, name: &Name) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|place| self.names.get(place)).map_or("", Name::as_str)
    }
}

/// The identity of an AWU's model call: what a provider is told in `traceparent`.
fn call_of(awu: AwuId) -> AwuId {
    AwuId { trace_id: awu.trace_id, span_id: awu.call_span_id() }
}

fn charge(record: &AwuRecord) -> (Ran, Option<Tokens>, Option<Amount>) {
    let charged = record.accounting().and_then(|(position, reservation)| {
        let (amount, incomplete) = record.charged_now(position)?;
        Some(((reservation.key.unit == Unit::Usd).then_some(amount), incomplete))
    });
    let (cost, is_incomplete) = charged.unwrap_or((None, false));
    if !record.executed() {
        let runs = record.ending.is_none() && record.started.is_some();
        return (if runs { Ran::Still } else { Ran::No }, None, cost);
    }
    let tokens = match record.execution().map(|execution| execution.used) {
        Some(Used::Reported(tokens)) => Some(tokens),
        Some(Used::Nothing) => Some(Tokens::default()),
        Some(Used::Unknown | Used::Counted(_)) | None => None,
    };
    let ran = if tokens.is_some() && !is_incomplete { Ran::Known } else { Ran::Unsure };
    (ran, tokens, cost)
}
