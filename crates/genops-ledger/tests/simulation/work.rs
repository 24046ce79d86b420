//! Random commands: what the callers of a ledger ask of it. The only file that knows what commands there are.

use std::sync::Arc;

use genops_core::awu::{AwuId, End, Execution, Failure, Proposal, State, Used};
use genops_core::budget::{Budget, Overdraft};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::ledger::{
    Act, Admit, Books, Command, Correction, Entry, Grant, Idempotency, Note, OpenAwu, Outcome, Reported,
    Revision,
};
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::selector::{Facet, Selector};
use genops_core::{Amount, Attribution, Digest, Name, Timestamp, Unit};

use crate::random::Random;

const TEAMS: [&str; 3] = ["search", "billing", "support"];

/// The next command, given what the books say is open, and the journal what has ended. It may not fit.
pub fn command(random: &mut Random, books: &Books, journal: &[Entry], number: u64) -> Command {
    let moved = match random.below(50) {
        0 => Some(Command::AdoptPolicy(Arc::new(policy(random)))),
        1..=14 => None,
        15..=22 => open(random, books, State::Reserved).map(|awu| Command::Start { awu }),
        23..=24 => open(random, books, State::Reserved).map(|awu| Command::Release { awu }),
        25..=38 => {
            let execution = execution(random);
            open(random, books, State::Executing).map(|awu| Command::Settle { awu, execution })
        }
        39 => open(random, books, State::Executing).map(|awu| Command::Orphan { awu }),
        40..=42 => held(random, books),
        43..=45 => late(random, books),
        46 => correction(random, journal),
        47 => report(random, journal),
        48 if random.one_in(2) => Some(close(random, books)),
        _ => Some(grant(random, books)),
    };
    moved.unwrap_or_else(|| admit(random, books, number))
}

/// What happens to AWUs that somebody else holds.
fn held(random: &mut Random, books: &Books) -> Option<Command> {
    if random.one_in(3) {
        let awu = open(random, books, State::Executing)?;
        return Some(Command::Extend { awu, within_ns: random.below(20_000_000_000) });
    }
    // Whoever keeps deadlines looks at the books; now and then one comes too early.
    let overdue = books.overdue(books.at(), 8);
    match random.place(overdue.len()) {
        Some(place) => Some(Command::Expire { awu: overdue[place] }),
        None => open(random, books, State::Executing).map(|awu| Command::Expire { awu }),
    }
}

/// News of AWUs that are in doubt.
fn late(random: &mut Random, books: &Books) -> Option<Command> {
    let awu = open(random, books, State::InDoubt)?;
    let execution = execution(random);
    Some(if random.one_in(2) {
        Command::Settle { awu, execution }
    } else {
        Command::Resolve { awu, execution, act: act() }
    })
}

/// The record of an AWU that was settled, or else decided.
fn known(random: &mut Random, journal: &[Entry], settled: bool) -> Option<AwuRecord> {
    let is_wanted = |entry: &&Entry| match &entry.command {
        Command::Admit(_) => !settled,
        _ => settled && matches!(entry.outcome, Outcome::Settled(_)),
    };
    let wanted: Vec<_> = journal.iter().filter(is_wanted).collect();
    let awu = AwuRecord::subject(&wanted[random.place(wanted.len())?].command);
    let of_awu: Vec<_> = journal.iter().filter(|entry| AwuRecord::subject(&entry.command) == awu).collect();
    // Its identity may have been another's before.
    let begun = of_awu.iter().rposition(|entry| matches!(entry.command, Command::Admit(_)))?;
    let mut entries = of_awu[begun..].iter().map(|entry| (*entry).clone());
    let mut record = AwuRecord::begin(Journaled { entry: entries.next()?, chain: Digest::ZERO })?;
    entries.for_each(|entry| record.follow(entry));
    Some(record)
}

