//! From the configuration as written to the configuration as meant: names resolved, amounts read, secrets
//! fetched. Every problem is found, not only the first. Where telemetry goes is in [`telemetry`], budgets are in
//! [`budgets`], rates in [`limits`], callers in [`keys`].

mod budgets;
mod keys;
mod limits;
mod policy;
mod telemetry;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use genops::LedgerPlace;
use genops_core::finding::Mode;
use genops_core::policy::Policy;
use genops_core::price::Price;
use genops_core::selector::Facet;
use genops_core::{Amount, Digest, Name, Unit};
use http::{HeaderValue, Uri};
use serde_saphyr::{Location, Spanned};

use super::problem::{ConfigProblem, Shown};
use super::secrets::{self, Secrets};
use super::written::{self, Text, Written};
use super::{Config, Http2, Models, ProviderConfig, Route};
use crate::assess::Assessor;
use crate::call::{BoundOptions, Encoding, LimitField};
use crate::identity::Role;
use crate::prices::{self, Table};

/// What a configuration may refer to.
pub struct Outside<'a> {
    /// A variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// A file.
    pub read_file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

/// Bodies of up to 16 MiB: a few pictures.
const BODY_BYTES_MAX: u64 = 16 << 20;
const IN_FLIGHT_MAX: u64 = 4_096;

/// How long calls that are in flight may take to end when the gateway stops, where nothing is said.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
const TIMEOUT_SECONDS: u64 = 600;
const TIMEOUT_SECONDS_MAX: u64 = 86_400;

/// No limit may be set higher than this: a gigabyte, or a thousand million calls.
const SIZE_MAX: u64 = 1 << 30;

/// More tries of one call only add to a provider's trouble.
const RETRIES_MAX: u32 = 10;

/// More models to ask one after the other only keep a caller waiting.
const FALLBACKS_MAX: usize = 10;

/// `genops.operation.type` of everything that the gateway does.
const INFERENCE: &str = "inference";

/// More output than any model writes; keeps every amount far from overflow.
const OUTPUT_TOKENS_MAX: u64 = 100_000_000;

/// Finds out what is meant.
///
/// # Errors
///
/// Everything that is wrong.
pub fn of(written: Written, text: &str, outside: &Outside<'_>) -> Result<Config, Vec<ConfigProblem>> {
    let mut reading = Reading {
        text,
        outside,
        secrets: Secrets::of(&written),
        problems: Vec::new(),
        mode_of_file: Mode::Enforce,
        known: Known::of(&written),
    };
    let modes = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
    reading.mode_of_file = reading.one_of("`mode`", written.mode.as_ref(), &modes);
    let table = reading.table(&written);
    let providers = reading.providers(&written.providers, table.as_deref());
    let models = reading.models(&written, &providers, table.as_ref());
    let keys = reading.keys(&written.keys);
    let (policy, assessor) = reading.policy(&written);
    let config = Config {
        listen: reading.listen(written.listen.as_ref()),
        ledger: LedgerPlace::File(
            written.ledger.map_or_else(|| "genops.db".into(), |path| path.value.into()),
        ),
        retention: written.retention.as_ref().map(|retention| reading.retention(retention)),
        destinations: reading.destinations(&written.telemetry),
        resource: reading.resource(),
        policy: Arc::new(policy),
        assessor: Arc::new(assessor),
        models,
        keys,
        providers: providers.into_iter().map(|(_, provider)| provider).collect(),
        body_bytes_max: reading.size(written.limits.body_bytes.as_ref(), BODY_BYTES_MAX),
        in_flight_max: reading.size(written.limits.in_flight.as_ref(), IN_FLIGHT_MAX),
        receipt_key: written.receipts.as_ref().and_then(|receipts| reading.signing_key(receipts)),
        drain_within: written.limits.drain_seconds.map_or(DRAIN_WITHIN, Duration::from_secs),
        inference: Name::new(INFERENCE).map_err(|_| Vec::new())?,
    };
    if reading.problems.is_empty() { Ok(config) } else { Err(reading.problems) }
}

const URL_HAS_TO_BE: &str =
    "has to be an address such as `https://host:port/path`, without user, password, query or fragment";

/// An address that requests can be sent to.
fn url_of(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
            && !text.contains('#')
    })
}

