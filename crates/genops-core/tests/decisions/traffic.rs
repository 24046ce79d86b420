//! Questions that the traffic before answers: circuits, rates, latency targets.

use genops_core::awu::{AwuId, End, Execution, Failure, Proposal, Used};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::ledger::{Command, Outcome};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};

use super::world::{
    ALLOWED, Answer, Line, SECOND, World, amount, answer, call, check, completed, failed, name, nothing,
    of_customer, refused, said, sized, team, took,
};

// === circuits ===

fn circuit(mode: Mode) -> Policy {
    let rule = CircuitRule { provider: name("upstream"), failures: 3, open_for_ns: 30 * SECOND, mode };
    Policy { circuits: vec![rule], ..Policy::unrestricted() }
}

fn fail(world: &mut World, times: usize) {
    // Begun before the first of them ends.
    let calls: Vec<_> = (0..times).map(|_| world.runs(&call())).collect();
    for awu in calls {
        world.settle(awu, failed(Failure::Status(503)));
    }
}

#[test]
fn a_provider_that_failed_again_and_again_is_left_alone_for_a_while() {
    let down = refused("BLOCKED PROVIDER_ERROR_UPSTREAM by upstream");
    let passed = answer("WARNING PROVIDER_ERROR_UPSTREAM by upstream (observed)", "unbudgeted +0.002 USD");
    let tried = answer("ALLOWED", "unbudgeted +0.002 USD, circuit tried");
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    check(
        circuit,
        &[
            line("closed", &nothing, ALLOWED, ALLOWED),
            line("two failures", &|world| fail(world, 2), ALLOWED, ALLOWED),
            line("three failures", &|world| fail(world, 3), down, passed),
            line(
                "just before the end",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND - 1);
                },
                down,
                passed,
            ),
            line(
                "at the end: one may try",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND);
                },
                tried,
                tried,
            ),
            line(
                "and only one",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND);
                    world.runs(&call());
                    world.wait(SECOND);
                },
                down,
                passed,
            ),
            line(
                "the next where the one never ended",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND);
                    world.runs(&call());
                    world.wait(30 * SECOND);
                },
                tried,
                tried,
            ),
            line(
                "the one failed: as long again from then",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND);
                    let awu = world.runs(&call());
                    world.wait(SECOND);
                    world.settle(awu, failed(Failure::Timeout));
                    world.wait(30 * SECOND - 1);
                },
                down,
                passed,
            ),
            line(
                "healed by one that succeeds",
                &|world| {
                    fail(world, 3);
                    world.wait(30 * SECOND);
                    world.ran(&call(), completed(1, 1));
                },
                ALLOWED,
                ALLOWED,
            ),
            line(
                "healed by a call from before",
                &|world| {
                    let slow = world.runs(&call());
                    fail(world, 3);
                    world.settle(slow, completed(1, 1));
                },
                ALLOWED,
                ALLOWED,
            ),
            line(
                "a success between",
                &|world| {
                    fail(world, 2);
                    world.ran(&call(), completed(1, 1));
                    fail(world, 2);
                },
                ALLOWED,
                ALLOWED,
            ),
            line(
                "what says neither",
                &|world| {
                    fail(world, 2);
                    world.ran(&call(), failed(Failure::Status(429)));
                    world.ran(&call(), Execution { end: End::Cancelled, ..Execution::abandoned(1) });
                    fail(world, 1);
                },
                down,
                passed,
            ),
        ],
    );
    let elsewhere = Proposal { provider: Some(name("elsewhere")), ..call() };
    let others = Line {
        what: "another provider",
        before: &|world| fail(world, 3),
        call: elsewhere,
        enforced: ALLOWED,
        observed: ALLOWED,
    };
    check(circuit, &[others]);
}

// === rates ===

/// A call that goes on.
fn one(world: &mut World) {
    world.runs(&call());
}

fn two(world: &mut World) -> [AwuId; 2] {
    [world.runs(&call()), world.runs(&call())]
}

fn rate(called: &str, each: &[Facet], limit: RateLimit, mode: Mode) -> RateRule {
    RateRule { name: name(called), selector: Selector::default(), each: each.to_vec(), limit, mode }
}

