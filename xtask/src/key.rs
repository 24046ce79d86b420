//! A caller's key for a gateway that a task starts: random, and known to the gateway by its SHA-256.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// A key and its hash, both as text.
#[derive(Debug)]
pub struct Key {
    pub secret: String,
    pub sha256: String,
}

impl Key {
    pub fn random() -> Result<Self, String> {
        let mut bytes = [0_u8; 24];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.map_err(|error| format!("cannot read `/dev/urandom`: {error}"))?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("gk-{hex}");
        Ok(Self { sha256: sha256(&secret)?, secret })
    }
}

/// By the program `sha256sum`, so that nobody sees the key in a list of processes.
fn sha256(text: &str) -> Result<String, String> {
    let cannot = |error| format!("cannot run `sha256sum`: {error}");
    let mut command = Command::new("sha256sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).map_err(cannot)?;
    }
    let output = child.wait_with_output().map_err(cannot)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.split_whitespace().next() {
        Some(hash) if hash.len() == 64 => Ok(hash.to_owned()),
        _ => Err("`sha256sum` prints no hash".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_hashed() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc").unwrap(), abc);
        let (one, two) = (Key::random().unwrap(), Key::random().unwrap());
        assert_ne!(one.secret, two.secret);
        assert_eq!(one.sha256, sha256(&one.secret).unwrap());
    }
}
