//! A provider's usage report, as tokens.
//!
//! What they cost is not known here.

use genops_core::price::Tokens;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    total_tokens: u64,
}

/// The tokens that a report tells; `None` where it is none.
pub fn read(usage: &RawValue) -> Option<Tokens> {
    let Usage { prompt_tokens, completion_tokens, total_tokens } = serde_json::from_str(usage.get()).ok()?;
    // Some providers count what a model thinks in the total alone; it is output all the same.
    let beyond_input = total_tokens.saturating_sub(prompt_tokens);
    Some(Tokens { input: prompt_tokens, output: beyond_input.max(completion_tokens) })
}
