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
    /// Of the input, what came out of the provider's cache.
    pub cached_input: u64,
    /// Of the input, what the provider put into its cache. None of it came out of there.
    pub cache_write: u64,
    /// Of the output, what the model thought. It is charged as output; known for people.
    pub reasoning: u64,
}

/// One price row: what a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Where the row comes from, for people and for re-pricing.
    pub row: Name,
    /// What tokens cost while no tier applies.
    pub rates: Rates,
    /// What they cost instead, all of them, where a call reads much.
    pub tiers: Vec<Tier>,
}

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// A million input tokens.
    pub input: Amount,
    /// A million output tokens.
    pub output: Amount,
    /// A million input tokens that come out of the provider's cache; as other input where nobody says.
    pub cached_input: Option<Amount>,
    /// A million input tokens that are put into the provider's cache; as other input where nobody says.
    pub cache_write: Option<Amount>,
}

/// Other prices for calls that read much.
///
/// A tier is for the whole call, not for the tokens beyond its mark: so Anthropic, Google and OpenAI bill
/// long contexts, and so genai-prices defines its tiers (`TieredPrices`: "crossing a tier applies that rate
/// to ALL tokens").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// It applies to calls with more input tokens than this, cached ones included.
    pub above: u64,
    /// What tokens cost then.
    pub rates: Rates,
}

/// A step of working a cost out: so many tokens at one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What the tokens are, for people.
    pub what: &'static str,
    /// How many.
    pub tokens: u64,
    /// What a million of them costs, in US dollars.
    pub rate: Amount,
}

const PER: i128 = 1_000_000;

impl Tokens {
    /// Tokens of a call of which nothing more is known.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output, cached_input: 0, cache_write: 0, reasoning: 0 }
    }

    /// Input and output together; `None` on overflow.
    #[must_use]
    pub const fn total(self) -> Option<u64> {
        self.input.checked_add(self.output)
    }
}

impl Rates {
    /// The dearest rate that an input token can come to.
    fn dearest_input(&self) -> Amount {
        self.cached_input.max(self.cache_write).map_or(self.input, |cache| cache.max(self.input))
    }
}

impl Price {
    /// A price without tiers or cache: US dollars for a million input and a million output tokens.
    #[must_use]
    pub const fn flat(row: Name, input: Amount, output: Amount) -> Self {
        let rates = Rates { input, output, cached_input: None, cache_write: None };
        Self { row, rates, tiers: Vec::new() }
    }

    /// What the tokens of a call with so much input cost: the tier with the highest mark below it.
    #[must_use]
    pub fn rates_for(&self, input: u64) -> &Rates {
        let reached = self.tiers.iter().filter(|tier| input > tier.above);
        reached.max_by_key(|tier| tier.above).map_or(&self.rates, |tier| &tier.rates)
    }

    /// What `tokens` consist of, each part with its rate. Parts of the input are never more than the input,
    /// whatever was reported.
    #[must_use]
    pub fn parts(&self, tokens: Tokens) -> [Part; 4] {
        let rates = self.rates_for(tokens.input);
        let cached = tokens.cached_input.min(tokens.input);
        let written = tokens.cache_write.min(tokens.input - cached);
        let cached_rate = rates.cached_input.unwrap_or(rates.input);
        let write_rate = rates.cache_write.unwrap_or(rates.input);
        [
            Part { what: "input", tokens: tokens.input - cached - written, rate: rates.input },
            Part { what: "read from cache", tokens: cached, rate: cached_rate },
            Part { what: "written to cache", tokens: written, rate: write_rate },
            Part { what: "output", tokens: tokens.output, rate: rates.output },
        ]
    }

    /// What `tokens` cost in US dollars, rounded up to 1e-12 of a dollar; `None` on overflow.
    #[must_use]
    pub fn cost(&self, tokens: Tokens) -> Option<Amount> {
        let mut sum: i128 = 0;
        for part in self.parts(tokens) {
            sum = sum.checked_add(part.rate.atoms().checked_mul(i128::from(part.tokens))?)?;
        }
        rounded_up(sum)
    }

    /// The most that a call can cost in US dollars that uses no more than `most` tokens of either kind,
    /// however its input falls on the cache and whichever tier it ends in; `None` on overflow.
    ///
    /// A higher tier may have lower prices, so the dearest rate of every tier in reach counts.
    #[must_use]
    pub fn bound(&self, most: Tokens) -> Option<Amount> {
        let mut input = self.rates.dearest_input();
        let mut output = self.rates.output;
        for tier in self.tiers.iter().filter(|tier| most.input > tier.above) {
            input = input.max(tier.rates.dearest_input());
            output = output.max(tier.rates.output);
        }
        let input = input.atoms().checked_mul(i128::from(most.input))?;
        let output = output.atoms().checked_mul(i128::from(most.output))?;
        rounded_up(input.checked_add(output)?)
    }
}

