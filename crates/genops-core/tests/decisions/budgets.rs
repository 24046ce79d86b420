//! The last question: room in every budget on the path.

use genops_core::awu::{Proposal, Used};
use genops_core::budget::{Budget, OnInsufficient};
use genops_core::finding::Mode;
use genops_core::ledger::Outcome;
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::{Amount, Unit};

use super::world::{
    ALLOWED, Line, SECOND, World, amount, answer, call, check, completed, name, nothing, refused, ruling,
    said, sized, team, took,
};

fn tokens(called: &str, limit: u64, mode: Mode) -> Budget {
    Budget { mode, ..Budget::new(name(called), Unit::Tokens, Amount::from_whole(limit)) }
}

fn dollars(called: &str, limit: &str, mode: Mode) -> Budget {
    Budget { mode, ..Budget::new(name(called), Unit::Usd, amount(limit)) }
}

fn capping(budget: Budget, minimum_output_tokens: u64) -> Budget {
    Budget { on_insufficient: OnInsufficient::Cap { minimum_output_tokens }, ..budget }
}

fn under(budgets: Vec<Budget>) -> Policy {
    Policy { budgets, ..Policy::unrestricted() }
}

#[test]
fn a_budget_holds_what_fits_and_refuses_the_rest_in_two_ways() {
    let policy = |mode| under(vec![dollars("b", "0.005", mode)]);
    let fits = answer("ALLOWED", "b +0.002 USD");
    let exceeded = refused("BLOCKED BUDGET_EXCEEDED by b");
    let failed = refused("BLOCKED BUDGET_RESERVATION_FAILED by b");
    // BUDGET_RESERVATION_FAILED always means BLOCKED (section 3.5).
    let passed = answer("WARNING BUDGET_EXCEEDED by b (observed)", "b +0.002 USD");
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    check(
        policy,
        &[
            line("nothing is used", &nothing, fits, fits),
            line("exactly so much is left", &|world| world.ran(&call(), completed(2_000, 1_000)), fits, fits),
            line(
                "a little less is left",
                &|world| world.ran(&call(), completed(2_000, 1_001)),
                failed,
                passed,
            ),
            line(
                "what is reserved counts",
                &|world| {
                    world.runs(&call());
                    world.runs(&call());
                },
                failed,
                passed,
            ),
            line(
                "what is not known to be used counts as reserved",
                &|world| {
                    world.ran(&call(), took(1, Used::Unknown));
                    world.ran(&call(), took(1, Used::Unknown));
                },
                failed,
                passed,
            ),
            line("nothing is left", &|world| world.ran(&call(), completed(5_000, 0)), exceeded, passed),
            line(
                "less than nothing is left",
                &|world| world.ran(&call(), completed(6_000, 0)),
                exceeded,
                passed,
            ),
        ],
    );
    let free = |proposal: Proposal| Proposal {
        price: Some(Price::flat(name("row"), amount("0"), amount("0"))),
        ..proposal
    };
    let nothing_asked = answer("ALLOWED", "");
    let used_up = |world: &mut World| world.ran(&call(), completed(5_000, 0));
    let call = free(call());
    let line = Line {
        what: "nothing fits where nothing is left",
        before: &used_up,
        call,
        enforced: nothing_asked,
        observed: nothing_asked,
    };
    check(policy, &[line]);
}

#[test]
fn every_budget_on_the_path_is_reserved_in_or_none() {
    let policy = |mode| {
        under(vec![
            Budget { selector: team("ads"), ..tokens("of ads", 1, Mode::Enforce) },
            dollars("first", "1", mode),
            Budget { selector: team("search"), ..tokens("second", 3_000, mode) },
            tokens("third", 1_000_000, mode),
        ])
    };
    let all = "first +0.002 USD, second +2000 tokens, third +2000 tokens";
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    let one = |world: &mut World| world.ran(&call(), completed(500, 501));
    check(
        policy,
        &[
            line("room in each", &nothing, answer("ALLOWED", all), answer("ALLOWED", all)),
            line(
                "no room in one",
                &one,
                refused("BLOCKED BUDGET_RESERVATION_FAILED by second"),
                answer("WARNING BUDGET_EXCEEDED by second (observed)", all),
            ),
        ],
    );
    let mixed = |mode| under(vec![dollars("first", "0.001", mode), tokens("second", 1, Mode::Enforce)]);
    check(
        mixed,
        &[line(
            "an observed one before one that refuses",
            &nothing,
            refused("BLOCKED BUDGET_RESERVATION_FAILED by first"),
            refused("BLOCKED BUDGET_RESERVATION_FAILED by second"),
        )],
    );
}

