//! What is otherwise about the policy: rules, rates and tiers. Circuits stand with their providers, budgets in
//! [`budgets`](super::budgets).

use std::time::Duration;

use genops_core::finding::Mode;
use genops_core::policy::{Ceilings, Policy};
use genops_core::rate::{Flow, Measure, RateLimit, RateRule};
use genops_core::rule::{ConditionRule, ContentRule, Effect, ListRule, OnError};
use genops_core::selector::{Clause, Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::{Amount, Name};

use super::{Changes, Comparing, Entry, LISTED_MAX, Section, listed, one_line, or};

const FIRST_IS_NAMED: &str = "where several refuse, the first of them is named";
const FIRST_GIVES_CODE: &str = "where several speak up, the first that refuses gives the reason code";
const FIRST_IS_TIER: &str = "the first that covers a call is its tier";

/// Compares the policies.
pub(super) fn compare(changes: &mut Changes, old: &Policy, new: &Policy) {
    let Policy {
        origin: _,          // How it was written.
        accounting_unit: _, // Nobody can configure it.
        zone_rules: _,      // They come with the program.
        remember_ns,
        ceilings,
        mode: of_file,
        models,
        regions,
        conditions,
        contents,
        circuits: _, // With their providers.
        rates,
        slas,
        budgets,
    } = old;
    changes.one(Section::Mode, None, |it| {
        let means = match new.mode {
            Mode::Enforce => "calls that cannot be bounded or priced are refused",
            Mode::Observe => "calls that cannot be bounded or priced are warned about, and run",
        };
        it.field("", of_file, &new.mode, |mode| word(*mode).to_owned(), means);
    });
    let of = |rules: &[ListRule], what| -> Vec<_> {
        rules.iter().cloned().map(|rule| Allowed { rule, what }).collect()
    };
    let (before, after) = (of(models, MODELS), of(&new.models, MODELS));
    changes.each_in_order(Section::ModelRule, &before, &after, FIRST_IS_NAMED);
    let (before, after) = (of(regions, REGIONS), of(&new.regions, REGIONS));
    changes.each_in_order(Section::RegionRule, &before, &after, FIRST_IS_NAMED);
    changes.each_in_order(Section::Condition, conditions, &new.conditions, FIRST_GIVES_CODE);
    changes.each_in_order(Section::ContentRule, contents, &new.contents, FIRST_IS_NAMED);
    changes.each_in_order(Section::Rate, rates, &new.rates, FIRST_IS_NAMED);
    changes.each_in_order(Section::Budget, budgets, &new.budgets, FIRST_IS_NAMED);
    changes.each_in_order(Section::Tier, slas, &new.slas, FIRST_IS_TIER);
    new_places(changes, slas, &new.slas);
    changes.one(Section::Limits, None, |it| {
        let hours = |nanos: &u64| format!("{} h", Duration::from_nanos(*nanos).as_secs() / 3_600);
        it.field("idempotency keys are remembered for", remember_ns, &new.remember_ns, hours, "");
        let Ceilings { cells, rate_shares, idempotency_keys, open_awus, one_key_percent } = ceilings;
        let of = &new.ceilings;
        it.field("idempotency keys at a time", idempotency_keys, &of.idempotency_keys, u64::to_string, "");
        it.field("open AWUs at a time", open_awus, &of.open_awus, u64::to_string, "");
        let percent = |percent: &u64| format!("{percent} %");
        let share = "of idempotency keys and open AWUs, one key takes up at most";
        it.field(share, one_key_percent, &of.one_key_percent, percent, "");
        it.field("cells with which no share is opened", cells, &of.cells, u64::to_string, "");
        it.field("shares of rates at a time", rate_shares, &of.rate_shares, u64::to_string, "");
    });
}

/// A tier that is added takes the calls that it covers away from those behind it.
fn new_places(changes: &mut Changes, old: &[SlaRule], new: &[SlaRule]) {
    for (place, tier) in new.iter().enumerate() {
        let is_new = !old.iter().any(|before| before.name == tier.name);
        if let (true, Some(next)) = (is_new, new.get(place.saturating_add(1))) {
            changes.one(Section::Tier, Some(tier.name.as_str()), |it| {
                it.say(format!("it stands before {}: {FIRST_IS_TIER}", next.name));
            });
        }
    }
}

// === what rules have in common ===

/// A mode, and what it means that it changed; `of` names the part that has it.
pub(super) fn mode(it: &mut Comparing<'_>, of: &str, old: Mode, new: Mode) {
    let means = match new {
        Mode::Observe => "no call is refused by it any more, it warns",
        Mode::Enforce => "it refuses where it only warned",
    };
    if old != new {
        it.say(format!("{of}from {} to {}: {means}", word(old), word(new)));
    }
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    }
}

