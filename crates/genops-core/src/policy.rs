//! The policy in force: budgets and rules, compiled, free of secrets, addressed by content.
//!
//! A policy becomes a journal entry when it is adopted. How it is written down by people (YAML) is not
//! known here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use genops_spec::ReasonCode;
use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Unit};
use crate::awu::Proposal;
use crate::budget::{Budget, OnInsufficient, Overdraft, UNBUDGETED};
use crate::circuit::CircuitRule;
use crate::digest::Digest;
use crate::finding::Mode;
use crate::index::Index;
use crate::name::Name;
use crate::period::{PeriodProblem, TZDB_VERSION, Window, Windows};
use crate::rate::{Measure, RateLimit, RateRule};
use crate::rule::{ConditionRule, ContentRule, ListRule};
use crate::sla::SlaRule;
use crate::time::Timestamp;

/// Everything that admission goes by, apart from the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The digest of the text that it was read from; zero where it was made in a program.
    pub origin: Digest,
    /// The unit in which an AWU states its reservation and its actual consumption (section 3.2), unless it names its own.
    pub accounting_unit: Unit,
    /// The edition of the rules of time zones that its periods are counted by.
    pub zone_rules: Name,
    /// For how long an idempotency key is remembered, in nanoseconds.
    pub remember_ns: u64,
    /// How much callers can make the books grow.
    pub ceilings: Ceilings,
    /// Whether an AWU is refused that cannot be bounded or priced, or only warned about. Every rule has a mode of its
    /// own.
    pub mode: Mode,
    /// Which models may be used, asked in this order.
    pub models: Vec<ListRule>,
    /// In which regions work may be done, asked in this order.
    pub regions: Vec<ListRule>,
    /// Conditions, asked in this order.
    pub conditions: Vec<ConditionRule>,
    /// What may be sent, asked in this order.
    pub contents: Vec<ContentRule>,
    /// When providers count as down; one for a provider.
    pub circuits: Vec<CircuitRule>,
    /// How much traffic there may be, asked in this order.
    pub rates: Vec<RateRule>,
    /// Latency targets; the first that covers an AWU is its tier.
    pub slas: Vec<SlaRule>,
    /// The budgets, reserved in this order.
    pub budgets: Vec<Budget>,
}

/// How much callers can make the books grow with names of their own. What is at its ceiling takes nothing new, and what
/// it holds already goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// With so many cells, no share of a budget is opened any more. Budgets that are not divided by `each` always have
    /// their cell, since callers cannot make those more.
    pub cells: u64,
    /// So many shares of rates are kept at a time, and the latencies of as many classes. Shares that have flowed off, and
    /// classes that are old, are forgotten.
    pub rate_shares: u64,
    /// So many idempotency keys are remembered at a time.
    pub idempotency_keys: u64,
    /// So many AWUs are open at a time, those in doubt too.
    pub open_awus: u64,
    /// How much of the last two one key of a caller may take up, in percent; at least one of each. Work without a key is
    /// bounded by the ceilings alone.
    pub one_key_percent: u64,
}

impl Default for Ceilings {
    /// Twice what one process is made for; and no key keeps all others out.
    fn default() -> Self {
        Self {
            cells: 2_000_000,
            rate_shares: 2_000_000,
            idempotency_keys: 1_000_000,
            open_awus: 100_000,
            one_key_percent: 50,
        }
    }
}

impl Ceilings {
    /// How much of a ceiling of `most` one key may take up.
    #[must_use]
    pub fn of_one_key(&self, most: u64) -> u64 {
        let share = u128::from(most).saturating_mul(u128::from(self.one_key_percent)) / 100;
        u64::try_from(share).unwrap_or(u64::MAX).clamp(1, most.max(1))
    }
}

