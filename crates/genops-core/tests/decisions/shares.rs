//! How strict budgets are, what they count, and whose shares they have: overdraft, mixed units, `each`, grants.

use genops_core::awu::{Execution, Labels, Proposal, Used};
use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::finding::Mode;
use genops_core::ledger::{Act, Command, Entry, Grant, Outcome};
use genops_core::policy::Policy;
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::selector::{Facet, Selector, Share};
use genops_core::spec::ReasonCode;
use genops_core::{Amount, Attribution, Digest, Quantity, Unit, UnitName};

use super::world::{SECOND, World, amount, call, completed, name, of_customer, ruling, said, sized, took};

fn budget(unit: Unit, limit: u64) -> Budget {
    Budget::new(name("b"), unit, Amount::from_whole(limit))
}

fn under(budgets: Vec<Budget>) -> World {
    World::under(Policy { budgets, ..Policy::unrestricted() })
}

fn seconds() -> Unit {
    Unit::Declared(UnitName::new("gpu_seconds").unwrap())
}

fn of(unit: Unit, many: u64) -> Quantity {
    Quantity { unit, amount: Amount::from_whole(many) }
}

pub fn act() -> Act {
    Act { author: name("operator"), reason: name("because") }
}

#[test]
fn a_hard_budget_refuses_a_soft_one_warns_and_one_that_lends_warns_as_far_as_it_lends() {
    let up_to = |tokens| Overdraft::UpTo(Amount::from_whole(tokens));
    let (within, passed) = ("ALLOWED", "WARNING BUDGET_EXCEEDED by b");
    let (failed, exceeded) = ("BLOCKED BUDGET_RESERVATION_FAILED by b", "BLOCKED BUDGET_EXCEEDED by b");
    // Calls of 2,000 tokens each in a budget of 5,000, one after the other.
    let cases = [
        ("hard", Overdraft::None, [within, within, failed, failed]),
        ("lends too little", up_to(999), [within, within, failed, failed]),
        ("lends enough for one, and is used up", up_to(1_000), [within, within, passed, exceeded]),
        ("lends more than that", up_to(2_999), [within, within, passed, failed]),
        ("lends enough for two", up_to(3_000), [within, within, passed, passed]),
        ("soft", Overdraft::Unbounded, [within, within, passed, passed]),
    ];
    for (what, overdraft, expected) in cases {
        let mut world = under(vec![Budget { overdraft, ..budget(Unit::Tokens, 5_000) }]);
        assert_eq!(expected.map(|_| said(&world.ask(&call()).1)), expected, "{what}");
    }
}

#[test]
fn a_refusal_says_what_is_used_and_reserved_of_what_and_whether_waiting_for_work_in_flight_helps() {
    // In a budget of 5,000 tokens: what was used by calls before, how many of 2,000 are in flight, the code, whether
    // waiting helps, and what is said.
    let cases = [
        (
            [0, 2],
            "BUDGET_RESERVATION_FAILED",
            true,
            "has 1000 of 5000 tokens left beside work in flight, which holds 4000 (0 used), the call can use up to 2000; it \
             fits once enough of that work has ended",
        ),
        (
            [1_000, 2],
            "BUDGET_EXCEEDED",
            true,
            "has 0 of 5000 tokens left beside work in flight, which holds 4000 (1000 used), the call can use up to 2000; it \
             fits once enough of that work has ended",
        ),
        (
            [3_001, 0],
            "BUDGET_RESERVATION_FAILED",
            false,
            "has 1999 of 5000 tokens left (3001 used, 0 reserved), the call can use up to 2000",
        ),
        (
            [3_001, 1],
            "BUDGET_EXCEEDED",
            false,
            "has -1 of 5000 tokens left (3001 used, 2000 reserved), the call can use up to 2000",
        ),
        (
            [5_000, 0],
            "BUDGET_EXCEEDED",
            false,
            "is used up (5000 of 5000 tokens used, 0 reserved), the call can use up to 2000",
        ),
    ];
    for ([used, in_flight], code, waits, why) in cases {
        let mut world = under(vec![budget(Unit::Tokens, 5_000)]);
        // The first call runs over what it reserved, while those that stay in flight have been admitted.
        let first = (used > 0).then(|| world.runs(&sized(1, 0)));
        for _ in 0..in_flight {
            world.runs(&call());
        }
        if let Some(first) = first {
            world.settle(first, completed(used, 0));
        }
        let (_, entry) = world.ask(&call());
        assert_eq!(ruling(&entry).decision.reason_code().map(ReasonCode::as_str), Some(code), "{why}");
        let Outcome::Refused(refused) = &entry.outcome else { panic!("{entry:?}") };
        assert_eq!(refused.waits_for_work, waits, "{why}");
        let record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
        assert_eq!(record.reason(), Some(format!("budget `b` {why}")));
    }
}

