//! The corridor: what is asked before an AWU may run, in order, and what comes of it.
//!
//! [`admit`] is a total function of the books, the time and the proposal. It changes nothing; what an
//! admission changes is worked out by [`evolve`](crate::ledger::evolve) from the outcome. The answer is one
//! decision with at most one reason code (section 4).

mod room;
mod ruling;

use core::ops::ControlFlow;

use genops_spec::{Decision, ReasonCode};

pub use ruling::{Admitted, Refused, Reservation, Ruling, Verdict};

use crate::amount::{Amount, Unit};
use crate::awu::Proposal;
use crate::circuit::CircuitStep;
use crate::finding::{Finding, Mode, Question, combined};
use crate::index::Index;
use crate::ledger::Books;
use crate::name::Name;
use crate::policy::InForce;
use crate::price::Tokens;
use crate::rate::{Measure, RateAnswer, RateLimit, RateRule, RateState, RateStep};
use crate::rule::{Found, ListRule};
use crate::sla::{ExpectedMiss, LatencyClass, SlaStep};
use crate::time::Timestamp;

/// Decides whether a proposal may run at the time `at`.
///
/// The questions are asked in order; the first refusal that is enforced is the answer. `starts` says that admission
/// records the start too.
#[must_use]
pub fn admit(books: &Books, at: Timestamp, proposal: &Proposal, starts: bool) -> Verdict {
    let questions: [Ask<'_>; 10] = [
        Asking::model,
        Asking::region,
        Asking::condition,
        Asking::content,
        Asking::provider,
        Asking::bound,
        Asking::price,
        Asking::rate,
        Asking::sla,
        Asking::room,
    ];
    let mut asking = Asking::new(books, at, proposal);
    let refused = questions.iter().any(|question| question(&mut asking).is_break());
    asking.verdict(refused, starts)
}

/// A question.
type Ask<'a> = fn(&mut Asking<'a>) -> ControlFlow<()>;

/// An admission while it is asked about: what was found so far, and what was read for it.
struct Asking<'a> {
    books: &'a Books,
    in_force: &'a InForce,
    at: Timestamp,
    proposal: &'a Proposal,
    findings: Vec<Finding>,
    circuit: Option<CircuitStep>,
    rates: Vec<RateStep>,
    sla: Option<SlaStep>,
    cells: Vec<Reservation>,
    output_limit: Option<u64>,
}

impl<'a> Asking<'a> {
    fn new(books: &'a Books, at: Timestamp, proposal: &'a Proposal) -> Self {
        Self {
            books,
            in_force: books.in_force(),
            at,
            proposal,
            findings: Vec::new(),
            circuit: None,
            rates: Vec::new(),
            sla: None,
            cells: Vec::new(),
            output_limit: None,
        }
    }

    /// May this model be used? Every rule that covers the AWU has to allow it. Work that asks no model is asked nothing.
    fn model(&mut self) -> ControlFlow<()> {
        if self.proposal.model.is_none() {
            return ControlFlow::Continue(());
        }
        let (index, rules) = (&self.in_force.models, &self.in_force.policy().models);
        self.list(index, rules, self.proposal.model.as_ref(), Question::Model, &ReasonCode::PolicyDenyModel)
    }

    /// May the work be done there? Where nobody knows the region, no list of regions allows it.
    fn region(&mut self) -> ControlFlow<()> {
        let (index, rules) = (&self.in_force.regions, &self.in_force.policy().regions);
        let region = self.proposal.region.as_ref();
        self.list(index, rules, region, Question::Region, &ReasonCode::PolicyDenyRegion)
    }

