//! What is asked: the body of a chat completion, read as little as possible and forwarded as it came.
//!
//! The most that the call can use is worked out here, as facts for admission. An output limit that the
//! caller left out is written into the forwarded body, and one in the field that the provider does not read is
//! moved to the one that it does, by splicing a few bytes; nothing else is touched, so no field is lost
//! because nobody here knew it. Prompts are neither kept nor logged.

mod bound;
mod fields;
mod messages;
mod splice;
mod tokens;

use bytes::Bytes;
use genops_core::Name;
use genops_core::price::{Price, Tokens};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{Config, Route};
use fields::Fields;
use splice::Edits;

pub use bound::BoundOptions;
pub(crate) use fields::present;
pub use tokens::Encoding;

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
    /// How many choices it asks for; they share the output of the bound evenly.
    pub choices: u64,
    /// The part of it that may use more than that.
    pub unbounded: Option<Name>,
    /// What it is charged by; `None` where no price is known.
    pub price: Option<Price>,
    /// The body to forward.
    pub forwarded: Bytes,
    /// Whether the answer is to come as a stream, and how.
    pub stream: Option<Streaming>,
}

/// A call whose answer is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streaming {
    /// Whether the caller asked for the usage report; otherwise it was asked for on the caller's behalf, and
    /// is not passed on.
    pub usage_asked: bool,
    /// How many choices it holds.
    pub choices: u64,
    /// Where its output is only expected: so many tokens are reserved for it, and it ends there.
    pub ends_at: Option<EndsAt>,
}

/// Where a stream ends whose output is only expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndsAt {
    /// The tokens that were reserved for it.
    pub tokens: u64,
    /// The encoding in which they are counted.
    pub encoding: Encoding,
}

/// What is changed of a call before it is forwarded, beside what its caller may not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The model that is asked instead.
    pub model: Option<Name>,
    /// An output limit for each choice that is lower than the one that was asked for.
    pub output_limit: Option<u64>,
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

/// The most choices that one call may ask for.
const CHOICES_MAX: u64 = 128;

