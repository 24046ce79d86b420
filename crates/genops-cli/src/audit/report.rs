//! What an audit says: one value, for programs as JSON.
//!
//! Everything in it is in a stable order: findings by kind, then by the order of the journal, then by line.

use genops::core::{AwuId, Name};
use serde::Serialize;

use super::facts::Difference;
use super::findings::{About, Billed, Finding, Findings, Kind};
use super::journal::{Index, Known, Ran};
use super::matching::{self, Bill, By, Matched};
use super::telemetry::Read;
use super::usage::Usage;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `match`, `findings`, `unread` (nothing was found in what could be read) or `nothing` (to compare).
    pub verdict: Verdict,
    /// What was read of the journal.
    pub journal: JournalReport,
    /// What was read of telemetry; absent where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetryReport>,
    /// What was read of usage; absent where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageReport>,
    /// How many findings there are of each kind.
    pub counts: Counts,
    /// Everything that does not match.
    pub findings: Vec<FindingReport>,
    /// What the provider knows and the journal could not: no failures.
    pub corrections: Vec<FindingReport>,
    /// How many findings and corrections are counted, but more than are kept.
    pub left_out: u64,
}

/// What it all comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything matches.
    Match,
    /// Something does not.
    Findings,
    /// Nothing was found, but a part of the telemetry cannot be read.
    Unread,
    /// There is nothing to compare.
    Nothing,
}

/// The journal.
#[derive(Debug, Serialize)]
pub struct JournalReport {
    /// The ledger.
    pub file: String,
    /// How many entries it has.
    pub entries: u64,
    /// The hash that commits to all of them.
    pub head: String,
    /// How many AWUs are audited.
    pub awus: u64,
    /// How many were decided at other times.
    pub outside: u64,
    /// How many are of customers or sessions that were erased, or of an export: whose they are is not compared.
    pub unnamed: u64,
    /// What those have used of which that is known.
    pub known: Billed,
    /// How many are charged without knowing what they used.
    pub unsure: u64,
}

/// The telemetry.
#[derive(Debug, Serialize)]
pub struct TelemetryReport {
    /// The files, in the order in which they were read.
    pub files: Vec<String>,
    /// How many AWUs something was delivered of.
    pub awus: u64,
    /// How many spans of theirs were delivered.
    pub spans: u64,
    /// How many events of theirs were delivered, in spans and as log records.
    pub events: u64,
    /// How many records of other runtimes were passed over.
    pub foreign: u64,
    /// How many records of other times were passed over.
    pub outside: u64,
    /// Files of directories that are no telemetry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
    /// What cannot be read.
    pub problems: Vec<String>,
    /// How many problems more there are.
    pub more_problems: u64,
}

/// The usage.
#[derive(Debug, Serialize)]
pub struct UsageReport {
    /// The files.
    pub files: Vec<String>,
    /// How many rows they have.
    pub rows: u64,
    /// How many of them are of other times.
    pub outside: u64,
    /// How many of them name AWUs of other providers than those that are audited.
    pub of_others: u64,
    /// The providers that are audited; absent where all are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderReport>,
    /// How many AWUs they were held against.
    pub compared: u64,
    /// How many AWUs were left out since they name no provider.
    pub without_provider: u64,
    /// How many AWUs were left out since they ask other providers than those that are audited.
    pub other_providers: u64,
    /// How they were held against the journal.
    pub matched_by: By,
    /// What the journal has of the AWUs that were compared, of which that is known.
    pub journal: Billed,
    /// What the rows come to, without those that are left out.
    pub billed: Billed,
}

/// A provider that is audited.
#[derive(Debug, Serialize)]
pub struct ProviderReport {
    /// As the journal calls it.
    pub name: String,
    /// How many AWUs ask it.
    pub awus: u64,
}

/// How many findings there are of each kind.
#[derive(Debug, Serialize)]
pub struct Counts {
    unbilled: u64,
    unaccounted: u64,
    mispriced: u64,
    missing: u64,
    rewritten: u64,
    correction: u64,
}

/// A finding, and what each of the three says.
#[derive(Debug, Serialize)]
pub struct FindingReport {
    /// Its code word.
    pub kind: Kind,
    /// The AWU; absent for sums, and where nobody says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awu: Option<String>,
    /// The entry that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The day, for sums of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// What the journal says; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalSays>,
    /// What telemetry says; absent where none was given, and for sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySays>,
    /// What the provider says; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageSays>,
    /// Why it is one, for people.
    pub what: String,
    /// Where telemetry is not the journal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// What the journal says of an AWU, or of many.
#[derive(Debug, Serialize)]
pub struct JournalSays {
    /// Where the AWU stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// What was used; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Billed>,
    /// What was charged in US dollars; absent where that is not what it is counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
}

/// How telemetry is to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetrySays {
    /// It says the same.
    Same,
    /// It says something else.
    Different,
    /// It says the same and something else: it was delivered with different contents.
    Both,
    /// It says a part of it.
    Part,
    /// It says nothing.
    Nothing,
    /// It alone knows the AWU.
    Alone,
}