fn flow(measure: Measure, so_much: &str, per: Per, burst: &str) -> RateLimit {
    RateLimit::Flow(Flow { measure, amount: amount(so_much), per, burst: amount(burst) })
}

fn only(rate: RateRule) -> Policy {
    Policy { rates: vec![rate], ..Policy::unrestricted() }
}

fn line<'a>(
    what: &'static str,
    before: &'a dyn Fn(&mut World),
    call: Proposal,
    enforced: Answer,
    observed: Answer,
) -> Line<'a> {
    Line { what, before, call, enforced, observed }
}

#[test]
fn a_rate_of_requests_admits_a_burst_and_then_evenly() {
    let policy = |mode| only(rate("r", &[], flow(Measure::Requests, "2", Per::Second, "2"), mode));
    let taken = answer("ALLOWED", "unbudgeted +0.002 USD, r +500 ms");
    let passed = answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002 USD");
    check(
        policy,
        &[
            line("first", &nothing, call(), taken, taken),
            line(
                "after the burst",
                &|world| {
                    world.runs(&call());
                    world.runs(&call());
                },
                call(),
                refused("RATE_LIMITED RATE_LIMITED by r, again in 500 ms"),
                passed,
            ),
            line(
                "that a call has ended changes nothing",
                &|world| {
                    world.ran(&call(), completed(1, 1));
                    world.ran(&call(), failed(Failure::Unreachable));
                },
                call(),
                refused("RATE_LIMITED RATE_LIMITED by r, again in 500 ms"),
                passed,
            ),
            line(
                "when it was said to come again",
                &|world| {
                    world.runs(&call());
                    world.runs(&call());
                    world.wait(SECOND / 2);
                },
                call(),
                taken,
                taken,
            ),
            line(
                "a nanosecond before",
                &|world| {
                    world.runs(&call());
                    world.runs(&call());
                    world.wait(SECOND / 2 - 1);
                },
                call(),
                refused("RATE_LIMITED RATE_LIMITED by r, again in 0.000001 ms"),
                passed,
            ),
            line(
                "what was refused has taken nothing",
                &|world| {
                    world.runs(&call());
                    world.runs(&call());
                    (0..5).for_each(|_| drop(world.ask(&call())));
                    world.wait(SECOND / 2);
                },
                call(),
                taken,
                taken,
            ),
        ],
    );
}

#[test]
fn a_rate_of_tokens_takes_what_is_reserved_and_gets_back_what_was_not_used() {
    // 2,000 tokens take two seconds, and so many are a burst.
    let policy = |mode| only(rate("r", &[], flow(Measure::Tokens, "1000", Per::Second, "2000"), mode));
    let taken = answer("ALLOWED", "unbudgeted +0.002 USD, r +2000 ms");
    let passed = answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002 USD");
    let limited = |said| (refused(said), passed);
    let line = |what, before, (enforced, observed)| Line { what, before, call: call(), enforced, observed };
    check(
        policy,
        &[
            line("first", &nothing, (taken, taken)),
            line("after the burst", &one, limited("RATE_LIMITED RATE_LIMITED by r, again in 2000 ms")),
            line(
                "half of it was used, and the rest is there at once",
                &|world| world.ran(&call(), completed(500, 500)),
                limited("RATE_LIMITED RATE_LIMITED by r, again in 1000 ms"),
            ),
            line(
                "what has flowed is not given back",
                &|world| {
                    let awu = world.runs(&call());
                    world.wait(3 * SECOND / 2);
                    world.settle(awu, completed(0, 0));
                },
                (taken, taken),
            ),
            line(
                "nothing was sent",
                &|world| world.ran(&call(), failed(Failure::Unreachable)),
                (taken, taken),
            ),
            line(
                "nobody knows what was used",
                &|world| world.ran(&call(), took(1, Used::Unknown)),
                limited("RATE_LIMITED RATE_LIMITED by r, again in 2000 ms"),
            ),
            line(
                "more was used than reserved",
                &|world| {
                    let awu = world.runs(&sized(500, 0));
                    world.settle(awu, completed(500, 500));
                },
                limited("RATE_LIMITED RATE_LIMITED by r, again in 1000 ms"),
            ),
        ],
    );
    let (never, passed) = (
        refused("RATE_LIMITED RATE_LIMITED by r, waiting does not help"),
        answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002001 USD"),
    );
    let too_much = Line {
        what: "too much",
        before: &nothing,
        call: sized(1_000, 1_001),
        enforced: never,
        observed: passed,
    };
    check(policy, &[too_much]);
}

