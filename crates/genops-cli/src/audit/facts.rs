//! What an audit compares of a span or an event, in one form for both sides: as the journal would tell it, and as it was
//! delivered.
//!
//! Only what this runtime says of an AWU is compared: collectors add attributes of their own and rename spans, and that
//! rewrites nothing. Nothing is looked up or judged here.

use std::fmt::Write;

use genops::core::Digest;
use genops::core::event::{Event, Fact, Value as Ours, runtime};
use genops::core::record::AwuRecord;
use genops::spec::attribute as key;
use genops_conformance::otlp::record::{self, Span};
use genops_conformance::otlp::value::{Attributes, Value};
use genops_conformance::otlp::wire::{Field, Fields};
use serde::Serialize;

/// The attributes that are compared: attribution, decision, amounts, tokens, evidence, and what alerts, corrections and reports
/// say. In the order of bytes.
const COMPARED: [&str; 50] = [
    key::ACCOUNTING_ACTUAL.key,
    key::RECONCILIATION_DELTA.key,
    key::ACCOUNTING_RESERVED.key,
    key::ACCOUNTING_UNIT.key,
    key::BUDGET_ALLOCATED.key,
    key::BUDGET_CONSUMED.key,
    key::BUDGET_NAME.key,
    key::BUDGET_PERIOD.key,
    key::BUDGET_REMAINING.key,
    key::COST_CURRENCY.key,
    key::COST_MODEL.key,
    key::COST_PROVIDER.key,
    key::COST_TOTAL.key,
    key::COST_CENTER.key,
    key::CUSTOMER_ID.key,
    key::ENVIRONMENT.key,
    key::EVAL_METRIC.key,
    key::EVAL_PASSED.key,
    key::EVAL_SCORE.key,
    key::EVAL_THRESHOLD.key,
    key::FEATURE.key,
    key::OPERATION_NAME.key,
    key::OPERATION_TYPE.key,
    key::POLICY_REASON_CODE.key,
    key::POLICY_RESULT.key,
    key::PROJECT.key,
    key::SESSION_ID.key,
    key::TEAM.key,
    key::TOKENS_INPUT.key,
    key::TOKENS_OUTPUT.key,
    key::TOKENS_TOTAL.key,
    runtime::ACTUAL_BEFORE,
    runtime::ACTUAL_EXACT,
    runtime::INCOMPLETE,
    runtime::RESERVED_EXACT,
    runtime::AUTHOR,
    runtime::REASON,
    runtime::ALERT_PERCENT,
    runtime::ALLOCATED_EXACT,
    runtime::CELL,
    runtime::CONSUMED_EXACT,
    runtime::REMAINING_EXACT,
    runtime::CELLS,
    runtime::INPUT_DIGEST,
    runtime::STATE_DIGEST,
    runtime::END,
    runtime::KEY,
    runtime::CHAIN,
    runtime::SEQUENCE,
    runtime::POLICY_VERSION,
];

/// Those of them in which a person can stand.
const OF_PERSONS: [&str; 4] = [key::CUSTOMER_ID.key, key::SESSION_ID.key, runtime::CELL, runtime::CELLS];

/// The digest of what is compared; equal for equal facts.
pub type Print = [u8; 16];

/// What is compared of a span or an event, each by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts(Vec<(&'static str, String)>);

/// A fact that is not the same on both sides. Texts stand in quotation marks, with what a terminal would obey escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The attribute, or the time.
    pub what: &'static str,
    /// As the journal has it; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// As it was delivered; absent where it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<String>,
}

impl Facts {
    /// What the journal says of the span of an AWU that is over.
    pub fn of_record(record: &AwuRecord) -> Self {
        let end = record.ended_at().unwrap_or_default();
        let mut facts = Self(vec![("start", time(record.at.nanos())), ("end", time(end.nanos()))]);
        facts.add_ours(&record.span_facts());
        facts
    }

    /// What the journal says of an event.
    pub fn of_event(event: &Event<'_>) -> Self {
        let mut facts = Self(vec![("event", format!("{:?}", event.name)), ("time", time(event.at.nanos()))]);
        facts.add_ours(&event.facts);
        facts
    }

    /// What was delivered as a span.
    pub fn of_span(span: &Span<'_>) -> Self {
        let mut facts = Self(vec![("start", time(span.start)), ("end", time(span.end))]);
        facts.add_delivered(&span.attributes);
        facts
    }

    /// What was delivered as an event.
    pub fn of_delivered(event: &record::Event<'_>) -> Self {
        let mut facts = Self(vec![("event", format!("{:?}", event.name)), ("time", time(event.time))]);
        facts.add_delivered(&event.attributes);
        facts
    }

