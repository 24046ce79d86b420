//! `genops erase`: erases a customer or a session, at a running server or in a ledger file.
//!
//! The value is not printed.

use genops::erase_in_file;
use genops_core::ledger::Act;
use genops_core::selector::Facet;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Trouble;
use crate::arguments::{Erasing, Format};
use crate::output::line;
use crate::read::{ask, print_json};

/// Somebody who was erased.
#[derive(Debug, Serialize, Deserialize)]
struct Erased {
    pseudonym: String,
    sequence: u64,
}

/// Erases somebody.
pub async fn run(erasing: &Erasing) -> Result<(), Trouble> {
    let Erasing { customer, session, reason, server, ledger, author, format } = erasing;
    let (facet, value) = match (customer, session) {
        (Some(value), _) => (Facet::CustomerId, value),
        (None, Some(value)) => (Facet::SessionId, value),
        // The arguments see to it that there is one.
        (None, None) => return Err(Trouble::unusable("name a customer or a session")),
    };
    let erased: Erased = match server {
        Some(server) => {
            let body = json!({ facet.as_str(): value.as_str(), "reason": reason.as_str() });
            ask(server, "/genops/v1/erasures", Some(body.to_string())).await?
        }
        None => {
            let act = Act { author: author.clone(), reason: reason.clone() };
            let erased = erase_in_file(ledger, facet, value, act, genops::clock::wall()).await;
            let erased = erased.map_err(Trouble::failed)?;
            Erased { pseudonym: erased.pseudonym.to_string(), sequence: erased.sequence }
        }
    };
    if *format == Format::Json {
        return print_json(&erased);
    }
    let Erased { pseudonym, sequence } = erased;
    line(&format!("erased; the journal knows this {facet} as {pseudonym} for good (entry {sequence})"));
    Ok(())
}