#[test]
fn a_rate_of_dollars_counts_what_a_call_may_cost() {
    let policy = |mode| only(rate("r", &[], flow(Measure::Usd, "0.001", Per::Second, "0.003"), mode));
    let dear = Proposal { price: Some(Price::flat(name("row"), amount("1"), amount("3"))), ..call() };
    let unpriced = Proposal { price: None, ..call() };
    let free = answer("WARNING x_unpriced_model by nobody's rule (observed)", "unbudgeted +0 USD");
    check(
        policy,
        &[
            line(
                "first",
                &nothing,
                call(),
                answer("ALLOWED", "unbudgeted +0.002 USD, r +2000 ms"),
                answer("ALLOWED", "unbudgeted +0.002 USD, r +2000 ms"),
            ),
            line(
                "no room for the second",
                &one,
                call(),
                refused("RATE_LIMITED RATE_LIMITED by r, again in 1000 ms"),
                answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002 USD"),
            ),
            line(
                "dearer than the burst",
                &nothing,
                dear,
                refused("RATE_LIMITED RATE_LIMITED by r, waiting does not help"),
                answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.004 USD"),
            ),
        ],
    );
    let observing = |mode| Policy { mode: Mode::Observe, ..policy(mode) };
    // It takes a stretch of no length, from now.
    let free = Answer { changed: "unbudgeted +0 USD, r +0 ms", ..free };
    check(observing, &[line("no price is known", &nothing, unpriced, free, free)]);
}

#[test]
fn calls_in_flight_are_awus_that_have_not_ended() {
    let policy = |mode| only(rate("r", &[], RateLimit::InFlight { calls: 2 }, mode));
    let second = answer("ALLOWED", "unbudgeted +0.002 USD, r 2 in flight");
    let full = refused("RATE_LIMITED RATE_LIMITED by r, waiting does not help");
    let passed = answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002 USD");
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    check(
        policy,
        &[
            line("one is in flight", &one, second, second),
            line(
                "two are",
                &|world| {
                    two(world);
                },
                full,
                passed,
            ),
            line(
                "two are, for a day",
                &|world| {
                    two(world);
                    world.wait(86_400 * SECOND);
                },
                full,
                passed,
            ),
            line(
                "one has settled",
                &|world| {
                    let [first, _] = two(world);
                    world.settle(first, completed(1, 1));
                },
                second,
                second,
            ),
            line(
                "one is in doubt",
                &|world| {
                    let [first, _] = two(world);
                    world.orphan(first);
                },
                second,
                second,
            ),
            line(
                "one was released",
                &|world| {
                    world.runs(&call());
                    let reserved = world.reserves(&call());
                    world.release(reserved);
                },
                second,
                second,
            ),
            line(
                "what was refused, or only observed, has taken no place",
                &|world| {
                    let [first, _] = two(world);
                    (0..3).for_each(|_| drop(world.ask(&call())));
                    world.settle(first, completed(1, 1));
                },
                second,
                second,
            ),
        ],
    );
}

