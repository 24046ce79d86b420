//! The texts of a call: the strings in the body of a chat completion that a model may read.
//!
//! Every string is one, in fields that nobody here knows too, except the names of fields, the outer fields
//! that are settings and not prompt, the protocol's own words in their places (`"role":"user"`), and long
//! base64, which is a picture, a sound or a file. Numbers are no text.
//!
//! The body is read flat, with no tree and no recursion, so that no depth and no escape that another reader
//! accepts (half a surrogate pair) keeps a text from being seen. It is not checked: whoever reads the call
//! does that.

use std::borrow::Cow;

use memchr::memchr2;

use super::escapes;

/// Outer fields that set how a model is asked: their strings are words of the protocol, or names of models, tools and
/// voices. Fields beside the prompt that take any text (`user`, `metadata`, …) are none of them.
const SETTINGS: [&str; 16] = [
    "audio",
    "function_call",
    "logit_bias",
    "modalities",
    "model",
    "models",
    "prompt_cache_retention",
    "provider",
    "reasoning",
    "reasoning_effort",
    "route",
    "service_tier",
    "stream_options",
    "tool_choice",
    "transforms",
    "verbosity",
];

/// Fields whose value the protocol prescribes, and the words that it does.
const WORDED: [&str; 4] = ["detail", "format", "role", "type"];
const WORDS: [&str; 46] = [
    "allowed_tools",
    "array",
    "assistant",
    "auto",
    "boolean",
    "content",
    "custom",
    "date",
    "date-time",
    "developer",
    "duration",
    "email",
    "ephemeral",
    "file",
    "flac",
    "function",
    "grammar",
    "high",
    "hostname",
    "image_url",
    "input_audio",
    "integer",
    "ipv4",
    "ipv6",
    "json_object",
    "json_schema",
    "low",
    "mp3",
    "null",
    "number",
    "object",
    "refusal",
    "string",
    "structural_tag",
    "system",
    "text",
    "time",
    "tool",
    "uri",
    "url",
    "url_citation",
    "user",
    "uuid",
    "video_url",
    "video",
    "wav",
];

/// Fields that hold a file.
const FILED: [&str; 6] = ["audio_url", "data", "file_data", "image_url", "url", "video_url"];

/// Base64 in a field that holds a file is one from this length on.
const FILE_MIN: usize = 256;

/// What the name of a field says about its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Worded,
    Filed,
    Other,
}

