//! Commands for the tests: one kind of call, numbered.

use std::sync::Arc;

use genops_core::awu::{AwuId, End, Execution, Proposal, Used};
use genops_core::budget::Budget;
use genops_core::ledger::{Admit, Command};
use genops_core::policy::Policy;
use genops_core::price::{Price, Tokens};
use genops_core::{Amount, Attribution, Name, Timestamp, Unit};

const BOUND: Tokens = Tokens::new(1_000, 1_000);
const USED: Tokens = Tokens::new(12, 20);

pub fn wall() -> Timestamp {
    Timestamp::from_nanos(1_795_000_000_000_000_000)
}

pub fn awu(number: u32) -> AwuId {
    let mut trace_id = [7; 16];
    trace_id[..4].copy_from_slice(&number.to_be_bytes());
    AwuId { trace_id, span_id: [7; 8] }
}

fn price() -> Price {
    Price::flat(name("row"), "0.15".parse().unwrap(), "0.60".parse().unwrap())
}

pub fn reserved() -> Amount {
    price().cost(BOUND).unwrap()
}

pub fn actual() -> Amount {
    price().cost(USED).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn budget_of(limit: &str) -> Command {
    let budget = Budget::new(name("all"), Unit::Usd, limit.parse().unwrap());
    Command::AdoptPolicy(Arc::new(Policy { budgets: vec![budget], ..Policy::unrestricted() }))
}

pub fn admit(number: u32) -> Command {
    admission(number, false)
}

/// As the gateway does it: the admission records the start as well.
pub fn admit_and_start(number: u32) -> Command {
    admission(number, true)
}

fn admission(number: u32, starts: bool) -> Command {
    let attribution = Attribution::new(Some("search"), Some("index"), Some("test")).unwrap();
    let proposal = Proposal {
        bound: BOUND,
        price: Some(price()),
        ..Proposal::new(attribution, name("chat"), name("inference"), name("provider"), name("model"))
    };
    Command::Admit(Arc::new(Admit { starts, ..Admit::new(awu(number), proposal) }))
}

pub fn start(number: u32) -> Command {
    Command::Start { awu: awu(number) }
}

pub fn release(number: u32) -> Command {
    Command::Release { awu: awu(number) }
}

pub fn orphan(number: u32) -> Command {
    Command::Orphan { awu: awu(number) }
}

pub fn settle(number: u32) -> Command {
    let execution = Execution { end: End::Completed, used: Used::Reported(USED), ..Execution::abandoned(1) };
    Command::Settle { awu: awu(number), execution }
}
