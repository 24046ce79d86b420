//! The attribute keys of sections 6.3, 7.1 and 7.3, each with its type and when it is due.
//!
//! Values are not here, nor the runtime's own keys (`genops_runtime.…`), which the specification does
//! not know.

/// The OpenTelemetry type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    String,
    /// IEEE 754 binary64.
    Double,
    /// Signed 64-bit integer.
    Int64,
    /// True or false.
    Boolean,
}

/// When an attribute has to stand on an AWU's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// On every AWU.
    Always,
    /// On every AWU whose result is not ALLOWED; absent from the others (section 5.3).
    Refused,
    /// On every AWU, except one that a decision stopped before reservation (section 7.1).
    Reserved,
    /// On every AWU that completed execution (section 3.4).
    Executed,
    /// Where the runtime has something to say.
    Optional,
}

/// One attribute that the specification defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// The key on the wire.
    pub key: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// When it is due.
    pub when: When,
}

const fn attribute(key: &'static str, kind: Kind, when: When) -> Attribute {
    Attribute { key, kind, when }
}

/// `genops.team` (section 2.3).
pub const TEAM: Attribute = attribute("genops.team", Kind::String, When::Always);
/// `genops.project` (section 2.3).
pub const PROJECT: Attribute = attribute("genops.project", Kind::String, When::Always);
/// `genops.environment` (section 2.3).
pub const ENVIRONMENT: Attribute = attribute("genops.environment", Kind::String, When::Always);
/// `genops.operation.name` (section 7.1).
pub const OPERATION_NAME: Attribute = attribute("genops.operation.name", Kind::String, When::Always);
/// `genops.operation.type` (section 7.1).
pub const OPERATION_TYPE: Attribute = attribute("genops.operation.type", Kind::String, When::Always);
/// `genops.spec.version` (sections 7.1 and 11.3).
pub const VERSION: Attribute = attribute("genops.spec.version", Kind::String, When::Always);
/// `genops.policy.result` (section 4.2).
pub const POLICY_RESULT: Attribute = attribute("genops.policy.result", Kind::String, When::Always);
/// `genops.policy.reason_code` (sections 4.2 and 5.3).
pub const POLICY_REASON_CODE: Attribute = attribute("genops.policy.reason_code", Kind::String, When::Refused);
/// `genops.accounting.reserved` (section 3.4).
pub const ACCOUNTING_RESERVED: Attribute =
    attribute("genops.accounting.reserved", Kind::Double, When::Reserved);
/// `genops.accounting.unit` (section 3.4).
pub const ACCOUNTING_UNIT: Attribute = attribute("genops.accounting.unit", Kind::String, When::Reserved);
/// `genops.accounting.actual` (section 3.4).
pub const ACCOUNTING_ACTUAL: Attribute = attribute("genops.accounting.actual", Kind::Double, When::Executed);

/// `genops.accounting.reconciliation_delta`: actual minus reserved (section 7.3).
pub const RECONCILIATION_DELTA: Attribute =
    attribute("genops.accounting.reconciliation_delta", Kind::Double, When::Optional);
