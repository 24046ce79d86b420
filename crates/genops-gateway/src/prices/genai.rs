//! Reading genai-prices' `data.json` (version 2): prices for a million tokens, with conditions.
//!
//! Kept is what a chat completion of text costs on one day. Left out, each with its reason: what is not
//! charged by input and output tokens alone, and what changes with the hour. Prices of service tiers and of
//! batches (`price_variants`) are not read.

use std::collections::{BTreeMap, BTreeSet};

use genops_core::Amount;
use genops_core::price::{Rates, Tier};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BadTable, Entry, Reading, Row, Table, is_day, pattern};

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    #[serde(default)]
    pricing_urls: Option<Vec<String>>,
    #[serde(borrow)]
    models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(borrow, rename = "match")]
    matches: &'a RawValue,
    #[serde(borrow)]
    prices: &'a RawValue,
}

/// How a model's name is recognised.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clause {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Self>),
    And(Vec<Self>),
}

/// Prices, by unit, as numbers or tiers.
type Prices<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Conditional<'a> {
    #[serde(default)]
    constraint: Option<Constraint>,
    #[serde(borrow)]
    prices: Prices<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    start_date: Option<String>,
    start_time: Option<String>,
    #[serde(rename = "end_time")]
    _end_time: Option<String>,
}

/// The prices of one day, and the days between which they are charged.
struct Current<'a> {
    prices: Prices<'a>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
struct Tiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<TierPrice<'a>>,
}

#[derive(Deserialize)]
struct TierPrice<'a> {
    start: u64,
    #[serde(borrow)]
    price: &'a RawValue,
}

/// The prices of one unit: without a tier, and above each mark.
struct UnitPrice {
    base: Amount,
    tiers: Vec<(u64, Amount)>,
}

/// Reads the data as of a day such as `2026-11-22`.
///
/// # Errors
///
/// It is not genai-prices' data.
pub fn read(text: &str, day: &str) -> Result<Reading, BadTable> {
    let providers: Vec<Provider<'_>> = serde_json::from_str(text)
        .map_err(|error| BadTable(format!("it is not genai-prices' data.json: {error}")))?;
    let table = Table { source: "genai-prices".into(), date: day.to_owned(), providers: BTreeMap::new() };
    let mut reading = Reading { table, skipped: Vec::new() };
    for provider in providers {
        for model in &provider.models {
            let skipped = match row(model, day) {
                Ok(row) => {
                    reading.table.add(&provider.id, Entry::Row(row));
                    None
                }
                Err(why) => Some(why),
            };
            let called = || format!("{}/{}", provider.id, model.id);
            reading.skipped.extend(skipped.map(|why| (called(), why)));
            if let Some((names, why)) = kept_out(model, skipped) {
                let (model, why) = (model.id.clone(), why.to_owned());
                reading.table.add(&provider.id, Entry::Unpriced { model, names, why });
            }
        }
        if let Some(book) = reading.table.providers.get_mut(&provider.id) {
            book.source = provider.pricing_urls.and_then(|urls| urls.into_iter().next());
        }
    }
    Ok(reading)
}

/// Words in names of models that hear or speak. The data has prices of text alone for some of them.
const SOUND: [&str; 4] = ["-audio", "-realtime", "-transcribe", "-tts"];

