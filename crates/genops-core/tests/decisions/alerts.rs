//! Whom people are told of: thresholds that are reached by what is charged, by a policy, and by the end of a grant.

use genops_core::budget::Budget;
use genops_core::ledger::{Alert, Command, Entry, Grant};
use genops_core::news;
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::record::AwuRecord;
use genops_core::selector::{Facet, Share};
use genops_core::{Amount, Unit};

use super::shares::act;
use super::world::{SECOND, World, call, completed, name, of_customer, sized};

const DAY: u64 = 86_400 * SECOND;

fn budget(unit: Unit, limit: u64) -> Budget {
    Budget::new(name("b"), unit, Amount::from_whole(limit))
}

fn told(limit: u64, alerts: &[u16]) -> Budget {
    Budget { alerts: alerts.to_vec(), ..budget(Unit::Tokens, limit) }
}

fn policy(budget: Budget) -> Policy {
    Policy { budgets: vec![budget], ..Policy::unrestricted() }
}

fn under(budgets: Vec<Budget>) -> World {
    World::under(Policy { budgets, ..Policy::unrestricted() })
}

fn adopts(world: &mut World, budget: Budget) -> Entry {
    world.apply(Command::AdoptPolicy(policy(budget).into()))
}

/// A call that uses so many tokens.
fn uses(world: &mut World, tokens: u64) -> Entry {
    let awu = world.runs(&sized(0, 0));
    world.settle(awu, completed(tokens, 0))
}

fn grants(world: &mut World, each: Option<&str>, tokens: u64, seconds: u64) -> u64 {
    let grant = Grant {
        budget: name("b"),
        each: each
            .into_iter()
            .map(|one| Share { facet: Facet::CustomerId, value: Some(name(one)) })
            .collect(),
        amount: Amount::from_whole(tokens),
        until: world.now().plus_nanos(seconds * SECOND),
        act: act(),
    };
    world.apply(Command::Grant(grant.into())).sequence
}

fn alerts(entry: &Entry) -> Vec<u16> {
    news::alerts(&entry.outcome).iter().map(|alert| alert.percent).collect()
}

// === what is charged ===

#[test]
fn an_alert_is_told_once_for_a_cell_with_what_was_used_and_allocated() {
    let mut world = under(vec![Budget { alerts: vec![100, 50, 80, 50], ..budget(Unit::Tokens, 1_000) }]);
    // What each call uses, and what is told.
    let cases: [(u64, &[u16]); 6] =
        [(499, &[]), (1, &[50]), (0, &[]), (299, &[]), (201, &[80, 100]), (1, &[])];
    for (used, expected) in cases {
        let awu = world.runs(&sized(0, 0));
        let entry = world.settle(awu, completed(used, 0));
        assert_eq!(alerts(&entry), expected, "after {used} more");
        if let [Alert { used, allocated, .. }, ..] = news::alerts(&entry.outcome) {
            assert_eq!(*allocated, Amount::from_whole(1_000));
            assert_eq!(*used, world.books.cells()[0].standing.used);
        }
    }
}

#[test]
fn a_reservation_alerts_nobody_until_it_is_charged() {
    let mut world = under(vec![Budget { alerts: vec![100], ..budget(Unit::Tokens, 2_000) }]);
    let (awu, entry) = world.ask(&call());
    assert_eq!(alerts(&entry), []);
    assert_eq!(alerts(&world.apply(Command::Orphan { awu })), [100]);
}

#[test]
fn each_cell_has_alerts_of_its_own() {
    let each = vec![Facet::CustomerId];
    let mut world = under(vec![Budget { each, alerts: vec![50], ..budget(Unit::Tokens, 2_000) }]);
    for customer in ["acme", "zeta"] {
        let awu = world.runs(&of_customer(customer));
        let entry = world.settle(awu, completed(1_000, 0));
        let told: Vec<_> = news::alerts(&entry.outcome).iter().map(|alert| alert.key.to_string()).collect();
        assert_eq!(told, [format!("b ({customer})")]);
    }
}

// === a policy ===

