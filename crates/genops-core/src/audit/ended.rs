//! The AWUs that have ended, as far as a later entry can say something of them: who they were, and what they are charged.
//!
//! A journal has millions of them, and says no more of most. So each is kept as a few dozen bytes behind one another; what
//! was charged late, or corrected, as it is. It is all taken from the journal, nothing from the books.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use super::Finding;
use crate::admit::Admitted;
use crate::amount::{Amount, Unit};
use crate::attribution::Attribution;
use crate::awu::AwuId;
use crate::digest::Digest;
use crate::ledger::{Admit, CellId, Command, Correction, Posting, Revision, Settled};
use crate::record::{AwuRecord, Ending, How, Later, News, Verdict};
use crate::time::Timestamp;

/// The AWUs that have ended, by the entries that decided them: an identity may be used again.
#[derive(Debug, Default)]
pub struct Ended {
    /// Where each begins in `bytes`.
    places: HashMap<u64, usize>,
    bytes: Vec<u8>,
    /// Those that were charged late, or corrected.
    changed: HashMap<u64, Remains>,
}

/// What is remembered of an AWU.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remains {
    /// The beginning of the digest of its identity.
    awu: [u8; 8],
    /// The beginning of the digest of whom it belongs to.
    attribution: [u8; 8],
    /// `None` where it was refused, or released.
    charge: Option<Charge>,
}

/// What an AWU is charged.
#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    /// When it was first charged.
    at: Timestamp,
    /// The place among the cells of the one in its accounting unit that is told of, and what it had reserved there.
    accounting: Option<(usize, Amount)>,
    cells: Vec<Charged>,
}

/// What an AWU is charged in one cell.
#[derive(Debug, Serialize, Deserialize)]
struct Charged {
    cell: CellId,
    unit: Unit,
    /// What is left of what it was first charged.
    first: Amount,
    /// What it was charged later, by when.
    later: Vec<(Timestamp, Amount)>,
}

/// An AWU that is settled: what it was charged along its path, and since when.
pub struct Settlement<'a> {
    pub at: Timestamp,
    /// When it had been charged its reservation, in doubt.
    pub doubted_at: Option<Timestamp>,
    pub actual: &'a [Amount],
}

/// Holds what a correction or a report says of an AWU against its record, which has to be as of everything that was said of it
/// before: whom it belongs to, and for a correction what it is charged, where and since when. [`decide`] knows that of AWUs that
/// are open alone; what is not so would be found later, by whoever follows the journal. `at` is when it would be said.
///
/// # Errors
///
/// What is not so. Of other commands nothing is held.
///
/// [`decide`]: crate::ledger::decide
pub fn hold(command: &Command, at: Timestamp, record: &AwuRecord) -> Result<(), String> {
    let (known, said) = (record.id(), AwuRecord::subject(command));
    match command {
        Command::Correct(_) | Command::Report(_) if said != Some(known) => {
            Err(format!("it is of another AWU than the record, which is of {known}"))
        }
        Command::Correct(correction) if correction.admitted != record.sequence => {
            Err(format!("entry {} did not admit AWU {known}", correction.admitted))
        }
        Command::Report(note) if note.decided != record.sequence => {
            Err(format!("entry {} did not decide AWU {known}", note.decided))
        }
        Command::Report(note) if note.attribution != record.request.proposal.attribution => {
            Err(format!("AWU {known} belongs to somebody else"))
        }
        Command::Correct(correction) => match Remains::of(record) {
            Some(mut remains) => remains.correct(at, correction).map_err(|(_, what)| what),
            None => Err(format!("AWU {known} has not been settled")),
        },
        _ => Ok(()),
    }
}

impl Ended {
    /// Takes one in that the entry `decided` decided.
    pub fn put(&mut self, decided: u64, remains: Remains) {
        if remains.is_changed() {
            self.changed.insert(decided, remains);
            return;
        }
        let place = self.bytes.len();
        // Encoding into a growing vector cannot fail for plain data.
        self.bytes = postcard::to_extend(&remains, std::mem::take(&mut self.bytes)).unwrap_or_default();
        self.places.insert(decided, place);
    }

