//! Conditions: expressions over the facts of a call, in the Common Expression Language (CEL).
//!
//! [`Condition::read`] parses an expression, checks it against the facts and types that are known here, and makes
//! a typed formula of it; what it does not know, it refuses with line and column. So a condition that was read can
//! fail in the ways of [`Unanswered`] only, never for a type. The parser is a library's; the formula is ours, since it
//! takes part in decisions, has its patterns and time zones ready, and never carries a header's value into an error.
//!
//! What is known, with CEL's meaning:
//!
//! - facts: `team`, `project`, `environment`, `customer_id`, `feature`, `cost_center`, `session_id`, `key`,
//!   `operation`, `operation_type`, `provider`, `model`, `region` (string; empty where nobody said),
//!   `max_input_tokens`, `max_output_tokens` (int), `streamed` (bool), `time` (timestamp), and `headers`: a map of
//!   the headers that the configuration admits, by their lower-case names;
//! - `headers["x-plan"]`, `headers.plan`, `"x-plan" in headers`, `has(headers.plan)`;
//! - `&&`, `||`, `!`, `? :`; `==`, `!=` between equal types; `<`, `<=`, `>`, `>=` of int, string, timestamp;
//!   `+`, `-`, `*`, `/`, `%` of int; `in` a list of strings or ints;
//! - `contains`, `endsWith`, `startsWith`, `size`, and `matches` with a pattern written in place;
//! - `timestamp("2026-12-31T00:00:00Z")`, and the calendar: `time.getHours()`, `time.getDayOfWeek("Europe/Berlin")`.
//!
//! Cost is not a fact: money is compared by budgets and rates, in exact decimals, and CEL would make doubles of it.
//! Macros that go through a list (`exists`, `all`, `map`, `filter`) are refused, so what a condition costs is bounded
//! by its length times the length of the facts.

mod calendar;
mod check;
mod facts;
mod formula;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use check::Read;

pub use facts::Facts;

/// An expression that was read and checked. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Condition(Arc<Read>);

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line within the expression, from 1.
    pub line: usize,
    /// The column within the line, from 1, in characters. An operation is where its operator is.
    pub column: usize,
    /// A sentence without its subject's place. It repeats parts of the expression, and no control characters.
    pub message: String,
}

/// Why a condition has no answer for a call. No value of a fact is told, since headers may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// A header was read that the call does not have; `in` and `has` ask first.
    #[error("the call has no header `{0}`")]
    NoHeader(Arc<str>),
    /// A header was read that is longer than [`Condition::HEADER_BYTES_MAX`].
    #[error("the header `{0}` is too long to be looked at")]
    LongHeader(Arc<str>),
    /// The divisor of `/` or `%` is zero.
    #[error("a number is divided by zero")]
    DivisionByZero,
    /// A number does not fit into 64 bits.
    #[error("a number becomes too large")]
    Overflow,
}

impl Condition {
    /// The longest expression, in bytes.
    pub const BYTES_MAX: usize = 4096;

    /// The longest value of a header that is looked at, in bytes.
    pub const HEADER_BYTES_MAX: usize = 8192;

    /// Reads and checks an expression. `headers` are the names, in lower case, of those headers that it may look at.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in no order: everything that was found, or the first few of many.
    pub fn read(source: &str, headers: &BTreeSet<String>) -> Result<Self, Vec<Problem>> {
        if source.len() > Self::BYTES_MAX {
            let message = format!("the expression is longer than {} bytes", Self::BYTES_MAX);
            return Err(vec![Problem::at_start(message)]);
        }
        // The parser recurses along chains of operators too, before anybody can count them. This stack has several
        // times the room that the worst expression of this length takes.
        thread::scope(|scope| {
            let reader = thread::Builder::new().name("condition".to_owned()).stack_size(STACK_BYTES);
            match reader
                .spawn_scoped(scope, || check::read(source, headers))
                .map(thread::ScopedJoinHandle::join)
            {
                Ok(Ok(read)) => read.map(|read| Self(Arc::new(read))),
                Ok(Err(_)) => Err(vec![Problem::at_start("the expression cannot be read")]),
                Err(_) => Err(vec![Problem::at_start(
                    "no thread could be started to read the expression; try again",
                )]),
            }
        })
    }

    /// Whether the condition holds for a call.
    ///
    /// # Errors
    ///
    /// Why it has no answer.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, Unanswered> {
        self.0.truth.of(facts)
    }

    /// Whether it asks for more than the proposal and the time: for headers, or whether the answer is streamed.
    #[must_use]
    pub fn looks_at_request(&self) -> bool {
        self.0.looks_at_request
    }
}

/// The stack on which an expression is read, in bytes; what is not used of it takes no memory.
const STACK_BYTES: usize = 32 << 20;

impl Problem {
    fn at_start(message: impl Into<String>) -> Self {
        Self { line: 1, column: 1, message: message.into() }
    }
}
