//! What is told of one AWU: plain data from its record. Why it was decided so is in
//! [`explanation`](super::explanation).

use genops_core::admit::Reservation;
use genops_core::awu::Labels;
use genops_core::finding::Finding;
use genops_core::price::Tokens;
use genops_core::record::{AwuRecord, Later, News, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{share, text};

/// One AWU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwuReport {
    /// `trace_id-span_id`.
    pub id: String,
    /// The entry that decided it.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The first attempt, where this is another one for the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_of: Option<String>,
    /// Its team.
    pub team: String,
    /// Its project.
    pub project: String,
    /// Its environment.
    pub environment: String,
    /// What else is said of it; absent where nothing is.
    #[serde(default, skip_serializing_if = "LabelReport::is_empty")]
    pub labels: LabelReport,
    /// The key that the caller showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the work is called.
    pub operation: String,
    /// The provider; absent where the work asks none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model; absent where the work asks none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the provider does the work; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// RESERVED, EXECUTING, SETTLED, IN_DOUBT, RELEASED or REFUSED.
    pub state: String,
    /// ALLOWED, WARNING, BLOCKED or RATE_LIMITED.
    pub result: String,
    /// Why not ALLOWED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule, budget or provider that decided; absent where it is ALLOWED, and where nobody can write a rule about
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether what decided is a refusal that was only observed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// Everything that did not simply allow it, in the order in which it was asked, and last what the end of the
    /// execution added: the code and a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// The accounting unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What was reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Whether the charge is the reservation, or what was counted, for want of a report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The price row that it is charged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_row: Option<String>,
    /// The most tokens that the call could use.
    pub bound: TokenReport,
    /// The output limit of each choice in tokens, where the budgets lowered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u64>,
    /// The tokens that the provider reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenReport>,
    /// How the execution ended, where not by completion; `in_doubt` where nobody knew. What was learned later is in
    /// `later`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// What was learned of it after its end; absent where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<LaterReport>,
    /// How long the provider took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Its tier, and what came of it; absent where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<SlaReport>,
    /// What was reserved and charged, cell by cell; for a refusal, the cells that it read.
    pub cells: Vec<CellReport>,
    /// The policy that decided.
    pub policy_version: String,
    /// The chain hash of the frame that carries the decision; zeros where it was decided a moment ago and cannot be read.
    pub chain: String,
}

/// What is said of an AWU beside its attribution (section 7.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelReport {
    /// For which customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// For which feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Which cost centre pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// What was learned of an AWU after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaterReport {
    /// The entry.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `settled`, where it was in doubt; `corrected`.
    pub what: String,
    /// Who says so; absent where its holder did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why; absent where its holder said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How the execution ended, `completed` too; absent where that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// What was charged until then, in the accounting unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What was charged from then on, in the accounting unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// The cells in which another amount was charged from then on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<ChangeReport>,
}

/// What an AWU is charged in a cell instead of what it was charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeReport {
    /// The budget.
    pub budget: String,
    /// Whose share of it, by the values of its `each`; absent where it has one cell for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// What it counts.
    pub unit: String,
    /// What was charged until then.
    pub before: String,
    /// What was charged from then on.
    pub actual: String,
}

/// Tokens, in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenReport {
    /// Read by the model.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
    /// Of the input, read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input: u64,
    /// Of the input, written to the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Of the output, what the model thought.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A tier, and what came of it (section 6). Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlaReport {
    /// The tier.
    pub tier: String,
    /// From sending the request to the end of the answer.
    pub target_ms: u64,
    /// What calls like it took when it was decided; absent where too little was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
    /// What it took; absent where it has not executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_ms: Option<u64>,
    /// Whether it met the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// The tier's target for the first of a streamed answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_target_ms: Option<u64>,
    /// When the first of a streamed answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
}

/// What an AWU did in one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellReport {
    /// The budget.
    pub budget: String,
    /// Whose share of it, by the values of its `each`; absent where it has one cell for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// The occurrence of its period.
    pub window: String,
    /// What it counts.
    pub unit: String,
    /// What may be used; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<String>,
    /// What had been used of it before.
    #[serde(default)]
    pub used_before: String,
    /// What work in flight had reserved of it before.
    #[serde(default)]
    pub outstanding_before: String,
    /// What remained before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_before: Option<String>,
    /// What was reserved, or for a refusal wanted.
    pub reserved: String,
    /// What remained once it was reserved; for a refusal what remained before, since it reserves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_after: Option<String>,
    /// What was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

const NANOS_PER_MILLI: u64 = 1_000_000;

