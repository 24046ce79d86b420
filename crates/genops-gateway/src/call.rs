//! What is asked: the body of a chat completion, read as little as possible and forwarded as it came.
//!
//! The most that the call can use is worked out here, as facts for admission. An output limit that the
//! caller left out is written into the forwarded body, and one in the field that the provider does not read is
//! moved to the one that it does, by splicing a few bytes; nothing else is touched, so no field is lost
//! because nobody here knew it. Prompts are neither kept nor logged.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use genops_core::Name;
use genops_core::price::{Price, Tokens};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::Config;

/// A call, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The model that is asked for.
    pub model: Name,
    /// The provider to ask, by its place in the configuration.
    pub provider: usize,
    /// What the call is called where nobody says.
    pub operation: Name,
    /// The most that it can use.
    pub bound: Tokens,
    /// What it is charged by; `None` where no price is known.
    pub price: Option<Price>,
    /// The body to forward.
    pub forwarded: Bytes,
}

/// A body that cannot be governed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadCall {
    /// The field at fault, where it is one.
    pub field: Option<&'static str>,
    /// What is wrong and what would be right.
    pub message: String,
    /// Whether the model is at fault, which callers know by a status of its own.
    pub no_such_model: bool,
}

/// The fields that matter, each as the caller wrote it.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    n: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw")]
    stream: Option<&'a RawValue>,
}

/// A field as it is written, `null` included: what stands there may have to be replaced.
fn raw<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The most choices that one call may ask for.
const CHOICES_MAX: u64 = 128;

impl Call {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Names the field that is missing or wrong.
    pub fn read(body: &Bytes, config: &Config) -> Result<Self, BadCall> {
        let fields = parse(body)?;
        if let Some(field) = look_alike(body) {
            let message =
                format!("a field is written like `{field}` but for its letters' case; write it exactly");
            return Err(bad(field, &message));
        }
        let model = model(&fields)?;
        if !fields.messages.is_some_and(|messages| messages.get().starts_with('[')) {
            return Err(bad("messages", "`messages` is missing; it has to be a list of messages"));
        }
        if present(fields.stream).is_some_and(|stream| stream.get() != "false") {
            return Err(bad(
                "stream",
                "`stream` is not supported yet by this gateway; leave it out or say false",
            ));
        }
        let route = config.models.route(&model).ok_or_else(|| BadCall {
            no_such_model: true,
            ..bad("model", &format!("the model `{model}` is not set up in this gateway"))
        })?;
        if present(fields.max_tokens).is_some() && present(fields.max_completion_tokens).is_some() {
            return Err(bad("max_tokens", "send `max_tokens` or `max_completion_tokens`, not both"));
        }
        let choices = number("n", present(fields.n), CHOICES_MAX)?.unwrap_or(1);
        let asked = output_limit(&fields, route.max_output_tokens)?;
        let limit = asked.unwrap_or(route.max_output_tokens);
        let forwarded = write_limit(body, &fields, route.limit_field, limit);
        let bound = Tokens {
            // Every token is at least one byte of what the model reads, and the JSON around a message takes
            // more bytes than a template takes tokens.
            input: body.len() as u64,
            output: limit.saturating_mul(choices),
        };
        let operation = operation(&model);
        let price = route.price.clone();
        Ok(Self { model, provider: route.provider, operation, bound, price, forwarded })
    }
}

/// Which of the two fields of the protocol a provider understands as the output limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitField {
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
}

impl LimitField {
    /// The field's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

fn parse(body: &[u8]) -> Result<Fields<'_>, BadCall> {
    let malformed = |what: &str| BadCall {
        field: None,
        message: format!("the body is not a JSON object: {what}"),
        no_such_model: false,
    };
    // A list would be read as the fields in their order; only an object names them.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("it does not begin with `{`"));
    }
    serde_json::from_slice(body).map_err(|error| malformed(&error.to_string()))
}

fn model(fields: &Fields<'_>) -> Result<Name, BadCall> {
    let raw = present(fields.model).ok_or_else(|| bad("model", "`model` is missing"))?;
    let text: String = serde_json::from_str(raw.get()).map_err(|_| bad("model", "`model` has to be text"))?;
    Name::new(&text).map_err(|problem| bad("model", &format!("`model` {problem}")))
}

