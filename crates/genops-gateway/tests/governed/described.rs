//! Holds every answer of the governance API that any test gets against what its description says of it, and what was asked
//! as well where it was taken.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use genops_core::spec::ReasonCode;
use genops_gateway::api::code::Code;
use genops_gateway::api::openapi;
use http::Method;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::house::Answer;

/// The description, as it is served.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(openapi::document)
}

/// Every operation of the description: method, path and what is said of it.
pub fn operations() -> Vec<(Method, &'static str, &'static Value)> {
    let of_path = |(path, operations): (&'static String, &'static Value)| {
        let one = move |(method, operation): (&'static String, &'static Value)| {
            (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
        };
        operations.as_object().unwrap().iter().map(one)
    };
    document()["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

/// Checks an answer and the body that it is to, where they are of the governance API and the path is one of its own.
pub fn check(method: &Method, path: &str, asked: &[u8], answer: &Answer) {
    let Some((template, operations)) = described(path) else { return };
    let method = method.as_str().to_lowercase();
    // What nobody can ask is told by the router.
    let Some(operation) = operations.get(&method) else { return assert_eq!(answer.status.as_u16(), 405) };
    let status = answer.status.as_u16().to_string();
    assert!(operation["responses"].get(&status).is_some(), "{method} {template} may not answer {status}");
    let content = if operation["responses"][&status].get("content").is_some() {
        format!("{}/responses/{status}/content/application~1json/schema", operation_at(template, &method))
    } else {
        "#/components/responses/Error/content/application~1json/schema".to_owned()
    };
    let refused = refused(&content, &answer.json());
    assert!(
        refused.is_empty(),
        "{method} {path} does not answer as described: {refused:#?}\n{:#}",
        answer.json()
    );
    let code = answer.error().1;
    let is_known = code.is_empty()
        || Code::ALL.iter().any(|known| known.as_str() == code)
        || code.parse::<ReasonCode>().is_ok();
    assert!(is_known, "{method} {template} answers the code `{code}`, which nobody explains");
    if answer.status.is_success() && !asked.is_empty() {
        let place =
            format!("{}/requestBody/content/application~1json/schema", operation_at(template, &method));
        let refused = self::refused(&place, &serde_json::from_slice(asked).unwrap());
        assert!(refused.is_empty(), "{method} {path} takes what is not described: {refused:#?}");
    }
}

fn operation_at(template: &str, method: &str) -> String {
    let escaped = template.replace('/', "~1").replace('{', "%7B").replace('}', "%7D");
    format!("#/paths/{escaped}/{method}")
}

/// The path of the description that a path is one of, with its operations.
fn described(path: &str) -> Option<(&'static String, &'static Value)> {
    document()["paths"].as_object().unwrap().iter().find(|(template, _)| is_at(template, path))
}

/// Whether a path is the one of a template.
pub fn is_at(template: &str, path: &str) -> bool {
    let (wanted, found): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| wanted.starts_with('{') || *wanted == found)
}

/// What the schema at a place of the description refuses of a value. Fields that nobody describes are refused too.
fn refused(place: &str, value: &Value) -> Vec<String> {
    static KNOWN: Mutex<Option<HashMap<String, Validator>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let validator = known.entry(place.to_owned()).or_insert_with(|| {
        let mut whole = document().clone();
        nothing_else(&mut whole);
        whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        whole["$ref"] = json!(place);
        jsonschema::validator_for(&whole).unwrap()
    });
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn nothing_else(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(nothing_else);
            if fields.get("type") == Some(&json!("object")) && fields.contains_key("properties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(nothing_else),
        _ => {}
    }
}
