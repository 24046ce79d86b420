//! E-mail addresses, as people write them: `name@domain.tld`, in letters of any script.
//!
//! What only looks like one is left out: user and password in a URL, `git@host`, handles (`@name@host`),
//! pictures (`icon@2x.png`), versions (`left-pad@1.3.0`), calls of methods (`a@b.sum()`). Quoted names and
//! addresses by number are not found.

use memchr::memchr_iter;

/// The most characters of the part before the `@`.
const LOCAL_MAX: usize = 64;
/// The most characters of the part after it.
const DOMAIN_MAX: usize = 254;

/// Endings of pictures that are drawn for several resolutions; no top-level domain is called so.
const PICTURES: [&str; 6] = ["gif", "jpeg", "jpg", "png", "svg", "webp"];

/// How many addresses a text holds.
pub fn count(text: &str) -> u64 {
    let ats = memchr_iter(b'@', text.as_bytes());
    ats.filter(|at| is_address(text, *at)).count() as u64
}

fn is_address(text: &str, at: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..at), text.get(at.saturating_add(1)..)) else {
        return false;
    };
    is_local(before) && is_domain(after)
}

fn is_domain(after: &str) -> bool {
    let is_part = |char: &char| char.is_alphanumeric() || matches!(char, '-' | '.');
    let run: String = after.chars().take_while(is_part).take(DOMAIN_MAX + 1).collect();
    if run.chars().count() > DOMAIN_MAX || after.get(run.len()..).is_some_and(|next| next.starts_with('(')) {
        return false;
    }
    // A sentence may end here.
    let labels: Vec<&str> = run.trim_end_matches(['.', '-']).split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let Some((top, [_, ..])) = labels.split_last() else { return false };
    labels.iter().all(is_label) && is_top_level(top)
}

fn is_top_level(label: &str) -> bool {
    let letters = label.chars().all(char::is_alphabetic) && label.chars().nth(1).is_some();
    let picture = PICTURES.iter().any(|picture| picture.eq_ignore_ascii_case(label));
    label.starts_with("xn--") || (letters && !picture)
}

fn is_local(before: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | '+' | '%' | '\'');
    let start = before.char_indices().rev().take(LOCAL_MAX + 1).take_while(|(_, char)| is_part(*char)).last();
    let Some((start, _)) = start else { return false };
    let (Some(outside), Some(local)) = (before.get(..start), before.get(start..)) else { return false };
    let name = local.trim_start_matches(['.', '-', '\'', '%']);
    let is_name = local.chars().nth(LOCAL_MAX).is_none() && name.chars().any(char::is_alphanumeric);
    is_name && !name.ends_with('.') && name != "git" && !outside.ends_with('@') && !is_in_url(outside)
}

/// Whether what follows is still the part of a URL that says who asks.
fn is_in_url(outside: &str) -> bool {
    let ends = |char: char| char.is_whitespace() || matches!(char, '/' | '"' | '\'' | '<' | '>' | '?' | '#');
    let end = outside.char_indices().rev().take(LOCAL_MAX).find(|(_, char)| ends(*char));
    end.and_then(|(end, _)| outside.get(..=end)).is_some_and(|outside| outside.ends_with("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found() {
        let cases = [
            ("bob@example.com", 1),
            ("Write to Bob.Smith+news@mail.example.co.uk.", 1),
            ("<o'brien@example.ie>, \"x_y-z@ex-ample.org\"; 'q@example.net'", 3),
            ("mailto:bob@example.com?subject=x", 1),
            ("email=bob@example.com&x=1", 1),
            ("[bob@example.com](mailto:bob@example.com)", 2),
            ("https://example.com/unsubscribe/bob@example.com", 1),
            ("https://example.com/?u=bob@example.com", 1),
            ("BOB@EXAMPLE.COM", 1),
            ("müller@exämple.de", 1),
            ("邮箱zhang@example.com。", 1),
            ("用户@例子.广告", 1),
            ("bob@xn--exmple-cua.com bob@example.xn--p1ai", 2),
            ("bob@example.com...", 1),
            ("a@b.co,c@d.io;e@f.museum", 3),
            ("bob@example.com:hunter2", 1),
            ("root@sub.domain.with.many.labels.example.org", 1),
            ("{\"to\":\"bob@example.com\"}", 1),
            ("1234@example.com", 1),
            ("100%bob@example.com", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_not() {
        let long = format!("{}@example.com", "a".repeat(65));
        let long_domain = format!("a@{}.com", "a.".repeat(130));
        let cases = [
            "@",
            "bob@",
            "@example.com",
            "bob@localhost",
            "bob @example.com",
            "bob@ example.com",
            "meet @ example.com",
            "left-pad@1.3.0",
            "lodash@4.17.21/index.js",
            "actions/checkout@v4",
            "@scope/package@2.0.0-beta.1",
            "icon@2x.png icon@3x.JPG",
            "git@github.com:owner/repository.git",
            "ssh://git@github.com/owner/repository",
            "https://user:secret@example.com/path",
            "postgres://app@db.example.com/main",
            "@user@mastodon.example",
            "weights@x.mean() a@b.sum(axis)",
            "x = a@b.T",
            "@property.setter",
            "bob@.com",
            "bob@-example.com",
            "bob@example..com",
            "bob.@example.com",
            "bob@example.c",
            "bob@10.0.0.1",
            "...@example.com",
            &long,
            &long_domain,
        ];
        for text in cases {
            assert_eq!(count(text), 0, "{text}");
        }
    }
}
