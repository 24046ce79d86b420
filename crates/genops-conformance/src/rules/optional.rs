//! Section 7.3: attributes and events that nobody has to emit, and that mean what the specification says where
//! somebody does.
//!
//! None of this counts toward a level (AMB-19).

use genops_spec::attribute::When;
use genops_spec::event;

use super::look::{Place, all_typed, places, typed, worst};
use super::words::is_currency;
use super::{OfAwu, Strictness, sla};
use crate::awu::{Awu, number};
use crate::catalogue::{Id, id};
use crate::key::{
    self, ACCOUNTING_ACTUAL, ACCOUNTING_RESERVED, BUDGET_ALLOCATED, BUDGET_CONSUMED, BUDGET_NAME,
    BUDGET_PERIOD, BUDGET_REMAINING, COST_CENTER, COST_CURRENCY, COST_MODEL, COST_PROVIDER, COST_TOTAL,
    CUSTOMER_ID, EVAL_METRIC, EVAL_PASSED, EVAL_SCORE, EVAL_THRESHOLD, FEATURE, Key, POLICY_NAME,
    POLICY_REASON, POLICY_TIMESTAMP, RECONCILIATION_DELTA, SESSION_ID, TOKENS_INPUT, TOKENS_OUTPUT,
    TOKENS_TOTAL,
};
use crate::otlp::value::Attributes;
use crate::verdict::{Evidence, Outcome};

/// The rules of this section that look at one AWU.
pub const OF_AWU: &[(Id, OfAwu)] = &[
    (id::OPT_7_3_1, opt_7_3_1),
    (id::OPT_7_3_2, opt_7_3_2),
    (id::OPT_7_3_3, opt_7_3_3),
    (id::OPT_7_3_4, opt_7_3_4),
    (id::OPT_7_3_5, opt_7_3_5),
    (id::OPT_7_3_6, opt_7_3_6),
    (id::OPT_7_3_7, opt_7_3_7),
    (id::OPT_7_3_8, opt_7_3_8),
    (id::OPT_7_3_9, opt_7_3_9),
    (id::OPT_7_3_10, opt_7_3_10),
];

/// The optional attributes and events may be left out.
fn opt_7_3_1(awu: &Awu<'_>, _: Strictness) -> Outcome {
    let mut optional = key::all().filter(|key| key.attribute().when == When::Optional);
    match has_optional_event(awu) || optional.any(|key| awu.span.attributes.has(key)) {
        true => Outcome::NotApplicable("it makes use of them"),
        false => Outcome::Pass,
    }
}

/// The reconciliation delta is a double, and actual minus reserved.
fn opt_7_3_2(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    worst(places(awu).map(|(place, attributes)| delta(awu, place, attributes, strictness)))
}

/// Budget attributes are of their types; what remains is mostly what was allocated less what was consumed.
fn opt_7_3_3(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[BUDGET_NAME, BUDGET_PERIOD, BUDGET_ALLOCATED, BUDGET_CONSUMED, BUDGET_REMAINING];
    everywhere(awu, KEYS, strictness, remaining)
}

/// Policy details are of their types; the timestamp counts milliseconds.
fn opt_7_3_4(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[POLICY_NAME, POLICY_REASON, POLICY_TIMESTAMP];
    let typed = everywhere(awu, KEYS, strictness, |_, _| None);
    worst(std::iter::once(typed).chain(timestamps(awu)))
}

/// Cost attributes are of their types; the currency is a code of ISO 4217.
fn opt_7_3_5(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[COST_TOTAL, COST_CURRENCY, COST_PROVIDER, COST_MODEL];
    everywhere(awu, KEYS, strictness, currency)
}

/// Token counts are integers, at least 0; the total is mostly input and output.
fn opt_7_3_6(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_TOTAL];
    everywhere(awu, KEYS, strictness, tokens)
}

/// Evaluation attributes are of their types; mostly what passed scored at least the threshold.
fn opt_7_3_7(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[EVAL_METRIC, EVAL_SCORE, EVAL_THRESHOLD, EVAL_PASSED];
    everywhere(awu, KEYS, strictness, evaluation)
}

