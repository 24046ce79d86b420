//! Keywords: words and phrases, found whatever their case, where they stand as words of their own.
//!
//! Text and keywords are folded alike: to one case, to one space for any white space, and without the
//! characters that are only there to break lines. One automaton then finds all keywords of all rules in one
//! pass.
//!
//! A keyword that begins or ends with a letter or digit does not match within a longer word. Scripts that are
//! written without spaces (Chinese, Japanese, Thai, …), and Korean, which joins particles to its words, have
//! no such border. Letters with accents of their own and with combining ones are not the same here.

use aho_corasick::AhoCorasick;
use regex_syntax::is_word_character;

use super::{LookedFor, Place, Problem};

/// The keywords of all rules.
#[derive(Debug)]
pub struct Keywords {
    automaton: AhoCorasick,
    /// The rule of each.
    rules: Vec<usize>,
}

impl Keywords {
    /// Makes them ready; `None` where that is not possible, for a reason that is among the `problems` then.
    pub fn compile(rules: &[LookedFor], problems: &mut Vec<Problem>) -> Option<Self> {
        let (mut folded, mut owners) = (Vec::new(), Vec::new());
        for (owner, rule) in rules.iter().enumerate() {
            for (place, keyword) in rule.keywords.iter().enumerate() {
                let keyword = fold(keyword).trim_matches(' ').to_owned();
                if keyword.is_empty() {
                    let message = "the keyword is empty; write a word or remove it";
                    problems.push(Problem::new(Place::Keyword(owner, place), message));
                }
                folded.push(keyword);
                owners.push(owner);
            }
        }
        match AhoCorasick::new(folded) {
            Ok(automaton) => Some(Self { automaton, rules: owners }),
            Err(error) => {
                let message = format!("there are too many keywords: {error}; remove some");
                problems.push(Problem::new(Place::Rules, &message));
                None
            }
        }
    }

    /// A search for those of the rules that apply.
    pub fn search(&self, applies: &[bool]) -> Search<'_> {
        let asked = self.rules.iter().any(|rule| super::says(applies, *rule));
        Search { keywords: asked.then_some(self), folded: String::new() }
    }
}

/// A search through one text after the other.
pub struct Search<'a> {
    keywords: Option<&'a Keywords>,
    folded: String,
}

impl Search<'_> {
    /// Calls `found` with the rule of each keyword, each time that it stands in the text.
    pub fn count(&mut self, text: &str, mut found: impl FnMut(usize)) {
        let Some(keywords) = self.keywords else { return };
        self.folded.clear();
        fold_into(text, &mut self.folded);
        for at in keywords.automaton.find_overlapping_iter(&*self.folded) {
            if stands_alone(&self.folded, at.start(), at.end()) {
                keywords.rules.get(at.pattern().as_usize()).into_iter().for_each(|rule| found(*rule));
            }
        }
    }
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

fn fold_into(text: &str, folded: &mut String) {
    let mut rest = text;
    loop {
        let (plain, others) = rest.split_at_checked(plain(rest, folded.ends_with(' '))).unwrap_or((rest, ""));
        folded.push_str(plain);
        let mut chars = others.chars();
        match chars.next() {
            None => break,
            Some(char) if char.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            // Places where a line may break, and where it may not.
            Some('\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}') => {}
            Some(char) if char.is_ascii() || is_unspaced(char) => folded.push(char),
            Some(char) => folded.extend(fold_char(char)),
        }
        rest = chars.as_str();
    }
    folded.make_ascii_lowercase();
}

/// How many bytes stand here that stay as they are but for their case.
fn plain(text: &str, mut after_space: bool) -> usize {
    let is_special = |byte: u8| {
        let again = after_space && byte == b' ';
        after_space = byte == b' ';
        again || !matches!(byte, b' '..=b'~')
    };
    text.bytes().position(is_special).unwrap_or(text.len())
}

/// There and back again, so that `ẞ`, `ß` and `ss` meet, and `Σ`, `σ` and `ς`.
fn fold_char(char: char) -> impl Iterator<Item = char> {
    char.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(keyword), Some(after)) =
        (text.get(..start), text.get(start..end), text.get(end..))
    else {
        return false;
    };
    !joins(before.chars().next_back(), keyword.chars().next())
        && !joins(keyword.chars().next_back(), after.chars().next())
}