#[test]
fn a_policy_tells_of_what_is_reached_under_it_for_the_first_time() {
    let per_day =
        |budget| Budget { period: Period::Calendar { span: Span::Day, zone: name("UTC") }, ..budget };
    let customers = |budget| Budget { each: vec![Facet::CustomerId], ..budget };
    // 850 tokens were used under a budget of 1,000; then there is another, and its thresholds that are told.
    let cases: [(&str, Budget, Budget, &[u16]); 11] = [
        ("the same", told(1_000, &[80]), told(1_000, &[80]), &[]),
        ("a lower limit", told(1_000, &[80, 90]), told(900, &[80, 90]), &[90]),
        ("lower than the use", told(1_000, &[80]), told(500, &[170, 100, 80, 171]), &[100, 170]),
        ("no limit at all", told(1_000, &[80]), told(0, &[100]), &[100]),
        ("new thresholds", told(1_000, &[]), told(1_000, &[50, 85, 86]), &[50, 85]),
        ("one below what was told", told(1_000, &[80]), told(1_000, &[50]), &[]),
        ("a higher limit", told(1_000, &[90]), told(10_000, &[90]), &[]),
        ("a lower limit, and nobody wants to know", told(1_000, &[80]), told(500, &[]), &[]),
        ("another unit", told(1_000, &[90]), Budget { unit: Unit::Usd, ..told(500, &[90]) }, &[]),
        ("another period", told(1_000, &[90]), per_day(told(500, &[90])), &[]),
        ("another division", told(1_000, &[90]), customers(told(500, &[90])), &[]),
    ];
    for (what, before, after, expected) in cases {
        let mut world = under(vec![before]);
        uses(&mut world, 850);
        let limit = after.limit;
        let entry = adopts(&mut world, after.clone());
        assert_eq!(alerts(&entry), expected, "{what}");
        for Alert { used, allocated, .. } in news::alerts(&entry.outcome) {
            assert_eq!((*used, *allocated), (Amount::from_whole(850), limit), "{what}");
        }
        // Once is enough, also where the limit has been raised meanwhile.
        for again in [told(1_000_000, &[90]), after] {
            assert_eq!(alerts(&adopts(&mut world, again)), [], "{what}");
        }
        assert_eq!(alerts(&uses(&mut world, 0)), [], "{what}");
    }
}

#[test]
fn a_policy_tells_nothing_of_periods_that_are_over_and_counts_the_grants_that_hold() {
    let daily = |limit, percents: &[u16]| Budget {
        period: Period::Calendar { span: Span::Day, zone: name("UTC") },
        ..told(limit, percents)
    };
    let mut world = under(vec![daily(1_000, &[])]);
    uses(&mut world, 900);
    world.wait(DAY);
    uses(&mut world, 500);
    grants(&mut world, None, 400, 10);
    let entry = adopts(&mut world, daily(600, &[50, 60, 90]));
    let [Alert { key, percent: 50, used, allocated, .. }] = news::alerts(&entry.outcome) else {
        panic!("{entry:?}")
    };
    let whole = Amount::from_whole;
    assert_eq!(
        (key.window.to_string(), *used, *allocated),
        ("2026-11-19".to_owned(), whole(500), whole(1_000))
    );
}

#[test]
fn what_a_policy_and_the_end_of_a_grant_reach_are_events_of_no_awu_and_not_of_the_specification() {
    let mut world = under(vec![told(1_000, &[80])]);
    let grant = grants(&mut world, None, 1_000, 10);
    uses(&mut world, 900);
    let ended = world.apply(Command::Revoke { grant, act: act() });
    let cut = adopts(&mut world, told(500, &[80, 150]));
    for entry in [ended, cut] {
        let events: Vec<_> = news::events(&entry).iter().map(|event| event.name).collect();
        assert_eq!(
            (events, AwuRecord::subject(&entry.command)),
            (vec![news::BUDGET_ALERT], None),
            "{entry:?}"
        );
    }
}

/// An entry is no place for millions of them.
#[test]
fn who_is_not_told_of_by_a_policy_for_their_number_is_told_of_with_the_next_charge() {
    let each = |percents: &[u16]| Budget { each: vec![Facet::CustomerId], ..told(1_000, percents) };
    let mut world = under(vec![each(&[])]);
    let customers: Vec<_> = (0..70).map(|number| of_customer(&format!("customer {number}"))).collect();
    let asks = |world: &mut World, customer: usize| {
        let awu = world
            .runs(&genops_core::awu::Proposal { bound: sized(0, 0).bound, ..customers[customer].clone() });
        alerts(&world.settle(awu, completed(900, 0))).len()
    };
    for customer in 0..customers.len() {
        asks(&mut world, customer);
    }
    // Sixteen for each customer: the first 63 have a thousand.
    let percents: Vec<u16> = (1..=16).collect();
    let entry = adopts(&mut world, each(&percents));
    assert_eq!(alerts(&entry).len(), 63 * 16);
    assert_eq!([62, 63, 69].map(|customer| asks(&mut world, customer)), [0, 16, 16]);
}

