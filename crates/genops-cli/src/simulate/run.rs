//! A run: what a policy decides about calls, one after the other, with books of its own in memory.
//!
//! The rules and the books are those of the gateway; only the provider is missing. A call that is admitted settles after
//! the time that it took, before a call that comes at that very moment. Retries and fallbacks are not simulated.

mod tally;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use genops::core::awu::{AwuId, Execution, Proposal, Used};
use genops::core::ledger::{self, Admit, ApplyError, Books, Command, Outcome, Rejection};
use genops::core::price::Tokens;
use genops::core::record::Verdict;
use genops::core::{Name, Timestamp};
use genops_gateway::Config;

use super::offered::{Ended, Ends, Event, NotSetUp, Offered, Origin};

pub use tally::{Answer, Said, Share, Tally, Undecided};

/// A policy at work.
pub struct Run<'a> {
    config: &'a Config,
    /// Conditions that the facts of a recording are not enough for.
    unknowable: HashSet<Name>,
    books: Books,
    open: BinaryHeap<Reverse<Open>>,
    calls: u64,
    tally: Tally,
}

/// What became of a call.
pub struct Decided<'a> {
    /// Where it was recorded.
    pub origin: Origin,
    /// When it came.
    pub at: Timestamp,
    /// The model that it named.
    pub model: Option<&'a Name>,
    /// What it asked; `None` where its model is not set up.
    pub proposal: Option<&'a Proposal>,
    /// What was decided.
    pub verdict: Result<&'a Verdict, Undecided>,
    /// What was decided about it when it was recorded.
    pub then: Option<&'a Said>,
}

impl Decided<'_> {
    /// What is kept of the decision.
    pub fn said(&self) -> Answer {
        self.verdict.map(|verdict| Said::of(tally::ruling(verdict)))
    }
}

/// A call that runs. They end in this order.
struct Open {
    ends: Timestamp,
    call: u64,
    awu: AwuId,
    execution: Execution,
}

impl<'a> Run<'a> {
    /// Begins with a configuration's policy, for calls that come between two points in time.
    ///
    /// # Errors
    ///
    /// The policy contradicts itself.
    pub fn new(config: &'a Config, range: (Timestamp, Timestamp)) -> Result<Self, ApplyError> {
        let mut books = Books::default();
        ledger::apply(&mut books, range.0, Command::AdoptPolicy(Arc::clone(&config.policy)))?;
        let mut unknowable = HashSet::new();
        let conditions = config.policy.conditions.iter().map(|rule| &rule.name);
        unknowable.extend(conditions.filter(|rule| !config.assessor.knows_from_facts(rule)).cloned());
        let tally = Tally::new(range);
        Ok(Self { config, unknowable, books, open: BinaryHeap::new(), calls: 0, tally })
    }

