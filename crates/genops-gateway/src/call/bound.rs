//! The most that a call can use, or the part of it for which nobody can say.
//!
//! Every token is at least one byte of what the model reads, so bytes bound the text. What servers write anew
//! (the descriptions of tools, mostly) is taken at its longest; what a template adds, and what stands elsewhere
//! (pictures, tools of the provider's own), has to be known from the configuration; otherwise the call is not
//! bounded. Nothing is refused here.

use std::collections::BTreeMap;

use genops_core::Name;
use serde_json::value::RawValue;

use super::fields::{Fields, present};
use super::messages::{self, Message};
use super::tokens::{self, Encoding};

/// What is configured about how much a model's input can come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoundOptions {
    /// The encoding of its tokens, where that is public.
    pub encoding: Option<Encoding>,
    /// The tokens that are reserved for one choice of a streamed answer, where they are fewer than its output limit.
    pub expected_output: Option<u64>,
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
    let raw = present(fields.messages).ok_or_else(|| Name::nearest("messages"))?;
    let messages = messages::read(raw)?;
    let mut tokens = text_tokens(body_bytes, raw, &messages, options).saturating_add(options.template_tokens);
    for message in &messages {
        tokens = tokens.saturating_add(message.parts_tokens(&options.parts)?);
        for written in message.written_anew() {
            tokens = tokens.saturating_add(growth(written));
        }
    }
    for written in [fields.tools, fields.functions, fields.response_format] {
        tokens = tokens.saturating_add(present(written).map_or(0, growth));
    }
    if present(fields.tools).or(present(fields.functions)).is_some() {
        tokens = tokens.saturating_add(TOOLS_TEMPLATE_TOKENS);
    }
    Ok(tokens)
}

/// What the body comes to as text: the messages counted where their encoding is public, and all else by its
/// bytes.
fn text_tokens(body_bytes: usize, raw: &RawValue, messages: &[Message<'_>], options: &BoundOptions) -> u64 {
    let bytes = body_bytes as u64;
    let Some(encoding) = options.encoding else { return bytes };
    let beside = bytes.saturating_sub(raw.get().len() as u64);
    beside.saturating_add(tokens::of_messages(messages, encoding)).min(bytes)
}

/// By how much a value may grow that a server reads and writes anew: with spaces and line breaks between its
/// members, and numbers in full. Strings hold such values as well, so what stands in them counts the same.
fn growth(raw: &RawValue) -> u64 {
    /// A line break and an indentation, each a token; deeper ones are one token as well.
    const BETWEEN: u64 = 2;
    /// A double in full, sign and point included, less the one digit that it has at least.
    const NUMBER: u64 = 24;
    let mut grown = 0_u64;
    let mut in_number = false;
    for byte in raw.get().bytes() {
        let is_number = byte.is_ascii_digit();
        if matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}') {
            grown = grown.saturating_add(BETWEEN);
        } else if is_number && !in_number {
            grown = grown.saturating_add(NUMBER);
        }
        in_number = is_number;
    }
    grown
}

/// A known field with a value that costs more than tokens at the model's price.
fn costly_choice(fields: &Fields<'_>) -> Option<&'static str> {
    let text_alone = |raw: &RawValue| {
        serde_json::from_str::<Vec<String>>(raw.get()).is_ok_and(|modalities| modalities == ["text"])
    };
    if present(fields.modalities).is_some_and(|raw| !text_alone(raw)) {
        return Some("modalities");
    }
    // What `auto` comes to is what leaving the field out comes to; `flex` costs less.
    let tiers = ["\"auto\"", "\"default\"", "\"flex\""];
    if present(fields.service_tier).is_some_and(|raw| !tiers.contains(&raw.get())) {
        return Some("service_tier");
    }
    present(fields.tools).is_some_and(|tools| !messages::are_tools_of_the_callers(tools)).then_some("tools")
}
