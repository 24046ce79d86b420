//! What the books know of traffic: how far flows have been taken, which calls are in flight, how long calls took, which
//! providers are down. Arithmetic only: what an entry says happened, happened.
//!
//! What says nothing any more is forgotten, so that callers cannot make this grow with names of their own.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::entry::Settled;
use super::kept::in_order;
use crate::admit::Admitted;
use crate::awu::Execution;
use crate::circuit::{Circuit, CircuitStep};
use crate::name::Name;
use crate::policy::Policy;
use crate::rate::{RateAnswer, RateKey, RateRule, Stretch};
use crate::sla::{Latencies, LatencyClass, sample};
use crate::time::Timestamp;

/// The state of rates, latencies and circuits after some entry. The hash maps are never walked where order could be
/// seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    #[serde(with = "in_order")]
    flows: HashMap<RateKey, Taken>,
    #[serde(with = "in_order")]
    in_flight: HashMap<RateKey, u64>,
    #[serde(with = "in_order")]
    latencies: HashMap<LatencyClass, Latencies>,
    #[serde(with = "in_order")]
    circuits: HashMap<Name, Circuit>,
    /// There may be so many flows and classes before those that say nothing are looked for.
    crowded_at: usize,
    /// When they were last looked for.
    looked_at: Timestamp,
}

/// What has been taken of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Taken {
    /// Where the last stretch ends.
    until: Timestamp,
    /// The stretches of open AWUs that get back what they do not use, by the entry that admitted them.
    stretches: BTreeMap<u64, Stretch>,
}

/// Fewer than that are not worth looking through.
const CROWD_MIN: usize = 64;

/// Where there are nearly as many as may be, those that say nothing are looked for so often: ten seconds.
const LOOK_NS: u64 = 10_000_000_000;

// === reading ===

impl Traffic {
    pub fn flow_until(&self, key: &RateKey) -> Timestamp {
        self.flows.get(key).map(|taken| taken.until).unwrap_or_default()
    }

    /// Whether a flow is kept, or fewer than `most` are.
    pub fn has_place_for_flow(&self, key: &RateKey, most: u64) -> bool {
        !reaches(self.flows.len(), most) || self.flows.contains_key(key)
    }

    /// How many flows are kept, or classes of latencies where those are more.
    pub fn kept(&self) -> usize {
        self.flows.len().max(self.latencies.len())
    }

    pub fn in_flight(&self, key: &RateKey) -> u64 {
        self.in_flight.get(key).copied().unwrap_or_default()
    }

    /// The stretches that the AWU holds which the entry `admitted` admitted.
    pub fn stretches<'a>(&self, granted: &'a Admitted, admitted: u64) -> Vec<(&'a RateKey, Stretch)> {
        let steps = granted.ruling().rates.iter();
        let held = steps.filter_map(|step| {
            let stretch = self.flows.get(&step.key)?.stretches.get(&admitted)?;
            Some((&step.key, *stretch))
        });
        held.collect()
    }

    pub fn latencies(&self, class: &LatencyClass) -> Option<&Latencies> {
        self.latencies.get(class)
    }

    pub fn circuit(&self, provider: &Name) -> Circuit {
        self.circuits.get(provider).copied().unwrap_or_default()
    }
}

// === evolving ===

impl Traffic {
    /// Forgets what no rule of a new policy is about. A rate whose limit has changed begins anew: how far the old one
    /// was taken means nothing to it.
    pub fn keep_to(&mut self, before: &Policy, policy: &Policy) {
        let stays = |rate: &&RateRule| {
            before.rates.iter().any(|old| old.name == rate.name && old.limit == rate.limit)
        };
        let staying: HashSet<&Name> = policy.rates.iter().filter(stays).map(|rate| &rate.name).collect();
        self.flows.retain(|key, _| staying.contains(&key.rule));
        // What is in flight stays counted until it ends, so that no other call's end is taken for it.
        self.circuits.retain(|provider, _| policy.circuits.iter().any(|rule| rule.provider == *provider));
        if policy.slas.is_empty() {
            self.latencies.clear();
        }
    }

    pub fn admit(&mut self, at: Timestamp, sequence: u64, admitted: &Admitted, most: u64) {
        let ruling = admitted.ruling();
        for step in &ruling.rates {
            match step.answer {
                RateAnswer::Takes(stretch) => {
                    let taken = self.flows.entry(step.key.clone()).or_default();
                    taken.until = stretch.until;
                    if stretch.is_given_back {
                        taken.stretches.insert(sequence, stretch);
                    }
                }
                RateAnswer::TakesPlace => {
                    let calls = self.in_flight.entry(step.key.clone()).or_default();
                    *calls = calls.saturating_add(1);
                }
                RateAnswer::Wait(_) | RateAnswer::Full | RateAnswer::TooMuch | RateAnswer::NoPlace => {}
            }
        }
        if let Some(sla) = &ruling.sla
            && let Some(latencies) = self.class(&sla.class, most)
        {
            latencies.admitted(at);
        }
        self.step(ruling.circuit.as_ref());
        self.forget(at, most);
    }

