//! What conditions accept, mean and refuse: tables, and the interpreter of the parser's library as a second opinion.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cel::{Context, Program, Value};
use genops_core::attribution::Attribution;
use genops_core::awu::Proposal;
use genops_core::{Name, Timestamp};
use proptest::prelude::*;

use super::{Condition, Facts, Problem, Unanswered};

/// 2026-11-01T23:30:05.250Z, a Sunday.
const SUNDAY_NIGHT: u64 = 1_793_575_805_250_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn admitted() -> BTreeSet<String> {
    ["plan", "x-plan", "x-äöü"].map(str::to_owned).into()
}

fn read(source: &str) -> Result<Condition, Vec<Problem>> {
    Condition::read(source, &admitted())
}

fn proposal() -> Proposal {
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("production")).unwrap();
    let mut proposal =
        Proposal::new(attribution, name("chat"), name("inference"), name("openai"), name("gpt-4o-mini"));
    proposal.key = Some(name("ci"));
    proposal.region = Some(name("eu-west-1"));
    proposal.labels.customer_id = Some(name("Zoë"));
    proposal.bound.input = 1_200;
    proposal.bound.output = 4_096;
    proposal
}

fn facts<'a>(proposal: &'a Proposal, headers: &[(&'a str, &'a str)]) -> Facts<'a> {
    Facts {
        proposal,
        streamed: true,
        time: Timestamp::from_nanos(SUNDAY_NIGHT),
        headers: headers.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect(),
    }
}

