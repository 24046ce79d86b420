//! How much callers can make the books grow: up to the policy's ceilings, and no further. What the books hold already
//! goes on, and what callers cannot make more always has a place.

use std::collections::BTreeSet;

use genops_core::awu::{AwuId, Proposal};
use genops_core::budget::{Budget, Overdraft};
use genops_core::finding::Mode;
use genops_core::ledger::{Admit, Books, Command, Entry, Idempotency, Outcome};
use genops_core::policy::{Ceilings, Policy};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, LatencyClass, SlaRule};
use genops_core::{Amount, Digest, Unit};

use super::world::{SECOND, World, call, completed, name, of_customer, ruling, said};

fn cells(most: u64) -> Ceilings {
    Ceilings { cells: most, ..Ceilings::default() }
}

fn per_customer(mode: Mode) -> Budget {
    let each = vec![Facet::CustomerId];
    Budget { each, mode, ..Budget::new(name("b"), Unit::Usd, Amount::from_whole(1)) }
}

fn divided(most: u64) -> World {
    let whole = Budget::new(name("whole"), Unit::Tokens, Amount::from_whole(1_000_000));
    World::under(Policy {
        budgets: vec![per_customer(Mode::Enforce), whole],
        ceilings: cells(most),
        ..Policy::unrestricted()
    })
}

const NO_CELL: &str = "BLOCKED x_too_many_shares by b";

#[test]
fn with_as_many_cells_as_may_be_a_new_share_is_refused_and_the_others_go_on() {
    // One of the three is that of the budget that is not divided.
    let mut world = divided(3);
    let asked = ["one", "two", "three", "one", "four", "two"].map(|customer| {
        let (_, entry) = world.ask(&of_customer(customer));
        said(&entry)
    });
    assert_eq!(asked, ["ALLOWED", "ALLOWED", NO_CELL, "ALLOWED", NO_CELL, "ALLOWED"]);
    assert_eq!(world.books.cells().len(), 3);
    let (_, entry) = world.ask(&of_customer("five"));
    let record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
    let why = record.reason().unwrap();
    assert!(why.starts_with("budget `b (five)` has no share for this call yet"), "{why}");
    assert!(why.ends_with("can raise `limits.cells`"), "{why}");
    assert_eq!(record.asked(world.books.in_force()).last().unwrap().why, why);
}

#[test]
fn a_call_that_opens_several_cells_is_refused_where_there_is_no_place_for_one_of_them() {
    let of = |called: &str| Budget { name: name(called), ..per_customer(Mode::Enforce) };
    let policy = |most| Policy {
        budgets: vec![of("a"), of("b"), of("c")],
        ceilings: cells(most),
        ..Policy::unrestricted()
    };
    for (most, expected) in [(1, NO_CELL), (2, "BLOCKED x_too_many_shares by c"), (3, "ALLOWED")] {
        let mut world = World::under(policy(most));
        assert_eq!(said(&world.ask(&of_customer("one")).1), expected, "{most}");
        assert_eq!(world.books.cells().len(), if most == 3 { 3 } else { 0 });
    }
}

#[test]
fn a_budget_that_is_not_divided_and_the_cell_without_a_budget_always_have_a_place() {
    for budgets in [vec![Budget::new(name("b"), Unit::Usd, Amount::from_whole(1))], Vec::new()] {
        let mut world = World::under(Policy { budgets, ceilings: cells(0), ..Policy::unrestricted() });
        assert_eq!(said(&world.ask(&call()).1), "ALLOWED");
        assert_eq!(world.books.cells().len(), 1);
    }
}

#[test]
fn nobody_passes_the_ceiling_by_a_budget_that_only_observes_or_lends() {
    let lends = Budget { overdraft: Overdraft::Unbounded, ..per_customer(Mode::Enforce) };
    for budget in [per_customer(Mode::Observe), lends] {
        let mut world =
            World::under(Policy { budgets: vec![budget], ceilings: cells(1), ..Policy::unrestricted() });
        assert_eq!(said(&world.ask(&of_customer("one")).1), "ALLOWED");
        assert_eq!(said(&world.ask(&of_customer("two")).1), NO_CELL);
    }
}

