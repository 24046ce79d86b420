//! Random work for a ledger: steps that proptest can make and shrink, and the commands and policies that they stand
//! for. Identities, names and rules are picked from few, so that they meet. Nothing is decided here.

use std::sync::Arc;

use genops_core::awu::{AwuId, End, Execution, Failure, Labels, Proposal, State, Used};
use genops_core::budget::{Budget, OnInsufficient};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::ledger::{Admit, Books, Command};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::rule::{
    Assessment, ConditionRule, ContentKind, ContentRule, Effect, Found, ListRule, OnError,
};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::time::Period;
use genops_core::{Amount, Attribution, Digest, Name, Unit};
use proptest::prelude::*;

/// One random step.
#[derive(Debug, Clone)]
pub enum Step {
    Adopt(Knobs),
    Admit(Call),
    Start { which: Which },
    Release { which: Which },
    Settle { which: Which, end: End, used: Used, latency_ns: u64 },
    Orphan { which: Which },
    Wait { nanos: u64 },
}

/// Which AWU a step is about: one of the open ones, by its place, in the state that the step needs, or in any.
#[derive(Debug, Clone, Copy)]
pub struct Which {
    place: usize,
    fits: bool,
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
    /// Of the four budgets.
    limits: [u64; 4],
    /// How many calls may be in flight for each customer.
    calls: u64,
    /// The least output that a cap may leave, in every budget that caps.
    minimum: u64,
}

/// A call that asks to be admitted.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whether its identity is that of an AWU which is open.
    is_again: bool,
    /// Places in [`TEAMS`], [`PROJECTS`], [`CUSTOMERS`], [`PROVIDERS`], [`MODELS`] and [`REGIONS`].
    who: [usize; 6],
    input: u64,
    /// The output of one choice.
    output: u64,
    choices: u64,
    bounded: bool,
    priced: bool,
    starts: bool,
    /// What was found about each of the [`ASSESSED`].
    found: [Vec<Found>; 4],
    assessed: AssessedUnder,
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
const TEAMS: [&str; 3] = ["a", "b", "c"];
const PROJECTS: [&str; 2] = ["p", "q"];
const MODELS: [&str; 2] = ["small-1", "large"];
const REGIONS: [Option<&str>; 3] = [Some("eu-west"), Some("us-east"), None];
const ASSESSED: [&str; 4] = ["night", "note", "cards", "mail"];

/// How many rules a policy can have.
const RULES: usize = 18;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

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
    let knobs = |odd: usize| Knobs {
        present: (0..RULES).map(|rule| rule > 1).collect(),
        observes: (0..=RULES).map(|rule| rule % 2 == odd).collect(),
        options: vec![true; 10],
        limits: [9_000, 9_000, 20_000, 9_000],
        calls: 2,
        minimum: 10,
    };
    let call = |team: usize, customer: usize, output: u64| Call {
        is_again: false,
        who: [team, 0, customer, 0, 0, 0],
        input: 700,
        output,
        choices: 1,
        bounded: true,
        priced: true,
        starts: true,
        found: Default::default(),
        assessed: AssessedUnder::InForce,
    };
    let calls = vec![call(0, 0, 700), call(0, 1, 700), call(1, 0, 700), call(2, 0, 1_400)]
        .into_iter()
        .map(Step::Admit);
    let settle = |end, (input, output), millis: u64| Step::Settle {
        which: Which { place: 0, fits: true },
        end,
        used: Used::Reported(Tokens::new(input, output)),
        latency_ns: millis * 1_000_000,
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
    let latency = prop_oneof![19 => 0_u64..50_000_000, 1 => Just(u64::MAX)];
    prop_oneof![
        2 => knobs().prop_map(Step::Adopt),
        48 => call().prop_map(Step::Admit),
        6 => which().prop_map(|which| Step::Start { which }),
        2 => which().prop_map(|which| Step::Release { which }),
        36 => (which(), end(), used(), latency)
            .prop_map(|(which, end, used, latency_ns)| Step::Settle { which, end, used, latency_ns }),
        2 => which().prop_map(|which| Step::Orphan { which }),
        20 => (0..3 * SECOND).prop_map(|nanos| Step::Wait { nanos }),
        1 => (0..2 * DAY).prop_map(|nanos| Step::Wait { nanos }),
    ]
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![40 => 0_u64..2_000, 4 => Just(0), 1 => Just(u64::MAX)]
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
    ]
}

