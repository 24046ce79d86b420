//! The two ways in which a usage export is written: CSV with the names of its columns in the first line, and an object a
//! line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use csv::ByteRecord;
use serde_json::value::RawValue;

use super::columns::{Cells, Column};
use super::{BadRow, Row, Rows, row};
use crate::Trouble;
use crate::audit::journal::Names;
use crate::simulate::recorded::rows;

/// Reads CSV.
pub fn read_csv(name: &str, source: impl Read, rows: &mut Rows<'_>) -> Result<(), Trouble> {
    let mut reader = rows::reader(source);
    let mut fields = ByteRecord::new();
    rows::next(&mut reader, &mut fields, name).map_err(Trouble::unusable)?;
    let mut places = Cells::default();
    for (place, field) in fields.iter().enumerate() {
        let column = str::from_utf8(field).ok().and_then(Column::named);
        if let Some(column) = column {
            places.put(column, place);
        }
    }
    let lacking = places.lacking();
    if !lacking.is_empty() {
        return Err(Trouble::unusable(format!(
            "`{name}` cannot be used: its first line names no column {}. It has to name model, input_tokens, \
             output_tokens and cost (US dollars), separated by commas; and, for a comparison call by call, awu, or \
             trace_id and span_id",
            lacking.join(", ")
        )));
    }
    let count = fields.len();
    while rows::next(&mut reader, &mut fields, name).map_err(Trouble::unusable)? {
        if fields.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        // It ends on the line before the one that comes next.
        let line = reader.position().line().saturating_sub(1);
        let row = csv_row(&fields, count, &places, line, rows.models);
        rows.take(line, row)?;
    }
    Ok(())
}

fn csv_row(
    fields: &ByteRecord,
    count: usize,
    places: &Cells<usize>,
    line: u64,
    models: &mut Names,
) -> Result<Row, BadRow> {
    if fields.len() != count {
        return Err(BadRow::Fields { has: fields.len(), count });
    }
    let mut cells = Cells::default();
    for column in Column::ALL {
        let Some(field) = places.get(column).and_then(|place| fields.get(*place)) else { continue };
        cells.put((column, 0), str::from_utf8(field).map_err(|_| BadRow::NoText(column.as_str()))?);
    }
    row::read(&cells, line, models)
}

/// Reads an object a line.
pub fn read_objects(name: &str, mut source: impl BufRead, rows: &mut Rows<'_>) -> Result<(), Trouble> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    loop {
        bytes.clear();
        line += 1;
        let limit = rows::ROW_BYTES_MAX as u64 + 1;
        let length = source.by_ref().take(limit).read_until(b'\n', &mut bytes);
        let length = length
            .map_err(|error| Trouble::unusable(format!("cannot read `{name}`: line {line}: {error}")))?;
        if length == 0 {
            return Ok(());
        }
        if length > rows::ROW_BYTES_MAX {
            return Err(Trouble::unusable(format!(
                "`{name}` cannot be used: line {line} is longer than 1 MiB"
            )));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let row = object_row(&bytes, line, rows.models);
        rows.take(line, row)?;
    }
}

fn object_row(bytes: &[u8], line: u64, models: &mut Names) -> Result<Row, BadRow> {
    let object: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(bytes).map_err(|error| BadRow::NoObject(error.to_string()))?;
    let mut cells = Cells::default();
    for (key, value) in object {
        let Some(column) = Column::named(&key) else { continue };
        let name = column.0.as_str();
        let value = value.get();
        let text = match value.bytes().next() {
            Some(b'"') => serde_json::from_str::<Cow<'_, str>>(value).map_err(|_| BadRow::NoText(name))?,
            Some(b'-' | b'0'..=b'9') => Cow::Borrowed(value),
            Some(b'n') => continue,
            _ => return Err(BadRow::NoScalar(name)),
        };
        cells.put(column, text);
    }
    row::read(&cells, line, models)
}
