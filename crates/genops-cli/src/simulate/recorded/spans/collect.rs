//! Spans while they come, and what calls they come to in the end.
//!
//! A call and what is said about it may stand in different spans, in any order; so both are kept until all are there.

use foldhash::{HashMap, HashMapExt as _};
use std::fmt;

use genops_conformance::otlp::record::Span;
use genops_conformance::otlp::request::Records;
use genops_conformance::otlp::value::Attributes;
use genops_conformance::otlp::wire::{Field, Fields};
use genops_core::{Name, Timestamp};

use super::super::distinct::Distinct;
use super::super::{
    At, CALLS_MAX, Facet, LABELS_MAX, Labels, LabelsId, PassedOver, Place, ReadError, Recorded, Source,
    Traffic,
};
use super::call::{self, Kind, Usage};
use super::{Mapping, is_of_the_call};

/// Spans, as far as they are calls or say something about calls.
pub struct Spans<'m> {
    /// What is known of where they come from.
    pub source: Source,
    place: Place,
    mapping: &'m Mapping,
    /// What the resource of the next spans says.
    resource: u32,
    said: Distinct<Said>,
    calls: Vec<Call>,
    spans: HashMap<Id, Kept>,
    is_full: bool,
}

/// A span, by its trace and its own identifier.
type Id = ([u8; 16], [u8; 8]);

/// What was said for every label: how late its attribute is asked for, and the value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Said([Option<(usize, Name)>; Facet::ALL.len()]);

/// A call that was told.
struct Call {
    /// Its labels are found in the end.
    recorded: Recorded,
    kind: Kind,
    parent: Option<Id>,
    said: u32,
    resource: u32,
    is_told_elsewhere: bool,
}

/// A span that is a call, or that says something about calls below it.
struct Kept {
    parent: Option<Id>,
    said: u32,
    /// The place of the call that it tells.
    call: Option<usize>,
    /// It is an AWU, below which no call was found.
    is_idle_awu: bool,
}

impl<'m> Spans<'m> {
    /// None yet. `name` is what their source is called in messages.
    pub fn new(name: String, mapping: &'m Mapping, traffic: &Traffic) -> Self {
        let mut spans = Self {
            source: Source { name, ..Source::default() },
            place: traffic.here(At::Span(0)),
            mapping,
            resource: 0,
            said: Distinct::default(),
            calls: Vec::new(),
            spans: HashMap::new(),
            is_full: false,
        };
        spans.resource = spans.place_of(Said::default());
        spans
    }

    /// Adds the calls to `traffic`, each once and with its labels.
    ///
    /// # Errors
    ///
    /// There are none, or more than is kept.
    pub fn finish(mut self, traffic: &mut Traffic) -> Result<(), ReadError> {
        if self.is_full {
            return Err(ReadError::TooMany { max: CALLS_MAX, what: "spans that tell of calls" });
        }
        self.find_same_calls();
        for call in std::mem::take(&mut self.calls) {
            if call.is_told_elsewhere {
                self.pass_over(PassedOver::SameCall);
                continue;
            }
            let said = self.all_said_of(&call);
            self.count_origins(&said);
            let labels = traffic.label(said.into_labels())?;
            traffic.add(Recorded { labels, ..call.recorded })?;
            self.source.calls += 1;
        }
        let idle = self.spans.values().filter(|span| span.is_idle_awu).count();
        for _ in 0..idle {
            self.pass_over(PassedOver::AwuWithoutCall);
        }
        traffic.keep(self.source)
    }

    fn pass_over(&mut self, what: PassedOver) {
        *self.source.passed_over.entry(what).or_default() += 1;
    }

    fn place_of(&mut self, said: Said) -> u32 {
        self.said.place_of(said, LABELS_MAX).unwrap_or_else(|| {
            self.is_full = true;
            0
        })
    }
}

