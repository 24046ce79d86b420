//! Amounts and their units: exact integers, never floats.
//!
//! An [`Amount`] counts 1e-12 of a unit in an `i128` (99.25 % of published prices are exact at that
//! scale). Arithmetic is checked. The double on the wire is made last, by [`Amount::to_f64`].

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an amount counts (section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// US dollars.
    Usd,
    /// Tokens, input and output together.
    Tokens,
}

impl Unit {
    /// The word on the wire, for `genops.accounting.unit`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Tokens => "tokens",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A quantity of some unit, in 1e-12 of it ("atoms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be counted.
    pub const MAX: Self = Self(i128::MAX);
    /// Decimal digits after the point.
    pub const DECIMALS: usize = 12;
    /// Atoms in one whole unit.
    const WHOLE: i128 = 1_000_000_000_000;

    /// So many atoms of 1e-12 of a unit.
    #[must_use]
    pub const fn from_atoms(atoms: i128) -> Self {
        Self(atoms)
    }

    /// So many whole units; never overflows.
    #[must_use]
    pub const fn from_whole(units: u64) -> Self {
        Self(units as i128 * Self::WHOLE)
    }

    /// The amount in atoms of 1e-12 of a unit.
    #[must_use]
    pub const fn atoms(self) -> i128 {
        self.0
    }

    /// The sum, or `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// The difference, or `None` on overflow.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// The nearest double, for the wire (correctly rounded, ties to even), and whether it still tells this
    /// amount from every other: whether its shortest decimal text is this amount's.
    #[must_use]
    pub fn to_f64(self) -> (f64, bool) {
        // Fifteen significant digits always survive, and both operands are exact doubles, so IEEE 754
        // division rounds the true quotient once.
        const SURE_MAX: u128 = 999_999_999_999_999;
        if self.0.unsigned_abs() <= SURE_MAX {
            return (self.0 as f64 / Self::WHOLE as f64, true);
        }
        // Decimal text of a finite number always parses, and parsing rounds correctly.
        let double: f64 = self.to_string().parse().unwrap_or(f64::NAN);
        (double, double.to_string().parse() == Ok(self))
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

/// Decimal text without trailing zeros: `0.0000138`, `-2`, `12.5`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.unsigned_abs() / Self::WHOLE.unsigned_abs();
        let rest = self.0.unsigned_abs() % Self::WHOLE.unsigned_abs();
        let mut text = whole.to_string();
        if rest != 0 {
            let decimals = format!("{rest:0width$}", width = Self::DECIMALS);
            text.push('.');
            text.push_str(decimals.trim_end_matches('0'));
        }
        f.pad_integral(self.0 >= 0, "", &text)
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Reads plain decimal text: an optional minus, digits, optionally a point and at most twelve
    /// decimals that are not trailing zeros. No exponent, no grouping, no sign of plus.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, decimals) = match digits.split_once('.') {
            Some((_, "")) => return Err(InvalidAmount::NotDecimal),
            Some((whole, decimals)) => (whole, decimals.trim_end_matches('0')),
            None => (digits, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(decimals.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(InvalidAmount::NotDecimal);
        }
        if decimals.len() > Self::DECIMALS {
            return Err(InvalidAmount::TooPrecise);
        }
        let text = format!("{whole}{decimals:0<width$}", width = Self::DECIMALS);
        let atoms: i128 = text.parse().map_err(|_| InvalidAmount::TooLarge)?;
        Ok(Self(if negative { -atoms } else { atoms }))
    }
}

/// Why a text is not an [`Amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Something else than digits and a point.
    #[error("must be a plain decimal number such as `12.50`, without exponent or grouping")]
    NotDecimal,
    /// More than twelve decimals.
    #[error("must not have more than 12 decimals")]
    TooPrecise,
    /// Beyond what an `i128` of atoms holds.
    #[error("is too large to count in 1e-12 of a unit")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_text_reads_exactly_or_not_at_all() {
        let cases = [
            ("0", Ok(0)),
            ("1", Ok(1_000_000_000_000)),
            ("0.000000000001", Ok(1)),
            ("0.0000138", Ok(13_800_000)),
            ("-2.50", Ok(-2_500_000_000_000)),
            ("1.000000000000000000", Ok(1_000_000_000_000)),
            ("0.0000000000001", Err(InvalidAmount::TooPrecise)),
            ("", Err(InvalidAmount::NotDecimal)),
            ("-", Err(InvalidAmount::NotDecimal)),
            (".5", Err(InvalidAmount::NotDecimal)),
            ("1.", Err(InvalidAmount::NotDecimal)),
            ("+1", Err(InvalidAmount::NotDecimal)),
            ("1e3", Err(InvalidAmount::NotDecimal)),
            ("1,000", Err(InvalidAmount::NotDecimal)),
            ("NaN", Err(InvalidAmount::NotDecimal)),
            ("999999999999999999999999999999", Err(InvalidAmount::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected.map(Amount::from_atoms), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(atoms in any::<i128>().prop_filter("has a negation", |a| *a != i128::MIN)) {
            let amount = Amount::from_atoms(atoms);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }

        #[test]
        fn the_double_is_the_nearest_one(atoms in -(1_i128 << 90)..(1_i128 << 90)) {
            let amount = Amount::from_atoms(atoms);
            prop_assert_eq!(amount.to_f64().0, amount.to_string().parse::<f64>().unwrap());
        }

        #[test]
        fn amounts_of_fifteen_digits_survive_the_wire(atoms in 0_i128..1_000_000_000_000_000) {
            let (double, exact) = Amount::from_atoms(atoms).to_f64();
            prop_assert!(exact && double.to_string().parse() == Ok(Amount::from_atoms(atoms)));
        }
    }

    #[test]
    fn an_amount_that_a_double_blurs_is_known() {
        assert!(!Amount::from_atoms((1 << 60) + 1).to_f64().1);
    }
}
