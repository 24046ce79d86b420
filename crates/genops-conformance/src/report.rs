//! What a capture came to, told to people and to programs: one value, and its renderings.
//!
//! Nothing is judged here, and no clock is read: the same judgement gives the same bytes. What the capture says is
//! made printable once, when the report is made, and no rendering has to think of it again.

mod html;
mod junit;
mod markdown;
pub(crate) mod page;
mod schema;
mod sum;
mod text;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::awu::State;
use crate::catalogue::{self, Checkable, Id, Keyword, Subject};
use crate::input::{Input, Inputs, Notes};
use crate::judge::{Counts, Finding, Judgement};
use crate::level::{Claim, Level, Standing, Terms};
use crate::verdict::{Tally, Verdict};

pub use schema::schema;

/// What a capture came to.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The level of compliance that the capture reaches (section 9); null if nothing could be read.
    pub level: Option<Level>,
    /// Every gating statement of that level was seen to hold, or did not apply. Otherwise it is merely not refuted.
    pub verified: bool,
    /// All of that in one sentence.
    pub summary: String,
    /// What was claimed, and what became of it.
    pub claim: Claimed,
    /// How strictly was judged.
    pub terms: Strictly,
    /// The specification that was held against it.
    pub spec: Specification,
    /// The version of the catalogue of requirements.
    pub catalogue_version: u32,
    /// The version of the checker.
    pub checker_version: &'static str,
    /// The command that reproduces the judgement.
    pub command: String,
    /// What was read.
    pub inputs: Vec<InputNote>,
    /// What was passed over, and why.
    pub passed_over: Vec<String>,
    /// What was in it.
    pub counts: Amounts,
    /// The time that the AWUs span; null if there is none.
    pub window: Option<Window>,
    /// The eight items of section 9.1.
    pub items: Vec<Item>,
    /// Every requirement, in the order of the specification.
    pub requirements: Vec<Row>,
    /// Examples of what is broken or worth a look: of each requirement at most 20; the counts are whole.
    pub findings: Vec<Example>,
    /// The verdicts on extensions, which no claim rests on (AMB-19).
    pub optional: Vec<Note>,
    /// What stands between "not refuted" and "verified".
    pub unseen: Vec<Note>,
    /// What no telemetry can decide.
    pub not_decidable: Vec<Undecidable>,
}

/// What was claimed, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Claimed {
    /// The level that was claimed, if any.
    pub claimed: Option<Claim>,
    /// Whether the claim holds; null where nothing was claimed.
    pub holds: Option<bool>,
    /// The words in which it is declared, where they were judged.
    pub declaration: Option<String>,
}

/// How strictly was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Strictly {
    /// A SHOULD that is not met breaks a claim.
    pub strict: bool,
    /// A whole number in place of a double is worth a look instead of wrong.
    pub lenient_numeric: bool,
    /// The capture was said to be complete.
    pub complete: bool,
}

/// The specification that was held against the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Specification {
    /// Its version.
    pub version: &'static str,
    /// The commit that was read.
    pub commit: &'static str,
    /// Where it stands.
    pub source: &'static str,
}

/// An input that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InputNote {
    /// The file, or where else it came from.
    pub name: String,
    /// How it is written.
    pub format: &'static str,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// Its length, as it came.
    pub bytes: u64,
    /// The digest of its bytes, as they came; null where none were read.
    pub sha256: Option<String>,
    /// How many OTLP messages of it were read.
    pub messages: u64,
    /// What could not be read of it.
    pub problems: Vec<String>,
}

/// What was in the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Amounts {
    /// AWUs.
    pub awus: u64,
    /// AWUs by how far their life came.
    pub states: States,
    /// Spans, AWUs among them; resends are not.
    pub spans: u64,
    /// Log records; resends are not among them.
    pub log_records: u64,
    /// Records that came again, identical.
    pub resent: u64,
    /// Records of which something could not be read.
    pub broken: u64,
    /// Log records about AWUs that had been judged already, to make room.
    pub late: u64,
    /// Attributes, events and links that exporters left out, by their own account.
    pub dropped: u64,
    /// AWUs whose trace was sampled.
    pub sampled: u64,
}

