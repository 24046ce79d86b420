//! The order of the questions: which of several rules that would refuse one call makes the decision.
//!
//! There is one call and one past, and for each question a switch that makes it refuse by itself.

use std::sync::LazyLock;

use genops_core::awu::{Failure, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::circuit::CircuitRule;
use genops_core::finding::{Mode, Question};
use genops_core::ledger::Outcome;
use genops_core::policy::Policy;
use genops_core::rate::{RateLimit, RateRule};
use genops_core::rule::{
    Assessment, ConditionRule, ContentKind, ContentRule, Effect, Found, ListRule, OnError,
};
use genops_core::selector::Selector;
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::{Amount, Unit};
use proptest::prelude::*;

use super::world::{World, call, failed, name, ruling, said, took};

/// The questions, in the order of the specification of this runtime.
const QUESTIONS: [Question; 10] = [
    Question::Model,
    Question::Region,
    Question::Condition,
    Question::Content,
    Question::Provider,
    Question::Bound,
    Question::Price,
    Question::Rate,
    Question::Sla,
    Question::Room,
];

/// Which questions would refuse the call, and in which mode.
type Switches = [Option<Mode>; 10];

/// How a question refuses by itself: the state, the code, the rule.
fn refusal(question: Question) -> (&'static str, &'static str, &'static str) {
    match question {
        Question::Model => ("BLOCKED", "POLICY_DENY_MODEL", "a model"),
        Question::Region => ("BLOCKED", "POLICY_DENY_REGION", "a region"),
        Question::Condition => ("BLOCKED", "x_condition", "a condition"),
        Question::Content => ("BLOCKED", "POLICY_DENY_CONTENT", "a content"),
        Question::Provider => ("BLOCKED", "PROVIDER_ERROR_UPSTREAM", "upstream"),
        Question::Bound => ("BLOCKED", "x_unbounded_request", "nobody's rule"),
        Question::Price => ("BLOCKED", "x_unpriced_model", "nobody's rule"),
        Question::Rate => ("RATE_LIMITED", "RATE_LIMITED", "a rate"),
        Question::Sla => ("BLOCKED", "SLA_LATENCY_VIOLATION", "a tier"),
        Question::Room => ("BLOCKED", "BUDGET_RESERVATION_FAILED", "a budget"),
    }
}

/// What has to be said: the enforced refusal that comes first; where there is none, a warning with the first code.
fn expected(switches: &Switches) -> String {
    let on = || QUESTIONS.iter().zip(switches).filter_map(|(question, mode)| Some((*question, (*mode)?)));
    if let Some((question, _)) = on().find(|(_, mode)| *mode == Mode::Enforce) {
        let (state, code, rule) = refusal(question);
        let retry = if question == Question::Rate { ", waiting does not help" } else { "" };
        return format!("{state} {code} by {rule}{retry}");
    }
    match on().next() {
        None => "ALLOWED".to_owned(),
        Some((question, _)) => {
            let (_, code, rule) = refusal(question);
            // Section 3.5: that code always means BLOCKED.
            let code = if code == "BUDGET_RESERVATION_FAILED" { "BUDGET_EXCEEDED" } else { code };
            format!("WARNING {code} by {rule} (observed)")
        }
    }
}

/// A policy under which exactly the questions refuse that are switched on.
fn policy(switches: &Switches) -> Policy {
    let mode = |question: Question| {
        QUESTIONS.iter().zip(switches).find(|(asked, _)| **asked == question).and_then(|(_, mode)| *mode)
    };
    let list = |called: &str, mode| ListRule {
        name: name(called),
        selector: Selector::default(),
        allow: vec![name("another")],
        mode,
    };
    let condition = |mode| ConditionRule {
        name: name("a condition"),
        selector: Selector::default(),
        expression: "true".to_owned(),
        effect: Effect::Deny("x_condition".parse().unwrap()),
        on_error: OnError::Refuse,
        mode,
    };
    let content = |mode| ContentRule {
        name: name("a content"),
        selector: Selector::default(),
        keywords: vec!["secret".to_owned()],
        patterns: Vec::new(),
        detect: Vec::new(),
        effect: Effect::Deny("POLICY_DENY_CONTENT".parse().unwrap()),
        mode,
    };
    let circuit = |mode| CircuitRule { provider: name("upstream"), failures: 1, open_for_ns: u64::MAX, mode };
    let rate = |mode| RateRule {
        name: name("a rate"),
        selector: Selector::default(),
        each: Vec::new(),
        limit: RateLimit::InFlight { calls: 1 },
        mode,
    };
    let tier = |mode| SlaRule {
        name: name("a tier"),
        selector: Selector::default(),
        target_ms: 1,
        first_token_target_ms: None,
        expected_miss: ExpectedMiss::Refuse,
        mode,
    };
    let budget = |mode| Budget { mode, ..Budget::new(name("a budget"), Unit::Tokens, Amount::from_whole(1)) };
    Policy {
        mode: mode(Question::Bound).or(mode(Question::Price)).unwrap_or_default(),
        models: mode(Question::Model).map(|mode| list("a model", mode)).into_iter().collect(),
        regions: mode(Question::Region).map(|mode| list("a region", mode)).into_iter().collect(),
        conditions: mode(Question::Condition).map(condition).into_iter().collect(),
        contents: mode(Question::Content).map(content).into_iter().collect(),
        circuits: mode(Question::Provider).map(circuit).into_iter().collect(),
        rates: mode(Question::Rate).map(rate).into_iter().collect(),
        slas: mode(Question::Sla).map(tier).into_iter().collect(),
        budgets: mode(Question::Room).map(budget).into_iter().collect(),
        ..Policy::unrestricted()
    }
}

/// The call; only what cannot be bounded or priced is a matter of the call itself.
fn asked(switches: &Switches) -> Proposal {
    let is_on =
        |question| QUESTIONS.iter().zip(switches).any(|(asked, mode)| *asked == question && mode.is_some());
    let content = Found::Content { kind: ContentKind::Keyword, count: 1 };
    let found = [("a condition", Found::Holds), ("a content", content)];
    Proposal {
        unbounded: is_on(Question::Bound).then(|| name("audio")),
        price: call().price.filter(|_| !is_on(Question::Price)),
        assessed: found.map(|(rule, found)| Assessment { rule: name(rule), found }).into(),
        ..call()
    }
}

/// The past: calls that took long, a call in flight, and a provider that failed.
static PAST: LazyLock<genops_core::ledger::Books> = LazyLock::new(|| {
    let mut every = policy(&[Some(Mode::Observe); 10]);
    every.budgets.clear();
    let mut world = World::under(every);
    (0..4).for_each(|_| world.ran(&call(), took(2, Used::Nothing)));
    world.runs(&call());
    world.ran(&call(), failed(Failure::Status(500)));
    world.books
});

fn decide(switches: &Switches) {
    // Books forget what no rule asks about, so each policy is adopted upon the past as it was.
    let mut world = World::upon(PAST.clone());
    world.adopt(policy(switches));
    let before = world.books.cells().to_vec();
    let (_, entry) = world.ask(&asked(switches));
    assert_eq!(said(&entry), expected(switches), "{switches:?}");
    if matches!(entry.outcome, Outcome::Refused(_)) {
        assert_eq!(world.books.cells(), before, "{switches:?}");
    }
    // Everything that is only observed before the refusal is found, in order; nothing behind it is.
    let refuses = switches.iter().position(|mode| *mode == Some(Mode::Enforce));
    let found = QUESTIONS.iter().zip(switches).take(refuses.map_or(10, |place| place + 1));
    let found: Vec<_> = found.filter(|(_, mode)| mode.is_some()).map(|(question, _)| *question).collect();
    let told: Vec<_> = ruling(&entry).findings.iter().map(|finding| finding.question).collect();
    assert_eq!(told, found, "{switches:?}");
}

/// Whether a policy can have these switches: there is one mode for what cannot be bounded and what cannot be priced.
fn can_be(switches: &Switches) -> bool {
    switches[5].is_none() || switches[6].is_none() || switches[5] == switches[6]
}

#[test]
fn each_question_refuses_by_itself_and_none_refuses_without_its_switch() {
    decide(&[None; 10]);
    for place in 0..QUESTIONS.len() {
        for mode in [Mode::Enforce, Mode::Observe] {
            let mut switches = [None; 10];
            switches[place] = Some(mode);
            decide(&switches);
        }
    }
}

#[test]
fn of_every_two_questions_the_enforced_refusal_that_comes_first_decides() {
    let modes = [Mode::Enforce, Mode::Observe];
    let mut pairs = 0;
    for first in 0..QUESTIONS.len() {
        for second in (0..QUESTIONS.len()).filter(|second| *second != first) {
            for (of_first, of_second) in modes.iter().flat_map(|first| modes.map(|second| (*first, second))) {
                let mut switches = [None; 10];
                (switches[first], switches[second]) = (Some(of_first), Some(of_second));
                if can_be(&switches) {
                    decide(&switches);
                    pairs += 1;
                }
            }
        }
    }
    // Four for each ordered pair, but for what has one mode together.
    assert_eq!(pairs, 4 * 90 - 4);
}

/// Off, or one of the modes; more often observed, so that one that is enforced has some before it.
fn switch() -> impl Strategy<Value = Option<Mode>> {
    prop::option::of(prop_oneof![2 => Just(Mode::Observe), 1 => Just(Mode::Enforce)])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn of_any_questions_the_enforced_refusal_that_comes_first_decides(
        mut switches in prop::array::uniform10(switch()),
    ) {
        if !can_be(&switches) {
            switches[6] = switches[5];
        }
        decide(&switches);
    }
}
