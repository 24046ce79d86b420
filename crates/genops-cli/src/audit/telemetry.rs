//! Holds delivered telemetry against the journal: every span and every event of an AWU has to say what the journal says,
//! however often it was delivered, and in a span or as a log record. So does every alert, correction and report of it, as a log
//! record.
//!
//! Spans of model calls, metrics, and AWUs of other runtimes are passed over.

use std::path::PathBuf;

use foldhash::{HashMap, HashMapExt as _, HashSet};
use genops::core::AwuId;
use genops::core::event::runtime;
use genops::core::news::BUDGET_ALERT;
use genops::core::record::AwuRecord;
use genops::ledger::StoreError;
use genops_conformance::input::{self, Inputs};
use genops_conformance::otlp::record::{Event, Log, Span};
use genops_conformance::otlp::request::Records;
use genops_conformance::otlp::value::{Attributes, NAMESPACE};

use super::facts::{Facts, cut};
use super::findings::{About, Finding, Findings, Kind};
use super::journal::{AWUS_MAX, Found, Index};
use super::progress::Progress;
use crate::Trouble;

/// What was read of telemetry.
pub struct Read {
    /// Where it came from, and what of it cannot be read.
    pub inputs: Inputs,
    /// How many spans of AWUs there were; of one that came twice, two.
    pub spans: u64,
    /// How many events there were, in spans and as log records.
    pub events: u64,
    /// How many AWUs of other runtimes were passed over.
    pub foreign: u64,
    /// How many AWUs were passed over that were decided at other times.
    pub outside: u64,
}

/// Reads telemetry, and finds what is rewritten and what is missing.
///
/// # Errors
///
/// Nothing of an input can be read, or the journal cannot be read any more.
pub fn compare(paths: &[PathBuf], index: &mut Index, findings: &mut Findings) -> Result<Read, Trouble> {
    let mut comparing = Comparing {
        index,
        findings,
        unknown: HashMap::new(),
        spans: 0,
        events: 0,
        foreign: 0,
        outside: 0,
        progress: Progress::new("records of telemetry"),
        trouble: None,
    };
    let inputs = input::read(paths, &mut comparing).map_err(Trouble::unusable)?;
    if comparing.trouble.is_none() {
        comparing.find_strangers();
        comparing.find_missing();
    }
    let Comparing { spans, events, foreign, outside, trouble, .. } = comparing;
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(Read { inputs, spans, events, foreign, outside }),
    }
}

struct Comparing<'a> {
    index: &'a mut Index,
    findings: &'a mut Findings,
    /// What is not audited: of other times, of other runtimes, or what telemetry alone knows.
    unknown: HashMap<AwuId, Unknown>,
    spans: u64,
    events: u64,
    foreign: u64,
    outside: u64,
    progress: Progress,
    /// Why nothing more is compared.
    trouble: Option<Trouble>,
}

/// What was delivered of an AWU that is not audited.
#[derive(Default)]
struct Unknown {
    /// How many records with attributes of the specification.
    records: u64,
    /// Whether any of them has attributes of this runtime.
    is_own: bool,
    /// The place in the journal that they claim.
    sequence: Option<i64>,
}

impl Records for Comparing<'_> {
    fn resource(&mut self, _: &[u8]) {}

    fn scope(&mut self, _: &[&[u8]]) {}

    fn span(&mut self, message: &[u8], _: bool) {
        let span = Span::read(message);
        let Some(place) = self.place(span.trace_id, span.span_id, &span.attributes) else { return };
        self.spans += 1;
        self.progress.reached(self.spans + self.events);
        self.take_span(place, &span);
        for event in &span.events {
            self.take_event(place, event);
        }
    }

    fn log(&mut self, message: &[u8], _: bool) {
        let log = Log::read(message);
        if !is_ours(log.event.name) {
            return;
        }
        if log.span_id.is_empty() && log.event.name == BUDGET_ALERT && is_own(&log.event.attributes) {
            return self.take_alone(&log.event);
        }
        if let Some(place) = self.place(log.trace_id, log.span_id, &log.event.attributes) {
            self.take_event(place, &log.event);
        }
    }

    fn metric(&mut self, _: &[u8]) {}

    fn unreadable(&mut self) {}
}

