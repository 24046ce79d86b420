//! Whether a body has objects and lists where its description has them, and nowhere else.
//!
//! What is read into a struct may be written as a list of its fields as well, for all that serde minds: nobody has described
//! that, and nobody could tell what is what. Names, amounts and limits are told by who reads them.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// An object or a list in a place of a body that is described otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// Where, as in `bound.quantities`; empty for the body itself.
    pub place: String,
    /// What it is instead of what.
    pub what: String,
}

/// The first place of a body that has another form than its schema says. What is no JSON is told by who reads it.
pub fn misshapen(body: &[u8], schema: &Value) -> Option<Misshapen> {
    let body: &RawValue = serde_json::from_slice(body).ok()?;
    within(String::new(), body, schema)
}

fn within(place: String, value: &RawValue, schema: &Value) -> Option<Misshapen> {
    let first = value.get().bytes().next()?;
    let (kind, is) = match first {
        b'{' => ("object", "an object"),
        b'[' => ("array", "a list"),
        b'"' => ("string", "text"),
        b'n' => ("null", "null"),
        b't' | b'f' => ("boolean", "true or false"),
        _ => ("number", "a number"),
    };
    // What may be left out may be null as well, which the types say.
    if first == b'n' && !place.is_empty() {
        return None;
    }
    let kinds = kinds(schema);
    let is_nested = matches!(first, b'{' | b'[');
    let is_object_wanted = kinds.contains(&"object");
    if !kinds.is_empty() && !kinds.contains(&kind) && (is_nested || is_object_wanted) {
        let wanted = if is_object_wanted { "an object".to_owned() } else { in_words(&kinds) };
        return Some(Misshapen { place, what: format!("has to be {wanted}, and is {is}") });
    }
    match first {
        b'{' => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            fields.into_iter().find_map(|(name, value)| {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                within(place, value, field(schema, &name)?)
            })
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            let schema = branches(schema).find_map(|schema| schema.get("items"))?;
            let mut items = items.into_iter().enumerate();
            items.find_map(|(position, item)| within(format!("{place}[{position}]"), item, schema))
        }
        _ => None,
    }
}

/// A schema, and those of which a value may have any.
fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let others = ["anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    std::iter::once(schema).chain(others)
}

/// The kinds of JSON that a value may be of; empty where nothing is said.
fn kinds(schema: &Value) -> Vec<&str> {
    let of_one = |schema| match Value::get(schema, "type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.and_then(Value::as_str).into_iter().collect::<Vec<_>>(),
    };
    let kinds = branches(schema).flat_map(of_one);
    kinds.map(|kind| if kind == "integer" { "number" } else { kind }).collect()
}

fn in_words(kinds: &[&str]) -> String {
    let word = |kind: &&str| match *kind {
        "array" => Some("a list"),
        "string" => Some("text"),
        "number" => Some("a number"),
        "boolean" => Some("true or false"),
        _ => None,
    };
    let mut words: Vec<_> = kinds.iter().filter_map(word).collect();
    words.dedup();
    words.join(" or ")
}

fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    branches(schema).find_map(|schema| {
        let named = schema.get("properties").and_then(|fields| fields.get(name));
        named.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_and_lists_stand_where_they_are_described() {
        let nested = json!({ "type": "object", "additionalProperties": { "type": ["string", "number"] } });
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "count": { "type": "integer" },
                "end": { "oneOf": [{ "type": "string", "const": "a" }, { "type": "string", "const": "b" }] },
                "nested": nested,
                "maybe": { "anyOf": [nested, { "type": "null" }] },
                "list": { "type": "array", "items": { "type": ["string", "null"] } },
                "anything": {},
            },
        });
        let right = [
            r#"{"name": "a", "count": 1, "end": "a", "nested": {"x": "1", "y": 1e400}, "maybe": null, "list": ["a", null]}"#,
            r#"{"anything": [{}], "more": [1]}"#,
            r#"{"name": 1, "count": true, "list": [1]}"#,
            "{",
            "",
        ];
        for body in right {
            assert_eq!(misshapen(body.as_bytes(), &schema), None, "{body}");
        }
        let wrong = [
            ("[]", "", "has to be an object, and is a list"),
            ("7", "", "has to be an object, and is a number"),
            ("null", "", "has to be an object, and is null"),
            ("[1e400]", "", "has to be an object, and is a list"),
            (r#"{"nested": ["1"]}"#, "nested", "has to be an object, and is a list"),
            (r#"{"nested": "1"}"#, "nested", "has to be an object, and is text"),
            (r#"{"nested": {"x": {}}}"#, "nested.x", "has to be text or a number, and is an object"),
            (r#"{"maybe": [null]}"#, "maybe", "has to be an object, and is a list"),
            (r#"{"maybe": {"x": []}}"#, "maybe.x", "has to be text or a number, and is a list"),
            (r#"{"end": {"a": null}}"#, "end", "has to be text, and is an object"),
            (r#"{"list": ["a", ["b"]]}"#, "list[1]", "has to be text, and is a list"),
            (r#"{"list": {}}"#, "list", "has to be a list, and is an object"),
            (r#"{"count": [1]}"#, "count", "has to be a number, and is a list"),
        ];
        for (body, place, what) in wrong {
            let expected = Misshapen { place: place.to_owned(), what: what.to_owned() };
            assert_eq!(misshapen(body.as_bytes(), &schema), Some(expected), "{body}");
        }
    }
}
