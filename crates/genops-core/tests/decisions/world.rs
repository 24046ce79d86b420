//! A ledger to ask questions of, and a table of questions: what was before, what is asked, what the answer has to be,
//! and what has to have changed in the books. Decides nothing.

use std::sync::Arc;

use genops_core::admit::Ruling;
use genops_core::audit::Auditor;
use genops_core::awu::{AwuId, End, Execution, Failure, Labels, Proposal, Used};
use genops_core::circuit::Circuit;
use genops_core::finding::Mode;
use genops_core::ledger::{self, Admit, Books, Cell, Command, Entry, Outcome, Standing};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::RateLimit;
use genops_core::rule::{Assessment, Found};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::LatencyClass;
use genops_core::spec::{Decision, DecisionState};
use genops_core::{Amount, Attribution, Name, Timestamp};

pub const SECOND: u64 = 1_000_000_000;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub fn team(team: &str) -> Selector {
    Selector::default().with(Facet::Team, vec![name(team)])
}

/// A call of team `search` that asks provider `upstream` for model `large`: 1,000 tokens in and 1,000 out, at one
/// dollar for a million of either; so 2,000 tokens and 0.002 dollars.
pub fn call() -> Proposal {
    let attribution = Attribution::new(Some("search"), Some("assistant"), Some("production")).unwrap();
    Proposal {
        bound: Tokens::new(1_000, 1_000),
        price: Some(Price::flat(name("row"), amount("1"), amount("1"))),
        ..Proposal::new(attribution, name("chat"), name("inference"), name("upstream"), name("large"))
    }
}

pub fn of_customer(customer: &str) -> Proposal {
    let labels = Labels { customer_id: Some(name(customer)), ..Labels::default() };
    Proposal { labels, ..call() }
}

pub fn sized(input: u64, output: u64) -> Proposal {
    Proposal { bound: Tokens::new(input, output), ..call() }
}

pub fn assessed(found: &[(&str, Found)]) -> Proposal {
    let assessed = found.iter().map(|(rule, found)| Assessment { rule: name(rule), found: found.clone() });
    Proposal { assessed: assessed.collect(), ..call() }
}

pub fn completed(input: u64, output: u64) -> Execution {
    took(1, Used::Reported(Tokens::new(input, output)))
}

pub fn took(millis: u64, used: Used) -> Execution {
    Execution { end: End::Completed, used, ..Execution::abandoned(millis * 1_000_000) }
}

pub fn failed(failure: Failure) -> Execution {
    Execution { end: End::ProviderError(failure), used: Used::Nothing, ..Execution::abandoned(1_000_000) }
}

/// A ledger, its time, and its auditor.
pub struct World {
    pub books: Books,
    pub auditor: Option<Auditor>,
    now: Timestamp,
    calls: u8,
}

impl World {
    pub fn under(policy: Policy) -> Self {
        let mut world = Self::upon(Books::default());
        world.adopt(policy);
        world
    }

    /// A world that begins with books in which cells may have been used: these are not audited.
    pub fn upon(books: Books) -> Self {
        let auditor = books.cells().is_empty().then(Auditor::default);
        // In the middle of a month.
        let now = Timestamp::from_nanos(1_795_000_000 * SECOND);
        let calls = u8::try_from(books.sequence()).unwrap();
        Self { books, auditor, now, calls }
    }

    pub fn adopt(&mut self, policy: Policy) {
        self.apply(Command::AdoptPolicy(Arc::new(policy)));
    }

