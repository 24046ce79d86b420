//! What one span says of a model call, and whether it is one.
//!
//! The words are those of OpenTelemetry's conventions for generative AI. What the call is labelled with is not asked
//! here.

use genops_conformance::otlp::record::{ERROR, Span};
use genops_conformance::otlp::value::{Attributes, Value};

/// What a call does. Two spans of one call do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It generates something, by whatever name its interface has for that.
    Generation,
    /// It turns text into vectors.
    Embeddings,
}

/// The tokens of a call, as they were reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, those from and to a cache among them.
    pub input: Option<u32>,
    /// Of these, read from a cache.
    pub cached: u32,
    /// Of these, written to a cache.
    pub cache_write: u32,
    /// Written.
    pub output: Option<u32>,
}

/// What the call that a span tells does. `None` if it tells none: it is other work, or the work around calls.
///
/// Where no operation is named, as before 1.31 of the conventions, or one that is not known here, a model that used
/// something or failed was called.
pub fn kind(span: &Span<'_>, usage: &Usage) -> Option<Kind> {
    let attributes = &span.attributes;
    match text(attributes, &["gen_ai.operation.name"]) {
        Some("chat" | "text_completion" | "generate_content") => Some(Kind::Generation),
        Some("embeddings") => Some(Kind::Embeddings),
        // These hold the calls that are made for them, and some report the usage of them all.
        Some("create_agent" | "invoke_agent" | "invoke_workflow" | "execute_tool") => None,
        _ => {
            let has_model = text(attributes, &["gen_ai.request.model", "gen_ai.response.model"]).is_some();
            let has_come_to_something = usage.is_reported() || failed(span);
            (has_model && has_come_to_something).then_some(Kind::Generation)
        }
    }
}

/// Whether a call failed.
pub fn failed(span: &Span<'_>) -> bool {
    span.status == ERROR || text(&span.attributes, &["error.type"]).is_some()
}

/// How many tokens a call might write.
pub fn output_limit(attributes: &Attributes<'_>) -> Option<u32> {
    count(attributes, &["gen_ai.request.max_tokens"])
}

impl Usage {
    /// The usage that a span reports.
    pub fn of(attributes: &Attributes<'_>) -> Self {
        let input = count(attributes, &["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]);
        let output = count(attributes, &["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]);
        let cached = count(attributes, &["gen_ai.usage.cache_read.input_tokens"]).unwrap_or(0);
        let cache_write = count(attributes, &["gen_ai.usage.cache_creation.input_tokens"]).unwrap_or(0);
        // Parts that are more than the whole were not counted in it: some providers report them beside it.
        let parts = cached.saturating_add(cache_write);
        let input = input.map(|input| if parts > input { input.saturating_add(parts) } else { input });
        Self { input, cached, cache_write, output }
    }

    /// Whether anything was reported.
    pub const fn is_reported(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }
}

/// The first of some attributes that is there and is a text that says something.
pub fn text<'a>(attributes: &Attributes<'a>, names: &[&str]) -> Option<&'a str> {
    let texts = names.iter().flat_map(|name| attributes.values(name)).filter_map(|value| value.text());
    texts.into_iter().find(|text| !text.is_empty())
}

/// The first of some attributes that is there and is a count.
fn count(attributes: &Attributes<'_>, names: &[&str]) -> Option<u32> {
    let counts = names.iter().flat_map(|name| attributes.values(name)).filter_map(|value| match value {
        Value::Int(count) => u32::try_from(count).ok(),
        _ => None,
    });
    counts.into_iter().next()
}