/// What has been told is known of a cell, and that it has fallen below is seen in its window, which the policy does not move.
#[test]
fn in_a_rolling_window_who_is_not_told_of_again_for_their_number_is_told_of_when_they_reach_it_anew() {
    let percents: Vec<u16> = (1..=16).collect();
    let period = Period::Rolling { length_ns: 100 * SECOND, parts: 10 };
    let each = |limit| {
        let each = vec![Facet::CustomerId];
        Budget { each, period: period.clone(), ..told(limit, &percents) }
    };
    let all: Vec<_> = (0..70).collect();
    let mut world = under(vec![each(1_000)]);
    let asks = |world: &mut World, customers: &[usize]| -> Vec<usize> {
        let of = |number| of_customer(&format!("customer {number}"));
        let awus: Vec<_> = customers
            .iter()
            .map(|number| world.runs(&genops_core::awu::Proposal { bound: sized(0, 0).bound, ..of(number) }))
            .collect();
        awus.into_iter().map(|awu| alerts(&world.settle(awu, completed(900, 0))).len()).collect()
    };
    assert_eq!(asks(&mut world, &all), [16; 70]);
    world.wait(200 * SECOND);
    adopts(&mut world, each(1_000_000));
    assert_eq!(asks(&mut world, &all), [0; 70]);
    // The first 63 have a thousand; the others have been told before, and are above all of it.
    assert_eq!(alerts(&adopts(&mut world, each(1_000))).len(), 63 * 16);
    assert_eq!(asks(&mut world, &[62, 63, 69]), [0; 3]);
    world.wait(200 * SECOND);
    assert_eq!(asks(&mut world, &[62, 63, 69]), [16; 3]);
}

// === the end of a grant ===

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Revoked,
    Lapses,
}

/// Ends a grant for ten seconds.
fn ends(world: &mut World, end: End, grant: u64) -> Entry {
    match end {
        End::Revoked => world.apply(Command::Revoke { grant, act: act() }),
        End::Lapses => {
            world.wait(10 * SECOND);
            world.apply(Command::Lapse { grant })
        }
    }
}

#[test]
fn the_end_of_a_grant_tells_of_what_is_reached_without_it() {
    // What was used of 1,000 tokens with a grant of so many more, and the thresholds of 50 and 80 percent that are told
    // meanwhile and at its end.
    let cases: [(u64, u64, &[u16], &[u16]); 5] = [
        (1_000, 499, &[], &[]),
        (1_000, 500, &[], &[50]),
        (1_000, 1_200, &[50], &[80]),
        (1_000, 1_700, &[50, 80], &[]),
        (9_000, 2_000, &[], &[50, 80]),
    ];
    for end in [End::Revoked, End::Lapses] {
        for (granted, used, meanwhile, at_its_end) in cases {
            let mut world = under(vec![told(1_000, &[50, 80])]);
            let grant = grants(&mut world, None, granted, 10);
            assert_eq!(alerts(&uses(&mut world, used)), meanwhile, "{used} {end:?}");
            let entry = ends(&mut world, end, grant);
            assert_eq!(alerts(&entry), at_its_end, "{used} {end:?}");
            for Alert { used: told, allocated, .. } in news::alerts(&entry.outcome) {
                let whole = Amount::from_whole;
                assert_eq!((*told, *allocated), (whole(used), whole(1_000)), "{end:?}");
            }
            assert_eq!(alerts(&uses(&mut world, 0)), [], "{used} {end:?}");
        }
    }
}

/// Work of the last second of a day comes to its end in the next.
#[test]
fn of_a_day_that_is_over_people_are_told_by_what_that_day_had() {
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    for (used, told) in [(1_500, &[][..]), (3_300, &[80][..])] {
        let mut world = under(vec![Budget { period: period.clone(), ..self::told(2_000, &[80]) }]);
        grants(&mut world, None, 2_000, 10 * 86_400);
        let late = world.runs(&sized(0, 0));
        world.wait(86_400 * SECOND);
        assert_eq!(alerts(&world.settle(late, completed(used, 0))), told, "{used}");
        let cell = world.books.cells().iter().find(|cell| cell.key.budget.is_some()).unwrap();
        let standing = world.books.standing(cell, world.now());
        assert_eq!(standing.allocated, Some(Amount::from_whole(4_000)));
    }
}