struct Reading<'a> {
    text: &'a str,
    outside: &'a Outside<'a>,
    secrets: Secrets,
    problems: Vec<ConfigProblem>,
    /// The mode of rules that say none.
    mode_of_file: Mode,
    known: Known,
}

/// What rules may name because it is set up. Whoever operates may propose work of any type, with any provider and model.
struct Known {
    /// `None` where somebody operates.
    providers: Option<BTreeSet<String>>,
    keys: BTreeSet<String>,
    /// `None` where callers may name any model, or somebody operates.
    models: Option<BTreeSet<String>>,
    /// `None` where somebody operates.
    operation_types: Option<BTreeSet<String>>,
}

impl Known {
    fn of(written: &Written) -> Self {
        let operates = |role: &Text| role.value == Role::Operate.as_str();
        let only_calls = !written.keys.iter().any(|key| key.roles.iter().flatten().any(operates));
        let providers = || written.providers.iter().map(|provider| provider.name.value.clone()).collect();
        let models = || written.models.iter().map(|model| model.name.value.clone()).collect();
        Self {
            providers: only_calls.then(providers),
            keys: written.keys.iter().map(|key| key.name.value.clone()).collect(),
            models: (only_calls && written.other_models.is_none()).then(models),
            operation_types: only_calls.then(|| BTreeSet::from([INFERENCE.to_owned()])),
        }
    }

    /// The values that an AWU can have; `None` where that is not known.
    const fn values(&self, facet: Facet) -> Option<&BTreeSet<String>> {
        match facet {
            Facet::Provider => self.providers.as_ref(),
            Facet::Key => Some(&self.keys),
            Facet::Model => self.models.as_ref(),
            Facet::OperationType => self.operation_types.as_ref(),
            // Headers say these.
            Facet::Team
            | Facet::Project
            | Facet::Environment
            | Facet::CustomerId
            | Facet::Feature
            | Facet::CostCenter
            | Facet::SessionId => None,
        }
    }
}