/// Shows each text of `body` to `look`, its escapes undone, in their order.
pub fn each(body: &[u8], mut look: impl FnMut(&str)) {
    let mut rest = body;
    let (mut depth, mut field, mut is_setting) = (0_u64, Field::Other, false);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => (depth, field) = (depth.saturating_sub(1), Field::Other),
            b'"' => {
                let (raw, after) = string(rest);
                rest = after;
                if after.trim_ascii_start().first() == Some(&b':') {
                    let name = decoded(raw);
                    field = Field::of(&name);
                    if depth == 1 {
                        is_setting = SETTINGS.contains(&&*name);
                    }
                } else if !is_setting {
                    let text = decoded(raw);
                    if !field.explains(&text) {
                        look(&text);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The string that begins here, as it is written, and what follows its end.
fn string(rest: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0_usize;
    while let Some(at) = rest.get(end..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        end = end.saturating_add(at);
        if let (Some(raw), Some([b'"', after @ ..])) = (rest.get(..end), rest.get(end..)) {
            return (raw, after);
        }
        // A backslash, and what it escapes.
        end = end.saturating_add(2);
    }
    (rest, &[])
}

fn decoded(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    match escapes::undone(&text) {
        Some(undone) => Cow::Owned(undone),
        None => text,
    }
}

impl Field {
    fn of(name: &str) -> Self {
        if WORDED.contains(&name) {
            Self::Worded
        } else if FILED.contains(&name) {
            Self::Filed
        } else {
            Self::Other
        }
    }

    /// Whether the value is what such a field is there for, and so is no text.
    fn explains(self, value: &str) -> bool {
        match self {
            Self::Worded => WORDS.contains(&value),
            Self::Filed => is_file(value),
            Self::Other => false,
        }
    }
}

/// Whether it is base64 throughout, bare or as a data URL.
fn is_file(value: &str) -> bool {
    let data_url = value.strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
    let base64 = match data_url {
        Some((media_type, base64)) if media_type.len() < 128 => base64,
        _ => value,
    };
    let is_base64 =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    base64.len() >= FILE_MIN && base64.bytes().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<String> {
        let mut texts = Vec::new();
        each(body.as_bytes(), |text| texts.push(text.to_owned()));
        texts
    }

    #[test]
    fn every_text_of_a_prompt_is_seen_and_nothing_else() {
        let base64 = "iVBORw0K".repeat(40);
        let cases: [(&str, &[&str]); 17] = [
            (r#"{"messages":[{"role":"user","content":"Hello"}]}"#, &["Hello"]),
            (
                r#"{"messages":[{"role":"user","name":"Ann","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
                &["Ann", "a", "b"],
            ),
            (
                r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"done"}]}"#,
                &["c1", "f", r#"{"a":1}"#, "c1", "done"],
            ),
            (
                r#"{"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"role":{"type":["string","null"],"description":"e","enum":["g"]}}}}}]}"#,
                &["f", "d", "e", "g"],
            ),
            (r#"{"functions":[{"name":"f","description":"d"}]}"#, &["f", "d"]),
            (
                r#"{"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"description":"d","format":"email"}}}}"#,
                &["n", "d"],
            ),
            (r#"{"prediction":{"type":"content","content":[{"type":"text","text":"p"}]}}"#, &["p"]),
            (
                r#"{"model":"m","user":"u","metadata":{"a":"b"},"tool_choice":{"type":"function","function":{"name":"f"}},"stop":["s"],"x":"y"}"#,
                &["u", "b", "s", "y"],
            ),
            (r#"{"safety_identifier":"i","prompt_cache_key":"k","reasoning_effort":"high"}"#, &["i", "k"]),
            (r#"{"m\u006fdel":"m","messages":[{"r\u006fle":"us\u0065r","content":"x"}]}"#, &["x"]),
            (r#"{"messages":[{"model":"m","user":"u"}]}"#, &["m", "u"]),
            (r#"{"messages":[{"role":"not a role","type":"not a type"}]}"#, &["not a role", "not a type"]),
            (r#"{"x":[{"type":"text"},"user"],"role":[["user"],"tool"]}"#, &["user", "tool"]),
            (r#"{ "a" : 1 , "b" :"\u0034\ud800\"" , "c": 4111111111111111 }"#, &["4\u{fffd}\""]),
            (r#"{"messages":[{"content":"role"},{"content":"user"}]}"#, &["role", "user"]),
            (r#"{"data":"short","url":"https://example.com"}"#, &["short", "https://example.com"]),
            (r#"["a",["b"]]"#, &["a", "b"]),
        ];
        for (body, expected) in cases {
            assert_eq!(texts(body), expected, "{body}");
        }
        let file = format!(r#"{{"image_url":{{"url":"data:image/png;base64,{base64}"}},"data":"{base64}"}}"#);
        assert_eq!(texts(&file), Vec::<String>::new());
        let hidden = format!(r#"{{"url":"data:image/png;base64,{base64} and more","content":"{base64}"}}"#);
        assert_eq!(texts(&hidden).len(), 2);
    }

    #[test]
    fn no_depth_hides_a_text() {
        let depth = 100_000;
        let body = format!(r#"{{"messages":{}"deep"{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(texts(&body), ["deep"]);
    }

    #[test]
    fn a_broken_body_is_read_as_far_as_it_goes() {
        for (body, expected) in
            [(r#"{"a":"b"#, &["b"][..]), (r#""\"#, &[r"\"]), ("\"", &[""]), ("", &[]), (r#"}}"x""#, &["x"])]
        {
            assert_eq!(texts(body), expected, "{body}");
        }
    }
}
