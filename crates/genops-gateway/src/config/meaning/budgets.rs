//! What the budgets of `genops.yaml` mean: what they count, when they begin anew, and how strict they are.
//!
//! Whom they cover is read where all selectors are, in [`policy`](super::policy).

use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::period::{Period, PeriodProblem, Span};
use genops_core::policy::{Policy, PolicyProblem};
use genops_core::{Amount, Name, Timestamp, Unit};
use serde_saphyr::Spanned;

use super::Reading;
use crate::config::written::{self, Text};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The parts that a rolling window is cut into: what was used leaves it within a sixtieth of its length.
const ROLLING_PARTS: u16 = 60;

/// The units of a length, in seconds.
const LENGTHS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Overdrafts and mistakes of bounds can take a budget beyond its limit; nobody plans for ten times as much.
const ALERT_PERCENT_MAX: u16 = 1_000;

impl Reading<'_> {
    pub(super) fn budgets(&mut self, written: &[written::Budget]) -> Vec<Budget> {
        self.once("a budget", written.iter().map(|budget| &budget.name));
        written.iter().filter_map(|budget| self.budget(budget)).collect()
    }

    fn budget(&mut self, written: &written::Budget) -> Option<Budget> {
        let name = self.name("`name`", &written.name);
        let selector = self.selector(&written.covers);
        let each = self.facets(&written.each);
        let unit = self.unit(&written.unit);
        let limit = self.amount("`limit`", &written.limit);
        let period = self.period(written);
        let overdraft = written.overdraft.as_ref().map_or(Some(Overdraft::None), |text| self.overdraft(text));
        let on_insufficient = self.on_insufficient(written, unit, overdraft);
        let alerts = self.alerts(&written.alerts);
        let mode = self.mode(written.mode.as_ref());
        let budget = Budget {
            selector,
            each: each?,
            period: period?,
            overdraft: overdraft?,
            on_insufficient,
            alerts: alerts?,
            mode,
            ..Budget::new(name?, unit?, limit?)
        };
        let policy = Policy { budgets: vec![budget.clone()], ..Policy::unrestricted() };
        if let Some(problem) = policy.problem() {
            self.unusable(written, problem);
        }
        Some(budget)
    }

    /// What the core has against a budget, where it stands.
    fn unusable(&mut self, written: &written::Budget, problem: PolicyProblem) {
        let (field, at) = match problem {
            PolicyProblem::NegativeOverdraft => ("", written.overdraft.as_ref()),
            PolicyProblem::BadAlert => {
                if let Some(alert) = written.alerts.last() {
                    return self.problem(alert, problem.to_string());
                }
                ("", None)
            }
            PolicyProblem::Period(PeriodProblem::UnknownZone) => ("`time_zone` ", written.time_zone.as_ref()),
            PolicyProblem::Period(PeriodProblem::EmptyRange) => ("the range ", written.until.as_ref()),
            PolicyProblem::Period(
                PeriodProblem::Parts | PeriodProblem::TooShort | PeriodProblem::TooLong,
            ) => ("`rolling` ", written.rolling.as_ref()),
            _ => ("", None),
        };
        self.problem(at.unwrap_or(&written.name), format!("{field}{problem}"));
    }

    fn unit(&mut self, written: &Text) -> Option<Unit> {
        written.value.parse().map_err(|problem| self.problem(written, format!("`unit`: {problem}"))).ok()
    }

    // === when it begins anew ===

    fn period(&mut self, written: &written::Budget) -> Option<Period> {
        let written::Budget { period, time_zone, from, until, rolling, .. } = written;
        let ways = [period, rolling, if from.is_some() { from } else { until }];
        if let Some(second) = ways.into_iter().flatten().nth(1) {
            let message =
                "a budget has one of `period`, `rolling`, and `from` with `until`: leave out the others";
            self.problem(second, message);
            return None;
        }
        let span = period.as_ref().map_or(Some(None), |text| self.span(text))?;
        if let (None, Some(zone)) = (span, time_zone) {
            let message =
                "`time_zone` belongs to a period of the calendar, such as `period: day`; leave it out";
            self.problem(zone, message);
            return None;
        }
        match (span, rolling, from, until) {
            (Some(span), ..) => {
                let zone = match time_zone {
                    Some(zone) => self.name("`time_zone`", zone)?,
                    None => Name::new("UTC").ok()?,
                };
                Some(Period::Calendar { span, zone })
            }
            (None, Some(rolling), ..) => self.rolling(rolling),
            (None, None, None, None) => Some(Period::None),
            (None, None, Some(from), Some(until)) => {
                let (from, until) = (self.time("`from`", from), self.time("`until`", until));
                Some(Period::Between { from: from?, until: until? })
            }
            (None, None, Some(from), None) => {
                self.problem(from, "`from` needs `until`: when the budget is over");
                None
            }
            (None, None, None, Some(until)) => {
                self.problem(until, "`until` needs `from`: when the budget begins");
                None
            }
        }
    }

    /// A span of the calendar; `Some(None)` for good.
    fn span(&mut self, written: &Text) -> Option<Option<Span>> {
        const FOR_GOOD: &str = "none";
        if written.value == FOR_GOOD {
            return Some(None);
        }
        let found = Span::ALL.into_iter().find(|span| span.as_str() == written.value);
        if found.is_none() {
            let words: Vec<_> = Span::ALL.iter().map(|span| format!("`{}`", span.as_str())).collect();
            self.problem(written, format!("`period` has to be one of: `{FOR_GOOD}`, {}", words.join(", ")));
        }
        found.map(Some)
    }

    fn rolling(&mut self, written: &Text) -> Option<Period> {
        let found = length_ns(&written.value);
        if found.is_none() {
            let message = "`rolling` has to be a length such as `30d`: a whole number above nothing, and `d`, `h`, \
                           `m` or `s`";
            self.problem(written, message);
        }
        Some(Period::Rolling { length_ns: found?, parts: ROLLING_PARTS })
    }

    fn time(&mut self, field: &str, written: &Text) -> Option<Timestamp> {
        // Names of zones behind an offset are no part of RFC 3339.
        let is_plain = !written.value.contains('[');
        let Some(at) = written.value.parse::<jiff::Timestamp>().ok().filter(|_| is_plain) else {
            let message = format!(
                "{field} has to be a time with an offset, such as `2026-12-01T00:00:00+01:00` (RFC 3339)"
            );
            self.problem(written, message);
            return None;
        };
        let nanos = u64::try_from(at.as_nanosecond()).ok();
        if nanos.is_none() {
            self.problem(written, format!("{field} has to be within the years 1970 to 2553"));
        }
        nanos.map(Timestamp::from_nanos)
    }

    // === how strict it is ===

    fn overdraft(&mut self, written: &Text) -> Option<Overdraft> {
        match written.value.as_str() {
            "none" => Some(Overdraft::None),
            "unbounded" => Some(Overdraft::Unbounded),
            amount => match amount.parse::<Amount>() {
                Ok(amount) => Some(Overdraft::UpTo(amount)),
                Err(problem) => {
                    let message =
                        format!("`overdraft` is `none`, `unbounded`, or an amount, which {problem}");
                    self.problem(written, message);
                    None
                }
            },
        }
    }

    fn on_insufficient(
        &mut self,
        written: &written::Budget,
        unit: Option<Unit>,
        overdraft: Option<Overdraft>,
    ) -> OnInsufficient {
        let minimum = written.minimum_output_tokens.as_ref();
        if let Some(minimum) = minimum
            && !(1..=super::OUTPUT_TOKENS_MAX).contains(&minimum.value)
        {
            self.problem(minimum, format!("has to be from 1 to {}", super::OUTPUT_TOKENS_MAX));
        }
        let caps = [("refuse", false), ("cap", true)];
        let does_cap = self.one_of("`on_insufficient`", written.on_insufficient.as_ref(), &caps);
        if let Some(text) = &written.on_insufficient {
            if overdraft == Some(Overdraft::Unbounded) {
                self.problem(
                    text,
                    "with `overdraft: unbounded` every call fits; leave out `on_insufficient`",
                );
            } else if let (true, Some(unit @ (Unit::Requests | Unit::Declared(_)))) = (does_cap, unit) {
                let message =
                    format!("a lower output limit saves no {unit}; `cap` is for `USD` and `tokens`");
                self.problem(text, message);
            }
        }
        if does_cap {
            return OnInsufficient::Cap { minimum_output_tokens: minimum.map_or(1, |minimum| minimum.value) };
        }
        if let Some(minimum) = minimum {
            self.problem(minimum, "`minimum_output_tokens` belongs to `on_insufficient: cap`");
        }
        OnInsufficient::Refuse
    }

    /// The thresholds, from the lowest.
    fn alerts(&mut self, written: &[Spanned<u64>]) -> Option<Vec<u16>> {
        let mut alerts = Vec::new();
        for alert in written {
            match u16::try_from(alert.value) {
                Ok(percent) if alerts.contains(&percent) => self.problem(alert, "stands above"),
                Ok(percent @ 1..=ALERT_PERCENT_MAX) => alerts.push(percent),
                _ => self.problem(alert, format!("has to be from 1 to {ALERT_PERCENT_MAX}, in percent")),
            }
        }
        alerts.sort_unstable();
        // What is too much of it is told once.
        (alerts.len() == written.len()).then_some(alerts)
    }
}

/// A length such as `30d`, in nanoseconds; what cannot be counted is longer than any that may be used.
fn length_ns(text: &str) -> Option<u64> {
    let (last, _) = text.char_indices().next_back()?;
    let (digits, unit) = text.split_at_checked(last)?;
    let (_, seconds) = LENGTHS.iter().find(|(letter, _)| unit.starts_with(*letter))?;
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(u64::MAX);
    Some(number.saturating_mul(*seconds).saturating_mul(NANOS_PER_SECOND))
}
