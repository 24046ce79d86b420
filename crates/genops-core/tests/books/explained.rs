//! What an explanation has to say about a decision: the rules that cover the call, in order, each once, up to the
//! refusal; and what they said has to make the decision.

use genops_core::Name;
use genops_core::budget::Budget;
use genops_core::finding::{Finding, Question, combined};
use genops_core::period::Windows;
use genops_core::policy::InForce;
use genops_core::record::AwuRecord;
use genops_core::selector::Selector;
use genops_core::spec::Decision;

/// A rule that may be asked.
type Named = (Question, Option<String>);

pub fn check(record: &AwuRecord, in_force: &InForce) {
    let asked = record.asked(in_force);
    let findings: Vec<_> = asked
        .iter()
        .filter(|asked| asked.said != Decision::Allowed)
        .map(|asked| Finding {
            question: asked.question,
            rule: asked.rule.clone(),
            said: asked.said.clone(),
            is_observed: asked.is_observed,
        })
        .collect();
    let at = record.sequence;
    assert_eq!(
        combined(&findings),
        *record.decision(),
        "at {at}: {:?}, listed {findings:?}",
        record.ruling().findings
    );

    let mut listed: Vec<Named> =
        asked.iter().map(|asked| (asked.question, asked.rule.as_ref().map(ToString::to_string))).collect();
    // A rule that found several things says each of them.
    listed.dedup();
    let all = covering(record, in_force);
    let refusal = findings.iter().find(|finding| finding.refuses());
    let expected = match refusal {
        None => all,
        Some(refusal) => {
            let is_last = |(question, rule): &Named| match refusal.question {
                // The other rates are asked as well.
                Question::Rate => *question == Question::Rate,
                asked => *question == asked && rule.as_deref() == refusal.rule.as_ref().map(Name::as_str),
            };
            let last = all.iter().rposition(is_last).unwrap();
            all.into_iter().take(last + 1).collect()
        }
    };
    assert_eq!(listed, expected, "at {at}");
    assert!(asked.iter().all(|asked| !asked.why.is_empty()), "at {at}: {asked:#?}");
}

/// Every rule of the policy that covers the call, in the order of the questions.
fn covering(record: &AwuRecord, in_force: &InForce) -> Vec<Named> {
    let (policy, proposal) = (in_force.policy(), &record.request.proposal);
    let covers = |selector: &Selector| selector.matches(proposal);
    let mut all: Vec<Named> = Vec::new();
    let mut add = |question, name: &Name| all.push((question, Some(name.to_string())));
    let models = policy.models.iter().filter(|rule| covers(&rule.selector) && proposal.model.is_some());
    models.for_each(|rule| add(Question::Model, &rule.name));
    let regions = policy.regions.iter().filter(|rule| covers(&rule.selector));
    regions.for_each(|rule| add(Question::Region, &rule.name));
    let conditions = policy.conditions.iter().filter(|rule| covers(&rule.selector));
    conditions.for_each(|rule| add(Question::Condition, &rule.name));
    let contents = policy.contents.iter().filter(|rule| covers(&rule.selector));
    contents.for_each(|rule| add(Question::Content, &rule.name));
    let circuits = policy.circuits.iter().filter(|rule| Some(&rule.provider) == proposal.provider.as_ref());
    circuits.for_each(|rule| add(Question::Provider, &rule.provider));
    all.extend([(Question::Bound, None), (Question::Price, None)]);
    let mut add = |question, name: &Name| all.push((question, Some(name.to_string())));
    policy
        .rates
        .iter()
        .filter(|rule| covers(&rule.selector))
        .for_each(|rule| add(Question::Rate, &rule.name));
    // The first tier that covers a call is its tier.
    let tier = policy.slas.iter().find(|rule| covers(&rule.selector));
    tier.into_iter().for_each(|rule| add(Question::Sla, &rule.name));
    let runs = |budget: &Budget| Windows::of(&budget.period).at(record.at).is_some();
    let budgets = policy.budgets.iter().filter(|rule| covers(&rule.selector) && runs(rule));
    budgets.clone().for_each(|rule| add(Question::Room, &rule.name));
    // Without a budget of the accounting unit there is a cell without one, which is asked last.
    let asked_for_room = !record.cells().is_empty();
    let has_one = budgets
        .into_iter()
        .any(|rule| rule.unit == proposal.accounting_unit.unwrap_or(policy.accounting_unit));
    if asked_for_room && !has_one && record.cells().iter().any(|step| step.key.budget.is_none()) {
        all.push((Question::Room, None));
    }
    all
}
