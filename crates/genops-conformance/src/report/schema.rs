//! The JSON Schema of the JSON report, made from the structs that are written.

use schemars::Schema;
use schemars::generate::SchemaSettings;

use super::Report;

/// The JSON Schema that every JSON report meets.
#[must_use]
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>()
}
