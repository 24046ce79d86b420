//! Persons: customers and sessions, whom entries know by their pseudonyms alone.
//!
//! A [`Person`] is kept beside the journal, where it can be erased. Its pseudonym is a digest with a salt of its own: once
//! salt and value are gone, nobody can tell whom it stood for, and nobody can find out by trying values. Where persons are
//! kept is not known here, and no salt is made.

use crate::digest::Digest;
use crate::hex;
use crate::name::Name;
use crate::selector::Facet;

/// A value of a facet, and what stands for it in entries.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Its place among all that are kept, from 1 in the order in which they were first seen.
    pub number: u64,
    /// Of what it is a value.
    pub facet: Facet,
    /// The value, as callers say it.
    pub value: Name,
    /// Random bytes of its own.
    pub salt: [u8; 16],
}

/// So much of the digest stands in a pseudonym.
const DIGEST_BYTES: usize = 16;

impl Person {
    /// What stands for it in entries: `p-7-` and 32 hexadecimal digits, where 7 is its number.
    #[must_use]
    pub fn pseudonym(&self) -> Name {
        let parts: [&[u8]; 4] = [
            &self.number.to_be_bytes(),
            &self.salt,
            &[u8::try_from(self.facet.as_str().len()).unwrap_or(u8::MAX)],
            self.facet.as_str().as_bytes(),
        ];
        let digest = Digest::of("genops person 1", &[&parts.concat(), self.value.as_str().as_bytes()]);
        let digest = digest.bytes().get(..DIGEST_BYTES).unwrap_or_default();
        Name::nearest(&format!("p-{}-{}", self.number, hex::text(digest)))
    }
}

/// The number of the person that a pseudonym stands for; `None` where the name does not have the form of one. That it has
/// does not say that it is one.
#[must_use]
pub fn number(name: &Name) -> Option<u64> {
    let (number, digest) = name.as_str().strip_prefix("p-")?.split_once('-')?;
    let parsed: u64 = number.parse().ok()?;
    let is_digest = digest.len() == 2 * DIGEST_BYTES
        && digest.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_digest && parsed.to_string() == number).then_some(parsed)
}

impl Facet {
    /// Whether its values are personal data.
    #[must_use]
    pub const fn is_personal(self) -> bool {
        matches!(self, Self::CustomerId | Self::SessionId)
    }
}

/// Without the value, which is nobody's who reads logs.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("pseudonym", &self.pseudonym()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(number: u64, facet: Facet, value: &str, salt: u8) -> Person {
        Person { number, facet, value: Name::new(value).unwrap(), salt: [salt; 16] }
    }

    #[test]
    fn a_pseudonym_depends_on_everything_and_says_nothing_but_its_number() {
        let one = person(7, Facet::CustomerId, "acme", 1);
        let others = [
            person(8, Facet::CustomerId, "acme", 1),
            person(7, Facet::SessionId, "acme", 1),
            person(7, Facet::CustomerId, "acm", 1),
            person(7, Facet::CustomerId, "acme", 2),
        ];
        let pseudonym = one.pseudonym();
        assert_eq!(number(&pseudonym), Some(7), "{pseudonym}");
        assert_eq!(pseudonym, one.pseudonym());
        assert!(!pseudonym.as_str().contains("acme") && !format!("{one:?}").contains("acme"));
        for other in others {
            assert_ne!(other.pseudonym(), pseudonym, "{other:?}");
        }
        assert_eq!(number(&person(u64::MAX, Facet::SessionId, "s", 0).pseudonym()), Some(u64::MAX));
    }

    #[test]
    fn only_what_has_the_form_of_a_pseudonym_is_looked_up() {
        let digest = "0123456789abcdef0123456789abcdef";
        assert_eq!(number(&Name::new(&format!("p-1-{digest}")).unwrap()), Some(1));
        let long = format!("p-1-{digest}0");
        let others = ["acme", "p-", "p-1", "p-1-", "p-1-0123", "p-x-0123456789abcdef0123456789abcdef", &long];
        for other in others {
            assert_eq!(number(&Name::new(other).unwrap()), None, "{other}");
        }
        for prefix in ["p-01-", "p-+1-", "P-1-", "p--1-"] {
            assert_eq!(number(&Name::new(&format!("{prefix}{digest}")).unwrap()), None, "{prefix}");
        }
        assert_eq!(number(&Name::new(&format!("p-1-{}", digest.to_uppercase())).unwrap()), None);
    }
}