/// AWUs by how far their life came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct States {
    /// Refused, nothing reserved, nothing run.
    pub refused_before_reservation: u64,
    /// Something was reserved, nothing run.
    pub stopped_after_reservation: u64,
    /// They ran, and were measured or reconciled.
    pub executed_complete: u64,
    /// They ran, and nothing says what that came to.
    pub executed_incomplete: u64,
    /// Neither refused nor reserved, and nothing shows that they ran (AMB-03).
    pub indeterminate: u64,
}

/// The time that the AWUs span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Window {
    /// When the first AWU began (RFC 3339).
    pub from: String,
    /// When the last AWU ended (RFC 3339).
    pub to: String,
    /// `from` in nanoseconds since 1970; a text, since JSON's numbers end before.
    pub from_unix_nano: String,
    /// `to` in nanoseconds since 1970.
    pub to_unix_nano: String,
}

/// One requirement, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// The verdict on it.
    pub verdict: Verdict,
    /// How strongly it binds.
    pub level: Keyword,
    /// The section of the specification.
    pub section: &'static str,
    /// Whom it binds.
    pub subject: Subject,
    /// The item of section 9.1 that pulls it into a claim; 0 where another section does.
    pub item: u8,
    /// Whether full compliance rests on it.
    pub gates_full: bool,
    /// Whether partial compliance rests on it.
    pub gates_partial: bool,
    /// What telemetry alone can say of it.
    pub checkable: Checkable,
    /// What it says, in our words.
    pub text: &'static str,
    /// How many AWUs came to which outcome; what is said of the capture as a whole counts as one.
    pub awus: Outcomes,
    /// Why it is inconclusive, or does not apply.
    pub why: Option<&'static str>,
}

/// How many AWUs came to which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outcomes {
    /// Meet it.
    pub pass: u64,
    /// Break it.
    pub fail: u64,
    /// Meet it, with something worth a look.
    pub advisory: u64,
    /// Of which the capture cannot say.
    pub inconclusive: u64,
    /// Do not show it.
    pub not_observed: u64,
    /// Are not concerned.
    pub not_applicable: u64,
}

/// Something that is broken, or worth a look, on one AWU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Example {
    /// The requirement.
    pub id: &'static str,
    /// `fail` or `advisory`.
    pub verdict: Verdict,
    /// What the requirement says, in our words.
    pub text: &'static str,
    /// The AWU, as `trace-span` in hexadecimal; null where it is about the capture.
    pub awu: Option<String>,
    /// Where on the AWU.
    pub place: String,
    /// The attribute, event or field.
    pub key: String,
    /// What stands there.
    pub observed: String,
    /// What should.
    pub expected: String,
    /// How to mend it.
    pub mend: String,
}

/// One of the eight items of section 9.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Item {
    /// Its number.
    pub item: u8,
    /// The requirement that sums it up.
    pub id: &'static str,
    /// What it asks, in our words.
    pub text: &'static str,
    /// What it comes to.
    pub verdict: Verdict,
    /// Whether partial compliance rests on it too.
    pub partial: bool,
    /// How many of its requirements came to which verdict. Those that no telemetry decides are not among them.
    pub requirements: Outcomes,
    /// Those that are broken.
    pub broken: Vec<&'static str>,
    /// Those that stand between "not refuted" and "verified".
    pub unseen: Vec<&'static str>,
}

/// A requirement and its verdict, named apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Note {
    /// The requirement.
    pub id: &'static str,
    /// The verdict on it.
    pub verdict: Verdict,
    /// What it says, in our words.
    pub text: &'static str,
    /// Why it is inconclusive, or does not apply.
    pub why: Option<&'static str>,
}

