//! `genops explain`: why an AWU was decided as it was, in [`awu`]; or what a requirement, an ambiguity, a reason code,
//! a decision state, an attribute or an event of the specification is.

mod awu;

use genops_conformance::explain;
use genops_core::AwuId;

use crate::arguments::{Format, Naming};
use crate::output::print_all;
use crate::{Trouble, read};

/// Explains an AWU, or each name; all of them, or none where one is not known.
pub async fn run(naming: &Naming) -> Result<(), Trouble> {
    match naming.names.as_slice() {
        [id] if looks_like_an_awu(id) => awu::run(parsed(id)?, &naming.place).await,
        names => match names.iter().find(|name| looks_like_an_awu(name)) {
            Some(id) => {
                parsed(id)?;
                Err(Trouble::unusable(format!(
                    "an AWU is explained by itself: ask for `{id}` and nothing else"
                )))
            }
            None => words(naming),
        },
    }
}

fn words(naming: &Naming) -> Result<(), Trouble> {
    let found: Result<Vec<_>, _> = naming.names.iter().map(|name| explain::explain(name)).collect();
    let found = found.map_err(Trouble::unusable)?.concat();
    if naming.place.format == Format::Json {
        return read::print_json(&found);
    }
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    print_all(&texts.join("\n"))
}

/// So long, and of digits and `-` only, no name of the specification is.
const LONG: usize = 16;

fn looks_like_an_awu(name: &str) -> bool {
    name.len() >= LONG && name.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
}

fn parsed(id: &str) -> Result<AwuId, Trouble> {
    id.parse().map_err(|problem| Trouble::unusable(format!("`{id}` is not an AWU: {problem}")))
}
