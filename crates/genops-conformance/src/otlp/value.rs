//! Attribute values and attribute lists of OTLP, borrowed from the message that they stand in.
//!
//! Nothing is judged here: a value of the wrong type is a value, a key that stands twice stands twice.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::wire::{Broken, Field, Fields};
use crate::key::{self, Key};

/// A value, by its kind on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A list, not taken apart.
    Array(&'a [u8]),
    /// Keys and values, not taken apart.
    Map(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// No kind is set: OTLP's null.
    Empty,
    /// Text that is not UTF-8, or bytes that are no value.
    Malformed,
}

impl<'a> Value<'a> {
    /// Reads an `AnyValue`. Of several kinds the last one counts, as everywhere in Protocol Buffers.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Self {
        let mut value = Self::Empty;
        for field in Fields::of(message) {
            value = match field {
                Ok((1, Field::Bytes(text))) => std::str::from_utf8(text).map_or(Self::Malformed, Self::Text),
                Ok((2, Field::Varint(bool))) => Self::Bool(bool != 0),
                Ok((3, Field::Varint(int))) => Self::Int(int.cast_signed()),
                Ok((4, Field::Fixed64(bits))) => Self::Double(f64::from_bits(bits)),
                Ok((5, Field::Bytes(array))) => Self::Array(array),
                Ok((6, Field::Bytes(map))) => Self::Map(map),
                Ok((7, Field::Bytes(bytes))) => Self::Bytes(bytes),
                Ok((1..=7, _)) | Err(Broken) => return Self::Malformed,
                Ok(_) => value,
            };
        }
        value
    }

    /// The text, if it is one.
    #[must_use]
    pub const fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The double, if it is one.
    #[must_use]
    pub const fn double(&self) -> Option<f64> {
        match self {
            Self::Double(double) => Some(*double),
            _ => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub const fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The kind, as OTLP names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "stringValue",
            Self::Bool(_) => "boolValue",
            Self::Int(_) => "intValue",
            Self::Double(_) => "doubleValue",
            Self::Array(_) => "arrayValue",
            Self::Map(_) => "kvlistValue",
            Self::Bytes(_) => "bytesValue",
            Self::Empty => "a value without a kind",
            Self::Malformed => "a value that cannot be decoded",
        }
    }

    /// Whether two values are the same; unlike `==`, NaN is itself.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Double(one), Self::Double(another)) => one.to_bits() == another.to_bits(),
            _ => self == other,
        }
    }
}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Text(text) => text.hash(state),
            Self::Bool(bool) => bool.hash(state),
            Self::Int(int) => int.hash(state),
            Self::Double(double) => double.to_bits().hash(state),
            Self::Array(bytes) | Self::Map(bytes) | Self::Bytes(bytes) => bytes.hash(state),
            Self::Empty | Self::Malformed => {}
        }
    }
}

/// So much of a text is shown in findings, in characters.
const SHOWN: usize = 80;

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.chars().nth(SHOWN).is_some() => {
                let begin: String = text.chars().take(SHOWN).collect();
                write!(f, "stringValue {begin:?}…")
            }
            Self::Text(text) => write!(f, "stringValue {text:?}"),
            Self::Bool(bool) => write!(f, "boolValue {bool}"),
            Self::Int(int) => write!(f, "intValue {int}"),
            Self::Double(double) => write!(f, "doubleValue {double:?}"),
            _ => f.write_str(self.kind()),
        }
    }
}

/// A list of attributes, in its order, and where those of the specification stand in it.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    all: Vec<(&'a str, Value<'a>)>,
    /// One more than the first place of each attribute of the specification; 0 where it is absent.
    known: [u16; key::COUNT],
    /// A key of `genops.` that stands more than once.
    twice: Option<&'a str>,
    has_genops: bool,
    has_strangers: bool,
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self { all: Vec::new(), known: [0; key::COUNT], twice: None, has_genops: false, has_strangers: false }
    }
}

/// The name of an attribute, and which of the specification's it is. `None` if it is no text.
fn name_of(text: &[u8]) -> Option<(&str, Option<Key>)> {
    // A name that is known need not be looked at for being text.
    match text.starts_with(NAMESPACE.as_bytes()).then(|| Key::spelt(text)).flatten() {
        Some(known) => Some((known.name(), Some(known))),
        None => Some((std::str::from_utf8(text).ok()?, None)),
    }
}

/// A list holds no more than this: an attribute takes more room here than on the wire.
pub const ATTRIBUTES_MAX: usize = 1_024;

/// Most lists hold no more than about this.
const USUAL: usize = 8;

/// A list that is longer than anybody's is searched so far for a name that nobody knows.
const LOOKED_AT_MAX: usize = 256;