fn row(model: &Model<'_>, day: &str) -> Result<Row, &'static str> {
    if SOUND.iter().any(|word| model.id.to_lowercase().contains(word)) {
        return Err("it hears or speaks, which is charged apart from text");
    }
    let Current { prices, from, until } = current(model.prices, day)?;
    let (rates, tiers) = rates(&prices)?;
    let names = names(model)?;
    Ok(Row { model: model.id.clone(), names, rates, tiers, source: None, from, until })
}

// === names ===

const STRANGE_NAMES: &str = "its names are recognised in a way that is not known here";

/// Names that a model takes up without being priced for them, and why: all of a model that is left out, and
/// those that cannot be told apart from its own where its clause says `and`.
fn kept_out(model: &Model<'_>, skipped: Option<&'static str>) -> Option<(Vec<String>, &'static str)> {
    let clause: Clause = serde_json::from_str(model.matches.get()).ok()?;
    let id = model.id.to_lowercase();
    let (names, why) = match (clause, skipped) {
        (Clause::And(clauses), skipped) => {
            let wide = clauses.iter().map(|clause| patterns(clause, &id)).find(|names| !names.is_empty());
            (wide?, skipped.unwrap_or(STRANGE_NAMES))
        }
        (clause, Some(why)) => (patterns(&clause, &id), why),
        (_, None) => return None,
    };
    (!names.is_empty()).then_some((names, why))
}

fn names(model: &Model<'_>) -> Result<Vec<String>, &'static str> {
    let clause: Clause = serde_json::from_str(model.matches.get()).map_err(|_| STRANGE_NAMES)?;
    let names = patterns(&clause, &model.id.to_lowercase());
    if names.is_empty() { Err(STRANGE_NAMES) } else { Ok(names) }
}

/// The patterns that a clause comes to; those that cannot be said are left out, so that fewer names are
/// recognised and never others.
fn patterns(clause: &Clause, id: &str) -> Vec<String> {
    let text = |text: &str| text.to_lowercase();
    match clause {
        Clause::Equals(whole) => literal(whole, text(whole)),
        Clause::StartsWith(begin) => literal(begin, format!("{}*", text(begin))),
        Clause::EndsWith(end) => literal(end, format!("*{}", text(end))),
        Clause::Contains(part) => literal(part, format!("*{}*", text(part))),
        Clause::Regex(regex) => pattern::from_regex(&text(regex)).unwrap_or_default(),
        Clause::Or(clauses) => clauses.iter().flat_map(|clause| patterns(clause, id)).collect(),
        // A pattern cannot say `and`. The row's own name is taken, where it is one of the names.
        Clause::And(clauses) => {
            let fits = |clause: &Clause| patterns(clause, id).iter().any(|name| pattern::matches(name, id));
            let says = |clause: &&Clause| !patterns(clause, id).is_empty();
            let mut said = clauses.iter().filter(says).peekable();
            if said.peek().is_some() && said.all(fits) { vec![id.to_owned()] } else { Vec::new() }
        }
    }
}

fn literal(text: &str, pattern: String) -> Vec<String> {
    if pattern::is_literal(text) { vec![pattern] } else { Vec::new() }
}

// === the prices of a day ===

/// The last of the prices whose condition holds on the day, as genai-prices chooses.
fn current<'a>(prices: &'a RawValue, day: &str) -> Result<Current<'a>, &'static str> {
    let unknown = "its prices have a shape that is not known here";
    if !prices.get().starts_with('[') {
        let prices = serde_json::from_str(prices.get()).map_err(|_| unknown)?;
        return Ok(Current { prices, from: None, until: None });
    }
    let conditionals: Vec<Conditional<'a>> = serde_json::from_str(prices.get())
        .map_err(|_| "its prices have a condition that is not known here")?;
    let mut until: Option<String> = None;
    for Conditional { constraint, prices } in conditionals.into_iter().rev() {
        let Some(Constraint { start_date, start_time, .. }) = constraint else {
            return Ok(Current { prices, from: None, until });
        };
        if start_time.is_some() {
            return Err("its price changes with the time of day");
        }
        let Some(start) = start_date.filter(|start| is_day(start)) else { return Err(unknown) };
        if start.as_str() <= day {
            return Ok(Current { prices, from: Some(start), until });
        }
        until = Some(start);
    }
    Err("its price is not charged yet")
}

// === rates ===

/// What is beside tokens of text, and asked for apart: sound, searches, documents, longer caching.
const BESIDE: [&str; 9] = [
    "cache_audio_read_mtok",
    "cache_write_1h_mtok",
    "input_annotated_document_kpages",
    "input_audio_hours",
    "input_audio_mtok",
    "input_document_kpages",
    "storage_searches_kcount",
    "web_searches_kcount",
    "input_text_messages_kcount",
];

fn rates(prices: &Prices<'_>) -> Result<(Rates, Vec<Tier>), &'static str> {
    const TOKENS: [&str; 4] = ["input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"];
    if prices.is_empty() {
        return Err("it has no price");
    }
    if prices.keys().any(|unit| !TOKENS.contains(&unit.as_str()) && !BESIDE.contains(&unit.as_str())) {
        return Err("it is charged by more than tokens of text");
    }
    let [input, output, cached_input, cache_write] =
        TOKENS.map(|unit| prices.get(unit).map(|price| unit_price(price)).transpose());
    let (Some(input), Some(output)) = (input?, output?) else {
        return Err("it has no price for input or none for output");
    };
    let (cached_input, cache_write) = (cached_input?, cache_write?);
    let at = |tokens: Option<u64>| Rates {
        input: input.at(tokens),
        output: output.at(tokens),
        cached_input: cached_input.as_ref().map(|unit| unit.at(tokens)),
        cache_write: cache_write.as_ref().map(|unit| unit.at(tokens)),
    };
    let units = [Some(&input), Some(&output), cached_input.as_ref(), cache_write.as_ref()];
    let marks: BTreeSet<u64> =
        units.into_iter().flatten().flat_map(|unit| unit.tiers.iter().map(|(start, _)| *start)).collect();
    let tiers = marks.into_iter().map(|above| Tier { above, rates: at(Some(above)) }).collect();
    Ok((at(None), tiers))
}

impl UnitPrice {
    /// The price for calls with more input tokens than the mark, if there is one.
    fn at(&self, mark: Option<u64>) -> Amount {
        let reached = self.tiers.iter().filter(|(start, _)| mark.is_some_and(|mark| *start <= mark));
        reached.max_by_key(|(start, _)| *start).map_or(self.base, |(_, price)| *price)
    }
}

fn unit_price(raw: &RawValue) -> Result<UnitPrice, &'static str> {
    if !raw.get().starts_with('{') {
        return Ok(UnitPrice { base: super::amount(raw, 0)?, tiers: Vec::new() });
    }
    let tiered: Tiered<'_> =
        serde_json::from_str(raw.get()).map_err(|_| "its prices have a shape that is not known here")?;
    let tiers = tiered.tiers.iter().map(|tier| Ok((tier.start, super::amount(tier.price, 0)?)));
    Ok(UnitPrice { base: super::amount(tiered.base, 0)?, tiers: tiers.collect::<Result<_, &'static str>>()? })
}
