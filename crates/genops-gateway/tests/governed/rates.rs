//! Rates from outside: who comes too soon is told when to come again, and nothing is consumed by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use genops_gateway::stand_in::StandIn;
use http::StatusCode;
use tokio::task::JoinSet;

use crate::house::House;
use crate::{BODY, five_hundred_calls};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_too_soon_is_refused_and_told_when_to_come_again() {
    let rates = "rates: [{name: search-hour, for: {team: search}, requests: 60, per: hour, burst: 2}]";
    let house = House::with(StandIn::default(), rates).await;
    for _ in 0..2 {
        assert_eq!(house.chat(BODY).await.status, StatusCode::OK);
    }
    let refused = house.chat(BODY).await;
    assert_eq!(refused.error(), (429, "RATE_LIMITED".to_owned(), String::new()));
    assert_eq!(refused.header("x-genops-result"), "RATE_LIMITED");
    assert_eq!(refused.header("x-genops-reason-code"), "RATE_LIMITED");
    assert_eq!(refused.header("x-should-retry"), "", "waiting helps");
    let wait: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((1..=60_000).contains(&wait), "one a minute: {wait} ms");
    assert_eq!(refused.header("retry-after"), wait.div_ceil(1_000).to_string());
    assert_ne!(refused.header("retry-after"), "0", "earlier does not help");
    let message = refused.json().pointer("/error/message").unwrap().to_string();
    assert!(message.contains("rate `search-hour`"), "{message}");
    assert_eq!(house.reached(), 2);
    let awu = house.ended(&refused).await;
    assert_eq!((awu.state.as_str(), awu.result.as_str()), ("REFUSED", "RATE_LIMITED"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_fifty_lets_exactly_fifty_of_five_hundred_pass() {
    let stand_in = StandIn { delay: Duration::from_millis(5), ..StandIn::default() };
    let rates = "rates: [{name: all-day, requests: 50, per: day}]";
    let (house, answers) = five_hundred_calls(House::with(stand_in, rates).await, BODY).await;
    assert_eq!(answers.get(&(200, String::new())), Some(&50), "{answers:?}");
    assert_eq!(answers.get(&(429, "RATE_LIMITED".to_owned())), Some(&450), "{answers:?}");
    assert_eq!(house.reached(), 50);
    house.close().await;
}

/// Forty requests a second and five at once; sixteen thousand tokens a second and four thousand at once; five in
/// flight.
const THREE_RATES: &str = "rates:
  - {name: requests, requests: 40, per: second, burst: 5}
  - {name: tokens, tokens: 16000, per: second, burst: 4000}
  - {name: calls, in_flight: 5}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_64_callers_every_decision_is_that_of_an_independent_run_over_the_journal() {
    let stand_in = StandIn {
        delay: Duration::from_millis(20),
        completion_tokens: 900,
        varies: true,
        ..StandIn::default()
    };
    let house = Arc::new(House::with(stand_in, THREE_RATES).await);
    let begun = Instant::now();
    // For three seconds, or as long as a busy machine needs for enough of both.
    let (passed, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..64_u64 {
        let (house, passed, refused) = (Arc::clone(&house), Arc::clone(&passed), Arc::clone(&refused));
        let is_enough = move |passed: &AtomicUsize, refused: &AtomicUsize| {
            passed.load(Ordering::Relaxed) > 30 && refused.load(Ordering::Relaxed) > 200
        };
        callers.spawn(async move {
            let mut calls = 0;
            let lasts = |seconds| begun.elapsed() < Duration::from_secs(seconds);
            while lasts(3) || (lasts(60) && !is_enough(&passed, &refused)) {
                let limit = 20 + (caller * 37 + calls * 101) % 900;
                let body = format!(r#"{{"model":"small","max_tokens":{limit},"messages":[{{"role":"user","content":"hi"}}]}}"#);
                let answer = house.chat(&body).await;
                let counted = match answer.status.as_u16() {
                    200 => &passed,
                    429 => &refused,
                    other => panic!("{other}"),
                };
                counted.fetch_add(1, Ordering::Relaxed);
                calls += 1;
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let directory = Arc::into_inner(house).unwrap().close().await;
    let seen = independent::check(&directory.path().join("genops.db"));
    assert!(seen.admitted > 30 && seen.refused > 200, "{seen:?}");
    // Which of them refuses most depends on how fast this machine is.
    let refusing = seen.by_rule.values().filter(|refused| **refused > 0).count();
    assert!(refusing >= 2, "rates refuse now and then: {seen:?}");
}

/// The three rates once more, with arithmetic of their own.
mod independent {
    use std::collections::BTreeMap;
    use std::path::Path;

    use genops_core::awu::Used;
    use genops_core::ledger::{Command, Outcome};
    use genops_core::rate::RateAnswer;
    use genops_core::{AwuId, Timestamp};
    use genops_ledger::Journal;
    use genops_ledger::sqlite::SqliteStore;

    #[derive(Debug, Default)]
    pub struct Seen {
        pub admitted: usize,
        pub refused: usize,
        pub by_rule: BTreeMap<String, usize>,
    }

    const REQUEST: i128 = 25_000_000;
    const TOKEN: i128 = 62_500;
    const TOKENS_AT_ONCE: i128 = 4_000 * TOKEN;
    const CALLS: usize = 5;

    /// What one admitted call holds of the flow of tokens: since when, from, until, in nanoseconds.
    struct Held {
        awu: AwuId,
        at: i128,
        from: i128,
        until: i128,
        tokens: i128,
        is_open: bool,
    }

    #[derive(Default)]
    struct Run {
        requests_until: i128,
        tokens_until: i128,
        held: Vec<Held>,
    }

    impl Run {
        fn in_flight(&self) -> usize {
            self.held.iter().filter(|held| held.is_open).count()
        }

        /// Which of the rates have no room.
        fn without_room(&self, at: i128, tokens: i128) -> Vec<&'static str> {
            let mut without = Vec::new();
            if self.requests_until.max(at) + REQUEST > at + 5 * REQUEST {
                without.push("requests");
            }
            if self.tokens_until.max(at) + tokens * TOKEN > at + TOKENS_AT_ONCE {
                without.push("tokens");
            }
            if self.in_flight() >= CALLS {
                without.push("calls");
            }
            without
        }

        fn admit(&mut self, awu: AwuId, at: i128, tokens: i128) {
            self.requests_until = self.requests_until.max(at) + REQUEST;
            let from = self.tokens_until.max(at);
            let until = from + tokens * TOKEN;
            self.tokens_until = until;
            self.held.push(Held { awu, at, from, until, tokens, is_open: true });
        }

        fn settle(&mut self, awu: AwuId, at: i128, used: i128) {
            let place = self.held.iter().position(|held| held.awu == awu).unwrap();
            let held = &mut self.held[place];
            held.is_open = false;
            // The stand-in does not keep to limits: what it used beyond them has to flow as well.
            self.tokens_until += (used - held.tokens).max(0) * TOKEN;
            let unused = (held.tokens - used).max(0) * TOKEN;
            let back = unused.min(held.until - held.from.max(at)).max(0);
            held.tokens = used.min(held.tokens);
            self.tokens_until -= back;
            for later in &mut self.held[place + 1..] {
                later.from -= back;
                later.until -= back;
            }
        }

        /// In no window are there more requests or tokens than the rates allow.
        fn check_windows(&self) {
            let Some(last) = self.held.last() else { return };
            let (mut requests, mut tokens) = (0, 0);
            for held in self.held.iter().rev() {
                requests += 1;
                tokens += held.tokens;
                let window = last.at - held.at;
                assert!(requests * REQUEST <= 5 * REQUEST + window, "{requests} requests in {window} ns");
                assert!(tokens * TOKEN <= TOKENS_AT_ONCE + window, "{tokens} tokens in {window} ns");
            }
        }
    }

    fn nanos(at: Timestamp) -> i128 {
        i128::from(at.nanos())
    }

    pub fn check(ledger: &Path) -> Seen {
        let mut journal = Journal::new(Box::new(SqliteStore::read(ledger).unwrap()));
        let (mut run, mut seen, mut sequence) = (Run::default(), Seen::default(), 0);
        seen.by_rule = ["requests", "tokens", "calls"].map(|rule| (rule.to_owned(), 0)).into();
        loop {
            let entries = journal.after(sequence).unwrap();
            let Some(last) = entries.last() else { return seen };
            sequence = last.entry.sequence;
            for entry in entries.into_iter().map(|journaled| journaled.entry) {
                let at = nanos(entry.at);
                match (entry.command, entry.outcome) {
                    (Command::Admit(request), outcome) => {
                        let tokens = i128::from(request.proposal.bound.total().unwrap());
                        let without = run.without_room(at, tokens);
                        let ruling = match &outcome {
                            Outcome::Admitted(admitted) => admitted.ruling(),
                            Outcome::Refused(refused) => &refused.ruling,
                            other => panic!("{other:?}"),
                        };
                        let refused = ruling.rates.iter().filter(|step| !step.answer.has_room());
                        let refused: Vec<_> = refused.map(|step| step.key.rule.to_string()).collect();
                        assert_eq!(refused, without, "entry {}", entry.sequence);
                        if without.is_empty() {
                            assert!(matches!(outcome, Outcome::Admitted(_)), "entry {}", entry.sequence);
                            run.admit(request.awu, at, tokens);
                            run.check_windows();
                            seen.admitted += 1;
                        } else {
                            assert!(matches!(outcome, Outcome::Refused(_)), "entry {}", entry.sequence);
                            seen.refused += 1;
                            without.iter().for_each(|rule| *seen.by_rule.get_mut(*rule).unwrap() += 1);
                        }
                        for step in &ruling.rates {
                            if let RateAnswer::Wait(until) = step.answer {
                                assert!(nanos(until) > at, "a wait into the past");
                            }
                        }
                    }
                    (Command::Settle { awu, execution }, _) => {
                        let Used::Reported(used) = execution.used else { panic!("{execution:?}") };
                        run.settle(awu, at, i128::from(used.total().unwrap()));
                    }
                    (Command::AdoptPolicy(_), _) => {}
                    (command, _) => panic!("{command:?}"),
                }
            }
        }
    }
}
