//! Which commands fit, by what happened before; and why the others do not.

use std::collections::BTreeSet;
use std::sync::Arc;

use genops_core::awu::{AwuId, Execution};
use genops_core::ledger::{Admit, Command, Correction, Grant, Rejection};
use genops_core::policy::Policy;
use genops_core::{Amount, Timestamp};

use super::{Event, Model, STEP_MAX, is_step, nanos};

/// Why a command was rejected, as far as the model tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    Remembered(u64),
    Conflict(u64),
    TooOld,
    TooMany,
    TooManyOpen,
    Other,
}

impl From<Rejection> for Misfit {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Remembered { sequence } => Self::Remembered(sequence),
            Rejection::KeyConflict { sequence } => Self::Conflict(sequence),
            Rejection::KeyTooOld => Self::TooOld,
            Rejection::TooManyKeys { .. } => Self::TooMany,
            Rejection::TooManyOpen { .. } => Self::TooManyOpen,
            _ => Self::Other,
        }
    }
}

impl Model {
    /// Why the command does not fit; `None` where it does.
    pub fn misfit(&self, command: &Command, at: Timestamp) -> Option<Misfit> {
        let state = |awu: &AwuId| self.open(*awu).map_or("", |place| self.works[place].state);
        let deadline = |awu: &AwuId| {
            let place = self.open(*awu).filter(|place| self.works[*place].state != "in doubt");
            place.and_then(|place| self.works[place].deadline)
        };
        let fits = match command {
            Command::AdoptPolicy(policy) => {
                // A grant goes on with what it was made for.
                self.holding(at).all(|grant| {
                    let meant = |policy: &Policy| {
                        let mut budgets = policy.budgets.iter();
                        let budget = budgets.find(|budget| budget.name == grant.budget)?;
                        let each = if grant.each.is_empty() { Vec::new() } else { budget.each.clone() };
                        Some((budget.unit, each))
                    };
                    meant(policy) == meant(&self.policy)
                })
            }
            Command::Report(_) | Command::Erase { .. } => true,
            Command::CloseCells { before, .. } => {
                *before <= at && !self.closable(*before, nanos(at)).is_empty()
            }
            Command::Admit(request) => return self.admit_misfit(request, at),
            Command::Start { awu } | Command::Release { awu } => state(awu) == "reserved",
            Command::Extend { awu, .. } => deadline(awu).is_some(),
            Command::Settle { awu, execution } => {
                matches!(state(awu), "executing" | "in doubt") && is_said_in_steps(execution)
            }
            Command::Orphan { awu } => matches!(state(awu), "reserved" | "executing"),
            Command::Expire { awu } => deadline(awu).is_some_and(|deadline| deadline <= nanos(at)),
            Command::Resolve { awu, execution, .. } => {
                state(awu) == "in doubt" && is_said_in_steps(execution)
            }
            Command::Correct(correction) => self.can_correct(correction),
            Command::Grant(grant) => self.can_grant(grant, at),
            Command::Revoke { grant, .. } => {
                let holds = |event: &Event| matches!(event, Event::Granted(number, of) if number == grant && of.until > at);
                self.history.iter().any(|(_, event)| holds(event)) && !self.has_ended(*grant)
            }
            Command::Lapse { grant } => {
                let is_over = |event: &Event| matches!(event, Event::Granted(number, of) if number == grant && of.until <= at);
                self.history.iter().any(|(_, event)| is_over(event)) && !self.has_ended(*grant)
            }
        };
        (!fits).then_some(Misfit::Other)
    }

    fn admit_misfit(&self, request: &Admit, at: Timestamp) -> Option<Misfit> {
        let policy = &self.policy;
        if let Some(asked) = &request.idempotency {
            let remember = i128::from(policy.remember_ns);
            let mut uses = self.history.iter().enumerate().rev();
            let used = uses.find_map(|(place, (used_at, event))| match event {
                Event::Used(sequence, caller, used)
                    if *caller == request.proposal.key
                        && used.key == asked.key
                        && *used_at >= nanos(at) - remember
                        && !self.is_forgotten(place) =>
                {
                    Some((*sequence, used.payload))
                }
                _ => None,
            });
            match used {
                Some((sequence, payload)) if payload == asked.payload => {
                    return Some(Misfit::Remembered(sequence));
                }
                Some((sequence, _)) => return Some(Misfit::Conflict(sequence)),
                None => {}
            }
            if let Some(made) = made_at(asked.key.as_str())
                && nanos(at) - made > remember
            {
                return Some(Misfit::TooOld);
            }
            let is_known = |(place, (used_at, event)): (usize, &(i128, Event))| {
                let is_use = matches!(event, Event::Used(..));
                is_use && *used_at >= nanos(at) - remember && !self.is_forgotten(place)
            };
            let uses = self.history.iter().enumerate().filter(|use_| is_known(*use_));
            let known: Vec<usize> = uses.map(|(place, _)| place).collect();
            let of_caller = |place: &usize| matches!(&self.history[*place].1, Event::Used(_, caller, _) if *caller == request.proposal.key);
            let own = known.iter().filter(|place| of_caller(place)).count();
            let ceilings = &policy.ceilings;
            if self.is_full(known.len(), own, ceilings.idempotency_keys, request) {
                return Some(Misfit::TooMany);
            }
        }
        let open: Vec<_> =
            self.works.iter().filter(|work| !matches!(work.state, "settled" | "released")).collect();
        let own = open.iter().filter(|work| work.proposal.key == request.proposal.key).count();
        if self.open(request.awu).is_none()
            && self.is_full(open.len(), own, policy.ceilings.open_awus, request)
        {
            return Some(Misfit::TooManyOpen);
        }
        let is_fresh = match request.assessed_under {
            Some(version) => version == policy.version(),
            None => policy.conditions.is_empty() && policy.contents.is_empty(),
        };
        (self.open(request.awu).is_some() || !is_fresh).then_some(Misfit::Other)
    }

