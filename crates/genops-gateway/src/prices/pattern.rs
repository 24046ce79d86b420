//! Patterns for names of models: `*` stands for anything, nothing included, `#` for one digit, every other
//! character for itself. Nothing else is known of regular expressions but how to turn the plainest into
//! these.

/// Whether a pattern is a name written out.
pub fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '#'])
}

/// Whether `text` fits. Takes at most as many steps as both lengths multiplied.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on if the characters after the last `*` turn out not to fit: one character further.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((wanted, after)), Some((is, below))) if fits(*wanted, *is) => {
                (pattern, text) = (after, below);
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                let Some((_, further)) = from.split_first() else { return false };
                retry = Some((after_star, further));
                (pattern, text) = (after_star, further);
            }
        }
    }
}

const fn fits(wanted: u8, is: u8) -> bool {
    if wanted == b'#' { is.is_ascii_digit() } else { wanted == is }
}

/// The patterns that say what a regular expression says, if it has nothing but characters, `\d`, `\d{4}`,
/// classes of single characters, `^` at its beginning, and perhaps `$` at its end.
pub fn from_regex(regex: &str) -> Option<Vec<String>> {
    let mut rest = regex.strip_prefix('^')?;
    let mut found = vec![String::new()];
    loop {
        if let Some(after) = rest.strip_prefix("\\d{") {
            let (count, after) = after.split_once('}')?;
            let count: usize = count.parse().ok().filter(|count| *count <= DIGITS_MAX)?;
            append(&mut found, &"#".repeat(count));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\d") {
            append(&mut found, "#");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (class, after) = after.split_once(']')?;
            if class.is_empty() || class.starts_with('^') || class.chars().any(|c| "\\*#".contains(c)) {
                return None;
            }
            // A minus between two others is a range.
            if class.trim_matches('-').contains('-') {
                return None;
            }
            let each = class.chars().flat_map(|c| found.iter().map(move |found| format!("{found}{c}")));
            found = each.collect();
            rest = after;
        } else if rest == "$" {
            return Some(found);
        } else if rest.is_empty() {
            append(&mut found, "*");
            return Some(found);
        } else {
            let escaped = rest.strip_prefix('\\');
            let mut characters = escaped.unwrap_or(rest).chars();
            let character = characters.next()?;
            let is_plain = match escaped {
                Some(_) => character.is_ascii_punctuation(),
                None => character.is_alphanumeric() || "-_/:@= ".contains(character),
            };
            if !is_plain || "*#".contains(character) {
                return None;
            }
            append(&mut found, character.encode_utf8(&mut [0; 4]));
            rest = characters.as_str();
        }
        // What may follow a character changes what it means.
        if rest.starts_with(['?', '*', '+', '{', '|']) {
            return None;
        }
    }
}

/// More digits in a row than any name has.
const DIGITS_MAX: usize = 20;

fn append(patterns: &mut [String], text: &str) {
    patterns.iter_mut().for_each(|pattern| pattern.push_str(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_it_says_and_nothing_else() {
        let cases = [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o", true),
            ("*haiku*", "claude-3-haiku-1", true),
            ("*-mini", "o4-mini", true),
            ("*-mini", "o4-mini-high", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("x-####-##", "x-2026-11", true),
            ("x-####-##", "x-2026-1a", false),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_long_time() {
        assert!(!matches(&"a*".repeat(100), &"a".repeat(99)));
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(10_000)));
    }

    #[test]
    fn plain_regular_expressions_become_patterns_and_others_do_not() {
        let cases: [(&str, Option<&[&str]>); 9] = [
            (r"^gpt-6\.1-sol-\d{4}-\d{2}-\d{2}$", Some(&["gpt-6.1-sol-####-##-##"])),
            (r"^claude-opus-5[-@]\d{8}$", Some(&["claude-opus-5-########", "claude-opus-5@########"])),
            (r"^gemini-4-argon-\d", Some(&["gemini-4-argon-#*"])),
            (r"^grok-4\.5\[fast=true\]$", Some(&["grok-4.5[fast=true]"])),
            (r"^(?!.*-tts)$", None),
            (r"^a?$", None),
            (r"^a.b$", None),
            (r"^[a-z]$", None),
            ("gpt", None),
        ];
        for (regex, expected) in cases {
            let expected = expected.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(from_regex(regex), expected, "{regex}");
        }
    }
}
