//! The table's own form: one JSON object, one row to a line, amounts as decimal text, so that a change of a
//! price is a change of one line.

use std::collections::BTreeMap;

use genops_core::Amount;
use genops_core::price::{Rates, Tier};
use serde::{Deserialize, Serialize};

use super::{BadTable, Entry, Row, Table, is_day};

/// What a table begins with.
const FORMAT: &str = "genops prices 1: US dollars for a million tokens";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    format: String,
    source: String,
    date: String,
    providers: BTreeMap<String, WrittenBook>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBook {
    source: Option<String>,
    rows: Vec<WrittenRow>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRow {
    model: String,
    /// Absent where it is the model's name alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cached_input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<WrittenTier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Why the model has no price. Then nothing but its names stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpriced: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTier {
    above: u64,
    input: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cached_input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    output: String,
}

/// Reads a table.
///
/// # Errors
///
/// It is not one, or a row of it is wrong; the row is named.
pub fn read(text: &str) -> Result<Table, BadTable> {
    let written: WrittenTable =
        serde_json::from_str(text).map_err(|error| BadTable(format!("it is no table of prices: {error}")))?;
    if written.format != FORMAT {
        return Err(BadTable(format!(
            "its `format` has to be `{FORMAT}`; make it with `genops prices update`"
        )));
    }
    if !is_day(&written.date) {
        return Err(BadTable("its `date` has to be a day such as `2026-11-22`".to_owned()));
    }
    let mut table = Table { source: written.source, date: written.date, providers: BTreeMap::new() };
    for (provider, book) in written.providers {
        table.providers.entry(provider.clone()).or_default().source = book.source;
        for row in book.rows {
            let called = format!("{provider}/{}", row.model);
            let entry = row.meant().map_err(|what| BadTable(format!("the row `{called}`: {what}")))?;
            table.add(&provider, entry);
        }
    }
    Ok(table)
}

/// Writes a table, one row to a line.
///
/// # Errors
///
/// None that is known: the table is text and numbers.
pub fn write(table: &Table) -> Result<String, serde_json::Error> {
    let mut text = format!(
        "{{\"format\":{},\n\"source\":{},\n\"date\":{},\n\"providers\":{{",
        serde_json::to_string(FORMAT)?,
        serde_json::to_string(&table.source)?,
        serde_json::to_string(&table.date)?,
    );
    let mut between = "\n";
    for (provider, book) in &table.providers {
        let name = serde_json::to_string(provider)?;
        let source = serde_json::to_string(&book.source)?;
        text.push_str(&format!("{between}{name}:{{\"source\":{source},\"rows\":["));
        let rows: Result<Vec<_>, _> =
            book.entries.iter().map(|entry| serde_json::to_string(&WrittenRow::of(entry))).collect();
        text.push_str(&format!("\n{}\n]}}", rows?.join(",\n")));
        between = ",\n";
    }
    text.push_str("\n}}\n");
    Ok(text)
}

impl WrittenRow {
    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Row(row) => Self {
                input: Some(row.rates.input.to_string()),
                cached_input: row.rates.cached_input.map(String::from),
                cache_write: row.rates.cache_write.map(String::from),
                output: Some(row.rates.output.to_string()),
                tiers: row.tiers.iter().map(WrittenTier::of).collect(),
                source: row.source.clone(),
                from: row.from.clone(),
                until: row.until.clone(),
                ..Self::named(&row.model, &row.names)
            },
            Entry::Unpriced { model, names, why } => {
                Self { unpriced: Some(why.clone()), ..Self::named(model, names) }
            }
        }
    }

    fn named(model: &str, names: &[String]) -> Self {
        let is_its_name = names == [model.to_lowercase()];
        let names = if is_its_name { Vec::new() } else { names.to_vec() };
        Self { model: model.to_owned(), names, ..Self::default() }
    }

    fn meant(self) -> Result<Entry, String> {
        let names = if self.names.is_empty() { vec![self.model.to_lowercase()] } else { self.names };
        let (input, output) = match (self.input, self.output, self.unpriced) {
            (Some(input), Some(output), None) => (input, output),
            (None, None, Some(why)) => return Ok(Entry::Unpriced { model: self.model, names, why }),
            _ => return Err("it needs `input` and `output`, or `unpriced` and neither".to_owned()),
        };
        let rates = rates(&input, &output, self.cached_input.as_ref(), self.cache_write.as_ref())?;
        let tiers = self.tiers.iter().map(WrittenTier::meant).collect::<Result<_, _>>()?;
        let (source, from, until) = (self.source, self.from, self.until);
        Ok(Entry::Row(Row { model: self.model, names, rates, tiers, source, from, until }))
    }
}

impl WrittenTier {
    fn of(tier: &Tier) -> Self {
        Self {
            above: tier.above,
            input: tier.rates.input.to_string(),
            cached_input: tier.rates.cached_input.map(String::from),
            cache_write: tier.rates.cache_write.map(String::from),
            output: tier.rates.output.to_string(),
        }
    }

    fn meant(&self) -> Result<Tier, String> {
        let rates = rates(&self.input, &self.output, self.cached_input.as_ref(), self.cache_write.as_ref())?;
        Ok(Tier { above: self.above, rates })
    }
}

fn rates(
    input: &str,
    output: &str,
    cached_input: Option<&String>,
    cache_write: Option<&String>,
) -> Result<Rates, String> {
    Ok(Rates {
        input: amount("input", input)?,
        output: amount("output", output)?,
        cached_input: cached_input.map(|text| amount("cached_input", text)).transpose()?,
        cache_write: cache_write.map(|text| amount("cache_write", text)).transpose()?,
    })
}

fn amount(what: &str, text: &str) -> Result<Amount, String> {
    match text.parse::<Amount>() {
        Ok(amount) if amount >= Amount::ZERO => Ok(amount),
        Ok(_) => Err(format!("`{what}` must not be negative")),
        Err(problem) => Err(format!("`{what}` {problem}")),
    }
}