    pub fn wait(&mut self, nanos: u64) {
        self.now = self.now.plus_nanos(nanos);
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn apply(&mut self, command: Command) -> Entry {
        let entry = ledger::apply(&mut self.books, self.now, command).unwrap();
        if let Some(auditor) = &mut self.auditor {
            auditor.follow(&entry, &self.books).unwrap();
        }
        entry
    }

    /// Asks for a call; it starts at once.
    pub fn ask(&mut self, proposal: &Proposal) -> (AwuId, Entry) {
        self.asks(proposal, true)
    }

    pub fn asks(&mut self, proposal: &Proposal, starts: bool) -> (AwuId, Entry) {
        self.calls += 1;
        let awu = AwuId { trace_id: [self.calls; 16], span_id: [self.calls; 8] };
        let assessed_under = Some(self.books.policy_version());
        let request = Admit { assessed_under, starts, ..Admit::new(awu, proposal.clone()) };
        (awu, self.apply(Command::Admit(Arc::new(request))))
    }

    /// A call that has to be admitted.
    pub fn runs(&mut self, proposal: &Proposal) -> AwuId {
        let (awu, entry) = self.ask(proposal);
        assert!(matches!(entry.outcome, Outcome::Admitted(_)), "{}", said(&entry));
        awu
    }

    pub fn settle(&mut self, awu: AwuId, execution: Execution) -> Entry {
        self.apply(Command::Settle { awu, execution })
    }

    /// A command that must not fit: why it does not.
    pub fn rejected(&mut self, command: Command) -> String {
        let before = self.books.clone();
        let error = ledger::apply(&mut self.books, self.now, command).unwrap_err();
        assert_eq!(before, self.books, "a rejection changed the books");
        error.to_string()
    }

    /// What a budget has out and used by now in each of its cells, with the window and what is allocated, in the order
    /// in which they were opened: `2026-11-18: 2000 out, 0 used of 5000`.
    pub fn cells(&self, budget: &str) -> Vec<String> {
        let cells = self.books.cells().iter().filter(|cell| cell.key.budget_name() == budget);
        let told = cells.map(|cell| {
            let Standing { allocated, out, used } = self.books.standing(cell, self.now);
            let allocated = allocated.map_or("everything".to_owned(), |amount| amount.to_string());
            format!("{} {}: {out} out, {used} used of {allocated}", cell.key, cell.key.window)
        });
        told.collect()
    }

    /// A call that is admitted and ends at once.
    pub fn ran(&mut self, proposal: &Proposal, execution: Execution) {
        let awu = self.runs(proposal);
        self.settle(awu, execution);
    }
}

/// The answer to a call.
#[derive(Clone, Copy)]
pub struct Answer {
    /// `STATE CODE by RULE`, with ` (observed)` where the decisive rule only observes, and for RATE_LIMITED when to
    /// come again.
    pub said: &'static str,
    /// What has changed in the books.
    pub changed: &'static str,
}

/// A line of a table: what happened before, what is asked, and the answers where the rule enforces and where it only
/// observes.
pub struct Line<'a> {
    pub what: &'static str,
    pub before: &'a dyn Fn(&mut World),
    pub call: Proposal,
    pub enforced: Answer,
    pub observed: Answer,
}

/// An answer, and what it changes.
pub const fn answer(said: &'static str, changed: &'static str) -> Answer {
    Answer { said, changed }
}

/// A refusal changes nothing.
pub const fn refused(said: &'static str) -> Answer {
    Answer { said, changed: "" }
}

pub const ALLOWED: Answer = answer("ALLOWED", "unbudgeted +0.002 USD");

/// Nothing was before.
pub const fn nothing(_: &mut World) {}

