//! What is said of AWUs that have ended: the auditor knows of each what it was, and what it is charged. One entry of a
//! journal is forged at a time, in a chain that is made anew.
#![expect(clippy::panic, reason = "what is forged has to be what it is taken for")]

use std::sync::Arc;

use genops_core::audit::{Auditor, Breach, hold};
use genops_core::awu::{End, Execution, Labels, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::ledger::{
    self, Act, Admit, Books, Command, Correction, Entry, Note, Outcome, Posting, Rejection, Reported,
    Revision,
};
use genops_core::period::Period;
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::selector::Facet;
use genops_core::{Amount, Attribution, Digest, Name, Timestamp, Unit};
use genops_ledger::OpenError;
use genops_ledger::verify::{Failure, verify};
use genops_ledger::witness::Witness;

use crate::proof::{START, given, sealed};
use crate::work::{awu, wall};
use crate::{OnDisk, open};

const SECOND: u64 = 1_000_000_000;

// The AWUs, by their numbers.
const SETTLED: u32 = 1;
const LATE: u32 = 2;
const RELEASED: u32 = 3;
const REFUSED: u32 = 4;
const OPEN: u32 = 5;

// The entries that are forged.
const LATE_NEWS: u64 = 6;
const ADMISSION: u64 = 10;
const MORE: u64 = 11;
const LESS: u64 = 12;
const REPORT: u64 = 16;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn act() -> Act {
    Act { author: name("ops"), reason: name("the invoice says so") }
}

fn policy() -> Policy {
    let usd = |called: &str| Budget::new(name(called), Unit::Usd, amount("10"));
    let rolling = Period::Rolling { length_ns: 3_600 * SECOND, parts: 60 };
    let budgets = vec![
        Budget { each: vec![Facet::CustomerId], ..usd("each") },
        Budget { period: rolling, ..usd("rolling") },
        Budget::new(name("tokens"), Unit::Tokens, amount("100000")),
    ];
    Policy { budgets, ..Policy::unrestricted() }
}

fn asks(number: u32, customer: &str, output: u64, starts: bool) -> Command {
    let attribution = Attribution::new(Some("search"), Some("index"), Some("test")).unwrap();
    let proposal = Proposal {
        labels: Labels { customer_id: Some(name(customer)), ..Labels::default() },
        bound: Tokens::new(0, output),
        price: Some(Price::flat(name("row"), amount("100"), amount("100"))),
        ..Proposal::new(attribution, name("chat"), name("inference"), name("provider"), name("model"))
    };
    Command::Admit(Arc::new(Admit { starts, ..Admit::new(awu(number), proposal) }))
}

fn settles(number: u32, output: u64) -> Command {
    let used = Used::Reported(Tokens::new(0, output));
    let execution = Execution { end: End::Completed, used, ..Execution::abandoned(1) };
    Command::Settle { awu: awu(number), execution }
}

/// A journal that is written entry by entry, one each minute.
#[derive(Default)]
struct Story {
    books: Books,
    entries: Vec<Entry>,
}

impl Story {
    fn of(entries: Vec<Entry>) -> Self {
        let mut books = Books::default();
        entries.iter().for_each(|entry| ledger::evolve(&mut books, entry).unwrap());
        Self { books, entries }
    }

    fn tell(&mut self, command: Command) {
        let at = Timestamp::from_nanos(wall().nanos() + self.books.sequence() * 60 * SECOND);
        self.entries.push(ledger::apply(&mut self.books, at, command).unwrap());
    }

    fn record(&self, number: u32) -> AwuRecord {
        let about = |entry: &&Entry| AwuRecord::subject(&entry.command) == Some(awu(number));
        let mut entries = self.entries.iter().filter(about).cloned();
        let entry = entries.next().unwrap();
        let mut record = AwuRecord::begin(Journaled { entry, chain: Digest::ZERO }).unwrap();
        entries.for_each(|entry| record.follow(entry));
        record
    }

    /// As an operator's correction is made: each cell of the unit comes to `charged`.
    fn correct(&mut self, number: u32, unit: Unit, charged: &str) {
        let (record, charged) = (self.record(number), amount(charged));
        let mut postings = Vec::new();
        for (position, step) in record.cells().iter().enumerate().filter(|(_, step)| step.key.unit == unit) {
            let (now, _) = record.charged_now(position).unwrap();
            assert!(step.key.unit == unit && now != charged);
            postings.extend(record.postings(position, charged.checked_sub(now).unwrap()).unwrap());
        }
        let (position, step) = record.accounting().unwrap();
        let (before, _) = record.charged_now(position).unwrap();
        let revision = Revision {
            attribution: record.request.proposal.attribution.clone(),
            unit: step.key.unit,
            reserved: step.amount,
            before,
            actual: if unit == step.key.unit { charged } else { before },
        };
        let correction =
            Correction { awu: record.id(), admitted: record.sequence, postings, revision, act: act() };
        self.tell(Command::Correct(Arc::new(correction)));
    }

    fn report(&mut self, number: u32) {
        let what =
            Reported::Evaluation { metric: name("taste"), score: amount("1"), threshold: None, passed: None };
        let record = self.record(number);
        let attribution = record.request.proposal.attribution.clone();
        let note = Note { awu: record.id(), decided: record.sequence, attribution, what };
        self.tell(Command::Report(Arc::new(note)));
    }

    /// Every form in which something is said of AWUs that have ended.
    fn whole() -> Vec<Entry> {
        let mut story = Self::default();
        story.tell(Command::AdoptPolicy(Arc::new(policy())));
        story.tell(asks(SETTLED, "acme", 1_000, true));
        story.tell(settles(SETTLED, 1_000));
        story.tell(asks(LATE, "zeta", 1_000, true));
        story.tell(Command::Orphan { awu: awu(LATE) });
        story.tell(settles(LATE, 1_500));
        story.tell(asks(RELEASED, "acme", 1_000, false));
        story.tell(Command::Release { awu: awu(RELEASED) });
        story.tell(asks(REFUSED, "acme", 1_000_000, true));
        story.tell(asks(OPEN, "acme", 1_000, true));
        // Up, down beyond what the first one added, to nothing; in another unit alone; what was charged twice, from both.
        story.correct(SETTLED, Unit::Usd, "0.3");
        story.correct(SETTLED, Unit::Usd, "0.05");
        story.correct(SETTLED, Unit::Usd, "0");
        story.correct(LATE, Unit::Tokens, "1600");
        story.correct(LATE, Unit::Usd, "0.01");
        (1..=5).for_each(|number| story.report(number));
        story.correct(LATE, Unit::Usd, "0.2");
        story.tell(settles(OPEN, 2_000));
        story.correct(OPEN, Unit::Usd, "0.15");
        story.report(OPEN);
        story.entries
    }
}

fn verified(entries: &[Entry]) -> Result<(), Failure> {
    let frames = sealed(&entries.iter().map(|entry| vec![entry.clone()]).collect::<Vec<_>>());
    verify(START, given(&frames), &mut Witness::default()).map(drop)
}

#[test]
fn every_form_in_which_something_is_said_of_what_has_ended_holds_from_wherever_it_is_followed() {
    let entries = Story::whole();
    verified(&entries).unwrap();
    for begins in 0..entries.len() {
        follow_from(&entries, begins).unwrap();
    }
}

/// As a ledger is opened, with the books of a snapshot.
fn follow_from(entries: &[Entry], begins: usize) -> Result<(), Breach> {
    let mut books = Books::default();
    entries[..begins].iter().for_each(|entry| ledger::evolve(&mut books, entry).unwrap());
    let mut auditor = Auditor::over(&books);
    for entry in &entries[begins..] {
        ledger::evolve(&mut books, entry).unwrap();
        auditor.follow(entry, &books)?;
    }
    auditor.conclude(&books)
}

// === What is forged ===

fn command(entries: &mut [Entry], sequence: u64) -> &mut Command {
    &mut entries[usize::try_from(sequence).unwrap() - 1].command
}

fn correction(forge: impl Fn(&mut Correction) + 'static, sequence: u64) -> Forge {
    Box::new(move |entries| match command(entries, sequence) {
        Command::Correct(correction) => forge(Arc::make_mut(correction)),
        other => panic!("{other:?} is no correction"),
    })
}

fn revision(forge: impl Fn(&mut Revision) + 'static) -> Forge {
    correction(move |correction| forge(&mut correction.revision), MORE)
}

fn report(forge: impl Fn(&mut Note) + 'static) -> Forge {
    Box::new(move |entries| match command(entries, REPORT) {
        Command::Report(note) => forge(Arc::make_mut(note)),
        other => panic!("{other:?} is no report"),
    })
}

fn late(forge: impl Fn(&mut Option<Box<Revision>>) + 'static) -> Forge {
    Box::new(move |entries| match &mut entries[usize::try_from(LATE_NEWS).unwrap() - 1].outcome {
        Outcome::Settled(settled) => forge(&mut settled.late),
        other => panic!("{other:?} is no settlement"),
    })
}

fn somebody_else() -> Attribution {
    Attribution::new(Some("billing"), Some("index"), Some("test")).unwrap()
}

fn more(amount: &mut Amount) {
    *amount = amount.checked_add(Amount::from_atoms(1)).unwrap();
}

/// Moves an amount from one posting to another.
fn shift(from: &mut Posting, atoms: i128) {
    from.amount = Amount::from_atoms(from.amount.atoms() + atoms);
}

type Forge = Box<dyn Fn(&mut Vec<Entry>)>;

/// What is forged, how, the entry, and the invariant that does not hold.
fn forgeries() -> Vec<(&'static str, Forge, u64, &'static str)> {
    let of = |number: u32, admitted: u64| {
        let forge = move |correction: &mut Correction| {
            (correction.awu, correction.admitted) = (awu(number), admitted);
        };
        correction(forge, MORE)
    };
    let postings = |forge: fn(&mut Vec<Posting>), sequence: u64| {
        correction(move |correction| forge(&mut correction.postings), sequence)
    };
    vec![
        ("a correction of what never was", of(99, 2), MORE, "I5"),
        ("a correction of what was released", of(RELEASED, 7), MORE, "I5"),
        ("a correction of what was refused", of(REFUSED, 9), MORE, "I5"),
        ("a correction of what is open", of(OPEN, 10), MORE, "I5"),
        ("another admitting entry", of(SETTLED, 4), MORE, "I5"),
        ("another's charge", of(LATE, 4), MORE, "I2"),
        ("another unit", revision(|said| said.unit = Unit::Tokens), MORE, "I2"),
        ("another reservation", revision(|said| more(&mut said.reserved)), MORE, "I2"),
        ("another charge before", revision(|said| more(&mut said.before)), MORE, "I2"),
        ("another charge from now on", revision(|said| more(&mut said.actual)), MORE, "I2"),
        (
            "a difference that is right between charges that are not",
            revision(|said| {
                more(&mut said.before);
                more(&mut said.actual);
            }),
            MORE,
            "I2",
        ),
        ("whom it belongs to", revision(|said| said.attribution = somebody_else()), MORE, "I2"),
        ("nothing is posted to the other cell", postings(|posted| posted.truncate(1), MORE), MORE, "I2"),
        (
            "more is posted to the other cell",
            postings(|posted| more(&mut posted[1].amount), MORE),
            MORE,
            "I2",
        ),
        (
            "something is posted in tokens, and not what it says",
            postings(|posted| posted[0].cell = posted[0].cell.next().next(), MORE),
            MORE,
            "I2",
        ),
        (
            "it is posted to another's cell",
            // The fourth cell is that of the other customer.
            postings(|posted| posted[0].cell = posted[0].cell.next().next().next(), MORE),
            MORE,
            "I2",
        ),
        (
            "it is taken from when nothing was charged",
            postings(|posted| posted[0].charged_at = posted[0].charged_at.minus_nanos(1), LESS),
            LESS,
            "I2",
        ),
        (
            "more is taken from one time than was charged then",
            postings(
                |posted| {
                    shift(&mut posted[0], -1);
                    shift(&mut posted[1], 1);
                },
                LESS,
            ),
            LESS,
            "I2",
        ),
        (
            "what it was charged in doubt",
            late(|late| more(&mut late.as_mut().unwrap().before)),
            LATE_NEWS,
            "I2",
        ),
        ("late news that are not told as such", late(|late| *late = None), LATE_NEWS, "I2"),
        ("a report of what never was", report(|note| note.awu = awu(99)), REPORT, "I5"),
        ("a report of another entry", report(|note| note.decided = 4), REPORT, "I5"),
        ("a report of an entry that decided nothing", report(|note| note.decided = 1), REPORT, "I5"),
        ("a report of somebody else", report(|note| note.attribution = somebody_else()), REPORT, "I5"),
    ]
}

#[test]
fn verify_notices_what_is_not_so_of_an_awu_that_has_ended_and_names_entry_and_invariant() {
    let entries = Story::whole();
    for (what, forge, sequence, invariant) in forgeries() {
        let mut forged = entries.clone();
        forge(&mut forged);
        match verified(&forged) {
            Err(Failure::Journal(OpenError::Breach(breach))) => {
                assert_eq!((breach.sequence, breach.invariant), (sequence, invariant), "{what}: {breach}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// The command of the entry `sequence`, held against the record of its AWU as of the entries before; where there is none,
/// against another's.
fn held(entries: &[Entry], sequence: u64) -> Option<Result<(), String>> {
    let place = usize::try_from(sequence).unwrap() - 1;
    let Entry { at, command, .. } = &entries[place];
    if !matches!(command, Command::Correct(_) | Command::Report(_)) {
        return None;
    }
    let mut story = Story::default();
    story.entries.extend_from_slice(&entries[..place]);
    let of = (1..=5).find(|number| AwuRecord::subject(command) == Some(awu(*number)));
    Some(hold(command, *at, &story.record(of.unwrap_or(SETTLED))))
}

/// Before it is an entry that no audit lets pass.
#[test]
fn what_verify_would_notice_of_a_correction_or_a_report_is_refused_by_the_record_and_nothing_else_is() {
    let entries = Story::whole();
    let true_ones = (1..=entries.len() as u64).filter_map(|sequence| held(&entries, sequence));
    let true_ones: Vec<_> = true_ones.collect();
    assert!(true_ones.len() > 10 && true_ones.iter().all(Result::is_ok), "{true_ones:?}");
    let mut refused = 0;
    for (what, forge, sequence, _) in forgeries() {
        let mut forged = entries.clone();
        forge(&mut forged);
        let Some(held) = held(&forged, sequence) else { continue };
        assert!(held.is_err(), "{what}");
        refused += 1;
    }
    assert_eq!(refused, 22);
}

/// What an embedding program says of its AWUs is held against their records, or is not taken; and the ledger opens again.
#[tokio::test]
async fn a_running_ledger_takes_no_correction_and_no_report_that_is_not_so() {
    let place = OnDisk::new();
    let ledger = open(&place).await;
    let mut story = Story::default();
    for command in [
        Command::AdoptPolicy(Arc::new(policy())),
        asks(SETTLED, "acme", 1_000, true),
        settles(SETTLED, 1_000),
        asks(OPEN, "acme", 1_000, true),
    ] {
        story.entries.push(ledger.submit(wall(), command).unwrap().entry);
    }
    let before = story.record(SETTLED);
    let (correction, report) = {
        let mut of = Story { books: ledger.read(Clone::clone).unwrap(), entries: story.entries.clone() };
        of.correct(SETTLED, Unit::Usd, "0.05");
        of.report(OPEN);
        let mut said = of.entries.drain(4..).map(|entry| entry.command);
        (said.next().unwrap(), said.next().unwrap())
    };
    for command in [&correction, &report] {
        let told = ledger.submit(wall(), command.clone()).unwrap_err().to_string();
        assert!(told.contains("was not held against the AWU's record"), "{told}");
    }
    let told = ledger.submit_of(wall(), correction.clone(), &story.record(OPEN)).unwrap_err().to_string();
    assert!(told.contains("another AWU than the record"), "{told}");
    story.entries.push(ledger.submit_of(wall(), correction.clone(), &before).unwrap().entry);
    // The same again says what it was charged before.
    let told = ledger.submit_of(wall(), correction, &story.record(SETTLED)).unwrap_err().to_string();
    assert!(told.contains("says that it was charged 0.1, which was 0.05"), "{told}");
    ledger.submit_of(wall(), report, &story.record(OPEN)).unwrap().durable().await.unwrap();
    drop(ledger);
    assert_eq!(open(&place).await.read(Books::sequence).unwrap(), 7, "what was open is in doubt");
}

/// Of an AWU that is open, the books know whose it is.
#[test]
fn a_report_of_an_open_awu_by_somebody_else_is_rejected() {
    let mut story = Story::default();
    story.tell(Command::AdoptPolicy(Arc::new(policy())));
    story.tell(asks(OPEN, "acme", 1_000, true));
    story.report(OPEN);
    let mut command = story.entries[2].command.clone();
    if let Command::Report(note) = &mut command {
        Arc::make_mut(note).attribution = somebody_else();
    }
    let told = ledger::decide(&story.books, wall(), &command);
    assert!(matches!(told, Err(Rejection::OfSomebodyElse { .. })), "{told:?}");
}

/// Whoever embeds the library may choose identities, and takes one again: what is said of the one AWU, or of the other, holds.
#[test]
fn an_identity_may_be_used_again_once_its_awu_has_ended() {
    let is_charged = |ended| [SETTLED, LATE].contains(&ended);
    for (ended, how) in
        [(SETTLED, "settled"), (LATE, "charged twice"), (RELEASED, "released"), (REFUSED, "refused")]
    {
        // What is said of the earlier one.
        let mut story = Story::of(Story::whole());
        let before = story.entries.len();
        if is_charged(ended) {
            story.correct(ended, Unit::Usd, "0.4");
        }
        story.report(ended);
        let of_earlier: Vec<_> = story.entries[before..].iter().map(|entry| entry.command.clone()).collect();

        let mut story = Story::of(Story::whole());
        story.tell(asks(ended, "acme", 500, true));
        story.tell(settles(ended, 300));
        let whole = std::mem::take(&mut story.entries);
        story.entries = whole[before..].to_vec();
        story.correct(ended, Unit::Usd, "0.01");
        of_earlier.iter().cloned().for_each(|command| story.tell(command));
        story.report(ended);
        let all: Vec<_> = whole[..before].iter().chain(&story.entries).cloned().collect();
        verified(&all).unwrap_or_else(|error| panic!("{how}: {error:?}"));
    }
}

/// Of what ended before nobody can tell; of what is said to have been admitted since, everybody can.
#[test]
fn what_ended_before_the_audit_begins_is_not_judged_and_what_claims_to_be_of_it_is() {
    let entries = Story::whole();
    let begins = usize::try_from(ADMISSION).unwrap();
    let forged = |forge: Forge| {
        let mut forged = entries.clone();
        forge(&mut forged);
        follow_from(&forged[..], begins)
    };
    for forge in [
        correction(|correction| correction.awu = awu(99), MORE),
        revision(|said| more(&mut said.before)),
        report(|note| note.awu = awu(99)),
    ] {
        forged(forge).unwrap();
    }
    let breach = forged(correction(|correction| correction.admitted = 11, MORE)).unwrap_err();
    assert_eq!((breach.sequence, breach.invariant), (MORE, "I5"), "{breach}");
}
