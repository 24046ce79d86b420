//! What a simulation says, for programs; how it is written for people is in [`text`].

mod changes;
mod text;

use std::collections::BTreeMap;

use genops::core::budget::CellKey;
use genops::core::ledger::{Books, Cell};
use genops::core::spec::{DecisionState, ReasonCode};
use genops::core::{Name, Timestamp};
use serde::Serialize;

use super::Came;
use super::offered::{Assumption, CONTENT, Calls, Gaps};
use super::recorded::Source;
use super::run::{self, Said, Tally};

pub use changes::{Change, Changes};

/// The report; its JSON is stable.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many calls were recorded.
    pub calls: u64,
    /// When the first came, RFC 3339.
    pub from: String,
    /// When the last thing happened that was recorded, RFC 3339.
    pub until: String,
    /// Where they were recorded.
    pub read: Vec<Read>,
    /// What each policy came to; the last one is the one that is tried.
    pub policies: Vec<Under>,
    /// Calls that are decided differently from the policy in force, or from what a ledger decided; absent where
    /// neither is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<Change>>,
    /// What was assumed under the policy that is tried, and of how many calls.
    pub assumed: Vec<Assumed>,
}

/// A source of calls.
#[derive(Debug, Serialize)]
pub struct Read {
    /// Its path.
    pub source: String,
    /// How many calls it gave.
    pub calls: u64,
    /// What else is in it, and how often.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// Which labels come from where, and how many calls have them.
    pub labels: Vec<Label>,
    /// How many things in it cannot be read; the first of them are told on standard error.
    pub problems: u64,
}

/// A label of calls.
#[derive(Debug, Serialize)]
pub struct Label {
    /// Which.
    pub label: &'static str,
    /// The column or attribute.
    pub from: String,
    /// How many calls have it from there.
    pub calls: u64,
}

/// What came of the calls under a policy.
#[derive(Debug, Serialize)]
pub struct Under {
    /// The file that it stands in.
    pub policy: String,
    /// Its version.
    pub version: String,
    /// ALLOWED.
    pub allowed: u64,
    /// WARNING.
    pub warned: u64,
    /// BLOCKED.
    pub blocked: u64,
    /// RATE_LIMITED.
    pub rate_limited: u64,
    /// Calls whose model is not set up: a gateway answers 404.
    pub not_set_up: u64,
    /// Calls that came while as many AWUs were open as `limits.open_awus` and `limits.one_key_percent` allow: a gateway
    /// answers 503.
    pub too_many_open: u64,
    /// These models, the most frequent first; the model is absent where calls name none.
    pub models_not_set_up: Vec<Model>,
    /// What the calls that ran cost, in US dollars.
    pub cost_usd: String,
    /// Calls by the rule that decided, the most frequent first.
    pub by_rule: Vec<ByRule>,
    /// Calls by team and model.
    pub by_team_and_model: Vec<Share>,
    /// The budgets that were used, window by window.
    pub budgets: Vec<Spent>,
    /// Rules that could not be asked about some calls, and why.
    pub not_asked: Vec<NotAsked>,
}

/// A model that is not set up.
#[derive(Debug, Serialize)]
pub struct Model {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many calls named it.
    pub calls: u64,
}

/// Calls that a rule decided.
#[derive(Debug, Serialize)]
pub struct ByRule {
    /// WARNING, BLOCKED or RATE_LIMITED.
    pub result: String,
    /// The reason code.
    pub reason_code: String,
    /// What was asked: `model`, `rate`, `budget` and so on.
    pub question: String,
    /// The rule; absent where nobody can write one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How many calls.
    pub calls: u64,
}

/// The calls of a team with a model.
#[derive(Debug, Serialize)]
pub struct Share {
    /// The team.
    pub team: String,
    /// The model; absent where none is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many came.
    pub calls: u64,
    /// How many were refused, or came while too many were open.
    pub refused: u64,
    /// What the others cost, in US dollars.
    pub cost_usd: String,
}

