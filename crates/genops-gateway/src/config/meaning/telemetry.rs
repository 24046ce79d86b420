//! Where telemetry goes: what the configuration says, or where it says nothing of OTLP, OpenTelemetry's
//! variables of the environment.
//!
//! The variables are those of OpenTelemetry's specification. One that stands for a single signal goes before
//! the one for all; an empty one counts as absent.

use std::path::PathBuf;
use std::time::Duration;

use genops::Destination;
use genops::telemetry::{Compression, Otlp, Protocol, Signal, Signals, Webhook};
use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::{Reading, URL_HAS_TO_BE, url_of};
use crate::config::problem::{ConfigProblem, Shown};
use crate::config::secrets;
use crate::config::written::{self, Text};

const PROTOCOL_HAS_TO_BE: &str = "has to be `http/protobuf` or `grpc`";
const COMPRESSION_HAS_TO_BE: &str = "has to be `gzip` or `none`";
const WEBHOOK_URL_HAS_TO_BE: &str = "has to be an address such as `https://host:port/path?query`, without user, password or fragment, or refer to one \
     as `env:VARIABLE` or `file:PATH`";
const GRPC_HAS_NO_PATH: &str = "must not have a path: gRPC has paths of its own";

/// The longest time that a collector may be given to answer: an hour.
const TIMEOUT_MS_MAX: u64 = 3_600_000;