    fn list(
        &mut self,
        index: &Index,
        rules: &[ListRule],
        wanted: Option<&Name>,
        question: Question,
        code: &ReasonCode,
    ) -> ControlFlow<()> {
        for rule in index.covering(rules, self.proposal) {
            if !wanted.is_some_and(|wanted| rule.allows(wanted)) {
                self.found(question, Some(&rule.name), Decision::Blocked(code.clone()), rule.mode)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Does a condition speak against it? What the expressions came to is a fact of the proposal.
    fn condition(&mut self) -> ControlFlow<()> {
        let (index, rules) = (&self.in_force.conditions, &self.in_force.policy().conditions);
        for rule in index.covering(rules, self.proposal) {
            for assessment in self.assessed(&rule.name) {
                self.found(Question::Condition, Some(&rule.name), rule.says(assessment), rule.mode)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// May this be sent? What was found in the prompt is a fact of the proposal.
    fn content(&mut self) -> ControlFlow<()> {
        let (index, rules) = (&self.in_force.contents, &self.in_force.policy().contents);
        for rule in index.covering(rules, self.proposal) {
            if self.assessed(&rule.name).next().is_some() {
                self.found(Question::Content, Some(&rule.name), rule.effect.decision(), rule.mode)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn assessed(&self, rule: &'a Name) -> impl Iterator<Item = &'a Found> + use<'a> {
        let all = self.proposal.assessed.iter();
        all.filter(move |assessment| assessment.rule == *rule).map(|assessment| &assessment.found)
    }

    /// Is the provider known to be down?
    fn provider(&mut self) -> ControlFlow<()> {
        let Some(provider) = &self.proposal.provider else { return ControlFlow::Continue(()) };
        let Some(rule) = self.in_force.circuit(provider) else { return ControlFlow::Continue(()) };
        let before = self.books.circuit(provider);
        let asked = rule.admit(self.at, before);
        let after = asked.as_ref().map_or(before, |after| *after);
        let tries_again = rule.tries_again(before).filter(|_| asked.is_err());
        self.circuit = Some(CircuitStep { provider: provider.clone(), before, after, tries_again });
        match asked {
            Ok(_) => ControlFlow::Continue(()),
            Err(said) => self.found(Question::Provider, Some(provider), said, rule.mode),
        }
    }

    /// Can what it costs be bounded? Without a bound there is nothing to reserve.
    fn bound(&mut self) -> ControlFlow<()> {
        if self.proposal.unbounded.is_none() {
            return ControlFlow::Continue(());
        }
        let said = Decision::Blocked(ReasonCode::unbounded_request());
        self.found(Question::Bound, None, said, self.in_force.policy().mode)
    }

    /// Is its price known? What cannot be priced cannot be reserved. Work that uses no tokens needs a price only where
    /// US dollars are counted.
    fn price(&mut self) -> ControlFlow<()> {
        let is_known = self.proposal.price.is_some() || self.proposal.quantity(Unit::Usd).is_some();
        if is_known || (self.proposal.bound == Tokens::default() && !self.counts_usd()) {
            return ControlFlow::Continue(());
        }
        let said = Decision::Blocked(ReasonCode::unpriced_model());
        self.found(Question::Price, None, said, self.in_force.policy().mode)
    }

    fn counts_usd(&self) -> bool {
        let mut budgets = self.in_force.budgets_for(self.proposal, self.at).into_iter();
        self.unit() == Unit::Usd || budgets.any(|(budget, _)| budget.unit == Unit::Usd)
    }

    /// The unit that the AWU accounts in.
    fn unit(&self) -> Unit {
        self.proposal.accounting_unit.unwrap_or(self.in_force.policy().accounting_unit)
    }

    /// Does it come too soon, or beside too many others? Where a rate refuses, the others are asked as well, so that
    /// it can be said when to come again.
    fn rate(&mut self) -> ControlFlow<()> {
        let (index, rules) = (&self.in_force.rates, &self.in_force.policy().rates);
        let mut refused = ControlFlow::Continue(());
        for rule in index.covering(rules, self.proposal) {
            let step = self.ask_rate(rule);
            let answer = step.answer;
            let has_room = answer.has_room();
            self.rates.push(step);
            if !has_room && refused.is_continue() {
                refused = self.found(Question::Rate, Some(&rule.name), answer.says(), rule.mode);
            }
        }
        refused
    }

    fn ask_rate(&self, rule: &RateRule) -> RateStep {
        let key = rule.key(self.proposal);
        match &rule.limit {
            RateLimit::InFlight { calls } => {
                let before = self.books.calls_in_flight(&key);
                let answer = if before < *calls { RateAnswer::TakesPlace } else { RateAnswer::Full };
                RateStep { key, before: RateState::InFlight(before), answer, mode: rule.mode }
            }
            RateLimit::Flow(flow) => {
                let before = self.books.flow_until(&key);
                let cost = cost_of(flow.measure, self.proposal, self.proposal.bound);
                let answer = if !rule.each.is_empty() && !self.books.has_place_for_flow(&key) {
                    RateAnswer::NoPlace
                } else {
                    cost.map_or(RateAnswer::TooMuch, |cost| flow.ask(self.at, cost, before))
                };
                RateStep { key, before: RateState::Until(before), answer, mode: rule.mode }
            }
        }
    }

    /// Will it be in time, by what calls like it took?
    fn sla(&mut self) -> ControlFlow<()> {
        let (index, rules) = (&self.in_force.slas, &self.in_force.policy().slas);
        let Some(tier) = index.covering(rules, self.proposal).first().copied() else {
            return ControlFlow::Continue(());
        };
        let class = LatencyClass::of(self.proposal);
        let latencies = self.books.latencies(&class);
        let step = tier.step(self.at, class, latencies);
        let (expects_miss, is_probe) = (step.expects_miss(), step.is_due_a_probe(self.at));
        self.sla = Some(step);
        if !expects_miss {
            return ControlFlow::Continue(());
        }
        let code = ReasonCode::SlaLatencyViolation;
        let said = match tier.expected_miss {
            ExpectedMiss::Refuse if !is_probe => Decision::Blocked(code),
            ExpectedMiss::Refuse | ExpectedMiss::Warn => Decision::Warning(code),
        };
        self.found(Question::Sla, Some(&tier.name), said, tier.mode)
    }

    /// Takes in a finding; breaks off where it refuses.
    fn found(
        &mut self,
        question: Question,
        rule: Option<&Name>,
        said: Decision,
        mode: Mode,
    ) -> ControlFlow<()> {
        let is_observed = mode == Mode::Observe && !matches!(said, Decision::Warning(_));
        let finding = Finding { question, rule: rule.cloned(), said, is_observed };
        let refuses = finding.refuses();
        self.findings.push(finding);
        if refuses { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn verdict(self, refused: bool, starts: bool) -> Verdict {
        let waits_for_work = refused && self.waits_for_work();
        let ruling = Ruling {
            decision: combined(&self.findings),
            findings: self.findings,
            policy: self.in_force.version(),
            circuit: self.circuit,
            rates: self.rates,
            sla: self.sla,
            cells: self.cells,
        };
        if refused {
            return Verdict::Refused(Refused { ruling, waits_for_work });
        }
        Verdict::Admitted(Admitted {
            unit: self.proposal.accounting_unit.unwrap_or(self.in_force.policy().accounting_unit),
            ruling,
            output_limit: self.output_limit,
            started: starts,
        })
    }
}

/// What `tokens` of a proposal cost in `unit`, at most; `None` where that cannot be counted. What the proposal says of the
/// unit itself goes before. What has no price comes to nothing in US dollars: it is refused, or only observed.
pub(crate) fn bound_in(unit: Unit, proposal: &Proposal, tokens: Tokens) -> Option<Amount> {
    match (unit, proposal.quantity(unit)) {
        // An AWU counts one, whatever it says.
        (Unit::Requests, _) => Some(Amount::from_whole(1)),
        (_, Some(amount)) => Some(amount),
        (Unit::Declared(_), None) => Some(Amount::ZERO),
        (Unit::Usd, None) => proposal.price.as_ref().map_or(Some(Amount::ZERO), |price| price.bound(tokens)),
        (Unit::Tokens, None) => tokens.total().map(Amount::from_whole),
    }
}

/// What an AWU that reserves `tokens` costs by a rate.
pub(crate) fn cost_of(measure: Measure, proposal: &Proposal, tokens: Tokens) -> Option<Amount> {
    match measure.unit() {
        None => Some(Amount::from_whole(1)),
        Some(unit) => bound_in(unit, proposal, tokens),
    }
}
