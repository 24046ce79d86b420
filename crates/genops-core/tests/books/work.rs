//! Random work for a ledger: steps that proptest can make and shrink. Identities, names and rules are picked from few,
//! so that they meet. What the steps stand for is in [`commands`] and [`policies`]. Nothing is decided here.

mod commands;
mod policies;

use genops_core::Name;
use genops_core::awu::{End, Failure, Used};
use genops_core::price::Tokens;
use genops_core::rule::{ContentKind, Found};
use proptest::prelude::*;

pub use commands::command;

/// One random step.
#[derive(Debug, Clone)]
pub enum Step {
    Adopt(Knobs),
    Admit(Call),
    Start { which: Which },
    Extend { which: Which, within_ns: u64 },
    Release { which: Which },
    Settle { which: Which, late: bool, ending: Ending },
    Orphan { which: Which },
    Expire { which: Which },
    Resolve { which: Which, ending: Ending },
    Correct(Fix),
    Grant(Lent),
    Revoke { back: usize },
    Lapse { back: usize, due: bool },
    Report { which: Which },
    Erase,
    Wait { nanos: u64 },
}

/// Which AWU a step is about: one of the open ones, by its place, in the state that the step needs, or in any.
#[derive(Debug, Clone, Copy)]
pub struct Which {
    place: usize,
    fits: bool,
}

/// How an execution went.
#[derive(Debug, Clone)]
pub struct Ending {
    end: End,
    used: Used,
    /// Thousandths of a second of computing, and of a dollar.
    said: [Option<u64>; 2],
    latency_ns: u64,
}

/// A correction.
#[derive(Debug, Clone)]
pub struct Fix {
    /// Which of those that were admitted, counted from the last.
    back: usize,
    /// To how many percent of what it was charged.
    percent: i128,
    /// Whether it is made as it should be, or how not.
    flaw: Flaw,
}

/// What is wrong with a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    Empty,
    Twice,
    NoSuchCell,
    TooMuch,
}

/// A grant.
#[derive(Debug, Clone)]
pub struct Lent {
    /// A place in [`BUDGETS`], or beyond.
    budget: usize,
    /// The values, places in [`CUSTOMERS`] and [`TEAMS`] for the budgets that have shares; or for all of it.
    of: Option<usize>,
    /// In hundreds of what limits are counted in.
    amount: u64,
    for_ns: u64,
}

/// A policy is made of these.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Which of the [`RULES`] there are.
    present: Vec<bool>,
    /// Which of them only observe; the last is the mode of the policy itself.
    observes: Vec<bool>,
    /// Smaller choices, one by one.
    options: Vec<bool>,
    /// How many calls may be in flight for each customer.
    calls: u64,
    /// The least output that a cap may leave, in every budget that caps.
    minimum: u64,
    budgets: Vec<Room>,
}

/// What is random in a budget.
#[derive(Debug, Clone)]
struct Room {
    limit: u64,
    caps: bool,
    lends: Lends,
    /// Percents.
    alerts: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
enum Lends {
    Nothing,
    Some(u64),
    Everything,
}

/// A call that asks to be admitted.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whether its identity is that of an AWU which is open.
    is_again: bool,
    /// Places in [`TEAMS`], [`PROJECTS`], [`CUSTOMERS`], [`PROVIDERS`], [`MODELS`] and [`REGIONS`].
    who: [usize; 6],
    /// Whether it is other work than a call of a model: no provider, no tokens.
    is_work: bool,
    input: u64,
    /// The output of one choice.
    output: u64,
    choices: u64,
    bounded: bool,
    priced: bool,
    starts: bool,
    within_ns: Option<u64>,
    /// Thousandths of a second of computing, and of a dollar, at most.
    most: [Option<u64>; 2],
    /// A place among the units that it may account in.
    unit: Option<usize>,
    key: Option<Key>,
    /// What was found about each of the [`ASSESSED`].
    found: [Vec<Found>; 4],
    assessed: AssessedUnder,
}

