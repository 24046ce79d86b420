//! Calls out of the journal of a ledger, as they would come to a gateway.
//!
//! The journal is read twice: once for what is known only at its end (the time that it covers, and what calls of each
//! model use on average), once for the events. No more is kept than what runs at a time.

use std::path::{Path, PathBuf};

use foldhash::{HashMap, HashMapExt as _};
use genops::core::admit::Ruling;
use genops::core::awu::{AwuId, End, Execution, Proposal, Used};
use genops::core::ledger::{Admit, Command, Entry, Outcome};
use genops::core::policy::Policy;
use genops::core::price::Tokens;
use genops::core::{Name, Timestamp};
use genops::ledger::sqlite::SqliteStore;
use genops::ledger::{Journal, StoreError};
use genops::persons::Persons;
use genops_gateway::Config;

use super::super::run::Said;
use super::{Assumption, Ended, Ends, Event, Gaps, NotSetUp, Offered, Origin, Unrecorded, unrecorded};
use crate::Trouble;

/// A journal, and what is known only at its end.
#[derive(Debug)]
pub struct Past {
    path: PathBuf,
    range: (Timestamp, Timestamp),
    calls: u64,
    /// The last entry that is read.
    through: u64,
    averages: HashMap<Name, Sums>,
    /// What is known by now of AWUs that were in doubt.
    late: HashMap<AwuId, Execution>,
}

/// What the calls of a model that were completed used, together.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    calls: u64,
    input: u64,
    output: u64,
    latency_ns: u64,
}

impl Past {
    /// Reads a ledger once.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read, or nothing was decided in it.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let mut past = Self {
            path: path.to_owned(),
            range: <(Timestamp, Timestamp)>::default(),
            calls: 0,
            through: 0,
            averages: HashMap::new(),
            late: HashMap::new(),
        };
        let mut models: HashMap<AwuId, Name> = HashMap::new();
        each(path, u64::MAX, |entry| {
            past.through = entry.sequence;
            past.range.1 = entry.at;
            match entry.command {
                Command::Admit(request) => {
                    if past.calls == 0 {
                        past.range.0 = entry.at;
                    }
                    past.calls += 1;
                    if let (Outcome::Admitted(_), Some(model)) = (&entry.outcome, &request.proposal.model) {
                        models.insert(request.awu, model.clone());
                    }
                }
                Command::Settle { awu, execution } | Command::Resolve { awu, execution, .. } => {
                    if matches!(&entry.outcome, Outcome::Settled(settled) if settled.late.is_some()) {
                        past.late.insert(awu, execution);
                    } else if let Some(model) = models.remove(&awu) {
                        past.averages.entry(model).or_default().add(&execution);
                    }
                }
                Command::Release { awu } | Command::Orphan { awu } | Command::Expire { awu } => {
                    drop(models.remove(&awu));
                }
                Command::AdoptPolicy(_)
                | Command::Start { .. }
                | Command::Extend { .. }
                | Command::Correct(_)
                | Command::Grant(_)
                | Command::Revoke { .. }
                | Command::Lapse { .. }
                | Command::Report(_)
                | Command::Erase { .. } => {}
            }
            Ok(())
        })?;
        match past.calls {
            0 => {
                Err(Trouble::unusable(format!("nothing was decided in the ledger `{}` yet", path.display())))
            }
            _ => Ok(past),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the first call comes, and when the last entry was written.
    pub const fn range(&self) -> (Timestamp, Timestamp) {
        self.range
    }

    /// How many calls were decided.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// As [`Calls::offer`](super::Calls::offer).
    pub fn offer(
        &self,
        config: &Config,
        take: &mut dyn FnMut(Event) -> Result<(), Trouble>,
    ) -> Result<Gaps, Trouble> {
        let mut replay = Replay {
            past: self,
            config,
            unrecorded: unrecorded(config).into_iter().map(|rule| (rule, false)).collect(),
            open: HashMap::new(),
            gaps: Gaps::default(),
        };
        each(&self.path, self.through, |entry| match replay.event(entry) {
            Some(event) => take(event),
            None => Ok(()),
        })?;
        replay.open.into_values().for_each(|_| replay.gaps.assume(Assumption::Open));
        Ok(replay.gaps)
    }
}

impl Sums {
    fn add(&mut self, execution: &Execution) {
        let (End::Completed, Used::Reported(tokens)) = (execution.end, execution.used) else { return };
        self.calls += 1;
        self.input = self.input.saturating_add(tokens.input);
        self.output = self.output.saturating_add(tokens.output);
        self.latency_ns = self.latency_ns.saturating_add(execution.latency_ns);
    }
}

/// Gives the entries of a ledger up to one, in order.
fn each(
    path: &Path,
    through: u64,
    mut take: impl FnMut(Entry) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let trouble = |error: StoreError| match error {
        StoreError::Missing { .. } => Trouble::unusable(error),
        error => Trouble::failed(error),
    };
    let mut journal = Journal::new(Box::new(SqliteStore::read(path).map_err(trouble)?));
    // Calls come as callers said them, as far as anybody knows.
    let persons = Persons::of_file(path).map_err(trouble)?;
    let mut read = 0;
    while read < through {
        let entries = journal.after(read).map_err(trouble)?;
        let Some(last) = entries.last() else { break };
        read = last.entry.sequence;
        let wanted = entries.into_iter().map(|journaled| journaled.entry);
        let mut wanted = wanted.take_while(|entry| entry.sequence <= through);
        wanted.try_for_each(|entry| take(persons.entry(entry).map_err(trouble)?))?;
    }
    Ok(())
}

