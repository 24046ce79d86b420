//! From what was simulated to the picture of it: which budgets are drawn, and what stands beside them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use genops::core::finding::Question;
use genops::core::{Name, Timestamp};

use super::plot::{Course, Panel, Plot};
use super::{Came, Simulated};

/// The picture of a simulation: one panel for each budget of any of the policies, those that had too little left first,
/// and one for what no budget refused, if anything was.
#[must_use]
pub fn of(simulated: &Simulated) -> Plot {
    let runs = &simulated.runs;
    let mut budgets: BTreeMap<&Name, (Reverse<u64>, String)> = BTreeMap::new();
    for (_, came) in runs {
        let known = came.books.policy().budgets.iter();
        budgets.extend(known.map(|budget| (&budget.name, (Reverse(0), budget.unit.to_string()))));
    }
    for short in runs.iter().flat_map(|(_, came)| &came.tally.short) {
        let budget = short.0.budget.as_ref().and_then(|budget| budgets.get_mut(budget));
        budget.into_iter().for_each(|(Reverse(calls), _)| *calls += short.1.calls);
    }
    let mut budgets: Vec<_> = budgets.into_iter().collect();
    budgets.sort_by(|a, b| (a.1.0, a.0).cmp(&(b.1.0, b.0)));
    let policies = runs.iter().map(|(_, came)| came.books.policy());
    let known = policies.flat_map(|policy| &policy.budgets).filter(|budget| !budget.each.is_empty());
    let shared: BTreeSet<&Name> = known.map(|budget| &budget.name).collect();
    let others = Panel {
        name: "refused by other rules".to_owned(),
        unit: None,
        courses: runs.iter().map(|(_, came)| others(came)).collect(),
    };
    let panel = |(budget, (_, unit)): (&Name, (Reverse<u64>, String))| Panel {
        name: if shared.contains(budget) { format!("{budget}: who used most") } else { budget.to_string() },
        unit: Some(unit),
        courses: runs.iter().map(|(_, came)| course(came, budget, simulated.range.1)).collect(),
    };
    let mut panels: Vec<Panel> = budgets.into_iter().map(panel).collect();
    if others.courses.iter().any(|course| !course.refused.is_empty()) {
        panels.insert(panels.len().min(super::plot::PANELS_MAX - 1), others);
    }
    Plot {
        title: "What the policy would have done".to_owned(),
        subtitle: format!(
            "{} calls, {} to {}",
            simulated.report.calls, simulated.report.from, simulated.report.until
        ),
        policies: runs.iter().map(|(name, ..)| name.clone()).collect(),
        start: simulated.range.0,
        end: simulated.range.1,
        bucket_ns: runs.last().map_or(1, |(_, came)| came.tally.bucket_ns),
        panels,
    }
}

/// What becomes of a budget under one policy up to `end`; where each of several has the limit for itself, of the share
/// that used most. Doubles are good enough to look at.
fn course(came: &Came, budget: &Name, end: Timestamp) -> Course {
    let Came { books, tally, .. } = came;
    let known = books.in_force().budget(budget, end);
    let cells = books.cells().iter().zip(&tally.spent);
    let mut windows: Vec<_> = cells.filter(|(cell, _)| cell.key.budget.as_ref() == Some(budget)).collect();
    let most = windows.iter().max_by_key(|(_, points)| points.iter().map(|(_, amount)| *amount).max());
    let most = most.map(|(cell, _)| &*cell.key.each).unwrap_or_default();
    windows.retain(|(cell, _)| *cell.key.each == *most);
    windows.sort_by_key(|(cell, _)| cell.key.window);
    let last = windows.last().and_then(|(cell, points)| Some((cell.key.window, points.last()?)));
    let stays = last
        .filter(|(window, (at, _))| *at < end && known.is_some_and(|(_, current)| current == Some(*window)));
    let stays = stays.map(|(_, (_, amount))| (end, *amount));
    let spent = windows.into_iter().flat_map(|(_, points)| points).copied().chain(stays);
    let short = tally.short.iter().filter(|(key, _)| key.budget.as_ref() == Some(budget));
    let mut short: Vec<_> = short.map(|(_, short)| short.first).collect();
    short.sort_unstable();
    Course {
        limit: known.map(|(known, _)| known.limit.to_f64().0),
        spent: spent.map(|(at, amount)| (at, amount.to_f64().0)).collect(),
        short,
        refused: refused(came, |question, rule| question == Question::Room && rule == Some(budget)),
    }
}

/// The refusals that no budget made.
fn others(came: &Came) -> Course {
    Course { refused: refused(came, |question, _| question != Question::Room), ..Course::default() }
}

/// Refusals by code and bucket, of what is wanted.
fn refused(came: &Came, wanted: impl Fn(Question, Option<&Name>) -> bool) -> BTreeMap<String, Vec<u64>> {
    let mut by_code: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for ((question, rule, code), buckets) in &came.tally.refused {
        if !wanted(*question, rule.as_ref()) {
            continue;
        }
        let sums = by_code.entry(code.clone()).or_default();
        if sums.len() < buckets.len() {
            sums.resize(buckets.len(), 0);
        }
        sums.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count);
    }
    by_code
}