#[test]
fn waiting_for_work_helps_where_the_call_would_fit_once_all_of_it_has_ended_lent_or_lowered_as_the_budget_says()
 {
    let lends = |tokens| (Overdraft::UpTo(Amount::from_whole(tokens)), OnInsufficient::Refuse);
    let caps = (Overdraft::None, OnInsufficient::Cap { minimum_output_tokens: 600 });
    let hard = (Overdraft::None, OnInsufficient::Refuse);
    // A call of 1,000 tokens in and as many out, beside one of 2,000 in flight, in a budget of 5,000 of which so much is
    // used.
    let cases = [
        (hard, 3_000, true),
        (hard, 3_001, false),
        (lends(1_000), 3_000, true),
        (lends(1_000), 3_001, true),
        (lends(1_000), 4_000, true),
        (lends(1_000), 4_001, false),
        (lends(1_000), 6_000, false),
        (caps, 3_400, true),
        (caps, 3_401, false),
    ];
    for ((overdraft, on_insufficient), used, waits) in cases {
        let case = format!("{overdraft:?}, {on_insufficient:?}, {used} used");
        let mut world = under(vec![Budget { overdraft, on_insufficient, ..budget(Unit::Tokens, 5_000) }]);
        let first = world.runs(&sized(1, 0));
        let in_flight = world.runs(&call());
        world.settle(first, completed(used, 0));
        let (_, entry) = world.ask(&call());
        let Outcome::Refused(refused) = &entry.outcome else { panic!("{case}: {entry:?}") };
        assert_eq!(refused.waits_for_work, waits, "{case}");
        world.settle(in_flight, completed(0, 0));
        let (_, entry) = world.ask(&call());
        assert_eq!(matches!(entry.outcome, Outcome::Admitted(_)), waits, "{case}: it comes as was said");
    }
}

/// The call of 1,000 tokens in would be lowered by one budget to 200 tokens out, of which it takes no less than 100, and by
/// the other to 50.
#[test]
fn waiting_for_work_helps_where_the_budget_that_lowers_a_call_most_waits_for_it_as_well() {
    let caps = |called: &str, limit, minimum_output_tokens| Budget {
        name: name(called),
        on_insufficient: OnInsufficient::Cap { minimum_output_tokens },
        ..budget(Unit::Tokens, limit)
    };
    let of_project = Selector::default().with(Facet::Project, vec![name("apart")]);
    let cases = [
        (caps("other", 3_050, 10), true),
        (Budget { selector: of_project, ..caps("other", 1_050, 10) }, false),
    ];
    for (other, waits) in cases {
        let mut world = under(vec![caps("first", 3_200, 100), other]);
        world.runs(&call());
        let attribution = Attribution::new(Some("search"), Some("apart"), Some("production")).unwrap();
        let (_, entry) = world.ask(&Proposal { attribution, ..call() });
        let Outcome::Refused(refused) = &entry.outcome else { panic!("{waits}: {entry:?}") };
        assert_eq!(refused.waits_for_work, waits);
    }
}

#[test]
fn an_observed_budget_that_lends_is_observed_only_beyond_what_it_lends() {
    let overdraft = Overdraft::UpTo(Amount::from_whole(2_000));
    let mut world = under(vec![Budget { overdraft, mode: Mode::Observe, ..budget(Unit::Tokens, 3_000) }]);
    let (lent, observed) = ("WARNING BUDGET_EXCEEDED by b", "WARNING BUDGET_EXCEEDED by b (observed)");
    let expected = ["ALLOWED", lent, observed];
    assert_eq!(expected.map(|_| said(&world.ask(&call()).1)), expected);
}

