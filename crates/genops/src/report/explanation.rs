//! Why an AWU was decided as it was: its facts, the rules that were asked and what each of them said, and exactly
//! what of the books was read for it.
//!
//! Plain data from a record and the policy that decided; nothing is decided here again.

use genops_core::awu::TraceContext;
use genops_core::circuit::Circuit;
use genops_core::explanation::Asked;
use genops_core::finding::Finding;
use genops_core::policy::InForce;
use genops_core::rate::{RateAnswer, RateState, RateStep};
use genops_core::record::{AwuRecord, Verdict};
use genops_core::rule::{Assessment, Found};
use genops_core::{Timestamp, hex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::awu::{AwuReport, end_findings};
use super::text;

/// Why one AWU was decided as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The AWU, its decision and its end.
    pub awu: AwuReport,
    /// `genops.operation.type`.
    pub operation_type: String,
    /// How many answers were asked for.
    pub choices: u64,
    /// The part of the request that may use more than the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbounded: Option<String>,
    /// The caller's span, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerReport>,
    /// What was found about conditions and content before the books were asked.
    pub assessed: Vec<AssessmentReport>,
    /// The rules that were asked, in order.
    pub asked: Vec<AskedReport>,
    /// The rates that were asked.
    pub rates: Vec<RateReport>,
    /// The provider's circuit, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitReport>,
    /// What the end of the execution added: the code and a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end_findings: Vec<String>,
    /// The digest of everything that the decision was asked (section 3.5).
    pub input_digest: String,
    /// The digest of exactly the state that the decision read (section 3.5).
    pub state_digest: String,
}

/// How an AWU hangs together with what called it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallerReport {
    /// Whether the AWU is in the caller's trace, below its span; otherwise it only has a link to it.
    pub is_parent: bool,
    /// The caller's trace, in hexadecimal.
    pub trace_id: String,
    /// The caller's span, in hexadecimal.
    pub span_id: String,
}

/// What was found outside the books about one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssessmentReport {
    /// The condition or content rule.
    pub rule: String,
    /// `holds` or `failed`, for a condition; `content`.
    pub found: String,
    /// Which kind of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How often it stands in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedReport {
    /// What was asked: `model`, `region`, `condition`, `content`, `provider`, `bound`, `price`, `rate`, `sla`,
    /// `budget`.
    pub question: String,
    /// The rule, tier, budget or provider; absent where nobody can write a rule about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// ALLOWED, WARNING, BLOCKED or RATE_LIMITED.
    pub said: String,
    /// Why not ALLOWED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Whether a refusal was only observed: it came to a warning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// Whether it made the decision.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decided: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// A rate that was asked. A refused AWU takes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateReport {
    /// The rule, and the values that have its limit for themselves: `per-customer (acme)`.
    pub rate: String,
    /// How much the rule allows: `600 requests per minute`.
    pub limit: String,
    /// `taken` (there was room, and the AWU took it), `room` (there was, and it took nothing), `wait`, `full`, or
    /// `never` (it asks for more than the rate ever has).
    pub answer: String,
    /// When there would have been room, if nothing else arrived, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<String>,
    /// Before.
    pub before: RateStateReport,
    /// After.
    pub after: RateStateReport,
}

/// The state of a rate: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateStateReport {
    /// What has been taken of it takes so long to flow, in milliseconds, rounded up; the burst is all there at 0.
    TakenMs(u64),
    /// So many calls are in flight.
    InFlight(u64),
}

/// The circuit of a provider, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitReport {
    /// The provider.
    pub provider: String,
    /// Before.
    pub before: CircuitStateReport,
    /// After.
    pub after: CircuitStateReport,
}

/// The state of a circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitStateReport {
    /// Failures in a row.
    pub failures: u32,
    /// Since when it is open, or when the last call was let through to try, RFC 3339; absent where it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_since: Option<String>,
}

impl Explanation {
    /// Explains a record. `in_force` has to be the policy that decided.
    pub(super) fn of(record: &AwuRecord, in_force: &InForce) -> Self {
        let proposal = &record.request.proposal;
        Self {
            awu: AwuReport::of(record),
            operation_type: text(&proposal.operation_type),
            choices: proposal.choices,
            unbounded: proposal.unbounded.as_ref().map(text),
            caller: CallerReport::of(record),
            assessed: proposal.assessed.iter().map(AssessmentReport::of).collect(),
            asked: asked(record, in_force),
            rates: record.ruling().rates.iter().map(|step| RateReport::of(record, in_force, step)).collect(),
            circuit: CircuitReport::of(record),
            end_findings: end_findings(record),
            input_digest: text(record.input_digest()),
            state_digest: text(record.state_digest()),
        }
    }
}

