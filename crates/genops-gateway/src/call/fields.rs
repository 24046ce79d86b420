//! The fields of a chat completion's body: which are governed, which are known to cost nothing more, and
//! which are neither.
//!
//! One pass over the keys. A value is kept as it is written; what it means is asked elsewhere.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The governed fields, each as the caller wrote it, `null` included: what stands there may have to be
/// replaced.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// `model`
    pub model: Option<&'a RawValue>,
    /// `messages`
    pub messages: Option<&'a RawValue>,
    /// `max_tokens`
    pub max_tokens: Option<&'a RawValue>,
    /// `max_completion_tokens`
    pub max_completion_tokens: Option<&'a RawValue>,
    /// `n`
    pub n: Option<&'a RawValue>,
    /// `stream`
    pub stream: Option<&'a RawValue>,
    /// `stream_options`
    pub stream_options: Option<&'a RawValue>,
    /// `tools`
    pub tools: Option<&'a RawValue>,
    /// `functions`, as tools were called before
    pub functions: Option<&'a RawValue>,
    /// `response_format`, whose schema some servers write into the prompt
    pub response_format: Option<&'a RawValue>,
    /// `modalities`
    pub modalities: Option<&'a RawValue>,
    /// `service_tier`
    pub service_tier: Option<&'a RawValue>,
    /// The fields that nobody here knows, by name, with a value other than `null`.
    pub unknown: Vec<Cow<'a, str>>,
    /// A governed field whose name is written in another case. Some servers do not tell the two apart, and
    /// would read a limit or a model that nobody has looked at.
    pub look_alike: Option<&'static str>,
}

const GOVERNED: [&str; 12] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stream",
    "stream_options",
    "tools",
    "functions",
    "response_format",
    "modalities",
    "service_tier",
];

/// Fields whose cost is within the bound, whatever they say: they choose among tokens, describe what may be
/// written, or are notes. What they add to the prompt is in the body's bytes.
const WITHIN_BOUND: [&str; 28] = [
    "frequency_penalty",
    "function_call",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "ignore_eos",
    "logit_bias",
    "logprobs",
    "metadata",
    "min_p",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "repetition_penalty",
    "safety_identifier",
    "seed",
    "stop",
    "store",
    "temperature",
    "tool_choice",
    "top_k",
    "top_logprobs",
    "top_p",
    "typical_p",
    "user",
    "verbosity",
];

/// `null` is as good as absent.
pub fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            match fields.governed(&key) {
                Some(Some(_)) => return Err(A::Error::custom(format!("`{key}` stands there twice"))),
                Some(place) => *place = Some(value),
                None => fields.other(key, value),
            }
        }
        Ok(fields)
    }
}

impl<'a> Fields<'a> {
    fn governed(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "model" => &mut self.model,
            "messages" => &mut self.messages,
            "max_tokens" => &mut self.max_tokens,
            "max_completion_tokens" => &mut self.max_completion_tokens,
            "n" => &mut self.n,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "tools" => &mut self.tools,
            "functions" => &mut self.functions,
            "response_format" => &mut self.response_format,
            "modalities" => &mut self.modalities,
            "service_tier" => &mut self.service_tier,
            _ => return None,
        })
    }

    fn other(&mut self, key: Cow<'a, str>, value: &RawValue) {
        if WITHIN_BOUND.binary_search(&&*key).is_ok() {
            return;
        }
        // The same folding as those servers': the Kelvin sign is a k, the long s an s.
        let folded = key.replace('\u{212a}', "k").replace('\u{17f}', "s").to_lowercase();
        if let Some(governed) = GOVERNED.into_iter().find(|governed| *governed == folded) {
            self.look_alike = Some(governed);
        } else if value.get() != "null" {
            self.unknown.push(key);
        }
    }
}

/// A key, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(WITHIN_BOUND.is_sorted());
    }

    #[test]
    fn every_governed_field_has_its_place() {
        let mut fields = Fields::default();
        for name in GOVERNED {
            assert!(fields.governed(name).is_some(), "{name}");
        }
    }
}