fn call() -> impl Strategy<Value = Call> {
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
    let found = (mostly_none(Found::Holds), mostly_none(Found::Holds), content.clone(), content);
    let mostly = |place: usize| prop_oneof![3 => Just(place), 1 => Just(1 - place)];
    let who = (0_usize..3, 0_usize..2, 0_usize..3, mostly(0), mostly(1), 0_usize..3);
    let likely = || prop::bool::weighted(0.96);
    let assessed = prop_oneof![
        30 => Just(AssessedUnder::InForce),
        1 => Just(AssessedUnder::Another),
        1 => Just(AssessedUnder::None),
    ];
    (
        prop::bool::weighted(0.05),
        who,
        tokens(),
        tokens(),
        1_u64..4,
        (likely(), likely(), prop::bool::weighted(0.8)),
        found,
        assessed,
    )
        .prop_map(
            |(is_again, who, input, output, choices, (bounded, priced, starts), found, assessed)| Call {
                is_again,
                who: who.into(),
                input,
                // All choices together can be counted.
                output: output / choices,
                choices,
                bounded,
                priced,
                starts,
                found: found.into(),
                assessed,
            },
        )
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let bools = |share: f64, count: usize| prop::collection::vec(prop::bool::weighted(share), count);
    let limits = prop::array::uniform4(0_u64..25_000);
    (bools(0.6, RULES), bools(0.5, RULES + 1), bools(0.6, 10), limits, 1_u64..7, 1_u64..300).prop_map(
        |(present, observes, options, limits, calls, minimum)| Knobs {
            present,
            observes,
            options,
            limits,
            calls,
            minimum,
        },
    )
}

// === what the steps stand for ===

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The command of a step that comes in the `place` after the first, an identity of its own.
pub fn command(step: &Step, place: u8, books: &Books) -> Option<Command> {
    let open = books.open_awus();
    let find = |which: Which, states: &[State]| {
        let of: Vec<_> = open
            .iter()
            .filter(|(_, awu)| !which.fits || states.contains(&awu.state))
            .map(|(id, _)| *id)
            .collect();
        of.get(which.place.checked_rem(of.len())?).copied()
    };
    let new = AwuId { trace_id: [place + 1; 16], span_id: [place + 1; 8] };
    let id = |which, states: &[State]| find(which, states).unwrap_or(new);
    Some(match *step {
        Step::Adopt(ref knobs) => Command::AdoptPolicy(Arc::new(policy(knobs))),
        Step::Admit(ref call) => {
            let assessed_under = match call.assessed {
                AssessedUnder::InForce => Some(books.policy_version()),
                AssessedUnder::Another => Some(Digest::ZERO),
                AssessedUnder::None => None,
            };
            let any = Which { place: 0, fits: false };
            let request = Admit::new(if call.is_again { id(any, &[]) } else { new }, proposal(call));
            Command::Admit(Arc::new(Admit { assessed_under, starts: call.starts, ..request }))
        }
        Step::Start { which } => Command::Start { awu: id(which, &[State::Reserved]) },
        Step::Release { which } => Command::Release { awu: id(which, &[State::Reserved]) },
        Step::Settle { which, end, used, latency_ns } => {
            let execution = Execution { end, used, ..Execution::abandoned(latency_ns) };
            Command::Settle { awu: id(which, &[State::Executing]), execution }
        }
        Step::Orphan { which } => Command::Orphan { awu: id(which, &[State::Reserved, State::Executing]) },
        Step::Wait { .. } => return None,
    })
}

