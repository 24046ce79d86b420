//! The events of section 8: their names, and the attributes that each has to carry or may carry.
//!
//! What happened, and so which event is told, is decided elsewhere.

use crate::attribute::{self as key, Attribute};

/// One event that the specification defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The event's name on the wire.
    pub name: &'static str,
    /// Whether a fully compliant runtime has to emit it (section 7.2).
    pub required: bool,
    /// Attributes that it always carries.
    pub carries: &'static [Attribute],
    /// Attributes that it may carry. The reason code of `genops.policy.evaluated` is among them: it is
    /// due exactly when the result is not ALLOWED.
    pub may_carry: &'static [Attribute],
}

/// `genops.policy.evaluated` (section 8.1): on every enforcement decision, before execution.
pub const POLICY_EVALUATED: Event = Event {
    name: "genops.policy.evaluated",
    required: true,
    carries: &[key::POLICY_RESULT],
    may_carry: &[key::POLICY_REASON_CODE, key::POLICY_NAME, key::POLICY_REASON],
};

/// `genops.budget.reservation` (section 8.2): when a reservation is recorded, before execution.
pub const BUDGET_RESERVATION: Event = Event {
    name: "genops.budget.reservation",
    required: true,
    carries: &[key::ACCOUNTING_RESERVED, key::ACCOUNTING_UNIT],
    may_carry: &[key::BUDGET_NAME, key::BUDGET_REMAINING],
};

/// `genops.budget.reconciliation` (section 8.3): after execution; never on an AWU that did not run.
pub const BUDGET_RECONCILIATION: Event = Event {
    name: "genops.budget.reconciliation",
    required: true,
    carries: &[key::ACCOUNTING_ACTUAL, key::ACCOUNTING_RESERVED, key::ACCOUNTING_UNIT],
    may_carry: &[key::RECONCILIATION_DELTA, key::BUDGET_NAME],
};

/// `genops.cost.calculated` (section 8.4, experimental).
pub const COST_CALCULATED: Event = Event {
    name: "genops.cost.calculated",
    required: false,
    carries: &[key::COST_TOTAL, key::COST_CURRENCY],
    may_carry: &[key::COST_PROVIDER, key::COST_MODEL],
};

/// `genops.budget.alert` (section 8.4, experimental).
pub const BUDGET_ALERT: Event = Event {
    name: "genops.budget.alert",
    required: false,
    carries: &[key::BUDGET_NAME, key::BUDGET_CONSUMED, key::BUDGET_ALLOCATED],
    may_carry: &[],
};

/// `genops.evaluation.complete` (section 8.4, experimental).
pub const EVALUATION_COMPLETE: Event = Event {
    name: "genops.evaluation.complete",
    required: false,
    carries: &[key::EVAL_METRIC, key::EVAL_SCORE],
    may_carry: &[key::EVAL_THRESHOLD, key::EVAL_PASSED],
};

/// Every event of the specification: the three required ones first.
pub const ALL: &[Event] = &[
    POLICY_EVALUATED,
    BUDGET_RESERVATION,
    BUDGET_RECONCILIATION,
    COST_CALCULATED,
    BUDGET_ALERT,
    EVALUATION_COMPLETE,
];
