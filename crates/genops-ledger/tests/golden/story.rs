//! A ledger's life in which everything happens that a journal can tell: every command, every outcome, every question
//! that an admission asks, and every way in which work ends.
//!
//! It has no chance and no clock in it: the same program tells the same story, byte for byte. The golden journal of the
//! current format is this story; those of older formats are what it was then.

use std::sync::Arc;

use genops_core::awu::{AwuId, End, Execution, Failure, Labels, Proposal, TraceContext, Used};
use genops_core::ledger::{
    self, Act, Admit, Books, Command, Correction, Entry, Grant, Idempotency, Note, Outcome, Posting,
    Reported, Revision,
};
use genops_core::price::{Price, Rates, Tier, Tokens};
use genops_core::rule::{Assessment, ContentKind, Found};
use genops_core::selector::{Facet, Share};
use genops_core::{Amount, Attribution, Digest, Name, Quantity, Timestamp, Unit};

use crate::policies;

const SECOND: u64 = 1_000_000_000;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub fn seconds(text: &str) -> Quantity {
    Quantity { unit: "compute_seconds".parse().unwrap(), amount: amount(text) }
}

fn dollars(text: &str) -> Quantity {
    Quantity { unit: Unit::Usd, amount: amount(text) }
}

fn act() -> Act {
    Act { author: name("operator"), reason: name("as the invoice says") }
}

/// The entries of the story, in order.
pub fn entries() -> Vec<Entry> {
    let mut story = Story::default();
    story.tell(Command::AdoptPolicy(Arc::new(policies::first())));
    story.whole_lives();
    story.lives_that_break_off();
    story.acts();
    story.refusals();
    story.warnings();
    story.ends();
    story.grant_that_ends();
    story.tell(Command::AdoptPolicy(Arc::new(policies::second())));
    story.runs("after");
    story.new_shares();
    story.periods_are_over();
    story.entries
}

#[derive(Default)]
struct Story {
    books: Books,
    entries: Vec<Entry>,
    awus: u8,
}

impl Story {
    /// A second after what was before.
    fn tell(&mut self, command: Command) -> &Entry {
        // In the middle of a month.
        self.tell_at(Timestamp::from_nanos((1_795_000_000 + self.books.sequence()) * SECOND), command)
    }

    fn tell_at(&mut self, at: Timestamp, command: Command) -> &Entry {
        let entry = ledger::apply(&mut self.books, at, command).unwrap();
        self.entries.push(entry);
        self.entries.last().unwrap()
    }

    // === calls ===

    /// A call of this project; rules of the policy are for projects of their name.
    fn call(&mut self, project: &str) -> Admit {
        self.awus += 1;
        let awu = AwuId { trace_id: [self.awus; 16], span_id: [self.awus; 8] };
        let attribution = Attribution::new(Some("search"), Some(project), Some("production")).unwrap();
        let proposal = Proposal {
            key: Some(name("search-api")),
            bound: Tokens::new(1_000, 1_000),
            price: Some(Price::flat(name("table 1 upstream/large"), amount("0.15"), amount("0.60"))),
            ..Proposal::new(attribution, name("chat"), name("inference"), name("upstream"), name("large"))
        };
        let assessed_under = Some(self.books.policy_version());
        Admit { assessed_under, starts: true, ..Admit::new(awu, proposal) }
    }

    fn ask(&mut self, request: Admit) -> AwuId {
        let awu = request.awu;
        self.tell(Command::Admit(Arc::new(request)));
        awu
    }

    fn admitted(&mut self, request: Admit) -> AwuId {
        let awu = self.ask(request);
        let entry = self.entries.last().unwrap();
        assert!(matches!(entry.outcome, Outcome::Admitted(_)), "{entry:?}");
        awu
    }

    fn refused(&mut self, request: Admit) {
        self.ask(request);
        let entry = self.entries.last().unwrap();
        assert!(matches!(entry.outcome, Outcome::Refused(_)), "{entry:?}");
    }