#[test]
fn a_budget_that_caps_and_lends_caps_to_what_it_lends_and_says_that_it_was_passed() {
    let caps = OnInsufficient::Cap { minimum_output_tokens: 1 };
    let overdraft = Overdraft::UpTo(Amount::from_whole(300));
    let mut world = under(vec![Budget { overdraft, on_insufficient: caps, ..budget(Unit::Tokens, 1_200) }]);
    let (_, entry) = world.ask(&call());
    assert_eq!(said(&entry), "WARNING x_output_capped by b, at most 500 out");
    let codes = ruling(&entry).findings.iter().map(|finding| finding.said.reason_code().unwrap().as_str());
    assert_eq!(codes.collect::<Vec<_>>(), ["x_output_capped", "BUDGET_EXCEEDED"]);
    assert_eq!(world.books.cells()[0].totals.excess, Amount::from_whole(300));
}

#[test]
fn a_path_of_mixed_units_holds_one_amount_for_each_cell() {
    let named = |called: &str, unit, limit: &str| Budget::new(name(called), unit, amount(limit));
    let mut world = under(vec![
        named("calls", Unit::Requests, "2"),
        named("gpu", seconds(), "60"),
        named("money", Unit::Usd, "1"),
        named("tokens", Unit::Tokens, "9000"),
    ]);
    let trained = Proposal { quantities: vec![of(seconds(), 40)], ..call() };
    let awu = world.runs(&trained);
    let cells =
        |world: &World| ["calls", "gpu", "money", "tokens"].map(|budget| world.cells(budget).concat());
    assert_eq!(
        cells(&world),
        [
            "calls none: 1 out, 0 used of 2",
            "gpu none: 40 out, 0 used of 60",
            "money none: 0.002 out, 0 used of 1",
            "tokens none: 2000 out, 0 used of 9000",
        ]
    );
    let used = Execution { quantities: vec![of(seconds(), 25)], ..completed(500, 500) };
    world.settle(awu, used);
    let left = [
        "calls none: 0 out, 1 used of 2",
        "gpu none: 0 out, 25 used of 60",
        "money none: 0 out, 0.001 used of 1",
        "tokens none: 0 out, 1000 used of 9000",
    ];
    assert_eq!(cells(&world), left);
    // One cell without room, and nothing is reserved anywhere.
    assert_eq!(said(&world.ask(&trained).1), "BLOCKED BUDGET_RESERVATION_FAILED by gpu");
    assert_eq!(cells(&world), left);
}

#[test]
fn what_is_charged_of_a_unit_is_what_is_reported_of_it_or_the_reservation() {
    let sent = |used| took(1, used);
    let with = |execution: Execution, quantities| Execution { quantities, ..execution };
    // What was proposed, how it ended, and the requests and seconds that are charged.
    let cases = [
        ("nothing is said", None, sent(Used::Unknown), "1 0"),
        ("not proposed, and used", None, with(sent(Used::Unknown), vec![of(seconds(), 7)]), "1 7"),
        ("proposed, and nothing is said", Some(9), completed(1, 1), "1 9"),
        ("proposed, and more is used", Some(9), with(completed(1, 1), vec![of(seconds(), 11)]), "1 11"),
        ("proposed, and nothing was used", Some(9), sent(Used::Nothing), "1 0"),
        ("less than nothing", Some(9), with(completed(1, 1), vec![less(seconds())]), "1 9"),
        (
            "a request is one, whatever is said",
            None,
            with(completed(1, 1), vec![of(Unit::Requests, 0)]),
            "1 0",
        ),
        (
            "never sent",
            Some(9),
            Execution { end: genops_core::awu::End::NeverSent, ..completed(1, 1) },
            "0 0",
        ),
    ];
    for (what, proposed, execution, expected) in cases {
        let named = |called: &str, unit| Budget::new(name(called), unit, Amount::from_whole(100));
        let mut world = under(vec![named("calls", Unit::Requests), named("gpu", seconds())]);
        let quantities = proposed.map(|many| of(seconds(), many)).into_iter().collect();
        world.ran(&Proposal { quantities, ..call() }, execution);
        let used = world.books.cells().iter().take(2).map(|cell| cell.standing.used.to_string());
        assert_eq!(used.collect::<Vec<_>>().join(" "), expected, "{what}");
    }
}

