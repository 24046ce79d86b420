//! What can be told about an AWU, as typed facts: the attributes and events of sections 7 and 8.
//!
//! This is the only place where an amount becomes a double. How facts are put on the wire, and when they
//! are sent, is not known here. Names that the specification does not have begin with `genops_runtime.`.

use std::borrow::Cow;

use genops_spec::{Decision, ReasonCode, SPEC_VERSION, attribute as key, event};

use crate::admit::{Refused, Reservation};
use crate::amount::{Amount, Unit};
use crate::awu::{End, Execution, Failure, Used};
use crate::hex;
use crate::price::Tokens;
use crate::record::{AwuRecord, How, Verdict};
use crate::time::Timestamp;

/// A fact: a key and its value.
pub type Fact<'a> = (&'static str, Value<'a>);

/// The value of a fact, in one of OpenTelemetry's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A double.
    Double(f64),
    /// An integer.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// Something that happened to an AWU.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// One of the names in [`genops_spec::event`].
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
    /// What.
    pub facts: Vec<Fact<'a>>,
}

/// This runtime's own keys.
pub mod runtime {
    /// The decision's place in the journal.
    pub const SEQUENCE: &str = "genops_runtime.ledger.sequence";
    /// The chain hash of the frame that carries the decision.
    pub const CHAIN: &str = "genops_runtime.ledger.chain";
    /// The address of the policy that decided.
    pub const POLICY_VERSION: &str = "genops_runtime.policy.version";
    /// The digest of what the decision was asked.
    pub const INPUT_DIGEST: &str = "genops_runtime.decision.input_digest";
    /// The digest of the state that the decision read.
    pub const STATE_DIGEST: &str = "genops_runtime.decision.state_digest";
    /// Every cell on the path: `budget window reserved unit`.
    pub const CELLS: &str = "genops_runtime.cells";
    /// The record rests on the reservation, or on what was counted here, for want of a report (section 3.5).
    pub const INCOMPLETE: &str = "genops_runtime.accounting.incomplete";
    /// The reservation as decimal text, where the double blurs it.
    pub const RESERVED_EXACT: &str = "genops_runtime.accounting.reserved_exact";
    /// The actual as decimal text, where the double blurs it.
    pub const ACTUAL_EXACT: &str = "genops_runtime.accounting.actual_exact";
    /// What remains in the budget, as decimal text, where the double blurs it.
    pub const REMAINING_EXACT: &str = "genops_runtime.budget.remaining_exact";
    /// The key that the caller showed, by name.
    pub const KEY: &str = "genops_runtime.key";
    /// How the execution ended, where that was not by completion.
    pub const END: &str = "genops_runtime.execution.end";
    /// The price row that the AWU was charged by.
    pub const PRICE_ROW: &str = "genops_runtime.price.row";
}

/// Room for the facts of a span, of an event, and for the events of an AWU, as most have them.
const SPAN_FACTS: usize = 32;
const EVENT_FACTS: usize = 12;
const EVENTS: usize = 3;

