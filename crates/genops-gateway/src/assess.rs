//! What is worked out about a call before the books are asked: conditions over its facts, and what its text holds.
//!
//! The results are facts of the proposal, tagged with the policy that they were worked out under. Nothing is decided
//! here, and no text of a prompt and no value of a header leaves.

pub mod condition;

pub mod content;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use condition::{Condition, Facts};
use content::ContentRules;
use genops_core::awu::Proposal;
use genops_core::policy::{InForce, Policy};
use genops_core::rule::{Assessment, ConditionRule, Found};
use genops_core::{Name, Timestamp};
use http::HeaderMap;

/// Works out the conditions and content rules of one policy.
#[derive(Debug)]
pub struct Assessor {
    conditions: HashMap<Name, Condition>,
    contents: Option<ContentRules>,
    /// The content rules' names, in the order in which they were compiled.
    content_rules: Vec<Name>,
    /// The headers that conditions may look at.
    headers: BTreeSet<String>,
}

/// What is known of a call beside its proposal.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds keys and prompts, which nobody prints")]
pub struct Circumstances<'a> {
    /// Its body, as it was sent.
    pub body: &'a [u8],
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether the answer is to be streamed.
    pub streamed: bool,
    /// When it is looked at.
    pub at: Timestamp,
}

impl Assessor {
    /// For the conditions and content rules of `policy`: `expressions` in the order of its conditions.
    #[must_use]
    pub fn new(
        policy: &Policy,
        expressions: Vec<Condition>,
        contents: Option<ContentRules>,
        headers: BTreeSet<String>,
    ) -> Self {
        let names = policy.conditions.iter().map(|rule| rule.name.clone());
        Self {
            conditions: names.zip(expressions).collect(),
            contents,
            content_rules: policy.contents.iter().map(|rule| rule.name.clone()).collect(),
            headers,
        }
    }

    /// Whether a condition can be worked out from a proposal and a time alone: it looks at no header, and does not ask
    /// whether the answer is streamed.
    #[must_use]
    pub fn knows_from_facts(&self, condition: &Name) -> bool {
        self.conditions.get(condition).is_some_and(|condition| !condition.looks_at_request())
    }

    /// What is found about the conditions of `in_force` that cover the proposal, where nothing else of the call is
    /// known: those that need more [fail](Found::Failed).
    #[must_use]
    pub fn assess_facts(&self, in_force: &InForce, proposal: &Proposal, at: Timestamp) -> Vec<Assessment> {
        let nothing = HeaderMap::new();
        let circumstances = Circumstances { body: &[], headers: &nothing, streamed: false, at };
        self.hold(in_force, proposal, circumstances)
    }

    /// The headers that conditions may look at, in lower case.
    #[must_use]
    pub const fn headers(&self) -> &BTreeSet<String> {
        &self.headers
    }

    /// What is found about the rules of `in_force` that cover the proposal, in their order. A rule that has nothing to
    /// say is left out.
    #[must_use]
    pub fn assess(
        &self,
        in_force: &InForce,
        proposal: &Proposal,
        circumstances: Circumstances<'_>,
    ) -> Vec<Assessment> {
        let mut found = self.hold(in_force, proposal, circumstances);
        found.extend(self.hold_content(in_force, proposal, circumstances.body));
        found
    }

    fn hold(
        &self,
        in_force: &InForce,
        proposal: &Proposal,
        circumstances: Circumstances<'_>,
    ) -> Vec<Assessment> {
        let covering = in_force.conditions_for(proposal);
        if covering.is_empty() {
            return Vec::new();
        }
        let facts = self.facts(proposal, circumstances);
        let assess = |rule: &ConditionRule| {
            // A condition without its expression cannot be worked out; it never passes in silence.
            let holds = self.conditions.get(&rule.name).map(|condition| condition.holds(&facts));
            let found = match holds {
                Some(Ok(false)) => return None,
                Some(Ok(true)) => Found::Holds,
                Some(Err(_)) | None => Found::Failed,
            };
            Some(Assessment { rule: rule.name.clone(), found })
        };
        covering.into_iter().filter_map(assess).collect()
    }

    fn facts<'a>(&'a self, proposal: &'a Proposal, circumstances: Circumstances<'a>) -> Facts<'a> {
        // A header that stands there more than once is one value, as HTTP has it: nobody hides a second one.
        let header = |name: &'a String| {
            let mut values = circumstances.headers.get_all(name.as_str()).iter();
            let first = String::from_utf8_lossy(values.next()?.as_bytes());
            let joined = values.fold(first, |joined, value| {
                Cow::Owned(format!("{joined}, {}", String::from_utf8_lossy(value.as_bytes())))
            });
            Some((name.as_str(), joined))
        };
        Facts {
            proposal,
            streamed: circumstances.streamed,
            time: circumstances.at,
            headers: self.headers.iter().filter_map(header).collect(),
        }
    }

    fn hold_content(&self, in_force: &InForce, proposal: &Proposal, body: &[u8]) -> Vec<Assessment> {
        let covering = in_force.contents_for(proposal);
        let (Some(contents), false) = (&self.contents, covering.is_empty()) else { return Vec::new() };
        let applies = |place: usize| {
            let name = self.content_rules.get(place);
            covering.iter().any(|rule| Some(&rule.name) == name)
        };
        let matches = contents.scan(body, applies).into_iter();
        let assess = |found: content::Match| {
            let rule = self.content_rules.get(found.rule)?.clone();
            Some(Assessment { rule, found: Found::Content { kind: found.kind, count: found.count } })
        };
        matches.filter_map(assess).collect()
    }
}
