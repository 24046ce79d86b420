//! Every field of a configuration by itself, and the words for what people change most.

use genops::receipt::key::SigningKey;
use serde_json::{Value, json};

use super::{Change, diff, diff_of_running};
use crate::config::Config;
use crate::config::tests::sample_with_everything;

fn table(price: &str) -> String {
    let row = format!(r#"{{"model":"gpt-4o","names":["gpt-4o"],"input":"{price}","output":"2"}}"#);
    format!(
        r#"{{"format":"genops prices 1: US dollars for a million tokens","source":"own","date":"2026-11-22",
        "providers":{{"openai":{{"source":null,"rows":[{row}]}},"p":{{"source":null,"rows":[{row}]}}}}}}"#
    )
}

/// How what keys are fetched from begins.
const SECRET: &str = "sk-live-";

fn read(text: &str) -> Config {
    let env = |name: &str| name.ends_with("_KEY").then(|| format!("{SECRET}{name}"));
    let file = |path: &str| match path {
        "prices.json" => Ok(table("1")),
        "other.json" => Ok(table("3")),
        "genops-signing.key" => Ok(SigningKey::text(&[1; 32])),
        "other-signing.key" => Ok(SigningKey::text(&[2; 32])),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    Config::read("test", text, &env, &file).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn lines(old: &str, new: &str) -> Vec<String> {
    diff(&read(old), &read(new)).iter().map(Change::to_string).collect()
}

// === every field ===

/// A configuration that has every field, and of what others refer to, something to spare.
fn full() -> Value {
    let mut full: Value = serde_saphyr::from_str(&sample_with_everything()).unwrap();
    full["providers"].as_array_mut().unwrap().extend([
        json!({"name": "second", "base_url": "https://second.example/v1"}),
        json!({"name": "spare", "base_url": "https://spare.example/v1"}),
    ]);
    let third = json!({"name": "third", "provider": "second", "max_output_tokens": 10});
    full["models"].as_array_mut().unwrap().push(third);
    let spare = json!({"name": "spare-key", "sha256": "2".repeat(64)});
    full["keys"].as_array_mut().unwrap().push(spare);
    full["models"][0]["fallbacks"] = json!(["third"]);
    // Priced by the table.
    full["models"][1].as_object_mut().unwrap().remove("price");
    // Whoever covers a call by any of these does so in every list.
    let covers = full["allowed_models"][0]["for"].clone();
    for list in ["allowed_regions", "conditions", "content_rules", "rates", "tiers", "budgets"] {
        for rule in full[list].as_array_mut().unwrap() {
            rule["for"] = covers.clone();
        }
    }
    full
}

/// Every place that holds a value of its own.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| places(item, &format!("{at}/{place}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// What may stand in a place instead.
fn other(at: &str, value: &Value) -> Value {
    let mut path = at.rsplit('/').filter(|part| part.parse::<usize>().is_err());
    let text = |text: &str| Value::from(text);
    match (path.next().unwrap(), value) {
        (_, Value::Bool(flag)) => Value::from(!flag),
        (_, Value::Number(number)) => match number.as_u64() {
            Some(whole) => Value::from(whole + 1),
            None => Value::from(number.as_f64().unwrap() + 1.0),
        },
        ("listen", _) => text("127.0.0.1:4101"),
        ("endpoint", _) => text("http://127.0.0.1:4319"),
        ("url", _) => text("https://elsewhere.example/alerts"),
        ("protocol", _) => text("grpc"),
        ("compression", _) => text("gzip"),
        ("authorization" | "api_key", _) => text("env:OTHER_KEY"),
        ("signing_key", _) => text("file:other-signing.key"),
        ("prices_file", _) => text("other.json"),
        ("base_url", _) => text("https://elsewhere.example/v1"),
        ("output_limit_field", _) => text("max_tokens"),
        ("without_usage", _) => text("counted"),
        ("prices", _) => text("p"),
        ("http2", _) => text("never"),
        ("encoding", _) => text("cl100k_base"),
        ("fallbacks", _) => text("gpt-4o"),
        ("mode", mode) => text(if mode == "observe" { "enforce" } else { "observe" }),
        ("when", _) => text("max_output_tokens > 5"),
        ("code", _) => text("x_other"),
        ("effect" | "on_error", _) => text("warn"),
        ("expected_miss", _) => text("refuse"),
        ("detect", kind) => text(if kind == "email" { "payment_card" } else { "email" }),
        ("per", per) => text(if per == "hour" { "day" } else { "hour" }),
        ("each", _) => text("team"),
        ("unit", unit) => text(if unit == "tokens" { "USD" } else { "tokens" }),
        ("period", _) => text("day"),
        ("time_zone", _) => text("Asia/Tokyo"),
        ("from", _) => text("2026-11-30T00:00:00Z"),
        ("until", _) => text("2026-12-09T00:00:00Z"),
        ("rolling", _) => text("7d"),
        ("sha256", _) => Value::from("1".repeat(64)),
        ("provider", provider) if at.starts_with("/models") || at.starts_with("/other_models") => {
            text(if provider == "second" { "openai" } else { "second" })
        }
        ("provider", _) => text("spare"),
        ("key", _) => text("spare-key"),
        ("roles", _) => text("operate"),
        _ => text("something-else"),
    }
}

/// Places that cannot be changed by themselves: others refer to them.
const REFERRED_TO: [&str; 4] = ["/providers/0/name", "/providers/1/name", "/models/2/name", "/keys/0/name"];

/// Whether something else may stand in this place.
fn may_change(at: &str) -> bool {
    // There is one type of operation.
    !REFERRED_TO.contains(&at) && !at.ends_with("/operation_type")
}

/// What a change in a place is about: the rule, or the section where it has no name.
fn about(full: &Value, at: &str) -> String {
    let mut parts = at.split('/').skip(1);
    let (section, item) = (parts.next().unwrap(), parts.next());
    let named = item.and_then(|item| full.pointer(&format!("/{section}/{item}/name")));
    match (section, named.and_then(Value::as_str)) {
        (_, Some(name)) => name.to_owned(),
        ("condition_headers", _) => "condition headers".to_owned(),
        ("other_models", _) => "other models".to_owned(),
        // What else would it be for?
        ("prices_file", _) => "gpt-4o".to_owned(),
        (section, None) => section.to_owned(),
    }
}

#[test]
fn every_field_that_is_changed_by_itself_is_told_and_names_what_it_is_about() {
    let full = full();
    let before = read(&full.to_string());
    assert_eq!(diff(&before, &before), []);
    let mut all = Vec::new();
    places(&full, "", &mut all);
    assert!(all.len() > 150, "the configuration was not walked: {}", all.len());
    for at in all.iter().filter(|at| may_change(at)) {
        let mut changed = full.clone();
        let place = changed.pointer_mut(at).unwrap();
        *place = other(at, place);
        // A minimum belongs to capping alone.
        if at.ends_with("/on_insufficient") {
            changed["budgets"][0].as_object_mut().unwrap().remove("minimum_output_tokens");
            changed.pointer_mut(at).unwrap().clone_from(&Value::from("refuse"));
        }
        let after = read(&changed.to_string());
        for changes in [diff(&before, &after), diff(&after, &before)] {
            let told: Vec<_> = changes.iter().map(Change::to_string).collect();
            let about = about(&full, at);
            assert!(told.iter().any(|line| line.contains(&about)), "{at} ({about}): {told:#?}");
            let shows = |line: &String| line.contains(SECRET) || line.contains(&"0".repeat(64));
            assert!(!told.iter().any(shows), "{told:#?}");
            let is_rule = !["/mode", "/pro", "/pri"].iter().any(|other| at.starts_with(other));
            let is_renamed = at.ends_with("/name");
            if is_rule && !is_renamed {
                assert!(told.iter().all(|line| line.contains(&about)), "{at}: {told:#?}");
            }
        }
    }
}

#[test]
fn everything_that_is_added_or_removed_as_a_whole_is_told() {
    let full = full();
    let before = read(&full.to_string());
    for (section, value) in full.as_object().unwrap() {
        let Some(items) = value.as_array() else { continue };
        for (place, item) in items.iter().enumerate() {
            let mut without = full.clone();
            without[section].as_array_mut().unwrap().remove(place);
            let name = item["name"].as_str().or(item.as_str()).unwrap();
            if ["openai", "second", "third", "search-api"].contains(&name) {
                continue; // Others refer to it.
            }
            let after = read(&without.to_string());
            let told = |changes: Vec<Change>, what: &str| {
                let is_told = |line: &String| line.contains(name) && line.contains(what);
                assert!(changes.iter().map(Change::to_string).any(|line| is_told(&line)), "{changes:#?}");
            };
            told(diff(&before, &after), "removed");
            told(diff(&after, &before), "added");
        }
    }
}

// === the words ===

const PROVIDERS: &str =
    "providers: [{name: openai, base_url: 'https://a/v1'}, {name: local, base_url: 'http://b/v1'}]\n";

#[test]
fn what_a_change_means_is_said_in_words() {
    let budget = |more: &str| format!("budgets: [{{name: b, for: {{team: search}}, unit: USD, {more}}}]");
    let rule = |more: &str| format!("allowed_models: [{{name: r, for: {{team: [search, ads]}}, {more}}}]");
    let rate = |more: &str| format!("rates: [{{name: r, {more}}}]");
    let model = |more: &str| {
        format!("{PROVIDERS}models: [{{name: m, provider: openai, max_output_tokens: 9{more}}}]")
    };
    let hash = |digit: &str| format!("keys: [{{name: k, sha256: '{}', team: search}}]", digit.repeat(64));
    let tier =
        |more: &str| format!("tiers: [{{name: t, latency_ms: 2000}}, {{name: u, latency_ms: 1}}{more}]");
    let condition = |when: &str| format!("conditions: [{{name: x, when: '{when}', code: x_c}}]");
    let provider = |more: &str| format!("providers: [{{name: p, base_url: 'https://a/v1'{more}}}]");
    let none = String::new();
    let cases = [
        (
            budget("limit: 250"),
            budget("limit: 300"),
            "budget b: limit 250 -> 300 USD: 50 more for team search",
        ),
        (budget("limit: 1"), budget("limit: 0.5"), "budget b: limit 1 -> 0.5 USD: 0.5 less for team search"),
        (budget("limit: 1"), none.clone(), "budget b: removed; only the other budgets limit team search"),
        (
            none.clone(),
            budget("limit: 1, period: day, mode: observe"),
            "budget b: added: 1 USD each day (UTC) for team search; what does not fit is refused (observed: it only warns)",
        ),
        (
            budget("limit: 1, period: month"),
            budget("limit: 1, period: day"),
            "budget b: period each month (UTC) -> each day (UTC): it begins anew, with nothing used",
        ),
        (
            budget("limit: 1, period: week"),
            budget("limit: 1, period: week, time_zone: Europe/Berlin"),
            "budget b: period each week (UTC) -> each week (Europe/Berlin): it begins anew, with nothing used",
        ),
        (
            budget("limit: 1"),
            budget("limit: 1, rolling: 36h"),
            "budget b: period for good -> rolling 36h: it begins anew, with nothing used",
        ),
        (
            budget("limit: 1, from: 2026-12-01T00:00:00+01:00, until: 2026-12-08T00:00:00+01:00"),
            budget("limit: 1, rolling: 30d"),
            "budget b: period from 2026-11-30T23:00:00.000Z until 2026-12-07T23:00:00.000Z -> rolling 30d: it begins anew, \
             with nothing used",
        ),
        (
            budget("limit: 1"),
            budget("limit: 1, each: [customer_id, model]"),
            "budget b: each all together -> customer_id and model: it begins anew, with nothing used",
        ),
        (
            budget("limit: 1"),
            "budgets: [{name: b, for: {team: search}, unit: compute_seconds, limit: 1}]".to_owned(),
            "budget b: unit USD -> compute_seconds: it begins anew, with nothing used",
        ),
        (
            budget("limit: 1"),
            budget("limit: 1, overdraft: 0.5"),
            "budget b: overdraft none -> 0.5: so far beyond the limit calls run with a warning",
        ),
        (
            budget("limit: 1, overdraft: 0.5"),
            budget("limit: 1, overdraft: unbounded"),
            "budget b: overdraft 0.5 -> unbounded: beyond the limit calls run with a warning, and none is refused",
        ),
        (
            budget("limit: 1, overdraft: unbounded"),
            budget("limit: 1"),
            "budget b: overdraft unbounded -> none: the limit is hard",
        ),
        (
            budget("limit: 1, alerts: [50, 80]"),
            budget("limit: 1, alerts: [80, 100]"),
            "budget b: alerts: added 100 %, removed 50 %",
        ),
        (
            none.clone(),
            budget("limit: 9, rolling: 30d, each: customer_id, overdraft: 2, alerts: [50, 100]"),
            "budget b: added: 9 USD rolling 30d for team search, each customer_id; up to 2 USD beyond it with a warning; what \
             does not fit is refused; alerts at 50 %, 100 %",
        ),
        (
            none.clone(),
            budget("limit: 9, overdraft: unbounded"),
            "budget b: added: 9 USD for good for team search; what does not fit runs with a warning",
        ),
        (
            none.clone(),
            "limits: {idempotency_hours: 48}".to_owned(),
            "limits: idempotency keys are remembered for 24 h -> 48 h",
        ),
        (
            none.clone(),
            "retention: {keep_days: 90, archive_to: a}".to_owned(),
            "retention: entries stay -> entries older than 90 days leave for `a`; takes effect at the next start",
        ),
        (
            none.clone(),
            "limits: {idempotency_keys: 10}".to_owned(),
            "limits: idempotency keys at a time 1000000 -> 10",
        ),
        (none.clone(), "limits: {open_awus: 10}".to_owned(), "limits: open AWUs at a time 100000 -> 10"),
        (
            none.clone(),
            "limits: {one_key_percent: 100}".to_owned(),
            "limits: of idempotency keys and open AWUs, one key takes up at most 50 % -> 100 %",
        ),
        (
            none.clone(),
            "limits: {cells: 3000000}".to_owned(),
            "limits: cells with which no share is opened 2000000 -> 3000000",
        ),
        (
            none.clone(),
            "limits: {rate_shares: 5}".to_owned(),
            "limits: shares of rates at a time 2000000 -> 5",
        ),
        (
            rule("allow: [a]"),
            none.clone(),
            "model rule r: removed; team search or ads may now use every model that no other rule forbids",
        ),
        (
            none.clone(),
            rule("allow: [a, 'b*']"),
            "model rule r: added: team search or ads may use no model but a, b*",
        ),
        (rule("allow: [a, b]"), rule("allow: [c, b]"), "model rule r: allows: added c, removed a"),
        (
            rule("allow: [a]"),
            "allowed_models: [{name: r, for: {team: [ads, maps]}, allow: [a]}]".to_owned(),
            "model rule r: covers team: added maps, removed search",
        ),
        (
            rule("allow: [a]"),
            "allowed_models: [{name: r, allow: [a]}]".to_owned(),
            "model rule r: covers every team now, and calls without one",
        ),
        (
            rate("requests: 60, per: minute, mode: enforce"),
            rate("requests: 60, per: minute, mode: observe"),
            "rate r: from enforce to observe: no call is refused by it any more, it warns",
        ),
        (
            rate("requests: 60, per: minute, burst: 5"),
            rate("requests: 90, per: minute, burst: 5"),
            "rate r: limit 60 -> 90 requests a minute: 30 more for all calls",
        ),
        (
            rate("requests: 60, per: minute"),
            rate("in_flight: 3"),
            "rate r: limit 60 requests a minute, 60 at once -> 3 calls in flight",
        ),
        (
            model(", price: {input: 2.5, output: 10}"),
            model(", price: {input: 3, output: 12}"),
            "model m: price 2.5/10 -> 3/12 a million tokens",
        ),
        (
            model(", price: {input: 2.5, output: 10}"),
            model(""),
            "model m: price 2.5/10 a million tokens -> not known: calls without a price are refused with x_unpriced_model",
        ),
        (model(""), PROVIDERS.to_owned(), "model m: removed; its calls are answered with 404"),
        (
            model(""),
            format!("{PROVIDERS}other_models: {{provider: local, max_output_tokens: 1}}"),
            "model m: removed; its calls go to local, as those of other models",
        ),
        (hash("0"), none.clone(), "key k: removed; its calls are refused with 401"),
        (hash("0"), hash("1"), "key k: the key changed: calls with the old one are refused with 401"),
        (none.clone(), hash("0"), "key k: added: team search, project by header, environment by header"),
        (
            condition("streamed"),
            condition("!streamed"),
            "condition x: when changed: it speaks up where !streamed",
        ),
        (
            none.clone(),
            condition("streamed"),
            "condition x: added: refused with x_c where streamed, for all calls; where it cannot be worked out, calls are refused",
        ),
        (
            none.clone(),
            "conditions: [{name: x, when: streamed, effect: warn, code: x_c, on_error: warn, mode: observe}]"
                .to_owned(),
            "condition x: added: warned about with x_c where streamed, for all calls; where it cannot be worked out, calls are \
             warned about (observed: it only warns)",
        ),
        (
            provider(""),
            provider(", circuit: {failures: 5, open_seconds: 30}"),
            "provider p: circuit added: after 5 failures in a row its calls are refused for 30 s",
        ),
        (provider(""), provider(", api_key: env:A_KEY"), "provider p: a key is sent to it now"),
        (
            provider(", api_key: env:A_KEY"),
            provider(", api_key: env:B_KEY"),
            "provider p: the key changed that is sent to it",
        ),
        (
            tier(""),
            "tiers: [{name: u, latency_ms: 1}, {name: t, latency_ms: 2000}]".to_owned(),
            "tier: the order is now u, t: the first that covers a call is its tier",
        ),
        (
            none.clone(),
            "listen: 127.0.0.1:1".to_owned(),
            "listen: 127.0.0.1:4100 -> 127.0.0.1:1; takes effect at the next start",
        ),
        (
            none.clone(),
            "telemetry: {otlp: [{endpoint: 'http://h:1'}]}".to_owned(),
            "telemetry http://h:1/: added: everything from then on is sent there; takes effect at the next start",
        ),
        (
            none.clone(),
            "telemetry: {webhooks: [{url: 'https://h/a'}]}".to_owned(),
            "telemetry webhook https://h #bd7a5ac1: added: every alert from then on is told there; takes effect at the next start",
        ),
        (
            "telemetry: {webhooks: [{url: 'https://h/a'}]}".to_owned(),
            none.clone(),
            "telemetry webhook https://h #bd7a5ac1: removed; no alert is told there any more; takes effect at the next start",
        ),
        (
            "telemetry: {webhooks: [{url: 'https://h/a'}]}".to_owned(),
            "telemetry: {webhooks: [{url: 'https://h/a', headers: {x: 'env:A_KEY'}}]}".to_owned(),
            "telemetry webhook https://h #bd7a5ac1: the headers that are sent to it changed; takes effect at the next start",
        ),
        (none, "limits: {body_bytes: 5}".to_owned(), "limits: the largest body 16777216 bytes -> 5 bytes"),
    ];
    for (old, new, expected) in cases {
        let told = lines(&old, &new);
        assert!(told.iter().any(|line| line == expected), "{expected}\n{told:#?}");
    }
}

#[test]
fn what_is_only_written_otherwise_is_no_change() {
    let cases = [
        ("mode: enforce", "# watched first\nmode:   enforce"),
        ("keys: []", "{}"),
        (
            "budgets: [{name: b, unit: USD, limit: 1, period: day}]\nlimits: {idempotency_hours: 24}",
            "budgets: [{name: b, unit: USD, limit: 1, period: day, time_zone: UTC}]",
        ),
        (
            "budgets: [{name: b, for: {team: [x, y], feature: k}, unit: USD, limit: 1, alerts: [5, 9]}]",
            "budgets: [{unit: USD, limit: 1.000, period: none, overdraft: none, alerts: [9, 5], for: {feature: [k], team: [y, x]}, name: b}]",
        ),
        ("allowed_models: [{name: r, allow: [a, b]}]", "allowed_models: [{name: r, allow: [b, a]}]"),
        (
            "providers: [{name: a, base_url: 'http://a/v1'}, {name: b, base_url: 'http://b/v1'}]",
            "providers: [{name: b, base_url: 'http://b/v1'}, {name: a, base_url: 'http://a/v1'}]",
        ),
    ];
    for (old, new) in cases {
        assert_eq!(lines(old, new), Vec::<String>::new(), "{old}\n{new}");
    }
}

#[test]
fn what_counts_at_the_next_start_is_compared_with_what_the_process_was_started_with() {
    let limits = |port: u16, body: u64, in_flight: u64| {
        format!("listen: 127.0.0.1:{port}\nlimits: {{body_bytes: {body}, in_flight: {in_flight}}}")
    };
    let started = limits(1, 5, 5);
    let later = "; takes effect at the next start";
    let listen = |to: u16| format!("listen: 127.0.0.1:1 -> 127.0.0.1:{to}{later}");
    let body = |from: u64, to: u64| format!("limits: the largest body {from} bytes -> {to} bytes");
    let cases = [
        (limits(1, 5, 5), limits(2, 6, 5), vec![listen(2), body(5, 6)]),
        // Taken back: nothing will be otherwise at the next start.
        (limits(2, 6, 5), limits(1, 6, 5), vec![]),
        (limits(2, 6, 5), limits(1, 5, 5), vec![body(6, 5)]),
        // Told already.
        (limits(2, 6, 5), limits(2, 7, 5), vec![body(6, 7)]),
        (limits(2, 6, 5), limits(3, 6, 5), vec![listen(3)]),
        (
            limits(2, 6, 7),
            limits(2, 5, 8),
            vec![body(6, 5), format!("limits: calls at a time 5 -> 8{later}")],
        ),
    ];
    for (old, new, expected) in cases {
        let told = diff_of_running(&read(&started), &read(&old), &read(&new));
        assert_eq!(told.iter().map(Change::to_string).collect::<Vec<_>>(), expected, "{old}\n{new}");
    }
}

#[test]
fn a_key_that_takes_the_place_of_another_of_its_name_is_told_apart() {
    let key = |digit: &str, name: &str| format!("{{name: {name}, sha256: '{}', team: t}}", digit.repeat(64));
    let keys = |keys: &[String]| format!("keys: [{}]", keys.join(", "));
    let (old, both, new) =
        (keys(&[key("a", "k")]), keys(&[key("a", "k"), key("b", "k")]), keys(&[key("b", "k")]));
    assert_eq!(lines(&old, &both), ["key k: added: team t, project by header, environment by header"]);
    assert_eq!(lines(&both, &new), ["key k: removed; its calls are refused with 401"]);
    let renamed = keys(&[key("a", "other")]);
    assert_eq!(lines(&old, &renamed), ["key other: called k -> other"]);
}

#[test]
fn the_prices_of_models_that_are_not_listed_are_compared() {
    let config = |table: &str| {
        format!(
            "prices_file: {table}\nproviders: [{{name: a, base_url: 'http://a/v1', prices: openai}}]\n\
             other_models: {{provider: a, max_output_tokens: 1}}"
        )
    };
    let told = lines(&config("prices.json"), &config("other.json"));
    assert_eq!(
        told,
        ["other models: their prices are looked up in another table now, or under another provider"]
    );
}

#[test]
fn lines_stand_in_the_order_of_the_file_and_long_lists_are_cut_short() {
    let names: Vec<_> = (0..1_000).map(|n| format!("m-{n}")).collect();
    let new = format!(
        "keys: [{{name: k, sha256: '{}'}}]\nbudgets: [{{name: b, unit: USD, limit: 1}}, {{name: a, unit: USD, limit: 1}}]\n\
         allowed_models: [{{name: r, allow: [{}]}}]\nlisten: 127.0.0.1:1",
        "a".repeat(64),
        names.join(", ")
    );
    let told = lines("{}", &new);
    let starts: Vec<_> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(starts, ["listen", "model rule r", "budget a", "budget b", "key k"]);
    assert!(told[1].ends_with("m-9 and 990 more"), "{}", told[1]);
}