/// What an AWU was charged in its accounting unit is made something else.
fn correction(random: &mut Random, journal: &[Entry]) -> Option<Command> {
    let record = known(random, journal, true)?;
    let (position, step) = record.accounting()?;
    let (before, _) = record.charged_now(position)?;
    let actual = if random.one_in(4) { Amount::ZERO } else { step.amount };
    let mut postings = Vec::new();
    for (position, other) in record.cells().iter().enumerate() {
        if other.key.unit == step.key.unit {
            let (now, _) = record.charged_now(position)?;
            postings.extend(record.postings(position, actual.checked_sub(now)?)?);
        }
    }
    let revision = Revision {
        attribution: record.request.proposal.attribution.clone(),
        unit: step.key.unit,
        reserved: step.amount,
        before,
        actual,
    };
    let (awu, admitted) = (record.id(), record.sequence);
    Some(Command::Correct(Arc::new(Correction { awu, admitted, postings, revision, act: act() })))
}

/// Of whatever was decided.
fn report(random: &mut Random, journal: &[Entry]) -> Option<Command> {
    let record = known(random, journal, false)?;
    let what =
        Reported::Cost { total: Amount::from_whole(1), currency: name("USD"), provider: None, model: None };
    let attribution = record.request.proposal.attribution.clone();
    let (awu, decided) = (record.id(), record.sequence);
    Some(Command::Report(Arc::new(Note { awu, decided, attribution, what })))
}

fn grant(random: &mut Random, books: &Books) -> Command {
    if random.one_in(3)
        && let Some((grant, _)) = books.grants(books.at()).next()
    {
        return Command::Revoke { grant, act: act() };
    }
    // Whoever keeps grants looks at the books; now and then one comes too early.
    let by = if random.one_in(8) { Timestamp::from_nanos(u64::MAX) } else { books.at() };
    if let Some(grant) = books.lapsing(by, 1).first()
        && random.one_in(2)
    {
        return Command::Lapse { grant: *grant };
    }
    let until = books.at().plus_nanos(random.below(60_000_000_000));
    let amount = Amount::from_atoms(i128::from(random.below(4_000)) * 1_000_000);
    Command::Grant(Arc::new(Grant { budget: name("all"), each: Box::default(), amount, until, act: act() }))
}

/// Cells of periods that were over by some time; now and then by one that has not come.
fn close(random: &mut Random, books: &Books) -> Command {
    let nanos = random.below(40 * 86_400_000_000_000);
    let before = match random.below(8) {
        0 => books.at().plus_nanos(nanos),
        1..=3 => books.at(),
        _ => books.at().minus_nanos(nanos),
    };
    Command::CloseCells { before, act: act() }
}

fn act() -> Act {
    Act { author: name("ops"), reason: name("because") }
}

/// What recovery asks for what a dead process left open; `None` for what is resolved, and what others hold.
pub fn resolution(awu: AwuId, open: &OpenAwu) -> Option<Command> {
    (open.state != State::InDoubt && open.deadline.is_none()).then_some(Command::Orphan { awu })
}

/// Whether a command asks for something new, which may be put off.
pub fn is_new(command: &Command) -> bool {
    matches!(command, Command::Admit(_) | Command::Report(_))
}

/// An AWU in this state, now and then in another, or one that is not open; `None` where there is none.
fn open(random: &mut Random, books: &Books, state: State) -> Option<AwuId> {
    if random.one_in(30) {
        return Some(identity(u64::MAX));
    }
    let any = random.one_in(20);
    let open = books.open_awus();
    let awus: Vec<_> = open.iter().filter(|(_, awu)| any || awu.state == state).collect();
    random.place(awus.len()).map(|place| awus[place].0)
}

