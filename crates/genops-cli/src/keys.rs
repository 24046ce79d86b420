//! `genops keys new`: a key for a caller. The key is shown once; the configuration keeps its hash.

use genops_core::hex;
use genops_gateway::identity::hash;

/// Makes a key and shows it with the lines for the configuration.
pub fn new() {
    let (key, sha256) = make();
    println!("key: {key}");
    println!("Give it to the caller; it is not shown again. In genops.yaml, below `keys:`, put:");
    println!();
    println!("  - name: choose-a-name");
    println!("    sha256: {sha256}");
    println!("    team: the-team");
    println!("    project: the-project");
    println!("    environment: production");
}

/// A random key and its SHA-256, both as text.
pub fn make() -> (String, String) {
    let random: [u8; 24] = rand::random();
    let key = format!("gk-{}", hex::text(&random));
    let sha256 = hex::text(&hash(&key));
    (key, sha256)
}
