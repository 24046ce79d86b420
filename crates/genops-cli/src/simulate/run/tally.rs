//! What came of a run, while it goes on: decisions, refusals, budgets in the course of time, and what was spent.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt as _};
use genops::core::admit::Ruling;
use genops::core::awu::{Execution, Proposal, Used};
use genops::core::budget::CellKey;
use genops::core::finding::Question;
use genops::core::ledger::Books;
use genops::core::price::Tokens;
use genops::core::record::Verdict;
use genops::core::spec::{Decision, DecisionState, ReasonCode};
use genops::core::{Amount, Name, Timestamp};

/// Time is cut into no more buckets than this for the picture.
const BUCKETS_MAX: u64 = 120;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long a bucket may be; beyond that, whole days.
const BUCKETS_NS: [u64; 14] = [
    SECOND / 1_000,
    SECOND / 10,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
];

/// How long a bucket is where so much time is shown, in nanoseconds.
fn bucket_ns(nanos: u64) -> u64 {
    let round = BUCKETS_NS.into_iter().find(|bucket| nanos / bucket < BUCKETS_MAX);
    round.unwrap_or_else(|| DAY.saturating_mul(nanos / BUCKETS_MAX / DAY + 1))
}

/// What came of a run. What is hashed here is sorted before anybody sees it.
#[derive(Debug)]
pub struct Tally {
    /// How often this was decided.
    pub decisions: HashMap<Said, u64>,
    /// Calls whose model is not set up.
    pub not_set_up: u64,
    /// Calls that came while as many were open as may be.
    pub too_many_open: u64,
    /// Calls that wrote more than they may.
    pub shortened: u64,
    /// By team and model; `None` where no model is asked.
    pub shares: HashMap<(Name, Option<Name>), Share>,
    /// What calls cost, in US dollars.
    pub cost: Amount,
    /// Where budgets had too little left.
    pub short: HashMap<CellKey, Short>,
    /// What each cell had spent at some points in time, by its number.
    pub spent: Vec<Vec<(Timestamp, Amount)>>,
    /// Refusals by what asked and refused, in each bucket.
    pub refused: BTreeMap<(Question, Option<Name>, String), Vec<u64>>,
    /// When the first bucket begins.
    pub begins: Timestamp,
    /// How long a bucket is, in nanoseconds.
    pub bucket_ns: u64,
    /// When it was last noted what cells had spent.
    sampled: Timestamp,
}

/// Why a call comes to no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Undecided {
    /// Its model is not set up: a gateway answers 404.
    NotSetUp,
    /// As many AWUs are open as `limits` allows, in all or of its key: a gateway answers 503.
    TooManyOpen,
}

impl Undecided {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSetUp => "model_not_set_up",
            Self::TooManyOpen => "too_many_open_awus",
        }
    }
}

/// What a call is told: a decision, or why there is none.
pub type Answer = Result<Said, Undecided>;

/// A decision, and what made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Said {
    /// The state and its code.
    pub decision: Decision,
    /// What was asked, and the rule that answered where one can be written; `None` for ALLOWED.
    pub by: Option<(Question, Option<Name>)>,
}

/// The calls of a team with a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    /// How many came.
    pub calls: u64,
    /// How many of them were refused.
    pub refused: u64,
    /// What the others cost, in US dollars.
    pub cost: Amount,
}

/// A budget that had too little left.
#[derive(Debug, Clone, Copy)]
pub struct Short {
    /// When for the first time.
    pub first: Timestamp,
    /// For how many calls.
    pub calls: u64,
}

/// What a verdict rests on.
pub fn ruling(verdict: &Verdict) -> &Ruling {
    match verdict {
        Verdict::Admitted(admitted) => admitted.ruling(),
        Verdict::Refused(refused) => &refused.ruling,
    }
}

impl Said {
    /// The decision of a ruling.
    #[must_use]
    pub fn of(ruling: &Ruling) -> Self {
        let by = ruling.decisive().map(|finding| (finding.question, finding.rule.clone()));
        Self { decision: ruling.decision.clone(), by }
    }
}

impl Tally {
    /// Nothing yet, of calls that come between two points in time.
    #[must_use]
    pub fn new((from, until): (Timestamp, Timestamp)) -> Self {
        Self {
            decisions: HashMap::new(),
            not_set_up: 0,
            too_many_open: 0,
            shortened: 0,
            shares: HashMap::new(),
            cost: Amount::ZERO,
            short: HashMap::new(),
            spent: Vec::new(),
            refused: BTreeMap::new(),
            begins: from,
            bucket_ns: bucket_ns(until.nanos_since(from)),
            sampled: from,
        }
    }