fn identity(number: u64) -> AwuId {
    let mut trace_id = [7; 16];
    trace_id[..8].copy_from_slice(&number.to_be_bytes());
    AwuId { trace_id, span_id: [7; 8] }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn admit(random: &mut Random, books: &Books, number: u64) -> Command {
    let team = random.pick(&TEAMS);
    let attribution = Attribution::new(Some(team), Some("index"), Some("test")).unwrap();
    let proposal = Proposal {
        bound: tokens(random),
        price: (!random.one_in(12)).then(price),
        ..Proposal::new(attribution, name("chat"), name("inference"), name("provider"), name("model"))
    };
    // Now and then an identity that is in use.
    let again = if random.one_in(20) { open(random, books, State::Executing) } else { None };
    let awu = again.unwrap_or_else(|| identity(number));
    let within_ns = random.one_in(3).then(|| random.below(10_000_000_000));
    // Few keys, so that they come again: with the same request, and with another.
    let idempotency = random.one_in(3).then(|| Idempotency {
        key: name(&format!("key {}", random.below(20))),
        payload: Digest::of("payload", &[&[random.one_in(4).into()]]),
    });
    let starts = random.one_in(2);
    Command::Admit(Arc::new(Admit { starts, within_ns, idempotency, ..Admit::new(awu, proposal) }))
}

fn price() -> Price {
    Price::flat(name("row"), "0.15".parse().unwrap(), "0.60".parse().unwrap())
}

fn tokens(random: &mut Random) -> Tokens {
    Tokens::new(random.below(2_000), random.below(2_000))
}

fn execution(random: &mut Random) -> Execution {
    let ends = [
        End::Completed,
        End::Completed,
        End::Completed,
        End::ProviderError(Failure::Status(503)),
        End::NeverSent,
        End::Cancelled,
        End::Abandoned,
        End::Failed,
    ];
    let used = match random.below(5) {
        0 => Used::Unknown,
        1 => Used::Counted(tokens(random)),
        _ => Used::Reported(tokens(random)),
    };
    Execution { end: random.pick(&ends), used, ..Execution::abandoned(random.below(50_000_000)) }
}

fn policy(random: &mut Random) -> Policy {
    let mode = |random: &mut Random| if random.one_in(4) { Mode::Observe } else { Mode::Enforce };
    let usd = |random: &mut Random| Amount::from_atoms(i128::from(random.below(8_000)) * 1_000_000);
    let all = Budget { mode: mode(random), ..Budget::new(name("all"), Unit::Usd, usd(random)) };
    let team = Budget {
        selector: Selector::default().with(Facet::Team, vec![name(TEAMS[0])]),
        period: calendar(Span::Day),
        mode: mode(random),
        ..Budget::new(name("search-day"), Unit::Usd, usd(random))
    };
    let of_tokens = Budget {
        period: calendar(Span::Month),
        ..Budget::new(name("tokens"), Unit::Tokens, Amount::from_whole(random.below(60_000)))
    };
    let rate = |called: &str, limit, mode| RateRule {
        name: name(called),
        selector: Selector::default(),
        each: vec![Facet::Team],
        limit,
        mode,
    };
    let (amount, burst) = ("7000".parse().unwrap(), "20000".parse().unwrap());
    let flow = RateLimit::Flow(Flow { measure: Measure::Tokens, amount, per: Per::Second, burst });
    let rates = vec![
        rate("flow", flow, mode(random)),
        rate("flight", RateLimit::InFlight { calls: 2 + random.below(4) }, mode(random)),
    ];
    let circuit = CircuitRule {
        provider: name("provider"),
        failures: 2,
        open_for_ns: 5_000_000_000,
        mode: mode(random),
    };
    let rolling = Budget {
        each: vec![Facet::Team],
        period: Period::Rolling { length_ns: 30_000_000_000, parts: 6 },
        overdraft: if random.one_in(2) {
            Overdraft::UpTo(usd(random).max(Amount::from_atoms(1)))
        } else {
            Overdraft::None
        },
        alerts: vec![50, 90],
        ..Budget::new(name("rolling"), Unit::Usd, usd(random))
    };
    let budgets = [all, team, of_tokens, rolling];
    Policy {
        budgets: budgets.into_iter().filter(|_| !random.one_in(3)).collect(),
        rates: rates.into_iter().filter(|_| random.one_in(2)).collect(),
        circuits: if random.one_in(2) { vec![circuit] } else { Vec::new() },
        remember_ns: 20_000_000_000,
        ..Policy::unrestricted()
    }
}

fn calendar(span: Span) -> Period {
    Period::Calendar { span, zone: Name::new("UTC").unwrap() }
}
