//! Caps: a call whose output limit was lowered can never overrun a budget on its path, whatever it uses within its
//! limit, at every price that ships with the gateway.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use genops_core::admit::{Verdict, admit};
use genops_core::awu::Proposal;
use genops_core::budget::{Budget, OnInsufficient};
use genops_core::finding::Mode;
use genops_core::ledger::{self, Books, Command};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::{Amount, Attribution, Name, Timestamp, Unit};
use genops_gateway::prices::Table;
use proptest::prelude::*;

const AT: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);

/// A budget: what it counts, how much of what the call may cost it has, in thousandths, and whether it caps.
type Limited = (bool, u64, bool, u64);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What `tokens` come to at most.
fn bound(unit: Unit, price: &Price, tokens: Tokens) -> Amount {
    match unit {
        Unit::Usd => price.bound(tokens).unwrap(),
        Unit::Tokens => Amount::from_whole(tokens.total().unwrap()),
        Unit::Requests => Amount::from_whole(1),
        Unit::Declared(_) => Amount::ZERO,
    }
}

fn budgets(limited: &[Limited], price: &Price, most: Tokens) -> Vec<Budget> {
    let budget = |(place, (usd, thousandths, caps, minimum)): (usize, &Limited)| {
        let unit = if *usd { Unit::Usd } else { Unit::Tokens };
        let share = bound(unit, price, most).atoms() / 1_000 * i128::from(*thousandths);
        let cap = OnInsufficient::Cap { minimum_output_tokens: *minimum };
        let on_insufficient = if *caps { cap } else { OnInsufficient::Refuse };
        Budget { on_insufficient, ..Budget::new(name(&format!("b{place}")), unit, Amount::from_atoms(share)) }
    };
    limited.iter().enumerate().map(budget).collect()
}

fn prices() -> Vec<Price> {
    let prices: Vec<_> = Table::built_in().unwrap().rows().filter_map(|row| row.price()).collect();
    assert!(prices.len() > 1_000, "the table that ships: {} prices", prices.len());
    prices
}

/// Checks one call at one price. Says whether it was capped.
fn check(price: &Price, limited: &[Limited], most: Tokens, choices: u64, shares: [u64; 4]) -> bool {
    let budgets = budgets(limited, price, most);
    let mut books = Books::default();
    let policy = Policy { budgets: budgets.clone(), ..Policy::unrestricted() };
    ledger::apply(&mut books, AT, Command::AdoptPolicy(policy.into())).unwrap();
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("production")).unwrap();
    let proposal = Proposal {
        bound: most,
        choices,
        price: Some(price.clone()),
        ..Proposal::new(attribution, name("chat"), name("inference"), name("p"), name("m"))
    };
    let Verdict::Admitted(admitted) = admit(&books, AT, &proposal, true) else { return false };
    let limit = admitted.output_limit().unwrap_or(most.output / choices);
    // Anything that it may use within its limit, however its input falls on the cache.
    let [input, cached, written, output] = shares;
    let part = |whole: u64, share: u64| whole * share / 1_000;
    let input = part(most.input, input);
    let cached_input = part(input, cached);
    let cache_write = part(input - cached_input, written);
    let used = Tokens { cached_input, cache_write, ..Tokens::new(input, part(limit * choices, output)) };
    for (budget, step) in budgets.iter().zip(admitted.path()) {
        let actual = match budget.unit {
            Unit::Usd => price.cost(used).unwrap(),
            Unit::Tokens => Amount::from_whole(used.total().unwrap()),
            Unit::Requests => Amount::from_whole(1),
            Unit::Declared(_) => Amount::ZERO,
        };
        assert!(actual <= step.amount, "{}: {actual} of {} reserved", price.row, step.amount);
        assert!(
            step.amount <= budget.limit || step.amount == Amount::ZERO,
            "{}: beyond the limit",
            price.row
        );
    }
    // Neither is it lower than it has to be: one token more for each choice would be too much for some budget.
    if let Some(limit) = admitted.output_limit() {
        let more = Tokens { output: (limit + 1) * choices, ..most };
        let fits = |budget: &Budget| bound(budget.unit, price, more) <= budget.limit;
        assert!(!budgets.iter().all(fits), "{}: {limit} is lower than it has to be", price.row);
        assert!(budgets.iter().all(|budget| budget.mode == Mode::Enforce));
    }
    admitted.output_limit().is_some()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_capped_call_never_overruns_any_budget_on_its_path_at_any_price(
        limited in prop::collection::vec((any::<bool>(), 100_u64..1_200, prop::bool::weighted(0.8), 1_u64..400), 1..5),
        input in 0_u64..400_000,
        per_choice in 1_u64..50_000,
        choices in 1_u64..5,
        shares in any::<[u16; 4]>(),
    ) {
        let most = Tokens::new(input, per_choice * choices);
        let shares = shares.map(|share| u64::from(share) % 1_001);
        for price in prices() {
            check(&price, &limited, most, choices, shares);
        }
    }
}

#[test]
fn calls_are_capped_in_the_property_above() {
    let limited = [(true, 700, true, 1), (false, 900, true, 1)];
    let most = Tokens::new(100, 4_000);
    let capped =
        prices().iter().filter(|price| check(price, &limited, most, 2, [1_000, 0, 0, 1_000])).count();
    assert!(capped > 1_000, "{capped}");
}