    /// How many calls came to this state.
    #[must_use]
    pub fn of(&self, state: DecisionState) -> u64 {
        let in_state = self.decisions.iter().filter(|(said, _)| said.decision.state() == state);
        in_state.map(|(_, calls)| calls).sum()
    }

    /// A call was decided.
    pub fn decided(&mut self, at: Timestamp, proposal: &Proposal, verdict: &Verdict) {
        let (ruling, is_refused) = (ruling(verdict), matches!(verdict, Verdict::Refused(_)));
        *self.decisions.entry(Said::of(ruling)).or_default() += 1;
        let share = self.share(proposal);
        share.calls += 1;
        share.refused += u64::from(is_refused);
        self.short(at, ruling);
        if is_refused {
            self.refused(at, ruling);
        }
    }

    /// A call came while as many were open as may be.
    pub fn turned_away(&mut self, proposal: &Proposal) {
        self.too_many_open += 1;
        let share = self.share(proposal);
        share.calls += 1;
        share.refused += 1;
    }

    fn share(&mut self, proposal: &Proposal) -> &mut Share {
        let names = (proposal.attribution.team().clone(), proposal.model.clone());
        self.shares.entry(names).or_default()
    }

    /// Notes the budgets that had too little left, whether they refuse, lower the output limit or only observe.
    fn short(&mut self, at: Timestamp, ruling: &Ruling) {
        for finding in ruling.findings.iter().filter(|finding| finding.question == Question::Room) {
            let cell = ruling.cells.iter().find(|cell| cell.key.budget == finding.rule);
            let Some(key) = cell.map(|cell| &cell.key) else { continue };
            match self.short.get_mut(key) {
                Some(short) => short.calls += 1,
                None => drop(self.short.insert(key.clone(), Short { first: at, calls: 1 })),
            }
        }
    }

    fn refused(&mut self, at: Timestamp, ruling: &Ruling) {
        let Some(finding) = ruling.decisive() else { return };
        let code = finding.said.reason_code().map_or("", ReasonCode::as_str).to_owned();
        let buckets = self.refused.entry((finding.question, finding.rule.clone(), code)).or_default();
        let bucket = at.nanos_since(self.begins) / self.bucket_ns;
        let place = usize::try_from(bucket).unwrap_or_default();
        if buckets.len() <= place {
            buckets.resize(place + 1, 0);
        }
        buckets.iter_mut().skip(place).take(1).for_each(|count| *count += 1);
    }

    /// A call ended that could use `bound` at most.
    pub fn settled(&mut self, proposal: &Proposal, bound: Tokens, execution: &Execution) {
        let used = if execution.end.was_sent() { execution.used } else { Used::Nothing };
        let price = proposal.price.as_ref();
        let cost = match used {
            Used::Reported(tokens) | Used::Counted(tokens) => price.and_then(|price| price.cost(tokens)),
            Used::Nothing => None,
            Used::Unknown => price.and_then(|price| price.bound(bound)),
        };
        let cost = cost.unwrap_or_default();
        self.cost = self.cost.checked_add(cost).unwrap_or(Amount::MAX);
        let share = self.share(proposal);
        share.cost = share.cost.checked_add(cost).unwrap_or(Amount::MAX);
    }

    /// Notes what cells have spent, once a bucket, before what happens at `at`.
    pub fn sample(&mut self, at: Timestamp, books: &Books) {
        if at.nanos_since(self.sampled) >= self.bucket_ns {
            self.sample_last(at, books);
        }
    }

    /// Notes what cells have spent at the end.
    pub fn sample_last(&mut self, at: Timestamp, books: &Books) {
        let before = self.sampled;
        self.sampled = at;
        for (place, cell) in books.cells().iter().enumerate() {
            if self.spent.len() <= place {
                self.spent.push(vec![(before, Amount::ZERO)]);
            }
            let Some(points) = self.spent.get_mut(place) else { continue };
            let (used, last) = (books.standing(cell, at).used, points.last().copied().unwrap_or_default());
            if last.1 != used {
                // It has been the same for some time.
                if last.0 < before {
                    points.push((before, last.1));
                }
                points.push((at, used));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_round_and_never_too_many() {
        for (nanos, bucket) in [
            (0, SECOND / 1_000),
            (SECOND, SECOND / 10),
            (57 * MINUTE, 30 * SECOND),
            (HOUR, MINUTE),
            (30 * DAY, 12 * HOUR),
            (60 * DAY - 1, 12 * HOUR),
            (60 * DAY, DAY),
            (365 * DAY, 4 * DAY),
        ] {
            assert_eq!(bucket_ns(nanos), bucket, "{nanos}");
        }
        assert!(u64::MAX / bucket_ns(u64::MAX) < BUCKETS_MAX);
    }
}
