//! The report for people: within 100 columns, as long as names are not longer than usual.

use super::{Read, Report, Under};
use crate::{read, table};

/// So many rows of a table are shown; the JSON has all of them.
const ROWS_MAX: usize = 25;

impl Report {
    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} from {} to {}\n", calls(self.calls), self.from, self.until);
        self.read.iter().for_each(|read| text.push_str(&read.text()));
        self.policies.iter().for_each(|under| text.push_str(&under.text()));
        if let Some(changed) = &self.changed {
            let row = |change: &super::Change| {
                vec![change.calls.to_string(), change.before.clone(), change.after.clone()]
            };
            let total: u64 = changed.iter().map(|change| change.calls).sum();
            text.push_str(&format!("\nDecided differently: {}\n", calls(total)));
            rows(&mut text, "", &[">CALLS", "BEFORE", "AFTER"], changed.iter().map(row).collect());
        }
        for under in &self.policies {
            let row = |rule: &super::NotAsked| {
                vec![rule.calls.to_string(), format!("{} {}: {}", rule.kind, rule.rule, rule.why)]
            };
            let heading = match self.policies.len() {
                1 => "Not asked".to_owned(),
                _ => format!("Not asked under {}", under.policy),
            };
            broken(&mut text, &heading, &[">CALLS", "RULE"], under.not_asked.iter().map(row).collect());
        }
        let row = |one: &super::Assumed| vec![one.calls.to_string(), one.in_words.to_owned()];
        broken(
            &mut text,
            "Assumed",
            &[">CALLS", "WHAT IS ASSUMED OF THEM"],
            self.assumed.iter().map(row).collect(),
        );
        text
    }
}

/// `1 call`, `2 calls`.
fn calls(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} call{plural}")
}

/// Adds a table below its heading, if there are rows.
fn rows(text: &mut String, heading: &str, headings: &[&str], mut rows: Vec<Vec<String>>) {
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    if rows.is_empty() {
        return;
    }
    let space = if heading.is_empty() { String::new() } else { format!("{heading}\n") };
    text.push_str(&format!("\n{space}{}", table::whole(headings, rows)));
    if more > 0 {
        text.push_str(&format!(" and {more} more (--format json has them)\n"));
    }
}

/// As [`rows`], with long texts broken into lines.
fn broken(text: &mut String, heading: &str, headings: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        text.push_str(&format!("\n{heading}\n{}", table::broken(headings, rows)));
    }
}

impl Read {
    fn text(&self) -> String {
        let mut text = format!("  {} of {}\n", calls(self.calls), self.source);
        for label in &self.labels {
            text.push_str(&format!("    {} from {}: {}\n", label.label, label.from, label.calls));
        }
        for (what, times) in &self.passed_over {
            text.push_str(&format!("    passed over: {times} {what}\n"));
        }
        if self.problems > 0 {
            text.push_str(&format!("    not readable: {}\n", self.problems));
        }
        text
    }
}

impl Under {
    fn text(&self) -> String {
        let short = self.version.get(..12).unwrap_or_default();
        let mut text = format!("\nUnder {} (policy {short})\n", self.policy);
        text.push_str(&format!("  {}\n", self.states()));
        if self.too_many_open > 0 {
            let why = "since as many were open as `limits` (open_awus, one_key_percent) allows";
            text.push_str(&format!("  {} answered 503, {why}\n", self.too_many_open));
        }
        text.push_str(&format!("  what ran costs {} USD\n", self.cost_usd));
        let dash = || "-".to_owned();
        let by_rule = self.by_rule.iter().map(|by| {
            let rule = by.rule.clone().unwrap_or_else(dash);
            vec![by.calls.to_string(), by.result.clone(), by.reason_code.clone(), by.question.clone(), rule]
        });
        rows(&mut text, "", &[">CALLS", "RESULT", "REASON CODE", "QUESTION", "RULE"], by_rule.collect());
        let shares = self.by_team_and_model.iter().map(|share| {
            let (calls, refused) = (share.calls.to_string(), share.refused.to_string());
            vec![
                share.team.clone(),
                share.model.clone().unwrap_or_else(dash),
                calls,
                refused,
                share.cost_usd.clone(),
            ]
        });
        rows(&mut text, "", &["TEAM", "MODEL", ">CALLS", ">REFUSED", ">COST USD"], shares.collect());
        let budgets = self.budgets.iter().map(|spent| {
            let limit = spent.limit.clone().unwrap_or_else(dash);
            let first = spent.first_short_at.clone().unwrap_or_else(|| "never".to_owned());
            let (unit, used) = (spent.unit.clone(), spent.used.clone());
            let short_for = spent.short_for.to_string();
            vec![
                read::cell(&spent.budget, &spent.each),
                spent.window.clone(),
                unit,
                used,
                limit,
                first,
                short_for,
            ]
        });
        let headings = ["BUDGET", "WINDOW", "UNIT", ">USED", ">LIMIT", "TOO LITTLE LEFT SINCE", ">FOR CALLS"];
        rows(&mut text, "", &headings, budgets.collect());
        let models = self.models_not_set_up.iter().map(|model| {
            let name = model.model.clone().unwrap_or_else(|| "(none is named, none set up)".to_owned());
            vec![model.calls.to_string(), name]
        });
        rows(&mut text, "", &[">CALLS", "MODEL THAT IS NOT SET UP"], models.collect());
        text
    }

    /// How many calls came to which state.
    fn states(&self) -> String {
        let states = [
            ("ALLOWED", self.allowed),
            ("WARNING", self.warned),
            ("BLOCKED", self.blocked),
            ("RATE_LIMITED", self.rate_limited),
            ("answered 404, since their model is not set up", self.not_set_up),
        ];
        let counts = states.iter().filter(|(_, calls)| *calls > 0);
        counts.map(|(state, calls)| format!("{calls} {state}")).collect::<Vec<_>>().join(", ")
    }
}
