//! The commands that steps stand for, given the books and what was admitted before.

use std::sync::Arc;

use genops_core::awu::{AwuId, Execution, Labels, Proposal, State};
use genops_core::ledger::{
    Act, Admit, Books, Command, Correction, Grant, Idempotency, Note, OpenAwu, Posting, Reported, Revision,
};
use genops_core::price::{Price, Tokens};
use genops_core::record::AwuRecord;
use genops_core::rule::Assessment;
use genops_core::selector::{Facet, Share};
use genops_core::{Amount, Attribution, Digest, Quantity, Timestamp, Unit};

use super::policies::{limit_in, policy, seconds, unit_of};
use super::{
    ASSESSED, AssessedUnder, BUDGETS, CUSTOMERS, Call, Ending, Fix, Flaw, Key, Lent, MODELS, PROJECTS,
    PROVIDERS, REGIONS, Step, TEAMS, Which, name,
};

/// The command of a step at the time `at` that comes in the `place` after the first, an identity of its own. What was
/// admitted before is in `records`.
pub fn command(
    step: &Step,
    place: u8,
    at: Timestamp,
    books: &Books,
    records: &[AwuRecord],
) -> Option<Command> {
    let new = AwuId { trace_id: [place + 1; 16], span_id: [place + 1; 8] };
    let of = |which: Which, fits: &dyn Fn(&OpenAwu) -> bool| {
        let open = books.open_awus();
        let of: Vec<_> = open.iter().filter(|(_, awu)| !which.fits || fits(awu)).map(|(id, _)| *id).collect();
        which.place.checked_rem(of.len()).map_or(new, |place| of[place])
    };
    let is = |states: &'static [State]| move |awu: &OpenAwu| states.contains(&awu.state);
    Some(match step {
        Step::Adopt(knobs) => Command::AdoptPolicy(Arc::new(policy(knobs))),
        Step::Admit(call) => {
            let awu = if call.is_again { of(Which { place: 0, fits: false }, &|_| true) } else { new };
            Command::Admit(Arc::new(admit(call, awu, at, books)))
        }
        Step::Start { which } => Command::Start { awu: of(*which, &is(&[State::Reserved])) },
        Step::Extend { which, within_ns } => {
            Command::Extend { awu: of(*which, &|awu| awu.deadline.is_some()), within_ns: *within_ns }
        }
        Step::Release { which } => Command::Release { awu: of(*which, &is(&[State::Reserved])) },
        Step::Settle { which, late, ending } => {
            let states: &[State] = if *late { &[State::InDoubt] } else { &[State::Executing] };
            Command::Settle { awu: of(*which, &is(states)), execution: execution(ending) }
        }
        Step::Orphan { which } => {
            Command::Orphan { awu: of(*which, &is(&[State::Reserved, State::Executing])) }
        }
        // Sometimes it still has time.
        Step::Expire { which } => {
            let overdue = books.overdue(at, 12);
            let place = which.place.checked_rem(overdue.len()).filter(|_| which.fits);
            Command::Expire {
                awu: place.map_or_else(|| of(*which, &|awu| awu.deadline.is_some()), |place| overdue[place]),
            }
        }
        Step::Resolve { which, ending } => {
            let awu = of(*which, &is(&[State::InDoubt]));
            Command::Resolve { awu, execution: execution(ending), act: act() }
        }
        Step::Correct(fix) => Command::Correct(Arc::new(correction(fix, books, records)?)),
        Step::Grant(lent) => Command::Grant(Arc::new(grant(lent, at))),
        Step::Revoke { back } => {
            let grants: Vec<_> = books.grants(Timestamp::default()).map(|(sequence, _)| sequence).collect();
            let grant = grants.iter().rev().nth(*back).copied();
            Command::Revoke { grant: grant.unwrap_or(1), act: act() }
        }
        // Sometimes it still holds.
        Step::Lapse { back, due } => {
            let by = if *due { at } else { Timestamp::from_nanos(u64::MAX) };
            let grant = books.lapsing(by, usize::MAX).iter().rev().nth(*back).copied();
            Command::Lapse { grant: grant.unwrap_or(1) }
        }
        Step::Report { which } => {
            let what = Reported::Evaluation {
                metric: name("taste"),
                score: Amount::from_whole(1),
                threshold: None,
                passed: Some(true),
            };
            // Whatever became of it.
            let record = records.get(which.place.checked_rem(records.len())?)?;
            let attribution = record.request.proposal.attribution.clone();
            let (awu, decided) = (record.id(), record.sequence);
            Command::Report(Arc::new(Note { awu, decided, attribution, what }))
        }
        Step::Erase => Command::Erase { pseudonym: name("somebody"), act: act() },
        Step::Close { nanos, ahead } => {
            let before = if *ahead { at.plus_nanos(*nanos) } else { at.minus_nanos(*nanos) };
            Command::CloseCells { before, act: act() }
        }
        Step::Wait { .. } => return None,
    })
}

/// More than is ever charged here.
const FAR_TOO_MUCH: i128 = 1 << 122;

fn act() -> Act {
    Act { author: name("operator"), reason: name("because") }
}