    fn settle(&mut self, awu: AwuId, execution: Execution) {
        self.tell(Command::Settle { awu, execution });
    }

    fn runs(&mut self, project: &str) {
        let request = self.call(project);
        let awu = self.admitted(request);
        self.settle(awu, completed());
    }

    // === chapters ===

    /// From admission to settlement, step by step, with everything that can be said.
    fn whole_lives(&mut self) {
        let request = self.call("everything");
        let rates = |input: &str, output: &str| Rates {
            input: amount(input),
            output: amount(output),
            cached_input: Some(amount("0.075")),
            cache_write: Some(amount("0.1875")),
        };
        let tier = Tier { above: 500, rates: rates("0.3", "1.2") };
        let price = Price { row: name("own"), rates: rates("0.15", "0.6"), tiers: vec![tier] };
        let proposal = Proposal {
            labels: Labels {
                customer_id: Some(name("acme")),
                feature: Some(name("autocomplete")),
                cost_center: Some(name("4711")),
                session_id: Some(name("s-1")),
            },
            region: Some(name("eu-central-1")),
            choices: 2,
            quantities: vec![seconds("2.5")],
            price: Some(price),
            ..request.proposal.clone()
        };
        let payload = Digest::of("golden", &[b"payload"]);
        let idempotency = Some(Idempotency { key: name("order 4711"), payload });
        let within_ns = Some(60 * SECOND);
        let awu = self.admitted(Admit { starts: false, within_ns, idempotency, proposal, ..request });
        self.tell(Command::Start { awu });
        self.tell(Command::Extend { awu, within_ns: 90 * SECOND });
        let tokens = Tokens { cached_input: 100, cache_write: 50, reasoning: 20, ..Tokens::new(600, 200) };
        self.settle(
            awu,
            Execution {
                quantities: vec![seconds("1.25")],
                first_token_ns: Some(80_000_000),
                response_model: Some(name("large-2026-11-01")),
                used: Used::Reported(tokens),
                ..completed()
            },
        );
        let parent_span_id = [9; 8];
        let request = self.call("released");
        let trace = TraceContext::Child { parent_span_id };
        let awu = self.admitted(Admit { trace, starts: false, ..request });
        self.tell(Command::Release { awu });
        let request = self.call("another attempt");
        let trace = TraceContext::Linked { trace_id: [8; 16], span_id: [9; 8] };
        let first = Some(AwuId { trace_id: [1; 16], span_id: [1; 8] });
        let awu = self.admitted(Admit { trace, attempt_of: first, ..request });
        self.settle(awu, completed());
    }

    /// Whose process died, or whose holder was silent.
    fn lives_that_break_off(&mut self) {
        let request = self.call("doubted");
        let awu = self.admitted(request);
        self.tell(Command::Orphan { awu });
        self.settle(awu, completed());
        let request = self.call("doubted");
        let awu = self.admitted(request);
        self.tell(Command::Orphan { awu });
        self.tell(Command::Resolve { awu, execution: completed(), act: act() });
        let request = self.call("never started");
        let awu = self.admitted(Admit { starts: false, ..request });
        self.tell(Command::Orphan { awu });
        for starts in [true, false] {
            let request = self.call("silent");
            let awu = self.admitted(Admit { starts, within_ns: Some(1), ..request });
            self.tell(Command::Expire { awu });
        }
    }

