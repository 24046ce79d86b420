//! Amounts and their units: exact integers, never floats.
//!
//! An [`Amount`] counts 1e-12 of a unit in an `i128` (99.25 % of published prices are exact at that
//! scale). Arithmetic is checked. The double on the wire is made last, by [`Amount::to_f64`].

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// What an amount counts (section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// US dollars.
    Usd,
    /// Tokens, input and output together.
    Tokens,
    /// AWUs that were sent to be executed: each counts one.
    Requests,
    /// A unit that people have declared, such as `compute_seconds`.
    Declared(UnitName),
}

/// The name of a declared unit: 1 to 31 lower-case letters, digits and `_`, beginning with a letter, and none of the
/// words of the other units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

/// So much of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub amount: Amount,
}

impl Unit {
    /// The word on the wire, for `genops.accounting.unit`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Usd => "USD",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::Declared(name) => name.as_str(),
        }
    }
}

impl FromStr for Unit {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "USD" => Ok(Self::Usd),
            "tokens" => Ok(Self::Tokens),
            "requests" => Ok(Self::Requests),
            declared => UnitName::new(declared).map(Self::Declared),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl UnitName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 31;

    /// Checks a name and keeps it.
    ///
    /// # Errors
    ///
    /// It is not a unit's name.
    pub fn new(text: &str) -> Result<Self, InvalidUnit> {
        let is_taken = ["usd", "tokens", "requests"].contains(&text);
        let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let length = u8::try_from(text.len()).map_err(|_| InvalidUnit)?;
        let mut bytes = [0; Self::BYTES_MAX];
        let room = bytes.get_mut(..text.len()).ok_or(InvalidUnit)?;
        room.copy_from_slice(text.as_bytes());
        if is_taken || !begins_well || !text.bytes().all(is_plain) {
            return Err(InvalidUnit);
        }
        Ok(Self { bytes, length })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for UnitName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for UnitName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// The text is not a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a unit is `USD`, `tokens`, `requests`, or a name of your own: 1 to 31 lower-case letters, digits and `_`, \
     beginning with a letter"
)]
pub struct InvalidUnit;

