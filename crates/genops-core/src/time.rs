//! Points in time, as arguments: nanoseconds since the Unix epoch, and the budget periods they fall in.
//!
//! Nothing here asks for the time. Periods are calendar periods in UTC.

use core::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
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

    fn date(self) -> Date {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_or(Date::MAX, |at| TimeZone::UTC.to_datetime(at).date())
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

/// How often a budget begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Period {
    /// Never: one amount for good.
    #[default]
    None,
    /// With each calendar day, UTC.
    Day,
    /// With each calendar month, UTC.
    Month,
}

/// One occurrence of a period: the month 2026-11, the day 2026-11-22, or all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Window {
    /// All time.
    Always,
    /// A day.
    Day {
        /// Common era.
        year: i16,
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
    /// A month.
    Month {
        /// Common era.
        year: i16,
        /// 1 to 12.
        month: i8,
    },
}

impl Period {
    /// The occurrence of this period that `at` falls in.
    #[must_use]
    pub fn window(self, at: Timestamp) -> Window {
        match self {
            Self::None => Window::Always,
            Self::Day => {
                let date = at.date();
                Window::Day { year: date.year(), month: date.month(), day: date.day() }
            }
            Self::Month => {
                let date = at.date();
                Window::Month { year: date.year(), month: date.month() }
            }
        }
    }
}

/// The label for `genops.budget.period`: `2026-11-22`, `2026-11`, `none`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.pad("none"),
            Self::Day { year, month, day } => f.pad(&format!("{year:04}-{month:02}-{day:02}")),
            Self::Month { year, month } => f.pad(&format!("{year:04}-{month:02}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_and_end_at_midnight_utc() {
        let midnight = 1_793_491_200_000_000_000; // 2026-11-01T00:00:00Z
        let cases = [
            (midnight - 1, "2026-10-31", "2026-10"),
            (midnight, "2026-11-01", "2026-11"),
            (midnight + 86_400_000_000_000 - 1, "2026-11-01", "2026-11"),
            (midnight + 86_400_000_000_000, "2026-11-02", "2026-11"),
        ];
        for (nanos, day, month) in cases {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(Period::Day.window(at).to_string(), day);
            assert_eq!(Period::Month.window(at).to_string(), month);
            assert_eq!(Period::None.window(at), Window::Always);
        }
        assert_eq!(Timestamp::from_nanos(midnight).to_string(), "2026-11-01T00:00:00.000Z");
    }
}
