//! What can be told about an AWU, as typed facts: the attributes and events of sections 7 and 8.
//!
//! This is the only place where an amount becomes a double. How facts are put on the wire, and when they
//! are sent, is not known here. Names that the specification does not have begin with `genops_runtime.`.

use std::borrow::Cow;

use genops_spec::{Decision, ReasonCode, SPEC_VERSION, attribute as key, event};

use crate::admit::Reservation;
use crate::amount::{Amount, Unit};
use crate::awu::{End, Execution, Used};
use crate::explanation::EndFinding;
use crate::finding::Finding;
use crate::hex;
use crate::name::Name;
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
    /// Every cell on the path: `budget (share) window reserved unit`, the share where the budget has any.
    pub const CELLS: &str = "genops_runtime.cells";
    /// The record rests on the reservation, or on what was counted here, for want of a report (section 3.5).
    pub const INCOMPLETE: &str = "genops_runtime.accounting.incomplete";
    /// The reservation as decimal text, where the double blurs it.
    pub const RESERVED_EXACT: &str = "genops_runtime.accounting.reserved_exact";
    /// The actual as decimal text, where the double blurs it.
    pub const ACTUAL_EXACT: &str = "genops_runtime.accounting.actual_exact";
    /// What remains in the budget, as decimal text, where the double blurs it.
    pub const REMAINING_EXACT: &str = "genops_runtime.budget.remaining_exact";
    /// What has been used of a budget, as decimal text, where the double blurs it.
    pub const CONSUMED_EXACT: &str = "genops_runtime.budget.consumed_exact";
    /// What is allocated to a budget, as decimal text, where the double blurs it.
    pub const ALLOCATED_EXACT: &str = "genops_runtime.budget.allocated_exact";
    /// The threshold that a budget has reached, in percent of what is allocated.
    pub const ALERT_PERCENT: &str = "genops_runtime.budget.alert_percent";
    /// A cell: its budget, and whose share of it.
    pub const CELL: &str = "genops_runtime.budget.cell";
    /// What the AWU was charged before, as decimal text.
    pub const ACTUAL_BEFORE: &str = "genops_runtime.accounting.actual_before";
    /// Who did it.
    pub const AUTHOR: &str = "genops_runtime.act.author";
    /// Why.
    pub const REASON: &str = "genops_runtime.act.reason";
    /// The key that the caller showed, by name.
    pub const KEY: &str = "genops_runtime.key";
    /// The policy rules that did not simply allow the AWU: `question rule says`, ` (observed)` where it was only
    /// observed.
    pub const FINDINGS: &str = "genops_runtime.policy.findings";
    /// Some rule only observes that would have refused the AWU.
    pub const OBSERVED: &str = "genops_runtime.policy.observed";
    /// The output limit of each choice that the budgets left, in tokens.
    pub const OUTPUT_LIMIT: &str = "genops_runtime.output_limit";
    /// The AWU that this one tries again for, or in the place of.
    pub const ATTEMPT_OF: &str = "genops_runtime.attempt_of";
    /// Where the provider does the work.
    pub const REGION: &str = "genops_runtime.region";
    /// The latency that was expected when the AWU was decided, in milliseconds.
    pub const EXPECTED_LATENCY: &str = "genops_runtime.sla.expected_latency_ms";
    /// The target for the first of a streamed answer, in milliseconds.
    pub const FIRST_TOKEN_TARGET: &str = "genops_runtime.sla.first_token_target_ms";
    /// The time to the first of a streamed answer, in milliseconds.
    pub const FIRST_TOKEN: &str = "genops_runtime.sla.actual_first_token_ms";
    /// Whether that met its target.
    pub const FIRST_TOKEN_MET: &str = "genops_runtime.sla.first_token_met";
    /// How the execution ended, where that was not by completion.
    pub const END: &str = "genops_runtime.execution.end";
    /// The price row that the AWU was charged by.
    pub const PRICE_ROW: &str = "genops_runtime.price.row";
}

/// Room for the facts of a span, of an event, and for the events of an AWU, as most have them.
const SPAN_FACTS: usize = 32;
const EVENT_FACTS: usize = 12;
const EVENTS: usize = 3;