/// A requirement that no telemetry can decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undecidable {
    /// The requirement.
    pub id: &'static str,
    /// How strongly it binds.
    pub level: Keyword,
    /// Whom it binds.
    pub subject: Subject,
    /// What it says, in our words.
    pub text: &'static str,
    /// Why telemetry does not decide it.
    pub why: &'static str,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, on a terminal.
    Text,
    /// For programs: [`Report`] as JSON, as [`schema`] describes it.
    Json,
    /// For continuous integration: one test case a requirement.
    Junit,
    /// For a comment or a wiki.
    Markdown,
    /// One page that stands by itself.
    Html,
}

impl Report {
    /// The report of a judgement. `command` reproduces it.
    #[must_use]
    pub fn new(
        judgement: &Judgement,
        standing: &Standing,
        inputs: &Inputs,
        terms: &Terms,
        command: &str,
    ) -> Self {
        let requirements: Vec<Row> = Id::all().map(|id| Row::new(id, tally(judgement, id))).collect();
        let level = (!nothing_was_read(&inputs.all, judgement)).then_some(standing.level);
        let mut report = Self {
            level,
            verified: level.is_some() && standing.verified,
            summary: String::new(),
            claim: Claimed {
                claimed: terms.claim,
                holds: if level.is_some() { standing.claim_holds } else { terms.claim.map(|_| false) },
                declaration: terms.declaration.as_deref().map(printable),
            },
            terms: Strictly {
                strict: terms.strict,
                lenient_numeric: judgement.strictness.lenient_numeric,
                complete: judgement.strictness.is_complete,
            },
            spec: Specification {
                version: catalogue::SPEC_VERSION,
                commit: catalogue::SPEC_COMMIT,
                source: catalogue::SPEC_SOURCE,
            },
            catalogue_version: catalogue::VERSION,
            checker_version: env!("CARGO_PKG_VERSION"),
            command: printable(command),
            inputs: inputs.all.iter().map(InputNote::new).collect(),
            passed_over: printable_notes(&inputs.notes),
            counts: Amounts::new(&judgement.counts),
            window: judgement.counts.window.map(Window::new),
            items: sum::items(&requirements, &standing.unseen),
            findings: judgement.findings.iter().map(Example::new).collect(),
            optional: requirements.iter().filter(|row| row.is_extension()).map(Row::note).collect(),
            unseen: standing
                .unseen
                .iter()
                .filter_map(|id| requirements.get(id.place()))
                .map(Row::note)
                .collect(),
            not_decidable: Id::all().filter_map(Undecidable::new).collect(),
            requirements,
        };
        report.summary = sum::summary(&report);
        report
    }

    /// The report as text of a format.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text::render(self),
            Format::Json => self.json(),
            Format::Junit => junit::render(self),
            Format::Markdown => markdown::render(self),
            Format::Html => html::render(self),
        }
    }

    fn json(&self) -> String {
        // Every key is a text and every number finite: there is nothing that could not be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn tally(judgement: &Judgement, id: Id) -> Tally {
    judgement.tallies.get(id.place()).copied().unwrap_or_default()
}

fn nothing_was_read(inputs: &[Input], judgement: &Judgement) -> bool {
    let counts = &judgement.counts;
    let is_nothing = |input: &Input| input.messages == 0;
    let has_problems = |input: &Input| !input.problems.is_empty();
    counts.spans + counts.logs == 0 && inputs.iter().all(is_nothing) && inputs.iter().any(has_problems)
}

impl Row {
    fn new(id: Id, tally: Tally) -> Self {
        let requirement = id.requirement();
        let verdict = tally.verdict();
        Self {
            id: requirement.id,
            verdict,
            level: requirement.level,
            section: requirement.section,
            subject: requirement.subject,
            item: requirement.item,
            gates_full: requirement.gates(false),
            gates_partial: requirement.gates(true),
            checkable: requirement.checkable,
            text: requirement.text,
            awus: Outcomes::of(tally),
            why: tally.why.filter(|_| matches!(verdict, Verdict::Inconclusive | Verdict::NotApplicable)),
        }
    }

