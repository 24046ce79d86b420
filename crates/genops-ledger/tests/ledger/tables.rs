//! The query tables over a journal that uses identities again: however they are built, they say what the journal says.

use std::sync::Arc;

use genops_core::ledger::{Act, Command, Correction, Outcome, Posting, Revision};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::{Amount, Name, Unit};
use genops_ledger::memory::MemoryStore;
use genops_ledger::views::{Filter, Views};
use genops_ledger::{Journal, Ledger};

use crate::open;
use crate::work::{admit, admit_and_start, awu, budget_of, orphan, release, settle, start, wall};

/// Of which AWU a journal can say what.
type Say = fn(u32) -> Command;

/// The lives of AWUs, each after the other under one identity.
const LIVES: [&[Say]; 6] = [
    &[admit, start, settle],
    &[admit_and_start, settle],
    &[admit, release],
    // In doubt, and settled late.
    &[admit_and_start, orphan, settle],
    &[admit, start, orphan, settle],
    &[admit, orphan],
];

/// What the journal says of each AWU, in the order in which they were decided.
fn told(journal: &[Journaled]) -> Vec<AwuRecord> {
    let mut records: Vec<AwuRecord> = Vec::new();
    for journaled in journal {
        let entry = &journaled.entry;
        let Some(awu) = AwuRecord::subject(&entry.command) else { continue };
        if let Some(begun) = AwuRecord::begin(journaled.clone()) {
            records.push(begun);
            continue;
        }
        let corrected = match &entry.command {
            Command::Correct(correction) => Some(correction.admitted),
            _ => None,
        };
        let mut known = records.iter_mut().rev();
        let meant = known.find(|record| match corrected {
            Some(admitted) => record.sequence == admitted,
            None => record.id() == awu,
        });
        meant.unwrap().follow(entry.clone());
    }
    records
}

/// Of a holder in another process.
fn held(number: u32) -> Command {
    let mut command = admit_and_start(number);
    if let Command::Admit(request) = &mut command {
        Arc::make_mut(request).within_ns = Some(1_000_000_000);
    }
    command
}

/// A correction of an AWU of which another one has the identity by now.
fn correction(of: &AwuRecord) -> Command {
    let name = |text| Name::new(text).unwrap();
    let (before, _) = of.charged_now(0).unwrap();
    let cent: Amount = "0.01".parse().unwrap();
    let cell = of.cells()[0].cell;
    let revision = Revision {
        attribution: of.request.proposal.attribution.clone(),
        unit: Unit::Usd,
        reserved: of.cells()[0].amount,
        before,
        actual: before.checked_add(cent).unwrap(),
    };
    let postings = vec![Posting { cell, amount: cent, charged_at: of.ending.as_ref().unwrap().at }];
    let act = Act { author: name("ops"), reason: name("the invoice says so") };
    let correction = Correction { awu: of.id(), admitted: of.sequence, postings, revision, act };
    Command::Correct(Arc::new(correction))
}

/// Everything that is submitted, entry by entry, and tables for each length of a stretch.
struct Story {
    ledger: Ledger,
    journal: Journal,
    told: Vec<Journaled>,
    stepwise: Vec<Views>,
}

impl Story {
    async fn new(lengths: usize) -> Self {
        let ledger = open(&MemoryStore::default()).await;
        let journal = ledger.journal().unwrap();
        let stepwise = (0..lengths).map(|_| Views::in_memory().unwrap()).collect();
        Self { ledger, journal, told: Vec::new(), stepwise }
    }

    async fn tell(&mut self, command: Command) -> Outcome {
        let posted = match &command {
            Command::Correct(correction) => {
                let known = told(&self.told);
                let of = known.iter().find(|record| record.sequence == correction.admitted).unwrap();
                self.ledger.submit_of(wall(), command, of)
            }
            _ => self.ledger.submit(wall(), command),
        };
        let entry = posted.unwrap().durable().await.unwrap();
        self.told.push(self.journal.entry(entry.sequence).unwrap().unwrap());
        for (length, views) in (1..).zip(&mut self.stepwise) {
            if self.told.len().is_multiple_of(length) {
                views.catch_up(&mut self.journal).unwrap();
            }
            let known = told(&self.told);
            for number in 0..3 {
                let latest = known.iter().rfind(|record| record.id() == awu(number)).cloned();
                let standing = views.standing(awu(number), None).unwrap();
                let now = standing.now(&mut self.journal).unwrap();
                assert_eq!(now, latest, "{number} now, after {}, in stretches of {length}", entry.sequence);
            }
            // The one that a certain entry decided, whoever has its identity by now.
            for record in known.iter().rev().take(4) {
                let standing = views.standing(record.id(), Some(record.sequence)).unwrap();
                let now = standing.now(&mut self.journal).unwrap();
                assert_eq!(now.as_ref(), Some(record), "after {}, in stretches of {length}", entry.sequence);
            }
        }
        entry.outcome
    }
}

