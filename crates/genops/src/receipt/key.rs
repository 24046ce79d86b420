//! The keys of receipts: Ed25519. Where a key is kept, and who may read it there, is not known here.

use core::fmt;
use core::str::FromStr;

use genops_core::{Digest, hex};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The one algorithm of receipts (RFC 8032, without a hash beforehand).
pub const ALGORITHM: &str = "Ed25519";

/// What a signing key begins with as text, so that whoever finds one knows what it is.
const PREFIX: &str = "gsk-";

/// So many hexadecimal digits name a key for people.
const ID_DIGITS: usize = 16;

/// A key that signs receipts.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// None of 32 bytes is known to be none.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| InvalidKey::Signing)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| InvalidKey::Signing)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The key of 32 random bytes as the text that [`FromStr`] reads. It is a secret.
    #[must_use]
    pub fn text(seed: &[u8; 32]) -> String {
        format!("{PREFIX}{}", hex::text(seed))
    }

    /// The key that its signatures are verified with.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

/// Reads what [`SigningKey::text`] gives; white space around it does not matter.
impl FromStr for SigningKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seed = text.trim().strip_prefix(PREFIX).and_then(hex::parse).ok_or(InvalidKey::Signing)?;
        Self::from_seed(&seed)
    }
}

/// The secret is not shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id()).finish_non_exhaustive()
    }
}

/// A key that receipts are verified with. Its text is 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A short name for people: the beginning of its digest.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = Digest::of("genops receipt key 1", &[&self.0]).to_string();
        digest.chars().take(ID_DIGITS).collect()
    }

    /// Whether the key's owner signed exactly these bytes.
    #[must_use]
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

/// Reads 64 hexadecimal digits; white space around them does not matter.
impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::parse(text.trim()).map(Self).ok_or(InvalidKey::Public)
    }
}

/// A text is not a key. It is not repeated: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not one that signs.
    #[error(
        "is not a signing key: `gsk-` and 64 hexadecimal digits, as `genops keys new --signing` makes it"
    )]
    Signing,
    /// Not one that verifies.
    #[error("is not a public key: 64 hexadecimal digits, as `genops keys new --signing` shows them")]
    Public,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    const SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let key: SigningKey = format!(" gsk-{SEED}\n").parse().unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(hex::text(&key.sign(&[0x72])), SIGNATURE);
        assert!(key.public().has_signed(&[0x72], &hex::parse::<64>(SIGNATURE).unwrap()));
        assert!(!key.public().has_signed(&[0x73], &hex::parse::<64>(SIGNATURE).unwrap()));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let seed = hex::parse(SEED).unwrap();
        assert_eq!(SigningKey::text(&seed), format!("gsk-{SEED}"));
        for bad in ["", SEED, "gsk-", "gsk-00", &format!("gsk-{SEED}00"), PUBLIC] {
            assert_eq!(bad.parse::<SigningKey>().err(), Some(InvalidKey::Signing), "{bad:?}");
        }
        for bad in ["", "gsk-", &format!("gsk-{SEED}"), "zz"] {
            assert_eq!(bad.parse::<PublicKey>().err(), Some(InvalidKey::Public), "{bad:?}");
        }
        let shown = format!("{:?}", SigningKey::from_seed(&seed).unwrap());
        assert!(!shown.contains("4ccd"), "{shown}");
    }
}
