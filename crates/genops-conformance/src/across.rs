//! What is gathered over all AWUs of a capture, for the rules that no single AWU can answer.
//!
//! All of it is bounded: what does not fit is not looked at, and the counts say so. Nothing is judged here.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;
use genops_spec::event::{BUDGET_RECONCILIATION, BUDGET_RESERVATION};

use crate::awu::{Awu, number};
use crate::key::{self, Key};
use crate::otlp::record::{Event, Log, Span};
use crate::otlp::value::{Attributes, Value};
use crate::rules;
use crate::verdict::Evidence;

/// Log records whose AWU's span is not in the capture: all that name one AWU, or one that names none.
#[derive(Debug)]
pub struct Orphan<'a> {
    /// The trace and the span that they name; empty where they name none.
    pub trace_id: &'a [u8],
    /// See `trace_id`.
    pub span_id: &'a [u8],
    /// The records whose event names begin with `genops.`.
    pub logs: &'a [&'a Log<'a>],
}

/// What is known of the capture as a whole.
#[derive(Debug, Default)]
pub struct Across {
    /// The first AWU whose identity came again, after it had been judged, with other content.
    pub reused: Option<Evidence>,
    /// The first identifier of a reservation or decision that stood on two AWUs.
    pub shared: Option<Evidence>,
    /// The first identifier of which the reservation names one AWU and the reconciliation another.
    pub moved: Option<Evidence>,
    /// How many AWUs carried such an identifier.
    pub identified: u64,
    /// The first resource that declared two versions of the specification.
    pub versions: Option<Evidence>,
    /// How many AWUs declared a version.
    pub versioned: u64,
    /// The first attribute of the specification that another signal, a resource or a scope redefines.
    pub clash: Option<Evidence>,
    /// What varies from AWU to AWU.
    pub variety: Variety,
    seen: Seen,
    owners: HashMap<u64, u64, RandomState>,
    declared: HashMap<u64, String, RandomState>,
    /// Seeded anew in every process. Who aims at equal numbers for unlike contents can hide a reuse, and nothing else.
    hasher: RandomState,
}

/// What varies from AWU to AWU, and what should.
#[derive(Debug, Default)]
pub struct Variety {
    /// How many AWUs there were.
    pub awus: u64,
    /// How many ran and carried both amounts.
    pub measured: u64,
    /// How many of those had an actual that equals what was reserved, above 0.
    pub equal: u64,
    /// Whether not all of them reserved the same.
    pub reserved_varies: bool,
    /// Whether not all of them used the same.
    pub actual_varies: bool,
    /// How many AWUs had a model call below them.
    pub called: u64,
    /// What the first of them reserved and used, to the bit.
    first: Option<(u64, u64)>,
}

/// What an AWU came to when its identity was met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Never, as far as is known.
    New,
    /// With the same content: a resend.
    Again,
    /// With other content.
    Reused,
}

/// The most identifiers, resources and owners that are remembered.
const REMEMBERED_MAX: usize = 1 << 20;
const RESOURCES_MAX: usize = 1 << 14;

impl Across {
    /// Notes a judged AWU.
    pub fn note(&mut self, awu: &Awu<'_>) {
        self.note_variety(awu);
        self.note_version(awu);
        let events = awu.events.iter().map(|told| told.event);
        let is_identified = self.note_identifiers(awu.span.trace_id, awu.span.span_id, events);
        self.identified += u64::from(is_identified);
        self.note_resource(awu);
    }

    /// Whether the AWU of this span has been judged before. Remembers it.
    pub fn meet(&mut self, span: &Span<'_>) -> Met {
        let id = self.hasher.hash_one((span.trace_id, span.span_id));
        let content = self.content(span);
        self.seen.meet(id, content)
    }

    /// Whether the AWU with this identity has been judged before.
    #[must_use]
    pub fn has_judged(&self, trace_id: &[u8], span_id: &[u8]) -> bool {
        self.seen.has(self.hasher.hash_one((trace_id, span_id)))
    }

