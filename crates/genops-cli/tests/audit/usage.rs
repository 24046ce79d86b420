//! The journal and the provider's usage: what comes of an edit of the export, and of exports that nobody can use.

use genops::report::AwuReport;
use serde_json::{Value, json};

use crate::program::{Folder, WITHOUT_AWU, export, found, only, read, row, row_without_awu, rows};
use crate::recorded::{RECORDED, call_of};

#[test]
fn what_was_recorded_matches_and_what_nobody_knew_is_a_correction() {
    let folder = Folder::new();
    let (report, code) = folder.report(&[]);
    assert_eq!((found(&report), code, &report["verdict"]), (vec![], 0, &json!("match")), "{report:#}");
    assert_eq!(report["journal"]["awus"], RECORDED.awus.len());
    assert_eq!(report["telemetry"]["awus"], RECORDED.awus.len());
    // The call whose caller went away, and the one whose process died.
    let corrected: Vec<_> = report["corrections"].as_array().unwrap().iter().map(|one| &one["awu"]).collect();
    assert_eq!(corrected, [&json!(RECORDED.ended("cancelled").id), &json!(RECORDED.ended("in_doubt").id)]);
    let text = String::from_utf8(folder.audit(&["--otlp", ".", "--usage", "usage.csv"]).stdout).unwrap();
    assert!(text.starts_with("all match: 11 AWUs of the journal, with telemetry and usage\n"), "{text}");
}

#[test]
fn a_row_that_is_gone_is_unbilled() {
    let folder = Folder::new();
    let gone = RECORDED.in_state("SETTLED")[1];
    folder.write(
        "usage.csv",
        export(&rows().into_iter().filter(|row| !row.contains(&gone.id)).collect::<Vec<_>>()),
    );
    let report = folder.report(&[]);
    let finding = only(&report, "unbilled", &gone.id);
    assert_eq!(finding["journal"]["used"]["input_tokens"], 200);
    assert_eq!((&finding["telemetry"], &finding["usage"]), (&json!("same"), &Value::Null));
}

#[test]
fn a_row_of_a_call_that_the_journal_does_not_know_is_unaccounted() {
    let folder = Folder::new();
    let stranger = format!("{}-{}", "ab".repeat(16), "cd".repeat(8));
    let refused = RECORDED.in_state("REFUSED")[0].id.as_str();
    let released = RECORDED.in_state("RELEASED")[0].id.as_str();
    let never_sent = RECORDED.ended("never_sent").id.as_str();
    for awu in [stranger.as_str(), "", refused, released, never_sent] {
        let mut rows = rows();
        rows.push(format!("{awu},small-2026,1,,1,0.5,"));
        folder.write("usage.csv", export(&rows));
        let report = folder.report(&[]);
        assert_eq!(only(&report, "unaccounted", awu)["usage"]["line"], rows.len() + 1);
    }
}

#[test]
fn other_tokens_or_another_cost_are_mispriced() {
    let folder = Folder::new();
    let awu = RECORDED.in_state("SETTLED")[2];
    // 300 in, 3 of them cached, 21 out: 0.0000576.
    for (what, before, after) in [
        ("input tokens: journal 300, provider 301", ",300,3,21,", ",301,3,21,"),
        ("output tokens: journal 21, provider 22", ",300,3,21,", ",300,3,22,"),
        ("cached input tokens: journal 3, provider 4", ",300,3,21,", ",300,4,21,"),
        ("cost: journal 0.0000576 USD, provider 0.0000587 USD", ",0.0000576,", ",5.87e-5,"),
    ] {
        let text = export(&rows());
        assert!(text.contains(before), "{text}");
        folder.write("usage.csv", text.replace(before, after));
        assert_eq!(only(&folder.report(&[]), "mispriced", &awu.id)["what"], what);
    }
    let mut twice = rows();
    twice.push(row(awu));
    folder.write("usage.csv", export(&twice));
    let report = folder.report(&[]);
    let what = only(&report, "mispriced", &awu.id)["what"].as_str().unwrap().to_owned();
    assert!(what.ends_with("provider 0.0001152 USD (2 rows name it)"), "{what}");
}

#[test]
fn a_cost_may_be_rounded_as_far_as_the_tolerance_says() {
    let folder = Folder::new();
    folder.write("usage.csv", export(&rows()).replace(",0.0000576,", ",0.00005759999999999999,"));
    assert_eq!(folder.report(&["--tolerance", "0"]).1, 0, "the digits of a double are no difference");
    folder.write("usage.csv", export(&rows()).replace(",0.0000576,", ",0.000058,"));
    assert_eq!(folder.report(&[]).1, 0);
    let awu = RECORDED.in_state("SETTLED")[2];
    only(&folder.report(&["--tolerance", "0.0000003"]), "mispriced", &awu.id);
    let told = folder.complaint(&["--usage", "usage.csv", "--tolerance=-1"]);
    assert!(told.contains("must not be less than 0"), "{told}");
}

