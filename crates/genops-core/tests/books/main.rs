//! The books against a naive model: random commands, every invariant after every entry.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod model;

use std::sync::Arc;

use genops_core::audit::Auditor;
use genops_core::awu::{AwuId, End, Execution, Proposal, TraceContext, Used};
use genops_core::budget::{Budget, Selector};
use genops_core::ledger::{self, Admit, ApplyError, Books, Command, Entry, Outcome};
use genops_core::policy::{ModelRule, Policy};
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Per, RateRule};
use genops_core::record::AwuRecord;
use genops_core::time::Period;
use genops_core::{Amount, Attribution, Name, Timestamp, Unit};
use model::Model;
use proptest::prelude::*;

/// One random step; identities and budgets are picked from few, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Adopt {
        limits: Vec<u64>,
        allow_all: bool,
    },
    Admit {
        awu: u8,
        team: usize,
        project: usize,
        input: u64,
        output: u64,
        bounded: bool,
        priced: bool,
        starts: bool,
    },
    Start {
        awu: u8,
    },
    Release {
        awu: u8,
    },
    Settle {
        awu: u8,
        used: Used,
    },
    Orphan {
        awu: u8,
    },
    Wait {
        nanos: u64,
    },
}

const DAY: u64 = 86_400_000_000_000;

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..2_000, 1 => Just(0), 1 => Just(u64::MAX)]
}