fn operation(model: &Name) -> Name {
    let named = format!("chat {model}");
    Name::new(&named).unwrap_or_else(|_| model.clone())
}

/// The output limit that the caller set for each choice, in either field.
fn output_limit(fields: &Fields<'_>, model_max: u64) -> Result<Option<u64>, BadCall> {
    let old = number("max_tokens", present(fields.max_tokens), model_max)?;
    let new = number("max_completion_tokens", present(fields.max_completion_tokens), model_max)?;
    Ok(old.or(new))
}

/// A whole number from 1 to `max`.
fn number(field: &'static str, raw: Option<&RawValue>, max: u64) -> Result<Option<u64>, BadCall> {
    let Some(raw) = raw else { return Ok(None) };
    match raw.get().parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
        _ => Err(bad(field, &format!("`{field}` has to be a whole number from 1 to {max}"))),
    }
}

/// A field that is one of ours but for the case of its letters. Some servers do not tell the two apart, and
/// would read a limit or a model that nobody has looked at.
fn look_alike(body: &[u8]) -> Option<&'static str> {
    const GOVERNED: [&str; 6] = ["model", "messages", "max_tokens", "max_completion_tokens", "n", "stream"];
    // The same folding as those servers': the Kelvin sign is a k, the long s an s.
    let folded = |key: &str| key.replace('\u{212a}', "k").replace('\u{17f}', "s").to_lowercase();
    let keys: HashMap<Cow<'_, str>, serde::de::IgnoredAny> = serde_json::from_slice(body).ok()?;
    GOVERNED.into_iter().find(|field| keys.keys().any(|key| key != field && folded(key) == **field))
}

/// `null` is as good as absent.
fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// Sees to it that the forwarded body says `limit` in the field that the provider understands, and in no
/// other: some providers refuse both.
fn write_limit(body: &Bytes, fields: &Fields<'_>, field: LimitField, limit: u64) -> Bytes {
    let (read, other) = match field {
        LimitField::MaxTokens => (fields.max_tokens, fields.max_completion_tokens),
        LimitField::MaxCompletionTokens => (fields.max_completion_tokens, fields.max_tokens),
    };
    if present(read).is_some() {
        return body.clone();
    }
    // What the other field says is taken back; `null` is what leaving it out says.
    let without = match present(other) {
        Some(value) => replace(body, value, "null"),
        None => body.clone(),
    };
    match read {
        // The replacements are of different places: the one that stands first moves the other.
        Some(null) if present(other).is_some() => {
            let place = place_of(body, null);
            let moved = if other.is_some_and(|other| place_of(body, other) < place) {
                place + "null".len() - other.map_or(0, |other| other.get().len())
            } else {
                place
            };
            splice(&without, moved, moved + null.get().len(), &limit.to_string())
        }
        Some(null) => replace(body, null, &limit.to_string()),
        None => {
            let open = without.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
            splice(&without, open, open, &format!("\"{}\":{limit},", field.as_str()))
        }
    }
}

/// Where a value stands in the body that it was read from.
fn place_of(body: &Bytes, value: &RawValue) -> usize {
    (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize)
}

fn replace(body: &Bytes, value: &RawValue, by: &str) -> Bytes {
    let place = place_of(body, value);
    splice(body, place, place + value.get().len(), by)
}

/// The body with the bytes from `start` to `end` replaced.
fn splice(body: &Bytes, start: usize, end: usize, by: &str) -> Bytes {
    let mut spliced = BytesMut::with_capacity(body.len() + by.len());
    spliced.put_slice(body.get(..start).unwrap_or_default());
    spliced.put_slice(by.as_bytes());
    spliced.put_slice(body.get(end..).unwrap_or_default());
    spliced.freeze()
}

