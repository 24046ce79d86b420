//! The model's corridor: what an admission has to come to, question by question, from the history alone.

use genops_core::awu::Proposal;
use genops_core::budget::{Budget, CellKey, OnInsufficient, Overdraft};
use genops_core::finding::{Mode, Question};
use genops_core::ledger::{Entry, Outcome};
use genops_core::period::Window;
use genops_core::rate::{RateLimit, RateRule};
use genops_core::rule::{Effect, Found, OnError};
use genops_core::selector::{Facet, Share};
use genops_core::sla::ExpectedMiss;
use genops_core::spec::{Decision, ReasonCode};
use genops_core::{Name, Timestamp, Unit};

use super::traffic::Class;
use super::{Model, STEP_MAX, Step, bound, decision_of, nanos};

/// What an admission comes to.
#[derive(Debug, Default)]
pub struct Ruled {
    findings: Vec<Note>,
    /// What is reserved, or was looked at until it was refused.
    pub(super) path: Vec<Step>,
    output_limit: Option<u64>,
    /// The rates that were asked, whether there was room, and in how many nanoseconds there is.
    pub(super) rates: Vec<RateNote>,
    /// Whether a tier was asked.
    pub(super) has_tier: bool,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    question: Question,
    rule: Option<String>,
    pub(super) said: Decision,
    is_observed: bool,
}

/// What a rate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateNote {
    pub(super) rule: String,
    pub(super) each: Vec<Option<String>>,
    pub(super) has_room: bool,
    is_observed: bool,
    /// Nanoseconds until there is room; `None` where time alone makes none.
    pub(super) wait: Option<i128>,
}

impl Note {
    pub fn refuses(&self) -> bool {
        !self.is_observed && !matches!(self.said, Decision::Warning(_) | Decision::Allowed)
    }
}

impl Ruled {
    fn is_refused(&self) -> bool {
        self.findings.iter().any(Note::refuses)
    }

    /// Takes a note, unless the call is refused already.
    fn note(&mut self, question: Question, rule: Option<&Name>, said: Decision, mode: Mode) {
        if self.is_refused() {
            return;
        }
        let is_observed = mode == Mode::Observe && !matches!(said, Decision::Warning(_));
        let rule = rule.map(ToString::to_string);
        self.findings.push(Note { question, rule, said, is_observed });
    }

    /// Holds an outcome against this; says whether the call is admitted.
    pub fn matches(&self, outcome: &Outcome, entry: &Entry) -> bool {
        let at = entry.sequence;
        let (ruling, limit) = match outcome {
            Outcome::Admitted(admitted) => (admitted.ruling(), admitted.output_limit()),
            Outcome::Refused(refused) => (&refused.ruling, None),
            outcome => panic!("an admission came to {outcome:?}"),
        };
        let notes = ruling.findings.iter().map(|finding| Note {
            question: finding.question,
            rule: finding.rule.as_ref().map(ToString::to_string),
            said: finding.said.clone(),
            is_observed: finding.is_observed,
        });
        assert_eq!(notes.collect::<Vec<_>>(), self.findings, "at {at}");
        assert_eq!(ruling.decision, decision_of(&self.findings), "at {at}");
        let path = ruling.cells.iter().map(|step| Step { key: step.key.clone(), atoms: step.amount.atoms() });
        assert_eq!(path.collect::<Vec<_>>(), self.path, "at {at}");
        assert_eq!(limit, self.output_limit, "at {at}");
        let rates = ruling.rates.iter().map(|step| (step.key.rule.to_string(), step.answer.has_room()));
        let expected = self.rates.iter().map(|note| (note.rule.clone(), note.has_room));
        assert_eq!(rates.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "at {at}");
        if let Outcome::Refused(refused) = outcome {
            let wait = refused.earliest().map(|earliest| nanos(earliest) - nanos(entry.at));
            if matches!(ruling.decision, Decision::RateLimited(_)) {
                assert_eq!(wait, self.wait(), "at {at}");
            }
        }
        assert_eq!(matches!(outcome, Outcome::Refused(_)), self.is_refused(), "at {at}");
        !self.is_refused()
    }

    /// How long to wait until no rate refuses.
    fn wait(&self) -> Option<i128> {
        if !matches!(decision_of(&self.findings), Decision::RateLimited(_)) {
            return None;
        }
        let waits =
            self.rates.iter().filter(|note| !note.has_room && !note.is_observed).map(|note| note.wait);
        waits.collect::<Option<Vec<_>>>().and_then(|waits| waits.into_iter().max())
    }
}

/// What is asked.
struct Call<'a> {
    proposal: &'a Proposal,
    at: Timestamp,
}