#[test]
fn what_is_in_doubt_is_corrected_by_what_the_provider_says() {
    let folder = Folder::new();
    let awu = RECORDED.ended("in_doubt");
    let mut rows = rows();
    rows.push(format!("{},small-2026,10,,20,0.0000135,", awu.id));
    folder.write("usage.csv", export(&rows));
    let (report, code) = folder.report(&[]);
    let correction =
        report["corrections"].as_array().unwrap().iter().find(|one| one["awu"] == awu.id).unwrap();
    assert_eq!((code, correction["journal"]["charged"].as_str()), (0, Some("0.00075")));
    assert_eq!(
        correction["what"],
        "the provider bills 10 tokens in, 20 out, 0.0000135 USD: correct its charge of 0.00075 USD by -0.0007365 USD"
    );
    // Before its process was known to have died, it runs.
    let (report, _) = read(&folder.audit_of(&RECORDED.before, &["--usage", "usage.csv", "--format", "json"]));
    let correction =
        report["corrections"].as_array().unwrap().iter().find(|one| one["awu"] == awu.id).unwrap();
    assert_eq!(correction["journal"]["state"], "EXECUTING");
}

#[test]
fn rows_name_awus_in_several_ways() {
    let folder = Folder::new();
    let billed: Vec<_> = RECORDED.awus.iter().filter(|awu| awu.tokens.is_some()).collect();
    let table = |columns: &str, key: &dyn Fn(&AwuReport) -> String| {
        let rows = billed.iter().map(|awu| format!("{},{}\n", key(awu), row_without_awu(awu)));
        format!("{columns},{WITHOUT_AWU}\n{}", rows.collect::<String>())
    };
    let call = call_of;
    for text in [
        table("traceparent", &|awu| format!("00-{}-{}-01", call(awu).0, call(awu).1)),
        table("Trace ID,SPAN_ID", &|awu| awu.id.replace('-', ",")),
        table("traceId,spanId", &|awu| format!("{},{}", call(awu).0, call(awu).1.to_uppercase())),
        table("request_id", &|awu| awu.id.clone()),
        table("awu", &|awu| format!("\"{}\"", awu.id)).replace('\n', "\r\n"),
    ] {
        folder.write("usage.csv", &text);
        let (report, code) = folder.report(&[]);
        assert_eq!((code, &report["usage"]["matched_by"]), (0, &json!("awu")), "{text}\n{report:#}");
    }
    let objects = billed.iter().map(|awu| {
        let (tokens, cost) = (awu.tokens.unwrap(), awu.actual.as_ref().unwrap());
        format!(
            r#"{{"request_id": "{}", "spend": {cost}, "model": "small-2026", "startTime": "{}", "metadata": {{"x": [1]}},
               "prompt_tokens": {}, "completion_tokens": "{}", "cached_tokens": null}}"#,
            awu.id, awu.at, tokens.input, tokens.output
        )
        .replace('\n', " ")
    });
    folder.write("usage.csv", objects.collect::<Vec<_>>().join("\n\n"));
    let (report, code) = folder.report(&[]);
    assert_eq!((code, &report["usage"]["matched_by"]), (0, &json!("awu")), "{report:#}");
}

#[test]
fn rows_without_awus_are_compared_as_sums() {
    let folder = Folder::new();
    let found = |rows: &[String]| {
        folder.write("usage.csv", format!("{WITHOUT_AWU}\n{}\n", rows.join("\n")));
        let (report, code) = folder.report(&[]);
        let findings = report["findings"].as_array().unwrap();
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let named = findings.iter().map(|one| (text(one, "kind"), text(one, "model"))).collect::<Vec<_>>();
        (report["usage"]["matched_by"].as_str().unwrap().to_owned(), named, code)
    };
    let nothing = |by: &str| (by.to_owned(), vec![], 0);
    let one =
        |kind: &str, model: &str| ("model_and_day".to_owned(), vec![(kind.to_owned(), model.to_owned())], 1);
    let calls: Vec<_> =
        RECORDED.awus.iter().filter(|awu| awu.tokens.is_some()).map(row_without_awu).collect();
    assert_eq!(found(&calls), nothing("model_and_day"));
    // 1050 in, 10 of them cached, 75 out.
    let day = RECORDED.awus[0].at.get(..10).unwrap();
    let sum = |sum: &str| vec![format!("small-2026,{sum},{day}")];
    assert_eq!(found(&sum("1050,10,75,0.0002025")), nothing("model_and_day"));
    assert_eq!(found(&["small-2026,1050,10,75,0.0002025,".to_owned()]), nothing("model"));
    assert_eq!(found(&sum("950,10,75,0.0001875")), one("unbilled", "small-2026"));
    assert_eq!(found(&sum("1050,10,75,0.5")), one("mispriced", "small-2026"));
    assert_eq!(found(&sum("11050,10,75,0.5")), one("unaccounted", "small-2026"));
    let other = [sum("1050,10,75,0.0002025"), vec![format!("unheard-of,1,0,1,0.1,{day}")]].concat();
    assert_eq!(found(&other), one("unaccounted", "unheard-of"));
    // What two calls without a report may have used is no failure.
    assert_eq!(found(&sum("1150,10,95,0.0002295")), nothing("model_and_day"));
}

