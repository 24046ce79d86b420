//! The configuration as it is written in `genops.yaml`, field by field. Nothing is checked here but the
//! shape.
//!
//! What rules look like is in [`rules`]. The comments on the fields are what editors show: `genops config schema` is made from this file.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

mod rules;

pub use rules::{Allowed, Budget, Circuit, Condition, ContentRule, Covers, Rate, Tier};

use super::problem::{ConfigProblem, Shown};
use super::schema::{Decimal, NameOrNumber, SecretReference, Sha256};
use crate::identity::Role;

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
    /// By which rule old entries leave the ledger for archives, and with them the cells that are over. Default: they stay, until
    /// `genops archive` moves them.
    #[serde(default)]
    pub retention: Option<Retention>,
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
    /// Whether rules refuse (`enforce`), or only warn where they would (`observe`). A rule can say otherwise for
    /// itself. Default: `enforce`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["enforce", "observe"], "default" = "enforce"))]
    pub mode: Option<Text>,
    /// Rules about who may use which models; a call has to be allowed by every rule that covers it. A call
    /// that none covers may use every model. Refused with `POLICY_DENY_MODEL`.
    #[serde(default)]
    pub allowed_models: Vec<Allowed>,
    /// Rules about where the work may be done, by the `region` of the provider; a call has to be allowed by every rule
    /// that covers it. Refused with `POLICY_DENY_REGION`.
    #[serde(default)]
    pub allowed_regions: Vec<Allowed>,
    /// Expressions over the facts of a call, for what a list cannot say.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The headers of a call that conditions may look at, as `headers["name"]`. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["x-tier"])]
    pub condition_headers: Vec<Text>,
    /// What a prompt may not hold. What was found is told by rule, kind and count, never by its text.
    #[serde(default)]
    pub content_rules: Vec<ContentRule>,
    /// How much traffic there may be; a call has to have room in every rate that covers it. Refused with
    /// `RATE_LIMITED`, and told when to come again. Default: no limit.
    #[serde(default)]
    pub rates: Vec<Rate>,
    /// How fast calls have to be: the first tier that covers a call is its tier. Default: none.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// The budgets. Any number may cover a call; all that do have to have room. Default: no limit.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// The keys of callers. `genops keys new` makes one. Default: nobody may ask.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// What the gateway takes at most.
    #[serde(default)]
    pub limits: Limits,
    /// Who signs receipts of decisions. Default: nobody, and none are given over HTTP.
    #[serde(default)]
    pub receipts: Option<Receipts>,
}

/// By which rule old entries leave the ledger for archives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Entries that are younger stay, and those that somebody needs yet, in days.
    #[schemars(with = "u64", range(min = 1, max = 36_500), example = 90)]
    pub keep_days: Spanned<u64>,
    /// The directory that archives are written to, one a day at most. It has to be there: it is never made.
    #[schemars(with = "String", length(min = 1), example = &"/var/lib/genops/archive")]
    pub archive_to: Text,
}

/// Who signs receipts of decisions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// The key that they are signed with, as `genops keys new --signing` writes it, by reference: `env:VARIABLE` or
    /// `file:PATH`.
    #[schemars(with = "SecretReference", example = &"file:genops-signing.key")]
    pub signing_key: Text,
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
    /// Addresses that are told of the alerts of budgets, as JSON. Default: none.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
}

