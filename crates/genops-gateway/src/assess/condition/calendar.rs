//! CEL's readings of a point in time: hour, weekday and the like, in a time zone.
//!
//! Zones come from the database that is compiled in, so an expression says the same on every machine.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// What can be read off a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    FullYear,
    /// From 0.
    Month,
    /// The day of the month, from 1.
    Date,
    /// The day of the month, from 0.
    DayOfMonth,
    /// From 0.
    DayOfYear,
    /// From 0, a Sunday.
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Reading {
    /// Every reading, by the name of its method.
    pub(super) const ALL: [(&str, Self); 10] = [
        ("getFullYear", Self::FullYear),
        ("getMonth", Self::Month),
        ("getDate", Self::Date),
        ("getDayOfMonth", Self::DayOfMonth),
        ("getDayOfYear", Self::DayOfYear),
        ("getDayOfWeek", Self::DayOfWeek),
        ("getHours", Self::Hours),
        ("getMinutes", Self::Minutes),
        ("getSeconds", Self::Seconds),
        ("getMilliseconds", Self::Milliseconds),
    ];

    pub(super) fn of(self, at: Timestamp, zone: &TimeZone) -> i64 {
        let there: DateTime = zone.to_datetime(at);
        match self {
            Self::FullYear => there.year().into(),
            Self::Month => i64::from(there.month()) - 1,
            Self::Date => there.day().into(),
            Self::DayOfMonth => i64::from(there.day()) - 1,
            Self::DayOfYear => i64::from(there.day_of_year()) - 1,
            Self::DayOfWeek => there.weekday().since(Weekday::Sunday).into(),
            Self::Hours => there.hour().into(),
            Self::Minutes => there.minute().into(),
            Self::Seconds => there.second().into(),
            Self::Milliseconds => there.millisecond().into(),
        }
    }
}

/// The zone of a name (`Europe/Berlin`) or an offset (`+05:30`, `05:30`, `-08:00`).
pub(super) fn zone(text: &str) -> Option<TimeZone> {
    match text.split_once(':') {
        Some((hours, minutes)) => offset(hours, minutes),
        None => TimeZoneDatabase::bundled().get(text).ok(),
    }
}

fn offset(hours: &str, minutes: &str) -> Option<TimeZone> {
    let (sign, hours) = match hours.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let two_digits = |text: &str, max: i32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|number| digits && *number <= max)
    };
    let seconds = two_digits(hours, 23)? * 3_600 + two_digits(minutes, 59)? * 60;
    Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
}

/// The point in time of an RFC 3339 text.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    // What the library takes beyond RFC 3339: a space for the `T`, and the name of a zone.
    if text.contains([' ', '[']) { None } else { text.parse().ok() }
}
