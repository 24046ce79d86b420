//! One trace, judged: its AWUs are found, put together, and asked every rule.
//!
//! What a rule says is in [`rules`](crate::rules); what it all comes to for the capture is in
//! [`level`](crate::level).

use std::collections::HashSet;

use crate::across::{Across, Met, Orphan};
use crate::assemble::{Kind, Trace};
use crate::awu::{Awu, AwuEvent, Call, Gaps, State, Told, is_call};
use crate::catalogue::{Id, REQUIREMENTS};
use crate::otlp::record::{Log, Span};
use crate::otlp::value::{Attributes, NAMESPACE};
use crate::rules::{self, Strictness};
use crate::verdict::{Evidence, Outcome, Tally, Verdict};

/// So many findings of one requirement, and as many advisories, are kept as examples; the rest is counted.
const EXAMPLES_MAX: usize = 20;

/// Of so many reports of one span each is compared with the others.
const REPORTS_MAX: usize = 64;

/// Among so many events of one name and time the copy of a log record is looked for.
const COPIES_MAX: usize = 16;

/// So many events of one AWU are looked at.
const EVENTS_MAX: usize = 1_024;

/// So many model calls of one AWU are looked at.
const CALLS_MAX: usize = 1_024;

/// So many spans between a model call and its AWU are looked through.
const DEPTH_MAX: usize = 64;

/// What has been judged so far.
#[derive(Debug)]
pub struct Judgement {
    /// How strictly.
    pub strictness: Strictness,
    /// For each requirement, by its place.
    pub tallies: [Tally; REQUIREMENTS.len()],
    /// Examples of what is broken or worth a look.
    pub findings: Vec<Finding>,
    /// What was in the capture.
    pub counts: Counts,
    /// What is gathered over all AWUs.
    pub across: Across,
    /// How many examples there are: of what is broken, and of what is worth a look.
    examples: [[usize; 2]; REQUIREMENTS.len()],
}

/// Something that is broken, or worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The requirement.
    pub id: Id,
    /// [`Verdict::Fail`] or [`Verdict::Advisory`].
    pub verdict: Verdict,
    /// The AWU, as `trace-span` in hexadecimal; none where it is about the capture.
    pub awu: Option<String>,
    /// What was seen.
    pub evidence: Evidence,
}

/// What was in the capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans, resends not among them.
    pub spans: u64,
    /// Log records, resends not among them.
    pub logs: u64,
    /// Records that came again, identical.
    pub resent: u64,
    /// AWUs.
    pub awus: u64,
    /// AWUs by the state that their life came to, in the order of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Records of which something could not be read.
    pub broken: u64,
    /// Log records about AWUs that had been judged already, to make room.
    pub late: u64,
    /// Attributes, events and links that exporters left out, by their own account.
    pub dropped: u64,
    /// Spans that their sampler would have left out, or of which it says that it leaves others out.
    pub sampled: u64,
    /// The first and the last time on an AWU, in nanoseconds since 1970.
    pub window: Option<(u64, u64)>,
}

/// A span of the trace, and what is known of it.
struct Node<'a> {
    span: Span<'a>,
    resource: usize,
    is_flawed: bool,
}

impl Judgement {
    /// Nothing has been judged.
    #[must_use]
    pub fn new(strictness: Strictness) -> Self {
        Self {
            strictness,
            tallies: [Tally::default(); REQUIREMENTS.len()],
            findings: Vec::new(),
            counts: Counts::default(),
            across: Across::default(),
            examples: [[0; 2]; REQUIREMENTS.len()],
        }
    }

