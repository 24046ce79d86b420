//! What the bodies of acts consist of: amounts, units, times and what work uses. They are read strictly, and what is wrong
//! is told with its place.
//!
//! Amounts are read digit by digit, and never become a double.

use std::fmt;

use genops_core::amount::{Quantity, Unit};
use genops_core::awu::{End, Failure, Used};
use genops_core::name::InvalidName;
use genops_core::price::Tokens;
use genops_core::{Amount, Name};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::route::Problem;

/// The most units that one body names.
const UNITS_MAX: usize = 16;

/// The longest that a holder may be silent, in seconds: a week.
const SILENT_SECONDS_MAX: u64 = 7 * 24 * 3_600;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An amount: decimal text, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Decimal(pub Amount);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let amount = match raw.get().bytes().next() {
            Some(b'"') => serde_json::from_str::<String>(raw.get()).map_err(D::Error::custom)?.parse(),
            Some(b'-' | b'0'..=b'9') => Amount::from_number(raw.get(), 0),
            _ => {
                return Err(D::Error::custom(
                    "an amount has to be decimal text such as \"12.50\", or a number",
                ));
            }
        };
        match amount {
            Ok(amount) if amount.is_step() => Ok(Self(amount)),
            Ok(_) => {
                Err(D::Error::custom("an amount has to be at most 1000000000000000, or as far below nothing"))
            }
            Err(problem) => Err(D::Error::custom(format!("an amount {problem}"))),
        }
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.50"] })
    }
}

/// A name: 1 to 256 bytes, without control characters, and without white space at either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("minLength" = 1, "maxLength" = Name::BYTES_MAX))]
pub struct Named(pub Name);

impl TryFrom<String> for Named {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Name::new(&text).map(Self)
    }
}

/// A unit, by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String")]
pub struct UnitWord(pub Unit);

impl TryFrom<String> for UnitWord {
    type Error = genops_core::amount::InvalidUnit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// Amounts by their units, none of them less than nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantities(Vec<Quantity>);

impl Quantities {
    /// Those that work says of itself, beside tokens: declared units and US dollars.
    fn beside_tokens(&self, place: &str) -> Result<Vec<Quantity>, Problem> {
        let known = self.0.iter().find(|quantity| matches!(quantity.unit, Unit::Tokens | Unit::Requests));
        let Some(Quantity { unit, .. }) = known else { return Ok(self.0.clone()) };
        let instead = match unit {
            Unit::Tokens => "say them in `input_tokens` and `output_tokens`",
            _ => "every AWU that is sent counts one",
        };
        let message = format!("`{unit}` is none of the quantities: {instead}");
        Err(Problem::Bad { field: Some(format!("{place}.{unit}")), message })
    }

    /// All of them.
    pub fn all(self) -> Vec<Quantity> {
        self.0
    }
}

/// In the order of their units, each with its word.
impl Serialize for Quantities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|quantity| (quantity.unit.as_str(), quantity.amount)))
    }
}

impl<'de> Deserialize<'de> for Quantities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Vec<Quantity>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of units, each with its amount")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut read: Vec<Quantity> = Vec::new();
                while let Some(UnitWord(unit)) = map.next_key()? {
                    let Decimal(amount) = map.next_value()?;
                    if amount.is_negative() {
                        return Err(A::Error::custom(format!("`{unit}` must not be less than nothing")));
                    }
                    if read.iter().any(|other| other.unit == unit) {
                        return Err(A::Error::custom(format!("`{unit}` stands there twice")));
                    }
                    if read.len() == UNITS_MAX {
                        return Err(A::Error::custom(format!("more than {UNITS_MAX} units are not taken")));
                    }
                    read.push(Quantity { unit, amount });
                }
                read.sort_unstable_by_key(|quantity| quantity.unit);
                Ok(read)
            }
        }

        deserializer.deserialize_map(Map).map(Self)
    }
}

impl JsonSchema for Quantities {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantities".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let amount = Decimal::json_schema(generator);
        json_schema!({ "type": "object", "additionalProperties": amount, "maxProperties": UNITS_MAX })
    }
}

/// How long a holder may be silent, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(inline, with = "u64", extend("minimum" = 1, "maximum" = SILENT_SECONDS_MAX))]
pub struct Within(u64);

impl Within {
    /// In nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0.saturating_mul(NANOS_PER_SECOND)
    }
}

impl Default for Within {
    fn default() -> Self {
        Self(genops::held::WITHIN_NS / NANOS_PER_SECOND)
    }
}