#[test]
fn each_customer_has_a_rate_of_its_own_and_those_without_a_name_share_one() {
    let each = [Facet::CustomerId, Facet::Model];
    let policy = |mode| only(rate("r", &each, flow(Measure::Requests, "1", Per::Second, "1"), mode));
    let before = |world: &mut World| {
        world.runs(&of_customer("acme"));
        world.runs(&call());
    };
    let elsewhere = Proposal { model: Some(name("other")), ..of_customer("acme") };
    let limited = refused("RATE_LIMITED RATE_LIMITED by r, again in 1000 ms");
    let passed = answer("WARNING RATE_LIMITED by r (observed)", "unbudgeted +0.002 USD");
    let zeta = answer("ALLOWED", "unbudgeted +0.002 USD, r (zeta, large) +1000 ms");
    let other = answer("ALLOWED", "unbudgeted +0.002 USD, r (acme, other) +1000 ms");
    check(
        policy,
        &[
            line("the same", &before, of_customer("acme"), limited, passed),
            line("another", &before, of_customer("zeta"), zeta, zeta),
            line("another model", &before, elsewhere, other, other),
            line("nobody's", &before, call(), limited, passed),
        ],
    );
}

#[test]
fn of_several_rates_the_first_refuses_and_the_last_to_have_room_says_when_to_come_again() {
    let requests = |called: &str, so_much, per, mode| {
        rate(called, &[], flow(Measure::Requests, so_much, per, "1"), mode)
    };
    let policy = |mode| Policy {
        rates: vec![
            requests("a second", "1", Per::Second, mode),
            requests("a minute", "1", Per::Minute, mode),
            requests("a tenth", "10", Per::Second, mode),
        ],
        ..Policy::unrestricted()
    };
    let all = "unbudgeted +0.002 USD, a second +1000 ms, a minute +60000 ms, a tenth +100 ms";
    check(
        policy,
        &[
            line("all have room", &nothing, call(), answer("ALLOWED", all), answer("ALLOWED", all)),
            line(
                "none has",
                &one,
                call(),
                refused("RATE_LIMITED RATE_LIMITED by a second, again in 60000 ms"),
                answer("WARNING RATE_LIMITED by a second (observed)", "unbudgeted +0.002 USD"),
            ),
            line(
                "one has not",
                &|world| {
                    one(world);
                    world.wait(2 * SECOND);
                },
                call(),
                refused("RATE_LIMITED RATE_LIMITED by a minute, again in 58000 ms"),
                answer(
                    "WARNING RATE_LIMITED by a minute (observed)",
                    "unbudgeted +0.002 USD, a second +1000 ms, a tenth +100 ms",
                ),
            ),
        ],
    );
    let with_flight = |mode| Policy {
        rates: vec![
            requests("a second", "1", Per::Second, mode),
            rate("f", &[], RateLimit::InFlight { calls: 1 }, mode),
        ],
        ..Policy::unrestricted()
    };
    let full = Line {
        what: "and one is full",
        before: &one,
        call: call(),
        enforced: refused("RATE_LIMITED RATE_LIMITED by a second, waiting does not help"),
        observed: answer("WARNING RATE_LIMITED by a second (observed)", "unbudgeted +0.002 USD"),
    };
    check(with_flight, &[full]);
}

/// A rate that only observes refuses nobody, now or later.
#[test]
fn when_to_come_again_is_said_by_the_rates_that_refuse() {
    let requests = |called: &str, per, mode| rate(called, &[], flow(Measure::Requests, "1", per, "1"), mode);
    let flight = |mode| rate("flight", &[], RateLimit::InFlight { calls: 1 }, mode);
    let a_second = || requests("a second", Per::Second, Mode::Enforce);
    let cases = [
        ("a slower one observes", vec![requests("a day", Per::Day, Mode::Observe), a_second()]),
        ("a slower one behind it observes", vec![a_second(), requests("a day", Per::Day, Mode::Observe)]),
        ("a full one observes", vec![flight(Mode::Observe), a_second()]),
        ("a full one behind it observes", vec![a_second(), flight(Mode::Observe)]),
    ];
    for (what, rates) in cases {
        let mut world = World::under(Policy { rates, ..Policy::unrestricted() });
        one(&mut world);
        let (_, entry) = world.ask(&call());
        assert_eq!(said(&entry), "RATE_LIMITED RATE_LIMITED by a second, again in 1000 ms", "{what}");
    }
}

