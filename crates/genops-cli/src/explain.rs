//! `genops explain`: what a requirement, an ambiguity, a reason code, a decision state, an attribute or an event is.

use genops_conformance::explain;

use crate::arguments::{Format, Naming};
use crate::{Trouble, print_all, read};

/// Explains each name; all of them, or none where one is not known.
pub fn run(naming: &Naming) -> Result<(), Trouble> {
    let found: Result<Vec<_>, _> = naming.names.iter().map(|name| explain::explain(name)).collect();
    let found = found.map_err(Trouble::unusable)?.concat();
    if naming.format == Format::Json {
        return read::print_json(&found);
    }
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    print_all(&texts.join("\n"))
}