#[test]
fn only_the_time_that_is_asked_for_is_compared() {
    let folder = Folder::new();
    let from = RECORDED.in_state("SETTLED")[2].at.as_str();
    let (report, code) = folder.report(&["--since", from]);
    assert_eq!((code, found(&report)), (0, vec![]), "{report:#}");
    let outside = report["journal"]["outside"].as_u64().unwrap();
    assert!(outside >= 1 && report["usage"]["outside"].as_u64() == Some(outside), "{report:#}");
    let (report, code) = folder.report(&["--until", "1999-01-01"]);
    assert_eq!((code, &report["verdict"]), (3, &json!("nothing")));
    let told = folder.complaint(&["--usage", "usage.csv", "--since", "2026-01-02", "--until", "2026-01-01"]);
    assert!(told.contains("--until has to be later than --since"), "{told}");
    let told = folder.complaint(&["--usage", "usage.csv", "--since", "soon"]);
    assert!(told.contains("a day or a time is expected"), "{told}");
}

#[test]
fn exports_that_cannot_be_used_are_told_by_line_and_column() {
    let folder = Folder::new();
    let good = "awu,model,input_tokens,output_tokens,cost";
    let line = |text: &str| format!("{good}\n,m,1,1,1\n{text}\n");
    for (text, told) in [
        (String::new(), "names no column model, input_tokens, output_tokens, cost"),
        ("model,input_tokens,output_tokens\nm,1,1\n".to_owned(), "names no column cost"),
        (line(",m,1,1,1e400"), "line 3: cost is too large"),
        (line(",m,1,1,-1"), "line 3: cost is less than nothing"),
        (line(",m,1,1,NaN"), "line 3: cost must be a plain decimal number"),
        (line(",m,1,1,$1"), "line 3: cost must be"),
        (line(",m,1,1,1e13"), "line 3: cost is more than anybody is billed"),
        (line(",m,1,1,\"1,5\""), "line 3: cost must be"),
        (line(",m,1,1,"), "line 3: cost is missing"),
        (line(",m,-1,1,1"), "line 3: input_tokens is no whole number"),
        (line(",m,1,1e400,1"), "line 3: output_tokens is no whole number"),
        (line(",m,1,1.5,1"), "line 3: output_tokens is no whole number"),
        (line(",m,1,99999999999999999999,1"), "line 3: output_tokens is no whole number"),
        (line(",,1,1,1"), "line 3: model is missing"),
        (line(",\"a\u{1b}[31m\",1,1,1"), "line 3: model"),
        (line("abc,m,1,1,1"), "line 3: awu is neither"),
        (line(",m,1,1"), "line 3: it has 4 fields, and the first line names 5 columns"),
        (line(",m,1,1,1,1"), "line 3: it has 6 fields"),
        (
            line(&[",m,x,1,1"; 12].join("\n")),
            "line 12: input_tokens is no whole number from 0 to 1000000000000\n  and 2 more",
        ),
        (format!("{good},timestamp\n,m,1,1,1,yesterday\n"), "line 2: timestamp is no time"),
        (line(&format!("\"{}", "x".repeat(2 << 20))), "a row that is longer than 1 MiB begins here"),
        ("[{}]".to_owned(), "is one JSON array"),
        ("{\"model\": \"m\"".to_owned(), "line 1: it is no JSON object"),
        (
            "{\"model\": \"m\", \"input_tokens\": 1, \"output_tokens\": 1}".to_owned(),
            "line 1: cost is missing",
        ),
        ("{\"model\": {\"a\": 1}}".to_owned(), "line 1: model is neither a text nor a number"),
        (
            "{\"model\":\"m\",\"input_tokens\":1,\"output_tokens\":1,\"cost\":1e400}".to_owned(),
            "line 1: cost is too large",
        ),
        (format!("{{\"model\": \"{}\"}}", "x".repeat(2 << 20)), "line 1 is longer than 1 MiB"),
    ] {
        folder.write("usage.csv", &text);
        let said = folder.complaint(&["--usage", "usage.csv"]);
        assert!(
            said.starts_with("genops: `usage.csv`") || said.starts_with("genops: cannot read `usage.csv`"),
            "{said}"
        );
        assert!(said.contains(told), "{told} is not in {said}");
        assert!(!said.contains('\u{1b}'));
    }
    folder.write("usage.csv", [line("").as_bytes(), b",m\xff,1,1,1\n"].concat());
    assert!(folder.complaint(&["--usage", "usage.csv"]).contains("line 4: model is not UTF-8"));
    folder.write("usage.csv", [0x1f, 0x8b, 8, 0]);
    assert!(folder.complaint(&["--usage", "usage.csv"]).contains("unpack it"));
    assert!(folder.complaint(&["--usage", "absent.csv"]).contains("cannot read `absent.csv`"));
    assert!(folder.complaint(&[]).contains("--otlp"));
}