#[tokio::test]
async fn an_identity_that_is_used_again_is_told_as_the_journal_has_it_however_the_tables_were_built() {
    let mut story = Story::new(40).await;
    story.tell(budget_of("1")).await;
    // Two identities, each at another place of its lives.
    for step in 0..LIVES.len() * 2 {
        let lives = [LIVES[step % LIVES.len()], LIVES[(step * 5 + 2) % LIVES.len()]];
        for at in 0..4 {
            for (number, life) in (0..).zip(lives) {
                if let Some(say) = life.get(at) {
                    story.tell(say(number)).await;
                }
            }
        }
    }
    // What is said of one that has ended is no news of that which has its identity by now.
    let settled = told(&story.told).into_iter().find(|record| record.state() == "SETTLED").unwrap();
    for say in [admit_and_start, settle] {
        story.tell(say(0)).await;
    }
    story.tell(correction(&settled)).await;
    // One that is refused ends with its decision.
    story.tell(budget_of("0.0001")).await;
    assert!(matches!(story.tell(admit(0)).await, Outcome::Refused(_)));
    story.tell(budget_of("1")).await;
    story.tell(admit_and_start(0)).await;
    story.tell(admit_and_start(2)).await;

    let mut expected = told(&story.told);
    expected.reverse();
    let mut journal = story.ledger.journal().unwrap();
    let mut at_once = Views::in_memory().unwrap();
    at_once.catch_up(&mut journal).unwrap();
    let estimates = at_once.estimates().unwrap();
    let settled = expected.iter().filter(|record| record.state() == "SETTLED").count();
    assert_eq!(estimates.iter().map(|estimate| estimate.calls).collect::<Vec<_>>(), [settled as u64]);
    for (length, mut views) in (1..).zip(story.stepwise).chain([(0, at_once)]) {
        views.catch_up(&mut journal).unwrap();
        let listed = |state: Option<&str>, journal: &mut Journal| {
            let filter = Filter { state: state.map(str::to_owned), ..Filter::default() };
            views.awus(&filter, 1_000, journal).unwrap().records
        };
        assert_eq!(listed(None, &mut journal), expected, "in stretches of {length}");
        for state in ["RESERVED", "EXECUTING", "IN_DOUBT", "SETTLED", "RELEASED", "REFUSED"] {
            let of_state: Vec<_> =
                expected.iter().filter(|record| record.state() == state).cloned().collect();
            assert_eq!(listed(Some(state), &mut journal), of_state, "{state} in stretches of {length}");
        }
        for number in 0..3 {
            let latest = expected.iter().find(|record| record.id() == awu(number)).cloned();
            assert_eq!(views.awu(awu(number), &mut journal).unwrap(), latest, "{length}");
        }
        assert_eq!(views.estimates().unwrap(), estimates, "in stretches of {length}");
    }
}

#[tokio::test]
async fn a_step_takes_no_more_than_a_stretch_also_of_entries_that_change_nothing_in_the_tables() {
    let ledger = open(&MemoryStore::default()).await;
    ledger.submit(wall(), held(1)).unwrap().durable().await.unwrap();
    let extend = || Command::Extend { awu: awu(1), within_ns: 1_000_000_000 };
    for _ in 0..200 {
        for _ in 0..99 {
            ledger.submit(wall(), extend()).unwrap();
        }
        ledger.submit(wall(), extend()).unwrap().durable().await.unwrap();
    }
    let mut journal = ledger.journal().unwrap();
    let mut views = Views::in_memory().unwrap();
    let mut steps = Vec::new();
    while views.step(&mut journal).unwrap() {
        steps.push(views.as_of());
    }
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(steps.last(), Some(&20_001));
}
