//! Where two values of JSON differ first: a place, and what stands there in each.

use std::fmt;

use serde_json::Value;

/// So much is shown of a value.
const SHOWN_CHARS_MAX: usize = 160;

/// A place where two values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The names that lead there, as a JSON pointer.
    pub place: String,
    /// What is expected there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "it" } else { &self.place };
        write!(f, "{place} is {}, not {}", self.found, self.expected)
    }
}

/// The first difference, in the order of names; `None` where both are the same.
pub fn first(expected: &Value, found: &Value) -> Option<Difference> {
    search(Some(expected), Some(found), &mut String::new())
}

fn search(expected: Option<&Value>, found: Option<&Value>, place: &mut String) -> Option<Difference> {
    let length = place.len();
    let mut below = |name: &str, expected, found| {
        place.push('/');
        place.push_str(name);
        let difference = search(expected, found, place);
        place.truncate(length);
        difference
    };
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let more = found.keys().filter(|name| !expected.contains_key(*name));
            expected.keys().chain(more).find_map(|name| below(name, expected.get(name), found.get(name)))
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => (0..expected.len().max(found.len()))
            .find_map(|index| below(&index.to_string(), expected.get(index), found.get(index))),
        (expected, found) if expected == found => None,
        (expected, found) => {
            Some(Difference { place: place.clone(), expected: shown(expected), found: shown(found) })
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let value = json!({"a": [1, {"b": "x"}], "c": null});
        assert_eq!(first(&value, &value), None);
        let cases = [
            (json!({"a": [1, {"b": "y"}], "c": null}), "/a/1/b is \"y\", not \"x\""),
            (json!({"a": [1], "c": null}), "/a/1 is absent, not {\"b\":\"x\"}"),
            (json!({"a": [1, {"b": "x"}]}), "/c is absent, not null"),
            (json!({"a": [1, {"b": "x"}], "c": null, "d": 1}), "/d is 1, not absent"),
            (json!(7), "it is 7, not {\"a\":[1,{\"b\":\"x\"}],\"c\":null}"),
        ];
        for (other, told) in cases {
            assert_eq!(first(&value, &other).map(|one| one.to_string()).as_deref(), Some(told));
        }
    }
}