impl AwuRecord {
    /// The attributes of the AWU's span (sections 7.1 and 7.3).
    #[must_use]
    pub fn span_facts(&self) -> Vec<Fact<'_>> {
        let proposal = &self.request.proposal;
        let mut facts = Vec::with_capacity(SPAN_FACTS);
        self.add_attribution(&mut facts);
        facts.push(text(key::OPERATION_NAME.key, proposal.operation_name.as_str()));
        facts.push(text(key::OPERATION_TYPE.key, proposal.operation_type.as_str()));
        facts.push(text(key::VERSION.key, SPEC_VERSION));
        add_decision(&mut facts, self.decision());
        let millis = i64::try_from(self.at.nanos() / 1_000_000).unwrap_or(i64::MAX);
        facts.push((key::POLICY_TIMESTAMP.key, Value::Int(millis)));
        self.add_explanation(&mut facts);
        self.add_accounting(&mut facts);
        self.add_execution(&mut facts);
        facts.push(self.sequence_fact());
        facts
    }

    /// Every event so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event<'_>> {
        let mut events = self.admission_events();
        events.extend(self.ending_events());
        events
    }

    /// The events of the decision: `genops.policy.evaluated`, and the reservation if there is one.
    #[must_use]
    pub fn admission_events(&self) -> Vec<Event<'_>> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut facts = Vec::with_capacity(EVENT_FACTS);
        add_decision(&mut facts, self.decision());
        self.add_explanation(&mut facts);
        self.add_attribution(&mut facts);
        self.add_evidence(&mut facts);
        events.push(Event { name: event::POLICY_EVALUATED.name, at: self.at, facts });
        if let Some((_, reservation)) = self.accounting() {
            let mut facts = Vec::with_capacity(EVENT_FACTS);
            add_reserved(&mut facts, reservation);
            facts.extend(budget_name(reservation));
            if let Some(remaining) = reservation.remaining_after() {
                add_amount(&mut facts, key::BUDGET_REMAINING.key, runtime::REMAINING_EXACT, remaining);
            }
            self.add_attribution(&mut facts);
            facts.push((runtime::CELLS, Value::Texts(self.path_texts())));
            events.push(Event { name: event::BUDGET_RESERVATION.name, at: self.at, facts });
        }
        events
    }

    /// The events of the end: a provider's error as a decision of its own, if anything was sent, and the
    /// reconciliation. None
    /// where the AWU did not execute (section 7.2.1).
    #[must_use]
    pub fn ending_events(&self) -> Vec<Event<'_>> {
        let Some(ending) = &self.ending else { return Vec::new() };
        let mut events = Vec::new();
        // Where nothing was sent, nothing ran: what stopped the AWU is no finding about an execution, and the decision
        // that admitted it stays the last one.
        if let How::Settled { execution: Execution { end: end @ End::ProviderError(failure), .. }, .. } =
            &ending.how
            && end.was_sent()
        {
            let finding = Decision::Warning(ReasonCode::ProviderErrorUpstream);
            let mut facts = Vec::with_capacity(EVENT_FACTS);
            facts.push(text(key::POLICY_RESULT.key, finding.state().as_str()));
            let code = finding.reason_code().map(ToString::to_string);
            facts.extend(code.map(|code| text(key::POLICY_REASON_CODE.key, code)));
            facts.push(text(key::POLICY_REASON.key, format!("the provider call failed: {failure}")));
            self.add_attribution(&mut facts);
            events.push(Event { name: event::POLICY_EVALUATED.name, at: ending.at, facts });
        }
        if let Some((position, reservation)) = self.accounting()
            && self.executed()
            && let Some((actual, incomplete)) = self.charged(position)
        {
            let mut facts = Vec::with_capacity(EVENT_FACTS);
            add_amount(&mut facts, key::ACCOUNTING_ACTUAL.key, runtime::ACTUAL_EXACT, actual);
            add_reserved(&mut facts, reservation);
            facts.extend(delta(reservation.amount, actual));
            facts.extend(budget_name(reservation));
            self.add_attribution(&mut facts);
            facts.extend(incomplete.then_some((runtime::INCOMPLETE, Value::Bool(true))));
            events.push(Event { name: event::BUDGET_RECONCILIATION.name, at: ending.at, facts });
        }
        events
    }

    /// The tokens that the provider reported.
    #[must_use]
    pub fn reported_tokens(&self) -> Option<Tokens> {
        match &self.execution()?.used {
            Used::Reported(tokens) => Some(*tokens),
            Used::Nothing | Used::Unknown | Used::Counted(_) => None,
        }
    }

    /// The execution, once settled.
    #[must_use]
    pub fn execution(&self) -> Option<&Execution> {
        match &self.ending.as_ref()?.how {
            How::Settled { execution, .. } => Some(execution),
            How::Released | How::InDoubt => None,
        }
    }

    /// The reservation in the accounting unit, and its place on the path.
    #[must_use]
    pub fn accounting(&self) -> Option<(usize, &Reservation)> {
        match &self.verdict {
            Verdict::Admitted(admitted) => admitted.accounting(),
            Verdict::Refused(_) => None,
        }
    }

    fn add_attribution<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let attribution = &self.request.proposal.attribution;
        facts.push(text(key::TEAM.key, attribution.team().as_str()));
        facts.push(text(key::PROJECT.key, attribution.project().as_str()));
        facts.push(text(key::ENVIRONMENT.key, attribution.environment().as_str()));
    }

    /// Which rule refused, and a sentence for people.
    fn add_explanation<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let Verdict::Refused(refused) = &self.verdict else { return };
        facts.push(text(key::POLICY_REASON.key, self.reason(refused)));
        facts.extend(refused.rule.as_ref().map(|rule| text(key::POLICY_NAME.key, rule.as_str())));
    }

    /// Why the AWU was refused, in a sentence for people; `None` if it was not.
    #[must_use]
    pub fn refusal_reason(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Refused(refused) => Some(self.reason(refused)),
            Verdict::Admitted(_) => None,
        }
    }

    fn reason(&self, refused: &Refused) -> String {
        let proposal = &self.request.proposal;
        let rule = refused.rule.as_ref().map_or("", |rule| rule.as_str());
        let cell = refused.read.last();
        let wanted = cell.map_or(String::new(), |c| format!("{} {}", c.amount, c.key.unit));
        let left = cell.and_then(|c| c.before.remaining()).unwrap_or_default();
        match refused.decision.reason_code() {
            Some(ReasonCode::PolicyDenyModel) => {
                format!("rule `{rule}` does not allow model `{}`", proposal.model)
            }
            Some(ReasonCode::BudgetExceeded) => {
                format!("budget `{rule}` is used up: {left} remains, the call can use up to {wanted}")
            }
            Some(ReasonCode::BudgetReservationFailed) => {
                format!("budget `{rule}` has {left} left, the call can use up to {wanted}")
            }
            Some(ReasonCode::RateLimited) => {
                let wait = refused.earliest().map_or(0, |earliest| earliest.nanos_since(self.at));
                format!("rate `{rule}` has no room for {} ms", wait.div_ceil(1_000_000))
            }
            Some(ReasonCode::AccountingInvariantViolation) => {
                "the amount cannot be counted: it is beyond what the books can hold".to_owned()
            }
            Some(code) if *code == ReasonCode::unpriced_model() => {
                format!("no price is known for model `{}`", proposal.model)
            }
            Some(code) if *code == ReasonCode::unbounded_request() => {
                let part = proposal.unbounded.as_ref().map_or("", |part| part.as_str());
                format!(
                    "`{part}` may cost more than can be bounded beforehand; leave it out, or let whoever runs \
                     the gateway accept it for this model"
                )
            }
            code => code.map_or(String::new(), ToString::to_string),
        }
    }

    fn add_accounting<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let Some((position, reservation)) = self.accounting() else { return };
        add_reserved(facts, reservation);
        facts.extend(budget_name(reservation));
        if let (Some(remaining), Some(allocated)) =
            (reservation.remaining_after(), reservation.before.allocated)
        {
            facts.push((key::BUDGET_ALLOCATED.key, Value::Double(allocated.to_f64().0)));
            add_amount(facts, key::BUDGET_REMAINING.key, runtime::REMAINING_EXACT, remaining);
            facts.push(text(key::BUDGET_PERIOD.key, reservation.key.window.to_string()));
        }
        if self.executed()
            && let Some((actual, incomplete)) = self.charged(position)
        {
            add_amount(facts, key::ACCOUNTING_ACTUAL.key, runtime::ACTUAL_EXACT, actual);
            facts.extend(delta(reservation.amount, actual));
            facts.extend(incomplete.then_some((runtime::INCOMPLETE, Value::Bool(true))));
            if reservation.key.unit == Unit::Usd {
                facts.push((key::COST_TOTAL.key, Value::Double(actual.to_f64().0)));
                facts.push(text(key::COST_CURRENCY.key, Unit::Usd.as_str()));
            }
        }
    }

    fn add_execution<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let proposal = &self.request.proposal;
        facts.push(text(key::COST_PROVIDER.key, proposal.provider.as_str()));
        facts.push(text(key::COST_MODEL.key, proposal.model.as_str()));
        facts.extend(proposal.key.as_ref().map(|name| text(runtime::KEY, name.as_str())));
        facts.extend(proposal.price.as_ref().map(|price| text(runtime::PRICE_ROW, price.row.as_str())));
        if let Some(tokens) = self.reported_tokens() {
            let count = |tokens| Value::Int(i64::try_from(tokens).unwrap_or(i64::MAX));
            facts.push((key::TOKENS_INPUT.key, count(tokens.input)));
            facts.push((key::TOKENS_OUTPUT.key, count(tokens.output)));
            facts.push((key::TOKENS_TOTAL.key, count(tokens.total().unwrap_or(u64::MAX))));
        }
        facts.extend(self.unusual_end().map(|end| text(runtime::END, end)));
    }

    /// The word for an end that was not completion.
    #[must_use]
    pub fn unusual_end(&self) -> Option<&'static str> {
        match &self.ending.as_ref()?.how {
            How::InDoubt => Some("in_doubt"),
            How::Released => Some("released"),
            How::Settled { execution, .. } => match execution.end {
                End::Completed => None,
                End::ProviderError(Failure::Unreachable) => Some("unreachable"),
                End::ProviderError(_) => Some("provider_error"),
                End::NeverSent => Some("never_sent"),
                End::Abandoned => Some("abandoned"),
                End::Cancelled => Some("cancelled"),
            },
        }
    }

    fn sequence_fact(&self) -> Fact<'static> {
        (runtime::SEQUENCE, Value::Int(i64::try_from(self.sequence).unwrap_or(i64::MAX)))
    }

    /// What lets anybody recompute the decision. It stands with the decision's event and nowhere else.
    fn add_evidence(&self, facts: &mut Vec<Fact<'_>>) {
        facts.push(self.sequence_fact());
        facts.push(text(runtime::CHAIN, hex::text(self.chain.bytes())));
        facts.push(text(runtime::POLICY_VERSION, hex::text(self.policy().bytes())));
        facts.push(text(runtime::INPUT_DIGEST, hex::text(self.input_digest().bytes())));
        facts.push(text(runtime::STATE_DIGEST, hex::text(self.state_digest().bytes())));
    }

    fn path_texts(&self) -> Vec<String> {
        let line = |step: &Reservation| {
            let key = &step.key;
            format!("{} {} {} {}", key.budget_name(), key.window, step.amount, key.unit)
        };
        self.cells().iter().map(line).collect()
    }
}