    /// Judges the AWUs of a trace.
    pub fn trace(&mut self, trace: &Trace) {
        let resources: Vec<Attributes<'_>> = trace.resources().collect();
        let (nodes, logs) = self.read(trace);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|at| nodes.get(*at).map(|node| node.span.span_id));
        let family = Family::of(&nodes, &order, &logs);
        for group in order.chunk_by(|one, other| family.id(*one) == family.id(*other)) {
            self.span(&family, &resources, group, trace.was_cut);
        }
        self.orphans(&family, trace.was_cut);
    }

    /// Judges the capture as a whole. Everything that came has to be judged by then.
    pub fn capture(&mut self) {
        for (id, rule) in rules::OF_CAPTURE.iter().copied().flatten() {
            let outcome = rule(&self.across, self.strictness);
            // The AWUs have answered one by one: only what no single one of them could see is added.
            let has_answers = self.tallies.get(id.place()).is_some_and(|tally| *tally != Tally::default());
            let adds = matches!(outcome, Outcome::Fail(_) | Outcome::Advisory(_));
            if adds || !has_answers {
                self.take(*id, None, outcome);
            }
        }
    }

    /// Counts what a rule says, and keeps an example.
    #[inline]
    pub fn take(&mut self, id: Id, awu: Option<&Span<'_>>, outcome: Outcome) {
        if let Some(tally) = self.tallies.get_mut(id.place()) {
            tally.count(&outcome);
        }
        if matches!(outcome, Outcome::Fail(_) | Outcome::Advisory(_)) {
            self.keep(id, awu, outcome);
        }
    }

    /// Keeps what is broken or worth a look as an example, as long as there are few of its kind.
    fn keep(&mut self, id: Id, awu: Option<&Span<'_>>, outcome: Outcome) {
        let (verdict, evidence) = match outcome {
            Outcome::Fail(evidence) => (Verdict::Fail, evidence),
            Outcome::Advisory(evidence) => (Verdict::Advisory, evidence),
            _ => return,
        };
        let Some([broken, advised]) = self.examples.get_mut(id.place()) else { return };
        let examples = if verdict == Verdict::Fail { broken } else { advised };
        if *examples < EXAMPLES_MAX {
            *examples += 1;
            let awu = awu.map(|span| format!("{}-{}", hex(span.trace_id), hex(span.span_id)));
            self.findings.push(Finding { id, verdict, awu, evidence: *evidence });
        }
    }

    fn read<'a>(&mut self, trace: &'a Trace) -> (Vec<Node<'a>>, Vec<Log<'a>>) {
        let (mut nodes, mut logs) = (Vec::new(), Vec::<Log<'a>>::new());
        for record in trace.records() {
            match record.kind {
                Kind::Span => {
                    let span = Span::read(record.message);
                    let is_flawed = record.is_flawed || span.is_broken;
                    nodes.push(Node { span, resource: record.resource, is_flawed });
                    self.counts.broken += u64::from(is_flawed);
                }
                Kind::Log => {
                    let log = Log::read(record.message);
                    self.counts.broken += u64::from(record.is_flawed || log.is_broken);
                    logs.push(log);
                }
            }
        }
        let came = logs.len();
        // Stable: log records of one time keep the order in which they came.
        logs.sort_by_key(|log| (log.span_id, log.event.time));
        // A resend need not stand beside the first: another event of the same time may lie between them.
        let mut told = HashSet::new();
        logs.retain(|log| told.insert(self.across.content_of_log(log)));
        self.counts.resent += (came - logs.len()) as u64;
        self.counts.logs += logs.len() as u64;
        (nodes, logs)
    }

    /// Judges the span that all of `group` report, if it is an AWU.
    fn span(&mut self, family: &Family<'_>, resources: &[Attributes<'_>], group: &[usize], was_cut: bool) {
        let nodes = || group.iter().filter_map(|at| family.nodes.get(*at));
        // An open span before its end gives way to the one that has ended.
        let Some(node) = nodes().find(|node| node.span.end != 0).or_else(|| nodes().next()) else { return };
        let mut others: Vec<&Span<'_>> = Vec::new();
        for other in nodes().take(REPORTS_MAX) {
            if !std::ptr::eq(other, node) {
                let is_known = |span: &Span<'_>| span.is_same(&other.span);
                match is_known(&node.span) || others.iter().any(|span| is_known(span)) {
                    true => self.counts.resent += 1,
                    false => others.push(&other.span),
                }
            }
        }
        self.counts.spans += 1;
        if !group.iter().any(|at| family.is_awu(*at)) {
            return;
        }
        match self.across.meet(&node.span) {
            Met::New => {}
            Met::Again => {
                self.counts.resent += 1;
                return;
            }
            Met::Reused => {
                let awu = format!("{}-{}", hex(node.span.trace_id), hex(node.span.span_id));
                let evidence =
                    Evidence::new("AWU span", "span_id", awu, "an identity that no AWU had before");
                self.across.reused.get_or_insert(evidence.mend("make new ids for every AWU"));
            }
        }
        let empty = Attributes::default();
        let resource = resources.get(node.resource).unwrap_or(&empty);
        let (events, calls) = (family.events(&node.span), family.calls(node));
        let mut gaps = gaps(node, was_cut);
        if events.len() >= EVENTS_MAX {
            gaps.events = Some("it has more events than are looked at");
        }
        if calls.len() >= CALLS_MAX {
            gaps.spans = Some("it has more model calls than are looked at");
        }
        let awu = Awu::new(&node.span, resource, events, calls, others, gaps);
        self.awu(&awu);
    }

    fn awu(&mut self, awu: &Awu<'_>) {
        for (id, rule) in rules::OF_AWU.iter().copied().flatten() {
            let outcome = rule(awu, self.strictness);
            self.take(*id, Some(awu.span), outcome);
        }
        self.across.note(awu);
        self.counts.note(awu);
    }

    /// Log records of governance whose span is not here.
    fn orphans(&mut self, family: &Family<'_>, was_cut: bool) {
        let is_complete = self.strictness.is_complete && !was_cut;
        let strictness = Strictness { is_complete, ..self.strictness };
        let is_governance = |log: &&Log<'_>| log.event.name.starts_with(NAMESPACE);
        let is_left = |log: &&Log<'_>| family.find(log.span_id).is_none();
        let left: Vec<&Log<'_>> = family.logs.iter().filter(is_governance).filter(is_left).collect();
        for logs in left.chunk_by(|one, other| one.span_id == other.span_id) {
            let Some(first) = logs.first() else { continue };
            if self.across.has_judged(first.trace_id, first.span_id) {
                self.counts.late += logs.len() as u64;
                continue;
            }
            let orphan = Orphan { trace_id: first.trace_id, span_id: first.span_id, logs };
            self.across.note_orphan(&orphan);
            for (id, rule) in rules::OF_ORPHAN.iter().copied().flatten() {
                let span = Span { trace_id: first.trace_id, span_id: first.span_id, ..Span::default() };
                let outcome = rule(&orphan, strictness);
                self.take(*id, Some(&span), outcome);
            }
        }
    }
}

