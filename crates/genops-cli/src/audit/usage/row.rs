//! One row of a usage export: what its cells say. Numbers are read exactly, or not at all.

use genops::core::{Amount, AwuId, Name, Timestamp, hex};

use super::columns::{Cells, Column};
use super::{BadRow, Row};
use crate::audit::findings::Billed;
use crate::audit::journal::Names;
use crate::simulate::recorded::rows;

/// More tokens no call has, and no sum of a bill.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Nobody is billed more US dollars.
const COST_MAX: Amount = Amount::from_whole(1_000_000_000_000);

/// Reads the cells of a row.
pub fn read<T: AsRef<str>>(cells: &Cells<T>, line: u64, models: &mut Names) -> Result<Row, BadRow> {
    let model = Name::new(cells.needed(Column::Model)?);
    let model = model.map_err(|problem| BadRow::Bad(format!("model {problem}")))?;
    let cached = cells.text(Column::Cached).map(|text| tokens(text, Column::Cached)).transpose()?;
    let billed = Billed {
        calls: 1,
        input_tokens: tokens(cells.needed(Column::Input)?, Column::Input)?,
        cached_input_tokens: cached,
        output_tokens: tokens(cells.needed(Column::Output)?, Column::Output)?,
        cost: cost(cells.needed(Column::Cost)?)?,
    };
    let at = cells.text(Column::At).map(time).transpose()?;
    Ok(Row { file: 0, line, awu: awu(cells)?, model: models.number(&model), at, billed })
}

/// The AWU or model call that a row names.
fn awu<T: AsRef<str>>(cells: &Cells<T>) -> Result<Option<AwuId>, BadRow> {
    if let Some(text) = cells.text(Column::Awu) {
        let what = "awu is neither `trace_id-span_id` in hexadecimal nor a W3C traceparent";
        return identity(text).map(Some).ok_or_else(|| BadRow::Bad(what.to_owned()));
    }
    // Half of a pair leads nowhere.
    if let (Some(trace), Some(span)) = (cells.text(Column::TraceId), cells.text(Column::SpanId)) {
        let what = "trace_id and span_id are not 32 and 16 hexadecimal digits";
        let id = identity(&format!("{trace}-{span}"));
        return id.map(Some).ok_or_else(|| BadRow::Bad(what.to_owned()));
    }
    // Most requests are called something that is only their provider's.
    Ok(cells.text(Column::RequestId).and_then(identity))
}

fn identity(text: &str) -> Option<AwuId> {
    if let Ok(awu) = text.parse() {
        return Some(awu);
    }
    let mut parts = text.split('-');
    let (Some(version), Some(trace), Some(span), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    hex::parse::<1>(version).and(hex::parse::<1>(flags))?;
    format!("{trace}-{span}").parse().ok()
}

fn tokens(text: &str, column: Column) -> Result<u64, BadRow> {
    // Some exports write counts as decimals.
    let whole = match text.split_once('.') {
        Some((whole, decimals)) if !decimals.is_empty() && decimals.bytes().all(|digit| digit == b'0') => {
            whole
        }
        _ => text,
    };
    let is_count = !whole.is_empty() && whole.bytes().all(|digit| digit.is_ascii_digit());
    let count = whole.parse().ok().filter(|count| is_count && *count <= TOKENS_MAX);
    count.ok_or_else(|| BadRow::Bad(format!("{} is no whole number from 0 to {TOKENS_MAX}", column.as_str())))
}

fn cost(text: &str) -> Result<Amount, BadRow> {
    let bad = |problem: &dyn std::fmt::Display| BadRow::Bad(format!("cost {problem}"));
    let amount = match Amount::from_number(text, 0) {
        // What was a double has digits that nobody is billed: it is rounded as an amount, to 1e-12 of a dollar.
        Err(genops::core::amount::InvalidAmount::TooPrecise) => {
            let double: f64 = text.parse().map_err(|error| bad(&error))?;
            Amount::from_number(&format!("{double:.12}"), 0)
        }
        amount => amount,
    };
    match amount {
        Ok(amount) if amount < Amount::ZERO => {
            Err(bad(&"is less than nothing: leave out credits, they are no calls"))
        }
        Ok(amount) if amount > COST_MAX => Err(bad(&"is more than anybody is billed")),
        Ok(amount) => Ok(amount),
        Err(error) => Err(bad(&error)),
    }
}

/// The seconds of the years that have four digits.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A time as text, in UTC unless it says an offset; or as Unix seconds.
fn time(text: &str) -> Result<Timestamp, BadRow> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds <= SECONDS_MAX);
    let at = match seconds {
        Some(seconds) => seconds.checked_mul(1_000_000_000).map(Timestamp::from_nanos),
        None => rows::time(text.as_bytes()),
    };
    at.ok_or_else(|| {
        BadRow::Bad(
            "timestamp is no time since 1970, such as 2026-11-16T18:17:03Z or Unix seconds".to_owned(),
        )
    })
}
