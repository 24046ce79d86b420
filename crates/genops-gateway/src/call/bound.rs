//! The most that a call can use, or the part of it for which nobody can say.
//!
//! Every token is at least one byte of what the model reads, so the body's bytes bound the text in it. What
//! a template adds, and what stands elsewhere (pictures, tools of the provider's own), has to be known from
//! the configuration; otherwise the call is not bounded. Nothing is refused here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genops_core::Name;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::tokens::{self, Encoding};

/// What is configured about how much a model's input can come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoundOptions {
    /// The encoding of its tokens, where that is public.
    pub encoding: Option<Encoding>,
    /// Tokens that the model's template, or the server, adds to every prompt.
    pub template_tokens: u64,
    /// Fields beyond those known here that raise no cost.
    pub fields: Vec<String>,
    /// The most tokens that one part of a message of this type comes to, such as `image_url`.
    pub parts: BTreeMap<String, u64>,
}

/// Tokens that a template adds where tools are described: the instructions how to call them.
const TOOLS_TEMPLATE_TOKENS: u64 = 512;

/// The most input tokens.
///
/// # Errors
///
/// The part of the request that may use more than can be said.
pub fn input(body_bytes: usize, fields: &Fields<'_>, options: &BoundOptions) -> Result<u64, Name> {
    if let Some(field) =
        fields.unknown.iter().find(|field| !options.fields.iter().any(|known| known == *field))
    {
        return Err(Name::nearest(field));
    }
    if let Some(field) = costly_choice(fields) {
        return Err(Name::nearest(field));
    }
    let parts = parts_tokens(fields.messages, options)?;
    let has_tools = fields.tools.is_some_and(|tools| tools.get() != "null");
    let tools = if has_tools { TOOLS_TEMPLATE_TOKENS } else { 0 };
    let text = text_tokens(body_bytes, fields.messages, options);
    Ok(text.saturating_add(options.template_tokens).saturating_add(tools).saturating_add(parts))
}

/// What the body comes to as text: the messages counted where their encoding is public, and all else by its
/// bytes.
fn text_tokens(body_bytes: usize, messages: Option<&RawValue>, options: &BoundOptions) -> u64 {
    let bytes = body_bytes as u64;
    let counted = messages.zip(options.encoding).and_then(|(messages, encoding)| {
        let beside = bytes.saturating_sub(messages.get().len() as u64);
        Some(beside.saturating_add(tokens::of_messages(messages, encoding)?))
    });
    counted.map_or(bytes, |counted| counted.min(bytes))
}

/// A known field with a value that costs more than tokens at the model's price.
fn costly_choice(fields: &Fields<'_>) -> Option<&'static str> {
    let texts = |raw: &RawValue| serde_json::from_str::<Vec<String>>(raw.get()).unwrap_or_default();
    let text_alone = |raw: &RawValue| texts(raw) == ["text"];
    if fields.modalities.is_some_and(|raw| raw.get() != "null" && !text_alone(raw)) {
        return Some("modalities");
    }
    // What `auto` comes to is what leaving the field out comes to; `flex` costs less.
    let tiers = ["null", "\"auto\"", "\"default\"", "\"flex\""];
    if fields.service_tier.is_some_and(|raw| !tiers.contains(&raw.get())) {
        return Some("service_tier");
    }
    let of_ours = |raw: &RawValue| match serde_json::from_str::<Vec<Typed<'_>>>(raw.get()) {
        Ok(tools) => tools.iter().all(|tool| matches!(tool.kind.as_deref(), Some("function" | "custom"))),
        Err(_) => false,
    };
    fields.tools.is_some_and(|raw| raw.get() != "null" && !of_ours(raw)).then_some("tools")
}

/// What the parts that are no text come to, over all messages.
fn parts_tokens(messages: Option<&RawValue>, options: &BoundOptions) -> Result<u64, Name> {
    let messages = messages.map(|raw| serde_json::from_str::<Vec<Message<'_>>>(raw.get()));
    // What cannot be read is for the provider to refuse; as text it is bounded by its bytes.
    let Some(Ok(messages)) = messages else { return Err(Name::nearest("messages")) };
    let mut tokens = 0_u64;
    for message in &messages {
        if message.audio.is_some_and(|audio| audio.get() != "null") {
            return Err(Name::nearest("messages.audio"));
        }
        let Some(content) = message.content.filter(|content| content.get().starts_with('[')) else {
            continue;
        };
        let Ok(parts) = serde_json::from_str::<Vec<Typed<'_>>>(content.get()) else {
            return Err(Name::nearest("messages.content"));
        };
        for kind in parts.iter().map(|part| part.kind.as_deref().unwrap_or("text")) {
            match (kind, options.parts.get(kind)) {
                ("text" | "refusal", _) => {}
                (_, Some(most)) => tokens = tokens.saturating_add(*most),
                (kind, None) => return Err(Name::nearest(&format!("messages.content.{kind}"))),
            }
        }
    }
    Ok(tokens)
}

/// A message, as far as its cost depends on more than its bytes.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

/// Anything that says of which type it is.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}