const NANOS_PER_MILLI: u64 = 1_000_000;

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
        self.add_labels(&mut facts);
        self.add_explanation(&mut facts);
        self.add_accounting(&mut facts);
        self.add_sla(&mut facts);
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

    /// The events of the end: the reconciliation, and what the end adds to the decision, as decisions of their own. None
    /// where the AWU did not execute (section 7.2.1).
    #[must_use]
    pub fn ending_events(&self) -> Vec<Event<'_>> {
        let Some(ending) = &self.ending else { return Vec::new() };
        let mut events = Vec::new();
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
        // A decision after the fact follows what it is about.
        for EndFinding { code, rule, why } in self.findings_of_the_end() {
            let finding = Decision::Warning(code);
            let mut facts = Vec::with_capacity(EVENT_FACTS);
            facts.push(text(key::POLICY_RESULT.key, finding.state().as_str()));
            let code = finding.reason_code().map(ToString::to_string);
            facts.extend(code.map(|code| text(key::POLICY_REASON_CODE.key, code)));
            facts.extend(rule.map(|rule| text(key::POLICY_NAME.key, rule.as_str().to_owned())));
            facts.push(text(key::POLICY_REASON.key, why));
            self.add_attribution(&mut facts);
            events.push(Event { name: event::POLICY_EVALUATED.name, at: ending.at, facts });
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

    fn add_labels<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let labels = &self.request.proposal.labels;
        let known = [
            (key::CUSTOMER_ID, &labels.customer_id),
            (key::FEATURE, &labels.feature),
            (key::COST_CENTER, &labels.cost_center),
            (key::SESSION_ID, &labels.session_id),
        ];
        let said = known.into_iter().filter_map(|(key, label)| Some((key, label.as_ref()?)));
        facts.extend(said.map(|(key, label)| text(key.key, label.as_str())));
    }

    /// Which rule decided, a sentence for people, and whatever else was found.
    fn add_explanation<'a>(&'a self, facts: &mut Vec<Fact<'a>>) {
        let Some(finding) = self.ruling().decisive() else { return };
        facts.push(text(key::POLICY_REASON.key, self.why(finding)));
        facts.extend(finding.rule.as_ref().map(|rule| text(key::POLICY_NAME.key, rule.as_str())));
        let findings = self.ruling().findings.iter().map(told).collect();
        facts.push((runtime::FINDINGS, Value::Texts(findings)));
        let is_observed = self.ruling().findings.iter().any(|finding| finding.is_observed);
        facts.extend(is_observed.then_some((runtime::OBSERVED, Value::Bool(true))));
    }

    /// The tier, its target, and once the AWU has executed what came of it (section 6.3, AMB-11).
    fn add_sla(&self, facts: &mut Vec<Fact<'_>>) {
        let Some(sla) = &self.ruling().sla else { return };
        let millis = |nanos: u64| Value::Int(i64::try_from(nanos / NANOS_PER_MILLI).unwrap_or(i64::MAX));
        let whole = |millis: u64| Value::Int(i64::try_from(millis).unwrap_or(i64::MAX));
        facts.push(text(key::SLA_TIER.key, sla.tier.as_str().to_owned()));
        facts.push((key::SLA_LATENCY_TARGET_MS.key, whole(sla.target_ms)));
        facts.extend(sla.expected_ns.map(|expected| (runtime::EXPECTED_LATENCY, millis(expected))));
        if let (Some(latency), Some(met)) = (self.latency_ns(), self.met_target()) {
            facts.push((key::SLA_ACTUAL_LATENCY_MS.key, millis(latency)));
            facts.push((key::SLA_MET.key, Value::Bool(met)));
        }
        let first = self.execution().and_then(|execution| execution.first_token_ns);
        if let Some(target) = sla.first_token_target_ms {
            facts.push((runtime::FIRST_TOKEN_TARGET, whole(target)));
            if let Some(first) = first {
                facts.push((runtime::FIRST_TOKEN, millis(first)));
                facts.push((runtime::FIRST_TOKEN_MET, Value::Bool(first / NANOS_PER_MILLI <= target)));
            }
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
        facts.extend(proposal.provider.as_ref().map(|name| text(key::COST_PROVIDER.key, name.as_str())));
        facts.extend(proposal.model.as_ref().map(|name| text(key::COST_MODEL.key, name.as_str())));
        facts.extend(proposal.key.as_ref().map(|name| text(runtime::KEY, name.as_str())));
        facts.extend(proposal.region.as_ref().map(|region| text(runtime::REGION, region.as_str())));
        facts.extend(self.request.attempt_of.map(|first| text(runtime::ATTEMPT_OF, first.to_string())));
        let limit = self.output_limit().and_then(|limit| i64::try_from(limit).ok());
        facts.extend(limit.map(|limit| (runtime::OUTPUT_LIMIT, Value::Int(limit))));
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
                end => Some(end.as_str()),
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
        facts.push(text(runtime::POLICY_VERSION, hex::text(self.ruling().policy.bytes())));
        facts.push(text(runtime::INPUT_DIGEST, hex::text(self.input_digest().bytes())));
        facts.push(text(runtime::STATE_DIGEST, hex::text(self.state_digest().bytes())));
    }

    fn path_texts(&self) -> Vec<String> {
        let line = |step: &Reservation| {
            let key = &step.key;
            format!("{key} {} {} {}", key.window, step.amount, key.unit)
        };
        self.cells().iter().map(line).collect()
    }
}

/// A finding, for programs and people: what was asked, of which rule, and what it said.
fn told(finding: &Finding) -> String {
    let rule = finding.rule.as_ref().map_or("-", Name::as_str);
    let code = finding.said.reason_code().map_or("", ReasonCode::as_str);
    let observed = if finding.is_observed { " (observed)" } else { "" };
    format!("{} {rule} {} {code}{observed}", finding.question, finding.said.state().as_str())
}

pub(crate) fn text<'a>(key: &'static str, value: impl Into<Cow<'a, str>>) -> Fact<'a> {
    (key, Value::Text(value.into()))
}

fn add_decision<'a>(facts: &mut Vec<Fact<'a>>, decision: &'a Decision) {
    facts.push(text(key::POLICY_RESULT.key, decision.state().as_str()));
    let code = decision.reason_code().map(|code| text(key::POLICY_REASON_CODE.key, code.as_str()));
    facts.extend(code);
}

/// An amount as the double that the specification asks for, and as text where the double blurs it.
pub(crate) fn add_amount(
    facts: &mut Vec<Fact<'_>>,
    key: &'static str,
    exact_key: &'static str,
    amount: Amount,
) {
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
