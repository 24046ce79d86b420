//! Which calls the traces of an organisation come to, and what they are labelled with.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::super::{Facet, PassedOver, ReadError, Recorded, Traffic};
use super::{InvalidMapped, Mapped, Mapping};

/// A value, by how it is written: digits are an integer.
fn pairs(texts: &[&str]) -> Vec<KeyValue> {
    let pair = |text: &&str| {
        let (key, value) = text.split_once('=').unwrap();
        let value = value.parse().map_or_else(|_| Value::StringValue(value.to_owned()), Value::IntValue);
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    };
    texts.iter().map(pair).collect()
}

fn span(id: u8, parent: u8, texts: &[&str]) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: "span".to_owned(),
        kind: 3,
        start_time_unix_nano: 1_000_000 + u64::from(id),
        end_time_unix_nano: 3_000_000 + u64::from(id),
        attributes: pairs(texts),
        ..Span::default()
    }
}

const CHAT: [&str; 5] = [
    "gen_ai.operation.name=chat",
    "gen_ai.provider.name=openai",
    "gen_ai.request.model=gpt-4o",
    "gen_ai.usage.input_tokens=100",
    "gen_ai.usage.output_tokens=20",
];

fn chat(id: u8, parent: u8, more: &[&str]) -> Span {
    span(id, parent, &[&CHAT[..], more].concat())
}

