//! Invoices: what providers report, priced by what they publish, has to be what they would bill, to the last
//! digit. Each cost is worked out by hand beside its case.

use genops_core::Amount;
use genops_gateway::prices::file;
use genops_gateway::usage;
use serde_json::value::RawValue;

/// Published prices of 2026-11-22, as the table that ships with the gateway has them. They stand here once
/// more so that a later table does not change what this test works out.
const PRICES: &str = r#"{
  "format":"genops prices 1: US dollars for a million tokens","source":"published","date":"2026-11-22",
  "providers":{
    "openai":{"source":"https://developers.openai.com/api/docs/pricing","rows":[
      {"model":"gpt-4o-mini","input":"0.15","cached_input":"0.075","output":"0.6"},
      {"model":"gpt-6-sol","input":"2","cached_input":"0.2","cache_write":"2.5","output":"10",
       "tiers":[{"above":272000,"input":"4","cached_input":"0.4","cache_write":"5","output":"15"}]},
      {"model":"gpt-4","input":"30","output":"60"}]},
    "google":{"source":"https://ai.google.dev/gemini-api/docs/pricing","rows":[
      {"model":"gemini-2.5-pro","input":"1.25","cached_input":"0.125","output":"10",
       "tiers":[{"above":200000,"input":"2.5","cached_input":"0.25","output":"15"}]}]},
    "deepseek":{"source":"https://api-docs.deepseek.com/quick_start/pricing","rows":[
      {"model":"deepseek-v3.1-terminus","input":"0.27","cached_input":"0.13","output":"0.95"}]},
    "openrouter":{"source":"https://openrouter.ai/models","rows":[
      {"model":"qwen/qwen3-coder-flash","input":"0.195","cached_input":"0.039","cache_write":"0.24375",
       "output":"0.975","tiers":[
        {"above":32000,"input":"0.325","cached_input":"0.065","cache_write":"0.40625","output":"1.625"},
        {"above":128000,"input":"0.52","cached_input":"0.104","cache_write":"0.65","output":"2.6"}]}]}}}"#;

/// What is reported by whom for which model, and what it comes to.
const INVOICES: [(&str, &str, &str, &str); 11] = [
    // 12 x 0.15 + 20 x 0.6 = 1.8 + 12 = 13.8 millionths
    (
        "openai",
        "gpt-4o-mini",
        r#"{"prompt_tokens":12,"completion_tokens":20,"total_tokens":32}"#,
        "0.0000138",
    ),
    // 86 x 0.15 + 1,920 x 0.075 + 300 x 0.6 = 12.9 + 144 + 180 = 336.9
    (
        "openai",
        "gpt-4o-mini",
        r#"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
            "prompt_tokens_details":{"cached_tokens":1920},"completion_tokens_details":{"reasoning_tokens":0}}"#,
        "0.0003369",
    ),
    // One token, from the cache: 0.075 millionths
    (
        "openai",
        "gpt-4o-mini",
        r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":1}}"#,
        "0.000000075",
    ),
    // Thinking is output, once: 1,000 x 2 + 5,000 x 10 = 2,000 + 50,000 = 52,000
    (
        "openai",
        "gpt-6-sol",
        r#"{"prompt_tokens":1000,"completion_tokens":5000,"total_tokens":6000,
            "completion_tokens_details":{"reasoning_tokens":4736}}"#,
        "0.052",
    ),
    // 300 x 2 + 500 x 0.2 + 200 x 2.5 + 10 x 10 = 600 + 100 + 500 + 100 = 1,300
    (
        "openai",
        "gpt-6-sol",
        r#"{"prompt_tokens":1000,"completion_tokens":10,
            "prompt_tokens_details":{"cached_tokens":500,"cache_write_tokens":200}}"#,
        "0.0013",
    ),
    // On the mark, the lower prices: 272,000 x 2 + 1 x 10 = 544,010
    ("openai", "gpt-6-sol", r#"{"prompt_tokens":272000,"completion_tokens":1}"#, "0.54401"),
    // Above it, the higher ones for all of it, cached tokens too:
    // 22,001 x 4 + 250,000 x 0.4 + 1 x 15 = 88,004 + 100,000 + 15 = 188,019
    (
        "openai",
        "gpt-6-sol",
        r#"{"prompt_tokens":272001,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":250000}}"#,
        "0.188019",
    ),
    // No price for the cache: as other input. 100 x 30 + 7 x 60 = 3,420
    (
        "openai",
        "gpt-4",
        r#"{"prompt_tokens":100,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":64}}"#,
        "0.00342",
    ),
    // Thinking that is counted in the total alone, above the mark: 210,000 in, 1,500 out.
    // 210,000 x 2.5 + 1,500 x 15 = 525,000 + 22,500 = 547,500
    (
        "google",
        "gemini-2.5-pro",
        r#"{"prompt_tokens":210000,"completion_tokens":500,"total_tokens":211500}"#,
        "0.5475",
    ),
    // 36 x 0.27 + 64 x 0.13 + 5 x 0.95 = 9.72 + 8.32 + 4.75 = 22.79
    (
        "deepseek",
        "deepseek-v3.1-terminus",
        r#"{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,
            "prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}"#,
        "0.00002279",
    ),
    // The second of three tiers: 33,333 x 0.325 + 3 x 1.625 = 10,833.225 + 4.875 = 10,838.1
    ("openrouter", "qwen/qwen3-coder-flash", r#"{"prompt_tokens":33333,"completion_tokens":3}"#, "0.0108381"),
];

#[test]
fn what_is_charged_is_what_the_provider_bills_to_the_last_digit() {
    let table = file::read(PRICES).unwrap();
    for (provider, model, report, expected) in INVOICES {
        let price = table.find(provider, model).unwrap().price().unwrap();
        let report: &RawValue = serde_json::from_str(report).unwrap();
        let tokens = usage::read(report).unwrap();
        let expected: Amount = expected.parse().unwrap();
        assert_eq!(price.cost(tokens), Some(expected), "{provider} {model} {report}");
        assert!(price.bound(tokens) >= Some(expected), "{provider} {model} {report}");
    }
}
