//! Budgets as people write them: what each way of writing one means, and what is told where two contradict.

use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::period::{Period, Span};
use genops_core::policy::{Ceilings, REMEMBER_NS};
use genops_core::selector::Facet;
use genops_core::{Amount, Name, Timestamp, Unit};

use super::{problems, read, refused};

/// A budget with one more thing said of it.
fn with(more: &str) -> String {
    format!("budgets: [{{name: b, unit: USD, limit: 1{more}}}]")
}

fn plain() -> Budget {
    Budget::new(Name::new("b").unwrap(), Unit::Usd, Amount::from_whole(1))
}

fn calendar(span: Span, zone: &str) -> Budget {
    Budget { period: Period::Calendar { span, zone: Name::new(zone).unwrap() }, ..plain() }
}

fn rolling(seconds: u64) -> Budget {
    Budget { period: Period::Rolling { length_ns: seconds * 1_000_000_000, parts: 60 }, ..plain() }
}

#[test]
fn a_budget_means_what_is_written() {
    let lent = |overdraft| Budget { overdraft, ..plain() };
    let between = Period::Between {
        from: Timestamp::from_nanos(1_796_079_600_000_000_000),
        until: Timestamp::from_nanos(1_796_684_400_500_000_000),
    };
    let cases = [
        ("", plain()),
        (", period: none", plain()),
        (", period: hour", calendar(Span::Hour, "UTC")),
        (", period: day", calendar(Span::Day, "UTC")),
        (", period: week, time_zone: UTC", calendar(Span::Week, "UTC")),
        (", period: month, time_zone: Europe/Berlin", calendar(Span::Month, "Europe/Berlin")),
        (", period: quarter", calendar(Span::Quarter, "UTC")),
        (", period: year", calendar(Span::Year, "UTC")),
        (
            ", from: 2026-12-01T00:00:00+01:00, until: '2026-12-07T23:00:00.5Z'",
            Budget { period: between, ..plain() },
        ),
        (", rolling: 30d", rolling(30 * 86_400)),
        (", rolling: 36h", rolling(36 * 3_600)),
        (", rolling: 90m", rolling(90 * 60)),
        (", rolling: 1s", rolling(1)),
        (", rolling: 3653d", rolling(3_653 * 86_400)),
        (", each: customer_id", Budget { each: vec![Facet::CustomerId], ..plain() }),
        (", each: [key, model]", Budget { each: vec![Facet::Key, Facet::Model], ..plain() }),
        (", overdraft: none", plain()),
        (", overdraft: unbounded", lent(Overdraft::Unbounded)),
        (", overdraft: 0.25", lent(Overdraft::UpTo("0.25".parse().unwrap()))),
        (", alerts: [100, 50, 80]", Budget { alerts: vec![50, 80, 100], ..plain() }),
        (", alerts: []", plain()),
        (
            ", overdraft: 5, on_insufficient: cap, minimum_output_tokens: 7",
            Budget {
                on_insufficient: OnInsufficient::Cap { minimum_output_tokens: 7 },
                ..lent(Overdraft::UpTo(Amount::from_whole(5)))
            },
        ),
    ];
    for (more, expected) in cases {
        let text = with(more);
        assert_eq!(read(&text).map(|config| config.policy.budgets.clone()), Ok(vec![expected]), "{text}");
        assert_eq!(refused(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_unit_is_a_known_one_or_a_name() {
    let text = |unit: &str| format!("budgets: [{{name: b, limit: 1, unit: {unit}}}]");
    for unit in ["USD", "tokens", "requests", "compute_seconds", "x", "gpu_hours_2"] {
        let config = read(&text(unit)).unwrap();
        assert_eq!(config.policy.budgets[0].unit.as_str(), unit);
        assert_eq!(refused(&text(unit)), Vec::<String>::new(), "{unit}");
    }
    for unit in ["usd", "EUR", "Tokens", "2x", "_x", "a-b", "''", "' x'", &"x".repeat(32)] {
        let told = problems(&text(unit));
        assert!(
            matches!(&told[..], [one] if one.starts_with("1:37: `unit`: a unit is `USD`")),
            "{unit}: {told:?}"
        );
        assert!(!refused(&text(unit)).is_empty(), "the schema accepts {unit}");
    }
}

#[test]
fn what_contradicts_itself_or_cannot_be_is_told_where_it_stands_and_with_what_to_do() {
    const ONE_WAY: &str =
        "a budget has one of `period`, `rolling`, and `from` with `until`: leave out the others";
    const NO_ZONE: &str =
        "`time_zone` belongs to a period of the calendar, such as `period: day`; leave it out";
    const LENGTH: &str = "`rolling` has to be a length such as `30d`: a whole number above nothing, and `d`, `h`, \
                          `m` or `s`";
    const OVERDRAFT: &str = "`overdraft` is `none`, `unbounded`, or an amount, which";
    let time = |field: &str| {
        format!("`{field}` has to be a time with an offset, such as `2026-12-01T00:00:00+01:00` (RFC 3339)")
    };
    let (from, until) = ("from: 2026-12-01T00:00:00Z", "until: 2026-12-02T00:00:00Z");
    // What stands there, where the problem is told to be, and what is told.
    let cases = [
        (
            "period: fortnight".to_owned(),
            "fortnight",
            "`period` has to be one of: `none`, `hour`, `day`, `week`, `month`, `quarter`, `year`".to_owned(),
        ),
        ("period: day, rolling: 30d".to_owned(), "30d", ONE_WAY.to_owned()),
        ("period: none, rolling: 30d".to_owned(), "30d", ONE_WAY.to_owned()),
        (format!("period: day, {from}, {until}"), "2026-12-01", ONE_WAY.to_owned()),
        (format!("rolling: 30d, {until}"), "2026-12-02", ONE_WAY.to_owned()),
        ("time_zone: Europe/Berlin".to_owned(), "Europe", NO_ZONE.to_owned()),
        ("time_zone: Europe/Berlin, period: none".to_owned(), "Europe", NO_ZONE.to_owned()),
        ("rolling: 1h, time_zone: Europe/Berlin".to_owned(), "Europe", NO_ZONE.to_owned()),
        (
            "period: day, time_zone: Europe/Atlantis".to_owned(),
            "Europe",
            "`time_zone` must name a time zone of the IANA database (edition ".to_owned(),
        ),
        ("period: day, time_zone: ''".to_owned(), "''", "`time_zone` must not be empty".to_owned()),
        (from.to_owned(), "2026", "`from` needs `until`: when the budget is over".to_owned()),
        (until.to_owned(), "2026", "`until` needs `from`: when the budget begins".to_owned()),
        (
            "from: 2026-12-02T00:00:00Z, until: 2026-12-02T01:00:00+01:00".to_owned(),
            "2026-12-02T01",
            "the range must end after it begins".to_owned(),
        ),
        (format!("from: 2026-12-01, {until}"), "2026-12-01", time("from")),
        (format!("from: 2026-12-01T00:00:00, {until}"), "2026-12-01", time("from")),
        (format!("from: '2026-12-01T00:00:00+01:00[Europe/Berlin]', {until}"), "'2026-12-01", time("from")),
        (format!("{from}, until: tomorrow"), "tomorrow", time("until")),
        (
            format!("from: 1969-12-31T23:59:59Z, {until}"),
            "1969",
            "`from` has to be within the years 1970 to 2553".to_owned(),
        ),
        ("rolling: 30".to_owned(), "30", LENGTH.to_owned()),
        ("rolling: d".to_owned(), "d}", LENGTH.to_owned()),
        ("rolling: 0d".to_owned(), "0d", LENGTH.to_owned()),
        ("rolling: +3d".to_owned(), "+3d", LENGTH.to_owned()),
        ("rolling: 1.5d".to_owned(), "1.5d", LENGTH.to_owned()),
        ("rolling: 4w".to_owned(), "4w", LENGTH.to_owned()),
        (
            "rolling: 3654d".to_owned(),
            "3654d",
            "`rolling` must not be longer than ten years (3653 days)".to_owned(),
        ),
        (
            "rolling: 99999999999999999999d".to_owned(),
            "99999999999999999999d",
            "`rolling` must not be longer than ten years (3653 days)".to_owned(),
        ),
        (
            "overdraft: 0".to_owned(),
            "0}",
            "a budget's overdraft has to be more than nothing; without one, the limit is hard".to_owned(),
        ),
        (
            "overdraft: -1".to_owned(),
            "-1",
            "a budget's overdraft has to be more than nothing; without one, the limit is hard".to_owned(),
        ),
        ("overdraft: 10%".to_owned(), "10%", format!("{OVERDRAFT} must be a plain decimal number")),
        ("overdraft: soft".to_owned(), "soft", format!("{OVERDRAFT} must be a plain decimal number")),
        (
            "overdraft: unbounded, on_insufficient: cap".to_owned(),
            "cap",
            "with `overdraft: unbounded` every call fits; leave out `on_insufficient`".to_owned(),
        ),
        (
            "overdraft: unbounded, on_insufficient: refuse".to_owned(),
            "refuse",
            "with `overdraft: unbounded` every call fits; leave out `on_insufficient`".to_owned(),
        ),
        ("alerts: [0]".to_owned(), "0]", "has to be from 1 to 1000, in percent".to_owned()),
        ("alerts: [50, 1001]".to_owned(), "1001", "has to be from 1 to 1000, in percent".to_owned()),
        ("alerts: [50, 65586]".to_owned(), "65586", "has to be from 1 to 1000, in percent".to_owned()),
        ("alerts: [50, 80, 50]".to_owned(), "50]", "stands above".to_owned()),
        (
            "alerts: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]".to_owned(),
            "17]",
            "a budget has at most 16 alerts, each at one percent or more".to_owned(),
        ),
        ("each: customer".to_owned(), "customer", "has to be one of: team, project, ".to_owned()),
        ("each: [team, team]".to_owned(), "team]", "stands above".to_owned()),
    ];
    for (more, at, expected) in cases {
        let text = with(&format!(", {more}"));
        let column = text.rfind(at).unwrap() + 1;
        let told = problems(&text);
        let expected = format!("1:{column}: {expected}");
        assert!(matches!(&told[..], [one] if one.starts_with(&expected)), "{text}\n{expected}\n{told:#?}");
    }
}

#[test]
fn a_lower_output_limit_cannot_save_what_is_not_written() {
    for (unit, is_good) in [("USD", true), ("tokens", true), ("requests", false), ("compute_seconds", false)]
    {
        let text = format!("budgets: [{{name: b, limit: 1, on_insufficient: cap, unit: {unit}}}]");
        let told = problems(&text);
        let expected = format!("1:48: a lower output limit saves no {unit}; `cap` is for `USD` and `tokens`");
        assert_eq!(told, if is_good { vec![] } else { vec![expected] }, "{unit}");
    }
}

#[test]
fn no_budget_is_called_as_the_cell_without_one() {
    let told = problems("budgets: [{name: unbudgeted, unit: USD, limit: 1}]");
    assert_eq!(told, ["1:18: no budget may be called `unbudgeted`"]);
}

#[test]
fn idempotency_keys_are_remembered_for_a_day_or_for_as_long_as_is_written() {
    let hour = 3_600_000_000_000;
    let remembered = |text: &str| read(text).unwrap().policy.remember_ns;
    assert_eq!(remembered("{}"), REMEMBER_NS);
    assert_eq!(remembered("limits: {idempotency_hours: 24}"), REMEMBER_NS);
    assert_eq!(remembered("limits: {idempotency_hours: 1}"), hour);
    assert_eq!(remembered("limits: {idempotency_hours: 8760}"), 8_760 * hour);
    for hours in [0, 8_761, u64::MAX] {
        let text = format!("limits: {{idempotency_hours: {hours}}}");
        assert_eq!(problems(&text), ["1:29: has to be from 1 to 8760, which is a year"]);
        assert!(!refused(&text).is_empty(), "the schema accepts {text}");
    }
}

#[test]
fn entries_leave_for_archives_where_a_rule_is_written_and_only_so() {
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(read("{}").unwrap().retention, None);
    let kept = read("retention: {keep_days: 90, archive_to: a/b}").unwrap().retention.unwrap();
    assert_eq!((kept.keep, kept.archive_to), (day * 90, "a/b".into()));
    let wrong = [
        ("retention: {keep_days: 0, archive_to: a}", "1:24: has to be from 1 to 36500"),
        ("retention: {keep_days: 36501, archive_to: a}", "1:24: has to be from 1 to 36500"),
        ("retention: {keep_days: 1, archive_to: ''}", "1:39: has to be a directory, which is there already"),
    ];
    for (text, expected) in wrong {
        assert_eq!(problems(text), [expected]);
        assert!(!refused(text).is_empty(), "the schema accepts {text}");
    }
    for text in [
        "retention: {keep_days: 1}",
        "retention: {archive_to: a}",
        "retention: {keep_days: 1, archive_to: a, keep: 1}",
    ] {
        assert_eq!(problems(text).len(), 1, "{text}");
    }
}

#[test]
fn the_books_grow_as_far_as_is_written_or_to_twice_what_one_process_is_made_for() {
    let read = |text: &str| read(text).unwrap().policy.ceilings;
    let default = Ceilings {
        cells: 2_000_000,
        rate_shares: 2_000_000,
        idempotency_keys: 1_000_000,
        open_awus: 100_000,
        one_key_percent: 50,
    };
    assert_eq!(read("{}"), default);
    assert_eq!(read("limits: {cells: 7}"), Ceilings { cells: 7, ..default });
    assert_eq!(read("limits: {rate_shares: 7}"), Ceilings { rate_shares: 7, ..default });
    assert_eq!(read("limits: {idempotency_keys: 7}"), Ceilings { idempotency_keys: 7, ..default });
    assert_eq!(read("limits: {open_awus: 7}"), Ceilings { open_awus: 7, ..default });
    assert_eq!(read("limits: {one_key_percent: 100}"), Ceilings { one_key_percent: 100, ..default });
    for percent in [0, 101] {
        let text = format!("limits: {{one_key_percent: {percent}}}");
        assert_eq!(problems(&text), ["1:27: has to be from 1 to 100"]);
        assert!(!refused(&text).is_empty(), "the schema accepts {text}");
    }
    for (field, column) in [("cells", 17), ("rate_shares", 23), ("idempotency_keys", 28), ("open_awus", 21)] {
        for most in [0, 1_000_000_001, u64::MAX] {
            let text = format!("limits: {{{field}: {most}}}");
            assert_eq!(problems(&text), [format!("1:{column}: has to be from 1 to 1000000000")]);
            assert!(!refused(&text).is_empty(), "the schema accepts {text}");
        }
    }
}
