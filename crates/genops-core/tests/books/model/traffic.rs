//! The model's traffic: buckets, calls in flight, circuits and latencies, poured through the whole history each time.

use std::collections::BTreeSet;

use genops_core::awu::{End, Execution, Failure, Proposal};
use genops_core::ledger::Books;
use genops_core::rate::{Flow, Measure, RateKey, RateLimit, RateRule};
use genops_core::selector::Share;
use genops_core::sla::LatencyClass;
use genops_core::{Name, Timestamp, Unit};

use super::{Event, Model, Work, bound, nanos, used};
use crate::work::{CUSTOMERS, PROVIDERS, name};

/// The values of a rate's `each`.
pub type Key = Vec<Option<String>>;

/// Provider, model, and how many digits the tokens have to the base of four.
#[derive(Debug, PartialEq, Eq)]
pub struct Class(String, String, u8);

impl Class {
    pub fn of(proposal: &Proposal) -> Self {
        let mut tokens = proposal.bound.input.saturating_add(proposal.bound.output);
        let mut digits = 0;
        while tokens > 0 {
            tokens /= 4;
            digits += 1;
        }
        Self(format!("{:?}", proposal.provider), format!("{:?}", proposal.model), digits)
    }
}

/// How long an amount takes to flow, rounded up; `None` beyond 64 bits of nanoseconds.
fn flowing(flow: &Flow, amount: i128) -> Option<i128> {
    let product = amount.checked_mul(i128::from(flow.per.nanos()))?;
    let length = (product + flow.amount.atoms() - 1) / flow.amount.atoms();
    (length <= i128::from(u64::MAX)).then_some(length)
}

/// How long the burst takes to be there again.
pub fn burst(flow: &Flow) -> i128 {
    const ONE: i128 = 1_000_000_000_000;
    match flow.measure {
        Measure::Requests => flowing(flow, ONE).unwrap() * (flow.burst.atoms() / ONE),
        Measure::Tokens | Measure::Usd => flowing(flow, flow.burst.atoms()).unwrap(),
    }
}

/// How long what a call asks for takes to flow.
pub fn length(flow: &Flow, proposal: &Proposal) -> Option<i128> {
    let cost = match flow.measure {
        Measure::Requests => Some(1_000_000_000_000),
        Measure::Tokens => bound(Unit::Tokens, proposal, proposal.bound.output),
        Measure::Usd => bound(Unit::Usd, proposal, proposal.bound.output),
    };
    flowing(flow, cost?)
}

/// The unit that a flow counts; `None` where that is AWUs.
const fn unit_of(flow: &Flow) -> Option<Unit> {
    match flow.measure {
        Measure::Requests => None,
        Measure::Tokens => Some(Unit::Tokens),
        Measure::Usd => Some(Unit::Usd),
    }
}

/// How long what a call used takes to flow; `None` where that is not known.
fn flown(flow: &Flow, work: &Work, execution: &Execution) -> Option<i128> {
    flowing(flow, used(unit_of(flow)?, &work.proposal, execution)?)
}

/// A bucket that leaks evenly. What came first flows first; what is left of each call is known.
#[derive(Default)]
struct Bucket {
    /// Whose, and how many nanoseconds of it have not flowed.
    pieces: Vec<(Option<usize>, i128)>,
    /// How long it has been empty.
    idle: i128,
}

impl Bucket {
    fn queued(&self) -> i128 {
        self.pieces.iter().map(|(_, left)| left).sum()
    }

    fn flow(&mut self, mut time: i128) {
        if self.queued() > 0 {
            self.idle = 0;
        }
        for (_, left) in &mut self.pieces {
            let flows = time.min(*left);
            *left -= flows;
            time -= flows;
        }
        self.idle += time;
    }

    fn take(&mut self, work: usize, length: i128) {
        self.pieces.push((Some(work), length));
        self.idle = 0;
    }

    fn has(&self, work: usize) -> bool {
        self.pieces.iter().any(|(whose, _)| *whose == Some(work))
    }

    fn give_back(&mut self, work: usize, unused: i128) {
        for (_, left) in self.pieces.iter_mut().filter(|(whose, _)| *whose == Some(work)) {
            *left -= unused.min(*left);
        }
    }

    /// What was used beyond the reservation flows on from where the last ended.
    fn owe(&mut self, length: i128) {
        let past = length.min(if self.queued() > 0 { 0 } else { self.idle });
        self.pieces.push((None, length - past));
        self.idle -= past;
    }
}