type Ask = fn(&Model, &Call<'_>, &mut Ruled);

fn blocked(code: &str) -> Decision {
    Decision::Blocked(code.parse().unwrap())
}

impl Model {
    /// What the admission of a proposal has to come to.
    pub fn ruled(&self, proposal: &Proposal, at: Timestamp) -> Ruled {
        let questions: [Ask; 9] = [
            Self::lists,
            Self::condition,
            Self::content,
            Self::provider,
            Self::bound,
            Self::price,
            Self::rate,
            Self::sla,
            Self::room,
        ];
        let mut ruled = Ruled::default();
        for question in questions {
            if !ruled.is_refused() {
                question(self, &Call { proposal, at }, &mut ruled);
            }
        }
        ruled
    }

    /// The model first, then the region.
    fn lists(&self, call: &Call<'_>, ruled: &mut Ruled) {
        let is_listed = |allow: &[Name], wanted: &str| match allow[0].as_str() {
            "*" => true,
            beginning => wanted.starts_with(beginning.trim_end_matches('*')),
        };
        let covers = |selector: &genops_core::selector::Selector| selector.matches(call.proposal);
        for rule in self.policy.models.iter().filter(|rule| covers(&rule.selector)) {
            if !call.proposal.model.as_ref().is_none_or(|model| is_listed(&rule.allow, model.as_str())) {
                ruled.note(Question::Model, Some(&rule.name), blocked("POLICY_DENY_MODEL"), rule.mode);
            }
        }
        for rule in self.policy.regions.iter().filter(|rule| covers(&rule.selector)) {
            let region = call.proposal.region.as_ref();
            if !region.is_some_and(|region| is_listed(&rule.allow, region.as_str())) {
                ruled.note(Question::Region, Some(&rule.name), blocked("POLICY_DENY_REGION"), rule.mode);
            }
        }
    }

    fn condition(&self, call: &Call<'_>, ruled: &mut Ruled) {
        for rule in self.policy.conditions.iter().filter(|rule| rule.selector.matches(call.proposal)) {
            for assessment in call.proposal.assessed.iter().filter(|about| about.rule == rule.name) {
                let code = rule.effect.code().clone();
                let is_warning = match assessment.found {
                    Found::Failed => rule.on_error == OnError::Warn,
                    _ => matches!(rule.effect, Effect::Warn(_)),
                };
                let said = if is_warning { Decision::Warning(code) } else { Decision::Blocked(code) };
                ruled.note(Question::Condition, Some(&rule.name), said, rule.mode);
            }
        }
    }

    fn content(&self, call: &Call<'_>, ruled: &mut Ruled) {
        for rule in self.policy.contents.iter().filter(|rule| rule.selector.matches(call.proposal)) {
            if call.proposal.assessed.iter().any(|assessment| assessment.rule == rule.name) {
                let said = match rule.effect.clone() {
                    Effect::Deny(code) => Decision::Blocked(code),
                    Effect::Warn(code) => Decision::Warning(code),
                };
                ruled.note(Question::Content, Some(&rule.name), said, rule.mode);
            }
        }
    }

    fn provider(&self, call: &Call<'_>, ruled: &mut Ruled) {
        let Some(provider) = &call.proposal.provider else { return };
        let Some(rule) = self.policy.circuits.iter().find(|rule| rule.provider == *provider) else { return };
        if let (_, Some(since)) = self.circuit(provider)
            && nanos(call.at) - since < i128::from(rule.open_for_ns)
        {
            ruled.note(Question::Provider, Some(provider), blocked("PROVIDER_ERROR_UPSTREAM"), rule.mode);
        }
    }

    fn bound(&self, call: &Call<'_>, ruled: &mut Ruled) {
        if call.proposal.unbounded.is_some() {
            ruled.note(Question::Bound, None, blocked("x_unbounded_request"), self.policy.mode);
        }
    }

    fn price(&self, call: &Call<'_>, ruled: &mut Ruled) {
        let Proposal { price, quantities, bound, .. } = call.proposal;
        let is_known = price.is_some() || quantities.iter().any(|quantity| quantity.unit == Unit::Usd);
        let counts_usd = self.unit(call) == Unit::Usd
            || self.running(call).iter().any(|(budget, _)| budget.unit == Unit::Usd);
        if !is_known && ((bound.input, bound.output) != (0, 0) || counts_usd) {
            ruled.note(Question::Price, None, blocked("x_unpriced_model"), self.policy.mode);
        }
    }

    /// Every rate is asked, also after one has refused.
    fn rate(&self, call: &Call<'_>, ruled: &mut Ruled) {
        for rule in self.policy.rates.iter().filter(|rule| rule.selector.matches(call.proposal)) {
            let note = self.ask_rate(rule, call);
            if !note.has_room {
                let said = Decision::RateLimited(ReasonCode::RateLimited);
                ruled.note(Question::Rate, Some(&rule.name), said, rule.mode);
            }
            ruled.rates.push(note);
        }
    }

    fn ask_rate(&self, rule: &RateRule, call: &Call<'_>) -> RateNote {
        let customer = call.proposal.labels.customer_id.as_ref().map(ToString::to_string);
        let each: Vec<_> = rule.each.iter().map(|_| customer.clone()).collect();
        let (has_room, wait) = match &rule.limit {
            RateLimit::InFlight { calls } => (self.in_flight(rule, &each) < i128::from(*calls), None),
            RateLimit::Flow(flow) => {
                let burst = super::traffic::burst(flow);
                match super::traffic::length(flow, call.proposal).filter(|length| *length <= burst) {
                    // More than the burst never passes.
                    None => (false, None),
                    Some(length) => {
                        let wait = self.queued(rule, &each, call.at) + length - burst;
                        (wait <= 0, Some(wait))
                    }
                }
            }
        };
        RateNote {
            rule: rule.name.to_string(),
            each,
            has_room,
            is_observed: rule.mode == Mode::Observe,
            wait,
        }
    }

    fn sla(&self, call: &Call<'_>, ruled: &mut Ruled) {
        let Some(tier) = self.policy.slas.iter().find(|tier| tier.selector.matches(call.proposal)) else {
            return;
        };
        ruled.has_tier = true;
        let class = Class::of(call.proposal);
        let Some(expected) = self.expected(&class, call.at) else { return };
        if expected / 1_000_000 <= i128::from(tier.target_ms) {
            return;
        }
        let code = ReasonCode::SlaLatencyViolation;
        let is_probe = nanos(call.at) - self.last_admitted(&class) >= 10_000_000_000;
        let warns = tier.expected_miss == ExpectedMiss::Warn || is_probe;
        let said = if warns { Decision::Warning(code) } else { Decision::Blocked(code) };
        ruled.note(Question::Sla, Some(&tier.name), said, tier.mode);
    }

    /// The unit that the AWU accounts in.
    fn unit(&self, call: &Call<'_>) -> Unit {
        call.proposal.accounting_unit.unwrap_or(self.policy.accounting_unit)
    }

    /// The budgets that cover it and whose period runs, each with the cell that it reserves in.
    fn running(&self, call: &Call<'_>) -> Vec<(&Budget, CellKey)> {
        let budgets = self.policy.budgets.iter().zip(&self.windows);
        let covering = budgets.filter(|(budget, _)| budget.selector.matches(call.proposal));
        let cells = covering.filter_map(|(budget, windows)| {
            let key = CellKey {
                budget: Some(budget.name.clone()),
                each: budget.each.iter().map(|facet| share(call, *facet)).collect(),
                unit: budget.unit,
                window: windows.at(call.at)?,
            };
            Some((budget, key))
        });
        cells.collect()
    }

    fn room(&self, call: &Call<'_>, ruled: &mut Ruled) {
        let output = call.proposal.bound.output;
        let mut caps = Vec::new();
        let running = self.running(call);
        for (budget, key) in &running {
            let bound = bound(budget.unit, call.proposal, output);
            let has_place = self.has_place(&ruled.path, key);
            ruled.path.push(Step { key: key.clone(), atoms: bound.unwrap_or_default() });
            if !has_place {
                let said = blocked("x_too_many_shares");
                return ruled.note(Question::Room, Some(&budget.name), said, Mode::Enforce);
            }
            let Some(bound) = bound.filter(|bound| *bound <= STEP_MAX) else {
                let said = Decision::Blocked(ReasonCode::AccountingInvariantViolation);
                return ruled.note(Question::Room, Some(&budget.name), said, Mode::Enforce);
            };
            let left = self.left(budget, key, call.at);
            let lent = lent(budget);
            if bound == 0 || bound <= left {
                continue;
            }
            if lent.is_none_or(|lent| bound <= left + lent) {
                let said = Decision::Warning(ReasonCode::BudgetExceeded);
                ruled.note(Question::Room, Some(&budget.name), said, budget.mode);
                continue;
            }
            let left = left + lent.unwrap_or_default();
            if let Some(limit) = affordable(budget, call.proposal, left) {
                caps.push((limit, budget, ruled.findings.len()));
                continue;
            }
            let said = blocked(if left <= 0 { "BUDGET_EXCEEDED" } else { "BUDGET_RESERVATION_FAILED" });
            ruled.note(Question::Room, Some(&budget.name), said, budget.mode);
            if ruled.is_refused() {
                return;
            }
        }
        let unit = self.unit(call);
        if !ruled.path.iter().any(|step| step.key.unit == unit) {
            let bound = bound(unit, call.proposal, output);
            let key = CellKey { budget: None, each: Box::default(), unit, window: Window::Always };
            ruled.path.push(Step { key, atoms: bound.unwrap_or_default() });
            if bound.is_none_or(|bound| bound > STEP_MAX) {
                let said = Decision::Blocked(ReasonCode::AccountingInvariantViolation);
                return ruled.note(Question::Room, None, said, Mode::Enforce);
            }
        }
        self.cap(call, &caps, ruled);
    }

    /// Whether a cell is there, or may be, behind those of the path.
    fn has_place(&self, path: &[Step], key: &CellKey) -> bool {
        let mut opened = self.there();
        opened.extend(path.iter().map(|step| step.key.clone()));
        key.each.is_empty() || opened.contains(key) || (opened.len() as u64) < self.policy.ceilings.cells
    }

    fn cap(&self, call: &Call<'_>, caps: &[(u64, &&Budget, usize)], ruled: &mut Ruled) {
        // The first of the tightest.
        let Some((limit, tightest, _)) = caps.iter().min_by_key(|(limit, ..)| *limit) else { return };
        let minimum = |budget: &Budget| match budget.on_insufficient {
            OnInsufficient::Cap { minimum_output_tokens } => minimum_output_tokens,
            OnInsufficient::Refuse => 0,
        };
        if let Some((_, budget, _)) = caps.iter().find(|(_, budget, _)| minimum(budget) > *limit) {
            let said = Decision::Blocked(ReasonCode::BudgetReservationFailed);
            return ruled.note(Question::Room, Some(&budget.name), said, budget.mode);
        }
        for step in &mut ruled.path {
            step.atoms = bound(step.key.unit, call.proposal, limit * call.proposal.choices).unwrap();
        }
        ruled.output_limit = Some(*limit);
        let fits = |budget: &Budget, ruled: &Ruled| {
            let mut steps = ruled.path.iter().filter(|step| step.key.budget.as_ref() == Some(&budget.name));
            steps.any(|step| step.atoms == 0 || step.atoms <= self.left(budget, &step.key, call.at))
        };
        // What is said of a budget stands where it was asked.
        let mut added = 0;
        for (_, budget, place) in caps {
            let passes = !fits(budget, ruled);
            let mut add = |code| {
                let (rule, said) = (Some(budget.name.to_string()), Decision::Warning(code));
                let note = Note { question: Question::Room, rule, said, is_observed: false };
                ruled.findings.insert(place + added, note);
                added += 1;
            };
            if budget.name == tightest.name {
                add(ReasonCode::output_capped());
            }
            if passes {
                add(ReasonCode::BudgetExceeded);
            }
        }
        // A budget that only observes, or lends, is not passed by what was lowered far enough.
        let fitting = self.policy.budgets.iter().filter(|budget| fits(budget, ruled));
        let fitting: Vec<_> = fitting.map(|budget| budget.name.to_string()).collect();
        ruled.findings.retain(|note| {
            let is_passing = note.is_observed || note.said == Decision::Warning(ReasonCode::BudgetExceeded);
            let is_room = note.question == Question::Room && is_passing;
            !(is_room && note.rule.as_ref().is_some_and(|rule| fitting.contains(rule)))
        });
    }

    fn left(&self, budget: &Budget, key: &CellKey, at: Timestamp) -> i128 {
        budget.limit.atoms() + self.granted(key, nanos(at)) - self.held(key, nanos(at))
    }
}

/// The share of a call in what is divided by a facet.
fn share(call: &Call<'_>, facet: Facet) -> Share {
    Share { facet, value: call.proposal.facet(facet).cloned() }
}

/// By how much a budget may be passed; `None` without an end.
fn lent(budget: &Budget) -> Option<i128> {
    match budget.overdraft {
        Overdraft::None => Some(0),
        Overdraft::UpTo(lent) => Some(lent.atoms()),
        Overdraft::Unbounded => None,
    }
}

/// The highest output limit of a choice with which the call fits into what is left, by trying one after the other.
fn affordable(budget: &Budget, proposal: &Proposal, left: i128) -> Option<u64> {
    /// More than any budget here affords.
    const MOST: u64 = 60_000;
    let OnInsufficient::Cap { minimum_output_tokens } = budget.on_insufficient else { return None };
    if budget.mode == Mode::Observe {
        return None;
    }
    let asked = proposal.bound.output / proposal.choices;
    let fits = |limit: u64| {
        let bound = bound(budget.unit, proposal, limit * proposal.choices);
        bound.is_some_and(|bound| bound == 0 || bound <= left)
    };
    assert!(!fits(MOST), "{MOST} is too little for this model");
    (minimum_output_tokens..asked.min(MOST)).rev().find(|limit| fits(*limit))
}