/// What is said of a rule that only warns.
pub(super) const fn observing(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "",
        Mode::Observe => " (observed: it only warns)",
    }
}

pub(super) fn covers(it: &mut Comparing<'_>, old: &Selector, new: &Selector) {
    for facet in Facet::ALL {
        match (values(old, facet), values(new, facet)) {
            (None, None) => {}
            (None, Some(values)) => it.say(format!("covers only {facet} {} now", listed(&values))),
            (Some(_), None) => it.say(format!("covers every {facet} now, and calls without one")),
            (Some(old), Some(new)) => {
                it.items(&format!("covers {facet}:"), old.into_iter(), new.into_iter());
            }
        }
    }
}

fn values(selector: &Selector, facet: Facet) -> Option<Vec<&str>> {
    let clause = selector.clauses().iter().find(|clause| clause.facet == facet)?;
    Some(clause.values.iter().map(Name::as_str).collect())
}

/// Whom a rule concerns: `team search, environment dev or test`.
pub(super) fn whom(selector: &Selector) -> String {
    let clauses = selector.clauses().iter().map(|Clause { facet, values }| {
        let names: Vec<_> = values.iter().take(LISTED_MAX).map(Name::as_str).collect();
        let others = if values.len() > LISTED_MAX { " or others" } else { "" };
        format!("{facet} {}{others}", names.join(" or "))
    });
    let clauses: Vec<_> = clauses.collect();
    if clauses.is_empty() { "all calls".to_owned() } else { clauses.join(", ") }
}

fn effect(it: &mut Comparing<'_>, old: &Effect, new: &Effect) {
    it.field("effect", old, new, in_words, "");
}

fn in_words(effect: &Effect) -> String {
    match effect {
        Effect::Deny(code) => format!("refused with {code}"),
        Effect::Warn(code) => format!("warned about with {code}"),
    }
}

// === lists ===

/// What a list is of.
const MODELS: &str = "model";
const REGIONS: &str = "region";

/// A list of models, or of regions.
struct Allowed {
    rule: ListRule,
    what: &'static str,
}

impl Entry for Allowed {
    fn name(&self) -> &str {
        self.rule.name.as_str()
    }

    fn added(&self) -> String {
        let ListRule { name: _, selector, allow, mode } = &self.rule;
        let names: Vec<_> = allow.iter().map(Name::as_str).collect();
        let (who, what) = (whom(selector), self.what);
        format!("{who} may use no {what} but {}{}", listed(&names), observing(*mode))
    }

    fn removed(&self) -> String {
        format!("{} may now use every {} that no other rule forbids", whom(&self.rule.selector), self.what)
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let ListRule { name: _, selector, allow, mode: its_mode } = &self.rule;
        covers(it, selector, &new.rule.selector);
        let [old, now] = [allow, &new.rule.allow].map(|of| of.iter().map(Name::as_str));
        it.items("allows:", old, now);
        mode(it, "", *its_mode, new.rule.mode);
    }
}

// === conditions and content ===

impl Entry for ConditionRule {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        let Self { name: _, selector, expression, effect, on_error, mode } = self;
        let (said, when, who) = (in_words(effect), one_line(expression), whom(selector));
        let failed = failed(on_error);
        format!("{said} where {when}, for {who}; {FAILED} {failed}{}", observing(*mode))
    }

    fn removed(&self) -> String {
        format!("not {} by it any more, for {}", in_words(&self.effect), whom(&self.selector))
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Self { name: _, selector, expression, effect: its_effect, on_error, mode: its_mode } = self;
        covers(it, selector, &new.selector);
        if *expression != new.expression {
            it.say(format!("when changed: it speaks up where {}", one_line(&new.expression)));
        }
        effect(it, its_effect, &new.effect);
        it.field(FAILED, on_error, &new.on_error, failed, "");
        mode(it, "", *its_mode, new.mode);
    }
}

const FAILED: &str = "where it cannot be worked out, calls are";

fn failed(on_error: &OnError) -> String {
    match on_error {
        OnError::Refuse => "refused".to_owned(),
        OnError::Warn => "warned about".to_owned(),
    }
}

impl Entry for ContentRule {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        let Self { name: _, selector, keywords, patterns, detect, effect, mode } = self;
        let kinds = detect.iter().map(|kind| kind.as_str().to_owned());
        let sought: Vec<_> =
            keywords.iter().chain(patterns).map(|text| one_line(text)).chain(kinds).collect();
        let (said, sought, who) = (in_words(effect), listed(&sought), whom(selector));
        format!("{said} where a prompt holds any of: {sought}; for {who}{}", observing(*mode))
    }

    fn removed(&self) -> String {
        format!("nothing is looked for by it any more, for {}", whom(&self.selector))
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Self { name: _, selector, keywords, patterns, detect, effect: its_effect, mode: its_mode } = self;
        covers(it, selector, &new.selector);
        let [old, now] = [keywords, &new.keywords].map(|of| of.iter().map(String::as_str));
        it.items("keywords:", old, now);
        let [old, now] = [patterns, &new.patterns].map(|of| of.iter().map(String::as_str));
        it.items("patterns:", old, now);
        let [old, now] = [detect, &new.detect].map(|of| of.iter().map(|kind| kind.as_str()));
        it.items("detects:", old, now);
        effect(it, its_effect, &new.effect);
        mode(it, "", *its_mode, new.mode);
    }
}