    /// Whether it is about what a runtime may add, and telemetry says something of it.
    fn is_extension(&self) -> bool {
        let of_runtime = self.subject == Subject::Runtime && self.checkable != Checkable::No;
        of_runtime && ["OPT-", "SCH-8.4-"].iter().any(|prefix| self.id.starts_with(prefix))
    }

    fn note(&self) -> Note {
        Note { id: self.id, verdict: self.verdict, text: self.text, why: self.why }
    }
}

impl Outcomes {
    const fn of(tally: Tally) -> Self {
        Self {
            pass: tally.passed,
            fail: tally.failed,
            advisory: tally.advised,
            inconclusive: tally.inconclusive,
            not_observed: tally.not_observed,
            not_applicable: tally.not_applicable,
        }
    }
}

impl Example {
    fn new(finding: &Finding) -> Self {
        let requirement = finding.id.requirement();
        let evidence = &finding.evidence;
        Self {
            id: requirement.id,
            verdict: finding.verdict,
            text: requirement.text,
            awu: finding.awu.as_deref().map(printable),
            place: printable(&evidence.place),
            key: printable(&evidence.key),
            observed: printable(&evidence.observed),
            expected: printable(&evidence.expected),
            mend: printable(&evidence.mend),
        }
    }
}

impl Undecidable {
    fn new(id: Id) -> Option<Self> {
        let requirement = id.requirement();
        (requirement.checkable == Checkable::No).then_some(Self {
            id: requirement.id,
            level: requirement.level,
            subject: requirement.subject,
            text: requirement.text,
            why: requirement.how,
        })
    }
}

impl InputNote {
    fn new(input: &Input) -> Self {
        let Input { name, format, is_gzip, bytes, sha256, messages, problems } = input;
        Self {
            name: printable(name),
            format: format.as_str(),
            gzip: *is_gzip,
            bytes: *bytes,
            sha256: (!sha256.is_empty()).then(|| sha256.clone()),
            messages: *messages,
            problems: printable_notes(problems),
        }
    }

    /// How it is written, in words.
    fn written(&self) -> String {
        if self.gzip { format!("{}, gzip", self.format) } else { self.format.to_owned() }
    }
}

fn printable_notes(notes: &Notes) -> Vec<String> {
    let mut shown: Vec<String> = notes.first.iter().map(|note| printable(note)).collect();
    shown.extend((notes.more > 0).then(|| format!("and {} more", notes.more)));
    shown
}

impl Amounts {
    const fn new(counts: &Counts) -> Self {
        // In the order of `State::ALL`.
        let [refused, stopped, complete, incomplete, indeterminate]: [u64; State::ALL.len()] = counts.states;
        Self {
            awus: counts.awus,
            states: States {
                refused_before_reservation: refused,
                stopped_after_reservation: stopped,
                executed_complete: complete,
                executed_incomplete: incomplete,
                indeterminate,
            },
            spans: counts.spans,
            log_records: counts.logs,
            resent: counts.resent,
            broken: counts.broken,
            late: counts.late,
            dropped: counts.dropped,
            sampled: counts.sampled,
        }
    }
}

impl Window {
    fn new((from, to): (u64, u64)) -> Self {
        // 64 bits of nanoseconds end in the year 2554, which is a time.
        let rfc3339 = |nanos: u64| Timestamp::from_nanosecond(nanos.into()).unwrap_or_default().to_string();
        Self {
            from: rfc3339(from),
            to: rfc3339(to),
            from_unix_nano: from.to_string(),
            to_unix_nano: to.to_string(),
        }
    }
}

/// So much of a text that came with the capture is shown.
const SHOWN_MAX: usize = 400;

/// A text that came from outside, fit to be shown anywhere: in one line, not too long, without characters that steer
/// a terminal, turn the direction of writing, or do not exist in XML.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars().take(SHOWN_MAX) {
        let steers = char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char);
        let turns = ('\u{2066}'..='\u{2069}').contains(&char) || ['\u{fffe}', '\u{ffff}'].contains(&char);
        if steers || turns {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
