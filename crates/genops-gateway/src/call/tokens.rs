//! How many tokens the messages of a call come to at most, for models whose encoding is public.
//!
//! Texts are counted exactly; what stands around them is taken with a margin over what the published chat
//! formats add; what is neither is taken by its bytes, since every token is at least one. Nothing is kept.

use std::borrow::Cow;

use bpe_openai::Tokenizer;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A public encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `cl100k_base`
    Cl100kBase,
    /// `o200k_base`
    O200kBase,
}

impl Encoding {
    /// Every encoding, with its published name.
    pub const ALL: [(&'static str, Self); 2] =
        [("cl100k_base", Self::Cl100kBase), ("o200k_base", Self::O200kBase)];

    fn tokenizer(self) -> &'static Tokenizer {
        match self {
            Self::Cl100kBase => bpe_openai::cl100k_base(),
            Self::O200kBase => bpe_openai::o200k_base(),
        }
    }

    /// Loads the vocabulary, which takes a quarter of a second, so that no call has to wait for it.
    pub fn load(self) {
        self.tokenizer();
    }

    fn count(self, text: &str) -> u64 {
        self.tokenizer().count(text) as u64
    }
}

/// What begins and ends a message, and marks its role and name. The published formats add three, and one for
/// a name.
const AROUND_MESSAGE: u64 = 6;

/// What stands between the parts of a message.
const AROUND_PART: u64 = 2;

/// What opens the answer. The published formats add three.
const BEFORE_ANSWER: u64 = 8;

/// A message of text alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// Any message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// The most tokens that a list of messages comes to; `None` where it has a form that nobody here knows.
pub fn of_messages(messages: &RawValue, encoding: Encoding) -> Option<u64> {
    let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let mut tokens = BEFORE_ANSWER;
    for message in messages {
        tokens = tokens.saturating_add(of_message(message, encoding)?);
    }
    Some(tokens)
}

fn of_message(raw: &RawValue, encoding: Encoding) -> Option<u64> {
    if let Ok(Plain { role, name, content }) = serde_json::from_str(raw.get()) {
        let names = [role, name].into_iter().flatten().map(|text| encoding.count(&text));
        return Some(AROUND_MESSAGE + names.sum::<u64>() + of_content(content, encoding)?);
    }
    let Message { content } = serde_json::from_str(raw.get()).ok()?;
    // Calls of tools, reasoning and whatever else stands beside the text are taken by their bytes.
    let beside = raw.get().len().saturating_sub(content.map_or(0, |content| content.get().len()));
    Some(AROUND_MESSAGE + beside as u64 + of_content(content, encoding)?)
}

fn of_content(content: Option<&RawValue>, encoding: Encoding) -> Option<u64> {
    let content = content.map_or("", RawValue::get);
    Some(match content.as_bytes().first() {
        Some(b'"') => encoding.count(&serde_json::from_str::<Cow<'_, str>>(content).ok()?),
        Some(b'[') => {
            let parts: Vec<Part<'_>> = serde_json::from_str(content).ok()?;
            let of_part =
                |part: &Part<'_>| AROUND_PART + part.text.as_ref().map_or(0, |text| encoding.count(text));
            parts.iter().map(of_part).sum()
        }
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn count(messages: &str, encoding: Encoding) -> Option<u64> {
        of_messages(&RawValue::from_string(messages.to_owned()).unwrap(), encoding)
    }

    #[test]
    fn texts_are_counted_exactly_and_the_rest_with_a_margin() {
        use Encoding::{Cl100kBase, O200kBase};
        // Tokens as the published vocabularies have them: "hello world" 2, "user" 1, "tiktoken is great!" 6
        // in cl100k_base.
        let cases = [
            ("[]", O200kBase, Some(8)),
            (r#"[{"role":"user","content":"hello world"}]"#, O200kBase, Some(8 + 6 + 1 + 2)),
            (r#"[{"role":"user","content":"tiktoken is great!"}]"#, Cl100kBase, Some(8 + 6 + 1 + 6)),
            (r#"[{"role":"user","content":"hello\u0020world"}]"#, O200kBase, Some(8 + 6 + 1 + 2)),
            (r#"[{"role":"user","content":null}]"#, O200kBase, Some(8 + 6 + 1)),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"hello world"}]}]"#,
                O200kBase,
                Some(8 + 6 + 1 + 2 + 2),
            ),
            // 32 bytes stand beside the text.
            (r#"[{"tool_calls":[1],"content":"hello world"}]"#, O200kBase, Some(8 + 6 + 29 + 2)),
            ("[7]", O200kBase, None),
            ("{}", O200kBase, None),
            (r#"[{"role":"user","content":[7]}]"#, O200kBase, None),
        ];
        for (messages, encoding, expected) in cases {
            assert_eq!(count(messages, encoding), expected, "{messages}");
        }
    }

    #[test]
    fn a_megabyte_of_anything_takes_bounded_time() {
        Encoding::O200kBase.load();
        for text in
            ["a".repeat(1 << 20), " ".repeat(1 << 20), "a b".repeat(349_525), "\u{e4}".repeat(1 << 19)]
        {
            let begun = Instant::now();
            let messages = serde_json::json!([{ "role": "user", "content": text }]).to_string();
            assert!(count(&messages, Encoding::O200kBase).unwrap() <= messages.len() as u64);
            // Tens of milliseconds where it is compiled for speed.
            assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        }
    }
}