    /// What operators and workloads add.
    fn acts(&mut self) {
        let (awu, admitted) = (AwuId { trace_id: [1; 16], span_id: [1; 8] }, 2);
        let correction = self.correction(awu, admitted);
        let attribution = correction.revision.attribution.clone();
        self.tell(Command::Correct(Arc::new(correction)));
        let until = Timestamp::from_nanos(1_796_000_000 * SECOND);
        let budget = name("each customer");
        let share = Share { facet: Facet::CustomerId, value: Some(name("acme")) };
        let grant = Grant { budget, each: [share].into(), amount: amount("5"), until, act: act() };
        let made = self.tell(Command::Grant(Arc::new(grant.clone()))).sequence;
        self.tell(Command::Revoke { grant: made, act: act() });
        self.tell(Command::Grant(Arc::new(Grant { each: Box::default(), ..grant })));
        let evaluation = Reported::Evaluation {
            metric: name("faithfulness"),
            score: amount("0.93"),
            threshold: Some(amount("0.9")),
            passed: Some(true),
        };
        let cost = Reported::Cost {
            total: amount("0.0001"),
            currency: name("USD"),
            provider: Some(name("upstream")),
            model: Some(name("large")),
        };
        for what in [evaluation, cost] {
            let note = Note { awu, decided: admitted, attribution: attribution.clone(), what };
            self.tell(Command::Report(Arc::new(note)));
        }
        self.tell(Command::Erase { pseudonym: name("p-4711"), act: act() });
    }

    /// Two months later, cells leave, and others are opened.
    fn periods_are_over(&mut self) {
        let before = self.books.at().plus_nanos(60 * 86_400 * SECOND);
        self.tell_at(before, Command::CloseCells { before, act: act() });
        self.runs("after");
    }

    /// A little less in each cell of its accounting unit.
    fn correction(&self, awu: AwuId, admitted: u64) -> Correction {
        let find = |wanted: u64| self.entries.iter().find(move |entry| entry.sequence == wanted).unwrap();
        let (Command::Admit(request), Outcome::Admitted(granted)) =
            (&find(admitted).command, &find(admitted).outcome)
        else {
            panic!("entry {admitted} admits nothing");
        };
        let charge = find(admitted + 3);
        let Outcome::Settled(settled) = &charge.outcome else { panic!("it has not been settled") };
        let (position, step) = granted.accounting().unwrap();
        let (before, less) = (settled.actual[position], amount("-0.0001"));
        let revision = Revision {
            attribution: request.proposal.attribution.clone(),
            unit: step.key.unit,
            reserved: step.amount,
            before,
            actual: before.checked_add(less).unwrap(),
        };
        let of_unit = granted.path().iter().filter(|other| other.key.unit == step.key.unit);
        let postings =
            of_unit.map(|of| Posting { cell: of.cell, amount: less, charged_at: charge.at }).collect();
        Correction { awu, admitted, postings, revision, act: act() }
    }

    /// Every question says no.
    fn refusals(&mut self) {
        for project in ["no model", "no region"] {
            let request = self.call(project);
            self.refused(request);
        }
        let content = |kind| Found::Content { kind, count: 2 };
        for (rule, found) in [
            ("denies", Found::Holds),
            ("cannot be worked out", Found::Failed),
            ("content", content(ContentKind::Keyword)),
            ("content", content(ContentKind::Pattern)),
            ("content", content(ContentKind::Email)),
            ("content", content(ContentKind::PaymentCard)),
            ("content", content(ContentKind::ApiKey)),
            ("content", content(ContentKind::PrivateKey)),
        ] {
            let mut request = self.call("assessed");
            request.proposal.assessed = vec![Assessment { rule: name(rule), found }];
            self.refused(request);
        }
        self.provider_is_down();
        let mut request = self.call("unbounded");
        request.proposal.unbounded = Some(name("prediction"));
        self.refused(request);
        let mut request = self.call("unpriced");
        request.proposal.price = None;
        self.refused(request);
        self.rates();
        self.too_slow();
        let request = self.call("too small a budget");
        self.refused(request);
        let request = self.call("used up");
        let awu = self.admitted(request);
        self.settle(awu, Execution::abandoned(SECOND));
        let request = self.call("used up");
        self.refused(request);
        let mut request = self.call("beyond counting");
        request.proposal.price = None;
        request.proposal.quantities = vec![Quantity { unit: Unit::Usd, amount: Amount::MAX }];
        self.refused(request);
    }