fn request(resource: &[&str], spans: Vec<Span>) -> Request {
    let resource = Some(Resource { attributes: pairs(resource), ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
}

fn read(bytes: &[u8], mapping: &Mapping) -> Result<Traffic, ReadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut traffic = Traffic::default();
    super::read(file.path(), mapping, &mut traffic)?;
    Ok(traffic)
}

fn traffic(requests: &[Request], mapping: &Mapping) -> Traffic {
    let lines: Vec<String> = requests.iter().map(|request| serde_json::to_string(request).unwrap()).collect();
    read(lines.join("\n").as_bytes(), mapping).unwrap()
}

fn calls(spans: Vec<Span>) -> Vec<Recorded> {
    traffic(&[request(&[], spans)], &Mapping::default()).calls().to_vec()
}

fn passed_over(traffic: &Traffic) -> Vec<(PassedOver, u64)> {
    traffic.sources()[0].passed_over.iter().map(|(what, count)| (*what, *count)).collect()
}

/// What the only call of some traffic is labelled with.
fn label(traffic: &Traffic, label: Facet) -> Option<&str> {
    let [call] = traffic.calls() else { panic!("{traffic:?}") };
    traffic.labels(call).unwrap().get(label).map(|name| name.as_str())
}

#[test]
fn a_call_says_what_it_used_in_the_words_of_any_year() {
    let new = chat(1, 0, &["gen_ai.request.max_tokens=64"]);
    let old = span(
        1,
        0,
        &[
            "gen_ai.system=openai",
            "gen_ai.response.model=gpt-4o",
            "gen_ai.usage.prompt_tokens=100",
            "gen_ai.usage.completion_tokens=20",
            "gen_ai.request.max_tokens=64",
        ],
    );
    for span in [new, old] {
        let traffic = traffic(&[request(&[], vec![span])], &Mapping::default());
        let [call] = *traffic.calls() else { panic!("{traffic:?}") };
        assert_eq!((call.context_tokens, call.generated_tokens), (Some(100), Some(20)));
        assert_eq!((call.output_limit, call.latency_ns, call.failed), (Some(64), Some(2_000_000), false));
        assert_eq!((call.cached_tokens, call.cache_write_tokens), (0, 0));
        assert_eq!(call.at.nanos(), 1_000_001);
        assert_eq!(label(&traffic, Facet::Model), Some("gpt-4o"));
        assert_eq!(label(&traffic, Facet::Provider), Some("openai"));
        assert_eq!(label(&traffic, Facet::Team), None);
        assert!(traffic.place(call.place).ends_with(", span 0101010101010101"));
    }
}

#[test]
fn the_model_that_was_asked_for_is_the_model() {
    let span = chat(1, 0, &["gen_ai.response.model=gpt-4o-2024-08-06"]);
    assert_eq!(
        label(&traffic(&[request(&[], vec![span])], &Mapping::default()), Facet::Model),
        Some("gpt-4o")
    );
}

#[test]
fn tokens_of_a_cache_are_a_part_of_the_input_whoever_counts() {
    for (read, write, input) in [(0, 0, 100), (40, 60, 100), (40, 61, 201), (5_000, 0, 5_100)] {
        let more = [
            format!("gen_ai.usage.cache_read.input_tokens={read}"),
            format!("gen_ai.usage.cache_creation.input_tokens={write}"),
        ];
        let [call] = calls(vec![chat(1, 0, &more.each_ref().map(String::as_str))])[..] else { panic!() };
        let found = (call.cached_tokens, call.cache_write_tokens, call.context_tokens);
        assert_eq!(found, (read, write, Some(input)));
    }
}

#[test]
fn what_cannot_be_a_count_is_not_known() {
    for odd in ["-1", "4294967296", "many"] {
        let input = format!("gen_ai.usage.input_tokens={odd}");
        let span = span(1, 0, &["gen_ai.operation.name=chat", &input, "gen_ai.usage.output_tokens=1"]);
        let [call] = calls(vec![span])[..] else { panic!() };
        assert_eq!((call.context_tokens, call.generated_tokens), (None, Some(1)), "{odd}");
    }
}

#[test]
fn a_call_has_failed_by_its_status_or_its_error() {
    let status = Some(Status { code: 2, message: String::new() });
    let by_status = Span { status, ..chat(1, 0, &[]) };
    for (span, failed) in
        [(by_status, true), (chat(1, 0, &["error.type=timeout"]), true), (chat(1, 0, &[]), false)]
    {
        assert_eq!(calls(vec![span])[0].failed, failed);
    }
}

#[test]
fn a_span_without_an_end_has_no_latency_and_one_without_a_beginning_is_told() {
    let open = Span { end_time_unix_nano: 0, ..chat(1, 0, &[]) };
    let timeless = Span { start_time_unix_nano: 0, ..chat(2, 0, &[]) };
    let traffic = traffic(&[request(&[], vec![open, timeless])], &Mapping::default());
    assert_eq!(traffic.calls().len(), 1);
    assert_eq!(traffic.calls()[0].latency_ns, None);
    let problems = &traffic.sources()[0].problems.first;
    assert_eq!(*problems, ["span 0202020202020202: it does not say when it began"]);
}

#[test]
fn a_model_call_is_told_from_other_work() {
    let model = "gen_ai.request.model=m";
    let usage = "gen_ai.usage.input_tokens=5";
    for (texts, is_call) in [
        (&["gen_ai.operation.name=chat"][..], true),
        (&["gen_ai.operation.name=text_completion"], true),
        (&["gen_ai.operation.name=generate_content"], true),
        (&["gen_ai.operation.name=embeddings"], true),
        (&["gen_ai.operation.name=invoke_agent", model, usage], false),
        (&["gen_ai.operation.name=execute_tool", "error.type=x"], false),
        (&["gen_ai.operation.name=rerank", model, usage], true),
        (&["gen_ai.operation.name=rerank", model], false),
        (&[model, usage], true),
        (&[model, "error.type=timeout"], true),
        (&[model], false),
        (&[usage], false),
        (&["http.route=/v1/chat/completions"], false),
    ] {
        // Another call, so that there is one.
        let traffic = traffic(&[request(&[], vec![chat(1, 0, &[]), span(2, 0, texts)])], &Mapping::default());
        assert_eq!(traffic.calls().len(), 1 + usize::from(is_call), "{texts:?}");
        let other = [(PassedOver::OtherWork, 1)];
        assert_eq!(passed_over(&traffic), if is_call { &[][..] } else { &other }, "{texts:?}");
    }
}

#[test]
fn a_call_is_counted_once_however_often_it_is_told() {
    let used = ["gen_ai.operation.name=chat", "gen_ai.usage.input_tokens=1"];
    let unused = ["gen_ai.operation.name=chat"];
    let agent = ["gen_ai.operation.name=invoke_agent", "gen_ai.usage.input_tokens=3"];
    let vectors = ["gen_ai.operation.name=embeddings", "gen_ai.usage.input_tokens=1"];
    // What there is, each with its parent, and which calls count.
    for (name, spans, counted) in [
        ("told again", vec![(1, 0, &used[..]), (1, 0, &used)], &[1][..]),
        ("around another", vec![(1, 0, &used), (2, 1, &used)], &[2]),
        ("in another that comes later", vec![(2, 1, &used), (1, 0, &used)], &[2]),
        ("around attempts", vec![(1, 0, &used), (2, 1, &unused), (3, 1, &used)], &[2, 3]),
        ("only the outer one knows", vec![(1, 0, &used), (2, 1, &unused)], &[1]),
        ("neither knows", vec![(1, 0, &unused), (2, 1, &unused)], &[2]),
        ("three deep", vec![(1, 0, &used), (2, 1, &used), (3, 2, &used)], &[3]),
        ("another kind inside", vec![(1, 0, &used), (2, 1, &vectors)], &[1, 2]),
        ("an agent between", vec![(1, 0, &agent), (2, 1, &used), (3, 1, &used)], &[2, 3]),
        ("its own parent", vec![(1, 1, &used), (2, 2, &agent)], &[]),
    ] {
        let spans = spans.into_iter().map(|(id, parent, texts)| span(id, parent, texts)).collect();
        let lines = serde_json::to_string(&request(&[], spans)).unwrap();
        let found = read(lines.as_bytes(), &Mapping::default());
        let found = found.as_ref().map_or(&[][..], Traffic::calls);
        let ids: Vec<u64> = found.iter().map(|call| call.at.nanos() - 1_000_000).collect();
        assert_eq!(ids, counted, "{name}");
    }
}

#[test]
fn labels_come_from_the_call_then_from_what_is_around_it() {
    let service = ["service.name=shop", "service.namespace=retail", "deployment.environment=prod"];
    let newer = ["deployment.environment.name=live", "deployment.environment=prod"];
    for (call, above, resource, team, project, environment) in [
        (&[][..], &[][..], &[][..], None, None, None),
        (&[], &[], &service, Some("retail"), Some("shop"), Some("prod")),
        (&[], &[], &newer, None, None, Some("live")),
        (&["genops.team=a"], &["genops.team=b"], &["genops.team=c"], Some("a"), None, None),
        (&[], &["genops.team=b"], &["genops.team=c"], Some("b"), None, None),
        (&[], &[], &["genops.team=c", "service.namespace=d"], Some("c"), None, None),
        // An attribute of the specification counts before one that only comes near it, wherever it stands.
        (&["service.namespace=a"], &[], &["genops.team=c"], Some("c"), None, None),
        (&["genops.team="], &[], &["service.name=unknown_service:python"], None, None, None),
        (&["genops.team= a "], &[], &[], Some("a"), None, None),
    ] {
        let above = span(1, 0, &[above, &["gen_ai.operation.name=invoke_agent"]].concat());
        let traffic = traffic(&[request(resource, vec![chat(2, 1, call), above])], &Mapping::default());
        let found = [Facet::Team, Facet::Project, Facet::Environment].map(|which| label(&traffic, which));
        assert_eq!(found, [team, project, environment], "{call:?} {resource:?}");
    }
}

#[test]
fn a_model_is_never_taken_from_around_the_call() {
    let above = span(1, 0, &["gen_ai.operation.name=invoke_agent", "gen_ai.request.model=other"]);
    let call = span(2, 1, &["gen_ai.operation.name=chat"]);
    let traffic = traffic(&[request(&["gen_ai.system=other"], vec![above, call])], &Mapping::default());
    assert_eq!((label(&traffic, Facet::Model), label(&traffic, Facet::Provider)), (None, None));
}

#[test]
fn a_mapped_attribute_is_asked_first_and_said_in_the_origins() {
    let mapping = Mapping::default().with("team=org.unit".parse().unwrap());
    let resource = ["service.namespace=retail", "service.name=shop"];
    for (more, team, origin) in [("org.unit=u", "u", "org.unit"), ("x=y", "retail", "service.namespace")] {
        let traffic = traffic(&[request(&resource, vec![chat(1, 0, &[more])])], &mapping);
        assert_eq!(label(&traffic, Facet::Team), Some(team));
        let origins = &traffic.sources()[0].origins;
        assert_eq!(origins.get(&(Facet::Team, origin.to_owned())), Some(&1), "{origins:?}");
        assert_eq!(origins.get(&(Facet::Project, "service.name".to_owned())), Some(&1));
    }
    for (text, error) in [
        ("team", InvalidMapped::Form),
        ("team=", InvalidMapped::Form),
        ("team= x", InvalidMapped::Form),
        ("tribe=x", InvalidMapped::Facet),
        ("model=x", InvalidMapped::Fixed(Facet::Model)),
    ] {
        assert_eq!(text.parse::<Mapped>(), Err(error), "{text}");
    }
}

#[test]
fn a_value_that_is_no_name_is_told_without_repeating_it() {
    let traffic = traffic(&[request(&[], vec![chat(1, 0, &["genops.team=se\ncret"])])], &Mapping::default());
    assert_eq!(label(&traffic, Facet::Team), None);
    let problems = &traffic.sources()[0].problems.first;
    let problem = "span 0101010101010101: genops.team is passed over: it must not hold control characters";
    assert_eq!(*problems, [problem]);
}

/// The AWU has the attribution, the span of the call below it has the model and the tokens.
#[test]
fn an_awu_and_its_call_are_one_call() {
    let awu = |id, team: &str| {
        span(id, 0, &["genops.operation.name=answer", team, "genops.operation.type=inference"])
    };
    let spans = vec![awu(1, "genops.team=search"), awu(3, "genops.team=refused"), chat(2, 1, &[])];
    let traffic = traffic(&[request(&["service.namespace=genops"], spans)], &Mapping::default());
    assert_eq!(label(&traffic, Facet::Team), Some("search"));
    assert_eq!(label(&traffic, Facet::OperationType), Some("inference"));
    assert_eq!(passed_over(&traffic), [(PassedOver::AwuWithoutCall, 1)]);
}

#[test]
fn a_capture_of_a_governed_runtime_gives_a_call_for_every_span_of_a_call() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../genops-conformance/tests/captures");
    let mut traffic = Traffic::default();
    super::read(Path::new(folder), &Mapping::default(), &mut traffic).unwrap();
    assert_eq!(traffic.calls().len(), 9);
    for call in traffic.calls() {
        let labels = traffic.labels(call).unwrap();
        for label in [Facet::Team, Facet::Project, Facet::Environment, Facet::Model, Facet::Provider] {
            assert!(labels.get(label).is_some(), "{label} {}", traffic.place(call.place));
        }
    }
    let teams = &traffic.sources()[0].origins.get(&(Facet::Team, "genops.team".to_owned()));
    assert_eq!(*teams, Some(&9), "{:?}", traffic.sources());
}

