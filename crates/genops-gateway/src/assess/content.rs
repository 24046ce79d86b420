//! Content rules: what is looked for in the text of a call, compiled once, and how often it stands there.
//!
//! A rule says keywords, patterns and detectors. What is found is told by rule, kind and number; no text, and
//! no place in it, leaves this module. What follows from a match is not decided here.
//!
//! Every text of the body is looked at by itself ([`texts`] says which those are): no match reaches from one
//! into the next, also not from one part of a message into the part beside it. A text that holds backslashes,
//! as code and JSON within text do, is looked at as it is written and with its [`escapes`] undone, twice if
//! there are such in such; the reading in which a rule finds most of a kind is the one that counts.
//!
//! The rules are there to notice what slips in. They do not hold against somebody who hides it: by other
//! spelling, by letters that look alike, by spreading it over messages.

mod detect;
mod escapes;
mod keywords;
mod patterns;
mod texts;

use std::collections::BTreeMap;

use detect::ApiKeys;
use genops_core::rule::ContentKind;
use keywords::Keywords;
use patterns::Patterns;

pub use detect::Detector;
pub use patterns::COUNTED_MAX;

/// What a rule looks for; any of it is a match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedFor {
    /// Words and phrases, in any case and with any space between the words, that stand as words of their own.
    pub keywords: Vec<String>,
    /// Regular expressions, as the crate `regex` reads them. They are as particular about case as they are
    /// written.
    pub patterns: Vec<String>,
    /// What is known by its form.
    pub detect: Vec<Detector>,
}

/// What was found, how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// The rule, by its place among those that were compiled.
    pub rule: usize,
    /// What kind of thing it is.
    pub kind: ContentKind,
    /// How often it stands there; from 1. For patterns see [`COUNTED_MAX`].
    pub count: u64,
}

/// Something that cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// In a pattern, where its fault begins: bytes from its start, at most its length. `None` where it is no one place.
    pub offset: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Where something stands that cannot be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the rules as a whole.
    Rules,
    /// The rule of this place.
    Rule(usize),
    /// The keyword of a rule, both by their place.
    Keyword(usize, usize),
    /// The pattern of a rule, both by their place.
    Pattern(usize, usize),
}

/// Rules, ready to use.
#[derive(Debug)]
pub struct ContentRules {
    keywords: Keywords,
    patterns: Patterns,
    /// The rules that ask for each detector.
    detectors: Vec<(Detector, Vec<usize>)>,
    api_keys: ApiKeys,
    rules: usize,
}

impl ContentRules {
    /// Makes the rules ready; a rule's place in `rules` is what it goes by.
    ///
    /// # Errors
    ///
    /// Everything that cannot be looked for.
    pub fn compile(rules: &[LookedFor]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            if *rule == LookedFor::default() {
                let message = "the rule looks for nothing; give it `keywords`, `patterns` or `detect`";
                problems.push(Problem::new(Place::Rule(place), message));
            }
        }
        let keywords = Keywords::compile(rules, &mut problems);
        let patterns = Patterns::compile(rules, &mut problems);
        let api_keys = ApiKeys::compile(&mut problems);
        match (keywords, patterns, api_keys) {
            (Some(keywords), Some(patterns), Some(api_keys)) if problems.is_empty() => {
                let detectors = Detector::ALL.map(|detector| (detector, asking(detector, rules))).into();
                Ok(Self { keywords, patterns, detectors, api_keys, rules: rules.len() })
            }
            _ => Err(problems),
        }
    }

    /// Looks through the body of a call, as it was sent. Only the rules that `applies` says are looked for.
    ///
    /// The time that it takes grows with the body as a straight line, whatever the body says; so does its
    /// memory, which is a few times the longest text. A body that is no JSON is looked through as far as it
    /// can be.
    ///
    /// The matches are in the order of the rules, and of their kinds within.
    #[must_use]
    pub fn scan(&self, body: &[u8], applies: impl Fn(usize) -> bool) -> Vec<Match> {
        let mut scan = Scan::new(self, (0..self.rules).map(applies).collect());
        texts::each(body, |text| scan.text(text));
        let found = scan.found.0.into_iter();
        found.map(|((rule, kind), count)| Match { rule, kind, count }).collect()
    }
}

fn asking(detector: Detector, rules: &[LookedFor]) -> Vec<usize> {
    let asks = |(place, rule): (usize, &LookedFor)| rule.detect.contains(&detector).then_some(place);
    rules.iter().enumerate().filter_map(asks).collect()
}

impl Problem {
    fn new(place: Place, message: &str) -> Self {
        Self { place, offset: None, message: message.to_owned() }
    }
}

/// How often each rule found each kind.
#[derive(Debug, Default)]
struct Tally(BTreeMap<(usize, ContentKind), u64>);

impl Tally {
    fn add(&mut self, rule: usize, kind: ContentKind, count: u64) {
        if count > 0 {
            let found = self.0.entry((rule, kind)).or_default();
            *found = found.saturating_add(count);
        }
    }

    /// Of two readings of one text, what each has more of.
    fn or_more(&mut self, other: Self) {
        for (what, count) in other.0 {
            let found = self.0.entry(what).or_default();
            *found = count.max(*found);
        }
    }
}

/// One body being looked through.
struct Scan<'a> {
    rules: &'a ContentRules,
    /// Which rules apply.
    applies: Vec<bool>,
    /// The detectors that they ask for.
    detectors: Vec<(Detector, Vec<usize>)>,
    keywords: keywords::Search<'a>,
    found: Tally,
}

/// As many times are the escapes of a text undone.
const UNDONE_MAX: usize = 2;

impl<'a> Scan<'a> {
    fn new(rules: &'a ContentRules, applies: Vec<bool>) -> Self {
        let applying = |asking: &Vec<usize>| -> Vec<usize> {
            asking.iter().copied().filter(|rule| says(&applies, *rule)).collect()
        };
        let detectors = rules.detectors.iter().map(|(detector, asking)| (*detector, applying(asking)));
        let detectors = detectors.filter(|(_, asking)| !asking.is_empty()).collect();
        let keywords = rules.keywords.search(&applies);
        Self { rules, applies, detectors, keywords, found: Tally::default() }
    }

    fn text(&mut self, text: &str) {
        let mut found = self.reading(text);
        let mut undone = escapes::undone(text);
        for _ in 0..UNDONE_MAX {
            let Some(reading) = undone else { break };
            found.or_more(self.reading(&reading));
            undone = escapes::undone(&reading);
        }
        for ((rule, kind), count) in found.0 {
            self.found.add(rule, kind, count);
        }
    }

    fn reading(&mut self, text: &str) -> Tally {
        let Self { rules, applies, detectors, keywords, .. } = self;
        let mut found = Tally::default();
        keywords.count(text, |rule| {
            if says(applies, rule) {
                found.add(rule, ContentKind::Keyword, 1);
            }
        });
        rules.patterns.count(text, applies, |rule, count| found.add(rule, ContentKind::Pattern, count));
        for (detector, asking) in detectors {
            let count = detector.count(text, &rules.api_keys);
            for rule in asking {
                found.add(*rule, detector.kind(), count);
            }
        }
        found
    }
}

fn says(applies: &[bool], rule: usize) -> bool {
    applies.get(rule).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
