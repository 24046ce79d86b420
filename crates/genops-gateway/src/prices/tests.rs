//! What the three forms of tables are read as, and what the table that ships with the gateway promises.

use super::*;

const DAY: &str = "2026-11-22";

/// input, output, cached input, cache write
fn rates(input: &str, output: &str, cached: &str, write: &str) -> Rates {
    let optional = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    Rates {
        input: input.parse().unwrap(),
        output: output.parse().unwrap(),
        cached_input: optional(cached),
        cache_write: optional(write),
    }
}

fn skipped_why(reading: &Reading) -> Vec<String> {
    reading.skipped.iter().map(|(row, why)| format!("{row}: {why}")).collect()
}

#[test]
fn the_table_that_ships_is_sound_and_its_rows_can_be_charged_by() {
    let table = Table::built_in().unwrap();
    assert_eq!(table.source, "genai-prices");
    assert!(is_day(&table.date));
    assert!(table.rows().count() > 1_000);
    for found in table.rows() {
        assert!(found.price().is_some(), "{}", found.name());
        assert!(found.source().is_some_and(|source| source.starts_with("http")), "{}", found.name());
        assert!(found.row.names.iter().all(|name| *name == name.to_lowercase()), "{}", found.name());
        assert!(found.row.tiers.is_sorted_by_key(|tier| tier.above), "{}", found.name());
    }
    let text = include_str!("../../prices/prices.json");
    assert!(text.len() < 400_000, "the table has {} bytes", text.len());
    assert_eq!(file::write(&table).unwrap(), text, "the table was changed by hand: make it with the program");
}

#[test]
fn a_model_is_found_by_its_names_and_never_guessed() {
    let table = Table::built_in().unwrap();
    let row = |provider: &str, model: &str| table.find(provider, model).map(|found| found.row.model.clone());
    let cases = [
        ("openai", "gpt-4o-mini", Some("gpt-4o-mini")),
        ("openai", "GPT-4o-mini-2024-07-18", Some("gpt-4o-mini")),
        ("openai", "gpt-6-sol-2026-10-01", Some("gpt-6-sol")),
        ("openai", "gpt-6-sol-latest", None),
        ("openai", "gpt-4o-minimal", None),
        ("google", "gemini-2.5-pro", Some("gemini-2.5-pro")),
        ("google", "gemini-2.5-pro-preview-tts", None),
        ("google", "gemini-2.5-flash", Some("gemini-2.5-flash")),
        ("google", "gemini-2.5-flash-image", None),
        ("google", "gemini-2.5-flash-preview-tts", None),
        ("deepseek", "deepseek-chat", None),
        ("nobody", "gpt-4o-mini", None),
        ("openai", "", None),
    ];
    for (provider, model, expected) in cases {
        assert_eq!(row(provider, model).as_deref(), expected, "{provider} {model}");
    }
}

#[test]
fn models_that_search_are_not_charged_by_tokens_alone() {
    let table = Table::built_in().unwrap();
    for (provider, model) in [
        ("openai", "gpt-4o-mini-search-preview"),
        ("openai", "o3-deep-research"),
        ("perplexity", "sonar"),
        ("openrouter", "openai/gpt-4o-mini-search-preview"),
    ] {
        assert!(table.find(provider, model).is_none(), "{model}");
        assert!(table.why_unpriced(provider, model).is_some(), "{model}");
    }
}