#[test]
fn a_call_without_a_budget_of_the_accounting_unit_is_reserved_without_one() {
    let counting =
        |unit, budgets| move |_| Policy { accounting_unit: unit, budgets, ..Policy::unrestricted() };
    let budget = || vec![tokens("t", 5_000, Mode::Enforce)];
    let both = answer("ALLOWED", "t +2000 tokens, unbudgeted +0.002 USD");
    let one = answer("ALLOWED", "t +2000 tokens");
    let unbudgeted = answer("ALLOWED", "unbudgeted +2000 tokens");
    let line = |what, expected| Line {
        what,
        before: &nothing,
        call: call(),
        enforced: expected,
        observed: expected,
    };
    let policy = counting(Unit::Usd, budget());
    check(|mode| policy.clone()(mode), &[line("a budget of tokens alone", both)]);
    let policy = counting(Unit::Tokens, budget());
    check(|mode| policy.clone()(mode), &[line("accounts are in tokens", one)]);
    let policy = counting(Unit::Tokens, Vec::new());
    check(|mode| policy.clone()(mode), &[line("no budget, accounts in tokens", unbudgeted)]);
    check(|_| Policy::unrestricted(), &[line("no budget", ALLOWED)]);
}

#[test]
fn a_budget_begins_anew_with_its_period_and_the_old_one_stays_as_it_was() {
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    let policy = |mode| under(vec![Budget { period: period.clone(), ..tokens("daily", 3_000, mode) }]);
    let fits = answer("ALLOWED", "daily +2000 tokens, unbudgeted +0.002 USD");
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    check(
        policy,
        &[
            line(
                "the same day",
                &|world| {
                    world.runs(&call());
                    world.wait(SECOND);
                },
                refused("BLOCKED BUDGET_RESERVATION_FAILED by daily"),
                answer(
                    "WARNING BUDGET_EXCEEDED by daily (observed)",
                    "daily +2000 tokens, unbudgeted +0.002 USD",
                ),
            ),
            line(
                "the day after",
                &|world| {
                    world.runs(&call());
                    world.wait(86_400 * SECOND);
                },
                answer("ALLOWED", "unbudgeted +0.002 USD, daily +2000 tokens"),
                answer("ALLOWED", "unbudgeted +0.002 USD, daily +2000 tokens"),
            ),
            line("the first day", &nothing, fits, fits),
        ],
    );
}

#[test]
fn where_a_budget_says_so_the_output_is_lowered_to_what_every_budget_affords() {
    let capped =
        |limit: &'static str, minimum| move |mode| under(vec![capping(dollars("b", limit, mode), minimum)]);
    let passed = answer("WARNING BUDGET_EXCEEDED by b (observed)", "b +0.002 USD");
    let line = |what, before, call, enforced, observed| Line { what, before, call, enforced, observed };
    let at_1500 = answer("WARNING x_output_capped by b, at most 500 out", "b +0.0015 USD");
    check(
        capped("0.002", 100),
        &[line(
            "it fits",
            &nothing,
            call(),
            answer("ALLOWED", "b +0.002 USD"),
            answer("ALLOWED", "b +0.002 USD"),
        )],
    );
    check(
        capped("0.0015", 500),
        &[
            line("to the minimum", &nothing, call(), at_1500, passed),
            line(
                "below the minimum by one token",
                &|world| world.ran(&sized(0, 1), completed(0, 1)),
                call(),
                refused("BLOCKED BUDGET_RESERVATION_FAILED by b"),
                passed,
            ),
            line(
                "nothing is left",
                &|world| world.ran(&sized(1, 0), completed(1_500, 0)),
                call(),
                refused("BLOCKED BUDGET_EXCEEDED by b"),
                passed,
            ),
        ],
    );
    check(capped("0.0015000009", 1), &[line("rounded down", &nothing, call(), at_1500, passed)]);
    let three = Proposal { bound: Tokens::new(1_000, 3_000), choices: 3, ..call() };
    check(
        capped("0.002", 1),
        &[line(
            "for each of three choices",
            &nothing,
            three,
            answer("WARNING x_output_capped by b, at most 333 out", "b +0.001999 USD"),
            answer("WARNING BUDGET_EXCEEDED by b (observed)", "b +0.004 USD"),
        )],
    );
    check(
        capped("0.0015", 1_000),
        &[line(
            "asks for no more than the minimum",
            &nothing,
            call(),
            refused("BLOCKED BUDGET_RESERVATION_FAILED by b"),
            passed,
        )],
    );
    check(
        capped("0.0009", 1),
        &[line(
            "the input alone is too much",
            &nothing,
            call(),
            refused("BLOCKED BUDGET_RESERVATION_FAILED by b"),
            passed,
        )],
    );
}

