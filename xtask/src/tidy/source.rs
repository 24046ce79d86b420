//! Tells the code of a Rust file from its comments and its literals, keeping every line where it was.
//!
//! It is not a parser: it knows where comments, strings and characters begin and end, and nothing else. Text
//! that is not valid Rust gets some answer, never a panic.

/// One file, seen twice. What a view leaves out is blank there, so lines and indentation stay.
#[derive(Default)]
pub struct Source {
    /// Code only.
    pub code: String,
    /// Code and comments: everything but the contents of literals.
    pub prose: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub fn of(text: &str) -> Self {
        let mut source = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (kind, length) = next_token(rest);
            let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            source.push(kind, token);
            rest = after;
        }
        source
    }

    fn push(&mut self, kind: Kind, token: &str) {
        let blank: String = token.chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        self.code.push_str(if kind == Kind::Code { token } else { &blank });
        self.prose.push_str(if kind == Kind::Literal { &blank } else { token });
    }
}

/// Whether a character can be part of a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What the text begins with, and how many bytes of it; at least one.
fn next_token(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Kind::Literal, quoted(rest, '"'));
    }
    if let Some(length) = character(rest).or_else(|| raw_string(rest)) {
        return (Kind::Literal, length);
    }
    // A whole word at once, so that the `r` of a longer word never opens a raw string.
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    (Kind::Code, word.max(rest.chars().next().map_or(1, char::len_utf8)))
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..) {
        let Some(first) = tail.chars().next() else { break };
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += first.len_utf8();
        }
    }
    rest.len()
}

/// From the opening quote to the closing one; a backslash keeps the next character from closing.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + quote.len_utf8();
        }
    }
    rest.len()
}

/// A character, and not a lifetime: one character and a closing quote, or a backslash.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let closes = inside.strip_prefix(first)?.starts_with('\'');
    (first == '\\' || closes).then(|| quoted(rest, '\''))
}

/// `r"…"`, `r#"…"#` and so on, also as bytes or C string; it closes with the hashes it opened with.
fn raw_string(rest: &str) -> Option<usize> {
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let inside = unprefixed.trim_start_matches('#').strip_prefix('"')?;
    let hashes = unprefixed.chars().take_while(|c| *c == '#').count();
    let closing = format!("\"{}", "#".repeat(hashes));
    let opening_length = rest.len() - inside.len();
    Some(inside.find(&closing).map_or(rest.len(), |at| opening_length + at + closing.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text; its code; its code and comments. Blanks at the end of a line do not count.
    const CASES: &[(&str, &str, &str)] = &[
        ("let a = b;", "let a = b;", "let a = b;"),
        ("a // b \"c", "a", "a // b \"c"),
        ("a /* b /* c */ d */ e", "a                   e", "a /* b /* c */ d */ e"),
        ("a /* never closed", "a", "a /* never closed"),
        (r#"f("a // b") // c"#, "f(        )", "f(        ) // c"),
        (r#"f("a \" b", c)"#, "f(        , c)", "f(        , c)"),
        (r#"f(b"a", c"b")"#, "f(b   , c   )", "f(b   , c   )"),
        (r###"f(r#"a " b"#, c)"###, "f(          , c)", "f(          , c)"),
        (r#"f(br"a\", c)"#, "f(      , c)", "f(      , c)"),
        ("r#type + for_r", "r#type + for_r", "r#type + for_r"),
        (r"f('{', '\'', '\u{7d}', b'}')", "f(   ,     ,         , b   )", "f(   ,     ,         , b   )"),
        ("fn f<'a, 'b>(x: &'a str)", "fn f<'a, 'b>(x: &'a str)", "fn f<'a, 'b>(x: &'a str)"),
        ("f(\"a\nb\", c)", "f(\n  , c)", "f(\n  , c)"),
        ("\"never closed", "", ""),
    ];

    #[test]
    fn code_comments_and_literals_are_told_apart() {
        for (text, code, prose) in CASES {
            let source = Source::of(text);
            assert_eq!(without_trailing_blanks(&source.code), *code, "{text}");
            assert_eq!(without_trailing_blanks(&source.prose), *prose, "{text}");
        }
    }

    #[test]
    fn every_line_stays_where_it_was() {
        let text = include_str!("source.rs");
        let source = Source::of(text);
        assert_eq!(source.code.lines().count(), text.lines().count());
        assert_eq!(source.prose.lines().count(), text.lines().count());
    }

    fn without_trailing_blanks(text: &str) -> String {
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}
