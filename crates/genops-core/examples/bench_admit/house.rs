//! The house that is measured: its hundred rules, its budgets, and its calls. About half of the rules cover every call.
//!
//! Every rule lets the call through, since a refusal breaks off and is cheaper; limits are never reached.

use std::str::FromStr;

use genops_core::awu::{Labels, Proposal};
use genops_core::budget::{Budget, OnInsufficient};
use genops_core::circuit::CircuitRule;
use genops_core::finding::Mode;
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::rate::{Flow, Measure, Per, RateLimit, RateRule};
use genops_core::rule::{
    Assessment, ConditionRule, ContentKind, ContentRule, Effect, Found, ListRule, OnError,
};
use genops_core::selector::{Facet, Selector};
use genops_core::sla::{ExpectedMiss, SlaRule};
use genops_core::spec::ReasonCode;
use genops_core::{Amount, Attribution, Name, Unit};

use super::Trouble;

/// Budgets that cover every call.
pub const MATCHING: usize = 8;

/// 100 rules in all.
const MODELS: usize = 20;
const REGIONS: usize = 10;
const CONDITIONS: usize = 20;
const CONTENTS: usize = 15;
const CIRCUITS: usize = 5;
const RATES: usize = 20;
const TIERS: usize = 10;

/// How many projects a team of the grid has.
const GRID: usize = 300;

/// How many environments a project of the cube has, and how many projects a team has.
const CUBE: [usize; 2] = [44, 45];

// === Who calls ===

/// Who makes a call.
pub struct Who {
    team: String,
    project: String,
    environment: String,
    customer: String,
    key: String,
    model: &'static str,
}

impl Who {
    /// A call for this customer. All of them come from one team, for one project.
    pub fn customer(number: usize) -> Self {
        let model = ["gpt-4o", "gpt-4o-mini", "gpt-4.1"].into_iter().cycle().nth(number % 3);
        Self {
            team: "search".to_owned(),
            project: "ranking".to_owned(),
            environment: "production".to_owned(),
            customer: format!("caller-{number}"),
            key: "search-backend".to_owned(),
            model: model.unwrap_or_default(),
        }
    }

    fn facet(&mut self, facet: Facet) -> Option<&mut String> {
        match facet {
            Facet::Team => Some(&mut self.team),
            Facet::Project => Some(&mut self.project),
            Facet::Environment => Some(&mut self.environment),
            Facet::CustomerId => Some(&mut self.customer),
            Facet::Key => Some(&mut self.key),
            _ => None,
        }
    }

    /// What the call asks for: some conditions hold for it, and its prompt holds two e-mail addresses.
    pub fn asks(&self) -> Result<Proposal, Trouble> {
        let attribution = Attribution::new(Some(&self.team), Some(&self.project), Some(&self.environment))?;
        let email = Found::Content { kind: ContentKind::Email, count: 2 };
        let assessed = [
            ("condition-0", Found::Holds),
            ("condition-4", Found::Holds),
            ("condition-8", Found::Failed),
            ("content-0", email),
        ];
        let assessed = assessed.into_iter().map(|(rule, found)| Ok(Assessment { rule: name(rule)?, found }));
        Ok(Proposal {
            labels: Labels {
                customer_id: Some(name(&self.customer)?),
                feature: Some(name("answers")?),
                cost_center: Some(name("cc-4711")?),
                session_id: None,
            },
            key: Some(name(&self.key)?),
            region: Some(name("eu-west-1")?),
            bound: Tokens::new(1_200, 800),
            price: Some(Price::flat(name("price row")?, "2.5".parse()?, "10".parse()?)),
            assessed: assessed.collect::<Result<_, Trouble>>()?,
            ..Proposal::new(
                attribution,
                name("chat")?,
                name("inference")?,
                name("provider-0")?,
                name(self.model)?,
            )
        })
    }
}

// === Budgets ===

/// Which calls the budgets are about that do not match.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Customers, teams, projects and keys, some of them within the environment of the call.
    Mixed,
    /// All share the environment of the call, and each has another customer.
    Shared,
    /// A team and a project each: every team has hundreds, every project somewhat more. The call's team is one of them,
    /// and its project none, so that the rarest clause of a budget is the one that takes the call.
    Grid,
    /// A team, a project and an environment each, of few. The call's team and project are among them, and its environment
    /// is not: whatever clause a budget is found by, thousands have it.
    Cube,
}

impl FromStr for Shape {
    type Err = Trouble;

    fn from_str(word: &str) -> Result<Self, Trouble> {
        match word {
            "mixed" => Ok(Self::Mixed),
            "shared" => Ok(Self::Shared),
            "grid" => Ok(Self::Grid),
            "cube" => Ok(Self::Cube),
            _ => Err(format!("there is no shape `{word}`").into()),
        }
    }
}

