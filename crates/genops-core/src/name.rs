//! Short texts that people choose: teams, budgets, models, keys.
//!
//! A [`Name`] is not empty, not long and holds no control characters, so it can stand in a header, a
//! table and an attribute. Whether a name is *meaningful* is asked where it matters, in
//! [`attribution`](crate::attribution).

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A short text: 1 to 256 bytes, no control characters, no white space at either end.
///
/// Cloning is cheap; the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text, without repeating it: it may be a secret in the wrong place.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.trim().is_empty() {
            Err(InvalidName::Empty)
        } else if text.len() > Self::BYTES_MAX {
            Err(InvalidName::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidName::ControlCharacter)
        } else if text.trim() != text {
            Err(InvalidName::WhiteSpaceAtEnds)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The name that is nearest to a text from outside: without control characters, trimmed, cut to a length
    /// that people read; `unnamed` where nothing is left.
    #[must_use]
    pub fn nearest(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
        match plain.trim() {
            "" => Self("unnamed".into()),
            trimmed => Self(trimmed.into()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More than [`Name::BYTES_MAX`] bytes.
    #[error("must not be longer than 256 bytes")]
    TooLong,
    /// A line break, a tab, an escape.
    #[error("must not hold control characters")]
    ControlCharacter,
    /// White space before or after the text.
    #[error("must not begin or end with white space")]
    WhiteSpaceAtEnds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one() {
        let (long, cut) = ("x".repeat(1_000), "x".repeat(64));
        for (text, nearest) in
            [("a", "a"), (" a\nb ", "ab"), ("", "unnamed"), ("\t", "unnamed"), (&long, &cut)]
        {
            assert_eq!(Name::nearest(text).as_str(), nearest, "{text:?}");
            assert_eq!(Name::new(Name::nearest(text).as_str()), Ok(Name::nearest(text)));
        }
    }
}
