//! Rules as they are written in `genops.yaml`: whom they cover, lists, conditions, content, rates, tiers, circuits and
//! budgets. Nothing is checked here but the shape.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{OneOrMore, Text};
use crate::config::schema::{Decimal, MoreThanNothing, Names, OverdraftWord, UnitWord};

/// Which calls a rule, a rate, a tier or a budget covers: those that have one of the values in each of these. A call
/// without a value is not covered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Covers {
    /// `genops.team`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"search")]
    pub team: OneOrMore,
    /// `genops.project`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"ranking")]
    pub project: OneOrMore,
    /// `genops.environment`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = ["dev", "staging"])]
    pub environment: OneOrMore,
    /// `genops.customer_id`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"acme")]
    pub customer_id: OneOrMore,
    /// `genops.feature`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"autocomplete")]
    pub feature: OneOrMore,
    /// `genops.cost_center`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"4711")]
    pub cost_center: OneOrMore,
    /// `genops.session_id`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names")]
    pub session_id: OneOrMore,
    /// The caller's key, by name: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"search-api")]
    pub key: OneOrMore,
    /// The provider: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"openai")]
    pub provider: OneOrMore,
    /// The model, as callers write it: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"gpt-4o")]
    pub model: OneOrMore,
    /// `genops.operation.type`: a name or a list.
    #[serde(default)]
    #[schemars(with = "Names", example = &"inference")]
    pub operation_type: OneOrMore,
}

/// A list of models or regions that calls may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-uses-mini")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// What it allows; `*` at the end stands for any rest.
    #[schemars(with = "Vec<String>", example = ["gpt-4o-mini*"])]
    pub allow: Vec<Text>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// An expression over the facts of a call. Facts: `team`, `project`, `environment`, `customer_id`, `feature`,
/// `cost_center`, `session_id`, `key`, `operation`, `operation_type`, `provider`, `model`, `region` (text),
/// `max_input_tokens`, `max_output_tokens` (numbers), `streamed`, `time` and `headers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its name, which a refusal tells; no other condition or content rule has it.
    #[schemars(with = "String", example = &"no-large-outputs-at-night")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// The rule speaks up where this holds: an expression in the Common Expression Language.
    #[schemars(with = "String", example = &"max_output_tokens > 4000 && time.getHours() < 6")]
    pub when: Text,
    /// Whether the call is refused (`deny`), or only a warning noted (`warn`). Default: `deny`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["deny", "warn"], "default" = "deny"))]
    pub effect: Option<Text>,
    /// The reason code: `POLICY_DENY_MODEL`, `POLICY_DENY_REGION`, `POLICY_DENY_CONTENT`, or one of your own, `x_` and
    /// lower-case letters, digits and underscores; none that the gateway gives itself.
    #[schemars(with = "String", example = &"x_no_large_outputs_at_night")]
    pub code: Text,
    /// What happens where the expression cannot be worked out, for want of a header say: the call is refused
    /// (`refuse`), or a warning noted (`warn`). Default: `refuse`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["refuse", "warn"], "default" = "refuse"))]
    pub on_error: Option<Text>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// What a prompt may not hold. Refused with `POLICY_DENY_CONTENT`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentRule {
    /// Its name, which a refusal tells; no other condition or content rule has it.
    #[schemars(with = "String", example = &"no-secrets")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// Whole words or phrases, whatever their letters' case. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["project falcon"])]
    pub keywords: Vec<Text>,
    /// Regular expressions. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["(?i)ticket-[0-9]{6}"])]
    pub patterns: Vec<Text>,
    /// What is known by its shape: e-mail addresses, payment card numbers with a right check digit, keys of well-known
    /// services, private keys. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["email", "payment_card", "api_key", "private_key"])]
    pub detect: Vec<Text>,
    /// Whether the call is refused (`deny`), or only a warning noted (`warn`). Default: `deny`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["deny", "warn"], "default" = "deny"))]
    pub effect: Option<Text>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// A limit on traffic: exactly one of `requests`, `tokens`, `usd` (each with `per`) and `in_flight`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-minute")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// Each value of these, or each combination, has the limit for itself; calls without a value share one. Default:
    /// all calls that it covers share the limit.
    #[serde(default)]
    #[schemars(with = "Names", example = &"customer_id")]
    pub each: OneOrMore,
    /// So many calls may be admitted; those that are refused do not count.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), example = 600)]
    pub requests: Option<Spanned<u64>>,
    /// So many tokens, input and output together. A call takes what it may use at most, and gives back what it did not
    /// use when it has ended.
    #[serde(default)]
    #[schemars(with = "Option<MoreThanNothing>", example = 100_000)]
    pub tokens: Option<Text>,
    /// So many US dollars, taken and given back as tokens are.
    #[serde(default)]
    #[schemars(with = "Option<MoreThanNothing>", example = 2.5)]
    pub usd: Option<Text>,
    /// So many calls may run at once.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), example = 10)]
    pub in_flight: Option<Spanned<u64>>,
    /// In this time.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["second", "minute", "hour", "day"]))]
    pub per: Option<Text>,
    /// So much may come at once after a pause; then it is admitted evenly. In no time `per` is there more than the
    /// limit and `burst` together. Default: as much as the limit.
    #[serde(default)]
    #[schemars(with = "Option<MoreThanNothing>", example = 20)]
    pub burst: Option<Text>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// How fast calls have to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// `genops.sla.tier`.
    #[schemars(with = "String", example = &"interactive")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// From sending the call to the provider to the end of its answer, in milliseconds.
    #[schemars(with = "u64", range(min = 1, max = 86_400_000), example = 2_000)]
    pub latency_ms: Spanned<u64>,
    /// From sending the call to the first of a streamed answer, in milliseconds. Default: no target.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 86_400_000), example = 300)]
    pub first_token_ms: Option<Spanned<u64>>,
    /// What happens where calls like it take longer by now: a warning is noted (`warn`), or the call refused
    /// (`refuse`) with `SLA_LATENCY_VIOLATION`, except for one in ten seconds that is let through to see whether that has
    /// passed. Default: `warn`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["warn", "refuse"], "default" = "warn"))]
    pub expected_miss: Option<Text>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// When a provider counts as down.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// After so many failures in a row calls are refused with `PROVIDER_ERROR_UPSTREAM`. A failure is a server error,
    /// an answer that breaks off, or none.
    #[schemars(with = "u32", range(min = 1, max = 1_000), example = 5)]
    pub failures: Spanned<u32>,
    /// For so long; then one call is let through in each such time, until one succeeds.
    #[schemars(with = "u64", range(min = 1, max = 86_400), example = 30)]
    pub open_seconds: Spanned<u64>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}

