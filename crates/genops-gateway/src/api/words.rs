//! Words that filters know: what no AWU can be is asked by mistake, and is refused instead of finding nothing.

use genops_spec::{DecisionState, ReasonCode};
use schemars::JsonSchema;
use serde::Deserialize;

/// The states that an AWU can be in.
const STATES: [&str; 6] = ["RESERVED", "EXECUTING", "SETTLED", "IN_DOUBT", "RELEASED", "REFUSED"];

/// The state of an AWU.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("enum" = STATES))]
pub struct StateWord(pub String);

/// The state of a decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("enum" = DecisionState::ALL.map(DecisionState::as_str)))]
pub struct ResultWord(pub String);

/// A reason code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend(
    "anyOf" = [serde_json::json!({ "enum": ReasonCode::DEFINED }), serde_json::json!({ "pattern": "^x_[a-z0-9_]+$" })]
))]
pub struct CodeWord(pub String);

impl TryFrom<String> for StateWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        one_of(&STATES, text).map(Self)
    }
}

impl TryFrom<String> for ResultWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        one_of(&DecisionState::ALL.map(DecisionState::as_str), text).map(Self)
    }
}

impl TryFrom<String> for CodeWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.parse::<ReasonCode>().is_ok() {
            return Ok(Self(text));
        }
        let defined = ReasonCode::DEFINED;
        let known: Vec<_> = defined.iter().map(ReasonCode::as_str).collect();
        Err(format!("`{text}` is none of {}, and no code `x_...` of an organisation", known.join(", ")))
    }
}

fn one_of(known: &[&str], text: String) -> Result<String, String> {
    if known.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(format!("`{text}` is none of {}", known.join(", ")))
    }
}
