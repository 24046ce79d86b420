//! The report as one page that stands by itself: nothing is fetched, and it is read without its script, which only
//! filters the table.
//!
//! Every text passes through the template, which escapes it. The look is in `page.css`, the filter in `page.js`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::sum::{Case, Group, grouped, plural};
use super::text::words;
use super::{InputNote, Item, Note, Outcomes, Report, Row};
use crate::catalogue::Checkable;
use crate::level::Level;
use crate::verdict::Verdict;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn render(report: &Report) -> String {
    let title = format!("{} · GenOps conformance", level_word(report));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report))
                main {
                    (items(report))
                    (findings("Broken", "broken", &report.broken()))
                    (findings("Worth a look", "advisory", &report.advisories()))
                    (findings("Broken by the claim itself", "claim", &report.broken_by_claim()))
                    (unseen(&report.unseen))
                    (requirements(&report.requirements))
                    (capture(report))
                    (undecidable(report))
                }
                (foot(report))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// The page may load nothing and run no script but its own, whatever stands in it.
fn policy() -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
}

fn level_word(report: &Report) -> &'static str {
    match report.level {
        Some(Level::Full) => "Full",
        Some(Level::Partial) => "Partial",
        Some(Level::None) => "None",
        Some(Level::NothingObserved) => "Nothing observed",
        None => "Not readable",
    }
}

/// How the badge looks, and the word below the level.
fn standing(report: &Report) -> (&'static str, &'static str) {
    match (report.level, report.verified) {
        (Some(Level::Full), true) => ("verified", "verified"),
        (Some(Level::Full), false) => ("unrefuted", "not refuted"),
        (Some(Level::Partial), true) => ("partial", "verified"),
        (Some(Level::Partial), false) => ("partial", "not refuted"),
        (Some(Level::None), _) => ("broken", "no level reached"),
        (Some(Level::NothingObserved) | None, _) => ("empty", "nothing judged"),
    }
}

fn head(report: &Report) -> Markup {
    let (look, word) = standing(report);
    // The badge has the level and the word already.
    let said = report.summary.split_once(": ").map_or(report.summary.as_str(), |(_, said)| said);
    html! {
        header {
            p.eyebrow { "GenOps conformance" span { "specification " (report.spec.version) } }
            div.verdict {
                h1.badge data-look=(look) { b { (level_word(report)) } small { (word) } }
                div.said {
                    p.summary { (said) "." }
                    @if let Some(claim) = report.claim_words() {
                        p.claim data-holds=(report.claim.holds.unwrap_or(false)) { (claim) }
                    }
                    @if let Some(words) = report.unread_words() { p.problem { (words) } }
                    @if let Some(window) = &report.window {
                        p.window { (window.from) " to " (window.to) }
                    }
                }
            }
            (figures(report))
        }
    }
}

fn figures(report: &Report) -> Markup {
    let count = |verdict| report.requirements.iter().filter(|row| row.verdict == verdict).count() as u64;
    let figures = [
        ("AWUs", report.counts.awus),
        ("spans", report.counts.spans),
        ("log records", report.counts.log_records),
        ("requirements seen to hold", count(Verdict::Pass) + count(Verdict::Advisory)),
        ("broken", report.broken().len() as u64),
        ("not seen", report.unseen.len() as u64),
    ];
    html! {
        dl.figures {
            @for (what, figure) in figures {
                div { dt { (what) } dd { (grouped(figure)) } }
            }
        }
    }
}

fn items(report: &Report) -> Markup {
    html! {
        section aria-labelledby="items" {
            h2 #items { "The eight items of section 9.1" }
            ol.items {
                @for item in &report.items { (one_item(item)) }
            }
        }
    }
}

fn one_item(item: &Item) -> Markup {
    html! {
        li.item data-verdict=(item.verdict.as_str()) {
            div.top { span.number { (item.item) } (chip(item.verdict)) }
            p { (item.text) }
            (meter(&item.requirements))
            p.fine {
                (item.held()) " requirements held"
                @if !item.unseen.is_empty() { ", " (item.unseen.len()) " not exercised" }
                @if item.partial { ", in either level" } @else { ", in full only" }
            }
            @if !item.broken.is_empty() {
                p.fine.ids { @for id in &item.broken { a href={ "#" (id) } { (id) } " " } }
            }
        }
    }
}