impl Counts {
    fn note(&mut self, awu: &Awu<'_>) {
        self.awus += 1;
        let place = State::ALL.iter().position(|state| *state == awu.state);
        if let Some(count) = place.and_then(|place| self.states.get_mut(place)) {
            *count += 1;
        }
        let dropped = awu.span.dropped;
        self.dropped = self.dropped.saturating_add(dropped.attributes.saturating_add(dropped.events));
        self.dropped = self.dropped.saturating_add(dropped.links);
        self.sampled += u64::from(awu.gaps.spans == Some(SAMPLED));
        let (start, end) = (awu.span.start, awu.span.end.max(awu.span.start));
        self.window = Some(match self.window {
            Some((first, last)) => (first.min(start), last.max(end)),
            None => (start, end),
        });
    }
}

/// The spans and log records of a trace, and how they belong together.
struct Family<'a> {
    nodes: &'a [Node<'a>],
    /// The places of the nodes, by their identifiers.
    order: &'a [usize],
    /// By the identifiers of their spans.
    logs: &'a [Log<'a>],
    /// For each node, whether it is an AWU.
    awus: Vec<bool>,
    /// The identifier of an AWU, and the place of a model call below it; by the identifiers.
    calls: Vec<(&'a [u8], usize)>,
}

impl<'a> Family<'a> {
    fn of(nodes: &'a [Node<'a>], order: &'a [usize], logs: &'a [Log<'a>]) -> Self {
        let mut family = Self { nodes, order, logs, awus: Vec::new(), calls: Vec::new() };
        let mut awus: Vec<bool> = nodes.iter().map(|node| family.is_candidate(&node.span)).collect();
        // Of several reports of one span it is enough that one is an AWU's.
        for group in order.chunk_by(|one, other| family.id(*one) == family.id(*other)) {
            if group.iter().any(|at| awus.get(*at) == Some(&true)) {
                for at in group {
                    awus.get_mut(*at).into_iter().for_each(|is_awu| *is_awu = true);
                }
            }
        }
        family.awus = awus;
        // An AWU of its own is nobody's call.
        let is_its_call =
            |at: usize| nodes.get(at).is_some_and(|node| is_call(&node.span)) && !family.is_awu(at);
        let calls = (0..nodes.len()).filter(|at| is_its_call(*at));
        family.calls = calls.filter_map(|at| Some((family.awu_above(nodes.get(at)?)?, at))).collect();
        family.calls.sort_unstable();
        family
    }

