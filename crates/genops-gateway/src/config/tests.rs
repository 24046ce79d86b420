//! Tests of the configuration as people meet it: its schema, its sample, and what they are told is wrong.

mod budgets;
mod webhooks;

use genops::receipt::key::SigningKey;
use serde_json::Value;

use super::{Config, SAMPLE, schema};

fn read(text: &str) -> Result<Config, String> {
    let env = |name: &str| match name {
        "OPENAI_API_KEY" | "OTLP_TOKEN" => Some("secret-value".to_owned()),
        "HOOK_URL" => Some("https://chat.example/services/secret-path?token=secret-query\n".to_owned()),
        "EMPTY" => Some(" \n".to_owned()),
        _ => None,
    };
    Config::read("genops.yaml", text, &env, &read_file).map_err(|problems| problems.to_string())
}

/// A table of prices with two rows, in the file `prices.json`.
fn read_file(path: &str) -> std::io::Result<String> {
    match path {
        "prices.json" => Ok(r#"{"format":"genops prices 1: US dollars for a million tokens",
            "source":"own","date":"2026-11-22","providers":{
            "openai":{"source":null,"rows":[{"model":"x","names":["x"],"input":"1","output":"2"}]},
            "p":{"source":null,"rows":[
            {"model":"m","names":["m*"],"input":"1","cached_input":"0.1","output":"2"}]}}}"#
            .to_owned()),
        "genops-signing.key" => Ok(SigningKey::text(&[1; 32])),
        "bad.key" => Ok("sk-live-123".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

/// What the schema has against a configuration.
fn refused(text: &str) -> Vec<String> {
    let written: Value = serde_saphyr::from_str(text).unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    validator.iter_errors(&written).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The sample with every field that is switched off switched on.
pub(super) fn sample_with_everything() -> String {
    let switched_on = |line: &str| match line.split_once('#') {
        Some((indent, field)) if indent.trim().is_empty() && !field.is_empty() && !field.starts_with(' ') => {
            format!("{indent}{field}\n")
        }
        _ => format!("{line}\n"),
    };
    SAMPLE.lines().map(switched_on).collect()
}

/// The blocks of YAML in the README that are whole configurations.
fn of_readme() -> Vec<&'static str> {
    let readme = include_str!("../../../../README.md");
    let blocks = readme.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.filter(|block| block.contains("listen:")).collect()
}

#[test]
fn the_readme_and_the_sample_are_read_and_accepted_by_the_schema() {
    let everything = sample_with_everything();
    let mut all = of_readme();
    assert_eq!(all.len(), 1);
    all.extend([SAMPLE, &everything]);
    for text in all {
        assert_eq!(read(text).map(|_| ()), Ok(()), "{text}");
        assert_eq!(refused(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses_by_its_shape() {
    let provider = "providers:\n  - {name: a, base_url: 'http://h/v1', ";
    let cases = [
        "lisen: 127.0.0.1:4100".to_owned(),
        "telemetry: {dir: a}".to_owned(),
        "telemetry: {otlp: [{endpoint: 'http://h', header: {}}]}".to_owned(),
        "telemetry: {webhooks: [{url: 'http://h', headers: {authorization: sk-live}}]}".to_owned(),
        "telemetry: {webhooks: [{headers: {}}]}".to_owned(),
        "telemetry: {otlp: [{endpoint: 'http://h', headers: {authorization: sk-live}}]}".to_owned(),
        format!("{provider}apikey: env:A}}"),
        format!("{provider}api_key: sk-live}}"),
        format!("{provider}api_key: '${{KEY}}'}}"),
        format!("{provider}http2: always}}"),
        format!("{provider}timeout_seconds: soon}}"),
        "providers: [{name: a}]".to_owned(),
        "models: [{name: a, provider: b, max_output_tokens: 1, bound: {field: []}}]".to_owned(),
        "models: [{name: a, provider: b, max_output_tokens: 0}]".to_owned(),
        "budgets: [{name: a, unit: EUR, limit: 1}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: -1}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, period: fortnight}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, rolling: 4w}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, overdraft: soft}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, overdraft: 0}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, alerts: [0]}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, alerts: [5, 5]}]".to_owned(),
        "budgets: [{name: a, unit: USD, limit: 1, each: []}]".to_owned(),
        "allowed_models: [{name: a, allow: [], teams: x}]".to_owned(),
        "rates: [{name: a, requests: 0, per: second}]".to_owned(),
        "rates: [{name: a, requests: 1, per: week}]".to_owned(),
        "rates: [{name: a, requests: 1, per: day, burst: 0}]".to_owned(),
        "keys: [{name: a, sha256: abc}]".to_owned(),
        "limits: {bodybytes: 1}".to_owned(),
    ];
    for text in cases {
        assert!(!refused(&text).is_empty(), "the schema accepts {text}");
        assert!(read(&text).is_err(), "the reader accepts {text}");
    }
}

#[test]
fn every_field_of_the_schema_is_described_and_stands_in_the_sample() {
    let schema = schema();
    let sample: Value = serde_saphyr::from_str(&sample_with_everything()).unwrap();
    let mut fields = 0;
    let mut missing = Vec::new();
    look_for_fields(&schema, &schema, &[&sample], "", &mut fields, &mut missing);
    assert_eq!(missing, Vec::<String>::new());
    assert!(fields > 50, "the schema was not walked: {fields} fields");
}

/// Walks the schema beside the values that stand in the sample at that place.
fn look_for_fields(
    root: &Value,
    schema: &Value,
    values: &[&Value],
    path: &str,
    fields: &mut usize,
    missing: &mut Vec<String>,
) {
    for form in ["allOf", "anyOf"].into_iter().flat_map(|form| schema[form].as_array()).flatten() {
        look_for_fields(root, form, values, path, fields, missing);
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let to = root.pointer(reference.trim_start_matches('#')).unwrap();
        look_for_fields(root, to, values, path, fields, missing);
    }
    let items: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    if schema["items"].is_object() {
        look_for_fields(root, &schema["items"], &items, &format!("{path}[]"), fields, missing);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let found: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
        *fields += 1;
        // Whom something covers is written in one way everywhere; the sample shows all of it once.
        let is_shown_elsewhere = path.contains(".for.") && !path.starts_with(".allowed_models");
        if found.is_empty() && !is_shown_elsewhere {
            missing.push(format!("{path} is not in the sample"));
        }
        if field["description"].as_str().is_none_or(str::is_empty) {
            missing.push(format!("{path} has no description"));
        }
        look_for_fields(root, field, &found, &path, fields, missing);
    }
}

#[test]
fn a_problem_is_told_with_its_line_and_a_caret_under_its_place() {
    let cases = [
        (
            "listen: nowhere   # sk-live-in-a-comment",
            "genops.yaml:1:9: `listen` has to be an address and a port, such as `127.0.0.1:4100`
   |
 1 | listen: nowhere
   |         ^^^^^^^
1 problem in genops.yaml",
        ),
        (
            "budgets:\n  - {name: a, unit: EUR, limit: \"x y\"}",
            "genops.yaml:2:21: `unit`: a unit is `USD`, `tokens`, `requests`, or a name of your own: 1 to 31 lower-case \
             letters, digits and `_`, beginning with a letter
   |
 2 |   - {name: a, unit: EUR, limit: \"x y\"}
   |                     ^^^
genops.yaml:2:33: `limit` must be a plain decimal number such as `12.50`, without exponent \
             or grouping
   |
 2 |   - {name: a, unit: EUR, limit: \"x y\"}
   |                                 ^^^^^
2 problems in genops.yaml",
        ),
        (
            "allowed_models:\n  - name: a\n    for:\n      team: \"\"\n    allow: []",
            "genops.yaml:4:13: `team` must not be empty
   |
 4 |       team: \"\"
   |             ^^
1 problem in genops.yaml",
        ),
        (
            "allowed_models:\n  - {name: a, for: {team: [b, '']}, allow: []}",
            "genops.yaml:2:31: `team` must not be empty
   |
 2 |   - {name: a, for: {team: [b, '']}, allow: []}
   |                               ^^
1 problem in genops.yaml",
        ),
        (
            "providers:\n  - name: a\n    base_url: http://h/v1\n    api_key: ${OPENAI_API_KEY}",
            "genops.yaml:4:14: `api_key` is a secret, and `${...}` is not replaced here; refer to it as \
             `env:VARIABLE` or `file:PATH`
   |
 4 | … api_key: …
   |            ^
1 problem in genops.yaml",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn problems_are_told_in_the_order_of_the_file() {
    let told = read("limits: {in_flight: 0}\nbudgets:\n  - {name: a, unit: EUR, limit: 1}\nlisten: x\n")
        .unwrap_err();
    let heads: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("genops.yaml:")).collect();
    let places: Vec<_> = heads.iter().map(|head| head.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["1:21", "3:21", "4:9"]);
    assert!(told.ends_with("\n3 problems in genops.yaml"), "{told}");
}

#[test]
fn what_may_be_a_secret_is_never_told() {
    let provider = "providers:\n  - name: a\n    base_url: http://h/v1\n    ";
    let cases = [
        format!("{provider}api_key: sk-live-123"),
        format!("{provider}api_key: '${{sk-live-123}}'"),
        format!("{provider}api_key: env:sk-live-123"),
        format!("{provider}api_key: env:EMPTY"),
        format!("{provider}api_key: |\n      sk-live-123"),
        format!("{provider}api_key: [sk-live-123]"),
        format!("{provider}api_key: {{value: sk-live-123}}"),
        format!("{provider}api_key: \"env:A\n      sk-live-123\""),
        format!("{provider}apikey: sk-live-123"),
        format!("{provider}timeout_seconds: sk-live-123"),
        format!("{provider}sends_traceparent: sk-live-123"),
        format!("{provider}reports_usage_in_streams: sk-live-123"),
        format!("{provider}without_usage: counts # sk-live-123"),
        "providers: sk-live-123".to_owned(),
        "limits: {body_bytes: sk-live-123}".to_owned(),
        "limits: sk-live-123".to_owned(),
        "sk-live-123".to_owned(),
        "budgets:\n  - {name: a, for: {team: {sk-live-123: b}}, unit: USD, limit: 1}".to_owned(),
        "providers:\n  - {name: a, without_usage: x, base_url: 'http://h/v1', api_key: sk-live-123}"
            .to_owned(),
        "providers:\n  - {name: a, base_url: 'http://h/v1', api_key: \n      sk-live-123, http2: x}"
            .to_owned(),
        "providers:\n  - {name: a, without_usage: x, base_url: 'http://u:sk-live-123@h/v1'}".to_owned(),
        "telemetry:\n  otlp:\n    - {endpoint: nowhere, headers: {authorization: sk-live-123}}".to_owned(),
        "telemetry:\n  otlp:\n    - endpoint: http://h\n      headers: {\"a b\": sk-live-123}".to_owned(),
        "telemetry:\n  otlp:\n    - endpoint: http://h\n      headers: sk-live-123".to_owned(),
        "telemetry:\n  webhooks:\n    - {url: 'https://h/sk-live-123', headers: {a: b}}".to_owned(),
        "telemetry:\n  webhooks:\n    - {url: 'https://h/sk-live-123', header: {}}".to_owned(),
        "telemetry:\n  webhooks:\n    - sk-live-123".to_owned(),
        "keys:\n  - {name: '', sha256: sk-live-123}".to_owned(),
        "receipts: {signing_key: sk-live-123}".to_owned(),
        "receipts: {signing_key: file:bad.key}".to_owned(),
        "budgets:\n  - {name: a, for: {key: sk-live-123}, unit: USD, limit: 1}".to_owned(),
        "budgets:\n  - {name: a, for: {key: [a, sk-live-123]}, unit: USD, limit: 1}".to_owned(),
        "keys:\n  - sk-live-123".to_owned(),
        "api_key: sk-live-123".to_owned(),
        "api_key sk-live-123\nlisten: x".to_owned(),
        "listen: \"sk-live-123".to_owned(),
        "listen: [sk-live-123".to_owned(),
        "listen: *sk-live-123".to_owned(),
    ];
    for text in cases {
        let told = read(&text).unwrap_err();
        assert!(!told.contains("live"), "{text}\n{told}");
    }
}

#[test]
fn a_price_is_the_models_own_else_the_tables_for_its_provider_else_none() {
    let config = read(
        "
prices_file: prices.json
providers:
  - {name: with, base_url: 'http://h/v1', prices: p}
  - {name: without, base_url: 'http://h/v1'}
models:
  - {name: m-own, provider: with, max_output_tokens: 1, price: {input: 5, output: 6, cached_input: 0.5}}
  - {name: m-table, provider: with, max_output_tokens: 1}
  - {name: m-other, provider: without, max_output_tokens: 1}
  - {name: unknown, provider: with, max_output_tokens: 1}
other_models: {provider: with, max_output_tokens: 1}
",
    )
    .unwrap();
    let rates = |model: &str| {
        let price = config.models.price(&genops_core::Name::new(model).unwrap())?;
        let cached = price.rates.cached_input.map(|amount| amount.to_string());
        Some((price.row.to_string(), price.rates.input.to_string(), cached))
    };
    let table_row = Some(("own 2026-11-22 p/m".to_owned(), "1".to_owned(), Some("0.1".to_owned())));
    let cases = [
        ("m-own", Some(("config m-own".to_owned(), "5".to_owned(), Some("0.5".to_owned())))),
        ("m-table", table_row.clone()),
        ("m-other", None),
        ("unknown", None),
        ("m-not-listed", table_row),
        ("not-listed", None),
    ];
    for (model, expected) in cases {
        assert_eq!(rates(model), expected, "{model}");
    }
}

#[test]
fn a_table_that_cannot_be_used_is_a_problem_where_it_is_named() {
    let provider =
        |prices: &str| format!("providers:\n  - {{name: a, base_url: 'http://h/v1', prices: {prices}}}");
    let cases = [
        ("prices_file: nowhere.json".to_owned(), ":1:14: `prices_file` has to be a file that"),
        (provider("nobody"), ":2:48: the table of prices has no provider `nobody`; it has: "),
        (provider("openai"), ""),
    ];
    for (text, expected) in cases {
        match read(&text) {
            Ok(_) => assert_eq!(expected, "", "{text}"),
            Err(found) => assert!(!expected.is_empty() && found.contains(expected), "{found}"),
        }
    }
}

/// The first line that is told of each problem, without the name of the file.
fn problems(text: &str) -> Vec<String> {
    let told = read(text).err().unwrap_or_default();
    told.lines().filter_map(|line| line.strip_prefix("genops.yaml:")).map(str::to_owned).collect()
}

#[test]
fn a_rule_whose_list_was_emptied_does_not_bind_everybody() {
    let rule = |covers: &str| format!("allowed_models:\n  - {{name: a, for: {covers}, allow: [m]}}");
    let empty =
        |at: &str, field: &str| format!("{at}: `{field}` lists nothing; name something, or leave it out");
    let cases = [
        (rule("{team: []}"), empty("2:27", "team")),
        (rule("{team: null}"), empty("2:27", "team")),
        (rule("{team: ~, key: []}"), empty("2:27", "team")),
        (
            "budgets:\n  - name: a\n    for:\n      team:\n    unit: USD\n    limit: 1".to_owned(),
            empty("4:11", "team"),
        ),
        ("rates: [{name: a, requests: 1, per: day, each: []}]".to_owned(), empty("1:48", "each")),
        ("rates:\n  - name: a\n    requests: 1\n    per: day\n    each:".to_owned(), empty("5:9", "each")),
        (
            "tiers:\n  - name: a\n    latency_ms: 1\n    for:\n      #team: search".to_owned(),
            "4:8: expected mapping start at line 4, column 8".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let told = problems(&text);
        assert_eq!(told.first(), Some(&expected), "{text}\n{told:#?}");
        assert!(!refused(&text).is_empty(), "the schema accepts {text}");
    }
    assert!(read("rates: [{name: a, requests: 1, per: day}]").is_ok(), "what is left out covers every call");
}

#[test]
fn whom_a_rule_covers_has_to_exist_where_that_can_be_known() {
    let set_up = "
providers: [{name: here, base_url: 'http://h/v1'}]
models: [{name: m, provider: here, max_output_tokens: 1}, {name: n, provider: here, max_output_tokens: 1}]
keys: [{name: k, sha256: '0000000000000000000000000000000000000000000000000000000000000000'}]
";
    let others = "other_models: {provider: here, max_output_tokens: 1}\n";
    let operates = set_up.replace("sha256", "roles: [operate], sha256");
    let anything = "{provider: elsewhere, model: theirs, operation_type: training}";
    let told = problems(&format!("{operates}budgets: [{{name: a, for: {anything}, unit: USD, limit: 1}}]"));
    assert_eq!(told, Vec::<String>::new(), "whoever operates may name anything");
    let whole = "takes whole names";
    let cases = [
        ("", "{provider: here, key: [k], model: [m, n], operation_type: inference, team: anybody}", ""),
        ("", "{provider: typo}", "there is no provider of this name; there is: here"),
        ("", "{key: [k, typo]}", "there is no key of this name; there is: k"),
        ("", "{model: typo}", "there is no model of this name; there is: m, n"),
        (others, "{model: anything}", ""),
        ("", "{operation_type: chat}", "there is no operation_type of this name; there is: inference"),
        ("", "{team: 'search*'}", whole),
        ("", "{model: 'm*'}", whole),
        (others, "{model: 'm*'}", whole),
    ];
    for (more, covers, expected) in cases {
        let told =
            problems(&format!("{set_up}{more}budgets: [{{name: a, for: {covers}, unit: USD, limit: 1}}]"));
        match expected {
            "" => assert_eq!(told, Vec::<String>::new(), "{covers}"),
            expected => assert!(matches!(&told[..], [one] if one.contains(expected)), "{covers}: {told:?}"),
        }
    }
}

#[test]
fn a_number_may_stand_where_a_name_may_and_stays_as_it_is_written() {
    let key = "keys: [{name: k, sha256: '0000000000000000000000000000000000000000000000000000000000000000', cost_center: ";
    for number in ["4711", "0047", "47.10", "1e3", "0x1F", "-1", "true", "1_000", "'4711'"] {
        let covers = |what: &str| {
            format!(
                "{key}{number}}}]\nbudgets: [{{name: ä, for: {{cost_center: {what}}}, unit: USD, limit: 1}}]"
            )
        };
        let [one, listed] = [covers(number), covers(&format!("[{number}]"))].map(|text| {
            assert!(number == "true" || refused(&text).is_empty(), "{text}");
            read(&text).unwrap()
        });
        assert_eq!(one.policy.budgets, listed.policy.budgets, "{number}");
        let value = one.policy.budgets[0].selector.clauses()[0].values[0].as_str();
        assert_eq!(value, number.trim_matches('\''));
        let key = one.keys.iter().next().unwrap().1.labels.cost_center.clone().unwrap();
        assert_eq!(key.as_str(), value);
    }
}

#[test]
fn fallbacks_are_few_and_each_stands_there_once() {
    let names: Vec<_> = (0..12).map(|number| format!("m{number}")).collect();
    let text = |fallbacks: &[String]| {
        let model = |name: &String| format!("  - {{name: {name}, provider: p, max_output_tokens: 1}}\n");
        let others: String = names.iter().map(model).collect();
        format!(
            "providers: [{{name: p, base_url: 'http://h/v1'}}]\nmodels:\n{others}  \
             - {{name: m, provider: p, max_output_tokens: 1, fallbacks: [{}]}}",
            fallbacks.join(", ")
        )
    };
    assert_eq!(problems(&text(&names[..10])), Vec::<String>::new());
    assert_eq!(refused(&text(&names[..10])), Vec::<String>::new());
    let twice = text(&["m1".to_owned(), "m2".to_owned(), "m1".to_owned()]);
    assert_eq!(problems(&twice), ["15:70: stands above"]);
    let many = text(&names);
    assert_eq!(problems(&many), ["15:102: a model has at most 10 fallbacks"]);
    for text in [twice, many] {
        assert!(!refused(&text).is_empty(), "the schema accepts {text}");
    }
}

#[test]
fn a_condition_cannot_speak_in_the_gateways_own_words() {
    for code in ["x_output_capped", "x_unpriced_model", "x_unbounded_request", "x_too_many_shares"] {
        let told = problems(&format!("conditions: [{{name: a, when: streamed, code: {code}}}]"));
        assert_eq!(
            told,
            [format!("1:46: `{code}` is the gateway's own, and says something else; choose another")]
        );
    }
    assert_eq!(problems("conditions: [{name: a, when: streamed, code: x_output}]"), Vec::<String>::new());
}

#[test]
fn a_bad_pattern_is_told_with_the_place_of_its_fault() {
    let told = problems("content_rules: [{name: a, patterns: ['fine', 'ab(c', 'x*']}]");
    assert_eq!(
        told,
        [
            "1:46: the pattern, at byte 3: unclosed group",
            "1:54: the pattern matches where nothing stands; require at least one character",
        ]
    );
}

#[test]
fn a_role_is_one_of_those_that_there_are_and_stands_once() {
    let keys = |roles: &str| format!("keys:\n  - {{name: k, sha256: {}, roles: {roles}}}", "a".repeat(64));
    for (roles, problem) in [
        ("[read, reads]", "each of `roles` has to be one of: `read`, `operate`, `administer`"),
        ("[operate, operate]", "`operate` stands twice"),
    ] {
        let text = keys(roles);
        let told = problems(&text);
        assert!(matches!(told.as_slice(), [one] if one.ends_with(problem)), "{roles}: {told:?}");
        assert!(!refused(&text).is_empty(), "{roles}");
    }
    for roles in ["[]", "[read]", "[administer, read, operate]"] {
        let text = keys(roles);
        assert_eq!((problems(&text), refused(&text)), (Vec::new(), Vec::new()), "{roles}");
    }
}
