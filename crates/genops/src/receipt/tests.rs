//! What receipts promise: they say what the journal says, nothing of others, and any change to one is noticed.

use genops_core::awu::{Labels, Proposal};
use genops_core::budget::Budget;
use genops_core::ledger::Admit;
use genops_core::policy::Policy;
use genops_core::price::{Price, Rates, Tier, Tokens};
use genops_core::selector::{Facet, Selector};
use genops_core::{Attribution, Name, Unit};
use serde_json::{Value, json};

use super::verify::{Refused, verify};
use super::*;
use crate::{Admission, Settings};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// A dollar for everybody, and next to nothing for the team `poor`.
async fn governor() -> Governor {
    let poor = Selector::default().with(Facet::Team, vec![name("poor")]);
    let policy = Policy {
        budgets: vec![
            Budget::new(name("all"), Unit::Usd, "1".parse().unwrap()),
            Budget { selector: poor, ..Budget::new(name("little"), Unit::Usd, "0.0001".parse().unwrap()) },
        ],
        ..Policy::unrestricted()
    };
    Governor::open(Settings::in_memory(policy)).await.unwrap().0
}

/// A proposal that says everything that can be said.
fn proposal(team: &str) -> Proposal {
    let attribution = Attribution::new(Some(team), Some("ranking"), Some("test")).unwrap();
    let rates = Rates {
        input: "0.15".parse().unwrap(),
        output: "0.6".parse().unwrap(),
        cached_input: Some("0.075".parse().unwrap()),
        cache_write: Some("0.2".parse().unwrap()),
    };
    let tier = Tier { above: 200_000, rates: Rates { output: "0.9".parse().unwrap(), ..rates } };
    Proposal {
        labels: Labels {
            customer_id: Some(name(&format!("customer-of-{team}"))),
            feature: Some(name("ranker")),
            cost_center: Some(name("cc-7")),
            session_id: Some(name(&format!("session-of-{team}"))),
        },
        key: Some(name(&format!("key-of-{team}"))),
        region: Some(name("eu-1")),
        bound: Tokens::new(1_000, 1_000),
        choices: 2,
        price: Some(Price { row: name("list"), rates, tiers: vec![tier] }),
        ..Proposal::new(attribution, name("rank"), name("inference"), name("provider"), name("model"))
    }
}