#[test]
fn a_policy_with_a_higher_ceiling_makes_place_and_one_with_a_lower_takes_nothing_away() {
    let mut world = divided(2);
    let policy = |most| Policy { ceilings: cells(most), ..world_policy(&divided(0).books) };
    assert_eq!(said(&world.ask(&of_customer("one")).1), "ALLOWED");
    assert_eq!(said(&world.ask(&of_customer("two")).1), NO_CELL);
    world.adopt(policy(3));
    assert_eq!(said(&world.ask(&of_customer("two")).1), "ALLOWED");
    world.adopt(policy(1));
    assert_eq!(
        ["one", "two", "three"].map(|customer| said(&world.ask(&of_customer(customer)).1)),
        ["ALLOWED", "ALLOWED", NO_CELL]
    );
}

fn world_policy(books: &Books) -> Policy {
    books.policy().clone()
}

/// The same question with the same answers of budgets and rates may be refused for want of a place: the state that it
/// was asked in is another.
#[test]
fn whether_there_was_a_place_is_a_part_of_the_state() {
    let digest = |entry: &Entry| {
        let entry = Journaled { entry: entry.clone(), chain: Digest::ZERO };
        AwuRecord::begin(entry).unwrap().state_digest()
    };
    let mut world = divided(3);
    world.runs(&of_customer("one"));
    let (_, open) = world.ask(&of_customer("two"));
    let (_, full) = world.ask(&of_customer("three"));
    assert_eq!((said(&open), said(&full)), ("ALLOWED".to_owned(), NO_CELL.to_owned()));
    assert_ne!(digest(&open), digest(&full));
}

// === rates ===

fn flowing(mode: Mode, each: Vec<Facet>) -> World {
    let (amount, burst) = (Amount::from_whole(1), Amount::from_whole(2));
    let flow = Flow { measure: Measure::Requests, amount, per: Per::Minute, burst };
    let selector = Selector::default();
    let limit = RateLimit::Flow(flow);
    World::under(Policy {
        rates: vec![RateRule { name: name("r"), selector, each, limit, mode }],
        ceilings: Ceilings { rate_shares: 2, ..Ceilings::default() },
        ..Policy::unrestricted()
    })
}

#[test]
fn with_as_many_shares_of_rates_as_may_be_a_new_one_is_refused_until_others_have_flowed_off() {
    let mut world = flowing(Mode::Enforce, vec![Facet::CustomerId]);
    let no_place = "BLOCKED x_too_many_shares by r";
    let ask = |world: &mut World, customer: &str| said(&world.ask(&of_customer(customer)).1);
    assert_eq!(ask(&mut world, "one"), "ALLOWED");
    assert_eq!(ask(&mut world, "two"), "ALLOWED");
    assert_eq!(ask(&mut world, "three"), no_place);
    assert_eq!(ask(&mut world, "one"), "ALLOWED");
    // The first refusal after they have flowed off makes place for whoever comes then.
    world.wait(121 * SECOND);
    assert_eq!(ask(&mut world, "three"), no_place);
    assert_eq!(ask(&mut world, "three"), "ALLOWED");
    let (_, entry) = world.ask(&of_customer("four"));
    assert_eq!(said(&entry), "ALLOWED");
    let (_, entry) = world.ask(&of_customer("five"));
    let record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
    assert!(record.reason().unwrap().ends_with("can raise `limits.rate_shares`"), "{:?}", record.reason());
}

#[test]
fn a_rate_that_only_observes_keeps_nothing_where_there_is_no_place() {
    let mut world = flowing(Mode::Observe, vec![Facet::CustomerId]);
    let asked = ["one", "two", "three"].map(|customer| said(&world.ask(&of_customer(customer)).1));
    assert_eq!(asked, ["ALLOWED", "ALLOWED", "WARNING x_too_many_shares by r (observed)"]);
    let kept: BTreeSet<_> = ["one", "two", "three"]
        .into_iter()
        .filter(|customer| {
            let (_, entry) = world.ask(&of_customer(customer));
            let step = ruling(&entry).rates[0].clone();
            world.books.flow_until(&step.key) > genops_core::Timestamp::default()
        })
        .collect();
    assert_eq!(kept, BTreeSet::from(["one", "two"]));
}