#[test]
fn genai_prices_is_read_as_of_a_day_digit_by_digit() {
    let text = r#"[{"id":"p","pricing_urls":["https://p/pricing"],"models":[
        {"id":"plain","match":{"or":[{"equals":"Plain"},{"starts_with":"plain-v"}]},
         "prices":{"input_mtok":1.5e-1,"cache_read_mtok":0.075,"output_mtok":6E-1,"web_searches_kcount":10}},
        {"id":"tiered","match":{"regex":"^tiered-\\d{4}$"},"prices":{
          "input_mtok":{"base":2,"tiers":[{"start":200000,"price":4}]},
          "cache_write_mtok":2.5,
          "output_mtok":{"base":10,"tiers":[{"start":100000,"price":12},{"start":200000,"price":15}]}}},
        {"id":"dated","match":{"equals":"dated"},"prices":[
          {"prices":{"input_mtok":9,"output_mtok":9}},
          {"constraint":{"start_date":"2026-11-22"},"prices":{"input_mtok":1,"output_mtok":2}},
          {"constraint":{"start_date":"2026-12-01"},"prices":{"input_mtok":3,"output_mtok":4}}]},
        {"id":"and","match":{"and":[{"starts_with":"an"},{"regex":"^(?!x)"}]},"prices":{"input_mtok":1,"output_mtok":1}},
        {"id":"hourly","match":{"equals":"hourly"},"prices":[{"prices":{"input_mtok":1,"output_mtok":1}},
          {"constraint":{"start_time":"00:30:00Z","end_time":"16:30:00Z"},"prices":{"input_mtok":2,"output_mtok":2}}]},
        {"id":"soon","match":{"equals":"soon"},"prices":[
          {"constraint":{"start_date":"2027-01-01"},"prices":{"input_mtok":1,"output_mtok":1}}]},
        {"id":"embed","match":{"equals":"embed"},"prices":{"input_mtok":1}},
        {"id":"request","match":{"equals":"r"},"prices":{"input_mtok":1,"output_mtok":1,"requests_kcount":5}},
        {"id":"a-tts","match":{"equals":"a-tts"},"prices":{"input_mtok":1,"output_mtok":1}},
        {"id":"wide-tts","match":{"equals":"wide-tts"},"prices":{"input_mtok":1,"output_mtok":1}},
        {"id":"wide","match":{"starts_with":"wide"},"prices":{"input_mtok":1,"output_mtok":1}},
        {"id":"none","match":{"equals":"none"},"prices":{}},
        {"id":"strange","match":{"regex":"(?!a)"},"prices":{"input_mtok":1,"output_mtok":1}}
    ]}]"#;
    let (form, reading) = read_any(text, DAY).unwrap();
    assert_eq!(form, Form::Genai);
    let row = |model: &str| reading.table.find("p", model).map(|found| found.row.clone());
    let plain = row("plain").unwrap();
    assert_eq!(plain.rates, rates("0.15", "0.6", "0.075", ""));
    assert_eq!(plain.names, ["plain", "plain-v*"]);
    let tiered = row("tiered-2026").unwrap();
    assert_eq!(tiered.rates, rates("2", "10", "", "2.5"));
    let tiers = [(100_000, rates("2", "12", "", "2.5")), (200_000, rates("4", "15", "", "2.5"))];
    assert_eq!(tiered.tiers, tiers.map(|(above, rates)| Tier { above, rates }));
    let dated = row("dated").unwrap();
    assert_eq!(dated.rates, rates("1", "2", "", ""));
    assert_eq!((dated.from.as_deref(), dated.until.as_deref()), (Some(DAY), Some("2026-12-01")));
    assert!(row("and").is_some() && row("another").is_none());
    // What is left out is not priced by a wider pattern that stands below it.
    assert!(row("wide-open").is_some() && row("wide-tts").is_none());
    assert_eq!(
        reading.table.why_unpriced("p", "wide-tts"),
        Some("it hears or speaks, which is charged apart from text")
    );
    assert_eq!(reading.table.find("p", "plain").unwrap().name(), "genai-prices 2026-11-22 p/plain");
    assert_eq!(reading.table.find("p", "plain").unwrap().source(), Some("https://p/pricing"));
    assert_eq!(
        skipped_why(&reading),
        [
            "p/hourly: its price changes with the time of day",
            "p/soon: its price is not charged yet",
            "p/embed: it has no price for input or none for output",
            "p/request: it is charged by more than tokens of text",
            "p/a-tts: it hears or speaks, which is charged apart from text",
            "p/wide-tts: it hears or speaks, which is charged apart from text",
            "p/none: it has no price",
            "p/strange: its names are recognised in a way that is not known here",
        ]
    );
}

