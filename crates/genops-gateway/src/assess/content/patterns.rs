//! Patterns: regular expressions that the configuration gives.
//!
//! The crate `regex` bounds the time of one search by the text's length times the pattern's size, which is
//! bounded here. Looking for match after match has no such bound (`a(.*z)?` on a row of `a`): therefore no
//! more than [`COUNTED_MAX`] matches are looked for.
//!
//! All patterns together are looked for once, to know which of them to count. No fast automaton knows the
//! borders of words (`\b`) in text outside ASCII, so for that they are left out: what matches with a border
//! also matches without.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use super::{LookedFor, Place, Problem};

/// As many matches of one pattern are counted in one text; where there are more, they are not counted.
pub const COUNTED_MAX: usize = 100;

/// The most memory that one compiled pattern may use, in bytes.
const COMPILED_MAX: usize = 1 << 20;

/// The patterns of all rules.
#[derive(Debug)]
pub struct Patterns {
    /// All of them without borders of words: says in one pass which can be in a text at all.
    set: RegexSet,
    /// Each with its rule.
    each: Vec<(usize, Regex)>,
}

impl Patterns {
    /// Makes them ready; `None` where that is not possible, for a reason that is among the `problems` then.
    pub fn compile(rules: &[LookedFor], problems: &mut Vec<Problem>) -> Option<Self> {
        let (mut each, mut borderless) = (Vec::new(), Vec::new());
        for (owner, rule) in rules.iter().enumerate() {
            for (place, pattern) in rule.patterns.iter().enumerate() {
                match one(pattern) {
                    Ok((regex, parsed)) => {
                        each.push((owner, regex));
                        borderless.push(without_borders(parsed).to_string());
                    }
                    Err((offset, message)) => {
                        let place = Place::Pattern(owner, place);
                        problems.push(Problem { place, offset, message });
                    }
                }
            }
        }
        let all_max = COMPILED_MAX.saturating_mul(each.len().max(1));
        let set = RegexSetBuilder::new(borderless).size_limit(all_max).build();
        match set {
            Ok(set) => Some(Self { set, each }),
            Err(error) => {
                let message = format!("the patterns do not go together: {error}; remove some");
                problems.push(Problem::new(Place::Rules, &message));
                None
            }
        }
    }

    /// Calls `found` with the rule of each pattern that stands in the text, if it is among those that apply,
    /// and how often it does.
    pub fn count(&self, text: &str, applies: &[bool], mut found: impl FnMut(usize, u64)) {
        if self.each.is_empty() {
            return;
        }
        for (rule, regex) in self.set.matches(text).into_iter().filter_map(|place| self.each.get(place)) {
            if super::says(applies, *rule) {
                found(*rule, regex.find_iter(text).take(COUNTED_MAX).count() as u64);
            }
        }
    }
}

fn one(pattern: &str) -> Result<(Regex, Hir), (Option<usize>, String)> {
    let parsed = regex_syntax::parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => (Some(error.span().start.offset), error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (Some(error.span().start.offset), error.kind().to_string()),
        other => (None, other.to_string()),
    })?;
    if parsed.properties().minimum_len() == Some(0) {
        return Err((
            None,
            "the pattern matches where nothing stands; require at least one character".to_owned(),
        ));
    }
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_MAX).build();
    let regex = built.map_err(|error| match error {
        regex::Error::CompiledTooBig(max) => {
            (None, format!("the pattern takes more than {max} bytes when compiled; use smaller repetitions"))
        }
        other => (None, other.to_string()),
    })?;
    Ok((regex, parsed))
}