    /// The AWU did not run: whatever has not flowed by then is given back.
    pub fn release(&mut self, at: Timestamp, admitted: u64, granted: &Admitted) {
        for (key, stretch) in self.stretches(granted, admitted) {
            let remains = i64::try_from(stretch.remains(at)).unwrap_or(i64::MAX);
            self.shift(key, admitted, remains.checked_neg().unwrap_or_default());
        }
        self.leave(admitted, granted);
    }

    pub fn settle(
        &mut self,
        at: Timestamp,
        admitted: u64,
        granted: &Admitted,
        execution: &Execution,
        settled: &Settled,
        most: u64,
    ) {
        for shift in &settled.rates {
            self.shift(&shift.key, admitted, shift.nanos);
        }
        self.leave(admitted, granted);
        if let (Some(sla), Some(latency)) = (&granted.ruling().sla, sample(execution))
            && let Some(latencies) = self.class(&sla.class, most)
        {
            latencies.took(at, latency);
        }
        self.step(settled.circuit.as_ref());
    }

    /// Nobody knows what it used: it gets nothing back.
    pub fn doubt(&mut self, admitted: u64, granted: &Admitted) {
        self.leave(admitted, granted);
    }

    /// Moves the end of a flow, and with it the stretches behind the one of the AWU where something is given back.
    fn shift(&mut self, key: &RateKey, admitted: u64, nanos: i64) {
        let Some(taken) = self.flows.get_mut(key) else { return };
        let by = nanos.unsigned_abs();
        if nanos > 0 {
            taken.until = taken.until.plus_nanos(by);
            return;
        }
        taken.until = taken.until.minus_nanos(by);
        for (_, stretch) in taken.stretches.range_mut(admitted.saturating_add(1)..) {
            stretch.from = stretch.from.minus_nanos(by);
            stretch.until = stretch.until.minus_nanos(by);
        }
    }

    /// The AWU is not in flight any more.
    fn leave(&mut self, admitted: u64, granted: &Admitted) {
        for step in &granted.ruling().rates {
            match step.answer {
                RateAnswer::Takes(_) => {
                    if let Some(taken) = self.flows.get_mut(&step.key) {
                        taken.stretches.remove(&admitted);
                    }
                }
                RateAnswer::TakesPlace => {
                    let Some(calls) = self.in_flight.get_mut(&step.key) else { continue };
                    *calls = calls.saturating_sub(1);
                    if *calls == 0 {
                        self.in_flight.remove(&step.key);
                    }
                }
                RateAnswer::Wait(_) | RateAnswer::Full | RateAnswer::TooMuch | RateAnswer::NoPlace => {}
            }
        }
    }

    /// The latencies of a class; `None` where it is new and has no place: nothing is expected of it then.
    fn class(&mut self, class: &LatencyClass, most: u64) -> Option<&mut Latencies> {
        if reaches(self.latencies.len(), most) {
            return self.latencies.get_mut(class);
        }
        Some(self.latencies.entry(class.clone()).or_default())
    }

    fn step(&mut self, step: Option<&CircuitStep>) {
        let Some(CircuitStep { provider, before, after, .. }) = step else { return };
        if before != after {
            self.circuits.insert(provider.clone(), *after);
        }
    }

    /// Forgets flows that are empty and latencies that are old. It looks for them each time that there are twice as
    /// many as were left the last time, so that looking costs little for each admission; and from four fifths of `most` on,
    /// which soon leaves no place for others, from time to time.
    pub fn forget(&mut self, at: Timestamp, most: u64) {
        let is_crowded = self.flows.len() + self.latencies.len() > self.crowded_at.max(CROWD_MIN);
        let is_nearly_full = reaches(self.kept(), most.saturating_sub(most / 5));
        let is_due = is_nearly_full && self.looked_at.plus_nanos(LOOK_NS) <= at;
        if !is_crowded && !is_due {
            return;
        }
        self.flows.retain(|_, taken| taken.until > at || !taken.stretches.is_empty());
        self.latencies.retain(|_, latencies| !latencies.is_forgotten(at));
        self.crowded_at = (self.flows.len() + self.latencies.len()) * 2;
        self.looked_at = at;
    }
}

fn reaches(many: usize, most: u64) -> bool {
    u64::try_from(many).unwrap_or(u64::MAX) >= most
}
