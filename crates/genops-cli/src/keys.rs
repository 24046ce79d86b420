//! `genops keys new`: a key for a caller, which is shown once, and of which the configuration keeps the hash; or a key
//! that signs receipts, which goes to a file and is not shown.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use genops::receipt::key::SigningKey;
use genops_core::hex;
use genops_gateway::identity::hash;

use crate::Trouble;
use crate::arguments::NewKey;
use crate::output::say;

/// Makes the key that was asked for.
pub fn run(new: &NewKey) -> Result<(), Trouble> {
    if new.signing {
        return for_signing(&new.out);
    }
    for_caller();
    Ok(())
}

/// Makes a key that signs, keeps it in a file of its own, and shows the one that verifies.
fn for_signing(out: &Path) -> Result<(), Trouble> {
    let seed: [u8; 32] = rand::random();
    let public = SigningKey::from_seed(&seed).map_err(Trouble::failed)?.public();
    keep(out, &SigningKey::text(&seed)).map_err(|error| {
        let shown = out.display();
        Trouble::unusable(match error.kind() {
            ErrorKind::AlreadyExists => {
                format!(
                    "`{shown}` exists already, and a key is never written over; choose another with --out"
                )
            }
            _ => format!("the key cannot be written to `{shown}`: {error}"),
        })
    })?;
    say!("public key: {public}");
    say!("key id: {}", public.id());
    say!();
    say!("The signing key is in `{}`, which only you can read. Whoever has it can give", out.display());
    say!("receipts in your name. Give the public key to those who verify them:");
    say!();
    say!("  genops receipt verify FILE --public-key {public}");
    Ok(())
}

/// Writes a secret where nothing is, for its owner alone.
fn keep(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

/// Makes a key and shows it with the lines for the configuration.
fn for_caller() {
    let (key, sha256) = make();
    say!("key: {key}");
    say!("Give it to the caller; it is not shown again. In genops.yaml, below `keys:`, put:");
    say!();
    say!("  - name: choose-a-name");
    say!("    sha256: {sha256}");
    say!("    team: the-team");
    say!("    project: the-project");
    say!("    environment: production");
}

/// A random key and its SHA-256, both as text.
pub fn make() -> (String, String) {
    let random: [u8; 24] = rand::random();
    let key = format!("gk-{}", hex::text(&random));
    let sha256 = hex::text(&hash(&key));
    (key, sha256)
}
