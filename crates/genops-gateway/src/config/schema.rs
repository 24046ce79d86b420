//! The JSON Schema of `genops.yaml`, for editors and for whoever writes the file with a program.
//!
//! It is made from [`written`](super::written): what it accepts has the right shape. Whether names refer to
//! something, and addresses are addresses, only reading the configuration says.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::written::Written;

/// The schema, as draft 07, which every editor reads.
#[must_use]
pub fn schema() -> serde_json::Value {
    let settings = SchemaSettings::draft07().with_transform(WithoutNullDefaults);
    settings.into_generator().into_root_schema_for::<Written>().to_value()
}

/// A default that is `null` says that there is none; what happens then stands in the description.
#[derive(Debug, Clone)]
struct WithoutNullDefaults;

impl Transform for WithoutNullDefaults {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(serde_json::Value::is_null) {
            schema.remove("default");
        }
        transform_subschemas(self, schema);
    }
}

/// Names a shape that is written where it is used.
macro_rules! inline_shape {
    ($(#[$doc:meta])* $name:ident: $($shape:tt)+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($shape)+ })
            }
        }
    };
}

inline_shape! {
    /// A plain decimal, with or without quotes.
    Decimal: "type": ["number", "string"], "minimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?$"
}

inline_shape! {
    /// A plain decimal above nothing, with or without quotes.
    MoreThanNothing: "type": ["number", "string"], "exclusiveMinimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?$"
}

inline_shape! {
    /// A unit: one that is known, or a name of one's own.
    UnitWord: "anyOf": [
        { "enum": ["USD", "tokens", "requests"] },
        { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,30}$", "not": { "const": "usd" } }
    ]
}

inline_shape! {
    /// How far a limit may be passed.
    OverdraftWord: "anyOf": [
        { "enum": ["none", "unbounded"] },
        { "type": ["number", "string"], "exclusiveMinimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?$" }
    ]
}

inline_shape! {
    /// A secret, by reference.
    SecretReference: "type": "string", "pattern": "^(env|file):."
}

inline_shape! {
    /// 64 hexadecimal digits. Without quotes, YAML reads those that have no letter as a number.
    Sha256: "type": ["string", "number"], "pattern": "^[0-9A-Fa-f]{64}$"
}

inline_shape! {
    /// A name, which may look like a number.
    NameOrNumber: "type": ["string", "number"]
}

inline_shape! {
    /// A name, or a list of names that is not empty.
    Names: "type": ["string", "number", "array"], "minItems": 1, "items": { "type": ["string", "number"] }
}
