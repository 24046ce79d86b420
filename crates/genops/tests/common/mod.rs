//! A proposal and a policy for the tests of the library.

use genops::core::awu::{End, Execution, Proposal, Used};
use genops::core::budget::Budget;
use genops::core::policy::Policy;
use genops::core::price::{Price, Tokens};
use genops::core::{Attribution, Name, Unit};
use genops::{Admission, Awu, Executing, Governor, Reserved};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// One budget for everybody.
pub fn policy(limit: &str) -> Policy {
    let budget = Budget::new(name("all"), Unit::Usd, limit.parse().unwrap());
    Policy { budgets: vec![budget], ..Policy::unrestricted() }
}

/// Reserves 0.00075 US dollars.
pub fn proposal() -> Proposal {
    let attribution = Attribution::new(Some("search"), Some("ranking"), Some("test")).unwrap();
    Proposal {
        bound: Tokens::new(1_000, 1_000),
        price: Some(Price::flat(name("r"), "0.15".parse().unwrap(), "0.6".parse().unwrap())),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("model"))
    }
}

/// Comes to 0.0000138 US dollars.
pub fn execution() -> Execution {
    let used = Used::Reported(Tokens::new(12, 20));
    Execution { end: End::Completed, used, ..Execution::abandoned(1_000) }
}

pub async fn admitted(governor: &Governor) -> Awu<Reserved> {
    match governor.admit(proposal()).await.unwrap() {
        Admission::Admitted(awu) => awu,
        Admission::Refused(refusal) => panic!("refused: {}", refusal.reason()),
    }
}

pub async fn executing(governor: &Governor) -> Awu<Executing> {
    admitted(governor).await.start().await.unwrap()
}