/// An idempotency key.
#[derive(Debug, Clone, Copy)]
enum Key {
    /// One of few, with one of two payloads.
    Plain(u8, u8),
    /// A UUID that was made so many milliseconds ago.
    Dated(u64),
}

/// Under which policy the call was assessed.
#[derive(Debug, Clone, Copy)]
enum AssessedUnder {
    InForce,
    Another,
    None,
}

pub const CUSTOMERS: [Option<&str>; 3] = [None, Some("acme"), Some("zeta")];
pub const PROVIDERS: [&str; 2] = ["alpha", "beta"];
/// One is called as a project is.
const TEAMS: [&str; 3] = ["a", "b", "p"];
const PROJECTS: [&str; 2] = ["p", "q"];
const MODELS: [&str; 2] = ["small-1", "large"];
const REGIONS: [Option<&str>; 3] = [Some("eu-west"), Some("us-east"), None];
const ASSESSED: [&str; 4] = ["night", "note", "cards", "mail"];
const BUDGETS: [&str; 9] = [
    "a-ever",
    "b-day",
    "tokens-month",
    "p-day",
    "requests-hour",
    "team-rolling",
    "seconds-rolling",
    "campaign",
    "tokens-rolling",
];

/// How many rules a policy can have.
const RULES: usize = 14 + BUDGETS.len();

/// The beginning of all work: a day on which New York has 25 hours.
pub const BEGIN: u64 = 1_793_491_200 * SECOND;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

// === strategies ===

/// A policy, and steps.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    (knobs(), prop::collection::vec(step(), 1..120)).prop_map(|(knobs, mut steps)| {
        steps.insert(0, Step::Adopt(knobs));
        steps
    })
}

/// The same few calls again and again, under one of two policies that ask about traffic and room, so that equal questions are
/// asked of equal states and of states that differ in one thing.
pub fn repeated() -> impl Strategy<Value = Vec<Step>> {
    let room = |limit| Room { limit, caps: true, lends: Lends::Nothing, alerts: vec![50] };
    let knobs = move |odd: usize| Knobs {
        present: (0..RULES).map(|rule| rule > 1).collect(),
        observes: (0..=RULES).map(|rule| rule % 2 == odd).collect(),
        options: vec![true; 11],
        calls: 2,
        minimum: 10,
        budgets: [9_000, 9_000, 20_000, 9_000, 20_000, 12_000, 9_000, 9_000, 9_000].map(room).to_vec(),
    };
    let call = |team: usize, customer: usize, output: u64| Call {
        is_again: false,
        who: [team, 0, customer, 0, 0, 0],
        is_work: false,
        input: 700,
        output,
        choices: 1,
        bounded: true,
        priced: true,
        starts: true,
        within_ns: None,
        most: [None, None],
        unit: None,
        key: None,
        found: Default::default(),
        assessed: AssessedUnder::InForce,
    };
    let calls = vec![call(0, 0, 700), call(0, 1, 700), call(1, 0, 700), call(2, 0, 1_400)]
        .into_iter()
        .map(Step::Admit);
    let settle = |end, (input, output), millis: u64| Step::Settle {
        which: Which { place: 0, fits: true },
        late: false,
        ending: Ending {
            end,
            used: Used::Reported(Tokens::new(input, output)),
            said: [None, None],
            latency_ns: millis * 1_000_000,
        },
    };
    let failed = End::ProviderError(Failure::Status(503));
    let step = prop_oneof![
        6 => prop::sample::select(calls.collect::<Vec<_>>()),
        2 => Just(settle(End::Completed, (700, 700), 30)),
        2 => Just(settle(End::Completed, (100, 100), 3)),
        1 => Just(settle(failed, (0, 0), 1)),
        1 => Just(Step::Wait { nanos: SECOND / 2 }),
    ];
    (0_usize..2, prop::collection::vec(step, 1..30)).prop_map(move |(odd, mut steps)| {
        steps.insert(0, Step::Adopt(knobs(odd)));
        steps
    })
}