/// Whether two neighbours are within one word.
fn joins(left: Option<char>, right: Option<char>) -> bool {
    let within = |char: Option<char>| char.is_some_and(|char| is_word_character(char) && !is_unspaced(char));
    within(left) && within(right)
}

/// Whether the script of a letter sets no space between its words, or joins more to a word.
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{f00}'..='\u{109f}' // Tibetan, Myanmar
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // Hiragana, Katakana
        | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
        | '\u{ac00}'..='\u{d7af}' // Hangul
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(keywords: &[&str], text: &str) -> usize {
        let keywords = keywords.iter().map(|keyword| (*keyword).to_owned()).collect();
        let rules = [LookedFor { keywords, ..LookedFor::default() }];
        let keywords = Keywords::compile(&rules, &mut Vec::new()).unwrap();
        let mut count = 0;
        keywords.search(&[true]).count(text, |rule| count += usize::from(rule == 0));
        count
    }

    #[test]
    fn a_keyword_is_found_where_it_is_a_word_of_its_own() {
        let cases = [
            ("class", "class", 1),
            ("class", "A Class, a CLASS: \"class\"-like (class).", 4),
            ("class", "classified subclass class_name classes class1", 0),
            ("class", "class-action sub-class", 2),
            ("class", "éclass classé", 0),
            ("credit card", "credit card", 1),
            ("credit card", "Credit\n\t card; credit\u{a0}card", 2),
            ("  Credit   Card ", "credit card", 1),
            ("credit card", "credit cards creditcard", 0),
            ("C++", "C++, c++17 and (C++)", 3),
            ("C++", "ABC++", 0),
            ("#secret", "x#secret #secrets", 1),
            (".env", "the .env file, prod.env", 2),
            ("top secret", "top se\u{ad}cret", 1),
            ("straße", "STRASSE Straße STRAẞE", 3),
            ("ΟΔΟΣ", "οδος οδός οδοσ", 2),
            ("ÉCOLE", "école École ecole", 2),
            ("проект", "ПРОЕКТ Проекты", 1),
            ("kelvin", "\u{212a}elvin", 1),
            ("café", "café cafés", 1),
            ("cafe", "cafe\u{301}", 0),
            ("机密", "这是机密文件", 1),
            ("秘密", "これは秘密です", 1),
            ("기밀", "기밀은", 1),
            ("key", "这是key吗", 1),
            ("a", "aaaa a", 1),
        ];
        for (keyword, text, expected) in cases {
            assert_eq!(count(&[keyword], text), expected, "{keyword:?} in {text:?}");
        }
    }

    #[test]
    fn keywords_do_not_hide_each_other() {
        assert_eq!(count(&["credit card", "card", "card number"], "credit card number"), 3);
        assert_eq!(count(&["card", "CARD"], "card"), 2);
        assert_eq!(count(&[], "card"), 0);
    }

    #[test]
    fn a_letter_folds_to_the_same_in_either_case() {
        let cased = |char: &char| !char.to_uppercase().eq(char.to_lowercase());
        for char in ('\0'..=char::MAX).filter(cased) {
            let folded = fold(&char.to_string());
            assert_eq!(fold(&char.to_uppercase().to_string()), folded, "{char:?}");
            assert_eq!(fold(&char.to_lowercase().to_string()), folded, "{char:?}");
            assert_eq!(fold(&folded), folded, "{char:?}");
        }
    }

    #[test]
    fn an_empty_keyword_is_refused() {
        for empty in ["", " \n", "\u{ad}"] {
            let rules = [LookedFor { keywords: vec!["a".into(), empty.into()], ..LookedFor::default() }];
            let mut problems = Vec::new();
            Keywords::compile(&rules, &mut problems);
            assert_eq!(
                problems.iter().map(|problem| problem.place).collect::<Vec<_>>(),
                [Place::Keyword(0, 1)]
            );
        }
    }
}
