//! The report for people, on a terminal: the verdict first, then what is broken, then the rest.
//!
//! It is plain: no colours, nothing that depends on where it is shown.

use super::page::Page;
use super::sum::{Case, Group, grouped, plural};
use super::{InputNote, Note, Report};
use crate::verdict::Verdict;

/// So many different findings of one requirement are told; the other formats have more.
const CASES_MAX: usize = 5;

/// So many AWUs are named for one of them.
const AWUS_MAX: usize = 3;

/// So many inputs are named, and as many more of which something could not be read.
const INPUTS_MAX: usize = 10;

pub(super) fn render(report: &Report) -> String {
    let mut page = Page::default();
    page.line(0, &report.summary);
    report.claim_words().into_iter().for_each(|words| page.line(0, words));
    report.unread_words().into_iter().for_each(|words| page.line(0, &words));
    page.groups("Broken", &report.broken());
    page.groups("Worth a look", &report.advisories());
    page.groups("Broken by the claim itself", &report.broken_by_claim());
    page.items(report);
    page.notes("Not seen, so not verified", &report.unseen);
    page.capture(report);
    page.against(report);
    page.into_text()
}

impl Page {
    fn groups(&mut self, heading: &str, groups: &[Group<'_>]) {
        if groups.is_empty() {
            return;
        }
        let count = plural(groups.len() as u64, "requirement", "requirements");
        self.heading(&format!("{heading}: {count}"));
        groups.iter().for_each(|group| self.group(group));
    }

    fn group(&mut self, group: &Group<'_>) {
        let row = group.row;
        self.whole_line(0, "");
        self.line(
            2,
            &format!("{}  {}, section {}; {}", row.id, row.level.as_str(), row.section, row.weight()),
        );
        self.line(4, row.text);
        if let Some(other) = group.same_as {
            return self.line(4, &format!("the same as found at {other}"));
        }
        let told = group.cases.iter().take(CASES_MAX);
        let named: usize = told.clone().map(|case| case.awus.len().clamp(1, AWUS_MAX)).sum();
        told.for_each(|case| self.case(case));
        let examples: usize = group.cases.iter().map(|case| case.awus.len().max(1)).sum();
        let more = group.more + (examples - named) as u64;
        if more > 0 {
            self.line(4, &format!("and {}", plural(more, "more AWU", "more AWUs")));
        }
    }

    fn case(&mut self, case: &Case<'_>) {
        let example = case.example;
        self.line(4, &format!("{}, {}", example.place, example.key));
        self.pair(6, "observed", &example.observed);
        self.pair(6, "expected", &example.expected);
        if !example.mend.is_empty() {
            self.pair(6, "mend", &example.mend);
        }
        case.awus.iter().take(AWUS_MAX).for_each(|awu| self.pair(6, "AWU", awu));
    }

    fn items(&mut self, report: &Report) {
        self.heading("Section 9.1, item by item: how many of its requirements were seen to hold");
        for item in &report.items {
            let verdict = words(item.verdict);
            let head = format!("{}  {verdict:<16}{:>8}  ", item.item, item.held());
            self.columns(2, &head, &format!("{}{}", item.text, item.lacks()));
        }
    }

    fn notes(&mut self, heading: &str, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        self.heading(&format!("{heading}: {}", notes.len()));
        for Note { id, verdict, text, why } in notes {
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            self.columns(2, &format!("{id:<13}{:<16}", words(*verdict)), &format!("{text}{why}"));
        }
    }

    fn capture(&mut self, report: &Report) {
        self.heading("What was read");
        let shown = |(at, input): &(usize, &InputNote)| *at < INPUTS_MAX || !input.problems.is_empty();
        let inputs: Vec<_> = report.inputs.iter().enumerate().filter(shown).take(2 * INPUTS_MAX).collect();
        inputs.iter().for_each(|(_, input)| self.input(input));
        let more = report.inputs.len() - inputs.len();
        if more > 0 {
            self.line(2, &format!("and {more} more inputs, which the other formats name"));
        }
        report.passed_over.iter().for_each(|note| self.line(2, note));
        let counts = &report.counts;
        let states = [
            (counts.states.refused_before_reservation, "refused before reservation"),
            (counts.states.stopped_after_reservation, "stopped after reservation"),
            (counts.states.executed_complete, "executed"),
            (counts.states.executed_incomplete, "executed, not settled"),
            (counts.states.indeterminate, "indeterminate"),
        ];
        let states = states.iter().filter(|(count, _)| *count > 0);
        let states: Vec<_> = states.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
        self.pair(2, "AWUs", &format!("{}{states}", grouped(counts.awus)));
        let records = [
            (counts.spans, "spans"),
            (counts.log_records, "log records"),
            (counts.resent, "came again"),
            (counts.broken, "broken"),
            (counts.late, "too late"),
            (counts.dropped, "parts dropped by exporters"),
            (counts.sampled, "AWUs sampled"),
        ];
        let records = records.iter().enumerate().filter(|(at, (count, _))| *at < 2 || *count > 0);
        let records: Vec<_> =
            records.map(|(_, (count, what))| format!("{} {what}", grouped(*count))).collect();
        self.pair(2, "records", &records.join(", "));
        if let Some(window) = &report.window {
            self.pair(2, "window", &format!("{} to {}", window.from, window.to));
        }
    }

    fn input(&mut self, input: &InputNote) {
        let messages = plural(input.messages, "message", "messages");
        self.line(
            2,
            &format!("{}: {}, {} bytes, {messages}", input.name, input.written(), grouped(input.bytes)),
        );
        input.sha256.iter().for_each(|digest| self.pair(4, "sha256", digest));
        input.problems.iter().for_each(|problem| self.line(4, &format!("not read: {problem}")));
    }

    fn against(&mut self, report: &Report) {
        self.heading("Held against");
        let spec =
            format!("GenOps Governance Specification {} ({})", report.spec.version, report.spec.commit);
        self.pair(2, "spec", &spec);
        let catalogue = plural(report.requirements.len() as u64, "statement", "statements");
        let versions = format!(
            "catalogue {} of {catalogue}, checker {}",
            report.catalogue_version, report.checker_version
        );
        self.pair(2, "by", &versions);
        self.whole_line(2, &format!("again     {}", report.command));
        let undecidable = report.not_decidable.len();
        self.line(
            2,
            &format!(
                "{undecidable} statements cannot be decided by telemetry; docs/conformance.md lists them"
            ),
        );
    }
}

/// A verdict, for people.
pub(super) fn words(verdict: Verdict) -> String {
    verdict.as_str().replace('_', " ")
}
