//! Why an AWU was decided as it was, for people: which rules were asked, in order, and what each of them said.
//!
//! Nothing is decided here again: what a rule said stands in the ruling, and a rule that covers the AWU and has no
//! finding there had nothing against it.

use genops_spec::{Decision, ReasonCode};

use crate::admit::Reservation;
use crate::awu::End;
use crate::budget::CellKey;
use crate::finding::{Finding, Mode, Question};
use crate::index::{Index, Selective};
use crate::ledger::Standing;
use crate::name::Name;
use crate::policy::InForce;
use crate::rate::{RateAnswer, RateStep};
use crate::record::{AwuRecord, Verdict};
use crate::rule::{Assessment, Found};

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What was asked.
    pub question: Question,
    /// The rule, tier, budget or provider; `None` where nobody can write a rule about it.
    pub rule: Option<Name>,
    /// What it said; ALLOWED where it had nothing against the AWU.
    pub said: Decision,
    /// Whether a refusal was only observed.
    pub is_observed: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// A rule, by name, and whose.
type Named<'a> = (Question, Option<&'a Name>);

impl AwuRecord {
    /// The rules that were asked, in order. `in_force` has to be the policy that decided; a refusal that was enforced
    /// is the last that was asked.
    #[must_use]
    pub fn asked(&self, in_force: &InForce) -> Vec<Asked> {
        let mut asked = Vec::new();
        let findings = &self.ruling().findings;
        for (question, rule) in self.covering(in_force) {
            let about = |finding: &&Finding| finding.question == question && finding.rule.as_ref() == rule;
            let mut found = findings.iter().filter(about).peekable();
            if found.peek().is_none() {
                asked.push(self.allowed(question, rule));
            }
            for finding in found {
                asked.push(Asked {
                    question,
                    rule: rule.cloned(),
                    said: finding.said.clone(),
                    is_observed: finding.is_observed,
                    why: self.why(finding),
                });
                // Rates are asked on, so that it can be said when to come again; and a budget that lowers limits may
                // refuse once all have been asked.
                if finding.refuses() && !matches!(question, Question::Rate | Question::Room) {
                    return asked;
                }
            }
            let room_refuses = |finding: &Finding| finding.question == Question::Room && finding.refuses();
            if question == Question::Room && findings.iter().any(room_refuses) && self.is_last_cell(rule) {
                return asked;
            }
            let rate_refuses = |finding: &Finding| finding.question == Question::Rate && finding.refuses();
            if question == Question::Rate && findings.iter().any(rate_refuses) && self.is_last_rate(rule) {
                return asked;
            }
        }
        asked
    }

    fn is_last_rate(&self, rule: Option<&Name>) -> bool {
        self.ruling().rates.last().map(|step| &step.key.rule) == rule
    }

    fn is_last_cell(&self, rule: Option<&Name>) -> bool {
        self.ruling().cells.last().is_some_and(|step| step.key.budget.as_ref() == rule)
    }

    /// The rules that cover the AWU, in the order in which they are asked.
    fn covering<'a>(&'a self, in_force: &'a InForce) -> Vec<Named<'a>> {
        let policy = in_force.policy();
        let mut all = Vec::new();
        if self.request.proposal.model.is_some() {
            self.add(&mut all, Question::Model, &in_force.models, &policy.models, |rule| &rule.name);
        }
        self.add(&mut all, Question::Region, &in_force.regions, &policy.regions, |rule| &rule.name);
        self.add(&mut all, Question::Condition, &in_force.conditions, &policy.conditions, |rule| &rule.name);
        self.add(&mut all, Question::Content, &in_force.contents, &policy.contents, |rule| &rule.name);
        let provider = self.request.proposal.provider.as_ref();
        let circuit = provider.and_then(|provider| in_force.circuit(provider));
        all.extend(circuit.map(|rule| (Question::Provider, Some(&rule.provider))));
        all.extend([(Question::Bound, None), (Question::Price, None)]);
        self.add(&mut all, Question::Rate, &in_force.rates, &policy.rates, |rule| &rule.name);
        let mut tiers = Vec::new();
        self.add(&mut tiers, Question::Sla, &in_force.slas, &policy.slas, |rule| &rule.name);
        all.extend(tiers.first());
        let budgets = in_force.budgets_for(&self.request.proposal, self.at);
        all.extend(budgets.into_iter().map(|(budget, _)| (Question::Room, Some(&budget.name))));
        // Where no budget of the accounting unit covers it, it reserves in the unlimited cell.
        let unlimited = self.ruling().cells.iter().any(|step| step.key.budget.is_none());
        all.extend(unlimited.then_some((Question::Room, None)));
        all
    }