    /// Notes attributes that stand elsewhere than on an AWU's span: of a scope, a metric, another log record.
    pub fn note_elsewhere(&mut self, place: &'static str, attributes: &Attributes<'_>) {
        if self.clash.is_some() || !attributes.has_genops() {
            return;
        }
        for key in key::all() {
            if let Some(value) = attributes.get(key)
                && let Some(expected) = rules::misuse(key, &value)
            {
                let evidence = Evidence::new(place, key.name(), value.to_string(), expected);
                self.clash =
                    Some(evidence.mend("use the name as the specification defines it, or another name"));
            }
        }
    }

    fn note_variety(&mut self, awu: &Awu<'_>) {
        let variety = &mut self.variety;
        variety.awus += 1;
        let amount = |key| awu.get(key).and_then(number);
        variety.called += u64::from(!awu.calls.is_empty());
        if awu.executed()
            && let (Some(reserved), Some(actual)) =
                (amount(key::ACCOUNTING_RESERVED), amount(key::ACCOUNTING_ACTUAL))
        {
            // To the bit: a copy is what is looked for.
            let amounts = (reserved.to_bits(), actual.to_bits());
            let first = *variety.first.get_or_insert(amounts);
            variety.measured += 1;
            variety.equal += u64::from(amounts.0 == amounts.1 && reserved > 0.0);
            variety.reserved_varies |= amounts.0 != first.0;
            variety.actual_varies |= amounts.1 != first.1;
        }
    }

    fn note_version(&mut self, awu: &Awu<'_>) {
        let Some(version) = awu.text(key::VERSION) else { return };
        self.versioned += 1;
        let resource = self.resource_identity(awu.resource);
        match self.declared.get(&resource) {
            Some(declared) if *declared != shortened(version) && self.versions.is_none() => {
                let observed = format!("{version:?} and {declared:?} from one resource");
                let evidence = Evidence::new("resource", key::VERSION.name(), observed, "one version");
                self.versions = Some(evidence.mend("declare the version that is implemented, everywhere"));
            }
            Some(_) => {}
            None if self.declared.len() < RESOURCES_MAX => {
                self.declared.insert(resource, shortened(version));
            }
            None => {}
        }
    }

    /// Which process it was: its instance, or else everything that is said of it.
    fn resource_identity(&self, resource: &Attributes<'_>) -> u64 {
        match resource.values("service.instance.id").next().and_then(|id| id.text()) {
            Some(instance) => self.hasher.hash_one(instance),
            None => self.hasher.hash_one(resource.all()),
        }
    }

    /// Notes log records whose AWU's span is not in the capture.
    pub fn note_orphan(&mut self, orphan: &Orphan<'_>) {
        if orphan.trace_id.is_empty() || orphan.span_id.is_empty() {
            return;
        }
        let events = orphan.logs.iter().map(|log| &log.event);
        self.note_identifiers(orphan.trace_id, orphan.span_id, events);
    }

