//! The attributes of the specification by number, so that each is looked up once and then found by its place.
//!
//! Names and types are those of [`genops_spec::attribute`]; nothing is defined here.

use genops_spec::attribute::{self, Attribute, Kind};

use crate::otlp::value::NAMESPACE;

/// An attribute that the specification defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

/// How many there are.
pub const COUNT: usize = attribute::ALL.len();

/// No attribute of the specification has a longer name.
const LENGTH_MAX: usize = 48;

/// The attributes by the length of their names, of which few have the same: the place of the first, and behind each
/// that of the next.
static BY_LENGTH: ([u8; LENGTH_MAX + 1], [u8; COUNT]) = by_length();

/// Behind the last attribute of a length.
const NO_MORE: u8 = u8::MAX;

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses a place that is not there"
)]
const fn by_length() -> ([u8; LENGTH_MAX + 1], [u8; COUNT]) {
    let (mut first, mut next) = ([NO_MORE; LENGTH_MAX + 1], [NO_MORE; COUNT]);
    let mut place = NO_MORE;
    while place > 0 {
        place -= 1;
        if (place as usize) < COUNT {
            let length = attribute::ALL[place as usize].key.len();
            next[place as usize] = first[length];
            first[length] = place;
        }
    }
    (first, next)
}

/// The attributes whose names have a length, in the order of [`attribute::ALL`].
fn of_length(length: usize) -> impl Iterator<Item = Key> {
    let (first, next) = &BY_LENGTH;
    let known = |place: u8| (place != NO_MORE).then_some(Key(place));
    let begin = first.get(length).copied().and_then(known);
    std::iter::successors(begin, move |key| next.get(key.place()).copied().and_then(known))
}

/// Every attribute.
pub fn all() -> impl Iterator<Item = Key> {
    (0..=u8::MAX).take(COUNT).map(Key)
}

impl Key {
    /// The attribute with this name, if the specification defines it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::spelt(name.as_bytes())
    }

    /// The attribute with this name, of which nobody knows yet whether it is text.
    #[must_use]
    pub fn spelt(name: &[u8]) -> Option<Self> {
        of_length(name.len()).find(|key| key.name().as_bytes() == name)
    }

    /// The attribute whose name is this one behind `genops.`, if the specification defines it.
    #[must_use]
    pub fn within(rest: &str) -> Option<Self> {
        of_length(NAMESPACE.len() + rest.len()).find(|key| key.name().strip_prefix(NAMESPACE) == Some(rest))
    }

    /// Its place among all of them.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// Its definition.
    #[must_use]
    pub fn attribute(self) -> &'static Attribute {
        // Only the constants below, which a test holds against the specification's, and `all` make keys.
        attribute::ALL.get(self.place()).unwrap_or(&attribute::TEAM)
    }

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.attribute().key
    }

    /// The type of its value.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.attribute().kind
    }
}

macro_rules! keys {
    ($($name:ident),* $(,)?) => {
        keys!(@ 0_u8; $($name,)*);
        #[cfg(test)]
        const NAMED: &[(Key, Attribute)] = &[$(($name, attribute::$name)),*];
    };
    (@ $place:expr; $name:ident, $($rest:ident,)*) => {
        #[doc = concat!("[`attribute::", stringify!($name), "`]")]
        pub const $name: Key = Key($place);
        keys!(@ $place + 1; $($rest,)*);
    };
    (@ $place:expr;) => {};
}

// In the order of `attribute::ALL`.
keys!(
    TEAM,
    PROJECT,
    ENVIRONMENT,
    OPERATION_NAME,
    OPERATION_TYPE,
    VERSION,
    POLICY_RESULT,
    POLICY_REASON_CODE,
    ACCOUNTING_RESERVED,
    ACCOUNTING_UNIT,
    ACCOUNTING_ACTUAL,
    RECONCILIATION_DELTA,
    BUDGET_NAME,
    BUDGET_ALLOCATED,
    BUDGET_CONSUMED,
    BUDGET_REMAINING,
    BUDGET_PERIOD,
    POLICY_NAME,
    POLICY_REASON,
    POLICY_TIMESTAMP,
    COST_TOTAL,
    COST_CURRENCY,
    COST_PROVIDER,
    COST_MODEL,
    TOKENS_INPUT,
    TOKENS_OUTPUT,
    TOKENS_TOTAL,
    EVAL_METRIC,
    EVAL_SCORE,
    EVAL_THRESHOLD,
    EVAL_PASSED,
    SLA_TIER,
    SLA_LATENCY_TARGET_MS,
    SLA_ACTUAL_LATENCY_MS,
    SLA_MET,
    CUSTOMER_ID,
    FEATURE,
    SESSION_ID,
    COST_CENTER,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_the_attribute_of_its_name() {
        assert_eq!(NAMED.len(), COUNT);
        for (key, attribute) in NAMED {
            assert_eq!(key.attribute(), attribute);
            assert_eq!(Key::named(attribute.key), Some(*key));
        }
        assert_eq!(Key::named("genops.teams"), None);
        assert_eq!(Key::named(&"x".repeat(100)), None);
        assert!(all().all(|key| key.name().len() <= LENGTH_MAX));
    }
}