#[test]
fn litellm_is_read_by_the_token_digit_by_digit() {
    let text = r#"{
        "sample_spec":{"mode":"one of: chat, embedding","litellm_provider":"one of","input_cost_per_token":0},
        "gpt-4o-mini":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1.5e-07,
            "output_cost_per_token":6e-07,"cache_read_input_token_cost":7.5e-08,"source":"https://s",
            "input_cost_per_token_batches":7.5e-08,"input_cost_per_token_priority":2.5e-07},
        "gemini/pro":{"litellm_provider":"gemini","mode":"chat","input_cost_per_token":1.25e-06,
            "input_cost_per_token_above_200k_tokens":2.5e-06,"output_cost_per_token":1e-05,
            "output_cost_per_token_above_200k_tokens":1.5e-05,"cache_read_input_token_cost":1.25e-07,
            "cache_read_input_token_cost_above_200k_tokens":2.5e-07,"output_cost_per_reasoning_token":1e-05},
        "blurred":{"litellm_provider":"x","mode":"chat","input_cost_per_token":1.5000000000000002e-07,
            "output_cost_per_token":1e-06},
        "free":{"litellm_provider":"x","mode":"chat","input_cost_per_token":0.0,"output_cost_per_token":0.0},
        "embed":{"litellm_provider":"x","mode":"embedding","input_cost_per_token":1e-08},
        "half":{"litellm_provider":"x","mode":"chat","input_cost_per_token":1e-08,"output_cost_per_token":null},
        "sound":{"litellm_provider":"x","mode":"chat","input_cost_per_token":1e-06,"output_cost_per_token":1e-06,
            "output_cost_per_audio_token":1e-05},
        "thinker":{"litellm_provider":"x","mode":"chat","input_cost_per_token":1e-06,"output_cost_per_token":1e-06,
            "output_cost_per_reasoning_token":3e-06}
    }"#;
    let (form, reading) = read_any(text, DAY).unwrap();
    assert_eq!(form, Form::LiteLlm);
    let mini = reading.table.find("openai", "gpt-4o-mini").unwrap();
    assert_eq!(mini.row.rates, rates("0.15", "0.6", "0.075", ""));
    assert_eq!(mini.name(), "litellm 2026-11-22 openai/gpt-4o-mini");
    assert_eq!(mini.source(), Some("https://s"));
    let pro = reading.table.find("gemini", "pro").unwrap();
    assert_eq!(pro.row.rates, rates("1.25", "10", "0.125", ""));
    assert_eq!(pro.row.tiers, [Tier { above: 200_000, rates: rates("2.5", "15", "0.25", "") }]);
    assert_eq!(
        skipped_why(&reading),
        [
            "blurred: a price of it has more than 12 decimals",
            "embed: it is not asked for chat completions",
            "free: its price is nothing, which is not believed: write it into the configuration",
            "half: it has no price for input or none for output",
            "sample_spec: it is not asked for chat completions",
            "sound: it is charged by more than tokens of text",
            "thinker: its thinking has a price of its own",
        ]
    );
}

#[test]
fn a_table_that_was_written_is_read_as_it_was() {
    let row = Row {
        model: "Large".into(),
        names: vec!["large*".into()],
        rates: rates("1.25", "10", "", "1.5"),
        tiers: vec![Tier { above: 7, rates: rates("2.5", "0.000000000001", "0", "") }],
        source: Some("https://x".into()),
        from: Some("2026-01-01".into()),
        until: None,
    };
    let mut table = Table { source: "own".into(), date: DAY.into(), providers: BTreeMap::new() };
    table.add("p", Entry::Row(row.clone()));
    let (model, names, why) = ("x".into(), vec!["x-*".into()], "because".into());
    table.add("p", Entry::Unpriced { model, names, why });
    table.add("p", Entry::Row(Row { names: vec!["other".into()], model: "other".into(), ..row }));
    let text = file::write(&table).unwrap();
    assert_eq!(file::read(&text), Ok(table.clone()));
    assert_eq!(read_any(&text, "2030-01-01").unwrap(), (Form::Own, Reading { table, skipped: Vec::new() }));
}

#[test]
fn what_is_no_table_is_refused_with_the_reason() {
    let own = |date: &str, input: &str| {
        format!(
            r#"{{"format":"genops prices 1: US dollars for a million tokens","source":"s","date":"{date}",
                "providers":{{"p":{{"source":null,"rows":[{{"model":"m","input":"{input}","output":"1"}}]}}}}}}"#
        )
    };
    let cases = [
        ("".to_owned(), "it is neither a table of prices"),
        ("[1]".to_owned(), "it is not genai-prices' data.json"),
        ("{}".to_owned(), "it names no `litellm_provider` anywhere"),
        (r#"{"format":"x"}"#.to_owned(), "it is no table of prices: missing field"),
        (own("today", "1"), "its `date` has to be a day"),
        (own(DAY, "1e3"), "the row `p/m`: `input` must be a plain decimal"),
        (own(DAY, "-1"), "the row `p/m`: `input` must not be negative"),
    ];
    for (text, expected) in cases {
        let problem = read_any(&text, DAY).unwrap_err().to_string();
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    assert!(read_any(&own(DAY, "1"), DAY).is_ok());
}