async fn decided(governor: &Governor, team: &str) -> AwuId {
    let first = Some(AwuId { trace_id: [7; 16], span_id: [7; 8] });
    let request = Admit { attempt_of: first, ..Admit::new(governor.new_id(), proposal(team)) };
    match governor.admit_as(request).await.unwrap() {
        Admission::Admitted(awu) => awu.id(),
        Admission::Refused(refusal) => refusal.id(),
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The receipt of an AWU of team `search`, whose entry stands between those of others in one frame.
async fn amid_others() -> (Governor, Receipt) {
    let governor = governor().await;
    for _ in 0..100 {
        let three = tokio::join!(
            decided(&governor, "others-before"),
            decided(&governor, "search"),
            decided(&governor, "others-after")
        );
        let receipt = governor.receipt(three.1, &key(1)).unwrap();
        // Others' entries may also be releases, which name nobody.
        let frame = governor.ledger().journal().unwrap().frame(receipt.receipt.sequence).unwrap().unwrap();
        if ["others-before", "others-after"].iter().all(|text| holds(&frame.payload, text)) {
            return (governor, receipt);
        }
    }
    panic!("three who wait at once never shared a frame");
}

#[tokio::test]
async fn an_admission_and_a_refusal_have_receipts_that_hold() {
    let governor = governor().await;
    for (team, result, code, rule, amounts) in [
        ("search", "ALLOWED", None, None, (Some("0.0008"), None)),
        ("poor", "BLOCKED", Some("BUDGET_RESERVATION_FAILED"), Some("little"), (None, Some("0.0008"))),
    ] {
        let awu = decided(&governor, team).await;
        let receipt = governor.receipt(awu, &key(1)).unwrap();
        let verified = verify(receipt.document().as_bytes(), &key(1).public()).unwrap();
        assert_eq!(verified, receipt);
        assert_eq!(
            verify(&serde_json::to_vec(&receipt).unwrap(), &key(1).public()),
            Ok(verified),
            "in one line"
        );
        let Statement { decision, facts, cells, chain, sequence, .. } = receipt.receipt;
        assert_eq!(decision.result, result);
        assert_eq!((decision.reason_code.as_deref(), decision.rule.as_deref()), (code, rule));
        assert_eq!((facts.team.as_str(), facts.model.as_deref()), (team, Some("model")));
        let told = governor.awu(awu).unwrap().unwrap();
        assert_eq!((chain.hash, sequence), (told.chain, told.sequence));
        let cell = cells.iter().find(|cell| rule.is_none_or(|rule| cell.budget == rule)).unwrap();
        assert_eq!((cell.reserved.as_deref(), cell.wanted.as_deref()), amounts);
    }
}

#[tokio::test]
async fn a_receipt_still_holds_when_the_awu_has_gone_on_and_the_ledger_with_it() {
    let governor = governor().await;
    let Admission::Admitted(awu) = governor.admit(proposal("search")).await.unwrap() else {
        panic!("refused")
    };
    let (id, before) = (awu.id(), governor.receipt(awu.id(), &key(1)).unwrap());
    awu.release().unwrap();
    decided(&governor, "search").await;
    assert_eq!(governor.receipt(id, &key(1)).unwrap(), before);
}

#[tokio::test]
async fn what_was_not_decided_here_has_no_receipt() {
    let governor = governor().await;
    let missing = governor.receipt(governor.new_id(), &key(1));
    assert!(matches!(missing, Err(ReceiptError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn others_facts_are_not_in_a_receipt() {
    let (governor, receipt) = amid_others().await;
    let document = receipt.document();
    let mut journal = governor.ledger().journal().unwrap();
    let frame = journal.frame(receipt.receipt.sequence).unwrap().unwrap();
    let entry = STANDARD.decode(&receipt.receipt.entry).unwrap();
    for text in ["others-before", "others-after"] {
        assert!(holds(&frame.payload, text), "the frame has {text}");
        assert!(!holds(&entry, text) && !holds(document.as_bytes(), text), "{text}");
    }
    let customer = receipt.receipt.facts.customer_id.unwrap();
    for text in ["search", &customer] {
        assert!(holds(&entry, text) && holds(document.as_bytes(), text), "{text}");
    }
    // Whom a customer's pseudonym stands for is told by reports, and not carried away by what has to hold for good.
    assert!(!holds(&entry, "customer-of-search") && !holds(document.as_bytes(), "customer-of-search"));
    let told = governor.awu(receipt.receipt.awu.parse().unwrap()).unwrap().unwrap();
    assert_eq!(told.labels.customer_id.as_deref(), Some("customer-of-search"));
    assert_ne!(customer, "customer-of-search");
}

#[tokio::test]
async fn only_the_key_that_signed_verifies() {
    let (_governor, receipt) = amid_others().await;
    let refused = verify(receipt.document().as_bytes(), &key(2).public());
    assert!(matches!(refused, Err(Refused::OtherKey { .. })), "{refused:?}");
    // Somebody else signs the same words, or says that he is the one.
    let forged = Receipt::signed(receipt.receipt, &key(2));
    let refused = verify(forged.document().as_bytes(), &key(1).public());
    assert!(matches!(&refused, Err(Refused::Signature { also: None, .. })), "{refused:?}");
}

/// Every place in a value where something stands that is not made of other values.
fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(&format!("{path}/{name}"), value, found));
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.by_ref().for_each(|(at, value)| leaves(&format!("{path}/{at}"), value, found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// Something else of the same kind.
fn changed(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let last = text.chars().next_back().unwrap_or('x');
            let other = if last == '0' { '1' } else { '0' };
            let length = text.chars().count().saturating_sub(1);
            Value::String(text.chars().take(length).chain([other]).collect())
        }
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::Bool(is) => json!(!is),
        other => panic!("{other} stands in a receipt"),
    }
}

/// What is wrong with a document in which one place says something else, and which its owner signed all the same.
fn reason(path: &str) -> fn(&Refused, &str) -> bool {
    match path {
        "/receipt/format" => |refused, _| matches!(refused, Refused::NotAReceipt(_)),
        "/receipt/version" => |refused, _| matches!(refused, Refused::OtherVersion(2)),
        "/receipt/signer/algorithm" => |refused, _| matches!(refused, Refused::Algorithm(_)),
        "/receipt/signer/key_id" | "/receipt/signer/public_key" => {
            |refused, _| matches!(refused, Refused::OtherKey { .. })
        }
        // The padding of base64 cannot be anything else.
        "/receipt/entry" => |refused, _| matches!(refused, Refused::Chain(_) | Refused::Entry(_)),
        path if path.starts_with("/receipt/chain/") => |refused, _| matches!(refused, Refused::Chain(_)),
        _ => {
            |refused, path| matches!(refused, Refused::Field { field, .. } if format!("/receipt/{}", field.replace('.', "/")) == path)
        }
    }
}

#[tokio::test]
async fn every_single_field_that_is_changed_is_noticed_and_named() {
    let (governor, admitted) = amid_others().await;
    let refused = governor.receipt(decided(&governor, "poor").await, &key(1)).unwrap();
    for receipt in [admitted, refused] {
        let document = serde_json::to_value(&receipt).unwrap();
        let mut places = Vec::new();
        leaves("", &document, &mut places);
        assert!(places.len() > 40, "{places:?}");
        for path in places {
            let mut forged = document.clone();
            let place = forged.pointer_mut(&path).unwrap();
            *place = changed(place);
            let refused =
                |document: &Value| verify(document.to_string().as_bytes(), &key(1).public()).unwrap_err();
            let as_it_stands = refused(&forged);
            if path == "/signature" {
                assert!(matches!(as_it_stands, Refused::Signature { also: None, .. }), "{as_it_stands}");
                continue;
            }
            let named = match &as_it_stands {
                Refused::Signature { also: Some(also), .. } => also.as_ref(),
                other => other,
            };
            assert!(reason(&path)(named, &path), "{path}: {as_it_stands:?}");
            // Its owner signs it all the same: then the entry speaks against it.
            let statement = serde_json::from_value(forged["receipt"].clone()).unwrap();
            let signed = serde_json::to_value(Receipt::signed(statement, &key(1))).unwrap();
            let as_signed = refused(&signed);
            assert!(reason(&path)(&as_signed, &path), "{path}: {as_signed:?}");
        }
    }
}

#[tokio::test]
async fn every_field_that_is_left_out_or_put_in_is_noticed() {
    let (_governor, receipt) = amid_others().await;
    let document = serde_json::to_value(&receipt).unwrap();
    let mut places = Vec::new();
    leaves("", &document, &mut places);
    for path in places {
        let mut forged = document.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        match forged.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(field)),
            Value::Array(items) => drop(items.remove(field.parse().unwrap())),
            other => panic!("{other}"),
        }
        assert!(verify(forged.to_string().as_bytes(), &key(1).public()).is_err(), "{path}");
    }
    for parent in
        ["", "/receipt", "/receipt/facts", "/receipt/facts/price", "/receipt/cells/0", "/receipt/chain"]
    {
        let mut forged = document.clone();
        forged.pointer_mut(parent).unwrap()["approved_by"] = json!("the board");
        let refused = verify(forged.to_string().as_bytes(), &key(1).public());
        assert!(matches!(refused, Err(Refused::NotAReceipt(_))), "{parent}: {refused:?}");
    }
    // What stands twice is read in one way by some and in another by others.
    let twice = receipt.document().replacen("\"team\"", "\"team\": \"other\", \"team\"", 1);
    assert!(matches!(verify(twice.as_bytes(), &key(1).public()), Err(Refused::NotAReceipt(_))));
}

#[tokio::test]
async fn an_entry_of_another_awu_does_not_fit_however_it_is_dressed() {
    let (governor, receipt) = amid_others().await;
    let other = governor.receipt(decided(&governor, "search").await, &key(1)).unwrap();
    let with = |change: &dyn Fn(&mut Statement)| {
        let mut statement = receipt.receipt.clone();
        change(&mut statement);
        verify(Receipt::signed(statement, &key(1)).document().as_bytes(), &key(1).public()).unwrap_err()
    };
    let its_entry = with(&|statement| statement.entry = other.receipt.entry.clone());
    assert!(matches!(its_entry, Refused::Chain(_)), "{its_entry:?}");
    let its_place = with(&|statement| {
        statement.entry = other.receipt.entry.clone();
        statement.chain = other.receipt.chain.clone();
    });
    assert!(matches!(its_place, Refused::Field { .. }), "{its_place:?}");
    let elsewhere = with(&|statement| {
        let bytes = STANDARD.decode(&statement.entry).unwrap();
        let before = vec![Digest::ZERO];
        let (first, own, after) = (1, frame::entry_digest(&bytes), Vec::new());
        let (format, engine) = (statement.chain.format, statement.chain.engine);
        let link = Link { first, format, engine, previous: Digest::ZERO, before, own, after };
        statement.chain = Chain::of(&link);
    });
    assert!(matches!(elsewhere, Refused::Entry(_)), "{elsewhere:?}");
}

#[tokio::test]
async fn an_entry_of_another_format_is_not_judged() {
    let (_governor, mut receipt) = amid_others().await;
    let statement = &mut receipt.receipt;
    let bytes = STANDARD.decode(&statement.entry).unwrap();
    let (before, after, previous) = (Vec::new(), Vec::new(), Digest::ZERO);
    let own = frame::entry_digest(&bytes);
    let link = Link { first: statement.sequence, format: 9_999, engine: 1, previous, before, own, after };
    statement.chain = Chain::of(&link);
    let receipt = Receipt::signed(receipt.receipt, &key(1));
    let refused = verify(receipt.document().as_bytes(), &key(1).public()).unwrap_err();
    assert!(refused == Refused::OtherEntryFormat(9_999) && refused.is_unreadable(), "{refused:?}");
}

#[test]
fn what_is_no_receipt_is_said_to_be_none() {
    for document in
        ["", "{}", "[]", "{\"receipt\": {}}", "{\"receipt\": {\"format\": \"x\", \"version\": 1}}", "\u{0}"]
    {
        let refused = verify(document.as_bytes(), &key(1).public()).unwrap_err();
        assert!(
            matches!(refused, Refused::NotAReceipt(_)) && refused.is_unreadable(),
            "{document:?}: {refused:?}"
        );
    }
}
