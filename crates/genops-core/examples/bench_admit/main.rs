//! How long the pure part of a decision takes under one policy, for `cargo xtask bench admit`.
//!
//! `bench_admit SHAPE BUDGETS ROUNDS` prints a line for each round: nanoseconds for a decision (`decide`), for a decision
//! that is taken into the books (`apply`), and for putting the policy in force (`InForce::new`). `bench_admit SHAPE
//! BUDGETS decide N` only decides N times, for a counter of instructions. Nothing is compared here; the policies and
//! calls are in `house`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal: figures on standard output, trouble on standard error"
)]

mod house;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use genops_core::Timestamp;
use genops_core::awu::{AwuId, End, Execution, Used};
use genops_core::ledger::{self, Admit, Books, Command, Outcome};
use genops_core::policy::{InForce, Policy};
use genops_core::price::Tokens;

use house::{MATCHING, Shape, Who};

type Trouble = Box<dyn std::error::Error>;

const USAGE: &str = "usage: bench_admit mixed|shared|grid|cube BUDGETS ROUNDS, or … BUDGETS decide N";

/// Calls in one measurement; each is of another customer, and none of the budgets that do not match is that customer's.
const CALLS: usize = 1_024;

/// Calls that are in flight all the time.
const IN_FLIGHT: usize = 256;

/// Between two calls, in nanoseconds.
const PAUSE: u64 = 1_000_000;

/// In the middle of a month.
const START: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Trouble> {
    let (shape, budgets) = match words {
        [shape, budgets, _] | [shape, budgets, "decide", _] => (shape.parse()?, budgets.parse()?),
        _ => return Err(USAGE.into()),
    };
    let mut bench = Bench::new(shape, budgets)?;
    match words {
        [_, _, "decide", times] => bench.decide(times.parse()?),
        [_, _, rounds] => (0..rounds.parse()?).try_for_each(|_: u32| bench.round()),
        _ => Err(USAGE.into()),
    }
}

struct Bench {
    books: Books,
    policy: Arc<Policy>,
    now: Timestamp,
    /// AWUs so far.
    awus: u64,
}

impl Bench {
    /// Books under a policy in which every budget has been used, and the calls of `IN_FLIGHT` customers are in flight.
    fn new(shape: Shape, budgets: usize) -> Result<Self, Trouble> {
        let policy = Arc::new(house::policy(shape, budgets)?);
        let mut bench = Self { books: Books::default(), policy: Arc::clone(&policy), now: START, awus: 0 };
        bench.apply(Command::AdoptPolicy(policy))?;
        for at in 0..budgets {
            let visit = bench.admission(&shape.visitor(at))?;
            bench.apply(visit.clone())?;
            bench.settle(&visit)?;
        }
        // So that the tiers know how long calls of each model take.
        for call in bench.calls()? {
            bench.apply(call.clone())?;
            bench.settle(&call)?;
        }
        for call in bench.calls()?.into_iter().take(IN_FLIGHT) {
            bench.apply(call)?;
        }
        Ok(bench)
    }

    fn round(&mut self) -> Result<(), Trouble> {
        let calls = self.calls()?;
        let (decide, outcomes) = timed(|| {
            calls
                .iter()
                .map(|call| ledger::decide(&self.books, self.now, black_box(call)))
                .collect::<Vec<_>>()
        });
        for outcome in outcomes {
            require_full(&outcome?)?;
        }
        let mut now = self.now;
        let (apply, entries) = timed(|| {
            let apply = |call: &Command| {
                now = now.plus_nanos(PAUSE);
                ledger::apply(&mut self.books, now, black_box(call).clone())
            };
            calls.iter().map(apply).collect::<Vec<_>>()
        });
        self.now = now;
        for (call, entry) in calls.iter().zip(entries) {
            require_full(&entry?.outcome)?;
            self.settle(call)?;
        }
        let policy = Policy::clone(&self.policy);
        let (adopt, in_force) = timed(|| InForce::new(black_box(policy)));
        drop(black_box(in_force));
        let each = |all: Duration| all.as_secs_f64() * 1e9 / CALLS as f64;
        println!("{:.1} {:.1} {:.1}", each(decide), each(apply), adopt.as_secs_f64() * 1e9);
        Ok(())
    }

    fn decide(&mut self, times: usize) -> Result<(), Trouble> {
        let calls = self.calls()?;
        for call in calls.iter().cycle().take(times) {
            require_full(&ledger::decide(&self.books, self.now, black_box(call))?)?;
        }
        Ok(())
    }

    fn calls(&mut self) -> Result<Vec<Command>, Trouble> {
        (0..CALLS).map(|customer| self.admission(&Who::customer(customer))).collect()
    }

    /// An admission that has not been asked for before.
    fn admission(&mut self, who: &Who) -> Result<Command, Trouble> {
        self.awus += 1;
        let trace_id = u128::from(self.awus) | (7 << 64);
        let awu = AwuId { trace_id: trace_id.to_be_bytes(), span_id: self.awus.to_be_bytes() };
        let assessed_under = Some(self.books.policy_version());
        Ok(Command::Admit(Arc::new(Admit { assessed_under, starts: true, ..Admit::new(awu, who.asks()?) })))
    }

    fn settle(&mut self, admission: &Command) -> Result<(), Trouble> {
        let Command::Admit(request) = admission else { return Err("only admissions settle".into()) };
        let used = Used::Reported(Tokens::new(1_100, 300));
        let execution = Execution { end: End::Completed, used, ..Execution::abandoned(900_000_000) };
        self.apply(Command::Settle { awu: request.awu, execution })
    }

    fn apply(&mut self, command: Command) -> Result<(), Trouble> {
        self.now = self.now.plus_nanos(PAUSE);
        let entry = ledger::apply(&mut self.books, self.now, command)?;
        match entry.outcome {
            Outcome::Refused(refused) => {
                Err(format!("a call was refused: {:?}", refused.ruling.decision).into())
            }
            _ => Ok(()),
        }
    }
}

/// What is measured has to be an admission that went the whole way.
fn require_full(outcome: &Outcome) -> Result<(), Trouble> {
    match outcome {
        Outcome::Admitted(admitted) if admitted.path().len() == MATCHING => Ok(()),
        other => Err(format!("not an admission into {MATCHING} budgets: {other:?}").into()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock is read beside the decision, which gets its time as an argument"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = std::time::Instant::now();
    let done = black_box(work());
    (begun.elapsed(), done)
}
