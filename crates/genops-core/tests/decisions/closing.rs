//! Cells of periods that are over leave the books, and what is left goes on as if they were still there.

use std::sync::Arc;

use genops_core::amount::Quantity;
use genops_core::audit::Auditor;
use genops_core::awu::Execution;
use genops_core::budget::Budget;
use genops_core::ledger::{
    self, Books, CellId, CellRange, Command, Correction, Entry, Outcome, Posting, Revision,
};
use genops_core::period::{Period, Span};
use genops_core::policy::{Ceilings, Policy};
use genops_core::selector::Facet;
use genops_core::{Amount, AwuId, Timestamp, Unit};

use super::shares::act;
use super::world::{SECOND, World, amount, call, completed, name, of_customer, said, sized};

const DAY: u64 = 86_400 * SECOND;

const NOTHING: &str = "no cell is there that was over by then and in which nothing is open";

fn close(before: Timestamp) -> Command {
    Command::CloseCells { before, act: act() }
}

fn daily() -> Budget {
    let period = Period::Calendar { span: Span::Day, zone: name("UTC") };
    Budget { period, ..Budget::new(name("day"), Unit::Tokens, Amount::from_whole(3_000)) }
}

/// A budget for each day, one for good, and one that moves; calls are counted in tokens.
fn world() -> World {
    let ever = Budget::new(name("ever"), Unit::Tokens, Amount::from_whole(1_000_000));
    let rolling = Budget {
        period: Period::Rolling { length_ns: 10 * SECOND, parts: 2 },
        ..Budget::new(name("rolling"), Unit::Tokens, Amount::from_whole(3_000))
    };
    let budgets = vec![ever, daily(), rolling];
    World::under(Policy { accounting_unit: Unit::Tokens, budgets, ..Policy::unrestricted() })
}

/// A budget of computing time, of which a call that says nothing of it reserves nothing.
fn in_seconds() -> (World, Unit) {
    let unit = "compute_seconds".parse().unwrap();
    let budgets = vec![Budget { unit, ..daily() }];
    (World::under(Policy { budgets, ..Policy::unrestricted() }), unit)
}

fn numbers(world: &World) -> Vec<u32> {
    world.books.cells_from(CellId::default()).map(|(id, _)| id.number()).collect()
}

/// How many cells an entry closes.
fn closed(entry: &Entry) -> u32 {
    let Outcome::CellsClosed { cells } = &entry.outcome else { panic!("{:?}", entry.outcome) };
    cells.iter().map(|range| range.count).sum()
}

/// A new customer is one more cell for good, if the cells of those who have gone do not leave.
#[test]
fn a_cell_whose_window_has_left_everything_leaves_and_the_next_one_begins_with_nothing() {
    let period = Period::Rolling { length_ns: 10 * SECOND, parts: 2 };
    let budget = Budget {
        each: vec![Facet::CustomerId],
        period,
        ..Budget::new(name("rolling"), Unit::Tokens, Amount::from_whole(3_000))
    };
    let mut world = World::under(Policy {
        accounting_unit: Unit::Tokens,
        budgets: vec![budget],
        ..Policy::unrestricted()
    });
    world.ran(&of_customer("acme"), completed(1_500, 0));
    let zeta = world.runs(&of_customer("zeta"));
    world.wait(5 * SECOND);
    world.ran(&of_customer("nova"), completed(1_500, 0));
    let charged = world.now();
    world.wait(11 * SECOND);
    // What nova was charged counts yet; what zeta reserved will be charged.
    assert_eq!(closed(&world.apply(close(world.now()))), 1);
    assert_eq!(numbers(&world), [1, 2]);
    world.wait(5 * SECOND);
    // Whoever may correct what nova was charged needs the cell.
    assert_eq!(world.rejected(close(charged)), NOTHING);
    assert_eq!(closed(&world.apply(close(charged.plus_nanos(1)))), 1);
    world.settle(zeta, completed(2_000, 0));
    assert_eq!(world.rejected(close(world.now())), NOTHING);
    world.runs(&of_customer("acme"));
    let told = [
        "rolling (zeta) rolling 10s: 0 out, 2000 used of 3000",
        "rolling (acme) rolling 10s: 2000 out, 0 used of 3000",
    ];
    assert_eq!(world.cells("rolling"), told);
    assert_eq!(numbers(&world), [1, 3]);
    // Nothing was ever charged to one whose work was given back, but that is told of it as long as its work is here.
    let opened = world.now();
    let (given_back, _) = world.asks(&of_customer("beta"), false);
    world.apply(Command::Release { awu: given_back });
    world.wait(60 * SECOND);
    assert_eq!(world.rejected(close(opened)), NOTHING);
    assert_eq!(closed(&world.apply(close(opened.plus_nanos(1)))), 2, "those of zeta and of beta");
}