    fn id(&self, at: usize) -> &'a [u8] {
        self.nodes.get(at).map_or(&[], |node| node.span.span_id)
    }

    fn find(&self, span_id: &[u8]) -> Option<usize> {
        let at = self.order.partition_point(|at| self.id(*at) < span_id);
        let at = *self.order.get(at)?;
        (self.id(at) == span_id).then_some(at)
    }

    fn is_awu(&self, at: usize) -> bool {
        self.awus.get(at).copied().unwrap_or_default()
    }

    fn logs_of(&self, span_id: &[u8]) -> &'a [Log<'a>] {
        let from = self.logs.partition_point(|log| log.span_id < span_id);
        let until = self.logs.partition_point(|log| log.span_id <= span_id);
        self.logs.get(from..until).unwrap_or_default()
    }

    /// `awu_candidate` of the catalogue.
    fn is_candidate(&self, span: &Span<'_>) -> bool {
        let named = |name: &str| name.starts_with(NAMESPACE);
        span.attributes.has_genops()
            || span.events.iter().any(|event| named(event.name))
            || self.logs_of(span.span_id).iter().any(|log| named(log.event.name))
    }

    /// The AWU that a model call belongs to: the nearest above it. An AWU's own span is not its call.
    fn awu_above(&self, node: &Node<'a>) -> Option<&'a [u8]> {
        let mut parent = node.span.parent_span_id;
        for _ in 0..DEPTH_MAX {
            let above = self.find(parent)?;
            if self.is_awu(above) {
                return Some(self.id(above));
            }
            parent = self.nodes.get(above)?.span.parent_span_id;
        }
        None
    }

    /// The governance events of an AWU, told either way; identical copies are one.
    fn events(&self, span: &'a Span<'a>) -> Vec<AwuEvent<'a>> {
        let governance =
            span.events.iter().filter(|event| event.name.starts_with(NAMESPACE)).take(EVENTS_MAX);
        let mut events: Vec<_> = governance.map(|event| AwuEvent { event, told: Told::Span }).collect();
        let on_span = events.len();
        let logs = self.logs_of(span.span_id).iter();
        for log in logs.filter(|log| log.event.name.starts_with(NAMESPACE)).take(EVENTS_MAX) {
            let may_be = |told: &&mut AwuEvent<'_>| {
                told.told == Told::Span
                    && told.event.name == log.event.name
                    && told.event.time.abs_diff(log.event.time) <= SAME_TIME_NS
            };
            let mut near = events.iter_mut().take(on_span).filter(may_be).take(COPIES_MAX);
            let copy = near.find(|told| told.event.attributes.is_same(&log.event.attributes));
            match copy {
                Some(told) => told.told = Told::Both,
                None => events.push(AwuEvent { event: &log.event, told: Told::Log }),
            }
        }
        events
    }

    fn calls(&self, awu: &Node<'a>) -> Vec<Call<'a>> {
        let from = self.calls.partition_point(|(owner, _)| *owner < awu.span.span_id);
        let own =
            self.calls.iter().skip(from).take_while(|(owner, _)| *owner == awu.span.span_id).take(CALLS_MAX);
        let nodes = own.filter_map(|(_, at)| self.nodes.get(*at));
        let call = |node: &'a Node<'a>| Call { span: &node.span, other_clock: node.resource != awu.resource };
        let mut calls: Vec<Call<'_>> = nodes.map(call).collect();
        // A resend of a call is one call.
        calls.sort_by_key(|call| call.span.span_id);
        calls.dedup_by_key(|call| call.span.span_id);
        calls
    }
}

/// Copies of one event may differ by so much in time (AMB-18).
const SAME_TIME_NS: u64 = 1_000_000;

const SAMPLED: &str = "a sampler leaves spans out";

fn gaps(node: &Node<'_>, was_cut: bool) -> Gaps {
    let span = &node.span;
    let mut gaps = Gaps::default();
    if span.dropped.attributes > 0 {
        gaps.attributes = Some("the exporter left out attributes of the span");
    }
    if span.dropped.events > 0 || span.events.iter().any(|event| event.dropped_attributes > 0) {
        gaps.events = Some("the exporter left out events, or attributes of events");
    }
    // The sampled flag says nothing: what was not sampled is not exported, and several exporters never set it.
    if is_thinned(span.trace_state) {
        gaps.spans = Some(SAMPLED);
        gaps.events = gaps.events.or(gaps.spans);
    }
    if was_cut {
        gaps.later =
            Some("its trace was judged before the input ended, to make room: check with more --memory");
    }
    if node.is_flawed {
        let broken = Some("a part of the span could not be read");
        gaps = Gaps {
            attributes: gaps.attributes.or(broken),
            events: gaps.events.or(broken),
            spans: gaps.spans.or(broken),
            later: gaps.later,
        };
    }
    gaps
}

/// Whether a sampler says in the trace state that it lets only a part pass (`ot=th:…`, with a threshold above 0).
fn is_thinned(trace_state: &str) -> bool {
    let members = trace_state.split(',').filter_map(|member| member.trim().strip_prefix("ot="));
    let thresholds = members.flat_map(|member| member.split(';')).filter_map(|part| part.strip_prefix("th:"));
    thresholds.into_iter().any(|threshold| threshold.bytes().any(|digit| digit != b'0'))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