/// A budget in one window.
#[derive(Debug, Serialize)]
pub struct Spent {
    /// Its name.
    pub budget: String,
    /// Whose share of it, by the values of its `each`; absent where it has one cell for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Option<String>>,
    /// The window.
    pub window: String,
    /// What it counts.
    pub unit: String,
    /// How much may be used; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// How much was used.
    pub used: String,
    /// When it had too little left for a call for the first time, RFC 3339: it refused it, lowered its output limit, or
    /// would have refused it if it did not only observe. Absent where it always had enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_short_at: Option<String>,
    /// For how many calls it had too little left.
    pub short_for: u64,
}

/// A rule that could not be asked about some calls.
#[derive(Debug, Serialize)]
pub struct NotAsked {
    /// `content rule` or `condition`.
    pub kind: &'static str,
    /// Its name.
    pub rule: String,
    /// How many calls it covers and was not asked about.
    pub calls: u64,
    /// Why.
    pub why: &'static str,
}

/// Something that was assumed.
#[derive(Debug, Serialize)]
pub struct Assumed {
    /// Its name for programs.
    pub assumption: &'static str,
    /// Of how many calls.
    pub calls: u64,
    /// What was missing, and what is taken instead.
    pub in_words: &'static str,
}

impl Report {
    /// The report about runs, of which the last is the one that is tried.
    #[must_use]
    pub fn new(calls: &Calls, runs: &[(String, Came)], changes: &Changes) -> Self {
        let (from, until) = calls.range();
        let is_compared = runs.len() > 1 || matches!(calls, Calls::Journal(_));
        Self {
            calls: calls.count(),
            from: from.to_string(),
            until: until.to_string(),
            read: read(calls),
            policies: runs.iter().map(|(name, came)| Under::of(name, came)).collect(),
            changed: is_compared.then(|| changes.all()),
            assumed: runs.last().map(|(_, came)| assumed(came)).unwrap_or_default(),
        }
    }
}

fn read(calls: &Calls) -> Vec<Read> {
    match calls {
        Calls::Traffic(traffic, _) => traffic.sources().iter().map(Read::of).collect(),
        Calls::Journal(past) => vec![Read {
            source: past.path().display().to_string(),
            calls: past.calls(),
            passed_over: BTreeMap::new(),
            labels: Vec::new(),
            problems: 0,
        }],
    }
}

impl Read {
    fn of(source: &Source) -> Self {
        let passed_over = source.passed_over.iter().map(|(what, times)| (what.as_str(), *times));
        let label = |((label, from), calls): (&(genops::core::selector::Facet, String), &u64)| Label {
            label: label.as_str(),
            from: from.clone(),
            calls: *calls,
        };
        Self {
            source: source.name.clone(),
            calls: source.calls,
            passed_over: passed_over.collect(),
            labels: source.origins.iter().map(label).collect(),
            problems: source.problems.first.len() as u64 + source.problems.more,
        }
    }
}

fn assumed(came: &Came) -> Vec<Assumed> {
    let mut all = came.gaps.assumed.clone();
    if came.tally.shortened > 0 {
        all.insert(Assumption::Shortened, came.tally.shortened);
    }
    let one = |(what, calls): (Assumption, u64)| Assumed {
        assumption: what.as_str(),
        calls,
        in_words: what.in_words(),
    };
    all.into_iter().map(one).collect()
}

impl Under {
    fn of(policy: &str, came: &Came) -> Self {
        let Came { books, tally, gaps } = came;
        Self {
            policy: policy.to_owned(),
            version: books.policy_version().to_string(),
            allowed: tally.of(DecisionState::Allowed),
            warned: tally.of(DecisionState::Warning),
            blocked: tally.of(DecisionState::Blocked),
            rate_limited: tally.of(DecisionState::RateLimited),
            not_set_up: tally.not_set_up,
            too_many_open: tally.too_many_open,
            models_not_set_up: models_not_set_up(gaps),
            cost_usd: tally.cost.to_string(),
            by_rule: by_rule(tally),
            by_team_and_model: shares(tally),
            budgets: budgets(books, tally),
            not_asked: not_asked(gaps),
        }
    }
}

