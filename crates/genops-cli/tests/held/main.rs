//! `kill -9` again and again, while processes hold AWUs through the API: each key of a request has exactly one outcome,
//! every process was told the same of it, and the balances are what follows from what was told.
//!
//! Sixteen processes say the same requests with the same keys at the same time, and say each step again until it is
//! answered. They are this program once more, told by a variable that they are one of them ([`caller`]).
//!
//! `GENOPS_CRASH_ROUNDS` says how often (6 unless set), `GENOPS_CRASH_SEED` repeats a run's random choices;
//! which request a kill meets is left to the scheduler all the same.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise, and says what it did"
)]

mod books;
mod caller;
#[path = "../common/process.rs"]
mod process;
mod request;
mod site;
mod tally;

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use caller::Order;
use process::Process;
use request::KEYS;
use site::Site;
use tally::Callers;

/// How many processes there are.
const CALLERS: u64 = 16;

/// After so many answers of a round comes the kill: most of its keys have been used by somebody then, few by everybody.
const ANSWERS: RangeInclusive<u64> = 1..=CALLERS * KEYS;

/// One start in so many is killed before anybody is answered, while it recovers.
const EARLY: u32 = 3;

#[test]
fn no_kill_gives_a_key_two_outcomes_or_tells_two_processes_differently() {
    if let Some(number) = set("GENOPS_HELD_CALLER") {
        return caller::run(number);
    }
    let rounds = set("GENOPS_CRASH_ROUNDS").unwrap_or(6);
    let seed = set("GENOPS_CRASH_SEED").unwrap_or_else(rand::random);
    println!("{rounds} rounds, GENOPS_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let site = Site::new();
    let mut callers = Callers::start(seed);

    let mut early = 0;
    for round in 0..rounds {
        if rng.random_ratio(1, EARLY) {
            kill_while_it_starts(&site, &mut rng);
            early += 1;
        }
        let server = Process::start(site.serve());
        callers.order(&Order { server: round, origin: server.origin(), round, is_last: false });
        callers.await_answers(rng.random_range(ANSWERS));
        // Answers come in batches: the kill is to meet every moment between two.
        std::thread::sleep(Duration::from_micros(rng.random_range(0..20_000)));
        drop(server);
    }
    let server = Process::start(site.serve());
    callers.order(&Order { server: rounds, origin: server.origin(), round: rounds, is_last: true });
    let tally = callers.end();
    server.stop();

    site.runs("verify");
    site.runs("replay");
    let outcomes = tally.outcomes(rounds * KEYS);
    books::check(&site.ledger(), &outcomes);
    println!("{rounds} kills under load, {early} while starting; {tally}");
}

/// Kills a server that nobody calls: while it starts and recovers.
fn kill_while_it_starts(site: &Site, rng: &mut StdRng) {
    let server = Process::start(site.serve());
    std::thread::sleep(Duration::from_millis(rng.random_range(1..100)));
    drop(server);
}

fn set(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}