#[test]
fn of_several_budgets_that_cap_the_tightest_does() {
    let all = "a +0.001002 USD, b +0.001002 USD, c +1002 tokens, d +1002 tokens";
    let policy = |mode| {
        under(vec![
            capping(dollars("a", "0.0015", mode), 1),
            dollars("b", "1", mode),
            capping(tokens("c", 1_002, mode), 1),
            capping(tokens("d", 1_900, mode), 1),
        ])
    };
    let observed = "a +0.002 USD, b +0.002 USD, c +2000 tokens, d +2000 tokens";
    check(
        policy,
        &[Line {
            what: "three cap",
            before: &nothing,
            call: call(),
            enforced: answer("WARNING x_output_capped by c, at most 2 out", all),
            observed: answer("WARNING BUDGET_EXCEEDED by a (observed)", observed),
        }],
    );
    let with_refusing =
        |mode| under(vec![capping(dollars("a", "0.0015", mode), 1), tokens("b", 1_999, mode)]);
    check(
        with_refusing,
        &[Line {
            what: "one of them does not cap, and refuses",
            before: &nothing,
            call: call(),
            enforced: refused("BLOCKED BUDGET_RESERVATION_FAILED by b"),
            observed: answer("WARNING BUDGET_EXCEEDED by a (observed)", "a +0.002 USD, b +2000 tokens"),
        }],
    );
}

/// What is afforded is afforded by every budget: a budget refuses where less than its own minimum would be left.
#[test]
fn a_budget_that_caps_refuses_what_another_caps_below_its_minimum() {
    let budgets = |minima: [u64; 2]| {
        under(vec![
            capping(tokens("a", 1_500, Mode::Enforce), minima[0]),
            capping(tokens("b", 1_200, Mode::Enforce), minima[1]),
        ])
    };
    let cases = [
        ([1, 1], "WARNING x_output_capped by b, at most 200 out"),
        ([200, 200], "WARNING x_output_capped by b, at most 200 out"),
        ([1, 201], "BLOCKED BUDGET_RESERVATION_FAILED by b"),
        ([201, 1], "BLOCKED BUDGET_RESERVATION_FAILED by a"),
    ];
    for (minima, expected) in cases {
        assert_eq!(said(&World::under(budgets(minima)).ask(&call()).1), expected, "{minima:?}");
    }
}

/// The first of the budgets that warns makes the decision, whether it caps or only observes.
#[test]
fn findings_about_room_stand_in_the_order_of_the_budgets() {
    let caps = || capping(tokens("caps", 1_500, Mode::Enforce), 1);
    let observes = || tokens("observes", 1_000, Mode::Observe);
    for (budgets, expected) in
        [(vec![caps(), observes()], "caps observes"), (vec![observes(), caps()], "observes caps")]
    {
        let (_, entry) = World::under(under(budgets)).ask(&call());
        let rules: Vec<_> =
            ruling(&entry).findings.iter().filter_map(|finding| finding.rule.as_ref()).collect();
        assert_eq!(rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected);
    }
}

/// What cannot be counted is refused also where the budget only observes, since it cannot be reserved.
#[test]
fn what_cannot_be_counted_is_never_reserved() {
    let violated = |rule: &'static str| {
        if rule == "b" {
            refused("BLOCKED ACCOUNTING_INVARIANT_VIOLATION by b")
        } else {
            refused("BLOCKED ACCOUNTING_INVARIANT_VIOLATION by nobody's rule")
        }
    };
    let endless = Proposal { bound: Tokens::new(u64::MAX, 1), ..call() };
    let dear = Price::flat(name("row"), amount("99999999999999999999"), amount("1"));
    let priceless = Proposal { price: Some(dear), ..endless.clone() };
    let line =
        |what, call, expected| Line { what, before: &nothing, call, enforced: expected, observed: expected };
    let of_tokens = |mode| under(vec![capping(tokens("b", 5_000, mode), 1)]);
    check(of_tokens, &[line("more tokens than 64 bits hold", endless, violated("b"))]);
    let of_dollars = |mode| under(vec![dollars("b", "1", mode)]);
    check(of_dollars, &[line("more dollars than an amount holds", priceless.clone(), violated("b"))]);
    check(|_| Policy::unrestricted(), &[line("without a budget", priceless, violated(""))]);
}

#[test]
fn an_observed_budget_that_is_passed_says_by_how_much() {
    let mut world = World::under(under(vec![tokens("b", 3_000, Mode::Observe)]));
    for excess in [0, 1_000, 3_000] {
        let (_, entry) = world.ask(&call());
        assert!(matches!(entry.outcome, Outcome::Admitted(_)));
        assert_eq!(world.books.cells()[0].totals.excess, Amount::from_whole(excess));
    }
}