/// What this runtime's own attributes begin with.
const OWN: &str = "genops_runtime.";

/// Whether an event has a name of the specification, or one that this runtime adds.
fn is_ours(event: &str) -> bool {
    event.starts_with(NAMESPACE) || event.starts_with(OWN)
}

/// Whether this runtime says it.
fn is_own(attributes: &Attributes<'_>) -> bool {
    attributes.all().iter().any(|(name, _)| name.starts_with(OWN))
}

impl Comparing<'_> {
    /// The AWU that a record is about. One that nobody else knows is found here.
    fn place(&mut self, trace: &[u8], span: &[u8], attributes: &Attributes<'_>) -> Option<usize> {
        let id = trace.try_into().ok().zip(span.try_into().ok());
        let id = id.map(|(trace_id, span_id)| AwuId { trace_id, span_id });
        match id.and_then(|id| self.index.find(id)) {
            Some(Found::Awu(place)) => return Some(place),
            Some(Found::Call(_)) => return None,
            None => {}
        }
        let is_own = is_own(attributes);
        let records = u64::from(attributes.has_genops());
        let sequence = || attributes.values(runtime::SEQUENCE).find_map(|value| value.int());
        match id {
            _ if !is_own && records == 0 => {}
            None if is_own => self.add_stranger(None, sequence()),
            None => self.foreign += records,
            Some(id) if self.unknown.len() < AWUS_MAX || self.unknown.contains_key(&id) => {
                let unknown = self.unknown.entry(id).or_default();
                unknown.records += records;
                unknown.is_own |= is_own;
                unknown.sequence = unknown.sequence.or_else(sequence);
            }
            Some(_) => self.fail(format!(
                "the telemetry knows more than {AWUS_MAX} AWUs that are not audited: give that of this ledger and this time alone"
            )),
        }
        None
    }

    /// Tells AWUs of other times, those of other runtimes, and those that telemetry alone knows apart.
    fn find_strangers(&mut self) {
        let mut unknown: Vec<_> = std::mem::take(&mut self.unknown).into_iter().collect();
        unknown.sort_unstable_by_key(|(id, _)| *id);
        let ids: HashSet<AwuId> = unknown.iter().map(|(id, _)| *id).collect();
        let outside = self.index.outside_among(&ids);
        let Some(outside) = self.readable(outside) else { return };
        for (id, Unknown { records, is_own, sequence }) in unknown {
            match () {
                () if outside.contains(&id) => self.outside += records,
                () if is_own => self.add_stranger(Some(id), sequence),
                () => self.foreign += records,
            }
        }
    }

    fn add_stranger(&mut self, id: Option<AwuId>, sequence: Option<i64>) {
        let place = sequence.map_or(String::new(), |sequence| format!(", as entry {sequence}"));
        let later =
            sequence.is_some_and(|sequence| u64::try_from(sequence).is_ok_and(|it| it > self.index.entries));
        let hint = match later {
            true => format!(" of {}: it was written later, or it is another ledger's", self.index.entries),
            false => String::new(),
        };
        let what = match id {
            Some(_) => format!("telemetry knows an AWU{place}{hint}; the journal does not"),
            None => {
                format!("telemetry knows an AWU{place}{hint}, without an identity; the journal has none such")
            }
        };
        self.findings.add(Kind::Rewritten, About::Stranger(id), what);
    }

    fn take_span(&mut self, place: usize, span: &Span<'_>) {
        let Some(known) = self.index.awus.get_mut(place) else { return };
        let is_unnamed = known.is_unnamed;
        let delivered = Facts::of_span(span).of_whom(is_unnamed);
        if known.span == Some(delivered.print()) {
            known.span_is_same = true;
            return;
        }
        known.span_differs = true;
        if known.span.is_none() {
            let what = format!("its span says that it is over; in the journal it stands in {}", known.state);
            return self.findings.add(Kind::Rewritten, About::Awu(place), what);
        }
        if let Some(record) = self.record(place) {
            let expected = Facts::of_record(&record).of_whom(is_unnamed);
            self.rewritten(place, "its span", &expected, &delivered);
        }
    }

    fn take_event(&mut self, place: usize, event: &Event<'_>) {
        if !is_ours(event.name) {
            return;
        }
        self.events += 1;
        self.progress.reached(self.spans + self.events);
        let Some(known) = self.index.awus.get_mut(place) else { return };
        let delivered = Facts::of_delivered(event).of_whom(known.is_unnamed);
        if known.tell(delivered.print()) {
            return;
        }
        known.event_differs = true;
        let events = self.index.events(place);
        let Some(events) = self.readable(events) else { return };
        let expected = events.into_iter().enumerate().filter(|(_, (name, _))| *name == event.name);
        let expected = expected.map(|(number, (_, facts))| (number, facts));
        let nearest = expected.min_by_key(|(_, expected)| expected.differences(&delivered).len());
        let whose = format!("event {:?}", cut(event.name));
        match nearest {
            Some((number, expected)) => {
                if let Some(known) = self.index.awus.get_mut(place) {
                    // It was delivered, if not as it was.
                    known.tell_event(number);
                }
                self.rewritten(place, &whose, &expected, &delivered);
            }
            None => {
                let what = format!("{whose} was delivered; the journal has none such of it");
                self.findings.add(Kind::Rewritten, About::Awu(place), what);
            }
        }
    }

    /// An alert that is about no AWU.
    fn take_alone(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.progress.reached(self.spans + self.events);
        if !self.index.tell_alone(Facts::of_delivered(event)) {
            let what = "an alert was delivered that is about no AWU; the journal has none such".to_owned();
            self.findings.add(Kind::Rewritten, About::Stranger(None), what);
        }
    }

    fn rewritten(&mut self, place: usize, whose: &str, expected: &Facts, delivered: &Facts) {
        let differences = expected.differences(delivered);
        let names: Vec<_> = differences.iter().map(|one| one.what).collect();
        let what = format!("{whose} does not say what the journal says: {}", names.join(", "));
        self.findings.keep(Finding { kind: Kind::Rewritten, about: About::Awu(place), what, differences });
    }

    fn record(&mut self, place: usize) -> Option<AwuRecord> {
        let record = self.index.record(place);
        self.readable(record)?
    }

    /// What was read of the journal, unless it cannot be read any more.
    fn readable<T>(&mut self, read: Result<T, StoreError>) -> Option<T> {
        read.map_err(|error| self.fail(error.to_string())).ok()
    }

    fn fail(&mut self, why: String) {
        self.trouble.get_or_insert_with(|| Trouble::unusable(why));
    }

    /// What is over, or was told beside, and was not delivered, not even as something else.
    fn find_missing(&mut self) {
        for place in 0..self.index.awus.len() {
            let Some(known) = self.index.awus.get(place) else { continue };
            let is_over = known.span.is_some();
            let what = match (known.span_is_told() || !is_over, !known.misses_events()) {
                (true, true) => continue,
                (false, _) if known.is_untold() => "nothing of it was delivered".to_owned(),
                (false, true) => "its span was not delivered".to_owned(),
                (is_told, false) => {
                    let span = if is_told { "" } else { "its span; " };
                    format!(
                        "not delivered: {span}in a span or as log records, {}",
                        self.missing_events(place)
                    )
                }
            };
            self.findings.add(Kind::Missing, About::Awu(place), what);
        }
        for entry in self.index.untold_alone() {
            let what = format!("not delivered: an alert that is about no AWU, {BUDGET_ALERT}");
            self.findings.add(Kind::Missing, About::Entry(entry), what);
        }
    }

    fn missing_events(&mut self, place: usize) -> String {
        let events = self.index.events(place);
        let Some(events) = self.readable(events) else { return String::new() };
        let Some(known) = self.index.awus.get(place) else { return String::new() };
        let missing = events.iter().enumerate().filter(|(number, _)| known.misses_event(*number));
        missing.map(|(_, (name, _))| *name).collect::<Vec<_>>().join(", ")
    }
}