#[test]
fn cells_of_periods_that_are_over_leave_and_their_numbers_are_not_given_again() {
    let mut world = world();
    world.ran(&call(), completed(1_500, 0));
    for _ in 0..2 {
        world.wait(DAY);
        world.ran(&call(), completed(1_000, 0));
    }
    let days = world.cells("day");
    assert_eq!((days.len(), numbers(&world)), (3, vec![0, 1, 2, 3, 4]));
    let others = [world.cells("ever"), world.cells("rolling")];
    let keys: Vec<_> = world.books.cells().iter().map(|cell| cell.key.clone()).collect();

    let entry = world.apply(close(world.now()));
    assert_eq!(closed(&entry), 2);
    assert_eq!(numbers(&world), [0, 2, 4], "the day that runs, and what is never over, stay");
    assert_eq!(world.cells("day"), days[2..]);
    assert_eq!([world.cells("ever"), world.cells("rolling")], others);
    assert!(world.books.is_closed(CellId::new(1)) && !world.books.is_closed(world.books.next_cell()));
    assert_eq!(world.books.find(&keys[1]), None);
    for (number, place) in [(0, 0), (2, 2), (4, 4)] {
        assert_eq!(world.books.find(&keys[place]).unwrap().0, CellId::new(number));
        assert_eq!(world.books.cell(CellId::new(number)).unwrap().key, keys[place]);
    }
    world.wait(DAY);
    world.ran(&call(), completed(700, 0));
    assert_eq!(numbers(&world), [0, 2, 4, 5]);
    assert!(world.cells("day")[1].ends_with("0 out, 700 used of 3000"), "{:?}", world.cells("day"));
    // From each number on, as pages of cells are read.
    for (from, expected) in [(1, &[2, 4, 5][..]), (2, &[2, 4, 5]), (3, &[4, 5]), (5, &[5]), (6, &[])] {
        let page: Vec<_> = world.books.cells_from(CellId::new(from)).map(|(id, _)| id.number()).collect();
        assert_eq!(page, expected, "from {from}");
    }
    assert_eq!(closed(&world.apply(close(world.now()))), 1);
    world.auditor.unwrap().conclude(&world.books).unwrap();
}

#[test]
fn a_cell_stays_as_long_as_an_awu_is_open_in_it_also_one_that_has_reserved_nothing() {
    let (mut world, seconds) = in_seconds();
    let awu = world.runs(&call());
    assert!(world.cells("day")[0].contains("0 out, 0 used"), "{:?}", world.cells("day"));
    world.wait(DAY);
    assert!(world.rejected(close(world.now())).starts_with("no cell is there"));
    let took = Quantity { unit: seconds, amount: amount("0.5") };
    world.settle(awu, Execution { quantities: vec![took], ..completed(1, 1) });
    assert!(world.cells("day")[0].contains("0 out, 0.5 used"), "{:?}", world.cells("day"));

    // In doubt, it is open until somebody knows better.
    let awu = world.runs(&call());
    world.apply(Command::Orphan { awu });
    world.wait(DAY);
    assert_eq!(closed(&world.apply(close(world.now()))), 1, "that of the first day");
    assert_eq!(world.cells("day").len(), 1);
    world.apply(Command::Resolve { awu, execution: completed(10, 10), act: act() });
    assert_eq!(closed(&world.apply(close(world.now()))), 1);
    assert_eq!(world.cells("day"), [""; 0]);
}

