//! What a table of recorded calls gives, and what is said of one that cannot be used.

use std::io::{self, Read};

use proptest::prelude::*;

use super::super::{Facet, ReadError, Recorded, Traffic};
use super::ROW_BYTES_MAX;

fn traffic(text: &str) -> Result<Traffic, ReadError> {
    let mut traffic = Traffic::default();
    super::read_from("calls.csv", text.as_bytes(), &mut traffic)?;
    Ok(traffic)
}

/// The first call of a table with one more column than needed.
fn first(column: &str, value: &str) -> Result<(Traffic, Recorded), String> {
    let text = format!("TIMESTAMP,ContextTokens,GeneratedTokens,{column}\n2023-11-16 18:17:03,1,2,{value}");
    let traffic = traffic(&text).map_err(|error| error.to_string())?;
    let call = traffic.calls()[0];
    Ok((traffic, call))
}

#[test]
fn a_time_is_utc_unless_it_says_an_offset() {
    let second = 1_700_158_623_000_000_000;
    for (text, nanos) in [
        ("2023-11-16 18:17:03.9799600", Some(second + 979_960_000)),
        ("2023-11-16T18:17:03", Some(second)),
        ("2023-11-16 18:17:03Z", Some(second)),
        ("2023-11-16 18:17:03.000000001+00:00", Some(second + 1)),
        (" 2023-11-16T20:17:03+02:00 ", Some(second)),
        ("2023-11-16 11:17:03-07:00", Some(second)),
        ("2023-11-16", Some(second - (18 * 3600 + 17 * 60 + 3) * 1_000_000_000)),
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1969-12-31T23:59:59Z", None),
        ("2023-02-30 00:00:00", None),
        ("1700158623", None),
        ("16.11.2023 18:17", None),
        ("", None),
        ("é023-11-16 18:17:03", None),
    ] {
        let read = traffic(&format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{text},1,2"));
        let at = read.ok().map(|traffic| traffic.calls()[0].at.nanos());
        assert_eq!(at, nanos, "{text:?}");
    }
}

#[test]
fn columns_are_found_by_name_in_any_order_and_others_are_passed_over() {
    let text = "\u{feff}note, generated_tokens ,TEAM,contexttokens,Timestamp,Latency_MS,OutputLimit,customer_id,model\r\n\
                \"a, b\",2,search,1,2023-11-16 18:17:03,1500.25,64,c 1,gpt-4o\r\n\
                x,0,,4294967295,2023-11-16 18:17:04,,,,\r\n";
    let traffic = traffic(text).unwrap();
    let [one, other] = *traffic.calls() else { panic!("{traffic:?}") };
    assert_eq!((one.context_tokens, one.generated_tokens), (Some(1), Some(2)));
    assert_eq!((one.latency_ns, one.output_limit, one.failed), (Some(1_500_250_000), Some(64), false));
    assert_eq!((other.context_tokens, other.generated_tokens), (Some(u32::MAX), Some(0)));
    assert_eq!((other.latency_ns, other.output_limit), (None, None));
    let said = |call: &Recorded| {
        let labels = traffic.labels(call).unwrap();
        let all = Facet::ALL.into_iter();
        all.filter_map(|label| Some((label, labels.get(label)?.as_str().to_owned()))).collect::<Vec<_>>()
    };
    let expected = [(Facet::Team, "search"), (Facet::CustomerId, "c 1"), (Facet::Model, "gpt-4o")];
    assert_eq!(said(&one), expected.map(|(label, text)| (label, text.to_owned())));
    assert_eq!(said(&other), []);
    assert_eq!(traffic.place(other.place), "calls.csv, line 3");
}

#[test]
fn every_label_has_a_column() {
    for label in Facet::ALL {
        let (traffic, call) = first(label.as_str(), "v").unwrap();
        for other in Facet::ALL {
            let value = traffic.labels(&call).unwrap().get(other).map(|name| name.as_str());
            assert_eq!(value, (other == label).then_some("v"), "{label} {other}");
        }
    }
}

#[test]
fn calls_with_the_same_labels_share_them() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens,team,project\n\
                2023-11-16 18:17:03,1,2,a,b\n2023-11-16 18:17:04,1,2,ab,\n\
                2023-11-16 18:17:05,1,2, a ,b\n2023-11-16 18:17:06,1,2,,ab\n";
    let traffic = traffic(text).unwrap();
    let places: Vec<_> = traffic.calls().iter().map(|call| call.labels.place()).collect();
    assert_eq!(places, [0, 1, 0, 2]);
    assert_eq!(traffic.labels(&traffic.calls()[3]).unwrap().get(Facet::Project).unwrap().as_str(), "ab");
}