impl Call {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Names the field that is missing or wrong.
    pub fn read(body: &Bytes, config: &Config, changes: &Changes) -> Result<Self, BadCall> {
        let fields = parse(body)?;
        if let Some(field) = fields.look_alike {
            let message =
                format!("a field is written like `{field}` but for its letters' case; write it exactly");
            return Err(bad(field, &message));
        }
        let asked_model = model(&fields)?;
        let model = changes.model.clone().unwrap_or_else(|| asked_model.clone());
        if !fields.messages.is_some_and(|messages| messages.get().starts_with('[')) {
            return Err(bad("messages", "`messages` is missing; it has to be a list of messages"));
        }
        let route = config.models.route(&model).ok_or_else(|| BadCall {
            no_such_model: true,
            ..bad("model", &format!("the model `{model}` is not set up in this gateway"))
        })?;
        if present(fields.max_tokens).is_some() && present(fields.max_completion_tokens).is_some() {
            return Err(bad("max_tokens", "send `max_tokens` or `max_completion_tokens`, not both"));
        }
        let choices = number("n", present(fields.n), CHOICES_MAX)?.unwrap_or(1);
        let asked = match changes.model {
            None => output_limit(&fields, route.max_output_tokens)?,
            // A limit that is right for one model may be more than another writes.
            Some(_) => output_limit(&fields, u64::MAX)?.map(|limit| limit.min(route.max_output_tokens)),
        };
        let limit = asked.unwrap_or(route.max_output_tokens);
        let limit = changes.output_limit.map_or(limit, |lower| lower.min(limit));
        let mut edits = Edits::of(body);
        if let (true, Some(value)) = (model != asked_model, fields.model) {
            edits.replace(value, &serde_json::Value::from(model.as_str()).to_string());
        }
        write_limit(&mut edits, &fields, route.limit_field, limit);
        let usage_asked = stream(&mut edits, &fields, route)?;
        let expected = expected(&route.bound, limit).filter(|_| usage_asked.is_some());
        let reserved = expected.map_or(limit, |(tokens, _)| tokens).saturating_mul(choices);
        let ends_at = expected.map(|(_, encoding)| EndsAt { tokens: reserved, encoding });
        let stream = usage_asked.map(|usage_asked| Streaming { usage_asked, choices, ends_at });
        let input = bound::input(body.len(), &fields, &route.bound);
        let unbounded = input.as_ref().err().cloned();
        // A call that is not bounded is refused; what it says of its bytes is kept for people.
        let input = input.unwrap_or(body.len() as u64);
        let bound = Tokens::new(input, reserved);
        let operation = operation(&model);
        let price = config.models.price(&model);
        let forwarded = edits.apply();
        let provider = route.provider;
        Ok(Self { model, provider, operation, bound, choices, unbounded, price, forwarded, stream })
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

/// What is reserved for a choice of a stream, where that is less than its output limit, and how it is counted.
fn expected(options: &BoundOptions, limit: u64) -> Option<(u64, Encoding)> {
    options.expected_output.filter(|expected| *expected < limit).zip(options.encoding)
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

/// Sees to it that the forwarded body says `limit` in the field that the provider understands, and in no
/// other: some providers refuse both.
fn write_limit(edits: &mut Edits<'_>, fields: &Fields<'_>, field: LimitField, limit: u64) {
    let (read, other) = match field {
        LimitField::MaxTokens => (fields.max_tokens, fields.max_completion_tokens),
        LimitField::MaxCompletionTokens => (fields.max_completion_tokens, fields.max_tokens),
    };
    if let Some(value) = present(read) {
        if value.get() != limit.to_string() {
            edits.replace(value, &limit.to_string());
        }
        return;
    }
    // What the other field says is taken back; `null` is what leaving it out says.
    if let Some(value) = present(other) {
        edits.replace(value, "null");
    }
    match read {
        Some(null) => edits.replace(null, &limit.to_string()),
        None => edits.add_outer_field(field.as_str(), &limit.to_string()),
    }
}

/// Whether the answer is streamed, and if so whether the caller asked for the usage report. Sees to it that
/// the provider reports it, where it can.
fn stream(edits: &mut Edits<'_>, fields: &Fields<'_>, route: &Route) -> Result<Option<bool>, BadCall> {
    match present(fields.stream).map(RawValue::get) {
        None | Some("false") => return Ok(None),
        Some("true") => {}
        Some(_) => return Err(bad("stream", "`stream` has to be true or false")),
    }
    let Some(options) = present(fields.stream_options) else {
        if route.reports_usage_in_streams {
            match fields.stream_options {
                Some(null) => edits.replace(null, r#"{"include_usage":true}"#),
                None => edits.add_outer_field("stream_options", r#"{"include_usage":true}"#),
            }
        }
        return Ok(Some(false));
    };
    // A list would be read as the fields in their order.
    let object = Some(options.get()).filter(|text| text.starts_with('{'));
    let written = object.and_then(|text| serde_json::from_str::<StreamOptions<'_>>(text).ok());
    let written = written.ok_or_else(|| bad("stream_options", "`stream_options` has to be an object"))?;
    match written.include_usage.map(RawValue::get) {
        Some("true") => return Ok(Some(true)),
        _ if !route.reports_usage_in_streams => {}
        Some(_) => written.include_usage.into_iter().for_each(|value| edits.replace(value, "true")),
        None => edits.add_field(options, "include_usage", "true"),
    }
    Ok(Some(false))
}

/// `stream_options`, as far as it matters.
#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    include_usage: Option<&'a RawValue>,
}

/// A field as it is written, `null` included: what stands there may have to be replaced.
fn raw<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn bad(field: &'static str, message: &str) -> BadCall {
    BadCall { field: Some(field), message: message.to_owned(), no_such_model: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sample;

    fn read(body: &str) -> Result<Call, BadCall> {
        Call::read(&Bytes::copy_from_slice(body.as_bytes()), &sample::config(), &Changes::default())
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
                r#" { "model":"large", "x":1e5, "messages":[{}] ,"max_completion_tokens": 7 } "#,
                r#" { "model":"large", "x":1e5, "messages":[{}] ,"max_completion_tokens": 7 } "#,
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
    fn the_usage_of_a_stream_is_asked_for_by_touching_nothing_else() {
        const LIMIT: &str = r#""model":"large","messages":[],"max_completion_tokens":7,"stream":true"#;
        let cases = [
            ("", r#""stream_options":{"include_usage":true},"#, "", false),
            (r#","stream_options":null"#, "", r#","stream_options":{"include_usage":true}"#, false),
            (r#","stream_options": { }"#, "", r#","stream_options": {"include_usage":true }"#, false),
            (r#","stream_options":{"a":1}"#, "", r#","stream_options":{"include_usage":true,"a":1}"#, false),
            (
                r#","stream_options":{"include_usage": false ,"a":1}"#,
                "",
                r#","stream_options":{"include_usage": true ,"a":1}"#,
                false,
            ),
            (
                r#","stream_options":{"include_usage":true}"#,
                "",
                r#","stream_options":{"include_usage":true}"#,
                true,
            ),
        ];
        for (sent, before, after, usage_asked) in cases {
            let call = read(&format!("{{{LIMIT}{sent}}}")).unwrap();
            assert_eq!(call.forwarded, format!("{{{before}{LIMIT}{after}}}"), "{sent}");
            assert_eq!(call.stream, Some(Streaming { usage_asked, choices: 1, ends_at: None }), "{sent}");
        }
        for plain in ["", r#","stream":false"#, r#","stream":null,"stream_options":{"include_usage":true}"#] {
            let body = format!(r#"{{"model":"large","messages":[],"max_completion_tokens":7{plain}}}"#);
            let call = read(&body).unwrap();
            assert_eq!((call.stream, call.forwarded), (None, Bytes::from(body)));
        }
    }

    #[test]
    fn what_may_cost_more_than_its_bytes_is_named() {
        let cases = [
            (r#""temperature":1,"tools":[{"type":"function","function":{}}]"#, None),
            (r#""audio":null,"modalities":["text"],"service_tier":"auto""#, None),
            (r#""audio":{"voice":"a"}"#, Some("audio")),
            (r#""n_predict":9"#, Some("n_predict")),
            (r#""prediction":{}"#, Some("prediction")),
            (r#""\u0061udio":{}"#, Some("audio")),
            (r#""web_search_options":{}"#, Some("web_search_options")),
            (r#""modalities":["text","audio"]"#, Some("modalities")),
            (r#""modalities":"audio""#, Some("modalities")),
            (r#""service_tier":"priority""#, Some("service_tier")),
            (r#""tools":[{"type":"web_search"}]"#, Some("tools")),
            (r#""tools":[{}]"#, Some("tools")),
            (r#""tools":{"type":"function"}"#, Some("tools")),
            (r#""tools":[["function"]]"#, Some("tools")),
            (
                r#""chat_template_kwargs":{"chat_template":"{% for i in range(99999) %}a{% endfor %}"}"#,
                Some("chat_template_kwargs"),
            ),
            (r#""enable_thinking":true"#, Some("enable_thinking")),
        ];
        for (field, unbounded) in cases {
            let call = read(&format!(r#"{{"model":"large","messages":[],{field}}}"#)).unwrap();
            assert_eq!(call.unbounded.as_ref().map(Name::as_str), unbounded, "{field}");
        }
        let messages = [
            (r#"{"role":"user","content":"a"},{"content":null}"#, None),
            (r#"{"content":[{"type":"text","text":"a"},{"type":"refusal"}]}"#, None),
            (r#"{"content":[{"type":"image_url"}]}"#, Some("messages.content.image_url")),
            (r#"{"content":[{"t\u0079pe":"file"}]}"#, Some("messages.content.file")),
            (r#"{"content":[7]}"#, Some("messages.content")),
            (r#"{"content":{"a":1}}"#, Some("messages.content")),
            (r#"{"content":[{"image_url":"http://a/b.png"}]}"#, Some("messages.content")),
            (
                r#"{"content":[{"type":"text","text":"a","image_url":"http://a/b.png"}]}"#,
                Some("messages.content.text"),
            ),
            (r#"{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#, None),
            (
                r#"{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#,
                Some("messages.content.text"),
            ),
            (r#"{"Content":[{"type":"image_url"}]}"#, Some("messages")),
            (r#"["user","a"]"#, Some("messages")),
            (r#"{"role":"assistant","content":null,"tool_calls":[],"annotations":[],"audio":null}"#, None),
            (r#"{"content":"a","audio":{"id":"b"}}"#, Some("messages.audio")),
            ("7", Some("messages")),
        ];
        for (message, unbounded) in messages {
            let call = read(&format!(r#"{{"model":"large","messages":[{message}]}}"#)).unwrap();
            assert_eq!(call.unbounded.as_ref().map(Name::as_str), unbounded, "{message}");
        }
    }

    #[test]
    fn what_servers_write_anew_is_bounded_at_its_longest() {
        let bound = |fields: &str| {
            let body = format!(r#"{{"model":"large","messages":[],{fields}}}"#);
            let call = read(&body).unwrap();
            call.bound.input - body.len() as u64
        };
        // A line break and an indentation at each of the ten places between, 24 for each number, and the template's
        // instructions.
        assert_eq!(bound(r#""tools":[{"type":"function","enum":[1e15,2]}]"#), 2 * 10 + 3 * 24 + 512);
        assert_eq!(bound(r#""functions":[]"#), 2 * 2 + 512);
        assert_eq!(bound(r#""response_format":{"type":"text"}"#), 2 * 3);
        assert_eq!(bound(r#""temperature":1"#), 0);
    }

    #[test]
    fn the_bound_is_what_the_provider_may_use_at_most() {
        let cases = [
            (r#"{"model":"large","messages":[]}"#, 1_000),
            (r#"{"model":"large","messages":[],"n":3}"#, 3_000),
            (r#"{"model":"large","messages":[],"n":null,"max_tokens":10}"#, 10),
        ];
        for (body, output) in cases {
            assert_eq!(read(body).unwrap().bound, Tokens::new(body.len() as u64, output), "{body}");
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
            (r#"{"model":"large","messages":[],"stream":"yes"}"#, Some("stream")),
            (r#"{"model":"large","messages":[],"stream":1}"#, Some("stream")),
            (r#"{"model":"large","messages":[],"stream":true,"stream_options":7}"#, Some("stream_options")),
            (r#"{"model":"large","messages":[],"stream":true,"stream_options":[]}"#, Some("stream_options")),
            (
                r#"{"model":"large","messages":[],"stream":true,"stream_options":[true]}"#,
                Some("stream_options"),
            ),
            (r#"{"model":"large","messages":[],"stream":true,"Stream_Options":{}}"#, Some("stream_options")),
        ];
        for (body, field) in cases {
            assert_eq!(read(body).unwrap_err().field, field, "{body}");
        }
    }
}
