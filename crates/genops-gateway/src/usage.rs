//! What a provider says a call used: the `usage` object of an answer, in the words of OpenAI's protocol and
//! of those who speak dialects of it.
//!
//! Nothing is priced here. A report that cannot be right is no report: the reservation is charged instead.

use genops_core::price::Tokens;
use serde::Deserialize;
use serde_json::value::RawValue;

/// More tokens than any call uses. Beyond it a report is a mistake, and must not become a bill.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// The fields that are read. Where one may be `null`, that is as good as absent.
#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// How DeepSeek says `prompt_tokens_details.cached_tokens`.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

/// Reads a `usage` object; `None` where it does not say what was used, or says what cannot be.
///
/// Parts that are told to be more than their whole are cut to it: cached tokens to the input, thinking to
/// the output.
#[must_use]
pub fn read(usage: &RawValue) -> Option<Tokens> {
    // A list would be read as the fields in their order; only an object names them.
    if !usage.get().starts_with('{') {
        return None;
    }
    let usage: Usage = serde_json::from_str(usage.get()).ok()?;
    let input = usage.prompt_tokens;
    // Some providers count what a model thinks in the total alone; it is output all the same.
    let beyond_input = usage.total_tokens.unwrap_or_default().saturating_sub(input);
    let output = usage.completion_tokens.max(beyond_input);
    if input > TOKENS_MAX || output > TOKENS_MAX {
        return None;
    }
    let prompt = usage.prompt_tokens_details.unwrap_or_default();
    let completion = usage.completion_tokens_details.unwrap_or_default();
    let cached = prompt.cached_tokens.or(usage.prompt_cache_hit_tokens).unwrap_or_default().min(input);
    Some(Tokens {
        input,
        output,
        cached_input: cached,
        cache_write: prompt.cache_write_tokens.unwrap_or_default().min(input - cached),
        reasoning: completion.reasoning_tokens.unwrap_or_default().min(output),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(
        input: u64,
        output: u64,
        cached_input: u64,
        cache_write: u64,
        reasoning: u64,
    ) -> Option<Tokens> {
        Some(Tokens { input, output, cached_input, cache_write, reasoning })
    }

    #[test]
    fn every_dialect_is_read_and_what_cannot_be_is_no_report() {
        let cases = [
            (r#"{"prompt_tokens":12,"completion_tokens":20,"total_tokens":32}"#, tokens(12, 20, 0, 0, 0)),
            (r#"{"prompt_tokens":12,"completion_tokens":20}"#, tokens(12, 20, 0, 0, 0)),
            // OpenAI, in full
            (
                r#"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
                    "prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
                    "completion_tokens_details":{"reasoning_tokens":128,"accepted_prediction_tokens":0}}"#,
                tokens(2006, 300, 1920, 0, 128),
            ),
            // DeepSeek
            (
                r#"{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,
                    "prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}"#,
                tokens(100, 5, 64, 0, 0),
            ),
            // OpenAI and OpenRouter, where writing to the cache has a price
            (
                r#"{"prompt_tokens":100,"completion_tokens":5,
                    "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":40}}"#,
                tokens(100, 5, 60, 40, 0),
            ),
            // thinking that is counted in the total alone
            (r#"{"prompt_tokens":12,"completion_tokens":3,"total_tokens":32}"#, tokens(12, 20, 0, 0, 0)),
            // nulls
            (
                r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":null,
                    "prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#,
                tokens(1, 2, 0, 0, 0),
            ),
            // parts that are more than the whole
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,
                    "prompt_tokens_details":{"cached_tokens":99,"cache_write_tokens":99},
                    "completion_tokens_details":{"reasoning_tokens":99}}"#,
                tokens(10, 2, 10, 0, 2),
            ),
            (r#"{"prompt_tokens":-1,"completion_tokens":2}"#, None),
            (r#"{"prompt_tokens":1.5,"completion_tokens":2}"#, None),
            (r#"{"prompt_tokens":null,"completion_tokens":2}"#, None),
            (r#"{"prompt_tokens":1}"#, None),
            (r#"{"prompt_tokens":1,"completion_tokens":2000000000001}"#, None),
            (r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":18446744073709551615}"#, None),
            (
                r#"{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-1}}"#,
                None,
            ),
            ("[1,2,3,null,null,null]", None),
            ("null", None),
            ("{}", None),
        ];
        for (text, expected) in cases {
            let usage: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(read(usage), expected, "{text}");
        }
    }
}