impl Shape {
    /// The clauses of a budget that does not match.
    fn clauses(self, at: usize) -> Vec<(Facet, String)> {
        let production = || (Facet::Environment, "production".to_owned());
        let own = |facet: Facet| (facet, format!("{facet}-{at}"));
        // The first value of a row is the call's.
        let known = |facet: Facet, call: &str, value: usize| {
            (facet, if value == 0 { call.to_owned() } else { format!("{facet}-{value}") })
        };
        match (self, at % 5) {
            (Self::Mixed, 0) => vec![own(Facet::CustomerId)],
            (Self::Mixed, 1) => vec![own(Facet::Team)],
            (Self::Mixed, 2) => vec![production(), own(Facet::Project)],
            (Self::Mixed, 3) => vec![own(Facet::Key)],
            (Self::Mixed, _) => vec![own(Facet::Team), production()],
            (Self::Shared, _) => vec![production(), own(Facet::CustomerId)],
            (Self::Grid, _) => {
                vec![
                    known(Facet::Team, "search", at / GRID),
                    (Facet::Project, format!("project-{}", at % GRID)),
                ]
            }
            (Self::Cube, _) => {
                let [environments, projects] = CUBE;
                let (row, environment) = (at / environments, at % environments);
                vec![
                    known(Facet::Team, "search", row / projects),
                    known(Facet::Project, "ranking", row % projects),
                    (Facet::Environment, format!("environment-{environment}")),
                ]
            }
        }
    }

    /// Somebody whose calls match it.
    pub fn visitor(self, at: usize) -> Who {
        let mut who = Who::customer(at);
        who.customer = "visitor".to_owned();
        for (facet, value) in self.clauses(at) {
            if let Some(own) = who.facet(facet) {
                *own = value;
            }
        }
        who
    }
}

fn budgets(shape: Shape, others: usize) -> Result<Vec<Budget>, Trouble> {
    let matching: [&[(Facet, &str)]; MATCHING] = [
        &[],
        &[(Facet::Team, "search")],
        &[(Facet::Project, "ranking")],
        &[(Facet::Environment, "production")],
        &[(Facet::Key, "search-backend")],
        &[(Facet::Provider, "provider-0")],
        &[(Facet::Team, "search"), (Facet::Project, "ranking"), (Facet::Environment, "production")],
        &[(Facet::CostCenter, "cc-4711")],
    ];
    let mut budgets = Vec::with_capacity(others + MATCHING);
    // Those that match stand among the others, wherever they are.
    for at in 0..others {
        let clauses = shape.clauses(at);
        budgets.push(budget(
            &format!("other-{at}"),
            at,
            clauses.iter().map(|(facet, value)| (*facet, &**value)),
        )?);
    }
    for (at, clauses) in matching.iter().enumerate() {
        let place = others * at / MATCHING + at;
        budgets.insert(place, budget(&format!("matching-{at}"), at, clauses.iter().copied())?);
    }
    Ok(budgets)
}

fn budget<'a>(
    title: &str,
    at: usize,
    clauses: impl Iterator<Item = (Facet, &'a str)>,
) -> Result<Budget, Trouble> {
    let mut selector = Selector::default();
    for (facet, value) in clauses {
        selector = selector.with(facet, vec![name(value)?]);
    }
    let unit = if at % 4 == 3 { Unit::Tokens } else { Unit::Usd };
    let period = match at % 3 {
        0 => Period::Calendar { span: Span::Month, zone: name("UTC")? },
        1 => Period::Calendar { span: Span::Day, zone: name("UTC")? },
        _ => Period::None,
    };
    let on_insufficient = if at.is_multiple_of(2) {
        OnInsufficient::Refuse
    } else {
        OnInsufficient::Cap { minimum_output_tokens: 64 }
    };
    Ok(Budget {
        selector,
        period,
        on_insufficient,
        ..Budget::new(name(title)?, unit, Amount::from_whole(1 << 50))
    })
}

// === Rules ===

/// The policy of the house with so many budgets that do not match.
pub fn policy(shape: Shape, others: usize) -> Result<Policy, Trouble> {
    let models = (0..MODELS).map(|at| list("models", at, &["claude-*", "mistral-large", "gpt-4*"]));
    let regions = (0..REGIONS).map(|at| list("regions", at, &["us-east-1", "eu-central-1", "eu-west-1"]));
    Ok(Policy {
        models: models.collect::<Result<_, _>>()?,
        regions: regions.collect::<Result<_, _>>()?,
        conditions: (0..CONDITIONS).map(condition).collect::<Result<_, _>>()?,
        contents: (0..CONTENTS).map(content).collect::<Result<_, _>>()?,
        circuits: (0..CIRCUITS).map(circuit).collect::<Result<_, _>>()?,
        rates: (0..RATES).map(rate).collect::<Result<_, _>>()?,
        slas: (0..TIERS).map(tier).collect::<Result<_, _>>()?,
        budgets: budgets(shape, others)?,
        ..Policy::unrestricted()
    })
}