/// The pattern without the borders of words that Unicode has. The parser bounds how deep it is.
fn without_borders(pattern: Hir) -> Hir {
    match pattern.into_kind() {
        HirKind::Look(
            Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode,
        )
        | HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
            Hir::repetition(Repetition { min, max, greedy, sub: Box::new(without_borders(*sub)) })
        }
        HirKind::Capture(capture) => without_borders(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(without_borders).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(without_borders).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(patterns: &[&str]) -> [LookedFor; 1] {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        [LookedFor { patterns, ..LookedFor::default() }]
    }

    #[test]
    fn each_pattern_is_counted_by_itself_up_to_a_limit() {
        let patterns = Patterns::compile(&rule(&[r"[a-z]\d+", r"(?i)abc", r"\d"]), &mut Vec::new()).unwrap();
        let count = |text: &str| {
            let mut count = 0;
            patterns.count(text, &[true], |_, found| count += found);
            count
        };
        assert_eq!(count("a12 ABC abC Abc b"), 1 + 3 + 2);
        assert_eq!(count("nothing"), 0);
        assert_eq!(count(&"5".repeat(1000)), COUNTED_MAX as u64);
        patterns.count("a1", &[false], |_, _| panic!("the rule does not apply"));
    }

    #[test]
    fn the_set_leaves_nothing_out_that_a_pattern_finds() {
        let patterns = [
            r"\bé(t|T)é\b",
            r"(?i)\bkey\b\s*=",
            r"^x\b|\by$",
            r"(?m)^\d+(?:\.\d{2})?$",
            r"a{2,3}?b|\Bc",
            r"[^\W\d]{3}\b",
            r"\b{start}ab\b{end}",
            r"(?s)a.z",
            r"(?-u:\b)q+",
            r"(?x) a [\ ] b # said",
        ];
        let texts = [
            "été",
            "étés",
            "KEY =",
            "monkey=",
            "x y",
            "xy",
            "1\n2.50\n",
            "aab",
            "abc",
            "c",
            "éa1",
            "ab",
            "cab",
            "a\nz",
            "qq",
            "éq",
            "a b",
        ];
        let compiled = Patterns::compile(&rule(&patterns), &mut Vec::new()).unwrap();
        for (pattern, text) in patterns.iter().flat_map(|pattern| texts.map(|text| (pattern, text))) {
            let alone = Patterns::compile(&rule(&[pattern]), &mut Vec::new()).unwrap();
            let mut count = 0;
            alone.count(text, &[true], |_, found| count += found);
            let expected = Regex::new(pattern).unwrap().find_iter(text).count();
            assert_eq!(count, expected as u64, "{pattern} in {text}");
        }
        for text in texts {
            let mut count = 0;
            compiled.count(text, &[true], |_, found| count += found);
            let expected: usize =
                patterns.iter().map(|pattern| Regex::new(pattern).unwrap().find_iter(text).count()).sum();
            assert_eq!(count, expected as u64, "{text}");
        }
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_place() {
        let cases = [
            ("ab(c", Some(2), "unclosed group"),
            ("[z-a]", Some(1), "invalid character class range"),
            ("a**(", Some(3), "unclosed group"),
            (r"é\p{Nope}", Some(2), "Unicode property not found"),
            (r"(?-u)\xff", Some(5), "UTF-8"),
            ("(?=a)b", Some(0), "look-around"),
            ("a*", None, "at least one character"),
            (r"\b", None, "at least one character"),
            ("", None, "at least one character"),
            (r"\w{5000}", None, "bytes when compiled"),
        ];
        for (pattern, offset, message) in cases {
            let mut problems = Vec::new();
            Patterns::compile(&rule(&["fine", pattern]), &mut problems);
            let [problem] = &problems[..] else { panic!("{pattern}: {problems:?}") };
            assert_eq!(
                (problem.place, problem.offset),
                (Place::Pattern(0, 1), offset),
                "{pattern}: {problem:?}"
            );
            assert!(problem.message.contains(message), "{pattern}: {}", problem.message);
        }
    }

    #[test]
    fn a_pattern_that_has_to_look_far_for_each_match_takes_no_longer_for_it() {
        // Each search reads to the end before it knows; without the limit this is 2·10^9 steps.
        let patterns = Patterns::compile(&rule(&["a(.*z)?"]), &mut Vec::new()).unwrap();
        patterns.count(&"a".repeat(1 << 16), &[true], |_, found| assert_eq!(found, COUNTED_MAX as u64));
    }
}