/// The namespace of the specification.
pub const NAMESPACE: &str = "genops.";

impl<'a> Attributes<'a> {
    /// Adds a `KeyValue` message. Gives `false` if it is none, or there are too many.
    pub fn add(&mut self, message: &'a [u8]) -> bool {
        if self.all.len() == ATTRIBUTES_MAX {
            return false;
        }
        let (mut name, mut value, mut is_whole) = (("", None), Value::Empty, true);
        for field in Fields::of(message) {
            match field {
                Ok((1, Field::Bytes(text))) => match name_of(text) {
                    Some(read) => name = read,
                    None => is_whole = false,
                },
                Ok((2, Field::Bytes(message))) => value = Value::read(message),
                Ok((1 | 2, _)) | Err(Broken) => is_whole = false,
                Ok(_) => {}
            }
        }
        self.push(name, value);
        is_whole
    }

    fn push(&mut self, (key, known): (&'a str, Option<Key>), value: Value<'a>) {
        if let Some(known) = known.and_then(|known| self.known.get_mut(known.place())) {
            self.has_genops = true;
            match *known {
                0 => *known = u16::try_from(self.all.len() + 1).unwrap_or(u16::MAX),
                _ => self.twice = Some(key),
            }
        } else if key.starts_with(NAMESPACE) {
            self.has_genops = true;
            self.has_strangers = true;
            if self.all.iter().take(LOOKED_AT_MAX).any(|(other, _)| *other == key) {
                self.twice = Some(key);
            }
        }
        if self.all.is_empty() {
            self.all.reserve(USUAL);
        }
        self.all.push((key, value));
    }

    /// The value of an attribute of the specification: the first, where it stands twice.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Value<'a>> {
        let place = usize::from(*self.known.get(key.place())?);
        self.all.get(place.checked_sub(1)?).map(|(_, value)| *value)
    }

    /// Whether an attribute of the specification is there, with whatever value.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        self.known.get(key.place()).is_some_and(|place| *place != 0)
    }

    /// Whether any of some attributes of the specification is there.
    #[must_use]
    pub fn has_any(&self, keys: &[Key]) -> bool {
        keys.iter().any(|key| self.has(*key))
    }

    /// The text of an attribute of the specification.
    #[must_use]
    pub fn text(&self, key: Key) -> Option<&'a str> {
        self.get(key)?.text()
    }

    /// Every attribute, in its order.
    #[must_use]
    pub fn all(&self) -> &[(&'a str, Value<'a>)] {
        &self.all
    }

    /// Every attribute whose name begins with `genops.`, in its order.
    pub fn genops(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + '_ {
        self.all.iter().copied().filter(|(key, _)| key.starts_with(NAMESPACE))
    }

    /// Every value of an attribute of the specification: more than one where its key stands twice.
    pub fn stated(&self, key: Key) -> impl Iterator<Item = Value<'a>> + '_ {
        let mut next = self.known.get(key.place()).and_then(|place| usize::from(*place).checked_sub(1));
        std::iter::from_fn(move || {
            let (rest, value) = (self.all.get(next? + 1..)?, self.all.get(next?)?.1);
            let again = self.twice.and_then(|_| rest.iter().position(|(other, _)| *other == key.name()));
            next = again.and_then(|ahead| Some(next? + 1 + ahead));
            Some(value)
        })
    }

    /// Every value of a name, in its order: more than one where a key stands twice.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Value<'a>> + 's {
        self.all.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// A key of `genops.` that stands more than once.
    #[must_use]
    pub const fn twice(&self) -> Option<&'a str> {
        self.twice
    }

    /// Whether any name begins with `genops.`.
    #[must_use]
    pub const fn has_genops(&self) -> bool {
        self.has_genops
    }

    /// Whether any name begins with `genops.` that the specification does not have.
    #[must_use]
    pub const fn has_strangers(&self) -> bool {
        self.has_strangers
    }

    /// Whether two lists hold the same keys with the same values, in whatever order.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        if self.all.len() != other.all.len() {
            return false;
        }
        let same = |one: &(&str, Value<'_>), another: &(&str, Value<'_>)| {
            one.0 == another.0 && one.1.is_same(&another.1)
        };
        // Mostly they are in the same order.
        if self.all.iter().zip(&other.all).all(|(one, another)| same(one, another)) {
            return true;
        }
        let sorted = |attributes: &Self| {
            let mut sorted = attributes.all.clone();
            sorted.sort_by_key(|(key, _)| *key);
            sorted
        };
        sorted(self).iter().zip(&sorted(other)).all(|(one, another)| same(one, another))
    }
}
