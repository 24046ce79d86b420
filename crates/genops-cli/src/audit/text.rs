//! The report for people: the sums and the counts first, then the first of the findings.

use std::fmt::Write;

use super::findings::{Billed, Kind};
use super::matching::By;
use super::report::{FindingReport, Report, UsageReport, Verdict};
use crate::table;

/// So many differences between telemetry and journal are shown of one finding.
const DIFFERENCES_MAX: usize = 5;

impl Report {
    /// In words, with at most `limit` findings and as many corrections.
    pub fn text(&self, limit: usize) -> String {
        let mut text = format!("{}\n\n", self.summary());
        text.push_str(&table::facts(self.sources()));
        text.push('\n');
        text.push_str(&self.sums());
        text.push('\n');
        let rows = Kind::ALL.iter().map(|kind| {
            vec![kind.as_str().to_owned(), self.counts.of_kind(*kind).to_string(), kind.meaning().to_owned()]
        });
        text.push_str(&table::whole(&["FINDING", ">COUNT", "WHAT IT MEANS"], rows.collect()));
        let names_files = self.usage.as_ref().is_some_and(|usage| usage.files.len() > 1);
        for findings in [&self.findings, &self.corrections] {
            findings.iter().take(limit).for_each(|finding| add_finding(&mut text, finding, names_files));
            let more = findings.len().saturating_sub(limit);
            if more > 0 {
                text.push_str(&format!("\nand {more} more: --limit {}, or --format json\n", findings.len()));
            }
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "\n{} more were counted and not kept", self.left_out);
        }
        text
    }

    fn summary(&self) -> String {
        let found: Vec<String> = Kind::ALL
            .iter()
            .filter(|kind| kind.is_failure() && self.counts.of_kind(**kind) > 0)
            .map(|kind| format!("{} {}", self.counts.of_kind(*kind), kind.as_str()))
            .collect();
        match self.verdict {
            Verdict::Match => format!("all match: {}", self.compared()),
            Verdict::Findings => format!("not all match: {}", found.join(", ")),
            Verdict::Unread => {
                "what can be read matches, but not all of the telemetry can be read".to_owned()
            }
            Verdict::Nothing => format!("nothing to compare: {}", self.nothing()),
        }
    }

    fn compared(&self) -> String {
        let awus = self.journal.awus;
        let of_journal = format!("{awus} AWUs of the journal");
        match (&self.telemetry, &self.usage) {
            (Some(_), None) => format!("{of_journal}, with telemetry"),
            (Some(_), Some(usage)) if usage.compared < awus => {
                format!("{of_journal}, with telemetry; {} of them with usage", usage.compared)
            }
            (Some(_), Some(_)) => format!("{of_journal}, with telemetry and usage"),
            (None, Some(usage)) if usage.compared < awus => {
                format!("{} of {of_journal}, with usage", usage.compared)
            }
            (None, _) => format!("{of_journal}, with usage"),
        }
    }

    fn nothing(&self) -> String {
        match &self.usage {
            Some(usage) if self.journal.awus > 0 => {
                let asked = match usage.providers.as_slice() {
                    [] => "a provider".to_owned(),
                    _ => usage.named(" or "),
                };
                format!("no AWU of that time asks {asked}, and no row is of one")
            }
            _ => "the ledger has no AWU of that time".to_owned(),
        }
    }

    fn sources(&self) -> Vec<(&str, String)> {
        let outside = |count: u64, what: &str| match count {
            0 => String::new(),
            _ => format!("; {count} {what} of other times are not compared"),
        };
        let journal = &self.journal;
        let unnamed = match journal.unnamed {
            0 => String::new(),
            unnamed => format!("; {unnamed} are of persons whose names are not known, and not compared"),
        };
        let mut facts = vec![
            (
                "journal",
                format!(
                    "{}: {} AWUs, {} entries{}{unnamed}",
                    journal.file,
                    journal.awus,
                    journal.entries,
                    outside(journal.outside, "AWUs")
                ),
            ),
            ("head", journal.head.clone()),
        ];
        if let Some(telemetry) = &self.telemetry {
            let mut said = format!(
                "{}: {} AWUs, {} spans, {} events{}",
                telemetry.files.join(", "),
                telemetry.awus,
                telemetry.spans,
                telemetry.events,
                outside(telemetry.outside, "records")
            );
            if telemetry.foreign > 0 {
                let _ = write!(said, "; {} records of other runtimes are passed over", telemetry.foreign);
            }
            facts.push(("telemetry", said));
            facts.extend(telemetry.passed_over.iter().map(|note| ("", note.clone())));
            facts.extend(telemetry.problems.iter().map(|problem| ("unread", problem.clone())));
            if telemetry.more_problems > 0 {
                facts.push(("unread", format!("{} more problems", telemetry.more_problems)));
            }
        }
        if let Some(usage) = &self.usage {
            let by = match usage.matched_by {
                By::Awu => "compared call by call",
                By::ModelAndDay => "no row names an AWU, so sums of model and day (UTC) are compared",
                By::Model => "no row names an AWU and not all say when, so sums of each model are compared",
            };
            let files = usage.files.join(", ");
            let said = format!("{files}: {} rows; {by}{}", usage.rows, outside(usage.outside, "rows"));
            facts.push(("usage", said));
            facts.extend(usage.left_out().into_iter().map(|note| ("", note)));
        }
        facts
    }

    fn sums(&self) -> String {
        let row = |name: &str, billed: &Billed| {
            vec![
                name.to_owned(),
                billed.calls.to_string(),
                billed.input_tokens.to_string(),
                billed.output_tokens.to_string(),
                billed.cost.to_string(),
            ]
        };
        let mut rows = vec![row("journal", &self.journal.known)];
        if let Some(usage) = &self.usage {
            let is_all = usage.compared == self.journal.awus;
            rows.extend((!is_all).then(|| row("  compared", &usage.journal)));
            rows.push(row("usage", &usage.billed));
        }
        let mut text = table::whole(&["SUM", ">CALLS", ">TOKENS IN", ">TOKENS OUT", ">USD"], rows);
        if self.journal.unsure > 0 {
            let _ = writeln!(
                text,
                "not in the journal's sum: {} AWUs that are charged without knowing what they used",
                self.journal.unsure
            );
        }
        text
    }
}

