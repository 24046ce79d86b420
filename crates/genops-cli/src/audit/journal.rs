//! What the journal says of each AWU, as far as an audit compares it: a few hundred bytes for each, found by its identity
//! or by that of its model call.
//!
//! Digests stand for what telemetry is to say; where it says something else, the record is read again. Of AWUs of other times
//! nothing is held: whether an identity is one of theirs is looked up in the journal. Nothing is compared here.

use std::ops::Range;
use std::path::PathBuf;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use genops::core::awu::Used;
use genops::core::event::Event;
use genops::core::ledger::{CellId, Command, Correction, Entry, Outcome};
use genops::core::news;
use genops::core::price::Tokens;
use genops::core::record::{AwuRecord, How, Journaled};
use genops::core::{Amount, AwuId, Name, Timestamp, Unit, person};
use genops::held::settled_with;
use genops::ledger::source::open_whole;
use genops::ledger::{Journal, StoreError, recover};
use genops::persons::Persons;

use super::facts::{Facts, Print};
use super::progress::Progress;
use crate::Trouble;

/// So many AWUs are held against each other at a time.
pub const AWUS_MAX: usize = 2_000_000;

/// So many alerts, late news and reports are held.
const NEWS_MAX: usize = 4_000_000;

/// What to do where there is too much.
const SHORTER: &str = "audit a shorter time, with --since and --until";

/// The AWUs of a journal that are audited.
pub struct Index {
    /// What is known of each, in the order in which they were decided or ended.
    pub awus: Vec<Known>,
    /// Where an identity leads: of an AWU, or of its model call.
    places: HashMap<AwuId, u32>,
    /// The models, by the numbers that AWUs and rows have instead.
    pub models: Names,
    /// The providers, likewise.
    pub providers: Names,
    /// How many AWUs were decided at other times than those that are audited.
    pub outside: u64,
    /// How many entries the journal has.
    pub entries: u64,
    /// The hash of its last frame.
    pub head: String,
    /// How many AWUs are of persons whose names are not known: erased, or those of an export. Whose they are is not compared.
    pub unnamed: u64,
    /// How many alerts, late news and reports are held.
    news: usize,
    /// Alerts that are about no AWU.
    alone: HashMap<Print, Alone>,
    journal: Journal,
    persons: Persons,
}

/// Where an identity leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// To an AWU that is audited.
    Awu(usize),
    /// To the model call of one.
    Call(usize),
}

/// What is known of one AWU.
pub struct Known {
    /// Its identity.
    pub id: AwuId,
    /// The entries that decided it, started it where that is one of its own, and ended it; 0 where there is none.
    entries: [u64; 3],
    /// When it was decided.
    pub at: Timestamp,
    /// Whether it is a person's whose name is not known.
    pub is_unnamed: bool,
    /// Where it stands.
    pub state: &'static str,
    /// What its span has to say, once it is over.
    pub span: Option<Print>,
    /// What its events have to say: those of its decision and its end, then alerts, late news and reports of it.
    events: Vec<Expected>,
    /// The model that was asked for, and the one that the provider says it used.
    pub models: (u32, u32),
    /// The provider that was to be asked; `None` where the work asks none.
    pub provider: Option<u32>,
    /// What came of it.
    pub ran: Ran,
    /// The tokens that were reported.
    pub tokens: Option<Tokens>,
    /// What was charged in US dollars; `None` where that is not what it is counted in.
    pub cost: Option<Amount>,
    /// The cell in which that was charged.
    cell: Option<CellId>,
    /// Whether its span was delivered as the journal has it.
    pub span_is_same: bool,
    /// Whether its span was delivered as something else, too or instead.
    pub span_differs: bool,
    /// Whether an event was delivered that the journal does not have so.
    pub event_differs: bool,
}

/// An event that has to be delivered.
struct Expected {
    print: Print,
    /// The entry that says it beside decision and end; 0 where it is one of theirs.
    entry: u64,
    /// Whether it was delivered.
    is_told: bool,
}