/// Asks every line under the policy of each mode.
pub fn check(policy: impl Fn(Mode) -> Policy, lines: &[Line<'_>]) {
    for line in lines {
        for (mode, expected) in [(Mode::Enforce, line.enforced), (Mode::Observe, line.observed)] {
            let mut world = World::under(policy(mode));
            (line.before)(&mut world);
            let before = Snapshot::of(&world.books, &line.call);
            let (_, entry) = world.ask(&line.call);
            let after = Snapshot::of(&world.books, &line.call);
            assert_eq!(said(&entry), expected.said, "{}, {mode:?}", line.what);
            assert_eq!(before.changes(&after, world.now()), expected.changed, "{}, {mode:?}", line.what);
            let refused = matches!(entry.outcome, Outcome::Refused(_));
            assert!(!refused || before == after, "{}, {mode:?}: a refusal changed the books", line.what);
            world.auditor.unwrap().conclude(&world.books).unwrap();
        }
    }
}

pub fn ruling(entry: &Entry) -> &Ruling {
    match &entry.outcome {
        Outcome::Admitted(admitted) => admitted.ruling(),
        Outcome::Refused(refused) => &refused.ruling,
        outcome => panic!("an admission came to {outcome:?}"),
    }
}

/// An answer in words, as [`Answer::said`] has them.
pub fn said(entry: &Entry) -> String {
    let ruling = ruling(entry);
    let mut text = ruling.decision.state().to_string();
    if let Some(code) = ruling.decision.reason_code() {
        text += &format!(" {code}");
    }
    if let Some(finding) = ruling.decisive() {
        let rule = finding.rule.as_ref().map_or("nobody's rule", Name::as_str);
        text += &format!(" by {rule}{}", if finding.is_observed { " (observed)" } else { "" });
    }
    if let Outcome::Refused(refused) = &entry.outcome
        && ruling.decision.state() == DecisionState::RateLimited
    {
        text += &refused.earliest().map_or(", waiting does not help".to_owned(), |earliest| {
            format!(", again in {} ms", earliest.nanos_since(entry.at) as f64 / 1e6)
        });
    }
    if let Outcome::Admitted(admitted) = &entry.outcome
        && let Some(limit) = admitted.output_limit()
    {
        text += &format!(", at most {limit} out");
    }
    // One decision: a state that goes on has an admission, and the others a refusal.
    let proceeds = matches!(ruling.decision, Decision::Allowed | Decision::Warning(_));
    assert_eq!(proceeds, matches!(entry.outcome, Outcome::Admitted(_)), "{text}");
    text
}

/// Everything in the books that a call may read or change.
#[derive(Debug, PartialEq)]
struct Snapshot {
    cells: Vec<Cell>,
    open: usize,
    /// For each rate that there is, what it is called, how far it is taken and how many calls are in flight.
    rates: Vec<(String, Timestamp, u64)>,
    circuit: Circuit,
    last_admitted: Option<Timestamp>,
}

impl Snapshot {
    fn of(books: &Books, call: &Proposal) -> Self {
        let rates = books.policy().rates.iter().map(|rule| {
            let key = rule.key(call);
            let in_flight = matches!(rule.limit, RateLimit::InFlight { .. });
            assert!(in_flight || books.calls_in_flight(&key) == 0);
            (key.to_string(), books.flow_until(&key), books.calls_in_flight(&key))
        });
        Self {
            cells: books.cells().to_vec(),
            open: books.open_awus().len(),
            rates: rates.collect(),
            circuit: books.circuit(call.provider.as_ref().unwrap()),
            last_admitted: books
                .latencies(&LatencyClass::of(call))
                .map(|latencies| latencies.last_admitted()),
        }
    }

    /// What is different afterwards, in words.
    fn changes(&self, after: &Self, now: Timestamp) -> String {
        let mut changes = Vec::new();
        for (place, cell) in after.cells.iter().enumerate() {
            let before = self.cells.get(place).map_or(Amount::ZERO, |cell| cell.standing.out);
            let more = cell.standing.out.checked_sub(before).unwrap();
            if more > Amount::ZERO || self.cells.len() <= place {
                changes.push(format!("{} +{more} {}", cell.key.budget_name(), cell.key.unit));
            }
        }
        for ((rate, until, calls), (_, until_after, calls_after)) in self.rates.iter().zip(&after.rates) {
            if until != until_after {
                let more = until_after.nanos_since((*until).max(now));
                changes.push(format!("{rate} +{} ms", more as f64 / 1e6));
            }
            if calls != calls_after {
                changes.push(format!("{rate} {calls_after} in flight"));
            }
        }
        if self.circuit != after.circuit {
            changes.push("circuit tried".to_owned());
        }
        if self.last_admitted != after.last_admitted {
            changes.push("tier asked".to_owned());
        }
        changes.join(", ")
    }
}
