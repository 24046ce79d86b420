//! Whatever is drawn is one well-formed picture that needs nothing else.

use std::collections::BTreeMap;

use genops_core::Timestamp;
use proptest::prelude::*;
use quick_xml::events::Event;

use super::{Course, PANELS_MAX, Panel, Plot};

const SECOND: u64 = 1_000_000_000;

fn course(limit: Option<f64>) -> Course {
    let spent = [(0, 0.0), (10, 4.0), (20, 8.0), (30, 1.0)];
    Course {
        limit,
        spent: spent.map(|(at, value)| (at_second(at), value)).to_vec(),
        short: vec![at_second(15)],
        refused: BTreeMap::from([("BUDGET_EXCEEDED".to_owned(), vec![0, 3, 1])]),
    }
}

fn at_second(second: u64) -> Timestamp {
    Timestamp::from_nanos((1_700_158_620 + second) * SECOND)
}

fn plot(panels: Vec<Panel>) -> Plot {
    Plot {
        title: "What if".to_owned(),
        subtitle: "3 calls".to_owned(),
        policies: vec!["in force".to_owned(), "new.yaml".to_owned()],
        start: at_second(0),
        end: at_second(30),
        bucket_ns: 10 * SECOND,
        panels,
    }
}

fn panel(name: &str, courses: Vec<Course>) -> Panel {
    Panel { name: name.to_owned(), unit: Some("USD".to_owned()), courses }
}

/// All texts and all attributes, in order; fails where it is no XML.
fn parts(svg: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut reader = quick_xml::Reader::from_str(svg);
    let (mut texts, mut attributes, mut text) = (Vec::new(), Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return (texts, attributes),
            Event::Text(some) => text += &some,
            Event::GeneralRef(some) => text += &format!("&{};", &*some),
            Event::Start(element) | Event::Empty(element) => {
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let key = attribute.key.as_ref().to_owned();
                    attributes.push((key, attribute.value.into_owned()));
                }
            }
            Event::End(_) => texts.push(std::mem::take(&mut text)),
            _ => {}
        }
    }
}

fn texts(svg: &str) -> Vec<String> {
    parts(svg).0.into_iter().filter(|text| !text.is_empty()).collect()
}

#[test]
fn a_picture_says_what_is_in_it() {
    let svg = plot(vec![panel("team-search", vec![course(Some(10.0)), course(Some(8.0))])]).to_svg();
    let texts = texts(&svg);
    for text in [
        "What if",
        "3 calls",
        "spent, in force",
        "spent, new.yaml",
        "limit",
        "BUDGET_EXCEEDED",
        "team-search",
        "in force: limit 10 USD, too little left since 16 Nov 18:17; 4 refused",
        "new.yaml: limit 8 USD, too little left since 16 Nov 18:17; 4 refused",
        "spent, USD",
        "refused calls per 10 s; above: in force, below: new.yaml",
        "time, UTC",
        "18:17:15",
        "10",
    ] {
        assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
    }
}

#[test]
fn a_picture_needs_nothing_else() {
    let svg = plot(vec![panel("a", vec![course(None), course(Some(8.0))])]).to_svg();
    let (_, attributes) = parts(&svg);
    assert!(attributes.iter().all(|(key, _)| !key.contains("href") && key != "style"));
    assert!(!svg.contains("url(") && !svg.contains("@import") && !svg.contains("<script"));
    assert!(svg.contains("prefers-color-scheme: dark"));
}

#[test]
fn names_are_texts_whatever_is_in_them() {
    let long = "x".repeat(500);
    for name in ["</svg><script>", "a & b", "\"'", "a\u{0}\u{8}b\u{1b}", "ünïcode", &long] {
        let mut plot = plot(vec![panel(name, vec![course(None), course(None)])]);
        plot.policies = vec![name.to_owned(), name.to_owned()];
        plot.panels[0].courses[0].refused = BTreeMap::from([(name.to_owned(), vec![1])]);
        let svg = plot.to_svg();
        parts(&svg);
        assert!(
            !svg.contains("<script") && !svg.contains(&long) && !svg.contains(['\u{0}', '\u{8}', '\u{1b}'])
        );
    }
}