/// Taking spans in.
impl Records for Spans<'_> {
    fn resource(&mut self, message: &[u8]) {
        let mut attributes = Attributes::default();
        for field in Fields::of(message) {
            if let Ok((1, Field::Bytes(pair))) = field {
                attributes.add(pair);
            }
        }
        let said = self.said_by(&attributes, Whose(None));
        self.resource = self.place_of(said);
    }

    fn scope(&mut self, _: &[&[u8]]) {}

    fn span(&mut self, message: &[u8], is_flawed: bool) {
        let span = Span::read(message);
        let id = id_of(span.trace_id, span.span_id);
        if id.is_some_and(|id| self.spans.contains_key(&id)) {
            self.pass_over(PassedOver::Repeated);
            return;
        }
        let usage = Usage::of(&span.attributes);
        let kind = call::kind(&span, &usage);
        let is_awu = span.attributes.values(AWU).next().is_some();
        if kind.is_none() && !is_awu {
            self.pass_over(PassedOver::OtherWork);
        }
        let is_about_calls =
            kind.is_some() || span.attributes.all().iter().any(|(name, _)| self.is_asked(name));
        if !is_about_calls {
            return;
        }
        if is_flawed || span.is_broken {
            self.source.problems.add(format!("{}: a part of it cannot be read", Whose(Some(&span))));
        }
        let said = self.said_by(&span.attributes, Whose(Some(&span)));
        let said = self.place_of(said);
        let parent = id_of(span.trace_id, span.parent_span_id);
        let call = kind.and_then(|kind| self.add_call(&span, usage, kind, said));
        match id {
            Some(_) if self.spans.len() == CALLS_MAX => self.is_full = true,
            Some(id) => drop(self.spans.insert(id, Kept { parent, said, call, is_idle_awu: is_awu })),
            None => {}
        }
    }

    fn log(&mut self, _: &[u8], _: bool) {}

    fn metric(&mut self, _: &[u8]) {}

    fn unreadable(&mut self) {
        self.source.problems.add("a part of it is no span and no list of spans".to_owned());
    }
}

/// The attribute that every AWU has, and nothing else.
const AWU: &str = "genops.operation.name";

impl Spans<'_> {
    /// Whether spans are asked for an attribute, so that this one tells something about calls.
    fn is_asked(&self, attribute: &str) -> bool {
        attribute == AWU
            || attribute.starts_with("gen_ai.")
            || Facet::ALL.iter().any(|label| self.mapping.names(*label).iter().any(|name| name == attribute))
    }

    /// Keeps a call. Gives its place, if it is one that can be used.
    fn add_call(&mut self, span: &Span<'_>, usage: Usage, kind: Kind, said: u32) -> Option<usize> {
        let id = span.span_id.try_into().map_or(0, u64::from_be_bytes);
        if span.start == 0 {
            self.source.problems.add(format!("{}: it does not say when it began", Whose(Some(span))));
            return None;
        }
        if self.calls.len() == CALLS_MAX {
            self.is_full = true;
            return None;
        }
        let recorded = Recorded {
            at: Timestamp::from_nanos(span.start),
            labels: LabelsId(0),
            context_tokens: usage.input,
            cached_tokens: usage.cached,
            cache_write_tokens: usage.cache_write,
            generated_tokens: usage.output,
            output_limit: call::output_limit(&span.attributes),
            latency_ns: span.end.checked_sub(span.start),
            failed: call::failed(span),
            place: Place { at: At::Span(id), ..self.place },
        };
        let (parent, resource) = (id_of(span.trace_id, span.parent_span_id), self.resource);
        self.calls.push(Call { recorded, kind, parent, said, resource, is_told_elsewhere: false });
        Some(self.calls.len() - 1)
    }

    /// What some attributes say for the labels. `whose` they are is for messages.
    fn said_by(&mut self, attributes: &Attributes<'_>, whose: Whose<'_>) -> Said {
        let mut said = Said::default();
        for (label, place) in Facet::ALL.into_iter().zip(&mut said.0) {
            for (rank, name) in self.mapping.names(label).iter().enumerate() {
                let text = call::text(attributes, &[name]).filter(|text| !text.starts_with(NOBODY));
                match text.map(|text| Name::new(text.trim())) {
                    Some(Ok(value)) => {
                        *place = Some((rank, value));
                        break;
                    }
                    Some(Err(error)) => {
                        self.source.problems.add(format!("{whose}: {name} is passed over: it {error}"));
                    }
                    None => {}
                }
            }
        }
        said
    }
}

