//! What is governed: the calls, and the policies whose budgets they count against. No limit is ever reached.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use genops_core::awu::{AwuId, End, Execution, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::ledger::{self, Admit, Books, Command};
use genops_core::period::{Period, Span};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::selector::{Facet, Selector};
use genops_core::{Attribution, Name, Timestamp, Unit};

use super::Trouble;

/// The policies that are measured.
#[derive(Debug, Clone, Copy)]
pub enum House {
    /// Dollars a month and tokens a day, for everybody: each call reserves in the same two cells.
    Two,
    /// So many teams, each with a budget of its own: each call reserves in one of so many cells.
    Teams(u64),
    /// So many budgets, for everybody: each call reserves in all of their cells.
    Path(u64),
}

/// What every call has in common.
#[derive(Clone)]
pub struct Calls {
    house: House,
    proposal: Proposal,
    execution: Execution,
}

/// The bytes that a pair takes in the journal, without the frame around them.
pub struct Sizes {
    pub admission: usize,
    pub settlement: usize,
}

impl House {
    pub fn policy(self) -> Result<Command, Trouble> {
        let budgets = match self {
            Self::Two => vec![
                Budget { period: calendar(Span::Month)?, ..budget("dollars-month", Unit::Usd)? },
                Budget { period: calendar(Span::Day)?, ..budget("tokens-day", Unit::Tokens)? },
            ],
            Self::Teams(teams) => (0..teams).map(budget_of_team).collect::<Result<_, _>>()?,
            Self::Path(budgets) => (0..budgets)
                .map(|number| budget(&format!("dollars-{number}"), Unit::Usd))
                .collect::<Result<_, _>>()?,
        };
        Ok(Command::AdoptPolicy(Arc::new(Policy { budgets, ..Policy::unrestricted() })))
    }
}

fn budget(name: &str, unit: Unit) -> Result<Budget, Trouble> {
    Ok(Budget::new(Name::new(name)?, unit, "1000000000000".parse()?))
}

fn budget_of_team(number: u64) -> Result<Budget, Trouble> {
    let team = team(number);
    let selector = Selector::default().with(Facet::Team, vec![Name::new(&team)?]);
    Ok(Budget { selector, ..budget(&team, Unit::Usd)? })
}

fn team(number: u64) -> String {
    format!("team-{number:07}")
}

impl Calls {
    /// Calls in this house, as the benchmark of the gateway makes them.
    pub fn new(house: House) -> Result<Self, Trouble> {
        let attribution = Attribution::new(Some("platform"), Some("gateway"), Some("benchmark"))?;
        let [operation, kind, stand_in] = ["chat stand-in", "inference", "stand-in"].map(Name::new);
        let (provider, model) = (stand_in.clone()?, stand_in?);
        let proposal = Proposal {
            key: Some(Name::new("bench")?),
            bound: Tokens::new(250, 64),
            price: Some(Price::flat(Name::new("config stand-in")?, "0.15".parse()?, "0.60".parse()?)),
            ..Proposal::new(attribution, operation?, kind?, provider, model)
        };
        let used = Used::Reported(Tokens::new(12, 20));
        let response_model = Some(Name::new("stand-in")?);
        let execution =
            Execution { end: End::Completed, used, response_model, ..Execution::abandoned(200_000) };
        Ok(Self { house, proposal, execution })
    }

    /// A call of any team, which its number decides: neighbours are far from each other.
    pub fn admission(&self, number: u64) -> Result<Command, Trouble> {
        match self.house {
            House::Teams(teams) => self.admission_of(number, scattered(number) % teams),
            House::Two | House::Path(_) => Ok(self.admission_with(number, self.proposal.clone())),
        }
    }

    /// A call of one team.
    pub fn admission_of(&self, number: u64, of_team: u64) -> Result<Command, Trouble> {
        let attribution = Attribution::new(Some(&team(of_team)), Some("gateway"), Some("benchmark"))?;
        Ok(self.admission_with(number, Proposal { attribution, ..self.proposal.clone() }))
    }

    fn admission_with(&self, number: u64, proposal: Proposal) -> Command {
        Command::Admit(Arc::new(Admit { starts: true, ..Admit::new(awu(number), proposal) }))
    }

    pub fn settlement(&self, number: u64) -> Command {
        Command::Settle { awu: awu(number), execution: self.execution.clone() }
    }

    pub fn sizes(&self) -> Result<Sizes, Trouble> {
        let mut books = Books::default();
        ledger::apply(&mut books, wall(), self.house.policy()?)?;
        let mut sizes = Sizes { admission: 0, settlement: 0 };
        // Numbers take more bytes the larger they are.
        for number in 1..=50_000 {
            let admitted = ledger::apply(&mut books, wall(), self.admission(number)?)?;
            let settled = ledger::apply(&mut books, wall(), self.settlement(number))?;
            if number == 50_000 {
                sizes.admission = postcard::to_stdvec(&admitted)?.len();
                sizes.settlement = postcard::to_stdvec(&settled)?.len();
            }
        }
        Ok(sizes)
    }
}

/// A number that looks like none of its neighbours: Fibonacci hashing.
const fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn awu(number: u64) -> AwuId {
    let trace_id = u128::from(number) | (7 << 64);
    AwuId { trace_id: trace_id.to_be_bytes(), span_id: number.to_be_bytes() }
}

pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn calendar(span: Span) -> Result<Period, Trouble> {
    Ok(Period::Calendar { span, zone: Name::new("UTC")? })
}