impl Model {
    /// How many nanoseconds of a flow have been taken and have not flowed.
    pub(super) fn queued(&self, rule: &RateRule, each: &Key, now: Timestamp) -> i128 {
        let RateLimit::Flow(flow) = &rule.limit else { return 0 };
        let mut bucket = Bucket::default();
        let mut last = 0;
        for (at, event) in &self.history {
            bucket.flow(at - last);
            last = *at;
            match event {
                Event::Adopted(policy, _) if !policy.rates.iter().any(|rate| rate.name == rule.name) => {
                    bucket = Bucket::default();
                }
                Event::Admitted(work) if self.works[*work].took(rule, each) => {
                    bucket.take(*work, length(flow, &self.works[*work].proposal).unwrap());
                }
                Event::Released(work) if flow.measure != Measure::Requests => {
                    bucket.give_back(*work, i128::MAX);
                }
                Event::Settled(place, execution) if bucket.has(*place) => {
                    let work = &self.works[*place];
                    if let Some(flown) = flown(flow, work, execution) {
                        let reserved = length(flow, &work.proposal).unwrap();
                        bucket.give_back(*place, (reserved - flown).max(0));
                        // No more is owed than a burst and one time `per`.
                        let idle = if bucket.queued() > 0 { 0 } else { bucket.idle };
                        let most = burst(flow) + i128::from(flow.per.nanos()) - bucket.queued() + idle;
                        bucket.owe((flown - reserved).clamp(0, most.max(0)));
                    }
                }
                _ => {}
            }
        }
        bucket.flow(nanos(now) - last);
        bucket.queued()
    }

    pub(super) fn in_flight(&self, rule: &RateRule, each: &Key) -> i128 {
        let in_flight = self
            .works
            .iter()
            .filter(|work| work.took(rule, each) && matches!(work.state, "reserved" | "executing"));
        in_flight.map(|_| 1).sum()
    }

    /// Failures in a row of a provider, and since when its circuit is open or was last tried.
    pub(super) fn circuit(&self, provider: &Name) -> (u32, Option<i128>) {
        let (mut failures, mut open) = (0, None);
        let mut rule = None;
        for (at, event) in &self.history {
            match event {
                Event::Adopted(policy, _) => {
                    rule = policy.circuits.iter().find(|rule| rule.provider == *provider).cloned();
                }
                Event::Admitted(work) if self.works[*work].proposal.provider.as_ref() == Some(provider) => {
                    let is_due = |since: i128, rule: &genops_core::circuit::CircuitRule| {
                        at - since >= i128::from(rule.open_for_ns)
                    };
                    if let (Some(since), Some(rule)) = (open, &rule)
                        && is_due(since, rule)
                    {
                        open = Some(*at);
                    }
                }
                Event::Settled(work, execution)
                    if self.works[*work].proposal.provider.as_ref() == Some(provider) =>
                {
                    match execution.end {
                        End::Completed | End::AtReservation | End::ProviderError(Failure::Status(400)) => {
                            (failures, open) = (0, None);
                        }
                        End::ProviderError(Failure::Status(429))
                        | End::NeverSent
                        | End::Cancelled
                        | End::Failed
                        | End::Abandoned => {}
                        End::ProviderError(_) => {
                            failures += 1;
                            if let Some(rule) = &rule
                                && (open.is_some() || failures >= rule.failures)
                            {
                                open = Some(*at);
                            }
                        }
                    }
                }
                _ => {}
            }
            if rule.is_none() {
                (failures, open) = (0, None);
            }
        }
        (failures, open)
    }

    /// The lower median of the last sixteen latencies of a class, of those that are not older than ten minutes.
    pub(super) fn expected(&self, class: &Class, now: Timestamp) -> Option<i128> {
        let mut seen = Vec::new();
        for (at, event) in &self.history {
            match event {
                Event::Adopted(policy, _) if policy.slas.is_empty() => seen.clear(),
                Event::Settled(work, execution) => {
                    let work = &self.works[*work];
                    let says = matches!(execution.end, End::Completed | End::ProviderError(Failure::Timeout));
                    if says && work.ruled.has_tier && Class::of(&work.proposal) == *class {
                        seen.push((*at, i128::from(execution.latency_ns)));
                    }
                }
                _ => {}
            }
        }
        let fresh = seen.iter().rev().take(16).filter(|(at, _)| nanos(now) - at <= 600_000_000_000);
        let mut fresh: Vec<_> = fresh.map(|(_, latency)| *latency).collect();
        fresh.sort_unstable();
        if fresh.len() < 4 { None } else { Some(fresh[(fresh.len() - 1) / 2]) }
    }