fn bad(field: &'static str, message: &str) -> BadCall {
    BadCall { field: Some(field), message: message.to_owned(), no_such_model: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sample;

    fn read(body: &str) -> Result<Call, BadCall> {
        Call::read(&Bytes::copy_from_slice(body.as_bytes()), &sample::config())
    }

    #[test]
    fn the_limit_is_written_where_it_is_missing_and_nothing_else_is_touched() {
        // The provider of `large` reads max_completion_tokens, that of `small` max_tokens; both models
        // write at most 1,000 tokens.
        let cases = [
            (
                r#"{"model":"large","messages":[]}"#,
                r#"{"max_completion_tokens":1000,"model":"large","messages":[]}"#,
            ),
            (r#"{"model":"small","messages":[]}"#, r#"{"max_tokens":1000,"model":"small","messages":[]}"#),
            (
                r#" { "model":"large", "x":1e5, "messages":[1] ,"max_completion_tokens": 7 } "#,
                r#" { "model":"large", "x":1e5, "messages":[1] ,"max_completion_tokens": 7 } "#,
            ),
            (
                r#"{"max_completion_tokens": null ,"model":"large","messages":[]}"#,
                r#"{"max_completion_tokens": 1000 ,"model":"large","messages":[]}"#,
            ),
            (
                r#"{"model":"small","messages":[],"max_completion_tokens":5}"#,
                r#"{"max_tokens":5,"model":"small","messages":[],"max_completion_tokens":null}"#,
            ),
            (
                r#"{"max_tokens":5,"max_completion_tokens":null,"model":"large","messages":[]}"#,
                r#"{"max_tokens":null,"max_completion_tokens":5,"model":"large","messages":[]}"#,
            ),
            (
                r#"{"max_completion_tokens":null,"max_tokens":777,"model":"large","messages":[]}"#,
                r#"{"max_completion_tokens":777,"max_tokens":null,"model":"large","messages":[]}"#,
            ),
            (
                r#"{"model":"large","messages":[],"max\u005fcompletion_tokens":5}"#,
                r#"{"model":"large","messages":[],"max\u005fcompletion_tokens":5}"#,
            ),
        ];
        for (body, forwarded) in cases {
            assert_eq!(read(body).unwrap().forwarded, forwarded, "{body}");
        }
    }

    #[test]
    fn the_bound_is_what_the_provider_may_use_at_most() {
        let cases = [
            (r#"{"model":"large","messages":[]}"#, 1_000),
            (r#"{"model":"large","messages":[],"n":3}"#, 3_000),
            (r#"{"model":"large","messages":[],"n":null,"max_tokens":10}"#, 10),
        ];
        for (body, output) in cases {
            assert_eq!(read(body).unwrap().bound, Tokens { input: body.len() as u64, output }, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("", None),
            ("{", None),
            ("[\"large\",[]]", None),
            ("\"text\"", None),
            (r#"{"model":"large","messages":[]} x"#, None),
            (r#"{"model":"large","messages":[],"max_tokens":1,"max_tokens":9}"#, None),
            (r#"{"messages":[]}"#, Some("model")),
            (r#"{"model":null,"messages":[]}"#, Some("model")),
            (r#"{"model":5,"messages":[]}"#, Some("model")),
            (r#"{"model":"","messages":[]}"#, Some("model")),
            (r#"{"model":"a\nb","messages":[]}"#, Some("model")),
            (r#"{"model":"absent","messages":[]}"#, Some("model")),
            (r#"{"model":"large"}"#, Some("messages")),
            (r#"{"model":"large","messages":"hello"}"#, Some("messages")),
            (r#"{"model":"large","messages":[],"max_tokens":-1}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"max_tokens":0}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"max_tokens":"9"}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"max_tokens":1001}"#, Some("max_tokens")),
            (
                r#"{"model":"large","messages":[],"max_completion_tokens":99999999999999999999999}"#,
                Some("max_completion_tokens"),
            ),
            (
                r#"{"model":"large","messages":[],"max_tokens":10,"max_completion_tokens":20}"#,
                Some("max_tokens"),
            ),
            (r#"{"model":"large","messages":[],"n":0}"#, Some("n")),
            (r#"{"model":"large","messages":[],"n":129}"#, Some("n")),
            (r#"{"model":"large","messages":[],"Model":"small"}"#, Some("model")),
            (r#"{"model":"large","messages":[],"MAX_TOKENS":9}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"max_to\u212aens":9}"#, Some("max_tokens")),
            (r#"{"model":"large","messages":[],"N":9}"#, Some("n")),
            (r#"{"model":"large","messages":[],"stream":true}"#, Some("stream")),
            (r#"{"model":"large","messages":[],"stream":"yes"}"#, Some("stream")),
        ];
        for (body, field) in cases {
            assert_eq!(read(body).unwrap_err().field, field, "{body}");
        }
    }
}
