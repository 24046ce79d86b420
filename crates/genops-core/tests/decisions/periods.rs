//! Budgets that begin anew, run for a while, or move with time.

use genops_core::budget::Budget;
use genops_core::ledger::{Command, Entry};
use genops_core::news;
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::{Amount, Timestamp, Unit};

use super::world::{SECOND, World, call, completed, name, said, sized};

const HOUR: u64 = 3_600 * SECOND;

fn budget(period: Period, limit: u64) -> Budget {
    Budget { period, ..Budget::new(name("b"), Unit::Tokens, Amount::from_whole(limit)) }
}

fn under(budget: Budget) -> World {
    let accounting_unit = Unit::Tokens;
    World::under(Policy { accounting_unit, budgets: vec![budget], ..Policy::unrestricted() })
}

fn calendar(span: Span, zone: &str) -> Period {
    Period::Calendar { span, zone: name(zone) }
}

fn rolling(seconds: u64, parts: u16) -> Period {
    Period::Rolling { length_ns: seconds * SECOND, parts }
}

/// Goes on to a time in seconds since the epoch.
fn go_to(world: &mut World, seconds: u64) {
    let nanos = Timestamp::from_nanos(seconds * SECOND).nanos_since(world.now());
    world.wait(nanos);
}

const FULL: &str = "BLOCKED BUDGET_RESERVATION_FAILED by b";

#[test]
fn a_new_period_opens_a_new_cell_and_a_call_settles_into_the_one_that_it_reserved_in() {
    // 2026-11-18T10:26:40Z.
    let mut world = under(budget(calendar(Span::Day, "UTC"), 3_000));
    let awu = world.runs(&call());
    world.wait(14 * HOUR);
    world.runs(&call());
    let told = ["b 2026-11-18: 2000 out, 0 used of 3000", "b 2026-11-19: 2000 out, 0 used of 3000"];
    assert_eq!(world.cells("b"), told);
    world.settle(awu, completed(1_500, 0));
    assert_eq!(world.cells("b"), ["b 2026-11-18: 0 out, 1500 used of 3000", told[1]]);
}

#[test]
fn a_day_is_a_day_of_its_zone_where_clocks_change_too() {
    // New York puts its clocks back on 2027-11-07: that day, from 04:00Z to 05:00Z of the next, has 25 hours.
    let begins = 1_825_560_000;
    let mut world = under(budget(calendar(Span::Day, "America/New_York"), 3_000));
    let cases = [
        ("the second before it", begins - 1, "b 2027-11-06"),
        ("when it begins", begins, "b 2027-11-07"),
        ("24 hours later", begins + 24 * 3_600, "b 2027-11-07"),
        ("a second before it ends", begins + 25 * 3_600 - 1, "b 2027-11-07"),
        ("when it is over", begins + 25 * 3_600, "b 2027-11-08"),
    ];
    for (what, at, expected) in cases {
        go_to(&mut world, at);
        let (_, entry) = world.ask(&sized(1, 0));
        assert_eq!(said(&entry), "ALLOWED", "{what}");
        assert!(world.cells("b").last().unwrap().starts_with(expected), "{what}: {:?}", world.cells("b"));
    }
    assert_eq!(world.cells("b").len(), 3);
}

/// A policy can be adopted before its campaign begins; a budget that held before it would forbid everything.
#[test]
fn a_budget_for_a_fixed_range_covers_nothing_before_and_after_it() {
    let begin = 1_795_000_000;
    let at = |seconds: u64| Timestamp::from_nanos((begin + seconds) * SECOND);
    let mut world = under(budget(Period::Between { from: at(10), until: at(20) }, 3_000));
    // Seconds after the beginning, what is said, and how many cells the budget has then.
    let cases = [(9, "ALLOWED", 0), (10, "ALLOWED", 1), (19, FULL, 1), (20, "ALLOWED", 1)];
    for (seconds, expected, cells) in cases {
        go_to(&mut world, begin + seconds);
        assert_eq!(said(&world.ask(&call()).1), expected, "after {seconds} s");
        assert_eq!(world.cells("b").len(), cells, "after {seconds} s");
    }
    // Outside it they are held without a budget.
    assert_eq!(world.cells("unbudgeted"), ["unbudgeted none: 4000 out, 0 used of everything"]);
}