/// An address that is told of the alerts of budgets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The address that alerts are posted to. Where its path or query is a secret, as those of chat services are, refer
    /// to it: `env:VARIABLE` or `file:PATH`.
    #[schemars(with = "String", example = &"https://alerts.example/genops", example = &"env:ALERT_WEBHOOK")]
    pub url: Text,
    /// Headers that are sent to it. Every value is a secret, by reference: `env:VARIABLE` or `file:PATH`.
    /// Default: none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretReference>", example = std::collections::BTreeMap::from([("authorization", "env:ALERT_TOKEN")]))]
    pub headers: BTreeMap<String, Text>,
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
    /// Where it does the work, for `allowed_regions`. Default: not known, which no list of regions allows.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"eu-central-1")]
    pub region: Option<Text>,
    /// When it counts as down. Default: never.
    #[serde(default)]
    pub circuit: Option<Circuit>,
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
    /// How often a call is tried again that the provider failed. Every try is decided and accounted for by itself.
    /// Default: 0.
    #[serde(default)]
    #[schemars(with = "Option<u32>", range(max = 10), extend("default" = 0), example = 1)]
    pub retries: Option<Spanned<u32>>,
    /// The models that are asked instead, in this order, where the provider failed, is known to be down, or is expected
    /// to be too slow: each the `name` of one of `models`, at most ten. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 10), extend("uniqueItems" = true), example = ["gpt-4o"])]
    pub fallbacks: Vec<Text>,
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
    /// How many tokens one choice of a streamed answer is expected to come to: so many are reserved for it instead of
    /// its output limit, and a stream that reaches them is ended as one that has reached its limit. Needs `encoding`,
    /// since what comes has to be counted; what a model thinks unseen is not. Default: the output limit is reserved.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 100_000_000), example = 1_000)]
    pub expected_output_tokens: Option<Spanned<u64>>,
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
    /// `genops.customer_id` of its calls. Default: the header `x-genops-customer-id`, if it is sent.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"acme")]
    pub customer_id: Option<Text>,
    /// `genops.feature` of its calls. Default: the header `x-genops-feature`, if it is sent.
    #[serde(default)]
    #[schemars(with = "Option<String>", example = &"autocomplete")]
    pub feature: Option<Text>,
    /// `genops.cost_center` of its calls. Default: the header `x-genops-cost-center`, if it is sent.
    #[serde(default)]
    #[schemars(with = "Option<NameOrNumber>", example = &"4711")]
    pub cost_center: Option<Text>,
    /// Whether its calls join the trace of their `traceparent`; otherwise they are linked to it. Default: false.
    #[serde(default)]
    pub trusts_trace_context: bool,
    /// What it may do with the governance API (`/genops/v1`, `--server`), beside calls: `read` lists and reads what
    /// everybody did; `operate` governs work of its own that is not an HTTP call; `administer` resolves, corrects,
    /// grants and erases. None of them implies another. Default: nothing.
    #[serde(default)]
    #[schemars(with = "Option<BTreeSet<Role>>", example = &["read"])]
    pub roles: Option<Vec<Text>>,
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
    /// For how long an idempotency key is remembered, so that the same request again is decided once, in hours.
    /// Default: 24.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 8_760), extend("default" = 24))]
    pub idempotency_hours: Option<Spanned<u64>>,
    /// How many idempotency keys are remembered at a time; with as many, a request with another is not decided (503).
    /// Default: 1000000.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), extend("default" = 1_000_000))]
    pub idempotency_keys: Option<Spanned<u64>>,
    /// How many AWUs are open at a time, those in doubt too; with as many, nothing new is decided (503), and what is open
    /// ends as ever. Default: 100000.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), extend("default" = 100_000))]
    pub open_awus: Option<Spanned<u64>>,
    /// How much of `idempotency_keys` and of `open_awus` one key may take up, in percent, so that no caller keeps all
    /// others out; 100 where there is only one. Default: 50.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 100), extend("default" = 50))]
    pub one_key_percent: Option<Spanned<u64>>,
    /// With how many cells no share of a budget (`each`) is opened any more: a call that needs one is refused with
    /// `x_too_many_shares`. Cells that are over leave by `retention` or `genops archive`, and not before. Default: 2000000.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), extend("default" = 2_000_000))]
    pub cells: Option<Spanned<u64>>,
    /// How many shares of rates (`each`) are kept at a time, until they have flowed off; a call that needs another is
    /// refused with `x_too_many_shares`. Default: 2000000.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000), extend("default" = 2_000_000))]
    pub rate_shares: Option<Spanned<u64>>,
}

/// A name, or a list of names; nothing where it is left out.
#[derive(Debug, Default)]
pub struct OneOrMore(pub Option<Spanned<Names>>);

/// What stands where a name or a list of names may.
#[derive(Debug)]
pub enum Names {
    /// A name.
    One(String),
    /// What YAML takes for a number, or for yes or no: a name, as it is written.
    AsWritten,
    /// A list, each name with a place of its own; without any where nothing stands.
    More(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(|names| Self(Some(names)))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

/// Reads either form.
struct NamesVisitor;

impl<'de> serde::de::Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name or a list of names")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Names, E> {
        Ok(Names::One(text.to_owned()))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Names, E> {
        Ok(Names::AsWritten)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Names, E> {
        Ok(Names::AsWritten)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Names, E> {
        Ok(Names::AsWritten)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Names, E> {
        Ok(Names::AsWritten)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Names, E> {
        Ok(Names::More(Vec::new()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Names, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = names.next_element()? {
            all.push(name);
        }
        Ok(Names::More(all))
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
        let of_webhooks =
            self.telemetry.webhooks.iter().flat_map(|webhook| webhook.headers.values().chain([&webhook.url]));
        let of_providers =
            self.providers.iter().flat_map(|provider| provider.api_key.iter().chain([&provider.base_url]));
        let of_receipts = self.receipts.iter().map(|receipts| &receipts.signing_key);
        let of_callers = self.keys.iter().map(|key| &key.sha256);
        of_collectors.chain(of_webhooks).chain(of_providers).chain(of_callers).chain(of_receipts)
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