fn proposal(call: &Call) -> Proposal {
    let [team, project, customer, provider, model, region] = call.who;
    let attribution = Attribution::new(Some(TEAMS[team]), Some(PROJECTS[project]), Some("test"));
    let assessed = ASSESSED.iter().zip(&call.found).flat_map(|(rule, found)| {
        found.iter().map(|found| Assessment { rule: name(rule), found: found.clone() })
    });
    let priced =
        call.priced.then(|| Price::flat(name("row"), "0.15".parse().unwrap(), "0.60".parse().unwrap()));
    Proposal {
        labels: Labels { customer_id: CUSTOMERS[customer].map(name), ..Labels::default() },
        region: REGIONS[region].map(name),
        bound: Tokens::new(call.input, call.output * call.choices),
        choices: call.choices,
        unbounded: (!call.bounded).then(|| name("audio")),
        price: priced,
        assessed: assessed.collect(),
        ..Proposal::new(
            attribution.unwrap(),
            name("chat"),
            name("inference"),
            name(PROVIDERS[provider]),
            name(MODELS[model]),
        )
    }
}

/// A policy of overlapping rules of every kind. Rates of one name are the same in every policy, so that what they hold
/// keeps its meaning from one policy to the next.
fn policy(knobs: &Knobs) -> Policy {
    let mode = |rule: usize| if knobs.observes[rule] { Mode::Observe } else { Mode::Enforce };
    let team = |team: &str| Selector::default().with(Facet::Team, vec![name(team)]);
    let project = |project: &str| Selector::default().with(Facet::Project, vec![name(project)]);
    let list = |rule, called: &str, selector, allow: &str| ListRule {
        name: name(called),
        selector,
        allow: vec![name(allow)],
        mode: mode(rule),
    };
    let tier = |rule, called: &str, selector, target_ms, refuses| SlaRule {
        name: name(called),
        selector,
        target_ms,
        first_token_target_ms: None,
        expected_miss: if refuses { ExpectedMiss::Refuse } else { ExpectedMiss::Warn },
        mode: mode(rule),
    };
    let circuit = |rule, provider: &str, failures, seconds| CircuitRule {
        provider: name(provider),
        failures,
        open_for_ns: seconds * SECOND,
        mode: mode(rule),
    };
    Policy {
        accounting_unit: if knobs.options[0] { Unit::Usd } else { Unit::Tokens },
        mode: mode(RULES),
        models: knobs
            .kept([(0, list(0, "models", team("b"), if knobs.options[1] { "*" } else { "small*" }))]),
        regions: knobs
            .kept([(1, list(1, "regions", project("q"), if knobs.options[2] { "eu*" } else { "*" }))]),
        conditions: conditions(knobs, mode(2), mode(3)),
        contents: contents(knobs, mode(4), mode(5)),
        circuits: knobs.kept([(6, circuit(6, "alpha", 2, 5)), (7, circuit(7, "beta", 1, 1))]),
        rates: rates(knobs, mode),
        slas: knobs.kept([
            (12, tier(12, "gold", team("a"), 15, knobs.options[3])),
            (13, tier(13, "plain", Selector::default(), 25, knobs.options[4])),
        ]),
        budgets: budgets(knobs, mode),
        ..Policy::unrestricted()
    }
}

fn conditions(knobs: &Knobs, night: Mode, note: Mode) -> Vec<ConditionRule> {
    let rule = |called: &str, selector, effect, on_error, mode| ConditionRule {
        name: name(called),
        selector,
        expression: "…".to_owned(),
        effect,
        on_error,
        mode,
    };
    let (deny, warn) = (Effect::Deny("x_night".parse().unwrap()), Effect::Warn("x_note".parse().unwrap()));
    let of_p = Selector::default().with(Facet::Project, vec![name("p")]);
    let night_fails = if knobs.options[5] { OnError::Refuse } else { OnError::Warn };
    knobs.kept([
        (2, rule("night", of_p, deny, night_fails, night)),
        (3, rule("note", Selector::default(), warn, OnError::Refuse, note)),
    ])
}