impl Reading<'_> {
    /// Where telemetry goes.
    pub(super) fn destinations(&mut self, written: &written::Telemetry) -> Vec<Destination> {
        let mut destinations = Vec::new();
        for otlp in written.otlp.iter().flatten() {
            let Some(destination) = self.otlp(otlp).map(Destination::Otlp) else { continue };
            if destinations.iter().any(|above| destination.overlaps(above)) {
                self.problem(
                    &otlp.endpoint,
                    "this endpoint stands above: everything would be sent to it twice",
                );
            }
            destinations.push(destination);
        }
        if written.otlp.is_none() {
            destinations = self.otlp_of_environment();
        }
        if let Some(path) = &written.directory {
            destinations.push(Destination::Directory { path: PathBuf::from(&path.value) });
        }
        for webhook in &written.webhooks {
            let Some(destination) = self.webhook(webhook).map(Destination::Webhook) else { continue };
            if destinations.iter().any(|above| destination.overlaps(above)) {
                self.problem_with_secret(
                    &webhook.url,
                    "this webhook stands above: every alert would be told to it twice",
                );
            }
            destinations.push(destination);
        }
        destinations
    }

    /// What the environment says that telemetry is about.
    pub(super) fn resource(&mut self) -> Vec<(String, String)> {
        let mut resource = Vec::new();
        let variable = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(text) = self.variable(variable) {
            match pairs(&text) {
                Some(pairs) => resource = pairs,
                None => self.problem_outside(variable, PAIRS_HAVE_TO_BE),
            }
        }
        if let Some(name) = self.variable("OTEL_SERVICE_NAME") {
            resource.push(("service.name".to_owned(), name));
        }
        resource
    }

    // === as the configuration has it ===

    fn otlp(&mut self, written: &written::Otlp) -> Option<Otlp> {
        let endpoint = self.url("`endpoint`", &written.endpoint);
        let protocol = match &written.protocol {
            None => Some(Protocol::default()),
            Some(text) => {
                let read = protocol_of(&text.value);
                read.map_err(|problem| self.problem(text, format!("`protocol` {problem}"))).ok()
            }
        };
        let compression = match &written.compression {
            None => Some(Compression::default()),
            Some(text) => {
                let read = compression_of(&text.value);
                read.map_err(|problem| self.problem(text, format!("`compression` {problem}"))).ok()
            }
        };
        let headers = written.headers.iter().filter_map(|(name, value)| self.header(name, value)).collect();
        let otlp = Otlp { protocol: protocol?, headers, compression: compression?, ..Otlp::at(endpoint?) };
        if otlp.protocol == Protocol::Grpc && !is_bare(&otlp.endpoint) {
            self.problem(&written.endpoint, format!("`endpoint` {GRPC_HAS_NO_PATH}"));
        }
        Some(otlp)
    }

    fn webhook(&mut self, written: &written::Webhook) -> Option<Webhook> {
        let headers = written.headers.iter().filter_map(|(name, value)| self.header(name, value)).collect();
        let text = if secrets::is_reference(&written.url.value) {
            self.secret("`url`", &written.url)?
        } else {
            written.url.value.clone()
        };
        let url = webhook_url_of(&text);
        if url.is_none() {
            self.problem_with_secret(&written.url, format!("`url` {WEBHOOK_URL_HAS_TO_BE}"));
        }
        Some(Webhook { headers, ..Webhook::at(url?) })
    }

    fn header(&mut self, name: &str, value: &Text) -> Option<(String, String)> {
        if HeaderName::try_from(name).is_err() {
            self.problem_with_secret(value, format!("`{name}` is not the name of a header"));
        }
        let secret = self.secret(&format!("the header `{name}`"), value)?;
        if HeaderValue::from_str(&secret).is_err() {
            self.problem(
                value,
                format!("the header `{name}` refers to something that cannot stand in a header"),
            );
        }
        Some((name.to_owned(), secret))
    }

    // === as the environment has it ===

    fn otlp_of_environment(&mut self) -> Vec<Destination> {
        if self.variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Vec::new();
        }
        let [traces, logs] = Signal::OTLP.map(|signal| self.otlp_of_signal(signal));
        // What is the same for both is one destination, as it is in a configuration.
        let found = match (traces, logs) {
            (Some(traces), Some(logs)) if traces == logs => vec![traces],
            (traces, logs) => {
                let only = |otlp: Option<Otlp>, signal| otlp.map(|otlp| only(otlp, signal));
                [only(traces, Signal::Traces), only(logs, Signal::Logs)].into_iter().flatten().collect()
            }
        };
        found.into_iter().map(Destination::Otlp).collect()
    }

    /// A signal's collector. Where the endpoint is one for all signals, the collector is one for both.
    fn otlp_of_signal(&mut self, signal: Signal) -> Option<Otlp> {
        let (variable, endpoint) = self.setting(signal, "ENDPOINT")?;
        let signals =
            if variable == "OTEL_EXPORTER_OTLP_ENDPOINT" { Signals::Both } else { Signals::Only(signal) };
        let endpoint = match url_of(&endpoint) {
            Some(endpoint) => endpoint,
            None => {
                self.problem_outside(&variable, URL_HAS_TO_BE);
                return None;
            }
        };
        let protocol = self.read_setting(signal, "PROTOCOL", protocol_of)?.unwrap_or_default();
        let compression = self.read_setting(signal, "COMPRESSION", compression_of)?.unwrap_or_default();
        let timeout = self.read_setting(signal, "TIMEOUT", timeout_of)?.unwrap_or(Otlp::TIMEOUT);
        let headers = self.read_setting(signal, "HEADERS", headers_of)?.unwrap_or_default();
        if protocol == Protocol::Grpc && !is_bare(&endpoint) {
            self.problem_outside(&variable, GRPC_HAS_NO_PATH);
        }
        Some(Otlp { endpoint, signals, protocol, headers, compression, timeout })
    }

    /// A setting of the environment, read; `None` after a problem.
    fn read_setting<T>(
        &mut self,
        signal: Signal,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        let Some((variable, text)) = self.setting(signal, what) else { return Some(None) };
        match read(&text) {
            Ok(value) => Some(Some(value)),
            Err(problem) => {
                self.problem_outside(&variable, problem);
                None
            }
        }
    }

    /// A setting and its variable: the signal's own, or the one for all signals.
    fn setting(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.as_str().to_ascii_uppercase());
        [own, format!("OTEL_EXPORTER_OTLP_{what}")].into_iter().find_map(|name| {
            let value = self.variable(&name)?;
            Some((name, value))
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.outside.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A problem with a variable. What it says is not shown: it may be a secret.
    fn problem_outside(&mut self, variable: &str, message: &str) {
        let message = format!("the variable `{variable}` of the environment {message}");
        let problem = ConfigProblem::new(self.text, None, Shown::Key, message);
        // The same variable may be read for both signals.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The part of a collector for both signals that one of them has alone.
fn only(otlp: Otlp, signal: Signal) -> Otlp {
    let endpoint = match (otlp.signals, otlp.protocol) {
        (Signals::Both, Protocol::HttpProtobuf) => otlp.url(signal).parse().unwrap_or(otlp.endpoint),
        _ => otlp.endpoint,
    };
    Otlp { endpoint, signals: Signals::Only(signal), ..otlp }
}

/// The address of a webhook. It may have a query: chat services put their secrets there.
fn webhook_url_of(text: &str) -> Option<Uri> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    url_of(address).filter(|_| !query.contains('#'))?;
    text.parse().ok()
}

fn is_bare(endpoint: &Uri) -> bool {
    matches!(endpoint.path(), "" | "/")
}

fn protocol_of(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "grpc" => Ok(Protocol::Grpc),
        "http/json" => Err(
            "has to be `http/protobuf` or `grpc`: `http/json` collector that takes `http/json` takes the former",
        ),
        _ => Err(PROTOCOL_HAS_TO_BE),
    }
}

fn compression_of(text: &str) -> Result<Compression, &'static str> {
    match text {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        _ => Err(COMPRESSION_HAS_TO_BE),
    }
}

