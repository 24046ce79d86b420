//! The messages of a call, as far as their cost depends on what they are.
//!
//! A message or part of a form that nobody here knows may be a picture under another name: it has no bound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genops_core::Name;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::present;

/// A message. Fields of other names, also by the case of their letters, are not read: it then has no bound.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prefix: Option<&'a RawValue>,
    /// An answer in sound, by its identifier: of any length.
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

/// A part of a message's content.
#[derive(Debug, Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// A part that is text and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextPart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "read so that a longer stay in the cache, which costs more, is no text part"
    )]
    cache_control: Option<CacheControl>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheControl {
    #[serde(rename = "type")]
    _kind: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}

/// Reads the messages.
///
/// # Errors
///
/// The part that has no bound.
pub fn read(raw: &RawValue) -> Result<Vec<Message<'_>>, Name> {
    let raw: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| Name::nearest("messages"))?;
    let mut messages = Vec::with_capacity(raw.len());
    for raw in raw {
        let message = object(raw).and_then(|text| serde_json::from_str::<Message<'_>>(text).ok());
        let message = message.ok_or_else(|| Name::nearest("messages"))?;
        if present(message.audio).is_some() {
            return Err(Name::nearest("messages.audio"));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Only an object names its fields; a list would be read as the fields in their order.
fn object(raw: &RawValue) -> Option<&str> {
    Some(raw.get()).filter(|text| text.starts_with('{'))
}

/// Whether every tool is the caller's own, described in the body.
pub fn are_tools_of_the_callers(tools: &RawValue) -> bool {
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools.get()) else { return false };
    tools.into_iter().all(|raw| {
        let tool = object(raw).and_then(|text| serde_json::from_str::<Tool<'_>>(text).ok());
        tool.is_some_and(|tool| matches!(tool.kind.as_deref(), Some("function" | "custom")))
    })
}

impl<'a> Message<'a> {
    /// Role and name.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        [&self.role, &self.name].into_iter().flatten().map(|text| &**text)
    }

    /// The texts of the content, and how many parts it has; `None` where it has a form that nobody here knows.
    pub fn texts(&self) -> Option<(Vec<Cow<'a, str>>, usize)> {
        let Some(content) = present(self.content).map(RawValue::get) else { return Some((Vec::new(), 0)) };
        if content.starts_with('"') {
            return Some((vec![serde_json::from_str(content).ok()?], 0));
        }
        let parts: Vec<&'a RawValue> = serde_json::from_str(content).ok()?;
        let mut texts = Vec::new();
        for part in &parts {
            // One of another type is counted by what is configured for it.
            if let Some(TextPart { text, refusal, .. }) = text_part(part) {
                texts.extend([text, refusal].into_iter().flatten());
            }
        }
        Some((texts, parts.len()))
    }

    /// What stands beside role, name and content.
    pub fn beside(&self) -> impl Iterator<Item = &'a RawValue> {
        let Self { refusal, tool_call_id, reasoning_content, reasoning, annotations, prefix, .. } = self;
        let others = [*refusal, *tool_call_id, *reasoning_content, *reasoning, *annotations, *prefix];
        others.into_iter().flatten().chain(self.written_anew())
    }

    /// What servers read and write anew.
    pub fn written_anew(&self) -> impl Iterator<Item = &'a RawValue> {
        [self.tool_calls, self.function_call].into_iter().filter_map(present)
    }

    /// The most that the parts which are no text come to.
    ///
    /// # Errors
    ///
    /// The part that has no bound.
    pub fn parts_tokens(&self, known: &BTreeMap<String, u64>) -> Result<u64, Name> {
        let unknown = |what: &str| Err(Name::nearest(what));
        let Some(content) = present(self.content).map(RawValue::get) else { return Ok(0) };
        if content.starts_with('"') {
            return Ok(0);
        }
        let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content) else {
            return unknown("messages.content");
        };
        let mut tokens = 0_u64;
        for raw in parts {
            let part = object(raw).and_then(|text| serde_json::from_str::<Part<'_>>(text).ok());
            let Some(Part { kind }) = part else { return unknown("messages.content") };
            match known.get(&*kind) {
                Some(most) => tokens = tokens.saturating_add(*most),
                None if text_part(raw).is_some() => {}
                None => return unknown(&format!("messages.content.{kind}")),
            }
        }
        Ok(tokens)
    }
}

/// A part that is text and nothing else: what some servers take for a picture has other fields.
fn text_part(raw: &RawValue) -> Option<TextPart<'_>> {
    let part: TextPart<'_> = serde_json::from_str(object(raw)?).ok()?;
    matches!(&*part.kind, "text" | "refusal").then_some(part)
}