fn less(unit: Unit) -> Quantity {
    Quantity { unit, amount: amount("-1") }
}

#[test]
fn a_proposal_says_no_amount_below_nothing_and_counts_as_one_request_whatever_it_says() {
    let mut world = under(vec![budget(seconds(), 10)]);
    let proposal = Proposal { quantities: vec![less(seconds())], ..call() };
    assert_eq!(said(&world.ask(&proposal).1), "BLOCKED ACCOUNTING_INVARIANT_VIOLATION by b");
    let mut world = under(vec![budget(Unit::Requests, 0)]);
    let proposal = Proposal { quantities: vec![of(Unit::Requests, 0)], ..call() };
    assert_eq!(said(&world.ask(&proposal).1), "BLOCKED BUDGET_EXCEEDED by b");
}

#[test]
fn work_that_asks_no_model_needs_a_price_only_where_dollars_are_counted() {
    let work = || Proposal {
        quantities: vec![of(seconds(), 5)],
        ..Proposal::work(call().attribution, name("train"), name("job"))
    };
    let priced = Proposal { quantities: vec![of(seconds(), 5), of(Unit::Usd, 2)], ..work() };
    let of_seconds = Proposal { accounting_unit: Some(seconds()), ..work() };
    let cases = [
        (
            "accounts in dollars, and says none",
            budget(seconds(), 10),
            work(),
            "BLOCKED x_unpriced_model by nobody's rule",
        ),
        ("says what it costs", budget(Unit::Usd, 10), priced.clone(), "ALLOWED"),
        ("costs more than there is", budget(Unit::Usd, 1), priced, "BLOCKED BUDGET_RESERVATION_FAILED by b"),
        ("accounts in its own unit", budget(seconds(), 10), of_seconds.clone(), "ALLOWED"),
        (
            "a budget counts dollars",
            budget(Unit::Usd, 1),
            of_seconds,
            "BLOCKED x_unpriced_model by nobody's rule",
        ),
    ];
    for (what, budget, proposal, expected) in cases {
        assert_eq!(said(&under(vec![budget]).ask(&proposal).1), expected, "{what}");
    }
}

#[test]
fn each_customer_has_a_cell_with_the_whole_limit_and_those_without_a_name_share_one() {
    let mut world = under(vec![Budget { each: vec![Facet::CustomerId], ..budget(Unit::Tokens, 3_000) }]);
    let (fits, full) = ("ALLOWED", "BLOCKED BUDGET_RESERVATION_FAILED by b");
    let calls = [
        (of_customer("acme"), fits),
        (of_customer("zeta"), fits),
        (of_customer("acme"), full),
        (call(), fits),
        (call(), full),
    ];
    for (proposal, expected) in &calls {
        assert_eq!(said(&world.ask(proposal).1), *expected);
    }
    assert_eq!(
        world.cells("b"),
        ["b (acme)", "b (zeta)", "b (-)"].map(|cell| format!("{cell} none: 2000 out, 0 used of 3000"))
    );
}

fn divided(each: &[Facet]) -> Policy {
    let rate = RateRule {
        name: name("r"),
        selector: Selector::default(),
        each: each.to_vec(),
        limit: RateLimit::Flow(Flow {
            measure: Measure::Requests,
            amount: Amount::from_whole(2),
            per: Per::Day,
            burst: Amount::from_whole(2),
        }),
        mode: Mode::Enforce,
    };
    let budgets = vec![Budget { each: each.to_vec(), ..budget(Unit::Tokens, 3_000) }];
    Policy { budgets, rates: vec![rate], ..Policy::unrestricted() }
}