/// A quantity of some unit, in 1e-12 of it ("atoms"). Where people read, it is serialised as decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be counted.
    pub const MAX: Self = Self(i128::MAX);
    /// The most that one step may allocate, reserve, charge, correct or grant: a thousand million million units. It takes
    /// 170,000 million such steps to come to what cannot be counted, so no sum of the books ever does.
    pub const STEP_MAX: Self = Self(1_000_000_000_000_000 * Self::WHOLE);
    /// Decimal digits after the point.
    pub const DECIMALS: usize = 12;
    /// Atoms in one whole unit.
    const WHOLE: i128 = 1_000_000_000_000;

    /// So many atoms of 1e-12 of a unit.
    #[must_use]
    pub const fn from_atoms(atoms: i128) -> Self {
        Self(atoms)
    }

    /// Reads a number as JSON writes it, `1.5e-07` too, times ten to the power of `shift`: exactly, digit by
    /// digit, or not at all.
    ///
    /// # Errors
    ///
    /// Anything but a number, one with more than twelve decimals, or one too large.
    pub fn from_number(text: &str, shift: i32) -> Result<Self, InvalidAmount> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, exponent.parse().map_err(|_| InvalidAmount::NotDecimal)?)
            }
            None => (text, 0_i32),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", mantissa),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || (decimals.is_empty() && digits.contains('.')) {
            return Err(InvalidAmount::NotDecimal);
        }
        // How many of all digits stand before the point.
        let point =
            i32::try_from(whole.len()).ok().and_then(|place| place.checked_add(exponent)?.checked_add(shift));
        let all = format!("{whole}{decimals}");
        if all.bytes().all(|digit| digit == b'0') {
            return Ok(Self::ZERO);
        }
        // Beyond these marks no number with a digit in it can be counted, and none needs to be written out.
        let plain = match point.ok_or(InvalidAmount::TooLarge)? {
            100.. => return Err(InvalidAmount::TooLarge),
            ..-100 => return Err(InvalidAmount::TooPrecise),
            point @ 1.. => {
                let point = usize::try_from(point).map_err(|_| InvalidAmount::TooLarge)?;
                let padded = format!("{all:0<point$}");
                let (whole, decimals) = padded.split_at_checked(point).ok_or(InvalidAmount::NotDecimal)?;
                format!("{negative}{whole}.{decimals}0")
            }
            point => {
                let zeros = usize::try_from(point.unsigned_abs()).map_err(|_| InvalidAmount::TooPrecise)?;
                format!("{negative}0.{:0<zeros$}{all}", "")
            }
        };
        plain.parse()
    }

    /// Whether one step may come to so much, or take so much away.
    #[must_use]
    pub const fn is_step(self) -> bool {
        self.0.unsigned_abs() <= Self::STEP_MAX.0.unsigned_abs()
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

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// So much with the other sign, or `None` on overflow.
    #[must_use]
    pub const fn checked_neg(self) -> Option<Self> {
        match self.0.checked_neg() {
            Some(atoms) => Some(Self(atoms)),
            None => None,
        }
    }

    /// So many hundredths of it, rounded down; `None` on overflow.
    #[must_use]
    pub const fn percent(self, percent: u16) -> Option<Self> {
        match self.0.checked_mul(percent as i128) {
            Some(atoms) => Some(Self(atoms.div_euclid(100))),
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
        const SHORTEST_MAX: u128 = 99_999_999_999_999_999;
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
        // The shortest text of a double has at most seventeen significant digits.
        let may_be_exact = atoms.unsigned_abs() <= SHORTEST_MAX || atoms % 10 == 0;
        (double, may_be_exact && double.to_string().parse() == Ok(self))
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

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            text::parsed(deserializer)
        } else {
            i128::deserialize(deserializer).map(Self)
        }
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

    #[test]
    fn a_number_of_json_reads_exactly_or_not_at_all() {
        // text, shift, expected as plain decimal text
        let cases = [
            ("0.15", 0, Ok("0.15")),
            ("3", 0, Ok("3")),
            ("1.5e-07", 6, Ok("0.15")),
            ("1.5E-7", 6, Ok("0.15")),
            ("0.00000015", 6, Ok("0.15")),
            ("1e-06", 6, Ok("1")),
            ("3e-05", 6, Ok("30")),
            ("1.25e+2", 0, Ok("125")),
            ("-2.5e-1", 0, Ok("-0.25")),
            ("1e-18", 6, Ok("0.000000000001")),
            ("1e-19", 6, Err(InvalidAmount::TooPrecise)),
            ("1.5000000000000002e-07", 6, Err(InvalidAmount::TooPrecise)),
            ("0e999999999", 6, Ok("0")),
            ("1e999999999", 0, Err(InvalidAmount::TooLarge)),
            ("1e2147483647", 6, Err(InvalidAmount::TooLarge)),
            ("1e-999999999", 0, Err(InvalidAmount::TooPrecise)),
            ("1e99999999999", 0, Err(InvalidAmount::NotDecimal)),
            ("", 0, Err(InvalidAmount::NotDecimal)),
            ("e5", 0, Err(InvalidAmount::NotDecimal)),
            ("1.", 0, Err(InvalidAmount::NotDecimal)),
            ("0x1", 0, Err(InvalidAmount::NotDecimal)),
            ("null", 0, Err(InvalidAmount::NotDecimal)),
            ("\"1\"", 0, Err(InvalidAmount::NotDecimal)),
        ];
        for (text, shift, expected) in cases {
            let expected = expected.map(|plain| plain.parse::<Amount>().unwrap());
            assert_eq!(Amount::from_number(text, shift), expected, "{text:?}");
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
