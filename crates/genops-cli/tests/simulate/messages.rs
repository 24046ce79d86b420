//! What is said where something cannot be used, is missing, or cannot be asked.

use serde_json::{Value, json};

use crate::program::{Folder, lines, texts};

const CONFIG: &str = "
providers: [{name: upstream, base_url: 'http://127.0.0.1:1/v1'}]
models: [{name: small, provider: upstream, max_output_tokens: 100, price: {input: 10, output: 20}}]
condition_headers: [x-tier]
conditions:
  - {name: tiered, for: {team: search}, when: 'headers[\"x-tier\"] == \"free\"', effect: deny, code: x_tier}
  - {name: long, when: 'max_output_tokens > 60', effect: warn, code: x_long}
content_rules:
  - {name: no-falcon, keywords: [falcon], effect: deny}
";

const HEADINGS: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

fn folder(calls: &str) -> Folder {
    let folder = Folder::new();
    folder.write("genops.yaml", CONFIG);
    folder.write("calls.csv", calls);
    folder
}

#[test]
fn what_cannot_be_used_is_said_with_what_to_do() {
    let folder = folder(&format!("{HEADINGS}\n2026-11-18 10:00:00,100,50\n"));
    folder.write("empty.csv", "");
    folder.write("no-rows.csv", &format!("{HEADINGS}\n"));
    folder.write("other.csv", "when,what\n1,2\n");
    folder.write("other-models.csv", &format!("{HEADINGS},model\n2026-11-18 10:00:00,1,1,gpt-4o\n"));
    folder.write("no-models.yaml", "providers: [{name: upstream, base_url: 'http://127.0.0.1:1/v1'}]");
    folder.write("bad.yaml", "budgets: [{name: a, unit: EUR, limit: 1}]");
    folder.write("genops.db", "no ledger");
    folder.write("text.json", "hello");
    let cases: [(&[&str], i32, &str); 17] = [
        (&[], 2, "--ledger <FILE>|--trace <FILE>|--otlp <PATH>"),
        (&["--ledger", "genops.db", "--trace", "calls.csv"], 2, "cannot be used with"),
        (&["--trace", "calls.csv", "--map", "team=x"], 2, "--otlp"),
        (&["--trace", "nowhere.csv"], 2, "cannot read `nowhere.csv`"),
        (&["--trace", "empty.csv"], 2, "has no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        (&["--trace", "no-rows.csv"], 2, "there is no model call in `no-rows.csv`"),
        (&["--trace", "other.csv"], 2, "Its first line has to name the columns"),
        (&["--trace", "other-models.csv"], 2, "they are for gpt-4o; set these up, or `other_models`"),
        (&["--otlp", "text.json"], 2, "nothing of `text.json` can be read"),
        (&["--ledger", "nowhere.db"], 2, "there is no ledger at `nowhere.db`"),
        (&["--ledger", "genops.db"], 1, "the ledger `genops.db` cannot be read"),
        (
            &["--trace", "calls.csv", "--config", "nowhere.yaml"],
            2,
            "cannot read the configuration `nowhere.yaml`",
        ),
        (&["--trace", "calls.csv", "--config", "bad.yaml"], 2, "the configuration cannot be used"),
        (
            &["--trace", "calls.csv", "--model", "large"],
            2,
            "--model `large` is not set up in `genops.yaml`, which has small",
        ),
        (
            &["--trace", "calls.csv", "--team", "unknown"],
            2,
            "--team is a placeholder; it has to name who is responsible",
        ),
        (&["--trace", "calls.csv", "--plot", "nowhere/plot.svg"], 1, "cannot write `nowhere/plot.svg`"),
        (&["--trace", "calls.csv", "--decisions", "nowhere/a"], 1, "cannot write `nowhere/a`"),
    ];
    for (arguments, code, said) in cases {
        let (found, complaint) = folder.complaint(arguments);
        assert!(found == Some(code) && complaint.contains(said), "{arguments:?}: {found:?} {complaint}");
    }
}

#[test]
fn a_configuration_without_models_says_so() {
    let folder = folder(&format!("{HEADINGS}\n2026-11-18 10:00:00,100,50\n"));
    folder.write(
        "others.yaml",
        "
providers: [{name: upstream, base_url: 'http://127.0.0.1:1/v1'}]
other_models: {provider: upstream, max_output_tokens: 100, price: {input: 1, output: 2}}
",
    );
    let (code, complaint) = folder.complaint(&["--config", "others.yaml", "--trace", "calls.csv"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("no model is set up by name in `others.yaml`"), "{complaint}");
    let report = folder.json(&["--config", "others.yaml", "--trace", "calls.csv", "--model", "any"]);
    assert_eq!(report["policies"][0]["allowed"], 1);
}

/// Prompts, headers and placeholders: what a recording cannot say is counted, never guessed in silence.
#[test]
fn what_is_not_asked_and_what_is_assumed_is_counted() {
    let folder = folder(&format!(
        "{HEADINGS},team,project,environment,model,latency_ms,output_limit
2026-11-18 10:00:00,100,50,search,ranking,prod,small,10,50
2026-11-18 10:00:01,100,50,unknown,ranking,,small,10,50
2026-11-18 10:00:02,100,50,search,ranking,prod,,,200
2026-11-18 10:00:03,100,50,search,ranking,prod,gpt-4o,10,50
2026-11-18 10:00:04,100,oh,search,ranking,prod,small,10,50
"
    ));
    let arguments = ["--trace", "calls.csv", "--team", "ops", "--decisions", "decisions.jsonl"];
    let report = folder.json(&arguments);
    let under = &report["policies"][0];
    assert_eq!(
        (&report["calls"], &under["allowed"], &under["warned"], &under["not_set_up"]),
        (&json!(4), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!(under["models_not_set_up"], json!([{"model": "gpt-4o", "calls": 1}]));
    let not_asked: Vec<_> = under["not_asked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["rule"].as_str().unwrap(), rule["calls"].as_u64().unwrap()))
        .collect();
    assert_eq!(not_asked, [("tiered", 2), ("no-falcon", 3)]);
    let assumed: Vec<_> = report["assumed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["assumption"].as_str().unwrap(), one["calls"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("bound", 3),
        ("lower_output_limit", 1),
        ("latency", 1),
        ("model", 1),
        ("attribution", 1),
        ("placeholder", 1),
    ];
    assert_eq!(assumed, expected);
    let read = json!([{"source": "calls.csv", "calls": 4, "passed_over": {}, "labels": [], "problems": 1}]);
    assert_eq!(report["read"], read);
    let lines = lines(&folder.read("decisions.jsonl"));
    let said: Vec<_> =
        lines.iter().map(|line| texts(line, &["team", "environment", "model", "result", "rule"])).collect();
    assert_eq!(
        said,
        [
            ["search", "prod", "small", "ALLOWED", ""],
            ["ops", "recorded", "small", "ALLOWED", ""],
            ["search", "prod", "small", "WARNING", "long"],
            ["", "", "gpt-4o", "", ""],
        ]
    );
    let text = folder.text(&arguments);
    for line in [
        "    not readable: 1\n",
        "2 ALLOWED, 1 WARNING, 1 answered 404, since their model is not set up\n",
        "     2  condition tiered: it looks at headers, or at whether the answer is",
        "     3  content rule no-falcon: it looks at prompts, which are not recorded\n",
        "\nwrote decisions.jsonl\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let stderr = String::from_utf8(folder.simulate(&arguments).stderr).unwrap();
    assert_eq!(
        stderr,
        "genops: calls.csv: line 6: GeneratedTokens is no whole number from 0 to 4294967295\n"
    );
}

#[test]
fn what_a_trace_was_read_for_stands_in_the_report() {
    let folder = Folder::new();
    folder.write("genops.yaml", CONFIG);
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    let text = |text: &str| json!({"stringValue": text});
    let span = |id: &str, attributes: Vec<Value>| {
        json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id,
        "name": "chat", "startTimeUnixNano": "1795000000000000000", "endTimeUnixNano": "1795000001000000000", "attributes": attributes})
    };
    let call = vec![
        attribute("gen_ai.operation.name", text("chat")),
        attribute("gen_ai.request.model", text("small")),
        attribute("gen_ai.usage.input_tokens", json!({"intValue": "100"})),
        attribute("gen_ai.usage.output_tokens", json!({"intValue": "50"})),
    ];
    let spans =
        [span("b7ad6b7169203331", call), span("b7ad6b7169203332", vec![attribute("http.route", text("/"))])];
    let resource = json!({"attributes": [attribute("service.namespace", text("shop")), attribute("service.name", text("web"))]});
    let all = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    folder.write("traces.json", &all.to_string());
    let said = folder.text(&["--otlp", "traces.json", "--map", "team=service.name", "--plot", "plot.svg"]);
    for line in [
        "1 call from 2026-11-18T11:06:40.000Z to 2026-11-18T11:06:40.000Z\n",
        "  1 call of traces.json\n",
        "    team from service.name: 1\n",
        "    project from service.name: 1\n",
        "    passed over: 1 spans of other work\n",
        " web   small      1        0     0.002\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(folder.read("plot.svg").starts_with("<svg"));
}