fn timeout_of(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(ms) if (1..=TIMEOUT_MS_MAX).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err("has to be a number of milliseconds from 1 to 3600000"),
    }
}

const PAIRS_HAVE_TO_BE: &str =
    "has to be a list such as `name=value,other=value`, in which other characters are percent-encoded";

fn headers_of(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let headers = pairs(text).ok_or(PAIRS_HAVE_TO_BE)?;
    let is_header = |(name, value): &(String, String)| {
        HeaderName::try_from(name).is_ok() && HeaderValue::from_str(value).is_ok()
    };
    if headers.iter().all(is_header) { Ok(headers) } else { Err("has something that cannot be a header") }
}

/// Names and values, percent-decoded, in the form of W3C Baggage without metadata.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, value) = item.split_once('=')?;
            Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318");

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let env = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Config::read("genops.yaml", text, &env, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .map_err(|problems| vec![problems.to_string()])
    }

    /// Every signal that is sent to a collector, and how.
    fn sent(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let config = read(text, variables).unwrap();
        let mut lines = Vec::new();
        for destination in &config.destinations {
            let genops::Destination::Otlp(otlp) = destination else { continue };
            for signal in destination.signals() {
                let headers: Vec<_> =
                    otlp.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
                lines.push(format!(
                    "{} {:?} {:?} {} ms [{}]",
                    otlp.url(*signal),
                    otlp.protocol,
                    otlp.compression,
                    otlp.timeout.as_millis(),
                    headers.join(" ")
                ));
            }
        }
        lines
    }

    const TRACES: &str = "http://h:4318/v1/traces HttpProtobuf None 10000 ms []";
    const LOGS: &str = "http://h:4318/v1/logs HttpProtobuf None 10000 ms []";

    #[test]
    fn the_environment_counts_where_the_configuration_says_nothing_of_otlp() {
        let configured = "telemetry:\n  otlp:\n    - endpoint: http://c:1";
        for (text, variables, expected) in [
            ("{}", vec![], vec![]),
            ("{}", vec![BASE], vec![TRACES, LOGS]),
            ("telemetry: {directory: somewhere}", vec![BASE], vec![TRACES, LOGS]),
            ("telemetry: {otlp: []}", vec![BASE], vec![]),
            (
                configured,
                vec![BASE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                vec![
                    "http://c:1/v1/traces HttpProtobuf None 10000 ms []",
                    "http://c:1/v1/logs HttpProtobuf None 10000 ms []",
                ],
            ),
            ("{}", vec![BASE, ("OTEL_SDK_DISABLED", "TRUE")], vec![]),
            ("{}", vec![BASE, ("OTEL_SDK_DISABLED", "no")], vec![TRACES, LOGS]),
        ] {
            assert_eq!(sent(text, &variables), expected, "{text} {variables:?}");
        }
    }

    #[test]
    fn a_variable_of_one_signal_goes_before_the_one_for_all_and_is_taken_as_it_is() {
        for (variables, expected) in [
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/base/")],
                vec![
                    "http://h:4318/base/v1/traces HttpProtobuf None 10000 ms []",
                    "http://h:4318/base/v1/logs HttpProtobuf None 10000 ms []",
                ],
            ),
            (
                vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x")],
                vec!["http://t/x HttpProtobuf None 10000 ms []"],
            ),
            (
                vec![BASE, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://l:1")],
                vec![TRACES, "http://l:1/ HttpProtobuf None 10000 ms []"],
            ),
            (vec![BASE, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", " ")], vec![TRACES, LOGS]),
            (
                vec![
                    BASE,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
                    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                    ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
                    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
                    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1"),
                    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1=2 ,"),
                    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "only=this"),
                ],
                vec![
                    "http://h:4318/v1/traces HttpProtobuf Gzip 1 ms [only=this]",
                    "http://h:4318/opentelemetry.proto.collector.logs.v1.LogsService/Export Grpc None 2500 ms \
                     [api-key=a b x=1=2]",
                ],
            ),
        ] {
            assert_eq!(sent("{}", &variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn one_collector_for_both_signals_has_the_same_name_in_the_environment_as_in_the_configuration() {
        let name = |text: &str, variables: &[(&str, &str)]| {
            let destinations = read(text, variables).unwrap().destinations;
            destinations[0].follower(genops::telemetry::Signal::Traces)
        };
        assert_eq!(name("{}", &[BASE]), name("telemetry: {otlp: [{endpoint: 'http://h:4318'}]}", &[]));
    }

    #[test]
    fn the_name_of_the_service_goes_before_the_attributes_of_the_resource() {
        let attributes =
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=caf%C3%A9");
        let config = read("{}", &[attributes, ("OTEL_SERVICE_NAME", "mine")]).unwrap();
        let of = |key: &str| config.resource.iter().rfind(|(known, _)| known == key).unwrap().1.clone();
        assert_eq!((of("service.name"), of("deployment.environment.name")), ("mine".into(), "café".into()));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_what_it_says_is_not_shown() {
        for (variable, value, expected) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "host:secret", "has to be an address"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "has to be `http/protobuf` or `grpc`: `http/json`"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "secret", "has to be `http/protobuf` or `grpc`"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "secret", "has to be `gzip` or `none`"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "has to be a list"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret", "cannot be a header"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0Asecret", "cannot be a header"),
            ("OTEL_RESOURCE_ATTRIBUTES", "secret", "has to be a list"),
        ] {
            let found = read("{}", &[(variable, value), BASE]).unwrap_err();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].contains(&format!("the variable `{variable}` of the environment ")),
                "{found:?}"
            );
            assert!(found[0].contains(expected) && !found[0].contains("secret"), "{found:?}");
        }
    }

    #[test]
    fn a_wrong_collector_is_shown_where_it_stands() {
        let grpc = "telemetry:\n  otlp:\n    - {endpoint: 'http://h:1/x', protocol: grpc}";
        for (text, expected) in [
            (
                "telemetry:\n  otlp:\n    - endpoint: http://h:1\n    - {endpoint: 'http://H:1/', protocol: grpc}",
                "genops.yaml:4:18: this endpoint stands above",
            ),
            (grpc, "genops.yaml:3:18: `endpoint` must not have a path"),
            (
                "telemetry: {otlp: [{endpoint: 'http://h', protocol: http/json}]}",
                "genops.yaml:1:53: `protocol` has to be `http/protobuf` or `grpc`: `http/json`",
            ),
            (
                "telemetry: {otlp: [{endpoint: 'http://h', compression: br}]}",
                "genops.yaml:1:56: `compression` has to be",
            ),
        ] {
            let found = read(text, &[]).unwrap_err();
            assert!(found.iter().any(|problem| problem.contains(expected)), "{text}: {found:#?}");
        }
    }
}
