//! Axes: which values and which points in time are marked, and what is written beside them.
//!
//! Nothing is drawn here. Points in time are UTC.

use genops_core::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark<T> {
    /// Where it is.
    pub at: T,
    /// What is written beside it.
    pub text: String,
}

/// Marks from 0 to at least `max`, about five of them, at 1, 2 or 5 times a power of ten.
pub fn values(max: f64) -> Vec<Mark<f64>> {
    let max = if max.is_finite() && max > 0.0 { max.clamp(1e-12, 1e18) } else { 1.0 };
    let rough = max / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let places = (0_u32..).map(|times| f64::from(times) * step);
    let mut marks = Vec::new();
    for at in places.take(8) {
        marks.push(Mark { at, text: short(at) });
        if at >= max {
            break;
        }
    }
    marks
}

/// A value in few characters: `1.2k`, `0.05`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let (value, suffix) = match size {
        _ if size >= 1e9 => (value / 1e9, "G"),
        _ if size >= 1e6 => (value / 1e6, "M"),
        _ if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Three digits that say something, however small the value is.
    let decimals = match value.abs() {
        0.0 => 0.0,
        some => (2.0 - some.log10().floor()).clamp(0.0, 9.0),
    };
    let scale = 10_f64.powf(decimals);
    format!("{}{suffix}", (value * scale).round() / scale)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The distances at which points in time are marked, in seconds, and how the points are written.
const STEPS: [(u64, &str); 18] = [
    (1, "%H:%M:%S"),
    (5, "%H:%M:%S"),
    (15, "%H:%M:%S"),
    (30, "%H:%M:%S"),
    (MINUTE, "%H:%M"),
    (5 * MINUTE, "%H:%M"),
    (10 * MINUTE, "%H:%M"),
    (15 * MINUTE, "%H:%M"),
    (30 * MINUTE, "%H:%M"),
    (HOUR, "%H:%M"),
    (2 * HOUR, "%H:%M"),
    (3 * HOUR, "%H:%M"),
    (6 * HOUR, "%-d %b %H:%M"),
    (12 * HOUR, "%-d %b %H:%M"),
    (DAY, "%-d %b"),
    (2 * DAY, "%-d %b"),
    (5 * DAY, "%-d %b"),
    (10 * DAY, "%-d %b"),
];

/// The distances for longer times, in months.
const MONTHS: [u32; 6] = [1, 2, 3, 6, 12, 60];

/// So many marks have room.
const MARKS_MAX: u64 = 6;

const NANOS: u64 = 1_000_000_000;

/// Marks from `start` to `end`, at whole minutes, hours, days or months.
pub fn times(start: Timestamp, end: Timestamp) -> Vec<Mark<Timestamp>> {
    let (first, last) = (start.nanos().div_ceil(NANOS), end.nanos() / NANOS);
    let seconds = last.saturating_sub(first);
    let Some((step, format)) = STEPS.into_iter().find(|(step, _)| seconds / step <= MARKS_MAX) else {
        return months(start, end);
    };
    let places = (0..=MARKS_MAX).map(|times| (first.div_ceil(step) + times) * step);
    let at = places.take_while(|second| *second <= last).map(|second| Timestamp::from_nanos(second * NANOS));
    at.map(|at| Mark { at, text: written(at, format) }).collect()
}

fn months(start: Timestamp, end: Timestamp) -> Vec<Mark<Timestamp>> {
    let (Some(from), Some(to)) = (in_utc(start), in_utc(end)) else { return Vec::new() };
    let months = u64::from(
        from.date().until((jiff::Unit::Month, to.date())).map_or(0, |span| span.get_months().unsigned_abs()),
    );
    let step = MONTHS.into_iter().find(|step| months / u64::from(*step) <= MARKS_MAX).unwrap_or(240);
    // Steps are counted from January, so that years begin with a mark.
    let january = Date::new(from.year(), 1, 1).unwrap_or(from.date());
    let firsts = (0..).map_while(|times: u32| january.checked_add((i64::from(times * step)).months()).ok());
    let marks = firsts.filter_map(|date| {
        let nanos =
            TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()?.as_nanosecond();
        Some(Timestamp::from_nanos(u64::try_from(nanos).ok()?))
    });
    let within = marks.skip_while(|at| *at < start).take_while(|at| *at <= end);
    within.map(|at| Mark { at, text: written(at, "%b %Y") }).collect()
}

/// A point in time for people, in UTC.
pub fn written(at: Timestamp, format: &str) -> String {
    in_utc(at).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

fn in_utc(at: Timestamp) -> Option<Zoned> {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).ok()?;
    Some(at.to_zoned(TimeZone::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_marked_at_round_places_up_to_the_greatest() {
        for (max, texts) in [
            (0.0, &["0", "0.5", "1"][..]),
            (1.0, &["0", "0.5", "1"]),
            (7.3, &["0", "2", "4", "6", "8"]),
            (0.0031, &["0", "0.001", "0.002", "0.003", "0.004"]),
            (90_000.0, &["0", "50k", "100k"]),
            (3_000_000.0, &["0", "1M", "2M", "3M"]),
            (f64::NAN, &["0", "0.5", "1"]),
            (f64::INFINITY, &["0", "0.5", "1"]),
        ] {
            let found: Vec<_> = values(max).into_iter().map(|mark| mark.text).collect();
            assert_eq!(found, texts, "{max}");
        }
    }

    #[test]
    fn a_value_is_short_and_keeps_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_123_4, "0.000123"),
            (1.005, "1"),
            (12.345, "12.3"),
            (1204.0, "1204"),
            (12_345.0, "12.3k"),
            (9.87e8, "987M"),
            (2.5e10, "25G"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn points_in_time_are_marked_at_whole_units_within_the_time() {
        let start = 1_700_158_623; // 2023-11-16T18:17:03Z
        for (seconds, first, last, count) in [
            (5, "18:17:03", "18:17:08", 6),
            (180, "18:17:30", "18:20:00", 6),
            (3_430, "18:20", "19:10", 6),
            (86_400, "17 Nov 00:00", "17 Nov 18:00", 4),
            (14 * 86_400, "19 Nov", "29 Nov", 3),
            (60 * 86_400, "19 Nov", "8 Jan", 6),
            (200 * 86_400, "Dec 2023", "Jun 2024", 7),
            (2_000 * 86_400, "Jan 2024", "Jan 2029", 6),
        ] {
            let end = Timestamp::from_nanos((start + seconds) * NANOS);
            let marks = times(Timestamp::from_nanos(start * NANOS), end);
            let ends = (marks.first().unwrap().text.as_str(), marks.last().unwrap().text.as_str());
            assert_eq!((ends, marks.len()), ((first, last), count), "{seconds}");
        }
    }
}
