//! One panel of the picture: what is spent above, what is refused below, on one time axis.
//!
//! Under two policies, refusals under the first grow upwards from the middle, those under the second downwards.

use genops_core::Timestamp;
use maud::{Markup, html};

use super::axis::{self, Mark};
use super::{Colours, Course, POLICY, Panel, Plot, plain, sides};

/// How wide a panel is where there are two in a row, in pixels.
pub const WIDTH: usize = 580;

/// How high a panel is, in pixels.
pub const HEIGHT: usize = 438;

/// Lengths within a panel, in pixels.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 20.0;
const SPENT_TOP: f64 = 104.0;
const SPENT_BOTTOM: f64 = 276.0;
const REFUSED_TOP: f64 = 306.0;
const REFUSED_BOTTOM: f64 = 388.0;

/// A panel, from its upper left corner.
pub fn draw(plot: &Plot, panel: &Panel, width: usize, colours: &Colours) -> Markup {
    let frame = Frame::of(plot, panel, width);
    html! {
        rect class="card" width=(width) height=(HEIGHT) rx="12" {}
        text class="name" x="20" y="30" { (plain(&panel.name, 60)) }
        @for (side, y) in sides_of(plot, panel).zip([52, 70]) {
            rect class={ "swatch " (side.class) } x="20" y=(y - 9) width="10" height="10" rx="2" {}
            text class="fine" x="36" y=(y) { (frame.summary(&side, panel.unit.as_deref())) }
        }
        (frame.times(panel.unit.is_some()))
        @if let Some(unit) = &panel.unit { (frame.spent(plot, panel, unit)) }
        (frame.refused(plot, panel, colours))
    }
}

/// A course, and how it is told from another one.
struct Side<'p> {
    class: &'static str,
    policy: &'p str,
    course: &'p Course,
}

/// The courses of a panel, in the order of their policies.
fn sides_of<'p>(plot: &'p Plot, panel: &'p Panel) -> impl Iterator<Item = Side<'p>> {
    let all = sides(plot.policies.len()).zip(&plot.policies).zip(&panel.courses);
    all.map(|((class, policy), course)| Side { class, policy, course })
}

/// Where things stand in a panel.
struct Frame {
    start: Timestamp,
    end: Timestamp,
    right: f64,
    values: Vec<Mark<f64>>,
    /// The value at the upper end of the axis.
    top: f64,
    /// Where the part of refusals begins.
    refused_top: f64,
}

impl Frame {
    fn of(plot: &Plot, panel: &Panel, width: usize) -> Self {
        let spent = panel.courses.iter().flat_map(|course| &course.spent).map(|(_, value)| *value);
        let spent = spent.fold(0.0, f64::max);
        // A limit that is far away would press what is spent flat.
        let limits = panel.courses.iter().filter_map(|course| course.limit);
        let near = limits.filter(|limit| spent <= 0.0 || *limit <= FAR * spent);
        let values = axis::values(near.fold(spent, f64::max));
        let top = values.last().map_or(1.0, |mark| mark.at);
        let right = f64::from(u32::try_from(width).unwrap_or(0)) - RIGHT;
        let refused_top = if panel.unit.is_some() { REFUSED_TOP } else { SPENT_TOP };
        Self { start: plot.start, end: plot.end, right, values, top, refused_top }
    }

