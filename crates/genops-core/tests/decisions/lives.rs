//! What happens to an AWU beside being admitted and settled: deadlines, doubt and late news, corrections, and keys that
//! name a request.

use genops_core::awu::{AwuId, Execution, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::ledger::{
    Admit, Command, Correction, Entry, Idempotency, Outcome, Posting, Revision, Settled,
};
use genops_core::period::Period;
use genops_core::policy::Policy;
use genops_core::record::{AwuRecord, Journaled};
use genops_core::{Amount, Digest, Quantity, Unit};

use super::shares::act;
use super::world::{SECOND, World, amount, call, completed, name, said, sized, took};

fn policy(period: Period, limit: u64) -> Policy {
    let budget = Budget { period, ..Budget::new(name("b"), Unit::Tokens, Amount::from_whole(limit)) };
    Policy {
        accounting_unit: Unit::Tokens,
        budgets: vec![budget],
        remember_ns: 60 * SECOND,
        ..Policy::unrestricted()
    }
}

fn world() -> World {
    World::under(policy(Period::None, 10_000))
}

fn id(byte: u8) -> AwuId {
    AwuId { trace_id: [byte; 16], span_id: [byte; 8] }
}

// === deadlines ===

fn held(world: &mut World, starts: bool) -> AwuId {
    let awu = id(200);
    let request = Admit { within_ns: Some(10 * SECOND), starts, ..Admit::new(awu, call()) };
    world.apply(Command::Admit(request.into()));
    awu
}

#[test]
fn whose_holder_is_silent_for_too_long_is_released_or_in_doubt_and_never_before() {
    let cases = [(false, "b none: 0 out, 0 used of 10000"), (true, "b none: 0 out, 2000 used of 10000")];
    for (starts, expected) in cases {
        let mut world = world();
        let awu = held(&mut world, starts);
        world.wait(10 * SECOND - 1);
        assert_eq!(world.books.overdue(world.now(), 9), []);
        assert!(world.rejected(Command::Expire { awu }).ends_with("still has time"));
        world.wait(1);
        assert_eq!(world.books.overdue(world.now(), 9), [awu]);
        world.apply(Command::Expire { awu });
        assert_eq!(world.cells("b"), [expected], "started: {starts}");
        assert_eq!(world.books.overdue(world.now(), 9), []);
    }
}

#[test]
fn a_holder_that_asks_in_time_or_late_but_first_has_more_time_from_then() {
    for waits in [9, 12] {
        let mut world = world();
        let awu = held(&mut world, true);
        world.wait(waits * SECOND);
        world.apply(Command::Extend { awu, within_ns: 5 * SECOND });
        world.wait(5 * SECOND - 1);
        assert!(world.rejected(Command::Expire { awu }).ends_with("still has time"), "{waits}");
        world.settle(awu, completed(1, 1));
    }
}

#[test]
fn who_has_no_deadline_never_comes_to_one() {
    let mut world = world();
    let awu = world.runs(&call());
    world.wait(1_000_000 * SECOND);
    for command in [Command::Expire { awu }, Command::Extend { awu, within_ns: 1 }] {
        assert!(world.rejected(command).ends_with("has no deadline: the process that runs it holds it"));
    }
}

// === doubt and late news ===

fn settled(entry: &Entry) -> &Settled {
    match &entry.outcome {
        Outcome::Settled(settled) => settled,
        outcome => panic!("a settlement came to {outcome:?}"),
    }
}

#[test]
fn a_late_settlement_posts_the_difference_and_is_told_as_a_revision() {
    // What it used, what is charged, and whether that is incomplete.
    let cases = [
        ("less than reserved", completed(300, 0), 300, false),
        ("more than reserved", completed(2_500, 0), 2_500, false),
        ("nothing", took(1, Used::Nothing), 0, false),
        ("still nobody knows", took(1, Used::Unknown), 2_000, true),
    ];
    for (what, execution, charged, incomplete) in cases {
        for by_operator in [false, true] {
            let mut world = world();
            let awu = world.runs(&call());
            world.apply(Command::Orphan { awu });
            assert_eq!(world.cells("b"), ["b none: 0 out, 2000 used of 10000"]);
            let execution = execution.clone();
            let entry = world.apply(if by_operator {
                Command::Resolve { awu, execution, act: act() }
            } else {
                Command::Settle { awu, execution }
            });
            assert_eq!(world.cells("b"), [format!("b none: 0 out, {charged} used of 10000")], "{what}");
            let late = settled(&entry).late.as_ref().unwrap();
            let [reserved, actual] = [2_000, charged].map(Amount::from_whole);
            assert_eq!((late.reserved, late.before, late.actual), (reserved, reserved, actual), "{what}");
            assert_eq!(settled(&entry).incomplete, incomplete, "{what}");
            let told: Vec<_> = genops_core::news::events(&entry).iter().map(|event| event.name).collect();
            assert_eq!(told, [genops_core::news::CORRECTION], "{what}");
            let why = world.rejected(Command::Settle { awu, execution: completed(1, 1) });
            assert!(why.contains("is not open"), "{what}: {why}");
        }
    }
}

#[test]
fn a_settlement_in_time_revises_nothing_and_an_operator_resolves_only_what_is_in_doubt() {
    let mut world = world();
    let awu = world.runs(&call());
    let resolve = Command::Resolve { awu, execution: completed(1, 1), act: act() };
    assert!(world.rejected(resolve).contains("is EXECUTING"));
    assert_eq!(settled(&world.settle(awu, completed(1, 1))).late, None);
}

// === corrections ===

/// An AWU that was charged 1,000 tokens: its record, and the correction of so many tokens.
fn charged(world: &mut World) -> (AwuRecord, impl Fn(&str) -> Correction + use<>) {
    let (awu, entry) = world.ask(&call());
    let mut record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
    record.follow(world.settle(awu, completed(1_000, 0)));
    let step = record.cells().first().unwrap().clone();
    let charged_at = record.ending.as_ref().unwrap().at;
    let (attribution, admitted) = (call().attribution, record.sequence);
    let correction = move |tokens: &str| {
        let (amount, before) = (tokens.parse().unwrap(), Amount::from_whole(1_000));
        let actual = before.checked_add(amount).unwrap();
        let (attribution, unit, reserved) = (attribution.clone(), Unit::Tokens, step.amount);
        Correction {
            awu,
            admitted,
            postings: vec![Posting { cell: step.cell, amount, charged_at }],
            revision: Revision { attribution, unit, reserved, before, actual },
            act: act(),
        }
    };
    (record, correction)
}

#[test]
fn a_correction_posts_to_the_cells_and_leaves_nothing_less_than_nothing() {
    for (tokens, expected) in [("-1000", Some(0)), ("-1001", None), ("-1", Some(999)), ("5000", Some(6_000))]
    {
        let mut world = world();
        let (mut record, correction) = charged(&mut world);
        let command = Command::Correct(correction(tokens).into());
        let Some(used) = expected else {
            let why = world.rejected(command);
            assert!(why.contains("less than nothing"), "{why}");
            continue;
        };
        let entry = world.apply(command);
        record.follow(entry.clone());
        assert_eq!(world.cells("b"), [format!("b none: 0 out, {used} used of 10000")]);
        assert_eq!(record.charged_now(0), Some((Amount::from_whole(used), false)));
        assert_eq!(record.charged(0), Some((Amount::from_whole(1_000), false)), "what was told stays");
        let told: Vec<_> = genops_core::news::events(&entry).iter().map(|event| event.name).collect();
        assert_eq!(told, [genops_core::news::CORRECTION]);
    }
}

/// A step that is larger than any work would leave no room to count in, for good.
#[test]
fn no_step_uses_up_what_can_be_counted() {
    let rolling = Period::Rolling { length_ns: 20 * SECOND, parts: 4 };
    let mut world = World::under(policy(rolling, 10_000));
    let used =
        |amount| Execution { quantities: vec![Quantity { unit: Unit::Tokens, amount }], ..completed(0, 0) };
    let too_much = Amount::from_atoms(Amount::STEP_MAX.atoms() + 1);
    for _ in 0..100 {
        let awu = world.runs(&call());
        let why = world.rejected(Command::Settle { awu, execution: used(too_much) });
        assert!(why.starts_with("more of `tokens` is said to have been used"), "{why}");
        world.settle(awu, used(Amount::STEP_MAX));
        world.wait(60 * SECOND);
    }
    let sent = Proposal { quantities: used(too_much).quantities, ..call() };
    let (_, refused) = world.ask(&sent);
    assert_eq!(said(&refused), "BLOCKED ACCOUNTING_INVARIANT_VIOLATION by b");
    world.runs(&call());
}

#[test]
fn a_correction_is_of_what_was_settled_in_each_cell_once() {
    let mut world = world();
    let open = world.runs(&call());
    let (_, correction) = charged(&mut world);
    let good = correction("1");
    let of_open = Correction { awu: open, ..good.clone() };
    assert!(world.rejected(Command::Correct(of_open.into())).contains("has not been settled"));
    let posting = good.postings[0];
    let no_cell = Posting { cell: world.books.next_cell(), ..posting };
    let less = Posting { amount: amount("-1"), ..posting };
    let before = Posting { charged_at: posting.charged_at.minus_nanos(1), ..less };
    let more_and_less = [vec![posting, before], vec![before, posting], vec![less, before, less]];
    let others = [vec![], vec![posting, posting], vec![posting, no_cell], vec![no_cell], vec![less, less]];
    for postings in others.into_iter().chain(more_and_less) {
        let correction = Correction { postings, ..good.clone() };
        assert!(
            world.rejected(Command::Correct(correction.into())).starts_with("the correction does not fit")
        );
    }
    let most = Correction { postings: vec![Posting { amount: Amount::MAX, ..posting }], ..good };
    assert!(world.rejected(Command::Correct(most.into())).contains("more than can be counted"));
}

/// Late news had lowered the charge, so what is left of it stands where it was first charged: a correction takes it from
/// there, and not from what others were charged when the news came.
#[test]
fn a_correction_takes_away_where_the_awu_was_charged_and_not_from_others() {
    let rolling = Period::Rolling { length_ns: 20 * SECOND, parts: 4 };
    let mut world = World::under(policy(rolling, 10_000));
    let (awu, entry) = world.ask(&call());
    let mut record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
    record.follow(world.apply(Command::Orphan { awu }));
    world.wait(10 * SECOND);
    world.ran(&call(), completed(700, 0));
    record.follow(world.settle(awu, completed(300, 0)));
    let (amount, actual) = (amount("-300"), Amount::ZERO);
    let (attribution, before) = (call().attribution, Amount::from_whole(300));
    let correction = Correction {
        awu,
        admitted: record.sequence,
        postings: record.postings(0, amount).unwrap(),
        revision: Revision {
            attribution,
            unit: Unit::Tokens,
            reserved: record.cells()[0].amount,
            before,
            actual,
        },
        act: act(),
    };
    world.apply(Command::Correct(correction.into()));
    world.wait(15 * SECOND);
    assert_eq!(world.cells("b"), ["b rolling 20s: 0 out, 700 used of 10000"]);
}

/// What a correction took, wherever it was booked, a later one gives back; and what is left counts for as long as it would
/// have without either.
#[test]
fn in_a_window_that_moves_a_correction_is_undone_as_a_whole() {
    let rolling = Period::Rolling { length_ns: 20 * SECOND, parts: 4 };
    // What it is corrected to, every ten seconds, and what is used then; the others are charged 700 beside it.
    let cases: [&[(u64, u64)]; 4] = [
        &[(5_000, 5_700), (1_000, 1_700), (1_000, 0)],
        &[(5_000, 5_700), (400, 1_100), (400, 0)],
        // What was added ten seconds later stays for as much longer.
        &[(5_000, 5_700), (2_000, 2_700), (2_000, 1_000)],
        &[(2_000, 2_700), (6_000, 6_700), (1_500, 500)],
    ];
    for case in cases {
        let mut world = World::under(policy(rolling.clone(), 10_000));
        let (mut record, _) = charged(&mut world);
        world.ran(&call(), completed(700, 0));
        for (charged, used) in case {
            world.wait(10 * SECOND);
            let (before, _) = record.charged_now(0).unwrap();
            let actual = Amount::from_whole(*charged);
            if actual != before {
                let correction = Correction {
                    awu: record.id(),
                    admitted: record.sequence,
                    postings: record.postings(0, actual.checked_sub(before).unwrap()).unwrap(),
                    revision: Revision {
                        attribution: call().attribution,
                        unit: Unit::Tokens,
                        reserved: record.cells()[0].amount,
                        before,
                        actual,
                    },
                    act: act(),
                };
                record.follow(world.apply(Command::Correct(correction.into())));
            }
            assert_eq!(record.charged_now(0), Some((actual, false)));
            assert_eq!(world.cells("b"), [format!("b rolling 20s: 0 out, {used} used of 10000")], "{case:?}");
        }
    }
}

// === idempotency ===

fn asks(awu: u8, caller: Option<&str>, key: &str, payload: u8) -> Command {
    let idempotency = Idempotency { key: name(key), payload: Digest::of("payload", &[&[payload]]) };
    let proposal = genops_core::awu::Proposal { key: caller.map(name), ..sized(10, 0) };
    let request = Admit { idempotency: Some(idempotency), ..Admit::new(id(awu), proposal) };
    Command::Admit(request.into())
}

#[test]
fn a_request_that_is_made_again_is_answered_by_its_first_outcome_and_another_with_its_key_never() {
    let mut world = world();
    let first = world.apply(asks(1, None, "k", 1)).sequence;
    let again = format!("its outcome is that of entry {first}");
    let conflict = format!("used for another request, decided by entry {first}; take a new key");
    assert!(world.rejected(asks(2, None, "k", 1)).ends_with(&again));
    assert!(world.rejected(asks(2, None, "k", 2)).ends_with(&conflict));
    // Keys of callers are apart.
    world.apply(asks(2, Some("caller"), "k", 2));
    // It is remembered for sixty seconds, also once the AWU has ended.
    world.apply(Command::Release { awu: id(1) });
    world.wait(60 * SECOND);
    assert!(world.rejected(asks(3, None, "k", 1)).ends_with(&again));
    world.wait(1);
    world.apply(asks(3, None, "k", 2));
    assert!(world.rejected(asks(4, None, "k", 1)).contains("another request"));
}

#[test]
fn a_refusal_is_remembered_as_an_outcome_too() {
    let mut world = World::under(policy(Period::None, 5));
    let entry = world.apply(asks(1, None, "k", 1));
    assert_eq!(said(&entry), "BLOCKED BUDGET_RESERVATION_FAILED by b");
    assert!(world.rejected(asks(2, None, "k", 1)).ends_with(&format!("that of entry {}", entry.sequence)));
}

#[test]
fn a_key_that_says_when_it_was_made_is_not_taken_once_nobody_could_know_whether_it_was_used() {
    // 2022-02-22T19:22:22Z, as in RFC 9562, and the time of the world.
    let dated = |millis: u64| format!("{:08x}-{:04x}-7cc3-98c4-dc0c0c07398f", millis >> 16, millis & 0xffff);
    let mut world = world();
    let now = world.now().nanos() / 1_000_000;
    let cases = [
        (dated(now - 60_001), false),
        (dated(now - 60_000), true),
        (dated(now + 60_000), true),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F".to_owned(), false),
        ("017F22E2-79B0-4CC3-98C4-DC0C0C07398F".to_owned(), true),
    ];
    for (awu, (key, is_taken)) in (1..).zip(cases) {
        if is_taken {
            world.apply(asks(awu, None, &key, 1));
        } else {
            let why = world.rejected(asks(awu, None, &key, 1));
            assert!(why.contains("older than what is remembered"), "{key}: {why}");
        }
    }
}

// === units ===

#[test]
fn a_unit_stands_once_among_the_quantities() {
    let twice = |unit: Unit| {
        let quantity = genops_core::Quantity { unit, amount: Amount::ZERO };
        vec![quantity, quantity]
    };
    let mut world = world();
    let proposal = genops_core::awu::Proposal { quantities: twice(Unit::Usd), ..call() };
    let why = world.rejected(Command::Admit(Admit::new(id(9), proposal).into()));
    assert!(why.starts_with("`USD` stands twice"), "{why}");
    let awu = world.runs(&call());
    let execution = Execution { quantities: twice(Unit::Usd), ..completed(1, 1) };
    assert!(world.rejected(Command::Settle { awu, execution }).starts_with("`USD` stands twice"));
    world.settle(awu, completed(1, 1));
}
