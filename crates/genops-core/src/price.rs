//! Prices and token counts, and what the one makes of the other.
//!
//! A cost is worked out in integers and rounded once, upward. Where prices come from, and how tokens are
//! counted, is not known here.

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::name::Name;

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens that the model reads.
    pub input: u64,
    /// Tokens that the model writes.
    pub output: u64,
}

/// One price row: what a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Where the row comes from, for people and for re-pricing.
    pub row: Name,
    /// US dollars for a million input tokens.
    pub input: Amount,
    /// US dollars for a million output tokens.
    pub output: Amount,
}

const PER: i128 = 1_000_000;

impl Tokens {
    /// Input and output together; `None` on overflow.
    #[must_use]
    pub const fn total(self) -> Option<u64> {
        self.input.checked_add(self.output)
    }
}

impl Price {
    /// What `tokens` cost in US dollars, rounded up to 1e-12 of a dollar; `None` on overflow.
    #[must_use]
    pub fn cost(&self, tokens: Tokens) -> Option<Amount> {
        let input = self.input.atoms().checked_mul(i128::from(tokens.input))?;
        let output = self.output.atoms().checked_mul(i128::from(tokens.output))?;
        let sum = input.checked_add(output)?;
        Some(Amount::from_atoms(sum.checked_add(PER - 1)?.div_euclid(PER)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: &str, output: &str) -> Price {
        Price {
            row: Name::new("test").unwrap(),
            input: input.parse().unwrap(),
            output: output.parse().unwrap(),
        }
    }

    #[test]
    fn costs_worked_out_by_hand() {
        // dollars per million in, out; tokens in, out; cost
        let cases = [
            ("0.15", "0.60", 12, 20, "0.0000138"),
            ("3", "15", 1_000_000, 1_000_000, "18"),
            ("0.0000001", "0", 1, 0, "0.000000000001"), // 1e-13 of a dollar: rounded up, once
            ("0.0000001", "0.0000001", 1, 1, "0.000000000001"), // 2e-13: not 1e-12 twice
            ("0", "0", u64::MAX, u64::MAX, "0"),
        ];
        for (input, output, read, written, cost) in cases {
            let tokens = Tokens { input: read, output: written };
            assert_eq!(price(input, output).cost(tokens), Some(cost.parse().unwrap()), "{input} {output}");
        }
    }

    #[test]
    fn a_cost_beyond_the_integers_is_none() {
        let dear = price("99999999999999999999", "0");
        assert_eq!(dear.cost(Tokens { input: u64::MAX, output: 0 }), None);
    }
}
