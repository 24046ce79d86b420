//! Points in time, as arguments: nanoseconds since the Unix epoch.
//!
//! Nothing here asks for the time. The calendar is that of [`period`](crate::period).

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z. Where people read, it is serialised as RFC 3339 in UTC with
/// all nine decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Earlier by so many nanoseconds, but not before the epoch.
    #[must_use]
    pub const fn minus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// Later by so many nanoseconds, but not beyond what can be counted.
    #[must_use]
    pub const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// How many nanoseconds it is later than `earlier`; 0 if it is not.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC, with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(at) => f.pad(&format!("{at:.3}")),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

/// RFC 3339, exact to the nanosecond.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        u64::try_from(at.as_nanosecond()).map(Self).map_err(|_| InvalidTimestamp)
    }
}

/// The text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as `2026-11-22T08:30:00.123456789Z` and lies between 1970 and 2554")]
pub struct InvalidTimestamp;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_u64(self.0);
        }
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{at:.9}"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            text::parsed(deserializer)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_with_milliseconds() {
        for (nanos, told) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_793_491_200_000_000_000 - 1, "2026-10-31T23:59:59.999Z"),
            (1_793_491_200_000_000_000, "2026-11-01T00:00:00.000Z"),
            (u64::MAX, "2554-07-21T23:34:33.709Z"),
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), told);
        }
    }
}
