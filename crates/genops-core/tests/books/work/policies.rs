//! The policies that knobs stand for: overlapping rules of every kind, and budgets of every kind.

use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::period::{Period, Span};
use genops_core::policy::{Ceilings, Policy};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::rule::{ConditionRule, ContentKind, ContentRule, Effect, ListRule, OnError};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::{Amount, Timestamp, Unit, UnitName};

use super::{BEGIN, BUDGETS, Knobs, Lends, RULES, SECOND, name};

/// The declared unit.
pub fn seconds() -> Unit {
    Unit::Declared(UnitName::new("compute_seconds").unwrap())
}

/// The unit of a budget, by its place in [`BUDGETS`].
pub fn unit_of(budget: usize) -> Unit {
    match BUDGETS.get(budget).copied() {
        Some("tokens-month" | "tokens-rolling") => Unit::Tokens,
        Some("requests-hour") => Unit::Requests,
        Some("seconds-rolling") => seconds(),
        _ => Unit::Usd,
    }
}

/// A limit that some thousand calls in other units, and some calls in this one, come to.
pub fn limit_in(unit: Unit, limit: u64) -> Amount {
    match unit {
        Unit::Usd => Amount::from_atoms(i128::from(limit) * 400_000),
        Unit::Tokens => Amount::from_whole(limit),
        Unit::Requests => Amount::from_atoms(i128::from(limit) * 1_000_000_000),
        Unit::Declared(_) => Amount::from_atoms(i128::from(limit) * 1_000_000_000),
    }
}

/// A policy of overlapping rules of every kind. Rates of one name are the same in every policy, so that what they hold
/// keeps its meaning from one policy to the next.
pub fn policy(knobs: &Knobs) -> Policy {
    let mode = |rule: usize| if knobs.observes[rule] { Mode::Observe } else { Mode::Enforce };
    let team = |team: &str| Selector::default().with(Facet::Team, vec![name(team)]);
    let project = |project: &str| Selector::default().with(Facet::Project, vec![name(project)]);
    let list = |rule, called: &str, selector, allow: &str| ListRule {
        name: name(called),
        selector,
        allow: vec![name(allow)],
        mode: mode(rule),
    };
    let tier = |rule, called: &str, selector, target_ms, refuses| SlaRule {
        name: name(called),
        selector,
        target_ms,
        first_token_target_ms: None,
        expected_miss: if refuses { ExpectedMiss::Refuse } else { ExpectedMiss::Warn },
        mode: mode(rule),
    };
    let circuit = |rule, provider: &str, failures, seconds| CircuitRule {
        provider: name(provider),
        failures,
        open_for_ns: seconds * SECOND,
        mode: mode(rule),
    };
    Policy {
        accounting_unit: if knobs.options[0] { Unit::Usd } else { Unit::Tokens },
        remember_ns: if knobs.options[6] { 3 * SECOND } else { SECOND },
        ceilings: Ceilings {
            cells: if knobs.options[8] { 1_000 } else { 7 },
            idempotency_keys: if knobs.options[9] { 1_000 } else { 2 },
            open_awus: if knobs.options[9] { 1_000 } else { 8 },
            ..Ceilings::default()
        },
        mode: mode(RULES),
        models: knobs
            .kept([(0, list(0, "models", team("b"), if knobs.options[1] { "*" } else { "small*" }))]),
        regions: knobs
            .kept([(1, list(1, "regions", project("q"), if knobs.options[2] { "eu*" } else { "*" }))]),
        conditions: conditions(knobs, mode(2), mode(3)),
        contents: contents(knobs, mode(4), mode(5)),
        circuits: knobs.kept([(6, circuit(6, "alpha", 2, 5)), (7, circuit(7, "beta", 1, 1))]),
        rates: rates(knobs, mode),
        slas: knobs.kept([
            (12, tier(12, "gold", team("a"), 15, knobs.options[3])),
            (13, tier(13, "plain", Selector::default(), 25, knobs.options[4])),
        ]),
        budgets: budgets(knobs, mode),
        ..Policy::unrestricted()
    }
}

fn conditions(knobs: &Knobs, night: Mode, note: Mode) -> Vec<ConditionRule> {
    let rule = |called: &str, selector, effect, on_error, mode| ConditionRule {
        name: name(called),
        selector,
        expression: "…".to_owned(),
        effect,
        on_error,
        mode,
    };
    let (deny, warn) = (Effect::Deny("x_night".parse().unwrap()), Effect::Warn("x_note".parse().unwrap()));
    let of_p = Selector::default().with(Facet::Project, vec![name("p")]);
    let night_fails = if knobs.options[5] { OnError::Refuse } else { OnError::Warn };
    knobs.kept([
        (2, rule("night", of_p, deny, night_fails, night)),
        (3, rule("note", Selector::default(), warn, OnError::Refuse, note)),
    ])
}