    /// Whether there was any.
    fn note_identifiers<'e>(
        &mut self,
        trace_id: &[u8],
        span_id: &[u8],
        events: impl Iterator<Item = &'e Event<'e>>,
    ) -> bool {
        let owner = self.hasher.hash_one((trace_id, span_id));
        let mut is_identified = false;
        for event in events {
            for (key, value) in event.attributes.all().iter().filter(|(key, _)| is_identifier(key)) {
                is_identified = true;
                self.note_moved(event, key, value, owner);
                let identifier = self.hasher.hash_one((key, value));
                if self.is_owned_by_other(identifier, owner) && self.shared.is_none() {
                    let observed = format!("{value} on two AWUs");
                    let place = format!("event {}", event.name);
                    let evidence = Evidence::new(place, (*key).to_owned(), observed, "on one AWU only");
                    self.shared = Some(evidence.mend("an identifier belongs to one reservation of one AWU"));
                }
                self.own(identifier, owner);
            }
        }
        is_identified
    }

    /// Notes whether the two ends of a reservation stand on two AWUs, though neither has both.
    fn note_moved(&mut self, event: &Event<'_>, key: &str, value: &Value<'_>, owner: u64) {
        let end = |name: &str| self.hasher.hash_one((key, value, name));
        let (reserved, reconciled) = (end(BUDGET_RESERVATION.name), end(BUDGET_RECONCILIATION.name));
        let has_moved = if event.name == BUDGET_RECONCILIATION.name {
            self.own(reconciled, owner);
            self.is_owned_by_other(reserved, owner)
        } else if event.name == BUDGET_RESERVATION.name {
            let is_first = !self.owners.contains_key(&reserved);
            self.own(reserved, owner);
            is_first && self.is_owned_by_other(reconciled, owner)
        } else {
            return;
        };
        if has_moved && self.moved.is_none() {
            let observed = format!("reserved under one identity, reconciled under another: {value}");
            let evidence =
                Evidence::new(format!("event {}", event.name), key.to_owned(), observed, "one identity");
            self.moved = Some(evidence.mend("keep the ids that the AWU was created with until its end"));
        }
    }

    fn is_owned_by_other(&self, identifier: u64, owner: u64) -> bool {
        self.owners.get(&identifier).is_some_and(|other| *other != owner)
    }

    fn own(&mut self, identifier: u64, owner: u64) {
        if self.owners.len() < REMEMBERED_MAX {
            self.owners.insert(identifier, owner);
        }
    }

    /// A resource may not say other than the AWU's span.
    fn note_resource(&mut self, awu: &Awu<'_>) {
        if self.clash.is_some() || !awu.resource.has_genops() {
            return;
        }
        let differs = |key: &Key| match (awu.resource.get(*key), awu.get(*key)) {
            (Some(on_resource), Some(on_span)) => !on_resource.is_same(&on_span),
            _ => false,
        };
        if let Some(key) = key::all().find(differs) {
            let shown = |attributes: &Attributes<'_>| {
                attributes.get(key).map_or_else(String::new, |value| value.to_string())
            };
            let (on_resource, on_span) = (shown(awu.resource), shown(&awu.span.attributes));
            let evidence = Evidence::new("resource", key.name(), on_resource, on_span);
            self.clash = Some(evidence.mend("leave it out of the resource, or let both say the same"));
        }
    }

    /// What a log record of a trace says, as a number: equal for a resend.
    #[must_use]
    pub fn content_of_log(&self, log: &Log<'_>) -> u64 {
        let event = &log.event;
        self.hasher.hash_one((log.span_id, event.name, event.time, self.content_of_list(&event.attributes)))
    }

    fn content(&self, span: &Span<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (span.name, span.start, span.end, span.kind, span.status, span.parent_span_id).hash(&mut hasher);
        self.content_of_list(&span.attributes).hash(&mut hasher);
        for event in &span.events {
            (event.name, event.time, self.content_of_list(&event.attributes)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// In whatever order the attributes stand: their hashes are added up.
    fn content_of_list(&self, attributes: &Attributes<'_>) -> u64 {
        let each = attributes.all().iter().map(|pair| self.hasher.hash_one(pair));
        each.fold(0_u64, u64::wrapping_add)
    }
}

/// As much of a version as is kept: more than any has.
fn shortened(version: &str) -> String {
    version.chars().take(64).collect()
}

/// The keys under which runtimes tell the identifier of a reservation or a decision. The specification has none.
fn is_identifier(key: &str) -> bool {
    let suffixes = ["reservation_id", "reservation.id", "decision_id", "decision.id"];
    !key.starts_with("genops.") && suffixes.iter().any(|suffix| key.ends_with(suffix))
}

/// The identities that have been judged, with what they said: two generations, of which the older goes.
#[derive(Debug, Default)]
struct Seen {
    young: HashMap<u64, u64, RandomState>,
    old: HashMap<u64, u64, RandomState>,
}

impl Seen {
    fn meet(&mut self, id: u64, content: u64) -> Met {
        if let Some(known) = self.young.get(&id).or_else(|| self.old.get(&id)) {
            return if *known == content { Met::Again } else { Met::Reused };
        }
        if self.young.len() >= REMEMBERED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, content);
        Met::New
    }

    fn has(&self, id: u64) -> bool {
        self.young.contains_key(&id) || self.old.contains_key(&id)
    }
}
