//! Which AWUs a listing wants, and where in the journal they stand.
//!
//! Rows stand in the order of the journal, and time never goes back in it: so a time is found by halving, and neither
//! times nor anything else that is filtered by needs an index of its own.

use genops_core::record::AwuRecord;
use genops_core::{Name, Timestamp, person};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{Place, place_of, stored};

/// Which AWUs a listing wants: those of which everything holds that is said.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this team.
    pub team: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Of this environment.
    pub environment: Option<String>,
    /// For this feature.
    pub feature: Option<String>,
    /// Paid by this cost centre.
    pub cost_center: Option<String>,
    /// For this customer, by the pseudonym.
    pub customer_id: Option<String>,
    /// In this session, by the pseudonym.
    pub session_id: Option<String>,
    /// Of the key with this name.
    pub key: Option<String>,
    /// Of this `genops.operation.type`.
    pub operation_type: Option<String>,
    /// At this provider.
    pub provider: Option<String>,
    /// With this model.
    pub model: Option<String>,
    /// With this decision state.
    pub result: Option<String>,
    /// With this reason code.
    pub reason_code: Option<String>,
    /// In this state of the ledger's diagram, or REFUSED.
    pub state: Option<String>,
    /// Decided then or later.
    pub from: Option<Timestamp>,
    /// Decided earlier.
    pub until: Option<Timestamp>,
    /// Decided before this entry; the cursor of the page before.
    pub before: Option<u64>,
}

/// What a look at a stretch of the journal found.
#[derive(Debug)]
pub struct Found {
    /// The AWUs, the latest first.
    pub records: Vec<AwuRecord>,
    /// Where to go on, as the `before` of the filter; `None` where there is nothing more.
    pub next: Option<u64>,
}

/// How many entries one look goes back at most.
const STRETCH: u64 = 1 << 18;

/// Where the AWUs of a stretch stand, and where to go on.
pub(super) fn places(
    connection: &Connection,
    filter: &Filter,
    limit: u32,
    through: u64,
) -> rusqlite::Result<(Vec<Place>, Option<u64>)> {
    let mut before = filter.before.unwrap_or(u64::MAX).min(through.saturating_add(1));
    if let Some(until) = filter.until {
        before = before.min(first_at(connection, until, through)?);
    }
    let first = match filter.from {
        Some(from) => first_at(connection, from, through)?,
        None => 1,
    };
    let from = before.saturating_sub(STRETCH).max(first);
    let places = between(connection, filter, from, before, limit)?;
    let is_full = u32::try_from(places.len()).is_ok_and(|count| count == limit);
    let reached = places.last().filter(|_| is_full).map_or(from, |place| place.admitted);
    Ok((places, (reached > first).then_some(reached)))
}

fn between(
    connection: &Connection,
    filter: &Filter,
    from: u64,
    before: u64,
    limit: u32,
) -> rusqlite::Result<Vec<Place>> {
    let mut sql =
        "SELECT id, admitted, started, ended FROM awus WHERE admitted >= ?1 AND admitted < ?2".to_owned();
    let mut values = vec![Value::Integer(stored(from)), Value::Integer(stored(before))];
    let columns = [
        ("team", &filter.team),
        ("project", &filter.project),
        ("environment", &filter.environment),
        ("feature", &filter.feature),
        ("cost_center", &filter.cost_center),
        ("key", &filter.key),
        ("operation_type", &filter.operation_type),
        ("provider", &filter.provider),
        ("model", &filter.model),
        ("result", &filter.result),
        ("reason_code", &filter.reason_code),
        ("state", &filter.state),
    ];
    let persons = [("customer", &filter.customer_id), ("session", &filter.session_id)];
    let texts =
        columns.into_iter().filter_map(|(column, wanted)| Some((column, Value::Text(wanted.clone()?))));
    let numbers =
        persons.into_iter().filter_map(|(column, wanted)| Some((column, number_of(wanted.as_ref()?))));
    for (column, wanted) in texts.chain(numbers) {
        values.push(wanted);
        sql.push_str(&format!(" AND {column} = ?{}", values.len()));
    }
    sql.push_str(&format!(" ORDER BY admitted DESC LIMIT {limit}"));
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), place_of)?.collect()
}

/// The number that a pseudonym holds, which no row is equal to where it holds none.
fn number_of(pseudonym: &str) -> Value {
    let number = Name::new(pseudonym).ok().and_then(|pseudonym| person::number(&pseudonym));
    number.map_or(Value::Null, |number| Value::Integer(stored(number)))
}