fn step() -> impl Strategy<Value = Step> {
    let which = || (0_usize..12, prop::bool::weighted(0.9)).prop_map(|(place, fits)| Which { place, fits });
    let within_ns = || 0..4 * SECOND;
    prop_oneof![
        2 => knobs().prop_map(Step::Adopt).boxed(),
        48 => call().prop_map(Step::Admit).boxed(),
        6 => which().prop_map(|which| Step::Start { which }).boxed(),
        2 => (which(), within_ns()).prop_map(|(which, within_ns)| Step::Extend { which, within_ns }).boxed(),
        2 => which().prop_map(|which| Step::Release { which }).boxed(),
        32 => (which(), prop::bool::weighted(0.1), ending())
            .prop_map(|(which, late, ending)| Step::Settle { which, late, ending }).boxed(),
        3 => which().prop_map(|which| Step::Orphan { which }).boxed(),
        6 => which().prop_map(|which| Step::Expire { which }).boxed(),
        3 => (which(), ending()).prop_map(|(which, ending)| Step::Resolve { which, ending }).boxed(),
        6 => fix().prop_map(Step::Correct).boxed(),
        3 => lent().prop_map(Step::Grant).boxed(),
        2 => (0_usize..4).prop_map(|back| Step::Revoke { back }).boxed(),
        4 => (0_usize..4, prop::bool::weighted(0.8)).prop_map(|(back, due)| Step::Lapse { back, due }).boxed(),
        1 => which().prop_map(|which| Step::Report { which }).boxed(),
        1 => Just(Step::Erase),
        22 => (0..3 * SECOND).prop_map(|nanos| Step::Wait { nanos }).boxed(),
        1 => (0..2 * DAY).prop_map(|nanos| Step::Wait { nanos }).boxed(),
    ]
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![40 => 0_u64..2_000, 4 => Just(0), 1 => Just(u64::MAX)]
}

/// Thousandths; mostly none.
fn thousandths(share: f64) -> impl Strategy<Value = [Option<u64>; 2]> {
    (prop::option::weighted(share, 0_u64..4_000), prop::option::weighted(share / 2.0, 0_u64..5))
        .prop_map(Into::into)
}

fn ending() -> impl Strategy<Value = Ending> {
    let latency = prop_oneof![19 => 0_u64..50_000_000, 1 => Just(u64::MAX)];
    (end(), used(), thousandths(0.4), latency).prop_map(|(end, used, said, latency_ns)| Ending {
        end,
        used,
        said,
        latency_ns,
    })
}