impl TryFrom<u64> for Within {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        match seconds {
            1..=SILENT_SECONDS_MAX => Ok(Self(seconds)),
            _ => Err(format!("has to be from 1 to {SILENT_SECONDS_MAX} seconds")),
        }
    }
}

/// The most that work can use.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Tokens that a model reads.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens that a model writes.
    #[serde(default)]
    pub output_tokens: u64,
    /// Of units that people have declared, and of `USD` where they are known without a price.
    #[serde(default)]
    quantities: Quantities,
}

impl Bound {
    /// The tokens.
    pub const fn tokens(&self) -> Tokens {
        Tokens::new(self.input_tokens, self.output_tokens)
    }

    /// What it says beside tokens.
    pub fn quantities(&self) -> Result<Vec<Quantity>, Problem> {
        self.quantities.beside_tokens("bound.quantities")
    }
}

/// What work used.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Tokens that a model read. Where some were among the bound, and nobody says here how many were used, that is not
    /// known.
    #[serde(default)]
    input_tokens: Option<u64>,
    /// Tokens that a model wrote.
    #[serde(default)]
    output_tokens: Option<u64>,
    /// Of the input, what came out of the provider's cache.
    #[serde(default)]
    cached_input_tokens: u64,
    /// Of the input, what the provider put into its cache.
    #[serde(default)]
    cache_write_tokens: u64,
    /// Of the output, what the model thought.
    #[serde(default)]
    reasoning_tokens: u64,
    /// Of units that people have declared, and `USD` where they are known without a price. For a unit of the bound that
    /// is not here, its reservation is charged.
    #[serde(default)]
    quantities: Quantities,
}

/// How work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum EndWord {
    /// It was done.
    Completed,
    /// It failed; of the provider that says nothing.
    Failed,
    /// Its provider, or the way there, failed: that counts for the provider's circuit.
    ProviderError,
    /// It was stopped before it was done.
    Cancelled,
    /// It never began, and has used nothing.
    NeverSent,
}

impl EndWord {
    /// The end.
    pub const fn end(self) -> End {
        match self {
            Self::Completed => End::Completed,
            Self::Failed => End::Failed,
            Self::ProviderError => End::ProviderError(Failure::Answer),
            Self::Cancelled => End::Cancelled,
            Self::NeverSent => End::NeverSent,
        }
    }
}

/// What was used, by what is said: without anything it is not known, and the reservation is charged.
pub fn used(end: EndWord, usage: Option<&Usage>, bound: Tokens) -> Result<(Used, Vec<Quantity>), Problem> {
    let bad = |field: &str, message: &str| {
        Err(Problem::Bad { field: Some(field.to_owned()), message: message.to_owned() })
    };
    let Some(usage) = usage else {
        return Ok((if end == EndWord::NeverSent { Used::Nothing } else { Used::Unknown }, Vec::new()));
    };
    if end == EndWord::NeverSent {
        return bad("usage", "what never began has used nothing; leave `usage` out, or say how it ended");
    }
    let quantities = usage.quantities.beside_tokens("usage.quantities")?;
    let (input, output) = (usage.input_tokens, usage.output_tokens);
    let tokens = Tokens {
        cached_input: usage.cached_input_tokens,
        cache_write: usage.cache_write_tokens,
        reasoning: usage.reasoning_tokens,
        ..Tokens::new(input.unwrap_or_default(), output.unwrap_or_default())
    };
    let of_input = tokens.cached_input.checked_add(tokens.cache_write);
    if of_input.is_none_or(|part| part > tokens.input) {
        let message =
            "`cached_input_tokens` and `cache_write_tokens` are parts of `input_tokens`, and not more";
        return bad("usage.input_tokens", message);
    }
    if tokens.reasoning > tokens.output {
        let message = "`reasoning_tokens` are part of `output_tokens`, and not more";
        return bad("usage.output_tokens", message);
    }
    let is_known = input.is_some() || output.is_some() || bound == Tokens::default();
    Ok((if is_known { Used::Reported(tokens) } else { Used::Unknown }, quantities))
}

/// A currency, as ISO 4217 writes it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("pattern" = "^[A-Z]{3}$"))]
pub struct Currency(pub Name);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a currency is three capital letters, such as `USD` or `EUR`";
        let is_one = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let name = is_one.then(|| Name::new(&text).ok()).flatten();
        name.map(Self).ok_or(WRONG)
    }
}
