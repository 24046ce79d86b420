//! SHA-256 digests of canonical bytes: what makes "identical inputs and identical governance state"
//! (section 3.5) something that can be compared.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{hex, text};

/// More than most values take.
const VALUE_BYTES: usize = 512;

/// A SHA-256 digest. Where people read, it is serialised as hexadecimal text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest before anything: all zero.
    pub const ZERO: Self = Self([0; 32]);

    /// Digests the parts one after the other. `domain` keeps digests of different things apart; parts
    /// of varying length have to say their own length.
    #[must_use]
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(domain.as_bytes());
        hash.update([0]);
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Digests a value's canonical encoding.
    #[must_use]
    pub fn of_value<T: Serialize>(domain: &str, value: &T) -> Self {
        // Encoding into a growing vector cannot fail for the plain data of this crate.
        let bytes = postcard::to_extend(value, Vec::with_capacity(VALUE_BYTES)).unwrap_or_default();
        Self::of(domain, &[&bytes])
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::parse(text).map(Self).ok_or(InvalidDigest)
    }
}

/// The text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct InvalidDigest;

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            text::parsed(deserializer)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}