// === rates ===

impl Entry for RateRule {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        let Self { name: _, selector, each, limit, mode } = self;
        let each = if each.is_empty() { String::new() } else { format!(", each {}", facets(each)) };
        format!("{} for {}{each}{}", limit_in_words(limit), whom(selector), observing(*mode))
    }

    fn removed(&self) -> String {
        format!("only the other rates limit {}", whom(&self.selector))
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Self { name: _, selector, each, limit, mode: its_mode } = self;
        covers(it, selector, &new.selector);
        it.field("each", each, &new.each, |each| facets(each), "each begins with a full burst");
        rate_limit(it, limit, &new.limit, &new.selector);
        mode(it, "", *its_mode, new.mode);
    }
}

pub(super) fn facets(each: &[Facet]) -> String {
    match each {
        [] => "all together".to_owned(),
        each => each.iter().map(|facet| facet.as_str()).collect::<Vec<_>>().join(" and "),
    }
}

fn limit_in_words(limit: &RateLimit) -> String {
    match limit {
        RateLimit::InFlight { calls } => format!("{calls} calls in flight"),
        RateLimit::Flow(Flow { measure, amount, per, burst }) => {
            format!("{amount} {} a {}, {burst} at once", measure.as_str(), per.as_str())
        }
    }
}

fn rate_limit(it: &mut Comparing<'_>, old: &RateLimit, new: &RateLimit, selector: &Selector) {
    let like = |one: &Flow, other: &Flow| (one.measure, one.per) == (other.measure, other.per);
    match (old, new) {
        (RateLimit::InFlight { calls: old }, RateLimit::InFlight { calls: new }) => {
            let means = difference(Amount::from_whole(*old), Amount::from_whole(*new), selector);
            it.field("calls in flight", old, new, u64::to_string, &means);
        }
        (RateLimit::Flow(old), RateLimit::Flow(new)) if like(old, new) => {
            let Flow { measure, amount, per, burst } = old;
            let of = format!("{} a {}", measure.as_str(), per.as_str());
            if amount != &new.amount {
                let means = difference(*amount, new.amount, selector);
                it.say(format!("limit {amount} -> {} {of}: {means}", new.amount));
            }
            let means = match measure {
                Measure::Requests => "so many calls may come at once after a pause",
                Measure::Tokens | Measure::Usd => "so much may come at once after a pause",
            };
            it.field("burst", burst, &new.burst, Amount::to_string, means);
        }
        _ => it.field("limit", old, new, limit_in_words, ""),
    }
}

/// By how much there is more or less.
pub(super) fn difference(old: Amount, new: Amount, selector: &Selector) -> String {
    let (more, difference) = match new >= old {
        true => ("more", new.checked_sub(old)),
        false => ("less", old.checked_sub(new)),
    };
    // Neither is below nothing, so that there is a difference.
    format!("{} {more} for {}", difference.unwrap_or_default(), whom(selector))
}

// === tiers ===

impl Entry for SlaRule {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        let Self { name: _, selector, target_ms, first_token_target_ms, expected_miss, mode } = self;
        let first = first_token_target_ms.map(|millis| format!(", {millis} ms to the first token"));
        let (first, who, miss) = (first.unwrap_or_default(), whom(selector), miss(expected_miss));
        format!(
            "{target_ms} ms for {who}{first}; where a miss is expected, calls are {miss}{}",
            observing(*mode)
        )
    }

    fn removed(&self) -> String {
        format!("for {} the next tier counts that covers a call, if one does", whom(&self.selector))
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Self { name: _, selector, target_ms, first_token_target_ms, expected_miss, mode: its_mode } =
            self;
        covers(it, selector, &new.selector);
        it.field("latency in ms", target_ms, &new.target_ms, u64::to_string, "");
        let first = &new.first_token_target_ms;
        it.field("first token in ms", first_token_target_ms, first, or("no target"), "");
        it.field("where a miss is expected, calls are", expected_miss, &new.expected_miss, miss, "");
        mode(it, "", *its_mode, new.mode);
    }
}

fn miss(expected: &ExpectedMiss) -> String {
    match expected {
        ExpectedMiss::Warn => "warned about".to_owned(),
        ExpectedMiss::Refuse => "refused".to_owned(),
    }
}
