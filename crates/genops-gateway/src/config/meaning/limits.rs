//! What the limits of `genops.yaml` mean: budgets and rates.
//!
//! Whom they cover is read where all selectors are, in [`meaning`](super).

use std::collections::HashSet;

use genops_core::Unit;
use genops_core::budget::Budget;
use genops_core::policy::Policy;
use genops_core::rate::{Per, RateRule};
use genops_core::time::Period;
use serde_saphyr::Spanned;

use super::Reading;
use crate::config::written;

/// More requests than any gateway serves in a second.
const REQUESTS_MAX: u64 = 1_000_000_000;

impl Reading<'_> {
    pub(super) fn rates(&mut self, written: &[written::Rate]) -> Vec<RateRule> {
        let mut names = HashSet::new();
        let mut rates = Vec::new();
        for rate in written {
            if !names.insert(rate.name.value.as_str()) {
                self.problem(&rate.name, "a rate of this name stands above");
            }
            rates.extend(self.rate(rate));
        }
        rates
    }

    fn rate(&mut self, written: &written::Rate) -> Option<RateRule> {
        let name = self.name("`name`", &written.name);
        let requests = self.requests(&written.requests);
        let burst = written.burst.as_ref().map_or(requests, |burst| self.requests(burst));
        let per = match written.per.value.as_str() {
            "second" => Some(Per::Second),
            "minute" => Some(Per::Minute),
            "hour" => Some(Per::Hour),
            "day" => Some(Per::Day),
            _ => {
                self.problem(&written.per, "`per` has to be `second`, `minute`, `hour` or `day`");
                None
            }
        };
        let selector = self.selector(&written.team, &written.project, &written.environment);
        let rate = RateRule { name: name?, selector, requests: requests?, per: per?, burst: burst? };
        let policy = Policy { rates: vec![rate.clone()], ..Policy::unrestricted() };
        if let Some(problem) = policy.problem() {
            self.problem(&written.name, problem.to_string());
        }
        Some(rate)
    }

    fn requests(&mut self, written: &Spanned<u64>) -> Option<u64> {
        if (1..=REQUESTS_MAX).contains(&written.value) {
            return Some(written.value);
        }
        self.problem(written, format!("has to be from 1 to {REQUESTS_MAX}"));
        None
    }

    pub(super) fn budgets(&mut self, written: &[written::Budget]) -> Vec<Budget> {
        let mut names = HashSet::new();
        let mut budgets = Vec::new();
        for budget in written {
            if !names.insert(budget.name.value.as_str()) {
                self.problem(&budget.name, "a budget of this name stands above");
            }
            if budget.name.value == genops_core::budget::UNBUDGETED {
                self.problem(&budget.name, "this name is kept for calls that no budget covers");
            }
            budgets.extend(self.budget(budget));
        }
        budgets
    }

    fn budget(&mut self, written: &written::Budget) -> Option<Budget> {
        let name = self.name("`name`", &written.name);
        let limit = self.amount("`limit`", &written.limit);
        let unit = match written.unit.value.as_str() {
            "USD" => Some(Unit::Usd),
            "tokens" => Some(Unit::Tokens),
            _ => {
                self.problem(&written.unit, "`unit` has to be `USD` or `tokens`");
                None
            }
        };
        let period = match written.period.as_ref().map(|period| (period, period.value.as_str())) {
            None | Some((_, "none")) => Some(Period::None),
            Some((_, "day")) => Some(Period::Day),
            Some((_, "month")) => Some(Period::Month),
            Some((period, _)) => {
                self.problem(period, "`period` has to be `none`, `day` or `month`");
                None
            }
        };
        let selector = self.selector(&written.team, &written.project, &written.environment);
        Some(Budget { name: name?, selector, unit: unit?, limit: limit?, period: period? })
    }
}