    /// Without what says whose it is, where that is a person whose name is not known: what was delivered before an erasure has the name, and what
    /// was delivered after it the pseudonym.
    pub fn of_whom(mut self, is_unnamed: bool) -> Self {
        if is_unnamed {
            self.0.retain(|(name, _)| !OF_PERSONS.contains(name));
        }
        self
    }

    /// The digest.
    pub fn print(&self) -> Print {
        let mut print = Print::default();
        for (to, from) in print.iter_mut().zip(Digest::of_value("genops audit 1", self).bytes()) {
            *to = *from;
        }
        print
    }

    /// Where what was delivered is not what the journal says.
    pub fn differences(&self, delivered: &Self) -> Vec<Difference> {
        let value = |facts: &Self, name: &str| {
            facts.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let ours = self.0.iter().map(|(name, _)| *name);
        let theirs = delivered.0.iter().map(|(name, _)| *name).filter(|name| value(self, name).is_none());
        let both = ours.chain(theirs).map(|what| (what, value(self, what), value(delivered, what)));
        both.filter(|(_, journal, telemetry)| journal != telemetry)
            .map(|(what, journal, telemetry)| Difference {
                what,
                journal: journal.as_deref().map(cut),
                telemetry: telemetry.as_deref().map(cut),
            })
            .collect()
    }

    fn add_ours(&mut self, facts: &[Fact<'_>]) {
        self.add(facts.iter().map(|(name, value)| (*name, ours(value))));
    }

    fn add_delivered(&mut self, attributes: &Attributes<'_>) {
        self.add(attributes.all().iter().map(|(name, value)| (*name, delivered(value))));
    }

    /// Adds what is compared of some attributes. One that stands twice has both values.
    fn add<'n>(&mut self, all: impl Iterator<Item = (&'n str, impl FnOnce() -> String)>) {
        let begin = self.0.len();
        for (name, text) in all {
            let Ok(place) = COMPARED.binary_search(&name) else { continue };
            let Some(name) = COMPARED.get(place).copied() else { continue };
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.push_str(&format!(" and {}", text())),
                None => self.0.push((name, text())),
            }
        }
        if let Some(added) = self.0.get_mut(begin..) {
            added.sort_unstable_by_key(|(name, _)| *name);
        }
    }
}

fn time(nanos: u64) -> String {
    format!("{nanos} ns")
}

/// A value as text that is equal only for equal values of one kind.
fn ours<'v>(value: &'v Ours<'v>) -> impl FnOnce() -> String + 'v {
    move || match value {
        Ours::Text(text) => format!("{text:?}"),
        Ours::Double(double) => decimal(*double),
        Ours::Int(int) => int.to_string(),
        Ours::Bool(bool) => bool.to_string(),
        Ours::Texts(texts) => list(texts.iter().map(|text| Some(text.as_str()))),
    }
}

fn delivered<'v>(value: &'v Value<'v>) -> impl FnOnce() -> String + 'v {
    move || match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Double(double) => decimal(*double),
        Value::Int(int) => int.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Array(array) => list(Fields::of(array).filter_map(|field| match field {
            Ok((1, Field::Bytes(value))) => Some(Value::read(value).text()),
            _ => None,
        })),
        other => other.kind().to_owned(),
    }
}

/// So much of a value is kept to be shown, in characters: telemetry may say anything.
const SHOWN_MAX: usize = 200;

/// A text as far as it is shown.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A double as people write it, and never as an integer.
fn decimal(double: f64) -> String {
    let text = double.to_string();
    if text.contains('.') || !double.is_finite() { text } else { format!("{text}.0") }
}

/// A list of texts; what is none in it is seen to be none.
fn list<'t>(texts: impl Iterator<Item = Option<&'t str>>) -> String {
    let mut list = String::from("[");
    for text in texts {
        let separator = if list.len() > 1 { ", " } else { "" };
        // Writing to a text cannot fail.
        let _ = match text {
            Some(text) => write!(list, "{separator}{text:?}"),
            None => write!(list, "{separator}no text"),
        };
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_can_be_found() {
        assert!(COMPARED.is_sorted(), "{COMPARED:?}");
    }

    #[test]
    fn values_of_different_kinds_are_never_equal() {
        let all = [
            Ours::Text("1".into()),
            Ours::Int(1),
            Ours::Double(1.0),
            Ours::Bool(true),
            Ours::Text("true".into()),
            Ours::Texts(vec!["1".to_owned()]),
            Ours::Texts(vec!["1\", \"2".to_owned()]),
            Ours::Texts(vec!["1".to_owned(), "2".to_owned()]),
        ];
        let texts: std::collections::BTreeSet<String> = all.iter().map(|value| ours(value)()).collect();
        assert_eq!(texts.len(), all.len(), "{texts:?}");
    }
}
