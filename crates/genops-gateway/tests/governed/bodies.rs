//! Bodies have the form that the description gives them.

use genops_gateway::stand_in::StandIn;
use http::Method;
use serde_json::{Value, json};

use crate::described::document;
use crate::house::{ADMINISTRATOR_KEY, House, OPERATOR_KEY};

/// Every place of a schema where an object is described, beginning with the schema itself, each as what leads there.
fn objects(schema: &Value, place: &[String], found: &mut Vec<Vec<String>>) {
    let is_object = schema["type"] == "object"
        || schema["type"].as_array().is_some_and(|types| types.contains(&json!("object")));
    if is_object {
        found.push(place.to_vec());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        objects(field, &[place, std::slice::from_ref(name)].concat(), found);
    }
    for branch in schema["anyOf"].as_array().into_iter().flatten() {
        objects(branch, place, found);
    }
}

/// A body with a list at a place, and objects in front of it.
fn list_at(place: &[String]) -> Value {
    // As serde would read a struct.
    let list = json!([
        ["b", "training"],
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        {},
        null,
        false,
        60,
        null
    ]);
    place.iter().rev().fold(list, |inner, name| json!({ name.as_str(): inner }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_is_taken_where_an_object_is_described() {
    let house = House::with(StandIn::default(), "").await;
    let awu = format!("{}-{}", "a".repeat(32), "b".repeat(16));
    let before = *house.governor.durable().borrow();
    let mut tried = 0;
    for (path, operations) in document()["paths"].as_object().unwrap() {
        let Some(operation) = operations.get(Method::POST.as_str().to_lowercase()) else { continue };
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut places = Vec::new();
        objects(schema, &[], &mut places);
        assert!(places.contains(&Vec::new()), "{path}: {schema:#}");
        let role = operation.pointer("/security/0/key/0").and_then(Value::as_str);
        let key = if role == Some("operate") { OPERATOR_KEY } else { ADMINISTRATOR_KEY };
        for place in places {
            let body = list_at(&place);
            let answer = house
                .tell(&path.replace("{id}", &awu).replace("{number}", "1"), key, &body.to_string())
                .await;
            let expected = (400, String::new(), place.join("."));
            assert_eq!(answer.error(), expected, "{path} {body}: {}", answer.json());
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("has to be an object, and is a list"), "{message}");
            tried += 1;
        }
    }
    assert!(tried > 12, "{tried}");
    assert_eq!(*house.governor.durable().borrow(), before, "nothing is in the journal");
}