/// The team, the project and the feature have the same name, and each of them its own share.
#[test]
fn what_is_divided_by_another_facet_begins_anew_whatever_policies_lie_between() {
    use Facet::{Feature, Project, Team};
    let attribution = Attribution::new(Some("search"), Some("search"), Some("production")).unwrap();
    let labels = Labels { feature: Some(name("search")), ..Labels::default() };
    let asked = Proposal { attribution, labels, ..call() };
    // Policies one after the other, each with a call that leaves no room for a second; then the cells.
    let cases: [(&[&[Facet]], usize); 7] = [
        (&[&[Team], &[Project]], 2),
        (&[&[Team], &[], &[Project]], 3),
        (&[&[Team], &[Project], &[Feature]], 3),
        (&[&[Team, Project], &[Project, Team]], 2),
        (&[&[Team, Project], &[], &[Team, Feature]], 3),
        (&[&[], &[Team]], 2),
        (&[&[Team], &[Team, Project]], 2),
    ];
    for (policies, cells) in cases {
        let mut world = World::under(Policy::unrestricted());
        for each in policies {
            world.adopt(divided(each));
            assert_eq!(said(&world.ask(&asked).1), "ALLOWED", "{each:?} of {policies:?}");
            assert_eq!(said(&world.ask(&asked).1), "BLOCKED BUDGET_RESERVATION_FAILED by b", "{each:?}");
        }
        assert_eq!(world.cells("b").len(), cells, "{policies:?}");
        // What was used of a share is not forgotten meanwhile.
        world.adopt(divided(policies[0]));
        assert_eq!(said(&world.ask(&asked).1), "BLOCKED BUDGET_RESERVATION_FAILED by b");
        assert_eq!(world.cells("b").len(), cells, "{policies:?}");
        // The rate has room for two in each share.
        let queued = |each| {
            let rule = &divided(each).rates[0];
            world.books.flow_until(&rule.key(&asked)).nanos_since(world.now()) / (43_200 * SECOND)
        };
        assert!(policies.iter().all(|each| queued(each) == 1), "{policies:?}");
    }
}

#[test]
fn a_new_limit_is_for_the_cells_that_are_divided_by_what_the_policy_says() {
    let mut world = World::under(divided(&[Facet::Team]));
    world.runs(&call());
    let lowered = |each: &[Facet]| {
        let budgets = vec![Budget { each: each.to_vec(), ..budget(Unit::Tokens, 2_500) }];
        Policy { budgets, ..Policy::unrestricted() }
    };
    world.adopt(lowered(&[Facet::Project]));
    assert_eq!(world.cells("b"), ["b (search) none: 2000 out, 0 used of 3000"]);
    world.adopt(lowered(&[Facet::Team]));
    assert_eq!(world.cells("b"), ["b (search) none: 2000 out, 0 used of 2500"]);
}

// === grants ===

fn grant(world: &mut World, each: Vec<Option<&str>>, tokens: u64, seconds: u64) -> Entry {
    let values = each.into_iter().map(|value| value.map(name)).collect();
    let [budget] = &world.books.policy().budgets[..] else { panic!("one budget") };
    let each = budget.shares(values).unwrap();
    let until = world.now().plus_nanos(seconds * SECOND);
    let amount = Amount::from_whole(tokens);
    world.apply(Command::Grant(Grant { budget: name("b"), each, amount, until, act: act() }.into()))
}

#[test]
fn a_grant_holds_until_its_end_and_not_after_it() {
    let mut world = under(vec![budget(Unit::Tokens, 2_000)]);
    world.ran(&call(), completed(1_000, 1_000));
    assert_eq!(said(&world.ask(&call()).1), "BLOCKED BUDGET_EXCEEDED by b");
    grant(&mut world, Vec::new(), 5_000, 10);
    world.ran(&call(), completed(1_000, 1_000));
    world.wait(10 * SECOND - 1);
    world.ran(&call(), completed(1_000, 1_000));
    assert_eq!(world.cells("b"), ["b none: 0 out, 6000 used of 7000"]);
    world.wait(1);
    assert_eq!(world.cells("b"), ["b none: 0 out, 6000 used of 2000"]);
    assert_eq!(said(&world.ask(&call()).1), "BLOCKED BUDGET_EXCEEDED by b");
}

