//! What the limits on traffic of `genops.yaml` mean: rates, circuits, how long idempotency keys are remembered,
//! how far the books may grow, and how long entries are kept.
//!
//! Whom they cover is read where all selectors are, in [`policy`](super::policy); budgets are in
//! [`budgets`](super::budgets).

use std::time::Duration;

use genops::Retention;
use genops_core::Amount;
use genops_core::circuit::CircuitRule;
use genops_core::policy::{Ceilings, Policy, REMEMBER_NS};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use serde_saphyr::Spanned;

use super::Reading;
use crate::config::written::{self, Text};

/// More requests than any gateway serves in a second.
const REQUESTS_MAX: u64 = 1_000_000_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A key that is older than a year belongs to nothing that still runs.
const IDEMPOTENCY_HOURS_MAX: u64 = 8_760;
/// More than any memory holds.
const CEILING_MAX: u64 = 1_000_000_000;

/// Nobody keeps a ledger for longer than a hundred years.
const KEEP_DAYS_MAX: u64 = 36_500;

const SECONDS_PER_DAY: u64 = 86_400;

const HOUR_NS: u64 = 3_600 * NANOS_PER_SECOND;

impl Reading<'_> {
    pub(super) fn rates(&mut self, written: &[written::Rate]) -> Vec<RateRule> {
        self.once("a rate", written.iter().map(|rate| &rate.name));
        written.iter().filter_map(|rate| self.rate(rate)).collect()
    }

    fn rate(&mut self, written: &written::Rate) -> Option<RateRule> {
        let name = self.name("`name`", &written.name);
        let selector = self.selector(&written.covers);
        let each = self.facets(&written.each);
        let limit = self.limit(written);
        let mode = self.mode(written.mode.as_ref());
        let rate = RateRule { name: name?, selector, each: each?, limit: limit?, mode };
        let policy = Policy { rates: vec![rate.clone()], ..Policy::unrestricted() };
        if let Some(problem) = policy.problem() {
            self.problem(&written.name, problem.to_string());
        }
        Some(rate)
    }

    fn limit(&mut self, written: &written::Rate) -> Option<RateLimit> {
        let flow = match (&written.requests, &written.tokens, &written.usd, &written.in_flight) {
            (Some(requests), None, None, None) => {
                (Measure::Requests, self.requests(requests).map(Amount::from_whole))
            }
            (None, Some(tokens), None, None) => (Measure::Tokens, self.amount("`tokens`", tokens)),
            (None, None, Some(usd), None) => (Measure::Usd, self.amount("`usd`", usd)),
            (None, None, None, Some(calls)) => {
                for beside in [&written.per, &written.burst].into_iter().flatten() {
                    self.problem(beside, "`in_flight` has no time: leave out `per` and `burst`");
                }
                return Some(RateLimit::InFlight { calls: self.requests(calls)? });
            }
            _ => {
                let message = "a rate has exactly one of `requests`, `tokens`, `usd` and `in_flight`";
                self.problem(&written.name, message);
                return None;
            }
        };
        let (measure, amount) = flow;
        let burst = match &written.burst {
            Some(burst) => self.burst(measure, burst),
            None => amount,
        };
        let per = self.per(written);
        Some(RateLimit::Flow(Flow { measure, amount: amount?, per: per?, burst: burst? }))
    }

    fn burst(&mut self, measure: Measure, written: &Text) -> Option<Amount> {
        let burst = self.amount("`burst`", written)?;
        let is_whole = burst.atoms() % Amount::from_whole(1).atoms() == 0;
        if measure == Measure::Requests && (!is_whole || burst == Amount::ZERO) {
            self.problem(written, format!("has to be a whole number from 1 to {REQUESTS_MAX}"));
            return None;
        }
        Some(burst)
    }

    fn per(&mut self, written: &written::Rate) -> Option<Per> {
        const HAS_TO_BE: &str = "`per` has to be `second`, `minute`, `hour` or `day`";
        let Some(per) = &written.per else {
            self.problem(&written.name, format!("the rate needs a time: {HAS_TO_BE}"));
            return None;
        };
        match per.value.as_str() {
            "second" => Some(Per::Second),
            "minute" => Some(Per::Minute),
            "hour" => Some(Per::Hour),
            "day" => Some(Per::Day),
            _ => {
                self.problem(per, HAS_TO_BE);
                None
            }
        }
    }

    fn requests(&mut self, written: &Spanned<u64>) -> Option<u64> {
        if (1..=REQUESTS_MAX).contains(&written.value) {
            return Some(written.value);
        }
        self.problem(written, format!("has to be from 1 to {REQUESTS_MAX}"));
        None
    }

    pub(super) fn circuits(&mut self, written: &[written::Provider]) -> Vec<CircuitRule> {
        let mut circuits = Vec::new();
        for provider in written {
            let Some(circuit) = &provider.circuit else { continue };
            let (failures, seconds) = (&circuit.failures, &circuit.open_seconds);
            if !(1..=1_000).contains(&failures.value) {
                self.problem(failures, "has to be from 1 to 1000");
            }
            if !(1..=86_400).contains(&seconds.value) {
                self.problem(seconds, "has to be from 1 to 86400, which is a day");
            }
            let mode = self.mode(circuit.mode.as_ref());
            let Ok(name) = genops_core::Name::new(&provider.name.value) else { continue };
            circuits.push(CircuitRule {
                provider: name,
                failures: failures.value.max(1),
                open_for_ns: seconds.value.saturating_mul(NANOS_PER_SECOND),
                mode,
            });
        }
        circuits
    }

    pub(super) fn ceilings(&mut self, written: &written::Limits) -> Ceilings {
        let Ceilings { cells, rate_shares, idempotency_keys, open_awus, one_key_percent } =
            Ceilings::default();
        let percent = written.one_key_percent.as_ref();
        if let Some(percent) = percent.filter(|percent| !(1..=100).contains(&percent.value)) {
            self.problem(percent, "has to be from 1 to 100");
        }
        Ceilings {
            cells: self.ceiling(written.cells.as_ref(), cells),
            rate_shares: self.ceiling(written.rate_shares.as_ref(), rate_shares),
            idempotency_keys: self.ceiling(written.idempotency_keys.as_ref(), idempotency_keys),
            open_awus: self.ceiling(written.open_awus.as_ref(), open_awus),
            one_key_percent: percent.map_or(one_key_percent, |percent| percent.value),
        }
    }

    fn ceiling(&mut self, written: Option<&Spanned<u64>>, default: u64) -> u64 {
        let Some(most) = written else { return default };
        if !(1..=CEILING_MAX).contains(&most.value) {
            self.problem(most, format!("has to be from 1 to {CEILING_MAX}"));
        }
        most.value
    }

    pub(super) fn remember_ns(&mut self, written: Option<&Spanned<u64>>) -> u64 {
        let Some(hours) = written else { return REMEMBER_NS };
        if !(1..=IDEMPOTENCY_HOURS_MAX).contains(&hours.value) {
            self.problem(hours, format!("has to be from 1 to {IDEMPOTENCY_HOURS_MAX}, which is a year"));
        }
        hours.value.saturating_mul(HOUR_NS)
    }

    pub(super) fn retention(&mut self, written: &written::Retention) -> Retention {
        let written::Retention { keep_days, archive_to } = written;
        if !(1..=KEEP_DAYS_MAX).contains(&keep_days.value) {
            self.problem(keep_days, format!("has to be from 1 to {KEEP_DAYS_MAX}"));
        }
        if archive_to.value.is_empty() {
            self.problem(archive_to, "has to be a directory, which is there already");
        }
        let keep = Duration::from_secs(keep_days.value.saturating_mul(SECONDS_PER_DAY));
        Retention { keep, archive_to: archive_to.value.clone().into() }
    }
}
