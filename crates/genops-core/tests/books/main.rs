//! The books against a naive model: random commands under random policies, every invariant after every entry.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod explained;
mod model;
mod work;

use std::cell::RefCell;
use std::collections::HashMap;

use genops_core::admit::Ruling;
use genops_core::audit::Auditor;
use genops_core::ledger::{self, ApplyError, Books, Command, Entry, Outcome, Rejection};
use genops_core::record::{AwuRecord, Journaled};
use genops_core::{Digest, Timestamp};
use model::Model;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use work::{BEGIN, Step, command, repeated, steps};

/// What happened to a command, and to the records of AWUs.
enum News<'a> {
    Applied(&'a Entry, &'a [AwuRecord]),
    Rejected(&'a Command, Timestamp, Rejection),
}

/// Runs the steps; gives the journal and the books.
fn run(steps: &[Step], mut after_each: impl FnMut(&News<'_>, &Books, &Books)) -> (Vec<Entry>, Books) {
    let mut books = Books::default();
    let mut journal = Vec::new();
    let mut records = Vec::new();
    let mut wall = BEGIN;
    for (place, step) in (0..).zip(steps) {
        if let Step::Wait { nanos } = step {
            wall += nanos;
        }
        let at = Timestamp::from_nanos(wall);
        let Some(command) = command(step, place, at, &books, &records) else { continue };
        let before = books.clone();
        match ledger::apply(&mut books, at, command.clone()) {
            Ok(entry) => {
                tell(&mut records, &entry);
                after_each(&News::Applied(&entry, &records), &before, &books);
                journal.push(entry);
            }
            Err(ApplyError::Rejected(rejection)) => {
                assert_eq!(before, books, "a rejection changed the books");
                after_each(&News::Rejected(&command, at, rejection), &before, &books);
            }
            Err(ApplyError::Broken(mismatch)) => panic!("{mismatch}"),
        }
    }
    (journal, books)
}

/// Takes an entry into the records of AWUs that it is about.
fn tell(records: &mut Vec<AwuRecord>, entry: &Entry) {
    if let Some(record) = record(entry) {
        records.push(record);
    } else if let Some(awu) = AwuRecord::subject(&entry.command)
        && let Some(record) = records.iter_mut().rfind(|record| record.id() == awu)
    {
        record.follow(entry.clone());
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) }
}

