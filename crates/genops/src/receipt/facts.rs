//! What a receipt tells of an entry in words that people and programs can read. Amounts are decimal text.
//!
//! This belongs to the format of receipts: what version 1 says of an entry may not change, or receipts that were given
//! earlier do not hold any more. So nothing stands here that is worded for people; that is in [`report`](crate::report).

use std::collections::BTreeMap;

use genops_core::Quantity;
use genops_core::admit::Reservation;
use genops_core::awu::Proposal;
use genops_core::price::{Price, Rates, Tier, Tokens};
use genops_core::record::{AwuRecord, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// ALLOWED, WARNING, BLOCKED or RATE_LIMITED.
    pub result: String,
    /// Why not ALLOWED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The rule, budget or provider that decided; absent where it is ALLOWED, and where nobody can write a rule about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether what decided is a refusal that was only observed.
    pub observed: bool,
}

/// What an AWU asked to do. Absent is what nobody said or knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Its team.
    pub team: String,
    /// Its project.
    pub project: String,
    /// Its environment.
    pub environment: String,
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
    /// The key that the caller showed, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The first attempt, where this is another one for the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_of: Option<String>,
    /// What the work is called.
    pub operation: String,
    /// What kind of work it is.
    pub operation_type: String,
    /// The provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the provider does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The most that the call can use.
    pub bound: Bound,
    /// How many answers share the output of the bound.
    pub choices: u64,
    /// The most of other units that it can use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quantities: BTreeMap<String, String>,
    /// The unit that it accounts in, where it names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounting_unit: Option<String>,
    /// The part of the request that may use more than the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbounded: Option<String>,
    /// What its tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceFacts>,
    /// The output limit of each choice in tokens, where the budgets lowered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u64>,
}

/// The most tokens that a call can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Read by the model.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
}

/// A price row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceFacts {
    /// Where it comes from.
    pub row: String,
    /// What a million tokens cost while no tier applies.
    pub usd_per_million: RateFacts,
    /// What they cost instead where a call reads much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierFacts>,
}

/// Other prices for calls that read much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierFacts {
    /// It applies to calls with more input tokens than this.
    pub above: u64,
    /// What a million tokens cost then.
    pub usd_per_million: RateFacts,
}

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateFacts {
    /// Input.
    pub input: String,
    /// Output.
    pub output: String,
    /// Input that comes out of the provider's cache; as other input where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<String>,
    /// Input that is put into the provider's cache; as other input where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<String>,
}

/// What an AWU reserved in one budget, or wanted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The budget.
    pub budget: String,
    /// Whose share of it, by the values of its `each`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// The occurrence of its period.
    pub window: String,
    /// What it counts.
    pub unit: String,
    /// What was reserved; absent in a refusal, which reserves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// What a refused AWU would have needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What may be used; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<String>,
    /// What remained before; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_before: Option<String>,
}

impl Decision {
    pub(super) fn of(record: &AwuRecord) -> Self {
        let decisive = record.ruling().decisive();
        Self {
            result: record.decision().state().to_string(),
            reason_code: text(record.decision().reason_code()),
            rule: decisive.and_then(|finding| text(finding.rule.as_ref())),
            observed: decisive.is_some_and(|finding| finding.is_observed),
        }
    }
}

impl Facts {
    pub(super) fn of(record: &AwuRecord) -> Self {
        let Proposal {
            attribution,
            labels,
            operation_name,
            operation_type,
            key,
            provider,
            model,
            region,
            bound,
            choices,
            quantities,
            accounting_unit,
            unbounded,
            price,
            // What was found in a prompt says something of it; its digest is in the input digest, and it is in the entry.
            assessed: _,
        } = &record.request.proposal;
        Self {
            team: attribution.team().to_string(),
            project: attribution.project().to_string(),
            environment: attribution.environment().to_string(),
            customer_id: text(labels.customer_id.as_ref()),
            feature: text(labels.feature.as_ref()),
            cost_center: text(labels.cost_center.as_ref()),
            session_id: text(labels.session_id.as_ref()),
            key: text(key.as_ref()),
            attempt_of: text(record.request.attempt_of),
            operation: operation_name.to_string(),
            operation_type: operation_type.to_string(),
            provider: text(provider.as_ref()),
            model: text(model.as_ref()),
            region: text(region.as_ref()),
            bound: Bound::of(*bound),
            choices: *choices,
            quantities: quantities.iter().map(quantity).collect(),
            accounting_unit: text(*accounting_unit),
            unbounded: text(unbounded.as_ref()),
            price: price.as_ref().map(PriceFacts::of),
            output_limit: record.output_limit(),
        }
    }
}

impl Bound {
    const fn of(tokens: Tokens) -> Self {
        Self { input: tokens.input, output: tokens.output }
    }
}

impl PriceFacts {
    fn of(price: &Price) -> Self {
        let tier = |tier: &Tier| TierFacts { above: tier.above, usd_per_million: RateFacts::of(&tier.rates) };
        Self {
            row: price.row.to_string(),
            usd_per_million: RateFacts::of(&price.rates),
            tiers: price.tiers.iter().map(tier).collect(),
        }
    }
}

impl RateFacts {
    fn of(rates: &Rates) -> Self {
        Self {
            input: rates.input.to_string(),
            output: rates.output.to_string(),
            cached_input: text(rates.cached_input),
            cache_write: text(rates.cache_write),
        }
    }
}

impl Cell {
    pub(super) fn all(record: &AwuRecord) -> Vec<Self> {
        let is_refused = matches!(record.verdict, Verdict::Refused(_));
        record.cells().iter().map(|step| Self::of(step, is_refused)).collect()
    }

    fn of(step: &Reservation, is_refused: bool) -> Self {
        let amount = step.amount.to_string();
        let (reserved, wanted) = if is_refused { (None, Some(amount)) } else { (Some(amount), None) };
        Self {
            budget: step.key.budget_name().to_owned(),
            each: step.key.each.iter().map(|share| text(share.value.as_ref())).collect(),
            window: step.key.window.to_string(),
            unit: step.key.unit.to_string(),
            reserved,
            wanted,
            allocated: text(step.before.allocated),
            remaining_before: text(step.before.remaining()),
        }
    }
}

fn quantity(quantity: &Quantity) -> (String, String) {
    (quantity.unit.to_string(), quantity.amount.to_string())
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}