#[test]
fn a_rate_that_is_not_divided_always_has_a_place() {
    let mut world = flowing(Mode::Enforce, Vec::new());
    world.adopt(Policy {
        ceilings: Ceilings { rate_shares: 0, ..Ceilings::default() },
        ..world_policy(&world.books)
    });
    assert_eq!(said(&world.ask(&call()).1), "ALLOWED");
}

#[test]
fn of_more_classes_than_may_be_kept_nothing_is_known() {
    let tier = SlaRule {
        name: name("t"),
        selector: Selector::default(),
        target_ms: 1,
        first_token_target_ms: None,
        expected_miss: ExpectedMiss::Warn,
        mode: Mode::Enforce,
    };
    let mut world = World::under(Policy {
        slas: vec![tier],
        ceilings: Ceilings { rate_shares: 1, ..Ceilings::default() },
        ..Policy::unrestricted()
    });
    let of_model = |model: &str| genops_core::awu::Proposal { model: Some(name(model)), ..call() };
    for model in ["first", "second"] {
        world.ran(&of_model(model), completed(1, 1));
        let known = world.books.latencies(&LatencyClass::of(&of_model(model)));
        assert_eq!(known.is_some(), model == "first");
    }
}

// === idempotency keys ===

fn keyed(world: &World, number: u8) -> Command {
    let key = name(&format!("key {number}"));
    let idempotency = Some(Idempotency { key, payload: Digest::ZERO });
    let awu = genops_core::awu::AwuId { trace_id: [100 + number; 16], span_id: [100 + number; 8] };
    let assessed_under = Some(world.books.policy_version());
    Command::Admit(Admit { idempotency, assessed_under, ..Admit::new(awu, call()) }.into())
}

#[test]
fn no_more_idempotency_keys_are_taken_than_may_be_remembered_until_the_oldest_is_forgotten() {
    let mut world = World::under(Policy {
        remember_ns: 60 * SECOND,
        ceilings: Ceilings { idempotency_keys: 2, ..Ceilings::default() },
        ..Policy::unrestricted()
    });
    world.apply(keyed(&world, 1));
    world.wait(30 * SECOND);
    world.apply(keyed(&world, 2));
    let full = "2 idempotency keys are remembered, which is as many as may be";
    assert!(world.rejected(keyed(&world, 3)).starts_with(full));
    // Those that are remembered are still answered, and a call without a key is decided.
    assert!(world.rejected(keyed(&world, 1)).contains("was used for the same request before"));
    assert_eq!(said(&world.ask(&call()).1), "ALLOWED");
    world.wait(30 * SECOND);
    assert!(world.rejected(keyed(&world, 3)).starts_with(full));
    world.wait(1);
    let entry = world.apply(keyed(&world, 3));
    assert!(matches!(entry.outcome, Outcome::Admitted(_)));
    assert!(world.rejected(keyed(&world, 4)).starts_with(full));
}

/// A key of a caller has half of what there may be, and others the rest.
#[test]
fn one_key_uses_up_no_more_idempotency_keys_than_its_share_and_others_go_on() {
    let mut world = World::under(Policy {
        remember_ns: 60 * SECOND,
        ceilings: Ceilings { idempotency_keys: 5, ..Ceilings::default() },
        ..Policy::unrestricted()
    });
    let of = |world: &World, caller: Option<&str>, number| match keyed(world, number) {
        Command::Admit(request) => {
            let mut request = Admit::clone(&request);
            request.proposal.key = caller.map(name);
            Command::Admit(request.into())
        }
        other => other,
    };
    for (number, caller) in [(1, Some("batch")), (2, Some("batch")), (3, Some("chat"))] {
        let command = of(&world, caller, number);
        world.apply(command);
        world.wait(10 * SECOND);
    }
    let share = "2 idempotency keys of this caller's key are remembered, which is as many as may be";
    assert!(world.rejected(of(&world, Some("batch"), 4)).starts_with(share));
    assert!(world.rejected(of(&world, Some("batch"), 1)).contains("was used for the same request before"));
    // Work without a key has no share: only everybody's together count.
    for number in [5, 6] {
        let command = of(&world, None, number);
        world.apply(command);
    }
    let all = "5 idempotency keys are remembered, which is as many as may be";
    assert!(world.rejected(of(&world, Some("chat"), 7)).starts_with(all));
    // The first is forgotten: there is a place again, and the batch has half of its share again.
    world.wait(30 * SECOND + 1);
    let command = of(&world, Some("batch"), 4);
    world.apply(command);
    assert!(world.rejected(of(&world, Some("batch"), 8)).starts_with(all));
}

