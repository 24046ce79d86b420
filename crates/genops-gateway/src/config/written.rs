//! The configuration as it is written in `genops.yaml`, field by field. Nothing is checked here but the
//! shape.
//!
//! The comments on the fields are what editors show: `genops config schema` is made from this file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::problem::{ConfigProblem, Shown};
use super::schema::{Decimal, Names, SecretReference, Sha256};

/// Text, and where it stands.
pub type Text = Spanned<String>;

/// The configuration of the genops gateway. `genops config check FILE` says what it means; secrets stand in
/// it only by reference, as `env:VARIABLE` or `file:PATH`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(title = "genops.yaml")]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The address and port that callers connect to. Default: `127.0.0.1:4100`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("default" = "127.0.0.1:4100"), example = &"0.0.0.0:4100")]
    pub listen: Option<Text>,
    /// The file that the ledger is kept in: one file, one process, on a disk you trust. Default: `genops.db`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("default" = "genops.db"), example = &"/var/lib/genops/genops.db")]
    pub ledger: Option<Text>,
    /// Where telemetry goes. Default: nowhere.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// A table of prices that `genops prices update` wrote. Default: the one that ships with the gateway.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"prices.json")]
    pub prices_file: Option<Text>,
    /// The servers that calls are forwarded to; they speak the OpenAI protocol.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// The models that callers may name, each with the provider that is asked.
    #[serde(default)]
    pub models: Vec<Model>,
    /// Where models that are not listed are asked. Default: they are refused.
    #[serde(default)]
    pub other_models: Option<OtherModels>,
    /// Rules about who may use which models; a call has to be allowed by every rule that covers it. A call
    /// that none covers may use every model. Refused with `POLICY_DENY_MODEL`.
    #[serde(default)]
    pub allowed_models: Vec<AllowedModels>,
    /// How often calls may be admitted; a call has to be in time by every rate that covers it. Refused with
    /// `RATE_LIMITED`, and told when to come again. Default: no limit.
    #[serde(default)]
    pub rates: Vec<Rate>,
    /// The budgets. Any number may cover a call; all that do have to have room. Default: no limit.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// The keys of callers. `genops keys new` makes one. Default: nobody may ask.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// What the gateway takes at most.
    #[serde(default)]
    pub limits: Limits,
}

/// Where telemetry goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Collectors that speak OTLP. Each gets everything. Default: those that OpenTelemetry's variables of the
    /// environment name; an empty list is none.
    #[serde(default)]
    pub otlp: Option<Vec<Otlp>>,
    /// A directory that is written with JSON lines (`traces.jsonl`, `logs.jsonl`). Default: none.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"telemetry")]
    pub directory: Option<Text>,
}

/// A collector that speaks OTLP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Its address, without `/v1/traces`: that is added.
    #[schemars(with = "String", example = &"http://127.0.0.1:4318")]
    pub endpoint: Text,
    /// Headers that are sent to it. Every value is a secret, by reference: `env:VARIABLE` or `file:PATH`.
    /// Default: none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretReference>", example = std::collections::BTreeMap::from([("authorization", "env:OTLP_TOKEN")]))]
    pub headers: BTreeMap<String, Text>,
    /// How it is spoken to. Default: `http/protobuf`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["http/protobuf", "grpc"], "default" = "http/protobuf"))]
    pub protocol: Option<Text>,
    /// Whether what is sent to it is compressed. Default: `none`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["none", "gzip"], "default" = "none"))]
    pub compression: Option<Text>,
}

/// A server that speaks the OpenAI protocol.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name, for `models[].provider`, telemetry and people.
    #[schemars(with = "String", example = &"openai")]
    pub name: Text,
    /// Its address, up to and including `/v1`; without user, password, query or fragment.
    #[schemars(with = "String", example = &"https://api.openai.com/v1")]
    pub base_url: Text,
    /// The gateway's key for it, by reference: `env:VARIABLE` or `file:PATH`. Default: none is sent.
    #[serde(default)]
    #[schemars(with = "Option<SecretReference>", example = &"env:OPENAI_API_KEY")]
    pub api_key: Option<Text>,
    /// The field that it reads as the most tokens to write. Default: `max_completion_tokens`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["max_completion_tokens", "max_tokens"], "default" = "max_completion_tokens"))]
    pub output_limit_field: Option<Text>,
    /// How long a whole answer, the head of a streamed one, or a gap in it may take, in seconds. Default: 600.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1), extend("default" = 600), example = 120)]
    pub timeout_seconds: Option<Spanned<u64>>,
    /// Whether it reports the usage of a stream when `stream_options.include_usage` asks for it. Default: true.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub reports_usage_in_streams: Option<bool>,
    /// What a call is charged that ended without a usage report: its reservation (`reserved`), or what was
    /// counted on the way (`counted`). Default: `reserved`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["reserved", "counted"], "default" = "reserved"))]
    pub without_usage: Option<Text>,
    /// What it is called in the table of prices, for models without a `price` of their own (`genops prices
    /// list`). Default: the table is not used for it.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"openai")]
    pub prices: Option<Text>,
    /// Whether it is sent a W3C `traceparent`, so that its spans appear below the model call's. It then
    /// learns the trace identifier. `tracestate` is never forwarded. Default: false.
    #[serde(default)]
    pub sends_traceparent: bool,
    /// HTTP/2: `auto` uses it over TLS where the provider offers it, `never` stays with HTTP/1.1, as
    /// plain `http` always does. Default: `auto`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["auto", "never"], "default" = "auto"))]
    pub http2: Option<Text>,
}

