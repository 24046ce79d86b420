//! Escapes, undone: those of JSON, which are also the usual ones of most programming languages.
//!
//! What is no escape of JSON stays as it is written. Half a surrogate pair becomes U+FFFD, as no text can
//! hold it.

use memchr::memchr;

/// The text without its escapes; `None` where it holds no backslash.
pub fn undone(text: &str) -> Option<String> {
    memchr(b'\\', text.as_bytes())?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = undo(escape, &mut out);
    }
    out.push_str(rest);
    Some(out)
}

/// Undoes the escape whose backslash stands before `after`, and returns what follows it.
fn undo<'a>(after: &'a str, out: &mut String) -> &'a str {
    let mut chars = after.chars();
    let meant = match chars.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some(itself @ ('"' | '\\' | '/')) => itself,
        Some('u') => return undo_unicode(chars.as_str(), out),
        _ => '\\',
    };
    out.push(meant);
    if meant == '\\' && !after.starts_with('\\') { after } else { chars.as_str() }
}

fn undo_unicode<'a>(after: &'a str, out: &mut String) -> &'a str {
    let Some((first, rest)) = unit(after) else {
        out.push_str("\\u");
        return after;
    };
    let second = rest.strip_prefix("\\u").and_then(unit);
    let pair = second.and_then(|(second, rest)| Some((surrogates(first, second)?, rest)));
    let (meant, rest) = pair.unwrap_or((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest));
    out.push(meant);
    rest
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    Some((u32::from_str_radix(digits, 16).ok().filter(|_| all)?, rest))
}

fn surrogates(high: u32, low: u32) -> Option<char> {
    let pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    pair.then(|| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        let cases = [
            (r"a\nb", "a\nb"),
            (r"\\n", r"\n"),
            (r#"\"\/\t\r\b\f"#, "\"/\t\r\u{8}\u{c}"),
            (r"\u0034\u00e9", "4é"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"C:\Users\d", r"C:\Users\d"),
            (r"\u12", r"\u12"),
            (r"\u+123", r"\u+123"),
            (r"\u123é", r"\u123é"),
            (r"ends\", r"ends\"),
            (r"\é", r"\é"),
        ];
        for (text, meant) in cases {
            assert_eq!(undone(text).as_deref(), Some(meant), "{text}");
        }
        assert_eq!(undone("no escape"), None);
    }
}