impl Policy {
    /// A policy that asks nothing and limits nothing; it accounts in US dollars.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self {
            origin: Digest::ZERO,
            accounting_unit: Unit::Usd,
            zone_rules: Name::nearest(TZDB_VERSION),
            remember_ns: REMEMBER_NS,
            ceilings: Ceilings::default(),
            mode: Mode::Enforce,
            models: Vec::new(),
            regions: Vec::new(),
            conditions: Vec::new(),
            contents: Vec::new(),
            circuits: Vec::new(),
            rates: Vec::new(),
            slas: Vec::new(),
            budgets: Vec::new(),
        }
    }

    /// The policy's address: the digest of its content.
    #[must_use]
    pub fn version(&self) -> Digest {
        Digest::of_value("genops policy 4", self)
    }

    /// What makes the policy unusable, if anything does: a name that stands twice or means something else, a limit
    /// below nothing, a rule that admits nothing.
    #[must_use]
    pub fn problem(&self) -> Option<PolicyProblem> {
        self.name_twice().or_else(|| self.bad_rate()).or_else(|| self.bad_budget()).or_else(|| {
            let no_target = |sla: &SlaRule| sla.target_ms == 0 || sla.first_token_target_ms == Some(0);
            if self.slas.iter().any(no_target) {
                return Some(PolicyProblem::NoTarget);
            }
            let never_closed = |circuit: &CircuitRule| circuit.failures == 0 || circuit.open_for_ns == 0;
            if self.circuits.iter().any(never_closed) {
                return Some(PolicyProblem::NeverClosed);
            }
            let effects = self.conditions.iter().map(|rule| &rule.effect);
            let mut effects = effects.chain(self.contents.iter().map(|rule| &rule.effect));
            effects.any(|effect| !is_of_policy(effect.code())).then_some(PolicyProblem::AnothersCode)
        })
    }

    fn name_twice(&self) -> Option<PolicyProblem> {
        let assessed =
            self.conditions.iter().map(|rule| &rule.name).chain(self.contents.iter().map(|rule| &rule.name));
        let lists: [(PolicyProblem, Vec<&Name>); 7] = [
            (PolicyProblem::Twice("model rules"), self.models.iter().map(|rule| &rule.name).collect()),
            (PolicyProblem::Twice("region rules"), self.regions.iter().map(|rule| &rule.name).collect()),
            (PolicyProblem::Twice("conditions or content rules"), assessed.collect()),
            (PolicyProblem::Twice("circuits"), self.circuits.iter().map(|rule| &rule.provider).collect()),
            (PolicyProblem::Twice("rates"), self.rates.iter().map(|rule| &rule.name).collect()),
            (PolicyProblem::Twice("tiers"), self.slas.iter().map(|rule| &rule.name).collect()),
            (PolicyProblem::Twice("budgets"), self.budgets.iter().map(|rule| &rule.name).collect()),
        ];
        let found = lists.into_iter().find(|(_, names)| {
            let mut seen = BTreeSet::new();
            !names.iter().all(|name| seen.insert(*name))
        });
        found.map(|(problem, _)| problem)
    }

    fn bad_rate(&self) -> Option<PolicyProblem> {
        self.rates.iter().find_map(|rate| match &rate.limit {
            RateLimit::InFlight { calls: 0 } => Some(PolicyProblem::EmptyRate),
            RateLimit::InFlight { .. } => None,
            RateLimit::Flow(flow) => {
                let one = match flow.measure {
                    Measure::Requests => Amount::from_whole(1),
                    Measure::Tokens | Measure::Usd => Amount::from_atoms(1),
                };
                if flow.amount < one || flow.burst < one {
                    Some(PolicyProblem::EmptyRate)
                } else if flow.burst_nanos().is_none_or(|nanos| nanos > REFILL_NANOS_MAX) {
                    Some(PolicyProblem::EndlessBurst)
                } else {
                    None
                }
            }
        })
    }

    fn bad_budget(&self) -> Option<PolicyProblem> {
        self.budgets.iter().find_map(|budget| {
            if budget.name.as_str() == UNBUDGETED {
                Some(PolicyProblem::ReservedName)
            } else if budget.limit < Amount::ZERO {
                Some(PolicyProblem::NegativeLimit)
            } else if !budget.limit.is_step()
                || matches!(budget.overdraft, Overdraft::UpTo(most) if !most.is_step())
            {
                Some(PolicyProblem::LimitTooLarge)
            } else if budget.on_insufficient == (OnInsufficient::Cap { minimum_output_tokens: 0 }) {
                Some(PolicyProblem::CapToNothing)
            } else if matches!(budget.overdraft, Overdraft::UpTo(amount) if amount <= Amount::ZERO) {
                Some(PolicyProblem::NegativeOverdraft)
            } else if budget.alerts.contains(&0) || budget.alerts.len() > ALERTS_MAX {
                Some(PolicyProblem::BadAlert)
            } else {
                budget.period.problem().map(PolicyProblem::Period)
            }
        })
    }
}

/// Whether a code is one that a condition or a content rule may give: what other codes say, they cannot know.
const fn is_of_policy(code: &ReasonCode) -> bool {
    matches!(
        code,
        ReasonCode::PolicyDenyModel
            | ReasonCode::PolicyDenyRegion
            | ReasonCode::PolicyDenyContent
            | ReasonCode::Extension(_)
    )
}

/// A budget has at most so many thresholds.
const ALERTS_MAX: usize = 16;

/// For how long an idempotency key is remembered where nobody says: a day.
pub const REMEMBER_NS: u64 = 86_400 * 1_000_000_000;

/// A burst that takes longer to be there again is no rate: ten years, far from what a point in time can hold.
const REFILL_NANOS_MAX: u64 = 10 * 366 * 86_400 * 1_000_000_000;

