//! The configuration as it is meant: checked, resolved, ready to use.
//!
//! How it is written (`genops.yaml`) is in [`written`], from which its [`schema`] is made; [`problem`] shows where
//! something is wrong, and [`diff`] says what a change means. [`secrets`] come in only by reference to the environment or
//! a file, and are never printed.

mod diff;
mod meaning;
mod problem;
mod schema;
mod secrets;
mod written;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use genops::receipt::key::SigningKey;
use genops::{Destination, LedgerPlace, Retention};
use genops_core::period::Windows;
use genops_core::policy::Policy;
use genops_core::price::Price;
use genops_core::{Name, Timestamp};
use http::HeaderValue;

use crate::assess::Assessor;
use crate::call::{BoundOptions, Encoding, LimitField};
use crate::identity::Keys;
use crate::prices::Table;

pub use diff::{Change, Section, TakesEffect, diff, diff_of_running};
pub use problem::ConfigProblems;
pub use schema::schema;

/// A configuration to begin with: every field, those that are switched off as comments without a space
/// (`#field: value`).
pub const SAMPLE: &str = include_str!("config/sample.yaml");

/// What the gateway is set up to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its ledger is.
    pub ledger: LedgerPlace,
    /// By which rule old entries leave it for archives.
    pub retention: Option<Retention>,
    /// Where telemetry goes.
    pub destinations: Vec<Destination>,
    /// What telemetry is about: attributes of its resource, by OpenTelemetry's variables of the environment.
    pub resource: Vec<(String, String)>,
    /// What it goes by.
    pub policy: Arc<Policy>,
    /// What works out conditions, and looks for content.
    pub assessor: Arc<Assessor>,
    /// The providers.
    pub providers: Vec<ProviderConfig>,
    /// Which model is asked where, and at what price.
    pub models: Models,
    /// Who may ask.
    pub keys: Keys,
    /// The largest body that is taken.
    pub body_bytes_max: usize,
    /// As many calls run at a time.
    pub in_flight_max: usize,
    /// How long calls that are in flight may take to end when the gateway stops.
    pub drain_within: Duration,
    /// What signs receipts; without it none are given over HTTP.
    pub receipt_key: Option<Arc<SigningKey>>,
    /// `genops.operation.type` of a chat completion.
    pub inference: Name,
}

/// One provider.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name, for people and telemetry.
    pub name: Name,
    /// Its address, up to and including `/v1`.
    pub base_url: String,
    /// The header that shows our key. Secret.
    pub authorization: Option<HeaderValue>,
    /// How long a call may take.
    pub timeout: Duration,
    /// The field that it reads as the output limit.
    pub limit_field: LimitField,
    /// Whether it reports the usage of a stream when it is asked to.
    pub reports_usage_in_streams: bool,
    /// Whether a call without a usage report is charged what was counted; otherwise its reservation.
    pub charges_what_was_counted: bool,
    /// What it is called in the table of prices; `None` where the table is not used for it.
    pub price_book: Option<String>,
    /// Whether it is told which span of ours asks.
    pub sends_traceparent: bool,
    /// Whether HTTP/2 may be spoken to it.
    pub http2: Http2,
    /// Where it does the work.
    pub region: Option<Name>,
}

/// Whether HTTP/2 may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Http2 {
    /// Over TLS, where the other side offers it.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// Which model is asked where.
#[derive(Debug, Clone, Default)]
pub struct Models {
    listed: HashMap<Name, Route>,
    others: Option<Route>,
    /// Where prices of models that are not listed are looked up, and under which provider.
    other_prices: Option<(Arc<Table>, String)>,
}

/// Where a model is asked, and at what price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The provider, by its place in the configuration.
    pub provider: usize,
    /// The most tokens that the model writes for one choice.
    pub max_output_tokens: u64,
    /// What it costs; `None` where that is not known before the model is.
    pub price: Option<Price>,
    /// The field that the provider reads as the output limit.
    pub limit_field: LimitField,
    /// Whether the provider reports the usage of a stream when it is asked to.
    pub reports_usage_in_streams: bool,
    /// How much the model's input can come to.
    pub bound: BoundOptions,
    /// How often a call is tried again that the provider failed.
    pub retries: u32,
    /// The models that are asked instead, in this order.
    pub fallbacks: Vec<Name>,
}

