//! `genops budgets`, `genops awus` and `genops show`: the same answers from a running server or from a
//! ledger file, as tables or as JSON.

use genops::ledger::views::Filter;
use genops::report::{Archive, AwuPage, AwuReport, BudgetList};
use genops_core::AwuId;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Format, Listing, Showing, Source};
use crate::{Trouble, client, table};

/// The environment variable with the key for `--server`.
const KEY_VARIABLE: &str = "GENOPS_KEY";

/// Shows the budgets.
pub async fn budgets(source: &Source) -> Result<(), Trouble> {
    let list: BudgetList = match &source.server {
        Some(server) => ask(server, "/genops/v1/budgets").await?,
        None => archive(source)?.budgets(genops::clock::wall()),
    };
    if source.format == Format::Json {
        return print_json(&list);
    }
    let rows = list.budgets.iter().map(|budget| {
        let or_none = |amount: &Option<String>| amount.clone().unwrap_or_else(|| "unlimited".to_owned());
        vec![
            budget.name.clone(),
            budget.window.clone(),
            budget.unit.clone(),
            or_none(&budget.allocated),
            budget.outstanding.clone(),
            budget.used.clone(),
            or_none(&budget.remaining),
            budget.in_doubt.clone(),
        ]
    });
    let headings =
        ["BUDGET", "WINDOW", "UNIT", ">ALLOCATED", ">RESERVED", ">USED", ">REMAINING", ">OF USED IN DOUBT"];
    table::print(&headings, rows.collect());
    println!("as of entry {}", list.as_of);
    Ok(())
}

/// Lists AWUs.
pub async fn awus(listing: &Listing) -> Result<(), Trouble> {
    let page: AwuPage = match &listing.source.server {
        Some(server) => ask(server, &listing_path(listing)).await?,
        None => archive(&listing.source)?.awus(&filter(listing), listing.limit).map_err(Trouble::failed)?,
    };
    if listing.source.format == Format::Json {
        return print_json(&page);
    }
    let rows = page.awus.iter().map(|awu| {
        vec![
            awu.at.clone(),
            format!("{}/{}/{}", awu.team, awu.project, awu.environment),
            awu.model.clone(),
            awu.state.clone(),
            awu.reason_code.clone().unwrap_or_else(|| awu.result.clone()),
            awu.reserved.clone().unwrap_or_default(),
            awu.actual.clone().unwrap_or_default(),
            awu.unit.clone().unwrap_or_default(),
            awu.id.clone(),
        ]
    });
    let headings = ["AT", "ATTRIBUTION", "MODEL", "STATE", "RESULT", ">RESERVED", ">ACTUAL", "UNIT", "AWU"];
    table::print(&headings, rows.collect());
    println!("as of entry {}", page.as_of);
    if let Some(next) = page.next {
        println!("more: --before {next}");
    }
    Ok(())
}

/// Shows one AWU.
pub async fn show(showing: &Showing) -> Result<(), Trouble> {
    let id: AwuId = showing.awu.parse().map_err(Trouble::unusable)?;
    let found: Option<AwuReport> = match &showing.source.server {
        Some(server) => Some(ask(server, &format!("/genops/v1/awus/{id}")).await?),
        None => archive(&showing.source)?.awu(id).map_err(Trouble::failed)?,
    };
    let Some(awu) = found else {
        return Err(Trouble::failed(format!("no AWU {id} is in this ledger")));
    };
    if showing.source.format == Format::Json {
        return print_json(&awu);
    }
    print_awu(&awu);
    Ok(())
}

fn print_awu(awu: &AwuReport) {
    let line = |name: &str, value: &str| println!("{name:<12}{value}");
    let some = |name: &str, value: Option<String>| value.iter().for_each(|value| line(name, value));
    line("AWU", &awu.id);
    line("decided", &format!("{} as entry {}", awu.at, awu.sequence));
    line("attribution", &format!("{}/{}/{}", awu.team, awu.project, awu.environment));
    some("key", awu.key.clone());
    line("operation", &awu.operation);
    line("model", &format!("{} at {}", awu.model, awu.provider));
    line("result", &format!("{} {}", awu.result, awu.reason_code.as_deref().unwrap_or_default()));
    some("reason", awu.reason.clone());
    line("state", &awu.state);
    some("ended", awu.ended_at.clone());
    some("end", awu.end.clone());
    some("latency", awu.latency_ms.map(|latency| format!("{latency} ms")));
    line("bound", &format!("{} tokens in, {} out", awu.bound.input, awu.bound.output));
    some("tokens", awu.tokens.map(|tokens| format!("{} in, {} out", tokens.input, tokens.output)));
    if awu.incomplete {
        line("incomplete", "nobody reported what was used; the reservation is charged");
    }
    line("policy", &awu.policy_version);
    line("chain", &awu.chain);
    println!();
    let rows = awu.cells.iter().map(|cell| {
        vec![
            cell.budget.clone(),
            cell.window.clone(),
            cell.unit.clone(),
            cell.remaining_before.clone().unwrap_or_else(|| "unlimited".to_owned()),
            cell.reserved.clone(),
            cell.actual.clone().unwrap_or_default(),
        ]
    });
    let headings = ["BUDGET", "WINDOW", "UNIT", ">REMAINED BEFORE", ">RESERVED", ">ACTUAL"];
    table::print(&headings, rows.collect());
}

fn archive(source: &Source) -> Result<Archive, Trouble> {
    Archive::open(&source.ledger).map_err(Trouble::failed)
}

async fn ask<T: DeserializeOwned>(server: &str, path: &str) -> Result<T, Trouble> {
    let key = std::env::var(KEY_VARIABLE).map_err(|_| {
        Trouble::unusable(format!(
            "set the environment variable {KEY_VARIABLE} to a key that reads the ledger"
        ))
    })?;
    let url = format!("{}{path}", server.trim_end_matches('/'));
    let (status, body) = client::send(&url, &key, None).await?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| {
            Trouble::failed(format!("`{url}` does not answer as a genops server: {error}"))
        });
    }
    let told: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = told.as_ref().and_then(|told| told.pointer("/error/message")?.as_str());
    Err(Trouble::failed(format!("the server answers {status}: {}", message.unwrap_or("without saying why"))))
}

fn filter(listing: &Listing) -> Filter {
    Filter {
        team: listing.team.clone(),
        project: listing.project.clone(),
        environment: listing.environment.clone(),
        result: listing.result.clone(),
        state: listing.state.clone(),
        before: listing.before,
    }
}

fn listing_path(listing: &Listing) -> String {
    let mut path = format!("/genops/v1/awus?limit={}", listing.limit);
    let before = listing.before.map(|before| before.to_string());
    let asked = [
        ("team", &listing.team),
        ("project", &listing.project),
        ("environment", &listing.environment),
        ("result", &listing.result),
        ("state", &listing.state),
        ("before", &before),
    ];
    for (name, value) in asked {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", client::escaped(value)));
        }
    }
    path
}

/// Prints JSON for programs, laid out so that people can read it too.
pub fn print_json<T: Serialize>(value: &T) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(value).map_err(Trouble::failed)?;
    crate::print_all(&format!("{text}\n"))
}