#[test]
fn a_grant_that_is_revoked_holds_no_longer_and_what_runs_goes_on() {
    let mut world = under(vec![budget(Unit::Tokens, 2_000)]);
    let number = grant(&mut world, Vec::new(), 2_000, 10).sequence;
    let runs = [world.runs(&call()), world.runs(&call())];
    world.apply(Command::Revoke { grant: number, act: act() });
    assert_eq!(world.cells("b"), ["b none: 4000 out, 0 used of 2000"]);
    assert_eq!(said(&world.ask(&sized(1, 0)).1), "BLOCKED BUDGET_EXCEEDED by b");
    for awu in runs {
        world.settle(awu, completed(400, 0));
    }
    assert_eq!(world.cells("b"), ["b none: 0 out, 800 used of 2000"]);
    let why = world.rejected(Command::Revoke { grant: number, act: act() });
    assert_eq!(why, format!("no grant {number} holds"));
}

#[test]
fn a_grant_is_for_one_share_or_for_all_those_too_that_nobody_has_used_yet() {
    let mut world = under(vec![Budget { each: vec![Facet::CustomerId], ..budget(Unit::Tokens, 3_000) }]);
    world.runs(&of_customer("acme"));
    grant(&mut world, vec![Some("acme")], 1_000, 10);
    grant(&mut world, Vec::new(), 500, 10);
    grant(&mut world, vec![None], 7, 10);
    for proposal in [of_customer("zeta"), call()] {
        world.runs(&proposal);
    }
    let told = ["b (acme) none: 2000 out, 0 used of 4500", "b (zeta) none: 2000 out, 0 used of 3500"];
    assert_eq!(world.cells("b"), [told[0], told[1], "b (-) none: 2000 out, 0 used of 3507"]);
}

#[test]
fn a_grant_for_a_share_is_not_for_the_share_of_another_facet_that_has_the_same_value() {
    let mut world = World::under(divided(&[Facet::Project]));
    let attribution = Attribution::new(Some("search"), Some("search"), Some("production")).unwrap();
    let proposal = Proposal { attribution, ..call() };
    world.runs(&proposal);
    world.adopt(divided(&[Facet::Team]));
    world.runs(&proposal);
    let entry = grant(&mut world, vec![Some("search")], 1_000, 10);
    let told = ["b (search) none: 2000 out, 0 used of 3000", "b (search) none: 2000 out, 0 used of 4000"];
    assert_eq!(world.cells("b"), told);
    let granted = world.books.grant(entry.sequence).unwrap();
    assert_eq!(world.books.reached_by(granted, world.now()), 1);
    let of_project = [Share { facet: Facet::Project, value: Some(name("search")) }];
    let misfit = Grant { each: of_project.into(), ..granted.clone() };
    assert!(world.rejected(Command::Grant(misfit.into())).contains("one value for each facet"));
}

#[test]
fn shares_are_named_by_one_value_for_each_facet_or_by_none() {
    let divided = Budget { each: vec![Facet::Team, Facet::Model], ..budget(Unit::Tokens, 1) };
    for (values, fits) in [(0, true), (1, false), (2, true), (3, false)] {
        let shares = divided.shares(vec![None; values]);
        assert_eq!(shares.is_some(), fits, "{values}");
        assert!(shares.is_none_or(|shares| shares.is_empty() || divided.is_divided_as(&shares)));
    }
}

/// A grant for team `search` becomes none for project `search`.
#[test]
fn a_budget_that_a_grant_names_a_share_of_is_not_divided_by_another_facet_while_it_holds() {
    use Facet::{Project, Team};
    let why = "a grant holds for a budget that the new policy does not have, or counts in another unit, or for a share of one \
               that it divides by other facets (`each`); revoke the grant first, or wait until it has ended";
    // The share that is granted, what the budget is divided by then, and whether that is taken.
    type Case = (Vec<Option<&'static str>>, &'static [Facet], bool);
    let cases: [Case; 5] = [
        (vec![Some("search")], &[Project], false),
        (vec![None], &[], false),
        (vec![Some("search")], &[Project, Team], false),
        (vec![Some("search")], &[Team], true),
        (Vec::new(), &[Project], true),
    ];
    for (each, divides, fits) in cases {
        let mut world = World::under(divided(&[Team]));
        let number = grant(&mut world, each.clone(), 1_000, 10).sequence;
        if fits {
            world.adopt(divided(divides));
            continue;
        }
        let adopt = || Command::AdoptPolicy(divided(divides).into());
        assert_eq!(world.rejected(adopt()), why, "{each:?} {divides:?}");
        // Once it has ended, by its time or before, it is in nobody's way.
        let mut revoked = World::upon(world.books.clone());
        revoked.apply(Command::Revoke { grant: number, act: act() });
        world.wait(10 * SECOND);
        for mut world in [world, revoked] {
            world.apply(adopt());
        }
    }
}