impl Filter {
    /// Whether a record names the persons that are wanted: the rows know them by their numbers alone.
    pub(super) fn is_about(&self, record: &AwuRecord) -> bool {
        let labels = &record.request.proposal.labels;
        let persons = [(&self.customer_id, &labels.customer_id), (&self.session_id, &labels.session_id)];
        persons.into_iter().all(|(wanted, named)| {
            wanted.as_ref().is_none_or(|wanted| named.as_ref().is_some_and(|named| named.as_str() == wanted))
        })
    }
}

/// The entry from which on every AWU was decided at `time` or later.
fn first_at(connection: &Connection, time: Timestamp, through: u64) -> rusqlite::Result<u64> {
    let mut row = connection
        .prepare_cached("SELECT admitted, at FROM awus WHERE admitted >= ?1 ORDER BY admitted LIMIT 1")?;
    let (mut low, mut high) = (1, through.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let found = row.query_row([stored(middle)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        match found.optional()? {
            Some((admitted, at)) if at < stored(time.nanos()) => {
                low = u64::try_from(admitted).unwrap_or(middle).saturating_add(1);
            }
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::TABLES;

    /// Rows of entries far apart, each decided at a hundred times its place among them.
    const ENTRIES: [u64; 6] = [1, 2, 3, STRETCH + 4, 3 * STRETCH, 3 * STRETCH + 1];
    const THROUGH: u64 = 4 * STRETCH;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        for (entry, place) in ENTRIES.iter().zip(0_i64..) {
            let sql = "INSERT INTO awus VALUES (?1, zeroblob(24), NULL, NULL, ?2, 't', 'p', 'e', 'f', 'c',
                                                ?4, NULL, 'k', 'o', 'v', ?3, 'r',
                                                NULL, 's')";
            let model = if place % 2 == 0 { "even" } else { "odd" };
            connection
                .execute(sql, rusqlite::params![stored(*entry), place * 100, model, place % 2])
                .unwrap();
        }
        connection
    }

    /// Every entry that a filter finds, look by look.
    fn all(filter: &Filter, limit: u32) -> Vec<u64> {
        let (connection, mut filter, mut found) = (table(), filter.clone(), Vec::new());
        loop {
            let (places, next) = places(&connection, &filter, limit, THROUGH).unwrap();
            assert!(places.len() <= usize::try_from(limit).unwrap());
            found.extend(places.iter().map(|place| place.admitted));
            match next {
                Some(next) => {
                    assert!(filter.before.replace(next).is_none_or(|before| next < before), "it ends");
                }
                None => return found,
            }
        }
    }

    #[test]
    fn looks_one_after_the_other_find_everything_once_whatever_lies_between() {
        let time = |nanos| Some(Timestamp::from_nanos(nanos));
        let odd = || Filter { model: Some("odd".to_owned()), ..Filter::default() };
        let customer = format!("p-1-{}", "0".repeat(32));
        let of = |customer: &str| Filter { customer_id: Some(customer.to_owned()), ..Filter::default() };
        let cases = [
            (Filter::default(), 0..6, 1),
            (odd(), 0..6, 2),
            (of(&customer), 0..6, 2),
            (Filter { session_id: Some(customer.clone()), ..Filter::default() }, 0..0, 1),
            (of("acme"), 0..0, 1),
            (Filter { before: Some(3), ..Filter::default() }, 0..2, 1),
            (Filter { from: time(0), ..Filter::default() }, 0..6, 1),
            (Filter { from: time(101), ..Filter::default() }, 2..6, 1),
            (Filter { from: time(501), ..Filter::default() }, 0..0, 1),
            (Filter { until: time(0), ..Filter::default() }, 0..0, 1),
            (Filter { until: time(301), ..Filter::default() }, 0..4, 1),
            (Filter { from: time(200), until: time(400), ..Filter::default() }, 2..4, 1),
            (Filter { from: time(400), until: time(200), ..Filter::default() }, 0..0, 1),
        ];
        for (filter, range, step) in cases {
            let mut expected: Vec<_> =
                ENTRIES.iter().zip(0..).filter(|(_, place)| range.contains(place)).collect();
            expected.retain(|(_, place)| step == 1 || place % 2 == 1);
            expected.reverse();
            let expected: Vec<u64> = expected.into_iter().map(|(entry, _)| *entry).collect();
            for limit in [1, 2, 6, 100] {
                assert_eq!(all(&filter, limit), expected, "{filter:?}, {limit} at a time");
            }
        }
    }
}
