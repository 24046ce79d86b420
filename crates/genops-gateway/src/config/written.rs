//! The configuration as it is written in `genops.yaml`, field by field. Nothing is checked here but the
//! shape.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::problem::ConfigProblem;

/// Text, and where it stands.
pub type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    #[serde(default)]
    pub listen: Option<Text>,
    #[serde(default)]
    pub ledger: Option<Text>,
    #[serde(default)]
    pub telemetry: Telemetry,
    #[serde(default)]
    pub prices_file: Option<Text>,
    #[serde(default)]
    pub providers: Vec<Provider>,
    #[serde(default)]
    pub models: Vec<Model>,
    #[serde(default)]
    pub other_models: Option<OtherModels>,
    #[serde(default)]
    pub allowed_models: Vec<AllowedModels>,
    #[serde(default)]
    pub budgets: Vec<Budget>,
    #[serde(default)]
    pub keys: Vec<Key>,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Absent is not the same as empty: then the environment may say where telemetry goes.
    #[serde(default)]
    pub otlp: Option<Vec<Otlp>>,
    #[serde(default)]
    pub directory: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    pub endpoint: Text,
    #[serde(default)]
    pub protocol: Option<Text>,
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, Text>,
    #[serde(default)]
    pub compression: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: Text,
    pub base_url: Text,
    #[serde(default)]
    pub api_key: Option<Text>,
    #[serde(default)]
    pub output_limit_field: Option<Text>,
    #[serde(default)]
    pub timeout_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    pub reports_usage_in_streams: Option<bool>,
    #[serde(default)]
    pub without_usage: Option<Text>,
    #[serde(default)]
    pub prices: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: Text,
    pub provider: Text,
    pub max_output_tokens: Spanned<u64>,
    #[serde(default)]
    pub price: Option<Price>,
    #[serde(default)]
    pub bound: Bound,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherModels {
    pub provider: Text,
    pub max_output_tokens: Spanned<u64>,
    #[serde(default)]
    pub price: Option<Price>,
    #[serde(default)]
    pub bound: Bound,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: Text,
    pub output: Text,
    #[serde(default)]
    pub cached_input: Option<Text>,
    #[serde(default)]
    pub cache_write: Option<Text>,
}

/// What is known of how much a model's input can come to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    #[serde(default)]
    pub encoding: Option<Text>,
    #[serde(default)]
    pub template_tokens: u64,
    #[serde(default)]
    pub fields: Vec<String>,
    #[serde(default)]
    pub parts: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedModels {
    pub name: Text,
    #[serde(default)]
    pub team: Option<OneOrMore>,
    #[serde(default)]
    pub project: Option<OneOrMore>,
    #[serde(default)]
    pub environment: Option<OneOrMore>,
    pub allow: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub name: Text,
    #[serde(default)]
    pub team: Option<OneOrMore>,
    #[serde(default)]
    pub project: Option<OneOrMore>,
    #[serde(default)]
    pub environment: Option<OneOrMore>,
    pub unit: Text,
    pub limit: Text,
    #[serde(default)]
    pub period: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub name: Text,
    pub sha256: Text,
    #[serde(default)]
    pub team: Option<Text>,
    #[serde(default)]
    pub project: Option<Text>,
    #[serde(default)]
    pub environment: Option<Text>,
    #[serde(default)]
    pub operation: Option<Text>,
    #[serde(default)]
    pub trusts_trace_context: bool,
    #[serde(default)]
    pub reads_ledger: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[serde(default)]
    pub body_bytes: Option<Spanned<u64>>,
    #[serde(default)]
    pub in_flight: Option<Spanned<u64>>,
    #[serde(default)]
    pub drain_seconds: Option<u64>,
}

/// One name, or a list of them.
#[derive(Debug)]
pub struct OneOrMore(pub Vec<Text>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Reads either form. The place of a single name is that of the field it stands in.
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<Text>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let nowhere = serde_saphyr::Location::UNKNOWN;
                Ok(vec![Spanned { value: text.to_owned(), referenced: nowhere, defined: nowhere }])
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(all)
            }
        }

        deserializer.deserialize_any(Visitor).map(Self)
    }
}

/// Reads the file's shape.
///
/// # Errors
///
/// The first thing that does not fit the shape.
pub fn parse(file: &str, text: &str) -> Result<Written, Vec<ConfigProblem>> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let message = error.without_snippet().to_string();
        // A field's name may be shown; anything else that has the wrong shape may be a secret.
        let shown = if message.contains("unknown field") { text } else { "" };
        vec![ConfigProblem::new(file, shown, place, message)]
    })
}