#[test]
fn a_grant_that_does_not_fit_is_rejected() {
    let mut world = under(vec![budget(Unit::Tokens, 2_000)]);
    let now = world.now();
    let good = Grant {
        budget: name("b"),
        each: Box::default(),
        amount: Amount::from_whole(1),
        until: now.plus_nanos(1),
        act: act(),
    };
    let cases = [
        (Grant { budget: name("c"), ..good.clone() }, "the policy in force has no budget of this name"),
        (Grant { amount: Amount::ZERO, ..good.clone() }, "it has to be more than nothing"),
        (Grant { until: now, ..good.clone() }, "it has ended before it begins"),
        (
            Grant { each: [Share { facet: Facet::Team, value: None }].into(), ..good.clone() },
            "it has to name one value for each facet of the budget's `each`, or none",
        ),
        (Grant { amount: Amount::MAX, ..good.clone() }, "it has to be at most 1000000000000000"),
    ];
    for (grant, why) in cases {
        assert_eq!(world.rejected(Command::Grant(grant.into())), format!("the grant does not fit: {why}"));
    }
    let number = world.apply(Command::Grant(good.clone().into())).sequence;
    let again = world.rejected(Command::Grant(good.clone().into()));
    assert_eq!(again, format!("the same grant holds already, with the same end and reason: number {number}"));
    world.apply(Command::Revoke { grant: number, act: act() });
    // As many as may hold come to no more than can be counted.
    for until in 1..=1_000 {
        let grant = Grant { amount: Amount::STEP_MAX, until: now.plus_nanos(until), ..good.clone() };
        world.apply(Command::Grant(grant.into()));
    }
    assert!(world.rejected(Command::Grant(good.clone().into())).contains("a thousand grants hold already"));
    // Those whose time is over count until they lapse.
    world.wait(2);
    let later = Grant { until: now.plus_nanos(SECOND), ..good };
    assert!(world.rejected(Command::Grant(later.clone().into())).contains("a thousand grants hold already"));
    for grant in world.books.lapsing(world.now(), 1) {
        world.apply(Command::Lapse { grant });
    }
    world.apply(Command::Grant(later.into()));
    world.runs(&call());
}

#[test]
fn a_grant_lapses_once_its_time_is_over_and_never_before() {
    let mut world = under(vec![budget(Unit::Tokens, 2_000)]);
    let [first, second] = [10, 5].map(|seconds| grant(&mut world, Vec::new(), 1_000, seconds).sequence);
    let holding = |world: &World| world.books.lapsing(world.now(), 9);
    world.wait(10 * SECOND - 1);
    assert_eq!(holding(&world), [second]);
    let why = world.rejected(Command::Lapse { grant: first });
    assert_eq!(why, format!("grant {first} still holds"));
    world.wait(1);
    assert_eq!(holding(&world), [first, second]);
    // What has no time left cannot be ended before it.
    let why = world.rejected(Command::Revoke { grant: first, act: act() });
    assert_eq!(why, format!("no grant {first} holds"));
    for grant in [second, first] {
        world.apply(Command::Lapse { grant });
        assert_eq!(world.rejected(Command::Lapse { grant }), format!("no grant {grant} holds"));
    }
    let revoked = grant(&mut world, Vec::new(), 1_000, 10).sequence;
    world.apply(Command::Revoke { grant: revoked, act: act() });
    world.wait(10 * SECOND);
    assert_eq!(world.rejected(Command::Lapse { grant: revoked }), format!("no grant {revoked} holds"));
    assert_eq!(world.cells("b"), Vec::<String>::new());
}