/// What a service without a name is called by OpenTelemetry's libraries, perhaps with its program behind it.
const NOBODY: &str = "unknown_service";

/// So far up is looked for what is said about a call.
const DEPTH_MAX: usize = 64;

/// Finding out what was told.
impl Spans<'_> {
    /// Marks the calls that are told by another span too: of a span around spans of the same kind, those count that
    /// report what was used. The inner ones are nearer to the provider, and each attempt is one.
    fn find_same_calls(&mut self) {
        let pairs: Vec<(usize, usize)> = (0..self.calls.len())
            .filter_map(|inner| self.outer_of(inner).map(|outer| (outer, inner)))
            .collect();
        let is_reported =
            |call: &Call| call.recorded.context_tokens.is_some() || call.recorded.generated_tokens.is_some();
        let (reporting, silent): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(_, inner)| self.calls.get(*inner).is_some_and(is_reported));
        for (outer, _) in reporting {
            self.mark(outer);
        }
        for (outer, inner) in silent {
            let counts = |call: &Call| !call.is_told_elsewhere && is_reported(call);
            let outer_counts = self.calls.get(outer).is_some_and(counts);
            let outer_is_gone = self.calls.get(outer).is_none_or(|call| call.is_told_elsewhere);
            match (outer_counts, outer_is_gone) {
                (true, _) => self.mark(inner),
                (false, false) => self.mark(outer),
                (false, true) => {}
            }
        }
    }

    /// The place of the call around a call that does the same.
    fn outer_of(&self, inner: usize) -> Option<usize> {
        let call = self.calls.get(inner)?;
        let outer = self.spans.get(&call.parent?)?.call?;
        (self.calls.get(outer)?.kind == call.kind).then_some(outer)
    }

    fn mark(&mut self, call: usize) {
        if let Some(call) = self.calls.get_mut(call) {
            call.is_told_elsewhere = true;
        }
    }

    /// What is said about a call: by itself, the spans above it from near to far, and its resource.
    fn all_said_of(&mut self, call: &Call) -> Said {
        let mut said = self.said.get(call.said).cloned().unwrap_or_default();
        let mut next = call.parent;
        for _ in 0..DEPTH_MAX {
            let Some(above) = next.and_then(|id| self.spans.get_mut(&id)) else { break };
            above.is_idle_awu = false;
            next = above.parent;
            said.add(self.said.get(above.said));
        }
        said.add(self.said.get(call.resource));
        said
    }

    fn count_origins(&mut self, said: &Said) {
        for (label, found) in Facet::ALL.into_iter().zip(&said.0) {
            let Some((rank, _)) = found else { continue };
            let Some(name) = self.mapping.names(label).get(*rank) else { continue };
            *self.source.origins.entry((label, name.clone())).or_default() += 1;
        }
    }
}

impl Said {
    /// Takes what is said elsewhere by an attribute that is asked for earlier.
    fn add(&mut self, other: Option<&Self>) {
        let Some(other) = other else { return };
        for ((label, own), other) in Facet::ALL.into_iter().zip(&mut self.0).zip(&other.0) {
            let is_earlier = match (&own, other) {
                (Some((own, _)), Some((other, _))) => other < own,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if is_earlier && !is_of_the_call(label) {
                own.clone_from(other);
            }
        }
    }

    fn into_labels(self) -> Labels {
        Labels(self.0.map(|found| found.map(|(_, value)| value)))
    }
}

/// The identity of a span, if both parts are well formed.
fn id_of(trace: &[u8], span: &[u8]) -> Option<Id> {
    Some((trace.try_into().ok()?, span.try_into().ok()?))
}

/// Whose a problem is, for people: a span's, or a resource's.
#[derive(Clone, Copy)]
struct Whose<'s>(Option<&'s Span<'s>>);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = self.0 else { return f.write_str("a resource") };
        f.write_str("span ")?;
        span.span_id.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
