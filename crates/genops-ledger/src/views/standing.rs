//! Where in the journal the entries of one AWU stand, and what they say of it.
//!
//! The tables are asked for places alone, which takes no time; the journal is read without them, so that nobody waits for that.

use genops_core::AwuId;
use genops_core::awu::State;
use genops_core::ledger::Command;
use genops_core::record::{AwuRecord, Journaled};
use rusqlite::{OptionalExtension, params};

use super::{Place, Views, bytes, place_of, stored};
use crate::journal::Journal;
use crate::sqlite::told;
use crate::store::StoreError;

/// Identities are in order within ranges of so many entries, as a power of two. The index in `TABLES` and [`BY_ID`] say the
/// same.
const RANGE_BITS: u32 = 16;

const BY_ROW: &str = "SELECT id, admitted, started, ended FROM awus WHERE admitted = ?1";
const BY_ID: &str = "SELECT id, admitted, started, ended FROM awus WHERE admitted >> 16 = ?1 AND id = ?2
                     ORDER BY admitted DESC LIMIT 1";

/// Where the entries of an AWU stand, as far as the tables know.
#[derive(Debug)]
pub struct Standing {
    id: AwuId,
    /// The entries about it that the tables have, that which decided it first.
    entries: Vec<u64>,
    /// What comes after this entry is not among them.
    through: u64,
    /// Whether the AWU is meant that a certain entry decided, and none that has its identity later.
    is_certain: bool,
}

impl Views {
    /// Where an AWU stands: that which the entry `decided` is about, or the latest of this identity.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn standing(&self, id: AwuId, decided: Option<u64>) -> Result<Standing, StoreError> {
        let look = || {
            let place = match decided {
                // The journal alone has it yet.
                Some(decided) if decided > self.through => None,
                Some(decided) => self.place_at(decided)?.filter(|place| place.id == id),
                None => self.place(id)?,
            };
            place.map_or(Ok(Vec::new()), |place| self.entries_of(&place))
        };
        let entries = look().map_err(|error| told(&self.path, &error))?;
        let through = self.through.max(decided.unwrap_or_default().saturating_sub(1));
        Ok(Standing { id, entries, through, is_certain: decided.is_some() })
    }

    /// Where the entries of the latest AWU of an identity stand. Of one that is open the row is known; of any other each
    /// range of entries is asked, the latest first.
    pub(super) fn place(&self, id: AwuId) -> rusqlite::Result<Option<Place>> {
        if let Some(admitted) = self.open.get(&id) {
            return self.place_at(*admitted);
        }
        let first = "SELECT coalesce(min(admitted), 0) FROM awus";
        let first: i64 = self.connection.prepare_cached(first)?.query_row([], |row| row.get(0))?;
        let mut statement = self.connection.prepare_cached(BY_ID)?;
        for range in (first >> RANGE_BITS..=stored(self.through) >> RANGE_BITS).rev() {
            let found = statement.query_row(params![range, bytes(id)], place_of).optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn place_at(&self, admitted: u64) -> rusqlite::Result<Option<Place>> {
        let mut statement = self.connection.prepare_cached(BY_ROW)?;
        statement.query_row([stored(admitted)], place_of).optional()
    }

    /// The entries about an AWU, that which decided it first.
    pub(super) fn entries_of(&self, place: &Place) -> rusqlite::Result<Vec<u64>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT sequence FROM later WHERE admitted = ?1 ORDER BY sequence")?;
        let mut entries: Vec<_> =
            [Some(place.admitted), place.started, place.ended].into_iter().flatten().collect();
        for later in statement.query_map([stored(place.admitted)], |row| row.get::<_, i64>(0))? {
            entries.push(u64::try_from(later?).unwrap_or_default());
        }
        Ok(entries)
    }
}

impl Standing {
    /// The AWU as of the tables.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn read(&self, journal: &mut Journal) -> Result<Option<AwuRecord>, StoreError> {
        read(self.id, &self.entries, journal)
    }

    /// The AWU as of the last durable entry, also where the tables are behind, as on a full disk: what they do not have is
    /// read from the journal.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn now(self, journal: &mut Journal) -> Result<Option<AwuRecord>, StoreError> {
        let Self { id, entries, mut through, is_certain } = self;
        let mut record = read(id, &entries, journal)?;
        loop {
            let entries = match journal.after(through) {
                Err(StoreError::Archived { through: archived, .. }) => {
                    through = archived;
                    continue;
                }
                entries => entries?,
            };
            let Some(last) = entries.last() else { return Ok(record) };
            through = last.entry.sequence;
            let about = |journaled: &Journaled| AwuRecord::subject(&journaled.entry.command) == Some(id);
            for journaled in entries.into_iter().filter(about) {
                let is_news = matches!(journaled.entry.command, Command::Correct(_));
                // Another AWU has the identity.
                if is_certain && !is_news && record.as_ref().is_some_and(is_over) {
                    continue;
                }
                AwuRecord::take(&mut record, journaled);
            }
        }
    }
}

/// Whether its identity may be another AWU's by now.
fn is_over(record: &AwuRecord) -> bool {
    record.is_complete() && record.state() != State::InDoubt.as_str()
}

/// An AWU as some entries tell it, that which decided it first.
pub(super) fn read(
    id: AwuId,
    entries: &[u64],
    journal: &mut Journal,
) -> Result<Option<AwuRecord>, StoreError> {
    let Some((admitted, later)) = entries.split_first() else { return Ok(None) };
    let record = journal.entry(*admitted)?.and_then(AwuRecord::begin);
    let Some(mut record) = record.filter(|record| record.id() == id) else { return Ok(None) };
    for sequence in later.iter().filter(|sequence| *sequence > admitted) {
        if let Some(journaled) = journal.entry(*sequence)?
            && AwuRecord::subject(&journaled.entry.command) == Some(id)
        {
            record.follow(journaled.entry);
        }
    }
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn id(number: u8) -> AwuId {
        AwuId { trace_id: [number; 16], span_id: [number; 8] }
    }

    /// Walking the rows would keep everybody else from the tables for as long as there are rows.
    #[test]
    fn an_awu_is_found_without_walking_the_rows_wherever_it_stands_and_whether_it_is_open_or_there_at_all() {
        let mut views = Views::in_memory().unwrap();
        // Rows in four ranges; the third is empty.
        let admitted =
            |number: u8| u64::from(number) * 3 + [0, 1, 3, 4][usize::from(number) % 4] * (1 << RANGE_BITS);
        for number in 1..=200_u8 {
            let state = if number == 3 { "EXECUTING" } else { "SETTLED" };
            let insert = "INSERT INTO awus (admitted, id, started, at, team, project, environment, operation_type, result, \
                          state) VALUES (?1, ?2, NULL, 0, '', '', '', '', '', ?3)";
            let row = params![stored(admitted(number)), bytes(id(number)), state];
            views.connection.execute(insert, row).unwrap();
            views.through = views.through.max(admitted(number));
        }
        views.open = views.open_rows().unwrap();
        let found = |number| views.place(id(number)).unwrap().map(|place| place.admitted);
        for number in 1..=200 {
            assert_eq!(found(number), Some(admitted(number)));
        }
        assert_eq!(found(201), None);
        let walked = |sql| {
            let statement = views.connection.prepare_cached(sql).unwrap();
            statement.reset_status(StatementStatus::FullscanStep)
        };
        assert_eq!((walked(BY_ROW), walked(BY_ID)), (0, 0));
    }
}
