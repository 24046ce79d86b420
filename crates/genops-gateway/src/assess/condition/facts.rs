//! What conditions may ask about, by name and type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genops_core::Timestamp;
use genops_core::awu::Proposal;
use genops_core::selector::Facet;

/// What is known of a call when conditions are asked.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// What it asks to do.
    pub proposal: &'a Proposal,
    /// Whether the answer is to be streamed.
    pub streamed: bool,
    /// When it is looked at.
    pub time: Timestamp,
    /// Those of its headers that the configuration admits, by their names in lower case.
    pub headers: BTreeMap<&'a str, Cow<'a, str>>,
}

/// One of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Text(TextFact),
    Tokens(TokenFact),
    Streamed,
    Time,
    Headers,
}

/// A fact that is a string; empty where nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFact {
    Facet(Facet),
    Operation,
    Region,
}

/// A fact that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFact {
    Input,
    Output,
}

const OTHERS: [(&str, Fact); 7] = [
    ("operation", Fact::Text(TextFact::Operation)),
    ("region", Fact::Text(TextFact::Region)),
    ("max_input_tokens", Fact::Tokens(TokenFact::Input)),
    ("max_output_tokens", Fact::Tokens(TokenFact::Output)),
    ("streamed", Fact::Streamed),
    ("time", Fact::Time),
    ("headers", Fact::Headers),
];

impl Fact {
    /// Every fact, with its name.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let facets = Facet::ALL.into_iter().map(|facet| (facet.as_str(), Self::Text(TextFact::Facet(facet))));
        facets.chain(OTHERS)
    }
}

impl TextFact {
    pub(super) fn of<'a>(self, facts: &Facts<'a>) -> &'a str {
        let name = match self {
            Self::Facet(facet) => facts.proposal.facet(facet),
            Self::Operation => Some(&facts.proposal.operation_name),
            Self::Region => facts.proposal.region.as_ref(),
        };
        name.map_or("", |name| name.as_str())
    }
}

impl TokenFact {
    pub(super) fn of(self, facts: &Facts<'_>) -> i64 {
        let tokens = match self {
            Self::Input => facts.proposal.bound.input,
            Self::Output => facts.proposal.bound.output,
        };
        i64::try_from(tokens).unwrap_or(i64::MAX)
    }
}