fn models_not_set_up(gaps: &Gaps) -> Vec<Model> {
    let one = |(model, calls): (&Option<Name>, &u64)| Model {
        model: model.as_ref().map(Name::to_string),
        calls: *calls,
    };
    let mut models: Vec<_> = gaps.not_set_up.iter().map(one).collect();
    models.sort_by_key(|model| std::cmp::Reverse(model.calls));
    models
}

fn by_rule(tally: &Tally) -> Vec<ByRule> {
    let one = |(said, calls): (&Said, &u64)| {
        let (question, rule) = said.by.as_ref()?;
        Some(ByRule {
            result: said.decision.state().to_string(),
            reason_code: said.decision.reason_code().map(ReasonCode::to_string)?,
            question: question.to_string(),
            rule: rule.as_ref().map(Name::to_string),
            calls: *calls,
        })
    };
    let mut all: Vec<_> = tally.decisions.iter().filter_map(one).collect();
    all.sort_unstable_by(|a, b| {
        let names = |one: &ByRule| {
            (one.reason_code.clone(), one.result.clone(), one.question.clone(), one.rule.clone())
        };
        b.calls.cmp(&a.calls).then_with(|| names(a).cmp(&names(b)))
    });
    all
}

fn shares(tally: &Tally) -> Vec<Share> {
    let one = |((team, model), share): (&(Name, Option<Name>), &run::Share)| Share {
        team: team.to_string(),
        model: model.as_ref().map(Name::to_string),
        calls: share.calls,
        refused: share.refused,
        cost_usd: share.cost.to_string(),
    };
    let mut all: Vec<_> = tally.shares.iter().map(one).collect();
    all.sort_unstable_by(|a, b| (&a.team, &a.model).cmp(&(&b.team, &b.model)));
    all
}

fn budgets(books: &Books, tally: &Tally) -> Vec<Spent> {
    let mut cells: Vec<&Cell> = books.cells().iter().collect();
    cells.sort_by(|a, b| a.key.cmp(&b.key));
    // A budget that never admitted anything has no cell, and may have been short all the same.
    let mut all: Vec<_> = cells.into_iter().map(|cell| spent(books, cell, tally)).collect();
    let unopened = tally.short.iter().filter(|(key, _)| books.find(key).is_none());
    all.extend(unopened.map(|(key, short)| Spent {
        budget: key.budget_name().to_owned(),
        each: share(key),
        window: key.window.to_string(),
        unit: key.unit.to_string(),
        limit: limit_of(books, key.budget.as_ref()),
        used: "0".to_owned(),
        first_short_at: Some(short.first.to_string()),
        short_for: short.calls,
    }));
    all.sort_by(|a, b| (&a.budget, &a.window, &a.each).cmp(&(&b.budget, &b.window, &b.each)));
    all
}

fn share(key: &CellKey) -> Vec<Option<String>> {
    key.each.iter().map(|share| share.value.as_ref().map(Name::to_string)).collect()
}

fn spent(books: &Books, cell: &Cell, tally: &Tally) -> Spent {
    let short = tally.short.get(&cell.key);
    let standing = books.standing(cell, books.at());
    Spent {
        budget: cell.key.budget_name().to_owned(),
        each: share(&cell.key),
        window: cell.key.window.to_string(),
        unit: cell.key.unit.to_string(),
        limit: standing.allocated.map(|limit| limit.to_string()),
        used: standing.used.to_string(),
        first_short_at: short.map(|short| Timestamp::to_string(&short.first)),
        short_for: short.map_or(0, |short| short.calls),
    }
}

fn limit_of(books: &Books, budget: Option<&Name>) -> Option<String> {
    let known = books.policy().budgets.iter().find(|known| Some(&known.name) == budget);
    known.map(|known| known.limit.to_string())
}

fn not_asked(gaps: &Gaps) -> Vec<NotAsked> {
    let one = |((kind, rule), calls): (&(&'static str, Name), &u64)| NotAsked {
        kind,
        rule: rule.to_string(),
        calls: *calls,
        why: match *kind {
            CONTENT => "it looks at prompts, which are not recorded",
            _ => "it looks at headers, or at whether the answer is streamed, which is not recorded",
        },
    };
    gaps.not_asked.iter().map(one).collect()
}