/// Rules with an even number cover every call, the others none.
fn whom(at: usize) -> Result<Selector, Trouble> {
    let chosen = Selector::default();
    let other = format!("nobody-{at}");
    Ok(match at % 10 {
        0 => chosen,
        2 => chosen.with(Facet::Team, names(&["ads", "search"])?),
        4 => chosen.with(Facet::Project, names(&["ranking"])?),
        6 => chosen.with(Facet::Environment, names(&["production"])?),
        8 => chosen.with(Facet::Environment, names(&["production"])?).with(Facet::Team, names(&["search"])?),
        1 => chosen.with(Facet::Team, names(&["ads", &other])?),
        3 => chosen.with(Facet::Environment, names(&["staging"])?),
        5 => chosen.with(Facet::Environment, names(&["production"])?).with(Facet::Team, names(&["ads"])?),
        7 => chosen.with(Facet::Team, names(&["search"])?).with(Facet::Project, names(&["crawler"])?),
        _ => chosen.with(Facet::CustomerId, names(&[&other])?),
    })
}

fn list(kind: &str, at: usize, allow: &[&str]) -> Result<ListRule, Trouble> {
    let selector = whom(at)?;
    Ok(ListRule { name: name(&format!("{kind}-{at}"))?, selector, allow: names(allow)?, mode: Mode::Enforce })
}

fn condition(at: usize) -> Result<ConditionRule, Trouble> {
    Ok(ConditionRule {
        name: name(&format!("condition-{at}"))?,
        selector: whom(at)?,
        expression: "bound.output > 500 && time.hour < 6".to_owned(),
        effect: if at.is_multiple_of(4) {
            Effect::Warn("x_at_night".parse()?)
        } else {
            Effect::Deny("x_at_night".parse()?)
        },
        on_error: OnError::Warn,
        mode: Mode::Enforce,
    })
}

fn content(at: usize) -> Result<ContentRule, Trouble> {
    Ok(ContentRule {
        name: name(&format!("content-{at}"))?,
        selector: whom(at)?,
        keywords: vec!["confidential".to_owned()],
        patterns: vec!["[0-9]{3}-[0-9]{4}".to_owned()],
        detect: vec![ContentKind::Email, ContentKind::PaymentCard],
        effect: Effect::Deny(ReasonCode::PolicyDenyContent),
        mode: Mode::Observe,
    })
}

fn circuit(at: usize) -> Result<CircuitRule, Trouble> {
    // The call's provider is the last that is looked at.
    let provider = name(&format!("provider-{}", CIRCUITS - 1 - at))?;
    Ok(CircuitRule { provider, failures: 5, open_for_ns: 30_000_000_000, mode: Mode::Enforce })
}

/// Requests, tokens, money and calls in flight; most of them for each customer by itself.
fn rate(at: usize) -> Result<RateRule, Trouble> {
    let flow = |measure, per| {
        let amount = Amount::from_whole(1 << 30);
        RateLimit::Flow(Flow { measure, amount, per, burst: amount })
    };
    let (each, limit) = match at / 2 % 5 {
        0 => (vec![], flow(Measure::Requests, Per::Second)),
        1 => (vec![Facet::CustomerId], flow(Measure::Requests, Per::Minute)),
        2 => (vec![Facet::CustomerId, Facet::Model], flow(Measure::Tokens, Per::Minute)),
        3 => (vec![Facet::Team, Facet::Project], flow(Measure::Usd, Per::Day)),
        _ => (vec![Facet::CustomerId], RateLimit::InFlight { calls: 1 << 30 }),
    };
    Ok(RateRule { name: name(&format!("rate-{at}"))?, selector: whom(at)?, each, limit, mode: Mode::Enforce })
}

fn tier(at: usize) -> Result<SlaRule, Trouble> {
    Ok(SlaRule {
        name: name(&format!("tier-{at}"))?,
        selector: whom(at)?,
        target_ms: 30_000,
        first_token_target_ms: Some(2_000),
        expected_miss: ExpectedMiss::Warn,
        mode: Mode::Enforce,
    })
}

fn names(texts: &[&str]) -> Result<Vec<Name>, Trouble> {
    texts.iter().map(|text| name(text)).collect()
}

fn name(text: &str) -> Result<Name, Trouble> {
    Ok(Name::new(text)?)
}
