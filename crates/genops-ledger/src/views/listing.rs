//! Which AWUs a listing wants, and where in the journal they stand.
//!
//! Rows stand in the order of the journal, and time never goes back in it: so a time is found by halving, and neither
//! times nor anything else that is filtered by needs an index of its own.

use genops_core::Timestamp;
use genops_core::record::AwuRecord;
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
        ("key", &filter.key),
        ("operation_type", &filter.operation_type),
        ("provider", &filter.provider),
        ("model", &filter.model),
        ("result", &filter.result),
        ("reason_code", &filter.reason_code),
        ("state", &filter.state),
    ];
    for (column, wanted) in columns {
        if let Some(wanted) = wanted {
            values.push(Value::Text(wanted.clone()));
            sql.push_str(&format!(" AND {column} = ?{}", values.len()));
        }
    }
    sql.push_str(&format!(" ORDER BY admitted DESC LIMIT {limit}"));
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), place_of)?.collect()
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