#[test]
fn only_what_was_over_by_a_time_that_has_come_is_closed() {
    let mut world = world();
    world.ran(&call(), completed(1, 1));
    let midnight = Timestamp::from_nanos((world.now().nanos() / DAY + 1) * DAY);
    assert_eq!(world.rejected(close(world.now())), NOTHING, "the day has not passed");
    let ahead = world.rejected(close(midnight));
    assert!(ahead.contains("by a time that has come, and 2026-11-19T00:00:00.000Z has not"), "{ahead}");
    world.wait(DAY);
    assert_eq!(
        closed(&world.apply(close(midnight.minus_nanos(1)))),
        1,
        "what moves, and has left everything"
    );
    assert_eq!(numbers(&world), [0, 1], "by then the day was not over");
    assert_eq!(closed(&world.apply(close(midnight))), 1);
    assert_eq!(world.rejected(close(world.now())), NOTHING, "what is never over stays");
}

#[test]
fn what_was_charged_in_a_closed_cell_is_not_corrected_any_more() {
    let mut world = world();
    world.ran(&call(), completed(1_500, 0));
    world.wait(DAY);
    // One token more, as whoever has the invoice says.
    let correct = |before: u64, cells: &[CellId]| {
        let post = |cell: &CellId| Posting {
            cell: *cell,
            amount: Amount::from_whole(1),
            charged_at: Timestamp::default(),
        };
        let revision = Revision {
            attribution: call().attribution,
            unit: Unit::Tokens,
            reserved: Amount::from_whole(2_000),
            before: Amount::from_whole(before),
            actual: Amount::from_whole(before + 1),
        };
        let awu = AwuId { trace_id: [1; 16], span_id: [1; 8] };
        let postings = cells.iter().map(post).collect();
        Command::Correct(Arc::new(Correction { awu, admitted: 2, postings, revision, act: act() }))
    };
    let all = [0, 1, 2].map(CellId::new);
    world.apply(correct(1_500, &all));
    world.apply(close(world.now()));
    let told = world.rejected(correct(1_501, &all));
    assert!(told.contains("cell 1, which is over and archived"), "{told}");
    let unknown = world.rejected(correct(1_501, &[world.books.next_cell()]));
    assert!(unknown.starts_with("the correction does not fit"), "{unknown}");
}

/// Whoever may still correct what was charged there would be told that it is archived.
#[test]
fn an_auditor_finds_a_cell_that_was_closed_although_it_was_in_use_since() {
    // The cell, how long after its use (or after the end of its day) everything before is said to have left, and whether that
    // is right.
    for (number, after, holds) in [(1, 0, true), (1, -1, false), (2, 1, true), (2, 0, false)] {
        let mut world = world();
        world.ran(&call(), completed(1_000, 0));
        let used = world.now().nanos();
        world.wait(DAY);
        let from = if number == 1 { (used / DAY + 1) * DAY } else { used };
        let before = Timestamp::from_nanos(from.checked_add_signed(after).unwrap());
        let entry = Entry {
            sequence: world.books.sequence() + 1,
            at: world.now(),
            command: close(before),
            outcome: Outcome::CellsClosed { cells: vec![CellRange { first: CellId::new(number), count: 1 }] },
        };
        let auditors = [Auditor::over(&world.books), world.auditor.take().unwrap()];
        ledger::evolve(&mut world.books, &entry).unwrap();
        for mut auditor in auditors {
            let told = auditor.follow(&entry, &world.books);
            assert_eq!(told.is_ok(), holds, "cell {number}, {after}: {told:?}");
        }
    }
}