/// What the provider says.
#[derive(Debug, Serialize)]
pub struct UsageSays {
    /// The file of the first row; absent for sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line; absent for sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What it bills.
    #[serde(flatten)]
    pub billed: Billed,
}

/// Everything that a report is made of.
pub struct Audited<'a> {
    /// What the ledger is called.
    pub ledger: String,
    /// The journal.
    pub index: &'a Index,
    /// The telemetry, where some was given.
    pub telemetry: Option<Read>,
    /// The usage, where some was given.
    pub usage: Option<(Usage, Matched)>,
    /// The providers that it is of; all of them where none is named.
    pub providers: Vec<Name>,
    /// What was found.
    pub findings: Findings,
}

impl Report {
    /// Puts it together.
    pub fn new(mut audited: Audited<'_>) -> Self {
        let mut all = std::mem::take(&mut audited.findings.all);
        all.sort_by_key(|finding| (finding.kind, audited.place_of(&finding.about)));
        let reports = all.into_iter().map(|finding| audited.finding(finding));
        let (findings, corrections) = reports.partition(|finding: &FindingReport| finding.kind.is_failure());
        let telemetry = audited.telemetry.as_ref().map(|read| audited.telemetry(read));
        Self {
            verdict: audited.verdict(telemetry.as_ref()),
            journal: audited.journal(),
            telemetry,
            usage: audited.usage.as_ref().map(|(usage, matched)| audited.usage(usage, matched)),
            counts: Counts::of(&audited.findings),
            findings,
            corrections,
            left_out: audited.findings.left_out,
        }
    }
}