/// Alerts that are about no AWU: a new policy, or the end of a grant, reached a threshold. More than one where they differ in
/// nothing but a person whose name is not known.
#[derive(Default)]
struct Alone {
    /// The entry that says it, for each of them.
    entries: Vec<u64>,
    /// Whether they are of the time that is audited.
    is_due: bool,
    /// What was delivered of them, with whose it is said to be: as many at most as there are.
    told: HashSet<Print>,
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
pub struct Names {
    names: Vec<Name>,
    numbers: HashMap<Name, u32>,
}

/// An AWU while its entries are read.
struct Life {
    record: AwuRecord,
    is_unnamed: bool,
    started: u64,
    news: Vec<Expected>,
}

impl Index {
    /// Reads a ledger, or an export of one, or archives and the ledger that they have left, and verifies them on the way. AWUs
    /// that were decided within `times` are audited.
    ///
    /// # Errors
    ///
    /// There is no ledger, a part of the journal is missing or damaged, or it has more AWUs than are held.
    pub fn read(paths: &[PathBuf], times: &Range<Timestamp>) -> Result<Self, Trouble> {
        let mut frames = open_whole(paths).map_err(Trouble::unusable)?;
        let verified = recover::replay(&mut *frames).map_err(Trouble::unusable)?;
        let mut index = Self {
            awus: Vec::new(),
            places: HashMap::new(),
            models: Names::default(),
            providers: Names::default(),
            outside: 0,
            entries: verified.books.sequence(),
            head: verified.head.to_string(),
            unnamed: 0,
            news: 0,
            alone: HashMap::new(),
            journal: Journal::new(frames),
            persons: Persons::of_files(paths).map_err(Trouble::unusable)?,
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
        open.into_iter().try_for_each(|life| index.keep(life))?;
        Ok(index)
    }

    fn take(
        &mut self,
        journaled: Journaled,
        lives: &mut HashMap<AwuId, Life>,
        times: &Range<Timestamp>,
    ) -> Result<(), Trouble> {
        let Some(awu) = AwuRecord::subject(&journaled.entry.command) else {
            return self.take_alone(&journaled.entry, times);
        };
        let sequence = journaled.entry.sequence;
        let life = match lives.remove(&awu) {
            Some(mut life) => {
                let was_started = life.record.started.is_some();
                life.news.extend(self.news_of(&journaled.entry, life.is_unnamed)?);
                life.record.follow(journaled.entry);
                if life.record.started.is_some() && !was_started {
                    life.started = sequence;
                }
                life
            }
            None if !matches!(journaled.entry.command, Command::Admit(_)) => {
                return self.learn(awu, &journaled.entry);
            }
            None => match AwuRecord::begin(journaled) {
                Some(record) if times.contains(&record.at) => {
                    self.room_beside(lives.len())?;
                    let record = self.persons.record(record).map_err(Trouble::unusable)?;
                    let is_unnamed = record.names_persons();
                    Life { record, is_unnamed, started: 0, news: Vec::new() }
                }
                Some(_) => {
                    self.outside += 1;
                    return Ok(());
                }
                None => return Ok(()),
            },
        };
        let is_in_doubt = life.record.ending.as_ref().is_some_and(|ending| ending.how == How::InDoubt);
        // Somebody may know better later of what is in doubt.
        if life.record.is_complete() && !is_in_doubt {
            self.keep(life)?;
        } else {
            lives.insert(awu, life);
        }
        Ok(())
    }

    /// Takes in the alerts of an entry that is about no AWU.
    fn take_alone(&mut self, entry: &Entry, times: &Range<Timestamp>) -> Result<(), Trouble> {
        if news::alerts(&entry.outcome).is_empty() {
            return Ok(());
        }
        let entry = self.persons.entry(entry.clone()).map_err(Trouble::unusable)?;
        for (event, alert) in news::events(&entry).iter().zip(news::alerts(&entry.outcome)) {
            let mut names = alert.key.each.iter().filter_map(|share| share.value.as_ref());
            let is_unnamed = names.any(|name| person::number(name).is_some());
            let print = Facts::of_event(event).of_whom(is_unnamed).print();
            let alone = self.alone.entry(print).or_default();
            // With a name, whoever says the same says it of the same.
            if is_unnamed || alone.entries.is_empty() {
                alone.entries.push(entry.sequence);
            }
            alone.is_due = times.contains(&entry.at);
        }
        self.hold_news(news::alerts(&entry.outcome).len())
    }

    /// An alert was delivered that is about no AWU; whether the journal has it.
    pub fn tell_alone(&mut self, delivered: Facts) -> bool {
        let with_name = delivered.print();
        // It may have been delivered before the person was erased whose share it is.
        for print in [with_name, delivered.of_whom(true).print()] {
            if let Some(alone) = self.alone.get_mut(&print) {
                if alone.told.len() < alone.entries.len() {
                    alone.told.insert(with_name);
                }
                return true;
            }
        }
        false
    }

    /// The entries whose alerts are about no AWU and were not delivered, one for each alert.
    pub fn untold_alone(&self) -> Vec<u64> {
        let due = self.alone.values().filter(|alone| alone.is_due);
        let untold = due.flat_map(|alone| alone.entries.iter().skip(alone.told.len()));
        let mut entries: Vec<_> = untold.copied().collect();
        entries.sort_unstable();
        entries
    }

    /// Takes in what is said of an AWU after its end; nothing where it was decided at another time.
    fn learn(&mut self, awu: AwuId, entry: &Entry) -> Result<(), Trouble> {
        let Some(Found::Awu(place)) = self.find(awu) else { return Ok(()) };
        let is_unnamed = self.awus.get(place).is_some_and(|known| known.is_unnamed);
        let news = self.news_of(entry, is_unnamed)?;
        let Some(known) = self.awus.get_mut(place) else { return Ok(()) };
        known.events.extend(news);
        if let (Command::Correct(correction), Outcome::Corrected { .. }) = (&entry.command, &entry.outcome) {
            known.correct(correction);
        }
        Ok(())
    }

    /// What an entry says of an AWU beside its decision and its end.
    fn news_of(&mut self, entry: &Entry, is_unnamed: bool) -> Result<Vec<Expected>, Trouble> {
        let entry = &self.persons.entry(entry.clone()).map_err(Trouble::unusable)?;
        let events = news::events(entry);
        self.hold_news(events.len())?;
        let expected = |event| Expected::new(&Facts::of_event(event).of_whom(is_unnamed), entry.sequence);
        Ok(events.iter().map(expected).collect())
    }

    fn hold_news(&mut self, more: usize) -> Result<(), Trouble> {
        self.news += more;
        if self.news > NEWS_MAX {
            let what = format!("there are more than {NEWS_MAX} alerts, corrections and reports");
            return Err(Trouble::unusable(format!("{what}: {SHORTER}")));
        }
        Ok(())
    }

    /// The place of the next AWU, if there is room for it beside so many more.
    fn room_beside(&self, more: usize) -> Result<u32, Trouble> {
        let place = u32::try_from(self.awus.len()).ok();
        let place = place.filter(|_| self.awus.len().saturating_add(more) < AWUS_MAX);
        place.ok_or_else(|| Trouble::unusable(format!("there are more than {AWUS_MAX} AWUs: {SHORTER}")))
    }

    fn keep(&mut self, Life { record, is_unnamed, started, news }: Life) -> Result<(), Trouble> {
        let place = self.room_beside(0)?;
        let record = &record;
        let (ran, tokens, cost) = charge(record);
        let proposal = &record.request.proposal;
        // Work that asks no model goes by its name.
        let asked = self.models.number(proposal.model.as_ref().unwrap_or(&proposal.operation_name));
        let answered = settled_with(record).and_then(|execution| execution.response_model.as_ref());
        let answered = answered.map_or(asked, |model| self.models.number(model));
        let provider = proposal.provider.as_ref().map(|provider| self.providers.number(provider));
        let ended = record.ending.as_ref().map_or(0, |ending| ending.sequence);
        let events = record.events();
        let events = events.iter().map(|event| Expected::new(&Facts::of_event(event).of_whom(is_unnamed), 0));
        self.unnamed += u64::from(is_unnamed);
        self.places.insert(record.id(), place);
        self.places.insert(call_of(record.id()), place);
        self.awus.push(Known {
            id: record.id(),
            entries: [record.sequence, started, ended],
            at: record.at,
            is_unnamed,
            state: record.state(),
            span: record.is_complete().then(|| Facts::of_record(record).of_whom(is_unnamed).print()),
            events: events.chain(news).collect(),
            models: (asked, answered),
            provider,
            ran,
            tokens,
            cost,
            cell: record.accounting().map(|(_, reservation)| reservation.cell),
            span_is_same: false,
            span_differs: false,
            event_differs: false,
        });
        Ok(())
    }

    /// Where an identity leads, if it is known.
    pub fn find(&self, id: AwuId) -> Option<Found> {
        let place = usize::try_from(*self.places.get(&id)?).ok()?;
        let is_awu = self.awus.get(place)?.id == id;
        Some(if is_awu { Found::Awu(place) } else { Found::Call(place) })
    }

    /// Which of some identities, none of which is audited, the journal knows from other times: of AWUs, or of their model
    /// calls. Reads all of it again, and holds no more than it was given.
    ///
    /// # Errors
    ///
    /// The journal cannot be read any more.
    pub fn outside_among(&mut self, ids: &HashSet<AwuId>) -> Result<HashSet<AwuId>, StoreError> {
        let mut found = HashSet::new();
        if ids.is_empty() || self.outside == 0 {
            return Ok(found);
        }
        let mut read = 0;
        while read < self.entries {
            let entries = self.journal.after(read)?;
            let Some(last) = entries.last() else { break };
            read = last.entry.sequence;
            for Journaled { entry, .. } in entries.iter().filter(|one| one.entry.sequence <= self.entries) {
                if let Command::Admit(request) = &entry.command {
                    let both = [request.awu, call_of(request.awu)];
                    found.extend(both.into_iter().filter(|id| ids.contains(id)));
                }
            }
        }
        Ok(found)
    }

    /// Every event that the journal has of an AWU, with its name, in the order in which [`Known`] counts them.
    ///
    /// # Errors
    ///
    /// The journal cannot be read any more.
    pub fn events(&mut self, place: usize) -> Result<Vec<(&'static str, Facts)>, StoreError> {
        let Some(record) = self.record(place)? else { return Ok(Vec::new()) };
        let is_unnamed = record.names_persons();
        let told = |event: &Event<'_>| (event.name, Facts::of_event(event).of_whom(is_unnamed));
        let mut events: Vec<_> = record.events().iter().map(told).collect();
        let Some(known) = self.awus.get(place) else { return Ok(events) };
        let mut entries: Vec<_> =
            known.events.iter().map(|one| one.entry).filter(|entry| *entry > 0).collect();
        entries.dedup();
        for sequence in entries {
            if let Some(Journaled { entry, .. }) = self.journal.entry(sequence)? {
                events.extend(news::events(&self.persons.entry(entry)?).iter().map(told));
            }
        }
        Ok(events)
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
        Ok(Some(self.persons.record(record)?))
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
        self.events.iter().all(|event| event.is_told)
    }

    /// Whether an event was not delivered that should have been: any, once it is over; until then, what is told of it beside
    /// its decision.
    pub fn misses_event(&self, number: usize) -> bool {
        let is_due = |event: &Expected| self.span.is_some() || event.entry > 0;
        self.events.get(number).is_some_and(|event| !event.is_told && is_due(event))
    }

    /// Whether that is so of any.
    pub fn misses_events(&self) -> bool {
        (0..self.events.len()).any(|number| self.misses_event(number))
    }

    /// Whether nothing of it was delivered.
    pub fn is_untold(&self) -> bool {
        !self.span_is_told() && !self.event_differs && self.events.iter().all(|event| !event.is_told)
    }

    /// Something was delivered that says `print`; whether the journal has an event that does.
    pub fn tell(&mut self, print: Print) -> bool {
        let mut is_known = false;
        for event in self.events.iter_mut().filter(|event| event.print == print) {
            event.is_told = true;
            is_known = true;
        }
        is_known
    }

    /// An event was delivered, if not as it was.
    pub fn tell_event(&mut self, number: usize) {
        if let Some(event) = self.events.get_mut(number) {
            event.is_told = true;
        }
    }

    /// What was charged was corrected.
    fn correct(&mut self, correction: &Correction) {
        let postings = correction.postings.iter().filter(|posting| Some(posting.cell) == self.cell);
        let amounts: Vec<_> = postings.map(|posting| posting.amount).collect();
        if amounts.is_empty() {
            return;
        }
        let add = |cost: Amount, amount: &Amount| cost.checked_add(*amount);
        self.cost = self.cost.and_then(|cost| amounts.iter().try_fold(cost, add));
        // As with records: what somebody has corrected is not charged for want of a measurement.
        if self.ran == Ran::Unsure && self.tokens.is_some() {
            self.ran = Ran::Known;
        }
    }
}

impl Expected {
    fn new(facts: &Facts, entry: u64) -> Self {
        Self { print: facts.print(), entry, is_told: false }
    }
}

impl Names {
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

    /// The number that a name has already.
    pub fn find(&self, name: &Name) -> Option<u32> {
        self.numbers.get(name).copied()
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
    // What was said late of one that was in doubt counts as if it had been said in time.
    let execution = settled_with(record);
    if !execution.map_or(record.executed(), |execution| execution.end.was_sent()) {
        let runs = record.ending.is_none() && record.started.is_some();
        return (if runs { Ran::Still } else { Ran::No }, None, cost);
    }
    let tokens = match execution.map(|execution| execution.used) {
        Some(Used::Reported(tokens)) => Some(tokens),
        Some(Used::Nothing) => Some(Tokens::default()),
        Some(Used::Unknown | Used::Counted(_)) | None => None,
    };
    let ran = if tokens.is_some() && !is_incomplete { Ran::Known } else { Ran::Unsure };
    (ran, tokens, cost)
}