/// From millionths of an atom to atoms, rounded up.
fn rounded_up(millionths: i128) -> Option<Amount> {
    Some(Amount::from_atoms(millionths.checked_add(PER - 1)?.div_euclid(PER)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn price(input: &str, output: &str) -> Price {
        Price::flat(name("test"), input.parse().unwrap(), output.parse().unwrap())
    }

    fn rates(input: &str, output: &str, cached: &str, written: &str) -> Rates {
        let optional = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Rates {
            input: input.parse().unwrap(),
            output: output.parse().unwrap(),
            cached_input: optional(cached),
            cache_write: optional(written),
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
            let tokens = Tokens::new(read, written);
            assert_eq!(price(input, output).cost(tokens), Some(cost.parse().unwrap()), "{input} {output}");
        }
    }

    #[test]
    fn a_tier_is_for_the_whole_call_and_begins_above_its_mark() {
        let tier = Tier { above: 200_000, rates: rates("2.5", "15", "0.25", "") };
        let price = Price { row: name("test"), rates: rates("1.25", "10", "0.125", ""), tiers: vec![tier] };
        // input, of it cached, output, cost
        let cases = [
            (200_000, 0, 1_000, "0.26"),        // 200,000 x 1.25 + 1,000 x 10 = 260,000
            (200_001, 0, 1_000, "0.5150025"),   // 200,001 x 2.5 + 1,000 x 15 = 515,002.5
            (200_001, 200_000, 0, "0.0500025"), // 1 x 2.5 + 200,000 x 0.25 = 50,002.5
            (10, 20, 0, "0.00000125"),          // no more than all of it comes from the cache: 10 x 0.125
        ];
        for (input, cached_input, output, cost) in cases {
            let tokens = Tokens { cached_input, ..Tokens::new(input, output) };
            assert_eq!(price.cost(tokens), Some(cost.parse().unwrap()), "{tokens:?}");
        }
    }

    #[test]
    fn a_bound_takes_no_discount_and_the_dearest_rate_in_reach() {
        let tier = Tier { above: 100, rates: rates("1", "30", "", "4") };
        let price = Price { row: name("test"), rates: rates("2", "10", "0.5", "3"), tiers: vec![tier] };
        // input, output, bound in millionths of a dollar: input 3 (to the cache), output 10; above 100: 4, 30
        let cases = [(100, 1, "0.00031"), (101, 1, "0.000434"), (0, 0, "0")];
        for (input, output, bound) in cases {
            assert_eq!(price.bound(Tokens::new(input, output)), Some(bound.parse().unwrap()), "{input}");
        }
    }

    #[test]
    fn a_cost_beyond_the_integers_is_none() {
        let dear = price("99999999999999999999", "0");
        assert_eq!(dear.cost(Tokens::new(u64::MAX, 0)), None);
        assert_eq!(dear.bound(Tokens::new(u64::MAX, 0)), None);
    }

    fn any_rates() -> impl Strategy<Value = Rates> {
        let amount = || (0_i128..100_000_000_000_000).prop_map(Amount::from_atoms);
        (amount(), amount(), proptest::option::of(amount()), proptest::option::of(amount())).prop_map(
            |(input, output, cached_input, cache_write)| Rates { input, output, cached_input, cache_write },
        )
    }

    fn any_price() -> impl Strategy<Value = Price> {
        let tier = (0_u64..2_000, any_rates()).prop_map(|(above, rates)| Tier { above, rates });
        (any_rates(), proptest::collection::vec(tier, 0..4)).prop_map(|(rates, tiers)| Price {
            row: name("any"),
            rates,
            tiers,
        })
    }

    proptest! {
        #[test]
        fn no_call_within_the_bound_costs_more_than_the_bound(
            price in any_price(),
            (most_in, most_out) in (0_u64..3_000, 0_u64..3_000),
            (input, output) in (0_u64..3_000, 0_u64..3_000),
            (cached_input, cache_write, reasoning) in (0_u64..4_000, 0_u64..4_000, 0_u64..4_000),
        ) {
            let (input, output) = (input.min(most_in), output.min(most_out));
            let tokens = Tokens { input, output, cached_input, cache_write, reasoning };
            prop_assert!(price.cost(tokens).unwrap() <= price.bound(Tokens::new(most_in, most_out)).unwrap());
        }

        #[test]
        fn the_parts_of_a_cost_are_all_the_tokens(price in any_price(), tokens in any::<[u64; 4]>()) {
            let [input, output, cached_input, cache_write] = tokens.map(|tokens| tokens / 2);
            let parts = price.parts(Tokens { input, output, cached_input, cache_write, reasoning: 0 });
            prop_assert_eq!(parts.iter().map(|part| part.tokens).sum::<u64>(), input + output);
        }
    }
}