impl Config {
    /// Reads a configuration. `file` is its name for messages; `env` looks a variable of the environment up;
    /// `read_file` reads a file that a secret is kept in, or a table of prices.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with line, column, an excerpt that holds no secret, and what would
    /// be right.
    pub fn read(
        file: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
        read_file: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, ConfigProblems> {
        let outside = meaning::Outside { env, read_file };
        let written = written::parse(text).map_err(|problem| vec![problem]);
        let config = written.and_then(|written| meaning::of(written, text, &outside));
        config.map_err(|problems| ConfigProblems::new(file, problems))
    }

    /// The models that are set up by name, and their providers, in alphabetical order.
    pub fn listed_models(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut listed: Vec<_> = self.models.listed.iter().collect();
        listed.sort_unstable_by_key(|(name, _)| *name);
        listed.into_iter().map(|(name, route)| {
            let provider = self.providers.get(route.provider).map_or("", |provider| provider.name.as_str());
            (name.as_str(), provider)
        })
    }

    /// A few lines for people: what each model that is set up by name is charged by.
    #[must_use]
    pub fn price_lines(&self) -> Vec<String> {
        let line = |(model, _): (&str, &str)| {
            let price = Name::new(model).ok().and_then(|model| self.models.price(&model));
            let row = price.map_or_else(
                || "no price is known: its calls are refused".to_owned(),
                |price| format!("{} in, {} out ({})", price.rates.input, price.rates.output, price.row),
            );
            format!("{model}: {row}")
        };
        self.listed_models().map(line).collect()
    }

    /// A few lines for people: budgets with their current windows.
    #[must_use]
    pub fn budget_lines(&self, now: Timestamp) -> Vec<String> {
        let line = |budget: &genops_core::budget::Budget| {
            let window = Windows::of(&budget.period).at(now);
            let window = window.map_or_else(|| "not in force now".to_owned(), |window| window.to_string());
            let each: Vec<_> = budget.each.iter().map(|facet| facet.as_str()).collect();
            let each = if each.is_empty() { String::new() } else { format!(" each {}", each.join(", ")) };
            format!("{}: {} {}{each} ({window})", budget.name, budget.limit, budget.unit)
        };
        self.policy.budgets.iter().map(line).collect()
    }
}

impl Models {
    /// Where `model` is asked; `None` if it is not set up, and no provider takes the others.
    #[must_use]
    pub fn route(&self, model: &Name) -> Option<&Route> {
        self.listed.get(model).or(self.others.as_ref())
    }

    /// The encodings that calls will be counted in.
    pub fn encodings(&self) -> impl Iterator<Item = Encoding> {
        self.listed.values().chain(&self.others).filter_map(|route| route.bound.encoding)
    }

    /// What `model` is charged by; `None` where no price is known.
    #[must_use]
    pub fn price(&self, model: &Name) -> Option<Price> {
        if let Some(listed) = self.listed.get(model) {
            return listed.price.clone();
        }
        let others = self.others.as_ref()?;
        others.price.clone().or_else(|| {
            let (table, provider) = self.other_prices.as_ref()?;
            table.find(provider, model.as_str())?.price()
        })
    }
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::Config;

    /// Two providers that read different limit fields, and a model at each.
    pub fn config() -> Config {
        let text = "
providers:
  - {name: new, base_url: 'http://127.0.0.1:1/v1'}
  - {name: old, base_url: 'http://127.0.0.1:1/v1', output_limit_field: max_tokens}
models:
  - {name: large, provider: new, max_output_tokens: 1000, price: {input: 1, output: 2}}
  - {name: small, provider: old, max_output_tokens: 1000, price: {input: 1, output: 2}}
";
        Config::read("test", text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
    }
}