fn admit(call: &Call, awu: AwuId, at: Timestamp, books: &Books) -> Admit {
    let assessed_under = match call.assessed {
        AssessedUnder::InForce => Some(books.policy_version()),
        AssessedUnder::Another => Some(Digest::ZERO),
        AssessedUnder::None => None,
    };
    let idempotency = call.key.map(|key| match key {
        Key::Plain(key, payload) => {
            Idempotency { key: name(&format!("key {key}")), payload: Digest::of("payload", &[&[payload]]) }
        }
        Key::Dated(ago) => {
            let made = at.nanos() / 1_000_000 - ago;
            let (high, low) = (made >> 16, made & 0xffff);
            Idempotency {
                key: name(&format!("{high:08x}-{low:04x}-7000-8000-000000000000")),
                payload: Digest::ZERO,
            }
        }
    });
    Admit {
        assessed_under,
        starts: call.starts,
        within_ns: call.within_ns,
        idempotency,
        ..Admit::new(awu, proposal(call))
    }
}

/// Seconds of computing and dollars, where they are said.
fn quantities(said: [Option<u64>; 2]) -> Vec<Quantity> {
    let thousandths = |many: u64| Amount::from_atoms(i128::from(many) * 1_000_000_000);
    let said = [seconds(), Unit::Usd].into_iter().zip(said);
    said.filter_map(|(unit, many)| Some(Quantity { unit, amount: thousandths(many?) })).collect()
}

fn execution(ending: &Ending) -> Execution {
    let Ending { end, used, said, latency_ns } = *ending;
    Execution { end, used, quantities: quantities(said), ..Execution::abandoned(latency_ns) }
}

fn proposal(call: &Call) -> Proposal {
    let [team, project, customer, provider, model, region] = call.who;
    let attribution = Attribution::new(Some(TEAMS[team]), Some(PROJECTS[project]), Some("test")).unwrap();
    let assessed = ASSESSED.iter().zip(&call.found).flat_map(|(rule, found)| {
        found.iter().map(|found| Assessment { rule: name(rule), found: found.clone() })
    });
    let priced =
        call.priced.then(|| Price::flat(name("row"), "0.15".parse().unwrap(), "0.60".parse().unwrap()));
    let labels = Labels { customer_id: CUSTOMERS[customer].map(name), ..Labels::default() };
    let units = [Unit::Usd, Unit::Tokens, Unit::Requests, seconds()];
    let work = Proposal {
        labels,
        key: (call.choices > 1).then(|| name("caller")),
        region: REGIONS[region].map(name),
        unbounded: (!call.bounded).then(|| name("audio")),
        quantities: quantities(call.most),
        accounting_unit: call.unit.map(|unit| units[unit]),
        assessed: assessed.collect(),
        ..Proposal::work(attribution, name("chat"), name("inference"))
    };
    if call.is_work {
        return work;
    }
    Proposal {
        provider: Some(name(PROVIDERS[provider])),
        model: Some(name(MODELS[model])),
        bound: Tokens::new(call.input, call.output * call.choices),
        choices: call.choices,
        price: priced,
        ..work
    }
}

/// A correction of one of those that were admitted, of what it is charged by now, in each of its cells.
fn correction(fix: &Fix, books: &Books, records: &[AwuRecord]) -> Option<Correction> {
    let record = records.iter().rev().nth(fix.back.checked_rem(records.len())?)?;
    let charged = |position| record.charged_now(position).map(|(charged, _)| charged.atoms());
    let to = |charged: i128| Amount::from_atoms(charged * fix.percent / 100 - charged);
    let of_cell = |position| record.postings(position, to(charged(position)?));
    let mut postings: Vec<_> = (0..record.cells().len()).filter_map(of_cell).flatten().collect();
    match (fix.flaw, postings.first().copied()) {
        (Flaw::None, _) | (_, None) => {}
        (Flaw::Empty, _) => postings.clear(),
        (Flaw::Twice, Some(first)) => postings.push(first),
        (Flaw::NoSuchCell, Some(first)) => postings.push(Posting { cell: books.next_cell(), ..first }),
        (Flaw::TooMuch, Some(first)) => {
            postings[0] = Posting { amount: Amount::from_atoms(-FAR_TOO_MUCH), ..first };
        }
    }
    let (position, step) = record.accounting()?;
    let before = Amount::from_atoms(charged(position).unwrap_or_default());
    let revision = Revision {
        attribution: record.request.proposal.attribution.clone(),
        unit: step.key.unit,
        reserved: step.amount,
        before,
        actual: before.checked_add(to(before.atoms())).unwrap(),
    };
    Some(Correction { awu: record.id(), admitted: record.sequence, postings, revision, act: act() })
}

fn grant(lent: &Lent, at: Timestamp) -> Grant {
    let share =
        |facet, values: &[Option<&str>]| lent.of.map(|of| Share { facet, value: values[of].map(name) });
    let each = match BUDGETS.get(lent.budget).copied() {
        // The policy divides it by the one or by the other; a team is called as a project is.
        Some("team-rolling") => {
            let facet = if lent.amount.is_multiple_of(2) { Facet::Team } else { Facet::Project };
            share(facet, &TEAMS.map(Some))
        }
        Some("requests-hour") => share(Facet::CustomerId, &CUSTOMERS),
        // One value too many, sometimes.
        _ => share(Facet::Team, &[None, None, None]).filter(|_| lent.amount.is_multiple_of(8)),
    };
    let budget = BUDGETS.get(lent.budget).copied().unwrap_or("nobody's");
    Grant {
        budget: name(budget),
        each: each.into_iter().collect(),
        amount: limit_in(unit_of(lent.budget), lent.amount * 100),
        until: at.plus_nanos(lent.for_ns),
        act: act(),
    }
}