    /// Whether there are as many of something as may be: of all callers, or of the one who asks.
    fn is_full(&self, all: usize, own: usize, most: u64, request: &Admit) -> bool {
        let share = (most * self.policy.ceilings.one_key_percent / 100).max(1);
        all as u64 >= most || (request.proposal.key.is_some() && own as u64 >= share)
    }

    /// Whether a request since then was decided under a policy that remembers so long no more.
    fn is_forgotten(&self, place: usize) -> bool {
        let (used_at, _) = &self.history[place];
        let mut remember = None;
        self.history.iter().enumerate().any(|(later, (at, event))| {
            if let Event::Adopted(policy, _) = event {
                remember = Some(i128::from(policy.remember_ns));
            }
            let is_request = matches!(event, Event::Admitted(_) | Event::Refused);
            later > place && is_request && remember.is_some_and(|remember| *used_at < at - remember)
        })
    }

    fn can_correct(&self, correction: &Correction) -> bool {
        let postings = &correction.postings;
        let is_twice = (1..postings.len()).any(|at| {
            let mut before = postings[..at].iter();
            before.any(|other| {
                let is_apart = [other, &postings[at]].iter().all(|posting| posting.amount < Amount::ZERO)
                    && other.charged_at != postings[at].charged_at;
                other.cell == postings[at].cell && !is_apart
            })
        });
        let Some(work) = self.works.iter().rfind(|work| work.awu == correction.awu) else { return false };
        // In the work here there are never more postings than cells, and only those that are flawed take more than there is.
        let fits = postings.iter().all(|posting| posting.amount.atoms().abs() <= STEP_MAX);
        let cells: BTreeSet<_> = postings.iter().map(|posting| posting.cell).collect();
        let is_known = cells.len() <= work.ruled.path.len();
        let is_there = |cell| !self.closed.contains(cell);
        !postings.is_empty()
            && !is_twice
            && fits
            && is_known
            && cells.iter().all(is_there)
            && self.open(correction.awu).is_none()
    }

    /// The grants that hold.
    fn holding(&self, at: Timestamp) -> impl Iterator<Item = &Arc<Grant>> {
        self.history.iter().filter_map(move |(_, event)| match event {
            Event::Granted(number, grant) if grant.until > at && !self.has_ended(*number) => Some(grant),
            _ => None,
        })
    }

    /// Whether somebody ended a grant, or the keeper let go of it.
    pub(super) fn has_ended(&self, grant: u64) -> bool {
        self.history.iter().any(|(_, event)| matches!(event, Event::Ended(of) if *of == grant))
    }

    fn can_grant(&self, grant: &Grant, at: Timestamp) -> bool {
        let budget = self.policy.budgets.iter().find(|budget| budget.name == grant.budget);
        budget.is_some_and(|budget| {
            let facets: Vec<_> = grant.each.iter().map(|share| share.facet).collect();
            let names_share = facets.is_empty() || facets == budget.each;
            let is_new = !self.holding(at).any(|of| **of == *grant);
            names_share
                && grant.amount > Amount::ZERO
                && is_step(&grant.amount.atoms())
                && grant.until > at
                && is_new
        })
    }
}

fn is_said_in_steps(execution: &Execution) -> bool {
    execution.quantities.iter().all(|quantity| is_step(&quantity.amount.atoms()))
}

/// When a key was made, in nanoseconds, if it is a UUID of version 7: the keys here end in zeros.
fn made_at(key: &str) -> Option<i128> {
    let millis = key.strip_suffix("-7000-8000-000000000000")?.replace('-', "");
    Some(i128::from_str_radix(&millis, 16).unwrap() * 1_000_000)
}