    fn x(&self, at: Timestamp) -> f64 {
        let all = self.end.nanos_since(self.start).max(1);
        let share = at.nanos_since(self.start) as f64 / all as f64;
        LEFT + share.min(1.0) * (self.right - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = if value.is_nan() { 0.0 } else { (value / self.top).clamp(0.0, 1.0) };
        SPENT_BOTTOM - share * (SPENT_BOTTOM - SPENT_TOP)
    }

    /// What becomes of a budget, in words.
    fn summary(&self, side: &Side<'_>, unit: Option<&str>) -> String {
        let course = side.course;
        let refused = course.refused.values().flatten().fold(0, |all: u64, count| all.saturating_add(*count));
        let policy = plain(side.policy, POLICY);
        let Some(unit) = unit else { return format!("{policy}: {refused} refused") };
        let mut words = format!("{policy}: ");
        words += &match course.limit {
            Some(limit) => format!("limit {} {}", axis::short(limit), plain(unit, 12)),
            None => "no limit".to_owned(),
        };
        if course.limit.is_some_and(|limit| limit > self.top) {
            words += " (above the picture)";
        }
        let when = |at: &Timestamp| axis::written(*at, "%-d %b %H:%M");
        words += &match course.short.as_slice() {
            [] if course.limit.is_none() => String::new(),
            [] => ", always enough left".to_owned(),
            [at] => format!(", too little left since {}", when(at)),
            [at, ..] => format!(", too little left in {} periods, first {}", course.short.len(), when(at)),
        };
        words + &format!("; {refused} refused")
    }

    /// The time axis, for both parts, or for that of refusals alone.
    fn times(&self, has_spent: bool) -> Markup {
        let spent = |x: &str| format!("M{x} {SPENT_TOP}V{SPENT_BOTTOM}");
        let middle = (LEFT + self.right) / 2.0;
        html! {
            @for mark in axis::times(self.start, self.end) {
                @let x = place(self.x(mark.at));
                @if has_spent { path class="grid" d=(spent(&x)) {} }
                path class="grid" d={ "M" (x) " " (self.refused_top) "V" (REFUSED_BOTTOM) } {}
                text class="fine" text-anchor="middle" x=(x) y=(REFUSED_BOTTOM + 18.0) { (mark.text) }
            }
            text class="fine" text-anchor="middle" x=(place(middle)) y=(REFUSED_BOTTOM + 37.0) { "time, UTC" }
        }
    }

    /// What was spent, with limits, and where too little was left.
    fn spent(&self, plot: &Plot, panel: &Panel, unit: &str) -> Markup {
        html! {
            text class="fine" x="20" y=(SPENT_TOP - 12.0) { "spent, " (plain(unit, 12)) }
            @for mark in &self.values {
                @let y = place(self.y(mark.at));
                path class="grid" d={ "M" (LEFT) " " (y) "H" (place(self.right)) } {}
                text class="fine" text-anchor="end" x=(LEFT - 8.0) y=(place(self.y(mark.at) + 4.0)) { (mark.text) }
            }
            path class="base" d={ "M" (LEFT) " " (SPENT_BOTTOM) "H" (place(self.right)) } {}
            @for side in sides_of(plot, panel) {
                @if let Some(limit) = side.course.limit.filter(|limit| *limit <= self.top) {
                    path class={ "limit " (side.class) } d={ "M" (LEFT) " " (place(self.y(limit))) "H" (place(self.right)) } {}
                }
                path class={ "spent " (side.class) } d=(self.line(&side.course.spent)) {}
            }
            @for side in sides_of(plot, panel) {
                @for at in side.course.short.iter().take(SHORT_MAX) {
                    @let (x, y) = (place(self.x(*at)), place(self.y(spent_at(side.course, *at))));
                    path class={ "end " (side.class) }
                        d={ "M" (x) " " (y) "V" (SPENT_BOTTOM) "M" (x) " " (REFUSED_TOP) "V" (REFUSED_BOTTOM) } {}
                    circle class={ "dot " (side.class) } cx=(x) cy=(y) r="4" {
                        title { (plain(side.policy, POLICY)) ": too little left since " (axis::written(*at, "%-d %b %Y %H:%M:%S")) " UTC" }
                    }
                }
            }
        }
    }

    /// The line through what was spent. Where a budget begins anew, it falls at once.
    fn line(&self, spent: &[(Timestamp, f64)]) -> String {
        let mut path = String::new();
        let mut before = 0.0;
        for (at, value) in spent {
            if *value < before {
                path += &format!("V{}", place(self.y(0.0)));
            }
            let sign = if path.is_empty() { 'M' } else { 'L' };
            path += &format!("{sign}{} {}", place(self.x(*at)), place(self.y(*value)));
            before = *value;
        }
        path
    }

    /// What was refused in every bucket, a colour a code.
    fn refused(&self, plot: &Plot, panel: &Panel, colours: &Colours) -> Markup {
        let most = panel.courses.iter().flat_map(buckets).max().unwrap_or(0);
        let is_double = panel.courses.len() > 1;
        let base = if is_double { (self.refused_top + REFUSED_BOTTOM) / 2.0 } else { REFUSED_BOTTOM };
        let room = base - self.refused_top;
        let height = |count: u64| if most == 0 { 0.0 } else { room * count as f64 / most as f64 };
        html! {
            text class="fine" x="20" y=(self.refused_top - 10.0) {
        "refused calls per " (duration(plot.bucket_ns)) (Self::directions(plot, most))
            }
            @for (side, is_up) in sides_of(plot, panel).zip([true, false]) {
                @let edge = if is_up { self.refused_top } else { REFUSED_BOTTOM };
                rect class={ "swatch " (side.class) } x=(LEFT - 4.0) y=(edge.min(base)) width="3" height=(room) {}
                @if most > 0 {
                    text class="fine" text-anchor="end" x=(LEFT - 10.0) y=(if is_up { edge + 8.0 } else { edge }) {
                        (axis::short(most as f64))
                    }
                }
                @for (class, code, bars) in self.bars(plot, side.course, colours, |below, count| {
                    let sign = if is_up { -1.0 } else { 1.0 };
                    (base + sign * height(below), sign * height(count))
                }) {
                    path class=(class) d=(bars) { title { (plain(side.policy, POLICY)) ": " (plain(code, 48)) } }
                }
            }
            path class="base" d={ "M" (LEFT) " " (base) "H" (place(self.right)) } {}
        }
    }

    /// Which policy's refusals go where.
    fn directions(plot: &Plot, most: u64) -> String {
        match plot.policies.as_slice() {
            _ if most == 0 => ": none".to_owned(),
            [old, new, ..] => {
                format!("; above: {}, below: {}", plain(old, POLICY), plain(new, POLICY))
            }
            _ => String::new(),
        }
    }

    /// The bars of each code. `upright` says where a bar begins and how high it is, by what is counted below it and
    /// in it.
    fn bars<'c>(
        &self,
        plot: &Plot,
        course: &'c Course,
        colours: &Colours,
        upright: impl Fn(u64, u64) -> (f64, f64),
    ) -> Vec<(&'static str, &'c str, String)> {
        let mut below: Vec<u64> = Vec::new();
        let mut all = Vec::new();
        for (code, counts) in &course.refused {
            below.resize(below.len().max(counts.len()), 0);
            let mut path = String::new();
            let begins = (0..).map(|times: u64| after(plot.start, plot.bucket_ns.saturating_mul(times)));
            for ((begin, below), count) in begins.zip(&mut below).zip(counts).filter(|(_, count)| **count > 0)
            {
                let x = self.x(begin);
                // A hair between two bars, as long as there is room.
                let wide = (self.x(after(begin, plot.bucket_ns)) - x - 1.0).max(1.0);
                let (y, high) = upright(*below, *count);
                path +=
                    &format!("M{} {}h{}v{}h-{}z", place(x), place(y), place(wide), place(high), place(wide));
                *below = below.saturating_add(*count);
            }
            all.push((colours.class(code), code.as_str(), path));
        }
        all
    }
}

