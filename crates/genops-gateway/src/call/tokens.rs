//! How many tokens the messages of a call come to at most, for models whose encoding is public.
//!
//! Texts are counted exactly; what stands around them is taken with a margin over what the published chat
//! formats add; what is neither is taken by its bytes, since every token is at least one. Nothing is kept.

use bpe_openai::Tokenizer;

use super::messages::Message;

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

    /// How many tokens a text comes to.
    pub fn count(self, text: &str) -> u64 {
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

/// The most tokens that the messages come to.
pub fn of_messages(messages: &[Message<'_>], encoding: Encoding) -> u64 {
    let each = messages.iter().map(|message| of_message(message, encoding));
    each.fold(BEFORE_ANSWER, u64::saturating_add)
}

fn of_message(message: &Message<'_>, encoding: Encoding) -> u64 {
    let labels: u64 = message.labels().map(|text| encoding.count(text)).sum();
    let Some((texts, parts)) = message.texts() else { return u64::MAX };
    let texts: u64 = texts.iter().map(|text| encoding.count(text)).sum();
    // Calls of tools, reasoning and whatever else stands beside the text are taken by their bytes.
    let beside: u64 = message.beside().map(|raw| raw.get().len() as u64).sum();
    AROUND_MESSAGE + AROUND_PART * parts as u64 + labels + texts + beside
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::value::RawValue;

    use super::*;
    use crate::call::messages;

    fn count(messages: &str, encoding: Encoding) -> u64 {
        let raw = RawValue::from_string(messages.to_owned()).unwrap();
        of_messages(&messages::read(&raw).unwrap(), encoding)
    }

    #[test]
    fn texts_are_counted_exactly_and_the_rest_with_a_margin() {
        use Encoding::{Cl100kBase, O200kBase};
        // Tokens as the published vocabularies have them: "hello world" 2, "user" 1, "tiktoken is great!" 6
        // in cl100k_base.
        let cases = [
            ("[]", O200kBase, 8),
            (r#"[{"role":"user","content":"hello world"}]"#, O200kBase, 8 + 6 + 1 + 2),
            (r#"[{"role":"user","content":"tiktoken is great!"}]"#, Cl100kBase, 8 + 6 + 1 + 6),
            (r#"[{"role":"user","content":"hello\u0020world"}]"#, O200kBase, 8 + 6 + 1 + 2),
            (r#"[{"role":"user","content":null}]"#, O200kBase, 8 + 6 + 1),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"hello world"}]}]"#,
                O200kBase,
                8 + 6 + 1 + 2 + 2,
            ),
            // Two bytes stand beside the text.
            (r#"[{"tool_calls":[],"content":"hello world"}]"#, O200kBase, 8 + 6 + 2 + 2),
            (
                r#"[{"role":"user","content":[{"type":"refusal","refusal":"hello world"}]}]"#,
                O200kBase,
                8 + 6 + 1 + 2 + 2,
            ),
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
            assert!(count(&messages, Encoding::O200kBase) <= messages.len() as u64);
            // Tens of milliseconds where it is compiled for speed.
            assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        }
    }
}
