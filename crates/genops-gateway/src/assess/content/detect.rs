//! What is known by its form: e-mail addresses, payment cards, keys.
//!
//! Each detector counts in one text, in one pass, and looks no further back or ahead than a fixed number of
//! bytes from what it comes by.

mod card;
mod email;
mod secret;

use genops_core::rule::ContentKind;

pub use secret::ApiKeys;

/// The bytes of the shortest thing that is found: `a@b.ch`. A body may hold a great many shorter texts.
const SHORTEST: usize = 6;

/// A kind of thing that is known by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    /// E-mail addresses.
    Email,
    /// Numbers of payment cards: 13 to 19 digits of a known network, whose check digit is right.
    PaymentCard,
    /// Keys and tokens of well-known services, and signed JSON web tokens.
    ApiKey,
    /// Private keys in PEM or PGP armour, by the line that they begin with.
    PrivateKey,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Email, Self::PaymentCard, Self::ApiKey, Self::PrivateKey];

    /// The kind of what it finds.
    #[must_use]
    pub const fn kind(self) -> ContentKind {
        match self {
            Self::Email => ContentKind::Email,
            Self::PaymentCard => ContentKind::PaymentCard,
            Self::ApiKey => ContentKind::ApiKey,
            Self::PrivateKey => ContentKind::PrivateKey,
        }
    }

    /// How often it finds something in a text.
    pub(super) fn count(self, text: &str, api_keys: &ApiKeys) -> u64 {
        match self {
            _ if text.len() < SHORTEST => 0,
            Self::Email => email::count(text),
            Self::PaymentCard => card::count(text),
            Self::ApiKey => api_keys.count(text),
            Self::PrivateKey => secret::count_private_keys(text),
        }
    }
}