/// No rule is asked when an entry is applied; but one that closes what is still needed contradicts the books, or the list of
/// open AWUs that the auditor keeps for itself.
#[test]
fn an_entry_that_closes_what_is_needed_is_found_out() {
    let mut world = world();
    world.runs(&sized(10, 10));
    world.wait(DAY);
    world.ran(&call(), completed(1, 1));
    let entry = |cells: &[(u32, u32)]| {
        let ranges =
            cells.iter().map(|(first, count)| CellRange { first: CellId::new(*first), count: *count });
        Entry {
            sequence: world.books.sequence() + 1,
            at: world.now(),
            command: close(world.now()),
            outcome: Outcome::CellsClosed { cells: ranges.collect() },
        }
    };
    let cases: [(&str, &[(u32, u32)]); 6] = [
        ("something is outstanding in it", &[(1, 1)]),
        ("it runs", &[(3, 1)]),
        ("it is for good", &[(0, 1)]),
        ("it moves", &[(2, 1)]),
        ("there is none", &[(4, 1)]),
        ("there are not so many", &[(3, u32::MAX)]),
    ];
    for (what, cells) in cases {
        let mut books = world.books.clone();
        assert!(ledger::evolve(&mut books, &entry(cells)).is_err(), "{what}");
    }
    let later = Timestamp::from_nanos(world.now().nanos() + DAY);
    for (cells, fits) in [(&[(3, 1)][..], true), (&[(3, 1), (3, 1)], false), (&[(3, 2)], false)] {
        let mut books = world.books.clone();
        let entry = Entry { at: later, ..entry(cells) };
        assert_eq!(ledger::evolve(&mut books, &entry).is_ok(), fits, "{cells:?}");
    }

    // One that has reserved nothing in a cell is known to the auditor alone.
    let (mut world, _) = in_seconds();
    world.runs(&call());
    world.wait(DAY);
    let entry = Entry {
        sequence: world.books.sequence() + 1,
        at: world.now(),
        command: close(world.now()),
        outcome: Outcome::CellsClosed { cells: vec![CellRange { first: CellId::new(0), count: 1 }] },
    };
    let mut over = Auditor::over(&world.books);
    ledger::evolve(&mut world.books, &entry).unwrap();
    for auditor in [world.auditor.as_mut().unwrap(), &mut over] {
        let found = auditor.follow(&entry, &world.books).unwrap_err().to_string();
        assert!(found.ends_with("cell 0 is closed while an AWU is open in it"), "{found}");
    }
}

#[test]
fn what_is_kept_of_the_books_does_not_grow_with_cells_that_are_closed() {
    let by_customer = Budget { each: vec![Facet::CustomerId], ..daily() };
    let mut world = World::under(Policy {
        budgets: vec![by_customer, Budget { name: name("all"), ..daily() }],
        ..Policy::unrestricted()
    });
    world.auditor = None;
    let mut sizes = Vec::new();
    for _ in 0..60 {
        for customer in ["acme", "zeta", "north"] {
            let (awu, _) = world.ask(&of_customer(customer));
            world.settle(awu, completed(1, 1));
        }
        world.wait(DAY);
        world.apply(close(world.now()));
        assert_eq!(world.books.cells().len(), 1, "the one for all that no budget covers");
        let kept = postcard::to_stdvec(&world.books).unwrap();
        assert_eq!(postcard::from_bytes::<Books>(&kept).unwrap(), world.books);
        sizes.push(kept.len());
    }
    assert_eq!(world.books.next_cell().index(), 1 + 60 * 4);
    // Numbers and sums get longer.
    assert!(sizes[59] < sizes[1] + 40, "{sizes:?}");
}

#[test]
fn cells_that_are_closed_make_place_for_others() {
    let by_customer = Budget { each: vec![Facet::CustomerId], ..daily() };
    let ceilings = Ceilings { cells: 3, ..Ceilings::default() };
    let mut world = World::under(Policy { budgets: vec![by_customer], ceilings, ..Policy::unrestricted() });
    for customer in ["acme", "zeta"] {
        world.ran(&of_customer(customer), completed(1, 1));
    }
    world.wait(DAY);
    assert_eq!(said(&world.ask(&of_customer("acme")).1), "BLOCKED x_too_many_shares by day");
    world.apply(close(world.now()));
    assert_eq!(said(&world.ask(&of_customer("acme")).1), "ALLOWED");
}
