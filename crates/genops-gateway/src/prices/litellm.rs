//! Reading LiteLLM's `model_prices_and_context_window.json`: prices for one token, as JSON numbers such as
//! `1.5e-07`, which are moved by six places digit by digit and never read as floats.
//!
//! Kept is what a chat completion of text costs. Prices of batches and of service tiers are not read. A price
//! of nothing is not believed: the file has zeros where nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use genops_core::Amount;
use genops_core::price::{Rates, Tier};
use serde_json::value::RawValue;

use super::{BadTable, Entry, Reading, Row, Table, pattern};

/// What is said of one model.
type Model<'a> = BTreeMap<String, &'a RawValue>;

/// From a token to a million tokens.
const SHIFT: i32 = 6;

/// Modes in which a model is asked as chat completions are.
const MODES: [&str; 2] = ["chat", "responses"];

const INPUT: &str = "input_cost_per_token";
const OUTPUT: &str = "output_cost_per_token";
const CACHED_INPUT: &str = "cache_read_input_token_cost";
const CACHE_WRITE: &str = "cache_creation_input_token_cost";
const REASONING: &str = "output_cost_per_reasoning_token";

/// Reads the file. `day` (`2026-11-22`) is the day on which it was taken: it has no prices of other days.
///
/// # Errors
///
/// It is not LiteLLM's file.
pub fn read(text: &str, day: &str) -> Result<Reading, BadTable> {
    let all: BTreeMap<String, &RawValue> = serde_json::from_str(text)
        .map_err(|error| BadTable(format!("it is not LiteLLM's table of prices: {error}")))?;
    let table = Table { source: "litellm".into(), date: day.to_owned(), providers: BTreeMap::new() };
    let mut reading = Reading { table, skipped: Vec::new() };
    let mut known = false;
    for (name, raw) in &all {
        let model: Option<Model<'_>> = serde_json::from_str(raw.get()).ok();
        let provider = model.as_ref().and_then(|model| text_of(model, "litellm_provider"));
        known |= provider.is_some();
        let read = match (&model, &provider) {
            (Some(model), Some(provider)) => row(name, provider, model),
            _ => Err("it names no provider"),
        };
        match (read, provider) {
            (Ok(row), Some(provider)) => reading.table.add(&provider, Entry::Row(row)),
            (Err(why), _) => reading.skipped.push((name.clone(), why)),
            (Ok(_), None) => {}
        }
    }
    if known { Ok(reading) } else { Err(BadTable("it names no `litellm_provider` anywhere".to_owned())) }
}

fn row(name: &str, provider: &str, model: &Model<'_>) -> Result<Row, &'static str> {
    if !text_of(model, "mode").is_some_and(|mode| MODES.contains(&mode.as_str())) {
        return Err("it is not asked for chat completions");
    }
    // Models of some providers are written with the provider before them, as LiteLLM's callers name them.
    let called = name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    if !pattern::is_literal(called) {
        return Err("its name stands for many");
    }
    let rates = rates(model)?.ok_or("it has no price for input or none for output")?;
    if rates.input == Amount::ZERO && rates.output == Amount::ZERO {
        return Err("its price is nothing, which is not believed: write it into the configuration");
    }
    charged_by_tokens_alone(model, &rates)?;
    let mut tiers: Vec<Tier> = Vec::new();
    for mark in marks(model) {
        let above = mark.checked_mul(1_000).ok_or("a tier of it begins beyond all numbers")?;
        let below = tiers.last().map_or(&rates, |tier| &tier.rates);
        let rates = tier_rates(model, mark, below)?;
        tiers.push(Tier { above, rates });
    }
    let source = text_of(model, "source");
    let names = vec![called.to_lowercase()];
    Ok(Row { model: called.to_owned(), names, rates, tiers, source, from: None, until: None })
}

/// Whether input and output tokens are everything that a call of text is charged by.
fn charged_by_tokens_alone(model: &Model<'_>, rates: &Rates) -> Result<(), &'static str> {
    const PER_CALL: [&str; 4] =
        ["input_cost_per_request", "input_cost_per_query", "citation_cost_per_token", "tiered_pricing"];
    for (key, raw) in model.iter().filter(|(_, raw)| raw.get() != "null") {
        let other_output =
            key.starts_with("output_cost_per_") && !key.starts_with(OUTPUT) && !key.starts_with(REASONING);
        let is_apart = other_output || PER_CALL.contains(&key.as_str());
        if is_apart && super::amount(raw, SHIFT) != Ok(Amount::ZERO) {
            return Err("it is charged by more than tokens of text");
        }
    }
    match cost(model, REASONING)? {
        Some(reasoning) if reasoning != rates.output => Err("its thinking has a price of its own"),
        _ => Ok(()),
    }
}

/// The marks of the model's tiers, in thousands of tokens: `200` for `…_above_200k_tokens`.
fn marks(model: &Model<'_>) -> BTreeSet<u64> {
    let mark = |key: &String| {
        let (unit, mark) = key.strip_suffix("k_tokens")?.split_once("_above_")?;
        [INPUT, OUTPUT, CACHED_INPUT, CACHE_WRITE].contains(&unit).then(|| mark.parse().ok())?
    };
    model.iter().filter(|(_, raw)| raw.get() != "null").filter_map(|(key, _)| mark(key)).collect()
}

fn tier_rates(model: &Model<'_>, mark: u64, below: &Rates) -> Result<Rates, &'static str> {
    let cost = |unit: &str| cost(model, &format!("{unit}_above_{mark}k_tokens"));
    Ok(Rates {
        input: cost(INPUT)?.unwrap_or(below.input),
        output: cost(OUTPUT)?.unwrap_or(below.output),
        cached_input: cost(CACHED_INPUT)?.or(below.cached_input),
        cache_write: cost(CACHE_WRITE)?.or(below.cache_write),
    })
}

fn rates(model: &Model<'_>) -> Result<Option<Rates>, &'static str> {
    let (Some(input), Some(output)) = (cost(model, INPUT)?, cost(model, OUTPUT)?) else { return Ok(None) };
    let cached_input = cost(model, CACHED_INPUT)?;
    Ok(Some(Rates { input, output, cached_input, cache_write: cost(model, CACHE_WRITE)? }))
}

/// US dollars for a million, from a price for one; `null` is as good as absent.
fn cost(model: &Model<'_>, key: &str) -> Result<Option<Amount>, &'static str> {
    let raw = model.get(key).filter(|raw| raw.get() != "null");
    raw.map(|raw| super::amount(raw, SHIFT)).transpose()
}

fn text_of(model: &Model<'_>, key: &str) -> Option<String> {
    serde_json::from_str(model.get(key)?.get()).ok()
}