fn text<'a>(key: &'static str, value: impl Into<Cow<'a, str>>) -> Fact<'a> {
    (key, Value::Text(value.into()))
}

fn add_decision<'a>(facts: &mut Vec<Fact<'a>>, decision: &'a Decision) {
    facts.push(text(key::POLICY_RESULT.key, decision.state().as_str()));
    let code = decision.reason_code().map(|code| text(key::POLICY_REASON_CODE.key, code.as_str()));
    facts.extend(code);
}

/// An amount as the double that the specification asks for, and as text where the double blurs it.
fn add_amount(facts: &mut Vec<Fact<'_>>, key: &'static str, exact_key: &'static str, amount: Amount) {
    let (double, exact) = amount.to_f64();
    facts.push((key, Value::Double(double)));
    if !exact {
        facts.push(text(exact_key, amount.to_string()));
    }
}

fn add_reserved<'a>(facts: &mut Vec<Fact<'a>>, reservation: &'a Reservation) {
    add_amount(facts, key::ACCOUNTING_RESERVED.key, runtime::RESERVED_EXACT, reservation.amount);
    facts.push(text(key::ACCOUNTING_UNIT.key, reservation.key.unit.as_str()));
}

fn budget_name(reservation: &Reservation) -> Option<Fact<'_>> {
    reservation.key.budget.as_ref().map(|name| text(key::BUDGET_NAME.key, name.as_str()))
}

fn delta(reserved: Amount, actual: Amount) -> Option<Fact<'static>> {
    let delta = actual.checked_sub(reserved)?;
    Some((key::RECONCILIATION_DELTA.key, Value::Double(delta.to_f64().0)))
}
