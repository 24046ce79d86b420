//! The report as Markdown (GitHub's), for a comment, a job summary or a wiki.
//!
//! Whatever came with the capture stands in code spans, where it means nothing.

use std::fmt::Write as _;

use super::sum::{Case, Group, grouped, plural};
use super::text::words;
use super::{Note, Report, Row};
use crate::verdict::Verdict;

pub(super) fn render(report: &Report) -> String {
    let mut page = String::from("# GenOps conformance\n\n");
    // A text grows; writing to it does not fail.
    write(&mut page, report).map_or_else(|_| String::new(), |()| page)
}

fn write(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "**{}**", report.summary)?;
    if let Some(words) = report.claim_words() {
        writeln!(page, "\n{words}")?;
    }
    if let Some(words) = report.unread_words() {
        writeln!(page, "\n{words}")?;
    }
    writeln!(page, "\n## Section 9.1\n\n| item | verdict | held | |\n|--:|---|--:|---|")?;
    for item in &report.items {
        let (verdict, text) = (mark(item.verdict), plain(item.text));
        writeln!(page, "| {} | {verdict} | {} | {text}{} |", item.item, item.held(), item.lacks())?;
    }
    groups(page, "Broken", &report.broken())?;
    groups(page, "Worth a look", &report.advisories())?;
    groups(page, "Broken by the claim itself", &report.broken_by_claim())?;
    unseen(page, &report.unseen)?;
    capture(page, report)?;
    details(page, report)
}

fn groups(page: &mut String, heading: &str, groups: &[Group<'_>]) -> std::fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n## {heading}")?;
    for group in groups {
        let row = group.row;
        writeln!(page, "\n### {}\n", row.id)?;
        writeln!(
            page,
            "{}, section {}; {}. {}\n",
            row.level.as_str(),
            row.section,
            row.weight(),
            plain(row.text)
        )?;
        if let Some(other) = group.same_as {
            writeln!(page, "- the same as found at {other}")?;
            continue;
        }
        for case in &group.cases {
            write_case(page, case)?;
        }
        if group.more > 0 {
            writeln!(page, "- and {}", plural(group.more, "more AWU", "more AWUs"))?;
        }
    }
    Ok(())
}

fn write_case(page: &mut String, case: &Case<'_>) -> std::fmt::Result {
    let example = case.example;
    writeln!(page, "- {}, {}", code(&example.place), code(&example.key))?;
    writeln!(page, "  - observed: {}", code(&example.observed))?;
    writeln!(page, "  - expected: {}", code(&example.expected))?;
    if !example.mend.is_empty() {
        writeln!(page, "  - mend: {}", code(&example.mend))?;
    }
    if !case.awus.is_empty() {
        let awus: Vec<_> = case.awus.iter().map(|awu| code(awu)).collect();
        writeln!(page, "  - AWU: {}", awus.join(", "))?;
    }
    Ok(())
}

fn unseen(page: &mut String, notes: &[Note]) -> std::fmt::Result {
    if notes.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n## Not seen, so not verified\n")?;
    for Note { id, verdict, text, why } in notes {
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        writeln!(page, "- {id} ({}{why}): {}", words(*verdict), plain(text))?;
    }
    Ok(())
}

fn capture(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "\n## What was read\n")?;
    for input in &report.inputs {
        let digest = input.sha256.as_ref().map_or_else(String::new, |digest| format!(", sha256 `{digest}`"));
        let messages = plural(input.messages, "message", "messages");
        let (name, format, bytes) = (code(&input.name), input.written(), grouped(input.bytes));
        writeln!(page, "- {name}: {format}, {bytes} bytes, {messages}{digest}")?;
        for problem in &input.problems {
            writeln!(page, "  - not read: {}", code(problem))?;
        }
    }
    for note in &report.passed_over {
        writeln!(page, "- {}", code(note))?;
    }
    let counts = &report.counts;
    let (awus, spans, logs) = (grouped(counts.awus), grouped(counts.spans), grouped(counts.log_records));
    writeln!(page, "- {awus} AWUs, {spans} spans, {logs} log records")?;
    let (resent, broken, late) = (grouped(counts.resent), grouped(counts.broken), grouped(counts.late));
    let (dropped, sampled) = (grouped(counts.dropped), grouped(counts.sampled));
    writeln!(
        page,
        "- {resent} came again, {broken} broken, {late} too late, {dropped} dropped, {sampled} sampled"
    )?;
    if let Some(window) = &report.window {
        writeln!(page, "- from {} to {}", window.from, window.to)?;
    }
    let (spec, checker) = (report.spec, report.checker_version);
    let versions = format!("catalogue {}, checker {checker}", report.catalogue_version);
    writeln!(
        page,
        "- held against GenOps Governance Specification {} ({}), {versions}",
        spec.version, spec.commit
    )?;
    writeln!(page, "- again: {}", code(&report.command))
}

fn details(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "\n<details><summary>Every requirement</summary>\n")?;
    writeln!(page, "| requirement | verdict | level | pass | fail | |\n|---|---|---|--:|--:|---|")?;
    for row in &report.requirements {
        let Row { id, verdict, level, awus, text, .. } = row;
        let (passed, failed) = (grouped(awus.held()), grouped(awus.fail));
        let text = plain(text);
        writeln!(page, "| {id} | {} | {} | {passed} | {failed} | {text} |", mark(*verdict), level.as_str())?;
    }
    writeln!(page, "\n</details>\n\n<details><summary>What telemetry cannot decide</summary>\n")?;
    for statement in &report.not_decidable {
        writeln!(page, "- {}: {} ({})", statement.id, plain(statement.text), plain(statement.why))?;
    }
    writeln!(page, "\n</details>")
}

/// A verdict, with a sign.
fn mark(verdict: Verdict) -> String {
    let sign = match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Advisory => "⚠️",
        Verdict::Inconclusive => "❔",
        Verdict::NotObserved | Verdict::NotApplicable => "▫️",
    };
    format!("{sign} {}", words(verdict))
}

/// Our own words, without meaning to Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for char in text.chars() {
        if "\\`*_<>[]|#&~".contains(char) {
            plain.push('\\');
        }
        plain.push(char);
    }
    plain
}

/// A text as it is: between more backticks than stand together in it.
fn code(text: &str) -> String {
    let longest = text.split(|char| char != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A space keeps the text's own backticks, and an empty text, apart from the fence.
    match text.is_empty() || text.starts_with('`') || text.ends_with('`') || text.starts_with(' ') {
        true => format!("{fence} {text} {fence}"),
        false => format!("{fence}{text}{fence}"),
    }
}
