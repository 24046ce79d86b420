//! What the rules of `genops.yaml` mean: whom they cover, lists, conditions, content and tiers.
//!
//! Rates and circuits are in [`limits`](super::limits), budgets in [`budgets`](super::budgets).

use std::collections::{BTreeSet, HashSet};

use genops_core::Name;
use genops_core::finding::Mode;
use genops_core::rule::{ConditionRule, ContentKind, ContentRule, Effect, ListRule, OnError};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_spec::ReasonCode;
use http::HeaderName;
use serde_saphyr::Spanned;

use super::Reading;
use crate::assess::condition::Condition;
use crate::assess::content::{ContentRules, Detector, LookedFor, Place, Problem as ContentProblem};
use crate::config::diff::listed;
use crate::config::written::{self, Names, OneOrMore, Text};

/// A day: no call takes longer.
const LATENCY_MS_MAX: u64 = 86_400_000;

impl Reading<'_> {
    /// Names that stand twice in a list.
    pub(super) fn once<'a>(&mut self, what: &str, names: impl Iterator<Item = &'a Text>) {
        let mut known = HashSet::new();
        for name in names {
            if !known.insert(name.value.as_str()) {
                self.problem(name, format!("{what} of this name stands above"));
            }
        }
    }

    /// What a word means that is one of a few; the first where nothing is written.
    pub(super) fn one_of<T: Copy + Default>(
        &mut self,
        field: &str,
        written: Option<&Text>,
        known: &[(&str, T)],
    ) -> T {
        let first = known.first().map(|(_, meaning)| *meaning).unwrap_or_default();
        let Some(text) = written else { return first };
        if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text.value) {
            return *meaning;
        }
        let words: Vec<_> = known.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.problem(text, format!("{field} has to be one of: {}", words.join(", ")));
        first
    }

    /// The mode of a rule: its own, or that of the file.
    pub(super) fn mode(&mut self, written: Option<&Text>) -> Mode {
        match written {
            Some(_) => {
                let modes = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
                self.one_of("`mode`", written, &modes)
            }
            None => self.mode_of_file,
        }
    }

    pub(super) fn selector(&mut self, covers: &written::Covers) -> Selector {
        let fields = [
            (Facet::Team, &covers.team),
            (Facet::Project, &covers.project),
            (Facet::Environment, &covers.environment),
            (Facet::CustomerId, &covers.customer_id),
            (Facet::Feature, &covers.feature),
            (Facet::CostCenter, &covers.cost_center),
            (Facet::SessionId, &covers.session_id),
            (Facet::Key, &covers.key),
            (Facet::Provider, &covers.provider),
            (Facet::Model, &covers.model),
            (Facet::OperationType, &covers.operation_type),
        ];
        fields.into_iter().fold(Selector::default(), |selector, (facet, written)| {
            let names = self.names(&format!("`{facet}`"), written);
            selector.with(facet, names.iter().filter_map(|name| self.covered(facet, name)).collect())
        })
    }

    /// A name that calls may be covered by.
    fn covered(&mut self, facet: Facet, text: &Text) -> Option<Name> {
        let name = self.name(&format!("`{facet}`"), text)?;
        if text.value.ends_with('*') {
            self.problem(text, "`for` takes whole names, not `*` for any rest; list the names");
            return None;
        }
        let known = self.known.values(facet).filter(|known| !known.contains(&text.value));
        let Some(known) = known else { return Some(name) };
        let known: Vec<_> = known.iter().collect();
        let message = format!("there is no {facet} of this name; there is: {}", listed(&known));
        match facet {
            // Somebody may have written the key itself.
            Facet::Key => self.problem_with_secret(text, message),
            _ => self.problem(text, message),
        }
        None
    }

    /// The names that are written, each with its place. A list without any is a problem: a rule whose list was emptied
    /// would cover everybody.
    fn names(&mut self, field: &str, written: &OneOrMore) -> Vec<Text> {
        let Some(names) = &written.0 else { return Vec::new() };
        let text = |value| Text::new(value, names.referenced, names.defined);
        let found = match &names.value {
            Names::One(name) => vec![text(name.clone())],
            Names::AsWritten => self.as_written(names).map(text).into_iter().collect(),
            Names::More(names) => names.clone(),
        };
        if found.is_empty() {
            self.problem(names, format!("{field} lists nothing; name something, or leave it out"));
        }
        found
    }

    /// What stands in the file where this is.
    fn as_written<T>(&self, at: &Spanned<T>) -> Option<String> {
        let span = at.defined.span();
        let (start, length) = (span.byte_offset()?, span.byte_len()?);
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.text.get(start..end).map(str::to_owned)
    }

    pub(super) fn facets(&mut self, written: &OneOrMore) -> Option<Vec<Facet>> {
        let mut facets = Vec::new();
        for text in &self.names("`each`", written) {
            match Facet::ALL.into_iter().find(|facet| facet.as_str() == text.value) {
                Some(facet) if facets.contains(&facet) => self.problem(text, "stands above"),
                Some(facet) => facets.push(facet),
                None => {
                    let known: Vec<_> = Facet::ALL.iter().map(|facet| facet.as_str()).collect();
                    self.problem(text, format!("has to be one of: {}", known.join(", ")));
                    return None;
                }
            }
        }
        Some(facets)
    }

    pub(super) fn list_rules(&mut self, what: &str, written: &[written::Allowed]) -> Vec<ListRule> {
        self.once(what, written.iter().map(|rule| &rule.name));
        let mut rules = Vec::new();
        for rule in written {
            let selector = self.selector(&rule.covers);
            let allow = rule.allow.iter().filter_map(|entry| self.name("an entry", entry)).collect();
            let mode = self.mode(rule.mode.as_ref());
            let name = self.name("`name`", &rule.name);
            rules.extend(name.map(|name| ListRule { name, selector, allow, mode }));
        }
        rules
    }

    pub(super) fn tiers(&mut self, written: &[written::Tier]) -> Vec<SlaRule> {
        self.once("a tier", written.iter().map(|tier| &tier.name));
        let mut tiers = Vec::new();
        for tier in written {
            for millis in [Some(&tier.latency_ms), tier.first_token_ms.as_ref()].into_iter().flatten() {
                if !(1..=LATENCY_MS_MAX).contains(&millis.value) {
                    self.problem(millis, format!("has to be from 1 to {LATENCY_MS_MAX}, which is a day"));
                }
            }
            let misses = [("warn", ExpectedMiss::Warn), ("refuse", ExpectedMiss::Refuse)];
            let expected_miss = self.one_of("`expected_miss`", tier.expected_miss.as_ref(), &misses);
            let selector = self.selector(&tier.covers);
            let mode = self.mode(tier.mode.as_ref());
            let name = self.name("`name`", &tier.name);
            tiers.extend(name.map(|name| SlaRule {
                name,
                selector,
                target_ms: tier.latency_ms.value,
                first_token_target_ms: tier.first_token_ms.as_ref().map(|millis| millis.value),
                expected_miss,
                mode,
            }));
        }
        tiers
    }

    /// The headers that conditions may look at, in lower case.
    pub(super) fn condition_headers(&mut self, written: &[Text]) -> BTreeSet<String> {
        let mut headers = BTreeSet::new();
        for text in written {
            match text.value.parse::<HeaderName>() {
                Ok(http::header::AUTHORIZATION) => {
                    self.problem(text, "holds the caller's key, which no condition may look at");
                }
                Ok(name) => drop(headers.insert(name.as_str().to_owned())),
                Err(_) => self.problem(text, "is not the name of a header"),
            }
        }
        headers
    }

    /// Conditions, each with the expression that was read.
    pub(super) fn conditions(
        &mut self,
        written: &[written::Condition],
        headers: &BTreeSet<String>,
    ) -> Vec<(ConditionRule, Condition)> {
        written.iter().filter_map(|condition| self.condition(condition, headers)).collect()
    }

    fn condition(
        &mut self,
        written: &written::Condition,
        headers: &BTreeSet<String>,
    ) -> Option<(ConditionRule, Condition)> {
        let condition = match Condition::read(&written.when.value, headers) {
            Ok(condition) => Some(condition),
            Err(problems) => {
                for problem in problems {
                    let message = format!(
                        "`when`, line {}, column {}: {}",
                        problem.line, problem.column, problem.message
                    );
                    self.problem(&written.when, message);
                }
                None
            }
        };
        let code = self.code(&written.code);
        let effects = [("deny", true), ("warn", false)];
        let denies = self.one_of("`effect`", written.effect.as_ref(), &effects);
        let refuses =
            self.one_of("`on_error`", written.on_error.as_ref(), &[("refuse", true), ("warn", false)]);
        let selector = self.selector(&written.covers);
        let mode = self.mode(written.mode.as_ref());
        let name = self.name("`name`", &written.name);
        let rule = ConditionRule {
            name: name?,
            selector,
            expression: written.when.value.clone(),
            effect: effect(denies, code?),
            on_error: if refuses { OnError::Refuse } else { OnError::Warn },
            mode,
        };
        Some((rule, condition?))
    }

    /// A code that a condition may give: one of policy's, or one of the organisation's own.
    fn code(&mut self, written: &Text) -> Option<ReasonCode> {
        use ReasonCode::{Extension, PolicyDenyContent, PolicyDenyModel, PolicyDenyRegion};
        let own = [
            ReasonCode::unpriced_model(),
            ReasonCode::unbounded_request(),
            ReasonCode::output_capped(),
            ReasonCode::too_many_shares(),
        ];
        match written.value.parse::<ReasonCode>() {
            Ok(code) if own.contains(&code) => {
                let message =
                    format!("`{code}` is the gateway's own, and says something else; choose another");
                self.problem(written, message);
                None
            }
            Ok(code @ (PolicyDenyModel | PolicyDenyRegion | PolicyDenyContent | Extension(_))) => Some(code),
            _ => {
                let message = "`code` has to be `POLICY_DENY_MODEL`, `POLICY_DENY_REGION`, `POLICY_DENY_CONTENT`, \
                               or `x_` and lower-case letters, digits and underscores";
                self.problem(written, message);
                None
            }
        }
    }

    /// Rules about content, and what looks for all of them at once; none where there are no rules, or bad ones.
    pub(super) fn contents(
        &mut self,
        written: &[written::ContentRule],
    ) -> (Vec<ContentRule>, Option<ContentRules>) {
        let read: Vec<_> = written.iter().filter_map(|rule| self.content(rule)).collect();
        let (rules, looked_for): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        if rules.is_empty() || rules.len() < written.len() {
            return (rules, None);
        }
        match ContentRules::compile(&looked_for) {
            Ok(compiled) => (rules, Some(compiled)),
            Err(problems) => {
                problems.iter().for_each(|problem| self.content_problem(written, problem));
                (rules, None)
            }
        }
    }

    fn content_problem(&mut self, written: &[written::ContentRule], problem: &ContentProblem) {
        let rule = |place: usize| written.get(place);
        let at = match problem.place {
            Place::Rules => rule(0).map(|rule| &rule.name),
            Place::Rule(place) => rule(place).map(|rule| &rule.name),
            Place::Keyword(place, at) => rule(place).and_then(|rule| rule.keywords.get(at)),
            Place::Pattern(place, at) => rule(place).and_then(|rule| rule.patterns.get(at)),
        };
        let message = match problem.offset {
            // Counted from 1, as lines and columns are.
            Some(offset) => {
                format!("the pattern, at byte {}: {}", offset.saturating_add(1), problem.message)
            }
            None => problem.message.clone(),
        };
        if let Some(at) = at {
            self.problem(at, message);
        }
    }

    fn content(&mut self, written: &written::ContentRule) -> Option<(ContentRule, LookedFor)> {
        let mut detectors = Vec::new();
        let mut kinds = Vec::new();
        for text in &written.detect {
            match DETECTORS.iter().find(|(kind, _)| kind.as_str() == text.value) {
                Some((kind, detector)) => {
                    kinds.push(*kind);
                    detectors.push(*detector);
                }
                None => {
                    let known: Vec<_> = DETECTORS.iter().map(|(kind, _)| kind.as_str()).collect();
                    self.problem(text, format!("has to be one of: {}", known.join(", ")));
                }
            }
        }
        let denies = self.one_of("`effect`", written.effect.as_ref(), &[("deny", true), ("warn", false)]);
        let texts = |texts: &[Text]| texts.iter().map(|text| text.value.clone()).collect::<Vec<_>>();
        let selector = self.selector(&written.covers);
        let mode = self.mode(written.mode.as_ref());
        let rule = ContentRule {
            name: self.name("`name`", &written.name)?,
            selector,
            keywords: texts(&written.keywords),
            patterns: texts(&written.patterns),
            detect: kinds,
            effect: effect(denies, ReasonCode::PolicyDenyContent),
            mode,
        };
        let (keywords, patterns) = (rule.keywords.clone(), rule.patterns.clone());
        Some((rule, LookedFor { keywords, patterns, detect: detectors }))
    }
}

const DETECTORS: [(ContentKind, Detector); 4] = [
    (ContentKind::Email, Detector::Email),
    (ContentKind::PaymentCard, Detector::PaymentCard),
    (ContentKind::ApiKey, Detector::ApiKey),
    (ContentKind::PrivateKey, Detector::PrivateKey),
];

const fn effect(denies: bool, code: ReasonCode) -> Effect {
    if denies { Effect::Deny(code) } else { Effect::Warn(code) }
}
