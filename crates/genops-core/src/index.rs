//! An index over rules: which of them cover a proposal, without asking each.
//!
//! It is made from a policy and holds nothing else; the same policy gives the same index. Rules that look at the same
//! facets stand together, each under every combination of the values that it takes: one look-up for such a group finds
//! them. What an index finds is asked once more by the rule's own selector.

use std::collections::HashMap;

use crate::awu::Proposal;
use crate::name::Name;
use crate::selector::{Clause, Facet, Selector};

/// A rule that is about the AWUs which a selector chooses.
pub trait Selective {
    /// Whom it is about.
    fn selector(&self) -> &Selector;
}

/// Where the rules of one list stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    groups: Vec<Group>,
}

/// Rules that look at the same facets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    /// In their order; none for rules that cover every AWU.
    facets: Vec<Facet>,
    /// The rules, by the values of the facets.
    rules: HashMap<Box<[Name]>, Vec<usize>>,
}

/// A rule with more combinations than that stands under the values of one of its clauses alone.
const COMBINATIONS_MAX: usize = 64;

impl Index {
    /// An index over `rules`.
    #[must_use]
    pub fn over<R: Selective>(rules: &[R]) -> Self {
        let mut index = Self::default();
        let mut group_of: HashMap<Vec<Facet>, usize> = HashMap::new();
        for (place, rule) in rules.iter().enumerate() {
            let clauses = clauses_to_stand_under(rule.selector());
            let facets: Vec<Facet> = clauses.iter().map(|clause| clause.facet).collect();
            let at = *group_of.entry(facets.clone()).or_insert_with(|| {
                index.groups.push(Group { facets, rules: HashMap::new() });
                index.groups.len() - 1
            });
            let Some(group) = index.groups.get_mut(at) else { continue };
            for values in combinations(&clauses) {
                let places = group.rules.entry(values).or_default();
                // A value that stands twice in a clause counts once.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The rules that cover `proposal`, in the order of the list that the index was made over.
    pub fn covering<'a, R: Selective>(&self, rules: &'a [R], proposal: &Proposal) -> Vec<&'a R> {
        self.places(rules, proposal).into_iter().map(|(_, rule)| rule).collect()
    }

    /// As [`covering`](Self::covering), each with its place in the list.
    pub fn places<'a, R: Selective>(&self, rules: &'a [R], proposal: &Proposal) -> Vec<(usize, &'a R)> {
        let mut places = Vec::new();
        let mut values: Vec<Name> = Vec::new();
        for group in &self.groups {
            values.clear();
            values.extend(group.facets.iter().map_while(|facet| proposal.facet(*facet).cloned()));
            // A proposal without one of the facets is covered by none of these rules.
            if values.len() == group.facets.len() {
                places.extend(group.rules.get(values.as_slice()).into_iter().flatten());
            }
        }
        places.sort_unstable();
        let found = places.into_iter().filter_map(|place: usize| Some((place, rules.get(place)?)));
        found.filter(|(_, rule)| rule.selector().matches(proposal)).collect()
    }
}

/// The clauses whose values a rule stands under, in the order of their facets: all of them, or the one with the fewest
/// values where all have too many combinations, or a facet stands in two.
fn clauses_to_stand_under(selector: &Selector) -> Vec<&Clause> {
    let mut clauses: Vec<&Clause> = selector.clauses().iter().collect();
    clauses.sort_by_key(|clause| clause.facet);
    let is_twice =
        clauses.windows(2).any(|pair| pair.first().map(|a| a.facet) == pair.last().map(|b| b.facet));
    let combinations = clauses.iter().try_fold(1_usize, |all, clause| all.checked_mul(clause.values.len()));
    if is_twice || combinations.is_none_or(|combinations| combinations > COMBINATIONS_MAX) {
        let fewest = clauses.iter().copied().min_by_key(|clause| clause.values.len());
        return fewest.into_iter().collect();
    }
    clauses
}

/// Every combination of a value of each clause.
fn combinations(clauses: &[&Clause]) -> Vec<Box<[Name]>> {
    let mut all: Vec<Vec<Name>> = vec![Vec::new()];
    for clause in clauses {
        let longer = all.iter().flat_map(|begun| {
            clause.values.iter().map(|value| begun.iter().chain([value]).cloned().collect())
        });
        all = longer.collect();
    }
    all.into_iter().map(Vec::into_boxed_slice).collect()
}
