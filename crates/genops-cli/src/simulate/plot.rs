//! The picture of a simulation: what each budget spends in the course of time and which calls are refused, under one
//! policy or under two, as one SVG that needs nothing else.
//!
//! Budgets are small multiples with one time axis for all. The picture is readable in light and in dark, as whoever
//! shows it prefers. Nothing is counted or decided here; values are only good for looking at.

use std::collections::BTreeMap;

use genops_core::Timestamp;
use maud::{Markup, PreEscaped, html};

mod axis;
mod panel;

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Plot {
    /// What it is about.
    pub title: String,
    /// Where the calls come from, how many there are, what was assumed.
    pub subtitle: String,
    /// The names of the policies, one or two; of two, the second is the new one.
    pub policies: Vec<String>,
    /// When the time that is shown begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// How long a bucket is in which refusals are counted, in nanoseconds.
    pub bucket_ns: u64,
    /// Budgets, in the order in which they are drawn. No more than [`PANELS_MAX`] are.
    pub panels: Vec<Panel>,
}

/// One budget, or all calls together.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its name.
    pub name: String,
    /// The unit of what is spent: `USD`, `tokens`; `None` where nothing is, and only refusals are drawn.
    pub unit: Option<String>,
    /// What becomes of it under each of the policies, in their order.
    pub courses: Vec<Course>,
}

/// What becomes of a budget under a policy.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// How much may be spent. `None` where there is no limit, or the policy does not have this budget.
    pub limit: Option<f64>,
    /// What was spent up to some points in time, in their order. Where it falls, the budget began anew.
    pub spent: Vec<(Timestamp, f64)>,
    /// When it first had too little left for a call, in each period in which it had.
    pub short: Vec<Timestamp>,
    /// How many calls were refused, by code and bucket.
    pub refused: BTreeMap<String, Vec<u64>>,
}

/// So many panels are drawn; of the others it is said that they exist.
pub const PANELS_MAX: usize = 24;

/// Lengths in the picture, in pixels.
const MARGIN: usize = 28;
const GAP: usize = 20;
const HEAD: usize = 88;
const LEGEND_LINE: usize = 20;

impl Plot {
    /// The picture.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let panels = self.panels.iter().take(PANELS_MAX);
        let columns = panels.len().clamp(1, 2);
        let rows = panels.len().div_ceil(columns);
        let width = 2 * MARGIN + 2 * panel::WIDTH + GAP;
        let panel_width = if columns == 1 { width - 2 * MARGIN } else { panel::WIDTH };
        let colours = Colours::of(self);
        let legend = self.legend(&colours, width - 2 * MARGIN);
        let head = HEAD + LEGEND_LINE + legend.last().map_or(0, |(_, y, ..)| *y);
        let height = head + rows * (panel::HEIGHT + GAP) + MARGIN;
        let place = |index: usize| {
            let (x, y) = (index % columns, index / columns);
            format!("translate({} {})", MARGIN + x * (panel_width + GAP), head + y * (panel::HEIGHT + GAP))
        };
        let more = self.panels.len().saturating_sub(PANELS_MAX);
        html! {
            svg xmlns="http://www.w3.org/2000/svg" role="img" width=(width) height=(height)
                viewBox={ "0 0 " (width) " " (height) } {
                title { (plain(&self.title, 200)) }
                style { (PreEscaped(include_str!("plot/style.css"))) }
                rect class="page" width="100%" height="100%" {}
                (self.head(legend))
                @for (index, one) in panels.enumerate() {
                    g transform=(place(index)) { (panel::draw(self, one, panel_width, &colours)) }
                }
                @if more > 0 {
                    text class="fine" x=(MARGIN) y=(height - 16) { (more) " more budgets are not drawn" }
                }
            }
        }
        .into_string()
    }

    /// The title, and what the lines and colours mean.
    fn head(&self, legend: Vec<Sign>) -> Markup {
        html! {
            text class="title" x=(MARGIN) y="42" { (plain(&self.title, 90)) }
            text class="soft" x=(MARGIN) y="66" { (plain(&self.subtitle, 170)) }
            @for (x, y, sign, text) in legend {
                g transform={ "translate(" (MARGIN + x) " " (HEAD + y) ")" } {
                    (sign)
                    text class="fine" x="30" y="4" { (text) }
                }
            }
        }
    }

    /// Signs with what they mean, and where they stand.
    fn legend(&self, colours: &Colours, width: usize) -> Vec<Sign> {
        let mut signs = Vec::new();
        for (side, policy) in sides(self.policies.len()).zip(&self.policies) {
            let line = html! { path class={ "spent " (side) } d="M2 0H22" {} };
            signs.push((line, format!("spent, {}", plain(policy, POLICY))));
        }
        signs.push((html! { path class="limit new" d="M0 0H24" {} }, "limit".to_owned()));
        signs.push((html! { circle class="dot new" cx="12" r="4" {} }, "too little left".to_owned()));
        for (class, code) in colours.all() {
            signs.push((html! { rect class=(class) x="7" y="-5" width="10" height="10" rx="2" {} }, code));
        }
        let (mut x, mut y) = (0, 0);
        let mut placed = Vec::new();
        for (sign, text) in signs {
            let wide = 30 + text.chars().map(letter_width).sum::<usize>() + 20;
            if x > 0 && x + wide > width {
                (x, y) = (0, y + LEGEND_LINE);
            }
            placed.push((x, y, sign, text));
            x += wide;
        }
        placed
    }
}

/// A sign of the legend: where it stands, what it looks like, what it means.
type Sign = (usize, usize, Markup, String);

/// About how wide a letter of the legend is, whatever font there is.
const fn letter_width(letter: char) -> usize {
    if letter.is_ascii_uppercase() { 8 } else { 6 }
}

/// So many characters of the name of a policy are shown.
const POLICY: usize = 28;

/// How the policies are drawn, in their order: the only one as the new one.
fn sides(policies: usize) -> impl Iterator<Item = &'static str> {
    ["old", "new"].into_iter().skip(usize::from(policies < 2))
}

/// The colours of codes.
struct Colours(Vec<String>);

/// The classes of [`style.css`](plot/style.css). The last one is for all codes for which there is no other.
const CLASSES: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

impl Colours {
    /// One for each code in a picture, the most frequent first.
    fn of(plot: &Plot) -> Self {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (code, buckets) in plot.panels.iter().flat_map(|one| &one.courses).flat_map(|one| &one.refused) {
            let all = counts.entry(code).or_default();
            *all = buckets.iter().fold(*all, |all, count| all.saturating_add(*count));
        }
        let mut codes: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self(codes.into_iter().map(|(code, _)| code.to_owned()).collect())
    }

    fn class(&self, code: &str) -> &'static str {
        let place = self.0.iter().position(|known| known == code).unwrap_or(CLASSES.len());
        CLASSES.get(place).or(CLASSES.last()).copied().unwrap_or_default()
    }

    /// The classes with the codes that they stand for.
    fn all(&self) -> Vec<(&'static str, String)> {
        let own = CLASSES.len() - 1;
        let mut all: Vec<_> = CLASSES.into_iter().zip(self.0.iter().map(|code| plain(code, 48))).collect();
        if self.0.len() > CLASSES.len()
            && let Some((_, text)) = all.get_mut(own)
        {
            *text = format!("{} other codes", self.0.len() - own);
        }
        all
    }
}

/// A text as it may stand in a picture: no control characters, which XML does not have, and not too long.
fn plain(text: &str, characters: usize) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(characters).collect();
    if text.chars().nth(characters).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests;