fn contents(knobs: &Knobs, cards: Mode, mail: Mode) -> Vec<ContentRule> {
    let rule = |called: &str, effect, mode| ContentRule {
        name: name(called),
        selector: Selector::default(),
        keywords: Vec::new(),
        patterns: Vec::new(),
        detect: vec![ContentKind::Email, ContentKind::PaymentCard],
        effect,
        mode,
    };
    let deny = Effect::Deny("POLICY_DENY_CONTENT".parse().unwrap());
    knobs.kept([
        (4, rule("cards", deny, cards)),
        (5, rule("mail", Effect::Warn("x_mail".parse().unwrap()), mail)),
    ])
}

fn rates(knobs: &Knobs, mode: impl Fn(usize) -> Mode) -> Vec<RateRule> {
    let rate = |which: usize, called: &str, facet: Option<(Facet, &str)>, limit| {
        let selector = facet.map_or_else(Selector::default, |(facet, value)| {
            Selector::default().with(facet, vec![name(value)])
        });
        let each = if which == 8 { Vec::new() } else { vec![Facet::CustomerId] };
        (which, RateRule { name: name(called), selector, each, limit, mode: mode(which) })
    };
    let flow = |measure, amount: &str, per, burst: &str| {
        let (amount, burst) = (amount.parse().unwrap(), burst.parse().unwrap());
        RateLimit::Flow(Flow { measure, amount, per, burst })
    };
    // Intervals that are no whole number of nanoseconds.
    knobs.kept([
        rate(8, "requests", Some((Facet::Team, "a")), flow(Measure::Requests, "7", Per::Minute, "3")),
        rate(9, "tokens", None, flow(Measure::Tokens, "1300", Per::Second, "4500")),
        rate(10, "dollars", Some((Facet::Project, "p")), flow(Measure::Usd, "0.017", Per::Minute, "0.0023")),
        rate(11, "flight", None, RateLimit::InFlight { calls: knobs.calls }),
    ])
}

/// Four budgets of different units and periods; without the first two, some team is covered by none in US dollars.
fn budgets(knobs: &Knobs, mode: impl Fn(usize) -> Mode) -> Vec<Budget> {
    let budget = |place: usize, called: &str, facet: Option<(Facet, &str)>, unit, period| {
        let selector = facet.map_or_else(Selector::default, |(facet, value)| {
            Selector::default().with(facet, vec![name(value)])
        });
        let limit = match unit {
            Unit::Usd => Amount::from_atoms(i128::from(knobs.limits[place]) * 400_000),
            Unit::Tokens => Amount::from_whole(knobs.limits[place]),
        };
        let on_insufficient = if knobs.options[6 + place] {
            OnInsufficient::Cap { minimum_output_tokens: knobs.minimum }
        } else {
            OnInsufficient::Refuse
        };
        let mode = mode(14 + place);
        (
            14 + place,
            Budget { selector, period, on_insufficient, mode, ..Budget::new(name(called), unit, limit) },
        )
    };
    knobs.kept([
        budget(0, "a-ever", Some((Facet::Team, "a")), Unit::Usd, Period::None),
        budget(1, "b-day", Some((Facet::Team, "b")), Unit::Usd, Period::Day),
        budget(2, "tokens-month", None, Unit::Tokens, Period::Month),
        budget(3, "p-day", Some((Facet::Project, "p")), Unit::Usd, Period::Day),
    ])
}

impl Knobs {
    fn kept<R, const N: usize>(&self, rules: [(usize, R); N]) -> Vec<R> {
        rules.into_iter().filter(|(which, _)| self.present[*which]).map(|(_, rule)| rule).collect()
    }
}