#[test]
fn the_same_spans_give_the_same_calls_however_they_are_written() {
    let requests: Vec<Request> = (1..6)
        .map(|id| request(&["service.name=shop"], vec![chat(id, 0, &[]), span(id + 100, 0, &["a=b"])]))
        .collect();
    let lines: Vec<_> = requests.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
    let all =
        Request { resource_spans: requests.iter().flat_map(|one| one.resource_spans.clone()).collect() };
    let protobuf = all.encode_to_vec();
    let prefixed: Vec<u8> = requests
        .iter()
        .map(Message::encode_to_vec)
        .flat_map(|one| [&u32::try_from(one.len()).unwrap().to_be_bytes()[..], &one].concat())
        .collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&protobuf).unwrap();
    let expected = traffic(&requests, &Mapping::default());
    assert_eq!(expected.calls().len(), 5);
    for bytes in [
        lines.join("\n").into_bytes(),
        serde_json::to_vec_pretty(&all).unwrap(),
        protobuf,
        prefixed,
        gzip.finish().unwrap(),
    ] {
        let found = read(&bytes, &Mapping::default()).unwrap();
        assert_eq!(found.calls(), expected.calls());
        assert_eq!(passed_over(&found), [(PassedOver::OtherWork, 5)]);
    }
}

#[test]
fn a_file_without_calls_says_so() {
    let other = serde_json::to_string(&request(&[], vec![span(1, 0, &["a=b"])])).unwrap();
    for (bytes, what) in [(other.as_bytes(), "there is no model call in `"), (b"hello", "nothing of `")] {
        let error = read(bytes, &Mapping::default()).unwrap_err().to_string();
        assert!(error.starts_with(what), "{error}");
    }
}

#[test]
fn a_broken_line_is_a_problem_and_costs_no_other() {
    let good = serde_json::to_string(&request(&[], vec![chat(1, 0, &[])])).unwrap();
    let text = format!("{good}\n{{\"resourceSpans\": oh}}\n");
    let traffic = read(text.as_bytes(), &Mapping::default()).unwrap();
    assert_eq!(traffic.calls().len(), 1);
    let problems = &traffic.sources()[0].problems.first;
    assert!(matches!(&problems[..], [problem] if problem.starts_with("line 2")), "{problems:?}");
}