fn used() -> impl Strategy<Value = Used> {
    let tokens = || (tokens(), tokens()).prop_map(|(input, output)| Tokens::new(input, output));
    prop_oneof![
        8 => tokens().prop_map(Used::Reported),
        1 => Just(Used::Nothing),
        1 => Just(Used::Unknown),
        1 => tokens().prop_map(Used::Counted),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let failure = |failure| End::ProviderError(failure);
    prop_oneof![
        20 => Just(End::Completed),
        5 => Just(failure(Failure::Status(503))),
        1 => Just(failure(Failure::Status(429))),
        1 => Just(failure(Failure::Status(400))),
        2 => Just(failure(Failure::Timeout)),
        1 => Just(failure(Failure::Connection)),
        1 => Just(failure(Failure::Unreachable)),
        1 => Just(End::AtReservation),
        1 => Just(End::NeverSent),
        1 => Just(End::Cancelled),
        1 => Just(End::Abandoned),
        1 => Just(End::Failed),
    ]
}

fn fix() -> impl Strategy<Value = Fix> {
    let flaw = prop_oneof![
        12 => Just(Flaw::None),
        1 => Just(Flaw::Empty),
        1 => Just(Flaw::Twice),
        1 => Just(Flaw::NoSuchCell),
        1 => Just(Flaw::TooMuch),
    ];
    (0_usize..12, 0_i128..300, flaw).prop_map(|(back, percent, flaw)| Fix { back, percent, flaw })
}

fn lent() -> impl Strategy<Value = Lent> {
    (0..=BUDGETS.len(), prop::option::of(0_usize..3), 0_u64..100, 0..6 * SECOND)
        .prop_map(|(budget, of, amount, for_ns)| Lent { budget, of, amount, for_ns })
}

fn call() -> impl Strategy<Value = Call> {
    let mostly = |place: usize| prop_oneof![3 => Just(place), 1 => Just(1 - place)];
    let who = (0_usize..3, 0_usize..2, 0_usize..3, mostly(0), mostly(1), 0_usize..3);
    let likely = || prop::bool::weighted(0.96);
    let assessed = prop_oneof![
        30 => Just(AssessedUnder::InForce),
        1 => Just(AssessedUnder::Another),
        1 => Just(AssessedUnder::None),
    ];
    let key = prop_oneof![
        3 => (0_u8..4, 0_u8..2).prop_map(|(key, payload)| Key::Plain(key, payload)),
        1 => (0_u64..6_000).prop_map(Key::Dated),
    ];
    let more = (
        prop::bool::weighted(0.15),
        thousandths(0.3),
        prop::option::weighted(0.2, 0_usize..4),
        prop::option::weighted(0.3, 0..4 * SECOND),
        prop::option::weighted(0.25, key),
    );
    let flags = (likely(), likely(), prop::bool::weighted(0.8), prop::bool::weighted(0.05));
    (who, tokens(), tokens(), 1_u64..4, flags, found(), assessed, more).prop_map(
        |(who, input, output, choices, (bounded, priced, starts, is_again), found, assessed, more)| {
            let (is_work, most, unit, within_ns, key) = more;
            Call {
                is_again,
                who: who.into(),
                is_work,
                input,
                // All choices together can be counted.
                output: output / choices,
                choices,
                bounded,
                priced,
                starts,
                within_ns,
                most,
                unit,
                key,
                found,
                assessed,
            }
        },
    )
}

fn found() -> BoxedStrategy<[Vec<Found>; 4]> {
    let mostly_none = |found: Found| {
        let (found, failed) = (Just(vec![found]), Just(vec![Found::Failed]));
        prop_oneof![9 => Just(Vec::new()), 1 => found, 1 => failed]
    };
    let content = prop_oneof![
        9 => Just(Vec::new()),
        1 => Just(vec![Found::Content { kind: ContentKind::Email, count: 2 }]),
        1 => Just(vec![
            Found::Content { kind: ContentKind::PaymentCard, count: 1 },
            Found::Content { kind: ContentKind::Email, count: 3 },
        ]),
    ];
    (mostly_none(Found::Holds), mostly_none(Found::Holds), content.clone(), content)
        .prop_map(Into::into)
        .boxed()
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let bools = |share: f64, count: usize| prop::collection::vec(prop::bool::weighted(share), count);
    let lends = prop_oneof![
        3 => Just(Lends::Nothing),
        2 => (1_u64..10_000).prop_map(Lends::Some),
        1 => Just(Lends::Everything),
    ];
    let alerts = prop::collection::vec(prop::sample::select(vec![10_u16, 50, 80, 100, 130]), 0..4);
    let room = (0_u64..25_000, prop::bool::weighted(0.6), lends, alerts)
        .prop_map(|(limit, caps, lends, alerts)| Room { limit, caps, lends, alerts });
    let rooms = prop::collection::vec(room, BUDGETS.len());
    (bools(0.55, RULES), bools(0.4, RULES + 1), bools(0.6, 11), 1_u64..7, 1_u64..300, rooms).prop_map(
        |(present, observes, options, calls, minimum, budgets)| Knobs {
            present,
            observes,
            options,
            calls,
            minimum,
            budgets,
        },
    )
}
