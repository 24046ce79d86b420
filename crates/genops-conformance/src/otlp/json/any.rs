//! JSON values of whatever type, met without failing: what does not fit is somebody's decision, not an error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Whoever takes a JSON value apart, of whatever type that is.
pub trait Reader<'de>: Sized {
    fn object<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error>;
    fn array<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error>;
    fn scalar(self, scalar: Scalar<'_>);
}

/// A JSON value that has no parts.
#[derive(Clone, Copy)]
pub enum Scalar<'t> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Double(f64),
    Text(&'t str),
}

/// Lets a [`Reader`] meet any type.
pub struct Any<R>(pub R);

impl<'de, R: Reader<'de>> DeserializeSeed<'de> for Any<R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, R: Reader<'de>> Visitor<'de> for Any<R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.scalar(Scalar::Null);
        Ok(())
    }

    fn visit_bool<E>(self, bool: bool) -> Result<(), E> {
        self.0.scalar(Scalar::Bool(bool));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.scalar(Scalar::Unsigned(number));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.scalar(Scalar::Negative(number));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.scalar(Scalar::Double(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.scalar(Scalar::Text(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.0.object(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.0.array(items)
    }
}

/// The name of a member, looked up without copying it.
pub struct Name<F>(pub F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}

pub fn pass_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<(), A::Error> {
    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

pub fn pass_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Above this not every integer is a double, so that a double need not be the integer that was meant.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl<'t> Scalar<'t> {
    pub const fn text(self) -> Option<&'t str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub const fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(bool),
            _ => None,
        }
    }

    /// An integer of 64 bits, as a number or as text.
    pub fn signed(self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => i64::try_from(number).ok(),
            Self::Negative(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
            Self::Double(double) => integer(double),
            Self::Null | Self::Bool(_) => None,
        }
    }

    pub fn unsigned(self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
            _ => u64::try_from(self.signed()?).ok(),
        }
    }

    pub fn double(self) -> Option<f64> {
        match self {
            Self::Double(double) => Some(double),
            Self::Unsigned(number) => Some(number as f64),
            Self::Negative(number) => Some(number as f64),
            Self::Text("NaN") => Some(f64::NAN),
            Self::Text("Infinity") => Some(f64::INFINITY),
            Self::Text("-Infinity") => Some(f64::NEG_INFINITY),
            // The other names that would be read are none in JSON.
            Self::Text(text)
                if text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) =>
            {
                text.parse().ok()
            }
            Self::Text(_) | Self::Null | Self::Bool(_) => None,
        }
    }
}

/// The integer that a JSON writer wrote with a point or an exponent, as `1e3`.
fn integer(double: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 is exact in both")]
    (double.fract() == 0.0 && double.abs() <= EXACT_MAX).then_some(double as i64)
}
