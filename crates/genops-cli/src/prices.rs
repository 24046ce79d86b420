//! `genops prices`: looking at the table of prices, working a cost out in plain lines, and making a new table
//! from public data.
//!
//! Nothing is fetched: a table is made from a file that somebody has downloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use genops_core::Amount;
use genops_core::price::{Price, Rates, Tokens};
use genops_gateway::prices::{Form, Found, Table, file, is_day, read_any};
use serde::Serialize;

use crate::arguments::{Explaining, Format, PriceTable, PricesCommand, Updating};
use crate::output::say;
use crate::read::print_json;
use crate::{Trouble, output, table};

/// Answers one of the commands.
pub fn run(command: &PricesCommand) -> Result<(), Trouble> {
    match command {
        PricesCommand::List { provider, table } => list(provider.as_deref(), table),
        PricesCommand::Search { text, table } => search(text, table),
        PricesCommand::Explain(explaining) => explain(explaining),
        PricesCommand::Update(updating) => update(updating),
    }
}

/// A row, for programs.
#[derive(Serialize)]
struct RowReport<'a> {
    row: String,
    provider: &'a str,
    model: &'a str,
    names: &'a [String],
    #[serde(flatten)]
    rates: RatesReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<TierReport>,
    source: Option<&'a str>,
    from: Option<&'a str>,
    until: Option<&'a str>,
}

/// US dollars for a million tokens, as decimal text.
#[derive(Serialize)]
struct RatesReport {
    input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    output: String,
}

#[derive(Serialize)]
struct TierReport {
    above: u64,
    #[serde(flatten)]
    rates: RatesReport,
}

fn list(provider: Option<&str>, which: &PriceTable) -> Result<(), Trouble> {
    let table = open(which)?;
    if let Some(provider) = provider {
        require_provider(&table, provider)?;
    }
    show(&table, which.format, |found| provider.is_none_or(|provider| found.provider() == provider))
}

fn search(text: &str, which: &PriceTable) -> Result<(), Trouble> {
    let text = text.to_lowercase();
    let has = |name: &str| name.to_lowercase().contains(&text);
    let table = open(which)?;
    show(&table, which.format, |found| {
        has(found.provider()) || has(&found.row.model) || found.row.names.iter().any(|name| has(name))
    })
}

fn show(table: &Table, format: Format, wanted: impl Fn(&Found<'_>) -> bool) -> Result<(), Trouble> {
    let found: Vec<_> = table.rows().filter(wanted).collect();
    if format == Format::Json {
        return print_json(&found.iter().map(report).collect::<Vec<_>>());
    }
    let none_or = |amount: Option<Amount>| amount.map(String::from).unwrap_or_default();
    let line = |found: &Found<'_>| {
        let rates = &found.row.rates;
        let tiers: Vec<_> = found.row.tiers.iter().map(|tier| format!("above {}", tier.above)).collect();
        vec![
            found.provider().to_owned(),
            found.row.model.clone(),
            rates.input.to_string(),
            none_or(rates.cached_input),
            none_or(rates.cache_write),
            rates.output.to_string(),
            tiers.join(", "),
        ]
    };
    let headings = ["PROVIDER", "MODEL", ">INPUT", ">CACHED", ">TO CACHE", ">OUTPUT", "OTHER PRICES"];
    table::print(&headings, found.iter().map(line).collect());
    say!("{} rows; US dollars for a million tokens; {} {}", found.len(), table.source, table.date);
    Ok(())
}

fn report<'a>(found: &'a Found<'a>) -> RowReport<'a> {
    let tier = |tier: &genops_core::price::Tier| TierReport { above: tier.above, rates: rates(&tier.rates) };
    RowReport {
        row: found.name(),
        provider: found.provider(),
        model: &found.row.model,
        names: &found.row.names,
        rates: rates(&found.row.rates),
        tiers: found.row.tiers.iter().map(tier).collect(),
        source: found.source(),
        from: found.row.from.as_deref(),
        until: found.row.until.as_deref(),
    }
}

fn rates(rates: &Rates) -> RatesReport {
    RatesReport {
        input: rates.input.to_string(),
        cached_input: rates.cached_input.map(String::from),
        cache_write: rates.cache_write.map(String::from),
        output: rates.output.to_string(),
    }
}

// === explaining ===

fn explain(explaining: &Explaining) -> Result<(), Trouble> {
    let table = open(&explaining.table)?;
    require_provider(&table, &explaining.provider)?;
    let found = table.find(&explaining.provider, &explaining.model).ok_or_else(|| {
        let why = table.why_unpriced(&explaining.provider, &explaining.model);
        Trouble::failed(format!(
            "the table of {} {} has no price for model `{}` of `{}`{}: look with `genops prices search`, or write \
             `price: {{input: …, output: …}}` into the configuration",
            table.source, table.date, explaining.model, explaining.provider,
            why.map_or_else(String::new, |why| format!(" ({why})")),
        ))
    })?;
    let price = found.price().ok_or_else(|| Trouble::failed("the row's name is too long to be recorded"))?;
    if explaining.table.format == Format::Json {
        return print_json(&report(&found));
    }
    let line = |name: &str, value: &str| say!("{name:<12}{value}");
    line("row", &found.name());
    line("published", found.source().unwrap_or("nobody says where"));
    let from = found.row.from.iter().map(|day| format!("since {day}"));
    let until = found.row.until.iter().map(|day| format!("until {day}: another price is announced"));
    from.chain(until).for_each(|when| line("charged", &when));
    line("names", &found.row.names.join(", "));
    line("rates", &rates_line(&price.rates));
    for tier in &price.tiers {
        line(
            "",
            &format!("above {} input tokens, for the whole call: {}", tier.above, rates_line(&tier.rates)),
        );
    }
    say!();
    let tokens = Tokens {
        cached_input: explaining.cached.min(explaining.input),
        ..Tokens::new(explaining.input, explaining.output)
    };
    work_out(&price, tokens).iter().for_each(|line| output::line(line));
    Ok(())
}

