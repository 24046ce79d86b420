//! The index over rules: what it finds is what asking each rule finds, in the same order.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use genops_core::awu::{Labels, Proposal};
use genops_core::index::{Index, Selective};
use genops_core::selector::{Facet, Selector};
use genops_core::{Attribution, Name};
use proptest::prelude::*;

/// Three values, so that rules and proposals meet.
const VALUES: [&str; 3] = ["x", "y", "z"];

/// A rule as it is written down: which facets may have which values.
type Written = Vec<(Facet, Vec<usize>)>;

#[derive(Debug)]
struct Rule {
    place: usize,
    selector: Selector,
}

impl Selective for Rule {
    fn selector(&self) -> &Selector {
        &self.selector
    }
}

fn name(value: usize) -> Name {
    Name::new(VALUES[value]).unwrap()
}

fn facet() -> impl Strategy<Value = Facet> {
    // Some are written more often than others, so that clauses differ in how common they are.
    prop_oneof![2 => Just(Facet::Team), 1 => prop::sample::select(Facet::ALL.to_vec())]
}

/// Values may stand twice in a clause, a facet may stand in two clauses, and a rule may have none.
fn rules() -> impl Strategy<Value = Vec<Written>> {
    let clause = (facet(), prop::collection::vec(0..VALUES.len(), 1..4));
    prop::collection::vec(prop::collection::vec(clause, 0..4), 0..30)
}

/// What is known of a call, facet by facet; some are known of every call.
fn facts() -> impl Strategy<Value = [Option<usize>; 11]> {
    prop::array::uniform11(prop::option::weighted(0.8, 0..VALUES.len()))
}

fn proposal(facts: [Option<usize>; 11]) -> Proposal {
    let known = |place: usize| facts[place].unwrap_or_default();
    let [team, project, environment] = [0, 1, 2].map(|place| Some(VALUES[known(place)]));
    let optional = |place: usize| facts[place].map(name);
    Proposal {
        labels: Labels {
            customer_id: optional(3),
            feature: optional(4),
            cost_center: optional(5),
            session_id: optional(6),
        },
        key: optional(7),
        ..Proposal::new(
            Attribution::new(team, project, environment).unwrap(),
            Name::new("chat").unwrap(),
            name(known(10)),
            name(known(8)),
            name(known(9)),
        )
    }
}

/// Whether a rule covers a call, by what was written and what is known, and nothing else.
fn covers(written: &Written, facts: &[Option<usize>; 11]) -> bool {
    written.iter().all(|(facet, values)| {
        let place = Facet::ALL.iter().position(|other| other == facet).unwrap();
        let is_always_known = !(3..=7).contains(&place);
        let fact = if is_always_known { Some(facts[place].unwrap_or_default()) } else { facts[place] };
        fact.is_some_and(|fact| values.contains(&fact))
    })
}

fn selector(written: &Written) -> Selector {
    written.iter().fold(Selector::default(), |selector, (facet, values)| {
        selector.with(*facet, values.iter().map(|value| name(*value)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_index_finds_what_asking_every_rule_finds_in_the_same_order(
        written in rules(),
        calls in prop::collection::vec(facts(), 1..8),
    ) {
        let rules: Vec<_> =
            written.iter().enumerate().map(|(place, written)| Rule { place, selector: selector(written) }).collect();
        let index = Index::over(&rules);
        for facts in calls {
            let proposal = proposal(facts);
            let found: Vec<_> = index.covering(&rules, &proposal).iter().map(|rule| rule.place).collect();
            let asked: Vec<_> =
                rules.iter().filter(|rule| rule.selector.matches(&proposal)).map(|rule| rule.place).collect();
            let by_hand: Vec<_> = (0..written.len()).filter(|place| covers(&written[*place], &facts)).collect();
            prop_assert_eq!(&found, &asked);
            prop_assert_eq!(&found, &by_hand);
        }
    }
}

#[test]
fn no_values_narrow_nothing() {
    let everyone = Selector::default().with(Facet::Team, Vec::new());
    assert_eq!(everyone, Selector::default());
    assert!(everyone.matches(&proposal([None; 11])));
}