#[test]
fn one_policy_is_drawn_as_the_new_one() {
    let mut plot = plot(vec![panel("a", vec![course(Some(8.0))])]);
    plot.policies.remove(0);
    let (texts, attributes) = parts(&plot.to_svg());
    let is_class = |class: &str| attributes.contains(&("class".to_owned(), class.to_owned()));
    assert!(is_class("spent new") && !is_class("spent old"));
    assert!(texts.contains(&"refused calls per 10 s".to_owned()), "{texts:?}");
}

#[test]
fn a_limit_far_above_is_told_and_not_drawn() {
    for (limit, is_drawn) in [(8.0, true), (32.0, true), (33.0, false)] {
        let (texts, attributes) =
            parts(&plot(vec![panel("a", vec![course(None), course(Some(limit))])]).to_svg());
        let limits = attributes.iter().filter(|(key, value)| key == "class" && value == "limit new").count();
        // One of them is in the legend.
        assert_eq!(limits, 1 + usize::from(is_drawn), "{limit}");
        assert_eq!(texts.iter().any(|text| text.contains("above the picture")), !is_drawn, "{limit}");
    }
}

#[test]
fn a_panel_without_a_unit_tells_of_refusals_alone() {
    let refusals = Panel { name: "others".to_owned(), unit: None, courses: vec![course(None), course(None)] };
    let (texts, attributes) = parts(&plot(vec![refusals]).to_svg());
    assert!(texts.iter().any(|text| text == "new.yaml: 4 refused"), "{texts:?}");
    assert!(
        !texts.iter().any(|text| text.starts_with("spent, USD") || text.contains(": limit ")),
        "{texts:?}"
    );
    let lines =
        attributes.iter().filter(|(key, value)| key == "class" && value.starts_with("spent ")).count();
    assert_eq!(lines, 2, "those of the legend");
}

#[test]
fn no_more_than_a_bounded_number_of_panels_is_drawn_and_the_rest_is_told() {
    let all = (0..PANELS_MAX + 3)
        .map(|index| panel(&format!("budget {index}."), vec![Course::default()]))
        .collect();
    let texts = texts(&plot(all).to_svg());
    let drawn = texts.iter().filter(|text| text.starts_with("budget ")).count();
    assert_eq!(drawn, PANELS_MAX);
    assert!(texts.iter().any(|text| text == "3 more budgets are not drawn"));
}

#[test]
fn codes_without_a_colour_of_their_own_share_one() {
    let mut one = course(None);
    one.refused = (0..12).map(|code| (format!("x_{code:02}"), vec![100 - code])).collect();
    let texts = texts(&plot(vec![panel("a", vec![one])]).to_svg());
    for text in ["x_00", "x_06", "5 other codes"] {
        assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
    }
    assert!(!texts.iter().any(|found| found == "x_07"));
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        0.0..1e12_f64,
        Just(0.0),
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(f64::MAX),
    ]
}

prop_compose! {
    fn any_course()(
        limit in prop::option::of(number()),
        spent in prop::collection::vec((any::<u64>(), number()), 0..8),
        short in prop::collection::vec(any::<u64>(), 0..3),
        counts in prop::collection::vec(prop_oneof![0_u64..9, Just(u64::MAX)], 0..5),
    ) -> Course {
        Course {
            limit,
            spent: spent.into_iter().map(|(at, value)| (Timestamp::from_nanos(at), value)).collect(),
            short: short.into_iter().map(Timestamp::from_nanos).collect(),
            refused: BTreeMap::from([("a".to_owned(), counts.clone()), ("b".to_owned(), counts)]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing makes it no picture: no value, no order of times, no count.
    #[test]
    fn every_picture_is_whole(
        start in any::<u64>(),
        end in any::<u64>(),
        bucket_ns in any::<u64>(),
        panels in prop::collection::vec(prop::collection::vec(any_course(), 0..4), 0..4),
    ) {
        let panels = panels.into_iter().map(|courses| panel("a", courses)).collect();
        let mut plot = plot(panels);
        (plot.start, plot.end) = (Timestamp::from_nanos(start), Timestamp::from_nanos(end));
        plot.bucket_ns = bucket_ns;
        let svg = plot.to_svg();
        let (_, attributes) = parts(&svg);
        for (key, value) in attributes {
            prop_assert!(!value.contains("NaN") && !value.contains("inf"), "{key}={value}");
        }
        prop_assert_eq!(svg, plot.to_svg());
    }
}