fn step() -> impl Strategy<Value = Step> {
    let awu = 0_u8..12;
    let used = prop_oneof![
        6 => (tokens(), tokens()).prop_map(|(input, output)| Used::Reported(Tokens::new(input, output))),
        1 => Just(Used::Nothing),
        1 => Just(Used::Unknown),
        1 => (tokens(), tokens()).prop_map(|(input, output)| Used::Counted(Tokens::new(input, output))),
    ];
    prop_oneof![
        1 => (prop::collection::vec(0_u64..6_000, 4), any::<bool>())
            .prop_map(|(limits, allow_all)| Step::Adopt { limits, allow_all }),
        8 => (awu.clone(), 0_usize..3, 0_usize..2, tokens(), tokens(), prop::bool::weighted(0.9), prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(awu, team, project, input, output, bounded, priced, starts)| {
                Step::Admit { awu, team, project, input, output, bounded, priced, starts }
            }),
        3 => awu.clone().prop_map(|awu| Step::Start { awu }),
        1 => awu.clone().prop_map(|awu| Step::Release { awu }),
        5 => (awu.clone(), used).prop_map(|(awu, used)| Step::Settle { awu, used }),
        1 => awu.prop_map(|awu| Step::Orphan { awu }),
        1 => (0..2 * DAY).prop_map(|nanos| Step::Wait { nanos }),
    ]
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Four budgets of different units and periods, overlapping; team `c` is covered by none in US dollars.
fn policy(limits: &[u64], allow_all: bool) -> Policy {
    let team = |team: &str| Selector { team: vec![name(team)], ..Selector::default() };
    let project = |project: &str| Selector { project: vec![name(project)], ..Selector::default() };
    let usd = |limit| Amount::from_atoms(i128::from(limit) * 1_000_000);
    let budget = |at: usize, called: &str, selector, unit, period| Budget {
        name: name(called),
        selector,
        unit,
        limit: if unit == Unit::Usd { usd(limits[at]) } else { Amount::from_whole(limits[at]) },
        period,
    };
    let rate = |called: &str, selector, requests, burst| RateRule {
        name: name(called),
        selector,
        requests,
        per: Per::Day,
        burst,
    };
    Policy {
        accounting_unit: Unit::Usd,
        models: vec![ModelRule {
            name: name("models"),
            selector: team("b"),
            allow: if allow_all { vec![name("*")] } else { vec![name("small*")] },
        }],
        // Intervals that are no whole number of nanoseconds.
        rates: vec![rate("a-rate", team("a"), 7, 3), rate("p-rate", project("p"), 11, 2)],
        budgets: vec![
            budget(0, "a-ever", team("a"), Unit::Usd, Period::None),
            budget(1, "b-day", team("b"), Unit::Usd, Period::Day),
            budget(2, "tokens-month", Selector::default(), Unit::Tokens, Period::Month),
            budget(3, "p-day", project("p"), Unit::Usd, Period::Day),
        ],
    }
}

/// Steps name a slot; the identity in it changes when its AWU has ended, since an identity is used once.
fn command(step: &Step, generations: &[u8]) -> Option<Command> {
    let id = |slot: &u8| {
        let mut trace_id = [slot + 1; 16];
        trace_id[0] = generations[usize::from(*slot)];
        AwuId { trace_id, span_id: [slot + 1; 8] }
    };
    Some(match step {
        Step::Adopt { limits, allow_all } => Command::AdoptPolicy(policy(limits, *allow_all)),
        Step::Admit { awu, team, project, input, output, bounded, priced, starts } => {
            let teams = ["a", "b", "c"];
            let projects = ["p", "q"];
            let attribution = Attribution::new(Some(teams[*team]), Some(projects[*project]), Some("test"));
            let price = || Price::flat(name("row"), "0.15".parse().unwrap(), "0.60".parse().unwrap());
            Command::Admit(Arc::new(Admit {
                awu: id(awu),
                trace: TraceContext::Root,
                starts: *starts,
                proposal: Proposal {
                    attribution: attribution.unwrap(),
                    operation_name: name("chat"),
                    operation_type: name("inference"),
                    key: None,
                    provider: name("provider"),
                    model: name("large"),
                    bound: Tokens::new(*input, *output),
                    unbounded: (!bounded).then(|| name("audio")),
                    price: priced.then(price),
                },
            }))
        }
        Step::Start { awu } => Command::Start { awu: id(awu) },
        Step::Release { awu } => Command::Release { awu: id(awu) },
        Step::Settle { awu, used } => Command::Settle {
            awu: id(awu),
            execution: Execution { end: End::Completed, used: *used, latency_ns: 1, response_model: None },
        },
        Step::Orphan { awu } => Command::Orphan { awu: id(awu) },
        Step::Wait { .. } => return None,
    })
}

/// Runs the steps; gives the journal and the books.
fn run(steps: &[Step], mut after_each: impl FnMut(&Entry, &Books, &Books)) -> (Vec<Entry>, Books) {
    let mut books = Books::default();
    let mut journal = Vec::new();
    let mut wall = 1_793_491_200_000_000_000;
    let mut generations = [0; 12];
    for step in steps {
        if let Step::Wait { nanos } = step {
            wall += nanos;
        }
        let Some(command) = command(step, &generations) else { continue };
        let before = books.clone();
        match ledger::apply(&mut books, Timestamp::from_nanos(wall), command) {
            Ok(entry) => {
                after_each(&entry, &before, &books);
                let ended = matches!(entry.outcome, Outcome::Settled(_) | Outcome::Released);
                if let (true, Some(awu)) = (ended, AwuRecord::subject(&entry.command)) {
                    generations[usize::from(awu.span_id[0] - 1)] += 1;
                }
                journal.push(entry);
            }
            Err(ApplyError::Rejected(_)) => assert_eq!(before, books, "a rejection changed the books"),
            Err(ApplyError::Broken(mismatch)) => panic!("{mismatch}"),
        }
    }
    (journal, books)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_books_agree_with_the_naive_model_and_every_invariant_holds(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut auditor = Auditor::default();
        let mut model = Model::default();
        let (_, books) = run(&steps, |entry, before, after| {
            auditor.follow(entry, after).unwrap();
            model.follow(entry);
            model.compare(after);
            if matches!(entry.outcome, Outcome::Refused(_)) {
                assert_eq!(before.cells(), after.cells(), "a refusal changed a cell");
            }
        });
        auditor.conclude(&books).unwrap();
    }

    #[test]
    fn the_same_commands_give_the_same_bytes_and_the_journal_the_same_books(
        steps in prop::collection::vec(step(), 1..120),
    ) {
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
}