/// Whoever comes when they were told to, and nobody else came, is not refused by a rate again; whatever was used
/// before.
#[test]
fn a_rate_keeps_its_word_about_when_to_come_again() {
    type Past = fn(&mut World);
    let tokens =
        |so_much: &str, per| only(rate("r", &[], flow(Measure::Tokens, so_much, per, "2000"), Mode::Enforce));
    let cases: [(&str, Past, Policy); 2] = [
        ("within its reservation", one, tokens("1000", Per::Second)),
        (
            "ten bursts beyond its reservation",
            |world| world.ran(&call(), completed(1_000, 20_000)),
            tokens("1000", Per::Second),
        ),
    ];
    for (what, past, policy) in cases {
        let mut world = World::under(policy);
        past(&mut world);
        world.adopt(tokens("1000", Per::Second));
        let (_, entry) = world.ask(&call());
        let Outcome::Refused(refused) = &entry.outcome else {
            panic!("{what}: {}", said(&entry));
        };
        let earliest = refused.earliest().unwrap();
        world.wait(earliest.nanos_since(world.now()));
        let (_, again) = world.ask(&call());
        assert_eq!(said(&again), "ALLOWED", "{what}: first {}", said(&entry));
    }
}

#[test]
fn a_rate_that_was_made_faster_does_not_keep_the_debt_of_the_slow_one() {
    let rate = |so_much, per, burst| {
        only(rate("r", &[], flow(Measure::Requests, so_much, per, burst), Mode::Enforce))
    };
    let mut world = World::under(rate("1", Per::Day, "1"));
    world.runs(&call());
    world.adopt(rate("600", Per::Minute, "20"));
    // As if the burst had just been used, at the worst: two seconds bring it back.
    world.wait(2 * SECOND);
    assert_eq!(said(&world.ask(&call()).1), "ALLOWED");
}

#[test]
fn a_call_that_costs_nothing_forgives_no_debt() {
    let mut world =
        World::under(only(rate("r", &[], flow(Measure::Tokens, "1000", Per::Second, "2000"), Mode::Enforce)));
    world.ran(&call(), completed(1_000, 20_000));
    let key = world.books.policy().rates[0].key(&call());
    let before = world.books.flow_until(&key);
    world.ask(&sized(0, 0));
    assert_eq!(world.books.flow_until(&key), before);
}

// === latency targets ===

fn tier(
    called: &str,
    selector: Selector,
    target_ms: u64,
    expected_miss: ExpectedMiss,
    mode: Mode,
) -> SlaRule {
    SlaRule { name: name(called), selector, target_ms, first_token_target_ms: None, expected_miss, mode }
}

/// So many calls that took so long.
fn ran(world: &mut World, times: usize, millis: u64) {
    (0..times).for_each(|_| world.ran(&call(), took(millis, Used::Reported(Tokens::new(1, 1)))));
}

fn slow(world: &mut World) {
    ran(world, 4, 101);
    world.wait(SECOND);
}