/// The SLA attributes may be left out, but not some of them.
fn opt_7_3_8(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if !sla::has_attribute(awu) {
        return Outcome::NotApplicable("no SLA attribute stands on it");
    }
    match (sla::missing_of_group(awu).next(), awu.gaps.attributes) {
        (None, _) => Outcome::Pass,
        (Some(_), Some(why)) => Outcome::Inconclusive(why),
        (Some(key), None) => {
            Evidence::new(Place::Span, key.name(), "absent, beside others of section 6.3", "all or none")
                .mend(format!("set `{}` as well, or no SLA attribute at all", key.name()))
                .fails()
        }
    }
}

/// What is told of the customer is text.
fn opt_7_3_9(awu: &Awu<'_>, strictness: Strictness) -> Outcome {
    const KEYS: &[Key] = &[CUSTOMER_ID, FEATURE, SESSION_ID, COST_CENTER];
    everywhere(awu, KEYS, strictness, |_, _| None)
}

/// The three optional events may be emitted.
fn opt_7_3_10(awu: &Awu<'_>, _: Strictness) -> Outcome {
    if has_optional_event(awu) { Outcome::Pass } else { Outcome::NotObserved }
}

/// A delta is a double, and actual minus reserved, as they stand beside it or else on the span. Nothing is said
/// where there is no delta.
pub fn delta(
    awu: &Awu<'_>,
    place: Place<'_>,
    attributes: &Attributes<'_>,
    strictness: Strictness,
) -> Outcome {
    let Some(value) = attributes.get(RECONCILIATION_DELTA) else { return Outcome::NotObserved };
    let kind = typed(place, RECONCILIATION_DELTA, &value, strictness);
    let Some(delta) = number(value).filter(|_| !matches!(kind, Outcome::Fail(_))) else { return kind };
    let amount =
        |key| attributes.get(key).or_else(|| awu.get(key)).and_then(number).filter(|it| it.is_finite());
    let (Some(actual), Some(reserved)) = (amount(ACCOUNTING_ACTUAL), amount(ACCOUNTING_RESERVED)) else {
        return worst(
            [kind, Outcome::Inconclusive("it carries no two amounts to compare the delta with")].into_iter(),
        );
    };
    // Doubles of decimal amounts blur in their last digits.
    if is_near(delta, actual - reserved, actual, reserved) {
        return kind;
    }
    let expected = format!("{:?}, which is {actual:?} - {reserved:?}", actual - reserved);
    let evidence = Evidence::new(place, RECONCILIATION_DELTA.name(), format!("{delta:?}"), expected);
    evidence.mend("subtract the reserved amount from the actual one").fails()
}

/// Whether two differences are equal, as far as doubles of this size are exact.
fn is_near(one: f64, other: f64, size: f64, another_size: f64) -> bool {
    (one - other).abs() <= 1e-9 * 1_f64.max(size.abs()).max(another_size.abs())
}

/// Attributes are of their types wherever they stand, and nothing else is to be said of them together. Where none of
/// them stands, nothing is said.
fn everywhere(
    awu: &Awu<'_>,
    keys: &[Key],
    strictness: Strictness,
    together: impl Fn(Place<'_>, &Attributes<'_>) -> Option<Outcome>,
) -> Outcome {
    let places = places(awu).filter(|(_, attributes)| attributes.has_any(keys));
    worst(places.flat_map(|(place, attributes)| {
        [Some(all_typed(place, attributes, keys, strictness)), together(place, attributes)]
            .into_iter()
            .flatten()
    }))
}

fn remaining(place: Place<'_>, attributes: &Attributes<'_>) -> Option<Outcome> {
    let amount = |key| attributes.get(key).and_then(number);
    let (allocated, consumed) = (amount(BUDGET_ALLOCATED)?, amount(BUDGET_CONSUMED)?);
    let remaining = amount(BUDGET_REMAINING)?;
    if is_near(remaining, allocated - consumed, allocated, consumed) {
        return None;
    }
    let expected = format!("{:?}, which is {allocated:?} - {consumed:?}", allocated - consumed);
    let evidence = Evidence::new(place, BUDGET_REMAINING.name(), format!("{remaining:?}"), expected);
    Some(
        evidence.mend("check the figures; the specification does not say how they belong together").advises(),
    )
}