#[test]
fn the_end_of_a_grant_is_told_of_in_the_cells_that_it_was_for() {
    for end in [End::Revoked, End::Lapses] {
        let each = vec![Facet::CustomerId];
        let mut world = under(vec![Budget { each, ..told(2_000, &[50]) }]);
        let of_all = grants(&mut world, None, 10_000, 10);
        let of_acme = grants(&mut world, Some("acme"), 10_000, 10);
        for customer in ["acme", "zeta"] {
            let awu = world.runs(&of_customer(customer));
            world.settle(awu, completed(1_500, 0));
        }
        let told = |entry: &Entry| -> Vec<_> {
            news::alerts(&entry.outcome).iter().map(|alert| alert.key.to_string()).collect()
        };
        assert_eq!(told(&ends(&mut world, end, of_all)), ["b (zeta)"], "{end:?}");
        let entry = match end {
            End::Revoked => ends(&mut world, end, of_acme),
            End::Lapses => world.apply(Command::Lapse { grant: of_acme }),
        };
        assert_eq!(told(&entry), ["b (acme)"], "{end:?}");
    }
}

/// The cell of a share is looked up, so it has to be the right one: of this share, in the window that goes on.
#[test]
fn the_end_of_a_grant_for_a_share_tells_of_that_share_in_this_period_alone() {
    for end in [End::Revoked, End::Lapses] {
        let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
        let each = vec![Facet::CustomerId];
        let mut world = under(vec![Budget { each, period, ..told(20_000, &[50]) }]);
        let spend = |world: &mut World| {
            let grant = grants(world, Some("acme"), 20_000, 10);
            for work in [of_customer("acme"), of_customer("zeta")] {
                let awu = world.runs(&work);
                world.settle(awu, completed(15_000, 0));
            }
            grant
        };
        // Each day has cells of its own: of yesterday's nothing is told.
        let yesterdays = spend(&mut world);
        world.wait(DAY);
        assert_eq!(alerts(&world.apply(Command::Lapse { grant: yesterdays })), [], "{end:?}");
        let granted = spend(&mut world);
        let entry = ends(&mut world, end, granted);
        let told = news::alerts(&entry.outcome).iter();
        let told: Vec<_> = told.map(|alert| (alert.key.to_string(), alert.key.window.to_string())).collect();
        assert_eq!(told, [("b (acme)".to_owned(), "2026-11-19".to_owned())], "{end:?}");
    }
}

/// Between a grant's time and the entry that ends it, people are told by the limit with it; then once by the limit without.
#[test]
fn nothing_is_told_twice_where_grants_end_together_and_something_is_charged_in_between() {
    for period in [Period::None, Period::Rolling { length_ns: 100 * SECOND, parts: 10 }] {
        let mut world = under(vec![Budget { period: period.clone(), ..told(1_000, &[50, 80]) }]);
        let both = [1_000, 2_000].map(|tokens| grants(&mut world, None, tokens, 10));
        assert_eq!(alerts(&uses(&mut world, 700)), [], "{period:?}");
        world.wait(10 * SECOND);
        assert_eq!(alerts(&uses(&mut world, 200)), [], "{period:?}");
        let told = both.map(|grant| alerts(&world.apply(Command::Lapse { grant })));
        assert_eq!(told, [vec![], vec![50, 80]], "{period:?}");
        assert_eq!(alerts(&uses(&mut world, 100)), [], "{period:?}");
    }
}

#[test]
fn in_a_rolling_window_that_had_fallen_below_a_threshold_the_end_of_a_grant_tells_of_it_again() {
    let period = Period::Rolling { length_ns: 100 * SECOND, parts: 10 };
    for end in [End::Revoked, End::Lapses] {
        let mut world = under(vec![Budget { period: period.clone(), ..told(1_000, &[80]) }]);
        assert_eq!(alerts(&uses(&mut world, 900)), [80]);
        world.wait(200 * SECOND);
        let grant = grants(&mut world, None, 1_000, 10);
        assert_eq!(alerts(&uses(&mut world, 900)), []);
        assert_eq!(alerts(&ends(&mut world, end, grant)), [80], "{end:?}");
        assert_eq!(alerts(&adopts(&mut world, Budget { period: period.clone(), ..told(900, &[80]) })), []);
    }
}
