//! Holds delivered telemetry against the journal: every span and every event of an AWU has to say what the journal says,
//! however often it was delivered, and in a span or as a log record.
//!
//! Spans of model calls, metrics, and AWUs of other runtimes are passed over.

use std::path::PathBuf;

use foldhash::{HashSet, HashSetExt as _};
use genops::core::AwuId;
use genops::core::event::runtime;
use genops::core::record::AwuRecord;
use genops::ledger::StoreError;
use genops_conformance::input::{self, Inputs};
use genops_conformance::otlp::record::{Event, Log, Span};
use genops_conformance::otlp::request::Records;
use genops_conformance::otlp::value::{Attributes, NAMESPACE};

use super::facts::{Facts, cut};
use super::findings::{About, Finding, Findings, Kind};
use super::journal::{Found, Index};
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
        strangers: HashSet::new(),
        spans: 0,
        events: 0,
        foreign: 0,
        outside: 0,
        progress: Progress::new("records of telemetry"),
        trouble: None,
    };
    let inputs = input::read(paths, &mut comparing).map_err(Trouble::unusable)?;
    if comparing.trouble.is_none() {
        comparing.find_missing();
    }
    let Comparing { spans, events, foreign, outside, trouble, .. } = comparing;
    match trouble {
        Some(error) => Err(Trouble::unusable(error)),
        None => Ok(Read { inputs, spans, events, foreign, outside }),
    }
}

struct Comparing<'a> {
    index: &'a mut Index,
    findings: &'a mut Findings,
    /// What telemetry alone knows, each found once.
    strangers: HashSet<AwuId>,
    spans: u64,
    events: u64,
    foreign: u64,
    outside: u64,
    progress: Progress,
    /// Why the journal cannot be read any more.
    trouble: Option<StoreError>,
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
        if !log.event.name.starts_with(NAMESPACE) {
            return;
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

impl Comparing<'_> {
    /// The AWU that a record is about. One that nobody else knows is found here.
    fn place(&mut self, trace: &[u8], span: &[u8], attributes: &Attributes<'_>) -> Option<usize> {
        let id = trace.try_into().ok().zip(span.try_into().ok());
        let id = id.map(|(trace_id, span_id)| AwuId { trace_id, span_id });
        match id.and_then(|id| self.index.find(id)) {
            Some(Found::Awu(place)) => return Some(place),
            Some(Found::Call(_)) => return None,
            Some(Found::Outside) => {
                self.outside += u64::from(attributes.has_genops());
                return None;
            }
            None => {}
        }
        if attributes.all().iter().any(|(name, _)| name.starts_with(OWN)) {
            self.add_stranger(id, attributes);
        } else {
            self.foreign += u64::from(attributes.has_genops());
        }
        None
    }

    fn add_stranger(&mut self, id: Option<AwuId>, attributes: &Attributes<'_>) {
        if id.is_some_and(|id| !self.strangers.insert(id)) {
            return;
        }
        let sequence = attributes.values(runtime::SEQUENCE).find_map(|value| value.int());
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
        let delivered = Facts::of_span(span);
        let Some(known) = self.index.awus.get_mut(place) else { return };
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
            self.rewritten(place, "its span", &Facts::of_record(&record), &delivered);
        }
    }

    fn take_event(&mut self, place: usize, event: &Event<'_>) {
        if !event.name.starts_with(NAMESPACE) {
            return;
        }
        self.events += 1;
        self.progress.reached(self.spans + self.events);
        let delivered = Facts::of_delivered(event);
        let print = delivered.print();
        let Some(known) = self.index.awus.get_mut(place) else { return };
        if let Some(told) = known.events.iter().position(|expected| *expected == print) {
            return known.tell_event(told);
        }
        known.event_differs = true;
        let Some(record) = self.record(place) else { return };
        let events = record.events();
        let expected = events.iter().enumerate().filter(|(_, expected)| expected.name == event.name);
        let expected = expected.map(|(number, expected)| (number, Facts::of_event(expected)));
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

    fn rewritten(&mut self, place: usize, whose: &str, expected: &Facts, delivered: &Facts) {
        let differences = expected.differences(delivered);
        let names: Vec<_> = differences.iter().map(|one| one.what).collect();
        let what = format!("{whose} does not say what the journal says: {}", names.join(", "));
        self.findings.keep(Finding { kind: Kind::Rewritten, about: About::Awu(place), what, differences });
    }

    fn record(&mut self, place: usize) -> Option<AwuRecord> {
        match self.index.record(place) {
            Ok(record) => record,
            Err(error) => {
                self.trouble.get_or_insert(error);
                None
            }
        }
    }

    /// What is over, and was not delivered, not even as something else.
    fn find_missing(&mut self) {
        for place in 0..self.index.awus.len() {
            let Some(known) = self.index.awus.get(place).filter(|known| known.span.is_some()) else {
                continue;
            };
            let what = match (known.span_is_told(), known.all_events_are_told()) {
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
    }

    fn missing_events(&mut self, place: usize) -> String {
        let Some(record) = self.record(place) else { return String::new() };
        let Some(known) = self.index.awus.get(place) else { return String::new() };
        let missing = record.events().into_iter().enumerate();
        let missing = missing.filter(|(number, _)| !known.event_is_told(*number));
        missing.map(|(_, event)| event.name).collect::<Vec<_>>().join(", ")
    }
}
