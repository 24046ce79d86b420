//! The table of prices: what providers publish for a million tokens, with the source and date of every row.
//!
//! A table ships with the gateway; another one can be read from a file in the same form ([`file`]), or made
//! from genai-prices' data ([`genai`]) or LiteLLM's ([`litellm`]). A model that no row names has no price:
//! nothing here guesses, fetches anything, or works a cost out.

pub mod file;
pub mod genai;
pub mod litellm;
mod pattern;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use genops_core::amount::InvalidAmount;
use genops_core::price::{Price, Rates, Tier};
use genops_core::{Amount, Name};
use serde_json::value::RawValue;

/// Prices of many providers, as published on one day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Where it was taken from: `genai-prices`.
    pub source: String,
    /// The day whose prices these are: `2026-11-22`.
    pub date: String,
    /// Each provider's rows, by its name in the table.
    pub providers: BTreeMap<String, Book>,
}

/// One provider's rows, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Where the provider publishes its prices.
    pub source: Option<String>,
    entries: Vec<Entry>,
    /// Entries by the names that are written out in full; the first of a name counts.
    exact: HashMap<String, usize>,
}

/// What the table says of the models of some names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// What they cost.
    Row(Row),
    /// That their price cannot be said. It stands in the order of the rows, so that the wider pattern of
    /// another row does not price them.
    Unpriced {
        /// What the entry is called: mostly the model's name.
        model: String,
        /// The names, as those of rows.
        names: Vec<String>,
        /// Why, for people.
        why: String,
    },
}

/// What a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the row is called: mostly the model's name.
    pub model: String,
    /// The names of models that it is for, in lower case: `*` stands for anything, `#` for one digit.
    pub names: Vec<String>,
    /// US dollars for a million tokens.
    pub rates: Rates,
    /// Other rates for calls that read much.
    pub tiers: Vec<Tier>,
    /// Where the price is published, if elsewhere than the provider's others.
    pub source: Option<String>,
    /// The first day on which the price is charged, where that is known.
    pub from: Option<String>,
    /// The day from which another price is announced, where one is.
    pub until: Option<String>,
}

/// A row, and where in the table it stands.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    table: &'a Table,
    book: &'a Book,
    provider: &'a str,
    /// The row.
    pub row: &'a Row,
}

/// A table that was made from somebody else's data, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The table.
    pub table: Table,
    /// What was left out: `provider/model`, and why.
    pub skipped: Vec<(String, &'static str)>,
}

/// A text that is no table of prices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTable(pub String);

/// Forms in which prices are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// This project's own.
    Own,
    /// `data.json` of genai-prices.
    Genai,
    /// `model_prices_and_context_window.json` of LiteLLM.
    LiteLlm,
}

static BUILT_IN: LazyLock<Result<Arc<Table>, BadTable>> =
    LazyLock::new(|| file::read(include_str!("../prices/prices.json")).map(Arc::new));

/// Whether a model searches by itself: its calls cost more than their tokens, whatever a row says of those.
fn searches(model: &str) -> bool {
    ["-search", "-online", "sonar", "deep-research"].iter().any(|word| model.contains(word))
}

impl Table {
    /// The table that ships with the gateway.
    ///
    /// # Errors
    ///
    /// The table that was built in is damaged.
    pub fn built_in() -> Result<Arc<Self>, BadTable> {
        BUILT_IN.clone()
    }