impl CallerReport {
    fn of(record: &AwuRecord) -> Option<Self> {
        let (is_parent, trace_id, span_id) = match &record.request.trace {
            TraceContext::Root => return None,
            TraceContext::Child { parent_span_id } => (true, &record.request.awu.trace_id, parent_span_id),
            TraceContext::Linked { trace_id, span_id } => (false, trace_id, span_id),
        };
        Some(Self { is_parent, trace_id: hex::text(trace_id), span_id: hex::text(span_id) })
    }
}

impl AssessmentReport {
    fn of(assessment: &Assessment) -> Self {
        let (found, kind, count) = match &assessment.found {
            Found::Holds => ("holds", None, None),
            Found::Failed => ("failed", None, None),
            Found::Content { kind, count } => ("content", Some(text(kind)), Some(*count)),
        };
        Self { rule: text(&assessment.rule), found: found.to_owned(), kind, count }
    }
}

fn asked(record: &AwuRecord, in_force: &InForce) -> Vec<AskedReport> {
    let asked = record.asked(in_force);
    let decisive = record.ruling().decisive();
    let decided = asked.iter().position(|asked| decisive.is_some_and(|decisive| is_about(asked, decisive)));
    let report = |(position, asked): (usize, &Asked)| AskedReport {
        question: text(asked.question),
        rule: asked.rule.as_ref().map(text),
        said: text(asked.said.state()),
        reason_code: asked.said.reason_code().map(text),
        observed: asked.is_observed,
        decided: decided == Some(position),
        why: asked.why.clone(),
    };
    asked.iter().enumerate().map(report).collect()
}

/// Whether it is the finding that a rule which was asked came to.
fn is_about(asked: &Asked, finding: &Finding) -> bool {
    let Finding { question, rule, said, is_observed } = finding;
    asked.question == *question
        && asked.rule == *rule
        && asked.said == *said
        && asked.is_observed == *is_observed
}

impl RateReport {
    fn of(record: &AwuRecord, in_force: &InForce, step: &RateStep) -> Self {
        let is_admitted = matches!(record.verdict, Verdict::Admitted(_));
        let (answer, earliest) = match step.answer {
            RateAnswer::Takes(_) | RateAnswer::TakesPlace if is_admitted => ("taken", None),
            RateAnswer::Takes(_) | RateAnswer::TakesPlace => ("room", None),
            RateAnswer::Wait(earliest) => ("wait", Some(text(earliest))),
            RateAnswer::Full => ("full", None),
            RateAnswer::TooMuch => ("never", None),
            RateAnswer::NoPlace => ("no_place", None),
        };
        let after = match (step.before, step.answer) {
            (_, RateAnswer::Takes(stretch)) if is_admitted => RateState::Until(stretch.until),
            (RateState::InFlight(calls), RateAnswer::TakesPlace) if is_admitted => {
                RateState::InFlight(calls.saturating_add(1))
            }
            (before, _) => before,
        };
        Self {
            rate: text(&step.key),
            limit: in_force.rate(&step.key.rule).map(|rule| text(&rule.limit)).unwrap_or_default(),
            answer: answer.to_owned(),
            earliest,
            before: RateStateReport::of(step.before, record.at),
            after: RateStateReport::of(after, record.at),
        }
    }
}

impl RateStateReport {
    fn of(state: RateState, at: Timestamp) -> Self {
        match state {
            RateState::Until(until) => Self::TakenMs(until.nanos_since(at).div_ceil(1_000_000)),
            RateState::InFlight(calls) => Self::InFlight(calls),
        }
    }
}

impl CircuitReport {
    fn of(record: &AwuRecord) -> Option<Self> {
        let step = record.ruling().circuit.as_ref()?;
        // A refused AWU is sent nowhere, so its circuit stays as it is.
        let after = if matches!(record.verdict, Verdict::Admitted(_)) { step.after } else { step.before };
        let state = |circuit: Circuit| CircuitStateReport {
            failures: circuit.failures,
            open_since: circuit.open_since.map(text),
        };
        Some(Self { provider: text(&step.provider), before: state(step.before), after: state(after) })
    }
}