#[test]
fn what_is_accepted_means_what_cel_says() {
    let proposal = proposal();
    let facts = facts(&proposal, &[("x-plan", "gold 42")]);
    let cases = [
        (r#"team == "search" && project == 'ranking' && environment != "staging""#, true),
        (r#"operation == "chat" && operation_type == "inference""#, true),
        (r#"key == "ci" && provider == "openai" && region.startsWith("eu-")"#, true),
        (r#"feature == "" && cost_center == "" && session_id == """#, true),
        (r#"model in ["gpt-4o", "gpt-4o-mini"]"#, true),
        ("model in [team, provider]", false),
        ("max_output_tokens in [1, 2 + 2, 4096]", true),
        ("model in []", false),
        ("max_output_tokens > 4000 && max_input_tokens <= 1200", true),
        ("max_input_tokens + max_output_tokens * 2 - 1 == 9391", true),
        ("-max_input_tokens / 7 == -171 && -max_input_tokens % 7 == -3", true),
        ("max_input_tokens == 0x4B0", true),
        ("streamed", true),
        ("!streamed", false),
        ("streamed == true && streamed != false", true),
        ("(streamed ? max_input_tokens : max_output_tokens) == 1200", true),
        ("(streamed ? team : model).size() == 6", true),
        (r#"(streamed ? time : time) < timestamp("2026-11-02T00:00:00Z")"#, true),
        (r#"size(customer_id) == 3 && customer_id.size() == size("Zoë")"#, true),
        (r#"model.contains("4o") && model.endsWith("-mini")"#, true),
        (r#"model.matches("^gpt-[34]") && !model.matches("^4o")"#, true),
        (r#""a" < "b" && team >= "b" ? streamed : 1 / 0 == 1"#, true),
        (r#""x-plan" in headers && !("plan" in headers) && !has(headers.plan)"#, true),
        (r#"headers["x-plan"].startsWith("gold")"#, true),
        (r#"headers["x-plan"].matches(r"\d+$")"#, true),
        (r#"has(headers.plan) && headers.plan == "free""#, false),
        // Either side of `&&` and `||` decides alone, even where the other has no answer.
        (r#"headers.plan == "free" || streamed"#, true),
        (r#"headers.plan == "free" && !streamed"#, false),
        ("time.getHours() == 23 && time.getMinutes() == 30 && time.getSeconds() == 5", true),
        ("time.getMilliseconds() == 250 && time.getFullYear() == 2026", true),
        ("time.getMonth() == 10 && time.getDate() == 1 && time.getDayOfMonth() == 0", true),
        ("time.getDayOfWeek() == 0 && time.getDayOfYear() == 304", true),
        (r#"time.getDayOfWeek("Europe/Berlin") == 1 && time.getHours("Europe/Berlin") == 0"#, true),
        (r#"time.getHours("+05:30") == 5 && time.getMinutes("05:30") == 0"#, true),
        (r#"time.getHours("-08:00") == 15 && time.getHours("UTC") == 23"#, true),
        (
            r#"time >= timestamp("2026-11-01T23:30:05.250Z") && time != timestamp("2026-11-02T01:00:00+01:00")"#,
            true,
        ),
        ("true ? streamed : 1 / 0 == 1", true),
        ("// a comment\n  streamed", true),
    ];
    for (source, expected) in cases {
        let condition = read(source).unwrap_or_else(|problems| panic!("{source}: {problems:?}"));
        assert_eq!(condition.holds(&facts), Ok(expected), "{source}");
        assert_eq!(by_the_library(source, &facts), Some(expected), "the library: {source}");
    }
}

#[test]
fn a_condition_without_an_answer_says_why_and_no_value() {
    let proposal = proposal();
    let long = "secret".repeat(2_000);
    let facts = facts(&proposal, &[("x-plan", &long)]);
    let cases = [
        (r#"headers.plan == "free""#, Unanswered::NoHeader("plan".into())),
        (r#"streamed && headers["plan"] != "free""#, Unanswered::NoHeader("plan".into())),
        (r#"team in ["search", headers.plan]"#, Unanswered::NoHeader("plan".into())),
        (r#"headers["x-plan"] == "secret""#, Unanswered::LongHeader("x-plan".into())),
        ("max_input_tokens / (max_input_tokens - 1200) == 1", Unanswered::DivisionByZero),
        ("1 % 0 == 1", Unanswered::DivisionByZero),
        ("max_input_tokens + 9223372036854775807 > 0", Unanswered::Overflow),
        ("-9223372036854775808 / -1 > 0", Unanswered::Overflow),
        ("-9223372036854775808 % -1 == 0", Unanswered::Overflow),
        ("-(-9223372036854775807 - 1) > 0", Unanswered::Overflow),
    ];
    for (source, why) in cases {
        let condition = read(source).unwrap_or_else(|problems| panic!("{source}: {problems:?}"));
        assert_eq!(condition.holds(&facts), Err(why.clone()), "{source}");
        assert!(!why.to_string().contains("secret"));
    }
}

/// An expression, and what is said against it: line, column and message.
type Refusal = (&'static str, &'static [(usize, usize, &'static str)]);

const FACTS: &str = "facts are team, project, environment, customer_id, feature, cost_center, session_id, key, provider, \
                     model, operation_type, operation, region, max_input_tokens, max_output_tokens, streamed, time, \
                     headers";

fn assert_refused(refusals: &[Refusal]) {
    for (source, expected) in refusals {
        let Err(problems) = read(source) else { panic!("accepted: {source}") };
        let found: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.message.clone())).collect();
        let expected =
            expected.iter().map(|(line, column, text)| (*line, *column, text.replace("FACTS", FACTS)));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{source}");
    }
}

#[test]
fn an_unknown_fact_is_refused_where_it_stands() {
    assert_refused(&[
        ("modle == \"a\"", &[(1, 1, "`modle` is not a fact; did you mean `model`? FACTS")]),
        ("streamed &&\n  cost > 1", &[(2, 3, "`cost` is not a fact; did you mean `cost_center`? FACTS")]),
        ("zz || streamed", &[(1, 1, "`zz` is not a fact; FACTS")]),
        (".team == 'a'", &[(1, 2, "`.team` is not a fact; did you mean `team`? FACTS")]),
        ("'äöü😀' == team && modl == 1", &[(1, 19, "`modl` is not a fact; did you mean `model`? FACTS")]),
    ]);
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    assert_refused(&[
        ("max_output_tokens", &[(1, 1, "a condition has to be bool; this is int")]),
        (
            "team + \"x\" == \"y\"",
            &[
                (1, 1, "a side of an arithmetic operator has to be int; this is string"),
                (1, 8, "a side of an arithmetic operator has to be int; this is string"),
            ],
        ),
        ("team == 1", &[(1, 6, "string cannot be compared with int")]),
        ("time < 5", &[(1, 6, "timestamp cannot be compared with int")]),
        ("streamed < true", &[(1, 10, "bool has no order; it is compared by `==` and `!=`")]),
        ("1 < 2 < 3", &[(1, 7, "bool cannot be compared with int")]),
        (
            "max_output_tokens > 1.5",
            &[(1, 21, "no fact is a double; there are bool, int, string and timestamp")],
        ),
        (
            "max_output_tokens > 1u",
            &[(1, 21, "no fact is a uint; there are bool, int, string and timestamp")],
        ),
        ("team == null", &[(1, 9, "no fact is null; there are bool, int, string and timestamp")]),
        ("team == b'a'", &[(1, 9, "no fact is bytes; there are bool, int, string and timestamp")]),
        ("!team", &[(1, 2, "what stands behind `!` has to be bool; this is string")]),
        ("-team == 1", &[(1, 2, "what stands behind `-` has to be int; this is string")]),
        (
            "team && streamed || key",
            &[
                (1, 1, "what stands beside `&&` has to be bool; this is string"),
                (1, 21, "what stands beside `||` has to be bool; this is string"),
            ],
        ),
        ("team ? streamed : streamed", &[(1, 1, "what stands before `?` has to be bool; this is string")]),
        ("streamed ? 1 : team", &[(1, 10, "both sides of `:` need the same type; these are int and string")]),
        ("team in ['a', 1]", &[(1, 15, "what is in this list has to be string; this is int")]),
        ("streamed in [true]", &[(1, 10, "`in` looks for a string or an int, not a bool")]),
        ("team in model", &[(1, 9, "behind `in`, there has to be a list `[…]` or `headers`")]),
        ("[1, 2]", &[(1, 1, "a list can stand only behind `in`")]),
        (
            "{'a': 1} == {'a': 1}",
            &[
                (1, 1, "maps and messages cannot be made here"),
                (1, 13, "maps and messages cannot be made here"),
            ],
        ),
    ]);
}

#[test]
fn only_admitted_headers_can_be_looked_at() {
    assert_refused(&[
        ("team.name == 'a'", &[(1, 5, "string has no fields; only `headers` has")]),
        ("team['a'] == 'b'", &[(1, 5, "only `headers` can be asked by `[…]`")]),
        (
            "headers == headers",
            &[
                (1, 1, "`headers` is a map: write `headers[\"name\"]`, or `\"name\" in headers`"),
                (1, 12, "`headers` is a map: write `headers[\"name\"]`, or `\"name\" in headers`"),
            ],
        ),
        (
            "headers.  authorization == 'a'",
            &[(
                1,
                11,
                "\"authorization\" is not a header that conditions may look at; these are: \
                       \"plan\", \"x-plan\", \"x-äöü\"",
            )],
        ),
        (
            "headers['X-Plan'] == 'a'",
            &[(1, 9, "names of headers are written in lower case here: \"x-plan\"")],
        ),
        ("headers[team] == 'a'", &[(1, 9, "the name of a header has to be written in place, as a string")]),
        ("team in headers", &[(1, 1, "the name of a header has to be written in place, as a string")]),
        (
            "streamed && has(headers['plan'])",
            &[(
                1,
                13,
                "`has` asks for a field, as in `has(headers.plan)`; \
                       for other names, write `\"x-plan\" in headers`",
            )],
        ),
    ]);
}

#[test]
fn an_unknown_or_misused_function_is_refused_where_it_stands() {
    assert_refused(&[
        (
            "model.startWith('a')",
            &[(
                1,
                7,
                "`startWith` is not a method of string; did you mean `startsWith`? \
                      methods of string are contains, endsWith, matches, size, startsWith",
            )],
        ),
        ("1.size() == 1", &[(1, 3, "`size` is not a method of int; there are none")]),
        ("streamed.size() == 1", &[(1, 10, "`size` is not a method of bool; there are none")]),
        (
            "startsWith(team, 'a')",
            &[(1, 1, "`startsWith` is not a function; functions are has, size, timestamp")],
        ),
        ("model.startsWith(1)", &[(1, 18, "the argument of `startsWith` has to be string; this is int")]),
        ("model.startsWith ()", &[(1, 7, "`startsWith` takes 1 argument, not 0")]),
        ("size('a', 'b') == 1", &[(1, 1, "`size` takes 1 argument, not 2")]),
        (
            "['a'].exists(x, x == team)",
            &[(
                1,
                7,
                "`exists` is not available: the cost of a condition is bounded; use `in`, `matches`, or \
                      several tests with `||` and `&&`",
            )],
        ),
        ("model.matches('(a')", &[(1, 15, "the pattern is not a regular expression: unclosed group")]),
        ("model.matches('(a{999}){999}')", &[(1, 15, "the pattern is too large; repeat less in it")]),
        (
            "model.matches(team)",
            &[(1, 15, "the pattern of `matches` has to be written in place, as a string")],
        ),
        (
            "time.getHours('Mars/Base') == 1",
            &[(
                1,
                15,
                "a time zone is written in place, as in `\"Europe/Berlin\"` or `\"+01:00\"`; this one is \
                       not known",
            )],
        ),
        (
            "time > timestamp('yesterday')",
            &[(
                1,
                18,
                "`timestamp` takes a text written in place, as in `timestamp(\"2026-12-31T00:00:00Z\")`",
            )],
        ),
    ]);
}

#[test]
fn what_is_no_expression_is_refused_where_it_ends() {
    assert_refused(&[
        ("", &[(1, 1, "the expression ends too early")]),
        ("streamed &&\n", &[(2, 1, "the expression ends too early")]),
        (
            "team = 'a'",
            &[(1, 6, "the expression cannot be read from here on: token recognition error at: '= '")],
        ),
        (
            "99999999999999999999 > 1",
            &[(1, 1, "the expression cannot be read from here on: invalid int literal")],
        ),
    ]);
}

#[test]
fn what_could_grow_is_limited() {
    let nested =
        |open: &str, core: &str, close: &str, times| open.repeat(times) + core + &close.repeat(times);
    let refused = [
        ("length", format!("streamed{}", " ".repeat(4_096))),
        ("brackets", nested("(", "streamed", ")", 200)),
        ("open brackets", "(".repeat(4_096)),
        ("open lists", "[".repeat(4_096)),
        ("open maps", "{".repeat(4_096)),
        ("open calls", "a(".repeat(2_048)),
        ("choices", format!("{}streamed", "streamed ? streamed : ".repeat(150))),
        ("operators", format!("{}1 > 0", "1+".repeat(2_000))),
        ("comparisons", format!("{}1", "1<".repeat(2_000))),
        ("fields", format!("a{}", ".a".repeat(2_000))),
        ("indexes", format!("a{}", "[0]".repeat(1_300))),
        ("calls", format!("a{}", ".a()".repeat(1_000))),
        ("rubbish", "@".repeat(4_096)),
    ];
    for (what, source) in refused {
        let Err(problems) = read(&source) else { panic!("accepted: {what}") };
        assert!((1..=8).contains(&problems.len()), "{what}: {problems:?}");
    }
    let proposal = proposal();
    let accepted = [
        ("brackets", nested("(", "streamed", ")", 40)),
        ("alternatives", format!("{}streamed", "!streamed||".repeat(300))),
        ("a list", format!("max_output_tokens in [{}4096]", "1,".repeat(1_900))),
        ("an even number of `!`", format!("{}streamed", "!".repeat(4_000))),
    ];
    for (what, source) in accepted {
        let condition = read(&source).unwrap_or_else(|problems| panic!("{what}: {problems:?}"));
        assert_eq!(condition.holds(&facts(&proposal, &[])), Ok(true), "{what}");
    }
}

#[test]
fn a_condition_can_be_asked_from_everywhere() {
    const fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Condition>();
}

/// The answer of the library's interpreter; none where it fails.
fn by_the_library(source: &str, facts: &Facts<'_>) -> Option<bool> {
    static TIMES: LazyLock<Context<'static, 'static>> = LazyLock::new(Context::default);
    let run = |source: &str, context: &Context<'_, '_>| {
        Program::compile(source).unwrap().execute(context).map_err(|error| error.to_string())
    };
    let mut context = TIMES.new_inner_scope();
    for (name, fact) in super::facts::Fact::all() {
        let value: Value = match fact {
            super::facts::Fact::Text(fact) => fact.of(facts).into(),
            super::facts::Fact::Tokens(fact) => fact.of(facts).into(),
            super::facts::Fact::Streamed => facts.streamed.into(),
            super::facts::Fact::Time => {
                let time = jiff::Timestamp::from_nanosecond(facts.time.nanos().into()).unwrap();
                run(&format!("timestamp('{time}')"), &TIMES).unwrap()
            }
            super::facts::Fact::Headers => {
                let headers: BTreeMap<String, String> = facts
                    .headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.to_string()))
                    .collect();
                headers.into_iter().collect::<std::collections::HashMap<_, _>>().into()
            }
        };
        context.add_variable_from_value(name, value);
    }
    match run(source, &context) {
        Ok(Value::Bool(holds)) => Some(holds),
        Ok(other) => panic!("{source}: not bool but {other:?}"),
        // What a checked expression may not do, and the library's interpreter tells apart.
        Err(error) if error.contains("overload") || error.contains("Unexpected type") => {
            panic!("{source}: {error}")
        }
        Err(_) => None,
    }
}

/// Facts of all kinds, made of few values, so that comparisons are sometimes true.
fn some_facts() -> impl Strategy<Value = (Proposal, bool, u64, Vec<(&'static str, &'static str)>)> {
    let headers =
        proptest::sample::subsequence(vec![("plan", "a"), ("x-plan", "search"), ("x-äöü", "")], 0..=3);
    let number = prop_oneof![0_u64..5, Just(1_200), Just(u64::MAX)];
    (number.clone(), number, any::<bool>(), 0..4_000_000_000_000_000_000_u64, headers, any::<bool>())
        .prop_map(|(input, output, streamed, time, headers, labelled)| {
            let mut proposal = proposal();
            proposal.bound.input = input;
            proposal.bound.output = output;
            if labelled {
                proposal.labels.feature = Some(name("a"));
                proposal.region = None;
            }
            (proposal, streamed, time, headers)
        })
}

fn one_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(texts).prop_map(str::to_owned).boxed()
}

/// Expressions of the four types, all of which have to be accepted: bool, int, string, timestamp.
fn typed(depth: u32) -> [BoxedStrategy<String>; 4] {
    if depth == 0 {
        return [
            one_of(&["true", "false", "streamed", "('x-plan' in headers)", "has(headers.plan)"]),
            one_of(&["0", "1", "-3", "1200", "9223372036854775807", "max_input_tokens", "max_output_tokens"]),
            one_of(&["''", "'a'", "\"search\"", "team", "feature", "headers.plan", "headers['x-plan']"]),
            one_of(&[
                "time",
                "timestamp('2026-11-01T23:30:05.250Z')",
                "timestamp('2031-02-03T04:05:06-07:00')",
            ]),
        ];
    }
    let [truth, number, text, moment] = typed(depth - 1);
    let readings = &[
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfYear",
        "getDayOfWeek",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    ];
    let zones = one_of(&["", "'UTC'", "'Europe/Berlin'", "'America/New_York'", "'+05:30'", "'-11:00'"]);
    let numbers = prop_oneof![
        number.clone(),
        pair(&number, &["+", "-", "*", "/", "%"]),
        number.clone().prop_map(|a| format!("-({a})")),
        choice(&truth, &number),
        (moment.clone(), one_of(readings), zones).prop_map(|(at, what, zone)| format!("{at}.{what}({zone})")),
        text.clone().prop_map(|text| format!("size({text})")),
    ];
    [
        truths(&truth, &number, &text, &moment),
        numbers.boxed(),
        prop_oneof![text.clone(), choice(&truth, &text)].boxed(),
        prop_oneof![moment.clone(), choice(&truth, &moment)].boxed(),
    ]
}

type Expressions = BoxedStrategy<String>;

fn truths(
    truth: &Expressions,
    number: &Expressions,
    text: &Expressions,
    moment: &Expressions,
) -> Expressions {
    let order = &["==", "!=", "<", "<=", ">", ">="];
    prop_oneof![
        truth.clone(),
        pair(truth, &["&&", "||", "==", "!="]),
        truth.clone().prop_map(|a| format!("!({a})")),
        choice(truth, truth),
        pair(number, order),
        pair(text, order),
        pair(moment, order),
        member(number),
        member(text),
        (text.clone(), one_of(&["contains", "startsWith", "endsWith"]), text.clone())
            .prop_map(|(a, how, b)| format!("{a}.{how}({b})")),
        (text.clone(), one_of(&["^s", "[a-r]+h$", "(?i)A", ""]))
            .prop_map(|(a, pattern)| format!("{a}.matches('{pattern}')")),
    ]
    .boxed()
}

fn choice(when: &Expressions, of: &Expressions) -> Expressions {
    (when.clone(), of.clone(), of.clone()).prop_map(|(when, a, b)| format!("({when} ? {a} : {b})")).boxed()
}

fn pair(of: &Expressions, by: &'static [&'static str]) -> Expressions {
    (of.clone(), one_of(by), of.clone()).prop_map(|(a, by, b)| format!("({a} {by} {b})")).boxed()
}

fn member(of: &Expressions) -> Expressions {
    (of.clone(), proptest::collection::vec(of.clone(), 0..4))
        .prop_map(|(a, list)| format!("({a} in [{}])", list.join(", ")))
        .boxed()
}

/// Words of the language in any order: mostly nonsense, sometimes an expression.
fn words() -> impl Strategy<Value = String> {
    let word = one_of(&[
        "team",
        "model",
        "streamed",
        "time",
        "headers",
        "max_input_tokens",
        "plan",
        "'a'",
        "1",
        "0",
        "1.5",
        "2u",
        "null",
        "true",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        ":",
        "?",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "<",
        "&&",
        "||",
        " in ",
        "has(",
        "size(",
        ".size()",
        ".startsWith(",
        ".matches(",
        ".getHours(",
        "\n",
        "//",
        "\\",
        "'",
        "r\"",
        "`",
        "@",
        "\0",
        "é",
    ]);
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

/// Checks that whatever `source` is, it is refused for a reason, or means the same to the library.
fn is_sound(source: &str, known: &(Proposal, bool, u64, Vec<(&'static str, &'static str)>)) -> bool {
    let (proposal, streamed, time, headers) = known;
    let mut facts = facts(proposal, headers);
    facts.streamed = *streamed;
    facts.time = Timestamp::from_nanos(*time);
    match read(source) {
        Ok(condition) => {
            assert_eq!(condition.holds(&facts).ok(), by_the_library(source, &facts), "{source}");
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused for nothing: {source}");
            let lines = source.split('\n').count();
            assert!(
                problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column > 0),
                "{source:?} {problems:?}"
            );
            assert!(!problems.iter().any(|p| p.message.chars().any(char::is_control)), "{problems:?}");
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_typed_is_accepted_and_means_what_the_library_says(source in typed(3).into_iter().next().unwrap(), known in some_facts()) {
        prop_assert!(is_sound(&source, &known), "refused: {} {:?}", source, read(&source));
    }

    #[test]
    fn what_is_accepted_never_fails_for_a_type(parts in typed(2), by in one_of(&["==", "<", "+", "&&", " in ", "?true:", ".size()+"]), known in some_facts()) {
        // Every pair of types meets.
        for left in &parts {
            for right in &parts {
                is_sound(&format!("{left}{by}{right}"), &known);
            }
        }
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused(source in any::<String>(), known in some_facts()) {
        is_sound(&source, &known);
    }

    #[test]
    fn no_order_of_words_is_too_strange(source in words(), known in some_facts()) {
        is_sound(&source, &known);
    }
}