/// A model that callers may name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name, as callers write it.
    #[schemars(with = "String", example = &"gpt-4o-mini")]
    pub name: Text,
    /// The provider that is asked: the `name` of one of `providers`.
    #[schemars(with = "String", example = &"openai")]
    pub provider: Text,
    /// The most tokens that it writes for one choice. Written into a call that sets no limit of its own.
    #[schemars(with = "u64", range(min = 1, max = 100_000_000), example = 16_384)]
    pub max_output_tokens: Spanned<u64>,
    /// What it costs. Default: unknown, and calls are refused with `x_unpriced_model`.
    #[serde(default)]
    pub price: Option<Price>,
    /// What is known of how much its input can come to.
    #[serde(default)]
    pub bound: Bound,
}

/// Where models that are not listed are asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherModels {
    /// The provider that is asked: the `name` of one of `providers`.
    #[schemars(with = "String", example = &"local")]
    pub provider: Text,
    /// The most tokens that any of them writes for one choice.
    #[schemars(with = "u64", range(min = 1, max = 100_000_000), example = 2_048)]
    pub max_output_tokens: Spanned<u64>,
    /// What each of them costs. Default: unknown, and calls are refused with `x_unpriced_model`.
    #[serde(default)]
    pub price: Option<Price>,
    /// What is known of how much their input can come to.
    #[serde(default)]
    pub bound: Bound,
}

/// What a model costs, in US dollars for a million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars for a million tokens that it reads.
    #[schemars(with = "Decimal", example = 0.15)]
    pub input: Text,
    /// US dollars for a million tokens that it writes.
    #[schemars(with = "Decimal", example = 0.6)]
    pub output: Text,
    /// US dollars for a million tokens of input that are read from the provider's cache. Default: as `input`.
    #[serde(default)]
    #[schemars(with = "Option<Decimal>", example = 0.075)]
    pub cached_input: Option<Text>,
    /// US dollars for a million tokens of input that are written to the cache. Default: as `input`.
    #[serde(default)]
    #[schemars(with = "Option<Decimal>", example = 0.1875)]
    pub cache_write: Option<Text>,
}

/// What is known of how much a model's input can come to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The encoding of its tokens, where that is public: texts are then counted, not taken by their bytes.
    /// Default: none.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["cl100k_base", "o200k_base"]))]
    pub encoding: Option<Text>,
    /// The tokens that the server adds to every prompt. Default: 0.
    #[serde(default)]
    #[schemars(example = 30)]
    pub template_tokens: u64,
    /// Fields of a call that raise no cost beyond its bytes and its output limit. Default: those of the
    /// OpenAI protocol that are known to raise none.
    #[serde(default)]
    #[schemars(example = ["top_a"])]
    pub fields: Vec<String>,
    /// The most tokens that one content part of a type comes to. Default: parts other than text are refused
    /// with `x_unbounded_request`.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("image_url", 1500)]))]
    pub parts: BTreeMap<String, u64>,
}

/// A rule about who may use which models.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowedModels {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-uses-mini")]
    pub name: Text,
    /// The teams that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"search")]
    pub team: Option<OneOrMore>,
    /// The projects that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"ranking")]
    pub project: Option<OneOrMore>,
    /// The environments that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = ["dev", "test"])]
    pub environment: Option<OneOrMore>,
    /// The models that it allows; `*` at the end stands for any rest.
    #[schemars(with = "Vec<String>", example = ["gpt-4o-mini*"])]
    pub allow: Vec<Text>,
}

/// A limit on how often calls may be admitted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-minute")]
    pub name: Text,
    /// The teams that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"search")]
    pub team: Option<OneOrMore>,
    /// The projects that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"ranking")]
    pub project: Option<OneOrMore>,
    /// The environments that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = ["dev", "test"])]
    pub environment: Option<OneOrMore>,
    /// So many calls may be admitted; those that are refused do not count.
    #[schemars(with = "u64", range(min = 1, max = 1_000_000_000), example = 600)]
    pub requests: Spanned<u64>,
    /// In this time.
    #[schemars(with = "String", extend("enum" = ["second", "minute", "hour", "day"]))]
    pub per: Text,
    /// So many may come at once after a pause; then they are admitted evenly. In no time `per` are there more than
    /// `requests` and `burst` together. Default: as many as `requests`.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), example = 20)]
    pub burst: Option<Spanned<u64>>,
}

