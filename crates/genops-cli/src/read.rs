//! `genops budgets`, `genops estimates`, `genops awus` and `genops show`: the same answers from a running server or from a
//! ledger file, of one AWU also from the archives before it, as tables or as JSON.

use genops::ledger::views::Filter;
use genops::report::{
    Archive, AwuPage, AwuReport, BudgetList, ChangeReport, EstimateList, LabelReport, LaterReport, Recorded,
    SlaReport, TokenReport,
};
use genops_core::AwuId;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Format, Listing, Showing, Source, word};
use crate::output::{print_all, say};
use crate::{Trouble, client, output, table};

/// The environment variable with the key for `--server`.
const KEY_VARIABLE: &str = "GENOPS_KEY";

/// Shows the budgets.
pub async fn budgets(source: &Source) -> Result<(), Trouble> {
    let list: BudgetList = match &source.server {
        Some(server) => budgets_of(server).await?,
        None => archive(source)?.budgets(genops::clock::wall()).map_err(Trouble::failed)?,
    };
    if source.format == Format::Json {
        return print_json(&list);
    }
    budget_table(&list).lines().for_each(output::line);
    say!("as of entry {}", list.as_of);
    Ok(())
}

fn budget_table(list: &BudgetList) -> String {
    let rows = list.budgets.iter().map(|budget| {
        vec![
            cell(&budget.name, &budget.each),
            // The ends of a fixed range stand below each other.
            budget.window.replace(".000Z", "Z").replace('/', "/\n"),
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
    table::broken_wide(&headings, rows.collect())
}

fn or_none(amount: &Option<String>) -> String {
    amount.clone().unwrap_or_else(|| "unlimited".to_owned())
}

/// What a cell is called: its budget, and whose share of it.
pub fn cell(budget: &str, each: &[Option<String>]) -> String {
    if each.is_empty() {
        return budget.to_owned();
    }
    let each: Vec<_> = each.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
    format!("{budget} ({})", each.join(", "))
}

/// Every page of a server's budgets, as of the first.
async fn budgets_of(server: &str) -> Result<BudgetList, Trouble> {
    const PATH: &str = "/genops/v1/budgets?limit=1000";
    let mut list: BudgetList = ask(server, PATH, None).await?;
    while let Some(from) = list.next.take() {
        let more: BudgetList = ask(server, &format!("{PATH}&from={}", client::escaped(&from)), None).await?;
        list.budgets.extend(more.budgets);
        list.next = more.next;
    }
    Ok(list)
}

/// Shows how good the bounds were.
pub async fn estimates(source: &Source) -> Result<(), Trouble> {
    let list: EstimateList = match &source.server {
        Some(server) => ask(server, "/genops/v1/estimates", None).await?,
        None => archive(source)?.estimates().map_err(Trouble::failed)?,
    };
    if source.format == Format::Json {
        return print_json(&list);
    }
    let rows = list.estimates.iter().map(|estimate| {
        vec![
            estimate.provider.clone(),
            estimate.model.clone(),
            estimate.calls.to_string(),
            estimate.bound_input.to_string(),
            estimate.input.to_string(),
            share(estimate.input, estimate.bound_input),
            estimate.bound_output.to_string(),
            estimate.output.to_string(),
            share(estimate.output, estimate.bound_output),
            estimate.exceeded.to_string(),
        ]
    });
    let headings = [
        "PROVIDER",
        "MODEL",
        ">CALLS",
        ">BOUND IN",
        ">USED IN",
        ">%",
        ">BOUND OUT",
        ">USED OUT",
        ">%",
        ">EXCEEDED",
    ];
    table::print(&headings, rows.collect());
    say!("tokens of calls with a usage report; as of entry {}", list.as_of);
    Ok(())
}

/// How much of the bound was used, in per cent.
fn share(used: u64, bound: u64) -> String {
    let tenths = (u128::from(used) * 1_000).checked_div(u128::from(bound));
    tenths.map_or(String::new(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
}

/// Lists AWUs.
pub async fn awus(listing: &Listing) -> Result<(), Trouble> {
    let page: AwuPage = match &listing.source.server {
        Some(server) => ask(server, &listing_path(listing), None).await?,
        None => archive(&listing.source)?.awus(&filter(listing), listing.limit).map_err(Trouble::failed)?,
    };
    if listing.source.format == Format::Json {
        return print_json(&page);
    }
    let rows = page.awus.iter().map(|awu| {
        vec![
            awu.at.clone(),
            format!("{}/{}/{}", awu.team, awu.project, awu.environment),
            awu.model.clone().unwrap_or_else(|| "-".to_owned()),
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
    say!("as of entry {}", page.as_of);
    if let Some(next) = page.next {
        say!("more: --before {next}");
    }
    if let Some(through) = page.archived {
        say!("the entries through {through} are archived; what they decided is in the archive");
    }
    Ok(())
}

/// Shows one AWU.
pub async fn show(showing: &Showing) -> Result<(), Trouble> {
    let Showing { awu, place } = showing;
    let id: AwuId = awu.parse().map_err(Trouble::unusable)?;
    let (awu, end) = match &place.server {
        Some(server) => (ask::<AwuReport>(server, &format!("/genops/v1/awus/{id}"), None).await?, None),
        None => {
            let found = Recorded::find(&place.ledger, id).map_err(Trouble::failed)?;
            (found.report().map_err(Trouble::failed)?, end_of(&found))
        }
    };
    if place.format == Format::Json {
        return print_json_of(&awu, end.as_deref());
    }
    print_awu(&awu);
    end.iter().for_each(|end| say!("\n{end}"));
    Ok(())
}

/// Prints JSON, and on standard error what has to be said where the last of the files is no ledger.
pub fn print_json_of<T: Serialize>(value: &T, end: Option<&str>) -> Result<(), Trouble> {
    end.iter().for_each(|end| eprintln!("genops: {end}"));
    print_json(value)
}

/// What has to be said where the last of the files is no ledger.
pub fn end_of(found: &Recorded) -> Option<String> {
    let end = found.end()?;
    Some(format!(
        "as of entry {end}, the last one there: what was learned later, and whose the AWU is, stands in the ledger"
    ))
}

fn print_awu(awu: &AwuReport) {
    let line = |name: &str, value: &str| say!("{name:<12}{value}");
    let some = |name: &str, value: Option<String>| value.iter().for_each(|value| line(name, value));
    line("AWU", &awu.id);
    line("decided", &format!("{} as entry {}", awu.at, awu.sequence));
    some("attempt of", awu.attempt_of.clone());
    line("attribution", &format!("{}/{}/{}", awu.team, awu.project, awu.environment));
    some("labels", labels_line(&awu.labels));
    some("key", awu.key.clone());
    line("operation", &awu.operation);
    some("model", model_line(awu));
    some("region", awu.region.clone());
    line("result", &result_line(awu));
    some("rule", awu.rule.clone());
    some("reason", awu.reason.clone());
    // What decided stands there already.
    if awu.findings.len() > usize::from(awu.reason.is_some()) {
        awu.findings.iter().for_each(|finding| line("found", finding));
    }
    line("state", &awu.state);
    some("ended", awu.ended_at.clone());
    some("end", awu.end.clone());
    some("latency", awu.latency_ms.map(|latency| format!("{latency} ms")));
    awu.later.iter().for_each(|later| line("later", &later_line(later)));
    some("tier", awu.sla.as_ref().map(sla_line));
    line("bound", &format!("{} tokens in, {} out", awu.bound.input, awu.bound.output));
    some("capped", awu.output_limit.map(|limit| format!("{limit} tokens out for each choice")));
    some("tokens", awu.tokens.map(tokens_line));
    some("price", awu.price_row.clone());
    if awu.incomplete {
        line("incomplete", "nobody reported what was used; the reservation is charged");
    }
    line("policy", &awu.policy_version);
    line("chain", &awu.chain);
    say!();
    let rows = awu.cells.iter().map(|cell| {
        vec![
            self::cell(&cell.budget, &cell.each),
            cell.window.clone(),
            cell.unit.clone(),
            or_none(&cell.allocated),
            cell.used_before.clone(),
            cell.outstanding_before.clone(),
            or_none(&cell.remaining_before),
            cell.reserved.clone(),
            cell.actual.clone().unwrap_or_default(),
        ]
    });
    let headings = [
        "BUDGET",
        "WINDOW",
        "UNIT",
        ">ALLOCATED",
        ">USED BEFORE",
        ">RESERVED BEFORE",
        ">LEFT BEFORE",
        ">RESERVED",
        ">ACTUAL",
    ];
    table::print(&headings, rows.collect());
}

/// What was learned of an AWU after its end.
pub fn later_line(later: &LaterReport) -> String {
    let by = later.author.as_ref().map(|author| format!(" by {author}")).unwrap_or_default();
    let end = later.end.as_ref().map(|end| format!(" as {end}")).unwrap_or_default();
    let reason = later.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let change = |change: &ChangeReport| {
        let ChangeReport { budget, each, unit, before, actual } = change;
        format!("{actual} {unit} instead of {before} in {}", cell(budget, each))
    };
    let changes: Vec<_> = later.cells.iter().map(change).collect();
    let charged = if changes.is_empty() { "as before".to_owned() } else { changes.join(", ") };
    format!("{} as entry {}: {}{by}{end}{reason}, charged {charged}", later.at, later.sequence, later.what)
}

/// The model, and where it is asked; `None` where the work asks none.
pub fn model_line(awu: &AwuReport) -> Option<String> {
    Some(format!("{} at {}", awu.model.as_ref()?, awu.provider.as_ref()?))
}

/// The decision, its reason code, and whether the rule only observes.
pub fn result_line(awu: &AwuReport) -> String {
    let code = awu.reason_code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{code}{}", awu.result, if awu.observed { " (observed)" } else { "" })
}

/// What is said of an AWU beside its attribution.
pub fn labels_line(labels: &LabelReport) -> Option<String> {
    let known = [
        ("customer", &labels.customer_id),
        ("feature", &labels.feature),
        ("cost center", &labels.cost_center),
        ("session", &labels.session_id),
    ];
    let said = known.into_iter().filter_map(|(name, label)| Some(format!("{name} {}", label.as_ref()?)));
    let said: Vec<_> = said.collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// The tier, what was expected, and what came of it.
pub fn sla_line(sla: &SlaReport) -> String {
    let mut line = format!("{}: at most {} ms", sla.tier, sla.target_ms);
    match sla.expected_ms {
        Some(expected) => line.push_str(&format!("; {expected} ms were expected")),
        None => line.push_str("; too little was known to expect anything"),
    }
    if let (Some(actual), Some(met)) = (sla.actual_ms, sla.met) {
        line.push_str(&format!("; took {actual} ms, {}", if met { "met" } else { "missed" }));
    }
    if let Some(target) = sla.first_token_target_ms {
        line.push_str(&format!("; the first of the answer within {target} ms"));
        let came = sla.first_token_ms.map(|came| format!(", came after {came} ms"));
        line.push_str(&came.unwrap_or_default());
    }
    line
}

/// How many tokens, and what some of them were where the provider said so.
pub fn tokens_line(tokens: TokenReport) -> String {
    let mut line = format!("{} in, {} out", tokens.input, tokens.output);
    let parts = [
        (tokens.cached_input, "read from cache"),
        (tokens.cache_write, "written to cache"),
        (tokens.reasoning, "thought"),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        line.push_str(&format!("; {count} {what}"));
    }
    line
}

fn archive(source: &Source) -> Result<Archive, Trouble> {
    Archive::open(&source.ledger).map_err(Trouble::failed)
}

/// Asks a server for something, or with a body to do something.
pub async fn ask<T: DeserializeOwned>(server: &str, path: &str, body: Option<String>) -> Result<T, Trouble> {
    let key = std::env::var(KEY_VARIABLE).map_err(|_| {
        Trouble::unusable(format!(
            "set the environment variable {KEY_VARIABLE} to a key of the gateway with the role that this takes"
        ))
    })?;
    let url = format!("{}{path}", server.trim_end_matches('/'));
    let (status, body) = client::send(&url, &key, body).await?;
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
        feature: listing.feature.clone(),
        cost_center: listing.cost_center.clone(),
        customer_id: listing.customer_id.clone(),
        session_id: listing.session_id.clone(),
        key: listing.key.clone(),
        operation_type: listing.operation_type.clone(),
        provider: listing.provider.clone(),
        model: listing.model.clone(),
        result: listing.result.as_ref().and_then(word),
        state: listing.state.as_ref().and_then(word),
        before: listing.before,
        ..Filter::default()
    }
}

fn listing_path(listing: &Listing) -> String {
    let mut path = format!("/genops/v1/awus?limit={}", listing.limit);
    let before = listing.before.map(|before| before.to_string());
    let (result, state) = (listing.result.as_ref().and_then(word), listing.state.as_ref().and_then(word));
    let asked = [
        ("team", &listing.team),
        ("project", &listing.project),
        ("environment", &listing.environment),
        ("feature", &listing.feature),
        ("cost_center", &listing.cost_center),
        ("customer_id", &listing.customer_id),
        ("session_id", &listing.session_id),
        ("key", &listing.key),
        ("operation_type", &listing.operation_type),
        ("provider", &listing.provider),
        ("model", &listing.model),
        ("result", &result),
        ("state", &state),
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
    print_all(&format!("{}\n", serde_json::to_string_pretty(value).map_err(Trouble::failed)?))
}

#[cfg(test)]
mod tests {
    use genops::report::BudgetReport;

    use super::*;

    fn report(name: &str, each: &[Option<&str>], window: &str, amount: &str) -> BudgetReport {
        let amount = || amount.to_owned();
        BudgetReport {
            name: name.to_owned(),
            each: each.iter().map(|value| value.map(str::to_owned)).collect(),
            unit: "USD".to_owned(),
            window: window.to_owned(),
            current: true,
            allocated: Some(amount()),
            remaining: None,
            outstanding: amount(),
            used: amount(),
            in_doubt: amount(),
            overrun: amount(),
        }
    }

    #[test]
    fn budgets_are_told_with_shares_and_windows_within_a_hundred_columns() {
        let range = "2026-12-01T00:00:00.000Z/2026-12-08T00:00:00.500Z";
        let long = "a-customer-with-a-name-that-is-longer-than-any-column-of-this-table-has-room-for";
        let short = vec![
            report("team", &[], "2026-11", "1"),
            report("customer", &[Some("acme"), None], "rolling 30d", "249"),
        ];
        let wide = vec![report("launch", &[Some(long)], range, "123456.123456")];
        let [short, wide] =
            [short, wide].map(|budgets| budget_table(&BudgetList { budgets, as_of: 7, next: None }));
        for line in short.lines().chain(wide.lines()) {
            assert!(line.chars().count() <= 100, "{line}\n{short}{wide}");
        }
        assert_eq!(short.lines().count(), 3, "{short}");
        assert!(short.contains("customer (acme, -)  rolling 30d  USD "), "{short}");
        assert!(wide.contains("123456.123456  123456.123456  123456.123456  unlimited "), "{wide}");
    }
}