impl UsageReport {
    /// What is not compared, and why.
    fn left_out(&self) -> Vec<String> {
        let other = format!("of other providers than {}", self.named(", "));
        let all = [
            (self.without_provider, "AWUs that name no provider".to_owned()),
            (self.other_providers, format!("AWUs {other}")),
            (self.of_others, format!("rows that name AWUs {other}")),
        ];
        let unasked = self.providers.iter().filter(|provider| provider.awus == 0);
        let unasked = unasked.map(|provider| format!("no AWU of that time asks {}", provider.name));
        let all = all.into_iter().filter(|(count, _)| *count > 0);
        all.map(|(count, what)| format!("{count} {what} are not compared")).chain(unasked).collect()
    }

    /// The providers that are audited.
    fn named(&self, between: &str) -> String {
        let names: Vec<_> = self.providers.iter().map(|provider| provider.name.as_str()).collect();
        names.join(between)
    }
}

/// A place in usage is told with its file where there are several.
fn add_finding(text: &mut String, finding: &FindingReport, names_files: bool) {
    let FindingReport { kind, awu, sequence, model, day, .. } = finding;
    let mut head = format!("\n{}", kind.as_str());
    let entry = sequence.map(|sequence| format!("entry {sequence}"));
    for part in [awu.as_ref(), entry.as_ref(), day.as_ref(), model.as_ref()].into_iter().flatten() {
        let _ = write!(head, "  {part}");
    }
    text.push_str(&head);
    text.push('\n');
    let _ = writeln!(text, "  {}", finding.what);
    let mut line = |who: &str, says: &str| {
        let _ = writeln!(text, "  {who:<11}{says}");
    };
    if let Some(journal) = &finding.journal {
        let mut says = journal.state.map(|state| vec![state.to_owned()]).unwrap_or_default();
        says.extend(journal.used.map(|used| tokens(&used)));
        says.extend(journal.charged.as_ref().map(|charged| format!("{charged} USD")));
        line("journal", &says.join(", "));
    }
    if let Some(telemetry) = finding.telemetry {
        line("telemetry", telemetry.as_str());
    }
    if let Some(usage) = &finding.usage {
        let file = usage.file.as_ref().filter(|_| names_files);
        let file = file.map(|file| format!("{file}, ")).unwrap_or_default();
        let place = usage.line.map(|line| format!("{file}line {line}: ")).unwrap_or_default();
        line("usage", &format!("{place}{}, {} USD", tokens(&usage.billed), usage.billed.cost));
    }
    for difference in finding.differences.iter().take(DIFFERENCES_MAX) {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (journal, telemetry) = (shown(&difference.journal), shown(&difference.telemetry));
        line("", &format!("{}: journal {journal}, telemetry {telemetry}", difference.what));
    }
    let more = finding.differences.len().saturating_sub(DIFFERENCES_MAX);
    if more > 0 {
        line("", &format!("and {more} more"));
    }
}

fn tokens(billed: &Billed) -> String {
    let cached = billed.cached_input_tokens.filter(|cached| *cached > 0);
    let cached = cached.map(|cached| format!(" ({cached} from cache)")).unwrap_or_default();
    format!("{} tokens in{cached}, {} out", billed.input_tokens, billed.output_tokens)
}