#[test]
fn a_target_that_is_expected_to_be_missed_warns_or_refuses_and_probes() {
    let policy = |expected_miss| {
        move |mode| Policy {
            slas: vec![
                tier("of ads", team("ads"), 1, ExpectedMiss::Refuse, Mode::Enforce),
                tier("fast", Selector::default(), 100, expected_miss, mode),
                tier("never asked", Selector::default(), 1, ExpectedMiss::Refuse, Mode::Enforce),
            ],
            ..Policy::unrestricted()
        }
    };
    let fine = answer("ALLOWED", "unbudgeted +0.002 USD, tier asked");
    let unchanged = answer("ALLOWED", "unbudgeted +0.002 USD");
    let warned = answer("WARNING SLA_LATENCY_VIOLATION by fast", "unbudgeted +0.002 USD, tier asked");
    let passed =
        answer("WARNING SLA_LATENCY_VIOLATION by fast (observed)", "unbudgeted +0.002 USD, tier asked");
    let down = refused("BLOCKED SLA_LATENCY_VIOLATION by fast");
    let line = |what, before, enforced, observed| Line { what, before, call: call(), enforced, observed };
    let known = [
        line("nothing is known", &nothing, fine, fine),
        line("too little is known", &|world| ran(world, 3, 101), unchanged, unchanged),
        line("on target, to the millisecond", &|world| ran(world, 4, 100), unchanged, unchanged),
        line(
            "most were in time",
            &|world| {
                ran(world, 4, 100);
                ran(world, 3, 500);
                world.wait(1);
            },
            fine,
            fine,
        ),
        line(
            "it was long ago",
            &|world| {
                ran(world, 4, 101);
                world.wait(600 * SECOND + 1);
            },
            fine,
            fine,
        ),
        line(
            "it has healed",
            &|world| {
                slow(world);
                world.wait(9 * SECOND);
                // Let through, one after the other.
                for _ in 0..4 {
                    ran(world, 1, 20);
                    world.wait(10 * SECOND);
                }
            },
            fine,
            fine,
        ),
    ];
    check(policy(ExpectedMiss::Warn), &known);
    check(policy(ExpectedMiss::Refuse), &known);
    check(
        policy(ExpectedMiss::Warn),
        &[
            line("slow", &slow, warned, warned),
            line(
                "slow by one that came too late",
                &|world| {
                    ran(world, 3, 101);
                    world.ran(&call(), Execution { latency_ns: 101_000_000, ..failed(Failure::Timeout) });
                    world.wait(SECOND);
                },
                warned,
                warned,
            ),
        ],
    );
    check(
        policy(ExpectedMiss::Refuse),
        &[
            line("slow", &slow, down, passed),
            line(
                "slow, and due a probe",
                &|world| {
                    slow(world);
                    world.wait(9 * SECOND);
                },
                warned,
                warned,
            ),
            line(
                "slow, just before",
                &|world| {
                    slow(world);
                    world.wait(9 * SECOND - 1);
                },
                down,
                passed,
            ),
            line(
                "after the probe",
                &|world| {
                    slow(world);
                    world.wait(9 * SECOND);
                    world.runs(&call());
                    world.wait(10 * SECOND - 1);
                },
                down,
                passed,
            ),
        ],
    );
}

#[test]
fn calls_are_expected_to_take_as_long_as_calls_like_them() {
    let policy = |mode| Policy {
        slas: vec![tier("fast", Selector::default(), 100, ExpectedMiss::Refuse, mode)],
        ..Policy::unrestricted()
    };
    let fine = answer("ALLOWED", "unbudgeted +0.002 USD, tier asked");
    let down = refused("BLOCKED SLA_LATENCY_VIOLATION by fast");
    let passed = |changed| answer("WARNING SLA_LATENCY_VIOLATION by fast (observed)", changed);
    let free = |proposal: Proposal| Proposal {
        price: Some(Price::flat(name("row"), amount("0"), amount("0"))),
        ..proposal
    };
    let sized_fine = answer("ALLOWED", "unbudgeted +0 USD, tier asked");
    check(
        policy,
        &[
            line("the same", &slow, call(), down, passed("unbudgeted +0.002 USD, tier asked")),
            line("of another model", &slow, Proposal { model: Some(name("other")), ..call() }, fine, fine),
            line(
                "of another provider",
                &slow,
                Proposal { provider: Some(name("other")), ..call() },
                fine,
                fine,
            ),
            // Classes of size are 1,024 to 4,095 tokens and so on, four times as many each.
            line("as large", &slow, free(sized(1_024, 0)), down, passed("tier asked")),
            line("as large, at the other end", &slow, free(sized(4_095, 0)), down, passed("tier asked")),
            line(
                "smaller",
                &slow,
                free(sized(1_023, 0)),
                Answer { changed: "tier asked", ..sized_fine },
                Answer { changed: "tier asked", ..sized_fine },
            ),
            line(
                "larger",
                &slow,
                free(sized(4_096, 0)),
                Answer { changed: "tier asked", ..sized_fine },
                Answer { changed: "tier asked", ..sized_fine },
            ),
        ],
    );
}

impl World {
    fn reserves(&mut self, proposal: &Proposal) -> AwuId {
        self.asks(proposal, false).0
    }

    fn release(&mut self, awu: AwuId) {
        self.apply(Command::Release { awu });
    }

    fn orphan(&mut self, awu: AwuId) {
        self.apply(Command::Orphan { awu });
    }
}