/// `genops.budget.name` (section 7.3).
pub const BUDGET_NAME: Attribute = attribute("genops.budget.name", Kind::String, When::Optional);
/// `genops.budget.allocated` (section 7.3).
pub const BUDGET_ALLOCATED: Attribute = attribute("genops.budget.allocated", Kind::Double, When::Optional);
/// `genops.budget.consumed` (section 7.3).
pub const BUDGET_CONSUMED: Attribute = attribute("genops.budget.consumed", Kind::Double, When::Optional);
/// `genops.budget.remaining` (section 7.3).
pub const BUDGET_REMAINING: Attribute = attribute("genops.budget.remaining", Kind::Double, When::Optional);
/// `genops.budget.period` (section 7.3).
pub const BUDGET_PERIOD: Attribute = attribute("genops.budget.period", Kind::String, When::Optional);
/// `genops.policy.name` (section 7.3).
pub const POLICY_NAME: Attribute = attribute("genops.policy.name", Kind::String, When::Optional);
/// `genops.policy.reason`: for people to read (section 7.3).
pub const POLICY_REASON: Attribute = attribute("genops.policy.reason", Kind::String, When::Optional);
/// `genops.policy.timestamp`, in Unix epoch milliseconds (section 7.3).
pub const POLICY_TIMESTAMP: Attribute = attribute("genops.policy.timestamp", Kind::Int64, When::Optional);
/// `genops.cost.total` (section 7.3).
pub const COST_TOTAL: Attribute = attribute("genops.cost.total", Kind::Double, When::Optional);
/// `genops.cost.currency`, ISO 4217 (section 7.3).
pub const COST_CURRENCY: Attribute = attribute("genops.cost.currency", Kind::String, When::Optional);
/// `genops.cost.provider` (section 7.3).
pub const COST_PROVIDER: Attribute = attribute("genops.cost.provider", Kind::String, When::Optional);
/// `genops.cost.model` (section 7.3).
pub const COST_MODEL: Attribute = attribute("genops.cost.model", Kind::String, When::Optional);
/// `genops.tokens.input` (section 7.3).
pub const TOKENS_INPUT: Attribute = attribute("genops.tokens.input", Kind::Int64, When::Optional);
/// `genops.tokens.output` (section 7.3).
pub const TOKENS_OUTPUT: Attribute = attribute("genops.tokens.output", Kind::Int64, When::Optional);
/// `genops.tokens.total` (section 7.3).
pub const TOKENS_TOTAL: Attribute = attribute("genops.tokens.total", Kind::Int64, When::Optional);
/// `genops.eval.metric` (section 7.3).
pub const EVAL_METRIC: Attribute = attribute("genops.eval.metric", Kind::String, When::Optional);
/// `genops.eval.score` (section 7.3).
pub const EVAL_SCORE: Attribute = attribute("genops.eval.score", Kind::Double, When::Optional);
/// `genops.eval.threshold` (section 7.3).
pub const EVAL_THRESHOLD: Attribute = attribute("genops.eval.threshold", Kind::Double, When::Optional);
/// `genops.eval.passed` (section 7.3).
pub const EVAL_PASSED: Attribute = attribute("genops.eval.passed", Kind::Boolean, When::Optional);
/// `genops.sla.tier` (section 6.3).
pub const SLA_TIER: Attribute = attribute("genops.sla.tier", Kind::String, When::Optional);
/// `genops.sla.latency_target_ms` (section 6.3).
pub const SLA_LATENCY_TARGET_MS: Attribute =
    attribute("genops.sla.latency_target_ms", Kind::Int64, When::Optional);
/// `genops.sla.actual_latency_ms` (section 6.3).
pub const SLA_ACTUAL_LATENCY_MS: Attribute =
    attribute("genops.sla.actual_latency_ms", Kind::Int64, When::Optional);
/// `genops.sla.met` (section 6.3).
pub const SLA_MET: Attribute = attribute("genops.sla.met", Kind::Boolean, When::Optional);
/// `genops.customer_id` (section 7.3).
pub const CUSTOMER_ID: Attribute = attribute("genops.customer_id", Kind::String, When::Optional);
/// `genops.feature` (section 7.3).
pub const FEATURE: Attribute = attribute("genops.feature", Kind::String, When::Optional);
/// `genops.session_id` (section 7.3).
pub const SESSION_ID: Attribute = attribute("genops.session_id", Kind::String, When::Optional);
/// `genops.cost_center` (section 7.3).
pub const COST_CENTER: Attribute = attribute("genops.cost_center", Kind::String, When::Optional);

/// Every attribute of the specification: the required ones of section 7.1 first.
pub const ALL: &[Attribute] = &[
    TEAM,
    PROJECT,
    ENVIRONMENT,
    OPERATION_NAME,
    OPERATION_TYPE,
    VERSION,
    POLICY_RESULT,
    POLICY_REASON_CODE,
    ACCOUNTING_RESERVED,
    ACCOUNTING_UNIT,
    ACCOUNTING_ACTUAL,
    RECONCILIATION_DELTA,
    BUDGET_NAME,
    BUDGET_ALLOCATED,
    BUDGET_CONSUMED,
    BUDGET_REMAINING,
    BUDGET_PERIOD,
    POLICY_NAME,
    POLICY_REASON,
    POLICY_TIMESTAMP,
    COST_TOTAL,
    COST_CURRENCY,
    COST_PROVIDER,
    COST_MODEL,
    TOKENS_INPUT,
    TOKENS_OUTPUT,
    TOKENS_TOTAL,
    EVAL_METRIC,
    EVAL_SCORE,
    EVAL_THRESHOLD,
    EVAL_PASSED,
    SLA_TIER,
    SLA_LATENCY_TARGET_MS,
    SLA_ACTUAL_LATENCY_MS,
    SLA_MET,
    CUSTOMER_ID,
    FEATURE,
    SESSION_ID,
    COST_CENTER,
];