// === open AWUs ===

#[test]
fn with_as_many_awus_open_as_may_be_nothing_is_decided_until_one_ends_and_what_is_open_goes_on() {
    let ceilings = Ceilings { open_awus: 4, ..Ceilings::default() };
    let mut world = World::under(Policy { ceilings, ..Policy::unrestricted() });
    let of = |caller: Option<&str>| Proposal { key: caller.map(name), ..call() };
    let asks = |world: &World, caller: Option<&str>| {
        let awu = AwuId { trace_id: [201; 16], span_id: [201; 8] };
        let assessed_under = Some(world.books.policy_version());
        Command::Admit(Admit { assessed_under, ..Admit::new(awu, of(caller)) }.into())
    };
    let (share, all) =
        ("2 AWUs of this caller's key are open", "4 AWUs are open, which is as many as may be");
    let first = world.runs(&of(Some("batch")));
    let second = world.runs(&of(Some("batch")));
    assert!(world.rejected(asks(&world, Some("batch"))).starts_with(share));
    let third = world.runs(&of(Some("chat")));
    assert_eq!(world.books.most_open_of_one_key(), Some((&name("batch"), 2)));
    let (fourth, _) = world.asks(&of(None), false);
    for caller in [Some("batch"), Some("chat"), None] {
        assert!(world.rejected(asks(&world, caller)).starts_with(all), "{caller:?}");
    }
    // One in doubt is open until it is resolved.
    world.apply(Command::Orphan { awu: first });
    assert!(world.rejected(asks(&world, None)).starts_with(all));
    world.apply(Command::Release { awu: fourth });
    assert!(world.rejected(asks(&world, Some("batch"))).starts_with(share));
    world.settle(first, completed(1, 1));
    // What the books come to when they are kept and read back says the same.
    let kept: Books = postcard::from_bytes(&postcard::to_stdvec(&world.books).unwrap()).unwrap();
    assert_eq!(kept, world.books);
    assert_eq!(kept.most_open_of_one_key(), Some((&name("batch"), 1)));
    world.runs(&of(Some("batch")));
    for awu in [second, third] {
        world.settle(awu, completed(1, 1));
    }
    // A lower ceiling ends nothing, and takes nothing new.
    let ceilings = Ceilings { open_awus: 1, ..Ceilings::default() };
    world.adopt(Policy { ceilings, ..Policy::unrestricted() });
    assert!(world.rejected(asks(&world, None)).starts_with("1 AWUs are open"));
    let last = world.books.open_awus()[0].0;
    world.settle(last, completed(1, 1));
    assert_eq!((world.books.open_count(), world.books.most_open_of_one_key()), (0, None));
    world.runs(&of(Some("batch")));
}

#[test]
fn the_share_of_one_key_is_a_percentage_and_never_nothing() {
    let share = |one_key_percent, most| Ceilings { one_key_percent, ..Ceilings::default() }.of_one_key(most);
    let cases = [
        (50, 100, 50),
        (50, 5, 2),
        (50, 1, 1),
        (1, 99, 1),
        (100, 7, 7),
        (0, 0, 1),
        (100, u64::MAX, u64::MAX),
    ];
    for (percent, most, expected) in cases {
        assert_eq!(share(percent, most), expected, "{percent} % of {most}");
    }
}