#[test]
fn what_is_missing_or_double_is_named() {
    for (text, problem) in [
        ("", "it has no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("timestamp,GeneratedTokens,model\n", "it has no column ContextTokens"),
        ("TIMESTAMP;ContextTokens;GeneratedTokens\n", "it has no column TIMESTAMP, Cont"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens,context_tokens\n", "it has two columns ContextTokens"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens,team,TEAM\n", "it has two columns team"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n\n", "there is no model call in `calls.csv`"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,2",
            "no model call in `calls.csv`: line 2: TIMESTAMP is no",
        ),
    ] {
        let error = traffic(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{text:?}: {error}");
    }
}

#[test]
fn a_bad_row_is_told_by_its_line_without_its_content_and_costs_no_other() {
    for end in ["\n", "\r\n"] {
        let lines = [
            "TIMESTAMP,ContextTokens,GeneratedTokens,latency_ms,team",
            "2023-11-16 18:17:03,1,2,,",
            "secret,1,2,,",
            "",
            "2023-11-16 18:17:03,secret,2,,",
            "2023-11-16 18:17:03,1,-2,,",
            "2023-11-16 18:17:03,1,4294967296,,",
            "2023-11-16 18:17:03,1,2,-1,",
            "2023-11-16 18:17:03,1,2,NaN,",
            "2023-11-16 18:17:03,1,2,,se\tcret",
            "2023-11-16 18:17:03,1,2",
            "2023-11-16 18:17:03,1,2,,\"two",
            "lines\"",
            "2023-11-16 18:17:03,1,2,,last",
        ];
        let traffic = traffic(&lines.join(end)).unwrap();
        let [source] = traffic.sources() else { panic!("{traffic:?}") };
        let problems = &source.problems.first;
        let told: Vec<_> = problems.iter().map(|problem| problem.split_once(' ').unwrap().1).collect();
        let begins = [
            "3: TIMESTAMP is",
            "5: ContextTokens is",
            "6: GeneratedTokens is",
            "7: GeneratedTokens is",
            "8: latency_ms is",
            "9: latency_ms is",
            "10: team must not",
            "11: it has 3 fields",
            "13: team must not",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for (told, begin) in told.iter().zip(begins) {
            assert!(told.starts_with(begin) && !told.contains("secret"), "{told:?} {begin:?}");
        }
        assert_eq!(source.calls, 2);
        assert_eq!(traffic.place(traffic.calls()[1].place), "calls.csv, line 14");
    }
}

#[test]
fn problems_do_not_grow_without_end() {
    let text =
        format!("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,1,2\n{}", "x,1,2\n".repeat(1_000));
    let traffic = traffic(&text).unwrap();
    let problems = &traffic.sources()[0].problems;
    assert_eq!(problems.first.len() as u64 + problems.more, 1_000);
    assert!(problems.first.len() < 100);
}

#[test]
fn a_row_that_never_ends_is_not_kept() {
    let begin = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,1,2\n\"".as_bytes();
    let mut source = Counted { source: begin.chain(io::repeat(b'x')), read: 0 };
    let error =
        super::read_from("endless.csv", &mut source, &mut Traffic::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read `endless.csv`: line 3: a row that is longer than 1 MiB"),
        "{error}"
    );
    assert!(source.read < 2 * ROW_BYTES_MAX, "{}", source.read);
}

struct Counted<R> {
    source: R,
    read: usize,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(space)?;
        self.read += length;
        Ok(length)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Calls come in the order of time; those of one instant, and of several sources, in the order of reading.
    #[test]
    fn calls_are_sorted_and_keep_their_order_otherwise(
        one in prop::collection::vec((0_u64..5, 0_u32..1000), 1..20),
        other in prop::collection::vec((0_u64..5, 0_u32..1000), 1..20),
    ) {
        let mut traffic = Traffic::default();
        for rows in [&one, &other] {
            let lines = rows.iter().map(|(second, tokens)| format!("2023-11-16 00:00:0{second},{tokens},0\n"));
            let text = format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{}", lines.collect::<String>());
            super::read_from("calls.csv", text.as_bytes(), &mut traffic).unwrap();
        }
        let mut expected: Vec<_> = one.into_iter().chain(other).collect();
        expected.sort_by_key(|(second, _)| *second);
        let tokens: Vec<_> = traffic.calls().iter().map(|call| call.context_tokens.unwrap()).collect();
        prop_assert_eq!(tokens, expected.into_iter().map(|(_, tokens)| tokens).collect::<Vec<_>>());
    }
}
