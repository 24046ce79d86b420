//! The policies of the story. Rules are for projects of their own, so that each is asked once.

use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::period::{Period, Span};
use genops_core::policy::{Ceilings, Policy};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::rule::{ConditionRule, ContentKind, ContentRule, Effect, ListRule, OnError};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::{Amount, Digest, Timestamp, Unit};

use crate::story::{amount, name, seconds};

const SECOND: u64 = 1_000_000_000;

/// Every kind of rule that there is.
pub fn first() -> Policy {
    Policy {
        origin: Digest::of("golden", &[b"origin"]),
        accounting_unit: Unit::Usd,
        // Its own, so that a later edition does not change the story.
        zone_rules: name("2026a"),
        remember_ns: 3_600 * SECOND,
        ceilings: Ceilings {
            cells: 1_000,
            rate_shares: 1_001,
            idempotency_keys: 1_002,
            open_awus: 1_003,
            one_key_percent: 75,
        },
        mode: Mode::Enforce,
        models: vec![list("no model", &["tiny", "medium-*"])],
        regions: vec![list("no region", &["eu-*"])],
        conditions: vec![
            condition("denies", Effect::Deny("x_night".parse().unwrap()), OnError::Refuse),
            condition("cannot be worked out", Effect::Deny("x_night".parse().unwrap()), OnError::Refuse),
            condition("warns", Effect::Warn("x_long".parse().unwrap()), OnError::Warn),
        ],
        contents: vec![content()],
        circuits: vec![CircuitRule {
            provider: name("flaky"),
            failures: 2,
            open_for_ns: 3_600 * SECOND,
            mode: Mode::Enforce,
        }],
        rates: rates(),
        slas: slas(),
        budgets: budgets(),
    }
}

/// Two budgets have less than before, and nothing new has a share.
pub fn second() -> Policy {
    let lower = |budget: Budget| match budget.name.as_str() {
        "all" => Budget { limit: amount("500"), ..budget },
        // Of which 500 have been used.
        "granted" => Budget { limit: amount("900"), ..budget },
        _ => budget,
    };
    let first = first();
    let ceilings = Ceilings { cells: 1, rate_shares: 1, ..first.ceilings };
    Policy { mode: Mode::Observe, ceilings, budgets: first.budgets.into_iter().map(lower).collect(), ..first }
}

fn of(project: &str) -> Selector {
    Selector::default().with(Facet::Project, vec![name(project)])
}

fn list(project: &str, allow: &[&str]) -> ListRule {
    let allow = allow.iter().map(|entry| name(entry)).collect();
    ListRule { name: name(project), selector: of(project), allow, mode: Mode::Enforce }
}

fn condition(called: &str, effect: Effect, on_error: OnError) -> ConditionRule {
    let expression = "max_output_tokens > 4000".to_owned();
    ConditionRule {
        name: name(called),
        selector: of("assessed"),
        expression,
        effect,
        on_error,
        mode: Mode::Enforce,
    }
}

fn content() -> ContentRule {
    ContentRule {
        name: name("content"),
        selector: of("assessed"),
        keywords: vec!["project falcon".to_owned()],
        patterns: vec!["ticket-[0-9]{6}".to_owned()],
        detect: vec![
            ContentKind::Email,
            ContentKind::PaymentCard,
            ContentKind::ApiKey,
            ContentKind::PrivateKey,
        ],
        effect: Effect::Deny("POLICY_DENY_CONTENT".parse().unwrap()),
        mode: Mode::Enforce,
    }
}

fn rates() -> Vec<RateRule> {
    let rule = |called: &str, each: &[Facet], limit| RateRule {
        name: name(called),
        selector: of(called),
        each: each.to_vec(),
        limit,
        mode: Mode::Enforce,
    };
    let flow = |measure, so_much: &str, per| {
        RateLimit::Flow(Flow { measure, amount: amount(so_much), per, burst: amount(so_much) })
    };
    vec![
        rule("too soon", &[Facet::Key], flow(Measure::Requests, "1", Per::Minute)),
        rule("too much", &[], flow(Measure::Tokens, "100", Per::Second)),
        rule("everything", &[Facet::CustomerId], flow(Measure::Usd, "5", Per::Hour)),
        rule("another attempt", &[], flow(Measure::Tokens, "1000000", Per::Day)),
        rule("too many", &[], RateLimit::InFlight { calls: 1 }),
    ]
}

fn slas() -> Vec<SlaRule> {
    let rule = |project: &str, expected_miss| SlaRule {
        name: name(project),
        selector: of(project),
        target_ms: 1_000,
        first_token_target_ms: Some(300),
        expected_miss,
        mode: Mode::Enforce,
    };
    vec![rule("slow", ExpectedMiss::Refuse), rule("everything", ExpectedMiss::Warn)]
}

fn budgets() -> Vec<Budget> {
    let budget = |called: &str, unit, limit: &str| Budget::new(name(called), unit, amount(limit));
    let mut budgets = vec![
        Budget { alerts: vec![1, 50, 100], ..budget("all", Unit::Usd, "1000") },
        Budget {
            selector: of("everything"),
            each: vec![Facet::CustomerId, Facet::Team],
            ..budget("pairs", Unit::Tokens, "1000000")
        },
        Budget { each: vec![Facet::CustomerId], ..budget("each customer", Unit::Usd, "10") },
        budget("calls", Unit::Requests, "10000"),
        budget("computing", seconds("1").unit, "3600"),
        Budget {
            period: Period::Between {
                from: Timestamp::from_nanos(1_794_000_000 * SECOND),
                until: Timestamp::from_nanos(1_796_000_000 * SECOND),
            },
            selector: of("everything"),
            ..budget("launch", Unit::Requests, "10000")
        },
        Budget {
            period: Period::Rolling { length_ns: 20 * SECOND, parts: 10 },
            alerts: vec![1],
            ..budget("seconds", Unit::Tokens, "50000")
        },
    ];
    for (called, span, zone) in [
        ("hour", Span::Hour, "UTC"),
        ("day", Span::Day, "Europe/Berlin"),
        ("week", Span::Week, "America/New_York"),
        ("month", Span::Month, "UTC"),
        ("quarter", Span::Quarter, "Asia/Tokyo"),
        ("year", Span::Year, "UTC"),
    ] {
        let period = Period::Calendar { span, zone: name(zone) };
        budgets.push(Budget {
            selector: of("everything"),
            period,
            ..budget(called, Unit::Tokens, "1000000")
        });
    }
    let own =
        |project: &str, limit: &str| Budget { selector: of(project), ..budget(project, Unit::Tokens, limit) };
    let caps = OnInsufficient::Cap { minimum_output_tokens: 10 };
    budgets.extend([
        own("too small a budget", "100"),
        // What a call reserves: then nothing is left.
        own("used up", "2000"),
        Budget { overdraft: Overdraft::UpTo(Amount::from_whole(5_000)), ..own("lends", "100") },
        Budget { overdraft: Overdraft::Unbounded, ..own("lends without end", "100") },
        Budget { on_insufficient: caps, ..own("caps", "1500") },
        Budget { mode: Mode::Observe, ..own("observed", "100") },
        Budget { alerts: vec![20, 50], ..own("granted", "2500") },
    ]);
    budgets
}
