//! Whom calls are passed on to, and at what price: what is otherwise about providers and models.

use std::collections::BTreeSet;

use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::policy::Policy;
use genops_core::price::{Price, Rates, Tier};
use genops_core::{Amount, Name};

use super::rules::mode;
use super::{Changes, Comparing, Entry, Section, listed, or};
use crate::call::{BoundOptions, Encoding, LimitField};
use crate::config::{Config, Http2, Models, ProviderConfig, Route};

/// Compares providers and models.
pub(super) fn compare(changes: &mut Changes, old: &Config, new: &Config) {
    changes.each(Section::Provider, &asked(old), &asked(new));
    changes.each(Section::Model, &routes(old, new), &routes(new, new));
    changes.one(Section::OtherModels, None, |it| others(it, old, new));
}

// === providers ===

/// A provider, and when it counts as down.
struct Asked<'a> {
    provider: &'a ProviderConfig,
    circuit: Option<&'a CircuitRule>,
}

fn asked(config: &Config) -> Vec<Asked<'_>> {
    let circuit = |provider: &ProviderConfig| {
        config.policy.circuits.iter().find(|circuit| circuit.provider == provider.name)
    };
    config.providers.iter().map(|provider| Asked { provider, circuit: circuit(provider) }).collect()
}

impl Entry for Asked<'_> {
    fn name(&self) -> &str {
        self.provider.name.as_str()
    }

    fn added(&self) -> String {
        self.provider.base_url.clone()
    }

    fn removed(&self) -> String {
        "nothing is sent there any more".to_owned()
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let ProviderConfig {
            name: _,
            base_url,
            authorization,
            timeout,
            limit_field,
            reports_usage_in_streams,
            charges_what_was_counted,
            price_book,
            sends_traceparent,
            http2,
            region,
        } = self.provider;
        let to = new.provider;
        it.field("address", base_url, &to.base_url, String::clone, "");
        match (authorization, &to.authorization) {
            (None, Some(_)) => it.say("a key is sent to it now"),
            (Some(_), None) => it.say("no key is sent to it any more"),
            (old, new) if old != new => it.say("the key changed that is sent to it"),
            _ => {}
        }
        it.field("timeout", timeout, &to.timeout, |timeout| format!("{} s", timeout.as_secs()), "");
        let limit = |field: &LimitField| field.as_str().to_owned();
        it.field("output limit field", limit_field, &to.limit_field, limit, "");
        let (reports, does_not) = (
            "reports the usage of streams when it is asked to",
            "is not asked to report the usage of streams any more",
        );
        it.flag(*reports_usage_in_streams, to.reports_usage_in_streams, reports, does_not);
        let (counted, reserved) = (
            "a call without a usage report is charged what was counted, not its reservation any more",
            "a call without a usage report is charged its reservation, not what was counted any more",
        );
        it.flag(*charges_what_was_counted, to.charges_what_was_counted, counted, reserved);
        it.field("prices", price_book, &to.price_book, or("not from the table"), "");
        let (sends, sends_none) = ("is sent a traceparent now", "is sent no traceparent any more");
        it.flag(*sends_traceparent, to.sends_traceparent, sends, sends_none);
        it.field("http2", http2, &to.http2, http2_word, "");
        it.field("region", region, &to.region, or("not known"), "");
        circuit(it, self.circuit, new.circuit);
    }
}

fn http2_word(http2: &Http2) -> String {
    match http2 {
        Http2::Auto => "auto",
        Http2::Never => "never",
    }
    .to_owned()
}

fn circuit(it: &mut Comparing<'_>, old: Option<&CircuitRule>, new: Option<&CircuitRule>) {
    match (old, new) {
        (None, None) => {}
        (Some(_), None) => it.say("circuit removed: it never counts as down"),
        (None, Some(circuit)) => {
            let (failures, seconds) = (circuit.failures, seconds(&circuit.open_for_ns));
            let what = match circuit.mode {
                Mode::Enforce => "its calls are refused",
                Mode::Observe => "its calls are warned about",
            };
            it.say(format!("circuit added: after {failures} failures in a row {what} for {seconds}"));
        }
        (Some(old), Some(new)) => {
            let CircuitRule { provider: _, failures, open_for_ns, mode: its_mode } = old;
            let how = "circuit: failures in a row until it counts as down";
            it.field(how, failures, &new.failures, u32::to_string, "");
            it.field("circuit: counts as down for", open_for_ns, &new.open_for_ns, seconds, "");
            mode(it, "circuit: ", *its_mode, new.mode);
        }
    }
}

fn seconds(nanos: &u64) -> String {
    format!("{} s", nanos / 1_000_000_000)
}

// === models ===

/// A model that is set up by name.
struct Listed<'a> {
    name: &'a Name,
    to: To<'a>,
    /// Where models are asked, after the change, that are not.
    others: Option<&'a str>,
}

/// Where a model is asked: as [`Route`] has it, with the provider by name.
struct To<'a> {
    provider: &'a str,
    route: &'a Route,
    policy: &'a Policy,
}

fn to<'a>(config: &'a Config, route: &'a Route) -> To<'a> {
    let provider = config.providers.get(route.provider).map_or("", |provider| provider.name.as_str());
    To { provider, route, policy: &config.policy }
}

fn routes<'a>(config: &'a Config, new: &'a Config) -> Vec<Listed<'a>> {
    let others = new.models.others.as_ref().map(|others| to(new, others).provider);
    let routes = config.models.listed.iter();
    let mut listed: Vec<_> =
        routes.map(|(name, route)| Listed { name, to: to(config, route), others }).collect();
    listed.sort_unstable_by_key(|listed| listed.name);
    listed
}

