//! What can be told of an entry by itself, beside the records of AWUs: alerts, late news, and what workloads report.
//!
//! These become log records alone: the span of an AWU is told once, at its end (section 2 of the specification gives it one).

use genops_spec::{attribute as key, event};

use crate::amount::Amount;
use crate::attribution::Attribution;
use crate::event::{Event, Fact, Value, add_amount, runtime, text};
use crate::ledger::{Act, Alert, Command, Entry, Note, Outcome, Reported, Revision, Settled};
use crate::name::Name;
use crate::record::AwuRecord;

/// The event that tells late news: what an AWU is charged instead of what was told of it.
pub const CORRECTION: &str = "genops_runtime.correction";

/// The event that tells an alert that is about no AWU: a policy lowered a limit, or a grant ended. The specification's own
/// belongs to one AWU (AWU-2.1-3).
pub const BUDGET_ALERT: &str = "genops_runtime.budget_alert";

/// The events of an entry that belong to no decision and no end.
#[must_use]
pub fn events(entry: &Entry) -> Vec<Event<'_>> {
    let event = |name, facts| Event { name, at: entry.at, facts };
    let mut events: Vec<Event<'_>> = match (&entry.command, &entry.outcome) {
        (Command::Report(note), Outcome::Noted) => vec![event(name_of(&note.what), reported(note))],
        (Command::Correct(correction), Outcome::Corrected { .. }) => {
            vec![event(CORRECTION, revised(&correction.revision, false, Some(&correction.act)))]
        }
        (Command::Resolve { act, .. }, Outcome::Settled(Settled { late: Some(late), incomplete, .. })) => {
            vec![event(CORRECTION, revised(late, *incomplete, Some(act)))]
        }
        (_, Outcome::Settled(Settled { late: Some(late), incomplete, .. })) => {
            vec![event(CORRECTION, revised(late, *incomplete, None))]
        }
        _ => Vec::new(),
    };
    let name = AwuRecord::subject(&entry.command).map_or(BUDGET_ALERT, |_| event::BUDGET_ALERT.name);
    events.extend(alerts(&entry.outcome).iter().map(|alert| event(name, alerted(alert))));
    events
}

/// The thresholds that an outcome reached.
#[must_use]
pub fn alerts(outcome: &Outcome) -> &[Alert] {
    match outcome {
        Outcome::Settled(Settled { alerts, .. })
        | Outcome::InDoubt { alerts }
        | Outcome::Corrected { alerts }
        | Outcome::PolicyAdopted { alerts, .. }
        | Outcome::GrantEnded { alerts } => alerts,
        _ => &[],
    }
}

fn alerted(alert: &Alert) -> Vec<Fact<'_>> {
    let mut facts = vec![text(key::BUDGET_NAME.key, alert.key.budget_name())];
    add_amount(&mut facts, key::BUDGET_CONSUMED.key, runtime::CONSUMED_EXACT, alert.used);
    add_amount(&mut facts, key::BUDGET_ALLOCATED.key, runtime::ALLOCATED_EXACT, alert.allocated);
    facts.push(text(key::BUDGET_PERIOD.key, alert.key.window.to_string()));
    facts.push((runtime::ALERT_PERCENT, Value::Int(alert.percent.into())));
    facts.push(text(runtime::CELL, alert.key.to_string()));
    facts.push(text(key::ACCOUNTING_UNIT.key, alert.key.unit.as_str().to_owned()));
    facts
}

fn revised<'a>(revision: &'a Revision, incomplete: bool, act: Option<&'a Act>) -> Vec<Fact<'a>> {
    let Revision { attribution, unit, reserved, before, actual } = revision;
    let mut facts = attributed(attribution);
    facts.push(text(key::ACCOUNTING_UNIT.key, unit.as_str()));
    add_amount(&mut facts, key::ACCOUNTING_RESERVED.key, runtime::RESERVED_EXACT, *reserved);
    add_amount(&mut facts, key::ACCOUNTING_ACTUAL.key, runtime::ACTUAL_EXACT, *actual);
    facts.push(text(runtime::ACTUAL_BEFORE, before.to_string()));
    facts.extend(incomplete.then_some((runtime::INCOMPLETE, Value::Bool(true))));
    if let Some(Act { author, reason }) = act {
        facts.push(text(runtime::AUTHOR, author.as_str()));
        facts.push(text(runtime::REASON, reason.as_str()));
    }
    facts
}

const fn name_of(reported: &Reported) -> &'static str {
    match reported {
        Reported::Evaluation { .. } => event::EVALUATION_COMPLETE.name,
        Reported::Cost { .. } => event::COST_CALCULATED.name,
    }
}

fn reported(note: &Note) -> Vec<Fact<'_>> {
    let double = |amount: &Amount| Value::Double(amount.to_f64().0);
    let mut facts = Vec::new();
    match &note.what {
        Reported::Evaluation { metric, score, threshold, passed } => {
            facts.push(text(key::EVAL_METRIC.key, metric.as_str()));
            facts.push((key::EVAL_SCORE.key, double(score)));
            facts.extend(threshold.as_ref().map(|threshold| (key::EVAL_THRESHOLD.key, double(threshold))));
            facts.extend(passed.map(|passed| (key::EVAL_PASSED.key, Value::Bool(passed))));
        }
        Reported::Cost { total, currency, provider, model } => {
            facts.push((key::COST_TOTAL.key, double(total)));
            facts.push(text(key::COST_CURRENCY.key, currency.as_str()));
            let named = [(key::COST_PROVIDER, provider), (key::COST_MODEL, model)];
            let said = named.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?)));
            facts.extend(said.map(|(key, name): (_, &Name)| text(key.key, name.as_str())));
        }
    }
    facts.extend(attributed(&note.attribution));
    facts
}

fn attributed(attribution: &Attribution) -> Vec<Fact<'_>> {
    vec![
        text(key::TEAM.key, attribution.team().as_str()),
        text(key::PROJECT.key, attribution.project().as_str()),
        text(key::ENVIRONMENT.key, attribution.environment().as_str()),
    ]
}
