//! The governance API: it is what it says it is, and each key does what its roles allow.

use std::collections::{BTreeMap, BTreeSet};

use genops::receipt::key::SigningKey;
use genops::receipt::verify::verify;
use genops_core::selector::Facet;
use genops_gateway::api;
use genops_gateway::identity::Role;
use genops_gateway::stand_in::StandIn;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::BODY;
use crate::described::{document, operations};
use crate::house::{ADMINISTRATOR_KEY, Answer, House, KEY, OPEN_KEY, OPERATOR_KEY};

const BUDGETS: &str = "
budgets:
  - {name: all, unit: USD, limit: 1}
  - {name: day, unit: USD, limit: 2, period: day}
  - {name: tokens, unit: tokens, limit: 100000, period: month}
";

/// Asks an operation in a way that it can answer.
async fn ask(house: &House, method: &Method, path: &str, key: &str) -> Answer {
    let awu = house.governor.awus(&genops::ledger::views::Filter::default(), 1).unwrap().awus.remove(0);
    let path = path.replace("{id}", &awu.id).replace("{number}", "0").replace("{sequence}", "1");
    match *method {
        Method::POST => house.tell(&path, key, r#"{"all": true}"#).await,
        _ => house.get(&path, key).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_described_and_answers_those_whose_key_has_its_role() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    house.ended(&house.chat(BODY).await).await;
    let routes = api::routes();
    let routed: BTreeSet<_> = routes.iter().map(|route| (route.method.as_str(), route.full_path())).collect();
    let operations = operations();
    let described: BTreeSet<_> =
        operations.iter().map(|(method, path, _)| (method.as_str(), (*path).to_owned())).collect();
    assert_eq!(routed, described);
    assert_eq!(routes.len(), described.len(), "each once");
    assert_eq!(house.get("/genops/v1/openapi.json", "").await.json(), *document());
    for (method, path, operation) in operations {
        let roles = [
            (KEY, Some(Role::Read)),
            (OPERATOR_KEY, Some(Role::Operate)),
            (ADMINISTRATOR_KEY, Some(Role::Administer)),
            (OPEN_KEY, None),
        ];
        let needed = operation.pointer("/security/0/key/0").and_then(Value::as_str);
        for (key, role) in roles {
            let may = needed.is_none() || needed == role.map(Role::as_str);
            let answer = ask(&house, &method, path, key).await;
            let what = format!("{method} {path} {role:?}: {}", answer.json());
            if may && method == Method::GET {
                assert_eq!(answer.status, StatusCode::OK, "{what}");
            } else {
                // What an act answers to something that it can do is tested where acts are.
                assert_eq!(answer.status == StatusCode::FORBIDDEN, !may, "{what}");
            }
        }
        let nobody = ask(&house, &method, path, "wrong").await.status;
        assert_eq!(nobody, if needed.is_none() { StatusCode::OK } else { StatusCode::UNAUTHORIZED });
        let other = house.delete(path).await;
        assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(other.error().0, 405);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_given_for_every_decision_and_holds_with_the_public_key_alone() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    house.ended(&house.chat(BODY).await).await;
    let refused = house.chat(&BODY.replace("small", "denied")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let key = SigningKey::from_seed(&[7; 32]).unwrap().public();
    let listed = house.get("/genops/v1/awus", KEY).await.json();
    for awu in listed["awus"].as_array().unwrap() {
        let id = awu["id"].as_str().unwrap();
        let given = house.get(&format!("/genops/v1/awus/{id}/receipt"), KEY).await;
        let holds = verify(&given.body, &key).unwrap().receipt;
        assert_eq!((holds.awu.as_str(), &json!(holds.decision.result)), (id, &awu["result"]), "{awu:#}");
        let stranger = SigningKey::from_seed(&[8; 32]).unwrap().public();
        assert!(verify(&given.body, &stranger).is_err());
    }
    assert_eq!(listed["awus"].as_array().unwrap().len(), 2);
    let unknown = format!("/genops/v1/awus/{}-{}/receipt", "ab".repeat(16), "cd".repeat(8));
    assert_eq!(house.get(&unknown, KEY).await.error(), (404, String::new(), "id".to_owned()));
    assert_eq!(house.get("/genops/v1/awus/x/receipt", KEY).await.error().0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_signs_no_receipt_is_given_and_who_asks_is_told_what_to_do() {
    let house = House::with(StandIn::default(), "receipts: null").await;
    house.ended(&house.chat(BODY).await).await;
    let awu = house.get("/genops/v1/awus", KEY).await.json()["awus"][0]["id"].as_str().unwrap().to_owned();
    let told = house.get(&format!("/genops/v1/awus/{awu}/receipt"), KEY).await;
    assert_eq!(told.error(), (409, "no_signing_key".to_owned(), String::new()));
    assert!(told.json()["error"]["message"].as_str().unwrap().contains("`receipts.signing_key`"));
}

#[test]
fn the_description_is_whole() {
    assert_eq!(document()["openapi"], "3.1.1");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations() {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{path}");
        assert_eq!(operation.get("requestBody").is_some(), method == Method::POST, "{path}");
        let parameters = operation["parameters"].as_array().unwrap();
        let in_path: Vec<_> = parameters.iter().filter(|one| one["in"] == "path").collect();
        let named: Vec<_> =
            in_path.iter().map(|one| format!("{{{}}}", one["name"].as_str().unwrap())).collect();
        let templates: Vec<_> = path.split('/').filter(|part| part.starts_with('{')).collect();
        assert_eq!(named, templates, "{path}");
        for parameter in parameters {
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{path}: {parameter}");
            assert_eq!(parameter["required"], parameter["in"] == "path", "{path}");
            assert!(jsonschema::draft202012::meta::is_valid(&parameter["schema"]), "{parameter}");
        }
    }
    for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema.get("description").is_some(), "nobody knows what {name}.{field} is");
        }
    }
    let mut references = Vec::new();
    collect(document(), &mut references);
    assert!(references.len() > 10);
    for reference in references {
        assert!(document().pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

/// All pages of a list, one of them a page; asked with `next` as the parameter that `from` names.
async fn pages(house: &House, path: &str, list: &str, from: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("{path}{next}"), KEY).await;
        assert_eq!(page.status, StatusCode::OK, "{path}{next}: {}", page.json());
        let page = page.json();
        all.extend(page[list].as_array().unwrap().iter().cloned());
        next = match &page["next"] {
            Value::Null => return all,
            Value::String(text) => format!("&{from}={text}"),
            number => format!("&{from}={number}"),
        };
    }
}

fn texts<'a>(list: &'a [Value], field: &str) -> Vec<&'a str> {
    list.iter().map(|one| one[field].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_and_give_what_is_asked_for() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let before = house.governor.now();
    for _ in 0..3 {
        house.ended(&house.chat_for("ranking", BODY).await).await;
    }
    assert_eq!(house.chat(&BODY.replace("small", "denied")).await.status, StatusCode::FORBIDDEN);

    for limit in [1, 2, 3, 50] {
        let budgets = pages(&house, &format!("/genops/v1/budgets?limit={limit}"), "budgets", "from").await;
        assert_eq!(texts(&budgets, "name"), ["all", "day", "tokens"], "{limit}");
        let cells = pages(&house, &format!("/genops/v1/cells?limit={limit}"), "cells", "from").await;
        assert_eq!(texts(&cells, "budget"), ["all", "day", "tokens"], "{limit}");
        assert_eq!(texts(&cells, "used"), ["0.000156", "0.000156", "96"], "{limit}");
        let awus = pages(&house, &format!("/genops/v1/awus?limit={limit}"), "awus", "before").await;
        assert_eq!(texts(&awus, "state"), ["REFUSED", "SETTLED", "SETTLED", "SETTLED"], "{limit}");
        let entries = pages(&house, &format!("/genops/v1/entries?limit={limit}"), "entries", "from").await;
        let kinds = [
            "policy_adopted",
            "admitted",
            "settled",
            "admitted",
            "settled",
            "admitted",
            "settled",
            "refused",
        ];
        assert_eq!(texts(&entries, "type"), kinds, "{limit}");
        assert!(entries.iter().zip(1_u64..).all(|(entry, place)| entry["sequence"] == place), "{limit}");
    }

    let later = "from=2100-01-01T00:00:00Z";
    let cases = [
        ("budgets?unit=tokens", "budgets", 1),
        ("budgets?name=all&current=true", "budgets", 1),
        ("budgets?current=false", "budgets", 0),
        ("cells?budget=day", "cells", 1),
        ("cells?window=none&current=true", "cells", 1),
        ("cells?unit=USD", "cells", 2),
        ("cells?from=2", "cells", 1),
        ("cells?from=3", "cells", 0),
        ("awus?model=denied", "awus", 1),
        ("awus?reason_code=POLICY_DENY_MODEL", "awus", 1),
        ("awus?provider=upstream&result=ALLOWED", "awus", 3),
        ("awus?key=caller&operation_type=inference&state=REFUSED", "awus", 1),
        ("awus?key=other", "awus", 0),
        ("awus?feature=ranking", "awus", 3),
        ("awus?feature=other", "awus", 0),
        ("awus?cost_center=ranking", "awus", 0),
        (&format!("awus?until={before}"), "awus", 0),
        (&format!("awus?from={before}&until=2100-01-01T00:00:00Z"), "awus", 4),
        (&format!("awus?{later}"), "awus", 0),
        ("entries?type=settled", "entries", 3),
        ("entries?from=8", "entries", 1),
        ("entries?from=9", "entries", 0),
    ];
    for (asked, list, count) in cases {
        let found = pages(&house, &format!("/genops/v1/{asked}"), list, "from").await;
        assert_eq!(found.len(), count, "{asked}");
    }
    let awus = house.get("/genops/v1/awus?state=SETTLED", KEY).await.json();
    let second = awus["awus"][1]["id"].as_str().unwrap();
    for limit in [1, 50] {
        let asked = format!("/genops/v1/entries?awu={second}&limit={limit}");
        let entries = pages(&house, &asked, "entries", "from").await;
        assert_eq!(texts(&entries, "type"), ["admitted", "settled"], "{limit}");
        assert_eq!(texts(&entries, "awu"), [second; 2], "{limit}");
    }
    let settled =
        pages(&house, &format!("/genops/v1/entries?awu={second}&type=settled"), "entries", "from").await;
    assert_eq!(settled.len(), 1);
    let unknown = format!("/genops/v1/entries?awu={}-{}", "ab".repeat(16), "cd".repeat(8));
    assert_eq!(house.get(&unknown, KEY).await.json()["entries"], json!([]));
    let cell = house.get("/genops/v1/cells/1", KEY).await.json();
    assert_eq!((&cell["number"], &cell["budget"]), (&json!(1), &json!("day")));
    let entry = house.get("/genops/v1/entries/2", KEY).await.json();
    let awu = house.get(&format!("/genops/v1/awus/{}", entry["awu"].as_str().unwrap()), KEY).await.json();
    assert_eq!((&awu["sequence"], &awu["chain"]), (&entry["sequence"], &entry["chain"]));
    let policy = house.get("/genops/v1/policy", KEY).await.json();
    assert_eq!(policy["version"], awu["policy_version"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awus_are_found_by_everything_that_is_said_of_whom_they_are_for_and_persons_by_value_or_pseudonym() {
    let house = House::with(StandIn::default(), "").await;
    let facets = BTreeMap::from([
        ("team", "research"),
        ("project", "tuning"),
        ("environment", "production"),
        ("customer_id", "acme"),
        ("feature", "ranking"),
        ("cost_center", "cc-7"),
        ("session_id", "s-1"),
        ("key", "trainer"),
        ("provider", "cluster"),
        ("model", "other"),
        ("operation_type", "training"),
    ]);
    // Whatever a rule can select by can be asked for.
    let all: BTreeSet<_> = Facet::ALL.iter().map(|facet| facet.as_str()).collect();
    assert_eq!(all, facets.keys().copied().collect());
    let mut body = json!({
        "operation": { "name": "tune", "type": "training" },
        "bound": { "quantities": { "gpu": 1 } },
        "accounting_unit": "gpu",
    });
    for field in ["project", "customer_id", "feature", "cost_center", "session_id", "provider", "model"] {
        body[field] = json!(facets[field]);
    }
    let told = house.act("/awus", &[], body.to_string()).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.json());
    let awu = [told.json()["awu"]["id"].clone()];
    house.ended(&house.chat(BODY).await).await;
    let found = async |asked: &str| {
        let awus = pages(&house, &format!("/genops/v1/awus?limit=50&{asked}"), "awus", "before").await;
        awus.into_iter().map(|awu| awu["id"].clone()).collect::<Vec<_>>()
    };
    for (facet, value) in &facets {
        assert_eq!(found(&format!("{facet}={value}")).await, awu, "{facet}");
        assert!(found(&format!("{facet}=another")).await.is_empty(), "{facet}");
    }
    let together: Vec<_> = facets.iter().map(|(facet, value)| format!("{facet}={value}")).collect();
    assert_eq!(found(&together.join("&")).await, awu);
    for nobody in
        ["customer_id=s-1", "session_id=acme", "customer_id=", "customer_id=%20acme", "customer_id=ACME"]
    {
        assert!(found(nobody).await.is_empty(), "{nobody}");
    }

    let erased =
        house.tell("/genops/v1/erasures", ADMINISTRATOR_KEY, r#"{"customer_id":"acme","reason":"r"}"#).await;
    let pseudonym = erased.json()["pseudonym"].as_str().unwrap().to_owned();
    assert!(found("customer_id=acme").await.is_empty());
    assert_eq!(found(&format!("customer_id={pseudonym}")).await, awu);
    assert!(found(&format!("session_id={pseudonym}")).await.is_empty());
    // Its number alone does not do.
    let (start, digits) = pseudonym.rsplit_once('-').unwrap();
    let another = format!("{start}-{}", digits.chars().rev().collect::<String>());
    assert!(found(&format!("customer_id={another}")).await.is_empty());
    // The value comes again, and is somebody else's.
    let told = house.act("/awus", &[], body.to_string()).await.json();
    assert_eq!(found("customer_id=acme").await, [told["awu"]["id"].clone()]);
    assert_eq!(found("session_id=s-1").await.len(), 2);
    let empty = house.get("/genops/v1/awus?customer_id=nobody", KEY).await.json();
    assert_eq!((&empty["awus"], &empty["as_of"]), (&json!([]), &json!(*house.governor.durable().borrow())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_refused_with_the_name_of_it() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let cases = [
        ("budgets?nam=all", 400, "nam"),
        ("budgets?from=17", 400, "from"),
        ("budgets?from=policy-1-0", 400, "from"),
        ("budgets?current=maybe", 400, "current"),
        ("cells?limit=many", 400, "limit"),
        ("cells?limit=1&limit=2", 400, "limit"),
        ("cells/0", 404, "number"),
        ("cells/one", 400, "number"),
        ("awus?tem=x", 400, "tem"),
        ("awus?from=yesterday", 400, "from"),
        ("awus?state=FOO", 400, "state"),
        ("awus?state=settled", 400, "state"),
        ("awus?result=ADMITTED", 400, "result"),
        ("awus?reason_code=BUDGET", 400, "reason_code"),
        ("awus?reason_code=x_", 400, "reason_code"),
        ("awus/zz", 400, "id"),
        ("entries?type=maybe", 400, "type"),
        ("entries?awu=zz", 400, "awu"),
        ("entries/99", 404, "sequence"),
        ("entries/-1", 400, "sequence"),
        ("policy?at_least=x", 400, "at_least"),
        ("estimates?x=1", 400, "x"),
        ("telemetry?x=1", 400, "x"),
        ("openapi.json?x=1", 400, "x"),
    ];
    for (asked, status, field) in cases {
        let answer = house.get(&format!("/genops/v1/{asked}"), KEY).await;
        assert_eq!(answer.error(), (status, String::new(), field.to_owned()), "{asked}: {}", answer.json());
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_know_the_words_that_are_described_and_say_them() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let parameters = document()["paths"]["/genops/v1/awus"]["get"]["parameters"].as_array().unwrap();
    for (field, count) in [("state", 6), ("result", 4), ("reason_code", 9)] {
        let schema = &parameters.iter().find(|one| one["name"] == field).unwrap()["schema"];
        let words =
            schema.get("enum").or_else(|| schema.pointer("/anyOf/0/enum")).unwrap().as_array().unwrap();
        assert_eq!(words.len(), count, "{schema}");
        let wrong = house.get(&format!("/genops/v1/awus?{field}=FOO"), KEY).await.json();
        let message = wrong["error"]["message"].as_str().unwrap();
        assert!(message.contains(field) && message.contains("`FOO` is none of"), "{message}");
        for word in words.iter().map(|word| word.as_str().unwrap()) {
            assert!(message.contains(word), "{message}");
            let asked = format!("/genops/v1/awus?{field}={word}");
            assert_eq!(house.get(&asked, KEY).await.json()["awus"], json!([]), "{word}");
        }
    }
    assert_eq!(house.get("/genops/v1/awus?reason_code=x_of_ours", KEY).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_the_entry_that_it_has_to_take_into_account() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let last = *house.governor.durable().borrow();
    let lists = ["budgets", "cells", "awus", "entries", "policy", "estimates", "telemetry"];
    let asked = async {
        for list in lists {
            let answer = house.get(&format!("/genops/v1/{list}?at_least={}", last + 2), KEY).await;
            assert_eq!(answer.status, StatusCode::OK, "{list}");
            assert!(answer.json()["as_of"].as_u64().unwrap() >= last + 2, "{list}");
        }
        house.get(&format!("/genops/v1/awus?at_least={}", last + 2), KEY).await.json()
    };
    let (page, answer) = tokio::join!(asked, house.chat(BODY));
    assert_eq!(page["awus"][0]["id"], answer.header("x-genops-awu"));
    assert_eq!(page["awus"][0]["state"], "SETTLED");
}