/// A journal while its entries become events.
struct Replay<'a> {
    past: &'a Past,
    config: &'a Config,
    /// The rules that a recording does not say enough for; and whether the policy of the recording had the same one,
    /// so that what was found then holds.
    unrecorded: Vec<(Unrecorded<'a>, bool)>,
    /// What runs in the recording, and its output limit where that was lowered.
    open: HashMap<AwuId, Option<u64>>,
    gaps: Gaps,
}

impl Replay<'_> {
    fn event(&mut self, entry: Entry) -> Option<Event> {
        let Entry { at, command, outcome, .. } = entry;
        match (command, outcome) {
            (Command::AdoptPolicy(policy), _) => {
                self.adopt(&policy);
                None
            }
            (Command::Admit(request), Outcome::Admitted(admitted)) => {
                let limit = admitted.output_limit();
                Some(self.call(at, &request, admitted.ruling(), |replay, proposal| {
                    let output_max = limit.map(|limit| limit.saturating_mul(proposal.choices));
                    replay.open.insert(request.awu, output_max);
                    Ends::AsRecorded
                }))
            }
            (Command::Admit(request), Outcome::Refused(refused)) => {
                Some(self.call(at, &request, &refused.ruling, |replay, proposal| {
                    Ends::After(replay.average(proposal))
                }))
            }
            (Command::Settle { awu, execution }, _) => self.end(at, awu, execution),
            // What never ran has used nothing; what is in doubt is charged its reservation, unless it is known by now.
            (
                Command::Release { awu } | Command::Orphan { awu } | Command::Expire { awu },
                Outcome::Released,
            ) => {
                let end = End::NeverSent;
                self.end(at, awu, Execution { end, used: Used::Nothing, ..Execution::abandoned(0) })
            }
            (Command::Orphan { awu } | Command::Expire { awu }, _) => {
                let known = self.past.late.get(&awu).cloned();
                self.end(at, awu, known.unwrap_or_else(|| Execution::abandoned(0)))
            }
            _ => None,
        }
    }

    fn adopt(&mut self, policy: &Policy) {
        for (rule, is_known) in &mut self.unrecorded {
            *is_known = rule.is_the_same(&self.config.policy, policy);
        }
    }

    fn end(&mut self, at: Timestamp, awu: AwuId, execution: Execution) -> Option<Event> {
        let output_max = self.open.remove(&awu)?;
        let written = match execution.used {
            Used::Reported(tokens) | Used::Counted(tokens) => Some(tokens.output),
            Used::Nothing | Used::Unknown => None,
        };
        if output_max.is_some_and(|max| written.is_some_and(|written| written >= max)) {
            self.gaps.assume(Assumption::Capped);
        }
        Some(Event::End(Ended { awu, at, execution, output_max }))
    }

    fn call(
        &mut self,
        at: Timestamp,
        request: &Admit,
        ruling: &Ruling,
        ends: impl FnOnce(&mut Self, &Proposal) -> Ends,
    ) -> Event {
        let (origin, decided) = (Origin::Awu(request.awu), Some(Said::of(ruling)));
        let Some(proposal) = self.proposal(&request.proposal) else {
            let model = request.proposal.model.clone();
            *self.gaps.not_set_up.entry(model.clone()).or_default() += 1;
            return Event::NotSetUp(NotSetUp { origin, at, model, decided });
        };
        let ends = ends(self, &proposal);
        Event::Call(Box::new(Offered { origin, at, proposal, ends, decided }))
    }

    /// The same proposal under the configuration that is tried; `None` where its model is not set up.
    fn proposal(&mut self, then: &Proposal) -> Option<Proposal> {
        let mut proposal = match &then.model {
            Some(model) => {
                let route = self.config.models.route(model)?;
                let provider = self.config.providers.get(route.provider)?;
                Proposal {
                    provider: Some(provider.name.clone()),
                    region: provider.region.clone(),
                    price: self.config.models.price(model),
                    ..then.clone()
                }
            }
            // Work that asks no model needs nothing that is set up.
            None => then.clone(),
        };
        let known = |rule: &Name| self.unrecorded.iter().any(|(one, is_known)| *is_known && one.name == rule);
        proposal.assessed.retain(|assessment| known(&assessment.rule));
        for (rule, is_known) in &self.unrecorded {
            if !is_known && rule.selector.matches(&proposal) {
                rule.was_not_asked(1, &mut self.gaps);
            }
        }
        Some(proposal)
    }

    /// How a call that was refused then ends if it runs now: as others of its model did.
    fn average(&mut self, proposal: &Proposal) -> Execution {
        let sums = proposal.model.as_ref().and_then(|model| self.past.averages.get(model));
        let sums = sums.copied().unwrap_or_default();
        let average = |sum: u64| sum.checked_div(sums.calls);
        let all = average(sums.input).zip(average(sums.output)).zip(average(sums.latency_ns));
        let Some(((input, output), latency_ns)) = all else {
            self.gaps.assume(Assumption::NoAverage);
            return Execution { end: End::Completed, ..Execution::abandoned(200_000_000) };
        };
        self.gaps.assume(Assumption::Average);
        let Tokens { input: most_in, output: most_out, .. } = proposal.bound;
        let used = Used::Reported(Tokens::new(input.min(most_in), output.min(most_out)));
        Execution { end: End::Completed, used, ..Execution::abandoned(latency_ns) }
    }
}