    fn add<'a, R: Selective>(
        &self,
        all: &mut Vec<Named<'a>>,
        question: Question,
        index: &Index,
        rules: &'a [R],
        name: impl Fn(&'a R) -> &'a Name,
    ) {
        let covering = index.covering(rules, &self.request.proposal);
        all.extend(covering.into_iter().map(|rule| (question, Some(name(rule)))));
    }

    fn allowed(&self, question: Question, rule: Option<&Name>) -> Asked {
        let cell = self.ruling().cells.iter().find(|step| step.key.budget.as_ref() == rule);
        let rates = self.ruling().rates.iter().filter(|_| question == Question::Rate);
        let rate = rates.into_iter().find(|step| Some(&step.key.rule) == rule);
        let why = match (question, cell, rate) {
            (Question::Model, ..) => format!("allows model `{}`", self.model()),
            (Question::Region, ..) => "allows the region".to_owned(),
            (Question::Condition, ..) => "does not hold".to_owned(),
            (Question::Content, ..) => "found nothing".to_owned(),
            (Question::Provider, ..) if self.is_let_through() => {
                "is known to be down; this call is let through to try".to_owned()
            }
            (Question::Provider, ..) => "is not known to be down".to_owned(),
            (Question::Bound, ..) => "what it can cost is bounded".to_owned(),
            (Question::Price, ..) => "its price is known".to_owned(),
            (Question::Rate, _, Some(step)) => waits(step).unwrap_or_else(|| "has room".to_owned()),
            (Question::Sla, ..) => self.expectation(),
            (Question::Room, Some(step), _) if step.key.budget.is_none() => {
                format!("no budget in {} covers it; it reserves {}", step.key.unit, step.amount)
            }
            (Question::Room, Some(step), _) => {
                let left = step.before.remaining().unwrap_or_default();
                format!("has {left} {} left, the call reserves {}", step.key.unit, step.amount)
            }
            (Question::Rate | Question::Room, ..) => String::new(),
        };
        // A rate behind the one that refused was asked for the wait alone.
        let has_room = rate.is_none_or(|step| step.answer.has_room());
        let said = rate.map_or(Decision::Allowed, |step| step.answer.says());
        let is_observed = rate.is_some_and(|step| !has_room && step.mode == Mode::Observe);
        Asked { question, rule: rule.cloned(), said, is_observed, why }
    }