    /// The row for a model of a provider: the entry that writes the name out counts, else the first whose
    /// pattern fits. The case of letters does not matter.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<Found<'_>> {
        let (provider, book) = self.providers.get_key_value(provider)?;
        let model = model.to_lowercase();
        match book.find(&model)? {
            Entry::Row(_) if searches(&model) => None,
            Entry::Row(row) => Some(Found { table: self, book, provider, row }),
            Entry::Unpriced { .. } => None,
        }
    }

    /// Why the table has no price for a model that it knows.
    #[must_use]
    pub fn why_unpriced(&self, provider: &str, model: &str) -> Option<&str> {
        let model = model.to_lowercase();
        match self.providers.get(provider)?.find(&model)? {
            Entry::Row(_) if searches(&model) => {
                Some("it searches, and each search is charged beside its tokens")
            }
            Entry::Row(_) => None,
            Entry::Unpriced { why, .. } => Some(why),
        }
    }

    /// All rows, provider by provider.
    pub fn rows(&self) -> impl Iterator<Item = Found<'_>> {
        self.providers.iter().flat_map(move |(provider, book)| {
            book.entries.iter().filter_map(move |entry| match entry {
                Entry::Row(row) => Some(Found { table: self, book, provider, row }),
                Entry::Unpriced { .. } => None,
            })
        })
    }

    /// Adds an entry at the end of a provider's.
    pub fn add(&mut self, provider: &str, entry: Entry) {
        self.providers.entry(provider.to_owned()).or_default().add(entry);
    }
}

impl Entry {
    /// The names of models that it is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::Row(row) => &row.names,
            Self::Unpriced { names, .. } => names,
        }
    }
}

impl Book {
    fn add(&mut self, entry: Entry) {
        for name in entry.names().iter().filter(|name| pattern::is_literal(name)) {
            self.exact.entry(name.clone()).or_insert(self.entries.len());
        }
        self.entries.push(entry);
    }

    fn find(&self, model: &str) -> Option<&Entry> {
        let exact = self.exact.get(model).and_then(|at| self.entries.get(*at));
        let fits = |entry: &&Entry| entry.names().iter().any(|name| pattern::matches(name, model));
        exact.or_else(|| self.entries.iter().find(fits))
    }
}

impl Found<'_> {
    /// The provider, as the table calls it.
    #[must_use]
    pub const fn provider(&self) -> &str {
        self.provider
    }

    /// What the row is called in records: `genai-prices 2026-11-22 openai/gpt-4o-mini`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {} {}/{}", self.table.source, self.table.date, self.provider, self.row.model)
    }

    /// Where the price is published.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.row.source.as_deref().or(self.book.source.as_deref())
    }

    /// The price to charge by; `None` where the row's name is too long to be recorded.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let row = Name::new(&self.name()).ok()?;
        Some(Price { row, rates: self.row.rates, tiers: self.row.tiers.clone() })
    }
}

/// Reads prices in any of the three forms, and says which it was. `day` (`2026-11-22`) is the day whose
/// prices are wanted, where the data has prices of several; a table of our own keeps its day.
///
/// # Errors
///
/// The text is in none of the forms, or broken.
pub fn read_any(text: &str, day: &str) -> Result<(Form, Reading), BadTable> {
    if text.trim_start().starts_with('[') {
        return Ok((Form::Genai, genai::read(text, day)?));
    }
    let keys: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(text).map_err(|error| {
        BadTable(format!(
            "it is neither a table of prices, nor genai-prices' data.json, nor LiteLLM's \
             model_prices_and_context_window.json: {error}"
        ))
    })?;
    if keys.contains_key("format") {
        let table = file::read(text)?;
        return Ok((Form::Own, Reading { table, skipped: Vec::new() }));
    }
    Ok((Form::LiteLlm, litellm::read(text, day)?))
}

/// An amount from the text of a JSON number, times ten to the power of `shift`. Never by way of a float.
fn amount(raw: &RawValue, shift: i32) -> Result<Amount, &'static str> {
    match Amount::from_number(raw.get(), shift) {
        Ok(amount) if amount >= Amount::ZERO => Ok(amount),
        Ok(_) => Err("a price of it is negative"),
        Err(InvalidAmount::TooPrecise) => Err("a price of it has more than 12 decimals"),
        Err(_) => Err("a price of it is not a number"),
    }
}

/// Whether a text is a day such as `2026-11-22`, so that days can be compared as texts.
#[must_use]
pub fn is_day(text: &str) -> bool {
    pattern::matches("####-##-##", text)
}

#[cfg(test)]
mod tests;
