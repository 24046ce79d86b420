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
        // division rounds the true quotient once. Zeros at the end are not significant.
        const SURE_MAX: u128 = 999_999_999_999_999;
        let (mut atoms, mut scale) = (self.0, Self::WHOLE);
        while atoms.unsigned_abs() > SURE_MAX && scale > 1 && atoms % 10 == 0 {
            atoms /= 10;
            scale /= 10;
        }
        if atoms.unsigned_abs() <= SURE_MAX {
            return (atoms as f64 / scale as f64, true);
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
        let magnitude = self.0.unsigned_abs();
        let (mut whole, mut rest) =
            (magnitude / Self::WHOLE.unsigned_abs(), magnitude % Self::WHOLE.unsigned_abs());
        // From the last digit to the first; zeros at the end are left out.
        let mut text = Backwards::default();
        let mut decimals = if rest == 0 { 0 } else { Self::DECIMALS };
        while decimals > 0 && rest % 10 == 0 {
            rest /= 10;
            decimals -= 1;
        }
        if decimals > 0 {
            for _ in 0..decimals {
                text.digit(&mut rest);
            }
            text.push(b'.');
        }
        text.digit(&mut whole);
        while whole > 0 {
            text.digit(&mut whole);
        }
        f.pad_integral(self.0 >= 0, "", text.as_str())
    }
}

/// A short text that is written from its end: 39 digits of an `i128` and a point fit.
struct Backwards {
    bytes: [u8; 41],
    length: usize,
}

impl Default for Backwards {
    fn default() -> Self {
        Self { bytes: [0; 41], length: 0 }
    }
}

impl Backwards {
    fn digit(&mut self, number: &mut u128) {
        let [low, ..] = (*number % 10).to_le_bytes();
        *number /= 10;
        self.push(b'0' + low);
    }

    fn push(&mut self, byte: u8) {
        self.length += 1;
        if let Some(place) = self.bytes.len().checked_sub(self.length).and_then(|at| self.bytes.get_mut(at)) {
            *place = byte;
        }
    }

    fn as_str(&self) -> &str {
        let text = self.bytes.len().checked_sub(self.length).and_then(|at| self.bytes.get(at..));
        text.and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
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
        fn the_double_is_the_nearest_one(atoms in -(1_i128 << 90)..(1_i128 << 90), zeros in 0_u32..13) {
            let amount = Amount::from_atoms(atoms / 10_i128.pow(zeros) * 10_i128.pow(zeros));
            let (double, exact) = amount.to_f64();
            prop_assert_eq!(double, amount.to_string().parse::<f64>().unwrap());
            prop_assert_eq!(exact, double.to_string().parse() == Ok(amount));
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