impl Audited<'_> {
    fn verdict(&self, telemetry: Option<&TelemetryReport>) -> Verdict {
        let is_unread = telemetry.is_some_and(|telemetry| !telemetry.problems.is_empty());
        let rows = |(usage, matched): &(Usage, Matched)| {
            usage.rows.len() as u64 - matched.outside - matched.of_others
        };
        let rows = self.usage.as_ref().map_or(0, rows);
        let awus = match (&self.telemetry, &self.usage) {
            (None, Some((_, matched))) => matched.compared.awus,
            _ => self.index.awus.len() as u64,
        };
        match () {
            () if self.findings.has_failures() => Verdict::Findings,
            () if is_unread => Verdict::Unread,
            () if awus == 0 && rows == 0 => Verdict::Nothing,
            () => Verdict::Match,
        }
    }

    fn journal(&self) -> JournalReport {
        let mut known = Billed { cached_input_tokens: Some(0), ..Billed::default() };
        let charged = self.index.awus.iter().filter(|known| known.ran == Ran::Known);
        charged.filter_map(matching::charged).for_each(|charged| known.add(&charged));
        JournalReport {
            file: self.ledger.clone(),
            entries: self.index.entries,
            head: self.index.head.clone(),
            awus: self.index.awus.len() as u64,
            outside: self.index.outside,
            unnamed: self.index.unnamed,
            known,
            unsure: self.index.awus.iter().filter(|known| known.ran == Ran::Unsure).count() as u64,
        }
    }

    fn telemetry(&self, read: &Read) -> TelemetryReport {
        let (mut problems, mut more_problems) = (Vec::new(), 0);
        for input in &read.inputs.all {
            problems.extend(input.problems.first.iter().map(|problem| format!("{}: {problem}", input.name)));
            more_problems += input.problems.more;
        }
        TelemetryReport {
            files: read.inputs.all.iter().map(|input| input.name.clone()).collect(),
            awus: self.index.awus.iter().filter(|known| !known.is_untold()).count() as u64,
            spans: read.spans,
            events: read.events,
            foreign: read.foreign,
            outside: read.outside,
            passed_over: read.inputs.notes.first.clone(),
            problems,
            more_problems,
        }
    }

    fn usage(&self, usage: &Usage, matched: &Matched) -> UsageReport {
        let compared = &matched.compared;
        UsageReport {
            files: usage.files.clone(),
            rows: usage.rows.len() as u64,
            outside: matched.outside,
            of_others: matched.of_others,
            providers: self.providers.iter().map(|provider| self.provider(provider)).collect(),
            compared: compared.awus,
            without_provider: compared.without_provider,
            other_providers: compared.other_providers,
            matched_by: matched.by,
            journal: compared.journal,
            billed: matched.usage,
        }
    }

    fn provider(&self, provider: &Name) -> ProviderReport {
        let number = self.index.providers.find(provider);
        let awus = self.index.awus.iter().filter(|known| number.is_some() && known.provider == number);
        ProviderReport { name: provider.to_string(), awus: awus.count() as u64 }
    }

    /// What findings of a kind are sorted by.
    fn place_of(&self, about: &About) -> (u8, u64, Option<AwuId>) {
        match about {
            About::Awu(place) => (0, self.index.awus.get(*place).map_or(0, Known::sequence), None),
            About::Entry(sequence) => (0, *sequence, None),
            About::Stranger(id) => (1, 0, *id),
            About::Row(number) => (2, *number as u64, None),
            // Sums come by day and model already.
            About::Sums(_) => (3, 0, None),
        }
    }

    fn finding(&self, finding: Finding) -> FindingReport {
        let Finding { kind, about, what, differences } = finding;
        let mut report = FindingReport {
            kind,
            awu: None,
            sequence: None,
            model: None,
            day: None,
            journal: None,
            telemetry: None,
            usage: None,
            what,
            differences,
        };
        match about {
            About::Awu(place) => self.describe(place, &mut report),
            About::Stranger(id) => {
                report.awu = id.map(|id| id.to_string());
                report.telemetry = Some(TelemetrySays::Alone);
            }
            About::Entry(sequence) => report.sequence = Some(sequence),
            About::Row(number) => self.describe_row(number, &mut report),
            About::Sums(sums) => {
                report.model = Some(sums.model.to_string());
                report.day = sums.day;
                let charged = Some(sums.journal.cost.to_string());
                report.journal = Some(JournalSays { state: None, used: Some(sums.journal), charged });
                report.usage = Some(UsageSays { file: None, line: None, billed: sums.usage });
            }
        }
        report
    }

    fn describe(&self, place: usize, report: &mut FindingReport) {
        let Some(known) = self.index.awus.get(place) else { return };
        report.awu = Some(known.id.to_string());
        report.sequence = Some(known.sequence());
        report.model = Some(self.index.models.name(known.models.1).to_owned());
        report.journal = Some(JournalSays {
            state: Some(known.state),
            used: matching::charged(known),
            charged: known.cost.map(|cost| cost.to_string()),
        });
        report.telemetry = self.telemetry.is_some().then(|| TelemetrySays::of(known));
        let Some((usage, matched)) = &self.usage else { return };
        let bill = matched.bills.get(place).and_then(Option::as_ref);
        report.usage = bill.map(|bill| UsageSays::of(usage, bill));
    }

    fn describe_row(&self, number: usize, report: &mut FindingReport) {
        let Some((usage, _)) = &self.usage else { return };
        let Some(row) = usage.rows.get(number) else { return };
        report.awu = row.awu.map(|awu| awu.to_string());
        report.model = Some(self.index.models.name(row.model).to_owned());
        let bill = Bill { file: row.file, line: row.line, billed: row.billed };
        report.usage = Some(UsageSays::of(usage, &bill));
    }
}

impl UsageSays {
    fn of(usage: &Usage, bill: &Bill) -> Self {
        Self { file: usage.files.get(bill.file).cloned(), line: Some(bill.line), billed: bill.billed }
    }
}

impl TelemetrySays {
    fn of(known: &Known) -> Self {
        let is_same = known.all_events_are_told() && (known.span_is_same || known.span.is_none());
        let differs = known.span_differs || known.event_differs;
        match () {
            () if known.is_untold() => Self::Nothing,
            () if known.span_differs && known.span_is_same => Self::Both,
            () if differs => Self::Different,
            () if is_same => Self::Same,
            () => Self::Part,
        }
    }

    /// The same in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "says the same as the journal",
            Self::Different => "says something else than the journal",
            Self::Both => "was delivered twice, once as the journal says and once not",
            Self::Part => "says a part of it",
            Self::Nothing => "says nothing of it",
            Self::Alone => "alone knows it",
        }
    }
}

impl Counts {
    fn of(findings: &Findings) -> Self {
        Self {
            unbilled: findings.count(Kind::Unbilled),
            unaccounted: findings.count(Kind::Unaccounted),
            mispriced: findings.count(Kind::Mispriced),
            missing: findings.count(Kind::Missing),
            rewritten: findings.count(Kind::Rewritten),
            correction: findings.count(Kind::Correction),
        }
    }

    /// How many there are of a kind.
    pub const fn of_kind(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Unbilled => self.unbilled,
            Kind::Unaccounted => self.unaccounted,
            Kind::Mispriced => self.mispriced,
            Kind::Missing => self.missing,
            Kind::Rewritten => self.rewritten,
            Kind::Correction => self.correction,
        }
    }
}
