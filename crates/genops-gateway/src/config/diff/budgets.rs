//! What is otherwise about budgets.

use genops_core::budget::{Budget, OnInsufficient, Overdraft};
use genops_core::period::{Period, Windows};
use genops_core::{Timestamp, Unit};
use genops_spec::ReasonCode;

use super::rules::{covers, difference, facets, mode, observing, whom};
use super::{Comparing, Entry, listed};

impl Entry for Budget {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn added(&self) -> String {
        let Self {
            name: _,
            selector,
            each,
            unit,
            limit,
            period: its_period,
            overdraft,
            on_insufficient,
            alerts,
            mode,
        } = self;
        let each = if each.is_empty() { String::new() } else { format!(", each {}", facets(each)) };
        let (period, who) = (period(its_period), whom(selector));
        let beyond = match overdraft {
            Overdraft::Unbounded => "what does not fit runs with a warning".to_owned(),
            Overdraft::UpTo(_) | Overdraft::None => {
                format!("what does not fit is {}", insufficient(on_insufficient))
            }
        };
        let lent = match overdraft {
            Overdraft::UpTo(amount) => format!("up to {amount} {unit} beyond it with a warning; "),
            Overdraft::Unbounded | Overdraft::None => String::new(),
        };
        let percents = percents(alerts);
        let told =
            if alerts.is_empty() { String::new() } else { format!("; alerts at {}", listed(&percents)) };
        format!("{limit} {unit} {period} for {who}{each}; {lent}{beyond}{told}{}", observing(*mode))
    }

    fn removed(&self) -> String {
        format!("only the other budgets limit {}", whom(&self.selector))
    }

    fn compare(&self, new: &Self, it: &mut Comparing<'_>) {
        let Self {
            name: _,
            selector,
            each,
            unit,
            limit,
            period: its_period,
            overdraft,
            on_insufficient,
            alerts,
            mode: its_mode,
        } = self;
        covers(it, selector, &new.selector);
        let anew = "it begins anew, with nothing used";
        it.field("each", each, &new.each, |each| facets(each), anew);
        it.field("unit", unit, &new.unit, Unit::to_string, anew);
        it.field("period", its_period, &new.period, period, anew);
        if *limit != new.limit {
            let means = match unit == &new.unit {
                true => format!(": {}", difference(*limit, new.limit, &new.selector)),
                false => String::new(),
            };
            it.say(format!("limit {limit} -> {} {}{means}", new.limit, new.unit));
        }
        it.field("overdraft", overdraft, &new.overdraft, lent, lending(new.overdraft));
        it.field("what does not fit is", on_insufficient, &new.on_insufficient, insufficient, "");
        let [old, now] = [alerts, &new.alerts].map(|alerts| percents(alerts));
        it.items("alerts:", old.iter().map(String::as_str), now.iter().map(String::as_str));
        mode(it, "", *its_mode, new.mode);
    }
}

fn period(period: &Period) -> String {
    match period {
        Period::None => "for good".to_owned(),
        Period::Between { from, until } => format!("from {from} until {until}"),
        Period::Calendar { span, zone } => format!("each {} ({zone})", span.as_str()),
        // There is no time at which it has another window.
        Period::Rolling { .. } => {
            let window = Windows::of(period).at(Timestamp::default());
            window.map_or_else(String::new, |window| window.to_string())
        }
    }
}

fn lent(overdraft: &Overdraft) -> String {
    match overdraft {
        Overdraft::None => "none".to_owned(),
        Overdraft::UpTo(amount) => amount.to_string(),
        Overdraft::Unbounded => "unbounded".to_owned(),
    }
}

const fn lending(overdraft: Overdraft) -> &'static str {
    match overdraft {
        Overdraft::None => "the limit is hard",
        Overdraft::UpTo(_) => "so far beyond the limit calls run with a warning",
        Overdraft::Unbounded => "beyond the limit calls run with a warning, and none is refused",
    }
}

fn percents(alerts: &[u16]) -> Vec<String> {
    alerts.iter().map(|percent| format!("{percent} %")).collect()
}

fn insufficient(on_insufficient: &OnInsufficient) -> String {
    match on_insufficient {
        OnInsufficient::Refuse => "refused".to_owned(),
        OnInsufficient::Cap { minimum_output_tokens } => {
            format!(
                "capped, to no less than {minimum_output_tokens} output tokens ({})",
                ReasonCode::output_capped()
            )
        }
    }
}
