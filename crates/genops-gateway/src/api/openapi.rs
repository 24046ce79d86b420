//! The description of the governance API, as OpenAPI 3.1, made from the routes that are served.
//!
//! OpenAPI 3.1 takes JSON Schema 2020-12 as it is, so shapes are those of the types that are read and written.

use std::sync::LazyLock;

use http::Method;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::code::Code;
use super::route::{Route, Shape};
use crate::answer::ErrorBody;
use crate::identity::Role;

/// What the API is, before its routes.
const ABOUT: &str = "Reads and governs what is in a genops ledger. Amounts are decimal text, exact. Every list says as \
     of which entry of the journal it holds (`as_of`); `at_least` asks for an answer that takes an entry into account. \
     `next` is where the next page begins; there is no more where it is absent. Keys have roles, and none implies another.";

/// The document.
#[must_use]
pub fn document() -> Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| describe(&super::routes()));
    DOCUMENT.clone()
}

fn describe(routes: &[Route]) -> Value {
    let mut answers = settings().for_serialize().into_generator();
    let mut questions = questions();
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &mut questions, &mut answers);
        let path = paths.entry(route.full_path()).or_insert_with(|| Value::Object(Map::new()));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let error = answers.subschema_for::<ErrorBody<'_>>();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let codes = codes.join("`, `");
    let roles = Role::ALL.map(Role::as_str).join("`, `");
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "genops governance API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": answers.take_definitions(true),
            "responses": {
                "Error": {
                    "description": format!("There is no answer, and why. `code`, where there is one: `{codes}`; or the reason code of a refusal."),
                    "content": { "application/json": { "schema": error } },
                },
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": format!("A key of the gateway. Its roles: `{roles}`."),
                },
            },
        },
    })
}

/// The shape of what one route is asked, whole.
pub(super) fn asked_for(shape: Shape) -> Value {
    question(shape, &mut questions()).to_value()
}

fn questions() -> SchemaGenerator {
    settings().with(|settings| settings.inline_subschemas = true).for_deserialize().into_generator()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

fn operation(route: &Route, questions: &mut SchemaGenerator, answers: &mut SchemaGenerator) -> Value {
    let mut parameters = parameters("path", &question(route.in_path, questions));
    let is_named = !parameters.is_empty();
    parameters.extend(self::parameters("query", &question(route.in_query, questions)));
    parameters.extend(route.headers.iter().map(|(name, about)| {
        json!({
            "name": name,
            "in": "header",
            "required": false,
            "description": about,
            "schema": { "type": "string" },
        })
    }));
    let mut responses = Map::new();
    for status in route.statuses {
        let answer = json!({
            "description": if *status == "201" { "The answer, to what is new." } else { "The answer." },
            "content": { "application/json": { "schema": (route.answer)(answers) } },
        });
        responses.insert((*status).to_owned(), answer);
    }
    for status in errors(route, is_named) {
        responses.insert((*status).to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    }
    let security: Vec<Value> = route.needs.iter().map(|role| json!({ "key": [role.as_str()] })).collect();
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "security": security,
        "parameters": parameters,
        "responses": responses,
    });
    if let (Some(body), Some(operation)) = (route.body, operation.as_object_mut()) {
        let schema = question(body, questions);
        let body = json!({
            "required": schema.get("required").is_some(),
            "content": { "application/json": { "schema": schema } },
        });
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The shape of what is asked, whole.
fn question(shape: Shape, questions: &mut SchemaGenerator) -> Schema {
    let mut schema = shape(questions);
    WithoutNull.transform(&mut schema);
    schema
}

/// The statuses that a route may answer with where something is wrong.
fn errors(route: &Route, is_named: bool) -> impl Iterator<Item = &&'static str> {
    let always: &[&str] = &["400"];
    let of_keys: &[&str] = if route.needs.is_some() { &["401", "403", "503"] } else { &[] };
    let of_names: &[&str] = if is_named { &["404"] } else { &[] };
    let of_bodies: &[&str] = if route.method == Method::POST { &["408", "413"] } else { &[] };
    [always, of_keys, of_names, of_bodies, &route.errors].into_iter().flatten()
}

/// The properties of a shape as parameters in the path or in the query.
fn parameters(place: &str, shape: &Schema) -> Vec<Value> {
    let properties = shape.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": description.unwrap_or_default(),
            "schema": schema,
        })
    };
    properties.into_iter().flatten().map(parameter).collect()
}

/// What may be left out of a question is left out: nobody can write `null` in a query, and nobody has to in a body.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(words)) = schema.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        // In a list, nothing can be left out: what may be null there is written so.
        let items = schema.remove("items");
        transform_subschemas(self, schema);
        if let Some(mut items) = items {
            if let Ok(items) = (&mut items).try_into() {
                transform_subschemas(self, items);
            }
            schema.insert("items".to_owned(), items);
        }
    }
}
