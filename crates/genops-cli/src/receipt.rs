//! `genops receipt`: gives a signed receipt of a decision from a ledger file or its archives, and verifies one with nothing
//! but the public key. What a receipt is stands in `docs/receipts.md`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use genops::receipt::key::{PublicKey, SigningKey};
use genops::receipt::verify::verify;
use genops::receipt::{Receipt, Statement};
use genops::report::Recorded;
use genops_core::AwuId;

use crate::arguments::{ReceiptCommand, ReceiptVerification, Receipting};
use crate::output::print_all;
use crate::{Trouble, table};

/// More than any receipt has: one whose frame holds half a million entries.
const BYTES_MAX: u64 = 64 << 20;

/// Gives a receipt, or verifies one.
pub fn run(receipting: &Receipting) -> Result<(), Trouble> {
    match (&receipting.command, &receipting.awu, &receipting.signing_key) {
        (Some(ReceiptCommand::Verify(verification)), ..) => check(verification),
        (None, Some(awu), Some(key)) => give(awu, &receipting.ledger, key),
        (None, ..) => Err(Trouble::unusable("an AWU and --signing-key are needed to give a receipt")),
    }
}

fn give(awu: &str, ledger: &[PathBuf], key: &str) -> Result<(), Trouble> {
    let awu: AwuId =
        awu.parse().map_err(|problem| Trouble::unusable(format!("`{awu}` is not an AWU: {problem}")))?;
    let key = signing_key(key)?;
    let receipt =
        Recorded::find(ledger, awu).map_err(Trouble::failed)?.receipt(&key).map_err(Trouble::failed)?;
    print_all(&format!("{}\n", receipt.document()))
}

/// The key that a reference refers to. No message repeats what may be one.
fn signing_key(reference: &str) -> Result<SigningKey, Trouble> {
    let text = if let Some(variable) = reference.strip_prefix("env:") {
        std::env::var(variable).map_err(|_| {
            Trouble::unusable("--signing-key refers to a variable that the environment does not have")
        })?
    } else {
        let path = Path::new(reference.strip_prefix("file:").unwrap_or(reference));
        text_of(path).map_err(|error| {
            Trouble::unusable(format!("the file that --signing-key names cannot be read: {error}"))
        })?
    };
    text.parse().map_err(|problem| Trouble::unusable(format!("what --signing-key refers to {problem}")))
}

fn public_key(given: &str) -> Result<PublicKey, Trouble> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let text = text_of(Path::new(given)).map_err(|error| {
        Trouble::unusable(format!(
            "`{given}` is neither 64 hexadecimal digits nor a file that can be read: {error}"
        ))
    })?;
    text.parse().map_err(|problem| Trouble::unusable(format!("what stands in `{given}` {problem}")))
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn check(verification: &ReceiptVerification) -> Result<(), Trouble> {
    let shown = verification.receipt.display();
    let key = public_key(&verification.public_key)?;
    let document = text_of(&verification.receipt)
        .map_err(|error| Trouble::unusable(format!("the receipt `{shown}` cannot be read: {error}")))?;
    match verify(document.as_bytes(), &key) {
        Ok(receipt) => print_all(&holds(&receipt, &key)),
        Err(refused) if refused.is_unreadable() => {
            Err(Trouble::unusable(format!("`{shown}` cannot be judged: {refused}")))
        }
        Err(refused) => Err(Trouble::failed(format!("`{shown}` does not hold: {refused}"))),
    }
}

/// What a receipt says that holds, and what it does not show.
fn holds(receipt: &Receipt, key: &PublicKey) -> String {
    let Statement { chain, sequence, .. } = &receipt.receipt;
    let others = chain.count.saturating_sub(1);
    let shown = vec![
        ("signature", format!("of key {}, over every word of it", key.id())),
        ("chain", format!("entry {sequence} is in its frame, beside {others} others; hash {}", chain.hash)),
        ("fields", "every one is what the entry says".to_owned()),
    ];
    format!(
        "The receipt holds.\n\n{}\n{}\nThat the frame is in the ledger is shown by its hash: telemetry says the same for \
         this\ndecision (genops_runtime.ledger.chain), and so does whoever verifies the ledger.\n",
        table::facts(shown),
        table::facts(said(&receipt.receipt))
    )
}

fn said(statement: &Statement) -> Vec<(&'static str, String)> {
    let Statement { awu, at, decision, facts, cells, policy_version, .. } = statement;
    let by = decision.rule.as_ref().map(|rule| format!("by {rule}"));
    let observed = decision.observed.then(|| "which only observes".to_owned());
    let result = [Some(decision.result.clone()), decision.reason_code.clone(), by, observed];
    let result = result.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let mut all = vec![
        ("AWU", awu.clone()),
        ("decided", at.clone()),
        ("decision", result),
        ("attribution", format!("{}/{}/{}", facts.team, facts.project, facts.environment)),
        ("operation", format!("{} ({})", facts.operation, facts.operation_type)),
        ("model", asked(facts.model.as_deref(), facts.provider.as_deref())),
        ("bound", format!("{} tokens in, {} out", facts.bound.input, facts.bound.output)),
        ("price", facts.price.as_ref().map_or_else(|| "not known".to_owned(), |price| price.row.clone())),
    ];
    for cell in cells {
        let amount = match (&cell.reserved, &cell.wanted) {
            (Some(reserved), _) => format!("{reserved} {} reserved", cell.unit),
            (None, Some(wanted)) => format!("{wanted} {} wanted", cell.unit),
            (None, None) => continue,
        };
        let before =
            cell.remaining_before.as_ref().map(|left| format!(" of {left} left")).unwrap_or_default();
        all.push(("budget", format!("{} ({}): {amount}{before}", cell.budget, cell.window)));
    }
    all.push(("policy", policy_version.clone()));
    // A name in an entry has no control characters, unless whoever signs wants to write on somebody's terminal.
    all.into_iter().map(|(name, text)| (name, printable(&text))).collect()
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// Which model was asked, and where; `-` where the work asks none.
fn asked(model: Option<&str>, provider: Option<&str>) -> String {
    match (model, provider) {
        (Some(model), Some(provider)) => format!("{model} at {provider}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "-".to_owned(),
    }
}