impl AwuReport {
    /// What is told of a record.
    #[must_use]
    pub fn of(record: &AwuRecord) -> Self {
        let proposal = &record.request.proposal;
        let attribution = &proposal.attribution;
        let decisive = record.ruling().decisive();
        let accounting = record.accounting();
        let charged = accounting.and_then(|(position, _)| record.charged_now(position));
        Self {
            id: record.id().to_string(),
            sequence: record.sequence,
            at: text(record.at),
            attempt_of: record.request.attempt_of.map(text),
            team: attribution.team().to_string(),
            project: attribution.project().to_string(),
            environment: attribution.environment().to_string(),
            labels: LabelReport::of(&proposal.labels),
            key: proposal.key.as_ref().map(text),
            operation: proposal.operation_name.to_string(),
            provider: proposal.provider.as_ref().map(text),
            model: proposal.model.as_ref().map(text),
            region: proposal.region.as_ref().map(text),
            state: record.state().to_owned(),
            result: record.decision().state().to_string(),
            reason_code: record.decision().reason_code().map(text),
            reason: record.reason(),
            rule: decisive.and_then(|finding| finding.rule.as_ref()).map(text),
            observed: decisive.is_some_and(|finding| finding.is_observed),
            findings: findings(record),
            unit: accounting.map(|(_, reservation)| text(reservation.key.unit)),
            reserved: accounting.map(|(_, reservation)| text(reservation.amount)),
            actual: charged.map(|(actual, _)| text(actual)),
            incomplete: charged.is_some_and(|(_, incomplete)| incomplete),
            price_row: proposal.price.as_ref().map(|price| text(&price.row)),
            bound: TokenReport::of(proposal.bound),
            output_limit: record.output_limit(),
            tokens: record.reported_tokens().map(TokenReport::of),
            end: record.unusual_end().map(str::to_owned),
            ended_at: record.ended_at().map(text),
            later: record
                .later
                .iter()
                .zip(0..)
                .map(|(later, place)| LaterReport::of(record, later, place))
                .collect(),
            latency_ms: record.execution().map(|execution| execution.latency_ns / NANOS_PER_MILLI),
            sla: SlaReport::of(record),
            cells: cells(record),
            policy_version: text(record.ruling().policy),
            chain: text(record.chain),
        }
    }
}

impl LabelReport {
    fn of(labels: &Labels) -> Self {
        let told = |label: &Option<genops_core::Name>| label.as_ref().map(text);
        Self {
            customer_id: told(&labels.customer_id),
            feature: told(&labels.feature),
            cost_center: told(&labels.cost_center),
            session_id: told(&labels.session_id),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LaterReport {
    /// The news at a place among the others.
    fn of(record: &AwuRecord, later: &Later, place: usize) -> Self {
        let (what, act, end) = match &later.news {
            News::Settled { act, execution, .. } => ("settled", act.as_ref(), Some(execution.end)),
            News::Corrected(correction) => ("corrected", Some(&correction.act), None),
        };
        let charged = |position: usize, news: usize| Some(record.charged_after(position, news)?.0);
        let accounting = record.accounting().map(|(position, _)| position);
        let in_unit = |news| accounting.and_then(|position| charged(position, news)).map(text);
        let change = |(position, step): (usize, &Reservation)| {
            let (before, actual) = (charged(position, place)?, charged(position, place.saturating_add(1))?);
            (before != actual).then(|| ChangeReport {
                budget: step.key.budget_name().to_owned(),
                each: share(&step.key),
                unit: text(step.key.unit),
                before: text(before),
                actual: text(actual),
            })
        };
        Self {
            sequence: later.sequence,
            at: text(later.at),
            what: what.to_owned(),
            author: act.map(|act| text(&act.author)),
            reason: act.map(|act| text(&act.reason)),
            end: end.map(|end| end.as_str().to_owned()),
            before: in_unit(place),
            actual: in_unit(place.saturating_add(1)),
            cells: record.cells().iter().enumerate().filter_map(change).collect(),
        }
    }
}

impl TokenReport {
    const fn of(tokens: Tokens) -> Self {
        Self {
            input: tokens.input,
            output: tokens.output,
            cached_input: tokens.cached_input,
            cache_write: tokens.cache_write,
            reasoning: tokens.reasoning,
        }
    }
}

impl SlaReport {
    fn of(record: &AwuRecord) -> Option<Self> {
        let step = record.ruling().sla.as_ref()?;
        let millis = |nanos: u64| nanos / NANOS_PER_MILLI;
        Some(Self {
            tier: step.tier.to_string(),
            target_ms: step.target_ms,
            expected_ms: step.expected_ns.map(millis),
            actual_ms: record.latency_ns().map(millis),
            met: record.met_target(),
            first_token_target_ms: step.first_token_target_ms,
            first_token_ms: record.execution().and_then(|execution| execution.first_token_ns).map(millis),
        })
    }
}

fn findings(record: &AwuRecord) -> Vec<String> {
    let told = |finding: &Finding| {
        let code = finding.decision().reason_code().map(|code| format!("{code}: ")).unwrap_or_default();
        let observed = if finding.is_observed { " (observed)" } else { "" };
        format!("{code}{}{observed}", record.why(finding))
    };
    let mut findings: Vec<String> = record.ruling().findings.iter().map(told).collect();
    findings.extend(end_findings(record));
    findings
}

/// What the end of the execution adds to the findings.
pub(super) fn end_findings(record: &AwuRecord) -> Vec<String> {
    record.findings_of_the_end().into_iter().map(|found| format!("{}: {}", found.code, found.why)).collect()
}

fn cells(record: &AwuRecord) -> Vec<CellReport> {
    let is_refused = matches!(record.verdict, Verdict::Refused(_));
    let report = |(position, step): (usize, &Reservation)| {
        let before = step.before.remaining();
        let after = if is_refused { before } else { step.remaining_after() };
        CellReport {
            budget: step.key.budget_name().to_owned(),
            each: share(&step.key),
            window: text(step.key.window),
            unit: text(step.key.unit),
            allocated: step.before.allocated.map(text),
            used_before: text(step.before.used),
            outstanding_before: text(step.before.out),
            remaining_before: before.map(text),
            reserved: text(step.amount),
            remaining_after: after.map(text),
            actual: record.charged_now(position).map(|(actual, _)| text(actual)),
        }
    };
    record.cells().iter().enumerate().map(report).collect()
}