    /// Takes the next event. Shows `watch` what was decided, if it was a call.
    ///
    /// # Errors
    ///
    /// The books contradict themselves.
    pub fn take<T>(
        &mut self,
        event: Event,
        watch: impl FnOnce(&Decided<'_>) -> T,
    ) -> Result<Option<T>, ApplyError> {
        match event {
            Event::Call(offered) => self.offer(*offered, watch).map(Some),
            Event::NotSetUp(NotSetUp { origin, at, model, decided }) => {
                self.settle_until(at)?;
                self.tally.not_set_up += 1;
                let (model, then) = (model.as_ref(), decided.as_ref());
                let verdict = Err(Undecided::NotSetUp);
                Ok(Some(watch(&Decided { origin, at, model, proposal: None, verdict, then })))
            }
            Event::End(Ended { awu, at, execution, output_max }) => {
                self.settle_until(at)?;
                let bound = self.books.open_awu(awu).map(|open| open.proposal().bound.output);
                if let Some(bound) = bound {
                    self.settle(at, awu, execution, output_max.unwrap_or(bound))?;
                }
                Ok(None)
            }
        }
    }

    fn offer<T>(&mut self, offered: Offered, watch: impl FnOnce(&Decided<'_>) -> T) -> Result<T, ApplyError> {
        let Offered { origin, at, mut proposal, ends, decided } = offered;
        self.settle_until(at)?;
        self.calls += 1;
        self.assess(&mut proposal, at);
        let awu = self.identity(origin);
        let assessed_under = Some(self.books.policy_version());
        let request = Arc::new(Admit { assessed_under, starts: true, ..Admit::new(awu, proposal) });
        let proposal = &request.proposal;
        let verdict = self.decide(at, &request)?;
        match &verdict {
            Ok(verdict) => self.tally.decided(at, proposal, verdict),
            Err(_) => self.tally.turned_away(proposal),
        }
        if let (Ok(Verdict::Admitted(_)), Ends::After(execution)) = (&verdict, ends) {
            let ends = at.plus_nanos(execution.latency_ns);
            self.open.push(Reverse(Open { ends, call: self.calls, awu, execution }));
        }
        let (model, verdict, then) = (proposal.model.as_ref(), verdict.as_ref(), decided.as_ref());
        let verdict = verdict.map_err(|undecided| *undecided);
        Ok(watch(&Decided { origin, at, model, proposal: Some(proposal), verdict, then }))
    }

    /// Decides a call, unless as many are open as may be.
    fn decide(
        &mut self,
        at: Timestamp,
        request: &Arc<Admit>,
    ) -> Result<Result<Verdict, Undecided>, ApplyError> {
        match ledger::apply(&mut self.books, at, Command::Admit(Arc::clone(request))) {
            Ok(entry) => match entry.outcome {
                Outcome::Admitted(admitted) => Ok(Ok(Verdict::Admitted(admitted))),
                Outcome::Refused(refused) => Ok(Ok(Verdict::Refused(refused))),
                // An admission comes to nothing else.
                _ => Err(Rejection::NotOpen { awu: request.awu }.into()),
            },
            Err(ApplyError::Rejected(Rejection::TooManyOpen { .. })) => Ok(Err(Undecided::TooManyOpen)),
            Err(error) => Err(error),
        }
    }

    /// Adds what the conditions come to that can be worked out from facts.
    fn assess(&self, proposal: &mut Proposal, at: Timestamp) {
        let found = self.config.assessor.assess_facts(self.books.in_force(), proposal, at);
        proposal.assessed.extend(found.into_iter().filter(|found| !self.unknowable.contains(&found.rule)));
    }

    /// The identity of a call: its own, or its number.
    fn identity(&self, origin: Origin) -> AwuId {
        match origin {
            Origin::Awu(awu) => awu,
            Origin::Place(_) => {
                let number = self.calls;
                AwuId { trace_id: u128::from(number).to_be_bytes(), span_id: number.to_be_bytes() }
            }
        }
    }

    /// Settles what ends up to `at`, and notes what was spent until then.
    fn settle_until(&mut self, at: Timestamp) -> Result<(), ApplyError> {
        while self.open.peek().is_some_and(|Reverse(next)| next.ends <= at) {
            self.settle_next()?;
        }
        self.tally.sample(at, &self.books);
        Ok(())
    }

    /// Settles the call that ends next.
    fn settle_next(&mut self) -> Result<(), ApplyError> {
        let Some(Reverse(Open { ends, awu, execution, .. })) = self.open.pop() else { return Ok(()) };
        self.tally.sample(ends, &self.books);
        self.settle(ends, awu, execution, u64::MAX)
    }

    /// Settles a call. What it wrote is cut to what it may write, unless it could not write more than that anyhow.
    fn settle(
        &mut self,
        at: Timestamp,
        awu: AwuId,
        mut execution: Execution,
        could_write: u64,
    ) -> Result<(), ApplyError> {
        let Some(open) = self.books.open_awu(awu) else { return Ok(()) };
        let proposal = open.proposal();
        let bound = Tokens { output: may_write(open), ..proposal.bound };
        if let Used::Reported(tokens) | Used::Counted(tokens) = &mut execution.used
            && bound.output < could_write
            && bound.output < tokens.output
        {
            tokens.output = bound.output;
            self.tally.shortened += 1;
        }
        self.tally.settled(proposal, bound, &execution);
        ledger::apply(&mut self.books, at, Command::Settle { awu, execution })?;
        Ok(())
    }

    /// Lets what runs come to its end; of what has none, nobody knows what it used. Gives the books, and what came of
    /// it.
    ///
    /// # Errors
    ///
    /// The books contradict themselves.
    pub fn finish(mut self, until: Timestamp) -> Result<(Books, Tally), ApplyError> {
        while !self.open.is_empty() {
            self.settle_next()?;
        }
        let open: Vec<_> = self.books.open_awus().into_iter().map(|(awu, _)| awu).collect();
        let at = until.max(self.books.at());
        for awu in open {
            self.settle(at, awu, Execution::abandoned(0), u64::MAX)?;
        }
        self.tally.sample_last(at, &self.books);
        Ok((self.books, self.tally))
    }
}

/// How many tokens an open AWU may write.
fn may_write(open: &ledger::OpenAwu) -> u64 {
    let limit = open.granted.output_limit();
    let lowered = limit.map(|limit| limit.saturating_mul(open.proposal().choices));
    lowered.unwrap_or(open.proposal().bound.output)
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.ends, self.call).cmp(&(other.ends, other.call))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Open {}