/// Why a policy cannot be adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Two rules of a kind have one name.
    #[error("two {0} of the policy have the same name")]
    Twice(&'static str),
    /// A budget has the name of the cell for work that no budget covers.
    #[error("no budget may be called `unbudgeted`")]
    ReservedName,
    /// A budget allows less than nothing.
    #[error("a budget's limit is negative")]
    NegativeLimit,
    /// A budget allows more than can be counted safely.
    #[error(
        "a budget's limit and its overdraft are at most 1000000000000000; leave the budget out where there is no limit"
    )]
    LimitTooLarge,
    /// A rate would never admit anything.
    #[error("a rate of nothing, or without a burst, would admit nothing")]
    EmptyRate,
    /// A rate's burst takes years to be there again.
    #[error("a rate's burst would take more than ten years to be there again")]
    EndlessBurst,
    /// A tier's target is no time at all.
    #[error("a latency target has to be at least one millisecond")]
    NoTarget,
    /// A circuit would be open from the beginning, or for no time.
    #[error("a circuit has to stay closed until there was a failure, and open for some time then")]
    NeverClosed,
    /// A condition or content rule gives a code that says something else.
    #[error("a condition or content rule has to give a code of policy's, or an extension")]
    AnothersCode,
    /// A budget's overdraft is nothing, or less.
    #[error("a budget's overdraft has to be more than nothing; without one, the limit is hard")]
    NegativeOverdraft,
    /// A budget's period cannot be counted.
    #[error(transparent)]
    Period(PeriodProblem),
    /// A budget tells people at nothing, or too often.
    #[error("a budget has at most 16 alerts, each at one percent or more")]
    BadAlert,
    /// A budget would lower output limits to nothing.
    #[error("a budget that lowers output limits has to leave at least one token")]
    CapToNothing,
}

/// A policy with its address, and with what finds its rules.
#[derive(Debug, Clone)]
pub struct InForce {
    policy: Arc<Policy>,
    version: Digest,
    pub(crate) models: Index,
    pub(crate) regions: Index,
    pub(crate) conditions: Index,
    pub(crate) contents: Index,
    pub(crate) rates: Index,
    pub(crate) slas: Index,
    pub(crate) budgets: Index,
    /// When each budget begins anew, in the order of the budgets.
    windows: Vec<Windows>,
    budget_of: HashMap<Name, usize>,
}

/// What is in force follows from the policy.
impl PartialEq for InForce {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy
    }
}

impl Eq for InForce {}

impl InForce {
    /// Puts a policy in force.
    #[must_use]
    pub fn new(policy: impl Into<Arc<Policy>>) -> Self {
        let policy = policy.into();
        Self {
            version: policy.version(),
            models: Index::over(&policy.models),
            regions: Index::over(&policy.regions),
            conditions: Index::over(&policy.conditions),
            contents: Index::over(&policy.contents),
            rates: Index::over(&policy.rates),
            slas: Index::over(&policy.slas),
            budgets: Index::over(&policy.budgets),
            windows: policy.budgets.iter().map(|budget| Windows::of(&budget.period)).collect(),
            budget_of: policy.budgets.iter().map(|budget| budget.name.clone()).zip(0..).collect(),
            policy,
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy, to keep.
    #[must_use]
    pub fn shared(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Its address.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    /// The conditions that have to be worked out for a proposal, in order.
    #[must_use]
    pub fn conditions_for(&self, proposal: &Proposal) -> Vec<&ConditionRule> {
        self.conditions.covering(&self.policy.conditions, proposal)
    }

    /// The content rules that have to be looked for in a proposal's prompt, in order.
    #[must_use]
    pub fn contents_for(&self, proposal: &Proposal) -> Vec<&ContentRule> {
        self.contents.covering(&self.policy.contents, proposal)
    }

    /// The circuit rule of a provider.
    #[must_use]
    pub fn circuit(&self, provider: &Name) -> Option<&CircuitRule> {
        self.policy.circuits.iter().find(|rule| rule.provider == *provider)
    }

    /// The budgets that cover a proposal at `at`, in order, each with the occurrence of its period. One whose only
    /// period is not running covers nothing.
    pub(crate) fn budgets_for(&self, proposal: &Proposal, at: Timestamp) -> Vec<(&Budget, Window)> {
        let places = self.budgets.places(&self.policy.budgets, proposal);
        let running =
            places.into_iter().filter_map(|(place, budget)| Some((budget, self.windows.get(place)?.at(at)?)));
        running.collect()
    }

    /// The budget of this name, and the occurrence of its period at `at`.
    #[must_use]
    pub fn budget(&self, name: &Name, at: Timestamp) -> Option<(&Budget, Option<Window>)> {
        let place = *self.budget_of.get(name)?;
        Some((self.policy.budgets.get(place)?, self.windows.get(place)?.at(at)))
    }

    /// The budgets whose periods go on at `at`, by name, each with the occurrence of its period.
    pub(crate) fn running(&self, at: Timestamp) -> HashMap<&Name, (&Budget, Window)> {
        let budgets = self.policy.budgets.iter().zip(&self.windows);
        let running = budgets.filter_map(|(budget, windows)| Some((&budget.name, (budget, windows.at(at)?))));
        running.collect()
    }

    /// The rate of this name.
    #[must_use]
    pub fn rate(&self, name: &Name) -> Option<&RateRule> {
        self.policy.rates.iter().find(|rule| rule.name == *name)
    }
}