/// A bar of what the requirements came to; the words beside it say the same.
fn meter(counts: &Outcomes) -> Markup {
    let parts = [
        ("pass", counts.pass),
        ("advisory", counts.advisory),
        ("fail", counts.fail),
        ("open", counts.inconclusive + counts.not_observed),
    ];
    html! {
        div.meter aria-hidden="true" {
            @for (part, count) in parts {
                @if count > 0 { i data-part=(part) style={ "flex-grow:" (count) } {} }
            }
        }
    }
}

fn findings(heading: &str, name: &str, groups: &[Group<'_>]) -> Markup {
    html! {
        @if !groups.is_empty() {
            section aria-labelledby=(name) {
                h2 id=(name) { (heading) span.count { (groups.len()) } }
                @for group in groups { (finding(group)) }
            }
        }
    }
}

fn finding(group: &Group<'_>) -> Markup {
    let row = group.row;
    html! {
        article.finding data-verdict=(row.verdict.as_str()) id={ "found-" (row.id) } {
            h3 { a href={ "#" (row.id) } { (row.id) } (chip(row.verdict)) }
            p.text { (row.text) }
            p.fine { (row.level.as_str()) " · section " (row.section) " · " (row.weight()) }
            @if let Some(other) = group.same_as {
                p.more { "The same as found at " a href={ "#found-" (other) } { (other) } }
            } @else {
                @for one in &group.cases { (case(one)) }
                @if group.more > 0 {
                    p.more { "and " (plural(group.more, "more AWU", "more AWUs")) }
                }
            }
        }
    }
}

fn case(case: &Case<'_>) -> Markup {
    let example = case.example;
    html! {
        div.case {
            p.where { (example.place) " " code { (example.key) } }
            dl {
                dt { "Observed" } dd { code { (example.observed) } }
                dt { "Expected" } dd { code { (example.expected) } }
                @if !example.mend.is_empty() { dt.mend { "To mend" } dd.mend { (example.mend) } }
                @if !case.awus.is_empty() { dt { "AWU" } dd { (awus(&case.awus)) } }
            }
        }
    }
}

/// The first by itself, the others folded.
fn awus(awus: &[&str]) -> Markup {
    let (first, rest) = awus.split_first().map_or(("", awus), |(first, rest)| (*first, rest));
    html! {
        code { (first) }
        @if !rest.is_empty() {
            details {
                summary { (rest.len()) " more alike" }
                ul { @for awu in rest { li { code { (awu) } } } }
            }
        }
    }
}

fn unseen(notes: &[Note]) -> Markup {
    html! {
        @if !notes.is_empty() {
            section aria-labelledby="unseen" {
                h2 #unseen { "Not seen, so not verified" span.count { (notes.len()) } }
                p { "Nothing in the capture broke these, and nothing showed that they hold." }
                ul.notes {
                    @for note in notes {
                        li {
                            a href={ "#" (note.id) } { (note.id) } " " (note.text)
                            @if let Some(why) = note.why { span.fine { " " (why) } }
                        }
                    }
                }
            }
        }
    }
}

fn requirements(rows: &[Row]) -> Markup {
    html! {
        section aria-labelledby="requirements" {
            h2 #requirements { "Every requirement" span.count { (rows.len()) } }
            // Shown by the script, which alone makes it work.
            form #filter hidden role="search" {
                label for="find" { "Find" }
                input #find type="search" placeholder="an id, a word, a section" autocomplete="off";
                label for="verdict" { "Verdict" }
                select #verdict {
                    option value="" { "all" }
                    @for verdict in VERDICTS { option value=(verdict.as_str()) { (words(verdict)) } }
                }
                output #shown for="find verdict" {}
            }
            div.scroll tabindex="0" role="region" aria-labelledby="requirements" {
                table {
                    thead { tr {
                        th scope="col" { "Requirement" }
                        th scope="col" { "Verdict" }
                        th scope="col" { "What it says" }
                        th scope="col" { "AWUs" }
                    } }
                    tbody #rows { @for row in rows { (table_row(row)) } }
                }
            }
        }
    }
}

const VERDICTS: [Verdict; 6] = [
    Verdict::Fail,
    Verdict::Advisory,
    Verdict::Pass,
    Verdict::Inconclusive,
    Verdict::NotObserved,
    Verdict::NotApplicable,
];

