//! The attributes of the specification by number, so that each is looked up once and then found by its place.
//!
//! Names and types are those of [`genops_spec::attribute`]; nothing is defined here.

use std::sync::LazyLock;

use genops_spec::attribute::{self, Attribute, Kind};

use crate::otlp::value::NAMESPACE;

/// An attribute that the specification defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

/// How many there are.
pub const COUNT: usize = attribute::ALL.len();

/// No attribute of the specification has a longer name.
const LENGTH_MAX: usize = 48;

/// The attributes by the length of their names: few have the same.
static BY_LENGTH: LazyLock<[Vec<Key>; LENGTH_MAX + 1]> =
    LazyLock::new(|| std::array::from_fn(|length| all().filter(|key| key.name().len() == length).collect()));

/// Every attribute.
pub fn all() -> impl Iterator<Item = Key> {
    (0..=u8::MAX).take(COUNT).map(Key)
}

impl Key {
    /// The attribute with this name, if the specification defines it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        BY_LENGTH.get(name.len())?.iter().copied().find(|key| key.name() == name)
    }

    /// The attribute whose name is this one behind `genops.`, if the specification defines it.
    #[must_use]
    pub fn within(rest: &str) -> Option<Self> {
        let named = BY_LENGTH.get(NAMESPACE.len() + rest.len())?;
        named.iter().copied().find(|key| key.name().strip_prefix(NAMESPACE) == Some(rest))
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