    /// Whether the entry `decided` decided this AWU for whom somebody says; `None` where it is not known.
    pub fn is_of(&self, decided: u64, awu: AwuId, attribution: &Attribution) -> Option<bool> {
        let is = |remains: &Remains| {
            remains.is_of(awu) && remains.attribution == digest_of_attribution(attribution)
        };
        self.changed.get(&decided).map(is).or_else(|| self.read(decided).as_ref().map(is))
    }

    /// Takes in a correction; `None` where the AWU is not known.
    pub fn correct(&mut self, at: Timestamp, correction: &Correction) -> Option<Result<(), Finding>> {
        let read = self.read(correction.admitted);
        let remains = match self.changed.entry(correction.admitted) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(read?),
        };
        Some(remains.correct(at, correction))
    }

    fn read(&self, decided: u64) -> Option<Remains> {
        let bytes = self.bytes.get(*self.places.get(&decided)?..)?;
        postcard::take_from_bytes(bytes).ok().map(|(remains, _)| remains)
    }
}

impl Remains {
    /// Of an AWU that was refused or released: nothing is charged.
    pub fn uncharged(request: &Admit) -> Self {
        Self {
            awu: digest_of(request.awu),
            attribution: digest_of_attribution(&request.proposal.attribution),
            charge: None,
        }
    }

    /// Of an AWU that was settled; `None` where that has no sum.
    pub fn settled(request: &Admit, admitted: &Admitted, settlement: &Settlement<'_>) -> Option<Self> {
        let Settlement { at, doubted_at, actual } = *settlement;
        let charged = admitted.path().iter().zip(actual).map(|(step, actual)| {
            let more = actual.checked_sub(step.amount)?;
            // Late news take away from, or add to, what it was charged in doubt.
            let is_more_later = more > Amount::ZERO && doubted_at.is_some_and(|doubted_at| doubted_at != at);
            let (first, later) =
                if is_more_later { (step.amount, vec![(at, more)]) } else { (*actual, Vec::new()) };
            Some(Charged { cell: step.cell, unit: step.key.unit, first, later })
        });
        let charge = Charge {
            at: doubted_at.unwrap_or(at),
            accounting: admitted.accounting().map(|(position, step)| (position, step.amount)),
            cells: charged.collect::<Option<_>>()?,
        };
        Some(Self { charge: Some(charge), ..Self::uncharged(request) })
    }

    fn is_of(&self, awu: AwuId) -> bool {
        self.awu == digest_of(awu)
    }

    /// Of the AWU of a record; `None` where it has not ended, or its record contradicts itself.
    fn of(record: &AwuRecord) -> Option<Self> {
        let request = &*record.request;
        let Verdict::Admitted(admitted) = &record.verdict else {
            return Some(Self::uncharged(request));
        };
        let Ending { at: ended_at, how, .. } = record.ending.as_ref()?;
        let late = record.later.iter().find_map(|Later { at, news, .. }| match news {
            News::Settled { settled, .. } => Some((*at, settled)),
            News::Corrected(_) => None,
        });
        let (at, doubted_at, Settled { actual, .. }) = match (how, late) {
            (How::Released, _) => return Some(Self::uncharged(request)),
            (How::Settled { settled, .. }, _) => (*ended_at, None, settled),
            (How::InDoubt, late) => late.map(|(at, settled)| (at, Some(*ended_at), settled))?,
        };
        let mut remains = Self::settled(request, admitted, &Settlement { at, doubted_at, actual })?;
        for Later { at, news, .. } in &record.later {
            if let News::Corrected(correction) = news {
                remains.correct(*at, correction).ok()?;
            }
        }
        Some(remains)
    }

    fn is_changed(&self) -> bool {
        let charged = self.charge.iter().flat_map(|charge| &charge.cells);
        charged.into_iter().any(|charged| !charged.later.is_empty())
    }

    fn correct(&mut self, at: Timestamp, correction: &Correction) -> Result<(), Finding> {
        let Correction { awu, admitted, .. } = correction;
        if !self.is_of(*awu) {
            return Err(("I5", format!("AWU {awu} is corrected, and entry {admitted} decided another one")));
        }
        let Some(charge) = &mut self.charge else {
            return Err(("I5", format!("AWU {awu} is corrected, and was refused or released")));
        };
        let of_charge = |what| ("I2", format!("the correction of AWU {awu} {what}"));
        if self.attribution != digest_of_attribution(&correction.revision.attribution) {
            return Err(of_charge("says that it belongs to somebody else".to_owned()));
        }
        charge.agree(&correction.revision).map_err(of_charge)?;
        for posting in &correction.postings {
            charge.post(at, posting).map_err(of_charge)?;
        }
        charge.conclude(correction).map_err(of_charge)
    }
}