#[test]
fn what_was_used_leaves_a_rolling_window_with_its_part_and_never_before() {
    // Parts of 5 seconds that begin with multiples of 5 seconds: 1,795,000,000 is one.
    let begin = 1_795_000_000;
    let mut world = under(budget(rolling(20, 4), 3_000));
    go_to(&mut world, begin + 3);
    world.ran(&call(), completed(1_500, 0));
    go_to(&mut world, begin + 6);
    world.ran(&sized(1_000, 0), completed(1_000, 0));
    // The first part ends after 5 seconds, and has left 20 seconds later: 22 after it was used.
    for (seconds, used) in [(6, 2_500), (22, 2_500), (24, 2_500), (25, 1_000), (29, 1_000), (30, 0), (90, 0)]
    {
        go_to(&mut world, begin + seconds);
        let told = format!("b rolling 20s: 0 out, {used} used of 3000");
        assert_eq!(world.cells("b"), [told], "after {seconds} s");
    }
}

#[test]
fn what_is_reserved_stays_in_a_rolling_window_until_it_is_settled_and_counts_from_then() {
    let mut world = under(budget(rolling(20, 4), 3_000));
    let awu = world.runs(&call());
    world.wait(100 * SECOND);
    assert_eq!(said(&world.ask(&call()).1), FULL);
    world.settle(awu, completed(1_500, 0));
    world.wait(19 * SECOND);
    assert_eq!(said(&world.ask(&call()).1), FULL);
    world.wait(6 * SECOND);
    assert_eq!(said(&world.ask(&call()).1), "ALLOWED");
}

#[test]
fn a_late_settlement_takes_away_from_a_rolling_window_only_what_it_still_holds() {
    for (what, seconds, used) in [("still there", 10, 500), ("left", 40, 0)] {
        let mut world = under(budget(rolling(20, 4), 10_000));
        let awu = world.runs(&call());
        world.apply(Command::Orphan { awu });
        world.wait(seconds * SECOND);
        world.ran(&sized(1, 0), completed(100, 0));
        world.settle(awu, completed(500, 0));
        assert_eq!(
            world.cells("b"),
            [format!("b rolling 20s: 0 out, {} used of 10000", used + 100)],
            "{what}"
        );
    }
}

fn alerts(entry: &Entry) -> Vec<u16> {
    news::alerts(&entry.outcome).iter().map(|alert| alert.percent).collect()
}

#[test]
fn an_alert_is_told_again_in_a_rolling_window_that_had_fallen_below_it_and_no_other_is() {
    let mut world = under(Budget { alerts: vec![30, 80], ..budget(rolling(20, 4), 1_000) });
    let uses = |world: &mut World, tokens| {
        let awu = world.runs(&sized(0, 0));
        alerts(&world.settle(awu, completed(tokens, 0)))
    };
    assert_eq!(uses(&mut world, 400), [30]);
    world.wait(10 * SECOND);
    assert_eq!(uses(&mut world, 400), [80]);
    // The first 400 have left: below 80 percent, above 30.
    world.wait(15 * SECOND);
    assert_eq!(uses(&mut world, 300), []);
    assert_eq!(uses(&mut world, 100), [80]);
    // All have left.
    world.wait(60 * SECOND);
    assert_eq!(uses(&mut world, 900), [30, 80]);
}

#[test]
fn a_budget_that_is_lowered_below_its_use_refuses_what_is_new_and_lets_run_what_runs() {
    let mut world = under(budget(Period::None, 5_000));
    let awu = world.runs(&call());
    world.ran(&call(), completed(1_000, 0));
    world.adopt(Policy {
        accounting_unit: Unit::Tokens,
        budgets: vec![budget(Period::None, 500)],
        ..Policy::unrestricted()
    });
    assert_eq!(world.cells("b"), ["b none: 2000 out, 1000 used of 500"]);
    assert_eq!(said(&world.ask(&sized(1, 0)).1), "BLOCKED BUDGET_EXCEEDED by b");
    world.settle(awu, completed(1_900, 0));
    assert_eq!(world.cells("b"), ["b none: 0 out, 2900 used of 500"]);
    assert_eq!(world.books.cells()[0].totals.cut, Amount::from_whole(4_500));
}

#[test]
fn a_new_limit_changes_no_window_that_is_over() {
    let mut world = under(budget(calendar(Span::Day, "UTC"), 3_000));
    world.runs(&call());
    world.wait(24 * HOUR);
    world.runs(&call());
    let budgets = vec![budget(calendar(Span::Day, "UTC"), 4_000)];
    world.adopt(Policy { accounting_unit: Unit::Tokens, budgets, ..Policy::unrestricted() });
    let told = ["b 2026-11-18: 2000 out, 0 used of 3000", "b 2026-11-19: 2000 out, 0 used of 4000"];
    assert_eq!(world.cells("b"), told);
}