impl Reading<'_> {
    fn problem<T>(&mut self, at: &Spanned<T>, message: impl Into<String>) {
        let line = self.secrets.may_share_line(self.text, at.referenced.line());
        self.problem_shown(at, if line { Shown::Word } else { Shown::Line }, message.into());
    }

    /// A problem with what may be a secret itself.
    fn problem_with_secret(&mut self, at: &Text, message: impl Into<String>) {
        self.problem_shown(at, Shown::Key, message.into());
    }

    fn problem_shown<T>(&mut self, at: &Spanned<T>, shown: Shown, message: String) {
        let at = at.referenced;
        let place = (at != Location::UNKNOWN).then(|| (at.line(), at.column()));
        self.problems.push(ConfigProblem::new(self.text, place, shown, message));
    }

    fn name(&mut self, what: &str, text: &Text) -> Option<Name> {
        match Name::new(&text.value) {
            Ok(name) => Some(name),
            Err(problem) => {
                self.problem(text, format!("{what} {problem}"));
                None
            }
        }
    }

    fn amount(&mut self, what: &str, text: &Text) -> Option<Amount> {
        match text.value.parse::<Amount>() {
            Ok(amount) if amount >= Amount::ZERO => return Some(amount),
            Ok(_) => self.problem(text, format!("{what} must not be negative")),
            Err(problem) => self.problem(text, format!("{what} {problem}")),
        }
        None
    }

    fn size(&mut self, written: Option<&Spanned<u64>>, otherwise: u64) -> usize {
        let Some(size) = written else { return usize::try_from(otherwise).unwrap_or(usize::MAX) };
        match usize::try_from(size.value) {
            Ok(value) if value > 0 && size.value <= SIZE_MAX => value,
            _ => {
                self.problem(size, format!("has to be from 1 to {SIZE_MAX}"));
                1
            }
        }
    }

    fn listen(&mut self, written: Option<&Text>) -> std::net::SocketAddr {
        let default = std::net::SocketAddr::from(([127, 0, 0, 1], 4100));
        let Some(text) = written else { return default };
        text.value.parse().unwrap_or_else(|_| {
            self.problem(text, "`listen` has to be an address and a port, such as `127.0.0.1:4100`");
            default
        })
    }

    fn url(&mut self, what: &str, text: &Text) -> Option<Uri> {
        let url = url_of(&text.value);
        if url.is_none() {
            // What stands here may hold a password.
            self.problem_with_secret(text, format!("{what} {URL_HAS_TO_BE}"));
        }
        url
    }

    fn secret(&mut self, what: &str, text: &Text) -> Option<String> {
        let found = secrets::fetch(&text.value, self.outside);
        found.map_err(|why| self.problem_with_secret(text, format!("{what} {why}"))).ok()
    }

    // === providers and models ===

    fn providers(
        &mut self,
        written: &[written::Provider],
        table: Option<&Table>,
    ) -> Vec<(String, ProviderConfig)> {
        let mut providers: Vec<(String, ProviderConfig)> = Vec::new();
        for provider in written {
            if providers.iter().any(|(name, _)| *name == provider.name.value) {
                self.problem(&provider.name, "a provider of this name stands above");
            }
            let name = self.name("`name`", &provider.name);
            let url = self.url("`base_url`", &provider.base_url);
            let authorization = provider.api_key.as_ref().and_then(|key| self.authorization(key));
            let limit_field = self.limit_field(provider.output_limit_field.as_ref());
            let price_book = provider.prices.as_ref().and_then(|book| self.price_book(book, table?));
            let seconds = provider.timeout_seconds.as_ref().map_or(TIMEOUT_SECONDS, |seconds| seconds.value);
            if let Some(written) = provider.timeout_seconds.as_ref()
                && !(1..=TIMEOUT_SECONDS_MAX).contains(&written.value)
            {
                self.problem(written, format!("has to be from 1 to {TIMEOUT_SECONDS_MAX}, which is a day"));
            }
            if let (Some(name), Some(_)) = (name, url) {
                let base_url = provider.base_url.value.clone();
                let timeout = Duration::from_secs(seconds.max(1));
                let config = ProviderConfig {
                    name,
                    base_url,
                    authorization,
                    timeout,
                    limit_field,
                    reports_usage_in_streams: provider.reports_usage_in_streams.unwrap_or(true),
                    charges_what_was_counted: self.without_usage(provider.without_usage.as_ref()),
                    price_book,
                    sends_traceparent: provider.sends_traceparent,
                    http2: self.http2(provider.http2.as_ref()),
                    region: provider.region.as_ref().and_then(|region| self.name("`region`", region)),
                };
                providers.push((provider.name.value.clone(), config));
            }
        }
        providers
    }

    fn authorization(&mut self, key: &Text) -> Option<HeaderValue> {
        let secret = self.secret("`api_key`", key)?;
        match HeaderValue::from_str(&format!("Bearer {secret}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Some(value)
            }
            Err(_) => {
                self.problem_with_secret(key, "`api_key` refers to something that cannot stand in a header");
                None
            }
        }
    }

    fn limit_field(&mut self, written: Option<&Text>) -> LimitField {
        match written.map(|text| (text, text.value.as_str())) {
            None | Some((_, "max_completion_tokens")) => LimitField::MaxCompletionTokens,
            Some((_, "max_tokens")) => LimitField::MaxTokens,
            Some((text, _)) => {
                self.problem(text, "has to be `max_completion_tokens` or `max_tokens`");
                LimitField::MaxCompletionTokens
            }
        }
    }

    fn without_usage(&mut self, written: Option<&Text>) -> bool {
        match written.map(|text| (text, text.value.as_str())) {
            None | Some((_, "reserved")) => false,
            Some((_, "counted")) => true,
            Some((text, _)) => {
                self.problem(text, "has to be `reserved` or `counted`");
                false
            }
        }
    }

    /// The table of prices: the one in `prices_file`, else the one that ships with the gateway, and none
    /// where no provider's prices are taken from it.
    fn table(&mut self, written: &Written) -> Option<Arc<Table>> {
        let Some(path) = &written.prices_file else {
            let asks = written.providers.iter().find_map(|provider| provider.prices.as_ref())?;
            return Table::built_in().map_err(|problem| self.problem(asks, problem.to_string())).ok();
        };
        let text = (self.outside.read_file)(&path.value).map_err(|error| error.to_string());
        match text.and_then(|text| prices::file::read(&text).map_err(|problem| problem.to_string())) {
            Ok(table) => Some(Arc::new(table)),
            Err(problem) => {
                let hint = "`prices_file` has to be a file that `genops prices update` wrote";
                self.problem(path, format!("{hint}; `{}`: {problem}", path.value));
                None
            }
        }
    }

    fn http2(&mut self, written: Option<&Text>) -> Http2 {
        match written.map(|text| (text, text.value.as_str())) {
            None | Some((_, "auto")) => Http2::Auto,
            Some((_, "never")) => Http2::Never,
            Some((text, _)) => {
                self.problem(text, "`http2` has to be `auto` or `never`");
                Http2::Never
            }
        }
    }

    fn price_book(&mut self, written: &Text, table: &Table) -> Option<String> {
        if table.providers.contains_key(&written.value) {
            return Some(written.value.clone());
        }
        let known: Vec<_> = table.providers.keys().map(String::as_str).collect();
        let message =
            format!("the table of prices has no provider `{}`; it has: {}", written.value, known.join(", "));
        self.problem(written, message);
        None
    }

    fn models(
        &mut self,
        written: &Written,
        providers: &[(String, ProviderConfig)],
        table: Option<&Arc<Table>>,
    ) -> Models {
        let mut listed = HashMap::new();
        for model in &written.models {
            let row = format!("config {}", model.name.value);
            let route =
                self.route(providers, &model.provider, &model.max_output_tokens, model.price.as_ref(), &row);
            let route = route.map(|route| Route {
                bound: self.bound(&model.bound),
                retries: self.retries(model.retries.as_ref()),
                fallbacks: self.fallbacks(written, model),
                ..route
            });
            let name = self.name("`name`", &model.name);
            if let (Some(name), Some(mut route)) = (name, route) {
                if route.price.is_none() {
                    let book = book_of(providers, &route);
                    let found = book.and_then(|book| table?.find(book, name.as_str()));
                    route.price = found.and_then(|found| found.price());
                }
                if listed.insert(name, route).is_some() {
                    self.problem(&model.name, "a model of this name stands above");
                }
            }
        }
        let others = written.other_models.as_ref().and_then(|others| {
            let price = others.price.as_ref();
            let row = "config other models";
            let route = self.route(providers, &others.provider, &others.max_output_tokens, price, row);
            route.map(|route| Route { bound: self.bound(&others.bound), ..route })
        });
        let book = others.as_ref().and_then(|others| book_of(providers, others));
        let other_prices = table.cloned().zip(book.map(str::to_owned));
        Models { listed, others, other_prices }
    }

    fn route(
        &mut self,
        providers: &[(String, ProviderConfig)],
        provider: &Text,
        max_output_tokens: &Spanned<u64>,
        price: Option<&written::Price>,
        row: &str,
    ) -> Option<Route> {
        let found = providers.iter().position(|(name, _)| *name == provider.value);
        if found.is_none() {
            let known: Vec<_> = providers.iter().map(|(name, _)| name.as_str()).collect();
            let message =
                format!("there is no provider `{}`; there is: {}", provider.value, known.join(", "));
            self.problem(provider, message);
        }
        if !(1..=OUTPUT_TOKENS_MAX).contains(&max_output_tokens.value) {
            self.problem(max_output_tokens, format!("has to be from 1 to {OUTPUT_TOKENS_MAX}"));
        }
        let price = match price {
            None => None,
            Some(price) => {
                let input = self.amount("`input`", &price.input);
                let output = self.amount("`output`", &price.output);
                let mut optional = |what, text: &Option<Text>| {
                    text.as_ref().map_or(Some(None), |text| self.amount(what, text).map(Some))
                };
                let cached_input = optional("`cached_input`", &price.cached_input);
                let cache_write = optional("`cache_write`", &price.cache_write);
                let row = Name::new(row).ok();
                let mut price = Price::flat(row?, input?, output?);
                price.rates.cached_input = cached_input?;
                price.rates.cache_write = cache_write?;
                Some(price)
            }
        };
        let provider = found?;
        let (_, asked) = providers.get(provider)?;
        Some(Route {
            provider,
            max_output_tokens: max_output_tokens.value,
            price,
            limit_field: asked.limit_field,
            reports_usage_in_streams: asked.reports_usage_in_streams,
            bound: BoundOptions::default(),
            retries: 0,
            fallbacks: Vec::new(),
        })
    }

    fn retries(&mut self, written: Option<&Spanned<u32>>) -> u32 {
        let Some(retries) = written else { return 0 };
        if retries.value > RETRIES_MAX {
            self.problem(retries, format!("has to be from 0 to {RETRIES_MAX}"));
        }
        retries.value
    }

    fn fallbacks(&mut self, written: &Written, model: &written::Model) -> Vec<Name> {
        if let Some(beyond) = model.fallbacks.get(FALLBACKS_MAX) {
            self.problem(beyond, format!("a model has at most {FALLBACKS_MAX} fallbacks"));
        }
        let mut fallbacks = Vec::new();
        for (place, text) in model.fallbacks.iter().enumerate() {
            if model.fallbacks.iter().take(place).any(|above| above.value == text.value) {
                self.problem(text, "stands above");
            } else if text.value == model.name.value
                || !written.models.iter().any(|other| other.name.value == text.value)
            {
                let known = written.models.iter().map(|other| other.name.value.as_str());
                let known: Vec<_> = known.filter(|other| *other != model.name.value).collect();
                self.problem(text, format!("has to be another of `models`: {}", known.join(", ")));
            } else {
                fallbacks.extend(self.name("a fallback", text));
            }
        }
        fallbacks
    }

    fn bound(&mut self, written: &written::Bound) -> BoundOptions {
        let known = |text: &Text| Encoding::ALL.into_iter().find(|(name, _)| *name == text.value);
        let encoding = written.encoding.as_ref().map(|text| (text, known(text)));
        if let Some((text, None)) = encoding {
            let names: Vec<_> = Encoding::ALL.iter().map(|(name, _)| *name).collect();
            self.problem(text, format!("has to be one of: {}", names.join(", ")));
        }
        if let Some(expected) = &written.expected_output_tokens {
            if encoding.is_none() {
                let message = "`expected_output_tokens` needs the `encoding`, in which what comes is counted";
                self.problem(expected, message);
            } else if !(1..=OUTPUT_TOKENS_MAX).contains(&expected.value) {
                self.problem(expected, format!("has to be from 1 to {OUTPUT_TOKENS_MAX}"));
            }
        }
        BoundOptions {
            encoding: encoding.and_then(|(_, known)| known).map(|(_, encoding)| encoding),
            expected_output: written.expected_output_tokens.as_ref().map(|expected| expected.value),
            template_tokens: written.template_tokens,
            fields: written.fields.clone(),
            parts: written.parts.clone(),
        }
    }

    // === policy ===

    fn policy(&mut self, written: &Written) -> (Policy, Assessor) {
        let headers = self.condition_headers(&written.condition_headers);
        let assessed = written.conditions.iter().map(|rule| &rule.name);
        self.once(
            "a condition or content rule",
            assessed.chain(written.content_rules.iter().map(|rule| &rule.name)),
        );
        let (conditions, expressions): (Vec<_>, Vec<_>) =
            self.conditions(&written.conditions, &headers).into_iter().unzip();
        let (contents, looked_for) = self.contents(&written.content_rules);
        let policy = Policy {
            origin: Digest::of("genops.yaml", &[self.text.as_bytes()]),
            accounting_unit: Unit::Usd,
            remember_ns: self.remember_ns(written.limits.idempotency_hours.as_ref()),
            ceilings: self.ceilings(&written.limits),
            mode: self.mode_of_file,
            models: self.list_rules("a model rule", &written.allowed_models),
            regions: self.list_rules("a region rule", &written.allowed_regions),
            conditions,
            contents,
            circuits: self.circuits(&written.providers),
            rates: self.rates(&written.rates),
            slas: self.tiers(&written.tiers),
            budgets: self.budgets(&written.budgets),
            ..Policy::unrestricted()
        };
        let assessor = Assessor::new(&policy, expressions, looked_for, headers);
        (policy, assessor)
    }
}

/// What the table of prices calls the provider that a model is asked at.
fn book_of<'a>(providers: &'a [(String, ProviderConfig)], route: &Route) -> Option<&'a str> {
    providers.get(route.provider)?.1.price_book.as_deref()
}