    fn provider_is_down(&mut self) {
        for failure in [Failure::Status(503), Failure::Timeout] {
            let mut request = self.call("flaky");
            request.proposal.provider = Some(name("flaky"));
            let awu = self.admitted(request);
            self.settle(awu, Execution { end: End::ProviderError(failure), ..Execution::abandoned(SECOND) });
        }
        let mut request = self.call("flaky");
        request.proposal.provider = Some(name("flaky"));
        self.refused(request);
    }

    /// It waits, is too much at once, and finds no place.
    fn rates(&mut self) {
        self.runs("too soon");
        for project in ["too soon", "too much"] {
            let request = self.call(project);
            self.refused(request);
        }
        let request = self.call("too many");
        let awu = self.admitted(request);
        let request = self.call("too many");
        self.refused(request);
        self.settle(awu, completed());
    }

    fn too_slow(&mut self) {
        for refused in [false, false, false, false, true] {
            let mut request = self.call("slow");
            request.proposal.model = Some(name("slow"));
            if refused {
                self.refused(request);
            } else {
                let awu = self.admitted(request);
                self.settle(awu, Execution { latency_ns: 3 * SECOND, ..completed() });
            }
        }
    }

    /// It runs, and something is said about it.
    fn warnings(&mut self) {
        for project in ["lends", "lends without end", "caps", "observed"] {
            self.runs(project);
        }
        for found in [Found::Holds, Found::Failed] {
            let mut request = self.call("assessed");
            request.proposal.assessed = vec![Assessment { rule: name("warns"), found }];
            let awu = self.admitted(request);
            self.settle(awu, completed());
        }
        let mut request = self.call("work");
        let attribution = request.proposal.attribution.clone();
        let work = Proposal::work(attribution, name("index"), name("batch"));
        let unit = Some(seconds("1").unit);
        request.proposal =
            Proposal { quantities: vec![seconds("30"), dollars("0.02")], accounting_unit: unit, ..work };
        let awu = self.admitted(request);
        self.settle(
            awu,
            Execution {
                quantities: vec![seconds("20"), dollars("0.01")],
                used: Used::Reported(Tokens::default()),
                ..completed()
            },
        );
    }

    /// What was used with a grant is more than people wanted to hear of without it.
    fn grant_that_ends(&mut self) {
        let until = self.books.at().plus_nanos(4 * SECOND);
        let (budget, amount) = (name("granted"), amount("5000"));
        let grant = Grant { budget, each: Box::default(), amount, until, act: act() };
        let grant = self.tell(Command::Grant(Arc::new(grant))).sequence;
        self.runs("granted");
        self.tell(Command::Lapse { grant });
    }

    /// Somebody new finds no place: one share of a rate and one cell are as many as may be by then.
    fn new_shares(&mut self) {
        let mut request = self.call("too soon");
        request.proposal.key = Some(name("another-api"));
        self.refused(request);
        let mut request = self.call("after");
        request.proposal.labels.customer_id = Some(name("newcomer"));
        self.refused(request);
    }

    /// Every way in which work ends, and everything that may be known of what it used.
    fn ends(&mut self) {
        let counted = Used::Counted(Tokens::new(10, 10));
        for (end, used) in [
            (End::ProviderError(Failure::Connection), Used::Unknown),
            (End::ProviderError(Failure::Answer), Used::Unknown),
            (End::ProviderError(Failure::Unreachable), Used::Nothing),
            (End::NeverSent, Used::Nothing),
            (End::Abandoned, Used::Unknown),
            (End::Failed, Used::Nothing),
            (End::Cancelled, counted),
            (End::AtReservation, counted),
        ] {
            let request = self.call("ends");
            let awu = self.admitted(request);
            self.settle(awu, Execution { end, used, ..Execution::abandoned(SECOND) });
        }
    }
}

fn completed() -> Execution {
    let used = Used::Reported(Tokens::new(400, 100));
    Execution { end: End::Completed, used, ..Execution::abandoned(SECOND / 2) }
}