impl Entry for Listed<'_> {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        self.to.in_words()
    }

    fn removed(&self) -> String {
        match self.others {
            Some(provider) => format!("its calls go to {provider}, as those of other models"),
            None => "its calls are answered with 404".to_owned(),
        }
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        self.to.compare(&new.to, it);
    }
}

impl To<'_> {
    fn in_words(&self) -> String {
        let Self { provider, route, policy } = self;
        match &route.price {
            Some(price) => format!("asked at {provider}, price {}", per_million(&price.rates)),
            None => format!("asked at {provider}, no price is known: {}", without_price(policy)),
        }
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Route {
            provider: _, // By name.
            max_output_tokens,
            price: its_price,
            limit_field: _, // The provider's.
            reports_usage_in_streams: _,
            bound: its_bound,
            retries,
            fallbacks,
        } = self.route;
        let (from, to) = (self.provider, new.provider);
        it.field("provider", &from, &to, |name| (*name).to_owned(), "");
        let limit = &new.route.max_output_tokens;
        it.field("most output tokens", max_output_tokens, limit, u64::to_string, "");
        price(it, its_price.as_ref(), new.route.price.as_ref(), new.policy);
        bound(it, its_bound, &new.route.bound);
        it.field("retries", retries, &new.route.retries, u32::to_string, "");
        let names = |names: &Vec<Name>| listed(&names.iter().map(Name::as_str).collect::<Vec<_>>());
        it.field("fallbacks", fallbacks, &new.route.fallbacks, names, "asked in this order");
    }
}

fn others(it: &mut Comparing<'_>, old: &Config, new: &Config) {
    let Models { listed: _, others, other_prices } = &old.models;
    match (others, &new.models.others) {
        (None, None) => {}
        (None, Some(route)) => it.say(format!("added: {}", to(new, route).in_words())),
        (Some(_), None) => it.say("removed; calls for models that are not listed are answered with 404"),
        (Some(before), Some(after)) => {
            to(old, before).compare(&to(new, after), it);
            let from_table = before.price.is_none() && after.price.is_none();
            if from_table && *other_prices != new.models.other_prices {
                it.say("their prices are looked up in another table now, or under another provider");
            }
        }
    }
}

/// US dollars in and out.
fn per_million(rates: &Rates) -> String {
    format!("{}/{} a million tokens", rates.input, rates.output)
}

const fn without_price(policy: &Policy) -> &'static str {
    match policy.mode {
        Mode::Enforce => "calls without a price are refused with x_unpriced_model",
        Mode::Observe => "calls without a price are warned about with x_unpriced_model",
    }
}

fn price(it: &mut Comparing<'_>, old: Option<&Price>, new: Option<&Price>, policy: &Policy) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(new)) => return it.say(format!("price not known -> {}", per_million(&new.rates))),
        (Some(old), None) => {
            let old = per_million(&old.rates);
            return it.say(format!("price {old} -> not known: {}", without_price(policy)));
        }
        (Some(old), Some(new)) => (old, new),
    };
    let Price { row, rates, tiers } = old;
    let Rates { input, output, cached_input, cache_write } = rates;
    if (input, output) != (&new.rates.input, &new.rates.output) {
        let Rates { input: new_input, output: new_output, .. } = new.rates;
        it.say(format!("price {input}/{output} -> {new_input}/{new_output} a million tokens"));
    }
    let rate = or::<Amount>("as other input");
    it.field("price of input from the cache", cached_input, &new.rates.cached_input, &rate, "");
    it.field("price of input into the cache", cache_write, &new.rates.cache_write, &rate, "");
    it.field("prices of long calls", tiers, &new.tiers, |tiers| long_calls(tiers), "");
    it.field("price row", row, &new.row, Name::to_string, "");
}

fn long_calls(tiers: &[Tier]) -> String {
    let tier = |tier: &Tier| {
        let Tier { above, rates } = tier;
        let Rates { input, output, cached_input, cache_write } = rates;
        let cache = or::<Amount>("input")(cached_input);
        let write = or::<Amount>("input")(cache_write);
        format!("above {above} tokens {input}/{output} (cache {cache}, {write})")
    };
    if tiers.is_empty() {
        return "as others".to_owned();
    }
    tiers.iter().map(tier).collect::<Vec<_>>().join(", ")
}

fn bound(it: &mut Comparing<'_>, old: &BoundOptions, new: &BoundOptions) {
    let BoundOptions { encoding, expected_output, template_tokens, fields, parts } = old;
    let word = |encoding: &Option<Encoding>| {
        let known = Encoding::ALL.into_iter().find(|(_, known)| Some(*known) == *encoding);
        known.map_or_else(|| "none, by bytes".to_owned(), |(name, _)| name.to_owned())
    };
    it.field("encoding", encoding, &new.encoding, word, "");
    it.field(
        "expected output tokens",
        expected_output,
        &new.expected_output,
        or::<u64>("the output limit"),
        "",
    );
    it.field("template tokens", template_tokens, &new.template_tokens, u64::to_string, "");
    let [old, now] = [fields, &new.fields].map(|of| of.iter().map(String::as_str));
    it.items("fields that raise no cost:", old, now);
    let kinds: BTreeSet<_> = parts.keys().chain(new.parts.keys()).collect();
    for kind in kinds {
        let most = or::<u64>("refused");
        let (before, after) = (parts.get(kind).copied(), new.parts.get(kind).copied());
        it.field(&format!("most tokens of a part {kind}"), &before, &after, &most, "");
    }
}