impl Charge {
    /// What a correction says of before has to be so.
    fn agree(&self, said: &Revision) -> Result<(), String> {
        let of_cell = self.accounting.and_then(|(place, reserved)| Some((self.cells.get(place)?, reserved)));
        let Some((charged, reserved)) = of_cell else {
            return Err("is of an AWU without a cell in its accounting unit".to_owned());
        };
        if said.unit != charged.unit {
            return Err(format!("says {} for {}", said.unit, charged.unit));
        }
        if said.reserved != reserved {
            return Err(format!("says that it had reserved {}, which was {reserved}", said.reserved));
        }
        match charged.sum() {
            Some(before) if before == said.before => Ok(()),
            Some(before) => Err(format!("says that it was charged {}, which was {before}", said.before)),
            None => Err(NO_SUM.to_owned()),
        }
    }

    /// Adds at `at`; takes away from what was charged when the posting says.
    fn post(&mut self, at: Timestamp, posting: &Posting) -> Result<(), String> {
        let number = posting.cell.index();
        let Some(charged) = self.cells.iter_mut().find(|charged| charged.cell == posting.cell) else {
            return Err(format!("posts to cell {number}, where it reserved nothing"));
        };
        let is_less = posting.amount.is_negative();
        let of = if is_less { posting.charged_at } else { at };
        let later = charged.later.iter().position(|(charged_at, _)| *charged_at == of);
        let amount = match later.and_then(|place| charged.later.get_mut(place)) {
            _ if of == self.at => &mut charged.first,
            Some((_, amount)) => amount,
            None if is_less => {
                return Err(format!(
                    "takes away from cell {number} what was charged at {of}, and nothing was"
                ));
            }
            None => {
                charged.later.push((of, posting.amount));
                return Ok(());
            }
        };
        let before = *amount;
        *amount = before.checked_add(posting.amount).ok_or_else(|| NO_SUM.to_owned())?;
        if amount.is_negative() {
            let less = posting.amount;
            return Err(format!("posts {less} to cell {number}, where it was charged {before} at {of}"));
        }
        charged.later.retain(|(_, amount)| *amount != Amount::ZERO);
        Ok(())
    }

    /// Afterwards the accounting unit is charged what the correction says; and in every unit that it posts in, each cell
    /// the same.
    fn conclude(&self, correction: &Correction) -> Result<(), String> {
        let Revision { unit: accounting, actual, .. } = correction.revision;
        let told = self.accounting.and_then(|(place, _)| self.cells.get(place)).and_then(Charged::sum);
        let told = told.ok_or_else(|| NO_SUM.to_owned())?;
        if told != actual {
            return Err(format!(
                "says that {actual} is charged from now on, and by its postings it is {told}"
            ));
        }
        for charged in &self.cells {
            if !correction.postings.iter().any(|posting| posting.cell == charged.cell) {
                continue;
            }
            let due = if charged.unit == accounting { Some(actual) } else { charged.sum() };
            let mut of_unit = self.cells.iter().filter(|other| other.unit == charged.unit);
            if let Some(other) = of_unit.find(|other| other.sum() != due) {
                let (unit, number) = (charged.unit, other.cell.index());
                return Err(format!("leaves the cells of {unit} with different charges: see cell {number}"));
            }
        }
        Ok(())
    }
}

impl Charged {
    fn sum(&self) -> Option<Amount> {
        self.later.iter().try_fold(self.first, |sum, (_, amount)| sum.checked_add(*amount))
    }
}

const NO_SUM: &str = "has no sum";

fn digest_of(awu: AwuId) -> [u8; 8] {
    beginning(Digest::of_value("genops audit AWU 1", &awu))
}

fn digest_of_attribution(attribution: &Attribution) -> [u8; 8] {
    beginning(Digest::of_value("genops audit attribution 1", attribution))
}

/// Long enough that nobody finds another one with the same.
fn beginning(digest: Digest) -> [u8; 8] {
    digest.bytes().first_chunk().copied().unwrap_or_default()
}
