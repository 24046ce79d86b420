//! Random requests and erasures against a naive model, over a memory that holds so few that most are looked up again.

use std::collections::HashMap;

use genops_core::Attribution;
use genops_core::awu::{AwuId, Labels, Proposal};
use genops_ledger::memory::MemoryStore;
use genops_ledger::recover;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn wall() -> Timestamp {
    Timestamp::from_nanos(1_795_000_000_000_000_000)
}

#[derive(Debug, Clone)]
enum Step {
    /// A customer, perhaps a session, and whether anybody waits for the entry.
    Admit(u8, Option<u8>, bool),
    /// The facet, and which value.
    Erase(bool, u8, bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..24_u8, proptest::option::of(0..24_u8), any::<bool>()).prop_map(|(c, s, waits)| Step::Admit(c, s, waits)),
        2 => (any::<bool>(), 0..24_u8, any::<bool>()).prop_map(|(facet, v, waits)| Step::Erase(facet, v, waits)),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

fn request(number: usize, customer: u8, session: Option<u8>) -> Admit {
    let attribution = Attribution::new(Some("t"), Some("p"), Some("e")).unwrap();
    let labels = Labels {
        customer_id: Some(name(&format!("v-{customer}"))),
        session_id: session.map(|session| name(&format!("v-{session}"))),
        ..Labels::default()
    };
    let proposal = Proposal { labels, ..Proposal::work(attribution, name("o"), name("k")) };
    let trace_id = (number as u128 + 1).to_be_bytes();
    Admit::new(AwuId { trace_id, span_id: [1; 8] }, proposal)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_value_has_one_pseudonym_until_it_is_erased_and_never_that_one_again(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::default();
            let mut ledger = recover::open(store.clone(), wall()).await.unwrap().0;
            let mut persons = Persons::of(&ledger).unwrap();
            let mut model: HashMap<(Facet, Name), Name> = HashMap::new();
            let mut erased: Vec<Name> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let posted = match step {
                    Step::Admit(customer, session, waits) => {
                        let posted = persons.admit(&ledger, wall(), request(number, customer, session)).unwrap();
                        let Command::Admit(entered) = &posted.entry.command else { panic!("an admission") };
                        let said = request(number, customer, session).proposal;
                        for facet in [Facet::CustomerId, Facet::SessionId] {
                            let (said, stands) = (said.facet(facet), entered.proposal.facet(facet));
                            let Some((said, stands)) = said.zip(stands) else { continue };
                            assert!(!erased.contains(stands), "{stands} was erased");
                            let before = model.insert((facet, said.clone()), stands.clone());
                            assert!(before.is_none_or(|before| before == *stands), "it has another by now");
                        }
                        waits.then_some(posted)
                    }
                    Step::Erase(is_customer, value, waits) => {
                        let facet = if is_customer { Facet::CustomerId } else { Facet::SessionId };
                        let value = name(&format!("v-{value}"));
                        let act = Act { author: name("a"), reason: name("r") };
                        match (persons.erase(&ledger, wall(), facet, &value, act), model.remove(&(facet, value))) {
                            (Ok((pseudonym, posted)), Some(known)) => {
                                assert_eq!(pseudonym, known);
                                erased.push(known);
                                waits.then_some(posted)
                            }
                            (Err(EraseError::Unknown(_)), None) => None,
                            (other, known) => panic!("{other:?} where {known:?} is known"),
                        }
                    }
                    Step::Restart => {
                        drop((persons, ledger));
                        ledger = recover::open(store.clone(), wall()).await.unwrap().0;
                        persons = Persons::of(&ledger).unwrap();
                        None
                    }
                };
                if let Some(posted) = posted {
                    posted.durable().await.unwrap();
                }
                for ((_, value), pseudonym) in &model {
                    assert_eq!(persons.value(pseudonym).unwrap().as_ref(), Some(value));
                }
                for pseudonym in &erased {
                    assert_eq!(persons.value(pseudonym).unwrap(), None, "{pseudonym}");
                }
            }
        });
    }
}