fn record(entry: &Entry) -> Option<AwuRecord> {
    AwuRecord::begin(Journaled { entry: entry.clone(), chain: Digest::ZERO })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_books_agree_with_the_naive_model_and_every_invariant_holds(steps in steps(), snapshot_at in 0_u64..80) {
        let mut auditor = Auditor::default();
        let mut later = None;
        let mut model = Model::default();
        let (_, books) = run(&steps, |news, before, after| match news {
            News::Rejected(command, at, rejection) => {
                assert_eq!(model.misfit(command, *at), Some((*rejection).into()), "rejected: {command:?}");
            }
            News::Applied(entry, records) => {
                assert_eq!(model.misfit(&entry.command, entry.at), None, "not rejected: {:?}", entry.command);
                auditor.follow(entry, after).unwrap();
                if let Some(auditor) = &mut later {
                    Auditor::follow(auditor, entry, after).unwrap();
                }
                if entry.sequence == snapshot_at {
                    later = Some(Auditor::over(after));
                }
                model.follow(entry, after);
                model.compare(after);
                check_records(&model, records);
                if matches!(entry.outcome, Outcome::Refused(_)) {
                    assert_eq!(before.cells(), after.cells(), "a refusal changed a cell");
                }
            }
        });
        auditor.conclude(&books).unwrap();
        if let Some(auditor) = later {
            auditor.conclude(&books).unwrap();
        }
    }

    #[test]
    fn books_that_were_kept_and_read_back_go_on_as_those_that_never_stopped(steps in steps()) {
        let (journal, _) = run(&steps, |_, _, _| ());
        let (mut books, mut kept) = (Books::default(), Books::default());
        for (place, entry) in journal.iter().enumerate() {
            ledger::evolve(&mut books, entry).unwrap();
            // Kept after each tenth entry, and gone on with.
            prop_assert_eq!(&ledger::decide(&kept, entry.at, &entry.command).unwrap(), &entry.outcome);
            ledger::evolve(&mut kept, entry).unwrap();
            if place % 10 == 4 {
                let bytes = postcard::to_stdvec(&kept).unwrap();
                kept = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(&kept, &books);
                prop_assert_eq!(postcard::to_stdvec(&books).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn the_same_commands_give_the_same_bytes_and_the_journal_the_same_books(steps in steps()) {
        let (journal, books) = run(&steps, |_, _, _| ());
        let (again, _) = run(&steps, |_, _, _| ());
        let bytes = |journal: &[Entry]| -> Vec<Vec<u8>> {
            journal.iter().map(|entry| postcard::to_stdvec(entry).unwrap()).collect()
        };
        prop_assert_eq!(bytes(&journal), bytes(&again));

        let mut recovered = Books::default();
        for bytes in bytes(&journal) {
            let entry: Entry = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&ledger::decide(&recovered, entry.at, &entry.command).unwrap(), &entry.outcome);
            ledger::evolve(&mut recovered, &entry).unwrap();
        }
        prop_assert_eq!(recovered, books);
    }

    #[test]
    fn an_explanation_lists_the_rules_that_were_asked_and_they_make_the_decision(steps in steps()) {
        run(&steps, |news, before, _| {
            let News::Applied(entry, _) = news else { return };
            if let Some(record) = record(entry) {
                explained::check(&record, before.in_force());
            }
        });
    }
}

/// What a record says that an AWU is charged is what the model says, cell by cell.
fn check_records(model: &Model, records: &[AwuRecord]) {
    for record in records.iter().filter(|record| record.ended_at().is_some()) {
        for (position, (key, charged)) in model.charged(record.id(), record.sequence).into_iter().enumerate()
        {
            assert_eq!(record.cells()[position].key, key);
            let told = record.charged_now(position).map_or(0, |(charged, _)| charged.atoms());
            assert_eq!(told, charged, "AWU {} in {key}", record.id());
        }
    }
}

/// A decision and everything that follows from it, but for what it is no part of: whether the start is recorded too,
/// and which number a cell has.
fn decided(entry: &Entry) -> (bool, Option<u64>, Ruling, Vec<String>) {
    let (is_admitted, limit, ruling) = match &entry.outcome {
        Outcome::Admitted(admitted) => (true, admitted.output_limit(), admitted.ruling()),
        Outcome::Refused(refused) => (false, None, &refused.ruling),
        outcome => panic!("an admission came to {outcome:?}"),
    };
    let cells = ruling.cells.iter().map(|step| format!("{:?} {} {:?}", step.key, step.amount, step.before));
    (is_admitted, limit, Ruling { cells: Vec::new(), ..ruling.clone() }, cells.collect())
}

/// Section 3.5: identical inputs and identical governance state give identical decisions.
#[test]
fn equal_digests_of_input_and_state_have_equal_outcomes() {
    let seen = RefCell::new(HashMap::new());
    let again = RefCell::new(0);
    let mut runner = TestRunner::new(ProptestConfig { cases: 1_500, ..config() });
    let result = runner.run(&repeated(), |steps| {
        run(&steps, |news, _, _| {
            let News::Applied(entry, _) = news else { return };
            let Some(record) = record(entry) else { return };
            let digests = (record.input_digest(), record.state_digest());
            if let Some(before) = seen.borrow_mut().insert(digests, decided(entry)) {
                assert_eq!(before, decided(entry));
                *again.borrow_mut() += 1;
            }
        });
        Ok(())
    });
    result.unwrap();
    assert!(*again.borrow() > 1_000, "only {} questions were asked twice", again.borrow());
}