/// A limit that is so many times more than what was spent is not in the picture.
const FAR: f64 = 4.0;

/// So many points in time are marked.
const SHORT_MAX: usize = 40;

/// How many calls were refused in each bucket, whatever for.
fn buckets(course: &Course) -> Vec<u64> {
    let mut all: Vec<u64> = Vec::new();
    for counts in course.refused.values() {
        all.resize(all.len().max(counts.len()), 0);
        all.iter_mut().zip(counts).for_each(|(all, count)| *all = all.saturating_add(*count));
    }
    all
}

/// What was spent at a point in time, on the line between those that are known.
fn spent_at(course: &Course, at: Timestamp) -> f64 {
    let mut before = (Timestamp::default(), 0.0);
    for (time, value) in &course.spent {
        if *time >= at {
            let all = time.nanos_since(before.0).max(1) as f64;
            let share = at.nanos_since(before.0) as f64 / all;
            return if *value < before.1 { before.1 } else { before.1 + share * (value - before.1) };
        }
        before = (*time, *value);
    }
    before.1
}

const fn after(at: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(nanos))
}

/// A place in the picture, as precise as can be seen.
fn place(place: f64) -> String {
    format!("{place:.1}")
}

/// A length of time in words.
fn duration(nanos: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let millis = nanos / 1_000_000;
    let whole = units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "ms"));
    format!("{} {name}", millis / unit)
}