/// A timestamp in seconds or in nanoseconds is days away from the time at which it was told.
fn timestamps(awu: &Awu<'_>) -> impl Iterator<Item = Outcome> {
    const DAY_MS: u64 = 86_400_000;
    let decided = awu.admission.time.unwrap_or(awu.span.start);
    let times = std::iter::once(decided).chain(awu.events.iter().map(|told| told.event.time));
    places(awu).zip(times).filter(|(_, time)| *time != 0).filter_map(|((place, attributes), time)| {
        let millis = attributes.get(POLICY_TIMESTAMP)?.int()?;
        let told = time / 1_000_000;
        if u64::try_from(millis).is_ok_and(|millis| millis.abs_diff(told) <= DAY_MS) {
            return None;
        }
        let expected = format!("within a day of {told}, when it was told");
        let evidence = Evidence::new(place, POLICY_TIMESTAMP.name(), format!("intValue {millis}"), expected);
        Some(evidence.mend("give milliseconds since 1970").advises())
    })
}

fn currency(place: Place<'_>, attributes: &Attributes<'_>) -> Option<Outcome> {
    let value = attributes.get(COST_CURRENCY)?;
    if value.text().is_none_or(is_currency) {
        return None;
    }
    let evidence =
        Evidence::new(place, COST_CURRENCY.name(), value.to_string(), "an alphabetic code of ISO 4217");
    Some(evidence.mend("write the code in capitals, such as USD; tokens are no currency").fails())
}

fn tokens(place: Place<'_>, attributes: &Attributes<'_>) -> Option<Outcome> {
    let count = |key| attributes.get(key).and_then(|value| value.int());
    let counts = [TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_TOTAL].map(|key| (key, count(key)));
    if let Some((key, Some(negative))) = counts.iter().find(|(_, count)| count.is_some_and(|count| count < 0))
    {
        let evidence = Evidence::new(place, key.name(), format!("intValue {negative}"), "at least 0");
        return Some(evidence.mend("leave out a count that is not known").fails());
    }
    let [(_, Some(input)), (_, Some(output)), (key, Some(total))] = counts else { return None };
    if input.checked_add(output) == Some(total) {
        return None;
    }
    let expected = format!("{input} + {output}");
    let evidence = Evidence::new(place, key.name(), format!("intValue {total}"), expected);
    Some(evidence.mend("check whether the total counts what input and output leave out (AMB-12)").advises())
}

fn evaluation(place: Place<'_>, attributes: &Attributes<'_>) -> Option<Outcome> {
    let amount = |key| attributes.get(key).and_then(number);
    let (score, threshold) = (amount(EVAL_SCORE)?, amount(EVAL_THRESHOLD)?);
    let passed = attributes.get(EVAL_PASSED)?.bool()?;
    if passed == (score >= threshold) {
        return None;
    }
    let expected = format!("boolValue {}, if a score of {score:?} is held against {threshold:?}", !passed);
    let evidence = Evidence::new(place, EVAL_PASSED.name(), format!("boolValue {passed}"), expected);
    Some(evidence.mend("nothing, if the metric is better the lower it is").advises())
}