    /// Why the AWU was not simply allowed, in a sentence for people; `None` if it was.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        Some(self.why(self.ruling().decisive()?))
    }

    /// Why a rule said what it said, in a sentence for people.
    #[must_use]
    pub fn why(&self, finding: &Finding) -> String {
        let proposal = &self.request.proposal;
        let rule = finding.rule.as_ref().map_or("", Name::as_str);
        match finding.question {
            Question::Model => format!("rule `{rule}` does not allow model `{}`", self.model()),
            Question::Region => match &proposal.region {
                Some(region) => format!("rule `{rule}` does not allow region `{region}`"),
                None => format!("rule `{rule}` allows certain regions, and the provider's is not known"),
            },
            Question::Condition if self.failed(rule) => {
                format!("condition `{rule}` could not be worked out for this call")
            }
            Question::Condition => format!("condition `{rule}` holds"),
            Question::Content => format!("rule `{rule}` found {}", self.content(rule)),
            Question::Provider => format!("provider `{rule}` is known to be down"),
            Question::Price => format!("no price is known for {}", self.priced()),
            Question::Bound => {
                let part = proposal.unbounded.as_ref().map_or("", Name::as_str);
                format!(
                    "`{part}` may cost more than can be bounded beforehand; leave it out, or let whoever runs the \
                     gateway accept it for this model"
                )
            }
            Question::Rate => self.why_rate(rule),
            Question::Sla => format!("tier `{rule}`: {}", self.expectation()),
            Question::Room => self.why_room(rule, finding),
        }
    }

    /// Whether the provider's circuit is open, and this call tries whether it still has to be.
    fn is_let_through(&self) -> bool {
        let is_open = self.ruling().circuit.as_ref().is_some_and(|step| step.before.open_since.is_some());
        is_open && matches!(self.verdict, Verdict::Admitted(_))
    }

    fn model(&self) -> &str {
        self.request.proposal.model.as_ref().map_or("-", Name::as_str)
    }

    /// What has no price, for people.
    fn priced(&self) -> String {
        let proposal = &self.request.proposal;
        let model = proposal.model.as_ref().map(|model| format!("model `{model}`"));
        model.unwrap_or_else(|| {
            format!("`{}`, and it does not say what it costs in USD", proposal.operation_name)
        })
    }

    fn assessments<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = &'a Assessment> {
        self.request.proposal.assessed.iter().filter(move |assessment| assessment.rule.as_str() == rule)
    }

    fn failed(&self, rule: &str) -> bool {
        self.assessments(rule).any(|assessment| assessment.found == Found::Failed)
    }

    /// What a rule found, by kind and count; the text itself is nowhere.
    fn content(&self, rule: &str) -> String {
        let kinds = self.assessments(rule).filter_map(|assessment| match assessment.found {
            Found::Content { kind, count } => Some(format!("{count} {kind}")),
            Found::Holds | Found::Failed => None,
        });
        kinds.collect::<Vec<_>>().join(", ")
    }

    fn why_rate(&self, rule: &str) -> String {
        let step = self.ruling().rates.iter().find(|step| step.key.rule.as_str() == rule);
        let Some(step) = step else { return format!("rate `{rule}` has no room") };
        let key = &step.key;
        match step.answer {
            RateAnswer::Wait(until) => {
                let millis = until.nanos_since(self.at).div_ceil(1_000_000);
                format!("rate `{key}` has no room for {millis} ms")
            }
            RateAnswer::Full => format!("rate `{key}` has as many calls in flight as it takes"),
            RateAnswer::TooMuch => format!("rate `{key}` never has room for a call of this size"),
            RateAnswer::NoPlace => format!("rate `{key}` {}", no_place("rate_shares")),
            RateAnswer::Takes(_) | RateAnswer::TakesPlace => format!("rate `{key}` has room"),
        }
    }

    fn expectation(&self) -> String {
        let Some(step) = &self.ruling().sla else { return String::new() };
        match step.expected_ns {
            None => format!("too little is known to expect anything of the target of {} ms", step.target_ms),
            Some(expected) => {
                let millis = expected / 1_000_000;
                format!("calls like this take {millis} ms by now, the target is {} ms", step.target_ms)
            }
        }
    }

    fn why_room(&self, budget: &str, finding: &Finding) -> String {
        let step = self.ruling().cells.iter().find(|step| step.key.budget_name() == budget);
        let Some(step) = step.or(self.ruling().cells.last()) else { return String::new() };
        let Reservation { amount, key: CellKey { unit, .. }, before: Standing { out, used, .. }, .. } = step;
        let left = step.before.remaining().unwrap_or_default();
        let limit = step.before.allocated.unwrap_or_default();
        match finding.said.reason_code() {
            Some(ReasonCode::AccountingInvariantViolation) => {
                "the amount cannot be counted: it is beyond what the books can hold".to_owned()
            }
            Some(code) if *code == ReasonCode::too_many_shares() => {
                format!("budget `{}` {}", step.key, no_place("cells"))
            }
            Some(code) if *code == ReasonCode::output_capped() => {
                let limit = self.output_limit().unwrap_or_default();
                format!("budget `{budget}` has {left} {unit} left, which affords {limit} output tokens")
            }
            _ if matches!(finding.said, Decision::Warning(_)) => format!(
                "budget `{budget}` has {left} of {limit} {unit} left and lends ({used} used, {out} reserved), the call can \
                 use up to {amount}"
            ),
            _ if self.is_waiting_for_work(finding) => format!(
                "budget `{budget}` has {left} of {limit} {unit} left beside work in flight, which holds {out} ({used} used), \
                 the call can use up to {amount}; {} once enough of that work has ended",
                if used.checked_add(*amount).is_some_and(|together| together <= limit) {
                    "it fits"
                } else {
                    "it fits, by what the budget lends or lowers,"
                }
            ),
            _ if *used >= limit => format!(
                "budget `{budget}` is used up ({used} of {limit} {unit} used, {out} reserved), the call can use up to \
                 {amount}"
            ),
            _ => format!(
                "budget `{budget}` has {left} of {limit} {unit} left ({used} used, {out} reserved), the call can use up to \
                 {amount}"
            ),
        }
    }

    /// Whether a finding is the one that refused the AWU, and only work in flight kept it out.
    fn is_waiting_for_work(&self, finding: &Finding) -> bool {
        let waits = matches!(&self.verdict, Verdict::Refused(refused) if refused.waits_for_work);
        waits && self.ruling().decisive() == Some(finding)
    }

    /// The output limit of each choice, where the budgets lowered it.
    #[must_use]
    pub fn output_limit(&self) -> Option<u64> {
        match &self.verdict {
            Verdict::Admitted(admitted) => admitted.output_limit(),
            Verdict::Refused(_) => None,
        }
    }

    /// What the end of the execution adds to the decision, each as a decision of its own: a provider's error, and a
    /// missed target (section 6.4).
    ///
    /// Where nothing was sent, nothing ran: what stopped the AWU is no finding about an execution, and the decision
    /// that admitted it stays the last one. Where its process died, nobody measured how long the call took.
    #[must_use]
    pub fn findings_of_the_end(&self) -> Vec<EndFinding> {
        let Some(execution) = self.execution().filter(|_| self.executed()) else { return Vec::new() };
        let mut findings = Vec::new();
        if let End::ProviderError(failure) = execution.end {
            let why = format!("the provider call failed: {failure}");
            findings.push(EndFinding { code: ReasonCode::ProviderErrorUpstream, rule: None, why });
        }
        if let (Some(false), Some(sla)) = (self.met_target(), &self.ruling().sla) {
            let (took, target) = (execution.latency_ns / 1_000_000, sla.target_ms);
            let why = format!("tier `{}`: the call took {took} ms, the target is {target} ms", sla.tier);
            let rule = Some(sla.tier.clone());
            findings.push(EndFinding { code: ReasonCode::SlaLatencyViolation, rule, why });
        }
        findings
    }
}

/// What the end of an execution adds to the decision: a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndFinding {
    /// Its reason code.
    pub code: ReasonCode,
    /// The tier that it is about.
    pub rule: Option<Name>,
    /// Why, in a sentence for people.
    pub why: String,
}

/// Why what is new is not taken, and what helps.
fn no_place(limit: &str) -> String {
    format!(
        "has no share for this call yet, and there are as many shares as may be; whoever runs the gateway can raise \
         `limits.{limit}`"
    )
}

/// What an observed or asked-on rate that has no room says; `None` where it has.
fn waits(step: &RateStep) -> Option<String> {
    match step.answer {
        RateAnswer::Takes(_) | RateAnswer::TakesPlace => None,
        RateAnswer::Wait(until) => Some(format!("has no room before {until}")),
        RateAnswer::Full => Some("is full".to_owned()),
        RateAnswer::TooMuch => Some("never has room for a call of this size".to_owned()),
        RateAnswer::NoPlace => Some("has no place for another share".to_owned()),
    }
}