fn table_row(row: &Row) -> Markup {
    let has_findings = matches!(row.verdict, Verdict::Fail | Verdict::Advisory);
    html! {
        tr id=(row.id) data-verdict=(row.verdict.as_str()) {
            th scope="row" {
                (row.id)
                span.fine { (row.level.as_str()) " · " (row.section) }
            }
            td { (chip(row.verdict)) }
            td {
                (row.text)
                @if let Some(why) = row.why { span.fine { (why) } }
                @if row.checkable == Checkable::No { span.fine { "telemetry cannot decide it" } }
                @if has_findings { a.fine href={ "#found-" (row.id) } { "what was found" } }
            }
            td.awus { (outcomes(row)) }
        }
    }
}

fn outcomes(row: &Row) -> Markup {
    let counts = [
        (Verdict::Pass, row.awus.pass),
        (Verdict::Fail, row.awus.fail),
        (Verdict::Advisory, row.awus.advisory),
        (Verdict::Inconclusive, row.awus.inconclusive),
        (Verdict::NotObserved, row.awus.not_observed),
        (Verdict::NotApplicable, row.awus.not_applicable),
    ];
    html! {
        @for (verdict, count) in counts {
            @if count > 0 { span { (grouped(count)) " " (words(verdict)) } }
        }
    }
}

fn capture(report: &Report) -> Markup {
    let counts = &report.counts;
    let states = [
        ("refused before reservation", counts.states.refused_before_reservation),
        ("stopped after reservation", counts.states.stopped_after_reservation),
        ("executed", counts.states.executed_complete),
        ("executed, not settled", counts.states.executed_incomplete),
        ("indeterminate", counts.states.indeterminate),
    ];
    let beside = [
        ("records that came again", counts.resent),
        ("broken records", counts.broken),
        ("log records that came too late", counts.late),
        ("parts that exporters dropped", counts.dropped),
        ("AWUs of sampled traces", counts.sampled),
    ];
    html! {
        section aria-labelledby="capture" {
            h2 #capture { "What was read" }
            ul.inputs { @for input in &report.inputs { (one_input(input)) } }
            @for note in &report.passed_over { p.fine { (note) } }
            dl.counts {
                @for (what, count) in states.into_iter().chain(beside) {
                    div data-zero=(count == 0) { dt { (what) } dd { (grouped(count)) } }
                }
            }
            h3 { "Judge it again" }
            pre { code { (report.command) } }
        }
    }
}

fn one_input(input: &InputNote) -> Markup {
    html! {
        li {
            b { (input.name) }
            span.fine {
                (input.written()) " · " (grouped(input.bytes)) " bytes · "
                (plural(input.messages, "message", "messages"))
            }
            @if let Some(digest) = &input.sha256 { code.digest { "sha256 " (digest) } }
            @for problem in &input.problems { p.problem { "Not read: " (problem) } }
        }
    }
}

fn undecidable(report: &Report) -> Markup {
    html! {
        section aria-labelledby="undecidable" {
            h2 #undecidable { "What telemetry cannot decide" span.count { (report.not_decidable.len()) } }
            details {
                summary { "The statements, and why" }
                ul.notes {
                    @for one in &report.not_decidable {
                        li { a href={ "#" (one.id) } { (one.id) } " " (one.text) span.fine { " " (one.why) } }
                    }
                }
            }
        }
    }
}

fn foot(report: &Report) -> Markup {
    html! {
        footer {
            p {
                "GenOps Governance Specification " (report.spec.version) " (" (report.spec.source) ", "
                (report.spec.commit) ") · catalogue " (report.catalogue_version) " · checker "
                (report.checker_version)
            }
            p { "This is not a suite of the specification's editors, who have published none. A verdict is about what "
                "was captured, and about nothing else." }
        }
    }
}

/// A verdict, as a word with a sign, so that nobody needs its colour.
fn chip(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Advisory => "!",
        Verdict::Inconclusive => "?",
        Verdict::NotObserved => "○",
        Verdict::NotApplicable => "–",
    };
    html! {
        span.chip data-verdict=(verdict.as_str()) { span aria-hidden="true" { (sign) } " " (words(verdict)) }
    }
}