fn contents(knobs: &Knobs, cards: Mode, mail: Mode) -> Vec<ContentRule> {
    let rule = |called: &str, effect, mode| ContentRule {
        name: name(called),
        selector: Selector::default(),
        keywords: Vec::new(),
        patterns: Vec::new(),
        detect: vec![ContentKind::Email, ContentKind::PaymentCard],
        effect,
        mode,
    };
    let deny = Effect::Deny("POLICY_DENY_CONTENT".parse().unwrap());
    knobs.kept([
        (4, rule("cards", deny, cards)),
        (5, rule("mail", Effect::Warn("x_mail".parse().unwrap()), mail)),
    ])
}

fn rates(knobs: &Knobs, mode: impl Fn(usize) -> Mode) -> Vec<RateRule> {
    let rate = |which: usize, called: &str, facet: Option<(Facet, &str)>, limit| {
        let each = if which == 8 { Vec::new() } else { vec![Facet::CustomerId] };
        (which, RateRule { name: name(called), selector: covering(facet), each, limit, mode: mode(which) })
    };
    let flow = |measure, amount: &str, per, burst: &str| {
        let (amount, burst) = (amount.parse().unwrap(), burst.parse().unwrap());
        RateLimit::Flow(Flow { measure, amount, per, burst })
    };
    // Intervals that are no whole number of nanoseconds.
    knobs.kept([
        rate(8, "requests", Some((Facet::Team, "a")), flow(Measure::Requests, "7", Per::Minute, "3")),
        rate(9, "tokens", None, flow(Measure::Tokens, "1300", Per::Second, "4500")),
        rate(10, "dollars", Some((Facet::Project, "p")), flow(Measure::Usd, "0.017", Per::Minute, "0.0023")),
        rate(11, "flight", None, RateLimit::InFlight { calls: knobs.calls }),
    ])
}

fn covering(facet: Option<(Facet, &str)>) -> Selector {
    facet.map_or_else(Selector::default, |(facet, value)| Selector::default().with(facet, vec![name(value)]))
}

/// Budgets of different units and periods; some teams are covered by none in US dollars.
fn budgets(knobs: &Knobs, mode: impl Fn(usize) -> Mode) -> Vec<Budget> {
    let budget = |place: usize, facet: Option<(Facet, &str)>, each: &[Facet], period| {
        let (room, unit) = (&knobs.budgets[place], unit_of(place));
        let caps = OnInsufficient::Cap { minimum_output_tokens: knobs.minimum };
        let budget = Budget {
            selector: covering(facet),
            each: each.to_vec(),
            period,
            overdraft: match room.lends {
                Lends::Nothing => Overdraft::None,
                Lends::Some(lent) => Overdraft::UpTo(limit_in(unit, lent)),
                Lends::Everything => Overdraft::Unbounded,
            },
            on_insufficient: if room.caps { caps } else { OnInsufficient::Refuse },
            alerts: room.alerts.clone(),
            mode: mode(14 + place),
            ..Budget::new(name(BUDGETS[place]), unit, limit_in(unit, room.limit))
        };
        (14 + place, budget)
    };
    let calendar = |span, zone: &str| Period::Calendar { span, zone: name(zone) };
    let rolling = |seconds: u64, parts| Period::Rolling { length_ns: seconds * SECOND, parts };
    let after = |seconds: u64| Timestamp::from_nanos(BEGIN + seconds * SECOND);
    let campaign = Period::Between { from: after(4), until: after(40) };
    knobs.kept([
        budget(0, Some((Facet::Team, "a")), &[], Period::None),
        budget(1, Some((Facet::Team, "b")), &[], calendar(Span::Day, "UTC")),
        budget(2, None, &[], calendar(Span::Month, "UTC")),
        budget(3, Some((Facet::Project, "p")), &[], calendar(Span::Day, "America/New_York")),
        budget(4, None, &[Facet::CustomerId], calendar(Span::Hour, "Asia/Kathmandu")),
        // Parts that do not divide the window.
        budget(
            5,
            None,
            &[if knobs.options[10] { Facet::Team } else { Facet::Project }],
            rolling(10, if knobs.options[7] { 3 } else { 7 }),
        ),
        budget(6, None, &[], rolling(6, 6)),
        budget(7, Some((Facet::Project, "q")), &[], campaign),
        budget(8, None, &[], rolling(3, 1)),
    ])
}

impl Knobs {
    fn kept<R, const N: usize>(&self, rules: [(usize, R); N]) -> Vec<R> {
        rules.into_iter().filter(|(which, _)| self.present[*which]).map(|(_, rule)| rule).collect()
    }
}