fn rates_line(rates: &Rates) -> String {
    let mut line = format!("{} in, {} out", rates.input, rates.output);
    let parts = [(rates.cached_input, "read from cache"), (rates.cache_write, "written to cache")];
    for (rate, what) in parts {
        line.extend(rate.map(|rate| format!(", {rate} {what}")));
    }
    line
}

/// How a cost comes about, line by line: products first, in millionths of a dollar, divided and rounded once.
fn work_out(price: &Price, tokens: Tokens) -> Vec<String> {
    let mut lines = Vec::new();
    let mut sum = Some(Amount::ZERO);
    for part in price.parts(tokens).into_iter().filter(|part| part.tokens > 0) {
        let product = part.rate.atoms().checked_mul(i128::from(part.tokens)).map(Amount::from_atoms);
        sum = sum.zip(product).and_then(|(sum, product)| sum.checked_add(product));
        let product = product.map_or_else(|| "too large".to_owned(), String::from);
        lines.push(format!("{:<20}{} x {} = {product}", part.what, part.tokens, part.rate));
    }
    let or_too_large = |amount: Option<Amount>| amount.map_or_else(|| "too large".to_owned(), String::from);
    lines.push(format!("{:<20}{}", "together", or_too_large(sum)));
    let cost = or_too_large(price.cost(tokens));
    lines.push(format!("{:<20}{cost} USD (divided by 1,000,000; rounded up to 12 decimals)", "cost"));
    let bound = or_too_large(price.bound(tokens));
    lines.push(format!("{:<20}{bound} USD (the most that so many tokens can cost)", "reserved"));
    lines
}

// === updating ===

fn update(updating: &Updating) -> Result<(), Trouble> {
    let day = updating.date.clone().unwrap_or_else(today);
    if !is_day(&day) {
        return Err(Trouble::unusable("`--date` has to be a day such as `2026-11-22`"));
    }
    let text = read_text(&updating.from)?;
    let shown = updating.from.display();
    let (form, reading) = read_any(&text, &day)
        .map_err(|problem| Trouble::unusable(format!("cannot use `{shown}`: {problem}")))?;
    let written = file::write(&reading.table).map_err(Trouble::failed)?;
    std::fs::write(&updating.out, written)
        .map_err(|error| Trouble::failed(format!("cannot write `{}`: {error}", updating.out.display())))?;
    let form = match form {
        Form::Own => "a table of genops",
        Form::Genai => "genai-prices' data",
        Form::LiteLlm => "LiteLLM's table",
    };
    let rows = reading.table.rows().count();
    let providers: BTreeSet<_> = reading.table.rows().map(|found| found.provider().to_owned()).collect();
    say!("read {rows} rows of {} providers from {form}, as of {}", providers.len(), reading.table.date);
    say!("left out {}", reading.skipped.len());
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (row, why) in &reading.skipped {
        reasons.entry(why).or_default().push(row);
    }
    for (why, rows) in reasons {
        let examples: Vec<_> = rows.iter().take(EXAMPLES).copied().collect();
        let more = if rows.len() > EXAMPLES { ", …" } else { "" };
        say!("  {:>5}  {why}: {}{more}", rows.len(), examples.join(", "));
    }
    say!("wrote {}; name it as `prices_file` in the configuration", updating.out.display());
    Ok(())
}

/// So many rows are named for each reason.
const EXAMPLES: usize = 3;

fn today() -> String {
    genops::clock::wall().to_string().chars().take("2026-11-22".len()).collect()
}

fn open(which: &PriceTable) -> Result<Arc<Table>, Trouble> {
    let Some(path) = &which.file else { return Table::built_in().map_err(Trouble::failed) };
    let table = file::read(&read_text(path)?)
        .map_err(|problem| Trouble::unusable(format!("cannot use `{}`: {problem}", path.display())))?;
    Ok(Arc::new(table))
}

fn read_text(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path)
        .map_err(|error| Trouble::unusable(format!("cannot read `{}`: {error}", path.display())))
}

fn require_provider(table: &Table, provider: &str) -> Result<(), Trouble> {
    if table.providers.contains_key(provider) {
        return Ok(());
    }
    let known: Vec<_> = table.providers.keys().map(String::as_str).collect();
    Err(Trouble::unusable(format!("the table has no provider `{provider}`; it has: {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use genops_core::Name;
    use genops_core::price::Tier;

    use super::*;

    #[test]
    fn a_cost_is_worked_out_in_lines_that_add_up() {
        let rates = |input: &str, output: &str, cached: &str| Rates {
            input: input.parse().unwrap(),
            output: output.parse().unwrap(),
            cached_input: Some(cached.parse().unwrap()),
            cache_write: None,
        };
        let tiers = vec![Tier { above: 200_000, rates: rates("2.5", "15", "0.25") }];
        let price = Price { row: Name::new("r").unwrap(), rates: rates("1.25", "10", "0.125"), tiers };
        let tokens = Tokens { cached_input: 400, ..Tokens::new(1_000, 20) };
        assert_eq!(
            work_out(&price, tokens),
            [
                "input               600 x 1.25 = 750",
                "read from cache     400 x 0.125 = 50",
                "output              20 x 10 = 200",
                "together            1000",
                "cost                0.001 USD (divided by 1,000,000; rounded up to 12 decimals)",
                "reserved            0.00145 USD (the most that so many tokens can cost)",
            ]
        );
    }

    #[test]
    fn today_is_a_day() {
        assert!(is_day(&today()));
    }
}