    /// When a call of a class was last admitted in a tier; 0 where none was.
    pub(super) fn last_admitted(&self, class: &Class) -> i128 {
        let mut last = 0;
        for (at, event) in &self.history {
            match event {
                Event::Adopted(policy, _) if policy.slas.is_empty() => last = 0,
                Event::Admitted(work) => {
                    let work = &self.works[*work];
                    if work.ruled.has_tier && Class::of(&work.proposal) == *class {
                        last = *at;
                    }
                }
                _ => {}
            }
        }
        last
    }

    /// An independent judge of the buckets: in no stretch of time that ends with this admission have calls that began
    /// in it used or reserved more than the rate and its burst allow, but for what they used beyond their reservation.
    pub(super) fn check_windows(&self, admitted: usize) {
        for rule in &self.policy.rates {
            let RateLimit::Flow(flow) = &rule.limit else { continue };
            let Some(note) =
                self.works[admitted].ruled.rates.iter().find(|note| rule.name.as_str() == note.rule)
            else {
                continue;
            };
            if !note.has_room {
                continue;
            }
            let now = self.works[admitted].at;
            let mut sum = 0;
            for (at, event) in self.history.iter().rev() {
                match event {
                    Event::Adopted(policy, _) if !policy.rates.iter().any(|rate| rate.name == rule.name) => {
                        break;
                    }
                    Event::Admitted(work) if self.works[*work].took(rule, &note.each) => {
                        sum += self.holds(flow, *work);
                        // A nanosecond's worth for the burst, which is rounded up.
                        let allowed = flow.burst.atoms() * i128::from(flow.per.nanos())
                            + (now - at + 1) * flow.amount.atoms();
                        let held = sum * i128::from(flow.per.nanos());
                        assert!(held <= allowed, "rate {} since {at}: {held} of {allowed}", rule.name);
                    }
                    _ => {}
                }
            }
        }
    }

    /// What a call counts for in a rate, in atoms: what it used of what it reserved.
    fn holds(&self, flow: &Flow, place: usize) -> i128 {
        let work = &self.works[place];
        let Some(unit) = unit_of(flow) else { return super::ONE };
        let reserved = bound(unit, &work.proposal, work.proposal.bound.output).unwrap();
        let settled = self.history.iter().find_map(|(_, event)| match event {
            Event::Settled(of, execution) if *of == place => Some(execution),
            _ => None,
        });
        match (work.state, settled) {
            ("released", _) => 0,
            (_, Some(execution)) => {
                used(unit, &work.proposal, execution).map_or(reserved, |used| used.min(reserved))
            }
            _ => reserved,
        }
    }

    /// Holds the books' traffic against the history.
    pub(super) fn compare_traffic(&self, books: &Books) {
        for (rule, customer) in self.policy.rates.iter().flat_map(|rule| CUSTOMERS.map(|each| (rule, each))) {
            let each: Key = rule.each.iter().map(|_| customer.map(str::to_owned)).collect();
            let key = RateKey {
                rule: rule.name.clone(),
                each: rule
                    .each
                    .iter()
                    .map(|facet| Share { facet: *facet, value: customer.map(name) })
                    .collect(),
            };
            let queued = self.queued(rule, &each, books.at()).min(i128::from(u64::MAX) - nanos(books.at()));
            assert_eq!(i128::from(books.flow_until(&key).nanos_since(books.at())), queued, "{key}");
            if matches!(rule.limit, RateLimit::InFlight { .. }) {
                assert_eq!(i128::from(books.calls_in_flight(&key)), self.in_flight(rule, &each), "{key}");
            }
        }
        for provider in PROVIDERS.map(name) {
            let circuit = books.circuit(&provider);
            let books = (circuit.failures, circuit.open_since.map(nanos));
            assert_eq!(books, self.circuit(&provider), "{provider}");
        }
        let proposals = self.works.iter().map(|work| &work.proposal);
        let mut seen = BTreeSet::new();
        for proposal in proposals.filter(|proposal| {
            let Class(provider, model, size) = Class::of(proposal);
            seen.insert((provider, model, size))
        }) {
            let latencies = books.latencies(&LatencyClass::of(proposal));
            let expected = latencies.and_then(|latencies| latencies.expected(books.at()));
            assert_eq!(expected.map(i128::from), self.expected(&Class::of(proposal), books.at()));
        }
    }
}

impl Work {
    /// Whether it was admitted with room in this rate, for these values.
    fn took(&self, rule: &RateRule, each: &Key) -> bool {
        let mut rates = self.ruled.rates.iter();
        rates.any(|note| note.rule == rule.name.as_str() && note.each == *each && note.has_room)
    }
}