/// A budget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-month")]
    pub name: Text,
    /// The calls that it covers. Default: all.
    #[serde(default, rename = "for")]
    pub covers: Covers,
    /// Each value of these, or each combination, has the limit for itself; calls without a value share one. Default:
    /// all calls that it covers share the limit.
    #[serde(default)]
    #[schemars(with = "Names", example = &"customer_id")]
    pub each: OneOrMore,
    /// What it counts: US dollars (`USD`), `tokens`, calls that were sent (`requests`), or a unit of your own, such as
    /// `compute_seconds`, of which each AWU says how much it needs.
    #[schemars(with = "UnitWord", example = &"USD")]
    pub unit: Text,
    /// How much of it may be used in one period: a plain decimal.
    #[schemars(with = "Decimal", example = 250)]
    pub limit: Text,
    /// The span of the calendar with which it begins anew; `none` is for good. A week begins on Monday. Default: `none`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("default" = "none",
        "enum" = ["none", "hour", "day", "week", "month", "quarter", "year"]))]
    pub period: Option<Text>,
    /// Whose clocks and calendar the period goes by: a name of the IANA time zone database. Default: `UTC`.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"Europe/Berlin", extend("default" = "UTC"))]
    pub time_zone: Option<Text>,
    /// Instead of a period: it covers calls from then on, until `until`. A time with an offset (RFC 3339).
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"2026-12-01T00:00:00+01:00", extend("format" = "date-time"))]
    pub from: Option<Text>,
    /// Instead of a period: it covers calls from `from` on, and before this. A time with an offset (RFC 3339).
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"2026-12-08T00:00:00+01:00", extend("format" = "date-time"))]
    pub until: Option<Text>,
    /// Instead of a period: a window that moves with time. What was used leaves it after so many days (`d`), hours (`h`),
    /// minutes (`m`) or seconds (`s`), in sixty steps.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = "^[1-9][0-9]*[dhms]$"), example = &"30d")]
    pub rolling: Option<Text>,
    /// How far calls may pass the limit: not at all (`none`), by so much, or however far (`unbounded`). Those that do run
    /// with WARNING, `BUDGET_EXCEEDED`. Default: `none`.
    #[serde(default)]
    #[schemars(with = "Option<OverdraftWord>", example = 25, extend("default" = "none"))]
    pub overdraft: Option<Text>,
    /// When so many percent of what is allocated have been used, that is told, once in each period: the event
    /// `genops.budget.alert`. Default: never.
    #[serde(default)]
    #[schemars(with = "Vec<u64>", length(max = 16), inner(range(min = 1, max = 1_000)), example = [50, 80, 100],
        extend("uniqueItems" = true))]
    pub alerts: Vec<Spanned<u64>>,
    /// What happens to a call that does not fit: it is refused (`refuse`), or its output limit is lowered to what every
    /// budget on its path affords (`cap`), which is noted as a warning with `x_output_capped`. Default: `refuse`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["refuse", "cap"], "default" = "refuse"))]
    pub on_insufficient: Option<Text>,
    /// With `cap`: a call is refused whose output limit would have to be lower than this. Default: 1.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 100_000_000), example = 256)]
    pub minimum_output_tokens: Option<Spanned<u64>>,
    /// Whether it refuses (`enforce`), or only warns where it would (`observe`). Default: as `mode` of the file.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"]))]
    pub mode: Option<Text>,
}
