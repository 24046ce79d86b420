//! Typed formulas: what an expression means once it was checked, and its answer for a call.
//!
//! There is a type for each type of value, so no formula can be built that would fail for a type. Nothing is copied
//! and nothing is compiled when a formula is asked. Its depth is limited where it is made, in [`check`](super::check).

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use super::calendar::Reading;
use super::facts::{Facts, TextFact, TokenFact};
use super::{Condition, Unanswered};

/// What is true or false.
#[derive(Debug)]
pub(super) enum Truth {
    Literal(bool),
    Streamed,
    HasHeader(Arc<str>),
    Not(Box<Self>),
    And(Box<(Self, Self)>),
    Or(Box<(Self, Self)>),
    Choice(Box<(Self, Self, Self)>),
    Truths(Comparison, Box<(Self, Self)>),
    Numbers(Comparison, Box<(Number, Number)>),
    Texts(Comparison, Box<(Text, Text)>),
    Moments(Comparison, Box<(Moment, Moment)>),
    NumberIn(Number, Vec<Number>),
    TextIn(Text, Vec<Text>),
    Finds(Search, Box<(Text, Text)>),
    Matches(Text, Regex),
}

/// A whole number.
#[derive(Debug)]
pub(super) enum Number {
    Literal(i64),
    Fact(TokenFact),
    /// How many characters a text has.
    Size(Text),
    Reading(Reading, Moment, TimeZone),
    Negative(Box<Self>),
    Arithmetic(Arithmetic, Box<(Self, Self)>),
    Choice(Box<(Truth, Self, Self)>),
}

/// A text.
#[derive(Debug)]
pub(super) enum Text {
    Literal(String),
    Fact(TextFact),
    Header(Arc<str>),
    Choice(Box<(Truth, Self, Self)>),
}

/// A point in time.
#[derive(Debug)]
pub(super) enum Moment {
    Literal(Timestamp),
    Now,
    Choice(Box<(Truth, Self, Self)>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Where a text is looked for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    AtStart,
    AtEnd,
    Anywhere,
}

type Answer<T> = Result<T, Unanswered>;

impl Truth {
    pub(super) fn of(&self, facts: &Facts<'_>) -> Answer<bool> {
        Ok(match self {
            Self::Literal(value) => *value,
            Self::Streamed => facts.streamed,
            Self::HasHeader(name) => facts.headers.contains_key(&**name),
            Self::Not(inner) => !inner.of(facts)?,
            Self::And(sides) => return decided_by(false, sides, facts),
            Self::Or(sides) => return decided_by(true, sides, facts),
            Self::Choice(choice) => return chosen(choice, facts)?.of(facts),
            Self::Truths(how, sides) => how.holds(sides.0.of(facts)?.cmp(&sides.1.of(facts)?)),
            Self::Numbers(how, sides) => how.holds(sides.0.of(facts)?.cmp(&sides.1.of(facts)?)),
            Self::Texts(how, sides) => how.holds(sides.0.of(facts)?.cmp(sides.1.of(facts)?)),
            Self::Moments(how, sides) => how.holds(sides.0.of(facts)?.cmp(&sides.1.of(facts)?)),
            Self::NumberIn(wanted, list) => {
                let wanted = wanted.of(facts)?;
                any_equal(list.iter().map(|number| Ok(number.of(facts)? == wanted)))?
            }
            Self::TextIn(wanted, list) => {
                let wanted = wanted.of(facts)?;
                any_equal(list.iter().map(|text| Ok(text.of(facts)? == wanted)))?
            }
            Self::Finds(search, texts) => search.finds(texts.0.of(facts)?, texts.1.of(facts)?),
            Self::Matches(text, pattern) => pattern.is_match(text.of(facts)?),
        })
    }
}

/// `&&` and `||`: either side decides alone if it has the `deciding` value, even where the other has no answer.
fn decided_by(deciding: bool, sides: &(Truth, Truth), facts: &Facts<'_>) -> Answer<bool> {
    let left = sides.0.of(facts);
    if left == Ok(deciding) {
        return Ok(deciding);
    }
    let right = sides.1.of(facts)?;
    if right == deciding { Ok(deciding) } else { left }
}

/// The branch of a choice that counts.
fn chosen<'f, T>(choice: &'f (Truth, T, T), facts: &Facts<'_>) -> Answer<&'f T> {
    Ok(if choice.0.of(facts)? { &choice.1 } else { &choice.2 })
}

/// Whether any is equal. All are worked out: in CEL, a list with an element that has no answer is no list.
fn any_equal(mut equals: impl Iterator<Item = Answer<bool>>) -> Answer<bool> {
    equals.try_fold(false, |found, equal| Ok(equal? || found))
}

impl Number {
    fn of(&self, facts: &Facts<'_>) -> Answer<i64> {
        match self {
            Self::Literal(value) => Ok(*value),
            Self::Fact(fact) => Ok(fact.of(facts)),
            Self::Size(text) => {
                i64::try_from(text.of(facts)?.chars().count()).map_err(|_| Unanswered::Overflow)
            }
            Self::Reading(reading, moment, zone) => Ok(reading.of(moment.of(facts)?, zone)),
            Self::Negative(inner) => inner.of(facts)?.checked_neg().ok_or(Unanswered::Overflow),
            Self::Arithmetic(how, sides) => how.of(sides.0.of(facts)?, sides.1.of(facts)?),
            Self::Choice(choice) => chosen(choice, facts)?.of(facts),
        }
    }
}

impl Text {
    fn of<'a>(&'a self, facts: &'a Facts<'_>) -> Answer<&'a str> {
        match self {
            Self::Literal(value) => Ok(value),
            Self::Fact(fact) => Ok(fact.of(facts)),
            Self::Header(name) => match facts.headers.get(&**name) {
                None => Err(Unanswered::NoHeader(Arc::clone(name))),
                Some(value) if value.len() > Condition::HEADER_BYTES_MAX => {
                    Err(Unanswered::LongHeader(Arc::clone(name)))
                }
                Some(value) => Ok(value),
            },
            Self::Choice(choice) => chosen(choice, facts)?.of(facts),
        }
    }
}

impl Moment {
    fn of(&self, facts: &Facts<'_>) -> Answer<Timestamp> {
        match self {
            Self::Literal(value) => Ok(*value),
            Self::Now => {
                Timestamp::from_nanosecond(facts.time.nanos().into()).map_err(|_| Unanswered::Overflow)
            }
            Self::Choice(choice) => chosen(choice, facts)?.of(facts),
        }
    }
}

impl Comparison {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Arithmetic {
    fn of(self, left: i64, right: i64) -> Answer<i64> {
        let result = match self {
            Self::Divide | Self::Remainder if right == 0 => return Err(Unanswered::DivisionByZero),
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
        };
        result.ok_or(Unanswered::Overflow)
    }
}

impl Search {
    fn finds(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::AtStart => text.starts_with(wanted),
            Self::AtEnd => text.ends_with(wanted),
            Self::Anywhere => text.contains(wanted),
        }
    }
}