/// A budget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, which a refusal tells.
    #[schemars(with = "String", example = &"search-month")]
    pub name: Text,
    /// The teams that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"search")]
    pub team: Option<OneOrMore>,
    /// The projects that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = &"ranking")]
    pub project: Option<OneOrMore>,
    /// The environments that it covers: a name or a list. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Names>", example = ["dev", "test"])]
    pub environment: Option<OneOrMore>,
    /// What it counts: US dollars or tokens.
    #[schemars(with = "String", extend("enum" = ["USD", "tokens"]))]
    pub unit: Text,
    /// How much of it may be used in one period: a plain decimal.
    #[schemars(with = "Decimal", example = 250)]
    pub limit: Text,
    /// How long it lasts before it begins anew, by UTC: a day, a calendar month, or for good. Default: `none`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["none", "day", "month"], "default" = "none"))]
    pub period: Option<Text>,
}

/// A key of a caller. What it leaves open, a header has to say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name, which may be told to anybody.
    #[schemars(with = "String", example = &"search-api")]
    pub name: Text,
    /// The SHA-256 of the key, as 64 hexadecimal digits; never the key itself. `genops keys new` makes both.
    #[schemars(with = "Sha256")]
    pub sha256: Text,
    /// The team that its calls belong to. Default: the header `x-genops-team` has to say it.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"search")]
    pub team: Option<Text>,
    /// The project that its calls belong to. Default: the header `x-genops-project` has to say it.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"ranking")]
    pub project: Option<Text>,
    /// The environment that its calls belong to. Default: the header `x-genops-environment` has to say it.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"production")]
    pub environment: Option<Text>,
    /// `genops.operation.name` where the header `x-genops-operation` does not say it. Default: `chat` and the
    /// model.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"answer-question")]
    pub operation: Option<Text>,
    /// Whether its calls join the trace of their `traceparent`; otherwise they are linked to it. Default: false.
    #[serde(default)]
    pub trusts_trace_context: bool,
    /// Whether it may read the budgets and AWUs of everybody (`/genops/v1`, `--server`). Default: false.
    #[serde(default)]
    pub reads_ledger: bool,
}

/// What the gateway takes at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest body of a call, in bytes. Default: 16777216.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_073_741_824), extend("default" = 16_777_216))]
    pub body_bytes: Option<Spanned<u64>>,
    /// How many calls run at a time; more are answered 503. Default: 4096.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_073_741_824), extend("default" = 4096))]
    pub in_flight: Option<Spanned<u64>>,
    /// How long calls in flight may take to end when the gateway is told to stop, in seconds. Default: 30.
    #[serde(default)]
    #[schemars(extend("default" = 30))]
    pub drain_seconds: Option<u64>,
}

/// One name, or a list of them.
#[derive(Debug)]
pub struct OneOrMore(pub Vec<Text>);

/// What stands there: a name, or a list. Each name of a list has a place of its own.
enum Either {
    One(String),
    More(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, defined } = Spanned::<Either>::deserialize(deserializer)?;
        Ok(Self(match value {
            Either::One(value) => vec![Spanned { value, referenced, defined }],
            Either::More(all) => all,
        }))
    }
}

impl<'de> Deserialize<'de> for Either {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Reads either form.
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Either;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either, E> {
                Ok(Either::One(text.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Either, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(Either::More(all))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Written {
    /// Every text that is a secret, or in whose place one may stand by mistake.
    pub fn may_be_secrets(&self) -> impl Iterator<Item = &Text> {
        let of_collectors = self
            .telemetry
            .otlp
            .iter()
            .flatten()
            .flat_map(|otlp| otlp.headers.values().chain([&otlp.endpoint]));
        let of_providers =
            self.providers.iter().flat_map(|provider| provider.api_key.iter().chain([&provider.base_url]));
        of_collectors.chain(of_providers).chain(self.keys.iter().map(|key| &key.sha256))
    }
}

/// Reads the file's shape.
///
/// # Errors
///
/// The first thing that does not fit the shape.
pub fn parse(text: &str) -> Result<Written, ConfigProblem> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let message = error.without_snippet().to_string();
        // A field's name may be shown; anything else that has the wrong shape may be a secret.
        let shown = if message.contains("unknown field") { Shown::Word } else { Shown::Key };
        ConfigProblem::new(text, place, shown, message)
    })
}