fn has_optional_event(awu: &Awu<'_>) -> bool {
    event::ALL.iter().filter(|event| !event.required).any(|event| awu.has_event(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sample::{
        ACTUAL, DECISION, Given, RECONCILIATION, RESERVED, Sample, allowed, bare, hold, refused,
    };
    use crate::verdict::Verdict::{Advisory, Fail, Inconclusive, NotApplicable, NotObserved, Pass};

    const DELTA: &str = "genops.accounting.reconciliation_delta";

    fn with(pairs: &[(&'static str, Given)]) -> Sample {
        pairs.iter().fold(allowed(), |sample, (key, value)| sample.set(key, *value))
    }

    #[test]
    fn extensions_may_be_left_out_or_used() {
        let feature = allowed().set("genops.feature", Given::Text("search"));
        let cost = allowed().event("genops.cost.calculated", 1_096, &[]);
        hold(
            opt_7_3_1,
            &[
                ("none", allowed(), Pass),
                ("one", feature.clone(), NotApplicable),
                ("an event", cost.clone(), NotApplicable),
            ],
        );
        hold(opt_7_3_10, &[("none", feature, NotObserved), ("one", cost, Pass)]);
    }

    #[test]
    fn a_delta_is_actual_minus_reserved() {
        let delta = |value| allowed().set(DELTA, value);
        hold(
            opt_7_3_2,
            &[
                ("none", allowed(), NotObserved),
                ("right", delta(Given::Double(-0.007)), Pass),
                ("right, blurred", delta(Given::Double(0.013 - 0.02)), Pass),
                ("within the tolerance", delta(Given::Double(-0.007 + 0.9e-9)), Pass),
                ("beyond the tolerance", delta(Given::Double(-0.007 + 1.1e-9)), Fail),
                ("sign reversed", delta(Given::Double(0.007)), Fail),
                ("no number", delta(Given::Double(f64::NAN)), Fail),
                ("an integer", delta(Given::Int(0)), Fail),
                ("no amounts", delta(Given::Double(1.0)).without(ACTUAL), Inconclusive),
                ("on the event", allowed().set_on(RECONCILIATION, DELTA, Given::Double(0.007)), Fail),
                (
                    "on the event, without its amounts",
                    allowed()
                        .set_on(RECONCILIATION, DELTA, Given::Double(-0.007))
                        .without_on(RECONCILIATION, ACTUAL),
                    Pass,
                ),
                (
                    "large",
                    delta(Given::Double(1e9 + 0.5))
                        .set(ACTUAL, Given::Double(2e9))
                        .set(RESERVED, Given::Double(1e9)),
                    Pass,
                ),
            ],
        );
    }

    #[test]
    fn optional_attributes_are_of_their_types_wherever_they_stand() {
        let rules: &[(OfAwu, &[(&'static str, Given)])] = &[
            (
                opt_7_3_3,
                &[
                    ("genops.budget.name", Given::Text("team")),
                    ("genops.budget.period", Given::Text("2026-02")),
                    ("genops.budget.allocated", Given::Double(100.0)),
                    ("genops.budget.consumed", Given::Double(40.0)),
                    ("genops.budget.remaining", Given::Double(60.0)),
                ],
            ),
            (
                opt_7_3_4,
                &[
                    ("genops.policy.name", Given::Text("models")),
                    ("genops.policy.reason", Given::Text("not permitted")),
                    ("genops.policy.timestamp", Given::Int(1_001)),
                ],
            ),
            (
                opt_7_3_5,
                &[
                    ("genops.cost.total", Given::Double(0.013)),
                    ("genops.cost.currency", Given::Text("USD")),
                    ("genops.cost.provider", Given::Text("acme")),
                    ("genops.cost.model", Given::Text("large")),
                ],
            ),
            (
                opt_7_3_6,
                &[
                    ("genops.tokens.input", Given::Int(100)),
                    ("genops.tokens.output", Given::Int(50)),
                    ("genops.tokens.total", Given::Int(150)),
                ],
            ),
            (
                opt_7_3_7,
                &[
                    ("genops.eval.metric", Given::Text("faithfulness")),
                    ("genops.eval.score", Given::Double(0.92)),
                    ("genops.eval.threshold", Given::Double(0.8)),
                    ("genops.eval.passed", Given::Bool(true)),
                ],
            ),
            (
                opt_7_3_9,
                &[
                    ("genops.customer_id", Given::Text("c-1")),
                    ("genops.feature", Given::Text("search")),
                    ("genops.session_id", Given::Text("s-1")),
                    ("genops.cost_center", Given::Text("cc-1")),
                ],
            ),
        ];
        for (rule, pairs) in rules {
            hold(*rule, &[("none", allowed(), NotObserved), ("all", with(pairs), Pass)]);
            for (key, _) in *pairs {
                hold(
                    *rule,
                    &[
                        (key, with(pairs).set(key, Given::List(&["x"])), Fail),
                        (key, with(pairs).set_on(DECISION, key, Given::List(&["x"])), Fail),
                    ],
                );
            }
        }
    }

    #[test]
    fn what_the_specification_does_not_say_is_only_worth_a_look() {
        let (allocated, consumed) = (
            ("genops.budget.allocated", Given::Double(100.0)),
            ("genops.budget.consumed", Given::Double(40.0)),
        );
        let remaining = ("genops.budget.remaining", Given::Double(50.0));
        hold(
            opt_7_3_3,
            &[
                ("held back", with(&[allocated, consumed, remaining]), Advisory),
                ("no consumed", with(&[allocated, remaining]), Pass),
            ],
        );
        let tokens = |total| {
            with(&[
                ("genops.tokens.input", Given::Int(100)),
                ("genops.tokens.output", Given::Int(50)),
                ("genops.tokens.total", Given::Int(total)),
            ])
        };
        hold(
            opt_7_3_6,
            &[
                ("more", tokens(151), Advisory),
                (
                    "overflow",
                    tokens(150).set("genops.tokens.input", Given::Int(i64::MAX.unsigned_abs())),
                    Advisory,
                ),
            ],
        );
        let score = |score| {
            with(&[
                ("genops.eval.score", Given::Double(score)),
                ("genops.eval.threshold", Given::Double(0.8)),
                ("genops.eval.passed", Given::Bool(true)),
            ])
        };
        hold(opt_7_3_7, &[("at the threshold", score(0.8), Pass), ("below it", score(0.7), Advisory)]);
    }

    #[test]
    fn a_timestamp_is_near_to_the_time_at_which_it_was_told() {
        const DAY: u64 = 86_400_000;
        let timestamp = |ms| allowed().set("genops.policy.timestamp", Given::Int(ms));
        let on_event = |ms| allowed().set_on(DECISION, "genops.policy.timestamp", Given::Int(ms));
        for sample in [timestamp as fn(u64) -> Sample, on_event] {
            hold(
                opt_7_3_4,
                &[
                    ("a day", sample(1_001 + DAY), Pass),
                    ("more than a day", sample(1_002 + DAY), Advisory),
                    ("negative", sample(u64::MAX), Advisory),
                    ("text", sample(0).set("genops.policy.timestamp", Given::Text("2026-02-23")), Fail),
                ],
            );
        }
        hold(
            opt_7_3_4,
            &[(
                "no time to compare with",
                Sample { start: 0, ..bare() }.set("genops.policy.timestamp", Given::Int(5 * DAY)),
                Pass,
            )],
        );
    }

    #[test]
    fn counts_are_not_negative_and_currencies_are_codes() {
        hold(
            opt_7_3_6,
            &[
                ("negative", with(&[("genops.tokens.total", Given::Int(u64::MAX))]), Fail),
                ("a double", with(&[("genops.tokens.input", Given::Double(1.0))]), Fail),
            ],
        );
        for (text, expected) in [("USD", Pass), ("usd", Fail), ("dollars", Fail), ("", Fail)] {
            hold(opt_7_3_5, &[(text, with(&[("genops.cost.currency", Given::Text(text))]), expected)]);
        }
    }

    #[test]
    fn a_part_of_the_sla_group_is_not_the_group() {
        let tier = ("genops.sla.tier", Given::Text("premium"));
        let target = ("genops.sla.latency_target_ms", Given::Int(100));
        let all = with(&[
            tier,
            target,
            ("genops.sla.actual_latency_ms", Given::Int(90)),
            ("genops.sla.met", Given::Bool(true)),
        ]);
        let predicted =
            refused("BLOCKED", "SLA_LATENCY_VIOLATION").set(tier.0, tier.1).set(target.0, target.1);
        hold(
            opt_7_3_8,
            &[
                ("none", allowed(), NotApplicable),
                ("all", all.clone(), Pass),
                ("no tier", all.clone().without("genops.sla.tier"), Fail),
                ("no met", all.clone().without("genops.sla.met"), Fail),
                ("no tier, left out", all.without("genops.sla.tier").with_gaps(), Inconclusive),
                ("refused, unmeasured", predicted, Pass),
            ],
        );
    }
}
